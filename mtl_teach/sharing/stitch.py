"""Learned mixing: a network per task, and after each block every network takes in what the others computed.

Cross-stitch units (Misra et al. 2016, eq. 1). x_k is what leaves block i of network k; block i + 1 gets

    x̃_k = sum over j of α_kj x_j                 α (K, K), learned, one per unit

The diagonal starts at 0.9 and the rest of each row shares 0.1, so that every row sums to 1 and sizes are kept: mostly
single-task, with a little of the others. α learns at a larger rate than the weights, as in the paper, and is not decayed.

Sluice networks (Ruder et al. 2019) go on from there:
    subspaces      the D features of a network are cut into S equal parts, and α (KS, KS) mixes parts: one part may be
                   shared and another private. Start: 0.95 on the diagonal, 0.05 over the rest of the row
    layer mixing   a task's head reads sum over blocks of β_kl x̃_kl: tasks may settle at different depths. Start: 0.9 for
                   the last block, 0.1 over the others
    orthogonality  |G_1ᵀ G_2|² (Frobenius) on the weights that write the two parts, so that they carry different things.
                   Here G (F, D) is the last linear map of a block: column d holds the weights of feature d

Limits: with the identity for α (and all of β on the last block) the model is single-task training.

Cost: to be mixed, every text of a mixed batch passes all K networks, and so does every text in use. That is K times the
arithmetic of single-task or soft sharing on the same batch, for K times the parameters of one backbone.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import nn

from ..blocks import Blocks
from ..tasks import TaskError
from .base import as_key
from .soft import BackbonePerTask


class CrossStitch(BackbonePerTask):
    """A network per task, mixed after its blocks.

    after  "all", or the numbers of the blocks with a unit behind them: 0 the first, -1 the last
    start  α on the diagonal at the start; 1.0: no mixing
    rate   how many times faster α learns than the weights; 0: α stays as it is
    """

    def __init__(self, backbone, tasks, *, after="all", start: float = 0.9, rate: float = 10.0, **options):
        super().__init__(backbone, tasks, after=after if isinstance(after, str) else list(after), start=start, rate=rate,
                         **options)

    def build(self, backbone, seed):
        if len(self.tasks) < 2:
            raise TaskError(f"mixing needs two tasks or more; here there is only {next(iter(self.tasks))!r}. "
                            "Add a task, or use SingleTask.")
        super().build(backbone, seed)
        self.networks = [Blocks(self.backbone_of(name)) for name in self.tasks]
        self.places = choose_blocks(self.knobs["after"], backbone.depth)
        self.units = nn.ParameterList(self.unit() for _ in self.places)

    def unit(self):
        return start_mixing(len(self.tasks), self.knobs["start"], self.knobs["rate"] > 0)

    def share(self, batch):
        layers = self.layers(batch)
        for k, (task, network) in enumerate(zip(self.tasks, self.networks)):
            if task in batch.rows:
                rows = batch.rows[task]
                hidden = network.finish(self.read(task, [layer[k, rows] for layer in layers]))         # (n, T, D)
                yield task, hidden, network.backbone.pool(hidden, batch.attention_mask[rows])

    def layers(self, batch):
        """What leaves each block, mixed where there is a unit: depth times (K, B, T, D)."""
        entering, contexts = zip(*(network.embed(batch.input_ids, batch.attention_mask) for network in self.networks))
        units, hidden, found = dict(zip(self.places, self.units)), entering, []
        for i in range(self.backbone.depth):
            hidden = torch.stack([network.block(i, x, c) for network, x, c in zip(self.networks, hidden, contexts)])
            if i in units:
                hidden = self.mix(units[i], hidden)
            found.append(hidden)
        return found

    def mix(self, unit, hidden):
        """unit (K, K), hidden (K, B, T, D) -> (K, B, T, D)"""
        return torch.einsum("kj,jbtd->kbtd", unit.to(hidden.dtype), hidden)

    def read(self, task, layers):
        """depth times (n, T, D) -> what the task's head reads, before the final norm (n, T, D)."""
        return layers[-1]

    def mixing(self):
        """The units as DataFrames, {block: α}: row k is what network k takes, column j what it takes it from."""
        import pandas as pd
        names = self.part_names()
        tables = (pd.DataFrame(unit.detach().cpu().numpy(), index=names, columns=names) for unit in self.units)
        return dict(zip(self.places, tables))

    def part_names(self):
        return list(self.tasks)

    def rates(self):
        return [([unit for unit in self.units], self.knobs["rate"])]

    def shared_parameters(self):
        """All networks and units: every task's loss reaches all of them."""
        return list(self.backbones.parameters()) + list(self.units)


