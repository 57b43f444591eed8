"""From a policy to a better one and a page about it."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from journeyman._settings import ImproveSettings, ScoreName
from journeyman.datasets import locate, read
from journeyman.diagnose import Evaluation, evaluate, interval
from journeyman.episodes import Episodes
from journeyman.experts import AbstractExpert, PolicyExpert
from journeyman.parts import JourneymanError, citations, counted, problems, refuse
from journeyman.policies import DensityPolicy, floored, inspect, is_fresh
from journeyman.report import PolicyRow, Reference, Report, policy_row, report_interval, write
from journeyman.sessions._clone import Say
from journeyman.sessions._files import load_policy, relative, to_json
from journeyman.sessions._page import (
    broken_findings,
    facts,
    film,
    improve_curves,
    row_entry,
    unfinished,
    write_summary,
)
from journeyman.sessions._recipes import practising, query, shaped
from journeyman.sessions._refusals import attempt, can_report, make_world, resumable
from journeyman.sessions._wording import bounded
from journeyman.training import (
    Learner,
    Plan,
    Recorder,
    check_folder,
    improve,
    read_metrics,
    read_parts,
    read_record,
    sweep,
    world_problems,
)
from journeyman.worlds import AbstractHostWorld, AbstractWorld


class _Begun(NamedTuple):
    """The policies that practice begins with, one a seed and none where they are refused, and the expert to ask."""

    starts: list[DensityPolicy]
    expert: AbstractExpert | None


class _Ready(NamedTuple):
    """What practice starts from, all of it checked."""

    world: AbstractWorld
    starts: list[DensityPolicy]
    learner: Learner
    demonstrations: Episodes | None


def practise(settings: ImproveSettings, *, say: Say = print, resume: bool = False, quiet: bool = False) -> Path:
    """Load or make a policy, improve it, evaluate before and after, report. Returns the page's path.

    Everything that can be wrong with settings, files and world is told at once, before anything is made. Raises
    `KeyboardInterrupt` when Ctrl-C ended the practice early; the run can then be resumed.
    """
    settings = dataclasses.replace(settings, data=None if settings.data is None else locate(settings.data))
    ready = _prepare(settings, resume)
    recorder = Recorder(
        settings.out,
        resume=resume,
        overwrite=settings.overwrite,
        quiet=quiet,
        context={"verb": "improve", "settings": to_json(settings)},
    )
    plan = plan_of(settings)
    with resumable(settings.out):
        if settings.seeds == 1:
            start = ready.starts[0]
            improve(ready.learner, start, ready.world, plan, demonstrations=ready.demonstrations, record=recorder)
        else:
            sweep(ready.learner, ready.starts, ready.world, plan, demonstrations=ready.demonstrations, record=recorder)
        return practice_page(settings, say=say)


def _prepare(settings: ImproveSettings, resume: bool) -> _Ready:
    found = settings.problems()
    attempt(found, can_report)
    if not resume:
        found += settings.vain()
        reads = {f"--{name}": getattr(settings, name) for name in ("policy", "expert", "data")}
        attempt(found, lambda: check_folder(settings.out, settings.overwrite, reads))
    made = attempt(found, lambda: world_of(settings))
    data = attempt(found, lambda: _demonstrations(settings, made, None if resume else settings.policy))
    begun = attempt(found, lambda: _recorded(settings)) if resume else _given(settings, made, found)
    starts, expert = begun or ([], None)
    if made is not None and starts:
        found += world_problems(starts[0], made)
    if settings.seeds > 1 and isinstance(made, AbstractHostWorld):
        found.append(
            f"'{made.name}' is a simulator on the host and cannot be mapped over {settings.seeds} seeds; run the"
            f" command once for each, for instance: for s in $(seq {settings.seeds}); do journeyman improve ..."
            " --seed $s --out runs/seed-$s; done"
        )
    if settings.asks and starts:
        found += problems(query(settings.asking), starts[0])
    refuse(found)
    assert made is not None  # else something was found
    learner = practising(settings, expert)
    refuse([] if resume else [*_not_raised(settings, starts[0]), *_idle(settings, learner, starts, data)])
    return _Ready(made, starts, learner, data)


def _idle(
    settings: ImproveSettings, learner: Learner, starts: list[DensityPolicy], shown: Episodes | None
) -> list[str]:
    """Whether all steps are one batch, and that the one from which no step of the policy is taken; in a sentence."""
    batch = settings.batch // settings.num_envs * settings.num_envs
    first = {
        "fits the baseline" if not settings.imitates else "fits what it is judged by": learner.weight.learns,
        "tells a fresh policy the mean and spread of its observations": shown is None and is_fresh(starts[0]),
    }
    why = " and ".join(reason for reason, holds in first.items() if holds)
    if settings.steps > batch or not why:
        return []
    return [
        f"--steps {settings.steps} is no more than the first batch of {batch:,} steps, which only {why}, so that"
        f" nothing would be learned; ask for more than {batch:,} steps, or for a smaller --batch."
    ]


def _not_raised(settings: ImproveSettings, start: DensityPolicy) -> list[str]:
    """Whether a floor was given to a policy that has no deviation to raise, in a sentence."""
    if settings.minimum_std is None or floored(start, settings.minimum_std) is not start:
        return []
    return [
        f"--minimum-std is {settings.minimum_std}, and a {type(start.head).__name__} has no deviation to raise;"
        " leave it out."
    ]


def world_of(settings: ImproveSettings) -> AbstractWorld:
    """The world to practise in."""
    width = max(settings.num_envs, 1)
    return make_world(settings.world, settings.options, num_envs=width, seed=settings.seed)


def plan_of(settings: ImproveSettings) -> Plan:
    """The numbers of `improve`; the floor under σ is for a policy that comes from somewhere."""
    return Plan(
        steps=settings.steps,
        batch=settings.batch,
        seed=settings.seed,
        minimum_std=None if settings.policy is None or settings.asks else settings.minimum_std or 0.1,
        evaluation_episodes=settings.evaluation_episodes,
        evaluate_every=settings.evaluate_every,
        checkpoint_every=settings.checkpoint_every,
        staggered=settings.staggered,
    )


def _given(settings: ImproveSettings, made: AbstractWorld | None, found: list[str]) -> _Begun:
    """What a new run begins with; what is wrong with it joins what is `found`."""
    seeds = range(settings.seed, settings.seed + max(settings.seeds, 1))
    asked = None if settings.expert is None else attempt(found, partial(load_policy, settings.expert))
    if made is not None and asked is not None:
        found += [f"The expert does not fit. {problem}" for problem in world_problems(asked, made)]
    starts = None
    if settings.policy is not None:
        clone = attempt(found, partial(load_policy, settings.policy))
        starts = None if clone is None else [clone] * len(seeds)
    elif made is not None and not settings.shape.problems():
        starts = attempt(found, lambda: [shaped(settings.shape, made, seed) for seed in seeds])
    return _Begun(starts or [], None if asked is None else PolicyExpert(asked))


def _demonstrations(settings: ImproveSettings, made: AbstractWorld | None, clone: Path | None) -> Episodes | None:
    """The demonstrations; those that DAgger and DART add to must be what the clone was cloned from."""
    path = settings.data
    if not (settings.asks or settings.imitates) or path is None:
        return None
    found: list[str] = []
    data = attempt(found, lambda: read(path, world=made))
    cloned_from = None if clone is None else attempt([], lambda: inspect(clone)["links"].get("file"))
    if settings.asks and data is not None and cloned_from not in (None, data.fingerprint):
        found.append(
            f"The clone in '{clone}' was made from data {cloned_from}, but '{path}' is"
            f" {data.fingerprint}; pass the file it was cloned from, or clone from this one first."
        )
    refuse(found)
    return None if data is None else data.episodes


def practice_page(settings: ImproveSettings, *, say: Say = print) -> Path:
    """Evaluate a run's policy (or policies) before and after, and write `report.html` and `summary.json`."""
    record, rows = read_record(settings.out), _rows(settings.out)
    made = world_of(settings)
    name = "start" if settings.policy is None else "clone"
    begun = _recorded(settings)
    policies = {name: begun.starts, "improved": _after(settings)}
    told = {name: "where the run began", "improved": f"{rows[-1]['step']:,} environment steps"}
    command = f"journeyman report {relative(settings.out)}"
    ends, broken = {}, 0
    for label, ones in policies.items():
        found = [evaluate(one, made, episodes=settings.episodes) for one in ones]
        broken += sum(one.broken_steps for one in found)
        ends[label] = one = _table_row(label, found, settings.score, told[label], command)
        over = counted(one.episodes) if len(ones) == 1 else counted(len(ones), "seed")
        say(f"{label}: {bounded(one.score)} over {over}.")
    findings = broken_findings(broken, _broken(rows), rows[-1]["step"] * settings.seeds)
    rest = unfinished(rows[-1]["step"], settings.steps, "environment steps", settings.out)
    for sentence in (*_begun(rows), *(one.sentence for one in findings), *rest):
        say(sentence)
    write_summary(settings.out, _numbers(settings, rows, ends, broken))
    page = Report(
        title=_title(settings),
        summary=[_taken(settings, rows, ends[name], ends["improved"]), *rest, *_asked_for(rows)],
        facts=facts(record, world=made.name),
        policies=list(ends.values()),
        findings=findings,
        curves=improve_curves(
            "improved",
            rows,
            command,
            _references(name, ends[name], settings),
            evaluation_episodes=settings.evaluation_episodes,
        ),
        films=[film(n, ones[0], made, seed=0) for n, ones in policies.items()],
        citations=citations(practising(settings, begun.expert), made),
        score_label=settings.score,
    )
    return write(page, settings.out / "report.html", overwrite=True)


