"""The library's own file: `Episodes` as named arrays under a header and back, every field, bit for bit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from journeyman.datasets._table import MARKER
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, describe

VERSION = 1


def streams(episodes: Episodes) -> tuple[str, dict[str, np.ndarray]]:
    """The header, as JSON, and the arrays of all fields. Observations are streams of T+1 for T steps.

    Raises `JourneymanError` when an observation is built from anything but arrays, dictionaries and tuples, so that it
    would not come back.
    """
    fields, arrays = {}, {}
    for name in Episodes.__dataclass_fields__:
        fields[name], inside = describe(getattr(episodes, name), name)
        arrays |= inside
    back, fingerprint = _restored(Path(), fields, arrays), episodes.fingerprint()
    if back.fingerprint() != fingerprint:
        given, found = (jax.tree.structure(one.observation) for one in (episodes, back))
        raise JourneymanError(
            f"The observation is a {given} and would come back as a {found}: a file keeps arrays in plain dictionaries"
            " with words as keys, and in tuples; build it from those, such as dict(observation)."
        )
    return json.dumps({"version": VERSION, "fingerprint": fingerprint, "fields": fields}), arrays


def read_header(path: Path, text: str) -> dict[str, Any]:
    """`fields`, which describes each, and `fingerprint`.

    Raises `JourneymanError` for another format version and missing fields.
    """
    try:
        header = json.loads(text)
        version, fields, _ = header["version"], header["fields"], header["fingerprint"]
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
    return header


def read_streams(path: Path, text: str, arrays: dict[str, np.ndarray]) -> Episodes:
    """The `Episodes` that `write` stored under the header `text`.

    Raises `JourneymanError` for another format version, a missing array, and data that is not what was written.
    """
    header = read_header(path, text)
    episodes = _restored(path, header["fields"], arrays)
    if found := changed(header, episodes.fingerprint()):
        raise JourneymanError(f"{path.name}: {found}")
    return episodes


def _restored(path: Path, fields: Mapping[str, Any], arrays: Mapping[str, Any]) -> Episodes:
    return Episodes(**{name: restore(path, tree, arrays) for name, tree in fields.items()})


def changed(header: Mapping[str, Any], fingerprint: str) -> str:
    """What to say of a file whose content has another `fingerprint` than its header; nothing where they agree."""
    if fingerprint == header["fingerprint"]:
        return ""
    return (
        f"The file carries the fingerprint {header['fingerprint']} but its content has {fingerprint}: it was changed"
        " after it was written; get the original, or write it anew with journeyman.datasets.write."
    )


def restore(path: Path, tree: Any, arrays: Mapping[str, Any]) -> Any:
    """As `journeyman.parts.rebuild`, but the arrays stay on the host and keep their dtype."""
    if isinstance(tree, list):
        return tuple(restore(path, item, arrays) for item in tree)
    if tree is None:
        return None
    if "map" in tree:
        return {key: restore(path, item, arrays) for key, item in tree["map"].items()}
    if tree.get("array") not in arrays:
        raise JourneymanError(f"{path.name}: the array {tree.get('array')!r} is missing; copy the file again.")
    return arrays[tree["array"]]
