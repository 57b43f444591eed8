"""Two Gaussians in one dimension: what two ways of acting look like, described."""

from typing import Any, NamedTuple

import numpy as np

from journeyman.diagnose._places import split
from journeyman.parts import JourneymanError


class TwoGaussians(NamedTuple):
    """Σ shares_k N(centres_k, deviations_k²), the lower centre first."""

    centres: tuple[float, float]
    deviations: tuple[float, float]
    shares: tuple[float, float]

    def density(self, x: Any) -> np.ndarray:
        """Its density at the numbers `x`, of any shape."""
        return np.asarray(_parts(np.asarray(x, np.float64), *(np.asarray(one) for one in self)).sum(-1))


def two_gaussians(values: np.ndarray) -> TwoGaussians:
    """Two Gaussians fitted to `values` (n,) by maximum likelihood (EM from the two-means split).

    A deviation is at least a hundredth of that of all values. Values that are all alike are refused.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2 or not values.std() > 0:
        raise JourneymanError("Two Gaussians are fitted to at least two values that differ; pass more of them.")
    side = values > split(values)
    centres = np.asarray([values[~side].mean(), values[side].mean()])
    floor = values.std() / 100
    deviations = np.maximum([values[~side].std(), values[side].std()], floor)
    shares = np.asarray([1 - side.mean(), side.mean()])
    for _ in range(300):
        parts = _parts(values, centres, deviations, shares)
        owned = parts / np.maximum(parts.sum(1, keepdims=True), 1e-300)
        weight = np.maximum(owned.sum(0), 1e-12)
        before, centres = centres, (owned * values[:, None]).sum(0) / weight
        spread = (owned * (values[:, None] - centres) ** 2).sum(0) / weight
        deviations, shares = np.maximum(np.sqrt(spread), floor), weight / len(values)
        if np.abs(centres - before).max() < 1e-6 * values.std():
            break
    order = np.argsort(centres)
    return TwoGaussians(*((float(one[order[0]]), float(one[order[1]])) for one in (centres, deviations, shares)))


def _parts(x: np.ndarray, centres: np.ndarray, deviations: np.ndarray, shares: np.ndarray) -> np.ndarray:
    away = (x[..., None] - centres) / deviations
    return shares * np.exp(-0.5 * away**2) / (deviations * np.sqrt(2 * np.pi))
