"""Progressive networks: the paper's formula, freezing that is complete, and answers that never change."""

import copy
import warnings

import numpy as np
import pytest
import torch
from small_models import ARCHITECTURES, backbone, task_set

import mtl_teach as mt
from mtl_teach.batching import MixedBatches
from mtl_teach.in_order import fit_in_order
from mtl_teach.sharing.progressive import ProgressiveNetwork
from mtl_teach.tasks import TaskError

THREE = ("classify", "regress", "tag")                                  # tasks "mood", "stars", "places"


def network(style="gpt2", kinds=THREE, trained=True, **knobs):
    """A network with a column for each kind of task, and its tasks; all columns but the last count as trained."""
    tasks = task_set(kinds=kinds)
    model = ProgressiveNetwork(backbone(style), tasks, **knobs)
    for name in list(tasks)[:-1] if trained else ():
        torch.nn.init.normal_(model.column(name).laterals[0].scale if model.column(name).laterals else torch.empty(1))
        model.column(name).texts += 1
    model.turn_to(list(tasks)[-1])
    return model, tasks


def a_batch(model, tasks, size=12, **options):
    return next(MixedBatches(tasks, model.backbone.tokenizer, size, sampler="uniform", **options))


def logits(model, batch):
    model.eval()
    with torch.no_grad():
        return {name: out.logits for name, out in model(batch).items()}


def totals(history):
    return [step["total"] for step in history.steps]


# ---- the formula ----------------------------------------------------------------------------------------------


def numpy_lateral(lateral, states):
    """U σ(V α norm(h)), written out; states: one (n, T, D) array per earlier column."""
    scale, down, up = (p.detach().numpy() for p in (lateral.scale, lateral.down.weight, lateral.up.weight))
    normed = [(h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5) for h in states]
    side_by_side = np.concatenate([a * h for a, h in zip(scale, normed)], axis=-1)
    return np.maximum(side_by_side @ down.T, 0) @ up.T


def run_with_hooks(model, name, batch, before):
    """A column by the library's own forward; hooks add the laterals and note what leaves each block."""
    column, left = model.column(name), []

    def add(number):
        def hook(module, args, hidden):
            if before:
                added = numpy_lateral(column.laterals[number], [states[number] for states in before])
                hidden = hidden + torch.from_numpy(added)
            left.append(hidden.detach().numpy())
            return hidden
        return hook
    body = column.backbone.model
    blocks = body.h if hasattr(body, "h") else body.encoder.layer if hasattr(body, "encoder") else body.layers
    handles = [block.register_forward_hook(add(number)) for number, block in enumerate(blocks)]
    hidden = column.backbone(batch.input_ids, batch.attention_mask)
    for handle in handles:
        handle.remove()
    return hidden, left


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_three_columns_against_the_formula_in_numpy(style):
    model, tasks = network(style, kinds=("tag", "regress", "classify"))
    model = model.double().eval()
    batch = a_batch(model, tasks.only("mood"))
    before = []
    for name in ("places", "stars", "mood"):
        hidden, left = run_with_hooks(model, name, batch, before)
        before.append(left)
    pooled = model.backbone.pool(hidden, batch.attention_mask)[batch.rows["mood"]]
    expected = model.head("mood")(pooled)
    found = model(batch)["mood"].logits
    assert torch.allclose(found, expected, atol=1e-9)
    for lateral in model.column("mood").laterals:                       # each of them counts: cut one and it shows
        kept = lateral.up.weight.clone()
        with torch.no_grad():
            lateral.up.weight.zero_()
            assert (model(batch)["mood"].logits - expected).abs().max() > 1e-5
            lateral.up.weight.copy_(kept)


