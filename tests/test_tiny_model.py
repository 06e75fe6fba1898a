"""The embedded language model: loads offline, knows the town's words, writes the town's sentences."""

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mtl_teach as mt
from mtl_teach import town
from mtl_teach.backbones import TINY


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY)


def test_it_is_small_and_says_where_it_comes_from():
    assert sum(path.stat().st_size for path in Path(TINY).iterdir()) < 16e6
    card = (TINY / "MODEL_CARD.md").read_text(encoding="utf-8")
    for fact in ("parameters", "tokens", "held-out loss", "date", "licence", "seed"):
        assert fact in card


def test_invented_words_are_single_tokens_and_unread(tokenizer):
    text = " ".join(town.corpus(3000, seed=0))
    for word in town.INVENTED:
        assert len(tokenizer.tokenize(f"it was {word}")) == 3, word
    assert not set(re.findall(r"\w+", text)) & set(town.INVENTED)


def test_the_towns_words_are_whole_and_nothing_is_unknown(tokenizer):
    for sentence in town.sentences(300, seed=5):
        words = len(re.findall(r"\w+|[^\w\s]", sentence.text))
        assert len(tokenizer.tokenize(sentence.text)) <= words + 3, sentence.text
    strange = "Zanzibar's 42 øre — naïve?"
    ids = tokenizer(strange)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False).strip() == strange


def test_pairs_have_a_separator_and_batches_are_padded(tokenizer):
    ids = tokenizer("The soup was cold.", "The soup was warm.")["input_ids"]
    assert ids.count(tokenizer.sep_token_id) == 1
    batch = tokenizer(["The soup was cold.", "The soup"], padding=True, return_tensors="pt")
    assert tokenizer.padding_side == "right" and batch["attention_mask"][1, -1] == 0


def test_it_is_a_decoder_of_the_stated_size():
    backbone = mt.load_backbone("tiny")
    assert backbone.causal and backbone.depth == 2 and backbone.width == 64 and backbone.max_length == 128


def test_it_predicts_held_out_text_far_better_than_word_frequencies(tokenizer):
    model = AutoModelForCausalLM.from_pretrained(TINY).eval()
    losses = []
    with torch.no_grad():
        for paragraph in town.corpus(100, seed=99):
            ids = torch.tensor([tokenizer(paragraph)["input_ids"]])
            losses.append(model(input_ids=ids, labels=ids).loss.item())
    assert sum(losses) / len(losses) < 2.0                       # guessing by frequency: about 5


def test_most_of_what_it_writes_parses(tokenizer):
    model = AutoModelForCausalLM.from_pretrained(TINY).eval()
    torch.manual_seed(0)
    start = torch.full((200, 1), tokenizer.eos_token_id)
    with torch.no_grad():
        out = model.generate(start, attention_mask=torch.ones_like(start), max_new_tokens=60, do_sample=True, top_k=0,
                             pad_token_id=tokenizer.pad_token_id)
    texts = [tokenizer.decode(row[1:], skip_special_tokens=True).strip() for row in out]
    good = [text for text in texts if town.parses(text)]
    assert len(good) >= 120, [text for text in texts if not town.parses(text)][:10]
