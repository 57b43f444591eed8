"""Which step belongs to which episode, and when: by hand."""

import numpy as np

from journeyman.weights import episode_numbers, episode_starts, observation_times
from tests.weights.test_advantages import TABLE, random_streams, stream


def test_starts_numbers_and_times_by_hand() -> None:
    # TABLE: three steps and padding, twice; six steps; one, a reset, one, a reset, two.
    starts = [[1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 1, 0, 1, 0]]
    assert np.asarray(episode_starts(TABLE)).astype(int).tolist() == starts
    numbers = [[0] * 6, [1] * 6, [2] * 6, [3, 3, 4, 4, 5, 5]]
    assert np.asarray(episode_numbers(TABLE)).tolist() == numbers
    times = [[0, 1, 2, 3, 0, 0, 0], [0, 1, 2, 3, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6], [0, 1, 0, 1, 0, 1, 2]]
    assert np.asarray(observation_times(TABLE)).tolist() == times


def test_a_stream_from_the_middle_keeps_its_times() -> None:
    piece = stream([1, 1, 1, 1], [0, 1, 0, 0], [0] * 4, [1, 1, 0, 1], elapsed=[7, 8, 0, 0])
    assert np.asarray(observation_times(piece)).tolist() == [7, 8, 9, 0, 1]


def test_a_step_and_its_successor_are_one_apart() -> None:
    e, _ = random_streams(5)
    times = np.asarray(observation_times(e))
    np.testing.assert_array_equal((times[:, 1:] - times[:, :-1])[e.valid], 1)
    np.testing.assert_array_equal(times[:, :-1][e.valid], e.elapsed[e.valid])
    assert np.asarray(episode_numbers(e)).max() + 1 == len(list(e.unpack())) == np.asarray(episode_starts(e)).sum()
