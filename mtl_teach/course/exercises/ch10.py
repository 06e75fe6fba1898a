"""Exercises of chapter 10, transfer."""

# ruff: noqa: E501  (tables of prose)

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..expect import Mistake, compare, compare_predictions, expect, expect_close, expect_shape, numbers
from ..registry import Exercise
from .drawing import telling

TITLE, NOTEBOOK = "Transfer", "10_transfer"


# ---- 10.1 unfrozen ----------------------------------------------------------------------------------------------------

def place(name, depth):
    """The stage from which a weight of the body trains; None for a head."""
    if name.startswith("blocks."):
        return depth - int(name.split(".")[1])
    return {"embedding": depth + 1, "norm": 1}.get(name.split(".")[0])


def open_at(names, depth, stage, new, opens=lambda at, stage: at <= stage, heads=lambda task, stage, new: task in new, place=place):
    found = []
    for name in names:
        at = place(name, depth)
        if heads(name.split(".")[1], stage, new) if at is None else opens(at, stage):
            found.append(name)
    return sorted(found)


def from_below(name, depth):
    at = place(name, depth)
    return at if at is None or name.startswith("norm") else depth + 2 - at


def as_texts(name, depth):
    """Blocks in the order of their names as texts: 0, 1, 10, 11, 2, ..."""
    order = sorted(map(str, range(depth)), reverse=True)
    return order.index(name.split(".")[1]) + 1 if name.startswith("blocks.") else place(name, depth)


def by_prefix(names, depth, stage, new):
    """Frozen is what begins with the name of a frozen block: 'blocks.1' freezes blocks 10 and 11 too."""
    frozen = tuple(f"blocks.{i}" for i in range(depth - stage))
    return [name for name in open_at(names, depth, stage, new) if not (frozen and name.startswith(frozen))]


def counted_up(name, depth):
    return int(name.split(".")[1]) + 1 if name.startswith("blocks.") else place(name, depth)


def newest_block(names, depth, stage, new):
    return [n for n in open_at(names, depth, stage, new) if not n.startswith("blocks.") or place(n, depth) == stage]


UNFROZEN = [
    Mistake(lambda n, d, s, new: open_at(n, d, s, new, opens=lambda at, stage: at <= (d + 1 if stage == d else stage)), "The embeddings "
            "opened together with the lowest block. They are a layer of their own, and the last.", "Open `embedding` at stage depth + 1."),
    Mistake(lambda n, d, s, new: open_at(n, d, min(s, d), new), "The embeddings never open.", "Open `embedding` at stage depth + 1."),
    Mistake(lambda *a: open_at(*a, place=from_below), "You opened the body from below. The lowest layers hold what all texts have in "
            "common; they open last.", "The top block is `blocks.{depth - 1}`."),
    Mistake(lambda *a: open_at(*a, place=counted_up), "You opened the blocks from below: block 0 is the lowest, and opens last.",
            "Block i opens at stage depth - i."),
    Mistake(newest_block, "Only the newest block trains. In gradual unfreezing what is open stays open.", "Keep every block that an earlier "
            "stage has opened."),
    Mistake(lambda *a: open_at(*a, place=lambda name, depth: 0 if name.startswith("norm") else place(name, depth)), "The norm trains from the "
            "beginning. At stage 0 the new heads train alone.", "Open `norm` with the top block, at stage 1."),
    Mistake(lambda *a: open_at(*a, heads=lambda task, stage, new: any(one in task for one in new)), "The head of an old task trains, for its "
            "name holds that of a new one, as 'mood_old' holds 'mood'.", "Compare whole names: `name.split('.')[1] in new`."),
    Mistake(lambda *a: open_at(*a, opens=lambda at, stage: at == stage), "Only the newest layer trains. In gradual unfreezing what is "
            "open stays open.", "Keep every layer that an earlier stage has opened."),
    Mistake(lambda *a: open_at(*a, opens=lambda at, stage: at <= stage + 1), "You are one layer ahead: at stage 0 the heads train alone.",
            "At stage s the s topmost blocks are open."),
    Mistake(lambda *a: open_at(*a, opens=lambda at, stage: at < stage), "You are one layer late: at stage 1 the top block trains.",
            "At stage s the s topmost blocks are open."),
    Mistake(lambda *a: [n for n in open_at(*a) if not n.startswith("norm")], "The final norm stays frozen. It belongs to the top block.",
            "Open `norm` with the top block."),
    Mistake(lambda *a: open_at(*a, heads=lambda task, stage, new: True), "Old heads train too. No row of their tasks is there; they "
            "must wait unchanged.", "Look at the task's name: names of heads are `heads.TASK.…`"),
    Mistake(lambda *a: open_at(*a, heads=lambda task, stage, new: task in new and not stage), "The new heads stop as soon as the body "
            "opens. Every stage trains them.", "Heads of new tasks train always."),
    Mistake(by_prefix, "Blocks 10 and 11 are frozen although they are open: 'blocks.10.…' begins with 'blocks.1'.",
            "Read the number: `int(name.split('.')[1])`, or compare with the dot: 'blocks.1.'."),
    Mistake(lambda *a: open_at(*a, place=as_texts), "Blocks were put in order as texts: there '9' comes after '11'.",
            "Turn the number into an int before you compare."),
]


