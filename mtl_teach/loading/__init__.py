"""`load_tasks`: from a folder, the hub or the embedded town to a `TaskSet`.

    files.py     which files there are, and the rows in them with their line numbers
    hub.py       the same from the Hugging Face hub
    columns.py   which columns are input, which are targets, of which kind
    rows.py      checked rows and labels, kind by kind
    labels.py    the names in labels and their order
    splits.py    rows set aside for missing splits, shuffling, sizes
    sets.py      one data set from beginning to end
"""

from __future__ import annotations

import os

from ..tasks import SPLITS, TaskError, TaskSet, nearest
from .sets import DataSet, Wishes, data_sets, load_set
from .splits import check_sizes

__all__ = ["load_tasks"]


def load_tasks(source, names=None, *, train=None, validation=None, test=None, seed: int = 0, kinds=None, fields=None,
               unknown_labels: str = "error", quiet: bool = False, **dials) -> TaskSet:
    """Load tasks from the town, from your files or from the hub.

    source          "town": Tiny Town; a folder: one data set (train.jsonl, .csv, .tsv or .json, with validation and
                    test files if there are any) or a folder of such folders; one file; "hub:owner/name[/config]";
                    a list of these; or {name: source}, which gives a data set another name
    names           which tasks, or data sets, to load; None: all. A data set with one target gives a task of its own
                    name ("movies"), one with several gives "sick_label", "sick_score"
    train, validation, test
                    how many rows: a number is a limit for every task; {"topic": 100} asks for exactly so many of one
                    task and refuses if there are fewer. Rows are shuffled once, by the seed: 100 rows are the first
                    100 of 1,000, and tasks on the same rows get the same ones
    seed            decides the shuffling and, where a split is missing, which rows are set aside for it
    kinds           {"stars": "classify"}: the kind of a column or task, where the guess is wrong or there was none
    fields          {"text": "Review"}: which column is text, text_b, tokens, label, ...; for one data set of several
                    {"imdb": {"text": "Review"}}
    unknown_labels  what happens to validation and test rows with labels that training lacks: "error" or "drop"
    quiet           do not print the notes
    dials           for the town only: noise, related, conflict, lexicon, ...

    What was decided on the way (rows set aside, columns left aside) is printed and kept as `notes` of the result.
    Bad data is a TaskError with file, line and remedy.
    """
    wishes = Wishes([names] if isinstance(names, str) else None if names is None else list(names),
                    check_sizes({"train": train, "validation": validation, "test": test}),
                    seed, dict(kinds or {}), dict(fields or {}), unknown_labels)
    sources = _sources(source)
    _check_wishes(wishes, dials, town="town" in sources.values())
    notes = []
    town = _load_town(wishes, dials, alone=len(sources) == 1) if "town" in sources.values() else TaskSet()
    sets = [each for name, place in sources.items() if place != "town" for each in _data_sets(place, name)]
    found = _load_sets(sets, wishes, town, notes)
    tasks = TaskSet(_in_order(town | found, wishes.names, town))
    tasks.notes = notes
    if notes and not quiet:
        print("\n".join(f"note: {note}" for note in notes))
    return tasks


def _sources(source) -> dict:
    """{name or position: place}; a position is a number and gives the data set no name."""
    if isinstance(source, dict):
        named = dict(source)
    else:
        named = dict(enumerate(source if isinstance(source, (list, tuple)) else [source]))
    wrong = [place for place in named.values() if not isinstance(place, (str, os.PathLike)) or not str(place).strip()]
    if wrong or not named:
        raise TaskError(f"load_tasks cannot use {wrong[0] if wrong else source!r}: expected 'town', a folder, a file, "
                        "'hub:owner/name', a list of these, or {name: source}.")
    return {name: str(place) for name, place in named.items()}


def _check_wishes(wishes: Wishes, dials: dict, town: bool) -> None:
    if wishes.unknown_labels not in ("error", "drop"):
        raise TaskError(f"unknown_labels={wishes.unknown_labels!r}: expected 'error' or 'drop'.")
    if dials and not town:
        arguments = load_tasks.__kwdefaults__
        raise TaskError(f"unknown argument {next(iter(dials))!r}; dials such as noise= belong to the source 'town'."
                        f"{nearest(next(iter(dials)), ['names', *arguments])}")


def _data_sets(place: str, name) -> list[DataSet]:
    return data_sets(place, name if isinstance(name, str) else None)


def _load_town(wishes: Wishes, dials: dict, alone: bool) -> TaskSet:
    """The town's part of the wishes; next to other sources it takes only the names that it knows."""
    from .. import town
    if alone and (wishes.kinds or wishes.fields):
        raise TaskError("kinds= and fields= describe data of your own; the tasks of the town are fixed.")

    def mine(names):
        return [name for name in names if alone or name in town.TASKS or name == "town"]
    names = wishes.names if wishes.names is None or alone else mine(wishes.names)
    if names == []:
        return TaskSet()
    sizes = {split: {name: size[name] for name in mine(size)} if isinstance(size, dict) else size
             for split, size in wishes.sizes.items()}
    sizes = {split: size for split, size in sizes.items() if size not in (None, {})}
    return town.town_tasks(None if names == ["town"] else names, seed=wishes.seed, **sizes, **dials)


def _load_sets(sets: list[DataSet], wishes: Wishes, town: TaskSet, notes: list[str]) -> dict:
    """The wished-for tasks of all data sets. A data set that can hold none of them is not even read."""
    if not sets:
        return {}
    for name in wishes.names or ():
        if name not in town and not (town and name == "town") and not any(each.may_hold(name) for each in sets):
            known = [*town, *(each.name for each in sets)]
            raise TaskError(f"unknown task or data set {name!r}.{nearest(name, known)} "
                            "A data set with several targets has tasks such as 'sick_label', data set and column.")
    found, used = {}, set()
    for each in sets:
        if wishes.names is not None and not any(map(each.may_hold, wishes.names)):
            continue
        tasks, keys = load_set(each, wishes, notes)
        twice = next((name for name in tasks if name in found or name in town), None)
        if twice:
            raise TaskError(f"two tasks are called {twice!r}. Give one data set another name: {{'name': source}}.")
        found |= tasks
        used |= keys
    _check_known(wishes, sets, found, used, town)
    return {name: data for name, data in found.items() if data is not None}


def _in_order(found: dict, names, town: TaskSet) -> dict:
    """The tasks in the order of `names`; a data set's name stands for all its tasks."""
    asked = [task for name in names or () for task in found
             if task == name or (task in town if name == "town" else task.startswith(f"{name}_"))]
    return {task: found[task] for task in [*dict.fromkeys(asked), *(task for task in found if task not in asked)]}


def _check_known(wishes: Wishes, sets: list[DataSet], found: dict, used: set, town: TaskSet) -> None:
    """Refuse names, kinds and sizes for tasks that there are not."""
    names = [*(each.name for each in sets), *(["town"] if town else [])]
    columns = [column for column in wishes.fields.values() if isinstance(column, str)]
    known = {"task": (wishes.names or (), [*found, *names, *town]),
             "column or task in kinds=": (wishes.kinds, [*used, *found]),
             "column in fields=": (columns, wishes.columns)}
    for split in SPLITS:
        size = wishes.sizes[split]
        known[f"task in {split}="] = (size if isinstance(size, dict) else (), [*found, *town])
    for what, (given, there) in known.items():
        for name in given:
            if name not in there:
                raise TaskError(f"unknown {what} {name!r}.{nearest(name, there)}")
