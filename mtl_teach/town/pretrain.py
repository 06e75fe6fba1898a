"""How the embedded language model was made: predict the next word of the town's unlabelled text.

    python -m mtl_teach.town.pretrain --out mtl_teach/assets/tiny

Writes tokenizer, configuration, weights and the model card. Runs on a CPU in minutes.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from .dice import Dice
from .model_card import model_card
from .texts import corpus
from .tokenizer import MAX_LENGTH, build_tokenizer

IGNORE = -100                        # the label of padding


@dataclass
class Recipe:
    """Everything that decides how the model comes out."""

    layers: int = 2
    width: int = 64                  # D, the size of the hidden states
    heads: int = 4
    steps: int = 15_000
    batch_size: int = 32             # paragraphs, of about 30 tokens
    lr: float = 4e-3                 # peak; linear warm-up, then cosine to zero
    warmup: int = 100
    weight_decay: float = 0.01
    init_std: float = 0.1            # at this size 0.02 learns slowly; it also holds for training from scratch
    paragraphs: int = 200_000
    held_out: int = 1000             # paragraphs with a seed of their own, for the loss
    seed: int = 0


def build_model(recipe: Recipe, tokenizer) -> GPT2LMHeadModel:
    """An untrained GPT-2 of the recipe's size, without dropout, so that runs compare exactly."""
    torch.manual_seed(recipe.seed)
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=len(tokenizer), n_positions=MAX_LENGTH, n_embd=recipe.width, n_layer=recipe.layers, n_head=recipe.heads,
        initializer_range=recipe.init_std, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        activation_function="gelu",                   # three times as fast on a CPU as its tanh approximation
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))


def encode(paragraphs: list[str], tokenizer, dice: Dice) -> list[list[int]]:
    """Token ids of each paragraph, an <eos> behind it, and before every second one, so that it can start a text."""
    eos = tokenizer.eos_token_id
    return [[eos] * dice.chance(0.5) + ids + [eos] for ids in tokenizer(paragraphs)["input_ids"]]


def pad(rows: list[list[int]], value: int) -> torch.Tensor:
    """Rows of different lengths -> (B, T)."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def batches(rows: list[list[int]], recipe: Recipe):
    """Endless batches (B, T) of paragraphs of like length, padded with IGNORE."""
    dice = Dice(recipe.seed, "batches")
    while True:
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), dice.random()))
        for start in dice.shuffled(range(0, len(order) - recipe.batch_size + 1, recipe.batch_size)):
            yield pad([rows[i] for i in order[start:start + recipe.batch_size]], IGNORE)


def loss_of(model, labels, shift: int = 0):
    """Next-token loss of (B, T) tokens; positions are counted from `shift`."""
    positions = torch.arange(labels.size(1)) + shift
    return model(input_ids=labels.clamp(min=0), labels=labels, position_ids=positions[None]).loss


def train(model, rows, recipe: Recipe, report=print) -> float:
    """Next-token prediction; returns the seconds it took.

    One batch in four is read from a random position on, so that every position is known.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(
        (i + 1) / recipe.warmup, 0.5 + 0.5 * math.cos(math.pi * i / recipe.steps)))
    dice, stream = Dice(recipe.seed, "positions"), batches(rows, recipe)
    model.train()
    begin = time.perf_counter()
    for step in range(1, recipe.steps + 1):
        labels = next(stream)                                                                    # (B, T)
        shift = int(dice.chance(0.25) * dice.random() * (MAX_LENGTH - labels.size(1)))
        loss = loss_of(model, labels, shift)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            report(f"step {step:5d}  loss {loss.item():.3f}  {time.perf_counter() - begin:.0f} s")
    return time.perf_counter() - begin


@torch.no_grad()
def held_out_loss(model, rows) -> float:
    """Mean loss in nats per token."""
    model.eval()
    losses = [(loss_of(model, torch.tensor([row])).item(), len(row) - 1) for row in rows]
    return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)


def unigram_loss(train_rows, rows, size: int) -> float:
    """The same loss for predicting every token by its frequency in the training text."""
    counts = torch.bincount(torch.tensor([*chain.from_iterable(train_rows)]), minlength=size).float() + 1e-3
    seen = torch.tensor([token for row in rows for token in row[1:]])
    return -(counts / counts.sum()).log()[seen].mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    for name, value in vars(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    out, recipe = options.pop("out"), Recipe(**options)
    tokenizer = build_tokenizer()
    rows, held_out = (encode(corpus(count, seed), tokenizer, Dice(seed, "starts")) for count, seed in (
        (recipe.paragraphs, recipe.seed), (recipe.held_out, recipe.seed + 1)))
    tokens = sum(map(len, rows))
    model = build_model(recipe, tokenizer)
    print(f"{model.num_parameters():,} parameters, {tokens:,} tokens of text")
    seconds = train(model, rows, recipe)
    measured = {"seconds": seconds, "tokens": tokens, "parameters": model.num_parameters(),
                "vocabulary": len(tokenizer), "loss": held_out_loss(model, held_out),
                "unigram": unigram_loss(rows, held_out, len(tokenizer))}
    print({name: round(value, 3) for name, value in measured.items()})
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "MODEL_CARD.md").write_text(model_card(recipe, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
