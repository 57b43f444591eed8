"""From a file of demonstrations to corrective labels, and to clones with and without them."""

import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

from journeyman._settings import CorrectSettings, usually
from journeyman.algorithms import bc, fit_dynamics
from journeyman.corrections import AbstractDynamics, Corrected, corrective_labels, noisy
from journeyman.datasets import Dataset, demonstration_score, demonstrations, locate, read
from journeyman.datasets import write as write_data
from journeyman.diagnose import Evaluation, evaluate
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, citations, counted, refuse
from journeyman.report import PolicyRow, Report, policy_row, write
from journeyman.sessions._clone import Say
from journeyman.sessions._correcting import (
    known_dynamics,
    label_findings,
    label_numbers,
    labelling,
    objective,
    region,
)
from journeyman.sessions._page import demonstration_row, facts, summary_entry, write_summary
from journeyman.sessions._recipes import make_head, shaped
from journeyman.sessions._refusals import attempt, can_report, make_world, stoppable
from journeyman.sessions._typed import typed
from journeyman.sessions._wording import bounded
from journeyman.training import Learner, Recorder, fit, read_record
from journeyman.training._folder import WRITTEN, lost
from journeyman.worlds import AbstractHostWorld, AbstractWorld

NAMES = ("clone", "noisy", "corrected")
"""What is cloned: the demonstrations, with noise on what is seen, with corrective labels."""

_SHOWN = {"noisy": "noisy clone"}


class _Ready(NamedTuple):
    """What labels are made from, all of it checked. `truth` is what judges them, `None` where nobody knows."""

    world: AbstractWorld | None
    data: Dataset
    truth: AbstractDynamics | None
    notes: list[str]


def correct(settings: CorrectSettings, *, say: Say = print, quiet: bool = False) -> Path:
    """Read, fit the dynamics, make labels, and where there is a world clone with them, with noise and with neither.

    Nothing is made before there are labels: where none can be trusted there is nothing to learn from, and the refusal
    says by how much the best one failed. Returns the page's path. Raises `JourneymanError` for what is wrong with file,
    world and settings, all at once, and `KeyboardInterrupt` when Ctrl-C ended it early.
    """
    settings = dataclasses.replace(settings, data=locate(settings.data))
    ready = _prepare(settings)
    try:
        for note in (*ready.data.notes, *ready.notes):
            say(f"note: {note}")
        corrected = _labelled(settings, ready)
        for sentence in corrected.report.sentences():
            say(sentence)
        again = typed(("correct",), dataclasses.replace(settings, overwrite=True), ())
        with stoppable(f"begin again with: {again}"):
            return _written(settings, ready, corrected, say, quiet)
    finally:
        if isinstance(ready.world, AbstractHostWorld):
            ready.world.close()


def _prepare(settings: CorrectSettings) -> _Ready:
    found = settings.problems()
    attempt(found, can_report)
    attempt(found, lambda: _check_folder(settings))
    made = None if settings.world is None else attempt(found, lambda: _world_of(settings))
    data = attempt(found, lambda: read(settings.data, world=made))
    truth, notes = None, []
    if made is not None:
        attempt(found, lambda: make_head(settings.shape, made))
        told: list[str] = []
        truth = attempt(told, lambda: known_dynamics(made))
        if settings.dynamics == "true":
            found += told
        elif told:
            notes.append(f"nobody can say how wrong the labels are. {' '.join(told)}")
    refuse(found)
    assert data is not None  # else something was found
    if data.episodes.num_steps < settings.batch_size:
        steps, size = data.episodes.num_steps, settings.batch_size
        notes.append(f"{steps} demonstrated steps are fewer than a batch of {size}, so all of them are one.")
    return _Ready(made, data, truth, notes)


def _world_of(settings: CorrectSettings) -> AbstractWorld:
    assert settings.world is not None
    width = min(max(usually(settings.episodes, 50), 1), 64)
    return make_world(settings.world, settings.options, num_envs=width, seed=settings.seed)


def _check_folder(settings: CorrectSettings) -> None:
    out = settings.out
    if out.exists() and not out.is_dir():
        raise JourneymanError(f"'{out}' is a file, and labels and clones need a folder; choose another with --out.")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / "corrected.npz").exists():
        raise JourneymanError(f"'{out}' holds something other than corrective labels; choose another with --out.")
    if not settings.overwrite:
        raise JourneymanError(f"'{out}' holds earlier labels; add --overwrite to replace them, or choose --out.")
    if settings.world is None and (out / NAMES[0]).exists():
        raise JourneymanError(
            f"'{out}' holds clones of earlier labels, which nothing would replace without a world; add --world, or"
            " choose another folder with --out."
        )
    clones = [out / name / written for name in NAMES for written in WRITTEN]
    refuse(lost({"--data": settings.data}, [out / "corrected.npz", out / "noisy.npz", *clones]))


