"""Task masks (MTAN, Liu et al. 2019), carried over from convolutional networks to the blocks of a Transformer.

The backbone is shared, and nothing of a task flows back into it. At every block j each task looks at the shared
features and lets a part of them through: a mask between 0 and 1 for every token and every feature, made from what
enters the block and from what the task let through one block before.

    a_j = sigmoid(h_j(g_j([u_j; f_j(â_{j-1})])))        â_j = a_j ⊙ p_j            (Liu et al. 2019, section 3)

    here: u_j (T, D) is what enters block j, p_j (T, D) what leaves it (in the paper: the first and the last feature map
    of a stage). f_j and g_j are linear maps to a few features with a ReLU, h_j is a linear map back to D. g and h
    belong to the task, f is common to all tasks. At the first block there is no â_0, and u_1 stands alone. The head
    looks at â of the last block.

Left out on purpose: batch normalisation, which would let one task's texts change another task's running state, and
the pooling in f, as all blocks of a Transformer have the same shape. Inside the mask's network u and â are brought
to variance 1 at every token instead.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..heads import seeded
from ..tasks import TaskError
from .base import SharingModel, as_key


class TaskMask(nn.Module):
    """The mask of one task at one block.

    enters u (n, T, D), before f(â) (n, T, R) or None  ->  a (n, T, D), every number between 0 and 1.
    It starts at sigmoid(2) = 0.88 everywhere, so that no feature is shut at the start.
    """

    def __init__(self, width: int, bottleneck: int, first: bool):
        super().__init__()
        self.g = nn.Linear(width if first else width + bottleneck, bottleneck)
        self.h = nn.Linear(bottleneck, width)
        nn.init.zeros_(self.h.weight)
        nn.init.constant_(self.h.bias, 2.0)

    def forward(self, enters, before=None):
        seen = enters if before is None else torch.cat([enters, before], dim=-1)
        return self.h(self.g(seen).relu()).sigmoid()


class MTAN(SharingModel):
    """One shared backbone; each task masks its features block by block.

    bottleneck  R, the features that f and g make; the cost of a task grows with it
    """

    def __init__(self, backbone, tasks, *, bottleneck: int = 16, **options):
        super().__init__(backbone, tasks, bottleneck=bottleneck, **options)

    def build(self, backbone, seed):
        self.backbone, width, bottleneck = backbone, backbone.width, self.knobs["bottleneck"]
        if bottleneck < 1:
            raise TaskError(f"bottleneck={bottleneck}: a mask needs at least one feature.")
        with seeded(seed, "MTAN"):
            self.f = nn.ModuleList(nn.Linear(width, bottleneck) for _ in range(backbone.depth - 1))
        self.masks = nn.ModuleDict()
        for name in self.tasks:
            with seeded(seed, name):
                self.masks[as_key(name)] = nn.ModuleList(TaskMask(width, bottleneck, first=j == 0)
                                                         for j in range(backbone.depth))

    def share(self, batch):
        layers = self.backbone(batch.input_ids, batch.attention_mask, all_layers=True)          # depth + 1 of (B, T, D)
        for task, rows in batch.rows.items():
            hidden = self.pass_masks(task, [layer.index_select(0, rows) for layer in layers])[0]
            yield task, hidden, self.backbone.pool(hidden, batch.attention_mask[rows])

    def pass_masks(self, name, layers):
        """Hidden states of n rows, depth + 1 of (n, T, D) -> what the task lets through (n, T, D), and its masks."""
        before, masks = None, []
        for j, mask in enumerate(self.masks[as_key(name)]):
            masks.append(mask(unit(layers[j]), before))                                          # (n, T, D)
            through = masks[-1] * layers[j + 1]
            if j < len(self.f):
                before = self.f[j](unit(through)).relu()                                         # (n, T, R)
        return through, masks

    @torch.no_grad()
    def attend(self, batch) -> dict[str, torch.Tensor]:
        """{task: (depth, D)}, each task's masks: the mean over the real tokens of its own rows; for figures."""
        layers = self.backbone(batch.input_ids, batch.attention_mask, all_layers=True)
        real = batch.attention_mask.bool()
        found = {}
        for task, rows in batch.rows.items():
            masks = self.pass_masks(task, [layer.index_select(0, rows) for layer in layers])[1]
            found[task] = torch.stack([mask[real[rows]].mean(0) for mask in masks])
        return found

    def shared_parameters(self):
        return super().shared_parameters() + list(self.f.parameters())

    def task_parameters(self, name):
        return super().task_parameters(name) + list(self.masks[as_key(name)].parameters())


def unit(hidden):
    """Mean 0 and variance 1 at every token: a decoder's hidden states grow by orders of magnitude on their way."""
    return F.layer_norm(hidden, hidden.shape[-1:])
