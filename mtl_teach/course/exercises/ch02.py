"""Exercises of chapter 02, data."""

# ruff: noqa: E501  (tables of prose)

from __future__ import annotations

from ..expect import Mistake, Wrong, compare, expect, expect_close, expect_type
from ..looking import called
from ..registry import Exercise

TITLE, NOTEBOOK = "Data", "02_data"
WORDS = "soup bread tea chair boat letter garden lamp cake harbour bill road".split()


# ---- 02.1 repair ------------------------------------------------------------------------------------------------------

def mend(rows, contradiction="drop", case=True, spaces=True, empty=True, copies=True):
    """The rules one after the other; the options are what goes wrong."""
    plain = {True: lambda text: " ".join(text.split()), False: str, "ends": str.strip}[spaces]
    tidy = [row | {"text": plain(row["text"])} for row in rows]
    key = (lambda row: row["text"].lower()) if case else (lambda row: row["text"])
    found, good = {}, []
    for row in tidy:
        found.setdefault(key(row), []).append(row["label"])
    seen = set()
    for row in tidy:
        labels = found[key(row)]
        against = len(set(labels)) > 1
        if empty and not row["text"].strip() or against and contradiction == "drop":
            continue
        last_wins = contradiction == "last" and against
        if copies and (key(row) in seen or last_wins and row["label"] != labels[-1]):
            continue
        seen.add(key(row))
        good.append(row)
    return good


REPAIR = [
    Mistake(lambda rows: [{"text": row["text"], "label": row["label"]} for row in mend(rows)], "The other fields of the rows are gone, "
            "`id` for instance.", "Copy the whole row: `row | {\"text\": tidied}`."),
    Mistake(lambda rows: mend(rows, spaces="ends"), "Spaces inside a text were left as they are, so copies with other spaces got through.",
            "`' '.join(text.split())` leaves single spaces."),
    Mistake(lambda rows: mend(rows, "first"), "Of texts with two labels you keep one copy. Nobody knows which label is right.",
            "Collect all labels of a text first; drop every copy if there is more than one."),
    Mistake(lambda rows: mend(rows, "last"), "Of texts with two labels you keep the last one: a dict was overwritten.",
            "Collect all labels of a text in a set; drop every copy if it holds more than one."),
    Mistake(lambda rows: list({row["text"].lower(): row for row in mend(rows, "keep", copies=False)}.values()), "A dict by text keeps "
            "the last copy of each, whatever the labels say.", "Collect the labels of each text in a set first; keep the first copy."),
    Mistake(lambda rows: mend(rows, case=False), "`Good soup` and `good soup` were taken for two texts.",
            "Compare the texts in lower case."),
    Mistake(lambda rows: mend(rows, spaces=False), "Spaces were left as they are, so copies with other spaces got through.",
            "`' '.join(text.split())` leaves single spaces."),
    Mistake(lambda rows: mend(rows, empty=False), "Empty texts are still there.", "A text of spaces alone is empty too."),
    Mistake(lambda rows: mend(rows, copies=False), "Copies are still there.", "Remember in a set what you have kept."),
    Mistake(lambda rows: sorted(mend(rows), key=lambda row: row["text"]), "The rows stand in another order.",
            "Go through the rows as they come; a set forgets their order."),
    Mistake(lambda rows: [row | {"text": row["text"].lower()} for row in mend(rows)], "The texts were put into lower case. That is "
            "right for comparing, but the model should read what was written.", "Keep the row's own text."),
]


def check_repair(answer, fresh):
    plain = fresh.sample([f"{a.capitalize()} {b}" for a in WORDS for b in WORDS if a != b], 6)
    label = dict.fromkeys(plain, "good") | dict.fromkeys(plain[3:], "bad")
    rows = [{"text": text, "label": label[text]} for text in plain]
    rows += [{"text": f"  {plain[0].replace(' ', '   ')} ", "label": label[plain[0]]},                  # a copy with spaces
             {"text": plain[1].upper(), "label": label[plain[1]]},                                     # a copy in capitals
             {"text": plain[2].lower(), "label": "bad"}, {"text": f"{plain[3]} ", "label": "good"},       # contradictions
             {"text": "", "label": "bad"}, {"text": " \t ", "label": "good"}]
    rows = fresh.shuffled([row | {"id": i} for i, row in enumerate(rows)])
    while [row["text"] for row in mend(rows)] == sorted(row["text"] for row in mend(rows)):      # their order must show
        rows = fresh.shuffled(rows)
    compare(_as_rows(answer), [rows], mend, "The repaired rows are not right.", known=REPAIR)
    return "What rules can mend is mended."


