"""Durable writes and strict reads: a crash leaves the old state or the new, never a mixture."""

import contextlib
import ctypes
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from journeyman.parts import JourneymanError, did_you_mean, refuse

MAX_JSON_BYTES = 16 * 2**20
MAX_JSON_DEPTH = 64
_QUOTED = re.compile(r"os_error_code='(\d+)'")
_AT_FDCWD, _EXCHANGE = -100, 2  # both renameat2 (Linux) and renamex_np (macOS) call the swap flag 2

_JSON_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
}


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """What the system refuses inside is an `OSError` about `path`: of a full disk it does not say what was written, and
    TensorStore raises a `ValueError` that quotes its number."""
    try:
        yield
    except (OSError, ValueError) as error:
        quoted = _QUOTED.search(str(error))
        number = error.errno if isinstance(error, OSError) and error.errno else quoted and int(quoted[1])
        if not number:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def write_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data` at once and durably: a reader finds the old bytes or the new."""
    with whole_file(path) as hidden:
        hidden.write_bytes(data)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The name of a hidden file to write, which replaces `path`, or what that is a link to, when all of it is durable,
    or goes."""
    place = Path(os.path.realpath(path))
    temporary = place.with_name(f".{place.name}.tmp-{uuid.uuid4().hex}")
    try:
        with naming(path):
            yield temporary
            sync(temporary)
            os.replace(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)
    sync(place.parent)


def encoded(text: str) -> bytes:
    """`text` in UTF-8; a byte of a path that is none is shown by its escape."""
    return text.encode(errors="backslashreplace")


@contextlib.contextmanager
def whole_folder(folder: Path, *, replace: bool) -> Iterator[Path]:
    """A hidden folder to fill, which becomes `folder`, or what that is a link to, when all of it is durable (see
    `publish_folder`), or goes."""
    with naming(folder):
        place = Path(os.path.realpath(folder))
        temporary = temporary_sibling(place)
        try:
            yield temporary
            publish_folder(temporary, place, replace=replace)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def sync(path: Path) -> None:
    """Make the bytes of a file, or the names inside a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file and every name below `folder` durable."""
    for at, _, names in os.walk(folder):
        for name in names:
            sync(Path(at, name))
        sync(Path(at))


def temporary_sibling(folder: Path) -> Path:
    """A fresh empty folder beside `folder`, on the same file system, so that it can be renamed into place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".{folder.name}.tmp-{uuid.uuid4().hex}"
    temporary.mkdir()
    return temporary


def publish_folder(temporary: Path, folder: Path, *, replace: bool) -> None:
    """Rename a finished folder into place; with `replace` an existing one is swapped out, then removed.

    On Linux and macOS the swap is one step of the kernel, so `folder` exists at every moment. Raises
    `JourneymanError` without `replace` when something stands there.
    """
    sync_tree(temporary)
    if replace and folder.exists():
        if not _exchange(temporary, folder):
            aside = temporary_sibling(folder)
            os.rename(folder, aside)
            os.rename(temporary, folder)
            shutil.rmtree(aside)
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        try:
            os.rename(temporary, folder)
        except OSError as error:
            if not folder.exists():
                raise
            raise JourneymanError(
                f"'{folder}' exists already and nothing is ever overwritten unasked; choose another folder"
                " or pass"
                " overwrite."
            ) from error
    sync(folder.parent)


def _exchange(one: Path, other: Path) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        return library.renamex_np(first, second, _EXCHANGE) == 0
    swap = getattr(library, "renameat2", None)
    return swap is not None and swap(_AT_FDCWD, first, _AT_FDCWD, second, _EXCHANGE) == 0


# -- strict reads ---------------------------------------------------------------------------------------


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of `path`, at most `limit` of them; raises `JourneymanError` for whatever keeps them away."""
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise JourneymanError(
            f"'{path}' does not exist; check the path, or write the folder again if only this file is missing."
        ) from error
    except OSError as error:
        raise JourneymanError(f"'{path}' cannot be read ({error.strerror}); check what it is and whose.") from error
    if len(data) > limit:
        raise JourneymanError(
            f"'{path}' is larger than the {limit} bytes it may have; it is damaged, so write it again."
        )
    return data


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, exact floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def pretty_json(value: Any) -> bytes:
    """The same for human eyes, with a last newline."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def parse_json(data: bytes, where: str, advice: str = "write it again") -> Any:
    """Strict JSON: no duplicate keys, no NaN, no bottomless nesting; `where` names the source in refusals, and `advice`
    is what to do about damage."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key '{twice}' stands there twice")
        return dict(pairs)

    def constant(name: str) -> Any:
        raise ValueError(f"'{name}' is not JSON")

    def number(text: str) -> float:
        if abs(float(text)) == float("inf"):
            raise ValueError(f"the number {text[:20]} is too large")
        return float(text)

    try:
        value = json.loads(data.decode(), object_pairs_hook=unique, parse_constant=constant, parse_float=number)
    except (ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise JourneymanError(f"{where} is not valid JSON: {what}; it is damaged, so {advice}.") from error
    if _depth(value) > MAX_JSON_DEPTH:
        raise JourneymanError(f"{where} is nested deeper than {MAX_JSON_DEPTH}; it is damaged, so {advice}.")
    return value


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= MAX_JSON_DEPTH:
        inner = [item for item in level if isinstance(item, (dict, list))]
        level = [child for item in inner for child in (item.values() if isinstance(item, dict) else item)]
        depth += 1
    return depth


def check_keys(
    document: Any, schema: Mapping[str, tuple[type, ...]], where: str, advice: str = "write it again"
) -> None:
    """Refuse a document with a missing key, an unknown key or a value of another type, all at once; `advice` is what to
    do about damage."""
    if not isinstance(document, dict):
        raise JourneymanError(f"{where} must hold an object; it is damaged, so {advice}.")
    found = [f"{where} lacks '{key}'; it is damaged, so {advice}." for key in sorted(set(schema) - set(document))]
    found += [
        f"{where} has the unknown key '{key}'.{did_you_mean(key, schema)} Remove it, or write the file again."
        for key in sorted(set(document) - set(schema))
    ]
    for key in sorted(set(schema) & set(document)):
        value, kinds = document[key], schema[key]
        if type(value) not in kinds:
            wanted = " or ".join(_JSON_NAMES.get(kind, "null") for kind in kinds)
            found.append(f"{where}: '{key}' must be {wanted}, not {str(value)[:40]!r}; write the file again.")
    refuse(found)


def check_version(document: Any, name: str, version: int, where: str) -> None:
    """Refuse another format or another version of this one, naming both (before any other key is looked"
    " at)."""
    found = document.get("format") if isinstance(document, dict) else None
    if found != name:
        raise JourneymanError(f"{where} is not a '{name}': its format is {str(found)[:40]!r}; give the path of one.")
    number = document.get("format_version")
    if type(number) is not int or number != version:
        raise JourneymanError(
            f"{where} has format version {str(number)[:40]} and this journeyman reads version {version}; use"
            " the"
            " journeyman that wrote it, or write it again with this one."
        )
