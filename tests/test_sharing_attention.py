"""Attention-based sharing, task masks and adapter fusion: exact facts, and the papers' formulas in plain numpy."""

import copy

import numpy as np
import pytest
import torch
from small_models import ARCHITECTURES, backbone, rows, task_set

import mtl_teach as mt
from mtl_teach.batching import MixedBatches, collate, encode
from mtl_teach.heads import seeded
from mtl_teach.sharing.attention import AttentionSharing, CrossTaskAttention, choose_layers, read
from mtl_teach.sharing.masks import MTAN
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet

KINDS = {"gpt2": ("classify", "regress", "tag", "pair", "multilabel", "span", "generate"),
         "bert": ("classify", "regress", "tag", "pair", "multilabel", "span")}
KINDS["llama"] = KINDS["gpt2"]


def a_batch(model, tasks, size=24, **options):
    return next(MixedBatches(tasks, model.backbone.tokenizer, size, sampler="uniform", **options))


def shake(model, scale=0.4):
    """Random numbers on everything that the algorithm added, so that no test passes because something is still zero."""
    body = {id(p) for p in model.backbone.parameters()}
    with torch.no_grad(), seeded(1, "shake"):
        for p in model.parameters():
            if id(p) not in body:
                p.add_(scale * torch.randn_like(p))
    return model


def same_texts(model, count=6, kinds=("classify", "regress", "multilabel"), side="right"):
    """One batch in which every text carries labels of every task; also the texts' token ids."""
    tasks, items, ids = task_set(count, kinds), [], []
    for text, _ in dict(rows(count)).items():
        encoded = model.backbone.tokenizer(text)["input_ids"]
        ids.append(encoded)
        for name, data in tasks.items():
            row = {**data.train[0], "text": text}
            items.append((name, encode(data.task, [row], model.backbone.tokenizer)[0]))
    return collate(items, tasks.specs, model.backbone.tokenizer.pad_token_id, side), ids


