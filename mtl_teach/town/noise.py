"""Wrong labels on purpose, and the best score that anyone can reach in spite of them.

Noise falls on train, validation and test alike, so that the ceiling holds for what a test measures:

    classify   a share `noise` of the labels becomes another class, each other class equally likely
               ceiling = max(1 - noise, noise / (C - 1))
    regress    the label moves by a bell-shaped number with standard deviation `noise`, in the label's units
               ceiling of Pearson's r = sqrt(v / (v + noise^2)), v the variance of the clean labels
    tag        a share `noise` of the entities gets another type; ceiling of entity F1 as for classify
    span       a share `noise` of the answers moves to tokens outside the right answer;
               ceiling of span F1 = 1 - noise, up to noise 0.5
    generate   a share `noise` of the answers is swapped for that of the message before; the ceiling is unknown
               (None), since a wrong answer still shares words with the right one
"""

from __future__ import annotations

from ..tasks import Task, TaskError
from .dice import Dice
from .grammar import ENTITIES
from .words import STRENGTHS

RATING_VARIANCE = sum(s * s for s in STRENGTHS) / len(STRENGTHS)             # ratings are 3 +- a strength


def ceiling(task: Task | str, noise: float = 0.0) -> float | None:
    """The best expected value of the task's main metric under this noise; None where it is not known."""
    if isinstance(task, str):
        from .build import known
        task = known(task)
    check_noise(task, noise)
    if noise == 0:
        return 1.0
    if task.kind == "classify":
        return best_share(noise, len(task.labels))
    if task.kind == "regress":
        return (RATING_VARIANCE / (RATING_VARIANCE + noise * noise)) ** 0.5
    if task.kind == "tag":
        return best_share(noise, len(ENTITIES))
    return 1.0 - noise if task.kind == "span" and noise <= 0.5 else None


def best_share(noise: float, classes: int) -> float:
    """The share of labels that the best guess meets: the clean class, or any other if noise makes that likelier."""
    return max(1.0 - noise, noise / (classes - 1))


def check_noise(task: Task, noise) -> None:
    """A noise that means nothing for the task is a TaskError."""
    number = isinstance(noise, (int, float)) and not isinstance(noise, bool)
    if not number or not 0 <= noise < (float("inf") if task.kind == "regress" else 1.000001):
        what = "0 or more (standard deviation in stars)" if task.kind == "regress" else "a share from 0 to 1"
        raise TaskError(f"noise of the task {task.name!r} must be {what}, got {noise!r}.")


def disturb(dice: Dice, task: Task, rows: list[dict], noise: float) -> list[dict]:
    """The rows with noisy labels. The draws do not depend on `noise`: more noise adds to what less noise did."""
    if noise == 0:
        return rows
    noisy, before = [], rows[0] if rows else None
    for row in rows:
        noisy.append({**row, "label": _NOISY[task.kind](dice, task, row, noise, before)})
        before = row
    return noisy


def _class(dice, task, row, noise, before):
    hit, other = dice.chance(noise), dice.pick([label for label in task.labels if label != row["label"]])
    return other if hit else row["label"]


def _number(dice, task, row, noise, before):
    return round(row["label"] + noise * dice.bell(), 3)


def _tags(dice, task, row, noise, before):
    tags, kind = [], ""
    for tag in row["label"]:
        if tag.startswith("B-"):
            hit, other = dice.chance(noise), dice.pick([k for k in ENTITIES if k != tag[2:]])
            kind = other if hit else tag[2:]
        tags.append(tag if tag == "O" else f"{tag[:2]}{kind}")
    return tags


def _span(dice, task, row, noise, before):
    """Another span of one word; a word of the answer is never chosen."""
    text, (start, end), at, others = row["text_b"], row["label"], 0, []
    for word in text.split():
        at = text.index(word, at)
        stop = at + len(word.rstrip(".,?!:"))
        if stop <= start or at >= end:
            others.append([at, stop])
        at += len(word)
    hit, other = dice.chance(noise), dice.pick(others)
    return other if hit else row["label"]


def _text(dice, task, row, noise, before):
    return before["label"] if dice.chance(noise) else row["label"]


_NOISY = {"classify": _class, "regress": _number, "tag": _tags, "span": _span, "generate": _text}
