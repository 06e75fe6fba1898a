"""The training loop: mixed batches, one optimizer, checkpoints that survive anything.

    total = sum over tasks of weight x mean loss over the task's own rows  +  model.penalty()

Devices, several processes and mixed precision are accelerate's. `accelerate launch --multi_gpu script.py` on GPUs,
or `torchrun --nproc-per-node 2 script.py` on a CPU, trains the same thing with the same batches.
"""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, field

import torch

from .batching import MixedBatches
from .tasks import TaskError, TaskSet, nearest

PRECISIONS = ("fp32", "bf16", "fp16")


class TrainingError(RuntimeError):
    """Training had to stop; the message says why, and which checkpoint is good."""


@dataclass
class History:
    """What happened at each step: one dictionary per step with "step", "total", "lr" and a loss per task present."""

    tasks: list[str]
    steps: list[dict] = field(default_factory=list)
    seconds: float = 0.0

    def frame(self):
        """A pandas DataFrame indexed by step; NaN where a task was absent from the batch."""
        import pandas as pd
        return pd.DataFrame(self.steps, columns=["step", "total", "lr", *self.tasks]).set_index("step")

    def last(self, window: int = 50) -> dict[str, float]:
        """Each task's mean loss over the last `window` steps."""
        return self.frame()[self.tasks].tail(window).mean().to_dict()

    def __len__(self):
        return len(self.steps)

    def __repr__(self):
        if not self.steps:
            return "History(no steps yet)"
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in self.last().items())
        return f"History({len(self)} steps in {self.seconds:.1f} s; mean loss of the last 50: {losses})"


def fit(model, tasks: TaskSet, *, steps: int = 300, batch_size: int = 32, lr: float = 1e-3, sampler: str = "proportional",
        temperature: float = 2.0, cap: int | None = None, loss_weights: dict[str, float] | None = None, warmup: float = 0.1,
        clip: float | None = 1.0, weight_decay: float = 0.01, bucket: bool = True, precision: str = "fp32", seed: int = 0,
        checkpoints=None, save_every: int = 100, watch=(), progress: bool | None = None) -> History:
    """Train all tasks together for a number of steps and return the losses by task.

    lr            AdamW's peak rate: linear warm-up over the first `warmup` share of the steps, then linear decay
    sampler       how often each task is drawn: "proportional", "uniform", "temperature", "annealed", "round_robin", "joint";
                  temperature and cap are theirs (see MixedBatches and samplers.py)
    loss_weights  {task: weight}; 1 where a task is not named
    clip          largest norm of the gradient; None: no clipping
    precision     "fp32", or "bf16" autocast; "fp16" on a GPU only
    checkpoints   a folder: state is saved there every `save_every` steps, and a later call continues from the
                  newest checkpoint to the same losses, bit for bit on a CPU
    watch         instruments that look at some of the steps and change nothing: mt.GradientWatch(), mt.AffinityWatch(),
                  one or a list of them
    progress      a progress bar; None shows it on a terminal or in a notebook only

    Raises TaskError before anything is changed, TrainingError when a loss is not finite or the disk is full.
    """
    weights = _check(model, tasks, steps, precision, loss_weights)
    watches = [watch] if hasattr(watch, "see") else list(watch)
    for each in watches:
        each.begin(model)
    accelerator = _accelerator(precision)
    batches = MixedBatches(tasks, model.backbone.tokenizer, batch_size, sampler, temperature=temperature, cap=cap,
                           steps=steps, bucket=bucket, seed=seed, max_length=model.backbone.max_length,
                           rank=accelerator.process_index, world=accelerator.num_processes)
    torch.manual_seed(seed)
    run = _Run(model, accelerator, batches, _optimizer(model, lr, weight_decay), steps, warmup, clip, weights, precision)
    run.watches = watches
    store = None
    if checkpoints is not None:
        from .checkpoints import CheckpointStore
        store = CheckpointStore(checkpoints, run, dict(steps=steps, batch_size=batch_size, lr=lr, sampler=sampler, seed=seed))
        store.resume()
    was_training = model.training
    try:
        run.to_the_end(store, save_every, progress)
    finally:
        model.train(was_training)
    return run.history


def _check(model, tasks, steps, precision, loss_weights):
    """Refuse what cannot work, before anything is changed; returns a weight for every task."""
    for name in tasks:
        if name not in model.tasks:
            raise TaskError(f"the model has no head for the task {name!r}.{nearest(name, model.tasks)}")
        if tasks[name].task.labels != model.tasks[name].labels or tasks[name].task.kind != model.tasks[name].kind:
            raise TaskError(f"task {name!r} has other labels than the model was built for: {list(tasks[name].task.labels)[:8]} "
                            f"against {list(model.tasks[name].labels)[:8]}. Build the model from these tasks.")
    model.may_train(list(tasks))
    if steps < 1:
        raise TaskError(f"steps must be at least 1, got {steps}.")
    if precision not in PRECISIONS:
        raise TaskError(f"unknown precision {precision!r}.{nearest(precision, PRECISIONS)}")
    if precision == "fp16" and not torch.cuda.is_available():
        raise TaskError("fp16 needs a GPU: on a CPU its small range turns gradients into zeros and infinities. "
                        "Use 'bf16' or 'fp32'.")
    unknown = [name for name in loss_weights or {} if name not in tasks]
    if unknown:
        raise TaskError(f"loss_weights names an unknown task {unknown[0]!r}.{nearest(unknown[0], tasks)}")
    return {name: 1.0 for name in tasks} | (loss_weights or {})


