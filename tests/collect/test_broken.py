"""What is not finite ends its episode, is counted, and reaches no learner; for both kinds of world by one rule."""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import reinforce
from journeyman.collect import Carry, Sample, rollout, start
from journeyman.collect._rollout import mended
from journeyman.diagnose import evaluate
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.training import Plan, improve
from journeyman.weights import NoBaseline
from journeyman.worlds import AbstractPureWorld, Box, GymnasiumWorld, Outcome


class _Breaks(AbstractPureWorld):
    """Counts up from 1 for six steps; an odd environment breaks at its fourth: in its reward, or in what it shows."""

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards"})

    where: str = "observation"
    num_envs: int = 2
    seed: int = 0

    name = "Breaks"
    horizon = 6
    observation_space = Box.unbounded(1)
    action_space = Box.unbounded(1)

    def reset(self, key: Any) -> Any:
        first = jnp.nan if self.where == "start" else 1.0
        return jnp.asarray(first), jax.random.bernoulli(key)

    def step(self, state: Any, action: Any, key: Any) -> tuple[Any, Outcome]:
        place, breaks = state
        bad = breaks & (place >= 4)
        reward = jnp.where(bad & (self.where == "reward"), jnp.inf, 1.0)
        place = jnp.where(bad & (self.where == "observation"), jnp.nan, place + 1)
        return (place, breaks), Outcome(reward, jnp.zeros((), bool), place >= 7)

    def observe(self, state: Any) -> Any:
        return state[0][None]


@functools.cache
def gathered(where: str) -> tuple[Carry, Episodes, np.ndarray]:
    """A stream of 16 environments, and which steps ended by breaking."""
    world = _Breaks(where, num_envs=16)
    carry, episodes = rollout(
        world, Sample(policy(world, jax.random.key(0), hidden=())), start(world), jax.random.key(1), 30
    )
    return carry, episodes, np.asarray(episodes.terminated)


@pytest.mark.parametrize("where", ["reward", "observation"])
def test_a_broken_step_terminates_pays_nothing_and_is_counted(where: str) -> None:
    carry, episodes, broken = gathered(where)
    assert 16 < broken.sum() < 16 * 6, "some environments break, and some do not"
    assert int(np.asarray(carry.broken).sum()) == broken.sum()
    assert np.isfinite(np.asarray(episodes.reward)).all()
    assert np.isfinite(np.asarray(episodes.observation)).all()
    # It stands where it broke; a reset follows, and a whole new episode.
    np.testing.assert_array_equal(np.asarray(episodes.now)[broken], 4.0)
    assert (np.asarray(episodes.reward)[broken] == 0).all()
    assert not np.asarray(episodes.truncated)[broken].any()
    follows = np.roll(broken, 1, axis=1)
    follows[:, 0] = False
    assert not np.asarray(episodes.valid)[follows].any()
    np.testing.assert_array_equal(np.asarray(episodes.next)[follows], 1.0)
    if where == "observation":
        np.testing.assert_array_equal(np.asarray(episodes.next)[broken], 4.0)
    # The invariants hold: they are checked when the episodes are made on the host.
    Episodes(**{name: np.asarray(getattr(episodes, name)) for name in Episodes.__dataclass_fields__})


def test_without_the_rule_the_invariants_do_not_hold() -> None:
    _, episodes, broken = gathered("observation")
    shown = np.array(episodes.observation)
    shown[:, 1:][broken] = np.nan
    fields = {name: np.asarray(getattr(episodes, name)) for name in Episodes.__dataclass_fields__}
    with pytest.raises(JourneymanError, match=r"The successor is not finite at stream"):
        Episodes(**{**fields, "observation": shown})


def test_nothing_is_learned_from_them_and_the_row_tells() -> None:
    world = _Breaks("reward", num_envs=8)
    plan = Plan(steps=3 * 160, batch=160)
    found = improve(reinforce(baseline=NoBaseline()), policy(world, jax.random.key(0), hidden=()), world, plan)
    assert all(row["broken_steps"] > 0 for row in found.rows)
    assert all(np.isfinite(row["return"]) for row in found.rows)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.policy) if isinstance(leaf, jax.Array))
    whole = dataclasses.replace(world, where="never")
    quiet = improve(reinforce(baseline=NoBaseline()), policy(whole, jax.random.key(0), hidden=()), whole, plan)
    assert [row["broken_steps"] for row in quiet.rows] == [0, 0, 0]


def test_an_evaluation_tells_of_them() -> None:
    world = _Breaks("reward", num_envs=4)
    fresh = policy(world, jax.random.key(0), hidden=())
    found = evaluate(fresh, world, episodes=16, sampled=False)
    short = found.mean_action.lengths < 6
    assert found.broken_steps == short.sum() > 0, "what is played beyond an environment's last episode is none of it"
    both = evaluate(fresh, world, episodes=16)
    assert both.sampled is not None
    assert both.broken_steps == found.broken_steps + both.sampled.broken_steps > found.broken_steps
    assert evaluate(fresh, dataclasses.replace(world, where="nowhere"), episodes=16).broken_steps == 0


@pytest.mark.parametrize("length", [3, 40])
def test_a_simulator_breaks_once_an_episode(length: int) -> None:
    """It shows nan from its second step on, and goes on until it ends the episode itself."""
    gymnasium = pytest.importorskip("gymnasium")

    class Falls(gymnasium.Env):
        observation_space = action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
            self.time = 0
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> tuple:
            self.time += 1
            shown = np.full(1, 0.0 if self.time < 2 else np.nan, np.float32)
            return shown, 1.0, False, self.time >= length, {}

    def vector(num_envs: int) -> Any:
        return gymnasium.vector.SyncVectorEnv([Falls] * num_envs)

    world = GymnasiumWorld.from_vector_env(vector(2), rebuild=vector)
    found = evaluate(policy(world, jax.random.key(0), hidden=()), world, episodes=5, num_envs=2, sampled=False)
    assert (found.broken_steps, found.mean_action.lengths.tolist()) == (5, [2] * 5)


def test_a_world_that_begins_broken_is_refused() -> None:
    with pytest.raises(JourneymanError, match="4 of 4 environments of 'Breaks' begin with an observation"):
        start(_Breaks("start", num_envs=4))


def test_the_rule_is_the_same_for_arrays_of_the_host() -> None:
    before = {"x": np.ones((4, 2), np.float32), "n": np.zeros(4, np.int32)}
    after = {"x": np.asarray([[2, 2], [np.nan, 2], [2, 2], [2, -np.inf]], np.float32), "n": np.ones(4, np.int32)}
    reward = np.asarray([1, 1, np.nan, np.nan], np.float32)
    resets, flags = np.asarray([False, False, False, True]), np.asarray([False, False, True, True])
    one, other = (mended(xp, resets, before, after, reward, flags, flags) for xp in (np, jnp))
    assert one.broken.tolist() == [False, True, True, True]
    assert one.reward.tolist() == [1, 0, 0, 0]
    assert one.terminated.tolist() == [False, True, True, False], "a reset step has no flags"
    assert one.truncated.tolist() == [False, False, False, False]
    assert one.observation["x"].tolist() == [[2, 2], [1, 1], [1, 1], [1, 1]]
    assert one.observation["n"].tolist() == [1, 0, 0, 0], "an observation is kept whole"
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
