"""The ways of chapter 10 to bring a trained body to a new task: each with a search of its own, from 10 to 1,000 labels.

    python benchmarks/transfer_ways.py                        about half an hour of computing in all
    python benchmarks/transfer_ways.py --write                -> mtl_teach/assets/results/transfer.json
    python benchmarks/transfer_ways.py --labels 100 --only 'LoRA;probe'     a part; what is not kept yet is run

Every way tries four settings for each number of labels, on validation rows of the tuning seeds; of equals the gentlest wins: the
lowest rate, the firmest pull. The chosen one runs on the seeds that are shown and is scored on test rows. All that learn by
gradient steps take as many. Runs are kept on disk, under what determines them and the code, so a sweep that was stopped goes on.
"""

from __future__ import annotations

import argparse
import functools
import platform
import time
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

import mtl_teach as mt
from mtl_teach.backbones import load_backbone
from mtl_teach.comparison import plain_scores
from mtl_teach.comparison_keys import digest, with_imports
from mtl_teach.comparison_result import Scores
from mtl_teach.comparison_runs import cache_folder, kept, write

PACKAGE = Path(mt.__file__).parent
FILE = PACKAGE / "assets" / "results" / "transfer.json"
WORLD = dict(related=0.7, conflict=0.2, cues=20, validation=300, test=300)                  # the town of chapter 10
SOURCES = {"one task": {"returns": 2000}, "two tasks": {"returns": 1000, "tips": 1000}}     # what the bodies learned first
BODY = dict(steps=180, lr=3e-3)
TRAIN = dict(steps=200, batch_size=32)
LABELS, TUNING, SEEDS = (10, 30, 100, 300, 1000), (100, 101), tuple(range(200, 208))


@dataclass(frozen=True)
class Way:
    """How a body moves on; tries are the settings to choose from, the gentlest first."""

    how: str
    tries: list[dict]
    body: str = "two tasks"
    options: dict = field(default_factory=dict)
    at: tuple[int, ...] = LABELS
    rehearse: int = 0                                              # rows of each old task to mix in


def rates(*values, **more):
    return [more | {"lr": value} for value in values]


RATES = rates(1e-3, 3e-3, 1e-2, 3e-2)
WAYS = {
    "probe": Way("probe", [{"l2": l2} for l2 in (10.0, 1.0, 0.1, 0.01)]),
    "fine-tuning": Way("fine-tune", RATES),
    "rates by layer": Way("fine-tune", RATES, options={"layer_decay": 1 / 2.6}),
    "gradual unfreezing": Way("gradual", RATES),
    "L2-SP": Way("l2sp", [*rates(3e-3, 1e-2, strength=1.0), *rates(3e-3, 1e-2, strength=0.1)]),
    "LoRA": Way("lora", RATES, options={"r": 4, "targets": "all-linear"}),
    "IA3": Way("ia3", rates(1e-2, 3e-2, 1e-1, 3e-1)),             # factors move less at the same rate
    "fine-tuning, one task": Way("fine-tune", RATES, "one task"),
    "fine-tuning, pretrained": Way("fine-tune", RATES, "pretrained"),
    "from scratch": Way("fine-tune", RATES, "new weights"),
    "rehearsal": Way("fine-tune", RATES, options={"sampler": "uniform"}, at=LABELS[-1:], rehearse=100),
    "L2-SP, firm": Way("l2sp", RATES, options={"strength": 1.0}, at=LABELS[-1:]),
}


def town(seed: int, **sizes: int) -> mt.TaskSet:
    """The named tasks with so many training rows."""
    return mt.load_tasks("town", list(sizes), train=sizes, seed=seed, **WORLD)


@functools.cache
def code() -> str:
    """A hash of all code that a run depends on."""
    files = [PACKAGE / "transferring" / "__init__.py", PACKAGE / "loading" / "__init__.py", *(PACKAGE / "town").glob("*.py")]
    return digest([file.read_text(encoding="utf-8") for file in sorted(with_imports(files))])


def body(name: str, seed: int, folder: Path):
    """A body to start from; trained once and kept."""
    if name in ("pretrained", "new weights"):
        return load_backbone("tiny", pretrained=name == "pretrained", seed=seed)
    place = folder / f"body-{digest([name, seed, SOURCES[name], BODY, WORLD, code()])}"
    if not (place / "config.json").exists():
        tasks = town(seed, **SOURCES[name])
        model = mt.HardSharing("tiny", tasks, seed=seed)
        mt.fit(model, tasks, seed=seed, progress=False, **BODY)
        model.save_pretrained(place)
    return mt.load_model(place)


def score(model, tasks, split: str = "test") -> dict[str, float]:
    return mt.evaluate(model, tasks.only(*(name for name in tasks if name in model.tasks)), split, baselines=False,
                       bootstrap=0).values()


