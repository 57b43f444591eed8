"""Returns and lengths of episodes that cross the borders of batches."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from journeyman.episodes import Episodes, HostOrDevice


class Finished(NamedTuple):
    """The return and the length of the episode that each step ends; without meaning where `ended` is false."""

    returns: Float[Array, "envs time"]
    lengths: Int[Array, "envs time"]
    ended: Bool[Array, "envs time"]

    def summary(self) -> dict[str, Array]:
        """`finished`, and the mean and deviation of the returns and the mean length of those episodes."""
        count = self.ended.sum().astype(jnp.int32)
        share = self.ended.astype(self.returns.dtype) / jnp.maximum(count, 1).astype(self.returns.dtype)
        mean = (share * self.returns).sum()
        return {
            "finished": count,
            "return": mean,
            "length": (share * self.lengths.astype(share.dtype)).sum(),
            "return_deviation": jnp.sqrt((share * jnp.square(self.returns - mean)).sum()),
        }


class Tally(eqx.Module):
    """What the unfinished episode of each environment has gathered: its return and its length, `(num_envs,)` each."""

    total: Float[Array, "*seeds envs"]
    length: Int[Array, "*seeds envs"]

    @classmethod
    def fresh(cls, num_envs: int) -> "Tally":
        """All environments at the start of an episode."""
        return cls(jnp.zeros(num_envs), jnp.zeros(num_envs, jnp.int32))

    def without(self, which: HostOrDevice) -> "Tally":
        """Nothing gathered where `which` marks an episode that was dropped."""
        return Tally(jnp.where(which, 0, self.total), jnp.where(which, 0, self.length))

    def count(self, episodes: Episodes) -> tuple["Tally", Finished]:
        """The tally after the batch, and the episodes that ended in it.

        A running sum that starts anew at each end: differences of one long sum would lose digits.
        """

        def step(gathered: tuple[Array, Array], now: tuple[Array, Array, Array]) -> tuple[tuple, tuple]:
            reward, valid, ended = now
            total = gathered[0] + jnp.where(valid, reward, 0)
            length = gathered[1] + valid.astype(jnp.int32)
            return (jnp.where(ended, 0, total), jnp.where(ended, 0, length)), (total, length)

        columns = (episodes.reward, episodes.valid, episodes.ended)
        reward, valid, ended = (jnp.moveaxis(jnp.asarray(column), -1, 0) for column in columns)
        reward = reward.astype(self.total.dtype)
        after, (returns, lengths) = jax.lax.scan(step, (self.total, self.length), (reward, valid, ended))
        return Tally(*after), Finished(returns.T, lengths.T, ended.T)


MOST_STARTS = 1024
"""Of each batch so many starts are looked at, the first."""


def starts(episodes: Episodes) -> dict[str, Int[Array, ""]]:
    """How many episodes began in the batch, at most `MOST_STARTS`, and how many different first observations they have.

    A world that resets truly shows about as many as began; one that keeps its first state shows 1. Observations are
    told apart by 32 bits: where 1,024 differ, 1,023 are counted in one batch of 8,000.
    """
    began = (jnp.asarray(episodes.valid) & (jnp.asarray(episodes.elapsed) == 0)).reshape(-1)
    # The first ones have the highest rank; a search or a running sum takes the compiler twice as long.
    rank = jnp.where(began, began.size - jnp.arange(began.size, dtype=jnp.float32), 0.0)
    there, places = jax.lax.top_k(rank, min(MOST_STARTS, began.size))
    shown = [jnp.asarray(leaf).reshape(began.size, -1)[places] for leaf in jax.tree.leaves(episodes.now)]
    names = _names(jnp.concatenate([_words(leaf) for leaf in shown], axis=1))
    names = jnp.sort(jnp.where(there > 0, names, names[0]))
    different = (names[1:] != names[:-1]).sum().astype(jnp.int32)
    count = (there > 0).sum().astype(jnp.int32)
    return {"starts": count, "distinct_starts": jnp.where(count > 0, 1 + different, 0)}


def _words(leaf: Array) -> Array:
    """The same rows as 32-bit words; −0 is 0."""
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        leaf = jnp.where(leaf == 0, jnp.zeros((), leaf.dtype), leaf)
        leaf = leaf.astype(jnp.float32) if leaf.dtype.itemsize < 4 else leaf
    elif leaf.dtype.itemsize < 4:
        leaf = leaf.astype(jnp.int32)
    return jax.lax.bitcast_convert_type(leaf, jnp.uint32).reshape(len(leaf), -1)


def _names(words: Array) -> Array:
    """A number for each row: its words, each mixed with its place (the finaliser of MurmurHash3), added up."""
    words = words ^ (jnp.arange(1, words.shape[1] + 1, dtype=jnp.uint32) * np.uint32(0x9E3779B9))[None]
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        words = (words ^ (words >> np.uint32(shift))) * np.uint32(factor)
    return (words ^ (words >> np.uint32(16))).sum(axis=1, dtype=jnp.uint32)
