"""Exercises of chapter 07, progressive networks."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch
from torch import nn

from ..expect import Mistake, Wrong, close, compare, compare_predictions, expect, expect_close, numbers
from ..registry import Exercise

TITLE, NOTEBOOK = "Progressive networks", "07_progressive_networks"


# ---- 07.1 lateral -----------------------------------------------------------------------------------------------------

def by_columns(earlier, scale, down, up, relu=True, where="inside", scaled=True, take="all", back=True):
    """Column by column: V is cut into the blocks that read one column each, which no concatenation can get wrong."""
    width = earlier[0].size(-1)
    total = 0
    for j, hidden in enumerate(earlier):
        if take == "last" and j < len(earlier) - 1:
            continue
        part = hidden * (scale[j] if scaled else 1) @ down[:, j * width:(j + 1) * width].T
        total = total + (part.relu() if where == "each" else part)
    total = total.relu() if relu and where != "outside" else total
    total = total @ up.T if back else total
    return total.relu() if where in ("outside", "both") else total


def interleaved(earlier, scale, down, up):
    return ((torch.stack(earlier, -1) * scale).flatten(1) @ down.T).relu() @ up.T


LATERALS = [
    Mistake(lambda *a: by_columns(*a, relu=False), "The nonlinearity is missing: two linear maps in a row are one.",
            "`.relu()` after V, before U."),
    Mistake(lambda *a: by_columns(*a, where="outside"), "The relu comes after U. What a lateral adds could then never be negative.",
            "`U relu(V ...)`, nothing after U."),
    Mistake(lambda *a: by_columns(*a, where="both"), "There is a second relu, after U. What a lateral adds could then never be negative.",
            "One relu, between V and U."),
    Mistake(lambda *a: by_columns(*a, where="each"), "relu was taken of each column's part, and the sum after it. V reads all columns "
            "together: their parts add up first, then comes relu.", "Lay the columns side by side, multiply once, then relu."),
    Mistake(lambda *a: by_columns(*a, back=False), "The map U, from W features back to D, is missing.", "`... @ up.T` at the end."),
    Mistake(interleaved, "The columns are mixed feature by feature: first feature of each, second feature of each, and so on.",
            "`torch.cat(parts, -1)` lays whole columns side by side; stack and flatten do not."),
    Mistake(lambda e, *a: e[-1] + by_columns(e, *a), "An earlier column's own state was added. Only the lateral is asked for.",
            "Return what comes out of U, alone."),
    Mistake(lambda *a: by_columns(*a, scaled=False), "The scales α are not used.", "Multiply column j with `scale[j]` first."),
    Mistake(lambda *a: by_columns(*a, take="last"), "Only the newest of the earlier columns is read.", "Lay all of them side by side."),
    Mistake(lambda e, s, d, u: by_columns(e[::-1], s.flip(0), d, u), "The columns are laid side by side in reverse order.",
            "`torch.cat([...], -1)` in the order they come."),
    Mistake(lambda e, s, d, u: by_columns(e, s.flip(0), d, u), "The scales belong to other columns.", "`scale[j]` belongs to `earlier[j]`."),
    Mistake(lambda e, s, d, u: by_columns(e, s.softmax(0), d, u), "You put a softmax over the scales; in the paper they are free numbers.",
            "Use them as they are."),
    Mistake(lambda e, s, d, u: by_columns([h.relu() for h in e], s, d, u), "You took relu of the columns' states. They come as the "
            "earlier columns computed them.", "relu belongs between V and U."),
]


def check_lateral(answer, fresh):
    count, width, narrow = fresh.integer(2, 3), 4, 3
    args = [[fresh.normal(5, width) for _ in range(count)], fresh.uniform(count, low=0.3, high=1.5) * torch.tensor([1.0, -1.0, 1.0])[:count],
            fresh.normal(narrow, count * width), fresh.normal(width, narrow)]
    compare(answer, args, by_columns, "The lateral is U relu(V [α₁ h₁, α₂ h₂, ...]).", known=LATERALS, axes="n, D")
    expect_close(answer(args[0], torch.zeros(count), args[2], args[3]), torch.zeros(5, width),
                 "With all scales at zero the lateral must add nothing: the column is then alone.")
    return "With α = 0 it is training alone; what it adds, it learns to add."


# ---- 07.2 freeze ------------------------------------------------------------------------------------------------------

class TrainedColumn(nn.Module):
    """A small column as training leaves it: in training mode, with gradients of the last step still lying about."""

    def __init__(self, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
            self(torch.randn(8, 4)).sum().backward()
            self.start = [p.detach().clone() for p in self.parameters()]

    def forward(self, x):
        return self.body(x)

    def modes(self) -> list:
        return [int(module.training) for module in self.modules()]

    def gradients(self) -> int:
        return sum(p.grad is not None for p in self.parameters())

    def pushes(self) -> bool:
        return any(p.grad is not None and bool(p.grad.any()) for p in self.parameters())

    def moved(self) -> bool:
        return any(not torch.equal(p, q) for p, q in zip(self.parameters(), self.start))


def check_freeze(answer, fresh):
    column = answer.prop("column", seed=fresh.integer(0, 999))
    with suppress(Wrong):                                             # whatever it returns, also the column itself
        answer(column)
    trains = [name for name, facts in column.parameters().items() if facts["trains"]]
    total = len(column.parameters())
    if len(trains) == total:
        raise Wrong("All parameters still require gradients.", "Perhaps you froze a copy, or set an attribute of the module instead "
                    "of its parameters.", "`for p in column.parameters(): p.requires_grad_(False)`")
    expect(not trains, "{name} still requires a gradient.", "You froze some of the parameters. Biases and norms train too.",
           "Go through `column.parameters()`, all of them.", name=trains[0] if trains else "")
    modes = column.call("modes")
    if any(modes):
        inner = modes[0] == 0
        raise Wrong("The column is still in training mode{inside}: dropout throws dice, and the batch norm's averages move with every "
                    "batch.", "`column.training = False` does not reach the modules inside." if inner else
                    "requires_grad_ says nothing about the mode.", "`column.eval()`", inside=" inside" if inner else "")
    left = column.call("gradients")
    expect(not left or column.call("pushes"), "The old gradients are zero, but still there. An optimizer with momentum or weight decay "
           "moves weights also when their gradient is zero.", "It passes over a weight only where `.grad` is None.",
           "`p.grad = None` for every parameter.")
    expect(not left, "Old gradients are still there. An optimizer that was built over this column would take one "
           "more step with them.", "`requires_grad_(False)` does not clear `.grad`.", "`p.grad = None` for every parameter.")
    expect(not column.call("moved"), "The column's weights have changed.", "Freezing must keep what was learned.")
    x = fresh.normal(6, 4)
    expect_close(column(x), column(x), "Two passes over the same rows differ.")
    return "Nothing in it moves: no weight, no average, no dice."


# ---- 07.3 Cache -------------------------------------------------------------------------------------------------------

class FrozenColumn:
    """Stands for an expensive column: {text number: vector}, and keeps account of what it was asked."""

    def __init__(self, seed: int = 0, width: int = 3):
        self.seed, self.width, self.log = seed, width, []

    def __call__(self, keys):
        keys = [int(key) for key in keys]
        self.log.append(keys)
        return torch.stack([self.vector(key) for key in keys]) if keys else torch.zeros(0, self.width)

    def vector(self, key):
        return torch.from_numpy(np.random.default_rng([self.seed, key]).normal(size=self.width).astype(np.float32))

    def asked(self) -> list:
        return self.log


def check_cache(answer, fresh):
    seed, cache = fresh.integer(0, 999), answer.build()
    _shared(answer, fresh.sample(range(10**6, 2 * 10**6), 2), seed)
    column, truth = answer.prop("column", seed=seed), FrozenColumn(seed)
    a, b, c, d, e = fresh.sample(range(10, 99), 5)
    known: set[int] = set()
    for keys in ([a, b, c], [c, a], [b, d, a, d], [e, b, e]):
        before = len(column.call("asked"))
        got = cache.call("read", keys, column)
        expect_close(got, torch.stack([truth.vector(key) for key in keys]), "Row i must be the vector of keys[i].", _order_guess(keys),
                     axes="n, D")
        asked = column.call("asked")[before:]
        _asked_right(asked, keys, known)
        known |= set(keys)
    return "Each text was computed once, however often it came."


def _shared(answer, keys, seed):
    """Two caches for two columns: what one was told must not come out of the other."""
    first, second = answer.build(), answer.build()
    first.call("read", keys, answer.prop("column", seed=seed))
    got = second.call("read", keys, answer.prop("column", seed=seed + 1))
    expect(not close(got, torch.stack([FrozenColumn(seed).vector(key) for key in keys])), "A second `Cache()` answers with what the "
           "first one was told, of another column.", "What is kept stands in the class itself, or outside: all caches share it.",
           "Make the dict in `__init__`, as in `self.store = {}`.")


def _order_guess(keys):
    return "A text stands twice among the keys: it needs two rows." if len(set(keys)) < len(keys) else ""


def _asked_right(asked, keys, known):
    flat, new = [key for call in asked for key in call], [key for key in dict.fromkeys(keys) if key not in known]
    again = [key for key in flat if key in known]
    if again and not known.isdisjoint(keys) and set(flat) == set(keys) and new:
        raise Wrong("Texts that are known were computed again: {keys}.", "One unknown text made you compute the whole batch.",
                    "Pass compute only the keys that are not stored yet.", keys=again)
    expect(not again, "Texts that are known were computed again: {keys}.", "Perhaps nothing is kept from one call of read to the next; or whole "
           "batches are kept, and not each text.", "Keep a dict in self, `{key: vector}`.", keys=again)
    expect(len(flat) == len(set(flat)), "Text {key} was computed twice in one call.", "It stands twice among the keys.",
           "`dict.fromkeys(keys)` drops repetitions and keeps the order.", key=next((k for k in flat if flat.count(k) > 1), ""))
    expect(sorted(flat) == sorted(new), "compute must be asked for the unknown texts {new}; it was asked for {flat}.", new=new, flat=flat)
    expect(len(asked) <= 1, "compute was called {n} times for one batch.", "One call per text gives up the speed of batches.",
           "Collect the unknown keys, and call compute once.", n=len(asked))
    expect(bool(asked) == bool(new), "compute was called though every text is known.", "A call with an empty list still costs.",
           "Call it only if there are unknown keys.")


# ---- 07.4 network_size ------------------------------------------------------------------------------------------------

def count(tasks, body, depth, width, bottleneck, scales="k", up="one", reads="all", first=False, squared=False):
    total = tasks * body
    for k in range(0 if first else 1, tasks):
        earlier, inner = k if reads == "all" else min(k, 1), width if squared else bottleneck
        ups = {"one": 1, "none": 0, "each": earlier}[up]
        alphas = {"k": depth * earlier, "none": 0, "one": depth, "once": earlier}[scales]
        total += alphas + depth * (earlier * width * inner + ups * inner * width)
    return total


def laterals(k, depth, width, bottleneck):
    return count(k + 1, 0, depth, width, bottleneck) - count(k, 0, depth, width, bottleneck)


SIZES = [
    Mistake(lambda *a: count(*a, scales="none"), "The scales α are missing: one number per block and earlier column.", "Add k."),
    Mistake(lambda *a: count(*a, up="none"), "The map U back up is missing.", "Add W · D per block."),
    Mistake(lambda *a: count(*a, reads="one"), "Each column reads all earlier ones, not only the one before.", "V is (W, k · D)."),
    Mistake(lambda *a: count(*a, first=True), "The first column has nothing to read, so it has no laterals at all.", "Begin with k = 1."),
    Mistake(lambda *a: count(*a, squared=True), "The laterals pass through W features, not D.", "V is (W, k · D), U is (D, W)."),
    Mistake(lambda *a: count(*a, up="each"), "You counted a U for every earlier column. A lateral has one U, after all columns have "
            "been added up in V.", "Per block: k scales, V (W, k · D), one U (D, W)."),
    Mistake(lambda *a: count(*a, scales="one"), "One scale per block was counted; there is one for each earlier column.", "Add k per "
            "block."),
    Mistake(lambda *a: count(*a, scales="once"), "The scales were counted once per column; each block has scales of its own.",
            "Multiply them with the depth too."),
    Mistake(lambda t, b, *a: t * b + sum(laterals(k, *a) for k in range(1, t + 1)), "The counting is one too far: the last column reads "
            "`tasks - 1` earlier ones, the first one none.", "`for k in range(1, tasks)`"),
    Mistake(lambda t, b, *a: t * b + laterals(t - 1, *a), "Only the last column's laterals are counted. Every column but the first has "
            "some.", "Go through all columns and add."),
    Mistake(lambda t, b, d, w, n: count(t, b, d, w, n) + (t - 1) * d * (w + n), "You counted biases; these maps have none.", "Leave them "
            "out."),
    Mistake(lambda t, b, d, *a: count(t, b * d, d, *a), "`body` is a whole body, with all its blocks.", "Do not multiply it with the "
            "depth."),
    Mistake(lambda t, b, *a: [b + (laterals(k, *a) if k else 0) for k in range(t)], "These are the columns one by one.", "Add them up."),
    Mistake(lambda t, b, *a: t * b, "The laterals are missing.", "Every column but the first has one at each block."),
    Mistake(lambda t, b, d, w, n: count(t, b, 1, w, n), "There is a lateral at every block.", "Multiply with the depth."),
]


def check_size(answer, fresh):
    while True:                                                       # until each mistake gives another number
        args = [fresh.integer(4, 6), fresh.integer(200, 600), fresh.integer(3, 6), fresh.integer(9, 16), fresh.integer(4, 7)]
        values = [count(*args), *(mistake.wrong(*args) for mistake in SIZES if mistake.why[:5] != "These")]
        if len(set(values)) == len(values):
            break
    for case in (args, [1, *args[1:]]):
        compare(answer, case, count, "That is not the number of weights.", known=SIZES, rtol=1e-6)
    return "Bodies grow in a straight line, laterals with the square of the number of tasks."


# ---- 07.5 prediction --------------------------------------------------------------------------------------------------

KEYS = ("largest change in the first task's logits after four more tasks", "columns that a text of the fourth task passes, no cache",
        "columns that run for it in training when its earlier ones are cached", "columns that a text of the first task passes, of four",
        "share of the four bodies' weights that train while the fourth task is learned", "pairs (reader, read) among five columns")
SOLVED = (0, 4, 1, 1, 0.25, 10)
GUESSES = {
    KEYS[1]: {1: "Its own column reads what the three earlier ones compute: they must run too.", 3: "Its own column runs as well."},
    KEYS[2]: {4: "What frozen columns compute for a text never changes, so it can be kept.", 0: "Its own column changes with every step."},
    KEYS[3]: {4: "Earlier columns do not read later ones. The first task still needs the first column alone."},
    KEYS[4]: {1: "Three of the four are frozen.", 0.75: "Three are frozen, one trains.", 25: "A share lies between 0 and 1.",
              75: "A share lies between 0 and 1; and three are frozen, one trains."},
    KEYS[5]: {5: "Count for each reader: the first reads none, the fifth reads four.", 20: "Reading goes one way: a column reads earlier ones only.", 4: "Each column reads all earlier ones.", 25: "Only earlier "
              "columns are read: 0 + 1 + 2 + 3 + 4."},
}


def check_prediction(answer, fresh):
    got = answer.value
    if isinstance(got, dict) and numbers(got.get(KEYS[0])) is not None:
        expect(not numbers(got[KEYS[0]]).any(), "{key}: it is 0.", "Nothing that the first task uses is changed: its column and head "
               "are frozen, and it reads no later column. Not nearly the same: the same bits.", key=repr(KEYS[0]))
    compare_predictions(got, dict(zip(KEYS, SOLVED)), GUESSES, "Draw the columns and the arrows between them.")
    return "All six right."


EXERCISES = [
    Exercise(
        id="07.1", title="A lateral", answer="lateral", call="lateral(earlier, scale, down, up)", points=2, difficulty=2, importance=5,
        minutes=12, check=check_lateral,
        hints=["Scale each earlier state first: `scale[j] * earlier[j]`.", "`torch.cat(parts, -1)` has the shape (n, J·D).",
               "`(side_by_side @ down.T).relu() @ up.T`"]),
    Exercise(
        id="07.2", title="Freeze it, all of it", answer="freeze", call="freeze(column)", points=2, difficulty=2, importance=5,
        minutes=10, props={"column": TrainedColumn}, check=check_freeze,
        hints=["Three things can still move: weights, what training mode does, and what old gradients may do.",
               "`requires_grad_(False)` for the weights, `eval()` for the mode.", "`p.grad = None` for each parameter."]),
    Exercise(
        id="07.3", title="Compute a frozen column once", answer="Cache", call="Cache().read(keys, compute)", wants="class", points=3,
        difficulty=3, importance=4, minutes=20, kind="write a module", props={"column": FrozenColumn}, check=check_cache,
        hints=["Keep `{key: vector}` in self. Which keys of this batch are not in it?",
               "`compute(list of unknown keys)` gives their vectors in that order: store them one by one.",
               "`torch.stack([self.store[key] for key in keys])`"]),
    Exercise(
        id="07.4", title="What the next task costs", answer="network_size", call="network_size(tasks, body, depth, width, bottleneck)",
        points=2, difficulty=2, importance=3, minutes=12, check=check_size,
        hints=["Column k (from 0) reads k earlier ones. How large is V then?",
               "Per block: k scales, V with W · k · D numbers, U with D · W.", "The first column has no laterals."]),
    Exercise(
        id="07.5", title="Predict who runs and who moves", answer="prediction", call="prediction", wants="value", points=2,
        difficulty=1, importance=4, minutes=8, kind="predict", check=check_prediction,
        hints=["Arrows lead from earlier to later columns only.", "What is frozen computes the same for a text, today and tomorrow."]),
]
