"""A round whose data is kept: which of it is learned from, and by which weights."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.collect import AbstractAggregation, AbstractQuery, foremost
from journeyman.episodes import Episodes
from journeyman.objectives import Samples
from journeyman.parts import JourneymanError, shaped
from journeyman.policies import DensityPolicy, partition
from journeyman.training._committee import convened, taught
from journeyman.training._iteration import Row, named_key
from journeyman.training._learner import Learner, LearnerState, learn, weigh
from journeyman.training._memory import Memory
from journeyman.worlds import AbstractSpace


class Round(NamedTuple):
    """Which round it is, and what a run of such rounds keeps at hand.

    `root` is the run's random key, `start` the policy it began with, `shown` how many steps were demonstrated. `still`
    says that the policy takes no step in this round.
    """

    index: int
    root: Array
    start: DensityPolicy
    shown: int
    still: bool

    def key(self, name: str) -> Array:
        """The random key for one purpose in this round."""
        return named_key(self.root, name, self.index)

    def resample(self) -> Array:
        """The key of the committee's resamples, the same in all rounds."""
        return named_key(self.root, "resample", 0)


def learned_from_all(
    learner: Learner, state: LearnerState, memory: Memory, episodes: Episodes, space: AbstractSpace, now: Round
) -> tuple[LearnerState, Memory, Row]:
    """The batch is added to the memory, as far as it is asked for, and all of that is learned from."""
    collect = learner.collect
    assert isinstance(collect, AbstractAggregation)
    if now.index == 0:
        state = _prepared(learner, state, memory, now)
    have = int(memory.count) - now.shown
    left = episodes.valid.size if collect.budget is None else max(0, min(collect.budget - have, episodes.valid.size))
    state, samples, told = gather(learner, state, episodes, space, jnp.asarray(left, jnp.int32))
    _check_labels(collect, samples, now.index)
    memory = memory.add(samples)
    told["labels"] = jnp.asarray(int(memory.count) - now.shown)
    if collect.refit:
        state = renewed(learner, now.start, state, now.key("renew"))
    learned = {"bad_leaf": jnp.asarray(-1)}
    if not now.still:
        state, learned = _taught(learner, state, memory.on_device(), now)
    return state, memory, {"weighed": told, "learned": learned}


def _check_labels(collect: AbstractAggregation, samples: Samples, index: int) -> None:
    """Refuse labels that are not finite: learned from, they would look like a step that was too long."""
    target = np.asarray(samples.target)[np.asarray(samples.valid) > 0]
    bad = len(target) - np.count_nonzero(np.isfinite(target).all(axis=tuple(range(1, target.ndim))))
    if bad:
        raise JourneymanError(
            f"{bad} of {len(target)} labels that {type(collect.expert).__name__} gave in round {index} are not"
            " finite, so nothing was learned from that round; mend the expert's `label`."
        )


@eqx.filter_jit
def gather(
    learner: Learner, state: LearnerState, episodes: Episodes, space: AbstractSpace, left: Array
) -> tuple[LearnerState, Samples, dict[str, Array]]:
    """The steps that are asked for, at most `left`, what the collection makes of the round, and what to log."""
    assert isinstance(learner.collect, AbstractAggregation)
    weighed, samples = weigh(learner, state, episodes)
    committee = state.committee.policies if state.committee else ()
    wanted = _wanted(learner.collect.query, episodes, state.policy, committee, space)
    asked = foremost(jnp.where(jnp.asarray(episodes.valid), wanted, -jnp.inf), left).reshape(-1)
    valid = jnp.where(asked, samples.valid, 0.0)
    visited = samples.valid.sum()
    collect, found = learner.collect.updated(state.collect, state.policy, episodes, space)
    told = {"asked_share": valid.sum() / jnp.maximum(visited, 1.0), "visited": visited.astype(jnp.int32)}
    samples = eqx.tree_at(lambda s: s.valid, samples, valid)
    return dataclasses.replace(state, collect=collect), samples, {**weighed.metrics, **found, **told}


def _wanted(
    query: AbstractQuery, episodes: Episodes, policy: DensityPolicy, committee: PyTree, space: AbstractSpace
) -> Array:
    """What the query says of each step; a mask, of which no step is −inf, would ask for all labels."""
    remedy = "write jnp.where(asked, 0.0, -jnp.inf), one number for each step"
    return shaped(query, "__call__", query(episodes, policy, committee, space), episodes.valid.shape, remedy)


def renewed(learner: Learner, start: DensityPolicy, state: LearnerState, key: Array) -> LearnerState:
    """The learner with fresh weights in the form, the head and the statistics of `start`, and a step that begins.

    Of its committee too, each member with weights of its own.
    """
    policy = eqx.tree_at(lambda p: p.network, start, start.network.redrawn(key))
    committee = convened(learner, start, named_key(key, "convene", 0))
    step = learner.step.init(partition(policy)[0])
    return dataclasses.replace(state, policy=policy, step=step, committee=committee)


def _prepared(learner: Learner, state: LearnerState, memory: Memory, now: Round) -> LearnerState:
    """The committee, if there is one, after its passes over the demonstrations."""
    if not state.committee:
        return state
    first = dataclasses.replace(learner, epochs=learner.collect.query.seats().first)  # type: ignore[attr-defined]
    shown, keys = memory.on_device(), (now.resample(), named_key(now.root, "prepare", 0))
    return dataclasses.replace(state, committee=taught(first, state.committee, shown, *keys)[0])


def _taught(learner: Learner, state: LearnerState, samples: Samples, now: Round) -> tuple[LearnerState, dict]:
    """The policy after `learn`, and the committee after `taught`; the policy never sees that there is one."""
    alone, learned = learn(learner, dataclasses.replace(state, committee=()), samples, now.key("learn"))
    committee = state.committee
    if committee:
        committee, bad = taught(learner, committee, samples, now.resample(), now.key("teach"))
        learned["bad_leaf"] = jnp.maximum(learned["bad_leaf"], bad)
    return dataclasses.replace(alone, committee=committee), learned
