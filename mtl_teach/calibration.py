"""Does a model know how sure it may be? Of the answers it gives with 80 % confidence, 80 % should be right.

    confidence         the largest probability of a row
    ECE                the mean distance between confidence and accuracy, in bins of the confidence, weighted by their
                       rows (Naeini et al. 2015; Guo et al. 2017, eq. 3)
    temperature        one number per task that divides the logits; found on validation, it mends most of it and
                       changes no answer (Guo et al. 2017, sec. 4.2)

For tasks that choose one class (kind "classify").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .i18n import _
from .tasks import Task, TaskData, TaskError, nearest

BINNINGS = ("width", "mass")
COLDEST, HOTTEST = 0.05, 20.0           # temperatures that are tried


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy.

    table       a pandas DataFrame, one row per bin that holds rows: low, high, rows, confidence, accuracy (means)
    ece         expected calibration error, a fraction; it depends on `bins`, so both are always shown
    worst       the largest distance in any bin (MCE); a bin with few rows may decide it
    brier       mean squared distance between the probabilities and the truth, summed over classes; 0 is best, 2 worst
    nll         mean negative log-probability of the truth, in nats; 0 is best
    accuracy, confidence   their means; confidence above accuracy is overconfidence
    confidences (n,) one per row, for `by_chance`
    """

    table: object
    ece: float
    worst: float
    brier: float
    nll: float
    accuracy: float
    confidence: float
    bins: int
    binning: str
    confidences: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.confidences)

    def by_chance(self, n: int = 1000, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
        """The ECE that a perfectly calibrated model with these confidences would show: (mean, what `level` stay below).

        With few rows the accuracy of a bin is off by chance, and ECE counts every distance as an error. So it is never
        0, and grows with the number of bins. An ECE below the second number is no evidence of miscalibration
        (consistency resampling, Broecker & Smith 2007).
        """
        rng = np.random.default_rng(seed)
        place = _bins(self.confidences, self.bins, self.binning)
        drawn = [_ece(self.confidences, rng.random(self.rows) < self.confidences, place) for _i in range(n)]
        return float(np.mean(drawn)), float(np.quantile(drawn, level))

    def __str__(self):
        kind = _("of equal width") if self.binning == "width" else _("of equal size")
        return _("ECE {ece:.3f} ({bins} bins {kind}, {rows} rows); accuracy {acc:.3f}, mean confidence {conf:.3f}").format(
            ece=self.ece, bins=self.bins, kind=kind, rows=self.rows, acc=self.accuracy, conf=self.confidence)

    __repr__ = __str__


def calibration_of(task: Task, truth: list, probabilities, *, bins: int = 10, binning: str = "width") -> Calibration:
    """Calibration of probabilities (n, C), in the order of task.labels, on rows with known truth.

    bins     how many; a bin holds confidences in (low, high]
    binning  "width": equal parts of 0 to 1; "mass": about as many rows in each (Nixon et al. 2019)
    """
    probabilities = _checked(task, truth, probabilities)
    if binning not in BINNINGS:
        raise TaskError(f"unknown binning {binning!r}.{nearest(binning, BINNINGS)}")
    if bins < 1:
        raise TaskError(f"bins must be at least 1, got {bins}.")
    answer = np.array([task.index(label) for label in truth])                                      # (n,)
    confidences, right = probabilities.max(1), probabilities.argmax(1) == answer
    place = _bins(confidences, bins, binning)
    table = _table(confidences, right, place, bins, binning)
    hot = np.eye(len(task.labels))[answer]
    true = probabilities[np.arange(len(answer)), answer]
    return Calibration(table, _ece(confidences, right, place), float((table.confidence - table.accuracy).abs().max()),
                       float(((probabilities - hot) ** 2).sum(1).mean()), float(-np.log(np.maximum(true, 1e-12)).mean()),
                       float(right.mean()), float(confidences.mean()), bins, binning, confidences)


def _checked(task, truth, probabilities):
    _need_classes(task)
    probabilities = np.asarray(probabilities, dtype=float)
    if probabilities.shape != (len(truth), len(task.labels)) or not len(truth):
        raise TaskError(f"task {task.name!r}: expected probabilities ({len(truth)} rows, {len(task.labels)} classes), "
                        f"got {probabilities.shape}.")
    if not np.isfinite(probabilities).all() or (probabilities < 0).any() or abs(probabilities.sum(1) - 1).max() > 1e-3:
        raise TaskError(f"task {task.name!r}: each row must hold probabilities that sum to 1. Logits? Take their softmax.")
    return probabilities


def _need_classes(task):
    if task.kind != "classify":
        raise TaskError(f"task {task.name!r} is of the kind {task.kind!r}; calibration is for tasks that choose one class.")


def _bins(confidences, bins, binning):
    """The number of the bin of each row, from 0; a bin holds (low, high]."""
    if binning == "mass":
        return np.searchsorted(_edges(confidences, bins), confidences, side="left")
    return np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)


