"""From a row of text to token ids and a label in numbers. Done once, before training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from .tasks import Task, TaskError

IGNORE = -100                       # positions that carry no label; cross-entropy skips them


@dataclass(slots=True)
class Encoded:
    """One row in numbers.

    ids    the token ids of the input, special tokens included
    label  classify: int; multilabel: list of 0/1; regress: float; tag, generate: one int per token id
           (IGNORE off the labelled ones); span: (first, last) token position; None where the row has no label
    spots  how to get back from tokens to the row: tag: position of each word's first piece (-1: cut off);
           span: (start, end) characters in text_b of each token (None outside text_b); else None
    """

    ids: list[int]
    label: object = None
    spots: list | None = None

    @property
    def size(self) -> int:
        """How many labels the row adds to the denominator of its task's loss."""
        return sum(x != IGNORE for x in self.label) if self.spots_per_token else 1

    @property
    def spots_per_token(self) -> bool:
        return isinstance(self.label, list) and len(self.label) == len(self.ids)


def encode(task: Task, rows: list[dict], tokenizer, max_length: int | None = None, labelled: bool = True) -> list[Encoded]:
    """Tokenise the rows of a task; labels become numbers unless `labelled` is False.

    Texts longer than `max_length` tokens are cut, with one warning that counts them. A row whose answer
    would be cut off (span, generate) is refused: TaskError.
    """
    if not rows:
        return []
    limit = max_length or tokenizer.model_max_length
    limit = limit if limit < 10**6 else None
    encoded = _ENCODERS[task.kind](task, rows, tokenizer, limit, labelled)
    return encoded


def _tokenise(task, rows, tokenizer, limit, **extra):
    """Call the tokenizer on all rows; cut what is too long and say how many rows that were."""
    texts = [text_of(row) for row in rows]
    pairs = [row["text_b"] for row in rows] if "text_b" in rows[0] else None
    out = tokenizer(texts, pairs, add_special_tokens=True, padding=False, truncation=False, verbose=False, **extra)
    long = sum(len(ids) > limit for ids in out["input_ids"]) if limit else 0
    if long:
        warnings.warn(f"task {task.name!r}: {long} of {len(rows)} texts are longer than the {limit} tokens the model "
                      "can read; their ends are cut off.", stacklevel=4)
        side = "only_second" if task.kind == "span" else "longest_first"
        out = tokenizer(texts, pairs, padding=False, truncation=side, max_length=limit, **extra)
    return _nothing_empty(out, tokenizer)


def _nothing_empty(out, tokenizer):
    """An empty text becomes one end token: a model cannot read no token at all."""
    filler = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.pad_token_id
    for number, ids in enumerate(out["input_ids"]):
        if not ids:
            out["input_ids"][number] = [filler]
            if "offset_mapping" in out:
                out["offset_mapping"][number] = [(0, 0)]
    return out


def text_of(row: dict) -> str:
    """The text of a row; a tag row may hold only its tokens."""
    return row["text"] if "text" in row else " ".join(row["tokens"])


def _encode_pooled(task, rows, tokenizer, limit, labelled):
    ids = _tokenise(task, rows, tokenizer, limit)["input_ids"]
    numbers = [_NUMBER[task.kind](task, row["label"]) for row in rows] if labelled else [None] * len(rows)
    return [Encoded(i, n) for i, n in zip(ids, numbers)]


def _multi_hot(task, names):
    chosen = {task.index(name) for name in names}
    return tuple(float(c in chosen) for c in range(len(task.labels)))


_NUMBER = {"classify": Task.index, "multilabel": _multi_hot, "regress": lambda task, value: float(value)}


def _encode_tags(task, rows, tokenizer, limit, labelled):
    out = _tokenise(task, rows, tokenizer, limit, return_offsets_mapping=True)
    encoded = []
    for number, (row, ids, offsets) in enumerate(zip(rows, out["input_ids"], out["offset_mapping"])):
        spots = first_pieces(locate(row, number, task), offsets)
        label = None
        if labelled:
            label = [IGNORE] * len(ids)
            for spot, tag in zip(spots, row["label"], strict=True):
                if spot >= 0:
                    label[spot] = task.index(tag)
        encoded.append(Encoded(ids, label, spots))
    return encoded


def locate(row: dict, number: int, task: Task) -> list[tuple[int, int]]:
    """The characters [start, end) of each token in the row's text; a token that is not there is a TaskError."""
    text, at, places = text_of(row), 0, []
    for token in row["tokens"]:
        start = text.find(token, at)
        if start < 0:
            raise TaskError(f"task {task.name!r}, row {number}: the token {token!r} does not stand in the text "
                            f"{text!r} (after character {at}). Tokens must follow one another in the text.")
        at = start + len(token)
        places.append((start, at))
    return places


def first_pieces(words: list[tuple[int, int]], offsets: list[tuple[int, int]]) -> list[int]:
    """For each word the first token that covers a character of it, -1 where there is none. One pass."""
    spots, piece = [], 0
    for start, end in words:
        while piece < len(offsets) and offsets[piece][1] <= start:      # special tokens have offsets (0, 0)
            piece += 1
        hit = piece < len(offsets) and offsets[piece][0] < end
        spots.append(piece if hit else -1)
        piece += hit                                                    # a token serves one word only
    return spots


def _encode_spans(task, rows, tokenizer, limit, labelled):
    out = _tokenise(task, rows, tokenizer, limit, return_offsets_mapping=True)
    encoded = []
    for number, (row, ids, offsets) in enumerate(zip(rows, out["input_ids"], out["offset_mapping"])):
        inside = out.sequence_ids(number)
        spots = [tuple(place) if part == 1 else None for place, part in zip(offsets, inside)]
        label = _token_span(task, number, row["label"], spots) if labelled else None
        encoded.append(Encoded(ids, label, spots))
    return encoded


def _token_span(task, number, span, spots):
    start, end = span
    covered = [i for i, spot in enumerate(spots) if spot and spot[0] < end and spot[1] > start]
    if not covered or spots[covered[-1]][1] < end:
        raise TaskError(f"task {task.name!r}, row {number}: the answer at characters {start}-{end} is cut off, because "
                        "the text is longer than the model can read. Shorten or split the text, or drop the row.")
    return covered[0], covered[-1]


def _encode_generation(task, rows, tokenizer, limit, labelled):
    """ids = prompt, separator [, answer, end]; only the answer and the end carry labels."""
    end = tokenizer.eos_token_id
    start = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else end
    prompts = _tokenise(task, rows, tokenizer, limit and limit - 1)["input_ids"]
    if not labelled:
        return [Encoded([*prompt, start]) for prompt in prompts]
    answers = tokenizer([row["label"] for row in rows], add_special_tokens=False)["input_ids"]
    encoded = []
    for number, (prompt, answer) in enumerate(zip(prompts, answers)):
        ids = [*prompt, start, *answer, end]
        if limit and len(ids) > limit:
            raise TaskError(f"task {task.name!r}, row {number}: prompt and answer have {len(ids)} tokens, the model "
                            f"reads {limit}. Shorten the prompt or drop the row.")
        encoded.append(Encoded(ids, [IGNORE] * (len(prompt) + 1) + [*answer, end]))
    return encoded


_ENCODERS = {"classify": _encode_pooled, "multilabel": _encode_pooled, "regress": _encode_pooled,
             "tag": _encode_tags, "span": _encode_spans, "generate": _encode_generation}
