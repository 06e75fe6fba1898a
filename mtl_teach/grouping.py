"""Which tasks to train together, from how much they help each other (TAG, Fifty et al. 2021, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from .tasks import TaskError

MOST_CHOICES = 3_000_000                    # sets of groups that are looked through; more takes minutes


@dataclass(frozen=True)
class Grouping:
    """Which models to train, and which of them answers for which task.

    groups   the tasks of each model; a task may be trained in several groups, to help there
    serves   {task: the group whose model answers for it}
    helped   {task: mean affinity of its group's other tasks onto it; `alone` for a task alone}
    score    their mean over all tasks
    """

    groups: tuple[tuple[str, ...], ...]
    serves: dict[str, tuple[str, ...]]
    helped: dict[str, float]
    score: float

    def __str__(self):
        return "; ".join(" + ".join(group) for group in self.groups) + f"   (mean affinity {self.score:+.4f})"

    __repr__ = __str__


def group_tasks(affinity, groups: int, *, alone: float = 0.0) -> Grouping:
    """The best choice of at most so many groups, found by trying all.

    affinity  a DataFrame: row i, column j says how much i helps j (AffinityWatch.affinity(), or cosines)
    groups    models that you can afford to run
    alone     what being alone is worth. 0: no help and no harm. The authors' code gives -1e6, so that a task is alone only
              if it must be

    A task's value in a group is the mean affinity onto it from the others there; the best choice has the highest sum of
    values, each task served by its best group. Ties go to the choice that trains fewer tasks.
    """
    names, matrix = _read(affinity, groups)
    every = [group for size in range(1, len(names) + 1) for group in combinations(range(len(names)), size)]
    if (count := comb(len(every), groups)) > MOST_CHOICES:
        raise TaskError(f"{count:,} ways to choose {groups} groups of {len(names)} tasks are too many to try; use fewer groups.")
    values = np.array([_values(matrix, group, alone) for group in every])                        # (2^K - 1, K)
    sizes = np.array([len(group) for group in every])
    best, chosen = (-np.inf, 0), ()
    for number in range(1, groups + 1):
        for first in combinations(range(len(every)), number - 1):                              # all but the last at once
            begin = first[-1] + 1 if first else 0
            held = values[list(first)].max(0) if first else np.full(len(names), -np.inf)
            totals = np.round(np.maximum(held, values[begin:]).sum(1), 12)
            if len(totals):
                trained = sizes[list(first)].sum() + sizes[begin:]
                last = np.lexsort((trained, -totals))[0]
                if (found := (totals[last], -trained[last])) > best:
                    best, chosen = found, (*first, begin + last)
    if not np.isfinite(best[0]):
        raise TaskError("no choice of groups covers all tasks.")
    return _grouping(names, [every[i] for i in chosen], values[list(chosen)])


def _values(matrix, group, alone):
    """Each task's value in a group; -inf for tasks that are not in it."""
    values = np.full(len(matrix), -np.inf)
    for j in group:
        others = [i for i in group if i != j]
        values[j] = matrix[others, j].mean() if others else alone
    return values


def _grouping(names, groups, values):
    best = values.argmax(0)
    named = [tuple(names[i] for i in group) for group in groups]
    helped = {name: float(values[best[k], k]) for k, name in enumerate(names)}
    serves = {name: named[best[k]] for k, name in enumerate(names)}
    return Grouping(tuple(named), serves, helped, float(np.mean(list(helped.values()))))


def _read(affinity, groups):
    matrix, names = np.asarray(affinity, dtype=float), [str(name) for name in getattr(affinity, "columns", ())]
    if matrix.ndim != 2 or not names or list(affinity.index) != list(affinity.columns):
        raise TaskError("affinity must be a square DataFrame with the same tasks as rows and columns, such as watch.affinity().")
    missing = np.isnan(matrix) & ~np.eye(len(names), dtype=bool)
    if missing.any():
        i, j = np.argwhere(missing)[0]
        raise TaskError(f"the affinity of {names[i]!r} and {names[j]!r} was never measured: they were in no batch together. "
                        "Watch more steps, or draw with sampler='uniform'.")
    if isinstance(groups, bool) or not isinstance(groups, int) or not 1 <= groups <= len(names):
        raise TaskError(f"groups must be a number from 1 to {len(names)}, the number of tasks; got {groups!r}.")
    return names, matrix
