"""Tasks about hidden lexicons: which words make a mood, and how many of them two tasks have in common.

Each task has a lexicon of cue words with a polarity, +1 or -1. A message holds one cue word for each task that
labels it, sometimes after "not", which turns it round. The label is the sign of the sum: nothing but the words
decides, so the ceiling is exact.

    related    the share of the target's cue words that a partner's lexicon holds too; below 0 with the opposite
               polarity (1 the same lexicon, 0 no word in common, -1 the same words turned round)
    conflict   the share of those common words whose polarity is reversed on top
    cues       the number of cue words per lexicon: with more words a task needs more labels
    lexicon    "new": invented words that no model has seen, with polarities drawn from the seed;
               "town": the town's adjectives with their usual polarity
"""

from __future__ import annotations

from dataclasses import dataclass

from ..tasks import TaskError, nearest
from . import words as w
from .dice import Dice
from .grammar import capital

TARGET, PARTNERS = "mood", ("returns", "tips")
LEXICONS = ("new", "town")
MOST_CUES = {"new": 80, "town": 16}
USUAL_CUES = {"new": 60, "town": 16}
NEGATION = 0.3

INVENTED = tuple("""
    bebin blabon blamp blebosa blick blimema blivelo blomp blozz bluck bradon bralu brastin brepet brermo bresk brimin
    brovo bruff bruld bruluma bugiru cerim cerlet cevolo clalin clard clernin clipel clostu clubu cravin crerko
    crester crinto cruzz dedima dekel denet dorven drastin dresko dribon drovonu dulbin duret farkus flonk flupot
    flusk frama frelmot frelo fremp frerel frild frink frorota frosunu frunden fupesa ganusu gerlim getalo gisiro
    glantel glazim glenaro gleser gliga gliper glogema glond glonu glornin glurmer gluzz goskel graff gragelu grarmen
    grefen grerm grinot gromp grurm guleso guremo hodero hudot hutim jeldus jilber juvinu keniru kerdot kestin kestus
    klalbin kleff kleler klembo klezen klimben klindim kliskin klivon klulmin klupa klurken klusk koskon kurvin lolder
    lonon lostel maluno morlot nardet nezimo nizot nolfen norvo nosku nurler nusket parkel pepomu pintot plalbot plazz
    plend plerp pliriso plirlim plosim plulfa plult plurv pragoto pralbu pralfon prarb prasket prasten prikim prudilo
    ramot risim ruret salmu sedoma skarn skermer skermu skirp skiten skivuna skorn skusaru skuvim sland slarmot sliger
    slorp slorvus smerb smerlim smesp smesta smilt smokel smopoto smosu smulet smustu smuter snaper snask snirkel
    snirn snirt snogimo snolfet snurus snusu sogota sorkus spirn spond spufim spulma spuvema stevina stirda stizu
    stuzz tefon teluma tervim trafunu tratera trerin trerku trider tripoto troskon trostim truko turmel venotu vlasp
    vlastin vlerva vleter vlolfon vlomp vlontin vlumber vlupa vonet welen wobet wolmot wulim zegon zerka zevet zupot
    zwarvus zwesp zwirm zwizot zwolfo zwolu zwond zwornon zwosk zwosu zwurlon
""".split())

# Words that stand beside the cues and mean nothing to any lexicon.
PLAIN = ("red blue green brown grey white black round square tall short long wide narrow small large wooden painted "
         "striped folded").split()
NOUNS = tuple(aspect for topic in ("staff", "price", "place", "delivery") for aspect in w.ASPECTS[topic])

# {c} is a place for a cue word; as many as tasks that label the same message.
FRAMES = {
    1: ("{person} was {c} today .",
        "the {noun} at the {shop} was {c} .",
        "{person} says the {noun} was {c} .",
        "it was {c} at the {shop} .",
        "the {plain} {noun} was {c} .",
        "how {c} the {noun} was !",
        "{person} thinks the {shop} is {c} ."),
    2: ("{person} was {c} and the {noun} was {c} .",
        "the {noun} at the {shop} was {c} and {c} .",
        "{person} says the {plain} {noun} was {c} , {person} says {c} .",
        "it was {c} at the {shop} , and {person} was {c} ."),
    3: ("{person} was {c} , the {noun} was {c} and it was {c} .",
        "the {noun} at the {shop} was {c} , {c} and {c} .",
        "it was {c} and {c} at the {shop} , and {person} was {c} ."),
}


