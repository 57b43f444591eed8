"""Exactly n episodes, whatever the width, and no favour to the short ones."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from journeyman.collect import Sample, play, rollout, start
from journeyman.parts import JourneymanError, fingerprint
from journeyman.policies import DensityPolicy, policy
from journeyman.worlds import AbstractPureWorld, Box, GeometricChain, LinearQuadratic, Outcome


class _Lots(AbstractPureWorld):
    """An episode lasts 1 or 9 steps, each half of the time, and its length is its return."""

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards"})

    num_envs: int = 4
    seed: int = 0

    name = "Lots"
    horizon = None
    observation_space = Box.unbounded(1)
    action_space = Box.unbounded(1)

    def reset(self, key: Array) -> Array:
        return jnp.where(jax.random.bernoulli(key), 9, 1).astype(jnp.int32)

    def step(self, state: Array, action: Array, key: Array) -> tuple[Array, Outcome]:
        return state - 1, Outcome(jnp.ones(()), state <= 1, jnp.zeros((), bool))

    def observe(self, state: Array) -> Array:
        return state[None].astype(jnp.float32)


def actor(world: AbstractPureWorld = _Lots()) -> DensityPolicy:
    return policy(world, jax.random.key(0), hidden=())


@pytest.mark.parametrize(("episodes", "width"), [(1, 64), (5, 5), (7, 3), (12, 4)])
def test_exactly_as_many_episodes_as_asked_each_environment_with_its_quota(episodes: int, width: int) -> None:
    played = play(_Lots(), Sample(actor()), episodes=episodes, seed=3, width=width)
    width = min(width, episodes)
    assert len(played.episode_returns()) == episodes
    assert played.batch_shape == (width,)
    quota = [len(range(i, episodes, width)) for i in range(width)]
    np.testing.assert_array_equal(np.asarray(played.ended).sum(1), quota)
    assert len(list(played.unpack())) == episodes, "and not a step more"
    assert not np.asarray(played.reward)[~np.asarray(played.valid)].any()
    again = play(_Lots(), Sample(actor()), episodes=episodes, seed=3, width=width)
    assert again.fingerprint() == played.fingerprint()


def test_the_first_to_end_are_not_favoured() -> None:
    # Mean return 5, standard deviation 4; the first n that end in a row of many are mostly of length 1.
    returns = play(_Lots(), Sample(actor()), episodes=600, seed=1, width=200).episode_returns()
    assert abs(returns.mean() - 5.0) < 4 * 4.0 / math.sqrt(600)
    # The control: of everything that has ended within 9 steps of 200 environments the short ones are most.
    world = _Lots(num_envs=200)
    _, first = rollout(world, Sample(actor()), start(world), jax.random.key(0), 9)
    assert not abs(first.episode_returns().mean() - 5.0) < 4 * 4.0 / math.sqrt(600)


def test_the_world_given_is_not_touched_and_another_seed_plays_otherwise() -> None:
    world = LinearQuadratic(horizon=5, start_std=1.0, num_envs=3, seed=9)
    one = actor(world)
    before = fingerprint(start(world))
    first, second = (play(world, Sample(one), episodes=3, seed=seed).fingerprint() for seed in (0, 1))
    assert first != second
    assert fingerprint(start(world)) == before


def test_refusals() -> None:
    with pytest.raises(JourneymanError, match="`episodes` must be a whole number of 1 or more, not 0"):
        play(_Lots(), Sample(actor()), episodes=0, seed=0)
    chain = GeometricChain()
    stays = policy(chain, jax.random.key(0), hidden=())
    network = type(stays.network)((jnp.zeros((1, 2)),), (jnp.asarray([-100.0, 100.0]),))
    stays = DensityPolicy(stays.encoder, stays.normalizer, network, stays.head)
    with pytest.raises(JourneymanError, match="'GeometricChain' did not end within 200 steps; give the world a time"):
        play(chain, Sample(stays), episodes=2, seed=0, longest=200)
