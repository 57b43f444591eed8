"""Separate parameters for each step of an episode, and one network that reads the time."""

import functools
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import journeyman as jm
from journeyman.algorithms import bc, natural_gradient
from journeyman.episodes import Episodes
from journeyman.geometry import fisher_vector_product
from journeyman.objectives import Samples
from journeyman.parts import JourneymanError
from journeyman.policies import (
    AbstractNetwork,
    DensityPolicy,
    FixedGaussian,
    FullGaussian,
    Gaussian,
    Normalizer,
    PerStep,
    Scale,
    SquashedGaussian,
    by_step,
    floored,
    partition,
    policy,
    renormalized,
    rescaled,
)
from journeyman.training import fit, improve
from journeyman.worlds import Box, GeometricChain, LinearQuadratic, Time, timed

H = 4
PLANE = LinearQuadratic(np.eye(3), np.eye(3, 2), np.eye(3), np.eye(2), horizon=H)
TIMED = timed(PLANE)
HEADS = {
    "gaussian": Gaussian.make(PLANE.action_space, std=0.4),
    "gaussian by state": Gaussian.make(PLANE.action_space, state_dependent=True),
    "full": FullGaussian.make(PLANE.action_space, std=0.4),
    "squashed": SquashedGaussian.make(Box.symmetric(2.0, 2)),
}


mode = eqx.filter_jit(lambda policy, seen: policy.mode(seen))
parameters = eqx.filter_jit(lambda policy, seen: policy.parameters(seen))


def moved(network: AbstractNetwork, seed: int) -> AbstractNetwork:
    """Another one, 0.3 away in every number."""
    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda w: jnp.asarray(w + 0.3 * draw.normal(size=w.shape), w.dtype), network)


@functools.cache
def stationary(name: str = "gaussian", time: bool = True) -> DensityPolicy:
    """A policy that has seen something, of one network for all steps."""
    fresh = policy(TIMED if time else PLANE, jax.random.key(0), hidden=(8,), head=HEADS[name])
    network = moved(fresh.network, 9)
    mean, deviation = jnp.asarray([1.0, -2.0, 0.5, 0.4]), jnp.asarray([2.0, 0.3, 1.0, 0.25])
    seen = Normalizer(mean[: 3 + time], deviation[: 3 + time], jnp.asarray(100.0))
    return DensityPolicy(fresh.encoder, seen, network, fresh.head)


def apart(one: DensityPolicy) -> DensityPolicy:
    """The same with parameters that differ from step to step."""
    return eqx.tree_at(lambda p: p.network, one, moved(one.network, 3))


def some(count: int = 8, horizon: int = H) -> dict[str, jax.Array]:
    seen = jax.random.normal(jax.random.key(5), (count, 3)) * 2
    return {"observation": seen, "time": jnp.arange(count, dtype=jnp.int32) % horizon}


