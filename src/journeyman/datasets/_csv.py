"""CSV: one row a step, vectors as numbered columns. Read in one pass into a temporary file of doubles."""

import contextlib
import csv
import itertools
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.datasets._column import AbstractColumn, Read
from journeyman.datasets._open import proper_name
from journeyman.datasets._table import Table
from journeyman.parts import JourneymanError, refuse

_NUMBERED = re.compile(r"(?P<name>.+?)(?:_(?P<plain>\d+)|\[(?P<bracket>\d+)\])")
_WORDS = {"true": 1.0, "false": 0.0}
LINES = 4096
"""How many lines are held at a time."""


def open_csv(path: Path, stack: contextlib.ExitStack) -> Table:
    """The table of the CSV file at `path`: `observation_0`, `observation_1`, … become one array, and so on.

    The first line names the columns; they are separated by commas, semicolons or tabs. What no name says is ours is
    not read. Raises `JourneymanError` for lines that do not fit and cells that are no numbers, with line and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            mark = max(",;\t", key=first.count)
            header = [name.strip() for name in next(csv.reader([first], delimiter=mark), [])]
            _check_header(path, header)
            ours = [i for i, name in enumerate(header) if proper_name(re.split(r"[./]", _split(name)[0])[0])]
            spool: Any = stack.enter_context(tempfile.TemporaryFile(prefix="journeyman-"))  # noqa: SIM115
            whole = np.ones(len(ours), bool)
            for block in _blocks(path, csv.reader(file, delimiter=mark), header, ours):
                whole &= (np.isfinite(block) & (block == np.round(block)) & (np.abs(block) < 2**53)).all(axis=0)
                spool.write(block.tobytes())
    except (UnicodeDecodeError, csv.Error) as error:
        why = error.reason if isinstance(error, UnicodeDecodeError) else error
        raise JourneymanError(f"'{path}' is no text in UTF-8 with cells ({why}); save it as CSV again.") from error
    rows = spool.tell() // (8 * max(len(ours), 1))
    arrays = _columns(path, spool, rows, [header[i] for i in ours], whole)
    for i, name in enumerate(header):
        if i not in ours:
            arrays[name] = Read((rows,), object, _never)
    return Table("CSV", arrays)


def _never(start: int, stop: int) -> np.ndarray:
    raise NotImplementedError(f"rows {start} to {stop} of a column that is not read")


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if not any(header):
        raise JourneymanError(f"'{path}' is empty; its first line names the columns (observation_0, action_0, …).")
    if twice:
        raise JourneymanError(f"{path.name}: the column '{twice[0]}' stands there twice; rename or leave out one.")


def _split(name: str) -> tuple[str, int | None]:
    """`("observation", 3)` for `observation_3` and `observation[3]`; no number for a column of its own."""
    found = _NUMBERED.fullmatch(name)
    return (name, None) if found is None else (found["name"], int(found["plain"] or found["bracket"]))


def _blocks(path: Path, lines: Iterator[list[str]], header: list[str], ours: list[int]) -> Iterator[np.ndarray]:
    at = 2
    while block := list(itertools.islice(lines, LINES)):
        odd = next((i for i, cells in enumerate(block) if len(cells) != len(header) and cells), None)
        if odd is not None:
            raise JourneymanError(
                f"{path.name}: line {at + odd} has {len(block[odd])} cells and the first line names {len(header)}; if"
                " it is the last, the file was cut short: copy it again, or remove that line."
            )
        full = [cells for cells in block if cells]
        numbers = np.empty((len(full), len(ours)))
        for column, i in enumerate(ours):
            numbers[:, column] = _numbers(path, [cells[i] for cells in full], header[i], at)
        yield numbers
        at += len(block)


def _numbers(path: Path, cells: list[str], name: str, line: int) -> list[float]:
    try:
        return list(map(float, cells))
    except ValueError:
        found = []
        for i, cell in enumerate(cells):
            try:
                found.append(_WORDS.get(cell.strip().lower()) if cell.strip().lower() in _WORDS else float(cell))
            except ValueError as error:
                what = f"'{cell}', which is not a number" if cell.strip() else "empty"
                raise JourneymanError(
                    f"{path.name}: '{name}' is {what} at line {line + i}; repair that cell or leave that episode out."
                ) from error
        return found


def _columns(path: Path, spool: Any, rows: int, names: list[str], whole: np.ndarray) -> dict[str, AbstractColumn]:
    width, found, groups = len(names), {}, {}
    for place, name in enumerate(names):
        base, number = _split(name)
        groups.setdefault(base if number is not None else name, {})[number] = place
    problems = []

    def read(places: Any, dtype: Any) -> Any:
        def rows_of(start: int, stop: int) -> np.ndarray:
            spool.seek(8 * width * start)
            block = np.frombuffer(spool.read(8 * width * max(stop - start, 0)), np.float64).reshape(-1, width)
            return block[:, places].astype(dtype)

        return rows_of

    for base, places in groups.items():
        if None in places:
            place = places.pop(None)
            dtype = _dtype(base, bool(whole[place]))
            found[base] = Read((rows,), dtype, read(place, dtype))
            if places:
                problems.append(f"{path.name}: '{base}' and numbered columns of that name; keep one of the two.")
            continue
        first = min(places)
        missing = [number for number in range(first, first + len(places)) if number not in places]
        if missing or first > 1:
            problems.append(
                f"{path.name}: '{base}_{(missing or [0])[0]}' is missing among its numbered columns; add it."
            )
            continue
        order = [places[number] for number in sorted(places)]
        found[base] = Read((rows, len(order)), np.float64, read(order, np.float64))
    refuse(problems)
    return found


def _dtype(name: str, whole: bool) -> Any:
    """What is counted is whole, and so is an action of its own where every one is; all else is real."""
    counted = proper_name(name) in ("action", "target_action", "episode_index", "episode_end", "elapsed", "source")
    return np.int64 if whole and counted else np.float64
