"""Learning curves: a metric against the number of labels, with intervals, and how many labels a method saves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from .i18n import _
from .measured import Measured, over_seeds
from .tasks import TaskError


class LearningCurve(dict):
    """{number of labels: Measured}, in order; `curves({"single": single, "hard": hard}, ...)` draws it."""

    def labels_for(self, value: float) -> float:
        """The number of labels at which the mean first reaches `value`: linear between the points, over the logarithm
        of the labels. inf if no point reaches it. If the first point does, the first point."""
        before = None
        for labels, found in self.items():
            if found.mean >= value:
                if before is None:
                    return float(labels)
                at, low = before
                share = (value - low) / (found.mean - low)
                return float(math.exp(math.log(at) + share * (math.log(labels) - math.log(at))))
            before = labels, found.mean
        return math.inf

    def __sub__(self, other: LearningCurve) -> LearningCurve:
        """Gains, paired by seed, where both have a point."""
        return LearningCurve({labels: self[labels] - other[labels] for labels in self if labels in other})

    def percent(self) -> LearningCurve:
        return LearningCurve({labels: found.percent() for labels, found in self.items()})

    def __repr__(self):
        return "\n".join(_("{labels:>7,} labels   {value}").format(labels=labels, value=found) for labels, found in self.items())


def learning_curve(run: Callable, labels: Iterable[int], seeds: int | Iterable[int] = 5, *, jobs: int = 1):
    """Measure run(seed, labels) for each number of labels and each seed: a LearningCurve.

    run    trains with so many labels and returns a number, or a dictionary of numbers: then the result is a dictionary
           of curves. For a fair curve, more labels are the first ones and some more, and the test rows stay the same
           (load_tasks does it so)
    jobs   processes that share the runs; see `over_seeds`
    """
    labels, seeds = sorted(labels), list(range(seeds) if isinstance(seeds, int) else seeds)
    if not labels or labels[0] < 1 or len(set(labels)) < len(labels):
        raise TaskError(f"labels must be different whole numbers from 1, got {labels}.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise TaskError(f"expected one or more different seeds, got {seeds}.")
    pairs = [(seed, n) for n in labels for seed in seeds]
    found = over_seeds(lambda i: run(*pairs[i]), len(pairs), jobs=jobs)

    def curve(runs):
        by_pair = dict(zip(pairs, runs.values.tolist()))
        return LearningCurve({n: Measured({seed: by_pair[seed, n] for seed in seeds}) for n in labels})
    return curve(found) if isinstance(found, Measured) else {name: curve(runs) for name, runs in found.items()}
