"""A discount that looks half a life ahead: lives counted by hand, the inner weight under that discount."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import journeyman as jm
from journeyman.algorithms import natural_gradient
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.policies import Encoder
from journeyman.weights import (
    Advantage,
    ConstantBaseline,
    LifetimeDiscount,
    NetworkBaseline,
    NoBaseline,
    Return,
    RewardToGo,
    Uniform,
)
from journeyman.worlds import LinearQuadratic
from tests.weights.test_advantages import TABLE

ENCODER = Encoder.of(LinearQuadratic(num_envs=1).observation_space)
INNER = {
    "return": lambda discount: Return(discount),
    "reward-to-go": lambda discount: RewardToGo(discount, discounted_states=True),
    "advantage": lambda discount: Advantage(discount, 1.0, NoBaseline()),
}


def after(weight: LifetimeDiscount, *batches: Episodes) -> Any:
    """The state after these batches."""
    state = weight.init(ENCODER, jax.random.key(0))
    for batch in batches:
        state = weight.fit(state, batch, jnp.ones(batch.valid.shape), jax.random.key(0), lambda *_: None)
    return state


def test_lives_by_hand() -> None:
    """16 steps; four episodes ended, by terminations and by cuts, and two go on."""
    weight = LifetimeDiscount(RewardToGo(1.0), least=0.1)
    state = after(weight, TABLE)
    assert (state.steps, state.ended, state.running) == (16, 4, 2)
    np.testing.assert_allclose(weight.discounted(state), 16 / 28, rtol=1e-6)


def test_before_any_life_and_outside_its_bounds_the_discount_is_the_bound() -> None:
    weight = LifetimeDiscount(RewardToGo(0.5), least=0.1)
    assert weight.discounted(after(weight)) == 0.5
    assert weight.discounted(after(weight, TABLE)) == 0.5
    weight = LifetimeDiscount(RewardToGo(1.0), least=0.75)
    assert weight.discounted(after(weight)) == 1
    assert weight.discounted(after(weight, TABLE)) == 0.75


@pytest.mark.parametrize("at", [2, 4, 5])
def test_a_life_in_two_batches_is_one_life(at: int) -> None:
    weight = LifetimeDiscount(RewardToGo(1.0))
    whole, apart = after(weight, TABLE), after(weight, TABLE.cut(0, at), TABLE.cut(at, 6))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, whole, apart))


@pytest.mark.parametrize("name", INNER)
def test_it_is_the_weight_inside_under_that_discount(name: str) -> None:
    weight = LifetimeDiscount(INNER[name](0.999), least=0.1)
    given = jax.jit(weight.__call__)(after(weight, TABLE), TABLE)
    wanted = INNER[name](16 / 28)((), TABLE)
    other = INNER[name](0.999)((), TABLE)
    np.testing.assert_allclose(given.weight, wanted.weight, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(given.target, wanted.target, rtol=1e-5, atol=1e-6)
    assert not np.allclose(other.weight, wanted.weight, rtol=1e-2)
    np.testing.assert_allclose(given.metrics["discount"], 16 / 28, rtol=1e-6)


def test_the_baseline_inside_is_fitted_as_it_would_be_alone() -> None:
    inner = Advantage(0.9, 1.0, ConstantBaseline())
    key, ones = jax.random.key(0), jnp.ones(TABLE.valid.shape)
    alone = inner.fit(inner.init(ENCODER, key), TABLE, ones, key, lambda *_: None)
    assert after(LifetimeDiscount(inner), TABLE).inner == alone == 1


def test_it_needs_what_is_needed_inside() -> None:
    """λ < 1 bootstraps, also within a lifetime; and a weight without a discount has none to bound."""
    with pytest.raises(JourneymanError, match="'value baseline'"):
        natural_gradient(baseline=NoBaseline())
    with pytest.raises(JourneymanError, match="Uniform has none; use Return, RewardToGo or Advantage"):
        LifetimeDiscount(Uniform())
    with pytest.raises(JourneymanError, match=r"in \(0, 1\], not 0"):
        LifetimeDiscount(Advantage(), least=0)
    assert LifetimeDiscount(Advantage()).least_steps == Advantage().least_steps == 2


def test_the_natural_gradient_looks_half_a_life_ahead() -> None:
    """Episodes of 500 steps and a place of the batch for their reset: a stream of 1002 places holds two of them."""
    world = LinearQuadratic(horizon=500, num_envs=4)
    learner = natural_gradient(baseline=NetworkBaseline(hidden=(4,), epochs=1))
    start = jm.policy(world, jax.random.key(0), hidden=())
    rows = jm.improve(learner, start, world, jm.Plan(steps=4 * 4008, batch=4008)).rows
    told = [row["discount"] for row in rows if "discount" in row]
    np.testing.assert_allclose(told, [0.999, *[500 / 502] * 3], rtol=1e-6)
    rows = jm.improve(natural_gradient(discount=0.9), start, world, jm.Plan(steps=8016, batch=4008)).rows
    assert not any("discount" in row for row in rows)
