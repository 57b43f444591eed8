"""What the `imitation` package writes: a folder of Arrow files with one row a trajectory, or once an npz file."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.datasets._arrow import numbers, pyarrow, sound
from journeyman.datasets._column import AbstractColumn, Held, Joined, Read
from journeyman.datasets._episodes_apart import require_rows
from journeyman.datasets._table import Table
from journeyman.parts import JourneymanError

STATE = "state.json"

_PARTS = ("obs", "acts", "rews")


def open_trajectories(path: Path) -> Table:
    """The table of a folder that `datasets` saved and that holds trajectories, as `imitation.data.serialize` writes it.

    The files are mapped. Raises `JourneymanError` for a folder cut short and for one of other content.
    """
    rows = [(file, batch, row) for file in _files(path) for batch in _batches(file) for row in range(batch.num_rows)]
    names = rows[0][1].schema.names if rows else []
    lacking = [name for name in (*_PARTS[:2], "terminal") if name not in names]
    if lacking:
        there = ", ".join(map(repr, names)) or "nothing"
        raise JourneymanError(
            f"'{path}' is a folder of `datasets` with {there} and no {', '.join(map(repr, lacking))}: not what"
            " `imitation` writes for trajectories; write npz, HDF5 or CSV instead."
        )
    columns = {name: _joined(name, rows) for name in _PARTS if name in names}
    counts = {name: [len(batch.column(name)[row].values) for _, batch, row in rows] for name in columns}
    lengths = counts["acts"]
    require_rows(f"'{path}'", [f"trajectory {i}" for i in range(len(rows))], lengths, counts)
    terminal = [bool(batch.column("terminal")[row].as_py()) for _, batch, row in rows]
    unread = [repr(name) for name in names if name not in (*_PARTS, "terminal")]
    notes = [f"Not read: {', '.join(unread)}."] if unread else []
    return Table("imitation", {**columns, **_ends(lengths, terminal)}, notes=notes)


def _files(path: Path) -> list[Path]:
    """The Arrow files of the folder, in their order."""
    try:
        listed = json.loads((path / STATE).read_text(encoding="utf-8"))["_data_files"]
        return [path / one["filename"] for one in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise JourneymanError(
            f"'{path / STATE}' does not list its files ({error!r}); copy the folder again."
        ) from error


def _batches(file: Path) -> list[Any]:
    if not file.is_file():
        raise JourneymanError(f"'{file.parent}' lacks '{file.name}', which its '{STATE}' lists; copy the folder again.")
    arrow = pyarrow()
    with sound(file), arrow.memory_map(str(file)) as source, arrow.ipc.open_stream(source) as stream:
        return list(stream)


def _joined(name: str, rows: list[tuple[Path, Any, int]]) -> AbstractColumn:
    """One array of all trajectories; what is mapped is looked at where it lies."""
    parts = []
    for file, batch, row in rows:
        column = batch.column(name)
        read = functools.partial(_slice, column, row, name, file)
        first = read(0, 1)
        parts.append(Read((len(column[row].values), *first.shape[1:]), first.dtype, read))
    return Joined(parts)


def _slice(column: Any, row: int, name: str, file: Path, start: int, stop: int) -> np.ndarray:
    """Steps `start … stop−1` of the trajectory in `row`."""
    return numbers(column.slice(row, 1).flatten().slice(start, stop - start), name, file)


def _ends(lengths: list[int], terminal: list[bool]) -> dict[str, AbstractColumn]:
    """Where trajectories end, and which of them `imitation` calls terminal: that may be a time limit too."""
    stop = np.cumsum(lengths)
    done = np.zeros(int(stop[-1]), bool)
    done[stop - 1] = terminal
    return {"episode_end": Held(stop), "terminal": Held(done)}


def is_npz(names: Any) -> bool:
    """Whether an npz file with arrays of these names is one of `imitation`'s."""
    return {"obs", "acts", "terminal", "indices"} <= set(names)


def from_npz(arrays: Mapping[str, AbstractColumn]) -> dict[str, AbstractColumn]:
    """The columns of `imitation`'s npz file, where `indices` are the ends of all trajectories but the last."""
    stop = np.append(arrays["indices"].whole(), len(arrays["acts"]))
    columns = {name: arrays[name] for name in _PARTS if name in arrays}
    terminal = arrays["terminal"].whole()
    if terminal.shape != stop.shape:
        raise JourneymanError(
            f"'terminal' has shape {terminal.shape} where 'indices' tell of {len(stop)} trajectories; write one truth a"
            " trajectory."
        )
    return {**columns, **_ends(np.diff(stop, prepend=0).tolist(), terminal.tolist())}
