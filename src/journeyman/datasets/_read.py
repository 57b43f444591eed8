"""Flat arrays of all steps, as people record them, to `Episodes`."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from journeyman.corrections._packing import placed
from journeyman.datasets._angles import wrapping_columns
from journeyman.datasets._checks import successors_of_resets
from journeyman.datasets._column import AbstractColumn, Held
from journeyman.datasets._ends import Ends, check_flags, check_lengths, find_ends, flags
from journeyman.datasets._extras import find_extras
from journeyman.datasets._open import Findings, find_columns
from journeyman.datasets._recording import Recording
from journeyman.datasets._streams import read_streams
from journeyman.datasets._table import Table, open_table
from journeyman.datasets._values import (
    check_choices,
    check_finite,
    check_kinds,
    check_reward,
    check_successor,
    fit_action,
    fit_observation,
    fit_target,
    label,
)
from journeyman.episodes import EXPERT, Episodes
from journeyman.parts import counted, refuse


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What a file held.

    `episodes`     one row an episode, padded to the longest; where more than three quarters of the rows would be
                   padding, episodes follow one another in their order, in rows as long as the longest
    `notes`        what was assumed or changed on the way, one sentence each, for the user to read
    `fingerprint`  names the data; checkpoints and reports carry it
    `path`         where it was read; the folder of a data set that was given by its id
    `columns`      which array of the file became which column, `{"observation": "obs", ...}`
    `returns`      each episode's undiscounted return as recorded, float64, or `None` without rewards
    `best`         each episode's highest single reward as recorded, or `None` without rewards
    `actions`      all recorded actions of each episode, also those whose step is left out of `episodes` because
                   no successor was recorded: what a replay needs
    """

    episodes: Episodes
    notes: list[str]
    fingerprint: str
    path: Path
    columns: dict[str, str]
    returns: np.ndarray | None
    best: np.ndarray | None
    actions: tuple[np.ndarray, ...]


def read(path: str | os.PathLike[str], *, world: Any = None, source: int = EXPERT) -> Dataset:
    """Read demonstrations from `path`: npz, HDF5, CSV, a folder of Minari's, LeRobot's or `imitation`'s, a Minari id,
    or `lasa:SHAPE` (handwriting).

    Whatever the format, flat arrays of all steps, episode after episode: `observation (N, ...)` (or `observation.KEY`
    for dictionaries), `action (N, ...)`, optionally `reward`, `terminated`, `truncated`, `next_observation`,
    `target_action`, `log_prob`, `elapsed` and `source`, and where episodes end: `episode_end` (the cumulative count of
    steps after each), the flags, `episode_start` or `episode_index`. Usual other names are understood and noted. In
    HDF5 these are datasets (D4RL's layout), or groups `data/demo_0`, … (robomimic) or `episode_0`, … (Minari); in CSV
    vectors are numbered columns, `observation_0`, `observation_1`, …. A file that `write` made is recognised and read
    as it is. An id that is not below Minari's own folder is downloaded. Large arrays that lie in a file as they are are
    mapped into memory, not read.

    With one observation more than actions in each episode, or with `next_observation`, every step is kept.
    Otherwise the successor of an episode's last observation was never recorded; as `Episodes` promises true
    successors, that last step is left out and noted (its reward still counts in `returns`). `world`, where given,
    is what shapes, dtypes and bounds are held against, and in whose shapes and dtypes the arrays come, those of a file
    that `write` made too. `source` marks who acted (`EXPERT`, `HUMAN`, ...) where the file does not.

    Raises `JourneymanError` with every problem of the file at once: arrays of Python objects (never unpickled),
    missing columns, counts that do not fit, nan and inf, dtypes, ends that do not increase, rows out of order, and
    shapes that are not the world's.
    """
    path = Path(path)
    with open_table(path) as table:
        path = table.where or path
        if table.header is not None:
            return _own(path, table, world)
        findings = Findings(list(table.notes))
        columns, names = find_columns(table.arrays, findings)
        check_kinds(columns, findings)
        _refuse(path, findings)  # without numbers under the two main names nothing further can be said
        columns = jax.tree.map(AbstractColumn.whole, columns, is_leaf=lambda item: isinstance(item, AbstractColumn))
    return _flat(path, columns, names, findings, world, source)


