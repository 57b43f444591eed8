"""The verbs on the command line, made from the types of the sessions."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from journeyman.parts import JourneymanError
from journeyman.sessions import (
    ConvertSettings,
    CorrectSettings,
    DiagnoseCloneSettings,
    DiagnoseCompoundingSettings,
    DiagnoseGradientSettings,
    DiagnoseStepSettings,
    ExportSettings,
    FiguresSettings,
    FitSettings,
    ImportSettings,
    ImproveSettings,
    LintSettings,
    QuickstartSettings,
)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate a policy: exactly so many episodes, on start seeds apart from training's."""

    policy: Annotated[Path, tyro.conf.Positional]
    """A run folder or an artefact."""
    world: str
    """Where, for instance Hopper-v5."""
    options: tuple[str, ...] = ()
    """Options of the world, as NAME=VALUE, for instance max_episode_steps=200."""
    episodes: int = 50
    score: Literal["return", "best reward"] = "return"
    """What an episode counts: the sum of its rewards or the highest one."""
    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class DiagnoseClone(DiagnoseCloneSettings):
    """Why a clone is bad: the causes side by side, from refits of its recipe, and what cannot be told."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder of `journeyman fit`."""


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Say why a policy learns slowly or a clone fails: its gradient's noise, what one step does, what errors cost."""

    of: (
        Annotated[DiagnoseGradientSettings, tyro.conf.subcommand("gradient", prefix_name=False)]
        | Annotated[DiagnoseStepSettings, tyro.conf.subcommand("step", prefix_name=False)]
        | Annotated[DiagnoseCompoundingSettings, tyro.conf.subcommand("compounding", prefix_name=False)]
        | Annotated[DiagnoseClone, tyro.conf.subcommand("clone", prefix_name=False)]
    )


@dataclasses.dataclass(frozen=True)
class DataLint(LintSettings):
    """Say on one page what is in a file of demonstrations and what is wrong with it. 0: nothing; 1: something."""

    data: Annotated[Path, tyro.conf.Positional]
    """An npz, HDF5 or CSV file, a Minari folder, or the id of a Minari data set."""


@dataclasses.dataclass(frozen=True)
class DataConvert(ConvertSettings):
    """Read demonstrations in one format and write them in another; the name of the result says which."""

    data: Annotated[Path, tyro.conf.Positional]
    """An npz, HDF5 or CSV file, a Minari folder, or the id of a Minari data set."""
    out: Annotated[Path, tyro.conf.Positional]
    """NAME.npz, NAME.h5, NAME.csv, or NAME-v0 for a Minari folder."""


@dataclasses.dataclass(frozen=True)
class Data:
    """Look through a file of demonstrations for faults, or write it in another format."""

    of: (
        Annotated[DataLint, tyro.conf.subcommand("lint", prefix_name=False)]
        | Annotated[DataConvert, tyro.conf.subcommand("convert", prefix_name=False)]
    )


@dataclasses.dataclass(frozen=True)
class DaggerExport(ExportSettings):
    """Let a policy act, and write the states that it visits, for somebody to say what should have been done there."""

    policy: Annotated[Path, tyro.conf.Positional]
    """A run folder or an artefact."""


@dataclasses.dataclass(frozen=True)
class DaggerImport(ImportSettings):
    """Read labels for visited states back, and write them with the demonstrations as one file to clone from."""

    visited: Annotated[Path, tyro.conf.Positional]
    """What was exported."""
    labels: Annotated[Path, tyro.conf.Positional]
    """The labels: one row each, `observation` as exported and `action` as it should have been."""


@dataclasses.dataclass(frozen=True)
class Dagger:
    """DAgger with an expert that is a file: a person, or a program that does not run here."""

    of: (
        Annotated[DaggerExport, tyro.conf.subcommand("export", prefix_name=False)]
        | Annotated[DaggerImport, tyro.conf.subcommand("import", prefix_name=False)]
    )


