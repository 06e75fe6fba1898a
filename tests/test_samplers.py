"""Samplers: their formulas by hand, how often tasks and rows really come, turns, resuming, processes, bad input."""

import json
import math
from collections import Counter

import pytest
import torch
from small_models import backbone, rows, task_set, tokenizer

import mtl_teach as mt
from mtl_teach.backbones import ready
from mtl_teach.batching import MixedBatches
from mtl_teach.samplers import SAMPLERS, TaskSampler, probabilities
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet

SIZES = {"big": 10_000, "middle": 400, "small": 25}


def tasks_of(**sizes):
    """Tasks of so many rows each; every text of a task is different, and its number can be read from its label."""
    made = {}
    for name, size in sizes.items():
        made[name] = TaskData(Task(name, "regress"), [{"text": text, "label": float(i)} for i, (text, _) in enumerate(
            rows(size, seed=len(name)))])
    return TaskSet(made)


def stream(tasks, count, **options):
    batches = MixedBatches(tasks, ready(tokenizer("gpt2")), **options)
    return batches, [next(batches) for _ in range(count)]


# ---- formulas -------------------------------------------------------------------------------------------------------

def by_hand(sizes, power):
    total = sum(n**power for n in sizes.values())
    return {name: n**power / total for name, n in sizes.items()}


@pytest.mark.parametrize("sampler, options, power", [
    ("proportional", {}, 1.0), ("uniform", {}, 0.0), ("round_robin", {}, 0.0),
    ("temperature", {"temperature": 2.0}, 0.5), ("temperature", {"temperature": 5.0}, 0.2),
    ("annealed", {"progress": 0.0}, 1.0), ("annealed", {"progress": 0.25}, 0.8), ("annealed", {"progress": 1.0}, 0.2),
    ("annealed", {"progress": 7.0}, 0.2)])
def test_formulas(sampler, options, power):
    found = probabilities(SIZES, sampler, **options)
    assert found == pytest.approx(by_hand(SIZES, power)) and sum(found.values()) == pytest.approx(1)


def test_the_cap_comes_before_the_temperature():
    capped = {"big": 1000, "middle": 400, "small": 25}
    assert probabilities(SIZES, cap=1000) == pytest.approx(by_hand(capped, 1.0))
    found = probabilities(SIZES, "temperature", 2.0, cap=1000)
    assert found == pytest.approx(by_hand(capped, 0.5))
    tempered_first = {name: min(n**0.5, 1000**0.5) / 100 for name, n in SIZES.items()}
    assert found["big"] != pytest.approx(tempered_first["big"])
    assert probabilities(SIZES, "annealed", cap=100, progress=1.0) == pytest.approx(by_hand({"big": 100, "middle": 100, "small": 25}, 0.2))


def test_temperatures_at_their_limits():
    assert probabilities(SIZES, "temperature", math.inf) == pytest.approx(dict.fromkeys(SIZES, 1 / 3))
    assert probabilities(SIZES, "temperature", 1e-4) == pytest.approx({"big": 1, "middle": 0, "small": 0})


def test_annealing_follows_the_paper_with_chunks_for_epochs():
    """Stickland & Murray 2019: alpha = 1 - 0.8 (e - 1)/(E - 1) in epoch e of E."""
    sampler, chunk, epochs = TaskSampler(SIZES, "annealed", total=6000), 1000, 6
    for epoch in range(1, epochs + 1):
        alpha = 1 - 0.8 * (epoch - 1) / (epochs - 1)
        assert sampler._probabilities(chunk) == pytest.approx(by_hand(SIZES, alpha)), epoch
        sampler.draw(chunk)
    assert sampler._probabilities(chunk) == pytest.approx(by_hand(SIZES, 0.2))                # after the end it stays


def test_an_annealed_run_of_one_step_is_proportional():
    sampler = TaskSampler(SIZES, "annealed", total=32)
    assert sampler._probabilities(32) == pytest.approx(by_hand(SIZES, 1.0))
    _, (batch,) = stream(tasks_of(big=90, small=10), 1, batch_size=8, sampler="annealed", steps=1)
    assert len(batch.labels["big"]) + len(batch.labels.get("small", ())) == 8


