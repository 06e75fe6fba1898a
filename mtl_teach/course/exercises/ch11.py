"""Exercises of chapter 11, choosing a method."""

# ruff: noqa: E501  (tables of prose)

from __future__ import annotations

from ...tasks import nearest
from ..expect import Mistake, Wrong, compare, expect, expect_type, numbers
from ..registry import Exercise
from .drawing import telling

TITLE, NOTEBOOK = "Choosing a method", "11_choosing"


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def check_options(got, options, next):
    """A dict of choices, each one of the given texts; every wrong text has its reason."""
    expect_type(got, dict)
    expect(set(got) == set(options), "Keep the keys as they were given: {keys}.", keys="; ".join(options))
    for key, texts in options.items():
        choice = " ".join(got[key].split()) if isinstance(got[key], str) else got[key]
        if not isinstance(choice, str) or choice not in texts:
            raise Wrong("{key}: {choice} is none of the options.", next="Copy one from the text.{near}", key=key, choice=repr(choice),
                        near=nearest(str(choice), texts).split(" Known")[0])
        expect(not texts[choice], "{key}: not {choice}.", texts[choice], next, key=key, choice=repr(choice))


# ---- 11.1 advice ------------------------------------------------------------------------------------------------------

TOO_LARGE = "It needs {n} numbers, and the device has room for 200,000."
FORGETS = "It must be trained again on the rows of all tasks, and those will be gone; and its old answers change."
BEATEN = "Word counts with logistic regression have 73 % where this has {n} %, and the interval of the difference lies far above 0."
NOT_SHOWN = "Its interval against the best holds 0, as do all the others in that table. What you picked is luck of five seeds."
NONE, PLAIN = "none is shown to be better", "TF-IDF + LR"
SITUATIONS = {
    "rich twin": {
        "HardSharing": "",
        "SingleTask": "It lies 34 to 47 points below the best one on `mood`: 40 labels alone are too few.",
        "SoftSharing": "It is not shown to be worse. But it has twice the numbers and a strength to tune, for 4.6 points less on `mood`, in the mean.",
        "AttentionSharing": "It is shown to be worse: 1 to 48 points below the best one. Where two tasks need the same words, ways of keeping them "
                            "apart only cost.",
        "ProgressiveNetwork": "It lies 25 to 50 points below the best one: each column gets the steps of its own task alone, and 80 were too few for the first.",
        NONE: "Three of the four intervals against HardSharing lie below 0."},
    "three unlike, large servers": {
        "SingleTask": "",
        "HardSharing": "It is shown to be worse by 8 to 14 points: one small body has no room for three unlike tasks.",
        "SoftSharing": "Half a point more, at the edge of what five seeds can show, and a strength to tune that nobody has time for.",
        "AttentionSharing": "4.5 points less on average than separate models. It is small, but size is no object here.",
        "ProgressiveNetwork": "It is shown to be worse than separate models, by 2 to 3 points, and is the largest of all.",
        NONE: "HardSharing and ProgressiveNetwork are shown to be worse, so the table does say something."},
    "three unlike, small device": {
        "AttentionSharing": "",
        "HardSharing": "It fits, but of the two that fit it is shown to be the worse one, by 3 to 10 points, for 12,000 numbers less.",
        "SingleTask": TOO_LARGE.format(n="531,403"), "SoftSharing": TOO_LARGE.format(n="531,403"),
        "ProgressiveNetwork": TOO_LARGE.format(n="551,889"),
        NONE: "Two methods fit, and their difference is +6.6 [3.0, 10.2]."},
    "three unlike, a fourth next year": {
        "ProgressiveNetwork": "",
        "SingleTask": "Old answers stay as they are, but the fourth model starts without what the three have learned, and its labels are few.",
        "HardSharing": FORGETS, "SoftSharing": FORGETS, "AttentionSharing": FORGETS,
        NONE: "The accuracies are not the point here. Look at what each method needs when a task is added."},
    "intents": {
        PLAIN: "",
        "SingleTask": BEATEN.format(n=49), "HardSharing": BEATEN.format(n=39), "SoftSharing": BEATEN.format(n=39),
        "AttentionSharing": BEATEN.format(n=54) + " It is near the best of the five, and the five are the wrong tool here.",
        "ProgressiveNetwork": BEATEN.format(n=56) + " It is the best of the five, and the five are the wrong tool here.",
        NONE: "The plain baseline is shown to be better than each of the five."},
    "first look": {
        NONE: "",
        "HardSharing": "It has the highest mean, but every other one's interval against it holds 0. More steps or seeds come first.",
        "SingleTask": NOT_SHOWN, "SoftSharing": NOT_SHOWN, "AttentionSharing": NOT_SHOWN, "ProgressiveNetwork": NOT_SHOWN},
}
for _options in SITUATIONS.values():
    _options.setdefault(PLAIN, "No plain baseline was measured in that table; you cannot know.")


