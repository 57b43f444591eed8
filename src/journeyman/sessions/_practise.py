"""From a policy to a better one and a page about it."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from journeyman.datasets import read
from journeyman.diagnose import evaluate
from journeyman.episodes import Episodes
from journeyman.experts import AbstractExpert, PolicyExpert
from journeyman.parts import citations, rebuild, refuse
from journeyman.policies import DensityPolicy, inspect, policy
from journeyman.report import Reference, Report, policy_row, write
from journeyman.sessions._clone import Say
from journeyman.sessions._files import load_policy, policy_folder, relative, to_json
from journeyman.sessions._page import facts, film, improve_curves
from journeyman.sessions._refusals import attempt, can_report, make_world, stopped
from journeyman.sessions._settings import ImproveSettings
from journeyman.training import (
    Learner,
    Plan,
    Recorder,
    Run,
    check_folder,
    improve,
    read_metrics,
    read_record,
    world_problems,
)
from journeyman.worlds import AbstractWorld


class _Ready(NamedTuple):
    """What practice starts from, all of it checked."""

    world: AbstractWorld
    start: DensityPolicy
    learner: Learner
    demonstrations: Episodes | None


def practise(settings: ImproveSettings, *, say: Say = print, resume: bool = False, quiet: bool = False) -> Path:
    """Load or make a policy, improve it, evaluate before and after, report. Returns the page's path.

    Everything that can be wrong with settings, files and world is told at once, before anything is made. Raises
    `KeyboardInterrupt` when Ctrl-C ended the practice early; the run can then be resumed.
    """
    ready = _prepare(settings, resume)
    recorder = Recorder(
        settings.out,
        resume=resume,
        overwrite=settings.overwrite,
        quiet=quiet,
        context={"verb": "improve", "settings": to_json(settings)},
    )
    plan = plan_of(settings)
    improve(ready.learner, ready.start, ready.world, plan, demonstrations=ready.demonstrations, record=recorder)
    stopped(read_metrics(settings.out)[-1]["step"], settings.steps, "steps", relative(settings.out))
    return practice_page(settings, say=say)


def _prepare(settings: ImproveSettings, resume: bool) -> _Ready:
    found = settings.problems()
    attempt(found, can_report)
    if not resume:
        attempt(found, lambda: check_folder(settings.out, settings.overwrite))
    made = attempt(found, lambda: world_of(settings))
    asked = None if settings.expert is None else attempt(found, partial(load_policy, settings.expert))
    data = attempt(found, lambda: _demonstrations(settings, made))
    start = None
    if settings.policy is not None or (made is not None and not settings.shape.problems()):
        start = attempt(found, lambda: _start(settings, made))
    if made is not None and start is not None:
        found += world_problems(start, made)
    if made is not None and asked is not None:
        found += [f"The expert does not fit. {problem}" for problem in world_problems(asked, made)]
    refuse(found)
    assert made is not None  # else something was found
    assert start is not None
    return _Ready(made, start, settings.learner(_expert(asked)), data)


def world_of(settings: ImproveSettings) -> AbstractWorld:
    """The world to practise in."""
    width = max(settings.num_envs, 1)
    return make_world(settings.world, settings.options, num_envs=width, seed=settings.seed)


def _expert(asked: DensityPolicy | None) -> AbstractExpert | None:
    return None if asked is None else PolicyExpert(asked)


def plan_of(settings: ImproveSettings) -> Plan:
    """The numbers of `improve`; the floor under σ is for a policy that comes from somewhere."""
    return Plan(
        steps=settings.steps,
        batch=settings.batch,
        seed=settings.seed,
        minimum_std=None if settings.policy is None or settings.algorithm == "dagger" else settings.minimum_std,
        evaluation_episodes=settings.evaluation_episodes,
        evaluate_every=settings.evaluate_every,
        checkpoint_every=settings.checkpoint_every,
    )


def _start(settings: ImproveSettings, made: AbstractWorld | None) -> DensityPolicy:
    if settings.policy is not None:
        return load_policy(settings.policy)
    assert made is not None
    shape = settings.shape
    key = jax.random.key(settings.seed)
    head = shape.make_head(made)
    return policy(made, key, hidden=shape.hidden, head=head, activation=shape.activation, per_step=shape.per_step)


def _demonstrations(settings: ImproveSettings, made: AbstractWorld | None) -> Episodes | None:
    """The data of DAgger, which must be what the clone was cloned from."""
    path, clone = settings.data, settings.policy
    if settings.algorithm != "dagger" or path is None:
        return None
    found: list[str] = []
    data = attempt(found, lambda: read(path, world=made))
    cloned_from = None if clone is None else attempt([], lambda: inspect(policy_folder(clone))["links"].get("file"))
    if data is not None and cloned_from not in (None, data.fingerprint):
        found.append(
            f"The clone in '{clone}' was made from data {cloned_from}, but '{path}' is"
            f" {data.fingerprint}; pass the file it was cloned from, or clone from this one first."
        )
    refuse(found)
    return None if data is None else data.episodes


def practice_page(settings: ImproveSettings, *, say: Say = print) -> Path:
    """Evaluate a run's policy before and after, and write `report.html` into its folder."""
    record, rows = read_record(settings.out), read_metrics(settings.out)
    made = world_of(settings)
    with Run.open(settings.out) as run:
        before: DensityPolicy = rebuild(record["config"]["parts"], run.arrays)["policy"]
    after = load_policy(settings.out)
    command = f"journeyman report {relative(settings.out)}"
    name = "start" if settings.policy is None else "clone"
    results = {name: evaluate(before, made, episodes=settings.episodes)}
    results["improved"] = evaluate(after, made, episodes=settings.episodes)
    told = {name: "where the run began", "improved": f"{rows[-1]['step']:,} environment steps"}
    row = {n: policy_row(n, e, score=settings.score, data=told[n], command=command) for n, e in results.items()}
    for label, one in row.items():
        say(f"{label}: {one.score.mean:.4g} [{one.score.low:.4g}, {one.score.high:.4g}] over {one.episodes} episodes.")
    ends: list[Any] = [row[name], row["improved"]]
    reference = Reference(name, results[name].score().mean)
    page = Report(
        title=f"{settings.algorithm.replace('-', ' ').capitalize()} on {settings.world}",
        summary=[
            f"Practice took the mean {settings.score} from {ends[0].score.mean:.4g} to {ends[1].score.mean:.4g}"
            f" in {rows[-1]['step']:,} environment steps."
        ],
        facts=facts(record, world=made.name),
        policies=ends,
        curves=improve_curves("improved", rows, command, [reference]),
        films=[film(n, p, made, seed=0) for n, p in ((name, before), ("improved", after))],
        citations=citations(settings.learner(_asked(settings)), made),
        score_label=settings.score,
    )
    return write(page, settings.out / "report.html", overwrite=True)


def _asked(settings: ImproveSettings) -> AbstractExpert | None:
    return None if settings.expert is None else _expert(load_policy(settings.expert))
