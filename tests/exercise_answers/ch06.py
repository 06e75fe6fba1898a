"""Answers to the exercises of chapter 06."""

import numpy as np
import torch
from torch import nn

from . import Rows

# ---- 06.1


def by_bmm(hidden, mask, query):
    """Right: in float64, with -inf, as a batched product."""
    scores = (hidden.double() @ query.double()) / hidden.size(-1) ** 0.5
    weights = scores.masked_fill(mask == 0, -torch.inf).softmax(1)
    return torch.bmm(weights[:, None], hidden.double()).squeeze(1), weights


def by_exponentials(hidden, mask, query):
    """Right: exponentials of masked scores, divided by their sum."""
    scores = hidden @ query / hidden.size(-1) ** 0.5
    powers = (scores - scores.masked_fill(mask == 0, -1e4).amax(1, keepdim=True)).clamp(max=0).exp() * mask
    weights = powers / powers.sum(1, keepdim=True)
    return [torch.einsum("bt,btd->bd", weights, hidden * mask[..., None]), weights.numpy()]


def reading(fill=-torch.inf, scale=True, after=False, axis=-1, zeroed=False):
    def read_text(hidden, mask, query):
        hidden = hidden * mask[..., None] if zeroed else hidden
        scores = hidden @ query / (hidden.size(-1) ** 0.5 if scale else 1)
        if fill is not None:
            scores = scores.masked_fill(mask == 0, fill)
        weights = scores.softmax(axis)
        weights = weights * mask if after else weights
        return torch.einsum("bt,btd->bd", weights, hidden), weights
    return read_text


def times_mask(hidden, mask, query):
    weights = (hidden @ query / hidden.size(-1) ** 0.5 * mask).softmax(1)
    return torch.einsum("bt,btd->bd", weights, hidden), weights


def root_of_tokens(hidden, mask, query):
    weights = (hidden @ query / hidden.size(1) ** 0.5).masked_fill(mask == 0, -torch.inf).softmax(1)
    return torch.einsum("bt,btd->bd", weights, hidden), weights


def softly(hidden, mask, query):
    weights = (hidden @ query / hidden.size(-1) ** 0.5 - 30 * (1 - mask)).softmax(1)
    return torch.einsum("bt,btd->bd", weights, hidden), weights


READ = Rows(right=[by_bmm, by_exponentials], wrong=[
    (reading(fill=None), "Padding takes part"), (reading(fill=None, after=True), "no longer sum to 1"),
    (reading(fill=None, zeroed=True), "score of 0 is still a score"), (reading(scale=False), "√D"),
    (reading(fill=-1e9, axis=0), "over the texts"), (reading(fill=-18.0), "exactly 0|large numbers|takes part|not the|softmax over"),
    (times_mask, "score of 0 is still a score"), (lambda h, m, q: reading()(h, 1 - m, q), "turned round"),
    (lambda *a: reading()(*a)[::-1], "wrong way round"), (root_of_tokens, "by √T"), (lambda *a: (reading()(*a)[0] / 6, reading()(*a)[1]), "a mean in place of a sum"),
    (lambda h, m, q: softly(h, m, q), "not negative enough"),
    (lambda *a: reading()(*a)[0], "Return two things")])

# ---- 06.2


def weighted(hidden, scores, gain):
    return gain * (hidden * scores.softmax(0)[:, None]).sum(2)


LAYERS = Rows(right=[weighted, lambda h, s, g: (h.double().mT @ s.double().softmax(-1)) * g], wrong=[
    (lambda h, s, g: g * (h * s[:, None]).sum(2), "used as they are"), (lambda h, s, g: g * h.mean(2), "same weight"),
    (lambda h, s, g: (h * s.softmax(0)[:, None]).sum(2), "gain is missing"),
    (lambda h, s, g: (h * (g * s).softmax(0)[:, None]).sum(2), "inside the softmax"),
    (lambda h, s, g: g * h[:, :, s.argmax()], "best layer alone"), (lambda h, s, g: g * (h * s.softmax(0)[:, None]).mean(2), "averaged"),
    (lambda h, s, g: weighted(h, s, g).detach(), "cut off")])

# ---- 06.3


class CrossTask(nn.Module):
    def __init__(self, width, bias=False, zero=True):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width, bias=bias) for _ in range(3))
        if zero:
            nn.init.zeros_(self.value.weight)

    def weights(self, x):
        return (self.query(x) @ self.key(x).mT / x.size(-1) ** 0.5).softmax(-1)

    def forward(self, x):
        return x + self.weights(x) @ self.value(x), self.weights(x)


class ByLibrary(CrossTask):
    """Right: torch's scaled dot-product attention for the vectors."""

    def forward(self, x):
        read = nn.functional.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x))
        return [x + read, self.weights(x)]


class Gone(CrossTask):
    def forward(self, x):
        return self.weights(x) @ self.value(x), self.weights(x)


class Unscaled(CrossTask):
    def weights(self, x):
        return (self.query(x) @ self.key(x).mT).softmax(-1)


class OtherAxis(CrossTask):
    def weights(self, x):
        return (self.query(x) @ self.key(x).mT / x.size(-1) ** 0.5).softmax(-2)


class Swapped(CrossTask):
    def weights(self, x):
        return (self.key(x) @ self.query(x).mT / x.size(-1) ** 0.5).softmax(-1)


class NoValue(CrossTask):
    def forward(self, x):
        return x + self.weights(x) @ x, self.weights(x)


class OthersOnly(CrossTask):
    def weights(self, x):
        scores = self.query(x) @ self.key(x).mT / x.size(-1) ** 0.5
        return scores.masked_fill(torch.eye(x.size(1), dtype=torch.bool), -torch.inf).softmax(-1)


