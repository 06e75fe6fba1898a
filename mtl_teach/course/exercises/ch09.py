"""Exercises of chapter 09, evaluation."""

# ruff: noqa: E501  (tables of prose)

from __future__ import annotations

import re

import numpy as np
import torch

from ..answers import Raised
from ..expect import Mistake, Wrong, compare, compare_predictions, expect, expect_type, numbers
from ..registry import Exercise
from .drawing import telling

TITLE, NOTEBOOK = "Evaluation", "09_evaluation"


# ---- 09.1 delta_m -----------------------------------------------------------------------------------------------------

def relative(multi, single, lower, signed=True, by="single"):
    """{task: [relative change of each metric, above 0 is better]}"""
    def change(task, metric):
        m, s = multi[task][metric], single[task][metric]
        return (-1 if metric in lower and signed else 1) * (m - s) / {"single": s, "multi": m, "nothing": 1}[by]
    return {task: [change(task, metric) for metric in metrics] for task, metrics in multi.items()}


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def delta(*args, **how):
    return mean(map(mean, relative(*args, **how).values()))


def averaged_first(multi, single, lower):
    """Per task: the mean metric of one model against that of the other."""
    return mean((-1 if set(multi[task]) & set(lower) else 1) * (mean(multi[task].values()) / mean(single[task].values()) - 1)
                for task in multi)


def inverted(multi, single, lower):
    """Where low is better: how much larger the baseline's value is."""
    return mean(mean((single[t][m] / v if m in lower else v / single[t][m]) - 1 for m, v in metrics.items()) for t, metrics in multi.items())


DELTA = [
    Mistake(lambda *a: mean(x for xs in relative(*a).values() for x in xs), "You averaged over all metrics at once. A task with "
            "three metrics then weighs three times as much as a task with one.", "Average within each task first, then over the tasks."),
    Mistake(lambda *a: delta(*a, signed=False), "Metrics that are better low were treated like the others: a larger error counts "
            "as a gain.", "Turn the sign of a metric that is in `lower`."),
    Mistake(lambda *a: delta(*a, by="multi"), "You divided by the multi-task model's value. The change is relative to the baseline.",
            "Divide by `single[task][metric]`."),
    Mistake(lambda *a: -delta(*a), "The sign is turned: here above 0 is better (Maninis et al.). Some papers print the negative.",
            "Use `(multi - single) / single` for a metric that is better high."),
    Mistake(lambda *a: sum(map(mean, relative(*a).values())), "You added up over the tasks.", "Divide by the number of tasks."),
    Mistake(lambda *a: mean(map(sum, relative(*a).values())), "You added up the metrics of a task.", "Take their mean."),
    Mistake(lambda *a: delta(*a, by="nothing"), "These are plain differences. An error of 0.9 and an accuracy of 0.6 have other "
            "scales.", "Divide each difference by the baseline's value."),
    Mistake(averaged_first, "You averaged the metrics before comparing. An error and an accuracy cannot be averaged; their "
            "relative changes can.", "Compare metric by metric, then average."),
    Mistake(lambda *a: 100 * delta(*a), "That is in per cent. Return a fraction.", "0.02 for 2 %: do not multiply with 100."),
    Mistake(inverted, "For a metric that is better low you divided by the multi-task model's value.", "There too the change is relative to "
            "`single`; only its sign is turned."),
    Mistake(lambda *a: {task: mean(changes) for task, changes in relative(*a).items()}, "These are the tasks' changes, one by one.",
            "Return their mean, one number."),
    Mistake(lambda *a: [mean(changes) for changes in relative(*a).values()], "These are the tasks' changes, one by one.",
            "Return their mean, one number."),
]


def results(fresh):
    """[multi, single, lower] of three tasks with one, two and three metrics."""
    metrics = {"mood": ["accuracy"], "tags": ["f1", "hamming"], "rating": ["mae", "rank", "within one"]}
    single = {task: {name: fresh.number(0.3, 0.9) for name in names} for task, names in metrics.items()}
    multi = {task: {name: round(value * (1 + fresh.pick([-1, 1]) * fresh.number(0.03, 0.3)), 4) for name, value in values.items()}
             for task, values in single.items()}
    return [multi, {task: single[task] for task in fresh.shuffled(single)}, ["hamming", "mae"]]


