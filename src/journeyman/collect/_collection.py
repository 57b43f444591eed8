"""How `improve` gathers its data from round to round."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.collect._behaviour import AbstractBehaviour, Disturbed, Mixture, Sample
from journeyman.collect._noise import AbstractNoise, LearnedNoise, square_root
from journeyman.collect._query import AbstractQuery, Everywhere
from journeyman.collect._share import AbstractShare, Constant
from journeyman.episodes import Episodes
from journeyman.experts import AbstractExpert
from journeyman.parts import AbstractPart, JourneymanError
from journeyman.policies import AbstractDensityPolicy, DensityPolicy
from journeyman.worlds import AbstractSpace


class AbstractCollection(AbstractPart):
    """Which behaviour collects round `index`, and what becomes of its data.

    Where the data of all rounds is kept (`keeps`), `query` says which steps are learned from, at most `budget` of them,
    and with `refit` every round begins with a fresh network, under the head that the run began with. `state` is what
    the collection itself learns from round to round, `()` for nothing.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"world"})
    keeps: ClassVar[bool]

    def init(self, policy: DensityPolicy) -> PyTree:
        """The state before round 0."""
        return ()

    @abc.abstractmethod
    def behaviour(self, policy: AbstractDensityPolicy, state: PyTree, index: Array) -> AbstractBehaviour:
        """The behaviour of round `index`, counted from 0."""


class OnPolicy(AbstractCollection):
    """Draws from the policy itself; every batch is used once and let go. What a policy gradient needs."""

    keeps: ClassVar[bool] = False

    def behaviour(self, policy: AbstractDensityPolicy, state: PyTree, index: Array) -> AbstractBehaviour:
        """A sample of the policy."""
        return Sample(policy)


class AbstractAggregation(AbstractCollection):
    """A collection that keeps the data of all rounds; it labels every step that it visits.

    Of the steps that `query` asks for, no more than `budget` labels are taken in the whole run, those that are wanted
    most first (`None`: as many as are asked for). Raises `JourneymanError` for a budget below 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"world", "density"})
    gives: ClassVar[frozenset[str]] = frozenset({"teacher"})
    keeps: ClassVar[bool] = True

    expert: eqx.AbstractVar[AbstractExpert]
    query: eqx.AbstractVar[AbstractQuery]
    budget: eqx.AbstractVar[int | None]
    refit: eqx.AbstractVar[bool]

    def __check_init__(self) -> None:
        if self.budget is not None and self.budget < 0:
            raise JourneymanError(f"A budget is a number of labels, not {self.budget}; leave it out to set none.")

    def updated(
        self, state: PyTree, policy: DensityPolicy, episodes: Episodes, space: AbstractSpace
    ) -> tuple[PyTree, dict[str, Array]]:
        """The state after a round, before anybody learned from it, and what to log of it."""
        return state, {}


class Aggregate(AbstractAggregation):
    """The learner acts, the expert labels every visited state, and the data of all rounds is kept (DAgger).

    `beta` is the schedule of the probability with which the expert acts at a step. Only the steps that `query` chooses
    are labels; with `refit` each round fits fresh weights to all of them instead of going on from the last ones.
    """

    citation: ClassVar[str] = """@inproceedings{ross2011reduction,
  title={A reduction of imitation learning and structured prediction to no-regret online learning},
  author={Ross, St{\\'e}phane and Gordon, Geoffrey and Bagnell, Drew},
  booktitle={International Conference on Artificial Intelligence and Statistics}, pages={627--635}, year={2011}}"""

    expert: AbstractExpert
    beta: AbstractShare = Constant()
    query: AbstractQuery = Everywhere()
    budget: int | None = eqx.field(static=True, default=None)
    refit: bool = eqx.field(static=True, default=False)

    def behaviour(self, policy: AbstractDensityPolicy, state: PyTree, index: Array) -> AbstractBehaviour:
        """The mixture of round `index`."""
        return Mixture(policy, self.expert, self.beta(index))


class Inject(AbstractAggregation):
    """The expert acts, disturbed by noise, and what it intended is the label; all rounds are kept (DART).

    The expert is led away from its path as far as the learner will be, and shows how to come back. The state is the
    covariance Σ, a matrix `(actions, actions)`, that `noise` makes of the learner's errors. Logged: `noise_trace`, tr Σ
    of the round, and `simulated_error`, the mean of ‖d‖² over its steps, d the intended less the learner's action, both
    clipped to the box (where the world clips both, they do not differ).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"world", "density", "continuous actions"})

    expert: AbstractExpert
    noise: AbstractNoise = LearnedNoise()
    query: AbstractQuery = Everywhere()
    budget: int | None = eqx.field(static=True, default=None)
    refit: bool = eqx.field(static=True, default=False)

    def init(self, policy: DensityPolicy) -> PyTree:
        """Σ of round 0."""
        return self.noise.init(int(np.prod(policy.head.space().shape)))

    def behaviour(self, policy: AbstractDensityPolicy, state: PyTree, index: Array) -> AbstractBehaviour:
        """The expert with N(0, Σ) on its actions."""
        return Disturbed(self.expert, square_root(state))

    def updated(
        self, state: PyTree, policy: DensityPolicy, episodes: Episodes, space: AbstractSpace
    ) -> tuple[PyTree, dict[str, Array]]:
        """Σ from the errors of `policy`, which has not seen these steps."""
        intended, own = jnp.asarray(episodes.target), policy.mode(jax.tree.map(jnp.asarray, episodes.now))
        intended, own = space.clipped(intended), space.clipped(own)
        valid = jnp.asarray(episodes.valid).reshape(-1)
        error = jnp.where(valid[:, None], (intended - own).reshape(valid.shape[0], -1), 0.0)
        found = jnp.square(error).sum() / jnp.maximum(valid.astype(error.dtype).sum(), 1.0)
        told = {"noise_trace": jnp.trace(state), "simulated_error": found}
        return self.noise.estimated(state, error, valid), told
