"""The harvest: wait while the crop grows, and bring it in before the season ends. Time is all that matters."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.parts import JourneymanError, refuse
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._spaces import Box, Discrete


class Harvest(AbstractPureWorld):
    """Action 1 harvests: it pays gᵗ at step t and terminates. Action 0 waits. After `horizon` steps all is lost.

    g = `growth`. There is nothing to see but a 1, so a stationary policy harvests with one probability p at every step:

        J(p) = Σ_{t<H} (γg)ᵗ p_t Π_{k<t} (1 − p_k)          p_t = p for a stationary policy

    The best time-dependent policy waits for the last step where γg > 1, and J* = (γg)^{H−1}; where γg < 1 it harvests
    at once, as the best stationary one then does too. So the stationary policy loses nothing exactly for γ ≤ 1/g.

    Raises `JourneymanError` for a growth that is not positive and a horizon below one step.
    """

    growth: float = 1.25
    horizon: int | None = 10
    num_envs: int = 64
    seed: int = 0

    def __check_init__(self) -> None:
        found = []
        if not self.growth > 0:
            found.append(f"'growth' is {self.growth}, but a crop is multiplied by a positive number; 1.25 is usual.")
        if self.horizon is None:
            found.append("'horizon' is None, but a season has an end; give at least one step.")
        refuse(found)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`Harvest`."""
        return "Harvest"

    @property
    def observation_space(self) -> Box:  # type: ignore[override]
        """One number, always 1."""
        return Box.unbounded(1)

    @property
    def action_space(self) -> Discrete:  # type: ignore[override]
        """0 waits, 1 harvests."""
        return Discrete(2)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        options = {"growth": self.growth, "horizon": self.horizon}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    def reset(self, key: Array) -> Array:
        """No step taken."""
        return jnp.zeros((), jnp.int32)

    def step(self, state: Array, action: Array, key: Array) -> tuple[Array, Outcome]:
        """Wait or harvest."""
        harvested = action == 1
        grown = jnp.power(jnp.float32(self.growth), state.astype(jnp.float32))
        reward = jnp.where(harvested, grown, jnp.float32(0))
        assert self.horizon is not None
        time = state + 1
        return time, Outcome(reward, harvested, ~harvested & (time >= self.horizon))

    def observe(self, state: Array) -> Array:
        """Always 1."""
        return jnp.ones(1, jnp.float32)

    # -- what is known exactly ---------------------------------------------------------------------------

    def expected_return(self, probability: Any, discount: float = 1.0) -> float:
        """J of harvesting with `probability` `(horizon,)`, one for each step, or one number for all of them."""
        assert self.horizon is not None
        p = np.broadcast_to(np.asarray(probability, float), (self.horizon,))
        if not ((p >= 0) & (p <= 1)).all():
            raise JourneymanError(f"Probabilities lie in [0, 1], but these reach from {p.min()} to {p.max()}.")
        standing = np.concatenate([[1.0], np.cumprod(1 - p)[:-1]])
        return float(((discount * self.growth) ** np.arange(self.horizon) * p * standing).sum())

    def optimal_return(self, discount: float = 1.0) -> float:
        """J* = max(1, (γg)^{H−1}): at once or at the end."""
        assert self.horizon is not None
        return max(1.0, (discount * self.growth) ** (self.horizon - 1))
