"""Environments out of step: who begins when, and that nothing but the episode under way is lost."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, PyTree

import journeyman as jm
from journeyman.collect import Mean, Sample, beginning, restarted, rollout, start
from journeyman.policies import DensityPolicy, policy
from journeyman.training import Plan, improve
from journeyman.training._loop import Loop
from journeyman.worlds import AbstractPureWorld, AbstractWorld, Box, Outcome, world


class Clock(AbstractPureWorld):
    """Shows how many steps were taken, and is truncated after ten; a reset may show nan."""

    num_envs: int = 6
    seed: int = 0
    horizon: int | None = 10
    fails: bool = False

    name = "Clock"
    observation_space = Box.unbounded(1)
    action_space = Box.unbounded(1)

    def reset(self, key: Array) -> PyTree:
        wrong = jax.random.bernoulli(key, 0.5) & self.fails
        return jnp.where(wrong, jnp.nan, 0.0)

    def step(self, state: PyTree, action: Array, key: Array) -> tuple[PyTree, Outcome]:
        return state + 1, Outcome(jnp.ones(()), jnp.zeros((), bool), state + 1 >= self.horizon)

    def observe(self, state: PyTree) -> PyTree:
        return state[None]


def actor(made: AbstractWorld) -> DensityPolicy:
    return policy(made, jax.random.key(0), hidden=())


def test_every_environment_begins_once_and_the_starts_are_spread_over_the_horizon() -> None:
    made = Clock(num_envs=32, horizon=1000)
    began = np.array([beginning(made, 128, j) for j in range(40)])  # K = ⌈1000/128⌉ = 8
    np.testing.assert_array_equal(began.sum(0), [0] * 4 + [1] * 28)
    np.testing.assert_array_equal(began.sum(1), [0] + [4] * 7 + [0] * 32)


def test_few_environments_are_spread_as_far_as_many() -> None:
    began = np.array([beginning(Clock(num_envs=4, horizon=1000), 128, j) for j in range(8)])
    np.testing.assert_array_equal(np.flatnonzero(began.any(1)), [2, 4, 6])


@pytest.mark.parametrize(("horizon", "num_steps"), [(10, 10), (10, 11), (None, 3)])
def test_whole_episodes_and_endless_ones_are_left_alone(horizon: int | None, num_steps: int) -> None:
    assert beginning(Clock(horizon=horizon), num_steps, 1) is None  # type: ignore[arg-type]


def test_a_pure_environment_begins_and_the_others_go_on() -> None:
    made = Clock()
    carry, _ = rollout(made, Mean(actor(made)), start(made), jax.random.key(1), 3)
    which = np.array([False, True, False, False, True, False])
    after, began = restarted(made, carry, which, jax.random.key(2))
    np.testing.assert_array_equal(began, which)
    np.testing.assert_array_equal(after.observation[:, 0], [3, 0, 3, 3, 0, 3])
    np.testing.assert_array_equal(after.elapsed, [3, 0, 3, 3, 0, 3])
    _, episodes = rollout(made, Mean(actor(made)), after, jax.random.key(3), 10)
    np.testing.assert_array_equal(np.asarray(episodes.truncated).argmax(1), [6, 9, 6, 6, 9, 6])
    assert bool(np.asarray(episodes.valid)[[1, 4]].all())  # no step is spent on the reset


def test_an_environment_that_had_ended_begins_once_only() -> None:
    made = Clock()
    carry, _ = rollout(made, Mean(actor(made)), start(made), jax.random.key(1), 10)
    assert carry.ended.all()
    after, _ = restarted(made, carry, np.arange(6) < 3, jax.random.key(2))
    _, episodes = rollout(made, Mean(actor(made)), after, jax.random.key(3), 4)
    np.testing.assert_array_equal(np.asarray(episodes.valid[:, 0]), [True] * 3 + [False] * 3)


@pytest.mark.parametrize("staggered", [True, False])
def test_every_batch_holds_early_and_late_steps_once_all_have_begun(staggered: bool) -> None:
    """Episodes of 12 steps in rollouts of 3; the control: in step, a batch holds one part of them."""
    made = Clock(num_envs=8, horizon=12)
    carry, both = start(made), []
    for j in range(1, 13):
        carry, episodes = rollout(made, Mean(actor(made)), carry, jax.random.key(j), 3)
        step = np.asarray(episodes.elapsed)[np.asarray(episodes.valid)]
        both.append(bool((step < 4).any() and (step >= 8).any()))
        which = beginning(made, 3, j)
        assert which is not None
        if staggered:
            carry, _ = restarted(made, carry, which, jax.random.key(100 + j))
    assert all(both[4:]) == staggered


@pytest.mark.parametrize("mode", ["async", "by hand"])
def test_other_vector_environments_begin_one_by_one(mode: str) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    if mode == "async":
        made = world("gymnasium:Pendulum-v1", num_envs=3, vectorization="async")
    else:
        disabled = {"autoreset_mode": gymnasium.vector.AutoresetMode.DISABLED}
        env = gymnasium.make_vec("Pendulum-v1", num_envs=3, vectorization_mode="sync", vector_kwargs=disabled)
        made = jm.worlds.GymnasiumWorld.from_vector_env(env)
    carry, _ = rollout(made, Mean(actor(made)), start(made), jax.random.key(1), 7)
    which = np.array([True, False, False])
    after, began = restarted(made, carry, which, jax.random.key(2))
    np.testing.assert_array_equal(began, which)
    np.testing.assert_array_equal(after.observation[1:], carry.observation[1:])
    assert not np.array_equal(after.observation[0], carry.observation[0])
    _, episodes = rollout(made, Mean(actor(made)), after, jax.random.key(3), 200)
    np.testing.assert_array_equal(_elapsed_ends(episodes), [199, 192, 192])
    made.close()  # type: ignore[attr-defined]


def test_a_start_that_is_not_finite_is_broken_and_begun_again() -> None:
    made = Clock(num_envs=64)
    carry, _ = rollout(made, Mean(actor(made)), start(made), jax.random.key(1), 3)
    after, _ = restarted(eqx.tree_at(lambda w: w.fails, made, True), carry, np.ones(64, bool), jax.random.key(2))
    failed = np.asarray(after.broken) > 0
    assert 10 < failed.sum() < 54
    np.testing.assert_array_equal(after.ended, failed)
    np.testing.assert_array_equal(after.observation[:, 0], np.where(failed, 3, 0))
    later, _ = rollout(made, Mean(actor(made)), after, jax.random.key(3), 2)
    np.testing.assert_array_equal(later.elapsed, np.where(failed, 1, 2))


HOSTS = ["envpool:Pendulum-v1", "gymnasium:Pendulum-v1", "timed:envpool:Pendulum-v1"]


def _elapsed_ends(episodes: jm.Episodes) -> np.ndarray:
    return np.asarray(episodes.ended).argmax(1)


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("num_steps", [20, 130])  # stepped from Python and, with EnvPool on Linux, compiled
def test_simulators_begin_and_the_others_go_on(name: str, num_steps: int) -> None:
    made = world(name, num_envs=4, max_episode_steps=200)
    behaviour = Sample(actor(made))
    carry, _ = rollout(made, behaviour, start(made), jax.random.key(1), num_steps)
    which = np.array([False, True, False, True])
    after, began = restarted(made, carry, which, jax.random.key(2))
    np.testing.assert_array_equal(began, which)
    np.testing.assert_array_equal(after.elapsed, np.where(which, 0, num_steps))
    old, new = (jax.tree.leaves(one.observation)[0] for one in (carry, after))
    np.testing.assert_array_equal(new[~which], old[~which])
    assert not np.equal(new[which], old[which]).all(axis=-1).any()
    if name.startswith("timed:"):
        np.testing.assert_array_equal(after.observation["time"], np.where(which, 0, num_steps))
    _, episodes = rollout(made, behaviour, after, jax.random.key(3), 200)
    np.testing.assert_array_equal(_elapsed_ends(episodes), np.where(which, 199, 199 - num_steps))
    made.close()  # type: ignore[attr-defined]


def test_simulators_of_unknown_habits_go_on_as_they_were() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make_vec("Pendulum-v1", num_envs=2)
    made = jm.worlds.GymnasiumWorld.from_vector_env(env)
    carry = start(made)
    after, began = restarted(made, carry, np.array([True, False]), jax.random.key(0))
    assert not began.any()
    assert after is carry


@pytest.mark.parametrize("name", ["envpool:Pendulum-v1", "gymnax:Pendulum-v1"])
def test_improve_spreads_its_episodes_and_counts_whole_ones_only(name: str) -> None:
    """Episodes of 200 steps (and one that resets) in rollouts of 50: together they would all end in the same one."""
    made = world(name, num_envs=8)
    plan = Plan(steps=8 * 50 * 10, batch=8 * 50)
    rows = improve(jm.algorithms.natural_gradient(), actor(made), made, plan).rows
    assert [row.get("finished", 0) for row in rows] == [0, 0, 0, 2, 2, 2, 2, 0, 2, 2]
    assert all(row["length"] == 200 for row in rows if "length" in row)


@pytest.mark.parametrize(("num_steps", "horizon", "every"), [(50, 200, 25), (20, 200, 40), (7, 200, 116), (1, 10, 40)])
def test_simulators_that_are_made_afresh_have_seen_four_episodes_by_then(
    num_steps: int, horizon: int, every: int
) -> None:
    made = world("envpool:Pendulum-v1", num_envs=2, max_episode_steps=horizon)
    plan = Plan(steps=10, batch=2 * num_steps)
    assert Loop(jm.algorithms.natural_gradient(), made, plan, jm.Recorder()).checkpoint_every == every
    given = dataclasses.replace(plan, checkpoint_every=3)
    assert Loop(jm.algorithms.natural_gradient(), made, given, jm.Recorder()).checkpoint_every == 3
    pure = world("gymnax:Pendulum-v1", num_envs=2)
    assert Loop(jm.algorithms.natural_gradient(), pure, plan, jm.Recorder()).checkpoint_every == 25


def test_whole_batches_can_be_kept_in_step() -> None:
    made = world("gymnax:Pendulum-v1", num_envs=8)
    plan = Plan(steps=8 * 50 * 8, batch=8 * 50, staggered=False)
    rows = improve(jm.algorithms.natural_gradient(), actor(made), made, plan).rows
    assert [row.get("finished", 0) for row in rows] == [0, 0, 0, 8, 0, 0, 0, 0]
