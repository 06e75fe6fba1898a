"""Merging trained models without training: task arithmetic and TIES.

Models that started from the same body have moved away from it, each for its own task. What each of them has moved by
is its task vector, and vectors can be added (Ilharco et al. 2023):

    tau_k = theta_k - theta_0                    merged = theta_0 + scale · combination of the tau_k

    sum      tau_1 + ... + tau_K                 Ilharco et al. 2023, section 2
    mean     their mean; with scale 1 the average of the models
    ties     what they do not dispute: trim, elect a sign, average those that agree   (Yadav et al. 2023, algorithm 1)

    vectors = [task_vector(start, model) for model in models]
    merged = merge(start, models, how="ties", scale=1.0, keep=0.2)             # one body, everybody's heads
"""

from __future__ import annotations

import torch

from .backbones import load_backbone
from .sharing.base import SharingModel, as_key
from .sharing.hard import HardSharing
from .tasks import TaskError, nearest

HOW = ("sum", "mean", "ties")


def body_weights(model) -> dict[str, torch.Tensor]:
    """The weights of a body by name, cut off from gradients; model: a HardSharing, or what `load_backbone` takes.

    Whole numbers and flags among the buffers are left out: they do not learn.
    """
    if isinstance(model, SharingModel) and type(model) is not HardSharing:
        hint = " Merge its branches into the weights first: model.merge()." if hasattr(model, "merge") else ""
        raise TaskError(f"{type(model).__name__} is more than one body with heads; merging takes HardSharing models.{hint}")
    backbone = model.backbone if isinstance(model, SharingModel) else load_backbone(model)
    return {name: w.detach() for name, w in backbone.model.state_dict().items() if w.is_floating_point()}


def task_vector(start, model) -> dict[str, torch.Tensor]:
    """What training has added to each weight of the body: {name: tensor}."""
    before, after = body_weights(start), body_weights(model)
    other = [name for name in {**before, **after}
             if name not in before or name not in after or before[name].shape != after[name].shape]
    if other:
        raise TaskError(f"the model does not come from this start: they differ in {other[0]!r}. "
                        "A task vector needs the weights that training began with.")
    return {name: after[name] - before[name].to(after[name].device) for name in before}


def flat(vector: dict[str, torch.Tensor]) -> torch.Tensor:
    """All weights of a task vector in one row (P,), in the order of its names."""
    return torch.cat([vector[name].flatten() for name in vector])


def trim(rows: torch.Tensor, keep: float) -> torch.Tensor:
    """Of each task vector (K, P) the share `keep` with the largest magnitudes; zeros elsewhere.

    One ranking over the whole vector, as in the paper (peft ranks within each weight matrix). At equal magnitude the
    earlier entry stays, so exactly round(keep · P) entries are kept.
    """
    if not 0 < keep <= 1:
        raise TaskError(f"keep={keep} must be above 0 and at most 1: the share of each task vector that stays.")
    order = rows.abs().sort(dim=1, descending=True, stable=True).indices[:, :round(keep * rows.size(1))]
    return torch.zeros_like(rows).scatter(1, order, rows.gather(1, order))


def ties(rows: torch.Tensor, keep: float = 0.2) -> torch.Tensor:
    """TIES (Yadav et al. 2023, algorithm 1) on task vectors (K, P) -> (P,).

    trim          keep each vector's largest entries
    elect sign    at each place the sign of the sum: that of the greater total magnitude
    disjoint mean the mean over the entries that have the elected sign; trimmed entries do not count

    Where the sum is exactly 0 no sign is elected and the result is 0, as the algorithm's letter says. (The authors' code
    takes the sign that most places have, peft takes +.)
    """
    rows = trim(rows, keep)
    agree = rows.sign() == rows.sum(0).sign()                                                    # (K, P)
    return (rows * agree).sum(0) / agree.sum(0).clamp(min=1)


def combine(vectors: list[dict], how: str = "sum", keep: float = 0.2) -> dict[str, torch.Tensor]:
    """Several task vectors as one: "sum", "mean" or "ties". keep is for TIES alone."""
    if how not in HOW:
        raise TaskError(f"unknown way to combine how={how!r}.{nearest(how, HOW)}")
    if not vectors:
        raise TaskError("nothing to combine: give at least one task vector.")
    rows = torch.stack([flat(vector) for vector in vectors])                                     # (K, P)
    row = ties(rows, keep) if how == "ties" else rows.sum(0) if how == "sum" else rows.mean(0)
    sizes = [w.numel() for w in vectors[0].values()]
    return {name: part.view_as(w) for part, (name, w) in zip(row.split(sizes), vectors[0].items())}


def add(start, vector: dict[str, torch.Tensor], scale: float = 1.0):
    """A copy of the start's body at theta_0 + scale · vector: a Backbone. scale -1 takes a task out again (negation)."""
    weights = body_weights(start)
    other = [name for name in vector if name not in weights or weights[name].shape != vector[name].shape]
    if other:
        raise TaskError(f"the task vector does not fit this body: {other[0]!r} is unknown or has another shape.")
    backbone = (start.backbone if isinstance(start, SharingModel) else load_backbone(start)).clone()
    moved = {name: weights[name] + scale * vector[name].to(weights[name].device) for name in vector}
    backbone.model.load_state_dict(backbone.model.state_dict() | moved)
    return backbone


def merge(start, models: list[SharingModel], how: str = "sum", *, scale: float = 1.0, keep: float = 0.2) -> HardSharing:
    """One HardSharing model with all tasks of several: a merged body under each model's own heads.

    start   what all of them started from: a HardSharing, or whatever `load_backbone` takes
    models  HardSharing models, each with tasks of its own
    scale   how far to go along the combined vector; choose it on validation
    """
    names = [as_key(name) for model in models for name in model.tasks]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise TaskError(f"two of the models have a task {twice[0]!r}; whose head should answer it? "
                        "Merge models with different tasks.")
    body = add(start, combine([task_vector(start, model) for model in models], how, keep), scale)
    merged = HardSharing(body, [task for model in models for task in model.tasks.values()])
    for model in models:
        for name in model.tasks:
            merged.head(name).load_state_dict(model.head(name).state_dict())
    return merged.requires_grad_(True).to(next(models[0].parameters()).device).eval()
