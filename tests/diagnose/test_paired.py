"""Paired comparisons: hand-worked numbers, the level, and what could have been seen."""

import itertools

import numpy as np
import pytest

from journeyman.diagnose import paired, sign_flip
from journeyman.diagnose._paired import holm
from journeyman.parts import JourneymanError


def test_one_seed_by_hand() -> None:
    """1, 2, 3: mean 2, SE 1/√3, t(.975; 2) = 4.303; of 8 changes of sign 2 are as far from 0."""
    found = paired([[1.0, 2.0, 3.0]])
    assert found.difference.mean == 2
    assert found.difference.high - 2 == pytest.approx(4.303 / 3**0.5, rel=0.04)  # the quantile is an expansion
    assert found.p == 2 / 8
    assert found.smallest == pytest.approx((4.303 + 0.8416) / 3**0.5, rel=0.04)


def test_both_levels_count() -> None:
    """Seeds that differ widen what episodes alone would call certain."""
    episodes = np.tile([1.0, 1.1, 0.9, 1.0, 1.05, 0.95], (3, 1))
    assert paired(episodes).detected
    assert not paired(episodes + np.asarray([[-1.5], [0.0], [1.5]])).detected


def test_no_difference_at_all() -> None:
    found = paired(np.zeros((2, 5)))
    assert (found.difference.mean, found.p, found.smallest, found.detected) == (0, 1, 0, False)


@pytest.mark.parametrize(("seeds", "episodes"), [(1, 10), (3, 20), (4, 8)])
def test_interval_and_test_hold_their_level(seeds: int, episodes: int) -> None:
    """Effects of seeds and of episodes with mean 0: 400 cases, .05 of them may be wrong, .083 is three errors off."""
    random, out, alarms = np.random.default_rng(seeds), 0, 0
    for case in range(400):
        table = random.normal(size=(1, episodes)) + random.normal(size=(seeds, episodes))
        if seeds > 1:
            table = table + 0.5 * random.normal(size=(seeds, 1))
        known = paired(table, seed=case).difference
        out += not known.low <= 0 <= known.high
    for case in range(200):
        alarms += paired(random.normal(size=(1, 10)) * random.exponential(size=(1, 10)), seed=case).p < 0.05
    assert out < 0.083 * 400
    assert alarms < 0.096 * 200


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "share"), [(2, 1.0, 0.89), (3, 1.0, 0.93), (5, 1.0, 0.95), (2, 0.0, 0.98), (3, 0.0, 0.98)]
)
def test_how_often_the_interval_holds_the_difference_is_what_its_docstring_says(
    seeds: int, of_seeds: float, share: float
) -> None:
    """1,500 cases: a share of .93 is known to ± .02 at three errors."""
    random, held = np.random.default_rng(0), 0
    for case in range(1500):
        table = of_seeds * random.normal(size=(seeds, 1)) + random.normal(size=(seeds, 12))
        known = paired(table + (1 - of_seeds) * random.normal(size=(1, 12)), seed=case).difference
        held += known.low <= 0 <= known.high
    assert held / 1500 == pytest.approx(share, abs=0.025)


def test_what_could_have_been_seen_is_seen_four_times_in_five() -> None:
    random = np.random.default_rng(0)
    smallest = np.mean([paired(random.normal(size=(1, 20))).smallest for _ in range(100)])
    seen = np.mean([paired(smallest + random.normal(size=(1, 20))).detected for _ in range(300)])
    assert seen == pytest.approx(0.8, abs=0.08)


def test_signs_are_flipped_in_every_way_there_is() -> None:
    random = np.random.default_rng(0)
    for count in (1, 2, 5, 9):
        apart = random.normal(0.5, 1, count).round(1)  # rounded, so that there are ties
        signs = np.asarray(list(itertools.product((1, -1), repeat=count)))
        extreme = np.abs(signs @ apart) >= abs(apart.sum()) - 1e-9
        assert sign_flip(apart) == pytest.approx(extreme.mean(), abs=1e-12)
    assert sign_flip(np.ones(30)) == pytest.approx(2 / 2**30, rel=1e-12)
    assert sign_flip(np.asarray([1.0, -1.0, 0.0])) == 1
    # Beyond what is counted signs are drawn: near what is exact one value earlier, and the same for one seed.
    many = random.normal(0.3, 1, 33)
    assert sign_flip(many, seed=1) == sign_flip(many, seed=1)
    drawn = np.mean([sign_flip(np.append(many[:32], 0.0), seed=seed) for seed in range(10)])
    assert drawn == pytest.approx(sign_flip(many[:32]), abs=0.003)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01], 3) == pytest.approx([0.03]), "tests that were not made count as made"
    assert holm([]) == []


def test_what_cannot_be_compared_is_refused() -> None:
    for table in ([[1.0]], [[1.0, np.nan]]):
        with pytest.raises(JourneymanError, match="finite differences on at least two episodes"):
            paired(table)