# ---- what really comes ----------------------------------------------------------------------------------------------

def shares(batches, name):
    return [len(batch.labels.get(name, ())) / sum(map(len, batch.labels.values())) for batch in batches]


@pytest.mark.parametrize("bucket", [True, False])
def test_annealing_turns_from_proportional_to_nearly_uniform(bucket):
    tasks = tasks_of(big=900, small=100)
    _, batches = stream(tasks, 200, batch_size=16, sampler="annealed", steps=200, bucket=bucket)
    found = shares(batches, "small")
    begin, middle, end = (sum(found[a:a + 40]) / 40 for a in (0, 80, 160))
    expected = [probabilities({"big": 900, "small": 100}, "annealed", progress=x)["small"] for x in (0.1, 0.5, 0.9)]
    assert [begin, middle, end] == pytest.approx(expected, abs=0.05)
    assert expected == pytest.approx([0.117, 0.211, 0.351], abs=0.002)                      # n^.92, n^.6, n^.28


def test_tasks_take_turns_in_changing_order_and_none_ends_the_stream():
    tasks = tasks_of(big=100, middle=40, small=9)
    _, batches = stream(tasks, 90, batch_size=4, sampler="round_robin")
    assert all(len(batch.tasks) == 1 and len(batch.labels[batch.tasks[0]]) == 4 for batch in batches)
    turns = [batch.tasks[0] for batch in batches]
    rounds = [tuple(turns[i:i + 3]) for i in range(0, 90, 3)]
    assert all(sorted(one) == ["big", "middle", "small"] for one in rounds)
    assert len(set(rounds)) == 6


def test_a_small_task_that_starts_again_is_in_a_new_order():
    _, batches = stream(tasks_of(big=100, small=10), 80, batch_size=5, sampler="round_robin", bucket=False)
    by_turns = [int(label) for batch in batches for label in batch.labels.get("small", ())]
    sampler = TaskSampler({"big": 100, "small": 10}, "uniform")
    mixed = [row for _ in range(40) for name, row in sampler.draw(10) if name == "small"]
    for seen in (by_turns, mixed):
        epochs = [tuple(seen[i:i + 10]) for i in range(0, len(seen) - 9, 10)]
        assert len(epochs) > 12 and all(sorted(one) == list(range(10)) for one in epochs)
        assert len(set(epochs)) == len(epochs)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("bucket", [True, False])
def test_every_row_comes_equally_often(sampler, bucket):
    batches, drawn = stream(tasks_of(big=60, small=20), 60, batch_size=8, sampler=sampler, steps=60, bucket=bucket)
    for name in ("big", "small"):
        counts = Counter(int(label) for batch in drawn for label in batch.labels.get(name, ()))
        held_back = 0 if batches._at == len(batches._queue) else 1                          # rest of the last chunk
        assert max(counts.values()) - min(counts.values()) <= 1 + held_back


def test_turns_are_bucketed_by_length():
    texts = [" ".join(["tea"] * n) for n in (2, 20) for _ in range(80)]
    tasks = TaskSet({name: TaskData(Task(name, "regress"), [{"text": t, "label": 0.0} for t in texts]) for name in "ab"})
    waste = {}
    for bucket in (True, False):
        _, batches = stream(tasks, 20, batch_size=8, sampler="round_robin", bucket=bucket)
        waste[bucket] = sum(int((batch.attention_mask == 0).sum()) for batch in batches)
    assert waste[True] < 0.1 * waste[False]


# ---- resuming, processes ------------------------------------------------------------------------------------------------

def facts(batch):
    return batch.input_ids.tolist(), {name: labels.tolist() for name, labels in batch.labels.items()}, batch.counts


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("at", [0, 1, 7, 30])
def test_resumed_at_any_step_through_json(sampler, at):
    tasks, options = tasks_of(big=120, middle=40, small=8), dict(batch_size=6, sampler=sampler, steps=40, seed=3)
    _, whole = stream(tasks, 40, **options)
    halfway, _ = stream(tasks, at, **options)
    state = json.loads(json.dumps(halfway.state_dict()))
    resumed, _ = stream(tasks, 2, **options)                                                # has been used before
    resumed.load_state_dict(state)
    assert [facts(next(resumed)) for _ in range(40 - at)] == [facts(batch) for batch in whole[at:]]


