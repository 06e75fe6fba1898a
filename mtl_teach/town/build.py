"""Tiny Town as tasks: which rows each task gets, for train, validation and test."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..tasks import SPLITS, Task, TaskData, TaskError, TaskSet, nearest
from . import gold, grammar
from . import words as w
from .dice import Dice, split_of
from .lexicon import PARTNERS, TARGET, Lexicons, lexicons
from .noise import ceiling, check_noise, disturb
from .people import PREFERENCE, draw_customer, preference_row

LATENTS = {"sentiment": w.SENTIMENTS, "topic": w.TOPICS, "intent": w.INTENTS, "urgency": w.URGENCIES,
           "speaker": w.SPEAKERS}
TASKS = {task.name: task for task in (
    *(Task(name, "classify", labels, ceiling=1.0) for name, labels in LATENTS.items()),
    Task("rating", "regress", ceiling=1.0),
    Task("entities", "tag", grammar.TAGS, ceiling=1.0),
    Task("entailment", "classify", gold.ENTAILMENT, pair=True, ceiling=1.0),
    Task("question", "span", pair=True, ceiling=1.0),
    Task("triple", "generate", ceiling=1.0),
    Task("headline", "generate", ceiling=1.0),
    Task("reply", "generate", ceiling=1.0),
    Task("preference", "classify", PREFERENCE, pair=True, ceiling=1.0),
    Task("mood", "classify", ("gloomy", "cheerful"), ceiling=1.0),
    Task("returns", "classify", ("no", "yes"), ceiling=1.0),
    Task("tips", "classify", ("no", "yes"), ceiling=1.0),
)}
LEXICON_TASKS = (TARGET, *PARTNERS)
USUAL = {"train": 1000, "validation": 200, "test": 500}
TRIES = 50                               # redraws before a text may stand twice in a task's split


def known(name: str) -> Task:
    """The task of this name; an unknown name is a TaskError with the nearest ones."""
    if name not in TASKS:
        raise TaskError(f"Tiny Town has no task {name!r}.{nearest(name, TASKS)}")
    return TASKS[name]


def town_tasks(names=None, *, train=None, validation=None, test=None, seed: int = 0, noise=0.0, shared: bool = False,
               negation: float = 0.3, contrast: float = 0.3, related=None, conflict: float | None = None,
               cues: int | None = None, lexicon: str | None = None, **unknown) -> TaskSet:
    """Rows of the town's tasks.

    names              task names (see TASKS); None: the five latents and the rating
    train, validation, test   rows per task: a number, or {task: number}; 1000, 200 and 500 where not given
    seed               the same seed gives the same rows, and fewer rows are the first of more rows
    noise              a number or {task: number}: wrong labels in all splits (see `noise`); sets the task's ceiling
    shared             False: every task has messages of its own. True: row i is the same message in all tasks
                       (all those of messages, and all those of lexicons; preference keeps its customers)
    negation, contrast how often a message negates an opinion, and sets two clauses against each other
    related, conflict, cues, lexicon   the dials of "mood", "returns" and "tips" (see `lexicon`)

    Class labels are balanced: each run of C rows of a task holds each of its C labels once (not with shared=True).
    A text can stand in one split only, whatever the task, size or seed (see `dice.split_of`); within a task's split
    no text stands twice, unless 50 new draws find no fresh one. Unknown names and values are a TaskError.
    """
    names = [*LATENTS, "rating"] if names is None else [names] if isinstance(names, str) else list(names)
    if unknown:
        raise TaskError(f"Tiny Town has no dial {min(unknown)!r}.{nearest(min(unknown), DIALS)}")
    tasks = {name: known(name) for name in names}
    noise = _by_task(noise, names, 0.0, "noise")
    sizes = {split: _sizes(size, names, split) for split, size in zip(SPLITS, (train, validation, test))}
    dials = {"negation": _share("negation", negation), "contrast": _share("contrast", contrast)}
    words = _lexicons(names, seed, related=related, conflict=conflict, cues=cues, lexicon=lexicon)
    rows = _shared_rows if shared else _own_rows
    made = {split: rows(tasks, sizes[split], split, seed, dials, words) for split in SPLITS}
    for name, task in tasks.items():
        check_noise(task, noise[name])
        tasks[name] = replace(task, ceiling=ceiling(task, noise[name]))
    return TaskSet({name: TaskData(task, **{split: disturb(Dice(seed, "noise", name, split), task, made[split][name],
                                                           noise[name]) for split in SPLITS})
                    for name, task in tasks.items()})


DIALS = ("train", "validation", "test", "seed", "noise", "shared", "negation", "contrast", "related", "conflict", "cues",
         "lexicon")


def _by_task(value, names, usual, what):
    """{task: value} for every task, from one value or from a dictionary that may leave tasks out."""
    if isinstance(value, dict):
        for name in value:
            if name not in names:
                raise TaskError(f"{what} names a task that is not asked for: {name!r}.{nearest(name, names)}")
        return {name: value.get(name, usual) for name in names}
    return dict.fromkeys(names, value)


def _sizes(size, names, split):
    sizes = _by_task(USUAL[split] if size is None else size, names, USUAL[split], split)
    for name, count in sizes.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise TaskError(f"{split} rows of the task {name!r} must be a whole number, 0 or more; got {count!r}.")
    return sizes


def _share(what, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise TaskError(f"{what} must be a number from 0 to 1, got {value!r}.")
    return value


def _lexicons(names, seed, **dials) -> Lexicons | None:
    """The lexicons if a task needs them; their dials without such a task are a mistake."""
    given = {dial: value for dial, value in dials.items() if value is not None}
    if any(name in LEXICON_TASKS for name in names):
        return lexicons(seed, **given)
    if given:
        raise TaskError(f"{min(given)} is a dial of the tasks {', '.join(LEXICON_TASKS)}; it means nothing for "
                        f"{', '.join(names)}. Leave it out, or ask for one of those tasks.")
    return None


def _own_rows(tasks, sizes, split, seed, dials, words):
    """{task: rows}, every task with messages of its own and balanced labels."""
    return {name: _collect(sizes[name], split, _source(Dice(seed, name, split), task, dials, words))
            for name, task in tasks.items()}


def _collect(count, split, draw):
    """`count` rows whose texts may stand in this split, none twice. draw(retry) gives (text, finish)."""
    rows, seen = [], set()
    while len(rows) < count:
        tries, retry = 0, False
        while True:
            text, finish = draw(retry)
            retry = True
            if split_of(text) == split:
                tries += 1
                if text not in seen or tries > TRIES:
                    break
        seen.add(text)
        rows.append(finish())
    return rows


def _source(dice, task, dials, words):
    """A function that draws (text, finish) for one task; unless it retries it moves on to the next label."""
    deck, state = [], {"label": None}

    def draw(retry):
        if not retry and task.kind == "classify":
            if not deck:
                deck.extend(dice.shuffled(task.labels))
            state["label"] = deck.pop()
        return _draw(dice, task, state["label"], dials, words)
    return draw


def _draw(dice, task, label, dials, words):
    """One text of a task with the given label, and a function that makes it a row."""
    if task.name in LEXICON_TASKS:
        text = grammar.join(words.draw(dice, task.name, 1 if task.index(label) else -1))
        return text, lambda: {"text": text, "label": label}
    if task.name == "preference":
        customer = draw_customer(dice)
        return customer.profile, lambda: preference_row(dice, customer, label)
    message = grammar.draw(dice, **dials, **({task.name: label} if task.name in LATENTS else {}))
    entailment = label if task.name == "entailment" else None
    return message.text, lambda: row_of(task, gold.complete(dice, message, entailment))


def row_of(task: Task, sentence: gold.Sentence) -> dict:
    """The row of a message task, made from a sentence with all its gold answers."""
    name, text = task.name, sentence.text
    if name in LATENTS or name == "rating":
        return {"text": text, "label": getattr(sentence, name)}
    if name == "entities":
        return {"text": text, "tokens": list(sentence.tokens), "label": list(sentence.tags)}
    if name == "entailment":
        return {"text": text, "text_b": sentence.pair[0], "label": sentence.pair[1]}
    if name == "question":
        return {"text": sentence.question, "text_b": text, "label": list(sentence.answer)}
    return {"text": text, "label": " | ".join(sentence.triples[0]) if name == "triple" else getattr(sentence, name)}


def _shared_rows(tasks, sizes, split, seed, dials, words):
    """{task: rows} where row i of every message task, and of every lexicon task, is the same message."""
    rows = {name: [] for name in tasks}
    families = ([n for n in tasks if n in LEXICON_TASKS], [n for n in tasks if n == "preference"],
                [n for n in tasks if n not in LEXICON_TASKS and n != "preference"])
    for family, make in zip(families, (_lexicon_family, _preference_family, _message_family), strict=True):
        if family:
            stream = Dice(seed, "shared", make.__name__, split)
            count = max(sizes[name] for name in family)
            draw = partial(make, stream, family, tasks, dials, words)
            for made in _collect(count, split, lambda retry, draw=draw: draw()):
                for name in family:
                    if len(rows[name]) < sizes[name]:
                        rows[name].append(made[name])
    return rows


def _message_family(dice, names, tasks, dials, words):
    message = grammar.draw(dice, **dials)

    def finish():
        sentence = gold.complete(dice, message)
        return {name: row_of(tasks[name], sentence) for name in names}
    return message.text, finish


def _lexicon_family(dice, names, tasks, dials, words):
    tokens = words.draw_shared(dice, names)
    text = grammar.join(tokens)
    return text, lambda: {name: {"text": text, "label": tasks[name].labels[words.score(name, tokens) > 0]} for name in names}


def _preference_family(dice, names, tasks, dials, words):
    customer = draw_customer(dice)
    label = dice.pick(PREFERENCE)
    return customer.profile, lambda: {names[0]: preference_row(dice, customer, label)}
