"""The bootstrap interval: does it cover, and does it say so where it cannot know?"""

import math

import numpy as np
import pytest

from journeyman.diagnose import Interval, interval, paired, share_interval
from journeyman.diagnose._interval import Clusters, compare, interval_of, student
from journeyman.parts import JourneymanError

# Each coverage rests on N = 600 data sets, so its own standard error is √(0.95 · 0.05 / 600) = 0.9 %. A right interval
# (95 %) leaves 95 ± 4 % about once in 100 000 runs; the seeds are fixed.
SETS, ROOM = 600, 0.04


def coverage(draw, truth, count, level=0.95):
    random = np.random.default_rng(7)
    found = [interval(draw(random, count), level, seed=i) for i in range(SETS)]
    return np.mean([i.low <= truth <= i.high for i in found])


@pytest.mark.parametrize("count", [2, 3, 4, 20])
def test_it_covers_a_normal_mean(count):
    assert abs(coverage(lambda r, n: r.normal(3.0, 2.0, n), 3.0, count) - 0.95) < ROOM


@pytest.mark.parametrize("count", [20, 60])
def test_it_covers_a_skewed_mean(count):
    """Exponential returns; below 20 episodes no interval covers a long tail that it has not seen."""
    assert abs(coverage(lambda r, n: r.exponential(2.0, n), 2.0, count) - 0.95) < ROOM


def test_it_covers_a_share():
    assert abs(coverage(lambda r, n: (r.random(n) < 0.3).astype(float), 0.3, 60) - 0.95) < ROOM


def test_another_level_covers_as_often_as_it_says():
    assert abs(coverage(lambda r, n: r.normal(size=n), 0.0, 30, level=0.5) - 0.5) < 0.09


def test_the_bare_percentile_interval_would_not_pass():
    """The must-fail control: for 5 values the interval without Student's reach covers far too little."""
    random = np.random.default_rng(7)
    bare, ours = [], []
    for i in range(SETS):
        values = random.normal(size=5)
        means = np.random.default_rng(i).choice(values, (1000, 5)).mean(1)
        low, high = np.quantile(means, [0.025, 0.975])
        bare.append(low <= 0 <= high)
        known = interval(values, seed=i)
        ours.append(known.low <= 0 <= known.high)
    assert np.mean(bare) < 0.95 - 2 * ROOM < np.mean(ours)


def test_of_five_values_it_covers_what_its_docstring_says():
    assert coverage(lambda r, n: r.normal(size=n), 0.0, 5) == pytest.approx(0.92, abs=0.03)
    assert coverage(lambda r, n: r.exponential(size=n), 1.0, 5) == pytest.approx(0.86, abs=0.04)


def test_of_three_values_it_is_student_s():
    found = interval([1.0, 2.0, 6.0])
    reach = 4.302653 * np.std([1.0, 2.0, 6.0], ddof=1) / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((3 - reach, 3 + reach), rel=1e-6)
    two = interval([0.0, 1.0])
    assert (two.low, two.high) == pytest.approx((0.5 - 12.7062 / 2, 0.5 + 12.7062 / 2), abs=1e-4)


def test_it_shrinks_like_the_root_of_n():
    random = np.random.default_rng(0)
    width = {
        n: np.mean([np.ptp([(i := interval(random.normal(size=n))).low, i.high]) for _ in range(30)]) for n in (50, 800)
    }
    assert width[50] / width[800] == pytest.approx(4.0, rel=0.1)


def test_episodes_of_unequal_length_are_resampled_whole():
    """Steps of one episode are alike: an interval over steps would be far too narrow."""
    random = np.random.default_rng(3)
    hits = naive = 0
    for i in range(100):
        length = random.integers(5, 30, 30)
        level = random.normal(1.0, 1.0, 30)  # the same for all steps of an episode
        known = interval_of(Clusters(level * length, length.astype(float)), seed=i)
        hits += known.low <= 1.0 <= known.high
        over_steps = interval(np.repeat(level, length), seed=i)
        naive += over_steps.low <= 1.0 <= over_steps.high
    assert hits / 100 > 0.88  # 2.2 % standard error: three of them below 95 %
    assert naive / 100 < 0.5


