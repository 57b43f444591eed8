"""A learner is a recipe's parts; `weigh`, `descend` and `refit` are what happens with them on one batch."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from journeyman.collect import AbstractCollection, OnPolicy
from journeyman.episodes import Episodes, HostOrDevice
from journeyman.geometry import AbstractGeometry, Euclidean
from journeyman.objectives import AbstractObjective, Samples, WeightedLogLikelihood
from journeyman.parts import CAPABILITIES, AbstractPart, JourneymanError, check
from journeyman.policies import DensityPolicy, partition, renormalized
from journeyman.training._steps import AbstractStep, Adam
from journeyman.weights import AbstractWeight, Uniform, Weighed

_FROM_WITHIN = frozenset({"metric", "value baseline"})


class Learner(AbstractPart):
    """weight × objective × geometry × step, the way of collecting, and how often a batch is passed over.

    `batch_size` = None takes each pass as one step on the whole batch. Raises `JourneymanError`, with every reason at
    once, when the parts cannot work together; what the policy, the data and the world must give is checked by `fit`
    and `improve` before anything runs.
    """

    weight: AbstractWeight
    objective: AbstractObjective
    geometry: AbstractGeometry
    step: AbstractStep
    collect: AbstractCollection = OnPolicy()
    epochs: int = eqx.field(static=True, default=1)
    batch_size: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        check(self, later=frozenset(CAPABILITIES) - _FROM_WITHIN)
        if self.epochs < 1 or (self.batch_size is not None and self.batch_size < 1):
            raise JourneymanError(
                f"A learner passes over its data at least once in batches of at least one, not {self.epochs} times"
                f" in batches of {self.batch_size}."
            )
        if self.objective.needs_whole_episodes and (self.batch_size is not None or self.collect.keeps):
            raise JourneymanError(
                f"{type(self.objective).__name__} compares whole episodes, and"
                f" {'minibatches' if self.batch_size is not None else type(self.collect).__name__} would tear them"
                " apart; use batch_size=None and data that is used once."
            )
        if self.collect.keeps and self.weight.learns:
            raise JourneymanError(
                f"{type(self.collect).__name__} with {type(self.weight).__name__} and a fitted baseline is not wired"
                " yet: aggregated data is weighed once, when it arrives; use the uniform weight."
            )


class LearnerState(eqx.Module):
    """Everything about a learner that changes: the policy, the weight's baseline, the step's moments."""

    policy: DensityPolicy
    weight: PyTree
    step: PyTree


def initial(learner: Learner, policy: DensityPolicy, key: Array) -> LearnerState:
    """The state before any data."""
    trained, _ = partition(policy)
    return LearnerState(policy, learner.weight.init(policy.encoder, key), learner.step.init(trained))


class Descended(NamedTuple):
    """The policy and the step's state after some steps, and what to log."""

    policy: DensityPolicy
    step: PyTree
    metrics: dict[str, Array]


def descend(
    learner: Learner, policy: DensityPolicy, step_state: PyTree, samples: Samples, key: Array, first: Any = 0
) -> Descended:
    """`learner.epochs` passes of gradient → direction → step over the samples, the first of them numbered `first`.

    Epoch i shuffles by `fold_in(key, i)`, so passes in two calls are the passes of one. Minibatches are drawn without
    replacement; a last short one is divided by its own number of valid samples.
    When any new leaf is not finite the old policy and state are kept and `bad_leaf` counts it from 0 (−1: all good).
    """
    if learner.batch_size is None:
        done = _full(learner, policy, step_state, samples)
    else:
        done = _minibatches(learner, policy, step_state, samples, key, learner.batch_size, first)
    leaves = jax.tree.leaves(partition(done.policy)[0])
    bad = jnp.stack([~jnp.isfinite(leaf).all() for leaf in leaves])
    keep = lambda new, old: jnp.where(bad.any(), old, new) if eqx.is_array(new) else new  # noqa: E731
    return Descended(
        jax.tree.map(keep, done.policy, policy),
        jax.tree.map(keep, done.step, step_state),
        {**done.metrics, "bad_leaf": jnp.where(bad.any(), jnp.argmax(bad), -1)},
    )


def _one(
    learner: Learner, policy: DensityPolicy, step_state: PyTree, samples: Samples
) -> tuple[DensityPolicy, PyTree, dict[str, Array]]:
    loss, gradient = learner.objective.gradient(policy, samples)
    direction = learner.geometry(policy, samples, gradient)
    trained, fixed = partition(policy)
    update, step_state, metrics = learner.step(direction, step_state, trained)
    policy = eqx.combine(jax.tree.map(jnp.add, trained, update), fixed)
    squares = [jnp.square(leaf).sum() for leaf in jax.tree.leaves(gradient)]
    norm = jnp.sqrt(sum(squares, start=jnp.zeros(())))
    return policy, step_state, {"loss": loss, "gradient_norm": norm, **direction.metrics, **metrics}


def _full(learner: Learner, policy: DensityPolicy, step_state: PyTree, samples: Samples) -> Descended:
    before = policy.parameters(samples.observation)
    share = samples.valid / jnp.maximum(samples.valid.sum(), 1.0)
    metrics: dict[str, Array] = {}
    new = policy
    for _ in range(learner.epochs):
        new, step_state, metrics = _one(learner, new, step_state, samples)
    moved = policy.kl(before, new.parameters(samples.observation))
    entropy = policy.head.entropy(before)
    metrics |= {"kl": (share * moved).sum(), "entropy": (share * entropy).sum()}
    return Descended(new, step_state, metrics)


