"""The policy gradient's mean and variance, per trajectory, against closed forms (Monte Carlo, 4 standard errors).

Everything is computed with the library's own weights and its one loss; the figures are those of the geometric chain, of
a one-step Gaussian, and of the scalar linear-quadratic world
(H = 20, a = b = 1, u ~ N(kx, σ²), k = −.3, σ = .3, x₀ = 1).
"""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, PyTree

from journeyman.collect import Sample, rollout, start
from journeyman.episodes import Episodes
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.policies import DensityPolicy, Encoder, policy
from journeyman.weights import (
    AbstractBaseline,
    AbstractWeight,
    Advantage,
    ConstantBaseline,
    Return,
    RewardToGo,
    Unscaled,
)
from journeyman.worlds import GeometricChain, LinearQuadratic

SIGMAS = 4.0  # one false alarm in 16 000; the seeds are fixed, so a test that passes keeps passing


class _Known(AbstractBaseline):
    """b = −(p_t x² + c_t), or any number for each time: `state` is `(time+1, 2)`."""

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        return None

    def value(self, state: PyTree, episodes: Episodes, returns: Array) -> Array:
        square = jnp.square(jnp.asarray(episodes.observation)[..., 0])
        return -(jnp.broadcast_to(state[:, 0], square.shape) * square + jnp.broadcast_to(state[:, 1], square.shape))

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Any) -> PyTree:
        return state


def by_gain(gradient: DensityPolicy) -> Array:
    return gradient.network.weights[0][0, 0]


def by_bias(gradient: DensityPolicy) -> Array:
    return gradient.network.biases[0][-1]


@eqx.filter_jit
def estimates(one: DensityPolicy, groups: Episodes, weight: AbstractWeight, state: PyTree, leaf: Any) -> Array:
    """dJ/d(leaf) as each group of episodes alone estimates it: minus the loss's gradient."""
    objective = WeightedLogLikelihood("episodes")

    def estimate(group: Episodes, w: Array) -> Array:
        return -leaf(objective.gradient(one, Samples.of(group, w))[1])

    return jax.vmap(estimate)(groups, weight(state, groups).weight)


def per_trajectory(
    one: DensityPolicy, episodes: Episodes, weight: AbstractWeight, state: PyTree, leaf: Any
) -> np.ndarray:
    """The same with every row a group of its own."""
    return np.asarray(estimates(one, jax.tree.map(jnp.asarray, episodes), weight, state, leaf), np.float64)


def over(episodes: Episodes) -> Episodes:
    """The end of the horizon is the end of the game here: nothing is bootstrapped beyond it."""
    ends = (episodes.truncated, episodes.terminated)
    return eqx.tree_at(lambda e: (e.terminated, e.truncated), episodes, ends)


def mean_agrees(values: np.ndarray, truth: float) -> bool:
    return abs(values.mean() - truth) < SIGMAS * values.std() / math.sqrt(len(values))


def variance_agrees(values: np.ndarray, truth: float, error: float = 0.0) -> bool:
    """Within 4 standard errors; that of a variance is √((m₄ − m₂²)/n). `error` is the standard error of `truth`."""
    centred = values - values.mean()
    second, fourth = (centred**2).mean(), (centred**4).mean()
    return abs(second - truth) < SIGMAS * math.hypot(math.sqrt((fourth - second**2) / len(values)), error)


# -- the geometric chain --------------------------------------------------------------------------------

STAY = 0.5
CHAIN = GeometricChain(num_envs=30_000, seed=0)


def only_first_episodes(episodes: Episodes) -> Episodes:
    over = np.cumsum(np.asarray(episodes.ended), axis=1) - np.asarray(episodes.ended) > 0
    keep = ~over & np.asarray(episodes.valid)
    fields = {name: np.where(keep, getattr(episodes, name), 0) for name in ("terminated", "truncated", "reward")}
    fields = {name: value.astype(getattr(episodes, name).dtype) for name, value in fields.items()}
    return eqx.tree_at(
        lambda e: (e.valid, e.terminated, e.truncated, e.reward),
        jax.tree.map(np.asarray, episodes),
        (keep, fields["terminated"], fields["truncated"], fields["reward"]),
    )


@functools.cache
def chain() -> tuple[DensityPolicy, Episodes]:
    """Logits (0, log θ/(1−θ)) by the network's bias alone, and one whole episode a row (P(longer) = 2⁻⁴⁰)."""
    one = policy(CHAIN, jax.random.key(0), hidden=())
    logit = math.log(STAY / (1 - STAY))
    one = eqx.tree_at(
        lambda p: (p.network.weights[0], p.network.biases[0]), one, (jnp.zeros((1, 2)), jnp.asarray([0.0, logit]))
    )
    _, episodes = rollout(CHAIN, Sample(one), start(CHAIN), jax.random.key(1), 40)
    return one, only_first_episodes(episodes)


CHAIN_ROWS = {
    "full return": (Return(1.0), ()),
    "reward-to-go": (RewardToGo(1.0), ()),
    "reward-to-go minus value": (
        Advantage(1.0, 1.0, ConstantBaseline(), scaling=Unscaled()),
        jnp.asarray(STAY / (1 - STAY)),
    ),
}


@pytest.mark.parametrize("name", CHAIN_ROWS)
def test_the_geometric_chain(name: str) -> None:
    one, episodes = chain()
    weight, state = CHAIN_ROWS[name]
    # The bias is the logit: dθ = θ(1−θ) d(logit).
    found = per_trajectory(one, episodes, weight, state, by_bias) / (STAY * (1 - STAY))
    assert mean_agrees(found, CHAIN.gradient(STAY))
    assert variance_agrees(found, CHAIN.variance(STAY, name))
    for other in CHAIN_ROWS:
        assert variance_agrees(found, CHAIN.variance(STAY, other)) == (other == name)
    assert not mean_agrees(found, 0.9 * CHAIN.gradient(STAY))


