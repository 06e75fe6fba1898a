"""Tiny Town: a small made-up town from which messages, and every gold answer, are drawn from known latent variables.

Pure Python, no download; the same seed gives the same text on every machine.

    town_tasks(["sentiment", "mood"])     tasks with rows, ready for training
    sentences(3), customers(3)            messages and customers with all that is known about them
    corpus(3), parses(text)               text without labels, and whether a text is one the town could write
    ceiling("sentiment", noise=0.1)       the best score that anyone can reach
    lexicons(seed=0, related=0.5)         the cue words behind "mood", "returns" and "tips"
"""

from ..tasks import TaskError
from .build import TASKS, town_tasks
from .dice import Dice, split_of
from .gold import Sentence, complete
from .grammar import draw
from .lexicon import INVENTED, Lexicons, lexicons
from .noise import ceiling
from .parse import parses
from .people import Customer, customers
from .texts import corpus

__all__ = ["INVENTED", "TASKS", "Customer", "Lexicons", "Sentence", "ceiling", "corpus", "customers", "lexicons", "parses",
           "sentences", "split_of", "town_tasks"]


def sentences(n: int, seed: int = 0, *, negation: float = 0.3, contrast: float = 0.3) -> list[Sentence]:
    """`n` messages with all gold answers, all latent values equally likely."""
    if n < 0 or not 0 <= negation <= 1 or not 0 <= contrast <= 1:
        raise TaskError(f"sentences needs n >= 0 and shares from 0 to 1, got {n=}, {negation=}, {contrast=}.")
    dice = Dice(seed, "sentences")
    return [complete(dice, draw(dice, negation=negation, contrast=contrast)) for _ in range(n)]
