"""Where the episodes of flat arrays end, and whether their last observation was recorded."""

import dataclasses
from typing import Any

import jax
import numpy as np

from journeyman.datasets._open import Findings
from journeyman.parts import counted


@dataclasses.dataclass(frozen=True)
class Ends:
    """Row spans of every episode: actions `start[i] … stop[i]−1`, observations from `first[i]` on.

    `whole` says that each episode has one observation more than actions in the file itself.
    """

    start: np.ndarray
    stop: np.ndarray
    first: np.ndarray
    whole: bool

    def place(self, row: int, *, observation: bool = False) -> str:
        """`episode 3, step 17 (row 417)` for a row of the action (or observation) arrays."""
        starts = self.first if observation else self.start
        episode = int(np.searchsorted(starts, row, side="right")) - 1
        return f"episode {episode}, step {row - int(starts[episode])} (row {row})"

    def last(self, rows: np.ndarray) -> np.ndarray:
        """Whether each of the steps `rows` is the last of its episode."""
        return self.stop[np.searchsorted(self.stop, rows, side="right")] - 1 == rows

    def observation_row(self, rows: np.ndarray) -> np.ndarray:
        """In which rows of the observations the steps `rows` begin."""
        if not self.whole:
            return rows
        return rows + np.searchsorted(self.stop, rows, side="right")


def flags(columns: dict[str, Any], names: dict[str, str], findings: Findings) -> dict[str, np.ndarray]:
    """`terminated` and `truncated` as booleans, where the file has them; `done` is told apart here.

    `done` (or `terminal`) means "the world ended" in some data sets and "the recording stops" in others. Beside
    a column of time limits it can only be the first; alone it counts as a cut, which never claims that the value
    of what follows is 0.
    """
    found, steps = {}, len(columns["action"])
    for name in ("terminated", "truncated", "done"):
        flag = _boolean(columns[name], names[name], findings) if name in columns else None
        if flag is not None and len(flag) != steps:
            findings.problems.append(
                f"'{names[name]}' has {len(flag):,} entries for {steps:,} actions; give one entry a step."
            )
        elif flag is not None:
            found[name] = flag
    if "done" not in found:
        return found
    done, key = found.pop("done"), names["done"]
    if "terminated" in found:
        findings.notes.append(f"'{key}' is not used for what it means: 'terminated' says which ends are real.")
        found.setdefault("truncated", done & ~found["terminated"])
    elif "truncated" in found:
        findings.notes.append(f"'{key}' is taken for 'terminated', since '{names['truncated']}' marks time limits.")
        found["terminated"] = done & ~found["truncated"]
    else:
        findings.notes.append(
            f"'{key}' does not say whether the world ended or the recording was cut; its {int(done.sum())} ends count"
            f" as cut (truncated). If they are real ends of the task, rename '{key}' to 'terminated'."
        )
        found["truncated"] = done
    return found


def _boolean(array: np.ndarray, key: str, findings: Findings) -> np.ndarray | None:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        findings.problems.append(
            f"'{key}' has dtype {array.dtype} and shape {array.shape}; a flag is one true or false a step."
        )
        return None
    if array.dtype.kind != "b" and not np.isin(array, (0, 1)).all():
        row = int(np.flatnonzero(~np.isin(array, (0, 1)))[0])
        findings.problems.append(f"'{key}' is {array[row]} at row {row}; a flag is 0 or 1, or true or false.")
        return None
    return array.astype(bool)


def find_ends(columns: dict[str, Any], flag: dict[str, np.ndarray], findings: Findings) -> Ends | None:
    """The episodes' spans, or `None` after a problem was found."""
    steps = len(columns["action"])
    rows = {len(leaf) for leaf in jax.tree.leaves(columns["observation"])}
    if len(rows) > 1:
        findings.problems.append(f"The arrays of 'observation' have {sorted(rows)} rows; give each one row a step.")
        return None
    count = rows.pop()
    if not steps or not count:
        findings.problems.append(
            f"The file holds no steps: 'observation' has {count} rows and 'action' {steps}; record at least one"
            " episode."
        )
        return None
    stop = _stops(columns, flag, steps, count, findings)
    if stop is None or not _count_fits(steps, count, len(stop), findings):
        return None
    start = np.concatenate([[0], stop[:-1]])
    whole = count != steps
    first = start + np.arange(len(stop)) if whole else start
    return Ends(start=start, stop=stop, first=first, whole=whole)


