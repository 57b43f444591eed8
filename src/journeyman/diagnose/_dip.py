"""Hartigan's dip: how far a sample is from every distribution with one mode, whatever that one's shape."""

import functools
from typing import Any

import numpy as np

from journeyman.parts import JourneymanError

NULL_SAMPLES = 2000
"""Uniform samples of each size that a dip is held against: no p-value is below 1/2001."""


def dip(values: Any) -> float:
    """The dip of `values` (n,): min over unimodal G of sup |F − G|, F their distribution function; from 1/2n to ¼.

    G is convex up to its mode and concave from there. Between the greatest convex function below F and the least
    concave one above it, taken where they are farthest apart, the mode must lie; there the two are drawn again, until
    they are no farther apart than F is from the one left of that place, or from the other right of it.

    Hartigan and Hartigan 1985, section 4. Raises `JourneymanError` for no values and for values that are not finite.

    >>> float(dip([0.0] * 10 + [1.0] * 10))
    0.25
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise JourneymanError(f"A dip is that of at least one finite number along one axis, not of {values.shape}.")
    x, counts = np.unique(values, return_counts=True)
    above = np.cumsum(counts) / len(values)
    below = above - counts / len(values)
    twice = 1 / len(values)
    while True:
        under, over = _convex(x, below), _concave(x, above)
        convex, concave = np.interp(x, x[under], below[under]), np.interp(x, x[over], above[over])
        left, right = _modal(under, over, concave - convex)
        if (concave - convex)[[left, right]].max() <= twice:
            return twice / 2
        # Left of the mode G is the convex one, right of it the concave one; that is how far F is from them there.
        outside = max((above - convex)[:left].max(initial=0), (concave - below)[right + 1 :].max(initial=0))
        twice = max(twice, outside)
        if right - left == len(x) - 1:
            return twice / 2
        x, below, above = (each[left : right + 1] for each in (x, below, above))


def dip_p_value(values: Any) -> float:
    """The share of uniform samples of that size (2000 of them, and the sample itself) with as large a dip.

    Among distributions with one mode the uniform one has, as n grows, the largest dip (Hartigan and Hartigan 1985,
    theorem 2). So the level holds for all of them: Gaussian, skewed or heavy-tailed, or a mixture of spreads about one
    place; for peaked ones the test asks for more than it must.
    """
    null = null_dips(len(np.asarray(values)))
    reached = len(null) - np.searchsorted(null, dip(values) - 1e-12)
    return float((1 + reached) / (1 + len(null)))


@functools.cache
def null_dips(count: int) -> np.ndarray:
    """The dips of `NULL_SAMPLES` uniform samples of `count` numbers, in order of size."""
    drawn = np.random.default_rng(count).random((NULL_SAMPLES, count))
    return np.sort([dip(one) for one in drawn])


def _modal(under: np.ndarray, over: np.ndarray, gap: np.ndarray) -> tuple[int, int]:
    """Where the two are farthest apart: a corner of the one, and the nearest of the other that closes the interval."""
    at_under, at_over = gap[under], gap[over]
    if at_over.max() > at_under.max():
        right = over[np.flatnonzero(at_over == at_over.max())[-1]]
        return int(under[under <= right][-1]), int(right)
    left = under[np.argmax(at_under)]
    return int(left), int(over[over >= left][0])


def _convex(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The corners of the greatest convex function below the points."""
    hull: list[int] = []
    xs, ys = x.tolist(), y.tolist()
    for j, (at, value) in enumerate(zip(xs, ys, strict=True)):
        while len(hull) > 1:
            i, k = hull[-2], hull[-1]
            if (ys[k] - ys[i]) * (at - xs[k]) < (value - ys[k]) * (xs[k] - xs[i]):
                break
            hull.pop()
        hull.append(j)
    return np.asarray(hull)


def _concave(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The corners of the least concave function above the points."""
    return len(x) - 1 - _convex(-x[::-1], -y[::-1])[::-1]
