"""Ten thousand random batches, the odd ones first of all, and no update that is not finite."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, PyTree

from journeyman.algorithms import natural_gradient, reinforce
from journeyman.episodes import Episodes
from journeyman.policies import DensityPolicy, partition, policy
from journeyman.training import Learner
from journeyman.training._learner import LearnerState, initial, learn, refit, settle, weigh
from journeyman.weights import LeaveOneOutBaseline, LinearBaseline, NetworkBaseline
from journeyman.worlds import LinearQuadratic

ROWS, TIME = 2, 6
WORLD = LinearQuadratic(np.eye(2), np.ones((2, 1)), np.eye(2), 1.0)
PLAIN = policy(WORLD, jax.random.key(0), hidden=(3,))
NETWORK = NetworkBaseline(hidden=(2,), epochs=1, batch_size=8)

LEARNERS = {
    "reinforce, network": reinforce(baseline=NETWORK),
    "reinforce, leave one out": reinforce(baseline=LeaveOneOutBaseline()),
    "natural gradient, linear": natural_gradient(baseline=LinearBaseline()),
}


def some_policy(key: Array) -> DensityPolicy:
    """Any weights, any deviation between the bounds, statistics of any scale."""
    keys = iter(jax.random.split(key, 20))
    trained, fixed = partition(PLAIN)
    any_leaf = lambda leaf: leaf + 2 * jax.random.normal(next(keys), leaf.shape)  # noqa: E731
    one = eqx.combine(jax.tree.map(any_leaf, trained), fixed)
    deviation = jnp.exp(3 * jax.random.normal(next(keys), (2,)))
    return eqx.tree_at(lambda p: (p.normalizer.deviation, p.normalizer.count), one, (deviation, jnp.asarray(50.0)))


def some_flags(key: Array) -> tuple[Array, Array, Array, Array]:
    """valid, terminated, truncated, elapsed: ends often, seldom or never, padding of any length, any first time."""
    ends, kind, rate, length, first = jax.random.split(key, 5)
    wish = jax.random.uniform(ends, (ROWS, TIME)) < jax.random.choice(rate, jnp.asarray([0.0, 0.3, 1.0]))
    room = jnp.arange(TIME)[None, :] < jax.random.randint(length, (ROWS, 1), 0, TIME + 1)
    begin = jax.random.choice(first, jnp.asarray([0, 3, 5000]), (ROWS,))

    def step(carry: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[Any, Any]:
        reset, elapsed = carry
        valid, ended = now[1] & ~reset, now[0] & now[1] & ~reset
        return (ended, jnp.where(reset, 0, elapsed + 1)), (valid, ended, elapsed)

    rows = jax.tree.map(jnp.transpose, (wish, room))
    _, out = jax.lax.scan(step, (jnp.zeros(ROWS, bool), begin), rows)
    valid, ended, elapsed = jax.tree.map(jnp.transpose, out)
    terminal = jax.random.bernoulli(kind, shape=ended.shape)
    return valid, ended & terminal, ended & ~terminal, elapsed


def some_rewards(key: Array) -> Array:
    """Noise of any size, one number everywhere, nothing, or a single reward."""
    pick, noise, size = jax.random.split(key, 3)
    noisy = jax.random.normal(noise, (ROWS, TIME))
    scale = jax.random.choice(size, jnp.asarray([1e-6, 1.0, 1e6]))
    kinds = [noisy, jnp.full_like(noisy, 0.1), jnp.zeros_like(noisy), jnp.zeros_like(noisy).at[0, 0].set(1.0)]
    return scale * jnp.stack(kinds)[jax.random.randint(pick, (), 0, len(kinds))]


def some_batch(one: DensityPolicy, key: Array) -> Episodes:
    """Whatever does not count holds nan."""
    keys = jax.random.split(key, 6)
    valid, terminated, truncated, elapsed = some_flags(keys[0])
    scale = jax.random.choice(keys[1], jnp.asarray([0.0, 1.0, 100.0]))
    observation = scale * jax.random.normal(keys[2], (ROWS, TIME + 1, 2)) + jax.random.normal(keys[3], (2,))[None, None]
    action, _ = one.act(observation[:, :-1], (), keys[4])
    seen = jnp.pad(valid, [(0, 0), (0, 1)]) | jnp.pad(valid, [(0, 0), (1, 0)])
    observation = jnp.where(seen[..., None], observation, jnp.nan)
    action = jnp.where(valid[..., None], action, jnp.nan)
    reward = jnp.where(valid, some_rewards(keys[5]), jnp.nan)
    unknown, source = jnp.full((ROWS, TIME), jnp.nan), jnp.zeros((ROWS, TIME), jnp.int8)
    return Episodes(observation, action, action, reward, unknown, terminated, truncated, valid, elapsed, source)


def iterate(learner: Learner, state: LearnerState, batch: Episodes, key: Array) -> tuple[LearnerState, Array]:
    """What `improve` does with a batch, and whether it found anything that is not finite."""
    weighed, samples = weigh(learner, state, batch)
    after, metrics = learn(learner, state, samples, key)
    after = settle(after, refit(learner, state.weight, batch, weighed.target, key), batch)
    clean = jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(eqx.filter(after, eqx.is_inexact_array))]).all()
    # Of targets that are all alike there is nothing to explain, and that is told as nan.
    said = {name: value for name, value in {**weighed.metrics, **metrics}.items() if name != "explained_variance"}
    told = jnp.stack([jnp.isfinite(value).all() for value in said.values()]).all()
    return after, jnp.stack([metrics["bad_leaf"] >= 0, weighed.metrics["bad_weights"] > 0, ~clean, ~told])


@eqx.filter_jit
def many(learner: Learner, blank: PyTree, keys: Array, spoil: Array) -> tuple[Array, Array]:
    """Two iterations on each random batch: which complaints there were, and whether the policy moved."""

    def one(key: Array) -> tuple[Array, Array]:
        first, second, third = jax.random.split(key, 3)
        actor = some_policy(first)
        batch = some_batch(actor, second)
        batch = eqx.tree_at(lambda e: e.reward, batch, batch.reward + spoil)
        arrays, static = eqx.partition(LearnerState(actor, blank.weight, blank.step, blank.collect), eqx.is_array)

        def again(arrays: PyTree, _: None) -> tuple[PyTree, tuple[Array, Array]]:
            after, problems = iterate(learner, eqx.combine(arrays, static), batch, third)
            moved = (after.policy.head.log_std != actor.head.log_std).any()  # type: ignore[attr-defined]
            return eqx.filter(after, eqx.is_array), (problems, moved)

        _, (problems, moved) = jax.lax.scan(again, arrays, None, length=2)
        return problems.any(0), moved.any()

    return jax.lax.map(one, keys, batch_size=1000)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("natural gradient, linear", 5_000),
        *(pytest.param(name, 10_000, marks=pytest.mark.slow) for name in LEARNERS),
    ],
)
def test_no_update_of_ten_thousand_is_not_finite(name: str, count: int) -> None:
    learner = LEARNERS[name]
    blank = initial(learner, PLAIN, jax.random.key(1))
    keys = jax.random.split(jax.random.key(2), count)
    problems, moved = many(learner, blank, keys, jnp.zeros(()))
    assert np.asarray(problems).sum(0).tolist() == [0, 0, 0, 0]
    assert 0.2 < np.asarray(moved).mean() < 1, "most batches teach something, constant ones and empty ones do not"
    if name == "reinforce, leave one out":
        # The control: rewards whose sums overflow are counted, and the policy does not move.
        problems, moved = many(learner, blank, keys, jnp.asarray(3e38))
        told = np.asarray(problems)[:, 1]
        assert told.mean() > 0.3
        assert not np.asarray(moved)[told].any()
