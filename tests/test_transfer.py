"""Transfer: what is frozen stays frozen, each way trains what it says, and the source is never changed."""

import copy
import json
import shutil
from importlib.resources import files

import numpy as np
import pytest
import small_models as sm
import torch

import mtl_teach as mt
from mtl_teach.heads import TaskOutput
from mtl_teach.tasks import Task, TaskData, TaskError, TaskSet
from mtl_teach.transferring import WAYS
from mtl_teach.transferring.probe import features
from mtl_teach.transferring.start import layers, moved
from mtl_teach.transferring.ways import Pull

OLD, NEW = ("mood", "stars"), "same"
QUICK = dict(steps=4, lr=1e-2, batch_size=8, progress=False)


@pytest.fixture(params=sm.ARCHITECTURES)
def style(request):
    return request.param


def all_tasks(count=24):
    return sm.task_set(count, kinds=("classify", "regress", "pair", "tag"))


def source(style, tasks=None):
    """A hard-sharing model of two tasks, a few steps away from its start."""
    tasks = tasks or all_tasks()
    model = mt.HardSharing(sm.backbone(style), tasks.only(*OLD), seed=3)
    mt.fit(model, tasks.only(*OLD), **QUICK)
    return model, tasks


def weights(model):
    return {name: w.clone() for name, w in model.state_dict().items()}


def same(a, b, names=None):
    return all(torch.equal(a[name], b[name]) for name in names or a)


def answers(model, tasks, name, split="test"):
    return torch.cat([model(batch)[name].logits for _, _, batch in mt.batching.eval_batches(
        tasks[name].task, tasks[name].split(split), model.backbone.tokenizer)])


def body(state):
    return [name for name in state if name.startswith("backbone.")]


# ---- the start ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", [*WAYS])
def test_every_way_gives_a_model_that_is_saved_and_leaves_its_source_alone(style, how, tmp_path):
    old, tasks = source(style)
    before, trainable, mode = weights(old), [p.requires_grad for p in old.parameters()], old.training
    new = mt.transfer(old, tasks.only(NEW), how, **({} if how == "probe" else dict(QUICK, steps=6)))
    assert same(before, weights(old)) and trainable == [p.requires_grad for p in old.parameters()] and old.training == mode
    assert not {p.data_ptr() for p in old.parameters()} & {p.data_ptr() for p in new.parameters()}
    assert list(new.tasks) == [*OLD, NEW] and new.trained > 0 and len(new.history) > 0
    again = mt.load_model(new.save_pretrained(tmp_path / "moved"))
    assert type(again) is type(new)
    for name in new.tasks:
        assert torch.equal(answers(again, tasks, name), answers(new, tasks, name)), name
        assert again.predict(name, tasks[name].test) == new.predict(name, tasks[name].test)


def test_before_training_the_old_tasks_are_answered_as_before(style):
    old, tasks = source(style)
    start = moved(old, tasks.only(NEW))
    for name in OLD:
        assert torch.equal(answers(start.eval(), tasks, name), answers(old.eval(), tasks, name))


def test_old_heads_wait_unchanged_unless_they_are_rehearsed(style):
    old, tasks = source(style)
    new = mt.transfer(old, tasks.only(NEW), "fine-tune", **QUICK)
    assert same(weights(old.heads), weights(new.heads), list(old.heads.state_dict()))
    new = mt.transfer(old, tasks.only(NEW), "fine-tune", replay=tasks.only("mood"), **QUICK)
    assert not torch.equal(new.head("mood").linear.weight, old.head("mood").linear.weight)
    assert torch.equal(new.head("stars").linear.weight, old.head("stars").linear.weight)


def test_a_body_of_its_own_moves_on_with_its_head():
    tasks = all_tasks()
    single = mt.SingleTask(sm.backbone("gpt2"), tasks.only(*OLD))
    mt.fit(single, tasks.only(*OLD), **QUICK)
    new = mt.transfer(single, tasks.only(NEW), "probe", body="stars")
    assert list(new.tasks) == ["stars", NEW]
    assert torch.equal(answers(new.eval(), tasks, "stars"), answers(single.eval(), tasks, "stars"))


