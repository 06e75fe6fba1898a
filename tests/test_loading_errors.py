"""Bad data: every message says where it is, what is there and what to do."""

import json
import re

import pytest

import mtl_teach as mt
from mtl_teach.loading import load_tasks

GOOD = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(4)]
TAGS = {"tokens": ["a", "b"], "tags": ["O", "B-X"]}
SPAN = {"text": "who", "text_b": "It was Ada.", "answer": "Ada", "answer_start": 7}
PAIR = {"text": "one", "text_b": "two", "score": 1.5}


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def refused(source, *words, **options):
    """The message of the TaskError; all words must be in it."""
    with pytest.raises(mt.TaskError) as error:
        load_tasks(source, **options)
    message = str(error.value)
    for word in words:
        assert word in message, f"{word!r} is missing in: {message}"
    return message


# what the file train.jsonl holds, the line that is named, what else the message must say
BAD_ROWS = {
    "no JSON": (jsonl(GOOD[0]) + '{"text": "x", "label": }\n', 2,
                ["not valid JSON", '"label": }', "one complete JSON object"]),
    "no object": (jsonl(GOOD[0], ["x", "y"]), 2, ["expected an object", "['x', 'y']"]),
    "missing label": (jsonl(*GOOD, {"text": "x"}, {"text": "y", "label": None}), 5,
                      ["no 'label'", "2 such rows; the next: 6"]),
    "missing text": (jsonl(*GOOD, {"label": "a"}), 5, ["no 'text'", "Fill it in"]),
    "empty text": (jsonl(*GOOD, {"text": "  ", "label": "a"}), 5, ["'text' is empty"]),
    "text is a number": (jsonl(*GOOD, {"text": 7, "label": "a"}), 5, ["'text' is not text: 7"]),
    "mixed labels": (jsonl(*GOOD, {"text": "x", "label": 1}), 5, ["mixes types", "here a number (1)", "mostly text"]),
    "true among names": (jsonl(*GOOD, {"text": "x", "label": True}), 5, ["here true/false (True)"]),
    "a list among names": (jsonl(*GOOD, {"text": "x", "label": ["a"]}), 5, ["is not a class name: ['a']"]),
    "a name among lists": (jsonl({"text": "x", "labels": ["a"]}, {"text": "y", "labels": 3}), 2,
                           ["is not a list of names: 3"]),
    "blank lines count": ("\n" + jsonl(GOOD[0]) + "\n" + jsonl({"text": "x"}), 4, ["no 'label'"]),
    "score is a word": (jsonl(PAIR, PAIR | {"score": "high"}), 2, ["'score' is not a number: 'high'", "'classify'"]),
    "score is NaN": (jsonl(PAIR, PAIR | {"score": float("nan")}), 2, ["not a finite number: nan"]),
    "score is endless": (jsonl(PAIR, PAIR | {"score": float("inf")}), 2, ["not a finite number: inf"]),
    "score is true": (jsonl(PAIR, PAIR | {"score": True}), 2, ["not a number: True"]),
    "half a pair": (jsonl(PAIR, {"text": "one", "score": 2}), 2, ["no 'text_b'"]),
    "too few tags": (jsonl(TAGS, TAGS | {"tags": ["O"]}), 2,
                     ["2 tokens but 1 tags ('a b')", "Give every token one tag"]),
    "no BIO tag": (jsonl(TAGS, TAGS | {"tags": ["O", "X"]}, TAGS | {"tags": ["O", "b-X"]}), 2,
                   ["'X' is no BIO tag", "2 such rows"]),
    "empty token": (jsonl(TAGS, {"tokens": ["a", ""], "tags": ["O", "O"]}), 2,
                    ["not a list of words", "without empty entries"]),
    "wrong span": (jsonl(SPAN, SPAN | {"answer_start": 6}), 2,
                   ["'Ada' does not stand at character 6", "there stands ' Ad'"]),
    "negative span": (jsonl(SPAN, SPAN | {"answer_start": -4}), 2, ["does not stand at character -4"]),
    "empty answer": (jsonl(SPAN, SPAN | {"answer": ""}), 2, ["does not stand at character"]),
    "no answer_start": (jsonl(SPAN, {k: v for k, v in SPAN.items() if k != "answer_start"}), 2,
                        ["Give 'answer' and 'answer_start'"]),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows(name, tmp_path):
    content, line, words = BAD_ROWS[name]
    (tmp_path / "train.jsonl").write_text(content)
    refused(tmp_path, f"{tmp_path / 'train.jsonl'}, line {line}: ", *words)


# file name, bytes, what the message must say
BAD_FILES = {
    "no bytes": ("train.jsonl", b"", ["train.jsonl: the file is empty"]),
    "only space": ("train.json", b" \n\n", ["train.json: the file is empty"]),
    "an empty list": ("train.json", b"[]", ["the file is empty"]),
    "only a header": ("train.csv", b"text,label\n", ["the file is empty"]),
    "latin 1": ("train.csv", "text,label\nna,a\nnaïve,b\n".encode("latin-1"),
                ["train.csv, line 3: not UTF-8 (byte 0xef)", "iconv"]),
    "utf 16": ("train.csv", "text,label\nnaïve,b\n".encode("utf-16"), ["line 1: not UTF-8", "iconv -f UTF-16"]),
    "binary": ("train.jsonl", b'{"text": "a\0b"}', ["zero byte"]),
    "a missing cell": ("train.csv", b"text,label\na,b\nc\n", ["line 3: 1 cells, but the header has 2 (text, label)"]),
    "a comma too many": ("train.csv", b"text,label\na, so,b\n", ["line 2: 3 cells", "double quotes"]),
    "an open quote": ("train.csv", b'text,label\n"a,b\nc,d\n', ["line 2: broken table"]),
    "text after a quote": ("train.csv", b'text,label\n"a"b,c\n', ["line 2: broken table", "twice"]),
    "a cell count in a tsv": ("train.tsv", b"text\tlabel\na\tb\tc\n", ["line 2: 3 cells"]),
    "a column twice": ("train.csv", b"text,label,label\na,b,c\n", ["'label' more than once"]),
    "an empty cell": ("train.csv", b"text,label\na,b\nc,\nd,e\n", ["line 3: no 'label'"]),
    "numbers and names": ("train.csv", b"text,label\na,1\nb,2\nc,good\n",
                          ["line 4: 'label' mixes types", "kinds={'label': 'classify'}"]),
    "no header": ("train.csv", b"nice,good\nbad,poor\n", ["no column holds the text (found: nice, good)", "fields="]),
    "only text": ("train.csv", b"text\nnice\nbad\n", ["looks like a label"]),
    "nothing to predict": ("train.csv", b"text,id\nnice,1\nbad,2\n", ["no column looks like a label", "kinds="]),
    "broken list": ("train.json", b'[{"text": "a",\n "label": }]', ["train.json, line 2: not valid JSON"]),
    "one label": ("train.csv", b"text,label\na,x\nb,x\n", ["at least two labels, got ['x']"]),
    "one value": ("train.csv", b"text,stance\na,x\nb,x\n", ["no column looks like a label (found: text, stance)"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name, tmp_path):
    file, content, words = BAD_FILES[name]
    (tmp_path / file).write_bytes(content)
    refused(tmp_path, *words)


def test_a_label_that_is_different_everywhere_is_no_class(tmp_path):
    (tmp_path / "train.jsonl").write_text(jsonl(*({"text": f"t {i}", "label": f"free words {i}"} for i in range(30))))
    refused(tmp_path, "30 different values in 30 rows", "'generate'")
    assert load_tasks({"d": tmp_path}, kinds={"label": "generate"}, quiet=True)["d"].task.kind == "generate"


def test_mixed_labels_may_be_declared_names(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,1\nb,2\nc,good\n")
    data = load_tasks({"d": tmp_path}, kinds={"label": "classify"}, validation=0, test=0)["d"]
    assert data.task.labels == ("1", "2", "good")


def test_labels_that_training_lacks_are_named_and_counted(tmp_path):
    (tmp_path / "train.jsonl").write_text(jsonl(*GOOD))
    (tmp_path / "validation.jsonl").write_text(jsonl(*GOOD))
    (tmp_path / "test.jsonl").write_text(jsonl({"text": "x", "label": "aa"}, {"text": "y", "label": "aa"}))
    refused({"d": tmp_path}, "task 'd': the test rows have labels that training lacks: 'aa' (2 rows)",
            'unknown_labels="drop"')


def test_a_new_entity_type_in_the_test_rows(tmp_path):
    (tmp_path / "train.jsonl").write_text(jsonl(TAGS, TAGS))
    (tmp_path / "validation.jsonl").write_text(jsonl(TAGS | {"tags": ["B-X", "I-X"]}))
    (tmp_path / "test.jsonl").write_text(jsonl(TAGS | {"tags": ["B-Y", "I-Y"]}))
    refused({"d": tmp_path}, "test rows have labels that training lacks: 'Y' (1 rows)")


# ---- places and names -----------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path):
    (tmp_path / "reviews").mkdir()
    refused(tmp_path / "revews", "no file or folder", "Did you mean 'reviews'?", "'hub:owner/name'")
    refused(tmp_path / "x" / "y" / "z", f"Folders in {tmp_path}: reviews.")
    refused("twon", "Did you mean 'town'?")


def test_a_folder_without_data(tmp_path):
    refused(tmp_path, "no data file", "found: nothing", "train.jsonl")
    (tmp_path / "readme.txt").write_text("hello")
    refused(tmp_path, "found: readme.txt")
    (tmp_path / "train.parquet").write_text("")
    refused(tmp_path, f"'hub:{tmp_path}'")


def test_split_files_that_do_not_fit_together(tmp_path):
    (tmp_path / "test.csv").write_text("text,label\na,b\n")
    refused(tmp_path, "no train file among test.csv")
    (tmp_path / "train.csv").write_text("text,label\na,b\n")
    (tmp_path / "train.jsonl").write_text(jsonl(*GOOD))
    refused(tmp_path, "both train.csv and train.jsonl hold the train split")


@pytest.fixture
def good(tmp_path):
    for name in ("films", "books"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text(jsonl(*(row | {"score": 1} for row in GOOD)))
    return tmp_path


def test_unknown_names(good):
    refused(good, "unknown task or data set 'flims'", "Did you mean 'films'?", "sick_label", names=["flims"])
    refused(good, "unknown task 'films_lable'", "Did you mean 'films_label'", names=["films_lable"], quiet=True)
    refused(good, "unknown column or task in kinds= 'stars'", "films_score", kinds={"stars": "regress"}, quiet=True)
    refused(good, "unknown kind 'clasify'", "'classify'", kinds={"label": "clasify"})
    refused(good, "unknown task in train= 'film'", train={"film": 3}, quiet=True)
    refused(good, "a column 'Txt' that is not there", fields={"films": {"text": "Txt"}})
    refused(good, "unknown column in fields= 'Scor'", "score", fields={"stars": "Scor"}, quiet=True)
    refused(good, "unknown argument 'seeds'", "Did you mean 'seed'", seeds=3)
    refused(good, "unknown_labels='keep'", unknown_labels="keep")


@pytest.mark.parametrize("sizes", [{"train": 0}, {"train": -5}, {"train": 2.5}, {"train": True}, {"test": "all"},
                                   {"validation": -1}, {"train": {"films_label": 0}}])
def test_sizes_that_are_no_counts(good, sizes):
    refused(good, "expected a number of rows", **sizes)


@pytest.mark.parametrize("source", [None, 7, [], "", {}, ["town", None]])
def test_sources_that_are_none(source):
    refused(source, "expected 'town', a folder, a file")


def test_a_kind_that_the_columns_cannot_serve(tmp_path):
    (tmp_path / "train.jsonl").write_text(jsonl(*(TAGS | {"label": "x"} for _ in range(3))))
    refused(tmp_path, "'label' as classify needs a column 'text'", kinds={"label": "classify"})
    (tmp_path / "train.jsonl").write_text(jsonl(*GOOD))
    refused(tmp_path, "'label' as tag needs a column 'tokens'", kinds={"label": "tag"})
    refused(tmp_path, "'label' as span needs a column 'text_b'", kinds={"label": "span"})


def test_every_message_is_short_enough_to_read(tmp_path):
    rows = [{"text": "word " * 5000, "label": "ab"[i % 2], "tokens": ["word"] * 5000, "tags": ["O"]} for i in range(50)]
    (tmp_path / "train.jsonl").write_text(jsonl(*rows))
    assert len(re.sub(r"\S*/\S*", "", refused(tmp_path))) < 400
