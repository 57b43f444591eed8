"""CSV: one row a step, vectors as numbered columns. Read in one pass into a temporary file of doubles."""

import contextlib
import csv
import itertools
import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.datasets._column import AbstractColumn, Read, Unread
from journeyman.datasets._open import proper_name, split_name
from journeyman.datasets._table import Table
from journeyman.parts import JourneymanError, refuse

_NUMBERED = re.compile(r"(?P<name>.+?)(?:_(?P<plain>\d+)|\[(?P<bracket>\d+)\])")
_WORDS = {"true": 1.0, "false": 0.0, "": np.nan}
LINES = 4096
"""How many lines are held at a time."""


def open_csv(path: Path, stack: contextlib.ExitStack, blank: Collection[str] = ()) -> Table:
    """The table of the CSV file at `path`: `observation_0`, `observation_1`, … become one array, and so on.

    The first line names the columns; they are separated by commas, semicolons or tabs. What no name says is ours is
    not read, nor what is blank in every line. Raises `JourneymanError` for lines that do not fit and cells that are no
    numbers, with line and column; cells may be blank in the columns `blank` only (see `Table.blank`).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            mark = max(",;\t", key=first.count)
            header = [name.strip() for name in next(csv.reader([first], delimiter=mark), [])]
            _check_header(path, header)
            ours = [i for i, name in enumerate(header) if proper_name(split_name(_split(name)[0])[0])]
            spool: Any = stack.enter_context(tempfile.TemporaryFile(prefix="journeyman-"))  # noqa: SIM115
            whole, empty = np.ones(len(ours), bool), _Empty([header[i] for i in ours])
            for block in _blocks(path, csv.reader(file, delimiter=mark), header, ours, empty):
                whole &= (np.isfinite(block) & (block == np.round(block)) & (np.abs(block) < 2**53)).all(axis=0)
                spool.write(block.tobytes())
    except (UnicodeDecodeError, csv.Error) as error:
        why = error.reason if isinstance(error, UnicodeDecodeError) else error
        raise JourneymanError(f"'{path}' is no text in UTF-8 with cells ({why}); save it as CSV again.") from error
    rows = spool.tell() // (8 * max(len(ours), 1))
    places = _places(path, [header[i] for i in ours])
    notes = _judge_empty(path, places, empty, rows, blank)
    arrays = {base: _column(spool, rows, len(ours), base, place, whole) for base, place in places.items()}
    for i, name in enumerate(header):
        if i not in ours:
            arrays[name] = Unread()
    return Table("CSV", arrays, notes=notes, blank={base: empty.mask(place, rows) for base, place in places.items()})


class _Empty:
    """The cells with nothing in them: of each column in which there are any, the rows and the first line."""

    def __init__(self, names: list[str]):
        self.names = names
        self.rows: dict[int, list[np.ndarray]] = {}
        self.first: dict[int, int] = {}

    def add(self, column: int, rows: np.ndarray, line: int) -> None:
        """`rows` of `column`, the first of them in `line`, are empty."""
        self.rows.setdefault(column, []).append(rows)
        self.first.setdefault(column, line)

    def count(self, place: Any) -> int:
        """How many cells of these columns are empty."""
        return sum(len(rows) for column in np.atleast_1d(place).tolist() for rows in self.rows.get(column, ()))

    def mask(self, place: Any, rows: int) -> np.ndarray | None:
        """Where they are, `(rows,)` or `(rows, columns)`; `None` where every cell is full."""
        if not self.count(place):
            return None
        found = np.zeros((rows, np.size(place)), bool)
        for at, column in enumerate(np.atleast_1d(place).tolist()):
            for part in self.rows.get(column, ()):
                found[part, at] = True
        return found[:, 0] if np.ndim(place) == 0 else found


def _judge_empty(path: Path, places: dict[str, Any], empty: _Empty, rows: int, blank: Collection[str]) -> list[str]:
    """Refuse empty cells where none may be; what is blank throughout is taken out of `places`, and noted."""
    problems, notes = [], []
    for base, place in list(places.items()):
        count = empty.count(place)
        if not count or proper_name(base) in blank:
            continue
        if count == rows * np.size(place):
            del places[base]
            notes.append(f"Not read: '{base}', which is blank in every line.")
            continue
        columns = np.atleast_1d(place).tolist()
        problems += [
            f"{path.name}: '{empty.names[column]}' is empty at line {empty.first[column]}"
            f" ({empty.count(column)} such cells in all); repair that cell or leave that episode out."
            for column in columns
            if column in empty.first
        ]
    refuse(problems)
    return notes


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if not any(header):
        raise JourneymanError(f"'{path}' is empty; its first line names the columns (observation_0, action_0, …).")
    if all(_is_number(name) for name in header):
        raise JourneymanError(
            f"{path.name}: the first line holds numbers ({', '.join([*header[:3], *['…'] * (len(header) > 3)])}) and no"
            " names; put a line above it that names the columns, such as episode,observation_0,observation_1,action_0."
        )
    if twice:
        raise JourneymanError(f"{path.name}: the column '{twice[0]}' stands there twice; rename or leave out one.")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _split(name: str) -> tuple[str, int | None]:
    """`("observation", 3)` for `observation_3` and `observation[3]`; no number for a column of its own."""
    found = _NUMBERED.fullmatch(name)
    return (name, None) if found is None else (found["name"], int(found["plain"] or found["bracket"]))


def _blocks(
    path: Path, lines: Iterator[list[str]], header: list[str], ours: list[int], empty: _Empty
) -> Iterator[np.ndarray]:
    at, row = 2, 0
    while block := list(itertools.islice(lines, LINES)):
        odd = next((i for i, cells in enumerate(block) if len(cells) != len(header) and cells), None)
        if odd is not None:
            raise JourneymanError(
                f"{path.name}: line {at + odd} has {len(block[odd])} cells and the first line names {len(header)}; if"
                " it is the last, the file was cut short: copy it again, or remove that line."
            )
        places = [at + i for i, cells in enumerate(block) if cells]
        full = [cells for cells in block if cells]
        numbers = np.empty((len(full), len(ours)))
        for column, i in enumerate(ours):
            numbers[:, column], blank = _numbers(path, [cells[i] for cells in full], header[i], places)
            if blank:
                empty.add(column, row + np.asarray(blank), places[blank[0]])
        yield numbers
        at, row = at + len(block), row + len(full)


def _numbers(path: Path, cells: list[str], name: str, lines: list[int]) -> tuple[list[float], list[int]]:
    """What the cells say, nan for an empty one, and which ones are empty."""
    try:
        return list(map(float, cells)), []
    except ValueError:
        found, blank = [], []
    for i, cell in enumerate(cells):
        word = cell.strip().lower()
        try:
            found.append(_WORDS[word] if word in _WORDS else float(word))
        except ValueError as error:
            raise JourneymanError(
                f"{path.name}: '{name}' is '{cell}', which is not a number at line {lines[i]}; repair that cell or"
                " leave that episode out."
            ) from error
        if not word:
            blank.append(i)
    return found, blank


def _places(path: Path, names: list[str]) -> dict[str, Any]:
    """In which columns each array stands: one, or a list of them in the order of their numbers."""
    groups: dict[str, dict[int | None, int]] = {}
    for place, name in enumerate(names):
        base, number = _split(name)
        groups.setdefault(base if number is not None else name, {})[number] = place
    found: dict[str, Any] = {}
    problems = []
    for base, places in groups.items():
        numbers = sorted(number for number in places if number is not None)
        if None in places:
            found[base] = places[None]
            if numbers:
                problems.append(f"{path.name}: '{base}' and numbered columns of that name; keep one of the two.")
            continue
        missing = [number for number in range(numbers[0], numbers[0] + len(numbers)) if number not in places]
        if missing or numbers[0] > 1:
            problems.append(
                f"{path.name}: '{base}_{(missing or [0])[0]}' is missing among its numbered columns; add it."
            )
            continue
        found[base] = [places[number] for number in numbers]
    refuse(problems)
    return found


def _column(spool: Any, rows: int, width: int, base: str, place: Any, whole: np.ndarray) -> AbstractColumn:
    """The array that stands in the columns `place` of the spool, which is `width` numbers wide."""
    dtype = _dtype(base, bool(whole[place])) if np.ndim(place) == 0 else np.float64

    def read(start: int, stop: int) -> np.ndarray:
        found = np.empty((max(min(stop, rows) - start, 0), *np.shape(place)), dtype)
        spool.seek(8 * width * start)
        for at in range(0, len(found), LINES):  # rows are as wide as the file, so few of them are held
            count = min(LINES, len(found) - at)
            found[at : at + count] = np.frombuffer(spool.read(8 * width * count)).reshape(count, width)[:, place]
        return found

    return Read((rows, *np.shape(place)), dtype, read)


def _dtype(name: str, whole: bool) -> Any:
    """What is counted is whole, and so is an action of its own where every one is; all else is real."""
    counted = proper_name(name) in ("action", "target_action", "episode_index", "episode_end", "elapsed", "source")
    return np.int64 if whole and counted else np.float64