def _edges(confidences, bins):
    """The inner borders between bins of about equal size; equal confidences stay together."""
    return np.quantile(confidences, np.arange(1, bins) / bins, method="inverted_cdf")


def _table(confidences, right, place, bins, binning):
    import pandas as pd
    inner = _edges(confidences, bins) if binning == "mass" else np.arange(1, bins) / bins
    edges = [confidences.min() if binning == "mass" else 0.0, *inner, 1.0]
    frame = pd.DataFrame({"bin": place, "confidence": confidences, "accuracy": right.astype(float)})
    found = frame.groupby("bin").agg(rows=("bin", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean"))
    found.insert(0, "low", [edges[i] for i in found.index])
    found.insert(1, "high", [edges[i + 1] for i in found.index])
    return found.reset_index(drop=True)


def _ece(confidences, right, place) -> float:
    """Sum over bins of |sum of confidence - right answers|, over all rows: eq. 3 with the bins' sizes cancelled."""
    return float(np.abs(np.bincount(place, confidences) - np.bincount(place, right)).sum() / len(place))


# ---- of a model -----------------------------------------------------------------------------------------------------

def logits_of(model, name: str, rows: list[dict], batch_size: int = 256) -> np.ndarray:
    """The logits (n, C) of a "classify" task, in the order of the rows and of task.labels."""
    import torch

    from .batching import eval_batches
    if name not in model.tasks:
        raise TaskError(f"unknown task {name!r}.{nearest(name, model.tasks)}")
    task, training = model.tasks[name], model.training
    _need_classes(task)
    found = np.empty((len(rows), len(task.labels)))
    model.eval()
    try:
        with torch.no_grad():
            body = model.backbone
            for numbers, _rows, batch in eval_batches(task, rows, body.tokenizer, batch_size, body.max_length):
                found[numbers] = model(batch.to(model.device))[name].logits.float().cpu().numpy()
    finally:
        model.train(training)
    return found


def softmax(logits, temperature: float = 1.0) -> np.ndarray:
    """Probabilities (n, C) from logits (n, C); a temperature above 1 makes them less sure."""
    if not temperature > 0:
        raise ValueError(f"a temperature is above 0, got {temperature}.")
    from scipy.special import softmax as plain
    return plain(np.asarray(logits, dtype=float) / temperature, axis=1)


def check_calibration(model, data: TaskData, split: str = "test", *, temperature: float = 1.0, bins: int = 10,
                      binning: str = "width") -> Calibration:
    """Calibration of a model on one task: `check_calibration(model, tasks["topic"])`."""
    rows = _rows(data, split)
    probabilities = softmax(logits_of(model, data.task.name, rows), temperature)
    return calibration_of(data.task, [row["label"] for row in rows], probabilities, bins=bins, binning=binning)


def fit_temperature(model, data: TaskData, split: str = "validation") -> float:
    """The temperature that makes the truth of the validation rows most likely (Guo et al. 2017, sec. 4.2).

    On "test" it is refused: what is fitted on the test rows is not measured by them. If all answers are right, the
    likeliest temperature is 0; the search ends near 0.05, and at 20 on the other side.
    """
    if split == "test":
        raise TaskError("a temperature is fitted on validation rows; fitted on 'test', the test no longer measures it.")
    rows = _rows(data, split)
    answer = [data.task.index(row["label"]) for row in rows]
    return best_temperature(logits_of(model, data.task.name, rows), answer)


def best_temperature(logits, answer) -> float:
    """The temperature from 0.05 to 20 with the smallest mean negative log-likelihood of the classes `answer` (n,)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax
    logits, answer = np.asarray(logits, dtype=float), np.asarray(answer)
    at = np.arange(len(answer))

    def loss(log_temperature):
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[at, answer].mean()
    return float(np.exp(minimize_scalar(loss, bounds=np.log((COLDEST, HOTTEST)), method="bounded").x))


def _rows(data, split):
    if not isinstance(data, TaskData):
        raise TaskError(f"expected one task's data, tasks['topic'], got {type(data).__name__}.")
    rows = data.split(split)
    if not rows:
        raise TaskError(f"task {data.task.name!r} has no rows in {split!r}.")
    missing = [number for number, row in enumerate(rows) if row.get("label") is None]
    if missing:
        raise TaskError(f"task {data.task.name!r}: row {missing[0]} of {split!r} has no label.")
    return rows
