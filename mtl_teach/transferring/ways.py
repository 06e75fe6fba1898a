"""The ways of transfer that train by gradient steps. Each takes the model that `start.moved` made, and trains it.

    way(model, tasks, replay, *, seed, knobs..., **what fit takes)  ->  the trained model

Only heads of tasks in training learn; old heads wait unchanged. When a way is done, nothing stays frozen.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch

from ..tasks import TaskError, TaskSet, nearest
from ..training import History, fit
from .adapted import PeftSharing
from .start import layers


def fine_tune(model, tasks, replay, *, seed: int = 0, freeze: int = 0, layer_decay: float = 1.0, **options):
    """Train the body with the new heads.

    freeze       the number of layers that stay as they are, counted from the bottom: 1 the embeddings, 2 also the first
                 block, ...; all L + 1 of them is a frozen body
    layer_decay  discriminative rates (Howard & Ruder 2018, section 3.2): each layer's rate is that of the layer above
                 times this; they take 1/2.6. Layers with a rate of their own are not decayed towards zero
    """
    body = _all_layers(model, freeze, layer_decay)
    return _train(model, tasks, replay, body[freeze:], layer_decay, seed=seed, **options)


def gradual(model, tasks, replay, *, seed: int = 0, stages: int | None = None, layer_decay: float = 1.0, steps: int = 300,
            checkpoints=None, **options):
    """Gradual unfreezing (Howard & Ruder 2018, section 3.3): the heads first, then one layer more at each stage.

    stages  None: one for the heads and one for each layer, L + 2 in all; fewer: several layers at a stage
    steps   in all, dealt out evenly; each stage warms up and comes to rest, as a `fit` of its own
    """
    body = _all_layers(model, 0, layer_decay)
    stages = len(body) + 1 if stages is None else stages
    if not 1 <= stages <= len(body) + 1:
        raise TaskError(f"stages={stages}, but heads and layers are {len(body) + 1}; give a number from 1 to that.")
    if steps < stages:
        raise TaskError(f"steps={steps} are fewer than the {stages} stages; each stage needs at least one.")
    history = History([*tasks, *replay])
    for stage in range(stages):
        open_layers = round((stage + 1) * (len(body) + 1) / stages) - 1
        share = steps * (stage + 1) // stages - steps * stage // stages
        folder = None if checkpoints is None else f"{checkpoints}/{stage:02d}-unfreezing"
        _train(model, tasks, replay, body[len(body) - open_layers:], layer_decay, seed=seed + stage, steps=share,
               checkpoints=folder, **options)
        history.steps += [step | {"step": len(history) + at} for at, step in enumerate(model.history.steps, start=1)]
        history.seconds += model.history.seconds
    model.history = history
    return model


def l2sp(model, tasks, replay, *, seed: int = 0, strength: float = 0.01, head_strength: float = 0.0, apply: str = "loss",
         freeze: int = 0, layer_decay: float = 1.0, weight_decay: float = 0.0, **options):
    """Fine-tuning with a pull towards the start (L2-SP, Li, Grandvalet & Davoine 2018):

        loss + strength/2 · ||w - w0||² over the body + head_strength/2 · ||v||² over the new heads

    w0 are the body's weights before training. It takes the place of weight decay, which pulls towards zero.

    apply  "loss": as written. Adam divides a weight's gradient by its usual size, and the pull with it.
           "step": after each step of the optimizer with rate lr, w <- w0 + (w - w0) / (1 + lr · strength), which Adam does
           not see (decoupled, as in RecAdam, Chen et al. 2020). Useful strengths are hundreds of times larger
    """
    if strength < 0 or head_strength < 0:
        raise TaskError(f"strength={strength} and head_strength={head_strength} must not be negative.")
    if apply not in ("loss", "step"):
        raise TaskError(f"unknown apply={apply!r}.{nearest(apply, ('loss', 'step'))}")
    body = _all_layers(model, freeze, layer_decay)
    heads = [p for name in tasks for p in model.head(name).parameters()]
    pull = Pull([p for layer in body[freeze:] for p in layer], strength, heads, head_strength)
    hooks = {"penalty": pull} if apply == "loss" else {"after_step": pull.step}
    return _train(model, tasks, replay, body[freeze:], layer_decay, hooks, seed=seed, weight_decay=weight_decay, **options)


def lora(model, tasks, replay, *, seed: int = 0, r: int = 8, alpha: float | None = None, targets=None, config=None, **options):
    """Low-rank adaptation (Hu et al. 2022, section 4.1) through peft: y = W x + (alpha / r) B A x, W frozen, B = 0 at first.

    r        the rank; A is (r, inputs), B (outputs, r)
    alpha    None: 2 r
    targets  names of the layers that get a branch, or "all-linear"; None: peft's choice for the architecture
    config   more of peft's LoraConfig: {"use_dora": True}

    The result is a PeftSharing: only the new tasks pass the branches. `merge()` makes it a plain HardSharing.
    """
    alpha = 2 * r if alpha is None else alpha
    return _train_adapted(model, tasks, "lora", {"r": r, "lora_alpha": alpha}, targets, config, seed, options)


def ia3(model, tasks, replay, *, seed: int = 0, targets=None, config=None, **options):
    """(IA)³ (Liu et al. 2022, section 3.3) through peft: keys, values and inner features times a learned vector, 1 at first.

    targets and config as in `lora`; for targets of your own name those of the feed-forward layers in
    config={"feedforward_modules": [...]} too.
    """
    return _train_adapted(model, tasks, "ia3", {}, targets, config, seed, options)


class Pull:
    """strength/2 · ||w - w0||² + head_strength/2 · ||v||²; w0 are the values of `body` when this is made."""

    def __init__(self, body: list, strength: float, heads: list, head_strength: float):
        self.body, self.heads, self.strength, self.head_strength = body, heads, strength, head_strength
        self.start = [p.detach().clone() for p in body]

    def __call__(self) -> torch.Tensor:
        self.start = [w0.to(p.device) for w0, p in zip(self.start, self.body)]            # the same ones, once there
        away = sum((p - w0).square().sum() for p, w0 in zip(self.body, self.start))
        return self.strength / 2 * away + self.head_strength / 2 * sum(p.square().sum() for p in self.heads)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """The proximal step of the same pull at the rate lr: the weights move towards w0 by a fixed share of the way."""
        for p, w0 in zip(self.body, self.start):
            p.copy_(w0.to(p.device).lerp(p, 1 / (1 + lr * self.strength)))
        for p in self.heads:
            p.div_(1 + lr * self.head_strength)


def _all_layers(model, freeze, layer_decay):
    """The body's layers from the bottom, after a look at the knobs."""
    body = layers(model.backbone)
    if not 0 <= freeze <= len(body):
        raise TaskError(f"freeze={freeze}, but the body has {len(body)} layers, the embeddings included.")
    if not 0 < layer_decay <= 1:
        raise TaskError(f"layer_decay={layer_decay} must be above 0 and at most 1 (1: the same rate for all layers).")
    return body