def body_names(fresh, depth):
    *new, old = fresh.sample(["mood", "returns", "tips", "topic"], 3)
    tasks = [*new, old, f"{new[0]}_old"]
    names = ["embedding.weight", "norm.weight", "norm.bias"]
    names += [f"blocks.{i}.{part}" for i in range(depth) for part in ("attention.weight", "mlp.weight")]
    names += [f"heads.{task}.{part}" for task in tasks for part in ("weight", "bias")]
    return fresh.shuffled(names), new


def check_unfrozen(answer, fresh):
    depth = 12
    names, new = body_names(fresh, depth)

    def answered(*args):
        got = answer(*args)
        expect(isinstance(got, (list, tuple, set, frozenset)) and all(isinstance(name, str) for name in got), "Return a list of names.")
        return sorted(got)
    for stage in (fresh.integer(2, depth - 3), depth, depth + 1, 0):
        compare(answered, [names, depth, stage, new], open_at, "At stage {stage} other weights must train.", known=UNFROZEN, stage=stage)
    return "From the heads down to the embeddings, and nothing closes again."


# ---- 10.2 LoRA --------------------------------------------------------------------------------------------------------

def check_lora(answer, fresh):
    inputs, outputs, r = fresh.sample([4, 5, 6, 7], 2) + [fresh.integer(2, 3)]
    alpha = float(r * fresh.integer(2, 4) + 1)
    layer = answer.build(inputs, outputs, r, alpha)
    _lora_parameters(layer, inputs, outputs, r)
    start = {name: torch.from_numpy(numbers(value)).float() for name, value in layer.state().items()}
    expect(start["B"].abs().sum() == 0, "`B` must be 0 at the start.", "Otherwise the layer begins by changing what the body has "
           "learned.", "`nn.Parameter(torch.zeros(outputs, r))`")
    expect(start["A"].abs().sum() > 0, "`A` must not be 0 at the start.", "With A and B both 0 both gradients are 0, and nothing would "
           "ever move.", "Draw A at random.")
    weight, A, B = fresh.normal(outputs, inputs), fresh.normal(r, inputs), fresh.normal(outputs, r)
    layer.load({"weight": weight, "A": A, "B": B})
    x = fresh.normal(3, inputs)
    compare(layer, [x], branch(weight, A, B, alpha / r), "The layer must give W x + (α / r) B A x.", axes="rows, outputs",
            known=_branches(weight, A, B, alpha, r))
    _merged(layer, x, weight, A, B, alpha, r)
    slopes = layer.gradients(x)["parameters"]
    ones = torch.ones(3, outputs)
    expect_close(slopes["A"], alpha / r * B.T @ ones.T @ x, "Gradients must reach A.", name="the gradient of A")
    expect_close(slopes["B"], alpha / r * ones.T @ x @ A.T, "Gradients must reach B.", name="the gradient of B")
    return "r · (inputs + outputs) numbers learn, and after merging nothing is left to pay."


def branch(weight, A, B, scale, inner=lambda x: x):
    return lambda x: x @ weight.T + scale * inner(x @ A.T) @ B.T


