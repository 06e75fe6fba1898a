"""Several methods on the same tasks, with the same budget and the same tuning: who is better, and how sure is that?

    mt.compare([mt.SingleTask, mt.HardSharing, mt.SoftSharing], tasks, seeds=5)

Every method trains for the same number of steps on batches of the same size. Every method tries equally many settings.
They are judged on VALIDATION rows with seeds that are used for nothing else; a tuning run is not even given the test
rows. The best setting of each method is then trained with each seed and scored on the test rows.

A method that learns task after task (ProgressiveNetwork, or any with in_order=True) gets the same steps in all, dealt out
to the tasks as the sampler deals out the rows of mixed batches: each task's rows are seen equally often. (Where one text
trains several tasks at once, sampler="joint", it takes more steps to show each task as many labelled rows.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import comparison_methods as given
from .comparison_methods import Method
from .comparison_result import Comparison, Scores
from .comparison_runs import Run, cache_folder, perform_all
from .measured import Measured
from .tasks import TaskSet

GRID = {"lr": (1e-3, 3e-3)}
FIRST_TUNING_SEED = 1000
PLAIN = {"majority": "majority", "plain": "TF-IDF + LR"}          # as `baselines` and as tables call them


def compare(methods, tasks: TaskSet | Callable[[int], TaskSet], seeds: int | Iterable[int] = 5, *, backbone="tiny",
            steps: int = 150, grid: dict | None = None, tuning_seeds: int | Iterable[int] = 2, tune_for: str | None = None,
            uneven: bool = False, baseline: str | bool | None = None, plain: bool = False, cache=None, jobs: int = 1,
            progress: bool | None = None, level: float = 0.95, **options) -> Comparison:
    """Train methods under equal conditions and return what they reach, with intervals.

    methods       a list of classes, or {name: class, (class, {knob: value}), partial(class, knob=value) or Method(...)}
    tasks         a TaskSet; or a function seed -> TaskSet, so that rows (and in the town lexicons) change with the seed
    seeds         how many (0, 1, 2, ...), or the seeds themselves. One seed gives no interval
    steps         of every run, in all; batch_size among the options
    grid          {"lr": (1e-3, 3e-3), ...}: every combination is tried. Training options and knobs may stand in it. Where a
                  method has a grid of its own (see Method), it must be as large as the others'; uneven=True allows it
    tuning_seeds  how many, or which: never one of `seeds`. What counts is the mean over them and over the tasks, or the
                  value of the task `tune_for`
    baseline      the name of the method that Δm compares with; None: SingleTask; False: no Δm
    plain         also score what needs no network: the commonest answer, and word counts (see baselines.py)
    cache         a folder; None: the usual place of this user's caches ($MTL_CACHE if set); False: keep nothing
    jobs          processes (-1: one per core)
    progress      a progress bar; None: on a terminal only
    options       of every model (pretrained) and of every training (batch_size, sampler, lr, ...; see `fit`)

    Raises TaskError before anything is trained if names, tasks, knobs or seeds cannot work.
    """
    methods, grid = given.named_methods(methods), ({} if "lr" in options else GRID) if grid is None else grid
    model_options, training = given.split_options(options, grid)
    seeds, tuning_seeds = given.check_seeds(seeds, tuning_seeds, FIRST_TUNING_SEED)
    baseline = given.check_baseline(methods, baseline)
    trials = {name: given.settings(grid if method.grid is None else method.grid) for name, method in methods.items()}
    tuned = any(len(tries) > 1 for tries in trials.values())
    data = {seed: tasks(seed) if callable(tasks) else tasks for seed in [*seeds, *(tuning_seeds if tuned else ())]}
    given.check_tasks(data, seeds, tuned, tune_for)
    given.check_methods(methods, trials, data[seeds[0]], uneven)
    make = partial(_run, data=data, backbone=backbone, training=training | {"steps": steps}, options=model_options)
    for name, method in methods.items():
        given.try_out(name, [make(method, setting, seeds[0], "train") for setting in trials[name]])
    folder = None if cache is False else Path(cache) if cache is not None else cache_folder()
    plan = _Plan(methods, trials, seeds, tuning_seeds, tune_for, make, folder, jobs)
    scores = plan.carry_out(os.isatty(2) if progress is None else progress, level)
    budget = {"steps": steps, "batch_size": training.get("batch_size", 32), "seeds": seeds, "tune_for": tune_for or "",
              "tuning_seeds": tuning_seeds if tuned else [], "same_rows": not callable(tasks)}
    return Comparison(scores, baseline, budget, plain_scores(data, seeds, level) if plain else {}, plan.trained)


class _Plan:
    """First the tuning runs of all methods, then the runs that count."""

    def __init__(self, methods, trials, seeds, tuning_seeds, tune_for, make, folder, jobs):
        self.methods, self.trials, self.seeds, self.tuning_seeds = methods, trials, seeds, tuning_seeds
        self.tune_for, self.make, self.folder, self.jobs, self.trained = tune_for, make, folder, jobs, 0

    def carry_out(self, progress, level) -> dict[str, Scores]:
        from tqdm.auto import tqdm
        tuning = [(name, number, seed) for name, tries in self.trials.items() if len(tries) > 1
                  for number in range(len(tries)) for seed in self.tuning_seeds]
        total = len(tuning) + len(self.methods) * len(self.seeds)
        with tqdm(total=total, desc="runs", disable=not progress, leave=False) as bar:
            found = self._measure(tuning, "validation", bar)
            best = {name: self._best(name, found) for name in self.methods}
            final = [(name, best[name][0], seed) for name in self.methods for seed in self.seeds]
            records = self._measure(final, "test", bar)
        return {name: self._scores(name, *best[name], records, level) for name in self.methods}

    def _measure(self, wanted, split, bar):
        """{(name, number of the setting, seed): record}"""
        runs = {at: self.make(self.methods[at[0]], self.trials[at[0]][at[1]], at[2], split) for at in wanted}
        keys = {at: run.key() if self.folder else str(at) for at, run in runs.items()}
        records, trained = perform_all({keys[at]: run for at, run in runs.items()}, self.folder, self.jobs, bar.update)
        self.trained += trained
        return {at: records[key] for at, key in keys.items()}

    def _best(self, name, found):
        """The number of the best setting (of equals the first), and what each reached on validation."""
        if len(self.trials[name]) == 1:
            return 0, []
        reached = [sum(self._value(found[name, number, seed]["values"]) for seed in self.tuning_seeds) / len(self.tuning_seeds)
                   for number in range(len(self.trials[name]))]
        return reached.index(max(reached)), reached

    def _value(self, values):
        return values[self.tune_for] if self.tune_for else sum(values.values()) / len(values)

    def _scores(self, name, best, reached, records, level):
        mine = {seed: records[name, best, seed] for seed in self.seeds}
        first = next(iter(mine.values()))

        def over(read):
            return Measured({seed: read(record) for seed, record in mine.items()}, level)
        values = {task: over(lambda record, task=task: record["values"][task]) for task in first["values"]}
        return Scores(name, values, over(lambda r: r["seconds"]), over(lambda r: r["cpu_seconds"]), first["parameters"],
                      self.trials[name][best], self.trials[name], reached, over(lambda r: r["steps"]),
                      self.methods[name].sequence(values) is not None)


def _run(method: Method, setting: dict, seed: int, split: str, *, data, backbone, training, options) -> Run:
    """The run of one setting; it gets its training rows and the rows it is scored on, no others."""
    rows = {name: replace(each, **{other: [] for other in ("validation", "test") if other != split})
            for name, each in data[seed].items()}
    own = {key: value for key, value in setting.items() if key not in given.TUNABLE}
    return Run(method.algorithm, method.knobs | own, backbone if method.backbone is None else method.backbone, TaskSet(rows),
               split, training | {key: value for key, value in setting.items() if key in given.TUNABLE}, seed, options,
               method.sequence(data[seed]))


def plain_scores(data: dict[int, TaskSet], seeds: list[int], level: float) -> dict[str, dict[str, Measured]]:
    """{"majority" and "TF-IDF + LR": {task: value on the test rows}}, without a network, tuned on validation likewise."""
    from .baselines import cached_predictions
    from .metrics import score
    found = {label: {} for label in PLAIN.values()}
    for name, first in data[seeds[0]].items():
        task, each = first.task, {seed: data[seed][name] for seed in seeds}
        answers = {seed: cached_predictions(mine, mine.test) for seed, mine in each.items()}
        truth = {seed: [row["label"] for row in mine.test] for seed, mine in each.items()}
        for key, label in PLAIN.items():
            if answers[seeds[0]][key] is not None:
                values = {seed: score(task, truth[seed], answers[seed][key])[task.metric] for seed in seeds}
                found[label][name] = Measured(values, level)
    return found
