"""Which task the next row comes from, and which row of it."""

from __future__ import annotations

import numpy as np

from .tasks import TaskError, nearest

SAMPLERS = ("proportional", "uniform", "temperature")


def probabilities(sizes: dict[str, int], sampler: str = "proportional", temperature: float = 2.0) -> dict[str, float]:
    """How often each task is drawn: p proportional to size^(1/T).

    proportional: T = 1; uniform: T -> infinity; temperature: T as given (T = 5 in multilingual BERT's successors,
    2 here by default). An unknown sampler or an empty task is a TaskError.
    """
    if sampler not in SAMPLERS:
        raise TaskError(f"unknown sampler {sampler!r}.{nearest(sampler, SAMPLERS)}")
    empty = [name for name, size in sizes.items() if size == 0]
    if empty or not sizes:
        raise TaskError(f"nothing to draw from: no training rows in {empty or 'any task'}.")
    if temperature <= 0:
        raise TaskError(f"temperature must be positive, got {temperature}.")
    power = {"proportional": 1.0, "uniform": 0.0, "temperature": 1.0 / temperature}[sampler]
    weights = {name: size**power for name, size in sizes.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


class TaskSampler:
    """Draws (task, row number) pairs; every task is reshuffled each time it has been seen once.

    All it remembers is how much was drawn, so its state is a handful of integers and the same seed always
    gives the same sequence.
    """

    def __init__(self, sizes: dict[str, int], sampler: str = "proportional", temperature: float = 2.0, seed: int = 0):
        self.sizes, self.seed = dict(sizes), seed
        self.probabilities = probabilities(sizes, sampler, temperature)
        self.chunk, self.drawn = 0, dict.fromkeys(sizes, 0)
        self._orders = {}

    def draw(self, count: int) -> list[tuple[str, int]]:
        """The next `count` pairs, task by task; the tasks' shares are multinomial."""
        rng = np.random.default_rng([self.seed, 0, self.chunk])
        shares = rng.multinomial(count, list(self.probabilities.values()))
        self.chunk += 1
        return [(name, row) for name, share in zip(self.sizes, shares) for row in self._next(name, int(share))]

    def _next(self, name, count):
        begin, size = self.drawn[name], self.sizes[name]
        self.drawn[name] += count
        return [int(self._order(name, at // size)[at % size]) for at in range(begin, begin + count)]

    def _order(self, name, epoch):
        if self._orders.get(name, (None,))[0] != epoch:
            number = list(self.sizes).index(name) + 1
            order = np.random.default_rng([self.seed, number, epoch]).permutation(self.sizes[name])
            self._orders[name] = (epoch, order)
        return self._orders[name][1]

    def state_dict(self) -> dict:
        return {"chunk": self.chunk, "drawn": dict(self.drawn)}

    def load_state_dict(self, state: dict) -> None:
        if set(state["drawn"]) != set(self.sizes):
            raise TaskError(f"the saved sampler draws from {sorted(state['drawn'])}, this one from {sorted(self.sizes)}.")
        self.chunk, self.drawn = state["chunk"], dict(state["drawn"])
