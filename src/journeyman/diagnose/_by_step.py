"""A quantity by step number inside the episode: bins, bands, and how it grows."""

import dataclasses
from typing import NamedTuple

import numpy as np

from journeyman.diagnose._interval import Clusters, interval
from journeyman.episodes import Episodes


@dataclasses.dataclass(frozen=True)
class ByStep:
    """A quantity by step number, `(points,)` each; nan where no episode has such a step.

    An episode counts once in each bin, by its mean there: `median`, `quarter` and `three_quarters` are the middle half
    of the episodes, `mean` with `low` and `high` its 95 % bootstrap interval over episodes (bounds nan for one
    episode), `count` how many episodes are there.
    """

    median: np.ndarray
    quarter: np.ndarray
    three_quarters: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


class Steps(NamedTuple):
    """One value a step: which `episode` it belongs to (0 … episodes−1), its `step` number there, its `value`."""

    episode: np.ndarray
    step: np.ndarray
    value: np.ndarray
    episodes: int

    @property
    def longest(self) -> int:
        """One more than the last step number."""
        return int(self.step.max()) + 1

    def before(self, step: int) -> "Steps":
        """Only the steps with a smaller number than `step`."""
        keep = self.step < step
        return Steps(self.episode[keep], self.step[keep], self.value[keep], self.episodes)

    def totals(self) -> Clusters:
        """The mean over steps, by episode."""
        return Clusters(self._sum(self.value), self._sum(np.ones(len(self.value))))

    def slopes(self) -> Clusters:
        """The pooled slope inside episodes, per step: Σᵢ Σₜ (t − t̄ᵢ)(vᵢₜ − v̄ᵢ) / Σᵢ Σₜ (t − t̄ᵢ)².

        Each episode is compared with itself, so that a line which rises only because the better episodes end early
        (or falls because the worse ones do) has no slope.
        """
        count = np.maximum(self._sum(np.ones(len(self.value))), 1)
        step = self.step.astype(np.float64)
        time = step - (self._sum(step) / count)[self.episode]
        value = self.value - (self._sum(self.value) / count)[self.episode]
        return Clusters(self._sum(time * value), self._sum(time**2))

    def by_step(self, edges: np.ndarray) -> ByStep:
        """Binned between `edges`, the first included and the last not."""
        points = len(edges) - 1
        place = self.episode * points + np.searchsorted(edges, self.step, side="right") - 1
        size = self.episodes * points
        total, count = np.bincount(place, self.value, size), np.bincount(place, minlength=size)
        table = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(self.episodes, points)
        rows = [_summary(column[np.isfinite(column)]) for column in table.T]
        return ByStep(*np.asarray(rows, np.float64).T)

    def counts(self, edges: np.ndarray) -> np.ndarray:
        """How many episodes have a step in each bin."""
        points = len(edges) - 1
        place = np.unique(self.episode * points + np.searchsorted(edges, self.step, side="right") - 1)
        return np.bincount(place % points, minlength=points)

    def _sum(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.episode, values, self.episodes)


def places(episodes: Episodes) -> tuple[np.ndarray, np.ndarray, int]:
    """Episode number and step number of each valid step in row order, and how many episodes there are.

    The episodes are those of `Episodes.unpack`, found for all rows at once.
    """
    valid = np.asarray(episodes.valid).reshape(-1, episodes.valid.shape[-1])
    row, time = np.nonzero(valid)
    elapsed, ended = (np.asarray(leaf).reshape(valid.shape)[row, time] for leaf in (episodes.elapsed, episodes.ended))
    follows = (np.diff(row) == 0) & ~ended[:-1] & (np.diff(elapsed.astype(np.int64)) == np.diff(time))
    episode = np.concatenate([[0], np.cumsum(~follows)])[: len(row)]
    return episode, elapsed, int(episode[-1]) + 1 if len(row) else 0


def bin_edges(longest: int, bins: int) -> np.ndarray:
    """Whole numbers from 0 to `longest`, at most `bins` bins, as even as whole steps allow."""
    return np.unique(np.linspace(0, longest, min(bins, longest) + 1).round().astype(int))


def centres(edges: np.ndarray) -> np.ndarray:
    """The mean step number of each bin."""
    return (edges[:-1] + edges[1:] - 1) / 2


def _summary(values: np.ndarray) -> tuple[float, ...]:
    if not len(values):
        return (*(6 * [np.nan]), 0)
    known = interval(values)
    quarter, median, three_quarters = np.quantile(values, [0.25, 0.5, 0.75])
    return median, quarter, three_quarters, known.mean, known.low, known.high, len(values)
