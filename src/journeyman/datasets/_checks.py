"""The checks of `lint` that need no world, each a small function from what was read to remarks."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from journeyman.datasets._angles import Turning
from journeyman.datasets._column import fetch
from journeyman.datasets._ends import Ends
from journeyman.datasets._recording import Recording
from journeyman.datasets._survey import MANY, Survey, digests


@dataclasses.dataclass(frozen=True)
class Remark:
    """What one check has to say: `check` is its name, `problem` whether something is wrong, `sentence` what."""

    check: str
    problem: bool
    sentence: str


SHARE = 0.5
"""Entries far outside the world's bounds are a problem where more than this share of the steps has one."""


def not_finite(surveys: Sequence[Survey], ends: Ends | None) -> list[Remark]:
    """nan, inf, and what float32 cannot hold; `ends` is `None` where the episodes could not be told apart."""
    found = []
    for one in surveys:
        if one.bad_at is None or one.name == "log_prob":
            continue
        row, inner, value = one.bad_at
        at = f", column {inner[0] if len(inner) == 1 else inner}" if inner else ""
        place = f"row {row}"
        if ends is not None:
            place = ends.place(row, observation=one.name.split(".")[0] == "observation")
        found.append(
            f"'{one.name}' is {value} at {place}{at} ({one.bad:,} such values in all); repair the recording or leave"
            " that episode out."
        )
    return [Remark("not finite", True, sentence) for sentence in found]


def outside(surveys: Sequence[Survey], world: str) -> list[Remark]:
    """Entries outside the world's bounds: told, and a problem where most steps are out by more than the whole width.

    Sampled actions of an unbounded policy leave the box often and by little; other units leave it nearly always.
    """
    return [
        Remark(
            "outside the bounds",
            one.far > SHARE * one.rows,
            f"{one.outside / one.rows:.1%} of the rows of '{one.name}' ({one.outside:,} of {one.rows:,}) have an entry"
            f" outside the bounds of '{world}' (entries reach {np.nanmin(one.low):.4g} and {np.nanmax(one.high):.4g});"
            + (
                " most by more than the width of the bounds, so check units and world."
                if one.far > SHARE * one.rows
                else " actions are kept as targets and clipped by the world, observations are kept as they are."
            ),
        )
        for one in surveys
        if one.outside
    ]


def constant_columns(surveys: Sequence[Survey]) -> list[Remark]:
    """Columns of observations and actions that never change."""
    return [
        Remark(
            "constant column",
            False,
            f"'{one.name}' column {column} is {one.first[column]:g} in every row and tells nothing.",
        )
        for one in surveys
        if one.rows > 1 and _is_seen_or_done(one) and len(one.constant) <= MANY
        for column in np.flatnonzero(one.constant)
    ]


def _is_seen_or_done(one: Survey) -> bool:
    return one.name.split(".")[0] in ("observation", "action")


def duplicated_columns(surveys: Sequence[Survey], recording: Recording) -> list[Remark]:
    """Columns that are equal in every step; an observation that equals the action chosen in it gives it away."""
    constant = {one.name: one.constant for one in surveys}
    seen: dict[bytes, tuple[str, int]] = {}
    found = []
    for full, index, digest in _columns(recording):
        if constant[full][index]:
            continue
        first, at = seen.setdefault(digest, (full, index))
        if (first, at) != (full, index):
            given_away = full.startswith("action") and not first.startswith("action")
            sentence = f"'{first}' column {at} and '{full}' column {index} are equal in every step: "
            found.append(Remark("duplicated column", given_away, sentence + _EQUAL[given_away]))
    return found


_EQUAL = {
    True: "the observation shows the very action that was chosen in it, and a clone would copy that instead of"
    " learning; leave that column out, or store the action of the step before.",
    False: "one of them tells nothing new.",
}


def _columns(recording: Recording) -> Iterator[tuple[str, int, bytes]]:
    """Every column of the observations at the steps, then of the actions: array, number, digest."""
    leaves = [(full, recording.now(leaf)) for full, leaf in recording.leaves("observation")]
    for full, column in [*leaves, *recording.leaves("action")]:
        yield from ((full, index, digest) for index, digest in enumerate(digests(column)))


def duplicated_episodes(recording: Recording) -> list[Remark]:
    """Episodes that are equal number for number, which would stand in training and held-out data at once."""
    first: dict[bytes, int] = {}
    again = []
    leaves = [recording.now(leaf) for _, leaf in recording.leaves("observation")] + [recording.columns["action"]]
    for index, (start, stop) in enumerate(zip(recording.ends.start, recording.ends.stop, strict=True)):
        digest = hashlib.sha256()
        for leaf in leaves:
            digest.update(np.ascontiguousarray(leaf.rows(int(start), int(stop))).tobytes())
        earlier = first.setdefault(digest.digest(), index)
        if earlier != index:
            again.append((earlier, index))
    if not again:
        return []
    sentence = (
        f"{len(again)} of {len(recording.lengths)} episodes repeat an earlier one number for number (episode"
        f" {again[0][1]} is episode {again[0][0]}); held-out data would hold what was trained on, so keep one of each."
    )
    return [Remark("duplicated episode", True, sentence)]


