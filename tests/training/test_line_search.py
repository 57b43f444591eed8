"""A step that is looked at before it is taken, and what is said of one that is not taken."""

import dataclasses
import functools
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree

from journeyman.algorithms import natural_gradient
from journeyman.geometry import AbstractMetric, Direction, Factor, Fisher
from journeyman.objectives import Samples, Surrogate
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, policy
from journeyman.training import AbstractStep, KLRadius, Learner, LineSearch, Plan, Trial, improve
from journeyman.training._learner import descend
from journeyman.training._steps import refusal
from journeyman.weights import NoBaseline, Uniform
from journeyman.worlds import LinearQuadratic

PLANE = LinearQuadratic(np.eye(3), np.eye(3, 2), np.eye(3), np.eye(2))
LEAVES = {"a": jnp.asarray([0.0, 0.0])}
AHEAD = Direction({"a": jnp.asarray([1.0, 0.0])}, jnp.asarray(0.5), jnp.asarray(2.0), {})
KL = 0.04
EDGE = (2 * KL / 2.0) ** 0.5


def searched(excess: float, gain: Any, direction: Direction = AHEAD, **options: Any) -> tuple[np.ndarray, dict]:
    """Where a line search ends when the true KL is `excess` times the predicted one and the gain is `gain(length)`."""

    def trial(update: PyTree) -> Trial:
        length = -update["a"][0]
        return Trial(excess * jnp.square(length), jnp.asarray(gain(length)))

    run = jax.jit(lambda d: LineSearch(KL, **options)(d, (), LEAVES, trial))
    update, _, metrics = run(direction)
    return np.asarray(update["a"]), {name: float(value) for name, value in metrics.items()}


def test_the_first_length_that_is_inside_and_gains_is_taken() -> None:
    update, metrics = searched(0.99, lambda x: x)
    np.testing.assert_allclose(update, [-EDGE, 0.0], rtol=1e-6)
    assert metrics["tries"] == 1
    assert metrics["refused"] == 0
    # 1.5 · 0.64 < 1 < 1.5: one step back. 3 · 0.8⁴ > 1 > 3 · 0.8⁶: three.
    for excess, tries in ((1.5, 2), (3.0, 4)):
        update, metrics = searched(excess, lambda x: x)
        length = EDGE * 0.8 ** (tries - 1)
        np.testing.assert_allclose(update, [-length, 0.0], rtol=1e-6)
        assert metrics["tries"] == tries
        assert metrics["kl"] == pytest.approx(excess * length**2, rel=1e-5)
        assert metrics["kl"] <= KL
        assert metrics["gain"] == pytest.approx(length, rel=1e-6)
        assert metrics["predicted_kl"] == pytest.approx(length**2, rel=1e-5)
        assert metrics["predicted_gain"] == pytest.approx(0.5 * length, rel=1e-5)


def test_a_step_that_does_not_gain_goes_back_until_it_does() -> None:
    _, metrics = searched(0.5, lambda x: 0.7 * EDGE - x)
    assert metrics["tries"] == 3
    _, metrics = searched(0.5, lambda x: 0.7 * EDGE - x, shrink=0.5)
    assert metrics["tries"] == 2


@pytest.mark.parametrize(("excess", "sign"), [(1e6, 1.0), (0.5, -1.0), (float("nan"), 1.0), (0.5, float("nan"))])
def test_where_no_length_holds_there_is_no_step_and_the_reason(excess: float, sign: float) -> None:
    update, metrics = searched(excess, lambda x: sign * x)
    assert not update.any()
    assert metrics["tries"] == 10
    assert metrics["kl"] == metrics["gain"] == metrics["predicted_kl"] == metrics["predicted_gain"] == 0
    assert refusal(metrics) == "no length among 10 stays inside the radius and gains"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"curvature": -0.3}, "curvature -0.3 at damping 10"),
        ({"curvature": float("nan")}, "the direction is not finite at damping 10"),
        ({"slope": -1.0}, "the direction does not climb at damping 10"),
        ({"value": {"a": jnp.zeros(2)}, "slope": 0.0, "curvature": 0.0}, "the gradient is zero"),
        ({}, None),
    ],
)
@pytest.mark.parametrize("step", [KLRadius(KL), LineSearch(KL)], ids=["radius", "line search"])
def test_a_direction_that_cannot_be_used_is_refused_in_words(step: AbstractStep, changes: dict, words: str) -> None:
    changes = {name: jnp.asarray(x) if isinstance(x, float) else x for name, x in changes.items()}
    direction = AHEAD._replace(**changes)
    update, _, metrics = step(direction, (), LEAVES, lambda u: Trial(jnp.zeros(()), jnp.ones(())))
    numbers = {name: float(value) for name, value in metrics.items()}
    assert refusal({**numbers, "damping": 10.0}) == words
    # Of a geometry of one's own there may be no damping, and its curvature is known to the step alone.
    assert refusal(numbers) == (words and words.removesuffix(" at damping 10"))
    assert np.asarray(update["a"]).any() == (words is None)
    assert all(np.isfinite(value) for name, value in numbers.items() if name != "curvature")


# -- on a policy ----------------------------------------------------------------------------------------


@functools.cache
def drawn(std: float) -> tuple[DensityPolicy, Samples]:
    """A policy whose deviation is `std` half widths, and samples of its own with random weights."""
    one = policy(PLANE, jax.random.key(0), hidden=(4,))
    low = type(one.head.bounds).of(float(np.log(std / 10)), 2.0)  # type: ignore[attr-defined]
    head = type(one.head)(one.head.scale, low.inverse(jnp.full(2, jnp.log(std))), low)  # type: ignore[attr-defined]
    one = DensityPolicy(one.encoder, one.normalizer, one.network, head)
    keys = jax.random.split(jax.random.key(1), 3)
    observation, ones = jax.random.normal(keys[0], (200, 3)), jnp.ones(200)
    action = one.distribution(observation).sample(keys[1])
    old = one.log_prob(observation, action)
    return one, Samples(observation, action, jax.random.normal(keys[2], (200,)), ones, jnp.ones(()), old)


