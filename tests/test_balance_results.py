"""The stored comparison of chapter 08: it loads, it is whole and fair, and it is about the chapter's own shop."""

import importlib.util
import json
from importlib.resources import files
from pathlib import Path

import pytest

import mtl_teach as mt
from mtl_teach.balancing import GRADIENTS, WEIGHTINGS, as_gradients, as_weighting

ROOT = Path(__file__).parent.parent
STORED = json.loads(files("mtl_teach").joinpath("assets/results/balance.json").read_text(encoding="utf-8"))
RESULT = mt.Comparison.from_dict(STORED["result"])


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("balance_methods", ROOT / "benchmarks" / "balance_methods.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_method_of_the_package_is_in_it(bench):
    weightings = {type(as_weighting(value)) for own in bench.WAYS.values() for value in own.get("weighting", ())}
    gradients = {type(as_gradients(value)) for own in bench.WAYS.values() for value in own.get("gradients", ())}
    assert weightings == {WEIGHTINGS[name] for name in WEIGHTINGS if name != "equal"}            # equal has a row without one
    assert gradients == {GRADIENTS[name] for name in GRADIENTS if name != "sum"}
    assert list(RESULT) == bench.RIVALS and set(STORED["dates"]) == {*bench.RIVALS, bench.BY_RATE, bench.PLAIN}


def test_all_met_the_same_seeds_and_none_was_used_for_tuning(bench):
    seeds = list(bench.SHOWN)
    assert len(seeds) >= 10 and not set(seeds) & set(bench.TUNING)
    assert RESULT.budget["seeds"] == seeds and RESULT.budget["tuning_seeds"] == list(bench.TUNING)
    values = [scores[task] for scores in [*RESULT.values(), *RESULT.plain.values()] for task in ("mood", "returns", "refund")]
    assert all(value.seeds == seeds for value in values)


def test_all_tried_the_same_rates_and_took_the_best(bench):
    assert tuple(STORED["rates"]) == bench.RATES
    for name, scores in RESULT.items():
        assert {setting["lr"] for setting in scores.tried} == set(bench.RATES)
        assert len(scores.reached) == len(scores.tried)
        if name != "alone":                                                        # there each task chose for itself
            assert scores.chosen == scores.tried[scores.reached.index(max(scores.reached))]
    assert RESULT.delta_m("equal weights").n == len(bench.SHOWN)                    # no value of `alone` is near 0


def test_equal_weights_at_their_rate_are_the_same_runs(bench):
    assert list(STORED["by_rate"]) == [f"{rate:g}" for rate in bench.RATES]
    chosen = STORED["by_rate"][f"{RESULT['equal weights'].chosen['lr']:g}"]
    assert chosen["values"] == STORED["result"]["scores"]["equal weights"]["values"]


def test_the_settings_stored_are_those_of_the_benchmark(bench):
    assert STORED["load"] == json.loads(json.dumps(bench.LOAD)) and STORED["train"] == bench.TRAIN


def test_the_benchmarks_shop_is_the_chapters(bench):
    """Training and test rows, and the body: the same as the chapter's own cells make."""
    notebook = json.loads((ROOT / "notebooks" / "08_training.ipynb").read_text(encoding="utf-8"))
    cells = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    space = {"mt": mt, "profile": mt.profile("tiny")}
    made = cells["example-tasks"].split("\ntasks = ")[0]
    exec(made + "\n" + cells["train"], space)
    for seed in (0, bench.SHOWN[0]):
        mine, theirs = bench.shop(seed), space["shop_tasks"](seed)
        assert list(mine) == list(theirs)
        assert all(mine[name].train == theirs[name].train and mine[name].test == theirs[name].test for name in mine)
        assert all(len(mine[name].validation) == 200 for name in mine)
    body, same = bench.small_body(), space["small_body"]()
    assert [p.shape for p in body.parameters()] == [p.shape for p in same.parameters()]
    steps = f"steps={bench.TRAIN['steps']}, batch_size={bench.TRAIN['batch_size']}"
    assert steps in cells["train"]


def test_one_part_can_be_put_into_the_file_again(bench, tmp_path, monkeypatch):
    """--only: the others stay, in the order of the table."""
    file = tmp_path / "balance.json"
    monkeypatch.setattr(bench, "FILE", file)
    scores = STORED["result"]["scores"]
    for name in ("PCGrad", "alone", "equal weights", "PCGrad"):
        bench.keep(name, scores[name])
    found = json.loads(file.read_text(encoding="utf-8"))
    assert list(found["result"]["scores"]) == ["alone", "equal weights", "PCGrad"]
    bench.keep("TF-IDF + LR", STORED["result"]["plain"]["TF-IDF + LR"])
    again = mt.Comparison.from_dict(json.loads(file.read_text(encoding="utf-8"))["result"])
    assert again.difference("PCGrad", "equal weights").by_seed == RESULT.difference("PCGrad", "equal weights").by_seed
    assert set(again.plain) == {"TF-IDF + LR"}
