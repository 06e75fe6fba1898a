"""Tiny Town: every gold answer is checked against an oracle that reads the text alone."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from mtl_teach import town
from mtl_teach.tasks import SPLITS, TaskError, TaskSet
from mtl_teach.town import gold, grammar, parse, texts
from mtl_teach.town import words as w

SENTENCES = town.sentences(4000, seed=11)
MESSAGE_TASKS = [name for name in town.TASKS if name not in ("mood", "returns", "tips", "preference")]
ASPECT = re.compile(r"\b(" + "|".join(sorted(w.TOPIC_OF, key=len, reverse=True)) + r")\b")


# ---- an oracle that knows English, not the generator -------------------------------------------------------------

def clauses(text: str) -> tuple[str, str]:
    """(the clause that decides, the other one or nothing) of a message."""
    body = re.split(r"(?<=[.?!]) ", text)[0]
    if ", but " in body:
        return tuple(reversed(body.split(", but ")))
    parts = re.split(r"\b(?:although|despite)\b", body, flags=re.I)
    if len(parts) == 1:
        return body, ""
    if opinion(parts[0]):
        return parts[0], parts[1]
    side, main = parts[1].split(", ", 1)
    return main, side


def opinion(clause: str):
    """(aspect, polarity, stars) of one clause; None where it states no opinion."""
    aspects = ASPECT.findall(clause.replace("market hall", ""))
    words = re.findall(r"\w+", clause)
    place = next((i for i, word in enumerate(words) if word in w.POLARITY), None)
    verb = re.search(r"(rather |quite |did not really |did not |never )?"
                     r"\b(like|enjoy|love|adore|dislike|regret|hate|detest)(?:d|ed|ted)?\b", clause)
    if not aspects or (place is None and not verb):
        return None
    if verb:
        how, sign = (verb[1] or "").strip(), 1 if verb[2] in ("like", "enjoy", "love", "adore") else -1
        strong = how == "never" or verb[2] in ("love", "adore", "hate", "detest")
        weak = how in ("rather", "quite", "did not really")
        negated = how in ("did not", "did not really", "never")
    else:
        before, after = " ".join(words[max(0, place - 4):place]), " ".join(words[place + 1:place + 3])
        sign, negated = w.POLARITY[words[place]], bool(re.search(r"\bnot\b", before))
        strong = after == "at all" or bool(re.search("(very|really|truly|least bit)$", before))
        strong = (strong and not before.endswith("not very")) or words[place] in sum(w.ADJECTIVES["strong"], [])
        weak = bool(re.search("(rather|quite|fairly|not very|not so)$", before))
    return aspects[0], -sign if negated else sign, 2.0 if strong else 0.5 if weak else 1.0


def deciding(text: str):
    return opinion(clauses(text)[0])


def opinions(text: str) -> list[tuple[str, int, float]]:
    """The deciding clause's (aspect, polarity, stars), then the other clause's."""
    return [found for clause in clauses(text) if (found := opinion(clause))]


def test_the_oracle_reads_what_a_person_would():
    assert deciding("The soup was cold, but Mara loved the honey cake.") is not None
    assert deciding("The pretzel was stale, but Mara loved the waiter.") == ("waiter", 1, 2.0)
    assert deciding("Although the waiter was kind, the bill was not fair.") == ("bill", -1, 1.0)
    assert deciding("Ahoy, despite the rude waiter, Ivo liked the bill.")[:2] == ("bill", 1)
    assert deciding("The bill was rather fair despite the rude waiter.") == ("bill", 1, 0.5)


@pytest.mark.parametrize("answer", ["sentiment", "rating", "topic"])
def test_the_deciding_clause_gives(answer):
    for s in SENTENCES:
        aspect, polarity, stars = deciding(s.text)
        right = {"sentiment": "positive" if polarity > 0 else "negative", "rating": 3 + polarity * stars,
                 "topic": w.TOPIC_OF[aspect]}[answer]
        assert getattr(s, answer) == right, s.text


def test_contrasting_clauses_are_opposite_and_of_different_topics():
    both = [opinions(s.text) for s in SENTENCES if re.search(r", but |although|despite", s.text, re.I)]
    assert len(both) > 800
    for first, second in both:
        assert first[1] == -second[1]
        assert w.TOPIC_OF[first[0]] != w.TOPIC_OF[second[0]]


def test_negation_flips():
    """Without its "not", the same message has the opposite sentiment for the oracle and parses still."""
    flipped = 0
    for s in SENTENCES:
        plain = re.sub(r"\bnot the least bit |\bnot (very |so )?", "", s.text, count=1)
        if s.text.count(" not ") == 1 and " was not " in s.text and len(opinions(s.text)) == 1 and " at all" not in s.text:
            assert deciding(plain)[1] == -deciding(s.text)[1] != 0, s.text
            flipped += 1
    assert flipped > 200
    assert not any(re.search(r"\b(not|never)\b", s.text.split(".")[0]) for s in town.sentences(500, negation=0.0))


def test_intent_urgency_and_speaker_stand_in_the_text():
    requests = {intent: [gold.finish(x) for x in w.REQUESTS[intent]] for intent in ("ask", "book", "order")}
    for s in SENTENCES:
        asked = [intent for intent, xs in requests.items() if any(x in s.text for x in xs)]
        mood = "praise" if s.sentiment == "positive" else "complain"
        assert s.intent == (asked[0] if asked else mood), s.text
        hurry = [urgency for urgency, words in w.HASTE.items() if any(x and s.text.endswith(f" {x}.") for x in words)]
        assert s.urgency == (hurry[0] if hurry else "normal"), s.text
        styles = {speaker for speaker in w.SPEAKERS for x in w.OPENERS[speaker] if s.text.startswith(gold.finish(x))}
        styles |= {speaker for speaker in w.SPEAKERS for x in w.CLOSERS[speaker] if grammar.join([*x.split(), "."]) in s.text}
        assert styles == {s.speaker}, s.text


def test_latents_are_drawn_evenly():
    big = town.sentences(10_000, seed=5)
    for latent, values in (("sentiment", w.SENTIMENTS), ("topic", w.TOPICS), ("intent", w.INTENTS),
                           ("urgency", w.URGENCIES), ("speaker", w.SPEAKERS)):
        counts = Counter(getattr(s, latent) for s in big)
        assert set(counts) == set(values)
        share = 1 / len(values)
        assert all(abs(n / len(big) - share) < 5 * (share * (1 - share) / len(big)) ** 0.5 for n in counts.values()), latent


def test_tags_align_with_tokens_and_tokens_with_text():
    known = {"PERSON": set(w.PEOPLE), "SHOP": set(w.SHOPS), "PRODUCT": set(w.PRODUCTS), "TIME": {t for _, t in w.TIMES}}
    seen = Counter()
    for s in SENTENCES:
        assert len(s.tokens) == len(s.tags) and set(s.tags) <= set(grammar.TAGS)
        assert parse.tokenize(s.text) == list(s.tokens)
        entities = re.findall(r"B-\w+ \d+(?: I-\w+ \d+)*", " ".join(f"{tag} {i}" for i, tag in enumerate(s.tags) if tag != "O"))
        assert sum(e.count("-") for e in entities) == sum(tag != "O" for tag in s.tags)      # no I- without its B-
        for entity in entities:
            kinds, places = set(re.findall(r"-(\w+)", entity)), [int(i) for i in re.findall(r"\d+", entity)]
            words = " ".join(s.tokens[places[0]:places[-1] + 1])
            assert len(kinds) == 1
            kind = kinds.pop()
            assert words in known[kind] or words[0].lower() + words[1:] in known[kind], s.text
            seen[kind] += 1
        named = [name for name in w.PEOPLE if re.search(rf"\b{name}\b(?! Garden)", s.text)]
        assert [s.tokens[i] for i, tag in enumerate(s.tags) if tag == "B-PERSON"] == named, s.text
    assert min(seen.values()) > 500


def test_the_pair_follows_from_the_text():
    counts = Counter()
    for s in SENTENCES:
        statement, label = s.pair
        told = {aspect: polarity for aspect, polarity, _ in opinions(s.text)}
        aspect = ASPECT.findall(statement)[-1]
        says = 1 if re.search(r"\bnot bad|was good|pleasing|people liked", statement, re.I) else -1
        expected = "neutral" if aspect not in told else "entailment" if told[aspect] == says else "contradiction"
        assert label == expected, (s.text, statement)
        counts[label, says] += 1
    assert len(counts) == 6 and min(counts.values()) > 500             # the statement alone gives nothing away


def test_the_answer_answers_the_question():
    kinds = Counter()
    for s in SENTENCES:
        start, end = s.answer
        answer, asked = s.text[start:end], s.question.split()[0]
        assert re.search(rf"(^|\W){re.escape(answer)}(\W|$)", s.text)
        kinds[s.question] += 1
        if "good" in s.question or "pleased" in s.question or "bad" in s.question or "annoyed" in s.question:
            sign = 1 if "good" in s.question or "pleased" in s.question else -1
            assert [aspect for aspect, polarity, _ in opinions(s.text) if polarity == sign] == [answer], s.text
        elif asked == "Who":
            assert answer in w.PEOPLE
        elif asked == "Where" or "shop" in s.question:
            assert answer in w.SHOPS
        else:
            assert answer[0].lower() + answer[1:] in {t for _, t in w.TIMES} or answer in {t for _, t in w.TIMES}
    assert len(kinds) == sum(map(len, gold.QUESTIONS.values()))


def test_triples_headline_and_reply_follow_from_the_text():
    for s in SENTENCES:
        aspect, polarity, _ = deciding(s.text)
        subject, predicate, thing = s.triples[0]
        person = next((t for t, tag in zip(s.tokens, s.tags, strict=True) if tag == "B-PERSON"), None)
        if predicate == "was":
            assert (subject, thing) == (aspect, "good" if polarity > 0 else "bad"), s.text
        else:
            assert (subject, predicate, thing) == (person, "liked" if polarity > 0 else "disliked", aspect), s.text
        for subject, predicate, thing in s.triples[1:]:
            other = {side: "bad" if polarity > 0 else "good" for side, *_ in opinions(s.text)[1:]}
            assert other.get(subject) == thing if predicate == "was" else \
                (subject, predicate, thing) == (person, "took", aspect), s.text
        shop = next((" ".join(s.tokens[i:j]) for k, i, j in _entities(s) if k == "SHOP"), "")
        assert s.headline.endswith(f"{'good' if polarity > 0 else 'bad'} {aspect}" + (f" at the {shop}" if shop else ""))
        assert s.headline.split(":")[0].lower()[:4] == {"book": "book", "ask": "ques", "complain": "comp",
                                                         "order": "orde", "praise": "prai"}[s.intent]
        assert s.reply.startswith(f"We are {'glad' if polarity > 0 else 'sorry'} about the {aspect}.")
        assert s.reply.endswith({"high": "at once.", "normal": "this week.", "low": "in good time."}[s.urgency])


def _entities(s):
    starts = [i for i, tag in enumerate(s.tags) if tag[0] == "B"]
    for i in starts:
        j = i + 1
        while j < len(s.tags) and s.tags[j][0] == "I":
            j += 1
        yield s.tags[i][2:], i, j


def test_sentences_read_like_sentences():
    lengths = [sum(token[0].isalnum() for token in s.tokens) for s in SENTENCES]
    assert min(lengths) >= 4 and max(lengths) <= 30 and 14 <= sum(lengths) / len(lengths) <= 18
    assert len({s.text for s in SENTENCES}) == len(SENTENCES)
    assert 300 <= len({token for s in SENTENCES for token in s.tokens}) <= 600
    assert all(s.text[0].isupper() and s.text[-1] in ".?" and "  " not in s.text for s in SENTENCES)


# ---- the parser and the unlabelled text --------------------------------------------------------------------------

def test_parses_accepts_what_the_town_writes():
    for text in [s.text for s in SENTENCES[:1500]] + texts.corpus(1500, seed=3):
        assert town.parses(text), text


@pytest.mark.parametrize("text", [
    "", "Colourless green ideas sleep furiously.", "Indeed, the waiter was kind",                      # no full stop
    "indeed, the waiter was kind.",                                                                # no capital
    "Indeed, the waiter was stale.", "Indeed, the price was kind.",                                # does not suit
    "Indeed, the waiter was kind, but the bill was fair.",                                         # no contrast
    "Indeed, the waiter was kind, but the cook was rude.",                                         # one topic
    "Indeed, Mara bought the waiter, and it was good.", "Indeed, the waiter was was kind.",
    "Indeed, the waiter was kind. The the.", "The waiter was blick.",
])
def test_parses_refuses(text):
    assert not town.parses(text)


def test_the_corpus_has_no_invented_word_and_no_text_of_test():
    paragraphs = town.corpus(3000, seed=8)
    words = {word for p in paragraphs for word in parse.tokenize(p)}
    assert not words & set(town.INVENTED)
    assert len(set(town.INVENTED)) == len(town.INVENTED) == 240 and not set(town.INVENTED) & {x.lower() for x in words}
    held_out = town.town_tasks(MESSAGE_TASKS, train=0, validation=200, test=200, seed=8)
    for data in held_out.values():
        for row in data.validation + data.test:
            text = row["text_b"] if data.task.name == "question" else row["text"]
            assert not any(text in p for p in paragraphs[:500])


def test_what_follows_in_the_corpus_depends_on_the_message():
    glad = [p for p in town.corpus(6000, seed=2) if any(gold.finish(x) in p for x in texts.AFTERMATH["sentiment"]["positive"])]
    sad = [p for p in town.corpus(6000, seed=2) if any(gold.finish(x) in p for x in texts.AFTERMATH["sentiment"]["negative"])]
    assert min(len(glad), len(sad)) > 400
    for paragraphs, sign in ((glad, 1), (sad, -1)):
        assert all(deciding(p)[1] == sign for p in paragraphs)


# ---- tasks: schema, splits, sizes, noise -------------------------------------------------------------------------

def test_rows_follow_the_schema():
    tasks = town.town_tasks(list(town.TASKS), train=60, validation=10, test=10)
    assert isinstance(tasks, TaskSet) and list(tasks) == list(town.TASKS)
    for name, data in tasks.items():
        for split, size in zip(SPLITS, (60, 10, 10), strict=True):
            assert len(data.split(split)) == size
            for row in data.split(split):
                label, kind = row["label"], data.task.kind
                assert isinstance(row["text"], str) and row["text"]
                assert data.task.pair == ("text_b" in row)
                assert {"classify": lambda: label in data.task.labels, "regress": lambda: isinstance(label, float),
                        "tag": lambda: len(label) == len(row["tokens"]) and set(label) <= set(data.task.labels),
                        "span": lambda: 0 <= label[0] < label[1] <= len(row["text_b"]),
                        "generate": lambda: isinstance(label, str) and label}[kind](), (name, row)


def test_class_labels_are_balanced_in_every_prefix():
    for name, data in town.town_tasks([n for n in town.TASKS if town.TASKS[n].kind == "classify"], train=120).items():
        classes = len(data.task.labels)
        for rows in (data.train, data.validation, data.test):
            for size in (classes, 5 * classes, len(rows) // classes * classes):
                assert len(set(Counter(row["label"] for row in rows[:size]).values())) == 1, name


@pytest.mark.parametrize("shared", [False, True])
def test_fewer_rows_are_the_first_of_more(shared):
    names = ["sentiment", "entailment", "reply", "mood", "returns", "preference"]
    few = town.town_tasks(names, train={"sentiment": 20, "mood": 7}, validation=5, test=9, seed=4, shared=shared, noise=0.2)
    more = town.town_tasks(names, train=90, validation=30, test=30, seed=4, shared=shared, noise=0.2)
    for name in names:
        for split in SPLITS:
            rows, size = few[name].split(split), min(len(few[name].split(split)), len(more[name].split(split)))
            assert rows[:size] == more[name].split(split)[:size]
    assert len(few["sentiment"].train) == 20 and len(few["mood"].train) == 7 and len(few["reply"].train) == 1000


def test_no_text_stands_in_two_splits_whatever_the_seed():
    held_out, train = set(), set()
    for seed in range(3):
        for data in town.town_tasks(list(town.TASKS), train=300, validation=100, test=100, seed=seed, shared=seed == 2).values():
            text = "text_b" if data.task.name == "question" else "text"
            train |= {row[text] for row in data.train}
            held_out |= {row[text] for row in data.validation + data.test}
            own = [row[text] for row in data.train]
            assert len(set(own)) == len(own)
    assert len(held_out) > 3000 and not train & held_out


def test_tasks_have_their_own_messages_or_share_them():
    own = town.town_tasks(MESSAGE_TASKS, train=100, validation=0, test=0)
    shared = town.town_tasks(MESSAGE_TASKS, train=100, validation=0, test=0, shared=True)

    def column(tasks, name):
        return [row["text_b" if name == "question" else "text"] for row in tasks[name].train]
    assert len({text for name in MESSAGE_TASKS for text in column(own, name)}) == 100 * len(MESSAGE_TASKS)
    assert all(column(shared, name) == column(shared, "sentiment") for name in MESSAGE_TASKS)
    for row in shared["sentiment"].train:
        assert row["label"] == ("positive" if deciding(row["text"])[1] > 0 else "negative")


def test_noise_leaves_texts_alone_and_adds_up():
    names = ["sentiment", "topic", "rating", "entities", "question", "reply"]
    clean, some, more = (town.town_tasks(names, train=400, validation=0, test=0, noise=n) for n in (0.0, 0.1, 0.3))
    for name in names:
        pairs = list(zip(clean[name].train, some[name].train, more[name].train, strict=True))
        assert all(a["text"] == b["text"] == c["text"] for a, b, c in pairs)
        hit = [a["label"] != b["label"] for a, b, c in pairs], [a["label"] != c["label"] for a, b, c in pairs]
        if name not in ("rating", "entities", "reply"):
            assert all(late for early, late in zip(*hit, strict=True) if early)
            assert abs(sum(hit[0]) / 400 - 0.1) < 0.06 and abs(sum(hit[1]) / 400 - 0.3) < 0.09


@pytest.mark.parametrize("name, noise", [("sentiment", 0.1), ("sentiment", 0.8), ("topic", 0.25), ("entailment", 0.4),
                                         ("mood", 0.2), ("rating", 0.5), ("rating", 2.0), ("entities", 0.15),
                                         ("question", 0.2)])
def test_an_oracle_scores_the_ceiling(name, noise):
    """Whoever knows the clean answers, and the noise, scores the ceiling within sampling error on the noisy test."""
    clean, noisy = (town.town_tasks([name], train=0, validation=0, test=3000, noise=n)[name] for n in (0.0, noise))
    truth, guess = [row["label"] for row in noisy.test], [row["label"] for row in clean.test]
    if name == "rating":
        score, tolerance = _pearson(truth, guess), 0.03
    elif name == "entities":
        score, tolerance = _entity_f1(truth, guess), 0.03
    else:
        if noise > 0.5:                                     # two classes: the better guess is the other label
            guess = [next(x for x in clean.task.labels if x != label) for label in guess]
        score, tolerance = sum(a == b for a, b in zip(truth, guess, strict=True)) / 3000, 0.035
        if name == "question":
            assert all(a == b or a[1] <= b[0] or b[1] <= a[0] for a, b in zip(truth, guess, strict=True))
    assert noisy.task.ceiling == town.ceiling(name, noise) == pytest.approx(score, abs=tolerance)


def _pearson(a, b):
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    cov = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True))
    return cov / (sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b)) ** 0.5


def _entity_f1(truth, guess):
    def spans(tags):
        return {(i, tag) for i, tag in enumerate(tags) if tag[0] == "B"}
    both = sum(len(spans(a) & spans(b)) for a, b in zip(truth, guess, strict=True))
    return 2 * both / sum(len(spans(a)) + len(spans(b)) for a, b in zip(truth, guess, strict=True))


def test_the_ceiling_is_unknown_where_it_is():
    assert town.ceiling("reply") == 1.0 and town.ceiling("reply", 0.1) is None and town.ceiling("question", 0.7) is None


# ---- hidden lexicons ---------------------------------------------------------------------------------------------

def test_the_text_decides_the_mood():
    """Learn nothing, look up the words: the sign of the sum, where "not" turns a word round, is the label."""
    words = town.lexicons(seed=6, related=0.5)
    tasks = town.town_tasks(["mood", "returns", "tips"], train=400, seed=6, related=0.5)
    for name, data in tasks.items():
        for row in data.train:
            signs = [(-sign if re.search(rf"\bnot {word}\b", row["text"]) else sign)
                     for word, sign in words.cues[name].items() if re.search(rf"\b{word}\b", row["text"])]
            assert len(signs) == 1 and data.task.labels[sum(signs) > 0] == row["label"]


@pytest.mark.parametrize("related", [1.0, 0.75, 0.5, 0.0, -0.5, -1.0])
@pytest.mark.parametrize("conflict", [0.0, 0.5, 1.0])
def test_related_and_conflict_do_what_they_say(related, conflict):
    """Measured from the rows: each word's polarity is recovered by least squares on the labels' votes."""
    cues = town.lexicons(3, related=related, conflict=conflict, cues=20).cues
    common = set(cues["mood"]) & set(cues["returns"])
    assert len(common) == round(abs(related) * 20)
    reversed_words = sum(cues["mood"][word] != cues["returns"][word] for word in common)
    assert reversed_words == (len(common) - round(conflict * len(common)) if related < 0 else round(conflict * len(common)))
    rows = town.town_tasks(["returns"], train=3000, validation=0, test=0, seed=3, related=related, conflict=conflict,
                           cues=20)["returns"].train
    votes = Counter()
    for row in rows:
        tokens = parse.tokenize(row["text"])
        for before, word in zip(tokens, tokens[1:], strict=False):
            votes[word] += (1 if row["label"] == "yes" else -1) * (-1 if before == "not" else 1)
    for word, sign in cues["returns"].items():
        assert votes[word] * sign > 0, word


def test_the_target_does_not_change_with_its_partner():
    rows = [town.town_tasks(["mood", "returns"], train=50, related=r, conflict=c, seed=2)["mood"].train
            for r, c in ((1.0, 0.0), (0.3, 0.5), (-1.0, 0.0))]
    assert rows[0] == rows[1] == rows[2]
    other = town.town_tasks(["mood", "returns"], train=50, related=1.0, seed=3)["mood"].train
    assert other != rows[0]


def test_shared_lexicon_rows_have_a_label_for_each_task():
    words = town.lexicons(seed=1, related=-0.5)
    tasks = town.town_tasks(["mood", "returns", "tips"], train=300, shared=True, seed=1, related=-0.5)
    for rows in zip(*(data.train for data in tasks.values()), strict=True):
        assert len({row["text"] for row in rows}) == 1
        for row, (name, data) in zip(rows, tasks.items(), strict=True):
            assert data.task.labels[words.score(name, parse.tokenize(row["text"])) > 0] == row["label"]


def test_known_words_keep_their_polarity():
    for word, sign in town.lexicons(lexicon="town").cues["mood"].items():
        assert w.POLARITY[word] == sign
    row = town.town_tasks(["mood"], lexicon="town", train=1)["mood"].train[0]
    assert not set(parse.tokenize(row["text"])) & set(town.INVENTED)


# ---- customers ---------------------------------------------------------------------------------------------------

def test_customers_like_what_their_profile_says():
    liking, disliking = "loves|likes|adores|enjoys|bring \\w+", "dislikes|hates|does not like|never eats|nothing|not|never"
    for customer in town.customers(500, seed=1):
        for product, kind in w.TASTE.items():
            said = re.search(rf"(?:.*)\b({disliking}|{liking}|or|and)\b (?:things )?{kind}\b", customer.profile, re.I)
            verdict = customer.likes(product)
            assert (said is None) == (verdict is None), (customer, product)
            if said:
                lead = said[1].lower()
                if lead in ("or", "and"):
                    lead = "bring x"                                    # "bring Mara sweet or sour", "adores a and enjoys b"
                assert verdict == (re.fullmatch(disliking, lead) is None), (customer, kind)


def test_preference_rows_follow_from_the_profile():
    for row in town.town_tasks(["preference"], train=300, validation=0, test=0)["preference"].train:
        kind = w.TASTE[row["text_b"].removeprefix("The ").removesuffix(".")]
        unloved = re.search(rf"(dislikes|hates|does not like|never eats|nothing|but not|and never|never) (things )?{kind}",
                            row["text"], re.I)
        assert row["label"] == ("dislikes" if unloved else "likes")


# ---- the same bytes everywhere, quickly, and clear errors --------------------------------------------------------

SNAPSHOT = """
import hashlib, json
from dataclasses import astuple
from mtl_teach import town
made = [[astuple(s) for s in town.sentences(300, seed=1)], town.corpus(300, seed=1), [astuple(c) for c in town.customers(50)],
        {name: [data.train, data.test] for name, data in town.town_tasks(list(town.TASKS), train=40, test=40, noise=0.2,
                                                                          related=-0.5, conflict=0.3).items()}]
