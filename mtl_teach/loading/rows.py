"""From columns to the rows a model trains on, one kind of task at a time.

Every reader checks its column over the whole part before it makes a row: what it finds wrong is a TaskError that
names the file, the line, what stands there and what to do. Rows keep the order of the part, so that several tasks
made from one part can be split and shuffled alike.
"""

from __future__ import annotations

import math
from itertools import chain

from ..tasks import TaskError
from .columns import Target, is_number
from .files import Part
from .labels import BIO, is_bio


def build_rows(target: Target, part: Part, notes: list[str]) -> list[dict | None]:
    """One row per row of the part; None where a row cannot serve the task (a note then says how many and why)."""
    inputs = _read_inputs(target, part)
    labels = _READERS[target.kind](target, part, inputs, notes)
    columns = {name: values for name, values in inputs.items() if values is not None}
    return [None if label is None else {**dict(zip(columns, cells)), "label": label}
            for label, *cells in zip(labels, *columns.values())]


def is_labelled(target: Target, part: Part, train: Part) -> bool:
    """Whether the part has labels for the target. Public test sets often have none, or -1 (no label of training)."""
    values = set(map(str, part.values(target.column)))
    hidden = values <= {"None", "-1", "-1.0"}
    return not hidden or "-1" in values and "-1" in map(str, train.values(target.column))


# ---- inputs ---------------------------------------------------------------------------------------------------


def _read_inputs(target: Target, part: Part) -> dict[str, list | None]:
    """The input columns by standard name, checked: text and text_b, or for tag rows tokens and, where it fits, text."""
    needs = {"tag": "tokens", "span": "text_b"}.get(target.kind, "text")
    if needs not in target.inputs:
        raise TaskError(f"{part.source}: {target.column!r} as {target.kind} needs a column {needs!r}, but the input is "
                        f"{', '.join(target.inputs.values())}. Add it, or name it: fields={{{needs!r}: ...}}.")
    if target.kind == "tag":
        tokens = _read_lists(part, target.inputs["tokens"])
        return {"text": _matching_texts(target, part, tokens), "tokens": tokens}
    names = [name for name in ("text", "text_b") if name in target.inputs]
    return {name: _read_texts(part, target.inputs[name]) for name in names}


def _present(part: Part, column: str) -> list:
    """The column's values; a row without one is an error."""
    values = part.values(column)
    gaps = [number for number, value in enumerate(values) if value is None]
    if gaps:
        part.refuse(gaps, f"no {column!r} in this row", "Fill it in or remove the row. If only some rows carry this "
                    "label, put them into a data set (folder) of their own.")
    return values


def _read_texts(part: Part, column: str) -> list[str]:
    values = _present(part, column)
    _all(part, values, lambda value: isinstance(value, str), column, "is not text", "Put texts in quotes.")
    _all(part, values, str.strip, column, "is empty", "Write the text or remove the row.")
    return values


def _read_lists(part: Part, column: str) -> list[list[str]]:
    """Lists of strings; text (all that a CSV can hold) is cut at its spaces."""
    values = [value.split() if isinstance(value, str) else value for value in _present(part, column)]

    def fits(value):
        return isinstance(value, list) and set(map(type, value)) == {str} and all(map(str.strip, value))
    _all(part, values, fits, column, "is not a list of words", "Write it as [\"a\", \"b\"], without empty entries.")
    return values


def _all(part: Part, values: list, fits, column: str, what: str, then: str):
    """Refuse the part if any value does not fit."""
    bad = [number for number, value in enumerate(values) if not fits(value)]
    if bad:
        part.refuse(bad, f"{column!r} {what}: {_shown(values[bad[0]])}", then)


def _shown(value) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _matching_texts(target: Target, part: Part, tokens: list[list[str]]) -> list[str] | None:
    """The texts that tokens were cut from, if every token stands in its text, in order; else None."""
    texts = part.values(target.inputs.get("text", ""))
    fits = all(isinstance(text, str) and _follow(text, words) for text, words in zip(texts, tokens))
    return texts if fits else None


def _follow(text: str, words: list[str]) -> bool:
    at = 0
    for word in words:
        at = text.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True


# ---- labels, by kind ------------------------------------------------------------------------------------------


def _type_name(value, typed: bool) -> str:
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, (int, float)) or not typed and is_number(value):
        return "a number"
    return "text" if isinstance(value, str) else "something else"


