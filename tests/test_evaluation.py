"""evaluate() with a stub model of known quality; intervals over seeds, paired differences and delta-m by hand."""

import math

import numpy as np
import pytest

import mtl_teach as mt
from mtl_teach.evaluation import evaluate
from mtl_teach.measured import Measured, decimals, delta_m, over_seeds
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet

MOOD = Task("mood", "classify", ("bad", "good"), ceiling=0.9)
STARS = Task("stars", "regress")


class Stub:
    """Answers "good" to texts with an even number and "bad" to the others; for numbers, the number itself."""

    def __init__(self, *tasks):
        self.tasks = {task.name: task for task in tasks}
        self.sizes = []

    def predict(self, name, rows, batch_size=256):
        self.sizes.append(batch_size)
        numbers = [int(row["text"].split()[-1]) for row in rows]
        return [float(n) for n in numbers] if name == "stars" else ["bad" if n % 2 else "good" for n in numbers]


def tasks(rows: int = 40) -> TaskSet:
    """Every fourth text of "mood" has the other label, so that the stub is right on 3 of 4."""
    mood = [{"text": f"text {n}", "label": "good" if (n % 2 == 0) != (n % 4 == 0) else "bad"} for n in range(rows)]
    stars = [{"text": f"text {n}", "label": 2.0 * n} for n in range(rows)]
    return TaskSet(mood=TaskData(MOOD, mood, mood, mood), stars=TaskData(STARS, stars, stars, stars))


def test_one_row_per_task_with_value_interval_ceiling_and_baselines():
    found = evaluate(Stub(MOOD, STARS), tasks(), batch_size=7)
    row = found.table.loc["mood"]
    assert (row.metric, row.value, row.rows, row.ceiling, row.majority) == ("accuracy", 0.75, 40, 0.9, 0.75)
    assert row.low < 0.75 < row.high and 0.2 < row.high - row.low < 0.35         # 1.96 * sqrt(.75 * .25 / 40) = .13
    assert 0 <= row.plain <= 1
    row = found.table.loc["stars"]
    assert (row.metric, row.majority) == ("pearson", 0) and row.value == pytest.approx(1) and math.isnan(row.ceiling)
    assert found.predictions["mood"][:2] == ["good", "bad"] and len(found.truth["stars"]) == 40


def test_without_training_rows_the_baselines_stay_blank():
    given = tasks().only("mood")
    given["mood"] = TaskData(MOOD, test=given["mood"].test)
    row = evaluate(Stub(MOOD), given).table.loc["mood"]
    assert row.value == 0.75 and math.isnan(row.majority) and math.isnan(row.plain)


def test_every_metric_is_in_the_details():
    found = evaluate(Stub(MOOD), tasks().only("mood"))
    assert list(found.details.loc["mood"].index) == ["accuracy", "macro_f1", "mcc"]
    assert found.value("mood", "mcc") == found.details.loc[("mood", "mcc"), "value"] != found.value("mood")
    assert found.details["low"].notna().all()
    assert found.values() == {"mood": 0.75}


def test_it_shows_as_text_and_as_a_table():
    found = evaluate(Stub(MOOD, STARS), tasks(), baselines=False, bootstrap=0)
    assert list(found.table.columns) == ["metric", "value", "rows", "ceiling"]
    assert "0.750" in repr(found) and "nan" not in repr(found).lower()
    assert "<table" in found._repr_html_() and "0.750" in found._repr_html_()


def test_batch_size_split_and_a_single_task_data_are_passed_on():
    model = Stub(MOOD, STARS)
    data = tasks()["mood"]
    data.validation = data.validation[:4]
    assert evaluate(model, data, split="validation", batch_size=7, baselines=False).table.loc["mood", "rows"] == 4
    assert model.sizes == [7]


def test_the_same_call_gives_the_same_intervals():
    first, second = (evaluate(Stub(MOOD), tasks().only("mood"), baselines=False).table for _ in range(2))
    assert first.equals(second)


@pytest.mark.parametrize("change, message", [
    (lambda t: t["mood"].test.clear(), r"no rows in 'test'; it has rows in \['train', 'validation'\]"),
    (lambda t: t["mood"].test[3].pop("label"), r"row 3 of 'test' has no label"),
    (lambda t: t.update(moood=t.pop("mood")), "not built for the task 'moood'. Did you mean 'mood'"),
    (lambda t: setattr(t["mood"], "task", Task("mood", "classify", ("bad", "good", "so-so"))), "so-so"),
    (lambda t: t.clear(), "no tasks"),
])
def test_what_cannot_be_scored_is_refused_before_predicting(change, message):
    given, model = tasks(), Stub(MOOD, STARS)
    given["mood"].test = [dict(row) for row in given["mood"].test]
    change(given)
    with pytest.raises(TaskError, match=message):
        evaluate(model, given)
    assert not model.sizes


