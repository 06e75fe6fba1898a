"""The checks. Each looks at every row a fixed number of times: the cost grows with the rows, not with their pairs."""

from __future__ import annotations

import re
import statistics
import unicodedata
from collections import Counter, defaultdict
from itertools import chain

from ..tasks import SPLITS, Task, TaskError, TaskSet
from .report import Finding, Report

SHORT = 3                       # letters and digits: fewer are a short text
LONG = 10                       # a text so many times as long as the task's median is a long one
UNEVEN = 5                      # the commonest label at least so many times as often as the rarest: imbalance
DRIFT = 0.1                     # at least this part of the test rows would need another label: drift

DEBRIS = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]*(?:\s[^<>]*)?/?>"         # <br />, <p class="x">
                    r"|&(?:[a-zA-Z]{2,8}|#\d{1,6});"                    # &nbsp;
                    r"|[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"     # lost characters, control characters
                    r"|Ã[\x80-\xbf]|Â[\xa0-\xbf]|â€")                   # UTF-8 that was read as Latin-1
PUNCTUATION = re.compile(r"[\W_]+")


def check_quality(tasks: TaskSet) -> Report:
    """Look for faults in every task and split, and between tasks.

    Duplicates, leaks from test or validation into training (also of another task), contradicting labels, empty,
    short and long texts, debris of other formats, imbalance, drift between training and test. Texts count as near
    duplicates if they differ only in case, spaces and punctuation. A finding is a reason to look, not a proof.
    """
    if not isinstance(tasks, TaskSet) or not tasks:
        raise TaskError("check_quality looks at a TaskSet with at least one task: the result of mt.load_tasks(...).")
    splits = [Split(name, split, data.task, data.split(split)) for name, data in tasks.items() for split in SPLITS]
    by_task = [splits[at:at + 3] for at in range(0, len(splits), 3)]
    findings = [*chain.from_iterable(map(_texts, splits)), *chain.from_iterable(map(_duplicates, splits)),
                *chain.from_iterable(map(_leaks, by_task)), *_leaks_between(by_task),
                *chain.from_iterable(map(_contradictions, by_task)), *chain.from_iterable(map(_labels, by_task))]
    return Report([found for found in findings if found], [_facts(train, test) for train, _, test in by_task])


class Split:
    """One split of one task, with what all checks need of its texts.

    texts  the whole input of each row as one string; near  the same without case, punctuation and extra spaces;
    None where nothing but spaces stands in the text
    """

    def __init__(self, name: str, split: str, task: Task, rows: list[dict]):
        self.name, self.split, self.task, self.rows = name, split, task, rows
        self.texts = [whole_text(row) for row in rows]
        self.near = [near_text(text) for text in self.texts]
        self.labels = [_comparable(row.get("label")) for row in rows]

    def finding(self, check: str, rows, detail: str = "") -> Finding | None:
        """A Finding about these rows, with the first as example; None where there are none."""
        rows = tuple(rows)
        if not rows:
            return None
        example = detail + shown(self.texts[rows[0]])
        return Finding(check, self.name, self.split, rows, len(rows) / len(self.rows), example)


def whole_text(row: dict) -> str:
    text = row["text"] if "text" in row else " ".join(row.get("tokens", ()))
    return f"{text} | {row['text_b']}" if "text_b" in row else text


def near_text(text: str) -> str | None:
    """The text without what near duplicates differ in; punctuation alone stays as it is; None for an empty text."""
    plain = PUNCTUATION.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return plain or text.strip() or None


def shown(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= length else text[:length - 3] + "...")


def _comparable(label):
    return tuple(map(str, label)) if isinstance(label, (list, tuple)) else label


# ---- texts ----------------------------------------------------------------------------------------------------


def _texts(part: Split):
    """Empty, short and long texts, and debris."""
    parts = [[row.get("text", " ".join(row.get("tokens", ()))), *([row["text_b"]] if "text_b" in row else [])]
             for row in part.rows]
    empty = {number for number, texts in enumerate(parts) if not all(text.strip() for text in texts)}
    lengths = [len(text) for text in part.texts]
    median = statistics.median(lengths) if lengths else 0
    short = [n for n, texts in enumerate(parts) if n not in empty
             and min(len(PUNCTUATION.sub("", text)) for text in texts) < SHORT]
    yield part.finding("empty text", sorted(empty))
    yield part.finding("short text", short)
    yield part.finding("long text", [n for n, length in enumerate(lengths) if length > LONG * median],
                       f"{max(lengths, default=0)} characters, the median is {median:.0f}: ")
    debris = [n for n, text in enumerate(part.texts) if DEBRIS.search(text)]
    yield part.finding("debris", debris, f"{DEBRIS.search(part.texts[debris[0]]).group()!r} in " if debris else "")


