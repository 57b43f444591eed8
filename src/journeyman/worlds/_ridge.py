"""The ridge: a point that must be held on a winding crest, on either side of which it falls for good."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.parts import refuse
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._spaces import Box

TURN = 2 * np.pi / 50
"""How far one step goes round, in radians: the crest closes after 50 steps."""


class OnRidge(NamedTuple):
    """How far from the crest in half widths of the ridge, the angle along it, whether it has fallen, the time."""

    deviation: Array
    angle: Array
    fallen: Array
    time: Array


class Ridge(AbstractPureWorld):
    """Walk a path on a winding ridge that falls away ever steeper; beyond a deviation of 1 one has fallen for good.

        y′ = y · (growth + steep · y²) + winding(φ) + push · u + gusts · w,   φ′ = φ + 2π/50,   w ~ N(0, 1)
        winding(φ) = bends · (sin 2φ + sin(5φ + 1)) / 2
        reward −max(0, |y′| − path) / (1 − path) on the ridge, −1 at every step from the one that leads beyond |y′| = 1

    u lies in [−1, 1]. Seen are y, cos φ and sin φ; it starts anywhere along the crest, y ~ N(0, gusts²). Who has fallen
    stays where it fell. Nothing terminates; `horizon` truncates.

    Since growth > 1 an error of the action is multiplied from step to step unless the policy answers to y. The expert
    (`journeyman.experts.RidgeExpert`) does, and hardly ever strays: its demonstrations show the answer near the crest
    and not where the side is steep. A clone that goes on in a straight line there falls; how often is not known in
    closed form.

    Raises `JourneymanError` for a growth of 1 or less, a negative steepness or gusts, bends that no push follows, and a
    path that is no share of the ridge.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards", "differentiable dynamics", "settable state"})

    growth: float = 1.1
    steep: float = 4.0
    bends: float = 0.2
    push: float = 1.0
    gusts: float = 0.03
    path: float = 0.1
    horizon: int | None = 400
    num_envs: int = 64
    seed: int = 0

    def __check_init__(self) -> None:
        found = []
        if not self.growth > 1:
            found.append(f"'growth' is {self.growth}, but on a ridge a deviation grows; give more than 1, such as 1.1.")
        if not 0 <= self.bends < self.push:
            found.append(
                f"'bends' is {self.bends} and 'push' {self.push}, so that nobody could follow the ridge; give 0 ≤ bends"
                " < push."
            )
        if not 0 <= self.path < 1:
            found.append(f"'path' is {self.path}, but it is the share of the ridge that costs nothing; give 0 to 1.")
        for option, usual in (("steep", 4), ("gusts", 0.03)):
            if not getattr(self, option) >= 0:
                found.append(f"'{option}' is {getattr(self, option)}, but it is 0 or more; {usual} is usual.")
        refuse(found)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`Ridge`."""
        return "Ridge"

    @property
    def observation_space(self) -> Box:  # type: ignore[override]
        """y, cos φ, sin φ."""
        return Box.unbounded(3)

    @property
    def action_space(self) -> Box:  # type: ignore[override]
        """The push, as a share of the greatest."""
        return Box.symmetric(1.0, 1)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        options = {key: getattr(self, key) for key in "growth steep bends push gusts path horizon".split()}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    def slope(self, deviation: Array) -> Array:
        """Where a deviation is carried by itself in one step, any shape."""
        return deviation * (self.growth + self.steep * jnp.square(deviation))

    def winding(self, angle: Array) -> Array:
        """How far the crest turns aside in the step that begins at `angle`, any shape."""
        return self.bends * (jnp.sin(2 * angle) + jnp.sin(5 * angle + 1)) / 2

    def reset(self, key: Array) -> OnRidge:
        """Anywhere along the crest."""
        place, aside = jax.random.split(key)
        angle = jax.random.uniform(place, (), jnp.float32, 0, 2 * jnp.pi)
        deviation = jnp.float32(self.gusts) * jax.random.normal(aside, (), jnp.float32)
        return OnRidge(deviation, angle, jnp.abs(deviation) > 1, jnp.zeros((), jnp.int32))

    def step(self, state: OnRidge, action: Array, key: Array) -> tuple[OnRidge, Outcome]:
        """One step along the crest."""
        push = jnp.clip(jnp.asarray(action, jnp.float32)[0], -1.0, 1.0)
        moved = self.slope(state.deviation) + self.winding(state.angle) + self.push * push
        moved = (moved + self.gusts * jax.random.normal(key, (), jnp.float32)).astype(jnp.float32)
        deviation = jnp.where(state.fallen, state.deviation, moved)
        fallen = state.fallen | (jnp.abs(deviation) > 1)
        beside = jnp.maximum(jnp.abs(deviation) - self.path, 0.0) / (1 - self.path)
        reward = -jnp.where(fallen, jnp.ones_like(beside), beside).astype(jnp.float32)
        time = state.time + 1
        cut = jnp.zeros((), bool) if self.horizon is None else time >= self.horizon
        angle = jnp.mod(state.angle + jnp.float32(TURN), 2 * jnp.pi)
        return OnRidge(deviation, angle, fallen, time), Outcome(reward, jnp.zeros((), bool), cut)

    def observe(self, state: OnRidge) -> Array:
        """y, cos φ, sin φ."""
        return jnp.stack([state.deviation, jnp.cos(state.angle), jnp.sin(state.angle)])

    def state_of(self, observation: Array) -> OnRidge:
        """The place that is seen, at time 0; beyond 1 it has fallen."""
        seen = jnp.asarray(observation, jnp.float32)
        fallen = jnp.abs(seen[0]) > 1
        return OnRidge(seen[0], jnp.arctan2(seen[2], seen[1]), fallen, jnp.zeros((), jnp.int32))

    def noiseless(self) -> "Ridge":
        """The same without gusts."""
        return eqx.tree_at(lambda world: world.gusts, self, 0.0)