class Sluice(CrossStitch):
    """Cross-stitch with subspaces, layer mixing and an orthogonality penalty.

    subspaces   S, into how many parts the features are cut
    orthogonal  strength of the penalty on the overlap of the parts
    last        β of the last block at the start; 1.0: only the last block is read
    """

    def __init__(self, backbone, tasks, *, subspaces: int = 2, orthogonal: float = 0.01, last: float = 0.9,
                 start: float = 0.95, **options):
        super().__init__(backbone, tasks, subspaces=subspaces, orthogonal=orthogonal, last=last, start=start, **options)

    def build(self, backbone, seed):
        parts = self.knobs["subspaces"]
        if parts < 1 or backbone.width % parts:
            raise TaskError(f"subspaces={parts} does not divide the backbone's width of {backbone.width}.")
        super().build(backbone, seed)
        row = torch.full((backbone.depth,), (1 - self.knobs["last"]) / max(1, backbone.depth - 1))
        row[-1] = self.knobs["last"] if backbone.depth > 1 else 1.0
        self.depths = nn.ParameterDict({as_key(name): nn.Parameter(row.clone()) for name in self.tasks})

    def unit(self):
        return start_mixing(len(self.tasks) * self.knobs["subspaces"], self.knobs["start"], self.knobs["rate"] > 0)

    def mix(self, unit, hidden):
        """unit (KS, KS), hidden (K, B, T, D) -> (K, B, T, D); part s of network k is row kS + s."""
        tasks, parts = len(self.tasks), self.knobs["subspaces"]
        unit = unit.to(hidden.dtype).view(tasks, parts, tasks, parts)
        return torch.einsum("ksjr,jbtrd->kbtsd", unit, hidden.unflatten(-1, (parts, -1))).flatten(-2)

    def read(self, task, layers):
        return torch.einsum("l,lntd->ntd", self.depths[as_key(task)].to(layers[0].dtype), torch.stack(layers))

    def penalty(self):
        """orthogonal x sum over networks, blocks and pairs of parts of |G_rᵀ G_s|²."""
        if not self.knobs["orthogonal"] or self.knobs["subspaces"] < 2:
            return 0.0
        return self.knobs["orthogonal"] * sum(overlap(weights, self.knobs["subspaces"]) for weights in self.writers())

    def writers(self):
        """The last linear map of each block of each network, turned so that features are columns: (F, D) each."""
        for network in self.networks:
            for block in network.blocks:
                yield writer(block, self.backbone.width)

    def part_names(self):
        return [f"{name}.{s}" for name in self.tasks for s in range(self.knobs["subspaces"])]

    def rates(self):
        return [(list(self.units) + list(self.depths.values()), self.knobs["rate"])]

    def task_parameters(self, name):
        return super().task_parameters(name) + [self.depths[as_key(name)]]


def start_mixing(size: int, diagonal: float, trained: bool = True) -> nn.Parameter:
    """(size, size) with rows that sum to 1."""
    unit = torch.full((size, size), (1 - diagonal) / max(1, size - 1))
    return nn.Parameter(unit.fill_diagonal_(diagonal), requires_grad=trained)


def overlap(weights, parts: int):
    """weights (F, D), features in columns -> sum over pairs r < s of |G_rᵀ G_s|², for G cut into `parts` (F, D / parts)."""
    return sum((one.T @ other).square().sum() for one, other in combinations(weights.chunk(parts, dim=1), 2))


def writer(block, width: int):
    """The weights of the last linear map of a block, (F, D). Linear keeps them as (D, F), GPT-2's Conv1D as (F, D)."""
    maps = [m for m in block.modules() if getattr(m, "weight", None) is not None and m.weight.ndim == 2]
    weight = maps[-1].weight if type(maps[-1]).__name__ == "Conv1D" else maps[-1].weight.T
    if weight.size(1) != width:
        raise TaskError(f"the last linear map of {type(block).__name__} does not write the {width} features of the backbone, so "
                        "there is nothing to hold apart. Set orthogonal=0.")
    return weight


def choose_blocks(after, depth: int) -> list[int]:
    """Numbers of blocks, 0 to depth - 1, from "all" or a list that may count from the end."""
    if after == "all":
        return list(range(depth))
    if isinstance(after, str) or not after:
        raise TaskError(f"after={after!r}: use 'all', or a list of numbers of blocks.")
    places = sorted(i + depth if i < 0 else i for i in after)
    if len(set(places)) < len(places) or not set(places) <= set(range(depth)):
        raise TaskError(f"after={after}: give different numbers from 0 (first block) to {depth - 1} (last), or from the end.")
    return places
