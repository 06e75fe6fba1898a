"""Answers to the exercises of chapter 05."""

import math

import numpy as np
import torch
from torch import nn

from . import Rows

# ---- 05.1


def l2_in_numpy_shape(bodies):
    """Right: by the identity sum |θ|² - K |mean|², in float64."""
    wide = bodies.double()
    return (wide ** 2).sum() - len(wide) * (wide.mean(0) ** 2).sum()


def l2_loop(bodies):
    """Right: body by body."""
    total, mean = 0.0, sum(body for body in bodies) / len(bodies)
    for body in bodies:
        total = total + torch.dot(body - mean, body - mean)
    return total


def straight_through(bodies):
    """The right value, with twice the gradient."""
    value = (bodies - bodies.mean(0)).square().sum()
    return 2 * value - value.detach()


def one_sided(bodies):
    """The right value; gradients pass the first body only."""
    held = torch.cat([bodies[:1], bodies[1:].detach()])
    return (held - held.mean(0)).square().sum()


L2 = Rows(right=[l2_in_numpy_shape, l2_loop], wrong=[
    (lambda m: torch.cdist(m, m).square().sum() / 2, "all pairs"),
    (lambda m: (m - m.mean(0)).square().sum(1).mean(), "averaged over the bodies"),
    (lambda m: nn.functional.mse_loss(m, m.mean(0).expand_as(m)), "averaged over all numbers"),
    (lambda m: (m - m.mean()).square().sum(), "one mean of all numbers"),
    (lambda m: (m - m.mean(0)).norm(), "square root"), (lambda m: m.var(0).sum(), "divided by K - 1"),
    (lambda m: (m - m[0]).square().sum(), "distances to the first body"),
    (lambda m: m.square().sum(), "weight decay"),
    (lambda m: (m - m.mean(0)).square().sum().item(), "must be a tensor|cut off"),
    (straight_through, "twice too large"),
    (one_sided, "gradient must be 2"),
    (lambda m: (m - m.mean(0)).square(), "shape|one number")])

# ---- 05.2


def by_gramian(weights):
    flat = weights.flatten(1)
    return torch.linalg.eigvalsh(flat @ flat.T).clamp(min=0).sqrt().sum()


def with_numpy(weights):
    return float(np.linalg.norm(weights.numpy().reshape(len(weights), -1), "nuc"))


TRACE = Rows(right=[by_gramian, with_numpy, lambda w: torch.linalg.matrix_norm(w.flatten(1).T.double(), "nuc")], wrong=[
    (lambda w: torch.linalg.eigvalsh(w.flatten(1) @ w.flatten(1).T).sum(), "squares of the singular values"),
    (lambda w: w.norm(), "Frobenius"),
    (lambda w: torch.linalg.matrix_norm(w.flatten(1), 2), "largest singular value"),
    (lambda w: torch.linalg.svdvals(w.flatten(1)).mean(), "averaged the singular values"),
    (lambda w: torch.linalg.svdvals(w.flatten(1) - w.flatten(1).mean(0)).sum(), "subtracted the mean"),
    (lambda w: torch.linalg.svdvals(w).sum(), "each task's matrix apart"),
    (lambda w: torch.linalg.svdvals(w.flatten(0, 1)).sum(), "on top of one another"),
    (lambda w: torch.linalg.svdvals(w.flatten(1)), "last sum or mean is missing"),
    (lambda w: torch.linalg.svdvals(w.reshape(-1, len(w))).sum(), "numbers of different tasks"),
    (lambda w: torch.trace(w.flatten(1)), "trace of the matrix"),
    (lambda w: w.abs().sum(), "sum of absolute values")])

# ---- 05.3


def by_system(bodies, lr, strength):
    """Right: the matrix that does it, in float64."""
    count = len(bodies)
    keep = 0.0 if math.isinf(strength) else 1 / (1 + 2 * lr * strength)
    mix = keep * torch.eye(count, dtype=torch.float64) + (1 - keep) / count
    return mix @ bodies.double()


