"""The finite horizon against the exact linear-quadratic world: optimum, gradient and value."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.horizon import (
    best_stationary_gain,
    best_stationary_harvest,
    control,
    control_loss,
    harvest_loss,
    return_of_gains,
    stops_mattering,
)
from journeyman.algorithms import natural_gradient
from journeyman.collect import Mean, Sample, play, rollout, start
from journeyman.episodes import Episodes
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.policies import DensityPolicy, policy
from journeyman.training import Plan, improve
from journeyman.training._learner import regress
from journeyman.weights import NetworkBaseline, RewardToGo
from journeyman.worlds import Harvest, LinearQuadratic, Timed, timed

SIGNIFICANCE = 5.0
STD = 0.5


def linear(world: LinearQuadratic | Timed, gain: float) -> DensityPolicy:
    """u ~ N(gain · x, 0.5²); where the time is seen it has weight 0."""
    fresh = policy(world, jax.random.key(0), hidden=())
    weight = jnp.zeros_like(fresh.network.weights[0]).at[0, 0].set(gain)
    raw = fresh.head.bounds.inverse(jnp.full(1, np.log(STD)))
    return eqx.tree_at(lambda p: (p.network.weights[0], p.head.log_std), fresh, (weight, raw))


# -- what the benchmark calls exact -----------------------------------------------------------------------


@pytest.mark.parametrize(("horizon", "discount"), [(2, 1.0), (5, 0.8)])
def test_the_best_stationary_gain_is_the_best_of_the_world_s_own_returns(horizon: int, discount: float) -> None:
    world = control(horizon)
    gain, value = best_stationary_gain(world, discount)
    assert value == pytest.approx(world.expected_return(gain, 0.0, discount), rel=1e-9)
    for other in (gain - 0.01, gain + 0.01):
        assert world.expected_return(other, 0.0, discount) < value
    assert world.gradient(gain, 0.0, discount)[0].item() == pytest.approx(0, abs=1e-5)
    optimum = return_of_gains(world, world.optimal_gain(discount)[:, 0, 0], discount)
    assert optimum > value + 0.01
    cost = float(np.trace(_riccati_cost(world, discount)))
    assert optimum == pytest.approx(-cost, rel=1e-9)


def _riccati_cost(world: LinearQuadratic, discount: float) -> np.ndarray:
    """P₀ + Σ γᵗ⁺¹ P_{t+1} noise², from u = K_t x backwards: another way to the same number."""
    p, later = np.zeros((1, 1)), np.zeros((1, 1))
    for gain in world.optimal_gain(discount)[::-1]:
        closed = 1.0 + gain
        later = discount * (later + p * world.noise**2)
        p = 1.0 + gain.T @ gain + discount * closed.T @ p @ closed
    return p * world.start_std**2 + later


def test_the_loss_grows_with_the_discount_and_vanishes_below_a_known_one() -> None:
    losses = [control_loss(5, gamma) for gamma in (0.3, 0.6, 0.9, 1.0)]
    assert 0 <= losses[0] < losses[1] < losses[2] < losses[3]
    turn = stops_mattering(lambda gamma: control_loss(5, gamma))
    assert control_loss(5, turn - 0.001) < 0.01 < control_loss(5, turn + 0.001)
    # Harvest: nothing is lost exactly up to γ = 1/growth, and everything depends on it right above.
    assert harvest_loss(10, 0.799) == pytest.approx(0, abs=1e-9)
    assert harvest_loss(10, 0.85) > 0.1
    chance, value = best_stationary_harvest(Harvest(horizon=10))
    assert value == pytest.approx(Harvest(horizon=10).expected_return(chance), rel=1e-9)


# -- γᵗ ---------------------------------------------------------------------------------------------------

DISCOUNT = 0.6
BLOCKS, EACH = 64, 800
SHORT = LinearQuadratic(noise=1.0, start=1.0, horizon=4, num_envs=BLOCKS * EACH)


def once(world: LinearQuadratic | Timed, acting: DensityPolicy, seed: int) -> Episodes:
    """One whole episode in every environment."""
    assert world.horizon is not None
    return rollout(world, Sample(acting), start(world), jax.random.key(seed), world.horizon)[1]


@pytest.fixture(scope="module")
def estimates() -> dict[bool, np.ndarray]:
    """∂J/∂K at K = 0 of 64 blocks of 800 episodes, with and without γᵗ on the states."""
    acting = linear(SHORT, 0.0)
    episodes = once(SHORT, acting, 1)

    @jax.jit
    def blocks(weight: jax.Array) -> jax.Array:
        def one(part: Episodes, weight: jax.Array) -> jax.Array:
            _, slope = WeightedLogLikelihood("episodes").gradient(acting, Samples.of(part, weight))
            return -slope.network.weights[0][0, 0]

        cut = lambda leaf: leaf.reshape(BLOCKS, EACH, *leaf.shape[1:])  # noqa: E731
        return jax.vmap(one)(jax.tree.map(cut, episodes), cut(weight))

    return {states: np.asarray(blocks(RewardToGo(DISCOUNT, states)((), episodes).weight)) for states in (True, False)}


def test_the_states_weighed_by_their_discount_give_the_exact_discounted_gradient(estimates) -> None:
    truth = SHORT.gradient(0.0, STD, DISCOUNT)[0].item()
    found = {states: (one.mean(), one.std() / BLOCKS**0.5) for states, one in estimates.items()}
    mean, error = found[True]
    assert abs(mean - truth) < SIGNIFICANCE * error
    assert error < 0.05 * abs(truth), "a wide interval would contain anything"
    mean, error = found[False]
    assert abs(mean - truth) > SIGNIFICANCE * error, "the control: with all times alike the same test would fail"


# -- V(o, t) ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_baseline_that_sees_the_time_is_the_value_of_a_finite_horizon() -> None:
    """V_t(x) = −(p_t x² + c_t), with p and c by the backward recursion under the policy's gain."""
    inner, gain = LinearQuadratic(noise=0.5, start=0.0, start_std=1.0, horizon=4, num_envs=4096), -0.3
    world = timed(inner)
    acting = linear(world, gain)
    shown = once(world, acting, 2)
    unknown = shown.observation | {"time": jnp.zeros_like(shown.observation["time"])}
    seen = np.asarray(shown.now["observation"])[..., 0]
    truth = _value(inner, gain)(seen)
    baseline = NetworkBaseline(hidden=(32,), epochs=20, batch_size=256, learning_rate=5e-3)
    state = baseline.init(acting.encoder, jax.random.key(0))
    errors = {}
    for told, episodes in ((True, shown), (False, eqx.tree_at(lambda e: e.observation, shown, unknown))):
        returns = episodes.discounted_returns(1.0)
        fitted = baseline.fit(state, episodes, returns, jax.random.key(1), regress)
        value = np.asarray(baseline.value(fitted, episodes, returns))[:, :-1]
        errors[told] = np.sqrt(np.square(value - truth).mean()) / truth.std()
    assert errors[True] < 0.2
    # By hand: p, c vary over the steps so that V(x) alone errs by √2.4, and V's own deviation is √7.9.
    assert errors[False] > 0.45, "the control: without the time the value is a mixture over it"


