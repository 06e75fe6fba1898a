"""Choosing on validation only, leaks between tasks found and removed, learning curves by hand."""

import math

import pytest
from test_evaluation import MOOD, STARS, Stub, tasks

import mtl_teach as mt
from mtl_teach.evaluation import evaluate
from mtl_teach.label_curves import LearningCurve, learning_curve
from mtl_teach.leakage import find_leaks, without_leaks
from mtl_teach.measured import Measured
from mtl_teach.selection import choose
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet


class Right(Stub):
    """Right on the texts below a number."""

    def __init__(self, below, *specs):
        super().__init__(*specs)
        self.below = below

    def predict(self, name, rows, batch_size=256):
        good = {"good": "bad", "bad": "good"}
        return [row["label"] if int(row["text"].split()[-1]) < self.below else
                (good[row["label"]] if name == "mood" else -row["label"]) for row in rows]


def result(below, split="validation", given=None):
    return evaluate(Right(below, MOOD, STARS), given or tasks(), split=split, baselines=False, bootstrap=0)


def test_the_best_on_validation_is_chosen():
    found = choose({"low": result(10), "high": result(30), "middle": result(20)}, by="mood")
    assert found.name == "high" and list(found.table.index) == ["high", "middle", "low"]
    assert found.table.loc["high", "mood"] == 0.75 and "chosen by mood on validation: high" in repr(found)
    assert "<table" in found._repr_html_()


def test_the_mean_of_the_tasks_decides_unless_one_is_named():
    a, b = result(20), result(20)
    a.details.loc[("mood", "accuracy"), "value"], a.details.loc[("stars", "pearson"), "value"] = 0.9, 0.1
    b.details.loc[("mood", "accuracy"), "value"], b.details.loc[("stars", "pearson"), "value"] = 0.6, 0.5
    assert choose({"a": a, "b": b}).name == "b" and choose({"a": a, "b": b}, by="mood").name == "a"
    assert choose({"a": a, "b": b}).table.loc["b", "chosen by"] == pytest.approx(0.55)


def test_runs_of_several_seeds_are_averaged_and_ties_go_to_the_first():
    found = choose({"steady": [result(20), result(20)], "lucky once": [result(4), result(32)]}, by="mood")
    assert found.name == "steady" and found.table.loc["lucky once", "mood"] == pytest.approx((4 + 32) / 80)
    assert choose({"simple": result(20), "other": result(20)}, by="mood").name == "simple"
    one = evaluate(Right(20, MOOD), tasks().only("mood"), split="validation", baselines=False, bootstrap=0)
    assert choose({"a": one}).by == "mood"


@pytest.mark.parametrize("split", ["test", "train"])
def test_a_model_is_not_picked_on_the_test_set(split):
    with pytest.raises(TaskError, match=f"'b' was measured on '{split}'.*Choose on split='validation'"):
        choose({"a": result(10), "b": result(20, split)})
    with pytest.raises(TaskError, match=split):
        choose({"a": [result(10), result(10, split)]})


def other_rows():
    given = tasks()
    for data in given.values():
        data.validation = data.validation[:20]
    return given


@pytest.mark.parametrize("candidates, by, message", [
    (lambda: {}, "mean", "nothing to choose"),
    (lambda: {"a": []}, "mean", "no results"),
    (lambda: {"a": 0.9}, "mean", "which split"),
    (lambda: {"a": result(10), "b": result(10, given=other_rows())}, "mean", "different rows"),
    (lambda: {"a": result(10), "b": [result(10), result(12)]}, "mean", "same seeds"),
    (lambda: {"a": result(10)}, "modo", "Did you mean 'mood'"),
])
def test_what_cannot_be_compared_is_refused(candidates, by, message):
    with pytest.raises(TaskError, match=message):
        choose(candidates(), by=by)


def test_evaluate_keeps_rows_and_tasks():
    given = other_rows()
    found = result(10, given=given)
    assert found.split == "validation" and found.tasks["mood"] == MOOD
    assert found.rows["mood"] == given["mood"].validation and len(found.rows["mood"]) == 20


# ---- leaks --------------------------------------------------------------------------------------------------------------

