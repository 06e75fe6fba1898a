"""Task arithmetic and TIES: against exact small cases, an independent numpy version, and peft where it agrees."""

import numpy as np
import pytest
import small_models as sm
import torch

import mtl_teach as mt
from mtl_teach.merging import add, body_weights, combine, flat, merge, task_vector, ties, trim
from mtl_teach.tasks import TaskError

QUICK = dict(steps=5, lr=1e-2, batch_size=8, progress=False)


def numpy_ties(rows, keep):
    """The algorithm of the paper, entry by entry; without ties of magnitude."""
    rows = rows.double().numpy()
    kept = round(keep * rows.shape[1])
    trimmed = np.zeros_like(rows)
    for row, out in zip(rows, trimmed):
        largest = np.argsort(-np.abs(row))[:kept]
        out[largest] = row[largest]
    merged = np.zeros(rows.shape[1])
    for place in range(rows.shape[1]):
        column = trimmed[:, place]
        positive, negative = column[column > 0].sum(), -column[column < 0].sum()
        if positive != negative:
            chosen = column[column > 0] if positive > negative else column[column < 0]
            merged[place] = chosen.mean()
    return merged


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("keep", [0.1, 0.25, 0.5, 1.0])
def test_ties_is_the_paper_s_algorithm(seed, keep):
    rows = torch.randn(4, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert np.allclose(ties(rows, keep), numpy_ties(rows, keep), atol=1e-12)


def test_ties_on_numbers_small_enough_to_check_by_eye():
    rows = torch.tensor([[3.0, 1.0, -2.0, 0.1],
                         [1.0, -4.0, -0.1, 0.2],
                         [-2.0, 2.0, -6.0, 0.3]])
    # all kept: column sums 2, -1, -8.1, 0.6 elect +, -, -, +; the means of those that agree
    assert torch.allclose(ties(rows, 1.0), torch.tensor([2.0, -4.0, -2.7, 0.2]))
    # half kept: [3, 0, -2, 0], [1, -4, 0, 0], [-2 or 2 loses, 0, -6, 0] -> column 1 sums to 3 + 1 - 2 = 2
    assert torch.allclose(ties(rows, 0.5), torch.tensor([2.0, -4.0, -4.0, 0.0]))


def test_an_elected_sign_of_zero_gives_zero():
    from peft.utils.merge_utils import ties as theirs
    rows = torch.tensor([[2.0, 5.0], [-2.0, 5.0]])
    assert ties(rows, 1.0).tolist() == [0.0, 5.0]
    with pytest.warns(UserWarning, match="density"):
        assert theirs(list(rows), torch.ones(2), 1.0).tolist() == [2.0, 5.0]     # peft elects +, as our docstring says


def test_trim_ranks_the_whole_vector_and_keeps_an_exact_number():
    rows = torch.tensor([[5.0, -5.0, 5.0, 5.0], [1.0, 2.0, -3.0, 4.0]])
    assert trim(rows, 0.5).tolist() == [[5.0, -5.0, 0.0, 0.0], [0.0, 0.0, -3.0, 4.0]]
    big = {"a": torch.full((2, 2), 10.0), "b": torch.full((4,), 0.1)}            # a small layer loses against a large one
    other = {"a": torch.zeros(2, 2), "b": torch.zeros(4)}
    merged = combine([big, other], "ties", keep=0.5)
    assert merged["a"].eq(10).all() and merged["b"].eq(0).all()


@pytest.mark.parametrize("seed", range(3))
def test_one_weight_matrix_is_merged_as_peft_does(seed):
    from peft.utils.merge_utils import task_arithmetic
    from peft.utils.merge_utils import ties as theirs
    rows = torch.randn(3, 64, generator=torch.Generator().manual_seed(seed))
    for keep in (0.25, 0.5):
        assert torch.allclose(ties(rows, keep), theirs(list(rows), torch.ones(3), keep), atol=1e-6)
    vectors = [{"w": row.view(8, 8)} for row in rows]
    assert torch.allclose(combine(vectors, "sum")["w"].flatten(), task_arithmetic(list(rows), torch.ones(3)), atol=1e-6)


def test_ties_of_equal_vectors_is_the_vector_and_order_does_not_matter():
    rows = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ties(rows[:1].repeat(4, 1), 1.0), rows[0])
    assert torch.allclose(ties(rows, 0.3), ties(rows[[2, 0, 1]], 0.3), atol=1e-7)
    assert torch.allclose(ties(7 * rows, 0.3), 7 * ties(rows, 0.3), atol=1e-5)


