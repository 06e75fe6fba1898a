"""Figures of what happens while several tasks train: cosines over the steps, and whose loss and gradient is how large."""

from __future__ import annotations

import numpy as np
from matplotlib import rc_context

from .figures import _line, heatmap
from .i18n import _
from .pictures import STYLE, Picture, picture

__all__ = ["cosines_over_time", "pairs", "scales"]


@rc_context(STYLE)
def cosines_over_time(watch, *, window: int = 0, alt: str = "") -> Picture:
    """A line per pair of tasks: the cosine of their gradients over training, a running mean over `window` looks.

    window: 0 takes an eighth of all looks.
    """
    frame = watch.over_time()
    window = window or max(1, len(frame) // 8)
    fig, axes = picture()
    said = []
    for i, name in enumerate(frame):
        line = frame[name].dropna().rolling(window, min_periods=1).mean()
        if len(line):
            axes.plot(line.index, line, label=name, markevery=max(1, len(line) // 8), **_line(i))
            said.append(_("{name} from {a:.2f} to {b:.2f}").format(name=name, a=line.iloc[0], b=line.iloc[-1]))
    if not said:
        raise ValueError("nothing to draw: no two tasks were in a batch together. Use a sampler that mixes tasks.")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel=_("training step"), ylabel=_("cosine of gradients"))
    axes.legend()
    fig.alt = alt or _("Cosine of the tasks' gradients at the shared weights, mean of {n} looks. {facts}. "
                       "Below zero two tasks pull apart.").format(n=window, facts="; ".join(said))
    return fig


def pairs(table, *, label: str, xlabel: str = "", ylabel: str = "", digits: int = 2, diagonal: bool = True,
          alt: str = "") -> Picture:
    """A table with a row and a column per task (cosines, conflict rates, affinities) as signed shades.

    diagonal=False leaves out what a task does to itself, which would outshine the rest.
    """
    names, matrix = list(map(str, table.index)), table.to_numpy(dtype=float, copy=True)
    if not diagonal:
        np.fill_diagonal(matrix, np.nan)
    said = "; ".join(f"{row}: " + ", ".join(f"{column} {value:.{digits}f}" for column, value in zip(names, line)
                                            if not np.isnan(value)) for row, line in zip(names, matrix))
    fig = heatmap(matrix, names, names, label=label, xlabel=xlabel, ylabel=ylabel, digits=digits, signed=True,
                  alt=alt or _("Table of shades, {label}. {facts}.").format(label=label, facts=said))
    for text in fig.axes[0].texts:
        if text.get_text() == "nan":
            text.set_text("")
    return fig


@rc_context(STYLE)
def scales(history, watch=None, *, alt: str = "") -> Picture:
    """The loss-scale dashboard: every task's loss, and with a GradientWatch the length of its gradient, both by powers of ten.

    history  what `fit` returned, with the losses as they were before weights
    """
    losses = history.frame()[history.tasks]
    panels = [(losses.rolling(max(1, len(losses) // 30), min_periods=1).mean(), _("loss"))]
    if watch is not None:
        panels.append((watch.norms()[history.tasks], _("length of the gradient")))
    fig, axes = picture(3.6 + 3.4 * (len(panels) - 1) + 1.4, 3.4, ncols=len(panels), squeeze=False)
    said = []
    for axis, (frame, label) in zip(axes[0], panels):
        for i, name in enumerate(frame):
            line = frame[name].dropna()
            if len(line):
                axis.plot(line.index, line, label=name, markevery=max(1, len(line) // 6), **_line(i))
                said.append(_("{label} of {name} from {a:.2g} to {b:.2g}").format(
                    label=label, name=name, a=line.iloc[0], b=line.iloc[-1]))
        axis.set(xlabel=_("training step"), ylabel=label, yscale="log")
    axes[0][-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    fig.alt = alt or _("Scales of the tasks, by powers of ten. {facts}.").format(facts="; ".join(said))
    return fig
