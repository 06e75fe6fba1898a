"""fit with weightings and gradient methods: whose rows are walked, what is left in the gradients, resuming, processes."""

import gc
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from small_models import backbone, rows, task_set

import mtl_teach as mt
from mtl_teach.balancing import GRADIENTS, WEIGHTINGS
from mtl_teach.balancing.passes import trim
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet
from mtl_teach.training import TrainingError

KINDS = ("classify", "regress", "tag")


def model_of(tasks, algorithm=mt.HardSharing, seed=0, **options):
    torch.manual_seed(seed)
    return algorithm(backbone("gpt2"), tasks, **options)


def joint_tasks(count=24):
    """Two tasks over the same texts."""
    texts = rows(count)
    moods = [{"text": text, "label": "good" if good else "bad"} for text, good in texts]
    stars = [{"text": text, "label": 4.5 if good else 1.5} for text, good in texts]
    return TaskSet(mood=TaskData(Task("mood", "classify", ("bad", "good")), moods), stars=TaskData(Task("stars", "regress"), stars))


def furthest(one, other):
    """The largest distance of two models' weights. Biases of attention's keys change no output: rounding alone gives them
    a gradient, of which Adam makes whole steps, so they are left out."""
    pairs = zip(one.named_parameters(), other.parameters())
    return max((a - b).abs().max().item() for (name, a), b in pairs if not name.endswith("c_attn.bias"))


# ---- the passes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm, options", [
    (mt.HardSharing, {}), (mt.AttentionSharing, {}), (mt.CrossStitch, {}), (mt.Sluice, {"orthogonal": 0.1})])
@pytest.mark.parametrize("sampler, batch_size", [("proportional", 16), ("uniform", 3)])
def test_a_pass_per_task_without_a_method_is_equal_weighting(algorithm, options, sampler, batch_size):
    """Also where a batch lacks tasks (3 rows for 3 tasks): heads that were not called must not be moved, not even decayed."""
    tasks = task_set(kinds=KINDS)
    mixed, apart = model_of(tasks, algorithm, **options), model_of(tasks, algorithm, **options)
    settings = dict(steps=12, sampler=sampler, batch_size=batch_size, loss_weights={"stars": 0.5}, weight_decay=0.1)
    one, other = mt.fit(mixed, tasks, **settings), mt.fit(apart, tasks, gradients="sum", **settings)
    assert [step["total"] for step in other.steps] == pytest.approx([step["total"] for step in one.steps], abs=1e-4)
    assert furthest(mixed, apart) < 2e-4
    assert one.weights().equals(other.weights()) and set(one.weights()["stars"].dropna()) == {0.5}


def test_texts_with_labels_of_several_tasks_pass_once_and_give_the_same():
    tasks = joint_tasks()
    mixed, apart = model_of(tasks), model_of(tasks)
    mt.fit(mixed, tasks, steps=10, sampler="joint", batch_size=8)
    with counted(apart) as seen:
        mt.fit(apart, tasks, steps=10, sampler="joint", batch_size=8, gradients="sum")
    assert furthest(mixed, apart) < 2e-4 and max(seen) == 8 and len(seen) == 10


class counted:
    """How many rows pass the backbone, call by call."""

    def __init__(self, model):
        self.model, self.seen = model, []

    def __enter__(self):
        self.hook = self.model.backbone.register_forward_pre_hook(lambda module, inputs: self.seen.append(len(inputs[0])))
        return self.seen

    def __exit__(self, *error):
        self.hook.remove()


@pytest.mark.parametrize("name", GRADIENTS)
def test_every_method_passes_each_row_once(name):
    tasks = task_set(kinds=KINDS)
    model = model_of(tasks)
    with counted(model) as seen:
        mt.fit(model, tasks, steps=4, batch_size=24, gradients=name)
    assert sum(seen) == 4 * 24 and len(seen) == 4 * 3


