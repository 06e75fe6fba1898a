"""Exercises of chapter 04, hard sharing."""

# ruff: noqa: E501  (tables of prose)

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from ..expect import Mistake, Wrong, compare, compare_predictions, expect, expect_close, expect_type, numbers
from ..registry import Exercise

TITLE, NOTEBOOK = "Hard sharing", "04_hard_sharing"


# ---- 04.1 mixed_loss --------------------------------------------------------------------------------------------------

def own_means(losses, ids, weights):
    """Row by row in Python: nothing in it can average over the wrong axis."""
    total = 0.0
    for k in range(len(weights)):
        mine = [losses[i] for i in range(len(ids)) if ids[i] == k]
        total = total + (weights[k] * sum(mine) / len(mine) if mine else 0.0)
    return total


DROWNS = ("You probably averaged over all rows at once, so the big task drowns the small one.",
          "Select the rows of one task with `task_ids == k`, then average.")
MIXED = [
    Mistake(lambda x, ids, w: x.mean(), *DROWNS),
    Mistake(lambda x, ids, w: (x * w[ids]).mean(), *DROWNS),
    Mistake(lambda x, ids, w: (x * w[ids]).sum() / w[ids].sum(), *DROWNS),
    Mistake(lambda x, ids, w: (x * w[ids]).sum(), "You probably added up the rows of a task. Then a task weighs as much as it "
            "has rows.", "Divide each task's sum by the number of its own rows."),
    Mistake(lambda x, ids, w: own_means(x, ids, torch.ones_like(w)), "The weights of the tasks were left out.",
            "Multiply each task's mean with `weights[k]`."),
    Mistake(lambda x, ids, w: own_means(x, ids, w) / len(w), "You divided by the number of tasks. The loss is a weighted sum: "
            "in a mean, every further task would shrink the others.", "Add the weighted means; do not average them."),
    Mistake(lambda x, ids, w: own_means(x, ids, w) / len(ids.unique()), "You divided by the number of tasks in the batch. The "
            "loss is a weighted sum.", "Add the weighted means; do not average them."),
    Mistake(lambda x, ids, w: own_means(x, ids, w) / w.sum(), "You divided by the sum of the weights.",
            "The formula has no divisor outside of the tasks' own means."),
]


def check_mixed(answer, fresh):
    says = "Each task's loss must be the mean over its own rows; then the weighted means are added."
    for big, small in ((0, 1), (2, 0)):                               # the second batch lacks task 1
        counts = {big: fresh.integer(6, 12), small: fresh.integer(2, 3)}
        ids = torch.tensor(fresh.shuffled([k for k, n in counts.items() for _ in range(n)]))
        losses = fresh.uniform(len(ids), low=0.2, high=1.0) + 2.0 * (ids == small)
        weights = fresh.uniform(max(counts) + 1, low=0.5, high=2.0)
        if big == 2:
            _absent_task(answer, losses, ids, weights)
        compare(answer, [losses, ids, weights], own_means, says, known=MIXED)
    grad = answer.gradients(losses, ids, weights, wrt=[0])["inputs"][0]
    share = torch.stack([weights[k] / counts[k] for k in ids.tolist()])
    expect_close(grad, share, "The gradient for a row must be its task's weight over the number of that task's rows.")
    return "Two rows or twelve: each task weighs what you say it should."


def _absent_task(answer, *args):
    got = numbers(answer(*args))
    expect(got is None or not np.isnan(got).any(), "With a task that is absent from the batch the loss is nan.",
           "The mean of no rows is 0/0, and one nan makes the whole loss nan.",
           "Skip tasks without rows: loop over `task_ids.unique()`, or ask `mine.any()`.")


# ---- 04.2 task_gradients ----------------------------------------------------------------------------------------------

