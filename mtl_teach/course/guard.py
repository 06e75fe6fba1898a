"""What surrounds a learner's code while it is checked: captured prints, a time limit, and global state put back."""

from __future__ import annotations

import contextlib
import io
import random
import signal
import threading
import time
import warnings

import numpy as np
import torch

KEPT = 20_000                           # characters of what an answer prints


class TooSlow(BaseException):
    """The answer took longer than it may. Not an Exception, so that `except Exception` does not swallow it."""


class Captured(io.TextIOBase):
    """Takes what is printed; keeps its beginning and counts the rest."""

    def __init__(self):
        self.kept, self.total = "", 0

    def writable(self):
        return True

    def write(self, text):
        text = str(text)
        self.total += len(text)
        self.kept += text[:max(0, KEPT - len(self.kept))]
        return len(text)


@contextlib.contextmanager
def captured(into: Captured):
    with contextlib.redirect_stdout(into), contextlib.redirect_stderr(into), warnings.catch_warnings():
        warnings.simplefilter("ignore")                 # a warning is no mistake, and names files of this machine
        yield


@contextlib.contextmanager
def time_limit(seconds: float):
    """Raise TooSlow inside the block after so many seconds, also in a sleep; where signals do not reach
    (Windows, other threads than the main one) there is no limit."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        raise TooSlow(seconds)

    handler, start = signal.signal(signal.SIGALRM, stop), time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)         # again each second, if it is swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:                                                               # somebody else's alarm goes on
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - start)), interval)


SETTINGS = {                            # name for the reader -> (read, put back)
    "torch.set_default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.set_grad_enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.set_num_threads": (torch.get_num_threads, torch.set_num_threads),
    "torch.use_deterministic_algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "torch.set_default_device": (torch.get_default_device, torch.set_default_device),
}


class State:
    """Global state as it was: `changes()` names what is other now, `restore()` puts everything back."""

    def __init__(self):
        self.settings = {name: read() for name, (read, put) in SETTINGS.items()}
        self.torch, self.numpy, self.python = torch.get_rng_state(), np.random.get_state(), random.getstate()

    def changes(self) -> list[str]:
        return [name for name, (read, put) in SETTINGS.items() if read() != self.settings[name]]

    def restore_settings(self):
        for name in self.changes():
            SETTINGS[name][1](self.settings[name])

    def restore(self):
        self.restore_settings()
        torch.set_rng_state(self.torch)
        np.random.set_state(self.numpy)
        random.setstate(self.python)


REAL = {"numpy.random.seed": (np.random, np.random.seed), "random.seed": (random, random.seed)}


def seed_all(seed: int) -> None:
    torch.default_generator.manual_seed(seed)          # the CPU generator alone: a GPU's goes on as it was
    for _module, call in REAL.values():
        call(seed)


@contextlib.contextmanager
def noticing_seeds(seen: set):
    """Add 'torch.manual_seed', 'numpy.random.seed' or 'random.seed' to `seen` where the block calls them.

    torch tells by its initial seed, which the check sets by `seed_all` and drawing numbers does not change.
    """

    def watched(name, call):
        def seed(*args, **kwargs):
            seen.add(name)
            return call(*args, **kwargs)
        return seed

    for name, (module, call) in REAL.items():
        module.seed = watched(name, call)
    try:
        yield
    finally:
        for module, call in REAL.values():
            module.seed = call
