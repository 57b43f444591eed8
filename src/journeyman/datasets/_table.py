"""One door for every format: which one a path is, and its arrays under the names that they have in the file."""

import contextlib
import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.datasets._column import AbstractColumn
from journeyman.parts import JourneymanError, did_you_mean

MARKER = "journeyman_episodes"
"""The name of the header in a file that `write` made."""

SUFFIXES = {".npz": "npz", ".h5": "HDF5", ".hdf5": "HDF5", ".csv": "CSV"}
READ = {**SUFFIXES, ".tsv": "CSV", ".txt": "CSV"}
"""What a name says of the content; those of `SUFFIXES` are written too."""
DATASET_ID = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d+")
"""How Minari names a data set: `namespace/name-v0`."""


@dataclasses.dataclass
class Table:
    """What a file offers: flat arrays of all steps under the file's own names, not read yet.

    `format` is "npz", "HDF5", "CSV", "Minari", "LeRobot", "imitation" or "LASA"; `header` is that of the library's own
    file, `None` in any other; `notes` say what was assumed to get here; `where` is the folder of a data set that was
    given by its id; `blank` says of each array of a CSV file where its cells are blank (nan in the array), `None` where
    nowhere.
    """

    format: str
    arrays: Mapping[str, AbstractColumn]
    header: str | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    where: Path | None = None
    blank: Mapping[str, np.ndarray | None] = dataclasses.field(default_factory=dict)

    def whole(self) -> dict[str, np.ndarray]:
        """Every array, read or mapped."""
        return {name: column.whole() for name, column in self.arrays.items()}


def locate(path: Path) -> Path:
    """Where the data set lies whose Minari id `path` is, downloaded where it is not there yet; any other path itself.

    Raises `JourneymanError` where it cannot be had.
    """
    from journeyman.datasets import _minari

    if path.exists() or not DATASET_ID.fullmatch(path.as_posix()):
        return path
    return _minari.find(path.as_posix())[0]


@contextlib.contextmanager
def open_table(path: Path, *, blank: Collection[str] = ()) -> Iterator[Table]:
    """The table of the file (or Minari folder, or Minari id) at `path`; its columns can be read inside the block.

    The content decides before the name does: an HDF5 file that is called `demos.npz` is read as what it is, and
    noted. In CSV the cells of the columns `blank` may be blank. Raises `JourneymanError` for a path that cannot be read
    and a file that is of no known kind or cut short.
    """
    with contextlib.ExitStack() as stack:
        try:
            yield _open(path, stack, blank)
        except MemoryError as error:
            raise JourneymanError(
                f"'{path}' needs more memory than there is ({error}); keep fewer episodes of it, or `lint` it, which"
                " holds one piece at a time."
            ) from error
        except OSError as error:
            raise JourneymanError(
                f"'{path}' cannot be read ({error.strerror or error}); check its permissions and that it is whole."
            ) from error


def _open(path: Path, stack: contextlib.ExitStack, blank: Collection[str]) -> Table:
    from journeyman.datasets import _csv, _hdf5, _lasa, _minari, _npz

    if not path.exists():
        if path.name.startswith(_lasa.PREFIX):
            return _lasa.open_shape(path.name)
        if DATASET_ID.fullmatch(path.as_posix()):
            return _minari.open_id(path.as_posix(), stack)
        raise _no_file(path)
    if path.is_dir():
        return _open_folder(path, stack)
    named = READ.get(path.suffix.lower())
    with path.open("rb") as file:
        start = file.read(8)
    if packed := next((name for magic, name in _PACKED.items() if start.startswith(magic)), None):
        raise JourneymanError(f"'{path}' is compressed by {packed}; unpack it first, and give the file that was in it.")
    kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None) or named or "npz"
    open_csv = partial(_csv.open_csv, blank=blank)
    opened: Any = {"npz": _npz.open_npz, "HDF5": _hdf5.open_hdf5, "CSV": open_csv}[kind]
    table = opened(path, stack)
    if named not in (None, kind):
        table.notes.append(f"'{path.name}' is {kind} by its content and was read as that; rename it to say so.")
    return table


def _open_folder(path: Path, stack: contextlib.ExitStack) -> Table:
    from journeyman.datasets import _lerobot, _minari, _trajectories

    if (path / _lerobot.INFO).is_file():
        return _lerobot.open_lerobot(path)
    if (path / _trajectories.STATE).is_file():
        return _trajectories.open_trajectories(path)
    return _minari.open_folder(path, stack)


_MAGIC = {b"PK\x03\x04": "npz", b"PK\x05\x06": "npz", b"\x93NUMPY": "npz", b"\x89HDF\r\n\x1a\n": "HDF5"}

_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "Zstandard"}


def _no_file(path: Path) -> JourneymanError:
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    near = [other.name for other in there if other.suffix.lower() in READ]
    return JourneymanError(f"There is no file '{path}'.{did_you_mean(path.name, near)} Check the path.")
