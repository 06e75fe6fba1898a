"""From rows of text to mixed-task batches: tokenise once, bucket by length, collate.

One batch may hold rows of several tasks in any proportion, and one text may carry labels of several tasks.
The text passes the shared backbone once; `rows` and `labels` say which head looks at which rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .encoding import IGNORE, Encoded, encode
from .samplers import TaskSampler
from .tasks import Task, TaskError, TaskSet

__all__ = ["Batch", "MixedBatches", "collate", "encode", "eval_batches"]

LONGEST_BUCKET = 50                  # at most so many batches are drawn together and sorted by length


@dataclass
class Batch:
    """B texts of at most T tokens, and which of them carry labels of which task.

    input_ids       (B, T) long
    attention_mask  (B, T) long, 1 on real tokens
    rows            {task: (n,) long}: the rows that carry a label of the task
    labels          {task: tensor}: classify (n,) long; multilabel (n, C) float; regress (n,) float;
                    tag, generate (n, T) long, -100 where there is no label; span (n, 2) long, both ends included
    counts          {task: float}: what the task's summed loss is divided by (rows, or labelled tokens)
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    rows: dict[str, torch.Tensor]
    labels: dict[str, torch.Tensor]
    counts: dict[str, float]

    @property
    def tasks(self) -> list[str]:
        return list(self.rows)

    def __len__(self) -> int:
        return self.input_ids.size(0)

    def only(self, task: str) -> Batch:
        """The rows of one task alone (padding stays, so that positions keep their meaning)."""
        rows = self.rows[task]
        return Batch(self.input_ids[rows], self.attention_mask[rows], {task: torch.arange(len(rows), device=rows.device)},
                     {task: self.labels[task]} if task in self.labels else {}, {task: self.counts[task]})

    def to(self, device, non_blocking: bool = False) -> Batch:
        def move(tensors):
            return {name: tensor.to(device, non_blocking=non_blocking) for name, tensor in tensors.items()}
        return replace(self, **move({"input_ids": self.input_ids, "attention_mask": self.attention_mask}),
                       rows=move(self.rows), labels=move(self.labels))


