"""The embedded model's card, filled with what pretraining measured."""

from __future__ import annotations

import datetime
import math
import os

CARD = """\
---
license: mit
language: en
library_name: transformers
---

# The embedded language model of mtl_teach

A GPT-2 architecture that has read Tiny Town's unlabelled text, and nothing else. It is small enough to lie in the
repository and to be fine-tuned on a CPU in seconds. It serves the course; it knows nothing of the world.

| | |
|---|---|
| architecture | GPT-2: {layers} blocks, D = {width}, {heads} heads, no dropout, GELU in one kernel (`gelu_pytorch_tanh`) |
| parameters | {parameters:,} |
| tokenizer | its own: {vocabulary:,} pieces; every word of the town, and every invented word, is one piece; nothing is unknown |
| data | {paragraphs:,} paragraphs of `mtl_teach.town.corpus`, seed {seed}, {tokens:,} tokens; messages of the validation and test splits and all invented words are kept out |
| training | {steps:,} steps of {batch_size} paragraphs, AdamW, peak rate {lr:g}, {warmup} steps of warm-up, cosine to zero |
| held-out loss | {loss:.3f} nats per token (perplexity {perplexity:.2f}); guessing by word frequency gives {unigram:.3f} |
| time | {seconds:.0f} s on one core of a {cores}-core CPU |
| date | {date} |

Made by `python -m mtl_teach.town.pretrain --out FOLDER{flags}`.

## What it is for, and what not

Fine-tuning on tasks of Tiny Town, with hard, soft, attention-based or progressive sharing, and lessons about that.
Text outside the town's few hundred words falls apart into single letters for it. Do not expect anything there.

## What pretraining buys

`benchmarks/pretraining_gain.py` fine-tunes from this checkpoint and from fresh weights of the same architecture and
prints the accuracies with intervals. Chapter 01 shows the gain for 50 and 200 labels.

Weights and tokenizer: MIT licence, as the code.
"""


def model_card(recipe, measured: dict) -> str:
    """The card's text. measured: seconds, tokens, parameters, vocabulary, loss and unigram (nats per token)."""
    usual, given = type(recipe)(), vars(recipe)
    flags = "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items() if value != getattr(usual, name))
    return CARD.format(**given, **measured, perplexity=math.exp(measured["loss"]), cores=os.cpu_count(), flags=flags,
                       date=datetime.date.today().isoformat())