# ---- on models ------------------------------------------------------------------------------------------------------

@pytest.fixture(params=sm.ARCHITECTURES)
def trained(request):
    """(start, tasks, two models that moved away from it)"""
    start, tasks = sm.backbone(request.param), sm.task_set(16, kinds=("classify", "regress"))
    models = []
    for name in tasks:
        model = mt.HardSharing(start.clone(), tasks.only(name))
        mt.fit(model, tasks.only(name), **QUICK)
        models.append(model.eval())
    return start, tasks, models


def logits(model, tasks, name):
    return torch.cat([model(batch)[name].logits for _, _, batch in mt.batching.eval_batches(
        tasks[name].task, tasks[name].test, model.backbone.tokenizer)])


def test_one_model_merged_is_that_model(trained, tmp_path):
    start, tasks, models = trained
    for how in ("sum", "mean", "ties"):
        again = merge(start, models[:1], how, keep=1.0)
        assert torch.allclose(logits(again, tasks, "mood"), logits(models[0], tasks, "mood"), atol=1e-5)
    loaded = mt.load_model(again.save_pretrained(tmp_path / "merged"))
    assert torch.equal(logits(loaded, tasks, "mood"), logits(again, tasks, "mood"))


def test_sum_and_mean_are_what_they_say(trained):
    start, tasks, models = trained
    weights, (a, b) = body_weights(start), [body_weights(model) for model in models]
    summed, mean = merge(start, models, "sum", scale=0.5), merge(start, models, "mean")
    for name, w in body_weights(summed).items():
        assert torch.allclose(w, weights[name] + 0.5 * (a[name] - weights[name] + b[name] - weights[name]), atol=1e-6)
    for name, w in body_weights(mean).items():
        assert torch.allclose(w, (a[name] + b[name]) / 2, atol=1e-6)
    assert list(summed.tasks) == ["mood", "stars"]
    for model, name in zip(models, tasks):
        assert torch.equal(summed.head(name).linear.weight, model.head(name).linear.weight)


def test_scale_0_is_the_start_and_negation_goes_back(trained):
    start, tasks, models = trained
    before = {name: w.clone() for name, w in body_weights(start).items()}
    vector = task_vector(start, models[0])
    assert all(torch.equal(w, before[name]) for name, w in body_weights(merge(start, models, scale=0.0)).items())
    back = add(models[0], vector, -1.0)
    assert all(torch.allclose(w, before[name], atol=1e-6) for name, w in body_weights(back).items())
    assert all(torch.equal(w, before[name]) for name, w in body_weights(start).items())
    assert flat(vector).numel() == sum(w.numel() for w in before.values())


def test_bad_input_says_what_to_do(trained):
    start, tasks, models = trained
    rows = torch.ones(2, 4)
    for wrong, words in ((lambda: merge(start, [models[0], models[0]]), "two of the models have a task 'mood'"),
                         (lambda: merge(start, models, "tise"), "Did you mean 'ties'"),
                         (lambda: merge(start, []), "at least one task vector"),
                         (lambda: ties(rows, 0.0), "above 0 and at most 1"),
                         (lambda: add(start, {"nonsense": rows}), "does not fit"),
                         (lambda: task_vector("tiny", models[0]), "does not come from this start"),
                         (lambda: task_vector(start, mt.PeftSharing(start, tasks)), r"model.merge\(\)"),
                         (lambda: merge(start, [mt.SingleTask(start, tasks)]), "takes HardSharing models")):
        with pytest.raises(TaskError, match=words):
            wrong()