def test_unknown_names_list_the_known_ones():
    with pytest.raises(TaskError, match="Did you mean 'test'"):
        evaluate(Stub(MOOD), tasks(), split="tst")
    found = evaluate(Stub(MOOD), tasks().only("mood"), baselines=False, bootstrap=0)
    with pytest.raises(TaskError, match="Did you mean 'mood'"):
        found.value("moood")
    with pytest.raises(TaskError, match="Known: accuracy"):
        found.value("mood", "pearson")


# ---- several seeds -------------------------------------------------------------------------------------------------

def test_the_interval_is_students_t():
    found = over_seeds([0.1, 0.4, 0.4, 0.9, 0.7].__getitem__, 5)
    assert found.seeds == [0, 1, 2, 3, 4] and found.n == 5
    assert found.mean == pytest.approx(0.5)
    assert found.sd == pytest.approx(math.sqrt(0.38 / 4))
    assert found.high - found.mean == pytest.approx(2.776445 * found.sd / math.sqrt(5), rel=1e-6)      # t(0.975, 4)
    assert found.low + found.high == pytest.approx(1.0)


def test_a_run_may_measure_several_things():
    found = over_seeds(lambda seed: {"mood": seed / 10, "stars": 1}, [3, 5])
    assert found["mood"].by_seed == {3: 0.3, 5: 0.5} and found["stars"].mean == 1


def test_processes_that_share_the_seeds_change_nothing():
    assert over_seeds(math.sqrt, [4, 1, 9], jobs=2) == over_seeds(math.sqrt, [4, 1, 9])


@pytest.mark.parametrize("jobs", [1, 2])
def test_several_runs_share_the_seeds_and_keep_their_names(jobs):
    runs = {"root": math.sqrt, ("a", 2): lambda seed: {"twice": 2 * seed, "sign": -seed}}
    found = over_seeds(runs, [4, 1, 9], jobs=jobs)
    assert found == {name: over_seeds(run, [4, 1, 9]) for name, run in runs.items()}
    assert found["a", 2]["sign"].by_seed == {4: -4, 1: -1, 9: -9}


def test_no_runs_at_all_are_refused():
    with pytest.raises(ValueError, match="one or more runs"):
        over_seeds({}, 3)


@pytest.mark.parametrize("run, seeds, message", [
    (lambda s: 1.0, [], "one or more"),
    (lambda s: 1.0, [1, 1], "different seeds"),
    (lambda s: "high", 2, "return a number"),
    (lambda s: {"a": 1} if s else {"b": 1}, 2, r"run\(1\) did not measure the same"),
    (lambda s: {"a": 1} if s else 1, 2, "return a number"),
    (lambda s: float("nan"), 2, "not finite"),
])
def test_runs_that_cannot_be_summed_up_are_refused(run, seeds, message):
    with pytest.raises(ValueError, match=message):
        over_seeds(run, seeds)


def test_differences_are_paired_by_seed():
    single = Measured({0: 0.50, 1: 0.70, 2: 0.90})
    multi = Measured({2: 0.96, 0: 0.55, 1: 0.76})                    # another order of the same seeds
    gain = multi - single
    assert {seed: round(value, 9) for seed, value in gain.by_seed.items()} == {2: 0.06, 0: 0.05, 1: 0.06}
    assert gain.low > 0 > multi.low - single.high                    # pairing takes out what the seed does to both


def test_other_seeds_are_refused():
    with pytest.raises(ValueError, match="same seeds"):
        Measured({0: 1, 1: 2}) - Measured({0: 1, 2: 2})


def test_arithmetic_with_numbers():
    x = Measured({0: 0.5, 1: 0.7})
    assert (x * 2).by_seed == {0: 1.0, 1: 1.4} and (1 - x).by_seed[0] == 0.5 and (x / 2).by_seed[0] == 0.25
    assert (x * np.float32(2)).by_seed[0] == 1.0
    assert sum([x, x]).by_seed == {0: 1.0, 1: 1.4}
    with pytest.raises(TypeError):
        x - "a"


