"""Conventions that a planted bug would break and that no other test states by itself, each in a second."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import Sample, rollout, start
from journeyman.diagnose._resampled import Moments
from journeyman.episodes import Episodes, concatenate
from journeyman.geometry import Euclidean, Fisher
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.policies import DensityPolicy, Normalizer, policy, renormalized
from journeyman.training import Adam, KLRadius, Learner
from journeyman.training._learner import descend, initial
from journeyman.training._memory import Memory
from journeyman.verify import Check
from journeyman.weights import LeaveOneOutBaseline, Uniform
from journeyman.worlds import LinearQuadratic

WORLD = LinearQuadratic(0.9, horizon=4, start_std=1.0, num_envs=3)


def actor() -> DensityPolicy:
    return policy(WORLD, jax.random.key(0), hidden=())


def samples(weight: float = 1.0) -> Samples:
    """Five actions above the mean at five places."""
    seen, ones = jnp.linspace(-1.0, 1.0, 5)[:, None], jnp.ones(5)
    return Samples(seen, actor().mode(seen) + 0.5, weight * ones, ones, jnp.ones(()), jnp.zeros(5))


@pytest.mark.parametrize("recipe", ["plain", "natural"])
def test_a_step_makes_good_actions_likelier(recipe: str) -> None:
    geometry, step = (Euclidean(), Adam(1e-2)) if recipe == "plain" else (Fisher(), KLRadius(1e-3))
    learner = Learner(Uniform(), WeightedLogLikelihood(), geometry, step)
    begun = initial(learner, actor(), jax.random.key(0))
    for weight in (1.0, -1.0):
        some = samples(weight)
        after = descend(learner, begun.policy, begun.step, some, jax.random.key(0)).policy
        rise = (after.log_prob(some.observation, some.target) - actor().log_prob(some.observation, some.target)).sum()
        assert weight * float(rise) > 0


def test_padding_is_not_fitted() -> None:
    episode = Episodes.episode(np.ones((3, 1), np.float32), np.ones((2, 1), np.float32))
    short, long = (
        Samples.of(e, Uniform()((), e).weight) for e in (concatenate([episode]), concatenate([episode.pad(9)]))
    )
    losses = [float(WeightedLogLikelihood()(actor(), some)) for some in (short, long)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert float(long.valid.sum()) == 2


def test_a_baseline_does_not_know_the_return_it_is_subtracted_from() -> None:
    pair = [
        Episodes.episode(np.zeros((2, 1), np.float32), np.zeros((1, 1), np.float32), [r], terminated=True)
        for r in (1.0, 5.0)
    ]
    e = jax.tree.map(jnp.asarray, concatenate(pair))
    found = LeaveOneOutBaseline().value((), e, e.discounted_returns(1.0))
    np.testing.assert_allclose(found[:, 0], [5.0, 1.0])


def test_every_reset_is_a_fresh_one() -> None:
    # A world of its own, so that nothing compiled before is used.
    world = LinearQuadratic(0.8, horizon=2, start_std=1.0, num_envs=5)
    _, e = rollout(world, Sample(policy(world, jax.random.key(0), hidden=())), start(world), jax.random.key(0), 7)
    first = np.asarray(e.now)[np.asarray(e.valid) & (np.asarray(e.elapsed) == 0)]
    assert len(np.unique(first)) == len(first) == 15


def test_what_was_gathered_before_is_kept() -> None:
    memory = Memory.of(samples(), 10).add(samples()).add(samples(2.0))
    assert int(memory.count) == 10
    np.testing.assert_allclose(memory.samples.weight, [1.0] * 5 + [2.0] * 5)


def wide(log_std: float) -> DensityPolicy:
    one = actor()
    return eqx.tree_at(lambda p: p.head.log_std, one, jnp.full(1, log_std))


def test_a_wider_policy_has_more_entropy() -> None:
    seen = jnp.zeros((1, 1))
    assert float(wide(0.5).entropy(seen)[0]) > float(wide(-1.0).entropy(seen)[0])


def test_the_divergence_is_from_the_first_to_the_second() -> None:
    seen = jnp.zeros((1, 1))
    narrow, broad = wide(-1.0), wide(0.5)
    deviations = [float(jnp.sqrt(p.distribution(seen).variance[0, 0])) for p in (narrow, broad)]
    ratio = deviations[0] / deviations[1]
    by_hand = -np.log(ratio) + ratio**2 / 2 - 0.5  # equal means
    found = narrow.kl(narrow.parameters(seen), broad.parameters(seen))
    assert float(found[0]) == pytest.approx(by_hand, rel=1e-4)


def test_new_statistics_keep_the_function() -> None:
    one = eqx.tree_at(lambda p: p.normalizer.count, actor(), jnp.asarray(10.0))
    seen = jnp.linspace(-1.0, 1.0, 5)[:, None]
    after = renormalized(one, Normalizer(jnp.ones(1), jnp.full(1, 3.0), jnp.asarray(20.0)))
    np.testing.assert_allclose(after.mode(seen), one.mode(seen), atol=1e-5)
    assert float(after.normalizer.mean[0]) == 1


def test_noise_is_no_signal() -> None:
    # Two opposite gradients: their mean is 0, and the unbiased |g|² is −1.
    counts = np.ones((2, 2), np.float32)
    found = Moments(counts, np.zeros((1, 2, 1)), np.ones((1, 2)), np.ones((1, 2)), np.full((1, 1), 2.0))
    assert found.signal()[0, 0] == -1
    assert found.variance()[0, 0] == 2


def test_a_check_can_fail() -> None:
    assert Check.of("x", 1.0, 1.0, 0.1, "").passed
    assert not Check.of("x", 1.2, 1.0, 0.1, "").passed
    assert not Check.of("x", float("nan"), 1.0, 0.1, "").passed