def test_a_backbone_or_a_task_alone_will_do():
    tasks = all_tasks()
    new = mt.transfer(sm.backbone("bert"), tasks[NEW], "probe")
    assert list(new.tasks) == [NEW]


# ---- the probe ------------------------------------------------------------------------------------------------------

def three_classes():
    kinds = ("bad", "fine", "good")
    rows = [{"text": text, "label": kinds[len(text) % 3]} for text, _ in sm.rows(40, seed=5)]
    return TaskSet({"sort": TaskData(Task("sort", "classify", kinds), rows, rows[:9], rows[9:18])})


def test_probe_is_the_logistic_regression_of_scikit_learn(style):
    from sklearn.linear_model import LogisticRegression
    old, tasks = source(style)
    new = mt.transfer(old, three_classes(), "probe", l2=0.5)
    [(x, y, _)] = features(new, "sort", three_classes()["sort"].train)
    found = LogisticRegression(C=1 / 0.5, max_iter=5000, tol=1e-10).fit(x.numpy(), y.numpy())
    linear = new.head("sort").linear
    assert np.allclose(linear.weight.detach(), found.coef_, atol=2e-4)
    assert np.allclose(linear(x.float()).softmax(-1).detach(), found.predict_proba(x.numpy()), atol=2e-4)


def test_probe_of_two_classes_has_half_the_penalty(style):
    from sklearn.linear_model import LogisticRegression
    old, tasks = source(style)
    new = mt.transfer(old, tasks.only(NEW), "probe", l2=1.0)
    [(x, y, _)] = features(new, NEW, tasks[NEW].train)
    found = LogisticRegression(C=2 / 1.0, max_iter=5000, tol=1e-10).fit(x.numpy(), y.numpy())
    assert np.allclose(new.head(NEW).linear(x.float()).softmax(-1).detach(), found.predict_proba(x.numpy()), atol=2e-4)


def test_probe_of_numbers_is_ridge_regression():
    from sklearn.linear_model import Ridge
    tasks = all_tasks()
    new = mt.transfer(sm.backbone("llama"), tasks.only("stars"), "probe", l2=3.0)
    [(x, y, _)] = features(new, "stars", tasks["stars"].train)
    head = new.head("stars")
    center, spread = float(head.center), float(head.spread)
    found = Ridge(alpha=3.0 / 2).fit(x.numpy(), (y.numpy() - center) / spread)      # ours halves the penalty, Ridge does not
    assert np.allclose(head(x.float()).detach(), center + spread * found.predict(x.numpy()), atol=1e-4)


def test_probe_reads_features_as_the_model_does_and_freezes_the_body(style):
    old, tasks = source(style)
    new = mt.transfer(old, tasks.only(NEW, "places"), "probe")
    assert same(weights(old), weights(new), body(weights(old)))
    for name in (NEW, "places"):
        chunks = features(new, name, tasks[name].train, batch_size=5)
        whole = mt.batching.collate([(name, row) for row in mt.encode(tasks[name].task, tasks[name].train, new.backbone.tokenizer)],
                                    new.tasks, new.backbone.tokenizer.pad_token_id)
        head = copy.deepcopy(new.head(name)).double()
        total = sum(head.loss(head(x), y).item() for x, y, _ in chunks) / sum(n for *_, n in chunks)
        assert total == pytest.approx(new(whole)[name].loss.item(), abs=1e-5)
    assert new.trained == sum(p.numel() for name in (NEW, "places") for p in new.head(name).parameters())


def test_probe_computes_each_text_once(monkeypatch):
    old, tasks = source("gpt2")
    passed = []
    forward = mt.Backbone.forward
    monkeypatch.setattr(mt.Backbone, "forward", lambda self, ids, mask, **more: (passed.append(len(ids)),
                                                                                 forward(self, ids, mask, **more))[1])
    mt.transfer(old, tasks.only("places"), "probe")
    assert sum(passed) <= len(tasks["places"].train)


