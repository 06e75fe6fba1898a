"""What happened in a training run, step by step, and the error of a run that had to stop."""

from __future__ import annotations

from dataclasses import dataclass, field


class TrainingError(RuntimeError):
    """Training had to stop; the message says why, and which checkpoint is good."""


@dataclass
class History:
    """What happened at each step: one dictionary per step with "step", "total", "lr", a loss per task present, and
    "weights": {task: weight}, what the task's gradient counted in the shared weights."""

    tasks: list[str]
    steps: list[dict] = field(default_factory=list)
    seconds: float = 0.0

    def frame(self):
        """A pandas DataFrame indexed by step; NaN where a task was absent from the batch."""
        import pandas as pd
        return pd.DataFrame(self.steps, columns=["step", "total", "lr", *self.tasks]).set_index("step")

    def weights(self):
        """The tasks' weights by step, a DataFrame: loss weights, times the weights of the gradient method if there is one.

        NaN where a task was absent, and for methods that do not go by weights.
        """
        import pandas as pd
        rows = [step.get("weights") or {} for step in self.steps]
        return pd.DataFrame(rows, index=pd.Index([step["step"] for step in self.steps], name="step"), columns=self.tasks,
                            dtype=float)

    def last(self, window: int = 50) -> dict[str, float]:
        """Each task's mean loss over the last `window` steps."""
        return self.frame()[self.tasks].tail(window).mean().to_dict()

    def __len__(self):
        return len(self.steps)

    def __repr__(self):
        if not self.steps:
            return "History(no steps yet)"
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in self.last().items())
        return f"History({len(self)} steps in {self.seconds:.1f} s; mean loss of the last 50: {losses})"
