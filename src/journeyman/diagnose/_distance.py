"""How far a state is from the nearest demonstrated one."""

from typing import NamedTuple

import numpy as np

from journeyman.diagnose._by_step import Steps

MOST_STATES = 4000
_MOST_QUERIES = 20_000
_CHUNK = 512


class States(NamedTuple):
    """Feature vectors `(n, features)` of visited states, with the episode and step number of each."""

    features: np.ndarray
    episode: np.ndarray
    step: np.ndarray
    episodes: int


def distances(states: States, demonstrations: States, *, to_others: bool = False, seed: int = 0) -> Steps:
    """The Euclidean distance of each state from its nearest demonstrated one, in deviations of the demonstrations.

    Each feature is divided by its standard deviation over the demonstrations (one that never moved there is left as
    it is). At most 4000 demonstrated states are held against, and at most 20 000 states are asked about, drawn with
    `seed`. With `to_others`, `states` are the demonstrations themselves and each looks at the other episodes only:
    what is usual between demonstrations.
    """
    random = np.random.default_rng(seed)
    features = np.asarray(demonstrations.features, np.float64)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = np.where(deviation < 1e-6, 1.0, deviation)
    kept = _some(len(features), MOST_STATES, random)
    memory, owner = (features[kept] - mean) / scale, demonstrations.episode[kept]
    asked = _some(len(states.features), _MOST_QUERIES, random)
    queries = (np.asarray(states.features[asked], np.float64) - mean) / scale
    found = np.empty(len(asked))
    for start in range(0, len(asked), _CHUNK):
        part = slice(start, start + _CHUNK)
        excluded = states.episode[asked[part]] if to_others else None
        found[part] = _nearest(queries[part], memory, owner, excluded)
    there = np.isfinite(found)  # an episode that alone was drawn into the memory has no others
    asked, found = asked[there], found[there]
    return Steps(states.episode[asked], states.step[asked], found, states.episodes)


def _some(count: int, most: int, random: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= most else np.sort(random.permutation(count)[:most])


def _nearest(queries: np.ndarray, memory: np.ndarray, owner: np.ndarray, excluded: np.ndarray | None) -> np.ndarray:
    square = (queries**2).sum(1)[:, None] + (memory**2).sum(1)[None, :] - 2 * queries @ memory.T
    if excluded is not None:
        square = np.where(owner[None, :] == excluded[:, None], np.inf, square)
    nearest = square.argmin(axis=1)
    # The expanded square loses its digits near zero; the nearest one's is computed again from the difference.
    exact = np.sqrt(((queries - memory[nearest]) ** 2).sum(1))
    return np.where(np.isinf(square.min(axis=1)), np.inf, exact)
