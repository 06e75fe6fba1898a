"""load_tasks on good data: files and folders; kinds, names, splits, sizes. Bad data is in test_loading_errors.py."""

import json

import pytest

import mtl_teach as mt
from mtl_teach.loading import load_tasks


def write(folder, **splits):
    """One .jsonl file per split; returns the folder as text."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines), "utf-8")
    return str(folder)


def rows(n, start=0, **columns):
    """n rows with different texts; a column is a function of the row number."""
    return [{"text": f"text number {i}"} | {name: make(i) for name, make in columns.items()}
            for i in range(start, start + n)]


def whole(folder, n=60, **columns):
    """A data set with all three splits."""
    return write(folder, train=rows(n, **columns), validation=rows(9, n, **columns), test=rows(9, n + 9, **columns))


def ab(i):
    return "ab"[i % 2]


def texts(data, split="train"):
    return [row["text"] for row in data.split(split)]


# ---- kinds and names ------------------------------------------------------------------------------------------


def test_one_target_bears_the_name_of_the_data_set(tmp_path):
    tasks = load_tasks(whole(tmp_path / "film-reviews", label=ab))
    assert list(tasks) == ["film_reviews"]
    data = tasks["film_reviews"]
    assert data.task == mt.Task("film_reviews", "classify", ("a", "b"))
    assert [len(data.split(split)) for split in ("train", "validation", "test")] == [60, 9, 9]
    assert set(data.train[0]) == {"text", "label"}


KINDS = {
    "label": (ab, "classify", ("a", "b")),
    "mood": (lambda i: ["calm", "cross", "glad"][i % 3], "classify", ("calm", "cross", "glad")),
    "stars": (lambda i: i % 5 + 1, "regress", ()),
    "score": (lambda i: i / 10, "regress", ()),
    "genres": (lambda i: ["x", "y"][: i % 3], "multilabel", ("x", "y")),
    "summary": (lambda i: f"in short {i}", "generate", ()),
}


@pytest.mark.parametrize("column", KINDS)
def test_the_kind_follows_from_the_column(column, tmp_path):
    make, kind, labels = KINDS[column]
    task = load_tasks(whole(tmp_path / "d", **{column: make}), quiet=True)["d"].task
    assert (task.kind, task.labels) == (kind, labels)


@pytest.mark.parametrize("column, make", {
    "source": ab, "lang": ab, "user": ab, "customer_id": ab, "timestamp": int, "level": ab, "length": lambda i: i % 3,
    "remark": lambda i: f"remark {i}", "constant": lambda i: "same", "topic": lambda i: f"topic {i}",
    "triples": lambda i: [{"subject": "x"}], "vector": lambda i: [1, 2], "empty": lambda i: None,
}.items())
def test_side_columns_are_no_tasks(column, make, tmp_path):
    tasks = load_tasks(whole(tmp_path / "d", label=ab, **{column: make}, id=str), quiet=True)
    assert list(tasks) == ["d"]
    assert tasks.notes == [f"d: columns left aside: {column}. To make one a task, name its kind in kinds=."]


def test_several_targets_share_their_rows(tmp_path):
    tasks = load_tasks(whole(tmp_path / "d", label=ab, score=float), train={"d_label": 20, "d_score": 30})
    assert list(tasks) == ["d_label", "d_score"]
    assert texts(tasks["d_label"]) == texts(tasks["d_score"])[:20]
    assert all(row["text"].endswith(f" {row['label']:.0f}") for row in tasks["d_score"].train)


def test_pairs_by_all_their_names(tmp_path):
    names = ("text", "text_b"), ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question", "sentence")
    for one, two in names:
        made = [{one: f"one {i}", two: f"two {i}", "label": ab(i)} for i in range(9)]
        data = load_tasks(write(tmp_path / one, train=made), validation=0, test=0, quiet=True)[one]
        assert data.task.pair and set(data.train[0]) == {"text", "text_b", "label"}
        assert data.train[0]["text"].replace("one", "two") == data.train[0]["text_b"]


def test_tags_keep_the_text_that_their_tokens_stand_in(tmp_path):
    made = [{"text": "Ada met  Bo.", "tokens": ["Ada", "met", "Bo", "."], "tags": ["B-P", "O", "B-P", "O"]}] * 4
    data = load_tasks(write(tmp_path / "d", train=made), validation=0, test=0)["d"]
    assert data.task.kind == "tag" and data.task.labels == ("O", "B-P", "I-P") and not data.task.pair
    assert data.train[0] == {"text": "Ada met  Bo.", "tokens": made[0]["tokens"], "label": made[0]["tags"]}
    made = [row | {"text": "something else"} for row in made]
    assert set(load_tasks(write(tmp_path / "d", train=made), test=0, quiet=True)["d"].train[0]) == {"tokens", "label"}


def test_older_tags_are_read_as_bio_with_a_note(tmp_path):
    made = [{"tokens": list("abcd"), "tags": ["I-X", "I-X", "I-Y", "O"]}] * 3
    tasks = load_tasks(write(tmp_path / "d", train=made), validation=0, test=0, quiet=True)
    assert tasks["d"].train[0]["label"] == ["B-X", "I-X", "B-Y", "O"]
    assert "6 tags I-x in 'tags' begin an entity" in tasks.notes[0]


def test_tags_without_entities_are_scored_by_token(tmp_path):
    made = [{"words": ["dogs", "bark"], "pos_tags": ["NOUN", "VERB"]}] * 3
    task = load_tasks(write(tmp_path / "d", train=made), validation=0, test=0)["d"].task
    assert task.labels == ("NOUN", "VERB") and task.metric == "token_accuracy"


def test_spans_in_both_spellings(tmp_path):
    flat = [{"text": f"Who? {i}", "text_b": "It was Ada.", "answer": "Ada", "answer_start": 7} for i in range(3)]
    squad = [{"question": f"Who? {i}", "context": "It was Ada.",
              "answers": {"text": ["Ada", "A"], "answer_start": [7, 7]}} for i in range(3)]
    squad.append({"question": "Why?", "context": "It was.", "answers": {"text": [], "answer_start": []}})
    for made in (flat, squad):
        tasks = load_tasks(write(tmp_path / "d", train=made), validation=0, test=0, quiet=True)
        assert [row["label"] for row in tasks["d"].train] == [[7, 10]] * 3
        assert tasks["d"].task.kind == "span"
    assert tasks.notes == [f"{tmp_path / 'd' / 'train.jsonl'}: 1 questions without an answer are left out."]


def test_numbers_as_labels_become_names_in_order_of_size(tmp_path):
    folder = whole(tmp_path / "d", label=lambda i: [10, 9, -1, 2.0][i % 4])
    assert load_tasks(folder)["d"].task.labels == ("-1", "2", "9", "10")


def test_labels_are_names_without_the_spaces_around_them(tmp_path):
    def labels(make):
        return load_tasks({"d": whole(tmp_path / "d", label=make)})["d"].task.labels
    assert labels(lambda i: ["yes", "no ", " no"][i % 3]) == ("no", "yes")
    assert labels(lambda i: i % 2 == 0) == ("false", "true")


def test_kinds_override_the_guess_by_column_or_by_task(tmp_path):
    folder = whole(tmp_path / "d", label=ab, stars=lambda i: i % 2, size=float)
    tasks = load_tasks(folder, kinds={"d_stars": "classify", "size": "regress"})
    assert {name: data.task.kind for name, data in tasks.items()} == {
        "d_label": "classify", "d_stars": "classify", "d_size": "regress"}
    assert load_tasks(whole(tmp_path / "e", label=lambda i: i % 3), kinds={"e": "regress"})["e"].task.kind == "regress"


def test_fields_name_the_columns(tmp_path):
    made = [{"Review": f"r {i}", "text": "not this", "Verdict": ab(i)} for i in range(6)]
    whole(tmp_path / "all" / "other", label=ab)
    folder = write(tmp_path / "all" / "d", train=made)
    names = {"text": "Review", "label": "Verdict"}
    for fields in (names, {"d": names}):
        data = load_tasks(folder, fields=fields, validation=0, test=0, quiet=True)["d"]
        assert data.train[0]["text"].startswith("r ") and data.task.labels == ("a", "b")
    tasks = load_tasks(tmp_path / "all", fields={"d": names}, validation=0, test=0, quiet=True)
    assert list(tasks) == ["d", "other"]


# ---- file formats ---------------------------------------------------------------------------------------------


def test_csv_tsv_and_json_read_alike(tmp_path):
    (tmp_path / "train.csv").write_text('Text,Label,score\n"one, ""two""\nthree",1,0.5\nfour,0,1\n\n', "utf-8-sig")
    (tmp_path / "dev.tsv").write_text("text\tlabel\tscore\nfive\t1\t2\n", "utf-8")
    (tmp_path / "test.json").write_text('[{"text": "six", "label": 0, "score": 3}]', "utf-8-sig")
    tasks = load_tasks({"d": tmp_path})
    assert tasks["d_label"].task.labels == ("0", "1")
    assert sorted(texts(tasks["d_label"])) == ["four", 'one, "two"\nthree']
    assert [tasks["d_score"].split(split)[0]["label"] for split in ("validation", "test")] == [2.0, 3.0]


def test_lists_in_a_csv(tmp_path):
    (tmp_path / "train.csv").write_text("text;tokens;tags;labels\nAda met Bo;Ada met Bo;B-P O B-P;x|y\nno;no;O;y\n")
    tasks = load_tasks({"d": tmp_path}, validation=0, test=0)
    assert sorted(row["label"] for row in tasks["d_labels"].train) == [["x", "y"], ["y"]]
    assert {"text": "Ada met Bo", "tokens": ["Ada", "met", "Bo"], "label": ["B-P", "O", "B-P"]} in tasks["d_tags"].train


def test_a_tsv_may_hold_single_quotation_marks(tmp_path):
    (tmp_path / "train.tsv").write_text('text\tlabel\n"so\ta\nfive" pipe\tb\n', "utf-8")
    tasks = load_tasks({"d": tmp_path}, validation=0, test=0, quiet=True)
    assert sorted(texts(tasks["d"])) == ['"so', 'five" pipe'] and "quotation marks" in tasks.notes[0]


def test_line_separators_inside_a_text_do_not_cut_it(tmp_path):
    write(tmp_path / "d", train=[{"text": f"a\u2028b\x85c {i}", "label": ab(i)} for i in range(4)])
    assert len(load_tasks(tmp_path / "d", validation=0, test=0)["d"].train) == 4


def test_a_single_file_is_a_data_set(tmp_path):
    (tmp_path / "shop reviews.csv").write_text("text,label\n" + "".join(f"t{i},{ab(i)}\n" for i in range(40)))
    for source in (tmp_path / "shop reviews.csv", tmp_path):
        assert {len(data.train) for data in load_tasks(source, quiet=True).values()} == {32}
    assert list(load_tasks(tmp_path / "shop reviews.csv", quiet=True)) == ["shop_reviews"]


# ---- several data sets ----------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path):
    whole(tmp_path / "many" / "films", label=ab)
    whole(tmp_path / "many" / "sick", label=ab, score=float)
    write(tmp_path / "many" / "broken", train=[{"no": "text"}])
    (tmp_path / "many" / "notes").mkdir()
    return tmp_path / "many"


def test_names_choose_tasks_and_whole_data_sets_in_their_order(many):
    assert list(load_tasks(many, ["sick_score", "films"])) == ["sick_score", "films"]
    assert list(load_tasks(many, "sick")) == ["sick_label", "sick_score"]
    assert list(load_tasks(many, ["sick", "films"])) == ["sick_label", "sick_score", "films"]


def test_lists_and_dictionaries_of_sources(many, tmp_path):
    assert list(load_tasks([many / "sick", many / "films"])) == ["sick_label", "sick_score", "films"]
    assert list(load_tasks({"old": many / "films", "new": many / "films"})) == ["old", "new"]
    with pytest.raises(mt.TaskError, match="two tasks are called 'films'.*another name"):
        load_tasks([many / "films", many / "films"])
    with pytest.raises(mt.TaskError, match="3 data sets.*cannot share a name"):
        load_tasks({"one": many})


def test_the_town_stands_beside_other_data(many):
    few = {"train": {"sentiment": 7, "films": 9}, "validation": 5, "test": 5, "quiet": True}
    tasks = load_tasks(["town", many / "films"], ["films", "sentiment"], noise=0.1, **few)
    assert list(tasks) == ["films", "sentiment"] and tasks["sentiment"].task.ceiling == 0.9
    assert [len(data.train) for data in tasks.values()] == [9, 7]
    names = list(load_tasks([many / "films", "town"], ["town", "films"], train=5, validation=5, test=5))
    assert names[0] == "sentiment" and names[-1] == "films"
    assert list(load_tasks("town", "topic", train=3, validation=3, test=3)) == ["topic"]
    with pytest.raises(mt.TaskError, match="tasks of the town are fixed"):
        load_tasks("town", kinds={"topic": "regress"})


# ---- splits, sizes, seeds -------------------------------------------------------------------------------------


def test_missing_splits_are_set_aside_and_said(tmp_path, capsys):
    tasks = load_tasks(write(tmp_path / "d", train=rows(100, label=ab, score=float)))
    assert [len(tasks["d_label"].split(s)) for s in ("train", "validation", "test")] == [80, 10, 10]
    for split in ("train", "validation", "test"):
        assert texts(tasks["d_label"], split) == texts(tasks["d_score"], split)
    assert len({text for split in ("train", "validation", "test") for text in texts(tasks["d_label"], split)}) == 100
    assert tasks.notes[1] == "d: no test file; 10 training rows are set aside for test (seed 0)."
    assert capsys.readouterr().out.splitlines() == [f"note: {note}" for note in tasks.notes]
    alone = load_tasks(tmp_path / "d", "d_score", quiet=True)
    assert texts(alone["d_score"], "test") == texts(tasks["d_score"], "test")
    assert capsys.readouterr().out == ""


def test_what_is_set_aside_keeps_texts_together_and_labels_in_training(tmp_path):
    made = [{"text": f"text {i // 5}", "label": "rare" if i == 7 else ab(i)} for i in range(100)]
    for seed in range(10):
        data = load_tasks(write(tmp_path / "d", train=made), seed=seed, quiet=True)["d"]
        split_of = [set(texts(data, split)) for split in ("train", "validation", "test")]
        assert [len(s) for s in split_of] == [16, 2, 2] and len(set.union(*split_of)) == 20
        assert "rare" in {row["label"] for row in data.train}


def test_a_test_split_without_labels_is_replaced(tmp_path):
    made = {"train": rows(40, label=lambda i: i % 2), "validation": rows(5, 40, label=lambda i: 1)}
    for hidden in (lambda i: -1, lambda i: None):
        tasks = load_tasks(write(tmp_path / "d", **made, test=rows(5, 50, label=hidden)), quiet=True)
        assert tasks.notes == ["d: the test rows have no label; 4 training rows are set aside for test (seed 0)."]
        assert len(tasks["d"].test) == 4 and set(texts(tasks["d"], "test")) <= {row["text"] for row in made["train"]}


def test_too_few_rows_leave_a_split_empty(tmp_path):
    tasks = load_tasks(write(tmp_path / "d", train=rows(2, label=ab)), quiet=True)
    assert not tasks["d"].test and "too few training rows" in tasks.notes[-1]


def test_a_smaller_limit_is_the_beginning_of_a_larger_one(tmp_path):
    folder = whole(tmp_path / "d", n=200, label=ab)
    large, small = (load_tasks(folder, train=n, seed=3)["d"] for n in (150, 20))
    assert small.train == large.train[:20] and small.test == large.test
    assert texts(large) != [row["text"] for row in rows(150)]
    assert load_tasks(folder, train=20, seed=4)["d"].train != small.train
    assert len(load_tasks(folder, test=3, validation={"d": 2})["d"].test) == 3


def test_a_number_is_a_limit_and_a_dictionary_insists(tmp_path):
    folder = whole(tmp_path / "d", n=30, label=ab)
    tasks = load_tasks(folder, train=50, quiet=True)
    assert len(tasks["d"].train) == 30 and tasks.notes == ["d: train=50, but there are 30 rows; all are used."]
    with pytest.raises(mt.TaskError, match=r"asks for more rows than there are \(30\)"):
        load_tasks(folder, train={"d": 50})


def test_labels_do_not_depend_on_the_limit(tmp_path):
    folder = whole(tmp_path / "d", n=300, label=lambda i: "ab"[i % 150 == 0])
    assert load_tasks(folder, train=3)["d"].task.labels == ("a", "b")


def test_unknown_labels_can_be_dropped(tmp_path):
    write(tmp_path / "d", train=rows(10, label=ab), validation=rows(4, 10, label=ab),
          test=rows(4, 20, label=lambda i: "abc"[i % 3]))
    tasks = load_tasks(tmp_path / "d", unknown_labels="drop", quiet=True)
    assert {row["label"] for row in tasks["d"].test} == {"a", "b"}
    assert tasks.notes == ["d: 2 test rows are left out, because training lacks their labels: 'c' (2 rows)."]


def test_many_rows(tmp_path):
    folder = write(tmp_path / "d", train=rows(20_000, label=ab, score=float))
    assert len(load_tasks(folder, quiet=True)["d_label"].train) == 16_000
