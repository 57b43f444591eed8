"""HDF5: flat arrays (D4RL), a group for each episode (robomimic, Minari), and the library's own file."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.datasets._column import MAPPED, AbstractColumn, Held, Joined, Read, Unread, mapped
from journeyman.datasets._episodes_apart import require_rows
from journeyman.datasets._open import listed, names_read
from journeyman.datasets._table import MARKER, Table
from journeyman.parts import JourneymanError, refuse, require

_NUMBERED = {"robomimic": re.compile(r"demo_(\d+)"), "Minari": re.compile(r"episode_(\d+)")}

# robomimic keeps simulator states beside the observations, and both could be called one.
_RENAMED = {"obs": "observation", "next_obs": "next_observation"}

OWN = ("target_action", "log_prob", "elapsed", "source")
"""What `write` puts beside Minari's own columns, as infos."""


def open_hdf5(path: Path, stack: contextlib.ExitStack) -> Table:
    """The table of the HDF5 file at `path`: datasets under their paths, episodes in groups below one another.

    Raises `JourneymanError` for a file that is no HDF5 or is cut short, and for episodes that are not built alike.
    """
    h5py = require("h5py", extra="hdf5")
    try:
        file = stack.enter_context(h5py.File(path, "r"))
    except OSError as error:
        raise JourneymanError(
            f"'{path}' is not an HDF5 file, or only the beginning of one ({path.stat().st_size:,} bytes); copy it"
            " again."
        ) from error
    with _sound(path):
        return _open(path, file, h5py)


@contextlib.contextmanager
def new_file(path: Path, **options: Any) -> Iterator[Any]:
    """An HDF5 file to fill, built in memory and written to `path` at the end: on a full disk HDF5 ends the process."""
    h5py = require("h5py", extra="hdf5")
    built = io.BytesIO()
    with h5py.File(built, "w", **options) as file:
        yield file
    path.write_bytes(built.getbuffer())


