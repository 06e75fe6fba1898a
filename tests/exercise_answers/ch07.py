"""Answers to the exercises of chapter 07."""

import copy

import numpy as np
import torch

from . import Rows

# ---- 07.1


def lateral(relu=True, outside=False, scaled=True, last=False, reverse=False, soft=False, early=False):
    def answer(earlier, scale, down, up):
        scale = scale.softmax(0) if soft else scale
        parts = [(h.relu() if early else h) * (s if scaled else 1) for h, s in zip(earlier, scale)]
        if last:
            parts = [torch.zeros_like(h) for h in parts[:-1]] + parts[-1:]
        x = torch.cat(parts[::-1] if reverse else parts, -1) @ down.T
        x = x.relu() if relu and not outside else x
        return (x @ up.T).relu() if outside else x @ up.T
    return answer


def scaled_weights(earlier, scale, down, up):
    """Right: α goes into V, in float64 and numpy."""
    width = earlier[0].size(-1)
    v = down.double().numpy() * np.repeat(scale.double().numpy(), width)
    return np.maximum(np.concatenate([h.double().numpy() for h in earlier], 1) @ v.T, 0) @ up.double().numpy().T


def one_relu_each(earlier, scale, down, up):
    width = earlier[0].size(-1)
    return sum((a * h @ down[:, j * width:(j + 1) * width].T).relu() for j, (a, h) in enumerate(zip(scale, earlier))) @ up.T


def feature_by_feature(earlier, scale, down, up):
    return ((torch.stack(earlier, -1) * scale).flatten(1) @ down.T).relu() @ up.T


def no_way_back(earlier, scale, down, up):
    return (torch.cat([a * h for a, h in zip(scale, earlier)], -1) @ down.T).relu()


LATERAL = Rows(right=[scaled_weights, lateral()], wrong=[
    (lateral(relu=False), "nonlinearity is missing"), (lateral(outside=True), "never be negative"), (lateral(scaled=False), "not used"),
    (lateral(last=True), "Only the newest"), (lateral(reverse=True), "reverse order"), (lateral(soft=True), "softmax"),
    (lateral(early=True), "relu of the columns"), (one_relu_each, "add up first"), (feature_by_feature, "mixed feature by feature"),
    (no_way_back, "U, from W features back to D"), (lambda *a: lateral()(*a).relu(), "second relu"),
    (lambda e, *a: e[-1] + lateral()(e, *a), "own state was added"),
    (lambda e, s, d, u: lateral()(e, s, d, u).mean(0), "shape")])

# ---- 07.2


def freeze(column, grads=True, mode=True, clear=True):
    for parameter in column.parameters():
        parameter.requires_grad_(not grads)
        if clear:
            parameter.grad = None
    if mode:
        column.eval()
    return column


def by_modules(column):
    """Right: module by module, and returns nothing but a number."""
    column.requires_grad_(False).train(False)
    column.zero_grad(set_to_none=True)
    return 0


def half(column):
    freeze(column)
    for parameter in column.parameters():
        parameter.requires_grad_(parameter.ndim < 2)


def shallow(column):
    freeze(column, mode=False)
    column.training = False


def a_copy(column):
    return 0 if freeze(copy.deepcopy(column)) else 1


def wipes(column):
    freeze(column)
    for parameter in column.parameters():
        parameter.data.zero_()


def zeros(column):
    column.requires_grad_(False).eval()
    for parameter in column.parameters():
        parameter.grad.zero_()


FREEZE = Rows(right=[by_modules, freeze, lambda c: freeze(c) and None], wrong=[
    (lambda c: freeze(c, mode=False) and 0, "still in training mode: dropout"), (lambda c: freeze(c, clear=False) and 0, "Old gradients"),
    (lambda c: c.eval() and 0, "All parameters still require"), (half, "Biases and norms"), (shallow, "does not reach the modules inside"), (zeros, "zero, but still there"),
    (a_copy, "froze a copy"), (wipes, "weights have changed")])

# ---- 07.3


class Cache:
    def __init__(self):
        self.store = {}

    def read(self, keys, compute):
        new = [key for key in dict.fromkeys(keys) if key not in self.store]
        if new:
            self.store |= dict(zip(new, compute(new)))
        return torch.stack([self.store[key] for key in keys])


class Matrix:
    """Right: a growing matrix in numpy, and a sorted list of what is new."""

    def __init__(self):
        self.places, self.rows = {}, None

    def read(self, keys, compute):
        new = sorted(set(keys) - set(self.places))
        if new:
            rows = np.asarray(compute(new))
            self.rows = rows if self.rows is None else np.concatenate([self.rows, rows])
            self.places |= {key: len(self.places) + i for i, key in enumerate(new)}
        return self.rows[[self.places[key] for key in keys]]


class Whole(Cache):
    def read(self, keys, compute):
        if any(key not in self.store for key in keys):
            keys_once = list(dict.fromkeys(keys))
            self.store |= dict(zip(keys_once, compute(keys_once)))
        return torch.stack([self.store[key] for key in keys])


class Forgets(Cache):
    def read(self, keys, compute):
        self.store = {}
        return super().read(keys, compute)


