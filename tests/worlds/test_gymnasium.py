"""Anyone's vector environment, by what it declares about its resets."""

import contextlib
import sys
import types

import jax
import numpy as np
import pytest

from journeyman.parts import JourneymanError
from journeyman.policies import Encoder, MultiCategorical, policy
from journeyman.worlds import (
    Box,
    Discrete,
    GymnasiumWorld,
    MultiBinary,
    MultiDiscrete,
    environment_seeds,
    world,
    world_config,
)
from journeyman.worlds._states import _play
from journeyman.worlds._success import Successes

gymnasium = pytest.importorskip("gymnasium")
from gymnasium.vector import AutoresetMode, SyncVectorEnv  # noqa: E402


class Count(gymnasium.Env):
    """Shows (start, steps taken); pays what it has counted; terminates after three steps."""

    observation_space = gymnasium.spaces.Box(-1e6, 1e6, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, length=3):
        self.length, self.received = length, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.start, self.count = float(self.np_random.integers(1_000)), 0
        return np.array([self.start, 0.0]), {}

    def step(self, action):
        self.count += 1
        self.received.append(float(action[0]))
        return np.array([self.start, self.count]), float(self.count), self.count >= self.length, False, {}


def vector(mode, lengths=(3, 5)):
    return SyncVectorEnv([lambda n=n: Count(n) for n in lengths], autoreset_mode=mode)


