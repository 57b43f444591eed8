"""What corrective labels are made with, as a user sets it, and what is said of them."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from journeyman.corrections import (
    AbstractDynamics,
    AbstractLabelling,
    AbstractRegion,
    BackTrack,
    Corrected,
    DisturbedAction,
    HandSetRadius,
    MujocoDynamics,
    RootFinding,
    Steered,
    TrueDynamics,
    TrustRegion,
)
from journeyman.objectives import JacobianPenalty
from journeyman.report import Finding
from journeyman.sessions._refusals import not_negative, positive, seeded
from journeyman.sessions._settings import PolicyShape, ScoreName
from journeyman.sessions._unread import Rule, chosen, unread, usually
from journeyman.worlds import AbstractPureWorld, AbstractWorld

_SUSPICIOUS = 0.05
"""The share of labels beyond their bound from which the page warns."""


@dataclasses.dataclass(frozen=True)
class CorrectSettings:
    """Make corrective labels from demonstrations in a file, and clone with them, with noise, and with neither."""

    data: Path
    """Demonstrations: npz, HDF5, CSV, Minari, LeRobot or `imitation` (see docs/own-data.md)."""
    world: str | None = None
    """The world they come from, to clone and evaluate in, and to say how wrong the labels are."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    out: Path = Path("runs/corrected")
    """The folder to make."""
    dynamics: Literal["learned", "true"] = "learned"
    """What an action does: a model fitted to the demonstrations, or the world's own."""
    method: Literal["back-track", "root-finding", "disturbed-action", "steered"] = "back-track"
    """Where candidates come from (docs/algorithms/corrective_labels.md)."""
    std: float | None = None
    """Disturbed action: how far the action is moved; steered: the state. In deviations of the data (0.1)."""
    copies: int | None = None
    """Disturbed action and steered: candidates for each demonstrated step (1)."""
    iterations: int | None = None
    """Of root finding (30), of steering (5), and of solving for a disturbed action (0)."""
    tolerance: float | None = None
    """How far a label may be bound to land from its destination, in deviations; a median demonstrated step."""
    radius: float | None = None
    """The control: keep what lies within this many deviations, and ask nothing else."""
    members: int | None = None
    """Networks of the fitted model (4)."""
    steepness: float | None = None
    """How steep the fitted model may be before it is priced, in standardised units (1)."""
    noise: float = 0.05
    """Noisy cloning: the noise on what is seen, in deviations of the data."""
    noise_copies: int = 1
    """Noisy cloning: copies of each step."""
    gradient_steps: int | None = None
    """Of each clone, whatever the size of its data (4000)."""
    batch_size: int = 256
    learning_rate: float | None = None
    """Of each clone (1e-3)."""
    weight_decay: float | None = None
    """Of each clone (0)."""
    shape: PolicyShape = PolicyShape()
    score: ScoreName = "return"
    episodes: int | None = None
    """How many episodes each clone is evaluated on (50)."""
    seed: int = 0
    overwrite: bool = False

    def problems(self) -> list[str]:
        """What is wrong with these numbers or contradicts itself, in sentences."""
        found = positive(
            copies=self.copies,
            iterations=self.iterations,
            tolerance=self.tolerance,
            radius=self.radius,
            steepness=self.steepness,
            std=self.std,
            noise_copies=self.noise_copies,
            gradient_steps=self.gradient_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            episodes=self.episodes,
        )
        found += not_negative("change it", noise=self.noise, weight_decay=self.weight_decay) + seeded(self.seed)
        if self.members is not None and self.members < 2:
            found.append(f"--members must be 2 or more, not {self.members}: each is judged on what it has not seen.")
        if self.dynamics == "true" and self.world is None:
            found.append("--dynamics true is that of a world, and none is given; add --world NAME.")
        if self.radius is not None and self.tolerance is not None:
            found.append("--radius and --tolerance both decide which labels are kept; leave one out.")
        return found + self.shape.problems() + unread(self, self.rules())

    def rules(self) -> list[Rule]:
        """Which settings are read beside what else is chosen."""
        by = partial(chosen, "method", self.method)
        shape = [f"shape.{field.name}" for field in dataclasses.fields(PolicyShape)]
        clones = ("options", "gradient_steps", "learning_rate", "weight_decay", *shape, "score", "episodes")
        why = "only the clones in a --world read it; leave it out, or add --world"
        return [
            by(("disturbed-action", "steered"), "std", "copies"),
            by(("root-finding", "disturbed-action", "steered"), "iterations"),
            chosen("dynamics", self.dynamics, ("learned",), "members", "steepness"),
            Rule(clones, self.world is not None, why),
        ]

    def labelling(self) -> AbstractLabelling:
        """Where candidates come from."""
        some: dict[str, Any] = {} if self.iterations is None else {"iterations": self.iterations}
        if self.method == "root-finding":
            return RootFinding(**some)
        moved: dict[str, Any] = {"std": usually(self.std, 0.1), "copies": usually(self.copies, 1), **some}
        if self.method == "disturbed-action":
            return DisturbedAction(**moved)
        return Steered(**moved) if self.method == "steered" else BackTrack()

    def region(self) -> AbstractRegion:
        """Which of them are kept."""
        return TrustRegion(self.tolerance) if self.radius is None else HandSetRadius(self.radius)

    def objective(self) -> JacobianPenalty:
        """How the model is fitted."""
        return JacobianPenalty() if self.steepness is None else JacobianPenalty(self.steepness)