def _as_rows(answer):
    def call(rows):
        got = answer(rows)
        expect_type(got, list)
        expect(all(isinstance(row, dict) for row in got), "Return rows, each of them a dict; yours holds {found}.",
               next="Append the row, with its text tidied: `row | {\"text\": tidied}`.",
               found=called(next((row for row in got if not isinstance(row, dict)), None)))
        return list(got)
    return call


# ---- 02.2 entities ----------------------------------------------------------------------------------------------------

def spans(tags, adjacent=True, other=True, stray=True, inclusive=False, last=True):
    """[name, start, end); the options are what goes wrong."""
    found, at = [], None                                                         # at: (name, start) of an open entity
    for i, tag in enumerate([*tags, "O"]):
        kind, _, name = tag.partition("-")
        goes_on = at and kind == "I" and (name == at[0] or not other) or at and kind == "B" and not adjacent and name == at[0]
        if goes_on:
            continue
        if at:
            found.append([at[0], at[1], i - inclusive])
        begins = kind == "B" or kind == "I" and stray
        at = (name, i) if begins else None
    return found if last or not tags or tags[-1] == "O" else found[:-1]


ENTITIES = [
    Mistake(lambda tags: spans(tags, adjacent=False), "Two entities side by side were joined: `B-` always begins a new one, also "
            "after an entity of the same name.", "Close the open entity at every `B-`."),
    Mistake(lambda tags: spans(tags, other=False), "An `I-` of another name went on with the open entity.",
            "`I-TOY` after `B-SHOP` ends the shop and begins a toy."),
    Mistake(lambda tags: spans(tags)[1:] if tags[0][2:] == tags[-1][2:] != "" else spans(tags), "The first tag was compared with the "
            "last one: `tags[i - 1]` is the last tag where i is 0.", "Nothing stands before the first tag: treat it as an `O`."),
    Mistake(lambda tags: spans(tags, stray=False), "An `I-` that follows on nothing of its name was dropped.",
            "It begins an entity: the one who labelled it meant something."),
    Mistake(lambda tags: spans(tags, inclusive=True), "The ends are the last tokens; they should be one further, as in a slice.",
            "`tokens[start:end]` must give the whole entity."),
    Mistake(lambda tags: spans(tags, last=False), "The entity at the end of the sentence is missing: nothing closes it.",
            "After the loop, close what is still open."),
]


def check_entities(answer, fresh):
    a, b = fresh.sample(["SHOP", "TOY", "PERSON", "DAY"], 2)
    parts = fresh.shuffled([[f"B-{a}", f"I-{a}", f"B-{a}"], [f"B-{b}", f"I-{a}"], ["O", f"I-{b}", f"I-{b}"], ["O", "O"]])
    tags = ["O"] * fresh.integer(0, 2) + [tag for part in parts for tag in ["O", *part]]
    says = "The entities are not right for the tags `{tags}`."
    for each in (tags + ["O"], tags + ["O", f"B-{a}"], ["O"] * 3, [f"I-{a}", "O", f"B-{a}"], [f"B-{b}"]):
        compare(_as_lists(answer), [each], spans, says, known=ENTITIES, tags=" ".join(each))


def _as_lists(answer):
    def call(tags):
        got = answer(tags)
        expect_type(got, list)
        fits = all(isinstance(part, (list, tuple)) and len(part) == 3 for part in got)
        expect(fits, "Each entity must be three things: name, start, end.", next="Append `(name, start, end)`.")
        return [list(part) for part in got]
    return call


# ---- 02.3 leaks -------------------------------------------------------------------------------------------------------

PLAIN = {"all": lambda text: " ".join(text.lower().split()), "nothing": str, "ends": lambda text: text.strip().lower(),
         "capitals": str.lower, "spaces": lambda text: " ".join(text.split())}


def find(tasks, own=True, others=True, same="all", splits=("validation", "test")):
    plain = PLAIN[same]
    trained = {name: {plain(text) for text in parts["train"]} for name, parts in tasks.items()}
    return sorted([name, split, number, source] for name, parts in tasks.items() for split in splits
                  for number, text in enumerate(parts[split]) for source in trained
                  if plain(text) in trained[source] and (own if source == name else others))


