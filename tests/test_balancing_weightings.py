"""Loss weightings against the papers' formulas, by hand or by autograd, and what they remember."""

import math

import pytest
import torch

import mtl_teach as mt
from mtl_teach.balancing import WEIGHTINGS, as_weighting
from mtl_teach.tasks import Task, TaskError

TASKS = {"mood": Task("mood", "classify", ("bad", "good")), "stars": Task("stars", "regress"),
         "places": Task("places", "tag", ("B-PLACE", "O"))}


def losses(*values, names=TASKS):
    return {name: torch.tensor(float(value)) for name, value in zip(names, values)}


def numbers(weights):
    return [float(weight) for weight in weights.values()]


def started(name, **options):
    return as_weighting(name).start(TASKS, **options)


# ---- fixed numbers, chance, means ---------------------------------------------------------------------------


def test_equal_and_fixed_weights():
    assert numbers(started("equal")(losses(1, 2, 3))) == [1, 1, 1]
    assert started({"stars": 0.5})(losses(1, 2, 3)) == {"mood": 1.0, "stars": 0.5, "places": 1.0}
    with pytest.raises(TaskError, match="unknown task 'star'.*Did you mean 'stars'"):
        started({"star": 1})
    for bad in (-1, float("nan"), float("inf")):
        with pytest.raises(TaskError, match="finite and not negative"):
            started({"stars": bad})


def test_geometric_mean_weights_are_its_slopes_and_do_not_underflow():
    values = torch.tensor([0.5, 2.0, 0.03], requires_grad=True)
    values.prod().pow(1 / 3).backward()
    weights = started("gls")(losses(0.5, 2.0, 0.03))
    assert numbers(weights) == pytest.approx(values.grad.tolist(), rel=1e-5)
    assert sum(w * x for w, x in zip(numbers(weights), (0.5, 2.0, 0.03))) == pytest.approx(0.03 ** (1 / 3), rel=1e-5)
    many = {f"t{i}": Task(f"t{i}", "regress") for i in range(60)}
    weights = mt.GeometricMean().start(many)(losses(*[1e-3] * 60, names=many))       # their product is 1e-180
    assert numbers(weights) == pytest.approx([1 / 60] * 60, rel=1e-4)


def test_random_weights_change_sum_to_the_number_of_tasks_and_come_again_with_the_seed():
    first, again, other = (started("rlw", seed=seed) for seed in (1, 1, 2))
    a, b, c = ([numbers(w(losses(1, 1, 1))) for _ in range(3)] for w in (first, again, other))
    assert a == b != c and a[0] != a[1]
    assert [sum(row) for row in a] == pytest.approx([3, 3, 3], abs=1e-5)


# ---- DWA ----------------------------------------------------------------------------------------------------


def test_dwa_by_hand_over_epochs():
    """Epochs of two steps. Mean losses: 2, 4, 1 then 1, 4, 1; ratios ½, 1, 1."""
    weighting = mt.DWA(temperature=2.0).start(TASKS, epoch=2)
    for values in [(1, 5, 1), (3, 3, 1), (0.5, 4, 1), (1.5, 4, 1)]:                   # the first two epochs weigh equally
        assert numbers(weighting(losses(*values))) == pytest.approx([1, 1, 1])
        weighting.learn(losses(*values))
    powers = [math.exp(ratio / 2) for ratio in (0.5, 1, 1)]
    expected = [3 * power / sum(powers) for power in powers]
    assert numbers(weighting(losses(9, 9, 9))) == pytest.approx(expected)
    weighting.learn(losses(9, 9, 9))
    assert numbers(weighting(losses(9, 9, 9))) == pytest.approx(expected)             # not in the middle of an epoch


def test_dwa_keeps_the_ratio_of_a_task_that_an_epoch_did_not_show():
    weighting = mt.DWA(period=1).start(TASKS)
    for values in [(2, 4, 1), (1, 4, 1)]:
        weighting.learn(losses(*values))
    before = numbers(weighting(losses(1, 1, 1)))
    weighting.learn({"stars": torch.tensor(4.0), "places": torch.tensor(1.0)})
    assert numbers(weighting(losses(1, 1, 1))) == pytest.approx(before)


# ---- uncertainty --------------------------------------------------------------------------------------------