def _flat(
    path: Path, columns: dict[str, Any], names: dict[str, str], findings: Findings, world: Any, source: int
) -> Dataset:
    """`read` of a file that is not the library's own."""
    flag = flags(columns, names, findings)
    ends = find_ends(columns, flag, findings)
    check_reward(columns, len(columns["action"]), findings)
    check_finite(columns, ends, findings)
    last = {}
    if ends is not None:
        last = check_flags(ends, flag, findings)
        check_successor(columns, ends, findings)
    check_choices(columns, world, findings)
    extras = find_extras(columns, ends, world, findings)
    columns["action"] = fit_action(columns["action"], world, findings)
    columns["observation"] = fit_observation(columns["observation"], world, findings)
    if "next_observation" in columns:  # notes and problems would repeat those on 'observation', which is built alike
        columns["next_observation"] = fit_observation(columns["next_observation"], world, Findings())
    _refuse(path, findings)
    assert ends is not None  # a missing span is always a problem
    held = jax.tree.map(Held, columns)
    recording = Recording(held, names, ends, last["terminated"], last["truncated"], "terminated" in flag)
    findings.notes += [remark.sentence for remark in successors_of_resets(recording)]
    extras.setdefault("source", np.full(len(columns["action"]), source, np.int8))
    episodes, kept = _rows(path, columns, ends, last, extras, findings)
    _describe_columns(episodes, findings)
    returns, best = _scores(columns.get("reward"), ends, kept)
    actions = tuple(part for part, keep in zip(np.split(columns["action"], ends.stop[:-1]), kept, strict=True) if keep)
    return Dataset(episodes, findings.notes, episodes.fingerprint(), path, names, returns, best, actions)


def _refuse(path: Path, findings: Findings) -> None:
    refuse([f"{path.name}: {problem}" for problem in findings.problems])


def _own(path: Path, table: Table, world: Any) -> Dataset:
    findings = Findings(list(table.notes))
    episodes = read_streams(path, table.header or "", table.whole())
    if world is not None:
        episodes = _fitted(path, episodes, world, findings)
    known = bool((np.asarray(episodes.reward)[np.asarray(episodes.valid)] != 0).any())
    pieces = list(episodes.unpack())
    returns = np.asarray([piece.reward[piece.valid].sum(dtype=np.float64) for piece in pieces]) if known else None
    best = np.asarray([piece.reward[piece.valid].max() for piece in pieces], np.float64) if known else None
    names = {name: name for name in Episodes.__dataclass_fields__}
    actions = tuple(piece.action for piece in pieces)
    return Dataset(episodes, findings.notes, episodes.fingerprint(), path, names, returns, best, actions)


def _fitted(path: Path, episodes: Episodes, world: Any, findings: Findings) -> Episodes:
    """The library's own streams in the shapes and dtypes of the world's, by the rules for any other file's columns."""
    lead = episodes.valid.shape
    flat = lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[len(lead) :])  # noqa: E731
    fields = {"observation": episodes.observation, "action": episodes.action, "target_action": episodes.target}
    columns = {name: jax.tree.map(flat, tree) for name, tree in fields.items()}
    check_choices(columns, world, findings)
    action = fit_action(columns["action"], world, findings)
    target = fit_target(columns["target_action"], columns["action"], world, findings)
    observation = fit_observation(columns["observation"], world, findings)
    _refuse(path, findings)
    step = lambda leaf: leaf.reshape(*lead, *leaf.shape[1:])  # noqa: E731
    seen = lambda leaf: leaf.reshape(*lead[:-1], lead[-1] + 1, *leaf.shape[1:])  # noqa: E731
    return dataclasses.replace(
        episodes, action=step(action), target=step(target), observation=jax.tree.map(seen, observation)
    )


def _rows(
    path: Path,
    columns: dict[str, Any],
    ends: Ends,
    flags_of_last: dict[str, np.ndarray],
    extras: dict[str, np.ndarray],
    findings: Findings,
) -> tuple[Episodes, np.ndarray]:
    """The steps in their rows, gathered at once, and which episodes were kept."""
    recorded = ends.stop - ends.start
    complete = ends.whole or "next_observation" in columns
    steps = recorded if complete else recorded - 1
    kept = steps > 0
    if not complete:
        _note_dropped(columns, ends, flags_of_last, findings)
    check_lengths(ends, complete, findings)
    _refuse(path, findings)
    start, last, first, steps = (x[kept] for x in (ends.start, ends.stop - 1, ends.first, steps))
    newest = steps if ends.whole else recorded[kept] - 1  # the last observation of each in its own array
    seen, since = _cells(steps)
    own, step = seen[:, :-1], since[:, :-1]
    valid, at_end = step < steps[own], step == steps[own] - 1
    row = start[own] + np.minimum(step, steps[own] - 1)
    before = first[seen] + np.minimum(since, newest[seen])
    observation = jax.tree.map(lambda leaf: leaf[before], columns["observation"])
    if complete and not ends.whole:
        past = since >= steps[seen]
        observation = _with_successors(observation, columns["next_observation"], past, last[seen[past]])
    ended = {name: at_end & flag[kept][own] for name, flag in flags_of_last.items()}
    fields = {**_steps(columns, extras, row, valid), **ended, "observation": observation, "valid": valid}
    elapsed = extras.get("elapsed", np.zeros(len(columns["action"]), np.int32))[start][own] + step.astype(np.int32)
    return Episodes(elapsed=elapsed, **fields), kept


