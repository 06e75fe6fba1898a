"""Answers to the exercises of chapter 04."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import Rows

# ---- 04.1


def scattered(losses, task_ids, weights):
    """Right: one-hot rows and a matrix product, in float64."""
    member = F.one_hot(task_ids, len(weights)).double()                       # (B, K)
    means = losses.double() @ member / member.sum(0).clamp(min=1)
    return (means * weights.double()).sum()


def in_place(losses, task_ids, weights):
    """Right: weights the rows one after the other."""
    total = losses.new_zeros(())
    for loss, k in zip(losses, task_ids):
        total += loss * weights[k] / (task_ids == k).sum()
    return total


def all_rows(losses, task_ids, weights):
    return (losses * weights[task_ids]).mean()


def nan_when_absent(losses, task_ids, weights):
    return sum(weights[k] * losses[task_ids == k].mean() for k in range(len(weights)))


def detached(losses, task_ids, weights):
    return float(sum(weights[k] * losses[task_ids == k].mean() for k in task_ids.unique()))


def cut_off(losses, task_ids, weights):
    return sum(weights[k] * losses[task_ids == k].mean() for k in task_ids.unique()).detach()


MIXED = Rows(right=[scattered, in_place], wrong=[
    (lambda x, ids, w: x.mean(), "big task drowns the small one"),
    (all_rows, "big task drowns the small one"),
    (lambda x, ids, w: sum(w[k] * x[ids == k].sum() for k in ids.unique()), "added up the rows"),
    (lambda x, ids, w: sum(x[ids == k].mean() for k in ids.unique()), "weights of the tasks were left out"),
    (lambda x, ids, w: sum(w[k] * x[ids == k].mean() for k in ids.unique()) / len(ids.unique()), "divided by the number of tasks"),
    (lambda x, ids, w: sum(w[k] * x[ids == k].mean() for k in ids.unique()) / w.sum(), "divided by the sum of the weights"),
    (nan_when_absent, "absent from the batch the loss is nan"),
    (detached, "must be a tensor"),
    (cut_off, "cut off from the inputs")])

# ---- 04.2


def grads_by_hand(body, heads, x, task_ids, labels):
    """Right: numpy, by the chain rule, in float64, as a list of lists."""
    body, x, task_ids, labels = (part.numpy() for part in (body.double(), x.double(), task_ids, labels))
    rows = []
    for k, head in enumerate(heads):
        mine, head = task_ids == k, head.double().numpy()
        scores = x[mine] @ body.T @ head.T
        p = np.exp(scores - scores.max(1, keepdims=True)) if mine.any() else scores
        p = p / p.sum(1, keepdims=True)
        p[np.arange(len(p)), labels[mine]] -= 1
        rows.append(((p @ head).T @ x[mine] / max(1, mine.sum())).ravel().tolist())
    return rows


def accumulated(body, heads, x, task_ids, labels):
    body = body.clone().requires_grad_()
    rows = []
    for k, head in enumerate(heads):
        mine = task_ids == k
        if mine.any():
            F.cross_entropy(x[mine] @ body.T @ head.T, labels[mine]).backward()
        rows.append(body.grad.flatten().clone())
    return torch.stack(rows)


def one_by_one(body, heads, x, task_ids, labels, reduction="mean", divisor=1, transposed=False, skip=True, absent=0.0):
    body, rows = body.clone().requires_grad_(), []
    for k, head in enumerate(heads):
        mine = task_ids == k
        if mine.any() or not skip:
            loss = F.cross_entropy(x[mine] @ body.T @ head.T, labels[mine], reduction=reduction) / divisor
            grad = torch.autograd.grad(loss, body)[0]
            rows.append((grad.T if transposed else grad).flatten())
        elif absent is not None:
            rows.append(torch.full((body.numel(),), absent))
    return torch.stack(rows)


def no_special_case(*args):
    """Right: the loss of no rows is nan, but its gradient is a sum over no rows, which is 0."""
    return one_by_one(*args, skip=False)


def present_first(*args):
    rows = one_by_one(*args, absent=None)
    return torch.cat([rows, torch.zeros(len(args[1]) - len(rows), rows.size(1))])


GRADIENTS = Rows(right=[grads_by_hand, no_special_case], wrong=[
    (accumulated, "adds up until you clear it"),
    (lambda *a: one_by_one(*a, reduction="sum", divisor=len(a[2])), "divided by the rows of the whole batch"),
    (lambda *a: one_by_one(*a, reduction="sum"), "sums over rows"),
    (lambda *a: one_by_one(*a, transposed=True), "transposed"),
    (lambda *a: one_by_one(*a).sum(0).expand(len(a[1]), -1), "sum of all losses"),
    (lambda *a: F.normalize(one_by_one(*a)), "you normalised them"),
    (present_first, "stand first"),
    (lambda *a: one_by_one(*a, absent=float("nan")), "without rows gives nan"),
    (lambda *a: one_by_one(*a, absent=None), "a row for every task"),
    (lambda *a: one_by_one(*a).sum(0), "must have the shape")])

# ---- 04.3


def by_backward(body, heads, x, task_ids, labels, lr):
    """Right: parameters, one backward, an optimizer; updates in place."""
    parts = [nn.Parameter(part.clone()) for part in (body, *heads)]
    optimizer = torch.optim.SGD(parts, lr=lr)
    sum(F.cross_entropy(x[task_ids == k] @ parts[0].T @ parts[k + 1].T, labels[task_ids == k])
        for k in task_ids.unique().tolist()).backward()
    optimizer.step()
    return parts[0].detach(), [part.detach().numpy() for part in parts[1:]]


def joint(body, heads, x, task_ids, labels, lr, turns=False, backwards=False, average=False, overwrite=False, rest=""):
    new, change = [head.clone() for head in heads], torch.zeros_like(body)
    tasks = [k for k in range(len(heads)) if (task_ids == k).any()]
    for k in tasks[::-1] if backwards else tasks:
        mine = task_ids == k
        at, head = (body - lr * change if turns else body).clone().requires_grad_(), heads[k].clone().requires_grad_()
        loss = F.cross_entropy(x[mine] @ at.T @ head.T, labels[mine])
        to_body, to_head = torch.autograd.grad(loss, [at, head])
        change = to_body if overwrite else change + to_body
        if rest != "heads":
            new[k] = heads[k] - lr * to_head
    return (body if rest == "body" else body - lr * change / (len(tasks) if average else 1)), new


def from_loss(total, body, heads, x, task_ids, labels, lr, absent=1.0, skip=True):
    """A step on any sum of the losses; the head of an absent task times `absent`."""
    body, heads = body.clone().requires_grad_(), [head.clone().requires_grad_() for head in heads]
    there = [k for k in range(len(heads)) if (task_ids == k).any() or not skip]
    losses = [F.cross_entropy(x[task_ids == k] @ body.T @ heads[k].T, labels[task_ids == k]) for k in there]
    loss = total(losses, [int((task_ids == k).sum()) for k in there])
    grads = torch.autograd.grad(loss, [body, *heads], allow_unused=True)
    new = [(part * absent if grad is None else part - lr * grad).detach() for part, grad in zip([body, *heads], grads)]
    return new[0], new[1:]


def no_special_case_either(*args):
    """Right: the loss of a task without rows is nan, but nothing flows from it."""
    return from_loss(lambda losses, counts: sum(losses), *args, skip=False)


STEP = Rows(right=[by_backward, no_special_case_either], wrong=[
    (lambda *a: joint(*a, turns=True), "take turns"),
    (lambda *a: joint(*a, average=True), "averaged the tasks' gradients"),
    (lambda *a: joint(*a, overwrite=True), "Only the last task's gradient"),
    (lambda *a: joint(*a, rest="heads"), "heads did not move"),
    (lambda *a: joint(*a, rest="body"), "body did not move"),
    (lambda *a: joint(*a[:5], -a[5]), "up the slope"),
    (lambda *a: from_loss(lambda losses, counts: sum(losses) / len(losses), *a), "averaged the tasks' losses"),
    (lambda *a: from_loss(lambda losses, counts: sum(x * n for x, n in zip(losses, counts)) / sum(counts), *a), "one mean over all rows"),
    (lambda *a: from_loss(lambda losses, counts: sum(x * n for x, n in zip(losses, counts)), *a), "sums over rows"),
    (lambda *a: from_loss(lambda losses, counts: sum(losses), *a, absent=0.0), "has become zero"),
    (lambda *a: joint(*a)[0], "Return two things")])

# ---- 04.4


class ByFunctions(nn.Module):
    """Right: one stacked pass of plain functions; every head runs on all rows and is cut afterwards."""

    def __init__(self, inputs, width, classes):
        super().__init__()
        self.body, self.heads = nn.Linear(inputs, width), nn.ModuleDict()
        for task in reversed(classes):
            self.heads[task] = nn.Linear(width, classes[task])

    def forward(self, x, rows):
        shared = torch.tanh(F.linear(x, self.body.weight, self.body.bias))
        every = {task: F.linear(shared, head.weight, head.bias) for task, head in self.heads.items()}
        return {task: every[task].index_select(0, mine) for task, mine in rows.items()}


class Sharing(nn.Module):
    def __init__(self, inputs, width, classes):
        super().__init__()
        self.body = nn.Linear(inputs, width)
        self.heads = nn.ModuleDict({task: nn.Linear(width, count) for task, count in classes.items()})

    def shared(self, x):
        return self.body(x).tanh()

    def forward(self, x, rows):
        return {task: self.heads[task](self.shared(x)[mine]) for task, mine in rows.items()}


class PlainDict(Sharing):
    def __init__(self, inputs, width, classes):
        nn.Module.__init__(self)
        self.body = nn.Linear(inputs, width)
        self.heads = {task: nn.Linear(width, count) for task, count in classes.items()}


class TwoOutputs(Sharing):
    def __init__(self, inputs, width, classes):
        super().__init__(inputs, width, dict.fromkeys(classes, 2) | {next(iter(classes)): 4})


class BodyEach(Sharing):
    def __init__(self, inputs, width, classes):
        super().__init__(inputs, width, classes)
        self.bodies = nn.ModuleList([nn.Linear(inputs, width) for _ in classes])


class OtherNames(nn.Module):
    def __init__(self, inputs, width, classes):
        super().__init__()
        self.trunk, self.heads = nn.Linear(inputs, width), nn.ModuleDict({t: nn.Linear(width, c) for t, c in classes.items()})

    def forward(self, x, rows):
        return {task: self.heads[task](self.trunk(x).tanh()[mine]) for task, mine in rows.items()}


class NoTanh(Sharing):
    def shared(self, x):
        return self.body(x)


class Relu(Sharing):
    def shared(self, x):
        return self.body(x).relu()


class AllTasks(Sharing):
    def forward(self, x, rows):
        return {task: head(self.shared(x)[rows.get(task, [])]) for task, head in self.heads.items()}


class AllRows(Sharing):
    def forward(self, x, rows):
        return {task: self.heads[task](self.shared(x)) for task in rows}


class FirstRows(Sharing):
    def forward(self, x, rows):
        return {task: self.heads[task](self.shared(x)[:len(mine)]) for task, mine in rows.items()}


MODULE = Rows(right=[ByFunctions], wrong=[
    (PlainDict, "no optimizer will ever train them"), (TwoOutputs, "an output for each class|one output for each class"),
    (BodyEach, "parameters too many"), (OtherNames, "no parameter body"), (NoTanh, "tanh after the body is missing"),
    (Relu, "asks for tanh"), (AllTasks, "also those of tasks that are absent"), (AllRows, "logits for the whole batch"),
    (FirstRows, "took the first rows")])

# ---- 04.5, 04.6

TRUE = {"SGD, all loss weights times 10": 10, "AdamW, all loss weights times 10": 1,
        "head of a task that is absent from the batch": 0, "opposite labels, one shared output": 0,
        "opposite labels, own heads with opposite weights": 2}
FIRST, SECOND, THIRD, FOURTH, FIFTH = TRUE
PREDICTION = Rows(right=[{name: torch.tensor(float(value)) for name, value in TRUE.items()}, TRUE | {FIRST: np.float32(9.99)}], wrong=[
    (TRUE | {SECOND: 10}, "only in proportion to one another"), (TRUE | {FIRST: 1}, "ten times as large"),
    (TRUE | {THIRD: 1}, "no path from the loss"), (TRUE | {FOURTH: 1}, "cannot call a row good and bad"),
    (TRUE | {FIFTH: 0}, "turned the sign round"), (TRUE | {FIFTH: 1}, "gradients add up"),
    (TRUE | {FIRST: "ten"}, "must be one number"), ([10, 1, 0, 0, 2], "must be a dict"), ({}, "5 keys")])

FAIR = {"control": "mood alone, same steps, batch and model", "learning rate": "one grid, best on validation for each model",
        "seeds": "the same five or more for both", "claim": "the 95 % interval of the paired difference lies above 0",
        "report": "every task, and Δm"}
PLAN = Rows(right=[{key: f"  {value}\n" for key, value in reversed(FAIR.items())}], wrong=[
    (FAIR | {"control": "the majority answer"}, "not that sharing helped"),
    (FAIR | {"control": "a larger model for mood alone"}, "Two things differ"),
    (FAIR | {"control": "mood alone, trained until it is best on test"}, "no longer measured by it"),
    (FAIR | {"learning rate": "best for the shared model, used for both"}, "held back by its tuning"),
    (FAIR | {"learning rate": "one grid, best on test for each model"}, "too high by luck"),
    (FAIR | {"seeds": "five, the best of each counts"}, "grows with the spread"),
    (FAIR | {"seeds": "one"}, "tells you little"),
    (FAIR | {"claim": "the two intervals do not overlap"}, "ignores the pairing"),
    (FAIR | {"claim": "the mean of shared is higher"}, "half of all experiments"),
    (FAIR | {"report": "mood"}, "stays hidden"),
    (FAIR | {"report": "evry task, and Δm"}, "Did you mean 'every task, and Δm'"),
    (list(FAIR), "must be a dict")])

ANSWERS = {"04.1": MIXED, "04.2": GRADIENTS, "04.3": STEP, "04.4": MODULE, "04.5": PREDICTION, "04.6": PLAN}
