"""How good predictions are: the metrics of each kind of task, and intervals over the examples.

Truth and predictions are lists in the form of the rows' labels. All metrics are fractions, higher is better:

    classify    accuracy        share of rows with the right class
                macro_f1        mean of the classes' F1, over classes that occur in truth or predictions
                mcc             Matthews' correlation, -1 to 1; 0 where it is undefined (one class only)
    multilabel  micro_f1        F1 over all (row, label) decisions together
                macro_f1        mean of the labels' F1, over labels that occur in truth or predictions
                exact_match     share of rows whose set of labels is right
    regress     pearson         linear correlation, -1 to 1
                spearman        correlation of the ranks, ties share the mean rank
    tag         entity_f1       F1 over entities; right means same type, first and last word (strict IOB2)
                token_accuracy  share of words with the right tag
    span        span_f1         mean over rows of 2 x shared characters / (characters predicted + true)
                exact_match     share of rows with the right start and end
    generate    token_accuracy  words and marks that agree in place, over those of the longer text, all rows together

What has no defined value counts as 0, because such a prediction tells nothing: a correlation with a constant
(or over one row), an F1 where nothing is there and nothing was predicted. `score` takes its values from
scikit-learn, scipy and seqeval; resampling.py computes the same metrics on many resamples at once.
"""

from __future__ import annotations

import math
import re
import warnings

import numpy as np

from .tasks import Task, TaskError, nearest

# a Chinese, Japanese or Korean character; a word; a punctuation mark
PIECE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\w\s]")


