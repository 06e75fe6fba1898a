"""Slices against the metric on hand-picked rows, Wilson's interval by its formula, Fisher's test by enumeration."""

import math

import pytest
from test_evaluation import MOOD, STARS, Stub, tasks

import mtl_teach as mt
from mtl_teach.evaluation import evaluate
from mtl_teach.metrics import score
from mtl_teach.slices import by_slice, wilson
from mtl_teach.tasks import TaskError


@pytest.fixture(scope="module")
def found():
    return evaluate(Stub(MOOD, STARS), tasks(), baselines=False, bootstrap=0)     # wrong on every fourth text


def number(row) -> int:
    return int(row["text"].split()[-1])


def test_a_slice_is_the_metric_on_its_rows(found):
    sliced = by_slice(found, "mood", {"fourth": lambda row: number(row) % 4 == 0, "odd": lambda row: number(row) % 2 == 1,
                                      "picked": [0, 1, 2, 2]})
    assert sliced["fourth"].value == 0 and sliced["odd"].value == 1 and sliced["all"].value == 0.75
    assert sliced["picked"].rows == 3 and sliced["picked"].value == pytest.approx(2 / 3)
    assert sliced.worst() == "fourth" and list(sliced.table.index) == ["all", "fourth", "odd", "picked"]
    assert "mood, accuracy" in repr(sliced) and "<table" in sliced._repr_html_()


def test_wilsons_interval_by_its_formula():
    z, right, n = 1.959963984540054, 8, 10
    centre = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(right * (n - right) / n + z * z / 4)
    assert wilson(8, 10) == pytest.approx((centre - half, centre + half))
    low, high = wilson(10, 10)
    assert low == pytest.approx(0.722, abs=0.001) and high == 1.0                 # the bootstrap would say [1, 1]


def test_ten_right_of_ten_are_not_certain(found):
    line = by_slice(found, "mood", {"ten odd": [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]})["ten odd"]
    assert line.value == 1 and line.low == pytest.approx(0.722, abs=0.001)


def test_the_p_value_is_fishers_against_the_rest_with_holms_correction(found):
    sliced = by_slice(found, "mood", {"first eight": list(range(8)), "fourth": lambda row: number(row) % 4 == 0})
    # all ten errors among the ten rows of "fourth": one table of C(40, 10) is as extreme, twice for two slices
    assert sliced["fourth"].p == pytest.approx(2 / math.comb(40, 10))
    assert sliced["first eight"].p == 1 and math.isnan(sliced["all"].p)


def test_other_metrics_have_bootstrap_intervals_and_no_p(found):
    sliced = by_slice(found, "stars", {"small": lambda row: number(row) < 20})
    assert "p" not in sliced.table and sliced["small"].value == pytest.approx(1)
    f1 = by_slice(found, "mood", {"even": lambda row: number(row) % 2 == 0}, "macro_f1")
    rows = [i for i in range(40) if i % 2 == 0]
    expected = score(MOOD, [found.truth["mood"][i] for i in rows], [found.predictions["mood"][i] for i in rows])["macro_f1"]
    assert f1["even"].value == pytest.approx(expected) and f1["even"].low < expected < f1["even"].high


def test_an_empty_slice_has_no_value(found):
    sliced = by_slice(found, "mood", {"none": lambda row: False, "every": lambda row: True})
    assert sliced["none"].rows == 0 and math.isnan(sliced["none"].value) and math.isnan(sliced["every"].p)
    assert sliced.worst() == "every"


@pytest.mark.parametrize("task, slices, metric, message", [
    ("moood", {"a": [0]}, "", "Did you mean 'mood'"),
    ("mood", {}, "", "at least one slice"),
    ("mood", {"all": [0]}, "", "'all' is taken"),
    ("mood", {"a": [0, 40]}, "", "row 40; there are 40"),
    ("mood", {"a": [-1]}, "", "row -1"),
    ("mood", {"a": [0]}, "pearson", "Known: accuracy"),
])
def test_what_cannot_be_sliced_is_refused(found, task, slices, metric, message):
    with pytest.raises(TaskError, match=message):
        by_slice(found, task, slices, metric)


def test_an_unknown_slice_is_named(found):
    with pytest.raises(TaskError, match="Did you mean 'odd'"):
        by_slice(found, "mood", {"odd": [1]})["od"]
    assert mt.by_slice is by_slice
