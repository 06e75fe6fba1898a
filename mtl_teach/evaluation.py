"""How good a model is, task by task: metrics with intervals, beside the ceiling and the plain baselines.

Values are fractions (0.85, not 85): see metrics.py for what each metric is, measured.py for several seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .baselines import cached_predictions
from .measured import Measured, delta_m, over_seeds
from .metrics import score
from .resampling import bootstrap as interval_of
from .tasks import SPLITS, Task, TaskData, TaskError, nearest

__all__ = ["Evaluation", "Measured", "delta_m", "evaluate", "over_seeds"]


@dataclass
class Evaluation:
    """What `evaluate` found.

    table        a pandas DataFrame with a row per task: its metric, the value with the ends of its interval, how many
                 rows were scored, the ceiling where it is known, and what the plain baselines reach
    details      the same for every metric of the task, indexed by (task, metric)
    truth        {task: labels} and
    predictions  {task: the model's answers}, in the order of the rows
    split        which split was scored; `choose` refuses results of the test split
    rows, tasks  {task: the scored rows}, {task: its Task}: what `by_slice` needs
    """

    table: object
    details: object
    truth: dict[str, list]
    predictions: dict[str, list]
    split: str
    rows: dict[str, list[dict]] = field(default_factory=dict, repr=False)
    tasks: dict[str, Task] = field(default_factory=dict, repr=False)

    def value(self, task: str, metric: str = "") -> float:
        """One number: `evaluate(model, tasks).value("sentiment")`."""
        if task not in self.table.index:
            raise TaskError(f"{task!r} was not evaluated.{nearest(task, self.table.index)}")
        metric = metric or self.table.loc[task, "metric"]
        if (task, metric) not in self.details.index:
            known = self.details.loc[task].index
            raise TaskError(f"no metric {metric!r} for the task {task!r}.{nearest(metric, known)}")
        return float(self.details.loc[(task, metric), "value"])

    def values(self) -> dict[str, float]:
        """{task: value of its metric}, as `over_seeds` and `delta_m` take it."""
        return {task: float(value) for task, value in self.table["value"].items()}

    def __repr__(self):
        return self.table.to_string(float_format="%.3f", na_rep="")

    def _repr_html_(self):
        return self.table.to_html(float_format="%.3f", na_rep="")


def evaluate(model, tasks, split: str = "test", *, baselines: bool = True, interval: float = 0.95,
             bootstrap: int = 1000, batch_size: int = 256, seed: int = 0) -> Evaluation:
    """Score a model on every task of a TaskSet.

    baselines  also score the commonest answer and a plain model without a network (see baselines.py)
    interval   level of the bootstrap intervals over the rows; bootstrap: how many resamples, 0 for none

    Raises TaskError for an unknown task, a split without rows and rows without a label, before anything is predicted.
    """
    tasks = _check(model, tasks, split)
    rows, details, truths, answers = [], [], {}, {}
    for name, data in tasks.items():
        task, examples = data.task, data.split(split)
        truths[name] = [row["label"] for row in examples]
        answers[name] = model.predict(name, examples, batch_size=batch_size)
        columns = {"value": score(task, truths[name], answers[name])}
        if bootstrap:
            columns |= _intervals(task, truths[name], answers[name], bootstrap, seed, interval)
        if baselines:
            columns |= _baselines(data, split, truths[name])
        found = [{"task": name, "metric": metric, "rows": len(examples),
                  **{column: values.get(metric) for column, values in columns.items()}} for metric in columns["value"]]
        details += found
        rows += [row | {"ceiling": task.ceiling} for row in found if row["metric"] == task.metric]
    return Evaluation(*_tables(rows, details), truths, answers, split, {name: data.split(split) for name, data in tasks.items()},
                      {name: data.task for name, data in tasks.items()})


def _intervals(task, truth, answers, resamples, seed, level) -> dict[str, dict]:
    """{"low": {metric: value}, "high": {metric: value}}"""
    ends = {metric: interval_of(task, truth, answers, metric, resamples, seed, level)
            for metric in score(task, truth, answers)}
    return {side: {metric: pair[i] for metric, pair in ends.items()} for i, side in enumerate(("low", "high"))}


def _tables(rows, details):
    import pandas as pd
    order = ["metric", "value", "low", "high", "rows", "ceiling", "majority", "plain"]
    numbers = ["value", "low", "high", "ceiling", "majority", "plain"]

    def frame(records, index):
        table = pd.DataFrame(records).set_index(index)
        present = [column for column in numbers if column in table]
        table[present] = table[present].astype(float)
        return table[[column for column in order if column in table]]

    return frame(rows, "task"), frame(details, ["task", "metric"])


def _baselines(data: TaskData, split: str, truth: list) -> dict[str, dict]:
    """{"majority": {metric: value}, "plain": {metric: value}}; empty where there is nothing to train them on."""
    if not data.train:
        return {"majority": {}, "plain": {}}
    found = cached_predictions(data, data.split(split))
    return {name: {} if answers is None else score(data.task, truth, answers) for name, answers in found.items()}


def _check(model, tasks, split) -> dict[str, TaskData]:
    if isinstance(tasks, TaskData):
        tasks = {tasks.task.name: tasks}
    if split not in SPLITS:
        raise TaskError(f"unknown split {split!r}.{nearest(split, SPLITS)}")
    if not tasks:
        raise TaskError("no tasks to evaluate: give the result of load_tasks(...).")
    for name, data in tasks.items():
        if name not in model.tasks:
            raise TaskError(f"the model was not built for the task {name!r}.{nearest(name, model.tasks)}")
        _same_task(name, data.task, model.tasks[name])
        rows = data.split(split)
        if not rows:
            filled = [other for other in SPLITS if data.split(other)]
            raise TaskError(f"task {name!r} has no rows in {split!r}; it has rows in {filled or 'no split'}.")
        missing = [number for number, row in enumerate(rows) if row.get("label") is None]
        if missing:
            raise TaskError(f"task {name!r}: row {missing[0]} of {split!r} has no label, so it cannot be scored "
                            f"({len(missing)} such rows).")
    return dict(tasks)


def _same_task(name: str, given: Task, built: Task):
    if (given.kind, given.labels) != (built.kind, built.labels):
        raise TaskError(f"task {name!r} is {given.kind} with the labels {list(given.labels)[:6]}, but the model was "
                        f"built for {built.kind} with {list(built.labels)[:6]}. Evaluate on the model's own tasks.")
