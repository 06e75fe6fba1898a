"""The contract of sharing models, and the exact facts of hard sharing and single-task training."""

import copy

import pytest
import torch
from small_models import ARCHITECTURES, backbone, rows, task_set

import mtl_teach as mt
from mtl_teach.batching import MixedBatches
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet

KINDS = {"gpt2": ("classify", "regress", "tag", "pair", "multilabel", "span", "generate"),
         "bert": ("classify", "regress", "tag", "pair", "multilabel", "span")}
KINDS["llama"] = KINDS["gpt2"]


def a_batch(model, tasks, size=24, **options):
    return next(MixedBatches(tasks, model.backbone.tokenizer, size, **options))


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", [mt.HardSharing, mt.SingleTask])
def test_every_kind_of_task_trains_and_predicts(style, algorithm):
    tasks = task_set(kinds=KINDS[style])
    model = algorithm(backbone(style), tasks)
    history = mt.fit(model, tasks, steps=90, lr=5e-3, sampler="uniform").frame()
    for name, data in tasks.items():
        losses = history[name].dropna()
        assert losses.tail(20).mean() < 0.9 * losses.head(4).mean(), name
        answers = model.predict(name, data.test)
        assert [type(a) for a in answers] == [type(r["label"]) for r in data.test]
        if data.task.kind == "tag":
            assert [len(a) for a in answers] == [len(r["tokens"]) for r in data.test]


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_shared_gradient_is_the_sum_of_the_tasks_gradients(style):
    tasks = task_set(kinds=KINDS[style])
    model = mt.HardSharing(backbone(style), tasks).double()
    batch = a_batch(model, tasks)
    shared = model.shared_parameters()
    grad = lambda loss: torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)      # noqa: E731
    outputs = model(batch)
    together = grad(sum(out.loss for out in outputs.values()))
    alone = [grad(out.loss) for out in outputs.values()]
    for whole, parts in zip(together, zip(*alone)):
        parts = [p for p in parts if p is not None]
        assert (whole is None) == (not parts)
        assert whole is None or torch.allclose(whole, sum(parts), atol=1e-12)


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_the_backbone_runs_once_whatever_the_tasks(style):
    tasks = task_set()
    model = mt.HardSharing(backbone(style), tasks)
    calls = []
    model.backbone.model.register_forward_hook(lambda *_: calls.append(1))
    model(a_batch(model, tasks))
    assert len(calls) == 1


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_training_on_one_task_equals_single_task_training(style):
    tasks = task_set(kinds=("classify",))
    distinct = {row["text"]: row for row in tasks["mood"].train}                         # copies would be one row or two
    tasks["mood"].train = list(distinct.values())
    base = backbone(style)
    hard, single = mt.HardSharing(base.clone(), tasks), mt.SingleTask(base.clone(), tasks)
    a, b = (mt.fit(model, tasks, steps=8, batch_size=4) for model in (hard, single))
    assert [s["total"] for s in a.steps] == [s["total"] for s in b.steps]
    for x, y in zip(hard.backbone.parameters(), single.backbone.parameters()):
        assert torch.equal(x, y)


def test_a_head_sees_its_own_rows_alone():
    tasks = task_set(kinds=("classify", "regress"))
    model = mt.HardSharing(backbone("gpt2"), tasks).eval()
    batch = a_batch(model, tasks)
    alone = model(batch.only("mood"))["mood"]
    mixed = model(batch)["mood"]
    assert torch.allclose(alone.logits, mixed.logits, atol=1e-6) and torch.allclose(alone.loss, mixed.loss, atol=1e-6)
    loss = torch.nn.functional.cross_entropy(mixed.logits, batch.labels["mood"])
    assert torch.allclose(mixed.loss, loss)                                              # the mean over its own rows


def test_gradients_against_finite_differences():
    tasks = task_set(kinds=("classify", "regress", "tag"))
    model = mt.HardSharing(backbone("gpt2"), tasks).double()
    batch = a_batch(model, tasks, size=6, sampler="uniform")
    weight = model.backbone.model.h[0].mlp.c_fc.weight
    total = lambda: sum(out.loss for out in model(batch).values())                        # noqa: E731
    grad, = torch.autograd.grad(total(), weight)
    for i, j in ((0, 0), (3, 7), (15, 20)):
        with torch.no_grad():
            weight[i, j] += 1e-6
            up = total()
            weight[i, j] -= 2e-6
            down = total()
            weight[i, j] += 1e-6
        assert grad[i, j].item() == pytest.approx((up - down).item() / 2e-6, abs=1e-6)


@pytest.mark.parametrize("algorithm", [mt.HardSharing, mt.SingleTask])
def test_a_batch_of_one_task_leaves_the_other_tasks_alone(algorithm):
    tasks = task_set(kinds=("classify", "regress"))
    model = algorithm(backbone("gpt2"), tasks)
    model(a_batch(model, tasks).only("mood"))["mood"].loss.backward()
    assert all(p.grad is None for p in model.task_parameters("stars"))
    assert any(p.grad is not None for p in model.task_parameters("mood"))