def known_dynamics(made: AbstractWorld) -> AbstractDynamics:
    """The world's own dynamics, where an observation is the state. Raises `JourneymanError` where it is not."""
    return TrueDynamics(made) if isinstance(made, AbstractPureWorld) else MujocoDynamics(made)


def label_numbers(corrected: Corrected) -> dict[str, Any]:
    """What became of the candidates, as plain numbers: `[median, 90 %, most]` of the kept where there are several."""
    report, kept = corrected.report, corrected.report.kept

    def spread(column: np.ndarray) -> list[float]:
        return [float(f"{value:.4g}") for value in np.quantile(column[kept], [0.5, 0.9, 1.0])]

    found: dict[str, Any] = {"tried": report.tried, "kept": report.count, "unknown_steps": report.unknown}
    found |= {name: spread(getattr(report, name)) for name in ("nearest", "distance", "bound")}
    found["median_step"] = float(f"{report.median_step:.4g}")
    if report.landing is not None:
        found |= {"landing": spread(report.landing), "beyond_bound": report.violations}
    elapsed = np.asarray(corrected.labels.elapsed)[np.asarray(corrected.labels.valid)]
    found["steps_of_episodes"] = [int(value) for value in np.quantile(elapsed, [0.25, 0.5, 0.75])]
    return found


def label_findings(corrected: Corrected, command: str) -> list[Finding]:
    """How many labels were kept, where they lie and how wrong they are."""
    numbers, report = label_numbers(corrected), corrected.report
    first, _, last = numbers["steps_of_episodes"]
    kept = Finding(
        "note",
        f"{report.count:,} of {report.tried:,} labels were kept ({report.count / report.tried:.0%}). The middle half of"
        f" them belongs to steps {first} to {last} of the episodes.",
        {"kept": report.count, "tried": report.tried, "steps that could not be used": report.unknown},
        command,
    )
    lie = Finding(
        "note",
        "Where they lie: the distance to the nearest demonstrated state, beside the length of a demonstrated step, all"
        " in deviations of the data.",
        {**_named(numbers["nearest"]), "median step": numbers["median_step"]},
        command,
    )
    return [kept, lie, _wrongness(corrected, numbers, command)]


def _wrongness(corrected: Corrected, numbers: dict[str, Any], command: str) -> Finding:
    beyond = corrected.report.violations
    if beyond is None:
        sentence = "How wrong they are nobody knows; by the model they land within these bounds, in deviations."
        return Finding("note", sentence, _named(numbers["bound"]), command)
    share = beyond / corrected.report.count
    severity = "warning" if share > _SUSPICIOUS else "good"
    sentence = (
        f"Under the true dynamics {beyond:,} of the kept labels ({share:.1%}) land farther from their destination than"
        " their bound; this is how far they land, in deviations."
    )
    return Finding(severity, sentence, _named(numbers["landing"]), command)


def _named(values: list[float]) -> dict[str, float | str]:
    return dict(zip(("median", "90 %", "most"), values, strict=True))