def _minibatches(
    learner: Learner, policy: DensityPolicy, step_state: PyTree, samples: Samples, key: Array, size: int, first: Any
) -> Descended:
    capacity = samples.valid.shape[0]
    size = min(size, capacity)
    count = samples.valid.sum().astype(jnp.int32)
    batches = (count + size - 1) // size
    fixed = partition(policy)[1]
    static = eqx.filter(step_state, eqx.is_array, inverse=True)

    def epoch(index: Array, carry: tuple) -> tuple:
        order = _shuffled(samples.valid, jax.random.fold_in(key, first + index))
        order = jnp.pad(order, (0, -capacity % size))

        def batch(number: Array, carry: tuple) -> tuple:
            trained, moments, total = carry
            places = number * size + jnp.arange(size, dtype=jnp.int32)
            some = samples.take(jax.lax.dynamic_slice(order, (number * size,), (size,)))
            some = eqx.tree_at(lambda s: s.valid, some, some.valid * (places < count).astype(some.valid.dtype))
            state = eqx.combine(moments, static)
            new, state, metrics = _one(learner, eqx.combine(trained, fixed), state, some)
            total = total + metrics["loss"] * some.valid.sum()
            return partition(new)[0], eqx.filter(state, eqx.is_array), total

        trained, moments, _ = carry
        return jax.lax.fori_loop(0, batches, batch, (trained, moments, jnp.zeros(())))

    start = (partition(policy)[0], eqx.filter(step_state, eqx.is_array), jnp.zeros(()))
    trained, moments, total = jax.lax.fori_loop(0, learner.epochs, epoch, start)
    metrics = {"loss": total / jnp.maximum(samples.valid.sum(), 1.0)}
    return Descended(eqx.combine(trained, fixed), eqx.combine(moments, static), metrics)


def _shuffled(valid: HostOrDevice, key: Array) -> Array:
    """The places of the valid samples in random order, then those of the others.

    Sorting bare integers is four times as fast as sorting places by a key, so draw and place share one integer; two
    rounds, each on the order of the one before, give twice the random bits that are left beside the place.
    """
    count = valid.shape[0]
    bits = max((count - 1).bit_length(), 1)
    place, last = jnp.arange(count, dtype=jnp.uint32), jnp.uint32(2**31)
    order = place
    for part in jax.random.bits(key, (2, count), jnp.uint32):
        draw = jnp.where(valid[order] > 0, jnp.uint32(0), last) | (part >> (bits + 1) << bits) | place
        order = order[jnp.sort(draw) & jnp.uint32(2**bits - 1)]
    return order.astype(jnp.int32)


def regress(
    model: DensityPolicy,
    observation: PyTree,
    target: Array,
    valid: Array,
    key: Array,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> DensityPolicy:
    """Least squares as a likelihood: fit `model` (a `FixedGaussian`) to `target` on the valid samples."""
    weight = valid.astype(target.dtype)
    samples = Samples(observation, target, weight, weight, jnp.ones((), target.dtype)).cleared()
    fitter = Learner(
        Uniform(), WeightedLogLikelihood(), Euclidean(), Adam(learning_rate), epochs=epochs, batch_size=batch_size
    )
    state = fitter.step.init(partition(model)[0])
    return descend(fitter, model, state, samples, key).policy


@eqx.filter_jit
def weigh(learner: Learner, state: LearnerState, episodes: Episodes) -> tuple[Weighed, Samples]:
    """The weight of every step, and the steps without their order; `bad_weights` counts what is not finite."""
    weighed = learner.weight(state.weight, episodes)
    bad = (~jnp.isfinite(weighed.weight) | ~jnp.isfinite(weighed.target)).sum()
    weighed = weighed._replace(metrics={**weighed.metrics, "bad_weights": bad})
    return weighed, Samples.of(episodes, weighed.weight)


@eqx.filter_jit
def learn(
    learner: Learner, state: LearnerState, samples: Samples, key: Array, first: Any = 0
) -> tuple[LearnerState, dict[str, Any]]:
    """`descend` on the samples."""
    done = descend(learner, state.policy, state.step, samples, key, first)
    return LearnerState(done.policy, state.weight, done.step), done.metrics


@eqx.filter_jit
def refit(learner: Learner, state: LearnerState, episodes: Episodes, target: Array, key: Array) -> LearnerState:
    """After the policy's step: fit the baseline to the batch, and count the batch into the policy's statistics.

    To a `target` that is not finite nothing is fitted; `weigh` has counted it, and the run stops.
    """
    fitted = learner.weight.fit(state.weight, episodes, target, key, regress)
    good = jnp.isfinite(target).all()
    keep = lambda new, old: jnp.where(good, new, old) if eqx.is_array(new) else new  # noqa: E731
    return LearnerState(_counted(state.policy, episodes), jax.tree.map(keep, fitted, state.weight), state.step)


def _counted(policy: DensityPolicy, episodes: Episodes) -> DensityPolicy:
    features = policy.encoder(episodes.now)
    valid = jnp.asarray(episodes.valid).reshape(-1)
    return renormalized(policy, policy.normalizer.merge(features.reshape(-1, features.shape[-1]), valid))


@eqx.filter_jit
def observed(policy: DensityPolicy, episodes: Episodes) -> DensityPolicy:
    """The policy with `episodes` counted into its observation statistics."""
    return _counted(policy, episodes)
