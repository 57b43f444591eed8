"""Steps that belong to no episode, as streams: each a piece of one step, with a reset step after it."""

import math
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from journeyman.episodes import SYNTHETIC, Episodes


def pieces(
    now: PyTree, action: Any, following: PyTree, elapsed: np.ndarray, *, time: int, target: Any = None
) -> Episodes:
    """Streams of at most `time` steps that hold `(count, …)` single steps, in order, each cut after itself.

    Long streams keep `concatenate` cheap: it pads every stream to the longest. `elapsed` is at least 1, so that no
    piece passes for an episode of its own when returns or starts are counted.
    """
    count = len(elapsed)
    each = min(max((time + 1) // 2, 1), count)
    rows = math.ceil(count / each)
    length = 2 * each - 1
    place = np.minimum(np.arange(rows * each), count - 1)

    def spread(leaf: Any, after: Any) -> np.ndarray:
        """a₀ b₀ a₁ b₁ …: every other one starts a step."""
        both = np.stack([np.asarray(leaf)[place], np.asarray(after)[place]], axis=1)
        return both.reshape(rows, 2 * each, *both.shape[2:])

    actual = (np.arange(rows * each) < count).reshape(rows, each)
    valid = np.stack([actual, np.zeros_like(actual)], axis=2).reshape(rows, 2 * each)[:, :length]
    step = lambda leaf: spread(leaf, leaf)[:, :length]  # noqa: E731
    return Episodes(
        observation=jax.tree.map(spread, now, following),
        action=jax.tree.map(step, action),
        target=jax.tree.map(step, action if target is None else target),
        reward=np.zeros(valid.shape, np.float32),
        log_prob=np.full(valid.shape, np.nan, np.float32),
        terminated=np.zeros(valid.shape, bool),
        truncated=valid.copy(),
        valid=valid,
        elapsed=np.maximum(step(np.asarray(elapsed, np.int32)), 1),
        source=np.full(valid.shape, SYNTHETIC, np.int8),
    )
