"""Exercises of chapter 08, training."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..expect import Mistake, compare, expect, expect_close, expect_type, numbers
from ..registry import Exercise

TITLE, NOTEBOOK = "Training", "08_training"


# ---- 08.1 shares ------------------------------------------------------------------------------------------------------

def tempered(sizes, temperature, cap, order="cap first", power=None, normal=True):
    power = 1 / temperature if power is None else power(temperature)
    capped = {name: min(size, cap) if order != "no cap" else size for name, size in sizes.items()}
    weights = {name: size**power for name, size in (sizes if order == "cap last" else capped).items()}
    if order == "cap last":
        weights = {name: min(weight, cap) for name, weight in weights.items()}
    total = sum(weights.values()) if normal else 1
    return {name: weight / total for name, weight in weights.items()}


SHARES = [
    Mistake(lambda *a: tempered(*a, order="no cap"), "The cap is not used.", "A task counts as min(size, cap) rows."),
    Mistake(lambda *a: tempered(*a, order="cap last"), "You tempered first and capped then.", "The cap is on rows: min(size, cap) "
            "comes first."),
    Mistake(lambda *a: tempered(*a, power=lambda t: t), "You took the power T. That favours the large tasks even more.",
            "The power is 1 / T."),
    Mistake(lambda *a: tempered(*a, power=lambda t: 1.0), "The temperature is not used.", "Take min(size, cap) ** (1 / T)."),
    Mistake(lambda *a: tempered(*a, power=lambda t: -1 / t), "The small tasks get the most. That is not what 1 / T does.",
            "min(size, cap) ** (1 / T), without a minus."),
    Mistake(lambda *a: tempered(*a, normal=False), "The shares must sum to 1.", "Divide by their sum."),
]


def check_shares(answer, fresh):
    sizes = dict(zip(fresh.sample(["mood", "topic", "speaker", "rating", "intent"], 3),
                     fresh.shuffled([fresh.integer(40, 80), fresh.integer(500, 900), fresh.integer(9000, 20000)])))
    temperature = fresh.number(1.5, 4)
    compare(answer, [sizes, temperature, 3000], tempered, "Each task's share is min(size, cap)^(1/T) over the sum of these.",
            known=SHARES)
    equal = answer(sizes, 1e9, 10**9)
    expect_close(equal, dict.fromkeys(sizes, 1 / 3), "At a very large temperature all tasks must have the same share.")
    expect_close(answer(sizes, 1.0, 10**9), tempered(sizes, 1.0, 10**9), "At T = 1 without a cap it must be proportional sampling.")
    return "T = 1 is proportional, a large T uniform; the cap keeps the giant in bounds."


# ---- 08.2 annealed ----------------------------------------------------------------------------------------------------

def alpha(step, steps):
    return 1.0 if steps == 1 else 1 - 0.8 * step / (steps - 1)


ALPHAS = [
    Mistake(lambda i, n: 1 - 0.8 * i / n, "It never arrives at 0.2: the last step has the number steps - 1.",
            "Divide by steps - 1."),
    Mistake(lambda i, n: 1 - 0.8 * (i - 1) / (n - 1), "The first step has the number 0 here; you count from 1.", "Use step, not "
            "step - 1."),
    Mistake(lambda i, n: 0.2 + 0.8 * i / (n - 1), "It rises. At first large tasks should get their share, at the end all the same.",
            "Start at 1 and subtract."),
    Mistake(lambda i, n: 1 - i / (n - 1), "It ends at 0, which is uniform sampling; in the paper it ends at 0.2.", "Multiply with 0.8."),
]


def check_annealed(answer, fresh):
    steps = fresh.integer(8, 40)
    for step in (fresh.integer(2, steps - 2), 0, steps - 1):
        compare(answer, [step, steps], alpha, "The power falls in a straight line from 1 at step 0 to 0.2 at the last step.",
                known=ALPHAS)
    expect_close(answer(0, 1), 1.0, "A run of one step must work, with the power 1.", "(steps - 1) is 0 there.",
                 "Use max(1, steps - 1).")
    return "Also for a run of one step, where public code divides by zero."


# ---- 08.3 uncertainty -------------------------------------------------------------------------------------------------

def kendall(losses, log_vars, kinds):
    total = torch.zeros(())
    for loss, s, kind in zip(losses, log_vars, kinds):
        total = total + torch.exp(-s) * loss * (0.5 if kind == "regress" else 1.0) + 0.5 * s
    return total


UNCERTAIN = [
    Mistake(lambda x, s, k: (torch.exp(-s) * x / 2 + s / 2).sum(), "You halved every task's loss. Only regression has that half; "
            "a softmax is divided by σ² alone.", "exp(-s) · L for classification."),
    Mistake(lambda x, s, k: (torch.exp(-s) * x + s / 2).sum(), "Regression has a half before its loss: 1 / (2 σ²).",
            "0.5 · exp(-s) · L for regression."),
    Mistake(lambda x, s, k: kendall(x, s, k) + s.sum() / 2, "s = log σ², so log σ is s / 2.", "Add 0.5 · s."),
    Mistake(lambda x, s, k: kendall(x, s, k) - s.sum() / 2, "The term that keeps σ small is missing: the loss would be least at "
            "infinite σ.", "Add 0.5 · s for each task."),
    Mistake(lambda x, s, k: kendall(x, 2 * s, k), "You treated s as log σ: exp(-2 s).", "s = log σ², so 1/σ² is exp(-s)."),
    Mistake(lambda x, s, k: kendall(x, 2 * s, k) - s.sum() / 2, "You treated s as log σ: exp(-2 s).", "s = log σ², so 1/σ² is exp(-s)."),
    Mistake(lambda x, s, k: kendall(x, s ** 2, k), "You took exp(-s²).", "Use exp(-s)."),
    Mistake(lambda x, s, k: kendall(x, -s, k) + s.sum(), "The sign of the exponent: a large variance must weigh less.", "exp(-s)"),
    Mistake(lambda x, s, k: kendall(x, s, k) / len(x), "You averaged over tasks; the formula is a sum.", "Add."),
]


def check_uncertainty(answer, fresh):
    kinds = fresh.shuffled(["regress", "classify", "classify"])
    losses, log_vars = fresh.uniform(3, low=0.5, high=3), fresh.uniform(3, low=0.3, high=1.2)
    compare(answer, [losses, log_vars, kinds], kendall, "The loss is the sum of ½ e^(-s) L + ½ s (regression) and e^(-s) L + ½ s "
            "(classification).", known=UNCERTAIN)
    slope = answer.gradients(losses, log_vars, kinds, wrt=[0, 1])["inputs"]
    expect(slope[1] is not None, "No gradient reaches the log-variances.", "They were detached, or turned into numbers. They must be "
           "learned.", "Use the tensor itself.")
    factor = torch.tensor([0.5 if kind == "regress" else 1.0 for kind in kinds])
    expect_close(slope[0], factor * torch.exp(-log_vars), "The gradient of the losses is not right.")
    expect_close(slope[1], 0.5 - factor * torch.exp(-log_vars) * losses, "The gradient of the log-variances is not right.",
                 "Do they enter another way than in exp(-s) and ½ s?")
    return "At its best s the weight of a classification is 1 / (2 L): the loss sets its own weight."


# ---- 08.4 pcgrad ------------------------------------------------------------------------------------------------------

def surgery(grads, orders, moved=False, always=False, norm=False, mean=False, agree=False, combine=True):
    projected = [g.clone() for g in grads]
    for i, order in enumerate(orders):
        for j in order:
            other = projected[j] if moved else grads[j]
            dot = projected[i] @ other
            if always or (dot > 0 if agree else dot < 0):
                projected[i] = projected[i] - dot / (other.norm() if norm else other @ other) * other
    total = torch.stack(projected)
    return total.mean(0) if mean else total.sum(0)


PCGRAD = [
    Mistake(lambda g, o: surgery(g, o, moved=True), "You projected on gradients that had themselves been projected. The paper uses "
            "the other tasks' original gradients.", "Keep `grads` as it is, and change copies."),
    Mistake(lambda g, o: surgery(g, o, always=True), "You projected also where gradients agree.", "Project only if the dot product is "
            "negative."),
    Mistake(lambda g, o: surgery(g, o, agree=True), "You projected where gradients agree, and left the conflicts.",
            "The condition is: dot product below 0."),
    Mistake(lambda g, o: surgery(g, o, norm=True), "You divided by the length of the other gradient; a projection divides by its "
            "square.", "(g · o) / (o · o) · o"),
    Mistake(lambda g, o: surgery(g, o, mean=True), "You averaged; the method's result is the sum.", "Add the projected gradients."),
    Mistake(lambda g, o: g.sum(0), "That is the plain sum: nothing was projected."),
    Mistake(lambda g, o: surgery(g, [sorted(one) for one in o]), "You went through the others in their natural order. The order is "
            "given: `orders[i]`.", "for j in orders[i]"),
]


def check_pcgrad(answer, fresh):
    while True:                                                       # three tasks that all conflict, so that order matters
        base = fresh.normal(3, 4)
        grads = base - 1.2 * base.mean(0) + 0.1 * fresh.normal(3, 4)
        orders = [fresh.shuffled([j for j in range(3) if j != i]) for i in range(3)]
        tries = [surgery(grads, orders)] + [mistake.wrong(grads, orders) for mistake in PCGRAD]
        apart = min(float((tries[0] - other).abs().max()) for other in tries[1:-1])
        if apart > 0.02 and float((grads @ grads.T).max()) < 40 and sum(map(sorted, orders), []) != sum(orders, []) \
                and float((tries[0] - tries[-1]).abs().max()) > 0.02:
            break
    compare(answer, [grads, orders], surgery, "Each gradient loses its part along every original gradient that it conflicts with, "
            "in the given order; then they are added.", known=PCGRAD, axes="P,")
    plain = torch.eye(3, 4)
    expect_close(answer(plain, orders), plain.sum(0), "Gradients at right angles must be left alone.")
    return "For K = 2 the result conflicts with neither task; for more it may."


# ---- 08.5 min_norm ----------------------------------------------------------------------------------------------------

def shortest(a, b):
    """By looking: the shortest of very many points between a and b, in float64."""
    if torch.equal(a, b):
        return a
    gap = (b - a).double()
    part = float(-(a.double() @ gap) / (gap @ gap))
    return a + min(1.0, max(0.0, part)) * (b - a)


def unclipped(a, b):
    return a - (a @ (b - a)) / ((b - a) @ (b - a)) * (b - a)


MGDA = [
    Mistake(lambda a, b: (a + b) / 2, "That is the mean of the two.", "Choose the share that makes the result shortest."),
    Mistake(lambda a, b: a + b, "That is the sum of the two."),
    Mistake(unclipped, "The share left the interval from 0 to 1: the point lies outside of the two gradients.",
            "Clip the share to [0, 1]."),
    Mistake(lambda a, b: a if a.norm() < b.norm() else b, "You took the shorter one. A mixture may be shorter still."),
    Mistake(lambda a, b: b + a - shortest(a, b), "The two shares have changed places.", "Put numbers in: if a is much shorter, the "
            "result must be near a."),
]


def check_min_norm(answer, fresh):
    says = "The result must be the shortest vector between the two gradients."
    a, b = fresh.normal(5), fresh.normal(5)
    b = b - (a @ b + 0.4 * a.norm() * b.norm()) / (a @ a) * a         # a clear conflict: the best share lies inside
    compare(answer, [a, 1.7 * b], shortest, says, known=MGDA)
    for pair in ([a, 3.0 * a + 0.1 * b], [3.0 * a + 0.1 * b, a]):     # nearly the same direction: the shorter one wins
        compare(answer, pair, shortest, says, known=[MGDA[2], MGDA[0], MGDA[1], MGDA[4]])
    got = numbers(answer(a, a.clone()))
    expect(got is None or not np.isnan(got).any(), "Two equal gradients give nan.", "Their distance is 0.", "Return one of them.")
    expect_close(answer(a, a.clone()), a, "Two equal gradients must give back that gradient.")
    return "It decreases both losses, or is zero where none can fall without the other rising."


# ---- 08.6 conflict_rate -----------------------------------------------------------------------------------------------

def rate(grads):
    bad = total = 0
    for step in grads:
        for i in range(len(step)):
            for j in range(i):
                if step[i].any() and step[j].any():
                    total += 1
                    bad += bool(step[i] @ step[j] < 0)
    return bad / total if total else 0.0


def _all_pairs(grads, diagonal=False, absent=True):
    dots = grads @ grads.mT
    count = grads.size(1)
    keep = torch.ones_like(dots, dtype=torch.bool) if diagonal else ~torch.eye(count, dtype=torch.bool).expand_as(dots)
    return float((dots[keep] < 0).float().mean())


CONFLICTS = [
    Mistake(lambda g: _all_pairs(g), "Pairs with a task that was absent (a row of zeros) were counted as peaceful.",
            "Count only pairs in which both rows hold something other than zero."),
    Mistake(lambda g: _all_pairs(g, diagonal=True), "A gradient never conflicts with itself: leave the diagonal out.",
            "Count pairs of different tasks."),
    Mistake(lambda g: float(np.mean([any(s[i] @ s[j] < 0 for i in range(len(s)) for j in range(i)) for s in g])), "You counted steps "
            "with a conflict, not pairs.", "Count pairs of tasks over all steps."),
    Mistake(lambda g: 1 - rate(g), "You counted the pairs that agree."),
    Mistake(lambda g: rate(g.mean(0, keepdim=True)), "You averaged the gradients over the steps first. Conflicts that come and go "
            "vanish in a mean.", "Look at each step."),
]


def check_rate(answer, fresh):
    while True:
        grads = fresh.normal(6, 4, 5)
        for step in fresh.sample(range(6), 3):
            grads[step, fresh.integer(0, 3)] = 0
        wrong = [mistake.wrong(grads) for mistake in CONFLICTS]
        values = sorted([rate(grads), *wrong])
        if min(b - a for a, b in zip(values, values[1:])) > 0.01:     # each mistake gives another number
            break
    compare(answer, [grads], rate, "It is the share of pairs of different, present tasks whose gradients have a negative dot "
            "product, over all steps.", known=CONFLICTS)
    got = answer(torch.zeros(2, 3, 4))
    expect_type(got, "number")
    expect(not math.isnan(float(numbers(got))), "With no pair at all the rate is nan.", "0 / 0.", "Return 0.0 then.")
    return "Keep it beside the losses: a rise tells you when tasks begin to part."


EXERCISES = [
    Exercise(
        id="08.1", title="How often is each task drawn?", answer="shares", call="shares(sizes, temperature, cap)", points=2,
        difficulty=1, importance=5, minutes=10, check=check_shares,
        hints=["min(size, cap) first, then the power 1 / temperature.", "Divide by the sum, so that the shares sum to 1."]),
    Exercise(
        id="08.2", title="Anneal the sampler", answer="annealed", call="annealed(step, steps)", points=1, difficulty=2, importance=3,
        minutes=8, check=check_annealed,
        hints=["The numbers of the steps are 0 to steps - 1. Which fraction runs from 0 to 1 over them?",
               "1 - 0.8 * step / (steps - 1). And for steps = 1?"]),
    Exercise(
        id="08.3", title="Losses that weigh themselves", answer="uncertainty_loss", call="uncertainty_loss(losses, log_vars, kinds)",
        points=2, difficulty=3, importance=4, minutes=15, check=check_uncertainty,
        hints=["With s = log σ²: 1/σ² is exp(-s), and log σ is s / 2.",
               "Only the kind \"regress\" has the factor ½ before its loss.", "Add over the tasks; keep everything a tensor."]),
    Exercise(
        id="08.4", title="PCGrad", answer="pcgrad", call="pcgrad(grads, orders)", points=3, difficulty=3, importance=4, minutes=20,
        check=check_pcgrad,
        hints=["Work on a copy: g = grads[i].clone(). `grads` itself must not change.",
               "For each j in orders[i]: if g @ grads[j] < 0, subtract the projection on grads[j].",
               "g - (g @ o) / (o @ o) * o, and the sum of all g at the end."]),
    Exercise(
        id="08.5", title="MGDA for two tasks", answer="min_norm", call="min_norm(a, b)", points=2, difficulty=3, importance=3,
        minutes=15, check=check_min_norm,
        hints=["Points between a and b: share · a + (1 - share) · b. Where is the length least?",
               "Set the derivative to 0: share = ((b - a) · b) / |a - b|².", "Clip the share to [0, 1], and mind a = b."]),
    Exercise(
        id="08.6", title="How often do tasks disagree?", answer="conflict_rate", call="conflict_rate(grads)", points=2, difficulty=2,
        importance=3, minutes=12, kind="measure and choose", check=check_rate,
        hints=["grads[step] @ grads[step].T holds all dot products of a step.", "A task that was absent has a row of zeros.",
               "Count pairs i < j in which both are present, and those among them with a negative product."]),
]
