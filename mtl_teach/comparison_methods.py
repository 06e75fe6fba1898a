"""What `compare` compares: methods with names, the settings each of them tries, and whether all of it can work."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from functools import partial
from itertools import product

from .comparison_runs import shares
from .sharing.base import SharingModel
from .tasks import TaskError, TaskSet, nearest
from .training import fit

TUNABLE = {"lr", "warmup", "clip", "weight_decay", "loss_weights", "weighting", "gradients", "sampler", "temperature", "cap"}
TRAINING = set(inspect.signature(fit).parameters) - {"model", "tasks", "steps", "seed", "checkpoints", "save_every", "watch",
                                                     "progress"}
MODEL = {"pretrained"}


@dataclass(frozen=True)
class Method:
    """One competitor.

    algorithm  a class such as mt.SoftSharing
    knobs      its options, such as {"strength": 0.1}
    grid       {knob or training option: values to try}, instead of the grid of all
    in_order   learn one task after another; None: as the algorithm asks
    order      names of the tasks in the order in which they are learned; None: the order of the tasks
    backbone   one of its own, for a control of equal size; None: that of all
    """

    algorithm: type
    knobs: dict = field(default_factory=dict)
    grid: dict | None = None
    in_order: bool | None = None
    order: tuple[str, ...] | None = None
    backbone: object = None

    def sequence(self, tasks: TaskSet) -> tuple[str, ...] | None:
        """The order in which tasks are learned; None if all at once."""
        one_by_one = getattr(self.algorithm, "in_order", False) if self.in_order is None else self.in_order
        return tuple(self.order or tasks) if one_by_one else None


def settings(grid: dict) -> list[dict]:
    """Every combination of a grid's values, the first name varying slowest."""
    values = [list(v) if isinstance(v, (list, tuple)) else [v] for v in grid.values()]
    wrong = [key for key, value in zip(grid, values) if not value]
    if wrong:
        raise TaskError(f"the grid has no value for {wrong[0]!r}; give one or more, e.g. {{'lr': (1e-3, 3e-3)}}.")
    return [dict(zip(grid, each)) for each in product(*values)]


def named_methods(methods) -> dict[str, Method]:
    """{name: Method} from what `compare` takes; the name of a class in a list is its own."""
    pairs = list(methods.items()) if isinstance(methods, dict) else [(_name_of(each), each) for each in methods]
    if not pairs:
        raise TaskError("nothing to compare: give methods, e.g. [mt.SingleTask, mt.HardSharing].")
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise TaskError(f"two methods are called {twice!r}; name them: {{'weak': (mt.SoftSharing, {{'strength': 0.01}}), ...}}.")
    return {name: _method(name, each) for name, each in pairs}


def _name_of(each):
    each = each.func if isinstance(each, partial) else each[0] if isinstance(each, tuple) and each else each
    each = getattr(each, "algorithm", each)
    return getattr(each, "__name__", str(each))


def _method(name, given) -> Method:
    if isinstance(given, Method):
        found = given
    elif isinstance(given, partial) and not given.args:
        found = Method(given.func, dict(given.keywords))
    elif isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict):
        found = Method(given[0], dict(given[1]))
    else:
        found = Method(given)
    if not (isinstance(found.algorithm, type) and issubclass(found.algorithm, SharingModel)):
        raise TaskError(f"unknown method {name!r}: {found.algorithm!r} is no sharing model. Give a class such as mt.HardSharing, "
                        f"(class, {{knob: value}}), or Method(class, ...).{nearest(str(found.algorithm), _algorithms())}")
    return found


def _algorithms():
    import mtl_teach
    return [name for name, module in mtl_teach._HOME.items() if module.startswith("sharing.") and name != "load_model"]


# ---- what cannot work is refused before anything is trained -----------------------------------------------------------

def split_options(options: dict, grid: dict) -> tuple[dict, dict]:
    """(options of every model, options of every training)"""
    for name in options:
        if name not in TRAINING | MODEL:
            raise TaskError(f"compare has no option {name!r}.{nearest(name, TRAINING | MODEL)} "
                            "A knob of one method goes to it: (mt.SoftSharing, {'strength': 0.1}).")
        if name in grid:
            raise TaskError(f"{name!r} is both fixed and in the grid; give it once.")
    return ({name: value for name, value in options.items() if name in MODEL},
            {name: value for name, value in options.items() if name in TRAINING})


