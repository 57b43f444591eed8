"""The dip against its definition as a linear program, and its level over every shape with one mode."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from journeyman.diagnose import dip, dip_p_value
from journeyman.parts import JourneymanError


def by_definition(values: np.ndarray) -> float:
    """min over the mode's place, and over G unimodal there, of sup |F − G|: one linear program for each place."""
    x, counts = np.unique(values, return_counts=True)
    above = np.cumsum(counts) / len(values)
    below, size = above - counts / len(values), len(x)
    best = np.inf
    for mode in range(size):
        before, off = size, size + 1  # columns of G(mode−) and of the distance; column j is G(x_j)
        rows, bounds = [], []

        def add(entries: dict[int, float], most: float, rows: list = rows, bounds: list = bounds) -> None:
            row = np.zeros(size + 2)
            for column, value in entries.items():
                row[column] += value
            rows.append(row)
            bounds.append(most)

        def bend(three: list[int], at: np.ndarray, sign: float, add=add) -> None:
            first, second = sign / (at[1] - at[0]), sign / (at[2] - at[1])
            add({three[0]: -first, three[1]: first + second, three[2]: -second}, 0.0)

        for j in range(size):
            low, high = (above[j], below[j]) if j != mode else (above[j], above[j])
            add({j: 1, off: -1}, high)
            add({j: -1, off: -1}, -low)
        add({before: 1, off: -1}, below[mode])
        add({before: -1, off: -1}, -below[mode])
        left, right = [*range(mode), before], list(range(mode, size))
        for i in range(1, len(left) - 1):
            bend(left[i - 1 : i + 2], x[i - 1 : i + 2], 1.0)
        for i in range(mode + 1, size - 1):
            bend([i - 1, i, i + 1], x[i - 1 : i + 2], -1.0)
        for line in (left, right, [before, mode]):
            for one, other in itertools.pairwise(line):
                add({one: 1, other: -1}, 0.0)
        cost = np.eye(size + 2)[off]
        best = min(best, linprog(cost, A_ub=np.asarray(rows), b_ub=bounds, bounds=[(None, None)] * (size + 2)).fun)
    return max(best, 1 / (2 * len(values)))


@pytest.mark.parametrize("count", [3, 5, 8, 13])
def test_it_is_the_distance_from_what_has_one_mode(count: int) -> None:
    random = np.random.default_rng(count)
    for case in range(6):
        values = random.normal(size=count)
        if case % 2:
            values = values / 3 + random.choice([-1, 1], count)
        if case >= 4:
            values = np.round(values)  # ties
        assert dip(values) == pytest.approx(by_definition(values), abs=1e-7)


def test_place_scale_order_and_side_change_nothing() -> None:
    values = np.random.default_rng(0).normal(size=40) + np.repeat([0, 3], 20)
    for other in (5 * values - 2, -values, values[::-1], np.repeat(values, 2)):
        assert dip(other) == pytest.approx(dip(values), abs=1e-9)


def test_known_dips() -> None:
    assert dip(np.arange(10.0)) == pytest.approx(1 / 20), "evenly spread: the least there is"
    assert dip(np.zeros(7)) == pytest.approx(1 / 14)
    assert dip(np.repeat([0.0, 1.0], 50)) == pytest.approx(0.25), "two points: the most there is"
    assert dip_p_value(np.repeat([0.0, 1.0], 15)) == pytest.approx(1 / 2001)


def test_what_has_no_dip_is_refused() -> None:
    for values in (np.zeros(0), np.zeros((2, 2)), np.asarray([1.0, np.nan])):
        with pytest.raises(JourneymanError, match="at least one finite number along one axis"):
            dip(values)


@pytest.mark.parametrize("shape", ["uniform", "normal", "exponential", "cauchy", "spreads", "triangle", "one point"])
def test_the_level_holds_whatever_the_shape_of_the_one_mode(shape: str) -> None:
    """300 samples of 30 at level .05: 15 alarms are due at most; 27 are three errors off. And it is no test that never
    speaks: the uniform distribution itself alarms about as often as it may."""
    random, alarms = np.random.default_rng(7), 0
    for _ in range(300):
        alarms += (
            dip_p_value(
                {
                    "uniform": lambda: random.random(30),
                    "normal": lambda: random.normal(size=30),
                    "exponential": lambda: random.exponential(size=30),
                    "cauchy": lambda: random.standard_cauchy(30),
                    "spreads": lambda: random.normal(size=30) * np.repeat([0.1, 3.0], 15),
                    "triangle": lambda: random.triangular(0, 0, 1, 30),
                    "one point": lambda: np.where(random.random(30) < 0.5, 0, random.normal(size=30)),
                }[shape]()
            )
            < 0.05
        )
    assert alarms < 27
    if shape == "uniform":
        assert alarms > 4


def test_a_likelihood_ratio_of_gaussians_would_take_skew_for_a_second_mode() -> None:
    """The control: one Gaussian against two, calibrated on Gaussian samples, alarms on an exponential nearly always."""
    from journeyman.diagnose import two_gaussians

    def gain(values: np.ndarray) -> float:
        one = -0.5 * ((values - values.mean()) / values.std()) ** 2 - np.log(values.std() * np.sqrt(2 * np.pi))
        return float(np.log(two_gaussians(values).density(values)).sum() - one.sum())

    random = np.random.default_rng(3)
    null = [gain(random.normal(size=30)) for _ in range(40)]
    skewed = [random.exponential(size=30) for _ in range(15)]
    assert np.mean([gain(one) > np.quantile(null, 0.95) for one in skewed]) > 0.4
    assert np.mean([dip_p_value(one) < 0.05 for one in skewed]) < 0.2
