"""Reading flat npz arrays: what is understood, what is noted, and that nothing is invented."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from journeyman import datasets
from journeyman.episodes import EXPERT, HUMAN
from journeyman.worlds import Box, Discrete

LENGTHS = [4, 2, 3]
ENDS = np.cumsum(LENGTHS)


def arrays(**more) -> dict:
    """Nine steps in three episodes; row r holds observation (r, -r) and action (10 r,)."""
    row = np.arange(9, dtype=np.float32)
    return {"observation": np.stack([row, -row], 1), "action": row[:, None] * 10, "episode_end": ENDS, **more}


def save(folder: Path, content: dict) -> Path:
    path = folder / "demos.npz"
    np.savez(path, **content)
    return path


def box_world(observation: int = 2, action: int = 1, bound: float = np.inf) -> SimpleNamespace:
    return SimpleNamespace(
        name="Test-v0", observation_space=Box.unbounded(observation), action_space=Box.symmetric(bound, action)
    )


def said(data: datasets.Dataset, words: str) -> str:
    found = [note for note in data.notes if words in note]
    assert len(found) == 1, data.notes
    return found[0]


def test_without_successors_the_last_step_of_each_episode_is_left_out(tmp_path: Path) -> None:
    data = datasets.read(save(tmp_path, arrays()))
    parts = list(data.episodes.unpack())
    assert [part.num_steps for part in parts] == [3, 1, 2]
    np.testing.assert_array_equal(parts[1].observation, [[4, -4], [5, -5]])
    np.testing.assert_array_equal(parts[1].action, [[40]])
    np.testing.assert_array_equal(parts[2].elapsed, [0, 1])
    assert all(part.truncated[-1] and not part.terminated.any() for part in parts)
    said(data, "3 of 9 steps, the last of each episode, are left out")
    said(data, "each of 3 episodes counts as cut (truncated)")
    # but a replay can have them all
    assert [len(a) for a in data.actions] == LENGTHS
    assert data.returns is None
    assert data.columns["action"] == "action"
    assert (np.asarray(data.episodes.source) == EXPERT).all()


def test_next_observation_keeps_every_step(tmp_path: Path) -> None:
    content = arrays(reward=np.arange(9.0))
    content["next_observation"] = content["observation"] + np.array([1, -1], np.float32)
    data = datasets.read(save(tmp_path, content), source=HUMAN)
    parts = list(data.episodes.unpack())
    assert [part.num_steps for part in parts] == LENGTHS
    np.testing.assert_array_equal(parts[0].observation[:, 0], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(parts[1].observation[:, 0], [4, 5, 6])
    np.testing.assert_array_equal(data.episodes.episode_returns(), [6, 9, 21])
    np.testing.assert_array_equal(data.returns, [6, 9, 21])
    np.testing.assert_array_equal(data.best, [3, 5, 8])
    assert (np.asarray(data.episodes.source) == HUMAN).all()


@pytest.mark.parametrize("ends_count", ["actions", "observations"])
def test_one_observation_more_in_each_episode(tmp_path: Path, ends_count: str) -> None:
    content = arrays()
    content["observation"] = np.arange(12, dtype=np.float32)[:, None] * np.ones(2, np.float32)
    content["episode_end"] = ENDS if ends_count == "actions" else np.array([5, 8, 12])
    data = datasets.read(save(tmp_path, content))
    parts = list(data.episodes.unpack())
    assert [part.num_steps for part in parts] == LENGTHS
    assert [part.observation[:, 0].tolist() for part in parts] == [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9, 10, 11]]
    assert not any("left out" in note for note in data.notes)


def test_ends_from_flags_and_from_an_index_agree(tmp_path: Path) -> None:
    flag = np.zeros(9, bool)
    flag[ENDS - 1] = True
    content = arrays()
    del content["episode_end"]
    by_flag = datasets.read(save(tmp_path, {**content, "truncated": flag}))
    by_index = datasets.read(save(tmp_path, {**content, "episode_index": np.repeat([7, 3, 5], LENGTHS)}))
    assert by_flag.fingerprint == by_index.fingerprint == datasets.read(save(tmp_path, arrays())).fingerprint
    flag[-1] = False
    unfinished = datasets.read(save(tmp_path, {**content, "truncated": flag}))
    said(unfinished, "No end follows the last 3 steps")
    assert unfinished.episodes.truncated.sum() == 3


def test_termination_stays_apart_from_truncation(tmp_path: Path) -> None:
    terminated = np.zeros(9, bool)
    terminated[3] = True
    content = arrays(terminated=terminated)
    content["next_observation"] = content["observation"] + np.array([1, -1], np.float32)
    data = datasets.read(save(tmp_path, content))
    np.testing.assert_array_equal(data.episodes.terminated.any(axis=1), [True, False, False])
    np.testing.assert_array_equal(data.episodes.truncated.any(axis=1), [False, True, True])
    # without the successor of that step, its end cannot be claimed for the step before it
    del content["next_observation"]
    data = datasets.read(save(tmp_path, content))
    assert not data.episodes.terminated.any()
    said(data, "1 of 3 episodes ended by the world, on the step that is left out")


def test_done_is_ambiguous_and_counts_as_cut(tmp_path: Path) -> None:
    done = np.zeros((9, 1), np.float64)  # as column and as float, the way some data sets store it
    done[ENDS - 1] = 1
    content = arrays(dones=done)
    content["next_observation"] = content["observation"] + np.array([1, -1], np.float32)
    data = datasets.read(save(tmp_path, content))
    assert not data.episodes.terminated.any()
    said(data, "'dones' does not say whether the world ended or the recording was cut; its 3 ends count as cut")
    # beside a column of time limits it can only mean the world's end
    timeouts = np.zeros(9, bool)
    timeouts[3] = True
    data = datasets.read(save(tmp_path, {**content, "timeouts": timeouts}))
    np.testing.assert_array_equal(data.episodes.terminated.any(axis=1), [False, True, True])
    said(data, "'dones' is taken for 'terminated', since 'timeouts' marks time limits")


def test_other_names_are_understood_and_noted(tmp_path: Path) -> None:
    content = arrays(rew=np.ones((9, 1)), camera=np.zeros(3))
    renamed = {"obs": content["observation"], "actions": content["action"], "episode_ends": ENDS}
    data = datasets.read(save(tmp_path, {**renamed, "rew": content["rew"], "camera": content["camera"]}))
    for words in ("'obs' is taken for 'observation'", "'actions' is taken", "'rew' is taken", "Not read: 'camera'"):
        said(data, words)
    said(data, "'reward' had shape (steps, 1)")
    assert data.columns["observation"] == "obs"
    np.testing.assert_array_equal(data.returns, LENGTHS)


def test_the_proper_name_wins_over_another(tmp_path: Path) -> None:
    data = datasets.read(save(tmp_path, arrays(state=np.zeros((9, 7)))))
    assert data.episodes.observation.shape[-1] == 2
    said(data, "Not read: 'state'")


@pytest.mark.parametrize("mark", [".", "/"])
def test_dictionaries_of_observations(tmp_path: Path, mark: str) -> None:
    content = arrays()
    row = content.pop("observation")
    content |= {f"observation{mark}agent": row, f"observation{mark}goal{mark}place": row[:, :1]}
    data = datasets.read(save(tmp_path, content))
    assert data.episodes.observation["agent"].shape == (3, 4, 2)
    assert data.episodes.observation["goal"]["place"].shape == (3, 4, 1)
    space = {"agent": Box.unbounded(2), "goal": {"place": Box.unbounded(1)}}
    world = SimpleNamespace(name="Test-v0", observation_space=space, action_space=Box.unbounded(1))
    assert datasets.read(tmp_path / "demos.npz", world=world).fingerprint == data.fingerprint


def test_a_single_key_is_the_whole_observation_where_the_world_has_one(tmp_path: Path) -> None:
    content = arrays()
    content["observation.state"] = content.pop("observation")
    data = datasets.read(save(tmp_path, content), world=box_world())
    assert data.episodes.observation.shape == (3, 4, 2)
    said(data, "'observation.state' alone is the whole observation")


def test_a_single_key_is_unwrapped_in_the_successors_too(tmp_path: Path) -> None:
    content = arrays()
    content["next_observation"] = content["observation"] + np.array([1, -1], np.float32)
    plain = datasets.read(save(tmp_path, content), world=box_world())
    content["observation.state"] = content.pop("observation")
    content["next_observation.state"] = content.pop("next_observation")
    assert datasets.read(save(tmp_path, content), world=box_world()).fingerprint == plain.fingerprint


def test_conversions_are_noted(tmp_path: Path) -> None:
    content = arrays()
    content["observation"] = content["observation"].astype(np.float64)
    content["action"] = content["action"].astype(np.int64)
    data = datasets.read(save(tmp_path, content), world=box_world())
    said(data, "'observation' was converted from float64 to float32")
    said(data, "'action' was converted from int64 to float32")
    assert data.episodes.action.dtype == data.episodes.observation.dtype == np.float32


def test_discrete_actions(tmp_path: Path) -> None:
    content = arrays(action=np.arange(9) % 3)
    data = datasets.read(save(tmp_path, content))
    said(data, "counts as a discrete choice")
    assert data.episodes.action.dtype == np.int32
    assert data.episodes.action.shape == (3, 3)
    world = SimpleNamespace(name="Test-v0", observation_space=Box.unbounded(2), action_space=Discrete(n=3))
    floats = save(tmp_path, arrays(action=(np.arange(9.0) % 3)[:, None]))
    again = datasets.read(floats, world=world)
    assert again.fingerprint == data.fingerprint
    said(again, "whole numbers as floats")


def test_a_column_of_actions_for_a_box_of_one(tmp_path: Path) -> None:
    data = datasets.read(save(tmp_path, arrays(action=np.arange(9, dtype=np.float32))), world=box_world())
    assert data.episodes.action.shape == (3, 3, 1)
    said(data, "'action' had one number a step")


def test_actions_outside_the_box_are_kept_and_counted(tmp_path: Path) -> None:
    data = datasets.read(save(tmp_path, arrays()), world=box_world(bound=45.0))
    note = said(data, "outside the world's bounds")
    assert "44.4% of steps (4 of 9)" in note  # 50, 60, 70 and 80
    assert data.episodes.action.max() == 70  # 80 stands on a step that is left out
    assert data.actions[-1].max() == 80


def test_columns_that_wrap_and_columns_that_never_change_are_noted(tmp_path: Path) -> None:
    time = np.arange(300)
    observation = np.stack([time * 0.1 % (2 * np.pi), np.full(300, 0.5), np.sin(time * 0.1)], 1)
    content = {"observation": observation, "action": np.zeros((300, 1)), "episode_end": np.array([150, 300])}
    data = datasets.read(save(tmp_path, content))
    said(data, "Observation column 0 looks like an angle in radians that wraps")
    said(data, "'observation' column 1 is 0.5 in every step")
    assert len([note for note in data.notes if "column" in note]) == 2


def test_reading_twice_gives_one_fingerprint_and_other_data_another(tmp_path: Path) -> None:
    path = save(tmp_path, arrays())
    first, second = datasets.read(path), datasets.read(path)
    assert first.fingerprint == second.fingerprint == first.episodes.fingerprint()
    content = arrays()
    content["action"][0] += 1
    assert datasets.read(save(tmp_path, content)).fingerprint != first.fingerprint


# -- real data ------------------------------------------------------------------------------------------------


def test_human_push_t(shared_data: Path) -> None:
    data = datasets.read(shared_data / "pusht_human" / "demos.npz")
    assert data.episodes.batch_shape == (156,)
    assert data.episodes.num_steps == 19135 - 156
    assert sum(map(len, data.actions)) == 19135
    said(data, "156 of 19,135 steps")
    assert datasets.wrapping_columns(data.episodes) == [4]
    assert data.returns is None
    assert not data.episodes.terminated.any()


@pytest.mark.parametrize(("name", "size", "mean"), [("hopper", 11, 3717.5), ("halfcheetah", 17, 4034.8)])
def test_mujoco_experts(shared_data: Path, name: str, size: int, mean: float) -> None:
    data = datasets.read(shared_data / "mujoco_experts" / f"{name}_demos.npz")
    assert data.episodes.observation.shape == (2, 1001, size)
    assert data.episodes.num_steps == 2000
    assert data.returns is not None
    assert data.returns.mean() == pytest.approx(mean, abs=0.1)
    assert datasets.wrapping_columns(data.episodes) == []