def test_a_backward_pass_walks_its_own_rows_only():
    """The gradient that arrives at the embeddings' output has the rows of one task at a time."""
    tasks = task_set(kinds=KINDS)
    model, arrived = model_of(tasks), []
    embedding = model.backbone.model.wte
    hook = embedding.register_forward_hook(lambda m, i, out: out.register_hook(lambda g: arrived.append(len(g))) and None)
    mt.fit(model, tasks, steps=3, batch_size=24, gradients="pcgrad")
    hook.remove()
    assert sum(arrived) == 3 * 24 and len(arrived) == 9


def most_saved(model, tasks, **options):
    """Bytes of activations that are kept for backward passes, at the highest point of a step."""
    class Kept:
        now = most = 0

        def __init__(self, tensor):
            self.tensor, self.size = tensor, tensor.numel() * tensor.element_size() * (not tensor.is_leaf)
            Kept.now += self.size
            Kept.most = max(Kept.most, Kept.now)

        def __del__(self):
            Kept.now -= self.size
    gc.collect()
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        mt.fit(model, tasks, steps=3, batch_size=48, sampler="uniform", **options)
    return Kept.most


def test_no_copies_of_the_activations_are_kept():
    """The passes come one after the other: at the highest point less is kept than for one pass over the mixed batch."""
    tasks = task_set(kinds=KINDS)
    mixed = most_saved(model_of(tasks), tasks)
    assert most_saved(model_of(tasks), tasks, gradients="mgda") < 0.75 * mixed


def test_trimming_keeps_every_token_and_its_label():
    tasks = task_set(kinds=("tag", "multilabel"))
    model = model_of(tasks)
    batches = mt.MixedBatches(tasks, model.backbone.tokenizer, 40, bucket=False)
    cut = 0
    for batch in (next(batches) for _ in range(6)):
        for name in batch.tasks:
            own = batch.only(name)
            short = trim(own, model.tasks)
            cut += own.input_ids.size(1) - short.input_ids.size(1)
            assert short.attention_mask.sum() == own.attention_mask.sum() and short.attention_mask[:, -1].any()
            assert model(short)[name].loss.item() == pytest.approx(model(own)[name].loss.item(), abs=1e-5)
    assert cut > 0


# ---- what a step does ---------------------------------------------------------------------------------------


def test_a_step_of_pcgrad_by_hand():
    """Shared weights take the projected direction, each head its own task's gradient; weights of losses act before it."""
    tasks = task_set(kinds=("classify", "regress"))
    by_hand = model_of(tasks)
    ours = model_of(tasks)
    mt.fit(ours, tasks, steps=1, lr=1e-2, warmup=0, clip=None, gradients="pcgrad", loss_weights={"stars": 0.3})
    batch = next(mt.MixedBatches(tasks, by_hand.backbone.tokenizer, 32, seed=0))
    shared = by_hand.shared_parameters()
    grads = []
    for name, weight in (("mood", 1.0), ("stars", 0.3)):
        loss = weight * by_hand(batch)[name].loss
        found = torch.autograd.grad(loss, [*shared, *by_hand.task_parameters(name)])
        for p, g in zip(by_hand.task_parameters(name), found[len(shared):]):
            p.grad = g
        grads.append(torch.cat([g.flatten() for g in found[:len(shared)]]))
    direction = mt.PCGrad()(torch.stack(grads))
    for p, part in zip(shared, direction.split([p.numel() for p in shared])):
        p.grad = part.view_as(p)
    decayed = [{"params": [p for p in by_hand.parameters() if p.ndim > 1], "weight_decay": 0.01},
               {"params": [p for p in by_hand.parameters() if p.ndim <= 1], "weight_decay": 0.0}]
    torch.optim.AdamW(decayed, lr=1e-2).step()
    for a, b in zip(by_hand.parameters(), ours.parameters()):
        assert (a - b).abs().median() < 1e-6                              # Adam's first step is a sign: single entries may flip


