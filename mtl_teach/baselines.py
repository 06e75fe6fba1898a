"""What a task yields without a network: the commonest answer, and a plain model of word counts.

They belong into every table. On real text with a few hundred labels the plain model beats small Transformers; on
any data it says how much of a task single words already give away.

    kind         majority                       plain
    classify     the commonest class            TF-IDF of words and word pairs, logistic regression
    multilabel   the commonest set of labels    the same, one regression per label
    regress      the mean                       TF-IDF, ridge regression
    tag          the commonest tag              each word's commonest tag in training
    span         none                           likeliest words of the sentence that shares most with the question
    generate     the commonest text             the answer of the most similar training prompt

Pairs: both texts' vectors, their absolute difference, product and dot product. Text without spaces (Chinese, Japanese):
one to three characters instead of one to two words. Strength of the penalty: two values, chosen on validation.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict

import numpy as np

from .encoding import text_of
from .metrics import hot, score
from .span_baseline import FAST, AnswerWords
from .tasks import Task, TaskData, TaskError


def majority(task: Task, train: list[dict]):
    """The baseline that gives the commonest training answer to everything; None for spans.

    The result has `answer` and `predict(rows)`.
    """
    _need(task, train)
    return None if task.kind == "span" else Majority(task, train)


def plain_baseline(task: Task, data: TaskData):
    """The plain model of the task's kind, trained on data.train; the result has `predict(rows)`."""
    _need(task, data.train)
    return _PLAIN[task.kind](task, data.train, data.validation)


def cached_predictions(data: TaskData, rows: list[dict]) -> dict[str, list | None]:
    """{"majority": answers, "plain": answers} for the rows. The same data is not trained on twice in a session."""
    facts = [data.task.to_dict(), data.train, data.validation, rows]
    key = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
    if key not in _CACHE:
        models = {"majority": majority(data.task, data.train), "plain": plain_baseline(data.task, data)}
        if len(_CACHE) >= 100:
            _CACHE.pop(next(iter(_CACHE)))
        _CACHE[key] = {name: model and model.predict(rows) for name, model in models.items()}
    return _CACHE[key]


_CACHE: dict[str, dict] = {}


def _need(task, train):
    if not train:
        raise TaskError(f"task {task.name!r} has no training rows, so it has no baselines. Load some, or evaluate with "
                        "baselines=False.")


class Majority:
    """The commonest training answer; the first in order of appearance where several are."""

    def __init__(self, task: Task, train: list[dict]):
        self.task = task
        labels = [row["label"] for row in train]
        if task.kind == "regress":
            self.answer = float(np.mean([float(label) for label in labels]))
        elif task.kind == "tag":
            self.answer = Counter(tag for tags in labels for tag in tags).most_common(1)[0][0]
        elif task.kind == "multilabel":
            self.answer = list(Counter(tuple(sorted(names)) for names in labels).most_common(1)[0][0])
        else:
            self.answer = Counter(labels).most_common(1)[0][0]

    def predict(self, rows: list[dict]) -> list:
        if self.task.kind == "tag":
            return [[self.answer] * len(row["tokens"]) for row in rows]
        return [self.answer] * len(rows)


class TextFeatures:
    """TF-IDF with sublinear counts: rows -> sparse (n, F)."""

    def __init__(self, rows: list[dict], pair: bool):
        from sklearn.feature_extraction.text import TfidfVectorizer
        self.pair = pair
        texts = [text_of(row) for row in rows] + [row["text_b"] for row in rows if pair]
        spaced = sum(text.count(" ") for text in texts) > sum(map(len, texts)) / 20
        shape = dict(ngram_range=(1, 2)) if spaced else dict(ngram_range=(1, 3), analyzer="char")
        self.vectorizer = TfidfVectorizer(sublinear_tf=True, **shape).fit(texts)

    def __call__(self, rows: list[dict]):
        from scipy.sparse import hstack
        a = self.vectorizer.transform([text_of(row) for row in rows])
        if not self.pair:
            return a
        b = self.vectorizer.transform([row["text_b"] for row in rows])
        product = a.multiply(b)
        return hstack([a, b, abs(a - b), product, product.sum(1).reshape(-1, 1)]).tocsr()


class TextModel:
    """Classes, sets of labels or numbers from TF-IDF features."""

    def __init__(self, task: Task, train: list[dict], validation: list[dict]):
        self.task = task
        self.features = TextFeatures(train, task.pair)
        x, y = self.features(train), self._targets([row["label"] for row in train])
        best = -np.inf
        for model in self._candidates():
            model.fit(x, y)
            value = self._value(model, validation)
            if value > best:
                best, self.model = value, model

    def _targets(self, labels):
        return np.array(labels, dtype=float) if self.task.kind == "regress" else hot(self.task, labels)

    def _candidates(self):
        from sklearn.linear_model import Ridge
        if self.task.kind == "regress":
            return [Ridge(alpha) for alpha in (1.0, 10.0)]
        return [OneAgainstRest(C) for C in (10.0, 1.0)]

    def _value(self, model, validation):
        if not validation:
            return 0.0                                          # the first candidate stays
        truth = [row["label"] for row in validation]
        return score(self.task, truth, self._answers(model, validation))[self.task.metric]

    def _answers(self, model, rows):
        values, names = model.predict(self.features(rows)), self.task.labels
        if self.task.kind == "regress":
            return values.tolist()
        if self.task.kind == "multilabel":
            return [[name for name, on in zip(names, row) if on] for row in values > 0]
        return [names[i] for i in values.argmax(1)]

    def predict(self, rows: list[dict]) -> list:
        return self._answers(self.model, rows)


class OneAgainstRest:
    """A logistic regression per class: x (n, F), y (n, C) of 0 and 1 -> log-odds (n, C)."""

    def __init__(self, C: float):
        self.C = C

    def fit(self, x, y):
        from sklearn.linear_model import LogisticRegression
        self.columns = [LogisticRegression(C=self.C, **FAST).fit(x, column) if np.ptp(column) else column[0]
                        for column in y.T]

    def predict(self, x):
        constant = {0: np.full(x.shape[0], -np.inf), 1: np.full(x.shape[0], np.inf)}
        return np.stack([constant[int(column)] if np.isscalar(column) else column.decision_function(x)
                         for column in self.columns], axis=1)


class CommonTags:
    """Each word's commonest training tag; the commonest tag of all for words that training lacks."""

    def __init__(self, task: Task, train: list[dict], validation: list[dict]):
        counts = defaultdict(Counter)
        for row in train:
            for word, tag in zip(row["tokens"], row["label"]):
                counts[word][tag] += 1
        self.tags = {word: count.most_common(1)[0][0] for word, count in counts.items()}
        self.other = Majority(task, train).answer

    def predict(self, rows: list[dict]) -> list[list[str]]:
        return [[self.tags.get(word, self.other) for word in row["tokens"]] for row in rows]


class NearestPrompt:
    """The answer that training gives to the most similar prompt (cosine of TF-IDF)."""

    def __init__(self, task: Task, train: list[dict], validation: list[dict]):
        self.features, self.answers = TextFeatures(train, pair=False), [row["label"] for row in train]
        self.known = self.features(train)

    def predict(self, rows: list[dict]) -> list[str]:
        nearest = (self.features(rows) @ self.known.T).toarray().argmax(1)
        return [self.answers[i] for i in nearest]


_PLAIN = {"classify": TextModel, "multilabel": TextModel, "regress": TextModel, "tag": CommonTags, "span": AnswerWords,
          "generate": NearestPrompt}
