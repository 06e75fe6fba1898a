"""Exercises of chapter 06, attention-based sharing."""

from __future__ import annotations

import numpy as np
import torch

from ..expect import Mistake, Wrong, compare, compare_predictions, expect, expect_close, expect_shape, expect_type, numbers
from ..registry import Exercise

TITLE, NOTEBOOK = "Attention-based sharing", "06_attention_sharing"


def texts(fresh, count=3, tokens=6, width=4):
    """hidden (B, T, D), mask (B, T) with padding on the right of some texts and on the left of others."""
    mask = torch.ones(count, tokens, dtype=torch.long)
    for i in range(count):
        empty = fresh.integer(1, tokens - 3)
        mask[i, :empty] = 0
        if fresh.integer(0, 1):
            mask[i] = mask[i].flip(0)
    return fresh.normal(count, tokens, width, scale=2.0), mask


# ---- 06.1 read_text ---------------------------------------------------------------------------------------------------

def slow_read(hidden, mask, query):
    """Text by text, over the real tokens alone: what is not there cannot leak."""
    vectors, weights = torch.zeros(len(hidden), hidden.size(-1)), torch.zeros(mask.shape)
    for i in range(len(hidden)):
        real = mask[i].nonzero().squeeze(1)
        weights[i, real] = torch.softmax(hidden[i, real] @ query / hidden.size(-1) ** 0.5, 0)
        vectors[i] = weights[i, real] @ hidden[i, real]
    return [vectors, weights]


def variant(masked=True, scale=True, after=False, axis=1, mean=False, width=False, turned=False, times=False):
    def read(hidden, mask, query):
        scores = hidden @ query / ((hidden.size(1) if width else hidden.size(-1)) ** 0.5 if scale else 1.0)
        mask = 1 - mask if turned else mask
        scores = scores * mask if times else scores
        if masked and not after:
            scores = scores.masked_fill(mask == 0, -1e9)
        weights = scores.softmax(axis)
        weights = weights * mask if after else weights
        vectors = (weights[..., None] * hidden).sum(1)
        return [vectors / mask.sum(1, keepdim=True) if mean else vectors, weights]
    return read


READS = [
    Mistake(variant(masked=False), "Padding takes part: its weights are not 0.", "Fill the scores of padding with a very negative "
            "number before the softmax."),
    Mistake(variant(after=True), "You set the weights of padding to 0 after the softmax. What it had taken is missing now, and the "
            "weights no longer sum to 1.", "Mask the scores, before the softmax."),
    Mistake(lambda *a: [variant(after=True)(*a)[0], variant()(*a)[1]], "The vectors use other weights than you return."),
    Mistake(lambda h, m, q: [variant()(h * m[..., None], torch.ones_like(m), q)[0], variant()(h * m[..., None], torch.ones_like(m), q)[1]],
            "You set the hidden states of padding to 0. A score of 0 is still a score, and gets its share of the softmax.",
            "Mask the scores."),
    Mistake(variant(masked=False, times=True), "You multiplied the scores with the mask. A score of 0 is still a score, and gets its "
            "share of the softmax.", "Fill the scores of padding with a very negative number before the softmax."),
    Mistake(variant(after=True, times=True), "You multiplied scores and weights with the mask. What padding has taken in the softmax is "
            "missing now.", "Fill the scores of padding with a very negative number before the softmax."),
    Mistake(variant(turned=True), "The mask is turned round: you read the padding.", "`mask == 0` is where padding stands."),
    Mistake(variant(width=True), "You divided the scores by √T, the number of tokens.", "Divide by hidden.size(-1) ** 0.5, which is √D."),
    Mistake(lambda *a: [variant()(*a)[0] / a[0].size(1), variant()(*a)[1]], "The vectors are divided by the number of tokens: a mean in "
            "place of a sum.", "The weights already sum to 1."),
    Mistake(variant(scale=False), "The scores are not divided by √D.", "Divide by hidden.size(-1) ** 0.5."),
    Mistake(variant(axis=0), "The softmax runs over the texts of the batch.", "It must run over the tokens, the last axis of the scores."),
    Mistake(variant(mean=True), "You divided the sum by the number of tokens too. The weights already sum to 1."),
]


