"""Kakade's world: the scale of the features turns the plain gradient and must not turn the natural one."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.parts import JourneymanError
from journeyman.worlds import _riccati
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._linear_quadratic import LinearState
from journeyman.worlds._options import numbers
from journeyman.worlds._spaces import Box


def _scales(values: Any) -> tuple[float, ...]:
    return tuple(numbers("scale", values).ravel().tolist())


class ScaledFeatures(AbstractPureWorld):
    """x′ = .7 x + u + w, reward −x², w ~ N(0, noise²), x₀ ~ N(start, 1); what is seen is (s₁ x, s₂).

    A policy u ~ N(θ₁ s₁ x + θ₂ s₂, std²) is the same function for all `scale` = (s₁, s₂) when θ is divided by them. Its
    plain gradient is not: ∂/∂θᵢ grows with sᵢ, so the plain step changes the function by sᵢ². The natural step does not
    change (Kakade 2001, section 4).

    Deviations from the paper: 1. The action is real and Gaussian, not ±1 with features x² and x, so that return and
    gradient are closed forms. 2. The objective is the discounted sum of `horizon` steps, not the average reward.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards", "differentiable dynamics", "settable state"})

    scale: tuple[float, ...] = eqx.field(default=(1.0, 1.0), converter=_scales)
    noise: float = 1.0
    start: float = 1.0
    horizon: int = 20
    num_envs: int = 64
    seed: int = 0

    def __check_init__(self) -> None:
        if not self.noise >= 0:
            raise JourneymanError(f"'noise' is {self.noise}, but a standard deviation is 0 or more; change it.")
        if self.horizon is None or len(self.scale) != 2 or not all(self.scale):
            raise JourneymanError(
                f"Features scaled by {self.scale} over {self.horizon} steps show nothing; use two scales other than 0"
                " and at least one step."
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """`ScaledFeatures`."""
        return "ScaledFeatures"

    @property
    def observation_space(self) -> Box:  # type: ignore[override]
        """(s₁ x, s₂), unbounded."""
        return Box.unbounded(2)

    @property
    def action_space(self) -> Box:  # type: ignore[override]
        """u, unbounded."""
        return Box.unbounded(1)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        options = {"scale": self.scale, "noise": self.noise, "start": self.start, "horizon": self.horizon}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    def reset(self, key: Array) -> LinearState:
        """x₀ ~ N(start, 1)."""
        x = jnp.float32(self.start) + jax.random.normal(key, (1,), jnp.float32)
        return LinearState(x, jnp.zeros((), jnp.int32))

    def step(self, state: LinearState, action: Array, key: Array) -> tuple[LinearState, Outcome]:
        """One step; the reward is that of x before the move."""
        moved = 0.7 * state.x + jnp.asarray(action, jnp.float32)
        if self.noise:
            moved = moved + jnp.float32(self.noise) * jax.random.normal(key, (1,), jnp.float32)
        time = state.time + 1
        return LinearState(moved, time), Outcome(-jnp.square(state.x[0]), jnp.zeros((), bool), time >= self.horizon)

    def observe(self, state: LinearState) -> Array:
        """The scaled features."""
        return jnp.stack([state.x[0], jnp.ones((), jnp.float32)]) * jnp.asarray(self.scale, jnp.float32)

    def state_of(self, observation: Array) -> LinearState:
        """x at time 0."""
        x = jnp.asarray(observation, jnp.float32)[:1] / jnp.float32(self.scale[0])
        return LinearState(x, jnp.zeros((), jnp.int32))

    def noiseless(self) -> "ScaledFeatures":
        """The same without w."""
        return eqx.tree_at(lambda world: world.noise, self, 0.0)

    # -- what is known exactly ---------------------------------------------------------------------------

    def expected_return(self, weight: Any, std: float, discount: float = 1.0) -> float:
        """E Σ γᵗ r_t under u ~ N(θ₁ s₁ x + θ₂ s₂, std²) with θ = `weight` `(2,)`."""
        with jax.enable_x64(True):
            return float(self._return(*_numbers(weight, std), discount))

    def gradient(self, weight: Any, std: float, discount: float = 1.0) -> tuple[np.ndarray, float]:
        """∂/∂weight `(2,)` and ∂/∂std of `expected_return`, by differentiating its recursion."""
        with jax.enable_x64(True):
            slope = jax.grad(self._return, argnums=(0, 1))
            by_weight, by_std = slope(*_numbers(weight, std), discount)
            return np.asarray(by_weight), float(by_std)

    def _return(self, weight: Array, std: Array, discount: float) -> Array:
        """A linear-quadratic problem in (x, 1): the constant is a state that stays."""
        mean = jnp.asarray([self.start, 1.0])
        first = jnp.diag(jnp.asarray([1.0, 0.0]))
        problem = _riccati.Problem(
            jnp.diag(jnp.asarray([0.7, 1.0])),
            jnp.asarray([[1.0], [0.0]]),
            first,
            jnp.zeros((1, 1)),
            self.noise**2 * first,
            jnp.outer(mean, mean) + first,
            self.horizon,
        )
        gain = (weight * jnp.asarray(self.scale))[None]
        return _riccati.expected_return(problem, gain, std[None], discount)


def _numbers(weight: Any, std: float) -> tuple[Array, Array]:
    return jnp.asarray(weight, float), jnp.asarray(std, float)
