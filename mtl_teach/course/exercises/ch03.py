"""Exercises of chapter 03, model design."""

# ruff: noqa: E501  (tables of prose)

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch.nn import functional as F

from ..expect import Mistake, compare, expect, expect_close, expect_type, numbers
from ..registry import Exercise

TITLE, NOTEBOOK = "Model design", "03_model_design"


def padded(fresh, side, rows=4, width=7, size=3):
    """(hidden (B, T, D), mask (B, T)); at padding stands what a model may give there: large numbers."""
    lengths = [width, *fresh.sample(range(2, width), rows - 1)]
    places = torch.arange(width)
    mask = torch.stack([(places < n) if side == "right" else (places >= width - n) for n in lengths]).long()
    hidden = fresh.normal(rows, width, size)
    return torch.where(mask[..., None] == 1, hidden, 50 + 10 * fresh.normal(rows, width, size)), mask


def loop(hidden, mask, choose):
    """Row by row: choose(the real vectors of a text) -> its vector. No mask arithmetic to get wrong."""
    return torch.stack([choose(h[m.bool()]) for h, m in zip(hidden, mask)])


# ---- 03.1 last_token --------------------------------------------------------------------------------------------------

LAST = [
    Mistake(lambda h, m: h[:, -1], "You took the last column. With padding on the right that is padding, but for the longest text.",
            "Find for each row the last place where the mask is 1."),
    Mistake(lambda h, m: h[torch.arange(len(h)), m.sum(1) - 1], "You counted the real tokens. That is their place only if they begin "
            "at 0; here the padding stands on the left.", "Ask for the place itself: `(mask * torch.arange(T)).argmax(1)`."),
    Mistake(lambda h, m: (m * torch.arange(m.size(1))).argmax(1), "You returned the places of the last real tokens, not what stands "
            "there.", "`hidden[torch.arange(len(hidden)), where]` picks one vector from each row."),
    Mistake(lambda h, m: h[:, (m * torch.arange(m.size(1))).argmax(1)], "`hidden[:, where]` picks every place from every text.",
            "`hidden[torch.arange(len(hidden)), where]` picks one vector from each row."),
    Mistake(lambda h, m: h[:, m.sum(1) - 1], "`hidden[:, where]` picks every place from every text.",
            "`hidden[torch.arange(len(hidden)), where]` picks one vector from each row."),
    Mistake(lambda h, m: h[:, 0], "You took the first column. In a decoder it has read one token at most.",
            "The last real token has read the whole text."),
    Mistake(lambda h, m: loop(h, m, lambda real: real[0]), "You took the first real token. In a decoder it has read nothing else.",
            "The last real token has read the whole text. `argmax` gives the first of equal values: multiply with the place."),
    Mistake(lambda h, m: loop(h, m, lambda real: real.mean(0)), "That is the mean over the real tokens.",
            "One vector is asked for, that of the last real token."),
    Mistake(lambda h, m: h[torch.arange(len(h)), (m.sum(1)).clamp(max=h.size(1) - 1)], "You are one place too far: after the last real "
            "token.", "n tokens from place 0 end at place n - 1."),
    Mistake(lambda h, m: h[torch.arange(len(h)), (m.sum(1) - 2).clamp(min=0)], "You are one place too early.",
            "n tokens from place 0 end at place n - 1."),
]


def check_last(answer, fresh):
    for side in ("right", "left"):
        compare(answer, [*padded(fresh, side)], lambda h, m: loop(h, m, lambda real: real[-1]), "Each text's vector must be that of its "
                "last real token, wherever the padding stands (here: {side}).", known=LAST, axes="B, D", side=side)
    return "Right for padding on either side."


# ---- 03.2 masked_mean -------------------------------------------------------------------------------------------------

