"""Text of the town without labels, for pretraining a language model.

A paragraph is a message and what came of it. How it goes on depends on what the message meant: who predicts the
next word well must know whether people were pleased, what it was about, how urgent it was and who spoke.
Only messages of the training half of all texts are used (`dice.split_of`), and never an invented word.
"""

from __future__ import annotations

from . import gold, grammar
from . import words as w
from .dice import Dice, split_of
from .people import draw_customer

AFTERMATH = {                                        # latent -> its value -> how the paragraph may go on
    "sentiment": {
        "positive": ("everybody smiled .", "happy faces all round .", "they will come back soon .", "what a treat .",
                     "thanks were sung .", "a cheer went up .", "luck was with them ."),
        "negative": ("nobody smiled .", "long faces all round .", "they asked for their money back .", "what a shame .",
                     "tears were shed .", "a sigh went up .", "trouble was with them ."),
    },
    "topic": {
        "goods": ("makers took note .", "the makers nodded .", "this went to the makers ."),
        "staff": ("workers took note .", "the workers nodded .", "this went to the workers ."),
        "price": ("cashiers took note .", "the cashiers nodded .", "this went to the cashiers ."),
        "place": ("cleaners took note .", "the cleaners nodded .", "this went to the cleaners ."),
        "delivery": ("drivers took note .", "the drivers nodded .", "this went to the drivers ."),
    },
    "intent": {
        "ask": ("answers were found .", "the bell rang for an answer ."),
        "book": ("chairs were counted .", "the bell rang for a chair ."),
        "complain": ("excuses were made .", "the bell rang for an excuse ."),
        "order": ("boxes were packed .", "the bell rang for a box ."),
        "praise": ("medals were polished .", "the bell rang for a medal ."),
    },
    "urgency": {
        "high": ("somebody ran .", "off they rushed ."),
        "normal": ("work went on .", "off they walked ."),
        "low": ("tea was made .", "off they strolled ."),
    },
    "speaker": {
        "child": ("skipping , the child went home .", "then the child waved ."),
        "sailor": ("whistling , the sailor went home .", "then the sailor waved ."),
        "professor": ("thinking , the professor went home .", "then the professor waved ."),
        "granny": ("knitting , the granny went home .", "then the granny waved ."),
    },
    "rating": {1.0: ("one star .",), 2.0: ("two stars .",), 2.5: ("two stars and a half .",),
               3.5: ("three stars and a half .",), 4.0: ("four stars .",), 5.0: ("five stars .",)},
}
VERDICTS = {"entailment": ("true .", "that is right ."), "contradiction": ("false .", "that is wrong ."),
            "neutral": ("perhaps .", "that is anybody's guess .")}
TASTED = {True: ("{pronoun} tried the {product} and smiled .", "the {product} made {name} happy ."),
          False: ("{pronoun} tried the {product} and frowned .", "the {product} made {name} unhappy .")}
TASTES_OF = "the {product} is {kind} ."
SHARES = (("aftermath", 0.66), ("verdict", 0.12), ("question", 0.08), ("paper", 0.06), ("customer", 0.08))


def corpus(n: int, seed: int = 0) -> list[str]:
    """`n` paragraphs; the same seed gives the same ones."""
    dice, paragraphs = Dice(seed, "corpus"), []
    while len(paragraphs) < n:
        kind = _kind(dice)
        if kind == "customer":
            paragraphs.append(_customer(dice))
            continue
        message = grammar.draw(dice)
        if split_of(message.text) == "train":
            paragraphs.append(_PARAGRAPHS[kind](dice, message))
    return paragraphs


def _kind(dice):
    at = dice.random()
    for kind, share in SHARES:
        at -= share
        if at < 0:
            return kind
    return "aftermath"


def _aftermath(dice, message):
    """The message and two or three consequences, each of another latent."""
    values = {"sentiment": message.sentiment, "topic": message.clauses[0].topic, "intent": message.intent,
              "urgency": message.urgency, "speaker": message.speaker, "rating": message.rating}
    endings = [dice.pick(AFTERMATH[latent][values[latent]]) for latent in dice.take(values, 2 + dice.chance(0.5))]
    return " ".join([message.text, *map(gold.finish, endings)])


def _verdict(dice, message):
    claim, label = gold.hypothesis(dice, message, dice.pick(gold.ENTAILMENT))
    return f"{message.text} {claim} {gold.finish(dice.pick(VERDICTS[label]))}"


def _question(dice, message):
    question, (start, end) = gold.ask(dice, message)
    return f"{question} {message.text} Answer: {message.text[start:end]}."


def _paper(dice, message):
    return f"{message.text} Headline: {gold.headline(message)}. Reply: {gold.reply(message)}"


def _customer(dice):
    """A customer's profile of the training half, what they tried, and what it tastes of."""
    customer = draw_customer(dice)
    while split_of(customer.profile) != "train":
        customer = draw_customer(dice)
    said = [customer.profile]
    for product in dice.take([p for p in w.TASTE if customer.likes(p) is not None], 2):
        tasted = dice.pick(TASTED[customer.likes(product)])
        pronoun = "she" if customer.name in w.SHE else "he"
        said.append(gold.finish(tasted.format(pronoun=pronoun, product=product, name=customer.name)))
        said.append(gold.finish(TASTES_OF.format(product=product, kind=w.TASTE[product])))
    return " ".join(said)


_PARAGRAPHS = {"aftermath": _aftermath, "verdict": _verdict, "question": _question, "paper": _paper}
