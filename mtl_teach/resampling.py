"""How far a metric could move with other examples: the bootstrap, for every metric, many resamples at once.

A resample is a list of counts: how often each row was drawn. Most metrics follow from sums over the drawn rows
(rows right, entities found, true positives of a class, ...), so that 1,000 resamples are one matrix product of
counts (R, n) and facts (n, S).
"""

from __future__ import annotations

import numpy as np

from .metrics import agreeing_words, check, entity_counts, exact_spans, hot, is_bio, numbers, span_overlap, word_counts
from .tasks import METRICS, Task, TaskError, nearest

BLOCK = 4_000_000                       # counts held at once: 32 MB


def bootstrap(task: Task, truth: list, predictions: list, metric: str = "", n: int = 1000, seed: int = 0,
              level: float = 0.95) -> tuple[float, float]:
    """The interval (low, high) of a metric over n resamples of the examples: the percentile bootstrap.

    It says how much the value could change with other examples from the same source. It knows nothing of other
    seeds: see `over_seeds`.
    """
    values = resample(task, truth, predictions, metric, n, seed)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resample(task: Task, truth: list, predictions: list, metric: str = "", n: int = 1000, seed: int = 0) -> np.ndarray:
    """The metric on n resamples of the rows, drawn with replacement: (n,) values.

    The same seed draws the same rows for every model, so two models may be compared resample by resample.
    """
    check(task, truth, predictions)
    metric = metric or task.metric
    if metric not in METRICS[task.kind]:
        raise TaskError(f"unknown metric {metric!r} for the kind {task.kind!r}.{nearest(metric, METRICS[task.kind])}")
    value = _METRICS[task.kind, metric](task, truth, predictions)
    return np.concatenate([value(counts) for counts in _draw(len(truth), n, seed)])


def _draw(rows: int, n: int, seed: int):
    """n resamples of the rows as counts, in blocks (R, rows) that fit into memory."""
    rng, block = np.random.default_rng(seed), max(1, BLOCK // rows)
    for size in (min(block, n - at) for at in range(0, n, block)):
        drawn = rng.integers(rows, size=(size, rows)) + rows * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


# ---- metrics of counts: each takes (task, truth, predictions), returns a function counts (R, n) -> values (R,) -----

def _mean(facts):
    return lambda counts: counts @ facts / counts.sum(1)


def _ratio(facts):
    """facts (n, 2): the sum of the first column over the sum of the second."""
    def value(counts):
        right, total = (counts @ facts).T
        return _divide(right, total)
    return value


def _f1(right, true, predicted, average):
    """right, true, predicted: 0/1 per row and class, (n, C) each. F1 = 2 right / (true + predicted)."""
    def value(counts):
        hits, either = counts @ right, counts @ (true + predicted)                      # (R, C) each
        if average == "micro":
            return _divide(2 * hits.sum(1), either.sum(1))
        return _divide(_divide(2 * hits, either).sum(1), (either > 0).sum(1))
    return value


def _class_f1(task, truth, predictions, average="macro"):
    true, predicted = hot(task, truth).astype(float), hot(task, predictions).astype(float)
    return _f1(true * predicted, true, predicted, average)


def _entity_f1(task, truth, predictions):
    if not is_bio(task):
        raise TaskError(f"task {task.name!r}: entity_f1 needs BIO tags; use token_accuracy.")
    right, true, predicted = entity_counts(truth, predictions).T[:, :, None]
    return _f1(right, true, predicted, "micro")


def _mcc(task, truth, predictions):
    """Gorodkin's form for any number of classes: (c s - sum t p) / sqrt((s^2 - sum p^2) (s^2 - sum t^2))."""
    true, predicted = hot(task, truth).astype(float), hot(task, predictions).astype(float)
    hits = (true * predicted).sum(1)

    def value(counts):
        t, p, c, s = counts @ true, counts @ predicted, counts @ hits, counts.sum(1)
        spread = (s**2 - (p**2).sum(1)) * (s**2 - (t**2).sum(1))
        return _divide(c * s - (t * p).sum(1), np.sqrt(spread))
    return value


def _pearson(task, truth, predictions):
    x, y = numbers(truth), numbers(predictions)
    return lambda counts: _correlation(x, y, counts)


def _spearman(task, truth, predictions):
    x, y = numbers(truth), numbers(predictions)
    return lambda counts: _correlation(_ranks(x, counts), _ranks(y, counts), counts)


def _ranks(values, counts):
    """(n,) values drawn (R, n) times -> their ranks in each resample (R, n); ties share the mean rank."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(counts[:, order], starts, axis=1)                             # (R, groups)
    return (np.cumsum(sizes, axis=1) - sizes / 2)[:, group]


def _correlation(x, y, counts):
    """x, y: (n,) or (R, n) values, drawn `counts` (R, n) times -> (R,); 0 where one of them does not vary."""
    (x, x_floor), (y, y_floor) = _centred(x, counts), _centred(y, counts)
    xx, yy, xy = ((counts * a * b).sum(1) for a, b in ((x, x), (y, y), (x, y)))
    return np.where((xx > x_floor) & (yy > y_floor), _divide(xy, np.sqrt(xx * yy)), 0.0)


def _centred(values, counts):
    """The values less their mean in each resample, and the sum of squares that rounding alone can leave."""
    total = counts.sum(1, keepdims=True)
    floor = total[0, 0] * (1e-14 * np.abs(values).max()) ** 2
    return values - (counts * values).sum(1, keepdims=True) / total, floor


def _divide(a, b):
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(a, dtype=float), where=b > 0)


_METRICS = {
    ("classify", "accuracy"): lambda task, t, p: _mean(np.array([a == b for a, b in zip(t, p)], float)),
    ("classify", "macro_f1"): _class_f1,
    ("classify", "mcc"): _mcc,
    ("multilabel", "micro_f1"): lambda task, t, p: _class_f1(task, t, p, "micro"),
    ("multilabel", "macro_f1"): _class_f1,
    ("multilabel", "exact_match"): lambda task, t, p: _mean((hot(task, t) == hot(task, p)).all(1).astype(float)),
    ("regress", "pearson"): _pearson,
    ("regress", "spearman"): _spearman,
    ("tag", "entity_f1"): _entity_f1,
    ("tag", "token_accuracy"): lambda task, t, p: _ratio(word_counts(t, p)),
    ("span", "span_f1"): lambda task, t, p: _mean(span_overlap(t, p)),
    ("span", "exact_match"): lambda task, t, p: _mean(exact_spans(t, p)),
    ("generate", "token_accuracy"): lambda task, t, p: _ratio(agreeing_words(t, p)),
}