def in_place(bodies, lr, strength):
    mean = bodies.mean(0)
    bodies = bodies.clone()
    bodies -= mean
    bodies /= 1 + 2 * lr * strength
    return (bodies + mean).numpy()


def moved(factor):
    def pull(bodies, lr, strength):
        return bodies.mean(0) + (bodies - bodies.mean(0)) * factor(lr, strength)
    return pull


def nan_at_infinity(bodies, lr, strength):
    share = 2 * lr * strength / (1 + 2 * lr * strength)
    return bodies - (bodies - bodies.mean(0)) * share


def sequential(bodies, lr, strength):
    bodies = bodies.clone()
    for body in bodies:
        body.copy_(bodies.mean(0) + (body - bodies.mean(0)) / (1 + 2 * lr * strength))
    return bodies


def to_the_others(bodies, lr, strength):
    others = (bodies.sum(0) - bodies) / (len(bodies) - 1)
    return (bodies + 2 * lr * strength * others) / (1 + 2 * lr * strength)


PULL = Rows(right=[by_system, in_place], wrong=[
    (moved(lambda lr, s: 1 - 2 * lr * s), "overshoots"),
    (moved(lambda lr, s: 1 / (1 + lr * s)), "The 2 is missing"),
    (moved(lambda lr, s: 1 / (1 + 2 * s)), "learning rate is missing"),
    (lambda m, lr, s: m / (1 + 2 * lr * s), "towards zero"),
    (lambda m, lr, s: m[0] + (m - m[0]) / (1 + 2 * lr * s), "first body"),
    (moved(lambda lr, s: 1 - s), "whatever the rate"), (moved(lambda lr, s: math.exp(-2 * lr * s)), "many tiny steps"),
    (to_the_others, "mean of the others"),
    (nan_at_infinity, "infinite strength the result is nan"),
    (sequential, "already moved"),
    (lambda m, lr, s: m.mean(0), "shape")])

# ---- 05.4


class MatrixProduct(nn.Module):
    """Right: float64 at the start, a matrix product over flattened streams."""

    def __init__(self, tasks):
        super().__init__()
        start = np.full((tasks, tasks), 0.1 / (tasks - 1)) + np.eye(tasks) * (0.9 - 0.1 / (tasks - 1))
        self.alpha = nn.Parameter(torch.tensor(start, dtype=torch.float32))

    def forward(self, streams):
        return (self.alpha @ streams.flatten(1)).view_as(streams)


class Stitch(nn.Module):
    def __init__(self, tasks, off=None, diagonal=0.9):
        super().__init__()
        alpha = torch.full((tasks, tasks), (1 - diagonal) / (tasks - 1) if off is None else off)
        self.alpha = nn.Parameter(alpha.fill_diagonal_(diagonal))

    def forward(self, streams):
        return torch.einsum("kj,jbd->kbd", self.alpha, streams)


class Turned(Stitch):
    def forward(self, streams):
        return torch.einsum("jk,jbd->kbd", self.alpha, streams)


class Softmaxed(Stitch):
    def forward(self, streams):
        return torch.einsum("kj,jbd->kbd", self.alpha.softmax(-1), streams)


class Residual(Stitch):
    def forward(self, streams):
        return streams + super().forward(streams)


class OwnOnly(Stitch):
    def forward(self, streams):
        return self.alpha.diagonal()[:, None, None] * streams


class TooMuch(Stitch):
    def __init__(self, tasks):
        super().__init__(tasks, off=0.1)


class Ones(Stitch):
    def __init__(self, tasks):
        super().__init__(tasks, off=1.0, diagonal=1.0)


class Identity(Stitch):
    def __init__(self, tasks):
        super().__init__(tasks, off=0.0, diagonal=1.0)


class EqualShares(nn.Module):
    def __init__(self, tasks):
        super().__init__()
        self.alpha = nn.Parameter(torch.full((tasks, tasks), 1 / tasks))

    def forward(self, streams):
        return torch.einsum("kj,jbd->kbd", self.alpha, streams)


