"""Soft sharing, cross-stitch and sluice: limit cases, and the papers' formulas written again in numpy."""

import numpy as np
import pytest
import torch
from small_models import ARCHITECTURES, backbone, task_set

import mtl_teach as mt
from mtl_teach.batching import MixedBatches
from mtl_teach.sharing.soft import trace_norm
from mtl_teach.sharing.stitch import overlap
from mtl_teach.tasks import TaskError

TASKS = task_set(kinds=("classify", "regress"))


def a_batch(model, tasks=TASKS, size=16):
    return next(MixedBatches(tasks, model.backbone.tokenizer, size, sampler="uniform"))


def shaken(model, scale=0.1):
    torch.manual_seed(5)
    with torch.no_grad():
        for p in model.backbones.parameters():
            p.add_(scale * torch.randn_like(p))
    return model


def weights(model):
    return {key: value for key, value in model.state_dict().items() if key.startswith(("backbones", "heads"))}


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_strength_0_is_single_task_training_bit_for_bit(style):
    base = backbone(style)
    soft, single = mt.SoftSharing(base, TASKS, strength=0.0), mt.SingleTask(base, TASKS)
    a, b = (mt.fit(model, TASKS, steps=8) for model in (soft, single))
    assert a.steps == b.steps
    assert all(torch.equal(value, weights(single)[key]) for key, value in weights(soft).items())


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_l2_penalty_is_the_sum_of_squared_distances_to_the_mean(style):
    model = shaken(mt.SoftSharing(backbone(style), TASKS, strength=0.7))
    stacks = [np.stack([p.detach().double().numpy() for p in side]) for side in
              zip(*(b.parameters() for b in model.backbones.values()))]
    expected = 0.7 * sum(((s - s.mean(0)) ** 2).sum() for s in stacks)
    assert model.penalty().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_trace_norm_is_the_sum_of_singular_values(style):
    model = shaken(mt.SoftSharing(backbone(style), TASKS, strength=0.3, norm="trace"))
    stacks = [np.stack([p.detach().double().numpy().ravel() for p in side]) for side in
              zip(*(b.parameters() for b in model.backbones.values()))]
    expected = 0.3 * sum(np.linalg.svd(s, compute_uv=False).sum() for s in stacks)
    assert model.penalty().item() == pytest.approx(expected, rel=1e-4)


def test_trace_norm_gradient_against_finite_differences_and_at_its_kink():
    torch.manual_seed(0)
    stack = torch.randn(3, 7, dtype=torch.float64)
    _, (slope,) = trace_norm([stack])
    for i, j in ((0, 0), (1, 4), (2, 6)):
        up, down = stack.clone(), stack.clone()
        up[i, j] += 1e-6
        down[i, j] -= 1e-6
        change = np.linalg.svd(up.numpy(), compute_uv=False).sum() - np.linalg.svd(down.numpy(), compute_uv=False).sum()
        assert slope[i, j].item() == pytest.approx(change / 2e-6, abs=1e-5)
    _, (equal,) = trace_norm([torch.ones(3, 7, dtype=torch.float64)])
    assert torch.isfinite(equal).all()


def test_the_penalty_forgets_no_tensor():
    for norm in ("l2", "trace"):
        model = shaken(mt.SoftSharing(backbone("gpt2"), TASKS, norm=norm))
        model.penalty().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbones.parameters()), norm


def test_stronger_pull_brings_the_backbones_together():
    away = []
    for strength in (0.0, 0.1, 10.0):
        torch.manual_seed(0)
        model = mt.SoftSharing(backbone("gpt2"), TASKS, strength=strength)
        mt.fit(model, TASKS, steps=40, lr=3e-3)
        away.append(model.distances().to_numpy().max())
    assert away[0] > 1.3 * away[1] and away[1] > 1.3 * away[2], away


def test_layers_can_be_pulled_differently():
    model = shaken(mt.SoftSharing(backbone("gpt2"), TASKS, per_layer=[1.0, 0.5, 0.0]))
    model.penalty().backward()
    last = model.backbones["mood"].model.h[-1]
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in last.parameters())
    assert model.backbones["mood"].model.h[0].mlp.c_fc.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", [mt.CrossStitch, mt.Sluice])
