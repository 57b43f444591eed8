"""Baselines: the fixed point under a time limit, a regression that finds its target, and no bias from any of them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.episodes import Episodes, concatenate
from journeyman.parts import JourneymanError
from journeyman.policies import Encoder
from journeyman.training._learner import regress
from journeyman.weights import Advantage, ConstantBaseline, NetworkBaseline, NoBaseline, Return, RewardToGo, Unscaled
from journeyman.worlds import Box

ENCODER = Encoder.of(Box.unbounded(1))


def endless(limit: int, *, handled: bool) -> Episodes:
    """Reward 1 for ever under a time limit, told as what it is or mislabelled as the end of the world."""
    one = Episodes.episode(
        np.ones((limit + 1, 1), np.float32), np.zeros((limit, 1), np.float32), np.ones(limit), terminated=not handled
    )
    return concatenate([one] * 4)


@functools.cache
def fitting(weight: Advantage) -> Any:
    """One fit of the baseline to V + A, compiled."""
    return jax.jit(lambda state, data, key: weight.fit(state, data, weight(state, data).target, key, regress))


def fixed_point(weight: Advantage, state: object, data: Episodes, rounds: int) -> float:
    """V after fitting the baseline to V + A again and again."""
    fit = fitting(weight)
    for index in range(rounds):
        state = fit(state, data, jax.random.key(index))
    return float(weight.baseline.value(state, data, jnp.zeros(data.valid.shape))[0, 0])


@pytest.mark.parametrize("lambda_", [1.0, 0.5])
@pytest.mark.parametrize("handled", [True, False])
def test_the_value_of_an_endless_reward_under_a_time_limit(lambda_: float, handled: bool) -> None:
    # V = 1/(1−γ) = 5 where the limit truncates. Told as an end, the mean over the ten steps of (1−γ^k)/(1−γ), k = 1…10:
    # 5 − (Σ .8^k)/2 = 5 − 3.571/2 = 3.215 with λ = 1.
    baseline = NetworkBaseline(hidden=(4,), epochs=20, batch_size=40, learning_rate=1e-2)
    weight = Advantage(0.8, lambda_, baseline, scaling=Unscaled())
    found = fixed_point(weight, weight.init(ENCODER, jax.random.key(0)), endless(10, handled=handled), 40)
    assert (abs(found - 5.0) < 0.1) == handled
    if lambda_ == 1.0 and not handled:
        assert found == pytest.approx(3.215, abs=0.1)


@pytest.mark.parametrize("handled", [True, False])
def test_a_constant_baseline_finds_the_same_values(handled: bool) -> None:
    weight = Advantage(0.8, 1.0, ConstantBaseline(), scaling=Unscaled())
    found = fixed_point(weight, jnp.zeros(()), endless(10, handled=handled), 60)
    assert found == pytest.approx(5.0 if handled else 3.2147, abs=1e-3)


def test_a_network_learns_the_value_of_each_place() -> None:
    random = np.random.default_rng(0)
    place = random.uniform(-2, 2, (400, 2, 1)).astype(np.float32)
    reward = 100 + 50 * np.sin(2 * place[:, 0, 0])
    steps = [
        Episodes.episode(place[i], np.zeros((1, 1), np.float32), reward[i : i + 1], terminated=True) for i in range(400)
    ]
    data = concatenate(steps)
    weight = Advantage(1.0, 1.0, NetworkBaseline(hidden=(32,), epochs=60, batch_size=50, learning_rate=1e-2))
    state = weight.init(ENCODER, jax.random.key(0))
    before = weight(state, data)
    assert float(before.metrics["explained_variance"]) < 0.05
    after = fitting(weight)(state, data, jax.random.key(1))
    assert float(weight(after, data).metrics["explained_variance"]) > 0.9


@pytest.mark.parametrize("reward", [[0.0], [1.0], [0.0, 0.0, 0.0], [0.0, 0.1, 0.2]])
def test_of_targets_that_are_all_alike_there_is_nothing_to_explain(reward: list[float]) -> None:
    """The share was taken of 10⁻¹²: −4.7e13."""
    steps = [
        Episodes.episode(np.ones((2, 1), np.float32), np.zeros((1, 1), np.float32), np.asarray([one]), terminated=True)
        for one in reward
    ]
    weight = Advantage(1.0, 1.0, ConstantBaseline(), scaling=Unscaled())
    found = float(weight(jnp.asarray(7.0), concatenate(steps)).metrics["explained_variance"])
    assert np.isnan(found) == (len(set(reward)) == 1)
    if not np.isnan(found):  # 1 − Σ (T − 7)² / Σ (T − 0.1)² = 1 − 142.85/0.02
        assert found == pytest.approx(-7141.5, rel=1e-4)


def test_no_step_sees_what_padding_holds() -> None:
    one = Episodes.episode(np.ones((4, 1), np.float32), np.zeros((3, 1), np.float32), np.arange(3), terminated=True)
    clean = concatenate([one]).pad(6)
    dirty = jax.tree.map(np.array, clean)
    dirty.observation[0, 4:] = np.nan
    weight = Advantage(1.0, 1.0, NetworkBaseline(hidden=(4,), epochs=2, batch_size=4))
    state = weight.init(ENCODER, jax.random.key(0))
    found = [fitting(weight)(state, e, jax.random.key(1)) for e in (clean, dirty)]
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(np.asarray(a, np.float32)).all()


def test_only_the_baselines_that_learn_ask_for_a_first_batch() -> None:
    assert not Advantage(baseline=NoBaseline()).learns
    assert Advantage(baseline=ConstantBaseline()).learns
    assert Advantage(baseline=NetworkBaseline()).learns
    assert not RewardToGo().learns


class _Short(NoBaseline):
    """One number a step, as a return has."""

    def value(self, state: Any, episodes: Episodes, returns: jax.Array) -> jax.Array:
        return jnp.zeros_like(returns)


@pytest.mark.parametrize("weight", [Return, Advantage])
def test_a_baseline_of_another_length_is_told_what_is_needed(weight: type) -> None:
    two = concatenate([Episodes.episode(np.zeros((6, 1)), np.zeros((5, 1)), reward=np.ones(5)) for _ in range(2)])
    said = r"The baseline _Short gives values of shape \(2, 5\) where \(2, 6\) is needed: one number for each"
    with pytest.raises(JourneymanError, match=said):
        weight(baseline=_Short())((), two)


@pytest.mark.parametrize("part", [Return, RewardToGo, Advantage])
@pytest.mark.parametrize("discount", [0.0, 1.01, float("nan")])
def test_a_discount_outside_its_range(part: type, discount: float) -> None:
    with pytest.raises(JourneymanError, match=rf"The discount must lie in \(0, 1\], not {discount}; 0.99"):
        part(discount=discount)


def test_a_lambda_outside_its_range() -> None:
    with pytest.raises(JourneymanError, match=r"λ must lie in \[0, 1\], not 1.5"):
        Advantage(lambda_=1.5)
