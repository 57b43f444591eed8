"""π(action | observation): what acts, what is fitted, and what is saved."""

import abc
from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, PyTree

from journeyman.parts import AbstractPart, JourneymanError, form, mistaken, refuse, shaped
from journeyman.policies._bounded_heads import SquashedGaussian
from journeyman.policies._default_head import default_head
from journeyman.policies._gaussian_heads import FullGaussian, Gaussian
from journeyman.policies._heads import AbstractHead, Scale
from journeyman.policies._network import MLP, AbstractNetwork, PerStep
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
    network: AbstractNetwork
    head: AbstractHead

    def act(self, observation: PyTree, state: PyTree, key: Array) -> tuple[Array, PyTree]:
        """One sample for each leading batch element."""
        return jnp.asarray(self.distribution(observation).sample(key)), state

    def parameters(self, observation: PyTree) -> PyTree:
        """What the head makes of the network's outputs."""
        return self._asked(observation)[0]

    def _asked(self, observation: PyTree) -> tuple[PyTree, tuple[int, ...]]:
        """The parameters and the batch's shape. A network and a head may be somebody's own: what they give is held
        against the batch while it is traced, for with other axes it would be broadcast and learned from."""
        features = self.normalizer(self.encoder(observation))
        batch, time = features.shape[:-1], self.encoder.time(observation)
        wanted = (*batch, self.head.outputs())
        raw = shaped(self.network, "__call__", self.network(features, time), wanted, "one row for each observation")
        parameters = self.head.parameters(raw)
        if any(jnp.shape(leaf)[: len(batch)] != batch for leaf in jax.tree.leaves(parameters)):
            raise JourneymanError(
                f"`parameters` of {type(self.head).__name__} gives {form(parameters)} for a batch of shape"
                f" {list(batch)}; let each lead with the batch, by jnp.broadcast_to."
            )
        return parameters, batch

    def _each(self, what: str, answer: Any, batch: tuple[int, ...]) -> Array:
        """The head's `answer`, one number for each observation."""
        remedy = "one for each observation, so sum over an action's entries (dist.Independent(…, 1) does)"
        return shaped(self.head, what, answer, batch, remedy)

    def _axes(self) -> int:
        """How many an action has. By shapes alone: a head that is traced cannot say which space it is over."""
        raw = jax.ShapeDtypeStruct((1, self.head.outputs()), jnp.result_type(float))
        return len(jax.eval_shape(lambda one: self.head.mode(self.head.parameters(one)), raw).shape) - 1

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
        parameters, batch = self._asked(observation)
        batch = jnp.broadcast_shapes(batch, jnp.shape(action)[: jnp.ndim(action) - self._axes()])
        return self._each("log_prob", self.head.log_prob(parameters, action), batch)

    def mode(self, observation: PyTree) -> Array:
        """The likeliest action, in the world's units."""
        return self.head.mode(self.parameters(observation))

    def entropy(self, observation: PyTree) -> Float[Array, "*batch"]:
        """H(π(· | observation)), nats."""
        parameters, batch = self._asked(observation)
        return self._each("entropy", self.head.entropy(parameters), batch)

    def kl(self, first: PyTree, second: PyTree) -> Float[Array, "*batch"]:
        """KL(first ‖ second) between two outputs of `parameters`, nats."""
        likeliest = jax.eval_shape(self.head.mode, first).shape
        batch = likeliest[: len(likeliest) - self._axes()]
        return self._each("kl", self.head.kl(first, second), batch)


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
    per_step: bool = False,
) -> DensityPolicy:
    """A fresh policy for a world: an MLP under the head that fits the action space.

    `angles` names observation columns in radians that wrap. The normaliser starts as the identity with nothing seen;
    `fit` and `improve` set it from their first data. In a world that shows the time (`journeyman.worlds.timed`) the
    network reads t/H, one feature beside the others; with `per_step` it is one network for each step (`by_step`).
    """
    _check_arguments(world, key, hidden, head)
    head = default_head(world.action_space) if head is None else head
    encoder = Encoder.of(world.observation_space, angles)
    wrong = [a for a in angles if not 0 <= a < encoder.size - len(angles)]
    if wrong:
        raise JourneymanError(
            f"Observation column {wrong[0]} cannot be an angle: there are {encoder.size - len(angles)} columns, from 0."
        )
    network = MLP.make([encoder.size, *hidden, head.outputs()], key, activation=activation)
    made = DensityPolicy(encoder, Normalizer.fresh(encoder.size), network, head)
    return by_step(made, world) if per_step else made


def _check_arguments(world: Any, key: Any, hidden: Any, head: Any) -> None:
    found = mistaken("`world`", world, AbstractWorld)
    found += [] if head is None else mistaken("`head`", head, AbstractHead)
    if not isinstance(key, jax.Array):
        seed = key if isinstance(key, int) else 0
        found.append(f"`key` is {key!r}, and a random key is needed; pass jax.random.key({seed}).")
    if not isinstance(hidden, (tuple, list)) or not all(isinstance(width, int) and width > 0 for width in hidden):
        found.append(
            f"`hidden` is {hidden!r}, and the widths of the hidden layers are needed, whole numbers above 0; write"
            " hidden=(64, 64), or hidden=() for none."
        )
    refuse(found)


