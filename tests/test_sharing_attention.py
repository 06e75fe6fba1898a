"""Attention-based sharing, task masks and adapter fusion: exact facts, and the papers' formulas in plain numpy."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from small_models import ARCHITECTURES, backbone, rows, task_set

import mtl_teach as mt
from mtl_teach.batching import MixedBatches, collate, encode
from mtl_teach.heads import seeded
from mtl_teach.sharing.adapters import AdapterFusion, Fusion
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
        q, k, v = (vectors @ array(part.weight).T for part in (model.cross.query, model.cross.key, model.cross.value))
        cross = softmax(q @ k.T / np.sqrt(vectors.shape[1]))
        vectors = vectors + cross @ v
    return vectors, mixtures, looks, cross


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("knobs", [{}, {"heads": 4, "layers": "last"}, {"layers": [0, -1], "cross_task": False}],
                         ids=str)
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
            head, seen = model.head(name), vectors[k]
            if head.reads == "tokens":
                seen = mixtures[name] + array(model.queries[name].gain) * vectors[k]
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
    hard = mt.HardSharing(base.clone(), tasks).eval()
    attention = AttentionSharing(base.clone(), tasks, layers="last").eval()
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
    build = partial(AttentionSharing, tasks=tasks, uniform_start=False)
    off, on = build(backbone("gpt2"), cross_task=False), build(backbone("gpt2"), cross_task=True)
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


def test_queries_learn_at_their_own_rate():
    model = AttentionSharing(backbone("gpt2"), task_set(), rate=20.0)
    before = copy.deepcopy(model)
    mt.fit(model, task_set(), steps=1, lr=1e-3, weight_decay=0)
    moved = {name: (a - b).abs().max().item()                                            # Adam's first step is the rate
             for (name, a), (_, b) in zip(model.named_parameters(), before.named_parameters())}
    for name, step in {"queries.mood.tokens": 0.02, "queries.mood.layers": 0.02, "heads.mood.linear.weight": 1e-3}.items():
        assert moved[name] == pytest.approx(step, rel=0.01), name


def test_gradients_against_finite_differences():
    draw = torch.Generator().manual_seed(0)
    random = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64, requires_grad=True)  # noqa: E731
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    whole = lambda h, q, a: read(h, mask, q, a.softmax(-1))  # noqa: E731
    assert torch.autograd.gradcheck(whole, (random(2, 4, 3, 6), random(2, 2, 3), random(2, 3)))
    cross = CrossTaskAttention(4).double()
    torch.nn.init.normal_(cross.value.weight, generator=draw)
    assert torch.autograd.gradcheck(cross, (random(2, 3, 4),))


def added_by(model):
    """One parameter of each sort that the algorithm adds."""
    if isinstance(model, AttentionSharing):
        return {"layers": model.queries["mood"].layers, "tokens": model.queries["mood"].tokens,
                "gain": model.queries["places"].gain, "value": model.cross.value.weight, "query": model.cross.query.weight}
    if isinstance(model, MTAN):
        first, last = model.masks["mood"]
        return {"f": model.f[0].weight, "g": first.g.weight, "h": last.h.weight}
    if not model.knobs["fused"]:
        return {"down": model.adapters["mood"][0].down.weight, "up": model.adapters["mood"][1].up.weight}
    first, last = model.fusions["mood"]
    return {"query": first.query.weight, "key": last.key.weight, "value": first.value.weight}


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", ["AttentionSharing", "MTAN", "AdapterFusion", "fused"])
def test_the_models_gradients_against_finite_differences(style, algorithm):
    if style == "llama" and algorithm != "AttentionSharing":
        pytest.skip("Llama's norm works in float32: what is added between its blocks has no float64 differences")
    model = shake(globals()[algorithm](backbone(style), task_set(kinds=KINDS[style])), 0.2).double().eval()
    batch = a_batch(model, task_set(kinds=KINDS[style]))
    batch.labels = {name: x.double() if x.is_floating_point() else x for name, x in batch.labels.items()}
    total = lambda: sum(out.loss for out in model(batch).values()) + model.penalty()  # noqa: E731
    total().backward()
    for name, parameter in added_by(model).items():
        with torch.no_grad(), seeded(0, name):
            direction, at = torch.randn_like(parameter), parameter.clone()
            found = []
            for step in (1e-6, -1e-6):                                                   # small: few relus bend between
                parameter.copy_(at + step * direction)
                found.append(total().item())
            parameter.copy_(at)
        assert (parameter.grad * direction).sum().item() == pytest.approx((found[0] - found[1]) / 2e-6, rel=1e-4), name


# ---- task masks -----------------------------------------------------------------------------------------------------

def masks_in_numpy(model, name, layers):
    """What MTAN lets through for one text, (T, D)."""
    linear = lambda module, x: x @ array(module.weight).T + array(module.bias)  # noqa: E731
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
    tasks = task_set(kinds=("classify", "regress", "multilabel"))
    model = shake(MTAN(backbone(style, pooling="mean"), tasks)).double().eval()
    batch, ids = same_texts(model)
    outputs = model(batch)
    for b, text in enumerate(ids):
        layers = layers_of(model, text)
        for name in model.tasks:
            logits = model.head(name)(torch.from_numpy(masks_in_numpy(model, name, layers).mean(0)))
            np.testing.assert_allclose(array(outputs[name].logits[b]), array(logits), atol=1e-9)
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


# ---- adapters and their fusion --------------------------------------------------------------------------------------

def fused(base, tasks, **knobs):
    """A model in stage 2 whose adapters have random weights."""
    model = shake(AdapterFusion(base, tasks, **knobs), 0.1)
    return shake(model.fuse(), 0.1)


def run_in_numpy(model, name, ids):
    """The hidden states (T, D) of one text alone for one task: the adapters and fusions by the paper's formula."""
    linear = lambda m, x: x @ array(m.weight).T + (0 if m.bias is None else array(m.bias))  # noqa: E731
    adapt = lambda m, h: linear(m.up, np.maximum(linear(m.down, unit(h)), 0))  # noqa: E731
    hidden, context = model.blocks.embed(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))
    for j in range(model.backbone.depth):
        h = array(model.blocks.block(j, hidden, context)[0])
        if model.knobs["fused"]:
            fusion, z = model.fusions[name][j], [adapt(model.adapters[other][j], h) for other in model.tasks]
            query = linear(fusion.query, unit(h))
            s = softmax(np.stack([(query * linear(fusion.key, z_n)).sum(-1) for z_n in z], axis=-1))         # (T, N)
            h = h + sum(s[:, n:n + 1] * linear(fusion.value, z[n]) for n in range(len(z)))
        else:
            h = h + adapt(model.adapters[name][j], h)
        hidden = torch.from_numpy(h)[None]
    return array(model.blocks.finish(hidden)[0])


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("stage", [1, 2])
def test_adapters_and_fusion_follow_the_formula(style, stage):
    tasks = task_set(kinds=("classify", "regress", "multilabel"))
    base = backbone(style, pooling="mean")
    model = (fused(base, tasks) if stage == 2 else shake(AdapterFusion(base, tasks))).double().eval()
    batch, ids = same_texts(model)
    outputs = model(batch)
    for b, text in enumerate(ids):
        for name in tasks:
            logits = model.head(name)(torch.from_numpy(run_in_numpy(model, name, text).mean(0)))
            precision = 1e-6 if style == "llama" else 1e-9                               # Llama's norm works in float32
            np.testing.assert_allclose(array(outputs[name].logits[b]), array(logits), atol=precision)


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_fresh_adapters_are_the_frozen_backbone(style):
    tasks = task_set(kinds=KINDS[style])
    base = backbone(style)
    hard, adapters = mt.HardSharing(base.clone(), tasks).eval(), AdapterFusion(base.clone(), tasks).eval()
    batch = a_batch(hard, tasks)
    with pytest.warns(UserWarning, match="never trained"):
        fusion = copy.deepcopy(adapters).fuse()
    for name, out in hard(batch).items():
        torch.testing.assert_close(adapters(batch)[name].logits, out.logits, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(fusion(batch)[name].logits, out.logits, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_a_fusion_that_listens_to_one_adapter_with_v_the_identity_is_that_adapter(style):
    tasks = task_set(kinds=("classify", "regress"))
    model = shake(AdapterFusion(backbone(style), tasks)).double().eval()
    model.adapters["stars"].load_state_dict(model.adapters["mood"].state_dict())         # equal: weights do not matter
    batch = a_batch(model, tasks)
    before = {name: out.logits for name, out in model(batch).items()}
    fusion = model.fuse().eval()
    for parts in fusion.fusions.values():
        for part in parts:
            torch.nn.init.eye_(part.value.weight)
    for name, out in fusion(batch).items():
        torch.testing.assert_close(out.logits, before[name])
    assert fusion.penalty() == 0


def test_v_starts_near_the_identity_and_the_penalty_is_the_distance_from_it():
    value = array(Fusion(16).value.weight)
    assert (np.diag(value) == 1).all() and 0 < np.abs(value - np.eye(16)).max() < 1e-5
    model = fused(backbone("gpt2"), task_set(kinds=("classify", "regress")), value_decay=0.3)
    values = [array(p) for name, p in model.named_parameters() if name.endswith("value.weight")]
    assert len(values) == 4                                                              # two tasks, two blocks
    assert model.penalty().item() == pytest.approx(0.3 * sum(((v - np.eye(16)) ** 2).sum() for v in values), rel=1e-5)
    assert AdapterFusion(backbone("gpt2"), task_set()).penalty() == 0


def state(model, part):
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name.startswith(part)}


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_two_stages_of_training_and_what_each_leaves_alone(style, tmp_path):
    tasks = task_set(kinds=("classify", "regress", "tag"))
    model = AdapterFusion(backbone(style), tasks)
    body, others = state(model, "backbone"), state(model, "adapters.stars")
    mt.fit(model, tasks.only("mood", "places"), steps=5)
    assert equal(state(model, "backbone"), body) and equal(state(model, "adapters.stars"), others)
    first = mt.fit(model, tasks, steps=16, lr=1e-2, sampler="uniform")
    adapters = state(model, "adapters")
    assert not equal(state(model, "adapters.stars"), others)
    assert all(p.grad is None for p in model.backbone.parameters())
    second = mt.fit(model.fuse(), tasks, steps=16, lr=1e-2, sampler="uniform")
    assert equal(state(model, "backbone"), body) and equal(state(model, "adapters"), adapters)
    assert sum(first.last(8).values()) < sum(first.frame()[list(tasks)].head(8).mean())
    assert sum(second.last(8).values()) < sum(first.last(8).values())
    attended = model.attend(a_batch(model, tasks))["mood"]
    assert attended.shape == (2, 3)
    torch.testing.assert_close(attended.sum(-1), torch.ones(2))
    model.save_pretrained(tmp_path / "model")
    loaded, batch = mt.load_model(tmp_path / "model"), a_batch(model, tasks)
    assert not any(p.requires_grad for part in (loaded.backbone, loaded.adapters) for p in part.parameters())
    for name, out in model.eval()(batch).items():
        assert torch.equal(loaded(batch)[name].logits, out.logits)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_task_in_stage_1_is_alone():
    tasks = task_set(kinds=("classify", "regress"))
    model = shake(AdapterFusion(backbone("gpt2"), tasks))
    batch = a_batch(model, tasks)
    model(batch)["mood"].loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.task_parameters("stars"))


