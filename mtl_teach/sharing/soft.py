"""Soft parameter sharing: every task keeps a backbone of its own, and the backbones are pulled together.

Hard sharing says "the same weights for all", single-task training says "nothing in common". Soft sharing stands
between: it trains K backbones, with a price λ (the strength) on how far apart their weights are.

    l2       Ω = sum over tasks of |θ_k - mean of θ|²       = 1/K sum over pairs of |θ_k - θ_l|²
             (Duong et al. 2015 tie two parsers so). Every difference costs; large ones most.
    trace    Ω = sum of the singular values of the K x P matrix whose rows are the tasks' θ_k (Yang & Hospedales 2017);
             see trace.py. Tasks may be combinations of a few patterns instead of copies of one mean.

The price can be paid in two places:

    step     after each step of the optimizer with rate η, by the proximal step of ηλΩ. For l2 it is
                 θ_k <- mean + (θ_k - mean) / (1 + 2ηλ)
             The mean stays, whatever λ; and Adam does not see the pull, as AdamW's decay (Loshchilov & Hutter 2019).
    loss     λΩ is added to the loss, as the papers write it. Plain gradient descent needs ηλ < 1. Adam divides a
             weight's gradient by its usual size: a strong pull makes all of it, and the task's own signal drowns.

Limits: strength 0 is single-task training, bit for bit. In "step", the larger the strength the closer the backbones
stay, and infinity is one body for all tasks: with plain gradient descent hard sharing at the rate η / K.

Cost: K backbones to keep, to train and to store, and one more pass over their weights per step; texts pass their own
task's backbone only.
"""

from __future__ import annotations

import math
import warnings
from itertools import chain, islice

import torch
from torch import nn

from ..backbones import load_backbone
from ..blocks import Blocks
from ..tasks import TaskError, nearest
from .base import SharingModel, as_key
from .trace import shrink_singular_values, trace_norm


class BackbonePerTask(SharingModel):
    """A backbone for each task, all of one shape.

    backbone  what `load_backbone` takes, copied for each task; or {task: such a thing}, one for each
    """

    def __init__(self, backbone, tasks, **options):
        each = backbone if isinstance(backbone, dict) else None
        super().__init__(next(iter(each.values())) if each else backbone, tasks, **options)
        if each:
            self.start_from(each)

    def build(self, backbone, seed):
        self.backbones = nn.ModuleDict({as_key(name): backbone.clone() for name in self.tasks})

    @property
    def backbone(self):
        """The first task's backbone: all of them have the same shape, tokenizer and pooling."""
        return next(iter(self.backbones.values()))

    def backbone_of(self, name):
        return self.backbones[as_key(name)]

    @torch.no_grad()
    def start_from(self, trained):
        """Take over weights: of a trained model with a backbone per task (its heads too), or of {task: backbone}.

        Misra et al. (2016) stitch networks that were first trained each on its own task. Raises TaskError, before
        anything is changed, if a task is missing or a backbone has another shape. Returns the model.
        """
        if isinstance(trained, SharingModel):
            found = {name: trained.backbone_of(name) for name in trained.tasks}
        else:
            found = {name: load_backbone(source) for name, source in trained.items()}
        for name in self.tasks:
            if name not in found:
                raise TaskError(f"no backbone for the task {name!r} to start from.{nearest(name, found)}")
            _same_shape(name, found[name], self.backbone)
        for name in self.tasks:
            self.backbone_of(name).load_state_dict(found[name].state_dict())
            if isinstance(trained, SharingModel):
                self.head(name).load_state_dict(trained.head(name).state_dict())
        return self


def _same_shape(name, found, wanted):
    shapes, expected = ({key: tuple(value.shape) for key, value in b.state_dict().items()} for b in (found, wanted))
    other = [key for key in {**expected, **shapes} if shapes.get(key) != expected.get(key)]
    if other:
        raise TaskError(f"the backbone for the task {name!r} has another shape: {other[0]} is {shapes.get(other[0], 'missing')} "
                        f"there, {expected.get(other[0], 'missing')} here. Tasks can share softly, or be stitched, only "
                        "between backbones of one architecture and size.")


