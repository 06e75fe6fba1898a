"""compare: equal budgets, tuning that never sees the test rows, kept runs, and errors before anything is trained."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from small_models import backbone, task_set

import mtl_teach as mt
from mtl_teach import comparison, comparison_runs
from mtl_teach.comparison import Comparison, Method, compare
from mtl_teach.comparison_figure import points
from mtl_teach.comparison_keys import digest, tasks_digest, with_imports
from mtl_teach.comparison_runs import Run, kept, shares
from mtl_teach.measured import Measured
from mtl_teach.tasks import TaskError, TaskSet

HERE = Path(__file__).parent
BODY = backbone("gpt2")
FIVE = [mt.SingleTask, mt.HardSharing, mt.SoftSharing, mt.AttentionSharing, mt.ProgressiveNetwork]
TWO = [mt.SingleTask, mt.HardSharing]


def made(seed=0, kinds=("classify", "pair"), count=12):
    """Tasks whose rows change with the seed."""
    tasks = task_set(count, kinds)
    turn = seed % count
    return TaskSet({name: replace(data, train=data.train[turn:] + data.train[:turn]) for name, data in tasks.items()})


def small(methods, tasks=made, seeds=2, **options):
    options = {"backbone": BODY, "steps": 2, "batch_size": 4, "tuning_seeds": 1, "cache": False} | options
    return compare(methods, tasks, seeds, **options)


@pytest.fixture
def runs(monkeypatch):
    """Every run that is made, in order; none is trained. The value depends on the method, the setting and the seed."""
    seen = []

    def measure(run):
        seen.append(run)
        value = (int(digest([run.algorithm.__name__, run.knobs, run.training, run.seed]), 16) % 1000 + 1) / 1001
        return {"values": {name: value for name in run.tasks}, "seconds": 1.0, "cpu_seconds": 2.0, "parameters": 10, "steps": 2}
    monkeypatch.setattr(comparison_runs, "measure", measure)
    return seen


# ---- the same conditions for all ------------------------------------------------------------------------------------------

def test_five_methods_train_on_equally_many_rows(monkeypatch):
    rows, lengths, real = [], [], comparison_runs.measure
    draw = mt.MixedBatches._next_units

    def counted(self):
        units = draw(self)
        rows[-1] += sum(map(len, units))
        return units

    def measure(run):
        rows.append(0)
        record = real(run)
        lengths.append(record["steps"])
        return record
    monkeypatch.setattr(mt.MixedBatches, "_next_units", counted)
    monkeypatch.setattr(comparison_runs, "measure", measure)
    chain = Method(mt.HardSharing, in_order=True)
    result = small({**{m.__name__: m for m in FIVE}, "chain": chain}, seeds=2, steps=3, lr=1e-3)
    assert lengths == [3] * 12 and rows == [12] * 12
    assert list(result) == [*(m.__name__ for m in FIVE), "chain"] and result.tasks == ["mood", "same"]


def test_steps_in_order_are_dealt_out_exactly():
    tasks = task_set(10, ("classify", "pair", "regress"))
    for steps in range(3, 40):
        assert sum(shares(tasks, {"steps": steps}).values()) == steps
    tasks["mood"].train = tasks["mood"].train * 8
    assert shares(tasks, {"steps": 100}) == {"mood": 80, "same": 10, "stars": 10}
    assert shares(tasks, {"steps": 100, "sampler": "uniform"}) == {"mood": 33, "same": 34, "stars": 33}


def test_joint_batches_show_every_task_all_of_its_labels():
    tasks = task_set(10, ("classify", "regress"))
    same = TaskSet({"mood": tasks["mood"], "stars": replace(tasks["stars"], train=[
        {"text": row["text"], "label": 1.5} for row in tasks["mood"].train])})
    assert shares(same, {"steps": 30, "sampler": "joint"}) == {"mood": 30, "stars": 30}
    texts = list(dict.fromkeys(row["text"] for row in same["stars"].train))
    same["stars"].train = [row for row in same["stars"].train if row["text"] in texts[:len(texts) // 2]]
    assert shares(same, {"steps": 30, "sampler": "joint"}) == {"mood": 30, "stars": round(30 * (len(texts) // 2) / len(texts))}


def test_order_is_the_order_of_learning(runs):
    small({"single": mt.SingleTask, "forth": mt.ProgressiveNetwork, "back": Method(mt.ProgressiveNetwork, order=("same", "mood"))},
          seeds=1, lr=1e-3)
    assert [run.order for run in runs] == [None, ("mood", "same"), ("same", "mood")]
    assert list(runs[2].ordered()) == ["same", "mood"]


def test_knobs_variants_and_own_backbones_stand_side_by_side(runs):
    other = backbone("gpt2")
    small({"single": mt.SingleTask, "weak": (mt.SoftSharing, {"strength": 0.01}), "strong": partial(mt.SoftSharing, strength=1.0),
           "wide": Method(mt.HardSharing, backbone=other)}, seeds=1, lr=1e-3)
    assert [run.knobs for run in runs] == [{}, {"strength": 0.01}, {"strength": 1.0}, {}]
    assert [run.backbone is other for run in runs] == [False, False, False, True]


def test_a_backbone_given_as_object_is_never_trained():
    before = {name: tensor.clone() for name, tensor in BODY.state_dict().items()}
    first = small(TWO, seeds=1, lr=1e-2)
    assert all(bool((before[name] == tensor).all()) for name, tensor in BODY.state_dict().items())
    assert repr(small(TWO, seeds=1, lr=1e-2)["HardSharing"]) == repr(first["HardSharing"])


# ---- tuning ---------------------------------------------------------------------------------------------------------------

def test_every_method_tries_the_whole_grid_on_the_tuning_seeds(runs):
    result = small(TWO, seeds=3, grid={"lr": (1e-3, 3e-3), "warmup": (0.1, 0.2)}, tuning_seeds=(70, 71))
    tuning = [run for run in runs if run.split == "validation"]
    assert len(tuning) == 2 * 4 * 2 and {run.seed for run in tuning} == {70, 71}
    assert [run.seed for run in runs if run.split == "test"] == [0, 1, 2] * 2
    for name, scores in result.items():
        assert len(scores.tried) == 4
        mine = [run for run in runs if run.algorithm.__name__ == name]
        means = [sum((int(digest([name, {}, run.training, run.seed]), 16) % 1000 + 1) / 1001 for run in mine[i:i + 2]) / 2
                 for i in range(0, 8, 2)]
        assert scores.reached == pytest.approx(means)
        assert scores.chosen == scores.tried[means.index(max(means))]
        assert all(run.training["lr"] == scores.chosen["lr"] for run in mine if run.split == "test")


def test_tuning_for_one_task_looks_at_that_task(monkeypatch):
    def measure(run):
        good = run.training["lr"] == 1e-3
        return {"values": {"mood": 0.2 if good else 0.3, "same": 0.9 if good else 0.1}, "seconds": 1, "cpu_seconds": 1,
                "parameters": 1, "steps": 2}
    monkeypatch.setattr(comparison_runs, "measure", measure)
    assert small(TWO)["HardSharing"].chosen == {"lr": 1e-3}
    assert small(TWO, tune_for="mood")["HardSharing"].chosen == {"lr": 3e-3}


class Locked(list):
    """Test rows that cannot be read before the tuning is over."""

    opened = False

    def __iter__(self):
        assert Locked.opened, "test rows were read while settings were chosen"
        return super().__iter__()

    def __getitem__(self, at):
        assert Locked.opened, "test rows were read while settings were chosen"
        return super().__getitem__(at)


def test_tuning_cannot_read_the_test_rows(monkeypatch, tmp_path):
    real, seen, step = comparison_runs.measure, [], comparison._Plan._measure

    def watch(self, wanted, split, bar):
        Locked.opened = split == "test"
        return step(self, wanted, split, bar)

    def measure(run):
        seen.append((run.split, {name: (len(d.validation), len(d.test)) for name, d in run.tasks.items()}))
        return real(run)
    monkeypatch.setattr(comparison._Plan, "_measure", watch)
    monkeypatch.setattr(comparison_runs, "measure", measure)

    def tasks(seed):
        return TaskSet({name: replace(data, test=Locked(data.test)) for name, data in made(seed).items()})
    small(TWO, tasks, seeds=1, cache=tmp_path)
    assert Locked.opened                                                            # it got as far as the test rows
    assert [split for split, _ in seen] == ["validation"] * 4 + ["test"] * 2
    assert all(sizes == ({name: (8, 0) for name in sizes} if split == "validation" else {name: (0, 8) for name in sizes})
               for split, sizes in seen)


def test_other_test_rows_change_no_choice(tmp_path):
    def wrong(seed):
        tasks = made(seed)
        for data in tasks.values():
            data.test = [row | {"label": data.task.labels[0]} for row in data.test]
        return tasks
    right, other = (small(TWO, tasks, cache=tmp_path, steps=4) for tasks in (made, wrong))
    assert other.trained == 4                                              # the tuning runs were there; the test runs were not
    assert [(s.chosen, s.reached) for s in right.values()] == [(s.chosen, s.reached) for s in other.values()]


def test_one_setting_needs_no_tuning_and_no_validation_rows(runs):
    tasks = TaskSet({name: replace(data, validation=[]) for name, data in made().items()})
    result = small(TWO, tasks, lr=1e-3)
    assert {run.split for run in runs} == {"test"} and result["HardSharing"].chosen == {}
    with pytest.raises(TaskError, match="'mood' has no validation rows"):
        small(TWO, tasks)


# ---- kept runs ------------------------------------------------------------------------------------------------------------

def test_a_second_comparison_trains_nothing_and_says_the_same(tmp_path, monkeypatch):
    first = small(TWO, cache=tmp_path)
    assert first.trained == 8 and len(list(tmp_path.iterdir())) == 8

    def never(run):
        raise AssertionError("trained again")
    monkeypatch.setattr(comparison_runs, "measure", never)
    second = small(TWO, cache=tmp_path)
    assert second.trained == 0 and second.to_dict() == first.to_dict()


def test_an_interrupted_comparison_goes_on(tmp_path, runs, monkeypatch):
    plain = comparison_runs.measure

    def stop(run):
        if len(runs) == 5:
            raise KeyboardInterrupt
        return plain(run)
    monkeypatch.setattr(comparison_runs, "measure", stop)
    with pytest.raises(KeyboardInterrupt):
        small(TWO, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 5
    monkeypatch.setattr(comparison_runs, "measure", plain)
    assert small(TWO, cache=tmp_path).trained == 3 and len(runs) == 8


CHANGES = {
    "steps": lambda run: replace(run, training=run.training | {"steps": 3}),
    "rate": lambda run: replace(run, training=run.training | {"lr": 2e-3}),
    "seed": lambda run: replace(run, seed=1),
    "split": lambda run: replace(run, split="validation"),
    "algorithm": lambda run: replace(run, algorithm=mt.SingleTask),
    "knobs": lambda run: replace(run, knobs={"strength": 0.1}),
    "order": lambda run: replace(run, order=("mood", "same")),
    "new weights": lambda run: replace(run, options={"pretrained": False}),
    "backbone's weights": lambda run: replace(run, backbone=changed_body()),
    "a training row": lambda run: replace(run, tasks=changed(run.tasks, "train")),
    "a test row": lambda run: replace(run, tasks=changed(run.tasks, "test")),
    "order of tasks": lambda run: replace(run, tasks=run.tasks.only("same", "mood")),
}


def changed(tasks, split):
    rows = tasks["mood"].split(split)
    return TaskSet(tasks | {"mood": replace(tasks["mood"], **{split: [rows[0] | {"text": "good bread"}, *rows[1:]]})})


def changed_body():
    body = BODY.clone()
    body.model.wpe.weight.data[0, 0] += 1e-3
    return body


def a_run():
    return Run(mt.HardSharing, {}, BODY, made(), "test", {"steps": 2, "lr": 1e-3}, 0)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_matters_changes_the_key(change):
    assert CHANGES[change](a_run()).key() != a_run().key()


def test_what_cannot_matter_keeps_the_key():
    assert a_run().key() == a_run().key() == replace(a_run(), backbone=BODY.clone(), tasks=made()).key()
    assert tasks_digest(made(), "test") == tasks_digest(changed(made(), "validation"), "test")       # rows it does not read


def test_other_code_changes_the_key(tmp_path):
    code = "import mtl_teach as mt\nclass Mine(mt.HardSharing):\n    extra = {}\n"

    def load(extra):
        file = tmp_path / "my_method.py"
        file.write_text(code.format(extra))
        spec = importlib.util.spec_from_file_location("my_method", file)
        sys.modules["my_method"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return replace(a_run(), algorithm=module.Mine).key()
    assert load(1) == load(1) != load(2)


def test_the_code_of_a_run_is_all_that_it_imports():
    package = Path(mt.__file__).parent
    found = {file.relative_to(package).as_posix() for file in with_imports(
        [package / "comparison_runs.py", package / "sharing" / "soft.py"])}
    assert found >= {"training.py", "batching.py", "encoding.py", "heads.py", "metrics.py", "decoding.py", "sharing/base.py",
                     "blocks.py", "samplers.py", "sharing/soft.py"}
    assert not found & {"figures.py", "sharing/hard.py", "sharing/progressive.py", "cli.py"}


def test_a_named_backbone_is_known_by_its_weights(tmp_path):
    folder = tmp_path / "body"
    BODY.model.save_pretrained(folder)
    BODY.tokenizer.save_pretrained(folder)
    first = replace(a_run(), backbone=str(folder)).key()
    assert replace(a_run(), backbone=str(folder)).key() == first
    changed_body().model.save_pretrained(folder)
    assert replace(a_run(), backbone=str(folder)).key() != first


@pytest.mark.parametrize("text", ["", "{", "[]", '{"values": {"mood": "x", "same": 1}}', '{"values": {"mood": 0.5}}'])
def test_a_broken_file_is_made_again_and_said_so(tmp_path, runs, text):
    small(TWO, cache=tmp_path, lr=1e-3)
    whole = sorted(tmp_path.iterdir())
    before = [json.loads(file.read_text()) for file in whole]
    whole[0].write_text(text)
    with pytest.warns(UserWarning, match=f"{whole[0].name} is broken; it is made again"):
        assert small(TWO, cache=tmp_path, lr=1e-3).trained == 1
    assert [json.loads(file.read_text()) for file in sorted(tmp_path.iterdir())] == before


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "run.json"
    comparison_runs.write({"a": 1}, file)
    with pytest.raises(TypeError):
        comparison_runs.write({"b": object()}, file)
    assert json.loads(file.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [file]


def test_a_full_disk_costs_the_cache_and_not_the_result(tmp_path, runs, monkeypatch):
    def full(record, file):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(comparison_runs, "write", full)
    with pytest.warns(UserWarning, match="could not be kept.*No space left"):
        assert small(TWO, cache=tmp_path, lr=1e-3).trained == 4


def test_where_runs_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("MTL_CACHE", str(tmp_path))
    assert comparison_runs.cache_folder() == tmp_path / "runs"
    monkeypatch.delenv("MTL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert comparison_runs.cache_folder() == tmp_path / "xdg" / "mtl_teach" / "runs"
    root = HERE.parent
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert root not in comparison_runs.cache_folder().parents


@pytest.mark.slow
def test_killed_with_jobs_and_resumed(tmp_path):
    script = tmp_path / "arena.py"
    script.write_text(textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(HERE)!r})
        from test_comparison import FIVE, made, small
        if __name__ == "__main__":
            result = small(FIVE, seeds=4, steps=40, jobs=2, cache={str(tmp_path / "kept")!r})
            print(result.trained, sorted(result["HardSharing"]["mood"].by_seed.items()))
        """))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen([sys.executable, script], env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
    while len(list((tmp_path / "kept").glob("[!.]*.json"))) < 4 and first.poll() is None:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    here = len(list((tmp_path / "kept").glob("[!.]*.json")))
    assert 4 <= here < 30
    again = [subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True).stdout
             for _ in range(2)]
    assert [int(text.split()[0]) for text in again] == [30 - here, 0]
    assert again[0].split(" ", 1)[1] == again[1].split(" ", 1)[1]