def test_a_checkpoint_of_stage_1_is_not_continued_in_stage_2(tmp_path):
    tasks = task_set(kinds=("classify", "regress"))
    model = AdapterFusion(backbone("gpt2"), tasks)
    mt.fit(model, tasks, steps=2, checkpoints=tmp_path)
    with pytest.raises(TaskError, match="another run.*fused"):
        mt.fit(model.fuse(), tasks, steps=2, checkpoints=tmp_path)


def test_fusions_out_of_order_are_refused():
    with pytest.raises(TaskError, match="two or more tasks"):
        AdapterFusion(backbone("gpt2"), task_set(kinds=("classify",))).fuse()
    model = AdapterFusion(backbone("gpt2"), task_set(kinds=("classify", "regress")))
    with pytest.raises(TaskError, match="before fuse"):
        model.attend(None)
    with pytest.raises(TaskError, match="already"):
        shake(model).fuse().fuse()
    with pytest.raises(TaskError, match="bottleneck=0"):
        AdapterFusion(backbone("gpt2"), task_set(), bottleneck=0)


# ---- what holds for all of them -------------------------------------------------------------------------------------

ALGORITHMS = [AttentionSharing, MTAN, AdapterFusion, fused]


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", [AttentionSharing, MTAN, AdapterFusion])
def test_every_kind_of_task_trains_and_predicts(style, algorithm):
    tasks = task_set(kinds=KINDS[style])
    model = algorithm(backbone(style), tasks)
    history = mt.fit(model, tasks, steps=32, lr=1e-2, sampler="uniform").frame()
    start, end = history[list(tasks)].head(6).mean(), history[list(tasks)].tail(6).mean()
    assert end.mean() < 0.8 * start.mean() and (end < 1.05 * start).all(), end / start
    for name, data in tasks.items():
        assert [type(a) for a in model.predict(name, data.test)] == [type(r["label"]) for r in data.test]


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_trained_is_without_gradient_and_no_buffer_moves(style, algorithm):
    tasks = task_set(kinds=KINDS[style])
    model = shake(algorithm(backbone(style), tasks), 0.1).train()
    buffers = copy.deepcopy(dict(model.named_buffers()))
    batch = a_batch(model, tasks, 32)
    sum(out.loss for out in model(batch).values()).backward()
    unused = ("token_type_embeddings", "heads.where.linear.bias")     # a shift of a span's scores changes nothing
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
        assert not parameter.requires_grad or parameter.grad.abs().sum() > 0 or any(u in name for u in unused), name
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    own = [id(p) for name in tasks for p in model.task_parameters(name)]
    shared = [id(p) for p in model.shared_parameters()]
    frozen = [id(p) for p in model.backbone.parameters() if not p.requires_grad]
    assert sorted(own + shared + frozen) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_order_of_tasks_does_not_matter(style, algorithm):
    tasks = task_set(kinds=KINDS[style])
    turned = TaskSet(reversed(tasks.items()))
    first, second = (algorithm(backbone(style), t).double().eval() for t in (tasks, turned))
    second.load_state_dict(shake(first, 0.2).state_dict())
    batch = a_batch(first, tasks)
    for name, out in first(batch).items():
        torch.testing.assert_close(second(batch)[name].logits, out.logits, atol=1e-6, rtol=1e-6)


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


@pytest.mark.parametrize("algorithm", [partial(AttentionSharing, uniform_start=False), MTAN, AdapterFusion,
                                       partial(AdapterFusion, fused=True)])
def test_new_weights_depend_on_the_seed_and_the_tasks_name_alone(algorithm):
    def weights(kinds, seed):
        model = algorithm(base.clone(), task_set(kinds=kinds), seed=seed)
        return [p for p in model.task_parameters("mood") if p.ndim > 1]
    base = backbone("gpt2")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = weights(("regress", "classify", "tag"), 3), weights(("classify", "multilabel"), 3)
    assert torch.equal(torch.rand(3), expected)                                          # the generator was left alone
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    other = weights(("classify", "multilabel"), 4)
    assert not any(torch.equal(a, b) for a, b in zip(one, other) if a.any())


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
