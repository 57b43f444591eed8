"""The one-step Gaussian, Kakade's scaled features and the pendulum, against their formulas and their models."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from journeyman.collect import Sample, rollout, start
from journeyman.geometry import Euclidean, Fisher
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.training import KLRadius, Learner, Optax
from journeyman.training._learner import descend
from journeyman.weights import Uniform
from journeyman.worlds import LinearQuadratic, OneStepGaussian, Pendulum, ScaledFeatures

# -- one step --------------------------------------------------------------------------------------------

KINDS = ("none", "mean return", "optimal")


@pytest.mark.parametrize(("d", "std", "row"), [(1, 0.5, (21.75, 10.5, 9.5)), (2, 1, (87, 42, 38))])
def test_the_one_step_rows(d, std, row):
    made = OneStepGaussian(target=3.0)
    assert tuple(made.variance(3 + d, std, kind) for kind in KINDS) == pytest.approx(row)
    assert made.gradient(3 + d, std) == (-2 * d, -2 * std)
    assert made.expected_return(3 + d, std) == -(d**2 + std**2)
    best = made.baseline(3 + d, std, "optimal")
    assert all(made.variance(3 + d, std, best + off) > row[2] for off in (-0.1, 0.1))


def test_rolling_the_one_step_world_gives_its_gradient_and_its_variances():
    """40 000 episodes; 5 standard errors."""
    made, mean, std, count = OneStepGaussian(target=1.0, num_envs=40_000), 3.0, 1.0, 40_000
    noise = jax.random.normal(jax.random.key(0), (count, 1), jnp.float32)
    state = jax.vmap(made.reset)(jax.random.split(jax.random.key(1), count))
    _, outcome = jax.vmap(made.step)(state, mean + std * noise, jax.random.split(jax.random.key(2), count))
    assert bool(outcome.terminated.all())
    assert not bool(outcome.truncated.any())
    score, reward = np.asarray(noise[:, 0], float) / std, np.asarray(outcome.reward, float)
    for kind in KINDS:
        found = score * (reward - made.baseline(mean, std, kind))
        assert abs(found.mean() + 4) < 5 * found.std() / count**0.5
        spread = (found - found.mean()) ** 2
        error = spread.std() / count**0.5
        right = {k: abs(spread.mean() - made.variance(mean, std, k)) < 5 * error for k in ("none", kind)}
        assert right[kind]
        assert right["none"] == (kind == "none")


def test_what_has_no_variance_is_refused():
    with pytest.raises(JourneymanError, match=r"No baseline is called 'mean'\. Did you mean 'mean return'"):
        OneStepGaussian().variance(1.0, 1.0, "mean")
    with pytest.raises(JourneymanError, match="positive deviation, not 0"):
        OneStepGaussian().gradient(1.0, 0.0)
    with pytest.raises(JourneymanError, match="show nothing"):
        ScaledFeatures(scale=(0.0, 1.0))
    with pytest.raises(JourneymanError, match="'horizon' is 0"):
        Pendulum(horizon=0)


# -- scaled features -------------------------------------------------------------------------------------

SCALES = ((1.0, 1.0), (10.0, 1.0), (1.0, 0.1))
WEIGHT, STD = np.asarray([-0.3, 0.2]), 0.5


def test_the_scaled_world_s_return_is_that_of_the_linear_quadratic_world_where_they_meet():
    """Without the constant feature: A = .7, B = 1, Q = 1, and an action that costs next to nothing."""
    made = ScaledFeatures(scale=(2.0, 1.0), horizon=15)
    twin = LinearQuadratic(0.7, 1.0, 1.0, 1e-9, noise=1.0, start=1.0, start_std=1.0, horizon=15)
    assert made.expected_return([-0.2, 0.0], STD, 0.9) == pytest.approx(twin.expected_return(-0.4, STD, 0.9), rel=1e-7)
    by_weight, by_std = made.gradient([-0.2, 0.0], STD, 0.9)
    by_gain, by_twin = twin.gradient(-0.4, STD, 0.9)
    assert by_weight[0] == pytest.approx(2 * by_gain.item(), rel=1e-7)
    assert by_std == pytest.approx(by_twin.item(), rel=1e-7)


def seen(scale, num_envs=512):
    return ScaledFeatures(scale=scale, num_envs=num_envs, horizon=20)


def linear(scale, dtype=float):
    """u ~ N(WEIGHT · (x, 1), STD²), told in features of this scale; the network's own bias is 0."""
    one = policy(seen(scale), jax.random.key(0), hidden=())
    raw = one.head.bounds.inverse(jnp.full(1, np.log(STD), dtype))
    weight = jnp.asarray((WEIGHT / np.asarray(scale))[:, None], dtype)
    return eqx.tree_at(lambda p: (p.network.weights[0], p.head.log_std), one, (weight, raw))


def test_rolling_the_scaled_world_gives_its_return():
    """2000 episodes; 5 standard errors."""
    scale = SCALES[1]
    made = seen(scale, 2000)
    _, episodes = rollout(made, Sample(linear(scale, jnp.float32)), start(made), jax.random.key(3), made.horizon)
    returns = np.asarray(episodes.reward, float).sum(1)
    right = made.expected_return(WEIGHT / np.asarray(scale), STD)
    assert abs(returns.mean() - right) < 5 * returns.std() / 2000**0.5
    assert abs(returns.mean() - 1.1 * right) > 5 * returns.std() / 2000**0.5