class WithBias(CrossTask):
    def __init__(self, width):
        super().__init__(width, bias=True)


class RandomValue(CrossTask):
    def __init__(self, width):
        super().__init__(width, zero=False)


class VectorsOnly(CrossTask):
    def forward(self, x):
        return x + self.weights(x) @ self.value(x)


CROSS = Rows(right=[CrossTask, ByLibrary], wrong=[
    (Gone, "is gone"), (Unscaled, "√D"), (OtherAxis, "over the readers"), (Swapped, "changed places"), (NoValue, "value map is not used"),
    (OthersOnly, "left the task itself out"), (WithBias, "bias too many"), (RandomValue, "must start at zero"), (VectorsOnly, "Return two things")])

# ---- 06.4


def fusing(axis=1, scale=False, plain=False, residual=True):
    def fuse(hidden, additions, query, key, value):
        scores = ((hidden @ query.T).unsqueeze(1) * (additions @ key.T)).sum(-1) / (hidden.size(-1) ** 0.5 if scale else 1)
        mixed = (scores.softmax(axis).unsqueeze(-1) * (additions if plain else additions @ value.T)).sum(1)
        return hidden + mixed if residual else mixed
    return fuse


def in_numpy(hidden, additions, query, key, value):
    hidden, additions, query, key, value = (part.double().numpy() for part in (hidden, additions, query, key, value))
    out = []
    for h, z in zip(hidden, additions):
        scores = z @ key.T @ (query @ h)
        weights = np.exp(scores - scores.max())
        out.append(h + weights / weights.sum() @ (z @ value.T))
    return np.array(out)


FUSE = Rows(right=[in_numpy, fusing()], wrong=[
    (fusing(0, True, True), "still there"), (fusing(0), "compete for an adapter"), (fusing(0, True), "still runs over the tokens"),
    (fusing(plain=True), "V is still not used"), (fusing(scale=True), "does not divide"), (fusing(scale=True, plain=True), "Two are left"),
    (fusing(residual=False), "hidden states themselves are gone"), (lambda h, z, q, k, v: fusing()(h, z, q, k, v.T), "V is transposed"),
    (lambda h, z, q, k, v: fusing()(h, z, k, q, v), "changed places")])

# ---- 06.5, 06.6

TRUE = dict(zip(("weight of a real token, query of zeros, 3 real tokens and 5 of padding", "weight of a token of padding, any query",
                 "numbers in a task's query and layer scores, D = 64, 3 layers", "numbers in cross-task attention, D = 64, 2 tasks",
                 "numbers in cross-task attention, D = 64, 10 tasks", "passes of a text through the body, 10 tasks"),
                (1 / 3, 0, 67, 12288, 12288, 1)))
A, B, C, D, E, G = TRUE
PREDICTION = Rows(right=[TRUE | {A: 0.333}, {key: np.float32(value) for key, value in TRUE.items()}], wrong=[
    (TRUE | {A: 0.125}, "real tokens alone"), (TRUE | {B: 0.125}, "masked before the softmax"), (TRUE | {C: 64}, "layer scores belong"),
    (TRUE | {D: 4096}, "three maps"), (TRUE | {D: 24576}, "share the three maps"), (TRUE | {E: 122880}, "does not grow"),
    (TRUE | {G: 10}, "same hidden states"), (TRUE | {A: 0}, "all alike"), (TRUE | {C: 68}, "gain"), (TRUE | {D: 12480}, "no biases"), ({}, "6 keys")])


def with_pandas(scores):
    import pandas as pd
    from scipy import stats
    table = pd.DataFrame(scores)
    effects = pd.DataFrame({"queries": (table.queries + table.both - table.neither - table.cross) / 2,
                            "cross": (table.cross + table.both - table.neither - table.queries) / 2})
    return {name: (v.mean(), *stats.t.interval(0.95, len(v) - 1, v.mean(), v.sem())) for name, v in effects.items()}


def effects(simple=False, ddof=1, z=None, unpaired=False, apart=False, pooled=False, n=None, level=0.975):
    def carried_by(scores):
        from scipy import stats
        o, q, c, b = (np.array(scores[k]) for k in ("neither", "queries", "cross", "both"))
        out = {}
        for name, alone, beside, mine in (("queries", q - o, b - c, q), ("cross", c - o, b - q, c)):
            v = alone if simple else np.concatenate([alone, beside]) if pooled else (alone + beside) / 2
            sd = np.sqrt(o.var(ddof=1) + mine.var(ddof=1)) if unpaired else v.std(ddof=ddof)
            sd = np.sqrt(sum(part.var(ddof=1) for part in (o, q, c, b))) / 2 if apart else sd
            half = (z or stats.t.ppf(level, len(v) - 1)) * sd / (n or len(v)) ** 0.5
            out[name] = [v.mean(), v.mean() - half, v.mean() + half]
        return out
    return carried_by


EFFECTS = Rows(right=[with_pandas, effects()], wrong=[
    (effects(simple=True), "off and on"), (effects(ddof=0), "n - 1"), (effects(z=1.96), "Student's t"),
    (effects(unpaired=True), "pair by seed"), (effects(apart=True), "pair by seed"), (effects(pooled=True), "twelve seeds"),
    (effects(n=1), "spread of single seeds"), (effects(level=0.95), "90 % interval"), (lambda s: {"queries": 9.0, "cross": 1.0}, "asked for are three"), (lambda s: {"queries": [1, 2, 3]}, "'queries' and 'cross'"),
    (lambda s: {"queries": [9.0, 1.0], "cross": [1.0, 1.0]}, "must have the shape")])

ANSWERS = {"06.1": READ, "06.2": LAYERS, "06.3": CROSS, "06.4": FUSE, "06.5": PREDICTION, "06.6": EFFECTS}
