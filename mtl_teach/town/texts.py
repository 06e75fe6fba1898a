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
        "positive": ("everybody smiled .", "happy faces .", "they will come back .", "what a treat .", "thanks were sung ."),
        "negative": ("nobody smiled .", "long faces .", "they never came back .", "what a shame .", "tears were shed ."),
    },
    "topic": {
        "goods": ("makers took note .", "the makers nodded ."),
        "staff": ("workers took note .", "the workers nodded ."),
        "price": ("cashiers took note .", "the cashiers nodded ."),
        "place": ("cleaners took note .", "the cleaners nodded ."),
        "delivery": ("drivers took note .", "the drivers nodded ."),
    },
    "intent": {
        "ask": ("answers followed .", "a voice replied ."),
        "book": ("chairs followed .", "a chair was moved ."),
        "complain": ("excuses followed .", "a head was shaken ."),
        "order": ("boxes followed .", "a box was packed ."),
        "praise": ("medals followed .", "a medal was polished ."),
    },
    "urgency": {
        "high": ("somebody ran .", "off they rushed ."),
        "normal": ("somebody walked .", "off they went ."),
        "low": ("somebody strolled .", "off they dozed ."),
    },
    "speaker": {
        "child": ("skipping followed .", "then the child waved ."),
        "sailor": ("whistling followed .", "then the sailor waved ."),
        "professor": ("thinking followed .", "then the professor waved ."),
        "granny": ("knitting followed .", "then the granny waved ."),
    },
    "rating": {1.0: ("one star .",), 2.0: ("two stars .",), 2.5: ("two stars and a half .",),
               3.5: ("three stars and a half .",), 4.0: ("four stars .",), 5.0: ("five stars .",)},
}
VERDICTS = {"entailment": ("true .", "that is right ."), "contradiction": ("false .", "that is wrong ."),
            "neutral": ("perhaps .", "that is anybody's guess .")}
TASTED = {True: ("{pronoun} tried the {product} and smiled .", "the {product} made {name} happy ."),
          False: ("{pronoun} tried the {product} and frowned .", "the {product} made {name} unhappy .")}
TASTES_OF = "the {product} is {kind} ."
SHORT_SHARE = 0.4                                    # messages of one plain clause: words are learned there first
GOSSIP = (
    "{person} called the {aspect} {a} and {b} .",
    "the {aspect} was {a} , {b} and {c} .",
    "the {aspect} was not {d} but {a} .",
)
MAKERS = {"goods": "makers", "staff": "workers", "price": "cashiers", "place": "cleaners", "delivery": "drivers"}
FACTS = ("the {a} and the {b} are for the {makers} .", "{style} says the {speaker} .")
SHARES = (("aftermath", 0.52), ("verdict", 0.12), ("question", 0.08), ("paper", 0.06), ("customer", 0.06), ("gossip", 0.08),
          ("fact", 0.08))


def corpus(n: int, seed: int = 0) -> list[str]:
    """`n` paragraphs; the same seed gives the same ones."""
    dice, paragraphs = Dice(seed, "corpus"), []
    while len(paragraphs) < n:
        kind = _kind(dice)
        if kind in _WITHOUT_MESSAGE:
            paragraphs.append(_WITHOUT_MESSAGE[kind](dice))
            continue
        message = grammar.draw(dice, short=dice.chance(SHORT_SHARE))
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
    """The message and three or four consequences, each of another latent."""
    values = {"sentiment": message.sentiment, "topic": message.clauses[0].topic, "intent": message.intent,
              "urgency": message.urgency, "speaker": message.speaker, "rating": message.rating}
    latents = [latent for latent in dice.shuffled(values) if values[latent]][:3 + dice.chance(0.5)]
    endings = [dice.pick(AFTERMATH[latent][values[latent]]) for latent in latents]
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


def _gossip(dice):
    """Adjectives side by side: "and" joins those of one polarity, "not ... but" those of opposite polarity."""
    aspect, positive = dice.pick(list(w.TOPIC_OF)), dice.chance(0.5)
    alike, other = (w.ADJECTIVES["any"][side] + w.ADJECTIVES[grammar.kind_of(aspect)][side] for side in (positive, not positive))
    a, b, c = dice.take(alike + w.ADJECTIVES["strong"][positive], 3)
    said = dice.pick(GOSSIP).format(person=dice.pick(w.PEOPLE), aspect=aspect, a=a, b=b, c=c, d=dice.pick(other))
    return f"{gold.finish(said)} {gold.finish(dice.pick(AFTERMATH['sentiment'][w.SENTIMENTS[positive]]))}"


def _fact(dice):
    """Who cares for what, or who talks how."""
    if dice.chance(0.5):
        topic = dice.pick(w.TOPICS)
        a, b = dice.take(w.ASPECTS[topic], 2)
        return gold.finish(FACTS[0].format(a=a, b=b, makers=MAKERS[topic]))
    speaker = dice.pick(w.SPEAKERS)
    style = dice.pick(w.OPENERS[speaker] + tuple(closer[2:] + " ," for closer in w.CLOSERS[speaker]))
    return gold.finish(FACTS[1].format(style=style, speaker=speaker))


_WITHOUT_MESSAGE = {"customer": _customer, "gossip": _gossip, "fact": _fact}
_PARAGRAPHS = {"aftermath": _aftermath, "verdict": _verdict, "question": _question, "paper": _paper}
