"""A policy in a loop of one's own: what the environment takes, and what `evaluate` would have done."""

from typing import Any

import gymnasium
import jax
import numpy as np
import pytest

import journeyman as jm
from journeyman.collect import Mean, play
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, SquashedGaussian, policy
from journeyman.worlds import environment_seeds, world


def fresh(id: str, **options: Any) -> DensityPolicy:
    return policy(world(f"gymnasium:{id}", num_envs=1), jax.random.key(1), hidden=(8,), **options)


def played(id: str, act: Any, seed: int) -> tuple[list[Any], float]:
    env = gymnasium.make(id, max_episode_steps=30)
    observation, _ = env.reset(seed=seed)
    actions, total, over = [], 0.0, False
    while not over:
        actions.append(act(observation))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        total, over = total + float(reward), terminated or truncated
    return actions, total


@pytest.mark.parametrize("id", ["Pendulum-v1", "CartPole-v1"])
def test_an_own_loop_plays_the_episode_of_evaluate(id: str) -> None:
    one, seed = fresh(id), 5
    w = world(f"gymnasium:{id}", num_envs=1, max_episode_steps=30)
    actions, total = played(id, jm.actor(one, gymnasium.make(id)), environment_seeds(seed, 1)[0])
    found = play(w, Mean(one), episodes=1, seed=seed, width=1)
    np.testing.assert_allclose(np.stack(actions), w.action_space.clipped(found.action[0, : len(actions)]), atol=1e-5)
    assert total == pytest.approx(float(found.episode_returns()[0]), rel=1e-5)


def test_actions_are_what_the_environment_takes() -> None:
    cart, swing = gymnasium.make("CartPole-v1"), gymnasium.make("Pendulum-v1")
    act = jm.actor(fresh("CartPole-v1"), cart)
    assert type(act(np.zeros(4, np.float32))) is int
    assert act(np.zeros((3, 4))).dtype == cart.action_space.dtype
    assert jm.actor(fresh("CartPole-v1"), world("gymnasium:CartPole-v1"))(np.zeros((3, 4))).dtype == np.int32
    wide = fresh("Pendulum-v1")
    draws = np.stack([jm.actor(wide, swing, seed=seed)(np.zeros(3)) for seed in range(40)])
    assert draws.dtype == np.float32
    assert all(swing.action_space.contains(draw) for draw in draws)
    assert (np.abs(draws) == 2).any(), "some draws lie outside of the box, and are clipped to it"
    many = jm.actor(wide, gymnasium.make_vec("Pendulum-v1", num_envs=3))
    assert many(np.zeros((3, 3))).shape == (3, 1)


class Fine(gymnasium.Env):
    """Its box has bounds that float32 does not hold."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float64)
    action_space = gymnasium.spaces.Box(-0.1, 0.1, (1,), np.float64)


class Loose(Fine):
    """Takes a dictionary."""

    action_space = gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2)})


def test_bounds_are_in_the_environment_s_own_precision() -> None:
    act, env = jm.actor(fresh("Pendulum-v1"), Fine(), seed=0), Fine()
    draws = [act(np.zeros(3)) for _ in range(40)]
    assert all(env.action_space.contains(draw) for draw in draws)
    assert {-0.1, 0.1} <= {float(draw[0]) for draw in draws}
    assert all(env.action_space.contains(draw) for draw in act(np.zeros((40, 3))))


def test_mean_and_draws() -> None:
    one, env, seen = fresh("Pendulum-v1"), gymnasium.make("Pendulum-v1"), np.asarray([0.1, 0.2, 0.3])
    act = jm.actor(one, env)
    assert np.array_equal(act(seen), act(seen))
    first, again, other = (jm.actor(one, env, seed=seed) for seed in (0, 0, 1))
    draws = [first(seen) for _ in range(300)]
    assert np.array_equal(draws, [again(seen) for _ in range(300)])
    assert len({draw.item() for draw in draws if abs(draw.item()) < 2}) > 100, "every call draws anew"
    assert not np.array_equal(draws[0], other(seen))
    assert np.allclose(act(np.stack([seen, seen])), act(seen))


def test_choices_and_dictionaries_are_read() -> None:
    lake = jm.actor(fresh("FrozenLake-v1"), gymnasium.make("FrozenLake-v1"))
    assert lake(3) == lake(np.int64(3)) == lake(np.asarray([3, 3]))[1]
    w = world("timed:LinearQuadratic", horizon=5, num_envs=1)
    told = jm.actor(policy(w, jax.random.key(0), hidden=()), w)
    (name, time) = sorted(w.observation_space, key=lambda key: key == "time")
    assert told({name: np.zeros(1), time: 2}).shape == (1,)
    with pytest.raises(JourneymanError, match="The observation has shape"):
        told(np.zeros(1))


@pytest.mark.usefixtures("unannotated")
def test_refusals() -> None:
    one, env = fresh("Pendulum-v1"), gymnasium.make("Pendulum-v1")
    act = jm.actor(one, env)
    with pytest.raises(JourneymanError, match=r"has shape \(5,\), and 'Pendulum-v1' shows \(3,\); pass one of those"):
        act(np.zeros(5))
    with pytest.raises(JourneymanError, match="has entries that are not finite"):
        act(np.asarray([0, np.nan, 0]))
    with pytest.raises(JourneymanError, match="or no integers where 'FrozenLake-v1' shows some"):
        jm.actor(fresh("FrozenLake-v1"), gymnasium.make("FrozenLake-v1"))(0.5)
    with pytest.raises(JourneymanError, match="has entries that are not finite numbers"):
        act(np.asarray([0, None, 0], object))
    for outside in (16, -1, np.asarray([3, 99])):
        with pytest.raises(JourneymanError, match=r"has integers that 'FrozenLake-v1' does not show: its observ.*n=16"):
            jm.actor(fresh("FrozenLake-v1"), gymnasium.make("FrozenLake-v1"))(outside)
    with pytest.raises(
        JourneymanError, match=r"'CartPole-v1' shows observations of shapes \(\(4,\),\), the policy reads"
    ):
        jm.actor(one, gymnasium.make("CartPole-v1"))
    with pytest.raises(JourneymanError, match=r"The action of 'Loose' is Dict.* can be acted on; wrap the environment"):
        jm.actor(one, Loose())
    with pytest.raises(JourneymanError, match="`environment` is 'Pendulum', which has no observation_space"):
        jm.actor(one, "Pendulum")
    with pytest.raises(JourneymanError, match=r"`policy` is a SquashedGaussian, and a DensityPolicy is needed"):
        jm.actor(SquashedGaussian.make(world("Pendulum").action_space), env)
