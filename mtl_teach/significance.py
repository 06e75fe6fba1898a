"""Is a difference more than chance? Paired tests over seeds and over examples, and what to do about many of them.

    over seeds      paired_test          would another draw of seeds (and data) turn the difference round?
    over examples   mcnemar              do these two trained models differ in how often they are right?
                    paired_bootstrap     how large is the difference, for any metric?
    several tests   adjust               Holm, Benjamini-Hochberg

A test over examples knows nothing of seeds: two models of the same recipe often differ "significantly" on the same
examples. A claim about a method needs several seeds; a claim about one trained model needs examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .i18n import _
from .measured import Measured, decimals
from .resampling import resample
from .tasks import Task, TaskError, nearest

EXACT = 16                              # pairs up to which all 2^n flips of the signs are tried


@dataclass(frozen=True)
class Outcome:
    """What a paired test found.

    difference  first - second: its mean over the pairs (seeds), or in the share of right answers (McNemar)
    p           how often chance alone would show a difference as large, in either direction
    pairs       seeds, or examples on which exactly one of the two is right
    smallest    the smallest p that a test with so many pairs can give; 0 if there is no such floor
    """

    name: str
    difference: float
    p: float
    pairs: int
    smallest: float = 0.0

    def __str__(self):
        floor = _("; with {n} pairs p cannot be below {p:.3g}").format(n=self.pairs, p=self.smallest)
        return f"{self.difference:+.3g}, p = {self.p:.3g} ({_(self.name)}){floor if self.smallest > 0.01 else ''}"

    __repr__ = __str__


def paired_test(first: Measured, second: Measured, method: str = "permutation") -> Outcome:
    """Compare two methods measured with the same seeds, two-sided.

    method  "permutation": if the two were alike, each pair's difference could as well have the other sign. p is the
            share of all 2^n flips whose mean is at least as far from 0 (Fisher 1935, sec. 21); exact up to 16 pairs,
            above that 9,999 random flips. Assumes nothing about the shape of the differences, but with 5 seeds p
            cannot fall below 2/2^5 = 0.0625
            "t": Student's paired t-test; assumes that the differences are about normal

    Other seeds on the two sides are a ValueError, as is a single seed.
    """
    if method not in _PAIRED:
        raise TaskError(f"unknown method {method!r}.{nearest(method, _PAIRED)}")
    for side in (first, second):
        if not isinstance(side, Measured):
            raise TaskError(f"paired_test compares Measured values (see over_seeds), got {type(side).__name__} {side!r}.")
    gaps = (first - second).values                                          # refuses other seeds
    if len(gaps) < 2:
        raise ValueError("a test needs at least 2 seeds; one pair of runs says nothing about others.")
    return _PAIRED[method](gaps)


def _permutation(gaps):
    from scipy.stats import permutation_test
    n, exact = len(gaps), len(gaps) <= EXACT
    found = permutation_test((gaps,), lambda x, axis: x.mean(axis), permutation_type="samples", vectorized=True,
                             n_resamples=np.inf if exact else 9999, rng=np.random.default_rng(0))
    return Outcome("sign-flip permutation", float(gaps.mean()), float(found.pvalue), n, 2 / 2**n if exact else 2 / 10_000)


def _student(gaps):
    from scipy.stats import ttest_1samp
    if np.ptp(gaps) <= 1e-12 * np.abs(gaps).max():
        if gaps[0] == 0:
            return Outcome("paired t", 0.0, 1.0, len(gaps))
        raise ValueError(f"all {len(gaps)} differences are {gaps[0]:.3g}: without spread the t-test is not defined. "
                         "Are the runs really different? If so, use method='permutation'.")
    return Outcome("paired t", float(gaps.mean()), float(ttest_1samp(gaps, 0).pvalue), len(gaps))


_PAIRED = {"permutation": _permutation, "t": _student}


# ---- over examples ------------------------------------------------------------------------------------------------

def mcnemar(truth: list, first: list, second: list) -> Outcome:
    """McNemar's exact test (1947): of the examples on which exactly one model is right, does each win half?

    truth, first, second: labels of the same examples. Where both are right or both are wrong, nothing is to be learned
    about which is better. The others are coin tosses if the two are equally good: p is the two-sided binomial
    probability.
    """
    _same_length(truth, first, second)
    won, lost = _disagreements(truth, first, second)
    from scipy.stats import binomtest
    p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    smallest = min(1.0, 2 / 2 ** (won + lost))
    return Outcome("McNemar, exact", (won - lost) / len(truth), p, won + lost, smallest)


def _disagreements(truth, first, second) -> tuple[int, int]:
    """How many examples only the first has right, and only the second."""
    right = [(a == t, b == t) for t, a, b in zip(truth, first, second)]
    return right.count((True, False)), right.count((False, True))


def _same_length(*lists):
    sizes = {len(each) for each in lists}
    if len(sizes) > 1 or 0 in sizes:
        raise ValueError(f"truth and both predictions must be of the same examples, got {[len(x) for x in lists]} of them.")


@dataclass(frozen=True)
class Difference:
    """A difference over examples with its bootstrap interval."""

    value: float
    low: float
    high: float
    rows: int
    metric: str
    level: float = 0.95

    def __str__(self):
        digits = decimals((self.high - self.low) / 2, self.value) if self.high > self.low else 3
        return f"{self.value:+.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}] {self.metric}, " \
            + _("{n} examples").format(n=self.rows)

    __repr__ = __str__


def paired_bootstrap(task: Task, truth: list, first: list, second: list, metric: str = "", n: int = 1000, seed: int = 0,
                     level: float = 0.95) -> Difference:
    """How much better the first model's predictions are than the second's on the same examples, for any metric.

    The examples are drawn n times with replacement, the same draw for both models, so that what is hard for both drops
    out (Efron & Tibshirani 1993, ch. 13; Koehn 2004 for text). The interval is the middle `level` of the differences.
    """
    _same_length(truth, first, second)
    metric = metric or task.metric
    from .metrics import score
    value = score(task, truth, first)[metric] - score(task, truth, second)[metric]
    gaps = resample(task, truth, first, metric, n, seed) - resample(task, truth, second, metric, n, seed)
    low, high = np.quantile(gaps, [(1 - level) / 2, (1 + level) / 2])
    return Difference(value, float(low), float(high), len(truth), metric, level)


# ---- several tests ------------------------------------------------------------------------------------------------

def adjust(p_values, method: str = "holm"):
    """p-values corrected for how many of them there are, in the form they came in (a dictionary or a list).

    method  "holm" (Holm 1979): the chance of ANY false finding stays below the level you compare with
            "bh" (Benjamini & Hochberg 1995): of the findings you report, on average at most that share is false;
            for tests that are independent or positively dependent
            "by" (Benjamini & Yekutieli 2001): the same under any dependence

    Each may be a number or an Outcome. What is not a probability is a ValueError.
    """
    if method not in ("holm", "bh", "by"):
        raise TaskError(f"unknown method {method!r}.{nearest(method, ('holm', 'bh', 'by'))}")
    names = list(p_values) if isinstance(p_values, Mapping) else None
    listed = list(p_values.values() if names else p_values)
    ps = np.array([getattr(p, "p", p) for p in listed], dtype=float)
    if not len(ps) or not ((ps >= 0) & (ps <= 1)).all():
        raise ValueError(f"adjust needs one or more p-values from 0 to 1, got {listed}.")
    found = (_holm(ps) if method == "holm" else _false_discoveries(ps, method)).tolist()
    return dict(zip(names, found)) if names else found


def _holm(ps):
    """The smallest p times n, the next one times n - 1, ...; never below the one before, never above 1."""
    order = np.argsort(ps, kind="stable")
    steps = ps[order] * (len(ps) - np.arange(len(ps)))
    adjusted = np.empty_like(ps)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _false_discoveries(ps, method):
    from scipy.stats import false_discovery_control
    return false_discovery_control(ps, method=method)


def seeds_needed(p: float = 0.05) -> int:
    """The fewest seeds with which the exact sign-flip test can give a two-sided p of at most this: 6 for 0.05."""
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1, got {p}.")
    return math.ceil(1 - math.log2(p) - 1e-12)
