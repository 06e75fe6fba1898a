"""fit: checkpoints that survive kill -9, exact resumption, several processes, and errors that say what to do."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from small_models import backbone, task_set

import mtl_teach as mt
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet
from mtl_teach.training import TrainingError

HERE = Path(__file__).parent


def model_of(tasks, seed=0):
    torch.manual_seed(seed)
    return mt.HardSharing(backbone("gpt2"), tasks)


def losses(history):
    return [{key: value for key, value in step.items()} for step in history.steps]


def test_losses_are_the_same_again():
    tasks = task_set()
    a, b = (mt.fit(model_of(tasks), tasks, steps=20) for _ in range(2))
    assert losses(a) == losses(b)
    assert losses(a) != losses(mt.fit(model_of(tasks), tasks, steps=20, seed=1))


def test_the_loop_is_the_textbook_loop():
    """Against AdamW, clipping and the schedule written out by hand."""
    tasks = task_set(kinds=("classify", "regress"))
    by_hand = model_of(tasks)
    history = mt.fit(model_of(tasks), tasks, steps=10, lr=2e-3, warmup=0.3, loss_weights={"stars": 0.5})
    groups = [{"params": [p for p in by_hand.parameters() if p.ndim > 1], "weight_decay": 0.01},
              {"params": [p for p in by_hand.parameters() if p.ndim <= 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    batches = mt.MixedBatches(tasks, by_hand.backbone.tokenizer, 32, seed=0)
    for step, expected in enumerate(history.steps):
        rate = 2e-3 * min((step + 1) / 3, (10 - step) / 7)
        for group in optimizer.param_groups:
            group["lr"] = rate
        out = by_hand(next(batches))
        total = out["mood"].loss + 0.5 * out["stars"].loss
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 1.0)
        optimizer.step()
        assert expected["total"] == pytest.approx(total.item(), abs=1e-6) and expected["lr"] == pytest.approx(rate)


def test_history_has_a_column_per_task_and_gaps_where_a_task_was_absent():
    tasks = TaskSet(task_set(60, kinds=("classify",)) | task_set(4, kinds=("regress",)))
    frame = mt.fit(model_of(tasks), tasks, steps=12, batch_size=4).frame()
    assert list(frame.columns) == ["total", "lr", "mood", "stars"] and frame["stars"].isna().any()


def test_training_mode_and_unknown_names_are_left_as_they_were():
    tasks = task_set(kinds=("classify",))
    model = model_of(tasks).eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    other = TaskSet(nope=TaskData(Task("nope", "regress"), [{"text": "tea", "label": 1}]))
    relabelled = TaskSet(mood=TaskData(Task("mood", "classify", ("bad", "great")), [{"text": "tea", "label": "bad"}]))
    for bad, options, message in [(other, {}, "no head for the task 'nope'"), (relabelled, {}, "other labels"),
                                  (tasks, {"steps": 0}, "steps"), (tasks, {"precision": "fp8"}, "unknown precision"),
                                  (tasks, {"loss_weights": {"mod": 1}}, "Did you mean 'mood'"),
                                  (tasks, {"sampler": "random"}, "unknown sampler")]:
        with pytest.raises(TaskError, match=message):
            mt.fit(model, bad, **options)
    assert not model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    mt.fit(model, tasks, steps=1)
    assert not model.training


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_half_precision_on_a_cpu_is_refused_with_the_reason():
    tasks = task_set(kinds=("classify",))
    with pytest.raises(TaskError, match="fp16 needs a GPU"):
        mt.fit(model_of(tasks), tasks, precision="fp16")


def test_bfloat16_trains_and_does_not_bind_the_next_run():
    tasks = task_set(kinds=("classify", "regress"))
    half, full = (mt.fit(model_of(tasks), tasks, steps=30, lr=5e-3, precision=p) for p in ("bf16", "fp32"))
    assert half.steps[-1]["total"] < 0.7 * half.steps[0]["total"]
    assert half.steps[0]["total"] != full.steps[0]["total"]
    assert half.steps[0]["total"] == pytest.approx(full.steps[0]["total"], rel=0.05)


# ---- checkpoints --------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


def stop_at(monkeypatch, step):
    """Make the run die after it has taken so many steps."""
    from mtl_teach.training import _Run
    plain = _Run.step

    def dying(self, store):
        if len(self.history) == step:
            raise Stop
        plain(self, store)
    monkeypatch.setattr(_Run, "step", dying)


def test_an_interrupted_run_resumes_to_the_same_losses_and_weights(tmp_path, monkeypatch):
    tasks = task_set()
    whole = model_of(tasks)
    expected = mt.fit(whole, tasks, steps=30)
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stop_at(patch, 17)
        mt.fit(model_of(tasks), tasks, steps=30, checkpoints=tmp_path, save_every=5)
    torch.manual_seed(99)                                                   # whatever happened in between
    resumed = model_of(tasks, seed=7)
    history = mt.fit(resumed, tasks, steps=30, checkpoints=tmp_path, save_every=5)
    assert losses(history) == losses(expected)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))
    assert len(list(tmp_path.glob("step-*"))) == 2 and not list(tmp_path.glob(".writing*"))


def test_dropout_continues_where_it_stopped(tmp_path, monkeypatch):
    tasks = task_set(kinds=("classify",))

    def dropping():
        torch.manual_seed(0)
        model = model_of(tasks)
        model.backbone.model.drop.p = 0.3
        return model
    expected = mt.fit(dropping(), tasks, steps=12)
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stop_at(patch, 8)
        mt.fit(dropping(), tasks, steps=12, checkpoints=tmp_path, save_every=4)
    assert losses(mt.fit(dropping(), tasks, steps=12, checkpoints=tmp_path, save_every=4)) == losses(expected)


SCRIPT = """
    import sys
    sys.path.insert(0, {here!r})
    from small_models import backbone, task_set
    import json, os, torch, mtl_teach as mt
    tasks = task_set()
    torch.manual_seed(0)
    model = mt.HardSharing(backbone("gpt2"), tasks)
    history = mt.fit(model, tasks, {options})
    if int(os.environ.get("RANK", 0)) == 0:
        print(json.dumps([step["total"] for step in history.steps]))
