"""How to act while collecting: what is sent to the world, and what the learner should later make likelier."""

import abc
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.episodes import EXPERT, POLICY, HostOrDevice
from journeyman.experts import AbstractExpert
from journeyman.parts import AbstractPart
from journeyman.policies import AbstractDensityPolicy


class Decision(NamedTuple):
    """One decision for each environment; `source` says who chose `action`."""

    action: HostOrDevice
    target: HostOrDevice
    log_prob: HostOrDevice
    source: HostOrDevice


class AbstractBehaviour(AbstractPart):
    """A pure function from observations and a key to decisions, over one leading batch axis."""

    @abc.abstractmethod
    def __call__(self, observation: PyTree, key: Array) -> Decision:
        """Decide for every environment at once."""


class Sample(AbstractBehaviour):
    """Act by a draw from the policy; the target is the action itself."""

    needs: ClassVar[frozenset[str]] = frozenset({"density"})

    policy: AbstractDensityPolicy

    def __call__(self, observation: PyTree, key: Array) -> Decision:
        """a ~ π(· | observation)."""
        parameters = self.policy.parameters(observation)
        action = self.policy.head.distribution(parameters).sample(key)  # type: ignore[attr-defined]
        log_prob = self.policy.head.log_prob(parameters, action)  # type: ignore[attr-defined]
        return Decision(action, action, log_prob, _said_by(POLICY, log_prob))


class Mean(AbstractBehaviour):
    """Act by the policy's likeliest action."""

    needs: ClassVar[frozenset[str]] = frozenset({"density"})

    policy: AbstractDensityPolicy

    def __call__(self, observation: PyTree, key: Array) -> Decision:
        """a = argmax π(· | observation)."""
        action = self.policy.mode(observation)
        unknown = jnp.full(jax.tree.leaves(observation)[0].shape[0], jnp.nan)
        return Decision(action, action, unknown, _said_by(POLICY, unknown))


class Demonstrate(AbstractBehaviour):
    """The expert acts, and its action is the target: what demonstrations are made of."""

    needs: ClassVar[frozenset[str]] = frozenset({"expert"})

    expert: AbstractExpert

    def __call__(self, observation: PyTree, key: Array) -> Decision:
        """a = the expert's label."""
        action = self.expert.label(observation, key)
        unknown = jnp.full(action.shape[0], jnp.nan)
        return Decision(action, action, unknown, _said_by(EXPERT, unknown))


class Mixture(AbstractBehaviour):
    """The expert acts with probability β at every step, the learner otherwise; the expert labels every state.

    π_i = β_i π* + (1 − β_i) π̂_i (Ross, Gordon and Bagnell 2011, algorithm 3.1), mixed per step and environment.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density", "expert"})

    policy: AbstractDensityPolicy
    expert: AbstractExpert
    beta: Float[Array, ""]

    def __call__(self, observation: PyTree, key: Array) -> Decision:
        """Mix per environment; the target is always the expert's label."""
        choose, ask = jax.random.split(key)
        label = self.expert.label(observation, ask)
        learned = self.policy.mode(observation)
        by_expert = jax.random.bernoulli(choose, self.beta, (label.shape[0],))
        spread = by_expert.reshape(-1, *(1 for _ in label.shape[1:]))
        action = jnp.where(spread, label, learned)
        source = jnp.where(by_expert, EXPERT, POLICY).astype(jnp.int8)
        return Decision(action, label, jnp.full(label.shape[0], jnp.nan), source)


def _said_by(who: int, like: Array) -> Array:
    return jnp.full(like.shape, who, jnp.int8)
