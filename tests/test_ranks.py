"""Mean ranks with ties by hand, Friedman and Nemenyi against the published example, four summaries that disagree."""

import math

import numpy as np
import pytest
from scipy import stats

import mtl_teach as mt
from mtl_teach.measured import Measured
from mtl_teach.ranks import mean_ranks, rankings
from mtl_teach.tasks import TaskError

THREE = {"single": {"a": 0.9, "b": 0.5, "c": 0.7}, "hard": {"a": 0.8, "b": 0.5, "c": 0.9}, "soft": {"a": 0.7, "b": 0.4, "c": 0.8}}

# Demsar (2006), JMLR 7, table 6: AUC of four variants of C4.5 on 14 data sets. On the 13th the paper ranks two rounded
# values of .975 as second and third, so the first of them is a little higher here.
DEMSAR = {
    "C4.5": (.763, .599, .954, .628, .882, .936, .661, .583, .775, 1.0, .940, .619, .972, .957),
    "C4.5+m": (.768, .591, .971, .661, .888, .931, .668, .583, .838, 1.0, .962, .666, .981, .978),
    "C4.5+cf": (.771, .590, .968, .654, .886, .916, .609, .563, .866, 1.0, .965, .614, .9751, .946),
    "C4.5+m+cf": (.798, .569, .967, .657, .898, .931, .685, .625, .875, 1.0, .962, .669, .975, .970),
}


def test_ranks_by_hand_with_a_tie():
    found = mean_ranks(THREE)
    assert found.table.loc["b"].to_dict() == {"single": 1.5, "hard": 1.5, "soft": 3}
    assert found.mean == pytest.approx({"hard": (2 + 1.5 + 1) / 3, "single": (1 + 1.5 + 3) / 3, "soft": (3 + 3 + 2) / 3})
    assert list(found.mean) == ["hard", "single", "soft"] and "1 is best" in str(found)


def test_lower_is_better_turns_one_task_round():
    turned = {m: v | {"a": -v["a"]} for m, v in THREE.items()}
    assert mean_ranks(turned, lower_is_better="a").mean == mean_ranks(THREE).mean
    assert mean_ranks(THREE, lower_is_better=["a"]).mean != mean_ranks(THREE).mean


def test_the_published_example():
    """Demsar 2006, sec. 3.2.2: mean ranks 3.143, 2.000, 2.893, 1.964; critical difference for four methods 1.25."""
    found = mean_ranks({m: {str(i): v for i, v in enumerate(values)} for m, values in DEMSAR.items()})
    assert {m: round(r, 3) for m, r in found.mean.items()} == {"C4.5+m+cf": 1.964, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5": 3.143}
    assert found.distance == pytest.approx(1.25, abs=0.005)
    ties = 3 * (2**3 - 2) + (4**3 - 4)                       # the paper's chi-squared of 9.28 is not corrected for ties
    assert found.p == pytest.approx(stats.chi2.sf(9.28 / (1 - ties / (14 * (4**3 - 4))), 3), rel=0.01)
    assert found.alike() == [["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]]         # 3.143 - 1.964 = 1.18 < 1.25


def test_methods_that_differ_on_every_task_are_told_apart():
    results = {m: {str(t): 10 * i + t for t in range(30)} for i, m in enumerate(("low", "mid", "high"))}
    found = mean_ranks(results)
    assert found.alike() == [] and found.p < 1e-6
    assert mean_ranks({m: {t: v[t] for t in list(v)[:4]} for m, v in results.items()}).alike() == [["high", "mid"], ["mid", "low"]]


def test_groups_are_maximal():
    """Brute force: every pair within the distance lies in a group, and no group lies in another."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        results = {str(m): {str(t): rng.normal(m / 3) for t in range(12)} for m in range(6)}
        found = mean_ranks(results)
        groups = [set(group) for group in found.alike()]
        for a in found.mean:
            for b in found.mean:
                if a != b:
                    assert any({a, b} <= g for g in groups) == (abs(found.mean[a] - found.mean[b]) < found.distance)
        assert not any(g < h for g in groups for h in groups)


def test_a_measured_value_counts_with_its_mean():
    many = {m: {t: Measured({0: v - 0.3, 1: v + 0.3}) for t, v in values.items()} for m, values in THREE.items()}
    assert mean_ranks(many).mean == pytest.approx(mean_ranks(THREE).mean)
    assert len(mean_ranks(many).table) == 3                                       # seeds are no further tasks


def test_two_methods_have_no_friedman_test_and_equal_ones_a_p_of_one():
    assert math.isnan(mean_ranks({m: THREE[m] for m in ("single", "hard")}).p)
    assert mean_ranks(dict.fromkeys(("x", "y", "z"), THREE["hard"])).p == 1.0


@pytest.mark.parametrize("results, options, message", [
    ({"single": {"a": 1}}, {}, "at least two methods"),
    ({"single": {"a": 1}, "hard": {"b": 1}}, {}, "same tasks"),
    ({"single": {}, "hard": {}}, {}, "same tasks"),
    ({"single": {"a": 1}, "hard": {"a": math.nan}}, {}, "'hard' has nan"),
    (THREE, {"lower_is_better": "d"}, "unknown task 'd'"),
])
def test_what_cannot_be_ranked_is_refused(results, options, message):
    with pytest.raises(TaskError, match=message):
        mean_ranks(results, **options)


# ---- four summaries -----------------------------------------------------------------------------------------------------

def test_rankings_by_hand():
    table = rankings(THREE, "single")
    assert list(table.columns) == ["average (higher is better)", "delta-m % (above 0 is better)", "mean rank (1 is best)",
                                   "worst task", "worst %"]
    hard = table.loc["hard"]
    assert hard.iloc[0] == pytest.approx(2.2 / 3)
    assert hard.iloc[1] == pytest.approx(100 * (-0.1 / 0.9 + 0 + 0.2 / 0.7) / 3)
    assert hard.iloc[2] == pytest.approx(1.5) and hard.iloc[3] == "a" and hard.iloc[4] == pytest.approx(-100 / 9)
    assert table.loc["single"].iloc[1] == 0 and table.loc["single"].iloc[3] == ""
    assert list(table.index) == ["hard", "single", "soft"]


def test_summaries_can_disagree():
    """One method wins big on one task, the other by a little on four."""
    results = {"single": dict.fromkeys("abcde", 0.5), "leap": dict(zip("abcde", (0.9, 0.49, 0.49, 0.49, 0.49))),
               "steps": dict.fromkeys("abcde", 0.51)}
    table = rankings(results, "single")
    assert table.iloc[:, 0].idxmax() == table.iloc[:, 1].idxmax() == "leap"
    assert table.iloc[:, 2].idxmin() == "steps" and table.iloc[:, 4].idxmax() == "steps"


def test_errors_and_accuracies_have_no_common_average():
    results = {"single": {"acc": 0.8, "rmse": 0.5}, "hard": {"acc": 0.8, "rmse": 0.4}}
    table = rankings(results, "single", lower_is_better="rmse")
    assert table.iloc[:, 0].isna().all() and table.loc["hard"].iloc[1] == pytest.approx(10)
    assert table.loc["hard"].iloc[3] == "acc"


def test_a_baseline_of_zero_and_an_unknown_one_are_refused():
    with pytest.raises(ValueError, match="too near 0"):
        rankings({"single": {"mcc": 0.0}, "hard": {"mcc": 0.2}}, "single")
    with pytest.raises(TaskError, match="Did you mean 'single'"):
        rankings(THREE, "singel")


def test_public_names():
    assert mt.mean_ranks is mean_ranks and mt.rankings is rankings
