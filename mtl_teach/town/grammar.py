"""From latent variables to a message: one opinion, how it is said, who says it and what they want.

    opener  clause(s)                                            request           haste
    Ahoy ,  the bread was not bad , but the waiter was rude .    Tell me more      at once .

Where two clauses contrast, one decides sentiment, rating and topic: the clause after "but" does, and the clause
after "although" or "despite" never does. Contrasting clauses are about different topics and of opposite polarity.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import words as w
from .dice import Dice

# `aspect` and `opinion` belong to the deciding clause, `side_...` to the other one.
SINGLE = (
    "the {aspect} {at} was {opinion} {time}",
    "{person} {verb} the {aspect} {at} {time}",
    "{time} {person} {verb} the {aspect} {at}",
    "{person} {bought} the {aspect} {at} {time} , and it was {opinion}",         # goods only
    "{person} {came} the {shop} {time} , and the {aspect} was {opinion}",        # all but goods
)
CONTRAST = (
    "the {side_aspect} was {side_opinion} , but the {aspect} {at} was {opinion}",
    "the {side_aspect} was {side_opinion} , but {person} {verb} the {aspect}",
    "although the {side_aspect} was {side_opinion} , the {aspect} {at} was {opinion}",
    "although the {side_aspect} was {side_opinion} , {person} {verb} the {aspect}",
    "the {aspect} {at} was {opinion} , although the {side_aspect} was {side_opinion}",
    "{person} {verb} the {aspect} {at} , although the {side_aspect} was {side_opinion}",
    "despite the {side_adjective} {side_aspect} , the {aspect} {at} was {opinion}",
    "the {aspect} {at} was {opinion} despite the {side_adjective} {side_aspect}",
)
BUYING, COMING = SINGLE[3], SINGLE[4]
FRAMES = tuple(frame for frame in SINGLE if frame != BUYING), tuple(frame for frame in SINGLE if frame != COMING)
SPLIT = {frame: tuple(frame.split()) for frame in SINGLE + CONTRAST}
SHOP_SHARE, TIME_SHARE = 0.4, 0.3
STYLES = ((True, False), (False, True), (True, True))                        # opener, closer, or both
ENTITIES = ("PERSON", "SHOP", "PRODUCT", "TIME")
TAGS = ("O", *(f"{part}-{kind}" for kind in ENTITIES for part in "BI"))


@dataclass(slots=True)
class Clause:
    """What one clause says: about what, how good (+1 or -1), by how many stars, and in which tokens [start, end)."""

    aspect: str
    polarity: int
    strength: float = 1.0
    place: tuple[int, int] = (0, 0)

    @property
    def topic(self) -> str:
        return w.TOPIC_OF[self.aspect]


@dataclass(slots=True)
class Message:
    """A message with its latent variables; clauses[0] decides. `mentions` are (kind, first token, end token)."""

    tokens: list[str]
    mentions: list[tuple[str, int, int]]
    clauses: list[Clause]
    intent: str
    urgency: str
    speaker: str
    verb: str                       # the deciding clause's verb, "was" where it has an adjective
    bought: str = ""

    @property
    def text(self) -> str:
        return join(self.tokens)

    @property
    def sentiment(self) -> str:
        return w.SENTIMENTS[self.clauses[0].polarity > 0]

    @property
    def rating(self) -> float:
        """1 to 5 stars: three, plus or minus the strength of the deciding clause."""
        return 3.0 + self.clauses[0].polarity * self.clauses[0].strength

    def named(self, kind: str) -> str:
        """The first PERSON, SHOP, PRODUCT or TIME of the message; empty if there is none."""
        return next((" ".join(self.tokens[a:b]) for k, a, b in self.mentions if k == kind), "")


def join(tokens) -> str:
    """Words and punctuation as written text."""
    text = " ".join(tokens)
    for mark in ".,?!:":
        text = text.replace(" " + mark, mark)
    return text


def draw(dice: Dice, *, negation: float = 0.3, contrast: float = 0.3, sentiment=None, topic=None, intent=None,
         urgency=None, speaker=None, short: bool = False) -> Message:
    """One message. Latents that are not given are drawn: all values are equally likely.

    negation, contrast: how often an opinion is negated ("not good"), and how often two clauses contrast.
    short: the opinion alone, in one clause; nothing shows the speaker then, who is "".
    """
    if short:
        intent, urgency, contrast = dice.pick(("praise", "complain")), "normal", 0.0
    intent = intent or _intent(dice, sentiment)
    sentiment = {"praise": "positive", "complain": "negative"}.get(intent) or sentiment or dice.pick(w.SENTIMENTS)
    polarity = 1 if sentiment == "positive" else -1
    topic = topic or dice.pick(w.TOPICS)
    clauses = [Clause(dice.pick(w.ASPECTS[topic]), polarity, dice.pick(w.STRENGTHS))]
    if two := dice.chance(contrast):
        other = dice.pick([t for t in w.TOPICS if t != topic])
        clauses.append(Clause(dice.pick(w.ASPECTS[other]), -polarity))
        frame = dice.pick(CONTRAST)
    else:
        frame = dice.pick(FRAMES[topic == "goods"])
    speaker = "" if short else speaker or dice.pick(w.SPEAKERS)
    message = Message([], [], clauses, intent, urgency or dice.pick(w.URGENCIES), speaker, "was")
    asks = not short and (intent in ("ask", "order", "book") or message.urgency != "normal")
    _write(dice, message, frame, negation, asks, roomy=not (short or two and asks))
    return message


def _intent(dice, sentiment):
    """Every intent one time in five; only the happy praise and only the unhappy complain."""
    if sentiment is None:
        return dice.pick(w.INTENTS)
    own = "praise" if sentiment == "positive" else "complain"
    return dice.pick((own, own, "ask", "book", "order"))


def _write(dice, message, frame, negation, asks, roomy):
    """Fill the message's tokens, mentions and clause places."""
    tokens, (opens, closes) = message.tokens, dice.pick(STYLES) if message.speaker else (False, False)
    if opens:
        tokens += dice.pick(w.OPENERS[message.speaker]).split()
    for word in SPLIT[frame]:
        if word[0] == "{":
            _SLOTS[word[1:-1]](dice, message, negation, roomy)
        else:
            tokens.append(word)
    if tokens[-1] == ",":
        tokens.pop()
    if closes:
        tokens += dice.pick(w.CLOSERS[message.speaker]).split()
    tokens.append(".")
    if asks:
        wish = f"{dice.pick(w.REQUESTS[message.intent])} {dice.pick(w.HASTE[message.urgency])}".split()
        tokens += [capital(wish[0]), *wish[1:], "."]
    tokens[0] = capital(tokens[0])


