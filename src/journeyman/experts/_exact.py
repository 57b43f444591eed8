"""Experts of our own worlds: who knows the way, and who holds the crest."""

import jax.numpy as jnp
from jaxtyping import Array, PyTree

from journeyman.experts._base import AbstractExpert
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractWorld, ErrorChain, Ridge


class ChainExpert(AbstractExpert):
    """The right way at every sign of an `ErrorChain`, and turning back off the path."""

    world: ErrorChain

    def label(self, observation: PyTree, key: Array) -> Array:
        """The right action."""
        del key
        return jnp.asarray(self.world.right())[jnp.asarray(observation)]


class RidgeExpert(AbstractExpert):
    """u = −(winding(φ) + y · (growth + steep · y²) − kept · y) / push, so that y′ = kept · y + gusts · w.

    `kept` is what is left of a deviation after one step. u is clipped to [−1, 1]; where that is not enough the ridge
    cannot be held.
    """

    world: Ridge
    kept: float = 0.7

    def label(self, observation: PyTree, key: Array) -> Array:
        """The push that leaves `kept` of the deviation."""
        del key
        seen = jnp.asarray(observation)
        deviation, angle = seen[..., 0], jnp.arctan2(seen[..., 2], seen[..., 1])
        aside = self.world.winding(angle) + self.world.slope(deviation) - self.kept * deviation
        return jnp.clip(-aside[..., None] / self.world.push, -1.0, 1.0)


def exact(world: AbstractWorld) -> AbstractExpert:
    """The expert that is known for a world of our own in which errors are studied: `ErrorChain` and `Ridge`.

    Raises `JourneymanError` for any other world.
    """
    if isinstance(world, ErrorChain):
        return ChainExpert(world)
    if isinstance(world, Ridge):
        return RidgeExpert(world)
    raise JourneymanError(
        f"No expert of '{world.called}' is known exactly; there is one for ErrorChain and Ridge, elsewhere pass a"
        " policy (`PolicyExpert`), a planner or a table."
    )