def test_text_shows_what_the_interval_supports():
    gain = Measured({i: v for i, v in enumerate([0.12, 0.15, 0.16, 0.18, 0.21])}) - 0
    assert str(gain.percent()) == "+16.4 [12.2, 20.6], 5 seeds"
    assert str(gain) == "+0.164 [0.122, 0.206], 5 seeds"
    assert str(Measured({0: 40.0, 1: 62.0, 2: 55.0})) == "52 [24, 80], 3 seeds"
    assert str(Measured({0: 0.9, 1: 0.9})) == "0.900 [0.900, 0.900], 2 seeds"
    assert str(Measured({0: 0.1, 1: 0.1, 2: 0.1}).percent()) == "10.0 [10.0, 10.0], 3 seeds"
    assert str(Measured({0: 0.98765})) == "0.988, 1 seed (no interval)"


@pytest.mark.parametrize("margin, digits", [(0.0042, 4), (0.042, 3), (0.4, 2), (5.2, 1), (9.99, 1), (52, 0), (520, 0)])
def test_two_digits_of_the_margin(margin, digits):
    assert decimals(margin) == digits


def test_one_seed_supports_no_claim():
    one = Measured({0: 0.9})
    assert math.isnan(one.low) and not one.low > 0.5 and not one.low <= 0.5


# ---- delta-m --------------------------------------------------------------------------------------------------------

def test_delta_m_by_hand():
    assert delta_m({"a": 0.9, "b": 0.4}, {"a": 0.6, "b": 0.5}) == pytest.approx((0.5 - 0.2) / 2)


def test_delta_m_turns_the_sign_where_lower_is_better():
    assert delta_m({"a": 0.9, "rmse": 0.4}, {"a": 0.6, "rmse": 0.5}, lower_is_better=["rmse"]) == pytest.approx(0.35)
    assert delta_m({"a": 0.9, "rmse": 0.4}, {"a": 0.6, "rmse": 0.5}, lower_is_better="rmse") == pytest.approx(0.35)


def test_delta_m_averages_the_metrics_of_a_task_first():
    multi, single = {"a": {"f1": 0.6, "rmse": 1.0}, "b": 0.5}, {"a": {"f1": 0.5, "rmse": 2.0}, "b": 0.5}
    assert delta_m(multi, single, lower_is_better=["rmse"]) == pytest.approx(((0.2 + 0.5) / 2 + 0) / 2)
    multi, single = {"a": {"x": 1.0, "y": 2.0}}, {"a": {"x": 2.0, "y": 4.0}}
    assert delta_m(multi, single, lower_is_better=["a"]) == pytest.approx(0.5)


def test_delta_m_of_measured_values_is_paired_by_seed():
    multi, single = {"a": Measured({0: 0.9, 1: 0.6})}, {"a": Measured({0: 0.6, 1: 0.5})}
    assert list(delta_m(multi, single).values) == pytest.approx([0.5, 0.2])
    assert str(delta_m(multi, single).percent()).startswith("+35")


@pytest.mark.parametrize("multi, single, options, message", [
    ({"mcc": 0.2}, {"mcc": 0.001}, {}, "too near 0"),
    ({"mcc": 0.2}, {"mcc": -0.5}, {}, "too near 0"),
    ({"mcc": Measured({0: 1, 1: 1})}, {"mcc": Measured({0: 0.9, 1: 0.0})}, {}, "too near 0"),
    ({"a": 1}, {"b": 1}, {}, "same tasks"),
    ({"a": {"f1": 1}}, {"a": {"em": 1}}, {}, "same metrics"),
    ({}, {}, {}, "same tasks"),
    ({"a": 1}, {"a": 1}, {"lower_is_better": ["rmse"]}, "rmse"),
])
def test_delta_m_refuses_what_it_cannot_compare(multi, single, options, message):
    with pytest.raises(ValueError, match=message):
        delta_m(multi, single, **options)


def test_shown_delta_m_names_its_sign():
    multi, single = {"a": Measured({0: 0.9, 1: 0.6})}, {"a": Measured({0: 0.6, 1: 0.5})}
    found = delta_m(multi, single)
    assert "above 0 is better than single-task training" in repr(found) and "above 0" in repr(found.percent())
    assert str(found.percent()) == repr(found.percent()).split(";")[0]                # in a sentence the number alone
    assert "above 0" not in repr(found * -1) and "above 0" not in repr(found - found)   # another sign, another thing


def test_the_public_names_lead_here():
    assert mt.evaluate is evaluate and mt.over_seeds is over_seeds and mt.delta_m is delta_m and mt.Measured is Measured
