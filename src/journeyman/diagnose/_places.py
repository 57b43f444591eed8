"""Places in the world that many episodes pass, and what was done there: one step of each episode, so that what is
compared is independent."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.diagnose._by_step import places as numbered
from journeyman.diagnose._dip import dip
from journeyman.episodes import Episodes
from journeyman.policies import DensityPolicy

MOST_EPISODES, MOST_STEPS = 400, 200
"""No more episodes are looked at, and no more steps of each; others are left out evenly."""
CANDIDATES = 48
"""Steps whose surroundings are looked at."""
NEAREST = 0.8
"""The share of the episodes, those that come nearest, whose step counts as being there."""
DRAWS = 64
"""Actions drawn at a state for the mean of the policy there."""
TOLD = 0.05
"""The level at which the observation is said to tell one way of acting from the other."""
_COMPONENTS, _EACH, _SHUFFLES = 3, 12, 499
_LEAST = 1e-3
"""Where the policy does what was done up to this, in deviations of what was done, there is nothing to tell apart."""
_CHUNK = 2048


class Acted(NamedTuple):
    """What was done, one row a step, and what the policy would do; actions in deviations `scale` of what was done.

    `features` (n, f) in deviations, `episode` 0 … episodes−1, `step`. Less the policy's mean action: what was done,
    `away` (n, d), the policy's likeliest action, `likeliest` (n, d), and actions that it drew, `draws` (n, DRAWS, d).
    """

    features: np.ndarray
    episode: np.ndarray
    step: np.ndarray
    away: np.ndarray
    likeliest: np.ndarray
    draws: np.ndarray
    scale: np.ndarray

    def at(self, rows: np.ndarray) -> "Acted":
        """Some of the rows."""
        return Acted(
            self.features[rows],
            self.episode[rows],
            self.step[rows],
            self.away[rows],
            self.likeliest[rows],
            self.draws[rows],
            self.scale,
        )


class Proposed(NamedTuple):
    """Where and along which direction to look: the centre (f,), a unit direction (d,) and the dip that was seen."""

    centre: np.ndarray
    direction: np.ndarray
    dip: float


def acted(policy: DensityPolicy, episodes: Episodes, kept: np.ndarray) -> Acted:
    """The steps of the episodes that are `kept` (bool, one each), thinned evenly where there are many."""
    valid = np.asarray(episodes.valid)
    episode, step, _ = numbered(episodes)
    rows = _thinned(episode, np.flatnonzero(kept))
    now = jax.tree.map(lambda leaf: np.asarray(leaf)[valid][rows], episodes.now)
    done = unrounded(np.asarray(episodes.target, np.float64)[valid][rows].reshape(len(rows), -1))
    features = _standard(np.asarray(policy.encoder(now), np.float64))
    drawn, likeliest = _answers(policy, now, len(rows))
    mean, scale = drawn.mean(1), np.where(done.std(0) > 0, done.std(0), 1.0)
    number = np.unique(episode[rows], return_inverse=True)[1]
    away, from_mean, draws = ((one / scale) for one in (done - mean, likeliest - mean, drawn - mean[:, None]))
    return Acted(features, number, step[rows], away, from_mean, draws, scale)


def unrounded(actions: np.ndarray) -> np.ndarray:
    """`actions` (n, d) with each value that comes back spread evenly, half way to the nearer neighbour of its column.

    Keys and coarse sticks act in steps, and a heap on each step is no mode: numbers that fall evenly about the middle
    of three steps have one mode after this and three before. Two values alone have none between them: they stay.
    """
    random, found = np.random.default_rng(0), actions.copy()
    for column in found.T:
        values, place, counts = np.unique(column, return_inverse=True, return_counts=True)
        gaps = np.diff(values)
        if len(gaps) > 1:
            room = np.minimum(np.append(gaps, np.inf), np.append(np.inf, gaps)) * (counts > 1)
            column += random.uniform(-0.5, 0.5, len(column)) * room[place]
    return found


def there(found: Acted, of: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The rows that are there: the nearest step of each of the episodes `of`, of the `NEAREST` share of them."""
    square = ((found.features - centre) ** 2).sum(1)
    order = np.lexsort((square, found.episode))
    first = order[np.searchsorted(found.episode[order], of)]
    count = max(round(NEAREST * len(of)), 1)
    return np.sort(first[np.argsort(square[first], kind="stable")[:count]])