def check_advice(answer, fresh):
    check_options(answer.value, SITUATIONS, "Read the line of that method in the table of the situation, then what the situation asks for.")
    return "Six situations, and no method that is right in all of them."


# ---- 11.2 least_regret ------------------------------------------------------------------------------------------------

def worst_regret(table, value=mean):
    """{method: how far it lies below the best one, in the regime where that is most}"""
    methods = list(next(iter(table.values())))
    best = {regime: max(value(seeds) for seeds in scores.values()) for regime, scores in table.items()}
    return {m: max(best[regime] - value(scores[m]) for regime, scores in table.items()) for m in methods}


def least(table):
    found = worst_regret(table)
    return min(found, key=found.get)


def most(score):
    """The method with the highest score(its means over the regimes, the best means)."""
    def pick(table):
        methods = list(next(iter(table.values())))
        best = [max(map(mean, scores.values())) for scores in table.values()]
        return max(methods, key=lambda m: score([mean(scores[m]) for scores in table.values()], best))
    return pick


REGRETS = [
    Mistake(most(lambda mine, best: mean(mine)), "You took the best average, or the least average regret, which is the same. A method may be best on average and fail in one regime, and you "
            "do not know which regime yours is.", "For each method: the largest of its regrets."),
    Mistake(most(lambda mine, best: min(mine)), "You took the highest worst score. In a hard regime all scores are low, and that says nothing "
            "about the method.", "Subtract from the best in each regime first."),
    Mistake(most(lambda mine, best: sum(a == b for a, b in zip(mine, best))), "You took the one that wins most regimes. What happens where it "
            "does not win?", "Look at how far it lies behind where it loses."),
    Mistake(lambda t: max(worst_regret(t), key=worst_regret(t).get), "You took the largest regret.", "The smallest of the largest."),
    Mistake(lambda t: min(worst_regret(t, max), key=worst_regret(t, max).get), "You compared the best seeds. That rewards spread.",
            "Take the mean over seeds first."),
    Mistake(most(lambda mine, best: -min(a - b for a, b in zip(best, mine))), "You took the smallest of each method's regrets: it is 0 wherever a "
            "method wins once.", "Take the largest regret of each method."),
]


def regimes(fresh):
    methods = fresh.sample(["single", "hard", "soft", "attention", "progressive", "adapters", "chain", "merged"], 8)
    levels = (0.9, 0.75, 0.55, 0.8)
    names = ["same words", "opposite", "hard text", "many labels"]
    return [{name: {m: [round(level - fresh.number(0, 0.2, 4) + fresh.number(-0.06, 0.06, 4), 4) for _ in range(4)] for m in methods}
             for name, level in zip(names, levels)}]


def check_regret(answer, fresh):
    table = telling(lambda: regimes(fresh), least, REGRETS[:3] + REGRETS[4:5])

    def answered(table):
        got = answer(table)
        expect(numbers(got) is None, "Return the name of a method; you returned {got}.", "Perhaps that is its regret: min() gives the "
               "smallest value, not whose it is.", "`min(regrets, key=regrets.get)` gives the key.", got=got)
        expect_type(got, str)
        expect(got in worst_regret(table), "{got} is no method of the table.", got=repr(got))
        return got
    compare(answered, table, least, "Take the method whose largest regret over the regimes is smallest.", known=REGRETS)
    return "Wherever you will be, you lose least by it."


# ---- 11.3 break_even --------------------------------------------------------------------------------------------------

def costs(tasks, training, request):
    """[cost of separate models, of hard sharing]: each as (before the first text, per text); added up stage by stage."""
    separate = sum(training for _ in range(tasks))
    shared = sum(k * training for k in range(1, tasks + 1))
    return (separate, tasks * request), (shared, request)


