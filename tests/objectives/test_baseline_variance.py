"""What each baseline leaves of the gradient's variance on the scalar linear-quadratic world (the table of the docs).

H = 20, a = b = 1, u ~ N(kx, σ²), k = −.3, σ = .3, x₀ = 1, γ = 1; per trajectory, in dJ/dk. Baselines that learn were
fitted to 5,000 episodes other than the 20,000 whose variance is taken.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax.flatten_util
from journeyman.collect import Sample, rollout, start
from journeyman.episodes import Episodes
from journeyman.objectives import Samples, VarianceOptimal, WeightedLogLikelihood
from journeyman.policies import partition
from journeyman.training._learner import regress
from journeyman.weights import (
    Advantage,
    ConstantBaseline,
    LeaveOneOutBaseline,
    LinearBaseline,
    NetworkBaseline,
    NoBaseline,
    Return,
    RewardToGo,
    TimeVaryingBaseline,
    Unscaled,
)
from tests.objectives.test_gradient_variance import (

    HORIZON,
    SCALAR,
    by_gain,
    over,
    per_trajectory,
    scalar,
    variance_agrees,
)

EPISODES = WeightedLogLikelihood("episodes")
FITTED_TO = 5_000


@functools.cache
def other() -> Episodes:
    """Episodes to fit to."""
    one, _ = scalar()
    world = SCALAR.remake(seed=7)
    _, episodes = rollout(world, Sample(one), start(world), jax.random.key(8), HORIZON)
    return jax.tree.map(jnp.asarray, over(episodes.take(np.arange(FITTED_TO))))


def part(baseline: Any) -> Advantage:
    return Advantage(1.0, 1.0, baseline, Unscaled())


WEIGHTS: dict[str, Any] = {
    "none": part(NoBaseline()),
    "constant": part(ConstantBaseline()),
    "time-varying": part(TimeVaryingBaseline(HORIZON)),
    "leave one out, by step": part(LeaveOneOutBaseline()),
    "leave one out, by episode": part(LeaveOneOutBaseline(by_step=False)),
    "linear": part(LinearBaseline()),
    "network": part(NetworkBaseline((16,), 40, 512, 1e-2)),
    "full return": Return(1.0),
    "full return, leave one out": Return(1.0, LeaveOneOutBaseline(by_step=False)),
}


def by_weight(name: str) -> np.ndarray:
    """Each trajectory's own estimate."""
    weight, (one, episodes) = WEIGHTS[name], scalar()
    state = weight.init(one.encoder, jax.random.key(0))
    if weight.learns:
        fit = jax.jit(lambda s, e: weight.fit(s, e, weight(s, e).target, jax.random.key(1), regress))
        state = fit(state, other())
    # A leave-one-out mean needs its batch: weigh all together, then take the gradients apart.
    weighed = weight(state, jax.tree.map(jnp.asarray, over(episodes)))
    return np.asarray(gradients(one, jax.tree.map(jnp.asarray, over(episodes)), weighed.weight), np.float64)


@eqx.filter_jit
def gradients(one: Any, episodes: Episodes, weight: jax.Array) -> jax.Array:
    return jax.vmap(lambda e, w: -by_gain(EPISODES.gradient(one, Samples.of(e, w))[1]))(episodes, weight)


OPTIMAL: dict[str, tuple[Any, int]] = {
    "optimal number": (RewardToGo(1.0), 1),
    "optimal of time": (RewardToGo(1.0), HORIZON),
    "full return, optimal number": (Return(1.0), 1),
}


def by_optimum(name: str) -> np.ndarray:
    """Σ_t s_t (w_t − b_t), b per parameter from the other episodes, all folds being one there."""
    (weight, times), (one, episodes) = OPTIMAL[name], scalar()
    objective = VarianceOptimal(EPISODES, times=times, folds=1, groups=FITTED_TO, chunk=2_000)
    samples = Samples.of(other(), weight((), other()).weight)
    baseline = eqx.filter_jit(objective.baseline)(one, samples)[0]
    place = np.flatnonzero(np.asarray(jax.flatten_util.ravel_pytree(_marked(one))[0]))[0]
    episodes = jax.tree.map(jnp.asarray, over(episodes))
    time = jnp.clip(episodes.elapsed, 0, times - 1)
    return np.asarray(gradients(one, episodes, weight((), episodes).weight - baseline[time, place]), np.float64)


def _marked(one: Any) -> Any:
    blank = jax.tree.map(jnp.zeros_like, partition(one)[0])
    return eqx.tree_at(lambda p: p.network.weights[0], blank, jnp.ones((1, 1)))


# Exact or of 400,000 samples where `exact.md`-style closed forms exist (first four), measured by this file otherwise.
TABLE = {
    "full return": 6288,
    "none": 3050,
    "time-varying": 701,
}

if __name__ == "__main__":
    for name in WEIGHTS:
        print(name, by_weight(name).var(), by_weight(name).mean())
    for name in OPTIMAL:
        print(name, by_optimum(name).var(), by_optimum(name).mean())