# ---- the result -----------------------------------------------------------------------------------------------------------

def plain_result(seeds=(0, 1, 2)):
    def values(*numbers):
        return Measured(dict(zip(seeds, numbers)))
    one = values(*[1.0] * len(seeds))

    def scores(name, mood, same, **more):
        return comparison.Scores(name, {"mood": values(*mood), "same": values(*same)}, one, one, 10, **more)
    return Comparison({"SingleTask": scores("SingleTask", (0.5, 0.5, 0.6), (0.8, 0.8, 0.9), chosen={"lr": 3}, tried=[{"lr": 3}]),
                       "HardSharing": scores("HardSharing", (0.6, 0.6, 0.72), (0.4, 0.4, 0.45)),
                       "SoftSharing": scores("SoftSharing", (0.59, 0.61, 0.75), (0.8, 0.8, 0.9))}, "SingleTask",
                      {"steps": 2, "batch_size": 4, "seeds": list(seeds), "tuning_seeds": [9], "same_rows": False})


def test_delta_m_and_differences_are_paired():
    result = plain_result()
    delta = result.delta_m("HardSharing")
    assert list(delta.by_seed.values()) == pytest.approx([(0.2 - 0.5) / 2] * 3) and delta.signed
    difference = result.difference("HardSharing", "SingleTask", "same")
    assert difference.mean == pytest.approx((-0.4 - 0.4 - 0.45) / 3)
    assert result.difference("HardSharing", "SingleTask").mean == pytest.approx((0.1 + 0.1 + 0.12 - 0.4 - 0.4 - 0.45) / 6)
    assert result.difference("HardSharing", "SingleTask", "Δm").mean == pytest.approx(delta.mean)
    assert result["HardSharing"]["mood"].mean == pytest.approx(0.64)
    assert result[mt.HardSharing] is result["HardSharing"]