# ---- fine-tuning: freezing and rates --------------------------------------------------------------------------------

def test_layers_hold_every_parameter_once(style):
    backbone = sm.backbone(style)
    found = layers(backbone)
    assert len(found) == backbone.depth + 1
    assert sorted(id(p) for layer in found for p in layer) == sorted(id(p) for p in backbone.parameters())
    names = {id(p): name for name, p in backbone.named_parameters()}
    assert any("emb" in names[id(p)] or "wte" in names[id(p)] for p in found[0])
    for number, layer in enumerate(found[1:]):
        assert any(f".{number}." in names[id(p)] for p in layer)


@pytest.mark.parametrize("freeze", [0, 1, 2, 3])
def test_frozen_layers_are_frozen_and_the_others_learn(style, freeze):
    old, tasks = source(style)
    new = mt.transfer(old, tasks.only(NEW), "fine-tune", freeze=freeze, **QUICK)
    for number, (before, after) in enumerate(zip(layers(old.backbone), layers(new.backbone))):
        moved_at_all = any(not torch.equal(a, b) for a, b in zip(before, after))
        assert moved_at_all == (number >= freeze)
    learned = sum(p.numel() for layer in layers(new.backbone)[freeze:] for p in layer)
    assert new.trained == learned + sum(p.numel() for p in new.head(NEW).parameters())
    assert all(p.requires_grad and p.grad is None for p in new.parameters())


def groups_of(monkeypatch):
    """Notes {parameter: (rate, decay)} of every optimizer that fit makes."""
    from mtl_teach import training
    made, usual = [], training._optimizer

    def spy(*args, **kwargs):
        optimizer = usual(*args, **kwargs)
        made.append({id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]})
        return optimizer
    monkeypatch.setattr(training, "_optimizer", spy)
    return made


@pytest.mark.parametrize("freeze", [0, 2])
def test_rates_by_layer_are_what_the_optimizer_gets(style, monkeypatch, freeze):
    old, tasks = source(style)
    made = groups_of(monkeypatch)
    new = mt.transfer(old, tasks.only(NEW), "fine-tune", layer_decay=0.5, freeze=freeze, **dict(QUICK, lr=0.08))
    [rates] = made
    assert {rates[id(p)] for p in new.head(NEW).parameters()} == {0.08}
    for number, layer in enumerate(layers(new.backbone)):
        expected = {0.08 * 0.5 ** (3 - number)} if number >= freeze else {None}
        assert {rates.get(id(p)) for p in layer} == expected
    assert "rates" not in vars(new) and new.rates() == []


# ---- gradual unfreezing ---------------------------------------------------------------------------------------------

def test_gradual_unfreezing_opens_from_the_top(style, monkeypatch):
    old, tasks = source(style)
    made = groups_of(monkeypatch)
    new = mt.transfer(old, tasks.only(NEW), "gradual", **dict(QUICK, steps=10))
    found, head = layers(new.backbone), {id(p) for p in new.head(NEW).parameters()}
    assert len(made) == 4                                               # heads, block 2, block 1, embeddings
    for stage, rates in enumerate(made):
        opened = head | {id(p) for layer in found[3 - stage:] for p in layer}
        assert set(rates) == opened
    assert len(new.history) == 10 and [step["step"] for step in new.history.steps] == list(range(1, 11))
    assert new.trained == sum(p.numel() for p in new.parameters()) - sum(p.numel() for name in OLD for p in new.head(name).parameters())


def test_fewer_stages_open_several_layers_at_once(monkeypatch):
    old, tasks = source("gpt2")
    made = groups_of(monkeypatch)
    new = mt.transfer(old, tasks.only(NEW), "gradual", stages=2, **QUICK)
    found = layers(new.backbone)
    assert [sum(any(id(p) in rates for p in layer) for layer in found) for rates in made] == [1, 3]
    made.clear()
    mt.transfer(old, tasks.only(NEW), "gradual", stages=1, **QUICK)
    assert len(made) == 1