def _count_fits(steps: int, count: int, episodes: int, findings: Findings) -> bool:
    if count in (steps, steps + episodes):
        return True
    each = counted(episodes)
    if steps > count:
        extra = steps - count
        advice = (
            "that is one action too many in each: drop each episode's last action if it is padding, or its first if"
            " actions were recorded one step late"
            if extra == episodes
            else "the two were cut at different places: write both from the same rows"
        )
        findings.problems.append(
            f"'action' has {steps:,} rows and 'observation' {count:,}: {extra:,} more actions than observations in"
            f" {each}. T actions go with T or T+1 observations, never fewer; {advice}."
        )
    else:
        findings.problems.append(
            f"'observation' has {count:,} rows and 'action' {steps:,}: {count - steps:,} more, which is neither 0 nor"
            f" one for each of {each}. Write both from the same rows, or every episode with its last observation."
        )
    return False


def _stops(
    columns: dict[str, Any], flag: dict[str, np.ndarray], steps: int, count: int, findings: Findings
) -> np.ndarray | None:
    """Where every column of boundaries ends the episodes, which must be the same; without one, where the flags do."""
    found = {name: of(columns[name], steps, count, findings) for name, of in _BOUNDARIES.items() if name in columns}
    if found:
        return _agreed({name: stop for name, stop in found.items() if stop is not None}, findings)
    if not flag:
        return None  # the flags there are have been refused
    stop = np.flatnonzero(np.any(list(flag.values()), axis=0)) + 1
    if not len(stop) or stop[-1] != steps:
        left = steps - (int(stop[-1]) if len(stop) else 0)
        findings.notes.append(f"No end follows the last {counted(left, 'step')}: counted as one episode that was cut.")
        stop = np.append(stop, steps)
    return stop


def _agreed(found: dict[str, np.ndarray], findings: Findings) -> np.ndarray | None:
    if not found:
        return None
    (name, stop), *others = found.items()
    for other, stops in others:
        differ = np.setxor1d(stop, stops)
        if len(differ):
            ending, going = (name, other) if differ[0] in stop else (other, name)
            findings.problems.append(
                f"'{ending}' ends an episode at row {int(differ[0]) - 1} and '{going}' goes on there ({len(differ)}"
                " such rows in all); let both agree, or leave the wrong one out."
            )
            return None
    return stop


def _from_ends(ends: np.ndarray, steps: int, count: int, findings: Findings) -> np.ndarray | None:
    if ends.ndim != 1 or not len(ends) or ends.dtype.kind not in "iu":
        findings.problems.append(
            f"'episode_end' has dtype {ends.dtype} and shape {ends.shape}; it is a list of whole numbers, the count of"
            " steps after each episode, such as [161, 279]."
        )
        return None
    ends = ends.astype(np.int64)
    low = np.flatnonzero(np.diff(ends, prepend=0) <= 0)
    last = int(ends[-1])
    if last == count == steps + len(ends) and not len(low):
        ends, last = ends - np.arange(1, len(ends) + 1), steps  # the ends count observations, T+1 an episode
        low = np.flatnonzero(np.diff(ends, prepend=0) <= 0)
    if len(low):
        at = int(low[0])
        before = int(ends[at - 1]) if at else 0
        guess = ""
        if int(ends.sum()) == steps and (ends > 0).all():
            guess = " These look like lengths: use numpy.cumsum of them."
        elif ends[0] == 0 and last == steps:
            guess = " The first episode has no steps: leave it out."
        elif ends[0] == 0:
            guess = " These look like the starts of the episodes: leave the 0 out and add the number of steps."
        findings.problems.append(
            f"'episode_end' goes from {before} to {int(ends[at])} at episode {at}; it must increase, since it counts"
            f" the steps up to and including each episode.{guess}"
        )
        return None
    if last not in (steps, count) or (last == count != steps):
        guess = " It looks like the index of each last step: add 1." if last == steps - 1 else ""
        findings.problems.append(
            f"'episode_end' ends at {last:,} and there are {steps:,} actions; its last entry must be that number."
            + guess
        )
        _count_fits(steps, count, len(ends), findings)
        return None
    return ends