def test_uncertainty_has_the_papers_form_for_each_kind():
    weighting = mt.Uncertainty(start_at=0.7).start(TASKS)
    e = math.exp(-0.7)
    assert numbers(weighting(losses(3, 3, 3))) == pytest.approx([e, 0.5 * e, e])
    assert float(weighting.constant(["mood", "stars"])) == pytest.approx(0.7)


def test_uncertainty_steps_as_adam_does_on_the_papers_objective():
    weighting, s = mt.Uncertainty(rate=0.05).start(TASKS), torch.zeros(3, requires_grad=True)
    adam, factor = torch.optim.Adam([s], lr=0.05), torch.tensor([1.0, 0.5, 1.0])
    for step in range(20):
        values = torch.tensor([0.4, 3.0, 1.0 + step / 10])
        weighting.learn(losses(*values))
        adam.zero_grad()
        (factor * (-s).exp() * values + 0.5 * s).sum().backward()
        adam.step()
        assert list(weighting.log_variances.values()) == pytest.approx(s.tolist(), abs=1e-6)


def test_uncertainty_arrives_at_the_optimum_which_decay_would_miss():
    """s = log 2L for classification and tags, log L for regression; every weighted loss ends at ½."""
    weighting, values = mt.Uncertainty(rate=0.02).start(TASKS), (0.01, 8.0, 0.3)
    for _ in range(2500):
        weighting.learn(losses(*values))
    assert list(weighting.log_variances.values()) == pytest.approx([math.log(0.02), math.log(8), math.log(0.6)], abs=1e-3)
    assert [w * x for w, x in zip(numbers(weighting(losses(*values))), values)] == pytest.approx([0.5] * 3, rel=1e-3)
    assert weighting.optimizer.param_groups[0]["weight_decay"] == 0


def test_momentum_does_not_move_an_absent_task():
    weighting = started("uncertainty")
    for _ in range(5):
        weighting.learn(losses(5, 5, 5))
    before = weighting.log_variances
    weighting.learn({"stars": torch.tensor(5.0)})
    after = weighting.log_variances
    assert after["mood"] == before["mood"] and after["places"] == before["places"] and after["stars"] > before["stars"]


# ---- GradNorm -----------------------------------------------------------------------------------------------


def test_gradnorm_against_autograd_on_its_own_objective():
    """Three linear tasks on one shared matrix W: |∇_W w_k L_k| with a graph, as the paper writes it."""
    torch.manual_seed(0)
    shared, heads, x = torch.randn(4, 4, requires_grad=True), torch.randn(3, 4), torch.randn(20, 4)
    targets = torch.randn(3, 20) * torch.tensor([[1.0], [10.0], [0.1]])
    weighting, w = mt.GradNorm(alpha=1.5, rate=0.05).start(TASKS), torch.ones(3, requires_grad=True)
    adam, first = torch.optim.Adam([w], lr=0.05), None
    for _ in range(25):
        each = [((x @ shared) @ head - target).square().mean() for head, target in zip(heads, targets)]
        norms = torch.stack([torch.autograd.grad(loss, shared, retain_graph=True)[0].norm() for loss in each])
        values = torch.stack(each).detach()
        first = values if first is None else first
        weights = weighting(losses(*values))
        assert numbers(weights) == pytest.approx(w.tolist(), rel=1e-4)
        weighting.learn(losses(*values), losses(*norms.tolist()))
        size = torch.stack([torch.autograd.grad(w[k] * each[k], shared, create_graph=True)[0].norm() for k in range(3)])
        ratio = values / first / (values / first).mean()
        adam.zero_grad()
        w.grad = torch.autograd.grad((size - (size.mean() * ratio**1.5).detach()).abs().sum(), w)[0]
        adam.step()
        with torch.no_grad():
            w.clamp_(min=1e-3).mul_(3 / w.sum())
        down = torch.autograd.grad(sum(w[k].item() * each[k] for k in range(3)), shared)[0]
        with torch.no_grad():
            shared -= 1e-3 * down
    assert max(numbers(weights)) > 1.3 and weighting.initial.tolist() == pytest.approx(first.tolist())


def test_gradnorm_keeps_the_loss_at_which_each_task_was_first_seen_and_stays_positive():
    weighting = mt.GradNorm(rate=0.5).start(TASKS)
    weighting.learn({"mood": torch.tensor(4.0)}, {"mood": torch.tensor(1.0)})
    for step in range(30):
        weighting.learn(losses(3 / (step + 1), 7 / (step + 1), 2), losses(100, 1e-3, 1))
    assert weighting.initial.tolist() == [4, 7, 2]
    weights = numbers(weighting(losses(1, 1, 1)))
    assert min(weights) > 0 and sum(weights) == pytest.approx(3)


