"""The checks of `lint` that ask a world: rows, ends, and whether the task is solved by the world's own rule."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from journeyman.datasets._alignment import alignment
from journeyman.datasets._checks import Remark
from journeyman.datasets._recording import Recording
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractPureWorld, AbstractWorld, replay, successors

Found = tuple[list[Remark], dict[str, Any]]
REPLAYS = 20
"""How many demonstrations are replayed at most, spread over the file."""


def rows(recording: Recording, world: AbstractWorld, returns: np.ndarray | None) -> Found:
    """Whether actions stand in the row of the observation in which they were chosen (see `alignment`)."""
    del returns
    found = alignment(recording, world)
    numbers = {
        "verdict": found.verdict,
        "shift": found.shift,
        "steps": found.steps,
        "median_error": None if found.errors is None else {str(k): round(v, 6) for k, v in found.errors.items()},
    }
    if found.verdict == "aligned":
        return [], numbers
    if found.verdict == "cannot tell":
        sentence = f"Whether actions stand in the right row cannot be told from '{world.name}': {found.reason}."
        return [Remark("off by one", False, sentence)], numbers
    assert found.errors is not None  # else nothing was compared
    late = found.shift > 0
    sentence = (
        f"Actions stand one row too {'late' if late else 'early'}: from each observation '{world.name}' reaches the"
        f" next one with the action of the row {'after' if late else 'before'} it (median error"
        f" {found.errors[found.shift]:.2g} of a step's change, against {found.errors[0]:.2g} with its own, in"
        f" {found.steps} steps); move them by one row inside each episode."
    )
    return [Remark("off by one", True, sentence)], numbers


def ends(recording: Recording, world: AbstractWorld, returns: np.ndarray | None) -> Found:
    """Whether the world ends where the file says that it does, asked of the last step of up to `REPLAYS` episodes.

    Only steps whose observation shows the state of the world count (see `alignment`).
    """
    del returns
    leaves = recording.leaves("observation")
    marked = np.flatnonzero(recording.terminated)
    if len(leaves) != 1 or not len(marked):
        return [], {}
    chosen = marked[_spread_over(len(marked))]
    episodes = [recording.episode(int(index)) for index in chosen]
    last = recording.ends.stop[chosen] - recording.ends.start[chosen] - 1
    seen = [np.ravel(next(iter(_arrays(e["observation"])))[i]) for e, i in zip(episodes, last, strict=True)]
    try:
        found = successors(world, np.asarray(seen, float), np.asarray([e["action"][-1] for e in episodes]))
    except (JourneymanError, ValueError, TypeError, IndexError):
        return [], {}
    shown = np.abs(found.shown - np.asarray(seen)).max(axis=1) < 1e-3 * np.maximum(1, np.abs(seen).max(axis=1))
    asked, agreed = int(shown.sum()), int((shown & found.terminated).sum())
    numbers = {"asked": asked, "agreed": agreed}
    if asked < 2 or agreed >= 0.5 * asked:
        return [], numbers
    sentence = (
        f"Of {asked} episodes marked as terminated '{world.name}' itself ends in {agreed}: the others were cut, and a"
        " cut recorded as a termination teaches that what follows is worth nothing. Mark those ends as truncated."
    )
    return [Remark("cut as termination", True, sentence)], numbers


def _spread_over(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(REPLAYS, count)).astype(int))


def solved(recording: Recording, world: AbstractWorld, returns: np.ndarray | None) -> Found:
    """Success by the world's own word in a replay, and the return from which Gymnasium counts the world as solved."""
    remarks, numbers = _threshold(world, returns)
    replayed = _replayed(recording, world)
    if replayed is None:
        return remarks, numbers
    followed, succeeded = replayed
    numbers |= {"replayed": followed, "succeeded": succeeded}
    if succeeded < followed:
        sentence = (
            f"{followed - succeeded} of {followed} replayed demonstrations do not solve the task by the rule of"
            f" '{world.name}' itself, and a clone will hardly do better than its teacher; leave them out, or judge both"
            " by their score."
        )
        remarks.append(Remark("not solved", True, sentence))
    return remarks, numbers


def _threshold(world: AbstractWorld, returns: np.ndarray | None) -> tuple[list[Remark], dict[str, Any]]:
    threshold = _reward_threshold(world)
    if threshold is None or returns is None or not np.isfinite(returns).all():
        return [], {}
    reached = int((returns >= threshold).sum())
    numbers = {"threshold": threshold, "reached": reached, "mean_return": float(returns.mean())}
    if returns.mean() >= threshold:
        return [], numbers
    sentence = (
        f"The demonstrations return {returns.mean():.4g} on average ({returns.min():.4g} to {returns.max():.4g}), and"
        f" Gymnasium counts '{world.name}' as solved from {threshold:g} on, which {reached} of {len(returns)} reach; a"
        " clone will hardly do better than its teacher."
    )
    return [Remark("not solved", True, sentence)], numbers


def _reward_threshold(world: AbstractWorld) -> float | None:
    if isinstance(world, AbstractPureWorld):
        return None
    try:
        env = world.single()
    except JourneymanError:
        return None
    try:
        found = getattr(getattr(env, "spec", None), "reward_threshold", None)
    finally:
        env.close()
    return None if found is None else float(found)


def _replayed(recording: Recording, world: AbstractWorld) -> tuple[int, int] | None:
    """How many replays follow their recording, and how many of those succeed; `None` where the world never says."""
    leaves = recording.leaves("observation")
    if isinstance(world, AbstractPureWorld) or len(leaves) != 1 or "settable state" not in world.provides():
        return None
    count = len(recording.lengths)
    followed = succeeded = 0
    for index in _spread_over(count):
        episode = recording.episode(int(index))
        told = judged(world, next(iter(_arrays(episode["observation"]))), episode["action"])
        if told is None:
            return None
        followed += told.followed
        succeeded += told.succeeded
    return (followed, succeeded) if followed else None


class Judged(NamedTuple):
    """Whether an episode's replay followed its recording, and whether it did and succeeded."""

    followed: bool
    succeeded: bool


def judged(world: AbstractWorld, observation: Any, action: Any) -> Judged | None:
    """An episode by its replay, from its first observation; `None` where the world cannot, or says of no success."""
    seen = np.asarray(observation, float)
    try:
        played = replay(world, seen[0], action)
    except JourneymanError:
        return None
    if not played.judged:
        return None
    followed = _follows(np.asarray(next(iter(_arrays(played.observation))), float), seen)
    return Judged(followed, followed and bool(played.success.any()))


def _arrays(tree: Any) -> list[Any]:
    return [leaf for value in tree.values() for leaf in _arrays(value)] if isinstance(tree, dict) else [tree]


def _follows(played: np.ndarray, seen: np.ndarray) -> bool:
    """Never off by more than a tenth of a column's deviation, angles that went around compared around the circle."""
    off = np.abs(played[: len(seen)].reshape(seen.shape) - seen)
    off = np.where(off > 2 * np.pi - 1, np.abs(2 * np.pi - off), off)
    return not (off > 0.1 * seen.std(axis=0) + 1e-6).any()


WORLD_CHECKS: dict[str, Callable[[Recording, AbstractWorld, np.ndarray | None], Found]] = {
    "off by one": rows,
    "cut as termination": ends,
    "not solved": solved,
}