@pytest.mark.parametrize("sampler", [*SAMPLERS, "joint"])
def test_processes_together_have_the_gradient_of_the_whole_batch(sampler):
    """The mean of the processes' gradients, which is what DDP takes, is the gradient of one process's batch."""
    tasks = task_set(30, kinds=("classify", "regress", "tag"))
    torch.manual_seed(0)
    model = mt.HardSharing(backbone("gpt2"), tasks)

    def gradient(batch):
        losses = [out.loss for out in model(batch).values()]
        grads = torch.autograd.grad(sum(losses), list(model.parameters()), allow_unused=True)
        return torch.cat([torch.zeros(p.numel()) if g is None else g.flatten() for g, p in zip(grads, model.parameters())])
    options = dict(batch_size=7, sampler=sampler, steps=6)
    _, whole = stream(tasks, 6, **options)
    parts = [stream(tasks, 6, **options, rank=rank, world=3)[1] for rank in range(3)]
    for batch, *shares_ in zip(whole, *parts):
        together = torch.stack([gradient(share) for share in shares_]).mean(0)
        assert torch.allclose(together, gradient(batch), atol=1e-5)


@pytest.mark.parametrize("sampler", ["annealed", "round_robin"])
def test_fit_trains_and_resumes_with_it(sampler, tmp_path):
    tasks = task_set(kinds=("classify", "regress"))

    def model():
        torch.manual_seed(0)
        return mt.HardSharing(backbone("gpt2"), tasks)
    options = dict(steps=12, batch_size=8, sampler=sampler)
    expected = mt.fit(model(), tasks, **options).steps
    mt.fit(model(), tasks, **options, checkpoints=tmp_path, save_every=5)
    last = sorted(tmp_path.glob("step-*"))[-1]
    for file in last.iterdir():
        file.unlink()
    last.rmdir()                                                                            # step 10 is the newest now
    assert mt.fit(model(), tasks, **options, checkpoints=tmp_path, save_every=5).steps == expected
    if sampler == "round_robin":
        assert all(("mood" in step) != ("stars" in step) for step in expected)


# ---- bad input ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, words", [
    (dict(sampler="roundrobin"), "unknown sampler 'roundrobin'.*'round_robin'"),
    (dict(sampler="anneal"), "unknown sampler 'anneal'.*'annealed'"),
    (dict(sampler=None), "unknown sampler None"),
    (dict(sampler="temperature", temperature=0), "temperature must be a positive number, got 0"),
    (dict(sampler="temperature", temperature=-2.0), "temperature must be a positive"),
    (dict(sampler="temperature", temperature=math.nan), "temperature must be a positive"),
    (dict(sampler="temperature", temperature="2"), "temperature must be a positive"),
    (dict(sampler="temperature", cap=0), "cap is the most rows.*got 0"),
    (dict(sampler="proportional", cap=0.5), "cap is the most rows"),
    (dict(sampler="temperature", cap=True), "cap is the most rows"),
    (dict(sampler="uniform", cap=100), "cap means nothing for sampler='uniform'"),
    (dict(sampler="round_robin", cap=100), "cap means nothing for sampler='round_robin'"),
    (dict(sampler="joint", cap=100), "cap means nothing for sampler='joint'"),
    (dict(sampler="annealed"), "must know how long the run is"),
])
def test_bad_options_are_refused_with_what_to_do(options, words):
    with pytest.raises(TaskError, match=words):
        stream(tasks_of(big=20, small=5), 1, batch_size=4, **options)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_empty_task_is_refused(sampler):
    tasks = TaskSet(tasks_of(big=20) | {"none": TaskData(Task("none", "regress"))})
    with pytest.raises(TaskError, match=r"no training rows in \['none'\]"):
        stream(tasks, 1, batch_size=4, sampler=sampler, steps=10)


def test_a_state_of_other_tasks_is_refused():
    state = TaskSampler({"a": 3, "b": 4}).state_dict()
    sampler = TaskSampler({"a": 3, "c": 4})
    with pytest.raises(TaskError, match=r"draws from \['a', 'b'\], this one from \['a', 'c'\]"):
        sampler.load_state_dict(state)
