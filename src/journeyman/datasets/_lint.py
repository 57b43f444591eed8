"""What is in a file of demonstrations and what is wrong with it, however large it is."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from journeyman.datasets import _checks as checks
from journeyman.datasets._checks import Remark
from journeyman.datasets._column import AbstractColumn, Read, pieces
from journeyman.datasets._ends import check_flags, check_lengths, find_ends, flags
from journeyman.datasets._extras import check_extras
from journeyman.datasets._lint_page import page
from journeyman.datasets._open import Findings, find_columns
from journeyman.datasets._recording import Recording, own_columns
from journeyman.datasets._survey import Survey, survey
from journeyman.datasets._table import open_table
from journeyman.datasets._values import (
    check_choices,
    check_kinds,
    check_reward,
    check_successor,
    fit_action,
    fit_observation,
    fit_target,
    label,
    spaces_of,
)
from journeyman.datasets._world_checks import WORLD_CHECKS
from journeyman.worlds import AbstractWorld, Timed, TimedHost


@dataclasses.dataclass(frozen=True)
class Lint:
    """What `lint` found.

    `path`, `format`   the file and what it is: "npz", "HDF5", "CSV" or "Minari"
    `lengths`          steps of each episode, `(episodes,)`; empty where the episodes could not be told apart
    `terminated`       how many episodes ended by the world; the others count as cut
    `returns`          each episode's undiscounted return as recorded, or `None` without rewards
    `surveys`          one for each array that is read
    `remarks`          what is wrong (`problem`) and what is worth knowing, each with the name of its check
    `world`            the world that it was held against, or an empty string
    `measured`         what the checks against a world measured, by the name of the check
    """

    path: Path
    format: str
    lengths: np.ndarray
    terminated: int
    returns: np.ndarray | None
    surveys: tuple[Survey, ...]
    remarks: tuple[Remark, ...]
    world: str
    measured: dict[str, Any]

    @property
    def problems(self) -> list[str]:
        """The sentences that say what is wrong."""
        return [remark.sentence for remark in self.remarks if remark.problem]

    @property
    def notes(self) -> list[str]:
        """The sentences that are worth knowing."""
        return [remark.sentence for remark in self.remarks if not remark.problem]

    def page(self) -> str:
        """Everything for a reader, on one page."""
        return page(self)

    def numbers(self) -> dict[str, Any]:
        """Everything for JSON."""
        known = len(self.lengths) > 0
        lengths = self.lengths if known else np.zeros(1, int)
        return {
            "file": str(self.path),
            "format": self.format,
            "world": self.world or None,
            "episodes": len(self.lengths),
            "steps": int(self.lengths.sum()),
            "lengths": {
                "least": int(lengths.min()),
                "median": float(np.median(lengths)),
                "greatest": int(lengths.max()),
            },
            "terminated": self.terminated,
            "truncated": len(self.lengths) - self.terminated,
            "returns": None if self.returns is None else _spread(self.returns),
            "columns": [one.numbers() for one in self.surveys],
            "measured": self.measured,
            "problems": [_told(remark) for remark in self.remarks if remark.problem],
            "notes": [_told(remark) for remark in self.remarks if not remark.problem],
        }


def _told(remark: Remark) -> dict[str, str]:
    return {"check": remark.check, "sentence": remark.sentence}


def _spread(values: np.ndarray) -> dict[str, float | None]:
    known = {"mean": values.mean(), "least": values.min(), "greatest": values.max()}
    return {name: float(value) if np.isfinite(value) else None for name, value in known.items()}


def lint(path: str | os.PathLike[str], *, world: AbstractWorld | None = None) -> Lint:
    """Look through the demonstrations at `path` (all that `read` reads) for faults.

    The file is read piece by piece: what is held does not grow with it, but for a byte or so a step for the flags of
    where episodes end, and one episode or stream at a time. What `read` would refuse is a problem here, with the same
    sentence; so are episodes that repeat others, time limits recorded as terminations, observations that show the
    action chosen in them, copied successors, those seen after a reset, and values mostly outside the bounds of `world`.
    With a `world` that can be put into a recorded state it is also checked that actions stand in the right row, that
    terminated episodes end there, and that the demonstrations solve the task by the world's own rule. What is worth
    knowing but not wrong is told as well: constant and equal columns, angles that wrap, what had to be assumed.

    Raises `JourneymanError` where there is nothing to look at: no such file, of no known kind, or cut short.
    """
    path = Path(path)
    with open_table(path) as table:
        findings = Findings(list(table.notes))
        arrays = table.arrays if table.header is None else own_columns(path, table, findings)
        columns, names = find_columns(arrays, findings)
        check_kinds(columns, findings)
        about = (path, table.format)
        if findings.problems and table.header is None:
            return _without_episodes(about, findings, (), world)
        recording = _recorded(columns, names, findings)
        _fit(columns, world, findings)
        surveys = tuple(_surveys(columns, names, world, fits=not findings.problems))
        if recording is None:
            return _without_episodes(about, findings, surveys, world)
        fits = not findings.problems
        remarks = _remarks(surveys, recording, findings, world)
        measured: dict[str, Any] = {}
        if world is not None and fits and not any(remark.check == "not finite" for remark in remarks):
            for name, check in WORLD_CHECKS.items():
                found, numbers = check(recording, world, returns_of(recording))
                remarks += found
                measured[name] = numbers
        given = "" if world is None else world.name
        ended = int(recording.terminated.sum())
        returns = returns_of(recording)
        return Lint(*about, recording.lengths, ended, returns, surveys, tuple(remarks), given, measured)


def _without_episodes(
    about: tuple[Path, str], findings: Findings, surveys: tuple[Survey, ...], world: AbstractWorld | None
) -> Lint:
    remarks = [Remark("form", True, problem) for problem in findings.problems]
    remarks += checks.not_finite(surveys, None)
    remarks += [Remark("reading", False, note) for note in findings.notes]
    given = "" if world is None else world.name
    return Lint(*about, np.zeros(0, int), 0, None, surveys, tuple(remarks), given, {})


def _recorded(columns: dict[str, Any], names: dict[str, str], findings: Findings) -> Recording | None:
    """The episodes, by the same rules as `read`; the small columns that tell them apart are held."""
    held = {name: columns[name].whole() for name in _TELLING if name in columns}
    flag = flags({**columns, **held}, names, findings)
    ends = find_ends({**columns, **held}, flag, findings)
    reward = columns.get("reward")
    if reward is not None and reward.ndim == 2 and reward.shape[1] == 1:
        columns["reward"] = Read((len(reward),), reward.dtype, lambda start, stop: reward.rows(start, stop)[:, 0])
    check_reward(columns, len(columns["action"]), findings)
    check_extras(columns, ends, findings)
    if ends is None:
        return None
    last = check_flags(ends, flag, findings)
    check_successor(columns, ends, findings)
    recording = Recording(columns, names, ends, last["terminated"], last["truncated"], "terminated" in flag)
    check_lengths(ends, recording.complete, findings)
    if not recording.complete:
        findings.notes.append(
            f"What followed each episode's last step is not recorded, so `read` leaves out {len(ends.stop):,} of"
            f" {int(ends.stop[-1]):,} steps; record 'next_observation', or each episode's last observation too."
        )
    if reward is None:
        findings.notes.append("No rewards are recorded, so the file does not say what the demonstrations are worth.")
    return recording


_TELLING = ("episode_end", "episode_index", "episode_start", "terminated", "truncated", "done")


def _fit(columns: dict[str, Any], world: AbstractWorld | None, findings: Findings) -> None:
    """Shapes, kinds and choices against the world's, by the rules of `read`; actions get its shape."""
    check_choices(columns, world, findings)
    names = ("action", "target_action", "observation")
    empty = {name: jax.tree.map(lambda leaf: leaf.rows(0, 0), columns[name]) for name in names if name in columns}
    action, shape = columns["action"], fit_action(empty["action"], world, findings).shape[1:]
    if "target_action" in empty and columns["target_action"].shape == action.shape:
        fit_target(empty["target_action"], empty["action"], world, findings)
    if shape != action.shape[1:]:
        columns["action"] = Read(
            (len(action), *shape), action.dtype, lambda start, stop: action.rows(start, stop).reshape(-1, *shape)
        )
    fit_observation(empty["observation"], world, findings)


