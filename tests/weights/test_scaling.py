"""Scaling: mean 0 and deviation 1 (not variance 1), nothing made of nothing, and nothing hidden."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.episodes import Episodes, concatenate
from journeyman.weights import (
    AbstractScaling,
    Advantage,
    Centred,
    ConstantBaseline,
    NoBaseline,
    Return,
    Standardized,
    Unscaled,
)


def scaled(scaling: AbstractScaling, numbers: Any, valid: Any = None, returns: Any = None) -> np.ndarray:
    numbers = jnp.asarray(numbers, jnp.float32)
    valid = jnp.ones_like(numbers) if valid is None else jnp.asarray(valid, jnp.float32)
    return np.asarray(scaling(numbers, valid, numbers if returns is None else jnp.asarray(returns, jnp.float32)))


def test_by_hand() -> None:
    # mean 4, squares 9 + 1 + 4 + 4 = 18, deviation √(18/4)
    numbers = [1.0, 5.0, 2.0, 6.0, 2.0]
    valid = [1, 1, 1, 1, 0]
    assert scaled(Unscaled(), numbers, valid).tolist() == [1, 5, 2, 6, 0]
    assert scaled(Centred(), numbers, valid).tolist() == [-2.5, 1.5, -1.5, 2.5, 0]
    deviation = np.sqrt((6.25 + 2.25 + 2.25 + 6.25) / 4)
    np.testing.assert_allclose(
        scaled(Standardized(), numbers, valid), np.asarray([-2.5, 1.5, -1.5, 2.5, 0]) / deviation, rtol=1e-6
    )
    by_variance = np.asarray([-2.5, 1.5, -1.5, 2.5, 0]) / deviation**2
    assert not np.allclose(scaled(Standardized(), numbers, valid), by_variance), "the control: garage's division"


@pytest.mark.parametrize("size", [1e-20, 1.0, 1e6, 1e25])
def test_the_unit_of_the_reward_does_not_matter(size: float) -> None:
    numbers = np.random.default_rng(0).normal(size=50)
    one, other = scaled(Standardized(), numbers), scaled(Standardized(), size * numbers)
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
@pytest.mark.parametrize("number", [0.1, -3.3, 1e6, 1e-9])
def test_equal_advantages_and_a_single_one_weigh_nothing(count: int, number: float) -> None:
    assert not scaled(Standardized(), np.full(count, number)).any()
    assert not scaled(Standardized(), np.zeros(count)).any()


def test_a_large_offset_loses_nothing() -> None:
    numbers = (1e6 + 10 * np.random.default_rng(0).normal(size=10_000)).astype(np.float32)
    assert abs(scaled(Centred(), numbers).astype(float).mean()) < 1e-4
    found = scaled(Standardized(), numbers).astype(float)
    assert abs(found.mean()) < 1e-5
    assert found.std() == pytest.approx(1, abs=1e-5)


def test_rounding_is_not_blown_up() -> None:
    # 1,000 returns of about 10⁶, of which a perfect baseline leaves the rounding: 0.06.
    noise = 0.06 * np.sign(np.random.default_rng(0).normal(size=1000))
    assert not scaled(Standardized(), noise, returns=np.full(1000, 1e6)).any()
    assert scaled(Standardized(), noise, returns=np.full(1000, 1e3)).std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("scaling", [Unscaled(), Centred(), Standardized()])
def test_what_is_not_finite_stays_so(scaling: AbstractScaling, bad: float) -> None:
    assert not np.isfinite(scaled(scaling, [1.0, bad, 2.0])).all()


def test_an_invalid_step_may_hold_anything() -> None:
    for scaling in (Unscaled(), Centred(), Standardized()):
        one, other = (scaled(scaling, [1.0, 2.0, x], [1, 1, 0], [1.0, 2.0, 0.0]) for x in (0.0, np.nan))
        np.testing.assert_array_equal(one, other)


def test_centred_returns_are_returns_minus_their_mean() -> None:
    one, two = (
        Episodes.episode(np.zeros((len(r) + 1, 1), np.float32), np.zeros((len(r), 1), np.float32), r, terminated=True)
        for r in ([1, 2], [5, 0])
    )
    data = concatenate([one, two])
    assert np.asarray(Return(1.0, scaling=Centred())((), data).weight).tolist() == [[-1, -1], [1, 1]]
    with_mean = Return(1.0, ConstantBaseline())
    assert np.asarray(with_mean(jnp.asarray(4.0), data).weight).tolist() == [[-1, -1], [1, 1]]
    assert np.asarray(with_mean(jnp.asarray(4.0), data).target).tolist() == [[3, 3], [5, 5]]
    assert with_mean.learns
    assert not Return(1.0).learns


def test_a_batch_whose_returns_are_all_equal_moves_nothing_whatever_the_baseline_says() -> None:
    one = Episodes.episode(np.zeros((2, 1), np.float32), np.zeros((1, 1), np.float32), [0.1], terminated=True)
    data = concatenate([one] * 7)
    for baseline, state in ((NoBaseline(), ()), (ConstantBaseline(), jnp.asarray(0.3))):
        assert not np.asarray(Advantage(1.0, 1.0, baseline)(state, data).weight).any()
    differing = dataclasses.replace(data, reward=data.reward + 0.01 * np.arange(7, dtype=np.float32)[:, None])
    assert np.asarray(Advantage(1.0, 1.0, NoBaseline())((), differing).weight).std() == pytest.approx(1, abs=1e-4)
