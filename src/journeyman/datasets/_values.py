"""What the numbers of a file must be: real, finite, and such that the world understands them."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from journeyman.datasets._column import fetch, pieces
from journeyman.datasets._ends import Ends
from journeyman.datasets._open import Findings
from journeyman.worlds import AbstractFinite, AbstractSpace, Box

_NUMBERS = ("observation", "action", "reward", "next_observation", "target_action")


def label(name: str, path: Any) -> str:
    """`observation.agent_pos` for a leaf of the observation, `action` for a plain array."""
    return ".".join([name, *(str(getattr(key, "key", getattr(key, "idx", key))) for key in path)])


def check_kinds(columns: dict[str, Any], findings: Findings) -> None:
    """Refuse arrays that are no real numbers or have no rows."""
    ends = "as the count of steps after each episode, such as [161, 279]"
    findings.problems += [
        f"'{name}' is a single value; give it {ends if name == 'episode_end' else 'once a step'}, or rename it."
        for name, column in columns.items()
        if name not in _NUMBERS and column.ndim == 0
    ]
    for name in _NUMBERS:
        for path, leaf in jax.tree_util.tree_leaves_with_path(columns.get(name)):
            if leaf.dtype.kind not in "fiub":
                findings.problems.append(
                    f"'{label(name, path)}' has dtype {leaf.dtype}, which is not a real number; store numbers"
                    " (float32, or integers for pixels and discrete actions)."
                )
            elif leaf.ndim == 0:
                findings.problems.append(f"'{label(name, path)}' is a single number; give one row a step.")


def check_finite(columns: dict[str, Any], ends: Ends | None, findings: Findings) -> None:
    """Refuse nan and inf, with episode, step, column and count."""
    for name in _NUMBERS:
        for path, leaf in jax.tree_util.tree_leaves_with_path(columns.get(name)):
            if leaf.dtype.kind != "f":
                continue
            bad = ~(np.abs(leaf) <= np.finfo(np.float32).max)  # also true for nan, and for what float32 cannot hold
            if not bad.any():
                continue
            row, *inner = (int(i) for i in np.argwhere(bad)[0])
            column = f", column {inner[0] if len(inner) == 1 else tuple(inner)}" if inner else ""
            place = f"row {row}"
            if ends is not None:
                place = ends.place(row, observation=name == "observation")
            findings.problems.append(
                f"'{label(name, path)}' is {leaf[(row, *inner)]} at {place}{column} ({int(bad.sum())} such values in"
                " all); repair the recording or leave that episode out."
            )


def check_reward(columns: dict[str, Any], steps: int, findings: Findings) -> None:
    """One reward a step; `(steps, 1)` is flattened."""
    reward = columns.get("reward")
    if reward is None:
        return
    if reward.ndim == 2 and reward.shape[1] == 1:
        reward = columns["reward"] = reward[:, 0]
        findings.notes.append("'reward' had shape (steps, 1) and was flattened to one number a step.")
    if reward.shape != (steps,):
        findings.problems.append(
            f"'reward' has shape {reward.shape} for {steps:,} actions; give one number a step, shape ({steps},)."
        )


def check_successor(columns: dict[str, Any], ends: Ends, findings: Findings) -> None:
    """`next_observation` must be the observation that follows, since a stream stores each observation once."""
    following = columns.get("next_observation")
    if following is None:
        return
    steps = int(ends.stop[-1])
    pairs = jax.tree_util.tree_leaves_with_path(columns["observation"])
    others = dict(jax.tree_util.tree_leaves_with_path(following))
    if [path for path, _ in pairs] != list(others) or any(
        others[path].shape != (steps, *leaf.shape[1:]) for path, leaf in pairs
    ):
        findings.problems.append("'next_observation' is not built like 'observation'; give it the same keys and shape.")
        return
    for path, leaf in pairs:
        count, place = 0, ""
        for rows, after, now in _both_successors(leaf, others[path], ends):
            wrong = ~np.isclose(after.astype(float), now.astype(float), rtol=1e-4, atol=1e-5, equal_nan=True)
            if wrong.any() and not count:
                at, *inner = (int(i) for i in np.argwhere(wrong)[0])
                place = f"{after[(at, *inner)]} at {ends.place(int(rows[at]))}"
                place += f" but the observation that follows is {now[(at, *inner)]}"
            count += int(wrong.reshape(len(wrong), -1).any(axis=1).sum())
        if count:
            findings.problems.append(
                f"'{label('next_observation', path)}' is {place} ({count} such steps); rows must be in the order of"
                " time, so sort them, or leave 'next_observation' out."
            )


def _both_successors(leaf: Any, following: Any, ends: Ends) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of every step but an episode's last: its row, its recorded successor, and the observation that comes next."""
    for start, recorded in pieces(following):
        rows = np.arange(start, start + len(recorded))
        inside = ~ends.last(rows)
        if inside.any():
            rows = rows[inside]
            after = ends.observation_row(rows) + 1
            yield rows, recorded[inside], fetch(leaf, int(after[0]), int(after[-1]) + 1)[after - after[0]]