def test_gradients_against_finite_differences():
    model, tasks = network(kinds=("regress", "tag", "classify"))
    model = model.double()
    batch = a_batch(model, tasks.only("mood"), 6)
    lateral, block = model.column("mood").laterals[0], model.column("mood").backbone.model.h[1]
    loss = lambda: model(batch)["mood"].loss                                                        # noqa: E731
    for weight in (lateral.scale, lateral.down.weight, lateral.up.weight, block.attn.c_attn.weight):
        grad, = torch.autograd.grad(loss(), weight)
        for place in (0, weight.numel() // 2, weight.numel() - 1):
            with torch.no_grad():
                flat = weight.view(-1)
                flat[place] += 1e-6
                up = loss()
                flat[place] -= 2e-6
                down = loss()
                flat[place] += 1e-6
            assert grad.view(-1)[place].item() == pytest.approx((up - down).item() / 2e-6, abs=1e-7)


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_laterals_at_zero_are_training_alone_bit_for_bit(style):
    tasks = task_set(kinds=("regress", "classify"))
    mood = tasks.only("mood")
    alone = mt.SingleTask(backbone(style), mood)
    expected = mt.fit(alone, mood, steps=5, batch_size=8)
    for knobs in ({"laterals": False}, {"laterals": True}):
        model = ProgressiveNetwork(backbone(style), tasks, **knobs)
        model.column("stars").texts += 1
        model.turn_to("mood")
        for lateral in model.column("mood").laterals:
            torch.nn.init.zeros_(lateral.up.weight)
            lateral.requires_grad_(False)
        assert totals(mt.fit(model, mood, steps=5, batch_size=8)) == totals(expected)
        for mine, other in zip(model.column("mood").backbone.parameters(), alone.backbone.parameters()):
            assert torch.equal(mine, other)


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_the_first_column_is_single_task_training_bit_for_bit(style):
    tasks = task_set(kinds=("classify",))
    runs = [mt.fit(kind(backbone(style), tasks), tasks, steps=4) for kind in (ProgressiveNetwork, mt.SingleTask)]
    assert totals(runs[0]) == totals(runs[1])


@pytest.mark.parametrize("style, side", [("gpt2", "left"), ("llama", "left"), *((s, "right") for s in ARCHITECTURES)])
def test_padding_does_not_leak(style, side):
    model, tasks = network(style)
    places = tasks["places"]
    items = [("places", row) for row in mt.encode(places.task, places.train[:9], model.backbone.tokenizer)]
    pad = model.backbone.tokenizer.pad_token_id
    together = mt.collate(items, model.tasks, pad, padding_side=side)
    found = logits(model, together)["places"]
    for number, item in enumerate(items):
        row = together.rows["places"][number]
        alone = logits(model, mt.collate([item], model.tasks, pad))["places"][0]
        assert torch.allclose(found[number][together.attention_mask[row].bool()], alone, atol=1e-5)


# ---- earlier tasks never change -------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_earlier_answers_stay_bit_identical_after_new_tasks_and_after_loading(style, tmp_path):
    tasks = task_set(kinds=("classify", "regress", "tag", "pair"))
    model = ProgressiveNetwork(backbone(style), tasks.only("mood"))
    kept, batches = {}, {name: a_batch(model, tasks.only(name)) for name in tasks}
    for number, name in enumerate(tasks):
        if number:
            model.add_task(tasks[name])
        mt.fit(model, tasks.only(name), steps=6, lr=1e-2)
        kept[name] = logits(model, batches[name])[name]
        for earlier in kept:
            assert torch.equal(logits(model, batches[earlier])[earlier], kept[earlier]), (name, earlier)
    torch.manual_seed(12345)                                             # nothing unsaved may come back by chance
    loaded = ProgressiveNetwork.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert loaded.current == "same" and list(loaded.tasks) == list(tasks)
    loaded.add_task(mt.Task("fifth", "classify", ("a", "b")), backbone=backbone(style))
    for name in tasks:
        assert torch.equal(logits(loaded, batches[name])[name], kept[name])


def test_frozen_columns_are_frozen_completely():
    tasks = task_set(kinds=THREE)
    body = backbone("gpt2")
    for part in (body.model.drop, *(block.mlp.dropout for block in body.model.h)):
        part.p = 0.5
    model = ProgressiveNetwork(body, tasks)
    assert not model.states(["mood"], *torch.ones(2, 1, 3).long())[0].requires_grad     # read without a graph, even now
    for name in ("mood", "stars"):
        model.column(name).texts += 1
    model.turn_to("places")
    model.train()
    for name in ("mood", "stars"):
        assert not any(p.requires_grad for p in model.task_parameters(name))
        assert not any(m.training for m in [*model.column(name).modules(), *model.head(name).modules()])
    assert model.column("places").backbone.model.drop.training and model.head("places").training
    batch = a_batch(model, tasks)
    ids, mask = batch.input_ids, batch.attention_mask
    before = {key: value.clone() for key, value in model.state_dict().items()}
    once, again = (model.states(["mood", "stars"], ids, mask) for _ in range(2))
    assert all(torch.equal(a, b) and not a.requires_grad for a, b in zip(once, again))   # no dropout, no graph
    outputs = model(batch)
    assert not outputs["mood"].loss.requires_grad and not outputs["stars"].loss.requires_grad
    outputs["places"].loss.backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.column("places").laterals.parameters())
    mt.fit(model, tasks.only("places"), steps=2)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed and all("places" in key for key in changed)


