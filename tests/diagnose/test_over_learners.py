"""The exponent of the mean cost of several learners: each is one entry, and none is left out."""

import dataclasses

import numpy as np
import pytest

from journeyman.diagnose import CostByHorizon, Interval, cost_by_horizon, exponent_over_learners
from journeyman.diagnose._horizon_power import growth
from journeyman.experts import exact
from journeyman.parts import JourneymanError
from journeyman.verify import erring_policy
from journeyman.worlds import ErrorChain

NEVER = ErrorChain(recovery="never")
MEASURED = cost_by_horizon(erring_policy(NEVER, 1), exact(NEVER), NEVER, episodes=20)
HORIZON = MEASURED.horizon
SHARE = HORIZON / HORIZON[-1]


def learner(cost: np.ndarray) -> CostByHorizon:
    """One whose mean costs are these, where the most there can be is far beyond."""
    told = tuple(Interval(float(one), float(one), float(one), 20) for one in cost)
    return dataclasses.replace(MEASURED, cost=told, scale=1e3)


def learners(count: int, power: float, random: np.random.Generator, spread: float = 1.0) -> list[CostByHorizon]:
    """Costs that differ fifty-fold, and exponents that scatter by .05 around the power."""
    rate = np.exp(spread * random.normal(size=count))
    return [learner(r * SHARE ** (power + 0.05 * z)) for r, z in zip(rate, random.normal(size=count), strict=True)]


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_learners_of_one_power_have_it_whatever_each_pays(power: float) -> None:
    found = exponent_over_learners([learner(i * SHARE**power) for i in range(1, 7)])
    assert found is not None
    assert found.mean == pytest.approx(power, abs=1e-6)
    assert found.high - found.low < 1e-6
    assert found.n == 6


def test_it_is_of_the_mean_cost_and_not_the_mean_of_the_exponents() -> None:
    """Nine who pay a thousandth with the exponent 4 do not move the one who pays, nor do those who gain a little."""
    pays, little = [SHARE**2] * 5, [1e-3 * SHARE**4] * 9
    found = exponent_over_learners([learner(cost) for cost in (*pays, *little)])
    whole = growth(HORIZON, np.asarray([*pays, *little]))
    assert found is not None
    assert whole is not None
    assert found.mean == pytest.approx(whole.mean)
    assert abs(found.mean - 2) < 0.01
    gain = learner(-1e-3 * SHARE)
    with_gain = exponent_over_learners([*map(learner, pays), gain])
    assert with_gain is not None
    assert with_gain.n == 6
    assert with_gain.mean > 2  # what is gained at short horizons is taken from the mean, not left out


def test_one_learner_who_pays_nearly_all_leaves_no_bound() -> None:
    found = exponent_over_learners([learner(10.0**i * SHARE**2) for i in range(-3, 3)])
    assert found is not None
    assert found.mean == pytest.approx(2, abs=1e-6)
    assert not found.known


@pytest.mark.parametrize(
    "count", [pytest.param(5, marks=pytest.mark.slow), 10, pytest.param(20, marks=pytest.mark.slow)]
)
def test_its_interval_holds_the_truth_over_learners(count: int) -> None:
    """100 measurements, and the truth from many learners. 95 % less four errors: 86 %."""
    random = np.random.default_rng(count)
    many = np.asarray([[one.mean for one in each.cost] for each in learners(5000, 2.0, random)])
    truth = growth(HORIZON, many.mean(axis=0)[None].repeat(2, axis=0), least=2)
    told = [exponent_over_learners(learners(count, 2.0, random)) for _ in range(100)]
    some = [one for one in told if one is not None]
    assert truth is not None
    assert len(some) == 100
    assert np.mean([one.low <= truth.mean <= one.high for one in some]) > 0.86
    assert np.mean([one.known for one in some]) > 0.1 * np.log2(count)


def test_fewer_than_five_and_a_cost_that_is_none_have_no_exponent() -> None:
    assert exponent_over_learners([learner(SHARE**2)] * 4) is None
    assert exponent_over_learners([learner(s * SHARE) for s in (-1, 1, -1, 1, -1)]) is None
    assert exponent_over_learners([dataclasses.replace(learner(SHARE), scale=1e-6)] * 6) is None


def test_no_learners_and_other_horizons_are_refused() -> None:
    with pytest.raises(JourneymanError, match="no learners"):
        exponent_over_learners([])
    other = cost_by_horizon(erring_policy(NEVER, 1), exact(NEVER), NEVER, episodes=20, horizons=[10, 50])
    with pytest.raises(JourneymanError, match=r"at other horizons, \[10, 50\] and \[12"):
        exponent_over_learners([MEASURED, other])
