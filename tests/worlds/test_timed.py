"""Worlds whose time limit is part of the task."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from journeyman.collect import Mean, Sample, play, play_to_the_end, rollout, start
from journeyman.collect._decide import decider
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.weights import advantages
from journeyman.worlds import (
    Discrete,
    GymnasiumWorld,
    Harvest,
    LinearQuadratic,
    Time,
    Timed,
    TimedHost,
    frames,
    timed,
    world,
    world_config,
    zeros_like_space,
)


class Until(gymnasium.Env):
    """Terminates after `last` steps, if nobody cuts it before; says of itself that it succeeded at step `at`."""

    observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, last: int, at: int | None) -> None:
        self.last, self.at, self.steps = last, at, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {"is_success": True}  # of a reset: must not count

    def step(self, action):
        self.steps += 1
        info = {} if self.at is None else {"is_success": self.steps == self.at}
        return np.full(2, self.steps, np.float32), 1.0, self.steps >= self.last, False, info


def host(lasts: tuple[int, ...], horizon: int = 4, at: int | None = 1) -> GymnasiumWorld:
    def one(last: int, at: int | None):
        return lambda: gymnasium.wrappers.TimeLimit(Until(last, at), horizon)

    def build(count: int) -> SyncVectorEnv:
        made = [one(last, None if at is None else at + place) for place, last in enumerate(lasts[:count])]
        return SyncVectorEnv(made, autoreset_mode=AutoresetMode.NEXT_STEP)

    return GymnasiumWorld.from_vector_env(build(len(lasts)), horizon=horizon, rebuild=build)


@pytest.mark.parametrize("kind", ["pure", "host"])
def test_the_observation_tells_the_steps_taken_and_the_last_step_terminates(kind: str) -> None:
    made = timed(LinearQuadratic(horizon=4, num_envs=2) if kind == "pure" else host((9, 9)))
    assert isinstance(made, Timed if kind == "pure" else TimedHost)
    acting = policy(made, jax.random.key(0), hidden=())
    _, stream = rollout(made, Sample(acting), start(made), jax.random.key(1), 11)
    time = np.asarray(stream.observation["time"])
    assert time.dtype == np.int32
    np.testing.assert_array_equal(time[0], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1])
    np.testing.assert_array_equal(time[:, :-1], stream.elapsed)
    np.testing.assert_array_equal(np.flatnonzero(stream.terminated[0]), [3, 8])
    assert not np.asarray(stream.truncated).any()
    if kind == "host":
        np.testing.assert_array_equal(stream.observation["observation"][0, :5, 0], [0, 1, 2, 3, 4])


def test_nothing_is_bootstrapped_at_the_end_of_a_finite_horizon() -> None:
    left = LinearQuadratic(horizon=3, num_envs=1)
    for made, expected in ((timed(left), 0.0), (left, 5.0)):  # the control: a truncation is followed by its value
        acting = policy(made, jax.random.key(0), hidden=())
        episodes = jax.tree.map(jnp.asarray, play(made, Mean(acting), episodes=1, seed=0))
        weighed = advantages(episodes, jnp.full((1, 4), 5.0), discount=1.0, lambda_=0.0)
        reward = np.asarray(episodes.reward)
        np.testing.assert_allclose(weighed[0, -1], reward[0, -1] + expected - 5.0, rtol=1e-6)


def test_an_end_before_the_horizon_stays_what_it_was() -> None:
    made = timed(host((2, 9)))
    acting = policy(made, jax.random.key(0), hidden=())
    _, stream = rollout(made, Sample(acting), start(made), jax.random.key(1), 5)
    np.testing.assert_array_equal(stream.terminated[0], [False, True, False, False, True])
    np.testing.assert_array_equal(stream.observation["time"][0], [0, 1, 2, 0, 1, 2])
    cut = timed(GymnasiumWorld.from_vector_env(host((9,), horizon=2).simulator, horizon=7))
    _, stream = rollout(cut, Sample(acting), start(cut), jax.random.key(1), 2)
    assert np.asarray(stream.truncated[0]).tolist() == [False, True], "cut by somebody else than the horizon"


def test_hidden_it_is_the_same_task_without_the_time() -> None:
    shown, hidden = timed(LinearQuadratic(horizon=4)), timed(LinearQuadratic(horizon=4), shown=False)
    assert shown.observation_space == {"observation": hidden.observation_space, "time": Time(4)}
    assert zeros_like_space(shown.observation_space, 3)["time"].dtype == np.int32
    acting = policy(hidden, jax.random.key(0), hidden=())
    episodes = play(hidden, Mean(acting), episodes=2, seed=0)
    assert np.asarray(episodes.terminated)[:, -1].all()
    assert isinstance(episodes.observation, np.ndarray)


def test_the_name_builds_it_again() -> None:
    for name, options in (("LinearQuadratic", {"horizon": 7}), ("Harvest", {"shown": False}), ("Pendulum-v1", {})):
        made = world(f"timed:{name}", num_envs=2, seed=5, **options)
        config = world_config(made)
        assert config["name"] == f"timed:{'envpool:' if name == 'Pendulum-v1' else ''}{name}"
        again = world(config["name"], num_envs=config["num_envs"], seed=config["seed"], **config["options"])
        assert world_config(again) == config
        other = made.remake(seed=9, num_envs=3)
        assert (other.seed, other.num_envs, other.horizon) == (9, 3, made.horizon)
        assert other.observation_space == made.observation_space


def test_what_cannot_be_timed_is_refused() -> None:
    with pytest.raises(JourneymanError, match=r"'LinearQuadratic' has no horizon.*give it one"):
        world("timed:LinearQuadratic")
    with pytest.raises(JourneymanError, match=r"'timed:Harvest' is timed already"):
        timed(timed(Harvest()))
    with pytest.raises(JourneymanError, match=r"There is no world 'Harvst'.*Did you mean 'Harvest'"):
        world("timed:Harvst")


def test_it_can_be_pictured_but_not_put_into_a_recorded_state() -> None:
    made = world("timed:gymnasium:Pendulum-v1", num_envs=1, max_episode_steps=3)
    assert "frames" in made.provides()
    assert "settable state" not in made.provides()
    acting = policy(made, jax.random.key(0), hidden=())
    env = made.single()
    assert env.reset(seed=0)[0]["time"] == 0
    assert env.step(np.zeros(1, np.float32))[0]["time"] == 1
    found = frames(made, lambda seen: acting.mode(jax.tree.map(lambda x: x[None], seen))[0], count=2, size=40)
    assert found.steps == 3, found.reason


def test_numpy_decides_for_one_network_that_reads_the_time() -> None:
    made = timed(host((9, 9)))
    seen = zeros_like_space(made.observation_space, 2) | {"time": np.asarray([1, 3], np.int32)}
    for per_step in (False, True):
        one = policy(made, jax.random.key(0), hidden=(4,), per_step=per_step)
        decided = decider(Mean(one), seen, ())
        assert decided.by_numpy != per_step, "separate parameters are gathered, which only the compiled program does"
        np.testing.assert_array_equal(decided.act(seen, ())[0], one.mode(seen))


# -- success --------------------------------------------------------------------------------------------


def test_an_episode_succeeded_if_its_world_said_so_at_one_of_its_steps() -> None:
    # Environment i says so at step i + 1 alone; the first lives for 2 steps, the others are cut at 4.
    for made in (host((2, 9, 9, 9, 9)), timed(host((2, 9, 9, 9, 9)))):
        acting = policy(made, jax.random.key(0), hidden=())
        played = play_to_the_end(made, Sample(acting), episodes=7, seed=0, width=5)
        # quotas 2, 2, 1, 1, 1; the fifth would succeed at step 5
        np.testing.assert_array_equal(played.success, [True, True, True, True, True, True, False])
        assert len(played.success) == len(played.episodes.episode_returns())


def test_a_world_that_never_says_has_no_successes() -> None:
    made = GymnasiumWorld.make("Pendulum-v1", num_envs=2, max_episode_steps=3)
    acting = policy(made, jax.random.key(0), hidden=())
    assert play_to_the_end(made, Sample(acting), episodes=2, seed=0).success is None
    pure = LinearQuadratic(horizon=3)
    assert play_to_the_end(pure, Sample(policy(pure, jax.random.key(0))), episodes=2, seed=0).success is None


# -- the harvest ----------------------------------------------------------------------------------------


def test_the_harvest_pays_what_its_formula_says() -> None:
    made = Harvest(growth=1.3, horizon=4, num_envs=4000)
    assert isinstance(made.action_space, Discrete)
    fair = policy(made, jax.random.key(0), hidden=())
    returns = play(made, Sample(fair), episodes=4000, seed=0, width=4000).discounted_returns(0.9)[:, 0]
    logits = fair.parameters(jnp.ones((1, 1)))[0]
    truth = made.expected_return(float(jax.nn.softmax(logits)[1]), 0.9)
    assert abs(returns.mean() - truth) < 5 * returns.std() / 4000**0.5
    wait = [0.0, 0.0, 0.0, 1.0]
    assert made.expected_return(wait, 0.9) == pytest.approx(made.optimal_return(0.9)) == pytest.approx(1.17**3)
    assert made.expected_return(1.0, 0.5) == made.optimal_return(0.5) == 1.0


def test_harvests_that_cannot_be_are_refused() -> None:
    with pytest.raises(JourneymanError, match=r"'growth' is 0.*multiplied by a positive number"):
        Harvest(growth=0)
    with pytest.raises(JourneymanError, match=r"'horizon' is None, but a season has an end"):
        Harvest(horizon=None)
    with pytest.raises(JourneymanError, match=r"reach from -0.5"):
        Harvest().expected_return(-0.5)