def collate(items: list[tuple[str, Encoded]], tasks: dict[str, Task], pad: int, padding_side: str = "right") -> Batch:
    """Stack encoded rows of any tasks into one Batch; rows with the same input become one row with several labels."""
    number, slots = {}, []
    for _, row in items:
        slots.append(number.setdefault(tuple(row.ids), len(number)))
    inputs = list(number)
    width = max(map(len, inputs))
    ids = np.full((len(inputs), width), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, tokens in enumerate(inputs):
        at = width - len(tokens) if padding_side == "left" else 0
        ids[i, at:at + len(tokens)] = tokens
        mask[i, at:at + len(tokens)] = 1
    rows, labels, counts = {}, {}, {}
    for name in dict.fromkeys(name for name, _ in items):
        mine = [(slot, row) for slot, (task, row) in zip(slots, items) if task == name]
        rows[name] = torch.tensor([slot for slot, _ in mine])
        counts[name] = float(sum(row.size for _, row in mine))
        if mine[0][1].label is not None:
            labels[name] = _stack_labels(tasks[name].kind, [row for _, row in mine], width, padding_side)
    return Batch(torch.from_numpy(ids), torch.from_numpy(mask), rows, labels, counts)


def _stack_labels(kind, rows, width, padding_side):
    shifts = [width - len(row.ids) if padding_side == "left" else 0 for row in rows]
    if kind in ("tag", "generate"):
        stacked = np.full((len(rows), width), IGNORE, dtype=np.int64)
        for i, (row, at) in enumerate(zip(rows, shifts)):
            stacked[i, at:at + len(row.ids)] = row.label
        return torch.from_numpy(stacked)
    if kind == "span":
        return torch.tensor([[row.label[0] + at, row.label[1] + at] for row, at in zip(rows, shifts)])
    dtype = torch.long if kind == "classify" else torch.float32
    return torch.tensor([row.label for row in rows], dtype=dtype)


class MixedBatches:
    """An endless, resumable stream of mixed batches over the training rows of all tasks.

    sampler      how often each task is drawn: "proportional", "uniform", "temperature", "annealed", "round_robin" (see
                 samplers.py); or "joint": draws texts, each with all the labels it has in any task
    temperature, cap   of the samplers that look at the tasks' sizes
    steps        how many batches the run will take, which "annealed" must know; the stream does not end there
    batch_size   texts per step, over all processes together, so that results do not depend on their number
    bucket       batch texts of like length: each task's rows are sorted by length and dealt out in step, so that
                 every batch keeps the sampler's mix of tasks

    "round_robin" gives batches of one task each. In every round each task has one turn, in a new order: no task always
    has the last word before another. A task whose rows are used up is reshuffled and goes on.

    The same seed gives the same batches. `state_dict()` is a few integers; loading it continues exactly there.
    """

    def __init__(self, tasks: TaskSet, tokenizer, batch_size: int = 32, sampler: str = "proportional", *,
                 temperature: float = 2.0, cap: int | None = None, steps: int | None = None, bucket: bool = True,
                 seed: int = 0, max_length: int | None = None, rank: int = 0, world: int = 1):
        if batch_size < world:
            raise TaskError(f"batch_size={batch_size} leaves nothing for some of the {world} processes; raise it.")
        if sampler == "joint" and cap is not None:
            raise TaskError("cap means nothing for sampler='joint', which draws texts and not tasks.")
        self.tasks, self.pad = tasks.specs, tokenizer.pad_token_id
        self.batch_size, self.rank, self.world, self.seed = batch_size, rank, world, seed
        encoded = {name: encode(data.task, data.train, tokenizer, max_length) for name, data in tasks.items()}
        self.pools = _join(encoded) if sampler == "joint" else {
            name: [[(name, row)] for row in rows] for name, rows in encoded.items()}
        sizes = {name: len(pool) for name, pool in self.pools.items()}
        self.sampler = TaskSampler(sizes, "proportional" if sampler == "joint" else sampler, temperature, seed, cap=cap,
                                   total=steps and steps * batch_size)
        self.in_turns = sampler == "round_robin"
        self.per_chunk = self._chunk_size(sizes, steps) if bucket else 1
        self._start, self._at, self._queue = self.sampler.state_dict(), 0, []

    def _chunk_size(self, sizes, steps):
        """Batches (in turns: rounds) that are drawn together: never so many that a small task would fill a batch with
        copies of one row, nor, while alpha falls, more than a twentieth of the run."""
        if self.in_turns:
            return max(1, min(LONGEST_BUCKET, min(sizes.values()) // self.batch_size))
        once = min(sizes[name] / (p * self.batch_size) for name, p in self.sampler.most().items())
        twentieth = steps // 20 if self.sampler.recipe["sampler"] == "annealed" else LONGEST_BUCKET
        return max(1, min(LONGEST_BUCKET, twentieth, int(once)))

    def __iter__(self):
        return self

    def __next__(self) -> Batch:
        units = self._next_units()
        counts = {}
        for name, row in (item for unit in units for item in unit):
            counts[name] = counts.get(name, 0.0) + row.size
        mine = [item for unit in units[self.rank::self.world] for item in unit]
        batch = collate(mine, self.tasks, self.pad)
        batch.counts = {name: counts[name] / self.world for name in batch.rows}      # see training: average = exact mean
        return batch

    def _next_units(self):
        if self._at == len(self._queue):
            self._start, self._at = self.sampler.state_dict(), 0
            self._queue = self._draw_chunk()
        self._at += 1
        return self._queue[self._at - 1]

    def _draw_chunk(self):
        size, number = self.batch_size, self.per_chunk
        if self.in_turns:
            drawn = self.sampler.take(dict.fromkeys(self.pools, number * size))
        else:
            drawn = self.sampler.draw(number * size)
        rng = np.random.default_rng([self.seed, self.sampler.chunk])
        return (self._turns if self.in_turns else self._mixed)(drawn, rng)

    def _mixed(self, drawn, rng):
        """Every task's rows are spread evenly over the chunk, so that its batches are alike in their mix of tasks."""
        keyed, size = [], self.batch_size
        for name in self.pools:
            rows = self._by_length(name, drawn, rng)
            keyed += [((place + rng.random()) / len(rows), row) for place, row in enumerate(rows)]
        keyed.sort(key=lambda pair: pair[0])
        units = [unit for _, unit in keyed]
        return [units[b * size:(b + 1) * size] for b in rng.permutation(self.per_chunk)]

    def _turns(self, drawn, rng):
        """Rounds in which each task has one batch, in a new order each."""
        piles, size = {}, self.batch_size
        for name in self.pools:
            rows = self._by_length(name, drawn, rng)
            piles[name] = [rows[b * size:(b + 1) * size] for b in rng.permutation(self.per_chunk)]
        return [piles[name].pop() for _ in range(self.per_chunk) for name in rng.permutation(list(piles))]

    def _by_length(self, name, drawn, rng):
        """The drawn rows of a task, sorted by length, ties in random order."""
        rows = [self.pools[name][i] for task, i in drawn if task == name]
        return [rows[i] for i in np.lexsort((rng.random(len(rows)), [len(row[0][1].ids) for row in rows]))]

    def state_dict(self) -> dict:
        return {"sampler": self._start, "at": self._at}

    def load_state_dict(self, state: dict) -> None:
        self.sampler.load_state_dict(state["sampler"])
        self._start, self._at, self._queue = self.sampler.state_dict(), 0, []
        for _ in range(state["at"]):
            self._next_units()


def _join(encoded):
    """One pool of texts, each with every label that any task gives it."""
    units = {}
    for name, rows in encoded.items():
        for row in rows:
            units.setdefault(tuple(row.ids), {})[name] = row
    return {"all tasks": [list(unit.items()) for unit in units.values()]}


def eval_batches(task: Task, rows: list[dict], tokenizer, batch_size: int = 256, max_length: int | None = None):
    """Batches of unlabelled rows of one task, sorted by length: yields (row numbers, encoded rows, Batch)."""
    encoded = encode(task, rows, tokenizer, max_length, labelled=False)
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].ids))
    for at in range(0, len(order), batch_size):
        numbers = order[at:at + batch_size]
        chosen = [encoded[i] for i in numbers]
        yield numbers, chosen, collate([(task.name, row) for row in chosen], {task.name: task}, tokenizer.pad_token_id)