@pytest.mark.parametrize("time", [True, False])
@pytest.mark.parametrize("name", HEADS)
def test_it_begins_as_the_function_that_it_was(name: str, time: bool) -> None:
    before, seen = stationary(name, time), some()
    after = by_step(before, TIMED)
    assert isinstance(after.network, PerStep)
    assert after.network.steps == H
    for mine, theirs in zip(
        jax.tree.leaves(parameters(after, seen)),
        jax.tree.leaves(parameters(before, seen if time else seen["observation"])),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_step_s_parameters_move_that_step_alone_its_deviation_too() -> None:
    before, seen = by_step(stationary(), TIMED), some()
    moved = jax.tree.map(lambda leaf: leaf.at[2].add(0.5), before.network)
    after = eqx.tree_at(lambda p: p.network, before, moved)
    same = np.asarray(seen["time"]) != 2
    for mine, theirs in zip(parameters(before, seen), parameters(after, seen), strict=True):
        changed = np.abs(np.asarray(mine - theirs)).min(axis=-1) > 1e-3
        np.testing.assert_array_equal(changed, ~same)
    beyond = {"observation": seen["observation"], "time": jnp.full(8, H, jnp.int32)}
    last = {"observation": seen["observation"], "time": jnp.full(8, H - 1, jnp.int32)}
    np.testing.assert_array_equal(mode(after, beyond), mode(after, last))


def test_a_batch_is_many_singles_and_the_step_number_is_a_scaled_feature() -> None:
    one, seen = apart(by_step(stationary(), TIMED)), some()
    stacked = jax.tree.map(lambda leaf: leaf.reshape(2, 4, *leaf.shape[1:]), seen)
    many = mode(one, stacked)
    np.testing.assert_allclose(many, jax.jit(jax.vmap(jax.vmap(one.mode)))(stacked), rtol=1e-5, atol=1e-6)
    assert (one.encoder.size, one.encoder.time_column, one.encoder.horizon) == (4, 3, H)
    np.testing.assert_allclose(one.encoder(seen)[:, 3], np.asarray(seen["time"]) / H)
    nested = jm.policies.Encoder.of({"a": GeometricChain().action_space, "b": Time(10), "c": Box.unbounded(2)})
    found = nested({"a": jnp.asarray(1), "b": jnp.asarray(5), "c": jnp.asarray([7.0, 8.0])})
    np.testing.assert_allclose(found, [0, 1, 0.5, 7, 8])
    assert nested.time_column == 2


def test_other_statistics_and_scales_keep_the_function_and_a_floor_the_mean() -> None:
    before, seen = apart(by_step(stationary(), TIMED)), some()
    other = Normalizer(jnp.asarray([-1.0, 1.0, 2.0, 0.1]), jnp.asarray([0.5, 2.0, 3.0, 0.4]), jnp.asarray(9.0))
    np.testing.assert_allclose(mode(renormalized(before, other), seen), mode(before, seen), rtol=2e-4, atol=2e-4)
    scale = Scale(jnp.asarray([0.5, -1.0]), jnp.asarray([2.0, 0.5]))
    np.testing.assert_allclose(mode(rescaled(before, scale), seen), mode(before, seen), rtol=2e-4, atol=2e-4)
    raised = floored(before, 1.5)
    np.testing.assert_array_equal(mode(raised, seen), mode(before, seen))
    assert (np.exp(parameters(raised, seen)[1]) >= 1.5).all()
    assert (np.exp(parameters(before, seen)[1]) < 1.5).all()


def test_the_fisher_matrix_is_block_diagonal_over_steps() -> None:
    """F = ⊕ (n_t/N) F_t, F_t the matrix of that step's own policy on its own samples."""
    one = apart(policy(TIMED, jax.random.key(0), hidden=(2,), per_step=True))
    counts = np.asarray([1, 2, 4, 5])
    seen = some(12) | {"time": jnp.repeat(jnp.arange(H, dtype=jnp.int32), counts)}

    @eqx.filter_jit
    def dense(acting: DensityPolicy, seen: dict[str, jax.Array]) -> jax.Array:
        count = len(seen["time"])
        samples = Samples(seen, acting.mode(seen), jnp.ones(count), jnp.ones(count), jnp.ones(()), jnp.zeros(count))
        flat, unflatten = ravel_pytree(partition(acting)[0])
        product = fisher_vector_product(acting, samples)
        return jax.vmap(lambda v: ravel_pytree(product(unflatten(v)))[0])(jnp.eye(len(flat)))

    matrix = np.asarray(dense(one, seen))
    labels = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) + _column(leaf), partition(one)[0])
    step = np.asarray(ravel_pytree(labels)[0]).round()
    assert not matrix[step[:, None] != step[None, :]].any(), "exactly: no sample touches two steps"
    t = 3
    alone = eqx.tree_at(lambda p: p.network, one, jax.tree.map(lambda leaf: leaf[t][None], one.network))
    here = jax.tree.map(lambda leaf: leaf[np.asarray(seen["time"]) == t], seen)
    own = np.asarray(dense(alone, here | {"time": jnp.zeros_like(here["time"])})) * counts[t] / counts.sum()
    np.testing.assert_allclose(matrix[np.ix_(step == t, step == t)], own, rtol=1e-4, atol=1e-6)
    wrong = np.roll(step, 1)
    assert matrix[wrong[:, None] != wrong[None, :]].any(), "the control: other blocks would not be the steps'"


