"""Gradient statistics and the same on resamples of the trajectories, all estimators on the same resamples."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from journeyman.diagnose._interval import Interval, interval_from
from journeyman.diagnose._trajectories import trajectory_gradients
from journeyman.episodes import Episodes
from journeyman.policies import AbstractDensityPolicy

RESAMPLES = 400
LUCKY = 0.05
"""The share of the trajectories that is asked how much of the variance it carries."""


class Moments(NamedTuple):
    """What is kept of N gradients under E estimators. Row 0 of `counts` is the data, the others are resamples.

    counts `(1+resamples, N)`, total Σᵢ cᵢ gᵢ `(E, 1+resamples, P)`, square |gᵢ|² `(E, N)`, cross gᵢ · gᵢ(reference)
    `(E, N)`, by_parameter Σᵢ gᵢ² `(E, P)`.
    """

    counts: np.ndarray
    total: np.ndarray
    square: np.ndarray
    cross: np.ndarray
    by_parameter: np.ndarray

    @classmethod
    def of(
        cls,
        policy: AbstractDensityPolicy,
        rows: Episodes,
        weights: Float[Array, "weights rows time"],
        reference: int,
        *,
        chunk: int,
        seed: int,
    ) -> "Moments":
        """One pass over the trajectories, `chunk` at a time."""
        number = rows.valid.shape[0]
        counts = resampled_counts(number, seed)
        square, cross = np.zeros((2, len(weights), number))
        total = by_parameter = jnp.zeros(())
        for some, found in trajectory_gradients(policy, rows, weights, chunk=chunk):
            own, with_reference, summed, squares = _added(found, jnp.asarray(counts[:, some], found.dtype), reference)
            square[:, some], cross[:, some] = own, with_reference
            total, by_parameter = total + summed, by_parameter + squares
        return cls(counts, np.asarray(total, np.float64), square, cross, np.asarray(by_parameter, np.float64))

    @property
    def number(self) -> int:
        """N."""
        return self.counts.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """ḡ of each estimator, `(E, P)`."""
        return self.total[:, 0] / self.number

    def variance(self) -> np.ndarray:
        """tr Σ = Σᵢ |gᵢ − ḡ|² / (N−1), `(E, 1+resamples)`; the resamples' is freed from its bias (N−1)/N."""
        n = self.number
        found = (self.square @ self.counts.T - np.square(self.total).sum(-1) / n) / (n - 1)
        found[:, 1:] *= n / (n - 1)
        return found

    def signal(self) -> np.ndarray:
        """|g|² without bias, Σ_{i≠j} gᵢ·gⱼ / (N(N−1)) = |ḡ|² − tr Σ/N, `(E, 1+resamples)`; it may be negative.

        On a resample only pairs of different trajectories count, so that its expectation is the same.
        """
        return self._pairs(np.square(self.total).sum(-1), self.square)

    def difference(self, reference: int) -> tuple[np.ndarray, np.ndarray]:
        """|b|² and b·g without bias, where b = E g(estimator) − E g(reference) and g = E g(reference)."""
        away = self.total - self.total[reference]
        square = self.square - 2 * self.cross + self.square[reference]
        along = self.cross - self.square[reference]
        return (
            self._pairs(np.square(away).sum(-1), square),
            self._pairs((away * self.total[reference]).sum(-1), along),
        )

    def _pairs(self, all_pairs: np.ndarray, same: np.ndarray) -> np.ndarray:
        squared = np.square(self.counts)
        return (all_pairs - same @ squared.T) / (self.number**2 - squared.sum(1))


class Luck(NamedTuple):
    """Of each estimator: the share of Σᵢ |gᵢ − ḡ|² that the 5 % largest terms carry, and (Σ aᵢ)²/(N Σ aᵢ²)."""

    share: list[Interval]
    effective: list[Interval]


def luck(
    policy: AbstractDensityPolicy,
    rows: Episodes,
    weights: Float[Array, "weights rows time"],
    moments: Moments,
    chunk: int,
) -> Luck:
    """A second pass: how unevenly the variance is spread over the trajectories."""
    away = np.zeros_like(moments.square)
    middle = jnp.asarray(moments.mean[:, None], jnp.result_type(float))
    for some, found in trajectory_gradients(policy, rows, weights, chunk=chunk):
        away[:, some] = jnp.square(found - middle).sum(-1)
    shares = [_top_share(one, moments.counts) for one in away]
    sums = [moments.counts @ one for one in away]
    squares = [moments.counts @ np.square(one) for one in away]
    effective = [
        np.divide(s**2, moments.number * q, out=np.ones_like(s), where=q > 0)
        for s, q in zip(sums, squares, strict=True)
    ]
    return Luck(*([known(one, moments.number) for one in many] for many in (shares, effective)))


def known(values: np.ndarray, number: int) -> Interval:
    """The interval of a statistic: its value on the data first, then on the resamples."""
    return interval_from(float(values[0]), values[1:], number)


def resampled_counts(number: int, seed: int) -> np.ndarray:
    """How often each of `number` things is in the data, once, and in each of `RESAMPLES` resamples of it: rows."""
    random = np.random.default_rng(seed)
    drawn = [np.bincount(random.integers(number, size=number), minlength=number) for _ in range(RESAMPLES)]
    return np.stack([np.ones(number, int), *drawn]).astype(np.float32)


def _top_share(away: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """On each resample, what its largest 5 % carry."""
    order = np.argsort(away)[::-1]
    place = np.cumsum(counts[:, order], axis=1, dtype=np.float64)
    first = LUCKY * counts.shape[1]
    taken = np.minimum(place, first) - np.minimum(place - counts[:, order], first)
    whole = counts @ away
    return np.divide(taken @ away[order], whole, out=np.full(len(counts), LUCKY), where=whole > 0)


@jax.jit
def _added(found: Array, counts: Array, reference: Any) -> tuple[Array, Array, Array, Array]:
    summed = jnp.einsum("rn,enp->erp", counts, found, precision=jax.lax.Precision.HIGHEST)
    with_reference = (found * found[reference][None]).sum(-1)
    return jnp.square(found).sum(-1), with_reference, summed, jnp.square(found).sum(1)