def play(made, steps):
    first = made.reset()
    return [first] + [made.step(np.zeros((made.num_envs, 1), np.float32)) for _ in range(steps)]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_both_modes_give_the_stream_of_the_interface(mode):
    made = GymnasiumWorld.from_vector_env(vector(mode), seed=1)
    _, *answers = play(made, 9)
    # lengths 3 and 5: counted by hand, the reset step shows 0 and pays 0
    assert [a.observation[0, 1] for a in answers] == [1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [a.observation[1, 1] for a in answers] == [1, 2, 3, 4, 5, 0, 1, 2, 3]
    assert [a.reward[0] for a in answers] == [1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [bool(a.terminated[0]) for a in answers] == [False, False, True, False] * 2 + [False]
    assert [bool(a.terminated[1]) for a in answers] == [False] * 4 + [True] + [False] * 4
    starts = [a.observation[0, 0] for a in answers]
    assert len({*starts[:3]}) == len({*starts[3:7]}) == 1
    assert starts[2] != starts[3]


def test_the_first_observations_come_from_the_world_s_seeds():
    made = GymnasiumWorld.from_vector_env(vector(AutoresetMode.NEXT_STEP), seed=1)
    want = [Count().reset(seed=s)[0][0] for s in environment_seeds(1, 2)]
    assert made.reset()[:, 0].tolist() == want
    assert made.reset().dtype == np.float32


def test_the_same_step_mode_and_an_undeclared_one_are_refused():
    with pytest.raises(JourneymanError, match="collide in one place; make it with autoreset_mode"):
        GymnasiumWorld.from_vector_env(vector(AutoresetMode.SAME_STEP))
    silent = vector(AutoresetMode.NEXT_STEP)
    silent.metadata = {}
    with pytest.raises(JourneymanError, match="does not declare how it resets"):
        GymnasiumWorld.from_vector_env(silent)


def test_one_that_was_handed_in_is_made_again_only_if_told_how():
    made = GymnasiumWorld.from_vector_env(vector(AutoresetMode.NEXT_STEP))
    with pytest.raises(JourneymanError, match="rebuild=lambda num_envs"):
        made.remake(seed=1)
    with pytest.raises(JourneymanError, match="handed in and has no name"):
        world_config(made)
    told = GymnasiumWorld.from_vector_env(
        vector(AutoresetMode.NEXT_STEP), rebuild=lambda n: vector(AutoresetMode.NEXT_STEP, (3,) * n)
    )
    again = told.remake(seed=4, num_envs=5).remake(seed=4)
    assert again.reset().shape == (5, 2)


def broken(num_envs):
    raise OSError("no display")


@pytest.mark.parametrize(
    ("rebuild", "said"),
    [
        (
            lambda n: vector(AutoresetMode.NEXT_STEP),
            "`rebuild` was asked for 5 environments and made 2; write rebuild=",
        ),
        (lambda: vector(AutoresetMode.NEXT_STEP), r"asked for 5 environments and failed \(TypeError: .*positional arg"),
        (broken, r"asked for 5 environments and failed \(OSError: no display\); mend it"),
    ],
)
def test_a_rebuild_that_makes_something_else_is_one_sentence(rebuild, said):
    told = GymnasiumWorld.from_vector_env(vector(AutoresetMode.NEXT_STEP), rebuild=rebuild)
    with pytest.raises(JourneymanError, match=said):
        told.remake(seed=1, num_envs=5)


def test_a_time_limit_is_one_step_or_more():
    for horizon in (0, -3):
        with pytest.raises(JourneymanError, match=f"`horizon` must be a whole number of 1 or more, not {horizon}"):
            GymnasiumWorld.from_vector_env(vector(AutoresetMode.NEXT_STEP), horizon=horizon)


def test_a_world_that_is_refused_leaves_no_simulator_open():
    opened = []

    class Scalar(Count):
        action_space = gymnasium.spaces.Box(-1, 1, ())

        def __init__(self):
            super().__init__()
            opened.append(self)

        def close(self):
            opened.remove(self)

    gymnasium.register("Scalar-v0", Scalar)
    try:
        with pytest.raises(JourneymanError, match="an action here is one vector"):
            GymnasiumWorld.make("Scalar-v0", num_envs=3)
    finally:
        del gymnasium.registry["Scalar-v0"]
    assert opened == []


def test_actions_are_clipped():
    env = vector(AutoresetMode.NEXT_STEP)
    made = GymnasiumWorld.from_vector_env(env)
    made.reset()
    made.step(np.array([[7.0], [-7.0]]))
    assert [inner.received for inner in env.envs] == [[1.0], [-1.0]]


def spaced(observation, action=None):
    class Shaped(Count):
        observation_space = observation
        action_space = action or Count.action_space

    return SyncVectorEnv([Shaped])


def test_spaces_are_translated_and_others_refused_by_name():
    s = gymnasium.spaces
    nested = s.Dict({"pixels": s.Box(0, 255, (2, 2), np.uint8), "inner": s.Dict({"tool": s.Discrete(4)})})
    made = GymnasiumWorld.from_vector_env(spaced(nested))
    assert isinstance(made.observation_space["pixels"], Box)
    assert made.observation_space["pixels"].high.dtype == np.float32
    assert made.observation_space["inner"]["tool"] == Discrete(4)
    for space, said in [
        (s.MultiBinary((2, 2)), "flat MultiBinary"),
        (s.MultiDiscrete([[2, 2], [2, 2]]), "flat MultiDiscrete from 0"),
        (s.MultiDiscrete([2, 2], start=[1, 0]), "flat MultiDiscrete from 0"),
        (s.Discrete(3, start=1), "Discrete from 0"),
        (s.Dict({"a": s.Dict({"b": s.Text(4)})}), r"\['a'\]\['b'\] is Text"),
    ]:
        with pytest.raises(JourneymanError, match=said):
            GymnasiumWorld.from_vector_env(spaced(space))
    with pytest.raises(JourneymanError, match="action of"):
        GymnasiumWorld.from_vector_env(spaced(Count.observation_space, s.Tuple([s.Discrete(2)])))
    with pytest.raises(JourneymanError, match=r"action of SyncVectorEnv is Dict.* can be acted on; wrap the environ"):
        GymnasiumWorld.from_vector_env(spaced(Count.observation_space, s.Dict({"a": s.Discrete(2)})))


def test_several_choices_and_bits_are_seen_and_acted_on_and_refused_out_of_range():
    s = gymnasium.spaces
    seen = s.Dict({"bits": s.MultiBinary(3), "tools": s.MultiDiscrete([2, 4])})

    class Echo(gymnasium.Env):
        observation_space, action_space = seen, s.MultiDiscrete([2, 4])

        def reset(self, *, seed=None, options=None):
            return {"bits": np.ones(3, np.int8), "tools": np.zeros(2, np.int64)}, {}

        def step(self, action):
            assert action in self.action_space
            return {"bits": np.zeros(3, np.int8), "tools": action.copy()}, float(action.sum()), False, False, {}

    made = GymnasiumWorld.from_vector_env(gymnasium.vector.SyncVectorEnv([Echo, Echo]))
    assert made.observation_space == {"bits": MultiBinary(3), "tools": MultiDiscrete((2, 4))}
    assert made.action_space == MultiDiscrete((2, 4))
    first = made.reset()
    assert {leaf.dtype for leaf in first.values()} == {np.dtype(np.int32)}
    encoder = Encoder.of(made.observation_space)
    np.testing.assert_array_equal(encoder(first), np.tile([1.0, 1, 1, 1, 0, 1, 0, 0, 0], (2, 1)))
    answer = made.step(np.array([[1, 3], [0, 2]], np.int32))
    assert answer.observation["tools"].tolist() == [[1, 3], [0, 2]]
    np.testing.assert_array_equal(encoder(answer.observation)[1], [0, 0, 0, 1, 0, 0, 0, 1, 0])
    assert encoder.size == 9
    with pytest.raises(
        JourneymanError, match=r"Actions, entry 1, reach from 2 to 4, but the world has 0 … 3; check the"
    ):
        made.step(np.array([[1, 4], [0, 2]]))
    with pytest.raises(JourneymanError, match="entry 0, reach from -1 to 0, but the world has 0 … 1"):
        made.step(np.array([[-1, 3], [0, 2]]))
    one = policy(made, jax.random.key(0), hidden=(4,))
    assert one.head == MultiCategorical((2, 4))
    action, _ = one.act(first, (), jax.random.key(0))
    assert made.step(np.asarray(action)).reward.shape == (2,)


@pytest.mark.parametrize("make", [lambda: MultiDiscrete(()), lambda: MultiDiscrete((2, 0)), lambda: MultiBinary(0)])
def test_empty_sets_are_refused(make):
    with pytest.raises(JourneymanError, match="at least one"):
        make()


def test_a_registered_id():
    made = world("gymnasium:CartPole-v1", num_envs=2, seed=3, max_episode_steps=4)
    config = world_config(made)
    assert config["name"] == "gymnasium:CartPole-v1"
    assert (made.horizon, made.num_envs) == (4, 2)
    first = made.reset()
    again = world(config["name"], num_envs=2, seed=3, **config["options"])
    assert np.array_equal(first, again.reset())
    assert not np.array_equal(first, made.remake(seed=4).reset())
    answers = [made.step(np.array([t % 2, t % 2])) for t in range(6)]
    assert [bool(a.truncated[0]) for a in answers] == [False, False, False, True, False, False]
    assert answers[4].reward.tolist() == [0, 0]


def test_processes_give_the_same_stream():
    streams = []
    for vectorization in ("sync", "async"):
        made = world("gymnasium:CartPole-v1", num_envs=2, vectorization=vectorization)
        streams.append([made.reset()] + [made.step(np.array([t % 2, 1])).observation for t in range(15)])
        made.close()
    assert np.array_equal(*streams)
    with pytest.raises(JourneymanError, match="'sync' or 'async' only"):
        world("gymnasium:CartPole-v1", vectorization="threads")


_TELLS = """
import gymnasium, numpy, sys

class Tells(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Box(0, 1, (1,), numpy.float32)

    def reset(self, *, seed=None, options=None):
        return numpy.full(1, "planted_here" in sys.modules, numpy.float32), {}

gymnasium.register("Tells-v0", entry_point=Tells)
"""


def test_processes_take_over_nothing_of_this_one(tmp_path, monkeypatch):
    # What a fork takes over: this module, and as well the locks that JAX's threads held.
    (tmp_path / "tells_what_it_has.py").write_text(_TELLS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "planted_here", types.ModuleType("planted_here"))
    script = sys.modules["__main__"]
    made = world("gymnasium:tells_what_it_has:Tells-v0", num_envs=2, vectorization="async")
    try:
        assert made.reset().tolist() == [[0], [0]]
        assert sys.modules["__main__"] is script
    finally:
        made.close()
        del gymnasium.registry["Tells-v0"]


def test_a_refused_option_is_one_sentence():
    with pytest.raises(JourneymanError, match="cannot make 'CartPole-v1' with options"):
        world("gymnasium:CartPole-v1", colour=3)


def test_an_option_of_a_wrong_kind_is_one_sentence():
    with pytest.raises(JourneymanError, match=r"cannot make 'CartPole-v1' with options \{'max_episode_steps': 'abc'\}"):
        world("gymnasium:CartPole-v1", max_episode_steps="abc")


def test_one_environment_is_not_a_vector_of_them():
    with pytest.raises(JourneymanError, match="TimeLimit is one environment, and a world is made of a vector of them"):
        GymnasiumWorld.from_vector_env(gymnasium.make("CartPole-v1"))


class Wide(Count):
    """Shows another shape than it says."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(5), {}


class Old(Count):
    """Speaks Gym's API before 0.26."""

    def step(self, action):
        return *super().step(action)[:3], {}


class Seedless(Count):
    """Cannot be seeded."""

    def reset(self):
        return np.zeros(2), {}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Wide, "The reset of 'Faulty-v0' failed (ValueError: "),
        (Old, "The step of 'Faulty-v0' failed (ValueError: not enough values to unpack"),
        (Seedless, "The reset of 'Faulty-v0' failed (TypeError: "),
    ],
)
def test_a_faulty_environment_is_one_sentence_with_its_cause(kind, said):
    gymnasium.register("Faulty-v0", entry_point=kind)
    try:
        made = world("gymnasium:Faulty-v0", num_envs=2)
        with pytest.raises(JourneymanError) as refusal:
            play(made, 1)
    finally:
        del gymnasium.registry["Faulty-v0"]
    assert str(refusal.value).startswith(said)
    assert "reset(seed=..., options=...) gives (observation, info)" in str(refusal.value)
    assert isinstance(refusal.value.__cause__, (ValueError, TypeError))