def test_best_names_all_that_are_not_shown_to_be_worse():
    result = plain_result()
    assert result.best("mood") == ["SoftSharing", "HardSharing"]
    assert result.best("same") == ["SingleTask", "SoftSharing"]


def test_table_and_summary():
    table = plain_result().table()
    assert list(table.index) == ["SingleTask", "HardSharing", "SoftSharing"]
    assert table.loc["HardSharing", ("mood", "mean")] == pytest.approx(0.64)
    assert table.loc["HardSharing", ("Δm", "high")] == pytest.approx(-0.15)
    assert table.loc["SingleTask", ("tuning", "trials")] == 1 and table.loc["SingleTask", ("cost", "parameters")] == 10
    assert plain_result().summary().loc["SingleTask", "mood (%)"] == "53 ± 14"
    page = plain_result()._repr_html_()
    assert "Maninis et al. 2019" in page and "above 0 is better" in page and "HardSharing" in page


def test_what_stands_in_the_notes(runs):
    assert any("One seed: no interval" in note for note in small(TWO, seeds=1).notes)
    assert any("same rows" in note for note in small(TWO, made()).notes)
    assert not any("same rows" in note for note in small(TWO).notes)
    wide = small(TWO, grid={"lr": (1e-4, 1e-3, 1e-2)})
    edges = [name for name, scores in wide.items() if scores.chosen["lr"] != 1e-3]
    said = [note for note in wide.notes if note.startswith("At the edge of the grid in lr")]
    assert said == [f"At the edge of the grid in lr, where a wider one might do better: {', '.join(edges)}."] * bool(edges)
    assert "2 by each" in " ".join(small(TWO).notes)


