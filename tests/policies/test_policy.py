"""Policies as functions: what is trained, what keeps the function, and that batches are just many."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeyman.parts import JourneymanError
from journeyman.policies import (
    MLP,
    DensityPolicy,
    Gaussian,
    Normalizer,
    Scale,
    SquashedGaussian,
    floored,
    is_fresh,
    partition,
    policy,
    renormalized,
    rescaled,
)
from journeyman.worlds import Box, GeometricChain, LinearQuadratic

PLANE = LinearQuadratic(np.eye(3), np.eye(3, 2), np.eye(3), np.eye(2))
HEADS = {
    "gaussian": Gaussian.make(PLANE.action_space),
    "gaussian by state": Gaussian.make(PLANE.action_space, state_dependent=True),
    "squashed": SquashedGaussian.make(Box.symmetric(2.0, 2)),
}


@functools.cache
def made(name: str = "gaussian", seed: int = 0) -> DensityPolicy:
    """A policy that has seen something and whose outputs depend on what it sees."""
    fresh = policy(PLANE, jax.random.key(seed), hidden=(8,), head=HEADS[name])
    weights = jax.tree.map(lambda w: w + 0.3 * jax.random.normal(jax.random.key(9), w.shape), fresh.network)
    seen = Normalizer(jnp.asarray([1.0, -2.0, 0.5]), jnp.asarray([2.0, 0.3, 1.0]), jnp.asarray(100.0))
    return DensityPolicy(fresh.encoder, seen, weights, fresh.head)


def some(count: int = 6) -> jax.Array:
    return jax.random.normal(jax.random.key(5), (count, 3)) * 2


@pytest.mark.parametrize("name", HEADS)
def test_a_batch_is_many_singles(name: str) -> None:
    one, observation = made(name), some(6).reshape(2, 3, 3)
    action = jnp.full((2, 3, 2), 0.3)

    def found(observation: jax.Array, action: jax.Array) -> tuple[jax.Array, ...]:
        density = one.distribution(observation).log_prob(action)
        return one.mode(observation), one.entropy(observation), one.log_prob(observation, action), density

    many, singles = jax.jit(lambda *x: (found(*x), jax.vmap(jax.vmap(found))(*x)))(observation, action)
    for a, b in zip(many, singles, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(many[2], many[3], rtol=1e-5)
    acted, state = one.act(observation, (), jax.random.key(0))
    assert (acted.shape, state) == ((2, 3, 2), ())


@pytest.mark.parametrize("name", HEADS)
def test_statistics_scales_and_bounds_are_never_trained(name: str) -> None:
    one = made(name)
    trained, fixed = partition(one)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(trained)]
    assert not [n for n in names if any(word in n for word in ("normalizer", "scale", "bounds", "box"))]
    assert {n for n in names if "network" in n} == {f".network.{w}[{i}]" for w in ("weights", "biases") for i in (0, 1)}
    assert any("log_std" in n for n in names) == (name != "gaussian by state")
    assert eqx.tree_equal(eqx.combine(trained, fixed), one)


numbers = st.floats(-3, 3, width=32)
scales = st.floats(np.float32(0.1), np.float32(5.0), width=32)
few = settings(deadline=None, max_examples=15)


@few
@given(mean=st.lists(numbers, min_size=3, max_size=3), deviation=st.lists(scales, min_size=3, max_size=3))
def test_other_input_statistics_keep_the_function(mean: list[float], deviation: list[float]) -> None:
    before = made()
    after = renormalized(before, Normalizer(jnp.asarray(mean), jnp.asarray(deviation), jnp.asarray(200.0)))
    # float32: weights and shifts are rounded once more
    np.testing.assert_allclose(after.mode(some()), before.mode(some()), rtol=2e-4, atol=2e-4)
    np.testing.assert_array_equal(after.normalizer.mean, np.float32(mean))


@few
@given(location=st.lists(numbers, min_size=2, max_size=2), scale=st.lists(scales, min_size=2, max_size=2))
def test_another_output_scale_keeps_the_mean(location: list[float], scale: list[float]) -> None:
    before = made()
    after = rescaled(before, Scale(jnp.asarray(location), jnp.asarray(scale)))
    np.testing.assert_allclose(after.mode(some()), before.mode(some()), rtol=2e-4, atol=2e-4)
    untouched = eqx.tree_at(lambda p: p.head.scale, before, after.head.scale)
    if not np.allclose(scale, 1.0, atol=0.2):
        assert np.abs(untouched.mode(some()) - before.mode(some())).max() > 1e-3, "the control: a scale alone moves it"


def test_a_fresh_policy_simply_takes_its_statistics() -> None:
    fresh = policy(PLANE, jax.random.key(0), hidden=(4,))
    assert is_fresh(fresh)
    seen = Normalizer(jnp.ones(3), jnp.full(3, 2.0), jnp.asarray(10.0))
    after = renormalized(fresh, seen)
    assert not is_fresh(after)
    assert eqx.tree_equal(after.network, fresh.network)


@pytest.mark.parametrize("name", HEADS)
def test_a_floor_does_not_move_the_mean_action(name: str) -> None:
    before = made(name)
    after = floored(before, 0.9)
    np.testing.assert_array_equal(after.mode(some()), before.mode(some()))
    assert not np.allclose(after.entropy(some()), before.entropy(some()))


def test_a_head_without_a_deviation_has_no_floor() -> None:
    discrete = policy(GeometricChain(), jax.random.key(0), hidden=())
    assert floored(discrete, 0.5) is discrete
    assert discrete.mode(jnp.ones((4, 1))).dtype == jnp.int32


def test_a_small_last_layer_starts_near_the_centre_whatever_is_seen() -> None:
    fresh = policy(PLANE, jax.random.key(0), hidden=(8,))
    assert float(jnp.abs(fresh.mode(some(50))).max()) < 0.2


def test_refusals_say_what_and_why() -> None:
    with pytest.raises(JourneymanError, match=r"Observation column 3 cannot be an angle: there are 3 columns, from 0"):
        policy(PLANE, jax.random.key(0), angles=(3,))
    with pytest.raises(JourneymanError, match=r"No activation is called 'tanhh'. Did you mean 'tanh'"):
        policy(PLANE, jax.random.key(0), activation="tanhh")
    with pytest.raises(JourneymanError, match=r"at least two positive sizes, not \(3,\)"):
        MLP.make([3], jax.random.key(0))
