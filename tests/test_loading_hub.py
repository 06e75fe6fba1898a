"""load_tasks("hub:..."), offline: from a prepared cache and from a copy of a repository. And the real data sets."""

import datasets
import pytest
from datasets import ClassLabel, Features, List, Value

import mtl_teach as mt
from mtl_teach.loading import load_tasks

TEXT, NUMBER, CLASS = Value("string"), Value("int32"), ClassLabel(names=["yes", "no", "maybe"])
SST2 = Features({"sentence": TEXT, "label": ClassLabel(names=["negative", "positive"]), "idx": NUMBER})


def sentences(n, label=None):
    return [{"sentence": f"sentence {i}", "label": i % 2 if label is None else label, "idx": i} for i in range(n)]


def test_a_cached_data_set(hub_cache):
    splits = {"train": sentences(50), "validation": sentences(9), "test": sentences(5, -1)}
    hub_cache.add_dataset("nyu-mll/glue", "sst2", splits, SST2)
    tasks = load_tasks("hub:nyu-mll/glue/sst2", quiet=True)
    assert tasks["glue_sst2"].task == mt.Task("glue_sst2", "classify", ("negative", "positive"))
    assert [len(tasks["glue_sst2"].split(split)) for split in ("train", "validation", "test")] == [45, 9, 5]
    row = tasks["glue_sst2"].train[0]
    assert row["label"] == ("negative", "positive")[int(row["text"].split()[1]) % 2]
    assert any("the test rows have no label" in note for note in tasks.notes)
    with pytest.raises(mt.TaskError, match="sst9.*'sst2'"):
        load_tasks("hub:nyu-mll/glue/sst9")


def test_two_hub_sets_and_a_folder_become_one_task_set(hub_cache, tmp_path):
    for config in ("sst2", "cola"):
        hub_cache.add_dataset("nyu-mll/glue", config, {"train": sentences(50)}, SST2)
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"t {i},{i % 2}\n" for i in range(30)))
    tasks = load_tasks(["hub:nyu-mll/glue/sst2", "hub:nyu-mll/glue/cola", str(tmp_path)], train=20, quiet=True)
    assert list(tasks)[:2] == ["glue_sst2", "glue_cola"] and len(tasks) == 3
    assert list(load_tasks({"good": "hub:nyu-mll/glue/cola"}, quiet=True)) == ["good"]


def test_offline_without_a_cache_there_are_three_ways_out(hub_cache):
    with pytest.raises(mt.TaskError, match="connect to a network.*a folder as train.jsonl.*town"):
        load_tasks("hub:nobody/nothing")


@pytest.mark.parametrize("source", ["hub:", "hub:imdb", "hub:a/b/c/d", "hub:/nowhere/at/all", "hub:a//b"])
def test_addresses_that_name_nothing(source):
    with pytest.raises(mt.TaskError, match="names no data set. Write 'hub:owner/name'"):
        load_tasks(source)


