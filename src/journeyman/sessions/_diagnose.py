"""From a policy on disk to a diagnosis of its gradient, of its step, or of what its errors cost."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from journeyman._settings import (
    DiagnoseCompoundingSettings,
    DiagnoseGradientSettings,
    DiagnoseStepSettings,
    positive,
    seeded,
)
from journeyman.diagnose import (
    CloneDiagnosis,
    Compounding,
    GradientQuality,
    StepQuality,
    compounding,
    gradient,
    standard_estimators,
    step,
)
from journeyman.experts import AbstractExpert, PolicyExpert, exact, shipped
from journeyman.geometry import Fisher
from journeyman.parts import refuse
from journeyman.policies import DensityPolicy
from journeyman.policies._files import encoded, write_file
from journeyman.report import CompoundingFigure, Finding, Report, compounding_figure, write
from journeyman.sessions._files import load_policy
from journeyman.sessions._page import facts
from journeyman.sessions._refusals import attempt, can_report, make_world
from journeyman.sessions._typed import typed
from journeyman.training import world_problems
from journeyman.weights import Advantage
from journeyman.worlds import AbstractWorld, ErrorChain, Ridge

UNSAID = ("json", "out", "overwrite")
"""Settings on which no number depends."""

_WRITTEN = ("diagnosis.json", "report.html")

Diagnosis = GradientQuality | StepQuality | Compounding | CloneDiagnosis


def diagnose_gradient(settings: DiagnoseGradientSettings) -> GradientQuality:
    """`diagnose.gradient` of the policy in `settings.policy`; written to `settings.out` where that is given.

    Raises `JourneymanError` with everything that is wrong at once.
    """
    found = positive(episodes=settings.episodes, ratio=settings.ratio) + seeded(settings.seed)
    found += target_problems(settings)
    estimators = attempt(found, lambda: standard_estimators(settings.discount, settings.lambda_))
    policy, world = _loaded(found, settings.policy, settings.world, settings.options)
    diagnosis = gradient(
        policy, world, estimators, episodes=settings.episodes, ratio=settings.ratio, seed=settings.seed
    )
    _write("gradient", "The gradient", diagnosis, settings)
    return diagnosis


def diagnose_step(settings: DiagnoseStepSettings) -> StepQuality:
    """`diagnose.step` of the policy in `settings.policy`; written to `settings.out` where that is given.

    Raises `JourneymanError` with everything that is wrong at once.
    """
    found = positive(kl=settings.kl, episodes=settings.episodes, evaluation_episodes=settings.evaluation_episodes)
    found += seeded(settings.seed) + target_problems(settings)
    weight = attempt(found, lambda: Advantage(settings.discount, settings.lambda_))
    geometry = attempt(found, lambda: Fisher(settings.damping))
    policy, world = _loaded(found, settings.policy, settings.world, settings.options)
    assert weight is not None  # else `_loaded` has refused
    assert geometry is not None
    diagnosis = step(
        policy,
        world,
        weight,
        geometry=geometry,
        kl=settings.kl,
        episodes=settings.episodes,
        evaluation_episodes=settings.evaluation_episodes,
        seed=settings.seed,
    )
    _write("step", "The step", diagnosis, settings)
    return diagnosis


def diagnose_compounding(settings: DiagnoseCompoundingSettings) -> Compounding:
    """`diagnose.compounding` of the policy in `settings.policy`; written to `settings.out` where that is given.

    Raises `JourneymanError` with everything that is wrong at once.
    """
    found = positive(episodes=settings.episodes, bins=settings.bins) + seeded(settings.seed) + target_problems(settings)
    asked = None if settings.expert == "shipped" else attempt(found, lambda: load_policy(Path(settings.expert)))
    policy, world = _loaded(found, settings.policy, settings.world, settings.options)
    if asked is not None:
        refuse([f"The expert does not fit. {problem}" for problem in world_problems(asked, world)])
    expert = shipped_expert(world) if asked is None else PolicyExpert(asked)
    diagnosis = compounding(
        policy,
        expert,
        world,
        episodes=settings.episodes,
        bins=settings.bins,
        horizons=settings.horizons or None,
        seed=settings.seed,
    )
    _write("compounding", "Compounding error", diagnosis, settings, compounding_figure(diagnosis))
    return diagnosis


def shipped_expert(world: AbstractWorld) -> AbstractExpert:
    """The expert of this world that needs no file: known exactly, or packaged."""
    if isinstance(world, (ErrorChain, Ridge)):
        return exact(world)
    return PolicyExpert(shipped(world.name.rpartition(":")[2]))


def _loaded(found: list[str], path: Path, name: str, options: Sequence[str]) -> tuple[DensityPolicy, AbstractWorld]:
    policy = attempt(found, lambda: load_policy(path))
    world = attempt(found, lambda: make_world(name, options, num_envs=1, seed=0))
    if policy is not None and world is not None:
        found += world_problems(policy, world)
    refuse(found)
    assert policy is not None  # else something was found
    assert world is not None
    return policy, world


def target_problems(settings: Any) -> list[str]:
    """Why no diagnosis may be written to `settings.out`, in sentences."""
    found: list[str] = []
    out = settings.out
    if out is None:
        return ["--overwrite replaces what stands in a folder, and none is given; add --out."] * settings.overwrite
    attempt(found, can_report)
    if not out.exists():
        return found
    names = {entry.name for entry in out.iterdir()} if out.is_dir() else {out.name}
    if names - set(_WRITTEN):
        found.append(f"'{out}' holds something other than a diagnosis; name another folder with --out.")
    elif names and not settings.overwrite:
        found.append(f"'{out}' holds a diagnosis already; add --overwrite to replace it, or name another with --out.")
    return found


def write_page(settings: Any, diagnosis: Diagnosis, page: Report) -> None:
    """`diagnosis.json` and `report.html` with the table of the terminal, in `settings.out`."""
    settings.out.mkdir(parents=True, exist_ok=True)
    numbers, report = (settings.out / name for name in _WRITTEN)
    told = json.dumps(diagnosis.numbers(), indent=2, ensure_ascii=False)
    write_file(numbers, encoded(told + "\n"))
    write(dataclasses.replace(page, table=diagnosis.table()), report, overwrite=settings.overwrite)


def _write(of: str, title: str, diagnosis: Diagnosis, settings: Any, figure: CompoundingFigure | None = None) -> None:
    if settings.out is None:
        return
    command = typed(("diagnose", of), settings, UNSAID)
    findings = [Finding("note", sentence) for sentence in (diagnosis.finding, *diagnosis.notes) if sentence]
    told = facts(None, world=diagnosis.world, policy=str(settings.policy), seed=str(settings.seed), command=command)
    if figure is not None:
        figure = dataclasses.replace(figure, command=command)
    page = Report(title=f"{title} in {diagnosis.world}", facts=told, findings=findings, compounding=figure)
    write_page(settings, diagnosis, page)