def test_the_optimizer_knows_nothing_of_frozen_columns(monkeypatch):
    from mtl_teach import training
    model, tasks = network()
    made, make = [], training._optimizer
    monkeypatch.setattr(training, "_optimizer", lambda *args: made.append(make(*args)) or made[0])
    mt.fit(model, tasks.only("places"), steps=2)
    own = {id(p) for p in model.task_parameters("places")}
    assert {id(p) for group in made[0].param_groups for p in group["params"]} == own == {id(p) for p in made[0].state}


def test_momentum_and_decay_of_a_loop_of_your_own_do_not_move_a_frozen_column():
    tasks = task_set(kinds=("classify", "regress"))
    model = ProgressiveNetwork(backbone("gpt2"), tasks.only("mood"))
    batch = a_batch(model, tasks.only("mood"))
    mine = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):                                                  # the second gradient is still there when ...
        model(batch)["mood"].loss.backward()
        mine.step()
    kept = logits(model, batch)["mood"]
    model.add_task(tasks["stars"])                                      # ... the column is frozen
    mine.add_param_group({"params": model.task_parameters("stars")})
    model.train()(a_batch(model, tasks.only("stars")))["stars"].loss.backward()
    mine.step()
    assert torch.equal(logits(model, batch)["mood"], kept)


def test_every_parameter_belongs_to_one_task():
    model, tasks = network("bert")
    ids = [id(p) for name in tasks for p in model.task_parameters(name)]
    assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in model.parameters()}
    assert model.shared_parameters() == []


def test_a_column_starts_the_same_whenever_it_is_added():
    tasks = task_set(kinds=THREE)
    model = ProgressiveNetwork(backbone("gpt2"), tasks.only("mood"))
    mt.fit(model, tasks.only("mood"), steps=2)
    model.add_task(tasks["stars"])
    whole = ProgressiveNetwork(backbone("gpt2"), tasks)
    for mine, other in zip(model.task_parameters("stars"), whole.task_parameters("stars")):
        assert torch.equal(mine, other)
    assert float(model.head("stars").center) == float(whole.head("stars").center) != 0
    mt.fit(model, tasks.only("stars"), steps=1)
    twin = copy.deepcopy(model)
    twin.add_task(tasks["places"])
    assert "places" not in model.tasks


# ---- one task after the other ---------------------------------------------------------------------------------


def test_fit_in_order_is_fit_task_by_task():
    tasks = task_set(kinds=THREE).limit(mood=24, stars=12, places=4)
    whole = ProgressiveNetwork(backbone("gpt2"), tasks)
    history = fit_in_order(whole, tasks, steps=20, lr=5e-3)
    by_hand = ProgressiveNetwork(backbone("gpt2"), tasks.only("mood"))
    expected = totals(mt.fit(by_hand, tasks.only("mood"), steps=12, lr=5e-3))            # 20 steps as 24 : 12 : 4
    for name, count in (("stars", 6), ("places", 2)):
        by_hand.add_task(tasks[name])
        expected += totals(mt.fit(by_hand, tasks.only(name), steps=count, lr=5e-3))
    assert totals(history) == expected
    assert [s["step"] for s in history.steps] == list(range(1, 21)) and history.frame()["stars"].notna().sum() == 6
    assert [int(whole.column(name).texts) > 0 for name in tasks] == [True] * 3
    grown = ProgressiveNetwork(backbone("gpt2"), tasks.only("mood"))
    steps = {"mood": 12, "stars": 6, "places": 2}
    assert totals(fit_in_order(grown, tasks, steps=steps, lr=5e-3)) == expected
    with pytest.raises(TaskError, match="Did you mean 'stars'"):
        fit_in_order(whole, tasks, steps={"mood": 1, "star": 2, "places": 3})


