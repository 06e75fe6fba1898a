"""Every loss weighting and gradient method on the shop of chapter 08, against equal weights that were tuned as long.

    python benchmarks/balance_methods.py                        all rivals, printed
    python benchmarks/balance_methods.py --write                and stored in mtl_teach/assets/results/balance.json
    python benchmarks/balance_methods.py --write --only 'CAGrad;UPGrad'      these alone; the others in the file stay

Rates are chosen on validation rows of five seeds, one for all tasks of a model (for `alone` one per task). The values that
are stored come from test rows of thirty other seeds, which were used for nothing else. Runs are kept on disk (see
mtl_teach.compare), so a sweep that was stopped goes on. All of it is about 25 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from dataclasses import asdict, replace
from datetime import date
from functools import cache
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path

import mtl_teach as mt
from mtl_teach.comparison import plain_scores
from mtl_teach.comparison_result import Scores
from mtl_teach.comparison_runs import Run, cache_folder, perform_all, write
from mtl_teach.tasks import nearest

FILE = Path(mt.__file__).parent / "assets" / "results" / "balance.json"
SIZES = {"mood": 100, "returns": 2000, "rating": 200}
LOAD = {"train": SIZES, "validation": 200, "test": 200, "cues": 8, "related": 0.0}
TRAIN = {"steps": 100, "batch_size": 24, "sampler": "uniform"}
RATES = (1.5e-3, 3e-3, 6e-3, 1.2e-2)
TUNING, SHOWN = tuple(range(100, 105)), tuple(range(200, 230))
ONE_CHANGED = tuple({task: weight} for task in ("mood", "returns", "refund") for weight in (0.3, 3.0))

WAYS = {                                # what each tries beside the rates: its own knob where it has one, at two values
    "equal weights": {},
    "fixed weights": {"loss_weights": ONE_CHANGED},
    "uncertainty": {"weighting": (mt.Uncertainty(rate=0.01), mt.Uncertainty(rate=0.1))},
    "DWA": {"weighting": (mt.DWA(temperature=2.0, period=10), mt.DWA(temperature=1.0, period=10))},   # an epoch has 96 steps
    "GradNorm": {"weighting": (mt.GradNorm(alpha=1.5), mt.GradNorm(alpha=0.12))},
    "FAMO": {"weighting": (mt.FAMO(rate=0.025), mt.FAMO(rate=0.25))},
    "GLS": {"weighting": ("gls",)},
    "RLW": {"weighting": ("rlw",)},
    "PCGrad": {"gradients": ("pcgrad",)},
    "GradVac": {"gradients": (mt.GradVac(beta=0.01), mt.GradVac(beta=0.1))},
    "MGDA": {"gradients": (mt.MGDA(), mt.MGDA(unit=True))},
    "CAGrad": {"gradients": (mt.CAGrad(c=0.4), mt.CAGrad(c=0.8))},
    "IMTL-G": {"gradients": ("imtl-g",)},
    "Aligned-MTL": {"gradients": ("aligned-mtl",)},
    "Nash-MTL": {"gradients": ("nash-mtl",)},
    "UPGrad": {"gradients": ("upgrad",)},
}
RIVALS, PLAIN, BY_RATE = ["alone", "separate", *WAYS], "TF-IDF + LR", "equal weights by rate"


@cache
def shop(seed: int) -> mt.TaskSet:
    """The shop of chapter 08: mood, returns and refund, the rating of 1 to 5 stars in cents."""
    tasks = mt.load_tasks("town", list(SIZES), seed=seed, **LOAD)

    def rows(split):
        return [row | {"label": 250.0 * (5 - row["label"])} for row in tasks["rating"].split(split)]
    refund = mt.TaskData(mt.Task("refund", "regress"), rows("train"), rows("validation"), rows("test"))
    return mt.TaskSet({name: data for name, data in tasks.items() if name != "rating"} | {"refund": refund})


def small_body():
    """The lower layer of the embedded model."""
    body = mt.load_backbone("tiny")
    body.model.h, body.model.config.n_layer = body.model.h[:1], 1
    return body


def at_their_best(ways: dict, seeds, jobs: int, progress=None) -> mt.Comparison:
    """The ways with the small body, each at its best setting."""
    return mt.compare(ways, shop, seeds, backbone=small_body(), tuning_seeds=TUNING, baseline=False, jobs=jobs,
                      progress=progress, **TRAIN)


def compared(name: str, seeds, jobs: int, progress=None) -> Scores:
    """One way to train the three tasks together, at its best setting. `separate` is a body for each task, fed with the same
    rows: a third of each batch."""
    algorithm, own = (mt.SingleTask, {}) if name == "separate" else (mt.HardSharing, WAYS[name])
    found = at_their_best({name: mt.Method(algorithm, grid={"lr": RATES, **own})}, seeds, jobs, progress)[name]
    return replace(found, chosen=said(found.chosen), tried=[said(setting) for setting in found.tried])


def said(setting: dict) -> dict:
    """A setting as numbers and texts, for the file."""
    return {key: value if isinstance(value, (float, dict, str)) else repr(value) for key, value in setting.items()}


def alone(seeds, jobs: int, progress=None) -> Scores:
    """Each task in a model of its own, with ALL rows of each batch and as many steps: what the chapter calls alone. Three
    times the rows and the arithmetic of the others, and a rate for each task."""
    body, folder = small_body(), cache_folder()

    def measured(rates, among, split):
        runs = {(task, rate, seed): Run(mt.HardSharing, {}, body, shop(seed).only(task), split, TRAIN | {"lr": rate}, seed)
                for task in shop(seeds[0]) for rate in rates[task] for seed in among}
        records, _trained = perform_all({run.key(): run for run in runs.values()}, folder, jobs, lambda n: None)
        return {at: records[run.key()] for at, run in runs.items()}
    tasks = list(shop(seeds[0]))
    trials = measured(dict.fromkeys(tasks, RATES), TUNING, "validation")
    reached = {task: [sum(trials[task, rate, seed]["values"][task] for seed in TUNING) / len(TUNING) for rate in RATES]
               for task in tasks}
    chosen = {task: RATES[reached[task].index(max(reached[task]))] for task in tasks}
    runs = measured({task: (rate,) for task, rate in chosen.items()}, seeds, "test")

    def over(task, read):
        return mt.Measured({seed: read(runs[task, chosen[task], seed]) for seed in seeds})
    values = {task: over(task, lambda record, task=task: record["values"][task]) for task in tasks}
    spent = {key: sum(over(task, itemgetter(key)) for task in tasks) for key in ("seconds", "cpu_seconds", "steps")}
    parameters = sum(runs[task, chosen[task], seeds[0]]["parameters"] for task in tasks)
    return Scores("alone", values, parameters=parameters, chosen={f"lr of {task}": rate for task, rate in chosen.items()},
                  tried=[{"lr": rate} for rate in RATES], in_order=False, **spent,
                  reached=[sum(reached[task][number] for task in tasks) / len(tasks) for number in range(len(RATES))])


def keep(name: str, scores: dict) -> None:
    """Put one rival's result into the file."""
    found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {
        "dates": {}, "result": {"scores": {}, "plain": {}}}
    found["versions"] = {package: version(package) for package in ("torch", "transformers", "scikit-learn")} | {
        "mtl_teach": mt.__version__, "python": platform.python_version()}
    found["load"], found["train"], found["rates"] = LOAD, TRAIN, RATES
    found["dates"][name] = date.today().isoformat()
    result = found["result"]
    result["budget"] = {"steps": TRAIN["steps"], "batch_size": TRAIN["batch_size"], "seeds": SHOWN, "tune_for": "",
                        "tuning_seeds": TUNING, "same_rows": False}
    result["baseline"] = "alone"
    if name == BY_RATE:
        found["by_rate"] = scores
    else:
        result["plain" if name == PLAIN else "scores"][name] = scores
    result["scores"] = {key: result["scores"][key] for key in RIVALS if key in result["scores"]}           # in our order
    write(found, FILE)


