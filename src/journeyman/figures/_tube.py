"""Where a clone goes and where a corrected one goes, beside the tube in which the demonstrator stays."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from journeyman.algorithms import bc
from journeyman.collect import Mean, play
from journeyman.corrections import (
    DisturbedAction,
    MujocoDynamics,
    Steered,
    TrueDynamics,
    corrective_labels,
    repeated,
    thin,
)
from journeyman.datasets import read
from journeyman.diagnose import interval
from journeyman.episodes import Episodes
from journeyman.experts import shipped
from journeyman.figures._model import Computed, Effort, told
from journeyman.parts import counted, require
from journeyman.policies import DensityPolicy, policy
from journeyman.training import EVALUATION_SEED, fit
from journeyman.worlds import AbstractWorld, Handwriting, lasa_strokes, world

SHAPES, HOPPER = ("Sshape", "GShape"), "Hopper-v5"
LEARNERS = ("clone", "corrected")
_PLACES = ("Left", "Middle")
WITHIN = 0.95
"""The share of the demonstrator's own states that lie in its tube, each judged by the other episodes."""

EPISODES, DRAWN, HOPS = 100, 12, 20
ROWS, BATCH = 2048, 256
KEPT = 200
"""Steps that are learned from of each of four hopping episodes."""


class Shown(NamedTuple):
    """Demonstrations, a clone of them, and one of them with corrective labels."""

    data: Episodes
    clone: DensityPolicy
    corrected: DensityPolicy


def ready() -> None:
    """Whether the strokes, the simulator and its expert are there; raises `JourneymanError` where one is not."""
    lasa_strokes(SHAPES[0])
    require("mujoco", extra="gymnasium")
    world(HOPPER, num_envs=1)
    shipped(HOPPER)


def written(made: Handwriting, seed: int, steps: int = 2000) -> Shown:
    """All seven strokes, and labels under the pen's own dynamics."""
    data = read(made.name).episodes
    labelled = corrective_labels(data, TrueDynamics(made), method=Steered(0.1, 0.0, 4), seed=seed)
    return Shown(data, *(_cloned(made, one, seed, steps) for one in (data, labelled.episodes)))


def hopped(made: AbstractWorld, everything: Episodes, seed: int, steps: int = 4000) -> Shown:
    """Four thinned episodes of the packaged expert, and labels under MuJoCo."""
    data = thin(everything, episodes=4, steps_per_episode=KEPT, seed=seed)
    method = DisturbedAction(0.3, copies=4, iterations=10)
    labelled = corrective_labels(data, MujocoDynamics(made), method=method, seed=seed)
    return Shown(data, *(_cloned(made, one, seed, steps) for one in (data, labelled.episodes)))