def _class_name(value) -> str:
    """Labels are names: 1 and 1.0 become "1", true becomes "true", spaces around a name fall away."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _read_classes(target, part, inputs, notes):
    values = _present(part, target.column)
    types = [_type_name(value, part.typed) for value in values]
    _all(part, values, lambda value: isinstance(value, (str, int, float)), target.column, "is not a class name",
         "Use one short text or number per row; for several names per row, make all of them lists.")
    if len(set(types)) > 1 and not target.told:
        common = max(set(types), key=types.count)
        odd = [number for number, name in enumerate(types) if name != common]
        part.refuse(odd, f"{target.column!r} mixes types: here {types[odd[0]]} ({_shown(values[odd[0]])}), elsewhere "
                    f"mostly {common}", "Mend the column, or, if all are class names, say "
                    f"kinds={{{target.column!r}: 'classify'}}.")
    return [_class_name(value) for value in values]


def _read_names(target, part, inputs, notes):
    values = [value.split("|") if isinstance(value, str) else value for value in _present(part, target.column)]

    def fits(value):
        return isinstance(value, list) and all(isinstance(name, (str, int)) for name in value)
    _all(part, values, fits, target.column, "is not a list of names", "Write [\"a\", \"b\"]; in a CSV: a|b.")
    return [list(dict.fromkeys(name for item in value if (name := _class_name(item)))) for value in values]


def _read_numbers(target, part, inputs, notes):
    values = _present(part, target.column)
    _all(part, values, is_number, target.column, "is not a number",
         f"Write numbers such as 3.5; if these are names, say kinds={{{target.column!r}: 'classify'}}.")
    numbers = [float(value) for value in values]
    _all(part, numbers, math.isfinite, target.column, "is not a finite number", "Fill the value in or remove the row.")
    return numbers


def _read_tags(target, part, inputs, notes):
    tokens, tags = inputs["tokens"], _read_lists(part, target.column)
    uneven = [number for number, (words, marks) in enumerate(zip(tokens, tags)) if len(words) != len(marks)]
    if uneven:
        words, marks = tokens[uneven[0]], tags[uneven[0]]
        part.refuse(uneven, f"{len(words)} tokens but {len(marks)} tags ({_shown(' '.join(words))})",
                    "Give every token one tag.")
    if not is_bio(tags):
        return tags
    bad = {tag for tag in set(chain.from_iterable(tags)) if not BIO.fullmatch(tag)}
    if bad:
        wrong = [number for number, marks in enumerate(tags) if bad.intersection(marks)]
        tag = next(tag for tag in tags[wrong[0]] if tag in bad)
        part.refuse(wrong, f"{tag!r} is no BIO tag",
                    "Use O, B-type for the first token of an entity and I-type inside it.")
    fixed = [marks if set(marks) == {"O"} else _open_entities(marks) for marks in tags]
    changed = sum(a != b for old, new in zip(tags, fixed) if old is not new for a, b in zip(old, new))
    if changed:
        notes.append(f"{part.source}: {changed} tags I-x in {target.column!r} begin an entity; they are read as B-x.")
    return fixed


def _open_entities(tags: list[str]) -> list[str]:
    """I-x that follows neither B-x nor I-x becomes B-x (some files write the older IOB1 scheme)."""
    return [f"B-{tag[2:]}" if tag[0] == "I" and before[2:] != tag[2:] else tag
            for before, tag in zip(["O", *tags], tags)]


def _read_spans(target, part, inputs, notes):
    answers = [_answer(value, row) for value, row in zip(_present(part, target.column), part.rows)]
    _all(part, answers, lambda a: a is None or isinstance(a[0], str) and is_number(a[1]), target.column,
         "needs the answer's text and the character it starts at", "Give 'answer' and 'answer_start', counted from 0.")
    spans = [None if a is None else [int(a[1]), int(a[1]) + len(a[0])] for a in answers]
    off = [number for number, (span, a) in enumerate(zip(spans, answers))
           if a and (not a[0] or span[0] < 0 or inputs["text_b"][number][slice(*span)] != a[0])]
    if off:
        (start, end), (answer, _) = spans[off[0]], answers[off[0]]
        there = inputs["text_b"][off[0]][max(start, 0):end]
        part.refuse(off, f"the answer {answer!r} does not stand at character {start} of the second text; there stands "
                    f"{there!r}", "Mend 'answer_start' (characters, counted from 0) or the answer.")
    if missing := spans.count(None):
        notes.append(f"{part.source}: {missing} questions without an answer are left out.")
    return spans


def _answer(value, row: dict) -> tuple | None:
    """(text, start); None for a question that has no answer. SQuAD lists several answers: the first counts."""
    if not isinstance(value, dict):
        return value, row.get("answer_start")
    texts, starts = value.get("text"), value.get("answer_start")
    if isinstance(texts, list) and isinstance(starts, list):
        return (texts[0], starts[0]) if texts and starts else None
    return texts, starts


def _read_writing(target, part, inputs, notes):
    return _read_texts(part, target.column)


_READERS = {"classify": _read_classes, "multilabel": _read_names, "regress": _read_numbers, "tag": _read_tags,
            "span": _read_spans, "generate": _read_writing}
