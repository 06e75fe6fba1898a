"""Instruments against autograd and a lookahead by hand; they never change training; grouping against all partitions."""

import math
import subprocess
import sys
import textwrap
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from small_models import backbone, task_set

import mtl_teach as mt
from mtl_teach.batching import MixedBatches
from mtl_teach.figures_training import cosines_over_time, pairs, scales
from mtl_teach.instruments import quiet, task_gradients
from mtl_teach.tasks import TaskError

KINDS = ("classify", "regress", "tag")


def setting(kinds=KINDS, **options):
    tasks = task_set(40, kinds=kinds)
    torch.manual_seed(0)
    model = mt.HardSharing(backbone("gpt2"), tasks)
    batch = next(MixedBatches(tasks, model.backbone.tokenizer, 24, **options))
    return tasks, model, batch


class Toy(torch.nn.Module):
    """Tasks with losses that can be worked out on paper: L_k = a_k · θ + b_k |θ|² / 2 + c_k."""

    def __init__(self, theta, **losses):
        super().__init__()
        self.theta, self.own = torch.nn.Parameter(torch.tensor(theta)), torch.nn.Parameter(torch.zeros(1))
        self.losses, self.tasks = losses, dict.fromkeys(losses)

    def shared_parameters(self):
        return [self.theta]

    def forward(self, batch):
        found = {}
        for name in batch.rows:
            a, b, c = self.losses[name]
            found[name] = SimpleNamespace(loss=self.theta @ torch.tensor(a) + b * self.theta.square().sum() / 2 + c + self.own[0])
        return found


class Rows:
    def __init__(self, *names):
        self.rows = {name: [0] for name in names}

    def __len__(self):
        return len(self.rows)

    def only(self, name):
        return Rows(name)


# ---- gradients --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sampler", ["uniform", "joint"])
def test_gradients_are_those_of_autograd(sampler):
    """One joint forward pass and a backward pass per task with the graph kept, against what the instrument does."""
    _, model, batch = setting(sampler=sampler)
    losses, grads = task_gradients(model, batch)
    outputs = model.eval()(batch)
    for k, name in enumerate(model.tasks):
        expected = torch.autograd.grad(outputs[name].loss, model.shared_parameters(), retain_graph=True, allow_unused=True)
        flat = torch.cat([torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(model.shared_parameters(), expected)])
        assert losses[k].item() == pytest.approx(outputs[name].loss.item(), abs=1e-6)
        assert torch.allclose(grads[k], flat, atol=1e-6) and grads[k].norm() > 0.01


def test_texts_with_labels_of_several_tasks_pass_the_body_once(monkeypatch):
    tasks, model, batch = setting(kinds=("classify", "regress"), sampler="joint")
    for name in tasks:                                                               # every text has both labels
        batch.rows[name], batch.counts[name] = torch.arange(len(batch)), float(len(batch))
    batch.labels.update(mood=torch.zeros(len(batch), dtype=torch.long), stars=torch.ones(len(batch)))
    calls, plain = [], model.backbone.forward
    monkeypatch.setattr(model.backbone, "forward", lambda *a, **o: calls.append(1) or plain(*a, **o))
    _, once = task_gradients(model, batch)
    assert len(calls) == 1
    apart = [task_gradients(model, batch.only(name))[1][k] for k, name in enumerate(model.tasks)]
    assert torch.allclose(once, torch.stack(apart), atol=1e-6)


def test_cosines_conflicts_and_norms_of_known_vectors():
    model = Toy([0.0, 0.0], east=([2.0, 0.0], 0, 1), north=([0.0, 3.0], 0, 1), west=([-1.0, 0.0], 0, 1), still=([0.0, 0.0], 0, 1))
    watch = mt.GradientWatch(every=1)
    watch.see(model, Rows("east", "north", "west", "still"))
    cosines = watch.cosines()
    assert cosines.loc["east", "west"] == -1 and cosines.loc["east", "north"] == 0 and cosines.loc["east", "east"] == 1
    assert math.isnan(cosines.loc["east", "still"])                                  # no direction, no cosine
    assert watch.norms().iloc[0].tolist() == [2, 3, 1, 0]
    watch.see(model, Rows("east", "west"))                                           # north is absent
    watch.see(model, Rows("east", "north"))
    assert watch.conflict_rate().loc["east", "west"] == 1 and watch.conflict_rate().loc["east", "north"] == 0
    assert watch.over_time()["east · north"].isna().tolist() == [False, True, False]
    assert math.isnan(watch.norms()["north"].iloc[1])


