"""From a run, or several, to the page about it."""

import dataclasses
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from journeyman.datasets import DemonstrationScore
from journeyman.diagnose import Evaluation, Score, interval
from journeyman.diagnose._numbers import plain
from journeyman.parts import counted
from journeyman.policies import AbstractDensityPolicy
from journeyman.policies._files import write_file
from journeyman.report import Band, Curve, Film, Finding, PolicyRow, Reference, format_number, report_interval
from journeyman.sessions._files import relative
from journeyman.worlds import AbstractWorld, frames

_FILMED_STEPS, _PICTURES = 300, 36


def film(name: str, policy: AbstractDensityPolicy, world: AbstractWorld, *, seed: int) -> Film:
    """A strip of one episode under the mean action, or the reason why there is none."""
    mode = eqx.filter_jit(policy.mode)

    def act(observation: Any) -> np.ndarray:
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], observation)
        return np.asarray(mode(one))[0]

    found = frames(world, act, seed=seed, count=_PICTURES, max_steps=_FILMED_STEPS)
    if not len(found.pictures):
        return Film(name=name, missing=found.reason)
    whole = found.steps < _FILMED_STEPS
    caption = (
        f"{'A whole episode' if whole else 'The beginning of an episode'}: {counted(found.steps, 'step')} with a return"
        f" of {format_number(found.episode_return)}, start seed {seed}."
    )
    seconds = found.seconds if np.isfinite(found.seconds) else 4.0
    return Film(name=name, frames=found.pictures, seconds=seconds, caption=caption)


def demonstration_row(found: DemonstrationScore, score: Score, command: str) -> PolicyRow | None:
    """The demonstrations' own score, where it is known."""
    values = found.returns if score == "return" else found.best
    if values is None:
        return None
    return PolicyRow(
        name="demonstrations",
        score=report_interval(interval(values)),
        episodes=len(values),
        best=float(np.max(values)),
        data=f"{counted(len(values))}, {found.how}",
        command=command,
    )


def fit_curves(rows: Sequence[dict[str, Any]], command: str) -> list[Curve]:
    """The loss on training and on held-out episodes against passes."""
    epochs = [row["epoch"] for row in rows]
    shared = {
        "x": epochs,
        "x_label": "passes over the training episodes",
        "y_label": "negative log-likelihood",
        "y_unit": "nats a step",
        "command": command,
        "caption": "Lower is better. Where the held-out curve turns up while the other falls on, the clone learns"
        " the training episodes by heart.",
    }
    curves = [Curve(name="training", y=Band([row["loss"] for row in rows]), **shared)]
    if rows and "held_out_nll" in rows[0]:
        curves.append(Curve(name="held out", y=Band([row["held_out_nll"] for row in rows]), **shared))
    return curves


def improve_curves(
    name: str,
    rows: Sequence[dict[str, Any]],
    command: str,
    references: Sequence[Reference] = (),
    *,
    evaluation_episodes: int,
) -> list[Curve]:
    """The return while training with sampled actions, and of the mean action where it was evaluated, on
    `evaluation_episodes` each time."""
    shared = {
        "x_label": "environment steps",
        "y_label": "return",
        "references": tuple(references),
        "command": command,
        "caption": "The return of the episodes that ended in each batch (sampled actions), and of the mean action on"
        " fixed start states. Where simulators are made anew, at a checkpoint, the first episodes to end are those that"
        " ended early.",
    }
    curves = []
    for label, key, spread, count in (
        (f"{name}, mean action", "evaluation_return", "evaluation_deviation", lambda _: evaluation_episodes),
        (f"{name}, sampled", "return", "return_deviation", lambda row: row["finished"]),
    ):
        told = [row for row in rows if key in row]
        if len(told) < 2:
            continue
        if isinstance(told[0][key], list):
            band, about = _over_seeds([row[key] for row in told]), "mean and 95 % interval over seeds"
        else:
            means, deviations = ([row[name] for row in told] for name in (key, spread))
            band = _over_episodes(means, deviations, [count(row) for row in told])
            about = "mean ± 1.96 standard errors over episodes"
        curves.append(Curve(name=label, x=[row["step"] for row in told], y=band, interval=about, **shared))
    return curves


