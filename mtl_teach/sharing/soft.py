"""Soft parameter sharing: every task keeps a backbone of its own, and the backbones are pulled together.

Hard sharing says "the same weights for all", single-task training says "nothing in common". Soft sharing stands
between: it trains K backbones and adds to the losses a penalty on how far apart their weights are.

    l2       sum over tasks of |θ_k - mean of θ|²           = 1/K sum over pairs of |θ_k - θ_l|²
             (Duong et al. 2015 tie two parsers so). Every difference costs; large ones most.
    trace    sum of the singular values of the K x P matrix whose rows are the tasks' θ_k, for each weight matrix
             (Yang & Hospedales 2017, their "last axis flattening"). It counts how many directions the K rows need,
             so tasks may be combinations of a few patterns instead of copies of one mean. It also shrinks the
             weights themselves: choose much smaller strengths.

Limits: strength 0 is single-task training, bit for bit. The larger the strength, the closer the K backbones stay,
and the model becomes hard sharing.

Cost: K backbones to keep, to train and to store, and one more pass over their weights per step; texts pass their own
task's backbone only. The penalty's gradients need K x P numbers of memory beside the weights until the backward pass.
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
    """A backbone per task, pulled together by a penalty on the weights.

    strength   how hard they are pulled; 0: not at all
    norm       "l2" or "trace", see above
    per_layer  a number f: each layer is pulled f times as hard as the one below it, so 0.5 ties lower layers more than
               upper ones; or a list of depth + 1 factors, for the embeddings and each block. The strength multiplies them
    """

    def __init__(self, backbone, tasks, *, strength: float = 0.1, norm: str = "l2", per_layer: float | list[float] = 1.0,
                 **options):
        if norm not in NORMS:
            raise TaskError(f"unknown norm {norm!r}.{nearest(norm, NORMS)}")
        super().__init__(backbone, tasks, strength=strength, norm=norm,
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
        self.groups = group(layer_factors(self.knobs["per_layer"], backbone), apart=norm == "trace")

    def share(self, batch):
        for task, rows in batch.rows.items():
            backbone = self.backbone_of(task)
            mask = batch.attention_mask[rows]                                         # (n, T)
            hidden = backbone(batch.input_ids[rows], mask)                            # (n, T, D)
            yield task, hidden, backbone.pool(hidden, mask)

    def penalty(self):
        """The strength times the norm, over all tensors of the backbones: weights, biases, embeddings, norms."""
        if not self.knobs["strength"]:
            return 0.0
        own = [list(backbone.parameters()) for backbone in self.backbones.values()]
        groups = [[tensors[i] for tensors in own for i in numbers] for _, numbers in self.groups]
        factors = [self.knobs["strength"] * factor for factor, _ in self.groups]
        return Pull.apply(NORMS[self.knobs["norm"]], len(own), factors, [len(g) for g in groups], *chain(*groups))

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


def trace_norm(stacks):
    """The sum of the singular values σ of M (K, P): the square roots of the eigenvalues of G = M Mᵀ (K, K).

    Its gradient is U Vᵀ = G^(-1/2) M. Where a σ is 0, as for the equal backbones of the start, the norm has a kink: of
    all its slopes there we take the smallest, which leaves that direction alone. Differentiating the square root would
    give 0 / 0. The small σ need care twice: G is put together from the mean and the distances to it, and in float64.
    """
    grams = torch.stack([gram(stack) for stack in stacks]).cpu().double()                          # (N, K, K)
    whole, cross, apart = grams[:, :1, :1], grams[:, 1:, :1], grams[:, 1:, 1:]
    squares, vectors = torch.linalg.eigh(whole + cross + cross.mT + apart)                         # (N, K), (N, K, K)
    sigma = squares.clamp(min=0).sqrt()
    there = sigma > 1e-6 * sigma.max(-1, keepdim=True).values
    inverse = torch.where(there, 1 / sigma, 0.0)
    roots = (vectors * inverse[:, None, :] @ vectors.mT).to(stacks[0])                             # G^(-1/2): (N, K, K)
    return sigma.sum(-1).to(stacks[0]).unbind(), [root @ stack for root, stack in zip(roots, stacks)]


def gram(stack):
    """Dot products of the mean θ̄ and the K distances θ_k - θ̄ with one another: (K + 1, K + 1)."""
    mean = stack.mean(0, keepdim=True)                                                             # (1, P)
    parts = torch.cat([mean, stack - mean])                                                        # (K + 1, P)
    return parts @ parts.T


NORMS = {"l2": l2, "trace": trace_norm}


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