def level_with(rows: Acted) -> tuple[np.ndarray, np.ndarray]:
    """`away` and `likeliest`, less what changes linearly with the observation inside the place.

    Along at most three principal components of the observations there, one for twelve rows. The offset stays, so the
    policy's place among the actions does too.
    """
    centred = rows.features - rows.features.mean(0)
    count = min(_COMPONENTS, len(centred) // _EACH)
    if not count:
        return rows.away, rows.likeliest
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    basis = left[:, :count][:, size[:count] > 1e-9 * max(size[0], 1e-300)]
    slope = basis @ (basis.T @ (rows.away - rows.away.mean(0)))
    return rows.away - slope, rows.likeliest - slope


def propose(found: Acted, of: np.ndarray, most: int) -> list[Proposed]:
    """The `most` of the candidates whose actions dip deepest in the episodes `of`, and along which direction.

    Left out are those where the observation tells which way will be taken: there nobody acts in two ways.
    """
    mine = np.flatnonzero(np.isin(found.episode, of))
    centres = found.features[mine[np.linspace(0, len(mine) - 1, min(CANDIDATES, len(mine))).round().astype(int)]]
    proposed = []
    for centre in np.unique(centres, axis=0):
        rows = found.at(there(found, of, centre))
        away, _ = level_with(rows)
        tried = [Proposed(centre, w, dip(away @ w)) for w in _directions(away) if (away @ w).std() > _LEAST]
        proposed += [max(tried, key=lambda one: one.dip)] if tried else []
    proposed.sort(key=lambda p: -p.dip)
    chosen: list[Proposed] = []
    for one in proposed:
        rows = found.at(there(found, of, one.centre))
        if len(chosen) < most and told_apart(rows.features, level_with(rows)[0] @ one.direction) > TOLD:
            chosen.append(one)
    return chosen


def told_apart(features: np.ndarray, along: np.ndarray, seed: int = 0) -> float:
    """How likely chance tells the two halves of `along`, split where the gap is, as well as the observation does.

    Each row's side is told by ridge regression on the others' observations; p is the share of 499 shuffles of the
    sides, and the sides themselves, in which at least as many are told rightly.
    """
    side = np.where(along > split(along), 1.0, -1.0)
    if abs(side.sum()) == len(side):
        return 1.0
    x = np.column_stack([np.ones(len(side)), _standard(features) / np.sqrt(features.shape[1])])
    hat = x @ np.linalg.solve(x.T @ x + np.diag([1e-9, *np.ones(features.shape[1])]), x.T)
    shuffled = np.random.default_rng(seed).permuted(np.tile(side, (_SHUFFLES, 1)), axis=1)
    sides = np.column_stack([side, shuffled.T])
    own = np.diag(hat)[:, None]
    right = (((hat @ sides - own * sides) / (1 - own)) * sides > 0).sum(0)
    return float((right >= right[0]).mean())


def split(along: np.ndarray) -> float:
    """Where one half ends and the other begins: the two-means split, the exact one in one dimension."""
    ordered = np.sort(along)
    count = np.arange(1, len(ordered))
    first, total = np.cumsum(ordered)[:-1], ordered.sum()
    between = first**2 / count + (total - first) ** 2 / (len(ordered) - count)
    cut = int(np.argmax(between))
    return float((ordered[cut] + ordered[cut + 1]) / 2)


def _directions(away: np.ndarray) -> np.ndarray:
    """Unit vectors (k, d): the axes, the principal axes, and the discriminant of two clusters of whitened actions."""
    size = away.shape[1]
    if size == 1:
        return np.ones((1, 1))
    centred = away - away.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(away))
    spread = np.sqrt(np.maximum(values, 1e-12 * max(values.max(), 1e-300)))
    white = centred @ vectors / spread
    side = white[:, np.argmax([dip(column) for column in white.T])]
    side = side > split(side)
    for _ in range(20):
        if side.all() or not side.any():
            break
        middle = white[side].mean(0), white[~side].mean(0)
        side = ((white - middle[0]) ** 2).sum(1) < ((white - middle[1]) ** 2).sum(1)
    found = [*np.eye(size), *vectors.T]
    if side.any() and not side.all():
        apart = vectors @ ((white[side].mean(0) - white[~side].mean(0)) / spread)
        found.append(apart / np.linalg.norm(apart))
    return np.asarray(found)


def _thinned(episode: np.ndarray, kept: np.ndarray) -> np.ndarray:
    if len(kept) > MOST_EPISODES:
        kept = kept[np.linspace(0, len(kept) - 1, MOST_EPISODES).round().astype(int)]
    parts = []
    for one in kept:
        start, stop = np.searchsorted(episode, [one, one + 1])
        parts.append(np.unique(np.linspace(start, stop - 1, min(stop - start, MOST_STEPS)).round().astype(int)))
    return np.concatenate(parts)


def _standard(features: np.ndarray) -> np.ndarray:
    deviation = features.std(0)
    return (features - features.mean(0)) / np.where(deviation > 1e-9, deviation, 1.0)


def _answers(policy: DensityPolicy, now: PyTree, count: int) -> tuple[np.ndarray, np.ndarray]:
    """DRAWS actions at each state, `(n, DRAWS, d)`, and the likeliest one, `(n, d)`; in parts of one size."""
    drawn, likeliest = [], []
    size = min(_CHUNK, count)
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        here = jax.tree.map(lambda leaf, rows=rows: leaf[rows], now)
        some = _answered(policy, here, jax.random.key(start))
        drawn.append(np.asarray(some[0], np.float64).reshape(size, DRAWS, -1))
        likeliest.append(np.asarray(some[1], np.float64).reshape(size, -1))
    return np.concatenate(drawn)[:count], np.concatenate(likeliest)[:count]


@eqx.filter_jit
def _answered(policy: DensityPolicy, now: Any, key: Array) -> tuple[Array, Array]:
    likeliest = policy.mode(now)

    def one(key: Array) -> Array:
        return policy.draw(now, policy.noise(key, likeliest.shape[0]))

    return jnp.moveaxis(jax.vmap(one)(jax.random.split(key, DRAWS)), 0, 1), likeliest
