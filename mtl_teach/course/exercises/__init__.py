'''The exercises, one module per chapter: ch04.py holds those of chapter 04. How to add one.

**1. The facts and the check** stand in `exercises/chNN.py`, which also says TITLE, NOTEBOOK ("04_hard_sharing", the name
of the notebook in solutions/ and exercises/) and the list EXERCISES, in the order of their ids:

    # ruff: noqa: E501  (tables of prose)
    import torch

    from ..expect import Mistake, compare, expect, expect_close
    from ..registry import Exercise

    def mean_over_tasks(losses, task_ids):                    # an independent reference: plain, slow, sure
        return sum(losses[task_ids == k].mean() for k in task_ids.unique())

    MIXED = [                                                 # what learners really do, and what to tell them
        Mistake(lambda losses, ids: losses.mean(), "You probably averaged over all rows at once, so the big task drowns "
                "the small one.", "Select the rows of one task with `task_ids == k`, then average."),
        Mistake(lambda losses, ids: sum(losses[ids == k].sum() for k in ids.unique()), "You probably added up the rows."),
    ]

    def check_mixed(answer, fresh):
        ids = torch.tensor([0] * fresh.integer(5, 9) + [1] * fresh.integer(1, 2))
        compare(answer, [fresh.uniform(len(ids), low=0.5, high=3), ids], mean_over_tasks,
                says="Each task's loss must be the mean over its own rows.", known=MIXED)
        return "Uneven tasks weigh the same."                 # optional: one sentence for the right answer

    EXERCISES = [Exercise(id="04.1", title="A small task must not drown", answer="mixed_loss",
                          call="mixed_loss(losses, task_ids)", points=2, difficulty=2, importance=5, minutes=10,
                          kind="write a function", check=check_mixed,
                          hints=["What does `losses[task_ids == 0].mean()` give?", "Loop over `task_ids.unique()`."])]

* `answer` is a handle (answers.py), never the learner's object. Call it: `answer(x)`. What goes in and comes out is plain:
  numbers, strings, lists, tuples, dicts, tensors, arrays, mt.Batch, mt.Task. The learner gets copies.
* A class: wants="class"; `layer = answer.build(8, 3)`, `layer(x)`, `layer.call("mix", x)`, `layer.load({"weight": w})`,
  `layer.state()`, `layer.parameters()`. Give parameters names in the text of the exercise, load random weights into them,
  and compare with a reference that gets the same weights.
* Gradients: `answer.gradients(x, wrt=[0], weight=w)["inputs"][0]`. It says itself when the graph was cut.
* If the learner's function must get a model or a callable: props={"reader": make_reader}, and in the check
  `reader = answer.prop("reader", seed=3)`, then `answer(reader, ids)`. `reader.parameters()`, `.state()` look at it after.
  Nested in a list or dict a prop does not travel; let the factory make the list.
* A value ("predict before you run", "design"): wants="value"; `answer.value`. The stub holds `...` where to write.
* Draw from `fresh` (expect.Fresh) only: new inputs each time, the same for the same seed. Choose inputs on which every
  known mistake gives another result than the right one, each time: two rows for the small task, not one, and no ties.
* Look at the form before you compute with what came back: `expect_type(got, dict)`, `expect_shape(got, (B, D), "B, D")`.
  `expect_close(got, want, says=..., why=..., next=...)` and `compare(...)` do it themselves and say what differs.
* `raise Wrong("...{n}...", why=..., next=..., n=3)` for all else. says: what is wrong. why: what you probably did. next:
  what to try. Plain sentences; never a bare assert. A lambda in `Mistake` may fail: then it is not that mistake.
* A right answer in float64, in numpy, in place, or returning a list instead of a tensor is right. Tolerances are for float32.
* A check takes a few milliseconds: small tensors, no training. What must be trained is given as numbers.

**2. The notebook** `solutions/NN_name.ipynb` is edited as text: write `build/text/solutions/NN_name.py`, then
`mtl-teach notebook solutions/NN_name`, `mtl-teach run solutions/NN --inplace`, and `mtl-teach release NN`, which writes
`exercises/NN_name.ipynb` and `course/released/chNN.json` (commit both). See solutions/04_hard_sharing.ipynb. Per exercise:

    # %% mixed-loss-task [markdown]
    # ## 04.1
    #
    # The text. `release` completes the heading with title and facts. Say what goes in and what comes out, with shapes.

    # %% mixed-loss
    def mixed_loss(losses, task_ids):
        """losses (B,), task_ids (B,) long -> a scalar"""
        # >>> solution 04.1
        return sum(losses[task_ids == k].mean() for k in task_ids.unique())
        # <<< solution

    # %% mixed-loss-check tags=["nbval-check-output"]
    mt.check("04.1", mixed_loss)

    # %% mixed-loss-measured tags=["solution"]
    ...measure what the solution is good for; its output becomes part of solution("04.1")...

    # %% mixed-loss-more [markdown] tags=["solution"]
    # What was measured, and what else is worth trying.

The learner gets `...` in place of a region, or the lines after `# --- given` (see release.py): code with a bug, for
"find the bug". The exercises must run from top to bottom with nothing written: call a stub in check cells only.

**3. The companion** `tests/exercise_answers/chNN.py` says for each exercise what must fail, with which words, and what
else must pass; tests/test_course_coverage.py runs it, with 200 random inputs for the right ones:

    ANSWERS = {
        "04.1": Rows(wrong=[(lambda losses, ids: losses.mean(), "big task drowns"), ...],     # three or more
                     right=[numpy_inside, ...]),                                               # one or more
    }

    .venv/bin/python -m pytest -q -x tests/test_course_coverage.py -k "04" -m "not slow"

Break the check once and see the test fail. Then work through it as a learner, wrong answers first, and read the messages.
'''
