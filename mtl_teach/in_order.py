"""Tasks one after the other, instead of all at once.

For a progressive network this is the way to learn. For any other model it is a chain of fine-tunings, in which
what an earlier task has taught may be lost: the thing to compare with.
"""

from __future__ import annotations

from .samplers import probabilities
from .tasks import TaskError, TaskSet, nearest
from .training import History, fit


def fit_in_order(model, tasks: TaskSet, *, steps: int | dict[str, int] = 300, sampler: str = "proportional",
                 temperature: float = 2.0, cache=None, checkpoints=None, **options) -> History:
    """Train a model on one task of the set after the other, in the set's order; returns all losses as one history.

    steps        in all: each task gets the share that the sampler gives it in `fit`, so both see a task's rows equally
                 often; or {task: steps}
    cache        for progressive networks: True remembers what the frozen columns compute, in memory; a folder: there
    checkpoints  a folder; every task has its own inside it. A later call with the same model and tasks goes on where
                 an interrupted one stopped
    options      whatever else `fit` takes

    A task that a progressive network has no column for yet gets one when its turn comes.
    """
    shares = _shares(tasks, steps, sampler, temperature)
    whole = History(list(tasks))
    for number, name in enumerate(tasks):
        _turn(model, tasks[name], cache)
        folder = None if checkpoints is None else f"{checkpoints}/{number:02d}-{name}"
        history = fit(model, tasks.only(name), steps=shares[name], checkpoints=folder, **options)
        whole.steps += [step | {"step": len(whole) + at} for at, step in enumerate(history.steps, start=1)]
        whole.seconds += history.seconds
    return whole


def _shares(tasks, steps, sampler, temperature):
    """{task: steps}; every task gets at least one."""
    if isinstance(steps, dict):
        missing = [name for name in [*tasks, *steps] if name not in steps or name not in tasks]
        if missing:
            raise TaskError(f"steps must name each task to train; look at {missing[0]!r}.{nearest(missing[0], tasks)}")
        return steps
    sizes = {name: len(data.train) for name, data in tasks.items()}
    shares = probabilities(sizes, "proportional" if sampler == "joint" else sampler, temperature)
    return {name: max(1, round(steps * share)) for name, share in shares.items()}


def _turn(model, data, cache):
    """Make a progressive network ready for the task; other models are ready for any of theirs."""
    if not getattr(model, "in_order", False):
        return
    name = data.task.name
    if name not in model.tasks:
        model.add_task(data)
    elif name != model.current:
        model.turn_to(name)
    if cache and model.before(name):
        from .activations import ActivationCache
        model.cache = ActivationCache(None if cache is True else f"{cache}/{len(model.before(name)):02d}-{name}")