ONE_BY_ONE = {"mixed": mt.HardSharing, "columns": mt.ProgressiveNetwork}


def test_the_notes_say_how_the_steps_of_a_method_in_order_were_dealt_out():
    """The steps that were trained, not those of the budget: with sampler="joint" columns take more."""
    assert small(TWO, lr=1e-3).notes[0] == "2 steps of 4 rows for each method; mean ± half the 95 % interval over 2 seeds."
    alike = small(ONE_BY_ONE, lr=1e-3, baseline=False).notes
    assert alike[0].startswith("2 steps of 4 rows in all for each method;")
    assert [note.split(",")[0] for note in alike if "one task after" in note] == [
        "columns learns one task after the other: its 2 steps are dealt out to the tasks"]
    tasks = task_set(12, ("classify", "regress"))
    tasks["stars"].train = [{"text": row["text"], "label": 1.5} for row in tasks["mood"].train]
    joint = small(ONE_BY_ONE, tasks, seeds=1, lr=1e-3, baseline=False, sampler="joint")
    assert joint.notes[0] == "2 steps of 4 rows for each method that learns all tasks at once. One seed: no interval, so nothing is shown."
    assert any(note.startswith("columns learns one task after the other, in 4 steps in all:") for note in joint.notes)
    assert [joint[name].steps.mean for name in joint] == [2, 4] and [joint[name].in_order for name in joint] == [False, True]


