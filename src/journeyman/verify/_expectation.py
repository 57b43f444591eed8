"""Expectations under exp(log p): a sum over a finite set, a quadrature, or importance sampling."""

import math
from statistics import NormalDist
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from journeyman.parts import JourneymanError
from journeyman.verify._subject import Subject
from journeyman.worlds import AbstractFinite, AbstractSpace, Box

MOST_ELEMENTS = 2**16
_CHUNK = 2**14
_NODES = 129
_MOST_NODES = {1: 2**14, 2: 2**11}


class Claim(NamedTuple):
    """Points and what each weighs: Σ weight · f(point) is the expectation of f under exp(log p).

    For real actions `point` is in coordinates without bounds (log-odds on a bounded box) and `chart` leads there.
    `noise` multiplies the standard error that a mean over the points has: 0 for sums and quadratures.
    """

    point: np.ndarray
    log_prob: np.ndarray
    weight: np.ndarray
    mass: float
    error: float
    noise: float
    how: str
    chart: "Chart | None" = None


class Chart:
    """Actions of a box ⇄ coordinates that reach from −∞ to ∞: log-odds where both bounds are finite."""

    def __init__(self, space: Box) -> None:
        self.shape = space.shape
        low, high = (np.asarray(side, np.float64).ravel() for side in (space.low, space.high))
        self.bounded = np.isfinite(low) & np.isfinite(high)
        self.low, self.width = np.where(self.bounded, low, 0.0), np.where(self.bounded, high - low, 1.0)

    def coordinates(self, action: np.ndarray) -> np.ndarray:
        """`(samples, size)`; what lies on a bound is put a trillionth of the width inside."""
        flat = action.reshape(len(action), -1).astype(np.float64)
        share = np.clip((flat - self.low) / self.width, 1e-12, 1 - 1e-12)
        return np.where(self.bounded, np.log(share / (1 - share)), flat)

    def actions(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The actions at `point`, and log |∂action/∂point|."""
        tail = np.exp(-np.abs(point))
        inside = self.low + self.width * np.where(point > 0, 1 / (1 + tail), tail / (1 + tail))
        stretch = np.log(self.width) - np.abs(point) - 2 * np.log1p(tail)
        action = np.where(self.bounded, inside, point).reshape(-1, *self.shape)
        return action, np.where(self.bounded, stretch, 0.0).sum(axis=1)


def claimed(one: Subject, space: AbstractSpace, action: np.ndarray, rng: np.random.Generator) -> Claim:
    """What `one` says of its distribution over `space`; `action` are samples that show where to look."""
    log_prob = _in_chunks(one)
    if isinstance(space, AbstractFinite):
        points = elements(space)
        return _weighed(points, log_prob(points), np.zeros(len(points)), 0.0, f"sum over {len(points)} elements")
    assert isinstance(space, Box)
    chart = Chart(space)
    seen = chart.coordinates(action)

    def density(point: np.ndarray) -> np.ndarray:
        action, stretch = chart.actions(point)
        return log_prob(action) + stretch

    found = _quadrature(density, seen) if seen.shape[1] in _MOST_NODES else _importance(density, seen, rng)
    stretch = chart.actions(found.point)[1]
    return found._replace(log_prob=found.log_prob - stretch, chart=chart)


def elements(space: AbstractFinite) -> np.ndarray:
    """Every element of a finite set, `(elements, *shape)`."""
    counts = space.counts
    total = math.prod(int(n) for n in counts.ravel())
    if total > MOST_ELEMENTS:
        raise JourneymanError(
            f"The set has {total:,} elements and at most {MOST_ELEMENTS:,} are summed over; check a head of the same"
            " kind over a smaller set."
        )
    grid = np.indices(tuple(counts.ravel())).reshape(counts.size, total).T
    return grid.reshape(total, *counts.shape).astype(np.int32)


def _in_chunks(one: Subject):
    """log p of any number of actions, compiled for one shape alone."""
    compiled = jax.jit(one.log_prob)

    def log_prob(action: np.ndarray) -> np.ndarray:
        out = []
        for begin in range(0, len(action), _CHUNK):
            part = action[begin : begin + _CHUNK]
            full = np.concatenate([part, np.repeat(part[:1], _CHUNK - len(part), axis=0)])
            out.append(np.asarray(compiled(one.theta, jnp.asarray(full)))[: len(part)])
        return np.concatenate(out)

    return log_prob


def _weighed(point: np.ndarray, log_prob: np.ndarray, log_cell: np.ndarray, noise: float, how: str) -> Claim:
    weight = np.exp(log_prob + log_cell)
    spread = noise * weight.std() * math.sqrt(len(weight))
    return Claim(point, log_prob, weight, float(weight.sum()), float(spread), noise, how)


def _quadrature(density, seen: np.ndarray) -> Claim:
    """The trapezoidal rule, refined until it no longer changes: for smooth tails its error falls exponentially."""
    centre, spread = seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-6)
    size, nodes, before = seen.shape[1], _NODES, math.inf
    while True:
        axis = np.linspace(-12, 12, nodes)
        grid = np.stack([side.ravel() for side in np.meshgrid(*[axis] * size, indexing="ij")], axis=1)
        point = centre + spread * grid
        log_cell = np.full(len(point), np.log(spread * (axis[1] - axis[0])).sum())
        found = _weighed(point, density(point), log_cell, 0.0, f"trapezoidal rule, {nodes} nodes an axis")
        if abs(found.mass - before) < 1e-6 or 2 * nodes > _MOST_NODES[size]:
            return found
        before, nodes = found.mass, 2 * nodes - 1


def _importance(density, seen: np.ndarray, rng: np.random.Generator, count: int = 2**16) -> Claim:
    """From a Student t of five degrees of freedom with the samples' mean and a little more than their covariance."""
    size, freedom = seen.shape[1], 5.0
    factor = 1.1 * np.linalg.cholesky(np.cov(seen.T) + 1e-12 * np.eye(size))
    wide = np.sqrt(freedom / rng.chisquare(freedom, size=(count, 1)))
    standard = rng.normal(size=(count, size)) * wide
    log_t = math.lgamma((freedom + size) / 2) - math.lgamma(freedom / 2) - size / 2 * math.log(freedom * math.pi)
    log_t = log_t - np.log(np.diag(factor)).sum()
    log_t = log_t - (freedom + size) / 2 * np.log1p((standard**2).sum(axis=1) / freedom)
    point = seen.mean(axis=0) + standard @ factor.T
    how = f"importance sampling, {count:,} draws"
    return _weighed(point, density(point), -log_t - math.log(count), 1.0, how)


# -- do samples come from it ------------------------------------------------------------------------------


def finite_agreement(claim: Claim, action: np.ndarray) -> float:
    """χ² of the counts of the elements that are expected five times and more, as a standard normal.

    (Wilson and Hilferty 1931.) All others are taken together: one more count where five of them are expected, and else
    judged by the Poisson probability of so many, as a standard normal too; the larger of both numbers is given.
    Infinite where something was drawn that has no probability.
    """
    place = {element.tobytes(): index for index, element in enumerate(claim.point)}
    index = [place.get(np.asarray(one, np.int32).tobytes(), -1) for one in action]
    counts = np.bincount(index, minlength=len(claim.point)).astype(float) if min(index) >= 0 else np.ones(1)
    expected = claim.weight * len(action)
    if min(index) < 0 or counts[expected <= 0].any():
        return math.inf
    rare = expected < 5
    few, seen = float(expected[rare].sum()), float(counts[rare].sum())
    common, counted = expected[~rare], counts[~rare]
    if few >= 5:
        return _fit(np.append(common, few), np.append(counted, seen))
    # Given how many were rare, the others are drawn from what is left.
    share = counted.sum() / max(common.sum(), 1e-300)
    return max(_fit(common * share, counted), _unlikely(few, seen))


def _fit(expected: np.ndarray, counts: np.ndarray) -> float:
    freedom = len(counts) - 1
    if freedom < 1:
        return 0.0
    square = float((np.square(counts - expected) / np.maximum(expected, 1e-300)).sum())
    return ((square / freedom) ** (1 / 3) - 1 + 2 / (9 * freedom)) / math.sqrt(2 / (9 * freedom))


def _unlikely(expected: float, count: float) -> float:
    """How many or more than `count` are, where a Poisson number is expected to be `expected`, as a standard normal."""
    if not count:
        return 0.0
    return -NormalDist().inv_cdf(min(max(float(jax.scipy.special.gammainc(count, expected)), 1e-300), 1 - 1e-16))


def real_agreement(claim: Claim, action: np.ndarray, log_prob: np.ndarray) -> float:
    """The largest deviation, in standard errors, of means over samples from those under exp(log p).

    Means are of smooth steps at three quantiles along each axis, and of log p.
    """
    assert claim.chart is not None
    seen = claim.chart.coordinates(action)
    centres, spread = np.quantile(seen, [0.1, 0.5, 0.9], axis=0), np.maximum(seen.std(axis=0), 1e-12)
    step = lambda x: np.tanh(3 * (x[:, None, :] - centres) / spread).reshape(len(x), -1)  # noqa: E731
    ours = np.concatenate([step(seen), log_prob[:, None]], axis=1)
    theirs = np.concatenate([step(claim.point), np.where(claim.weight > 0, claim.log_prob, 0.0)[:, None]], axis=1)
    mean = (claim.weight[:, None] * theirs).sum(axis=0)
    centred = claim.weight[:, None] * (theirs - mean)
    error = ours.var(axis=0) / len(ours) + claim.noise * (centred**2).sum(axis=0)
    return float(np.abs((ours.mean(axis=0) - mean) / np.sqrt(np.maximum(error, 1e-18))).max())
