"""A teacher's settings: which exercises there are, what they are worth, which solutions stay closed, and own exercises.

Put a file `course.toml` beside the notebooks (or in the folder above, or wherever MTL_COURSE points):

    closed = ["04.2", "07.*"]              # solutions that do not open; "*" closes all
    chosen = ["02.*", "04.*"]              # only these exercises; without the line: all
    tries = 3                              # tries before a solution opens (2)
    own = ["my_exercises.py"]              # exercises of your own; paths start at this file

    [points]
    "04.2" = 5

An own exercise is a Python file, here my_exercises.py in full. Its id begins with a chapter of your own, or with one
of the course ("04.21"):

    from mtl_teach.course.expect import Mistake, compare
    from mtl_teach.course.registry import Exercise

    def check_double(answer, fresh):
        compare(answer, [fresh.normal(3)], lambda x: 2 * x, says="Each number must be doubled.",
                known=[Mistake(lambda x: x ** 2, "You squared: `x ** 2`.", "Multiply by two.")])

    EXERCISES = [Exercise(
        id="A.1", title="Twice as much", answer="double", call="double(x)", points=1, difficulty=1, minutes=2,
        hints=["What times x?"], check=check_double, stub="def double(x):\\n    ...", solution="`return 2 * x`")]

Learners then write `mt.check("A.1", double)`. Nothing in the package is touched.
"""

from __future__ import annotations

import importlib.util
import os
import tomllib
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from ..tasks import nearest
from .registry import Chapter, CourseError, by_id

FILE, VARIABLE = "course.toml", "MTL_COURSE"
KEYS = {"closed": list, "chosen": list, "own": list, "tries": int, "points": dict}


@dataclass(frozen=True)
class Settings:
    closed: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ("*",)
    tries: int = 2
    points: tuple[tuple[str, int], ...] = ()
    own: tuple[Chapter, ...] = ()

    def is_closed(self, id: str) -> bool:
        return _matches(id, self.closed)

    def arrange(self, chapters: list[Chapter]) -> list[Chapter]:
        """The chapters with the chosen exercises and the teacher's points; own exercises are added."""
        merged = {each.number: each for each in chapters}
        for mine in self.own:
            there = merged.get(mine.number)
            twice = set(there.exercises) & set(mine.exercises) if there else ()
            if twice:
                raise CourseError(f"your own exercise {min(twice)!r} has the id of one of the course; take another number.")
            merged[mine.number] = replace(there, exercises=there.exercises | mine.exercises) if there else mine
        self._refuse_unknown({key for each in merged.values() for key in each.exercises})
        return [replace(each, exercises=self._chosen(each)) for each in merged.values() if self._chosen(each)]

    def _chosen(self, chapter):
        points = dict(self.points)
        return {key: replace(exercise, points=points.get(key, exercise.points))
                for key, exercise in chapter.exercises.items() if _matches(key, self.chosen)}

    def _refuse_unknown(self, known):
        for where, patterns in (("closed", self.closed), ("chosen", self.chosen), ("[points]", [key for key, _ in self.points])):
            for pattern in patterns:
                if not any(fnmatchcase(key, pattern) for key in known):
                    raise CourseError(f"{FILE}, {where}: {pattern!r} fits no exercise.{nearest(pattern, known)}")


def _matches(id, patterns) -> bool:
    return any(fnmatchcase(id, pattern) for pattern in patterns)


def settings_file() -> Path | None:
    """$MTL_COURSE, or course.toml here or one folder up."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    here = Path.cwd()
    return next((path for path in (here / FILE, here.parent / FILE) if path.is_file()), None)


_LOADED: dict = {}                       # (path, time of change) -> Settings


def settings() -> Settings:
    """The teacher's settings, read again when the file has changed. A broken file is a CourseError that says where."""
    path = settings_file()
    if path is None:
        return Settings()
    if not path.is_file():
        raise CourseError(f"{VARIABLE} names the file {path.name!r}, which is not there. Unset it, or correct the path.")
    key = (str(path.resolve()), path.stat().st_mtime_ns)
    if key not in _LOADED:
        _LOADED.clear()
        _LOADED[key] = read(path)
    return _LOADED[key]


def read(path: Path) -> Settings:
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{path.name} is not valid TOML: {error}.") from error
    for key, value in facts.items():
        if key not in KEYS:
            raise CourseError(f"{path.name}: unknown setting {key!r}.{nearest(key, KEYS)}")
        if not isinstance(value, KEYS[key]) or isinstance(value, bool):
            raise CourseError(f"{path.name}: {key} must be a {KEYS[key].__name__}, not {value!r}.")
    points = facts.get("points", {})
    wrong = [key for key, value in points.items() if type(value) is not int or value < 0]
    if wrong or facts.get("tries", 2) < 0:
        raise CourseError(f"{path.name}: points and tries are whole numbers from 0; see {wrong[0] if wrong else 'tries'!r}.")
    return Settings(tuple(facts.get("closed", ())), tuple(facts.get("chosen", ("*",))), facts.get("tries", 2),
                    tuple(points.items()), _own(path, facts.get("own", ())))


def _own(path, files) -> tuple[Chapter, ...]:
    exercises = [exercise for name in files for exercise in load_file(path.parent / name)]
    numbers = dict.fromkeys(exercise.chapter for exercise in exercises)
    everything = by_id(exercises, path.name)
    return tuple(Chapter(number, "", "", {key: e for key, e in everything.items() if e.chapter == number}) for number in numbers)


def load_file(path: Path) -> list:
    """The EXERCISES of a Python file of a teacher's own."""
    if not path.is_file():
        raise CourseError(f"{FILE} names {path.name!r} under own, but there is no such file beside it.")
    spec = importlib.util.spec_from_file_location(f"mtl_teach_own_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CourseError(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(getattr(module, "EXERCISES", None), list):
        raise CourseError(f"{path.name} needs a list EXERCISES = [Exercise(...), ...].")
    return module.EXERCISES