def test_tasks_with_equal_and_opposite_labels():
    """The same texts and heads: equal labels have cosine 1; labels turned round pull the body the other way."""
    model = Toy([1.0, -2.0], task=([1.0, 2.0], 0.5, 1.0), same=([1.0, 2.0], 0.5, 1.0), opposite=([-1.0, -2.0], -0.5, 1.0))
    watch = mt.GradientWatch()
    watch.see(model, Rows("task", "same", "opposite"))
    assert watch.cosines().loc["task", "same"] == pytest.approx(1) and watch.cosines().loc["task", "opposite"] == pytest.approx(-1)


def test_mean_over_the_last_looks():
    model, watch = Toy([1.0, 0.0], a=([1.0, 0.0], 0.0, 1), b=([0.0, 1.0], 1.0, 1)), mt.GradientWatch()
    for theta in ([1.0, 0.0], [-3.0, 0.0]):                                          # b's gradient: (1, 1), then (-3, 1)
        model.theta.data = torch.tensor(theta)
        watch.see(model, Rows("a", "b"))
    first, last = 1 / math.sqrt(2), -3 / math.sqrt(10)
    assert watch.cosines().loc["a", "b"] == pytest.approx((first + last) / 2, abs=1e-6)
    assert watch.cosines(last=1).loc["a", "b"] == pytest.approx(last, abs=1e-6)
    assert watch.conflict_rate().loc["a", "b"] == 0.5 and watch.conflict_rate(last=1).loc["a", "b"] == 1


# ---- affinity -------------------------------------------------------------------------------------------------------

def test_affinity_is_the_lookahead_worked_out_in_numpy():
    theta, lr = np.array([1.0, -2.0]), 0.3
    facts = {"a": (np.array([1.0, 2.0]), 0.5, 9.0), "b": (np.array([-2.0, 1.0]), 1.5, 7.0), "c": (np.array([0.5, 0.5]), -0.4, 5.0)}

    def loss(name, at):
        a, b, c = facts[name]
        return a @ at + b * at @ at / 2 + c
    expected = pd.DataFrame({j: {i: 1 - loss(j, theta - lr * (facts[i][0] + facts[i][1] * theta)) / loss(j, theta) for i in facts}
                             for j in facts})
    model, watch = Toy(theta.tolist(), **{n: (a.tolist(), b, c) for n, (a, b, c) in facts.items()}), mt.AffinityWatch(lr=lr)
    model.theta.data, before = model.theta.data.double().float(), model.theta.detach().clone()
    watch.see(model, Rows(*facts))
    assert np.allclose(watch.affinity(), expected, atol=1e-6) and not np.allclose(expected, expected.T, atol=0.01)
    assert torch.equal(model.theta, before)


def test_affinity_of_a_model_is_a_step_of_sgd_on_the_body_alone():
    tasks, model, batch = setting(sampler="uniform")
    watch = mt.AffinityWatch()
    watch.see(model, batch, lr=0.05)
    model.eval()
    before = {name: out.loss.item() for name, out in model(batch).items()}
    for i in tasks:
        torch.manual_seed(0)
        moved = mt.HardSharing(backbone("gpt2"), tasks)
        moved.load_state_dict(model.state_dict())
        moved.eval()(batch)[i].loss.backward()
        torch.optim.SGD(moved.shared_parameters(), lr=0.05).step()                      # heads stay
        for j, out in moved(batch).items():
            assert watch.affinity().loc[i, j] == pytest.approx(1 - out.loss.item() / before[j], abs=2e-6)
        assert watch.affinity().loc[i, i] > 0