LEAKS = [
    Mistake(lambda tasks: find(tasks, others=False), "You looked only at each task's own training texts. The shared body also reads "
            "those of the other tasks.", "For each test text, ask every task's training set."),
    Mistake(lambda tasks: find(tasks, own=False), "You looked only at the other tasks' training texts.",
            "A task's own training set leaks too."),
    Mistake(lambda tasks: find(tasks, same="nothing"), "Copies that differ in capitals or spaces got through.",
            "Compare `' '.join(text.lower().split())`."),
    Mistake(lambda tasks: find(tasks, same="ends"), "Copies with other spaces inside got through: `strip` cuts the ends only.",
            "Compare `' '.join(text.lower().split())`."),
    Mistake(lambda tasks: find(tasks, same="capitals"), "Copies with other spaces got through.",
            "Compare `' '.join(text.lower().split())`."),
    Mistake(lambda tasks: find(tasks, same="spaces"), "Copies with other capitals got through.",
            "Compare `' '.join(text.lower().split())`."),
    Mistake(lambda tasks: find(tasks, splits=("test",)), "The validation texts were not looked at. Who tunes on leaked texts, tunes to "
            "memory.", "Go through both validation and test."),
]


def check_leaks(answer, fresh):
    names = fresh.sample(["mood", "topic", "returns", "speaker"], 3)
    texts = fresh.sample([f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS], 36)
    tasks = {name: {"train": texts[12 * i:12 * i + 6], "validation": texts[12 * i + 6:12 * i + 9],
                    "test": texts[12 * i + 9:12 * i + 12]} for i, name in enumerate(names)}
    a, b, c = names
    tasks[a]["test"][fresh.integer(0, 2)] = tasks[a]["train"][0]                       # its own
    tasks[b]["test"][0] = f" {tasks[c]['train'][1]}"                                   # another task's, with a space before it
    tasks[b]["test"][1] = tasks[a]["train"][3].upper()                                 # in capitals
    tasks[b]["validation"][2] = tasks[b]["train"][4].replace(" ", "  ")                # with two spaces inside
    tasks[c]["validation"][1] = tasks[a]["train"][2]                                   # into validation
    tasks[a]["train"][5] = tasks[b]["train"][5] = tasks[c]["test"][2]                  # two sources for one text

    def call(tasks):
        got = answer(tasks)
        expect(isinstance(got, (list, tuple, set)), "Return a list of leaks, each (task, split, number, source).")
        fits = all(isinstance(part, (list, tuple)) and len(part) == 4 for part in got)
        expect(fits, "Each leak must be four things: task, split, number of the text, task of the training text.")
        return sorted([list(part) for part in got], key=str)
    compare(call, [tasks], lambda tasks: sorted(find(tasks), key=str), "The list of leaks is not right.", known=[
        Mistake(lambda tasks, mistake=mistake: sorted(mistake.wrong(tasks), key=str), mistake.why, mistake.next)
        for mistake in LEAKS])
    return "The quiet leaks, between tasks, are found too."


# ---- 02.4 collate -----------------------------------------------------------------------------------------------------

def padded(items, pad, left=False, fill=None):
    width = max(len(ids) for _, ids, _ in items)
    fill = pad if fill is None else fill
    rows = [[fill] * (width - len(ids)) + ids if left else ids + [fill] * (width - len(ids)) for _, ids, _ in items]
    real = [[0] * (width - len(ids)) + [1] * len(ids) if left else [1] * len(ids) + [0] * (width - len(ids)) for _, ids, _ in items]
    return rows, real


def collated(items, pad):
    ids, mask = padded(items, pad)
    names = dict.fromkeys(name for name, _, _ in items)
    return {"input_ids": ids, "attention_mask": mask,
            "rows": {name: [i for i, item in enumerate(items) if item[0] == name] for name in names},
            "labels": {name: [item[2] for item in items if item[0] == name] for name in names}}


IDS = [Mistake(lambda items, pad: padded(items, pad, left=True)[0], "The padding stands on the left; on the right is asked for.",
               "First the ids, then the padding: `ids + [pad] * (width - len(ids))`."),
       Mistake(lambda items, pad: padded(items, pad, fill=0)[0], "You padded with 0, but the pad token has the number `pad`."),
       Mistake(lambda items, pad: padded(sorted(items, key=lambda item: item[0]), pad)[0], "You sorted the items by task. A batch "
               "stays as it was drawn; `rows` says where each task's texts are.", "Go through the items in their order."),
       Mistake(lambda items, pad: padded([item for name in dict.fromkeys(item[0] for item in items) for item in items if item[0] == name],
                                         pad)[0], "You put the items together by task. A batch stays as it was drawn; `rows` says where "
               "each task's texts are.", "Go through the items in their order."),
       Mistake(lambda items, pad: padded(sorted(items, key=lambda item: len(item[1])), pad)[0], "You sorted the items by length.",
               "Go through the items in their order."),
       Mistake(lambda items, pad: padded(sorted(items, key=lambda item: -len(item[1])), pad)[0], "You sorted the items by length.",
               "Go through the items in their order.")]
