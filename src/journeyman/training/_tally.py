"""Returns and lengths of episodes that cross the borders of batches."""

import equinox as eqx
import numpy as np

from journeyman.episodes import Episodes


class Tally(eqx.Module):
    """What the unfinished episode of each environment has gathered: its return and its length, `(num_envs,)` each."""

    total: np.ndarray
    length: np.ndarray

    @classmethod
    def fresh(cls, num_envs: int) -> "Tally":
        """All environments at the start of an episode."""
        return cls(np.zeros(num_envs), np.zeros(num_envs, np.int64))

    def count(self, episodes: Episodes) -> tuple["Tally", np.ndarray, np.ndarray]:
        """The tally after the batch, and the returns and lengths of the episodes that ended in it."""
        valid, ended = np.asarray(episodes.valid), np.asarray(episodes.ended)
        gathered = np.cumsum(np.asarray(episodes.reward, np.float64) * valid, axis=1) + self.total[:, None]
        steps = np.cumsum(valid, axis=1) + self.length[:, None]
        rows, times = np.nonzero(ended)
        returns, lengths = gathered[rows, times], steps[rows, times]
        # Each episode's own share is the difference to the one that ended before it in the same environment.
        again = np.flatnonzero(rows[1:] == rows[:-1]) + 1
        own_returns, own_lengths = returns.copy(), lengths.copy()
        own_returns[again] -= returns[again - 1]
        own_lengths[again] -= lengths[again - 1]
        total, length = gathered[:, -1].copy(), steps[:, -1].copy()
        np.subtract.at(total, rows, own_returns)
        np.subtract.at(length, rows, own_lengths)
        return Tally(total, length), own_returns, own_lengths
