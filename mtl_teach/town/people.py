"""Customers of the town, with tastes: who likes what, and how they talk about it."""

from __future__ import annotations

from dataclasses import dataclass

from . import words as w
from .dice import Dice, split_of

KINDS = tuple(w.FOOD)
PREFERENCE = ("dislikes", "likes")

# What a customer says of the kinds they love (5 stars), like (4), dislike (2) and cannot stand (1).
PROFILES = (
    "{name} loves {love} things and likes {like} ones . {pronoun} dislikes {dislike} things and hates {hate} ones .",
    "{name} hates {hate} things and dislikes {dislike} ones , but {pronoun} likes {like} things and loves {love} ones .",
    "nothing {hate} for {name} . {pronoun} loves {love} things , likes {like} ones and dislikes {dislike} ones .",
    "{name} does not like {dislike} things and never eats {hate} ones . {pronoun} adores {love} and enjoys {like} ones .",
    "{name} adores {love} things and enjoys {like} ones , but not {dislike} ones , and never {hate} ones .",
    "bring {name} {love} or {like} things . {pronoun} does not like {dislike} ones and hates {hate} ones .",
)


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer: a name, the profile text, and the latent taste {kind of food: 1, 2, 3, 4 or 5 stars}."""

    name: str
    profile: str
    taste: dict[str, int]

    def rating(self, product: str) -> int:
        """1 to 5 stars for a food product."""
        return self.taste[w.TASTE[product]]

    def likes(self, product: str) -> bool | None:
        """Whether the customer likes the product; None where the profile says nothing about its kind."""
        stars = self.rating(product)
        return None if stars == 3 else stars > 3


def draw_customer(dice: Dice) -> Customer:
    """A customer who loves one kind, likes one, dislikes one, hates one, and does not mind the fifth."""
    name, kinds = dice.pick(w.PEOPLE), dice.shuffled(KINDS)
    love, like, dislike, hate, neutral = kinds
    tokens = dice.pick(PROFILES).format(name=name, love=love, like=like, dislike=dislike, hate=hate,
                                        pronoun="she" if name in w.SHE else "he").split()
    sentences = [t if i and tokens[i - 1] != "." else t[0].upper() + t[1:] for i, t in enumerate(tokens)]
    text = " ".join(sentences).replace(" ,", ",").replace(" .", ".")
    return Customer(name, text, {love: 5, like: 4, neutral: 3, dislike: 2, hate: 1})


def customers(n: int, seed: int = 0, split: str | None = None) -> list[Customer]:
    """`n` customers; with a split ("train", ...) only those whose profile may stand in it."""
    dice, found = Dice(seed, "customers", split), []
    while len(found) < n:
        customer = draw_customer(dice)
        if split in (None, split_of(customer.profile)):
            found.append(customer)
    return found


def preference_row(dice: Dice, customer: Customer, label: str) -> dict:
    """The customer's profile and a product that they like, or dislike, as the label says."""
    wanted = label == "likes"
    product = dice.pick([name for name in w.TASTE if customer.likes(name) is wanted])
    return {"text": customer.profile, "text_b": f"The {product}.", "label": label}
