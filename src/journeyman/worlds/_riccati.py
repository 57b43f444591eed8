"""The recursions behind the exact linear-quadratic world: second moments, Lyapunov, Riccati."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.parts import JourneymanError


class Problem(NamedTuple):
    """A, B, Q, R, the covariance of the noise and E[x₀x₀ᵀ], with the horizon in steps or None."""

    a: Array
    b: Array
    q: Array
    r: Array
    noise: Array
    start: Array
    horizon: int | None


def expected_return(problem: Problem, gain: Array, std: Array, discount: float) -> Array:
    """E Σₜ γᵗ rₜ; the formulas stand at `LinearQuadratic.expected_return`. Differentiable in `gain` and `std`."""
    added = problem.noise + problem.b @ jnp.diag(std**2) @ problem.b.T
    action_noise = jnp.diag(problem.r) @ std**2
    if problem.horizon is None:
        p = lyapunov(problem, gain, discount)
        later = discount / (1 - discount)
        return -jnp.trace(p @ problem.start) - later * jnp.trace(p @ added) - action_noise / (1 - discount)
    closed = problem.a + problem.b @ gain
    cost = problem.q + gain.T @ problem.r @ gain

    def forward(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        moment, weight = carry
        reward = -jnp.trace(cost @ moment) - action_noise
        return (closed @ moment @ closed.T + added, weight * discount), weight * reward

    _, rewards = jax.lax.scan(forward, (problem.start, jnp.ones(())), None, length=problem.horizon)
    return rewards.sum()


def lyapunov(problem: Problem, gain: Array, discount: float) -> Array:
    """P = Q + KᵀRK + γMᵀPM, by solving the linear system of its entries."""
    closed = problem.a + problem.b @ gain
    cost = problem.q + gain.T @ problem.r @ gain
    n = closed.shape[0]
    system = jnp.eye(n * n) - discount * jnp.kron(closed.T, closed.T)
    return jnp.linalg.solve(system, cost.reshape(-1)).reshape(n, n)


def optimal_gain(
    a: np.ndarray, b: np.ndarray, q: np.ndarray, r: np.ndarray, discount: float, horizon: int | None
) -> np.ndarray:
    """The Riccati recursion from the end: `(H, m, n)`, or its limit `(m, n)` where there is no horizon."""
    p, gains = np.zeros_like(q), []
    for _ in range(10_000 if horizon is None else horizon):
        gain = -discount * np.linalg.solve(r + discount * b.T @ p @ b, b.T @ p @ a)
        before, p = p, q + discount * a.T @ p @ (a + b @ gain)
        gains.append(gain)
        if horizon is None and np.abs(p - before).max() <= 1e-14 * max(1.0, float(np.abs(p).max())):
            return gains[-1]
    if horizon is None:
        raise JourneymanError(
            f"The Riccati recursion has not settled after {len(gains)} steps at discount {discount}, so the world may"
            " not be controllable; lower the discount or change 'control'."
        )
    return np.stack(gains[::-1])
