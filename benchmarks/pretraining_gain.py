"""What pretraining buys: fine-tuning from the embedded checkpoint and from fresh weights.

    python benchmarks/pretraining_gain.py [--seeds 5] [--labels 50 100 200 500] [--tasks sentiment topic]

Each condition gets the learning rate of the same grid that does best on validation (mean over two seeds that are not
used again); test accuracies are means over the seeds with 95 % t-intervals.
"""

from __future__ import annotations

import argparse
from functools import partial

import mtl_teach as mt

GRID, STEPS, BATCH = (1e-3, 3e-3, 6e-3), 200, 16


def score(seed, task, labels, pretrained, lr, split):
    """The task's metric after fine-tuning; a fraction."""
    tasks = mt.load_tasks("town", [task], train=labels, validation=200, test=500, seed=seed)
    model = mt.HardSharing("tiny", tasks, pretrained=pretrained, seed=seed)
    mt.fit(model, tasks, steps=STEPS, batch_size=BATCH, lr=lr, seed=seed, progress=False)
    return mt.evaluate(model, tasks, split, baselines=False, bootstrap=0).value(task)


def tuned(task, labels, pretrained, seeds):
    """(test score over the seeds, chosen learning rate)"""
    tries = {lr: mt.over_seeds(partial(score, task=task, labels=labels, pretrained=pretrained, lr=lr, split="validation"),
                               (100, 101), jobs=2).mean for lr in GRID}
    lr = max(tries, key=tries.get)
    found = mt.over_seeds(partial(score, task=task, labels=labels, pretrained=pretrained, lr=lr, split="test"), seeds, jobs=2)
    return found.percent(), lr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 100, 200, 500])
    parser.add_argument("--tasks", nargs="+", default=["sentiment"])
    options = parser.parse_args()
    for task in options.tasks:
        for labels in options.labels:
            (ours, rate), (fresh, other) = (tuned(task, labels, pretrained, options.seeds) for pretrained in (True, False))
            print(f"{task:10} {labels:4} labels   checkpoint {ours} (lr {rate:g})   scratch {fresh} (lr {other:g})   "
                  f"gain {ours - fresh}", flush=True)


if __name__ == "__main__":
    main()
