"""Labels from a file: what a person or another program says should have been done where the learner went."""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from journeyman.datasets._label_files import Answers, read_answers
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, counted, refuse

_SHOWN = 3


class Labelled(NamedTuple):
    """The visited steps with their labels as targets; `labels` of `steps` have one; `notes` for the user to read."""

    episodes: Episodes
    labels: int
    steps: int
    notes: list[str]


def labelled(visited: Episodes, path: str | os.PathLike[str], *, partial: bool = False) -> Labelled:
    """Read labels for `visited` from the file at `path`, and make them the targets.

    The file has one row a label, in any order and any format that `read` knows: `observation` as it was exported, and
    beside it what should have been done there. That is `target_action`; in a file without one it is `action`; in a file
    that `write` made it is `target`, or `action` where every `target` is what the learner did. Rows of a CSV file
    whose label is blank have none, and neither have steps of `write`'s file that are not valid. A row belongs to every
    visited step that shows exactly that observation (in single precision, as it was written). `action` stays what the
    learner did, and `source` says that it did. With `partial` steps without a label are left out (invalid); without it
    they are refused.

    Raises `JourneymanError`, all at once, for observations that were never visited, two labels for one observation that
    differ, visited states without a label, labels that are not finite, labels that are no choice where `visited` holds
    choices (fractions and negative numbers; how many choices there are the file does not say), and shapes that are not
    those of `visited`. Also where not one label is something else than what the learner did, unless it stands in
    `target_action`: a file that was exported and not touched says that too. And where `action` was changed in rows
    without a label in its own column.
    """
    path = Path(path)
    axes = visited.valid.ndim
    wanted = _keys(visited.now, axes)
    valid = np.asarray(visited.valid).reshape(-1)
    action = np.asarray(visited.action)
    did = action.reshape(-1, *action.shape[axes:])
    answers = read_answers(path)
    seen = _seen(path, answers, visited)
    visits = _visits(wanted, did, valid)
    places = [visits.get(key, []) for key in seen.tolist()]
    row = np.repeat(np.arange(len(places)), [len(place) for place in places])
    label, problems = _chosen(answers, row, did[np.asarray([at for place in places for at in place], int)])
    labels, more = _table(seen, label, answers.given, set(visits), did.dtype)
    found = np.asarray([key in labels for key in wanted.tolist()])
    problems += more + _missing(valid, found, partial)
    refuse([f"{path.name}: {problem}" for problem in problems])
    return Labelled(
        _relabelled(visited, wanted, labels, found),
        int((valid & found).sum()),
        int(valid.sum()),
        answers.notes,
    )


def _missing(valid: np.ndarray, found: np.ndarray, partial: bool) -> list[str]:
    problems = []
    missing = int((valid & ~found).sum())
    if missing and not partial:
        first = np.flatnonzero(valid & ~found)[:_SHOWN].tolist()
        problems.append(
            f"{missing} of {int(valid.sum())} visited steps have no label (the first at {_listed(first)}, counted from"
            " 0 over all rows); label them, or pass partial=True (--partial) to leave them out."
        )
    if valid.any() and not (valid & found).any():
        problems.append("No label belongs to any visited step, so there is nothing to learn from it.")
    return problems


def _visits(wanted: np.ndarray, did: np.ndarray, valid: np.ndarray) -> dict[bytes, list[int]]:
    """The steps that show each observation, one for each action that the learner did there."""
    visits: dict[bytes, dict[bytes, int]] = {}
    for at in np.flatnonzero(valid).tolist():
        visits.setdefault(wanted[at], {}).setdefault(did[at].tobytes(), at)
    return {key: list(steps.values()) for key, steps in visits.items()}


