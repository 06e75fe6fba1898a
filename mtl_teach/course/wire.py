"""Plain values as bytes and back: JSON for the structure, raw buffers for the numbers. Never pickle.

What may cross between a check and a learner's answer: None, numbers, strings, bytes, lists, tuples, sets, dicts,
tensors, numpy arrays, the records of the course (Batch, Task) and references to objects that stay on the learner's
side. A model, a table or a generator may not; `NotPlain` then says what to return instead.

    unpack(pack(value)) equals value; the bytes are the same for equal values.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch

from ..batching import Batch
from ..i18n import _
from ..tasks import Task

RECORDS = {"Batch": Batch, "Task": Task}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.uint8, torch.bool, torch.complex64, torch.complex128)}
LARGEST, DEEPEST = 2**28, 40                   # bytes of one value; levels of nesting


class NotPlain(TypeError):
    """A value that cannot cross; the message says where it stands, what it is and what to return instead."""


@dataclass(frozen=True)
class Ref:
    """An object on the learner's side, by number."""

    number: int


def pack(value) -> bytes:
    buffers: list[bytes] = []
    tree = _lower(value, buffers, "", 0)
    if sum(map(len, buffers)) > LARGEST:
        raise NotPlain(_("it holds more than {n} MB of numbers.").format(n=LARGEST // 2**20))
    head = json.dumps([tree, [len(part) for part in buffers]]).encode("utf-8", "surrogatepass")
    return b"".join([struct.pack("<Q", len(head)), head, *buffers])


def unpack(data: bytes):
    length, = struct.unpack_from("<Q", data)
    tree, sizes = json.loads(data[8:8 + length].decode("utf-8", "surrogatepass"))
    parts, at = [], 8 + length
    for size in sizes:
        parts.append(data[at:at + size])
        at += size
    return _raise(tree, parts)


# ---- to JSON and buffers ----------------------------------------------------------------------------------------------

def _lower(value, buffers, where, depth):
    if value is None or value is ... or type(value) in (bool, int, float, str):
        return {"$": "..."} if value is ... else value
    if depth > DEEPEST:
        raise NotPlain(_("{where} is nested more than {n} deep.").format(where=where or "it", n=DEEPEST))
    if isinstance(value, torch.Tensor):
        return _lower_tensor(value, buffers, where)
    if isinstance(value, (np.ndarray, np.generic)):
        return _lower_array(value, buffers, where)
    if isinstance(value, (bytes, bytearray)):
        buffers.append(bytes(value))
        return {"$": "bytes", "at": len(buffers) - 1}
    if isinstance(value, Ref):
        return {"$": "ref", "number": value.number}
    return _lower_container(value, buffers, where, depth)


def _lower_container(value, buffers, where, depth):
    def deeper(part, name):
        return _lower(part, buffers, f"{where}[{name!r}]", depth + 1)

    if type(value).__name__ in RECORDS and isinstance(value, RECORDS[type(value).__name__]):
        return {"$": type(value).__name__, "fields": {f.name: deeper(getattr(value, f.name), f.name) for f in fields(value)}}
    if isinstance(value, Mapping):
        return {"$": "dict", "items": [[deeper(k, k), deeper(v, k)] for k, v in value.items()]}
    if isinstance(value, (set, frozenset)):
        return {"$": "set", "items": [deeper(part, part) for part in sorted(value, key=repr)]}
    if isinstance(value, (list, tuple, range, type({}.keys()), type({}.values()), type({}.items()))):
        items = [deeper(part, number) for number, part in enumerate(value)]
        return items if isinstance(value, list) else {"$": "tuple" if isinstance(value, tuple) else "list", "items": items}
    for kind in (bool, int, float, str):                                   # their subclasses, such as IntEnum
        if isinstance(value, kind):
            return kind(value)
    raise NotPlain(_not_plain(value, where))


def _lower_tensor(value, buffers, where):
    with torch._C.DisableTorchFunctionSubclass():
        if value.device.type != "cpu":
            raise NotPlain(_("{where}the tensor is on the device {device!r}; the inputs are on the CPU. Make new tensors "
                             "with device=x.device, or call .cpu() on the result.").format(
                                 where=where and where + ": ", device=str(value.device)))
        kind = str(value.dtype).removeprefix("torch.")
        if value.layout is not torch.strided or kind not in DTYPES:
            raise NotPlain(_("{where}a tensor of the kind {kind} ({layout}); return an ordinary one.").format(
                where=where and where + ": ", kind=kind, layout=str(value.layout)))
        flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        buffers.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return {"$": "tensor", "dtype": kind, "shape": list(value.shape), "grad": value.requires_grad,
                "at": len(buffers) - 1}


def _lower_array(value, buffers, where):
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        return value.item()
    if value.dtype.kind in "US":
        return _lower(value.tolist(), buffers, where, 0)
    if value.dtype.kind not in "biufc":
        raise NotPlain(_("{where}a numpy array of {dtype}; return numbers.").format(
            where=where and where + ": ", dtype=str(value.dtype)))
    buffers.append(np.ascontiguousarray(value).tobytes())
    return {"$": "array", "dtype": value.dtype.str, "shape": list(value.shape), "at": len(buffers) - 1}


def _not_plain(value, where) -> str:
    """What to return instead of such a value."""
    where = where.removeprefix("['value']")                           # the frame of a reply is not the learner's
    name, place = type(value).__name__, where and _(" (at {where})").format(where=where)
    if hasattr(value, "__next__"):
        advice = _("Its items come one by one; put them into a list: list(...).")
    elif hasattr(value, "to_dict") and hasattr(value, "columns"):
        advice = _("A table cannot be compared; return a list or a dict of what stands in it.")
    elif isinstance(value, torch.nn.Module):
        advice = _("Return its result (call it), not the module.")
    elif hasattr(value, "__await__"):
        advice = _("Write `def` instead of `async def`.")
    elif isinstance(value, type):
        return _("the class {name}{place}. Where a name is asked for, write it in quotes; where an object is, call the class, "
                 "with ().").format(name=value.__name__, place=place)
    elif callable(value):
        advice = _("Did you forget to call it, with ()?")
    else:
        advice = _("Return numbers, strings, lists, dicts or tensors.")
    return _("an object of the type {name}{place}. {advice}").format(name=name, place=place, advice=advice)


# ---- and back ---------------------------------------------------------------------------------------------------------

def _raise(tree, parts):
    if isinstance(tree, list):
        return [_raise(part, parts) for part in tree]
    if not isinstance(tree, dict):
        return tree
    kind = tree["$"]
    if kind == "dict":
        return {_raise(k, parts): _raise(v, parts) for k, v in tree["items"]}
    if kind in ("list", "tuple", "set"):
        return {"list": list, "tuple": tuple, "set": set}[kind](_raise(part, parts) for part in tree["items"])
    if kind in RECORDS:
        return RECORDS[kind](**{name: _raise(part, parts) for name, part in tree["fields"].items()})
    return _RAISE[kind](tree, parts)


def _raise_tensor(tree, parts):
    dtype, data = DTYPES[tree["dtype"]], bytearray(parts[tree["at"]])
    flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    tensor = flat.reshape(tree["shape"])
    return tensor.requires_grad_() if tree["grad"] and (tensor.is_floating_point() or tensor.is_complex()) else tensor


def _raise_array(tree, parts):
    return np.frombuffer(bytearray(parts[tree["at"]]), dtype=tree["dtype"]).reshape(tree["shape"])


_RAISE = {"...": lambda tree, parts: ..., "ref": lambda tree, parts: Ref(tree["number"]),
          "bytes": lambda tree, parts: parts[tree["at"]], "tensor": _raise_tensor, "array": _raise_array}
