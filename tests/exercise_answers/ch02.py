"""Answers to the exercises of chapter 02."""

import random

import numpy as np
import torch

from . import Rows

# ---- 02.1


def with_pandas(rows):
    """Right: pandas inside."""
    import pandas as pd
    table = pd.DataFrame(rows)
    table["text"] = table["text"].str.split().str.join(" ")
    key = table["text"].str.lower()
    good = (key != "") & (table.groupby(key)["label"].transform("nunique") == 1) & ~key.duplicated()
    return table[good].to_dict("records")


def in_place(rows):
    """Right, though it empties the list it was given."""
    labels = {}
    for row in rows:
        row["text"] = " ".join(row["text"].split())
        labels.setdefault(row["text"].lower(), []).append(row["label"])
    kept = []
    while rows:
        row = rows.pop(0)
        key = row["text"].lower()
        if key and len(set(labels[key])) == 1:
            kept.append(row)
            labels[key] = []
    return kept


def keep_first(rows, key=str.lower, tidy=lambda text: " ".join(text.split()), empty=False, drop=True, once=True, lower=False):
    rows = [row | {"text": tidy(row["text"])} for row in rows]
    labels, seen, good = {}, set(), []
    for row in rows:
        labels.setdefault(key(row["text"]), set()).add(row["label"])
    for row in rows:
        at = key(row["text"])
        if (not row["text"].strip() and not empty) or (drop and len(labels[at]) > 1) or (once and at in seen):
            continue
        seen.add(at)
        good.append(row | {"text": row["text"].lower()} if lower else row)
    return good


REPAIR = Rows(right=[with_pandas, in_place], wrong=[
    (lambda rows: keep_first(rows, drop=False), "Nobody knows which label is right"),
    (lambda rows: list({" ".join(r["text"].split()).lower(): r | {"text": " ".join(r["text"].split())} for r in rows if r["text"].strip()}.values()),
     "A dict by text keeps the last copy"),
    (lambda rows: keep_first(rows, key=str), "taken for two texts"),
    (lambda rows: keep_first(rows, tidy=str), "Spaces were left"),
    (lambda rows: keep_first(rows, once=False), "Copies are still there"),
    (lambda rows: sorted(keep_first(rows), key=lambda r: r["text"]), "another order"),
    (lambda rows: keep_first(rows, lower=True), "put into lower case"),
    (lambda rows: rows, "repaired rows are not right"),
    (lambda rows: [{"text": r["text"], "label": r["label"]} for r in keep_first(rows)], "other fields of the rows are gone"),
    (lambda rows: keep_first(rows, tidy=str.strip), "Spaces inside a text"),
    (lambda rows: [r["text"] for r in keep_first(rows)], "Return rows, each of them a dict")])

# ---- 02.2


def by_regex(tags):
    """Right: one letter per tag, and a regular expression for each name."""
    import re
    found = []
    for name in {tag[2:] for tag in tags if tag != "O"}:
        line = "".join("O" if tag[2:] != name else tag[0] for tag in tags)
        found += [[name, m.start(), m.end()] for m in re.finditer("BI*|I+", line)]
    return sorted(found, key=lambda part: part[1])


def bio(tags, join=False, any_name=False, stray=True, off=0, close=True):
    found, name, start = [], None, 0
    for i, tag in enumerate([*tags, "O"] if close else tags):
        kind, _, this = tag.partition("-")
        goes_on = name and (kind == "I" and (any_name or this == name) or join and kind == "B" and this == name)
        if name and not goes_on:
            found.append((name, start, i - off))
            name = None
        if name is None and (kind == "B" or kind == "I" and stray):
            name, start = this, i
    return found


def looking_back(tags):
    """Asks tags[i - 1], which is the last tag where i is 0."""
    starts = [i for i, tag in enumerate(tags) if tag[0] == "B" or tag[0] == "I" and (tags[i - 1] == "O" or tags[i - 1][2:] != tag[2:])]
    ends = [next((j for j in range(i + 1, len(tags)) if tags[j] != f"I-{tags[i][2:]}"), len(tags)) for i in starts]
    return [(tags[i][2:], i, j) for i, j in zip(starts, ends)]


ENTITIES = Rows(right=[by_regex], wrong=[
    (lambda tags: bio(tags, join=True), "joined"), (lambda tags: bio(tags, any_name=True), "`I-` of another name"),
    (lambda tags: bio(tags, stray=False), "was dropped"), (lambda tags: bio(tags, off=1), "as in a slice"),
    (lambda tags: bio(tags, close=False), "end of the sentence is missing"), (looking_back, "compared with the last one"),
    (lambda tags: [name for name, _, _ in bio(tags)], "three things"),
    (lambda tags: {name: (start, end) for name, start, end in bio(tags)}, "must be a list")])

