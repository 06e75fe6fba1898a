"""What a reader must know beside the numbers of a comparison: the budget, the tuning, and what the intervals speak of."""

from __future__ import annotations

from .i18n import _


def notes(result) -> list[str]:
    """Sentences about a Comparison, for under its table."""
    budget, scores = result.budget, result.scores
    found = _steps(budget, scores)
    if budget["tuning_seeds"]:
        found.append(_("Settings tried: {trials}, judged on validation rows of the seeds {seeds}.").format(
            trials=_trials(scores), seeds=", ".join(map(str, budget["tuning_seeds"]))))
    if budget["same_rows"]:
        found.append(_("All seeds have the same rows: the intervals speak of training, not of other data."))
    found += _about_delta(result)
    edges = {}
    for name, mine in scores.items():
        if edge := mine.at_edge():
            edges.setdefault(", ".join(edge), []).append(name)
    found += [_("At the edge of the grid in {knob}, where a wider one might do better: {names}.").format(
        knob=knob, names=", ".join(names)) for knob, names in edges.items()]
    return [*found, _("Seconds: of computing, to train one model.")]


def _steps(budget, scores) -> list[str]:
    """For how long each method trained, and over how many seeds."""
    steps, seeds = budget["steps"], len(budget["seeds"])
    totals = {name: round(mine.steps.mean) for name, mine in scores.items() if mine.in_order and mine.steps is not None}
    unknown = any(mine.in_order is None for mine in scores.values())
    if unknown or any(total != steps for total in totals.values()):
        said = _("{steps} steps of {batch} rows for each method that learns all tasks at once")
    elif totals:
        said = _("{steps} steps of {batch} rows in all for each method")
    else:
        said = _("{steps} steps of {batch} rows for each method")
    over = (_("; mean ± half the 95 % interval over {n} seeds.") if seeds > 1 else
            _(". One seed: no interval, so nothing is shown."))
    found = [said.format(steps=steps, batch=budget["batch_size"]) + over.format(n=seeds),
             *(_in_order(name, total, steps) for name, total in totals.items())]
    return [*found, _("A method that learns one task after the other sees each task's rows as often.")] if unknown else found


def _in_order(name: str, total: int, steps: int) -> str:
    """What a method that learns one task after the other did with its steps."""
    if total == steps:
        return _("{name} learns one task after the other: its {n} steps are dealt out to the tasks, each task's rows are seen as "
                 "often.").format(name=name, n=total)
    return _("{name} learns one task after the other, in {n} steps in all: a text of a mixed batch trains several tasks at "
             "once.").format(name=name, n=total)


def _trials(scores):
    counts = {name: len(mine.tried) for name, mine in scores.items()}
    same = len(set(counts.values())) == 1
    return _("{n} by each").format(n=counts[next(iter(counts))]) if same else ", ".join(f"{k} {v}" for k, v in counts.items())


def _about_delta(result):
    if result.baseline is None:
        return []
    try:
        result.delta_m(result.baseline)
    except ValueError as error:
        return [str(error)]
    return [_("Δm: mean relative change against {name} (Maninis et al. 2019, eq. 4); above 0 is better.").format(
        name=result.baseline)]