def check_delta(answer, fresh):
    says = "Each metric's relative change, turned round where low is better; averaged in each task, then over the tasks."
    for _ in range(2):
        compare(answer, telling(lambda: results(fresh), delta, DELTA), delta, says, known=DELTA)
    return "A task counts once, however many metrics it reports."


# ---- 09.2 paired_interval ---------------------------------------------------------------------------------------------

def f1(hits, ones, answered):
    return 2 * hits / (ones + answered)


def scores_of(truth, answers, drawn, score=f1):
    """The score on each test set, from how often each row was drawn."""
    times = np.stack([np.bincount(rows, minlength=len(truth)) for rows in drawn.numpy()])
    truth, answers = truth.numpy(), answers.numpy()
    return score(times @ (truth * answers), times @ truth, times @ answers)


def macro(truth, answers, drawn):
    return (scores_of(truth, answers, drawn) + scores_of(1 - truth, 1 - answers, drawn)) / 2


def truth_kept(truth, answers, drawn):
    """The answers are drawn, the truth stays as it was."""
    drawn, truth = answers.numpy()[drawn.numpy()], truth.numpy()
    return f1((drawn * truth).sum(1), truth.sum(), drawn.sum(1))


def pooled(truth, answers, drawn):
    return scores_of(truth, answers, drawn.reshape(1, -1))


def middle(values, share=0.95):
    return [float(np.quantile(values, (1 - share) / 2)), float(np.quantile(values, (1 + share) / 2))]


def interval(truth, first, second, drawn, share=0.95, by=scores_of):
    return middle(by(truth, first, drawn) - by(truth, second, drawn), share)


def only(score):
    return lambda *args: scores_of(*args, score)


def unpaired(truth, first, second, drawn):
    a, b = middle(scores_of(truth, first, drawn)), middle(scores_of(truth, second, drawn))
    return [a[0] - b[1], a[1] - b[0]]


def ends_apart(truth, first, second, drawn):
    a, b = middle(scores_of(truth, first, drawn)), middle(scores_of(truth, second, drawn))
    return [a[0] - b[0], a[1] - b[1]]


def normal(truth, first, second, drawn, root=False, ddof=0):
    gaps = scores_of(truth, first, drawn) - scores_of(truth, second, drawn)
    half = 1.96 * gaps.std(ddof=ddof) / (len(gaps) ** 0.5 if root else 1)
    return [gaps.mean() - half, gaps.mean() + half]


def by_accuracy(truth, first, second, drawn):
    right = (first == truth).double() - (second == truth).double()
    return middle(right[drawn].mean(1).numpy())


