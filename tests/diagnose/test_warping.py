"""The time-warped distance against every warping there is, and what it must not see."""

import numpy as np
import pytest

from journeyman.diagnose import warped_distance
from journeyman.parts import JourneymanError


def over_all_warpings(first: np.ndarray, second: np.ndarray) -> float:
    """The definition, path by path."""

    def least(i: int, j: int) -> float:
        cost = float(np.linalg.norm(first[i] - second[j]))
        if i == j == 0:
            return 2 * cost
        before = []
        if i:
            before.append(least(i - 1, j) + cost)
        if j:
            before.append(least(i, j - 1) + cost)
        if i and j:
            before.append(least(i - 1, j - 1) + 2 * cost)
        return min(before)

    return least(len(first) - 1, len(second) - 1) / (len(first) + len(second))


def test_it_is_the_least_over_all_warpings() -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        first, second = (random.normal(size=(random.integers(1, 7), 2)) for _ in range(2))
        assert warped_distance(first, second) == pytest.approx(over_all_warpings(first, second), abs=1e-12)


def test_a_hand_worked_pair() -> None:
    """(0, 3) and (0, 1, 3): 0 with 0 costs 2·0, 1 goes to 0 for 1, 3 with 3 costs 2·0; in all 1 of 5."""
    assert warped_distance(np.asarray([[0.0], [3.0]]), np.asarray([[0.0], [1.0], [3.0]])) == pytest.approx(1 / 5)
    assert warped_distance(np.asarray([[0.0, 0.0]]), np.asarray([[3.0, 4.0]])) == 5


def test_it_sees_neither_pace_nor_order_nor_place_and_grows_with_the_unit() -> None:
    random = np.random.default_rng(1)
    path, other = random.normal(size=(20, 2)).cumsum(0), random.normal(size=(31, 2)).cumsum(0)
    slow = np.repeat(path, random.integers(1, 5, 20), axis=0)
    assert warped_distance(path, slow) == pytest.approx(0, abs=1e-12)
    there = warped_distance(path, other)
    assert there == pytest.approx(warped_distance(other, path))
    assert there == pytest.approx(warped_distance(10 * path + 3, 10 * other + 3) / 10)
    assert warped_distance(path, path + np.asarray([[3.0, 4.0]])) <= 5 + 1e-12
    assert warped_distance(path, path[::-1]) > 0.1, "the way back is another way"


def test_what_cannot_be_matched_is_refused() -> None:
    with pytest.raises(JourneymanError, match=r"shape \(0, 2\) and \(3, 2\)"):
        warped_distance(np.zeros((0, 2)), np.zeros((3, 2)))
    with pytest.raises(JourneymanError, match="as many coordinates in both"):
        warped_distance(np.zeros((2, 2)), np.zeros((3, 3)))
    with pytest.raises(JourneymanError, match="2 coordinates of the paths are not finite"):
        warped_distance(np.full((1, 2), np.nan), np.zeros((3, 2)))
