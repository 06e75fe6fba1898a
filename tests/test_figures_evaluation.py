"""The figures of evaluation: alt text with the numbers, small files, nothing that colour alone tells."""

import numpy as np
import pytest
from test_evaluation import MOOD, STARS, Stub, tasks

from mtl_teach import figures_evaluation as figures
from mtl_teach.calibration import calibration_of
from mtl_teach.evaluation import evaluate
from mtl_teach.pictures import LARGEST, png
from mtl_teach.ranks import mean_ranks
from mtl_teach.slices import by_slice

RESULTS = {m: {str(t): 10 * i + t for t in range(30)} for i, m in enumerate(("low", "mid", "high"))}


def sliced():
    found = evaluate(Stub(MOOD, STARS), tasks(), baselines=False, bootstrap=0)
    return by_slice(found, "mood", {"even": lambda row: int(row["text"].split()[-1]) % 2 == 0, "none": []})


def calibrated(sharpness):
    p = np.linspace(0.5, 0.99, 100) ** (1 / sharpness)
    return calibration_of(MOOD, ["good", "bad"] * 50, np.c_[1 - p, p])


EXAMPLES = {
    "reliability": (lambda: figures.reliability({"single": calibrated(1), "hard": calibrated(2)}), "single: ECE 0.2"),
    "one model": (lambda: figures.reliability(calibrated(1)), "in 10 bins; confidence and accuracy 0.5"),
    "slices": (lambda: figures.slice_bars({"single": sliced(), "hard": sliced()}, lines={"ceiling": 0.9}),
               "hard, even: 0.500 [0.299, 0.701]; none: no rows; line of ceiling at 0.9"),
    "ranks": (lambda: figures.critical_differences(mean_ranks(RESULTS)), "high 1.00, mid 2.00, low 3.00"),
    "ties": (lambda: figures.critical_differences(mean_ranks({m: {t: v[t] for t in "012"} for m, v in RESULTS.items()})),
             "Not told apart: high, mid; mid, low."),
    "chance": (lambda: figures.chance({"best of 10": [1, 2, 3], "one": [-1, 0, 1]}, xlabel="points"), "best of 10: mean +2.0"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_alt_text_carries_the_numbers_and_the_file_is_small(name):
    draw, fact = EXAMPLES[name]
    fig = draw()
    assert fact in fig.alt and "nan" not in fig.alt
    assert len(png(fig)) * 4 / 3 < LARGEST


def test_lines_differ_in_more_than_colour():
    axes = figures.reliability({"single": calibrated(1), "hard": calibrated(2)}).axes[0]
    drawn = [line.get_linestyle() for line in axes.lines[1:]]
    assert len(set(drawn)) == 2
    paths = [handle.get_paths()[0].vertices.shape for handle in axes.collections]
    assert len(set(paths)) == 2                                                        # circle and square


def test_models_with_other_slices_are_not_drawn_together():
    found = evaluate(Stub(MOOD, STARS), tasks(), baselines=False, bootstrap=0)
    with pytest.raises(ValueError, match="same slices"):
        figures.slice_bars({"a": sliced(), "b": by_slice(found, "mood", {"first": [0]})})
    with pytest.raises(ValueError, match="nothing to draw"):
        figures.reliability({})
    with pytest.raises(ValueError, match="nothing to draw"):
        figures.chance({"a": []}, xlabel="points")
