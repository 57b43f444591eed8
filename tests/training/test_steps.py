"""How far to go: the KL that was asked for is the KL that happens, to first order and at any scale."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from journeyman.geometry import Direction, Fisher
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, floored, partition, policy
from journeyman.training import Adam, KLRadius, Learner, LineSearch, Optax, Trial
from journeyman.training._learner import descend
from journeyman.weights import Uniform
from journeyman.worlds import LinearQuadratic

PLANE = LinearQuadratic(np.eye(3), np.eye(3, 2), np.eye(3), np.eye(2))


def untried(update: object) -> Trial:
    raise AssertionError("this step must not pay for a trial")


def taken(one: DensityPolicy, kl: float, *, damping: float = 1e-2, iterations: int = 40, seed: int = 0) -> dict:
    """One natural step on samples of the policy's own with random weights; its metrics, and whether all is finite."""
    keys = jax.random.split(jax.random.key(seed), 3)
    observation = jax.random.normal(keys[0], (200, 3))
    target = one.distribution(observation).sample(keys[1])
    ones = jnp.ones(200)
    samples = Samples(observation, target, jax.random.normal(keys[2], (200,)), ones, jnp.ones(()), jnp.zeros(200))
    learner = Learner(Uniform(), WeightedLogLikelihood(), Fisher(damping, iterations), KLRadius(kl))
    done = jax.jit(lambda s: descend(learner, one, (), s, keys[0]))(samples)
    found = {name: float(value) for name, value in done.metrics.items()}
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), partition(done.policy)[0], partition(one)[0])
    return {**found, "moved": max(jax.tree.leaves(moved))}


@pytest.mark.usefixtures("x64")
def test_the_realised_divergence_approaches_the_radius_linearly() -> None:
    one = policy(PLANE, jax.random.key(0), hidden=(4,))
    trained, fixed = partition(one)
    keys = jax.random.split(jax.random.key(0), 2)
    observation = jax.random.normal(keys[0], (200, 3))
    ones = jnp.ones(200)
    samples = Samples(
        observation, jnp.ones((200, 2)), jax.random.normal(keys[1], (200,)), ones, jnp.ones(()), jnp.zeros(200)
    )
    gradient = jax.jit(lambda s: WeightedLogLikelihood().gradient(one, s)[1])(samples)
    direction = jax.jit(lambda s, g: Fisher(1e-2, 40)(one, s, g))(samples, gradient)

    @jax.jit
    def realised(update: DensityPolicy) -> jax.Array:
        moved = eqx.combine(jax.tree.map(jnp.add, trained, update), fixed)
        return one.kl(one.parameters(observation), moved.parameters(observation)).mean()

    radii, found = np.array([1e-4, 1e-5, 1e-6]), []
    for radius in radii:
        update, _, metrics = KLRadius(float(radius))(direction, (), trained, untried)
        assert float(metrics["predicted_kl"]) == pytest.approx(radius, rel=1e-9)
        found.append(float(realised(update)))
    np.testing.assert_allclose(found, radii, rtol=0.05)
    # KL = kl + O(‖Δ‖³) and ‖Δ‖ ~ √kl: the relative error falls as √kl or faster.
    errors = np.abs(np.asarray(found) / radii - 1)
    assert np.polyfit(np.log(radii), np.log(errors), 1)[0] > 0.4


@pytest.mark.parametrize("damping", [1e-2, 1.0])
def test_damping_turns_the_step_and_leaves_its_length(damping: float) -> None:
    one = policy(PLANE, jax.random.key(0), hidden=(4,))
    step = taken(one, 1e-3, damping=damping)
    assert step["predicted_kl"] == pytest.approx(1e-3, rel=1e-4)
    assert step["kl"] == pytest.approx(1e-3, rel=0.1)


@pytest.mark.parametrize("iterations", [1, 60])
def test_after_a_clone_that_is_nearly_deterministic_the_step_is_finite_and_inside_the_ball(iterations: int) -> None:
    one = policy(PLANE, jax.random.key(0), hidden=(4,))
    sharp = one.head.bounds.inverse(jnp.full(2, jnp.log(1e-3)))  # type: ignore[attr-defined]
    low = type(one.head.bounds).of(float(np.log(1e-4)), 2.0)  # type: ignore[attr-defined]
    head = type(one.head)(one.head.scale, low.inverse(jnp.full(2, jnp.log(1e-3))), low)  # type: ignore[attr-defined]
    clone = DensityPolicy(one.encoder, one.normalizer, one.network, head)
    assert np.isfinite(sharp).all()
    np.testing.assert_allclose(jnp.exp(head.parameters(jnp.zeros(2))[1]), 1e-3, rtol=1e-3)
    step = taken(clone, 1e-3, damping=1e-3, iterations=iterations)
    assert all(np.isfinite(value) for value in step.values())
    assert step["bad_leaf"] == -1
    assert 0 < step["moved"] < 0.1, "a change of parameters as small as the policy is sharp"
    assert 0.5e-3 < step["kl"] < 1.1e-3
    assert all(np.isfinite(value) for value in taken(floored(clone, 0.1), 1e-3).values())


def test_nothing_to_climb_is_no_step() -> None:
    leaves = {"a": jnp.ones(3)}
    flat = Direction(jax.tree.map(jnp.zeros_like, leaves), jnp.zeros(()), jnp.zeros(()), {})
    update, _, metrics = KLRadius(0.1)(flat, (), leaves, untried)
    assert not np.asarray(update["a"]).any()
    assert float(metrics["predicted_kl"]) == 0


def test_adam_and_optax_are_what_they_say() -> None:
    leaves, gradient = {"a": jnp.asarray([1.0, -2.0])}, {"a": jnp.asarray([0.3, 4.0])}
    direction = Direction(gradient, jnp.ones(()), jnp.full((), jnp.nan), {})
    ours, theirs = Adam(0.1), Optax(optax.adamw(0.1, weight_decay=0.0))
    for part in (ours, theirs):
        update, _, _ = part(direction, part.init(leaves), leaves, untried)
        # The first step of Adam is the learning rate against the sign of each gradient.
        np.testing.assert_allclose(update["a"], [-0.1, -0.1], rtol=1e-4)
    decayed, _, _ = Adam(0.1, weight_decay=0.5)(direction, Adam(0.1, weight_decay=0.5).init(leaves), leaves, untried)
    np.testing.assert_allclose(decayed["a"], [-0.1 - 0.05, -0.1 + 0.1], atol=1e-5)
    bounded = Adam(0.1, clip_norm=1e-9)
    assert np.abs(bounded(direction, bounded.init(leaves), leaves, untried)[0]["a"]).max() < 0.1


def test_lengths_that_make_no_sense() -> None:
    for step in (KLRadius, LineSearch):
        with pytest.raises(JourneymanError, match=r"a positive number of nats, not inf; 0.01 is usual"):
            step(float("inf"))
    with pytest.raises(JourneymanError, match=r"a positive number of nats, not 0.0"):
        KLRadius(0.0)
    with pytest.raises(JourneymanError, match=r"a positive learning rate and no negative decay, not -1.0 and 0.0"):
        Adam(-1.0)
