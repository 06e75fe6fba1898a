"""Answers to the exercises of chapter 10."""

import numpy as np
import torch
from torch import nn

from . import Rows

# ---- 10.1


def stage_of(name, depth, new):
    if name.startswith("heads."):
        return 0 if name.split(".")[1] in new else 99
    return depth + 1 if name.startswith("embedding") else 1 if name.startswith("norm") else depth - int(name.split(".")[1])


def opened(keep):
    return lambda names, depth, stage, new: [n for n in names if keep(n, stage_of(n, depth, new), depth, stage)]


def as_sets(names, depth, stage, new):
    """Right: by prefixes that end in a dot; a set."""
    prefixes = [f"heads.{task}." for task in new] + [f"blocks.{depth - 1 - i}." for i in range(min(stage, depth))]
    prefixes += ["norm."] * (stage > 0) + ["embedding."] * (stage > depth)
    return {name for name in names if name.startswith(tuple(prefixes))}


def step_by_step(names, depth, stage, new):
    """Right: stage after stage, a layer more each time."""
    layers = [["embedding"], *([f"blocks.{i}"] for i in range(depth))]
    layers[-1].append("norm")
    found = [name for name in names if name.split(".")[0] == "heads" and name.split(".")[1] in new]
    for layer in layers[len(layers) - stage:]:
        found += [n for n in names if n.split(".")[0] in layer or ".".join(n.split(".")[:2]) in layer]
    return found


def frozen_prefix(names, depth, stage, new):
    right = as_sets(names, depth, stage, new)
    frozen = [f"blocks.{i}" for i in range(depth - stage)]
    return [name for name in right if not any(name.startswith(each) for each in frozen)]


def by_substring(names, depth, stage, new):
    return [n for n in names if any(task in n for task in new) or n[0] != "h" and stage_of(n, depth, new) <= stage]


UNFROZEN = Rows(right=[as_sets, step_by_step], wrong=[
    (lambda n, d, s, new: opened(lambda n, at, d, s: (d + 2 - at if n[0] in "be" else at) <= s)(n, d, s, new), "from below"),
    (opened(lambda n, at, d, s: at == s or at == 0), "Only the newest layer trains|other weights must train"),
    (opened(lambda n, at, d, s: at <= s + 1), "one layer ahead"), (opened(lambda n, at, d, s: at < s), "one layer late"),
    (opened(lambda n, at, d, s: at <= s and n[0] != "n"), "final norm"), (opened(lambda n, at, d, s: at <= s or n[0] == "h"), "Old heads"),
    (opened(lambda n, at, d, s: at <= s and not (n[0] == "h" and s)), "new heads stop"), (frozen_prefix, "begins with 'blocks.1'"),
    (opened(lambda n, at, d, s: at <= s + (s == d)), "layer of their own"), (opened(lambda n, at, d, s: at <= min(s, d)), "never open"),
    (lambda n, d, s, new: len(n), "list of names"), (by_substring, "holds 'mood'"),
    (opened(lambda n, at, d, s: (int(n.split(".")[1]) < s) if n[0] == "b" else at <= s), "block 0 is the lowest"),
    (opened(lambda n, at, d, s: at <= s and (n[0] != "b" or at == s)), "newest block"), (opened(lambda n, at, d, s: at <= s or n[0] == "n"), "norm trains")])

# ---- 10.2


class Branch(nn.Module):
    """The variants of a LoRA layer; without options it is right."""

    scale_by = staticmethod(lambda r, alpha: alpha / r)
    trains, zero_a, random_b, replaces, relu, in_place, half = False, False, False, False, False, False, False

    def __init__(self, inputs, outputs, r, alpha):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs), requires_grad=self.trains)
        self.A = nn.Parameter(torch.zeros(r, inputs) if self.zero_a else torch.randn(r, inputs))
        self.B = nn.Parameter(torch.randn(outputs, r) if self.random_b else torch.zeros(outputs, r))
        self.scale = self.scale_by(r, alpha)

    def forward(self, x):
        inner = x @ self.A.T
        out = self.scale * (inner.relu() if self.relu else inner) @ self.B.T
        return out if self.replaces else x @ self.weight.T + out

    def merged(self):
        change = (1 if self.half else self.scale) * (self.B @ self.A)
        if self.in_place:
            self.weight.data += change
            return self.weight
        return self.weight + change