def test_a_file_that_does_not_tell_who_learned_in_order_claims_no_equal_steps(tmp_path):
    facts = small(TWO, lr=1e-3).to_dict()
    for mine in facts["scores"].values():
        del mine["steps"], mine["in_order"]
    notes = Comparison.from_dict(json.loads(json.dumps(facts))).notes
    assert notes[0].startswith("2 steps of 4 rows for each method that learns all tasks at once;")
    assert "A method that learns one task after the other sees each task's rows as often." in notes


def test_delta_m_is_left_out_where_a_value_is_too_near_zero():
    result = plain_result()
    low = replace(result["SingleTask"], values=result["SingleTask"].values | {"same": Measured({0: 0.0, 1: 0.5, 2: 0.5})})
    broken = Comparison({**result.scores, "SingleTask": low}, "SingleTask", result.budget)
    assert "Δm" not in broken.table().columns.get_level_values(0)
    assert any("too near 0" in note for note in broken.notes)
    assert broken.plot().alt


def test_a_result_says_what_it_holds():
    result = plain_result()
    assert "HardSharing" in result and mt.HardSharing in result and "Nonsense" not in result
    assert "mood" in result["HardSharing"] and "nonsense" not in result["HardSharing"]


def test_a_result_survives_a_file(tmp_path):
    result = plain_result()
    again = Comparison.load(result.save(tmp_path / "arena.json"))
    assert again.to_dict() == result.to_dict() and repr(again) == repr(result)
    assert again.difference("HardSharing", "SingleTask", "mood").by_seed == result.difference(
        "HardSharing", "SingleTask", "mood").by_seed


