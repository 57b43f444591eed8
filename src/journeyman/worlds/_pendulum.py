"""The torque-limited pendulum: small, nonlinear, differentiable, and not to be lifted in one go."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._spaces import Box

GRAVITY, MASS, LENGTH, TICK = 10.0, 1.0, 1.0, 0.05
MOST_TORQUE, MOST_SPEED = 2.0, 8.0
_BOUNDS = np.asarray([1.0, 1.0, MOST_SPEED], np.float32)


class Swing(NamedTuple):
    """The angle from upright in radians, its velocity in radians a second, and the number of steps taken."""

    angle: Array
    velocity: Array
    time: Array


class Pendulum(AbstractPureWorld):
    """Swing a rod up and hold it, with less torque than it takes to lift it: the equations of Gymnasium's Pendulum-v1.

        θ̈ = 3g/(2l) sin θ + 3/(ml²) u,   θ̇ ← clip(θ̇ + θ̈ dt, ±8),   θ ← θ + θ̇ dt
        reward −(θ² + .1 θ̇² + .001 u²) of the state before the move, with θ in [−π, π)

    u is the torque in [−2, 2]. Seen are cos θ, sin θ and θ̇. It starts at any angle, θ̇ in [−1, 1], and never ends
    before `horizon` steps. In agreement with Gymnasium a step takes .05 s, g is 10, mass and length are 1.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards", "differentiable dynamics", "settable state"})

    horizon: int | None = 200
    num_envs: int = 64
    seed: int = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        """`Pendulum`."""
        return "Pendulum"

    @property
    def observation_space(self) -> Box:  # type: ignore[override]
        """cos θ, sin θ, θ̇."""
        return Box(-_BOUNDS, _BOUNDS)

    @property
    def action_space(self) -> Box:  # type: ignore[override]
        """The torque."""
        return Box.symmetric(MOST_TORQUE, 1)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": {"horizon": self.horizon}}

    def reset(self, key: Array) -> Swing:
        """Any angle, a small velocity."""
        bound = jnp.asarray([jnp.pi, 1.0], jnp.float32)
        angle, velocity = jax.random.uniform(key, (2,), jnp.float32, -bound, bound)
        return Swing(angle, velocity, jnp.zeros((), jnp.int32))

    def step(self, state: Swing, action: Array, key: Array) -> tuple[Swing, Outcome]:
        """One tick; semi-implicit Euler."""
        del key
        torque = jnp.clip(jnp.asarray(action, jnp.float32)[0], -MOST_TORQUE, MOST_TORQUE)
        from_upright = jnp.mod(state.angle + jnp.pi, 2 * jnp.pi) - jnp.pi
        reward = -(jnp.square(from_upright) + 0.1 * jnp.square(state.velocity) + 0.001 * jnp.square(torque))
        push = 3 * GRAVITY / (2 * LENGTH) * jnp.sin(state.angle) + 3 / (MASS * LENGTH**2) * torque
        velocity = jnp.clip(state.velocity + push * TICK, -MOST_SPEED, MOST_SPEED)
        time = state.time + 1
        cut = jnp.zeros((), bool) if self.horizon is None else time >= self.horizon
        moved = Swing(state.angle + velocity * TICK, velocity, time)
        return moved, Outcome(reward, jnp.zeros((), bool), cut)

    def observe(self, state: Swing) -> Array:
        """cos θ, sin θ, θ̇."""
        return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.velocity])

    def state_of(self, observation: Array) -> Swing:
        """The angle in [−π, π] and the velocity, at time 0."""
        seen = jnp.asarray(observation, jnp.float32)
        return Swing(jnp.arctan2(seen[1], seen[0]), seen[2], jnp.zeros((), jnp.int32))

    def noiseless(self) -> "Pendulum":
        """Itself: nothing moves by chance."""
        return self
