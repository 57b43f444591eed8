"""`Episodes` as flat columns of all steps, for the formats that keep one row a step or one group an episode."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from journeyman.datasets._hdf5 import new_file
from journeyman.datasets._minari import MAIN_FILE, UNKNOWN_REWARDS
from journeyman.datasets._values import label
from journeyman.episodes import EXPERT, Episodes
from journeyman.parts import counted

_INSTEAD = "write .npz or .h5 instead"
_OF = {"target_action": "target"}

_KEY = re.compile(r"(?!\s)[^./\[\],;\"'\x00-\x1f]+(?<!\s)")
"""What a key may be, so that it comes back as it was."""


def losses(episodes: Episodes, kind: str) -> tuple[list[str], list[str]]:
    """What CSV or Minari cannot hold of `episodes`: what keeps it from being written at all, and what would be lost."""
    hard, soft = [], []
    parts = list(episodes.unpack())
    if not parts:
        hard.append(f"There is no valid step to write as {kind}; {_INSTEAD}.")
    gaps = sum(not part.valid.all() for part in parts)
    if gaps:
        hard.append(f"Steps are missing in between in {counted(gaps)}, and {kind} holds whole ones; {_INSTEAD}.")
    open_ended = sum(not part.ended[-1] for part in parts)
    if open_ended:
        soft.append(f"Unfinished: {counted(open_ended)}, which would come back from {kind} as cut; {_INSTEAD}.")
    for name, tree in (("observation", episodes.observation), ("action", episodes.action), ("target", episodes.target)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            _judge(label(name, path), name, leaf, path, (kind, len(episodes.batch_shape) + 1), hard, soft)
    return hard, soft


def _judge(full: str, name: str, leaf: Any, path: Any, form: tuple[str, int], hard: list[str], soft: list[str]) -> None:
    """One array: its keys, its shape a step, its type."""
    kind, axes = form
    shape, dtype = leaf.shape[axes:], np.dtype(leaf.dtype)
    if name != "observation" and path:
        hard.append(f"'{full}' is part of a dictionary, and {kind} holds one array of actions; {_INSTEAD}.")
    keys = [str(getattr(key, "key", "")) for key in path]
    wrong = [key for key in keys if not _KEY.fullmatch(key) or key.rpartition("_")[2].isdigit()]
    if wrong and name == "observation":
        hard.append(
            f"'{full}': {kind} names each array of a dictionary, and '{wrong[0]}' would not come back as that name;"
            f" rename it (no dots, slashes, commas, quotes, no number at the end) or {_INSTEAD}."
        )
    if kind == "CSV" and len(shape) > 1:
        hard.append(f"'{full}' has shape {shape} a step, and CSV holds numbers and vectors; {_INSTEAD}.")
    if kind == "CSV" and 0 in shape:
        hard.append(f"'{full}' has no entries, and CSV has no column for it; {_INSTEAD}.")
    if kind == "CSV" and name == "action" and not shape and dtype == np.float32 and (leaf == np.round(leaf)).all():
        soft.append(f"'{full}' is one real number a step and always whole, so from CSV it is a choice; {_INSTEAD}.")
    picture = name == "observation" and dtype == np.uint8 and len(shape) > 1
    choice = name != "observation" and dtype == np.int32 and not shape
    if dtype != np.float32 and not picture and not choice:
        soft.append(f"'{full}' is {dtype} and would be read from {kind} as float32; {_INSTEAD}.")


def flat(episodes: Episodes) -> list[dict[str, Any]]:
    """The columns of each episode, under the names that `read` understands; observations with one row more."""
    parts = list(episodes.unpack())
    own = {
        "target_action": any(not np.array_equal(part.target, part.action) for part in parts),
        "log_prob": any(not np.isnan(part.log_prob).all() for part in parts),
        "elapsed": any(part.elapsed[0] != 0 for part in parts),
        "source": any((np.asarray(part.source) != EXPERT).any() for part in parts),
    }
    found = []
    for part in parts:
        last = np.arange(len(part.reward)) == len(part.reward) - 1
        columns = {
            "observation": jax.tree.map(np.asarray, part.observation),
            "action": np.asarray(part.action),
            "reward": np.asarray(part.reward),
            "terminated": np.asarray(part.terminated),
            "truncated": np.asarray(part.truncated) | (last & ~np.asarray(part.terminated)),
        }
        values = {
            "target_action": part.target,
            "log_prob": part.log_prob,
            "elapsed": part.elapsed,
            "source": part.source,
        }
        found.append({**columns, **{name: np.asarray(values[name]) for name, needed in own.items() if needed}})
    return found


def _unknown_rewards(table: list[dict[str, Any]]) -> bool:
    """Rewards that are all 0 are unknown (`Episodes`); where a column holds them they are recorded ones."""
    return not any(columns["reward"].any() for columns in table)


# -- CSV --------------------------------------------------------------------------------------------------


def write_csv(file: Path, table: list[dict[str, Any]]) -> None:
    """One row a step, without unknown rewards. Numbers have as many digits as it takes to read the same ones back."""
    unknown = _unknown_rewards(table)
    with file.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        for episode, columns in enumerate(table):
            steps = len(columns["reward"])
            seen = columns.pop("observation")
            if unknown:
                del columns["reward"]
            cells: dict[str, np.ndarray] = {"episode": np.full(steps, episode)}
            cells |= _numbered("observation", jax.tree.map(lambda leaf: leaf[:-1], seen))
            for name, column in columns.items():
                cells |= _numbered(name, column)
            cells |= _numbered("next_observation", jax.tree.map(lambda leaf: leaf[1:], seen))
            if not episode:
                out.writerow(cells)
            values = [column.astype(int) if column.dtype == bool else column for column in cells.values()]
            out.writerows(zip(*(value.tolist() for value in values), strict=True))


def _numbered(name: str, tree: Any) -> dict[str, np.ndarray]:
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        full = label(name, path)
        if leaf.ndim == 1:
            found[full] = leaf
        else:
            found |= {f"{full}_{i}": leaf[:, i] for i in range(leaf.shape[1])}
    return found


# -- Minari -----------------------------------------------------------------------------------------------

_THEIRS = {
    "observation": "observations",
    "action": "actions",
    "reward": "rewards",
    "terminated": "terminations",
    "truncated": "truncations",
}


def write_minari(folder: Path, name: str, table: list[dict[str, Any]]) -> None:
    """`data/main_data.hdf5` and `data/metadata.json` as Minari 0.5 writes them, without bounds, for none are known.

    Choices are said to be as many as the highest one asks for, and unknown rewards to be unknown.
    """
    data = folder / "data"
    data.mkdir()
    with new_file(data / MAIN_FILE, track_order=True) as file:
        for episode, columns in enumerate(table):
            group = file.create_group(f"episode_{episode}")
            group.attrs["id"], group.attrs["total_steps"] = episode, len(columns["reward"])
            for key, leaf in _their_arrays(columns):
                group[key] = leaf
    choices = np.concatenate([columns["action"].reshape(-1) for columns in table])
    first = table[0]
    metadata = {
        "total_episodes": len(table),
        "total_steps": sum(len(columns["reward"]) for columns in table),
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "observation_space": json.dumps(_space(first["observation"], None)),
        "action_space": json.dumps(_space(first["action"], int(choices.max()) + 1)),
        "dataset_id": name,
        "minari_version": "0.5.4",
        "dataset_size": round((data / MAIN_FILE).stat().st_size / 1e6, 1),
        "author": [],
        "author_email": [],
        UNKNOWN_REWARDS: _unknown_rewards(table),
    }
    (data / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


def _their_arrays(columns: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Under Minari's names; what it has no place for as infos, which have one row more than there are steps."""
    for column, tree in columns.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            key = label(_THEIRS.get(column, f"infos/{column}"), path).replace(".", "/")
            yield key, leaf if column in _THEIRS else np.concatenate([leaf, leaf[-1:]])


def _space(tree: Any, choices: int | None) -> dict[str, Any]:
    if isinstance(tree, dict):
        return {"type": "Dict", "subspaces": {key: _space(leaf, choices) for key, leaf in tree.items()}}
    if choices is not None and tree.dtype == np.int32 and tree.ndim == 1:
        return {"type": "Discrete", "dtype": "int64", "start": 0, "n": choices}
    low, high = (0, 255) if tree.dtype == np.uint8 else (-np.inf, np.inf)
    shape = tree.shape[1:]
    bounds = {"low": np.full(shape, low).tolist(), "high": np.full(shape, high).tolist()}
    return {"type": "Box", "dtype": str(tree.dtype), "shape": list(shape), **bounds}