def test_differences_and_ratios():
    random = np.random.default_rng(5)
    difference = ratio = 0
    for i in range(300):
        a, b = (Clusters(random.normal(mean, 1.0, 40), np.ones(40)) for mean in (6.0, 4.0))
        one, other = compare(a, b, "difference", seed=i), compare(a, b, "ratio", seed=i)
        difference += one.low <= 2.0 <= one.high
        ratio += other.low <= 1.5 <= other.high
    # 300 sets: the standard error is 1.3 %, and 5 % is four of them.
    assert abs(difference / 300 - 0.95) < 0.05
    assert abs(ratio / 300 - 0.95) < 0.05


def test_what_is_constant_or_alone():
    assert interval([0.1] * 7) == Interval(0.1, 0.1, 0.1, 7)
    alone = interval([4.0])
    assert (alone.mean, alone.n, alone.known) == (4.0, 1, False)
    assert math.isnan(alone.low)
    two = interval([0.0, 1.0])
    assert two.mean == 0.5
    assert two.low <= 0.5 <= two.high


def test_it_is_a_function_of_its_arguments():
    values = np.random.default_rng(0).normal(size=30)
    kept = values.copy()
    assert interval(values, seed=3) == interval(values, seed=3)
    assert interval(values, seed=3) != interval(values, seed=4)
    assert (values == kept).all()
    shifted = interval(values * 1e6 + 1e9)
    plain = interval(values)
    assert shifted.low == pytest.approx(plain.low * 1e6 + 1e9, rel=1e-9)
    assert interval(values * 1e-150).low == pytest.approx(plain.low * 1e-150, rel=1e-6)


def test_students_quantile():
    """97.5 % with 1, 2, 4, 19 and 199 degrees of freedom, from the tables."""
    for freedom, quantile in ((1, 12.7062), (2, 4.3027), (4, 2.7764), (19, 2.0930), (199, 1.9720)):
        assert student(0.975, freedom) == pytest.approx(quantile, abs=1e-4)


def test_what_means_nothing_is_refused():
    with pytest.raises(JourneymanError, match="at least one episode"):
        interval([])
    with pytest.raises(JourneymanError, match="2 of 3 values are not finite"):
        interval([1.0, math.nan, math.inf])
    with pytest.raises(JourneymanError, match=r"not 1\.5"):
        interval([1.0, 2.0], level=1.5)
    few = Clusters(np.arange(8.0), np.ones(8))
    for level in (0.0, 1.0, 2.0, math.nan):
        for call in (
            lambda x: share_interval([True, False], level=x),
            lambda x: compare(few, few, "difference", level=x),
            lambda x: paired([[1.0, 1.2, 0.9, 1.1]], level=x),
        ):
            with pytest.raises(JourneymanError, match=f"is a probability such as 0.95, not {level}"):
                call(level)
    with pytest.raises(JourneymanError, match=r"not for shape \(2, 2\)"):
        interval(np.ones((2, 2)))


def test_a_ratio_to_what_is_rare_has_no_upper_bound_and_to_nothing_no_interval():
    often = Clusters(np.asarray([0.0, 0, 1, 3, 2, 0, 0, 1]), np.full(8, 10.0))
    for count in (3, 8, 24):
        once = Clusters(np.eye(count)[0], np.full(count, 10.0))
        found = compare(often, once, "ratio")
        assert found.high == np.inf
        assert found.low < found.mean
    never = Clusters(np.zeros(8), np.full(8, 10.0))
    nothing = compare(often, never, "ratio")
    assert nothing.mean == np.inf
    assert not nothing.known
