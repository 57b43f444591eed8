"""Returns and lengths of episodes that cross the borders of batches."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
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
