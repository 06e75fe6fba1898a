"""The plain baseline of span tasks: find the sentence, then the words in it. No network."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np

from .metrics import PIECE
from .tasks import Task

FAST = dict(solver="liblinear", dual=True, random_state=0, max_iter=1000)     # the dual is quick on sparse rows
MOST_WORDS = 20_000                 # to learn from
SENTENCE = re.compile(r"[^.!?。！？]+[.!?。！？]*\s*")


class AnswerWords:
    """The run of words that most looks like an answer, in the sentence that shares most with the question.

    Shared words count by their rarity (log n/df). A logistic regression scores each word of that sentence from
    itself, the word before and the question's words; the run with the largest sum of log-odds is the answer.
    """

    def __init__(self, task: Task, train: list[dict], validation: list[dict]):
        from sklearn.feature_extraction import FeatureHasher
        from sklearn.linear_model import LogisticRegression
        texts = {row["text_b"] for row in train}
        seen = Counter(word for text in texts for word in set(_words(text)))
        self.rarity = {word: math.log((1 + len(texts)) / count) for word, count in seen.items()}
        self.hasher = FeatureHasher(2**18, input_type="string")
        facts, inside = [], []
        for row in train:
            at, sentence = self._sentence(row)
            start, end = row["label"][0] - at, row["label"][1] - at
            if 0 <= start < len(sentence) and len(facts) < MOST_WORDS:
                facts += self._facts(row["text"], sentence)
                inside += [start < word.end() and word.start() < end for word in PIECE.finditer(sentence)]
        self.model = None
        if len(set(inside)) == 2:
            self.model = LogisticRegression(C=0.1, class_weight="balanced", **FAST).fit(
                self.hasher.transform(facts), inside)

    def _sentence(self, row):
        asked = set(_words(row["text"]))
        sentences = list(SENTENCE.finditer(row["text_b"])) or [re.match("", "")]
        best = max(sentences, key=lambda s: sum(self.rarity.get(w, 0) for w in set(_words(s.group())) & asked))
        return best.start(), best.group()

    def _facts(self, question, sentence):
        """For each word of the sentence a list of facts, alone and joined with each word of the question."""
        asked, words = _words(question), ["<start>", *_words(sentence)]
        for i, word in enumerate(PIECE.findall(sentence)):
            shape = "capital" if word[:1].isupper() else "number" if word.isdigit() else "lower"
            facts = [f"word={words[i + 1]}", f"before={words[i]}", f"shape={shape}", f"asked={words[i + 1] in asked}"]
            yield facts + [f"{fact}|{q}" for q in asked for fact in facts[:3]]

    def predict(self, rows: list[dict]) -> list[list[int]]:
        return [self._best(row) for row in rows]

    def _best(self, row):
        at, sentence = self._sentence(row)
        words = list(PIECE.finditer(sentence))
        if not words or self.model is None:
            return [at, at + len(sentence)]
        odds = self.model.decision_function(self.hasher.transform(self._facts(row["text"], sentence)))
        ends = np.concatenate([[0.0], np.cumsum(odds)])
        gains = np.where(np.tri(len(words)).T > 0, ends[None, 1:] - ends[:-1, None], -np.inf)      # [first, last]
        first, last = np.unravel_index(gains.argmax(), gains.shape)
        return [at + words[first].start(), at + words[last].end()]


def _words(text):
    return PIECE.findall(text.lower())