# -- the world ------------------------------------------------------------------------------------------


def fit_action(action: np.ndarray, world: Any, findings: Findings) -> np.ndarray:
    """The actions in the dtype and shape of the world's, with a note for every change."""
    space = None if world is None else world.action_space
    if isinstance(space, AbstractFinite):
        return _fit_finite(action, space, _name(world), findings)
    if isinstance(space, Box):
        if action.ndim == 1 and space.shape == (1,):
            findings.notes.append("'action' had one number a step and was given the shape (steps, 1).")
            action = action[:, None]
        if action.shape[1:] != space.shape:
            findings.problems.append(
                f"'action' has shape {action.shape[1:]} a step and the world {_name(world)} takes {space.shape}; this"
                " data was recorded in another world, so name the right one."
            )
        else:
            _outside(action, space, "action", "clipped by the world, kept as targets", findings)
    elif is_choice(action):
        findings.notes.append("'action' is one whole number a step and counts as a discrete choice.")
        return _as_int(action)
    return as_float(action, "action", findings)


def fit_target(target: np.ndarray, action: np.ndarray, world: Any, findings: Findings) -> np.ndarray:
    """What should have been done, as `fit_action`, with its problems told under its own name.

    Without a world it is a choice where `action` is one.
    """
    if world is None:
        return _as_int(target) if is_choice(action) else as_float(target, "target_action", Findings())
    fitted = Findings()  # its notes would repeat those on 'action'
    found = fit_action(target, world, fitted)
    findings.problems += [problem.replace("'action'", "'target_action'") for problem in fitted.problems]
    return found


def _fit_finite(action: np.ndarray, space: AbstractFinite, name: str, findings: Findings) -> np.ndarray:
    if action.ndim == 2 and action.shape[1] == 1 and space.shape == ():
        findings.notes.append("'action' had shape (steps, 1) and was flattened to one choice a step.")
        action = action[:, 0]
    if action.shape[1:] != space.shape:
        one = f"one of {space.counts} choices; store the index of the choice, not a vector."
        many = f"{space.shape}, one of {space.counts.tolist()} choices each; store the index of each."
        findings.problems.append(
            f"'action' has shape {action.shape[1:]} a step and the world {name} takes {many if space.shape else one}"
        )
        return action
    if action.dtype.kind == "f":
        findings.notes.append("'action' held whole numbers as floats and was converted to int32.")
    return _as_int(action)


def spaces_of(columns: dict[str, Any], world: Any) -> dict[str, Any]:
    """Each array of observations and actions by its full name, with what the world says that it holds."""
    if world is None:
        return {}
    is_space = lambda item: isinstance(item, AbstractSpace)  # noqa: E731
    inside = jax.tree_util.tree_leaves_with_path(world.observation_space, is_leaf=is_space)
    found = dict.fromkeys(("action", "target_action"), world.action_space)
    for name in ("observation", "next_observation"):
        there = jax.tree_util.tree_leaves_with_path(columns.get(name))
        found |= {label(name, path): space for (path, _), (_, space) in zip(there, inside, strict=False)}
    return found


def check_choices(columns: dict[str, Any], world: Any, findings: Findings) -> None:
    """Refuse what is none of the whole numbers that the world knows, or a choice that int32 does not hold.

    Arrays of another shape than the world's are for `fit_action` and `fit_observation` to refuse.
    """
    spaces = spaces_of(columns, world)
    for name in ("observation", "next_observation", "action", "target_action"):
        for path, leaf in jax.tree_util.tree_leaves_with_path(columns.get(name)):
            full = label(name, path)
            space = spaces.get(full)
            if isinstance(space, AbstractFinite) and np.prod(leaf.shape[1:], dtype=int) == space.counts.size:
                _check_finite(leaf, space, full, _name(world), findings)
            elif space is None and not name.endswith("observation") and is_choice(columns["action"]):
                _check_int32(leaf, full, findings)


def _check_finite(leaf: Any, space: AbstractFinite, name: str, world: str, findings: Findings) -> None:
    wrong = _first(leaf, lambda piece: space.outside(piece.reshape(len(piece), *space.shape)))
    if wrong is not None:
        value, row, entry, count = wrong
        where = f"row {row}{f', entry {entry[0]}' if entry else ''}"
        verb = "shows" if "observation" in name else "takes"
        findings.problems.append(
            f"'{name}' is {value} at {where} and the world {world} {verb} the whole numbers 0 to"
            f" {space.counts[entry] - 1} ({count} such values in all); name the right world or repair the column."
        )


