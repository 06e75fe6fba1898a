"""Soft sharing, cross-stitch and sluice: limit cases, and the papers' formulas written again in numpy."""

import copy
import math

import numpy as np
import pytest
import torch
from small_models import ARCHITECTURES, backbone, rows, task_set

import mtl_teach as mt
from mtl_teach.batching import MixedBatches, collate, encode
from mtl_teach.blocks import Blocks
from mtl_teach.heads import seeded
from mtl_teach.sharing.soft import Pull, l2
from mtl_teach.sharing.stitch import overlap
from mtl_teach.sharing.trace import trace_norm
from mtl_teach.tasks import TaskError, TaskSet

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


def stacks_of(model):
    """Each tensor of the backbones as a matrix (K, P) in float64."""
    return [np.stack([p.detach().double().numpy().ravel() for p in side]) for side in
            zip(*(b.parameters() for b in model.backbones.values()))]


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("knobs", [{}, {"norm": "trace"}, {"apply": "loss"}], ids=str)
def test_strength_0_is_single_task_training_bit_for_bit(style, knobs):
    base = backbone(style)
    soft, single = mt.SoftSharing(base, TASKS, strength=0.0, **knobs), mt.SingleTask(base, TASKS)
    a, b = (mt.fit(model, TASKS, steps=8) for model in (soft, single))
    assert a.steps == b.steps
    assert all(torch.equal(value, weights(single)[key]) for key, value in weights(soft).items())


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_l2_penalty_is_the_sum_of_squared_distances_to_the_mean(style):
    model = shaken(mt.SoftSharing(backbone(style), TASKS, strength=0.7, apply="loss"))
    expected = 0.7 * sum(((s - s.mean(0)) ** 2).sum() for s in stacks_of(model))
    assert model.penalty().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_trace_norm_is_the_sum_of_singular_values(style):
    model = shaken(mt.SoftSharing(backbone(style), TASKS, strength=0.3, norm="trace", apply="loss"))
    expected = 0.3 * sum(np.linalg.svd(s, compute_uv=False).sum() for s in stacks_of(model))
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


@pytest.mark.parametrize("norm", [l2, trace_norm])
def test_the_penaltys_gradient_against_finite_differences(norm):
    draw = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (4,), (2, 2)] * 3                                                  # three tasks, three tensors each
    tensors = [torch.randn(shape, generator=draw, dtype=torch.float64, requires_grad=True) for shape in shapes]
    groups = [tensors[0], tensors[3], tensors[6], tensors[1], tensors[2], tensors[4], tensors[5], tensors[7], tensors[8]]
    assert torch.autograd.gradcheck(lambda *t: Pull.apply(norm, 3, [0.5, 2.0], [3, 6], *t), groups)


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_the_penalty_and_the_step_forget_no_tensor(style):
    for norm in ("l2", "trace"):
        model = shaken(mt.SoftSharing(backbone(style), TASKS, norm=norm, strength=1.0, apply="loss"))
        model.penalty().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbones.parameters()), norm
        model.knobs["apply"], before = "step", stacks_of(model)
        model.after_step(0.01)
        assert all(np.abs(a - b).max() > 1e-5 for a, b in zip(stacks_of(model), before)), norm


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("norm", ["l2", "trace"])
def test_the_step_is_the_proximal_step_of_the_norm(style, norm):
    """Against numpy; and no change of the result, in any direction, lowers ½|θ - before|² + lr strength norm(θ)."""
    tasks, price = task_set(kinds=("classify", "regress", "tag")), 0.02 * 3.0
    model = shaken(mt.SoftSharing(backbone(style), tasks, strength=3.0, norm=norm))
    before = stacks_of(model)
    assert model.penalty() == 0
    model.after_step(0.02)
    size = {"l2": lambda m: ((m - m.mean(0)) ** 2).sum(), "trace": lambda m: np.linalg.svd(m, compute_uv=False).sum()}[norm]
    draw = np.random.default_rng(0)
    for old, new in zip(before, stacks_of(model)):
        if norm == "l2":
            expected = old.mean(0) + (old - old.mean(0)) / (1 + 2 * price)
        else:
            u, sigma, vh = np.linalg.svd(old, full_matrices=False)
            expected = u @ np.diag(np.maximum(sigma - price, 0)) @ vh
        np.testing.assert_allclose(new, expected, atol=2e-6)
        cost = lambda m: 0.5 * ((m - old) ** 2).sum() + price * size(m)  # noqa: E731
        assert all(cost(expected) <= cost(expected + 1e-3 * draw.normal(size=old.shape)) for _ in range(5))


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_infinite_strength_is_hard_sharing(style):
    """With plain gradient descent exactly: one body, that learns at the rate / K."""
    base, tasks = backbone(style), task_set(kinds=("classify", "regress", "tag"))
    soft, hard = mt.SoftSharing(base.clone(), tasks, strength=math.inf), mt.HardSharing(base.clone(), tasks)
    for model, rate in ((soft, 0.03), (hard, 0.01)):
        batches = MixedBatches(tasks, model.backbone.tokenizer, 12, sampler="uniform")
        groups = [{"params": p, "lr": rate} for p in (model.backbone.parameters(), )] if model is hard else [
            {"params": model.backbones.parameters(), "lr": rate}]
        optimizer = torch.optim.SGD([*groups, {"params": model.heads.parameters(), "lr": 0.01}])
        for _ in range(6):
            sum(out.loss for out in model(next(batches)).values()).backward()
            optimizer.step()
            model.after_step(rate)
            optimizer.zero_grad()
    assert all(len(np.unique(stack, axis=0)) == 1 for stack in stacks_of(soft))
    for (name, one), other in zip(soft.backbone.named_parameters(), hard.backbone.parameters()):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4, msg=name)