def _rows(folder: Path) -> list[dict[str, Any]]:
    """What the iterations of a run told; of one that has learned anything there is a row at least."""
    rows = read_metrics(folder)
    if not rows:
        raise JourneymanError(
            f"'{folder / 'metrics.jsonl'}' has no row, so nobody knows what this run did; put the file back, or where"
            f" the run has not come to its first row go on with: journeyman resume {relative(folder)}"
        )
    return rows


def _title(settings: ImproveSettings) -> str:
    seeds = "" if settings.seeds == 1 else f", {settings.seeds} seeds"
    return f"{settings.algorithm.replace('-', ' ').capitalize()} on {settings.world}{seeds}"


def _taken(settings: ImproveSettings, rows: list[dict[str, Any]], before: PolicyRow, after: PolicyRow) -> str:
    return (
        f"Practice took the mean {settings.score} from {before.score.mean:.4g} to {after.score.mean:.4g}"
        f" in {rows[-1]['step']:,} environment steps{' of each seed' if settings.seeds > 1 else ''}."
    )


def _starts(rows: list[dict[str, Any]]) -> dict[str, int | None]:
    """How many episodes began in the batch in which most did, over all seeds, and in how many different states."""
    counts = [(int(np.sum(row.get("starts", 0))), int(np.sum(row.get("distinct_starts", 0)))) for row in rows]
    most, differ = max(counts)
    return {"starts": most or None, "distinct_starts": differ or None}


