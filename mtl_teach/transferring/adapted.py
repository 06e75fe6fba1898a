"""Hard sharing with small trained branches beside a frozen body, through peft: LoRA and (IA)³.

Old tasks pass the body as it was, new tasks pass it with the branches. So one body serves all of them, a new task
costs the branches and a head, and nothing old is forgotten. `merge()` adds the branches into the weights.
"""

from __future__ import annotations

import copy
import warnings
from contextlib import contextmanager

import torch
from torch import nn

from ..backbones import Backbone
from ..heads import seeded
from ..sharing.hard import HardSharing
from ..tasks import TaskError, nearest

METHODS = {"lora": ("LoraConfig", "LoraModel"), "ia3": ("IA3Config", "IA3Model")}


class PeftSharing(HardSharing):
    """A frozen body for all tasks; those in `adapted` pass it with peft's branches switched on.

    adapted  names of tasks; None: all
    method   "lora" or "ia3"
    config   what peft's LoraConfig or IA3Config takes, e.g. {"r": 8, "lora_alpha": 16, "target_modules": ["c_attn"]}

    At first the branches add nothing: all answers are those of the body alone. The given backbone is copied.
    """

    def __init__(self, backbone, tasks, *, adapted=None, method: str = "lora", config: dict | None = None, **options):
        if method not in METHODS:
            raise TaskError(f"unknown method {method!r}.{nearest(method, METHODS)}")
        config = {key: sorted(value) if isinstance(value, (set, tuple)) else value for key, value in (config or {}).items()}
        names = list(tasks) if isinstance(tasks, dict) else [task.name for task in tasks]
        adapted = names if adapted is None else list(adapted)
        unknown = [name for name in adapted if name not in names]
        if unknown:
            raise TaskError(f"adapted names an unknown task {unknown[0]!r}.{nearest(unknown[0], names)}")
        super().__init__(backbone, tasks, adapted=adapted, method=method, config=config, **options)

    def build(self, backbone, seed):
        self.backbone = backbone.clone().requires_grad_(False)
        with seeded(seed, self.knobs["method"]):
            tuner = insert(self.backbone.model, self.knobs["method"], self.knobs["config"])
        self._tuner = [tuner]                               # in a list: the branches are modules of the backbone already

    def share(self, batch):
        for on in (True, False):
            names = [name for name in batch.rows if (name in self.knobs["adapted"]) is on]
            if not names:
                continue
            rows, place = torch.cat([batch.rows[name] for name in names]).unique(return_inverse=True)
            mask = batch.attention_mask[rows]
            with self.branches(on):
                hidden = self.backbone(batch.input_ids[rows], mask)                              # (n, T, D)
            pooled = self.backbone.pool(hidden, mask)                                            # (n, D)
            for name, where in zip(names, place.split([len(batch.rows[name]) for name in names])):
                yield name, hidden[where], pooled[where]

    @contextmanager
    def branches(self, on: bool):
        """Run the body with or without its branches."""
        if not on:
            self._tuner[0].disable_adapter_layers()
        try:
            yield
        finally:
            if not on:
                self._tuner[0].enable_adapter_layers()

    def branch_parameters(self) -> list[nn.Parameter]:
        """What peft added to the body."""
        return [p for p in self.backbone.parameters() if p.requires_grad]

    def merge(self) -> HardSharing:
        """A plain HardSharing whose body has the branches added into its weights; this model stays as it is.

        The adapted tasks' answers are the same up to rounding. The others now read the changed body too.
        """
        body = copy.deepcopy(self._tuner[0]).merge_and_unload(progressbar=False)
        plain = HardSharing(Backbone(body, self.backbone.tokenizer, self.backbone.pooling), list(self.tasks.values()))
        plain.heads.load_state_dict(self.heads.state_dict())
        return plain.requires_grad_(True).to(self.device).train(self.training)


def insert(model: nn.Module, method: str, config: dict):
    """Put peft's branches into a transformers model, in place; returns peft's tuner, which switches and merges them."""
    import peft
    config_class, tuner_class = (getattr(peft, name) for name in METHODS[method])
    unknown = [key for key in config if key not in config_class.__dataclass_fields__]
    if unknown:
        raise TaskError(f"peft's {config_class.__name__} has no field {unknown[0]!r}."
                        f"{nearest(unknown[0], config_class.__dataclass_fields__)}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out")       # peft sets it right for GPT-2's Conv1D by itself
        try:
            return tuner_class(model, {"default": config_class(**config)}, "default")
        except ValueError as error:
            raise TaskError(_no_place(model, config, error)) from error


def _no_place(model, config, error):
    """What to say when peft finds no layer for its branches."""
    names = dict.fromkeys(name.rsplit(".", 1)[-1] for name, module in model.named_modules()
                          if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    wanted = config.get("target_modules")
    if wanted is None:
        return (f"peft has no usual targets for {type(model).__name__}. Name the layers that get a branch: targets=[...]. "
                f"Known: {', '.join(names)}.")
    missing = [name for name in ([wanted] if isinstance(wanted, str) else wanted) if name not in names]
    if missing:
        return f"{type(model).__name__} has no layer {missing[0]!r} for a branch.{nearest(missing[0], names)}"
    return f"peft could not put branches into {type(model).__name__}: {error}"