@pytest.mark.parametrize("how", ["gradual", "l2sp", "lora"])
def test_a_transfer_goes_on_from_its_checkpoints(how, tmp_path):
    old, tasks = source("gpt2")
    options = dict(QUICK, steps=8, seed=1)
    whole = mt.transfer(old, tasks.only(NEW), how, **options)
    first = mt.transfer(old, tasks.only(NEW), how, checkpoints=str(tmp_path), save_every=1, **options)
    newest = sorted(tmp_path.rglob("step-*"))[-1]                                      # as if it had been killed before that
    shutil.rmtree(newest)
    again = mt.transfer(old, tasks.only(NEW), how, checkpoints=str(tmp_path), save_every=1, **options)
    assert same(weights(whole), weights(first)) and same(weights(whole), weights(again))
    assert len(again.history) == 8


# ---- L2-SP ----------------------------------------------------------------------------------------------------------

def test_pull_has_the_gradient_of_its_formula(style):
    old, tasks = source(style)
    start = moved(old, tasks.only(NEW))
    parameters, head = list(start.backbone.double().parameters()), list(start.head(NEW).double().parameters())
    pull = Pull(parameters, 0.3, head, 0.7)
    assert pull().item() == pytest.approx(0.35 * sum((p**2).sum().item() for p in head))      # the body is at its start
    with torch.no_grad():
        for p in parameters:
            p += 0.1 * torch.randn_like(p)
    away = sum(((p - w0.double()) ** 2).sum().item() for p, w0 in zip(parameters, old.backbone.parameters()))
    assert pull().item() == pytest.approx(0.3 / 2 * away + 0.7 / 2 * sum((p**2).sum().item() for p in head))
    gradients = torch.autograd.grad(pull(), [*parameters, *head])
    for p, gradient in [(parameters[0], gradients[0]), (parameters[-1], gradients[len(parameters) - 1]), (head[0], gradients[-2])]:
        flat, at, step = p.data.view(-1), 1, 1e-5
        ends = []
        for sign in (1, -1):
            flat[at] += sign * step
            ends.append(pull().item())
            flat[at] -= sign * step
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float(gradient.view(-1)[at]), rel=1e-5)


def test_proximal_step_minimises_distance_and_pull():
    """argmin_w  1/2 ||w - v||² + lr · strength/2 · ||w - w0||², found independently on a grid."""
    w = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    pull = Pull([w], 4.0, [], 0.0)
    w.data.fill_(3.0)
    pull.step(lr=0.25)
    grid = torch.linspace(0, 4, 400_001, dtype=torch.float64)
    best = grid[(0.5 * (grid - 3) ** 2 + 0.25 * 2 * (grid - 1) ** 2).argmin()]
    assert float(w.detach()) == pytest.approx(float(best), abs=1e-4)


@pytest.mark.parametrize("apply, strength", [("loss", 10.0), ("step", 1e4)])
def test_the_stronger_the_pull_the_nearer_to_the_start(apply, strength):
    old, tasks = source("gpt2")

    def distance(strength):
        new = mt.transfer(old, tasks.only(NEW), "l2sp", strength=strength, apply=apply, **dict(QUICK, steps=12))
        assert not {"penalty", "after_step", "rates"} & set(vars(new))
        return sum(float((a - b).square().sum()) for a, b in zip(new.backbone.parameters(), old.backbone.parameters()))
    free, tied = distance(0.0), distance(strength)
    assert tied < 0.5 * free
    plain = mt.transfer(old, tasks.only(NEW), "fine-tune", weight_decay=0.0, **dict(QUICK, steps=12))
    assert free == sum(float((a - b).square().sum()) for a, b in zip(plain.backbone.parameters(), old.backbone.parameters()))


