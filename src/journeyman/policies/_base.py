"""π(action | observation): what acts, what is fitted, and what is saved."""

import abc
from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, PyTree

from journeyman.parts import AbstractPart, JourneymanError
from journeyman.policies._default_head import default_head
from journeyman.policies._heads import AbstractHead, Scale
from journeyman.policies._network import MLP
from journeyman.policies._observation import AbstractStatistics, Encoder, Normalizer
from journeyman.worlds import AbstractWorld


class AbstractPolicy(AbstractPart):
    """Anything that acts. State (a history, a queue of actions) is an argument and a return value."""

    @abc.abstractmethod
    def act(self, observation: PyTree, state: PyTree, key: Array) -> tuple[Array, PyTree]:
        """A sampled action for each leading batch element, and the policy's next state (`()` where there is none)."""


class AbstractDensityPolicy(AbstractPolicy):
    """A policy whose log π(action | observation) can be evaluated and differentiated."""

    @abc.abstractmethod
    def distribution(self, observation: PyTree) -> dist.Distribution:
        """π(· | observation) as a NumPyro distribution."""

    def noise(self, key: Array, count: int) -> PyTree:
        """All that is random in `count` actions, each leaf leading with `(count,)`; else random bits."""
        return jax.random.key_data(jax.random.split(key, count))

    def draw(self, observation: PyTree, noise: PyTree) -> Array:
        """One action for each of `(count,)` observations: a sample of `distribution`, made of that noise."""

        def one(observation: PyTree, bits: Array) -> Array:
            return jnp.asarray(self.distribution(observation).sample(jax.random.wrap_key_data(bits)))

        return jax.vmap(one)(observation, noise)

    @abc.abstractmethod
    def log_prob(self, observation: PyTree, action: Array) -> Float[Array, "*batch"]:
        """log π(action | observation), nats."""

    @abc.abstractmethod
    def mode(self, observation: PyTree) -> Array:
        """The likeliest action."""

    @abc.abstractmethod
    def entropy(self, observation: PyTree) -> Float[Array, "*batch"]:
        """H(π(· | observation)), nats."""

    @abc.abstractmethod
    def parameters(self, observation: PyTree) -> PyTree:
        """The distribution's parameters: what the Fisher metric is measured in."""

    @abc.abstractmethod
    def kl(self, first: PyTree, second: PyTree) -> Float[Array, "*batch"]:
        """KL between two outputs of `parameters`, nats."""


class DensityPolicy(AbstractDensityPolicy):
    """encoder → normaliser → network → head. The statistics are leaves; `partition` keeps them from training."""

    encoder: Encoder
    normalizer: Normalizer
    network: MLP
    head: AbstractHead

    def act(self, observation: PyTree, state: PyTree, key: Array) -> tuple[Array, PyTree]:
        """One sample for each leading batch element."""
        return jnp.asarray(self.distribution(observation).sample(key)), state

    def parameters(self, observation: PyTree) -> PyTree:
        """What the head makes of the network's outputs."""
        return self.head.parameters(self.network(self.normalizer(self.encoder(observation))))

    def noise(self, key: Array, count: int) -> PyTree:
        """The head's."""
        return self.head.noise(key, count)

    def draw(self, observation: PyTree, noise: PyTree) -> Array:
        """The head's sample."""
        return self.head.sample(self.parameters(observation), noise)

    def distribution(self, observation: PyTree) -> dist.Distribution:
        """π(· | observation)."""
        return self.head.distribution(self.parameters(observation))

    def log_prob(self, observation: PyTree, action: Array) -> Float[Array, "*batch"]:
        """log π(action | observation), nats."""
        return self.head.log_prob(self.parameters(observation), action)

    def mode(self, observation: PyTree) -> Array:
        """The likeliest action, in the world's units."""
        return self.head.mode(self.parameters(observation))

    def entropy(self, observation: PyTree) -> Float[Array, "*batch"]:
        """H(π(· | observation)), nats."""
        return self.head.entropy(self.parameters(observation))

    def kl(self, first: PyTree, second: PyTree) -> Float[Array, "*batch"]:
        """KL(first ‖ second) between two outputs of `parameters`, nats."""
        return self.head.kl(first, second)