@dataclasses.dataclass(frozen=True)
class Report:
    """Evaluate what a run has made and write its report.html again."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""


@dataclasses.dataclass(frozen=True)
class Resume:
    """Continue a run from its newest complete checkpoint; nothing but the folder is needed."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run folder."""


@dataclasses.dataclass(frozen=True)
class Worlds:
    """List the worlds that can be acted in here."""

    pattern: Annotated[str, tyro.conf.Positional] = ""
    """Part of a name, or a pattern such as *Hopper*."""


@dataclasses.dataclass(frozen=True)
class Figures(FiguresSettings):
    """Draw the figures of a lecture from runs: SVG and PNG, light and dark, captions, numbers and a page."""

    of: Annotated[Literal["policy-gradient", "imitation"], tyro.conf.Positional]
    """Which set."""


Verb = (
    Annotated[QuickstartSettings, tyro.conf.subcommand("quickstart")]
    | Annotated[Data, tyro.conf.subcommand("data"), tyro.conf.OmitArgPrefixes]
    | Annotated[Dagger, tyro.conf.subcommand("dagger"), tyro.conf.OmitArgPrefixes]
    | Annotated[FitSettings, tyro.conf.subcommand("fit")]
    | Annotated[CorrectSettings, tyro.conf.subcommand("correct")]
    | Annotated[ImproveSettings, tyro.conf.subcommand("improve")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Diagnose, tyro.conf.subcommand("diagnose"), tyro.conf.OmitArgPrefixes]
    | Annotated[Figures, tyro.conf.subcommand("figures")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Worlds, tyro.conf.subcommand("worlds")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. 0: done; 1: `data lint` found something wrong; 2: a sentence on stderr says what is wrong; 130:
    stopped by Ctrl-C.

    `--debug` adds the traceback. `--compile-cache`, `--compile-cache=FOLDER` or a folder in JOURNEYMAN_COMPILE_CACHE
    keeps compiled programs for the next process. A run that Ctrl-C stopped has a checkpoint, and the sentence says how
    to go on.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Pictures are drawn without a window; pygame would greet on stdout and look for a screen and a sound card.
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    debug = "--debug" in given
    cache = [word for word in given if word.partition("=")[0] == "--compile-cache"]
    given = [word for word in given if word != "--debug" and word not in cache]
    description = "Learn policies from demonstrations, mend what cloning breaks, and improve by practice."
    verb: Any = tyro.cli(Verb, args=given, prog="journeyman", description=description)  # type: ignore[call-overload]
    try:
        _keep_compiled(cache)
        return _run(verb)
    except JourneymanError as error:
        if debug:
            raise
        print(f"journeyman: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        said = str(stop) or "stopped; a run that has a checkpoint goes on with: journeyman resume RUN"
        print(f"journeyman: {said}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read this, `head` perhaps, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug or error.strerror is None:
            raise
        named = f"'{error.filename}': " if error.filename else ""
        print(f"journeyman: {named}{error.strerror}; check the path, its permissions and the disk.", file=sys.stderr)
        return 2


def _run(verb: Any) -> int:
    from journeyman import sessions

    if isinstance(verb, Data):
        return _data(verb.of)
    if isinstance(verb, Dagger):
        _dagger(verb.of)
    elif isinstance(verb, QuickstartSettings):
        sessions.quickstart(verb, say=_say)
    elif isinstance(verb, FitSettings):
        _say(str(sessions.clone(verb, say=_say)))
    elif isinstance(verb, CorrectSettings):
        _say(str(sessions.correct(verb, say=_say)))
    elif isinstance(verb, ImproveSettings):
        _say(str(sessions.practise(verb, say=_say)))
    elif isinstance(verb, Diagnose):
        _diagnose(verb.of)
    elif isinstance(verb, FiguresSettings):
        _say(str(sessions.draw_figures(verb, say=_say)))
    elif isinstance(verb, Report):
        _say(str(sessions.report(verb.run, say=_say)))
    elif isinstance(verb, Resume):
        _say(str(sessions.resume(verb.run, say=_say)))
    elif isinstance(verb, Worlds):
        _worlds(verb)
    else:
        _evaluate(verb)
    return 0


def _keep_compiled(words: Sequence[str]) -> None:
    """Turn the compile cache on where it is asked for."""
    named = os.environ.get("JOURNEYMAN_COMPILE_CACHE", "")
    if not words and not named:
        return
    from journeyman.training import compile_cache

    folder = words[-1].partition("=")[2] if words else named
    compile_cache(folder or None)


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def _worlds(verb: Worlds) -> None:
    from journeyman.worlds import list_worlds

    found = list_worlds(verb.pattern)
    if not found:
        raise JourneymanError(f"No world's name contains '{verb.pattern}'; `journeyman worlds` lists all of them.")
    for name, kind in found:
        _say(f"{name}  ({kind})")


def _evaluate(verb: Evaluate) -> None:
    import json

    from journeyman.sessions import judge

    found = judge(verb.policy, verb.world, verb.options, episodes=verb.episodes)
    scores = {"mean action": found.score(verb.score), "sampled": found.score(verb.score, sampled=True)}
    starts = found.mean_action.distinct_starts
    if verb.json:
        parts: dict[str, Any] = {
            k: {"mean": v.mean, "low": v.low, "high": v.high, "episodes": v.n} for k, v in scores.items()
        }
        share = found.success
        parts["success"] = share and {"share": share.mean, "low": share.low, "high": share.high, "episodes": share.n}
        about = {"world": verb.world, "score": verb.score, "seed": found.seed}
        _say(json.dumps({**about, "distinct_starts": starts, "broken_steps": found.broken_steps, **parts}))
        return
    for name, one in scores.items():
        numbers = f"{verb.score} {one.mean:.4g} [{one.low:.4g}, {one.high:.4g}]"
        _say(f"{name}: {numbers} over {one.n} episodes, seed {found.seed}")
    if found.success is not None:
        share = found.success
        _say(f"success: {share.mean:.0%} [{share.low:.0%}, {share.high:.0%}] of the episodes by the mean action")
    _say(f"distinct start states: {starts} of {found.episodes}")
    if found.broken_steps:
        _say(f"broken: {found.broken_steps} steps gave what is not finite, and each ended its episode")


def _data(settings: LintSettings | ConvertSettings) -> int:
    import json

    from journeyman import sessions

    if isinstance(settings, ConvertSettings):
        for sentence in sessions.convert_data(settings):
            _say(sentence)
        return 0
    found = sessions.lint_data(settings)
    _say(json.dumps(found.numbers(), ensure_ascii=False) if settings.json else found.page())
    return 1 if found.problems else 0


def _dagger(settings: ExportSettings | ImportSettings) -> None:
    from journeyman import sessions

    exports = isinstance(settings, ExportSettings)
    told = sessions.export_states(settings) if exports else sessions.import_labels(settings)
    for sentence in told:
        _say(sentence)


def _diagnose(
    settings: DiagnoseGradientSettings | DiagnoseStepSettings | DiagnoseCompoundingSettings | DiagnoseCloneSettings,
) -> None:
    import json

    from journeyman import sessions

    if isinstance(settings, DiagnoseGradientSettings):
        found: Any = sessions.diagnose_gradient(settings)
    elif isinstance(settings, DiagnoseStepSettings):
        found = sessions.diagnose_step(settings)
    elif isinstance(settings, DiagnoseCloneSettings):
        found = sessions.diagnose_clone(settings)
    else:
        found = sessions.diagnose_compounding(settings)
    if settings.json:
        _say(json.dumps(found.numbers(), ensure_ascii=False))
        return
    _say(found.table())
    for sentence in ("", found.finding or "There is no error at all.", *found.notes):
        _say(sentence)