# ---- replay ---------------------------------------------------------------------------------------------------------

def test_replayed_rows_are_old_rows_and_no_others(monkeypatch):
    old, tasks = source("gpt2")
    kept = tasks.only(*OLD).limit(mood=5, stars=3)
    seen, forward = {name: set() for name in (*OLD, NEW)}, mt.HardSharing.forward

    def spy(self, batch):
        for name, rows in batch.rows.items():
            for ids, mask in zip(batch.input_ids[rows], batch.attention_mask[rows]):
                seen[name].add(tuple(ids[mask.bool()].tolist()))
        return forward(self, batch)
    monkeypatch.setattr(mt.HardSharing, "forward", spy)
    new = mt.transfer(old, tasks.only(NEW), "fine-tune", replay=kept, sampler="uniform", **dict(QUICK, steps=20))
    for name, rows in {**kept, **tasks.only(NEW)}.items():
        assert seen[name] == {tuple(row.ids) for row in mt.encode(rows.task, rows.train, old.backbone.tokenizer)}
    assert set(new.history.tasks) == {*OLD, NEW}


# ---- LoRA and (IA)³ through peft ------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_branches_start_as_nothing_and_the_body_stays(style, method):
    old, tasks = source(style)
    given = weights(old)
    fresh = mt.PeftSharing(old.backbone, tasks.only(*OLD), method=method, seed=3)
    assert same(given, weights(old))                                                   # the given backbone was copied
    fresh.heads.load_state_dict(old.heads.state_dict())
    for name in OLD:
        assert torch.allclose(answers(fresh.eval(), tasks, name), answers(old.eval(), tasks, name), atol=1e-6)
    new = mt.transfer(old, tasks.only(NEW), method, **dict(QUICK, steps=12))
    for name in OLD:                                                                   # old tasks: bit for bit
        assert torch.equal(answers(new, tasks, name), answers(old.eval(), tasks, name))
    assert any(not torch.equal(w, fresh_w) for w, fresh_w in zip(new.branch_parameters(), fresh.branch_parameters()))
    base = {name.replace(".base_layer", ""): w for name, w in new.backbone.state_dict().items()}
    assert all(torch.equal(w, base[name]) for name, w in old.backbone.state_dict().items())


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_merged_is_unmerged(style, method, tmp_path):
    old, tasks = source(style)
    new = mt.transfer(old, tasks.only(NEW), method, **dict(QUICK, steps=15))
    kept, merged = weights(new), new.merge()
    assert type(merged) is mt.HardSharing and same(kept, weights(new))
    assert torch.allclose(answers(merged, tasks, NEW), answers(new, tasks, NEW), atol=1e-5)
    assert not torch.allclose(answers(merged, tasks, NEW), answers(moved(old, tasks.only(NEW)).eval(), tasks, NEW), atol=1e-3)
    assert not torch.allclose(answers(merged, tasks, "mood"), answers(old.eval(), tasks, "mood"), atol=1e-5)
    again = mt.load_model(merged.save_pretrained(tmp_path / "merged"))
    assert torch.equal(answers(again, tasks, NEW), answers(merged, tasks, NEW))


def test_lora_trains_as_many_parameters_as_its_ranks_say():
    old, tasks = source("gpt2")
    new = mt.transfer(old, tasks.only(NEW), "lora", r=3, targets=["c_attn"], **QUICK)
    head = sum(p.numel() for p in new.head(NEW).parameters())
    assert new.trained - head == 2 * 3 * (16 + 48)                                     # two blocks, A (3, 16), B (48, 3)
    more = mt.transfer(old, tasks.only(NEW), "lora", r=3, targets="all-linear", **QUICK)
    assert more.trained - head == 2 * 3 * ((16 + 48) + (16 + 16) + (16 + 64) + (64 + 16))


