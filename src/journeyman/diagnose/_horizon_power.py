"""With which power of the horizon a cost grows, and which powers the costs do not speak against."""

import math
from collections.abc import Callable

import numpy as np

from journeyman.diagnose._interval import Interval, student, unskewed

LEAST_EPISODES = 10
"""With some cost, that an interval needs: fewer do not show how skewed rare errors are."""
LEAST_LEARNERS = 5
"""The same of learners, each of which is a mean over many episodes."""
LOWEST, HIGHEST = -2.0, 10.0
"""The powers that are looked at: an interval that reaches one of the two is open there."""
_GRID = np.linspace(LOWEST, HIGHEST, 121)


def growth(horizon: np.ndarray, each: np.ndarray, least: int = LEAST_EPISODES) -> Interval | None:
    """k where the mean horizon, each weighed by its cost, is that of hᵏ; J_h is the mean of `each` (episodes, h).

        Σ_h h J_h / Σ_h J_h = ρ_k,   ρ_k = Σ_h hᵏ⁺¹ / Σ_h hᵏ, which rises with k

    That is E Σ_h (h − ρ_k) C_i(h) = 0, a mean over episodes. The 95 % interval holds each k of which a test does not
    say that this mean is another (Fieller 1954): no horizon is chosen or weighed by what it came to cost, so it is as
    good where the costs are lost in noise, and is open to −∞ or ∞ there. It is said where both Student's t and Hall's
    (1992), which allows for skewness, say it: alone the first holds rare errors too seldom, the second heavy tails. An
    episode of no cost at any h says nothing and is not counted; of fewer than `least` others nothing is said, `None`.
    """
    paid = each[each.any(axis=1)]
    if len(paid) < least:
        return None
    speaks = lambda powers: _speaks_against(powers, horizon, paid)  # noqa: E731
    mean = paid.mean(axis=0)
    best = _border(lambda powers: _contrasts(powers, horizon) @ mean > 0, LOWEST, HIGHEST)
    held = np.append(_GRID[~speaks(_GRID)], best)
    return Interval(best, _end(-1, held, speaks), _end(1, held, speaks), len(paid))


def _contrasts(powers: np.ndarray, horizon: np.ndarray) -> np.ndarray:
    """h − ρ of each power, in units of the longest horizon, `(powers, h)`."""
    h = horizon / horizon[-1]
    power = h ** powers[:, None]
    return h - (power @ h / power.sum(axis=1))[:, None]


def _speaks_against(powers: np.ndarray, horizon: np.ndarray, paid: np.ndarray) -> np.ndarray:
    contrasts, count = _contrasts(powers, horizon), len(paid)
    values = paid @ contrasts.T
    mean = values.mean(axis=0)
    away, rounding = values - mean, 1e-9 * np.abs(contrasts) @ np.abs(paid).mean(axis=0)
    square = np.square(away)
    deviation = np.sqrt(square.sum(axis=0) / (count - 1)) + rounding
    t = mean / deviation * math.sqrt(count)
    r = (square * away).mean(axis=0) / deviation**3 / math.sqrt(count)
    return np.minimum(np.abs(t), np.abs(unskewed(t, r))) > student(0.975, count - 1)


def _end(side: int, held: np.ndarray, speaks: Callable[[np.ndarray], np.ndarray]) -> float:
    """The farthest power on this side that is not spoken against."""
    inside = side * float((side * held).max())
    beyond = _GRID[side * _GRID > side * inside]
    if not len(beyond):
        return side * math.inf
    return _border(lambda powers: ~speaks(powers), inside, float(beyond[0] if side > 0 else beyond[-1]))


def _border(holds: Callable[[np.ndarray], np.ndarray], inside: float, outside: float) -> float:
    """Where what holds at one end and not at the other first ceases to, 32 times closer at each turn."""
    for _ in range(8):
        places = np.linspace(inside, outside, 33)
        last = int(np.argmin(np.append(holds(places[1:-1]), False)))
        inside, outside = float(places[last]), float(places[last + 1])
    return inside
