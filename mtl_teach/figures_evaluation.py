"""Figures of evaluation: reliability diagrams, slices with intervals, ranks with critical differences, chance alone.

As in figures.py, nothing is said by colour alone, and alt text is made from the numbers where you give none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context

from .calibration import Calibration
from .figures import COLOURS, MARKERS, _line, _named_lines, _need, _said_lines
from .i18n import _
from .pictures import STYLE, Picture, picture
from .ranks import Ranks
from .slices import Slices


@rc_context(STYLE)
def reliability(found: Mapping[str, Calibration] | Calibration, *, alt: str = "") -> Picture:
    """Accuracy against confidence, a point per bin: on the diagonal the model knows how sure it may be.

    Below the diagonal it is surer than it is right. The size of a point grows with the share of rows in its bin.
    """
    found = {"": found} if isinstance(found, Calibration) else found
    _need(found)
    fig, axes = picture(5.0, 4.2)
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1.2, label=_("as sure as it is right"))
    said = []
    for i, (name, each) in enumerate(found.items()):
        table, label = each.table, f"{name}  " if name else ""
        axes.plot(table.confidence, table.accuracy, **(_line(i) | {"marker": ""}), zorder=2)
        axes.scatter(table.confidence, table.accuracy, s=25 + 250 * table.rows / each.rows, color=COLOURS[i % 8], alpha=0.85,
                     marker=MARKERS[i % 8], zorder=3, label=_("{name}ECE {ece:.3f}").format(name=label, ece=each.ece))
        points = ", ".join(f"{c:.2f} {a:.2f}" for c, a in zip(table.confidence, table.accuracy))
        said.append(_("{name}: ECE {ece:.3f} in {bins} bins; confidence and accuracy {points}").format(
            name=name or _("model"), ece=each.ece, bins=each.bins, points=points))
    low = min(each.table[["confidence", "accuracy"]].min().min() for each in found.values())
    axes.set(xlabel=_("confidence"), ylabel=_("accuracy"), xlim=(max(0, low - 0.08), 1.03), ylim=(max(0, low - 0.08), 1.05))
    legend = axes.legend(loc="lower right")
    for handle in legend.legend_handles[1:]:
        handle.set_sizes([50])
    fig.alt = alt or _("Reliability diagram, accuracy over confidence. {facts}.").format(facts="; ".join(said))
    return fig


@rc_context(STYLE)
def slice_bars(found: Mapping[str, Slices] | Slices, *, lines: Mapping[str, float] | None = None, alt: str = "") -> Picture:
    """The metric by slice, a marker with its interval per model; the number of rows stands under each slice."""
    found = {"": found} if isinstance(found, Slices) else found
    _need({name: each.table for name, each in found.items()})
    first = next(iter(found.values()))
    names = list(first.table.index)
    if any(list(each.table.index) != names or each.metric != first.metric for each in found.values()):
        raise ValueError("models to be drawn together need the same slices and metric.")
    fig, axes = picture(max(4.5, min(9.0, 1.6 + 1.15 * len(names))))
    said = []
    for i, (model, each) in enumerate(found.items()):
        shift = (i - (len(found) - 1) / 2) * 0.22
        table = each.table
        axes.errorbar(np.arange(len(names)) + shift, table.value, [table.value - table.low, table.high - table.value],
                      linestyle="", capsize=4, label=model, color=COLOURS[i % 8], marker=MARKERS[i % 8], markersize=8)
        said += [_("{who}{slice}: {value:.3f} [{low:.3f}, {high:.3f}]").format(
            who=f"{model}, " if model else "", slice=name, value=row.value, low=row.low, high=row.high) if row.rows else
            _("{slice}: no rows").format(slice=name) for name, row in table.iterrows()]
    _named_lines(axes, lines)
    axes.set(ylabel=f"{first.task}: {first.metric}", xticks=range(len(names)), xlim=(-0.6, len(names) - 0.4))
    axes.set_xticklabels([_("{slice}\n{n} rows").format(slice=name, n=int(row.rows)) for name, row in first.table.iterrows()])
    axes.grid(False, axis="x")
    if list(found) != [""]:
        axes.legend(loc="lower left", bbox_to_anchor=(1, 0))
    fig.alt = alt or _("{metric} of {task} by slice, with intervals. {facts}.").format(
        metric=first.metric, task=first.task, facts="; ".join(said + _said_lines(lines)))
    return fig


@rc_context(STYLE)
def critical_differences(ranks: Ranks, *, alt: str = "") -> Picture:
    """Mean ranks on a line, best on the left; a bar joins methods that the ranks do not tell apart (Demsar 2006)."""
    names, groups = list(ranks.mean), ranks.alike()
    height = 0.7 + 0.32 * len(names) + 0.16 * len(groups)
    fig, axes = picture(6.6, height)
    top = 0.6 + 0.35 * len(groups)
    axes.plot([1, len(names)], [0, 0], color="black", linewidth=1.2)
    for rank in range(1, len(names) + 1):
        axes.plot([rank, rank], [-0.12, 0.12], color="black", linewidth=1)
        axes.annotate(str(rank), (rank, -0.25), ha="center", va="bottom", fontsize=9)
    for i, group in enumerate(groups):
        y = 0.4 + 0.35 * i
        axes.plot([ranks.mean[group[0]] - 0.03, ranks.mean[group[-1]] + 0.03], [y, y], color="#555555", linewidth=5,
                  solid_capstyle="round")
    for i, name in enumerate(names):
        y, rank = top + 0.55 * (i + 1), ranks.mean[name]
        axes.plot([rank, rank, len(names) + 0.15], [0, y, y], color="#888888", linewidth=0.9)
        axes.plot([rank], [0], marker=MARKERS[i % 8], color=COLOURS[i % 8], markersize=8, zorder=3)
        axes.annotate(f"{name}  {rank:.2f}", (len(names) + 0.2, y), va="center", fontsize=10)
    axes.set(ylim=(top + 0.55 * (len(names) + 0.7), -1.0), xlim=(0.8, len(names) * 1.38 + 0.6))
    axes.axis("off")
    axes.set_title(_("mean rank (1 is best); critical difference {cd:.2f}").format(cd=ranks.distance), fontsize=10, loc="left")
    joined = "; ".join(", ".join(group) for group in groups) or _("none")
    fig.alt = alt or _("Mean ranks, 1 is best: {facts}. Critical difference {cd:.2f}. Not told apart: {groups}.").format(
        facts=", ".join(f"{name} {rank:.2f}" for name, rank in ranks.mean.items()), cd=ranks.distance, groups=joined)
    return fig


@rc_context(STYLE)
def chance(values: Mapping[str, list], *, xlabel: str, lines: Mapping[str, float] | None = None, alt: str = "") -> Picture:
    """How often chance alone gives which value: an outlined histogram per name, with its mean."""
    _need(values)
    fig, axes = picture()
    edges = np.histogram_bin_edges(np.concatenate([np.asarray(v, float) for v in values.values()]), bins=30)
    said = []
    for i, (name, each) in enumerate(values.items()):
        each = np.asarray(each, float)
        mean = each.mean()
        style = dict(color=COLOURS[i % 8], linestyle=_line(i)["linestyle"])
        axes.hist(each, bins=edges, weights=np.full(len(each), 100 / len(each)), histtype="step", linewidth=1.8, **style,
                  label=_("{name}: mean {mean:+.1f}").format(name=name, mean=mean))
        axes.axvline(mean, linewidth=1, **style)
        said.append(_("{name}: mean {mean:+.1f}, nine in ten between {low:+.1f} and {high:+.1f}").format(
            name=name, mean=mean, low=np.quantile(each, 0.05), high=np.quantile(each, 0.95)))
    for name, x in (lines or {}).items():
        axes.axvline(x, color="black", linestyle=":", linewidth=1)
        axes.annotate(name, (x, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)
    axes.set(xlabel=xlabel, ylabel=_("repetitions (%)"), ylim=(0, 1.3 * axes.get_ylim()[1]))      # room for the legend
    axes.legend(loc="upper right")
    fig.alt = alt or _("Histogram of {label} over many repetitions. {facts}.").format(label=xlabel, facts="; ".join(said))
    return fig