# ---- 02.3


def by_index(tasks):
    """Right: one index from text to the tasks that train on it; a set of tuples, in any order."""
    index = {}
    for task, parts in tasks.items():
        for text in parts["train"]:
            index.setdefault(tuple(text.casefold().split()), set()).add(task)
    return {(task, split, i, source) for task, parts in tasks.items() for split in ("test", "validation")
            for i, text in enumerate(parts[split]) for source in index.get(tuple(text.casefold().split()), ())}


def searching(tasks, plain=lambda text: " ".join(text.lower().split()), own=True, others=True, splits=("validation", "test")):
    return [(task, split, i, source) for task in tasks for split in splits for i, text in enumerate(tasks[task][split])
            for source in tasks if (own if task == source else others)
            and plain(text) in [plain(other) for other in tasks[source]["train"]]]


LEAKS = Rows(right=[by_index], wrong=[
    (lambda tasks: searching(tasks, others=False), "only at each task's own"), (lambda tasks: searching(tasks, own=False), "only at the other tasks'"),
    (lambda tasks: searching(tasks, plain=str), "differ in capitals or spaces"), (lambda tasks: searching(tasks, splits=("test",)), "validation texts were not"),
    (lambda tasks: searching(tasks, plain=lambda text: text.strip().lower()), "cuts the ends only"),
    (lambda tasks: searching(tasks, plain=str.lower), "other spaces got through"),
    (lambda tasks: searching(tasks, plain=lambda text: " ".join(text.split())), "other capitals got through"),
    (lambda tasks: searching(tasks)[0], "four things"), (lambda tasks: len(searching(tasks)), "Return a list of leaks")])

# ---- 02.4


def with_tensors(items, pad):
    """Right: torch's own padding, tensors of several dtypes, numpy for the rows."""
    from torch.nn.utils.rnn import pad_sequence
    ids = [torch.tensor(ids, dtype=torch.int32) for _, ids, _ in items]
    lengths = torch.tensor([len(each) for each in ids])
    width = int(lengths.max())
    names = np.array([task for task, _, _ in items])
    rows = {name: np.flatnonzero(names == name) for name in sorted(set(names.tolist()))}
    return {"input_ids": pad_sequence(ids, batch_first=True, padding_value=pad), "attention_mask": torch.arange(width) < lengths[:, None],
            "rows": rows, "labels": {name: [items[i][2] for i in mine] for name, mine in rows.items()}, "counts": 3}


def batch(items, pad, left=False, fill=None, mask="lengths", from_zero=False, all_labels=False):
    width = max(len(ids) for _, ids, _ in items)
    fill = pad if fill is None else fill
    gap = [[fill] * (width - len(ids)) for _, ids, _ in items]
    ids = [g + list(i) if left else list(i) + g for g, (_, i, _) in zip(gap, items)]
    real = [[0] * len(g) + [1] * len(i) if left else [1] * len(i) + [0] * len(g) for g, (_, i, _) in zip(gap, items)]
    if mask == "pad":
        real = [[int(token != pad) for token in row] for row in ids]
    if mask == "turned":
        real = [[1 - x for x in row] for row in real]
    rows, labels = {}, {}
    for i, (task, _, label) in enumerate(items):
        mine = rows.setdefault(task, [])
        mine.append(len(mine) if from_zero else i)
        labels.setdefault(task, []).append(label)
    return {"input_ids": ids, "attention_mask": real, "rows": rows, "labels": [item[2] for item in items] if all_labels else labels}


COLLATE = Rows(right=[with_tensors], wrong=[
    (lambda items, pad: batch(items, pad, left=True), "stands on the left"), (lambda items, pad: batch(items, pad, fill=0), "padded with 0"),
    (lambda items, pad: batch(items, pad, mask="pad"), "real tokens vanish"), (lambda items, pad: batch(items, pad, mask="turned"), "turned round"),
    (lambda items, pad: batch(items, pad, from_zero=True), "begin at 0 for each task"),
    (lambda items, pad: batch(items, pad, all_labels=True), "must be a dict, with an entry for each task"),
    (lambda items, pad: batch(sorted(items, key=lambda item: item[0]), pad), "sorted the items by task|items together by task"),
    (lambda items, pad: batch(sorted(items, key=lambda item: len(item[1])), pad), "sorted the items by length"),
    (lambda items, pad: {key: part for key, part in batch(items, pad).items() if key != "rows"}, "lacks rows")])

# ---- 02.5


def with_sklearn(truth, answers, labels):
    """Right: scikit-learn, told all labels."""
    from sklearn.metrics import f1_score
    return f1_score(truth, answers, labels=labels, average="macro", zero_division=0)


