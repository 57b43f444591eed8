"""`Episodes` to a file: one door for every format; a file appears whole, and nothing is overwritten unasked."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.datasets._flat import flat, losses, write_csv, write_minari
from journeyman.datasets._hdf5 import new_file
from journeyman.datasets._streams import streams
from journeyman.datasets._table import DATASET_ID, MARKER, SUFFIXES, open_table
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, refuse
from journeyman.policies._files import whole_file, whole_folder


def write(
    episodes: Episodes,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compress: bool = True,
    lossy: bool = False,
) -> Path:
    """Write `episodes` to `path` in the format that its name asks for, and return the path.

    `.npz` (also a name without suffix), `.h5` and `.hdf5`: the library's own file. Every field comes back bit for bit,
    and with it the fingerprint. Observations are stored as streams, T+1 for T steps, so no last observation is lost.
    Nothing is pickled. With `compress=False` the arrays lie there as they are, so that large ones are mapped.

    `.csv`: one row a step with `next_observation` beside `observation`. A name such as `demos-v0`: a Minari folder,
    what Minari has no place for as infos. Both hold whole episodes one after another, float32 vectors (Minari:
    pictures too) and one whole number a step for choices; how episodes were packed into streams is not kept.

    The file appears whole or not at all. Raises `JourneymanError` when it exists and `overwrite` is false, when its
    folder does not exist, when the name has any other suffix, when an observation is built from anything but arrays,
    dictionaries and tuples, and when the format cannot hold something, each such thing named; with `lossy` it is
    written without it.
    """
    return store(episodes, Path(path), flat, overwrite=overwrite, compress=compress, lossy=lossy)


def store(
    episodes: Episodes,
    path: Path,
    columns: Callable[[Episodes], list[dict[str, Any]]],
    *,
    overwrite: bool,
    compress: bool = True,
    lossy: bool = False,
) -> Path:
    """`write`, where `columns` says what the columns of each episode are in the formats that keep rows."""
    kind = format_of(path)
    _may_write(path, overwrite, folder=kind == "Minari")
    if kind in ("npz", "HDF5"):
        header, arrays = streams(episodes)
        keep = _npz if kind == "npz" else _hdf5

        def kept(temporary: Path) -> None:
            keep(temporary, header, arrays, compress)
            _require_kept(temporary, arrays, kind)

        _publish(path, overwrite, kept)
        return path
    hard, soft = losses(episodes, kind)
    refuse(hard + ([] if lossy else [f"{one} Or pass lossy=True to write without that." for one in soft]))
    table = columns(episodes)
    if kind == "CSV":
        _publish(path, overwrite, lambda temporary: write_csv(temporary, table))
    else:
        with whole_folder(path, replace=overwrite) as hidden:
            write_minari(hidden, path.name, table)
    return path


def format_of(path: Path) -> str:
    """`npz`, `HDF5`, `CSV` or `Minari`: what `write` makes of a path of this name."""
    minari = not path.suffix and DATASET_ID.fullmatch(path.name) is not None
    if path.suffix and path.suffix.lower() not in SUFFIXES:
        raise JourneymanError(
            f"'{path.name}' asks for a format that is not written here; end the name in {', '.join(SUFFIXES)}, in -v0"
            " for a Minari folder, or in nothing for npz."
        )
    return "Minari" if minari else SUFFIXES.get(path.suffix.lower(), "npz")


def _npz(file: Path, header: str, arrays: dict[str, np.ndarray], compress: bool) -> None:
    with file.open("wb") as stream:
        save = np.savez_compressed if compress else np.savez
        save(stream, **{MARKER: np.asarray(header)}, **arrays)  # type: ignore[arg-type]


def _hdf5(file: Path, header: str, arrays: dict[str, np.ndarray], compress: bool) -> None:
    with new_file(file) as made:
        made[MARKER] = header
        for name, array in arrays.items():
            packed = compress and array.ndim > 0 and array.size > 0
            try:
                made.create_dataset(name, data=array, compression="gzip" if packed else None)
            except (TypeError, ValueError) as error:
                raise _not_kept(name, array, "HDF5") from error


def _require_kept(file: Path, arrays: dict[str, np.ndarray], kind: str) -> None:
    """Refuse what the format does not give back under its name, in its shape and with its dtype."""
    with open_table(file) as table:
        for name, array in arrays.items():
            found = table.arrays.get(name)
            if found is None or (found.shape, found.dtype) != (array.shape, array.dtype):
                raise _not_kept(name, array, kind)


def _not_kept(name: str, array: np.ndarray, kind: str) -> JourneymanError:
    return JourneymanError(
        f"{kind} cannot keep {name!r}, an array of {array.dtype}, as it is; rename its key if that is no plain word, or"
        " convert its numbers, such as to float32."
    )


def _publish(path: Path, overwrite: bool, store: Callable[[Path], Any]) -> None:
    with whole_file(path) as hidden:
        store(hidden)
        _may_write(path, overwrite)  # while this was written something may have come there


def _may_write(path: Path, overwrite: bool, *, folder: bool = False) -> None:
    if folder and path.is_dir() and overwrite and not (path / "data" / "metadata.json").is_file():
        raise JourneymanError(f"'{path}' is a folder and no Minari data set, so it is kept; choose another path.")
    if path.is_dir() and not folder:
        raise JourneymanError(f"'{path}' is a folder; name a file inside it.")
    if path.exists() and not overwrite:
        raise JourneymanError(
            f"'{path}' exists already; choose another path, or allow it to be replaced (--overwrite, in Python"
            " overwrite=True)."
        )
    if not path.parent.is_dir():
        raise JourneymanError(f"The folder '{path.parent}' does not exist; create it first.")
