"""EnvPool's stream is what the interface promises: order, seeds, resets, clipping, dtypes."""

import jax
import numpy as np
import pytest

from journeyman.parts import JourneymanError
from journeyman.worlds import Box, Discrete, environment_seeds, world, world_config, zeros_like_space

pytest.importorskip("envpool")


def stream(name, steps, *, num_envs=3, seed=0, scale=1.0, **options):
    """The whole stream under actions that depend on nothing but the step."""
    made = world(name, num_envs=num_envs, seed=seed, **options)
    rng = np.random.default_rng(7)
    answers = [made.reset()]
    for _ in range(steps):
        if isinstance(made.action_space, Discrete):
            action = rng.integers(made.action_space.n, size=num_envs)
        else:
            action = scale * rng.uniform(-1, 1, (num_envs, *made.action_space.shape)).astype(np.float32)
        answers.append(made.step(action))
    made.close()
    return answers


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.parametrize("name", ["Hopper-v5", "CartPole-v1"])
def test_the_same_seed_gives_the_same_stream_bit_for_bit(name):
    assert same(stream(name, 40, seed=3), stream(name, 40, seed=3))
    assert not same(stream(name, 40, seed=3), stream(name, 40, seed=4))


def test_the_number_of_threads_and_of_neighbours_does_not_change_an_environment():
    alone = [answer[0] for answer in stream("Hopper-v5", 0, num_envs=1, seed=5)]
    among = [answer[0] for answer in stream("Hopper-v5", 0, num_envs=9, seed=5)]
    assert same(alone, among)
    assert same(stream("Hopper-v5", 30, num_threads=1), stream("Hopper-v5", 30, num_threads=2))


def test_each_environment_starts_elsewhere_and_neighbouring_seeds_share_none():
    starts = [np.asarray(stream("Hopper-v5", 0, num_envs=32, seed=s)[0]) for s in (0, 1)]
    both = np.concatenate(starts)
    assert len(np.unique(both, axis=0)) == 64
    assert not set(environment_seeds(0, 500)) & set(environment_seeds(1, 500))
    assert environment_seeds(0, 500)[:10] == environment_seeds(0, 10)
    # the usual choice, seed + i, shares all but one environment between neighbours
    assert len({0 + i for i in range(500)} & {1 + i for i in range(500)}) == 499


# EnvPool itself pays on the reset step of DeepMind Control and Meta-World: WalkerWalk-v1 fails without the mask.
@pytest.mark.parametrize("name", ["Hopper-v5", "CartPole-v1", "WalkerWalk-v1", "Pendulum-v1"])
def test_an_end_shows_its_true_last_observation_and_then_comes_a_step_that_counts_for_nothing(name):
    answers = stream(name, 16, max_episode_steps=5)
    endless = stream(name, 16, max_episode_steps=10**6)
    ends = [t for t, a in enumerate(answers[1:], 1) if a.truncated[0]]
    assert ends == [5, 11]
    first_end = answers[5]
    assert same(first_end.observation, endless[5].observation)  # not yet the next episode's
    reset = answers[6]
    assert (reset.reward == 0).all()
    assert not (reset.terminated | reset.truncated).any()
    assert not same(reset.observation, endless[6].observation)
    assert (endless[6].reward != 0).any()  # what the mask would have to hide if it were not a reset


def test_termination_and_truncation_stay_apart():
    pole = stream("CartPole-v1", 60, num_envs=8)
    assert any(answer.terminated.any() for answer in pole[1:])
    assert not any(answer.truncated.any() for answer in pole[1:])
    cut = stream("Pendulum-v1", 6, max_episode_steps=5)
    assert cut[5].truncated.all()
    assert not any(answer.terminated.any() for answer in cut[1:])


def test_a_termination_on_the_very_last_allowed_step_is_reported_as_a_truncation():
    """EnvPool's convention, stated in the docstring; this test says when it changes."""
    free = stream("CartPole-v1", 60, num_envs=1)
    end = next(t for t, a in enumerate(free[1:], 1) if a.terminated[0])
    last = stream("CartPole-v1", end, num_envs=1, max_episode_steps=end)[end]
    assert (last.terminated[0], last.truncated[0]) == (False, True)


def test_results_stand_in_the_order_of_the_environments():
    made = world("HalfCheetah-v5", num_envs=16)
    made.reset()
    for _ in range(20):
        *_, info = made.simulator.step(np.zeros((16, 6)))
        assert info["env_id"].tolist() == list(range(16))
    made.close()


def test_observations_handed_out_are_never_written_to_again():
    made = world("CartPole-v1", num_envs=4)
    kept = [made.reset()] + [made.step(np.ones(4, int)).observation for _ in range(30)]
    copies = [leaf.copy() for leaf in kept]
    for _ in range(200):
        made.step(np.zeros(4, int))
    assert same(kept, copies)
    made.close()