def layers_of(model, ids):
    """Hidden states of one text alone, without padding, straight from transformers: depth + 1 arrays (T, D)."""
    with torch.no_grad():
        out = model.backbone.model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return [h[0].numpy() for h in out.hidden_states]


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def unit(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def array(tensor):
    return tensor.detach().numpy()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ---- attention-based sharing ----------------------------------------------------------------------------------------

def read_in_numpy(model, layers):
    """The task vectors of one text by the formulas at the top of attention.py, one task and one token at a time."""
    layers = [x if i == len(layers) - 1 else unit(x) for i, x in enumerate(layers)]
    layers = [layers[i] for i in model.used]
    vectors, mixtures, looks = [], {}, []
    for name in model.tasks:
        query = model.queries[name]
        mixtures[name] = sum(a * x for a, x in zip(softmax(array(query.layers)), layers))        # (T, D)
        if name in model.readers:
            parts, weights = [], []
            for part, q in zip(np.split(mixtures[name], query.tokens.size(0), axis=-1), array(query.tokens)):
                weights.append(softmax(np.array([q @ token for token in part]) / np.sqrt(len(q))))
                parts.append(sum(w * token for w, token in zip(weights[-1], part)))
            vectors.append(np.concatenate(parts))
            looks.append(np.mean(weights, axis=0))
    vectors, cross = np.array(vectors), None                                                     # (K, D)
    if model.cross:
        q, k, v = (vectors @ array(linear.weight).T for linear in (model.cross.query, model.cross.key, model.cross.value))
        cross = softmax(q @ k.T / np.sqrt(vectors.shape[1]))
        vectors = vectors + cross @ v
    return vectors, mixtures, looks, cross


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("knobs", [{}, {"heads": 4, "layers": "last"}, {"layers": [0, -1], "cross_task": False}], ids=str)
@pytest.mark.parametrize("side", ["right", "left"])
def test_vectors_and_weights_follow_the_formula(style, knobs, side):
    if (style, side) == ("bert", "left"):
        pytest.skip("an encoder's positions count from the left edge: left padding moves its texts")
    kinds = ("classify", "regress", "tag", "multilabel")
    model = shake(AttentionSharing(backbone(style), task_set(kinds=kinds), **knobs)).double().eval()
    batch, ids = same_texts(model, side=side)
    batch.rows["places"] = torch.arange(len(ids))
    outputs, attended = model(batch), model.attend(batch)
    for b, text in enumerate(ids):
        real = batch.attention_mask[b].bool()
        vectors, mixtures, looks, cross = read_in_numpy(model, layers_of(model, text))
        for k, name in enumerate(model.readers):
            head = model.head(name)
            seen = vectors[k] if head.reads == "pooled" else mixtures[name] + array(model.queries[name].gain) * vectors[k]
            logits = array(head(torch.from_numpy(seen)))
            found = array(outputs[name].logits[b])
            np.testing.assert_allclose(found if head.reads == "pooled" else found[real], logits, atol=1e-9)
            np.testing.assert_allclose(attended.tokens[b, k][real], looks[k], atol=1e-9)
        assert model.cross is None or np.allclose(attended.tasks[b], cross, atol=1e-9)
    assert attended.layers.shape == (4, len(model.used)) and attended.readers == model.readers


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_uniform_weights_of_the_last_layer_are_hard_sharing_with_mean_pooling(style):
    tasks = task_set(kinds=KINDS[style])
    base = backbone(style, pooling="mean")
    hard, attention = mt.HardSharing(base.clone(), tasks).eval(), AttentionSharing(base.clone(), tasks, layers="last").eval()
    batch = a_batch(hard, tasks)
    for name, out in attention(batch).items():
        torch.testing.assert_close(out.logits, hard(batch)[name].logits, atol=1e-6, rtol=1e-6)
    attended = attention.attend(batch)
    lengths = batch.attention_mask.sum(1)[:, None, None]
    torch.testing.assert_close(attended.tokens, (batch.attention_mask[:, None] / lengths).expand_as(attended.tokens))


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("side", ["right", "left"])
def test_weights_sum_to_one_and_are_exactly_zero_on_padding(style, side):
    model = shake(AttentionSharing(backbone(style), task_set(kinds=("classify", "regress", "multilabel"))), 3.0).eval()
    batch, _ = same_texts(model, side=side)
    padding = batch.attention_mask == 0
    assert padding.any()
    attended = model.attend(batch)
    assert (attended.tokens.transpose(1, 2)[padding] == 0).all()
    for weights in (attended.tokens, attended.layers, attended.tasks):
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    before = {name: out.logits for name, out in model(batch).items()}
    batch.input_ids[padding] = 7
    for name, out in model(batch).items():
        assert torch.equal(out.logits, before[name])


def test_a_text_without_tokens_gets_numbers_and_not_nan():
    hidden, mask = torch.randn(2, 3, 1, 4), torch.tensor([[1, 1, 0], [0, 0, 0]])
    vectors, weights = read(hidden, mask, torch.randn(1, 2, 2), torch.ones(1, 1))
    assert (weights[1] == 0).all() and (vectors[1] == 0).all() and torch.isfinite(vectors).all()


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_without_cross_task_attention_tasks_are_independent(style):
    tasks = task_set(kinds=("classify", "regress", "multilabel"))
    model = shake(AttentionSharing(backbone(style), tasks, cross_task=False)).eval()
    batch, _ = same_texts(model)
    before = model(batch)["mood"]
    before.loss.backward()
    for name in ("stars", "about"):
        assert all(p.grad is None or (p.grad == 0).all() for p in model.task_parameters(name))
    with torch.no_grad():
        for p in model.task_parameters("stars") + model.task_parameters("about"):
            p.add_(torch.randn_like(p))
    assert torch.equal(model(batch)["mood"].logits, before.logits)
    model.zero_grad()
    model(batch.only("mood"))["mood"].loss.backward()
    assert all(p.grad is None for name in ("stars", "about") for p in model.task_parameters(name))


def test_cross_task_attention_starts_as_none_and_then_lets_tasks_read_one_another():
    tasks = task_set(kinds=("classify", "regress", "multilabel"))
    off, on = (AttentionSharing(backbone("gpt2"), tasks, cross_task=cross, uniform_start=False) for cross in (False, True))
    batch, _ = same_texts(off)
    for name, out in on(batch).items():
        assert torch.equal(out.logits, off(batch)[name].logits)
    shake(on)(batch)["mood"].loss.backward()
    assert on.queries["stars"].tokens.grad.abs().sum() > 0


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_writing_is_not_shown_its_answer(style):
    if style == "bert":
        with pytest.raises(TaskError, match="decoder"):
            AttentionSharing(backbone(style), task_set(kinds=("generate",)))
        return
    tasks = task_set(kinds=("generate", "classify", "multilabel"))
    model = shake(AttentionSharing(backbone(style), tasks)).eval()
    assert model.readers == ["mood", "about"] and model.queries["reply"].tokens is None
    batch = a_batch(model, tasks).only("reply")
    before, half = model(batch)["reply"].logits, batch.input_ids.size(1) // 2
    batch.input_ids[:, half:] = 3
    after = model(batch)["reply"].logits
    torch.testing.assert_close(after[:, :half], before[:, :half])
    assert not torch.allclose(after[:, half:], before[:, half:])


def test_gradients_against_finite_differences():
    draw = torch.Generator().manual_seed(0)
    random = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64, requires_grad=True)      # noqa: E731
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    whole = lambda h, q, a: read(h, mask, q, a.softmax(-1))                                                   # noqa: E731
    assert torch.autograd.gradcheck(whole, (random(2, 4, 3, 6), random(2, 2, 3), random(2, 3)))
    cross = CrossTaskAttention(4).double()
    torch.nn.init.normal_(cross.value.weight, generator=draw)
    assert torch.autograd.gradcheck(cross, (random(2, 3, 4),))


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_the_models_gradients_against_finite_differences(style):
    model = shake(AttentionSharing(backbone(style), task_set(kinds=KINDS[style]))).double().eval()
    batch = a_batch(model, task_set(kinds=KINDS[style]))
    batch.labels = {name: x.double() if x.is_floating_point() else x for name, x in batch.labels.items()}
    total = lambda: sum(out.loss for out in model(batch).values())                                            # noqa: E731
    total().backward()
    added = {"layers": model.queries["mood"].layers, "tokens": model.queries["mood"].tokens,
             "gain": model.queries["places"].gain, "value": model.cross.value.weight, "query": model.cross.query.weight}
    for name, parameter in added.items():
        with torch.no_grad(), seeded(0, name):
            direction, at = torch.randn_like(parameter), parameter.clone()
            found = []
            for step in (1e-5, -1e-5):
                parameter.copy_(at + step * direction)
                found.append(total().item())
            parameter.copy_(at)
        assert (parameter.grad * direction).sum().item() == pytest.approx((found[0] - found[1]) / 2e-5, rel=1e-5), name