def by_rate(jobs: int, progress=None) -> mt.Comparison:
    """Equal weights at every rate on the seeds that are shown: what a rate is worth. It takes no part in any choice."""
    return at_their_best({f"{rate:g}": mt.Method(mt.HardSharing, grid={"lr": (rate,)}) for rate in RATES}, SHOWN, jobs, progress)


def part(name: str, jobs: int, progress=None) -> tuple[dict, str]:
    """(what the file keeps of one part, what is said of it); PLAIN: word counts with a linear model, no network"""
    if name == PLAIN:
        found = plain_scores({seed: shop(seed) for seed in SHOWN}, list(SHOWN), 0.95)[PLAIN]
        return {task: asdict(value) for task, value in found.items()}, str({t: str(v.percent()) for t, v in found.items()})
    if name == BY_RATE:
        found = by_rate(jobs, progress)
        return {rate: asdict(scores) for rate, scores in found.items()}, str(list(found.values()))
    found = alone(SHOWN, jobs, progress) if name == "alone" else compared(name, SHOWN, jobs, progress)
    return asdict(found), f"{found}\n   chosen {found.chosen}, {len(found.tried)} settings tried\n" \
                          f"   validation {[round(value, 3) for value in found.reached]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="store the results in the package")
    parser.add_argument("--only", default="", help="names of rivals, with semicolons between them")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("once")
    known = [*RIVALS, BY_RATE, PLAIN]
    wanted = options.only.split(";") if options.only else known
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is not None:
        parser.error(f"unknown rival {unknown!r}.{nearest(unknown, known)}")
    for name in wanted:
        begin = time.perf_counter()
        scores, text = part(name, options.jobs)
        print(f"== {name}: {time.perf_counter() - begin:.0f} s\n   {text}", flush=True)
        if options.write:
            keep(name, scores)


if __name__ == "__main__":
    main()
