"""Plain baselines: right on cases with a known answer, useful where words give the answer away, never crashing."""

import numpy as np
import pytest

from mtl_teach import baselines
from mtl_teach.baselines import cached_predictions, majority, plain_baseline
from mtl_teach.metrics import score
from mtl_teach.tasks import Task, TaskData, TaskError

GOOD, BAD = ("great", "lovely", "warm"), ("awful", "cold", "stale")


def reviews(count: int, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        good = rng.random() < 0.5
        word, food = rng.choice(GOOD if good else BAD), rng.choice(["soup", "bread", "tea"])
        rows.append({"text": f"the {food} was {word} today", "label": "good" if good else "bad"})
    return rows


def data(task: Task, make, count: int = 60) -> TaskData:
    return TaskData(task, *([make(row) for row in reviews(count, seed)] for seed in (0, 1, 2)))


def plain_score(found: TaskData, metric: str = "") -> float:
    predictions = plain_baseline(found.task, found).predict(found.test)
    return score(found.task, [row["label"] for row in found.test], predictions)[metric or found.task.metric]


MOOD = Task("mood", "classify", ("good", "bad", "mixed"))               # "mixed" never occurs


def test_words_that_decide_the_class_are_found():
    assert plain_score(data(MOOD, dict)) == 1.0


def test_pairs_compare_the_two_texts():
    """Each text alone says nothing; only whether they agree does."""
    rng = np.random.default_rng(0)

    def pair(row):
        other = str(rng.choice(["soup", "bread", "tea"]))
        return {"text": row["text"], "text_b": f"they had {other}", "label": "yes" if other in row["text"] else "no"}

    found = data(Task("same", "classify", ("no", "yes"), pair=True), pair, 200)
    assert plain_score(found) > 0.95
    alone = Task("same", "classify", ("no", "yes"))
    assert plain_score(TaskData(alone, found.train, found.validation, found.test)) < 0.9


def test_text_without_spaces_is_read_by_characters():
    def chinese(row):
        return {"text": "今天的汤" + ("很好喝" if row["label"] == "good" else "太难喝了"), "label": row["label"]}
    assert plain_score(data(MOOD, chinese)) == 1.0


def test_multilabel_finds_each_label_and_knows_the_empty_set():
    foods = Task("about", "multilabel", ("soup", "bread", "tea", "cake"))
    found = data(foods, lambda row: {"text": row["text"], "label": [w for w in ("soup", "bread") if w in row["text"]]})
    assert plain_score(found, "exact_match") == 1.0
    assert [] in plain_baseline(foods, found).predict(found.test)


def test_regress_follows_the_words():
    stars = {"good": 4.5, "bad": 1.5}
    found = data(Task("stars", "regress"), lambda row: {"text": row["text"], "label": stars[row["label"]]})
    assert plain_score(found) > 0.98
    predicted = plain_baseline(found.task, found).predict(found.test)
    assert 1 < min(predicted) < 2 and 4 < max(predicted) < 5                  # in the units of the labels


def test_tag_gives_each_word_its_commonest_tag():
    task = Task("names", "tag", ("O", "B-PER", "I-PER"))
    train = [{"tokens": ["Mara", "ran"], "label": ["B-PER", "O"]}, {"tokens": ["Mara"], "label": ["O"]},
             {"tokens": ["Mara", "Bell"], "label": ["B-PER", "I-PER"]},
             {"tokens": ["ran", "home"], "label": ["O", "O"]}]
    model = plain_baseline(task, TaskData(task, train))
    assert model.predict([{"tokens": ["Mara", "Bell", "Ivo"]}]) == [["B-PER", "I-PER", "O"]]


def test_span_finds_the_sentence_and_the_words():
    task = Task("where", "span", pair=True)

    def question(row):
        shop, food = ("bakery", "bread") if row["label"] == "good" else ("market", "tea")
        text = f"Today Mara was late. She bought {food} at the {shop}. It rained."
        at = text.index(shop)
        return {"text": f"where was the {food} bought ?", "text_b": text, "label": [at, at + 6]}

    assert plain_score(data(task, question), "exact_match") == 1.0


def test_generate_gives_the_answer_of_the_most_similar_prompt():
    task = Task("reply", "generate")
    train = [{"text": "is the soup warm ?", "label": "yes it is"}, {"text": "who sold the bread ?", "label": "Ivo did"}]
    model = plain_baseline(task, TaskData(task, train))
    assert model.predict([{"text": "who sold the tea ?"}]) == ["Ivo did"]


@pytest.mark.parametrize("task, labels, answer", [
    (MOOD, ["bad", "good", "good"], "good"),
    (Task("about", "multilabel", ("tea", "soup")), [["tea"], ["soup", "tea"], ["tea", "soup"]], ["soup", "tea"]),
    (Task("stars", "regress"), [1, 2, 6], 3.0),
    (Task("names", "tag", ("O", "B-PER")), [["O", "O"], ["B-PER"]], "O"),
    (Task("reply", "generate"), ["no", "yes", "no"], "no"),
])
def test_majority_is_the_commonest_answer(task, labels, answer):
    model = majority(task, [{"label": label} for label in labels])
    assert model.answer == answer
    expected = [[answer] * 2] if task.kind == "tag" else [answer]
    assert model.predict([{"tokens": ["a", "b"]}]) == expected


def test_spans_have_no_majority():
    task = Task("where", "span", pair=True)
    assert majority(task, [{"label": [0, 3]}]) is None


def test_one_class_in_training_and_no_validation_still_answer():
    rows = [{"text": "the soup was warm", "label": "good"}] * 3
    assert plain_baseline(MOOD, TaskData(MOOD, rows)).predict(rows[:1]) == ["good"]


def test_no_training_rows_is_a_clear_error():
    for call in (lambda: majority(MOOD, []), lambda: plain_baseline(MOOD, TaskData(MOOD))):
        with pytest.raises(TaskError, match="no training rows"):
            call()


def test_the_same_data_is_trained_on_once(monkeypatch):
    calls = []
    monkeypatch.setattr(baselines, "plain_baseline", lambda *a: calls.append(1) or plain_baseline(*a))
    found = data(MOOD, dict)
    first = cached_predictions(found, found.test)
    assert cached_predictions(data(MOOD, dict), list(found.test)) == first and len(calls) == 1      # equal, not same
    found.train[0] = {**found.train[0], "label": "mixed"}
    cached_predictions(found, found.test)
    assert len(calls) == 2
    cached_predictions(found, found.validation)
    assert len(calls) == 3
