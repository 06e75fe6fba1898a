"""The engine of the exercises: four outcomes, bad input, what surrounds an answer, and the pipe between check and answer."""


import random
import re
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mtl_teach as mt
from mtl_teach.course import checking, guard, progress, registry, teacher, wire
from mtl_teach.course.checking import run_check
from mtl_teach.course.expect import (
    Fresh,
    Mistake,
    Wrong,
    compare,
    compare_predictions,
    diagnose,
    expect_close,
    expect_shape,
    expect_type,
)
from mtl_teach.course.learner import MISSING
from mtl_teach.course.outcome import CORRECT, ERROR, INCORRECT, NOT_ATTEMPTED
from mtl_teach.course.registry import CourseError, Exercise
from mtl_teach.course.untouched import is_untouched

ROOT = Path(__file__).resolve().parents[1]
STUB = "def double(x):\n    '''Twice x.'''\n    ...      # your code\n"
SQUARE = Mistake(lambda x: x ** 2, "You squared: `x ** 2`.", "Multiply by {two}.")


def check_double(answer, fresh):
    compare(answer, [fresh.normal(3) + 4], lambda x: 2 * x, "Each number must be doubled.", known=[SQUARE])
    return "Twice as much."


def exercise(check=check_double, **facts):
    return Exercise(**{"id": "A.1", "title": "Twice", "answer": "double", "call": "double(x)", "hints": ["What times x?", "2 * x"],
                       "check": check, "stub": STUB, "solution": "`2 * x`"} | facts)


def double(x):
    return 2 * x


