"""The contract of every sharing model, and what all of them have in common.

A sharing model is built from a backbone and tasks. Called with a batch that mixes tasks in any proportion, it
returns {task: TaskOutput(loss, logits)} for the tasks that the batch holds. A subclass writes `share`, which says
how a batch's texts become what the heads look at; heads, saving and prediction are here.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import nn

from ..backbones import Backbone, load_backbone
from ..batching import Batch, eval_batches
from ..heads import TaskOutput, build_head
from ..tasks import Task, TaskError, as_specs, nearest

FACTS = "mtl_teach.json"


class SharingModel(nn.Module):
    """Base class. backbone: whatever `load_backbone` takes; tasks: a TaskSet, or Task objects.

    pretrained=False draws new backbone weights; seed decides every new weight. Options of a subclass that must
    survive saving go to `super().__init__` as `knobs`.
    """

    def __init__(self, backbone, tasks, *, pretrained: bool = True, seed: int = 0, **knobs):
        super().__init__()
        self.tasks: dict[str, Task] = as_specs(tasks)
        self.knobs = knobs
        backbone = load_backbone(backbone, pretrained=pretrained, seed=seed)
        rows = {name: getattr(tasks[name], "train", ()) if isinstance(tasks, dict) else () for name in self.tasks}
        self.build(backbone, seed)
        self.heads = nn.ModuleDict({as_key(name): build_head(task, self.backbone_of(name), rows[name], seed)
                                    for name, task in self.tasks.items()})

    # ---- what a sharing algorithm writes ----------------------------------------------------------------------

    def build(self, backbone: Backbone, seed: int) -> None:
        """Set up the backbone(s) and whatever the algorithm adds."""
        self.backbone = backbone

    def backbone_of(self, name: str) -> Backbone:
        """The backbone whose hidden states the task's head reads."""
        return self.backbone

    def share(self, batch: Batch):
        """For each task of the batch yield (task, hidden (n, T, D), pooled (n, D)) of its own n rows.

        hidden may be None for a task whose head reads one vector per text (see `reads_tokens`).
        """
        raise NotImplementedError

    def penalty(self) -> torch.Tensor | float:
        """What the algorithm adds to the sum of the losses."""
        return 0.0

    def after_step(self, lr: float) -> None:
        """What the algorithm does to the weights after a step of the optimizer with the rate lr. `fit` calls it."""

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters that learn faster or slower than the rest, and by what factor; they are not decayed."""
        return []

    def may_train(self, names: list[str]) -> None:
        """Raise TaskError if these tasks cannot be trained together now. `fit` asks before anything is changed."""

    def shared_parameters(self) -> list[nn.Parameter]:
        """What more than one task trains."""
        return list(self.backbone.parameters())

    # ---- what is the same for all -----------------------------------------------------------------------------

    def forward(self, batch: Batch) -> dict[str, TaskOutput]:
        unknown = [name for name in batch.rows if name not in self.tasks]
        if unknown:
            raise TaskError(f"the batch holds a task that this model was not built for.{nearest(unknown[0], self.tasks)}")
        return {name: self.apply_head(name, hidden, pooled, batch) for name, hidden, pooled in self.share(batch)}

    def apply_head(self, name: str, hidden, pooled, batch: Batch) -> TaskOutput:
        """hidden (n, T, D) and pooled (n, D) of the task's own rows -> loss (mean over its rows) and logits."""
        head = self.head(name)
        logits = head(pooled if head.reads == "pooled" else hidden)
        if name not in batch.labels:
            return TaskOutput(None, logits)
        return TaskOutput(head.loss(logits, batch.labels[name]) / batch.counts[name], logits)

    def reads_tokens(self, name: str) -> bool:
        """Whether the task's head looks at every token (tag, span, generate) or at one vector per text."""
        return self.head(name).reads == "tokens"

    def head(self, name: str) -> nn.Module:
        return self.heads[as_key(name)]

    def task_parameters(self, name: str) -> list[nn.Parameter]:
        """What only this task trains."""
        if name not in self.tasks:
            raise TaskError(f"unknown task {name!r}.{nearest(name, self.tasks)}")
        return list(self.head(name).parameters())

    def cost(self, batch: Batch):
        """Parameters, memory and arithmetic, shared and per task, as a table (see costs.py)."""
        from .costs import cost
        return cost(self, batch)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @torch.no_grad()
    def predict(self, name: str, rows: list[dict], batch_size: int = 256) -> list:
        """The model's answers to rows of one task, in the form of the rows' labels. Labels in the rows are not read."""
        from ..decoding import write
        if name not in self.tasks:
            raise TaskError(f"unknown task {name!r}.{nearest(name, self.tasks)}")
        task, training = self.tasks[name], self.training
        self.eval()
        answers = [None] * len(rows)
        try:
            tokenizer, limit = self.backbone.tokenizer, self.backbone.max_length
            for numbers, encoded, batch in eval_batches(task, rows, tokenizer, batch_size, limit):
                if task.kind == "generate":
                    found = write(self, name, batch)
                else:
                    found = self.head(name).answers(self(batch.to(self.device))[name].logits, encoded)
                for number, answer in zip(numbers, found):
                    answers[number] = answer
        finally:
            self.train(training)
        return answers

    # ---- saving -----------------------------------------------------------------------------------------------

    def save_pretrained(self, folder) -> Path:
        """Write weights (safetensors), the backbone's configuration, the tokenizer and the tasks to a folder.

        The folder appears whole or not at all; an earlier model there is replaced.
        """
        from safetensors.torch import save_model
        folder = Path(folder)
        if folder.exists() and not (folder / FACTS).exists() and any(folder.iterdir()):
            raise TaskError(f"{str(folder)!r} holds other files; choose an empty or a new folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            save_model(self, str(fresh / "model.safetensors"))
            self.backbone.model.config.save_pretrained(fresh)
            self.backbone.tokenizer.save_pretrained(fresh)
            (fresh / FACTS).write_text(json.dumps(self.facts(), indent=1), encoding="utf-8")
            swap(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return folder

    def facts(self) -> dict:
        """What is needed, beside the weights, to build the model again."""
        return {"algorithm": type(self).__name__, "module": type(self).__module__, "pooling": self.backbone.pooling,
                "tasks": [task.to_dict() for task in self.tasks.values()], "knobs": self.knobs}

    @classmethod
    def from_pretrained(cls, folder) -> SharingModel:
        """The model that `save_pretrained` wrote; a folder of another algorithm is a TaskError."""
        model = load_model(folder)
        if not isinstance(model, cls):
            raise TaskError(f"{str(folder)!r} holds a {type(model).__name__}, not a {cls.__name__}; use mtl_teach.load_model.")
        return model


def load_model(folder) -> SharingModel:
    """Load a sharing model of any algorithm from the folder that `save_pretrained` wrote (in eval mode)."""
    from importlib import import_module

    from safetensors.torch import load_model as load_weights
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    folder = Path(folder)
    if not (folder / FACTS).is_file():
        raise TaskError(f"no sharing model in {str(folder)!r}: it has no {FACTS}. Give a folder that save_pretrained wrote.")
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    body = AutoModel.from_config(AutoConfig.from_pretrained(folder))
    backbone = load_backbone(body, tokenizer=AutoTokenizer.from_pretrained(folder), pooling=facts["pooling"])
    cls = getattr(import_module(facts["module"]), facts["algorithm"])
    model = cls(backbone, [Task.from_dict(task) for task in facts["tasks"]], **facts["knobs"])
    load_weights(model, str(folder / "model.safetensors"))
    return model.eval()


def swap(fresh: Path, folder: Path) -> None:
    """Put a finished folder in place of an old one; a reader sees the old or the new one, never half of one."""
    old = folder.with_name(f".{folder.name}-old-{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@cache                                                  # asked several times in every step
def as_key(name: str) -> str:
    """A task's name as the name of a module: without dots, and none that a module has already ("type", "items")."""
    key = name.replace(".", "__")
    return f"{key}_" if hasattr(nn.ModuleDict, key) or hasattr(nn.ModuleDict(), key) else key
