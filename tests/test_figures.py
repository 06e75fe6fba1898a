"""Figures: alt text that carries the numbers, small files, nothing by colour alone, clear errors."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from mtl_teach import diagrams, display, figures, pictures
from mtl_teach.measured import Measured
from mtl_teach.training import History

RNG = np.random.default_rng(0)


def measured(mean: float) -> Measured:
    return Measured({seed: mean + step for seed, step in enumerate((-2.0, -1.0, 0.0, 1.0, 2.0))})


def losses() -> pd.DataFrame:
    steps = np.arange(1, 201)
    mood = np.exp(-steps / 50) + RNG.normal(0, 0.05, 200)
    frame = pd.DataFrame({"total": 1.0, "lr": 0.1, "mood": mood, "topic": 2.0}, pd.RangeIndex(1, 201, name="step"))
    frame.loc[::3, "mood"] = np.nan                                              # absent from every third batch
    return frame


EXAMPLES = {
    "learning_curves": (lambda: figures.learning_curves(losses()), "topic from 2.00 to 2.00"),
    "bars": (lambda: figures.bars({"single": measured(60), "hard": measured(90)}, ylabel="accuracy (%)",
                                  lines={"ceiling": 95}), "hard: 90.0 [88.0, 92.0], 5 seeds; line of ceiling at 95"),
    "groups": (lambda: figures.bars({t: {"single": measured(60), "hard": 0.5} for t in "ab"}, ylabel="accuracy (%)"),
               "a, single: 60.0 [58.0, 62.0], 5 seeds; a, hard: 0.5"),
    "curves": (lambda: figures.curves({"tiny": {50: measured(60), 100: measured(70)}, "plain": {50: 55, 100: 65}},
                                      xlabel="labels", ylabel="accuracy (%)", logx=True), "at 100 70.0 [68.0, 72.0]"),
    "heatmap": (lambda: figures.heatmap([[1, -0.5], [0, 1]], ["a", "b"], ["a", "b"], label="cosine", signed=True),
                "a: a 1.00, b -0.50"),
    "heatmap of small numbers": (lambda: figures.heatmap([[-0.3, 2]], ["a"], ["b", "c"], label="x", digits=0), "a: b 0, c 2"),
    "confusion": (lambda: figures.confusion(["x", "x", "y"], ["x", "y", "y"]), "x: x 1, y 1; y: x 0, y 1"),
    "lengths": (lambda: figures.lengths({"reviews": [3, 4, 5, 40]}, limit=32), "longest 40; the model reads 32"),
    "steps": (lambda: diagrams.steps(["data", "model", "training"], here=1), "data, model, training. You are at: mod"),
} | {kind: (lambda kind=kind: diagrams.architecture(kind, ["mood", "topic", "rating"]), "mood, topic, rating")
     for kind in ("single", "hard", "soft", "attention", "progressive")}


@pytest.fixture
def shown(monkeypatch):
    """What a notebook would have received: (text, html)."""
    got = []
    monkeypatch.setattr(pictures, "present", lambda text, html: got.append((text, html)))
    return got


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_figure_has_alt_text_with_its_numbers_and_is_small(name, shown):
    draw, fact = EXAMPLES[name]
    fig = draw()
    assert fact in fig.alt and "{" not in fig.alt
    fig._ipython_display_()
    (text, html), = shown
    assert text == fig.alt
    assert len(html) < 42_000
    image = Image.open(io.BytesIO(base64.b64decode(re.search(r'base64,([^"]+)"', html)[1])))
    width = int(re.search(r'width="(\d+)"', html)[1])
    shape = fig.get_figwidth() / fig.get_figheight()
    assert image.width >= width and image.width / image.height == pytest.approx(shape, rel=0.02)
    assert len(np.unique(np.asarray(image.convert("L")))) > 3                     # something was drawn


def test_alt_text_is_escaped_and_reads_as_one_line(shown):
    figures.show(figures.picture()[0], 'a "quoted"\n  <b> text')
    assert 'alt="a &quot;quoted&quot; &lt;b&gt; text"' in shown[0][1]


def test_a_figure_without_alt_text_is_refused(shown):
    for fig in (figures.picture()[0], Figure()):
        with pytest.raises(ValueError, match="alt text"):
            figures.show(fig, "  ")
    assert not shown


def test_a_pyplot_figure_is_closed_so_that_it_does_not_show_twice(shown):
    fig = pyplot.figure()
    figures.show(fig, "an empty figure")
    assert not pyplot.fignum_exists(fig.number)


def test_a_rich_figure_still_fits(shown):
    fig, axes = figures.picture(9, 6)
    axes.scatter(*RNG.normal(size=(2, 2000)), c=RNG.random(2000), cmap="viridis")
    figures.show(fig, "2,000 points")
    assert len(shown[0][1]) < 42_000


def test_outside_a_notebook_the_alt_text_is_printed(capsys):
    figures.show(figures.picture()[0], "an empty figure")
    assert capsys.readouterr().out == "an empty figure\n"
    assert not display.someone_answers()


def test_lines_differ_in_more_than_colour():
    series = {f"run {i}": {1: i, 2: i} for i in range(6)}
    fig = figures.curves(series, xlabel="x", ylabel="y")
    lines = [line for line in fig.axes[0].lines if line.get_label() in series]
    looks = {(line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == 6 and len({line.get_marker() for line in lines}) == 6
    bars = figures.bars({"a": dict.fromkeys("uvwx", 1.0)}, ylabel="y").axes[0].patches
    assert len({bar.get_hatch() for bar in bars}) == 4


def test_bars_draw_the_interval_and_every_seed():
    fig = figures.bars({"hard": measured(90)}, ylabel="accuracy (%)")
    dots = [line for line in fig.axes[0].lines if line.get_linestyle() == "None" and line.get_marker() == "o"]
    assert sorted(dots[0].get_ydata()) == [88, 89, 90, 91, 92]
    bar, = fig.axes[0].containers[-1].lines[2]
    (_, low), (_, high) = bar.get_segments()[0]
    assert (low, high) == pytest.approx((measured(90).low, measured(90).high))


def test_learning_curves_take_a_history_and_average_over_the_window():
    history = History(["mood"], [{"step": i + 1, "total": 1.0, "lr": 0.1, "mood": float(i % 2)} for i in range(10)])
    fig = figures.learning_curves(history, window=2)
    assert fig.axes[0].lines[0].get_ydata()[1:] == pytest.approx(0.5)
    assert fig.axes[0].get_ylabel() == "loss, mean of 2 steps"


@pytest.mark.parametrize("draw", [
    lambda: figures.bars({}, ylabel="y"),
    lambda: figures.curves({"a": {}}, xlabel="x", ylabel="y"),
    lambda: figures.lengths({"a": []}),
    lambda: figures.heatmap([[1, 2]], ["a"], ["a"], label="x"),
    lambda: diagrams.architecture("firm", ["a"]),
    lambda: diagrams.architecture("hard", []),
])
def test_nothing_to_draw_is_a_clear_error(draw):
    with pytest.raises(ValueError, match="nothing to draw|does not fit|give one of"):
        draw()
