"""A head or a policy as functions of one flat vector θ and of actions alone."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from journeyman.parts import shaped
from journeyman.policies import AbstractDensityPolicy, AbstractHead, partition


class Subject(NamedTuple):
    """`log_prob(θ, actions)` `(samples,)`, `sample(θ, key, count)`, `kl(θ, θ')` and `entropy(θ)`, all in nats."""

    theta: Array
    log_prob: Callable[[Array, Array], Array]
    sample: Callable[[Array, Array, int], Array]
    kl: Callable[[Array, Array], Array]
    entropy: Callable[[Array], Array]
    approximates: frozenset[str]


def of_head(head: AbstractHead, raw: Array) -> Subject:
    """θ is the raw numbers and what is trained inside the head."""
    trained, fixed = partition(_double(head))
    theta, unflatten = ravel_pytree((_double(jnp.asarray(raw)), trained))

    def made(theta: Array) -> tuple[AbstractHead, PyTree]:
        raw, trained = unflatten(theta)
        head = eqx.combine(trained, fixed)
        return head, head.parameters(raw)

    def log_prob(theta: Array, action: Array) -> Array:
        head, parameters = made(theta)
        return head.log_prob(_repeated(parameters, len(action)), action)

    def sample(theta: Array, key: Array, count: int) -> Array:
        head, parameters = made(theta)
        return head.sample(_repeated(parameters, count), head.noise(key, count))

    def entropy(theta: Array) -> Array:
        head, parameters = made(theta)
        return head.entropy(parameters)

    def kl(theta: Array, other: Array) -> Array:
        head, parameters = made(theta)
        return head.kl(parameters, made(other)[1])

    return _held(head, Subject(theta, log_prob, sample, kl, entropy, head.approximates))


def of_policy(policy: AbstractDensityPolicy, observation: PyTree) -> Subject:
    """θ is what is trained in the policy."""
    trained, fixed = partition(_double(policy))
    theta, unflatten = ravel_pytree(trained)
    observation = _double(jax.tree.map(jnp.asarray, observation))

    def made(theta: Array) -> AbstractDensityPolicy:
        return eqx.combine(unflatten(theta), fixed)

    def log_prob(theta: Array, action: Array) -> Array:
        return made(theta).log_prob(_repeated(observation, len(action)), action)

    def sample(theta: Array, key: Array, count: int) -> Array:
        one = made(theta)
        return one.draw(_repeated(observation, count), one.noise(key, count))

    def entropy(theta: Array) -> Array:
        return made(theta).entropy(observation)

    def kl(theta: Array, other: Array) -> Array:
        one = made(theta)
        return one.kl(one.parameters(observation), made(other).parameters(observation))

    head = getattr(policy, "head", None)
    return _held(policy, Subject(theta, log_prob, sample, kl, entropy, getattr(head, "approximates", frozenset())))


def _held(part: AbstractHead | AbstractDensityPolicy, one: Subject) -> Subject:
    """The same, its answers held against the shapes that they must have."""

    def log_prob(theta: Array, action: Array) -> Array:
        remedy = "one for each action, so sum over its entries (dist.Independent(…, 1) does)"
        return shaped(part, "log_prob", one.log_prob(theta, action), action.shape[:1], remedy)

    def entropy(theta: Array) -> Array:
        return shaped(part, "entropy", one.entropy(theta), (), "one for an observation, so sum over entries")

    def kl(theta: Array, other: Array) -> Array:
        return shaped(part, "kl", one.kl(theta, other), (), "one for an observation, so sum over entries")

    return one._replace(log_prob=log_prob, kl=kl, entropy=entropy)


def _repeated(tree: PyTree, count: int) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), tree)


def _double(tree: PyTree) -> PyTree:
    widen = lambda leaf: leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf  # noqa: E731
    return jax.tree.map(widen, tree)