MEAN = [
    Mistake(lambda h, m: h.mean(1), "You averaged over all columns, padding included.", "Leave out what the mask calls padding."),
    Mistake(lambda h, m: loop(h, m, lambda real: real.sum(0)) / h.size(1), "Padding is out of the sum, but you still divide by the width "
            "of the batch. A text would get shorter vectors the longer its neighbours are.", "Divide by the number of real tokens."),
    Mistake(lambda h, m: loop(h, m, lambda real: real.sum(0)), "That is the sum; long texts get long vectors.",
            "Divide by the number of real tokens."),
    Mistake(lambda h, m: loop(h, m, lambda real: real[-1]), "That is the last real token, not the mean."),
    Mistake(lambda h, m: loop(h, m, lambda real: real.mean(0)) + (h * (1 - m[..., None])).sum(1) / m.sum(1, keepdim=True),
            "Padding got into the sum.", "Put 0 at the padding before you add up."),
]


def check_mean(answer, fresh):
    says = "Each text's vector must be the mean over its own real tokens."
    for side in ("right", "left"):
        hidden, mask = padded(fresh, side)
        compare(answer, [hidden, mask], lambda h, m: loop(h, m, lambda real: real.mean(0)), says, known=MEAN, axes="B, D")
    weight = fresh.normal(len(hidden), hidden.size(2))
    grad = answer.gradients(hidden, mask, wrt=[0], weight=weight)["inputs"][0]
    want = weight[:, None] * mask[..., None] / mask.sum(1)[:, None, None]
    expect_close(grad, want, "The gradient must reach each real token in equal parts, and no padding.")
    _no_tokens(answer, hidden, mask)
    spoiled = torch.where(mask[..., None] == 1, hidden, torch.tensor(float("inf")))
    got = answer(spoiled, mask)
    expect(not np.isnan(numbers(got)).any(), "Where padding holds inf, the result is nan.", "inf * 0 is nan: multiplying does not take "
           "it out. Half-precision models do give inf there.", "Put zeros there first: `hidden.masked_fill(mask[..., None] == 0, 0.0)`.")
    expect_close(got, loop(hidden, mask, lambda real: real.mean(0)), says)
    return "Also with inf at the padding, and for a text without tokens."


def _no_tokens(answer, hidden, mask):
    empty = mask.clone()
    empty[1] = 0
    got = numbers(answer(hidden, empty))
    expect(np.allclose(got[1], 0, atol=1e-6), "A text without a single real token must get zeros; you returned {got}.",
           "0/0 is nan." if np.isnan(got[1]).any() else "", "Divide by `mask.sum(1, keepdim=True).clamp(min=1)`.", got=got[1])


# ---- 03.3 strangers ---------------------------------------------------------------------------------------------------

def make_reader(fault: str, seed: int):
    """embed(ids (B, T), mask (B, T)) -> (B, 4): a small decoder-like reader, sound or with one fault."""
    table = torch.from_numpy(np.random.default_rng(seed).normal(size=(30, 4)).astype(np.float32))

    def embed(ids, mask):
        ids, mask = torch.as_tensor(ids), torch.as_tensor(mask)
        read = (table[ids] * mask[..., None]).cumsum(1).tanh()                       # (B, T, D)
        if fault == "last column":
            read = read + 0.1 * (1 - mask[..., None])                                # a pad's state is another one
            return read[:, -1]
        last = (mask * torch.arange(mask.size(1))).argmax(1)
        pooled = read[torch.arange(len(ids)), last]
        noise = 1e-6 * torch.sin(100.0 * torch.arange(len(ids)) + mask.size(1))[:, None]  # rounding: other shapes, other sums
        return pooled - pooled.mean(0) * (fault == "batch mean") + noise
    return embed


