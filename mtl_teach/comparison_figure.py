"""Points with intervals in panels side by side: many methods on several tasks, readable at a glance."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib import rc_context

from .figures import COLOURS, MARKERS
from .i18n import _
from .measured import Measured
from .pictures import STYLE, Picture, picture

PER_ROW = 5                            # panels side by side before a new row begins


@rc_context(STYLE)
def points(panels: Mapping[str, Mapping[str, Measured]], *, alt: str = "") -> Picture:
    """A panel per name, a line per method: a point at the mean, a bar for the interval, a small dot per seed.

    panels: {"mood (%)": {"HardSharing": Measured, ...}, ...}; a method may be missing in a panel. Where the values are
    differences, 0 is marked.
    """
    if not panels or not all(panels.values()):
        raise ValueError("nothing to draw: every panel needs at least one value.")
    methods = list(dict.fromkeys(name for values in panels.values() for name in values))
    lines = -(-len(panels) // PER_ROW)
    columns = -(-len(panels) // lines)
    names = max(1.5, 0.08 * max(map(len, methods)))                                  # inches that the names take
    fig, axes = picture(names + max(3.0, 1.75 * columns), lines * (1.0 + 0.34 * len(methods)), nrows=lines, ncols=columns,
                        sharey=True, squeeze=False)
    for place, (title, values) in zip(axes.flat, panels.items()):
        _panel(place, title, values, methods)
    for place in list(axes.flat)[len(panels):]:
        place.set_axis_off()
    axes[0, 0].set_yticks(range(len(methods)), methods)
    axes[0, 0].set_ylim(len(methods) - 0.5, -0.5)
    said = [f"{title}: " + ", ".join(f"{name} {value}" for name, value in values.items()) for title, values in panels.items()]
    fig.alt = alt or _("Points with intervals, a line per method. {facts}.").format(facts="; ".join(said))
    return fig


def _panel(axes, title, values, methods):
    for number, name in enumerate(methods):
        if name not in values:
            continue
        value, colour = values[name], COLOURS[number % 8]
        axes.plot(value.values, [number + 0.22] * value.n, "|", color="black", markersize=4, alpha=0.5)
        if value.n > 1:
            axes.errorbar(value.mean, number, xerr=value.margin, color=colour, capsize=3, linewidth=1.6)
        axes.plot(value.mean, number, MARKERS[number % 8], color=colour, markersize=7)
    if any(value.signed for value in values.values()):
        axes.axvline(0, color="black", linewidth=1, linestyle=":")
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.margins(x=0.12)