def test_stronger_pull_brings_the_backbones_together():
    away = []
    for strength in (0.0, 10.0, 100.0, math.inf):
        torch.manual_seed(0)
        model = mt.SoftSharing(backbone("gpt2"), TASKS, strength=strength)
        mt.fit(model, TASKS, steps=30, lr=3e-3)
        away.append(model.distances().to_numpy().max())
    assert away[0] > 1.3 * away[1] and away[1] > 1.3 * away[2] and away[3] < 1e-7, away


def test_distances_are_those_of_numpy():
    model = shaken(mt.SoftSharing(backbone("gpt2"), TASKS))
    layers, stacks = Blocks(model.backbone).layers_of_parameters(), stacks_of(model)
    for layer in (0, 1, 2):
        mine = np.concatenate([stack for stack, at in zip(stacks, layers) if at == layer], axis=1)
        expected = np.linalg.norm(mine - mine.mean(0), axis=1) / np.linalg.norm(mine.mean(0))
        np.testing.assert_allclose(model.distances().loc[layer], expected, rtol=1e-5)


def test_layers_can_be_pulled_differently():
    model = shaken(mt.SoftSharing(backbone("gpt2"), TASKS, per_layer=[1.0, 0.5, 0.0], strength=1.0, apply="loss"))
    model.penalty().backward()
    last = model.backbones["mood"].model.h[-1]
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in last.parameters())
    assert model.backbones["mood"].model.h[0].mlp.c_fc.weight.grad.abs().sum() > 0
    model.knobs["apply"], before = "step", model.distances()
    model.after_step(0.5)
    expected = before.mul([1 / 2, 1 / 1.5, 1.0], axis=0)                                 # 1 / (1 + 2 · 0.5 · factor)
    np.testing.assert_allclose(model.distances(), expected, rtol=1e-4)
    halved = mt.SoftSharing(backbone("gpt2"), TASKS, per_layer=0.5)
    assert [factor for factor, _ in halved.groups] == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_a_task_of_soft_sharing_moves_nothing_of_another_but_by_the_pull(style):
    for strength in (0.0, 10.0):
        model = mt.SoftSharing(backbone(style), TASKS, strength=strength).train()
        before = copy.deepcopy(model.state_dict())
        mt.fit(model, TASKS.only("mood"), steps=3)
        moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
        assert any(key.startswith("backbones.mood") for key in moved)
        assert any(key.startswith("backbones.stars") for key in moved) == (strength > 0)
        assert not any(key.startswith("heads.stars") for key in moved)


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


