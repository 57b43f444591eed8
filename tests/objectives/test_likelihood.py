"""The one loss: cloning is REINFORCE with w = 1, and nothing that should not matter does."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeyman.episodes import Episodes, concatenate
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError, rebuild
from journeyman.policies import DensityPolicy, policy
from journeyman.weights import RewardToGo, Uniform
from journeyman.worlds import LinearQuadratic

PLANE = LinearQuadratic(np.eye(2), np.eye(2, 1), np.eye(2), 1.0)
few = settings(deadline=None, max_examples=8)
every_normalizer = pytest.mark.parametrize("normalizer", ["steps", "episodes", "weights"])


@functools.cache
def actor() -> DensityPolicy:
    return policy(PLANE, jax.random.key(0), hidden=(4,))


def data(lengths: list[int], seed: int = 0) -> list[Episodes]:
    random = np.random.default_rng(seed)
    return [
        Episodes.episode(
            random.normal(size=(n + 1, 2)).astype(np.float32),
            random.normal(size=(n, 1)).astype(np.float32),
            random.normal(size=n),
            terminated=bool(random.integers(2)),
        )
        for n in lengths
    ]


def chained(parts: list[Episodes]) -> Episodes:
    """All `parts` in one stream of one row, with a reset step after each but the last."""
    pieces = [part.pad(len(part.valid) + 1) for part in parts[:-1]] + [parts[-1]]
    seen = np.concatenate([p.observation[: len(p.valid) + (p is pieces[-1])] for p in pieces])
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces)
    return jax.tree.map(lambda leaf: leaf[None], dataclasses.replace(joined, observation=seen))


@functools.cache
def compiled(normalizer: str, weigh: bool):
    """(loss, gradient) of episodes under rewards-to-go, or under w = valid."""
    objective, weight = WeightedLogLikelihood(normalizer), RewardToGo(0.9) if weigh else Uniform()  # type: ignore[arg-type]
    one = actor()

    @eqx.filter_jit
    def both(episodes: Episodes) -> tuple:
        return objective.gradient(one, Samples.of(episodes, weight((), episodes).weight))

    return both


@functools.cache
def on_samples(normalizer: str):
    """(loss, gradient) of samples that are weighed already."""
    one, objective = actor(), WeightedLogLikelihood(normalizer)  # type: ignore[arg-type]
    return eqx.filter_jit(lambda samples: objective.gradient(one, samples))


def agree(first: tuple, second: tuple, tolerance: float = 2e-5) -> None:
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# -- the identity ---------------------------------------------------------------------------------------


@every_normalizer
def test_the_cloning_gradient_is_the_policy_gradient_at_weight_valid(normalizer: str) -> None:
    episodes = concatenate(data([3, 5, 2]))
    # Reward 1 on the last step of every episode, undiscounted: the reward-to-go is 1 on every valid step.
    rewarded = dataclasses.replace(episodes, reward=episodes.ended.astype(np.float32))
    gradient = on_samples(normalizer)
    cloned = gradient(Samples.of(episodes, Uniform()((), episodes).weight))
    reinforced = gradient(Samples.of(rewarded, RewardToGo(1.0)((), rewarded).weight))
    for a, b in zip(jax.tree.leaves(cloned), jax.tree.leaves(reinforced), strict=True):
        np.testing.assert_array_equal(a, b)
    twice = gradient(Samples.of(rewarded, 2 * RewardToGo(1.0)((), rewarded).weight))
    ratio = float(twice[0] / cloned[0])
    assert ratio == pytest.approx(1.0 if normalizer == "weights" else 2.0)


# -- what Z counts --------------------------------------------------------------------------------------


def test_the_three_divisors_by_hand() -> None:
    episodes = concatenate(data([3, 5]))  # 8 valid steps in 2 episodes
    weight = np.where(episodes.valid, -2.0, 0.0).astype(np.float32)
    samples = Samples.of(episodes, jnp.asarray(weight))
    log_prob = eqx.filter_jit(actor().log_prob)(episodes.now, episodes.target)
    total = float((weight * np.asarray(log_prob)).sum())
    for normalizer, divisor in (("steps", 8), ("episodes", 2), ("weights", 16)):
        assert float(on_samples(normalizer)(samples)[0]) == pytest.approx(-total / divisor, rel=1e-5)


@every_normalizer
def test_a_short_batch_is_divided_by_its_own_valid_samples(normalizer: str) -> None:
    episodes = concatenate(data([4, 4]))
    samples = Samples.of(episodes, RewardToGo(1.0)((), episodes).weight)
    short = samples.take(jnp.asarray([1, 6, 3]))
    filled = samples.take(jnp.asarray([1, 6, 3, 0, 0]))
    filled = eqx.tree_at(lambda s: s.valid, filled, jnp.asarray([1.0, 1.0, 1.0, 0.0, 0.0]))
    agree(on_samples(normalizer)(short), on_samples(normalizer)(filled), 1e-6)


def test_an_unknown_divisor() -> None:
    with pytest.raises(JourneymanError, match="divided by 'steps', 'episodes' or 'weights', not by 'batch'"):
        rebuild({"part": "WeightedLogLikelihood", "normalizer": "batch"}, {})  # here annotations refuse another word


# -- what must not matter -------------------------------------------------------------------------------

lengths = st.lists(st.sampled_from([1, 4]), min_size=3, max_size=3)  # few shapes, so few compilations


@pytest.mark.parametrize(
    ("normalizer", "weigh"), [("steps", True), ("episodes", True), ("weights", True), ("steps", False)]
)
@few
@given(times=lengths, seed=st.integers(0, 1000))
def test_padding_order_and_packing_change_nothing(normalizer: str, weigh: bool, times: list[int], seed: int) -> None:
    loss, parts = compiled(normalizer, weigh), data(times, seed)
    plain = loss(concatenate(parts).pad(5))
    agree(plain, loss(concatenate(parts).pad(7)))
    agree(plain, loss(concatenate(parts[::-1]).pad(5)))
    agree(plain, loss(chained(parts).pad(15)))
    agree(plain, loss(concatenate(list(chained(parts).unpack())).pad(5)))


@every_normalizer
def test_padding_may_hold_anything(normalizer: str) -> None:
    clean = concatenate(data([2, 4]))
    dirty = jax.tree.map(np.array, clean)
    for leaf in (dirty.target, dirty.reward, dirty.log_prob, dirty.action):
        leaf[~dirty.valid] = np.nan
    dirty.observation[0, 3:] = np.inf
    first, second = compiled(normalizer, True)(clean), compiled(normalizer, True)(dirty)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(a).all()
    # The control: the same dirt on a valid step would be seen.
    dirty.valid[0, 2] = True
    assert not np.isfinite(compiled(normalizer, True)(dirty)[0])