def _from_starts(start: np.ndarray, steps: int, count: int, findings: Findings) -> np.ndarray | None:
    del count
    first = _boolean(start, "episode_start", findings)
    if first is None:
        return None
    if len(first) != steps or not first[0]:
        findings.problems.append(
            f"'episode_start' has {len(first):,} entries for {steps:,} actions, the first of them"
            f" {bool(first[:1].any())}; it has one a step and is true where an episode begins, so at the first step."
        )
        return None
    return np.append(np.flatnonzero(first)[1:], steps)


def _from_index(index: np.ndarray, steps: int, count: int, findings: Findings) -> np.ndarray | None:
    if index.ndim == 2 and index.shape[1] == 1:
        index = index[:, 0]
    if index.ndim != 1 or index.dtype.kind not in "iu" or len(index) not in (steps, count):
        findings.problems.append(
            f"'episode_index' has dtype {index.dtype} and shape {index.shape}; it is one whole number for each of the"
            f" {steps:,} steps."
        )
        return None
    change = np.flatnonzero(np.diff(index.astype(np.int64)) != 0) + 1
    values = index[np.concatenate([[0], change])]
    if len(np.unique(values)) != len(values):
        again = next(int(value) for i, value in enumerate(values) if value in values[:i])
        findings.problems.append(
            f"'episode_index' {again} comes back after another episode; the steps of an episode must follow one"
            " another, so sort the rows by episode and step."
        )
        return None
    stop = np.append(change, len(index))
    return stop - np.arange(1, len(stop) + 1) if len(index) == count == steps + len(stop) else stop


_BOUNDARIES = {"episode_end": _from_ends, "episode_index": _from_index, "episode_start": _from_starts}


def check_lengths(ends: Ends, complete: bool, findings: Findings) -> None:
    """Something must remain where each episode's last step is left out, because its successor is not in the file."""
    if not complete and (ends.stop - ends.start == 1).all():
        findings.problems.append(
            f"No successor is recorded, and of {counted(len(ends.stop))} none is longer than one step; add"
            " 'next_observation'."
        )


def check_flags(ends: Ends, flag: dict[str, np.ndarray], findings: Findings) -> dict[str, np.ndarray]:
    """`terminated` and `truncated` of each episode's last step, `(episodes,)`; a flag elsewhere is a problem."""
    last = ends.stop - 1
    terminated = np.zeros(len(last), bool)
    for name, array in flag.items():
        inside = array.copy()
        inside[last] = False
        if inside.any():
            row = int(np.flatnonzero(inside)[0])
            episode = int(np.searchsorted(ends.stop, row, side="right"))
            findings.problems.append(
                f"'{name}' is true at {ends.place(row)}, inside an episode that goes on to step"
                f" {int(last[episode] - ends.start[episode])} ({int(inside.sum())} in all); let the ends of both agree."
            )
        if name == "terminated":
            terminated = array[last]
    if "terminated" not in flag and "truncated" not in flag:
        findings.notes.append(
            f"Nothing says why episodes end: each of {counted(len(last))} counts as cut (truncated), none as ended by"
            " the world."
        )
    recorded = flag.get("truncated")
    cut = recorded[last] if recorded is not None else ~terminated
    return {"terminated": terminated, "truncated": cut | ~terminated}