PAIRED = [
    Mistake(lambda *a: middle(scores_of(a[0], a[1], a[3])), "That is the interval of the first model alone.", "Subtract the second "
            "model's F1 in each draw."),
    Mistake(unpaired, "You took an interval for each model and set the worst case of one against the best of the other. What is "
            "hard for both is counted twice.", "Take the difference in each draw, then the quantiles of the differences."),
    Mistake(lambda *a: sorted(ends_apart(*a)), "You subtracted the ends of two intervals. The quantile of a difference is not the "
            "difference of quantiles.", "Take the difference in each draw, then its quantiles."),
    Mistake(ends_apart, "You subtracted the ends of two intervals. The quantile of a difference is not the difference of "
            "quantiles.", "Take the difference in each draw, then its quantiles."),
    Mistake(lambda t, a, b, d: interval(t, b, a, d), "That is second minus first.", "Subtract the second model's score from the first's."),
    Mistake(lambda *a: interval(*a, share=0.9), "You cut off 5 % at each end: that is a 90 % interval.",
            "Use the quantiles 0.025 and 0.975."),
    Mistake(lambda t, a, b, d: interval(t, a, b, d, 1.0), "You took the smallest and the largest difference. They move further "
            "apart with every draw.", "Use the quantiles 0.025 and 0.975."),
    Mistake(lambda *a: normal(*a, root=True), "You divided the spread by the root of the number of draws. More draws do not make "
            "the test set larger.", "The draws themselves show the spread: take their quantiles."),
    Mistake(normal, "You used mean ± 1.96 standard deviations. That assumes a bell curve.", "Take the quantiles of the differences."),
    Mistake(by_accuracy, "You compared accuracies. The metric here is F1, computed anew in each draw.",
            "In each draw: 2 · hits / (ones in the truth + ones answered)."),
    Mistake(lambda *a: interval(*a, by=only(lambda hits, ones, answered: hits / answered)), "That is precision: hits by what was answered.",
            "F1 is 2 · hits / (ones in the truth + ones answered)."),
    Mistake(lambda *a: interval(*a, by=only(lambda hits, ones, answered: hits / ones)), "That is recall: hits by what is there.",
            "F1 is 2 · hits / (ones in the truth + ones answered)."),
    Mistake(lambda *a: interval(*a, by=macro), "That is macro-F1, the mean over both classes.", "F1 of class 1 alone is asked for."),
    Mistake(lambda *a: interval(*a, by=truth_kept), "The answers were drawn, the truth was not: each answer is now held against another "
            "row's truth.", "`truth[rows]` as well, with the same rows."),
    Mistake(lambda *a: interval(*a, by=pooled), "All draws were thrown into one large test set: one difference, and no spread.",
            "One F1 for each row of `drawn`: mind the axis of the sums."),
    Mistake(lambda *a: normal(*a, ddof=1), "You used mean ± 1.96 standard deviations. That assumes a bell curve.", "Take the quantiles of the "
            "differences."),
]


def two_models(fresh):
    truth = (fresh.uniform(40) < 0.5).long()
    wrong = fresh.uniform(40) < 0.2                                                   # hard for both
    answers = [torch.where(wrong | (fresh.uniform(40) < share), 1 - truth, truth) for share in (0.05, 0.2)]
    return [truth, *answers, fresh.integers(0, 39, 60, 40)]


def check_paired(answer, fresh):
    args = telling(lambda: two_models(fresh), interval, PAIRED[:-1])

    def answered(*args):
        got = answer(*args)
        expect(numbers(got) is not None and numbers(got).shape == (2,), "Return two numbers: the low end and the high end.")
        return got
    compare(answered, args, interval, "The interval must be the middle 95 % of the differences in F1, both models scored on the same "
            "drawn rows.", known=PAIRED)
    return "The same draw for both: what is hard for both drops out of the difference."


# ---- 09.3 report ------------------------------------------------------------------------------------------------------

def honest(validation, test):
    means = validation.double().mean(1).tolist()
    best = means.index(max(means))
    return [best, float(test[best].double().mean())]


def reported(pick, number):
    """A way to choose (of validation, test) and a number to report (of validation, test, chosen)."""
    def report(validation, test):
        best = int(pick(validation, test).argmax())
        return [best, float(number(validation, test, best))]
    return report


def by_validation(validation, test):
    return validation.mean(1)


PEEK = "The test rows chose the setting. What they have chosen they can no longer judge: the value is too high by luck."
REPORTS = [
    Mistake(reported(lambda v, t: t.mean(1), lambda v, t, k: t[k].max()), PEEK + " And of its seeds you report the luckiest.",
            "Choose by `validation`, then report the mean over the seeds of `test`."),
    Mistake(reported(lambda v, t: t.mean(1), lambda v, t, k: t[k].mean()), PEEK, "Choose by `validation`; look at `test` afterwards."),
    Mistake(reported(lambda v, t: (v + t).mean(1), lambda v, t, k: t[k].mean()), PEEK + " Half a peek is a peek.",
            "Leave `test` out of the choice altogether."),
    Mistake(reported(by_validation, lambda v, t, k: t[k].max()), "The choice is right now, but you report the luckiest seed.",
            "Report the mean over the seeds."),
    Mistake(reported(by_validation, lambda v, t, k: t[k, v[k].argmax()]), "The choice is right; then you report one seed, "
            "the best on validation. That is a fair number for that one model, and not for the setting.", "Report the mean over the seeds."),
    Mistake(reported(by_validation, lambda v, t, k: v[k].mean()), "You report the validation accuracy. It is the largest of "
            "several, and so too high.", "Report the test accuracy of the chosen setting."),
    Mistake(reported(lambda v, t: v.max(1).values, lambda v, t, k: t[k].mean()), "You chose the setting with the single best run "
            "on validation. That rewards spread.", "Choose by the mean over seeds."),
    Mistake(reported(lambda v, t: v.mean(0), lambda v, t, k: t[k].mean()), "The mean went over the settings: what you chose is the number of "
            "a seed.", "`validation.mean(1)` has one value for each setting."),
]


