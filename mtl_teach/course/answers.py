"""What a check holds in its hands: the learner's answer, in this process or behind a pipe.

    got = answer(rows, task_ids)                  call the function; inputs and result are plain values
    layer = answer.build(8, 3, seed=seed)         build the class; gives a Thing
    layer(x), layer.call("mix", x)                call it, or one of its methods
    layer.state(), layer.load({...})              its state dict as tensors
    layer.parameters()                            {name: {"shape": [...], "trains": bool}}
    answer.gradients(x, wrt=[0], weight=w)        of (result * weight).sum(): {"inputs": [...], "parameters": {...}}
    net = answer.prop("small_net", seed=seed)     an object made on the learner's side from the exercise's `props`;
                                                  may be passed on: answer(net)
    answer.value                                  the answer itself, where it is a plain value

Whatever is passed is copied on the way, so an answer cannot change what the check compares with.
"""

from __future__ import annotations

from collections.abc import Callable

from .expect import Wrong
from .wire import Ref, pack, unpack


class NotAttempted(Exception):
    """The answer is still the stub, or a part of it is."""


class Raised(Exception):
    """The learner's code raised; says the error, their own lines, and the likely cause."""

    def __init__(self, text: str, lines: list[str], cause: str, kind: str):
        super().__init__(text)
        self.lines, self.cause, self.kind = lines, cause, kind


class Slow(Exception):
    """The answer took longer than `seconds`."""


class Thing:
    """An object on the learner's side: something built, or the answer itself."""

    def __init__(self, send: Callable[[bytes], bytes], number: int = 0, limit: float = 20.0, seed: int = 0):
        self._send, self._number, self._limit, self._seed = send, number, limit, seed

    def __call__(self, *args, **kwargs):
        return self.call("", *args, **kwargs)

    def call(self, method: str, *args, **kwargs):
        """Call a method by name ("" is the object itself); gives a plain value."""
        return self._ask("call", method=method, args=args, kwargs=kwargs)

    def build(self, *args, seed: int | None = None, **kwargs) -> Thing:
        """Build an object of the class, with the global random state of `seed`."""
        return self._ask("build", args=args, kwargs=kwargs, **({} if seed is None else {"seed": seed}))

    def prop(self, name: str, *args, **kwargs) -> Thing:
        return self._ask("prop", name=name, args=args, kwargs=kwargs)

    def get(self, name: str):
        return self._ask("get", name=name)

    def state(self) -> dict:
        return self._ask("state")

    def load(self, state: dict, strict: bool = True) -> None:
        self._ask("load", state=state, strict=strict)

    def parameters(self) -> dict:
        return self._ask("parameters")

    def train(self, training: bool = True) -> None:
        self._ask("mode", training=training)

    def gradients(self, *args, wrt=(), weight=None, **kwargs) -> dict:
        return self._ask("gradients", args=args, kwargs=kwargs, wrt=list(wrt), weight=weight)

    @property
    def value(self):
        return self._ask("value")

    def describe(self) -> dict:
        return self._ask("describe")

    def remarks(self) -> dict:
        return self._ask("remarks")

    def _ask(self, what: str, **request):
        for part in ("args", "kwargs"):
            if part in request:
                request[part] = _as_refs(request[part])
        request = {"do": what, "target": self._number, "limit": self._limit, "seed": self._seed} | request
        return self._read(unpack(self._send(pack(request))))

    def _read(self, reply):
        if "value" in reply:
            return reply["value"]
        if "ref" in reply:
            return Thing(self._send, reply["ref"], self._limit, self._seed)
        if "todo" in reply:
            raise NotAttempted(*reply.get("lines", []))
        if "slow" in reply:
            raise Slow(reply["slow"])
        if "raised" in reply:
            raise Raised(reply["raised"], reply["lines"], reply["cause"], reply["type"])
        raise _unusable(reply)


def _as_refs(values):
    def plain(value):
        return Ref(value._number) if isinstance(value, Thing) else value
    return {k: plain(v) for k, v in values.items()} if isinstance(values, dict) else [plain(v) for v in values]


def _unusable(reply) -> Wrong:
    if "detached" in reply:
        return Wrong("No gradient flows through the result: it is cut off from the inputs.",
                     why=".item(), .detach(), float(), .numpy(), .data or torch.no_grad() stands somewhere on the way.",
                     next="Stay with tensors from the inputs to the result.")
    if "not a tensor" in reply:
        return Wrong("The result must be a tensor; you returned an object of the type {type}.", type=reply["not a tensor"],
                     why="Gradients flow through tensors only: float(), .item() and .tolist() end them.",
                     next="Return the tensor itself.")
    error = "Error" in reply["not plain"]
    return Wrong("You returned something that cannot be compared: {what}", what=reply["not plain"],
                 why="An error that is returned stops nobody." if error else "",
                 next="`raise ValueError(...)`, not `return`." if error else "")
