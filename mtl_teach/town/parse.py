"""Is this a text of the town? A regular expression made from the same tables that the messages are made from."""

from __future__ import annotations

import re
from functools import cache

from . import gold, grammar, people, texts
from . import words as w

TOKEN = re.compile(r"[^\W_]+(?:'\w+)?|[^\w\s]")


def parses(text: str) -> bool:
    """Whether the grammar can write this text: a message, alone or with what a paragraph of `corpus` adds to it.

    Not only the form counts: adjectives must suit what they describe, contrasting clauses must be of different
    topics and opposite polarity, and only goods are bought.
    """
    tokens = tokenize(text)
    if not tokens or grammar.join(tokens) != text or not _capitals(tokens):
        return False
    flat = " ".join(tokens).lower()
    if _customer().fullmatch(flat) or _gossip().fullmatch(flat) or _fact().fullmatch(flat):
        return True
    match = _paragraph().fullmatch(flat)
    return bool(match) and any(_makes_sense(frame, match["opinion_part"]) for frame in grammar.SINGLE + grammar.CONTRAST)


def tokenize(text: str) -> list[str]:
    """Words and marks, as the town's own tokens."""
    return TOKEN.findall(text)


def _capitals(tokens):
    """Every sentence begins with a capital letter."""
    starts = [token for i, token in enumerate(tokens) if i == 0 or tokens[i - 1] in ".?!"]
    return all(token[0].isupper() for token in starts)


def one_of(choices) -> str:
    """A pattern for any of the choices, longest first."""
    return "(?:" + "|".join(re.escape(x.lower()).replace(r"\ ", " ") for x in sorted(choices, key=len, reverse=True)) + ")"


def _slots(templates, **slots) -> str:
    """A pattern for any of the templates, with {slot} replaced by the slot's pattern."""
    return "(?:" + "|".join(_fill(template.lower(), slots) for template in templates) + ")"


def _fill(template, slots):
    parts = re.split(r"(\{\w*\})", template)
    return "".join(slots[part[1:-1]] if part[:1] == "{" else re.escape(part).replace(r"\ ", " ") for part in parts)


@cache
def _paragraph():
    opener = one_of(x for xs in w.OPENERS.values() for x in xs)
    closer = one_of(x for xs in w.CLOSERS.values() for x in xs)
    wish = f"{one_of(x for xs in w.REQUESTS.values() for x in xs)}(?: {one_of(x for xs in w.HASTE.values() for x in xs if x)})?"
    question = one_of(x for xs in gold.QUESTIONS.values() for x in xs)
    body = r"(?P<opinion_part>(?:(?! [.?!] ).)+?)"
    style = f"(?:{opener} )?{body}(?: {closer})?"
    message = f"{style} [.](?: {wish} [.])?"
    after = one_of(x for values in texts.AFTERMATH.values() for xs in values.values() for x in xs)
    aspect, mood = one_of(w.TOPIC_OF), one_of(gold.MOOD.values())
    claim = _slots((x for xs in gold.CLAIMS.values() for x in xs), **{"": aspect})
    verdict = one_of(x for xs in texts.VERDICTS.values() for x in xs)
    headline = f"{one_of(gold.SUBJECT.values())} : {mood} {aspect}(?: at the {one_of(w.SHOPS)})?"
    reply = f"{_slots(gold.FEELING.values(), **{'': aspect})} {one_of(gold.ACTION.values())} {one_of(gold.PACE.values())}"
    rest = f"(?:(?: {after})+| {claim} {verdict}| headline : {headline} [.] reply : {reply})?"
    return re.compile(f"(?:{question} )?{message}{rest}(?: answer : [\\w ]+ [.])?")


