"""The same API on real text: folders of JSONL, hard sharing, beside the majority and the plain baseline.

    python benchmarks/real_data.py FOLDER [FOLDER ...] [--steps 2000] [--rows 6000] [--cased] [--dropout 0.5] [--backbone new]
    python benchmarks/real_data.py FOLDER --task NAME --labels 100 200 500 2000 --steps 300

--backbone  "new": a small encoder with new weights and a tokenizer trained on the folder's texts; "tiny": the embedded
            model, which knows only Tiny Town and reads other text letter by letter; or a name or folder of a real one
--labels    one task against the number of labels, five seeds: plain baseline, new, and tiny. Each of the two gets the rate
            of the same grid that does best on validation with two other seeds
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial

import mtl_teach as mt

GRID = (1e-3, 3e-3, 6e-3)


def build(backbone, tasks, seed=0, cased=False, dropout=0.0):
    if backbone == "new":
        backbone = mt.new_backbone(tasks, lowercase=not cased, dropout=dropout, seed=seed)
    return mt.HardSharing(backbone, tasks, seed=seed)


def folders(options):
    """Every task of each folder together."""
    for folder in options.folders:
        tasks = mt.load_tasks(folder, train=options.rows, quiet=True)
        model = build(options.backbone, tasks, cased=options.cased, dropout=options.dropout)
        history = mt.fit(model, tasks, steps=options.steps, lr=options.lr)
        print(f"\n{folder}: {options.steps} steps in {history.seconds:.0f} s\n{mt.evaluate(model, tasks)}", flush=True)


def score(seed, folder, task, labels, backbone, lr, steps, split="test"):
    """{"model": metric, "plain": metric} of one task alone; fractions."""
    tasks = mt.load_tasks(folder, [task], train=labels, seed=seed, quiet=True)
    model = build(backbone, tasks, seed)
    mt.fit(model, tasks, steps=steps, lr=lr, seed=seed, progress=False)
    row = mt.evaluate(model, tasks, split, bootstrap=0, baselines=split == "test").table.loc[task]
    return {"model": row["value"], **({"plain": row["plain"], "majority": row["majority"]} if split == "test" else {})}


def against_labels(options):
    for labels in options.labels:
        for backbone in options.backbones:
            run = partial(score, folder=options.folders[0], task=options.task, labels=labels, backbone=backbone,
                          steps=options.steps)
            tries = {lr: mt.over_seeds(partial(run, lr=lr, split="validation"), (100, 101))["model"].mean for lr in GRID}
            lr = max(tries, key=tries.get)
            found = {name: value.percent() for name, value in mt.over_seeds(partial(run, lr=lr), 5).items()}
            print(f"{options.task} {labels:5} labels  {backbone:5} {found['model']} (lr {lr:g})   plain {found['plain']}   "
                  f"majority {found['majority'].mean:.1f}   difference {found['model'] - found['plain']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--backbone", default="new")
    parser.add_argument("--cased", action="store_true", help="new backbones keep capitals")
    parser.add_argument("--dropout", type=float, default=0.0, help="of new backbones")
    parser.add_argument("--task")
    parser.add_argument("--labels", type=int, nargs="+", default=[])
    parser.add_argument("--backbones", nargs="+", default=["new", "tiny"], help="with --labels: which Transformers")
    options = parser.parse_args()
    warnings.simplefilter("ignore" if options.labels else "once")
    against_labels(options) if options.labels else folders(options)


if __name__ == "__main__":
    main()