def strangers(fault, seed, texts, pad, tolerance=1e-4, same_width=False, blind=False):
    embed = make_reader(fault, seed)
    width = max(map(len, texts))

    def batch(some, width):
        ids = torch.tensor([text + [pad] * (width - len(text)) for text in some])
        return embed(ids, torch.tensor([[1] * len(text) + [int(blind)] * (width - len(text)) for text in some]))
    together = batch(texts, width)
    alone = torch.cat([batch([text], width if same_width else len(text)) for text in texts])
    return [i for i in range(len(texts)) if (alone[i] - together[i]).abs().max() > tolerance]


STRANGERS = [
    Mistake(lambda *a: strangers(*a, tolerance=0.0), "You compare exactly. Sums in another order round differently, so even a sound "
            "model differs in the seventh digit.", "Let differences below about 1e-4 pass: `torch.allclose(a, b, atol=1e-4)`."),
    Mistake(lambda *a: strangers(*a, same_width=True), "A text \"alone\" still has the padding it had in the batch, so the fault you look "
            "for is in both.", "Give a lone text its own width, without any padding."),
    Mistake(lambda *a: [], "You found nobody, but this reader does change its mind.", "Read all texts in one batch, then each of them "
            "alone, and print both vectors of one text."),
    Mistake(lambda *a: strangers(*a, blind=True), "You give the batch a mask of ones, so padding is read as text. Then the fault is in "
            "your test.", "The mask is 1 on a text's own tokens and 0 behind them."),
    Mistake(lambda fault, seed, texts, pad: [i for i in range(len(texts)) if i not in strangers(fault, seed, texts, pad)],
            "You list the texts that stay the same.", "Turn the comparison round."),
]


def check_strangers(answer, fresh):
    lengths = fresh.shuffled([2, 3, 4, 6, 6])
    texts, pad, seed = [fresh.integers(1, 29, n).tolist() for n in lengths], 0, fresh.integer(0, 10**6)
    for fault in ("batch mean", "last column", "none"):
        reader = answer.prop("reader", fault, seed)

        def call(fault, seed, texts, pad, reader=reader):
            got = answer(reader, texts, pad)
            got = sorted(got) if isinstance(got, set) else got
            expect_type(got, list)
            expect(not got or not all(isinstance(i, bool) for i in got), "You returned True or False for each text; asked for are "
                   "the numbers of those that change.", next="`[i for i, changes in enumerate(...) if changes]`")
            expect(all(numbers(i) is not None and numbers(i).ndim == 0 for i in got), "Return the numbers of the texts, counted from 0.")
            return sorted(int(numbers(i)) for i in got)
        compare(call, [fault, seed, texts, pad], strangers, "The list of texts whose vector changes in company is not right "
                "(a reader with {fault}).", known=STRANGERS, fault={"none": "no fault"}.get(fault, f"the fault \"{fault}\""))
    return "Keep this test: it finds what no error shows."


# ---- 03.4 tag_loss ----------------------------------------------------------------------------------------------------

def by_token(logits, labels):
    losses = [-logits[i, t].log_softmax(-1)[label] for i, row in enumerate(labels.tolist()) for t, label in enumerate(row) if label >= 0]
    return sum(losses) / len(losses) if losses else logits.sum() * 0


def token_losses(logits, labels, fill=0):
    return F.cross_entropy(logits.flatten(0, 1), torch.where(labels < 0, fill, labels).flatten(), reduction="none").view(labels.shape)


TAGS = [
    Mistake(lambda x, y: token_losses(x, y).mul(y >= 0).mean(), "You divide by all tokens, also those without a label. Then a batch "
            "with much padding counts less.", "Divide by `(labels != -100).sum()`."),
    Mistake(lambda x, y: token_losses(x, y).mean(), "Tokens without a label were taken for class 0.", "-100 means: no label. Skip them."),
    Mistake(lambda x, y: token_losses(x, y, x.size(-1) - 1).mean(), "Tokens without a label were taken for the last class.",
            "-100 means: no label. Skip them."),
    Mistake(lambda x, y: (token_losses(x, y).mul(y >= 0).sum(1) / (y >= 0).sum(1).clamp(min=1)).mean(), "You averaged within each text "
            "first. Then a word in a short text counts more than one in a long text.", "One mean over all labelled tokens of the batch."),
    Mistake(lambda x, y: token_losses(x, y).mul(y >= 0).sum(), "That is the sum; it grows with the length of the texts.",
            "Divide by `(labels != -100).sum()`."),
    Mistake(lambda x, y: token_losses(x, y).mul(y >= 0).sum() / len(x), "You divide by the number of texts.",
            "Divide by the number of labelled tokens."),
]