@dataclass(frozen=True)
class Lexicons:
    """The cue words {word: +1 or -1} of each task."""

    cues: dict[str, dict[str, int]]

    def score(self, task: str, tokens) -> int:
        """The sum over the task's cue words in the tokens; "not" before a word turns it round."""
        mine, total, before = self.cues[task], 0, ""
        for token in tokens:
            if token in mine:
                total += -mine[token] if before == "not" else mine[token]
            before = token
        return total

    def draw(self, dice: Dice, task: str, polarity: int) -> list[str]:
        """A message for one task, with one of its cue words; the sign of its score is given."""
        while True:
            tokens = write(dice, [dice.pick(tuple(self.cues[task]))])
            if self.score(task, tokens) * polarity > 0:
                return tokens

    def draw_shared(self, dice: Dice, tasks) -> list[str]:
        """A message with a label for each of several tasks: a cue word of each, and no score of 0."""
        while True:
            chosen = []
            for task in tasks:
                chosen.append(dice.pick([word for word in self.cues[task] if word not in chosen]))
            tokens = write(dice, chosen)
            if all(self.score(task, tokens) for task in tasks):
                return tokens


def lexicons(seed: int = 0, *, related=1.0, conflict: float = 0.0, cues: int | None = None,
             lexicon: str = "new") -> Lexicons:
    """The lexicons of "mood" and its partners "returns" and "tips".

    related may be a number for all partners or {partner: number}. The target's lexicon depends on seed, cues and
    lexicon alone, so its rows are the same at every relatedness. Values out of range are a TaskError.
    """
    related = _check(related, conflict, lexicon)
    cues = USUAL_CUES[lexicon] if cues is None else cues
    if not (isinstance(cues, int) and 4 <= cues <= MOST_CUES[lexicon] and cues % 2 == 0):
        raise TaskError(f"cues must be an even number from 4 to {MOST_CUES[lexicon]} with lexicon={lexicon!r}, got {cues!r}.")
    pools = _pools(Dice(seed, "lexicon", lexicon), cues, lexicon)
    target = pools[0]
    chosen = {TARGET: target}
    for partner, own in zip(PARTNERS, pools[1:], strict=True):
        share = round(abs(related[partner]) * cues)
        common = Dice(seed, "common", partner).shuffled(target)[:share]
        reverse = set(Dice(seed, "reversed", partner).shuffled(common)[:round(conflict * share)])
        sign = -1 if related[partner] < 0 else 1
        chosen[partner] = {word: target[word] * (-sign if word in reverse else sign) for word in common}
        chosen[partner] |= dict(list(own.items())[share:])
    return Lexicons(chosen)


def _check(related, conflict, lexicon):
    if lexicon not in LEXICONS:
        raise TaskError(f"unknown lexicon {lexicon!r}.{nearest(lexicon, LEXICONS)}")
    if not isinstance(related, dict):
        related = dict.fromkeys(PARTNERS, related)
    for name in related:
        if name not in PARTNERS:
            raise TaskError(f"related names an unknown partner {name!r}.{nearest(name, PARTNERS)}")
    related = dict.fromkeys(PARTNERS, 1.0) | related
    for what, value, low in (*((f"related[{name!r}]", value, -1) for name, value in related.items()),
                             ("conflict", conflict, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= 1:
            raise TaskError(f"{what} must be a number from {low} to 1, got {value!r}.")
    return related


def _pools(dice, cues, lexicon):
    """Three disjoint lexicons of `cues` words, half of them positive."""
    if lexicon == "new":
        words = dice.shuffled(INVENTED)
        lists = [words[i * cues:(i + 1) * cues] for i in range(3)]
        return [dict(zip(part, dice.shuffled([1, -1] * (cues // 2)), strict=True)) for part in lists]
    sides = [dice.shuffled([word for word, sign in w.POLARITY.items() if sign == s]) for s in (1, -1)]
    half = cues // 2
    parts = [dice.shuffled([word for side in sides for word in side[i * half:(i + 1) * half]]) for i in range(3)]
    return [{word: w.POLARITY[word] for word in part} for part in parts]


def write(dice: Dice, words) -> list[str]:
    """A message with the words in random order, some of them negated."""
    frame, words, tokens = dice.pick(FRAMES[len(words)]).split(), iter(dice.shuffled(words)), []
    for word in frame:
        if word == "{c}":
            tokens += ("not", next(words)) if dice.chance(NEGATION) else (next(words),)
        else:
            tokens += dice.pick(_FILL[word]).split() if word in _FILL else (word,)
    return [capital(t) if i == 0 or tokens[i - 1] == "." else t for i, t in enumerate(tokens)]


_FILL = {"{person}": w.PEOPLE, "{shop}": w.SHOPS, "{noun}": NOUNS, "{plain}": PLAIN}
