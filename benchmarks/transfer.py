"""What a way of transfer costs, beside plain fine-tuning with the same steps.

    python benchmarks/transfer.py [--labels 1000] [--steps 400] [--rounds 3]

All ways take turns within one run; the ratios are medians over the rounds, in CPU seconds of one thread, so that other
programs on the machine matter little. "stepwise probe" trains the head on a frozen body by gradient steps, which pass
the body every time: what the probe's features, computed once, save. Target: probe >= 3 x faster than that (in 40 steps, which
read each text about once, there is nothing to save, and fitting the probe dominates). "pull" adds
nothing to a step but one pass over the weights; target <= 1.25 x fine-tuning.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import mtl_teach as mt

STEPWISE = {"how": "fine-tune", "freeze": 3}                       # the tiny body has embeddings and two blocks
WAYS = {"fine-tune": {"how": "fine-tune"}, "stepwise probe": STEPWISE, "probe": {"how": "probe"},
        "gradual": {"how": "gradual"}, "pull (loss)": {"how": "l2sp"}, "pull (step)": {"how": "l2sp", "apply": "step"},
        "LoRA, usual layers": {"how": "lora"}, "LoRA, all layers": {"how": "lora", "targets": "all-linear"}}


def seconds(source, tasks, how, steps, **options) -> tuple[float, int]:
    """CPU seconds of one transfer, and how many parameters it trains."""
    if how != "probe":
        options |= dict(steps=steps, lr=1e-3, progress=False)
    begin = time.process_time()
    model = mt.transfer(source, tasks, how, **options)
    return time.process_time() - begin, model.trained


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tasks = mt.load_tasks("town", ["mood", "returns"], train=options.labels, validation=0, test=0, seed=0)
    source, new = mt.HardSharing("tiny", tasks.only("returns")), tasks.only("mood")
    found = {way: [] for way in WAYS}
    for round_number in range(options.rounds + 1):                 # the first round warms up
        for way, chosen in WAYS.items():
            taken = seconds(source, new, steps=options.steps, **chosen)
            found[way] += [taken] if round_number else []
    print(f"{options.labels} labels, {options.steps} steps of 32 texts; medians of {options.rounds} rounds")
    print(f"{'way':20} {'trained':>9} {'CPU s':>7} {'/ fine-tune':>12}")
    for way, runs in found.items():
        ratio = statistics.median(mine / plain for (mine, _), (plain, _) in zip(runs, found["fine-tune"]))
        print(f"{way:20} {runs[0][1]:9,d} {statistics.median(s for s, _ in runs):7.2f} {ratio:12.2f}")
    gain = statistics.median(slow / fast for (slow, _), (fast, _) in zip(found["stepwise probe"], found["probe"]))
    print(f"probe against its stepwise form: {gain:.1f} x faster (target 3)")


if __name__ == "__main__":
    main()
