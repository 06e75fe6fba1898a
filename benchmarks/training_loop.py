"""Hard sharing and fit against the bare loop they replace; bucketing against padding to the longest.

    python benchmarks/training_loop.py

Every ratio compares two ways of doing the same work on the same rows, measured in turn in one run; the median of
several rounds is printed.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2Model

import mtl_teach as mt
from mtl_teach.batching import MixedBatches
from mtl_teach.tasks import Task, TaskData, TaskSet

ROUNDS, BATCH = 15, 32
WORDS = [f"w{i}" for i in range(400)]


def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["<pad>", "<eos>", *WORDS])}, unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", model_max_length=512)


def backbone(width=64, depth=2):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=402, n_embd=width, n_layer=depth, n_head=4, n_positions=512, bos_token_id=1,
                        eos_token_id=1, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    return mt.load_backbone(GPT2Model(config), tokenizer=tokenizer())


def tasks(count=4, rows=1000, lengths=None):
    """Classification tasks over texts of random words, 12 words each unless lengths are given."""
    generator, made = torch.Generator().manual_seed(0), {}
    lengths = lengths or [12] * rows
    for k in range(count):
        texts = [" ".join(WORDS[i] for i in torch.randint(400, (n,), generator=generator)) for n in lengths]
        made[f"task{k}"] = TaskData(Task(f"task{k}", "classify", ("no", "yes")),
                                    [{"text": t, "label": ("no", "yes")[i % 2]} for i, t in enumerate(texts)])
    return TaskSet(made)


def seconds(work) -> float:
    """CPU seconds (all work is on one thread), so that other programs on the machine matter little."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def ratio(ours, theirs, rounds=ROUNDS) -> tuple[float, list[float]]:
    """Median of ours / theirs over rounds in which both run twice, in the order ABBA."""
    ours(), theirs()
    every = []
    for _ in range(rounds):
        first, one, other, last = seconds(ours), seconds(theirs), seconds(theirs), seconds(ours)
        every.append((first + last) / (one + other))
    return statistics.median(every), every


def hard_sharing(width, depth, steps, rounds):
    """Rows per second of HardSharing on mixed batches of four tasks against the bare model on the same batches: with the
    four heads written out by hand, which is the loop it replaces, and with one head for all rows, as a bound."""
    data = tasks()
    model = mt.HardSharing(backbone(width, depth), data)
    batches = MixedBatches(data, model.backbone.tokenizer, BATCH)
    fixed = [next(batches) for _ in range(steps)]
    body, heads = model.backbone.model, {name: torch.nn.Linear(width, 2) for name in data}

    def ours():
        for batch in fixed:
            sum(out.loss for out in model(batch).values()).backward()

    def last(batch):
        hidden = body(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).last_hidden_state
        return hidden[torch.arange(len(batch)), batch.attention_mask.sum(1) - 1]

    def by_hand():
        for batch in fixed:
            pooled = last(batch)
            sum(F.cross_entropy(heads[name](pooled[rows]), batch.labels[name]) for name, rows in batch.rows.items()).backward()

    def one_head():
        for batch in fixed:
            labels = torch.cat([batch.labels[name] for name in batch.tasks])
            F.cross_entropy(heads["task0"](last(batch)), labels).backward()
    for rival, words in ((by_hand, "four heads by hand"), (one_head, "one head for all rows")):
        median, every = ratio(rival, ours, rounds)
        print(f"hard sharing ({depth} layers, D = {width}), rows/s against {words}: {median:.2f}  (target >= 0.95 by hand; "
              f"rounds {_span(every)})")


def loop():
    """Seconds of fit against a plain loop over the same stream of batches."""
    data = tasks()

    def ours():
        mt.fit(mt.HardSharing(backbone(), data), data, steps=150, batch_size=BATCH, progress=False)

    def bare():
        model = mt.HardSharing(backbone(), data)
        batches = MixedBatches(data, model.backbone.tokenizer, BATCH)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min((i + 1) / 15, (150 - i) / 135))
        model.train()
        for _ in range(150):
            loss = sum(out.loss for out in model(next(batches)).values())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    median, every = ratio(ours, bare)
    print(f"fit, seconds against the bare loop                            {median:.2f}  (target <= 1.05; rounds {_span(every)})")


def bucketing():
    """Seconds without buckets (each batch padded to its longest text) against seconds with them."""
    lengths = torch.empty(2000).log_normal_(2.7, 0.8, generator=torch.Generator().manual_seed(1)).clamp(2, 200).int().tolist()
    data = tasks(2, lengths=lengths)
    model = mt.HardSharing(backbone(), data)

    def epoch(bucket):
        batches = MixedBatches(data, model.backbone.tokenizer, BATCH, bucket=bucket)
        fixed = [next(batches) for _ in range(60)]
        return lambda: [sum(o.loss for o in model(b).values()).backward() for b in fixed]
    median, every = ratio(epoch(False), epoch(True))
    print(f"bucketing, speed-up against padding to each batch's longest   {median:.2f}  (target >= 1.8; rounds {_span(every)})")


def growth():
    """Milliseconds per step as tasks and rows grow: both should be straight lines."""
    for rows in (16, 32, 64, 128):
        print(f"  {rows:4d} rows, 4 tasks: {_step(tasks(4, 300), rows):6.2f} ms per step")
    for count in (1, 2, 4, 8, 16):
        print(f"    32 rows, {count:2d} tasks: {_step(tasks(count, 300), 32):6.2f} ms per step")


def _step(data, rows):
    model = mt.HardSharing(backbone(), data)
    batches = MixedBatches(data, model.backbone.tokenizer, rows)
    fixed = [next(batches) for _ in range(20)]
    work = lambda: [sum(o.loss for o in model(b).values()).backward() for b in fixed]                 # noqa: E731
    work()
    return statistics.median(seconds(work) for _ in range(5)) / 20 * 1000


def _span(every):
    return f"{min(every):.2f} to {max(every):.2f}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    hard_sharing(64, 2, 5, 100), hard_sharing(256, 4, 3, 15)    # short turns: the machine's own speed wanders
    loop(), bucketing(), growth()
