"""The linear probe: the body is frozen, its features are computed once, and the new head is solved for exactly.

A head on fixed features is a convex problem (softmax regression, least squares ...), so there is nothing to tune but
the strength of its penalty, and no step of training passes the body.
"""

from __future__ import annotations

import copy

import torch

from ..batching import collate, encode
from ..tasks import TaskError
from ..training import History

CHUNK, ITERATIONS, ENOUGH = 256, 500, 1e-7


def probe(model, tasks, replay, *, seed: int = 0, l2: float = 1.0, batch_size: int = CHUNK):
    """Fit the new heads to the frozen body's features:

        minimise over W, b    sum over rows of loss(W f(x) + b, y)  +  l2/2 · ||W||²

    l2          for three or more classes 1/C of scikit-learn's LogisticRegression; for two classes 2/C, because there
                are two rows of W where scikit-learn has one
    batch_size  texts that pass the body at a time; changes nothing but memory

    `history` has one entry for each task: the mean loss of its rows at the solution.
    """
    if l2 < 0:
        raise TaskError(f"l2={l2} must not be negative.")
    writes = [name for name, data in tasks.items() if data.task.kind == "generate"]
    if writes:
        raise TaskError(f"the task {writes[0]!r} writes text with the body's own embeddings; a probe has nothing to learn there. "
                        "Use how='fine-tune' or how='lora'.")
    model.eval()
    model.history, model.trained = History(list(tasks)), 0
    for step, (name, data) in enumerate(tasks.items(), start=1):
        head = model.head(name)
        loss = solve(head, features(model, name, data.train, batch_size), l2)
        model.history.steps.append({"step": step, "total": loss, "lr": 0.0, name: loss})
        model.trained += sum(p.numel() for p in head.parameters())
    return model


@torch.no_grad()
def features(model, name: str, rows: list[dict], batch_size: int = CHUNK) -> list[tuple]:
    """What the task's head reads of its rows: [(pooled (n, D) or hidden (n, T, D), labels, how many labels)]."""
    task, body = model.tasks[name], model.backbone
    encoded = sorted(encode(task, rows, body.tokenizer, body.max_length), key=lambda row: len(row.ids))
    found = []
    for at in range(0, len(encoded), batch_size):
        batch = collate([(name, row) for row in encoded[at:at + batch_size]], {name: task}, body.tokenizer.pad_token_id)
        batch = batch.to(model.device)
        hidden = body(batch.input_ids, batch.attention_mask)                                     # (B, T, D)
        read = hidden if model.reads_tokens(name) else body.pool(hidden, batch.attention_mask)
        found.append((read[batch.rows[name]].cpu().double(), batch.labels[name].cpu(), batch.counts[name]))
    if model.reads_tokens(name):
        return found
    reads, labels, counts = zip(*found)
    return [(torch.cat(reads), torch.cat(labels), sum(counts))]


def solve(head, chunks: list[tuple], l2: float) -> float:
    """Bring the head to the minimum, in double precision by L-BFGS; returns the mean loss there, without the penalty."""
    exact = copy.deepcopy(head).cpu().double()
    weights, total = list(exact.parameters()), sum(count for *_, count in chunks)
    chunks = [(x, y.double() if y.is_floating_point() else y) for x, y, _ in chunks]
    optimizer = torch.optim.LBFGS(weights, max_iter=ITERATIONS, tolerance_grad=ENOUGH, tolerance_change=1e-12, history_size=20,
                                  line_search_fn="strong_wolfe")

    def loss():
        return sum(exact.loss(exact(x), y) for x, y in chunks) / total

    def objective():
        optimizer.zero_grad()
        value = loss() + l2 / (2 * total) * sum(w.square().sum() for w in weights if w.ndim > 1)
        value.backward()
        return value

    optimizer.step(objective)
    head.load_state_dict(exact.state_dict())
    with torch.no_grad():
        return float(loss())