def test_identity_mixing_is_single_task(style, algorithm):
    base = backbone(style)
    options = {"orthogonal": 0.0, "last": 1.0} if algorithm is mt.Sluice else {}
    mixed, single = algorithm(base, TASKS, start=1.0, **options).eval(), mt.SingleTask(base, TASKS).eval()
    batch = a_batch(mixed)
    for name, out in mixed(batch).items():
        assert torch.allclose(out.logits, single(batch)[name].logits, atol=1e-5), name


def test_cross_stitch_is_alpha_times_the_networks():
    model = shaken(mt.CrossStitch(backbone("gpt2"), TASKS))
    unit, hidden = model.units[0], torch.randn(2, 3, 4, 16)
    a = unit.detach().double().numpy()
    assert np.allclose(a.sum(1), 1) and np.allclose(np.diag(a), 0.9)
    x = hidden.double().numpy()
    expected = np.stack([sum(a[k, j] * x[j] for j in range(2)) for k in range(2)])
    assert np.allclose(model.mix(unit, hidden).detach().numpy(), expected, atol=1e-6)


def test_sluice_mixes_parts_and_overlap_is_a_frobenius_norm():
    model = mt.Sluice(backbone("gpt2"), TASKS, subspaces=2)
    unit, x = model.units[0], torch.randn(2, 1, 1, 16)
    parts = np.concatenate([np.split(x[k, 0, 0].numpy(), 2) for k in range(2)])                  # (KS, D / S)
    expected = unit.detach().numpy() @ parts
    assert np.allclose(model.mix(unit, x).detach().numpy().reshape(4, 8), expected, atol=1e-6)
    g = torch.randn(5, 8)
    assert overlap(g, 2).item() == pytest.approx(np.linalg.norm(g[:, :4].numpy().T @ g[:, 4:].numpy()) ** 2, rel=1e-5)


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", [mt.SoftSharing, mt.CrossStitch, mt.Sluice])
def test_they_train_save_and_load(style, algorithm, tmp_path):
    kinds = ("classify", "tag") if style == "bert" else ("classify", "tag", "generate")
    tasks = task_set(kinds=kinds)
    model = algorithm(backbone(style), tasks)
    history = mt.fit(model, tasks, steps=25, lr=3e-3, sampler="uniform")
    assert history.steps[-1]["mood"] < history.steps[0]["mood"]
    loaded, batch = mt.load_model(model.save_pretrained(tmp_path / "m")), a_batch(model, tasks)
    model.eval()
    for name, out in model(batch).items():
        assert torch.equal(out.logits, loaded(batch)[name].logits), name
    loaded.train()
    (sum(out.loss for out in loaded(batch).values()) + loaded.penalty()).backward()
    assert all(p.grad is not None for p in loaded.parameters() if p.requires_grad)


@pytest.mark.parametrize("algorithm", [mt.SoftSharing, mt.CrossStitch, mt.Sluice])
def test_the_order_of_tasks_does_not_matter(algorithm):
    base = backbone("gpt2")
    one, other = (algorithm(base, TASKS.only(*names)).eval() for names in (("mood", "stars"), ("stars", "mood")))
    batch = a_batch(one)
    for name, out in one(batch).items():
        assert torch.allclose(out.logits, other(batch)[name].logits, atol=1e-5)


def test_bad_input_gets_a_clear_error():
    one = TASKS.only("mood")
    with pytest.raises(TaskError, match="two tasks or more"):
        mt.CrossStitch(backbone("gpt2"), one)
    with pytest.raises(TaskError, match="trace norm of a single task"):
        mt.SoftSharing(backbone("gpt2"), one, norm="trace")
    with pytest.raises(TaskError, match="unknown norm 'l1'"):
        mt.SoftSharing(backbone("gpt2"), TASKS, norm="l1")
    with pytest.raises(TaskError, match="does not divide"):
        mt.Sluice(backbone("gpt2"), TASKS, subspaces=3)
    model = mt.SoftSharing(backbone("gpt2"), TASKS)
    with pytest.raises(TaskError, match="has another shape"):
        model.start_from({"mood": backbone("gpt2"), "stars": backbone("bert")})
