"""Holding out, thinning and repeating: by episode, repeatable, and every kept step as true as before."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeyman.corrections import demonstrated, hold_out, noisy, repeated, thin
from journeyman.episodes import POLICY, SYNTHETIC, Episodes, concatenate
from journeyman.parts import JourneymanError

# Step t of episode i shows the observation (i, t), so that every step can be told from every other.


def demos(lengths: list[int]) -> Episodes:
    parts = []
    for i, length in enumerate(lengths):
        time = np.arange(length + 1, dtype=np.float32)
        observation = np.stack([np.full_like(time, i), time], 1)
        parts.append(Episodes.episode(observation, observation[:-1] * 10, time[:-1] + 1))
    return concatenate(parts)


def steps(episodes: Episodes) -> list[tuple[float, float]]:
    return [tuple(row) for row in np.asarray(episodes.now)[np.asarray(episodes.valid)].tolist()]


def owners(episodes: Episodes) -> list[int]:
    return [int(part.observation[0, 0]) for part in episodes.unpack()]


@settings(deadline=None, max_examples=12)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=8), st.floats(0.01, 0.99), st.integers(0, 9))
def test_hold_out_splits_whole_episodes(lengths: list[int], fraction: float, seed: int) -> None:
    data = demos(lengths)
    training, held = hold_out(data, fraction, seed)
    assert not set(owners(training)) & set(owners(held))
    assert sorted(owners(training) + owners(held)) == list(range(len(lengths)))
    assert owners(training) == sorted(owners(training))
    assert sorted(steps(training) + steps(held)) == sorted(steps(data))
    assert len(owners(held)) == min(max(round(fraction * len(lengths)), 1), len(lengths) - 1)


def test_the_seed_decides() -> None:
    data = demos([2] * 8)
    assert owners(hold_out(data, 0.3, 1)[1]) == owners(hold_out(data, 0.3, 1)[1])
    assert len({tuple(owners(hold_out(data, 0.3, seed)[1])) for seed in range(5)}) > 1
    assert owners(thin(data, episodes=4, seed=1)) == owners(thin(data, episodes=4, seed=1))
    assert len({tuple(owners(thin(data, episodes=4, seed=seed))) for seed in range(5)}) > 1


def beside(data: Episodes) -> Episodes:
    """The demonstrations, a noisy copy of every step and an episode that a policy played."""
    played = dataclasses.replace(demos([3]), observation=demos([3]).observation + 100)
    return concatenate([noisy(data), dataclasses.replace(played, source=np.full((1, 3), POLICY, np.int8))])


def test_labels_and_what_a_policy_played_are_no_demonstrations() -> None:
    mixed = beside(demos([2, 3, 4]))
    assert demonstrated(mixed).tolist() == [True] * 3 + [False] * 10
    alone = dataclasses.replace(demos([2, 3]), source=np.full((2, 3), POLICY, np.int8))
    assert demonstrated(alone).tolist() == [True, True], "where nobody else acted, these are the demonstrations"
    assert demonstrated(noisy(alone)).tolist() == [True, True] + [False] * 5


def test_nothing_made_from_a_held_out_episode_is_trained_on() -> None:
    data = demos([2, 3, 4, 5])
    training, held = hold_out(beside(data), 0.5, seed=1)
    plain, out = hold_out(data, 0.5, seed=1)
    assert owners(held) == owners(out), "the same demonstrations, whatever stands beside them"
    made = [part for part in training.unpack() if (part.source == SYNTHETIC).all()]
    assert len(made) == plain.num_steps
    ends = {tuple(row) for part in plain.unpack() for row in np.asarray(part.observation).tolist()}
    assert {tuple(np.asarray(part.observation)[-1].tolist()) for part in made} <= ends
    assert any((part.source == POLICY).all() for part in training.unpack()), "what a policy played is trained on"
    with pytest.raises(JourneymanError, match="the data has 1 episode, and both"):
        hold_out(noisy(demos([5])))


def test_thinned_episodes_are_not_torn_apart_by_the_split() -> None:
    training, held = hold_out(thin(demos([9] * 4), steps_per_episode=3), 0.5)
    assert len(owners(training)) == len(owners(held)) == 2
    assert training.num_steps == held.num_steps == 6


def test_what_hold_out_refuses() -> None:
    with pytest.raises(JourneymanError, match="the data has 1 episode, and both sides"):
        hold_out(demos([5]))
    with pytest.raises(JourneymanError, match=r"2 things are wrong:(.|\n)*fraction is 1.5"):
        hold_out(demos([5]), 1.5)


def test_spread_steps_keep_first_last_successor_and_end() -> None:
    data = demos([9, 2])
    few = thin(data, steps_per_episode=3)
    assert steps(few) == [(0, 0), (0, 4), (0, 8), (1, 0), (1, 1)]
    kept = np.asarray(few.valid)
    np.testing.assert_array_equal(np.asarray(few.next)[kept][:, 1], [1, 5, 9, 1, 2])
    np.testing.assert_array_equal(np.asarray(few.elapsed)[kept], [0, 4, 8, 0, 1])
    np.testing.assert_array_equal(np.asarray(few.action)[kept], np.asarray(few.now)[kept] * 10)
    assert few.ended.sum() == 2
    assert owners(few) == [0, 1]
    assert (np.asarray(few.reward)[~kept] == 0).all()


def test_one_spread_step_is_the_first_and_unfinished() -> None:
    few = thin(demos([9, 1]), steps_per_episode=1)
    assert steps(few) == [(0, 0), (1, 0)]
    assert few.ended.sum() == 1  # the episode that is one step long kept its end


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 9))
def test_a_window_is_one_run_of_steps(length: int, count: int, seed: int) -> None:
    (part,) = thin(demos([length]), steps_per_episode=count, window=True, seed=seed).unpack()
    time = [step for _, step in steps(part)]
    assert len(time) == min(length, count)
    np.testing.assert_array_equal(np.diff(time), np.ones(len(time) - 1))
    np.testing.assert_array_equal(part.elapsed, time)
    assert bool(part.ended.any()) == (time[-1] == length - 1)


def test_thin_can_do_both_and_neither() -> None:
    data = demos([5, 6, 7])
    assert thin(data).fingerprint() == data.fingerprint()
    assert thin(data, episodes=2, steps_per_episode=2).num_steps == 4


def test_what_thin_refuses() -> None:
    with pytest.raises(JourneymanError, match="Cannot keep 4 episodes: the data has 3; choose 1 to 3"):
        thin(demos([5, 6, 7]), episodes=4)
    with pytest.raises(JourneymanError, match=r"2 things are wrong:(.|\n)*Cannot keep 0 steps an episode"):
        thin(demos([5]), episodes=0, steps_per_episode=0)


def test_real_demonstrations_split_by_episode(shared_data) -> None:
    from journeyman import datasets

    data = datasets.read(shared_data / "pusht_human" / "demos.npz").episodes
    training, held = hold_out(data, 0.1, 0)
    assert (len(training.valid), len(held.valid)) == (140, 16)
    assert training.num_steps + held.num_steps == 18979
    starts = {tuple(row) for row in training.observation[:, 0].tolist()}
    assert not starts & {tuple(row) for row in held.observation[:, 0].tolist()}


@settings(deadline=None, max_examples=12)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 40), st.integers(0, 9))
def test_repeated_steps_are_the_data_s_own_each_as_often_as_any_other_or_once_more(
    lengths: list[int], count: int, seed: int
) -> None:
    data = demos(lengths)
    found = repeated(data, count, seed)
    assert found.num_steps == count
    assert found.batch_shape == (count,)
    often = Counter(steps(found))
    assert set(often) <= set(steps(data))
    counts = [often.get(step, 0) for step in steps(data)]
    assert max(counts) - min(counts) <= 1
    now, after = np.asarray(found.now)[:, 0], np.asarray(found.next)[:, 0]
    assert (after - now == [0, 1]).all(), "each with its true successor"
    assert (found.action[:, 0] == 10 * now).all()
    assert (found.reward[:, 0] == now[:, 1] + 1).all()
    assert (found.elapsed[:, 0] == now[:, 1]).all()
    assert (found.truncated[:, 0] == (now[:, 1] + 1 == np.asarray(lengths)[now[:, 0].astype(int)])).all()
    assert found.fingerprint() == repeated(data, count, seed).fingerprint()


def test_what_cannot_be_repeated_is_refused() -> None:
    with pytest.raises(JourneymanError, match="Cannot make 0 steps"):
        repeated(demos([2]), 0)
    none = np.zeros((1, 2), bool)
    nothing = dataclasses.replace(demos([2]), valid=none, truncated=none, reward=np.zeros((1, 2), np.float32))
    with pytest.raises(JourneymanError, match="There is no step to repeat"):
        repeated(nothing, 3)
