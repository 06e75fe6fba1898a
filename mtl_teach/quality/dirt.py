"""Faults planted on purpose, with a record of where they are: something to practise on, and to test checks with."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from dataclasses import dataclass, field, replace

from ..tasks import TaskData, TaskError, TaskSet, nearest
from .checks import LONG, UNEVEN, Split
from .report import Finding, Report

DAMAGES = ("leak", "leak between tasks", "contradiction", "empty text", "duplicate", "near duplicate", "debris",
           "long text", "imbalance")
DEBRIS = ("<p>{}</p>", "{}<br />", "{} &nbsp;", "{} \ufffd", "&quot;{}&quot;")


@dataclass
class _Row:
    """A training row, and what was done to it: {check: number of the planted fault}."""

    row: dict
    marks: dict[str, int] = field(default_factory=dict)


def make_dirty(tasks: TaskSet, seed: int = 0, damages=DAMAGES, share: float = 0.05) -> tuple[TaskSet, Report]:
    """Plant faults in a copy of clean tasks; returns (dirty tasks, the truth about them).

    damages  which of DAMAGES; a task gets those that fit its kind (no label to contradict: generate and span; texts
             tied to tokens or spans stay as they are)
    share    each fault concerns this part of the training rows; leaks concern this part of the test rows

    The truth is a Report: `check_quality(dirty).against(truth)` says what was found. The same seed plants the same.
    """
    unknown = [name for name in damages if name not in DAMAGES]
    if unknown:
        raise TaskError(f"unknown damage {unknown[0]!r}.{nearest(unknown[0], DAMAGES)}")
    if not 0 < share <= 0.2:
        raise TaskError(f"share={share!r}: expected a part of the rows above 0 and up to 0.2.")
    plots = {name: _Plot(name, data, f"{seed}/{name}", share) for name, data in tasks.items()}
    for damage in sorted(damages, key=lambda damage: damage != "imbalance"):     # first, while all rows are clean
        for plot in plots.values():
            plot.damage(damage, plots)
    for plot in plots.values():
        plot.random.shuffle(plot.train)
    dirty = TaskSet({name: replace(plot.data, train=[each.row for each in plot.train]) for name, plot in plots.items()})
    return dirty, Report([found for plot in plots.values() for found in plot.truth()])


class _Plot:
    """One task under damage."""

    def __init__(self, name: str, data: TaskData, key: str, share: float):
        self.name, self.data, self.random, self.share = name, data, random.Random(key), share
        self.train = [_Row(dict(row)) for row in data.train]
        self.clean = self.random.sample(self.train, len(self.train))           # rows still undamaged, in random order
        self.test = self.random.sample(range(len(data.test)), len(data.test))   # test rows not yet leaked
        self.whole: list[Finding] = []
        self.faults = 0
        self.amount = max(1, round(share * len(self.train)))

    @property
    def free(self) -> bool:
        """Whether a text may be changed: no token or span is tied to its characters."""
        return self.data.task.kind not in ("tag", "span")

    def damage(self, check: str, plots: dict[str, _Plot]) -> None:
        if check == "imbalance":
            self._thin()
        elif check == "leak":
            self._leak(self, "leak")
        elif check == "leak between tasks":
            self._leak_into_another(plots)
        elif check in ("duplicate", "near duplicate", "contradiction"):
            self._copy(check)
        elif self.free:
            for each in self._take():
                each.row = each.row | {"text": self._spoil(check, each.row["text"])}
                self._mark(check, each)

    def _take(self) -> list[_Row]:
        taken = self.clean[:self.amount]
        del self.clean[:self.amount]
        return taken

    def _mark(self, check: str, *rows: _Row) -> None:
        self.faults += 1
        for each in rows:
            each.marks[check] = self.faults

    def _spoil(self, check: str, text: str) -> str:
        if check == "empty text":
            return self.random.choice(["", " "])
        if check == "debris":
            return self.random.choice(DEBRIS).format(text)
        typical = statistics.median([len(row["text"]) for row in self.data.train])
        return " ".join([text] * (2 * LONG * int(typical + 1) // (len(text) + 1) + 2))

    def _copy(self, check: str) -> None:
        """Add a second copy: as it is, in another spelling, or with another label."""
        if check == "near duplicate" and not self.free:
            return
        for each in self._take():
            change = {"near duplicate": self._respell, "contradiction": self._relabel, "duplicate": dict}[check]
            changed = change(each.row)
            if changed is not None:
                copy = _Row(changed)
                self.train.append(copy)
                self._mark(check, each, copy)

    def _respell(self, row: dict) -> dict:
        text = row["text"]
        spellings = [text + " !", text.upper(), "  ".join(text.split(" ")), f"{text}..."]
        return row | {"text": next(new for new in self.random.sample(spellings, 4) if new != text)}

    def _relabel(self, row: dict) -> dict | None:
        task = self.data.task
        if task.kind == "classify":
            return row | {"label": self.random.choice([name for name in task.labels if name != row["label"]])}
        if task.kind == "multilabel":
            return row | {"label": [name for name in task.labels if name not in row["label"]]}
        if task.kind == "regress":
            values = [other["label"] for other in self.data.train]
            return row | {"label": max((min(values), max(values)), key=lambda value: abs(value - row["label"]))}
        return None

    def _leak(self, into: _Plot, check: str, label=None) -> None:
        """Copy test rows into training rows, of this task or of another."""
        count = max(1, round(self.share * len(self.data.test)))
        taken, self.test = self.test[:count], self.test[count:]
        for number in taken:
            row = dict(self.data.test[number])
            if into is not self:
                row["label"] = self.random.choice(into.data.train)["label"]
            into.train.append(_Row(row))
        if taken:
            self.whole.append(Finding(check, self.name, "test", tuple(sorted(taken)), len(taken) / len(self.data.test)))

    def _leak_into_another(self, plots: dict[str, _Plot]) -> None:
        others = [plot for plot in plots.values() if plot is not self and plot.free and self.free
                  and plot.data.task.pair == self.data.task.pair]
        if others:
            self._leak(self.random.choice(others), "leak between tasks")

    def _thin(self) -> None:
        """Remove most rows of the rarest label."""
        if self.data.task.kind != "classify":
            return
        counts = Counter(each.row["label"] for each in self.train).most_common()
        rare, keep = counts[-1][0], max(2, counts[0][1] // (8 * UNEVEN))
        gone = [each for each in self.clean if each.row["label"] == rare][keep:]
        if not gone or len(counts) < 2:
            return
        removed = set(map(id, gone))
        self.train = [each for each in self.train if id(each) not in removed]
        self.clean = [each for each in self.clean if id(each) not in removed]
        self.random.shuffle(self.clean)              # or later faults would fall on the few rare rows first
        self.amount = max(1, round(self.share * len(self.train)))
        share = counts[0][1] / len(self.train)
        self.whole.append(Finding("imbalance", self.name, "train", (), share, f"{len(gone)} rows of {rare!r} removed"))

    def truth(self) -> list[Finding]:
        """The planted faults by row number. Of two copies the later one is the duplicate; a contradiction is both."""
        rows, seen = {}, {}
        for number, each in enumerate(self.train):
            for check, fault in each.marks.items():
                if check in ("duplicate", "near duplicate") and seen.setdefault((check, fault), number) == number:
                    continue
                rows.setdefault(check, []).append(number)
        part = Split(self.name, "train", self.data.task, [each.row for each in self.train])
        return self.whole + [part.finding(check, numbers) for check, numbers in rows.items()]
