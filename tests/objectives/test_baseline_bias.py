"""Every baseline and scaling says whether it may be taken from the batch that fitted it; exact worlds show it.

The estimate with the baseline minus the estimate without it has expectation 0 exactly where the baseline is unbiased,
and is far less noisy than either. Each is asked at five standard errors, over thousands of batches of four episodes.
"""

import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from journeyman import weights
from journeyman.collect import Sample, rollout, start
from journeyman.episodes import Episodes
from journeyman.objectives import AbstractObjective, Samples, VarianceOptimal, WeightedLogLikelihood
from journeyman.policies import DensityPolicy, policy
from journeyman.training._learner import regress
from journeyman.weights import (
    AbstractBaseline,
    AbstractScaling,
    Advantage,
    Centred,
    ConstantBaseline,
    LeaveOneOutBaseline,
    LinearBaseline,
    NetworkBaseline,
    NoBaseline,
    Return,
    Standardized,
    TimeVaryingBaseline,
    Unscaled,
)
from journeyman.worlds import GeometricChain, LinearQuadratic

SIGMAS = 5.0  # one false alarm in 1.7 million; the seeds are fixed, so a test that passes keeps passing
EACH = 4  # episodes in a batch
EPISODES = WeightedLogLikelihood("episodes")


class Problem(NamedTuple):
    """A policy, thousands of batches of four episodes `(batches, 4, time)`, the true gradient in one parameter."""

    policy: DensityPolicy
    batches: Episodes
    truth: float


def in_batches(episodes: Episodes) -> Episodes:
    """Each end is the end of the game, and each row holds one episode, four rows a batch."""
    ended = np.asarray(episodes.ended)
    valid = np.asarray(episodes.valid) & (np.cumsum(ended, axis=1) - ended == 0)
    clear = lambda x: np.where(valid, x, np.zeros((), x.dtype))  # noqa: E731
    change = (clear(np.asarray(episodes.reward)), clear(ended), np.zeros_like(ended), valid)
    episodes = eqx.tree_at(lambda e: (e.reward, e.terminated, e.truncated, e.valid), episodes, change)
    return jax.tree.map(lambda x: jnp.asarray(x).reshape(-1, EACH, *x.shape[1:]), episodes)


@functools.cache
def gaussian() -> Problem:
    """One step, r = −a², a ~ N(1, ¼): ∇J = −2 in the mean."""
    world = LinearQuadratic(start=0.0, horizon=1, num_envs=16_000)
    one = policy(world, jax.random.key(0), hidden=())
    raw = one.head.bounds.inverse(jnp.full(1, math.log(0.5)))  # type: ignore[attr-defined]
    where = lambda p: (p.network.weights[0], p.network.biases[0], p.head.log_std)  # noqa: E731
    one = eqx.tree_at(where, one, (jnp.zeros((1, 1)), jnp.ones(1), raw))
    _, episodes = rollout(world, Sample(one), start(world), jax.random.key(2), 1)
    return Problem(one, in_batches(episodes), -2.0)


@functools.cache
def chain() -> Problem:
    """Stay with probability ½: dJ/dlogit = θ(1−θ)/(1−θ)² = 1. (P(more than 20 steps) = 10⁻⁶.)"""
    world = GeometricChain(num_envs=16_000, seed=0)
    one = policy(world, jax.random.key(0), hidden=())
    one = eqx.tree_at(lambda p: p.network.weights[0], one, jnp.zeros((1, 2)))
    _, episodes = rollout(world, Sample(one), start(world), jax.random.key(1), 20)
    return Problem(one, in_batches(episodes), 1.0)


PROBLEMS = {"one Gaussian step": gaussian, "geometric chain": chain}


def estimate(problem: Problem, batch: Episodes, weight: Array, objective: AbstractObjective = EPISODES) -> Array:
    """∂J/∂(the last bias) from one batch."""
    gradient = objective.gradient(problem.policy, Samples.of(batch, weight))[1]
    return -gradient.network.biases[0][-1]


def shifts(problem: Problem, baseline: AbstractBaseline) -> tuple[np.ndarray, np.ndarray]:
    """How far the baseline moves the estimate of each batch: fitted to that batch, and to the one before it."""
    weight = Advantage(1.0, 1.0, baseline, Unscaled())
    plain = Advantage(1.0, 1.0, NoBaseline(), Unscaled())
    blank = weight.init(problem.policy.encoder, jax.random.key(3))

    def fitted(batch: Episodes, key: Array) -> Any:
        return weight.fit(blank, batch, weight(blank, batch).target, key, regress)

    def moved(state: Any, batch: Episodes) -> Array:
        return estimate(problem, batch, weight(state, batch).weight) - estimate(problem, batch, plain((), batch).weight)

    @eqx.filter_jit
    def both(batches: Episodes) -> tuple[Array, Array]:
        keys = jax.random.split(jax.random.key(4), batches.valid.shape[0])
        states = eqx.filter_vmap(fitted)(batches, keys)
        arrays, static = eqx.partition(states, eqx.is_array)
        earlier = eqx.combine(jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), arrays), static)
        return eqx.filter_vmap(moved)(states, batches), eqx.filter_vmap(moved)(earlier, batches)

    own, before = both(problem.batches)
    return np.asarray(own, np.float64), np.asarray(before, np.float64)