class SharedByAll(Stitch):
    def __init__(self, tasks):
        super().__init__(tasks, off=0.1 / tasks)


class NoParameter(Stitch):
    def __init__(self, tasks):
        super().__init__(tasks)
        alpha = self.alpha.detach()
        del self.alpha
        self.alpha = alpha


STITCH = Rows(right=[MatrixProduct, Stitch], wrong=[
    (Turned, "transposed"), (Softmaxed, "softmax"), (Residual, "residual"), (OwnOnly, "only its own stream"),
    (TooMuch, "more than 1"), (Ones, "All ones"), (Identity, "identity mixes nothing"), (NoParameter, "no parameter `alpha`"),
    (EqualShares, "Equal shares mix"), (SharedByAll, "others of a row are")])

# ---- 05.5, 05.6

TRUE = {"strength 0.1: distance that one pull leaves": 1 / 1.02, "strength 5: distance that one step in the loss leaves": -2,
        "strength 5: distance that one pull leaves": 0.25, "how far the mean of three bodies moves in a pull": 0,
        "bodies that a text passes in soft sharing, 4 tasks": 1, "bodies that a text passes in cross-stitch, 4 tasks": 4}
FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH = TRUE
PREDICTION = Rows(right=[TRUE | {FIRST: torch.tensor(0.98)}, {key: np.float64(value) for key, value in TRUE.items()}], wrong=[
    (TRUE | {FIRST: 0.99}, "left out the 2"), (TRUE | {SECOND: -0.5}, "left out the 2"),
    (TRUE | {FIRST: None}, "is None"), (TRUE | {SECOND: "-2"}, "without quotes"), (TRUE | {FOURTH: 0.25}, "add up to nothing"),
    (TRUE | {SECOND: 0.25}, "pull after the step"), (TRUE | {SECOND: 2}, "changed sides"), (TRUE | {THIRD: -2}, "The pull divides"),
    (TRUE | {THIRD: 0.4}, "left out the 2"), (TRUE | {FOURTH: 1}, "add up to nothing"), (TRUE | {FIFTH: 4}, "its own task's body"),
    (TRUE | {SIXTH: 1}, "all four networks"), ({}, "6 keys")])


def pandas_rule(scores):
    """Right: with pandas."""
    import pandas as pd
    table = pd.DataFrame(scores)
    mean, best = table.mean(), table.mean().idxmax()
    return float(mean[mean >= mean[best] - table[best].sem()].index.max())


def best_mean(scores):
    return max(scores, key=lambda s: np.mean(scores[s]))


def within(scores, error):
    best = best_mean(scores)
    return [s for s in scores if np.mean(scores[s]) >= np.mean(scores[best]) - error(scores[best])]


def sem(values):
    return np.std(values, ddof=1) / len(values) ** 0.5


CHOICE = Rows(right=[pandas_rule, lambda s: np.float32(max(within(s, sem)))], wrong=[
    (best_mean, "wins by less than the seeds' own noise"),
    (lambda s: max(s, key=lambda k: max(s[k])), "rewards spread"),
    (lambda s: min(within(s, sem)), "smallest strength that is near"),
    (lambda s: max(within(s, lambda v: np.std(v, ddof=1))), "square root of n"),
    (lambda s: max(s), "whatever it reached"),
    (lambda s: max(k for k in s if np.mean(s[k]) >= np.mean(s[best_mean(s)]) - sem(s[k])), "its own standard error"),
    (lambda s: max(within(s, lambda v: np.std(v) / len(v) ** 0.5)), "it is n - 1"), (lambda s: within(s, sem), "Return one strength"),
    (lambda s: within(s, sem)[-1], "standard error of the best mean"),
    (lambda s: 7.0, "one of the strengths"),
    (lambda s: max(np.mean(v) for v in s.values()), "one of the strengths")])

ANSWERS = {"05.1": L2, "05.2": TRACE, "05.3": PULL, "05.4": STITCH, "05.5": PREDICTION, "05.6": CHOICE}
