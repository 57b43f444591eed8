"""A file's columns once its episodes are known: steps, successors and episodes, read piece by piece."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from journeyman.datasets._column import AbstractColumn, Held, Joined, Read, fetch, pieces
from journeyman.datasets._ends import Ends
from journeyman.datasets._open import Findings
from journeyman.datasets._streams import changed, read_header, restore
from journeyman.datasets._table import Table
from journeyman.datasets._values import label
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError


@dataclasses.dataclass(frozen=True)
class Recording:
    """The columns under their proper names and where each stood, the episodes' spans, and how each ended.

    `terminated` and `truncated` hold one entry an episode; `judged` says that a flag of the file told the two apart.
    """

    columns: Mapping[str, Any]
    names: Mapping[str, str]
    ends: Ends
    terminated: np.ndarray
    truncated: np.ndarray
    judged: bool

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each episode, `(episodes,)`."""
        return self.ends.stop - self.ends.start

    @property
    def complete(self) -> bool:
        """Whether what followed each episode's last step is in the file."""
        return self.ends.whole or "next_observation" in self.columns

    def leaves(self, name: str) -> list[tuple[str, AbstractColumn]]:
        """The arrays of a column with their full names; none where there is no such column."""
        found = jax.tree_util.tree_leaves_with_path(self.columns.get(name))
        return [(label(name, path), leaf) for path, leaf in found]

    def now(self, leaf: AbstractColumn) -> AbstractColumn:
        """The observation in which each step's action was chosen, one row a step."""
        if not self.ends.whole:
            return leaf
        steps = int(self.ends.stop[-1])

        def rows(start: int, stop: int) -> np.ndarray:
            at = self.ends.observation_row(np.arange(start, stop))
            return fetch(leaf, int(at[0]), int(at[-1]) + 1)[at - at[0]] if len(at) else fetch(leaf, 0, 0)

        return Read((steps, *leaf.shape[1:]), leaf.dtype, rows)

    def moves(self, index: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Of array `index` of the observation, piece by piece: the steps whose successor is known, what was seen before
        and after each, and whether it is an episode's last."""
        leaf = self.leaves("observation")[index][1]
        following = self.leaves("next_observation")[index][1] if "next_observation" in self.columns else None
        for start, before in pieces(self.now(leaf)):
            rows = np.arange(start, start + len(before))
            last = self.ends.last(rows)
            known = ~last | self.complete
            if not known.any():
                continue
            # without `whole`, the row after the last one is not there; `following` stands in for it below
            at = np.minimum(self.ends.observation_row(rows) + 1, len(leaf) - 1)
            after = fetch(leaf, int(at[0]), int(at[-1]) + 1)[at - at[0]]
            if following is not None and last.any():
                after[last] = fetch(following, start, start + len(before))[last]
            yield rows[known], before[known], after[known], last[known]

    def episode(self, index: int) -> dict[str, Any]:
        """Everything of one episode, read; observations with the last one where it is known."""
        start, stop = int(self.ends.start[index]), int(self.ends.stop[index])
        first = int(self.ends.first[index])
        found = {
            name: jax.tree.map(lambda leaf: fetch(leaf, start, stop), tree)
            for name, tree in self.columns.items()
            if name in ("action", "reward", "next_observation")
        }
        more = 1 if self.ends.whole else 0
        seen = jax.tree.map(lambda leaf: fetch(leaf, first, first + stop - start + more), self.columns["observation"])
        if "next_observation" in found and not more:
            seen = jax.tree.map(
                lambda a, b: np.concatenate([a, b[-1:].astype(a.dtype)]), seen, found["next_observation"]
            )
        return {**found, "observation": seen}


# -- the library's own file -------------------------------------------------------------------------------


def own_columns(path: Path, table: Table, findings: Findings) -> dict[str, AbstractColumn]:
    """The library's own file as flat columns: every run of valid steps one episode, with its last observation.

    One stream is held at a time. Content that is not what was written is a problem. Raises `JourneymanError` for
    actions that are not one array.
    """
    header = read_header(path, table.header or "")
    fields = header["fields"]
    if "array" not in fields["action"]:
        raise JourneymanError(
            f"{path.name}: 'action' is a dictionary or a tuple, and one array of actions can be looked at; join its"
            " entries into one vector a step."
        )
    if told := changed(header, _fingerprint(path, fields, table.arrays)):
        findings.problems.append(told)
    small = {name: restore(path, fields[name], table.arrays).whole() for name in _SMALL}
    valid, elapsed = (small[name].reshape(-1, small[name].shape[-1]) for name in ("valid", "elapsed"))
    ended = small["terminated"] | small["truncated"]
    spans = _runs(valid, elapsed, ended.reshape(valid.shape))
    counts = np.asarray([stop - start for _, start, stop in spans], np.int64)
    found: dict[str, AbstractColumn] = {"episode_end": Held(np.cumsum(counts))}
    for name, field in _FIELDS.items():
        more = 1 if name == "observation" else 0
        tree = restore(path, fields[field], table.arrays)
        for at, leaf in jax.tree_util.tree_leaves_with_path(tree):
            rows = _Streams(leaf, axes=small["valid"].ndim)
            parts = [rows.part(stream, start, stop + more) for stream, start, stop in spans]
            found[label(name, at)] = Joined(parts) if parts else Held(np.zeros((0, *rows.shape), leaf.dtype))
    return _telling(found)


_FIELDS = {
    "observation": "observation",
    "action": "action",
    "target_action": "target",
    "reward": "reward",
    "terminated": "terminated",
    "truncated": "truncated",
}


def _telling(found: dict[str, AbstractColumn]) -> dict[str, AbstractColumn]:
    """Without targets that are the actions, and without rewards that are all 0, which are unknown (`Episodes`)."""
    target = {name: name.replace("target_", "", 1) for name in found if name.split(".")[0] == "target_action"}
    if all(_equal(found[name], found[other]) for name, other in target.items()):
        found = {name: column for name, column in found.items() if name not in target}
    if not any(piece.any() for _, piece in pieces(found["reward"])):
        found = {name: column for name, column in found.items() if name != "reward"}
    return found


def _equal(one: AbstractColumn, other: AbstractColumn) -> bool:
    return all(np.array_equal(piece, other.rows(start, start + len(piece))) for start, piece in pieces(one))


def _fingerprint(path: Path, fields: Mapping[str, Any], arrays: Mapping[str, AbstractColumn]) -> str:
    """`Episodes.fingerprint` of what is in the file, piece by piece."""
    digest = hashlib.sha256()
    for name in Episodes.__dataclass_fields__:
        for at, leaf in jax.tree_util.tree_leaves_with_path(restore(path, fields[name], arrays)):
            digest.update(f".{name}{jax.tree_util.keystr(at)}|{leaf.dtype.str}|{leaf.shape}|".encode())
            for _, piece in pieces(leaf):
                digest.update(np.ascontiguousarray(piece).tobytes())
    return digest.hexdigest()[:16]


_SMALL = ("valid", "elapsed", "terminated", "truncated")


def _runs(valid: np.ndarray, elapsed: np.ndarray, ended: np.ndarray) -> list[tuple[int, int, int]]:
    """Stream, first step and the step after the last of every run of valid steps of one episode."""
    found = []
    for stream in range(len(valid)):
        steps = np.flatnonzero(valid[stream])
        if not len(steps):
            continue
        counts = elapsed[stream][steps].astype(np.int64)
        breaks = ended[stream][steps[:-1]] | (np.diff(steps) != 1) | (np.diff(counts) != 1)
        first, last = np.concatenate([[True], breaks]), np.concatenate([breaks, [True]])
        found += [(stream, int(i), int(j) + 1) for i, j in zip(steps[first], steps[last], strict=True)]
    return found


class _Streams:
    """Streams of an array `(*batch, time, ...)`, of which the latest one is held."""

    def __init__(self, column: AbstractColumn, *, axes: int):
        self.column, self.axes, self.shape = column, axes, column.shape[axes:]
        self._row, self._held = -1, np.zeros(0)

    def part(self, stream: int, start: int, stop: int) -> AbstractColumn:
        """Steps `start … stop−1` of one stream."""

        def rows(first: int, last: int) -> np.ndarray:
            if self.axes == 1:
                return self.column.rows(start + first, start + last)
            return self._stream(stream)[start + first : start + last]

        return Read((stop - start, *self.shape), self.column.dtype, rows)

    def _stream(self, stream: int) -> np.ndarray:
        lead = int(np.prod(self.column.shape[1 : self.axes - 1]))
        row, inner = divmod(stream, lead)
        if row != self._row:
            held = self.column.rows(row, row + 1)
            self._row, self._held = row, held.reshape(lead, *held.shape[self.axes - 1 :])
        return self._held[inner]
