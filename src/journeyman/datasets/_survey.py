"""One pass over an array of a file, piece by piece: what its numbers are like, column by column."""

import dataclasses
import hashlib
from typing import Any

import numpy as np

from journeyman.datasets._column import AbstractColumn, pieces
from journeyman.worlds import AbstractFinite, Box


@dataclasses.dataclass(frozen=True)
class Survey:
    """What one array holds. Columns are the entries of a row, flattened.

    `name`       the proper name, `observation.pose`
    `key`        the name in the file
    `shape`      of one row
    `dtype`      as stored
    `rows`       how many there are
    `low`, `high`, `mean`, `deviation`   of each column, `(columns,)`, over finite numbers; nan where there is none
    `bad`        how many numbers are nan, inf, or too large for float32
    `bad_at`     the first of them: row, index inside the row, value; `None` where there is none
    `outside`    in how many rows an entry lies outside the space that was given; 0 without one
    `far`        in how many of them by more than the whole width of the space; every whole number out of its set is
    `first`      the first row, `(columns,)`
    `constant`   whether a column has the value of its first row everywhere, `(columns,)`
    """

    name: str
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    rows: int
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    bad: int
    bad_at: tuple[int, tuple[int, ...], float] | None
    outside: int
    far: int
    first: np.ndarray
    constant: np.ndarray

    def numbers(self) -> dict[str, Any]:
        """For JSON; what is not known is null."""
        known = {name: [_number(value) for value in getattr(self, name)] for name in _PER_COLUMN}
        about = {"name": self.name, "key": self.key, "shape": list(self.shape), "dtype": str(self.dtype)}
        return {**about, "rows": self.rows, "not_finite": self.bad, "outside": self.outside, **known}


_PER_COLUMN = ("low", "high", "mean", "deviation")
MANY = 1024
"""A row with more entries than this is a picture or the like, and its columns are not looked at one by one."""


def survey(name: str, key: str, column: AbstractColumn, space: Any = None) -> Survey:
    """Look at `column` once. Means and deviations are added up in double precision (Chan, Golub, LeVeque 1983).

    `space` is what `outside` is counted against.
    """
    width = int(np.prod(column.shape[1:]))
    tally, outside, bad, bad_at = _Tally(width), np.zeros(2, int), 0, None
    first, constant = np.full(width, np.nan), np.ones(width, bool)
    for start, piece in pieces(column):
        flat = piece.reshape(len(piece), width)
        good = np.abs(flat) <= np.finfo(np.float32).max if flat.dtype.kind == "f" else np.ones(flat.shape, bool)
        if not good.all():
            bad += int((~good).sum())
            bad_at = bad_at or _place(start, piece, good)
        if start == 0:
            first = flat[0].astype(np.float64)
        constant &= (flat == first).all(axis=0)
        tally.add(flat, good)
        outside += _outside(piece, space)
    moments = (tally.low, tally.high, tally.mean, tally.deviation())
    about = (name, key, column.shape[1:], column.dtype, len(column))
    within, far = (int(count) for count in outside)
    return Survey(*about, *moments, bad, bad_at, within, far, first, constant)


def digests(column: AbstractColumn) -> list[bytes]:
    """One for each column of a vector, equal where columns are equal in every row; none for pictures and the like."""
    width = int(np.prod(column.shape[1:]))
    if column.ndim > 2 or width > MANY:
        return []
    found = [hashlib.sha256() for _ in range(width)]
    for _, piece in pieces(column):
        for digest, values in zip(found, piece.reshape(len(piece), width).T.astype(np.float64), strict=True):
            digest.update((values + 0.0).tobytes())  # −0 is 0
    return [digest.digest() for digest in found]


class _Tally:
    """Least, greatest, mean and sum of squares about it, of each column, over what is finite."""

    def __init__(self, width: int):
        self.low, self.high = np.full(width, np.nan), np.full(width, np.nan)
        self.mean, self._squares, self._count = np.full(width, np.nan), np.zeros(width), np.zeros(width, int)

    def add(self, flat: np.ndarray, good: np.ndarray) -> None:
        count = good.sum(axis=0)
        value = np.where(good, flat, 0).astype(np.float64)
        self.low = np.fmin(self.low, np.where(good, flat, np.inf).min(axis=0, initial=np.inf))
        self.high = np.fmax(self.high, np.where(good, flat, -np.inf).max(axis=0, initial=-np.inf))
        here = count > 0
        mean = np.divide(value.sum(axis=0), count, out=np.zeros(len(count)), where=here)
        squares = (np.where(good, value - mean, 0) ** 2).sum(axis=0)
        total = self._count + count
        old = np.where(self._count > 0, self.mean, mean)
        moved = np.divide((mean - old) * count, total, out=np.zeros(len(count)), where=total > 0)
        self._squares += squares + (mean - old) * moved * self._count
        self.mean = np.where(total > 0, old + moved, np.nan)
        self._count = total

    def deviation(self) -> np.ndarray:
        share = np.divide(self._squares, self._count, out=np.full(len(self._count), np.nan), where=self._count > 0)
        return np.sqrt(share)


def _place(start: int, piece: np.ndarray, good: np.ndarray) -> tuple[int, tuple[int, ...], float]:
    row, *inner = (int(i) for i in np.argwhere(~good.reshape(piece.shape))[0])
    return start + row, tuple(inner), float(piece[(row, *inner)])


def _outside(piece: np.ndarray, space: Any) -> np.ndarray:
    """In how many rows, and in how many by far, `(2,)`; `room` is what rounding may do."""
    if isinstance(space, AbstractFinite):
        wrong = far = space.outside(piece.reshape(len(piece), *space.shape))
    elif isinstance(space, Box):
        room = 1e-6 * np.maximum(1.0, np.abs(np.where(np.isfinite(space.high), space.high, 0)))
        shaped = piece.reshape(len(piece), *space.shape)
        wrong = (shaped < space.low - room) | (shaped > space.high + room)
        width = np.asarray(space.high, np.float64) - space.low
        far = (shaped < space.low - width) | (shaped > space.high + width)
    else:
        return np.zeros(2, int)
    return np.asarray([where.reshape(len(piece), -1).any(axis=1).sum() for where in (wrong, far)])


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