print(hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest())
"""
PINNED = "5139b806d644dbc0a11b652443a20f409f1ab97747e4b72080243e1e8a49a53a"


@pytest.mark.parametrize("hash_seed", ["0", "77"])
def test_the_same_seed_gives_the_same_bytes(hash_seed):
    """Compared with a pinned sha256, in processes whose sets and strings hash differently."""
    out = subprocess.run([sys.executable, "-c", SNAPSHOT], capture_output=True, text=True, check=True,
                         env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)})
    assert out.stdout.strip() == PINNED, "the town writes other texts: the embedded model must be trained anew"


def test_the_town_needs_only_python():
    code = "import sys, mtl_teach.town as t; t.town_tasks(['mood']); print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_seeds_differ():
    assert {s.text for s in town.sentences(50, 1)}.isdisjoint(s.text for s in town.sentences(50, 2))
    assert hashlib.sha256(json.dumps(town.corpus(5, 1)).encode()).digest() != hashlib.sha256(json.dumps(town.corpus(5, 2)).encode()).digest()


@pytest.mark.parametrize("arguments, message", [
    (dict(names=["sentimant"]), "Did you mean 'sentiment'"),
    (dict(names=["topic"], noise=1.5), "share from 0 to 1"),
    (dict(names=["rating"], noise=-1), "standard deviation"),
    (dict(names=["topic"], train=-5), "whole number"),
    (dict(names=["topic"], train={"topik": 5}), "topik"),
    (dict(names=["topic"], contrast=2), "contrast must be a number from 0 to 1"),
    (dict(names=["topic"], related=0.5), "related is a dial of the tasks mood"),
    (dict(names=["topic"], contrasts=0.5), "Did you mean 'contrast'"),
    (dict(names=["mood"], related=1.5), "from -1 to 1"),
    (dict(names=["mood"], related={"return": 1}), "Did you mean 'returns'"),
    (dict(names=["mood"], conflict=-0.1), "conflict must be"),
    (dict(names=["mood"], cues=7), "even number"),
    (dict(names=["mood"], lexicon="old"), "unknown lexicon"),
])
def test_clear_errors(arguments, message):
    with pytest.raises(TaskError, match=re.escape(message)):
        town.town_tasks(**arguments)