class SoftSharing(BackbonePerTask):
    """A backbone per task, pulled together by a price on how far apart the weights are.

    strength   λ, how hard they are pulled; 0: not at all; math.inf, with apply="step" and "l2": one body for all
    norm       "l2" or "trace", see above
    per_layer  a number f: each layer is pulled f times as hard as the one below it, so 0.5 ties lower layers more than
               upper ones; or a list of depth + 1 factors, for the embeddings and each block. The strength multiplies them
    apply      "step": after every step of the optimizer; `fit` does it, a loop of your own calls `model.after_step(lr)`.
               "loss": by `penalty()`; strengths that work with Adam are about a hundred times smaller
    """

    def __init__(self, backbone, tasks, *, strength: float = 10.0, norm: str = "l2", per_layer: float | list[float] = 1.0,
                 apply: str = "step", **options):
        for word, known in ((norm, NORMS), (apply, PLACES)):
            if word not in known:
                raise TaskError(f"unknown {'norm' if known is NORMS else 'apply'} {word!r}.{nearest(word, known)}")
        if not strength >= 0 or (math.isinf(strength) and (norm, apply) != ("l2", "step")):
            raise TaskError(f"strength={strength}: give a number of at least 0. Only norm='l2' with apply='step' takes infinity.")
        super().__init__(backbone, tasks, strength=strength, norm=norm, apply=apply,
                         per_layer=per_layer if isinstance(per_layer, (int, float)) else list(per_layer), **options)

    def build(self, backbone, seed):
        super().build(backbone, seed)
        strength, norm = self.knobs["strength"], self.knobs["norm"]
        if len(self.tasks) == 1 and norm == "trace":
            raise TaskError("the trace norm of a single task compares nothing and only shrinks its weights. "
                            "Add a task, or use weight_decay in fit.")
        if len(self.tasks) == 1 and strength:
            warnings.warn("soft sharing with a single task: nothing to pull together, this is single-task training.",
                          stacklevel=4)
        factors = layer_factors(self.knobs["per_layer"], backbone)
        self.groups, self.together = group(factors, apart=norm == "trace"), group(factors, apart=False)

    def share(self, batch):
        for task, rows in batch.rows.items():
            backbone = self.backbone_of(task)
            mask = batch.attention_mask[rows]                                         # (n, T)
            hidden = backbone(batch.input_ids[rows], mask)                            # (n, T, D)
            yield task, hidden, backbone.pool(hidden, mask)

    def penalty(self):
        """strength x norm over all tensors of the backbones (weights, biases, embeddings, norms); 0 with apply="step"."""
        if not self.knobs["strength"] or self.knobs["apply"] == "step":
            return 0.0
        own = [list(backbone.parameters()) for backbone in self.backbones.values()]
        groups = [[tensors[i] for tensors in own for i in numbers] for _, numbers in self.groups]
        factors = [self.knobs["strength"] * factor for factor, _ in self.groups]
        return Pull.apply(NORMS[self.knobs["norm"]], len(own), factors, [len(g) for g in groups], *chain(*groups))

    @torch.no_grad()
    def after_step(self, lr):
        """Bring the backbones together by the proximal step of lr x strength x norm; nothing with apply="loss"."""
        if not self.knobs["strength"] or self.knobs["apply"] == "loss":
            return
        own = [list(backbone.parameters()) for backbone in self.backbones.values()]
        for factor, numbers in self.together:                     # each tensor by itself, but with one call for many
            side_by_side = [tensors for tensors in zip(*([t[i] for i in numbers] for t in own)) if tensors[0].requires_grad]
            if side_by_side:
                STEPS[self.knobs["norm"]](side_by_side, lr * self.knobs["strength"] * factor)

    @torch.no_grad()
    def distances(self):
        """How far each task's weights are from the mean of all: a DataFrame of |θ_k - θ̄| / |θ̄|, tasks by layers.

        Layer 0 is the embeddings, the others are the blocks.
        """
        import pandas as pd
        layers = Blocks(self.backbone).layers_of_parameters()
        side_by_side = zip(*(backbone.parameters() for backbone in self.backbones.values()))
        stacks = [torch.stack(tensors).flatten(1) for tensors in side_by_side]                     # (K, P) each
        away = pd.DataFrame([((s - s.mean(0)) ** 2).sum(1).tolist() for s in stacks], columns=list(self.tasks))
        size = pd.Series([s.mean(0).square().sum().item() for s in stacks])
        return (away.groupby(layers).sum().div(size.groupby(layers).sum(), axis=0) ** 0.5).rename_axis("layer")

    def shared_parameters(self):
        return []

    def task_parameters(self, name):
        return super().task_parameters(name) + list(self.backbone_of(name).parameters())


