"""Has the learner begun? Compares an answer with the stub it was given, as compiled code: comments do not count."""

from __future__ import annotations

import dis
import inspect
import types
from collections.abc import Mapping

import torch

IDLE = {"RESUME", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "NOP", "POP_TOP", "CACHE", "LOAD_COMMON_CONSTANT"}


def is_untouched(answer, name: str, stub: str) -> bool:
    """Whether the answer is still the stub (a cell's source), is empty, or holds `...` where a value should be."""
    if isinstance(answer, (type, types.FunctionType)) or hasattr(answer, "__wrapped__"):
        return _same_as_stub(answer, name, stub) or _is_empty(answer)
    return has_gap(answer)


def has_gap(value) -> bool:
    """Whether a plain value is `...`, or holds one."""
    if value is ...:
        return True
    if isinstance(value, Mapping):
        return any(map(has_gap, value.values()))
    return isinstance(value, (list, tuple)) and any(map(has_gap, value))


def gaps(value) -> list[str]:
    """The keys of a dict that still hold `...`, where others are filled in; of anything else, nothing."""
    if not isinstance(value, Mapping):
        return []
    missing = [str(key) for key, part in value.items() if has_gap(part)]
    return missing if len(missing) < len(value) else []


def _codes(answer) -> dict[str, types.CodeType]:
    """The code of a function, or of each method of a class, by name."""
    if isinstance(answer, type):
        parts = {name: inspect.unwrap(getattr(part, "__func__", part)) for name, part in vars(answer).items()}
        return {name: part.__code__ for name, part in parts.items() if isinstance(part, types.FunctionType)}
    return {"": inspect.unwrap(answer).__code__}


def _same_as_stub(answer, name, stub) -> bool:
    if not stub:
        return False
    given = _find(compile(stub, "<stub>", "exec"), name)
    if given is None:
        return False
    codes = {part.co_name: part for part in _inner(given)} if isinstance(answer, type) else {"": given}
    mine = _codes(answer)
    return mine.keys() == codes.keys() and all(_same(mine[key], codes[key]) for key in codes)


def _inner(code):
    return [const for const in code.co_consts if isinstance(const, types.CodeType)]


def _find(code, name):
    return next((part for part in _inner(code) if part.co_name == name), None)


def _steps(code):
    """What the code does, without what depends on the cell around it: an import in the same cell turns LOAD_METHOD into
    LOAD_ATTR, and moves the jumps."""
    steps = [(step.opname.replace("METHOD", "ATTR"), step) for step in dis.get_instructions(code)]
    return [(name, None if "JUMP" in name or name == "FOR_ITER" else step.argval) for name, step in steps
            if name not in ("CACHE", "NOP", "PRECALL", "PUSH_NULL", "RESUME", "EXTENDED_ARG")
            and not isinstance(step.argval, types.CodeType)]


def _same(a: types.CodeType, b: types.CodeType) -> bool:
    if (_steps(a), a.co_varnames) != (_steps(b), b.co_varnames):
        return False
    pairs = list(zip(a.co_consts, b.co_consts))[1 if _has_docstring(a) and _has_docstring(b) else 0:]
    return len(a.co_consts) == len(b.co_consts) and all(
        _same(x, y) if isinstance(x, types.CodeType) and isinstance(y, types.CodeType) else x == y and type(x) is type(y)
        for x, y in pairs)


def _has_docstring(code):
    return bool(code.co_consts) and isinstance(code.co_consts[0], str)


def _is_empty(answer) -> bool:
    """A body of docstring, `...` or `pass` alone; of a class: all its methods."""
    codes = _codes(answer).values()
    if isinstance(answer, type) and not codes:
        return issubclass(answer, torch.nn.Module) and answer.forward is torch.nn.Module.forward
    return all(step.opname in IDLE for code in codes for step in dis.get_instructions(code)) and all(
        _returns_nothing(code) for code in codes)


def _returns_nothing(code) -> bool:
    """`return 3` is as short as `...`; only None and the ellipsis mean that nothing was written."""
    last = [step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return not last or last[-1] is None or last[-1] is ...