def same_texts(model, count=5):
    """A batch whose texts carry labels of both tasks, and the texts' token ids without padding."""
    tasks, items, ids = task_set(count, kinds=("classify", "regress")), [], []
    for text, _ in dict(rows(count)).items():
        ids.append(model.backbone.tokenizer(text)["input_ids"])
        items += [(name, encode(data.task, [{**data.train[0], "text": text}], model.backbone.tokenizer)[0])
                  for name, data in tasks.items()]
    return collate(items, tasks.specs, model.backbone.tokenizer.pad_token_id), ids


def stitched_in_numpy(model, ids, depths=None):
    """The hidden states {task: (T, D)} of one text alone: the blocks by transformers, all mixing in numpy."""
    networks = [Blocks(model.backbone_of(name)) for name in model.tasks]
    parts = model.knobs.get("subspaces", 1)
    text, mask = torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long)
    entering, contexts = zip(*(network.embed(text, mask) for network in networks))
    hidden, layers = list(entering), []
    for i in range(model.backbone.depth):
        left = [network.block(i, x, c)[0].detach().numpy() for network, x, c in zip(networks, hidden, contexts)]
        pieces = [piece for x in left for piece in np.split(x, parts, axis=-1)]                  # K x S of (T, D / S)
        alpha = model.units[i].detach().numpy()
        mixed = [sum(alpha[row, column] * pieces[column] for column in range(len(pieces))) for row in range(len(pieces))]
        layers.append([np.concatenate(mixed[k * parts:(k + 1) * parts], axis=-1) for k in range(len(networks))])
        hidden = [torch.from_numpy(x)[None] for x in layers[-1]]
    found = {}
    for k, (name, network) in enumerate(zip(model.tasks, networks)):
        beta = model.depths[name].detach().numpy() if hasattr(model, "depths") else [0.0] * (len(layers) - 1) + [1.0]
        read = sum(b * layer[k] for b, layer in zip(beta, layers))
        found[name] = network.finish(torch.from_numpy(read)[None])[0].detach().numpy()
    return found


def mixed_up(model):
    """Random numbers on weights, α and β, so that nothing passes because it still stands at its start."""
    with torch.no_grad(), seeded(3, "mixed up"):
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", [mt.CrossStitch, mt.Sluice])
def test_the_whole_network_follows_the_formula(style, algorithm):
    model = mixed_up(algorithm(backbone(style, pooling="mean"), TASKS)).double().eval()
    batch, ids = same_texts(model)
    outputs = model(batch)
    for b, text in enumerate(ids):
        for name, hidden in stitched_in_numpy(model, text).items():
            logits = model.head(name)(torch.from_numpy(hidden.mean(0)))
            precision = 1e-5 if style == "llama" else 1e-9                               # Llama's norm works in float32
            np.testing.assert_allclose(outputs[name].logits[b].detach(), logits.detach(), atol=precision, rtol=precision)


