"""The figures of the course. Each function returns a Picture: a matplotlib figure that shows itself with alt text.

Nothing is said by colour alone: lines differ in marker and dash, bars in hatching, and cells carry their numbers.
If you give no alt text, one is made from the numbers in the figure. Values may be Measured (then the interval and
the seeds are drawn) or plain numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill

import numpy as np
from matplotlib import rc_context

from .i18n import _
from .measured import Measured
from .pictures import STYLE, Picture, picture, png, show

__all__ = ["Picture", "bars", "confusion", "curves", "heatmap", "learning_curves", "lengths", "picture", "png", "show"]

# Okabe and Ito's palette: told apart by colour-blind readers, and different in lightness
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#7F7F7F")
MARKERS, DASHES, HATCHES = "os^Dv*PX", ("-", "--", "-.", ":"), ("", "//", "..", "xx", "\\\\", "++", "oo", "--")


@rc_context(STYLE)
def learning_curves(history, *, window: int = 0, ylabel: str = "", alt: str = "") -> Picture:
    """The loss of each task over the steps, as a running mean over `window` steps (0: a thirtieth of all steps).

    history: what `fit` returned, or a DataFrame with a column per task.
    """
    frame = history.frame()[history.tasks] if hasattr(history, "frame") else history.drop(
        columns=["total", "lr"], errors="ignore")
    window = window or max(1, len(frame) // 30)
    fig, axes = picture()
    said = []
    for i, name in enumerate(frame):
        line = frame[name].dropna().rolling(window, min_periods=1).mean()
        axes.plot(line.index, line, label=name, markevery=max(1, len(line) // 8), **_line(i))
        said.append(_("{name} from {a:.2f} to {b:.2f}").format(name=name, a=line.iloc[0], b=line.iloc[-1]))
    label = ylabel or (_("loss, mean of {n} steps").format(n=window) if window > 1 else _("loss"))
    axes.set(xlabel=_("training step"), ylabel=label, ylim=(0, None))
    axes.legend()
    fig.alt = alt or _("Learning curves over {n} steps. {label}: {facts}.").format(
        n=frame.index[-1], label=label.capitalize(), facts="; ".join(said))
    return fig


@rc_context(STYLE)
def bars(values: Mapping, *, ylabel: str, lines: Mapping[str, float] | None = None, alt: str = "") -> Picture:
    """A bar per name with its interval and a dot per seed; {group: {name: value}} draws groups of bars.

    lines: {"ceiling": 0.95} draws a named horizontal line.
    """
    _need(values)
    groups = {name: value if isinstance(value, Mapping) else {"": value} for name, value in values.items()}
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    inches = max(4.5, min(9.0, 1.2 + 0.55 * len(groups) * (len(names) + 0.6)))
    fig, axes = picture(inches)
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        places = [g - 0.4 + (i + 0.5) * width for g, group in enumerate(groups.values()) if name in group]
        shown = [group[name] for group in groups.values() if name in group]
        axes.bar(places, [_mean(v) for v in shown], width * 0.92, label=name, hatch=HATCHES[i % 8],
                 color=COLOURS[i % 8] + "66", edgecolor=COLOURS[i % 8], linewidth=1.2)
        for x, value in zip(places, shown):
            _interval(axes, x, value, width)
    _named_lines(axes, lines)
    axes.set(ylabel=ylabel, xticks=range(len(groups)))
    room = max(1, int(7.6 * inches / len(groups)))         # letters that fit under a group
    axes.set_xticklabels([fill(str(name), room, break_long_words=False) for name in groups])
    axes.grid(False, axis="x")
    if names != [""]:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    said = [f"{group}{', ' if name else ''}{name}: {_said(value)}" for group, inner in groups.items()
            for name, value in inner.items()] + _said_lines(lines)
    fig.alt = alt or _("Bar chart of {label}. {facts}.").format(label=ylabel, facts="; ".join(said))
    return fig


@rc_context(STYLE)
def curves(series: Mapping[str, Mapping[float, object]], *, xlabel: str, ylabel: str, logx: bool = False,
           lines: Mapping[str, float] | None = None, alt: str = "") -> Picture:
    """A line per name over numbers x: {name: {x: value}}; the band is the interval."""
    _need(series)
    fig, axes = picture()
    said = []
    for i, (name, points) in enumerate(series.items()):
        xs = sorted(points)
        axes.plot(xs, [_mean(points[x]) for x in xs], label=name, **_line(i))
        bands = [x for x in xs if isinstance(points[x], Measured) and points[x].n > 1]
        axes.fill_between(bands, [points[x].low for x in bands], [points[x].high for x in bands], alpha=0.18,
                          color=COLOURS[i % 8], linewidth=0)
        said.append(f"{name}: " + ", ".join(_("at {x:g} {y}").format(y=_said(points[x]), x=x) for x in xs))
    ticks = sorted({x for points in series.values() for x in points})
    if logx:
        axes.set_xscale("log")
    if len(ticks) <= 8:
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
        axes.minorticks_off()
    _named_lines(axes, lines)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend()
    fig.alt = alt or _("Curves of {y} over {x}. {facts}.").format(
        y=ylabel, x=xlabel, facts="; ".join(said + _said_lines(lines)))
    return fig


@rc_context(STYLE)
def heatmap(matrix, rows: list[str], columns: list[str], *, label: str, xlabel: str = "", ylabel: str = "",
            digits: int = 2, signed: bool = False, alt: str = "") -> Picture:
    """A table of numbers as shades, each number written in its cell. signed: white is 0, blue below, red above.

    matrix: (len(rows), len(columns)); label: what the numbers are, with their unit.
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (len(rows), len(columns)):
        raise ValueError(f"a matrix of shape {matrix.shape} does not fit {len(rows)} rows and {len(columns)} columns.")
    names = 0.07 * max(0, max(map(len, rows)) - 12)                      # long names of rows must not eat up the table
    fig, axes = picture(min(9.0, 2.2 + names + 0.62 * len(columns)), min(8.0, 1.2 + 0.42 * len(rows)))
    most = max(float(np.nanmax(np.abs(matrix))), 1e-12)
    least = -most if signed else min(0.0, float(np.nanmin(matrix)))
    image = axes.imshow(matrix, cmap="RdBu_r" if signed else "Blues", vmin=least, vmax=most, aspect="auto")
    short = max(map(len, columns)) <= 6
    axes.set_xticks(range(len(columns)), columns, rotation=0 if short else 40, ha="center" if short else "right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(False)
    fig.colorbar(image, label=label)
    for (i, j), value in np.ndenumerate(matrix):
        dark = abs(value) > 0.6 * most
        axes.text(j, i, f"{value:z.{digits}f}", ha="center", va="center", color="white" if dark else "black", fontsize=9)
    fig.alt = alt or _("Table of shades, {label}. {facts}.").format(label=label, facts="; ".join(
        f"{row}: " + ", ".join(f"{column} {value:z.{digits}f}" for column, value in zip(columns, line))
        for row, line in zip(rows, matrix)))
    return fig


def confusion(truth: list, predictions: list, labels: list[str] | None = None, *, alt: str = "") -> Picture:
    """How often each true class (row) was taken for each class (column), in rows of the test set."""
    from sklearn.metrics import confusion_matrix
    labels = list(labels or sorted(set(truth) | set(predictions)))
    counts = confusion_matrix(truth, predictions, labels=labels)
    return heatmap(counts, labels, labels, label=_("rows"), xlabel=_("predicted"), ylabel=_("true"), digits=0, alt=alt)


@rc_context(STYLE)
def lengths(counts: Mapping[str, list[int]], *, unit: str = "", limit: int | None = None, alt: str = "") -> Picture:
    """How long texts are: an outlined histogram per name. limit: what the model can read, drawn as a line."""
    _need(counts)
    fig, axes = picture()
    edges = np.histogram_bin_edges(np.concatenate([np.asarray(c) for c in counts.values()]), bins=24)
    said = []
    for i, (name, sizes) in enumerate(counts.items()):
        share = np.full(len(sizes), 100 / len(sizes))
        axes.hist(sizes, bins=edges, weights=share, histtype="step", label=name, color=COLOURS[i % 8],
                  linestyle=DASHES[i % 4], linewidth=1.8)
        said.append(_("{name}: half at most {median:.0f}, nine in ten at most {most:.0f}, longest {longest}").format(
            name=name, median=np.median(sizes), most=np.quantile(sizes, 0.9), longest=max(sizes)))
    if limit:
        axes.axvline(limit, color="black", linestyle=":", label=_("limit {n}").format(n=limit))
        said.append(_("the model reads {n}").format(n=limit))
    axes.set(xlabel=_("length in {unit}").format(unit=unit or _("tokens")), ylabel=_("texts (%)"))
    axes.legend()
    fig.alt = alt or _("Histogram of text lengths in {unit}. {facts}.").format(
        unit=unit or _("tokens"), facts="; ".join(said))
    return fig


# ---- what they share ------------------------------------------------------------------------------------------------

def _need(values):
    if not values or any(hasattr(value, "__len__") and len(value) == 0 for value in values.values()):
        raise ValueError("nothing to draw: every name needs at least one value.")


def _line(i):
    return dict(color=COLOURS[i % 8], marker=MARKERS[i % 8], linestyle=DASHES[i % 4], linewidth=1.8, markersize=6)


def _mean(value):
    return value.mean if isinstance(value, Measured) else float(value)


def _said(value):
    return str(value) if isinstance(value, Measured) else f"{value:.3g}"


def _interval(axes, x, value, width):
    if not isinstance(value, Measured):
        return
    if value.n > 1:
        axes.errorbar(x, value.mean, yerr=value.margin, color="black", capsize=4, linewidth=1.4)
    spread = np.linspace(-0.25, 0.25, value.n) * width if value.n > 1 else [0.0]
    axes.plot(x + np.asarray(spread), value.values, "o", color="black", markersize=3, alpha=0.6)


def _named_lines(axes, lines):
    for i, (name, y) in enumerate((lines or {}).items()):
        axes.axhline(y, color="black", linewidth=1, linestyle=DASHES[1 + i % 3])
        axes.annotate(name, (1, y), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
                      ha="left", va="center", fontsize=9)


def _said_lines(lines):
    return [_("line of {name} at {y:g}").format(name=name, y=y) for name, y in (lines or {}).items()]