def _labelled(settings: CorrectSettings, ready: _Ready) -> Corrected:
    """The labels under the dynamics that was asked for. Raises where none can be trusted."""
    episodes = ready.data.episodes
    if settings.dynamics == "true":
        assert ready.truth is not None  # `_prepare` refuses
        dynamics: AbstractDynamics = ready.truth
    else:
        dynamics = fit_dynamics(
            episodes,
            members=usually(settings.members, 4),
            objective=objective(settings),
            batch_size=settings.batch_size,
            seed=settings.seed,
        )
    options = {"method": labelling(settings), "region": region(settings), "truth": ready.truth}
    return corrective_labels(episodes, dynamics, seed=settings.seed, **options)  # type: ignore[arg-type]


def _written(settings: CorrectSettings, ready: _Ready, corrected: Corrected, say: Say, quiet: bool) -> Path:
    """The data sets, the clones, the numbers and the page."""
    out, plain = settings.out, ready.data.episodes
    out.mkdir(parents=True, exist_ok=True)
    noise = noisy(plain, settings.noise, settings.noise_copies, settings.seed)
    given = dict(zip(NAMES, (plain, noise, corrected.episodes), strict=True))
    for name in ("corrected", "noisy"):
        write_data(given[name], out / f"{name}.npz", overwrite=settings.overwrite)
    found: dict[str, Evaluation] = {}
    if ready.world is not None:
        for name in NAMES:
            found[name] = _judged(settings, ready.world, name, given[name], quiet)
            score = found[name].score(settings.score)
            say(f"{_title(name)}: {bounded(score)} over {counted(score.n)}.")
    told = {name: f"{given[name].num_steps:,} steps" for name in NAMES}
    summary = {"labels": label_numbers(corrected)}
    summary |= {name: summary_entry(one, settings.score) for name, one in found.items()}
    write_summary(out, summary)
    return write(_page(settings, ready, corrected, found, told), out / "report.html", overwrite=True)


def _judged(settings: CorrectSettings, made: AbstractWorld, name: str, data: Episodes, quiet: bool) -> Evaluation:
    """A clone of the data, a run of its own, by as many gradient steps as every other; and what it is worth."""
    learner = _learner(settings, data)
    fresh = shaped(settings.shape, made, settings.seed)
    record = Recorder(
        settings.out / name,
        overwrite=settings.overwrite,
        quiet=quiet,
        context={"correct": name},
        links={"file": data.fingerprint()},
    )
    every = max(1, learner.epochs // 100)
    found = fit(learner, fresh, data, seed=settings.seed, log_every=every, checkpoint_every=10 * every, record=record)
    return evaluate(found.policy, made, episodes=usually(settings.episodes, 50))


def _learner(settings: CorrectSettings, data: Episodes) -> Learner:
    """Cloning for about `gradient_steps` steps, whatever the size of the data."""
    steps = usually(settings.gradient_steps, 4000)
    passes = max(1, round(steps / math.ceil(data.num_steps / settings.batch_size)))
    given = {name: getattr(settings, name) for name in ("learning_rate", "weight_decay")}
    numbers = {name: value for name, value in given.items() if value is not None}
    return bc(**numbers, epochs=passes, batch_size=settings.batch_size)


def _page(
    settings: CorrectSettings, ready: _Ready, corrected: Corrected, found: dict[str, Evaluation], told: dict[str, str]
) -> Report:
    command = typed(("correct",), settings, ("overwrite",))
    rows: list[PolicyRow] = []
    if ready.world is not None:
        shown, _ = demonstrations(ready.data)
        own = demonstration_row(demonstration_score(shown, ready.world), settings.score, command)
        rows += [] if own is None else [own]
    rows += [
        policy_row(_title(name), one, score=settings.score, data=told[name], command=command)
        for name, one in found.items()
    ]
    record = read_record(settings.out / "corrected") if found else None
    where = {} if ready.world is None else {"world": ready.world.name}
    named = facts(record, **where, data=f"{ready.data.path} ({ready.data.fingerprint})")
    used = [labelling(settings), region(settings), corrected.dynamics]
    return Report(
        title=f"Corrective labels for {ready.data.path.name}",
        summary=[*_compared(found, settings), *corrected.report.sentences()],
        facts={**named, "seed": str(settings.seed), "command": command},
        policies=rows,
        findings=label_findings(corrected, command),
        citations=citations(*used, *([] if ready.world is None else [ready.world])),
        score_label=settings.score,
    )


def _compared(found: dict[str, Evaluation], settings: CorrectSettings) -> list[str]:
    """The clone with labels beside the better of its controls, in one sentence; nothing without a world."""
    if not found:
        return []
    mean: dict[str, float] = {name: one.score(settings.score).mean for name, one in found.items()}
    return [
        f"With corrective labels the clone reaches a {settings.score} of {mean['corrected']:.4g}, as it is"
        f" {mean['clone']:.4g} and with noise on what it sees {mean['noisy']:.4g}. Each is one network from seed"
        f" {settings.seed}: over other seeds they may stand otherwise."
    ]


def _title(name: str) -> str:
    return _SHOWN.get(name, name)
