"""Two ways of training compared on the same episodes: interval, exact test, and what could have been seen."""

import dataclasses
import math
from statistics import NormalDist
from typing import Any

import numpy as np

from journeyman.diagnose._interval import Interval, level_problems, student
from journeyman.parts import refuse

_ENUMERATED = 32
"""Up to so many values all changes of sign are counted."""
_SHUFFLES = 9999
POWER = 0.8


@dataclasses.dataclass(frozen=True)
class Paired:
    """The mean of paired differences.

    `difference` with its 95 % interval over training seeds and episodes both; `p` of the sign-flip test over episodes;
    `smallest`: the least difference that would have been told in four cases of five.
    """

    difference: Interval
    p: float
    smallest: float

    @property
    def detected(self) -> bool:
        """Whether the interval lies above 0."""
        return self.difference.known and self.difference.low > 0


def paired(differences: Any, level: float = 0.95, seed: int = 0) -> Paired:
    """Of `differences` (seeds, episodes): of each training seed on each episode, one way of training less the other.

        SE² = s²_seeds / S + s²_episodes / n      s of the means over the other level
        difference ± t SE,  t with SE⁴ / ((s²_seeds/S)²/(S−1) + (s²_episodes/n)²/(n−1)) degrees of freedom

    What seeds and episodes share is counted twice, so where episodes vary most the interval is too wide (97 to 99 % at
    two seeds and at three). Where seeds vary most it is too narrow at few of them: 89 % at two, 93 % at three, 95 % at
    five. One row is one training alone: then only episodes vary. `p` is `sign_flip` of the episodes' means, `smallest`
    = (t + z₀.₈) SE.

    Welch 1947; Satterthwaite 1946 (degrees of freedom). Raises `JourneymanError`
    for fewer than two episodes, for what is not finite, and for a level outside (0, 1).

    >>> paired([[1.0, 1.2, 0.9, 1.1, 1.0, 0.8]]).p == 2 / 2**6
    True
    """
    table = np.atleast_2d(np.asarray(differences, np.float64))
    seeds, count = table.shape
    found = level_problems(level)
    if count < 2 or not np.isfinite(table).all():
        found.append(
            f"A paired comparison needs finite differences on at least two episodes, not those of shape {table.shape};"
            " record more."
        )
    refuse(found)
    of_episode, mean = table.mean(0), float(table.mean())
    parts = [float(of_episode.var(ddof=1)) / count]
    freedom = [count - 1]
    if seeds > 1:
        parts.append(float(table.mean(1).var(ddof=1)) / seeds)
        freedom.append(seeds - 1)
    error = math.sqrt(sum(parts))
    if error == 0:
        return Paired(Interval(mean, mean, mean, count), sign_flip(of_episode, seed), 0.0)
    degrees = sum(parts) ** 2 / sum(part**2 / free for part, free in zip(parts, freedom, strict=True))
    reach = student((1 + level) / 2, degrees)
    known = Interval(mean, mean - reach * error, mean + reach * error, count)
    return Paired(known, sign_flip(of_episode, seed), (reach + NormalDist().inv_cdf(POWER)) * error)


def sign_flip(values: Any, seed: int = 0) -> float:
    """The two-sided p-value of the mean of `values` (n,), were each as likely to have the other sign.

    Exact for up to 32 values: all 2ⁿ changes of sign are counted, as sums of one half of the values and sums of the
    other. Beyond that 9999 are drawn with `seed`, and the one that was seen counts among them. Ties count as extreme,
    with a slack for rounding, so that it is never too small. Fisher 1935, section 21.
    """
    values = np.asarray(values, np.float64)
    count, least = len(values), abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if count > _ENUMERATED:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (_SHUFFLES, count))
        return float((1 + (np.abs(signs @ values) >= least).sum()) / (1 + _SHUFFLES))
    first, other = (_sums(half) for half in (values[: count // 2], values[count // 2 :]))
    other = np.sort(other)
    above = len(other) - np.searchsorted(other, least - first, side="left")
    below = np.searchsorted(other, -least - first, side="right")
    return float(min((above + below).sum() / 2.0**count, 1.0))


def _sums(some: np.ndarray) -> np.ndarray:
    """The sums under all changes of sign."""
    found = np.zeros(1)
    for one in some:
        found = np.concatenate([found + one, found - one])
    return found


def holm(p: list[float], of: int | None = None) -> list[float]:
    """Holm's adjusted p-values of some of `of` tests (1979); those that were not made count as made."""
    of = len(p) if of is None else of
    order, adjusted, least = np.argsort(p), np.zeros(len(p)), 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, (of - place) * p[index]))
        adjusted[index] = least
    return adjusted.tolist()