def test_a_module_of_one_s_own_that_fails_is_not_told_to_be_installed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_envs.py").write_text("import no_such_simulator")
    with pytest.raises(
        JourneymanError, match=r"The module 'own_envs', .* cannot be imported \(ModuleNotFoundError: No modu"
    ):
        world("gymnasium:own_envs:Disc-v0")


class Keeper(Count):
    """Pays for changes of its action, which it keeps as it was given; says of success what it is told to say."""

    action_space = gymnasium.spaces.Box(-0.1, 0.1, (1,), np.float64)

    def step(self, action):
        assert self.action_space.contains(action)
        before, self.kept = getattr(self, "kept", np.zeros(1)), action
        self.count += 1
        won = {"is_success": True} if self.length == 3 and self.count == 3 else {}
        return (
            np.array([self.start, self.count]),
            -abs(float((action - before)[0])),
            self.count >= self.length,
            False,
            won,
        )


def kept(lengths):
    made = SyncVectorEnv([lambda n=n: Keeper(n) for n in lengths], autoreset_mode=AutoresetMode.NEXT_STEP)
    return GymnasiumWorld.from_vector_env(made)


def test_an_environment_may_keep_its_action_and_bounds_are_in_its_own_precision():
    made = kept((9,))
    made.reset()
    paid = [float(made.step(np.full((1, 1), a, np.float32)).reward[0]) for a in (1, -1, 1, -1)]
    np.testing.assert_allclose(paid, [-0.1, -0.2, -0.2, -0.2], rtol=1e-6)


