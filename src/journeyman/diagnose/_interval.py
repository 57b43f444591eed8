"""How well a mean is known: bootstrap intervals over episodes, never over steps."""

import dataclasses
import math
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import stdtrit

from journeyman.parts import JourneymanError, refuse

RESAMPLES = 4000
FEW = 5
"""Of fewer values intervals are Student's: a bootstrap's bounds never leave the values themselves."""
_NORMAL = NormalDist()
_NUMBERS_AT_ONCE = 4_000_000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A measured number, the bounds between which the truth lies in 95 % of such measurements, and from how many.

    `n` counts the independent things behind it (episodes). From one alone nothing is known of the spread: the
    bounds are nan.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        """Whether the bounds are numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def interval(values: Any, level: float = 0.95, seed: int = 0) -> Interval:
    """The mean of independent `values` (n,) and a bootstrap interval for the mean of what they were drawn from.

    BCa (Efron 1987): the bounds are the quantiles Φ(ẑ₀ + (ẑ₀ ± z)/(1 − â(ẑ₀ ± z))) of the means of 4000 resamples,
    with the bias ẑ₀ from the resamples and the acceleration â = Σ dᵢ³ / (6 (Σ dᵢ²)^{3/2}) from the jackknife.

    Deviations: 1. z is √(n/(n−1)) times Student's quantile with n−1 degrees of freedom instead of the normal one
    (Hesterberg 2015, section 3.5): the bare bootstrap is too narrow for few episodes. 2. Of fewer than five values it
    is Student's interval, mean ± t·s/√n, for a bootstrap's bounds never leave the values themselves, and those of two
    hold the mean in half of all cases. Of five normal values 92 % of the intervals hold it, of five exponential ones
    86 %. Values that are all alike give an interval of no width, one value gives bounds of nan. The same `seed` gives
    the same interval.

    Raises `JourneymanError` for no values, for values that are not finite, and for a level outside (0, 1).

    >>> interval([2.0, 2.0, 2.0])
    Interval(mean=2.0, low=2.0, high=2.0, n=3)
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1:
        raise JourneymanError(f"An interval is for a list of numbers, not for shape {values.shape}; pass one axis.")
    return interval_of(Clusters(values, np.ones(len(values))), level, seed)


def share_interval(happened: Any, level: float = 0.95) -> Interval:
    """The share of n independent trials in which something happened, with Wilson's interval (1927).

        (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)

    Unlike a bootstrap it knows that ten successes of ten do not prove certainty. Raises `JourneymanError` for no trial
    and for a level outside (0, 1).

    >>> share_interval([True] * 10).low > 0.7
    True
    """
    happened = np.asarray(happened, bool)
    n = happened.size
    found = [] if n else ["There are no trials to take a share of; play at least one episode."]
    refuse(found + level_problems(level))
    p, z = float(happened.mean()), _NORMAL.inv_cdf((1 + level) / 2)
    middle, reach = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * reach) / (1 + z**2 / n) for sign in (-1, 1))
    return Interval(p, low if p > 0 else 0.0, high if p < 1 else 1.0, n)


class Clusters(NamedTuple):
    """Σ numerator / Σ denominator, with one entry for each independent thing: what is resampled together."""

    numerator: np.ndarray
    denominator: np.ndarray

    @property
    def estimate(self) -> float:
        """The ratio of the sums."""
        return float(self.numerator.sum() / self.denominator.sum())

    def used(self) -> "Clusters":
        """Without the entries that weigh nothing."""
        keep = self.denominator > 0
        return Clusters(self.numerator[keep], self.denominator[keep])


def interval_of(clusters: Clusters, level: float = 0.95, seed: int = 0) -> Interval:
    """`interval` for a ratio of sums over clusters (episodes of unequal length, a pooled slope)."""
    clusters = clusters.used()
    numerator, denominator = clusters
    count = len(numerator)
    finite = np.isfinite(numerator) & np.isfinite(denominator)
    found = [] if count else ["There are no values to take the mean of; measure at least one episode."]
    if not finite.all():
        found.append(f"{int((~finite).sum())} of {count} values are not finite; an interval of them means nothing.")
    refuse(found + level_problems(level))
    single = numerator / denominator
    if np.ptp(single) == 0:
        value = float(single[0])
        return Interval(value, *((value, value) if count > 1 else (math.nan, math.nan)), count)
    mean = clusters.estimate
    without = (numerator.sum() - numerator) / (denominator.sum() - denominator)
    away = without.mean() - without
    away = away / max(np.abs(away).max(), np.finfo(float).tiny)  # cubes must not vanish
    acceleration = float((away**3).sum() / (6 * max((away**2).sum(), 1.0) ** 1.5))
    if count < FEW:
        error = math.sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))  # of a mean s/√n
        reach = student((1 + level) / 2, count - 1) * error
        return Interval(mean, mean - reach, mean + reach, count)
    low, high = _bounds(mean, _replicates(clusters, seed), acceleration, count, level)
    return Interval(mean, low, high, count)


