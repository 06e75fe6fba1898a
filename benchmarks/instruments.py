"""What it costs to leave the instruments on: CPU time of training with a watch over CPU time of the same training without it.

    python benchmarks/instruments.py

One thread. Within one run the time spent in the watch is set against the rest of the run, which other work on the machine
slows down alike; the median over the rounds is printed. Beside it stands what one look costs, in training steps.
"""

from __future__ import annotations

import statistics
import time

import torch
from training_loop import backbone, tasks

import mtl_teach as mt

ROUNDS, LIMIT = 5, 1.05


def timed(kind):
    """A watch that adds up the CPU seconds it takes, at every step."""
    class Timed(kind):
        seconds = 0.0

        def see(self, *given, **named):
            begin = time.process_time()
            super().see(*given, **named)
            self.seconds += time.process_time() - begin
    Timed.__name__ = kind.__name__
    return Timed()


def one_round(width, depth, data, kind):
    """(watched / plain, a look in training steps) over as many steps as lie between two looks, four times."""
    model, watch = mt.HardSharing(backbone(width, depth), data), timed(kind)
    watch.begin(model)
    steps = 4 * watch.pace
    begin = time.process_time()
    mt.fit(model, data, steps=steps, watch=watch, progress=False)
    rest = time.process_time() - begin - watch.seconds
    return 1 + watch.seconds / rest, watch.seconds / 4 / (rest / steps), watch.pace


def main():
    for width, depth, count in ((64, 2, 2), (64, 2, 4), (64, 2, 8), (256, 4, 4)):
        data = tasks(count, 300)
        for kind in (mt.GradientWatch, mt.AffinityWatch):
            found = [one_round(width, depth, data, kind) for _ in range(ROUNDS)]
            ratio, look = (statistics.median(column) for column in list(zip(*found))[:2])
            span = f"{min(f[0] for f in found):.3f} to {max(f[0] for f in found):.3f}"
            print(f"{depth} layers, D = {width}, {count} tasks  {kind.__name__:13} every {found[0][2]:3d}th step  {ratio:.3f}  "
                  f"(target <= {LIMIT}; rounds {span});  a look costs {look:.2f} steps", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
