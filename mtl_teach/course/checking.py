"""check(id, answer), hint(id), solution(id): what a learner calls."""

from __future__ import annotations

import secrets
from dataclasses import replace

from ..display import present
from ..i18n import _
from .answers import NotAttempted, Raised, Slow, Thing
from .expect import Fresh, Wrong
from .learner import MISSING, Learner
from .outcome import CORRECT, ERROR, INCORRECT, NOT_ATTEMPTED, Outcome, card, rich
from .progress import book
from .registry import CourseError, Exercise, find
from .teacher import settings

PRINTED = 400                            # characters of what an answer printed that a remark shows


def check(id: str, answer=MISSING, *, seed: int | None = None) -> None:
    """Check an answer and say what is right or wrong with it: check("04.2", mixed_loss).

    Without an answer, the exercise's name is looked up in the notebook. Each check draws new inputs; seed repeats one.
    """
    exercise = _found(id)
    if exercise is None:
        return
    outcome = run_check(exercise, _by_name(exercise) if answer is MISSING else answer, seed)
    if outcome.status != NOT_ATTEMPTED:
        solved = outcome.status == CORRECT
        facts = book().record(exercise.id, tries=1, solved=solved, points=exercise.points if solved else 0)
        outcome = outcome if solved else replace(outcome, help=_where_help_is(exercise, facts))
    present(str(outcome), outcome._repr_html_())
    _tell()


def _where_help_is(exercise, facts) -> str:
    rules, left = settings(), len(exercise.hints) - facts["hints"]
    hint = _("Hint {i} of {n}: mt.hint(\"{id}\")").format(i=facts["hints"] + 1, n=len(exercise.hints), id=exercise.id)
    said = [hint] if left > 0 else []
    if facts["tries"] >= rules.tries and not rules.is_closed(exercise.id):
        said.append(_("The solution is open: mt.solution(\"{id}\")").format(id=exercise.id))
    return " · ".join(said)


def run_check(exercise: Exercise, answer, seed: int | None = None, send=None) -> Outcome:
    """Check an answer; nothing is shown or recorded.

    send: bytes -> bytes, to an answer behind a pipe; by default the answer stands in this process.
    """
    seed = secrets.randbits(32) if seed is None else seed
    send = send or Learner(answer, exercise.answer, exercise.given(), exercise.props).handle
    handle = Thing(send, limit=exercise.limit, seed=seed % 2**31)
    facts = {"id": exercise.id, "answer": exercise.answer}
    try:
        outcome = _outcome(exercise, handle, Fresh(seed))
    finally:
        remarks = handle.remarks()
    return Outcome(**facts, **outcome.found, notes=(*outcome.notes, *_notes(remarks)), points=exercise.points,
                   seed=seed if outcome.drew and exercise.wants != "value" else None)


class _Found:
    """Status and sentences of an outcome, before the remarks are known."""

    def __init__(self, status, notes=None, **found):
        self.status, self.notes, self.found = status, notes or (), {"status": status, **found}
        self.drew = notes is not None and status in (INCORRECT, ERROR)          # whether the inputs matter


def _outcome(exercise, handle, fresh) -> _Found:
    described = handle.describe()
    refused = _wrong_object(exercise, described)
    if refused:
        return refused
    notes = []
    if described["kind"] == "lambda":
        notes.append(_("A lambda works here, but give it the name: `def {call}:`. A grader finds it by its name.").format(
            call=exercise.call or f"{exercise.answer}(...)"))
    try:
        said = exercise.check(handle, fresh)
    except NotAttempted as error:
        return _Found(NOT_ATTEMPTED, notes, says=_("A part is not written yet."), code="\n".join(error.args),
                      next=_("Replace the `...` or the `raise NotImplementedError` that is left."))
    except Wrong as wrong:
        return _Found(INCORRECT, notes, says=wrong.says, shows=wrong.shows, why=wrong.why, next=wrong.next)
    except Raised as raised:
        return _raised(exercise, raised, notes)
    except Slow as slow:
        return _Found(INCORRECT, notes, says=_("It was stopped after {n:.0f} seconds.").format(n=slow.args[0]),
                      why=_("A loop that does not end, a sleep, or far more work than the exercise asks for."),
                      next=_("Try it on a tiny input and print where it is. No answer here needs more than a second."))
    except Exception as error:
        return _stumbled(error, notes)
    return _Found(CORRECT, notes, says=_(said) if said else "")