def first_cheaper(separate, shared):
    """The smallest N >= 0 with shared < separate, by halving; whole numbers, so nothing is rounded."""
    def cheaper(n):
        return shared[0] + n * shared[1] < separate[0] + n * separate[1]
    low, high = -1, 1
    while not cheaper(high):
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if cheaper(middle) else (middle, high)
    return high


def even(tasks, training, request):
    return first_cheaper(*costs(tasks, training, request))


def with_costs(change):
    """The same with other costs: change(tasks, training, request) gives them."""
    return lambda *a: first_cheaper(*change(*a))


EVEN = [
    Mistake(with_costs(lambda k, t, r: ((k * t, k * r), (k * t, r))), "You trained the shared model once. It is trained again on all tasks "
            "whenever one is added.", "1 + 2 + ... + K trainings of one task."),
    Mistake(with_costs(lambda k, t, r: ((k * t, k * r), (k * k * t, r))), "You counted K trainings of all K tasks. At the first stage there is "
            "one task, at the second there are two.", "1 + 2 + ... + K trainings of one task."),
    Mistake(with_costs(lambda k, t, r: ((0, k * r), (k * (k + 1) // 2 * t, r))), "The separate models must be trained too: K trainings.",
            "Compare what each way costs in all."),
    Mistake(with_costs(lambda k, t, r: ((k * t, k * r), (k * (k + 1) // 2 * t, 0))), "Texts cost the shared model nothing in your count: "
            "each passes its body once.", "The saving per text is K - 1 passes."),
    Mistake(with_costs(lambda k, t, r: ((k * t, k * r), (k * (k - 1) // 2 * t, r))), "You counted 0 + 1 + ... + (K - 1) trainings. The "
            "last one is missing: with all K tasks.", "1 + 2 + ... + K trainings of one task."),
    Mistake(lambda *a: even(*a) - 1, "That is the last number of texts at which hard sharing is not cheaper yet.", "One text more. Take care with "
            "rounding where the division comes out even."),
]


def check_even(answer, fresh):
    says = "Return the smallest number of texts at which hard sharing is cheaper in all."

    def draw(exact):
        tasks, request = fresh.integer(3, 7), fresh.integer(3, 9)
        training = 2 * request * fresh.integer(20, 60) if exact else 2 * request * fresh.integer(20, 60) + 1
        return [tasks, training, request]

    def answered(*args):
        got = answer(*args)
        expect_type(got, "number")
        expect(float(got) == round(float(got)), "You returned {got}, which is not a whole number.", "That is where both cost the same.",
               "The next whole number above it.", got=float(got))
        return got
    compare(answered, telling(lambda: draw(False), even, EVEN[:5]), even, says, known=EVEN, rtol=0, atol=0.01)
    compare(answered, draw(True), even, says + " Here the division comes out even: at that number both cost the same.", known=EVEN,
            rtol=0, atol=0.01)
    return "Retraining is paid once for each task, a pass of the body with every text."


# ---- 11.4 fair_gain ---------------------------------------------------------------------------------------------------

def fair(runs, judge="validation", budget=True, common=True, report="mean", first=False, order=sorted, below=False):
    """The options are what was unfair; common: False, "report" (only the report is over common seeds), or True."""
    of = {m: [run for run in runs if run["method"] == m] for m in ("new", "baseline")}
    seeds = {m: {run["seed"] for run in mine} for m, mine in of.items()}
    tried = {m: order(dict.fromkeys(run["setting"] for run in mine)) for m, mine in of.items()}
    count, both = min(map(len, tried.values())), seeds["new"] & seeds["baseline"]
    reached = {}
    for m, mine in of.items():
        allowed = tried[m][:1] if first and m == "baseline" else tried[m][:count] if budget else tried[m]
        allowed = [s for s in tried[m] if s < count] if below else allowed
        rows = {s: [run for run in mine if run["setting"] == s and (run["seed"] in both or common is not True)] for s in allowed}
        chosen = max(rows.values(), key=lambda group: mean(run[judge] for run in group))
        tests = [run["test"] for run in chosen if run["seed"] in both or not common]
        reached[m] = {"mean": mean(tests), "best": max(tests), "best on validation": max(chosen, key=lambda run: run["validation"])["test"]}[report]
    return reached["new"] - reached["baseline"]


ON_TEST = "The setting is still chosen by its test accuracy, and the same rows are to judge it."
BUDGET = "One method may still choose among more settings than the other, or among others. The best of many is high by luck."
SEEDS = "The means are over other seeds on the two sides. Easy seeds on one side look like a better method."
FAIR = [
    Mistake(lambda r: fair(r, "test", False, False), ON_TEST + " That is one of three faults.", "Who chooses, among how many, and over which seeds?"),
    Mistake(lambda r: fair(r, "test", False), ON_TEST + " And the budgets differ.", "Choose by the mean of `validation`."),
    Mistake(lambda r: fair(r, "test", True, False), ON_TEST + " And the seeds differ.", "Choose by the mean of `validation`."),
    Mistake(lambda r: fair(r, "validation", False, False), BUDGET + " And the seeds differ.", "Let both choose among as many settings."),
    Mistake(lambda r: fair(r, "test"), ON_TEST, "Choose by the mean of `validation`."),
    Mistake(lambda r: fair(r, budget=False), BUDGET, "Let both choose among as many settings: `sorted(numbers)[:n]`."),
    Mistake(lambda r: fair(r, common=False), SEEDS, "Keep only seeds that both methods have."),
    Mistake(lambda r: fair(r, report="best"), "You took the best seed of the chosen setting.", "Take the mean over seeds."),
    Mistake(lambda r: fair(r, report="best on validation"), "You report one seed of the chosen setting, the best on validation.", "Take the mean "
            "of `test` over its seeds."),
    Mistake(lambda r: fair(r, common="report"), "The report is over common seeds now, but each setting was still chosen over all seeds of its "
            "method.", "Drop the other seeds before anything is chosen."),
    Mistake(lambda r: fair(r, order=list), "You took the first n settings of the log, which is in any order.", "The first n by their number: "
            "`sorted(...)[:n]`."),
    Mistake(lambda r: fair(r, below=True), "You took the settings whose number is below n. The numbers need not begin at 0, nor be without gaps.",
            "`sorted(numbers)[:n]`"),
    Mistake(lambda r: fair(r, first=True), "The baseline may not choose at all in your comparison: you took its first setting.",
            "Both methods choose among n settings."),
    Mistake(lambda r: -fair(r), "That is baseline minus new.", "Return new minus baseline."),
]


def log_of_runs(fresh):
    """Two methods with one seed each that the other has not, on which validation says something else about every setting."""
    counts, seeds = {"new": fresh.integer(10, 12), "baseline": fresh.integer(5, 6)}, fresh.sample(range(30), 6)
    mine = {"new": seeds[:5], "baseline": seeds[1:]}
    numbered = {m: [0, 1, *sorted(fresh.sample(range(3, 20), count - 2))] for m, count in counts.items()}            # with gaps
    luck = {seed: fresh.number(-0.08, 0.08, 4) for seed in seeds}
    runs = [{"method": m, "setting": s, "seed": seed, "test": round(level + luck[seed] + fresh.number(-0.06, 0.06, 4), 4),
             "validation": round(level + luck[seed] + (6 if seed in seeds[::5] else 1) * fresh.number(-0.06, 0.06, 4), 4)}
            for m in counts for s in numbered[m] for level in [fresh.number(0.6, 0.63, 4) + 0.04 * (s > numbered[m][counts["baseline"] - 1])] for seed in mine[m]]
    runs = fresh.shuffled(runs)
    unlike = all(abs(mistake.wrong(runs) - fair(runs)) > 0.003 for mistake in FAIR[8:12])
    return [runs] if unlike else log_of_runs(fresh)


def check_fair(answer, fresh):
    def answered(runs):
        got = answer(runs)
        expect_type(got, "number")
        return got
    compare(answered, telling(lambda: log_of_runs(fresh), fair, FAIR[:8]), fair, "The comparison is not fair yet.", known=FAIR)
    return "Same budget, same seeds, and the test rows had no say."


# ---- 11.5 plan --------------------------------------------------------------------------------------------------------

OPTIONS = {
    "settings": {
        "the same number for each method, on a grid of its own": "",
        "the same grid of rates for each method, nothing else": "A method with a knob of its own, such as the pull's strength, then runs with an untuned "
                                                                 "knob.",
        "many for attention, since it is new to you; the defaults for the others": "The best of many settings is higher than the best of one, even if all "
                                                                                     "are equally good.",
        "none: the defaults of each": "A default may suit one method by accident. You would measure who had luck with it."},
    "chosen on": {
        "validation rows, with seeds that are not used again": "",
        "validation rows, with the seeds of the report": "Nearly right. But what was lucky with these seeds was chosen for it, and you would report it on the "
                                                         "same data and weights again.",
        "test rows, with other seeds": "Test rows that choose can no longer judge.",
        "training loss": "The method that learns by heart fastest would win."},
    "budget": {
        "the same steps of the same batches for all": "",
        "each until it is best on test": "The stopping point is a choice too, and the test makes it here.",
        "the same seconds on your laptop": "Seconds measure the code as much as the method. Report them beside the result."},
    "baselines": {
        "separate models, and word counts with logistic regression": "",
        "separate models": "On real text the word counts may beat everything. Then you want to know.",
        "none: the two methods are compared with each other": "Both may be worse than no sharing at all, and you would ship one of them."},
    "claim": {
        "the paired interval over seeds, for each task": "",
        "the mean over tasks is higher": "It is higher for one of the two in every experiment, also if both are equal.",
        "p < 0.05 on one of the five tasks": "With five tasks something is below 0.05 in up to a quarter of all experiments in which nothing is there: correct "
                                             "for the number of tests.",
        "McNemar's test of one model of each": "It compares two trained models. Another seed gives two others."},
    "if the interval holds 0": {
        "say so, and take the cheaper one": "",
        "say that both are equally good": "Not shown to differ is not shown to be equal. Say how large a difference the interval leaves room for.",
        "add seeds until it does not": "Who looks after every seed and stops when it suits finds something in the end. Decide on the number before.",
        "report the task with the largest gain": "One of five tasks gains most in every experiment."},
}


def check_plan(answer, fresh):
    check_options(answer.value, OPTIONS, "Suppose both methods are equally good. Would this choice still make one of them win?")
    return "A comparison that either side would sign before it starts."


EXERCISES = [
    Exercise(
        id="11.1", title="Six situations, one method each", answer="advice", call="advice", wants="value", points=3, difficulty=3, importance=5,
        minutes=20, kind="measure and choose", check=check_advice,
        hints=["Strike out what the situation forbids. Then look for the best of what is left.",
               "Is the best one shown to be better? If not, what is cheaper, or needs no tuning?",
               "Look at the lines below the networks too, and at what it takes to add a task."]),
    Exercise(
        id="11.2", title="The least you can regret", answer="least_regret", call="least_regret(table)", points=2, difficulty=2, importance=3, minutes=12,
        check=check_regret,
        hints=["Means over seeds first. What is the best mean of each regime?", "A method's regret in a regime: the best mean minus its own. Keep the "
               "largest one of each method.", "min(methods, key=the largest regret)"]),
    Exercise(
        id="11.3", title="When does retraining pay?", answer="break_even", call="break_even(tasks, training, request)", points=2, difficulty=3,
        importance=4, minutes=12, check=check_even,
        hints=["Write both costs as: something once, plus something for each text.", "Hard sharing trains 1 + 2 + ... + K tasks; separate models K. A "
               "text costs 1 pass or K.", "N must be above (K(K+1)/2 - K) · training / ((K - 1) · request). Use // for whole numbers."]),
    Exercise(
        id="11.4", title="Find the bug: an unfair comparison", answer="fair_gain", call="fair_gain(runs)", points=3, difficulty=3, importance=5, minutes=15,
        kind="find the bug", check=check_fair,
        hints=["Which rows decide what is best?", "How many settings did each side try, and over which seeds does each mean go?",
               "Filter `runs` first: common seeds, and the first n settings of each. Then choose by the mean of `validation`."]),
    Exercise(
        id="11.5", title="Design a comparison that both sides would sign", answer="plan", call="plan", wants="value", points=2, difficulty=2, importance=5,
        minutes=15, kind="design", check=check_plan,
        hints=["For each option: does it favour one side if both methods are equally good?",
               "Choosing and judging need different rows and different seeds; budgets and numbers of settings must be equal."]),
]