def check_tags(answer, fresh):
    labels = fresh.integers(0, 3, 3, 6)
    for row, n in enumerate(fresh.sample([1, 3, 5], 3)):
        labels[row, n:] = -100
    logits = fresh.normal(3, 6, 4, scale=1.5)
    compare(answer, [logits, labels], by_token, "The loss must be one mean over all labelled tokens of the batch.", known=TAGS)
    grad = answer.gradients(logits, labels, wrt=[0])["inputs"][0]
    want = (logits.softmax(-1) - F.one_hot(labels.clamp(min=0), 4)) * (labels >= 0)[..., None] / (labels >= 0).sum()
    expect_close(grad, want, "The gradient must reach the labelled tokens, and no others.")
    none = answer(logits, torch.full_like(labels, -100))
    expect_type(none, "number")
    expect(float(numbers(none)) == 0.0, "Without a single label the loss must be 0; yours is {none}.", "The mean of nothing is 0/0.",
           "Divide by the count with .clamp(min=1).", none=none)
    return "First pieces count, the rest is silent."


# ---- 03.5 letter_loss -------------------------------------------------------------------------------------------------

SILENT = {"column": "the last column is padding for all but the longest letters",
          "all letters": "every desk is judged on all letters, also those of other desks; `% len(desk)` only hides that their answers "
                         "do not fit",
          "divided": "each desk's loss is already a mean, and is divided once more by the number of letters"}


def letters(hidden, mask, desks, numbers_, answers, faults=(), pool="last"):
    total = hidden.sum() * 0
    for number, desk in enumerate(desks):
        mine = [i for i in range(len(answers)) if "all letters" in faults or int(numbers_[i]) == number]
        losses = []
        for i in mine:
            at = hidden.size(1) - 1 if "column" in faults else int(mask[i].sum()) - 1
            read = hidden[i, mask[i].bool()].mean(0) if pool == "mean" else hidden[i, at]
            losses.append(-(desk @ read).log_softmax(-1)[int(answers[i]) % len(desk)])
        total = total + (sum(losses) / len(losses) if losses else 0.0)
    return total / (len(answers) if "divided" in faults else 1)


def _left(faults):
    return Mistake(lambda *a: letters(*a, faults=faults), "What is left: " + "; ".join(SILENT[fault] for fault in faults) + ".",
                   "Take one letter alone and follow it through the code.")


CLINIC = [_left(faults) for count in (1, 2, 3) for faults in itertools.combinations(SILENT, count)] + [
    Mistake(lambda *a: letters(*a, pool="mean"), "You read the mean over a letter's tokens; asked for is the last real token.",
            "`hidden[torch.arange(len(hidden)), mask.sum(1) - 1]`"),
    Mistake(lambda *a: letters(*a) / len(a[2]), "You divide by the number of desks. The loss is the sum over desks."),
    Mistake(lambda *a: letters(*a) / len(set(a[3].tolist())), "You divide by the number of desks. The loss is the sum over desks.")]


