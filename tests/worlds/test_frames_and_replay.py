"""Pictures and replays: one fresh environment with the world's physics."""

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from journeyman.parts import JourneymanError
from journeyman.worlds import GeometricChain, frames, replay, successors, world
from journeyman.worlds._frames import shrink as shrink_picture

gymnasium = pytest.importorskip("gymnasium")

PUSHT = "gymnasium:gym_pusht/PushT-v0"


def pusht(num_envs=1):
    pytest.importorskip("gym_pusht")
    return world(PUSHT, num_envs=num_envs)


# -- pictures --------------------------------------------------------------------------------------------


def test_push_t_is_pictured():
    shown = frames(pusht(), lambda seen: np.array([256.0, 256.0]) + 0 * seen[:2], count=5, max_steps=20, size=200)
    assert shown.reason == ""
    count, height, width, colours = shown.pictures.shape
    assert (count, colours, shown.pictures.dtype) == (5, 3, np.uint8)
    assert 160 <= max(height, width) <= 200
    assert shown.steps == 20
    assert (shown.pictures[0] != shown.pictures[-1]).any()
    assert shown.episode_return >= 0


class Line(gymnasium.Env):
    """A place on a line: pays what it is moved by, ends after four steps, and takes no action outside of its box."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-0.1, 0.1, (1,), np.float64)
    metadata: ClassVar = {"render_modes": ["rgb_array"]}
    model = SimpleNamespace(nq=1, nv=1)
    picture: Any = np.full((6, 6, 3), 7, np.uint8)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        self.set_state(np.zeros(1), np.zeros(1))
        return self._get_obs(), {}

    def step(self, action):
        assert self.action_space.contains(action), "an action outside of the box"
        self.place, self.time = self.place + action, self.time + 1
        return self._get_obs(), float(action[0]), False, bool(self.time[0] >= 4), {}

    def render(self):
        return self.picture

    def set_state(self, place, time):
        self.place, self.time = place, time

    def _get_obs(self):
        return np.concatenate([self.place, self.time])


class MujocoEnv(Line):
    """By its name a state can be set."""


class Fails(Line):
    def step(self, action):
        if self.time[0] == 2:
            raise ZeroDivisionError("a wheel.\nmore")
        return super().step(action)


class Silent(Line):
    def step(self, action):
        if self.time[0] == 2:
            raise AssertionError
        return super().step(action)


class Blank(Line):
    render = gymnasium.Env.render


class Nothing(Line):
    picture = None


class Grey(Line):
    picture = np.zeros((6, 5), np.uint8)


@pytest.fixture
def registered():
    made = []

    def register(kind):
        gymnasium.register(f"{kind.__name__}Own-v0", kind)
        made.append(f"{kind.__name__}Own-v0")
        return world(f"gymnasium:{made[-1]}", num_envs=1)

    yield register
    for id in made:
        del gymnasium.registry[id]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Blank, "'gymnasium:BlankOwn-v0' draws no pictures, so there is no film of it."),
        (Nothing, "'gymnasium:NothingOwn-v0' draws no pictures, so there is no film of it."),
        (
            Grey,
            "`render` of 'gymnasium:GreyOwn-v0' gives the shape (6, 5), and a film is made of pictures (height, wid",
        ),
        (Fails, "'gymnasium:FailsOwn-v0' could not be pictured: ZeroDivisionError: a wheel."),
        (Silent, "'gymnasium:SilentOwn-v0' could not be pictured: AssertionError."),
    ],
)
def test_a_world_that_draws_nothing_or_fails_is_said_to(registered, kind, said):
    shown = frames(registered(kind), lambda seen: 0 * seen[:1])
    assert shown.pictures.shape[0] == 0
    assert shown.reason.startswith(said)


def test_the_film_acts_inside_of_the_environment_s_own_box(registered):
    made = registered(Line)
    shown = frames(made, lambda seen: np.ones(1, np.float32))  # 0.1 in float32 lies outside
    assert (shown.reason, shown.steps, shown.episode_return) == ("", 4, pytest.approx(0.4))
    with pytest.raises(JourneymanError, match=r"actions have shape \(1, 2\), but the world takes \(1, 1\)"):
        frames(made, lambda seen: np.ones(2))


def test_hopper_is_pictured_from_envpool_s_world_as_from_gymnasium_s():
    pytest.importorskip("envpool")
    pytest.importorskip("mujoco")
    act = lambda seen: np.full(3, 0.5)  # noqa: E731
    shown = [frames(world(name, num_envs=1), act, seed=2, count=4) for name in ("Hopper-v5", "gymnasium:Hopper-v5")]
    if "cannot draw here" in shown[0].reason:
        pytest.skip(shown[0].reason)
    assert shown[0].reason == shown[1].reason == ""
    assert shown[0].pictures.shape == (4, 240, 240, 3)
    assert shown[0].pictures.std() > 20  # not a blank page
    assert np.array_equal(shown[0].pictures[0], shown[1].pictures[0])
    assert shown[0][1:] == shown[1][1:]
    assert shown[0].steps > 10


def test_a_world_without_pictures_says_why():
    shown = frames(GeometricChain(), lambda seen: 1)
    assert shown.pictures.shape[0] == 0
    assert "GeometricChain" in shown.reason


def test_a_mistake_in_the_policy_is_not_hidden_among_the_graphics():
    def broken(seen):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        frames(pusht(), broken)


def test_shrinking_averages_squares():
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:2, :2] = 200
    picture[0, 2] = 100
    small = shrink_picture(picture, 3)
    assert small[..., 0].tolist() == [[200, 25, 0], [0, 0, 0]]
    assert shrink_picture(picture, 6).tolist() == picture.tolist()


# -- replays ---------------------------------------------------------------------------------------------


def recorded(shared_data, some=None):
    """(observation, action) of each demonstration."""
    with np.load(shared_data / "pusht_human" / "demos.npz") as file:
        seen, acted, ends = file["observation"], file["action"], file["episode_end"]
    starts = np.r_[0, ends[:-1]]
    return [(seen[a:b], acted[a:b]) for a, b in list(zip(starts, ends, strict=True))[:some]]


def deviation(answer, seen):
    difference = np.abs(answer.observation[: len(seen)].astype(float) - seen)
    difference[:, 4] = np.minimum(difference[:, 4], 2 * np.pi - difference[:, 4])
    return difference.max()


def test_human_demonstrations_replay(shared_data):
    made = pusht()
    for seen, acted in recorded(shared_data, 8):
        answer = replay(made, seen[0], acted)
        assert answer.reward.shape == (len(acted),)
        assert answer.observation.shape == (len(acted) + 1, 5)
        assert deviation(answer, seen) < 1e-3  # pixels; the recording itself is rounded to 3e-5


def test_the_environment_s_own_way_of_setting_the_state_does_not(shared_data):
    """The control: position before angle, as `reset_to_state` does it, starts from another place."""
    env = pusht().single().unwrapped
    seen, _ = recorded(shared_data, 1)[0]
    start, _ = env.reset(options={"reset_to_state": seen[0]})
    assert np.abs(start - seen[0]).max() > 1


@pytest.mark.slow
def test_all_156_replay_and_score_as_published(shared_data):
    made = pusht()
    answers = [(replay(made, seen[0], acted), seen) for seen, acted in recorded(shared_data)]
    far = sorted(deviation(answer, seen) for answer, seen in answers)
    assert far[-3] < 1e-3
    assert far[-1] < 0.25  # two pass a contact so finely poised that single-precision rounding decides it
    assert np.mean([answer.reward.max() for answer, _ in answers]) == pytest.approx(0.944, abs=0.005)


def test_mujoco_states_are_set():
    pytest.importorskip("mujoco")
    made = world("gymnasium:Hopper-v5", num_envs=1)
    env = made.single().unwrapped
    env.reset(seed=4)
    state = np.concatenate([env.data.qpos, env.data.qvel])
    actions = np.random.default_rng(0).uniform(-1, 1, (6, 3)).astype(np.float32)
    want = [env.step(action) for action in actions]
    answer = replay(made, state, actions)
    np.testing.assert_allclose(answer.observation[1:], [w[0] for w in want], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(answer.reward, [w[1] for w in want], rtol=1e-5)
    with pytest.raises(JourneymanError, match="6 positions and 6 velocities"):
        replay(made, state[:5], actions)


def test_what_cannot_be_set_is_refused():
    pole = world("gymnasium:CartPole-v1", num_envs=1)
    assert "settable state" not in pole.provides()
    with pytest.raises(
        JourneymanError, match="nobody has said how for CartPoleEnv; record rewards with your data, or use"
    ):
        replay(pole, np.zeros(4), np.zeros(3, int))
    assert "settable state" in pusht().provides()
    with pytest.raises(JourneymanError, match="choose the world they were recorded in"):
        replay(pusht(), np.zeros(5), np.zeros((3, 4)))


def test_recorded_actions_are_clipped_to_the_environment_s_own_box(registered):
    made = registered(MujocoEnv)
    answer = replay(made, np.zeros(2), np.asarray([[9.0], [-9.0], [0.05]], np.float32))
    np.testing.assert_allclose(answer.reward, [0.1, -0.1, 0.05], rtol=1e-6)
    after = successors(made, np.zeros((2, 2)), np.asarray([[9.0], [-9.0]], np.float32))
    np.testing.assert_array_equal(after.observation, [[0.1, 1], [-0.1, 1]])