def problem(fresh, absent=True):
    """(body (D, F), heads [(C_k, D)], x (B, F), task_ids (B,), labels (B,)); three tasks of 2, 3 and 2 classes."""
    counts = [fresh.integer(5, 8), fresh.integer(2, 3)]
    counts.insert(fresh.integer(0, 1) if absent else 2, 0 if absent else 2)             # who is absent is not the last: its row must show
    ids = torch.tensor(fresh.shuffled([k for k, n in enumerate(counts) for _ in range(n)]))
    heads = [fresh.normal(classes, 3, scale=0.6) for classes in (2, 3, 2)]
    labels = torch.tensor([fresh.integer(0, len(heads[k]) - 1) for k in ids.tolist()])
    return [fresh.normal(3, 4), heads, fresh.normal(len(ids), 4), ids, labels]


def by_formula(body, heads, x, ids, labels, divisor=None):
    """(K, D * F) without autograd: d loss / d logits = (softmax - one hot) / n, then the chain rule."""
    rows = []
    for k, head in enumerate(heads):
        mine = ids == k
        p = (x[mine] @ body.T @ head.T).softmax(-1)                                      # (n, C)
        wrong = (p - F.one_hot(labels[mine], len(head))) / (divisor or max(1, int(mine.sum())))
        rows.append((wrong @ head).T @ x[mine])                                          # (D, F)
    return torch.stack(rows).flatten(1)


GRADIENTS = [
    Mistake(lambda *a: by_formula(*a).cumsum(0), "Each row holds the gradients of the tasks before it too: `.grad` adds up until "
            "you clear it.", "Use torch.autograd.grad(loss, body), or clear `.grad` before each backward."),
    Mistake(lambda *a: torch.stack(sorted(by_formula(*a), key=lambda row: not row.any())), "The rows of the tasks in the batch stand first, "
            "whatever their numbers.", "Row k belongs to task k: `grads[k] = ...`."),
    Mistake(lambda *a: by_formula(*a, divisor=len(a[2])), "Each task's loss was divided by the rows of the whole batch.",
            "F.cross_entropy of a task's own rows already is their mean."),
    Mistake(lambda *a: by_formula(*a, divisor=1), "The losses are sums over rows here.",
            "F.cross_entropy of a task's own rows is their mean; leave `reduction` alone."),
    Mistake(lambda *a: by_formula(*a).sum(0).expand(len(a[1]), -1), "Every row is the gradient of the sum of all losses.",
            "Take the gradient of one task's loss at a time."),
    Mistake(lambda *a: by_formula(*a).unflatten(1, (3, 4)).mT.flatten(1), "The numbers of a row stand in the order of the "
            "transposed matrix.", "Flatten the gradient as it comes: it has the shape of `body`."),
    Mistake(lambda *a: F.normalize(by_formula(*a)), "The rows have length 1: you normalised them.",
            "Return the gradients as they are; their lengths matter."),
]


def check_gradients(answer, fresh):
    for absent in (False, True):
        args = problem(fresh, absent)
        if absent:
            got = answer(*args)
            expect_type(got, "tensor")
            expect(not np.isnan(numbers(got)).any(), "A task without rows gives nan.", "The mean of no rows is 0/0.",
                   "Leave its row at zero.")
            expect(len(numbers(got)) == 3, "Give a row for every task, also for one without rows (zeros).",
                   next="Begin with `torch.zeros(len(heads), body.numel())`.")
        compare(answer, args, by_formula, "Row k must be the gradient of task k's own loss with respect to the body.",
                known=GRADIENTS, axes="K tasks, D * F weights")
    return "The sum of your rows is the gradient of the joint loss: what agrees adds up, what disagrees cancels."


# ---- 04.3 joint_step --------------------------------------------------------------------------------------------------

