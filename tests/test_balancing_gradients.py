"""Gradient methods against closed forms, exhaustive search, literal loops over vectors, and what they promise."""

import itertools

import numpy as np
import pytest
import torch

import mtl_teach as mt
from mtl_teach.balancing import GRADIENTS, External, as_gradients
from mtl_teach.balancing.gradients import gramian
from mtl_teach.balancing.projecting import project
from mtl_teach.tasks import TaskError

SHAPES = [(2, 5), (3, 3), (4, 6), (6, 4), (8, 40)]                    # (6, 4): more tasks than parameters
UNOPPOSED = ["mgda", "nash-mtl", "upgrad"]                            # promise that no task loses


def rows(*vectors):
    return torch.tensor(vectors, dtype=torch.float64)


def random(shape, seed=0, shift=0.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def imbalanced(shape, seed=0):
    """The first gradient has a hundredth of the others' norm, and they conflict."""
    grads = random(shape, seed)
    grads = grads / grads.norm(dim=1, keepdim=True)
    grads[0] *= 0.01
    return grads


def cosines(grads, direction):
    return (grads @ direction) / (grads.norm(dim=1) * direction.norm()).clamp(min=1e-300)


# ---- closed forms and literature's own examples -------------------------------------------------------------


def test_nash_bargain_on_the_example_that_defeats_cone_programming():
    """J = [[1, 0], [-1, 1]]: cvxpy with ECOS stays at α = (1, 1). By hand, with a = α_1, b = α_2:
    a - b = 1/a and 2b - a = 1/b give b = 1.3066, a = 1.8478 and d = (0.5412, 1.3066)."""
    grads = rows([1, 0], [-1, 1])
    alpha = mt.NashMTL().weights(gramian(grads))
    assert torch.allclose(gramian(grads) @ alpha, 1 / alpha, rtol=1e-9)
    direction = mt.NashMTL()(grads)
    assert direction.tolist() == pytest.approx([0.541196, 1.306563], abs=1e-6)
    assert (direction @ direction).item() == pytest.approx(2, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(2, 5), (3, 3), (4, 6), (8, 40)])