def grid(fresh):
    """Validation and test of some settings (rows) and seeds; each way to choose chooses another setting."""
    settings, seeds = fresh.integer(5, 7), fresh.integer(4, 5)
    while True:
        v, t = (0.7 + (fresh.normal(99, settings, 1, scale=0.02) + fresh.normal(99, settings, seeds, scale=0.04)).numpy() for _ in range(2))
        chosen = np.sort([way.argmax(1) for way in (v.mean(2), v.max(2), t.mean(2), (v + t).mean(2), v.mean(1))], axis=0)
        good = np.flatnonzero((np.diff(chosen, axis=0) > 0).all(0))
        if len(good):
            return [torch.from_numpy(v[good[0]]), torch.from_numpy(t[good[0]])]


def check_report(answer, fresh):
    def answered(*args):
        got = answer(*args)
        expect(numbers(got) is not None and numbers(got).shape == (2,), "Return two things: the number of the chosen setting, and "
               "the accuracy you report.")
        return list(got)
    for _ in range(2):
        compare(answered, telling(lambda: grid(fresh), honest, REPORTS[:-1]), honest, "Validation chooses the setting; the report is its "
                "mean test accuracy over all seeds.", known=REPORTS)
    return "This number may be lower than the old one. It is the one that will come true."


# ---- 09.4 gain --------------------------------------------------------------------------------------------------------

T95 = {1: 6.31375, 2: 2.91999, 3: 2.35336, 4: 2.13185, 5: 2.01505, 6: 1.94318}           # one-sided 95 %
T975 = {1: 12.7062, 2: 4.30265, 3: 3.18245, 4: 2.77645, 5: 2.57058, 6: 2.44691}          # Student's t, two-sided 95 %


def spread(values, ddof=1):
    return (sum((v - mean(values)) ** 2 for v in values) / (len(values) - ddof)) ** 0.5


def around(gaps, factor=None, ddof=1, root=True):
    half = (factor or T975[len(gaps) - 1]) * spread(gaps, ddof) / (len(gaps) ** 0.5 if root else 1)
    return [mean(gaps), mean(gaps) - half, mean(gaps) + half]


def seed_by_seed(first, second):
    return [first[seed] - second[seed] for seed in first]


def in_order(first, second):
    return [a - b for a, b in zip(first.values(), second.values())]


def welch(first, second):
    a, b = list(first.values()), list(second.values())
    half = T975[len(a) - 1] * ((spread(a) ** 2 + spread(b) ** 2) / len(a)) ** 0.5
    return [mean(a) - mean(b), mean(a) - mean(b) - half, mean(a) - mean(b) + half]


