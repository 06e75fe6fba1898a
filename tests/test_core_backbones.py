"""Pooling under left and right padding, decoders told from encoders, loading by name, folder and cache."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from small_models import ARCHITECTURES, backbone, folder, model, tokenizer

from mtl_teach.backbones import load_backbone, pool, second_text
from mtl_teach.tasks import TaskError


@pytest.mark.parametrize("style, causal", [("gpt2", True), ("llama", True), ("bert", False)])
def test_decoders_are_told_from_encoders(style, causal):
    b = backbone(style)
    assert b.causal is causal and b.pooling == ("last" if causal else "mean")


@pytest.mark.parametrize("style", ARCHITECTURES)
@pytest.mark.parametrize("side", ["right", "left"])
def test_pooling_does_not_depend_on_padding(style, side):
    b = backbone(style).eval()
    if style == "bert" and side == "left":
        pytest.skip("absolute positions: encoders are padded on the right")
    texts = ["the tea was very good", "cold soup"]
    alone = [b.pool(b(**_ids(b, [t], side)), _ids(b, [t], side)["attention_mask"]) for t in texts]
    together = _ids(b, texts, side)
    pooled = b.pool(b(**together), together["attention_mask"])
    assert torch.allclose(pooled, torch.cat(alone), atol=1e-5)


def _ids(b, texts, side):
    out = b.tokenizer(texts, padding=True, return_tensors="pt", padding_side=side)
    return {"input_ids": out["input_ids"], "attention_mask": out["attention_mask"]}


def test_pooling_against_a_plain_loop():
    hidden = torch.randn(3, 4, 5)
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    real = [h[m.bool()] for h, m in zip(hidden, mask)]
    assert torch.allclose(pool(hidden, mask, "mean"), torch.stack([h.mean(0) for h in real]))
    assert torch.equal(pool(hidden, mask, "last"), torch.stack([h[-1] for h in real]))
    assert torch.equal(pool(hidden, mask, "cls"), torch.stack([h[0] for h in real]))


def test_token_types_are_those_of_berts_own_tokenizer():
    from transformers import BertTokenizerFast
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cold", "soup", "tea"]
    bert = BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})
    out = bert(["cold soup", "tea"], ["tea", "soup tea cold"], padding=True, return_tensors="pt")
    assert out["token_type_ids"].sum() == 6
    assert torch.equal(second_text(out["input_ids"], out["attention_mask"], bert.sep_token_id), out["token_type_ids"])


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_a_folder_loads_through_the_real_code(style, tmp_path):
    b = load_backbone(folder(style, tmp_path / style))
    assert b.width == 16 and b.depth == 2 and b.tokenizer.pad_token_id is not None
    assert b(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.long)).shape == (1, 2, 16)


@pytest.mark.slow
def test_the_hub_cache_works_offline(tmp_path):
    """A cache laid out as the hub's own, read by a fresh process that may not use the network."""
    place = tmp_path / "hub" / "models--distilgpt2"
    folder("gpt2", place / "snapshots" / "local")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("local")
    code = """
        import mtl_teach as mt
        b = mt.load_backbone("distilgpt2")
        print(b.width, b.causal)
        try:
            mt.load_backbone("gpt3")
        except mt.TaskError as error:
            print(error)
    """
    env = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=env, capture_output=True, text=True, check=True).stdout
    assert out.startswith("16 True")
    assert "Three ways out" in out and "'gpt2'" in out and "HF_HUB_OFFLINE" in out


def test_a_half_precision_checkpoint_becomes_float32(tmp_path):
    model("gpt2").half().save_pretrained(tmp_path)
    tokenizer("gpt2").save_pretrained(tmp_path)
    assert next(load_backbone(str(tmp_path)).parameters()).dtype == torch.float32


def test_the_output_layer_is_left_behind():
    assert not any("lm_head" in name for name, _ in backbone("gpt2").named_parameters())


def test_bad_backbones_get_a_clear_error(tmp_path):
    with pytest.raises(TaskError, match="'tiny'"):
        load_backbone("tinny")
    with pytest.raises(TaskError, match="needs its tokenizer"):
        load_backbone(model("gpt2"))
    with pytest.raises(TaskError, match="first position has read nothing"):
        backbone("gpt2", pooling="cls")
    with pytest.raises(TaskError, match="unknown pooling 'max'"):
        backbone("bert", pooling="max")
    with pytest.raises(TaskError, match="holds no model"):
        load_backbone(str(tmp_path))


@pytest.mark.parametrize("style", ARCHITECTURES)
def test_fresh_weights_depend_on_the_seed_alone(style):
    a, b, c = (backbone(style).clone(pretrained=False, seed=seed) for seed in (1, 1, 2))
    first = [next(x.model.parameters()) for x in (a, b, c)]
    assert torch.equal(first[0], first[1]) and not torch.equal(first[0], first[2])


@pytest.mark.slow
@pytest.mark.parametrize("style", ARCHITECTURES)
def test_a_backbone_that_comes_from_another_process_shows_its_layers(style, tmp_path):
    here, ids = backbone(style), torch.tensor([[4, 5, 6]])
    torch.save((here, ids), tmp_path / "backbone.pt")
    code = ("import sys, torch; backbone, ids = torch.load(sys.argv[1], weights_only=False);"
            "torch.save([layer.detach() for layer in backbone(ids, torch.ones_like(ids), all_layers=True)], sys.argv[2])")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "backbone.pt"), str(tmp_path / "layers.pt")], check=True)
    there = torch.load(tmp_path / "layers.pt")
    assert len(there) == here.depth + 1
    for mine, theirs in zip(here(ids, torch.ones_like(ids), all_layers=True), there):
        torch.testing.assert_close(mine, theirs)
