"""What several runs say together: mean, 95 % interval, paired differences, and delta-m.

Numbers are kept as the metrics give them: fractions, 0.85 for 85 %. `.percent()` turns them into points.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from .i18n import _


@dataclass(frozen=True)
class Measured:
    """One number measured once per seed.

    by_seed  {seed: value}
    level    how sure the interval is
    signed   whether to show a plus sign: set for differences
    meaning  what the sign says, where that is a convention: shown beside the number in a notebook

    `a - b` pairs the runs by seed, which removes what both owe to the seed; other seeds are refused.
    """

    by_seed: Mapping[int, float]
    level: float = 0.95
    signed: bool = False
    meaning: str = ""

    def __post_init__(self):
        if not self.by_seed:
            raise ValueError("nothing was measured: give at least one seed.")
        wrong = {seed: value for seed, value in self.by_seed.items() if not math.isfinite(value)}
        if wrong:
            raise ValueError(f"not finite numbers: {wrong}. Look at the runs of these seeds.")
        object.__setattr__(self, "by_seed", {seed: float(value) for seed, value in self.by_seed.items()})

    @property
    def seeds(self) -> list[int]:
        return list(self.by_seed)

    @property
    def values(self) -> np.ndarray:
        return np.array(list(self.by_seed.values()))

    @property
    def n(self) -> int:
        return len(self.by_seed)

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        """Standard deviation over the seeds, with n - 1; nan for one seed."""
        return float(self.values.std(ddof=1)) if self.n > 1 else math.nan

    @property
    def margin(self) -> float:
        """Half the t-interval of the mean: t(n - 1) * sd / sqrt(n); nan for one seed."""
        if self.n < 2:
            return math.nan
        from scipy.special import stdtrit  # quantile of Student's t; quicker to import than stats
        return float(stdtrit(self.n - 1, (1 + self.level) / 2)) * self.sd / math.sqrt(self.n)

    @property
    def low(self) -> float:
        return self.mean - self.margin

    @property
    def high(self) -> float:
        return self.mean + self.margin

    def percent(self) -> Measured:
        """The same in points of per cent: 0.85 becomes 85."""
        return replace(self * 100, meaning=self.meaning)

    def __sub__(self, other: Measured | float) -> Measured:
        return self._combine(other, lambda a, b: a - b, signed=True)

    def __rsub__(self, other: float) -> Measured:
        return self._combine(other, lambda a, b: b - a, signed=True)

    def __add__(self, other: Measured | float) -> Measured:
        return self._combine(other, lambda a, b: a + b)

    def __mul__(self, other: Measured | float) -> Measured:
        return self._combine(other, lambda a, b: a * b)

    def __truediv__(self, other: Measured | float) -> Measured:
        return self._combine(other, lambda a, b: a / b)

    __radd__, __rmul__ = __add__, __mul__

    def _combine(self, other, operation, signed=None):
        if not isinstance(other, (Measured, Real)):
            return NotImplemented
        if isinstance(other, Measured) and set(other.by_seed) != set(self.by_seed):
            raise ValueError(f"cannot pair runs of the seeds {self.seeds} with runs of the seeds {other.seeds}. "
                             "Measure both with the same seeds.")
        pairs = other.by_seed if isinstance(other, Measured) else dict.fromkeys(self.by_seed, other)
        return replace(self, by_seed={seed: operation(value, pairs[seed]) for seed, value in self.by_seed.items()},
                       signed=self.signed if signed is None else signed,
                       meaning="")

    def __str__(self):
        """'+16.4 [11.2, 21.6], 5 seeds', with two digits of the margin and no more."""
        if self.n == 1:
            return f"{self.mean:{'+' if self.signed else ''}.3g}, 1 seed (no interval)"
        digits = decimals(self.margin, self.mean)
        sign = "+" if self.signed else ""
        return f"{self.mean:{sign}.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}], {self.n} seeds"

    def __repr__(self):
        return f"{self}; {self.meaning}" if self.meaning else str(self)


def decimals(margin: float, mean: float = 1.0) -> int:
    """How many decimals a number with this margin supports: those that show two digits of the margin."""
    if margin <= 1e-9 * abs(mean):                                  # no spread: three digits of the number itself
        return max(0, 2 - math.floor(math.log10(abs(mean) or 1)))
    return max(0, 1 - math.floor(math.log10(margin)))


def over_seeds(run: Callable | Mapping[object, Callable], seeds: int | Iterable[int] = 5, *, level: float = 0.95, jobs: int = 1,
               progress: bool | None = None):
    """Call run(seed) for each seed and return what it measured, with intervals.

    run    returns a number, or a dictionary of numbers: then the result is a dictionary of Measured.
           Several runs, {name: run}, give {name: result}; the processes share all runs of all seeds
    seeds  how many (0, 1, 2, ...), or the seeds themselves
    jobs   processes that share the work (-1: one per core). They work on copies: what run(seed) changes outside
           itself is lost, only what it returns comes back

    progress: a progress bar; None shows it on a terminal only.
    """
    from tqdm.auto import tqdm
    runs = run if isinstance(run, Mapping) else {None: run}
    seeds = list(range(seeds) if isinstance(seeds, int) else seeds)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"expected one or more different seeds, got {seeds}.")
    if not runs:
        raise ValueError("expected one or more runs, got an empty dictionary.")
    show = os.isatty(2) if progress is None else progress
    values = iter(tqdm(_values(runs.values(), seeds, jobs), total=len(runs) * len(seeds), desc="seeds", disable=not show,
                       leave=False))
    found = {name: _together({seed: next(values) for seed in seeds}, level) for name in runs}
    return found if runs is run else found[None]


def _values(runs, seeds, jobs):
    """What the runs return, run after run, each in the order of the seeds."""
    calls = [(one, seed) for one in runs for seed in seeds]
    if jobs == 1 or len(calls) == 1:
        return (one(seed) for one, seed in calls)
    from joblib import Parallel, delayed
    return Parallel(n_jobs=jobs, return_as="generator")(delayed(one)(seed) for one, seed in calls)


def _together(results, level):
    """{seed: number, or dictionary of numbers} -> Measured, or a dictionary of them."""
    begin, first = next(iter(results.items()))
    if not isinstance(first, Mapping):
        return Measured({seed: _number(value, seed) for seed, value in results.items()}, level)
    for seed, values in results.items():
        if not isinstance(values, Mapping) or set(values) != set(first):
            raise ValueError(f"run({seed}) did not measure the same as run({begin}): {values!r} against {first!r}.")
    return {name: Measured({seed: _number(values[name], seed) for seed, values in results.items()}, level)
            for name in first}


def _number(value, seed):
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"run({seed}) returned {value!r}; return a number or a dictionary of numbers.") from None


def delta_m(multi: Mapping, single: Mapping, *, lower_is_better: Iterable[str] = (), smallest: float = 0.01):
    """Delta-m of Maninis et al. (2019, eq. 4): the mean relative change of the tasks against single-task training.

        delta_m = 1/K * sum over tasks of s * (multi - single) / single      s = -1 where lower is better, else 1

    A fraction, higher is better: 0.05 means 5 % better on average over the tasks. Some papers report the negative, so
    name the sign with the number; a Measured names it itself where it is shown (`repr`).
    lower_is_better: names of tasks or metrics.
    multi, single: {task: value}; a task with several metrics has a dictionary {metric: value}, averaged first.
    Values may be Measured: then the result is a Measured, paired by seed.

    A single-task value below `smallest` is refused: a small number below the fraction bar makes any change look huge.
    """
    if not multi or set(multi) != set(single):
        raise ValueError(f"delta_m needs the same tasks on both sides, got {sorted(multi)} and {sorted(single)}.")
    lower = {lower_is_better} if isinstance(lower_is_better, str) else set(lower_is_better)
    metrics = {metric for value in multi.values() if isinstance(value, Mapping) for metric in value}
    unknown = lower - set(multi) - metrics
    if unknown:
        raise ValueError(f"lower_is_better names {sorted(unknown)}, which was not measured. Measured: {sorted(multi)}.")
    total = sum(_change(name, multi[name], single[name], lower, smallest) for name in multi) / len(multi)
    if not isinstance(total, Measured):
        return float(total)
    return replace(total, signed=True, meaning=_("delta-m: above 0 is better than single-task training"))


def _change(name, multi, single, lower, smallest):
    """The relative change of one task, so that more is better; the mean over its metrics where it has several."""
    if isinstance(multi, Mapping):
        if not multi or set(multi) != set(single):
            raise ValueError(f"delta_m: {name!r} needs the same metrics on both sides, got {sorted(multi)} "
                             f"and {sorted(single)}.")
        lower = set(multi) if name in lower else lower
        return sum(_change(metric, multi[metric], single[metric], lower, smallest) for metric in multi) / len(multi)
    least = single.values.min() if isinstance(single, Measured) else single
    if not least >= smallest:
        raise ValueError(f"delta_m: the single-task value of {name!r} is {least:.3g}, too near 0 for a relative "
                         "change. Report the plain difference instead, or another metric.")
    change = (multi - single) / single
    return change * -1 if name in lower else change
