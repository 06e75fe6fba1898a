"""Showing a figure as a small picture with alt text, which reaches screen readers and the stored notebook."""

from __future__ import annotations

import base64
import io
import sys
from html import escape

from matplotlib import rc_context
from matplotlib.figure import Figure

from .display import present

STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
         "axes.axisbelow": True, "hatch.linewidth": 0.6, "legend.frameon": False, "figure.facecolor": "white"}
LARGEST = 40_000                        # bytes of a figure in a stored notebook


class Picture(Figure):
    """A matplotlib figure with `alt`, the text that stands for it where it cannot be seen."""

    alt = ""

    def _ipython_display_(self):
        show(self)


@rc_context(STYLE)
def picture(width: float = 6.4, height: float = 3.6, **subplots):
    """(Picture, axes) to draw your own figure on: set `fig.alt`, or give the alt text to show()."""
    fig = Picture(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(**subplots)


def show(fig, alt: str = "") -> None:
    """Display a figure as a small picture with alt text, which reaches screen readers and the stored notebook.

    Outside a notebook the alt text is printed. A figure without alt text is refused: ValueError.
    """
    alt = " ".join((alt or getattr(fig, "alt", "")).split())
    if not alt:
        raise ValueError("a figure needs alt text: show(fig, 'what a reader should see in it, with the numbers').")
    image = base64.b64encode(png(fig)).decode()
    size = f'width="{round(96 * fig.get_figwidth())}" style="max-width: 100%"'
    present(alt, f'<img alt="{escape(alt)}" {size} src="data:image/png;base64,{image}">')
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(fig)


@rc_context(STYLE)
def png(fig) -> bytes:
    """The figure as PNG, as sharp as fits: its base64 text stays under LARGEST bytes, or gets as small as can be."""
    from PIL import Image
    for dpi, colours in ((160, 64), (120, 64), (96, 32), (64, 16)):
        drawn, small = io.BytesIO(), io.BytesIO()
        fig.savefig(drawn, format="png", dpi=dpi)
        image = Image.open(drawn).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        image.save(small, format="png", optimize=True)
        if small.tell() * 4 / 3 < LARGEST:
            break
    return small.getvalue()
