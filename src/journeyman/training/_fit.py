"""`fit`: pass over given episodes. Needs no world."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.collect import horizon_problems
from journeyman.episodes import Episodes
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import LAST_SEED, AbstractPart, check, fingerprint, not_whole, refuse, walk
from journeyman.policies import DensityPolicy, Encoder
from journeyman.training._arguments import refuse_mistaken
from journeyman.training._learner import Learner, LearnerState, initial, learn, observed, weigh
from journeyman.training._recorder import Recorder, check_finite, unweighable
from journeyman.weights import AbstractBaseline, Uniform


class Trained(NamedTuple):
    """The policy, and one row of metrics for every logged moment of this process."""

    policy: DensityPolicy
    rows: Sequence[dict[str, Any]]


class Demonstrations(AbstractPart):
    """Stands for data when needs are checked: it gives a "teacher", and "rewards" when any was recorded."""

    rewarded: bool

    def provides(self) -> frozenset[str]:
        """A teacher, and rewards if there are any."""
        return frozenset({"teacher", *(["rewards"] if self.rewarded else [])})


class FitState(eqx.Module):
    """Everything that changes while fitting; a checkpoint is this and nothing else."""

    learner: LearnerState
    epoch: np.ndarray


def fit(
    learner: Learner,
    policy: DensityPolicy,
    episodes: Episodes,
    *,
    held_out: Episodes | None = None,
    seed: int = 0,
    log_every: int = 10,
    checkpoint_every: int = 100,
    record: Recorder | None = None,
) -> Trained:
    """Fit `policy` to `episodes` with `learner`, for `learner.epochs` passes.

    A fresh policy first takes its observation statistics from the valid steps of `episodes` (never of `held_out`).
    The data is weighed once, before the first pass, so a weight with a baseline that learns from earlier batches is
    refused. A row is logged every `log_every` epochs: the loss and, with `held_out`, its negative log-likelihood in
    nats a step. Checkpoints come every `checkpoint_every` epochs, which must be a multiple of `log_every`.

    Raises `JourneymanError` when the parts cannot work together, when the policy does not fit the data, and when an
    update is not finite (the last finite state is kept, and the first bad leaf named); `Interrupted` after Ctrl-C.
    """
    refuse_mistaken(
        learner=(learner, Learner),
        policy=(policy, DensityPolicy),
        episodes=(episodes, Episodes),
        held_out=(held_out, Episodes | None),
        record=(record, Recorder | None),
    )
    check(learner, policy, Demonstrations(bool(np.any(np.asarray(episodes.reward)))), later=frozenset({"world"}))
    _check_arguments(learner, policy, episodes, held_out, seed, log_every, checkpoint_every)
    record = Recorder() if record is None else record
    links = {"dataset": episodes.fingerprint(), "policy": fingerprint(policy)}
    links |= {} if held_out is None else {"held_out": held_out.fingerprint()}
    parts = {"learner": learner, "policy": policy, "log_every": log_every, "checkpoint_every": checkpoint_every}
    record.begin("fit", {**parts, "seed": seed}, seed=seed, links=links)
    samples, state = _begin(learner, policy, episodes, seed)
    judged = None if held_out is None else _samples(held_out)
    try:
        return _passes(learner, record.restore(state), (samples, judged), seed, log_every, checkpoint_every, record)
    finally:
        record.close()


def _passes(
    learner: Learner,
    state: FitState,
    data: tuple[Samples, Samples | None],
    seed: int,
    log_every: int,
    checkpoint_every: int,
    record: Recorder,
) -> Trained:
    rows: list[dict[str, Any]] = []
    with record.progress("fit", learner.epochs, int(state.epoch), unit="epochs") as progress:
        while int(state.epoch) < learner.epochs and not progress.interrupted:
            state, row = _pass(learner, state, *data, seed, log_every)
            rows.append(record.log(row))
            progress.advance(int(state.epoch), loss=row["loss"])
            kept = ([state.learner.policy], record, int(state.epoch), state)
            check_finite(row.pop("bad_leaf"), row["loss"], *kept, seed=seed)
            if int(state.epoch) % checkpoint_every == 0:
                record.save(int(state.epoch), state)
    record.finish(int(state.epoch), state, [state.learner.policy], seed)
    return record.whole(Trained(state.learner.policy, rows))


def _pass(
    learner: Learner, state: FitState, samples: Samples, judged: Samples | None, seed: int, log_every: int
) -> tuple[FitState, dict[str, Any]]:
    """Up to `log_every` epochs as one compiled program, and their row."""
    began, done = time.perf_counter(), int(state.epoch)
    passes = min(log_every, learner.epochs - done)
    # Epochs are numbered from the beginning of the run: how often a row is logged must not change what is drawn.
    some = dataclasses.replace(learner, epochs=passes)
    after, metrics = learn(some, state.learner, samples, jax.random.key(seed), jnp.asarray(done, jnp.int32))
    state = FitState(after, np.asarray(done + passes))
    row: dict[str, Any] = {"step": done + passes, "epoch": done + passes, "loss": float(metrics["loss"])}
    if judged is not None:
        row["held_out_nll"] = float(_judge(after.policy, judged))
    seconds = time.perf_counter() - began
    row["clock"] = {"seconds": seconds, "samples_per_second": passes * samples.valid.shape[0] / seconds}
    row["bad_leaf"] = int(metrics["bad_leaf"])
    return state, row


def _check_arguments(
    learner: Learner,
    policy: DensityPolicy,
    episodes: Episodes,
    held_out: Episodes | None,
    seed: int,
    log_every: int,
    checkpoint_every: int,
) -> None:
    found = weighing_problems(learner) + not_whole("`seed`", seed, most=LAST_SEED)
    if log_every < 1 or checkpoint_every < 1 or checkpoint_every % log_every:
        found.append(
            f"Checkpoints come at logged epochs, so checkpoint_every = {checkpoint_every} must be a positive multiple"
            f" of log_every = {log_every}."
        )
    if not episodes.num_steps:
        found.append("The episodes hold no valid step, so there is nothing to fit; pass at least one.")
    valid = np.asarray(episodes.valid)
    unknown = int(np.isnan(np.asarray(episodes.log_prob)[valid]).sum())
    if learner.objective.compares and unknown:
        found.append(
            f"{type(learner.objective).__name__} compares with the behaviour, and {unknown} of {int(valid.sum())} steps"
            " do not say how likely their action was; record log_prob, or use WeightedLogLikelihood."
        )
    found += fitting_problems(policy, episodes)
    found += [] if held_out is None else [f"Held out: {problem}" for problem in fitting_problems(policy, held_out)]
    refuse(found)


def weighing_problems(learner: Learner) -> list[str]:
    """Why `fit` cannot weigh data with this learner, in sentences."""
    if not learner.weight.learns:
        return []
    if learner.weight.imitates:
        return [
            f"{type(learner.weight).__name__} compares the demonstrations with what the policy does itself, and `fit`"
            " has nowhere to act; use `improve`, without a simulator in journeyman.worlds.Demonstrated."
        ]
    inside = [part for part in walk(learner.weight) if isinstance(part, AbstractBaseline)]
    name = type(inside[0] if inside else learner.weight).__name__
    return [
        f"{name} is fitted to earlier batches, and `fit` weighs its data once, before there are any; use a baseline"
        " that needs none (LeaveOneOutBaseline, NoBaseline), or `improve`."
    ]


def fitting_problems(policy: DensityPolicy, episodes: Episodes) -> list[str]:
    """Where a policy and data disagree about observations or actions, in sentences."""
    axes = episodes.valid.ndim
    shapes = tuple(tuple(leaf.shape[axes:]) for leaf in jax.tree.leaves(episodes.observation))
    if shapes != policy.encoder.shapes:
        return [
            f"The data's observations have shapes {shapes}, the policy reads {policy.encoder.shapes}; make the policy"
            " for the world the data comes from."
        ]
    found = horizon_problems(policy.encoder, _longest(policy.encoder, episodes), "the data goes on")
    return found + policy.head.problems(np.asarray(episodes.target)[np.asarray(episodes.valid)])


def _longest(encoder: Encoder, episodes: Episodes) -> int | None:
    """How many steps the longest episode has, by the time that its observations tell."""
    time = encoder.time(episodes.now)
    valid = np.asarray(episodes.valid)
    return int(np.asarray(time)[valid].max()) + 1 if time is not None and valid.any() else None


def _begin(learner: Learner, policy: DensityPolicy, episodes: Episodes, seed: int) -> tuple[Samples, FitState]:
    episodes = jax.tree.map(jnp.asarray, episodes)
    policy = observed(policy, episodes) if bool(policy.normalizer.count == 0) else policy
    state = initial(learner, policy, jax.random.key(seed))
    weighed, samples = weigh(learner, state, episodes)
    bad = int(weighed.metrics["bad_weights"])
    refuse([unweighable(bad, "of the data")] if bad else [])
    return _compact(samples), FitState(state, np.asarray(0))


def _compact(samples: Samples) -> Samples:
    """Only the valid samples: padding would cost time in every epoch."""
    chosen = np.flatnonzero(np.asarray(samples.valid) > 0)
    return samples if len(chosen) == len(samples.valid) else samples.take(jnp.asarray(chosen))


@eqx.filter_jit
def _judge(policy: DensityPolicy, samples: Samples) -> Array:
    return WeightedLogLikelihood("steps")(policy, samples)


def _samples(episodes: Episodes) -> Samples:
    episodes = jax.tree.map(jnp.asarray, episodes)
    return Samples.of(episodes, Uniform()((), episodes).weight)