def _cells(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every observation of every row (see `placed`), whose episode it shows and how many steps after its start.

    Padding, and the reset step between two episodes, belong to the one before.
    """
    row, begin = placed(steps, np.ones(len(steps), bool))
    time = int(steps.max()) + 1
    cell = np.arange((int(row[-1]) + 1) * time)
    episode = np.searchsorted(row * time + begin, cell, side="right") - 1
    since = cell % time - begin[episode]
    return episode.reshape(-1, time), since.reshape(-1, time)


def _steps(
    columns: dict[str, Any], extras: dict[str, np.ndarray], row: np.ndarray, valid: np.ndarray
) -> dict[str, np.ndarray]:
    """What stands in the rows of the steps, where it was recorded."""
    action, reward = columns["action"][row], columns.get("reward")
    return {
        "action": action,
        "target": extras["target_action"][row] if "target_action" in extras else action,
        "reward": np.zeros(valid.shape, np.float32)
        if reward is None
        else np.where(valid, reward[row], 0).astype(np.float32),
        "log_prob": extras["log_prob"][row] if "log_prob" in extras else np.full(valid.shape, np.nan, np.float32),
        "source": extras["source"][row],
    }


def _note_dropped(columns: dict[str, Any], ends: Ends, last: dict[str, np.ndarray], findings: Findings) -> None:
    """The last step of each episode goes, and with it the right to call an end real."""
    episodes, steps = len(ends.stop), int(ends.stop[-1])
    reward = columns.get("reward")
    lost = ""
    if reward is not None:
        total = np.abs(reward[ends.stop - 1]).sum()
        lost = f", and with them rewards of {total:.4g} in all, which the score still counts"
    findings.notes.append(
        f"{episodes:,} of {steps:,} steps, the last of each episode, are left out: the observation that followed was"
        f" not recorded{lost}. Record 'next_observation', or each episode's last observation too, to keep them."
    )
    if last["terminated"].any():
        findings.notes.append(
            f"{int(last['terminated'].sum())} of {episodes:,} episodes ended by the world, on the step that is left"
            " out, and count as cut one step earlier, where the value of what follows is not 0."
        )
    single = ends.stop - ends.start == 1
    if single.any():
        findings.notes.append(f"Gone with its only step: {counted(int(single.sum()))}.")
    last["terminated"] = np.zeros(episodes, bool)
    last["truncated"] = np.ones(episodes, bool)


def _with_successors(observation: Any, following: Any, past: np.ndarray, last: np.ndarray) -> Any:
    """The observations `past` the end of their episode replaced by the recorded successor of its last step."""

    def replace(leaf: np.ndarray, after: np.ndarray) -> np.ndarray:
        leaf[past] = after[last].astype(leaf.dtype)
        return leaf

    return jax.tree.map(replace, observation, following)


def _scores(reward: np.ndarray | None, ends: Ends, kept: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    if reward is None:
        return None, None
    reward = reward.astype(np.float64)
    return np.add.reduceat(reward, ends.start)[kept], np.maximum.reduceat(reward, ends.start)[kept]


def _describe_columns(episodes: Episodes, findings: Findings) -> None:
    """Note angles that wrap and columns that never change: both need care when cloning."""
    for column in wrapping_columns(episodes):
        findings.notes.append(
            f"Observation column {column} looks like an angle in radians that wraps; a network sees a jump of 2π where"
            " nothing jumped, unless the policy is given its cosine and sine."
        )
    valid = np.asarray(episodes.valid)
    for path, leaf in jax.tree_util.tree_leaves_with_path(episodes.now):
        if leaf.ndim != valid.ndim + 1:
            continue
        values = leaf[valid]
        for column in np.flatnonzero((values == values[0]).all(axis=0)):
            findings.notes.append(
                f"'{label('observation', path)}' column {column} is {values[0, column]:g} in every step and tells"
                " nothing."
            )
