"""How a step gets its gradients: one pass over the mixed batch, or one pass per task over the task's own rows.

Equal weights and all weightings need the sum of the gradients only: one forward and one backward pass (MixedPass).
Gradient methods need each task's gradient apart (TaskPasses). Texts carry labels of one task as a rule, so K passes over
the tasks' own rows do the arithmetic of one pass over the batch. K backward passes from one mixed forward pass would each
walk the whole batch. One after the other, the passes also need less memory: the activations of one task at a time.

Both: losses(batch) -> {task: loss}, penalty; then backward({task: weight}) leaves gradients in `.grad`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import torch

from ..tasks import TaskError
from .gradients import gramian


class MixedPass:
    """One forward pass of all rows, one backward pass of the weighted sum. Several processes: the losses of this one's rows."""

    def __init__(self, run):
        self.run, self.layer, self.dice = run, None, None

    def losses(self, batch):
        """Losses that carry their graph, and the model's penalty."""
        self.batch = batch.to(self.run.accelerator.device)
        self.dice = dice() if self.run.weighting.asks_after else None
        with self.run.accelerator.autocast():
            outputs, self.penalty = self.run.model(self.batch)
        self.found = {name: out.loss for name, out in outputs.items()}
        return self.found, self.penalty

    def backward(self, weights) -> None:
        total = sum(weights[name] * loss for name, loss in self.found.items()) + self.penalty
        self.run.accelerator.backward(total)

    def norms(self, names) -> dict:
        """|∇_W L_k| of each task at the last matrix W that all of them share; the graph stays."""
        matrices = shared_matrices(self.run.plain)
        if self.layer is None:
            grads = [torch.autograd.grad(loss, matrices, retain_graph=True, allow_unused=True) for loss in self.found.values()]
            self.layer = last_reached([[g is not None for g in row] for row in grads])
        matrix = matrices[self.layer]
        grads = matrix.new_zeros(len(names), *matrix.shape)
        for k, name in enumerate(names):
            if name in self.found:
                found = torch.autograd.grad(self.found[name], matrix, retain_graph=True, allow_unused=True)[0]
                grads[k] = 0 if found is None else found
        if self.run.accelerator.num_processes > 1:
            grads = self.run.accelerator.reduce(grads, "mean")
        return dict(zip(names, grads.flatten(1).norm(dim=1)))

    @torch.no_grad()
    def again(self):
        """The losses of the same batch with the weights as they are now, with the same dropout."""
        with rolled(self.dice), self.run.accelerator.autocast():
            return {name: out.loss for name, out in self.run.plain(self.batch).items()}


