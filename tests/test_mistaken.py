"""The entry points in Python: an argument of another kind is one sentence with the remedy."""

import dataclasses
import json
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import journeyman as jm
from journeyman.algorithms import bc, dagger, ppo, reinforce
from journeyman.collect import Mean, play, rollout, start
from journeyman.episodes import Episodes
from journeyman.experts import ILQR
from journeyman.geometry import Fisher
from journeyman.parts import AbstractPart, JourneymanError, holds
from journeyman.training import Adam, KLRadius, Learner, LineSearch, Trained
from journeyman.weights import LeaveOneOutBaseline, NetworkBaseline
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


class Own(AbstractPart):
    """A part of somebody's own, which checks its numbers as parts of the library do."""

    rate: float = 0.5
    words: dict[str, Any] | None = None

    def __check_init__(self) -> None:
        if not holds(self.rate > 0):
            raise JourneymanError("The rate is positive.")


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
    (lambda: jm.Plan(steps=10, batch=10, seed=1.5), r"`seed` of Plan is 1\.5, and a whole number is needed; pass one,"),
    (lambda: Adam("1e-3"), r"^`learning_rate` of Adam is '1e-3', and a number is needed; pass one, such as 0\.001\.$"),
    (lambda: Adam(clip_norm="a"), r"^`clip_norm` of Adam is 'a', and a number or None is needed; pass one\.$"),
    (lambda: Adam(np.asarray("a")), r"^`learning_rate` of Adam is a ndarray, and a number is needed"),
    (lambda: KLRadius(None), r"^`kl` of KLRadius is None, and a number is needed; pass one, such as 0\.01\.$"),
    (
        lambda: ppo(epochs="3"),
        r"^`epochs` of NetworkBaseline is '3', and a whole number is needed; pass one, such as 2",
    ),
    (lambda: ppo(target_kl="x"), r"^`target_kl` of Learner is 'x', and a number or None is needed"),
    (lambda: Learner("a", "b", "c", "d"), r"(?s)4 things.*`weight` of Learner is 'a'.*`objective`.*`geometry`.*`step`"),
    (
        lambda: Fisher(method=3),
        r"^`method` of Fisher is 3, and a str is needed; pass one, such as 'conjugate gradients'",
    ),
    (lambda: LeaveOneOutBaseline("no"), r"^`by_step` of LeaveOneOutBaseline is 'no', and a bool is needed"),
    (lambda: NetworkBaseline(64), r"^`hidden` of NetworkBaseline is 64, and a tuple with a whole number in each place"),
    (
        lambda: NetworkBaseline((64, "a")),
        r"^`hidden` of NetworkBaseline is a tuple, and a tuple with a whole number in",
    ),
    (lambda: NetworkBaseline(epochs=0), r"^`epochs` of a network baseline must be a whole number of 1 or more, not 0"),
    (lambda: NetworkBaseline((0,), learning_rate=-1), r"(?s)2 things.*`hidden` of .* not 0.*rate is positive, not -1"),
    (lambda: ILQR("a"), r"^`world` of ILQR is 'a', and a PureWorld is needed"),
    (lambda: Own(rate="a"), r"^`rate` of Own is 'a', and a number is needed; pass one, such as 0\.5\.$"),
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
def test_whatever_has_the_type_of_a_number_is_one() -> None:
    for rate in (1, np.float32(1e-3), np.asarray(1e-3), jnp.full(3, 1e-3), np.int8(1), jnp.bfloat16(1)):
        assert Adam(rate).learning_rate is rate
        assert Own(rate).rate is rate
    traced = jax.jit(lambda rate: Adam(rate, clip_norm=rate).learning_rate + Own(rate).rate)(jnp.asarray(2.0))
    assert traced == 4
    assert jax.vmap(lambda rate: KLRadius(rate).kl)(jnp.ones(2)).tolist() == [1, 1]
    with warnings.catch_warnings():  # Equinox takes a NumPy integer for an array
        warnings.simplefilter("ignore")
        assert LineSearch(tries=np.int64(3)).tries == NetworkBaseline([3]).hidden[0] == 3
        assert LeaveOneOutBaseline(np.bool_(False)).by_step == np.bool_(False)
    assert Own(words={"a": 1}).words == {"a": 1}


@pytest.mark.usefixtures("unannotated")
def test_numpy_s_integers_are_whole_numbers() -> None:
    found = jm.evaluate(ACTOR, WORLD, episodes=np.int64(2), seed=np.uint32(3), num_envs=np.int32(2))
    same = jm.evaluate(ACTOR, WORLD, episodes=2, seed=3, num_envs=2)
    assert found.mean_action.returns.tolist() == same.mean_action.returns.tolist()
    made = jm.world("Pendulum", num_envs=np.int64(2), seed=np.int64(1))
    assert json.dumps(made.config()) == json.dumps(jm.world("Pendulum", num_envs=2, seed=1).config())
    assert jm.actor(ACTOR, WORLD, seed=np.int8(3))(np.zeros(1)) == jm.actor(ACTOR, WORLD, seed=3)(np.zeros(1))