# ---- task masks -----------------------------------------------------------------------------------------------------

def masks_in_numpy(model, name, layers):
    """What MTAN lets through for one text, (T, D)."""
    linear = lambda module, x: x @ array(module.weight).T + array(module.bias)                                # noqa: E731
    relu, through = (lambda x: np.maximum(x, 0)), None
    for j, mask in enumerate(model.masks[name]):
        seen = unit(layers[j])
        if j:
            seen = np.concatenate([seen, relu(linear(model.f[j - 1], unit(through)))], axis=-1)
        a = sigmoid(linear(mask.h, relu(linear(mask.g, seen))))
        through = a * layers[j + 1]
    return through


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_masks_follow_the_formula(style):
    model = shake(MTAN(backbone(style, pooling="mean"), task_set(kinds=("classify", "regress", "multilabel")))).double().eval()
    batch, ids = same_texts(model)
    outputs = model(batch)
    for b, text in enumerate(ids):
        layers = layers_of(model, text)
        for name in model.tasks:
            pooled = masks_in_numpy(model, name, layers).mean(0)
            np.testing.assert_allclose(array(outputs[name].logits[b]), array(model.head(name)(torch.from_numpy(pooled))), atol=1e-9)
    means = model.attend(batch)["mood"]
    assert means.shape == (2, 16) and ((0 < means) & (means < 1)).all()


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_open_masks_are_hard_sharing_bit_for_bit(style):
    tasks = task_set(kinds=KINDS[style])
    base = backbone(style)
    hard, masks = mt.HardSharing(base.clone(), tasks).eval(), MTAN(base.clone(), tasks).eval()
    for block in (block for blocks in masks.masks.values() for block in blocks):
        torch.nn.init.constant_(block.h.bias, 100.0)                                     # sigmoid(100) is 1 in float32
    batch = a_batch(hard, tasks)
    for name, out in masks(batch).items():
        assert torch.equal(out.logits, hard(batch)[name].logits), name


# ---- what holds for all of them -------------------------------------------------------------------------------------