def test_the_plain_gradient_s_step_changes_the_function_with_the_square_of_the_scale():
    plain = {scale: seen(scale).gradient(WEIGHT / np.asarray(scale), STD)[0] * np.asarray(scale) for scale in SCALES}
    np.testing.assert_allclose(plain[10.0, 1.0], plain[1.0, 1.0] * np.asarray([100.0, 1.0]), rtol=1e-9)
    np.testing.assert_allclose(plain[1.0, 0.1], plain[1.0, 1.0] * np.asarray([1.0, 0.01]), rtol=1e-9)


@functools.cache
def stepped(kind):
    """How one step of the library changes the mean action at three places, for each scale, from the same batch."""
    geometry, step = {
        "natural": (Fisher(damping=1e-8, iterations=30), KLRadius(0.01)),
        "plain": (Euclidean(), Optax(optax.sgd(1e-3))),
    }[kind]
    learner = Learner(Uniform(), WeightedLogLikelihood(), geometry, step)
    with jax.enable_x64(True):
        random = np.random.default_rng(0)
        x, z = random.normal(size=(2, 400, 1))
        u = WEIGHT[0] * x + WEIGHT[1] + STD * z
        better = -((0.7 * x + u) ** 2)[:, 0]
        ones, found = jnp.ones(400), {}
        run = eqx.filter_jit(lambda one, samples: descend(learner, one, step.init(one), samples, jax.random.key(0)))
        for scale in SCALES:
            features = jnp.asarray(np.concatenate([x, np.ones_like(x)], 1) * scale)
            one = jax.tree.map(lambda a: a.astype(float) if eqx.is_inexact_array(a) else a, linear(scale))
            weight, unknown = jnp.asarray(better - better.mean()), jnp.full(400, jnp.nan)
            samples = Samples(features, jnp.asarray(u), weight, ones, jnp.ones(()), unknown)
            done = run(one, samples).policy
            places = jnp.asarray(np.asarray([[-1.0, 1.0], [0.0, 1.0], [2.0, 1.0]]) * scale)
            mean = np.asarray(done.mode(places) - one.mode(places))[:, 0]
            deviation = done.head.log_std - one.head.log_std
            found[scale] = np.append(mean, np.asarray(deviation))
    return found


def test_the_natural_step_does_not_see_the_scale_and_the_plain_step_does():
    natural, plain = stepped("natural"), stepped("plain")
    first = SCALES[0]
    assert np.abs(natural[first]).max() > 0.01
    for scale in SCALES[1:]:
        np.testing.assert_allclose(natural[scale], natural[first], rtol=1e-4)
    assert np.abs(plain[10.0, 1.0] / plain[first])[0] > 10
    assert dataclasses.replace(seen(first), scale=(10.0, 1.0)) == seen((10.0, 1.0))


# -- pendulum --------------------------------------------------------------------------------------------


def test_the_pendulum_is_gymnasium_s():
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    made, random = Pendulum(), np.random.default_rng(0)
    step, observe = jax.jit(made.step), jax.jit(made.observe)
    env.state = np.asarray([3.0, 0.5])
    state = made.state_of(jnp.asarray([np.cos(3.0), np.sin(3.0), 0.5]))
    for _ in range(60):
        torque = random.uniform(-3, 3, 1).astype(np.float32)  # beyond the bounds: both clip
        seen_there, reward, *_ = env.step(torque)
        state, outcome = step(state, torque, jax.random.key(0))
        np.testing.assert_allclose(observe(state), seen_there, atol=2e-4)
        assert float(outcome.reward) == pytest.approx(reward, abs=2e-3)
        env.state = np.asarray([float(state.angle), float(state.velocity)])  # compare steps, not chaos
    env.close()


def test_a_pendulum_starts_anywhere_is_cut_by_its_limit_and_is_told_by_its_observation():
    made = Pendulum(horizon=3)
    states = jax.vmap(made.reset)(jax.random.split(jax.random.key(0), 2000))
    assert float(states.angle.min()) < -3.1 < 3.1 < float(states.angle.max())
    assert 0.99 < float(jnp.abs(states.velocity).max()) <= 1
    back = jax.vmap(lambda state: made.state_of(made.observe(state)))(states)
    np.testing.assert_allclose(back.angle, states.angle, atol=1e-5)
    state, flags = made.reset(jax.random.key(1)), []
    for _ in range(3):
        state, outcome = made.step(state, jnp.zeros(1), jax.random.key(0))
        flags.append((bool(outcome.terminated), bool(outcome.truncated)))
    assert flags == [(False, False), (False, False), (False, True)]


def test_states_come_back_from_observations():
    for made in (ScaledFeatures(scale=(3.0, 2.0)), LinearQuadratic(noise=0.1), OneStepGaussian()):
        state = made.reset(jax.random.key(0))
        np.testing.assert_allclose(made.observe(made.state_of(made.observe(state))), made.observe(state), rtol=1e-6)
    still = LinearQuadratic(noise=0.5).noiseless()
    assert still.noise == 0
    carry, _ = rollout(still, Sample(policy(still, jax.random.key(0), hidden=())), start(still), jax.random.key(1), 1)
    assert np.isfinite(np.asarray(carry.observation)).all()
