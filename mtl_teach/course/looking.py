"""Looking at values: what is alike, how it is said in a message, and what two arrays may have to do with one another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ..i18n import _

RTOL, ATOL = 1e-3, 1e-5                  # float32, in whatever order the learner adds up
SHORT = 120                              # characters of two lists that are shown whole, not part by part


def numbers(value) -> np.ndarray | None:
    """The value as a float array; None where it is not numbers in a regular shape."""
    try:
        if isinstance(value, torch.Tensor):
            return value.detach().to(torch.float64).numpy() if not value.is_complex() else None
        if isinstance(value, (list, tuple)) and any(isinstance(part, torch.Tensor) for part in value):
            return np.stack([numbers(part) for part in value])
        array = np.asarray(value)
        return array.astype(np.float64) if array.dtype.kind in "biuf" else None
    except (TypeError, ValueError, RuntimeError):
        return None


def close(got, want, rtol: float = RTOL, atol: float = ATOL) -> bool:
    """Whether two values are alike: numbers nearly, everything else exactly; dicts and lists part by part."""
    a, b = numbers(got), numbers(want)
    if a is not None and b is not None:
        return a.shape == b.shape and bool(np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True))
    if isinstance(want, Mapping):
        return isinstance(got, Mapping) and got.keys() == want.keys() and all(
            close(got[key], want[key], rtol, atol) for key in want)
    if isinstance(want, (list, tuple)):
        return isinstance(got, (list, tuple)) and len(got) == len(want) and all(
            close(x, y, rtol, atol) for x, y in zip(got, want))
    return (a is None) == (b is None) and bool(got == want)


def short(value) -> str:
    """A value as it stands in a message: a few digits, a few entries."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        flat = value.tolist()
        size = value.numel() if isinstance(value, torch.Tensor) else value.size
        return short(flat) if size <= 12 else _("{shape} beginning {first}").format(
            shape=tuple(value.shape), first=short(value.reshape(-1)[:4].tolist()))
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {quoted(v)}" for k, v in list(value.items())[:6]) + (", ...}" if len(value) > 6 else "}")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(quoted, value[:8])) + (", ...]" if len(value) > 8 else "]")
    return repr(value)[:200]


def quoted(value) -> str:
    return repr(value) if isinstance(value, str) else short(value)


def called(value) -> str:
    """'a tensor of shape (3, 2)', 'the text ...', for messages about types."""
    array = numbers(value)
    if isinstance(value, str):
        return _("the text {value!r}").format(value=value[:40])
    if isinstance(value, torch.Tensor):
        return _("a {dtype} tensor of shape {shape}").format(dtype=str(value.dtype)[6:], shape=tuple(value.shape))
    if array is not None and array.ndim == 0:
        return _("the number {value}").format(value=short(value))
    return {type(None): "None", dict: _("a dict"), list: _("a list"), tuple: _("a tuple")}.get(type(value), type(value).__name__)


def seen(got, want) -> str:
    """What was returned and what it should be; of much, the place where the two differ most."""
    a, b = numbers(got), numbers(want)
    if a is not None and b is not None and a.shape == b.shape and a.size > 8:
        away = np.abs(a - b)
        at = np.unravel_index(int(np.nanargmax(away)) if np.isfinite(away).any() else 0, a.shape)
        return _("{n} of {all} numbers differ. At {place} you returned {got}; it should be {want}.").format(
            n=int((~np.isclose(a, b, rtol=RTOL, atol=ATOL)).sum()), all=a.size, place=[int(i) for i in at],
            got=short(float(a[at])), want=short(float(b[at])))
    lists = isinstance(want, (list, tuple)) and isinstance(got, (list, tuple))
    if lists and len(got) != len(want) and (b is None or max(len(got), len(want)) > 8):         # a few numbers are shown whole
        return _what_is_missing(got, want)
    if lists and b is None and len(quoted(got) + quoted(want)) > SHORT:
        number = next((i for i, (x, y) in enumerate(zip(got, want)) if not close(x, y)), 0)
        return _("Part [{i}]: {seen}").format(i=number, seen=seen(got[number], want[number])) if want else ""
    return _("You returned {got}; it should be {want}.").format(got=cut(quoted(got)), want=cut(quoted(want)))


def _what_is_missing(got, want) -> str:
    """Of two lists of different lengths: what one holds and the other does not."""
    missing = [part for part in want if not any(close(other, part) for other in got)]
    extra = [part for part in got if not any(close(part, other) for other in want)]
    said = [_("You returned a list of length {n}; its length should be {all}.").format(n=len(got), all=len(want))]
    said += [_("Missing: {parts}.").format(parts=cut("; ".join(map(quoted, missing))))] if missing else []
    said += [_("Should not be there: {parts}.").format(parts=cut("; ".join(map(quoted, extra))))] if extra else []
    return " ".join(said)


def cut(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[:length - 4] + " ..."


def diagnose(found, target) -> str:
    """What two arrays of the same shape may have to do with one another; "" where nothing is plain."""
    if found is None or target is None or found.shape != target.shape or not np.isfinite(found).all():
        return ""
    if np.allclose(found, -target, rtol=RTOL, atol=ATOL):
        return "The numbers are right, the sign is not."
    if found.size > 1 and np.allclose(np.sort(found, None), np.sort(target, None), rtol=RTOL, atol=ATOL):
        return "The right numbers, in another order."
    away = np.abs(target) > 1e-6
    if away.any() and np.allclose(found[~away], 0, atol=ATOL):
        ratio = found[away] / target[away]
        if np.allclose(ratio, ratio[0], rtol=RTOL) and abs(ratio[0]) > 1e-6 and found.size > 1:
            return _("All are {ratio} times what they should be: a sum in place of a mean, or another divisor?").format(
                ratio=short(float(ratio[0])))
    if found.size > 1 and np.allclose(found - target, (found - target).flat[0], rtol=RTOL, atol=ATOL):
        return "All are off by the same amount."
    return ""