def _surveys(
    columns: dict[str, Any], names: dict[str, str], world: AbstractWorld | None, *, fits: bool
) -> list[Survey]:
    """One pass over every array of numbers."""
    found = []
    spaces = spaces_of(columns, world) if fits else {}
    for name in ("observation", "action", "reward", "next_observation", "target_action", "log_prob"):
        for path, leaf in jax.tree_util.tree_leaves_with_path(columns.get(name)):
            full = label(name, path)
            key = ".".join([names[name], *full.split(".")[1:]])
            if leaf.dtype.kind not in "fiub":
                continue  # a log-probability that is none has been refused
            found.append(survey(full, key, leaf, spaces.get(full) if name in ("observation", "action") else None))
    return found


def _remarks(
    surveys: tuple[Survey, ...], recording: Recording, findings: Findings, world: AbstractWorld | None
) -> list[Remark]:
    remarks = [Remark("form", True, problem) for problem in findings.problems]
    remarks += checks.not_finite(surveys, recording.ends)
    remarks += checks.outside(surveys, "" if world is None else world.name)
    if not findings.problems:
        remarks += checks.copied_successors(recording)
        remarks += checks.successors_of_resets(recording)
        remarks += checks.angles(recording)
    if not isinstance(world, (Timed, TimedHost)):  # theirs end when the time is up
        remarks += checks.time_limits(recording, None if world is None else world.horizon)
    remarks += checks.duplicated_episodes(recording)
    remarks += checks.duplicated_columns(surveys, recording)
    remarks += checks.constant_columns(surveys)
    remarks += checks.short_episodes(recording)
    return remarks + [Remark("reading", False, note) for note in findings.notes]


def returns_of(recording: Recording) -> np.ndarray | None:
    """Each episode's undiscounted return, added up in double precision, piece by piece."""
    reward = recording.columns.get("reward")
    if not isinstance(reward, AbstractColumn) or reward.shape != (int(recording.ends.stop[-1]),):
        return None
    found = np.zeros(len(recording.lengths))
    for start, piece in pieces(reward):
        episode = np.searchsorted(recording.ends.stop, np.arange(start, start + len(piece)), side="right")
        found += np.bincount(episode, piece.astype(np.float64), minlength=len(found))
    return found
