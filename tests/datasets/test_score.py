"""The demonstrations' own score: as recorded, by replay, or a sentence why not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from journeyman import datasets
from journeyman.episodes import Episodes, concatenate
from journeyman.worlds import world


def recorded(rewards: list[list[float]]) -> Episodes:
    return concatenate(
        [Episodes.episode(np.zeros((len(r) + 1, 4), np.float32), np.zeros((len(r), 1), np.float32), r) for r in rewards]
    )


def test_recorded_rewards() -> None:
    score = datasets.demonstration_score(recorded([[1, 2, 3], [5, -1]]))
    assert score.how == "recorded"
    np.testing.assert_array_equal(score.returns, [6, 4])
    np.testing.assert_array_equal(score.best, [3, 5])
    assert "2 demonstrations, recorded: mean return 5 (4 to 6), mean of each one's best reward 4.000" in score.sentence


def test_the_file_knows_that_rewards_of_zero_are_rewards(tmp_path: Path) -> None:
    content = {"observation": np.ones((6, 1)), "action": np.ones((6, 1)), "episode_end": np.array([6])}
    np.savez(tmp_path / "with.npz", **content, reward=np.zeros(6))
    np.savez(tmp_path / "without.npz", **content)
    assert datasets.demonstration_score(datasets.read(tmp_path / "with.npz")).how == "recorded"
    score = datasets.demonstration_score(datasets.read(tmp_path / "without.npz"))
    assert score.how == "unknown"
    assert score.returns is None
    assert "unknown: no rewards are recorded and there is no world to replay" in score.sentence


def test_the_reward_of_a_step_without_successor_still_counts(tmp_path: Path) -> None:
    content = {"observation": np.ones((4, 1)), "action": np.ones((4, 1)), "episode_end": np.array([4])}
    np.savez(tmp_path / "sparse.npz", **content, reward=np.array([0, 0, 0, 7.0]))
    data = datasets.read(tmp_path / "sparse.npz")
    assert data.episodes.reward.sum() == 0
    assert any("rewards of 7 in all, which the score still counts" in note for note in data.notes)
    np.testing.assert_array_equal(datasets.demonstration_score(data).returns, [7])


@pytest.fixture(scope="module")
def pendulum() -> tuple[Episodes, np.ndarray]:
    """Two balanced episodes of the inverted pendulum, whose observation is its whole state."""
    gymnasium = pytest.importorskip("gymnasium", reason="needs gymnasium to record with")
    pytest.importorskip("mujoco", reason="needs mujoco to record with")
    env = gymnasium.make("InvertedPendulum-v5").unwrapped
    episodes, returns = [], []
    for seed in (0, 1):
        observation, _ = env.reset(seed=seed)
        seen, actions, total = [observation], [], 0.0
        for t in range(30):
            actions.append(np.array([3 * observation[1] + 0.5 * np.sin(t)], np.float32))
            observation, reward, *_ = env.step(actions[-1])
            seen.append(observation)
            total += float(reward)
        episodes.append(Episodes.episode(np.float32(seen), np.stack(actions)))
        returns.append(total)
    env.close()
    return concatenate(episodes), np.asarray(returns)


def test_replay_gives_the_score_that_was_not_recorded(pendulum: tuple[Episodes, np.ndarray]) -> None:
    demos, returns = pendulum
    score = datasets.demonstration_score(demos, world("gymnasium:InvertedPendulum-v5", num_envs=1))
    assert score.how == "replayed"
    assert score.departed == 0
    np.testing.assert_allclose(score.returns, returns, rtol=1e-6)


def test_a_replay_that_does_not_follow_gives_no_score(pendulum: tuple[Episodes, np.ndarray]) -> None:
    demos, _ = pendulum
    lied = dataclasses.replace(demos, action=demos.action[:, ::-1], target=demos.target[:, ::-1])
    score = datasets.demonstration_score(lied, world("gymnasium:InvertedPendulum-v5", num_envs=1))
    assert score.how == "unknown"
    assert "2 of 2 replays do not follow the recording" in score.sentence


def test_episodes_with_gaps_are_not_replayed(pendulum: tuple[Episodes, np.ndarray]) -> None:
    later = next(pendulum[0].unpack()).cut(3, 9)
    score = datasets.demonstration_score(later, world("gymnasium:InvertedPendulum-v5", num_envs=1))
    assert "some episodes lack steps" in score.sentence


def test_a_world_without_a_settable_state_gives_a_sentence() -> None:
    score = datasets.demonstration_score(recorded([[0, 0]]), world("gymnasium:CartPole-v1", num_envs=1))
    assert score.how == "unknown"
    assert "the replay was refused" in score.sentence


@pytest.mark.slow
def test_human_push_t(shared_data: Path) -> None:
    pytest.importorskip("gym_pusht", reason="needs gym_pusht to replay in")
    push = world("gymnasium:gym_pusht/PushT-v0", num_envs=1)
    data = datasets.read(shared_data / "pusht_human" / "demos.npz", world=push)
    score = datasets.demonstration_score(data, push)
    assert score.how == "replayed"
    assert score.departed == 0
    assert score.best is not None
    assert score.best.mean() == pytest.approx(0.944, abs=0.005)


def test_the_replay_needs_each_last_action(shared_data: Path) -> None:
    """The last action, whose successor was not recorded, is the one that ends the push."""
    pytest.importorskip("gym_pusht", reason="needs gym_pusht to replay in")
    push = world("gymnasium:gym_pusht/PushT-v0", num_envs=1)
    data = datasets.read(shared_data / "pusht_human" / "demos.npz", world=push)
    few = dataclasses.replace(data, episodes=data.episodes.take(range(4)), actions=data.actions[:4])
    whole, short = datasets.demonstration_score(few, push), datasets.demonstration_score(few.episodes, push)
    assert whole.departed == short.departed == 0
    assert whole.best is not None
    assert short.best is not None
    assert whole.best.min() > 0.9
    assert (short.best < whole.best).all()
