"""Ratios: at 1 they are the weighted likelihood, beyond the clip they ask for nothing."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree

from journeyman.objectives import AbstractObjective, ClippedSurrogate, Samples, Surrogate, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, policy
from journeyman.worlds import LinearQuadratic

PLANE = LinearQuadratic(np.eye(2), np.eye(2, 1), np.eye(2), 1.0)
COUNT = 7
PLAIN = ClippedSurrogate(0.2, standardize=False)
pytestmark = pytest.mark.usefixtures("x64")


@functools.cache
def actor() -> DensityPolicy:
    return policy(PLANE, jax.random.key(0), hidden=(4,))


def samples(ratio: Any, weight: Any = None, valid: Any = None) -> Samples:
    """Seven steps whose ratio is what is asked for."""
    random = np.random.default_rng(0)
    observation, action = jnp.asarray(random.normal(size=(COUNT, 2))), jnp.asarray(random.normal(size=(COUNT, 1)))
    weight = random.normal(size=COUNT) if weight is None else weight
    valid = jnp.ones(COUNT) if valid is None else jnp.asarray(valid, float)
    old = actor().log_prob(observation, action) - jnp.log(jnp.broadcast_to(jnp.asarray(ratio, float), COUNT))
    return Samples(observation, action, jnp.asarray(weight, float), valid, jnp.ones(()), old).cleared()


@eqx.filter_jit
def measured(objective: AbstractObjective, some: Samples) -> tuple[tuple[jax.Array, dict[str, jax.Array]], PyTree]:
    return objective.measured_gradient(actor(), some)


def same(first: PyTree, second: PyTree) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs)


@pytest.mark.parametrize("objective", [PLAIN, Surrogate()], ids=["clipped", "plain"])
def test_at_ratio_one_the_gradient_is_that_of_the_weighted_likelihood(objective: AbstractObjective) -> None:
    some = samples(1.0, valid=[1, 1, 0, 1, 1, 1, 1])
    likelihood = measured(WeightedLogLikelihood(), some)[1]
    assert same(measured(objective, some)[1], likelihood)
    assert not same(measured(objective, samples(1.1))[1], measured(WeightedLogLikelihood(), samples(1.1))[1])


def test_elsewhere_it_is_that_of_the_likelihood_with_the_ratio_as_a_weight_where_nothing_is_clipped() -> None:
    ratio = np.array([0.5, 0.9, 1.1, 1.5, 0.5, 1.0, 1.5])
    weight = np.array([1.0, 1.0, -1.0, 1.0, -2.0, 3.0, -1.0])
    clipped = ((ratio > 1.2) & (weight > 0)) | ((ratio < 0.8) & (weight < 0))
    some = samples(ratio, weight)
    (_, metrics), gradient = measured(PLAIN, some)
    assert same(gradient, measured(WeightedLogLikelihood(), samples(ratio, ratio * weight * ~clipped))[1])
    assert same(measured(Surrogate(), some)[1], measured(WeightedLogLikelihood(), samples(ratio, ratio * weight))[1])
    assert not same(measured(Surrogate(), some)[1], measured(WeightedLogLikelihood(), some)[1])
    assert float(metrics["clip_share"]) == pytest.approx(4 / 7)
    assert float(metrics["approximate_kl"]) == pytest.approx(float(np.mean(ratio - 1 - np.log(ratio))))


@pytest.mark.parametrize(("ratio", "weight"), [(1.5, 2.0), (0.5, -2.0)])
def test_a_clipped_sample_has_no_gradient_and_the_other_sign_has_one(ratio: float, weight: float) -> None:
    (loss, metrics), gradient = measured(PLAIN, samples(ratio, np.full(COUNT, weight)))
    assert float(loss) == pytest.approx(-weight * (1.2 if ratio > 1 else 0.8))
    assert all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient))
    assert float(metrics["clip_share"]) == 1
    (loss, _), back = measured(PLAIN, samples(ratio, np.full(COUNT, -weight)))
    assert float(loss) == pytest.approx(weight * ratio)
    assert any(np.asarray(leaf).any() for leaf in jax.tree.leaves(back)), "the control: the way back is open"


@pytest.mark.parametrize("far", [100.0, 1e4])
def test_a_ratio_too_large_for_a_number_is_clipped_as_any_other(far: float) -> None:
    with jax.enable_x64(False):
        one = policy(LinearQuadratic(horizon=3), jax.random.key(0), hidden=())

        def gradient(objective: AbstractObjective, *old: float) -> list[jax.Array]:
            ones = jnp.ones(2)
            actions = jnp.asarray([[0.1], [0.0]])
            some = Samples(jnp.ones((2, 1)), actions, ones, ones, jnp.ones(()), jnp.asarray(old))
            return jax.tree.leaves(objective.gradient(one, some)[1])

        clipped, other = gradient(PLAIN, -0.5, -far), gradient(PLAIN, -0.5, -5.0)
        for leaf, expected, wanted in zip(clipped, other, [-0.1312, -0.1312, 0.4765], strict=True):
            np.testing.assert_array_equal(leaf, expected)
            np.testing.assert_allclose(leaf, wanted, atol=1e-4)
        # Unclipped its gradient is a number, and so is Σ g², which bounds on a gradient ask for.
        back = gradient(Surrogate(), -0.5, -far)
        assert all(np.isfinite(leaf).all() and np.isfinite(np.square(leaf)).all() for leaf in back)
        assert any(np.abs(leaf).max() > 1e12 for leaf in back)


def test_weights_are_standardised_over_the_valid_samples_that_are_given() -> None:
    valid = np.array([1, 1, 1, 0, 1, 1, 0])
    weight = np.array([1.0, 5.0, 2.0, 99.0, -3.0, 0.0, -99.0])
    used = weight[valid > 0]
    by_hand = np.where(valid > 0, (weight - used.mean()) / (used.std(ddof=1) + 1e-8), 0.0)
    ours = measured(ClippedSurrogate(), samples(1.1, weight, valid))
    assert same(ours, measured(PLAIN, samples(1.1, by_hand, valid)))
    assert not same(ours, measured(PLAIN, samples(1.1, weight, valid)))
    alone = np.eye(COUNT)[1]
    assert same(measured(ClippedSurrogate(), samples(1.1, weight, alone)), measured(PLAIN, samples(1.1, weight, alone)))


def test_the_bonus_is_the_mean_entropy() -> None:
    some = samples(1.0, valid=[1, 1, 0, 1, 1, 1, 1])
    with_bonus, without = (measured(ClippedSurrogate(entropy=c), some)[0][0] for c in (0.25, 0.0))
    entropy = float(actor().entropy(some.observation)[0])  # the same at every state
    assert float(without - with_bonus) == pytest.approx(0.25 * entropy)


def test_an_unknown_likelihood_of_the_behaviour_is_not_hidden() -> None:
    some = samples(1.0)
    lost = eqx.tree_at(lambda s: s.log_prob, some, some.log_prob.at[2].set(jnp.nan))
    assert np.isnan(measured(Surrogate(), lost)[0][0])


@pytest.mark.parametrize("options", [{"clip": 0.0}, {"entropy": -1.0}])
def test_numbers_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(JourneymanError, match="room on both sides and an entropy bonus of 0 or more"):
        ClippedSurrogate(**options)
