"""Where episodes of unequal length stand: a row for each, or one after another where that would be mostly padding."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import PyTree

from journeyman.episodes import Episodes, concatenate

ROOM = 4
"""Episodes have a row each as long as those rows hold at most so many times as many steps as the episodes do."""


def placed(lengths: np.ndarray, closed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In which row and at which step of it each episode of `lengths` steps begins; rows are as long as the longest.

    One row each, unless more than `ROOM` times their steps would be held. Then they follow one another in their order,
    with a reset step between them, and a new row begins where the next one does not fit or the one before is not
    `closed` by an end, which alone would tell the two apart.

    >>> placed(np.asarray([9, 1, 1, 1, 1, 1, 1]), np.ones(7, bool))
    (array([0, 1, 1, 1, 1, 1, 2]), array([0, 0, 2, 4, 6, 8, 0]))
    """
    longest, count = int(lengths.max()), len(lengths)
    if count * longest <= ROOM * int(lengths.sum()):
        return np.arange(count), np.zeros(count, np.int64)
    row, begin, at, free = np.zeros(count, np.int64), np.zeros(count, np.int64), 0, 0
    for episode, (length, ends) in enumerate(zip(lengths.tolist(), closed.tolist(), strict=True)):
        if free + length > longest:
            at, free = at + 1, 0
        row[episode], begin[episode] = at, free
        free = free + length + 1 if ends else longest
    return row, begin


def packed(episodes: Sequence[Episodes]) -> Episodes:
    """Episodes, each a stream of its own (as from `Episodes.unpack`), in the rows of `placed`, in their order."""
    lengths = np.asarray([len(one.valid) for one in episodes])
    row, _ = placed(lengths, np.asarray([bool(one.ended[-1]) for one in episodes]))
    first = np.flatnonzero(np.diff(row, prepend=-1)).tolist()
    return concatenate([_joined(episodes[a:b]) for a, b in zip(first, [*first[1:], len(row)], strict=True)])


def _joined(parts: Sequence[Episodes]) -> Episodes:
    """One stream of several that end, with a reset step after each but the last."""
    if len(parts) == 1:
        return parts[0]
    followed = [*(part.pad(len(part.valid) + 1) for part in parts[:-1]), parts[-1]]
    fields = {
        # T+1 observations for T steps already hold the one in which the reset step begins
        name: _stacked([getattr(part, name) for part in (parts if name == "observation" else followed)])
        for name in Episodes.__dataclass_fields__
    }
    return Episodes(**fields)


def _stacked(trees: Sequence[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *trees)