def _stumbled(error, notes) -> _Found:
    """The check itself could not go on. It should have looked at the form of the result first; say so honestly."""
    return _Found(INCORRECT, notes, says=_("What came back has not the form that the exercise asks for."),
                  shows=_("The check could not go on: {error}").format(error=f"{type(error).__name__}: {error}"),
                  next=_("Compare what you return with the text of the exercise: its type, its shape, its keys."))


def _raised(exercise, raised, notes) -> _Found:
    why = _("Likely cause: {cause}").format(cause=raised.cause) if raised.cause else ""
    lines = [*raised.lines, str(raised)]
    next = _("Put a print(...) before that line, run the cell and this check again: what it prints is shown here.")
    if exercise.call and raised.kind == "TypeError" and not raised.lines:          # the call itself did not fit
        why, next = "", _("The check calls it like this: `{call}`.").format(call=exercise.call)
    return _Found(ERROR, notes, code="\n".join(lines), why=why, next=next)


def _wrong_object(exercise, described) -> _Found | None:
    """Not attempted, or another sort of object than the exercise asks for; None where the check can begin."""
    kind, fill = described["kind"], {"name": exercise.answer, "id": exercise.id, "shown": described["shown"],
                                     "call": exercise.call or exercise.answer, "type": described["type"]}
    if kind == "missing":
        return _Found(NOT_ATTEMPTED, says=_("There is no `{name}` in this notebook yet.").format(**fill),
                      next=_("Run the cell that defines it, then this one. After a restart: Run > Run All Above Selected Cell."))
    if described["gaps"]:
        return _Found(NOT_ATTEMPTED, says=_("A part is still `...`: {keys}").format(keys="; ".join(map(repr, described["gaps"]))),
                      next=_("Write your answer there, run the cell, then run this check again."))
    if described["untouched"] and exercise.kind == "find the bug":
        return _Found(NOT_ATTEMPTED, says=_("This is still the code with the bug."), next=_(
            "Repair `{name}`, run its cell, then run this check again. A nudge: mt.hint(\"{id}\")").format(**fill))
    if described["untouched"]:
        return _Found(NOT_ATTEMPTED, next=_("Write `{name}`, run its cell, then run this check again. "
                                            "A nudge: mt.hint(\"{id}\")").format(**fill))
    text, next = _refusals(exercise, kind, described["shown"])
    if text is None:
        return None
    return _Found(INCORRECT, says=_(text).format(**fill), next=_(next).format(**fill))


def _refusals(exercise, kind, shown) -> tuple[str | None, str]:
    wants = exercise.wants
    if kind == "none":
        return ("The answer you passed is None.", "Pass `{name}` itself: mt.check(\"{id}\", {name}). If you did, its cell has "
                "not made it: a function without `return` gives None.")
    if kind == "value" and wants != "value" and shown == repr(exercise.answer):
        return "You passed the text {shown}.", "Pass it without quotes: mt.check(\"{id}\", {name})."
    if wants == "function":
        return {"class": ("A function is asked for; `{shown}` is a class.", "Write `def {call}:`."),
                "module": ("A function is asked for; you passed an object of the class {type}.", "Write `def {call}:`."),
                "value": ("You passed a result ({shown}), not the function.", "Pass the function itself, without calling it: "
                          "mt.check(\"{id}\", {name}).")}.get(kind, (None, ""))
    if wants == "class" and kind != "class":
        return ("A class is asked for; you passed {shown}.", "Pass the class itself, without parentheses: "
                "mt.check(\"{id}\", {name}).")
    if wants == "value" and kind in ("function", "lambda", "class", "module"):
        return "A value is asked for; you passed {shown}.", "Pass what comes out of it: call it first, with ()."
    return None, ""