def test_heads_get_their_own_gradient_whatever_becomes_of_the_shared_weights():
    tasks = task_set(kinds=KINDS)
    model, kept = model_of(tasks), {}

    def nothing(grads):
        kept.update({name: [p.clone() for p in model.task_parameters(name)] for name in tasks})
        return torch.zeros(grads.size(1))
    shared = [p.clone() for p in model.shared_parameters()]
    mt.fit(model, tasks, steps=1, warmup=0, weight_decay=0.0, gradients=nothing)
    assert all(torch.equal(a, b) for a, b in zip(shared, model.shared_parameters()))
    assert all(not torch.equal(a, b) for name in tasks for a, b in zip(kept[name], model.task_parameters(name)))


def test_shared_weights_that_no_task_reaches_are_left_alone():
    tasks = task_set(kinds=("classify", "regress"))
    model = model_of(tasks)
    model.backbone.spare = torch.nn.Linear(4, 4)
    before = model.backbone.spare.weight.clone()
    mt.fit(model, tasks, steps=5, gradients="upgrad", weight_decay=0.5)
    assert torch.equal(before, model.backbone.spare.weight)


def test_frozen_parts_stay_and_the_rest_is_balanced():
    tasks = task_set(kinds=("classify", "regress"))
    model = model_of(tasks)
    model.backbone.model.wte.requires_grad_(False)
    before = model.backbone.model.wte.weight.clone()
    assert len(mt.fit(model, tasks, steps=5, gradients="cagrad")) == 5
    assert torch.equal(before, model.backbone.model.wte.weight)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("gradients", [None, pytest.param("upgrad", marks=pytest.mark.slow)])
def test_weights_are_recorded_and_are_those_of_the_step(weighting, gradients):
    tasks = task_set(kinds=KINDS)
    history = mt.fit(model_of(tasks), tasks, steps=12, batch_size=12, weighting=weighting, gradients=gradients, lr=5e-3)
    weights, frame = history.weights(), history.frame()
    assert list(weights) == list(tasks) and (weights.notna() == frame[list(tasks)].notna()).all(axis=None)
    if gradients is None and weighting != "uncertainty":
        assert (weights * frame[list(tasks)]).sum(axis=1).to_numpy() == pytest.approx(frame["total"].to_numpy(), rel=1e-5)
    if weighting != "equal" or gradients:
        assert weights.iloc[-1].nunique() > 1 or weighting == "dwa"


def test_learned_weights_belong_to_the_object_and_move():
    tasks = task_set(kinds=KINDS)
    weighting = mt.Uncertainty(rate=0.05)
    mt.fit(model_of(tasks), tasks, steps=30, weighting=weighting, weight_decay=0.5)
    assert min(abs(s) for s in weighting.log_variances.values()) > 0.05


def test_famo_looks_at_the_same_batch_with_the_same_dropout(monkeypatch):
    """With a learning rate of nothing, the losses after a step are those before it, dropout or not."""
    seen, learn = [], mt.FAMO.learn
    monkeypatch.setattr(mt.FAMO, "learn", lambda self, losses, norms=None, after=None: (seen.append((losses, after)),
                                                                                       learn(self, losses, norms, after)))
    tasks = task_set(kinds=KINDS)
    for gradients in (None, "mgda"):
        model = model_of(tasks)
        model.backbone.model.drop.p = 0.3
        mt.fit(model, tasks, steps=3, lr=0.0, weighting="famo", gradients=gradients)
    assert len(seen) == 6 and all(before == after for before, after in seen)
    seen.clear()
    mt.fit(model_of(tasks), tasks, steps=3, lr=1e-2, weighting="famo")
    assert all(before != after for before, after in seen)