def mean_f1(truth, answers, classes, weighted=False):
    f = [2 * sum(t == a == c for t, a in zip(truth, answers)) / max(1, truth.count(c) + answers.count(c)) for c in classes]
    return sum(x * truth.count(c) for x, c in zip(f, classes)) / len(truth) if weighted else sum(f) / len(classes)


def macro_of_means(truth, answers, labels):
    p = sum(sum(t == a == c for t, a in zip(truth, answers)) / max(1, answers.count(c)) for c in labels) / len(labels)
    r = sum(sum(t == a == c for t, a in zip(truth, answers)) / max(1, truth.count(c)) for c in labels) / len(labels)
    return 2 * p * r / (p + r)


MACRO = Rows(right=[with_sklearn], wrong=[
    (lambda t, a, labels: mean_f1(t, a, sorted(set(a))), "never answers is still left out"),
    (lambda t, a, labels: mean_f1(t, a, sorted(set(t))), "do not stand in the truth"),
    (lambda t, a, labels: mean_f1(t, a, sorted(set(t) | set(a))), "neither in the truth nor in the answers"),
    (lambda t, a, labels: mean_f1(t, a, labels, True), "weighted the classes by their size"),
    (lambda t, a, labels: sum(x == y for x, y in zip(t, a)) / len(t), "That is accuracy"),
    (macro_of_means, "F1 of the mean precision"),
    (lambda t, a, labels: mean_f1(t, a, [c for c in labels if any(x == y == c for x, y in zip(t, a))]), "without a hit are skipped")])

# ---- 02.6


def with_numpy(rows, share, seed):
    """Right: numpy's generator, the largest customers first, rows in another order."""
    rng = np.random.default_rng(seed)
    names, counts = np.unique([row["customer"] for row in rows], return_counts=True)
    test, held = set(), 0
    for i in rng.permutation(len(names)):
        if held < share * len(rows) - counts[i] / 3:
            test.add(str(names[i]))
            held += counts[i]
    return [r for r in rows if r["customer"] not in test][::-1], [r for r in rows if r["customer"] in test]


def by_rows(rows, share, seed):
    rows = random.Random(seed).sample(rows, len(rows))
    cut = round(share * len(rows))
    return rows[cut:], rows[:cut]


def by_people(rows, share, seed, shuffle=True, rng=None):
    people = sorted({row["customer"] for row in rows})
    if shuffle:
        (rng or random.Random(seed)).shuffle(people)
    test, held = set(), 0
    for name in people:
        if held >= share * len(rows) - 3:
            break
        test.add(name)
        held += sum(row["customer"] == name for row in rows)
    return [r for r in rows if r["customer"] not in test], [r for r in rows if r["customer"] in test]


def share_of_people(rows, share, seed):
    people = sorted({row["customer"] for row in rows})
    test = set(random.Random(seed).sample(people, round(share * len(people))))
    return [r for r in rows if r["customer"] not in test], [r for r in rows if r["customer"] in test]


def by_global_seed(rows, share, seed):
    random.seed(seed)
    return by_people(rows, share, seed, rng=random)


def best_of_many(rows, share, seed):
    """Right: scikit-learn's split by share of groups, and of many the one that is nearest in rows."""
    from sklearn.model_selection import GroupShuffleSplit
    splits = GroupShuffleSplit(40, test_size=share, random_state=seed).split(rows, groups=[row["customer"] for row in rows])
    train, test = min(splits, key=lambda part: abs(len(part[1]) - share * len(rows)))
    return [rows[i] for i in train], [rows[i] for i in test]


SPLIT = Rows(right=[with_numpy, best_of_many], wrong=[
    (by_rows, "You split by rows"), (lambda rows, share, seed: by_people(rows, share, seed, shuffle=False), "seed is not used"),
    (lambda rows, share, seed: by_people(rows, share, 0), "seed is not used"),
    (lambda rows, share, seed: by_people(rows, share, seed, rng=random.SystemRandom()), "gave two different splits"),
    (lambda rows, share, seed: (by_people(rows, share, seed)[0][5:], by_people(rows, share, seed)[1]), "in neither part"),
    (lambda rows, share, seed: (rows, by_people(rows, share, seed)[1]), "stand in both parts"),
    (lambda rows, share, seed: by_people(rows, share * 0.3, seed), "rows; asked for"),
    (lambda rows, share, seed: by_people(rows, share, seed)[::-1], "two parts were swapped"),
    (share_of_people, "share of customers is not a share of rows"), (by_global_seed, "sets the random seed of the whole notebook"),
    (lambda rows, share, seed: [row["id"] for row in rows], "Return two lists"),
    (lambda rows, share, seed: ([r["id"] for r in rows], []), "must hold rows")])

ANSWERS = {"02.1": REPAIR, "02.2": ENTITIES, "02.3": LEAKS, "02.4": COLLATE, "02.5": MACRO, "02.6": SPLIT}