# ---- FAMO ---------------------------------------------------------------------------------------------------


def test_famo_weights_are_the_slopes_of_the_log_losses():
    weighting = started("famo")
    with torch.no_grad():
        weighting.free.copy_(torch.tensor([0.3, -1.0, 0.5]))
    values = torch.tensor([2.0, 0.1, 0.7], requires_grad=True)
    z = torch.tensor([0.3, -1.0, 0.5]).softmax(0)
    c = 1 / (z / values).sum().detach()
    (c * z * values.log()).sum().backward()
    weights = numbers(weighting(losses(2.0, 0.1, 0.7)))
    assert weights == pytest.approx(values.grad.tolist(), rel=1e-5) and sum(weights) == pytest.approx(1)


def test_famo_steps_against_autograd_and_torchjd():
    weighting, xi = started("famo"), torch.zeros(3, requires_grad=True)
    adam, other = torch.optim.Adam([xi], lr=0.025, weight_decay=1e-3), None
    try:
        from torchjd.scalarization import FAMO
        other = FAMO(3)
    except ImportError:
        pass
    for step in range(15):
        before, after = torch.tensor([2.0, 0.1, 0.7]), torch.tensor([1.9 - 0.1 * step, 0.05, 0.7])
        weights = weighting(losses(*before))
        weighting.learn(losses(*before), after=losses(*after))
        if other:
            values = before.clone().requires_grad_()
            other(values).backward()
            assert numbers(weights) == pytest.approx(values.grad.tolist(), rel=1e-4)
            other.update(after)
        adam.zero_grad()
        xi.softmax(0).backward(before.log() - after.log())
        adam.step()
        assert weighting.free.tolist() == pytest.approx(xi.tolist(), abs=1e-5)
    assert weighting.free[1] < weighting.free[0] < weighting.free[2]                  # the slowest gains most


# ---- names, state -------------------------------------------------------------------------------------------


def test_names_have_neighbours_and_bad_settings_have_reasons():
    for bad, message in [("uncertanty", "Did you mean 'uncertainty'"), (3, "give a name"), (mt.DWA, "such as mt.Uncertainty()")]:
        with pytest.raises(TaskError, match=message):
            as_weighting(bad)
    for make in (lambda: mt.Uncertainty(rate=0), lambda: mt.DWA(temperature=0), lambda: mt.DWA(period=0)):
        with pytest.raises(TaskError):
            make()


def play(weighting, steps, begin=0):
    """The weights of some steps in which a task is missing now and then."""
    seen = []
    for step in range(begin, begin + steps):
        now = losses(2 / (step + 1), 3, 1 + step % 3)
        now = {name: loss for name, loss in now.items() if step % 4 or name != "mood"}
        seen.append(numbers(weighting(now)))
        smaller = {name: loss * (0.9 if name == "stars" else 0.5) for name, loss in now.items()}
        weighting.learn(now, now, smaller)
    return seen


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_saved_weighting_goes_on_exactly_and_a_new_start_forgets(name):
    whole = play(started(name, epoch=3), 20)
    first = started(name, epoch=3)
    play(first, 11)
    resumed = started(name, epoch=3)
    resumed.load_state_dict(first.state_dict())
    assert play(resumed, 9, begin=11) == whole[11:]
    assert play(first.start(TASKS, epoch=3), 20) == whole


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_the_state_of_other_tasks_is_refused_and_changes_nothing(name):
    other = as_weighting(name).start({name: TASKS[name] for name in ("mood", "stars")})
    mine = started(name)
    play(mine, 5)
    before = repr(mine.state_dict())
    with pytest.raises(TaskError, match="belong to the tasks"):
        mine.load_state_dict(other.state_dict())
    assert repr(mine.state_dict()) == before


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weights_carry_no_gradient_and_cover_the_tasks_of_the_batch(name):
    weighting = started(name)
    values = {"places": torch.tensor(2.0, requires_grad=True), "mood": torch.tensor(1.0, requires_grad=True)}
    weights = weighting(values)
    assert list(weights) == ["places", "mood"] and all(float(w) > 0 for w in weights.values())
    assert not any(getattr(w, "requires_grad", False) for w in weights.values())
