"""From columns to tasks: which columns are the input, which are targets, and of which kind.

The rules, in order: your own `fields` and `kinds`; well-known names (`label`, `score`, `tags`, ...); columns whose
few different values come back again and again. Everything else is left aside, and a note says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..tasks import KINDS, TaskError, nearest
from .files import Part

# Two texts that belong together; where several fit, the first does.
PAIRS = (("text", "text_b"), ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"),
         ("question", "context"), ("question", "paragraph"), ("question", "passage"), ("question", "sentence"),
         ("text1", "text2"), ("sentence_a", "sentence_b"))
SINGLES = ("text", "sentence", "review", "content", "utterance", "tweet", "comment", "question", "query", "document",
           "article", "prompt")
TOKENS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "pos_tags", "chunk_tags", "slots", "slot_tags", "bio")
CLASSES = ("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "domain", "genre",
           "emotion", "stance", "polarity")
NUMBERS = ("score", "rating", "stars", "similarity", "similarity_score", "relatedness", "relatedness_score", "grade")
TEXTS = ("summary", "headline", "highlights", "reply", "response", "completion")
NUMBERING = ("id", "ids", "idx", "index", "guid", "uid", "uuid")
SIDE = (*NUMBERING, "timestamp", "date", "time", "year", "lang", "language",
        "locale", "user", "username", "author", "speaker_id", "item", "url", "link", "source", "split", "fold", "file",
        "filename", "path", "title", "answer_start", "level", "difficulty", "annotator", "worker")

REPEATS = 3                 # a column of words is a label if each value comes, on average, at least this often
MOST_CLASSES = 200          # ... and if there are no more values than this


@dataclass(frozen=True)
class Target:
    """A column to predict. `told` means that the caller named the kind; `order` is the labels' own order, if any."""

    column: str
    kind: str
    inputs: dict[str, str]          # standard name (text, text_b, tokens) -> column
    told: bool = False
    order: tuple[str, ...] = ()


def rename(part: Part, fields: dict[str, str]) -> Part:
    """Give columns their standard names: those in `fields` ({standard: column}), then all in lower case."""
    names = {column: standard for standard, column in fields.items() if column in part.columns}
    taken = set(names.values())
    for column in part.columns:
        plain = column.strip().lower()
        if column not in names and plain not in taken:
            names[column] = plain
            taken.add(plain)
    if all(column == name for column, name in names.items()) and len(names) == len(part.columns):
        return part
    rows = [{names[column]: value for column, value in row.items() if column in names} for row in part.rows]
    return Part(rows, part.source, part.places, part.unit, part.typed)


def find_inputs(part: Part) -> dict[str, str]:
    """{"text": column, "text_b": column, "tokens": column}, as far as there are such columns."""
    columns = set(part.columns)
    inputs = {}
    single = next((name for name in SINGLES if name in columns), None)
    pairs = [pair for pair in PAIRS if columns.issuperset(pair)]
    pair = next((pair for pair in pairs if pair[0] == "text" or "text" not in columns), None)
    if pair:
        inputs = {"text": pair[0], "text_b": pair[1]}
    elif single:
        inputs = {"text": single}
    tokens = next((name for name in TOKENS if name in columns), None)
    if tokens:
        inputs["tokens"] = tokens
    if not inputs:
        raise TaskError(f"{part.source}: no column holds the text (found: {', '.join(part.columns)}). Call it "
                        f"'text', or say which it is: fields={{\"text\": {part.columns[0]!r}}}.")
    return inputs