MASK = [Mistake(lambda items, pad: [[int(token != pad) for token in row] for row in padded(items, pad)[0]], "You made the mask from "
                "`ids != pad`. In many models the pad token is also a real one (GPT-2 pads with its end token), and then real "
                "tokens vanish.", "Make the mask from the lengths."),
        Mistake(lambda items, pad: [[1 - x for x in row] for row in padded(items, pad)[1]], "The mask is turned round: 1 stands for "
                "real tokens.")]
ROWS = [Mistake(lambda items, name: list(range(sum(item[0] == name for item in items))), "The numbers begin at 0 for each task. They "
                "must say where in the batch the task's rows stand.", "Use the number that `enumerate(items)` gives.")]


def check_collate(answer, fresh):
    pad, names = fresh.integer(1, 9), fresh.sample(["mood", "topic", "speaker"], 2)
    lengths = fresh.sample([1, 2, 3, 5, 7], 5)
    items = [[names[i % 2], fresh.integers(10, 99, n).tolist(), fresh.integer(0, 4)] for i, n in enumerate(lengths)]
    longest = max(items, key=lambda item: len(item[1]))
    longest[1][-1] = pad                                                              # a real token with the pad's number
    want, got = collated(items, pad), answer([tuple(item) for item in items], pad)
    expect_type(got, dict)
    expect(set(got) >= set(want), "The batch lacks {keys}.", next="Return a dict with input_ids, attention_mask, rows and labels.",
           keys=", ".join(sorted(set(want) - set(got))))
    compare(lambda items, pad: got["input_ids"], [items, pad], lambda items, pad: want["input_ids"], "`input_ids` must hold the "
            "items' tokens, row by row in their order, each row filled up with `pad` to the longest.", known=IDS, axes="B, T", name="input_ids")
    compare(lambda items, pad: got["attention_mask"], [items, pad], lambda items, pad: want["attention_mask"],
            "The mask must be 1 on real tokens and 0 on padding.", known=MASK, axes="B, T", name="attention_mask")
    for part in ("rows", "labels"):
        if isinstance(got[part], (list, tuple)):
            raise Wrong("`{part}` must be a dict, with an entry for each task; yours is a list.", "A list of the whole batch does not "
                        "say which head needs what.", "`{part}.setdefault(task, []).append(...)` makes the entries as they come.", part=part)
        expect_type(got[part], dict, part)
        expect(set(got[part]) == set(want[part]), "{part} must have an entry for each task in the batch: {names}.", part=part,
               names=sorted(want[part]))
    for name in want["rows"]:
        compare(lambda items, name: got["rows"][name], [items, name], lambda items, name: want["rows"][name],
                "`rows` says which rows of the batch belong to a task.", known=ROWS, name=f"rows[{name!r}]", axes="rows of the task")
        expect_close(got["labels"][name], want["labels"][name], "`labels` has the task's own labels, in the order of its rows.",
                     name=f"labels[{name!r}]", axes="rows of the task")
    return "One pass for all texts, and every head knows its rows."


# ---- 02.5 macro_f1 ----------------------------------------------------------------------------------------------------

def f1(truth, answers, labels, over="labels", how="macro"):
    """2 TP / (2 TP + FP + FN), class by class; independent of precision and recall."""
    classes = {"labels": labels, "answers": sorted(set(answers)), "truth": sorted(set(truth)),
               "seen": sorted(set(truth) | set(answers))}[over]
    each, counts = [], []
    for label in classes:
        hits = sum(t == a == label for t, a in zip(truth, answers))
        given, there = sum(a == label for a in answers), sum(t == label for t in truth)
        each.append(2 * hits / (given + there) if given + there else 0.0)
        counts.append(there)
    if how == "hits":
        return sum(each) / sum(score > 0 for score in each)
    if how == "weighted":
        return sum(score * n for score, n in zip(each, counts)) / len(truth)
    return sum(each) / len(classes)


