"""What balancing costs: a step with a gradient method or a weighting against a step with equal weights.

    python benchmarks/balancing.py                              # about ten minutes on an idle core; --quick: three
    python benchmarks/balancing.py aggregation engines          # parts of it: aggregation, engines, methods, tasks_curve

A step is all that `fit` does: the next batch, forward, backward, clipping, AdamW. Numbers are CPU seconds of one thread (the
median over steps, the ways measured in turn), so that other work on the machine matters little. Beside ours:
torchjd's engine (`mtl_backward` from one mixed forward pass, then `jac_to_grad`), where torchjd is installed.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from functools import partial
from importlib.util import find_spec

import torch
from training_loop import backbone, tasks

import mtl_teach as mt
from mtl_teach.balancing import GRADIENTS, WEIGHTINGS, as_gradients
from mtl_teach.batching import MixedBatches
from mtl_teach.training import _optimizer

QUICK = "--quick" in sys.argv
ROUNDS, STEPS = (2, 6) if QUICK else (5, 10)


class Clock:
    """An instrument that notes when each step begins."""

    def begin(self, model):
        self.at = []

    def see(self, *args, **options):
        self.at.append(time.process_time())


def step_seconds(data, size, rows, **options) -> float:
    """Median CPU seconds of a step of fit; the first two steps warm up."""
    clock = Clock()
    mt.fit(mt.HardSharing(backbone(*size), data), data, steps=STEPS + 3, batch_size=rows, sampler="uniform", watch=clock,
           progress=False, **options)
    return statistics.median(b - a for a, b in zip(clock.at[2:], clock.at[3:]))


def torchjd_seconds(data, size, rows, chunk=None) -> float:
    """The same step by torchjd's engine: losses in a list, their Jacobian, and PCGrad.

    chunk: how many tasks' backward passes it batches with vmap; None: all, its default; 1: one after the other
    """
    from torchjd.aggregation import PCGrad
    from torchjd.autojac import jac_to_grad, mtl_backward
    model = mt.HardSharing(backbone(*size), data).train()
    batches = MixedBatches(data, model.backbone.tokenizer, rows, "uniform")
    optimizer, shared, at = _optimizer(model, 1e-3, 0.01), model.shared_parameters(), []
    for _ in range(STEPS + 3):
        at.append(time.process_time())
        batch = next(batches)
        hidden = model.backbone(batch.input_ids, batch.attention_mask)
        pooled = model.backbone.pool(hidden, batch.attention_mask)
        losses = [model.apply_head(name, None, pooled.index_select(0, own), batch).loss for name, own in batch.rows.items()]
        mtl_backward(losses, features=pooled, shared_params=shared,
                     tasks_params=[model.task_parameters(name) for name in batch.rows], parallel_chunk_size=chunk)
        jac_to_grad(shared, PCGrad())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return statistics.median(b - a for a, b in zip(at[2:], at[3:]))


def ratios(ways: dict, baseline="equal weights") -> dict[str, list[float]]:
    """Every way in turn, round after round; each round's seconds over the baseline's."""
    rounds = [{name: way() for name, way in ways.items()} for _ in range(ROUNDS)]
    found = {name: [one[name] / one[baseline] for one in rounds] for name in ways}
    return found | {"ms": [one[baseline] * 1e3 for one in rounds]}


def show(title, found, target):
    print(f"{title}: equal weights take {statistics.median(found.pop('ms')):.1f} ms a step (target: {target})")
    for name, every in found.items():
        if name != "equal weights":
            print(f"    {name:36s} {statistics.median(every):5.2f} x   (rounds {min(every):.2f} to {max(every):.2f})", flush=True)


def engines():
    """One pass per task against one mixed pass, as the work per pass grows."""
    cases = [((64, 2), 12, 8), ((64, 2), 12, 32), ((128, 4), 24, 32), ((256, 4), 24, 32)]
    for size, words, each in cases[1:3] if QUICK else cases:
        data = tasks(4, 200, [words] * 200)
        ours = partial(step_seconds, data, size, 4 * each)
        ways = {"equal weights": ours, "a pass per task, no method": partial(ours, gradients="sum"),
                "PCGrad": partial(ours, gradients="pcgrad"), "UPGrad": partial(ours, gradients="upgrad")}
        if find_spec("torchjd"):
            ways["torchjd's engine, PCGrad"] = partial(torchjd_seconds, data, size, 4 * each)
            ways["torchjd, one task at a time"] = partial(torchjd_seconds, data, size, 4 * each, chunk=1)
        else:
            print("(torchjd is not installed: pip install torchjd)")
        show(f"4 tasks x {each} rows of {words} words, D = {size[0]}, {size[1]} layers", ratios(ways), "<= 1.15")


def methods():
    """Every method and every weighting at one size."""
    data = tasks(4, 200, [24] * 200)
    ours = partial(step_seconds, data, (128, 4), 128)
    ways = {"equal weights": ours} | {f"gradients={name!r}": partial(ours, gradients=name) for name in GRADIENTS}
    ways |= {f"weighting={name!r}": partial(ours, weighting=name) for name in WEIGHTINGS if name != "equal"}
    show("All, 4 tasks x 32 rows of 24 words, D = 128, 4 layers", ratios(ways), "gradients <= 1.15; famo: a second forward pass")


def tasks_curve():
    """128 rows a step however many tasks: the ratio to equal weights as K grows."""
    print("Cost against K, 128 rows of 24 words a step, D = 128, 4 layers (PCGrad / equal weights):")
    for count in (1, 2, 4, 8) if QUICK else (1, 2, 4, 8, 16):
        data = tasks(count, 100, [24] * 100)
        pairs = [step_seconds(data, (128, 4), 128, gradients="pcgrad") / step_seconds(data, (128, 4), 128) for _ in range(ROUNDS)]
        print(f"    K = {count:2d}: {128 // count:3d} rows per task, {statistics.median(pairs):.2f} x", flush=True)


def aggregation():
    """Milliseconds from Gramian to weights, without the gradients: independent of the model's size."""
    print("From the Gramian to the weights, ms of one thread (target for K = 8: <= 1)")
    print(f"    {'K':14s}" + "".join(f"{count:8d}" for count in (2, 4, 8, 16, 32)))
    for name in GRADIENTS:
        cells = []
        for count in (2, 4, 8, 16, 32):
            grads = torch.randn(count, 1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            gram, method = grads @ grads.T, as_gradients(name)
            method.weights(gram)
            begin = time.process_time()
            for _ in range(50):
                method.weights(gram)
            cells.append((time.process_time() - begin) / 50 * 1e3)
        print(f"    {name:14s}" + "".join(f"{cell:8.3f}" for cell in cells), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="There is a performance drop")          # vmap over attention's backward pass
    for part in (aggregation, engines, methods, tasks_curve):
        if part.__name__ in sys.argv[1:] or not [word for word in sys.argv[1:] if word != "--quick"]:
            part()
