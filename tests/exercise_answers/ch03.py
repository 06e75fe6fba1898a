"""Answers to the exercises of chapter 03."""

import numpy as np
import torch
from torch.nn import functional as F

from . import Rows

# ---- 03.1


def last_in_numpy(hidden, mask):
    """Right: numpy, from the other end, in float64."""
    flipped = mask.numpy()[:, ::-1]
    return hidden.double().numpy()[np.arange(len(hidden)), hidden.shape[1] - 1 - flipped.argmax(1)]


def last_by_gather(hidden, mask):
    where = mask.cumsum(1).argmax(1)
    return hidden.gather(1, where.view(-1, 1, 1).expand(-1, 1, hidden.size(2))).squeeze(1)


B = lambda h: torch.arange(len(h))  # noqa: E731
LAST = Rows(right=[last_in_numpy, last_by_gather], wrong=[
    (lambda h, m: h[:, -1], "took the last column"), (lambda h, m: h[B(h), m.sum(1) - 1], "counted the real tokens"),
    (lambda h, m: h[:, 0], "took the first column"), (lambda h, m: (h * m[..., None]).sum(1) / m.sum(1, keepdim=True), "the mean over the real"),
    (lambda h, m: h[B(h), m.sum(1).clamp(max=h.size(1) - 1)], "one place too far"),
    (lambda h, m: h[B(h), (m * torch.arange(m.size(1))).argmax(1)][0], r"must have the shape \(4, 3\)"),
    (lambda h, m: (m * torch.arange(m.size(1))).argmax(1), "places of the last real tokens|shape"),
    (lambda h, m: h[:, (m * torch.arange(m.size(1))).argmax(1)], "every place from every text"),
    (lambda h, m: h[B(h), (m * torch.arange(m.size(1))).argmax(1)].T, "It looks transposed")])

# ---- 03.2


def mean_by_rows(hidden, mask):
    """Right: a loop over rows, float64."""
    return torch.stack([h[m.bool()].double().mean(0) if m.any() else torch.zeros(h.size(1), dtype=torch.float64)
                        for h, m in zip(hidden, mask)])


def mean_in_place(hidden, mask):
    """Right: fills a copy in place; einsum with weights."""
    weights = mask.float()
    weights /= weights.sum(1, keepdim=True).clamp_(min=1)
    hidden = hidden.clone()
    hidden[mask == 0] = 0
    return torch.einsum("btd,bt->bd", hidden, weights)


def times(hidden, mask, divisor):
    return (hidden * mask[..., None]).sum(1) / divisor


MEAN = Rows(right=[mean_by_rows, mean_in_place], wrong=[
    (lambda h, m: h.mean(1), "padding included"), (lambda h, m: times(h, m, h.size(1)), "divide by the width"),
    (lambda h, m: times(h, m, 1), "That is the sum"), (lambda h, m: h.sum(1) / m.sum(1, keepdim=True), "Padding got into the sum"),
    (lambda h, m: times(h, m, m.sum(1, keepdim=True)), "0/0 is nan"), (lambda h, m: times(h, m, m.sum(1, keepdim=True).clamp(min=1)), "Half-precision models do give inf"),
    (lambda h, m: mean_by_rows(h, m).detach(), "cut off from the inputs")])

# ---- 03.3


def in_order_of_length(embed, texts, pad):
    """Right: alone means a batch of two copies; numpy; one text after the other."""
    width = max(map(len, texts))
    together = embed(torch.tensor([t + [pad] * (width - len(t)) for t in texts]),
                     torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t in texts])).numpy()
    found = set()
    for i in sorted(range(len(texts)), key=lambda i: len(texts[i])):
        alone = embed(torch.tensor([texts[i]]), torch.ones(1, len(texts[i]), dtype=torch.long))[0].numpy()
        if np.abs(alone - together[i]).max() > 1e-3:
            found.add(i)
    return found                                       # a set of numbers


def compared(embed, texts, pad, same=torch.allclose, wide=False, turned=False, blind=False):
    width = max(map(len, texts))

    def batch(some, width):
        return embed(torch.tensor([t + [pad] * (width - len(t)) for t in some]),
                     torch.tensor([[1] * len(t) + [int(blind)] * (width - len(t)) for t in some]))
    together = batch(texts, width)
    return [i for i, t in enumerate(texts) if same(batch([t], width if wide else len(t))[0], together[i]) == turned]


def near(a, b):
    return torch.allclose(a, b, atol=1e-4)


STRANGERS = Rows(right=[in_order_of_length], wrong=[
    (lambda e, t, p: compared(e, t, p, same=torch.equal), "compare exactly"), (lambda e, t, p: compared(e, t, p, near, wide=True), "still has the padding"),
    (lambda e, t, p: compared(e, t, p, near, turned=True), "found nobody|stay the same"), (lambda e, t, p: [], "found nobody"),
    (lambda e, t, p: [t[i] for i in compared(e, t, p, near)], "numbers of the texts"),
    (lambda e, t, p: [i in compared(e, t, p, near) for i in range(len(t))], "True or False for each text"),
    (lambda e, t, p: compared(e, t, p, near, blind=True), "mask of ones|found nobody"),
    (lambda e, t, p: len(compared(e, t, p, near)), "must be a list")])

# ---- 03.4


