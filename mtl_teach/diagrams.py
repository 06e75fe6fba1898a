"""Boxes and arrows: who shares what in each algorithm, and the steps of the course. Read from left to right.

The kind of a box shows in its outline as well as in its colour, and a key below the boxes names the kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.patches import FancyBboxPatch

from .i18n import _
from .pictures import Picture, picture

WIDTH, HEIGHT = 1.5, 0.5                # of a box, in inches
LOOKS = {                               # kind: what it is called, colour, outline, width of the outline
    "plain": ("", "#FFFFFF", "-", 1.0),
    "here": ("", "#CFE3F2", "-", 2.2),
    "shared": ("shared by all tasks", "#CFE3F2", "-", 2.2),
    "task": ("of one task", "#FBE3D0", "--", 1.3),
    "frozen": ("frozen", "#E4E4E4", ":", 1.3),
}


@dataclass(frozen=True)
class Box:
    """A box with its text, centred at (x, y) inches; kind: a key of LOOKS."""

    text: str
    x: float
    y: float
    kind: str = "plain"


def diagram(boxes: dict[str, Box], arrows: list[tuple], alt: str) -> Picture:
    """Draw boxes by name, and arrows (from, to) or (from, to, "<->")."""
    kinds = [kind for kind in LOOKS if LOOKS[kind][0] and any(box.kind == kind for box in boxes.values())]
    left, right = (f(box.x for box in boxes.values()) for f in (min, max))
    low, high = (f(box.y for box in boxes.values()) for f in (min, max))
    foot = 0.45 if kinds else 0.0
    fig, axes = picture(right - left + WIDTH + 0.2, high - low + HEIGHT + 0.2 + foot)
    axes.set(xlim=(left - WIDTH / 2 - 0.1, right + WIDTH / 2 + 0.1), aspect="equal",
             ylim=(low - HEIGHT / 2 - 0.1 - foot, high + HEIGHT / 2 + 0.1))
    axes.axis("off")
    for box in boxes.values():
        _draw(axes, box.x, box.y, WIDTH, HEIGHT, box.kind)
        axes.text(box.x, box.y, box.text, ha="center", va="center", fontsize=9.5)
    for start, end, *style in arrows:
        _arrow(axes, boxes[start], boxes[end], *style)
    x, y = left - WIDTH / 2 + 0.15, low - HEIGHT / 2 - 0.32
    for kind in kinds:
        name = _(LOOKS[kind][0])
        _draw(axes, x, y, 0.3, 0.16, kind)
        axes.text(x + 0.22, y, name, ha="left", va="center", fontsize=8.5)
        x += 0.55 + 0.075 * len(name)
    fig.alt = alt
    return fig


def _draw(axes, x, y, width, height, kind):
    _name, colour, outline, thick = LOOKS[kind]
    axes.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, facecolor=colour, edgecolor="black",
                                  linestyle=outline, linewidth=thick, boxstyle="round,pad=0,rounding_size=0.06"))


def _arrow(axes, a: Box, b: Box, style: str = "->"):
    """From edge to edge: sideways, or up and down where one stands above the other; around a box between them."""
    bend = 0.0
    if abs(a.x - b.x) > WIDTH / 2:
        side = 1 if b.x > a.x else -1
        start, end = (a.x + side * WIDTH / 2, a.y), (b.x - side * WIDTH / 2, b.y)
    elif abs(a.y - b.y) > 1:
        start, end, bend = (a.x - WIDTH / 2, a.y), (b.x - WIDTH / 2, b.y), 0.4
    else:
        side = 1 if b.y > a.y else -1
        start, end = (a.x, a.y + side * HEIGHT / 2), (b.x, b.y - side * HEIGHT / 2)
    axes.annotate("", end, start, arrowprops=dict(arrowstyle=style, linewidth=1.3, shrinkA=1, shrinkB=1,
                                                  connectionstyle=f"arc3,rad={bend}"))


# ---- the algorithms -----------------------------------------------------------------------------------------------

def architecture(kind: str, tasks: list[str]) -> Picture:
    """The boxes of "single", "hard", "soft", "attention" or "progressive" for these tasks."""
    if kind not in _ARCHITECTURES or not tasks:
        raise ValueError(f"give one of {', '.join(_ARCHITECTURES)} and at least one task, not {kind!r} and {tasks!r}.")
    rows = [0.75 * (len(tasks) - 1 - i) for i in range(len(tasks))]
    boxes, arrows, alt = _ARCHITECTURES[kind](tasks, rows, rows[0] / 2)
    return diagram(boxes, arrows, alt.format(tasks=", ".join(tasks), first=tasks[0], n=len(tasks)))


def _heads(tasks, rows, x):
    return {f"head {t}": Box(_("head:\n{task}").format(task=t), x, y, "task") for t, y in zip(tasks, rows)}


def _own_backbones(tasks, rows):
    boxes = {f"text {t}": Box(_("texts of\n{task}").format(task=t), 0, y) for t, y in zip(tasks, rows)}
    boxes |= {f"body {t}": Box(_("backbone:\n{task}").format(task=t), 2.2, y, "task") for t, y in zip(tasks, rows)}
    arrows = [(f"text {t}", f"body {t}") for t in tasks] + [(f"body {t}", f"head {t}") for t in tasks]
    return boxes | _heads(tasks, rows, 4.4), arrows


def _single(tasks, rows, middle):
    boxes, arrows = _own_backbones(tasks, rows)
    return boxes, arrows, _("Single-task training: each of the tasks {tasks} has texts, a backbone and a head of its "
                            "own. Nothing is shared.")


def _hard(tasks, rows, middle):
    boxes = {"text": Box(_("texts of\nall tasks"), 0, middle), "body": Box(_("backbone"), 2.2, middle, "shared")}
    arrows = [("text", "body")] + [("body", f"head {t}") for t in tasks]
    return boxes | _heads(tasks, rows, 4.4), arrows, _(
        "Hard sharing: the texts of all tasks pass one shared backbone. From it an arrow leads to each of the {n} "
        "heads, one per task: {tasks}.")


def _soft(tasks, rows, middle):
    boxes, arrows = _own_backbones(tasks, rows)
    pulls = [(f"body {a}", f"body {b}", "<->") for a, b in zip(tasks, tasks[1:])]
    return boxes, arrows + pulls, _(
        "Soft sharing: each of the tasks {tasks} has a backbone and a head of its own. Arrows in both directions "
        "between the backbones: training pulls them together.")


def _attention(tasks, rows, middle):
    boxes = {"text": Box(_("texts of\nall tasks"), 0, middle), "body": Box(_("backbone"), 2.2, middle, "shared")}
    boxes |= {f"query {t}": Box(_("query:\n{task}").format(task=t), 4.4, y, "task") for t, y in zip(tasks, rows)}
    arrows = [("text", "body")] + [("body", f"query {t}") for t in tasks]
    arrows += [(f"query {a}", f"query {b}", "<->") for a, b in zip(tasks, tasks[1:])]
    arrows += [(f"query {t}", f"head {t}") for t in tasks]
    return boxes | _heads(tasks, rows, 6.6), arrows, _(
        "Attention-based sharing: all texts pass one shared backbone. Each of the tasks {tasks} has a query of its own "
        "that picks what it needs from the backbone's tokens. The queries' results attend to each other; a head per "
        "task follows.")


def _progressive(tasks, rows, middle):
    boxes, arrows = _own_backbones(tasks, rows)
    old = {name for t in tasks[:-1] for name in (f"body {t}", f"head {t}")}
    boxes = {name: Box(box.text, box.x, box.y, "frozen" if name in old else box.kind) for name, box in boxes.items()}
    laterals = [(f"body {a}", f"body {b}") for i, b in enumerate(tasks) for a in tasks[:i]]
    return boxes, arrows + laterals, _(
        "A progressive network: the tasks {tasks} were added one after the other, each with a column of its own. "
        "Earlier columns are frozen; arrows lead from each of them to all later columns, which read what they compute.")


_ARCHITECTURES = {"single": _single, "hard": _hard, "soft": _soft, "attention": _attention, "progressive": _progressive}


def steps(names: list[str], here: int | None = None) -> Picture:
    """A chain of steps; `here` is the number (from 0) of the one to mark, with a thick outline and words above it."""
    boxes = {name: Box(name, 1.9 * i, 0.0) for i, name in enumerate(names)}
    alt = _("Steps, one after the other: {names}.").format(names=", ".join(names))
    if here is not None:
        boxes[names[here]] = Box(names[here], 1.9 * here, 0.0, "here")
        boxes["you are here"] = Box(_("you are here"), 1.9 * here, 0.8)
        alt += " " + _("You are at: {name}.").format(name=names[here])
    return diagram(boxes, [*zip(names, names[1:]), *([("you are here", names[here])] if here is not None else [])], alt)
