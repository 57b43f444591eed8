"""One array of a file, read piece by piece: what a large file is looked at through."""

import abc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MAPPED = 16 * 2**20
"""An array that lies in a file as it is, and has at least so many bytes, is mapped into memory instead of read."""

PIECE = 2**20
"""How many bytes of one array are held while a file is looked through."""


class AbstractColumn(abc.ABC):
    """An array on disk with rows along its first axis; `shape`, `dtype`, `ndim` and `len` are known without reading."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @abc.abstractmethod
    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows `start … stop−1`, read now."""

    def whole(self) -> np.ndarray:
        """The whole array: a view of the file where it is large and lies there as it is, else read."""
        return self.rows(0, len(self))


class Held(AbstractColumn):
    """An array that is in memory already."""

    def __init__(self, array: np.ndarray):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def rows(self, start: int, stop: int) -> np.ndarray:
        """A view."""
        return self.array[start:stop]

    def whole(self) -> np.ndarray:
        """The array."""
        return self.array


class Read(AbstractColumn):
    """`shape` and `dtype` with a function that reads rows, and one that reads or maps all of them."""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        rows: Callable[[int, int], np.ndarray],
        whole: Callable[[], np.ndarray] | None = None,
    ):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._rows, self._whole = rows, whole

    def rows(self, start: int, stop: int) -> np.ndarray:
        """What the function gives."""
        return self._rows(start, stop)

    def whole(self) -> np.ndarray:
        """What the second function gives, or all rows."""
        return super().whole() if self._whole is None else self._whole()


class Unread(AbstractColumn):
    """An array that has a name, so that it can be told of, and is never looked at."""

    shape, dtype = (0,), np.dtype(object)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Refused: nobody reads it."""
        raise NotImplementedError(f"rows {start} to {stop} of a column that is not read")


class Joined(AbstractColumn):
    """Columns below one another: the episodes of a file that keeps each by itself."""

    def __init__(self, parts: Sequence[AbstractColumn]):
        self.parts = list(parts)
        self.stops = np.cumsum([len(part) for part in self.parts])
        self.shape = (int(self.stops[-1]), *self.parts[0].shape[1:])
        self.dtype = np.result_type(*{part.dtype for part in self.parts})

    def rows(self, start: int, stop: int) -> np.ndarray:
        """From every part that lies in between."""
        first = int(np.searchsorted(self.stops, start, side="right"))
        found = [np.empty((0, *self.shape[1:]), self.dtype)]
        for index in range(first, len(self.parts)):
            before = int(self.stops[index]) - len(self.parts[index])
            if before >= stop:
                break
            found.append(self.parts[index].rows(max(start - before, 0), min(stop - before, len(self.parts[index]))))
        return np.concatenate(found)


def pieces(column: Any) -> Iterator[tuple[int, np.ndarray]]:
    """A column or an array in pieces of about `PIECE` bytes: `(first row, rows)`."""
    width = max(1, int(np.prod(column.shape[1:])) * column.dtype.itemsize)
    step = max(1, PIECE // width)
    for start in range(0, len(column), step):
        yield start, fetch(column, start, min(start + step, len(column)))


def fetch(column: Any, start: int, stop: int) -> np.ndarray:
    """Rows `start … stop−1` of a column or an array."""
    return column.rows(start, stop) if isinstance(column, AbstractColumn) else column[start:stop]


def mapped(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A read-only view of an array that lies in `path` at `offset` as it is, in C order."""
    return np.memmap(path, dtype, "r", offset, shape)
