"""The words checks are written in. Each says what is wrong, what the learner probably did, and what to try.

    expect_close(got, want, says="Each task's loss is the mean over its own rows.", next="Select rows first.")
    compare(answer, [losses, ids], reference, says=..., known=MISTAKES)        call, compare, and name the mistake
    raise Wrong("The weights must add up to 1; yours add up to {total}.", why=..., next=..., total=total)

Text stands here plain, with {fields}; it goes through gettext before the fields are filled in. A number, list, numpy
array or tensor with the right values is right: what a learner computes with is their own affair.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from ..i18n import _
from .looking import ATOL, RTOL, called, close, diagnose, numbers, seen, short
from .wire import pack, unpack

__all__ = ["Fresh", "Mistake", "Wrong", "close", "compare", "diagnose", "expect", "expect_close", "expect_shape", "expect_type",
           "numbers", "short"]


BY_HAND = "Call it in a new cell with inputs small enough to work out by hand, and compare step by step."


class Wrong(Exception):
    """The answer is not right.

    says: what is wrong. why: what probably happened. next: what to try. shows: what was seen, in numbers.
    """

    def __init__(self, says: str, why: str = "", next: str = "", shows: str = "", **values):
        fill = {name: short(value) for name, value in values.items()}
        self.says, self.why, self.next, self.shows = (filled(_(part), fill) for part in (says, why, next, shows))
        if not self.says:
            self.says, self.shows = self.shows, ""
        super().__init__(self.says)


def filled(text: str, values: dict[str, str]) -> str:
    """Put values in place of {name}; braces around anything else stay, for a message may show code."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


@dataclass(frozen=True)
class Mistake:
    """A misconception: what one gets from it, and what to say. `wrong` takes the arguments of the answer."""

    wrong: Callable
    why: str
    next: str = ""


@dataclass
class Fresh:
    """Random inputs of one check; everything follows from `seed`."""

    seed: int
    rng: np.random.Generator = field(init=False)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def normal(self, *shape, scale: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.rng.normal(0, scale, shape), dtype=np.float32))

    def uniform(self, *shape, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.rng.uniform(low, high, shape), dtype=np.float32))

    def integers(self, low: int, high: int, *shape) -> torch.Tensor:
        """low to high, both included; a long tensor."""
        return torch.from_numpy(np.asarray(self.rng.integers(low, high + 1, shape)))

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def number(self, low: float, high: float, digits: int = 2) -> float:
        return round(float(self.rng.uniform(low, high)), digits)

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def sample(self, options, count: int) -> list:
        """Different ones, in random order."""
        options = list(options)
        return [options[i] for i in self.rng.permutation(len(options))[:count]]

    def shuffled(self, options) -> list:
        return self.sample(options, len(options))


# ---- expectations -----------------------------------------------------------------------------------------------------

def expect(condition, says: str, why: str = "", next: str = "", **values) -> None:
    if not condition:
        raise Wrong(says, why, next, **values)


def expect_type(got, kind, name: str = "") -> None:
    """kind: dict, list, str, "number", "tensor" (anything that holds numbers in a regular shape) or "index" (ints)."""
    what = name or _("The result")
    if got is None:
        raise Wrong("{what} is None.", why="A function without `return` gives None.",
                    next="End the function with `return ...`.", what=what)
    array = numbers(got)
    fits = {"number": array is not None and array.ndim == 0, "tensor": array is not None,
            "index": array is not None and bool(np.all(array == np.round(array)))}.get(kind)
    if fits is None:
        fits = isinstance(got, (list, tuple) if kind is list else kind)
    words = {"number": _("one number"), "tensor": _("a tensor of numbers"), "index": _("whole numbers"), dict: _("a dict"),
             list: _("a list"), str: _("a text")}
    if not fits:
        quoted = kind == "number" and isinstance(got, str) and got.strip().lstrip("-+.")[:1].isdigit()
        many = kind == "number" and isinstance(got, (torch.Tensor, np.ndarray)) and array is not None
        raise Wrong("{what} must be {wanted}; yours is {found}.", "A last sum or mean is missing." if many else "",
                    "Write the number without quotes." if quoted else "", what=what, wanted=words.get(kind, str(kind)),
                    found=called(got))


def expect_shape(got, shape, axes: str = "", name: str = "") -> None:
    """axes: the names of the axes, "B, T, D", for the message."""
    expect_type(got, "tensor", name)
    found = tuple(numbers(got).shape)
    if found != tuple(shape):
        raise Wrong("{what} must have the shape {want}{axes}; yours has {found}.", why=_shape_guess(found, tuple(shape)),
                    what=name or _("The result"), want=str(tuple(shape)), axes=f" ({axes})" if axes else "", found=str(found))


def _shape_guess(found, want) -> str:
    if found == want[::-1] and len(want) == 2:
        return "It looks transposed."
    if len(found) > len(want) and tuple(n for n in found if n != 1) == tuple(n for n in want if n != 1):
        return "An axis of length 1 is too much: use .squeeze(...) or index it."
    if len(found) > len(want):
        return ("As many numbers, on more axes: use .flatten(...) or .reshape(...)." if np.prod(found) == np.prod(want) else
                "An axis too many: a sum over it is missing, or an index picked every combination.")
    if found == ():
        return "You reduced over all axes. Give mean or sum the axis, as in .mean(1)."
    return "An axis is missing: perhaps one mean or sum too many." if len(found) < len(want) else ""


