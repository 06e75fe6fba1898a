"""Metrics against hand-computed values and against the libraries, and intervals against theory."""

from dataclasses import replace

import numpy as np
import pytest

from mtl_teach.metrics import entities, score
from mtl_teach.resampling import bootstrap, resample
from mtl_teach.tasks import METRICS, Task, TaskError

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TASKS = {
    "classify": Task("topic", "classify", ("food", "sport", "law", "art")),
    "multilabel": Task("about", "multilabel", ("tea", "bread", "soup")),
    "regress": Task("stars", "regress"),
    "tag": Task("names", "tag", TAGS),
    "span": Task("where", "span", pair=True),
    "generate": Task("reply", "generate"),
}


def labels(kind: str, rng: np.random.Generator, count: int) -> tuple[list, list]:
    """Random truth, and predictions that agree with it about two times in three."""
    make = {"classify": lambda: TASKS["classify"].labels[rng.integers(3)],
            "multilabel": lambda: [name for name in ("tea", "bread") if rng.random() < 0.5],
            "regress": lambda: float(rng.integers(6)),
            "tag": lambda: [TAGS[i] for i in rng.integers(5, size=7)],
            "span": lambda: sorted(map(int, rng.choice(20, 2, replace=False))),
            "generate": lambda: " ".join(rng.choice(["a", "b", "c"], rng.integers(1, 6)))}[kind]
    truth = [make() for _ in range(count)]
    return truth, [label if rng.random() < 2 / 3 else make() for label in truth]


def test_classify_by_hand():
    truth, predictions = ["food", "food", "food", "sport"], ["food", "food", "sport", "sport"]
    found = score(TASKS["classify"], truth, predictions)
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)            # law and art occur nowhere: left out
    assert found["mcc"] == pytest.approx((3 * 4 - (3 * 2 + 1 * 2)) / ((16 - 8) * (16 - 10)) ** 0.5)


def test_a_class_that_is_predicted_but_never_true_counts_in_macro_f1():
    found = score(TASKS["classify"], ["food", "food"], ["food", "law"])
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_multilabel_by_hand():
    found = score(TASKS["multilabel"], [["tea"], ["tea", "bread"], []], [["tea"], ["bread"], ["bread"]])
    assert found["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert found["macro_f1"] == pytest.approx((2 * 1 / (2 + 1) + 2 * 1 / (1 + 2)) / 2)
    assert found["exact_match"] == pytest.approx(1 / 3)


def test_multilabel_with_a_single_label_scores_the_label_not_its_absence():
    found = score(Task("spam", "multilabel", ("spam",)), [["spam"], [], []], [["spam"], ["spam"], []])
    assert found["micro_f1"] == found["macro_f1"] == pytest.approx(2 / 3)


def test_nothing_there_and_nothing_predicted_is_an_f1_of_zero():
    found = score(TASKS["multilabel"], [[], []], [[], []])
    assert found == {"micro_f1": 0.0, "macro_f1": 0.0, "exact_match": 1.0}
    assert score(TASKS["tag"], [["O", "O"]], [["O", "O"]]) == {"entity_f1": 0.0, "token_accuracy": 1.0}


@pytest.mark.parametrize("truth, predictions", [([1, 2, 3], [2.5, 2.5, 2.5]), ([4, 4, 4], [1, 2, 3]), ([1], [1]),
                                                ([0.1] * 6, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])])
def test_correlation_with_a_constant_counts_as_zero(truth, predictions):
    assert score(TASKS["regress"], truth, predictions) == {"pearson": 0.0, "spearman": 0.0}
    for metric in METRICS["regress"]:
        assert bootstrap(TASKS["regress"], truth, predictions, metric, n=20) == (0.0, 0.0)


def test_regress_by_hand():
    found = score(TASKS["regress"], [1, 2, 3, 4], [1, 10, 100, 1000])
    assert found["spearman"] == pytest.approx(1.0)
    assert found["pearson"] == pytest.approx(np.corrcoef([1, 2, 3, 4], [1, 10, 100, 1000])[0, 1])


def test_an_entity_is_right_only_as_a_whole():
    truth = [["B-PER", "I-PER", "O", "B-LOC"]]
    assert score(TASKS["tag"], truth, [["B-PER", "O", "O", "B-LOC"]])["entity_f1"] == pytest.approx(1 / 2)
    assert score(TASKS["tag"], truth, [["B-LOC", "I-LOC", "O", "B-LOC"]])["entity_f1"] == pytest.approx(1 / 2)


def test_strict_iob2_an_entity_starts_with_b():
    tags = ["O", "I-PER", "B-LOC", "I-LOC", "I-PER", "B-PER", "B-PER"]
    assert entities(tags) == {("LOC", 2, 3), ("PER", 5, 5), ("PER", 6, 6)}


def test_tags_that_mark_no_entities_have_token_accuracy_alone():
    pos = Task("pos", "tag", ("NOUN", "VERB"), metric="token_accuracy")
    assert score(pos, [["NOUN", "VERB"]], [["NOUN", "NOUN"]]) == {"token_accuracy": 0.5}
    with pytest.raises(TaskError, match="token_accuracy"):
        score(replace(pos, metric="entity_f1"), [["NOUN"]], [["NOUN"]])


