"""Where a model is weak: the metric on parts of the test rows, with intervals that suit small parts.

An average over all rows can hide that messages with a negation are read no better than by chance. A slice is a
question about a row (or a list of row numbers), asked BEFORE you look at the errors: among many slices some look bad
by chance alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .metrics import score
from .resampling import bootstrap
from .significance import adjust
from .tasks import TaskError, nearest

COUNTED = ("accuracy", "exact_match")    # metrics that are a share of the rows: an exact treatment is at hand


@dataclass(frozen=True)
class Slices:
    """The metric of one task by slice.

    table   a pandas DataFrame with a row per slice, "all" first: rows, value, low, high, and for metrics that count
            right answers `p`: Fisher's exact test of the slice against the rest, corrected by Holm for the number
            of slices
    """

    task: str
    metric: str
    table: object

    def worst(self) -> str:
        """The name of the slice with the smallest value (slices without rows aside)."""
        return self.table["value"].drop("all").idxmin()

    def __getitem__(self, name: str):
        if name not in self.table.index:
            raise TaskError(f"unknown slice {name!r}.{nearest(name, self.table.index)}")
        return self.table.loc[name]

    def __repr__(self):
        return f"{self.task}, {self.metric}\n" + self.table.to_string(float_format="%.3f", na_rep="")

    def _repr_html_(self):
        return f"<p>{self.task}, {self.metric}</p>" + self.table.to_html(float_format="%.3f", na_rep="")


def by_slice(found, task: str, slices: Mapping[str, Callable[[dict], bool] | list[int]], metric: str = "", *,
             level: float = 0.95, n: int = 1000, seed: int = 0) -> Slices:
    """The metric of one task on parts of the rows that `evaluate` scored.

    found    what `mt.evaluate(...)` returned
    slices   {"with not": lambda row: "not" in row["text"].split(), "leaked": [0, 4, 7]}
    level    of the intervals: Wilson's (1927) for metrics that count right answers, which stays honest for ten rows all
             of them right, the bootstrap (n resamples) for others

    A slice may have no rows: its value is NaN. Row numbers that do not exist are a TaskError.
    """
    if task not in found.rows:
        raise TaskError(f"{task!r} was not evaluated.{nearest(task, found.rows)}")
    if not slices or "all" in slices:
        raise TaskError("name at least one slice; 'all' is taken by the whole: by_slice(found, 'mood', {'with not': ...}).")
    rows, spec = found.rows[task], found.tasks[task]
    metric = metric or spec.metric
    parts = {"all": list(range(len(rows)))} | {name: _members(name, which, rows) for name, which in slices.items()}
    lines = {name: _line(spec, metric, found.truth[task], found.predictions[task], part, level, n, seed)
             for name, part in parts.items()}
    import pandas as pd
    table = pd.DataFrame(lines).T.astype(float).astype({"rows": int}).rename_axis("slice")
    if metric in COUNTED:
        table["p"] = _against_the_rest(table)
    return Slices(task, metric, table)


def _members(name, which, rows) -> list[int]:
    if callable(which):
        return [number for number, row in enumerate(rows) if which(row)]
    part = sorted(set(which))
    if part and not 0 <= part[0] <= part[-1] < len(rows):
        raise TaskError(f"slice {name!r} names the row {part[0] if part[0] < 0 else part[-1]}; there are {len(rows)} rows.")
    return part


def _line(task, metric, truth, predictions, part, level, n, seed) -> dict:
    if not part:
        return {"rows": 0, "value": math.nan, "low": math.nan, "high": math.nan}
    truth, predictions = [truth[i] for i in part], [predictions[i] for i in part]
    values = score(task, truth, predictions)
    if metric not in values:
        raise TaskError(f"unknown metric {metric!r} for the kind {task.kind!r}.{nearest(metric, values)}")
    if metric in COUNTED:
        low, high = wilson(round(values[metric] * len(part)), len(part), level)
    else:
        low, high = bootstrap(task, truth, predictions, metric, n, seed, level)
    return {"rows": len(part), "value": values[metric], "low": low, "high": high}


def wilson(right: int, rows: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share: 10 right of 10 gives [0.72, 1], where the bootstrap would say [1, 1]."""
    from scipy.stats import binomtest
    found = binomtest(right, rows).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def _against_the_rest(table):
    """Fisher's exact test of each slice against the rows outside it, corrected by Holm; NaN where one side is empty."""
    from scipy.stats import fisher_exact
    counts = {name: (round(line.value * line.rows) if line.rows else 0, int(line.rows)) for name, line in table.iterrows()}
    right, rows = counts.pop("all")
    raw = {name: float(fisher_exact([[a, n - a], [right - a, rows - n - right + a]]).pvalue)
           for name, (a, n) in counts.items() if 0 < n < rows}
    corrected = adjust(raw) if raw else {}
    return [corrected.get(name, math.nan) for name in table.index]

