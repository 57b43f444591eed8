"""From a file of demonstrations to a clone and a page about it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from journeyman._settings import FitSettings, seeded
from journeyman.corrections import hold_out
from journeyman.datasets import (
    Dataset,
    demonstration_score,
    demonstration_success,
    demonstrations,
    locate,
    read,
    wrapping_columns,
)
from journeyman.diagnose import compounding, evaluate, mode_averaging
from journeyman.episodes import Episodes
from journeyman.parts import citations, counted, refuse
from journeyman.policies import DensityPolicy
from journeyman.report import (
    PolicyRow,
    Report,
    compounding_figure,
    compounding_findings,
    modes_findings,
    policy_row,
    write,
)
from journeyman.sessions._files import load_policy, relative, to_json
from journeyman.sessions._page import (
    broken_findings,
    demonstration_row,
    facts,
    film,
    fit_curves,
    row_entry,
    unfinished,
    write_summary,
)
from journeyman.sessions._recipes import cloning, make_head, shaped
from journeyman.sessions._refusals import attempt, can_report, make_world, resumable
from journeyman.sessions._wording import bounded
from journeyman.training import Recorder, check_folder, check_links, fit, read_metrics, read_record
from journeyman.worlds import AbstractWorld

Say = Callable[[str], None]


class _Ready(NamedTuple):
    """What cloning starts from, all of it checked."""

    world: AbstractWorld
    data: Dataset
    training: Episodes
    held_out: Episodes | None


def clone(settings: FitSettings, *, say: Say = print, resume: bool = False, quiet: bool = False) -> Path:
    """Read, split by episode, clone, evaluate, report. Returns the page's path.

    Everything that can be wrong with the file, the world and the settings is told at once, before anything is made.
    Raises `KeyboardInterrupt` when Ctrl-C ended the training early; the run can then be resumed.
    """
    settings = dataclasses.replace(settings, data=locate(settings.data))
    ready = _prepare(settings, resume)
    for note in ready.data.notes:
        say(f"note: {note}")
    recorder = Recorder(
        settings.out,
        resume=resume,
        overwrite=settings.overwrite,
        quiet=quiet,
        context={"verb": "fit", "settings": to_json(settings)},
        links={"file": ready.data.fingerprint},
    )
    log_every = max(1, settings.epochs // 100)
    with resumable(settings.out):
        fit(
            cloning(settings),
            _fresh(settings, ready, say),
            ready.training,
            held_out=ready.held_out,
            seed=settings.seed,
            log_every=log_every,
            checkpoint_every=10 * log_every,
            record=recorder,
        )
        return clone_page(settings, ready.data, ready.world, ready.held_out, say=say)


def world_of(settings: FitSettings) -> AbstractWorld:
    """The world of the demonstrations, as wide as the evaluation needs it."""
    width = min(max(settings.episodes, 1), 64)
    return make_world(settings.world, settings.options, num_envs=width, seed=settings.seed)


def _prepare(settings: FitSettings, resume: bool) -> _Ready:
    found = settings.problems()
    attempt(found, can_report)
    if not resume:
        attempt(found, lambda: check_folder(settings.out, settings.overwrite, {"--data": settings.data}))
    made = attempt(found, lambda: world_of(settings))
    data = attempt(found, lambda: read(settings.data, world=made))
    parts = None
    if data is not None and 0 <= settings.held_out < 1 and not seeded(settings.seed):
        parts = attempt(found, lambda: split(settings, data.episodes))
    if made is not None:
        attempt(found, lambda: make_head(settings.shape, made))
    refuse(found)
    assert made is not None  # else something was found
    assert data is not None
    assert parts is not None
    return _Ready(made, data, *parts)


def split(settings: FitSettings, episodes: Episodes) -> tuple[Episodes, Episodes | None]:
    """What the clone is trained on, and what is held out; `None` where nothing is."""
    return hold_out(episodes, settings.held_out, settings.seed) if settings.held_out else (episodes, None)


def _fresh(settings: FitSettings, ready: _Ready, say: Say) -> DensityPolicy:
    made = fresh_policy(settings, ready.world, ready.training)
    if made.encoder.angles:
        angles = list(made.encoder.angles)
        say(f"note: observation columns {angles} wrap around, so the clone reads their cosine and sine.")
    return made


def fresh_policy(settings: FitSettings, world: AbstractWorld, episodes: Episodes) -> DensityPolicy:
    """The policy that a run with these settings begins with, its angles found in `episodes`."""
    angles = tuple(wrapping_columns(episodes)) if settings.angles == "automatic" else ()
    return shaped(settings.shape, world, settings.seed, angles)


def clone_page(
    settings: FitSettings, data: Dataset, made: AbstractWorld, held_out: Episodes | None, *, say: Say = print
) -> Path:
    """Evaluate the clone of a run and write `report.html` and `summary.json` into its folder."""
    record, rows = read_record(settings.out), read_metrics(settings.out)
    now = {} if held_out is None else {"held_out": held_out.fingerprint()}
    check_links(record["links"], {**record["links"], "file": data.fingerprint, **now})
    found = load_policy(settings.out)
    command = f"journeyman report {relative(settings.out)}"
    evaluation = evaluate(found, made, episodes=settings.episodes)
    demonstrated, others = demonstrations(data)
    shown = demonstration_score(demonstrated, made)
    own = demonstration_row(shown, settings.score, command)
    learnt = _learnt_from(demonstrated, held_out)
    row = policy_row("clone", evaluation, score=settings.score, data=learnt, command=command)
    beside = demonstrated.episodes if held_out is None else held_out
    errors = compounding(found, None, made, demonstrations=beside, episodes=min(20, settings.episodes))
    modes = mode_averaging(found, demonstrated.episodes, success=demonstration_success(demonstrated, made))
    broken = broken_findings(evaluation.broken_steps)
    rest = unfinished(rows[-1]["epoch"] if rows else 0, settings.epochs, "passes", settings.out)
    told = [f"clone: {_reached(row)} ({settings.score}).", *_judged(rows, held_out)]
    for sentence in filter(None, (others, shown.sentence, *told, modes.finding, *(b.sentence for b in broken), *rest)):
        say(sentence)
    write_summary(settings.out, _numbers(settings, rows, row, own, evaluation.broken_steps, modes.averages))
    page = Report(
        title=f"Cloned from {data.path.name}",
        summary=[*_summary(row, own, rows, settings), *rest],
        facts=facts(record, world=made.name, data=f"{data.path} ({data.fingerprint})"),
        policies=[r for r in (own, row) if r is not None],
        curves=fit_curves(rows, command),
        compounding=compounding_figure(errors, policy="clone", command=command),
        films=[film("clone", found, made, seed=0)],
        findings=[*broken, *compounding_findings(errors), *modes_findings(modes)],
        citations=citations(cloning(settings), made),
        score_label=settings.score,
    )
    return write(page, settings.out / "report.html", overwrite=True)


NOT_HELD_OUT = (
    "Nothing was held out, so nobody knows how the clone does on demonstrations that it has not seen; it is held"
    " against those that it was trained on."
)


def _judged(rows: list[dict[str, Any]], held_out: Episodes | None) -> list[str]:
    if held_out is None:
        return [NOT_HELD_OUT]
    if not rows:
        return []
    return [f"held-out negative log-likelihood: {rows[-1]['held_out_nll']:.3f} nats a step."]


def _numbers(
    settings: FitSettings,
    rows: list[dict[str, Any]],
    row: PolicyRow,
    own: PolicyRow | None,
    broken: int,
    averages: bool | None,
) -> dict[str, Any]:
    """What stands in `summary.json`."""
    found: dict[str, Any] = {"score": settings.score, "clone": row_entry(row)}
    found |= {} if own is None else {"demonstrations": row_entry(own)}
    last = rows[-1] if rows else {}
    found |= {name: last[name] for name in ("epoch", "loss", "held_out_nll") if name in last}
    return found | {"asked_epochs": settings.epochs, "averages_modes": averages, "broken_steps": broken}


def _learnt_from(data: Dataset, held_out: Episodes | None) -> str:
    """How many demonstrations the clone was trained on; `data` holds nothing but demonstrations."""
    shown = counted(len(data.actions), "demonstration")
    if held_out is None:
        return f"{shown}, all for training"
    training = len(list(data.episodes.unpack())) - len(list(held_out.unpack()))
    return f"{training} of {shown} for training"


def _reached(row: PolicyRow) -> str:
    return f"{bounded(row.score)} over {counted(row.episodes)}"


def _summary(row: PolicyRow, own: PolicyRow | None, rows: list[dict[str, Any]], settings: FitSettings) -> list[str]:
    beside = f", beside {own.score.mean:.4g} of the demonstrations" if own is not None else ""
    found = [f"The clone reaches a {settings.score} of {_reached(row)}{beside}."]
    if rows and "held_out_nll" in rows[-1]:
        found.append(
            f"On held-out episodes its negative log-likelihood is {rows[-1]['held_out_nll']:.3f} nats a step"
            f" ({rows[-1]['loss']:.3f} on those it was trained on)."
        )
    return found if settings.held_out else [*found, NOT_HELD_OUT]
