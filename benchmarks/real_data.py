"""The same API on real text: folders of JSONL, hard sharing, beside the majority and the plain baseline.

    python benchmarks/real_data.py FOLDER [FOLDER ...] [--steps 400] [--rows 2000] [--backbone tiny]

The embedded model knows only Tiny Town and reads other text letter by letter, so expect it above the majority and
below the plain baseline. Real backbones from the hub are for real text.
"""

from __future__ import annotations

import argparse
import warnings

import mtl_teach as mt


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--backbone", default="tiny")
    options = parser.parse_args()
    warnings.simplefilter("once")
    for folder in options.folders:
        tasks = mt.load_tasks(folder, train=options.rows, quiet=True)
        model = mt.HardSharing(options.backbone, tasks)
        history = mt.fit(model, tasks, steps=options.steps, lr=options.lr)
        print(f"\n{folder}: {options.steps} steps in {history.seconds:.0f} s\n{mt.evaluate(model, tasks)}", flush=True)


if __name__ == "__main__":
    main()
