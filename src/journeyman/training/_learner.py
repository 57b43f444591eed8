"""A learner is a recipe's parts; `weigh`, `descend` and `refit` are what happens with them on one batch."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from journeyman.collect import AbstractCollection, OnPolicy
from journeyman.episodes import Episodes
from journeyman.geometry import AbstractGeometry, Euclidean
from journeyman.objectives import AbstractObjective, Samples, WeightedLogLikelihood
from journeyman.parts import CAPABILITIES, AbstractPart, Number, holds, not_whole, problems, refuse
from journeyman.policies import DensityPolicy, partition, renormalized
from journeyman.training._answers import directed_by, kept, logged, stepped_by, weighed_by
from journeyman.training._shuffle import mixed
from journeyman.training._steps import AbstractStep, Adam, Trial
from journeyman.weights import AbstractWeight, Uniform, Weighed
from journeyman.worlds import AbstractSpace

_FROM_WITHIN = frozenset({"metric", "value baseline"})


class Learner(AbstractPart):
    """weight × objective × geometry × step, the way of collecting, and how often a batch is passed over.

    `batch_size` = None takes each pass as one step on the whole batch; a step that needs a metric takes no other. With
    `target_kl`, which needs minibatches and an objective that compares with the behaviour, the passes end before the
    first minibatch whose approximate KL is above 1.5 times it (as in Stable-Baselines3). Several passes without such a
    comparison are a regression on weighted data beyond the first. Raises `JourneymanError`, with every reason at once,
    when the parts cannot work together; what policy, data and world must give is checked before anything runs.
    """

    weight: AbstractWeight
    objective: AbstractObjective
    geometry: AbstractGeometry
    step: AbstractStep
    collect: AbstractCollection = OnPolicy()
    epochs: int = eqx.field(static=True, default=1)
    batch_size: int | None = eqx.field(static=True, default=None)
    target_kl: Number | None = None

    def __check_init__(self) -> None:
        declared = problems(self, later=frozenset(CAPABILITIES) - _FROM_WITHIN)
        refuse([*declared, *_wrong_passes(self), *_wrong_pairs(self)])


def _wrong_passes(learner: Learner) -> list[str]:
    """What is wrong with how often and in which pieces a batch is passed over."""
    found, size, objective = [], learner.batch_size, type(learner.objective).__name__
    if not_whole("", learner.epochs, least=1) or (size is not None and not_whole("", size, least=1)):
        found.append(
            f"A learner passes over its data at least once in batches of at least one, not {learner.epochs} times in"
            f" batches of {size}."
        )
    if size is not None and "metric" in learner.step.requires():
        step = type(learner.step).__name__
        found.append(
            f"{step} sets in nats how far one step takes the policy, and minibatches of {size} would each take it that"
            f" far, by what they alone show; use batch_size=None with {step}, or Adam with minibatches."
        )
    if learner.target_kl is not None and not (
        holds(learner.target_kl > 0) and size is not None and learner.objective.compares
    ):
        found.append(
            "A target KL is a positive number of nats and ends passes over minibatches of a ratio to the behaviour"
            f" policy, not {learner.target_kl} with {objective} and batch_size = {size}; leave it out."
        )
    return found


def _wrong_pairs(learner: Learner) -> list[str]:
    """Which objective or weight cannot have its data as it would come."""
    found, collect, objective = [], type(learner.collect).__name__, type(learner.objective).__name__
    if learner.objective.needs_whole_episodes and (learner.batch_size is not None or learner.collect.keeps):
        found.append(
            f"{objective} compares whole episodes, and"
            f" {'minibatches' if learner.batch_size is not None else collect} would tear them apart; use"
            " batch_size=None and data that is used once."
        )
    if learner.collect.keeps and learner.objective.compares:
        found.append(
            f"{objective} compares with the behaviour's likelihood, which the data that {collect} keeps does not have;"
            " use WeightedLogLikelihood."
        )
    if learner.collect.keeps and learner.weight.learns:
        found.append(
            f"{collect} with {type(learner.weight).__name__} and a fitted baseline is not wired yet: aggregated data is"
            " weighed once, when it arrives; use the uniform weight."
        )
    return found


class LearnerState(eqx.Module):
    """Everything about a learner that changes: the policy, the weight's baseline, the step's moments, what the
    collection learns, and the committee that its query wants (`Committee`; `()` for none)."""

    policy: DensityPolicy
    weight: PyTree
    step: PyTree
    collect: PyTree
    committee: PyTree = ()


def initial(
    learner: Learner,
    policy: DensityPolicy,
    key: Array,
    space: AbstractSpace | None = None,
    shown: Episodes | None = None,
) -> LearnerState:
    """The state before any data but what was `shown`; `space` is the world's actions, else those of the policy."""
    trained, _ = partition(policy)
    space = policy.head.space() if space is None else space
    weight, collect = learner.weight.begun(policy, shown, space, key), learner.collect.init(policy)
    return LearnerState(policy, weight, eqx.filter_jit(learner.step.init)(trained), collect)


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
    replacement; a last short one is divided by its own number of valid samples. Metrics are those of the last pass,
    over minibatches the mean.
    When any new leaf is not finite the old policy and state are kept and `bad_leaf` counts it from 0 (−1: all good).
    """
    if learner.batch_size is None:
        done = _full(learner, policy, step_state, samples, key, first)
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
    learner: Learner, policy: DensityPolicy, step_state: PyTree, samples: Samples, *, measured: bool
) -> tuple[DensityPolicy, PyTree, dict[str, Array]]:
    """One step, and with `measured` what it did to the samples, where the step has not measured that itself."""
    objective = learner.objective.fixed_at(policy, samples)
    (loss, told), gradient = objective.measured_gradient(policy, samples)
    direction = directed_by(learner.geometry, policy, samples, gradient)
    trained, fixed = partition(policy)
    realised = _realised(objective, policy, samples)

    def moved(update: PyTree) -> DensityPolicy:
        return eqx.combine(jax.tree.map(jnp.add, trained, update), fixed)

    update, step_state, metrics = stepped_by(learner.step, direction, step_state, trained, lambda u: realised(moved(u)))
    norm, promised = jnp.sqrt(_dot(gradient, gradient)), -_dot(gradient, update)
    own = {"loss": loss, "gradient_norm": norm, "predicted_gain": promised}
    metrics = logged(logged(own, objective, told), learner.geometry, direction.metrics) | metrics
    if measured and "kl" not in metrics:
        metrics |= realised(moved(update))._asdict()
    return moved(update), step_state, metrics


def _dot(first: PyTree, second: PyTree) -> Array:
    return sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), first, second)), start=jnp.zeros(()))


def _realised(
    objective: AbstractObjective, policy: DensityPolicy, samples: Samples
) -> Callable[[DensityPolicy], Trial]:
    """another policy → the mean KL(policy ‖ other) over the samples, and how far the loss fell. One forward pass."""
    before, loss = policy.parameters(samples.observation), objective(policy, samples)
    share = samples.valid / jnp.maximum(samples.valid.sum(), 1.0)

    def against(other: DensityPolicy) -> Trial:
        kl = policy.kl(before, other.parameters(samples.observation))
        return Trial((share * kl).sum(), loss - objective(other, samples))

    return against


def _entropy(policy: DensityPolicy, samples: Samples) -> Array:
    share = samples.valid / jnp.maximum(samples.valid.sum(), 1.0)
    return (share * policy.entropy(samples.observation)).sum()


def _keyed(learner: Learner, samples: Samples, key: Array, index: Any) -> Samples:
    """The samples of pass (or minibatch) `index`, with a key of their own where actions are drawn."""
    return samples.keyed(jax.random.fold_in(key, index)) if learner.objective.draws_actions else samples


def _full(
    learner: Learner, policy: DensityPolicy, step_state: PyTree, samples: Samples, key: Array, first: Any
) -> Descended:
    metrics: dict[str, Array] = {}
    new = policy
    for index in range(learner.epochs):
        samples = _keyed(learner, samples, key, first + index)
        last = index == learner.epochs - 1
        new, step_state, metrics = _one(learner, new, step_state, samples, measured=last)
    return Descended(new, step_state, {**metrics, "entropy": _entropy(policy, samples)})


class _Passing(eqx.Module):
    """What passes over minibatches carry: where they are, whether they are over, and the means of this pass so far."""

    trained: PyTree
    step: PyTree
    taken: Array
    over: Array
    seen: Array
    sums: dict[str, Array]

    def anew(self) -> "_Passing":
        """At the beginning of a pass."""
        return eqx.tree_at(lambda n: (n.seen, n.sums), self, jax.tree.map(jnp.zeros_like, (self.seen, self.sums)))


def _minibatches(
    learner: Learner, policy: DensityPolicy, step_state: PyTree, samples: Samples, key: Array, size: int, first: Any
) -> Descended:
    size = min(size, samples.valid.shape[0])
    batches = (samples.valid.sum().astype(jnp.int32) + size - 1) // size
    trained, fixed = partition(policy)
    arrays, static = eqx.partition(step_state, eqx.is_array)
    zero, none = jnp.zeros((), samples.valid.dtype), jnp.zeros((), jnp.int32)

    def epoch(carry: tuple[Array, _Passing]) -> tuple[Array, _Passing]:
        index, now = carry
        own = jax.random.fold_in(key, first + index)
        ordered = mixed(samples, size, own)

        def batch(carry: tuple[Array, _Passing]) -> tuple[Array, _Passing]:
            number, now = carry
            some = ordered.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, number * size, size))
            return number + 1, _stepped(learner, now, fixed, static, _keyed(learner, some, own, number))

        _, now = jax.lax.while_loop(lambda c: (c[0] < batches) & ~c[1].over, batch, (none, now.anew()))
        return index + 1, now

    told = jax.eval_shape(lambda some: _told(learner, policy, some), _keyed(learner, samples, key, 0))
    start = _Passing(trained, arrays, none, jnp.zeros((), bool), zero, dict.fromkeys(("loss", *told), zero))
    _, done = jax.lax.while_loop(lambda c: (c[0] < learner.epochs) & ~c[1].over, epoch, (none, start))
    new = eqx.combine(done.trained, fixed)
    metrics = {name: total / jnp.maximum(done.seen, 1.0) for name, total in done.sums.items()}
    if learner.objective.compares:
        metrics |= _realised(learner.objective, policy, samples)(new)._asdict()
        metrics |= {"entropy": _entropy(policy, samples), "gradient_steps": done.taken}
    return Descended(new, eqx.combine(done.step, static), metrics)


def _told(learner: Learner, policy: DensityPolicy, samples: Samples) -> dict[str, Array]:
    """What the objective and the geometry tell of a minibatch, whatever its gradient."""
    direction = directed_by(learner.geometry, policy, samples, partition(policy)[0])
    return {**learner.objective.measured(policy, samples)[1], **direction.metrics}


def _stepped(learner: Learner, now: _Passing, fixed: PyTree, static: PyTree, some: Samples) -> _Passing:
    """After one minibatch; beyond the target KL, where it was."""
    new, state, metrics = _one(
        learner, eqx.combine(now.trained, fixed), eqx.combine(now.step, static), some, measured=False
    )
    trained, arrays, over = partition(new)[0], eqx.filter(state, eqx.is_array), now.over
    if learner.target_kl is not None:
        over = metrics["approximate_kl"] > 1.5 * learner.target_kl
        stay = lambda new, old: jnp.where(over, old, new)  # noqa: E731
        trained, arrays = jax.tree.map(stay, (trained, arrays), (now.trained, now.step))
    weight = some.valid.sum()
    sums = {name: total + weight * metrics[name] for name, total in now.sums.items()}
    return _Passing(trained, arrays, now.taken + (~over).astype(jnp.int32), over, now.seen + weight, sums)


def regress(
    model: DensityPolicy,
    observation: PyTree,
    target: Array,
    valid: Array,
    key: Array,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: Number,
) -> DensityPolicy:
    """Least squares as a likelihood: fit `model` (a `FixedGaussian`) to `target` on the valid samples."""
    weight = valid.astype(target.dtype)
    unknown = jnp.full_like(weight, jnp.nan)
    samples = Samples(observation, target, weight, weight, jnp.ones((), target.dtype), unknown).cleared()
    fitter = Learner(
        Uniform(), WeightedLogLikelihood(), Euclidean(), Adam(learning_rate), epochs=epochs, batch_size=batch_size
    )
    state = fitter.step.init(partition(model)[0])
    return descend(fitter, model, state, samples, key).policy


@eqx.filter_jit
def weigh(learner: Learner, state: LearnerState, episodes: Episodes) -> tuple[Weighed, Samples]:
    """The weight of every step, and the steps without their order; `bad_weights` counts what is not finite."""
    weighed = weighed_by(learner.weight, state.weight, episodes)
    bad = (~jnp.isfinite(weighed.weight) | ~jnp.isfinite(weighed.target)).sum()
    return weighed._replace(metrics=weighed.metrics | {"bad_weights": bad}), Samples.of(episodes, weighed.weight)


@eqx.filter_jit
def learn(
    learner: Learner, state: LearnerState, samples: Samples, key: Array, first: Any = 0
) -> tuple[LearnerState, dict[str, Any]]:
    """`descend` on the samples."""
    done = descend(learner, state.policy, state.step, samples, key, first)
    return dataclasses.replace(state, policy=done.policy, step=done.step), done.metrics


@eqx.filter_jit
def refit(learner: Learner, state: PyTree, episodes: Episodes, target: Array, key: Array) -> PyTree:
    """The weight's state after its baseline was fitted to the batch; the policy has no part in it.

    To a `target` that is not finite nothing is fitted; `weigh` has counted it, and the run stops.
    """
    fitted = kept(learner.weight, learner.weight.fit(state, episodes, target, key, regress), state)
    good = jnp.isfinite(target).all()
    return jax.tree.map(lambda new, old: jnp.where(good, new, old) if eqx.is_array(new) else new, fitted, state)


@eqx.filter_jit
def settle(state: LearnerState, baseline: PyTree, episodes: Episodes) -> LearnerState:
    """The end of a batch: the new baseline, and the batch counted into the policy's statistics."""
    return dataclasses.replace(state, policy=_counted(state.policy, episodes), weight=baseline)


def _counted(policy: DensityPolicy, episodes: Episodes) -> DensityPolicy:
    features = policy.encoder(episodes.now)
    valid = jnp.asarray(episodes.valid).reshape(-1)
    return renormalized(policy, policy.normalizer.merge(features.reshape(-1, features.shape[-1]), valid))


@eqx.filter_jit
def observed(policy: DensityPolicy, episodes: Episodes) -> DensityPolicy:
    """The policy with `episodes` counted into its observation statistics."""
    return _counted(policy, episodes)