def run(way: Way, setting: dict, labels: int, seed: int, split: str, folder: Path, longer: int = 1) -> dict:
    """One transfer, or what is kept of it: {"values": {task: accuracy on `split`}, "trained": parameters, ...}."""
    training = {} if way.how == "probe" else TRAIN | {"steps": longer * TRAIN["steps"]}
    facts = [way.how, way.body, way.options, way.rehearse, setting, training, labels, seed, split, SOURCES, BODY, WORLD, code(),
             version("torch"), version("transformers")]
    file = folder / f"{digest(facts)}.json"
    if (record := kept(file, ["mood"])) is not None:
        return record
    start, tasks = body(way.body, seed, folder), town(seed, mood=labels, returns=way.rehearse or 1, tips=way.rehearse or 1)
    options = training | way.options | setting | ({"progress": False} if training else {})
    if way.rehearse:
        options["replay"] = tasks.only("returns", "tips")
    clock, cpu = time.perf_counter(), time.process_time()
    model = mt.transfer(start, tasks.only("mood"), way.how, seed=seed, **options)
    spent = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}
    values = score(model, tasks.only("mood") if split == "validation" else tasks, split)
    record = {"values": values, "trained": model.trained, "parameters": sum(p.numel() for p in model.parameters()),
              "steps": len(model.history), **spent}
    write(record, file)
    return record


def scores(name: str, way: Way, labels: int, folder: Path) -> tuple[Scores, int]:
    """What a way reaches with so many labels at the setting it chose, and how many parameters it trained."""
    reached = []
    for each in way.tries:
        found = [run(way, each, labels, seed, "validation", folder)["values"]["mood"] for seed in TUNING]
        reached.append(sum(found) / len(found))
        if reached[-1] == 1:                                       # no later setting can be better
            break
    chosen = way.tries[reached.index(max(reached))]
    found = {seed: run(way, chosen, labels, seed, "test", folder) for seed in SEEDS}
    first = found[SEEDS[0]]

    def over(read):
        return mt.Measured({seed: read(record) for seed, record in found.items()})
    values = {task: over(lambda record, task=task: record["values"][task]) for task in first["values"]}
    return Scores(name, values, over(lambda r: r["seconds"]), over(lambda r: r["cpu_seconds"]), first["parameters"], chosen,
                  way.tries, reached, over(lambda r: r["steps"]), False), first["trained"]


def column(labels: int, names: list[str], folder: Path) -> tuple[mt.Comparison, dict[str, int]]:
    """All ways with so many labels, and how many parameters each trains."""
    found, trained = {}, {}
    for name in names:
        if labels in WAYS[name].at:
            found[name], trained[name] = scores(name, WAYS[name], labels, folder)
            print(f"{labels:5} {name:24} mood {found[name]['mood'].percent()}   {found[name].chosen}   "
                  f"validation {[round(100 * value, 1) for value in found[name].reached]}", flush=True)
    budget = {**TRAIN, "seeds": list(SEEDS), "tuning_seeds": list(TUNING), "tune_for": "mood", "same_rows": False}
    plain = plain_scores({seed: town(seed, mood=labels) for seed in SEEDS}, list(SEEDS), 0.95)
    return mt.Comparison(found, None, budget, {"TF-IDF + LR": plain["TF-IDF + LR"]}), trained


def twice_as_long(names: list[str], most: mt.Comparison, folder: Path) -> dict[str, float]:
    """{way: what twice the steps add on validation with the most labels}, the mean over the tuning seeds; a fraction.

    Only for ways that make a mistake on validation rows: the others have nothing to gain.
    """
    gains = {}
    for name in names:
        mine = most[name]
        if WAYS[name].how != "probe" and max(mine.reached) < 1:
            again = [run(WAYS[name], mine.chosen, LABELS[-1], seed, "validation", folder, 2)["values"]["mood"] for seed in TUNING]
            gains[name] = sum(again) / len(again) - max(mine.reached)
            print(f"twice the steps, {name}: {100 * gains[name]:+.1f} points", flush=True)
    return gains


def before(folder: Path) -> dict:
    """{task: accuracy of the body of two tasks on its own tasks, by seed}"""
    found = {seed: score(body("two tasks", seed, folder), town(seed, returns=1, tips=1)) for seed in SEEDS}
    return {task: {seed: found[seed][task] for seed in SEEDS} for task in SOURCES["two tasks"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="store all results in the package")
    parser.add_argument("--labels", type=int, nargs="*", default=LABELS[::-1], choices=LABELS)
    parser.add_argument("--only", default="", help="names of ways, with semicolons between them; not with --write")
    options = parser.parse_args()
    if options.write and (options.only or LABELS[-1] not in options.labels):
        parser.error("--write stores all ways, 1,000 labels among them. Run parts first, they are kept; then --write alone.")
    torch.set_num_threads(1)
    folder, names = cache_folder() / "transfer-ways", options.only.split(";") if options.only else list(WAYS)
    columns = {labels: column(labels, names, folder) for labels in options.labels}
    if options.write:
        trained = {name: number for _, found in columns.values() for name, number in found.items()}
        write({"date": date.today().isoformat(), "world": WORLD, "bodies": SOURCES, "body": BODY,
               "versions": {name: version(name) for name in ("torch", "transformers", "peft", "scikit-learn")} | {
                   "mtl_teach": mt.__version__, "python": platform.python_version()},
               "ways": {name: {"how": way.how, "body": way.body, "options": way.options, "rehearse": way.rehearse,
                               "trained": trained[name]} for name, way in WAYS.items()},
               "before": before(folder), "twice_as_long": twice_as_long(names, columns[LABELS[-1]][0], folder),
               "labels": {str(n): columns[n][0].to_dict() for n in LABELS if n in columns}}, FILE)


if __name__ == "__main__":
    main()
