"""Instruments for the shared weights: what each task's gradient wants, whether tasks pull apart, who helps whom.

    watch = mt.GradientWatch(every=10)          or mt.AffinityWatch()
    mt.fit(model, tasks, watch=watch)           looks at some of the steps; training goes as if nobody looked, bit for bit
    watch.cosines(), watch.conflict_rate()      pandas tables
    watch.see(model, batch)                     or on a batch of your own

A look works in eval mode (no dropout), leaves `.grad` and the random generators alone, and takes each task's gradient on
the task's own rows: K passes over parts of the batch cost what one pass over the batch costs.
"""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from .tasks import TaskError

BUDGET = 0.04                               # of the training time, which a watch may take if `every` is not given


def task_gradients(model, batch, parameters=None, *, autocast=nullcontext):
    """Each task's loss (K,) and gradient (K, P) on its own rows of a batch, tasks in the order of `model.tasks`.

    parameters  what to differentiate by; None: all that `model.shared_parameters()` names
    K copies of these weights are needed. A task that is not in the batch has loss NaN and gradient 0.
    """
    parameters = shared(model) if parameters is None else list(parameters)
    losses = torch.full((len(model.tasks),), math.nan, device=parameters[0].device)
    grads = torch.zeros(len(model.tasks), sum(p.numel() for p in parameters), device=parameters[0].device)
    with quiet(model):
        for name, loss, again in _losses(model, batch, autocast):
            k = list(model.tasks).index(name)
            losses[k] = loss.detach()
            found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=again)
            torch.cat([p.new_zeros(p.numel()) if g is None else g.flatten() for p, g in zip(parameters, found)], out=grads[k])
    return _over_processes(losses), _mean(grads)


def shared(model) -> list[torch.nn.Parameter]:
    """The trainable weights that more than one task trains; none is a TaskError."""
    found = [p for p in dict.fromkeys(model.shared_parameters()) if p.requires_grad]
    if not found:
        raise TaskError(f"{type(model).__name__} has no trainable weights that several tasks share, so their gradients "
                        "never meet. Watch a model that shares a body, or name the weights: parameters=lambda model: [...].")
    return found


def _losses(model, batch, autocast):
    """(task, its loss, whether the graph is needed again). Texts with labels of several tasks pass the body once."""
    if sum(map(len, batch.rows.values())) > 1.5 * len(batch):
        with autocast():
            outputs = model(batch)
        for left, (name, out) in zip(range(len(outputs) - 1, -1, -1), outputs.items()):
            yield name, out.loss, left > 0
    else:
        for name in batch.rows:
            with autocast():
                loss = model(batch.only(name))[name].loss
            yield name, loss, False


