"""What one trajectory says about the gradient: whole episodes as rows, and one gradient a row."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from journeyman.diagnose._by_step import places
from journeyman.episodes import Episodes
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import AbstractDensityPolicy, partition

_PER_EPISODE = WeightedLogLikelihood("episodes")


def trajectories(episodes: Episodes) -> Episodes:
    """The same episodes with a row for each, in order, padded with invalid steps to the longest (host).

    Unfinished episodes have a row too. Raises `JourneymanError` where no step is valid.
    """
    if not episodes.num_steps:
        raise JourneymanError("There is no trajectory: no step is valid; play or record at least one episode.")
    valid = np.asarray(episodes.valid)
    axes, flat = valid.ndim, valid.reshape(-1, valid.shape[-1])
    row, time = np.nonzero(flat)
    episode, elapsed, count = places(episodes)
    first = elapsed[np.searchsorted(episode, np.arange(count))]
    step = elapsed - first[episode]
    longest = int(step.max()) + 1

    def spread(leaf: np.ndarray, more: int = 0) -> np.ndarray:
        leaf = np.asarray(leaf).reshape(len(flat), -1, *leaf.shape[axes:])
        room = np.zeros((count, longest + more, *leaf.shape[2:]), leaf.dtype)
        room[episode, step] = leaf[row, time]
        if more:  # the successor of the last step; the others are written again as they are
            room[episode, step + 1] = leaf[row, time + 1]
        return room

    fields = {
        name: jax.tree.map(lambda leaf, m=int(name == "observation"): spread(leaf, m), getattr(episodes, name))
        for name in Episodes.__dataclass_fields__
    }
    return Episodes(**fields)


def without_horizon(episodes: Episodes) -> Episodes:
    """The same with every truncation told as a termination: what a finite horizon cuts off is worth nothing."""
    ends = (np.asarray(episodes.ended), np.zeros_like(episodes.truncated))
    return eqx.tree_at(lambda e: (e.terminated, e.truncated), episodes, ends)


@eqx.filter_jit
def gradients(
    policy: AbstractDensityPolicy, rows: Episodes, weights: Float[Array, "weights rows time"]
) -> Float[Array, "weights rows parameters"]:
    """Σ_t w_t ∇log π(target_t | observation_t) of each row under each weight, flat like the trained leaves.

    The policy runs once a row; only the backward pass is repeated for each weight.
    """

    def one(row: Episodes, weight: Array) -> Array:
        return -ravel_pytree(_PER_EPISODE.gradient(policy, Samples.of(row, weight))[1])[0]

    return jax.vmap(jax.vmap(one), in_axes=(None, 0))(rows, weights)


def trajectory_gradients(
    policy: AbstractDensityPolicy, rows: Episodes, weights: Float[Array, "weights rows time"], *, chunk: int = 64
) -> Iterator[tuple[slice, Float[Array, "weights some parameters"]]]:
    """`gradients`, `chunk` rows at a time: `(which rows, their gradients)`.

    At most `chunk` × weights × parameters numbers are held at once. All chunks have one shape (the last is filled up
    and cut), so that there is one compilation.
    """
    count = rows.valid.shape[0]
    chunk = min(chunk, count)
    for start in range(0, count, chunk):
        stop = min(start + chunk, count)
        index = np.minimum(np.arange(start, start + chunk), count - 1)
        some = jax.tree.map(lambda leaf, i=index: jnp.asarray(leaf[i]), rows)
        yield slice(start, stop), gradients(policy, some, jnp.asarray(weights[:, index]))[:, : stop - start]


def unflattened(policy: AbstractDensityPolicy, flat: np.ndarray) -> AbstractDensityPolicy:
    """A flat vector as a tree like the trained leaves of `policy`."""
    return ravel_pytree(partition(policy)[0])[1](jnp.asarray(flat, jnp.result_type(float)))
