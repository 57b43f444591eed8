"""`metrics.jsonl`: one line of JSON for each thing worth remembering; the truth of a run."""

import contextlib
import importlib.util
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from journeyman.parts import JourneymanError
from journeyman.policies._files import naming, parse_json, write_file
from journeyman.training._events import Events

NAME = "metrics.jsonl"
COUNTERS = ("iteration", "epoch", "step")  # what a checkpoint counts, too: a row belongs to the first it has


class Metrics:
    """Appends to the `metrics.jsonl` of `folder`, and to event files in `events` unless that is `None`.

    A last line torn by the death of an earlier process is removed on opening. `rows` counts the lines.
    """

    def __init__(self, folder: Path, events: Path | None) -> None:
        self.path = folder / NAME
        whole = lines(self.path)
        self.rows = len(whole)
        if self.path.exists() and self.path.stat().st_size != sum(len(line) for line, _ in whole):
            write_file(self.path, b"".join(line for line, _ in whole))
        self._file = open(self.path, "ab")  # noqa: SIM115  (closed by `close`)
        self._events_folder = events
        self._events: Events | None = None
        self._purge: int | None = None

    def log(self, row: Mapping[str, Any], *, clock: Mapping[str, float] | None = None) -> None:
        """Append one line; once this returns it survives the death of this process.

        `row` holds an integer "iteration", "epoch" or "step" and numbers, strings or nested tables of them; floats
        stay exact. What depends on the wall clock goes to `clock` (or `row["clock"]`), kept apart under that
        key, where the time of day is added: two runs of one seed agree in everything else.
        """
        if _counter(row) is None:
            raise JourneymanError(f"A row of metrics needs an integer {' or '.join(COUNTERS)}; add one to {list(row)}.")
        clocks = {"time": time.time(), **row.get("clock", {}), **(clock or {})}
        written = {key: _plain(value, key) for key, value in row.items() if key != "clock"}
        written["clock"] = _plain(clocks, "clock")
        line = (json.dumps(written, allow_nan=False) + "\n").encode()
        with naming(self.path):
            self._file.write(line)
            self._file.flush()
        self.rows += 1
        if self._events_folder is not None:
            self._write_events(written, self._events_folder)

    def rewind(self, step: int, *, rows: int | None = None) -> None:
        """Cut the file back to the rows up to `step` (or iteration, or epoch), or to the first `rows` of them, at once.

        What remains is what an uninterrupted run had written by then. Raises `JourneymanError` when there are
        fewer than `rows`.
        """
        whole = lines(self.path)
        if rows is not None and len(whole) < rows:
            raise JourneymanError(
                f"'{self.path}' has {len(whole)} rows where the checkpoint of step {step} knows {rows}; it"
                " was changed"
                " by hand, so put it back or start the run again."
            )
        kept = [line for line, row in whole if _counter(row) <= step] if rows is None else [x for x, _ in whole[:rows]]
        self._file.close()
        write_file(self.path, b"".join(kept))
        self._file = open(self.path, "ab")  # noqa: SIM115  (closed by `close`)
        self.rows = len(kept)
        self._close_events()
        self._purge = step + 1

    def sync(self) -> None:
        """Make every line durable, against a power cut too."""
        with naming(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close all files."""
        with naming(self.path), contextlib.closing(self._file):
            self._close_events()

    def _write_events(self, row: Mapping[str, Any], folder: Path) -> None:
        if self._events is None:
            self._events = Events(folder, self._purge)
        self._events.add(_scalars(row), _counter(row))

    def _close_events(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.close()


class Rows(Sequence[dict[str, Any]]):
    """The rows from `first` to `last` of a run's `metrics.jsonl`, read when first asked for: a long run holds none."""

    def __init__(self, folder: Path, first: int, last: int) -> None:
        self._folder, self._first, self._last = folder, first, last
        self._read: list[dict[str, Any]] | None = None

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, index: Any) -> Any:
        if self._read is None:
            self._read = read_metrics(self._folder)[self._first : self._last]
        return self._read[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def read_metrics(folder: str | Path, *, clock: bool = True) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl`; a torn last line is left out.

    "nan", "inf" and "-inf" become floats again. Without `clock`, two runs of one seed give equal rows.
    """
    found = []
    for _, row in lines(Path(folder) / NAME):
        if not clock:
            row.pop("clock", None)
        found.append(_numbers(row))
    return found


def has_tensorboard() -> bool:
    """Whether event files can be written: tensorboardX is installed."""
    return importlib.util.find_spec("tensorboardX") is not None


def _counter(row: Mapping[str, Any]) -> Any:
    """Which iteration, epoch or step a row belongs to; `None` where it does not say."""
    value = next((row[name] for name in COUNTERS if name in row), None)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        return None
    return int(value)


def _plain(value: Any, name: str) -> Any:
    """JSON that keeps every bit of a number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{name}/{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, f"{name}/{i}") for i, inner in enumerate(value)]
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        value = np.asarray(value).tolist() if value.ndim == 0 else value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    what = f"an array of shape {value.shape}" if hasattr(value, "shape") else f"a {type(value).__name__}"
    raise JourneymanError(f"The metric '{name}' is {what}; log numbers, for instance its mean.")


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    return float(value) if value in ("nan", "inf", "-inf") else value


def _scalars(row: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found = []
    for key, value in row.items():
        if isinstance(value, list) and value and all(isinstance(item, (int, float)) for item in value):
            value = sum(value) / len(value)  # of a sweep the event files show the mean; the rows have all members
        if isinstance(value, Mapping):
            found += _scalars(value, f"{prefix}{key}/")
        elif (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and prefix + key not in (*COUNTERS, "clock/time")
        ):
            found.append((prefix + key, value))
    return found


def lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Every complete line with what it says. Only the last can be torn; any other damage is refused."""
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        row = parse_json(line, f"Line {number} of '{path}'", "put it back or start the run again")
        if not isinstance(row, dict) or _counter(row) is None:
            raise JourneymanError(
                f"Line {number} of '{path}' does not say which iteration, epoch or step it is of; it was"
                " changed by hand, so put it back or start the run again."
            )
        found.append((line, row))
    return found