ALGORITHMS = [AttentionSharing, MTAN]


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_kind_of_task_trains_and_predicts(style, algorithm):
    tasks = task_set(kinds=KINDS[style])
    model = algorithm(backbone(style), tasks)
    history = mt.fit(model, tasks, steps=60, lr=1e-2, sampler="uniform").frame()
    start, end = history[list(tasks)].head(8).mean(), history[list(tasks)].tail(8).mean()
    assert end.mean() < 0.75 * start.mean() and (end < 1.05 * start).all(), end / start
    for name, data in tasks.items():
        assert [type(a) for a in model.predict(name, data.test)] == [type(r["label"]) for r in data.test]


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_trained_is_without_gradient_and_no_buffer_moves(style, algorithm):
    tasks = task_set(kinds=KINDS[style])
    model = shake(algorithm(backbone(style), tasks)).train()
    buffers = copy.deepcopy(dict(model.named_buffers()))
    batch = a_batch(model, tasks, 32)
    sum(out.loss for out in model(batch).values()).backward()
    unused = () if style != "bert" else ("token_type_embeddings",)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
        assert not parameter.requires_grad or parameter.grad.abs().sum() > 0 or any(u in name for u in unused), name
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    own = [id(p) for name in tasks for p in model.task_parameters(name)]
    shared = [id(p) for p in model.shared_parameters()]
    assert sorted(own + shared) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_order_of_tasks_does_not_matter(style, algorithm):
    tasks = task_set(kinds=KINDS[style])
    turned = TaskSet(reversed(tasks.items()))
    first, second = (shake_by_name(algorithm(backbone(style), t).double().eval()) for t in (tasks, turned))
    batch = a_batch(first, tasks)
    for name, out in first(batch).items():
        torch.testing.assert_close(second(batch)[name].logits, out.logits)


def shake_by_name(model):
    for name, parameter in model.named_parameters():
        with torch.no_grad(), seeded(2, name):
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm, knobs", [(AttentionSharing, {"layers": [0, -1], "heads": 2, "cross_task": False}),
                                              (AttentionSharing, {}), (MTAN, {"bottleneck": 3})])
def test_a_saved_model_answers_the_same(style, algorithm, knobs, tmp_path):
    tasks = task_set(kinds=KINDS[style])
    model = shake(algorithm(backbone(style), tasks, **knobs)).eval()
    model.save_pretrained(tmp_path / "model")
    loaded = mt.load_model(tmp_path / "model")
    assert type(loaded) is algorithm and loaded.knobs == model.knobs
    batch = a_batch(model, tasks)
    for name, out in model(batch).items():
        assert torch.equal(loaded(batch)[name].logits, out.logits)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_builds_the_same_model_and_leaves_the_generator_alone(algorithm):
    tasks = task_set()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    base = backbone("gpt2")
    torch.manual_seed(5)
    one, two = algorithm(base.clone(), tasks, seed=3), algorithm(base.clone(), tasks, seed=3)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))


# ---- bad input ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("layers", ["first", [], [3], [-4], [0, 0], [2, -1], [0.5]])
def test_layers_that_do_not_exist_are_refused(layers):
    with pytest.raises(TaskError, match="layers="):
        AttentionSharing(backbone("gpt2"), task_set(), layers=layers)


def test_layers_by_number():
    assert choose_layers("all", 3) == [0, 1, 2, 3] and choose_layers("last", 3) == [3]
    assert choose_layers([-1, 1], 3) == [1, 3]


def test_other_bad_input_is_refused():
    one = task_set(kinds=("classify",))
    with pytest.raises(TaskError, match="two or more tasks"):
        AttentionSharing(backbone("gpt2"), one, cross_task=True)
    assert AttentionSharing(backbone("gpt2"), one).cross is None
    with pytest.raises(TaskError, match="heads=3"):
        AttentionSharing(backbone("gpt2"), task_set(), heads=3)
    with pytest.raises(TaskError, match="bottleneck=0"):
        MTAN(backbone("gpt2"), task_set(), bottleneck=0)
    odd = Task("a.b", "classify", ("no", "yes"))
    names = TaskSet({"a.b": TaskData(odd), "items": TaskData(Task("items", "classify", ("no", "yes")))})
    assert AttentionSharing(backbone("gpt2"), names).task_parameters("a.b")