@contextmanager
def quiet(model):
    """Eval mode inside; afterwards every module's mode and the random generators are as before."""
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def _mean(tensor):
    """The mean over all processes: losses are scaled so that this is the loss of the whole batch (see batching)."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(tensor)
        tensor = tensor / torch.distributed.get_world_size()
    return tensor


def _over_processes(losses):
    """The same for losses, which are NaN where a process has no row of the task."""
    there = _mean((~losses.isnan()).float())
    return torch.where(there > 0, _mean(losses.nan_to_num(0.0)), math.nan)


class Watch:
    """Looks at every `every`-th step. A subclass says what it looks for, and what a look costs in training steps."""

    def __init__(self, every: int | None = None, parameters=None):
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise TaskError(f"every counts training steps, 1 or more; got {every!r}. None chooses for you.")
        self.every, self.choose = every, parameters
        self.steps, self.looks, self.names = [], [], []                                 # looks: (K, K) arrays

    def begin(self, model) -> None:
        """Forget earlier runs and make sure that there is something to watch. `fit` calls it."""
        self.parameters(model)
        self.names, self.steps, self.looks = list(model.tasks), [], []
        self.pace = self.every or math.ceil(self.cost(len(self.names)) / BUDGET)

    def parameters(self, model) -> list[torch.nn.Parameter]:
        return list(self.choose(model)) if self.choose else shared(model)

    def see(self, model, batch, *, step: int | None = None, lr: float | None = None, autocast=nullcontext) -> None:
        """Look at a batch that is about to be trained on. Without a step it is looked at in any case."""
        if self.names != list(model.tasks):
            self.begin(model)
        if step is not None and (step - 1) % self.pace:
            return
        self.look(model, batch, lr, autocast)
        self.steps.append(step or len(self.steps) + 1)

    def table(self, values):
        """(K, K) values as a DataFrame."""
        import pandas as pd
        return pd.DataFrame(values, self.names, self.names)

    def need(self):
        if not self.steps:
            raise TaskError("this watch has not looked at any step yet: fit(..., watch=watch), or watch.see(model, batch).")


def mean_of(stack):
    """The mean over looks, (n, ...) -> (...), without those where a number is missing; NaN if all are."""
    stack = np.asarray(stack, dtype=float)
    count = (~np.isnan(stack)).sum(0)
    return np.where(count > 0, np.nansum(stack, 0) / np.maximum(count, 1), math.nan)


class GradientWatch(Watch):
    """The tasks' gradients at the shared weights: cosines, conflicts and norms over training.

    every       look at each so many-th step; None: so seldom that it costs about 4 % of the training
    parameters  function of the model that returns the weights to look at, e.g. the last block of a big model; None: all
                shared ones. A look keeps K copies of them for a moment.

    Two gradients conflict if their cosine is negative (Yu et al. 2020, def. 1).
    """

    def cost(self, tasks: int) -> float:
        """One more forward and backward pass; many small passes take longer than a large one."""
        return 1.0 + 0.15 * tasks

    def look(self, model, batch, lr, autocast):
        losses, grads = task_gradients(model, batch, self.parameters(model), autocast=autocast)
        gram = (grads @ grads.T).double().cpu().numpy()
        absent = losses.isnan().cpu().numpy()
        gram[absent] = gram[:, absent] = math.nan
        self.looks.append(gram)

    def all_cosines(self) -> np.ndarray:
        """(looks, K, K); NaN where a task was not in the batch or had no gradient."""
        self.need()
        grams = np.array(self.looks)                                                    # (looks, K, K) products g_i · g_j
        norms = np.sqrt(np.diagonal(grams, axis1=1, axis2=2))                           # (looks, K)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.clip(grams / (norms[:, :, None] * norms[:, None, :]), -1, 1)

    def cosines(self, last: int | None = None):
        """Mean cosine of each pair of tasks (a DataFrame), over the last so many looks or all."""
        return self.table(mean_of(self.all_cosines()[-(last or 0):]))

    def conflict_rate(self, last: int | None = None):
        """In what share of the looks each pair of tasks was in conflict (a DataFrame)."""
        found = self.all_cosines()[-(last or 0):]
        return self.table(mean_of(np.where(np.isnan(found), math.nan, found < 0)))

    def over_time(self):
        """The cosines, one column per pair of tasks, indexed by step (a DataFrame)."""
        import pandas as pd
        rows, columns = np.triu_indices(len(self.names), 1)
        names = [f"{self.names[i]} · {self.names[j]}" for i, j in zip(rows, columns)]
        return pd.DataFrame(self.all_cosines()[:, rows, columns], pd.Index(self.steps, name="step"), names)

    def norms(self):
        """The length of each task's gradient, indexed by step (a DataFrame)."""
        import pandas as pd
        self.need()
        values = np.sqrt(np.diagonal(np.array(self.looks), axis1=1, axis2=2))
        return pd.DataFrame(values, pd.Index(self.steps, name="step"), self.names)


class AffinityWatch(Watch):
    """Task affinity of TAG (Fifty et al. 2021, eq. 1): does a step for task i lower the loss of task j?

        Z[i, j] = 1 - L_j(θ_s - η ∇L_i) / L_j(θ_s)        on the same batch, with the heads as they are; above 0: i helps j

    lr  η of the lookahead step, plain gradient descent; None: the learning rate of the step that is looked at

    Not symmetric, and no cosine: gradients that are long, or a loss that bends, change it.
    """

    def __init__(self, every: int | None = None, parameters=None, lr: float | None = None):
        super().__init__(every, parameters)
        self.lr = lr

    def cost(self, tasks: int) -> float:
        """Every task's gradient, then a forward pass per task."""
        return 1.0 + (0.15 + 0.4) * tasks

    def look(self, model, batch, lr, autocast):
        rate = self.lr if self.lr is not None else lr
        if rate is None:
            raise TaskError("the lookahead step needs a learning rate: AffinityWatch(lr=1e-3), or see(model, batch, lr=1e-3).")
        parameters = self.parameters(model)
        before, grads = task_gradients(model, batch, parameters, autocast=autocast)
        after = torch.full((len(before), len(before)), math.nan, device=before.device)
        with quiet(model), torch.no_grad():
            for i in (~before.isnan()).nonzero().flatten().tolist():
                after[i] = self._lookahead(model, batch, parameters, rate * grads[i], autocast)
        ratio = torch.where(before > 0, 1 - after / before, math.nan)
        self.looks.append(ratio.double().cpu().numpy())

    def _lookahead(self, model, batch, parameters, step, autocast):
        """The losses (K,) with the shared weights moved by -step (P,). The model itself is not touched."""
        parts = {id(p): part.view_as(p) for p, part in zip(parameters, step.split([p.numel() for p in parameters]))}
        moved = {name: p - parts[id(p)] for name, p in model.named_parameters() if id(p) in parts}
        with autocast():
            outputs = torch.func.functional_call(model, moved, (batch,))
        losses = torch.full((len(self.names),), math.nan, device=step.device)
        for name, out in outputs.items():
            losses[self.names.index(name)] = out.loss
        return _over_processes(losses)

    def affinity(self, last: int | None = None):
        """Mean Z over the last so many looks or all (a DataFrame): rows help, columns are helped."""
        self.need()
        return self.table(mean_of(self.looks[-(last or 0):]))