def check_read(answer, fresh):
    hidden, mask = texts(fresh)

    def answered(*args):
        got = answer(*args)
        expect(isinstance(got, (tuple, list)) and len(got) == 2, "Return two things: vectors (B, D) and weights (B, T).")
        vectors, weights = map(numbers, got)
        expect(vectors is None or weights is None or vectors.shape != mask.shape or weights.shape == mask.shape,
               "The two things stand the wrong way round.", next="`return vectors, weights`")
        expect_shape(vectors if vectors is not None else got[0], (3, 4), "B, D", "The vectors")
        expect_shape(weights if weights is not None else got[1], (3, 6), "B, T", "The weights")
        return list(got)
    query = fresh.normal(4)
    _exactly_zero(numbers(answered(hidden, mask, query)[1])[mask.numpy() == 0])
    got = compare(answered, [hidden, mask, query], slow_read, "Each text's weights are a softmax over its real tokens; its vector "
                  "is the weighted sum of their hidden states.", known=READS)
    loud = hidden.masked_fill(mask[..., None] == 0, 1e4)              # whatever stands on padding must not matter
    expect_close(answered(loud, mask, query)[0], got[0], "Your vectors change when padding holds large numbers.",
                 "Padding leaks into the sum or the scores.", "Mask the scores with the most negative number of their type.")
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    expect_close(answered(hidden, mask, torch.zeros(4))[0], mean, "A query of zeros must give the mean over real tokens.")
    return "With a query of zeros it is mean pooling; from there a task learns where to look."


def _exactly_zero(padding):
    """Weights that are nearly 0 come from a filling that is not negative enough; larger ones from something else."""
    expect(bool((padding == 0).all() or padding.max() > 0.02), "On padding the weights must be exactly 0; yours are as large as {most}.",
           "A filling such as -10 is not negative enough.", "Fill with torch.finfo(scores.dtype).min.", most=float(padding.max()))


# ---- 06.2 mix_layers --------------------------------------------------------------------------------------------------

def mixed(hidden, scores, gain):
    weights = (scores.double() - scores.double().logsumexp(0)).exp()
    return gain * sum(weights[i] * hidden[..., i, :] for i in range(len(scores)))


LAYERS = [
    Mistake(lambda h, s, g: g * torch.einsum("btld,l->btd", h, s), "The scores are used as they are. They may be negative, and do "
            "not sum to 1.", "Take their softmax."),
    Mistake(lambda h, s, g: g * torch.einsum("btld,l->btd", h, s / s.sum()), "You divided by the sum: with negative scores that is "
            "no mixture.", "Take the softmax."),
    Mistake(lambda h, s, g: g * h.mean(2), "All layers have the same weight.", "Use the softmax of the scores."),
    Mistake(lambda h, s, g: torch.einsum("btld,l->btd", h, s.softmax(0)), "The gain is missing.", "Multiply with it."),
    Mistake(lambda h, s, g: torch.einsum("btld,l->btd", h, (g * s).softmax(0)), "The gain stands inside the softmax, where it "
            "sharpens the choice.", "Multiply the mixture with it."),
    Mistake(lambda h, s, g: g * h[:, :, s.argmax()], "You took the best layer alone: nothing tells the others' scores to move.",
            "Use a weighted sum."),
    Mistake(lambda h, s, g: g * torch.einsum("btld,l->btd", h, s.softmax(0)) / len(s), "You averaged a weighted sum again.",
            "The weights already sum to 1."),
]


