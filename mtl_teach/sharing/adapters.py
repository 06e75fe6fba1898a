"""Adapters, and AdapterFusion over them (Pfeiffer et al. 2021, section 3).

The backbone is frozen. Training has two stages, and nothing that one task learns is ever overwritten by another:

    model = AdapterFusion("tiny", tasks)
    mt.fit(model, tasks)              # stage 1: every task trains its own adapter at every block, and its head
    model.fuse()                      # the adapters are frozen too; every task gets a fusion of all of them
    mt.fit(model, tasks)              # stage 2: every task learns whose adapters to listen to, token by token

At a block whose output is h (T, D), the adapter of task n adds z_n, and the fusion of the task at hand mixes the
additions of all N tasks (Pfeiffer et al. 2021, section 3.2):

    z_n = up(relu(down(h)))                                         stage 1 goes on with h + z_n
    s   = softmax over n of (Q h) · (K z_n)                         no division by √D, as in the paper
    o   = sum over n of s_n V z_n                                   stage 2 goes on with h + o

V starts near the identity: ones on the diagonal, about 1e-6 elsewhere; `penalty()` keeps it near. As in the authors'
library, h goes round the adapters and the fusion by a residual connection, so that Q, K and V see what the adapters
add and nothing else. Inside the adapter and the query h is brought to variance 1 at every token, because the states
between the blocks of a decoder differ in size by orders of magnitude; both are added to what leaves the block.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn

from ..blocks import Blocks
from ..heads import seeded
from ..tasks import TaskError
from .base import SharingModel, as_key
from .masks import unit


class Adapter(nn.Module):
    """A bottleneck: hidden (n, T, D) -> what is added to it (n, T, D). Starts at zero (Houlsby et al. 2019)."""

    def __init__(self, width: int, bottleneck: int):
        super().__init__()
        self.down, self.up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden):
        return self.up(self.down(unit(hidden)).relu())


class Fusion(nn.Module):
    """Attention over the N adapters of a block, for one task and at every token.

    hidden (n, T, D), additions (n, T, N, D)  ->  their mixture (n, T, D), and the weights (n, T, N).
    """

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        for linear, spread in ((self.query, 0.02), (self.key, 0.02), (self.value, 1e-6)):
            nn.init.normal_(linear.weight, std=spread)
        with torch.no_grad():
            self.value.weight.fill_diagonal_(1.0)

    def forward(self, hidden, additions):
        query = self.query(unit(hidden)).unsqueeze(-2)                                           # (n, T, 1, D)
        weights = (query * self.key(additions)).sum(-1).softmax(-1)                              # (n, T, N)
        return (weights.unsqueeze(-1) * self.value(additions)).sum(-2), weights


class AdapterFusion(SharingModel):
    """A frozen backbone; adapters per task; then, after `fuse()`, a fusion of all tasks' adapters per task.

    bottleneck   features inside an adapter
    value_decay  strength of the penalty ||V - I||² on every V of a fusion
    fused        build it in stage 2; for loading: train the adapters first and call `fuse()`

    A text of K tasks passes the backbone K times, as the tasks change its hidden states each in their own way.
    """

    def __init__(self, backbone, tasks, *, bottleneck: int = 16, value_decay: float = 0.01, fused: bool = False,
                 **options):
        super().__init__(backbone, tasks, bottleneck=bottleneck, value_decay=value_decay, fused=fused, **options)

    def build(self, backbone, seed):
        if self.knobs["bottleneck"] < 1:
            raise TaskError(f"bottleneck={self.knobs['bottleneck']}: an adapter needs at least one feature.")
        self.backbone, self.seed = backbone, seed
        self.blocks = Blocks(backbone)
        self.adapters, self.fusions = nn.ModuleDict(), nn.ModuleDict()
        for name in self.tasks:
            with seeded(seed, name):
                self.adapters[as_key(name)] = nn.ModuleList(Adapter(backbone.width, self.knobs["bottleneck"])
                                                            for _ in range(backbone.depth))
        backbone.requires_grad_(False)
        if self.knobs["fused"]:
            self._add_fusions()

    def fuse(self) -> AdapterFusion:
        """Go on to stage 2: freeze all adapters and give every task a fusion of them at every block."""
        if self.knobs["fused"]:
            raise TaskError("the adapters are fused already; call fuse() once, after the first mt.fit.")
        if len(self.tasks) < 2:
            raise TaskError("a fusion mixes the adapters of two or more tasks; this model has one task.")
        idle = [name for name in self.tasks if not any(a.up.weight.any() for a in self.adapters[as_key(name)])]
        if idle:
            warnings.warn(f"the adapters of {', '.join(map(repr, idle))} were never trained and add nothing; "
                          "run mt.fit on their tasks before fuse().", stacklevel=2)
        self._add_fusions()
        self.knobs["fused"] = True
        return self

    def _add_fusions(self):
        like, width = next(self.adapters.parameters()), self.backbone.width
        for name in self.tasks:
            with seeded(self.seed, name):
                self.fusions[as_key(name)] = nn.ModuleList(Fusion(width) for _ in range(len(self.blocks))).to(like)
        self.adapters.requires_grad_(False)

    def share(self, batch):
        names = list(batch.rows)
        rows = torch.cat([batch.rows[name] for name in names])                                   # a text once per task
        mask, sizes = batch.attention_mask[rows], [len(batch.rows[name]) for name in names]
        hidden = self.run(batch.input_ids[rows], mask, names, sizes)
        for name, own, its_mask in zip(names, hidden.split(sizes), mask.split(sizes)):
            yield name, own, self.backbone.pool(own, its_mask)                                   # (n, T, D), (n, D)

    def run(self, input_ids, attention_mask, names, sizes, weights: list | None = None):
        """The backbone block by block; after each one every task changes its own rows. sizes[i] rows are of names[i].

        Returns hidden states (sum of sizes, T, D); with a list `weights` the fusions' weights are appended to it.
        """
        hidden, context = self.blocks.embed(input_ids, attention_mask)
        for number in range(len(self.blocks)):
            hidden = self.blocks.block(number, hidden, context)
            hidden = torch.cat([own + self._addition(name, number, own, weights)
                                for name, own in zip(names, hidden.split(sizes))])
        return self.blocks.finish(hidden)

    def _addition(self, name, number, hidden, weights):
        if not self.knobs["fused"]:
            return self.adapters[as_key(name)][number](hidden)
        additions = torch.stack([self.adapters[as_key(other)][number](hidden) for other in self.tasks], dim=2)
        mixed, looks = self.fusions[as_key(name)][number](hidden, additions)
        if weights is not None:
            weights.append(looks)
        return mixed

    def penalty(self):
        """value_decay · sum over fusions of ||V - I||²; 0 in stage 1."""
        values = [fusion.value.weight for fusions in self.fusions.values() for fusion in fusions]
        if not values:
            return 0.0
        identity = torch.eye(self.backbone.width, device=values[0].device, dtype=values[0].dtype)
        return self.knobs["value_decay"] * sum((value - identity).square().sum() for value in values)

    @torch.no_grad()
    def attend(self, batch) -> dict[str, torch.Tensor]:
        """{task: (depth, N)}, whose adapters each task listens to: the mean over its rows' real tokens; for figures."""
        if not self.knobs["fused"]:
            raise TaskError("there is nothing to look at before fuse(): every task uses its own adapter alone.")
        found = {}
        for name, rows in batch.rows.items():
            mask, weights = batch.attention_mask[rows], []
            self.run(batch.input_ids[rows], mask, [name], [len(rows)], weights)
            found[name] = torch.stack([looks[mask.bool()].mean(0) for looks in weights])
        return found

    def shared_parameters(self):
        """None: the backbone is frozen, and adapters and fusions belong to a task each."""
        return []

    def task_parameters(self, name):
        added = super().task_parameters(name) + list(self.adapters[as_key(name)].parameters())
        return added + (list(self.fusions[as_key(name)].parameters()) if self.fusions else [])
