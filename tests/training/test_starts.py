"""Every batch of practice says in how many different states its episodes began, as a count on the host does."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import reinforce
from journeyman.episodes import Episodes, concatenate
from journeyman.policies import policy
from journeyman.training import Plan, improve, sweep
from journeyman.training._tally import MOST_STARTS, starts
from journeyman.weights import NoBaseline
from journeyman.worlds import LinearQuadratic, world

PLAN = Plan(steps=3 * 40, batch=40)


def counted(episodes: Episodes) -> tuple[int, int]:
    found = jax.jit(starts)(episodes)
    return int(found["starts"]), int(found["distinct_starts"])


KINDS = [np.float32, np.float16, np.int32, np.int16, np.uint8, np.bool_, jnp.bfloat16]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_they_are_the_host_s_whatever_an_observation_is(kind: Any) -> None:
    """Rows of two columns with few values, so that many are equal and many differ in one of them, or swap the two."""
    rng = np.random.default_rng(0)
    shown = [rng.integers(-1, 4, (3, 2)).astype(np.float32) for _ in range(60)]
    episodes = concatenate(
        [Episodes.episode({"a": one.astype(kind), "b": one[:, :1]}, np.zeros((2, 1))) for one in shown]
    )
    assert counted(episodes) == (60, episodes.distinct_starts())
    assert 1 < episodes.distinct_starts() < 60


def test_doubles_that_differ_in_their_last_bit_differ(x64: None) -> None:
    near = [1.0, np.nextafter(1.0, 2.0), 1.0, -0.0, 0.0]
    one = concatenate([Episodes.episode(np.full((2, 1), at), np.zeros((1, 1))) for at in near])
    assert np.asarray(one.observation).dtype == np.float64
    assert counted(one) == (5, 3)


def test_only_where_an_episode_begins_and_of_many_the_first() -> None:
    whole = Episodes.episode(np.arange(4.0)[:, None], np.zeros((3, 1)))
    assert counted(whole.cut(1, 3)) == (0, 0)
    assert counted(concatenate([whole, whole.cut(1, 3)])) == (1, 1)
    more = MOST_STARTS + 10
    rows = np.arange(4.0 * more).reshape(more, 4, 1)
    many = dataclasses.replace(jax.tree.map(lambda leaf: np.stack([leaf] * more), whole), observation=rows)
    assert counted(many) == (MOST_STARTS, MOST_STARTS)
    assert many.distinct_starts() == more


@pytest.mark.parametrize(("spread", "differ"), [(1.0, 8), (0.0, 1)])
def test_a_row_of_practice_has_them(spread: float, differ: int) -> None:
    """A world with one start shows 1 of 8; eight episodes of five steps are a batch."""
    eight = LinearQuadratic(horizon=5, start_std=spread, num_envs=8)
    learner, fresh = reinforce(baseline=NoBaseline()), policy(eight, jax.random.key(0), hidden=())
    found = improve(learner, fresh, eight, PLAN)
    assert [(row["starts"], row["distinct_starts"]) for row in found.rows] == [(8, differ)] * 3
    both = sweep(learner, [fresh, fresh], eight, PLAN)
    assert [row["distinct_starts"] for row in both.rows] == [[differ] * 2] * 3


def test_simulators_on_the_host_are_counted_too() -> None:
    two = world("Pendulum-v1", num_envs=2, seed=0)
    learner, fresh = reinforce(baseline=NoBaseline()), policy(two, jax.random.key(0), hidden=())
    found = improve(learner, fresh, two, Plan(steps=2 * 402, batch=402, staggered=False))
    assert [(row["starts"], row["distinct_starts"]) for row in found.rows] == [(2, 2)] * 2
