"""A round whose data is kept: which of it is learned from, and by which weights."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from journeyman.collect import AbstractAggregation
from journeyman.episodes import Episodes
from journeyman.objectives import Samples
from journeyman.policies import DensityPolicy, partition
from journeyman.training._learner import Learner, LearnerState, weigh
from journeyman.worlds import AbstractSpace


@eqx.filter_jit
def gather(
    learner: Learner, state: LearnerState, episodes: Episodes, space: AbstractSpace
) -> tuple[LearnerState, Samples, dict[str, Array]]:
    """The steps that are asked for, what the collection makes of the round, and what to log."""
    assert isinstance(learner.collect, AbstractAggregation)
    weighed, samples = weigh(learner, state, episodes)
    asked = jnp.asarray(learner.collect.query(episodes)).reshape(-1)
    valid = jnp.where(asked, samples.valid, 0.0)
    share = valid.sum() / jnp.maximum(samples.valid.sum(), 1.0)
    collect, found = learner.collect.updated(state.collect, state.policy, episodes, space)
    after = LearnerState(state.policy, state.weight, state.step, collect)
    samples = eqx.tree_at(lambda s: s.valid, samples, valid)
    return after, samples, {**weighed.metrics, **found, "asked_share": share}


def renewed(learner: Learner, start: DensityPolicy, state: LearnerState, key: Array) -> LearnerState:
    """The learner with fresh weights in the form, the head and the statistics of `start`, and a step that begins."""
    policy = eqx.tree_at(lambda p: p.network, start, start.network.redrawn(key))
    return LearnerState(policy, state.weight, learner.step.init(partition(policy)[0]), state.collect)
