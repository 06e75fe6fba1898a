"""The cost table against counts by hand, and against what training really changes."""

import pytest
import torch
from small_models import ARCHITECTURES, backbone, task_set

import mtl_teach as mt
from mtl_teach.batching import MixedBatches
from mtl_teach.sharing.adapters import AdapterFusion
from mtl_teach.sharing.attention import AttentionSharing
from mtl_teach.sharing.costs import cost, flops
from mtl_teach.sharing.masks import MTAN
from mtl_teach.tasks import TaskError

KINDS = ("classify", "regress", "tag")
ALGORITHMS = [mt.HardSharing, mt.SingleTask, AttentionSharing, MTAN, AdapterFusion]
D = 16                                                       # width of the small models, which have 2 blocks


def build(algorithm, style="gpt2", kinds=KINDS, **knobs):
    tasks = task_set(kinds=kinds)
    model = algorithm(backbone(style), tasks, **knobs)
    return model, next(MixedBatches(tasks, model.backbone.tokenizer, 24, sampler="uniform")), tasks


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("style", ARCHITECTURES)
def test_rows_add_up_and_say_what_training_changes(algorithm, style):
    model, batch, tasks = build(algorithm, style)
    table = model.cost(batch)
    assert list(table.index) == ["shared", *tasks, "all"]
    counts = table[["parameters", "trained"]]
    assert (counts.loc[["shared", *tasks]].sum() == counts.loc["all"]).all()
    assert counts.loc["all", "parameters"] == sum(p.numel() for p in model.parameters())
    before = {name: p.clone() for name, p in model.named_parameters()}
    mt.fit(model, tasks, steps=4, batch_size=24, sampler="uniform", lr=1e-2, weight_decay=0.5)
    moved = sum(p.numel() for name, p in model.named_parameters() if not torch.equal(p, before[name]))
    assert moved == pytest.approx(table.loc["all", "trained"], rel=0.02)     # a bias of keys or an unused type may rest


@pytest.mark.parametrize("algorithm, knobs, added", [
    (mt.HardSharing, {}, 2 * (D + 1)),                                        # a head of two classes
    (AttentionSharing, {}, 2 * (D + 1) + 3 + D),                              # + scores of 3 layers + a query
    (AttentionSharing, {"layers": "last"}, 2 * (D + 1) + 1 + D),
    (MTAN, {"bottleneck": 4}, 2 * (D + 1) + (4 * (D + 1) + D * 5) + (4 * (D + 4 + 1) + D * 5)),
    (AdapterFusion, {"bottleneck": 4}, 2 * (D + 1) + 2 * (4 * (D + 1) + D * 5)),
])
def test_what_a_task_adds(algorithm, knobs, added):
    model, batch, _ = build(algorithm, **knobs)
    assert cost(model, batch).loc["mood", "parameters"] == added


def test_a_second_task_adds_its_row_and_nothing_to_the_shared_part():
    for algorithm in (mt.HardSharing, MTAN, AdapterFusion):
        small, large = (cost(*build(algorithm, kinds=kinds)[:2]) for kinds in (KINDS[:2], KINDS))
        assert large.loc["shared", "parameters"] == small.loc["shared", "parameters"]
        grown = large.loc["all", "parameters"] - small.loc["all", "parameters"]
        assert grown == large.loc["places", "parameters"]


def test_flops_of_a_gpt2_by_hand():
    model, batch, _ = build(mt.HardSharing, kinds=("classify",))
    texts, tokens = batch.input_ids.shape
    block = 2 * 12 * D * D * tokens + 2 * 2 * tokens * tokens * D         # q, k, v, out, 4 D up and down; scores, sums
    by_hand = texts * 2 * block + len(batch.rows["mood"]) * 2 * 2 * D     # a text drawn twice passes the backbone once
    assert flops(model, batch) == by_hand
    assert cost(model, batch).loc["all", "flops_per_text"] == by_hand / texts


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_flops_do_not_depend_on_the_attention_kernel(style):
    model, batch, _ = build(mt.HardSharing, style)
    fused = flops(model, batch)
    model.backbone.model.set_attn_implementation("eager")
    assert flops(model, batch) == fused


def test_flops_show_what_is_run_once_and_what_once_per_task():
    def relative(algorithm):
        model, batch, tasks = build(algorithm, kinds=("classify", "regress"))
        batch.rows = {name: torch.arange(len(batch)) for name in tasks}       # every text has labels of both tasks
        batch.labels = {}
        return cost(model, batch).loc["all", "flops_per_text"] / cost(model, batch).loc["mood", "flops_per_text"]
    assert relative(mt.HardSharing) < 1.01
    assert relative(mt.SingleTask) == pytest.approx(2, rel=0.01)
    assert relative(AdapterFusion) == pytest.approx(2, rel=0.01)
    assert relative(AttentionSharing) < 1.1 and 1 < relative(MTAN) < 1.5


def test_memory():
    model, batch, _ = build(AdapterFusion)
    table = cost(model, batch)
    trained = table.loc["all", "trained"]
    everything = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    assert table.loc["all", "state_bytes"] == pytest.approx(everything, rel=0.01)
    assert table.loc["all", "training_bytes"] - table.loc["all", "state_bytes"] == 3 * 4 * trained
    assert table.loc["shared", "trained"] == 0 < table.loc["shared", "parameters"]
    doubled = cost(model.double(), batch)
    assert doubled.loc["mood", "state_bytes"] == 2 * table.loc["mood", "state_bytes"]


def test_the_model_stays_as_it_was():
    model, batch, _ = build(AttentionSharing)
    model.train()
    before = [p.clone() for p in model.parameters()]
    cost(model, batch)
    assert model.training and all(p.grad is None and torch.equal(p, b) for p, b in zip(model.parameters(), before))


def test_a_batch_without_one_of_the_tasks_is_refused():
    model, batch, _ = build(mt.HardSharing)
    with pytest.raises(TaskError, match="'stars'"):
        cost(model, batch.only("mood"))