def check_letters(answer, fresh):
    for absent in (False, True):
        hidden, mask = padded(fresh, "right", rows=6)
        numbers_ = torch.tensor(fresh.shuffled([0, 0, 0, 0, 1, 1])) * (0 if absent else 1)
        desks = [fresh.normal(2, 3, scale=0.7), fresh.normal(4, 3, scale=0.7)]
        answers = torch.tensor([fresh.integer(0, 3) if n else fresh.integer(0, 1) for n in numbers_.tolist()])
        hidden = torch.where(mask[..., None] == 1, hidden, hidden / 25)             # at padding: other states, of the usual size
        args = [hidden, mask, desks, numbers_, answers]
        if absent:
            got = answer(*args)
            expect_type(got, "number")
            expect(not np.isnan(numbers(got)), "A batch without letters for a desk gives nan.", "The mean of no letters is 0/0.",
                   "Skip a desk that has no letters: `if mine.any()`.")
        compare(answer, args, letters, "The loss must be the sum over desks of the mean over the desk's own letters, each read at its "
                "last real token.", known=CLINIC)
    return "All three silent faults are mended."


# ---- 03.6 best_pooling ------------------------------------------------------------------------------------------------

def apart(point, mean):
    return float(((point - mean) ** 2).sum())


def centroids(vectors, labels, train, val, fit=None, on=None, far=apart):
    """Nearest class mean, by loops: {rule: share of right answers}."""
    scores = {}
    for rule, points in vectors.items():
        fit_rows, rows = train if fit is None else fit, val if on is None else on
        means = {c: sum(points[i] for i in fit_rows if labels[i] == c) / sum(labels[i] == c for i in fit_rows)
                 for c in sorted(set(labels.tolist()))}
        right = [min(means, key=lambda c, at=points[i], means=means: far(at, means[c])) == labels[i] for i in rows]
        scores[rule] = sum(map(float, right)) / len(right)
    return scores


def choice(*args, worst=False, times=1, **how):
    scores = {rule: times * share for rule, share in centroids(*args, **how).items()}
    return [(min if worst else max)(scores, key=scores.get), scores]


POOLING = [
    Mistake(lambda v, y, a, b: choice(v, y, a, b, on=a), "You measured on the training rows. A wide, noisy vector fits them best and "
            "tells nothing about others.", "Class means from `train`, the share of right answers from `val`."),
    Mistake(lambda v, y, a, b: choice(v, y, a, b, fit=a + b), "The class means were made from all rows, so the validation rows had a part "
            "in what they are to judge.", "Use the rows in `train` for the means."),
    Mistake(lambda v, y, a, b: choice(v, y, a, b, fit=b), "The class means were made from the validation rows.",
            "Use the rows in `train` for the means."),
    Mistake(lambda v, y, a, b: [choice(v, y, a, b, on=a)[0], choice(v, y, a, b)[1]], "The shares are right, but you chose another rule: "
            "the one that is best on the training rows, or the worst.", "Choose the largest of the shares you return."),
    Mistake(lambda v, y, a, b: choice(v, y, a, b, worst=True), "You chose the rule with the lowest share.", "Take max, not min."),
    Mistake(lambda v, y, a, b: choice(v, y, a, b, far=lambda x, m: -float(x @ m)), "You took the mean with the largest dot product. It "
            "favours long means; asked for is the nearest one.", "`torch.cdist(points[val], means).argmin(1)`"),
    Mistake(lambda v, y, a, b: choice(v, y, a, b, far=lambda x, m: -float(F.cosine_similarity(x, m, 0))), "You compared directions (cosine); "
            "asked for is the nearest mean (Euclid).", "`torch.cdist(points[val], means).argmin(1)`"),
    Mistake(lambda v, y, a, b: choice(v, y, a, b, times=100), "The shares are in percent; asked for are numbers between 0 and 1.",
            "Leave out the 100."),
]