def test_actions_are_clipped_to_the_box():
    box = world("Hopper-v5", num_envs=2)
    twin = world("Hopper-v5", num_envs=2)
    box.reset(), twin.reset()
    assert same(box.step(np.full((2, 3), 50.0)), twin.step(np.ones((2, 3), np.float32)))
    box.close(), twin.close()


def test_what_comes_back_is_single_precision_whatever_the_simulator_uses():
    made = world("Hopper-v5", num_envs=2)
    assert made.reset().dtype == np.float32
    answer = made.step(np.zeros((2, 3), np.float32))
    assert [leaf.dtype for leaf in answer] == [np.float32, np.float32, np.bool_, np.bool_]
    assert world("FrozenLake-v1", num_envs=2).reset().dtype == np.int32
    made.close()


def test_dictionaries_are_pytrees():
    made = world("lane-keeping-v0", num_envs=2)
    observation = made.reset()
    assert jax.tree.map(np.shape, observation) == jax.tree.map(np.shape, zeros_like_space(made.observation_space, 2))
    assert set(observation) == {"state", "derivative", "reference_state"}
    made.close()


def test_spaces_and_the_time_limit_are_read():
    made = world("Hopper-v5", num_envs=2)
    assert isinstance(made.action_space, Box)
    assert made.action_space.bounded
    assert (made.action_space.shape, made.observation_space.shape, made.horizon) == ((3,), (11,), 1000)
    assert world("CartPole-v1", num_envs=1, max_episode_steps=7).horizon == 7
    made.close()


def test_a_limit_of_none_is_the_tasks_own_and_minus_one_is_none_at_all():
    assert world("Pendulum-v1", num_envs=1, max_episode_steps=None).horizon == 200
    endless = world("Pendulum-v1", num_envs=1, max_episode_steps=-1)
    assert endless.horizon is None
    endless.reset()
    assert not any(endless.step(np.zeros((1, 1), np.float32)).truncated.any() for _ in range(210))
    assert world(endless.name, num_envs=1, **world_config(endless)["options"]).horizon is None
    endless.close()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"max_episode_steps": 0}, "'max_episode_steps' of 'Hopper-v5' is 0, and an episode needs at least one step"),
        ({"max_episode_steps": -7}, "is -7, and an episode needs at least one step"),  # EnvPool plays one step
        ({"max_episode_steps": True}, "is True, but it takes a whole number"),
        ({"num_threads": -1}, "'num_threads' of 'Hopper-v5' is -1.*give 1 or more, or 0"),  # EnvPool ends the process
    ],
)
def test_numbers_that_envpool_would_take_and_should_not_are_refused(option, said):
    with pytest.raises(JourneymanError, match=said):
        world("Hopper-v5", num_envs=2, **option)


def test_no_threads_are_as_many_as_envpool_likes():
    assert same(stream("Hopper-v5", 5, num_threads=0), stream("Hopper-v5", 5, num_threads=1))


def test_a_world_is_made_again_from_its_config_and_from_another_seed():
    made = world("Hopper-v5", num_envs=2, seed=9, max_episode_steps=50)
    config = world_config(made)
    assert config == {
        "name": "envpool:Hopper-v5",
        "num_envs": 2,
        "seed": 9,
        "options": {"max_episode_steps": 50},
    }
    again = world(config["name"], num_envs=2, seed=9, **config["options"])
    assert again.horizon == 50
    assert same(made.reset(), again.reset())
    moved = made.remake(seed=1, num_envs=3)
    assert same(moved.reset(), world("Hopper-v5", num_envs=3, seed=1).reset())
    assert moved.horizon == 50


def test_wrong_actions_are_refused():
    made = world("Hopper-v5", num_envs=2)
    made.reset()
    with pytest.raises(JourneymanError, match=r"shape \(2, 4\).*takes \(2, 3\)"):
        made.step(np.zeros((2, 4), np.float32))
    pole = world("CartPole-v1", num_envs=2)
    pole.reset()
    with pytest.raises(JourneymanError, match="0 … 1"):
        pole.step(np.array([0, 2]))


def test_wrong_options_are_refused_all_at_once():
    with pytest.raises(JourneymanError, match=r"(?s)max_steps.*Did you mean 'max_episode_steps'.*colour"):
        world("Hopper-v5", max_steps=3, colour=1)
    with pytest.raises(JourneymanError, match="'three', but it takes a whole number"):
        world("Hopper-v5", max_episode_steps="three")
    with pytest.raises(JourneymanError, match="no option 'env_seed'"):
        world("Hopper-v5", env_seed=[1])