def _value(world: LinearQuadratic, gain: float):
    p, c, found = 0.0, 0.0, []
    for _ in range(world.horizon):
        c = STD**2 + p * (STD**2 + world.noise**2) + c
        p = 1 + gain**2 + (1 + gain) ** 2 * p
        found.append((p, c))
    pairs = np.asarray(found[::-1])
    return lambda x: -(pairs[None, :, 0] * x**2 + pairs[None, :, 1])


# -- learning ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_separate_parameters_reach_what_no_stationary_gain_can() -> None:
    world = timed(control(3, num_envs=256))
    fresh = policy(world, jax.random.key(0), hidden=(), per_step=True)
    baseline = NetworkBaseline(hidden=(16,), batch_size=512)
    learner = natural_gradient(0.01, discount=1.0, lambda_=1.0, baseline=baseline)
    reached = improve(learner, fresh, world, Plan(steps=80 * 1536, batch=1536)).policy
    loss = (_optimum() - _affine_return(reached)) / abs(_optimum())
    assert 0 <= loss < 0.04
    assert control_loss(3, 1.0) > 0.08, "the best that a gain of all steps can lose"
    gains = np.asarray(reached.network.networks.weights[0][:, 0, 0] / reached.normalizer.scale[0])
    np.testing.assert_allclose(gains, [-0.6, -0.5, 0.0], atol=0.25)  # the last action moves nothing that counts


def _optimum() -> float:
    world = control(3)
    return float(return_of_gains(world, world.optimal_gain()[:, 0, 0]))


def _affine_return(one: DensityPolicy) -> float:
    """J of the mean action u = K_t x + k_t in `control(3)`, exactly: the mean and the variance of x, step by step."""
    weight = np.asarray(one.network.networks.weights[0][:, 0, 0], float)
    mean, scale = float(one.normalizer.mean[0]), float(one.normalizer.scale[0])
    gains = weight / scale
    offsets = np.asarray(one.network.networks.biases[0][:, 0], float) - gains * mean
    np.testing.assert_allclose(
        one.mode({"observation": jnp.full((3, 1), 0.7), "time": jnp.arange(3, dtype=jnp.int32)})[:, 0],
        gains * 0.7 + offsets,
        atol=1e-5,
    )
    middle, variance, total = 0.0, 1.0, 0.0
    for gain, offset in zip(gains, offsets, strict=True):
        action = gain * middle + offset
        total -= middle**2 + variance + action**2 + gain**2 * variance
        middle, variance = middle + action, (1 + gain) ** 2 * variance + 1.0
    return total


def test_an_expert_gain_sequence_is_a_policy_and_its_mean_scores_the_optimum() -> None:
    world = timed(control(3, num_envs=8))
    fresh = policy(world, jax.random.key(0), hidden=(), per_step=True)
    gains = jnp.asarray(world.inner.optimal_gain(), jnp.float32)
    wanted = (jnp.swapaxes(gains, 1, 2), jnp.zeros((3, 1)))
    ideal = eqx.tree_at(lambda p: (p.network.networks.weights[0], p.network.networks.biases[0]), fresh, wanted)
    assert _affine_return(ideal) == pytest.approx(_optimum(), rel=1e-6)
    returns = play(world, Mean(ideal), episodes=4096, seed=3, width=4096).episode_returns()
    assert abs(returns.mean() - _optimum()) < SIGNIFICANCE * returns.std() / 64
