"""Answers to the exercises of chapter 08."""

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
    (shares(normal=False), "must sum to 1"), (lambda s, t, c: list(shares()(s, t, c).values()), "must be a dict")])

# ---- 08.2

ANNEALED = Rows(right=[lambda i, n: np.linspace(1, 0.2, n)[i], lambda i, n: torch.tensor(1 - 0.8 * i / max(1, n - 1))], wrong=[
    (lambda i, n: 1 - 0.8 * i / n, "never arrives"), (lambda i, n: 1 - 0.8 * (i - 1) / max(1, n - 1), "count from 1"),
    (lambda i, n: 0.2 + 0.8 * i / max(1, n - 1), "It rises"), (lambda i, n: 1 - i / max(1, n - 1), "ends at 0"),
    (lambda i, n: float(torch.tensor(1 - 0.8 * i / (n - 1))) if n > 1 else float("nan"), "nan|one step"),
    (lambda i, n: [1 - 0.8 * i / max(1, n - 1)], "one number|shape")])

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
    (lambda *a: float(uncertain()(*a)), "must be a tensor|cut off")])

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


def pcgrad(moved=False, always=False, root=False, mean=False, agree=False, natural=False):
    def answer(grads, orders):
        done = [g.clone() for g in grads]
        for i, order in enumerate(orders):
            for j in sorted(order) if natural else order:
                o = done[j] if moved else grads[j]
                dot = torch.dot(done[i], o)
                if always or (dot > 0) == agree:
                    done[i] = done[i] - dot / (o.norm() ** (1 if root else 2)) * o
        return sum(done) / (len(done) if mean else 1)
    return answer


PCGRAD = Rows(right=[by_coefficients, pcgrad()], wrong=[
    (pcgrad(moved=True), "themselves been projected"), (pcgrad(always=True), "also where gradients agree"),
    (pcgrad(agree=True), "left the conflicts"), (pcgrad(root=True), "divides by its square"), (pcgrad(mean=True), "averaged"),
    (pcgrad(natural=True), "order is given"), (lambda g, o: g.sum(0), "plain sum"),
    (lambda g, o: torch.stack([g[0], g[1]]), "shape")])

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


MGDA = Rows(right=[by_angle, lambda a, b: mixing()(a, b).tolist()], wrong=[
    (lambda a, b: (a + b) / 2, "mean of the two"), (lambda a, b: a + b, "sum of the two"), (mixing(clip=False), "left the interval"),
    (lambda a, b: a if a.norm() < b.norm() else b, "took the shorter one"), (mixing(swap=True), "changed places"),
    (mixing(guard=False), "give nan"), (lambda a, b: mixing()(a, b).norm(), "shape|tensor")])

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


RATE = Rows(right=[vectorised, counting()], wrong=[
    (counting(absent=True), "counted as peaceful"), (ordered_with_diagonal, "diagonal"),
    (lambda g: sum(any(s[i] @ s[j] < 0 for i in range(4) for j in range(i)) for s in g) / len(g) if g.size(1) == 4 else 0.0, "steps with a conflict"),
    (counting(agree=True), "pairs that agree"), (lambda g: counting()(g.mean(0, keepdim=True)), "averaged the gradients"),
    (lambda g: counting()(g) if g.any() else float("nan"), "rate is nan"), (lambda g: g.mean(0), "one number|shape")])

ANSWERS = {"08.1": SHARES, "08.2": ANNEALED, "08.3": UNCERTAIN, "08.4": PCGRAD, "08.5": MGDA, "08.6": RATE}