def _train(model, tasks, replay, body, layer_decay, hooks=None, **options):
    """Fit on new and replayed rows; of the body only the given layers learn, the topmost last in the list."""
    rows = TaskSet({**tasks, **replay})
    heads = [p for name in rows for p in model.head(name).parameters()]
    factors = [(layer, layer_decay ** (len(body) - i)) for i, layer in enumerate(body)] if layer_decay < 1 else []
    model.requires_grad_(False)
    for parameter in [*heads, *(p for layer in body for p in layer)]:
        parameter.requires_grad_(True)
    model.trained = max(getattr(model, "trained", 0), sum(p.numel() for p in model.parameters() if p.requires_grad))
    try:
        with _hooked(model, rates=lambda: factors, **(hooks or {})):
            model.history = fit(model, rows, **options)
    finally:
        model.requires_grad_(True)
        model.zero_grad(set_to_none=True)
    return model.eval()


@contextmanager
def _hooked(model, **functions):
    """Let these functions stand in for the model's own `rates`, `penalty` or `after_step` while it trains."""
    for name, function in functions.items():
        setattr(model, name, function)
    try:
        yield
    finally:
        for name in functions:
            delattr(model, name)


def _train_adapted(model, tasks, method, usual, targets, config, seed, options):
    config = usual | ({} if targets is None else {"target_modules": targets}) | (config or {})
    new = PeftSharing(model.backbone, {**model.tasks, **tasks}, adapted=list(tasks), method=method, config=config, seed=seed)
    for name in model.tasks:
        new.head(name).load_state_dict(model.head(name).state_dict())
        new.head(name).requires_grad_(name in tasks)
    new.to(model.device)
    new.trained = sum(p.numel() for p in new.parameters() if p.requires_grad)
    new.history = fit(new, tasks, seed=seed, **options)
    for name in new.tasks:
        new.head(name).requires_grad_(True)
    return new.eval()