def _seen(path: Path, answers: Answers, visited: Episodes) -> np.ndarray:
    """The key of each row's observation, typed as that of `visited`."""
    _require_like(path, answers.observation, answers.label, visited)
    like = jax.tree.leaves(visited.now)
    typed = [np.asarray(a).astype(b.dtype) for a, b in zip(jax.tree.leaves(answers.observation), like, strict=True)]
    return _keys(typed, 1)


def _chosen(answers: Answers, row: np.ndarray, did: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Each row's label by the rule of `labelled`, and what speaks against it; the learner `did` that where `row` is.

    Who comes by one state twice may do two things there, and a row does not say which of the two it tells of.
    """
    label, column, nowhere = answers.label, answers.column, np.zeros(len(answers.label), bool)
    visited = np.isin(np.arange(len(label)), row)
    moved = visited & answers.given & _differs(label, row, did)
    other = nowhere if answers.action is None else visited & _differs(answers.action, row, did)
    if column == "target" and answers.action is not None and not moved.any():
        label, moved, other = answers.action, other, nowhere
    beside = np.flatnonzero(other & ~(moved if column == "target" else answers.given)).tolist()
    problems = []
    if beside:
        problems.append(
            f"'action' is not what the learner did in {counted(len(beside), 'row')} (rows {_listed(beside)}) where"
            f" '{column}' holds no label; put every label into '{column}', and leave 'action' as it was exported."
        )
    elif column != "target_action" and (visited & answers.given).any() and not moved.any():
        problems.append(
            f"Not one of {counted(int((visited & answers.given).sum()), 'label')} is something else than what the"
            " learner did, so nobody seems to have labelled; where the expert agrees throughout, say so in a column"
            " 'target_action'."
        )
    return label, problems


def _differs(one: np.ndarray, row: np.ndarray, did: np.ndarray) -> np.ndarray:
    """Which rows of `one` are none of the actions `did` there, in their precision; what is nan or blank is none."""
    with np.errstate(over="ignore"):
        mine = np.asarray(one, did.dtype if did.dtype.kind == "f" else float)[row]
    unlike = ((mine != did) & ~np.isnan(mine)).any(axis=tuple(range(1, did.ndim)))
    return ~np.isin(np.arange(len(one)), row[~unlike])


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
    seen: np.ndarray, action: np.ndarray, given: np.ndarray, visited: set[bytes], dtype: np.dtype
) -> tuple[dict[bytes, Any], list[str]]:
    """The label of each observation as `dtype`, and what is wrong with the rows; those without one are passed over."""
    labels: dict[bytes, tuple[int, Any]] = {}
    foreign, double, unfinished, no_choice = [], [], [], []
    for row, (key, label) in enumerate(zip(seen.tolist(), action, strict=True)):
        if key not in visited:
            foreign.append(row)
        elif not given[row]:
            continue
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
            f"Labelled twice and differently: {counted(len(double), 'state')} (rows {pairs}); keep one label for each."
        )
    if unfinished:
        problems.append(
            f"Not finite: {counted(len(unfinished), 'label')} (the first: rows {_listed(unfinished)}); fill in numbers."
        )
    if no_choice:
        problems.append(
            f"No choice: {counted(len(no_choice), 'label')} (the first: {action[no_choice[0]]} in row {no_choice[0]});"
            " the learner's actions are choices, so label with whole numbers from 0 on."
        )
    return {key: label for key, (_, label) in labels.items()}, problems


def _finite(label: Any) -> bool:
    return bool((np.abs(label) <= np.finfo(np.float32).max).all())  # what float32 cannot hold would become inf


def _choice(label: Any, dtype: np.dtype) -> bool:
    return bool(((label >= 0) & (label <= np.iinfo(dtype).max) & (label == np.round(label))).all())


def _listed(rows: list[int]) -> str:
    return ", ".join(map(str, rows[:_SHOWN])) + (" …" if len(rows) > _SHOWN else "")


def _relabelled(visited: Episodes, wanted: np.ndarray, labels: dict[bytes, Any], found: np.ndarray) -> Episodes:
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
    )
