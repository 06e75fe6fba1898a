"""Which rows go where: rows set aside for missing splits, shuffling, sizes, and labels that training lacks."""

from __future__ import annotations

import random
from collections import Counter

from ..tasks import SPLITS, TaskError, nearest
from .columns import Target
from .files import Part
from .labels import label_names

SHARE = 10                       # one text in so many is set aside for a split that has no file


def check_sizes(sizes: dict) -> dict:
    """Refuse sizes that are no counts; training needs a row, the other splits may be 0."""
    for split, size in sizes.items():
        for count in size.values() if isinstance(size, dict) else [size]:
            whole = isinstance(count, int) and not isinstance(count, bool)
            if count is not None and not (whole and count >= (split == "train")):
                raise TaskError(f"{split}={size!r}: expected a number of rows, at least {int(split == 'train')}, "
                                f"or a dictionary of such numbers by task.")
    return sizes


def set_aside(part: Part, targets: list[Target], splits: list[str], key: str) -> dict[str, list[int]]:
    """Row numbers of the training part for each of `splits`: a tenth of the texts, drawn by `key`.

    Rows with the same text stay together, so that no text stands on both sides. The first row drawn of every label
    stays in training.
    """
    inputs = targets[0].inputs
    names = [name for name in ("text", "text_b") if name in inputs] or ["tokens"]
    groups = {}
    for number, text in enumerate(zip(*(part.values(inputs[name]) for name in names))):
        groups.setdefault(str(text), []).append(number)
    order = list(groups)
    random.Random(key).shuffle(order)
    seen, free = set(), []
    for text in order:
        names = {name for number in groups[text] for name in _raw_names(part.rows[number], targets)}
        if names <= seen:
            free.append(text)
        seen |= names
    free = free if seen else free[1:]                               # without labels, training keeps a text all the same
    size = min(max(1, len(order) // SHARE), len(free) // len(splits))
    return {split: [number for text in free[at * size:(at + 1) * size] for number in groups[text]]
            for at, split in enumerate(splits)}


def _raw_names(row: dict, targets: list[Target]):
    """(column, label) for every label in a row as read, before any check."""
    for target in targets:
        value = row.get(target.column)
        if target.kind in ("multilabel", "tag") and isinstance(value, str):
            value = value.split("|" if target.kind == "multilabel" else None)
        if target.kind in ("classify", "multilabel", "tag"):
            for name in set(map(str, value)) if isinstance(value, list) else [str(value)]:
                yield target.column, name


def shuffled(numbers: list[int], key: str) -> list[int]:
    numbers = list(numbers)
    random.Random(key).shuffle(numbers)
    return numbers


def check_labels(task: str, kind: str, rows: dict[str, list[dict]], unknown: str,
                 notes: list[str]) -> dict[str, list[dict]]:
    """Find validation and test labels that training lacks: refuse them, or drop their rows with a note."""
    known = {name for row in rows["train"] for name in label_names(kind, row["label"])}
    kept = dict(rows)
    for split in SPLITS[1:]:
        strange = [[name for name in label_names(kind, row["label"]) if name not in known] for row in rows[split]]
        counts = Counter(name for names in strange for name in names)
        if not counts:
            continue
        listed = ", ".join(f"{name!r} ({count} rows)" for name, count in counts.most_common(8))
        listed += f" and {len(counts) - 8} more" if len(counts) > 8 else ""
        if unknown == "error":
            raise TaskError(f"task {task!r}: the {split} rows have labels that training lacks: {listed}. A spelling?"
                            f"{nearest(counts.most_common(1)[0][0], known)} Mend them, add training rows with these "
                            "labels, or leave such rows out with unknown_labels=\"drop\".")
        kept[split] = [row for row, names in zip(rows[split], strange) if not names]
        notes.append(f"{task}: {len(rows[split]) - len(kept[split])} {split} rows are left out, because training lacks "
                     f"their labels: {listed}.")
    return kept


def cut(task: str, split: str, rows: list[dict], size, notes: list[str]) -> list[dict]:
    """The first `size` rows. A number asks for at most so many; {task: number} insists."""
    count = size.get(task) if isinstance(size, dict) else size
    if count is None or count <= len(rows):
        return rows[:count]
    if isinstance(size, dict):
        raise TaskError(f"task {task!r}: {split}={{{task!r}: {count}}} asks for more rows than there are "
                        f"({len(rows)}). Ask for {len(rows)} or fewer.")
    notes.append(f"{task}: {split}={count}, but there are {len(rows)} rows; all are used.")
    return rows