def tags_by_hand(logits, labels):
    """Right: log-sum-exp by hand on the labelled tokens alone, in float64."""
    there = labels >= 0
    if not there.any():
        return 0.0 * logits.sum()
    x, y = logits[there].double(), labels[there]
    return (x.exp().sum(-1).log() - x[torch.arange(len(y)), y]).mean()


def tokens(logits, labels, fill=0):
    return F.cross_entropy(logits.transpose(1, 2), labels.clamp(min=fill) if fill == 0 else labels.where(labels >= 0, fill), reduction="none")


TAGS = Rows(right=[tags_by_hand], wrong=[
    (lambda x, y: (tokens(x, y) * (y >= 0)).mean(), "divide by all tokens"), (lambda x, y: tokens(x, y).mean(), "taken for class 0"),
    (lambda x, y: tokens(x, y, x.size(-1) - 1).mean(), "taken for the last class"),
    (lambda x, y: torch.stack([F.cross_entropy(a, b) for a, b in zip(x, y)]).mean(), "averaged within each text"),
    (lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten(), reduction="sum"), "That is the sum"),
    (lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten(), reduction="sum") / len(x), "number of texts"),
    (lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten()), "mean of nothing is 0/0|nan comes from 0/0|loss must be 0"),
    (lambda x, y: tags_by_hand(x, y).item(), "must be a tensor"),
    (lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten(), reduction="none"), "one number")])

# ---- 03.5


def letters(hidden, mask, desks, numbers, answers, last=True, own=True, divide=False, skip=True, mean=False):
    pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True) if mean else hidden[torch.arange(len(hidden)), mask.sum(1) - 1] if last else hidden[:, -1]
    loss = hidden.new_zeros(())
    for k, desk in enumerate(desks):
        mine = numbers == k if own else torch.ones_like(numbers).bool()
        if mine.any() or not skip:
            loss = loss + F.cross_entropy(pooled[mine] @ desk.T, answers[mine] % len(desk))
    return loss / len(answers) if divide else loss


def by_letter(hidden, mask, desks, numbers, answers):
    """Right: letter by letter, each with the weight 1 / (letters of its desk)."""
    total = 0.0
    for h, m, k, answer in zip(hidden, mask, numbers.tolist(), answers.tolist()):
        scores = desks[k].double() @ h[int(m.sum()) - 1].double()
        total = total + (scores.logsumexp(0) - scores[answer]) / (numbers == k).sum()
    return total


CLINIC = Rows(right=[by_letter], wrong=[
    (lambda *a: letters(*a, last=False), "What is left: the last column"), (lambda *a: letters(*a, own=False), "What is left: every desk is judged"),
    (lambda *a: letters(*a, divide=True), "What is left: each desk's loss"), (lambda *a: letters(*a, last=False, own=False), "the last column.*every desk"),
    (lambda *a: letters(*a, last=False, own=False, divide=True), "the last column.*every desk.*divided once more"),
    (lambda *a: letters(*a, mean=True), "mean over a letter's tokens"),
    (lambda *a: letters(*a) / len(a[2]), "number of desks"), (lambda *a: letters(*a, skip=False), "without letters for a desk gives nan")])

# ---- 03.6


def with_sklearn(vectors, labels, train, val):
    """Right: scikit-learn's nearest centroid; numpy shares."""
    from sklearn.neighbors import NearestCentroid
    y = labels.numpy()
    shares = {name: np.mean(NearestCentroid().fit(x.numpy()[train], y[train]).predict(x.numpy()[val]) == y[val]) for name, x in vectors.items()}
    return [max(shares, key=shares.get), shares]


def probe(vectors, labels, fit, on, pick=max, far=torch.cdist, times=1):
    shares = {}
    for name, x in vectors.items():
        means = torch.stack([x[fit][labels[fit] == c].mean(0) for c in (0, 1)])
        shares[name] = times * (far(x[on], means).argmin(1) == labels[on]).float().mean().item()
    return pick(shares, key=shares.get), shares


CHOICE = Rows(right=[with_sklearn], wrong=[
    (lambda v, y, a, b: probe(v, y, a, a), "measured on the training rows"), (lambda v, y, a, b: probe(v, y, a + b, b), "made from all rows"),
    (lambda v, y, a, b: probe(v, y, b, b), "made from the validation rows|made from all rows"), (lambda v, y, a, b: probe(v, y, a, b, pick=min), "or the worst|lowest share"),
    (lambda v, y, a, b: (probe(v, y, a, a)[0], probe(v, y, a, b)[1]), "chose another rule"),
    (lambda v, y, a, b: probe(v, y, a, b, far=lambda x, m: -x @ m.T), "favours long means"),
    (lambda v, y, a, b: probe(v, y, a, b, far=lambda x, m: 1 - F.cosine_similarity(x[:, None], m[None], dim=-1)), "compared directions"),
    (lambda v, y, a, b: probe(v, y, a, b, times=100), "in percent"), (lambda v, y, a, b: probe(v, y, a, b)[::-1], "second part must be a dict"),
    (lambda v, y, a, b: probe(v, y, a, b)[0], "two things"), (lambda v, y, a, b: (probe(v, y, a, b)[0], {}), "entry for each rule")])

ANSWERS = {"03.1": LAST, "03.2": MEAN, "03.3": STRANGERS, "03.4": TAGS, "03.5": CLINIC, "03.6": CHOICE}
