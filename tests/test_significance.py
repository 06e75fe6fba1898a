"""Paired tests against enumeration by hand, the binomial by hand, Holm and Benjamini-Hochberg by their definitions."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import mtl_teach as mt
from mtl_teach.measured import Measured
from mtl_teach.metrics import score
from mtl_teach.significance import adjust, mcnemar, paired_bootstrap, paired_test, seeds_needed
from mtl_teach.tasks import Task, TaskError

MOOD = Task("mood", "classify", ("bad", "good"))
RNG = np.random.default_rng(0)


def measured(values, seeds=None) -> Measured:
    return Measured(dict(zip(seeds or range(len(values)), values)))


def enumerated(gaps) -> float:
    """Fisher's test as he did it: every flip of the signs, how many are at least as far from 0."""
    flips = [abs(sum(sign * gap for sign, gap in zip(signs, gaps))) for signs in itertools.product((1, -1), repeat=len(gaps))]
    return sum(value >= abs(sum(gaps)) - 1e-12 for value in flips) / len(flips)


@pytest.mark.parametrize("gaps", [(0.1, 0.2, 0.3, 0.1, 0.4), (0.1, -0.2, 0.3, 0.1, -0.05, 0.2), (0.5, -0.5), (0.3, 0.2, -0.1),
                                  tuple(RNG.normal(0.5, 1, 9))])
def test_the_permutation_test_is_the_enumeration_of_all_flips(gaps):
    single = measured(RNG.normal(size=len(gaps)))
    multi = measured(single.values + np.array(gaps))
    found = paired_test(multi, single)
    assert found.p == pytest.approx(enumerated(gaps)) and found.difference == pytest.approx(np.mean(gaps))
    assert found.pairs == len(gaps) and found.smallest == 2 / 2 ** len(gaps) <= found.p + 1e-12
    assert paired_test(single, multi).p == pytest.approx(found.p)                         # two-sided


def test_five_seeds_cannot_pass_five_per_cent_and_it_says_so():
    found = paired_test(measured([0.9, 0.8, 0.9, 0.8, 0.95]), measured([0.5, 0.5, 0.6, 0.4, 0.5]))
    assert found.p == pytest.approx(1 / 16) and "p cannot be below 0.062" in str(found)
    assert seeds_needed(0.05) == 6 and seeds_needed(1 / 16) == 5 and seeds_needed(0.01) == 8
    for p in (0.3, 0.04, 0.011, 0.001):
        n = seeds_needed(p)
        assert 2 / 2**n <= p < 2 / 2 ** (n - 1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        seeds_needed(0)


def test_many_seeds_are_sampled_and_agree_with_the_t_test_on_normal_differences():
    a, b = measured(RNG.normal(0.4, 1, 30)), measured(RNG.normal(0, 1, 30))
    p, t = paired_test(a, b).p, paired_test(a, b, "t").p
    assert p == pytest.approx(t, abs=0.03)
    assert t == pytest.approx(stats.ttest_rel(a.values, b.values).pvalue)


def test_the_pairs_are_matched_by_seed_not_by_position():
    single, multi = measured([0.5, 0.7, 0.9], [0, 1, 2]), measured([0.97, 0.52, 0.75], [2, 0, 1])
    assert paired_test(multi, single).p == pytest.approx(0.25)
    assert paired_test(multi, single, "t").p == pytest.approx(stats.ttest_1samp([0.02, 0.05, 0.07], 0).pvalue)


@pytest.mark.parametrize("first, second, method, message", [
    (measured([1, 2]), measured([1, 2], [0, 5]), "permutation", "same seeds"),
    (measured([1]), measured([2]), "permutation", "at least 2 seeds"),
    (measured([1, 2]), measured([2, 3]), "wilcoxon", "Known: permutation, t"),
    (measured([1, 2, 3]), measured([2, 3, 4]), "t", "without spread"),
    ([1, 2], measured([1, 2]), "t", "Measured"),
])
def test_what_cannot_be_paired_is_refused(first, second, method, message):
    with pytest.raises(ValueError, match=message):
        paired_test(first, second, method)


def test_identical_runs_give_p_one():
    for method in ("permutation", "t"):
        assert paired_test(measured([1, 2, 3]), measured([1, 2, 3]), method).p == 1


def test_false_alarms_come_as_often_as_promised():
    """1,000 experiments without any effect: p below 10 % in about 10 % of them, or fewer where p is coarse."""
    rng = np.random.default_rng(1)
    ps = np.array([[paired_test(measured(rng.normal(size=7)), measured(rng.normal(size=7)), m).p for m in ("permutation", "t")]
                   for _ in range(1000)])
    assert 0.07 < (ps[:, 0] <= 0.1).mean() < 0.13 and 0.07 < (ps[:, 1] <= 0.1).mean() < 0.13


# ---- examples ---------------------------------------------------------------------------------------------------------

def test_mcnemar_by_hand():
    truth = ["good"] * 20
    first = ["good"] * 12 + ["bad"] * 8                                       # right on 0-11
    second = ["bad"] * 9 + ["good"] * 5 + ["bad"] * 6                         # right on 9-13
    found = mcnemar(truth, first, second)                                     # 9 only first, 2 only second
    tail = sum(math.comb(11, k) for k in (0, 1, 2)) / 2**11
    assert found.p == pytest.approx(2 * tail) and found.pairs == 11 and found.difference == pytest.approx(7 / 20)
    assert mcnemar(truth, second, first).p == pytest.approx(found.p)


def test_mcnemar_looks_at_disagreements_alone():
    truth = ["good"] * 4
    first, second = ["good", "good", "good", "bad"], ["bad", "bad", "bad", "good"]
    small = mcnemar(truth, first, second)
    large = mcnemar(truth + ["good"] * 1000, first + ["good"] * 1000, second + ["good"] * 1000)
    assert small.p == large.p == pytest.approx(0.625)
    assert mcnemar(truth, first, first).p == 1.0 and "p cannot be below" in str(mcnemar(truth, first, first))


def test_mcnemar_compares_answers_of_any_form():
    assert mcnemar([[0, 3], [1, 2]], [[0, 3], [0, 2]], [[0, 3], [1, 2]]).pairs == 1


@pytest.mark.parametrize("lists", [(["a"], ["a"], ["a", "b"]), ([], [], []), (["a"], [], ["a"])])
def test_other_examples_are_refused(lists):
    with pytest.raises(ValueError, match="same examples"):
        mcnemar(*lists)
    with pytest.raises(ValueError, match="same examples"):
        paired_bootstrap(MOOD, *lists)


def answers(right: float, truth, rng):
    other = {"good": "bad", "bad": "good"}
    return [t if rng.random() < right else other[t] for t in truth]


def test_the_paired_bootstrap_is_the_resampling_written_out():
    rng = np.random.default_rng(3)
    truth = [MOOD.labels[i] for i in rng.integers(2, size=60)]
    first, second = answers(0.9, truth, rng), answers(0.6, truth, rng)
    gap = np.array([(a == t) - (b == t) for t, a, b in zip(truth, first, second)], float)
    drawn = gap[rng.integers(60, size=(5000, 60))].mean(1)
    found = paired_bootstrap(MOOD, truth, first, second, n=5000)
    assert found.value == pytest.approx(gap.mean()) and found.rows == 60 and "accuracy, 60 examples" in str(found)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.02)


