"""Many methods on many tasks in one number each: average, delta-m, mean rank, worst task. They need not agree.

    average     of the metrics themselves: a task with large swings decides, and metrics of different kinds are mixed
    delta-m     of the relative changes against a baseline: a low baseline metric weighs more
    mean rank   only the order counts: a hair's breadth is as good as ten points
    worst task  the smallest relative change: what the unluckiest user of the model gets

Report the tasks beside any of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .i18n import _
from .measured import Measured, delta_m
from .tasks import TaskError, nearest


@dataclass(frozen=True)
class Ranks:
    """Ranks of methods over tasks; 1 is best, ties share the mean of their places.

    table      a pandas DataFrame, a row per task and a column per method
    mean       {method: mean rank over the tasks}, best first
    p          Friedman's test: how often methods that are alike would be ranked as unevenly; nan below 3 methods
    distance   Nemenyi's critical difference at `level`: mean ranks nearer than this are not told apart
    """

    table: object
    mean: dict[str, float]
    p: float
    distance: float
    level: float = 0.95
    names: list[str] = field(default_factory=list)

    def alike(self) -> list[list[str]]:
        """Groups of methods, best first, whose mean ranks lie within the critical difference; none holds another."""
        names, groups = list(self.mean), []
        for i, first in enumerate(names):
            group = [name for name in names[i:] if self.mean[name] - self.mean[first] < self.distance]
            if len(group) > 1 and (not groups or groups[-1][-1] != group[-1]):
                groups.append(group)
        return groups

    def __str__(self):
        ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in self.mean.items())
        return _("mean ranks over {n} tasks (1 is best): {ranks}; Friedman p = {p:.2g}; critical difference {cd:.2f}").format(
            n=len(self.table), ranks=ranks, p=self.p, cd=self.distance)

    __repr__ = __str__


def mean_ranks(results: Mapping[str, Mapping], *, lower_is_better: Iterable[str] = (), level: float = 0.95) -> Ranks:
    """Rank methods on each task and average the ranks (Friedman 1937; for classifiers Demsar 2006).

    results          {method: {task: value}}; a Measured counts with its mean, since seeds are no further tasks
    lower_is_better  names of tasks where the smallest value is best

    Mean ranks depend on who else is in the table: adding a method can turn the order of two others (Benavoli et al.
    2016). For a claim about two methods test these two.
    """
    tasks, values = _checked(results, lower_is_better)                           # values (methods, tasks)
    from scipy.stats import rankdata
    sign = np.array([1 if task in _names(lower_is_better) else -1 for task in tasks])
    ranks = rankdata(sign * values, axis=0)                                      # ties share the mean rank
    import pandas as pd
    mean = dict(sorted(zip(results, ranks.mean(1).tolist()), key=lambda pair: pair[1]))
    p, distance = _friedman(ranks), _critical_difference(len(results), len(tasks), level)
    return Ranks(pd.DataFrame(ranks.T, index=pd.Index(tasks, name="task"), columns=list(results)), mean, p, distance, level,
                 list(results))


def _names(names) -> set[str]:
    return {names} if isinstance(names, str) else set(names)


def _checked(results, lower_is_better):
    """Tasks, and the values (methods, tasks); what cannot be ranked is refused."""
    if len(results) < 2:
        raise TaskError("ranks need at least two methods: {'single': {...}, 'hard': {...}}.")
    tasks = list(next(iter(results.values())))
    for method, values in results.items():
        if not tasks or set(values) != set(tasks):
            raise TaskError(f"every method needs a value for the same tasks; {method!r} has {sorted(values)}, "
                            f"{next(iter(results))!r} has {sorted(tasks)}.")
    unknown = _names(lower_is_better) - set(tasks)
    if unknown:
        raise TaskError(f"lower_is_better names an unknown task {min(unknown)!r}.{nearest(min(unknown), tasks)}")
    found = np.array([[_value(method, task, values[task]) for task in tasks] for method, values in results.items()])
    return tasks, found


def _value(method, task, value) -> float:
    number = value.mean if isinstance(value, Measured) else float(value)
    if not math.isfinite(number):
        raise TaskError(f"{method!r} has {number} for the task {task!r}; a rank needs a finite number.")
    return number


def _friedman(ranks) -> float:
    if len(ranks) < 3 or ranks.shape[1] < 2:
        return math.nan
    if (ranks == ranks[0, 0]).all():
        return 1.0                                                               # all tied on every task
    from scipy.stats import friedmanchisquare
    return float(friedmanchisquare(*ranks).pvalue)


def _critical_difference(methods: int, tasks: int, level: float) -> float:
    """Nemenyi (1963): q * sqrt(k (k + 1) / (6 n)), q the studentized range over sqrt(2)."""
    from scipy.stats import studentized_range
    q = float(studentized_range.ppf(level, methods, np.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * tasks))


def rankings(results: Mapping[str, Mapping], baseline: str, *, lower_is_better: Iterable[str] = (), smallest: float = 0.01):
    """The four summaries side by side, a row per method (a pandas DataFrame, best delta-m first).

    average      mean of the metrics; NaN where some of them are better low: such a mean has no meaning
    delta-m %    against the baseline, above 0 is better (Maninis et al. 2019, eq. 4)
    mean rank    1 is best
    worst task   the task with the smallest relative change against the baseline, and worst %: that change

    The names of the columns say which way is better.
    """
    if baseline not in results:
        raise TaskError(f"unknown baseline {baseline!r}.{nearest(baseline, results)}")
    lower = _names(lower_is_better)
    tasks, values = _checked(results, lower)
    plain = {method: dict(zip(tasks, row.tolist())) for method, row in zip(results, values)}
    ranks = mean_ranks(plain, lower_is_better=lower).mean
    rows = []
    for method, own in plain.items():
        changes = {task: delta_m({task: own[task]}, {task: plain[baseline][task]}, lower_is_better=lower & {task},
                                 smallest=smallest) for task in tasks}
        worst = min(changes, key=changes.get)
        rows.append({"method": method, _("average (higher is better)"): math.nan if lower else float(np.mean(list(own.values()))),
                     _("delta-m % (above 0 is better)"): 100 * float(np.mean(list(changes.values()))),
                     _("mean rank (1 is best)"): ranks[method],
                     _("worst task"): "" if method == baseline else worst,
                     _("worst %"): 100 * changes[worst]})
    import pandas as pd
    table = pd.DataFrame(rows).set_index("method")
    return table.sort_values(table.columns[1], ascending=False, kind="stable")