Module = TypeVar("Module")


def partition(module: Module) -> tuple[Module, Module]:
    """(what is trained, what is not): inexact arrays outside of statistics, and the rest.

    `equinox.combine` puts the two together again.
    """
    spec = jax.tree.map(
        lambda item: False if isinstance(item, AbstractStatistics) else eqx.is_inexact_array(item),
        module,
        is_leaf=lambda item: isinstance(item, AbstractStatistics),
    )
    return eqx.partition(module, spec)


def policy(
    world: AbstractWorld,
    key: Array,
    *,
    hidden: Sequence[int] = (64, 64),
    head: AbstractHead | None = None,
    angles: tuple[int, ...] = (),
    activation: str = "tanh",
) -> DensityPolicy:
    """A fresh policy for a world: an MLP under the head that fits the action space.

    `angles` names observation columns in radians that wrap. The normaliser starts as the identity with nothing seen;
    `fit` and `improve` set it from their first data.
    """
    head = default_head(world.action_space) if head is None else head
    encoder = Encoder.of(world.observation_space, angles)
    wrong = [a for a in angles if not 0 <= a < encoder.size - len(angles)]
    if wrong:
        raise JourneymanError(
            f"Observation column {wrong[0]} cannot be an angle: there are {encoder.size - len(angles)} columns, from 0."
        )
    network = MLP.make([encoder.size, *hidden, head.outputs()], key, activation=activation)
    return DensityPolicy(encoder, Normalizer.fresh(encoder.size), network, head)


def renormalized(policy: DensityPolicy, normalizer: Normalizer) -> DensityPolicy:
    """The same function of the observation with other input statistics: W' = W s'/s, b' = b + W (m' − m)/s.

    Where the policy has seen nothing yet, the statistics are simply set: its function was arbitrary.
    """
    old, weight = policy.normalizer, policy.network.weights[0]
    fresh = old.count == 0
    ratio = jnp.where(fresh, 1.0, normalizer.scale / old.scale)
    shift = jnp.where(fresh, 0.0, (normalizer.mean - old.mean) / old.scale)
    weights = (weight * ratio[:, None], *policy.network.weights[1:])
    biases = (policy.network.biases[0] + shift @ weight, *policy.network.biases[1:])
    network = MLP(weights, biases, policy.network.activation)
    return DensityPolicy(policy.encoder, normalizer, network, policy.head)


def rescaled(policy: DensityPolicy, scale: Scale) -> DensityPolicy:
    """The same outputs in the world's units with another output scale (van Hasselt et al. 2016, PopArt)."""
    old, count = policy.head.scale, scale.scale.shape[0]  # type: ignore[attr-defined]
    ratio, shift = old.scale / scale.scale, (old.location - scale.location) / scale.scale
    grow = lambda x, fill: jnp.concatenate([x, jnp.full(policy.head.outputs() - count, fill)])  # noqa: E731
    ratio, shift = grow(ratio, 1.0), grow(shift, 0.0)
    network = policy.network
    weights = (*network.weights[:-1], network.weights[-1] * ratio[None, :])
    biases = (*network.biases[:-1], network.biases[-1] * ratio + shift)
    head = eqx.tree_at(lambda h: h.scale, policy.head, scale)
    return DensityPolicy(policy.encoder, policy.normalizer, MLP(weights, biases, network.activation), head)


def floored(policy: DensityPolicy, minimum_std: float) -> DensityPolicy:
    """The same likeliest action with the standard deviation at least `minimum_std`, in half widths of the action box.

    A clone is often nearly deterministic, and a policy gradient learns from its own variations: without a floor
    its gradient explodes and its steps vanish. A policy whose head has no deviation is returned as it is.
    """
    head = policy.head.floored(minimum_std)
    return policy if head is policy.head else eqx.tree_at(lambda p: p.head, policy, head)


def is_fresh(policy: Any) -> bool:
    """Whether the policy's statistics have seen nothing yet."""
    return bool(policy.normalizer.count == 0)