def check_layers(answer, fresh):
    layers = fresh.integer(3, 4)
    hidden, scores, gain = fresh.normal(2, 5, layers, 6), fresh.normal(layers, scale=1.5), fresh.number(1.5, 2.5)
    compare(answer, [hidden, scores, gain], mixed, "The mixture is gain · sum over layers of softmax(scores)_l h_l.", known=LAYERS,
            axes="B, T, D")
    slope = answer.gradients(hidden, scores, gain, wrt=[1])["inputs"][0]
    expect_close(float(numbers(slope).sum()), 0.0, "The gradients of the scores must sum to 0: a softmax does not see a common shift.",
                 atol=1e-3)
    return "Every task may settle at a depth of its own, for L numbers."


# ---- 06.3 CrossTask ---------------------------------------------------------------------------------------------------

def attended(state, vectors, scale=True, axis=-1, residual=True, turned=False, others=False):
    query, key, value = (vectors @ state[f"{name}.weight"].T for name in ("query", "key", "value"))
    scores = torch.einsum("bkd,bjd->bkj", query, key) / (vectors.size(-1) ** 0.5 if scale else 1.0)
    if others:
        scores = scores.masked_fill(torch.eye(scores.size(-1), dtype=torch.bool), -torch.inf)
    weights = (scores.mT if turned else scores).softmax(axis)
    return [(vectors if residual else 0) + torch.einsum("bkj,bjd->bkd", weights, value), weights]


def check_cross(answer, fresh):
    width = 6
    layer = answer.build(width)
    has, names = layer.parameters(), ("query.weight", "key.weight", "value.weight")
    expect(set(has) == set(names), "The parameters must be {want}; yours are {found}.", "A bias too many, or other names.",
           "Three nn.Linear(width, width, bias=False): query, key, value.", want=", ".join(names), found=", ".join(sorted(has)) or "none")
    expect(bool((numbers(layer.state()["value.weight"]) == 0).all()), "The value map must start at zero.",
           "At the start tasks then read nothing of one another: the model begins as the one without this layer.",
           "nn.init.zeros_(self.value.weight)")
    state = {name: fresh.normal(width, width, scale=0.8) for name in names}
    layer.load(state)
    vectors = fresh.normal(2, fresh.integer(3, 4), width)

    def answered(x):
        got = layer(x)
        expect(isinstance(got, (tuple, list)) and len(got) == 2, "Return two things: the vectors and the weights (B, K, K).")
        return list(got)
    compare(answered, [vectors], lambda x: attended(state, x), "Row k of the weights says what task k reads; what it reads is added "
            "to what it has.", known=[
                Mistake(lambda x: attended(state, x, residual=False), "The task's own vector is gone; what it has read of the tasks is added to it.",
                        "Add: vectors + weights @ value."),
                Mistake(lambda x: attended(state, x, others=True), "You left the task itself out. In the formula j runs over all tasks, k "
                        "among them.", "Leave the diagonal of the scores as it is."),
                Mistake(lambda x: attended(state, x, scale=False), "The scores are not divided by √D.", "Divide by D ** 0.5."),
                Mistake(lambda x: attended(state, x, axis=-2), "The softmax runs over the readers. Then the columns sum to 1, and a "
                        "task may read nothing or everything.", "Use .softmax(-1)."),
                Mistake(lambda x: attended(state, x, turned=True), "Queries and keys have changed places.",
                        "Entry (k, j) is the query of task k times the key of task j."),
                Mistake(lambda x: [x + attended(state, x)[1] @ x, attended(state, x)[1]], "You mixed the vectors themselves; the "
                        "value map is not used.", "Mix self.value(vectors).")])
    order = fresh.shuffled(range(vectors.size(1)))
    expect_close(answered(vectors[:, order])[0], numbers(answered(vectors)[0])[:, order], "The order of the tasks must not matter.")
    return "It costs 3 D² numbers, however many tasks there are."


# ---- 06.4 fuse (find the bug) -----------------------------------------------------------------------------------------

