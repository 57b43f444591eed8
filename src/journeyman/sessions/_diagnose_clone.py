"""From the run folder of a clone to the causes of its faults, side by side."""

from pathlib import Path

import numpy as np

from journeyman._settings import DiagnoseCloneSettings, FitSettings, positive, seeded
from journeyman.datasets import demonstration_score, demonstration_success, demonstrations, read
from journeyman.diagnose import CloneDiagnosis
from journeyman.diagnose import clone as diagnose
from journeyman.experts import PolicyExpert
from journeyman.parts import JourneymanError, refuse
from journeyman.report import Finding, Report, compounding_figure, modes_findings
from journeyman.sessions._clone import fresh_policy, world_of
from journeyman.sessions._diagnose import UNSAID, shipped_expert, target_problems, write_page
from journeyman.sessions._files import from_json, load_policy
from journeyman.sessions._page import facts
from journeyman.sessions._recipes import cloning
from journeyman.sessions._refusals import attempt
from journeyman.sessions._typed import typed
from journeyman.training import read_context, world_problems

_SEVERITY = {"found": "warning", "small": "note", "borderline": "note"}


def diagnose_clone(settings: DiagnoseCloneSettings) -> CloneDiagnosis:
    """`diagnose.clone` of the clone in `settings.run`; written to `settings.out` where that is given.

    Raises `JourneymanError` with everything that is wrong at once.
    """
    found = positive(episodes=settings.episodes, folds=settings.folds, seeds=settings.seeds)
    fitted = attempt(found, lambda: _fitted(settings.run))
    policy = attempt(found, lambda: load_policy(settings.run))
    named = settings.expert not in (None, "shipped")
    asked = attempt(found, lambda: load_policy(Path(str(settings.expert)))) if named else None
    found += seeded(settings.seed) + target_problems(settings)
    refuse(found)
    assert fitted is not None  # else something was found
    assert policy is not None
    world = world_of(fitted)
    data, _ = demonstrations(read(fitted.data, world=world))
    if asked is not None:
        refuse([f"The expert does not fit. {problem}" for problem in world_problems(asked, world)])
    expert = None if settings.expert is None else shipped_expert(world) if asked is None else PolicyExpert(asked)
    returns = demonstration_score(data, world).returns
    if returns is not None and len(returns) != len(list(data.episodes.unpack())):
        returns = None  # an episode of a single step, whose successor was not recorded, is not among the episodes
    diagnosis = diagnose(
        policy,
        cloning(fitted),
        data.episodes,
        world,
        fresh=fresh_policy(fitted, world, data.episodes),
        expert=expert,
        success=_success(settings, demonstration_success(data, world), returns),
        returns=returns,
        folds=settings.folds,
        seeds=settings.seeds,
        episodes=settings.episodes,
        seed=settings.seed,
    )
    _write(settings, diagnosis)
    return diagnosis


def _fitted(run: Path) -> FitSettings:
    """The settings of a run of `journeyman fit`."""
    context = read_context(run)
    if context.get("verb") != "fit" or "settings" not in context:
        raise JourneymanError(
            f"'{run}' is no run of `journeyman fit`, so its folder does not say from what it was cloned; use"
            " journeyman.diagnose.clone from Python."
        )
    return from_json(FitSettings, {**context["settings"], "out": str(run)})


def _success(
    settings: DiagnoseCloneSettings, judged: np.ndarray | None, returns: np.ndarray | None
) -> np.ndarray | None:
    """By the world's word, or else by the return that was asked for."""
    if judged is not None or settings.least_return is None:
        return judged
    if returns is None:
        raise JourneymanError("--least-return needs returns, which nobody knows of these demonstrations; leave it out.")
    return np.asarray(returns) >= settings.least_return


def _write(settings: DiagnoseCloneSettings, diagnosis: CloneDiagnosis) -> None:
    if settings.out is None:
        return
    command = typed(("diagnose", "clone", settings.run), settings, ("run", *UNSAID))
    findings = [Finding("note", diagnosis.finding)]
    findings += [
        Finding(_SEVERITY.get(one.verdict, "note"), one.sentence, command=command)
        for one in diagnosis.causes
        if one.verdict != "cannot tell" and one.name != "mode averaging"
    ]
    findings += [] if diagnosis.modes.averages is None else modes_findings(diagnosis.modes)
    findings += [Finding("note", f"Cannot tell: {sentence}") for sentence in diagnosis.cannot_tell]
    findings += [Finding("note", note) for note in diagnosis.notes]
    figure = None if diagnosis.errors is None else compounding_figure(diagnosis.errors, policy="clone", command=command)
    told = facts(None, world=diagnosis.world, run=str(settings.run), seed=str(settings.seed), command=command)
    title = f"The causes of a clone's faults in {diagnosis.world}"
    write_page(settings, diagnosis, Report(title=title, facts=told, findings=findings, compounding=figure))
