"""Exercises of chapter 08, training."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..expect import Mistake, Wrong, close, compare, expect, expect_close, expect_type, numbers
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
    Mistake(lambda *a: tempered(*a, power=lambda t: 1.0), "The temperature is not used.", "Take `min(size, cap) ** (1 / T)`."),
    Mistake(lambda *a: tempered(*a, power=lambda t: -1 / t), "The small tasks get the most. That is not what 1 / T does.",
            "`min(size, cap) ** (1 / T)`, without a minus."),
    Mistake(lambda *a: tempered(*a, normal=False), "The shares must sum to 1.", "Divide by their sum."),
    Mistake(lambda *a: {k: 100 * p for k, p in tempered(*a).items()}, "These are per cent; a share lies between 0 and 1.",
            "Do not multiply with 100."),
    Mistake(lambda s, t, cap: tempered({k: max(n, cap) for k, n in s.items()}, t, math.inf), "You took the larger of size and cap: that "
            "lifts the small tasks to the cap.", "`min(size, cap)` holds the large ones down."),
    Mistake(lambda s, t, cap: {k: p ** (1 / t) for k, p in tempered(s, 1.0, cap).items()}, "You made shares first and took the power "
            "then. After a power they sum to 1 no more.", "Take the power of the rows, and divide by the sum of the powers."),
    Mistake(lambda s, t, cap: {k: min(n, cap) ** (1 / t) / sum(m ** (1 / t) for m in s.values()) for k, n in s.items()}, "The sum below "
            "was taken without the cap.", "Divide by the sum of the very numbers that stand above."),
    Mistake(lambda s, t, cap: _softmax({k: min(n, cap) / t for k, n in s.items()}), "That is a softmax of the rows: the largest task "
            "takes nearly everything.", "Rows to the power 1 / T; or a softmax of log(rows) / T, which is the same."),
    Mistake(lambda *a: list(tempered(*a).values()), "The numbers are right, but nobody sees which task each belongs to.",
            "Return a dict, `{task: share}`."),
]


def _softmax(rows):
    top = max(rows.values())
    powers = {name: math.exp(row - top) for name, row in rows.items()}
    return {name: power / sum(powers.values()) for name, power in powers.items()}


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
    Mistake(lambda i, n: 0.2 ** (i / (n - 1)), "It falls by the same factor at each step. A straight line falls by the same amount.",
            "Subtract 0.8 times the fraction of the way."),
    Mistake(lambda i, n: 1 - 0.8 * (i // (n - 1)), "`//` gives whole numbers: 0 until the last step.", "Divide with `/`."),
    Mistake(lambda i, n: 1 - 0.8 * i / (n + 1), "It never arrives at 0.2: steps + 1 is too many.", "Divide by steps - 1."),
    Mistake(lambda i, n: 1 - 0.2 * i / (n - 1), "It ends at 0.8: you subtract 0.2 on the whole way.", "The way from 1 to 0.2 is 0.8 long."),
    Mistake(lambda i, n: [1 - 0.8 * j / (n - 1) for j in range(n)], "These are the powers of all steps.", "Return that of `step` alone."),
]


def check_annealed(answer, fresh):
    while True:                                                       # until each mistake gives another number
        steps = fresh.integer(8, 40)
        middle = fresh.integer(2, steps - 2)
        values = sorted([alpha(middle, steps), *(mistake.wrong(middle, steps) for mistake in ALPHAS[:-1])])
        if min(b - a for a, b in zip(values, values[1:])) > 0.003:
            break
    for step in (middle, 0, steps - 1):
        compare(answer, [step, steps], alpha, "The power falls in a straight line from 1 at step 0 to 0.2 at the last step.",
                known=ALPHAS)
    expect_close(answer(0, 1), 1.0, "A run of one step must work, with the power 1.", "`steps - 1` is 0 there.",
                 "Divide by `max(1, steps - 1)`.")
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
    Mistake(lambda x, s, k: (torch.exp(-s) * x + s / 2).sum(), "Regression has a half before its loss, 1 / (2 σ²); none of yours "
            "has. `kinds` is a list of words: ask each of them.", "0.5 · exp(-s) · L where the kind is \"regress\"."),
    Mistake(lambda x, s, k: kendall(x, s, k) + s.sum() / 2, "s = log σ², so log σ is s / 2.", "Add 0.5 · s."),
    Mistake(lambda x, s, k: kendall(x, s, k) - s.sum() / 2, "The term that keeps σ small is missing: the loss would be least at "
            "infinite σ.", "Add 0.5 · s for each task."),
    Mistake(lambda x, s, k: kendall(x, 2 * s, k), "You treated s as log σ: exp(-2 s).", "s = log σ², so 1/σ² is exp(-s)."),
    Mistake(lambda x, s, k: kendall(x, 2 * s, k) - s.sum() / 2, "You treated s as log σ: exp(-2 s).", "s = log σ², so 1/σ² is exp(-s)."),
    Mistake(lambda x, s, k: kendall(x, s ** 2, k), "You took exp(-s²).", "Use exp(-s)."),
    Mistake(lambda x, s, k: kendall(x, -s, k) + s.sum(), "The sign of the exponent: a large variance must weigh less.", "exp(-s)"),
    Mistake(lambda x, s, k: kendall(x, s, ["regress" if kind == "classify" else "classify" for kind in k]), "The two kinds have changed "
            "places: the half belongs to regression.", "0.5 where the kind is \"regress\", 1 elsewhere."),
    Mistake(lambda x, s, k: kendall(x, s, k) + sum(s[i] / 2 for i in range(len(k)) if k[i] == "classify"), "The second term is ½ s for "
            "classification too: it is log σ in both.", "Add 0.5 · s for each task, of either kind."),
    Mistake(lambda x, s, k: kendall(x + s / 2, s, k) - s.sum() / 2, "½ s stands inside the brackets: it was multiplied with the weight.",
            "weight · L + ½ s"),
    Mistake(lambda x, s, k: torch.stack([kendall(x[i:i + 1], s[i:i + 1], k[i:i + 1]) for i in range(len(k))]), "These are the tasks' parts, "
            "one by one.", "Add them up: `.sum()`."),
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
    expect(not close(slope[1], torch.full((3,), 0.5)), "No gradient reaches the log-variances inside exp(-s).", "math.exp, float() or "
           ".item() gives a plain number, and a number learns nothing.", "`torch.exp(-s)` of the tensor itself.")
    expect_close(slope[1], 0.5 - factor * torch.exp(-log_vars) * losses, "The gradient of the log-variances is not right.",
                 "Do they enter another way than in exp(-s) and ½ s?")
    return "At its best s the weight of a classification is 1 / (2 L): the loss sets its own weight."


# ---- 08.4 pcgrad ------------------------------------------------------------------------------------------------------

def surgery(grads, orders, moved=False, always=False, over=lambda g, o: o @ o, agree=False, frozen=False, sign=1, first=False):
    projected = [g.clone() for g in grads]
    for i, order in enumerate(orders):
        for j in order[:1] if first else order:
            other = projected[j] if moved else grads[j]
            dot = (grads[i] if frozen else projected[i]) @ other
            if always or (dot > 0 if agree else dot < 0):
                projected[i] = projected[i] - sign * dot / over(projected[i], other) * other
    return torch.stack(projected).sum(0)


def dropped(grads, orders):
    """A gradient that conflicts is left out altogether."""
    return sum(g * float(all(g @ grads[j] >= 0 for j in order)) for g, order in zip(grads, orders))


PCGRAD = [
    Mistake(lambda g, o: surgery(g, o, moved=True), "You projected on gradients that had themselves been projected. The paper uses "
            "the other tasks' original gradients.", "Keep `grads` as it is, and change copies."),
    Mistake(lambda g, o: surgery(g, o, always=True), "You projected also where gradients agree.", "Project only if the dot product is "
            "negative."),
    Mistake(lambda g, o: surgery(g, o, agree=True), "You projected where gradients agree, and left the conflicts.",
            "The condition is: dot product below 0."),
    Mistake(lambda g, o: surgery(g, o, over=lambda g, other: other.norm()), "You divided by the length of the other gradient; a projection divides by its "
            "square.", "`(g @ o) / (o @ o) * o`"),
    Mistake(lambda g, o: surgery(g, o, over=lambda g, other: g @ g), "You divided by your own gradient's square; a projection on the other "
            "divides by the other's.", "`(g @ o) / (o @ o) * o`"),
    Mistake(lambda g, o: surgery(g, o) / len(g), "You averaged; the method's result is the sum.", "Add the projected gradients."),
    Mistake(lambda g, o: surgery(g, o, frozen=True), "All projections were computed from task i's first gradient. Each must start from what "
            "the one before has left.", "Look for the conflict, and project, with the changed g."),
    Mistake(lambda g, o: surgery(g, o, sign=-1), "You added the projection. That turns the conflict into a larger one.", "Subtract it."),
    Mistake(lambda g, o: surgery(g, o, first=True), "Only the first of the other tasks was met.", "`for j in orders[i]`, all of them."),
    Mistake(dropped, "A gradient in conflict was thrown away as a whole. Only its part along the other one must go.", "Subtract the "
            "projection, `(g @ o) / (o @ o) * o`."),
    Mistake(lambda g, o: g.sum(0), "That is the plain sum: nothing was projected."),
    Mistake(lambda g, o: surgery(g, [sorted(one) for one in o]), "You went through the others in their natural order. The order is "
            "given: `orders[i]`.", "`for j in orders[i]`"),
    Mistake(lambda g, o: torch.stack([surgery(g[[i, *o[i]]], [[1, 2], [], []]) - g[o[i]].sum(0) for i in range(3)]), "These are the projected "
            "gradients, one by one.", "Add them up: `.sum(0)`."),
]


def check_pcgrad(answer, fresh):
    while True:                                                       # three tasks that all conflict, so that order matters
        base = fresh.normal(3, 4)
        grads = base - 1.2 * base.mean(0) + 0.1 * fresh.normal(3, 4)
        orders = [fresh.shuffled([j for j in range(3) if j != i]) for i in range(3)]
        right, tries = surgery(grads, orders), [mistake.wrong(grads, orders) for mistake in PCGRAD[:-1]]
        apart = min(float((right - other).abs().max()) for other in tries)
        if apart > 0.02 and float((grads @ grads.T).max()) < 40:
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


def share(a, b):
    return ((b - a) @ b) / ((b - a) @ (b - a))


def unclipped(a, b):
    return share(a, b) * a + (1 - share(a, b)) * b


MGDA = [
    Mistake(lambda a, b: (a + b) / 2, "That is the mean of the two.", "Choose the share that makes the result shortest."),
    Mistake(lambda a, b: a + b, "That is the sum of the two."),
    Mistake(unclipped, "The share left the interval from 0 to 1: the point lies outside of the two gradients.",
            "Clip the share to [0, 1]."),
    Mistake(lambda a, b: a if a.norm() < b.norm() else b, "You took the shorter one. A mixture may be shorter still."),
    Mistake(lambda a, b: share(a, b).clamp(0, 1), "That is the share c itself.", "Return the vector, `c * a + (1 - c) * b`."),
    Mistake(lambda a, b: (share(a, b).clamp(0, 1), shortest(a, b)), "You returned the share too.", "Return the vector alone."),
    Mistake(lambda a, b: a / a.norm() + b / b.norm(), "You brought both to length 1 first. Then the result is no mixture of the two.",
            "Take a and b as they are."),
    Mistake(lambda a, b: (a / a.norm() + b / b.norm()) / 2, "You brought both to length 1 first. Then the result is no mixture of the two.",
            "Take a and b as they are."),
    Mistake(lambda a, b: (a.norm() * a + b.norm() * b) / (a.norm() + b.norm()), "The longer gradient got the larger share: that makes the "
            "result long.", "Set the derivative of the squared length to 0."),
    Mistake(lambda a, b: (b.norm() * a + a.norm() * b) / (a.norm() + b.norm()), "The shares go by the lengths alone. The angle between the "
            "two counts as well.", "Set the derivative of the squared length to 0."),
    Mistake(lambda a, b: surgery(torch.stack([a, b]), [[1], [0]]), "That is PCGrad. It is longer, and goes elsewhere.", "Look for a mixture "
            "`c * a + (1 - c) * b`."),
    Mistake(lambda a, b: b + a - shortest(a, b), "The two shares have changed places.", "Put numbers in: if a is much shorter, the "
            "result must be near a."),
]


def _not_quite(got, a, b):
    """A point between the two, near the shortest: found by trying shares, not by the formula."""
    got, gap = numbers(got), (a - b).double().numpy()
    if got is None or got.shape != gap.shape:
        return
    c = (got - b.double().numpy()) @ gap / (gap @ gap)
    expect(np.abs(b.double().numpy() + c * gap - got).max() > 1e-4 or abs(c - float(share(a, b))) > 0.06, "It is a mixture of the two, and "
           "short, but not the shortest: c = {c}; it should be {best}.", "Perhaps some shares were tried, and the best of them taken.",
           "The length is least where its derivative is 0: that gives c exactly.", c=float(c), best=float(share(a, b)))


def check_min_norm(answer, fresh):
    says = "The result must be the shortest vector between the two gradients."
    while True:                                                       # a clear conflict, and no mistake comes near the right answer
        a, b = fresh.normal(5), fresh.normal(5)
        b = 1.7 * (b - (a @ b + 0.4 * a.norm() * b.norm()) / (a @ a) * a)
        c = float(share(a, b))
        if all(abs(c - other) > 0.07 for other in (0, 0.5, 1, a.norm() / (a.norm() + b.norm()), b.norm() / (a.norm() + b.norm()))) \
                and 0.25 < 100 * c % 1 < 0.75:
            break
    try:
        compare(answer, [a, b], shortest, says, known=MGDA)
    except Wrong as wrong:
        if not wrong.why:
            _not_quite(answer(a, b), a, b)
        raise
    for pair in ([a, 3.0 * a + 0.1 * b], [3.0 * a + 0.1 * b, a]):     # nearly the same direction: the shorter one wins
        compare(answer, pair, shortest, says, known=[MGDA[2], *MGDA])
    got = numbers(answer(a, a.clone()))
    expect(got is None or not np.isnan(got).any(), "Two equal gradients give nan.", "Their distance is 0.", "Return one of them.")
    expect_close(answer(a, a.clone()), a, "Two equal gradients must give back that gradient.")
    return "It decreases both losses, or is zero where none can fall without the other rising."


# ---- 08.6 conflict_rate -----------------------------------------------------------------------------------------------

def rate(grads, conflict=lambda a, b: a @ b < 0):
    bad, total = zip(*(in_step(step, conflict) for step in grads))
    return sum(bad) / sum(total) if sum(total) else 0.0


def in_step(step, conflict=lambda a, b: a @ b < 0):
    """(pairs in conflict, pairs) among the tasks that are present."""
    here = [row for row in step if row.any()]
    pairs = [(here[i], here[j]) for i in range(len(here)) for j in range(i)]
    return sum(bool(conflict(a, b)) for a, b in pairs), len(pairs)


def by_steps(grads):
    return float(np.mean([bad / total for bad, total in map(in_step, grads) if total]))


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
    Mistake(lambda g: rate(g, lambda a, b: a @ b > 0), "You counted the pairs that agree.", "A conflict is a dot product below 0."),
    Mistake(lambda g: 1 - rate(g), "You counted the pairs that agree.", "A conflict is a dot product below 0."),
    Mistake(lambda g: rate(g, lambda a, b: a @ b <= 0), "Pairs at right angles were counted too. Their dot product is 0, and neither step "
            "hurts the other.", "Count `< 0`, not `<= 0`."),
    Mistake(lambda g: rate(g, lambda a, b: (a * b < 0).any()), "You counted a pair as soon as one number of the two gradients differs in "
            "sign. Whether they conflict, the whole dot product says.", "`step[i] @ step[j] < 0`"),
    Mistake(by_steps, "You took a rate for each step, and the mean of these. Then a step with one pair counts as much as one with six.",
            "Add up pairs over all steps, and divide once."),
    Mistake(lambda g: rate(g[g.any(-1).all(-1)]), "Steps in which a task was absent were left out altogether. The others in it can still "
            "conflict.", "Leave out pairs, not steps."),
    Mistake(lambda g: sum(in_step(step)[0] for step in g), "That is the number of pairs in conflict.", "Divide by the number of all pairs."),
    Mistake(lambda g: rate(g.mean(0, keepdim=True)), "You averaged the gradients over the steps first. Conflicts that come and go "
            "vanish in a mean.", "Look at each step."),
]


def check_rate(answer, fresh):
    while True:
        grads = torch.cat([fresh.normal(6, 4, 5), fresh.number(0.5, 2) * torch.eye(4, 5)[None]])       # the last at right angles
        for step in fresh.sample(range(6), 3):
            grads[step, fresh.integer(0, 3)] = 0
        wrong = [mistake.wrong(grads) for mistake in CONFLICTS]
        values = sorted([rate(grads), *wrong])
        if min(b - a for a, b in zip(values, values[1:])) > 0.003:    # each mistake gives another number
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
        hints=["`min(size, cap)` first, then the power `1 / temperature`.", "Divide by the sum, so that the shares sum to 1."]),
    Exercise(
        id="08.2", title="Anneal the sampler", answer="annealed", call="annealed(step, steps)", points=1, difficulty=2, importance=3,
        minutes=8, check=check_annealed,
        hints=["The numbers of the steps are 0 to steps - 1. Which fraction runs from 0 to 1 over them?",
               "`1 - 0.8 * step / (steps - 1)`. And for steps = 1?"]),
    Exercise(
        id="08.3", title="Losses that weigh themselves", answer="uncertainty_loss", call="uncertainty_loss(losses, log_vars, kinds)",
        points=2, difficulty=3, importance=4, minutes=15, check=check_uncertainty,
        hints=["With s = log σ²: 1/σ² is `exp(-s)`, and log σ is `s / 2`.",
               "Only the kind \"regress\" has the factor ½ before its loss.", "Add over the tasks; keep everything a tensor."]),
    Exercise(
        id="08.4", title="PCGrad", answer="pcgrad", call="pcgrad(grads, orders)", points=3, difficulty=3, importance=4, minutes=20,
        check=check_pcgrad,
        hints=["Work on a copy: `g = grads[i].clone()`. `grads` itself must not change.",
               "For each j in `orders[i]`: if `g @ grads[j] < 0`, subtract the projection on `grads[j]`.",
               "`g - (g @ o) / (o @ o) * o`, and the sum of all g at the end."]),
    Exercise(
        id="08.5", title="MGDA for two tasks", answer="min_norm", call="min_norm(a, b)", points=2, difficulty=3, importance=3,
        minutes=15, check=check_min_norm,
        hints=["Points between a and b: share · a + (1 - share) · b. Where is the length least?",
               "Set the derivative to 0: share = ((b - a) · b) / |a - b|².", "Clip the share to [0, 1], and mind a = b."]),
    Exercise(
        id="08.6", title="How often do tasks disagree?", answer="conflict_rate", call="conflict_rate(grads)", points=2, difficulty=2,
        importance=3, minutes=12, check=check_rate,
        hints=["`grads[step] @ grads[step].T` holds all dot products of a step.", "A task that was absent has a row of zeros.",
               "Count pairs i < j in which both are present, and those among them with a negative product."]),
]