def compare(
    first: Clusters, second: Clusters, how: Literal["difference", "ratio"], level: float = 0.95, seed: int = 0
) -> Interval:
    """first − second or first / second of two independent measurements; `n` is that of the smaller one.

    A resample of the second that sums to 0 makes a ratio infinite, and the upper bound where there are many of them;
    0/0 says nothing and is left out. A ratio to an estimate of 0 has no interval.
    """
    refuse(level_problems(level))
    first, second = first.used(), second.used()
    combine = np.subtract if how == "difference" else np.divide
    count = min(len(first.numerator), len(second.numerator))
    with np.errstate(divide="ignore", invalid="ignore"):  # of a rare thing a resample may hold none
        mean = float(combine(first.estimate, second.estimate))
        if count < 2:
            return Interval(mean, math.nan, math.nan, count)
        replicates = combine(_replicates(first, seed), _replicates(second, seed + 1))
    replicates = replicates[~np.isnan(replicates)]
    if not (math.isfinite(mean) and len(replicates)):
        return Interval(mean, math.nan, math.nan, count)
    if np.allclose(replicates, mean, rtol=1e-12, atol=0):
        return Interval(mean, mean, mean, count)
    return Interval(mean, *_bounds(mean, replicates, 0.0, count, level), count)


def interval_from(estimate: float, replicates: np.ndarray, count: int, level: float = 0.95) -> Interval:
    """The bias-corrected percentile interval of an estimate from its values on resamples of `count` things.

    For statistics that are no ratio of sums. Replicates that are all alike give an interval of no width.
    """
    refuse(level_problems(level))
    if count < 2:
        return Interval(estimate, math.nan, math.nan, count)
    if np.ptp(replicates) == 0:
        return Interval(estimate, estimate, estimate, count)
    return Interval(estimate, *_bounds(estimate, replicates, 0.0, count, level), count)


def skewed_interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """The mean of a hundred values or more whose tail is long, with the interval of Hall (1992) at Student's quantile.

        T(w) = √n (w + γ w²/3 + γ² w³/27 + γ/6n),   w = (mean − truth)/s, γ the skewness of the values

    has nearly Student's distribution where w √n, as a mean of skewed numbers, is far from it. T rises with w, and its
    inverse at ± the quantile gives the bounds. Of values that are all alike the interval has no width.
    """
    refuse(level_problems(level))
    count, mean, spread = len(values), float(values.mean()), float(values.std(ddof=1))
    if not spread > 0:
        return Interval(mean, mean, mean, count)
    skew = float((((values - mean) / spread) ** 3).mean())
    skew = math.copysign(max(abs(skew), 1e-6), skew)  # for less it is a line
    reach = student((1 + level) / 2, count - 1)
    upper, lower = ((t / math.sqrt(count) - skew / (6 * count)) * skew for t in (reach, -reach))
    upper, lower = (3 / skew * float(np.cbrt(1 + x) - 1) for x in (upper, lower))
    return Interval(mean, mean - spread * upper, mean - spread * lower, count)


def unskewed(t: np.ndarray, r: np.ndarray) -> np.ndarray:
    """T of `skewed_interval`, of t = w √n and r = γ/√n."""
    return t + r * t**2 / 3 + r**2 * t**3 / 27 + r / 6


def level_problems(level: float) -> list[str]:
    """Why there is no interval of such a level."""
    return [] if 0 < level < 1 else [f"The level of an interval is a probability such as 0.95, not {level}."]


def _replicates(clusters: Clusters, seed: int) -> np.ndarray:
    random, count = np.random.default_rng(seed), len(clusters.numerator)
    at_once = max(1, _NUMBERS_AT_ONCE // count)
    parts = []
    for start in range(0, RESAMPLES, at_once):
        drawn = random.integers(count, size=(min(at_once, RESAMPLES - start), count), dtype=np.int32)
        parts.append(clusters.numerator[drawn].sum(axis=1) / clusters.denominator[drawn].sum(axis=1))
    return np.concatenate(parts)


def _bounds(mean: float, replicates: np.ndarray, acceleration: float, count: int, level: float) -> tuple[float, float]:
    reach = math.sqrt(count / (count - 1)) * student((1 + level) / 2, count - 1)
    finite = bool(np.isfinite(replicates).all())
    if count < FEW:
        error = reach * float(np.std(replicates)) if finite else math.inf
        return mean - error, mean + error
    below = float((replicates < mean).mean() + (replicates == mean).mean() / 2)
    bias = _NORMAL.inv_cdf(min(max(below, 1 / len(replicates)), 1 - 1 / len(replicates)))
    quantiles = []
    for z in (-reach, reach):
        moved = bias + z
        quantiles.append(_NORMAL.cdf(bias + moved / max(1 - acceleration * moved, 0.05)))
    low, high = np.quantile(replicates, quantiles, method="linear" if finite else "inverted_cdf")
    return float(low), float(high)


def student(probability: float, freedom: float) -> float:
    """Student's quantile, also between whole degrees of freedom."""
    return float(stdtrit(freedom, probability))
