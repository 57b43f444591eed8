"""The arrays of an npz file, piece by piece: a zip archive of npy files. Nothing is ever unpickled."""

import contextlib
import functools
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.datasets import _trajectories
from journeyman.datasets._column import MAPPED, AbstractColumn, mapped
from journeyman.datasets._table import MARKER, Table
from journeyman.parts import JourneymanError

_BROKEN = (ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


def open_npz(path: Path, stack: contextlib.ExitStack) -> Table:
    """The table of the npz file at `path`.

    Raises `JourneymanError` for a file that is no npz or is cut short, and for arrays of Python objects, all at once.
    """
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except zipfile.BadZipFile as error:
        raise _no_npz(path) from error
    arrays: dict[str, AbstractColumn] = {}
    objects = []
    for member in archive.infolist():
        if not member.filename.endswith(".npy"):
            continue
        name = member.filename.removesuffix(".npy")
        column = Packed(path, archive, member, stack)
        if column.dtype.hasobject:
            objects.append(name)
        arrays[name] = column
    if theirs := _trajectories.is_npz(arrays):
        objects = [name for name in objects if name != "infos"]
    if objects:
        raise JourneymanError(
            f"{path.name}: {_quoted(objects)} of Python objects, which could run any code when opened, so they are"
            " never unpickled; write numbers instead: numpy.concatenate(list_of_episodes) as one flat array, with"
            " episode_end=numpy.cumsum(lengths)."
        )
    if theirs:
        notes = ["Not read: 'infos'."] if "infos" in arrays else []
        return Table("imitation", _trajectories.from_npz(arrays), notes=notes)
    header = arrays.pop(MARKER).whole() if MARKER in arrays else None
    return Table("npz", arrays, None if header is None else str(header))


class Packed(AbstractColumn):
    """One npy file inside the archive. Rows are cheapest in their order; those before them unpack it anew."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, stack: contextlib.ExitStack):
        self._path, self._archive, self._member, self._stack = path, archive, member, stack
        self._name = member.filename.removesuffix(".npy")
        try:
            self._file = stack.enter_context(archive.open(member))
            version = np.lib.format.read_magic(self._file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            self.shape, self._fortran, self.dtype = read(self._file)
            self._begin = self._file.tell()
            size = int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize
            self._fortran = self._fortran and size > 0
            if self._begin + size > member.file_size and not self.dtype.hasobject:
                raise EOFError  # the shape promises more than there is
            self._latest = (0, np.empty((0, *self.shape[1:]), self.dtype))
        except _BROKEN as error:
            raise self._damaged() from error

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Unpacked as far as needed; the latest rows are held, for pieces may overlap."""
        if self._fortran:
            return np.array(self._unpacked[start:stop], order="C")
        stop = max(min(stop, len(self)), start)
        first, held = self._latest
        kept = held[start - first : stop - first] if first <= start < first + len(held) else held[:0]
        begin = start + len(kept)
        width = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        more = self._unpack(self._begin + begin * width, (stop - begin, *self.shape[1:]))
        found = np.concatenate([kept, more]) if len(kept) else more
        self._latest = (start, found)
        return found

    @functools.cached_property
    def _unpacked(self) -> np.ndarray:
        """Fortran order scatters a row over all of the file, so it is unpacked once, into a temporary file."""
        self._verify()
        spool: Any = self._stack.enter_context(tempfile.TemporaryFile(prefix="journeyman-"))  # noqa: SIM115
        with self._archive.open(self._member) as packed:
            shutil.copyfileobj(packed, spool)
        spool.flush()
        return np.memmap(spool, self.dtype, "r", self._begin, self.shape, "F")

    def whole(self) -> np.ndarray:
        """Mapped where the archive stores it as it is and it is large; its checksum is held against it first."""
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        if size < MAPPED or self._member.compress_type != zipfile.ZIP_STORED or self._fortran or not self.shape:
            if not self._fortran:
                return self._unpack(self._begin, self.shape)
            return self._unpack(self._begin, self.shape[::-1]).T
        self._verify()
        return mapped(self._path, self._offset() + self._begin, self.shape, self.dtype)

    def _unpack(self, offset: int, shape: tuple[int, ...]) -> np.ndarray:
        array = np.empty(shape, self.dtype)
        try:
            self._go(offset)
            if array.nbytes:
                into = array.reshape(-1).view(np.uint8)
                got = 0
                while got < len(into) and (more := self._file.readinto(into[got:].data)):  # type: ignore[arg-type]
                    got += more
                if got < len(into):
                    raise EOFError
            if self._file.tell() == self._member.file_size:
                self._file.read(1)  # the checksum is looked at where the array ends
        except _BROKEN as error:
            raise self._damaged() from error
        return array

    def _go(self, offset: int) -> None:
        """There is no other way forward than to unpack, and none back but from the beginning."""
        if not self._file.tell() <= offset:
            self._file.seek(0)
        while (left := offset - self._file.tell()) > 0 and self._file.read(min(left, 2**18)):
            pass

    def _verify(self) -> None:
        try:
            with self._archive.open(self._member) as file:
                while file.read(2**22):
                    pass
        except _BROKEN as error:
            raise self._damaged() from error

    def _offset(self) -> int:
        """Where the member's bytes begin in the archive: behind its local header of 30 bytes, name and extra field."""
        with self._path.open("rb") as file:
            file.seek(self._member.header_offset + 26)
            name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
        return self._member.header_offset + 30 + name + extra

    def _damaged(self) -> JourneymanError:
        return JourneymanError(
            f"{self._path.name}: the array '{self._name}' is damaged or cut short; copy the file again."
        )


def _no_npz(path: Path) -> JourneymanError:
    try:
        with path.open("rb") as file:
            single: Any = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile):
        return JourneymanError(
            f"'{path}' is not an npz file, or only the beginning of one ({path.stat().st_size:,} bytes); write it with"
            " numpy.savez(path, observation=..., action=..., episode_end=...), or copy it again."
        )
    return JourneymanError(
        f"'{path}' holds one single array of shape {single.shape}, so it is npy and not npz; write all columns with"
        " numpy.savez(path, observation=..., action=..., episode_end=...)."
    )


def _quoted(keys: list[str]) -> str:
    names = ", ".join(f"'{key}'" for key in keys)
    return f"{names} is an array" if len(keys) == 1 else f"{names} are arrays"