def leaky() -> TaskSet:
    """"a" is tested on what "b" trains on (with other punctuation), and on one of its own training texts."""
    def rows(*texts):
        return [{"text": text, "label": "good"} for text in texts]
    a = TaskData(Task("a", "classify", ("bad", "good")), rows("one", "two"), rows("three"), rows("Four!", "five", "two"))
    b = TaskData(Task("b", "classify", ("bad", "good")), rows("FOUR ?", "six", "three"), rows("seven"), rows("eight"))
    return TaskSet(a=a, b=b)


def test_leaks_are_found_within_and_between_tasks():
    found = find_leaks(leaky())
    assert found.rows("leak between tasks", "a", "test") == [0] and found.rows("leak between tasks", "a", "validation") == [0]
    assert found.rows("leak", "a", "test") == [2] and {f.check for f in found.findings} == {"leak", "leak between tasks"}


def test_without_leaks_cleans_training_of_every_task_and_nothing_else():
    given = leaky()
    clean = without_leaks(given)
    assert [row["text"] for row in clean["a"].train] == ["one"] and [row["text"] for row in clean["b"].train] == ["six"]
    assert clean["a"].test == given["a"].test and clean["b"].validation == given["b"].validation
    assert not find_leaks(clean).findings and len(given["b"].train) == 3             # the given tasks are left alone


def test_a_task_that_would_lose_all_is_refused():
    given = leaky()
    given["b"].train = given["b"].train[:1]
    with pytest.raises(TaskError, match="'b': all 1 training texts"):
        without_leaks(given)
    with pytest.raises(TaskError, match="TaskSet"):
        without_leaks(dict(given))


def test_the_town_has_no_leaks():
    given = mt.load_tasks("town", ["sentiment", "topic", "mood"], train=200, test=100, seed=0)
    assert not find_leaks(given).findings
    assert [len(data.train) for data in without_leaks(given).values()] == [200, 200, 200]


# ---- learning curves ------------------------------------------------------------------------------------------------------

def test_a_learning_curve_measures_every_seed_at_every_number_of_labels():
    calls = []

    def run(seed, labels):
        calls.append((seed, labels))
        return labels + seed / 10
    curve = learning_curve(run, [100, 10], seeds=[3, 5])
    assert curve == {10: Measured({3: 10.3, 5: 10.5}), 100: Measured({3: 100.3, 5: 100.5})} and list(curve) == [10, 100]
    assert sorted(calls) == [(3, 10), (3, 100), (5, 10), (5, 100)]
    assert learning_curve(lambda s, n: {"acc": n, "ece": s}, [10], seeds=2)["ece"][10].by_seed == {0: 0, 1: 1}
    assert learning_curve(lambda s, n: n * s, [2, 3], seeds=3, jobs=2) == learning_curve(lambda s, n: n * s, [2, 3], seeds=3)


def test_gains_are_paired_and_shown_with_their_labels():
    curve = learning_curve(lambda s, n: s + n, [10, 20], seeds=3)
    other = learning_curve(lambda s, n: s, [20, 10, 40], seeds=3)
    gain = curve - other
    assert list(gain) == [10, 20] and gain[10].mean == 10 and gain[10].sd == 0
    assert "20 labels   +20.0" in repr(gain) and gain.percent()[10].mean == 1000


def test_labels_for_interpolates_on_the_logarithm():
    curve = LearningCurve({n: Measured({0: v}) for n, v in ((10, 0.5), (100, 0.7), (1000, 0.9))})
    assert curve.labels_for(0.7) == pytest.approx(100)
    assert curve.labels_for(0.8) == pytest.approx(math.sqrt(100 * 1000))
    assert curve.labels_for(0.4) == 10 and curve.labels_for(0.95) == math.inf


@pytest.mark.parametrize("labels, seeds", [([], 2), ([0, 10], 2), ([10, 10], 2), ([10], []), ([10], [1, 1])])
def test_curves_without_points_are_refused(labels, seeds):
    with pytest.raises(TaskError, match="different"):
        learning_curve(lambda s, n: 1.0, labels, seeds)


def test_public_names():
    assert mt.choose is choose and mt.find_leaks is find_leaks and mt.without_leaks is without_leaks
    assert mt.learning_curve is learning_curve