def _duplicates(part: Split):
    """Rows whose text and label stood before in the same split: exactly so, or nearly."""
    exact, near = [], []
    seen_exact, seen_near = set(), set()
    for number, (text, plain, label) in enumerate(zip(part.texts, part.near, part.labels)):
        if plain is None:
            continue
        if (text, label) in seen_exact:
            exact.append(number)
        elif (plain, label) in seen_near:
            near.append(number)
        seen_exact.add((text, label))
        seen_near.add((plain, label))
    yield part.finding("duplicate", exact)
    yield part.finding("near duplicate", near)


def _leaks(parts: list[Split]):
    """Validation and test rows whose text stands in training, test rows whose text stands in validation."""
    train, validation, test = parts
    for part, source in ((validation, train), (test, train), (test, validation)):
        there = set(source.near) - {None}
        rows = [number for number, text in enumerate(part.near) if text in there]
        yield part.finding("leak", rows, f"also in {source.split}: ")


def _leaks_between(by_task: list[list[Split]]):
    """Validation and test rows whose text stands in the training of another task, though not of their own."""
    trained = defaultdict(set)
    for train, *_ in by_task:
        for text in set(train.near) - {None}:
            trained[text].add(train.name)
    for part in chain.from_iterable(parts[1:] for parts in by_task):
        found = defaultdict(list)
        for number, text in enumerate(part.near):
            names = trained.get(text, ())
            for name in names if part.name not in names else ():
                found[name].append(number)
        for name, rows in found.items():
            yield part.finding("leak between tasks", rows, f"in the training rows of {name}: ")


def _contradictions(parts: list[Split]):
    """Rows whose text stands in the task with another label too, in any split."""
    task = parts[0].task
    if task.kind == "generate":                                     # there is more than one way to say something
        return
    numbers = [label for part in parts for label in part.labels if isinstance(label, (int, float))]
    slack = statistics.pstdev(numbers) if task.kind == "regress" and numbers else 0
    labels = defaultdict(set)
    for part in parts:
        for text, label in zip(part.near, part.labels):
            labels[text].add(label)
    against = {text for text, found in labels.items() if text is not None and _differ(found, slack)}
    for part in parts:
        rows = [number for number, text in enumerate(part.near) if text in against]
        found = sorted(" ".join(label) if isinstance(label, tuple) else str(label)
                       for label in labels[part.near[rows[0]]]) if rows else ()
        example = f"{', '.join(map(shown, found))} for "
        yield part.finding("contradiction", rows, example)


def _differ(labels: set, slack: float) -> bool:
    """Whether labels contradict one another; numbers do so when more than one standard deviation apart."""
    return len(labels) > 1 and (not slack or max(labels) - min(labels) > slack)


# ---- labels ---------------------------------------------------------------------------------------------------


def _labels(parts: list[Split]):
    """Imbalance in training, and drift from training to test."""
    train, _, test = parts
    counts = label_counts(train)
    if len(counts) > 1:
        (common, most), *_, (rare, least) = counts.most_common()
        if most >= UNEVEN * least:
            share = most / sum(counts.values())
            yield Finding("imbalance", train.name, "train", (), share,
                          f"{most} rows of {common!r}, {least} of {rare!r}")
    yield _drift(train, test)


def label_counts(part: Split) -> Counter:
    """How often each class stands in a split; empty for kinds without classes, and for tags, where O rules anyway."""
    if part.task.kind == "classify":
        return Counter(part.labels)
    return Counter(chain.from_iterable(part.labels)) if part.task.kind == "multilabel" else Counter()


def _drift(train: Split, test: Split) -> Finding | None:
    """Label shares that differ by more than chance would have it: a chi-squared test and the total variation."""
    here, there = label_counts(train), label_counts(test)
    if train.task.kind != "classify" or not here or not there:
        return None
    from scipy.stats import chi2_contingency
    shares = {name: (here[name] / here.total(), there[name] / there.total()) for name in here | there}
    apart = sum(abs(a - b) for a, b in shares.values()) / 2
    name, (a, b) = max(shares.items(), key=lambda item: abs(item[1][0] - item[1][1]))
    if apart < DRIFT or chi2_contingency([[here[n] for n in shares], [there[n] for n in shares]]).pvalue > 0.001:
        return None
    return Finding("drift", test.name, "test", (), apart, f"{name!r}: {a:.0%} of training, {b:.0%} of test")


def _facts(train: Split, test: Split) -> dict:
    """What to know about a task before training: majority baseline and text lengths (words, or characters)."""
    facts = {"task": train.name, "labels": len(train.task.labels) or ""}
    if train.task.kind == "classify" and train.rows:
        common = Counter(train.labels).most_common(1)[0][0]
        facts["commonest label"] = common
        facts["majority baseline (test accuracy)"] = (
            f"{sum(label == common for label in test.labels) / len(test.rows):.1%}" if test.rows else "")
    lengths = [len(text) for text in train.texts] or [0]
    return facts | {"median characters": round(statistics.median(lengths)), "longest": max(lengths)}
