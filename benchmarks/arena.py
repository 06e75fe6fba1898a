"""The arena of chapter 11: five methods in many regimes, equal budgets, equal tuning.

    python benchmarks/arena.py --time                       one regime without a cache; target: at most 60 s on 2 cores
    python benchmarks/arena.py --write                      all regimes of the town -> mtl_teach/assets/results/arena.json
    python benchmarks/arena.py --write --only 'opposite;five unlike'   these alone; what is in the file of the others stays
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
from mtl_teach.comparison_runs import write

FILE = Path(mt.__file__).parent / "assets" / "results" / "arena.json"
TARGET = 60
RATES = (1e-3, 3e-3, 6e-3)
SOFT = {"lr": (3e-3,), "strength": (3.0, 30.0, 300.0)}                        # three settings, as the others
USUAL = {"validation": 300, "test": 300}
PAIR = ["returns", "mood"]                                                     # the rich task first
FIVE = ["sentiment", "topic", "intent", "urgency", "speaker"]
METHODS = {
    "SingleTask": mt.SingleTask, "HardSharing": mt.HardSharing, "SoftSharing": mt.Method(mt.SoftSharing, grid=SOFT),
    "AttentionSharing": mt.AttentionSharing, "ProgressiveNetwork": mt.ProgressiveNetwork,
}
EXTRA = {                                                                      # what only some regimes ask for
    "fine-tuning chain": mt.Method(mt.HardSharing, in_order=True),
    "ProgressiveNetwork, poor task first": mt.Method(mt.ProgressiveNetwork, order=tuple(PAIR[::-1])),
}
LARGE = "HardSharing, a body as large as five"


def pair(labels=40, rich=2000, steps=160, extra=(), **dials):
    """`mood` with few labels beside `returns` with many; their messages hang on one of 20 words that the model does not know."""
    return {"load": {"names": PAIR, "train": {"mood": labels, "returns": rich}, "cues": 20, **USUAL, **dials},
            "train": {"steps": steps, "sampler": "uniform"}, "extra": list(extra)}


def messages(names, labels, steps, sampler="uniform", batch_size=32, **dials):
    """Unlike questions about ordinary messages, whose words the model knows from pretraining."""
    return {"load": {"names": names, "train": labels, **USUAL, **dials},
            "train": {"steps": steps, "sampler": sampler, "batch_size": batch_size}, "extra": []}


def room(width, heads, extra=()):
    """Five unlike tasks with labels enough, and bodies with new weights: how much room does a shared body need?"""
    return messages(FIVE, 1000, 600) | {"body": {"width": width, "heads": heads}, "extra": list(extra)}


REGIMES = {
    # relatedness
    "same words": pair(extra=["ProgressiveNetwork, poor task first"]),
    "opposite": pair(related=-1.0),
    "no common word": pair(related=0.0),
    "half reversed": pair(conflict=0.5),
    # labels enough, and one task after the other
    "half reversed, labels enough": pair(labels=400, conflict=0.5, extra=["fine-tuning chain"]),
    # compute
    "same words, a third of the steps": pair(steps=54),
    # number of tasks and labels
    "three unlike": messages(FIVE[:2] + FIVE[4:], 60, 120),
    "five unlike": messages(FIVE, 60, 120),
    "five unlike, labels enough": messages(FIVE, 1000, 120),
    "five on the same texts": messages(FIVE, 100, 60, "joint", 16, shared=True),
    # room in the shared body
    "five unlike, new weights, width 8": room(8, 1),
    "five unlike, new weights, width 32": room(32, 2, [LARGE]),
}
REAL = {                                    # small models with new weights, and a tokenizer of the training texts of these sets
    "intents": {"sets": ["clinc150"], "load": {"names": ["clinc150_domain", "clinc150_label"], "train": 2000, "test": 500,
                                               "validation": 300},
                "train": {"steps": 200, "sampler": "joint"},
                "source": "CLINC150 (Larson et al. 2019, EMNLP-IJCNLP), a cut of 5,950 training rows, CC BY 3.0"},
    "films": {"sets": ["movie_subjectivity", "movie_polarity"], "load": {"train": 1000, "test": 500, "validation": 300},
              "train": {"steps": 200, "sampler": "uniform"},
              "source": "Film sentences: polarity (Pang and Lee 2005, ACL) and subjectivity (Pang and Lee 2004, ACL), cuts of "
                        "6,000 training rows each, CC BY 4.0"},
    "sentence pairs": {"sets": ["sick"], "load": {"train": 4000, "test": 1000, "validation": 400},
                       "train": {"steps": 2000, "sampler": "joint"},    # with fewer none rises above the majority
                       "source": "SICK (Marelli et al. 2014, LREC), a cut of 4,451 training rows, CC BY-NC-SA 3.0"},
}


def real_arena(folder, sets, load, train, jobs, cache=None, seeds=5, progress=None) -> mt.Comparison:
    """The same on sets in a folder, beside the plain baselines."""
    places = [str(Path(folder) / name) for name in sets]
    backbone = mt.new_backbone(mt.load_tasks(places, quiet=True))

    def tasks(seed):
        return mt.load_tasks(places, seed=seed, quiet=True, **load)
    return mt.compare(METHODS, tasks, seeds, backbone=backbone, pretrained=False, grid={"lr": RATES}, tuning_seeds=1,
                      plain=True, jobs=jobs, cache=cache, progress=progress, **train)


def arena(load: dict, train: dict, extra=(), body=None, jobs=1, cache=None, seeds=5, progress=None) -> mt.Comparison:
    """One regime: load are arguments of load_tasks, train those of compare, extra are names in EXTRA or LARGE; body are sizes
    of a decoder with new weights in place of the embedded model."""
    def tasks(seed):
        return mt.load_tasks("town", **load, seed=seed)
    methods, options = METHODS | {name: EXTRA[name] for name in extra if name != LARGE}, {}
    if body is not None:
        first = tasks(0)
        options = {"backbone": mt.new_backbone(first, "gpt2", **body), "pretrained": False}
        if LARGE in extra:                                                                               # 316,000 parameters
            methods[LARGE] = mt.Method(mt.HardSharing, backbone=mt.new_backbone(first, "gpt2", width=92, heads=4))
    return mt.compare(methods, tasks, seeds, grid={"lr": RATES}, tuning_seeds=2, jobs=jobs, cache=cache, progress=progress,
                      **options, **train)


def keep(part: str, name: str, entry: dict) -> None:
    """Put one result into the file."""
    found = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"town": {}, "real": {}}
    found["versions"] = {package: version(package) for package in ("torch", "transformers", "scikit-learn")} | {
        "mtl_teach": mt.__version__, "python": platform.python_version()}
    found[part][name] = entry | {"date": date.today().isoformat()}
    found[part] = {key: found[part][key] for key in (REGIMES if part == "town" else REAL) if key in found[part]}    # in our order
    write(found, FILE)


def say(name, result, begin):
    print(f"\n== {name}: {result.trained} runs in {time.perf_counter() - begin:.0f} s\n{result}", flush=True)
    for task in [*result.tasks, "average"]:
        print(f"   {task}: best, and not shown to be worse: {', '.join(result.best(task))}", flush=True)


def measure_time(options):
    begin = time.perf_counter()
    result = arena(**REGIMES["same words"] | {"extra": ()}, jobs=options.jobs, cache=False)             # five methods, no variant
    seconds = time.perf_counter() - begin
    computing = sum(s.cpu_seconds.mean * s.cpu_seconds.n for s in result.values())
    print(result)
    print(f"five methods, five seeds, {result.trained} runs with tuning: {seconds:.0f} s by the clock, {options.jobs} processes "
          f"(target <= {TARGET}: {'met' if seconds <= TARGET else 'missed'}); the 25 last runs computed for {computing:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--write", action="store_true", help="store the results in the package")
    parser.add_argument("--only", default="", help="names of regimes, with semicolons between them")
    parser.add_argument("--real", default="", help="a folder of data sets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("once")
    if options.time:
        return measure_time(options)
    known = REAL if options.real else REGIMES
    for name in options.only.split(";") if options.only else known:
        begin, settings = time.perf_counter(), known[name]
        if options.real:
            asked = {key: value for key, value in settings.items() if key != "source"}
            result = real_arena(options.real, **asked, jobs=options.jobs, seeds=options.seeds)
        else:
            result = arena(**settings, jobs=options.jobs, seeds=options.seeds)
        say(name, result, begin)
        if options.write:
            keep("real" if options.real else "town", name, settings | {"result": result.to_dict()})


if __name__ == "__main__":
    main()