def score(task: Task, truth: list, predictions: list) -> dict[str, float]:
    """Every metric of the task's kind, by name. Lists that do not fit the task or each other are a TaskError."""
    check(task, truth, predictions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                             # undefined values: see above, they count as 0
        values = _SCORES[task.kind](task, truth, predictions)
    return {name: float(value) for name, value in values.items()}


# ---- what goes in -------------------------------------------------------------------------------------------------

def check(task: Task, truth: list, predictions: list) -> None:
    """Refuse lists that are empty, of different lengths, or not in the form of the task's labels."""
    if len(truth) != len(predictions):
        raise TaskError(f"task {task.name!r}: {len(truth)} rows but {len(predictions)} predictions; give one each.")
    if len(truth) == 0:
        raise TaskError(f"task {task.name!r}: no rows to score. Choose a split that has rows.")
    for what, labels in (("label", truth), ("prediction", predictions)):
        for number, label in enumerate(labels):
            problem = _PROBLEMS[task.kind](task, label)
            if problem:
                raise TaskError(f"task {task.name!r}, {what} {number}: {problem}")
    if task.kind == "tag":
        for number, (a, b) in enumerate(zip(truth, predictions)):
            if len(a) != len(b):
                raise TaskError(f"task {task.name!r}, row {number}: {len(a)} tags but {len(b)} predicted; "
                                "give one for each token.")


def _not_a_label(task, label):
    if label not in task.labels:
        return f"unknown label {label!r}.{nearest(label, task.labels)}"


def _not_a_list(task, labels):
    if isinstance(labels, str) or not hasattr(labels, "__iter__"):
        return f"expected a list of labels, got {labels!r}."
    return next(filter(None, (_not_a_label(task, label) for label in labels)), None)


def _not_a_number(task, value):
    if isinstance(value, str) or not hasattr(value, "__float__") or not math.isfinite(value):
        return f"expected a finite number, got {value!r}."


def _not_a_span(task, span):
    if isinstance(span, str) or not hasattr(span, "__len__") or len(span) != 2 or not 0 <= span[0] <= span[1]:
        return f"expected characters [start, end) with 0 <= start <= end, got {span!r}."


def _not_a_text(task, text):
    if not isinstance(text, str):
        return f"expected a text, got {text!r}."


_PROBLEMS = {"classify": _not_a_label, "multilabel": _not_a_list, "regress": _not_a_number, "tag": _not_a_list,
             "span": _not_a_span, "generate": _not_a_text}


# ---- one value, by the libraries -----------------------------------------------------------------------------------

def _score_classify(task, truth, predictions):
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
    return {"accuracy": accuracy_score(truth, predictions),
            "macro_f1": f1_score(truth, predictions, average="macro", zero_division=0),
            "mcc": matthews_corrcoef(truth, predictions)}


def _score_multilabel(task, truth, predictions):
    from sklearn.metrics import f1_score
    truth, predictions = hot(task, truth), hot(task, predictions)
    by_label = [f1_score(t, p, zero_division=0) for t, p in zip(truth.T, predictions.T) if t.any() or p.any()]
    return {"micro_f1": f1_score(truth.ravel(), predictions.ravel(), zero_division=0),
            "macro_f1": np.mean(by_label) if by_label else 0.0,
            "exact_match": (truth == predictions).all(1).mean()}


def _score_regress(task, truth, predictions):
    from scipy.stats import pearsonr, spearmanr
    truth, predictions = numbers(truth), numbers(predictions)
    if np.ptp(truth) == 0 or np.ptp(predictions) == 0:
        return {"pearson": 0.0, "spearman": 0.0}
    return {"pearson": pearsonr(truth, predictions).statistic, "spearman": spearmanr(truth, predictions).statistic}


def _score_tag(task, truth, predictions):
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2
    from sklearn.metrics import accuracy_score
    words = accuracy_score([tag for tags in truth for tag in tags], [tag for tags in predictions for tag in tags])
    if not is_bio(task):
        return {"token_accuracy": words}
    truth, predictions = ([list(tags) for tags in labels] for labels in (truth, predictions))
    return {"entity_f1": f1_score(truth, predictions, mode="strict", scheme=IOB2, zero_division=0),
            "token_accuracy": words}


def _score_span(task, truth, predictions):
    return {"span_f1": span_overlap(truth, predictions).mean(), "exact_match": exact_spans(truth, predictions).mean()}


def _score_generate(task, truth, predictions):
    right, longest = agreeing_words(truth, predictions).sum(0)
    return {"token_accuracy": right / longest if longest else 0.0}


_SCORES = {"classify": _score_classify, "multilabel": _score_multilabel, "regress": _score_regress, "tag": _score_tag,
           "span": _score_span, "generate": _score_generate}


# ---- facts per row ------------------------------------------------------------------------------------------------

def is_bio(task: Task) -> bool:
    """Whether the tags are O, B-... and I-..., so that they mark entities; others have token_accuracy alone."""
    bio = all(label == "O" or label[:2] in ("B-", "I-") for label in task.labels)
    if not bio and task.metric == "entity_f1":
        raise TaskError(f"task {task.name!r}: entity_f1 needs BIO tags (O, B-..., I-...), got {list(task.labels)[:6]}. "
                        "Use metric='token_accuracy'.")
    return bio


def hot(task, labels):
    """One or several labels per row -> (n, C) of 0 and 1."""
    place = {label: i for i, label in enumerate(task.labels)}
    table = np.zeros((len(labels), len(place)), dtype=np.int64)
    for row, names in zip(table, labels):
        row[[place[name] for name in ([names] if isinstance(names, str) else names)]] = 1
    return table


def numbers(values):
    return np.asarray([float(value) for value in values])


def entities(tags: list[str]) -> set[tuple[str, int, int]]:
    """The (type, first, last) of each entity in strict IOB2: it starts with B- and goes on with I- of its type."""
    found, start = set(), None
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and tag != "I-" + tags[start][2:]:
            found.add((tags[start][2:], start, i - 1))
            start = None
        if tag.startswith("B-"):
            start = i
    return found


def entity_counts(truth, predictions):
    """(n, 3): entities that are right, true, predicted."""
    pairs = [(entities(a), entities(b)) for a, b in zip(truth, predictions)]
    return np.array([[len(a & b), len(a), len(b)] for a, b in pairs])


def word_counts(truth, predictions):
    """(n, 2): words with the right tag, words."""
    return np.array([[sum(x == y for x, y in zip(a, b)), len(a)] for a, b in zip(truth, predictions)])


def span_overlap(truth, predictions):
    (a, b), (c, d) = np.asarray(truth).T, np.asarray(predictions).T
    shared, total = np.maximum(0, np.minimum(b, d) - np.maximum(a, c)), (b - a) + (d - c)
    return np.where(total == 0, 1.0, 2 * shared / np.maximum(total, 1))             # two empty answers agree


def exact_spans(truth, predictions):
    return (np.asarray(truth) == np.asarray(predictions)).all(1).astype(float)


def agreeing_words(truth, predictions):
    """(n, 2): words in the right place, words of the longer text; see PIECE for what a word is."""
    pairs = [(PIECE.findall(a), PIECE.findall(b)) for a, b in zip(truth, predictions)]
    return np.array([[sum(x == y for x, y in zip(a, b)), max(len(a), len(b))] for a, b in pairs])
