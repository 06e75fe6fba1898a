"""Choosing between models without touching the test set.

Whatever is chosen by a set of rows looks better on these rows than it is: the best of ten equal models is the luckiest
one. So `choose` takes validation results only, and the test set is left for one measurement of what was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .evaluation import Evaluation
from .i18n import _
from .tasks import TaskError, nearest


@dataclass(frozen=True)
class Choice:
    """What `choose` took.

    name    the candidate with the best validation value
    table   a pandas DataFrame, a row per candidate, best first: "chosen by", and the value of every task
    by      what it was chosen by
    """

    name: str
    table: object
    by: str

    def __repr__(self):
        said = _("chosen by {by} on validation: {name}").format(by=self.by, name=self.name)
        return f"{said}\n{self.table.to_string(float_format='%.3f')}"

    def _repr_html_(self):
        said = _("chosen by {by} on validation: {name}").format(by=self.by, name=self.name)
        return f"<p>{said}</p>{self.table.to_html(float_format='%.3f')}"


def choose(candidates: Mapping[str, Evaluation | list[Evaluation]], by: str = "mean") -> Choice:
    """The best candidate by its validation results: `choose({"lr 1e-3": mt.evaluate(m, tasks, split="validation"), ...})`.

    candidates  {name: Evaluation, or a list of them (one per seed), which is averaged}
    by          "mean" of the tasks' metrics (for metrics on one scale), or the name of the one task that matters

    Refused with a TaskError: results of the test or training split, plain numbers (they do not say which split they are
    of), candidates that were scored on different rows or tasks. Equal values: the first candidate stays, so put the
    simplest first.
    """
    if not candidates:
        raise TaskError("nothing to choose from: give {name: mt.evaluate(model, tasks, split='validation'), ...}.")
    runs = {name: found if isinstance(found, (list, tuple)) else [found] for name, found in candidates.items()}
    for name, found in runs.items():
        _check(name, found)
    _comparable(runs)
    tasks = list(next(iter(runs.values()))[0].values())
    if by != "mean" and by not in tasks:
        raise TaskError(f"by={by!r} is neither 'mean' nor a task.{nearest(by, [*tasks, 'mean'])}")
    by = tasks[0] if len(tasks) == 1 else by
    table = _table(runs, tasks, by)
    return Choice(table.index[0], table, _("the mean of {n} tasks").format(n=len(tasks)) if by == "mean" else by)


def _check(name, found):
    if not found:
        raise TaskError(f"candidate {name!r} has no results.")
    for each in found:
        if not isinstance(each, Evaluation):
            raise TaskError(f"candidate {name!r}: expected what mt.evaluate(..., split='validation') returns, got {each!r}. "
                            "A plain number does not say which split it was measured on.")
        if each.split != "validation":
            raise TaskError(f"candidate {name!r} was measured on {each.split!r}. What is chosen on the {each.split} rows is no "
                            "longer measured by them. Choose on split='validation'; measure the chosen one on 'test', once.")


def _comparable(runs):
    first = next(iter(runs))
    for name, found in runs.items():
        if len(found) != len(runs[first]):
            raise TaskError(f"candidate {name!r} has {len(found)} runs, {first!r} has {len(runs[first])}. "
                            "Give each the same seeds.")
        for one, other in zip(found, runs[first]):
            if one.truth != other.truth or one.rows != other.rows:
                raise TaskError(f"candidates {first!r} and {name!r} were scored on different rows or tasks; "
                                "evaluate all of them on the same TaskSet.")


def _table(runs, tasks, by):
    import pandas as pd
    values = {name: {task: sum(each.value(task) for each in found) / len(found) for task in tasks}
              for name, found in runs.items()}
    table = pd.DataFrame(values).T[tasks].rename_axis("candidate")
    table.insert(0, "chosen by", table.mean(axis=1) if by == "mean" else table[by])
    return table.sort_values("chosen by", ascending=False, kind="stable")
