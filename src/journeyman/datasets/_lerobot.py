"""LeRobot's folders (versions 2 and 3): Parquet files with one row a frame below `data`, beside `meta/info.json`."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.datasets._arrow import is_numeric, numbers, pyarrow, sound
from journeyman.datasets._column import AbstractColumn, Held, Joined, Read, Unread
from journeyman.datasets._episodes_apart import require_complete
from journeyman.datasets._open import listed, names_read, proper_name, split_name
from journeyman.datasets._table import Table
from journeyman.parts import JourneymanError

INFO = Path("meta") / "info.json"

_RENAMED = {"next.reward": "reward", "next.done": "done", "next.truncated": "truncated"}
"""What a frame's action led to is kept under `next`; here it belongs to the step."""


def open_lerobot(path: Path) -> Table:
    """The table of the LeRobot data set in the folder `path`: a column for each feature that is made of numbers.

    Raises `JourneymanError` for a folder without its data, one cut short, one that shows nothing but pictures, and
    files that are not built alike.
    """
    pictures, frames, episodes = _promised(path / INFO)
    schema, groups = _row_groups(path)
    require_complete(str(INFO), {"frames": (frames, sum(count for *_, count in groups))})
    pictures |= {field.name for field in schema if not is_numeric(field.type)}
    _require_numbers(path, [*schema.names, *sorted(pictures)], pictures)
    notes = [f"Not read, for they are pictures or words: {', '.join(map(repr, sorted(pictures)))}."] if pictures else []
    notes += [f"'{name}' is taken for '{proper}'." for name, proper in _RENAMED.items() if name in schema.names]
    # A footer tells of every row group, so it is not read for each of them; nor are all files held open.
    opened = functools.lru_cache(maxsize=16)(functools.partial(pyarrow("pyarrow.parquet").ParquetFile, memory_map=True))
    names = {str(name): _RENAMED.get(name, str(name)) for name in schema.names if name not in pictures}
    read = names_read(names.values())
    columns = {proper: _column(name, groups, opened) if proper in read else Unread() for name, proper in names.items()}
    if "episode_index" in columns:
        index = columns["episode_index"] = Held(columns["episode_index"].whole())
        there = 1 + int(np.count_nonzero(np.diff(index.array, axis=0)))
        require_complete(str(INFO), {"episodes": (episodes, there)})
    return Table("LeRobot", columns, notes=notes)


def _require_numbers(path: Path, names: list[str], pictures: set[str]) -> None:
    """Refuse a data set in which all that was seen are pictures or words."""
    seen = [name for name in names if proper_name(split_name(name)[0]) == "observation"]
    if seen and pictures.issuperset(seen):
        raise JourneymanError(
            f"'{path}' shows what was seen as pictures or words alone ({listed(dict.fromkeys(seen))}), and of LeRobot's"
            " features only numbers are read; add one such as 'observation.state', or write the pictures as an array of"
            " uint8 in npz or HDF5."
        )


def _row_groups(path: Path) -> tuple[Any, list[tuple[Path, int, int]]]:
    """What the frames hold, and every row group that has any: its file, its number there, and how many frames."""
    files = sorted((path / "data").rglob("*.parquet"))
    groups: list[tuple[Path, int, int]] = []
    schema: Any = None
    for file in files:
        with sound(file):
            about = pyarrow("pyarrow.parquet").read_metadata(file)
            here = about.schema.to_arrow_schema()
        schema = here if schema is None else schema
        if here.names != schema.names:
            raise JourneymanError(
                f"'{file.relative_to(path)}' holds {', '.join(here.names)} and '{files[0].relative_to(path)}'"
                f" {', '.join(schema.names)}; a data set has the same features in every file."
            )
        counts = [(index, about.row_group(index).num_rows) for index in range(about.num_row_groups)]
        groups += [(file, index, count) for index, count in counts if count]
    if not groups:
        raise JourneymanError(f"'{path}' has no frame in 'data/*/*.parquet', where they should be; copy it again.")
    return schema, groups


def _promised(path: Path) -> tuple[set[str], Any, Any]:
    """The features that are videos and stand in no column, and how many frames and episodes there should be."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        videos = {name for name, one in about["features"].items() if one["dtype"] == "video"}
        return videos, about.get("total_frames"), about.get("total_episodes")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JourneymanError(f"'{path}' is not LeRobot's list of features ({error!r}); copy it again.") from error


def _column(name: str, groups: list[tuple[Path, int, int]], opened: Callable[[Path], Any]) -> AbstractColumn:
    """One feature over all row groups, of which the latest one is held."""

    @functools.lru_cache(maxsize=1)
    def group(file: Path, index: int) -> np.ndarray:
        with sound(file):
            table = opened(file).read_row_group(index, columns=[name])
        return numbers(pyarrow().concat_arrays(table.column(name).chunks), name, file)

    first = group(*groups[0][:2])
    shape = first.shape[1:]
    parts = [
        Read((rows, *shape), first.dtype, functools.partial(_slice, functools.partial(group, file, index), shape, name))
        for file, index, rows in groups
    ]
    return Joined(parts)


def _slice(group: Callable[[], np.ndarray], shape: tuple[int, ...], name: str, start: int, stop: int) -> np.ndarray:
    """Frames `start … stop−1` of a row group."""
    found = group()
    if found.shape[1:] != shape:
        raise JourneymanError(
            f"'{name}' has shape {shape} a frame in the first file and {found.shape[1:]} in another; a data set has the"
            " same features in every file."
        )
    return found[start:stop]