def check_pooling(answer, fresh):
    labels = torch.tensor(fresh.shuffled([0, 1] * 30))
    train, val = list(range(16)), list(range(16, 60))
    side = (2.0 * labels - 1)[:, None]
    vectors = {"first": fresh.normal(60, 40), "last": fresh.normal(60, 2, scale=0.8) + 1.2 * side,
               "mean": fresh.normal(60, 2, scale=1.0) + 0.35 * side}
    for row in range(5):                                      # outliers among the training rows: "last" is not the best there
        vectors["last"][row] -= 2.4 * side[row]
    vectors = {name: vectors[name] for name in fresh.shuffled(vectors)}

    def call(*args):
        got = answer(*args)
        expect(isinstance(got, (tuple, list)) and len(got) == 2, "Return two things: the name of the best rule, and the shares of all.")
        expect_type(got[1], dict, "The second part")
        expect(set(got[1]) == set(vectors), "The shares must have an entry for each rule: {names}.", names=sorted(vectors))
        for rule, share in got[1].items():
            expect_type(share, "number", f"the share of {rule!r}")
        return [got[0], {rule: got[1][rule] for rule in vectors}]
    compare(call, [vectors, labels, train, val], choice, "The rule must be chosen by its share of right answers on `val`, with class "
            "means from `train`.", known=POOLING)
    return "Chosen by rows that had no part in the fit."


EXERCISES = [
    Exercise(id="03.1", title="The last real token", answer="last_token", call="last_token(hidden, mask)", points=2, difficulty=2,
             importance=5, minutes=10, check=check_last, hints=[
                 "`mask.sum(1) - 1` is right for padding on the right only. Why?",
                 "Multiply the mask with the places 0, 1, 2, ...: where is the result largest?",
                 "`hidden[torch.arange(len(hidden)), where]` picks one vector from each row."]),
    Exercise(id="03.2", title="A mean that padding has no part in", answer="masked_mean", call="masked_mean(hidden, mask)", points=2,
             difficulty=3, importance=4, minutes=15, check=check_mean, hints=[
                 "`mask.unsqueeze(-1)` has the shape (B, T, 1) and fits `hidden`.",
                 "What is inf * 0? `masked_fill` puts a number in place of whatever stands there.",
                 "Divide by `mask.sum(1, keepdim=True).clamp(min=1)`."]),
    Exercise(id="03.3", title="Alone and in company: a test for silent faults", answer="strangers", kind="design",
             call="strangers(embed, texts, pad)", points=3, difficulty=3, importance=5, minutes=20, check=check_strangers,
             props={"reader": make_reader}, hints=[
                 "Make one batch of all texts, and a batch of one for each text, without padding.",
                 "`embed(torch.tensor([text]), torch.ones(1, len(text), dtype=torch.long))` reads a text alone.",
                 "A sound model differs a little too, by rounding. Compare with a tolerance."]),
    Exercise(id="03.4", title="A loss for tags", answer="tag_loss", call="tag_loss(logits, labels)", points=2, difficulty=2,
             importance=4, minutes=15, check=check_tags, hints=[
                 "cross_entropy wants (N, C) and (N,): flatten B and T into one axis.",
                 "`ignore_index=-100` skips tokens. `reduction=\"sum\"` lets you divide yourself, by a count that may be 0."]),
    Exercise(id="03.5", title="Find the bugs: a sorter that runs", answer="letter_loss", kind="find the bug",
             call="letter_loss(hidden, mask, desks, desk_numbers, answers)", points=3, difficulty=4, importance=5, minutes=25,
             check=check_letters, hints=[
                 "Which arguments are never used? Which operation is there only so that nothing crashes?",
                 "There are three faults: what is read, who is judged, and what the result is divided by.",
                 "A desk's loss: `mine = desk_numbers == number`, then cross_entropy of its own letters."]),
    Exercise(id="03.6", title="Choose a pooling by measuring", answer="best_pooling", kind="measure and choose",
             call="best_pooling(vectors, labels, train, val)", points=2, difficulty=3, importance=4, minutes=20, check=check_pooling, hints=[
                 "The class means: `points[train][labels[train] == c].mean(0)` for each class c.",
                 "`torch.cdist(points[val], means).argmin(1)` is the number of the nearest mean.",
                 "The share on `val` decides. What the training rows say does not count."]),
]