def test_the_paired_bootstrap_takes_any_metric():
    rng = np.random.default_rng(3)
    truth = [MOOD.labels[i] for i in rng.integers(2, size=60)]
    first, second = answers(0.9, truth, rng), answers(0.6, truth, rng)
    found = paired_bootstrap(MOOD, truth, first, second, "mcc")
    assert found.value == pytest.approx(score(MOOD, truth, first)["mcc"] - score(MOOD, truth, second)["mcc"])
    assert found.low < found.value < found.high and found.metric == "mcc"


def test_pairing_takes_out_what_is_hard_for_both():
    """Two models that are wrong on the same hard half: the difference is known far better than each value."""
    rng = np.random.default_rng(4)
    truth = ["good"] * 400
    hard = rng.random(400) < 0.5
    first = ["bad" if h else "good" for h in hard]
    second = ["bad" if h or i % 40 == 0 else "good" for i, h in enumerate(hard)]
    gap = paired_bootstrap(MOOD, truth, first, second)
    from mtl_teach.resampling import bootstrap
    low, high = bootstrap(MOOD, truth, first)
    assert gap.high - gap.low < (high - low) / 3
    assert paired_bootstrap(MOOD, truth, first, first).low == paired_bootstrap(MOOD, truth, first, first).high == 0


# ---- several tests ------------------------------------------------------------------------------------------------------

def test_holm_by_hand():
    assert adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust({"a": 0.5, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert adjust([0.02]) == [0.02]


def test_benjamini_hochberg_by_its_definition():
    ps = np.sort(RNG.random(12) ** 3)
    by_hand = [min(ps[j] * 12 / (j + 1) for j in range(i, 12)) for i in range(12)]
    assert adjust(list(ps), "bh") == pytest.approx(np.minimum(by_hand, 1))
    harmonic = sum(1 / i for i in range(1, 13))
    assert adjust(list(ps), "by") == pytest.approx(np.minimum(np.array(by_hand) * harmonic, 1))


def test_holm_rejects_what_the_step_down_procedure_rejects():
    for _ in range(50):
        ps = RNG.random(8) ** 3
        left, rejected = sorted(range(8), key=lambda i: ps[i]), set()
        while left and ps[left[0]] <= 0.05 / len(left):
            rejected.add(left.pop(0))
        assert {i for i, p in enumerate(adjust(list(ps))) if p <= 0.05} == rejected


def test_holm_keeps_the_chance_of_any_false_finding():
    rng = np.random.default_rng(5)
    worlds = rng.random((2000, 10))                                           # ten true null hypotheses each
    assert (worlds.min(1) < 0.05).mean() > 0.35
    assert (np.array([min(adjust(list(ps))) for ps in worlds]) < 0.05).mean() < 0.07


def test_outcomes_can_be_corrected_together():
    found = {str(k): mcnemar(["a"] * 10, ["a"] * 10, ["b"] * k + ["a"] * (10 - k)) for k in (6, 8, 10)}
    assert adjust(found) == pytest.approx({"6": 2 / 64, "8": 2 * 2 / 256, "10": 3 * 2 / 1024})


@pytest.mark.parametrize("ps", [[], [0.5, 1.2], [math.nan], {"a": -0.1}])
def test_what_is_no_probability_is_refused(ps):
    with pytest.raises(ValueError, match="from 0 to 1"):
        adjust(ps)


def test_unknown_corrections_are_named():
    with pytest.raises(TaskError, match="Did you mean 'holm'"):
        adjust([0.1], "holmes")


def test_public_names():
    assert mt.paired_test is paired_test and mt.mcnemar is mcnemar and mt.adjust is adjust
    assert mt.paired_bootstrap is paired_bootstrap