def fusion(hidden, additions, query, key, value, axis="n", scale=False, plain=False, residual=True, turned=False):
    scores = torch.einsum("td,tnd->tn", hidden @ query.T, additions @ key.T) / (hidden.size(-1) ** 0.5 if scale else 1.0)
    weights = scores.softmax(1 if axis == "n" else 0)
    mixed = torch.einsum("tn,tnd->td", weights, additions if plain else additions @ (value if turned else value.T))
    return hidden + mixed if residual else mixed


FUSIONS = [
    Mistake(lambda *a: fusion(*a, axis="t", scale=True, plain=True), "Nothing has changed yet: the three mistakes are still there.",
            "Ask of the softmax: what should sum to 1?"),
    Mistake(lambda *a: fusion(*a, axis="t", plain=True), "The softmax still runs over the tokens, and V is still not used.",
            "At every token the weights of the N adapters must sum to 1."),
    Mistake(lambda *a: fusion(*a, axis="t"), "The softmax still runs over the tokens: they compete for an adapter.",
            "At every token the weights of the N adapters must sum to 1."),
    Mistake(lambda *a: fusion(*a, axis="t", scale=True), "The softmax still runs over the tokens.",
            "At every token the weights of the N adapters must sum to 1."),
    Mistake(lambda *a: fusion(*a, scale=True, plain=True), "Two are left: the formula has no √D, and a V.", "Read the formula once more."),
    Mistake(lambda *a: fusion(*a, plain=True), "V is still not used: what is mixed are the additions themselves.",
            "Mix additions @ value.T."),
    Mistake(lambda *a: fusion(*a, scale=True), "One is left: AdapterFusion does not divide by √D.", "Look at the softmax's argument."),
    Mistake(lambda *a: fusion(*a, residual=False), "The hidden states themselves are gone now.", "Return hidden + the mixture."),
    Mistake(lambda *a: fusion(*a, turned=True), "V is transposed: a map takes x to x @ map.T.", "Mix additions @ value.T."),
    Mistake(lambda h, z, q, k, v: fusion(h, z, k, q, v), "Query and key have changed places: Q belongs to h, K to the additions.",
            "Leave that line as it was."),
    Mistake(lambda h, z, q, k, v: fusion(h, z, q, k, v, plain=True) - h + h @ v.T, "V stands before the hidden state; in the formula it "
            "stands before the additions.", "Mix additions @ value.T, and leave hidden as it is."),
]


def check_fuse(answer, fresh):
    tokens, adapters, width = 5, 3, 4
    args = [fresh.normal(tokens, width), fresh.normal(tokens, adapters, width), *(fresh.normal(width, width) for _ in range(3))]
    compare(answer, args, fusion, "What comes out is not h + the sum over adapters of softmax_n(Q h · K z_n) V z_n.",
            known=FUSIONS, axes="T, D")
    return "All three found. With V = I and equal weights it would be the mean of the adapters."


# ---- 06.5 prediction --------------------------------------------------------------------------------------------------

KEYS = ("weight of a real token, query of zeros, 3 real tokens and 5 of padding", "weight of a token of padding, any query",
        "numbers in a task's query and layer scores, D = 64, 3 layers", "numbers in cross-task attention, D = 64, 2 tasks",
        "numbers in cross-task attention, D = 64, 10 tasks", "passes of a text through the body, 10 tasks")
SOLVED = (1 / 3, 0, 67, 3 * 64 ** 2, 3 * 64 ** 2, 1)
GUESSES = {
    KEYS[0]: {1 / 8: "The softmax runs over the real tokens alone.", 0: "The scores are 0, all alike; the softmax of equal scores is not.",
              1: "The weights of a text's real tokens sum to 1; there are three."},
    KEYS[1]: {1 / 8: "Its score is masked before the softmax."},
    KEYS[2]: {64: "The three layer scores belong to it.", 192: "The query is one vector for all layers; the scores mix them.",
              4096: "A query is a vector, not a matrix.", 68: "A gain is not among them."},
    KEYS[3]: {4096: "There are three maps: Q, K and V.", 24576: "The tasks share the three maps.",
              128: "A map from 64 to 64 numbers has 64 · 64.", 12480: "There are no biases."},
    KEYS[4]: {122880: "The tasks share the three maps: the count does not grow with them.", 4096: "There are three maps: Q, K and V."},
    KEYS[5]: {10: "All tasks read the same hidden states. That is the point of sharing the body."},
}


