"""Take a trained body to a new task.

    old = mt.HardSharing("tiny", tasks);  mt.fit(old, tasks)
    new = mt.transfer(old, fresh, how="fine-tune", steps=200)       # old itself is never changed

    how          what learns                                        knobs of its own
    probe        the new head, on features computed once            l2
    fine-tune    everything, or all above the lowest layers         freeze, layer_decay
    gradual      the head first, then layer by layer downwards      stages, layer_decay
    l2sp         everything, pulled back to where it started        strength, head_strength, freeze, layer_decay
    lora         low-rank branches beside a frozen body             r, alpha, targets, config
    ia3          a factor per feature beside a frozen body          targets, config

Each way is described in ways.py (probe.py for the probe). All but the probe take whatever `fit` takes besides.
"""

from __future__ import annotations

import inspect

from ..evaluation import evaluate
from ..sharing.base import SharingModel
from ..tasks import TaskData, TaskError, TaskSet, nearest
from ..training import fit
from .adapted import PeftSharing
from .probe import probe
from .start import check_replay, moved
from .ways import fine_tune, gradual, ia3, l2sp, lora

__all__ = ["PeftSharing", "WAYS", "few_shot", "transfer"]

WAYS = {"probe": probe, "fine-tune": fine_tune, "gradual": gradual, "l2sp": l2sp, "lora": lora, "ia3": ia3}
REHEARSE = ("fine-tune", "gradual", "l2sp")
FIT_OPTIONS = [name for name in inspect.signature(fit).parameters if name not in ("model", "tasks")]


def transfer(source, tasks, how: str = "fine-tune", *, body: str | None = None, replay: TaskSet | None = None, seed: int = 0,
             **options) -> SharingModel:
    """A model for new tasks that starts from the body of a trained one, trained on the new tasks' rows.

    source   a HardSharing, SingleTask or SoftSharing model; or whatever `load_backbone` takes, e.g. "tiny"
    tasks    a TaskSet (or TaskData) of tasks that the source does not have
    how      a key of WAYS; the table at the top says what each of them trains
    body     the task whose body moves on, where the source has a body for each task
    replay   old tasks with the rows to rehearse: old_tasks.limit(returns=50). They are mixed into the batches as
             `sampler` says, and their heads learn too (fine-tune, gradual and l2sp only)
    options  knobs of the way, and whatever `fit` takes: steps, lr, batch_size ...

    The result answers the old tasks as well, with their old heads on its own body: `evaluate` shows what was forgotten.
    Its `history` holds the losses, `trained` says how many parameters were trained. It can be saved and loaded like any
    sharing model. Bad input is a TaskError before anything is computed; the source is never changed.
    """
    if how not in WAYS:
        raise TaskError(f"unknown way of transfer how={how!r}.{nearest(how, WAYS)}")
    _check_options(how, options)
    tasks = TaskSet({tasks.task.name: tasks}) if isinstance(tasks, TaskData) else tasks
    if not isinstance(tasks, TaskSet) or not tasks:
        raise TaskError('transfer needs the new tasks with their rows: mt.load_tasks(...), e.g. tasks.only("mood").')
    empty = [name for name, data in tasks.items() if not data.train]
    if empty:
        raise TaskError(f"the new task {empty[0]!r} has no training rows.")
    if replay is not None:
        if how not in REHEARSE:
            raise TaskError(f"how={how!r} leaves the body as it is and forgets nothing; replay goes with {', '.join(REHEARSE)}.")
        check_replay(source, replay, tasks, body)
    return WAYS[how](moved(source, tasks, body, seed), tasks, replay or TaskSet(), seed=seed, **options)


def _check_options(how, options):
    own = [name for name, p in inspect.signature(WAYS[how]).parameters.items() if p.kind is p.KEYWORD_ONLY]
    known = own if how == "probe" else own + FIT_OPTIONS
    for name in options:
        if name not in known:
            raise TaskError(f"how={how!r} knows no option {name!r}.{nearest(name, known)}")


def few_shot(source, tasks: TaskSet, labels=(10, 100, 1000), how: str = "fine-tune", *, split: str = "test",
             **options) -> dict[int, float]:
    """How good the new task gets as its labels grow: {number of labels: its metric on `split`, a fraction}.

    tasks   one new task; its first n training rows are used for n labels
    Every number of labels gets the same budget (`steps`, `lr` ...), so raise steps until the largest is learned.
    """
    name = next(iter(tasks), None)
    if len(tasks) != 1 or not labels:
        raise TaskError(f"few_shot draws the curve of one task over some numbers of labels; got {list(tasks)} and {labels!r}.")
    short = [n for n in labels if not 1 <= n <= len(tasks[name].train)]
    if short:
        raise TaskError(f"few_shot: {short[0]} labels are asked for, but {name!r} has {len(tasks[name].train)} training rows.")
    curve = {}
    for n in labels:
        model = transfer(source, tasks.limit(**{name: n}), how, **options)
        curve[n] = evaluate(model, tasks, split, baselines=False, bootstrap=0).value(name)
    return curve
