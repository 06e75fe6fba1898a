"""Which task the next rows come from, and which rows of it.

How often a task of n training rows is drawn, p proportional to

    proportional   min(n, cap)                 T5's examples-proportional mixing if there is a cap (Raffel 2020, 3.5.2)
    temperature    min(n, cap)^(1/T)           the cap first, then the temperature; T -> infinity is uniform
    annealed       min(n, cap)^alpha           alpha falls from 1 to 0.2 over the run (Stickland & Murray 2019, 4.1)
    uniform        1
    round_robin    1, and a batch holds rows of one task only: the tasks take turns
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from .tasks import TaskError, nearest

SAMPLERS = ("proportional", "uniform", "temperature", "annealed", "round_robin")
SIZED = ("proportional", "temperature", "annealed")        # those that look at a task's size, so that a cap means something
ALPHAS = (1.0, 0.2)                                        # of "annealed": at the begin and at the end


def probabilities(sizes: dict[str, int], sampler: str = "proportional", temperature: float = 2.0, *,
                  cap: int | None = None, progress: float = 0.0) -> dict[str, float]:
    """How often each task is drawn: {task: p}, which add up to 1.

    sizes     {task: training rows}
    cap       a task counts as at most so many rows; None: as many as it has
    progress  of an annealed run, from 0 (its begin) to 1 (its end)

    A wrong name, an empty task, a temperature of 0 or less, a cap below 1 are a TaskError.
    """
    check(sizes, sampler, temperature, cap)
    begin, end = ALPHAS
    alpha = {"proportional": 1.0, "temperature": 1.0 / temperature,
             "annealed": begin + (end - begin) * min(1.0, max(0.0, progress))}.get(sampler, 0.0)
    logs = alpha * np.log([min(size, cap or size) for size in sizes.values()])
    weights = np.exp(logs - logs.max())                    # by logarithms: a low temperature would overflow
    return dict(zip(sizes, (weights / weights.sum()).tolist()))


def check(sizes, sampler, temperature=2.0, cap=None) -> None:
    """Refuse what cannot be drawn from."""
    if sampler not in SAMPLERS:
        raise TaskError(f"unknown sampler {sampler!r}.{nearest(str(sampler), (*SAMPLERS, 'joint'))}")
    empty = [name for name, size in sizes.items() if size == 0]
    if empty or not sizes:
        raise TaskError(f"nothing to draw from: no training rows in {empty or 'any task'}.")
    if not _number(temperature) or not temperature > 0:
        raise TaskError(f"temperature must be a positive number, got {temperature!r}: 1 draws in proportion to size, "
                        "a high one nearly uniformly.")
    if cap is not None and (not _number(cap) or not cap >= 1):
        raise TaskError(f"cap is the most rows that a task may count as, 1 or more; got {cap!r}.")
    if cap is not None and sampler not in SIZED:
        raise TaskError(f"cap means nothing for sampler={sampler!r}, which does not look at sizes; use it with one of "
                        f"{', '.join(map(repr, SIZED))}.")


def _number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


class TaskSampler:
    """Draws (task, row number) pairs; every task is reshuffled each time it has been seen once, and never runs dry.

    total  rows to be drawn in the whole run; "annealed" must know it, the others ignore it

    All it remembers is how much was drawn, so its state is a handful of integers and the same seed always
    gives the same sequence.
    """

    def __init__(self, sizes: dict[str, int], sampler: str = "proportional", temperature: float = 2.0, seed: int = 0, *,
                 cap: int | None = None, total: int | None = None):
        check(sizes, sampler, temperature, cap)
        if sampler == "annealed" and not total:
            raise TaskError("the annealed sampler must know how long the run is: MixedBatches(..., steps=300). "
                            "fit tells it by itself.")
        self.sizes, self.seed, self.total = dict(sizes), seed, total
        self.recipe = dict(sampler=sampler, temperature=temperature, cap=cap)
        self.chunk, self.drawn = 0, dict.fromkeys(sizes, 0)
        self._orders = {}

    @property
    def probabilities(self) -> dict[str, float]:
        """How often each task is drawn now."""
        return self._probabilities(1)

    def _probabilities(self, count):
        """For the next `count` rows. Their first are drawn at progress 0, the run's last `count` at progress 1:
        Stickland & Murray's 1 - 0.8 (e - 1)/(E - 1) with chunks for epochs. A run of one chunk stays at 1."""
        begun, last = sum(self.drawn.values()), (self.total or 0) - count
        return probabilities(self.sizes, **self.recipe, progress=begun / last if last > 0 else 0.0)

    def most(self) -> dict[str, float]:
        """The highest probability that each task will have in the run."""
        spots = np.linspace(0, 1, 17) if self.recipe["sampler"] == "annealed" else (0.0,)
        every = [probabilities(self.sizes, **self.recipe, progress=float(spot)) for spot in spots]
        return {name: max(at[name] for at in every) for name in self.sizes}

    def draw(self, count: int) -> list[tuple[str, int]]:
        """The next `count` pairs, task by task; the tasks' shares are multinomial."""
        rng = np.random.default_rng([self.seed, 0, self.chunk])
        shares = rng.multinomial(count, list(self._probabilities(count).values()))
        return self.take(dict(zip(self.sizes, map(int, shares))))

    def take(self, shares: dict[str, int]) -> list[tuple[str, int]]:
        """The next rows of each task, as many as asked for."""
        self.chunk += 1
        return [(name, row) for name, share in shares.items() for row in self._next(name, share)]

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