def step(body, heads, x, ids, labels, lr, mode="joint"):
    """One step of gradient descent by formula; the modes are what goes wrong."""
    new_heads, change = [head * (mode != "absent heads go") for head in heads], torch.zeros_like(body)
    order = range(len(heads))
    for k in order:
        mine = ids == k
        if mine.any():
            at = body - lr * change if mode == "turns" else body
            p = (x[mine] @ at.T @ heads[k].T).softmax(-1)
            wrong = (p - F.one_hot(labels[mine], len(heads[k]))) / mine.sum()
            new_heads[k] = heads[k] - lr * wrong.T @ (x[mine] @ at.T) * (mode != "heads rest")
            mine_change = (wrong @ heads[k]).T @ x[mine]
            change = mine_change if mode == "last wins" else change + mine_change
    count = len(ids.unique()) if mode == "mean" else 1
    return [body - lr * change / count * (mode != "body rests"), new_heads]


def step_with(weight, body, heads, x, ids, labels, lr):
    """One step on the sum of the losses, each times weight(rows of the task, rows, tasks in the batch)."""
    factors = [weight(int((ids == k).sum()), len(ids), len(ids.unique())) for k in range(len(heads))]
    parts = [step(body, heads, x[ids == k], ids[ids == k], labels[ids == k], lr * factor) for k, factor in enumerate(factors)]
    return [body + sum(part[0] - body for part in parts), [part[1][k] for k, part in enumerate(parts)]]


STEPS = [
    Mistake(lambda *a: step(*a, "turns"), "The tasks still take turns: the second one sees a body that the first has already "
            "moved, and the result depends on their order.", "Compute all gradients at the old body first, then move it once."),
    Mistake(lambda *a: step(*a, "mean"), "You averaged the tasks' gradients. The loss is their sum.", "Add them."),
    Mistake(lambda *a: step_with(lambda n, rows, tasks: 1 / tasks, *a), "You averaged the tasks' losses. The loss is their sum.", "Add them."),
    Mistake(lambda *a: step_with(lambda n, rows, tasks: n / rows, *a), "That is one mean over all rows: a task weighs as much as it has rows.",
            "Each task's loss is the mean over its own rows; then add them."),
    Mistake(lambda *a: step_with(lambda n, rows, tasks: n, *a), "The losses are sums over rows; each should be the mean over its own rows.",
            "Leave `reduction` of F.cross_entropy alone."),
    Mistake(lambda *a: step(*a, "absent heads go"), "The head of the task without rows has become zero.", "It keeps its weights: return it as it was."),
    Mistake(lambda *a: step(*a, "heads rest"), "The heads did not move.", "Each head takes a step along its own gradient."),
    Mistake(lambda *a: step(*a, "body rests"), "The body did not move.", "Subtract lr times the sum of the gradients."),
    Mistake(lambda *a: step(*a, "last wins"), "Only the last task's gradient reached the body; the others were overwritten.",
            "Collect the gradients with +=, or take the gradient of the sum of the losses."),
    Mistake(lambda *a: step(*a[:5], -a[5]), "You went up the slope.", "Subtract the gradient."),
]


def check_step(answer, fresh):
    def answered(*args):
        got = answer(*args)
        expect(isinstance(got, (tuple, list)) and len(got) == 2, "Return two things: the body, and the list of heads.")
        return [got[0], list(got[1])]
    for absent in (False, True):
        args = [*problem(fresh, absent), 2.0]                         # large steps: taking turns must show
        says = "All tasks must start from the same body, and move it together."
        if absent:
            says = "A task without rows in the batch has no part in the step, and its head stays as it is."
        compare(answered, args, step, says, known=STEPS)
    return "The order of the tasks no longer matters."


# ---- 04.4 TinySharing -------------------------------------------------------------------------------------------------

