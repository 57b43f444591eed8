"""What corrective labels are made with, and what is said of them."""

from typing import Any

import numpy as np

from journeyman._settings import CorrectSettings, usually
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
from journeyman.worlds import AbstractPureWorld, AbstractWorld

_SUSPICIOUS = 0.05
"""The share of labels beyond their bound from which the page warns."""


def labelling(settings: CorrectSettings) -> AbstractLabelling:
    """Where candidates come from."""
    some: dict[str, Any] = {} if settings.iterations is None else {"iterations": settings.iterations}
    if settings.method == "root-finding":
        return RootFinding(**some)
    moved: dict[str, Any] = {"std": usually(settings.std, 0.1), "copies": usually(settings.copies, 1), **some}
    if settings.method == "disturbed-action":
        return DisturbedAction(**moved)
    return Steered(**moved) if settings.method == "steered" else BackTrack()


def region(settings: CorrectSettings) -> AbstractRegion:
    """Which of them are kept."""
    return TrustRegion(settings.tolerance) if settings.radius is None else HandSetRadius(settings.radius)


def objective(settings: CorrectSettings) -> JacobianPenalty:
    """How the model is fitted."""
    return JacobianPenalty() if settings.steepness is None else JacobianPenalty(settings.steepness)


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