def by_step(policy: DensityPolicy, world: AbstractWorld) -> DensityPolicy:
    """The same function with separate parameters for each step of `world`: π_θ^t, t = 0 … H − 1.

    Every step begins with a copy of the policy's network (where it read t/H, that term becomes part of the bias) and
    of its head's deviation, and from there they go apart. The statistics of observations stay shared. `world` shows the
    time; the policy may be one that does not know it, for instance a clone.

    Raises `JourneymanError` for a world that does not show the time, observations that do not fit, a policy with
    separate parameters already, and a head whose own parameters cannot be handed to the network.
    """
    column = Encoder.of(world.observation_space).time_column
    if column is None:
        raise JourneymanError(
            f"'{world.called}' does not show the step number, so no step can have parameters of its own; make it as"
            f" 'timed:{world.name}', or with journeyman.worlds.timed."
        )
    if not isinstance(policy.network, MLP):
        raise JourneymanError(
            f"The policy's network is a {type(policy.network).__name__}, and only an MLP can be copied to every step;"
            " start from a policy made without `per_step`."
        )
    moved = 0 if policy.encoder.horizon is not None else 1  # columns behind the time, where it is new
    angles = tuple(angle + moved * (angle >= column) for angle in policy.encoder.angles)
    encoder = Encoder.of(world.observation_space, angles)
    network, normalizer = _told_time(policy, encoder, column)
    head, constants = _handed_over(policy.head)
    steps = encoder.horizon
    assert steps is not None
    times = jnp.arange(steps, dtype=jnp.result_type(float)) / steps
    offset = (times - normalizer.mean[column]) / normalizer.scale[column]
    bias = network.biases[0][None, :] + offset[:, None] * network.weights[0][column][None, :]
    many = lambda leaf: jnp.repeat(leaf[None], steps, axis=0)  # noqa: E731
    bare = eqx.tree_at(lambda n: n.weights[0], network, jnp.delete(network.weights[0], column, axis=0))
    networks = eqx.tree_at(lambda n: n.biases[0], jax.tree.map(many, bare), bias)
    return DensityPolicy(encoder, normalizer, PerStep(networks, many(constants), column), head)


def _told_time(policy: DensityPolicy, encoder: Encoder, column: int) -> tuple[MLP, Normalizer]:
    """The policy's network and statistics with a place for the time, with weight 0 where they had none."""
    old, network = policy.normalizer, policy.network
    assert isinstance(network, MLP)
    if policy.encoder == encoder:
        return network, old
    if policy.encoder.horizon is not None or policy.encoder.timeless != encoder.timeless:
        raise JourneymanError(
            f"The world shows observations of shapes {encoder.shapes}, of which the policy reads"
            f" {policy.encoder.shapes}; make the policy for this world, or for the same one without the time."
        )
    place = lambda leaf, value: jnp.insert(leaf, column, jnp.asarray(value, leaf.dtype), axis=0)  # noqa: E731
    weights = (place(network.weights[0], 0.0), *network.weights[1:])
    normalizer = Normalizer(place(old.mean, 0.0), place(old.deviation, 1.0), old.count)
    return MLP(weights, network.biases, network.activation), normalizer


def _handed_over(head: AbstractHead) -> tuple[AbstractHead, Array]:
    """A head without parameters of its own, and what it must read from the network to be the head it was."""
    if isinstance(head, Gaussian) and head.log_std is not None:
        return Gaussian(head.scale, None, head.bounds, head.shift), head.log_std - head.shift
    if isinstance(head, FullGaussian) and head.correlation is not None:
        diagonal, constants = _handed_over(head.diagonal)
        assert isinstance(diagonal, Gaussian)
        return FullGaussian(diagonal, None), jnp.concatenate([constants, head.correlation])
    if isinstance(head, SquashedGaussian):
        inner, constants = _handed_over(head.inner)
        return eqx.tree_at(lambda h: h.inner, head, inner), constants
    if jax.tree.leaves(partition(head)[0]):
        raise JourneymanError(
            f"A {type(head).__name__} with parameters of its own cannot have them at each step; choose one that reads"
            " them all from the network."
        )
    return head, jnp.zeros(0)


def renormalized(policy: DensityPolicy, normalizer: Normalizer) -> DensityPolicy:
    """The same function of the observation with other input statistics: W' = W s'/s, b' = b + W (m' − m)/s.

    Where the policy has seen nothing yet, the statistics are simply set: its function was arbitrary.
    """
    old = policy.normalizer
    fresh = old.count == 0
    ratio = jnp.where(fresh, 1.0, normalizer.scale / old.scale)
    shift = jnp.where(fresh, 0.0, (normalizer.mean - old.mean) / old.scale)
    return DensityPolicy(policy.encoder, normalizer, policy.network.fed(ratio, shift), policy.head)


def rescaled(policy: DensityPolicy, scale: Scale) -> DensityPolicy:
    """The same outputs in the world's units with another output scale (van Hasselt et al. 2016, PopArt)."""
    old, count = policy.head.scale, scale.scale.shape[0]  # type: ignore[attr-defined]
    ratio, shift = old.scale / scale.scale, (old.location - scale.location) / scale.scale
    grow = lambda x, fill: jnp.concatenate([x, jnp.full(policy.head.outputs() - count, fill)])  # noqa: E731
    ratio, shift = grow(ratio, 1.0), grow(shift, 0.0)
    head = eqx.tree_at(lambda h: h.scale, policy.head, scale)
    return DensityPolicy(policy.encoder, policy.normalizer, policy.network.read(ratio, shift), head)


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
