"""Inputs that tell: on them no two known mistakes give the same result, and none gives the right one."""

from __future__ import annotations

from collections.abc import Callable

from ..expect import close
from ..wire import pack, unpack

APART = 4e-3                    # a good deal more than the tolerance of a comparison


def telling(draw: Callable, reference: Callable, known, tries: int = 5000) -> list:
    """Call draw() until the reference and all the known mistakes give different results on what it drew."""
    for _ in range(tries):
        args = draw()
        results = [result(each, args) for each in (reference, *(mistake.wrong for mistake in known))]
        if not any(close(a, b, APART, APART / 10) for i, a in enumerate(results) for b in results[:i]):
            return args
    raise RuntimeError("no inputs were drawn on which all mistakes show; draw others.")


def result(function, args):
    """What it gives on copies of the arguments; a mistake may fail, and then it is unlike everything."""
    try:
        return function(*unpack(pack(args)))
    except Exception:
        return object()
