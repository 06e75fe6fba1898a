"""Answers to the exercises of chapter 08."""

import math

import numpy as np
import torch

from . import Rows

# ---- 08.1


def by_logs(sizes, temperature, cap):
    """Right: a softmax of log sizes over T, in torch."""
    logs = torch.tensor([min(size, cap) for size in sizes.values()], dtype=torch.float64).log() / temperature
    return dict(zip(sizes, logs.softmax(0)))


def shares(power=lambda t: 1 / t, cap_at="first", normal=True):
    def answer(sizes, temperature, cap):
        weights = {k: (min(n, cap) if cap_at == "first" else n) ** power(temperature) for k, n in sizes.items()}
        if cap_at == "last":
            weights = {k: min(w, cap) for k, w in weights.items()}
        return {k: w / (sum(weights.values()) if normal else 1) for k, w in weights.items()}
    return answer


SHARES = Rows(right=[by_logs, shares()], wrong=[
    (shares(cap_at=""), "cap is not used|tempered first"), (shares(cap_at="last"), "tempered first|cap is not used"),
    (shares(lambda t: t), "power T"),
    (shares(lambda t: 1), "temperature is not used"), (shares(lambda t: -1 / t), "small tasks get the most"),
    (shares(normal=False), "must sum to 1"), (lambda s, t, c: list(shares()(s, t, c).values()), "Return a dict"),
    (lambda s, t, c: {k: 100 * p for k, p in shares()(s, t, c).items()}, "per cent"),
    (lambda s, t, c: shares()({k: max(n, c) for k, n in s.items()}, t, 10**9), "larger of size and cap"),
    (lambda s, t, c: {k: p ** (1 / t) for k, p in shares(lambda t: 1)(s, t, c).items()}, "shares first"),
    (lambda s, t, c: {k: min(n, c) ** (1 / t) / sum(m ** (1 / t) for m in s.values()) for k, n in s.items()}, "without the cap"),
    (lambda s, t, c: dict(zip(s, torch.tensor([min(n, c) / t for n in s.values()]).softmax(0))), "softmax of the rows")])

# ---- 08.2