class Twice(Cache):
    def read(self, keys, compute):
        new = [key for key in keys if key not in self.store]
        if new:
            self.store |= dict(zip(new, compute(new)))
        return torch.stack([self.store[key] for key in keys])


class OneByOne(Cache):
    def read(self, keys, compute):
        for key in keys:
            if key not in self.store:
                self.store[key] = compute([key])[0]
        return torch.stack([self.store[key] for key in keys])


class AlwaysAsks(Cache):
    def read(self, keys, compute):
        new = [key for key in dict.fromkeys(keys) if key not in self.store]
        self.store |= dict(zip(new, compute(new)))
        return torch.stack([self.store[key] for key in keys])


class StoredOrder(Cache):
    def read(self, keys, compute):
        super().read(keys, compute)
        return torch.stack([self.store[key] for key in sorted(keys)])


class DropsTwins(Cache):
    def read(self, keys, compute):
        super().read(keys, compute)
        return torch.stack([self.store[key] for key in dict.fromkeys(keys)])


class OneForAll(Cache):
    shared: dict = {}

    def __init__(self):
        self.store = self.shared


class Batches(Cache):
    def read(self, keys, compute):
        if tuple(keys) not in self.store:
            self.store[tuple(keys)] = compute(keys)
        return self.store[tuple(keys)]


CACHE = Rows(right=[Cache, Matrix], wrong=[
    (Whole, "made you compute the whole batch"), (Forgets, "nothing is kept"), (Twice, "computed twice"), (OneByOne, "called 3 times|times for one batch"),
    (AlwaysAsks, "though every text is known"), (StoredOrder, "another order|vector of keys"), (DropsTwins, "shape|two rows"),
    (OneForAll, "all caches share it"), (Batches, "whole batches are kept"), (Cache(), "object of the class Cache")])

# ---- 07.4


def size(scales=True, up=True, one=False, first=False, inner=None, deep=True, laterals=True):
    def answer(tasks, body, depth, width, bottleneck):
        total, w = tasks * body, width if inner else bottleneck
        for k in range(0 if first else 1, tasks if laterals else 0):
            j = min(k, 1) if one else k
            total += (depth if deep else 1) * (j * scales + w * j * width + w * width * up)
        return total
    return answer


def closed_form(tasks, body, depth, width, bottleneck):
    pairs = tasks * (tasks - 1) / 2
    return np.float64(tasks * body + depth * (pairs * (1 + bottleneck * width) + (tasks - 1) * bottleneck * width))


def columns(first=1, last=0, up="one", alphas="all", biases=False, body_each=1, only=False):
    """Counting column by column, with one slip each."""
    def answer(tasks, body, depth, width, bottleneck):
        total = tasks * body * (depth if body_each > 1 else 1)
        for k in [tasks - 1] if only else range(first, tasks + last):
            alpha = {"all": depth * k, "per block": depth, "per column": k}[alphas]
            total += alpha + depth * (bottleneck * k * width + width * bottleneck * (k if up == "each" else 1))
            total += depth * (bottleneck + width) if biases else 0
        return total
    return answer


SIZE = Rows(right=[closed_form, size()], wrong=[
    (size(scales=False), "scales α are missing"), (size(up=False), "U back up is missing"), (size(one=True), "not only the one before"),
    (size(first=True), "first column has nothing to read"), (size(inner=True), "W features, not D"), (size(laterals=False), "laterals are missing"),
    (size(deep=False), "at every block"), (columns(up="each"), "has one U"), (columns(last=1), "one too far"), (columns(only=True), "Only the last"),
    (columns(alphas="per block"), "One scale per block"), (columns(alphas="per column"), "scales of its own"), (columns(biases=True), "biases"),
    (columns(body_each=2), "a whole body"), (lambda t, b, *a: [columns()(k + 1, b, *a) - columns()(k, b, *a) for k in range(t)], "one by one")])

# ---- 07.5

TRUE = dict(zip(("largest change in the first task's logits after four more tasks", "columns that a text of the fourth task passes, no cache",
                 "columns that run for it in training when its earlier ones are cached", "columns that a text of the first task passes, of four",
                 "share of the four bodies' weights that train while the fourth task is learned", "pairs (reader, read) among five columns"),
                (0, 4, 1, 1, 0.25, 10)))
A, B, C, D, E, G = TRUE
PREDICTION = Rows(right=[{key: np.float32(value) for key, value in TRUE.items()}, TRUE | {E: torch.tensor(0.25)}], wrong=[
    (TRUE | {A: 0.01}, "same bits"), (TRUE | {B: 1}, "must run too"), (TRUE | {C: 4}, "can be kept"), (TRUE | {D: 4}, "do not read later ones"),
    (TRUE | {E: 1}, "Three of the four are frozen"), (TRUE | {G: 20}, "one way"), (TRUE | {E: 25}, "between 0 and 1"), (TRUE | {G: 5}, "for each reader"),
    (TRUE | {B: "4"}, "without quotes"),  ({}, "6 keys")])

ANSWERS = {"07.1": LATERAL, "07.2": FREEZE, "07.3": CACHE, "07.4": SIZE, "07.5": PREDICTION}
