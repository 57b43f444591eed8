"""Checkpoints: the whole state of a run, exact to the bit, complete or not there at all."""

import contextlib
import functools
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from journeyman.parts import JourneymanError, did_you_mean, fingerprint, refuse
from journeyman.policies._files import (
    MAX_JSON_BYTES,
    check_keys,
    check_version,
    parse_json,
    pretty_json,
    read_file,
    temporary_sibling,
    whole_folder,
    write_file,
)
from journeyman.training._progress import postponed

FORMAT, FORMAT_VERSION = "journeyman-checkpoint", 1
JSON_NAME, ARRAYS_NAME = "checkpoint.json", "arrays"

_SCHEMA: dict[str, tuple[type, ...]] = {
    "format": (str,),
    "format_version": (int,),
    "step": (int,),
    "leaves": (dict,),
    "files": (dict,),
    "meta": (dict,),
}
_LEAF_SCHEMA: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "dtype": (str,),
    "shape": (list,),
    "digest": (str,),
}
_REMOVE = "remove that checkpoint's folder to continue from the one before it"
_SCALARS: dict[str, type] = {kind.__name__: kind for kind in (bool, int, float, str)}


class Checkpoints:
    """The last `keep` checkpoints of a run, each a folder named by its step.

    A checkpoint holds the arrays as Orbax writes them, one entry a leaf under the leaf's path, and
    `checkpoint.json` with the type, shape and digest of every leaf. It is put together in a hidden folder and
    renamed when it is durable: a process killed at any moment leaves the previous checkpoint as it was.
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        if keep < 1:
            raise JourneymanError(f"At least one checkpoint must be kept, not {keep}; pass keep=1 or more.")
        self.folder = Path(folder)
        self.keep = keep

    def steps(self) -> list[int]:
        """The steps with a complete checkpoint, ascending."""
        if not self.folder.is_dir():
            return []
        names = [entry.name for entry in self.folder.iterdir() if (entry / JSON_NAME).is_file()]
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def latest(self) -> int | None:
        """The step of the newest complete checkpoint, `None` where there is none."""
        return max(self.steps(), default=None)

    def save(self, step: int, tree: PyTree, *, meta: Mapping[str, Any] | None = None) -> None:
        """Write `tree` as the checkpoint of `step`; it is durable when this returns.

        Args:
            step: from 0 up; a checkpoint of the same step is replaced, older ones beyond `keep` go.
            tree: leaves are JAX or NumPy arrays and scalars (random keys too), Python numbers or strings.
            meta: plain JSON that `restore` gives back.

        Raises `JourneymanError` for a leaf of another kind, naming it, and `OSError` where the disk does not take it;
        the checkpoints before it are as they were.
        """
        if step < 0:
            raise JourneymanError(f"A checkpoint's step counts from 0, but it is {step}; pass the steps done.")
        leaves, arrays = _describe(tree)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        with whole_folder(self.folder / _name(step), replace=True) as hidden:
            _write_arrays(hidden / ARRAYS_NAME, arrays)
            document = {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "step": int(step),
                "leaves": leaves,
                "files": _digests(hidden / ARRAYS_NAME),
                "meta": dict(meta or {}),
            }
            write_file(hidden / JSON_NAME, _json(document))
        for old in [other for other in self.steps() if other <= step][: -self.keep]:
            self._remove(old)

    def restore(self, template: PyTree, step: int | None = None) -> tuple[PyTree, dict[str, Any]]:
        """The tree and the `meta` of one checkpoint (the newest unless `step` says otherwise), bit for bit.

        `template` is a tree like the one saved: the leaf names, kinds, types and shapes must be the same, and
        its leaves decide where arrays go (JAX or NumPy). Its values are never used. Raises `JourneymanError`
        that names every field that is missing, unknown or different, or says that there is no checkpoint.
        """
        step = self.existing(step)
        document = self._document(step)
        expected, leaves = _describe(template)[0], document["leaves"]
        _compare(expected, leaves, f"The checkpoint of step {step} in '{self.folder}'")
        # Orbax is asked about whole files only: a broken one would leave its threads complaining on stderr
        damaged = set(document["files"].items()) ^ set(_digests(self.folder / _name(step) / ARRAYS_NAME).items())
        if damaged:
            raise _damage(self.folder / _name(step), f"its file '{min(damaged)[0]}' is not as it was written")
        arrays = _read_arrays(self.folder / _name(step) / ARRAYS_NAME, leaves)
        found = {name: _value(entry, arrays.get(name)) for name, entry in leaves.items()}
        for name, entry in leaves.items():
            if fingerprint(str(entry["value"]) if "value" in entry else found[name]) != entry["digest"]:
                raise _damage(self.folder / _name(step), f"'{name}' has other values than were written")
        paths, treedef = jax.tree_util.tree_flatten_with_path(template)
        restored = [_like(leaf, found[_path_name(path)]) for path, leaf in paths]
        return jax.tree.unflatten(treedef, restored), document["meta"]

    def meta(self, step: int | None = None) -> dict[str, Any]:
        """The `meta` of one checkpoint, without its arrays."""
        return self._document(self.existing(step))["meta"]

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of later steps: what `restore` of an earlier one makes untrue."""
        for later in [other for other in self.steps() if other > step]:
            self._remove(later)

    def existing(self, step: int | None) -> int:
        """`step`, or the newest where it is `None`; raises `JourneymanError` when there is no such"
        " checkpoint."""
        steps = self.steps()
        if not steps:
            raise JourneymanError(
                f"'{self.folder}' holds no complete checkpoint, so there is nothing to continue from; start"
                " the run again (--overwrite, in Python overwrite=True, if the folder is to be used)."
            )
        if step is not None and step not in steps:
            raise JourneymanError(f"There is no checkpoint of step {step} in '{self.folder}'; there are {steps}.")
        return steps[-1] if step is None else step

    def _document(self, step: int) -> dict[str, Any]:
        path = self.folder / _name(step) / JSON_NAME
        document = parse_json(read_file(path, MAX_JSON_BYTES), f"'{path}'", _REMOVE)
        check_version(document, FORMAT, FORMAT_VERSION, f"'{path}'")
        check_keys(document, _SCHEMA, f"'{path}'", _REMOVE)
        for name, entry in document["leaves"].items():
            kind = _SCALARS.get(entry.get("kind", "") if isinstance(entry, dict) else "")
            value = {"value": (str if kind is float else kind,)} if kind else {}
            check_keys(entry, _LEAF_SCHEMA | value, f"'{path}', '{name}'", _REMOVE)
        if any(not isinstance(digest, str) for digest in document["files"].values()):
            raise _damage(path, "'files' must hold digests")
        if document["step"] != step:
            raise _damage(path, f"it says step {document['step']}")
        return document

    def _remove(self, step: int) -> None:
        """Hide first, then delete: a folder with a step's name is complete at every moment."""
        hidden = temporary_sibling(self.folder / _name(step))
        os.rename(self.folder / _name(step), hidden)
        shutil.rmtree(hidden, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what a killed process left half-written (one process at a time writes a run)."""
        for entry in self.folder.glob(".*.tmp-*"):
            shutil.rmtree(entry, ignore_errors=True)


def _name(step: int) -> str:
    return f"{step:012d}"


def _digests(folder: Path) -> dict[str, str]:
    """Which files Orbax wrote, and a digest of each."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files}


def _json(document: Any) -> bytes:
    try:
        return pretty_json(document)
    except (TypeError, ValueError) as error:
        raise JourneymanError(f"`meta` must be plain JSON with finite numbers ({error}); convert it first.") from error


def _damage(path: Path, what: str) -> JourneymanError:
    return JourneymanError(f"'{path}' is damaged: {what}; {_REMOVE}.")


# -- leaves ---------------------------------------------------------------------------------------------


def _path_name(path: Any) -> str:
    return jax.tree_util.keystr(path) or "."


def _describe(tree: PyTree) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """What `checkpoint.json` says about each leaf, and the arrays that Orbax writes."""
    leaves: dict[str, dict[str, Any]] = {}
    arrays: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = _path_name(path)
        if type(leaf) in _SCALARS.values():
            # hexadecimal, because JSON has no NaN and no infinity
            value = leaf.hex() if type(leaf) is float else leaf
            leaves[name] = {"kind": type(leaf).__name__, "dtype": "", "shape": [], "value": value}
            leaves[name]["digest"] = fingerprint(str(value))
            continue
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            kind, array = f"key {jax.random.key_impl(leaf)}", np.asarray(jax.random.key_data(leaf))
        elif isinstance(leaf, (jax.Array, np.ndarray, np.generic)) and np.asarray(leaf).dtype.kind != "O":
            kind, array = "array", np.asarray(leaf)
        else:
            raise JourneymanError(
                f"'{name}' is a {type(leaf).__name__}, which a checkpoint cannot hold; keep arrays, numbers"
                " and"
                " strings in the state and pass the rest again in Python."
            )
        leaves[name] = {"kind": kind, "dtype": array.dtype.name, "shape": list(array.shape)}
        leaves[name]["digest"] = fingerprint(array)
        arrays[name] = array
    return leaves, arrays


def _compare(expected: Mapping[str, Any], found: Mapping[str, Any], where: str) -> None:
    again = "continue with the version and the settings that wrote it, or start a new run"
    wrong = [f"{where} lacks '{name}', which this run has; {again}." for name in expected if name not in found]
    wrong += [
        f"{where} has '{name}', which this run does not know.{did_you_mean(name, expected)} Nothing is"
        " dropped"
        f" silently: {again}."
        for name in found
        if name not in expected
    ]
    for name in [name for name in expected if name in found]:
        mine, theirs = ((e[name]["kind"], e[name]["dtype"], e[name]["shape"]) for e in (expected, found))
        if mine != theirs:
            wrong.append(f"{where} has '{name}' as {_words(theirs)} where this run has {_words(mine)}; {again}.")
    refuse(wrong)


def _words(form: tuple[str, str, list[int]]) -> str:
    kind, dtype, shape = form
    return f"{kind} of {dtype} {shape}" if dtype else kind


def _value(entry: Mapping[str, Any], array: np.ndarray | None) -> Any:
    if "value" in entry:
        value = entry["value"]
        return float.fromhex(value) if entry["kind"] == "float" else value
    return np.zeros(entry["shape"], np.dtype(entry["dtype"])) if array is None else array


def _like(template: Any, value: Any) -> Any:
    """`value` as the kind of leaf that `template` is."""
    if not isinstance(template, jax.Array):
        return template.dtype.type(value) if isinstance(template, np.generic) else value
    if jnp.issubdtype(template.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(template))
    if template.weak_type and value.ndim == 0:  # another weak type would compile the step anew
        return jnp.asarray(value.item())
    return jnp.asarray(value)


# -- Orbax ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Orbax tells absl's log of every save, and each array of one that fails complains that nobody waits for it any
    more; a training run's terminal is not the place."""
    logger, hook = logging.getLogger("absl"), sys.unraisablehook
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = hook if getattr(hook, "func", None) is _told else functools.partial(_told, hook)
    try:
        yield
        sys.unraisablehook = hook  # where it failed, the complaints go on
    finally:
        logger.setLevel(before)


def _told(hook: Callable[[Any], Any], complaint: Any) -> None:
    if str(complaint.exc_value) != "Event loop is closed":
        hook(complaint)


@functools.cache
def _orbax() -> Any:
    import orbax.checkpoint

    # a save that failed leaves tasks behind, and Python complains of each when it is collected
    logging.getLogger("asyncio").addFilter(lambda record: "orbax" not in record.getMessage())
    return orbax.checkpoint.Checkpointer(orbax.checkpoint.PyTreeCheckpointHandler())


def _write_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    # Orbax refuses arrays without elements; they are told by their declaration alone.
    filled = {name: array for name, array in arrays.items() if array.size}
    if filled:
        with postponed(), _quiet():
            _orbax().save(folder.absolute(), filled)


def _read_arrays(folder: Path, leaves: Mapping[str, Any]) -> dict[str, np.ndarray]:
    filled = {name for name, entry in leaves.items() if entry["dtype"] and 0 not in entry["shape"]}
    if not filled:
        return {}
    try:
        with postponed(), _quiet():
            arrays = _orbax().restore(folder.absolute())
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
    except Exception as error:  # Orbax and TensorStore raise what they like for a damaged folder
        raise _damage(folder, f"Orbax cannot read it ({str(error)[:200]})") from error
    odd = sorted(set(arrays) ^ filled)
    if odd:
        raise _damage(folder, f"its arrays and its description do not agree about '{odd[0]}'")
    for name, array in arrays.items():
        entry = leaves[name]
        if (array.dtype.name, list(array.shape)) != (entry["dtype"], entry["shape"]):
            raise _damage(folder, f"'{name}' is {array.dtype} {array.shape}, not as described")
    return arrays