def _over_episodes(means: Sequence[float], deviations: Sequence[float], counts: Sequence[int]) -> Band:
    """Of each point, the mean over its episodes and 1.96 standard errors about it; of one episode, the mean alone.

    `deviations` divide by the number of episodes n, so that a standard error is deviation / √(n − 1).
    """
    middle, free = np.asarray(means, float), np.asarray(counts) - 1
    if not (free > 0).any():
        return Band(middle)
    error = 1.96 * np.asarray(deviations, float) / np.sqrt(np.where(free > 0, free, np.nan))
    return Band(middle, middle - error, middle + error)


def _over_seeds(values: Sequence[Sequence[float]]) -> Band:
    """Of each point, the mean over the seeds that have a value there and its interval."""
    points = np.asarray(values, float)
    known = [interval(point[np.isfinite(point)]) for point in points if np.isfinite(point).any()]
    where = np.flatnonzero(np.isfinite(points).any(axis=1))
    band = np.full((3, len(points)), np.nan)
    band[:, where] = np.asarray([[one.mean, one.low, one.high] for one in known]).T
    return Band(*band)


def facts(record: dict[str, Any] | None, **more: str) -> dict[str, str]:
    """Where a page's numbers come from: settings given, then versions, commit and machine."""
    found = dict(more)
    if record is not None:
        found["seed"] = str(record["seed"])
        found["command"] = record["command"] or "made in Python"
        found["fingerprints"] = ", ".join(f"{role} {name}" for role, name in record["links"].items())
        versions = record["versions"]
        found["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        if record["commit"]:
            found["commit"] = record["commit"]
    found["machine"] = f"{platform.machine()}, {platform.system()}, {jax.default_backend()}"
    return found


def summary_entry(found: Evaluation, score: Score = "return") -> dict[str, Any]:
    """`{"mean", "low", "high", "episodes"}` of the mean action, for `summary.json`."""
    measured = found.score(score)
    return {"mean": measured.mean, "low": measured.low, "high": measured.high, "episodes": found.episodes}


def row_entry(row: PolicyRow) -> dict[str, Any]:
    """The same of a row of the page's table, with sampled actions and the share of successes where they are known."""
    found: dict[str, Any] = {**dataclasses.asdict(row.score), "episodes": row.episodes}
    found |= {} if row.sampled is None else {"sampled": dataclasses.asdict(row.sampled)}
    return found | ({} if row.success is None else {"success": dataclasses.asdict(row.success)})


def write_summary(folder: Path, numbers: dict[str, Any]) -> None:
    """`summary.json`; JSON has no number that is not finite, so such a one is null."""
    write_file(folder / "summary.json", (json.dumps(plain(numbers), indent=2, allow_nan=False) + "\n").encode())


def broken_findings(evaluated: int, learning: int = 0, steps: int = 0) -> list[Finding]:
    """A warning where steps gave what is not finite: of `steps` while learning, and while policies were evaluated."""
    end = "each ended its episode, and nothing was learned from it; look for the reason in the world."
    found = []
    if learning:
        found.append(f"While learning, {learning:,} of {steps:,} steps gave what is not finite: {end}")
    if evaluated:
        end = "each ended its episode there; look for the reason in the world."
        found.append(f"While policies were evaluated, {evaluated:,} steps gave what is not finite: {end}")
    return [Finding("warning", sentence) for sentence in found]


def unfinished(done: int, asked: int, unit: str, folder: Path) -> list[str]:
    """That a run has not come to its end, in a sentence; nothing where it has."""
    if done >= asked:
        return []
    return [
        f"This run is unfinished: {done:,} of {asked:,} {unit} are done; go on with: journeyman resume"
        f" {relative(folder)}"
    ]
