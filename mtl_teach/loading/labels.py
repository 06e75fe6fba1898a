"""The names in labels: which there are, in which order, and which of them a model must have seen in training."""

from __future__ import annotations

import math
import re
from functools import cache
from itertools import chain

from .columns import is_number

BIO = re.compile(r"O|[BI]-.+")


def label_names(kind: str, label) -> list[str]:
    """What a model must have seen to know a label: the class names in it, the entity types of a tag sequence."""
    if kind == "classify":
        return [label]
    if kind == "tag":
        return list(set(map(_entity, set(label))))
    return list(label) if kind == "multilabel" else []


@cache
def _entity(tag: str) -> str:
    """x of B-x and I-x; O and tags that are not BIO stay as they are."""
    return tag[2:] if tag != "O" and BIO.fullmatch(tag) else tag


def label_set(kind: str, rows: list[dict], order: tuple[str, ...]) -> tuple[str, ...]:
    """The labels in the order of the logits: the source's order, or sorted, numbers by size; of BIO tags O comes
    first and every entity type has both its tags. () for kinds without labels."""
    found = {name for row in rows for name in label_names(kind, row["label"])}
    names = [name for name in order if name in found] if found <= set(order) else sorted(found, key=_by_size)
    if kind == "tag" and is_bio([row["label"] for row in rows]):
        return ("O", *(f"{mark}-{name}" for name in names if name != "O" for mark in "BI"))
    return tuple(names)


def is_bio(sequences: list[list[str]]) -> bool:
    """Whether tags mark entities (O, B-x, I-x) rather than giving every token a tag of its own, like NOUN."""
    return any(map(BIO.fullmatch, set(chain.from_iterable(sequences))))


def _by_size(name: str):
    number = float(name) if is_number(name) else math.inf
    return (number, name) if number == number else (math.inf, name)
