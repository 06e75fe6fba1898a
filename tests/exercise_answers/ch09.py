"""Answers to the exercises of chapter 09."""

import re

import numpy as np
import torch
from scipy import stats

from . import Rows

# ---- 09.1


def delta(multi, single, lower, flat=False, sign=1, scale=None, signed=True):
    tasks = []
    for task in multi:
        tasks.append([(-1 if signed and name in lower else 1) * (multi[task][name] - single[task][name])
                      / (scale or single)[task][name] for name in multi[task]])
    return sign * float(np.mean(sum(tasks, [])) if flat else np.mean([np.mean(each) for each in tasks]))


def with_tensors(multi, single, lower):
    """Right: ratios, where low is better turned round by 2 - ratio, in float64."""
    means = []
    for task, values in multi.items():
        ratio = torch.tensor([values[name] / single[task][name] for name in values], dtype=torch.float64)
        low = torch.tensor([name in lower for name in values])
        means.append(torch.where(low, 2 - ratio, ratio).mean() - 1)
    return torch.stack(means).mean()


def with_pandas(multi, single, lower):
    """Right: in long tables."""
    import pandas as pd
    a, b = (pd.DataFrame(values).stack() for values in (multi, single))
    change = (a - b) / b
    change[[name in lower for name, _ in change.index]] *= -1
    return change.groupby(level=1).mean().mean()


ONES = {"mood": {"accuracy": 1}, "tags": {"f1": 1, "hamming": 1}, "rating": {"mae": 1, "rank": 1, "within one": 1}}
DELTA = Rows(right=[with_tensors, with_pandas], wrong=[
    (lambda *a: delta(*a, flat=True), "all metrics at once"),
    (lambda *a: delta(*a, signed=False), "better low were treated like the others"),
    (lambda *a: delta(*a, sign=-1), "sign is turned"),
    (lambda *a: delta(*a, sign=3), "added up over the tasks"),
    (lambda *a: delta(*a, sign=100), "in per cent"),
    (lambda m, s, low: delta(m, s, low, scale=m), "divided by the multi-task"),
    (lambda m, s, low: delta(m, s, low, scale=ONES), "plain differences"),
    (lambda m, s, low: np.mean([np.mean([(s[t][n] / v if n in low else v / s[t][n]) - 1 for n, v in m[t].items()]) for t in m]), "only its sign"),
    (lambda m, s, low: {t: delta({t: m[t]}, s, low) for t in m}, "one by one")])

# ---- 09.2


def f1(truth, answers):
    return 2 * (truth * answers).sum(-1) / (truth.sum(-1) + answers.sum(-1))


def with_sklearn(truth, first, second, drawn):
    """Right: draw by draw, by scikit-learn's F1."""
    from sklearn.metrics import f1_score
    gaps = [f1_score(truth[rows], first[rows]) - f1_score(truth[rows], second[rows]) for rows in drawn.numpy()]
    return np.percentile(gaps, [2.5, 97.5])


def with_counts(truth, first, second, drawn):
    """Right: how often each row was drawn, as weights; quantiles of torch."""
    times = torch.nn.functional.one_hot(drawn, len(truth)).sum(1).double()                       # (R, N)
    def weighted(answers):
        return 2 * (times @ (truth * answers).double()) / (times @ (truth + answers).double())
    return torch.quantile(weighted(first) - weighted(second), torch.tensor([0.025, 0.975], dtype=torch.float64))


def gaps_of(truth, first, second, drawn):
    return (f1(truth[drawn], first[drawn]) - f1(truth[drawn], second[drawn])).double().numpy()


def drawn_apart(truth, first, second, drawn):
    """Another draw for the second model."""
    other = drawn.flip(0)
    a, b = f1(truth[drawn], first[drawn]), f1(truth[other], second[other])
    return np.quantile((a - b).numpy(), [0.025, 0.975])


def each_alone(truth, first, second, drawn):
    a, b = (np.quantile(f1(truth[drawn], x[drawn]).numpy(), [0.025, 0.975]) for x in (first, second))
    return a[0] - b[1], a[1] - b[0]


