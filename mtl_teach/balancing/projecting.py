"""Gradient methods that project: PCGrad and GradVac task against task, UPGrad onto what no task opposes."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..tasks import TaskError
from .gradients import GradientMethod
from .solvers import onto_dual_cone


class PCGrad(GradientMethod):
    """Projecting conflicting gradients (Yu et al. 2020, Alg. 1). Identical gradients g give K g.

    For each task i, for the others j in random order: if the (changed) g_i and g_j conflict, take from g_i its part
    along g_j, g_i ← g_i - (g_i · g_j) / |g_j|² g_j. The g_j are always the original ones. Then sum.
    With K = 2 neither task loses to first order; with more, a later projection may bring back an earlier conflict.
    """

    def begin(self, count, seed):
        self.dice = torch.Generator().manual_seed(seed)

    def solve(self, gram, at):
        return project(gram, self.orders(len(gram)))

    def orders(self, count):
        """For each task the others in random order."""
        drawn = (torch.randperm(count, generator=self.dice).tolist() for _ in range(count))
        return [[j for j in order if j != i] for i, order in enumerate(drawn)]

    def remembered(self):
        return {"dice": self.dice.get_state()}

    def recall(self, state):
        self.dice.set_state(state["dice"])


def project(gram: np.ndarray, orders: list[list[int]]) -> np.ndarray:
    """PCGrad's weights for given orders. Row i of the result so far is c; c · G are its products with all gradients."""
    rows = gram.tolist()                                                              # plain numbers: K is small
    total = [1.0] * len(rows)
    for i, order in enumerate(orders):
        products = list(rows[i])
        for j in order:
            if products[j] < 0 and rows[j][j] > 0:
                factor = -products[j] / rows[j][j]
                total[j] += factor
                products = [p + factor * g for p, g in zip(products, rows[j])]
    return np.array(total)


class GradVac(PCGrad):
    """Gradient vaccine (Wang et al. 2021, Alg. 1): PCGrad towards the cosine that two tasks usually have, not towards 0.

    If cos φ of (changed) g_i and g_j is below the running mean φ̂_ij:
        g_i ← g_i + |g_i| (φ̂ √(1-φ²) - φ √(1-φ̂²)) / (|g_j| √(1-φ̂²)) g_j,       then   φ̂_ij ← (1-β) φ̂_ij + β φ
    φ̂ starts at 0, where the rule is PCGrad's. beta: 0.01 in the paper. Over all shared weights at once.
    """

    arguments = ("beta",)

    def __init__(self, beta: float = 0.01):
        if not 0 <= beta <= 1:
            raise TaskError(f"beta={beta} must lie between 0 (targets stay 0: PCGrad) and 1.")
        self.beta = beta

    def begin(self, count, seed):
        super().begin(count, seed)
        self.target = torch.zeros(count, count, dtype=torch.float64)                  # φ̂

    def solve(self, gram, at):
        rows, targets = gram.tolist(), self.target.tolist()                           # plain numbers: K is small
        changed = [self._vaccinate(i, order, rows, targets, at) for i, order in enumerate(self.orders(len(gram)))]
        self.target = torch.tensor(targets, dtype=torch.float64)
        return np.sum(changed, axis=0)

    def _vaccinate(self, i, order, rows, targets, at):
        """The weights of task i's changed gradient; φ̂ learns on the way."""
        weights, products = [float(j == i) for j in range(len(rows))], list(rows[i])
        for j in order:
            size, other = math.sqrt(max(0.0, sum(w * p for w, p in zip(weights, products)))), math.sqrt(rows[j][j])
            if size == 0 or other == 0:
                continue
            target = targets[at[i]][at[j]]
            cosine = min(1.0, max(-1.0, products[j] / (size * other)))
            if cosine < target:
                sine = math.sqrt(max(1e-12, 1 - target**2))
                factor = size * (target * math.sqrt(1 - cosine**2) - cosine * sine) / (other * sine)
                weights[j] += factor
                products = [p + factor * g for p, g in zip(products, rows[j])]
            targets[at[i]][at[j]] = (1 - self.beta) * target + self.beta * cosine
        return weights

    def remembered(self):
        return super().remembered() | {"target": self.target.clone()}

    def recall(self, state):
        super().recall(state)
        self.target = state["target"].clone()


class UPGrad(GradientMethod):
    """UPGrad (Quinton & Rey 2024, Prop. 1): project each gradient onto the directions no task opposes, then average.

    No conflict is left, and each gradient counts as large as it is: without conflict it is the mean. Identical: g.
    """

    def solve(self, gram, at):
        return onto_dual_cone(gram).mean(0)