def check_methods(methods: dict[str, Method], trials: dict[str, list[dict]], tasks: TaskSet, uneven: bool) -> None:
    """Equally many trials, knobs that exist, orders that name the tasks."""
    counts = {name: len(tries) for name, tries in trials.items()}
    if len(set(counts.values())) > 1 and not uneven:
        raise TaskError(f"methods would try different numbers of settings: {counts}. Whoever tries more finds more. Give each a "
                        "grid of equal size, Method(mt.SoftSharing, grid={'lr': ..., 'strength': ...}), or say uneven=True.")
    for name, method in methods.items():
        known = knobs_of(method.algorithm)
        for key in [*method.knobs, *(key for setting in trials[name] for key in setting if key not in TUNABLE)]:
            if key in TRAINING | {"steps"}:
                raise TaskError(f"{name}: {key!r} belongs to the budget, which is the same for all; give it to compare itself.")
            if key not in known:
                raise TaskError(f"{name}: {method.algorithm.__name__} has no knob {key!r}.{nearest(key, known | TUNABLE)} "
                                "What only one method has goes into its own grid: Method(..., grid={...}).")
        if method.order and sorted(method.order) != sorted(tasks):
            raise TaskError(f"{name}: order must name each task once, {list(tasks)}; got {list(method.order)}.")


def knobs_of(algorithm: type) -> set[str]:
    """The names of an algorithm's own options."""
    found = set()
    for each in algorithm.__mro__:
        if "__init__" in vars(each) and issubclass(each, SharingModel):
            found |= {name for name, p in inspect.signature(each.__init__).parameters.items() if p.kind is p.KEYWORD_ONLY}
    return found - {"seed", "pretrained"}


def check_tasks(data: dict[int, TaskSet], seeds: list[int], tuned: bool, tune_for: str | None) -> None:
    """Two tasks or more, the same ones for each seed, and rows where they will be needed."""
    first = data[seeds[0]]
    for seed, tasks in data.items():
        if not isinstance(tasks, TaskSet):
            raise TaskError(f"expected a TaskSet, or a function that makes one of a seed; got {type(tasks).__name__}.")
        if len(tasks) < 2:
            raise TaskError(f"sharing needs two tasks or more, got {list(tasks)}. For one task use mt.fit and mt.over_seeds.")
        if tasks.specs != first.specs:
            raise TaskError(f"the tasks of seed {seed} differ from those of seed {seeds[0]}: {list(tasks.values())[:1]}.")
        for split in ("train", *(["test"] if seed in seeds else []), *(["validation"] if tuned else [])):
            empty = [name for name, each in tasks.items() if not len(each.split(split))]
            if empty:
                raise TaskError(f"task {empty[0]!r} has no {split} rows" +
                                (". Settings are chosen there: load some, or give one setting, e.g. lr=1e-3."
                                 if split == "validation" else "."))
    if tune_for is not None and tune_for not in first:
        raise TaskError(f"tune_for={tune_for!r} is none of the tasks.{nearest(tune_for, first)}")


def try_out(name: str, runs) -> None:
    """Build the model of each setting once, untrained; what it refuses is refused here."""
    for run in runs:
        try:
            model = run.model()
            if run.order is None:
                model.may_train(list(run.tasks))
            else:
                shares(run.tasks, run.training)
        except (TaskError, TypeError, ValueError) as error:
            raise TaskError(f"{name} cannot work on these tasks: {error}") from error


def check_baseline(methods: dict[str, Method], baseline) -> str | None:
    """The name of the method that delta-m compares with."""
    from .sharing.single import SingleTask
    if baseline is False:
        return None
    if baseline is not None:
        if baseline not in methods:
            raise TaskError(f"the baseline {baseline!r} is none of the methods.{nearest(baseline, methods)}")
        return baseline
    single = [name for name, method in methods.items() if method.algorithm is SingleTask]
    if len(single) != 1:
        raise TaskError(f"Δm compares with single-task training, and {'no method is' if not single else 'several methods are'} "
                        "SingleTask. Add mt.SingleTask, name one with baseline=..., or leave Δm out with baseline=False.")
    return single[0]


def check_seeds(seeds, tuning_seeds, first_tuning: int) -> tuple[list[int], list[int]]:
    """The seeds themselves; those for tuning are others."""
    seeds = list(range(seeds) if isinstance(seeds, int) else seeds)
    if isinstance(tuning_seeds, int):
        tuning_seeds = [seed for seed in range(first_tuning, first_tuning + tuning_seeds + len(seeds))
                        if seed not in seeds][:tuning_seeds]
    tuning_seeds = list(tuning_seeds)
    if not seeds or not tuning_seeds or len({*seeds, *tuning_seeds}) < len(seeds) + len(tuning_seeds):
        raise TaskError(f"expected one or more different seeds, and others for tuning; got {seeds} and {tuning_seeds}.")
    return seeds, tuning_seeds
