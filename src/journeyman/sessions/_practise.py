"""From a policy to a better one and a page about it."""

from pathlib import Path
from typing import Any

import jax

from journeyman.datasets import read
from journeyman.diagnose import evaluate
from journeyman.episodes import Episodes
from journeyman.experts import AbstractExpert, PolicyExpert
from journeyman.parts import JourneymanError, citations, rebuild, refuse
from journeyman.policies import DensityPolicy, inspect, policy
from journeyman.report import Reference, Report, policy_row, write
from journeyman.sessions._clone import Say
from journeyman.sessions._files import load_policy, policy_folder, relative, to_json
from journeyman.sessions._page import facts, film, improve_curves
from journeyman.sessions._settings import ImproveSettings
from journeyman.training import Plan, Recorder, Run, improve, read_metrics, read_record
from journeyman.worlds import AbstractWorld, world


def practise(settings: ImproveSettings, *, say: Say = print, resume: bool = False, quiet: bool = False) -> Path:
    """Load or make a policy, improve it, evaluate before and after, report. Returns the page's path."""
    plan = plan_of(settings)
    made = world(settings.world, num_envs=settings.num_envs, seed=settings.seed)
    refuse(settings.problems() + plan.problems(made))
    start = _start(settings, made)
    demonstrations = _demonstrations(settings, made)
    expert: AbstractExpert | None = None if settings.expert is None else PolicyExpert(load_policy(settings.expert))
    recorder = Recorder(
        settings.out,
        resume=resume,
        overwrite=settings.overwrite,
        quiet=quiet,
        context={"verb": "improve", "settings": to_json(settings)},
    )
    improve(settings.learner(expert), start, made, plan, demonstrations=demonstrations, record=recorder)
    return practice_page(settings, say=say)


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


def _start(settings: ImproveSettings, made: AbstractWorld) -> DensityPolicy:
    if settings.policy is not None:
        return load_policy(settings.policy)
    shape = settings.shape
    key = jax.random.key(settings.seed)
    return policy(made, key, hidden=shape.hidden, head=shape.make_head(made), activation=shape.activation)


def _demonstrations(settings: ImproveSettings, made: AbstractWorld) -> Episodes | None:
    """The data of DAgger, which must be what the clone was cloned from."""
    if settings.algorithm != "dagger" or settings.data is None or settings.policy is None:
        return None
    data = read(settings.data, world=made)
    cloned_from = inspect(policy_folder(settings.policy))["links"].get("file")
    if cloned_from not in (None, data.fingerprint):
        raise JourneymanError(
            f"The clone in '{settings.policy}' was made from data {cloned_from}, but '{settings.data}' is"
            f" {data.fingerprint}; pass the file it was cloned from, or clone from this one first."
        )
    return data.episodes


def practice_page(settings: ImproveSettings, *, say: Say = print) -> Path:
    """Evaluate a run's policy before and after, and write `report.html` into its folder."""
    record, rows = read_record(settings.out), read_metrics(settings.out)
    made = world(settings.world, num_envs=settings.num_envs, seed=settings.seed)
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
    return None if settings.expert is None else PolicyExpert(load_policy(settings.expert))
