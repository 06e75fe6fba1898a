"""Attention-based sharing: one backbone for all tasks, and every task learns where to look.

A task has a query of its own. With it the task attends over the tokens of a text and over the layers of the shared
backbone, and gets one vector per text. Then the vectors of the K tasks attend to one another: each task may read
what the others have read.

    a_k      = softmax over layers of the task's layer scores                            the task's mixture of layers
    m_kt     = sum over layers of a_kl h_lt                                              what it sees at token t
    w_k      = softmax over real tokens of (query_k · m_kt) / √D                         where it looks
    z_k      = sum over tokens of w_kt m_kt                                              what it has read
    z_k'     = z_k + sum over tasks of c_kj V z_j,  c_k = softmax_j((Q z_k · K z_j) / √D)

The learned query over tokens is that of Yang et al. (2016, word attention), the mixture of layers that of Peters et
al. (2018, ELMo), the attention between tasks the scaled dot product of Vaswani et al. (2017). Queries and layer
scores start at zero, where all weights are equal and reading is mean pooling; V starts at zero, where tasks do not
read one another.

What heads that look at every token get: the mixture of layers m_kt; for tags and spans plus the task's vector z_k'
times a learned gain that starts at zero, so that a token can know what its task has read of the whole text. A task
that writes text gets m_kt alone and takes no part in the reading: its text holds the answer, and a vector read from
all of it would give the answer away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ..heads import seeded
from ..tasks import TaskError
from .base import SharingModel, as_key


@dataclass
class Attended:
    """Where a model looked. All weights are non-negative and sum to 1 over their last dimension.

    readers  the K tasks, in the order of the tensors
    layers   (K, L)     over the layers in use, from low to high
    tokens   (B, K, T)  over the tokens, the mean over heads; exactly 0 on padding
    tasks    (B, K, K)  task k (row) reads task j (column); None where cross-task attention is off
    """

    readers: list[str]
    layers: torch.Tensor
    tokens: torch.Tensor
    tasks: torch.Tensor | None


class TaskQuery(nn.Module):
    """What one task looks for.

    layers  (L,)        a score for each layer; frozen where there is only one layer to choose
    tokens  (H, D / H)  a query per head, for its slice of the hidden states; None for a task that writes text
    gain    ()          how much of its vector a task adds to every token; None for tasks that label the whole text
    """

    def __init__(self, kind: str, layers: int, width: int, heads: int, uniform_start: bool):
        super().__init__()
        start = torch.zeros if uniform_start else torch.randn
        self.layers = nn.Parameter(torch.zeros(layers), requires_grad=layers > 1)
        self.tokens = nn.Parameter(start(heads, width // heads)) if kind != "generate" else None
        self.gain = nn.Parameter(torch.zeros(())) if kind in ("tag", "span") else None


class CrossTaskAttention(nn.Module):
    """Let each task read what the others have read: scaled dot-product attention over the tasks of one text.

    vectors (B, K, D), one per task  ->  (B, K, D) mixed, and the weights (B, K, K).
    The tasks share the maps Q, K and V, so the order of the tasks does not matter. V starts at zero.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        nn.init.zeros_(self.value.weight)

    def forward(self, vectors):
        query, key, value = self.query(vectors), self.key(vectors), self.value(vectors)          # (B, K, D) each
        weights = (query @ key.mT / vectors.size(-1) ** 0.5).softmax(-1)                         # (B, K, K)
        return vectors + weights @ value, weights


def read(hidden, attention_mask, queries, layers):
    """Attend over tokens and layers, for all tasks at once.

    hidden          (B, T, L, D)
    attention_mask  (B, T)
    queries         (K, H, D / H): every head looks at its own slice of D
    layers          (K, L): each task's weights of the layers
    Returns vectors (B, K, D) and weights (B, K, H, T). Scores and sums are linear in the mixture of layers, so the mixture
    itself, K times as large as the hidden states, is never built: all is two products with the states of all layers.
    """
    tasks, heads, size = queries.shape
    slices = torch.eye(heads, dtype=queries.dtype, device=queries.device).repeat_interleave(size, dim=1)     # (H, D)
    queries = queries.flatten(1)[:, None] * slices                                               # (K, H, D), 0 beside the slice
    by_layer = layers[:, None, :, None] * queries[:, :, None]                                    # (K, H, L, D)
    states = hidden.flatten(2)                                                                   # (B, T, LD)
    scores = (states @ by_layer.flatten(2).flatten(0, 1).T).mT / size ** 0.5                     # (B, KH, T)
    real = attention_mask[:, None].bool()                                                        # (B, 1, T)
    weights = scores.masked_fill(~real, torch.finfo(scores.dtype).min).softmax(-1) * real        # (B, KH, T)
    read_of = (weights.to(states.dtype) @ states).unflatten(1, (tasks, heads)).unflatten(3, hidden.shape[2:])
    mixed = (layers[:, None, None] @ read_of).squeeze(-2)                                        # (B, K, H, L, D) -> (B, K, H, D)
    return (mixed * slices).sum(2), weights.unflatten(1, (tasks, heads))


