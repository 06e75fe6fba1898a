"""Every exercise is held by answers: wrong ones fail with the words meant for them, right ones always pass.

    pytest tests/test_course_coverage.py -k "04.2"                  one exercise
    pytest tests/test_course_coverage.py --co -q                    the rows of the table
"""

import json
import re
import time
from functools import cache
from pathlib import Path

import pytest
import torch
from exercise_answers import answers
from torch import nn

from mtl_teach.course import registry
from mtl_teach.course.checking import run_check
from mtl_teach.course.outcome import CORRECT, ERROR, INCORRECT, NOT_ATTEMPTED

ROOT = Path(__file__).resolve().parents[1]
EXERCISES = {key: each for number in registry.numbers() for key, each in registry.chapter(number).exercises.items()}
ANSWERS = answers()
REPETITIONS = 200
WORKS_IN_PLACE = {"07.2"}                 # what these return does not matter


@cache
def imports(chapter):
    """The import lines of the notebook's set-up cell."""
    name = registry.chapter(chapter).notebook
    cells = json.loads((ROOT / "exercises" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    source = next("".join(cell["source"]) for cell in cells if cell["id"] == "setup")
    return "\n".join(line for line in source.splitlines() if line.startswith(("import ", "from "))) + "\n"


def solved_cell(exercise):
    """The answer that the stored solution gives, and the stub."""
    found = []
    for source in (re.search(r"```python\n(.*?)\n```", exercise.solved(), re.DOTALL)[1], exercise.given()):
        names = {"__name__": "a_notebook"}
        exec(imports(exercise.chapter) + source, names)
        found.append(names[exercise.answer])
    return found


def changed(exercise, change):
    """The stored solution, with its results put through `change`."""
    answer = solved_cell(exercise)[0]
    if exercise.wants == "function":
        return lambda *args, **kwargs: change(answer(*args, **kwargs))
    if exercise.wants == "class":
        names = ["forward"] if issubclass(answer, nn.Module) else [name for name in vars(answer) if not name.startswith("_")]
        return type("Changed", (answer,), {name: method(answer, name, change) for name in names})
    return change(answer)


def method(cls, name, change):
    return lambda self, *args, **kwargs: change(getattr(cls, name)(self, *args, **kwargs))


def everywhere(change):
    def walk(value):
        if isinstance(value, dict):
            return {key: walk(part) for key, part in value.items()}
        return type(value)(map(walk, value)) if isinstance(value, (list, tuple)) else change(value)
    return walk


def raising(value):
    raise RuntimeError("planted")


GENERIC = {                               # what is changed in a right answer -> (the change, the status it must get)
    "raises": (raising, ERROR),
    "returns None": (lambda value: None, INCORRECT),
    "returns an object": (lambda value: object(), INCORRECT),
    "returns a text": (lambda value: "done", INCORRECT),
    "another shape": (lambda value: [value, value, value], INCORRECT),
    "texts in place of values": (everywhere(lambda value: f"<{value}>"), INCORRECT),
    "on another device": (everywhere(lambda value: torch.as_tensor(value, device="meta") if isinstance(
        value, (torch.Tensor, float, int)) else object()), INCORRECT),
}


def test_the_table_is_complete():
    assert sorted(ANSWERS) == sorted(EXERCISES)
    thin = {key: (len(rows.wrong), len(rows.right)) for key, rows in ANSWERS.items() if len(rows.wrong) < 3 or not rows.right}
    assert not thin, f"(wrong, right) answers: {thin}"


@pytest.mark.parametrize("id", EXERCISES)
def test_the_facts_are_whole(id):
    exercise = EXERCISES[id]
    assert 1 <= exercise.points <= 10
    assert exercise.given() and exercise.solved() and exercise.call and 2 <= len(exercise.hints) <= 3
    assert exercise.solved().count("\n\n") >= 1, "the solution says what was measured"


@pytest.mark.slow
@pytest.mark.parametrize("id, number", [(id, n) for id, rows in ANSWERS.items() for n in range(len(rows.wrong))])
def test_wrong_answer_gets_its_message(id, number):
    answer, words = ANSWERS[id].wrong[number]
    for seed in range(3):
        outcome = run_check(EXERCISES[id], answer, seed=seed)
        assert outcome.status == INCORRECT, outcome
        assert re.search(words, " ".join(str(outcome).split())), outcome
        assert "The check could not go on" not in str(outcome), outcome


@pytest.mark.parametrize("id", EXERCISES)
def test_stub_is_not_attempted(id):
    assert run_check(EXERCISES[id], solved_cell(EXERCISES[id])[1], seed=0).status == NOT_ATTEMPTED


@pytest.mark.slow                                            # some seconds for all exercises together
@pytest.mark.parametrize("id", EXERCISES)
@pytest.mark.parametrize("how", GENERIC)
def test_bad_form_is_refused(id, how):
    change, status = GENERIC[how]
    if EXERCISES[id].wants == "value" and how == "raises":
        pytest.skip("a value cannot raise")
    outcome = run_check(EXERCISES[id], changed(EXERCISES[id], change), seed=0)
    assert outcome.status == (CORRECT if id in WORKS_IN_PLACE and status == INCORRECT else status), outcome
    assert "The check could not go on" not in str(outcome), outcome


def always_right(exercise, answer, times):
    for seed in range(times):
        outcome = run_check(exercise, answer, seed=seed)
        assert outcome.status == CORRECT, f"seed {seed}: {outcome}"


@pytest.mark.parametrize("id", EXERCISES)
def test_right_answers_pass(id):
    for answer in (solved_cell(EXERCISES[id])[0], *ANSWERS[id].right):
        always_right(EXERCISES[id], answer, 3)


@pytest.mark.slow
@pytest.mark.parametrize("id", EXERCISES)
def test_right_answers_pass_always_and_quickly(id):
    start = time.process_time()
    always_right(EXERCISES[id], solved_cell(EXERCISES[id])[0], REPETITIONS)
    assert (time.process_time() - start) / REPETITIONS < 1.0                 # the promise is one second at the most
    for answer in ANSWERS[id].right:
        always_right(EXERCISES[id], answer, REPETITIONS // 4)
