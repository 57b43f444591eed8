"""Which of a file's arrays is what: the columns under their proper names, and what else reading finds."""

import dataclasses
import difflib
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import jax

ALIASES: dict[str, tuple[str, ...]] = {
    "observation": ("observations", "obs", "ob", "state", "states"),
    "action": ("actions", "act", "acts", "ac"),
    "reward": ("rewards", "rew", "rews"),
    "next_observation": ("next_observations", "next_obs", "next_state", "next_states"),
    "terminated": ("terminations", "terminateds"),
    "truncated": ("truncations", "truncateds", "timeouts", "timeout"),
    "done": ("dones", "terminal", "terminals"),
    "episode_end": ("episode_ends",),
    "episode_start": ("episode_starts", "is_first"),
    "episode_index": ("episode_indices", "episode", "episodes", "episode_id", "episode_ids"),
    "target_action": ("target_actions",),
    "log_prob": (),
    "elapsed": (),
    "source": (),
}

TREES = ("observation", "next_observation")
"""The columns that may be dictionaries, written as `observation.KEY` or `observation/KEY`."""

_SHOWN = 20


@dataclasses.dataclass
class Findings:
    """What reading a file brought to light: `notes` for the user to know, `problems` that refuse the file."""

    notes: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


def find_columns(
    arrays: Mapping[str, Any],
    findings: Findings,
    *,
    needed: Sequence[str] = ("observation", "action"),
    ends: bool = True,
) -> tuple[dict[str, Any], dict[str, str]]:
    """The columns under their proper names, and under which name each stood in the file.

    A name that is not the proper one is noted; two candidates for one column are a problem; what is not read is
    noted. `observation` and `next_observation` may be nested dictionaries. The columns that are `needed` have to be
    there, and with `ends` something has to say where episodes end.
    """
    candidates: dict[str, dict[str, Any]] = {}
    unread = []
    for key, array in arrays.items():
        head, *rest = split_name(key)
        proper = proper_name(head)
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
    if unread and all(name in columns for name in needed):
        findings.notes.append(f"Not read: {listed(unread)}.")
    _missing(arrays, columns, findings, needed, ends)
    return columns, names


def names_read(names: Iterable[str]) -> set[str]:
    """Those of the arrays `names` that `find_columns` makes columns of."""
    columns, _ = find_columns({name: name for name in names}, Findings(), needed=(), ends=False)
    return set(jax.tree.leaves(columns))


def split_name(key: str) -> list[str]:
    """`["observation", "KEY"]` for `observation.KEY` and `observation/KEY`."""
    return key.replace("/", ".").split(".")


def listed(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(f"'{name}'" for name in itertools.islice(names, _SHOWN)) + more


def proper_name(head: str) -> str | None:
    return next((proper for proper, others in ALIASES.items() if head == proper or head in others), None)


def _insert(tree: dict[str, Any], keys: list[str], array: Any, findings: Findings) -> None:
    for depth, key in enumerate(keys[:-1], 1):
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            findings.problems.append(f"'{'.'.join(keys[:depth])}' is both an array and a dictionary; keep one of them.")
            return
    if isinstance(tree.get(keys[-1]), dict):
        findings.problems.append(f"'{'.'.join(keys)}' is both an array and a dictionary; keep one of them.")
        return
    tree[keys[-1]] = array


def _missing(
    arrays: Mapping[str, Any], columns: dict[str, Any], findings: Findings, needed: Sequence[str], ends: bool
) -> None:
    kinds = ("episode_end", "episode_index", "episode_start", "terminated", "truncated", "done")
    there = listed(arrays) or "nothing"
    for name in needed:
        if name not in columns:
            near = difflib.get_close_matches(name, list(arrays), n=1, cutoff=0.75)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            findings.problems.append(
                f"There is no '{name}'.{hint} The file holds {there}; rename the array to '{name}'."
            )
    if ends and not any(kind in columns for kind in kinds):
        findings.problems.append(
            f"Nothing says where episodes end; add 'episode_end' (the cumulative count of steps after each episode,"
            f" such as [161, 279]), or 'terminated' and 'truncated', or 'episode_start', or 'episode_index'. The file"
            f" holds {there}."
        )
