"""Exercises of chapter 05, soft sharing."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..expect import Mistake, Wrong, compare, compare_predictions, expect, expect_close, expect_shape, expect_type, numbers
from ..registry import Exercise

TITLE, NOTEBOOK = "Soft sharing", "05_soft_sharing"


# ---- 05.1 l2_penalty --------------------------------------------------------------------------------------------------

def over_pairs(bodies):
    """The same number by another road: the squared distances of all pairs, divided by K."""
    return sum(((bodies[k] - bodies[j]) ** 2).sum() for k in range(len(bodies)) for j in range(k)) / len(bodies)


L2 = [
    Mistake(lambda m: over_pairs(m) * len(m), "You added up the squared distances of all pairs. That is K times the penalty.",
            "Take the distance of each body to the mean body, or divide by K."),
    Mistake(lambda m: 2 * over_pairs(m) * len(m), "You added up all pairs, each of them twice.",
            "Take the distance of each body to the mean body."),
    Mistake(lambda m: over_pairs(m) / len(m), "You averaged over the bodies; the formula is a sum over tasks.", "Use a sum."),
    Mistake(lambda m: m.var(0).sum(), "That is the sum divided by K - 1, as `var` does it.", "Add up the squares; nothing is divided."),
    Mistake(lambda m: ((m - m.mean(0)) ** 2).mean(), "You averaged over all numbers; the formula is a sum.", "Use .sum()."),
    Mistake(lambda m: ((m - m.mean()) ** 2).sum(), "You took one mean of all numbers. The mean body has P numbers of its own.",
            "`bodies.mean(0)` is the mean over tasks."),
    Mistake(lambda m: ((m - m.mean(1, keepdim=True)) ** 2).sum(), "You took the mean over the weights of each body.",
            "`bodies.mean(0)` is the mean over tasks."),
    Mistake(lambda m: (m - m.mean(0)).norm(dim=1).sum(), "You added up distances; the formula has their squares.", "Square them."),
    Mistake(lambda m: (m - m.mean(0)).norm(), "You took a square root: the formula has none.", "Leave the sum of squares as it is."),
    Mistake(lambda m: ((m[1:] - m[0]) ** 2).sum(), "You measured distances to the first body. Then the order of tasks counts.",
            "Measure from the mean of all bodies."),
    Mistake(lambda m: (m ** 2).sum(), "That is weight decay: distances to zero.", "Subtract the mean body first."),
]


def check_l2(answer, fresh):
    bodies = fresh.normal(fresh.integer(3, 5), 6) + fresh.uniform(6, low=0.5, high=2.0)      # the mean is not near zero
    says = "The penalty is the sum over tasks of the squared distance to the mean body."
    compare(answer, [bodies], over_pairs, says, known=L2)
    expect_close(answer(bodies[:1]), 0.0, "One body alone is its own mean: the penalty must be 0.")
    slope = answer.gradients(bodies, wrt=[0])["inputs"][0]
    half = 2 * (bodies - bodies.mean(0))
    expect(not np.allclose(slope, 2 * half, rtol=1e-3), "The penalty is right; its gradient is twice too large.")
    expect_close(slope, half, "The gradient must be 2 (θ_k - mean).", "The mean may be detached, or a body may.",
                 "Let gradients flow through every body; what flows through the mean adds up to zero.")
    return "Its gradient points straight at the mean."


# ---- 05.2 trace_norm --------------------------------------------------------------------------------------------------

def singular_sum(weights):
    """By the eigenvalues of the small Gramian, in float64."""
    gram = weights.double() @ weights.double().T
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum()


TRACE = [
    Mistake(lambda w: (w ** 2).sum(), "You added up the squares: the eigenvalues of W Wᵀ are the squares of the singular "
            "values.", "Take the square root of each eigenvalue, then add; or use torch.linalg.svdvals."),
    Mistake(lambda w: (w ** 2).sum().sqrt(), "That is the Frobenius norm, the root of the sum of squares.",
            "Add the singular values themselves."),
    Mistake(lambda w: torch.linalg.svdvals(w)[0], "That is the largest singular value alone (the spectral norm).", "Add them all."),
    Mistake(lambda w: torch.linalg.svdvals(w).mean(), "You averaged the singular values.", "Add them."),
    Mistake(lambda w: torch.linalg.svdvals(w - w.mean(0)).sum(), "You subtracted the mean first. The trace norm is taken of the "
            "weights themselves: equal bodies have rank 1, not 0.", "Leave the mean in."),
    Mistake(lambda w: w.abs().sum(), "That is the sum of absolute values: it counts weights, not directions.",
            "Use singular values."),
    Mistake(lambda w: torch.linalg.matrix_rank(w).float(), "That is the rank. It is what the trace norm stands in for, and has no "
            "gradient.", "Add the singular values."),
    Mistake(lambda w: torch.trace(w), "That is the trace of the matrix. The trace norm has its name from the trace of √(W Wᵀ).",
            "Add the singular values: torch.linalg.svdvals."),
]


def check_trace(answer, fresh):
    tasks, shape = fresh.integer(3, 4), (fresh.integer(3, 4), 5)
    flat = fresh.normal(tasks, math.prod(shape))
    compare(answer, [flat.view(tasks, *shape)], lambda w: singular_sum(w.flatten(1)), "The trace norm is the sum of the singular "
            "values of the K x P matrix whose rows are the tasks' weights.", known=[
                *[Mistake(lambda w, of=m.wrong: of(w.flatten(1)), m.why, m.next) for m in TRACE],
                Mistake(lambda w: torch.linalg.svdvals(w).sum(), "You took the singular values of each task's matrix apart. They "
                        "say nothing about how tasks relate.", "Flatten each task's weights to one row first: `weights.flatten(1)`."),
                Mistake(lambda w: torch.linalg.svdvals(w.flatten(0, 1)).sum(), "You stacked the matrices on top of one another.",
                        "Each task must be one row: `weights.flatten(1)` has the shape (K, P)."),
                Mistake(lambda w: torch.linalg.svdvals(w.reshape(-1, len(w))).sum(), "`reshape(-1, K)` puts numbers of different tasks "
                        "into one row.", "Each task must be one row: `weights.flatten(1)` has the shape (K, P).")])
    same = fresh.normal(1, 12).expand(3, 12).reshape(3, 3, 4)
    expect_close(answer(same), 3 ** 0.5 * same[0].norm(), "Three equal bodies have one singular value, √3 times their length.",
                 rtol=3e-3)
    return "Bodies that are combinations of few patterns are cheap; that they be equal is not asked."


# ---- 05.3 pull --------------------------------------------------------------------------------------------------------

def pulled(bodies, lr, strength):
    """What minimises |x - θ|² / (2 lr) + strength |x - mean x|²: solved as a linear system, task by task."""
    count = len(bodies)
    if math.isinf(strength):
        return bodies.mean(0, keepdim=True).expand_as(bodies)
    apart = torch.eye(count, dtype=torch.float64) - 1 / count
    system = torch.eye(count, dtype=torch.float64) / (2 * lr) + strength * apart
    return torch.linalg.solve(system, bodies.double() / (2 * lr)).to(bodies)


def cost(x, bodies, lr, strength) -> float:
    """The sum in the text of 05.3, at x."""
    return float(((x - bodies) ** 2).sum() / (2 * lr) + strength * ((x - x.mean(0)) ** 2).sum())


def keep(factor):
    """bodies moved so that `factor(lr, strength)` of each distance is left."""
    return lambda m, lr, s: m.mean(0) + (m - m.mean(0)) * factor(lr, s)


PULL = [
    Mistake(keep(lambda lr, s: 1 - 2 * lr * s), "That is the step along the gradient. It overshoots as soon as 2 · lr · strength is "
            "above 1.", "Set the derivative to zero at the new bodies, not at the old ones: (x_k - θ_k) / lr + 2 · strength · (x_k - mean) = 0, "
            "and solve for x_k."),
    Mistake(keep(lambda lr, s: 1 / (1 + lr * s)), "The 2 is missing: the derivative of a square.", "Use 1 + 2 · lr · strength."),
    Mistake(keep(lambda lr, s: 1 / (1 + 2 * s)), "The learning rate is missing: a step with a small rate must pull little.",
            "Use 1 + 2 · lr · strength."),
    Mistake(keep(lambda lr, s: 1 - s), "You moved the bodies by `strength` of their distance, whatever the rate.",
            "Set the derivative of the sum to zero, and solve for x_k."),
    Mistake(keep(lambda lr, s: math.exp(-2 * lr * s)), "That is many tiny steps along the gradient. Asked for is the minimum of the sum.",
            "Set the derivative of the sum to zero, and solve for x_k."),
    Mistake(lambda m, lr, s: (m + 2 * lr * s * (m.sum(0) - m) / (len(m) - 1)) / (1 + 2 * lr * s), "You pulled each body to the mean of "
            "the others. In the sum, the mean is that of all K.", "Use bodies.mean(0)."),
    Mistake(lambda m, lr, s: m / (1 + 2 * lr * s), "You shrank the bodies towards zero. That is weight decay.",
            "Shrink their distance to the mean: mean + (body - mean) / (...)."),
    Mistake(lambda m, lr, s: (m - m.mean(0)) / (1 + 2 * lr * s), "The mean was subtracted and not added again.", "Add the mean."),
    Mistake(lambda m, lr, s: m[:1] + (m - m[:1]) / (1 + 2 * lr * s), "You pulled everything to the first body. Then the order of "
            "the tasks counts.", "Pull towards the mean of all bodies."),
    Mistake(lambda m, lr, s: one_after_another(m, lr, s), "The second body was pulled to a mean that the first one had already "
            "moved.", "Compute the mean once, before anything moves."),
]


def one_after_another(bodies, lr, strength):
    bodies = bodies.clone()
    for k in range(len(bodies)):
        mean = bodies.mean(0)
        bodies[k] = mean + (bodies[k] - mean) / (1 + 2 * lr * strength)
    return bodies


def check_pull(answer, fresh):
    for strength in (fresh.number(2, 6), fresh.number(40, 90)):
        args = [fresh.normal(3, 5), fresh.number(0.05, 0.2), strength]
        got = answer(*args)
        expect_shape(got, (3, 5), "K tasks, P weights")
        yours, least = cost(torch.as_tensor(numbers(got)), *args), cost(pulled(*args), *args)
        compare(answer, args, pulled, "Your bodies do not minimise the sum: it is {yours} there, and can be {least}.", known=PULL,
                axes="K tasks, P weights", yours=yours, least=least)
    bodies = fresh.normal(4, 3)
    expect_close(answer(bodies, 0.1, 0.0), bodies, "At strength 0 nothing may move: that is single-task training.")
    got = answer(bodies, 0.1, math.inf)
    expect(numbers(got) is None or not np.isnan(numbers(got)).any(), "At infinite strength the result is nan.",
           "inf / inf, or inf · 0, is nan.", "distance / inf is 0: divide the distance, and nothing else, by the large number.")
    expect_close(got, pulled(bodies, 0.1, math.inf), "At infinite strength every body must be the mean.")
    return "Right from 0 to infinity, and it never overshoots."


# ---- 05.4 CrossStitch -------------------------------------------------------------------------------------------------

def check_stitch(answer, fresh):
    tasks = fresh.integer(3, 4)
    unit = answer.build(tasks)
    has = unit.parameters()
    expect("alpha" in has, "The unit has no parameter `alpha`. Its parameters: {found}.", "A plain tensor is not a parameter: no optimizer "
           "would see it.", "self.alpha = nn.Parameter(...)", found=sorted(has) or "none")
    expect(len(has) == 1, "One matrix is all there is to learn; you have {found}.", found=sorted(has))
    expect_shape(unit.state()["alpha"], (tasks, tasks), "K, K", "alpha")
    _start(unit.state()["alpha"], tasks)
    alpha, streams = fresh.normal(tasks, tasks), fresh.normal(tasks, 2, 5)
    unit.load({"alpha": alpha})
    compare(unit, [streams], lambda x: (alpha[:, :, None, None] * x[None]).sum(1), "Network k must take the sum over j of α_kj x_j.",
            axes="K, B, D", known=[
                Mistake(lambda x: torch.einsum("jk,jbd->kbd", alpha, x), "The matrix is transposed: row k says what network k "
                        "takes, column j from whom.", "Use alpha[k, j] * streams[j], summed over j."),
                Mistake(lambda x: torch.einsum("kj,jbd->kbd", alpha.softmax(1), x), "You put a softmax over the rows. The paper's α "
                        "are free, and may be negative.", "Use alpha as it is."),
                Mistake(lambda x: torch.einsum("kj,jbd->kbd", alpha, x) + x, "You added the streams once more: a residual.",
                        "The diagonal of α already holds what a network keeps of itself."),
                Mistake(lambda x: alpha.diagonal()[:, None, None] * x, "Each network got only its own stream.",
                        "Add what the others give: all of row k.")])
    slope = unit.gradients(streams)["parameters"]["alpha"]
    expect_close(slope, streams.sum((1, 2)).expand(tasks, -1), "Gradients must reach alpha.")
    return "With K networks it costs K² numbers, and every text passes all K of them."


def _start(alpha, tasks):
    alpha = numbers(alpha)
    want = np.full((tasks, tasks), 0.1 / (tasks - 1))
    np.fill_diagonal(want, 0.9)
    if not np.allclose(alpha, want, atol=1e-4):
        off = alpha[~np.eye(tasks, dtype=bool)]
        why = ("All ones: activations would grow K times with every unit." if np.allclose(alpha, 1) else
               "The identity mixes nothing at the start; the paper starts with a little." if np.allclose(alpha, np.eye(tasks)) else
               "With 0.1 for each of the others the rows sum to more than 1, and activations grow." if np.allclose(off, 0.1) else
               "Equal shares mix the networks completely from the start; each should keep 0.9 of its own." if np.ptp(alpha) < 1e-4 else
               "A random start can turn a pretrained network's streams round." if np.ptp(off) > 1e-4 else
               "The others of a row are {n}, and share what the diagonal leaves.")
        raise Wrong("α must start with 0.9 on the diagonal, and each row must sum to 1. Your first row is {row}; it sums to {total}.",
                    why, "Share 0.1 among the other K - 1.", row=alpha[0].round(4).tolist(), total=float(alpha[0].sum()), n=tasks - 1)


# ---- 05.5 prediction --------------------------------------------------------------------------------------------------

KEYS = ("strength 0.1: distance that one pull leaves", "strength 5: distance that one step in the loss leaves",
        "strength 5: distance that one pull leaves", "how far the mean of three bodies moves in a pull",
        "bodies that a text passes in soft sharing, 4 tasks", "bodies that a text passes in cross-stitch, 4 tasks")
GUESSES = {
    KEYS[0]: {0.99: "You left out the 2 from the square.", 0.9: "You left out the rate: a pull that is weak and slow hardly moves.",
              1.0: "It moves little, but it moves."},
    KEYS[1]: {0.0: "1 - 2 · 0.1 · 5 is 0 at a rate of 0.1; here the rate is 0.3.", 0.25: "That is the pull after the step.",
              2.0: "The sign matters: the bodies have changed sides.", -0.5: "You left out the 2 from the square."},
    KEYS[2]: {-2.0: "That is the step in the loss. The pull divides.", 0.4: "You left out the 2."},
    KEYS[3]: dict.fromkeys((1.0, 0.25, 0.98, -2.0), "Each body moves towards the mean, and these moves add up to nothing."),
    KEYS[4]: {4.0: "Only training touches all four at once, through the pull. A text passes its own task's body."},
    KEYS[5]: {1.0: "To be mixed, the streams of all four networks are needed for every text."},
}


def check_prediction(answer, fresh):
    bodies = fresh.normal(3, 4)
    mean, lr = bodies.mean(0), 0.3

    def left(moved):
        return float((moved - moved.mean(0)).flatten() @ (bodies - mean).flatten() / (bodies - mean).square().sum())
    loss_step = bodies - lr * 2 * 5 * (bodies - mean)
    measured = dict(zip(KEYS, (left(pulled(bodies, 0.1, 0.1)), left(loss_step), left(pulled(bodies, lr, 5.0)),
                               float((pulled(bodies, lr, 5.0).mean(0) - mean).norm()), 1.0, 4.0)))
    next = dict.fromkeys(KEYS[:3], "Write θ - mean before and after, and divide.") | {
        KEYS[3]: "Add up the moves of the three bodies.", **dict.fromkeys(KEYS[4:], "Follow one text through the model.")}
    compare_predictions(answer.value, measured, GUESSES, next, tolerance=0.006)           # 0.98, and not 0.99
    return "All six as measured."


# ---- 05.6 choose_strength ---------------------------------------------------------------------------------------------

def one_error_rule(scores, own=False, ddof=1):
    """The largest strength whose mean is within one standard error (of the best one's seeds) of the best mean."""
    mean = {s: sum(v) / len(v) for s, v in scores.items()}
    best = max(mean, key=lambda s: (mean[s], s))

    def error(s):
        values = scores[s if own else best]
        return (sum((v - sum(values) / len(values)) ** 2 for v in values) / (len(values) - ddof) / len(values)) ** 0.5
    return max(s for s in scores if mean[s] >= mean[best] - error(s))


def _plain_best(scores):
    return max(scores, key=lambda s: sum(scores[s]))


RULES = [
    Mistake(_plain_best, "You took the best mean. It wins by less than the seeds' own noise.",
            "Keep every strength within one standard error of the best, then take the largest of them."),
    Mistake(lambda s: max(s, key=lambda k: max(s[k])), "You took the strength with the single best run: that rewards spread.",
            "Compare means over seeds."),
    Mistake(lambda s: min(k for k in s if sum(s[k]) / len(s[k]) >= sum(s[_plain_best(s)]) / len(s[k])
                          - np.std(s[_plain_best(s)], ddof=1) / len(s[k]) ** 0.5), "You took the smallest strength that is near the "
            "best. Among equals the rule asks for the simplest model: the one that shares most.", "Take the largest."),
    Mistake(lambda s: max(k for k in s if sum(s[k]) / len(s[k]) >= sum(s[_plain_best(s)]) / len(s[k])
                          - np.std(s[_plain_best(s)], ddof=1)), "You used the standard deviation of one run. The mean of n runs is "
            "surer than that.", "Divide by the square root of n."),
    Mistake(lambda s: one_error_rule(s, own=True), "You gave each strength its own standard error. Then a strength gets in because its "
            "scores scatter.", "One bar for all: the best mean minus the standard error of the best."),
    Mistake(lambda s: one_error_rule(s, ddof=0), "The standard deviation has n in it; of a sample it is n - 1.",
            "statistics.stdev, or numpy's std with ddof=1."),
    Mistake(lambda s: max(s), "You took the largest strength whatever it reached.", "Look at the scores."),
]


def grid(fresh):
    """Validation scores. In standard errors below the best: stronger ones at 0.6 and 0.955 (out, if n stands for n - 1), one at
    1.5 whose own error is larger than that, one at 2.2 (in, if the root of n is missing)."""
    n, sd = 6, fresh.number(0.018, 0.024, 4)
    error, top = sd / n ** 0.5, fresh.number(0.80, 0.88, 4)
    shape = np.array([-1.5, -0.7, -0.2, 0.1, 0.5, 1.8])                # fixed spread, its largest value well above the rest
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    strengths = [0.0, *sorted(fresh.sample([0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0], 7))]
    below = [9.0, 0.45, 0.0, 0.6, 0.955, fresh.number(1.4, 1.6), fresh.number(2.1, 2.3), 12.0]
    wide = {0: 4.2, 5: -1.9}                                          # one poor strength has the single best run
    return {s: [round(float(top - b * error + x * sd * wide.get(i, 1.0)), 6) for x in fresh.shuffled(list(shape))]
            for i, (s, b) in enumerate(zip(strengths, below))}


def check_choice(answer, fresh):
    scores = grid(fresh)
    order, right = fresh.shuffled(list(scores)), one_error_rule(scores)
    order.insert(fresh.integer(0, 2), order.pop(order.index(right)))              # the last one that is near enough is not the largest
    shuffled = {s: scores[s] for s in order}
    got = answer(shuffled)
    expect(not isinstance(got, (list, tuple, dict)), "Return one strength, not all that are near enough.", next="Return the largest of them.")
    expect_type(got, "number")
    expect(any(np.isclose(float(numbers(got)), s) for s in scores), "Return one of the strengths that were tried, {tried}; you "
           "returned {got}.", tried=sorted(scores), got=got)
    compare(answer, [shuffled], one_error_rule, "Among the strengths within one standard error of the best mean, take the largest.",
            known=RULES)
    return "A choice that a new seed will not overturn as easily."


EXERCISES = [
    Exercise(
        id="05.1", title="How far apart are the bodies?", answer="l2_penalty", call="l2_penalty(bodies)", points=1, difficulty=1,
        importance=4, minutes=8, check=check_l2,
        hints=["What is the mean body? It has the shape (P,).", "bodies - bodies.mean(0) has the shape (K, P). What next?"]),
    Exercise(
        id="05.2", title="The trace norm", answer="trace_norm", call="trace_norm(weights)", points=2, difficulty=3, importance=3,
        minutes=12, check=check_trace,
        hints=["Each task becomes one row: flatten everything behind the first axis.",
               "torch.linalg.svdvals gives the singular values of a matrix.", "Two steps: flatten(1), then the sum of svdvals."]),
    Exercise(
        id="05.3", title="A pull that cannot overshoot", answer="pull", call="pull(bodies, lr, strength)", points=2, difficulty=2,
        importance=5, minutes=12, check=check_pull,
        hints=["Which part of a body should shrink, and which should stay?",
               "mean + (bodies - mean) / something. At strength 0 something is 1.", "something = 1 + 2 * lr * strength."]),
    Exercise(
        id="05.4", title="A cross-stitch unit", answer="Stitch", call="Stitch(tasks)(streams)", wants="class", points=3,
        difficulty=3, importance=4, minutes=15, kind="write a module", check=check_stitch,
        hints=["α is a matrix (K, K) with 0.9 on the diagonal. What is left for each of the K - 1 others?",
               "streams is (K, B, D): the sum over j of alpha[k, j] * streams[j] is a matrix product over the first axis.",
               'torch.einsum("kj,jbd->kbd", self.alpha, streams)']),
    Exercise(
        id="05.5", title="Predict the pull and its price", answer="prediction", call="prediction", wants="value", points=2,
        difficulty=2, importance=4, minutes=10, kind="predict", check=check_prediction,
        hints=["After the step: the distance is divided by 1 + 2 · lr · strength. In the loss: multiplied by 1 - 2 · lr · strength.",
               "Moves towards the mean add up to zero.", "Which network must run so that its stream can be mixed?"]),
    Exercise(
        id="05.6", title="Choose a strength that will last", answer="choose_strength", call="choose_strength(scores)", points=2,
        difficulty=3, importance=4, minutes=12, kind="measure and choose", check=check_choice,
        hints=["Mean of each, then the best mean. How sure is that mean?",
               "Its standard error is the standard deviation (with n - 1) over √n.",
               "Keep the strengths whose mean is at least best - error. Return the largest."]),
]