"""


def script(tmp_path, options):
    path = tmp_path / "train.py"
    path.write_text(textwrap.dedent(SCRIPT.format(here=str(HERE), options=options)))
    return path


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_good_checkpoint(tmp_path):
    """The run saves at every step and is killed a few times while it does; the end is as if nothing had happened."""
    state = tmp_path / "state"
    path = script(tmp_path, f"steps=60, checkpoints={str(state)!r}, save_every=1")
    for wait in (0.05, 0.4):
        run = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.DEVNULL)
        while not list(state.glob("step-*")):
            assert run.poll() is None
            time.sleep(0.01)
        time.sleep(wait)
        run.send_signal(signal.SIGKILL)
        run.wait()
    resumed = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    tasks = task_set()
    expected = [step["total"] for step in mt.fit(model_of(tasks), tasks, steps=60).steps]
    assert json.loads(resumed.stdout.splitlines()[-1]) == expected


def test_a_checkpoint_of_another_run_is_refused_before_anything_changes(tmp_path):
    tasks = task_set(kinds=("classify",))
    mt.fit(model_of(tasks), tasks, steps=4, checkpoints=tmp_path)
    other = task_set(kinds=("regress",))
    model = model_of(other)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(TaskError, match="belongs to another run .*tasks.*mood"):
        mt.fit(model, other, steps=4, checkpoints=tmp_path)
    with pytest.raises(TaskError, match="settings"):
        mt.fit(model_of(tasks), tasks, steps=4, lr=5e-2, checkpoints=tmp_path)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_full_disk_keeps_the_earlier_checkpoint(tmp_path, monkeypatch):
    tasks = task_set(kinds=("classify",))
    save, calls = torch.save, []

    def failing(state, file):
        calls.append(1)
        if len(calls) == 2:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        save(state, file)
    monkeypatch.setattr(torch, "save", failing)
    with pytest.raises(TrainingError, match="No space left.*last good checkpoint is .*step-000005"):
        mt.fit(model_of(tasks), tasks, steps=20, checkpoints=tmp_path, save_every=5)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000005"]
    expected = mt.fit(model_of(tasks), tasks, steps=20)
    assert losses(mt.fit(model_of(tasks), tasks, steps=20, checkpoints=tmp_path, save_every=5)) == losses(expected)


def test_a_loss_that_is_not_finite_stops_with_the_task_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    tasks = task_set(kinds=("classify", "regress"))
    model = model_of(tasks)
    plain, calls = model.head("stars").loss, []

    def breaking(logits, labels):
        calls.append(1)
        return plain(logits, labels) * (float("nan") if len(calls) == 13 else 1.0)
    monkeypatch.setattr(model.head("stars"), "loss", breaking)
    with pytest.raises(TrainingError, match="step 13: the loss of 'stars' is not finite.*step-000010"):
        mt.fit(model, tasks, steps=20, checkpoints=tmp_path, save_every=5, sampler="uniform")
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000005", "step-000010"]


@pytest.mark.slow
def test_two_processes_train_the_same_thing(tmp_path):
    path = script(tmp_path, "steps=12, batch_size=16, lr=5e-3")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(path)]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    two = subprocess.run(launch, env=env, capture_output=True, text=True, timeout=120)
    assert two.returncode == 0, two.stderr[-2000:]
    tasks = task_set()
    one = [step["total"] for step in mt.fit(model_of(tasks), tasks, steps=12, batch_size=16, lr=5e-3).steps]
    both = json.loads([line for line in two.stdout.splitlines() if line.startswith("[")][-1])
    assert both == pytest.approx(one, abs=2e-4)
