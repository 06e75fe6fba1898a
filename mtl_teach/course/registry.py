"""The exercises of the course: each one a table of facts, found by its id.

A chapter's exercises stand in exercises/ch04.py as a list `EXERCISES`; see exercises/__init__.py for how to write one.
Modules load when an exercise of theirs is first asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path

from ..i18n import _
from ..tasks import nearest

ID = re.compile(r"[0-9A-Za-z]+\.[0-9]+")
FACTS = {"points": (0, 1000), "difficulty": (1, 5), "importance": (1, 5), "minutes": (1, 120)}
WANTS = ("function", "class", "value")
RELEASED = Path(__file__).with_name("released")


class CourseError(ValueError):
    """An exercise that does not exist or breaks the rules, or settings that cannot be used; says what to do."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    id           "04.2": the chapter, a dot, a number
    title        what it is about, in a few words
    answer       the name the learner gives the answer: "mixed_loss"
    wants        "function", "class" or "value"
    points, difficulty (1-5), importance (1-5), minutes
    kind         "write a function", "write a module", "find the bug", "predict", "measure and choose", "design"
    hints        two or three, from a nudge to nearly the solution
    check        check(answer, fresh): raises Wrong, or returns None or one sentence about what it saw
    call         how the answer is called, for messages: "mixed_loss(losses, task_ids)"
    props        {name: factory} of objects that are made on the learner's side (`answer.prop(name, ...)`)
    limit        seconds one call may take
    stub, solution   only for exercises outside the course's notebooks; the others have them from solutions/
    """

    id: str
    title: str
    answer: str
    check: Callable
    hints: tuple[str, ...] = ()
    wants: str = "function"
    points: int = 1
    difficulty: int = 2
    importance: int = 3
    minutes: int = 10
    kind: str = "write a function"
    call: str = ""
    props: dict[str, Callable] = field(default_factory=dict)
    limit: float = 20.0
    stub: str = ""
    solution: str = ""

    def __post_init__(self):
        object.__setattr__(self, "hints", tuple(self.hints))
        problem = _problem(self)
        if problem:
            raise CourseError(f"exercise {self.id!r}: {problem}")

    @property
    def chapter(self) -> str:
        return self.id.split(".")[0]

    @property
    def line(self) -> str:
        """The facts in one line of Markdown, for the learner."""
        text = _("*{kind} · points: {points} · difficulty {difficulty} of 5 · importance {importance} of 5 · {minutes} minutes*")
        return text.format(**{name: getattr(self, name) for name in FACTS}, kind=_(self.kind))

    def given(self) -> str:
        """The cell as the learner gets it."""
        return self.stub or released(self.chapter).get(self.id, {}).get("stub", "")

    def solved(self) -> str:
        """The solution, as Markdown: code and what was measured."""
        return self.solution or released(self.chapter).get(self.id, {}).get("solution", "")


def _problem(exercise: Exercise) -> str | None:
    if not ID.fullmatch(exercise.id):
        return "an id is a chapter, a dot and a number: '04.2'."
    if not exercise.title.strip() or not callable(exercise.check):
        return "it needs a title and a check."
    if not exercise.answer.isidentifier():
        return f"the answer's name {exercise.answer!r} is not a name."
    if exercise.wants not in WANTS:
        return f"wants={exercise.wants!r}.{nearest(exercise.wants, WANTS)}"
    for name, (low, high) in FACTS.items():
        value = getattr(exercise, name)
        if not isinstance(value, int) or not low <= value <= high:
            return f"{name}={value!r}; write a whole number from {low} to {high}."
    return None if 1 <= len(exercise.hints) <= 4 else "write one to four hints."


@dataclass(frozen=True)
class Chapter:
    """number "04", its title, the name of its notebook "04_hard_sharing", its exercises by id."""

    number: str
    title: str
    notebook: str
    exercises: dict[str, Exercise]


@cache
def released(chapter: str) -> dict:
    """{id: {"stub": source, "solution": Markdown}}, written by `mtl-teach release` from the notebook in solutions/."""
    path = RELEASED / f"ch{chapter}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def numbers() -> list[str]:
    """The chapters that have exercises of the course's own."""
    return sorted(path.stem[2:] for path in (Path(__file__).parent / "exercises").glob("ch*.py"))


@cache
def chapter(number: str) -> Chapter:
    known = numbers()
    if number not in known:
        raise CourseError(f"there are no exercises for the chapter {number!r}.{nearest(number, known)}")
    module = import_module(f"{__package__}.exercises.ch{number}")
    return Chapter(number, module.TITLE, module.NOTEBOOK, by_id(module.EXERCISES, f"ch{number}.py", number))


def by_id(exercises: list[Exercise], where: str, number: str = "") -> dict[str, Exercise]:
    found: dict[str, Exercise] = {}
    for exercise in exercises:
        if not isinstance(exercise, Exercise):
            raise CourseError(f"{where}: EXERCISES holds {type(exercise).__name__} {exercise!r}; write Exercise(...).")
        if exercise.id in found:
            raise CourseError(f"{where}: the id {exercise.id!r} stands there twice.")
        if number and exercise.chapter != number:
            raise CourseError(f"{where}: {exercise.id!r} belongs to another chapter.")
        found[exercise.id] = exercise
    return found


def all_chapters() -> list[Chapter]:
    """Every chapter with the exercises that the teacher's settings leave, then the teacher's own."""
    from .teacher import settings
    return settings().arrange([chapter(number) for number in numbers()])


def find(id: str) -> Exercise:
    """The exercise of this id; an unknown one is a CourseError with the nearest ids."""
    if not isinstance(id, str):
        raise CourseError(f"an exercise is named by a text, such as \"04.2\"; you gave {type(id).__name__} {id!r}. "
                          "First the id, then the answer: check(\"04.2\", mixed_loss).")
    wanted = id.strip()
    exercises = {key: exercise for each in all_chapters() for key, exercise in each.exercises.items()}
    by_answer = {exercise.answer: key for key, exercise in exercises.items()}
    if wanted not in exercises:
        raise CourseError(f"there is no exercise {id!r}." + (f" {wanted} is the answer of {by_answer[wanted]!r}."
                          if wanted in by_answer else _near(wanted, exercises)))
    return exercises[wanted]


def _near(id, known) -> str:
    mine = [key for key in known if key.split(".")[0].lstrip("0") == id.split(".")[0].lstrip("0")]
    return f" Chapter {mine[0].split('.')[0]} has {', '.join(mine)}." if mine else nearest(id, known)