def capital(word: str) -> str:
    return word[0].upper() + word[1:]


def _mention(message, kind, words):
    start = len(message.tokens)
    message.tokens += words.split()
    message.mentions.append((kind, start, len(message.tokens)))


def _aspect(message, clause):
    start = len(message.tokens)
    if clause.topic == "goods":
        _mention(message, "PRODUCT", clause.aspect)
    else:
        message.tokens += clause.aspect.split()
    clause.place = (start, len(message.tokens))


def kind_of(aspect: str) -> str:
    """Which of the ADJECTIVES suit an aspect besides "any"."""
    topic = w.TOPIC_OF[aspect]
    return topic if topic != "goods" else "food" if aspect in w.TASTE else "thing"


def phrase(dice, clause, negation) -> str:
    """An opinion of the clause's polarity and strength: "not very good"."""
    negated = dice.chance(negation)
    if clause.strength == 2.0 and not negated and dice.chance(0.5):
        return dice.pick(w.STRONG_GRADES).format(dice.pick(w.ADJECTIVES["strong"][clause.polarity > 0]))
    adjective = dice.pick(w.ADJECTIVES[dice.pick(("any", kind_of(clause.aspect)))][(clause.polarity > 0) != negated])
    return dice.pick(w.GRADES[clause.strength][negated]).format(adjective)


def _verb(dice, message, negation, room):
    clause, negated = message.clauses[0], dice.chance(negation)
    message.verb = dice.pick(w.VERBS[clause.strength][negated][(clause.polarity > 0) != negated])
    message.tokens += message.verb.split()


def _at(dice, message, negation, room):
    if room and dice.chance(SHOP_SHARE):
        message.tokens += ("at", "the")
        _mention(message, "SHOP", dice.pick(w.SHOPS))


def _time(dice, message, negation, room):
    if room and dice.chance(TIME_SHARE):
        before, time = dice.pick(w.TIMES)
        if before:
            message.tokens.append(before)
        _mention(message, "TIME", time)


def _bought(dice, message, negation, room):
    message.bought = dice.pick(w.BOUGHT)
    message.tokens.append(message.bought)


_SLOTS = {
    "aspect": lambda dice, m, negation, room: _aspect(m, m.clauses[0]),
    "side_aspect": lambda dice, m, negation, room: _aspect(m, m.clauses[1]),
    "opinion": lambda dice, m, negation, room: m.tokens.extend(phrase(dice, m.clauses[0], negation).split()),
    "side_opinion": lambda dice, m, negation, room: m.tokens.extend(phrase(dice, m.clauses[1], negation).split()),
    "side_adjective": lambda dice, m, negation, room: m.tokens.append(
        dice.pick(w.ADJECTIVES[kind_of(m.clauses[1].aspect)][m.clauses[1].polarity > 0])),
    "person": lambda dice, m, negation, room: _mention(m, "PERSON", dice.pick(w.PEOPLE)),
    "shop": lambda dice, m, negation, room: _mention(m, "SHOP", dice.pick(w.SHOPS)),
    "came": lambda dice, m, negation, room: m.tokens.extend(dice.pick(w.CAME).split()),
    "verb": _verb, "at": _at, "time": _time, "bought": _bought,
}
