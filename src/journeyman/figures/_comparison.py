"""REINFORCE, natural gradient, TRPO and PPO on one world, several seeds each."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from journeyman.algorithms import natural_gradient, ppo, reinforce, trpo
from journeyman.diagnose import interval
from journeyman.figures._model import Computed, Effort, Figure, told
from journeyman.figures._wider_drawn import draw_comparison
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.training import Learner, Plan, improve
from journeyman.worlds import AbstractWorld, world

RECIPES: dict[str, tuple[Callable[[], Learner], int]] = {
    "REINFORCE": (reinforce, 4096),
    "natural gradient": (natural_gradient, 4096),
    "TRPO": (trpo, 4096),
    "PPO": (ppo, 2048),
}
"""Each with its own defaults and steps a batch."""

_POINTS = 60
NUM_ENVS = 32


def comparison(name: str, steps: int) -> Figure:
    """The figure of a world: each recipe with its defaults for `steps` environment steps a seed."""
    compute = functools.partial(compare, name, steps)
    return Figure("comparison", f"Four algorithms on {name}", compute, draw_comparison, height=4.2)


def compare(name: str, steps: int, effort: Effort) -> Computed:
    """Mean return of the episodes finished in each portion of the run, with intervals over seeds."""
    arrays: dict[str, Any] = {}
    numbers: dict[str, Any] = {"world": name, "steps": steps, "seeds": effort.seeds, "last": {}}
    for label, (recipe, batch) in RECIPES.items():
        runs = [_run(recipe(), world(name, num_envs=NUM_ENVS, seed=s), steps, batch, s) for s in _seeds(effort)]
        edges = np.linspace(0, steps, min(_POINTS, max(2, steps // batch)) + 1)[1:]
        curves = np.stack([np.interp(edges, at, returns) for at, returns in runs])
        found = [interval(column) for column in curves.T]
        arrays[f"{label} steps"] = edges
        arrays[label] = np.asarray([(i.mean, i.low, i.high) for i in found])
        numbers["last"][label] = told(found[-1])
    said = ", ".join(f"{label} {one['mean']:,.0f}" for label, one in numbers["last"].items())
    caption = (
        f"The return of an episode with sampled actions on {name} over {steps:,} environment steps, each algorithm"
        f" with its defaults. At the end: {said}."
    )
    words = (
        f"{effort.seeds} seeds each from {effort.seed}; lines: means, bands: 95 % bootstrap intervals of the mean"
        " over seeds; every point is the mean of the episodes finished in a batch"
    )
    return Computed(arrays, numbers, caption, words)


def _seeds(effort: Effort) -> range:
    return range(effort.seed, effort.seed + effort.seeds)


def _run(learner: Learner, made: AbstractWorld, steps: int, batch: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and returns of the batches in which an episode ended."""
    rows = improve(learner, policy(made, jax.random.key(seed)), made, Plan(steps=steps, batch=batch, seed=seed)).rows
    known = [(row["step"], float(np.mean(row["return"]))) for row in rows if "return" in row]
    if not known:
        raise JourneymanError(
            f"No episode on {made.name} ended within {steps:,} environment steps, so there is no return to draw; give"
            " more steps."
        )
    at, returns = zip(*known, strict=True)
    return np.asarray(at, float), np.asarray(returns)
