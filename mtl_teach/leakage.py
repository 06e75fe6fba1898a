"""Leaks between tasks: a text in one task's training that another task is tested on.

Split each task by itself, and a text that several tasks share may be test text for one and training text for another.
The shared body then reads the test text while it trains, and the test measures memory. `check_quality` finds such rows
among many other faults; here are the leaks alone, what they concern, and a TaskSet without them.
"""

from __future__ import annotations

from dataclasses import replace

from .quality import Report, check_quality
from .quality.checks import near_text, whole_text
from .tasks import TaskError, TaskSet

LEAKS = ("leak", "leak between tasks")


def find_leaks(tasks: TaskSet) -> Report:
    """Validation and test rows whose text is trained on, in their own task or in another (see `check_quality`).

    Texts that differ in case, spaces and punctuation alone count as the same. `.rows("leak between tasks", task, "test")`
    are the numbers of the rows, ready for `by_slice`.
    """
    return Report([found for found in check_quality(tasks).findings if found.check in LEAKS])


def without_leaks(tasks: TaskSet) -> TaskSet:
    """The same tasks without training rows whose text is validation or test text of ANY task.

    Validation and test stay as they are, so that results remain comparable. A task whose whole training would go is a
    TaskError: split by text, once for all tasks, before tasks are made.
    """
    if not isinstance(tasks, TaskSet):
        raise TaskError("without_leaks cleans a TaskSet: the result of mt.load_tasks(...).")
    held = {near_text(whole_text(row)) for data in tasks.values() for row in (*data.validation, *data.test)} - {None}
    clean = TaskSet()
    for name, data in tasks.items():
        train = [row for row in data.train if near_text(whole_text(row)) not in held]
        if data.train and not train:
            raise TaskError(f"task {name!r}: all {len(data.train)} training texts are validation or test texts of some task. "
                            "Split the texts once, for all tasks together.")
        clean[name] = replace(data, train=train)
    clean.notes = tasks.notes
    return clean