def check_prediction(answer, fresh):
    compare_predictions(answer.value, dict(zip(KEYS, SOLVED)), GUESSES, "Write the formula down with its shapes, and count.",
                        tolerance=0.005)
    return "All six right."


# ---- 06.6 carried_by --------------------------------------------------------------------------------------------------

PARTS = ("neither", "queries", "cross", "both")


def main_effects(scores):
    """{part: [mean, low, high]}: each part's effect, averaged over the other being off and on, paired by seed."""
    from scipy import stats
    none, queries, cross, both = (np.array(scores[name]) for name in PARTS)
    effects = {"queries": ((queries - none) + (both - cross)) / 2, "cross": ((cross - none) + (both - queries)) / 2}
    found = {}
    for part, values in effects.items():
        half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        found[part] = [float(values.mean()), float(values.mean() - half), float(values.mean() + half)]
    return found


def ablation(fresh):
    """Accuracies in points of the four models, six seeds that they share; queries carry the gain, cross little."""
    seed = fresh.normal(6, scale=8.0).double()
    gain = {"neither": 0.0, "queries": fresh.number(8, 12), "cross": fresh.number(1, 2), "both": fresh.number(7, 14)}
    return {name: (70 + seed + value + fresh.normal(6, scale=1.5)).tolist() for name, value in gain.items()}


def _wrong_effects(simple=False, population=False, unpaired=False, normal=False, pooled=False, apart=False, one_run=False, level=0.975):
    def effects(scores):
        from scipy import stats
        none, queries, cross, both = (np.array(scores[name]) for name in PARTS)
        pairs = {"queries": (queries - none, both - cross), "cross": (cross - none, both - queries)}
        found = {}
        for part, (alone, beside) in pairs.items():
            values = alone if simple else np.concatenate([alone, beside]) if pooled else (alone + beside) / 2
            sd = values.std(ddof=0 if population else 1)
            if unpaired:
                sd = (none.var(ddof=1) + scores_of(scores, part).var(ddof=1)) ** 0.5
            if apart:
                sd = sum(each.var(ddof=1) for each in (none, queries, cross, both)) ** 0.5 / 2
            half = (1.96 if normal else stats.t.ppf(level, len(values) - 1)) * sd / (1 if one_run else len(values) ** 0.5)
            found[part] = [float(values.mean()), float(values.mean() - half), float(values.mean() + half)]
        return found
    return effects


def scores_of(scores, part):
    return np.array(scores[part])


EFFECTS = [
    Mistake(_wrong_effects(simple=True), "You compared with `neither` alone. The effect of a part is its mean over the other part "
            "being off and on.", "((queries - neither) + (both - cross)) / 2"),
    Mistake(_wrong_effects(population=True), "The standard deviation has n in it; of a sample it is n - 1.", "Use ddof=1."),
    Mistake(_wrong_effects(unpaired=True), "You did not pair by seed: the luck of a seed, common to all four models, blows the "
            "interval up.", "Take the effect for each seed first, then its standard deviation."),
    Mistake(_wrong_effects(apart=True), "You did not pair by seed: the luck of a seed, common to all four models, blows the "
            "interval up.", "Take the effect for each seed first, then its standard deviation."),
    Mistake(_wrong_effects(pooled=True), "You took two effects from each seed, as if there were twelve seeds. The two of a seed share its luck.",
            "Average the two for each seed first: six numbers."),
    Mistake(_wrong_effects(one_run=True), "That is the spread of single seeds. The interval is that of their mean.", "Divide by √n."),
    Mistake(_wrong_effects(level=0.95), "The quantile 0.95 leaves 5 % on each side: a 90 % interval.", "stats.t.ppf(0.975, n - 1)"),
    Mistake(_wrong_effects(normal=True), "1.96 belongs to many seeds. Six of them need Student's t.", "stats.t.ppf(0.975, n - 1)"),
]


