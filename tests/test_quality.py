"""check_quality finds what it claims to find, nothing in clean data, and all that make_dirty planted."""

import random

import pytest

import mtl_teach as mt
from mtl_teach.quality import CHECKS, DAMAGES, check_quality, make_dirty
from mtl_teach.quality.checks import near_text

KINDS = {"classify": ("a", "b", "c"), "multilabel": ("x", "y", "z"), "regress": (), "tag": ("O", "B-X", "I-X"),
         "generate": ()}


def label(kind, i):
    return {"classify": "abc"[i % 3], "multilabel": [["x"], ["y", "z"], ["x", "y"], ["z"]][i % 4],
            "regress": float(i % 7), "tag": ["O", "B-X", "O", "O", "O"], "generate": f"write {i}"}[kind]


def rows(name, kind, start, stop):
    made = [{"text": f"{name} sees visitor {i} today", "label": label(kind, i)} for i in range(start, stop)]
    return [row | {"tokens": row["text"].split()} for row in made] if kind == "tag" else made


@pytest.fixture
def clean():
    def data(kind, labels):
        return mt.TaskData(mt.Task(kind, kind, labels), rows(kind, kind, 0, 200), rows(kind, kind, 200, 230),
                           rows(kind, kind, 230, 290))
    return mt.TaskSet({kind: data(kind, labels) for kind, labels in KINDS.items()})


def one(train, validation=(), test=(), kind="classify", labels=("a", "b")):
    """A set of one task "t"; a row may be written as (text, label)."""
    def full(rows):
        return [row if isinstance(row, dict) else {"text": row[0], "label": row[1]} for row in rows]
    return mt.TaskSet(t=mt.TaskData(mt.Task("t", kind, labels), full(train), full(validation), full(test)))


PLAIN = [("the soup is warm", "a"), ("the bread is stale", "b"), ("a quiet room upstairs", "a"),
         ("noise until midnight", "b")]


def test_clean_data_has_no_findings(clean):
    report = check_quality(clean)
    assert report.findings == [] and str(report) == "no findings" and "no findings" in report._repr_html_()
    assert report.facts_table.loc["classify", "majority baseline (test accuracy)"] == "33.3%"


# check -> (training rows added to PLAIN, the numbers of the rows it must name)
IN_TRAINING = {
    "duplicate": ([("the soup is warm", "a")], [4]),
    "near duplicate": ([("The  soup is WARM!", "a"), ("the-soup is warm", "a")], [4, 5]),
    "contradiction": ([("The soup is warm.", "b")], [0, 4]),
    "empty text": ([("", "a"), (" \n", "b")], [4, 5]),
    "short text": ([("ok", "a"), ("!?", "b")], [4, 5]),
    "long text": ([("on and on " * 40, "a")], [4]),
    "debris": ([("some <b>bold</b> words", "a"), ("fish &amp; chips", "b"), ("a caf\ufffd here", "a"),
                ("a cafÃ\xa9 there", "b"), ("three < four > two & one", "a"), ("i <3 it", "a")], [4, 5, 6, 7]),
}


@pytest.mark.parametrize("check", IN_TRAINING)
def test_faults_in_training(check, clean):
    added, numbers = IN_TRAINING[check]
    report = check_quality(one(PLAIN + added))
    assert report.rows(check, "t") == numbers
    assert {found.check for found in report.findings} == {check}


def test_leaks_between_splits():
    report = check_quality(one(PLAIN, validation=[("Noise, until midnight!", "b")],
                               test=[("something else", "a"), PLAIN[0], PLAIN[3]]))
    assert report.rows("leak", "t", "test") == [1, 2] and report.rows("leak", "t", "validation") == [0]
    report = check_quality(one(PLAIN, validation=[("new words", "a")], test=[("old words", "b"), ("New words!", "a")]))
    assert report.rows("leak", "t", "test") == [1]


def test_the_example_says_where_the_leak_is():
    report = check_quality(one(PLAIN, test=[PLAIN[0]]))
    assert report.find("leak")[0].detail == "also in train: 'the soup is warm'"


def test_leaks_between_tasks(clean):
    clean["classify"].train.append({"text": clean["regress"].test[3]["text"].upper(), "label": "a"})
    report = check_quality(clean)
    assert report.rows("leak between tasks", "regress", "test") == [3]
    assert "in the training rows of classify" in report.findings[0].detail and len(report.findings) == 1


def test_pairs_are_compared_as_pairs():
    pairs = [{"text": "it rains", "text_b": f"it is {word}", "label": word[0]} for word in ("wet", "dry", "wet", "dry")]
    assert check_quality(one(pairs)).rows("duplicate", "t") == [2, 3]
    report = check_quality(one(pairs[:2] + [pairs[0] | {"text_b": ""}]))
    assert report.rows("empty text", "t") == [2] and len(report.findings) == 1


def test_contradictions_by_kind():
    text = "the soup is warm"
    assert not check_quality(one([(text, "x"), (text, "y")], kind="generate", labels=())).findings
    numbers = [(f"soup number {i}", float(i)) for i in range(10)]
    for value, numbers_of_rows in ((9.0, [0, 10]), (1.0, [])):
        report = check_quality(one([*numbers, (numbers[0][0], value)], kind="regress", labels=()))
        assert report.rows("contradiction", "t") == numbers_of_rows
    report = check_quality(one([(text, ["a"]), (text, ["a", "b"])], kind="multilabel"))
    assert report.rows("contradiction", "t") == [0, 1]


