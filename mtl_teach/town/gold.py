"""More gold answers for a message: pair, question, facts, headline, reply. Each follows from its clauses alone."""

from __future__ import annotations

from dataclasses import dataclass

from . import words as w
from .dice import Dice
from .grammar import Message, join

ENTAILMENT = ("contradiction", "entailment", "neutral")
CLAIMS = {1: ("the {} was good .", "the {} was not bad .", "the {} was pleasing .", "people liked the {} ."),
          -1: ("the {} was bad .", "the {} was not good .", "the {} was disappointing .", "people disliked the {} .")}
QUESTIONS = {
    "PERSON": ("who was there ?", "who is named ?"),
    "SHOP": ("where was it ?", "which shop is named ?"),
    "TIME": ("when was it ?", "which day or hour is named ?"),
    1: ("what was good ?", "what pleased them ?"),
    -1: ("what was bad ?", "what annoyed them ?"),
}
MOOD = {1: "good", -1: "bad"}
SUBJECT = {"ask": "question", "book": "booking", "complain": "complaint", "order": "order", "praise": "praise"}
FEELING = {1: "we are glad about the {} .", -1: "we are sorry about the {} ."}
ACTION = {"ask": "you will have an answer", "book": "your place will be ready", "complain": "the owner will hear of it",
          "order": "your order will be ready", "praise": "the owner will hear of it"}
PACE = {"high": "at once .", "normal": "this week .", "low": "in good time ."}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A message of the town with every gold answer.

    text           the message; tokens are its words and punctuation, tags their BIO entity tags
    sentiment      "negative" or "positive": the deciding clause's polarity (what decides: see `grammar`)
    topic          "goods", "staff", "price", "place" or "delivery": what the deciding clause is about
    intent         "ask", "book", "complain", "order" or "praise"
    urgency        "low", "normal" or "high"
    speaker        "child", "sailor", "professor" or "granny"
    rating         1 to 5 stars: 1, 2, 2.5, 3.5, 4 or 5
    pair           a hypothesis, and whether the text makes it true, false or neither
    question       about the text; `answer` holds the characters [start, end) of the text that answer it
    triples        (subject, predicate, object) for each clause, the deciding one first
    headline, reply   what a newspaper, and the shop, would write
    """

    text: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    sentiment: str
    topic: str
    intent: str
    urgency: str
    speaker: str
    rating: float
    pair: tuple[str, str]
    question: str
    answer: tuple[int, int]
    triples: tuple[tuple[str, str, str], ...]
    headline: str
    reply: str


def complete(dice: Dice, message: Message, entailment: str | None = None) -> Sentence:
    """The message with all gold answers; what is free in them (which question, which hypothesis) is drawn."""
    question, answer = ask(dice, message)
    return Sentence(message.text, tuple(message.tokens), tuple(tags(message)), message.sentiment,
                    message.clauses[0].topic, message.intent, message.urgency, message.speaker, message.rating,
                    hypothesis(dice, message, entailment or dice.pick(ENTAILMENT)), question, answer,
                    triples(message), headline(message), reply(message))


def tags(message: Message) -> list[str]:
    """One BIO tag per token."""
    out = ["O"] * len(message.tokens)
    for kind, start, end in message.mentions:
        out[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return out


def hypothesis(dice: Dice, message: Message, label: str) -> tuple[str, str]:
    """A statement that the message entails, contradicts, or says nothing about (another aspect of the same topic).

    Aspect, polarity and wording are drawn alike for all labels, so the statement alone gives nothing away.
    """
    clause = dice.pick(message.clauses)
    polarity, aspect = clause.polarity, clause.aspect
    if label == "contradiction":
        polarity = -polarity
    if label == "neutral":
        told = {c.aspect for c in message.clauses}
        polarity, aspect = dice.sign(), dice.pick([a for a in w.ASPECTS[clause.topic] if a not in told])
    return finish(dice.pick(CLAIMS[polarity]).format(aspect)), label


def ask(dice: Dice, message: Message) -> tuple[str, tuple[int, int]]:
    """A question about a name, a shop, a time, or about what was good or bad; and its answer's characters."""
    places = {kind: (start, end) for kind, start, end in message.mentions if kind != "PRODUCT"}
    places |= {clause.polarity: clause.place for clause in message.clauses}
    about = dice.pick(list(places))
    return finish(dice.pick(QUESTIONS[about])), characters(message, *places[about])


def characters(message: Message, start: int, end: int) -> tuple[int, int]:
    """Where the tokens [start, end) stand in the message's text."""
    before, span = join(message.tokens[:start]), join(message.tokens[start:end])
    at = len(before) + 1 if start else 0
    return at, at + len(span)


def triples(message: Message) -> tuple[tuple[str, str, str], ...]:
    """What each clause states, with the opinion as "good" or "bad"; then who bought it, if that is told."""
    facts = [(clause.aspect, "was", MOOD[clause.polarity]) for clause in message.clauses]
    person = message.named("PERSON")
    if message.verb != "was":
        facts[0] = (person, "liked" if message.clauses[0].polarity > 0 else "disliked", message.clauses[0].aspect)
    if message.bought:
        facts.append((person, "took", message.clauses[0].aspect))
    return tuple(facts)


def headline(message: Message) -> str:
    """Say "Order: good plum jam at the Blue Kettle"."""
    clause, shop = message.clauses[0], message.named("SHOP")
    place = f" at the {shop}" if shop else ""
    return finish(f"{SUBJECT[message.intent]} : {MOOD[clause.polarity]} {clause.aspect}{place}")


def reply(message: Message) -> str:
    """Say "We are sorry about the bill. Your order will be ready at once."."""
    clause = message.clauses[0]
    action = f"{ACTION[message.intent]} {PACE[message.urgency]}"
    return finish(FEELING[clause.polarity].format(clause.aspect)) + " " + finish(action)


def finish(words: str) -> str:
    """Words and marks as one written sentence."""
    return join([words[0].upper() + words[1:]])
