"""Files that keep each episode by itself: that all of them are there, and all rows of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from journeyman.datasets._open import proper_name, split_name
from journeyman.parts import refuse


def require_rows(where: str, episodes: Sequence[str], steps: Sequence[int], rows: Mapping[str, Sequence[int]]) -> None:
    """Refuse episodes whose columns would slide against one another once they stand in one array.

    `rows` holds of each column that is read how many there are in each of the `episodes`, which have `steps`: as many
    as steps, and of observations as many or, in all episodes, one more.
    """
    found = []
    for name, counts in rows.items():
        spare = [count - time for time, count in zip(steps, counts, strict=True)]
        seen = proper_name(split_name(name)[0]) == "observation"
        more = int(seen and spare.count(1) > spare.count(0))
        found += [
            f"{where}: '{name}' of '{episode}' has {count} rows where {time} actions need {time + more}; every"
            " column has one row a step, and observations may have one more, in all episodes; repair that episode or"
            " leave it out."
            for episode, time, count in zip(episodes, steps, counts, strict=True)
            if count != time + more
        ]
    refuse(found[:5])


def require_complete(where: str, counts: Mapping[str, tuple[Any, int]]) -> None:
    """Refuse a folder of which a part is missing: `counts` holds of each thing how many `where` promises, if it says
    so, and how many there are.
    """
    refuse(
        [
            f"'{where}' promises {promised:,} {name} and {there:,} are there; finish the download, or copy it again."
            for name, (promised, there) in counts.items()
            if isinstance(promised, int) and promised != there
        ]
    )