@pytest.fixture
def mirror(tmp_path):
    """Write a local copy of a hub repository: {split: rows} as parquet, and the README that names the splits."""
    def write(features, config="default", **splits):
        places = ""
        for split, rows in splits.items():
            data = datasets.Dataset.from_list(rows, features=Features(features))
            data.to_parquet(str(tmp_path / config / f"{split}.parquet"))
            places += f"  - split: {split}\n    path: {config}/{split}.parquet\n"
        (tmp_path / "README.md").write_text(f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{places}---\n")
        return {"d": f"hub:{tmp_path}/{config}"}
    datasets.disable_progress_bars()
    return write


HUB = {
    "a pair": ({"premise": TEXT, "hypothesis": TEXT, "label": CLASS},
               [{"premise": f"p {i}", "hypothesis": "h", "label": i % 3} for i in range(9)],
               "classify", ("yes", "no", "maybe")),
    "a number": ({"sentence1": TEXT, "sentence2": TEXT, "label": Value("float32"), "idx": NUMBER},
                 [{"sentence1": f"p {i}", "sentence2": "h", "label": i / 2, "idx": i} for i in range(9)],
                 "regress", ()),
    "several labels": ({"text": TEXT, "labels": List(CLASS)},
                       [{"text": f"t {i}", "labels": [i % 3, (i + 1) % 3]} for i in range(9)],
                       "multilabel", ("yes", "no", "maybe")),
    "tags": ({"tokens": List(TEXT), "ner_tags": List(ClassLabel(names=["O", "B-P", "I-P"]))},
             [{"tokens": [f"a{i}", "b", "c"], "ner_tags": [1, 2, 0]} for i in range(9)], "tag", ("O", "B-P", "I-P")),
    "questions": ({"id": TEXT, "title": TEXT, "question": TEXT, "context": TEXT,
                   "answers": {"text": List(TEXT), "answer_start": List(NUMBER)}},
                  [{"id": str(i), "title": "t", "question": f"q {i}", "context": "It was Ada.",
                    "answers": {"text": ["Ada"], "answer_start": [7]}} for i in range(9)], "span", ()),
}


@pytest.mark.parametrize("name", HUB)
def test_the_columns_of_the_hub(name, mirror):
    features, rows, kind, labels = HUB[name]
    source = mirror(features, train=rows, validation_matched=rows, validation_mismatched=rows[:5])
    data = load_tasks(source, quiet=True, test=0)["d"]
    assert (data.task.kind, data.task.labels, len(data.train), len(data.validation)) == (kind, labels, 9, 9)


def test_class_numbers_stay_in_the_order_of_the_hub(mirror):
    rows = [{"text": f"t {i}", "label": i % 3, "fine": i % 2} for i in range(30)]
    features = {"text": TEXT, "label": CLASS, "fine": ClassLabel(names=["zebra", "ape", "unused"])}
    tasks = load_tasks(mirror(features, "colours", train=rows, test=rows), quiet=True, validation=0)
    assert tasks["d_label"].task.labels == ("yes", "no", "maybe") and tasks["d_fine"].task.labels == ("zebra", "ape")
    rows = [{"text": f"t {i}", "Verdict": i % 3} for i in range(9)]
    source = mirror({"text": TEXT, "Verdict": CLASS}, "named", train=rows)
    assert load_tasks(source, fields={"label": "Verdict"}, quiet=True)["d"].task.labels == ("yes", "no", "maybe")


def test_a_repository_without_a_training_split(mirror):
    with pytest.raises(mt.TaskError, match="no training split among test"):
        load_tasks(mirror({"text": TEXT, "label": CLASS}, test=[{"text": "t", "label": 0}]))


# ---- the real data sets ---------------------------------------------------------------------------------------

REAL = {
    "clinc150_label": ("classify", 151), "clinc150_domain": ("classify", 11), "movie_polarity": ("classify", 2),
    "movie_subjectivity": ("classify", 2), "movielens_small_genres": ("multilabel", 19),
    "movielens_small_rating": ("regress", 0), "movielens_small_label": ("classify", 2), "ocnli_label": ("classify", 3),
    "ocnli_genre": ("classify", 5), "sick_label": ("classify", 3), "sick_score": ("regress", 0),
    "snips_label": ("classify", 7), "snips_tags": ("tag", 79), "webnlg": ("classify", 15), "wnut17": ("tag", 13),
    "xquad_en_zh": ("span", 0),
}


def test_every_real_set_loads_without_code_of_its_own(real_data):
    tasks = load_tasks(real_data, quiet=True)
    assert {name: (data.task.kind, len(data.task.labels)) for name, data in tasks.items()} == REAL
    assert all(data.train and data.validation and data.test for data in tasks.values())
    pairs = {name for name, data in tasks.items() if data.task.pair}
    assert pairs == {"ocnli_label", "ocnli_genre", "sick_label", "sick_score", "xquad_en_zh"}
    assert all("text" in row for row in tasks["snips_tags"].train + tasks["wnut17"].train)
    assert not any("set aside" in note for note in tasks.notes)


@pytest.mark.parametrize("name", ["clinc150", "snips", "sick", "movie_polarity", "wnut17"])
def test_a_real_set_by_its_folder(name, real_data):
    tasks = load_tasks(real_data / name, train=100, test=50, quiet=True)
    assert all(task.startswith(name) for task in tasks)
    assert {(len(data.train), len(data.test)) for data in tasks.values()} == {(100, 50)}
