"""The variance of dJ/dk that each known baseline leaves on the scalar linear-quadratic world, exact to rounding.

H = 20, a = b = 1, u ~ N(kx, σ²), k = −.3, σ = .3, x₀ = 1, γ = 1. The moments of state, score and estimate close: what
is expected of a polynomial in them after a step is a polynomial in them before it.
"""

import functools
import itertools
import math

import numpy as np
import pytest

from journeyman.worlds import LinearQuadratic
from tests.objectives.test_baseline_variance import KNOWN

Polynomial = dict[tuple[int, int, int], float]
"""Coefficients by the powers of the state x, of the sum S of the scores, and of the estimate P."""
GAIN, STD, LONG = -0.3, 0.3, 20


def product(*factors: dict[tuple[int, ...], float]) -> dict[tuple[int, ...], float]:
    """Of polynomials in the same variables."""
    found: dict[tuple[int, ...], float] = {tuple(0 for _ in next(iter(factors[0]))): 1.0}
    for factor in factors:
        before, found = found, {}
        for (a, v), (b, w) in itertools.product(before.items(), factor.items()):
            powers = tuple(i + j for i, j in zip(a, b, strict=True))
            found[powers] = found.get(powers, 0.0) + v * w
    return found


def expected(wanted: Polynomial, full: bool, baseline: list[dict[tuple[int, ...], float]]) -> float:
    """E of `wanted` after the last step, by x′ = x + u and u = kx + σe, backwards over the steps.

    P is the sum of the rewards where the return is `full`, else Σ r_t S_t less Σ b_t times the score of step t.
    """
    x, s, p, e = ({tuple(int(i == j) for j in range(4)): 1.0} for i in range(4))
    u = {**{k: GAIN * v for k, v in x.items()}, **{k: STD * v for k, v in e.items()}}
    reward = {k: -v for k, v in product(x, x).items()}
    for k, v in product(u, u).items():
        reward[k] = reward.get(k, 0.0) - v
    score = {k: v / STD for k, v in product(x, e).items()}
    scores, place = {**s, **score}, {**u, **dict.fromkeys(x, 1 + GAIN)}
    for b in reversed(baseline):
        gained = reward if full else product(reward, scores)
        less = {k: -v for k, v in product(b, score).items()}
        estimate = {k: gained.get(k, 0.0) + less.get(k, 0.0) for k in {*gained, *less}} | p
        after: Polynomial = {}
        for (i, j, n), value in wanted.items():
            for (*own, m), v in product(*[place] * i, *[scores] * j, *[estimate] * n, {(0, 0, 0, 0): value}).items():
                if m % 2 == 0:  # E eᵐ = (m − 1)!! of a standard normal e
                    after[own[0], own[1], own[2]] = after.get((own[0], own[1], own[2]), 0.0) + v * math.prod(
                        range(m - 1, 0, -2)
                    )
        wanted = after
    return sum(value for (_, j, n), value in wanted.items() if j == n == 0)  # x₀ = 1, S = P = 0


def without(full: bool) -> tuple[float, float, float]:
    """E P², E P S and E S² (of whole returns, times S²) where nothing is subtracted."""
    two, one, none = ((0, 2, 2), (0, 2, 1), (0, 2, 0)) if full else ((0, 0, 2), (0, 1, 1), (0, 2, 0))
    return tuple(expected({powers: 1.0}, full, [{(0, 0, 0, 0): 0.0}] * LONG) for powers in (two, one, none))


def less_numbers(numbers: np.ndarray) -> float:
    """E of the square of the rewards-to-go's estimate less a number at each step."""
    return expected({(0, 0, 2): 1.0}, False, [{(0, 0, 0, 0): float(b)} for b in numbers])


@functools.cache
def best_at_each_step() -> np.ndarray:
    """E[s_t G] / E[s_t²]: the least of a parabola in each number, for scores of different times are uncorrelated."""
    middle = less_numbers(np.zeros(LONG))
    above, below = (np.asarray([less_numbers(side * row) for row in np.eye(LONG)]) for side in (1, -1))
    return (below - above) / (2 * (above + below - 2 * middle))


@functools.cache
def variances() -> dict[str, float]:
    """By the names of `KNOWN`, and what needs no episodes to be known. The cost from x on is c x² + d."""
    c, d, square = [0.0], [0.0], [1.0]
    for _ in range(LONG):
        c, d = [1 + GAIN**2 + (1 + GAIN) ** 2 * c[0], *c], [STD**2 * (1 + c[0]) + d[0], *d]
        square.append((1 + GAIN) ** 2 * square[-1] + STD**2)
    value = [{(2, 0, 0, 0): -c[t], (0, 0, 0, 0): -d[t]} for t in range(LONG)]
    by_time = -np.asarray([c[t] * square[t] + d[t] for t in range(LONG)])
    (full, cross, squares), (to_go, *_) = without(True), without(False)
    slope = float(LinearQuadratic(horizon=LONG).gradient(GAIN, STD)[0][0, 0])
    _, own, scores = without(False)
    seconds = {
        "full return": full,
        "full return, leave one out": full - 2 * by_time[0] * cross + by_time[0] ** 2 * squares,
        "full return, optimal number": full - cross**2 / squares,
        "none": to_go,
        "constant": less_numbers(np.full(LONG, by_time.mean())),
        "leave one out, by episode": less_numbers(np.full(LONG, by_time[0])),
        "leave one out, by step": less_numbers(by_time),
        "time-varying": less_numbers(by_time),
        "optimal number": less_numbers(np.full(LONG, own / scores)),
        "optimal of time": less_numbers(best_at_each_step()),
        "value of state and time": expected({(0, 0, 2): 1.0}, False, value),
    }
    return {name: second - slope**2 for name, second in seconds.items()}


def test_what_is_known_of_each_baseline_is_exact() -> None:
    found = variances()
    assert {name: found[name] for name in KNOWN} == pytest.approx(KNOWN, abs=0.06)
    assert found["value of state and time"] == pytest.approx(443.3, abs=0.06)
    assert found["optimal of time"] == pytest.approx(404.5, abs=0.06)


def test_the_estimates_have_the_exact_mean() -> None:
    slope = float(LinearQuadratic(horizon=LONG).gradient(GAIN, STD)[0][0, 0])
    for powers, full in (((0, 1, 1), True), ((0, 0, 1), False)):
        assert expected({powers: 1.0}, full, [{(0, 0, 0, 0): 1.0 - full}] * LONG) == pytest.approx(slope)


def test_no_other_number_at_a_step_leaves_less() -> None:
    best = best_at_each_step()
    least = less_numbers(best)
    for step in (0, 7, LONG - 1):
        assert all(less_numbers(best + shift * np.eye(LONG)[step]) > least for shift in (-0.5, 0.5))
