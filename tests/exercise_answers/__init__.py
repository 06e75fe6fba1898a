"""What learners may hand in, one module per chapter: the companions of mtl_teach/course/exercises."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path


@dataclass
class Rows:
    """wrong: (answer, words of the message it must get), three or more. right: unusual answers that must pass."""

    wrong: list[tuple] = field(default_factory=list)
    right: list = field(default_factory=list)


def answers() -> dict[str, Rows]:
    found = {}
    for path in sorted(Path(__file__).parent.glob("ch*.py")):
        found |= import_module(f"{__name__}.{path.stem}").ANSWERS
    return found