def test_who_speaks_of_success_alone_has_failed_where_nothing_is_said():
    made = kept((2, 3))
    made.reset()
    for _ in range(6):
        made.step(np.zeros((2, 1), np.float32))
    assert made.successes() == [[False, False], [True]]


def test_replayed_it_has_failed_too():
    put = lambda env, state: env.reset()[0]  # noqa: E731
    ended = lambda length: _play(Keeper(length), put, np.zeros(2), np.zeros((3, 1)), np.asarray, Successes(1, "Keeper"))  # noqa: E731
    assert (ended(3).success.tolist(), ended(3).judged) == ([False, False, True], True)
    assert (ended(2).success.tolist(), ended(2).judged) == ([False, True, True], False)


class Says(Count):
    """Says `said` of success at the third and last step, and "not yet" before."""

    def __init__(self, said, yet=False):
        super().__init__(3)
        self.said, self.yet = said, yet

    def step(self, action):
        *rest, _ = super().step(action)
        return *rest, {"success": self.said if self.count == 3 else self.yet}


SPOKEN = [(True, False), (1, 0), (1.0, 0.0), (np.True_, np.False_), (np.array([True]), np.array([False])), (True, None)]


@pytest.mark.parametrize(("said", "yet"), SPOKEN, ids=repr)
def test_success_is_told_by_yes_and_no_in_every_form(said, yet):
    made = GymnasiumWorld.from_vector_env(SyncVectorEnv([lambda: Says(said, yet), lambda: Says(yet, yet)]))
    play(made, 4)
    assert made.successes() == [[True], [False]]


