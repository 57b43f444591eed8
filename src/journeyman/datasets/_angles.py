"""Observation columns that are angles and wrap: a jump of 2π where nothing jumped."""

import jax
import numpy as np

from journeyman.episodes import Episodes


def wrapping_columns(episodes: Episodes) -> list[int]:
    """The columns of the observation that look like an angle in radians that wraps.

    A column counts when it stays within [0, 2π] or [−π, π], jumps at least once by nearly 2π (more than 2π − 1)
    from an observation to its successor, and otherwise moves smoothly: with the wrap undone, at most one step in
    a hundred exceeds 1 rad. Columns are numbered along the concatenation of all leaves, each flattened, in the
    order of `jax.tree.leaves` (for a plain vector: its index). Pictures and integers are never angles.

    >>> turning = np.linspace(0, 20, 101, dtype=np.float32) % (2 * np.pi)
    >>> wrapping_columns(Episodes.episode(np.stack([turning, np.sin(turning)], 1), np.zeros((100, 1))))
    [0]
    """
    valid = np.asarray(episodes.valid)
    found, offset = [], 0
    pairs = zip(jax.tree.leaves(episodes.now), jax.tree.leaves(episodes.next), strict=True)
    for now, after in pairs:
        now = np.asarray(now)[valid]
        now, after = now.reshape(len(now), -1), np.asarray(after)[valid].reshape(len(now), -1)
        if now.dtype.kind == "f" and len(now):
            turning = Turning(now.shape[1])
            turning.add(now, after)
            found += [offset + int(column) for column in np.flatnonzero(turning.wraps())]
        offset += now.shape[1]
    return found


class Turning:
    """Adds up, piece by piece, what tells whether columns are angles that wrap (see `wrapping_columns`)."""

    def __init__(self, columns: int):
        self._low, self._high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._jumps, self._far, self._steps = np.zeros(columns, int), np.zeros(columns, int), 0

    def add(self, now: np.ndarray, after: np.ndarray) -> None:
        """Steps from `now` to `after`, both `(steps, columns)`."""
        if not len(now):
            return
        self._low = np.minimum(self._low, np.minimum(now.min(axis=0), after.min(axis=0)))
        self._high = np.maximum(self._high, np.maximum(now.max(axis=0), after.max(axis=0)))
        move = after.astype(np.float64) - now
        jumps = np.abs(move) > 2 * np.pi - 1
        unwound = np.abs(move - 2 * np.pi * np.sign(move) * jumps)
        self._jumps += jumps.sum(axis=0)
        self._far += (unwound > 1).sum(axis=0)
        self._steps += len(now)

    def wraps(self) -> np.ndarray:
        """Whether each column does, `(columns,)`."""
        turn, slack = 2 * np.pi, 1e-3
        positive = (self._low >= -slack) & (self._high <= turn + slack)
        centred = (self._low >= -np.pi - slack) & (self._high <= np.pi + slack)
        return (positive | centred) & (self._jumps > 0) & (self._far <= 0.01 * self._steps)