def _cloned(made: AbstractWorld, data: Episodes, seed: int, steps: int) -> DensityPolicy:
    passes = max(1, steps * BATCH // ROWS)
    learner, fresh = bc(epochs=passes, batch_size=BATCH), policy(made, jax.random.key(seed))
    shown = repeated(data, ROWS, seed)
    return fit(learner, fresh, shown, seed=seed, log_every=passes, checkpoint_every=passes).policy


# -- the tube ----------------------------------------------------------------------------------------------


def beside(points: np.ndarray, paths: Sequence[np.ndarray]) -> np.ndarray:
    """The distance from each of `points` `(points, 2)` to the nearest of the lines that `paths` draw."""
    start, stop = (np.concatenate([path[part] for path in paths]) for part in (np.s_[:-1], np.s_[1:]))
    along = stop - start
    length = np.maximum(np.square(along).sum(1), 1e-12)
    found = []
    for some in np.array_split(points, max(1, len(points) // 512)):
        away = some[:, None] - start[None]
        share = np.clip((away * along).sum(2) / length, 0, 1)
        found.append(np.linalg.norm(away - share[:, :, None] * along, axis=2).min(1))
    return np.concatenate(found)


def nearest(points: np.ndarray, states: np.ndarray) -> np.ndarray:
    """The distance from each of `points` to the nearest of `states`."""
    some = np.array_split(points, max(1, len(points) // 256))
    return np.concatenate([np.linalg.norm(part[:, None] - states[None], axis=2).min(1) for part in some])


def width(paths: Sequence[np.ndarray], distance: Any) -> float:
    """How wide a tube around the other paths holds `WITHIN` of the states of each."""
    apart = [distance(path, [*paths[:i], *paths[i + 1 :]]) for i, path in enumerate(paths)]
    return float(np.quantile(np.concatenate(apart), WITHIN))


def _paths(episodes: Episodes) -> list[np.ndarray]:
    return [np.asarray(one.observation, float) for one in episodes.unpack()]


# -- the figure --------------------------------------------------------------------------------------------


def trajectories(effort: Effort) -> Computed:
    """Two shapes of handwriting in the plane, and hopping by its distance from the expert's states."""
    arrays: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    for shape in SHAPES:
        _on_paper(shape, effort, arrays, numbers)
    _in_mujoco(effort, arrays, numbers)
    return Computed(arrays, numbers, _caption(numbers), _words(effort))


def _on_paper(shape: str, effort: Effort, arrays: dict[str, Any], numbers: dict[str, Any]) -> None:
    made = world(f"lasa:{shape}")
    assert isinstance(made, Handwriting)
    strokes, found = _paths(read(made.name).episodes), {name: [] for name in LEARNERS}
    wide = width(strokes, beside)
    for seed in range(effort.seed, effort.seed + effort.seeds):
        shown = written(made, seed, effort.some(2000))
        for name, acts in zip(LEARNERS, shown[1:], strict=True):
            count = effort.some(EPISODES, DRAWN)
            episodes = play(made, Mean(acts), episodes=count, seed=EVALUATION_SEED, width=count)
            drawn = _paths(episodes)
            outside = np.mean([(beside(path, strokes) > wide).mean() for path in drawn])
            found[name].append((float(episodes.episode_returns().mean()), float(outside)))
            arrays.setdefault(f"{shape} {name}", drawn[:DRAWN])
    low, high = np.concatenate(strokes).min(0), np.concatenate(strokes).max(0)
    half = (high - low).max() / 2 + 9
    x, y = (np.linspace(middle - half, middle + half, 160) for middle in (low + high) / 2)
    place = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    arrays |= {f"{shape} x": x, f"{shape} y": y, f"{shape} strokes": strokes, f"{shape} wide": wide}
    arrays[f"{shape} away"] = beside(place, strokes).reshape(len(y), len(x))
    numbers[shape] = {"width": wide, **_over_seeds(found, ("reached", "outside"))}


def _in_mujoco(effort: Effort, arrays: dict[str, Any], numbers: dict[str, Any]) -> None:
    made, expert = world(HOPPER, num_envs=8), shipped(HOPPER)
    everything = play(made, Mean(expert), episodes=12, seed=3)
    found: dict[str, list[Any]] = {name: [] for name in LEARNERS}
    for seed in range(effort.seed, effort.seed + effort.seeds):
        shown = hopped(made, everything, seed, effort.some(4000))
        states = np.asarray(shown.data.now, float)[np.asarray(shown.data.valid)]
        scale = np.where(states.std(0) > 0, states.std(0), 1)
        others = play(made, Mean(expert), episodes=4, seed=EVALUATION_SEED)
        wide = float(np.quantile(nearest(np.concatenate(_paths(others)) / scale, states / scale), WITHIN))
        for name, acts in zip(LEARNERS, shown[1:], strict=True):
            episodes = play(made, Mean(acts), episodes=effort.some(HOPS, 4), seed=EVALUATION_SEED)
            away = [nearest(path / scale, states / scale) / wide for path in _paths(episodes)]
            steps = [len(path) - 1 for path in away]
            found[name].append((float(np.mean(steps)), float(np.mean([(path > 1).mean() for path in away]))))
            arrays.setdefault(f"hops {name}", away[:DRAWN])
        numbers.setdefault(HOPPER, {"width": wide})
    numbers[HOPPER] |= _over_seeds(found, ("steps", "outside"))


def _over_seeds(found: dict[str, list[Any]], names: Sequence[str]) -> dict[str, Any]:
    """Every learner's numbers with their intervals over seeds."""
    return {
        learner: {name: told(interval(column)) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
        for learner, rows in found.items()
    }


def _caption(numbers: dict[str, Any]) -> str:
    left, middle = (_on_paper_words(place, shape, numbers) for place, shape in zip(_PLACES, SHAPES, strict=True))
    clone, corrected = (numbers[HOPPER][name] for name in LEARNERS)
    return (
        "Where clones go, and where the demonstrator stays: the tube holds 95 % of its states, each judged by the"
        " other episodes. The corrected clones have labels under the true dynamics. LASA handwriting, seven strokes"
        f" of a person; the ring is the goal. {left} {middle} Right: Hopper-v5, {KEPT} steps of each of four episodes"
        " of the packaged expert; the distance to the nearest of them, in widths of the tube. A dot is a fall. The"
        f" clone lasts {clone['steps']['mean']:.0f} steps of 1,000 and is outside of the tube in"
        f" {_percent(clone['outside'])} of them, the corrected clone {corrected['steps']['mean']:.0f} and"
        f" {_percent(corrected['outside'])}."
    )


def _on_paper_words(place: str, shape: str, numbers: dict[str, Any]) -> str:
    clone, corrected = (numbers[shape][name] for name in LEARNERS)
    return (
        f"{place}: {shape}, the tube {numbers[shape]['width']:.1f} mm to either side of a stroke. From disturbed starts"
        f" {_percent(clone['reached'])} of the clone's trajectories come to rest at the goal, and"
        f" {_percent(clone['outside'])} of its steps are outside of the tube; of the corrected clone's"
        f" {_percent(corrected['reached'])} and {_percent(corrected['outside'])}."
    )


def _percent(one: dict[str, Any]) -> str:
    mean, low, high = (None if one[key] is None else f"{100 * one[key]:.0f}" for key in ("mean", "low", "high"))
    return f"{mean} %" if low is None or low == high else f"{mean} ({low} to {high}) %"


def _words(effort: Effort) -> str:
    return (
        f"drawn: {DRAWN} trajectories of the first learner, all learners from the same starts; told: means over"
        f" {counted(effort.seeds, 'learner')} from seed {effort.seed} with 95 % intervals over them,"
        f" {effort.some(EPISODES, DRAWN)} trajectories each on paper and {effort.some(HOPS, 4)} in MuJoCo"
    )