@contextlib.contextmanager
def _sound(path: Path) -> Iterator[None]:
    """What HDF5 raises over bytes that it cannot make sense of, as a sentence."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, TypeError, OSError) as error:
        said = str(error).strip("'\"").rstrip(".")
        raise JourneymanError(f"{path.name} is damaged or cut short ({said}); copy the file again.") from error


def _open(path: Path, file: Any, h5py: Any) -> Table:
    if MARKER in file:
        arrays = {name: _column(path, dataset) for name, dataset in _datasets(file) if name != MARKER}
        return Table("HDF5", arrays, file[MARKER].asstr()[()])
    inside = file["data"] if "data" in file and isinstance(file["data"], h5py.Group) else file
    for kind, pattern in _NUMBERED.items():
        names = sorted(filter(pattern.fullmatch, inside), key=lambda name: int(name.rpartition("_")[2]))
        if names:
            _once(path, names)
            left = [name for name in inside if name not in names and "actions" in _keys(inside.get(name))]
            notes = [f"Not read: {listed(left)}, for episodes are called as '{names[0]}' is."] if left else []
            return Table("HDF5", _join(path, {n: inside[n] for n in names}, last_rows=kind == "Minari"), notes=notes)
    return Table("HDF5", {name: _column(path, dataset) for name, dataset in _datasets(file)})


def _datasets(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in group.items():
        if item is None:
            raise KeyError(f"'{prefix}{name}' leads to nothing")
        if hasattr(item, "items"):
            yield from _datasets(item, f"{prefix}{name}/")
        elif getattr(item, "shape", None) is not None:  # else a type, or a place without an array
            yield prefix + name, item


def _keys(item: Any) -> tuple[str, ...]:
    return tuple(item) if hasattr(item, "items") else ()


def _once(path: Path, names: list[str]) -> None:
    """Refuse two episodes of one number, which are in no order."""
    numbers = [int(name.rpartition("_")[2]) for name in names]
    refuse(
        [
            f"{path.name}: '{one}' and '{other}' have the same number; rename or remove one of them."
            for one, other, a, b in zip(names, names[1:], numbers, numbers[1:], strict=False)
            if a == b
        ][:5]
    )


def _column(path: Path, dataset: Any, stop: int | None = None) -> AbstractColumn:
    """`dataset`, or its first `stop` rows."""
    shape = dataset.shape if stop is None else (min(stop, dataset.shape[0]), *dataset.shape[1:])

    def rows(first: int, last: int) -> np.ndarray:
        with _sound(path):
            return dataset[first : min(last, shape[0])]

    def whole() -> np.ndarray:
        with _sound(path):
            offset = dataset.id.get_offset()  # None where it is compressed or in chunks
            if offset is not None and dataset.nbytes >= MAPPED and not dataset.dtype.hasobject:
                return mapped(path, offset, shape, dataset.dtype)
            return np.asarray(dataset[: shape[0]] if shape else dataset[()])

    return Read(shape, dataset.dtype, rows, whole)


def _join(path: Path, episodes: dict[str, Any], *, last_rows: bool) -> dict[str, AbstractColumn]:
    """The columns of all episodes, and where each ends. `last_rows`: what belongs to steps has one row too many."""
    refuse(
        [
            f"{path.name}: '{name}' is an array of shape {group.shape}, where an episode is a group of arrays"
            " ('actions', …); put it into a group of that name, or rename it."
            for name, group in episodes.items()
            if not hasattr(group, "items")
        ]
    )
    inside = {name: dict(_datasets(group)) for name, group in episodes.items()}
    keys = dict.fromkeys(key for datasets in inside.values() for key in datasets)
    names = {key: _name(key, last_rows) for key in keys}
    read = names_read(names.values())
    _alike(path, inside, {key for key, name in names.items() if name in read})
    counts = [len(datasets["actions"]) for datasets in inside.values()]
    found: dict[str, AbstractColumn] = {"episode_end": Held(np.cumsum(counts))}
    rows = {}
    for key, name in names.items():
        if name not in read:
            found[name] = Unread()
        elif all(datasets[key].ndim for datasets in inside.values()):
            own = last_rows and key != name and name in OWN
            parts = [
                _column(path, datasets[key], count if own else None)
                for datasets, count in zip(inside.values(), counts, strict=True)
            ]
            found[name], rows[key] = Joined(parts), [len(part) for part in parts]
    require_rows(path.name, list(episodes), counts, rows)
    return found


def _name(key: str, last_rows: bool) -> str:
    """Under which name a dataset of an episode is looked for."""
    head, _, rest = key.partition("/")
    if last_rows and head == "infos" and rest in OWN:
        return rest
    return _RENAMED.get(head, head) + (f"/{rest}" if rest else "")


def _alike(path: Path, inside: dict[str, dict[str, Any]], read: set[str]) -> None:
    """Refuse episodes that lack what another one has of the datasets that are `read`, and shapes that differ."""
    first, wanted = next(iter(inside.items()))
    found = []
    if "actions" not in wanted:
        there = ", ".join(f"'{key}'" for key in wanted) or "nothing"
        found.append(
            f"{path.name}: '{first}' has no 'actions'; it holds {there}. Write one array 'actions' an episode."
        )
    for name, datasets in inside.items():
        if "actions" in datasets and not sum(datasets["actions"].shape[:1]):
            found.append(
                f"{path.name}: '{name}' has no steps ('actions' has shape {datasets['actions'].shape}); leave it out."
            )
        odd = sorted((set(datasets) ^ set(wanted)) & read)
        if odd:
            found.append(
                f"{path.name}: '{name}' and '{first}' are not built alike: {', '.join(map(repr, odd[:5]))} stand in one"
                " of them only; write the same arrays for every episode."
            )
            continue
        found += [
            f"{path.name}: '{name}/{key}' has shape {datasets[key].shape} and '{first}/{key}' {wanted[key].shape};"
            " beyond the first axis they must agree."
            for key in wanted
            if key in read and datasets[key].shape[1:] != wanted[key].shape[1:]
        ]
    refuse(found[:5])