def test_the_figure_shows_each_method_in_each_panel():
    result = plain_result()
    figure = result.plot()
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["mood (%)", "same (%)", "Δm (%)"]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == list(result)
    for name in result:
        assert figure.alt.count(name) == 3
    assert "64 [47, 81]" in figure.alt
    assert len(panels[0].lines) and {line.get_marker() for line in panels[0].lines} >= {"o", "s", "^"}
    with pytest.raises(ValueError, match="nothing to draw"):
        points({})


def test_plain_baselines_stand_beside_the_methods(runs):
    result = small(TWO, task_set(24, ("classify", "regress")), plain=True, lr=1e-3)
    assert list(result.plain) == ["majority", "TF-IDF + LR"] and set(result.plain["majority"]) == {"mood", "stars"}
    assert result.plain["TF-IDF + LR"]["mood"].mean > result.plain["majority"]["mood"].mean
    assert "TF-IDF + LR" in result.summary().index and "TF-IDF + LR" in result.plot().alt


# ---- what cannot work -----------------------------------------------------------------------------------------------------

MISTAKES = {
    "nothing to compare": dict(methods=[]),
    "unknown method 'HardSharin'.*Did you mean 'HardSharing'": dict(methods=["HardSharin", mt.SingleTask]),
    "unknown method 'x'.*no sharing model": dict(methods={"x": dict, "y": mt.SingleTask}),
    "two methods are called 'HardSharing'": dict(methods=[mt.HardSharing, mt.SingleTask, mt.HardSharing]),
    "two tasks or more, got .'mood'.": dict(tasks=task_set(12, ("classify",))),
    "expected a TaskSet": dict(tasks=lambda seed: None),
    "tasks of seed 1 differ": dict(tasks=lambda seed: made(kinds=("classify", "pair") if seed != 1 else ("classify", "tag"))),
    "no method is SingleTask. Add mt.SingleTask": dict(methods=[mt.HardSharing]),
    "several methods are SingleTask": dict(methods={"a": mt.SingleTask, "b": mt.SingleTask}),
    "the baseline 'Single' is none.*Did you mean 'SingleTask'": dict(baseline="Single"),
    "different seeds, and others for tuning": dict(seeds=(0, 1), tuning_seeds=(1, 2)),
    "one or more different seeds": dict(seeds=[]),
    "SingleTask has no knob 'strength'": dict(grid={"strength": (0.1, 1.0)}),
    "SoftSharing has no knob 'strenght'.*Did you mean 'strength'": dict(
        methods={"a": mt.SingleTask, "b": (mt.SoftSharing, {"strenght": 1.0})}),
    "'steps' belongs to the budget": dict(grid={"steps": (10, 20)}),
    "'lr' is both fixed and in the grid": dict(lr=1e-3, grid={"lr": (1e-3, 2e-3)}),
    "no option 'batchsize'.*Did you mean 'batch_size'": dict(batchsize=3),
    "no value for 'lr'": dict(grid={"lr": ()}),
    "different numbers of settings": dict(methods={
        "a": mt.SingleTask, "b": Method(mt.SoftSharing, grid={"lr": (1e-3,), "strength": (0.1, 1.0, 10.0)})}),
    "soft cannot work on these tasks: unknown norm 'l3'": dict(methods={"a": mt.SingleTask, "soft": (mt.SoftSharing, {"norm": "l3"})}),
    "progressive network learns one task at a time": dict(
        methods={"a": mt.SingleTask, "b": Method(mt.ProgressiveNetwork, in_order=False)}),
    "of 1 steps none is left": dict(methods=[mt.SingleTask, mt.ProgressiveNetwork], steps=1),
    "order must name each task once": dict(methods={"a": mt.SingleTask, "b": Method(mt.ProgressiveNetwork, order=("mood",))}),
    "tune_for='mod' is none of the tasks.*Did you mean 'mood'": dict(tune_for="mod"),
    "'mood' has no test rows": dict(tasks=TaskSet({n: replace(d, test=[]) for n, d in made().items()})),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_refused_before_anything_is_trained(message, runs):
    given = {"methods": TWO} | MISTAKES[message]
    with pytest.raises(TaskError, match=message):
        small(given.pop("methods"), given.pop("tasks", made), given.pop("seeds", 2), **given)
    assert not runs


def test_uneven_grids_are_allowed_when_asked_for(runs):
    soft = Method(mt.SoftSharing, grid={"lr": (1e-3,), "strength": (0.1, 1.0, 10.0)})
    result = small({"single": mt.SingleTask, "soft": soft}, baseline="single", uneven=True)
    assert len(result["soft"].tried) == 3 and "single 2, soft 3" in " ".join(result.notes)
    assert set(result["soft"].chosen) == {"lr", "strength"}


def test_delta_m_without_a_baseline_says_what_to_do(runs):
    result = small([mt.HardSharing, mt.SoftSharing], baseline=False)
    with pytest.raises(TaskError, match="no baseline"):
        result.delta_m("HardSharing")
    assert "Δm" not in result.table().columns.get_level_values(0)
    with pytest.raises(TaskError, match="no method 'Hard'.*Did you mean 'HardSharing'"):
        result["Hard"]
    with pytest.raises(TaskError, match="not scored on 'mod'.*Did you mean 'mood'"):
        result["HardSharing"]["mod"]


def test_a_file_that_is_not_there_is_no_run(tmp_path):
    assert kept(tmp_path / "none.json", ["mood"]) is None and kept(None, ["mood"]) is None
