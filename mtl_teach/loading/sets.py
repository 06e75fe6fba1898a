"""One data set: its parts, the tasks in it, and the way from one to the other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from ..tasks import SPLITS, Task, TaskData, TaskError, nearest
from .columns import Target, find_targets, rename
from .files import Part, find_sets, read_part
from .hub import address, read_hub, set_name
from .labels import is_bio, label_set
from .rows import build_rows, is_labelled
from .splits import check_labels, cut, set_aside, shuffled


@dataclass
class Wishes:
    """What the caller asked for; see `load_tasks`."""

    names: list[str] | None = None
    sizes: dict = field(default_factory=lambda: dict.fromkeys(SPLITS))
    seed: int = 0
    kinds: dict[str, str] = field(default_factory=dict)
    fields: dict = field(default_factory=dict)
    unknown_labels: str = "error"
    columns: set[str] = field(default_factory=set)                  # filled while reading: every column seen so far

    def wants(self, name: str, data_set: str) -> bool:
        return self.names is None or name in self.names or data_set in self.names


@dataclass
class DataSet:
    """A data set that is not read yet: `read(notes)` gives its parts by split and the label names by column."""

    name: str
    read: Callable[[list[str]], tuple[dict[str, Part], dict[str, tuple[str, ...]]]]

    def may_hold(self, task: str) -> bool:
        return task == self.name or task.startswith(f"{self.name}_")


def data_sets(source: str, name: str | None = None) -> list[DataSet]:
    """The data sets at a source (a path or "hub:..."); `name` renames the only one."""
    if source.startswith("hub:"):
        where = address(source)
        found = [DataSet(_plain(set_name(*where)), lambda notes: read_hub(source, *where, notes))]
    else:
        found = [DataSet(_plain(label), lambda notes, files=files: _read_files(files, notes))
                 for label, files in find_sets(source).items()]
    if name and len(found) > 1:
        raise TaskError(f"{{{name!r}: {source!r}}}: {len(found)} data sets ({', '.join(s.name for s in found)}) cannot "
                        "share a name. Name one of them.")
    return [DataSet(_plain(name or each.name), each.read) for each in found]


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "data"


def _read_files(files: dict[str, Path], notes: list[str]):
    return {split: read_part(path, notes) for split, path in files.items()}, {}


def load_set(data_set: DataSet, wishes: Wishes, notes: list[str]) -> tuple[dict[str, TaskData | None], set[str]]:
    """Every task of the data set by name, those not wished for as None; and the keys of `kinds` that were used."""
    parts, orders = data_set.read(notes)
    wishes.columns.update(parts["train"].columns)
    fields = _fields_for(data_set.name, wishes.fields, parts["train"])
    parts = {split: rename(part, fields) for split, part in parts.items()}
    standard = {column: name for name, column in fields.items()}
    orders = {standard.get(column, column.lower()): names for column, names in orders.items()}
    targets, aside = find_targets(parts["train"], data_set.name, wishes.kinds, orders)
    if aside:
        notes.append(f"{data_set.name}: columns left aside: {', '.join(aside)}. To make one a task, name its kind in "
                     "kinds=.")
    order = _deal(data_set.name, parts, targets, wishes, notes)
    tasks = {}
    for target in targets:
        name = data_set.name if len(targets) == 1 else f"{data_set.name}_{target.column}"
        wanted = wishes.wants(name, data_set.name)
        tasks[name] = _load_task(name, target, parts, order, wishes, notes) if wanted else None
    columns = {target.column for target in targets}
    names = columns | {data_set.name} | {f"{data_set.name}_{column}" for column in columns}
    return tasks, {key for key in wishes.kinds if key in names or key.lower() in columns}


def _fields_for(name: str, fields: dict, part: Part) -> dict[str, str]:
    """{standard name: column} for this data set; what was said for it alone must be there."""
    own = fields.get(name)
    if isinstance(own, dict):
        for column in own.values():
            if column not in part.columns:
                raise TaskError(f"{part.source}: fields name a column {column!r} that is not there."
                                f"{nearest(column, part.columns)}")
        return own
    return {standard: column for standard, column in fields.items() if isinstance(column, str)}


def _deal(name: str, parts: dict[str, Part], targets: list[Target], wishes: Wishes,
          notes: list[str]) -> dict[tuple[str, str], tuple[str, list[int]]]:
    """{(split, column): (part to read from, its row numbers in shuffled order)}.

    A split that is missing, or that lacks labels for one of the targets, is set aside from training, for all targets
    alike: so no text that one target trains on is a test text of another.
    """
    train = parts["train"]
    lacking = {split: {t.column for t in targets if split not in parts or not is_labelled(t, parts[split], train)}
               for split in SPLITS[1:]}
    gaps = [split for split in lacking if lacking[split] and wishes.sizes[split] != 0]
    taken = set_aside(train, targets, gaps, f"{wishes.seed}/{name}/aside") if gaps else {}
    for split, numbers in taken.items():
        notes.append(_say_set_aside(name, split, parts, lacking[split], len(numbers), wishes.seed))
    held = {number for numbers in taken.values() for number in numbers}
    kept = [number for number in range(len(train.rows)) if number not in held]
    deals = {}
    for split, column in ((split, target.column) for split in SPLITS for target in targets):
        origin = "train" if column in lacking.get(split, ()) else split
        if origin == "train":
            numbers = kept if split == "train" else taken.get(split, [])
        else:
            numbers = range(len(parts[origin].rows))
        deals[split, column] = origin, shuffled(numbers, f"{wishes.seed}/{name}/{split}")
    return deals


def _say_set_aside(name: str, split: str, parts: dict[str, Part], columns: set[str], count: int, seed: int) -> str:
    why = f"no {split} file" if split not in parts else f"the {split} rows have no {' or '.join(sorted(columns))}"
    if count:
        return f"{name}: {why}; {count} training rows are set aside for {split} (seed {seed})."
    return f"{name}: {why}, and too few training rows to set any aside; {split} stays empty."


def _load_task(name: str, target: Target, parts: dict[str, Part], deals: dict, wishes: Wishes,
               notes: list[str]) -> TaskData:
    """Checked rows, labels and sizes of one task."""
    built, rows = {}, {}
    for split in SPLITS:
        origin, numbers = deals[split, target.column]
        if origin not in built:
            built[origin] = build_rows(target, parts[origin], notes)
        rows[split] = [built[origin][number] for number in numbers if built[origin][number] is not None]
    rows = check_labels(name, target.kind, rows, wishes.unknown_labels, notes)
    plain_tags = target.kind == "tag" and not is_bio([row["label"] for row in rows["train"]])
    task = Task(name, target.kind, label_set(target.kind, rows["train"], target.order),
                metric="token_accuracy" if plain_tags else "", pair=target.kind != "tag" and "text_b" in target.inputs)
    return TaskData(task, **{split: cut(name, split, rows[split], wishes.sizes[split], notes) for split in SPLITS})
