"""What `compare` found: numbers with intervals, as a table, as a figure, and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .comparison_notes import notes
from .i18n import _
from .measured import Measured, decimals, delta_m
from .tasks import TaskError, nearest

AVERAGE, DELTA = "average", "Δm"


@dataclass(frozen=True)
class Scores(Mapping):
    """What one method reached on the test rows: `scores["mood"]` is a Measured, a fraction per seed.

    seconds, cpu_seconds   of training one model: by the clock, and of all processor cores (on a GPU read the clock's)
    parameters             of all tasks' models together
    chosen, tried          the setting that was used, and all that were tried; reached: the value of each on validation
    steps, in_order        of training one model, over all tasks; whether it learned one task after the other. None: not
                           known, in a file of an older version
    """

    name: str
    values: dict[str, Measured]
    seconds: Measured | None = None
    cpu_seconds: Measured | None = None
    parameters: int | None = None
    chosen: dict = field(default_factory=dict)
    tried: list[dict] = field(default_factory=list)
    reached: list[float] = field(default_factory=list)
    steps: Measured | None = None
    in_order: bool | None = None

    def __getitem__(self, task: str) -> Measured:
        if task not in self.values:
            raise TaskError(f"{self.name} was not scored on {task!r}.{nearest(task, self.values)}")
        return self.values[task]

    def __contains__(self, task) -> bool:
        return task in self.values

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)

    @property
    def average(self) -> Measured:
        """The mean over the tasks, per seed."""
        return sum(self.values.values()) / len(self.values)

    def at_edge(self) -> list[str]:
        """Names of numbers chosen at the end of three or more values: a wider grid might have found better ones."""
        found = []
        for name, value in self.chosen.items():
            values = sorted({setting[name] for setting in self.tried if isinstance(setting.get(name), (int, float))})
            if len(values) > 2 and value in (values[0], values[-1]):
                found.append(name)
        return found

    def __repr__(self):
        return f"Scores({self.name}: " + "; ".join(f"{task} {value.percent()}" for task, value in self.values.items()) + ")"


class Comparison(Mapping):
    """Scores by method: `result["HardSharing"]["mood"]`.

    baseline  the method that Δm compares with, or None
    budget    steps, batch_size, seeds, tuning_seeds: what was the same for all. Where a text trains several tasks at once
              (sampler="joint"), a method that learns one task after the other takes more steps than that
    plain     {"majority": {task: Measured}, "TF-IDF + LR": ...} where it was asked for
    trained   how many runs were trained for this result; the others were kept from before
    """

    def __init__(self, scores: dict[str, Scores], baseline: str | None, budget: dict, plain: dict | None = None,
                 trained: int = 0):
        self.scores, self.baseline, self.budget = dict(scores), baseline, budget
        self.plain, self.trained = plain or {}, trained

    def __getitem__(self, method: str) -> Scores:
        name = getattr(method, "__name__", method)
        if name not in self.scores:
            raise TaskError(f"no method {name!r} in this comparison.{nearest(name, self.scores)}")
        return self.scores[name]

    def __contains__(self, method) -> bool:
        return getattr(method, "__name__", method) in self.scores

    def __iter__(self):
        return iter(self.scores)

    def __len__(self):
        return len(self.scores)

    @property
    def tasks(self) -> list[str]:
        return list(next(iter(self.scores.values())))

    def delta_m(self, method: str) -> Measured:
        """Δm of Maninis et al. (2019, eq. 4), a fraction: the mean relative change against the baseline, above 0 is better."""
        if self.baseline is None:
            raise TaskError("no baseline was named, so there is no Δm; compare(..., baseline='SingleTask').")
        return delta_m(self[method].values, self[self.baseline].values)

    def difference(self, method: str, other: str, task: str = AVERAGE) -> Measured:
        """How much better a method is than another, seed by seed: on one task, on "average" over them, or in "Δm"."""
        if task == DELTA:
            return self.delta_m(method) - self.delta_m(other)
        mine, theirs = ((s.average if task == AVERAGE else s[task]) for s in (self[method], self[other]))
        return mine - theirs

    def best(self, task: str = AVERAGE) -> list[str]:
        """The method with the highest mean, and after it all that are not shown to be worse.

        Shown to be worse: the paired 95 % interval of the difference to the best lies above 0.
        """
        first = max(self, key=lambda name: (self[name].average if task == AVERAGE else self[name][task]).mean)
        rest = [name for name in self if name != first and not self.difference(first, name, task).low > 0]
        return [first, *rest]

    def table(self):
        """A pandas DataFrame, a row per method: mean, low and high of each task, of their average and of Δm (fractions),
        then what it cost and which setting was chosen among how many."""
        import pandas as pd
        rows = {}
        for name in [*self, *self.plain]:
            columns = self._columns(name)
            row = {(what, end): getattr(value, end) for what, value in columns.items() for end in ("mean", "low", "high")}
            if name in self.scores:
                mine = self[name]
                row |= {("cost", "seconds"): mine.seconds.mean, ("cost", "cpu_seconds"): mine.cpu_seconds.mean,
                        ("cost", "parameters"): mine.parameters, ("tuning", "trials"): len(mine.tried),
                        ("tuning", "chosen"): said(mine.chosen)}
            rows[name] = row
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
        table.columns = pd.MultiIndex.from_tuples(table.columns)
        return table.astype({column: "Int64" for column in table.columns if column[1] in ("parameters", "trials")})

    def _columns(self, name) -> dict[str, Measured]:
        """{task, "average" or "Δm": value} of a method or a plain baseline, as far as it has them."""
        if name in self.plain:
            return self.plain[name]
        found = {**self[name].values, AVERAGE: self[name].average}
        if self.baseline:
            try:
                found[DELTA] = self.delta_m(name)
            except ValueError:
                pass                                               # see notes
        return found

    def summary(self):
        """The table as texts, in points of per cent: '96.6 ± 3.7'."""
        import pandas as pd
        rows = {}
        for name in [*self, *self.plain]:
            row = {f"{what} (%)": short(value.percent()) for what, value in self._columns(name).items()}
            if name in self.scores:
                mine = self[name]
                row |= {_("seconds"): f"{mine.cpu_seconds.mean:.2g}", _("parameters"): f"{mine.parameters:,}",
                        _("chosen"): said(mine.chosen)}
            rows[name] = row
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(_("method")).fillna("")

    @property
    def notes(self) -> list[str]:
        """What a reader must know beside the numbers."""
        return notes(self)

    def plot(self, *, tasks: list[str] | None = None, alt: str = ""):
        """A Picture: a panel per task and one for Δm; in each a point per method with its interval."""
        from .comparison_figure import points
        shown = tasks or [*self.tasks, *([DELTA] if self.baseline else [])]
        panels = {what: {name: columns[what].percent() for name in [*self, *self.plain]
                         if what in (columns := self._columns(name))} for what in shown}
        return points({f"{what} (%)": values for what, values in panels.items() if values}, alt=alt)

    def __repr__(self):
        return "\n".join([self.summary().to_string(), *self.notes])

    def _repr_html_(self):
        from html import escape
        return self.summary().to_html() + "".join(f"<p><small>{escape(note)}</small></p>" for note in self.notes)

    # ---- as a file ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict:
        """Everything as numbers, texts, lists and dictionaries."""
        return {"baseline": self.baseline, "budget": self.budget,
                "plain": {name: {task: asdict(value) for task, value in values.items()} for name, values in self.plain.items()},
                "scores": {name: asdict(mine) for name, mine in self.scores.items()}}

    @classmethod
    def from_dict(cls, facts: dict) -> Comparison:
        scores = {name: Scores(**{**mine, "values": {task: _measured(v) for task, v in mine["values"].items()},
                                  **{key: _measured(mine[key]) for key in ("seconds", "cpu_seconds", "steps") if mine.get(key)}})
                  for name, mine in facts["scores"].items()}
        plain = {name: {task: _measured(v) for task, v in values.items()} for name, values in facts["plain"].items()}
        return cls(scores, facts["baseline"], facts["budget"], plain)

    def save(self, file) -> Path:
        """Write everything to a JSON file."""
        Path(file).write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False), encoding="utf-8")
        return Path(file)

    @classmethod
    def load(cls, file) -> Comparison:
        return cls.from_dict(json.loads(Path(file).read_text(encoding="utf-8")))


def _measured(facts) -> Measured:
    return Measured(**{**facts, "by_seed": {int(seed): value for seed, value in facts["by_seed"].items()}})


def short(value: Measured) -> str:
    """'96.6 ± 3.7'; without an interval '96.6'."""
    sign = "+" if value.signed else ""
    if value.n == 1:
        return f"{value.mean:{sign}.1f}"
    digits = decimals(value.margin, value.mean)
    return f"{value.mean:{sign}.{digits}f} ± {value.margin:.{digits}f}"


def said(setting: dict) -> str:
    """'lr=0.003, strength=0.1'"""
    return ", ".join(f"{name}={value}" for name, value in setting.items())
