"""What a figure is: data computed from runs, a sentence with its numbers, and a function that draws it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from journeyman.diagnose import Interval


class Computed(NamedTuple):
    """The data of a figure.

    `arrays` is what is drawn, plain NumPy arrays by name. `numbers` is plain JSON, every number that `caption` states
    among them. `seeds` says in words what was repeated and what the intervals are.
    """

    arrays: Mapping[str, Any]
    numbers: Mapping[str, Any]
    caption: str
    seeds: str


class Effort(NamedTuple):
    """How much is computed: `scale` multiplies sample and iteration counts, `seeds` are runs of each learner."""

    scale: float = 1.0
    seeds: int = 5
    seed: int = 0

    def some(self, count: int, least: int = 2) -> int:
        """`count` under this scale."""
        return max(least, round(self.scale * count))


def _nothing() -> None:
    pass


class Figure(NamedTuple):
    """One figure of a set: `draw(drawing, style, computed)` fills a matplotlib figure of `height` inches.

    `ready()` raises `JourneymanError` where something that `compute` needs is not installed.
    """

    name: str
    title: str
    compute: Callable[[Effort], Computed]
    draw: Callable[[Any, Any, Computed], None]
    height: float = 3.5
    ready: Callable[[], None] = _nothing


class FigureSet(NamedTuple):
    """The figures of one lecture, and the title of the page that shows them."""

    title: str
    figures: tuple[Figure, ...]


def told(found: Interval) -> dict[str, Any]:
    """An interval as plain JSON; the bounds of a single run are unknown, None."""
    low, high = (found.low, found.high) if found.known else (None, None)
    return {"mean": found.mean, "low": low, "high": high, "n": found.n}