def _accelerator(precision):
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState
    wanted = {"fp32": "no"}.get(precision, precision)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != wanted:
        AcceleratorState._reset_state()                 # one run's precision must not bind the next one's
    cpu = torch.accelerator.current_accelerator() is None         # without a hint accelerate starts no processes on a CPU
    return Accelerator(mixed_precision=wanted, cpu=cpu,
                       kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])


def _optimizer(model, lr, weight_decay):
    """AdamW; biases and norms are not decayed, nor is what the model wants to learn at a rate of its own."""
    trained = [p for p in model.parameters() if p.requires_grad]
    special = [{"params": [p for p in own if p.requires_grad], "lr": lr * factor, "weight_decay": 0.0}
               for own, factor in model.rates()]
    apart = {id(p) for group in special for p in group["params"]}
    usual = [p for p in trained if id(p) not in apart]
    groups = [{"params": [p for p in usual if p.ndim > 1], "weight_decay": weight_decay},
              {"params": [p for p in usual if p.ndim <= 1], "weight_decay": 0.0}, *special]
    fused = all(p.device.type in ("cpu", "cuda") for p in trained)                  # one kernel for all parameters
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, fused=fused)


class _Forward(torch.nn.Module):
    """A model's outputs and its penalty in one call. DDP watches only weights that are used inside the call it wraps:
    with the penalty outside, it would count a backbone whose task is absent twice, and stop."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, batch):
        return self.model(batch), self.model.penalty()


class _Run:
    """One training run: what a step does, and what a checkpoint must hold."""

    def __init__(self, model, accelerator, batches, optimizer, steps, warmup, clip, weights, precision):
        self.accelerator, self.batches, self.steps, self.clip, self.weights = accelerator, batches, steps, clip, weights
        ramp = max(1, round(warmup * steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda i: min((i + 1) / ramp, max(0.0, (steps - i) / max(1, steps - ramp))))
        self.plain, self.optimizer = model, optimizer
        model.to(accelerator.device)
        self.model = accelerator.prepare_model(_Forward(model))
        self.optimizer, self.schedule = accelerator.prepare_optimizer(optimizer), schedule
        self.history = History(list(weights))
        self.flush_every = 1 if accelerator.device.type == "cpu" else 16       # reading losses from a GPU makes it wait
        self.waiting, self.watches = [], []

    def to_the_end(self, store, save_every, progress):
        import time
        self.model.train()
        with _bar(self, progress) as bar:
            while len(self.history) + len(self.waiting) < self.steps:
                begin = time.perf_counter()
                self.step(store)
                done = len(self.history) + len(self.waiting)
                if done == self.steps or (store and done % save_every == 0):
                    self.flush(store)
                self.history.seconds += time.perf_counter() - begin
                if store and (done == self.steps or done % save_every == 0):
                    store.save()
                bar.update(1)
                if bar.disable is False and done % 10 == 0 and self.history.steps:
                    bar.set_postfix({k: f"{v:.3f}" for k, v in self.history.last(10).items()})

    def step(self, store):
        batch = next(self.batches).to(self.accelerator.device)
        for watch in self.watches:
            watch.see(self.plain, batch, step=len(self.history) + len(self.waiting) + 1, lr=self.schedule.get_last_lr()[0],
                      autocast=self.accelerator.autocast)
        with self.accelerator.autocast():
            outputs, penalty = self.model(batch)
            losses = {name: out.loss for name, out in outputs.items()}
            total = sum(self.weights[name] * loss for name, loss in losses.items()) + penalty
        self.waiting.append((list(losses), torch.stack([total.detach(), *(loss.detach() for loss in losses.values())]),
                             self.schedule.get_last_lr()[0]))
        if len(self.waiting) >= self.flush_every:
            self.flush(store)
        self.accelerator.backward(total)
        if self.clip:
            self.accelerator.clip_grad_norm_(self.plain.parameters(), self.clip)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()

    def flush(self, store):
        """Move the waiting losses into the history; stop if one of them is not a finite number."""
        for names, values, lr in self.waiting:
            if self.accelerator.num_processes > 1:
                names, values = self._over_processes(names, values)
            numbers = values.float().tolist()
            wrong = [name for name, x in zip(["the total", *names], numbers) if not math.isfinite(x)]
            if wrong:
                raise TrainingError(self._not_finite(wrong, store))
            self.history.steps.append({"step": len(self.history) + 1, "total": numbers[0], "lr": lr,
                                       **dict(zip(names, numbers[1:]))})
        self.waiting = []

    def _over_processes(self, names, values):
        """Processes hold shares of one batch: the mean of their losses is the loss of the whole batch."""
        every = list(self.weights)
        row = values.new_zeros(2, 1 + len(every))
        row[0, 0] = values[0]
        for name, value in zip(names, values[1:]):
            row[:, 1 + every.index(name)] = torch.stack([value, torch.ones_like(value)])
        row = self.accelerator.reduce(row, "mean")
        present = [i for i, name in enumerate(every) if row[1, 1 + i] > 0]
        return [every[i] for i in present], torch.stack([row[0, 0], *(row[0, 1 + i] for i in present)])

    def _not_finite(self, wrong, store):
        tasks = [name for name in wrong if name != "the total"] or wrong
        newest = store.newest() if store else None
        kept = f"The last good checkpoint is {newest}." if newest else "No checkpoint was kept; see fit(checkpoints=...)."
        return (f"step {len(self.history) + 1}: the loss of {', '.join(map(repr, tasks))} is not finite. Likely causes: "
                f"a learning rate that is too high, or labels out of range. The step was not taken. {kept}")


def _bar(run, progress):
    from tqdm.auto import tqdm
    if progress is None:
        progress = os.isatty(2)
    show = progress and run.accelerator.is_main_process
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                         # tqdm's hint about ipywidgets
        return tqdm(total=run.steps, initial=len(run.history), disable=not show, leave=False, desc="training")
