"""A part on disk: `policy.safetensors` holds its arrays, `policy.json` the rest. Nothing is pickled."""

import importlib.metadata
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from journeyman.parts import AbstractPart, JourneymanError, describe, fingerprint, mistaken, rebuild, refuse
from journeyman.policies._arrays import declare_arrays, pack_arrays, read_arrays
from journeyman.policies._files import (
    MAX_JSON_BYTES,
    canonical_json,
    check_keys,
    check_version,
    parse_json,
    pretty_json,
    read_file,
    whole_folder,
    write_file,
)

FORMAT, FORMAT_VERSION = "journeyman-policy", 1
JSON_NAME, ARRAYS_NAME = "policy.json", "policy.safetensors"
INSIDE = "policy"
"""Where a run folder keeps its artefact."""

_SCHEMA: dict[str, tuple[type, ...]] = {
    "format": (str,),
    "format_version": (int,),
    "structure": (dict,),
    "arrays": (dict,),
    "fingerprint": (str,),
    "links": (dict,),
    "versions": (dict,),
    "checksum": (str,),
}


def save(
    part: AbstractPart, folder: str | Path, *, links: Mapping[str, str] | None = None, overwrite: bool = False
) -> str:
    """Write `part` to `folder` and return its fingerprint; the bytes depend on the arguments alone.

    Args:
        part: any part of the library; its arrays must be finite (bounds of a `Box` may be infinite).
        folder: appears at once and complete. Absent, empty, or an artefact with `overwrite`.
        links: fingerprints of what the policy came from, `{"dataset": ..., "run": ...}`.

    Raises `JourneymanError` for what is no part, an array that is not finite, a part with no form on disk, a folder in
    use.
    """
    refuse(mistaken("What is to be saved", part, AbstractPart, "pass a policy, or another part of the library"))
    folder = Path(folder)
    check_target(folder, overwrite)
    structure, arrays = describe(part)
    _check_finite(arrays, structure, f"This {type(part).__name__}")
    document: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "structure": structure,
        "arrays": declare_arrays(arrays),
        "fingerprint": _identity(structure, arrays),
        "links": dict(links or {}),
        "versions": installed_versions(("journeyman", "jax", "equinox", "numpy")),
    }
    document["checksum"] = _checksum(document)
    with whole_folder(folder, replace=overwrite) as hidden:
        write_file(hidden / ARRAYS_NAME, pack_arrays(arrays))
        write_file(hidden / JSON_NAME, pretty_json(document))
    return document["fingerprint"]


def load(folder: str | Path) -> Any:
    """The part that `save` wrote, its arrays on JAX's default device, bit for bit; of a finished run, its policy.

    Everything is checked before anything is built: the schema, the format and its version, the size to the
    byte, names, types and shapes of all arrays, that they are finite, and the fingerprint. Raises
    `JourneymanError` with the first stage that fails. No class is imported for it.
    """
    document, arrays = _read(Path(folder))
    wide = sorted(name for name, array in arrays.items() if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype)
    if wide:
        raise JourneymanError(
            f"'{folder}' holds 64-bit arrays ('{wide[0]}' is {arrays[wide[0]].dtype}) and JAX runs in 32"
            " bits, which"
            " would round them; set JAX_ENABLE_X64=1, or save the policy again in 32 bits."
        )
    try:
        return rebuild(document["structure"], arrays)
    except JourneymanError:
        raise
    except Exception as error:  # a field of a wrong kind can make a part's own checks fail in any way
        raise JourneymanError(
            f"'{folder}' describes a {document['structure'].get('part')} that cannot be built ({error}); it"
            " was written"
            " by another version, so write it again with this one."
        ) from error


def inspect(folder: str | Path) -> dict[str, Any]:
    """`policy.json` as a dictionary, after the same checks as `load` but without building anything."""
    return _read(Path(folder))[0]