def _begun(rows: list[dict[str, Any]]) -> list[str]:
    """The same in a sentence."""
    most, differ = _starts(rows).values()
    return [f"distinct start states: {differ} of {most}, in the batch of practice where most began"] if most else []


def _broken(rows: list[dict[str, Any]]) -> int:
    """How many steps of practice broke, over all seeds."""
    return int(sum(np.sum(row.get("broken_steps", 0)) for row in rows))


def _numbers(
    settings: ImproveSettings, rows: list[dict[str, Any]], ends: dict[str, PolicyRow], broken: int
) -> dict[str, Any]:
    """What stands in `summary.json`."""
    found: dict[str, Any] = {"score": settings.score, **{name: row_entry(row) for name, row in ends.items()}}
    found |= {"seeds": settings.seeds, "steps": rows[-1]["step"], "asked_steps": settings.steps}
    found |= {"broken_steps": {"learning": _broken(rows), "evaluated": broken}, **_starts(rows)}
    visited = sum(row.get("visited", 0) for row in rows)
    return found | ({"labels": rows[-1]["labels"], "visited": visited} if visited else {})


def _asked_for(rows: list[dict[str, Any]]) -> list[str]:
    """How many labels an expert gave, and for which share of the visited states."""
    visited = sum(row.get("visited", 0) for row in rows)
    if not visited:
        return []
    labels = rows[-1]["labels"]
    return [f"The expert gave {labels:,} labels, for {labels / visited:.1%} of {visited:,} visited states."]


def _recorded(settings: ImproveSettings) -> _Begun:
    """What the run in the folder began with: the files it was read from may be gone by now, or hold something else."""
    parts = read_parts(settings.out)
    starts = [parts["policy"]] if settings.seeds == 1 else list(parts["policies"])
    return _Begun(starts, parts["learner"].collect.expert if settings.asks else None)


def _after(settings: ImproveSettings) -> list[DensityPolicy]:
    if settings.seeds == 1 or not (settings.out / "policies").exists():
        return [load_policy(settings.out)]  # which says of a sweep without policies that it has not finished
    return [load_policy(settings.out / "policies" / str(settings.seed + i)) for i in range(settings.seeds)]


def _table_row(name: str, found: list[Evaluation], score: ScoreName, data: str, command: str) -> PolicyRow:
    """One policy's row; of several seeds the mean over seeds, with its interval over seeds and not over episodes."""
    if len(found) == 1:
        return policy_row(name, found[0], score=score, data=data, command=command)
    return PolicyRow(
        name=name,
        score=report_interval(interval([one.score(score).mean for one in found])),
        episodes=sum(one.episodes for one in found),
        sampled=report_interval(interval([one.score(score, sampled=True).mean for one in found])),
        best=max(one.best(score) for one in found),
        data=f"{data}; mean over {len(found)} seeds",
        command=command,
    )


def _references(name: str, row: PolicyRow, settings: ImproveSettings) -> list[Reference]:
    """Where the run began, as a line: curves are of returns, so only where the score is the return."""
    return [Reference(name, row.score.mean)] if settings.score == "return" else []