def test_a_batch_may_mix_tasks_with_and_without_branches(style):
    old, tasks = source(style)
    new = mt.transfer(old, tasks.only(NEW), "lora", **dict(QUICK, steps=12))
    batch = next(mt.MixedBatches(tasks.only(*OLD, NEW), new.backbone.tokenizer, 24, "uniform"))
    together = new(batch)
    assert set(together) == {*OLD, NEW} and all(isinstance(out, TaskOutput) for out in together.values())
    for name in batch.tasks:
        assert torch.allclose(new(batch.only(name))[name].logits, together[name].logits, atol=1e-5)
    sum(out.loss for out in together.values()).backward()
    assert all(p.grad is not None for p in new.branch_parameters())


def test_adapted_must_name_tasks():
    with pytest.raises(TaskError, match="unknown task 'moood'. Did you mean 'mood'"):
        mt.PeftSharing(sm.backbone("gpt2"), all_tasks().only(*OLD), adapted=["moood"])


# ---- few-shot curves ------------------------------------------------------------------------------------------------

def test_few_shot_is_one_transfer_for_each_number_of_labels():
    old, tasks = source("gpt2", all_tasks(30))
    curve = mt.few_shot(old, tasks.only(NEW), (6, 20), "probe", split="validation")
    for n, value in curve.items():
        model = mt.transfer(old, tasks.only(NEW).limit(same=n), "probe")
        assert value == mt.evaluate(model, tasks.only(NEW), "validation", baselines=False, bootstrap=0).value(NEW)
    with pytest.raises(TaskError, match="40 labels"):
        mt.few_shot(old, tasks.only(NEW), (6, 40), "probe")
    with pytest.raises(TaskError, match="one task"):
        mt.few_shot(old, tasks.only(NEW, "places"), (6,), "probe")


# ---- bad input ------------------------------------------------------------------------------------------------------

BAD = {
    "unknown way": (dict(how="finetune"), "Did you mean 'fine-tune'"),
    "unknown option": (dict(how="lora", rr=3), "no option 'rr'. Did you mean 'r'"),
    "a fit option the probe does not take": (dict(how="probe", steps=3), "'probe' knows no option 'steps'"),
    "task already there": (dict(new="mood"), "has a task 'mood' already"),
    "LoRA target missing": (dict(how="lora", targets=["c_atn"]), "no layer 'c_atn' for a branch. Did you mean 'c_attn'"),
    "field unknown to peft": (dict(how="lora", config={"lora_dropuot": 0.1}), "Did you mean 'lora_dropout'"),
    "more stages than layers": (dict(how="gradual", stages=9), "heads and layers are 4"),
    "no stage": (dict(how="gradual", stages=0), "from 1 to"),
    "fewer steps than stages": (dict(how="gradual", steps=3), "fewer than the 4 stages"),
    "too much frozen": (dict(freeze=4), "the body has 3 layers"),
    "rates that grow downwards": (dict(layer_decay=1.5), "above 0 and at most 1"),
    "negative pull": (dict(how="l2sp", strength=-1), "must not be negative"),
    "unknown place of the pull": (dict(how="l2sp", apply="stepp"), "Did you mean 'step'"),
    "negative penalty of the probe": (dict(how="probe", l2=-1), "must not be negative"),
    "replay with a frozen body": (dict(how="lora", replay="mood"), "forgets nothing"),
    "replay of another task": (dict(replay="places"), "no old task of the source"),
    "body of hard sharing": (dict(body="mood"), "all tasks have the same one"),
}


@pytest.mark.parametrize("options, words", BAD.values(), ids=BAD)
def test_bad_input_says_what_to_do(options, words):
    old, tasks = source("gpt2")
    before, options = weights(old), dict(options)
    if "replay" in options:
        options["replay"] = tasks.only(options["replay"])
    with pytest.raises(TaskError) as caught:
        mt.transfer(old, tasks.only(options.pop("new", NEW)), **options)
    assert words in str(caught.value)
    assert same(before, weights(old))


