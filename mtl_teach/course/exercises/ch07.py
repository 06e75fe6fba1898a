"""Exercises of chapter 07, progressive networks."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch
from torch import nn

from ..expect import Mistake, Wrong, compare, compare_predictions, expect, expect_close, numbers
from ..registry import Exercise

TITLE, NOTEBOOK = "Progressive networks", "07_progressive_networks"


# ---- 07.1 lateral -----------------------------------------------------------------------------------------------------

def by_columns(earlier, scale, down, up, relu=True, where="inside", scaled=True, take="all"):
    """Column by column: V is cut into the blocks that read one column each, which no concatenation can get wrong."""
    width = earlier[0].size(-1)
    total = 0
    for j, hidden in enumerate(earlier):
        if take == "last" and j < len(earlier) - 1:
            continue
        part = hidden * (scale[j] if scaled else 1) if where != "squared" else hidden * scale[j] ** 2
        total = total + part @ down[:, j * width:(j + 1) * width].T
    total = total.relu() if relu and where != "outside" else total
    total = total @ up.T
    return total.relu() if where == "outside" else total


LATERALS = [
    Mistake(lambda *a: by_columns(*a, relu=False), "The nonlinearity is missing: two linear maps in a row are one.",
            "relu after V, before U."),
    Mistake(lambda *a: by_columns(*a, where="outside"), "The relu comes after U. What a lateral adds could then never be negative.",
            "U relu(V ...)."),
    Mistake(lambda *a: by_columns(*a, scaled=False), "The scales α are not used.", "Multiply column j with scale[j] first."),
    Mistake(lambda *a: by_columns(*a, take="last"), "Only the newest of the earlier columns is read.", "Lay all of them side by side."),
    Mistake(lambda e, s, d, u: by_columns(e[::-1], s.flip(0), d, u), "The columns are laid side by side in reverse order.",
            "torch.cat([...], -1) in the order they come."),
    Mistake(lambda e, s, d, u: by_columns(e, s.flip(0), d, u), "The scales belong to other columns.", "scale[j] belongs to earlier[j]."),
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
                    "of its parameters.", "for p in column.parameters(): p.requires_grad_(False)")
    expect(not trains, "{name} still requires a gradient.", "You froze some of the parameters. Biases and norms train too.",
           "Go through column.parameters(), all of them.", name=trains[0] if trains else "")
    modes = column.call("modes")
    if any(modes):
        inner = modes[0] == 0
        raise Wrong("The column is still in training mode{inside}: dropout throws dice, and the batch norm's averages move with every "
                    "batch.", "`column.training = False` does not reach the modules inside." if inner else
                    "requires_grad_ says nothing about the mode.", "column.eval()", inside=" inside" if inner else "")
    expect(column.call("gradients") == 0, "Old gradients are still there. An optimizer that was built over this column would take one "
           "more step with them.", "requires_grad_(False) does not clear .grad.", "p.grad = None for every parameter.")
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


def _order_guess(keys):
    return "A text stands twice among the keys: it needs two rows." if len(set(keys)) < len(keys) else ""


def _asked_right(asked, keys, known):
    flat, new = [key for call in asked for key in call], [key for key in dict.fromkeys(keys) if key not in known]
    again = [key for key in flat if key in known]
    if again and not known.isdisjoint(keys) and set(flat) == set(keys) and new:
        raise Wrong("Texts that are known were computed again: {keys}.", "One unknown text made you compute the whole batch.",
                    "Pass compute only the keys that are not stored yet.", keys=again)
    expect(not again, "Texts that are known were computed again: {keys}.", "Perhaps nothing is kept from one call of read to the next.",
           "Keep a dict in self, {key: vector}.", keys=again)
    expect(len(flat) == len(set(flat)), "Text {key} was computed twice in one call.", "It stands twice among the keys.",
           "dict.fromkeys(keys) drops repetitions and keeps the order.", key=next((k for k in flat if flat.count(k) > 1), ""))
    expect(sorted(flat) == sorted(new), "compute must be asked for the unknown texts {new}; it was asked for {flat}.", new=new, flat=flat)
    expect(len(asked) <= 1, "compute was called {n} times for one batch.", "One call per text gives up the speed of batches.",
           "Collect the unknown keys, and call compute once.", n=len(asked))
    expect(bool(asked) == bool(new), "compute was called though every text is known.", "A call with an empty list still costs.",
           "Call it only if there are unknown keys.")


# ---- 07.4 network_size ------------------------------------------------------------------------------------------------

def count(tasks, body, depth, width, bottleneck, scales=True, up=True, reads="all", first=False, squared=False):
    total = 0
    for k in range(tasks):
        earlier = k if reads == "all" else min(k, 1)
        total += body
        if k or first:
            inner = width if squared else bottleneck
            total += depth * (earlier * bool(scales) + earlier * width * inner + inner * width * bool(up))
    return total


SIZES = [
    Mistake(lambda *a: count(*a, scales=False), "The scales α are missing: one number per block and earlier column.", "Add k."),
    Mistake(lambda *a: count(*a, up=False), "The map U back up is missing.", "Add W · D per block."),
    Mistake(lambda *a: count(*a, reads="one"), "Each column reads all earlier ones, not only the one before.", "V is (W, k · D)."),
    Mistake(lambda *a: count(*a, first=True), "The first column has nothing to read, so it has no laterals at all.", "Begin with k = 1."),
    Mistake(lambda *a: count(*a, squared=True), "The laterals pass through W features, not D.", "V is (W, k · D), U is (D, W)."),
    Mistake(lambda t, b, *a: t * b, "The laterals are missing."),
    Mistake(lambda t, b, d, w, n: count(t, b, 1, w, n), "There is a lateral at every block.", "Multiply with the depth."),
]


def check_size(answer, fresh):
    while True:                                                       # until each mistake gives another number
        args = [fresh.integer(4, 6), fresh.integer(200, 600), fresh.integer(3, 6), fresh.integer(9, 16), fresh.integer(4, 7)]
        values = sorted([count(*args), *(mistake.wrong(*args) for mistake in SIZES)])
        if min(b / a for a, b in zip(values, values[1:])) > 1.003:
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
    KEYS[4]: {1: "Three of the four are frozen.", 0.75: "Three are frozen, one trains."},
    KEYS[5]: {20: "Reading goes one way: a column reads earlier ones only.", 4: "Each column reads all earlier ones.", 25: "Only earlier "
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
        hints=["Scale each earlier state first: scale[j] * earlier[j].", "torch.cat(parts, -1) has the shape (n, J·D).",
               "(side_by_side @ down.T).relu() @ up.T"]),
    Exercise(
        id="07.2", title="Freeze it, all of it", answer="freeze", call="freeze(column)", points=2, difficulty=2, importance=5,
        minutes=10, props={"column": TrainedColumn}, check=check_freeze,
        hints=["Three things can still move: weights, what training mode does, and what old gradients may do.",
               "requires_grad_(False) for the weights, eval() for the mode.", "p.grad = None for each parameter."]),
    Exercise(
        id="07.3", title="Compute a frozen column once", answer="Cache", call="Cache().read(keys, compute)", wants="class", points=3,
        difficulty=3, importance=4, minutes=20, kind="write a module", props={"column": FrozenColumn}, check=check_cache,
        hints=["Keep {key: vector} in self. Which keys of this batch are not in it?",
               "compute(list of unknown keys) gives their vectors in that order: store them one by one.",
               "torch.stack([self.store[key] for key in keys])"]),
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