def test_gradnorm_reads_the_last_shared_matrix():
    tasks = task_set(kinds=KINDS)
    model, seen = model_of(tasks), []

    class Reading(mt.GradNorm):
        def learn(self, losses, norms=None, after=None):
            seen.append(norms)
            super().learn(losses, norms, after)
    batch = next(mt.MixedBatches(tasks, model.backbone.tokenizer, 32, seed=0))
    last = model.backbone.model.h[-1].mlp.c_proj.weight
    expected = {name: torch.autograd.grad(out.loss, last)[0].norm().item() for name, out in
                ((name, model(batch)[name]) for name in batch.tasks)}
    for gradients in (None, "sum"):
        mt.fit(model_of(tasks), tasks, steps=1, weighting=Reading(), gradients=gradients)
        assert {name: float(x) for name, x in seen.pop().items()} == pytest.approx(expected, rel=1e-4)


# ---- bad input ----------------------------------------------------------------------------------------------


def test_what_cannot_be_balanced_is_refused_before_anything_changes():
    tasks = task_set(kinds=("classify", "regress"))
    for algorithm in (mt.SingleTask, mt.SoftSharing):
        model = model_of(tasks, algorithm)
        for options in ({"gradients": "pcgrad"}, {"weighting": "gradnorm"}):
            with pytest.raises(TaskError, match="trains none that are shared"):
                mt.fit(model, tasks, **options)
    model = model_of(tasks)
    for options, message in [({"gradients": "pcgard"}, "Did you mean 'pcgrad'"), ({"weighting": "famos"}, "Did you mean 'famo'"),
                             ({"weighting": {"star": 1}}, "unknown task 'star'"),
                             ({"weighting": "dwa", "loss_weights": {"mood": 2}}, "give one of the two")]:
        with pytest.raises(TaskError, match=message):
            mt.fit(model, tasks, **options)


def test_engines_that_cut_gradients_apart_are_refused():
    from types import SimpleNamespace

    from accelerate.utils import DistributedType

    from mtl_teach.balancing import as_gradients, as_weighting, check_processes
    for kind in DistributedType:
        accelerator, equal = SimpleNamespace(distributed_type=kind), as_weighting("equal")
        check_processes(accelerator, equal, None)
        if kind in (DistributedType.FSDP, DistributedType.DEEPSPEED):
            for weighting, method in [(equal, as_gradients("pcgrad")), (as_weighting("gradnorm"), None)]:
                with pytest.raises(TaskError, match="cuts them apart"):
                    check_processes(accelerator, weighting, method)
        elif kind in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
            check_processes(accelerator, equal, as_gradients("pcgrad"))


@pytest.mark.slow
@pytest.mark.parametrize("name", GRADIENTS)
def test_one_task_alone_trains(name):
    tasks = task_set(kinds=("classify",))
    history = mt.fit(model_of(tasks), tasks, steps=25, lr=5e-3, gradients=name)
    assert history.steps[-1]["mood"] < history.steps[0]["mood"]


def test_a_gradient_that_is_not_finite_names_its_task_and_is_not_taken(monkeypatch):
    """The loss is finite, its slope is not: the root of zero."""
    tasks = task_set(kinds=("classify", "regress"))
    model = model_of(tasks)
    plain = model.head("stars").loss
    monkeypatch.setattr(model.head("stars"), "loss", lambda logits, labels: plain(logits, labels) + (0 * logits).abs().sqrt().sum())
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(TrainingError, match="step 1: the gradient of 'stars' is not finite"):
        mt.fit(model, tasks, gradients="upgrad")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))


@pytest.mark.parametrize("options", [{"gradients": "mgda"}, {"weighting": "uncertainty"}, {"weighting": "famo"}])
def test_a_loss_that_is_not_finite_names_its_task(monkeypatch, options):
    tasks = task_set(kinds=("classify", "regress"))
    model = model_of(tasks)
    plain = model.head("stars").loss
    monkeypatch.setattr(model.head("stars"), "loss", lambda logits, labels: plain(logits, labels) * float("nan"))
    with pytest.raises(TrainingError, match="step 1: the loss of 'stars' is not finite"):
        mt.fit(model, tasks, **options)
    assert all(p.isfinite().all() for p in model.parameters())


# ---- checkpoints and processes ------------------------------------------------------------------------------