def test_other_models_are_fine_tuned_in_a_chain():
    tasks = task_set(kinds=("classify", "regress"))
    model = mt.HardSharing(backbone("gpt2"), tasks)
    history = fit_in_order(model, tasks, steps={"mood": 3, "stars": 2})
    assert history.frame()["mood"].notna().tolist() == [True] * 3 + [False] * 2


def test_an_interrupted_second_column_resumes_to_the_same_losses(tmp_path, monkeypatch):
    from mtl_teach.training import _Run
    tasks, plain = task_set(kinds=("classify", "regress")), _Run.step
    expected = fit_in_order(ProgressiveNetwork(backbone("gpt2"), tasks), tasks, steps=20)

    def dying(self, store):
        if len(self.history) == 7 and "stars" in self.names:
            raise InterruptedError
        plain(self, store)
    options = dict(steps=20, save_every=3, checkpoints=tmp_path)
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(_Run, "step", dying)
        fit_in_order(ProgressiveNetwork(backbone("gpt2"), tasks), tasks, **options)
    resumed = fit_in_order(ProgressiveNetwork(backbone("gpt2"), tasks), tasks, **options)
    assert totals(resumed) == totals(expected)


# ---- bad input --------------------------------------------------------------------------------------------------


def test_what_cannot_be_trained_is_refused_before_anything_changes():
    tasks = task_set(kinds=THREE)
    model = ProgressiveNetwork(backbone("gpt2"), tasks.only("mood", "stars"))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(TaskError, match="one task at a time.*fit_in_order"):
        mt.fit(model, tasks.only("mood", "stars"))
    with pytest.raises(TaskError, match="'stars' is frozen; that of 'mood' trains now"):
        mt.fit(model, tasks.only("stars"))
    with pytest.raises(TaskError, match="has a column for 'mood' already"):
        model.add_task(tasks["mood"])
    with pytest.raises(TaskError, match="takes one task"):
        model.add_task(tasks.only("places"))
    with pytest.raises(TaskError, match="Did you mean 'stars'"):
        model.turn_to("star")
    assert model.current == "mood" and list(model.tasks) == ["mood", "stars"]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(TaskError, match="width=0"):
        ProgressiveNetwork(backbone("gpt2"), tasks, width=0)


def test_a_column_that_others_have_learned_from_stays_closed():
    model, tasks = network()
    mt.fit(model, tasks.only("places"), steps=1)
    with pytest.raises(TaskError, match="'mood' is frozen: that of 'stars' came after it"):
        model.turn_to("mood")
    free, _ = network(laterals=False)
    mt.fit(free, tasks.only("places"), steps=1)
    free.turn_to("mood")                                                 # nobody reads it: it may go on learning


def test_reading_a_column_that_was_never_trained_is_a_warning():
    tasks = task_set(kinds=THREE)
    model = ProgressiveNetwork(backbone("gpt2"), tasks.only("mood"))
    with pytest.warns(UserWarning, match="'stars' reads that of 'mood', which was never trained"):
        model.add_task(tasks["stars"])
    model.turn_to("mood")
    mt.fit(model, tasks.only("mood"), steps=1)
    with warnings.catch_warnings(action="error"):
        model.turn_to("stars")


def test_other_architectures_and_missing_starts_are_refused(tmp_path):
    tasks = task_set(kinds=("classify", "regress"))
    model = ProgressiveNetwork(backbone("gpt2"), tasks.only("mood"))
    with pytest.raises(TaskError, match="share architecture and tokenizer; the new backbone differs in"):
        model.add_task(tasks["stars"], backbone=backbone("llama"))
    assert list(model.tasks) == ["mood"] and len(model.columns) == 1
    mt.fit(model, tasks.only("mood"), steps=1)
    loaded = mt.load_model(model.save_pretrained(tmp_path / "model"))
    with pytest.raises(TaskError, match="does not know what its columns started from"):
        loaded.add_task(tasks["stars"])
    loaded.add_task(tasks["stars"], backbone=backbone("gpt2"))
    assert mt.fit(loaded, tasks.only("stars"), steps=1).steps
