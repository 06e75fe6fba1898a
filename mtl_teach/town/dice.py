"""Chance that is the same on every machine: the town draws everything through `Dice`.

Only `random.Random.random()` is used. Its stream is promised to stay the same in all Python versions, which
`choice`, `sample` and `shuffle` do not promise.
"""

from __future__ import annotations

import hashlib
import random
import zlib

_SPLIT_OF = ("train", "train", "validation", "test")


class Dice:
    """A stream of draws that depends on its names alone: Dice(0, "topic", "train")."""

    def __init__(self, *names):
        key = hashlib.sha256(repr(names).encode()).digest()
        self.random = random.Random(int.from_bytes(key, "big")).random

    def pick(self, items):
        """One of the items, each as likely as any other."""
        return items[int(self.random() * len(items))]

    def chance(self, p: float) -> bool:
        return self.random() < p

    def sign(self) -> int:
        return 1 if self.random() < 0.5 else -1

    def shuffled(self, items) -> list:
        """The items in random order (Fisher-Yates)."""
        items = list(items)
        for i in range(len(items) - 1, 0, -1):
            j = int(self.random() * (i + 1))
            items[i], items[j] = items[j], items[i]
        return items

    def take(self, items, count: int) -> list:
        """`count` different items."""
        return self.shuffled(items)[:count]

    def bell(self) -> float:
        """A number with mean 0 and variance 1, close to normal: twelve uniform numbers added up (Irwin-Hall)."""
        return sum(self.random() for _ in range(12)) - 6.0


def split_of(text: str) -> str:
    """The only split a text may stand in: half of all texts are train, a quarter validation, a quarter test.

    The text itself decides, so no text of one split can stand in another one, whatever the task, size or seed.
    """
    return _SPLIT_OF[zlib.crc32(text.encode()) % 4]
