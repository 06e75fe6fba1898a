"""Where a transfer starts: the body of a trained model with its old heads, and fresh heads for the new tasks."""

from __future__ import annotations

from ..backbones import Backbone, load_backbone
from ..sharing.base import SharingModel, as_key
from ..sharing.hard import HardSharing
from ..sharing.single import SingleTask
from ..sharing.soft import SoftSharing
from ..tasks import TaskError, TaskSet, nearest


def moved(source, tasks: TaskSet, body: str | None = None, seed: int = 0) -> HardSharing:
    """A HardSharing model with a copy of the source's body, the old heads that read it, and a new head for each task.

    With source a name, folder, module or Backbone there are no old heads. Before training, the old tasks' answers are
    those of the source, bit for bit.
    """
    old = kept_tasks(source, body)
    for name in tasks:
        if isinstance(source, SharingModel) and as_key(name) in source.heads:
            raise TaskError(f"the source has a task {name!r} already. To go on training it use mt.fit; to learn it anew give "
                            "it another name.")
    backbone = source.backbone_of(old[0]) if old else load_backbone(source)
    backbone = backbone.clone()
    model = HardSharing(backbone, {**{name: source.tasks[name] for name in old}, **tasks}, seed=seed)
    for name in old:
        model.head(name).load_state_dict(source.head(name).state_dict())
    return model.requires_grad_(True).to(next(backbone.parameters()).device)


def kept_tasks(source, body: str | None = None) -> list[str]:
    """The source's tasks whose heads read the body that moves on; none for a bare backbone."""
    if not isinstance(source, SharingModel):
        if body is not None:
            raise TaskError("body= names a task of a trained model; this source is a language model without tasks.")
        return []
    if type(source) is HardSharing:
        if body is not None:
            raise TaskError("body= is for models with a body per task; in hard sharing all tasks have the same one.")
        return list(source.tasks)
    if type(source) not in (SingleTask, SoftSharing):
        raise TaskError(_other(source))
    if body is None and len(source.tasks) > 1:
        raise TaskError(f"this {type(source).__name__} has a body for each task; say which one moves on: "
                        f"body={min(source.tasks)!r}.")
    if body is not None and body not in source.tasks:
        raise TaskError(f"body={body!r} is no task of the source.{nearest(body, source.tasks)}")
    return [body or next(iter(source.tasks))]


def _other(source):
    name = type(source).__name__
    if getattr(source, "in_order", False):
        return "a progressive network takes a new task in its own way: model.add_task(tasks[name]), then mt.fit."
    if hasattr(source, "merge"):
        return "the body carries adapters; merge them into it first: mt.transfer(model.merge(), ...)."
    return (f"in {name} more than the body decides what a head reads, so it cannot move as a whole. To take the body alone: "
            "mt.transfer(model.backbone, ...).")


def check_replay(source, replay, tasks: TaskSet, body: str | None) -> None:
    """Replay must hold rows of old tasks that move along; anything else is a TaskError."""
    old = kept_tasks(source, body)
    if not isinstance(replay, TaskSet) or not replay:
        raise TaskError("replay takes old tasks with rows: the TaskSet that the source was trained on, cut with limit().")
    for name in replay:
        if name not in old:
            raise TaskError(f"replay holds {name!r}, which is no old task of the source.{nearest(name, old)}")


def layers(backbone: Backbone) -> list[list]:
    """The body's parameters by layer, from the bottom: embeddings, block 1, ..., block L (with the final norm)."""
    from ..blocks import Blocks
    found = [[] for _ in range(backbone.depth + 1)]
    for parameter, layer in zip(backbone.parameters(), Blocks(backbone).layers_of_parameters()):
        found[layer].append(parameter)
    return found
