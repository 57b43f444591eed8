"""A committee: policies beside the learner's, fitted to the same data, so that one can see where they differ."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.collect import AbstractAggregation
from journeyman.objectives import Samples
from journeyman.policies import DensityPolicy, partition
from journeyman.training._iteration import stack
from journeyman.training._learner import Learner, descend

_POISSON = np.cumsum(np.exp(-1.0) / np.cumprod([1, *range(1, 12)]))
"""P(count ≤ 0, 1, 2, …) of a Poisson(1) number; what lies beyond is 3e-10."""


class Committee(eqx.Module):
    """The members' policies and the states of their steps; every array leads with the members."""

    policies: DensityPolicy
    step: PyTree


def convened(learner: Learner, start: DensityPolicy, key: Array) -> PyTree:
    """The committee that the learner's query wants, in the form, the head and the statistics of `start`.

    Each member's weights are drawn by themselves, and it has learned nothing. `()` where none is wanted.
    """
    assert isinstance(learner.collect, AbstractAggregation)
    count = learner.collect.query.seats().members
    if not count:
        return ()
    keys = jax.random.split(key, count)
    policies = [eqx.tree_at(lambda p: p.network, start, start.network.redrawn(one)) for one in keys]
    return Committee(stack(policies), stack([learner.step.init(partition(one)[0]) for one in policies]))


@eqx.filter_jit
def taught(
    learner: Learner, committee: Committee, samples: Samples, resample: Array, key: Array
) -> tuple[Committee, Array]:
    """Every member after `descend` on its own resample of the samples, and the first bad leaf of any (−1: all good).

    A member sees a sample as often as a bootstrap would, a Poisson(1) number of times, drawn from `resample` by the
    sample's place alone: in every round the same, and what is added later changes nothing before it.
    """
    members = len(jax.tree.leaves(partition(committee.policies)[0])[0])
    draws = jax.vmap(lambda one: jax.random.uniform(one, samples.weight.shape))(jax.random.split(resample, members))
    counts = jnp.searchsorted(jnp.asarray(_POISSON, draws.dtype), draws).astype(samples.weight.dtype)

    def one(member: Committee, counts: Array, key: Array) -> tuple[Committee, Array]:
        own = dataclasses.replace(samples, weight=samples.weight * counts)
        done = descend(learner, member.policies, member.step, own, key)
        return Committee(done.policy, done.step), done.metrics["bad_leaf"]

    mapped = eqx.filter_vmap(one, in_axes=(eqx.if_array(0), 0, 0))
    after, bad = mapped(committee, counts, jax.random.split(key, members))
    return after, bad.max()
