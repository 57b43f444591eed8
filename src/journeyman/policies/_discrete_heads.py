"""Heads over finite sets: one choice, several choices at once, and bits."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PyTree

from journeyman.parts import JourneymanError
from journeyman.policies._heads import AbstractHead
from journeyman.worlds import Discrete, MultiBinary, MultiDiscrete


class Categorical(AbstractHead):
    """One of `classes` actions, with probabilities softmax(raw)."""

    gives: ClassVar[frozenset[str]] = frozenset({"density", "discrete actions", "state-dependent spread"})

    classes: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        _check("Categorical", self.classes)

    def space(self) -> Discrete:
        """0 … classes − 1."""
        return Discrete(self.classes)

    def outputs(self) -> int:
        """One logit a class."""
        return self.classes

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """The logits."""
        return raw

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """Over 0 … classes − 1."""
        return dist.CategoricalLogits(logits=parameters)

    def kl(self, first: PyTree, second: PyTree) -> Array:
        """Σ p (log p − log q); NumPyro has no rule for this pair."""
        return _categorical_kl(first, second)

    def noise(self, key: Array, count: int) -> PyTree:
        """Standard Gumbel variables `(count, classes)`."""
        return jax.random.gumbel(key, (count, self.classes))

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        """argmax of logits + noise (the Gumbel-max draw)."""
        return self.mode(parameters + noise)

    def mode(self, parameters: PyTree) -> Array:
        """The likeliest class."""
        return jnp.argmax(parameters, axis=-1).astype(jnp.int32)


class MultiCategorical(AbstractHead):
    """Several independent choices at once, entry i among `sizes[i]`, with probabilities softmax of its logits."""

    gives: ClassVar[frozenset[str]] = frozenset({"density", "discrete actions", "state-dependent spread"})

    sizes: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        _check("MultiCategorical", *self.sizes)

    def space(self) -> MultiDiscrete:
        """Entry i is one of 0 … sizes[i] − 1."""
        return MultiDiscrete(self.sizes)

    def outputs(self) -> int:
        """One logit for each value of each choice."""
        return sum(self.sizes)

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """The logits, `(*batch, choices, largest size)`, filled up with values of no probability."""
        longest = max(self.sizes)
        first = np.cumsum([0, *self.sizes[:-1]])[:, None]
        there = np.arange(longest)[None] < np.asarray(self.sizes)[:, None]
        logits = raw[..., np.where(there, first + np.arange(longest), 0)]
        return jnp.where(jnp.broadcast_to(there, logits.shape), logits, jnp.asarray(_NEVER, logits.dtype))

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """Independent categoricals."""
        return dist.Independent(dist.CategoricalLogits(logits=parameters), 1)

    def kl(self, first: PyTree, second: PyTree) -> Array:
        """The sum over the choices."""
        return _categorical_kl(first, second).sum(-1)

    def noise(self, key: Array, count: int) -> PyTree:
        """Standard Gumbel variables `(count, choices, largest size)`."""
        return jax.random.gumbel(key, (count, len(self.sizes), max(self.sizes)))

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        """argmax of logits + noise, choice by choice."""
        return self.mode(parameters + noise)

    def mode(self, parameters: PyTree) -> Array:
        """The likeliest value of each."""
        return jnp.argmax(parameters, axis=-1).astype(jnp.int32)


class Bernoulli(AbstractHead):
    """`bits` independent bits, each 1 with probability 1/(1 + e^{−logit})."""

    gives: ClassVar[frozenset[str]] = frozenset({"density", "discrete actions", "state-dependent spread"})

    bits: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        _check("Bernoulli", self.bits)

    def space(self) -> MultiBinary:
        """Vectors of 0 and 1."""
        return MultiBinary(self.bits)

    def outputs(self) -> int:
        """One logit a bit."""
        return self.bits

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """The logits."""
        return raw

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """Independent bits."""
        # As choices between 0 and 1: NumPyro's draw of bits mixes types, which strict promotion refuses.
        return dist.Independent(dist.CategoricalLogits(jnp.stack([jnp.zeros_like(parameters), parameters], -1)), 1)

    def log_prob(self, parameters: PyTree, action: Array) -> Array:
        """Σ −log(1 + e^{∓logit}), nats."""
        return jax.nn.log_sigmoid(jnp.where(jnp.asarray(action) > 0, parameters, -parameters)).sum(-1)

    def kl(self, first: PyTree, second: PyTree) -> Array:
        """Σ over bits of p log(p/q) + (1 − p) log((1 − p)/(1 − q))."""
        ones = jax.nn.sigmoid(first) * (jax.nn.log_sigmoid(first) - jax.nn.log_sigmoid(second))
        zeros = jax.nn.sigmoid(-first) * (jax.nn.log_sigmoid(-first) - jax.nn.log_sigmoid(-second))
        return (ones + zeros).sum(-1)

    def entropy(self, parameters: PyTree) -> Array:
        """Σ over bits of −p log p − (1 − p) log(1 − p)."""
        p, rest = jax.nn.sigmoid(parameters), jax.nn.sigmoid(-parameters)
        return -(p * jax.nn.log_sigmoid(parameters) + rest * jax.nn.log_sigmoid(-parameters)).sum(-1)

    def noise(self, key: Array, count: int) -> PyTree:
        """Standard logistic variables `(count, bits)`."""
        return jax.random.logistic(key, (count, self.bits))

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        """1 where logit + noise is positive."""
        return self.mode(parameters + noise)

    def mode(self, parameters: PyTree) -> Array:
        """The likelier value of each bit; 0 where both are."""
        return (parameters > 0).astype(jnp.int32)


_NEVER = -1e30  # a logit whose probability is 0, and 0 · log 0 still 0


def _categorical_kl(first: Array, second: Array) -> Array:
    log_p, log_q = jax.nn.log_softmax(first), jax.nn.log_softmax(second)
    return (jnp.exp(log_p) * (log_p - log_q)).sum(-1)


def _check(head: str, *counts: int) -> None:
    if not counts or min(counts) < 1:
        raise JourneymanError(
            f"{head} chooses, and there is nothing to choose among {list(counts)}; give it one or more numbers, each 1"
            " or more."
        )
