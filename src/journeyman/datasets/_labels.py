"""Labels from a file: what a person or another program says should have been done where the learner went."""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from journeyman.datasets._column import AbstractColumn
from journeyman.datasets._open import Findings, find_columns
from journeyman.datasets._read import read
from journeyman.datasets._table import open_table
from journeyman.datasets._values import check_kinds
from journeyman.episodes import HUMAN, Episodes
from journeyman.parts import JourneymanError, refuse

_SHOWN = 3


class Labelled(NamedTuple):
    """The visited steps with their labels as targets; `labels` of `steps` have one; `notes` for the user to read."""

    episodes: Episodes
    labels: int
    steps: int
    notes: list[str]


def labelled(
    visited: Episodes, path: str | os.PathLike[str], *, partial: bool = False, source: int = HUMAN
) -> Labelled:
    """Read labels for `visited` from the file at `path`, and make them the targets.

    The file has one row a label, in any order and any format that `read` knows: `observation` as it was exported, and
    `action`, what should have been done there (in a file that `write` made, its `target`). A row belongs to every
    visited step that shows exactly that observation (in single precision, as it was written). `action` stays what the
    learner did, `source` says who labelled. With `partial` steps without a label are left out (invalid); without it
    they are refused.

    Raises `JourneymanError`, all at once, for observations that were never visited, two labels for one observation that
    differ, visited states without a label, labels that are not finite, labels that are no choice where `visited` holds
    choices (fractions and negative numbers; how many choices there are the file does not say), and shapes that are not
    those of `visited`.
    """
    path = Path(path)
    seen, action, notes = _rows(path, visited)
    axes = visited.valid.ndim
    wanted = _keys(visited.now, axes)
    valid = np.asarray(visited.valid).reshape(-1)
    labels, problems = _table(seen, action, set(wanted[valid].tolist()), np.asarray(visited.action).dtype)
    found = np.asarray([key in labels for key in wanted.tolist()])
    missing = int((valid & ~found).sum())
    if missing and not partial:
        first = np.flatnonzero(valid & ~found)[:_SHOWN].tolist()
        problems.append(
            f"{missing} of {int(valid.sum())} visited steps have no label (the first at {_listed(first)}, counted from"
            " 0 over all rows); label them, or pass partial=True (--partial) to leave them out."
        )
    if valid.any() and not (valid & found).any():
        problems.append("No label belongs to any visited step, so there is nothing to learn from it.")
    refuse([f"{path.name}: {problem}" for problem in problems])
    return Labelled(
        _relabelled(visited, wanted, labels, found, source), int((valid & found).sum()), int(valid.sum()), notes
    )


def _rows(path: Path, visited: Episodes) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The key of each row's observation, its label, and what was assumed."""
    with open_table(path) as table:
        if table.header is not None:
            own = read(path).episodes
            valid = np.asarray(own.valid)
            chosen = lambda leaf: np.asarray(leaf)[valid]  # noqa: E731
            observation, action, notes = jax.tree.map(chosen, own.now), chosen(own.target), []
        else:
            findings = Findings(list(table.notes))
            columns, _ = find_columns(table.arrays, findings, ends=False)
            check_kinds(columns, findings)
            refuse([f"{path.name}: {problem}" for problem in findings.problems])
            whole = lambda item: item.whole() if isinstance(item, AbstractColumn) else item  # noqa: E731
            observation, action = (
                jax.tree.map(whole, columns[name], is_leaf=lambda item: isinstance(item, AbstractColumn))
                for name in ("observation", "action")
            )
            notes = findings.notes
    _require_like(path, observation, action, visited)
    like = jax.tree.leaves(visited.now)
    typed = [np.asarray(a).astype(b.dtype) for a, b in zip(jax.tree.leaves(observation), like, strict=True)]
    return _keys(typed, 1), np.asarray(action), notes


