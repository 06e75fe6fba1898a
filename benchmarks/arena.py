"""The arena of chapter 11: five methods in many regimes, equal budgets, equal tuning.

    python benchmarks/arena.py --time                       one regime without a cache; target: at most 60 s on 2 cores
    python benchmarks/arena.py --write                      all regimes of the town -> mtl_teach/assets/results/arena.json
    python benchmarks/arena.py --write --only scarce,five   these alone; what is in the file of the others stays
    python benchmarks/arena.py --write --real FOLDER        the real data sets in a folder of data sets

Runs are kept on disk (see mtl_teach.compare), so a sweep that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from datetime import date
from importlib.metadata import version
from pathlib import Path

import mtl_teach as mt

FILE = Path(mt.__file__).parent / "assets" / "results" / "arena.json"
TARGET = 60
RATES = (1e-3, 3e-3, 6e-3)
SOFT = {"lr": (3e-3,), "strength": (3.0, 10.0, 30.0)}                         # three settings, as the others
USUAL = {"validation": 300, "test": 300}
PAIR = ["returns", "mood"]                                                     # the rich task first
FIVE = ["sentiment", "topic", "intent", "urgency", "speaker"]


def methods():
    return {"SingleTask": mt.SingleTask, "HardSharing": mt.HardSharing, "SoftSharing": mt.Method(mt.SoftSharing, grid=SOFT),
            "AttentionSharing": mt.AttentionSharing, "ProgressiveNetwork": mt.ProgressiveNetwork}


def pair(labels=60, rich=2000, steps=120, order=PAIR, **dials):
    """`mood` with few labels beside `returns` with many."""
    load = {"names": order, "train": {"mood": labels, "returns": rich}, "cues": 30, **dials}
    return {"load": load, "train": {"steps": steps, "sampler": "uniform"}}


def messages(names, labels, steps=120, sampler="uniform", **dials):
    """Questions about ordinary messages."""
    return {"load": {"names": names, "train": labels, **dials}, "train": {"steps": steps, "sampler": sampler}}


REGIMES = {
    # relatedness, with 60 labels for mood and 2,000 for returns
    "same": pair(),
    "opposite": pair(related=-1.0),
    "no common word": pair(related=0.0),
    "half reversed": pair(conflict=0.5),
    # scarcity
    "400 labels": pair(labels=400),
    "half reversed at 400 labels": pair(labels=400, conflict=0.5),
    # order: the progressive network learns mood before returns
    "poor task first": pair(order=PAIR[::-1]),
    # compute
    "a third of the steps": pair(steps=40),
    "three times the steps": pair(steps=360),
    # number of tasks, unlike ones; own texts, or all labels on the same texts
    "three unlike": messages(["sentiment", "topic", "speaker"], 60),
    "five unlike": messages(FIVE, 60, steps=200),
    "five unlike, 1000 labels": messages(FIVE, 1000, steps=200),
    "five on the same texts": messages(FIVE, 400, shared=True, sampler="joint"),
}


def arena(load: dict, train: dict, jobs: int, cache=None, seeds=5, progress=None) -> mt.Comparison:
    """One regime: load are arguments of load_tasks, train those of compare."""
    def tasks(seed):
        return mt.load_tasks("town", **USUAL | load, seed=seed)
    return mt.compare(methods(), tasks, seeds, grid={"lr": RATES}, jobs=jobs, cache=cache, progress=progress, **train)


def keep(part: str, name: str, entry: dict) -> None:
    """Put one result into the file."""
    found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"town": {}, "real": {}}
    found["versions"] = {package: version(package) for package in ("torch", "transformers", "scikit-learn")} | {
        "mtl_teach": mt.__version__, "python": platform.python_version()}
    found[part][name] = entry | {"date": date.today().isoformat()}
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def say(name, result, begin):
    print(f"\n== {name}: {result.trained} runs in {time.perf_counter() - begin:.0f} s\n{result}", flush=True)
    for task in [*result.tasks, "average"]:
        print(f"   {task}: best, and not shown to be worse: {', '.join(result.best(task))}", flush=True)


def measure_time(options):
    begin = time.perf_counter()
    result = arena(**REGIMES["same"], jobs=options.jobs, cache=False)
    seconds = time.perf_counter() - begin
    computing = sum(s.cpu_seconds.mean * s.cpu_seconds.n for s in result.values())
    print(result)
    print(f"five methods, five seeds, {result.trained} runs with tuning: {seconds:.0f} s by the clock, {options.jobs} processes "
          f"(target <= {TARGET}: {'met' if seconds <= TARGET else 'missed'}); the 25 last runs computed for {computing:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--write", action="store_true", help="store the results in the package")
    parser.add_argument("--only", default="", help="names of regimes, with commas between them")
    parser.add_argument("--real", default="", help="a folder of data sets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("once")
    if options.time:
        return measure_time(options)
    for name in options.only.split(",") if options.only else REGIMES:
        begin = time.perf_counter()
        result = arena(**REGIMES[name], jobs=options.jobs, seeds=options.seeds)
        say(name, result, begin)
        if options.write:
            keep("town", name, REGIMES[name] | {"result": result.to_dict()})


if __name__ == "__main__":
    main()