GAINS = [
    Mistake(lambda a, b: around(in_order(a, b)), "You paired the values as they stand in the dicts. The second dict has its seeds "
            "in another order, so runs of different seeds were compared.", "Loop over the seeds: `first[seed] - second[seed]`."),
    Mistake(welch, "The two spreads went in apart: that is the interval of unpaired runs. What the seeds have in common is counted "
            "as noise, twice.", "Take the difference for each seed first."),
    Mistake(lambda a, b: around(seed_by_seed(a, b), 1.96), "1.96 is for a spread that is known. With a handful of seeds it is "
            "estimated, and the interval must be wider.", "Use `stats.t.ppf(0.975, n - 1)`."),
    Mistake(lambda a, b: around(seed_by_seed(a, b), ddof=0), "The standard deviation was divided by n. With few seeds that is "
            "too small.", "Use ddof=1."),
    Mistake(lambda a, b: around(seed_by_seed(a, b), root=False), "You used the spread of single runs; the mean of n runs is surer "
            "than one.", "Divide by the root of n."),
    Mistake(lambda a, b: around(seed_by_seed(b, a)), "That is second minus first.", "Subtract the second from the first."),
    Mistake(lambda a, b: around(seed_by_seed(a, b), T95[len(a) - 1]), "0.95 leaves 5 % above and 5 % below: that is a 90 % interval.",
            "0.975 leaves 2.5 % at each end."),
]


def runs(fresh):
    seeds = fresh.sample(range(40), fresh.integer(4, 6))
    luck = {seed: fresh.number(-0.1, 0.1, 4) for seed in seeds}
    first, second = ({seed: round(level + luck[seed] + fresh.number(-0.03, 0.03, 4), 4) for seed in seeds} for level in (0.78, 0.74))
    return [first, {seed: second[seed] for seed in fresh.shuffled(seeds)}]


def check_gain(answer, fresh):
    args = telling(lambda: runs(fresh), lambda a, b: around(seed_by_seed(a, b)), GAINS)

    def answered(*args):
        got = answer(*args)
        expect(numbers(got) is not None and numbers(got).shape == (3,), "Return three numbers: mean, low end, high end.")
        return list(got)
    compare(answered, args, lambda a, b: around(seed_by_seed(a, b)), "Mean and 95 % t-interval of the differences, seed by seed.",
            known=GAINS)
    first, second = args
    odd = dict(second)
    odd[99] = odd.pop(fresh.pick(list(odd)))
    _refuses(answer, first, odd, "One seed of the two sides differs, and you still gave {got}.", "A pair needs the same seed on both "
             "sides; dropping the odd runs quietly would hide that something went wrong.", "`if set(first) != set(second): raise ValueError(...)`")
    seed = fresh.pick(list(first))
    _refuses(answer, first, {seed: second[seed]}, "The second side lacks most seeds, and you still gave {got}.", "Perhaps you only "
             "looked whether the seeds of one side are known to the other.", "Compare both sets of seeds: `set(first) != set(second)`.")
    _refuses(answer, {seed: first[seed]}, {seed: second[seed]}, "With one seed there is no spread, and you still gave {got}.",
             "One pair of runs says nothing about others.", "Raise a ValueError for fewer than two seeds.")
    return "Runs of other seeds are refused, and order does not matter."


def _refuses(answer, first, second, says, why, next):
    try:
        got = answer(first, second)
    except Raised as raised:
        expect(raised.kind == "ValueError", "Such seeds must be refused with a ValueError; what came was: {kind}.", "An error that you "
               "did not plan says nothing to the person who mixed up the runs.", next, kind=raised.kind)
    else:
        raise Wrong(says, why, next, got=got)


# ---- 09.5 rows_to_drop ------------------------------------------------------------------------------------------------

def words(text):
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def scan(train, test, form=words, pairs=lambda trained, tested: True, same=lambda read, held: read == held):
    found = {}
    for trained, read in train.items():
        held = [form(text) for tested in test if pairs(trained, tested) for text in test[tested]]
        found[trained] = [row for row, text in enumerate(read) if any(same(form(text), one) for one in held)]
    return found


def seen_before(train, test):
    seen, found = {words(text) for texts in test.values() for text in texts}, {}
    for task, texts in train.items():
        found[task] = [row for row, text in enumerate(texts) if words(text) in seen or words(text) in map(words, texts[:row])]
        seen |= set(map(words, texts))
    return found


def others(train, test):
    return {task: [row for row in range(len(train[task])) if row not in rows] for task, rows in scan(train, test).items()}


def rows_of_test(train, test):
    return scan(test, train)


