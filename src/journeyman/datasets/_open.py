"""Opening an npz file safely and finding out which of its arrays is what."""

import dataclasses
import difflib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.parts import JourneymanError, did_you_mean

ALIASES: dict[str, tuple[str, ...]] = {
    "observation": ("observations", "obs", "ob", "state", "states"),
    "action": ("actions", "act", "acts", "ac"),
    "reward": ("rewards", "rew", "rews"),
    "next_observation": ("next_observations", "next_obs", "next_state", "next_states"),
    "terminated": ("terminations", "terminateds"),
    "truncated": ("truncations", "truncateds", "timeouts", "timeout"),
    "done": ("dones", "terminal", "terminals"),
    "episode_end": ("episode_ends",),
    "episode_index": ("episode_indices", "episode", "episodes", "episode_id", "episode_ids"),
}

TREES = ("observation", "next_observation")
"""The columns that may be dictionaries, written as `observation.KEY` or `observation/KEY`."""


@dataclasses.dataclass
class Findings:
    """What reading a file brought to light: `notes` for the user to know, `problems` that refuse the file."""

    notes: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


def load(path: Path) -> dict[str, np.ndarray]:
    """Every array of the npz file at `path`. Nothing is ever unpickled.

    Raises `JourneymanError` for a path that cannot be read, a file that is no npz or is cut short, and arrays
    of Python objects, all of them at once.
    """
    if not path.exists():
        near = [other.name for other in path.parent.glob("*.npz")] if path.parent.is_dir() else []
        raise JourneymanError(f"There is no file '{path}'.{did_you_mean(path.name, near)} Check the path.")
    if path.is_dir():
        raise JourneymanError(f"'{path}' is a folder, not an npz file; name the file inside it.")
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            return _members(path, file)
    except OSError as error:
        raise JourneymanError(f"'{path}' cannot be read ({error.strerror or error}); check its permissions.") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise JourneymanError(
            f"'{path}' is not an npz file, or only the beginning of one ({path.stat().st_size:,} bytes); write it with"
            " numpy.savez(path, observation=..., action=..., episode_end=...), or copy it again."
        ) from error


def _members(path: Path, file: Any) -> dict[str, np.ndarray]:
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise JourneymanError(
            f"'{path}' holds one single array of shape {file.shape}, so it is npy and not npz; write all columns with"
            " numpy.savez(path, observation=..., action=..., episode_end=...)."
        )
    arrays, objects = {}, []
    for key in file.files:
        try:
            arrays[key] = file[key]
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise _damaged(path, key) from error
            objects.append(key)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(path, key) from error
    if objects:
        raise JourneymanError(
            f"{path.name}: {_quoted(objects)} of Python objects, which could run any code when opened, so they are"
            " never unpickled; write numbers instead: numpy.concatenate(list_of_episodes) as one flat array, with"
            " episode_end=numpy.cumsum(lengths)."
        )
    return arrays


def _damaged(path: Path, key: str) -> JourneymanError:
    return JourneymanError(f"{path.name}: the array '{key}' is damaged or cut short; copy the file again.")


def _quoted(keys: list[str]) -> str:
    names = ", ".join(f"'{key}'" for key in keys)
    return f"{names} is an array" if len(keys) == 1 else f"{names} are arrays"


def find_columns(arrays: dict[str, np.ndarray], findings: Findings) -> tuple[dict[str, Any], dict[str, str]]:
    """The columns under their proper names, and under which name each stood in the file.

    A name that is not the proper one is noted; two candidates for one column are a problem; what is not read is
    noted. `observation` and `next_observation` may be nested dictionaries.
    """
    candidates: dict[str, dict[str, Any]] = {}
    unread = []
    for key, array in arrays.items():
        head, *rest = key.replace("/", ".").split(".")
        proper = _proper(head)
        if proper is None or (rest and proper not in TREES):
            unread.append(key)
        else:
            _insert(candidates.setdefault(proper, {}), [head, *rest], array, findings)
    columns, names = {}, {}
    for proper, found in candidates.items():
        name = proper if proper in found else next(iter(found))
        others = [f"'{other}'" for other in found if other != name]
        if others and name != proper:
            findings.problems.append(
                f"'{name}' and {', '.join(others)} could each be '{proper}'; rename the right one to '{proper}'."
            )
        elif others:
            unread += [other.strip("'") for other in others]
        if name != proper and proper != "done":
            findings.notes.append(f"'{name}' is taken for '{proper}'.")
        columns[proper], names[proper] = found[name], name
    if unread and "action" in columns:
        findings.notes.append(f"Not read: {', '.join(repr(key) for key in unread)}.")
    _missing(arrays, columns, findings)
    return columns, names


def _proper(head: str) -> str | None:
    return next((proper for proper, others in ALIASES.items() if head == proper or head in others), None)


def _insert(tree: dict[str, Any], keys: list[str], array: np.ndarray, findings: Findings) -> None:
    for depth, key in enumerate(keys[:-1], 1):
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            findings.problems.append(f"'{'.'.join(keys[:depth])}' is both an array and a dictionary; keep one of them.")
            return
    if isinstance(tree.get(keys[-1]), dict):
        findings.problems.append(f"'{'.'.join(keys)}' is both an array and a dictionary; keep one of them.")
        return
    tree[keys[-1]] = array


def _missing(arrays: dict[str, np.ndarray], columns: dict[str, Any], findings: Findings) -> None:
    ends = ("episode_end", "episode_index", "terminated", "truncated", "done")
    there = ", ".join(f"'{key}'" for key in arrays) or "nothing"
    for name in ("observation", "action"):
        if name not in columns:
            near = difflib.get_close_matches(name, list(arrays), n=1, cutoff=0.75)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            findings.problems.append(
                f"There is no '{name}'.{hint} The file holds {there}; rename the array to '{name}'."
            )
    if not any(end in columns for end in ends):
        findings.problems.append(
            f"Nothing says where episodes end; add 'episode_end' (the cumulative count of steps after each episode,"
            f" such as [161, 279]), or 'terminated' and 'truncated', or 'episode_index'. The file holds {there}."
        )