def angles(recording: Recording) -> list[Remark]:
    """Observation columns that wrap (`wrapping_columns`), in every array of the observation."""
    found, offset = [], 0
    for index, (_, leaf) in enumerate(recording.leaves("observation")):
        width = int(np.prod(leaf.shape[1:]))
        turning = Turning(width)
        if leaf.dtype.kind == "f" and width <= MANY:
            for _, now, after, _ in recording.moves(index):
                good = np.isfinite(now.reshape(len(now), -1)).all(axis=1) & np.isfinite(
                    after.reshape(len(after), -1)
                ).all(axis=1)
                turning.add(now.reshape(len(now), width)[good], after.reshape(len(now), width)[good])
            found += [offset + int(column) for column in np.flatnonzero(turning.wraps())]
        offset += width
    return [
        Remark(
            "angle that wraps",
            False,
            f"Observation column {column} looks like an angle in radians that wraps; a network sees a jump of 2π where"
            " nothing jumped, unless the policy is given its cosine and sine (as `journeyman fit` does).",
        )
        for column in found
    ]


FEW = 3
"""So many ends at one length, at least, make a time limit."""


def time_limits(recording: Recording, horizon: int | None = None) -> list[Remark]:
    """Terminations that are time limits: at the world's horizon, or many at the greatest length there is.

    Many: at least `FEW` terminated episodes have the greatest length L, and more than there are episodes within the
    tenth of L (at least three steps) before it. Lengths that are spread smoothly do not pile up so. A recorder may have
    had a limit of its own, so this is asked below the world's horizon too.
    """
    lengths, ended = recording.lengths, recording.terminated & ~_recorded_cut(recording)
    longest = int(lengths.max())
    if horizon is not None and longest >= horizon:
        count = int((ended & (lengths >= horizon)).sum())
        wrong, why = count > 0, f"the time limit of the world, {horizon} steps"
    else:
        near = (lengths < longest) & (lengths >= longest - max(3, -(-longest // 10)))
        count = int((ended & (lengths == longest)).sum())
        wrong, why = count >= FEW and count > int(near.sum()), f"the same greatest length, {longest} steps"
        if horizon is not None:
            why += f" (the world's own limit is {horizon})"
    if not wrong:
        return []
    sentence = (
        f"{count} of {int(ended.sum())} terminated episodes end at {why}: a time limit recorded as a termination"
        " teaches that what follows is worth nothing. Mark those ends as truncated, unless the task itself ends there."
    )
    return [Remark("time limit as termination", True, sentence)]


def _recorded_cut(recording: Recording) -> np.ndarray:
    return recording.terminated & recording.truncated


def copied_successors(recording: Recording) -> list[Remark]:
    """Last observations that repeat the one before: a successor that nobody recorded, made up.

    Said where at least half of the episodes (and two) end so and fewer than one step in ten inside them does, in the
    array that repeats least.
    """
    if not recording.complete or len(recording.lengths) < 2:
        return []
    at_ends, inside = np.ones(len(recording.lengths), bool), 1.0
    for index in range(len(recording.leaves("observation"))):
        repeats, still = np.zeros(len(at_ends), bool), 0
        for rows, now, after, last in recording.moves(index):
            same = _equal(now, after)
            repeats[np.searchsorted(recording.ends.stop, rows[same & last], side="right")] = True
            still += int((same & ~last).sum())
        at_ends &= repeats
        inside = min(inside, still / max(1, int(recording.ends.stop[-1]) - len(at_ends)))
    at_end = int(at_ends.sum())
    if at_end < max(2, 0.5 * len(at_ends)) or inside > 0.1:
        return []
    sentence = (
        f"{at_end} of {len(at_ends)} episodes end with an observation that repeats the one before it: the last"
        " successor was copied, not recorded, and is a false transition. Leave it out, and that step is left out too."
    )
    return [Remark("copied successor", True, sentence)]


def successors_of_resets(recording: Recording) -> list[Remark]:
    """Last successors that are the first observation of the next episode: a world that resets itself, or `np.roll`.

    Said where at least half of the episodes that have a next one end so. One whose last observation did not change at
    all is not counted.
    """
    ends = recording.ends
    rolled, moved = np.ones(len(ends.stop) - 1, bool), np.zeros(len(ends.stop) - 1, bool)
    if not recording.complete or not len(rolled):
        return []
    for index, (_, leaf) in enumerate(recording.leaves("observation")):
        same = np.zeros(len(rolled), bool)
        for rows, now, after, last in recording.moves(index):
            episode = np.searchsorted(ends.stop, rows[last], side="right")
            inner = episode < len(rolled)
            episode, now, after = episode[inner], now[last][inner], after[last][inner]
            if len(episode):
                first = ends.first[episode + 1]
                follows = fetch(leaf, int(first[0]), int(first[-1]) + 1)[first - first[0]]
                same[episode] = _equal(after, follows)
                moved[episode] |= ~_equal(after, now)
        rolled &= same
    count = int((rolled & moved).sum())
    if count < max(1, 0.5 * len(rolled)):
        return []
    sentence = (
        f"{count} of {len(rolled)} episodes end with the first observation of the next one: the last successor was seen"
        " after a reset, and is a false transition, unless episodes end where they begin. Store what was seen before"
        " the reset, or leave 'next_observation' out, and that step is left out too."
    )
    return [Remark("successor of a reset", True, sentence)]


def _equal(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one == other).reshape(len(one), -1).all(axis=1)


def short_episodes(recording: Recording) -> list[Remark]:
    """Episodes of a single step."""
    count = int((recording.lengths == 1).sum())
    if not count or (recording.lengths == 1).all():
        return []
    sentence = f"{count} of {len(recording.lengths)} episodes are a single step long; check that they are whole."
    return [Remark("episode length", False, sentence)]