def test_span_f1_is_the_overlap_in_characters():
    found = score(TASKS["span"], [[10, 20], [0, 4], [5, 5]], [[15, 25], [4, 8], [5, 5]])
    assert found["span_f1"] == pytest.approx((2 * 5 / 20 + 0 + 1) / 3)
    assert found["exact_match"] == pytest.approx(1 / 3)


def test_generated_words_count_in_place_over_the_longer_text():
    assert score(TASKS["generate"], ["the tea is warm", "no"], ["the tea was warm today", "no"]) == {
        "token_accuracy": pytest.approx((3 + 1) / (5 + 1))}
    assert score(TASKS["generate"], ["你好吗"], ["你好"])["token_accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("kind", METRICS)
def test_every_kind_has_every_metric_and_one_row_is_enough(kind):
    truth, _ = labels(kind, np.random.default_rng(0), 40)
    truth = [label for label in truth if label and label != "O"][:1]
    assert tuple(score(TASKS[kind], truth, truth)) == METRICS[kind]
    for metric in METRICS[kind]:
        assert np.isfinite(bootstrap(TASKS[kind], truth, truth, metric, n=10)).all()


@pytest.mark.parametrize("kind, metric", [(kind, metric) for kind in METRICS for metric in METRICS[kind]])
def test_a_resample_scores_what_the_library_gives_for_the_same_rows(kind, metric):
    """The resampler's fast forms against scikit-learn, scipy and seqeval on the very rows that were drawn."""
    truth, predictions = labels(kind, np.random.default_rng(1), 30)
    values = resample(TASKS[kind], truth, predictions, metric, n=25, seed=3)
    drawn = np.random.default_rng(3).integers(30, size=(25, 30))
    expected = [score(TASKS[kind], [truth[i] for i in rows], [predictions[i] for i in rows])[metric] for rows in drawn]
    assert values == pytest.approx(expected, abs=1e-12)
    assert np.ptp(values) > 0


def test_rounding_is_not_mistaken_for_spread_when_a_resample_draws_one_row_only():
    truth, predictions = [0.1, 0.7, 1.3], [0.3, 0.2, 0.9]
    values = resample(TASKS["regress"], truth, predictions, "pearson", n=300, seed=0)
    drawn = np.random.default_rng(0).integers(3, size=(300, 3))
    one_row = (drawn == drawn[:, :1]).all(1)
    assert one_row.sum() > 10 and (values[one_row] == 0).all() and (values[~one_row] != 0).all()


def test_the_interval_of_an_accuracy_is_that_of_a_binomial():
    rng = np.random.default_rng(0)
    hit = rng.random(1500) < 0.8
    low, high = bootstrap(TASKS["classify"], ["food"] * 1500, np.where(hit, "food", "law").tolist(), n=4000)
    error = 1.96 * (hit.mean() * (1 - hit.mean()) / 1500) ** 0.5
    assert (low, high) == pytest.approx((hit.mean() - error, hit.mean() + error), abs=0.002)


def test_the_seed_decides_and_blocks_do_not(monkeypatch):
    truth, predictions = labels("classify", np.random.default_rng(2), 60)
    whole = resample(TASKS["classify"], truth, predictions, n=50, seed=7)
    monkeypatch.setattr("mtl_teach.resampling.BLOCK", 200)
    assert (resample(TASKS["classify"], truth, predictions, n=50, seed=7) == whole).all()
    assert (resample(TASKS["classify"], truth, predictions, n=50, seed=8) != whole).any()


@pytest.mark.parametrize("kind, truth, predictions, message", [
    ("classify", [], [], "no rows"),
    ("classify", ["food", "law"], ["food"], "2 rows but 1 predictions"),
    ("classify", ["food"], ["fod"], "prediction 0: unknown label 'fod'. Did you mean 'food'"),
    ("classify", ["fod"], ["food"], "label 0: unknown label"),
    ("multilabel", [["tea"]], ["tea"], "expected a list"),
    ("multilabel", [["tea"]], [["te"]], "unknown label 'te'"),
    ("regress", [1.0], [float("nan")], "finite"),
    ("regress", [1.0], [None], "finite"),
    ("tag", [["O", "O"]], [["O"]], "2 tags but 1 predicted"),
    ("tag", [["O"]], [["X"]], "unknown label"),
    ("span", [[3, 5]], [[5, 3]], "start <= end"),
    ("span", [[3, 5]], [4], "start, end"),
    ("generate", ["a"], [None], "expected a text"),
])
def test_lists_that_do_not_fit_are_refused_with_the_reason(kind, truth, predictions, message):
    for function in (score, bootstrap):
        with pytest.raises(TaskError, match=message.replace("[", r"\[")):
            function(TASKS[kind], truth, predictions)


def test_an_unknown_metric_names_the_known_ones():
    with pytest.raises(TaskError, match="macro_f1"):
        bootstrap(TASKS["classify"], ["food"], ["food"], "f1")