@eqx.filter_jit
def descended(learner: Learner, one: DensityPolicy, samples: Samples):
    return descend(learner, one, (), samples, jax.random.key(0))


def taken(step: AbstractStep, std: float, geometry: AbstractMetric | None = None) -> dict[str, float]:
    geometry = Fisher(1e-3, 20) if geometry is None else geometry
    one, samples = drawn(std)
    done = descended(Learner(Uniform(), Surrogate(), geometry, step), one, samples)
    moved = not eqx.tree_equal(done.policy, one)
    return {**{name: float(value) for name, value in done.metrics.items()}, "moved": moved}


def test_a_large_radius_is_left_without_a_line_search_and_kept_with_one() -> None:
    unseen, seen = taken(KLRadius(1.0), 0.6), taken(LineSearch(1.0), 0.6)
    assert unseen["kl"] > 1.0, "the control: the quadratic model ends before this radius does"
    assert 0.3 < seen["kl"] <= 1.0
    assert seen["tries"] > 1
    assert seen["gain"] > 0
    assert seen["moved"]


def test_what_the_search_measured_is_what_happened() -> None:
    one, samples = drawn(0.6)
    done = descended(Learner(Uniform(), Surrogate(), Fisher(1e-3, 20), LineSearch(1.0)), one, samples)
    before, after = (p.parameters(samples.observation) for p in (one, done.policy))
    assert float(done.metrics["kl"]) == pytest.approx(float(one.kl(before, after).mean()), rel=1e-4)
    fell = Surrogate()(one, samples) - Surrogate()(done.policy, samples)
    assert float(done.metrics["gain"]) == pytest.approx(float(fell), rel=1e-4)


@pytest.mark.parametrize("step", [KLRadius(1e-4), LineSearch(1e-4)], ids=["radius", "line search"])
def test_predicted_and_realised_agree_in_a_small_ball(step: AbstractStep) -> None:
    found = taken(step, 0.6)
    assert found["predicted_kl"] == pytest.approx(1e-4 * 0.64 ** (found.get("tries", 1.0) - 1), rel=1e-3)
    assert found["kl"] == pytest.approx(found["predicted_kl"], rel=0.1)
    assert found["gain"] == pytest.approx(found["predicted_gain"], rel=0.1)


@pytest.mark.parametrize("step", [KLRadius(1e-3), LineSearch(1e-3)], ids=["radius", "line search"])
def test_from_a_nearly_deterministic_clone_the_step_is_finite_and_inside_the_ball(step: AbstractStep) -> None:
    found = taken(step, 1e-3)
    assert found["bad_leaf"] == -1
    assert all(np.isfinite(value) for value in found.values())
    assert found["moved"]
    assert 0.3e-3 < found["kl"] <= (1e-3 if isinstance(step, LineSearch) else 1.1e-3)


class _Hill(AbstractMetric):
    """−0.3 · I: a curvature that no damping makes positive; or nan, which none makes a number."""

    gives: ClassVar[frozenset[str]] = frozenset({"metric"})

    damping: float = 1e-3
    iterations: int = eqx.field(static=True, default=5)
    subset: int | None = None
    method: Any = eqx.field(static=True, default="conjugate gradients")
    size: float = eqx.field(static=True, default=-0.3)

    def factor(self, policy: Any, samples: Samples) -> Factor:
        return Factor(lambda v: v, lambda v: jax.tree.map(lambda x: self.size * x, v))


@pytest.mark.parametrize("step", [KLRadius(1e-3), LineSearch(1e-3)], ids=["radius", "line search"])
def test_a_curvature_that_is_not_positive_raises_the_damping_and_then_refuses_the_step(step: AbstractStep) -> None:
    found = taken(step, 0.6, _Hill())
    assert not found["moved"]
    assert found["damping"] == pytest.approx(100.0, rel=1e-5)
    assert found["kl"] == found["gain"] == 0
    words = refusal(found)
    assert words is not None
    assert words.startswith("curvature -")
    assert words.endswith("at damping 100")
    lost = taken(step, 0.6, _Hill(size=float("nan")))
    assert not lost["moved"]
    assert lost["bad_leaf"] == -1
    assert refusal(lost) == "the direction is not finite at damping 100"


def test_a_row_says_why_a_step_was_refused_and_nothing_where_it_was_taken() -> None:
    world = LinearQuadratic(np.eye(1), np.eye(1), np.eye(1), 1.0, horizon=4, num_envs=4)
    start = policy(world, jax.random.key(0), hidden=(2,))
    recipe = natural_gradient(baseline=NoBaseline(), lambda_=1.0)
    hill = dataclasses.replace(recipe, geometry=_Hill())
    refused, fine = (improve(one, start, world, Plan(steps=2 * 40, batch=40)).rows[-1] for one in (hill, recipe))
    assert refused["refused"].startswith("curvature -")
    assert refused["kl"] == 0
    assert "refused" not in fine
    assert fine["kl"] > 0


@pytest.mark.parametrize("options", [{"shrink": 1.0}, {"shrink": 0.0}, {"tries": 0}])
def test_searches_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(JourneymanError, match="shortens its step by a factor between 0 and 1 and tries at least once"):
        LineSearch(0.01, **options)
    with pytest.raises(JourneymanError, match=r"a positive number of nats, not 0\.0"):
        LineSearch(0.0)
