"""The library's own file: `Episodes` to npz and back, every field, bit for bit."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, describe

MARKER, VERSION = "journeyman_episodes", 1


def write(episodes: Episodes, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write `episodes` to the npz file `path`, all fields, and return the path.

    Observations are stored as streams, T+1 for T steps, so no last observation is lost; `read` gives back equal
    arrays and the same fingerprint. The file appears whole or not at all. Nothing in it is pickled.

    Raises `JourneymanError` when the file exists and `overwrite` is false, when its folder does not exist, or
    when an observation is built from anything but arrays, dictionaries and tuples.
    """
    path = Path(path)
    fields, arrays = {}, {}
    for name in Episodes.__dataclass_fields__:
        fields[name], inside = describe(getattr(episodes, name), name)
        arrays |= inside
    header = {"version": VERSION, "fingerprint": episodes.fingerprint(), "fields": fields}
    _may_write(path, overwrite)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez_compressed(file, **{MARKER: np.asarray(json.dumps(header))}, **arrays)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        _may_write(path, overwrite)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _may_write(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise JourneymanError(f"'{path}' is a folder; name a file inside it.")
    if path.exists() and not overwrite:
        raise JourneymanError(f"'{path}' exists already; choose another path or pass overwrite=True.")
    if not path.parent.is_dir():
        raise JourneymanError(f"The folder '{path.parent}' does not exist; create it first.")


def read_streams(path: Path, arrays: dict[str, np.ndarray]) -> Episodes:
    """The `Episodes` that `write` stored.

    Raises `JourneymanError` for another format version, a missing array, and data that is not what was written.
    """
    try:
        header = json.loads(str(arrays[MARKER]))
        version, stored, fields = header["version"], header["fingerprint"], header["fields"]
    except (ValueError, KeyError, TypeError) as error:
        raise JourneymanError(f"{path.name}: the header '{MARKER}' cannot be read; write the file again.") from error
    if version != VERSION:
        raise JourneymanError(
            f"{path.name} has format version {version} and this version of the library reads {VERSION}; write it again"
            " with this one, or read it with the one that wrote it."
        )
    wanted = set(Episodes.__dataclass_fields__)
    if set(fields) != wanted:
        odd = sorted(set(fields) ^ wanted)
        raise JourneymanError(f"{path.name}: the fields {odd} are missing or unknown; write the file again.")
    episodes = Episodes(**{name: _restore(path, tree, arrays) for name, tree in fields.items()})
    if (found := episodes.fingerprint()) != stored:
        raise JourneymanError(
            f"{path.name} carries the fingerprint {stored} but its content has {found}: it was changed after it was"
            " written; get the original, or write it anew with journeyman.datasets.write."
        )
    return episodes


def _restore(path: Path, tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """As `journeyman.parts.rebuild`, but the arrays stay on the host and keep their dtype."""
    if isinstance(tree, list):
        return tuple(_restore(path, item, arrays) for item in tree)
    if "map" in tree:
        return {key: _restore(path, item, arrays) for key, item in tree["map"].items()}
    if tree.get("array") not in arrays:
        raise JourneymanError(f"{path.name}: the array {tree.get('array')!r} is missing; copy the file again.")
    return arrays[tree["array"]]