def by_sklearn(name, **how):
    from sklearn import metrics

    def answer(truth, first, second, drawn):
        score = getattr(metrics, name)
        gaps = [score(truth[r], first[r], **how) - score(truth[r], second[r], **how) for r in drawn.numpy()]
        return np.quantile(gaps, [0.025, 0.975])
    return answer


PAIRED = Rows(right=[with_sklearn, with_counts], wrong=[
    (each_alone, "hard for both is counted twice"),
    (lambda t, a, b, d: np.quantile(gaps_of(t, b, a, d), [0.025, 0.975]), "second minus first"),
    (lambda *a: np.quantile(gaps_of(*a), [0.05, 0.95]), "90 % interval"),
    (lambda *a: (gaps_of(*a).min(), gaps_of(*a).max()), "smallest and the largest"),
    (lambda t, a, b, d: np.quantile(f1(t[d], a[d]).numpy(), [0.025, 0.975]), "first model alone"),
    (lambda t, a, b, d: np.quantile(((a == t).float() - (b == t).float())[d].mean(1).numpy(), [0.025, 0.975]), "compared accuracies"),
    (drawn_apart, "middle 95 %"),
    (lambda *a: gaps_of(*a), "Return two numbers"),
    (lambda t, a, b, d: np.quantile(f1(t[d], a[d]), [0.025, 0.975]) - np.quantile(f1(t[d], b[d]), [0.025, 0.975]), "subtracted the ends"),
    (lambda *a: (gaps_of(*a).mean() - 1.96 * gaps_of(*a).std(), gaps_of(*a).mean() + 1.96 * gaps_of(*a).std()), "bell curve"),
    (lambda *a: (gaps_of(*a).mean() - 1.96 * gaps_of(*a).std(ddof=1), gaps_of(*a).mean() + 1.96 * gaps_of(*a).std(ddof=1)), "bell curve"),
    (by_sklearn("precision_score"), "precision"), (by_sklearn("recall_score"), "recall"), (by_sklearn("f1_score", average="macro"), "macro-F1"),
    (lambda t, a, b, d: np.quantile(f1(t, a[d]) - f1(t, b[d]), [0.025, 0.975]), "truth was not"),
    (lambda t, a, b, d: [float(f1(t[d.flatten()], a[d.flatten()]) - f1(t[d.flatten()], b[d.flatten()]))] * 2, "mind the axis")])

# ---- 09.3


def in_numpy(validation, test):
    validation, test = validation.numpy(), test.numpy()
    return np.array([validation.sum(1).argmax(), test[validation.sum(1).argmax()].mean()])


def sorted_settings(validation, test):
    """Right: all settings in order of their validation, the first one wins."""
    order = sorted(range(len(test)), key=lambda k: -validation[k].mean())
    return [order[0], test.double().mean(1)[order[0]]]


def reported(pick, number):
    def report(validation, test):
        best = pick(validation, test).argmax()
        return int(best), float(number(validation, test, best))
    return report


REPORT = Rows(right=[in_numpy, sorted_settings], wrong=[
    (reported(lambda v, t: t.mean(1), lambda v, t, k: t[k].max()), "luckiest"),
    (reported(lambda v, t: t.mean(1), lambda v, t, k: t[k].mean()), "test rows chose"),
    (reported(lambda v, t: v.mean(1), lambda v, t, k: t[k].max()), "choice is right now"),
    (reported(lambda v, t: v.mean(1), lambda v, t, k: v[k].mean()), "validation accuracy"),
    (reported(lambda v, t: v.max(1).values, lambda v, t, k: t[k].mean()), "single best run"),
    (lambda v, t: int(v.mean(1).argmax()), "Return two things"),
    (reported(lambda v, t: v.mean(0), lambda v, t, k: t[k].mean()), "number of a seed")])

# ---- 09.4


def by_scipy(first, second):
    """Right: scipy's interval."""
    if sorted(first) != sorted(second) or len(first) == 1:
        raise ValueError("no pairs")
    seeds = sorted(first)
    found = stats.ttest_rel([first[s] for s in seeds], [second[s] for s in seeds])
    middle = float(np.mean([first[s] - second[s] for s in seeds]))
    return [middle, *found.confidence_interval(0.95)]