def test_affinity_is_no_cosine():
    """A long step over the valley hurts though the gradients agree; a helper with a longer gradient helps more."""
    model, watch = Toy([1.0], a=([0.0], 1.0, 1.0), steep=([0.0], 8.0, 1.0)), mt.AffinityWatch(lr=0.5)
    watch.see(model, Rows("a", "steep"))
    gradients = mt.GradientWatch()
    gradients.see(model, Rows("a", "steep"))
    assert gradients.cosines().loc["a", "steep"] == 1
    assert watch.affinity().loc["a", "steep"] > 0 > watch.affinity().loc["steep", "a"]


def test_affinity_without_a_rate_is_refused():
    model = Toy([1.0], a=([1.0], 0.0, 3.0), b=([1.0], 0.0, 3.0))
    with pytest.raises(TaskError, match="needs a learning rate"):
        mt.AffinityWatch().see(model, Rows("a", "b"))
    watch = mt.AffinityWatch()
    watch.see(model, Rows("a"), lr=0.1)
    assert math.isnan(watch.affinity().loc["a", "b"]) and watch.affinity().loc["a", "a"] == pytest.approx(0.1 / 4)


# ---- watching a run ---------------------------------------------------------------------------------------------------

def dropping(tasks):
    torch.manual_seed(0)
    model = mt.HardSharing(backbone("gpt2"), tasks)
    model.backbone.model.drop.p = 0.3
    return model


@pytest.mark.parametrize("options", [{}, {"precision": "bf16"}, {"sampler": "round_robin"}])
def test_training_goes_as_if_nobody_looked(options):
    tasks = task_set(30, kinds=KINDS)
    plain, watched = dropping(tasks), dropping(tasks)
    watches = [mt.GradientWatch(every=2), mt.AffinityWatch(every=3)]
    expected = mt.fit(plain, tasks, steps=12, batch_size=12, **options)
    found = mt.fit(watched, tasks, steps=12, batch_size=12, watch=watches, **options)
    assert found.steps == expected.steps
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), watched.parameters()))
    assert watches[0].steps == [1, 3, 5, 7, 9, 11] and watches[1].steps == [1, 4, 7, 10]
    together = "sampler" not in options
    assert watches[0].cosines().notna().all().all() == together == watches[1].affinity().notna().all().all()


def test_a_look_is_without_dropout():
    tasks = task_set(30, kinds=KINDS)
    model = dropping(tasks).train()
    batch = next(MixedBatches(tasks, model.backbone.tokenizer, 24))
    gradients, affinity = mt.GradientWatch(), mt.AffinityWatch(lr=0.1)
    for seed in (0, 1):
        torch.manual_seed(seed)
        gradients.see(model, batch)
        affinity.see(model, batch)
    for watch in (gradients, affinity):
        assert np.array_equal(watch.looks[0], watch.looks[1])
    outputs = model(batch), model(batch)
    assert outputs[0]["mood"].loss != outputs[1]["mood"].loss                             # with it, numbers would differ


def test_modes_and_gradients_and_dice_are_left_alone():
    _, model, batch = setting()
    model.train()
    model.heads.eval()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    modes, dice = [m.training for m in model.modules()], torch.get_rng_state()
    mt.GradientWatch().see(model, batch)
    mt.AffinityWatch(lr=0.1).see(model, batch)
    with pytest.raises(RuntimeError), quiet(model):
        torch.rand(3)
        raise RuntimeError
    assert [m.training for m in model.modules()] == modes and torch.equal(torch.get_rng_state(), dice)
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())


