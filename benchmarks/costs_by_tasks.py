"""What each of the five algorithms costs against the number of tasks, as multiples of one single-task model.

    python benchmarks/costs_by_tasks.py                      1 to 8 tasks, 2 blocks, D = 64
    python benchmarks/costs_by_tasks.py --size 256x4 --rounds 3

parameters   numbers in all weights
training     bytes of weights, gradients and AdamW's two moments. A progressive network trains its last column alone
flops        floating-point operations of a forward pass per text with one question, the mean over the tasks; for a
             progressive network also of its last task, whose text passes all columns
seconds      CPU seconds of one thread per training step on 32 texts, through `fit`. A progressive network takes its
             steps on the last task: "cached" remembers what the frozen columns compute, "recomputed" does not

The last column names the growth: the cost at 8 tasks minus that at 4, over that at 4 minus that at 2. 2 is a straight
line, 4 and more a square, 0 no growth. In seconds, whatever stays the same gives noise over noise: no growth is named.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import torch
from training_loop import backbone, tasks

import mtl_teach as mt
from mtl_teach.activations import ActivationCache
from mtl_teach.batching import MixedBatches

BATCH, TOKENS = 32, 16
PROGRESSIVE = "progressive"
ALGORITHMS = {"single": mt.SingleTask, "hard": mt.HardSharing, "soft": mt.SoftSharing, "attention": mt.AttentionSharing,
              PROGRESSIVE: mt.ProgressiveNetwork}


def build(name: str, rows, size):
    """The model on all tasks of the set; a progressive network stands at its last column."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                          # soft sharing and queries for one task: only to compare
        model = ALGORITHMS[name](backbone(*size), rows)
    if name == PROGRESSIVE:
        for task in list(rows)[:-1]:
            model.column(task).texts += 1
        model.turn_to(list(rows)[-1])
    return model


def sums(model, rows) -> dict[str, float]:
    """Parameters, training bytes and FLOPs per text."""
    batch = next(MixedBatches(rows, model.backbone.tokenizer, BATCH * len(rows), sampler="uniform"))
    found = model.cost(batch)
    total, each = found.loc["all"], found.loc[list(rows), "flops_per_text"]
    return {"parameters": total["parameters"], "training": total["training_bytes"], "flops": each.mean(), "last": each.iloc[-1]}


def seconds_per_step(model, rows, cache=None) -> float:
    """The difference between 20 and 4 steps, so that setting up a run does not count."""
    def run(steps):
        model.cache = cache
        begin = time.process_time()
        mt.fit(model, rows, steps=steps, batch_size=BATCH, sampler="uniform", progress=False)
        return time.process_time() - begin
    return (run(20) - run(4)) / 16


def ways(name: str, rows) -> dict:
    """{way of training: (tasks to train, a cache or None)}"""
    if name != PROGRESSIVE:
        return {name: (rows, None)}
    last = rows.only(list(rows)[-1])
    return {"progressive, recomputed": (last, None), "progressive, cached": (last, ActivationCache())}


def measure(counts, size, rounds) -> tuple[dict, dict]:
    """({quantity: {algorithm: {K: number}}}, {way: {K: median ratio of seconds to one single-task model}})."""
    exact, clock = {"parameters": {}, "training": {}, "flops": {}}, {}
    one = tasks(1, 4 * BATCH, [TOKENS] * (4 * BATCH))
    unit = build("single", one, size)
    for count in counts:
        rows, running = tasks(count, 4 * BATCH, [TOKENS] * (4 * BATCH)), {}
        for name in ALGORITHMS:
            model = build(name, rows, size)
            found = sums(model, rows)
            last = found.pop("last")
            for quantity, value in found.items():
                exact[quantity].setdefault(name, {})[count] = float(value)
            if name == PROGRESSIVE:
                exact["flops"].setdefault("progressive, last task", {})[count] = float(last)
            running |= {way: (model, *how) for way, how in ways(name, rows).items()}
        for model, of, cache in running.values():
            seconds_per_step(model, of, cache)                                              # warm, and the cache is full
        found = {way: [] for way in running}
        for _ in range(rounds):
            plain = seconds_per_step(unit, one)
            for way, (model, of, cache) in running.items():
                found[way].append(seconds_per_step(model, of, cache) / plain)
        for way, values in found.items():
            clock.setdefault(way, {})[count] = statistics.median(values)
        print(f"  {count} tasks measured", flush=True)
    return {q: {name: {k: v / by_name["single"][counts[0]] for k, v in line.items()} for name, line in by_name.items()}
            for q, by_name in exact.items()}, clock


def growth(line: dict) -> str:
    """How the cost grows, from 2, 4 and 8 tasks."""
    if not {2, 4, 8} <= set(line):
        return ""
    early, late = line[4] - line[2], line[8] - line[4]
    return "none" if late < 0.05 else f"{late / early:.1f}" if early > 0.01 else "late"


def table(title: str, lines: dict, counts, grows: bool = True):
    print(f"\n{title:26}" + "".join(f"{f'K = {k}':>8}" for k in counts) + ("   growth (2 a line, 4+ a square)" if grows else ""))
    for name, line in lines.items():
        print(f"{name:26}" + "".join(f"{line[k]:8.2f}" for k in counts) + (f"{growth(line):>9}" if grows else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="64x2", help="width x depth of a backbone")
    parser.add_argument("--tasks", nargs="+", type=int, default=[1, 2, 3, 4, 6, 8])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts, size = options.tasks, tuple(map(int, options.size.split("x")))
    exact, clock = measure(counts, size, options.rounds)
    print(f"\nMultiples of one single-task model: {size[1]} blocks, D = {size[0]}, texts of {TOKENS} tokens")
    table("parameters", exact["parameters"], counts)
    table("bytes while training", exact["training"], counts)
    table("FLOPs per text", exact["flops"], counts)
    table(f"CPU seconds per {BATCH} texts", clock, counts, grows=False)


if __name__ == "__main__":
    main()