def _artefact(folder: Path) -> Path:
    """The artefact that `folder` means: itself, or the one inside a run folder."""
    inside, members = folder / INSIDE, folder / "policies"
    if (folder / JSON_NAME).exists() or (folder / ARRAYS_NAME).exists():
        return folder
    if (inside / JSON_NAME).exists():
        return inside
    if members.is_dir():
        first = min(members.iterdir(), key=lambda member: (len(member.name), member.name))
        raise JourneymanError(
            f"'{folder}' is a sweep with a policy for each seed; name one of them, such as '{first}'."
        )
    if (folder / "config.json").exists():
        raise JourneymanError(
            f"'{folder}' is a run that has not finished, so it holds no policy yet; go on with `journeyman"
            f" resume {shlex.quote(str(folder))}`, or, begun in Python, with record=Recorder('{folder}', resume=True)."
        )
    missing = (
        f"there is neither 'policy.json' nor '{INSIDE}/policy.json' in it" if folder.exists() else "it does not exist"
    )
    raise JourneymanError(
        f"'{folder}' holds no policy: {missing}; name a run folder that has finished, or an artefact."
    )


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read both files; once more when the folder was swapped for another between the two."""
    while True:
        before = _stamp(folder), _stamp(folder / INSIDE)
        try:
            return _read_once(_artefact(folder))
        except JourneymanError:
            if (_stamp(folder), _stamp(folder / INSIDE)) == before:
                raise


def _stamp(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read_once(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    where = f"'{folder / JSON_NAME}'"
    document = parse_json(read_file(folder / JSON_NAME, MAX_JSON_BYTES), where)
    check_version(document, FORMAT, FORMAT_VERSION, where)
    check_keys(document, _SCHEMA, where)
    _check_text(document["links"], f"{where}, 'links'")
    _check_text({name: v for name, v in document["versions"].items() if v is not None}, f"{where}, 'versions'")
    arrays = read_arrays(folder / ARRAYS_NAME, document["arrays"])
    _check_structure(document["structure"], set(arrays), where)
    _check_finite(arrays, document["structure"], f"'{folder}'")
    found = _identity(document["structure"], arrays)
    if found != document["fingerprint"]:
        raise JourneymanError(
            f"{where} was changed after it was written: its structure or its fingerprint differs"
            f" ({document['fingerprint']} is written, {found} is found); write it again."
        )
    if _checksum(document) != document["checksum"]:
        raise JourneymanError(f"{where} was changed after it was written: links or versions differ; write it again.")
    return document, arrays


def check_target(folder: Path, overwrite: bool) -> None:
    """Refuse a folder where no artefact may be written: a file, foreign content, an artefact without `overwrite`."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise JourneymanError(f"'{folder}' is a file, and a policy is a folder; choose another name.")
    names = sorted(entry.name for entry in folder.iterdir())
    foreign = [name for name in names if name not in (JSON_NAME, ARRAYS_NAME)]
    if names and not overwrite:
        raise JourneymanError(
            f"'{folder}' exists already and nothing is ever overwritten unasked; choose another folder or"
            " pass overwrite."
        )
    if foreign:
        raise JourneymanError(
            f"'{folder}' holds '{foreign[0]}', which no policy wrote, so it is not overwritten; choose another folder."
        )


def _identity(structure: Any, arrays: Mapping[str, np.ndarray]) -> str:
    return fingerprint((canonical_json(structure), dict(arrays)))


def _checksum(document: Mapping[str, Any]) -> str:
    return fingerprint(canonical_json({key: value for key, value in document.items() if key != "checksum"}))


def _check_text(table: Mapping[str, Any], where: str) -> None:
    refuse(
        [
            f"{where}: '{key}' must be a string, not {str(value)[:40]!r}; write the file again."
            for key, value in table.items()
            if not isinstance(value, str)
        ]
    )


def _check_structure(structure: Any, names: set[str], where: str) -> None:
    """Every node has one of the forms of `parts.describe`, and names each array exactly once."""
    seen: list[str] = []
    waiting = [structure]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        if not isinstance(item, dict):
            continue
        kind = next((kind for kind in ("array", "map", "float", "part") if kind in item), None)
        expected = dict if kind == "map" else str
        if kind is None or not isinstance(item[kind], expected) or (kind != "part" and len(item) > 1):
            raise JourneymanError(f"{where} has a structure with the node {str(item)[:60]}; write the file again.")
        if kind == "float" and item["float"] not in ("nan", "inf", "-inf"):
            raise JourneymanError(f"{where} has the number {item['float'][:40]!r}; write the file again.")
        seen += [item["array"]] if kind == "array" else []
        waiting += [value for key, value in (item["map"] if kind == "map" else item).items() if key != kind]
    if len(seen) != len(set(seen)) or set(seen) != names:
        odd = sorted((set(seen) ^ names) or {name for name in seen if seen.count(name) > 1})
        raise JourneymanError(f"{where}: structure and arrays do not agree about '{odd[0]}'; write the file again.")


def _check_finite(arrays: Mapping[str, np.ndarray], structure: Any, where: str) -> None:
    unbounded: set[str] = set()  # bounds of a space may be infinite: there it means "no bound"
    waiting = [structure]
    while waiting:
        item = waiting.pop()
        values = list(item.values()) if isinstance(item, dict) else item if isinstance(item, list) else []
        if isinstance(item, dict) and item.get("part") == "Box":
            unbounded |= {v["array"] for v in values if isinstance(v, dict) and isinstance(v.get("array"), str)}
        waiting += values
    found = []
    for name, array in arrays.items():
        if jax.numpy.issubdtype(array.dtype, jax.numpy.floating):
            bad = np.isnan(array) if name in unbounded else ~np.isfinite(array)
            if bad.any():
                found.append(
                    f"{where} is not finite: '{name}' has {int(bad.sum())} of {bad.size} entries that are"
                    " NaN or infinite;"
                    " go back to the last finite state."
                )
    refuse(found)


def installed_versions(packages: Sequence[str]) -> dict[str, str | None]:
    """The installed version of each package, without importing it; `None` where there is none."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found
