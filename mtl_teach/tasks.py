"""What a task is, and where its rows live.

A `Task` says what is to be predicted; `TaskData` adds the rows; a `TaskSet` is what a model trains on.
Rows stay plain dictionaries that a learner can print. Which fields a row has depends on the kind of task:

    kind         input                    "label"                              head predicts
    classify     text [, text_b]          one of task.labels                   (n, C) logits
    multilabel   text [, text_b]          list of names from task.labels       (n, C) logits
    regress      text [, text_b]          a number                             (n,) values
    tag          tokens [, text]          a list of BIO tags, one per token    (n, T, C) logits
    span         text (question), text_b  [start, end) characters of text_b    (n, T, 2) logits
    generate     text (prompt)            the text to write                    (n, T, V) logits

A tag row may keep the text its tokens were cut from; without it the tokens are joined by spaces.
"""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, field, replace

KINDS = ("classify", "multilabel", "regress", "tag", "span", "generate")
SPLITS = ("train", "validation", "test")
METRICS = {                       # the first one is the default of the kind; all of them: higher is better
    "classify": ("accuracy", "macro_f1", "mcc"),
    "multilabel": ("micro_f1", "macro_f1", "exact_match"),
    "regress": ("pearson", "spearman"),
    "tag": ("entity_f1", "token_accuracy"),
    "span": ("span_f1", "exact_match"),
    "generate": ("token_accuracy",),
}


class TaskError(ValueError):
    """Data or a task description that cannot be used; the message says what to do about it."""


def nearest(name: str, known) -> str:
    """' Did you mean ...? Known: ...' for the error message about an unknown name."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    guess = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"{guess} Known: {', '.join(known)}."


@dataclass(frozen=True)
class Task:
    """One thing to predict.

    name     how the task is called everywhere: in rows, losses, tables
    kind     one of KINDS; it decides the head, the loss and the metrics
    labels   class names (classify, multilabel) or BIO tags (tag), in the order of the logits
    metric   the main metric; empty means the kind's default in METRICS
    pair     whether the input is two texts, `text` and `text_b`
    ceiling  the best expected value of `metric` that any model can reach, where that is known
    """

    name: str
    kind: str
    labels: tuple[str, ...] = ()
    metric: str = ""
    pair: bool = False
    ceiling: float | None = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise TaskError(f"task {self.name!r}: unknown kind {self.kind!r}.{nearest(self.kind, KINDS)}")
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "metric", self.metric or METRICS[self.kind][0])
        if self.metric not in METRICS[self.kind]:
            raise TaskError(f"task {self.name!r}: unknown metric {self.metric!r} for the kind "
                            f"{self.kind!r}.{nearest(self.metric, METRICS[self.kind])}")
        if self.kind in ("classify", "multilabel", "tag") and len(self.labels) < 2 - (self.kind == "multilabel"):
            raise TaskError(f"task {self.name!r}: {self.kind} needs at least two labels, got {list(self.labels)}.")
        if len(set(self.labels)) != len(self.labels):
            raise TaskError(f"task {self.name!r}: a label stands twice in {list(self.labels)}.")

    @property
    def outputs(self) -> int:
        """How many numbers the head predicts per row or token (0 for generate: the vocabulary decides)."""
        return {"regress": 1, "span": 2, "generate": 0}.get(self.kind, len(self.labels))

    def index(self, label: str) -> int:
        """The position of a label in the logits; an unknown label is a TaskError."""
        try:
            return self.labels.index(label)
        except ValueError:
            raise TaskError(f"task {self.name!r}: unknown label {label!r}.{nearest(label, self.labels)}") from None

    def to_dict(self) -> dict:
        return asdict(self) | {"labels": list(self.labels)}

    @classmethod
    def from_dict(cls, facts: dict) -> Task:
        return cls(**facts)


@dataclass
class TaskData:
    """A task with its rows, one list of dictionaries per split."""

    task: Task
    train: list[dict] = field(default_factory=list)
    validation: list[dict] = field(default_factory=list)
    test: list[dict] = field(default_factory=list)

    def split(self, name: str) -> list[dict]:
        if name not in SPLITS:
            raise TaskError(f"unknown split {name!r}.{nearest(name, SPLITS)}")
        return getattr(self, name)


class TaskSet(dict):
    """Tasks by name: `tasks["topic"].train[0]` is the first training row of the task "topic".

    notes  what loading decided for you: rows set aside, columns left out
    """

    notes: tuple[str, ...] | list[str] = ()

    def _with(self, data: dict) -> TaskSet:
        new = TaskSet(data)
        new.notes = self.notes
        return new

    def __missing__(self, name):
        raise TaskError(f"unknown task {name!r}.{nearest(name, self)}")

    @property
    def specs(self) -> dict[str, Task]:
        """The task descriptions alone: what a model is built from and saved with."""
        return {name: data.task for name, data in self.items()}

    def only(self, *names: str) -> TaskSet:
        """The same rows, fewer tasks."""
        return self._with({name: self[name] for name in names})

    def limit(self, **train: int) -> TaskSet:
        """The same tasks with fewer training rows: `tasks.limit(sentiment=100)`."""
        return self._with(self | {name: replace(self[name], train=self[name].train[:n]) for name, n in train.items()})

    def table(self):
        """One row per task (a pandas DataFrame): kind, number of labels, rows per split, metric, ceiling."""
        import pandas as pd
        rows = [{"task": name, "kind": data.task.kind + (" (pair)" if data.task.pair else ""),
                 "labels": len(data.task.labels) or "", **{split: len(data.split(split)) for split in SPLITS},
                 "metric": data.task.metric, "ceiling": "" if data.task.ceiling is None else data.task.ceiling}
                for name, data in self.items()]
        return pd.DataFrame(rows).set_index("task")

    def __repr__(self):
        return self.table().to_string() if self else "TaskSet()"

    def _repr_html_(self):
        return self.table().to_html() if self else "TaskSet()"


def as_specs(tasks) -> dict[str, Task]:
    """Task descriptions by name from a TaskSet, a dict of Task, or a list of Task."""
    if isinstance(tasks, TaskSet):
        specs = tasks.specs
    elif isinstance(tasks, dict):
        specs = {name: getattr(task, "task", task) for name, task in tasks.items()}
    else:
        specs = {task.name: task for task in tasks}
    if not specs or not all(isinstance(task, Task) for task in specs.values()):
        raise TaskError("expected tasks: the result of mt.load_tasks(...), or Task objects.")
    return specs