def test_nash_norm_is_the_number_of_tasks_whatever_the_scales(shape, seed):
    grads = imbalanced(shape, seed)
    direction = mt.NashMTL()(grads)
    assert (direction @ direction).item() == pytest.approx(shape[0], rel=1e-6)
    assert torch.allclose(grads @ direction * mt.NashMTL().weights(gramian(grads)), torch.ones(shape[0]).double(), rtol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_mgda_of_two_tasks_is_the_closed_form(seed):
    one, two = random((2, 3), seed, shift=0.5 * (seed % 2))
    first = (((two - one) @ two) / ((one - two) @ (one - two))).clamp(0, 1).item()
    assert mt.MGDA().weights(gramian(torch.stack([one, two]))).tolist() == pytest.approx([first, 1 - first], abs=1e-9)


def shortest_by_search(grads):
    """The shortest vector of the convex hull, by trying the plane through every subset of the gradients."""
    best = None
    for size in range(1, len(grads) + 1):
        for subset in itertools.combinations(range(len(grads)), size):
            points = grads[list(subset)].numpy()
            edges = points[1:] - points[0]
            along = -np.linalg.lstsq(edges.T, points[0], rcond=None)[0] if size > 1 else np.zeros(0)
            weights = np.append(1 - along.sum(), along)                    # first point, then the others
            found = weights @ points
            if weights.min() >= -1e-12 and (best is None or found @ found < best @ best - 1e-15):
                best = found
    return torch.from_numpy(best)


@pytest.mark.parametrize("shape", SHAPES[:4])
@pytest.mark.parametrize("seed", range(4))
def test_mgda_is_the_shortest_vector_to_a_millionth(shape, seed):
    grads = random(shape, seed, shift=0.3)
    assert torch.allclose(mt.MGDA()(grads), shortest_by_search(grads), atol=1e-6)


def projected_by_search(vector, grads):
    """The nearest point to a vector that no gradient opposes, by trying every set of gradients that it may end up square to."""
    best = None
    for size in range(len(grads) + 1):
        for subset in itertools.combinations(range(len(grads)), size):
            walls = grads[list(subset)].numpy()
            point = vector.numpy() - (np.linalg.pinv(walls) @ walls @ vector.numpy() if size else 0)
            far = np.linalg.norm(point - vector.numpy())
            if (grads.numpy() @ point).min() >= -1e-10 and (best is None or far < best[0] - 1e-12):
                best = far, point
    return torch.from_numpy(best[1])


@pytest.mark.parametrize("make", [random, imbalanced])
@pytest.mark.parametrize("shape", SHAPES[:4])
@pytest.mark.parametrize("seed", range(3))
def test_upgrad_is_the_mean_of_the_projected_gradients(make, shape, seed):
    grads = make(shape, seed)
    expected = torch.stack([projected_by_search(g, grads) for g in grads]).mean(0)
    assert torch.allclose(mt.UPGrad()(grads), expected, atol=1e-7)


@pytest.mark.parametrize("c", [0.2, 0.5, 0.9, 1.5])
@pytest.mark.parametrize("shape", [(2, 5), (3, 4), (4, 6), (5, 3)])
def test_cagrad_solves_the_papers_problem(shape, c):
    """max over d of min_k g_k·d within a ball around the mean, solved here in the primal by another method."""
    from scipy.optimize import minimize
    grads = random(shape, seed=shape[0], shift=0.2)
    found, mean, matrix = mt.CAGrad(c)(grads).numpy(), grads.mean(0).numpy(), grads.numpy()
    radius = c * np.linalg.norm(mean)
    assert np.linalg.norm(found - mean) <= radius * (1 + 1e-6)
    start = np.append(mean, (matrix @ mean).min())
    limits = [{"type": "ineq", "fun": lambda x: matrix @ x[:-1] - x[-1]},
              {"type": "ineq", "fun": lambda x: radius**2 - ((x[:-1] - mean) ** 2).sum()}]
    best = minimize(lambda x: -x[-1], start, constraints=limits, method="SLSQP", options={"ftol": 1e-12, "maxiter": 500})
    assert (matrix @ found).min() == pytest.approx(-best.fun, abs=2e-6)


def test_cagrad_without_a_radius_is_the_mean_and_meets_its_bound():
    grads = random((3, 6), 1)
    assert torch.allclose(mt.CAGrad(0)(grads), grads.mean(0))
    assert (mt.CAGrad(0.4)(grads) - grads.mean(0)).norm().item() == pytest.approx(0.4 * grads.mean(0).norm().item(), rel=1e-6)


@pytest.mark.parametrize("shape", [(2, 5), (3, 3), (4, 6), (8, 40)])
def test_imtl_g_has_equal_projections_on_all_unit_gradients(shape):
    grads = imbalanced(shape, 2)
    onto = (grads / grads.norm(dim=1, keepdim=True)) @ mt.IMTLG()(grads)
    assert torch.allclose(onto, onto.mean().expand(shape[0]), rtol=1e-6)
    assert mt.IMTLG().weights(gramian(grads)).sum().item() == pytest.approx(1)


@pytest.mark.parametrize("shape", [(2, 5), (3, 3), (4, 6), (6, 4)])
def test_aligned_mtl_is_the_mean_of_orthogonal_gradients_of_the_smallest_singular_value(shape):
    """Through the singular value decomposition of J itself, where the method works on G."""
    grads = random(shape, 3)
    u, sigma, v = torch.linalg.svd(grads, full_matrices=False)
    kept = sigma > 1e-6 * sigma[0]
    aligned = sigma[kept][-1] * u[:, kept] @ v[kept]
    assert torch.allclose(mt.AlignedMTL()(grads), aligned.mean(0), atol=1e-9)


# ---- PCGrad and GradVac against loops over the vectors themselves -------------------------------------------


def pcgrad_on_vectors(grads, orders, originals=True):
    changed = [g.clone() for g in grads]
    for i, order in enumerate(orders):
        for j in order:
            other = grads[j] if originals else changed[j]
            dot = changed[i] @ other
            if dot < 0:
                changed[i] = changed[i] - dot / (other @ other) * other
    return sum(changed)


@pytest.mark.parametrize("shape", SHAPES)
def test_pcgrad_projects_on_the_original_gradients(shape):
    grads = random(shape, 4)
    orders = [[j for j in range(shape[0]) if j != i] for i in range(shape[0])]
    for given in (orders, [order[::-1] for order in orders]):
        found = torch.from_numpy(project(gramian(grads).numpy(), given)) @ grads
        assert torch.allclose(found, pcgrad_on_vectors(grads, given), atol=1e-9)
    if shape == (4, 6):
        assert not torch.allclose(found, pcgrad_on_vectors(grads, given, originals=False), atol=1e-3)


def test_pcgrad_draws_every_order_equally_often():
    """Three conflicting tasks: the mean over many steps is the mean over all orders, and single steps differ."""
    grads = rows([1, 0, 0], [-0.5, 1, 0], [-0.5, -0.4, 1])
    pairs = [[[1, 2], [2, 1]], [[0, 2], [2, 0]], [[0, 1], [1, 0]]]
    every = torch.stack([pcgrad_on_vectors(grads, orders) for orders in itertools.product(*pairs)])
    method = mt.PCGrad().start("abc", seed=3)
    found = torch.stack([method(grads) for _ in range(800)])
    assert len(torch.unique(found.round(decimals=9), dim=0)) == len(torch.unique(every.round(decimals=9), dim=0)) > 1
    assert torch.allclose(found.mean(0), every.mean(0), atol=0.03)
    assert torch.equal(found[:50], torch.stack([again(grads) for again in [mt.PCGrad().start("abc", seed=3)] for _ in range(50)]))


def test_pcgrad_leaves_agreeing_gradients_alone_and_takes_the_conflict_out_of_two():
    assert mt.PCGrad()(torch.eye(3, dtype=torch.float64)).tolist() == [1, 1, 1]
    agreeing = random((4, 6), 5).abs()
    assert torch.allclose(mt.PCGrad()(agreeing), agreeing.sum(0))
    one, two = rows([1, 0], [-1, 1])
    direction = mt.PCGrad()(torch.stack([one, two]))
    assert direction.tolist() == pytest.approx([0.5, 1.5])                # (1, 0) + ½(-1, 1), and (-1, 1) + (1, 0)
    assert min(one @ direction, two @ direction) >= 0


def test_gradvac_against_vectors_over_many_steps():
    beta, target = 0.3, torch.zeros(3, 3, dtype=torch.float64)
    method, dice = mt.GradVac(beta).start("abc", seed=1), mt.PCGrad().start("abc", seed=1)
    raised = 0
    for step in range(30):
        grads = random((3, 5), step, shift=0.3)
        changed = [g.clone() for g in grads]
        for i, order in enumerate(dice.orders(3)):
            for j in order:
                phi, goal = torch.cosine_similarity(changed[i], grads[j], dim=0), target[i, j].clone()
                if phi < goal:
                    raised += bool(phi > 0)
                    factor = changed[i].norm() * (goal * (1 - phi**2).sqrt() - phi * (1 - goal**2).sqrt())
                    changed[i] = changed[i] + factor / (grads[j].norm() * (1 - goal**2).sqrt()) * grads[j]
                    assert torch.cosine_similarity(changed[i], grads[j], dim=0).item() == pytest.approx(goal.item(), abs=1e-9)
                target[i, j] = (1 - beta) * goal + beta * phi
        assert torch.allclose(method(grads), sum(changed), atol=1e-8)
    assert raised > 3                                                     # also pairs that agree less than usual, unlike PCGrad


def test_gradvac_begins_as_pcgrad():
    grads = random((4, 6), 6)
    assert torch.allclose(mt.GradVac(0).start("abcd", seed=2)(grads), mt.PCGrad().start("abcd", seed=2)(grads))


# ---- what the methods promise -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNOPPOSED)
@pytest.mark.parametrize("make", [random, imbalanced])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_task_loses_where_the_method_promises_it(name, make, shape):
    for seed in range(5):
        grads = make(shape, seed)
        assert cosines(grads, as_gradients(name)(grads)).min() >= -1e-6


def test_upgrad_leaves_no_conflict_with_a_gradient_of_a_hundredth_of_the_norm():
    """A regularised solver loses exactly here; conflict is measured against the small gradient's own norm."""
    grads = rows([0.01, 0, 0], [-1, 1, 0.2], [-0.9, -0.3, 1])
    direction = mt.UPGrad()(grads)
    expected = torch.stack([projected_by_search(g, grads) for g in grads]).mean(0)
    assert torch.allclose(direction, expected, atol=1e-9) and cosines(grads, direction).min() >= -1e-9
    single = mt.UPGrad()(grads.float())
    assert cosines(grads, single.double()).min() >= -1e-6


@pytest.mark.parametrize("name", [name for name in GRADIENTS if name not in ("pcgrad", "gradvac")])
@pytest.mark.parametrize("shape", [(3, 3), (4, 6), (8, 40)])
def test_the_order_of_tasks_does_not_matter(name, shape):
    grads, order = random(shape, 7), torch.randperm(shape[0], generator=torch.Generator().manual_seed(0))
    assert torch.allclose(as_gradients(name)(grads), as_gradients(name)(grads[order]), atol=1e-6)


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("factor", [1e-6, 1e4])
def test_larger_gradients_give_a_larger_step_in_the_same_direction(name, factor):
    grads = random((4, 6), 8)
    scale = 1 if name == "nash-mtl" else factor                            # the bargain does not depend on the scale
    assert torch.allclose(as_gradients(name)(factor * grads) / scale, as_gradients(name)(grads), rtol=1e-5, atol=1e-7)


IDENTICAL = {"sum": 3, "pcgrad": 3, "gradvac": 3, "mgda": 1, "cagrad": 1.4, "imtl-g": 1, "aligned-mtl": 1, "upgrad": 1}


@pytest.mark.parametrize("name", GRADIENTS)
def test_one_task_and_identical_gradients_keep_the_direction(name):
    gradient = random((1, 6), 9)
    same = as_gradients(name)(gradient.repeat(3, 1))
    factor = IDENTICAL.get(name, 3**0.5 / gradient.norm().item())
    assert torch.allclose(same, factor * gradient[0], rtol=1e-5)
    alone = as_gradients(name)(gradient)
    assert torch.cosine_similarity(alone, gradient[0], dim=0).item() == pytest.approx(1)
    if name not in ("nash-mtl", "cagrad"):
        assert torch.allclose(alone, gradient[0])


@pytest.mark.parametrize("name", GRADIENTS)
def test_opposite_gradients_cancel(name):
    gradient = random((1, 6), 10)
    assert as_gradients(name)(torch.cat([gradient, -gradient])).norm() < 1e-4 * gradient.norm()


@pytest.mark.parametrize("name", UNOPPOSED + ["cagrad", "aligned-mtl", "imtl-g"])
def test_gradients_that_nearly_cancel_give_something_finite(name):
    gradient = random((1, 6), 11)
    found = as_gradients(name)(torch.cat([gradient, -2 * gradient + 1e-9, gradient * 1e-3]))
    assert found.isfinite().all() and found.norm() < 3 * gradient.norm()


@pytest.mark.parametrize("name", GRADIENTS)
def test_zero_gradients_are_defined(name):
    grads = random((3, 6), 12, shift=0.5)
    grads[1] = 0
    found, method = as_gradients(name)(grads), as_gradients(name)
    assert found.isfinite().all()
    if name == "mgda":
        assert found.abs().max() < 1e-12                                   # the shortest vector of the hull
    elif name in ("sum", "pcgrad", "nash-mtl", "imtl-g"):
        assert torch.allclose(found, method(grads[[0, 2]]))                # as if the task were not there
    elif name in ("upgrad", "aligned-mtl"):
        assert torch.allclose(found * 3 / 2, method(grads[[0, 2]]))        # the mean is over all three
    assert as_gradients(name)(torch.zeros(3, 6)).abs().max() == 0


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_gradient_that_is_not_finite_is_refused(name):
    grads = random((3, 6), 13)
    grads[1, 2] = float("nan")
    with pytest.raises(TaskError, match=r"not finite, in rows \[1\]"):
        as_gradients(name)(grads)


def test_zero_gradients_among_conflicting_ones_change_nothing_for_upgrad():
    grads = rows([-0.34, 0.53, -0.78, 0.32], [-0.24, -1.79, -0.37, -0.45], [-2.53, 0.30, -1.29, -0.43], [-0.46, 0.65, -0.13, 0.99])
    among = torch.zeros(9, 4, dtype=torch.float64)
    among[[0, 1, 7, 8]] = grads
    direction = mt.UPGrad()(among)
    assert torch.allclose(direction, mt.UPGrad()(grads) * 4 / 9, atol=1e-9) and cosines(grads, direction).min() > -1e-9


@pytest.mark.parametrize("shape", [(9, 1), (8, 2), (9, 3), (2, 1)])
def test_nash_finds_no_bargain_where_gradients_can_cancel(shape):
    """More tasks than parameters, in all directions: some combination is zero, no direction helps everybody."""
    grads = random(shape, 15)
    grads = torch.cat([grads, -grads.mean(0, keepdim=True)])
    assert mt.NashMTL()(grads).abs().max() == 0


def test_mgda_of_unit_gradients_does_not_follow_the_smallest():
    grads = imbalanced((3, 8), 14)
    plain, unit = mt.MGDA()(grads), mt.MGDA(unit=True)(grads)
    assert plain.norm() <= 0.01 + 1e-9 and unit.norm() > 0.1
    assert torch.allclose(unit, mt.MGDA()(grads / grads.norm(dim=1, keepdim=True)))


# ---- names, other libraries' methods, state -----------------------------------------------------------------


def test_names_have_neighbours_and_bad_settings_have_reasons():
    for bad, message in [("pcgard", "Did you mean 'pcgrad'"), (3, "give a name"), (mt.PCGrad, "mt.PCGrad()")]:
        with pytest.raises(TaskError, match=message):
            as_gradients(bad)
    assert type(as_gradients("Nash_MTL")) is mt.NashMTL and type(as_gradients("IMTLG")) is mt.IMTLG
    for make in (lambda: mt.CAGrad(c=-1), lambda: mt.GradVac(beta=2)):
        with pytest.raises(TaskError):
            make()


def test_any_function_of_the_matrix_will_do_and_its_answer_is_checked():
    median = as_gradients(lambda grads: grads.median(0).values)
    assert isinstance(median, External) and torch.equal(median(rows([1, 0], [2, 5], [9, 1])), rows(2, 1))
    with pytest.raises(TaskError, match=r"into one of shape \(2,\)"):
        as_gradients(lambda grads: grads.sum())(rows([1, 0], [2, 5]))


def test_the_state_of_other_tasks_is_refused():
    state = mt.GradVac().start(["a", "b"]).state_dict()
    with pytest.raises(TaskError, match="belongs to the tasks"):
        mt.GradVac().start(["a", "c"]).load_state_dict(state)


@pytest.mark.parametrize("seed", range(3))
def test_against_torchjd(seed):
    theirs = pytest.importorskip("torchjd.aggregation")
    for shape in [(2, 5), (3, 7), (5, 9)]:
        grads = random(shape, seed, shift=0.1)
        assert torch.allclose(mt.IMTLG()(grads), theirs.IMTLG()(grads), atol=1e-9)
        assert torch.allclose(mt.AlignedMTL()(grads), theirs.AlignedMTL()(grads), atol=1e-9)
        assert torch.allclose(mt.MGDA()(grads), theirs.MGDA(epsilon=1e-9, max_iters=20000)(grads), atol=2e-3)
        if len(grads) == 2:                                                # one order only
            assert torch.allclose(mt.PCGrad()(grads), theirs.PCGrad()(grads), atol=1e-9)
            ours, other = mt.GradVac(0.5), theirs.GradVac(0.5)
            for step in range(5):
                grads = random(shape, 10 * seed + step, shift=0.3)
                assert torch.allclose(ours(grads), other(grads), atol=1e-6)
        assert torch.allclose(as_gradients(theirs.ConFIG())(grads), theirs.ConFIG()(grads))


def test_upgrad_against_torchjd_with_its_regularisation_turned_down():
    theirs = pytest.importorskip("torchjd.aggregation")
    pytest.importorskip("quadprog")
    from torchjd.linalg import QuadprogProjector
    for seed in range(5):
        grads = random((4, 6), seed)
        other = theirs.UPGrad(projector=QuadprogProjector(norm_eps=0, reg_eps=1e-12))(grads)
        assert torch.allclose(mt.UPGrad()(grads), other, atol=1e-5)