def check_module(answer, fresh):
    classes = dict(zip(fresh.sample(["mood", "topic", "speaker", "urgency"], 3), fresh.sample([2, 3, 5], 3)))
    model = answer.build(4, 6, classes)
    has, wanted = model.parameters(), {"body.weight": [6, 4], "body.bias": [6]}
    for task, count in classes.items():
        wanted |= {f"heads.{task}.weight": [count, 6], f"heads.{task}.bias": [count]}
    _parameters(has, wanted)
    state = {name: fresh.normal(*shape) for name, shape in wanted.items()}
    model.load(state)
    x, (first, second, _) = fresh.normal(7, 4), classes
    rows = {first: torch.tensor([0, 2, 3, 6]), second: torch.tensor(fresh.sample([1, 2, 4, 5], 2))}
    _outputs(model, state, x, rows)


def _parameters(has, wanted):
    heads = [name for name in wanted if name.startswith("heads")]
    if not any(name in has for name in heads) and "body.weight" in has:
        raise Wrong("The heads' weights are not among the model's parameters, so no optimizer will ever train them.",
                    "A plain dict or list hides modules from nn.Module.", "Keep them in `self.heads = nn.ModuleDict({...})`.")
    missing = [name for name in wanted if name not in has]
    extra = [name for name in has if name not in wanted]
    expect(not missing, "The model has no parameter {name}.", next="Call the shared layer `body`, and keep the heads in a "
           "ModuleDict `heads` by task name; both are nn.Linear with bias.", name=missing[0] if missing else "")
    expect(not extra, "There are parameters too many: {names}.", "One body serves all tasks, and each task has one linear head.",
           names=", ".join(extra[:4]))
    for name, shape in wanted.items():
        expect(has[name]["shape"] == shape, "{name} must have the shape {want}; yours has {got}.",
               "A head needs one output for each class of its own task." if name.startswith("heads") else
               "The body maps `inputs` numbers to `width`.", name=name, want=str(shape), got=str(has[name]["shape"]))


def _outputs(model, state, x, rows):
    got = model(x, rows)
    expect_type(got, dict)
    expect(set(got) == set(rows), "Give logits for the tasks that are in `rows`: {want}. You gave {found}.",
           "Perhaps you loop over all heads, also those of tasks that are absent.", "Loop over `rows.items()`.",
           want=sorted(rows), found=sorted(map(str, got)))

    def logits(task, shared):
        return shared @ state[f"heads.{task}.weight"].T + state[f"heads.{task}.bias"]
    raw = x @ state["body.weight"].T + state["body.bias"]
    for task in rows:
        compare(got.get, [task], lambda task: logits(task, raw.tanh())[rows[task]], "The logits of a task must come from its own "
                "rows and its own head.", axes="own rows, classes", name=f"[{task!r}]", known=[
            Mistake(lambda task: logits(task, raw)[rows[task]], "The tanh after the body is missing: two linear layers in a row "
                    "are one.", "`shared = self.body(x).tanh()`"),
            Mistake(lambda task: logits(task, raw.relu())[rows[task]], "That is relu; the text asks for tanh.",
                    "`shared = self.body(x).tanh()`"),
            Mistake(lambda task: logits(task, raw.tanh())[:len(rows[task])], "You took the first rows of the batch; the task's "
                    "rows stand in `rows[task]`.", "`self.heads[task](shared[rows[task]])`"),
            Mistake(lambda task: logits(task, raw.tanh()), "You gave logits for the whole batch. A head answers for its own "
                    "rows: `shared[rows[task]]`.")])


# ---- 04.5 prediction --------------------------------------------------------------------------------------------------

KEYS = ("SGD, all loss weights times 10", "AdamW, all loss weights times 10", "head of a task that is absent from the batch",
        "opposite labels, one shared output", "opposite labels, own heads with opposite weights")
