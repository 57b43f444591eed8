"""The LASA handwriting data under the names of its shapes: seven strokes that a person drew, as demonstrations."""

import numpy as np

from journeyman.datasets._column import AbstractColumn, Held
from journeyman.datasets._table import Table
from journeyman.episodes import HUMAN
from journeyman.worlds import lasa_strokes

PREFIX = "lasa:"


def open_shape(name: str) -> Table:
    """The strokes of `lasa:SHAPE` as columns, in the units and with the rewards and ends of `worlds.Handwriting`.

    Raises `JourneymanError` where `worlds.lasa_strokes` does.
    """
    strokes = lasa_strokes(name.removeprefix(PREFIX))
    ends = np.cumsum([len(path) - 1 for path in strokes.paths])
    steps = int(ends[-1])
    last = np.isin(np.arange(1, steps + 1), ends)
    velocity = np.concatenate([np.diff(path, axis=0) for path in strokes.paths]) / strokes.tick
    columns = {
        "observation": np.concatenate(strokes.paths).astype(np.float32),
        "action": velocity.astype(np.float32),
        "reward": last.astype(np.float32),
        "terminated": last,
        "truncated": np.zeros(steps, bool),
        "episode_end": ends,
        "source": np.full(steps, HUMAN),
    }
    arrays: dict[str, AbstractColumn] = {key: Held(column) for key, column in columns.items()}
    note = f"A step takes {strokes.tick:.4g} s; what follows the arrival at the goal is left out."
    return Table("LASA", arrays, notes=[note])
