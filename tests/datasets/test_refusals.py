"""Every refusal names the file, the key, the place and what to do; all problems of one file come at once."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from journeyman import datasets
from journeyman.parts import JourneymanError
from journeyman.worlds import Box, Discrete


def arrays(**more) -> dict:
    """Nine good steps in episodes of 4, 2 and 3; a value of `None` leaves that array out."""
    content = {
        "observation": np.random.default_rng(0).normal(size=(9, 2)),
        "action": np.random.default_rng(1).normal(size=(9, 1)),
        "episode_end": np.array([4, 6, 9]),
        **more,
    }
    return {key: array for key, array in content.items() if array is not None}


def refused(folder: Path, world: object = None, **more) -> str:
    path = folder / "demos.npz"
    np.savez(path, **arrays(**more))
    with pytest.raises(JourneymanError) as error:
        datasets.read(path, world=world)
    assert "demos.npz" in str(error.value)
    return str(error.value)


def with_value(shape: tuple[int, ...], at: tuple[int, ...], value: float) -> np.ndarray:
    array = np.zeros(shape)
    array[at] = value
    return array


def test_the_good_file_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", **arrays())
    datasets.read(tmp_path / "good.npz")


def test_one_action_too_many_in_each_episode(tmp_path: Path) -> None:
    message = refused(tmp_path, action=np.zeros((12, 1)), episode_end=np.array([5, 8, 12]))
    assert "'action' has 12 rows and 'observation' 9: 3 more actions than observations in 3 episodes" in message
    assert "one action too many in each: drop each episode's last action if it is padding" in message


def test_one_episode_of_t_plus_one_actions(tmp_path: Path) -> None:
    message = refused(tmp_path, action=np.zeros((10, 1)), episode_end=np.array([10]))
    assert "1 more actions than observations in 1 episode." in message
    message = refused(tmp_path, action=np.zeros((10, 1)), episode_end=np.array([9]))
    assert "'episode_end' ends at 9 and there are 10 actions" in message
    assert "1 more actions than observations" in message


def test_counts_that_fit_nothing(tmp_path: Path) -> None:
    message = refused(tmp_path, observation=np.zeros((14, 2)))
    assert "'observation' has 14 rows and 'action' 9: 5 more, which is neither 0 nor one for each of 3" in message


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_nan_inf_and_what_float32_cannot_hold(tmp_path: Path, value: float) -> None:
    message = refused(tmp_path, action=with_value((9, 2), (5, 1), value))
    assert f"'action' is {value} at episode 1, step 1 (row 5), column 1 (1 such values in all)" in message


def test_nan_in_a_dictionary_and_in_the_reward(tmp_path: Path) -> None:
    pose = with_value((9, 3), (8, 0), np.nan)
    message = refused(tmp_path, observation=None, reward=with_value((9,), (0,), np.nan), **{"observation.pose": pose})
    assert "2 things are wrong" in message
    assert "'observation.pose' is nan at episode 2, step 2 (row 8), column 0" in message
    assert "'reward' is nan at episode 0, step 0 (row 0) (1" in message


@pytest.mark.parametrize("array", [np.full((9, 1), "left"), np.zeros((9, 1), complex), np.zeros(9, "datetime64[s]")])
def test_dtypes_that_are_no_real_numbers(tmp_path: Path, array: np.ndarray) -> None:
    assert f"'action' has dtype {array.dtype}, which is not a real number" in refused(tmp_path, action=array)


def test_object_arrays_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    ragged = np.array([Trap(), None], dtype=object)
    message = refused(tmp_path, observation=ragged, action=ragged)
    assert "'observation', 'action' are arrays of Python objects" in message
    assert "never unpickled" in message
    assert "numpy.cumsum(lengths)" in message
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ([4, 4, 9], "goes from 4 to 4 at episode 1; it must increase"),
        ([4, 3, 2], "These look like lengths: use numpy.cumsum"),
        ([0, 4, 6], "These look like the starts of the episodes"),
        ([0, 4, 9], "The first episode has no steps: leave it out."),
        ([4, 6, 8], "ends at 8 and there are 9 actions; its last entry must be that number. It looks like the index"),
        ([4, 6, 90], "ends at 90 and there are 9 actions"),
        ([4.0, 6.0, 9.0], "'episode_end' has dtype float64"),
        ([[4, 6, 9]], "and shape (1, 3)"),
    ],
)
def test_episode_ends(tmp_path: Path, ends: list, words: str) -> None:
    assert words in refused(tmp_path, episode_end=np.array(ends))


@pytest.mark.parametrize("name", ["episode_end", "terminated", "reward", "elapsed"])
def test_a_single_value_where_there_is_one_a_step(tmp_path: Path, name: str) -> None:
    assert f"'{name}' is a single " in refused(tmp_path, **{name: np.array(1)})
    assert any(f"'{name}' is a single " in one for one in datasets.lint(tmp_path / "demos.npz").problems)


def test_an_index_that_comes_back(tmp_path: Path) -> None:
    message = refused(tmp_path, episode_end=None, episode_index=np.array([0, 0, 0, 1, 1, 1, 0, 0, 0]))
    assert "'episode_index' 0 comes back after another episode" in message


def test_flags(tmp_path: Path) -> None:
    inside = np.zeros(9, bool)
    inside[[1, 3]] = True
    message = refused(tmp_path, terminated=inside)
    assert (
        "'terminated' is true at episode 0, step 1 (row 1), inside an episode that goes on to step 3 (1 in" in message
    )
    assert "'truncated' has 5 entries for 9 actions" in refused(tmp_path, truncated=np.zeros(5, bool))
    for length in (8, 10):  # also where nothing else says where episodes end
        message = refused(tmp_path, terminated=np.arange(length) == length - 1, episode_end=None)
        assert f"'terminated' has {length} entries for 9 actions; give one entry a step." in message
        (problem,) = datasets.lint(tmp_path / "demos.npz").problems
        assert problem in message


def test_boundaries_that_contradict_one_another(tmp_path: Path) -> None:
    index, starts = np.repeat([0, 1, 2], [4, 2, 3]), np.isin(np.arange(9), [0, 4, 6])
    np.savez(tmp_path / "good.npz", **arrays(episode_index=index, episode_start=starts))
    assert datasets.read(tmp_path / "good.npz").episodes.num_steps == 6
    message = refused(tmp_path, episode_index=np.repeat([0, 1, 2], [3, 3, 3]))
    assert "'episode_index' ends an episode at row 2 and 'episode_end' goes on there (2 such rows in all)" in message
    assert message.split("demos.npz: ")[1] in datasets.lint(tmp_path / "demos.npz").problems
    message = refused(tmp_path, episode_end=None, episode_index=np.zeros(9, int), episode_start=starts)
    assert "'episode_start' ends an episode at row 3 and 'episode_index' goes on there" in message
    assert "'dones' is 0.5 at row 2; a flag is 0 or 1" in refused(tmp_path, dones=with_value((9,), (2,), 0.5))


def test_rewards_that_are_not_one_a_step(tmp_path: Path) -> None:
    assert "'reward' has shape (3,) for 9 actions" in refused(tmp_path, reward=np.zeros(3))


def test_rows_that_are_out_of_order(tmp_path: Path) -> None:
    observation = np.arange(18.0).reshape(9, 2)
    message = refused(tmp_path, observation=observation, next_observation=observation + 3)
    assert "'next_observation' is 3.0 at episode 0, step 0 (row 0) but the observation that follows is 2.0" in message
    assert "(6 such steps)" in message
    message = refused(tmp_path, next_observation=np.zeros((9, 5)))
    assert "'next_observation' is not built like 'observation'" in message


def world(observation: object = None, action: object = None) -> SimpleNamespace:
    return SimpleNamespace(
        name="Hopper-v5",
        observation_space=Box.unbounded(2) if observation is None else observation,
        action_space=Box.symmetric(1.0, 1) if action is None else action,
    )


def test_shapes_that_are_not_the_worlds(tmp_path: Path) -> None:
    message = refused(tmp_path, world(Box.unbounded(11), Box.symmetric(1.0, 3)))
    assert "2 things are wrong" in message
    assert "'action' has shape (1,) a step and the world 'Hopper-v5' takes (3,)" in message
    assert "'observation' has shape (2,) a step and the world 'Hopper-v5' shows (11,)" in message
    message = refused(tmp_path, world(observation={"agent": Box.unbounded(2)}))
    assert "The observation holds ['observation'] and that of the world 'Hopper-v5' ['observation.agent']" in message


def test_choices_the_world_does_not_have(tmp_path: Path) -> None:
    choices = world(action=Discrete(n=3))
    assert "'action' is 7 at row 4" in refused(tmp_path, choices, action=with_value((9,), (4,), 7).astype(int))
    assert "takes the whole numbers 0 to 2" in refused(tmp_path, choices, action=with_value((9,), (4,), 0.5))
    assert "store the index of the choice, not a vector" in refused(tmp_path, choices, action=np.zeros((9, 3)))


def test_observations_the_world_does_not_have(tmp_path: Path) -> None:
    lake = world(observation=Discrete(n=16))
    for value in (99, -3):
        message = refused(tmp_path, lake, observation=with_value((9,), (4,), value).astype(int))
        assert f"'observation' is {value} at row 4 and the world 'Hopper-v5' shows the whole numbers 0 to 15" in message
    seen = np.arange(9)
    message = refused(tmp_path, lake, observation=seen, next_observation=np.where(seen == 8, 16, seen + 1))
    assert "'next_observation' is 16 at row 8 and the world 'Hopper-v5' shows the whole numbers 0 to 15" in message


def test_choices_that_int32_does_not_hold(tmp_path: Path) -> None:
    message = refused(tmp_path, action=np.full(9, 2**32 + 3))
    assert (
        "'action' is 4294967299 at row 0 (9 such values in all), and a discrete choice is a whole number of" in message
    )
    choices = np.arange(9) % 2
    message = refused(tmp_path, action=choices, target_action=choices + 0.25)
    assert "'target_action' is 0.25 at row 0 (9 such values in all), and a discrete choice is a whole number" in message
    for action, dtype in ((choices, np.int32), (choices / 2, np.float32)):
        for target in (choices, choices.astype(float)):
            np.savez(tmp_path / "good.npz", **arrays(action=action, target_action=target))
            episodes = datasets.read(tmp_path / "good.npz").episodes
            assert episodes.action.dtype == episodes.target.dtype == dtype
            np.testing.assert_array_equal(episodes.target[0, :3], [0, 1, 0])


def test_missing_columns(tmp_path: Path) -> None:
    message = refused(tmp_path, observation=None, action=None, episode_end=None, acton=np.zeros(3))
    assert "3 things are wrong" in message
    assert "There is no 'observation'. The file holds 'acton'" in message
    assert "There is no 'action'. Did you mean 'acton'?" in message
    assert "Nothing says where episodes end; add 'episode_end'" in message


def test_two_candidates_for_one_column(tmp_path: Path) -> None:
    message = refused(tmp_path, observation=None, obs=np.zeros((9, 2)), states=np.zeros((9, 2)))
    assert "'obs' and 'states' could each be 'observation'; rename the right one" in message
    message = refused(tmp_path, **{"observation.pose": np.zeros((9, 2))})
    assert "'observation' is both an array and a dictionary" in message


def test_an_empty_file_and_empty_arrays(tmp_path: Path) -> None:
    assert "The file holds nothing" in refused(tmp_path, observation=None, action=None, episode_end=None)
    message = refused(tmp_path, observation=np.zeros((0, 2)), action=np.zeros((0, 1)), episode_end=np.zeros(0, int))
    assert "The file holds no steps: 'observation' has 0 rows and 'action' 0" in message


def test_episodes_of_a_single_step_need_their_successor(tmp_path: Path) -> None:
    message = refused(tmp_path, episode_end=np.arange(1, 10))
    assert "No successor is recorded, and of 9 episodes none is longer than one step; add 'next_observation'" in message


def test_several_problems_at_once(tmp_path: Path) -> None:
    message = refused(
        tmp_path,
        world(action=Box.symmetric(1.0, 3)),
        reward=np.zeros(2),
        observation=with_value((9, 2), (0, 0), np.nan),
    )
    assert "3 things are wrong" in message


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(JourneymanError) as error:
            datasets.read(path)
        return str(error.value)

    (tmp_path / "demos.npz").write_bytes(b"")
    assert "is not an npz file, or only the beginning of one (0 bytes)" in said(tmp_path / "demos.npz")
    assert "Did you mean 'demos.npz'?" in said(tmp_path / "demo.npz")
    assert "is a folder" in said(tmp_path)
    (tmp_path / "text.npz").write_text("observation,action\n1,2\n")
    assert "is not an npz file" in said(tmp_path / "text.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert "one single array of shape (3,)" in said(tmp_path / "one.npy")
    np.savez(tmp_path / "whole.npz", **arrays())
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(content[: len(content) // 2])
    assert "only the beginning of one" in said(tmp_path / "half.npz")
    inside = content.find(arrays()["action"].tobytes())
    (tmp_path / "bent.npz").write_bytes(content[:inside] + b"\xff" + content[inside + 1 :])
    assert "the array 'action' is damaged or cut short" in said(tmp_path / "bent.npz")