def macro_of_means(truth, answers, labels):
    hits = [sum(t == a == label for t, a in zip(truth, answers)) for label in labels]
    precision = sum(h / max(1, answers.count(label)) for h, label in zip(hits, labels)) / len(labels)
    recall = sum(h / max(1, truth.count(label)) for h, label in zip(hits, labels)) / len(labels)
    return 2 * precision * recall / (precision + recall)


MACRO = [
    Mistake(lambda *a: f1(*a, over="answers"), "A class that the model never answers is still left out, so ignoring a class costs "
            "nothing: \"always praise\" gets full marks for what it answers.", "Which classes should the loop go through?"),
    Mistake(lambda *a: f1(*a, over="truth"), "Classes that do not stand in the truth are left out, though the model answers them.",
            "Loop over `labels`, all of them."),
    Mistake(lambda *a: f1(*a, over="seen"), "Classes that stand neither in the truth nor in the answers are left out. Then the number "
            "of classes depends on the sample.", "Loop over `labels`, all of them."),
    Mistake(lambda *a: f1(*a, how="weighted"), "You weighted the classes by their size. Then the rare class hardly counts, which macro-F1 "
            "is there to prevent.", "Take the plain mean over classes."),
    Mistake(lambda *a: f1(*a, how="hits"), "Classes without a hit are skipped, so a class that the model never gets right costs nothing.",
            "Such a class counts as 0; divide by `len(labels)`."),
    Mistake(lambda *a: macro_of_means(*a), "That is the F1 of the mean precision and the mean recall.", "Take F1 for each class, then the mean."),
    Mistake(lambda truth, answers, labels: sum(t == a for t, a in zip(truth, answers)) / len(truth), "That is accuracy.",
            "Compute precision and recall for each class by itself."),
]


def check_macro(answer, fresh):
    labels = fresh.sample(["praise", "complaint", "question", "thanks", "order", "request"], 6)
    often, second, rare, rarest, answered, _ = labels                 # the last one: neither there nor answered
    truth = [often] * fresh.integer(8, 12) + [second] * fresh.integer(4, 5) + [rare, rarest]
    answers = [often if fresh.integer(0, 4) else second for _ in truth[:-6]] + [second, second, often, often, often, often]
    answers[0], truth[1], answers[1] = answered, often, often
    order = fresh.shuffled(range(len(truth)))
    args = [[truth[i] for i in order], [answers[i] for i in order], labels]
    drawn = [[labels[fresh.pick([0, 0, 0, 1, 1, 2, 3])] for _ in range(40)] for _ in range(2)]
    for each in (args, [*drawn, labels]):
        compare(answer, each, f1, "Macro-F1 is the mean of F1 over all classes of the task.", known=MACRO)
    return "A class that is never found costs its full share now."


# ---- 02.6 split -------------------------------------------------------------------------------------------------------

OFTEN = 9                                                # letters of a customer who writes often; the others write once


def many_letters(fresh):
    """300 rows of 60 customers: half of them wrote once, half OFTEN times. A share of customers is not a share of rows."""
    names = [f"{name} {letter}." for name in "Mara Ivo Selma Otto Petra Kilian Ruth Jonas Nora Emil".split() for letter in "ABCDEF"]
    counts = fresh.shuffled([1, OFTEN] * 30)
    letters = fresh.shuffled([name for name, count in zip(names, counts) for _ in range(count)])
    return [{"id": i, "customer": name, "text": f"{fresh.pick(WORDS)} {fresh.pick(WORDS)}"} for i, name in enumerate(letters)]


def check_split(answer, fresh):
    rows, share = many_letters(fresh), fresh.pick([0.25, 0.35])          # an odd number of customers: a share of them is rarely right
    one, again, *others = parts = [_split_of(answer, rows, share, seed) for seed in (3, 3, 4, 5, 6, 7, 8, 9)]
    ids = sorted(row["id"] for part in one for row in part)
    expect(len(ids) == len(set(ids)), "Some rows stand in both parts, or twice in one.", next="Each row goes to one side.")
    expect(ids == list(range(len(rows))), "{n} of {all} rows are in neither part.", next="Each row goes to one side.",
           n=len(rows) - len(ids), all=len(rows))
    who = [[{row["customer"] for row in side} for side in part] for part in parts]
    both = who[0][0] & who[0][1]
    expect(not both, "{names} stand on both sides.", "You split by rows. Whoever writes both in train and in test is known to the "
           "model by their style, and the test is too easy.", "Draw customers, not rows; their rows follow.",
           names=", ".join(sorted(both)[:3]))
    touched = answer.remarks()["seeds"]
    expect(not touched, "It sets the random seed of the whole notebook (`{names}`): everything drawn after it follows from your seed.", "",
           "Use a generator of its own: `random.Random(seed)`.", names=", ".join(touched))
    expect(one == again, "The same seed gave two different splits.", "Random numbers come from somewhere that the seed does not "
           "reach.", "Use `random.Random(seed)`, and sort the customers first: a set has no order.")
    _share(parts, who, share, len(rows))
    expect(any(each[1] != who[0][1] for each in who), "Seven seeds, and always the same customers in test.", "The seed is not used.",
           "Shuffle the customers with `random.Random(seed)`.")