def error(values: np.ndarray) -> float:
    return values.std() / math.sqrt(len(values))


def biased(values: np.ndarray) -> bool:
    return abs(values.mean()) > SIGMAS * error(values)


BASELINES: dict[str, AbstractBaseline] = {
    "none": NoBaseline(),
    "constant": ConstantBaseline(),
    "time-varying": TimeVaryingBaseline(20),
    "leave one out, by step": LeaveOneOutBaseline(),
    "leave one out, by episode": LeaveOneOutBaseline(by_step=False),
    "linear": LinearBaseline(),
    "network": NetworkBaseline(hidden=(2,), epochs=10, batch_size=16, learning_rate=0.1),
    "network, Monte Carlo": NetworkBaseline((2,), 10, 16, 0.1, "monte carlo"),
}


def test_every_baseline_and_scaling_is_here() -> None:
    public = [item for item in vars(weights).values() if isinstance(item, type)]
    for kind, known in ((AbstractBaseline, BASELINES.values()), (AbstractScaling, SCALINGS)):
        concrete = {one for one in public if issubclass(one, kind) and one is not kind}
        assert concrete == {type(one) for one in known}
        assert all(one.because.endswith(".") for one in concrete)


@pytest.mark.parametrize("world", PROBLEMS)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "network, Monte Carlo" else n for n in BASELINES]
)
def test_a_baseline_is_as_unbiased_on_its_batch_as_it_says(name: str, world: str) -> None:
    problem, baseline = PROBLEMS[world](), BASELINES[name]
    own, before = shifts(problem, baseline)
    assert biased(own) == (not baseline.unbiased_on_its_batch)
    assert not biased(before)
    # It would have been seen: the smallest bias of these, a fifth of the gradient's fourth part, is beyond the noise.
    assert SIGMAS * max(error(own), error(before)) < 0.2 * abs(problem.truth)


def test_a_mean_over_the_batch_loses_one_part_in_n() -> None:
    # E[1/N Σ s_i (R_i − mean R)] = (1 − 1/N) ∇J; with no observation to see, a linear fit is the mean as well.
    problem = gaussian()
    for name in ("constant", "time-varying", "linear"):
        own, _ = shifts(problem, BASELINES[name])
        assert abs(own.mean() + problem.truth / EACH) < SIGMAS * error(own)
        assert abs(own.mean() + 1.5 * problem.truth / EACH) > SIGMAS * error(own), "the control"


SCALINGS = (Unscaled(), Centred(), Standardized())


def test_a_scaling_is_as_unbiased_as_it_says() -> None:
    problem = gaussian()

    @eqx.filter_jit
    def moved(scaling: AbstractScaling, batches: Episodes) -> Array:
        def one(batch: Episodes) -> Array:
            both = [Advantage(1.0, 1.0, NoBaseline(), s)((), batch).weight for s in (scaling, Unscaled())]
            return estimate(problem, batch, both[0]) - estimate(problem, batch, both[1])

        return jax.vmap(one)(batches)

    for scaling in SCALINGS:
        values = np.asarray(moved(scaling, problem.batches), np.float64)
        assert biased(values) == (not scaling.unbiased), scaling
        if isinstance(scaling, Centred):
            assert abs(values.mean() + problem.truth / EACH) < SIGMAS * error(values)


@pytest.mark.parametrize("per_parameter", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("world", "times"), [("one Gaussian step", 1), ("geometric chain", 1), ("geometric chain", 2)])
def test_an_optimal_baseline_is_unbiased_across_folds_and_not_on_its_own_batch(
    world: str, times: int, per_parameter: bool
) -> None:
    problem, weight = PROBLEMS[world](), Return(1.0)

    @eqx.filter_jit
    def moved(objective: VarianceOptimal, batches: Episodes) -> Array:
        def one(batch: Episodes) -> Array:
            w = weight((), batch).weight
            return estimate(problem, batch, w, objective) - estimate(problem, batch, w)

        return jax.vmap(one)(batches)

    found = {}
    for folds in (1, 2):
        objective = VarianceOptimal(EPISODES, per_parameter, times, folds, groups=EACH, chunk=80)
        found[folds] = np.asarray(moved(objective, problem.batches), np.float64)
        assert biased(found[folds]) == (not objective.unbiased_on_its_batch) == (folds == 1)
    assert SIGMAS * error(found[2]) < abs(found[1].mean()), "a bias as large as that of one fold would have been seen"
