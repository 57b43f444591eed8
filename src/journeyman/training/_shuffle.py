"""Samples in random order."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from journeyman.episodes import HostOrDevice
from journeyman.objectives import Samples


def mixed(samples: Samples, size: int, key: Array) -> Samples:
    """The samples in random order, the valid first, filled up to whole minibatches with some that do not count.

    Gathered once a pass: picking each minibatch's rows in its step costs more than all the small operations there.
    """
    order = shuffled(samples.valid, key)
    order = jnp.pad(order, (0, -len(order) % size))
    taken = samples.take(order)
    inside = jnp.arange(len(order)) < samples.valid.sum().astype(int)
    return eqx.tree_at(lambda s: s.valid, taken, jnp.where(inside, taken.valid, 0.0))


def shuffled(valid: HostOrDevice, key: Array) -> Array:
    """The places of the valid samples in random order, then those of the others.

    Sorting bare integers is four times as fast as sorting places by a key, so draw and place share one integer. Where
    that leaves fewer random bits than a place has, a second round on the order of the first gives as many again; else
    a sample shares its draw with less than one other, on average, and such two keep their order.
    """
    count = valid.shape[0]
    bits = max((count - 1).bit_length(), 1)
    place, last = jnp.arange(count, dtype=jnp.uint32), jnp.uint32(2**31)
    order = place
    for part in jax.random.bits(key, (1 if 2 * bits < 32 else 2, count), jnp.uint32):
        draw = jnp.where(valid[order] > 0, jnp.uint32(0), last) | (part >> (bits + 1) << bits) | place
        order = order[jnp.sort(draw) & jnp.uint32(2**bits - 1)]
    return order.astype(jnp.int32)