class TaskPasses:
    """A forward and a backward pass per task, and a method that makes one direction of the tasks' gradients.

    Shared weights get the method's direction. All others (heads) get the weighted sum of what the tasks send them,
    which for a head is its own task's gradient. Weights that no task reaches keep `.grad` None.
    """

    def __init__(self, run):
        self.run, self.method, self.layer = run, run.method, None
        self.shared = [p for p in dict.fromkeys(run.plain.shared_parameters()) if p.requires_grad]
        known = set(map(id, self.shared))
        self.own = [p for p in run.plain.parameters() if p.requires_grad and id(p) not in known]
        self.sizes = [p.numel() for p in self.shared]
        self.grads = torch.zeros(len(run.names), sum(self.sizes), device=run.accelerator.device)            # (K, P)

    def losses(self, batch):
        """Detached losses and penalty; the tasks' gradients are in `self.grads`, a row each."""
        self.dice, self.parts = dice() if self.run.weighting.asks_after else None, self._parts(batch)
        losses, self.reached, self.others = {}, [], {}
        for name, loss, more in self._each():
            found = torch.autograd.grad(loss, [*self.shared, *self.own], allow_unused=True, retain_graph=more)
            shared, self.others[name] = found[:len(self.shared)], found[len(self.shared):]
            self._write(self.grads[len(losses)], shared)
            self.reached.append([g is not None for g in shared])
            losses[name] = loss.detach()
        self.names = list(losses)
        if self.run.accelerator.num_processes > 1:
            losses = self._over_processes(losses)
        self.pull, penalty = self._penalty()
        return losses, penalty

    def _parts(self, batch):
        """{task: its rows as a batch}, or the whole batch once where most texts have labels of several tasks.

        A forward and a backward pass over r rows cost about 3r: 3 Σ n_k against B + 2 K B.
        """
        rows = sum(len(own) for own in batch.rows.values())
        if 3 * rows > (1 + 2 * len(batch.rows)) * len(batch):
            return batch.to(self.run.accelerator.device)
        return {name: trim(batch.only(name), self.run.plain.tasks).to(self.run.accelerator.device)
                for name in self.run.names if name in batch.rows}

    def _each(self):
        """(task, loss with its graph, whether the graph is needed again), task after task, in the order of the task set: a
        random order of projections must not depend on how rows are dealt to batches and processes."""
        if isinstance(self.parts, dict):
            for name, part in self.parts.items():
                with self.run.accelerator.autocast():
                    loss = self.run.plain(part)[name].loss
                yield name, loss, False
        else:
            with self.run.accelerator.autocast():
                outputs = self.run.plain(self.parts)
            present = [name for name in self.run.names if name in outputs]
            for name in present:
                yield name, outputs[name].loss, name != present[-1]

    def _write(self, row, found):
        """One task's gradients, None for weights it does not reach, side by side into row (P,)."""
        torch.cat([p.new_zeros(p.numel()) if g is None else g.flatten() for p, g in zip(self.shared, found)], out=row)

    def _penalty(self):
        with self.run.accelerator.autocast():
            penalty = self.run.plain.penalty()
        if not isinstance(penalty, torch.Tensor) or not penalty.requires_grad:
            return None, penalty
        return torch.autograd.grad(penalty, [*self.shared, *self.own], allow_unused=True), penalty.detach()

    def norms(self, names):
        """|∇_W L_k| of each task at the last matrix W that all of them share."""
        if self.layer is None:
            matrix = [p.ndim > 1 for p in self.shared]
            self.layer = last_reached([[a and b for a, b in zip(matrix, row)] for row in self.reached])
        begin = sum(self.sizes[:self.layer])
        return dict(zip(self.names, self.grads[:len(self.names), begin:begin + self.sizes[self.layer]].norm(dim=1)))

    def _over_processes(self, losses):
        """Processes hold shares of one batch: the means of their losses and gradients are those of the whole batch.

        One row per task, also for tasks of which this process has no rows: [P shared, P own, 1 per reached weight, loss, 1].
        """
        here, count = list(losses), len(self.shared)
        row = self.grads.new_zeros(len(self.run.names), sum(self.sizes) + sum(self._tail_sizes()) + 1)
        for k, name in enumerate(here):
            own = [p.new_zeros(p.numel()) if g is None else g.flatten() for p, g in zip(self.own, self.others[name])]
            flags = row.new_tensor([*self.reached[k], *(g is not None for g in self.others[name])])
            row[self.run.names.index(name)] = torch.cat([self.grads[k], *own, flags, losses[name][None], row.new_ones(1)])
        row = self.run.accelerator.reduce(row, "mean")
        there = row[:, -1] > 0
        self.names = [name for name, present in zip(self.run.names, there.tolist()) if present]
        shared, own, flags, loss = row[there, :-1].split([sum(self.sizes), *self._tail_sizes()], dim=1)
        self.grads[:len(self.names)] = shared
        self.reached = (flags[:, :count] > 0).tolist()
        self.others = {name: [part.view_as(p) if flag else None for p, part, flag in
                              zip(self.own, mine.split([p.numel() for p in self.own]), (marks[count:] > 0).tolist())]
                       for name, mine, marks in zip(self.names, own, flags)}
        return dict(zip(self.names, loss[:, 0]))

    def _tail_sizes(self):
        return [sum(p.numel() for p in self.own), len(self.shared) + len(self.own), 1]

    def backward(self, weights) -> dict | None:
        """Leaves gradients in `.grad`; returns {task: weight of its gradient}, None if the method has no weights."""
        grads = self.grads[:len(self.names)]                                                                 # (k, P)
        scale = torch.as_tensor([float(weights[name]) for name in self.names], dtype=grads.dtype)
        if (scale != 1).any():
            grads.mul_(scale.to(grads.device)[:, None])
        gram = gramian(grads)
        self.run.stop_if_not_finite([name for name, x in zip(self.names, gram.diagonal()) if not x.isfinite()], "gradient")
        direction, mix = self.method.direction(grads, gram, [self.run.names.index(name) for name in self.names])
        self._hand_out(direction, weights)
        return None if mix is None else dict(zip(self.names, (mix * scale.double()).tolist()))

    def _hand_out(self, direction, weights):
        reached = [any(row[i] for row in self.reached) for i in range(len(self.shared))]
        for p, part, there in zip(self.shared, direction.split(self.sizes), reached):
            p.grad = part.view_as(p).to(p.dtype) if there else None
        for i, p in enumerate(self.own):
            parts = [weights[name] * found[i] for name, found in self.others.items() if found[i] is not None]
            p.grad = sum(parts[1:], parts[0]) if parts else None
        for p, g in zip([*self.shared, *self.own], self.pull or ()):
            if g is not None:
                p.grad = g if p.grad is None else p.grad + g

    @torch.no_grad()
    def again(self):
        with rolled(self.dice):
            return {name: loss for name, loss, _ in self._each()}


def shared_matrices(model):
    """The weight matrices that tasks share, in the order in which the model lists them (from low to high layers)."""
    return [p for p in dict.fromkeys(model.shared_parameters()) if p.requires_grad and p.ndim > 1]


def last_reached(reached) -> int:
    """reached: for each task a list of bools, one per weight -> the number of the last weight that all tasks reach."""
    common = [i for i, flags in enumerate(zip(*reached)) if all(flags)]
    if not common:
        raise TaskError("GradNorm compares the tasks' gradients at a weight matrix that all of them share; there is none.")
    return common[-1]


def trim(batch, tasks):
    """The batch without columns at its end that hold only padding."""
    width = int(batch.attention_mask.any(0).nonzero()[-1]) + 1
    if width == batch.input_ids.size(1):
        return batch
    labels = {name: labels[:, :width] if tasks[name].kind in ("tag", "generate") else labels
              for name, labels in batch.labels.items()}
    return replace(batch, input_ids=batch.input_ids[:, :width], attention_mask=batch.attention_mask[:, :width], labels=labels)


def dice():
    """The state of the generators that dropout draws from."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


@contextmanager
def rolled(states):
    """Draw again what was drawn from these states on, and go on afterwards as if nothing had been drawn."""
    now = dice()
    torch.set_rng_state(states[0])
    if states[1]:
        torch.cuda.set_rng_state_all(states[1])
    try:
        yield
    finally:
        torch.set_rng_state(now[0])
        if now[1]:
            torch.cuda.set_rng_state_all(now[1])