ANNEALED = Rows(right=[lambda i, n: np.linspace(1, 0.2, n)[i], lambda i, n: torch.tensor(1 - 0.8 * i / max(1, n - 1))], wrong=[
    (lambda i, n: 1 - 0.8 * i / n, "never arrives"), (lambda i, n: 1 - 0.8 * (i - 1) / max(1, n - 1), "count from 1"),
    (lambda i, n: 0.2 + 0.8 * i / max(1, n - 1), "It rises"), (lambda i, n: 1 - i / max(1, n - 1), "ends at 0"),
    (lambda i, n: float(torch.tensor(1 - 0.8 * i / (n - 1))) if n > 1 else float("nan"), "nan|one step"),
    (lambda i, n: [1 - 0.8 * i / max(1, n - 1)], "one number|shape"),
    (lambda i, n: 0.2 ** (i / max(1, n - 1)), "same factor"), (lambda i, n: 1 - 0.8 * (i // max(1, n - 1)), "whole numbers"),
    (lambda i, n: 1 - 0.8 * i / (n + 1), "steps . 1"), (lambda i, n: 1 - 0.2 * i / max(1, n - 1), "ends at 0.8"),
    (lambda i, n: np.linspace(1, 0.2, n), "all steps")])

# ---- 08.3


def by_variances(losses, log_vars, kinds):
    """Right: with σ itself, in float64."""
    sigma = (log_vars.double() / 2).exp()
    half = torch.tensor([0.5 if kind == "regress" else 1 for kind in kinds])
    return (half * losses / sigma**2 + sigma.log()).sum()


def uncertain(half=None, term=0.5, power=1.0, mean=False, detach=False):
    def answer(losses, log_vars, kinds):
        s = log_vars.detach() if detach else log_vars
        factors = torch.tensor([0.5 if kind == "regress" else 1.0 for kind in kinds]) if half is None else half
        every = factors * torch.exp(-power * s) * losses + term * s
        return every.mean() if mean else every.sum()
    return answer


UNCERTAIN = Rows(right=[by_variances, uncertain()], wrong=[
    (uncertain(half=0.5), "halved every task"), (uncertain(half=1.0), "half before its loss"), (uncertain(term=1.0), "log σ is s / 2"),
    (uncertain(term=0.0), "infinite σ"), (uncertain(power=2.0, term=1.0), "as log σ"), (uncertain(power=-1.0, term=0.5), "weigh less"),
    (uncertain(mean=True), "averaged over tasks"), (uncertain(detach=True), "No gradient reaches"),
    (lambda *a: float(uncertain()(*a)), "must be a tensor|cut off"),
    (lambda x, s, k: ((0.5 if k == "regress" else 1) * torch.exp(-s) * x + s / 2).sum(), "ask each of them"),
    (lambda x, s, k: uncertain()(x, s, ["regress" if one == "classify" else "" for one in k]), "changed places"),
    (lambda x, s, k: sum((0.5 * torch.exp(-v) * y + v / 2) if one == "regress" else torch.exp(-v) * y + v for y, v, one in zip(x, s, k)), "in both"),
    (lambda x, s, k: uncertain(term=0)(x + s / 2, s, k), "inside the brackets"),
    (lambda x, s, k: torch.tensor([0.5 if one == "regress" else 1 for one in k]) * torch.exp(-s) * x + s / 2, "one by one"),
    (lambda x, s, k: sum((0.5 if one == "regress" else 1) * math.exp(-v) * y + v / 2 for y, v, one in zip(x, s, k)), "inside exp")])

# ---- 08.4


def by_coefficients(grads, orders):
    """Right: in the K x K Gramian, as weights of the original gradients, in float64."""
    grads = grads.double()
    gram, total = grads @ grads.T, torch.zeros(len(grads), dtype=torch.float64)
    for i, order in enumerate(orders):
        weights = torch.eye(len(grads), dtype=torch.float64)[i]
        for j in order:
            dot = weights @ gram[:, j]
            if dot < 0:
                weights[j] -= dot / gram[j, j]
        total += weights
    return (total @ grads).numpy()


def pcgrad(moved=False, always=False, root=False, mean=False, agree=False, natural=False, stale=False, mine=False, sign=1, met=9):
    def answer(grads, orders):
        done = [g.clone() for g in grads]
        for i, order in enumerate(orders):
            for j in (sorted(order) if natural else order)[:met]:
                o = done[j] if moved else grads[j]
                dot = torch.dot(grads[i] if stale else done[i], o)
                if always or (dot > 0) == agree:
                    done[i] = done[i] - sign * dot / ((done[i] if mine else o).norm() ** (1 if root else 2)) * o
        if mean is None:
            return torch.stack(done)
        return sum(done) / (len(done) if mean else 1)
    return answer


PCGRAD = Rows(right=[by_coefficients, pcgrad()], wrong=[
    (pcgrad(moved=True), "themselves been projected"), (pcgrad(always=True), "also where gradients agree"),
    (pcgrad(agree=True), "left the conflicts"), (pcgrad(root=True), "divides by its square"), (pcgrad(mean=True), "averaged"),
    (pcgrad(natural=True), "order is given"), (lambda g, o: g.sum(0), "plain sum"),
    (lambda g, o: torch.stack([g[0], g[1]]), "shape"), (pcgrad(stale=True), "first gradient"), (pcgrad(mine=True), "your own gradient"),
    (pcgrad(sign=-1), "added the projection"), (pcgrad(met=1), "Only the first"), (pcgrad(mean=None), "one by one"),
    (lambda g, o: sum(a for a, order in zip(g, o) if all(a @ g[j] >= 0 for j in order)) + 0 * g[0], "thrown away")])

# ---- 08.5


def by_angle(a, b):
    """Right: the textbook's three cases."""
    a, b = a.double(), b.double()
    dot = a @ b
    if dot >= a @ a:
        return a
    if dot >= b @ b:
        return b
    share = (b @ b - dot) / ((a - b) @ (a - b))
    return share * a + (1 - share) * b


def mixing(clip=True, swap=False, guard=True):
    def answer(a, b):
        gap = (a - b) @ (a - b)
        share = ((b - a) @ b) / (gap.clamp(min=1e-12) if guard else gap)
        share = share.clamp(0, 1) if clip else share
        return share * b + (1 - share) * a if swap else share * a + (1 - share) * b
    return answer


def only_share(a, b):
    return (((b - a) @ b) / ((a - b) @ (a - b)).clamp(min=1e-12)).clamp(0, 1)


def tries(count):
    def answer(a, b):
        return min((c * a + (1 - c) * b for c in torch.linspace(0, 1, count)), key=torch.norm)
    return answer


MGDA = Rows(right=[by_angle, lambda a, b: mixing()(a, b).tolist()], wrong=[
    (lambda a, b: (a + b) / 2, "mean of the two"), (lambda a, b: a + b, "sum of the two"), (mixing(clip=False), "left the interval"),
    (lambda a, b: a if a.norm() < b.norm() else b, "took the shorter one"), (mixing(swap=True), "changed places"),
    (mixing(guard=False), "give nan"), (lambda a, b: mixing()(a, b).norm(), "shape|tensor"), (only_share, "share c itself"),
    (lambda a, b: (only_share(a, b), mixing()(a, b)), "vector alone"), (tries(11), "not the shortest: c"), (tries(101), "not the shortest: c"),
    (lambda a, b: (a / a.norm() + b / b.norm()) / 2, "length 1 first"), (lambda a, b: pcgrad()(torch.stack([a, b]), [[1], [0]]), "PCGrad"),
    (lambda a, b: (a.norm() * a + b.norm() * b) / (a.norm() + b.norm()), "longer gradient"),
    (lambda a, b: (b.norm() * a + a.norm() * b) / (a.norm() + b.norm()), "angle")])

# ---- 08.6


def vectorised(grads):
    """Right: all steps at once."""
    dots, there = grads @ grads.mT, grads.abs().sum(-1) > 0
    pairs = torch.triu(there[:, :, None] & there[:, None, :], diagonal=1)
    return (dots[pairs] < 0).double().mean() if pairs.any() else 0


def counting(absent=False, diagonal=False, agree=False, guard=True):
    def answer(grads):
        bad = total = 0
        for step in grads:
            for i in range(len(step)):
                for j in range(i + 1 if diagonal else i):
                    if absent or (step[i].any() and step[j].any()):
                        total += 1
                        bad += int((step[i] @ step[j] > 0) if agree else (step[i] @ step[j] < 0))
        return bad / total if total or not guard else 0.0
    return answer


def ordered_with_diagonal(grads):
    return float(((grads @ grads.mT) < 0).float().mean())


def signs(grads):
    pairs = [(a, b) for step in grads for i, a in enumerate(step) for b in step[:i] if a.any() and b.any()]
    return sum(bool((a * b < 0).any()) for a, b in pairs) / max(1, len(pairs))


def right_angles(grads):
    pairs = [(a, b) for step in grads for i, a in enumerate(step) for b in step[:i] if a.any() and b.any()]
    return sum(bool(a @ b <= 0) for a, b in pairs) / max(1, len(pairs))


RATE = Rows(right=[vectorised, counting()], wrong=[
    (counting(absent=True), "counted as peaceful"), (ordered_with_diagonal, "diagonal"),
    (lambda g: sum(any(s[i] @ s[j] < 0 for i in range(4) for j in range(i)) for s in g) / len(g) if g.size(1) == 4 else 0.0, "steps with a conflict"),
    (counting(agree=True), "pairs that agree"), (lambda g: counting()(g.mean(0, keepdim=True)), "averaged the gradients"),
    (lambda g: np.mean([counting()(one[None]) for one in g]), "mean of these"), (lambda g: counting()(g[g.any(-1).all(-1)]), "not steps"),
    (signs, "one number of the two"), (right_angles, "right angles"), (lambda g: counting()(g) * len(g), "share of pairs"),
    (lambda g: counting()(g) if g.any() else float("nan"), "rate is nan"), (lambda g: g.mean(0), "one number|shape")])

ANSWERS = {"08.1": SHARES, "08.2": ANNEALED, "08.3": UNCERTAIN, "08.4": PCGRAD, "08.5": MGDA, "08.6": RATE}
