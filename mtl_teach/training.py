"""The training loop: mixed batches, one optimizer, checkpoints that survive anything.

    total = sum over tasks of weight x mean loss over the task's own rows  +  model.penalty()

The weights come from a weighting (balancing/weightings.py); a gradient method (balancing/gradients.py) may turn the tasks'
gradients into another direction than their sum.

Devices, several processes and mixed precision are accelerate's. `accelerate launch --multi_gpu script.py` on GPUs,
or `torchrun --nproc-per-node 2 script.py` on a CPU, trains the same thing with the same batches.
"""

from __future__ import annotations

import math

import torch

from .balancing import as_gradients, as_weighting, check_balance, check_processes
from .balancing.passes import MixedPass, TaskPasses
from .batching import MixedBatches
from .history import History, TrainingError
from .launch import Forward, accelerate_for, bar_of
from .tasks import TaskError, TaskSet, nearest

PRECISIONS = ("fp32", "bf16", "fp16")


def fit(model, tasks: TaskSet, *, steps: int = 300, batch_size: int = 32, lr: float = 1e-3, sampler: str = "proportional",
        temperature: float = 2.0, cap: int | None = None, weighting="equal", gradients=None,
        loss_weights: dict[str, float] | None = None, warmup: float = 0.1, clip: float | None = 1.0,
        weight_decay: float = 0.01, bucket: bool = True, precision: str = "fp32", seed: int = 0, checkpoints=None,
        save_every: int = 100, watch=(), progress: bool | None = None) -> History:
    """Train all tasks together for a number of steps and return the losses by task.

    lr            AdamW's peak rate: linear warm-up over the first `warmup` share of the steps, then linear decay
    sampler       how often each task is drawn: "proportional", "uniform", "temperature", "annealed", "round_robin", "joint";
                  temperature and cap are theirs (see MixedBatches and samplers.py)
    weighting     how much each loss counts: "equal", "uncertainty", "dwa", "gradnorm", "famo", "gls", "rlw", {task: weight},
                  or an object such as mt.Uncertainty(rate=0.02)
    gradients     how conflicts in the shared weights are settled: None (their sum), "pcgrad", "gradvac", "mgda", "cagrad",
                  "imtl-g", "aligned-mtl", "nash-mtl", "upgrad", an object such as mt.CAGrad(c=0.2), or an aggregator of
                  torchjd; "sum" changes nothing, by a pass per task
    loss_weights  {task: weight}, 1 where a task is not named: the same as weighting={task: weight}
    clip          largest norm of the gradient; None: no clipping
    precision     "fp32", or "bf16" autocast; "fp16" on a GPU only
    checkpoints   a folder: state is saved there every `save_every` steps, and a later call continues from the
                  newest checkpoint to the same losses, bit for bit on a CPU
    watch         instruments that look at some of the steps and change nothing: mt.GradientWatch(), mt.AffinityWatch(),
                  one or a list of them
    progress      a progress bar; None shows it on a terminal or in a notebook only

    Raises TaskError before anything is changed, TrainingError when a loss is not finite or the disk is full.
    """
    weighting, method = _check(model, tasks, steps, precision, loss_weights, weighting, gradients)
    watches = [watch] if hasattr(watch, "see") else list(watch)
    for each in watches:
        each.begin(model)
    accelerator = accelerate_for(precision)
    check_processes(accelerator, weighting, method)
    batches = MixedBatches(tasks, model.backbone.tokenizer, batch_size, sampler, temperature=temperature, cap=cap,
                           steps=steps, bucket=bucket, seed=seed, max_length=model.backbone.max_length,
                           rank=accelerator.process_index, world=accelerator.num_processes)
    torch.manual_seed(seed)
    epoch = max(1, round(sum(len(data.train) for data in tasks.values()) / batch_size))
    weighting.start(tasks.specs, epoch=epoch, seed=seed, device=accelerator.device)
    if method:
        method.start(tasks, seed=seed)
    run = _Run(model, accelerator, batches, _optimizer(model, lr, weight_decay), steps, warmup, clip, weighting, method)
    run.watches = watches
    store = None
    if checkpoints is not None:
        from .checkpoints import CheckpointStore
        store = CheckpointStore(checkpoints, run, dict(
            steps=steps, batch_size=batch_size, lr=lr, sampler=sampler, temperature=temperature, cap=cap, seed=seed,
            weighting=weighting.settings(), gradients=method and method.settings()))
        store.resume()
    was_training = model.training
    try:
        run.to_the_end(store, save_every, progress)
    finally:
        model.train(was_training)
    return run.history


def _check(model, tasks, steps, precision, loss_weights, weighting, gradients):
    """Refuse what cannot work, before anything is changed; returns the weighting and the gradient method."""
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
    if loss_weights and weighting != "equal":
        raise TaskError(f"loss_weights are fixed weights, weighting={weighting!r} another rule for them: give one of the two.")
    weighting, method = as_weighting(loss_weights or weighting), as_gradients(gradients)
    weighting.start(tasks.specs)                                                    # refuses weights of unknown tasks
    check_balance(model, weighting, method, precision)
    return weighting, method


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