def variant(**options):
    return type("LoRA", (Branch,), options)


class Merging(Branch):
    """Right: always through the merged matrix."""

    def forward(self, x):
        return nn.functional.linear(x, self.merged())


class WithBuffer(nn.Module):
    """Right: the frozen weight is a buffer, the branch is computed by einsum."""

    def __init__(self, inputs, outputs, r, alpha):
        super().__init__()
        self.register_buffer("weight", torch.rand(outputs, inputs))
        self.A, self.B = nn.Parameter(torch.rand(r, inputs) - 0.5), nn.Parameter(torch.zeros(outputs, r))
        self.r, self.alpha = r, alpha

    def forward(self, x):
        return torch.einsum("ni,oi->no", x, self.weight) + torch.einsum("ni,ri,or->no", x, self.A, self.B) * self.alpha / self.r

    def merged(self):
        return self.weight.add(self.B.detach().matmul(self.A.detach()), alpha=self.alpha / self.r)


class PlainTensors(Branch):
    def __init__(self, inputs, outputs, r, alpha):
        super().__init__(inputs, outputs, r, alpha)
        a = self.A.data
        del self.A
        self.A = a


class Linear(Branch):
    def __init__(self, inputs, outputs, r, alpha):
        super().__init__(inputs, outputs, r, alpha)
        self.bias = nn.Parameter(torch.zeros(outputs))


class Inside(Branch):
    def __init__(self, inputs, outputs, r, alpha):
        super().__init__(inputs, outputs, r, alpha)
        del self.weight
        self.base = nn.Linear(inputs, outputs, bias=False)