class AttentionSharing(SharingModel):
    """One shared backbone; each task reads it with its own query, then tasks read one another.

    layers         "all" (embeddings and every block), "last", or numbers: 0 the embeddings, 1 the first block, -1 the
                   last one
    cross_task     attention between the tasks' vectors; None: on where two or more tasks read
    heads          queries per task, each over its own slice of the hidden states
    uniform_start  queries start at zero (mean pooling); False: they start random
    rate           how many times faster queries and layer scores learn than the other weights (see `fit`)

    Layers below the last are brought to mean 0 and variance 1 at every token: raw sizes differ by orders of magnitude
    between the layers of a pre-norm decoder, and a mixture should weigh directions. The last layer stays as it is.
    """

    def __init__(self, backbone, tasks, *, layers="all", cross_task: bool | None = None, heads: int = 1,
                 uniform_start: bool = True, rate: float = 30.0, **options):
        layers = layers if isinstance(layers, str) else list(layers)
        super().__init__(backbone, tasks, layers=layers, cross_task=cross_task, heads=heads,
                         uniform_start=uniform_start, rate=rate, **options)

    def build(self, backbone, seed):
        self.backbone = backbone
        self.readers = [name for name, task in self.tasks.items() if task.kind != "generate"]
        self.used = choose_layers(self.knobs["layers"], backbone.depth)
        if backbone.width % self.knobs["heads"]:
            raise TaskError(f"heads={self.knobs['heads']} does not divide the backbone's width of {backbone.width}.")
        if self.knobs["cross_task"] and len(self.readers) < 2:
            raise TaskError(f"cross-task attention needs two or more tasks that read; here: {self.readers}. "
                            "Add a task, or set cross_task=False.")
        self.queries = nn.ModuleDict()
        for name, task in self.tasks.items():
            with seeded(seed, name):
                self.queries[as_key(name)] = TaskQuery(task.kind, len(self.used), backbone.width, self.knobs["heads"],
                                                       self.knobs["uniform_start"])
        cross = len(self.readers) > 1 if self.knobs["cross_task"] is None else self.knobs["cross_task"]
        with seeded(seed, "cross-task attention"):
            self.cross = CrossTaskAttention(backbone.width) if cross else None

    def share(self, batch):
        hidden = self.states(batch)                                                              # (B, T, L, D)
        asked = self.readers if self.cross else [name for name in self.readers if name in batch.rows]
        vectors = self.look(hidden, batch.attention_mask, asked)[0] if asked else None           # (B, K, D)
        for task, rows in batch.rows.items():
            vector = vectors[:, asked.index(task)].index_select(0, rows) if task in asked else None      # (n, D)
            yield task, self.tokens(task, hidden, rows, vector) if self.reads_tokens(task) else None, vector

    def states(self, batch):
        """The layers in use, stacked: (B, T, L, D)."""
        hidden = self.backbone(batch.input_ids, batch.attention_mask, all_layers=True)
        last = self.backbone.depth
        return torch.stack([hidden[i] if i == last else F.layer_norm(hidden[i], hidden[i].shape[-1:])
                            for i in self.used], dim=2)

    def look(self, hidden, attention_mask, names):
        """hidden (B, T, L, D) and the names of K tasks -> their vectors (B, K, D), and where they looked."""
        queries = torch.stack([self.queries[as_key(name)].tokens for name in names])             # (K, H, D/H)
        layers = torch.stack([self.queries[as_key(name)].layers for name in names]).softmax(-1)  # (K, L)
        vectors, tokens = read(hidden, attention_mask, queries, layers)
        vectors, tasks = self.cross(vectors) if self.cross else (vectors, None)
        return vectors, Attended(list(names), layers, tokens.mean(2), tasks)

    def tokens(self, name, hidden, rows, vector):
        """hidden (B, T, L, D), the task's n rows and vectors (n, D) -> what its head sees at every token (n, T, D)."""
        query = self.queries[as_key(name)]
        mixture = torch.einsum("ntld,l->ntd", hidden.index_select(0, rows), query.layers.softmax(-1))
        return mixture if vector is None else mixture + query.gain * vector[:, None]

    @torch.no_grad()
    def attend(self, batch) -> Attended:
        """Where every task would look in every text of the batch; for figures."""
        return self.look(self.states(batch), batch.attention_mask, self.readers)[1]

    def rates(self):
        """Adam moves every number by about the learning rate per step, whatever its gradient: far enough for the weights
        of a trained backbone, too little for queries that must grow from zero until a softmax has a preference."""
        return [(list(self.queries.parameters()), self.knobs["rate"])]

    def shared_parameters(self):
        return super().shared_parameters() + (list(self.cross.parameters()) if self.cross else [])

    def task_parameters(self, name):
        return super().task_parameters(name) + list(self.queries[as_key(name)].parameters())


def choose_layers(layers, depth: int) -> list[int]:
    """Numbers of hidden states, 0 (embeddings) to depth, from "all", "last" or a list that may count from the end."""
    if isinstance(layers, str):
        if layers not in ("all", "last"):
            raise TaskError(f"unknown layers={layers!r}: use 'all', 'last' or a list of numbers.")
        return list(range(depth + 1)) if layers == "all" else [depth]
    numbers = sorted(i + depth + 1 if isinstance(i, int) and i < 0 else i for i in layers)
    if not numbers or len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(depth + 1)):
        raise TaskError(f"layers={layers}: give different numbers from 0 (embeddings) to {depth} "
                        "(last block), or from the end.")
    return numbers
