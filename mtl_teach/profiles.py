"""Profiles: the same notebooks on the embedded world (tiny) or on real models and data (hub).

`MTL_PROFILE=hub` in the environment, or `profile("hub")` in a notebook, switches. Numbers in the text belong to the
tiny profile; in the hub profile claims are reported, not enforced.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from .tasks import TaskError, nearest


@dataclass(frozen=True)
class Profile:
    """What a chapter takes from its surroundings.

    backbone  name for load_backbone
    lr        a learning rate that suits this backbone when all of it is fine-tuned
    data      two related tasks on real text, for load_tasks; None where there is no network to fetch them with
    note      one sentence for the reader
    """

    name: str
    backbone: str
    lr: float
    data: tuple[str, ...] | None
    note: str


PROFILES = {
    "tiny": Profile("tiny", "tiny", 1e-3, None,
                    "Profile tiny: the embedded town and language model, on this computer, without a network."),
    "hub": Profile("hub", "distilgpt2", 5e-5, ("hub:cardiffnlp/tweet_eval/sentiment", "hub:cardiffnlp/tweet_eval/emotion"),
                   "Profile hub: a real language model from the Hugging Face hub. The numbers in the text are those of the "
                   "profile tiny; yours will differ, and a claim that does not hold is reported, not an error."),
}


def profile(name: str | None = None) -> Profile:
    """The profile of this name, or of the environment variable MTL_PROFILE; "tiny" if neither says otherwise."""
    name = name or os.environ.get("MTL_PROFILE", "").strip() or "tiny"
    if name not in PROFILES:
        raise TaskError(f"unknown profile {name!r}.{nearest(name, PROFILES)}")
    return PROFILES[name]
