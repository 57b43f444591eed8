"""Minari's folders and ids: the HDF5 ones read as they lie there, the others through Minari itself."""

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.datasets._column import AbstractColumn, Held, Joined, Read
from journeyman.datasets._episodes_apart import require_complete
from journeyman.datasets._hdf5 import OWN, open_hdf5
from journeyman.datasets._table import Table
from journeyman.parts import JourneymanError, require

MAIN_FILE = "main_data.hdf5"

UNKNOWN_REWARDS = "journeyman_unknown_rewards"
"""What `write` says in the metadata where nobody recorded rewards: they are 0, for Minari reads no episode without."""


def find(name: str) -> tuple[Path, list[str]]:
    """The folder of the data set `name` below `$MINARI_DATASETS_PATH` or `~/.minari/datasets`, downloaded where it is
    not there yet, and a note of that.

    Raises `JourneymanError` where it cannot be had, with what Minari said.
    """
    root = Path(os.environ.get("MINARI_DATASETS_PATH", Path.home() / ".minari" / "datasets"))
    note = []
    if not (root / name / "data").is_dir():
        minari = require("minari", extra="minari")
        try:
            minari.download_dataset(name)
        except Exception as error:  # whatever the network, the server or the disk had against it
            first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise JourneymanError(
                f"There is no file '{name}', no data set '{name}' in '{root}', and Minari could not download one"
                f" ({first}); check the name and the network, or give the path of a file or folder."
            ) from error
        note.append(f"Minari downloaded '{name}' into '{root / name}'.")
    return root / name, note


def open_id(name: str, stack: contextlib.ExitStack) -> Table:
    """The table of the data set `name` (see `find`)."""
    folder, notes = find(name)
    table = open_folder(folder, stack)
    table.notes += notes
    table.where = folder
    return table


def open_folder(path: Path, stack: contextlib.ExitStack) -> Table:
    """The data set in the folder `path`, the one that holds `data` or `data` itself.

    Raises `JourneymanError` for a folder that is no Minari data set, or one without its data.
    """
    data = next((folder for folder in (path / "data", path) if (folder / "metadata.json").is_file()), None)
    if data is None:
        raise JourneymanError(
            f"'{path}' is a folder and no data set of Minari (no 'data/metadata.json'), LeRobot (no 'meta/info.json')"
            " or `imitation` (no 'state.json'); name the file inside it."
        )
    try:
        metadata = json.loads((data / "metadata.json").read_text(encoding="utf-8"))
        kind, spaces = metadata.get("data_format", "hdf5"), str(metadata.get("observation_space", ""))
    except (ValueError, AttributeError) as error:
        raise JourneymanError(f"'{data / 'metadata.json'}' is not JSON ({error}); copy the folder again.") from error
    if kind == "hdf5" and not _pictures(spaces, metadata.get("jpeg_encoding", True)):
        if not (data / MAIN_FILE).is_file():
            raise JourneymanError(f"'{data}' lacks '{MAIN_FILE}', where its episodes should be; copy the folder again.")
        inside = open_hdf5(data / MAIN_FILE, stack)
        table = Table("Minari", inside.arrays, notes=inside.notes)
    else:
        table = Table("Minari", _through_minari(data))
    if metadata.get(UNKNOWN_REWARDS):
        table.arrays = {name: column for name, column in table.arrays.items() if name != "rewards"}
    if "episode_end" in table.arrays:
        ends = table.arrays["episode_end"].whole()
        there = {"episodes": len(ends), "steps": int(ends[-1])}
        promised = {name: (metadata.get(f"total_{name}"), count) for name, count in there.items()}
        require_complete("metadata.json", promised)
    return table


def _pictures(space: str, encoded: bool) -> bool:
    """Whether there may be pictures as JPEG, which only Minari unpacks."""
    return encoded and "uint8" in space


def _through_minari(data: Path) -> dict[str, AbstractColumn]:
    minari = require("minari", extra="minari")
    try:
        dataset = minari.MinariDataset(str(data))
        counts = [int(about["total_steps"]) for about in dataset.storage.get_episode_metadata(dataset.episode_indices)]
        latest = functools.lru_cache(maxsize=1)(lambda index: dict(_leaves(dataset[index])))
        first = latest(0)
    except Exception as error:  # a foreign format: whatever is wrong with it, Minari says it in its own way
        said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise JourneymanError(f"Minari cannot read '{data}': {said}; copy or download the folder again.") from error
    found: dict[str, AbstractColumn] = {"episode_end": Held(np.cumsum(counts))}
    for key, leaf in first.items():
        more = 1 if key.startswith("observations") else 0
        parts = [
            Read((count + more, *leaf.shape[1:]), leaf.dtype, functools.partial(_slice, latest, index, key))
            for index, count in enumerate(counts)
        ]
        found[key.removeprefix("infos/")] = Joined(parts)
    return found


def _slice(episode: Any, index: int, key: str, start: int, stop: int) -> np.ndarray:
    return episode(index)[key][start:stop]


def _leaves(episode: Any) -> Iterator[tuple[str, np.ndarray]]:
    infos = {key: value for key, value in (episode.infos or {}).items() if key in OWN}
    columns = {name: getattr(episode, name) for name in "observations actions rewards terminations truncations".split()}
    yield from _flat({**columns, "infos": infos})


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(tree, (dict, tuple)):
        items = tree.items() if isinstance(tree, dict) else ((f"_index_{i}", item) for i, item in enumerate(tree))
        for key, value in items:
            yield from _flat(value, f"{prefix}{'/' if prefix else ''}{key}")
    else:
        yield prefix, np.asarray(tree)
