"""What attention-based sharing costs beside hard sharing on the same rows, against the number of tasks.

    python benchmarks/attention_cost.py            prints a table; target: at most 1.25 x hard sharing at 5 tasks

A round is a whole training step of each model on the same batch, one after the other in changing order: forward, backward,
clipping, AdamW. The ratio is the median over rounds, in CPU seconds of this process: other programs on the machine take
part in wall time, hardly in these.
Also in the table: MTAN's masks, and both stages of AdapterFusion, whose rows pass the backbone once per task.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import warnings

import torch

import mtl_teach as mt
from mtl_teach.backbones import TINY
from mtl_teach.batching import Batch
from mtl_teach.sharing.adapters import AdapterFusion
from mtl_teach.sharing.attention import AttentionSharing
from mtl_teach.sharing.masks import MTAN
from mtl_teach.tasks import Task

TARGET = 1.25


def backbone(size: str):
    """The embedded model, or one of a given width and depth, e.g. 256x4; random weights, they do not matter here."""
    from transformers import AutoTokenizer, GPT2Config, GPT2Model
    if size == "tiny":
        return mt.load_backbone("tiny")
    width, depth = map(int, size.split("x"))
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=width, n_layer=depth, n_head=4, n_positions=128,
                        bos_token_id=0, eos_token_id=0, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    return mt.load_backbone(GPT2Model(config), tokenizer=tokenizer)


def make_batch(tasks, texts: int, tokens: int, vocabulary: int) -> Batch:
    """Texts of tokens / 2 to tokens tokens, dealt out to the tasks in turn."""
    lengths = torch.randint(tokens // 2, tokens + 1, (texts,))
    lengths[0] = tokens
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    rows = {task.name: torch.arange(i, texts, len(tasks)) for i, task in enumerate(tasks)}
    labels = {name: torch.randint(2, (len(r),)) for name, r in rows.items()}
    counts = {name: float(len(r)) for name, r in rows.items()}
    return Batch(torch.randint(vocabulary, (texts, tokens)), mask, rows, labels, counts)


def stepper(model):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    model.train()

    def step(batch) -> float:
        begin = time.process_time()
        (sum(out.loss for out in model(batch).values()) + model.penalty()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - begin
    return step


def fused(base, tasks):
    model = AdapterFusion(base, tasks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                   # its adapters are not trained; time does not depend on it
        return model.fuse()


MODELS = {
    "hard": lambda base, tasks: mt.HardSharing(base, tasks),
    "attention": lambda base, tasks: AttentionSharing(base, tasks),
    "cross off": lambda base, tasks: AttentionSharing(base, tasks, cross_task=False),
    "last layer": lambda base, tasks: AttentionSharing(base, tasks, layers="last"),
    "MTAN": lambda base, tasks: MTAN(base, tasks),
    "adapters": lambda base, tasks: AdapterFusion(base, tasks),
    "fusion": fused,
}


def ratios(size, count, texts, tokens, rounds) -> dict[str, float]:
    """Milliseconds of a hard-sharing step, and each model's time as a multiple of it."""
    torch.manual_seed(0)
    tasks = [Task(f"task {i}", "classify", ("no", "yes")) for i in range(count)]
    base = backbone(size)
    steps = {name: stepper(make(base.clone(), tasks)) for name, make in MODELS.items()}
    times, shuffle = {name: [] for name in steps}, random.Random(0)
    for number in range(rounds + 3):
        batch = make_batch(tasks, texts, tokens, base.model.config.vocab_size)
        for name in shuffle.sample(list(steps), len(steps)):
            seconds = steps[name](batch)
            if number >= 3:                               # the first rounds warm up
                times[name].append(seconds)
    found = {name: statistics.median(t / h for t, h in zip(times[name], times["hard"])) for name in times}
    return {"hard, ms": 1000 * statistics.median(times["hard"])} | {n: r for n, r in found.items() if n != "hard"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny", help="'tiny' or width x depth, e.g. 256x4")
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    import pandas as pd
    table = pd.DataFrame({count: ratios(options.backbone, count, options.texts, options.tokens, options.rounds)
                          for count in options.tasks}).T.rename_axis("tasks")
    print(f"backbone {options.backbone}, {options.texts} texts of up to {options.tokens} tokens, "
          f"{torch.get_num_threads()} threads; CPU time of a training step as a multiple of hard sharing's")
    print(table.round(2).to_string())
    at = 5 if 5 in table.index else table.index[0]
    ratio = table.loc[at, "attention"]
    print(f"attention / hard at {at} tasks: {ratio:.2f} (target <= {TARGET}): {'met' if ratio <= TARGET else 'missed'}")


if __name__ == "__main__":
    main()
