"""From diagnoses to what a page shows of them."""

import numpy as np

from journeyman.diagnose import ByStep, Compounding, CostByHorizon, Evaluation, ModeAveraging, Score
from journeyman.diagnose import Interval as Measured
from journeyman.report._model import Band, CompoundingFigure, CostFigure, Finding, Interval, PolicyRow


def policy_row(
    name: str, evaluation: Evaluation, *, score: Score = "return", data: str = "", command: str = ""
) -> PolicyRow:
    """One row of the table: the score with the mean action, with sampled ones where played, the best episode."""
    return PolicyRow(
        name=name,
        score=report_interval(evaluation.score(score)),
        episodes=evaluation.episodes,
        sampled=None if evaluation.sampled is None else report_interval(evaluation.score(score, sampled=True)),
        success=None if evaluation.success is None else report_interval(evaluation.success),
        best=evaluation.best(score),
        data=data,
        command=command,
    )


def compounding_figure(found: Compounding, *, policy: str = "clone", command: str = "") -> CompoundingFigure:
    """The figure of error, distance and episodes alive; the error on own states is a gap where nobody could label."""
    gap = np.full(len(found.step), np.nan)
    within = found.distance_within
    return CompoundingFigure(
        policy=policy,
        step=found.step,
        expert_states=_band(found.expert_states),
        own_states=Band(gap) if found.own_states is None else _band(found.own_states),
        alive=found.alive,
        episodes=found.episodes,
        distance=_band(found.distance),
        distance_within=None if within is None else within.mean,
        expert_alive=found.expert_alive,
        expert_episodes=found.expert_episodes,
        error_unit=found.error_unit,
        distance_unit=found.distance_unit,
        cost=None if found.by_horizon is None else _cost(found.by_horizon),
        command=command,
    )


def _cost(found: CostByHorizon) -> CostFigure:
    """With the bounds where ε is a probability; else with powers of H, through the last mean that is not saturated."""
    mean, low, high = (np.asarray([getattr(one, name) for one in found.cost]) for name in ("mean", "low", "high"))
    h = found.horizon.astype(float)
    if found.unrecoverable is not None and found.recoverable is not None:
        lines = {"εH²/2": found.unrecoverable, "εH": found.recoverable}
        about = (
            "Lines: what errors of the frequency ε would cost if each were paid for in every step that is left (εH²/2)"
            " or once (εH), at the most that a step can cost here."
        )
    else:
        fit = np.flatnonzero(found.used & (mean > 0))
        at = int(fit[-1]) if len(fit) else int(np.argmax(mean > 0))
        lines = {name: mean[at] * (h / h[at]) ** power for name, power in (("as H²", 2), ("as H", 1))}
        about = "Lines: H² goes with errors that are never recovered, H with those that are."
    if found.exponent is not None and found.exponent.known:
        about += f" The cost grows like H to the power {found.exponent.mean:.2f}."
    interval = f"95 % interval over {found.episodes:,} episodes"
    return CostFigure(h, Band(mean, low, high), found.used, lines, interval, about)


def compounding_findings(found: Compounding) -> list[Finding]:
    """The finding with its numbers (a warning where errors compound), and a note for each thing left out."""
    numbers = {"mean error on the expert's states": found.error_on_expert.mean}
    if found.error_on_own is not None:
        numbers["mean error on its own states"] = found.error_on_own.mean
    if found.growth is not None:
        numbers["growth per 100 steps"] = 100 * found.growth.mean
    severity = "warning" if found.compounds else "note"
    findings = [] if found.finding is None else [Finding(severity, found.finding, numbers)]
    return findings + [Finding("note", note) for note in found.notes]


def modes_findings(found: ModeAveraging) -> list[Finding]:
    """The finding about modes with its numbers (a warning where the policy averages them), and what to know beside it.

    Both counts are told: the modes over the demonstrations that count, and over all of them.
    """
    numbers: dict[str, float | str] = {}
    if found.modes is not None and found.raw_modes is not None:
        numbers["modes over valid demonstrations"] = found.modes
        numbers["valid demonstrations"] = found.valid
        numbers["modes over all demonstrations"] = found.raw_modes
        numbers["demonstrations"] = found.episodes
    if found.averages:
        numbers["density over the demonstrations'"] = next(one.ratio for one in found.places if one.averaged)
    severity = "warning" if found.averages else "note"
    return [Finding(severity, found.finding, numbers), *(Finding("note", note) for note in found.notes)]


def report_interval(measured: Measured) -> Interval:
    """The same interval as the page knows it."""
    return Interval(measured.mean, measured.low, measured.high)


def _band(values: ByStep) -> Band:
    return Band(values.median, values.quarter, values.three_quarters)