def rows_twice(train, test):
    others = {task: [x for other in train if other != task for x in train[other]] for task in train}
    return {task: sorted({*scan(train, test)[task], *scan({task: train[task]}, {task: others[task]})[task]}) for task in train}


LEAKS = [
    Mistake(lambda a, b: scan(a, b, pairs=lambda x, y: x == y), "You compared each task with its own test only. One body reads the "
            "training texts of all tasks, so a text in `topic` spoils the test of `mood`.", "Collect the test texts of all tasks first."),
    Mistake(lambda a, b: scan(a, b, pairs=lambda x, y: x != y), "You left out each task's own test.",
            "Collect the test texts of all tasks, its own among them."),
    Mistake(lambda a, b: scan(a, b, form=str), "You compared texts letter by letter. Capitals and a full stop hide a leak.",
            "Bring all texts into the same form first."),
    Mistake(lambda a, b: scan(a, b, form=str.lower), "Capitals are settled; punctuation and spaces still hide leaks.",
            r"`re.findall(r'[a-z0-9]+', text.lower())` gives the words alone."),
    Mistake(lambda a, b: scan(a, b, form=lambda t: " ".join(t.lower().split())), "Capitals and spaces are settled; punctuation still hides "
            "leaks.", r"`re.findall(r'[a-z0-9]+', text.lower())` gives the words alone."),
    Mistake(lambda a, b: scan(a, b, form=lambda t: t.lower().strip(" .!?")), "You cleaned the ends only. A comma in the middle still "
            "hides a leak.", r"`re.findall(r'[a-z0-9]+', text.lower())` gives the words alone."),
    Mistake(lambda a, b: scan(a, b, form=lambda t: words(t).replace(" ", "")), "Without any spaces 'no where' and 'now here' become "
            "the same text.", "Put one space between words."),
    Mistake(lambda a, b: scan(a, b, form=lambda t: sorted(words(t).split())), "You compared the words without their order: 'not "
            "good but late' and 'late but not good' are different texts.", "Keep the order of the words."),
    Mistake(lambda a, b: scan(a, b, same=lambda read, held: read in held), "A training text that is only a part of a test text was "
            "dropped. Asked for are texts with the same words.", "Compare whole texts: a set of the test texts is enough."),
    Mistake(lambda a, b: scan(a, b, same=lambda read, held: held in read), "A training text that only begins like a test text, or holds it, "
            "was dropped. Asked for are texts with the same words.", "Compare whole texts: a set of the test texts is enough."),
    Mistake(lambda a, b: scan(a, b, form=lambda t: "".join(c for c in t.lower() if c.isalnum() or c == " ").split()), "Punctuation was "
            "removed, not replaced: 'late,but' became one word, 'latebut'.", "Put a space in its place, or look for words: "
            "`re.findall(r'[a-z0-9]+', text.lower())`."),
    Mistake(lambda a, b: scan(a, b, form=lambda t: re.findall(r"\w+", t.lower())), r"`\w` also takes the underscore, which people write for "
            "emphasis, _like this_ (and letters such as é).", "`re.findall(r'[a-z0-9]+', text.lower())`"),
    Mistake(lambda a, b: scan(a, b, form=lambda t: re.findall(r"[a-z]+", t.lower())), "Digits count as well: 'again 2' and 'again 3' are "
            "different texts.", "`[a-z0-9]+`"),
    Mistake(others, "Those are the rows that may stay.", "Return the rows that must go."),
    Mistake(lambda a, b: {task: [a[task][row] for row in rows] for task, rows in scan(a, b).items()}, "Those are the texts.", "Return their "
            "numbers: `for row, text in enumerate(...)`."),
    Mistake(seen_before, "A text that was seen in an earlier training was dropped too. That is no leak: several labels for one text are "
            "what multi-task learning lives on.", "Look up in `test` only."),
    Mistake(lambda a, b: {task: rows for task, rows in scan(a, b).items() if rows}, "Tasks without a leak are missing. Say that you "
            "looked.", "Give them an empty list."),
    Mistake(rows_of_test, "Those are rows of the test. The test stays as it is, so that results remain comparable; the training gives way.",
            "Loop over `train`, and look each text up in the test."),
    Mistake(rows_twice, "A text that two tasks train on was dropped. That is no leak: several labels for one text are what multi-task "
            "learning lives on.", "Look up in `test` only."),
]
SUBJECTS, VERBS, ENDS = ("my parcel", "the lamp", "your shop", "this coat"), ("arrived", "was sold", "looked fine", "got lost"), (
    "in may", "on a monday", "before noon", "again", "in the rain")


