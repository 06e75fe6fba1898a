"""How much each task's loss counts: weights from fixed numbers, from the losses so far, or from chance.

A Weighting turns the losses of a step into one weight per task; `fit` backpropagates  sum over tasks of w_k L_k.
The weights are constants of that step: no gradient flows through them. Weightings that learn stand in learned.py.

    weighting = DWA().start(tasks, epoch=60)
    weights = weighting(losses)           # {task: weight} for the tasks of this batch
    ...                                   # backward pass, optimizer step
    weighting.learn(losses)               # what it remembers for the next step

The scale of the weights acts like a learning rate: AdamW hardly notices it, plain SGD does. It is named in each class.
"""

from __future__ import annotations

import torch

from ..tasks import Task, TaskError, as_specs, nearest

TINY = 1e-8                                           # added to losses whose logarithm is taken


class Weighting:
    """Base class: equal weights unless `weigh` says otherwise.

    adaptive   whether the weights depend on the losses of earlier or present steps (if not, `fit` asks for them once)
    asks_norms whether `learn` wants the norms of the tasks' gradients at the last shared layer
    asks_after whether `learn` wants the losses of the same batch after the step (a second forward pass)
    """

    adaptive, asks_norms, asks_after = False, False, False

    def start(self, tasks, *, epoch: int = 100, seed: int = 0, device="cpu") -> Weighting:
        """Begin a run over these tasks (a TaskSet, or {name: Task}), forgetting any earlier one.

        epoch: steps in one pass over the training rows
        """
        self.tasks: dict[str, Task] = as_specs(tasks)
        self.epoch, self.seed, self.device = epoch, seed, torch.device(device)
        self.begin()
        return self

    def begin(self) -> None:
        """Set up what a subclass remembers."""

    def __call__(self, losses: dict[str, torch.Tensor]) -> dict:
        """Losses (scalars) of the tasks in this batch -> their weights, numbers or scalars without a gradient."""
        if not self.adaptive:
            return {name: self.fixed(name) for name in losses}
        names, values = self.vector(losses)
        return dict(zip(names, self.weigh(values, self.places(names)).unbind()))

    def fixed(self, name: str) -> float:
        return 1.0

    def weigh(self, losses: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """losses (k,) of the tasks in this batch, at (k,): their places among all K tasks -> weights (k,)."""
        raise NotImplementedError

    def constant(self, names) -> torch.Tensor | float:
        """What the objective holds beside the weighted losses; it does not depend on the model."""
        return 0.0

    def learn(self, losses: dict, norms: dict | None = None, after: dict | None = None) -> None:
        """Called after each step, with what `asks_norms` and `asks_after` asked for."""

    # ---- helpers ------------------------------------------------------------------------------------------------

    def vector(self, losses):
        """{task: scalar} -> names and a detached float vector (k,) on the weighting's device."""
        return list(losses), torch.stack([torch.as_tensor(x).detach().float().to(self.device) for x in losses.values()])

    def places(self, names):
        every = list(self.tasks)
        return torch.tensor([every.index(name) for name in names], device=self.device)

    # ---- checkpoints --------------------------------------------------------------------------------------------

    def settings(self) -> dict:
        """What a checkpoint compares: the class and its arguments."""
        return {"name": type(self).__name__, **{key: value for key, value in vars(self).items() if key in self.arguments}}

    arguments: tuple[str, ...] = ()

    def remembered(self) -> dict:
        return {}

    def recall(self, state: dict) -> None:
        pass

    def state_dict(self) -> dict:
        return {"tasks": list(self.tasks), **self.remembered()}

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict()`; the state of other tasks is a TaskError, and nothing changes."""
        if state["tasks"] != list(self.tasks):
            raise TaskError(f"the saved weights belong to the tasks {state['tasks']}, this run has {list(self.tasks)}. "
                            "Start with new weights, or with the same tasks in the same order.")
        self.recall(state)

    def __repr__(self):
        options = ", ".join(f"{key}={value!r}" for key, value in self.settings().items() if key != "name")
        return f"{type(self).__name__}({options})"


class Equal(Weighting):
    """Every weight is 1: the sum of the losses, as in Caruana (1997). The mean would be the same at a rate K times smaller."""


class Fixed(Weighting):
    """Weights you choose: {task: weight}, 1 for a task that is not named. Tuned on validation, the baseline to beat
    (Kurin et al. 2022, Xin et al. 2022)."""

    arguments = ("weights",)

    def __init__(self, weights: dict[str, float]):
        self.weights = {name: float(weight) for name, weight in weights.items()}
        wrong = [name for name, weight in self.weights.items() if not 0 <= weight < float("inf")]
        if wrong:
            raise TaskError(f"the weight of {wrong[0]!r} is {self.weights[wrong[0]]}; weights are finite and not negative.")

    def begin(self):
        unknown = [name for name in self.weights if name not in self.tasks]
        if unknown:
            raise TaskError(f"loss_weights names an unknown task {unknown[0]!r}.{nearest(unknown[0], self.tasks)}")

    def fixed(self, name):
        return self.weights.get(name, 1.0)


class DWA(Weighting):
    """Dynamic weight average (Liu et al. 2019, eq. 7): more weight to tasks whose loss falls slowly.

        w_k = K softmax_k( r_k / T ),   r_k = L_k(t-1) / L_k(t-2)

    L_k(t) is the mean loss of epoch t: ratios of single batches would be noise. The first two epochs weigh equally.
    temperature  T, 2 in the paper; larger is closer to equal
    period       steps in an epoch; None: one pass over the training rows
    Scale: the weights of all K tasks sum to K.
    """

    adaptive = True
    arguments = ("temperature", "period")

    def __init__(self, temperature: float = 2.0, period: int | None = None):
        if temperature <= 0 or (period is not None and period < 1):
            raise TaskError(f"temperature={temperature} and period={period} must be positive.")
        self.temperature, self.period = temperature, period

    def begin(self):
        count = len(self.tasks)
        self.sums, self.seen = torch.zeros(count, device=self.device), torch.zeros(count, device=self.device)
        self.ratios = torch.ones(count, device=self.device)
        self.before = torch.full((count,), float("nan"), device=self.device)          # mean losses of the last epoch
        self.at = 0

    def weigh(self, losses, at):
        return (len(self.tasks) * (self.ratios / self.temperature).softmax(0))[at]

    def learn(self, losses, norms=None, after=None):
        names, values = self.vector(losses)
        at = self.places(names)
        self.sums[at] += values
        self.seen[at] += 1
        self.at += 1
        if self.at % (self.period or self.epoch) == 0:
            self._end_of_epoch()

    def _end_of_epoch(self):
        """A task that this epoch did not show keeps its last mean and ratio."""
        means = torch.where(self.seen > 0, self.sums / self.seen.clamp(min=1), self.before)
        known = (self.seen > 0) & self.before.isfinite()
        self.ratios = torch.where(known, means / self.before.clamp(min=TINY), self.ratios)
        self.before = means
        self.sums, self.seen = torch.zeros_like(self.sums), torch.zeros_like(self.seen)

    def remembered(self):
        return {"sums": self.sums, "seen": self.seen, "ratios": self.ratios, "before": self.before, "at": self.at}

    def recall(self, state):
        for name in ("sums", "seen", "ratios", "before"):
            setattr(self, name, state[name].to(self.device))
        self.at = state["at"]


class GeometricMean(Weighting):
    """GLS (Chennupati et al. 2019): train the geometric mean of the losses, whatever their units.

        L = (prod_k L_k)^(1/K) = exp( mean_k log L_k ),   so   w_k = L / (K L_k)

    Over the tasks of the batch; in log space, since a product of small numbers becomes 0. The scale is that of a loss.
    """

    adaptive = True

    def weigh(self, losses, at):
        logs = (losses + TINY).log()
        return (logs.mean() - logs).exp() / len(losses)


class RandomWeights(Weighting):
    """RLW (Lin et al. 2022): new random weights at every step, K softmax(z), z normal. A control: does a clever weighting
    beat chance? Scale: they sum to K (in the paper to 1), so that a weight is 1 on average, as with equal weights."""

    adaptive = True

    def begin(self):
        self.dice = torch.Generator().manual_seed(self.seed)

    def weigh(self, losses, at):
        drawn = torch.randn(len(self.tasks), generator=self.dice)
        return (len(self.tasks) * drawn.softmax(0))[at.cpu()].to(self.device)

    def remembered(self):
        return {"dice": self.dice.get_state()}

    def recall(self, state):
        self.dice.set_state(state["dice"])