PREDICTED = {
    KEYS[0]: {1.0: "SGD moves by lr times the gradient, and the gradient of a loss ten times as large is ten times as large."},
    KEYS[1]: {10.0: "AdamW divides each gradient by its own running size: ten times the gradient, ten times the divisor. Loss "
                    "weights matter to AdamW only in proportion to one another."},
    KEYS[2]: {1.0: "No row of the task, no path from the loss to its head: it gets no gradient (weight decay aside)."},
    KEYS[3]: {1.0: "One output cannot call a row good and bad: at a logit of 0 the two gradients are opposite and equal.",
              2.0: "The two tasks pull the one output in opposite directions."},
    KEYS[4]: {0.0: "The second head has turned the sign round, so what it asks of the body is the same as the first one: the "
                   "gradients agree.",
              1.0: "Both tasks ask the same of the body, and gradients add up."},
}


def truth(fresh) -> dict:
    """Measured, not recalled: first updates of a body of 3 weights under a logistic loss."""
    x, y, head = fresh.normal(8, 3), (fresh.uniform(8) > 0.5).float(), float(fresh.number(0.5, 1.5))

    def update(optimizer, heads, labels, scale=1.0):
        body = torch.zeros(3, requires_grad=True)
        chosen = optimizer([body], lr=0.01)
        loss = sum(F.binary_cross_entropy_with_logits(h * (x @ body), lab) for h, lab in zip(heads, labels))
        (scale * loss).backward()
        chosen.step()
        return body.detach()

    def ratio(a, b):
        return float(a.norm() / b.norm())
    adam = lambda body, lr: torch.optim.AdamW(body, lr=lr, weight_decay=0.0)             # noqa: E731
    sgd = torch.optim.SGD
    one, one_adam = update(sgd, [head], [y]), update(adam, [head], [y])
    return dict(zip(KEYS, (ratio(update(sgd, [head], [y], 10), one), ratio(update(adam, [head], [y], 10), one_adam), 0.0,
                           ratio(update(sgd, [head, head], [y, 1 - y]), one),
                           ratio(update(sgd, [head, -head], [y, 1 - y]), one))))


def check_prediction(answer, fresh):
    compare_predictions(answer.value, truth(fresh), PREDICTED, "Write down the first step of the optimizer with its gradient, and put "
                        "the factor in.", tolerance=0.02)                                  # AdamW's first step is 1 but for its epsilon
    return "All five as measured."


# ---- 04.6 plan --------------------------------------------------------------------------------------------------------

OPTIONS = {
    "control": {
        "mood alone, same steps, batch and model": "",
        "mood alone, trained until it is best on test": "Test rows choose the control here. Whatever is chosen by the test is no "
                                                        "longer measured by it.",
        "the majority answer": "Beating the majority shows that something was learned, not that sharing helped.",
        "a larger model for mood alone": "Two things differ then, sharing and size, and you cannot tell which one did it."},
    "learning rate": {
        "one grid, best on validation for each model": "",
        "best for the shared model, used for both": "The control runs at a rate that suits another model. A rival held back by "
                                                    "its tuning proves nothing.",
        "one grid, best on test for each model": "The best of several test scores is too high by luck, for both. Choose on "
                                                 "validation rows.",
        "the default": "A default may suit one of the two by accident."},
    "seeds": {
        "the same five or more for both": "",
        "one": "One pair of runs tells you little: single runs of `mood` differ by many points.",
        "five, the best of each counts": "The best of five grows with the spread of a method, not with its quality.",
        "five for shared, five others for alone": "It can be done, but the luck of the draw (lexicon, rows) no longer cancels in "
                                                  "the difference, and the interval gets wider than it need be."},
    "claim": {
        "the 95 % interval of the paired difference lies above 0": "",
        "the mean of shared is higher": "It is higher in half of all experiments in which nothing helps.",
        "the two intervals do not overlap": "Too strict, and it ignores the pairing: intervals of paired runs may overlap though "
                                            "every single difference is positive.",
        "shared wins in three of five seeds": "That happens to a coin in half of all cases."},
    "report": {
        "every task, and Δm": "",
        "mood": "What `returns` loses stays hidden. Sharing moves the same weights for all.",
        "the average accuracy": "An average over tasks of different metrics and difficulty hides a loss in one behind a gain "
                                "in another."},
}


