"""One head per kind of task: from hidden states to logits, loss and answers.

Every head has the same four parts: `forward` (logits), `loss` (summed over its rows; the caller divides by the
batch's count), `answers` (logits back to labels as they stand in the rows) and `reads`, which says whether it
looks at one vector per text ("pooled", (n, D)) or at every token ("tokens", (n, T, D)).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from .encoding import IGNORE
from .tasks import Task, TaskError


@dataclass
class TaskOutput:
    """What a model says about one task of a batch: the loss (a scalar; None without labels) and the logits."""

    loss: torch.Tensor | None
    logits: torch.Tensor


class Head(nn.Module):
    reads = "pooled"

    def __init__(self, task: Task, width: int):
        super().__init__()
        self.task = task
        self.linear = nn.Linear(width, task.outputs)

    def forward(self, hidden):
        return self.linear(hidden)


class ClassifyHead(Head):
    """(n, D) -> (n, C)"""

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels, reduction="sum")

    def answers(self, logits, rows):
        return [self.task.labels[i] for i in logits.argmax(-1).tolist()]


class MultilabelHead(Head):
    """(n, D) -> (n, C); every label is a yes-no question of its own, the loss is their mean."""

    def loss(self, logits, labels):
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(-1).sum()

    def answers(self, logits, rows):
        return [[label for label, on in zip(self.task.labels, row) if on] for row in (logits > 0).tolist()]


class RegressHead(Head):
    """(n, D) -> (n,) in the units of the labels; the loss is in units of their training spread."""

    def __init__(self, task: Task, width: int):
        super().__init__(task, width)
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def fit_scale(self, labels):
        """Mean and standard deviation of the training labels, so that a rating of 4 and a price of 400 learn alike."""
        values = torch.tensor([float(x) for x in labels])
        self.center.copy_(values.mean())
        self.spread.copy_(values.std() if len(values) > 1 and values.std() > 0 else torch.ones(()))

    def forward(self, hidden):
        return self.center + self.spread * self.linear(hidden).squeeze(-1)

    def loss(self, logits, labels):
        return (((logits - labels) / self.spread) ** 2).sum()

    def answers(self, logits, rows):
        return logits.tolist()


class TagHead(Head):
    """(n, T, D) -> (n, T, C); a word is tagged at its first piece."""

    reads = "tokens"

    def loss(self, logits, labels):
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum")

    def answers(self, logits, rows):
        best, outside = logits.argmax(-1).tolist(), "O" if "O" in self.task.labels else self.task.labels[0]
        return [[self.task.labels[tags[spot]] if spot >= 0 else outside for spot in row.spots]
                for tags, row in zip(best, rows)]


class SpanHead(Head):
    """(n, T, D) -> (n, T, 2): scores of each token as first and as last token of the answer (both included)."""

    reads = "tokens"

    def loss(self, logits, labels):
        first, last = logits.unbind(-1)                                               # (n, T) each
        return (F.cross_entropy(first, labels[:, 0], reduction="sum")
                + F.cross_entropy(last, labels[:, 1], reduction="sum")) / 2

    def answers(self, logits, rows):
        return [self._best(scores, row.spots) for scores, row in zip(logits, rows)]

    def _best(self, scores, spots):
        """The span with the highest sum of scores whose tokens stand in text_b, first <= last."""
        inside = [i for i, spot in enumerate(spots) if spot]
        first, last = scores[inside, 0], scores[inside, 1]                            # (t,) each
        best = (first[:, None] + last[None, :]).triu().masked_fill(_lower(len(inside), scores.device), -torch.inf).argmax()
        start, end = inside[int(best) // len(inside)], inside[int(best) % len(inside)]
        text_start, text_end = spots[start][0], spots[end][1]
        return [text_start, text_end]


def _lower(size, device):
    return torch.ones(size, size, dtype=torch.bool, device=device).tril(-1)


class GenerateHead(nn.Module):
    """(n, T, D) -> (n, T, V): the next token at every position, scored by the backbone's own embeddings.

    Sharing the embeddings costs no parameter of its own but a bias (Press & Wolf 2017 tie them the same way).
    """

    reads = "tokens"

    def __init__(self, task: Task, backbone):
        super().__init__()
        if not backbone.causal:
            raise TaskError(f"task {task.name!r} writes text, which needs a decoder such as GPT-2; this backbone is an encoder.")
        self.task, self.tokenizer = task, backbone.tokenizer
        self.bias = nn.Parameter(torch.zeros(backbone.embedding().size(0)))
        self._embedding = [backbone.embedding]              # in a list: shared, not owned

    def forward(self, hidden):
        return F.linear(hidden, self._embedding[0](), self.bias)

    def loss(self, logits, labels):
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORE, reduction="sum")


_HEADS = {"classify": ClassifyHead, "multilabel": MultilabelHead, "regress": RegressHead, "tag": TagHead, "span": SpanHead}


@contextmanager
def seeded(seed: int, name: str):
    """New weights made inside depend on the seed and the name alone; random numbers outside go on as if nothing was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1_000_003 + sum(ord(c) * 31**i for i, c in enumerate(name)) % 1_000_003)
        yield


def build_head(task: Task, backbone, rows: list[dict] = (), seed: int = 0) -> nn.Module:
    """The head for a task. Its first weights depend on the seed and the task's name alone, not on other tasks.

    rows: the task's training rows, from which a regression head learns its scale.
    """
    with seeded(seed, task.name):
        if task.kind == "generate":
            return GenerateHead(task, backbone)
        head = _HEADS[task.kind](task, backbone.width)
        if task.kind == "regress" and rows:
            head.fit_scale(row["label"] for row in rows)
        return head