@pytest.mark.parametrize("style", ["gpt2", "bert"])                                      # Llama's norm works in float32
@pytest.mark.parametrize("algorithm", [mt.CrossStitch, mt.Sluice])
def test_gradients_of_mixing_against_finite_differences(style, algorithm):
    model = mixed_up(algorithm(backbone(style), TASKS)).double().train()
    batch = a_batch(model)
    batch.labels = {name: x.double() if x.is_floating_point() else x for name, x in batch.labels.items()}
    total = lambda: sum(out.loss for out in model(batch).values()) + model.penalty()  # noqa: E731
    total().backward()
    weight = next(p for name, p in model.backbones["mood"].named_parameters() if name.endswith(("c_fc.weight", "dense.weight")))
    added = [*model.units, weight, *(model.depths.values() if algorithm is mt.Sluice else ())]
    for parameter in added:
        with torch.no_grad(), seeded(0, "direction"):
            direction, at, found = torch.randn_like(parameter), parameter.clone(), []
            for step in (1e-5, -1e-5):
                parameter.copy_(at + step * direction)
                found.append(total().item())
            parameter.copy_(at)
        assert (parameter.grad * direction).sum().item() == pytest.approx((found[0] - found[1]) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", [mt.SoftSharing, mt.CrossStitch, mt.Sluice])
def test_nothing_trained_is_without_gradient_and_no_buffer_moves(style, algorithm):
    model = mixed_up(algorithm(backbone(style), TASKS)).train()
    buffers = copy.deepcopy(dict(model.named_buffers()))
    (sum(out.loss for out in model(a_batch(model, size=32)).values()) + model.penalty()).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and (p.grad.abs().sum() > 0 or "token_type_embeddings" in name), name
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    own = {id(p) for name in TASKS for p in model.task_parameters(name)}
    assert own | {id(p) for p in model.shared_parameters()} == {id(p) for p in model.parameters()}


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", [mt.SoftSharing, mt.CrossStitch, mt.Sluice])
def test_the_order_of_tasks_does_not_matter(style, algorithm):
    tasks = task_set(kinds=("classify", "regress", "multilabel"))
    turned = TaskSet(reversed(tasks.items()))
    one, other = mixed_up(algorithm(backbone(style), tasks)).eval(), algorithm(backbone(style), turned).eval()
    weights = dict(one.state_dict())
    for key in weights:
        if key.startswith("units"):                                                      # the same mixing between the same parts
            size = weights[key].size(0) // 3
            order = [k * size + s for k in (2, 1, 0) for s in range(size)]
            weights[key] = weights[key][order][:, order]
    other.load_state_dict(weights)
    batch = a_batch(one, tasks, 24)
    for name, out in one(batch).items():
        torch.testing.assert_close(out.logits, other(batch)[name].logits, atol=1e-5, rtol=1e-5)
    if algorithm is mt.SoftSharing:
        for model in (one, other):
            model.after_step(0.01)
        for name in tasks:
            for a, b in zip(one.backbone_of(name).parameters(), other.backbone_of(name).parameters()):
                torch.testing.assert_close(a, b)


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
    with pytest.raises(TaskError, match="unknown apply 'lost'.*loss"):
        mt.SoftSharing(backbone("gpt2"), TASKS, apply="lost")
    for strength, options in ((-1.0, {}), (math.nan, {}), (math.inf, {"apply": "loss"}), (math.inf, {"norm": "trace"})):
        with pytest.raises(TaskError, match="strength="):
            mt.SoftSharing(backbone("gpt2"), TASKS, strength=strength, **options)
    for per_layer in ([1.0, 1.0], [1.0, -1.0, 1.0], -0.5):
        with pytest.raises(TaskError, match="give 3 factors"):
            mt.SoftSharing(backbone("gpt2"), TASKS, per_layer=per_layer)
    with pytest.raises(TaskError, match="different numbers from 0"):
        mt.CrossStitch(backbone("gpt2"), TASKS, after=[5])
    with pytest.warns(UserWarning, match="this is single-task training"):
        mt.SoftSharing(backbone("gpt2"), one)
    model = mt.SoftSharing(backbone("gpt2"), TASKS)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TaskError, match="has another shape"):
        model.start_from({"mood": backbone("gpt2"), "stars": backbone("bert")})
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for algorithm in (mt.SoftSharing, mt.CrossStitch, mt.Sluice):
        with pytest.raises(TaskError, match="has another shape"):
            algorithm({"mood": backbone("gpt2"), "stars": backbone("llama")}, TASKS)


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("side", ["right", "left"])
def test_block_by_block_is_the_backbone(style, side):
    base = backbone(style)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    mask = mask.flip(1) if side == "left" else mask
    ids, blocks = torch.tensor([[5, 6, 7, 8], [9, 8, 7, 6]]), Blocks(base)
    hidden, context = blocks.embed(ids, mask)
    for i in range(len(blocks)):
        hidden = blocks.block(i, hidden, context)
    torch.testing.assert_close(blocks.finish(hidden)[mask.bool()], base(ids, mask)[mask.bool()])
    layers = blocks.layers_of_parameters()
    assert len(layers) == len(list(base.parameters())) and set(layers) == {0, 1, 2}