ADVICE = {"control": "Between the two models one thing may differ, that which you want to know.",
          "learning rate": "Both sides get the same search, and test rows have no part in it.",
          "seeds": "Ask of each: can luck with one seed decide, and does it hit both sides alike?",
          "claim": "Take each option to an experiment in which sharing does nothing, and to one in which it helps a little. What would it "
                   "report?",
          "report": "Think of those who use the other task."}


def check_plan(answer, fresh):
    got = answer.value
    expect_type(got, dict)
    expect(set(got) == set(OPTIONS), "Keep the five keys as they were given: {keys}.", keys=", ".join(OPTIONS))
    for key, options in OPTIONS.items():
        choice = " ".join(got[key].split()) if isinstance(got[key], str) else got[key]
        if choice not in options:
            from ...tasks import nearest
            raise Wrong("{key}: {choice} is none of the options.", next="Copy one from the text.{near}", key=key,
                        choice=repr(choice), near=nearest(str(choice), options).split(" Known")[0])
        expect(not options[choice], "{key}: not {choice}.", options[choice], ADVICE[key], key=key, choice=repr(choice))
    return "A reader can believe this one, whichever way it comes out."


EXERCISES = [
    Exercise(
        id="04.1", title="A small task must not drown", answer="mixed_loss", call="mixed_loss(losses, task_ids, weights)",
        points=2, difficulty=2, importance=5, minutes=10, check=check_mixed,
        hints=["What does `losses[task_ids == 0].mean()` give you?",
               "Loop over the tasks that are there: `for k in task_ids.unique()`.",
               "Add up `weights[k] * losses[task_ids == k].mean()`."]),
    Exercise(
        id="04.2", title="What each task tells the body", answer="task_gradients",
        call="task_gradients(body, heads, x, task_ids, labels)", points=3, difficulty=3, importance=5, minutes=20,
        check=check_gradients,
        hints=["Make a copy of the body that wants a gradient: `body.clone().requires_grad_()`.",
               "The loss of task k: `F.cross_entropy(x[mine] @ body.T @ heads[k].T, labels[mine])`.",
               "`torch.autograd.grad(loss, body)[0]` has the shape of the body and adds nothing up. Flatten it into row k."]),
    Exercise(
        id="04.3", title="Find the bug: together, or in turns?", answer="joint_step", kind="find the bug",
        call="joint_step(body, heads, x, task_ids, labels, lr)", points=2, difficulty=3, importance=4, minutes=15,
        check=check_step,
        hints=["Swap the two tasks. Does the code give the same body?", "Which body does the second task see?",
               "Collect the gradients in the loop. Move the body once, after it."]),
    Exercise(
        id="04.4", title="Hard sharing as a module", answer="TinySharing", wants="class", kind="write a module",
        call="TinySharing(inputs, width, classes)", points=3, difficulty=2, importance=5, minutes=15, check=check_module,
        hints=["`nn.ModuleDict` is a dict whose modules are found by the optimizer.",
               "`shared = self.body(x).tanh()` once, then `self.heads[task](shared[rows])` for each task in `rows`."]),
    Exercise(
        id="04.5", title="Predict: by which factor?", answer="prediction", wants="value", kind="predict", call="prediction",
        points=2, difficulty=3, importance=4, minutes=10, check=check_prediction,
        hints=["SGD: the step is lr times the gradient. AdamW, first step: lr times the gradient over its own size.",
               "For the last two, write down the gradient of both tasks at the body, with the sign of the head in it."]),
    Exercise(
        id="04.6", title="Design an experiment that can say no", answer="plan", wants="value", kind="design", call="plan",
        points=2, difficulty=2, importance=5, minutes=15, check=check_plan,
        hints=["For each option: would it still report a gain if sharing did nothing?",
               "A fair control differs in one thing. What is chosen by the test set is not measured by it."]),
]