def test_a_target_missing_in_an_architecture_names_its_layers(style):
    old, tasks = source(style)
    known = {"gpt2": "c_attn", "bert": "query", "llama": "q_proj"}[style]
    with pytest.raises(TaskError, match=known):
        mt.transfer(old, tasks.only(NEW), "lora", targets=["W_q"])


def test_an_architecture_unknown_to_peft_asks_for_targets(monkeypatch):
    old, tasks = source("gpt2")
    monkeypatch.setattr(type(old.backbone.model.config), "model_type", "town")
    with pytest.raises(TaskError, match="no usual targets for GPT2Model. Name the layers"):
        mt.transfer(old, tasks.only(NEW), "lora")


def test_sources_that_cannot_move_say_what_to_do():
    tasks = all_tasks()
    for model, words in ((mt.ProgressiveNetwork(sm.backbone("gpt2"), tasks.only("mood")), "add_task"),
                         (mt.AttentionSharing(sm.backbone("gpt2"), tasks.only(*OLD)), r"mt.transfer\(model.backbone"),
                         (mt.PeftSharing(sm.backbone("gpt2"), tasks.only(*OLD)), "merge"),
                         (mt.SingleTask(sm.backbone("gpt2"), tasks.only(*OLD)), "which one moves on: body='mood'")):
        with pytest.raises(TaskError, match=words):
            mt.transfer(model, tasks.only(NEW), "probe")
    with pytest.raises(TaskError, match="no task of the source. Did you mean 'stars'"):
        mt.transfer(mt.SingleTask(sm.backbone("gpt2"), tasks.only(*OLD)), tasks.only(NEW), "probe", body="star")


def test_a_probe_cannot_write_and_rows_are_needed():
    writes = sm.task_set(6, kinds=("generate",))
    with pytest.raises(TaskError, match="writes text"):
        mt.transfer(sm.backbone("gpt2"), writes, "probe")
    empty = all_tasks().only(NEW).limit(same=0)
    with pytest.raises(TaskError, match="no training rows"):
        mt.transfer(sm.backbone("gpt2"), empty, "fine-tune")
    with pytest.raises(TaskError, match="new tasks with their rows"):
        mt.transfer(sm.backbone("gpt2"), TaskSet(), "fine-tune")


# ---- the stored comparison of the ways -----------------------------------------------------------------------------------

def test_the_stored_comparison_has_what_the_chapter_shows():
    stored = json.loads(files("mtl_teach").joinpath("assets/results/transfer.json").read_text(encoding="utf-8"))
    columns = {int(n): mt.Comparison.from_dict(facts) for n, facts in stored["labels"].items()}
    before = {task: {int(seed): value for seed, value in values.items()} for task, values in stored["before"].items()}
    assert list(columns) == [10, 30, 100, 300, 1000] and stored["date"] and stored["versions"]["torch"]
    assert {way["how"] for way in stored["ways"].values()} == set(WAYS)
    assert all(gain < 0.02 for gain in stored["twice_as_long"].values())                      # nobody was cut short
    for column in columns.values():
        seeds = column.budget["seeds"]
        assert len(seeds) >= 5 and not set(seeds) & set(column.budget["tuning_seeds"])
        assert column.plain["TF-IDF + LR"]["mood"].seeds == seeds
        for name, scores in column.items():
            assert scores["mood"].seeds == seeds and ((scores["mood"].values >= 0.3) & (scores["mood"].values <= 1)).all(), name
            assert len(scores.tried) == 4 and (len(scores.reached) == 4 or scores.reached[-1] == 1)     # the same search for all
            assert scores.chosen == scores.tried[scores.reached.index(max(scores.reached))]
            if stored["ways"][name]["how"] in ("probe", "lora", "ia3"):                       # a frozen body forgets nothing
                assert all(dict(scores[task].by_seed) == before[task] for task in before), name
    extra = {"rehearsal", "L2-SP, firm"}                                                      # about forgetting: at 1,000 alone
    assert all({*column} == {*stored["ways"]} - (set() if n == 1000 else extra) for n, column in columns.items())