def texts(fresh, count):
    return [f"{fresh.pick(SUBJECTS)} {fresh.pick(VERBS)} {end}, thank you." for end in fresh.sample(
        [f"{a} {b}" for a in ENDS for b in range(2, 30)], count)]


def split(fresh):
    """Three tasks; leaks of each kind, and what only looks like one."""
    names = fresh.sample(["mood", "returns", "tips", "topic"], 3)
    a, b, clean = names
    sentences = texts(fresh, 25)
    own, cross, loud, comma, spaced, part, twice, ended, tight, stressed, longer = [*sentences[:8], *sentences[22:25]]
    test = {a: [own, *sentences[8:10]], b: [cross, loud, ended, comma, spaced, tight, stressed, longer, f"hello {part}", "He is now here 7",
                                            "not good but late 5"], clean: sentences[10:13]}
    train = {a: [own, cross, loud.upper(), ended.replace(".", "!"), comma.replace(",", " -"), spaced.replace(" ", "  "), part, twice,
                 tight.replace(", ", ","), stressed.replace("thank you", "_thank you_"), f"{longer} good bye",
                 "He is no where 7", "late but not good 5", *sentences[13:15]],
             b: [twice, *sentences[15:18]], clean: sentences[18:22]}
    return [{task: fresh.shuffled(train[task]) for task in names}, {task: fresh.shuffled(test[task]) for task in fresh.shuffled(names)}]


def check_leaks(answer, fresh):
    def answered(*args):
        got = answer(*args)
        expect_type(got, dict)
        got = {task: rows.tolist() if isinstance(rows, (np.ndarray, torch.Tensor)) else rows for task, rows in got.items()}
        for task, rows in got.items():
            expect_type(rows, list, repr(task))
        return {task: list(rows) for task, rows in got.items()}
    compare(answered, telling(lambda: split(fresh), scan, LEAKS), scan, "For each task: the rows of its training whose text, as words, is "
            "a test text of any task.", known=LEAKS)
    return "One shared body, one common training set: leaks must be sought across tasks."


# ---- 09.6 prediction --------------------------------------------------------------------------------------------------

KEYS = ("sign-flip test over 5 seeds: the smallest p", "McNemar: only A right 6 times, only B never: p",
        "20 useless methods, each tested at 0.05: chance of a finding", "Holm for 0.01, 0.02, 0.025, 0.2: the third",
        "4 times the test messages: the interval's width, times", "all of 200 answers right: the bootstrap interval's width",
        "one of 4 tasks +20 %, the others -4 %: Δm in per cent")
GUESSES = {
    KEYS[0]: {0.05: "There are 2^5 = 32 ways to set the signs, and each is as likely; p is a share of them.",
              0.03125: "Two of the flips are as far from 0: all signs kept, and all of them turned.", 0.0: "The flip that turns nothing "
              "always counts."},
    KEYS[1]: {0.015625: "That is one-sided. B could as well have won all six.", 1.0: "Six tosses of the same side are rare for a coin."},
    KEYS[2]: {0.05: "That holds for one test. With twenty, any of them may be lucky.", 1.0: "The mean number of findings is 20 · 0.05 = 1; "
              "the chance that there is at least one is smaller.", 0.3585: "That is the chance of none at all."},
    KEYS[3]: {0.05: "0.025 · 2 is 0.05, but an adjusted p never falls below the one before it.", 0.1: "That is Bonferroni: all times 4.",
              0.075: "The smallest is multiplied by 4, the next by 3, the third by 2."},
    KEYS[4]: {0.25: "The variance is a quarter; the width goes with its root.", 2.0: "More messages make it narrower."},
    KEYS[5]: {0.95: "However you draw from 200 right answers, all are right."},
    KEYS[6]: {8.0: "Add the four with their signs: 20 - 4 - 4 - 4.", 16.0: "Three tasks lose, not one.",
              -2.0: "The average hides that three of four lose, but it is above 0."},
}


