"""The pole on a cart, as a pure world of a few lines: what the loop costs where the world costs nothing."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from journeyman.worlds import AbstractPureWorld, Box, Discrete, Outcome


class Pole(NamedTuple):
    """Position, velocity, angle, angular velocity; and how many steps it has stood."""

    x: Array
    time: Array


class CartPole(AbstractPureWorld):
    """Barto, Sutton and Anderson's (1983) task with Gymnasium's constants: +1 a step, 500 steps at most."""

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards"})

    num_envs: int = 64
    seed: int = 0

    name = "CartPole"
    horizon = 500
    observation_space = Box.unbounded(4)
    action_space = Discrete(2)

    def reset(self, key: Array) -> Pole:
        """Near the top."""
        return Pole(jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05), jnp.zeros((), jnp.int32))

    def step(self, state: Pole, action: Array, key: Array) -> tuple[Pole, Outcome]:
        """One Euler step of 0.02 s under ±10 N."""
        del key
        position, velocity, angle, turning = state.x
        force = jnp.where(action == 1, 10.0, -10.0)
        sine, cosine = jnp.sin(angle), jnp.cos(angle)
        push = (force + 0.05 * turning**2 * sine) / 1.1
        bend = (9.8 * sine - cosine * push) / (0.5 * (4.0 / 3.0 - 0.1 * cosine**2 / 1.1))
        pull = push - 0.05 * bend * cosine / 1.1
        moved = jnp.stack([position, velocity, angle, turning]) + 0.02 * jnp.stack([velocity, pull, turning, bend])
        fell = (jnp.abs(moved[0]) > 2.4) | (jnp.abs(moved[2]) > 0.2095)
        time = state.time + 1
        return Pole(moved, time), Outcome(jnp.ones(()), fell, ~fell & (time >= self.horizon))

    def observe(self, state: Pole) -> Array:
        """All four."""
        return state.x
