"""REINFORCE, natural gradient, TRPO and PPO on one world, several seeds each."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from journeyman.algorithms import natural_gradient, ppo, reinforce, trpo
from journeyman.diagnose import interval
from journeyman.figures._model import Computed, Effort, Figure, told
from journeyman.figures._wider_drawn import draw_comparison
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.training import Learner, Plan, Recorder, begun, improve, read_metrics
from journeyman.worlds import world

RECIPES: dict[str, tuple[Callable[[], Learner], int]] = {
    "REINFORCE": (reinforce, 4096),
    "natural gradient": (natural_gradient, 4096),
    "TRPO": (trpo, 4096),
    "PPO": (ppo, 2048),
}
"""Each with its own defaults and steps a batch."""

_POINTS = 60
NUM_ENVS = 32


def comparison(name: str, steps: int, runs: Path | None = None) -> Figure:
    """The figure of a world: each recipe with its defaults for `steps` environment steps a seed.

    With `runs` each of them is a run in that folder: one that is there is gone on with, or read where it is finished,
    so that hours of them can be done in parts, and several at a time.
    """
    compute = functools.partial(compare, name, steps, runs)
    return Figure("comparison", f"Four algorithms on {name}", compute, draw_comparison, height=4.2)


def compare(name: str, steps: int, runs: Path | None, effort: Effort) -> Computed:
    """Mean return of the episodes finished in each portion of the run, with intervals over seeds."""
    arrays: dict[str, Any] = {}
    numbers: dict[str, Any] = {"world": name, "steps": steps, "seeds": effort.seeds, "last": {}}
    for label, (recipe, batch) in RECIPES.items():
        plans = [Plan(steps=steps, batch=batch, seed=seed) for seed in _seeds(effort)]
        found = [_run(recipe(), name, plan, _folder(runs, label, plan.seed)) for plan in plans]
        edges = np.linspace(0, steps, min(_POINTS, max(2, steps // batch)) + 1)[1:]
        edges = edges[edges >= min(steps, max(at[0] for at, _ in found))]  # before, somebody has no return yet
        curves = np.stack([np.interp(edges, at, returns) for at, returns in found])
        points = [interval(column) for column in curves.T]
        arrays[f"{label} steps"] = edges
        arrays[label] = np.asarray([(i.mean, i.low, i.high) for i in points])
        numbers["last"][label] = told(points[-1])
    said = ", ".join(f"{label} {one['mean']:,.0f}" for label, one in numbers["last"].items())
    caption = (
        f"The return of an episode with sampled actions on {name} over {steps:,} environment steps, each algorithm"
        f" with its defaults. At the end: {said}."
    )
    words = (
        f"{effort.seeds} seeds each from {effort.seed}; lines: means, bands: 95 % intervals of the mean"
        " over seeds; every point is the mean of the episodes finished in a batch, or between two of them, from where"
        " every seed has finished one"
    )
    return Computed(arrays, numbers, caption, words)


def _seeds(effort: Effort) -> range:
    return range(effort.seed, effort.seed + effort.seeds)


def _folder(runs: Path | None, label: str, seed: int) -> Path | None:
    return None if runs is None else runs / f"{label.lower().replace(' ', '-')}-{seed}"


def _run(learner: Learner, name: str, plan: Plan, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Steps and returns of the batches in which an episode ended."""
    made = world(name, num_envs=NUM_ENVS, seed=plan.seed)
    record = None if folder is None else Recorder(folder, resume=begun(folder))
    trained = improve(learner, policy(made, jax.random.key(plan.seed)), made, plan, record=record)
    rows = trained.rows if folder is None else read_metrics(folder)  # all of them, and not this process's alone
    known = [(row["step"], float(np.mean(row["return"]))) for row in rows if "return" in row]
    if not known:
        raise JourneymanError(
            f"No episode on {made.name} ended within {plan.steps:,} environment steps, so there is no return to draw;"
            " give more steps."
        )
    at, returns = zip(*known, strict=True)
    return np.asarray(at, float), np.asarray(returns)