def _share(parts, who, share, total):
    """Whole customers allow a share to within OFTEN rows; asked is one row more than that."""
    held = max((len(test) for _, test in parts), key=lambda n: abs(n - share * total))
    if abs(held - share * total) > OFTEN + 1:
        by_people = all(abs(len(test) - share * len(test | train)) <= 1 for train, test in who)
        why = ("You gave a share of the customers to test. Some wrote once, others often: a share of customers is not a share of rows."
               if by_people else "The two parts were swapped." if abs(total - held - share * total) <= OFTEN + 1 else
               "With one more customer, or one less, it could be nearer.")
        raise Wrong("The test part holds {held} of the {total} rows; asked for were {wanted}, give or take one customer's.", why,
                    "Add customers to the test part until its rows reach share * len(rows).", held=held, total=total,
                    wanted=round(share * total))


def _split_of(answer, rows, share, seed):
    got = answer(rows, share, seed)
    expect(isinstance(got, (tuple, list)) and len(got) == 2, "Return two lists: train and test.", next="`return train, test`")
    for part in got:
        expect_type(part, list, "each of the two parts")
        if not all(isinstance(row, dict) and {"id", "customer"} <= set(row) for row in part):
            raise Wrong("The parts must hold rows, as they were given.", next="Append the row itself.")
    return [list(part) for part in got]


EXERCISES = [
    Exercise(id="02.1", title="Repair dirty rows", answer="repair", call="repair(rows)", points=2, difficulty=2, importance=5,
             minutes=15, check=check_repair, hints=[
                 "Go through the rows twice: once to see which labels each text has, once to keep what is good.",
                 "`labels.setdefault(text.lower(), set()).add(row[\"label\"])` collects them.",
                 "Keep a row if its text is not empty, not seen yet, and has one label only."]),
    Exercise(id="02.2", title="Read BIO tags", answer="entities", call="entities(tags)", points=2, difficulty=2, importance=3,
             minutes=15, check=check_entities, hints=[
                 "Keep the entity that is open: its name and where it began. What closes it?",
                 "A `B-`, an `O`, and an `I-` of another name all close it; and so does the end of the sentence."]),
    Exercise(id="02.3", title="Leaks between tasks", answer="leaks", call="leaks(tasks)", points=2, difficulty=2, importance=5,
             minutes=15, check=check_leaks, hints=[
                 "Make a set of training texts for each task first.",
                 "Four loops: task, split, text, source task. Nothing in them needs to search a list."]),
    Exercise(id="02.4", title="Collate a mixed batch", answer="collate", call="collate(items, pad)", points=3, difficulty=3,
             importance=5, minutes=20, check=check_collate, hints=[
                 "The width is the length of the longest ids.",
                 "The mask of a row is `[1] * len(ids) + [0] * (width - len(ids))`.",
                 "`for number, (task, ids, label) in enumerate(items)`: append `number` to rows[task] and `label` to labels[task]."]),
    Exercise(id="02.5", title="Find the bug: a score that forgets a class", answer="macro_f1", kind="find the bug",
             call="macro_f1(truth, answers, labels)", points=2, difficulty=2, importance=4, minutes=10, check=check_macro, hints=[
                 "Call it with 90 of `praise`, 10 of `complaint`, and a model that always says `praise`. What would you expect?",
                 "Over which classes does the loop go? What if a class is never answered?",
                 "Once all labels are in the loop, a class may have no answers: take care of 0/0."]),
    Exercise(id="02.6", title="A split that keeps people apart", answer="split", call="split(rows, share, seed)", points=2,
             difficulty=3, importance=4, minutes=15, kind="design", check=check_split, hints=[
                 "Draw customers, not rows.",
                 "`random.Random(seed)` is a generator of its own: it shuffles without touching anybody else's random numbers.",
                 "Shuffle the sorted customers, and give whole customers to test until it has share * len(rows) rows."]),
]