@cache
def _customer():
    name, kind, product = one_of(w.PEOPLE), one_of(people.KINDS), one_of(w.TASTE)
    profile = _slots(people.PROFILES, name=name, love=kind, like=kind, dislike=kind, hate=kind, pronoun="(?:she|he)")
    tasted = _slots((x for xs in texts.TASTED.values() for x in xs), pronoun="(?:she|he)", product=product, name=name)
    of = _slots([texts.TASTES_OF], product=product, kind=kind)
    return re.compile(f"{profile}(?: {tasted}(?: {of})?)*")


@cache
def _gossip():
    adjective = one_of(w.POLARITY)
    said = _slots(texts.GOSSIP, person=one_of(w.PEOPLE), aspect=one_of(w.TOPIC_OF), **dict.fromkeys("abcd", adjective))
    return re.compile(f"{said} {one_of(x for xs in texts.AFTERMATH['sentiment'].values() for x in xs)}")


@cache
def _fact():
    aspect, styles = one_of(w.TOPIC_OF), [x for xs in w.OPENERS.values() for x in xs]
    styles += [closer[2:] + " ," for xs in w.CLOSERS.values() for closer in xs]
    return re.compile(_slots(texts.FACTS, a=aspect, b=aspect, makers=one_of(texts.MAKERS.values()), style=one_of(styles),
                             speaker=one_of(w.SPEAKERS)))


@cache
def _frame(frame):
    """The pattern of one frame, with a group for each slot."""
    adjective = one_of(w.POLARITY)
    opinion = _slots((*(f for pair in w.GRADES.values() for forms in pair for f in forms), *w.STRONG_GRADES),
                     **{"": adjective})
    verb = one_of(v for pairs in w.VERBS.values() for pair in pairs for verbs in pair for v in verbs)
    slots = {"aspect": one_of(w.TOPIC_OF), "opinion": opinion, "adjective": adjective, "person": one_of(w.PEOPLE),
             "shop": one_of(w.SHOPS), "verb": verb, "bought": one_of(w.BOUGHT), "came": one_of(w.CAME),
             "at": f"at the {one_of(w.SHOPS)}", "time": one_of(" ".join(time).strip() for time in w.TIMES)}
    pattern = ""
    for word in frame.split():
        name = word.strip("{}")
        group = f"(?P<{name}>{slots[name.removeprefix('side_')]})" if word[0] == "{" else re.escape(word)
        pattern += f"(?:{group} )?" if name in ("at", "time") else f"{group} "
    return re.compile(pattern)


def _makes_sense(frame, text):
    match = _frame(frame).fullmatch(text + " ")
    if not match:
        return False
    slots = match.groupdict()
    clauses = [(slots["aspect"], slots.get("opinion") or slots.get("verb"))]
    if "side_aspect" in slots:
        clauses.append((slots["side_aspect"], slots.get("side_opinion") or slots["side_adjective"]))
    topics = [w.TOPIC_OF[aspect] for aspect, _ in clauses]
    if (frame == grammar.BUYING and topics[0] != "goods") or (frame == grammar.COMING and topics[0] == "goods"):
        return False
    contrast = len(clauses) == 1 or (topics[0] != topics[1] and polarity(clauses[0][1]) == -polarity(clauses[1][1]))
    return contrast and all(_suits(aspect, opinion) for aspect, opinion in clauses)


_VERB_SIGN = {verb: sign for pairs in w.VERBS.values() for pair, turn in zip(pairs, (1, -1), strict=True)
              for verbs, sign in zip(pair, (-turn, turn), strict=True) for verb in verbs}


def polarity(opinion: str) -> int:
    """+1 or -1: the adjective's or the verb's, turned round by "not"."""
    if opinion in _VERB_SIGN:
        return _VERB_SIGN[opinion]
    words = opinion.split()
    return next(w.POLARITY[word] for word in words if word in w.POLARITY) * (-1 if "not" in words else 1)


def _suits(aspect, opinion):
    kinds = ("any", "strong", grammar.kind_of(aspect))
    known = [word for word in opinion.split() if word in w.POLARITY]
    return not known or any(known[0] in side for kind in kinds for side in w.ADJECTIVES[kind])