def test_a_new_run_starts_a_new_record_at_a_pace_that_costs_little():
    tasks, model, batch = setting(kinds=("classify", "regress"))
    watch = mt.GradientWatch()
    mt.fit(model, tasks, steps=3, watch=watch)
    assert watch.steps == [1] and watch.pace * 0.04 >= watch.cost(2) > (watch.pace - 1) * 0.04
    mt.fit(model, tasks, steps=1, watch=watch)
    assert watch.steps == [1] and mt.AffinityWatch().cost(8) > mt.GradientWatch().cost(8)
    watch.see(model, batch)                                                             # without a step: always
    watch.see(model, batch)
    assert len(watch.steps) == 3


def test_only_some_weights():
    _, model, batch = setting()
    last = list(model.backbone.model.h[-1].parameters())
    watch = mt.GradientWatch(parameters=lambda model: model.backbone.model.h[-1].parameters())
    watch.see(model, batch)
    _, grads = task_gradients(model, batch, last)
    assert grads.shape == (3, sum(p.numel() for p in last))
    assert watch.norms().iloc[0].tolist() == pytest.approx(grads.norm(dim=1).tolist(), rel=1e-5)


def test_what_shares_nothing_is_refused_before_training():
    tasks = task_set(kinds=("classify", "regress"))
    model = mt.SingleTask(backbone("gpt2"), tasks)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(TaskError, match="SingleTask has no trainable weights that several tasks share"):
        mt.fit(model, tasks, steps=2, watch=mt.GradientWatch())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    for every in (0, -3, 2.5, True):
        with pytest.raises(TaskError, match="every counts training steps"):
            mt.GradientWatch(every=every)
    with pytest.raises(TaskError, match="has not looked at any step"):
        mt.GradientWatch().cosines()


SCRIPT = """
    import os, sys
    sys.path.insert(0, {here!r})
    from small_models import backbone, task_set
    import torch, mtl_teach as mt
    tasks = task_set(30, kinds=("classify", "regress", "tag"))
    torch.manual_seed(0)
    model = mt.HardSharing(backbone("gpt2"), tasks)
    watches = [mt.GradientWatch(every=2), mt.AffinityWatch(every=2)]
    mt.fit(model, tasks, steps=6, batch_size=7, lr=1e-2, watch=watches)
    if int(os.environ.get("RANK", 0)) == 0:
        torch.save([watches[0].looks, watches[1].looks], {out!r})
"""