def _branches(weight, A, B, alpha, r):
    return [
        Mistake(branch(weight, A, B, 1), "The factor α / r is missing.", "Multiply B A x with `alpha / r`."),
        Mistake(branch(weight, A, B, alpha), "You multiplied with α alone; divide by r, so that another rank needs no other rate.",
                "`alpha / r`"),
        Mistake(branch(weight, A, B, r / alpha), "The factor is upside down.", "`alpha / r`"),
        Mistake(branch(weight, A, B, alpha // r), "`//` cuts the fraction off: α need not be a multiple of r.", "`alpha / r`"),
        Mistake(branch(0 * weight, A, B, alpha / r), "The branch replaces the layer; it stands beside it.", "Add W x."),
        Mistake(branch(weight, A, 0 * B, 1), "That is the frozen layer alone; the branch is missing.", "Add (α / r) B A x."),
        Mistake(branch(weight, A, B, alpha / r, torch.relu), "There is a relu in the branch. With it the branch cannot be added into the "
                "weight.", "Two matrices and nothing between them."),
        Mistake(lambda x: (x @ weight.T + x @ A.T @ B.T) * alpha / r, "α / r multiplies the frozen layer too.", "It scales the branch alone."),
        Mistake(branch(weight, A, B, alpha / r**0.5), "You divided by the root of r. Some use that (rank-stabilised LoRA); here it is r.",
                "`alpha / r`"),
    ]


def _lora_parameters(layer, inputs, outputs, r):
    has, state = layer.parameters(), layer.state()
    for name, shape, axes in (("weight", (outputs, inputs), "outputs, inputs"), ("A", (r, inputs), "r, inputs"),
                              ("B", (outputs, r), "outputs, r")):
        inside = [each for each in state if each.endswith(f".{name}")]
        expect(name in state or not inside, "The layer has no `{name}` of its own; it has {found}.", "It stands inside another module, which "
               "gives it another name, and often brings a bias.", "`self.{name} = nn.Parameter(...)`", name=name, found=sorted(state))
        expect(name in state, "The layer has no `{name}`; it has {found}.", "A plain tensor is no parameter: it is neither saved nor "
               "trained.", "`self.{name} = nn.Parameter(...)`", name=name, found=sorted(state) or "none")
        expect_shape(state[name], shape, axes, name)
    expect(not has.get("weight", {}).get("trains"), "`weight` trains. LoRA leaves the body as it was.",
           "Then r no longer limits what changes, and the old tasks are lost.", "`nn.Parameter(..., requires_grad=False)`")
    for name in "AB":
        expect(has.get(name, {}).get("trains"), "`{name}` does not train.", next="`self.{name} = nn.Parameter(...)`", name=name)
    extra = sorted(set(has) - {"weight", "A", "B"})
    expect(not extra, "There are parameters too many: {extra}.", "nn.Linear brings a bias of its own.", extra=extra)


def _merged(layer, x, weight, A, B, alpha, r):
    compare(lambda: layer.call("merged"), [], lambda: weight + alpha / r * B @ A, "merged() must give the one matrix that does the work "
            "of all: W + (α / r) B A.", name="merged()", axes="outputs, inputs", known=[
                Mistake(lambda: weight + B @ A, "In merged() the factor α / r is missing."),
                Mistake(lambda: alpha / r * B @ A, "merged() gives the branch alone.", "Add the weight."),
                Mistake(lambda: weight, "merged() gives the frozen weight, without the branch.")])
    expect_close(layer(x), branch(weight, A, B, alpha / r)(x), "After merged() was called, the layer gives something else.",
                 "merged() changed the weight in place: the branch now counts twice.", "Return a new matrix.")


# ---- 10.3 fine_tune ---------------------------------------------------------------------------------------------------

def descend(start, x, y, strength, lr, steps, pull=lambda w, start, strength: strength * (w - start)):
    w0 = start.double().numpy()
    w, x, y = w0.copy(), x.double().numpy(), y.double().numpy()
    for _ in range(steps):
        w = w - lr * (x.T @ (x @ w - y) / len(x) + pull(w, w0, strength))
    return torch.from_numpy(w)


L2SP = [
    Mistake(lambda *a: descend(*a, pull=lambda w, start, s: 0), "The pull is not there: it is 0 at every step. `w = start` gives the same "
            "tensor a second name, and `w -= ...` moves both.", "Keep the start: begin with `w = start.clone()`, and leave `start` alone."),
    Mistake(lambda *a: descend(*a, pull=lambda w, start, s: s * w), "You pull towards 0. That is weight decay, which forgets the start.",
            "Pull towards `start`: `strength * (w - start)`."),
    Mistake(lambda *a: descend(*a, pull=lambda w, start, s: 2 * s * (w - start)), "The pull is twice too strong: the loss has strength / 2 "
            "in front of the square.", "Use `strength * (w - start)`."),
    Mistake(lambda *a: descend(*a, pull=lambda w, start, s: -s * (w - start)), "The pull pushes away from the start.",
            "The gradient of the pull is `strength * (w - start)`; it is subtracted like the other one."),
    Mistake(lambda *a: descend(*a, pull=lambda w, start, s: s * (w - start) / a[4]), "The pull was not multiplied with the learning rate.",
            "Both gradients go through `lr`."),
    Mistake(lambda *a: descend(*a[:5], 1), "You took one step.", "Return after the loop."),
    Mistake(lambda s, x, y, k, lr, n: descend(s, x, y, k / len(x), lr * len(x), n), "The rows' gradients were added up, not averaged.",
            "Keep the division by `len(x)`."),
]


def check_fine_tune(answer, fresh):
    def draw():
        return [fresh.normal(4) + 1.0, fresh.normal(12, 4), fresh.normal(12), fresh.number(0.3, 0.8), fresh.number(0.1, 0.2),
                fresh.integer(4, 8)]
    says = "The weights after the steps must be those of gradient descent on the loss with its pull towards the start."
    args = telling(draw, descend, L2SP)
    compare(answer, args, descend, says, known=L2SP, axes="D")
    args[3] = 0.0
    compare(answer, args, descend, "At strength 0 the weights must be those of plain fine-tuning.", axes="D")
    return "The start is kept where no step can reach it."


# ---- 10.4 memory ------------------------------------------------------------------------------------------------------

def remembered(scores):
    count, last = len(scores), scores[-1]
    backward = [float(last[j] - scores[j][j]) for j in range(count - 1)]
    lost = [max(float(scores[i][j]) for i in range(j, count - 1)) - float(last[j]) for j in range(count - 1)]
    return {"backward": sum(backward) / (count - 1), "forgetting": sum(lost) / (count - 1)}


def changed(of):
    """Both numbers put through a function of (backward, forgetting, T)."""
    return lambda scores: dict(zip(("backward", "forgetting"), of(*remembered(scores).values(), len(scores))))


def with_last(scores):
    last, best = scores[-1], scores.max(0).values
    return remembered(scores) | {"forgetting": float((best - last)[:-1].mean())}


def with_last_own(scores):
    lost = [float(scores[j:, j].max() - scores[-1][j]) for j in range(len(scores) - 1)]
    return remembered(scores) | {"forgetting": sum(lost) / len(lost)}


def from_the_start(scores):
    return remembered(scores) | {"forgetting": float((scores[:-1].max(0).values - scores[-1])[:-1].mean())}


def next_stage(scores):
    steps = [float(scores[j + 1][j] - scores[j][j]) for j in range(len(scores) - 1)]
    return remembered(scores) | {"backward": sum(steps) / len(steps)}


MEMORY = [
    Mistake(changed(lambda b, f, n: (b * (n - 1) / n, f * (n - 1) / n)), "You divided by the number of tasks. The last task has had no "
            "time to be forgotten, and does not count.", "Average over all tasks but the last one."),
    Mistake(changed(lambda b, f, n: (b * (n - 1), f * (n - 1))), "You added up over the tasks.", "Take the mean."),
    Mistake(changed(lambda b, f, n: (-b, f)), "The sign of `backward` is turned: it is after minus before, below 0 where something was "
            "lost.", "The last row minus the diagonal."),
    Mistake(changed(lambda b, f, n: (b, -f)), "The sign of `forgetting` is turned: it is best minus last, above 0 where something was "
            "lost.", "The best value minus the last row."),
    Mistake(changed(lambda b, f, n: (b, -b)), "You took `forgetting` as minus `backward`. It starts from the best value that the task "
            "ever had, which may have come after its own stage.", "For each task: the maximum over the stages before the last."),
    Mistake(lambda r: remembered(r.T), "Rows and columns are swapped: row i is the stage, column j the task.", "`scores[i, j]`"),
    Mistake(with_last, "The last stage was among those that the best is taken of. A task that got better then shows 0 in place of a "
            "gain.", "Take the maximum over the rows before the last."),
    Mistake(next_stage, "You compared with the stage right after. What is asked is what is left at the end.", "Use the last row."),
    Mistake(with_last_own, "The last stage was among those that the best is taken of, or a gain was cut off at 0. A task that got better then "
            "shows 0 in place of a gain.", "Take the maximum over the rows before the last, and leave its sign."),
    Mistake(from_the_start, "The best was taken over all stages before the last, also those before the task was trained. What it had by "
            "transfer was not learned yet, and cannot be forgotten.", "Begin at the task's own stage: `scores[j:-1, j].max()`."),
    Mistake(lambda r: tuple(remembered(r).values()), "The numbers are right; give them their names.", "Return "
            "`{\"backward\": ..., \"forgetting\": ...}`."),
]


def stages(fresh):
    count = fresh.integer(4, 5)
    scores = torch.full((count, count), 0.5) + fresh.uniform(count, count, low=-0.02, high=0.02)          # before: guessing
    for j in range(count):
        for i in range(j, count):
            scores[i, j] = fresh.number(0.7, 0.95, 4)
    scores[-1, 0] = 0.97                                       # one task got better in the end
    other = fresh.integer(1, count - 2)
    scores[other - 1, other] = 0.96                            # and one was best before its own stage, by transfer
    return [scores]


def check_memory(answer, fresh):
    for _ in range(2):
        compare(answer, telling(lambda: stages(fresh), remembered, MEMORY), remembered, "backward: last minus own stage. forgetting: best "
                "before the last minus last. Both averaged over all tasks but the last one.", known=MEMORY)
    return "Two numbers, because a task may first get better and then be lost."


# ---- 10.5 ties_merge --------------------------------------------------------------------------------------------------

def merged(start, models, keep, scale, trim=True, elect="mass", average="agree", add=True, of="vectors", rank="each", whole=round):
    """Place by place, in Python; the options are what goes wrong."""
    away = (models if of == "models" else models - start).double()
    count, size = away.shape
    kept = away.clone()
    for k in range(count):
        sizes = (away if rank == "value" else away.abs())[k].tolist()
        largest = set(sorted(range(size), key=lambda i: -sizes[i])[:whole(keep * size)])
        kept[k] = torch.tensor([value if i in largest or not trim else 0.0 for i, value in enumerate(away[k].tolist())])
    if rank == "all":
        line = away.abs().flatten().sort(descending=True).values[round(keep * count * size) - 1]
        kept = away * (away.abs() >= line)
    result = [one_place(kept[:, i].tolist(), away[:, i].tolist(), elect, average) for i in range(size)]
    return (start if add else 0) + scale * torch.tensor(result)


def one_place(values, before, elect, average):
    heads = sum((v > 0) - (v < 0) for v in values)
    vote = {"mass": sum(values), "count": heads or sum(values), "heads": heads, "untrimmed": sum(before), "none": 0}[elect]
    values = before if average == "all that agree" else values
    agree = [v for v in values if v and (v > 0) == (vote > 0)] if vote else [v for v in values if v] if elect == "none" else []
    divisor = {"agree": len(agree), "all that agree": len(agree), "all": len(values), "sum": 1}[average]
    return sum(agree) / max(divisor, 1)


TIES = [
    Mistake(lambda *a: merged(*a, add=False), "The start was not added again: you returned the merged change.", "`start + scale * change`"),
    Mistake(lambda s, m, k, c: merged(s, m, k, 1.0), "The scale is missing.", "`start + scale * change`"),
    Mistake(lambda *a: merged(*a, of="models"), "You trimmed the weights. What is trimmed is the change: the task vectors.",
            "Begin with `models - start`."),
    Mistake(lambda *a: merged(*a, trim=False), "Nothing was trimmed.", "In each task vector keep the largest magnitudes; zeros elsewhere."),
    Mistake(lambda *a: merged(*a, rank="all"), "You ranked the entries of all task vectors together. A model that has moved far would "
            "push the others out.", "Trim each task vector by itself."),
    Mistake(lambda *a: merged(*a, elect="count"), "You elected the sign by counting models. TIES weighs them: the sign with the greater total "
            "magnitude wins.", "Use the sign of the sum over models."),
    Mistake(lambda *a: merged(*a, elect="untrimmed"), "The sign was elected before trimming.", "Trim first; what was trimmed has no vote."),
    Mistake(lambda *a: merged(*a, elect="none"), "Signs were not elected: entries that disagree cancel in your mean.", "Leave out entries with "
            "the other sign."),
    Mistake(lambda *a: merged(*a, average="all"), "You divided by the number of models. The mean is over those that agree: what was trimmed "
            "or outvoted does not count.", "Divide by the number of agreeing entries at each place."),
    Mistake(lambda *a: merged(*a, average="sum"), "You added the agreeing entries up.", "Take their mean."),
    Mistake(lambda *a: merged(*a, elect="heads"), "You elected the sign by counting models. TIES weighs them: the sign with the greater total "
            "magnitude wins.", "Use the sign of the sum over models."),
    Mistake(lambda *a: merged(*a, rank="value"), "You kept the largest numbers, and trimmed large negative ones.", "Rank by `abs()`."),
    Mistake(lambda *a: merged(*a, of="models", add=False), "You merged the weights. What is trimmed and voted on is the change: the task "
            "vectors.", "Begin with `models - start`."),
    Mistake(lambda *a: merged(*a, average="all that agree"), "The vote was right, but entries that were trimmed came into the mean again.",
            "Average the trimmed vectors."),
    Mistake(lambda s, m, k, c: merged(s, m, 1 - k, c), "You kept what should go: `keep` is the share that stays.", "The largest `keep · P` stay."),
    Mistake(lambda *a: merged(*a, whole=int), "keep · P was cut off, not rounded.", "`round(keep * P)`"),
    Mistake(lambda s, m, k, c: s + c * (m - s).mean(0), "That is the plain mean of the task vectors.", "Trim and elect first."),
    Mistake(lambda s, m, k, c: s + c * (m - s).sum(0), "That is task arithmetic: the sum of the task vectors.", "Trim and elect first."),
]


def check_ties(answer, fresh):
    def draw():
        start, away = fresh.normal(25), fresh.normal(4, 25) * torch.tensor([[1.0], [0.6], [1.8], [1.0]])
        away[:, 3] /= 1000                                              # a place that every model trims
        return [start, start + away, fresh.pick([0.55, 0.63, 0.75]), fresh.number(0.6, 0.9)]

    def answered(*args):
        got = answer(*args)
        values = numbers(got)
        expect(values is None or not np.isnan(values).any(), "There is nan in the result.", "At a place where all entries were trimmed the "
               "mean is 0/0.", "Divide by the count, but by no less than 1: `.clamp(min=1)`.")
        return got
    compare(answered, telling(draw, merged, TIES), merged, "Trim each task vector, elect a sign at each place, average those that agree, and go there from the "
            "start.", known=TIES, axes="P")
    return "What the models dispute no longer cancels what one of them needs."


# ---- 10.6 prediction --------------------------------------------------------------------------------------------------

KEYS = ("probe: numbers that train", "LoRA with r=2 in all four blocks: numbers that train", "gradual, stage 2: numbers that train",
        "fine-tune: numbers that train", "LoRA, merged for use: numbers more than body and head",
        "decay 0.5, top block at 0.01: rate of the embeddings", "TIES at a place where the task vectors hold 3 and -1")
PREDICTED = {
    KEYS[0]: {48: "The head has a bias: three numbers more.", 0: "The body is frozen; the new head trains."},
    KEYS[1]: {256: "The head trains too.", 115: "All four blocks have branches.", 64: "All four blocks have branches, and the head "
              "trains too.", 179: "A and B both train: r · 16 numbers each.", 1331: "The blocks' own weights are frozen.",
              1075: "That is the number of all weights of the blocks and the head; LoRA has a thin branch beside each."},
    KEYS[2]: {307: "Stage 2 opens two blocks: 2 · 16 · 16 numbers.", 512: "The head trains in every stage.", 1075: "Two blocks are open, not "
              "all four."},
    KEYS[3]: {1075: "The embeddings are trained too.", 17024: "The head trains too."},
    KEYS[4]: {256: "B A is as large as W, and is added into it: the branches are gone."},
    KEYS[5]: {0.00125: "Count the steps down: block 4 has 0.01, block 3 half of it, ..., block 1 an eighth; the embeddings are one lower.",
              0.005: "The rate is halved at every layer on the way down, not once.", 0.0003125: "The top block has 0.01 itself."},
    KEYS[6]: {1: "That is the mean of both. The -1 is outvoted, and does not count in the mean.", 2: "That is the sum of both.",
              1.5: "The outvoted entry does not count in the divisor either."},
}


NEXT = {KEYS[4]: "What shape has B A? And W?", KEYS[5]: "Go down from the top block, and halve at each layer.",
        KEYS[6]: "Elect the sign first; then average what has it."}


def counted() -> dict:
    """Counted on a body of torch modules."""
    body, head = nn.ModuleList([nn.Embedding(1000, 16), *(nn.Linear(16, 16, bias=False) for _ in range(4))]), nn.Linear(16, 3)

    def size(*modules):
        return sum(p.numel() for module in modules for p in module.parameters())
    A, B = torch.zeros(2, 16), torch.zeros(16, 2)
    more = body[1].weight.numel() - (body[1].weight + B @ A).numel()
    return dict(zip(KEYS, (size(head), 4 * (A.numel() + B.numel()) + size(head), size(*body[-2:], head), size(body, head), more,
                           0.01 * 0.5 ** (len(body) - 1), one_place([3.0, -1.0], [3.0, -1.0], "mass", "agree"))))


def check_prediction(answer, fresh):
    next = {key: NEXT.get(key, "Write down the layers one below the other, and what trains in each.") for key in KEYS}
    compare_predictions(answer.value, counted(), PREDICTED, next, tolerance=0.001, least=1e-5)
    return "All seven as counted."


EXERCISES = [
    Exercise(
        id="10.1", title="Gradual unfreezing: who trains when?", answer="unfrozen", call="unfrozen(names, depth, stage, new)", points=2,
        difficulty=3, importance=4, minutes=15, check=check_unfrozen,
        hints=["Give every weight the stage from which it trains. What is that of the heads, of block i, of the norm, of the embeddings?",
               "Block i opens at stage depth - i, with `i = int(name.split('.')[1])`; a weight trains if its stage has come."]),
    Exercise(
        id="10.2", title="LoRA as a module", answer="LoRA", call="LoRA(inputs, outputs, r, alpha)", wants="class", points=3, difficulty=3,
        importance=5, minutes=15, kind="write a module", check=check_lora,
        hints=["Three parameters: weight (does not train), A (random), B (zeros).", "x has rows: W x is `x @ self.weight.T`, and A x is "
               "`x @ self.A.T`.", "merged: `self.weight + alpha / r * self.B @ self.A`, as a new matrix."]),
    Exercise(
        id="10.3", title="Find the bug: a pull that pulls nothing", answer="fine_tune", points=2, difficulty=3, importance=4, minutes=10,
        call="fine_tune(start, x, y, strength, lr, steps)", kind="find the bug", check=check_fine_tune,
        hints=["Print `w - start` after a few steps.", "Does `w = start` make a copy? What does `w -= ...` change?"]),
    Exercise(
        id="10.4", title="How much was forgotten?", answer="memory", call="memory(scores)", points=2, difficulty=2, importance=5, minutes=12,
        check=check_memory,
        hints=["The last row is what is left, the diagonal is what each task had right after its own stage.",
               "For task j: `scores[j:-1, j].max()` is the best from its own stage on, before the last."]),
    Exercise(
        id="10.5", title="Merge without a quarrel: TIES", answer="ties_merge", call="ties_merge(start, models, keep, scale)", points=3,
        difficulty=4, importance=3, minutes=20, check=check_ties,
        hints=["Three steps on the task vectors `models - start`: trim, elect, average.", "Trim: torch.topk of the magnitudes in each row. "
               "Elect: the sign of the sum over the rows.", "`agree = (rows.sign() == elected) & (rows != 0)`; then the sum of what agrees over "
               "`agree.sum(0).clamp(min=1)`."]),
    Exercise(
        id="10.6", title="Predict what trains", answer="prediction", call="prediction", wants="value", points=2, difficulty=2, importance=4,
        minutes=10, kind="predict", check=check_prediction,
        hints=["The head has 16 · 3 weights and 3 biases. A block has 16 · 16 weights.", "A LoRA branch has r · 16 numbers in A and as many in B.",
               "From the top block down to the embeddings there are four steps."]),
]