def with_tensors_of(first, second):
    """Right: sorted by seed, in float64."""
    if set(first) - set(second) or set(second) - set(first) or len(second) < 2:
        raise ValueError
    a, b = (torch.tensor([values[seed] for seed in sorted(values)], dtype=torch.float64) for values in (first, second))
    half = float(stats.t.isf(0.025, len(a) - 1)) * (a - b).std() * len(a) ** -0.5
    return (a - b).mean() + half * torch.tensor([0.0, -1.0, 1.0])


def interval(gaps, t=None, ddof=1):
    half = (t or stats.t.ppf(0.975, len(gaps) - 1)) * np.std(gaps, ddof=ddof) / len(gaps) ** 0.5
    return np.mean(gaps), np.mean(gaps) - half, np.mean(gaps) + half


def common(first, second):
    return interval([first[s] - second[s] for s in first if s in second])


def half_checked(first, second):
    if set(second) - set(first):
        raise ValueError("seeds")
    return common(first, second)


def one_allowed(first, second):
    if set(second) != set(first):
        raise ValueError("seeds")
    return common(first, second) if len(first) > 1 else (0.0, 0.0, 0.0)


def asserted(first, second):
    assert set(second) == set(first)
    return common(first, second)


def ordered(first, second):
    return interval([a - b for a, b in zip(first.values(), second.values())])


def gap_list(a, b):
    return [a[s] - b[s] for s in a]


def given_back(first, second):
    return common(first, second) if set(first) == set(second) and len(first) > 1 else ValueError("no pairs")


GAIN = Rows(right=[by_scipy, with_tensors_of], wrong=[
    (ordered, "as they stand in the dicts"), (common, "you still gave"), (half_checked, "lacks most seeds"),
    (one_allowed, "no spread"), (asserted, "refused with a ValueError"),
    (lambda a, b: interval(gap_list(a, b), 1.96), "1.96"), (lambda a, b: interval(gap_list(a, b), ddof=0), "divided by n"),
    (lambda a, b: interval(gap_list(b, a)), "second minus first"),
    (lambda a, b: np.mean(gap_list(a, b)), "three numbers"), (given_back, "not `return`"),
    (lambda a, b: interval(gap_list(a, b), stats.t.ppf(0.95, len(a) - 1)), "90 % interval")])

# ---- 09.5


def plain(text):
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def scan(train, test, form=plain, own=True, others=True, empty=True):
    found = {}
    for task in train:
        held = {form(x) for name in test if (own and name == task) or (others and name != task) for x in test[name]}
        found[task] = [i for i, x in enumerate(train[task]) if form(x) in held]
    return {task: rows for task, rows in found.items() if rows or empty}


def letter_by_letter(train, test):
    """Right: a loop over characters, no regular expression; a counter of texts."""
    def form(text):
        return " ".join("".join(c if c in "abcdefghijklmnopqrstuvwxyz0123456789" else " " for c in text.lower()).split())
    counts = {}
    for texts in test.values():
        for text in texts:
            counts[form(text)] = counts.get(form(text), 0) + 1
    return {task: tuple(np.flatnonzero([form(x) in counts for x in texts]).tolist()) for task, texts in train.items()}


def part_of(train, test):
    held = [plain(x) for texts in test.values() for x in texts]
    return {task: [i for i, x in enumerate(texts) if any(plain(x) in one for one in held)] for task, texts in train.items()}


def trained_twice(train, test):
    found = scan(train, test)
    for task in train:
        others = {plain(x) for name in train if name != task for x in train[name]}
        found[task] = sorted({*found[task], *(i for i, x in enumerate(train[task]) if plain(x) in others)})
    return found


def holds(train, test):
    held = [plain(x) for texts in test.values() for x in texts]
    return {task: [i for i, x in enumerate(texts) if any(one in plain(x) for one in held)] for task, texts in train.items()}


