"""Balancing tasks that train shared weights together.

    losses     -> weights     weightings.py, learned.py: how much each task's loss counts (cheap, one backward pass)
    gradients  -> direction   gradients.py, projecting.py, combining.py: which way to go when tasks pull apart (a pass per task)
    the passes themselves     passes.py: one mixed pass, or one pass per task over its own rows only

`fit(weighting=, gradients=)` takes a name from these lists, or an object with settings of its own.
"""

from __future__ import annotations

from ..tasks import TaskError, nearest
from .combining import IMTLG, MGDA, AlignedMTL, CAGrad, NashMTL
from .gradients import External, GradientMethod, SumOfGradients
from .learned import FAMO, GradNorm, Uncertainty
from .projecting import GradVac, PCGrad, UPGrad
from .weightings import DWA, Equal, Fixed, GeometricMean, RandomWeights, Weighting

WEIGHTINGS = {"equal": Equal, "uncertainty": Uncertainty, "dwa": DWA, "gradnorm": GradNorm, "famo": FAMO,
              "gls": GeometricMean, "rlw": RandomWeights}
GRADIENTS = {"sum": SumOfGradients, "pcgrad": PCGrad, "gradvac": GradVac, "mgda": MGDA, "cagrad": CAGrad, "imtl-g": IMTLG,
             "aligned-mtl": AlignedMTL, "nash-mtl": NashMTL, "upgrad": UPGrad}


def as_weighting(wanted) -> Weighting:
    """A name, {task: weight} or a Weighting -> a Weighting; anything else is a TaskError."""
    if isinstance(wanted, Weighting):
        return wanted
    if isinstance(wanted, dict):
        return Fixed(wanted)
    if isinstance(wanted, str) and _plain(wanted) in WEIGHTINGS:
        return WEIGHTINGS[_plain(wanted)]()
    if isinstance(wanted, str):
        raise TaskError(f"unknown weighting {wanted!r}.{nearest(_plain(wanted), WEIGHTINGS)}")
    raise TaskError(f"weighting={wanted!r}: give a name ({', '.join(WEIGHTINGS)}), a dictionary {{task: weight}}, or an object "
                    "such as mt.Uncertainty().")


def as_gradients(wanted) -> GradientMethod | None:
    """A name, None, a GradientMethod, or any function of the (K, P) matrix of gradients, such as a torchjd aggregator."""
    if wanted is None or isinstance(wanted, GradientMethod):
        return wanted
    if isinstance(wanted, str) and _plain(wanted) in GRADIENTS:
        return GRADIENTS[_plain(wanted)]()
    if isinstance(wanted, str):
        raise TaskError(f"unknown gradient method {wanted!r}.{nearest(_plain(wanted), GRADIENTS)}")
    if callable(wanted) and not isinstance(wanted, type):
        return External(wanted)
    raise TaskError(f"gradients={wanted!r}: give a name ({', '.join(GRADIENTS)}), or an object such as mt.PCGrad().")


def _plain(name: str) -> str:
    """Upper case and other dashes make no difference; "alignedmtl" and "imtlg" are understood too."""
    plain = name.lower().replace("_", "-").replace(" ", "-")
    return {"alignedmtl": "aligned-mtl", "nashmtl": "nash-mtl", "imtlg": "imtl-g"}.get(plain, plain)


def check_processes(accelerator, weighting: Weighting, method: GradientMethod | None) -> None:
    """With data-parallel processes everything here is exact. Engines that cut a model's weights apart leave no process a
    task's whole gradient: TaskError."""
    if (method or weighting.asks_norms) and accelerator.distributed_type.value in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise TaskError(f"{type(method or weighting).__name__} needs the tasks' whole gradients, and this launch cuts them apart "
                        f"({accelerator.distributed_type.value}). Launch with plain data parallelism (DDP), or leave it out.")


def check_balance(model, weighting: Weighting, method: GradientMethod | None, precision: str) -> None:
    """Gradient methods and GradNorm need weights that tasks share, and gradients as they are; TaskError otherwise."""
    if not method and not weighting.asks_norms:
        return
    what = type(method or weighting).__name__
    if not any(p.requires_grad for p in model.shared_parameters()):
        raise TaskError(f"{what} balances gradients in the weights that tasks share, and this {type(model).__name__} trains none "
                        "that are shared: its tasks cannot pull them apart. Leave it out, or use another model.")
    if precision == "fp16":
        raise TaskError(f"{what} does not go with fp16, whose gradients are scaled up and may overflow; use 'bf16' or 'fp32'.")
