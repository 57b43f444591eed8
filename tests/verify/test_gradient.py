"""The public checks pass what is right and fail what is wrong."""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree

from journeyman import verify
from journeyman.episodes import Episodes
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy
from journeyman.verify import Verification, chain_policy, exact_problems, linear_policy
from journeyman.verify._gradient import _compared
from journeyman.weights import AbstractWeight, ConstantBaseline, LeaveOneOutBaseline, RewardToGo, Weighed
from journeyman.worlds import GeometricChain, LinearQuadratic


class _Off(AbstractWeight):
    """A reward-to-go with a mistake."""

    mistake: str = eqx.field(static=True)

    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        weight = RewardToGo(1.0)((), episodes).weight
        changed = {
            "a fifth too short": 0.8 * weight,
            "one step late": jnp.concatenate([weight[..., 1:], jnp.zeros_like(weight[..., :1])], axis=-1),
            "downhill": -weight,
            "knows the action": weight - weight * jnp.asarray(episodes.reward > 0, weight.dtype) / 4,
        }
        return Weighed(changed[self.mistake] * jnp.asarray(episodes.valid, weight.dtype), weight, {})


def test_a_right_estimator_passes_and_says_by_how_much() -> None:
    found = verify.gradient(RewardToGo(1.0))
    assert found.passed, str(found)
    assert len(found.checks) == 3
    gain = found["scalar linear-quadratic, by the gain"]
    assert gain.expected == pytest.approx(-11.27026, abs=1e-5)
    assert "standard errors apart over 2048 batches" in gain.detail


@pytest.mark.parametrize("mistake", ["a fifth too short", "one step late", "downhill", "knows the action"])
def test_a_wrong_estimator_fails(mistake: str) -> None:
    assert not verify.gradient(_Off(mistake)).passed


@pytest.mark.parametrize(("batch", "most", "least"), [(1, 20, 150), (8, 9, 15)])
def test_a_right_estimator_of_few_skewed_batches_fails_nearly_as_seldom_as_is_promised(
    batch: int, most: int, least: int
) -> None:
    # The chain at θ = ½, L steps: Σ_t (1 − θ)(L − t) = L (L + 1)/4, whose mean is the exact 1. A third of .001.
    random, times, batches = np.random.default_rng(0), 10_000, 100
    steps = random.geometric(0.5, size=(times, batches, batch)) - 1
    estimates = (steps * (steps + 1) / 4).mean(-1)
    level = 1 - 1e-3 / 3
    assert sum(not _compared("", one, 1.0, level).passed for one in estimates) <= most, "3.3 are promised"
    away = np.abs(estimates.mean(1) - 1) / (estimates.std(1, ddof=1) / math.sqrt(batches))
    assert (away > 3.588).sum() > least, "the control: in standard errors, by the normal distribution"


@functools.cache
def discounted(states: bool) -> Verification:
    return verify.gradient(RewardToGo(0.9, discounted_states=states), discount=0.9)


def test_only_the_estimator_that_weighs_the_states_has_the_gradient_of_the_discounted_objective() -> None:
    assert discounted(True).passed, str(discounted(True))
    assert len(discounted(False).failures) == 3


def test_an_estimator_may_be_any_function() -> None:
    def half(policy: DensityPolicy, episodes: Episodes) -> Any:
        samples = Samples.of(episodes, RewardToGo(1.0)((), episodes).weight)
        return jax.tree.map(lambda g: -g / 2, WeightedLogLikelihood("episodes").gradient(policy, samples)[1])

    found = verify.gradient(half)
    assert len(found.failures) == 3
    whole = verify.gradient(lambda policy, episodes: jax.tree.map(lambda g: 2 * g, half(policy, episodes)))
    assert whole.passed, str(whole)


def test_a_constant_baseline_is_unbiased_on_later_batches_and_biased_on_its_own() -> None:
    earlier, same = (verify.baseline(ConstantBaseline(), fitted_on=on) for on in ("earlier", "same"))  # type: ignore[arg-type]
    assert earlier.passed, str(earlier)
    assert "geometric chain, by the logit of staying: bias over the gradient" in same.failures
    assert same.checks[0].value < -0.05, "part of the signal is taken away"
    assert "the variance becomes 0." in earlier.checks[0].detail


def test_leaving_one_out_is_unbiased_on_its_own_batch() -> None:
    found = verify.baseline(LeaveOneOutBaseline(), fitted_on="same")
    assert found.passed, str(found)


@pytest.mark.usefixtures("x64")
def test_the_exact_gradients_are_the_derivatives_of_the_exact_returns() -> None:
    chain, linear = exact_problems(0.9)
    # J(θ) = θ/(1−γθ) with θ = σ(l): central differences in the logit.
    returns = [s / (1 - 0.9 * s) for s in (1 / (1 + math.exp(-h)) for h in (1e-5, -1e-5))]
    assert chain.truth["the logit of staying"] == pytest.approx((returns[0] - returns[1]) / 2e-5, rel=1e-6)
    world = linear.world
    assert isinstance(world, LinearQuadratic)
    ends = [world.expected_return(-0.3 + h, 0.3, 0.9) for h in (1e-5, -1e-5)]
    assert linear.truth["the gain"] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_the_policies_are_those_that_the_truth_is_for() -> None:
    stays = chain_policy(0.3).distribution(jnp.ones((1, 1)))
    np.testing.assert_allclose(stays.log_prob(jnp.ones(1, jnp.int32)), math.log(0.3), rtol=1e-6)
    one = linear_policy(LinearQuadratic(), -0.4, 0.2, 0.1).distribution(jnp.full((1, 1), 2.0))
    np.testing.assert_allclose(one.mean, [[-0.7]], rtol=1e-6)
    np.testing.assert_allclose(one.variance, [[0.04]], rtol=1e-5)
    first, linear = exact_problems()
    assert first.truth["the logit of staying"] == pytest.approx(GeometricChain().gradient(0.5) / 4)
    played = linear.played(5, 0)
    assert np.asarray(played.terminated)[:, -1].all()
    assert not np.asarray(played.truncated).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: verify.gradient(RewardToGo(), batches=3), "at least 100 batches of at least one episode, not 3 of 8"),
        (lambda: verify.baseline(ConstantBaseline(), significance=2.0), "The significance is a probability, not 2.0"),
        (lambda: verify.gradient(RewardToGo(), seed=2**32 - 1), "The last of 2 seeds from 4294967295 is 4294967296"),
        (lambda: verify.exact_problems(0.0), r"The discount must lie in \(0, 1\], not 0.0"),
        (
            lambda: verify.gradient(lambda policy, episodes: episodes.reward.sum()),
            r"gives float32\[\] where a gradient like",
        ),
        (lambda: verify.gradient(lambda policy, episodes: policy.log_prob), "gives .* where a gradient like"),
        (lambda: chain_policy(1.0), "lies between 0 and 1, not at 1.0"),
        (
            lambda: linear_policy(LinearQuadratic(np.eye(2), np.eye(2, 1), np.eye(2), 1.0), 0.1, 0.1),
            "one state and one",
        ),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(JourneymanError, match=message):
        call()
