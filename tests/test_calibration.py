"""ECE by a loop over bins and by scikit-learn's curve, what chance alone gives, and temperature against a grid."""

import math

import numpy as np
import pytest
import torch
from small_models import backbone, task_set

import mtl_teach as mt
from mtl_teach.calibration import best_temperature, calibration_of, check_calibration, fit_temperature, logits_of, softmax
from mtl_teach.tasks import Task, TaskError

TOPIC = Task("topic", "classify", ("a", "b", "c"))
MOOD = Task("mood", "classify", ("bad", "good"))


def made(n=400, sharpness=2.0, seed=0):
    """Logits, and truth drawn from the softmax of the logits: perfectly calibrated at temperature 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)) * sharpness
    answer = [rng.choice(3, p=row) for row in softmax(logits)]
    return logits, answer, [TOPIC.labels[i] for i in answer]


def by_loop(truth, probabilities, bins) -> tuple[float, float]:
    """Guo et al. 2017, eq. 3, and the largest gap, a bin at a time."""
    ece, worst = 0.0, 0.0
    for m in range(bins):
        rows = [i for i, p in enumerate(probabilities) if m / bins < max(p) <= (m + 1) / bins]
        if rows:
            accuracy = np.mean([TOPIC.labels[int(np.argmax(probabilities[i]))] == truth[i] for i in rows])
            gap = abs(accuracy - np.mean([max(probabilities[i]) for i in rows]))
            ece, worst = ece + len(rows) / len(truth) * gap, max(worst, gap)
    return ece, worst


@pytest.mark.parametrize("bins", [1, 7, 10, 15])
def test_ece_is_the_sum_over_bins(bins):
    logits, _answer, truth = made()
    found = calibration_of(TOPIC, truth, softmax(logits * 3), bins=bins)
    assert (found.ece, found.worst) == pytest.approx(by_loop(truth, softmax(logits * 3), bins))
    assert found.table.rows.sum() == 400 and f"{bins} bins of equal width, 400 rows" in str(found)


def test_ece_by_hand():
    probabilities = [[0.95, 0.03, 0.02], [0.92, 0.04, 0.04], [0.55, 0.45, 0.0], [0.5, 0.3, 0.2]]
    found = calibration_of(TOPIC, ["a", "b", "a", "c"], probabilities)
    #   (0.9, 1]: confidence .935, 1 of 2 right; (0.5, 0.6]: .55, right; (0.4, 0.5]: .5, wrong
    assert found.ece == pytest.approx((2 * 0.435 + 0.45 + 0.5) / 4)
    assert found.worst == pytest.approx(0.5) and found.accuracy == 0.5 and found.confidence == pytest.approx(2.92 / 4)
    assert found.table.low.tolist() == pytest.approx([0.4, 0.5, 0.9]) and found.table.rows.tolist() == [1, 1, 2]
    assert found.nll == pytest.approx(-np.log([0.95, 0.04, 0.55, 0.2]).mean())
    first, second = (0.05**2 + 0.03**2 + 0.02**2), (0.92**2 + 0.96**2 + 0.04**2)
    assert found.brier == pytest.approx((first + second + 0.45**2 + 0.45**2 + 0.5**2 + 0.3**2 + 0.8**2) / 4)


def test_bins_are_scikit_learns():
    from sklearn.calibration import calibration_curve
    rng = np.random.default_rng(1)
    p = rng.uniform(0.5, 1, 300)
    truth = ["good" if rng.random() < q else "bad" for q in p]
    table = calibration_of(MOOD, truth, np.c_[1 - p, p]).table
    accuracy, confidence = calibration_curve([t == "good" for t in truth], p, n_bins=10)
    assert table.accuracy.tolist() == pytest.approx(accuracy.tolist())
    assert table.confidence.tolist() == pytest.approx(confidence.tolist())


def test_bins_of_equal_size_hold_equal_numbers():
    logits, _answer, truth = made(300)
    table = calibration_of(TOPIC, truth, softmax(logits), binning="mass").table
    assert table.rows.tolist() == [30] * 10
    assert (table.low <= table.confidence).all() and (table.confidence <= table.high).all()
    equal = calibration_of(TOPIC, ["a"] * 6, [[0.8, 0.1, 0.1]] * 6, binning="mass")
    assert equal.table.rows.tolist() == [6] and equal.ece == pytest.approx(0.2)


def test_certainty_belongs_to_the_last_bin_and_a_sure_right_model_has_no_error():
    found = calibration_of(TOPIC, ["a", "b"], [[1, 0, 0], [0, 1, 0]])
    assert found.ece == found.worst == found.brier == 0 and found.table.high.tolist() == [1.0] and abs(found.nll) < 1e-9
    assert math.isfinite(calibration_of(TOPIC, ["b"], [[1, 0, 0]]).nll)


def test_a_calibrated_model_shows_the_ece_of_chance_and_an_overconfident_one_more():
    logits, _answer, truth = made(500)
    right = calibration_of(TOPIC, truth, softmax(logits))
    mean, most = right.by_chance()
    assert 0 < mean < most and right.ece <= most
    sure = calibration_of(TOPIC, truth, softmax(logits * 3))
    assert sure.ece > sure.by_chance()[1] and sure.confidence > sure.accuracy


def test_the_ece_of_chance_shrinks_with_rows_and_grows_with_bins():
    small, large = (calibration_of(TOPIC, truth, softmax(logits)) for logits, _a, truth in (made(100), made(1600)))
    assert small.by_chance()[0] > 2 * large.by_chance()[0]
    logits, _answer, truth = made(200)
    few, many = (calibration_of(TOPIC, truth, softmax(logits), bins=b).by_chance(300)[0] for b in (5, 50))
    assert many > 1.5 * few


def test_chance_is_the_mean_over_calibrated_worlds():
    """Draw labels that fit the probabilities, measure the ECE of each draw: the same mean."""
    logits, _answer, truth = made(150)
    found, p = calibration_of(TOPIC, truth, softmax(logits)), softmax(logits)
    rng = np.random.default_rng(8)
    worlds = [calibration_of(TOPIC, [TOPIC.labels[rng.choice(3, p=row)] for row in p], p).ece for _ in range(150)]
    assert found.by_chance()[0] == pytest.approx(np.mean(worlds), abs=0.006)


def test_temperature_minimises_the_loss_and_changes_no_answer():
    logits, answer, _truth = made(600)
    found = best_temperature(logits * 3, answer)
    grid = np.exp(np.linspace(np.log(0.1), np.log(15), 300))
    losses = [torch.nn.functional.cross_entropy(torch.tensor(logits * 3 / t), torch.tensor(answer)).item() for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.02)
    assert found == pytest.approx(3, rel=0.2)                                   # the truth was drawn at temperature 1
    assert (softmax(logits, 5).argmax(1) == logits.argmax(1)).all()


def test_temperature_stops_where_there_is_no_best_one():
    assert 0.05 <= best_temperature([[3.0, 0.0], [0.0, 2.0]], [0, 1]) < 0.1             # all right: 0 would be best
    assert 19 < best_temperature([[3.0, 0.0], [0.0, 2.0]], [1, 0]) <= 20                 # all wrong: the more doubt the better


@pytest.mark.parametrize("task, truth, probabilities, options, message", [
    (Task("stars", "regress"), [1.0], [[1.0]], {}, "choose one class"),
    (TOPIC, ["a"], [[2.0, 1.0, -1.0]], {}, "softmax"),
    (TOPIC, ["a"], [[0.5, 0.2, 0.2]], {}, "sum to 1"),
    (TOPIC, ["a", "b"], [[1, 0, 0]], {}, "2 rows, 3 classes"),
    (TOPIC, [], np.empty((0, 3)), {}, "expected probabilities"),
    (TOPIC, ["d"], [[1, 0, 0]], {}, "unknown label 'd'"),
    (TOPIC, ["a"], [[1, 0, 0]], {"binning": "weight"}, "Did you mean 'width'"),
    (TOPIC, ["a"], [[1, 0, 0]], {"bins": 0}, "at least 1"),
])
def test_what_has_no_calibration_is_refused(task, truth, probabilities, options, message):
    with pytest.raises(TaskError, match=message):
        calibration_of(task, truth, probabilities, **options)


# ---- of a model ---------------------------------------------------------------------------------------------------------

def test_a_models_logits_are_those_of_its_answers():
    tasks = task_set(kinds=("classify", "regress"))
    model = mt.HardSharing(backbone("gpt2"), tasks).train()
    rows = sorted(tasks["mood"].test, key=lambda row: -len(row["text"].split()))          # longest first
    found = logits_of(model, "mood", rows, batch_size=3)
    assert model.training and found.shape == (8, 2) and len(set(found[:, 0].round(4))) > 3
    assert [MOOD.labels[i] for i in found.argmax(1)] == model.predict("mood", rows)
    for number, row in enumerate(rows):                                         # in the order of the rows
        assert found[number] == pytest.approx(logits_of(model, "mood", [row])[0], abs=1e-5)
    with pytest.raises(TaskError, match="choose one class"):
        logits_of(model, "stars", tasks["stars"].test)
    with pytest.raises(TaskError, match="Did you mean 'mood'"):
        logits_of(model, "moood", rows)


def test_calibration_of_a_model_with_the_temperature_of_its_validation_rows():
    tasks = task_set(count=60, kinds=("classify",))
    model = mt.SingleTask(backbone("gpt2"), tasks)
    data = tasks["mood"]
    data.test = data.train
    plain = check_calibration(model, data)
    assert plain.rows == 60 and plain.nll == pytest.approx(torch.nn.functional.cross_entropy(
        torch.tensor(logits_of(model, "mood", data.test)), torch.tensor([MOOD.index(r["label"]) for r in data.test])).item())
    data.validation = data.test
    warmer = check_calibration(model, data, temperature=fit_temperature(model, data))
    assert warmer.nll <= plain.nll + 1e-9 and warmer.accuracy == plain.accuracy


def test_a_temperature_is_not_fitted_on_the_test_set():
    tasks = task_set(kinds=("classify",))
    model = mt.SingleTask(backbone("gpt2"), tasks)
    with pytest.raises(TaskError, match="fitted on validation"):
        fit_temperature(model, tasks["mood"], "test")
    tasks["mood"].validation = []
    with pytest.raises(TaskError, match="no rows in 'validation'"):
        fit_temperature(model, tasks["mood"])
    with pytest.raises(TaskError, match=r"tasks\['topic'\]"):
        check_calibration(model, tasks)
    with pytest.raises(ValueError, match="above 0"):
        softmax([[1, 2]], 0)
