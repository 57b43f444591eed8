"""The two-parameter problem: x′ = x + u, r = −(x² + u²), γ = .9, x₀ = 1, u ~ N(kx, σ²), in closed form.

    P = (1 + k²)/(1 − γ(1 + k)²),  J = −P − (1 + γP) σ²/(1 − γ),  F = diag(E[x²]/σ², 2/σ²)

E[x²] is that of the states weighted by (1 − γ)γᵗ, F the Fisher matrix of one step.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

DISCOUNT = 0.9
START = (-0.2, 0.5)
BEST_GAIN = -0.5884034
BEST_RETURN = -1.5884034

Direction = Callable[[np.ndarray], np.ndarray]


def cost(gain: Any) -> Any:
    """P, the cost of x = 1 without noise."""
    return (1 + np.square(gain)) / (1 - DISCOUNT * np.square(1 + gain))


def value(gain: Any, std: Any) -> Any:
    """J."""
    return -cost(gain) - (1 + DISCOUNT * cost(gain)) * np.square(std) / (1 - DISCOUNT)


def gradient(theta: np.ndarray) -> np.ndarray:
    """(∂J/∂k, ∂J/∂σ)."""
    k, s = theta
    below = 1 - DISCOUNT * (1 + k) ** 2
    slope = (2 * k * below + (1 + k**2) * 2 * DISCOUNT * (1 + k)) / below**2
    return np.asarray(
        [-slope * (1 + DISCOUNT * s**2 / (1 - DISCOUNT)), -2 * s * (1 + DISCOUNT * cost(k)) / (1 - DISCOUNT)]
    )


def fisher(theta: np.ndarray) -> np.ndarray:
    """The diagonal of F."""
    k, s = theta
    moment = (1 - DISCOUNT + DISCOUNT * s**2) / (1 - DISCOUNT * (1 + k) ** 2)
    return np.asarray([moment / s**2, 2 / s**2])


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """E KL(first ‖ second) in nats on the states of the first."""
    moment = fisher(first)[0] * first[1] ** 2
    ratio = first[1] / second[1]
    return float(-np.log(ratio) + (ratio**2 - 1) / 2 + (second[0] - first[0]) ** 2 * moment / (2 * second[1] ** 2))


# -- coordinates ------------------------------------------------------------------------------------------


def told(theta: np.ndarray) -> np.ndarray:
    """φ = (k², 1/σ); k < 0."""
    return np.asarray([theta[0] ** 2, 1 / theta[1]])


def untold(phi: np.ndarray) -> np.ndarray:
    """θ of φ."""
    return np.asarray([-np.sqrt(phi[0]), 1 / phi[1]])


def jacobian(theta: np.ndarray) -> np.ndarray:
    """The diagonal of ∂θ/∂φ."""
    return np.asarray([1 / (2 * theta[0]), -(theta[1] ** 2)])


# -- steps ------------------------------------------------------------------------------------------------


def step(theta: np.ndarray, radius: float, *, natural: bool, retold: bool = False) -> np.ndarray:
    """One step of predicted KL `radius` along the plain or natural gradient, taken in θ or in φ."""
    turn = jacobian(theta) if retold else np.ones(2)
    slope, metric = gradient(theta) * turn, fisher(theta) * turn**2
    direction = slope / metric if natural else slope
    length = np.sqrt(2 * radius / (direction @ (metric * direction)))
    return untold(told(theta) + length * direction) if retold else theta + length * direction


def walk(steps: int, radius: float, *, natural: bool, retold: bool = False) -> np.ndarray:
    """`(steps + 1, 2)`: θ along such steps from `START`."""
    path = [np.asarray(START)]
    for _ in range(steps):
        path.append(step(path[-1], radius, natural=natural, retold=retold))
    return np.stack(path)
