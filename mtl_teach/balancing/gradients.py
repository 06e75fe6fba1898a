"""Which way the shared weights go when tasks pull apart: from the tasks' gradients to one direction.

    J (K, P)       a row per task: the gradient of its loss with respect to the P shared weights
    G = J Jᵀ       (K, K): norms on the diagonal, conflicts where an entry is negative
    d = Jᵀ α       the direction taken instead of the sum; every method is a rule for α that needs only G

    method = PCGrad()
    method(grads)                  # (K, P) -> (P,)
    method.weights(gram)           # (K, K) -> α (K,)

The rules stand in projecting.py and combining.py. "Identical" in a docstring says what a method makes of K gradients that
are all g. That scale acts on the shared weights alone, like a rate of their own; AdamW hardly notices it, plain SGD does.
"""

from __future__ import annotations

import numpy as np
import torch

from ..tasks import TaskError


class GradientMethod:
    """Base class: a subclass writes `solve`, from the Gramian to the weights."""

    arguments: tuple[str, ...] = ()

    def start(self, tasks, *, seed: int = 0) -> GradientMethod:
        """Begin a run over these tasks, forgetting any earlier one."""
        self.tasks = list(tasks)
        self.begin(len(self.tasks), seed)
        return self

    def begin(self, count: int, seed: int) -> None:
        """Set up what a subclass remembers."""

    def solve(self, gram: np.ndarray, at: list[int]) -> np.ndarray:
        """gram (k, k) float64 of the tasks in this batch, `at` their places among all K tasks -> weights (k,)."""
        raise NotImplementedError

    def weights(self, gram, at: list[int] | None = None) -> torch.Tensor:
        """The Gramian (k, k) -> α (k,), float64. Where all gradients are zero, α is 1."""
        gram = torch.as_tensor(gram).detach().double().cpu().numpy()
        if not np.isfinite(gram).all():
            raise TaskError(f"gradients that are not finite, in rows {np.flatnonzero(~np.isfinite(np.diag(gram))).tolist()}.")
        if not np.diag(gram).any():
            return torch.ones(len(gram), dtype=torch.float64)
        if not hasattr(self, "tasks") or (at is None and len(self.tasks) != len(gram)):
            self.start(range(len(gram)))
        return torch.from_numpy(self.solve(gram, list(range(len(gram))) if at is None else at))

    def direction(self, grads: torch.Tensor, gram: torch.Tensor, at: list[int]):
        """grads (k, P) and their Gramian -> the direction (P,) and α (k,), None where a method has no weights."""
        weights = self.weights(gram, at)
        return torch.mv(grads.T, weights.to(grads)), weights

    def __call__(self, grads: torch.Tensor) -> torch.Tensor:
        """grads (K, P) -> direction (P,)"""
        return self.direction(grads, gramian(grads), list(range(len(grads))))[0]

    def settings(self) -> dict:
        return {"name": type(self).__name__, **{key: getattr(self, key) for key in self.arguments}}

    def remembered(self) -> dict:
        return {}

    def recall(self, state: dict) -> None:
        pass

    def state_dict(self) -> dict:
        return {"tasks": self.tasks, **self.remembered()}

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict()`; the state of other tasks is a TaskError, and nothing changes."""
        if list(state["tasks"]) != list(self.tasks):
            raise TaskError(f"the saved gradient method belongs to the tasks {state['tasks']}, this run has {self.tasks}.")
        self.recall(state)

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{key}={getattr(self, key)!r}' for key in self.arguments)})"


def gramian(grads: torch.Tensor, piece: int = 2**16) -> torch.Tensor:
    """(K, P) -> (K, K) float64 on the CPU.

    Small models get every digit: with few weights gradients may nearly cancel, and a method must see how nearly. On a CPU,
    pieces that stay in the cache are up to twice as fast as one product.
    """
    if grads.size(1) <= piece:
        grads = grads.double()
    if grads.device.type != "cpu":
        return (grads @ grads.T).double().cpu()
    return sum((part @ part.T).double() for part in grads.split(piece, dim=1))


class SumOfGradients(GradientMethod):
    """α = 1: what equal weighting does, by a pass per task. For comparisons, and to watch gradients without changing them."""

    def solve(self, gram, at):
        return np.ones(len(gram))


class External(GradientMethod):
    """Any function of the matrix of gradients, (k, P) -> (P,): an aggregator of torchjd, or one of your own.

    `fit(gradients=torchjd.aggregation.ConFIG())` wraps it for you. What the function remembers between steps is not
    part of a checkpoint.
    """

    def __init__(self, function):
        self.function = function

    def direction(self, grads, gram, at):
        found = self.function(grads)
        if not isinstance(found, torch.Tensor) or found.shape != grads.shape[1:]:
            shape = tuple(getattr(found, "shape", ())) or type(found).__name__
            raise TaskError(f"{self.function!r} must turn gradients of shape {tuple(grads.shape)} into one of shape "
                            f"{tuple(grads.shape[1:])}; it returned {shape}.")
        return found.detach(), None

    def settings(self):
        return {"name": type(self).__name__, "function": repr(self.function).split(" at 0x")[0]}

    def __repr__(self):
        return f"External({self.function!r})"
