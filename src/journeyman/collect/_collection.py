"""How `improve` gathers its data from round to round."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from journeyman.collect._behaviour import AbstractBehaviour, Mixture, Sample
from journeyman.experts import AbstractExpert
from journeyman.parts import AbstractPart, JourneymanError
from journeyman.policies import AbstractDensityPolicy


class AbstractCollection(AbstractPart):
    """Which behaviour collects round `index`, and whether the data of all rounds is `kept`."""

    needs: ClassVar[frozenset[str]] = frozenset({"world"})
    keeps: ClassVar[bool]

    @abc.abstractmethod
    def behaviour(self, policy: AbstractDensityPolicy, index: Array) -> AbstractBehaviour:
        """The behaviour of round `index`, counted from 0."""


class OnPolicy(AbstractCollection):
    """Draws from the policy itself; every batch is used once and let go. What a policy gradient needs."""

    keeps: ClassVar[bool] = False

    def behaviour(self, policy: AbstractDensityPolicy, index: Array) -> AbstractBehaviour:
        """A sample of the policy."""
        return Sample(policy)


class Aggregate(AbstractCollection):
    """The learner acts, the expert labels every visited state, and the data of all rounds is kept (DAgger).

    β_i = `beta` · `decay`^i is the probability with which the expert acts in round i. `beta` = 0 is the parameter-free
    version, `beta` = 1 with `decay` = 0 lets the expert act in the first round only (the indicator of Ross et al.).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"world", "density"})
    keeps: ClassVar[bool] = True
    citation: ClassVar[str] = """@inproceedings{ross2011reduction,
  title={A reduction of imitation learning and structured prediction to no-regret online learning},
  author={Ross, St{\\'e}phane and Gordon, Geoffrey and Bagnell, Drew},
  booktitle={International Conference on Artificial Intelligence and Statistics}, pages={627--635}, year={2011}}"""

    expert: AbstractExpert
    beta: float = eqx.field(static=True, default=0.0)
    decay: float = eqx.field(static=True, default=0.0)

    def __check_init__(self) -> None:
        if not (0 <= self.beta <= 1 and 0 <= self.decay <= 1):
            raise JourneymanError(f"β and its decay are probabilities, not {self.beta} and {self.decay}; use 0 to 1.")

    def behaviour(self, policy: AbstractDensityPolicy, index: Array) -> AbstractBehaviour:
        """The mixture of round `index`."""
        share = self.beta * jnp.power(jnp.asarray(self.decay, jnp.result_type(float)), jnp.asarray(index, float))
        return Mixture(policy, self.expert, share)
