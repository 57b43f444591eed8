"""Options of looking through demonstrations, and of writing them in another format."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class LintSettings:
    """Say on one page what is in a file of demonstrations and what is wrong with it. 0: nothing; 1: something."""

    data: Path
    """An npz, HDF5 or CSV file, a folder of Minari's, LeRobot's or `imitation`'s, or the id of a Minari data set."""
    world: str | None = None
    """The world it was recorded in, to hold it against: shapes, bounds, rows, ends, and whether the task is solved."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class ConvertSettings:
    """Read demonstrations in one format and write them in another; the name of the result says which."""

    data: Path
    """An npz, HDF5 or CSV file, a folder of Minari's, LeRobot's or `imitation`'s, or the id of a Minari data set."""
    out: Path
    """NAME.npz, NAME.h5, NAME.csv, or NAME-v0 for a Minari folder."""
    lossy: bool = False
    """Write also what the format cannot hold whole; without it, that is refused with what would be lost."""
    overwrite: bool = False
    """Replace what stands there already."""
