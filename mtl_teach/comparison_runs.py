"""The runs behind `compare`: one training of one method, kept on disk under what determines its result.

A run is known by a key: a hash of the method and its knobs, the backbone's weights, the rows it may read, the training
options, the seed, the source of the algorithm and of the modules that train and score it, and the versions of torch and
transformers. Change any of them and the run is made again; change nothing and it is read. A file holds one run and is
written whole or not at all, so a comparison that was killed goes on where it stopped.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from torch import nn

from . import encoding
from .backbones import load_backbone
from .comparison_keys import backbone_digest, digest, source, tasks_digest
from .evaluation import evaluate
from .in_order import fit_in_order
from .samplers import probabilities
from .tasks import TaskError, TaskSet
from .training import fit


@dataclass(frozen=True)
class Run:
    """One training and what it is scored on.

    tasks     only the rows that this run may read: train and the split it is scored on
    training  options of `fit`, `steps` among them
    options   options of every model, such as pretrained
    order     the order in which tasks are learned; None: all at once
    """

    algorithm: type
    knobs: dict
    backbone: object
    tasks: TaskSet
    split: str
    training: dict
    seed: int
    options: dict = field(default_factory=dict)
    order: tuple[str, ...] | None = None

    def model(self):
        """The model of this run, untrained. A backbone given as an object is copied, never trained itself."""
        backbone = self.backbone
        if isinstance(backbone, nn.Module):
            backbone = load_backbone(backbone).clone()
        return self.algorithm(backbone, self.ordered(), seed=self.seed, **self.options, **self.knobs)

    def ordered(self) -> TaskSet:
        return self.tasks.only(*self.order) if self.order else self.tasks

    def key(self) -> str:
        facts = {"algorithm": f"{self.algorithm.__module__}.{self.algorithm.__qualname__}",
                 "source": source(self.algorithm, __file__),
                 "knobs": self.knobs, "backbone": backbone_digest(self.backbone), "tasks": tasks_digest(self.tasks, self.split),
                 "split": self.split, "training": self.training, "seed": self.seed, "options": self.options,
                 "order": self.order, "versions": [version("torch"), version("transformers")]}
        return digest(facts)


def measure(run: Run) -> dict:
    """Train and score: {"values": {task: value}, "seconds", "cpu_seconds", "parameters", "steps"}."""
    model, tasks, options = run.model(), run.ordered(), copy.deepcopy(run.training)     # a weighting has a state of its own
    clock, cpu = time.perf_counter(), time.process_time()
    if run.order:
        each = {name: value for name, value in options.items() if name not in ("steps", "sampler", "temperature", "cap")}
        history = fit_in_order(model, tasks, steps=shares(tasks, options), seed=run.seed, progress=False, **each)
    else:
        history = fit(model, tasks, seed=run.seed, progress=False, **options)
    spent = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}
    values = evaluate(model, run.tasks, run.split, baselines=False, bootstrap=0).values()
    return {"values": values, **spent, "parameters": sum(p.numel() for p in model.parameters()), "steps": len(history)}


def shares(tasks: TaskSet, training: dict) -> dict[str, int]:
    """{task: steps} for tasks learned one after the other, so that each sees its rows as often as in mixed batches.

    The sampler's shares, in all exactly `steps`. With "joint", where a text trains all tasks that have a label for it at
    once: for each task the share of the texts that it has labels for, up to all `steps`.
    """
    if training.get("sampler") == "joint":
        texts = {name: {(encoding.text_of(row), row.get("text_b")) for row in data.train} for name, data in tasks.items()}
        each = {name: round(training["steps"] * len(mine) / len(set().union(*texts.values()))) for name, mine in texts.items()}
    else:
        chances = probabilities({name: len(data.train) for name, data in tasks.items()}, training.get("sampler", "proportional"),
                                training.get("temperature", 2.0), cap=training.get("cap"), progress=0.5)
        ends = np.round(np.cumsum([0.0, *chances.values()]) * training["steps"]).astype(int)
        each = dict(zip(chances, np.diff(ends).tolist()))
    none = [name for name, steps in each.items() if steps < 1]
    if none:
        raise TaskError(f"of {training['steps']} steps none is left for the task {none[0]!r} when tasks come one after the "
                        "other. Take more steps, or another sampler, such as sampler='uniform'.")
    return each


# ---- keeping runs -----------------------------------------------------------------------------------------------------

def cache_folder() -> Path:
    """Where runs are kept: $MTL_CACHE, or the usual place of a user's caches on this system."""
    if os.environ.get("MTL_CACHE", "").strip():
        return Path(os.environ["MTL_CACHE"]).expanduser() / "runs"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mtl_teach" / "runs"


def perform(run: Run, file: Path | None) -> dict:
    """Measure the run and keep it. Where keeping fails (a full disk, no rights) the result stands, with a warning."""
    record = measure(run)
    if file is not None:
        try:
            write(record, file)
        except OSError as error:
            warnings.warn(f"a run could not be kept in {str(file.parent)!r}: {error}. It will be made again next time.",
                          stacklevel=2)
    return record


def write(record: dict, file: Path) -> None:
    """Write a file as a whole, or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(record, out)
        os.replace(fresh, file)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


def kept(file: Path | None, tasks: list[str]) -> dict | None:
    """What a file holds, or None if there is no such file; a broken one is said to be so and counts as none."""
    if file is None or not file.exists():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        numbers = [record[name] for name in ("seconds", "cpu_seconds", "parameters", "steps")]
        values = [record["values"][name] for name in tasks]
        if not all(isinstance(number, (int, float)) for number in numbers + values):
            raise ValueError("not numbers")
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        warnings.warn(f"the kept run {file.name} is broken; it is made again.", stacklevel=2)
        return None


def perform_all(runs: dict[str, Run], folder: Path | None, jobs: int, advance) -> tuple[dict[str, dict], int]:
    """{key: record} of all runs, and how many of them were trained now. advance(n) is told of n more that are there."""
    files = {key: folder / f"{key}.json" if folder else None for key in runs}
    found = {key: record for key, run in runs.items() if (record := kept(files[key], list(run.tasks))) is not None}
    advance(len(found))
    missing = [key for key in runs if key not in found]
    for key, record in _in_processes([(key, runs[key], files[key]) for key in missing], jobs):
        found[key] = record
        advance(1)
    return found, len(missing)


def _in_processes(work, jobs):
    if jobs == 1 or len(work) < 2:
        return map(_one, work)
    from joblib import Parallel, delayed
    return Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(delayed(_one)(item) for item in work)


def _one(item):
    key, run, file = item
    return key, perform(run, file)