def seen(train, test):
    known, found = {plain(x) for texts in test.values() for x in texts}, {}
    for task, texts in train.items():
        found[task] = [i for i, x in enumerate(texts) if plain(x) in known]
        known |= set(map(plain, texts))
    return found


def arrays(train, test):
    """Right: an array of row numbers for each task."""
    held = {plain(x) for texts in test.values() for x in texts}
    return {task: np.flatnonzero([plain(x) in held for x in texts]) for task, texts in train.items()}


LEAKS = Rows(right=[letter_by_letter, scan, arrays], wrong=[
    (lambda a, b: scan(a, b, others=False), "own test only"), (lambda a, b: scan(a, b, own=False), "left out each task's own"),
    (lambda a, b: scan(a, b, form=lambda t: t), "letter by letter"), (lambda a, b: scan(a, b, form=str.lower), "Capitals are settled"),
    (lambda a, b: scan(a, b, form=lambda t: " ".join(t.lower().split())), "Capitals and spaces are settled"),
    (lambda a, b: scan(a, b, form=lambda t: t.strip(" .!").lower()), "cleaned the ends"),
    (lambda a, b: scan(a, b, form=lambda t: plain(t).replace(" ", "")), "Without any spaces"),
    (lambda a, b: scan(a, b, form=lambda t: frozenset(plain(t).split())), "without their order"),
    (part_of, "only a part"), (lambda a, b: scan(a, b, empty=False), "Say that you looked"),
    (trained_twice, "That is no leak"),
    (lambda a, b: {task: len(rows) for task, rows in scan(a, b).items()}, "must be a list"),
    (lambda a, b: scan(b, a), "rows of the test"), (holds, "or holds it"), (seen, "earlier training"),
    (lambda a, b: scan(a, b, form=lambda t: " ".join(re.sub(r"[^a-z0-9 ]", "", t.lower()).split())), "removed, not replaced"),
    (lambda a, b: scan(a, b, form=lambda t: tuple(re.findall(r"\w+", t.lower()))), "underscore"),
    (lambda a, b: scan(a, b, form=lambda t: tuple(re.findall(r"[a-z]+", t.lower()))), "Digits count"),
    (lambda a, b: {t: [a[t][i] for i in rows] for t, rows in scan(a, b).items()}, "Those are the texts"),
    (lambda a, b: {t: [i for i in range(len(a[t])) if i not in rows] for t, rows in scan(a, b).items()}, "may stay")])

# ---- 09.6

TRUE = {"sign-flip test over 5 seeds: the smallest p": 0.0625, "McNemar: only A right 6 times, only B never: p": 0.03125,
        "20 useless methods, each tested at 0.05: chance of a finding": 0.642, "Holm for 0.01, 0.02, 0.025, 0.2: the third": 0.06,
        "4 times the test messages: the interval's width, times": 0.5,
        "all of 200 answers right: the bootstrap interval's width": 0, "one of 4 tasks +20 %, the others -4 %: Δm in per cent": 2}
FLIP, TOSS, MANY, HOLM, WIDTH, ALL, MEAN = TRUE
PREDICTION = Rows(right=[{key: np.float64(value) for key, value in TRUE.items()}, TRUE | {MANY: 0.64, MEAN: torch.tensor(2.0)}], wrong=[
    (TRUE | {FLIP: 0.05}, "2\\^5"), (TRUE | {FLIP: 1 / 32}, "Two of the flips"), (TRUE | {TOSS: 1 / 64}, "one-sided"),
    (TRUE | {MANY: 0.05}, "any of them may be lucky"), (TRUE | {MANY: 1}, "mean number of findings"), (TRUE | {HOLM: 0.05}, "never falls below"),
    (TRUE | {HOLM: 0.1}, "Bonferroni"), (TRUE | {WIDTH: 0.25}, "goes with its root"), (TRUE | {ALL: 0.03}, "it is 0"),
    (TRUE | {MEAN: 8}, "with their signs"), (TRUE | {MEAN: "two"}, "must be one number"), ({}, "7 keys")])

ANSWERS = {"09.1": DELTA, "09.2": PAIRED, "09.3": REPORT, "09.4": GAIN, "09.5": LEAKS, "09.6": PREDICTION}
