"""Which of the visited states are labels: asking costs somebody's time."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool

from journeyman.episodes import Episodes
from journeyman.parts import AbstractPart, JourneymanError


class AbstractQuery(AbstractPart):
    """Chooses among the valid steps of a round those whose labels are asked for and learned from."""

    @abc.abstractmethod
    def __call__(self, episodes: Episodes) -> Bool[Array, "*batch time"]:
        """True where the label is asked for; what it says of invalid steps does not count."""


class Everywhere(AbstractQuery):
    """Every step."""

    def __call__(self, episodes: Episodes) -> Bool[Array, "*batch time"]:
        """True."""
        return jnp.ones_like(jnp.asarray(episodes.valid))


class Evenly(AbstractQuery):
    """Every `every`th step of an episode, its first among them: neighbouring states are nearly the same."""

    every: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.every < 1:
            raise JourneymanError(f"Labels are asked for at every 1st or later step, not at every {self.every}th.")

    def __call__(self, episodes: Episodes) -> Bool[Array, "*batch time"]:
        """Where `elapsed` is a multiple."""
        return jnp.asarray(episodes.elapsed) % self.every == 0