def test_imbalance_and_drift():
    def many(share, start=0, n=200):
        return [(f"text number {i}", "a" if i % 10 < share else "b") for i in range(start, start + n)]
    assert not check_quality(one(many(5), test=many(5, 1000))).findings
    report = check_quality(one(many(9), test=many(9, 1000)))
    assert [found.check for found in report.findings] == ["imbalance"] and "180 rows of 'a', 20 of 'b'" in str(report)
    report = check_quality(one(many(6), test=many(3, 1000)))
    assert [found.check for found in report.findings] == ["drift"] and report.findings[0].share == pytest.approx(0.3)
    assert "60% of training, 30% of test" in report.findings[0].detail
    assert not check_quality(one(many(6), test=many(3, 1000, 10))).findings, "ten rows prove no drift"
    small = [(text, label if i % 20 else "b") for i, (text, label) in enumerate(many(6, 10_000, 9_000))]
    assert not check_quality(one(many(6, n=9_000), test=small)).findings, "five points of a hundred are no matter"


def test_texts_are_near_without_case_space_and_punctuation():
    assert near_text("Hello,  World!") == near_text("hello world") != near_text("hello worlds")
    assert near_text("你好,世界。") == near_text("你好 世界") != near_text("你好")
    assert near_text(":-)") == ":-)" != near_text(":-(") and near_text(" ") is None


@pytest.mark.parametrize("seed", range(3))
def test_everything_planted_is_found(clean, seed):
    before = {name: list(data.train) for name, data in clean.items()}
    dirty, truth = make_dirty(clean, seed)
    assert {name: data.train for name, data in clean.items()} == before, "the clean tasks stay as they are"
    table = check_quality(dirty).against(truth)
    assert set(table.index) >= set(DAMAGES)
    assert (table["planted"] == table["found of these"]).all()
    assert not table["found besides"].drop("drift", errors="ignore").any()


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_damage_alone_is_all_that_is_found(clean, damage):
    dirty, truth = make_dirty(clean, damages=[damage])
    found = {finding.check for finding in check_quality(dirty).findings}
    assert found - {"drift"} == {damage} == {finding.check for finding in truth.findings}


def test_a_seed_decides_what_is_planted(clean):
    (a, _), (b, _), (c, _) = (make_dirty(clean, seed) for seed in (1, 1, 2))
    assert a == b != c


def test_planted_rows_stand_among_the_others_and_are_copies(clean):
    dirty, truth = make_dirty(clean, damages=["contradiction"])
    numbers = truth.rows("contradiction", "classify")
    assert sum(number < 150 for number in numbers) > 10, "not all the copies are at the end"
    dirty["classify"].train[0]["text"] = "changed"
    assert all(row["text"] != "changed" for row in clean["classify"].train)


def test_against_counts_what_was_missed(clean):
    dirty, truth = make_dirty(clean, damages=["duplicate"])
    table = check_quality(clean).against(truth)
    assert table.loc["duplicate", "planted"] > 0 and table.loc["duplicate", "found of these"] == 0
    assert check_quality(dirty).against(mt.quality.Report()).loc["duplicate", "found besides"] > 0


def test_the_table_shows_every_finding_with_advice(clean):
    report = check_quality(make_dirty(clean)[0])
    assert len(report.table) == len(report.findings) and set(report.table["what to do"]) <= set(CHECKS.values())
    assert [list(CHECKS).index(check) for check in report.table["check"]] == sorted(
        list(CHECKS).index(check) for check in report.table["check"])
    assert "leak: Remove the text from training" in str(report) and "    classify, test: 3 rows, 5.0%;" in str(report)
    html = check_quality(one([*PLAIN, ("<script>alert(1)</script> a", "b")]))._repr_html_()
    assert CHECKS["debris"].replace("&", "&amp;") in html
    assert "&lt;script&gt;" in html and "<script>" not in html, "an example is shown, never run"


@pytest.mark.parametrize("call", [
    lambda tasks: check_quality({}), lambda tasks: check_quality(mt.TaskSet()),
    lambda tasks: make_dirty(tasks, damages=["leek"]),
    lambda tasks: make_dirty(tasks, share=0), lambda tasks: make_dirty(tasks, share=0.5),
    lambda tasks: check_quality(tasks).find("leek"),
])
def test_misuse_is_refused(call, clean):
    with pytest.raises(mt.TaskError):
        call(clean)


def test_real_data(real_data):
    """The sets were cut without exact duplicates, and without texts of the test part in training."""
    names = ["movie_polarity", "movie_subjectivity", "clinc150_domain"]
    report = check_quality(mt.load_tasks(real_data, names, quiet=True))
    assert not report.find("duplicate") and not report.find("empty text")
    assert all(found.share < 0.05 for found in report.find("leak"))
    shared = report.find("leak between tasks", "movie_polarity", "test")
    assert shared[0].share > 0.2, "a quarter of the polarity test sentences train the subjectivity task"


def test_the_order_of_rows_does_not_matter(clean):
    dirty, _ = make_dirty(clean)
    turned = mt.TaskSet(dirty)
    turned["classify"] = mt.TaskData(dirty["classify"].task, random.Random(0).sample(dirty["classify"].train, len(
        dirty["classify"].train)), dirty["classify"].validation, dirty["classify"].test)
    for check in CHECKS:
        assert len(check_quality(turned).rows(check, "classify")) == len(check_quality(dirty).rows(check, "classify"))
