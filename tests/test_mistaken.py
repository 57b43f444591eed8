"""The entry points in Python: an argument of another kind is one sentence with the remedy."""

import dataclasses
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import journeyman as jm
from journeyman.algorithms import bc, dagger, reinforce
from journeyman.collect import Mean, play, rollout, start
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.training import Trained
from journeyman.worlds import LinearQuadratic

WORLD = LinearQuadratic(horizon=5, num_envs=2)
KEY = jax.random.key(0)
ACTOR = jm.policy(WORLD, KEY, hidden=(4,))
SHOWN = play(WORLD, Mean(ACTOR), episodes=2, seed=0)
PLAN = jm.Plan(steps=10, batch=10)
RESULT = Trained(ACTOR, [])


class Read(NamedTuple):
    """What reading a file gives: the episodes, and more."""

    fingerprint: str
    episodes: Episodes


@dataclasses.dataclass
class Kept:
    """The same as a dataclass."""

    policy: Any


POLICY = r"a DensityPolicy is needed; "
MISTAKES: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: jm.world(SimpleNamespace()),
        r"`name` is a SimpleNamespace, and a str is needed; register your environment",
    ),
    (
        lambda: jm.policy("Pendulum", KEY),
        r"`world` is 'Pendulum', and a World is needed; make one with journeyman\.world",
    ),
    (lambda: jm.policy(LinearQuadratic, KEY), r"`world` is the class 'LinearQuadratic'.*; pass an instance of it\."),
    (lambda: jm.policy(WORLD, 7), r"`key` is 7, and a random key is needed; pass jax\.random\.key\(7\)\."),
    (lambda: jm.policy(WORLD, KEY, hidden=64), r"`hidden` is 64, .*write hidden=\(64, 64\)"),
    (lambda: jm.policy(WORLD, KEY, head="squashed"), r"`head` is 'squashed', .*policies\.SquashedGaussian\.make\("),
    (lambda: jm.evaluate(ACTOR, "Pendulum"), r"`world` is 'Pendulum', and a World is needed"),
    (lambda: jm.evaluate(RESULT, WORLD), rf"`policy` is a Trained, and {POLICY}pass its \.policy\."),
    (lambda: jm.evaluate(Kept(ACTOR), WORLD), rf"`policy` is a Kept, and {POLICY}pass its \.policy\."),
    (
        lambda: jm.fit(bc(), ACTOR, Read("", SHOWN)),
        r"`episodes` is a Read, and an Episodes is needed; pass its \.episodes",
    ),
    (lambda: jm.fit(bc, ACTOR, SHOWN), r"`learner` is the function 'bc', and a Learner is needed; choose a recipe"),
    (lambda: jm.fit(bc(), ACTOR, SHOWN, held_out="a.npz"), r"`held_out` is 'a\.npz', and an Episodes is needed; read"),
    (lambda: jm.improve("ppo", ACTOR, WORLD, PLAN), r"`learner` is 'ppo', and a Learner is needed; choose a recipe"),
    (
        lambda: jm.improve(reinforce(), ACTOR, WORLD, PLAN, record="r"),
        r"`record` is 'r', .*journeyman\.Recorder\(FOLDER\)",
    ),
    (
        lambda: jm.improve(reinforce(), RESULT, WORLD, 10),
        r"(?s)2 things.*`policy` is a Trained.*`plan` is 10, and a Plan",
    ),
    (lambda: jm.sweep(reinforce(), ACTOR, WORLD, PLAN), r"`policies` is no list.*pass a list of them"),
    (lambda: jm.sweep(reinforce(), [ACTOR, RESULT], WORLD, PLAN), r"`policies\[1\]` is a Trained, .*pass its \.policy"),
    (lambda: jm.sweep(["ppo"], [ACTOR], WORLD, PLAN), r"`learner\[0\]` is 'ppo', and a Learner is needed"),
    (
        lambda: play(WORLD, ACTOR, episodes=1, seed=0),
        r"`behaviour` is a DensityPolicy, .*journeyman\.collect\.Mean\(policy\)",
    ),
    (lambda: rollout(WORLD, ACTOR, start(WORLD), KEY, 3), r"`behaviour` is a DensityPolicy, and a Behaviour is needed"),
    (lambda: reinforce(baseline="linear"), r"`baseline` of Advantage is 'linear', and a Baseline .* LinearBaseline"),
    (lambda: jm.evaluate(ACTOR, WORLD, episodes=2.5), r"`episodes` must be a whole number of 1 or more, not 2\.5"),
    (lambda: jm.evaluate(ACTOR, WORLD, episodes="3"), r"`episodes` must be a whole number of 1 or more, not '3'"),
    (lambda: jm.evaluate(ACTOR, WORLD, seed="a"), r"`seed` must be a whole number from 0 to 4294967295, not 'a'"),
    (lambda: jm.evaluate(ACTOR, WORLD, seed=2**70), r"`seed` must be a whole number from 0 to 4294967295, not 1180"),
    (
        lambda: jm.evaluate(ACTOR, WORLD, num_envs=0),
        r"^`num_envs` must be a whole number of 1 or more, not 0; change it",
    ),
    (
        lambda: play(WORLD, Mean(ACTOR), episodes=1, seed=0, width=0),
        r"^`width` must be a whole number of 1 or more, not",
    ),
    (lambda: jm.world("timed:Pendulum", shown="no"), r"`shown` is 'no', and a bool is needed; pass True or False"),
    (lambda: jm.world("Pendulum", seed=None), r"`seed` must be a whole number .*, not None"),
    (lambda: jm.world("Pendulum", num_envs=True), r"`num_envs` must be a whole number of 1 or more, not True"),
    (lambda: jm.world("Pendulum", num_envs="a", seed=1.5), r"(?s)2 things.*`seed` .* not 1\.5.*`num_envs` .* not 'a'"),
    (lambda: jm.actor(ACTOR, WORLD, seed="x"), r"`seed` must be a whole number .*, not 'x'"),
    (lambda: jm.actor(ACTOR, WORLD, seed=-1), r"`seed` must be a whole number .*, not -1"),
    (lambda: jm.improve(reinforce(), ACTOR, WORLD, jm.Plan(steps=10, batch=10, seed=1.5)), r"`seed` must .* not 1\.5"),
    (
        lambda: dagger(ACTOR),
        r"`expert` of Aggregate is a DensityPolicy, and an Expert is needed; pass one of PolicyExpert",
    ),
]


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(("call", "says"), MISTAKES)
def test_an_argument_of_another_kind_is_one_sentence(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(JourneymanError, match=says):
        call()


@pytest.mark.usefixtures("unannotated")
def test_numpy_s_integers_are_whole_numbers() -> None:
    found = jm.evaluate(ACTOR, WORLD, episodes=np.int64(2), seed=np.uint32(3), num_envs=np.int32(2))
    same = jm.evaluate(ACTOR, WORLD, episodes=2, seed=3, num_envs=2)
    assert found.mean_action.returns.tolist() == same.mean_action.returns.tolist()
    made = jm.world("Pendulum", num_envs=np.int64(2), seed=np.int64(1))
    assert json.dumps(made.config()) == json.dumps(jm.world("Pendulum", num_envs=2, seed=1).config())
    assert jm.actor(ACTOR, WORLD, seed=np.int8(3))(np.zeros(1)) == jm.actor(ACTOR, WORLD, seed=3)(np.zeros(1))
