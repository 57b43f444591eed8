"""The linear-quadratic world: everything about it is known in closed form."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.parts import JourneymanError, matmul, refuse
from journeyman.worlds import _riccati
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._options import number, numbers
from journeyman.worlds._spaces import Box

Matrix = tuple[tuple[float, ...], ...]


class LinearState(NamedTuple):
    """The position `x` `(n,)` and the number of steps taken."""

    x: Array
    time: Array


class LinearQuadratic(AbstractPureWorld):
    """x′ = A x + B u + w, reward −(xᵀQx + uᵀRu), w ~ N(0, noise² I), x₀ ~ N(start, start_std² I).

    Args:
        dynamics: A, `(n, n)`, or a number for one dimension.
        control: B, `(n, m)`, or a number.
        state_cost: Q, `(n, n)`, or a number; positive semidefinite and symmetric.
        action_cost: R, `(m, m)`, or a number; positive definite and symmetric.
        noise: standard deviation of w in each coordinate.
        start: mean of x₀, `(n,)`, or a number for every coordinate.
        start_std: its standard deviation.
        horizon: steps until truncation; `None` for a world without end.

    The action is not bounded. The policy of the exact functions is u ~ N(K x, diag(std²)) with the gain K `(m, n)`;
    a number stands for K = number · I. They work in double precision, whatever JAX is set to. For a finite
    `horizon` H they are sums of H terms, discounted by γᵗ; without one they need γ < 1.

    Raises `JourneymanError` for matrices that do not fit together, costs that are not positive and deviations below 0.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards", "differentiable dynamics", "settable state"})

    dynamics: Matrix
    control: Matrix
    state_cost: Matrix
    action_cost: Matrix
    noise: float
    start: tuple[float, ...]
    start_std: float
    horizon: int | None
    num_envs: int
    seed: int

    def __init__(
        self,
        dynamics: Any = 1.0,
        control: Any = 1.0,
        state_cost: Any = 1.0,
        action_cost: Any = 1.0,
        *,
        noise: float = 0.0,
        start: Any = 1.0,
        start_std: float = 0.0,
        horizon: int | None = None,
        num_envs: int = 64,
        seed: int = 0,
    ):
        self.dynamics, self.control = _matrix("dynamics", dynamics), _matrix("control", control)
        self.state_cost, self.action_cost = _matrix("state_cost", state_cost), _matrix("action_cost", action_cost)
        self.noise, self.start_std = number("noise", noise), number("start_std", start_std)
        place = numbers("start", start)
        self.start = tuple(np.full(len(self.dynamics), place).tolist() if place.ndim == 0 else place.tolist())
        self.horizon, self.num_envs, self.seed = horizon, num_envs, seed

    def __check_init__(self) -> None:
        a, b, q, r = (np.asarray(m) for m in self._matrices)
        n, m = a.shape[0], b.shape[1]
        wanted = {"dynamics": (a, (n, n)), "control": (b, (n, m))}
        wanted |= {"state_cost": (q, (n, n)), "action_cost": (r, (m, m))}
        found = [
            f"'{name}' has shape {got.shape}, but {n} states and {m} actions need {want}; mend its rows."
            for name, (got, want) in wanted.items()
            if got.shape != want
        ]
        if len(self.start) != n:
            found.append(f"'start' has {len(self.start)} numbers for {n} states; give one for each.")
        for option, std in (("noise", self.noise), ("start_std", self.start_std)):
            if not std >= 0:
                found.append(f"'{option}' is {std}, but a standard deviation is 0 or more; change it.")
        refuse(found)
        for name, matrix, least in (("state_cost", q, -1e-12), ("action_cost", r, 1e-12)):
            smallest = float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[0])
            if smallest < least or not np.allclose(matrix, matrix.T):
                raise JourneymanError(
                    f"'{name}' must be symmetric and cost something in every direction, but its smallest eigenvalue is"
                    f" {smallest:.3g}; a negative cost has no optimum."
                )

    @property
    def name(self) -> str:  # type: ignore[override]
        """`LinearQuadratic`."""
        return "LinearQuadratic"

    @property
    def observation_space(self) -> Box:  # type: ignore[override]
        """x, unbounded."""
        return Box.unbounded(len(self.dynamics))

    @property
    def action_space(self) -> Box:  # type: ignore[override]
        """u, unbounded."""
        return Box.unbounded(len(self.action_cost))

    @property
    def _matrices(self) -> tuple[Matrix, Matrix, Matrix, Matrix]:
        return self.dynamics, self.control, self.state_cost, self.action_cost

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        shown = "dynamics control state_cost action_cost noise start start_std horizon".split()
        options = {key: getattr(self, key) for key in shown}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    # -- acting ------------------------------------------------------------------------------------------

    def reset(self, key: Array) -> LinearState:
        """x₀ ~ N(start, start_std² I)."""
        start = jnp.asarray(self.start, jnp.float32)
        spread = jnp.float32(self.start_std) * jax.random.normal(key, start.shape, jnp.float32)
        return LinearState(start + spread, jnp.zeros((), jnp.int32))

    def step(self, state: LinearState, action: Array, key: Array) -> tuple[LinearState, Outcome]:
        """One step; the reward is that of x and u before the move."""
        a, b, q, r = (jnp.asarray(matrix, jnp.float32) for matrix in self._matrices)
        u = jnp.asarray(action, jnp.float32)
        reward = -(matmul(state.x, matmul(q, state.x)) + matmul(u, matmul(r, u)))
        moved = matmul(a, state.x) + matmul(b, u)
        if self.noise:
            moved = moved + jnp.float32(self.noise) * jax.random.normal(key, moved.shape, jnp.float32)
        time = state.time + 1
        cut = jnp.zeros((), bool) if self.horizon is None else time >= self.horizon
        return LinearState(moved, time), Outcome(reward, jnp.zeros((), bool), cut)

    def observe(self, state: LinearState) -> Array:
        """x itself."""
        return state.x

    def state_of(self, observation: Array) -> LinearState:
        """x at time 0."""
        return LinearState(jnp.asarray(observation, jnp.float32), jnp.zeros((), jnp.int32))

    def noiseless(self) -> "LinearQuadratic":
        """The same without w: its best gain is the same (certainty equivalence)."""
        return eqx.tree_at(lambda world: world.noise, self, 0.0)

    # -- what is known exactly ---------------------------------------------------------------------------

    def expected_return(self, gain: Any, std: Any = 0.0, discount: float = 1.0) -> float:
        """E Σₜ γᵗ rₜ under u ~ N(K x, diag(std²)).

        Finite: the second moment S = E[xxᵀ] goes S′ = M S Mᵀ + B diag(std²) Bᵀ + noise² I with M = A + BK, and
        E r = −tr((Q + KᵀRK) S) − Σⱼ Rⱼⱼ stdⱼ². Endless: −tr(P S₀) − (γ/(1−γ)) tr(P W) − Σⱼ Rⱼⱼ stdⱼ²/(1−γ), P of
        `cost_matrix` and W the added covariance.
        """
        self._require_finite(gain, discount)
        with jax.enable_x64(True):
            return float(_riccati.expected_return(self._problem(), *self._policy(gain, std), discount))

    def gradient(self, gain: Any, std: Any, discount: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """∂/∂K `(m, n)` and ∂/∂std `(m,)` of `expected_return`, by differentiating its recursion."""
        self._require_finite(gain, discount)
        with jax.enable_x64(True):
            slope = jax.grad(_riccati.expected_return, argnums=(1, 2))
            by_gain, by_std = slope(self._problem(), *self._policy(gain, std), discount)
            return np.asarray(by_gain), np.asarray(by_std)

    def cost_matrix(self, gain: Any, discount: float) -> np.ndarray:
        """P `(n, n)` of the endless discounted world: xᵀPx is the cost of x under u = K x, without any noise.

        P = Q + KᵀRK + γ MᵀPM with M = A + BK.
        """
        self._require_finite(gain, discount, endless=True)
        with jax.enable_x64(True):
            return np.asarray(_riccati.lyapunov(self._problem(), self._policy(gain, 0.0)[0], discount))

    def optimal_gain(self, discount: float = 1.0) -> np.ndarray:
        """The best K: `(m, n)` in an endless world, `(H, m, n)` for one with a horizon, the first step first.

        P = Q + γAᵀPA + γAᵀPB K, K = −γ (R + γBᵀPB)⁻¹ BᵀPA (the discounted Riccati recursion).
        """
        _check_discount(discount)
        a, b, q, r = (np.asarray(matrix) for matrix in self._matrices)
        return _riccati.optimal_gain(a, b, q, r, discount, self.horizon)

    def _problem(self) -> _riccati.Problem:
        a, b, q, r = (jnp.asarray(matrix, float) for matrix in self._matrices)
        mean = jnp.asarray(self.start, float)
        start = jnp.outer(mean, mean) + self.start_std**2 * jnp.eye(len(mean))
        return _riccati.Problem(a, b, q, r, self.noise**2 * jnp.eye(len(mean)), start, self.horizon)

    def _policy(self, gain: Any, std: Any) -> tuple[Array, Array]:
        n, m = len(self.dynamics), len(self.action_cost)
        k = np.asarray(gain, float)
        k = float(k) * np.eye(m, n) if k.ndim == 0 else k
        if k.shape != (m, n):
            raise JourneymanError(f"The gain has shape {k.shape}, but {m} actions of {n} states need {(m, n)}.")
        return jnp.asarray(k), jnp.asarray(np.broadcast_to(np.asarray(std, float), (m,)))

    def _require_finite(self, gain: Any, discount: float, endless: bool = False) -> None:
        _check_discount(discount)
        if self.horizon is not None and not endless:
            return
        a, b = (np.asarray(matrix) for matrix in self._matrices[:2])
        closed = a + b @ np.asarray(self._policy(gain, 0.0)[0])
        radius = float(np.sqrt(discount) * np.abs(np.linalg.eigvals(closed)).max())
        if not (discount < 1 and radius < 1):
            raise JourneymanError(
                f"The return is not finite: the discount is {discount} and √γ times the spectral radius of A + BK is"
                f" {radius:.3g}, and both must be below 1; give the world a horizon or choose another gain."
            )


def _check_discount(discount: float) -> None:
    if not 0 < discount <= 1:
        raise JourneymanError(f"The discount must lie in (0, 1], not {discount}.")


def _matrix(name: str, values: Any) -> Matrix:
    array = numbers(name, values)
    if array.ndim not in (0, 2):
        raise JourneymanError(f"'{name}' is a number or rows of numbers, but this one has shape {array.shape}.")
    return tuple(tuple(row) for row in np.atleast_2d(array).tolist())