def _check_int32(leaf: Any, name: str, findings: Findings) -> None:
    wrong = _first(leaf, _no_int32)
    if wrong is not None:
        value, row, _, count = wrong
        findings.problems.append(
            f"'{name}' is {value} at row {row} ({count} such values in all), and a discrete choice is a whole number of"
            " 32 bits; store the index of each choice, or all actions as floats if they are quantities."
        )


def _first(leaf: Any, wrong: Any) -> tuple[Any, int, tuple[int, ...], int] | None:
    """The first value that is `wrong`, its row, its place in the row, and how many there are, piece by piece."""
    found, count = None, 0
    for start, piece in pieces(leaf):
        bad = wrong(piece)
        if bad.any() and found is None:
            row, *entry = (int(i) for i in np.argwhere(bad)[0])
            found = piece.reshape(bad.shape)[(row, *entry)], start + row, tuple(entry)
        count += int(bad.sum())
    return None if found is None else (*found, count)


def fit_observation(observation: Any, world: Any, findings: Findings) -> Any:
    """The observations in the dtype and structure of the world's, with a note for every change."""
    if world is None:
        return _as_leaves(observation, findings)
    is_space = lambda item: isinstance(item, AbstractSpace)  # noqa: E731
    spaces = jax.tree_util.tree_leaves_with_path(world.observation_space, is_leaf=is_space)
    given = jax.tree_util.tree_leaves_with_path(observation)
    if len(spaces) == len(given) == 1 and spaces[0][0] != given[0][0] and not spaces[0][0]:
        findings.notes.append(f"'{label('observation', given[0][0])}' alone is the whole observation.")
        observation, given = given[0][1], [((), given[0][1])]
    if [path for path, _ in spaces] != [path for path, _ in given]:
        findings.problems.append(
            f"The observation holds {[label('observation', p) for p, _ in given]} and that of the world {_name(world)}"
            f" {[label('observation', p) for p, _ in spaces]}; rename the arrays to the world's keys."
        )
        return observation
    for (path, space), (_, leaf) in zip(spaces, given, strict=True):
        if leaf.shape[1:] != space.shape:
            findings.problems.append(
                f"'{label('observation', path)}' has shape {leaf.shape[1:]} a step and the world {_name(world)} shows"
                f" {space.shape}; this data was recorded in another world (or version), so name the right one."
            )
        elif isinstance(space, Box):
            _outside(leaf, space, label("observation", path), "kept as they are; check world and units", findings)
    whole = {path for path, space in spaces if np.dtype(space.dtype).kind == "i"}
    return _as_leaves(observation, findings, whole)


def _as_leaves(observation: Any, findings: Findings, whole: Any = ()) -> Any:
    def convert(path: Any, leaf: np.ndarray) -> np.ndarray:
        if path in whole and not _no_int32(leaf).any():
            return _as_int(leaf)
        # Pictures stay bytes; every other number is a real.
        picture = leaf.dtype == np.uint8 and leaf.ndim > 2
        return leaf if picture else as_float(leaf, label("observation", path), findings)

    return jax.tree_util.tree_map_with_path(convert, observation)


def as_float(array: np.ndarray, name: str, findings: Findings) -> np.ndarray:
    """`array` as float32, with a note when it was anything else."""
    if array.dtype != np.float32:
        findings.notes.append(f"'{name}' was converted from {array.dtype} to float32.")
    with np.errstate(over="ignore"):  # refused by `check_finite` with its place
        return array.astype(np.float32, copy=False)


def is_choice(action: Any) -> bool:
    """Whether actions of which no world says what they are count as discrete: one whole number a step."""
    return action.dtype.kind in "iu" and action.ndim == 1


def _as_int(array: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # refused by `check_choices` with its place
        return array.astype(np.int32, copy=False)


def _no_int32(array: np.ndarray) -> np.ndarray:
    low, high = (np.float64(limit) for limit in (np.iinfo(np.int32).min, np.iinfo(np.int32).max))  # float16 has neither
    return (array < low) | (array > high) | (array != np.round(array))


def _outside(array: np.ndarray, space: Box, name: str, fate: str, findings: Findings) -> None:
    room = 1e-6 * np.maximum(1.0, np.abs(np.where(np.isfinite(space.high), space.high, 0)))
    with np.errstate(over="ignore"):  # beyond the largest number nothing lies
        outside = (array < space.low - room) | (array > space.high + room)
    if outside.any():
        steps = outside.reshape(len(outside), -1).any(axis=1)
        findings.notes.append(
            f"{steps.mean():.1%} of steps ({int(steps.sum()):,} of {steps.size:,}) have an entry of '{name}' outside"
            f" the world's bounds (entries reach {array.min():.4g} and {array.max():.4g}); {fate}."
        )


def _name(world: Any) -> str:
    return repr(world.name) if getattr(world, "name", "") else "given"
