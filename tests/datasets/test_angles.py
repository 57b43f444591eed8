"""Which columns wrap: angles do, what only looks like one does not."""

import numpy as np
import pytest

from journeyman.datasets import wrapping_columns
from journeyman.episodes import Episodes, concatenate

TIME = np.arange(401)
RANDOM = np.random.default_rng(0)


def found(column: np.ndarray) -> list[int]:
    observation = np.stack([np.cos(TIME), column], 1).astype(np.float32)
    return wrapping_columns(Episodes.episode(observation, np.zeros((400, 1), np.float32)))


@pytest.mark.parametrize(
    "column",
    [
        0.1 * TIME % (2 * np.pi),
        -0.1 * TIME % (2 * np.pi),
        (0.1 * TIME + np.pi) % (2 * np.pi) - np.pi,
        (0.2 * np.sin(0.05 * TIME)) % (2 * np.pi),  # swings about 0, as Push-T's block does
    ],
)
def test_angles(column: np.ndarray) -> None:
    assert found(column) == [1]


@pytest.mark.parametrize(
    "column",
    [
        0.1 * TIME,  # an angle that was unwound already
        np.sin(0.1 * TIME) + 1,  # smooth and small
        RANDOM.uniform(0, 2 * np.pi, 401),  # noise: it jumps by any amount
        3 + 3 * np.sign(np.sin(0.1 * TIME)) * (TIME % 2),  # a switch
        0.1 * TIME % (2 * np.pi) + 4,  # the right jump in the wrong range
        np.zeros(401),
    ],
)
def test_what_only_looks_like_an_angle(column: np.ndarray) -> None:
    assert found(column) == []


def test_a_jump_from_one_episode_to_the_next_is_none() -> None:
    low, high = np.full((5, 1), 0.05, np.float32), np.full((5, 1), 6.2, np.float32)
    apart = [Episodes.episode(x, np.zeros((4, 1), np.float32)) for x in (low, high)]
    assert wrapping_columns(concatenate(apart)) == []


def test_columns_count_along_all_leaves() -> None:
    angle = (0.1 * TIME % (2 * np.pi)).astype(np.float32)
    observation = {
        "camera": np.zeros((401, 2, 2), np.uint8),  # columns 0 to 3
        "pose": {"place": np.zeros((401, 2), np.float32), "turn": angle},  # 4 and 5, then 6
    }
    assert wrapping_columns(Episodes.episode(observation, np.zeros((400, 1), np.float32))) == [6]
