"""Answers to the exercises of chapter 11."""

import math

import numpy as np

from . import Rows

# ---- 11.1

ADVICE = {"rich twin": "HardSharing", "first look": "none is shown to be better", "three unlike, large servers": "SingleTask",
          "three unlike, small device": "AttentionSharing", "three unlike, a fourth next year": "ProgressiveNetwork",
          "intents": "TF-IDF + LR"}
TWIN, FIRST, SERVERS, DEVICE, NEXT, INTENTS = ADVICE
CHOICE = Rows(right=[{key: f" {value} " for key, value in reversed(ADVICE.items())}], wrong=[
    (ADVICE | {TWIN: "SoftSharing"}, "twice the numbers"), (ADVICE | {TWIN: "SingleTask"}, "too few"),
    (ADVICE | {FIRST: "HardSharing"}, "holds 0"), (ADVICE | {FIRST: "SoftSharing"}, "luck of five seeds"),
    (ADVICE | {SERVERS: "SoftSharing"}, "nobody has time"), (ADVICE | {SERVERS: "ProgressiveNetwork"}, "largest of all"),
    (ADVICE | {DEVICE: "HardSharing"}, "worse one"), (ADVICE | {DEVICE: "SingleTask"}, "room for 200,000"),
    (ADVICE | {NEXT: "HardSharing"}, "those will be gone"), (ADVICE | {NEXT: "SingleTask"}, "starts without"),
    (ADVICE | {INTENTS: "ProgressiveNetwork"}, "wrong tool"), (ADVICE | {SERVERS: "TF-IDF + LR"}, "you cannot know"),
    (ADVICE | {TWIN: "HardSharring"}, "Did you mean 'HardSharing'"), (list(ADVICE), "must be a dict")])

# ---- 11.2


def by_array(table):
    """Right: one array (regimes, methods)."""
    methods = list(next(iter(table.values())))
    means = np.array([[np.mean(scores[m]) for m in methods] for scores in table.values()])
    return methods[(means.max(1, keepdims=True) - means).max(0).argmin()]


def with_pandas(table):
    """Right: in a table; a numpy text comes back."""
    import pandas as pd
    means = pd.DataFrame({regime: {m: np.mean(v) for m, v in scores.items()} for regime, scores in table.items()})
    return np.str_((means.max() - means).max(axis=1).idxmin())


def picks(score, value=np.mean):
    def pick(table):
        methods = list(next(iter(table.values())))
        means = {m: np.array([value(scores[m]) for scores in table.values()]) for m in methods}
        best = np.max(list(means.values()), axis=0)
        return max(methods, key=lambda m: score(means[m], best))
    return pick


REGRET = Rows(right=[by_array, with_pandas], wrong=[
    (picks(lambda mine, best: mine.mean()), "best average"), (picks(lambda mine, best: mine.min()), "highest worst score"),
    (picks(lambda mine, best: (mine == best).sum()), "wins most regimes"),
    (picks(lambda mine, best: -(best - mine).sum()), "best average"),
    (picks(lambda mine, best: -(best - mine).max(), np.max), "compared the best seeds"),
    (picks(lambda mine, best: (best - mine).max()), "largest regret"), (lambda table: 0.1, "Return the name"), (lambda table: [next(iter(table))], "must be a text"),
    (lambda table: next(iter(table)), "no method of the table")])

# ---- 11.3


def search(tasks, training, request):
    """Right: text by text, with the costs added up."""
    separate, shared, texts = tasks * training, sum(range(1, tasks + 1)) * training, 0
    while shared >= separate:
        separate, shared, texts = separate + tasks * request, shared + request, texts + 1
    return texts


def closed_form(tasks, training, request):
    return float(math.floor(tasks * training / (2 * request)) + 1)


