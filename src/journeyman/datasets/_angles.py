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
            found += [offset + int(column) for column in np.flatnonzero(_wraps(now, after))]
        offset += now.shape[1]
    return found


def _wraps(now: np.ndarray, after: np.ndarray) -> np.ndarray:
    turn, slack = 2 * np.pi, 1e-3
    low = np.minimum(now.min(axis=0), after.min(axis=0))
    high = np.maximum(now.max(axis=0), after.max(axis=0))
    positive = (low >= -slack) & (high <= turn + slack)
    centred = (low >= -np.pi - slack) & (high <= np.pi + slack)
    move = after.astype(np.float64) - now
    jumps = np.abs(move) > turn - 1
    unwound = np.abs(move - turn * np.sign(move) * jumps)
    return (positive | centred) & jumps.any(axis=0) & ((unwound > 1).mean(axis=0) <= 0.01)