@pytest.mark.slow
def test_processes_see_what_one_process_sees(tmp_path):
    """Batches of 7 rows of 3 tasks: now and then a process has no row of a task."""
    found = []
    for number, start in ((1, [sys.executable]), (2, [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"])):
        path, out = tmp_path / f"script{number}.py", tmp_path / f"out{number}.pt"
        path.write_text(textwrap.dedent(SCRIPT.format(here=str(Path(__file__).parent), out=str(out))))
        subprocess.run([*start, str(path)], check=True, capture_output=True)
        found.append(torch.load(out, weights_only=False))
    for alone, together in zip(*found):
        assert np.allclose(alone, together, atol=1e-4, rtol=1e-3, equal_nan=True) and len(alone) == 3


# ---- groups -------------------------------------------------------------------------------------------------------------

NAMES = ["a", "b", "c", "d"]


def frame(matrix, names=NAMES):
    return pd.DataFrame(matrix, names[:len(matrix)], names[:len(matrix)])


def by_trying_all(matrix, groups, alone=0.0):
    """The best mean value over all sets of at most `groups` subsets, straight from the paper's definition."""
    count, best = len(matrix), -math.inf
    subsets = [[k for k in range(count) if mask >> k & 1] for mask in range(1, 2**count)]
    for chosen in product(subsets, repeat=groups):
        values = []
        for j in range(count):
            mine = [np.mean([matrix[i][j] for i in group if i != j]) if len(group) > 1 else alone for group in chosen if j in group]
            values.append(max(mine, default=-math.inf))
        best = max(best, np.mean(values))
    return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("alone", [0.0, -1e6])
def test_the_best_groups_are_found(seed, groups, alone):
    matrix = np.random.default_rng(seed).normal(size=(4, 4))
    found = mt.group_tasks(frame(matrix), groups, alone=alone)
    assert found.score == pytest.approx(by_trying_all(matrix, groups, alone)) and len(found.groups) <= groups
    for name, group in found.serves.items():
        assert name in group and group in found.groups
        others = [matrix[NAMES.index(o), NAMES.index(name)] for o in group if o != name]
        assert found.helped[name] == pytest.approx(np.mean(others) if others else alone)


def test_two_friendly_pairs_and_a_loner():
    friends = np.full((4, 4), -0.5)
    friends[0, 1] = friends[1, 0] = friends[2, 3] = friends[3, 2] = 0.3
    assert set(mt.group_tasks(frame(friends), 2).groups) == {("a", "b"), ("c", "d")}
    assert mt.group_tasks(frame(friends), 1).groups == (("a", "b", "c", "d"),)
    loner = friends.copy()
    loner[2, 3] = loner[3, 2] = -0.5
    assert set(mt.group_tasks(frame(loner), 3).groups) == {("a", "b"), ("c",), ("d",)}
    assert "a + b" in str(mt.group_tasks(frame(friends), 2))


def test_a_task_may_help_in_one_group_and_be_served_by_another():
    matrix = np.full((3, 3), -1.0)
    matrix[0, 1] = matrix[2, 0] = matrix[0, 2] = 1.0                                  # a helps b; c and a help each other
    found = mt.group_tasks(frame(matrix), 2)
    assert set(found.groups) == {("a", "b"), ("a", "c")} and found.serves["a"] == ("a", "c") and found.score == 1


def test_ties_go_to_fewer_trainings():
    found = mt.group_tasks(frame(np.zeros((3, 3))), 3)
    assert sum(map(len, found.groups)) == 3


def test_bad_affinities_are_refused():
    with pytest.raises(TaskError, match="square DataFrame"):
        mt.group_tasks(np.zeros((3, 3)), 2)
    with pytest.raises(TaskError, match="'a' and 'c' was never measured"):
        mt.group_tasks(frame(np.array([[0, 1, math.nan], [1, 0, 1], [1, 1, 0]])), 2)
    for groups in (0, 5, 1.5, True):
        with pytest.raises(TaskError, match="groups must be a number from 1 to 4"):
            mt.group_tasks(frame(np.zeros((4, 4))), groups)
    with pytest.raises(TaskError, match="too many to try"):
        mt.group_tasks(frame(np.zeros((12, 12)), list("abcdefghijkl")), 4)


# ---- figures ------------------------------------------------------------------------------------------------------------

def test_figures_say_what_they_show():
    tasks, model, _ = setting(kinds=("classify", "regress"))
    watch = mt.GradientWatch(every=1)
    history = mt.fit(model, tasks, steps=4, watch=watch)
    lines = cosines_over_time(watch, window=1)
    first, last = watch.over_time().iloc[[0, -1], 0]
    assert f"mood · stars from {first:.2f} to {last:.2f}" in lines.alt and "mean of 1 looks" in lines.alt
    assert lines.axes[0].lines[0].get_ydata().tolist() == pytest.approx(watch.over_time().iloc[:, 0].tolist())
    both = scales(history, watch)
    assert len(both.axes) == 2 and all(axis.get_yscale() == "log" for axis in both.axes)
    assert f"length of the gradient of mood from {watch.norms()['mood'].iloc[0]:.2g}" in both.alt
    assert len(scales(history).axes) == 1
    table = pairs(watch.cosines(), label="cosine", diagonal=False)
    shown = [text.get_text() for text in table.axes[0].texts]
    assert shown.count("") == 2 and "nan" not in table.alt and f"stars {watch.cosines().loc['mood', 'stars']:.2f}" in table.alt


def test_nothing_to_draw():
    tasks, model, _ = setting(kinds=("classify", "regress"))
    watch = mt.GradientWatch(every=1)
    mt.fit(model, tasks, steps=2, sampler="round_robin", watch=watch)
    with pytest.raises(ValueError, match="no two tasks were in a batch together"):
        cosines_over_time(watch)
