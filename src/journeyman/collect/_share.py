"""β_i: with which probability the expert acts in round i of DAgger."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from journeyman.parts import AbstractPart, JourneymanError


class AbstractShare(AbstractPart):
    """A schedule of probabilities over rounds, counted from 0."""

    @abc.abstractmethod
    def __call__(self, index: Array) -> Float[Array, ""]:
        """β of round `index`."""


class Constant(AbstractShare):
    """β_i = `share`. 0 is the version without a parameter: the learner alone acts, from the first round on."""

    share: float = eqx.field(static=True, default=0.0)

    def __check_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise JourneymanError(f"β is a probability, not {self.share}; use 0 to 1.")

    def __call__(self, index: Array) -> Float[Array, ""]:
        """The same in every round."""
        return jnp.asarray(self.share, jnp.result_type(float))


class FirstRound(AbstractShare):
    """β_i = 1 in round 0, 0 afterwards: the indicator of Ross, Gordon and Bagnell (2011), section 4."""

    def __call__(self, index: Array) -> Float[Array, ""]:
        """𝟙[i = 0]."""
        return jnp.where(jnp.asarray(index) == 0, 1.0, 0.0)


class Linear(AbstractShare):
    """β_i = max(0, 1 − i / `rounds`): 1 in round 0, 0 from round `rounds` on."""

    rounds: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.rounds < 1:
            raise JourneymanError(f"β falls to 0 within a number of rounds, not {self.rounds}; use 1 or more.")

    def __call__(self, index: Array) -> Float[Array, ""]:
        """A straight line down to 0."""
        return jnp.maximum(0.0, 1.0 - jnp.asarray(index, jnp.result_type(float)) / self.rounds)


class Exponential(AbstractShare):
    """β_i = `base`^i: 1 in round 0. Ross, Gordon and Bagnell (2011), section 3.1, call `base` p."""

    base: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not 0 < self.base < 1:
            raise JourneymanError(f"The base of a falling β lies between 0 and 1, not at {self.base}; 0.5 is usual.")

    def __call__(self, index: Array) -> Float[Array, ""]:
        """A power for each round."""
        return jnp.power(jnp.asarray(self.base, jnp.result_type(float)), jnp.asarray(index, float))