@pytest.mark.parametrize("algorithm", [mt.HardSharing, mt.SingleTask])
def test_parameters_belong_to_all_or_to_one_task(algorithm):
    tasks = task_set()
    model = algorithm(backbone("bert"), tasks)
    groups = [model.shared_parameters(), *(model.task_parameters(name) for name in tasks)]
    ids = [id(p) for group in groups for p in group]
    assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in model.parameters()}


def test_heads_do_not_depend_on_the_order_or_number_of_tasks():
    tasks = task_set()
    base = backbone("gpt2")
    a, b = mt.HardSharing(base, tasks), mt.HardSharing(base, tasks.only("same", "mood"))
    assert torch.equal(a.head("mood").linear.weight, b.head("mood").linear.weight)
    assert not torch.equal(a.head("mood").linear.weight, a.head("same").linear.weight)


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", [mt.HardSharing, mt.SingleTask])
def test_a_saved_model_answers_the_same(style, algorithm, tmp_path):
    tasks = task_set(kinds=KINDS[style])
    model = algorithm(backbone(style), tasks)
    mt.fit(model, tasks, steps=3)
    torch.manual_seed(12345)                                       # a weight that was not saved must not come back by chance
    loaded = algorithm.from_pretrained(model.save_pretrained(tmp_path / "model"))
    batch = a_batch(model, tasks)
    model.eval()
    for name, out in model(batch).items():
        assert torch.equal(out.logits, loaded(batch)[name].logits), name
    model.save_pretrained(tmp_path / "model")                                            # replacing is allowed
    other = mt.SingleTask if algorithm is mt.HardSharing else mt.HardSharing
    with pytest.raises(TaskError, match=f"not a {other.__name__}"):
        other.from_pretrained(tmp_path / "model")


def test_saving_never_harms_other_files(tmp_path):
    model = mt.HardSharing(backbone("gpt2"), task_set())
    (tmp_path / "essay.txt").write_text("mine")
    with pytest.raises(TaskError, match="holds other files"):
        model.save_pretrained(tmp_path)
    assert (tmp_path / "essay.txt").read_text() == "mine"
    with pytest.raises(TaskError, match="no sharing model"):
        mt.load_model(tmp_path)


def test_answers_come_back_in_the_order_of_the_rows():
    tasks = task_set(kinds=("classify",))
    model = mt.HardSharing(backbone("gpt2"), tasks)
    mixed = [{"text": t} for t, _ in rows(50, seed=8)]
    one_by_one = [model.predict("mood", [row])[0] for row in mixed]
    assert model.predict("mood", mixed, batch_size=7) == one_by_one


def test_names_that_modules_have_already_still_work(tmp_path):
    tasks = TaskSet({name: TaskData(Task(name, "classify", ("bad", "good")), [{"text": "tea", "label": "bad"}])
                     for name in ("type", "items", "snips.label", "training")})
    model = mt.HardSharing(backbone("gpt2"), tasks)
    mt.fit(model, tasks, steps=2)
    assert mt.load_model(model.save_pretrained(tmp_path / "m")).predict("snips.label", [{"text": "tea"}])


def test_writing_needs_a_decoder():
    with pytest.raises(TaskError, match="needs a decoder"):
        mt.HardSharing(backbone("bert"), task_set(kinds=("generate",)))


def test_unknown_tasks_are_refused():
    tasks = task_set()
    model = mt.HardSharing(backbone("gpt2"), tasks.only("mood", "stars"))
    with pytest.raises(TaskError, match="not built for"):
        model(a_batch(model, tasks))
    for call in (lambda: model.predict("moood", []), lambda: model.task_parameters("moood")):
        with pytest.raises(TaskError, match="Did you mean 'mood'"):
            call()
    with pytest.raises(TaskError, match="expected tasks"):
        mt.HardSharing(backbone("gpt2"), [])


def test_a_regression_head_works_in_the_units_of_its_labels():
    data = [{"text": t, "label": 400.0 + 100 * good} for t, good in rows(40)]
    tasks = TaskSet(price=TaskData(Task("price", "regress"), data))
    model = mt.HardSharing(backbone("gpt2"), tasks)
    history = mt.fit(model, tasks, steps=60, lr=5e-3)
    assert history.steps[0]["price"] < 5                                                # not of the order of 400 squared
    wrong = [abs(p - row["label"]) for p, row in zip(model.predict("price", data), data)]
    assert sum(wrong) / len(wrong) < 30


def test_copies_are_independent():
    model = mt.HardSharing(backbone("gpt2"), task_set(kinds=("generate",)))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.backbone.embedding().zero_()
    assert model.head("reply")._embedding[0]().abs().sum() > 0
    assert twin.head("reply")._embedding[0]().abs().sum() == 0
