"""The learner's side of a check: holds the answer, does what it is asked, replies in plain values.

`Learner.handle(bytes) -> bytes` is all there is between a check and an answer. In a notebook the two stand in one
process; a grader puts a pipe between them. A request is {"do": what, ...}; a reply is one of

    {"value": ...}  {"ref": number, "type": name}  {"todo": True}
    {"raised": message, "lines": [...], "cause": text}  {"slow": seconds}  {"not plain": text}
"""

from __future__ import annotations

import functools
import inspect

import torch

from ..i18n import _
from .causes import likely_cause, message, own_lines
from .guard import Captured, State, TooSlow, captured, noticing_seeds, seed_all, time_limit
from .untouched import gaps, has_gap, is_untouched
from .wire import NotPlain, Ref, pack, unpack

MISSING = object()                      # there is no answer under the name


class Learner:
    """answer: the learner's object. stub: the cell as it was given. props: {name: factory} for objects made here."""

    def __init__(self, answer, name: str = "", stub: str = "", props: dict | None = None):
        self.objects, self.name, self.stub, self.props = {0: answer}, name, stub, props or {}
        self.captured, self.seeds, self.mutated, self.changed = Captured(), set(), [], []
        self.before, self._seed = State(), None

    def handle(self, request: bytes) -> bytes:
        request = unpack(request)
        with noticing_seeds(self.seeds), captured(self.captured):
            reply = self._answer(request)
        self._notice_settings()
        try:
            return pack(reply)
        except NotPlain as error:
            return pack({"not plain": str(error)})

    def _answer(self, request):
        try:
            with time_limit(request.get("limit", 60.0)):
                return getattr(self, f"do_{request['do']}")(request)
        except NotPlain as error:
            return {"not plain": str(error)}
        except TooSlow as error:
            return {"slow": error.args[0]}
        except NotImplementedError as error:
            return {"todo": True, "lines": own_lines(error)}
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:                                  # SystemExit too: a check outlives the answer
            return {"raised": message(error), "lines": own_lines(error), "cause": likely_cause(error),
                    "type": type(error).__name__}

    def _notice_settings(self):
        self.changed += [name for name in self.before.changes() if name not in self.changed]
        self.before.restore_settings()
        if self._seed is not None and torch.initial_seed() != self._seed:
            self.seeds.add("torch.manual_seed")

    # ---- what can be asked ----------------------------------------------------------------------------------------------

    def do_describe(self, request):
        answer = self.objects[0]
        return {"value": {"kind": kind_of(answer), "type": type(answer).__name__, "shown": shown(answer),
                          "untouched": is_untouched(answer, self.name, self.stub), "gaps": gaps(answer)}}

    def do_value(self, request):
        return {"value": self.objects[0]}

    def do_call(self, request):
        target = self.objects[request["target"]]
        if request.get("method"):
            target = getattr(target, request["method"])
        args, kwargs = self._seeded(request)
        before = [*map(self._bytes, args)]
        result = target(*args, **kwargs)
        self._notice_mutations(target, args, before)
        return {"todo": True} if has_gap(result) else {"value": result}

    def do_build(self, request):
        args, kwargs = self._seeded(request)
        return self._keep(self.objects[request["target"]](*args, **kwargs))

    def do_prop(self, request):
        args, kwargs = self._seeded(request)
        return self._keep(self.props[request["name"]](*args, **kwargs))

    def do_get(self, request):
        return {"value": getattr(self.objects[request["target"]], request["name"])}

    def do_mode(self, request):
        self.objects[request["target"]].train(request["training"])
        return {"value": None}

    def do_state(self, request):
        return {"value": {name: part.detach() for name, part in self.objects[request["target"]].state_dict().items()}}

    def do_load(self, request):
        self.objects[request["target"]].load_state_dict(request["state"], strict=request.get("strict", True))
        return {"value": None}

    def do_parameters(self, request):
        return {"value": {name: {"shape": list(p.shape), "trains": p.requires_grad}
                          for name, p in self.objects[request["target"]].named_parameters()}}

    def do_gradients(self, request):
        """Gradients of the (weighted) sum of the result: of the arguments `wrt`, and of a module's parameters."""
        target = self.objects[request["target"]]
        args, kwargs = self._seeded(request)
        wrt = [args[number].requires_grad_() for number in request["wrt"]]
        named = dict(target.named_parameters()) if isinstance(target, torch.nn.Module) else {}
        named = {name: p for name, p in named.items() if p.requires_grad}
        result = target(*args, **kwargs)
        if not isinstance(result, torch.Tensor):
            return {"not a tensor": type(result).__name__}
        if not result.requires_grad:
            return {"detached": True}
        weight = request.get("weight")
        total = (result * (1.0 if weight is None else weight)).sum()
        grads = torch.autograd.grad(total, [*wrt, *named.values()], allow_unused=True)
        return {"value": {"inputs": list(grads[:len(wrt)]), "parameters": dict(zip(named, grads[len(wrt):]))}}

    def do_remarks(self, request):
        """What was noticed on the way, and the global random state is put back to what it was before the check."""
        self.before.restore()
        self._seed = None
        return {"value": {"printed": self.captured.kept, "length": self.captured.total, "mutated": self.mutated,
                          "changed": self.changed, "seeds": sorted(self.seeds)}}

    # ---- helpers --------------------------------------------------------------------------------------------------------

    def _seeded(self, request):
        """The arguments, with references replaced by objects; the random state is that of the request's seed."""
        self._seed = request.get("seed", 0)
        seed_all(self._seed)

        def real(value):
            return self.objects[value.number] if isinstance(value, Ref) else value
        return [real(value) for value in request["args"]], {name: real(v) for name, v in request["kwargs"].items()}

    def _keep(self, made):
        number = len(self.objects)
        self.objects[number] = made
        return {"ref": number, "type": type(made).__name__}

    def _bytes(self, value):
        try:
            return pack(value)
        except NotPlain:
            return None                                                 # an object made here

    def _notice_mutations(self, target, args, before):
        for number, (value, old) in enumerate(zip(args, before)):
            if self._bytes(value) != old:
                name = argument_name(target, number)
                if name not in self.mutated:
                    self.mutated.append(name)


def argument_name(target, number: int) -> str:
    try:
        return list(inspect.signature(target).parameters)[number]
    except (TypeError, ValueError, IndexError):
        return _("argument {n}").format(n=number + 1)


def kind_of(answer) -> str:
    """missing, none, class, module (an instance of nn.Module), lambda, function, or value."""
    if answer is MISSING:
        return "missing"
    if answer is None:
        return "none"
    if isinstance(answer, type):
        return "class"
    if isinstance(answer, torch.nn.Module):
        return "module"
    if getattr(answer, "__name__", "") == "<lambda>":
        return "lambda"
    plain_callable = inspect.isroutine(answer) or isinstance(answer, functools.partial)
    return "function" if plain_callable or callable(answer) else "value"


def shown(answer) -> str:
    """A short text for the answer in messages: its name, or what it is."""
    thing = _("an object of the class {name}").format(name=type(answer).__name__)
    if kind_of(answer) in ("class", "function", "lambda"):
        return getattr(answer, "__name__", thing)
    if isinstance(answer, torch.Tensor):
        return f"tensor {tuple(answer.shape)}"
    text = " ".join(repr(answer)[:400].split()) if isinstance(answer, (int, float, str, list, tuple, dict, set)) else ""
    return (text if len(text) <= 60 else text[:57] + "...") or thing