def check_effects(answer, fresh):
    scores = ablation(fresh)
    got = answer(scores)
    expect_type(got, dict)
    expect(set(got) == {"queries", "cross"}, "Return the keys 'queries' and 'cross'; yours are {found}.", found=sorted(map(str, got)))
    for part in got:
        expect(numbers(got[part]) is None or numbers(got[part]).ndim, "{part} is one number; asked for are three: mean, low and high.",
               next="The interval is mean ± half: `[mean, mean - half, mean + half]`.", part=repr(part))
        expect_shape(got[part], (3,), "mean, low, high", repr(part))
    for mistake in EFFECTS:
        wrong, right = mistake.wrong(scores), main_effects(scores)
        if all(np.allclose(numbers(got[p]), wrong[p], rtol=1e-4) for p in wrong) and not np.allclose(wrong["cross"], right["cross"]):
            raise Wrong("These are not the parts' effects with their 95 % intervals.", mistake.why, mistake.next)
    expect_close(got, main_effects(scores), "Each part: the mean effect over the seeds, and its 95 % t-interval.")
    return "Now a sentence such as “the queries carried the gain” has an interval."


EXERCISES = [
    Exercise(
        id="06.1", title="Look at real tokens only", answer="read_text", call="read_text(hidden, mask, query)", points=3,
        difficulty=2, importance=5, minutes=15, check=check_read,
        hints=["scores = hidden @ query / √D has the shape (B, T). Which of them must not count?",
               "scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min), then softmax(-1).",
               "vectors = (weights[..., None] * hidden).sum(1)"]),
    Exercise(
        id="06.2", title="A depth for each task", answer="mix_layers", call="mix_layers(hidden, scores, gain)", points=1,
        difficulty=1, importance=3, minutes=8, check=check_layers,
        hints=["Which weights are positive and sum to 1?", 'torch.einsum("btld,l->btd", hidden, weights)']),
    Exercise(
        id="06.3", title="Let tasks read one another", answer="CrossTask", call="CrossTask(width)(vectors)", wants="class", points=3,
        difficulty=3, importance=4, minutes=20, kind="write a module", check=check_cross,
        hints=["Three linear maps without bias. Which of them starts at zero, and why?",
               "scores = query @ key.mT / D ** 0.5 has the shape (B, K, K).",
               "return vectors + scores.softmax(-1) @ value, scores.softmax(-1)"]),
    Exercise(
        id="06.4", title="Three bugs in a fusion", answer="fuse", call="fuse(hidden, additions, query, key, value)", points=2,
        difficulty=3, importance=3, minutes=15, kind="find the bug", check=check_fuse,
        hints=["Compare the code with the formula, sign by sign.", "What sums to 1: the tokens, or the adapters at a token?",
               "softmax(1), no √D, and additions @ value.T in the sum."]),
    Exercise(
        id="06.5", title="Predict weights and sizes", answer="prediction", call="prediction", wants="value", points=2, difficulty=1,
        importance=4, minutes=8, kind="predict", check=check_prediction,
        hints=["A softmax over equal scores is uniform over what is not masked.", "Q, K and V are D x D each, and all tasks use them."]),
    Exercise(
        id="06.6", title="Which part carried the gain?", answer="carried_by", call="carried_by(scores)", points=3, difficulty=4,
        importance=5, minutes=20, kind="measure and choose", check=check_effects,
        hints=["An ablation with two parts has four models. The effect of one part can be read off twice.",
               "For each seed: ((queries - neither) + (both - cross)) / 2. Six numbers.",
               "mean ± stats.t.ppf(0.975, n - 1) · sd / √n, with sd over n - 1."]),
]
