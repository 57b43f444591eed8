"""How to act while collecting: what is sent to the world, and what the learner should later make likelier.

A decision has three parts, so that what the world waits for is as little as possible: what is random in it is drawn for
many steps at once beforehand, the action is chosen step by step, and what only the learner wants is told for the whole
rollout at once afterwards.
"""

import abc
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.episodes import EXPERT, POLICY, HostOrDevice
from journeyman.experts import AbstractExpert
from journeyman.parts import AbstractPart, matmul
from journeyman.policies import AbstractDensityPolicy


class Told(NamedTuple):
    """What is said of actions afterwards, over any leading axes; `source` says who chose the action."""

    target: HostOrDevice
    log_prob: HostOrDevice
    source: HostOrDevice


class AbstractBehaviour(AbstractPart):
    """draw → act → tell, pure functions; the first two for `count` environments at one step."""

    @abc.abstractmethod
    def draw(self, count: int, key: Array) -> PyTree:
        """Everything random in one step's decisions; each leaf leads with `(count,)`."""

    @abc.abstractmethod
    def act(self, observation: PyTree, noise: PyTree) -> tuple[Array, PyTree]:
        """The action `(count, ...)` of every environment, and what `tell` wants to have kept (`()` for nothing)."""

    @abc.abstractmethod
    def tell(self, observation: PyTree, action: Array, kept: PyTree) -> Told:
        """Target, log-probability and source of actions that were chosen, for all steps at once."""


class Sample(AbstractBehaviour):
    """Act by a draw from the policy, a ~ π(· | observation); the target is the action itself."""

    needs: ClassVar[frozenset[str]] = frozenset({"density"})

    policy: AbstractDensityPolicy

    def draw(self, count: int, key: Array) -> PyTree:
        """The policy's own noise."""
        return self.policy.noise(key, count)

    def act(self, observation: PyTree, noise: PyTree) -> tuple[Array, PyTree]:
        """The policy's draw with that noise."""
        return self.policy.draw(observation, noise), ()

    def tell(self, observation: PyTree, action: Array, kept: PyTree) -> Told:
        """log π(a | observation)."""
        log_prob = self.policy.log_prob(observation, action)
        return Told(action, log_prob, jnp.full(log_prob.shape, POLICY, jnp.int8))


class Mean(AbstractBehaviour):
    """Act by the policy's likeliest action, a = argmax π(· | observation)."""

    needs: ClassVar[frozenset[str]] = frozenset({"density"})

    policy: AbstractDensityPolicy

    def draw(self, count: int, key: Array) -> PyTree:
        """Nothing is random."""
        return ()

    def act(self, observation: PyTree, noise: PyTree) -> tuple[Array, PyTree]:
        """The mode."""
        action = self.policy.mode(observation)
        return action, jnp.full(action.shape[0], POLICY, jnp.int8)

    def tell(self, observation: PyTree, action: Array, kept: PyTree) -> Told:
        """The action; a log-probability is not defined."""
        return Told(action, jnp.full(kept.shape, jnp.nan), kept)


class Demonstrate(AbstractBehaviour):
    """The expert acts, and its action is the target: what demonstrations are made of."""

    needs: ClassVar[frozenset[str]] = frozenset({"expert"})

    expert: AbstractExpert

    def draw(self, count: int, key: Array) -> PyTree:
        """The expert's own randomness."""
        asked = jax.random.key_data(key)
        return jnp.broadcast_to(asked, (count, *asked.shape))

    def act(self, observation: PyTree, noise: PyTree) -> tuple[Array, PyTree]:
        """a = the expert's label."""
        action = self.expert.label(observation, jax.random.wrap_key_data(noise[0]))
        return action, jnp.full(action.shape[0], EXPERT, jnp.int8)

    def tell(self, observation: PyTree, action: Array, kept: PyTree) -> Told:
        """The action; a log-probability is not defined."""
        return Told(action, jnp.full(kept.shape, jnp.nan), kept)


class Disturbed(AbstractBehaviour):
    """The expert's action with noise: a = a* + S z, z ~ N(0, I); the target is what it intended, a*.

    `root` is S, so that S Sᵀ is the covariance, in units of the action squared. The world may clip a, as ever.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"expert"})

    expert: AbstractExpert
    root: Float[Array, "actions actions"]

    def draw(self, count: int, key: Array) -> PyTree:
        """z, and the expert's own randomness."""
        disturb, ask = jax.random.split(key)
        asked = jax.random.key_data(ask)
        normal = jax.random.normal(disturb, (count, self.root.shape[0]))
        return normal, jnp.broadcast_to(asked, (count, *asked.shape))

    def act(self, observation: PyTree, noise: PyTree) -> tuple[Array, PyTree]:
        """a* + S z."""
        normal, asked = noise
        intended = self.expert.label(observation, jax.random.wrap_key_data(asked[0]))
        action = intended + matmul(normal, self.root.T).reshape(intended.shape)
        return action, (intended, jnp.full(action.shape[0], EXPERT, jnp.int8))

    def tell(self, observation: PyTree, action: Array, kept: PyTree) -> Told:
        """a*; the covariance may be singular, so a log-probability is not defined."""
        intended, source = kept
        return Told(intended, jnp.full(source.shape, jnp.nan), source)


class Mixture(AbstractBehaviour):
    """The expert acts with probability β at every step, the learner otherwise; the expert labels every state.

    π_i = β_i π* + (1 − β_i) π̂_i (Ross, Gordon and Bagnell 2011, algorithm 3.1), mixed per step and environment. The
    expert is asked once a state.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density", "expert"})

    policy: AbstractDensityPolicy
    expert: AbstractExpert
    beta: Float[Array, ""]

    def draw(self, count: int, key: Array) -> PyTree:
        """Who acts, and the expert's own randomness."""
        choose, ask = jax.random.split(key)
        asked = jax.random.key_data(ask)
        return jax.random.bernoulli(choose, self.beta, (count,)), jnp.broadcast_to(asked, (count, *asked.shape))

    def act(self, observation: PyTree, noise: PyTree) -> tuple[Array, PyTree]:
        """Mix per environment."""
        by_expert, asked = noise
        label = self.expert.label(observation, jax.random.wrap_key_data(asked[0]))
        learned = self.policy.mode(observation)
        spread = by_expert.reshape(-1, *(1 for _ in label.shape[1:]))
        return jnp.where(spread, label, learned), (label, by_expert)

    def tell(self, observation: PyTree, action: Array, kept: PyTree) -> Told:
        """The target is always the expert's label."""
        label, by_expert = kept
        source = jnp.where(by_expert, EXPERT, POLICY).astype(jnp.int8)
        return Told(label, jnp.full(source.shape, jnp.nan), source)