def truth(fresh):
    from itertools import product
    from math import comb
    gains = [fresh.number(1, 5) for _ in range(5)]
    flips = [abs(sum(s * g for s, g in zip(signs, gains))) for signs in product((1, -1), repeat=5)]
    holm, adjusted = 0.0, []
    for place, p in enumerate((0.01, 0.02, 0.025, 0.2)):
        holm = max(holm, p * (4 - place))
        adjusted.append(holm)
    drawn = np.ones(200)[fresh.integers(0, 199, 50, 200).numpy()].mean(1)
    return dict(zip(KEYS, (mean(f >= sum(gains) - 1e-9 for f in flips), 2 * comb(6, 0) / 2 ** 6, 1 - 0.95 ** 20, adjusted[2],
                           (1 / 4) ** 0.5, float(np.ptp(drawn)), mean((20, -4, -4, -4)))))


def check_prediction(answer, fresh):
    compare_predictions(answer.value, truth(fresh), GUESSES, "Take the smallest case, and count.", least=0.0006)
    return "All seven as computed."


EXERCISES = [
    Exercise(
        id="09.1", title="Δm over tasks with several metrics", answer="delta_m", call="delta_m(multi, single, lower)", points=2,
        difficulty=2, importance=5, minutes=12, check=check_delta,
        hints=["What is the relative change of one metric? Which way is up?",
               "A function for one metric, a mean over a task's metrics, a mean over the tasks."]),
    Exercise(
        id="09.2", title="Two models on the same rows", answer="paired_interval", points=3, difficulty=3, importance=5, minutes=15,
        call="paired_interval(truth, first, second, drawn)", check=check_paired,
        hints=["Each row of `drawn` is a test set: `truth[drawn[r]]`, `first[drawn[r]]`, `second[drawn[r]]`.",
               "For each of them, F1 of the first minus F1 of the second. What is left is a list of differences.",
               "`np.quantile(differences, [0.025, 0.975])`"]),
    Exercise(
        id="09.3", title="Find the bug: who chose this model?", answer="report", call="report(validation, test)", points=2,
        difficulty=2, importance=5, minutes=10, kind="find the bug", check=check_report,
        hints=["Which rows decide `best`? May the same rows judge it?", "And which seed is reported?",
               "`validation.mean(1).argmax()` chooses; `test[best].mean()` is reported."]),
    Exercise(
        id="09.4", title="A gain with its interval, seed by seed", answer="gain", call="gain(first, second)", points=2, difficulty=3,
        importance=5, minutes=15, check=check_gain,
        hints=["Look at the sets of seeds first. When is a pair no pair?", "One list: `first[seed] - second[seed]`. From here on the "
               "two methods are forgotten.", "mean ± `stats.t.ppf(0.975, n - 1)` · standard deviation (ddof=1) / √n"]),
    Exercise(
        id="09.5", title="Clean the training of all tests", answer="rows_to_drop", call="rows_to_drop(train, test)", points=2,
        difficulty=2, importance=5, minutes=12, check=check_leaks,
        hints=["Which texts must the shared body never read?", "Write a small function that brings a text into its plain form, and use it "
               "on both sides.", "A set of the plain forms of all tests; then enumerate each task's training."]),
    Exercise(
        id="09.6", title="Predict: how sure can you be?", answer="prediction", call="prediction", wants="value", points=2, difficulty=3,
        importance=4, minutes=12, kind="predict", check=check_prediction,
        hints=["The first two are coin tosses: count the outcomes that are as extreme, on both sides.",
               "At least one of twenty is 1 minus none of twenty.", "Holm: times 4, 3, 2, 1 from the smallest, and never below the one before."]),
]