def _require_like(path: Path, observation: Any, action: Any, visited: Episodes) -> None:
    axes = visited.valid.ndim
    shapes = [np.shape(leaf)[1:] for leaf in jax.tree.leaves(observation)] + [np.shape(action)[1:]]
    wanted = [leaf.shape[axes:] for leaf in jax.tree.leaves(visited.now)] + [np.shape(visited.action)[axes:]]
    if shapes != wanted:
        raise JourneymanError(
            f"{path.name}: observations {shapes[:-1]} and labels {shapes[-1]}, where what was visited has {wanted[:-1]}"
            f" and {wanted[-1]}; label the file that was exported."
        )


def _keys(observation: Any, axes: int) -> np.ndarray:
    """The bytes of each observation, for all leading axes in a row; −0 is 0."""
    rows = []
    for leaf in jax.tree.leaves(observation):
        leaf = np.asarray(leaf)
        count = int(np.prod(leaf.shape[:axes]))
        rows.append(
            np.ascontiguousarray(leaf.reshape(count, -1) + np.zeros((), leaf.dtype)).view(np.uint8).reshape(count, -1)
        )
    joined = np.ascontiguousarray(np.concatenate(rows, axis=1))
    return np.asarray([row.tobytes() for row in joined], dtype=object)


def _table(
    seen: np.ndarray, action: np.ndarray, visited: set[bytes], dtype: np.dtype
) -> tuple[dict[bytes, Any], list[str]]:
    """The label of each observation as `dtype`, and what is wrong with the rows."""
    labels: dict[bytes, tuple[int, Any]] = {}
    foreign, double, unfinished, no_choice = [], [], [], []
    for row, (key, label) in enumerate(zip(seen.tolist(), action, strict=True)):
        if key not in visited:
            foreign.append(row)
        elif not _finite(label):
            unfinished.append(row)
        elif dtype.kind in "iu" and not _choice(label, dtype):
            no_choice.append(row)
        elif not np.array_equal(labels.setdefault(key, (row, label.astype(dtype)))[1], label.astype(dtype)):
            double.append((labels[key][0], row))
    problems = []
    if foreign:
        problems.append(
            f"{len(foreign)} of {len(seen)} rows show states that were never visited (rows {_listed(foreign)}); label"
            " the file that was exported, and leave its observations as they are."
        )
    if double:
        pairs = ", ".join(f"{first} and {second}" for first, second in double[:_SHOWN])
        problems.append(
            f"{len(double)} states are labelled twice and differently (rows {pairs}); keep one label for each."
        )
    if unfinished:
        problems.append(
            f"{len(unfinished)} labels are not finite (the first: rows {_listed(unfinished)}); fill them in."
        )
    if no_choice:
        problems.append(
            f"{len(no_choice)} labels are no choice (the first: {action[no_choice[0]]} in row {no_choice[0]}); the"
            " learner's actions are choices, so label with whole numbers from 0 on."
        )
    return {key: label for key, (_, label) in labels.items()}, problems


def _finite(label: Any) -> bool:
    return bool((np.abs(label) <= np.finfo(np.float32).max).all())  # what float32 cannot hold would become inf


def _choice(label: Any, dtype: np.dtype) -> bool:
    return bool(((label >= 0) & (label <= np.iinfo(dtype).max) & (label == np.round(label))).all())


def _listed(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:_SHOWN])) + (" …" if len(rows) > _SHOWN else "")


def _relabelled(
    visited: Episodes, wanted: np.ndarray, labels: dict[bytes, Any], found: np.ndarray, source: int
) -> Episodes:
    target = np.array(visited.target)
    flat = target.reshape(len(wanted), *target.shape[visited.valid.ndim :])
    for place in np.flatnonzero(found):
        flat[place] = labels[wanted[place]]
    keep = np.asarray(visited.valid) & found.reshape(visited.valid.shape)
    return dataclasses.replace(
        visited,
        target=flat.reshape(target.shape),
        reward=np.where(keep, visited.reward, 0).astype(np.asarray(visited.reward).dtype),
        terminated=np.asarray(visited.terminated) & keep,
        truncated=np.asarray(visited.truncated) & keep,
        valid=keep,
        source=np.where(keep, source, visited.source).astype(np.int8),
    )