EVEN = Rows(right=[search, closed_form], wrong=[
    (lambda k, t, r: 1, "trained the shared model once|smallest number"), (lambda k, t, r: k * t // r + 1, "K trainings of all K"),
    (lambda k, t, r: math.ceil(k * t / (2 * r)), "comes out even"), (lambda k, t, r: k * t / (2 * r), "not a whole number"),
    (lambda k, t, r: k * t // (2 * r), "not cheaper yet"), (lambda k, t, r: (k * (k + 1) // 2) * t // ((k - 1) * r) + 1, "must be trained too"),
    (lambda k, t, r: (k * (k - 1) // 2) * t // (k * r) + 1, "cost the shared model nothing")])

# ---- 11.4


def gain(runs, judge="validation", budget=True, common=True, report=np.mean, sign=1, first=np.sort, chosen_on="common"):
    import pandas as pd
    table = pd.DataFrame(runs)
    sides = {m: table[table.method == m] for m in ("new", "baseline")}
    count = min(side.setting.nunique() for side in sides.values())
    both = set(sides["new"].seed) & set(sides["baseline"].seed)
    reached = {}
    for name, side in sides.items():
        side = side[side.seed.isin(both)] if common and chosen_on == "common" else side
        side = side[side.setting.isin(first(side.setting.unique())[:count])] if budget else side
        side = side[side.setting < count] if budget == "below" else side
        best = side[side.setting == side.groupby("setting")[judge].mean().idxmax()]
        best = best[best.seed.isin(both)] if common else best
        reached[name] = best.test[best.validation.idxmax()] if report is None else report(best.test)
    return sign * (reached["new"] - reached["baseline"])


def by_seed(runs):
    """Right: the mean of the differences, seed by seed, from nested dicts."""
    log = {}
    for run in runs:
        log.setdefault(run["method"], {}).setdefault(run["setting"], {})[run["seed"]] = run
    count = min(map(len, log.values()))
    both = set.intersection(*(set(seeds) for settings in log.values() for seeds in settings.values()))
    chosen = {}
    for method, settings in log.items():
        tried = [settings[number] for number in sorted(settings)[:count]]
        chosen[method] = sorted(tried, key=lambda seeds: sum(seeds[s]["validation"] for s in both))[-1]
    return sum(chosen["new"][s]["test"] - chosen["baseline"][s]["test"] for s in both) / len(both)


def as_given(runs):
    reached = {}
    for method in ("new", "baseline"):
        settings = {}
        for run in runs:
            if run["method"] == method:
                settings.setdefault(run["setting"], []).append(run["test"])
        reached[method] = max(sum(group) / len(group) for group in settings.values())
    return reached["new"] - reached["baseline"]


FAIR = Rows(right=[gain, by_seed], wrong=[
    (lambda r: 0.0 + as_given(r), "one of three faults"), (lambda r: gain(r, "test"), "still chosen by its test"),
    (lambda r: gain(r, "test", False), "budgets differ"), (lambda r: gain(r, "test", True, False), "seeds differ"),
    (lambda r: gain(r, budget=False), "more settings"), (lambda r: gain(r, common=False), "other seeds on the two sides"),
    (lambda r: gain(r, budget=False, common=False), "And the seeds differ"), (lambda r: gain(r, report=np.max), "best seed"),
    (lambda r: gain(r, sign=-1), "baseline minus new"), (lambda r: [gain(r)], "must be one number"),
    (lambda r: gain(r, report=None), "best on validation"), (lambda r: gain(r, first=list), "which is in any order|more settings"),
    (lambda r: gain(r, budget="below"), "below n"), (lambda r: gain(r, chosen_on="all"), "still chosen over all seeds")])

# ---- 11.5

SIGNED = {"settings": "the same number for each method, on a grid of its own", "chosen on": "validation rows, with seeds that are not used again",
          "budget": "the same steps of the same batches for all", "baselines": "separate models, and word counts with logistic regression",
          "claim": "the paired interval over seeds, for each task", "if the interval holds 0": "say so, and take the cheaper one"}
PLAN = Rows(right=[{key: f"  {value}\n" for key, value in reversed(SIGNED.items())}], wrong=[
    (SIGNED | {"settings": "none: the defaults of each"}, "by accident"),
    (SIGNED | {"settings": "many for attention, since it is new to you; the defaults for the others"}, "best of many"),
    (SIGNED | {"chosen on": "validation rows, with the seeds of the report"}, "Nearly right"),
    (SIGNED | {"chosen on": "test rows, with other seeds"}, "can no longer judge"),
    (SIGNED | {"budget": "the same seconds on your laptop"}, "measure the code"),
    (SIGNED | {"baselines": "separate models"}, "word counts may beat"),
    (SIGNED | {"claim": "p < 0.05 on one of the five tasks"}, "number of tests"),
    (SIGNED | {"claim": "the mean over tasks is higher"}, "in every experiment"),
    (SIGNED | {"if the interval holds 0": "say that both are equally good"}, "not shown to be equal"),
    (SIGNED | {"if the interval holds 0": "add seeds until it does not"}, "finds something in the end"),
    (SIGNED | {"budget": "the same step of the same batches for all"}, "Did you mean")])

ANSWERS = {"11.1": CHOICE, "11.2": REGRET, "11.3": EVEN, "11.4": FAIR, "11.5": PLAN}
