"""Noisy cloning's data: what is added, with which moments, and to what."""

import numpy as np
import pytest

from journeyman.corrections import noisy
from journeyman.episodes import EXPERT, SYNTHETIC, Episodes, concatenate
from journeyman.parts import JourneymanError


def data(steps: int = 400) -> Episodes:
    random = np.random.default_rng(0)
    parts = []
    for _ in range(2):
        observation = random.normal(size=(steps + 1, 3)) * [1.0, 10.0, 0.0] + 5
        action = random.normal(size=(steps, 2))
        parts.append(Episodes.episode(observation, action, target=action + 1))
    return concatenate(parts)


def copies(episodes: Episodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chosen = np.asarray(episodes.valid) & (np.asarray(episodes.source) == SYNTHETIC)
    return tuple(np.asarray(x)[chosen] for x in (episodes.now, episodes.target, episodes.next))  # type: ignore[return-value]


def test_the_demonstrations_stay_and_the_copies_have_the_noise_asked_for() -> None:
    plain = data()
    found = noisy(plain, 0.1, copies=3, seed=1)
    assert found.num_steps == 4 * plain.num_steps
    valid = np.asarray(plain.valid)
    first = np.asarray(found.source)[:2] == EXPERT
    np.testing.assert_array_equal(np.asarray(found.now)[:2][first], np.asarray(plain.now)[valid])
    now, target, after = copies(found)
    original = np.tile(np.asarray(plain.now)[valid], (3, 1))
    away = (now - original) / np.asarray(plain.observation)[valid.nonzero()].std(0).clip(1e-12)
    # 2400 draws: the deviation is known to 1.4 %, the mean to .2 % of the data's deviation.
    np.testing.assert_allclose(away[:, :2].std(0), 0.1, rtol=0.07)
    np.testing.assert_allclose(away[:, :2].mean(0), 0, atol=0.01)
    assert (now[:, 2] == original[:, 2]).all()  # a column that never moves
    np.testing.assert_array_equal(target, np.tile(np.asarray(plain.target)[valid], (3, 1)))
    np.testing.assert_array_equal(after, np.tile(np.asarray(plain.next)[valid], (3, 1)))
    assert len(found.episode_returns()) == 2


def test_no_noise_repeats_the_data_and_the_seed_decides() -> None:
    plain = data(20)
    now, _, _ = copies(noisy(plain, 0.0))
    np.testing.assert_array_equal(now, np.asarray(plain.now)[np.asarray(plain.valid)])
    first, again, other = (copies(noisy(plain, 0.1, seed=s))[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_column_that_does_not_move_is_left_alone_however_many_steps_there_are() -> None:
    still = np.full((10_001, 2), [1000.3, 0.1], np.float32)
    found = noisy(concatenate([Episodes.episode(still, np.zeros((10_000, 1), np.float32))]))
    assert (np.asarray(found.observation) == still[0]).all()


def test_integers_are_left_alone() -> None:
    seen = {"place": np.arange(5), "speed": np.linspace(0, 1, 5)}
    found = noisy(Episodes.episode(seen, np.zeros(4, np.int32)), 0.5)
    np.testing.assert_array_equal(found.observation["place"][1, [0, 2]], [0, 1])
    assert (found.observation["speed"][1, 0] != seen["speed"][0]).all()


def test_what_is_refused() -> None:
    with pytest.raises(JourneymanError, match=r"(?s)deviation of -1.*with 0 copies"):
        noisy(data(4), -1.0, copies=0)
    with pytest.raises(JourneymanError, match="no valid step"):
        noisy(data(4).take([]))