def outcome(answer, **facts):
    return run_check(exercise(**facts), answer, seed=3)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Progress and settings of this test alone."""
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MTL_COURSE", str(tmp_path / "course.toml"))
    (tmp_path / "my.py").write_text(textwrap.dedent("""
        from test_course_checking import exercise
        EXERCISES = [exercise()]
        """))
    (tmp_path / "course.toml").write_text('own = ["my.py"]\n')
    progress._BOOKS.clear()
    teacher._LOADED.clear()
    return tmp_path


# ---- outcomes

def test_right_and_wrong_answers():
    assert outcome(double).status == CORRECT and outcome(double).says == "Twice as much."
    squared = outcome(lambda x: x ** 2)
    assert squared.status == INCORRECT and "You squared: `x ** 2`." in str(squared) and "Next: Multiply by {two}." in str(squared)
    assert 'mt.check("A.1", double, seed=3)' in str(squared)


def test_every_outcome_is_told_by_a_sign_and_a_word_not_by_colour():
    stub = {}
    exec(STUB, stub)
    seen = {outcome(each).head[0] for each in (double, lambda x: x, lambda x: 1 / 0, stub["double"])}
    assert seen == {"✓", "✗", "!", "○"}
    for each in (double, lambda x: x, lambda x: 1 / 0, stub["double"]):
        html = outcome(each)._repr_html_()
        assert outcome(each).head.split(": ")[1] in html


def test_an_error_shows_the_learners_own_lines_and_a_cause():
    def double(x):
        return helper(x)

    def helper(x):
        return torch.cat([x, None])

    found = outcome(double)
    lines = found.code.splitlines()
    assert found.status == ERROR and "in double:  return helper(x)" in lines[0] and "in helper:" in lines[1]
    assert "TypeError" in lines[-1] and len(lines) == 3 and "site-packages" not in str(found) and str(ROOT) not in str(found)


@pytest.mark.parametrize("code, words", [
    ("x.flaten()", "Did you mean flatten"), ("F.relu(x)", "import is missing"), ("y + 1", "never made"), ("x @ torch.ones(7, 2)", "do not fit"), ("x + torch.ones(7)", "Two shapes"),
    ("x.mean().item().sum()", "plain Python value"), ("None + x", "Something is None"), ("{}['mood']", "no such key"),
    ("(x.requires_grad_() * 2).backward()", "starts from one number"), ("x[9]", "beyond the end"), ("exit()", "close the kernel"),
    ("nn.functional.cross_entropy(x[None], torch.tensor([5]))", "larger than the number of logits"), ("1 if x > 0 else 2", "several values"),
    ("(x * 1).sum().backward()", "cut off from the graph"), ("{'text': 'a'}.text", "read with brackets"), ("'mood'['text']", "gives its keys"),
    ("nn.functional.cross_entropy(torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.long))", "classes on the second axis"),
    ("nn.functional.cross_entropy(torch.ones(2, 4), torch.ones(3, dtype=torch.long))", "classes on the second axis"),
    ("torch.ones(2, 3).gather(1, torch.tensor([0, 1]))", "picks one place from each row"), ("x.masked_fill(torch.ones(len(x)).long(), 0.0)", "mask == 0"),
    ("torch.autograd.grad(x.requires_grad_().sum(), [torch.ones(2).requires_grad_()])", "no part in the loss"), ("[1] - [2]", "array or a tensor"),
    ("torch.tensor([[1], [2, 3]])", "different lengths")])
def test_likely_causes(code, words):
    names = {"torch": torch, "nn": nn}
    exec(f"def double(x):\n    return {code}", names)
    found = outcome(names["double"])
    assert found.status == ERROR and words in found.why, found


def test_a_line_with_a_loop_inside_is_shown_once():
    names = {}
    exec("def double(x):\n    return [sum(1 / z for z in [0]) for y in x]", names)
    assert outcome(names["double"]).code.count("line 2") == 1


def test_a_print_on_the_way_to_an_error_is_shown_as_the_message_promises():
    def double(x):
        print("the shape is", tuple(x.shape))
        return x @ torch.ones(9, 9)

    found = outcome(double)
    assert found.status == ERROR and "print(...)" in found.next and "the shape is (" in " ".join(found.notes)


@pytest.mark.parametrize("body", ["...", "pass", "'''Only text.'''", "raise NotImplementedError", "raise NotImplementedError('later')",
                                  "return ...", "return {'a': ...}", "return [1, ...]"])
def test_not_attempted(body):
    names = {}
    exec(f"def double(x):\n    {body}", names)
    assert outcome(names["double"]).status == NOT_ATTEMPTED
    assert outcome(names["double"], stub="").status == NOT_ATTEMPTED


def test_begun_is_not_untouched():
    given = "def double(x):\n    y = x + x.mean()\n    return y\n"
    names = {}
    exec("import torch\n" + given + "# a remark of mine\n", names)
    assert outcome(names["double"], stub=given).status == NOT_ATTEMPTED
    exec(given.replace("mean", "sum"), names)
    assert outcome(names["double"], stub=given).status == INCORRECT
    exec("def double(x):\n    return None", names)
    assert not is_untouched(double, "double", "")
    assert is_untouched(names["double"], "double", "")          # nothing but None: nothing was written


def test_untouched_class():
    stub = "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        ...\n\n    def forward(self, x):\n        ...\n"
    names = {"nn": nn}
    exec(stub, names)
    assert is_untouched(names["Net"], "Net", stub)
    exec(stub.replace("forward(self, x):\n        ...", "forward(self, x):\n        return x"), names)
    assert not is_untouched(names["Net"], "Net", stub)


def test_a_check_that_stumbles_does_not_show_its_own_traceback():
    found = outcome(lambda x: "text", check=lambda answer, fresh: answer(fresh.normal(2)) / 2)
    assert found.status == INCORRECT and "has not the form" in found.says and "Traceback" not in str(found)


# ---- the wrong object

class Net(nn.Module):
    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize("answer, wants, words", [
    (None, "function", "is None"), (torch.ones(3), "function", "without calling it"), ("double", "function", "without quotes"),
    (Net, "function", "is a class"), (Net(), "function", "object of the class Net"), (3, "class", "A class is asked for"),
    (Net(), "class", "without parentheses"), (double, "class", "A class is asked for"), (double, "value", "call it first"),
    (Net, "value", "A value is asked for")])
def test_wrong_object(answer, wants, words):
    found = outcome(answer, wants=wants)
    assert found.status == INCORRECT and words in str(found) and "seed" not in str(found)


def test_a_lambda_is_checked_and_remarked():
    found = outcome(lambda x: 2 * x)
    assert found.status == CORRECT and "`def double(x):`" in found.notes[0]


def test_missing_answer_is_looked_up_by_name(capsys, monkeypatch):
    mt.check("A.1")
    assert "There is no `double` in this notebook yet" in capsys.readouterr().out
    monkeypatch.setattr(sys.modules["__main__"], "double", double, raising=False)
    mt.check("A.1")
    assert "✓ A.1 double: correct." in capsys.readouterr().out


@pytest.mark.parametrize("id, words", [("4.1", "Chapter 04 has 04.1"), ("04.99", "Chapter 04 has 04.1"), ("mixed_loss", "the answer of '04.1'"),
                                       (4.1, "an exercise is named by a text"), (double, "First the id"), ("B.1", "Did you mean 'A.1'")])
def test_unknown_id(id, words, capsys):
    mt.check(id, double)
    assert words in capsys.readouterr().out
    mt.hint(id)
    mt.solution(id)
    assert capsys.readouterr().out.count(words) == 2


@pytest.mark.parametrize("result, words", [
    (lambda x: (2 * v for v in x), "list(...)"), (lambda x: object(), "an object of the type object."), (lambda x: Net(), "Return its result"), (lambda x: double, "with ()"),
    (lambda x: torch.empty(3, device="meta"), "device 'meta'"), (lambda x: {"a": {1: object()}}, "['a'][1]"),
    (lambda x: (2 * x).to_sparse(), "ordinary one")])
def test_results_that_cannot_cross(result, words):
    found = outcome(result)
    assert found.status == INCORRECT and words in str(found)


def test_wrong_signature_says_how_it_is_called():
    found = outcome(lambda: 3)
    assert found.status == ERROR and "`double(x)`" in found.next


# ---- what surrounds an answer

def test_global_state_is_put_back_and_told():
    def double(x):
        torch.manual_seed(1), np.random.seed(1), random.seed(1)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True)
        return 2 * x

    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    want = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    found = outcome(double)
    assert (torch.rand(1), np.random.rand(), random.random()) == want
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled() and not torch.are_deterministic_algorithms_enabled()
    notes = " ".join(found.notes)
    assert found.status == CORRECT
    for name in ("set_default_dtype", "set_grad_enabled", "use_deterministic", "`torch.manual_seed`", "`numpy.random.seed`", "`random.seed`"):
        assert name in notes, notes
    assert np.random.seed is guard.REAL["numpy.random.seed"][1]


def test_using_random_numbers_is_no_offence():
    found = outcome(lambda x: 2 * x + 0 * torch.rand(3) + 0 * np.random.rand())
    assert found.status == CORRECT and not any("seed" in note for note in found.notes)


def test_state_is_put_back_after_an_error():
    def double(x):
        torch.set_default_dtype(torch.float64)
        raise ValueError

    outcome(double)
    assert torch.get_default_dtype() == torch.float32


def test_prints_are_caught_and_cut(capsys):
    def double(x):
        print("here " * 300_000)
        print("and there", file=sys.stderr)
        return 2 * x

    found = outcome(double)
    assert found.status == CORRECT and "1,500,0" in found.notes[0] and len(found.notes[0]) < 600
    assert capsys.readouterr() == ("", "")


def test_changing_the_input_is_told_and_does_not_change_the_check():
    def double(x):
        x *= 2
        return x

    found = outcome(double)
    assert found.status == CORRECT and "changes what it is given (`x`)" in found.notes[0]


@pytest.mark.parametrize("slow", [lambda x: time.sleep(30), lambda x: [None for _ in iter(int, 1)]])
def test_a_sleep_or_endless_loop_is_stopped(slow):
    begin = time.monotonic()
    found = outcome(slow, limit=0.2)
    assert found.status == INCORRECT and "It was stopped after" in found.says and time.monotonic() - begin < 20


def test_swallowed_alarm_rings_again():
    def double(x):
        while True:
            try:
                time.sleep(5)
            except BaseException:
                if double.rung:
                    raise
                double.rung = True
    double.rung = False
    assert outcome(double, limit=0.1).status == INCORRECT


def test_the_same_seed_gives_the_same_message():
    wrong = lambda x: x + 1                                                                        # noqa: E731
    assert str(run_check(exercise(), wrong, seed=8)) == str(run_check(exercise(), wrong, seed=8))
    assert str(run_check(exercise(), wrong, seed=8)) != str(run_check(exercise(), wrong, seed=9))


# ---- hints and solutions

def test_hints_come_one_after_the_other(capsys):
    mt.hint("A.1")
    assert "Hint 1 of 2: What times x?" in capsys.readouterr().out
    mt.hint("A.1")
    assert "Hint 2 of 2: 2 * x" in capsys.readouterr().out
    mt.hint("A.1")
    assert "That was the last hint" in capsys.readouterr().out


def test_solution_opens_after_two_tries(capsys):
    mt.solution("A.1")
    assert "opens after 2 tries; you have had 0" in capsys.readouterr().out
    for _ in range(2):
        mt.check("A.1", lambda x: x)
    mt.check("A.1", None)
    capsys.readouterr()
    mt.solution("A.1")
    assert "`2 * x`" in capsys.readouterr().out


def test_a_wrong_answer_says_where_help_is(capsys):
    mt.check("A.1", lambda x: x)
    text = capsys.readouterr().out
    assert 'Hint 1 of 2: mt.hint("A.1")' in text and "mt.solution" not in text
    mt.hint("A.1"), mt.hint("A.1"), capsys.readouterr()
    mt.check("A.1", lambda x: x)
    text = capsys.readouterr().out
    assert "Hint" not in text and 'The solution is open: mt.solution("A.1")' in text


def test_an_untouched_stub_is_no_try(capsys):
    stub = {}
    exec(STUB, stub)
    for _ in range(3):
        mt.check("A.1", stub["double"])
    mt.solution("A.1")
    assert "you have had 0" in capsys.readouterr().out


# ---- words of the checks

@pytest.mark.parametrize("got, want, words", [
    (-torch.arange(1., 4), torch.arange(1., 4), "sign is not"), (torch.tensor([2., 1., 3.]), torch.arange(1., 4), "another order"),
    (5 * torch.arange(1., 4), torch.arange(1., 4), "5 times"), (1 + torch.arange(1., 4), torch.arange(1., 4), "same amount"),
    (torch.zeros(3), torch.arange(1., 4), "")])
def test_diagnose(got, want, words):
    found = diagnose(got.numpy(), want.numpy())
    assert (words in found) if words else found == ""


@pytest.mark.parametrize("got", [torch.ones(2, 3).double(), np.ones((2, 3)), [[1, 1, 1], [1.0, 1, 1]], [torch.ones(3), torch.ones(3)]])
def test_numbers_in_any_dress_are_right(got):
    expect_close(got, torch.ones(2, 3))


@pytest.mark.parametrize("got, words", [
    (None, "is None"), ("x", "the text 'x'"), (torch.ones(3, 2), "transposed"), (torch.tensor(1.0), "reduced over all axes"),
    (torch.ones(2, 3, 1), "too much"), (torch.full((2, 3), torch.nan), "holds nan"), (torch.ones(2, 3) * 2, "2 times"), ({}, "must be a tensor")])
def test_expect_close_says_what_differs(got, words):
    with pytest.raises(Wrong) as error:
        expect_close(got, torch.tensor([[1.0, 1, 1], [1, 1, 1.0]]), says="It is wrong.")
    assert words in f"{error.value.says} {error.value.shows} {error.value.why}"


@pytest.mark.parametrize("got, want, words", [
    ([["SHOP", 1, 2]], [["SHOP", 1, 3]], r"\['SHOP', 1, 2\].*should be .*\['SHOP', 1, 3\]"),        # short: shown whole
    ([["SHOP", 1, 2]] * 9, [["SHOP", 1, 2]] * 8 + [["SHOP", 1, 3]], r"Part \[8\]: You returned \['SHOP', 1, 2\]"),
    ([0, 4], [], r"You returned \[0, 4\]; it should be \[\]"), (list(range(9)), [*range(9), 70], "length should be 10. Missing: 70"),
    (["a", "b"], ["b"], "length should be 1. Should not be there: 'a'")])
def test_lists_are_compared_by_what_they_hold(got, want, words):
    with pytest.raises(Wrong, match="It is wrong.") as error:
        expect_close(got, want, says="It is wrong.")
    assert re.search(words, error.value.shows)


@pytest.mark.parametrize("got, words", [(torch.ones(3, 2, 2), "As many numbers, on more axes"), (torch.ones(3, 3, 4), "An axis too many")])
def test_an_axis_too_many(got, words):
    with pytest.raises(Wrong) as error:
        expect_shape(got, (3, 4))
    assert words in error.value.why


def test_predictions_take_advice_for_each_key():
    with pytest.raises(Wrong) as error:
        compare_predictions({"a": 1, "b": 24576}, {"a": 1.0, "b": 3.0}, {"b": {24576: "Twice."}}, {"b": "Count."})
    assert "you predicted 24576; it is 3" in error.value.says and (error.value.why, error.value.next) == ("Twice.", "Count.")
    with pytest.raises(Wrong, match="'a' is None"):
        compare_predictions({"a": None}, {"a": 1.0}, {})


def test_expectations_about_form():
    expect_type(torch.tensor(3), "number"), expect_type((1, 2), list), expect_type([1.0, 2], "index")
    for got, kind in ((torch.ones(2), "number"), ("a", list), ([1.5], "index"), ([[1], [1, 2]], "tensor")):
        with pytest.raises(Wrong):
            expect_type(got, kind)
    with pytest.raises(Wrong, match=r"must have the shape \(2, 3\) \(B, D\)"):
        expect_shape(torch.ones(3), (2, 3), "B, D")
    with pytest.raises(Wrong, match="keys"):
        expect_close({"a": 1}, {"a": 1, "b": 2})


def test_fresh_is_its_seed():
    a, b = Fresh(4), Fresh(4)
    assert torch.equal(a.normal(2, 2), b.normal(2, 2)) and a.shuffled(range(9)) == b.shuffled(range(9))
    assert 2 <= a.integer(2, 3) <= 3 and set(Fresh(0).integers(0, 1, 50).tolist()) == {0, 1}


# ---- the pipe

VALUES = [None, True, 3, -2**70, 0.1, float("inf"), "naïve \ud800", b"\x00\xff", [], [1, [2]], (1, 2), {"a": (1,), 2: [None]}, {3, 1}, ...,
          torch.arange(6).view(2, 3), torch.tensor(True), torch.empty(0, 3), torch.linspace(-1.7, 2.3, 4).view(2, 2).bfloat16(), torch.linspace(-1, 1.3, 3).half(),
          np.arange(4, dtype=np.int16), np.float64(2.5), torch.ones(2, 3).T]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: str(value)[:20])
def test_plain_values_cross_and_come_back(value):
    data = wire.pack(value)
    back = wire.unpack(data)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        assert type(back) is type(value) and back.dtype == value.dtype and back.shape == value.shape
        assert wire.pack(back) == data and (back == value).all()
    else:
        assert back == value and wire.pack(back) == data


def test_records_cross():
    batch = mt.Batch(torch.ones(2, 3).long(), torch.ones(2, 3).long(), {"mood": torch.tensor([1])}, {"mood": torch.tensor([0])}, {"mood": 1.0})
    back = wire.unpack(wire.pack({"batch": batch, "task": mt.Task("mood", "classify", ("a", "b"))}))
    assert isinstance(back["batch"], mt.Batch) and torch.equal(back["batch"].rows["mood"], batch.rows["mood"]) and back["task"].labels == ("a", "b")


def test_a_tensor_that_lies_is_read_as_raw_numbers():
    class Liar(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return True

    lie = torch.ones(3).as_subclass(Liar)
    assert type(wire.unpack(wire.pack(lie))) is torch.Tensor
    assert outcome(lambda x: lie).status == INCORRECT


WORKER = '''
import struct, sys
sys.path.insert(0, {tests!r})
from exercise_answers import answers
from mtl_teach.course.learner import Learner
from mtl_teach.course.registry import find
from test_course_coverage import solved_cell
pipe = sys.stdout.buffer
sys.stdout = sys.stderr
def read():
    size = sys.stdin.buffer.read(8)
    return sys.stdin.buffer.read(struct.unpack("<Q", size)[0]) if size else None
while (name := read()) is not None:
    id, number = name.decode().split()
    learner = Learner(solved_cell(find(id))[0] if number == "-1" else answers()[id].right[int(number)], props=find(id).props)
    while request := read():
        reply = learner.handle(request)
        pipe.write(struct.pack("<Q", len(reply)) + reply)
        pipe.flush()
'''


@pytest.mark.slow
def test_every_check_works_across_a_real_pipe(monkeypatch):
    """Right answers in another process, which sees nothing but requests."""
    monkeypatch.delenv("MTL_COURSE")
    from exercise_answers import answers
    worker = subprocess.Popen([sys.executable, "-c", WORKER.format(tests=str(ROOT / "tests"))], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, cwd=ROOT)

    def send(data, reply=True):
        worker.stdin.write(struct.pack("<Q", len(data)) + data)
        worker.stdin.flush()
        return worker.stdout.read(struct.unpack("<Q", worker.stdout.read(8))[0]) if reply else None

    for id, rows in answers().items():
        for number in range(-1, len(rows.right)):
            send(f"{id} {number}".encode(), reply=False)
            found = run_check(registry.find(id), None, seed=1, send=send)
            send(b"", reply=False)
            assert found.status == CORRECT, found
    worker.stdin.close()
    assert worker.wait(60) == 0


# ---- the registry

@pytest.mark.parametrize("facts, words", [
    ({"id": "twice"}, "an id is a chapter"), ({"answer": "2x"}, "not a name"), ({"wants": "functon"}, "Did you mean 'function'"),
    ({"points": -1}, "whole number from 0"), ({"difficulty": 6}, "from 1 to 5"), ({"hints": []}, "one to four hints"), ({"title": " "}, "a title")])
def test_a_broken_exercise_is_refused(facts, words):
    with pytest.raises(CourseError, match=words):
        exercise(**facts)


def test_ids_are_unique_and_in_their_chapter():
    with pytest.raises(CourseError, match="stands there twice"):
        registry.by_id([exercise(), exercise()], "my.py")
    with pytest.raises(CourseError, match="another chapter"):
        registry.by_id([exercise()], "ch04.py", "04")
    assert checking._by_name(exercise(answer="no_such_name")) is MISSING


def test_the_authors_guide_shows_an_exercise_that_works():
    from mtl_teach.course import exercises as guide
    code = guide.__doc__.split("order of their ids:\n\n")[1].split("\n\n* `answer` is a handle")[0]
    names = {"__package__": guide.__name__, "__name__": "guide"}
    exec(textwrap.dedent(code), names)
    shown, = names["EXERCISES"]
    wrong = run_check(shown, lambda losses, ids: losses.mean(), seed=0)
    assert "big task drowns the small one" in str(wrong) and "`task_ids == k`" in wrong.next
    assert run_check(shown, lambda losses, ids: sum(losses[ids == k].mean() for k in ids.unique()), seed=0).status == CORRECT