LORA = Rows(right=[Merging, WithBuffer], wrong=[
    (variant(scale_by=staticmethod(lambda r, alpha: 1)), "factor α / r is missing"),
    (variant(scale_by=staticmethod(lambda r, alpha: alpha)), "α alone"), (variant(scale_by=staticmethod(lambda r, alpha: r / alpha)), "upside down"),
    (variant(trains=True), "`weight` trains"), (variant(zero_a=True), "nothing would ever move"), (variant(random_b=True), "`B` must be 0"),
    (variant(replaces=True), "stands beside it"), (variant(relu=True), "relu in the branch"), (variant(in_place=True), "in place"),
    (variant(half=True), "In merged\\(\\) the factor"), (PlainTensors, "plain tensor"), (Linear, "parameters too many"),
    (variant(scale_by=staticmethod(lambda r, alpha: alpha // r)), "cuts the fraction"), (Inside, "inside another module"),
    (variant(scale_by=staticmethod(lambda r, alpha: alpha / r**0.5)), "root of r")])

# ---- 10.3


def descend(start, x, y, strength, lr, steps, pull=lambda w, start, s: s * (w - start)):
    w = start
    for _ in range(steps):
        w = w - lr * (x.T @ (x @ w - y) / len(x) + pull(w, start, strength))
    return w


def by_autograd(start, x, y, strength, lr, steps):
    """Right: through autograd and torch's SGD."""
    w = start.detach().clone().requires_grad_()
    sgd = torch.optim.SGD([w], lr=lr)
    for _ in range(steps):
        sgd.zero_grad()
        ((x @ w - y).square().mean() / 2 + strength / 2 * (w - start).square().sum()).backward()
        sgd.step()
    return w.detach()


def in_numpy(start, x, y, strength, lr, steps):
    """Right: in place, with another name for the start that is kept."""
    w, kept, x, y = start.numpy(), start.numpy().copy(), x.numpy(), y.numpy()
    for _ in range(steps):
        w -= lr * (x.T @ (x @ w - y) / len(x) + strength * (w - kept))
    return w


def same_tensor(start, x, y, strength, lr, steps):
    w = start
    for _ in range(steps):
        w -= lr * (x.T @ (x @ w - y) / len(x) + strength * (w - start))
    return w


def copied_each_step(start, x, y, strength, lr, steps):
    w = start.clone()
    for _ in range(steps):
        start = w.clone()
        w -= lr * (x.T @ (x @ w - y) / len(x) + strength * (w - start))
    return w


FINE_TUNE = Rows(right=[by_autograd, in_numpy, descend], wrong=[
    (same_tensor, "second name"), (copied_each_step, "pull is not there"),
    (lambda *a: descend(*a, pull=lambda w, start, s: s * w), "weight decay"),
    (lambda *a: descend(*a, pull=lambda w, start, s: 2 * s * (w - start)), "twice too strong"),
    (lambda *a: descend(*a, pull=lambda w, start, s: s * (start - w)), "pushes away"),
    (lambda *a: descend(*a, pull=lambda w, start, s: s * (w - start) / a[4]), "learning rate"),
    (lambda *a: descend(*a[:5], 1), "one step"), (lambda s, x, y, k, lr, n: descend(s, x, y, k / len(x), lr * len(x), n), "not averaged")])

# ---- 10.4


def memory(scores, last_counts=False, sign=1, total=False):
    count = len(scores)
    own, end = scores.diagonal(), scores[-1]
    best = torch.stack([scores[j:max(j + 1, count - 1), j].max() for j in range(count)])
    divisor = 1 if total else count if last_counts else count - 1
    return {"backward": sign * float((end - own).sum()) / divisor, "forgetting": float((best - end)[:-1].sum()) / divisor}


def by_pandas(scores):
    """Right: with labels for stages and tasks."""
    import pandas as pd
    table = pd.DataFrame(scores.numpy().astype(float))
    seen = table.where(np.tril(np.ones(table.shape, dtype=bool)))
    end, tasks = table.iloc[-1], table.columns[:-1]
    return {"forgetting": (seen.iloc[:-1].max() - end)[tasks].mean(), "backward": np.mean([end[j] - table.loc[j, j] for j in tasks])}


MEMORY = Rows(right=[by_pandas, memory], wrong=[
    (lambda r: memory(r, last_counts=True), "divided by the number of tasks"), (lambda r: memory(r, sign=-1), "`backward` is turned"),
    (lambda r: memory(r, total=True), "added up"), (lambda r: memory(r.T), "Rows and columns"),
    (lambda r: memory(r) | {"forgetting": -memory(r)["backward"]}, "minus `backward`"),
    (lambda r: memory(r) | {"forgetting": -memory(r)["forgetting"]}, "`forgetting` is turned"),
    (lambda r: memory(r) | {"forgetting": float((r[:-1].max(0).values - r[-1])[:-1].mean())}, "before the task was trained"),
    (lambda r: memory(r) | {"forgetting": float(np.mean([r[j:, j].max() - r[-1, j] for j in range(len(r) - 1)]))}, "cut off at 0"),
    (lambda r: list(memory(r).values()), "their names"),
    (lambda r: memory(r) | {"forgetting": float((r.max(0).values - r[-1])[:-1].mean())}, "last stage was among"),
    (lambda r: memory(r)["backward"], "must be a dict"), (lambda r: {"backward": memory(r)["backward"]}, "missing")])

# ---- 10.5


def ties(start, models, keep, scale, by_mass=True, disjoint=True, summed=False, add=True, trims=True, clamp=True, late=False, size=torch.abs,
         whole=round, again=False):
    away = models - start
    cut = size(away).kthvalue(away.shape[1] - whole(keep * away.shape[1]), dim=1).values[:, None]
    rows = away * (size(away) > cut) if trims else away
    elected = (away if late else rows).sum(0).sign() if by_mass else rows.sign().sum(0).sign()
    rows = away if again else rows
    agree = (rows.sign() == elected) & (rows != 0)
    count = 1 if summed else agree.sum(0) if disjoint else len(rows)
    count = count.clamp(min=1) if clamp and torch.is_tensor(count) else count
    return (start if add else 0) + scale * (rows * agree).sum(0) / count


def place_by_place(start, models, keep, scale):
    """Right: loops over numpy, float64."""
    away = models.double().numpy() - start.double().numpy()
    for row in away:
        row[np.argsort(np.abs(row))[:len(row) - round(keep * len(row))]] = 0
    result = start.double().numpy().copy()
    for i, column in enumerate(away.T):
        plus, minus = column[column > 0], column[column < 0]
        winner = plus if plus.sum() > -minus.sum() else minus
        result[i] += scale * winner.mean() if len(winner) else 0
    return result


TIES = Rows(right=[place_by_place, ties], wrong=[
    (lambda *a: ties(*a, add=False), "start was not added"), (lambda *a: ties(*a[:3], 1.0), "scale is missing"),
    (lambda *a: ties(*a, by_mass=False), "counting models|Trim each task vector"), (lambda *a: ties(*a, disjoint=False), "number of models"),
    (lambda *a: ties(*a, summed=True), "added the agreeing"), (lambda *a: ties(*a, trims=False), "Nothing was trimmed"),
    (lambda *a: ties(*a, late=True), "before trimming"), (lambda *a: ties(*a, clamp=False), "nan"),
    (lambda s, m, k, c: s + c * (m - s).mean(0), "plain mean"), (lambda s, m, k, c: s + c * (m - s).sum(0), "task arithmetic"),
    (lambda s, m, k, c: s + ties(0 * s, m, k, c), "trimmed the weights|Trim each task vector"),
    (lambda *a: ties(*a, size=lambda x: x), "large negative ones"), (lambda *a: ties(*a, whole=int), "cut off, not rounded"),
    (lambda s, m, k, c: ties(s, m, 1 - k, c), "what should go"), (lambda *a: ties(*a, again=True), "into the mean again"),
    (lambda s, m, k, c: ties(0 * s, m, k, c), "merged the weights|Trim each task vector")])

# ---- 10.6

TRUE = {"probe: numbers that train": 51, "LoRA with r=2 in all four blocks: numbers that train": 307,
        "gradual, stage 2: numbers that train": 563, "fine-tune: numbers that train": 17075,
        "LoRA, merged for use: numbers more than body and head": 0, "decay 0.5, top block at 0.01: rate of the embeddings": 0.000625,
        "TIES at a place where the task vectors hold 3 and -1": 3}
PROBE, BRANCHES, STAGE, ALL, MERGED, RATE, PLACE = TRUE
PREDICTION = Rows(right=[{key: np.float32(value) for key, value in TRUE.items()}, TRUE | {PROBE: torch.tensor(51)}], wrong=[
    (TRUE | {PROBE: 48}, "has a bias"), (TRUE | {BRANCHES: 256}, "head trains too"), (TRUE | {BRANCHES: 179}, "A and B both"), (TRUE | {BRANCHES: 115}, "All four blocks"),
    (TRUE | {STAGE: 512}, "in every stage"), (TRUE | {STAGE: 1075}, "not all four"), (TRUE | {ALL: 1075}, "embeddings are trained too"),
    (TRUE | {MERGED: 256}, "branches are gone"), (TRUE | {RATE: 0.00125}, "one lower"), (TRUE | {RATE: 0.005}, "not once"),
    (TRUE | {PLACE: 1}, "mean of both"), (TRUE | {PLACE: 2}, "sum of both"), (TRUE | {PLACE: "3"}, "must be one number"),
    ([51], "must be a dict"), ({}, "7 keys")])

ANSWERS = {"10.1": UNFROZEN, "10.2": LORA, "10.3": FINE_TUNE, "10.4": MEMORY, "10.5": TIES, "10.6": PREDICTION}