def _notes(remarks) -> list[str]:
    notes = []
    if remarks["length"]:
        printed = " ".join(remarks["printed"].split())[:PRINTED]
        notes.append(_("It printed {n:,} characters while it was checked, beginning: {text}").format(
            n=remarks["length"], text=printed))
    if remarks["mutated"]:
        notes.append(_("It changes what it is given ({names}). Whoever calls it may not expect that: work on a copy.").format(
            names=", ".join(f"`{name}`" for name in remarks["mutated"])))
    if remarks["changed"]:
        notes.append(_("It changes a setting for the whole notebook ({names}); it was put back.").format(
            names=", ".join(f"`{name}`" for name in remarks["changed"])))
    if remarks["seeds"]:
        notes.append(_("It sets the random seed of the whole notebook ({names}); the random state was put back. Use a "
                       "generator of its own.").format(names=", ".join(f"`{name}`" for name in remarks["seeds"])))
    return notes


# ---- finding things ---------------------------------------------------------------------------------------------------

def _by_name(exercise):
    """The object of the exercise's name in the notebook, or MISSING."""
    import sys
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    names = shell.user_ns if shell else vars(sys.modules["__main__"])
    return names.get(exercise.answer, MISSING)


def _found(id) -> Exercise | None:
    """The exercise; where there is none, or the teacher's settings are broken, that is said, without a traceback."""
    try:
        return find(id)
    except CourseError as error:
        text = _("Nothing was checked: {error}").format(error=error)
        present(text, card(_("Nothing was checked"), rich(str(error))))
        return None


def _tell():
    """What happened to the progress file, said once."""
    said = book().said
    while said:
        text = said.pop(0)
        present(text, card(_("Your progress"), rich(text)))


# ---- help -------------------------------------------------------------------------------------------------------------

def hint(id: str) -> None:
    """Show the next hint of an exercise, and those before it."""
    exercise = _found(id)
    if exercise is None:
        return
    total = len(exercise.hints)
    seen = min(book().record(exercise.id, hints=1)["hints"], total)
    lines = [_("Hint {i} of {n}: {text}").format(i=i, n=total, text=_(text))
             for i, text in enumerate(exercise.hints[:seen], start=1)]
    lines.append(_("There is one more: mt.hint(\"{id}\")").format(id=id) if seen == total - 1 else
                 _("That was the last hint. After {n} tries: mt.solution(\"{id}\")").format(n=settings().tries, id=id)
                 if seen == total else _("The next one: mt.hint(\"{id}\")").format(id=id))
    present("\n".join(lines), card(f"{exercise.id} {_(exercise.title)}", rich("\n".join(lines))))
    _tell()


def solution(id: str) -> None:
    """Show the solution: after two tries, unless the teacher has closed it."""
    exercise = _found(id)
    if exercise is None:
        return
    facts, rules = book().of(exercise.id), settings()
    if rules.is_closed(exercise.id):
        text = _("The solution of {id} is closed by your teacher. mt.hint(\"{id}\") helps.").format(id=exercise.id)
    elif facts["tries"] < rules.tries and not facts["solved"]:
        text = _("The solution of {id} opens after {n} tries; you have had {tries}. Try it, and read what the check says. "
                 "mt.hint(\"{id}\") helps.").format(id=exercise.id, n=rules.tries, tries=facts["tries"])
    else:
        book().record(exercise.id, opened=True)
        return _show_solution(exercise)
    present(text, card(f"{exercise.id} {_(exercise.title)}", rich(text)))


def _show_solution(exercise):
    from ..display import shell
    text = exercise.solved() or _("There is no solution on record.")
    if shell() is None:
        print(f"{exercise.id} {_(exercise.title)}\n\n{text}")
    else:
        from IPython.display import display
        heading = f"#### {exercise.id} {_(exercise.title)}\n\n{text}"
        display({"text/plain": heading, "text/markdown": heading}, raw=True)