class _Run:
    """One training run: what a step does, and what a checkpoint must hold."""

    def __init__(self, model, accelerator, batches, optimizer, steps, warmup, clip, weighting, method):
        self.accelerator, self.batches, self.steps, self.clip = accelerator, batches, steps, clip
        self.weighting, self.method, self.names = weighting, method, list(weighting.tasks)
        ramp = max(1, round(warmup * steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda i: min((i + 1) / ramp, max(0.0, (steps - i) / max(1, steps - ramp))))
        self.plain, self.optimizer = model, optimizer
        model.to(accelerator.device)
        self.model = accelerator.prepare_model(Forward(model))
        self.optimizer, self.schedule = accelerator.prepare_optimizer(optimizer), schedule
        self.passes = TaskPasses(self) if method else MixedPass(self)
        self.history = History(self.names)
        self.flush_every = 1 if accelerator.device.type == "cpu" else 16       # reading losses from a GPU makes it wait
        self.waiting, self.watches, self.store = [], [], None

    def to_the_end(self, store, save_every, progress):
        import time
        self.model.train()
        with bar_of(self, progress) as bar:
            while len(self.history) + len(self.waiting) < self.steps:
                begin = time.perf_counter()
                self.step(store)
                done = len(self.history) + len(self.waiting)
                if done == self.steps or (store and done % save_every == 0):
                    self.flush()
                self.history.seconds += time.perf_counter() - begin
                if store and (done == self.steps or done % save_every == 0):
                    store.save()
                bar.update(1)
                if bar.disable is False and done % 10 == 0 and self.history.steps:
                    bar.set_postfix({k: f"{v:.3f}" for k, v in self.history.last(10).items()})

    def step(self, store=None):
        self.store = store
        batch, number = next(self.batches), len(self.history) + len(self.waiting) + 1
        self._watch(batch, number)
        losses, penalty = self.passes.losses(batch)                                  # with a gradient method: gradients too
        known = self._known(losses)
        weights = self.weighting(known)
        constant = self.weighting.constant(known) + (penalty.detach() if isinstance(penalty, torch.Tensor) else penalty)
        entry = {"step": number, "lr": self.schedule.get_last_lr()[0]}
        self.waiting.append((known, weights, constant, entry))
        if len(self.waiting) >= self.flush_every:
            self.flush()
        norms = self.passes.norms(known) if self.weighting.asks_norms else None
        mix = self.passes.backward(weights)
        if self.method:
            entry["weights"] = mix                                                   # what became of the weights
        if self.clip:
            self.accelerator.clip_grad_norm_(self.plain.parameters(), self.clip)
        self.optimizer.step()
        self.plain.after_step(self.schedule.get_last_lr()[0])
        self.schedule.step()
        self.optimizer.zero_grad()
        if self.weighting.adaptive:
            self.weighting.learn(known, norms, self._known(self.passes.again()) if self.weighting.asks_after else None)

    def _watch(self, batch, number):
        batch = batch.to(self.accelerator.device) if self.watches else None
        for watch in self.watches:
            watch.see(self.plain, batch, step=number, lr=self.schedule.get_last_lr()[0], autocast=self.accelerator.autocast)

    def _known(self, losses):
        """Detached; where weights depend on them, of the rows of all processes together."""
        losses = {name: loss.detach() for name, loss in losses.items()}
        return self._over_processes(losses) if self.weighting.adaptive else losses

    def flush(self):
        """Move the waiting losses into the history; stop if one of them is not a finite number."""
        for known, weights, constant, entry in self.waiting:
            known = self._over_processes(known)
            losses = _numbers(known)
            weights = _numbers(weights if self.weighting.adaptive else self.weighting(known))
            total = sum(weights[name] * loss for name, loss in losses.items()) + float(constant)
            wrong = [name for name, x in losses.items() if not math.isfinite(x)]
            self.stop_if_not_finite(wrong if wrong or math.isfinite(total) else ["the total"], "loss", entry["step"])
            entry.update({"total": total, **losses})
            entry.setdefault("weights", weights)
            self.history.steps.append(entry)
        self.waiting = []

    def _over_processes(self, losses):
        """Processes hold shares of one batch: the mean of their losses is the loss of the whole batch."""
        if self.accelerator.num_processes == 1:
            return losses
        row = next(iter(losses.values())).new_zeros(2, len(self.names), dtype=torch.float32)
        for name, value in losses.items():
            row[:, self.names.index(name)] = torch.stack([value.float(), row.new_ones(())])
        row = self.accelerator.reduce(row, "mean")
        there = (row[1] > 0).tolist()
        return {name: loss for name, loss, present in zip(self.names, row[0], there) if present}

    def stop_if_not_finite(self, wrong, what, step=None):
        """TrainingError that names the tasks, if there are any."""
        if not wrong:
            return
        step = step or len(self.history)
        newest = self.store.newest() if self.store else None
        kept = f"The last good checkpoint is {newest}." if newest else "No checkpoint was kept; see fit(checkpoints=...)."
        raise TrainingError(f"step {step}: the {what} of {', '.join(map(repr, wrong))} is not finite. Likely "
                            f"causes: a learning rate that is too high, or labels out of range. The step was not taken. {kept}")


def _numbers(values):
    """{task: number or scalar} -> {task: number}, in one transfer from the device."""
    if not any(isinstance(value, torch.Tensor) for value in values.values()):
        return dict(values)
    return dict(zip(values, torch.stack([value.float() for value in values.values()]).tolist()))