RESUMED = [{"gradients": "gradvac"}, {"gradients": "upgrad", "weighting": "gradnorm"}, {"weighting": "famo"}]
MORE = [{"gradients": "pcgrad"}, *({"weighting": name} for name in WEIGHTINGS if name not in ("equal", "famo"))]


@pytest.mark.parametrize("options", [*RESUMED, *(pytest.param(more, marks=pytest.mark.slow) for more in MORE)], ids=str)
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, monkeypatch, options):
    from mtl_teach.training import _Run
    tasks, plain = task_set(kinds=KINDS), _Run.step
    settings = dict(steps=14, batch_size=6, lr=5e-3, **options)
    whole = model_of(tasks)
    expected = mt.fit(whole, tasks, **settings)

    def dying(self, store):
        if len(self.history) == 9:
            raise InterruptedError
        plain(self, store)
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(_Run, "step", dying)
        mt.fit(model_of(tasks), tasks, checkpoints=tmp_path, save_every=4, **settings)
    torch.manual_seed(5)
    resumed = model_of(tasks, seed=3)
    assert mt.fit(resumed, tasks, checkpoints=tmp_path, save_every=4, **settings).steps == expected.steps
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))


def test_a_checkpoint_with_other_weights_or_methods_is_refused(tmp_path):
    tasks = task_set(kinds=("classify", "regress"))
    mt.fit(model_of(tasks), tasks, steps=2, checkpoints=tmp_path, weighting="uncertainty", gradients="cagrad")
    for options in ({}, {"weighting": "uncertainty"}, {"weighting": mt.Uncertainty(rate=0.5), "gradients": "cagrad"},
                    {"weighting": "uncertainty", "gradients": mt.CAGrad(c=0.1)}):
        with pytest.raises(TaskError, match="belongs to another run"):
            mt.fit(model_of(tasks), tasks, steps=2, checkpoints=tmp_path, **options)
    assert len(mt.fit(model_of(tasks), tasks, steps=2, checkpoints=tmp_path, weighting="uncertainty", gradients="cagrad")) == 2


SCRIPT = """
    import json, os, sys
    sys.path.insert(0, {here!r})
    from small_models import backbone, task_set
    import torch, mtl_teach as mt
    found = {{}}
    for number, options in enumerate({options!r}):
        tasks = task_set(kinds={kinds!r})
        torch.manual_seed(0)
        model = mt.HardSharing(backbone("gpt2"), tasks)
        history = mt.fit(model, tasks, steps=10, batch_size=6, lr=5e-3, **options)
        found[number] = [[step["total"] for step in history.steps], history.weights().fillna(-1).to_numpy().tolist(),
                         float(sum(p.abs().sum() for p in model.parameters()))]
    if int(os.environ.get("RANK", 0)) == 0:
        print(json.dumps(found))
"""


@pytest.mark.slow
def test_two_processes_balance_as_one_does(tmp_path):
    """Batches of six rows over three tasks: a process often lacks a task that the other has."""
    options = [{"gradients": "pcgrad"}, {"gradients": "upgrad", "weighting": "gradnorm"}, {"weighting": "gradnorm"},
               {"weighting": "famo"}, {"weighting": "uncertainty"}, {"weighting": "rlw"}, {"gradients": "sum"}, {}]
    path = tmp_path / "train.py"
    path.write_text(textwrap.dedent(SCRIPT.format(here=str(Path(__file__).parent), options=options, kinds=KINDS)))
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(path)]
    two = subprocess.run(launch, env=env, capture_output=True, text=True, timeout=240)
    assert two.returncode == 0, two.stderr[-3000:]
    one = subprocess.run([sys.executable, str(path)], env=env, capture_output=True, text=True, check=True)
    found, expected = (json.loads([line for line in run.stdout.splitlines() if line.startswith("{")][-1]) for run in (two, one))
    for number, each in enumerate(options):
        for a, b in zip(found[str(number)], expected[str(number)]):
            assert torch.allclose(torch.tensor(a), torch.tensor(b), rtol=2e-3, atol=2e-3), (each, a, b)
