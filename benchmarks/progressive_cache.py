"""What a training step of a progressive network costs: with cached activations, without, and beside a plain column.

    python benchmarks/progressive_cache.py             two sizes, columns 1 to 5; targets for the fourth column:
                                                       recomputing >= 1.8 x cached, cached <= 1.25 x a plain column
    python benchmarks/progressive_cache.py --sizes 64x2

A step is forward, backward, clipping and AdamW on 32 texts. The three ways take turns within one run; the ratios are
medians over rounds, in CPU seconds of one thread, so that other programs on the machine matter little. The cache is
warm: every text has been seen once. What the first look costs is printed too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import torch
from training_loop import backbone, tasks

import mtl_teach as mt
from mtl_teach.activations import ActivationCache
from mtl_teach.batching import MixedBatches
from mtl_teach.sharing.progressive import ProgressiveNetwork

BATCH, BATCHES = 32, 4


def network(columns: int, width: int, depth: int, rows):
    """A network whose last column trains, the others marked as trained."""
    model = ProgressiveNetwork(backbone(width, depth), rows)
    names = list(rows)
    for name in names[:-1]:
        model.column(name).texts += 1
    model.turn_to(names[-1])
    return model.train()


def stepper(model, batches):
    """A function that takes one training step on each batch."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)

    def work():
        for batch in batches:
            sum(out.loss for out in model(batch).values()).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return work


def seconds(work) -> float:
    """CPU seconds per step."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / BATCHES


def measure(columns: int, width: int, depth: int, tokens: int, rounds: int, folder) -> dict[str, list[float]]:
    """Seconds per step, a list over rounds for each way; "first look" has one entry."""
    rows = tasks(columns, BATCH * BATCHES, [tokens] * (BATCH * BATCHES))
    last = list(rows)[-1]
    stream = MixedBatches(rows.only(last), backbone(width, depth).tokenizer, BATCH)
    batches = [next(stream) for _ in range(BATCHES)]
    models = {"plain": mt.SingleTask(backbone(width, depth), rows.only(last)).train()}
    models |= {way: network(columns, width, depth, rows) for way in ("recomputed", "memory", "folder")}
    models["memory"].cache, models["folder"].cache = ActivationCache(), ActivationCache(f"{folder}/{columns}-{width}")
    work = {way: stepper(model, batches) for way, model in models.items()}
    first = {way: seconds(step) for way, step in work.items()}
    found = {way: [] for way in work}
    for _ in range(rounds):
        for way, step in work.items():
            found[way].append(seconds(step))
    return found | {"first look": [first["memory"]]}


def ratio(found, above, below) -> float:
    return statistics.median(a / b for a, b in zip(found[above], found[below]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["64x2", "256x4"], help="width x depth of a column")
    parser.add_argument("--columns", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for size in options.sizes:
        width, depth = map(int, size.split("x"))
        print(f"\n{depth} blocks, D = {width}, {BATCH} texts of {options.tokens} tokens; milliseconds per step")
        print("columns   plain  recomputed  memory  folder  first look | recomputed/memory  memory/plain  folder/plain")
        for columns in options.columns:
            with tempfile.TemporaryDirectory() as folder:
                found = measure(columns, width, depth, options.tokens, options.rounds, folder)
            ms = {way: 1000 * statistics.median(values) for way, values in found.items()}
            print(f"{columns:7d} {ms['plain']:7.1f} {ms['recomputed']:11.1f} {ms['memory']:7.1f} {ms['folder']:7.1f} "
                  f"{ms['first look']:11.1f} | {ratio(found, 'recomputed', 'memory'):17.2f} "
                  f"{ratio(found, 'memory', 'plain'):13.2f} {ratio(found, 'folder', 'plain'):13.2f}"
                  f"{'   <- targets 1.8 and 1.25' if columns == 4 else ''}", flush=True)


if __name__ == "__main__":
    main()