def find_targets(part: Part, name: str, kinds: dict[str, str],
                 orders: dict[str, tuple]) -> tuple[list[Target], list[str]]:
    """The targets of a data set's training part, and the columns left aside.

    kinds: {column or task name: kind} as the caller gave them; orders: {column: label names} where the source knows.
    """
    inputs = find_inputs(part)
    free = [column for column in part.columns if column not in inputs.values()]
    told = _told(name, free, kinds)
    targets = []
    for column in free:
        kind = told.get(column) or _guess(column, part, inputs, column in orders)
        if kind:
            targets.append(Target(column, kind, inputs, column in told, tuple(orders.get(column, ()))))
    if len(targets) == 1 and name in kinds:                         # the task bears the data set's own name
        targets = [Target(targets[0].column, kinds[name], inputs, True, targets[0].order)]
    if not targets:
        raise TaskError(f"{part.source}: no column looks like a label (found: {', '.join(part.columns)}). Call it "
                        "'label' or 'score', or name its kind: "
                        f"kinds={{{free[0] if free else 'label'!r}: 'classify'}} (kinds: {', '.join(KINDS)}).")
    used = {target.column for target in targets} | {*NUMBERING, "answer_start"}
    return targets, [column for column in free if column not in used]


def _told(name: str, columns: list[str], kinds: dict[str, str]) -> dict[str, str]:
    """Kinds by column; a key may be the column or the task (data set and column)."""
    told = {}
    for key, kind in kinds.items():
        if kind not in KINDS:
            raise TaskError(f"kinds: unknown kind {kind!r} for {key!r}.{nearest(kind, KINDS)}")
        column = key.removeprefix(f"{name}_")
        column = column if column in columns else key.lower()
        if column in columns:
            told[column] = kind
    return told


def _guess(column: str, part: Part, inputs: dict[str, str], classes: bool) -> str | None:
    """The kind of a column, or None if it is no target. classes: the source declares it to be class names."""
    if column in SIDE or column.endswith("_id"):
        return None
    values = [value for value in part.values(column) if value is not None]
    if not values:
        return None
    if _is_answer(column, part, inputs, values):
        return "span"
    if column in TAGS and "tokens" in inputs:
        return "tag"
    if isinstance(values[0], list):
        return _guess_lists(column, values, part, inputs)
    if isinstance(values[0], dict):
        return None
    if column in TEXTS:
        return "generate"
    if column in NUMBERS:
        return "regress"
    if "text" not in inputs:
        return None
    return _guess_single(column, values, part, classes)


def _guess_single(column: str, values: list, part: Part, classes: bool) -> str | None:
    """classify, regress or None for a column of single values."""
    if column == "labels" and not part.typed and any("|" in value for value in values):
        return "multilabel"
    numeric = all_numbers(values)
    if column in CLASSES and numeric and any(float(value) % 1 for value in values):
        return "regress"
    different = len(set(map(str, values)))
    scattered = different > len(values) / 2 and len(values) >= 20
    if scattered and column in ("label", "labels"):
        raise TaskError(f"{part.source}: {column!r} has {different} different values in {len(values)} rows, so "
                        f"it does not name classes. Say what it is: kinds={{{column!r}: 'regress'}} for numbers, "
                        "'generate' for text to write.")
    few = different <= MOST_CLASSES and different * REPEATS <= len(values)
    known = column in CLASSES and not scattered
    varied = different > 1 or column in ("label", "labels")         # a label with one value is an error, later
    return "classify" if varied and (known or classes or few and not numeric) else None


def _guess_lists(column: str, values: list, part: Part, inputs: dict[str, str]) -> str | None:
    names = [name for value in values if isinstance(value, list) for name in value]
    if not names or not all(isinstance(name, str) for name in names):
        return None
    words = part.values(inputs["tokens"]) if "tokens" in inputs else []
    if words and all(len(value) == len(word) for value, word in zip(part.values(column), words) if value and word):
        return "tag"
    few = len(set(names)) <= MOST_CLASSES and len(set(names)) * REPEATS <= len(names)
    return "multilabel" if "text" in inputs and (few or column in CLASSES) else None


def _is_answer(column: str, part: Part, inputs: dict[str, str], values: list) -> bool:
    """An answer cut from the second text: `answer` with `answer_start`, or the `answers` of SQuAD."""
    if "text_b" not in inputs:
        return False
    squad = column in ("answer", "answers") and isinstance(values[0], dict) and "answer_start" in values[0]
    return squad or column == "answer" and "answer_start" in part.columns


def all_numbers(values: list) -> bool:
    """Whether every value is a number or text that reads as one (True and False are not)."""
    return all(is_number(value) for value in values)


def is_number(value) -> bool:
    if isinstance(value, bool):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