@pytest.mark.parametrize(("said", "shown"), [(0.3, "0.3"), (np.nan, "nan"), ("no", "'no'"), (2, "2")], ids=repr)
def test_what_is_neither_yes_nor_no_leaves_success_unknown_and_is_told_once(said, shown, monkeypatch):
    monkeypatch.setattr(Successes, "warned", set())
    env = lambda: Says(said, None if said == "no" else 0.0)  # noqa: E731
    told = rf"episodes of SyncVectorEnv succeed stays unknown: its info\['success'\] was {shown}, and only True, False"
    for warned in (True, False):
        made = GymnasiumWorld.from_vector_env(SyncVectorEnv([env, env]))
        with pytest.warns(UserWarning, match=told) if warned else contextlib.nullcontext():
            play(made, 9)
        assert made.successes() is None
    put = lambda env, state: env.reset()[0]  # noqa: E731
    with pytest.warns(UserWarning, match="episodes of 'Says' succeed stays unknown"):
        answer = _play(env(), put, np.zeros(2), np.zeros((3, 1)), np.asarray, Successes(1, "'Says'"))
    assert (answer.success.tolist(), answer.judged) == ([False, False, True], False)


def test_two_answers_for_one_environment_are_none(monkeypatch):
    monkeypatch.setattr(Successes, "warned", set())
    both = np.array([True, False])
    made = GymnasiumWorld.from_vector_env(SyncVectorEnv([lambda: Says(both, both)] * 3))
    with pytest.warns(UserWarning, match=r"was of shape \(3, 2\) in 3 environments"):
        play(made, 3)
    assert made.successes() is None


def test_one_that_says_none_has_said_nothing():
    made = GymnasiumWorld.from_vector_env(SyncVectorEnv([lambda: Says(None, None)]))
    play(made, 4)
    assert made.successes() is None


class Restive(Count):
    """Fails at its second reset."""

    def reset(self, *, seed=None, options=None):
        if hasattr(self, "count"):
            raise AssertionError
        return super().reset(seed=seed)


@pytest.mark.parametrize("staggered", [True, False])
def test_one_that_fails_when_it_is_begun_anew_is_one_sentence(staggered):
    made = GymnasiumWorld.from_vector_env(SyncVectorEnv([Restive], autoreset_mode=AutoresetMode.DISABLED))
    play(made, 3)
    with pytest.raises(JourneymanError, match=r"The reset of 'SyncVectorEnv' failed \(AssertionError\); mend the env"):
        made.restart(np.array([True])) if staggered else made.step(np.zeros((1, 1)))


def test_what_float32_does_not_hold_is_infinite_and_makes_no_noise():
    class Rich(Count):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation * 1e39, 1e39, *rest

    made = GymnasiumWorld.from_vector_env(SyncVectorEnv([Rich]))
    answer = play(made, 1)[1]
    assert (answer.reward[0], answer.observation[0, 1]) == (np.inf, np.inf)


def test_an_observation_outside_of_its_set_is_refused_by_name():
    class Outside(Count):
        observation_space = gymnasium.spaces.Dict({"place": gymnasium.spaces.Discrete(3)})

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return {"place": 0}, {}

        def step(self, action):
            _, *rest = super().step(action)
            return {"place": self.count}, *rest

    made = GymnasiumWorld.from_vector_env(SyncVectorEnv([Outside]))
    with pytest.raises(
        JourneymanError, match=r"of SyncVectorEnv\['place'\] reach from 3 to 3, but the world has 0 … 2; m"
    ):
        play(made, 3)


def test_how_it_draws_is_no_option():
    with pytest.raises(JourneymanError, match="option render_mode='human', and a world draws nothing"):
        world("gymnasium:CartPole-v1", render_mode="human")


@pytest.mark.parametrize("box", [((1,), np.int64), ((2, 2), np.float32), ((), np.float32)])
def test_actions_that_are_no_vector_of_reals_are_refused(box):
    class Odd(Count):
        action_space = gymnasium.spaces.Box(0, 10, *box)

    with pytest.raises(JourneymanError, match="an action here is one vector of real numbers"):
        GymnasiumWorld.from_vector_env(SyncVectorEnv([Odd], autoreset_mode=AutoresetMode.NEXT_STEP))


@pytest.mark.parametrize(("given", "horizon"), [(None, 200), (-1, None), (7, 7)])
def test_the_time_limit_is_gymnasiums(given, horizon):
    made = world("gymnasium:Pendulum-v1", num_envs=1, max_episode_steps=given)
    assert made.horizon == horizon
    made.close()