def layer_factors(per_layer, backbone) -> list[float]:
    """A factor for each tensor of the backbone, from one number or from depth + 1 of them; see SoftSharing."""
    if per_layer == 1:
        return [1.0] * len(list(backbone.parameters()))
    if isinstance(per_layer, (int, float)):
        per_layer = [per_layer**i for i in range(backbone.depth + 1)]
    if len(per_layer) != backbone.depth + 1 or not all(f >= 0 and math.isfinite(f) for f in per_layer):
        raise TaskError(f"per_layer={per_layer}: give {backbone.depth + 1} factors of at least 0, for the embeddings and each "
                        f"of the {backbone.depth} blocks, or one number.")
    return [float(per_layer[layer]) for layer in Blocks(backbone).layers_of_parameters()]


def group(factors, apart: bool) -> list[tuple[float, list[int]]]:
    """(factor, numbers of tensors) pairs: tensors with one factor together, or each apart. Factor 0 drops out."""
    if apart:
        return [(factor, [i]) for i, factor in enumerate(factors) if factor]
    return [(factor, [i for i, f in enumerate(factors) if f == factor]) for factor in dict.fromkeys(factors) if factor]


# ---- the norms: from N stacks (K, P) of the tasks' weights to N values and N gradients (K, P) -----------------------


def l2(stacks):
    """sum over k of |θ_k - θ̄|². Its gradient is 2 (θ_k - θ̄): what the mean adds cancels out."""
    away = [stack - stack.mean(0) for stack in stacks]
    return [a.square().sum() for a in away], [2 * a for a in away]


def towards_mean(side_by_side, price):
    """The proximal step of price x l2, in place: θ_k <- θ̄ + (θ_k - θ̄) / (1 + 2 price). The tensors of K tasks at a time."""
    share = 1.0 if math.isinf(price) else 2 * price / (1 + 2 * price)
    for tensors in side_by_side:
        mean = torch.stack(tensors).mean(0)
        for tensor in tensors:
            tensor.lerp_(mean, share)


NORMS = {"l2": l2, "trace": trace_norm}
STEPS = {"l2": towards_mean, "trace": shrink_singular_values}
PLACES = ("step", "loss")


class Pull(torch.autograd.Function):
    """sum over groups of tensors of factor x norm, with its gradient in closed form.

    tensors: of the first group, counts[0] of them, the first task's, then the second's, ...; then the next group's.
    Left to autograd, thousands of small operations would take longer than the rest of a step on a small model.
    """

    @staticmethod
    def forward(ctx, norm, tasks, factors, counts, *tensors):
        ctx.shapes = [tensor.shape for tensor in tensors]
        flat = iter([tensor.flatten() for tensor in tensors])
        with torch.autocast(tensors[0].device.type, enabled=False):                   # small differences need all digits
            values, gradients = norm([torch.cat(list(islice(flat, count))).view(tasks, -1) for count in counts])
            ctx.gradients = [gradient.mul_(factor).flatten() for factor, gradient in zip(factors, gradients)]
        return sum(factor * value for factor, value in zip(factors, values))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        parts = (slope * torch.cat(ctx.gradients)).split([shape.numel() for shape in ctx.shapes])
        return None, None, None, None, *(part.view(shape) for part, shape in zip(parts, ctx.shapes))