def expect_close(got, want, says: str = "", why: str = "", next: str = "", rtol: float = RTOL, atol: float = ATOL,
                 axes: str = "", name: str = "", **values) -> None:
    """Compare with the wanted value; the message holds both, and a guess from how they differ."""
    if isinstance(want, Mapping):
        return _expect_dict(got, want, says, why, next, rtol, atol, name, values)
    target = numbers(want)
    if target is None:
        expect_type(got, list if isinstance(want, (list, tuple)) else type(want), name)
    elif target.ndim == 0:
        expect_type(got, "number" if not isinstance(want, str) else str, name)
    else:
        if axes or not _lists_of_other_lengths(got, want):
            expect_shape(got, target.shape, axes, name)
    if close(got, want, rtol, atol):
        return
    found = numbers(got)
    if found is not None and np.isnan(found).any() and not np.isnan(target).any():
        raise Wrong(says, "nan comes from 0/0 or inf - inf: an empty mean, a softmax over -inf alone.", next, "{what} holds nan.",
                    what=name or _("The result"), **values)
    raise Wrong(says, why or diagnose(found, target), next, "{what}{seen}", what=f"{name}: " if name else "",
                seen=seen(got, want), **values)


def _lists_of_other_lengths(got, want) -> bool:
    """Plain lists of numbers: what is missing in them says more than their shape."""
    return isinstance(got, (list, tuple)) and isinstance(want, (list, tuple)) and numbers(got) is not None and (
        numbers(got).ndim == numbers(want).ndim == 1 and len(got) != len(want))


def _expect_dict(got, want, says, why, next, rtol, atol, name, values):
    expect_type(got, dict, name)
    missing, extra = [k for k in want if k not in got], [k for k in got if k not in want]
    if missing or extra:
        raise Wrong(says, why, next, "The keys are not right: {lacks}{more}.", **values,
                    lacks=_("missing {keys}").format(keys=short(missing)) if missing else "",
                    more=("; " if missing else "") + _("too many {keys}").format(keys=short(extra)) if extra else "")
    for key in want:
        expect_close(got[key], want[key], says, why, next, rtol, atol, name=f"{name}[{key!r}]", **values)


def compare(answer: Callable, args: list, reference: Callable, says: str = "", next: str = "", known=(), *, axes: str = "",
            name: str = "", rtol: float = RTOL, atol: float = ATOL, **values) -> object:
    """Call the answer, compare with the reference; where it fits a known mistake instead, say which.

    known: Mistakes; the first whose `wrong(*args)` gives what the learner returned is named. Returns the result.
    """
    got, want = answer(*args), reference(*unpack(pack(args)))
    if not close(got, want, rtol, atol):
        for mistake in known:
            if _fits(mistake, args, got, want, rtol, atol):
                raise Wrong(says or "The result is not right.", mistake.why, mistake.next or next, "{what}{seen}",
                            what=f"{name}: " if name else "", seen=seen(got, want), **values)
    expect_close(got, want, says, next=next or BY_HAND, rtol=rtol, atol=atol, axes=axes, name=name, **values)
    return got


def _fits(mistake, args, got, want, rtol, atol) -> bool:
    try:
        wrong = mistake.wrong(*unpack(pack(args)))
    except Exception:                                                  # the mistake itself fails on these inputs
        return False
    return close(got, wrong, rtol, atol) and not close(wrong, want, rtol, atol)


def compare_predictions(got, measured: Mapping[str, float], guesses: Mapping[str, Mapping[float, str]],
                        next: str | Mapping[str, str] = "", tolerance: float = 0.01, least: float | None = None) -> None:
    """Numbers that were predicted, {key: number}, against what is measured.

    guesses    {key: {wrong number: why one comes to it}}
    next       what to try, or {key: what to try}
    tolerance  relative to the number, but never less than `least` (as much as the tolerance, if not given)
    """
    def near(x, y):
        return abs(x - y) < max(tolerance if least is None else least, tolerance * abs(y))
    expect_type(got, dict)
    expect(set(got) == set(measured), "Keep the {n} keys as they were given; only write numbers in place of `...`.",
           n=len(measured))
    for key, value in measured.items():
        expect(got[key] is not None, "{key} is None.", next="Write a number in its place.", key=repr(key))
        expect_type(got[key], "number", repr(key))
        mine = float(numbers(got[key]))
        why = "".join(text for guess, text in guesses.get(key, {}).items() if near(mine, guess))
        advice = next if isinstance(next, str) else next.get(key, "")
        expect(near(mine, value), "{key}: you predicted {mine}; it is {value}.", why, advice, key=repr(key),
               mine=int(mine) if mine.is_integer() else mine,
               value=int(value) if float(value).is_integer() else float(f"{value:.4g}"))