def _column(leaf: jax.Array) -> jax.Array:
    return jnp.arange(leaf.shape[0], dtype=leaf.dtype).reshape(-1, *(1 for _ in leaf.shape[1:]))


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    one = apart(by_step(stationary(), TIMED))
    jm.save(one, tmp_path / "timed")
    again = jm.load(tmp_path / "timed")
    assert eqx.tree_equal(again, one)
    np.testing.assert_array_equal(mode(again, some()), mode(one, some()))


def test_cloning_tells_the_steps_apart() -> None:
    world = timed(LinearQuadratic(horizon=3))
    target = np.asarray([[1.0], [-2.0], [0.5]], np.float32)
    one = Episodes.episode(
        observation={"observation": np.ones((4, 1), np.float32), "time": np.arange(4, dtype=np.int32)}, action=target
    )
    learner = bc(0.05, epochs=300, batch_size=3, weight_decay=0.0)
    own = fit(learner, policy(world, jax.random.key(0), hidden=(), per_step=True), one).policy
    np.testing.assert_allclose(mode(own, one.now), target, atol=0.1)
    line = fit(learner, policy(world, jax.random.key(0), hidden=()), one).policy
    assert np.abs(mode(line, one.now) - target).max() > 0.5, "the control: three points on no line in t"


# -- refusals -------------------------------------------------------------------------------------------


def test_beyond_its_horizon_it_is_refused_with_both_numbers() -> None:
    longer = timed(LinearQuadratic(np.eye(3), np.eye(3, 2), np.eye(3), np.eye(2), horizon=9, num_envs=2))
    wanted = r"made for 4 steps, but .* goes on for 9, and for those beyond its horizon it knows nothing"
    plan, learner = jm.Plan(steps=18, batch=18), natural_gradient()
    for one in (stationary(), by_step(stationary(), TIMED)):
        with pytest.raises(JourneymanError, match=wanted):
            improve(learner, one, longer, plan)
        with pytest.raises(JourneymanError, match=wanted):
            jm.evaluate(one, longer, episodes=2)
        data = jm.collect.play(longer, jm.collect.Mean(policy(longer, jax.random.key(0))), episodes=2, seed=0)
        with pytest.raises(JourneymanError, match=r"made for 4 steps, but the data goes on for 9"):
            fit(bc(epochs=1), one, data)
        with pytest.raises(JourneymanError, match=r"depends on the time of 4 steps, and 'LinearQuadratic' does not"):
            improve(learner, one, PLANE.remake(seed=0, num_envs=2), plan)
    shorter = timed(LinearQuadratic(np.eye(3), np.eye(3, 2), np.eye(3), np.eye(2), horizon=2))
    assert jm.evaluate(stationary(), shorter, episodes=2).episodes == 2, "the control: it knows how to begin"


def test_what_cannot_have_parameters_of_its_own_at_each_step_is_refused() -> None:
    with pytest.raises(JourneymanError, match=r"'LinearQuadratic' does not show the step number.*'timed:LinearQ"):
        policy(PLANE, jax.random.key(0), per_step=True)
    with pytest.raises(JourneymanError, match=r"network is a PerStep"):
        by_step(by_step(stationary(), TIMED), TIMED)
    with pytest.raises(JourneymanError, match=r"shapes .* of which the policy reads"):
        by_step(policy(LinearQuadratic(horizon=3), jax.random.key(0)), TIMED)
    bare = policy(TIMED, jax.random.key(0), head=FixedGaussian(HEADS["gaussian"].scale), per_step=True)
    assert bare.network.constants.shape == (H, 0), "the control: a head without parameters of its own is welcome"

    class _Warm(FixedGaussian.__bases__[0]):
        warmth: jax.Array
        outputs = lambda self: 2  # noqa: E731
        parameters = distribution = mode = lambda self, raw: raw

    with pytest.raises(JourneymanError, match=r"A _Warm with parameters of its own"):
        policy(TIMED, jax.random.key(0), head=_Warm(jnp.zeros(2)), per_step=True)
    with pytest.raises(JourneymanError, match=r"needs the step number, and the observation does not tell it"):
        by_step(stationary(), TIMED).network(jnp.zeros((2, 4)))
