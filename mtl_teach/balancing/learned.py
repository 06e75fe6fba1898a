"""Weights that are learned beside the model: uncertainty weighting, GradNorm, FAMO.

Each keeps one free number per task and improves it with an Adam of its own: its own rate, constant over the run, no
warm-up, and no weight decay unless the paper has one. Model and weights never share an optimizer, because the decay
that is right for a weight matrix pulls a log-variance to the wrong place.
"""

from __future__ import annotations

import torch

from ..tasks import TaskError
from .weightings import TINY, Weighting


class Learned(Weighting):
    """One free number per task, `self.free` (K,), and an Adam for it.

    rate  its learning rate
    """

    adaptive = True
    arguments = ("rate",)
    decay = 0.0

    def __init__(self, rate: float):
        if not rate > 0:
            raise TaskError(f"rate={rate}: the weights' own learning rate must be positive; for constant weights give numbers.")
        self.rate = rate

    def first(self) -> torch.Tensor:
        """(K,) where the numbers start."""
        return torch.zeros(len(self.tasks))

    def begin(self):
        self.free = self.first().to(self.device).requires_grad_()
        self.optimizer = torch.optim.Adam([self.free], lr=self.rate, weight_decay=self.decay)

    def descend(self, slope: torch.Tensor, at: torch.Tensor) -> None:
        """One step of Adam for the tasks at these places; momentum does not move a task that is absent."""
        before = self.free.detach().clone()
        self.free.grad = torch.zeros_like(before).index_copy_(0, at, slope)
        self.optimizer.step()
        with torch.no_grad():
            before[at] = self.free[at]
            self.free.copy_(before)

    def remembered(self):
        return {"free": self.free.detach().clone(), "optimizer": self.optimizer.state_dict()}

    def recall(self, state):
        with torch.no_grad():
            self.free.copy_(state["free"])
        self.optimizer.load_state_dict(state["optimizer"])


class Uncertainty(Learned):
    """Uncertainty weighting (Kendall et al. 2018, eq. 7 and 10): a task the model is unsure about counts less.

        regression        L_k / (2 σ_k²) + log σ_k   =   ½ exp(-s_k) L_k + ½ s_k        s_k = log σ_k²
        classification    L_k /    σ_k²  + log σ_k   =     exp(-s_k) L_k + ½ s_k        (an approximation, exact at σ = 1)

    s is learned, not σ, which could become negative. At the optimum s_k = log L_k (regression) or log 2L_k, so a weight
    is about 1 / (2 L_k) for both: every task ends with the same weighted loss ½, and the sum with ½ s is negative once
    losses are small. Tasks of kind "regress" take the first form, all others, whose losses are log-likelihoods, the second.
    rate   Adam's rate for s;  start  its first value: 0 is σ = 1
    """

    arguments = ("rate", "start_at")

    def __init__(self, rate: float = 0.01, start_at: float = 0.0):
        super().__init__(rate)
        self.start_at = start_at

    def first(self):
        return torch.full((len(self.tasks),), float(self.start_at))

    def begin(self):
        super().begin()
        self.factor = torch.tensor([0.5 if task.kind == "regress" else 1.0 for task in self.tasks.values()], device=self.device)

    @property
    def log_variances(self) -> dict[str, float]:
        """{task: s_k = log σ_k²}"""
        return dict(zip(self.tasks, self.free.tolist()))

    def weigh(self, losses, at):
        return (self.factor * (-self.free.detach()).exp())[at]

    def constant(self, names):
        return 0.5 * self.free.detach()[self.places(names)].sum()

    def learn(self, losses, norms=None, after=None):
        """Descend ½s - factor · L · exp(-s); its slope in s is ½ - factor · L · exp(-s)."""
        names, values = self.vector(losses)
        at = self.places(names)
        self.descend(0.5 - self.weigh(values, at) * values, at)


class GradNorm(Learned):
    """GradNorm (Chen et al. 2018, eq. 1 and 2): weights that make the tasks train at similar speeds.

        G_k = |∇_W w_k L_k|             W: the last weight matrix that all tasks share
        r_k = (L_k / L_k(0)) / mean     how far the task still is, compared with the others
        minimise  sum_k | G_k - mean(G) r_k^α |   over w, the target held constant;   then w ← w K / sum w

    α      how hard slow tasks are pulled up: 1.5 for the paper's NYUv2, 0.12 for tasks of like size
    rate   Adam's rate for w
    L_k(0) is the loss of the first step that holds the task, and stays so. Scale: the weights sum to K.
    """

    arguments = ("rate", "alpha")
    asks_norms = True
    LEAST = 1e-3                                                                      # a weight must stay positive

    def __init__(self, alpha: float = 1.5, rate: float = 0.025):
        super().__init__(rate)
        self.alpha = alpha

    def first(self):
        return torch.ones(len(self.tasks))

    def begin(self):
        super().begin()
        self.initial = torch.full((len(self.tasks),), float("nan"), device=self.device)

    def weigh(self, losses, at):
        return self.free.detach()[at]

    def learn(self, losses, norms=None, after=None):
        """norms {task: |∇_W L_k|}, of the losses before they are weighted."""
        names, values = self.vector(losses)
        at, plain = self.places(names), self.vector({name: norms[name] for name in names})[1]
        first = self.initial[at]
        self.initial[at] = torch.where(first.isnan(), values, first)
        ratio = values / (self.initial[at] + TINY)
        size = self.free.detach()[at] * plain                                         # G_k
        target = size.mean() * (ratio / (ratio.mean() + TINY)) ** self.alpha
        self.descend((size - target).sign() * plain, at)
        with torch.no_grad():
            self.free.clamp_(min=self.LEAST)
            self.free.mul_(len(self.tasks) / self.free.sum())

    def remembered(self):
        return super().remembered() | {"initial": self.initial}

    def recall(self, state):
        super().recall(state)
        self.initial = state["initial"].to(self.device)


class FAMO(Learned):
    """FAMO (Liu et al. 2023, Alg. 1): decrease all log-losses at the same speed, from loss values alone.

        z = softmax(ξ),   w_k = c z_k / L_k,   c = 1 / sum_k (z_k / L_k)
        after the step, on the same batch:  δ_k = log L_k(before) - log L_k(after)
        ξ ← Adam( ξ, (∂z/∂ξ)ᵀ δ ): a task that fell faster than the others gets less weight

    rate   β of the paper, 0.025;  decay  γ, the pull of ξ to 0: 0.001 in the paper's algorithm
    Costs one more forward pass per step (about a third). Losses must be positive. Scale: the weights sum to 1.
    """

    arguments = ("rate", "decay")
    asks_after = True

    def __init__(self, rate: float = 0.025, decay: float = 1e-3):
        super().__init__(rate)
        self.decay = decay

    def weigh(self, losses, at):
        parts = self.free.detach()[at].softmax(0) / (losses + TINY)
        return parts / parts.sum()

    def learn(self, losses, norms=None, after=None):
        names, before = self.vector(losses)
        at, now = self.places(names), self.vector({name: after[name] for name in names})[1]
        fell = (before + TINY).log() - (now + TINY).log()                             # δ
        z = self.free.detach()[at].softmax(0)
        self.descend(z * (fell - (z * fell).sum()), at)                               # (∂z/∂ξ)ᵀ δ