# -- one step, Gaussian ---------------------------------------------------------------------------------

# r = −(a−c)², a ~ N(μ, σ²), d = μ − c: no baseline (d⁴+18d²σ²+15σ⁴)/σ² − 4d²; the mean return b = −(d²+σ²); the
# optimal b* = E[s²r]/E[s²] = −(d²+3σ²).
ONE_STEP = {(1.0, 0.5): (21.75, 10.5, 9.5), (2.0, 1.0): (87.0, 42.0, 38.0)}


def gaussian(world: LinearQuadratic, gain: float, mean: float, std: float) -> DensityPolicy:
    """u ~ N(gain · x + mean, std²)."""
    one = policy(world, jax.random.key(0), hidden=())
    raw = one.head.bounds.inverse(jnp.full(1, math.log(std)))  # type: ignore[attr-defined]
    return eqx.tree_at(
        lambda p: (p.network.weights[0], p.network.biases[0], p.head.log_std),
        one,
        (jnp.full((1, 1), gain), jnp.full(1, mean), raw),
    )


@pytest.mark.parametrize(("d", "std"), ONE_STEP)
def test_one_gaussian_step(d: float, std: float) -> None:
    world = LinearQuadratic(start=0.0, horizon=1, num_envs=40_000)  # x = 0, so the reward is −u² and c = 0
    one = gaussian(world, 0.0, d, std)
    _, episodes = rollout(world, Sample(one), start(world), jax.random.key(2), 1)
    episodes = over(episodes)
    weight = Advantage(1.0, 1.0, ConstantBaseline(), scaling=Unscaled())
    baselines = (0.0, -(d**2 + std**2), -(d**2 + 3 * std**2))
    for baseline, variance in zip(baselines, ONE_STEP[d, std], strict=True):
        found = per_trajectory(one, episodes, weight, jnp.asarray(baseline), by_bias)
        assert mean_agrees(found, -2 * d)
        assert variance_agrees(found, variance)
        assert not variance_agrees(found, 1.3 * variance)


# -- linear-quadratic -----------------------------------------------------------------------------------

GAIN, STD, HORIZON = -0.3, 0.3, 20
SCALAR = LinearQuadratic(horizon=HORIZON, num_envs=20_000)


@functools.cache
def scalar() -> tuple[DensityPolicy, Episodes]:
    one = gaussian(SCALAR, GAIN, 0.0, STD)
    _, episodes = rollout(SCALAR, Sample(one), start(SCALAR), jax.random.key(3), HORIZON)
    return one, episodes


def values() -> tuple[np.ndarray, np.ndarray]:
    """V_t(x) = −(p_t x² + c_t), p_t = 1 + k² + (1+k)² p_{t+1}, c_t = σ²(1 + p_{t+1}) + c_{t+1}; and E V_t(x_t)."""
    table = np.zeros((HORIZON + 1, 2))
    for t in reversed(range(HORIZON)):
        p, c = table[t + 1]
        table[t] = 1 + GAIN**2 + (1 + GAIN) ** 2 * p, STD**2 * (1 + p) + c
    square, squares = 1.0, []
    for _ in range(HORIZON + 1):
        squares.append(square)
        square = (1 + GAIN) ** 2 * square + STD**2
    expected = np.stack([np.zeros(HORIZON + 1), table[:, 0] * squares + table[:, 1]], 1)
    return table, expected


# Exact: tests/objectives/test_exact_variance.py.
SCALAR_ROWS = {
    "full return": (Return(1.0), None, 6244.2),
    "reward-to-go": (RewardToGo(1.0), None, 3042.8),
    "baseline of time": (Advantage(1.0, 1.0, _Known(), scaling=Unscaled()), 1, 701.2),
    "value of state and time": (Advantage(1.0, 1.0, _Known(), scaling=Unscaled()), 0, 443.3),
}


@pytest.mark.parametrize("name", SCALAR_ROWS)
def test_the_scalar_linear_quadratic_world(name: str) -> None:
    one, episodes = scalar()
    weight, column, _variance = SCALAR_ROWS[name]
    state = () if column is None else jnp.asarray(values()[column], jnp.float32)
    found = per_trajectory(one, over(episodes), weight, state, by_gain)
    truth = float(SCALAR.gradient(GAIN, STD)[0][0, 0])
    assert truth == pytest.approx(-11.27026, abs=1e-5)
    assert mean_agrees(found, truth)
    for other, (_, _, its) in SCALAR_ROWS.items():
        assert variance_agrees(found, its) == (other == name)


def test_the_return_itself() -> None:
    _, episodes = scalar()
    returns = episodes.episode_returns()
    assert SCALAR.expected_return(GAIN, STD) == pytest.approx(-7.40715, abs=1e-5)
    assert mean_agrees(returns.astype(np.float64), -7.40715)


def test_the_variance_falls_as_one_over_the_number_of_episodes() -> None:
    one, episodes = scalar()
    counts, found = [1, 8, 64], []
    whole = len(episodes.valid) // 64 * 64
    for count in counts:
        shape = (whole // count, count)
        groups = jax.tree.map(lambda x, s=shape: x[:whole].reshape(*s, *x.shape[1:]), episodes)
        found.append(np.asarray(estimates(one, groups, RewardToGo(1.0), (), by_gain), np.float64).var())
    rate = np.polyfit(np.log(counts), np.log(found), 1)[0]
    # 312 groups of 64: the last variance is known to about 8 %, the slope to about 0.03.
    assert rate == pytest.approx(-1.0, abs=0.1)
