"""From what was typed to what is done and said."""

import contextlib
import difflib
import importlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from journeyman._refusals import JourneymanError, counted
from journeyman._settings import (
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
from journeyman.cli._verbs import VERBS, Dagger, Data, Diagnose, Evaluate, Report, Resume, Verb, Worlds

_EVERYWHERE = """
Every verb also takes --debug (a traceback where something is wrong) and --compile-cache or --compile-cache=FOLDER (keep
compiled programs for the next process). journeyman --version says which version this is."""
_NARROWEST = 20
"""Columns that a help is written in at least: below six Tyro looks for a place to break a line for ever."""


def main(arguments: Sequence[str] | None = None, *, ready: Callable[[], object] = lambda: None) -> int:
    """Run one verb. 0: done; 1: `data lint` found something wrong; 2: a sentence on stderr says what is wrong; 130:
    stopped by Ctrl-C.

    A run that Ctrl-C stopped has a checkpoint, and the sentence says how to go on. A folder in JOURNEYMAN_COMPILE_CACHE
    is as `--compile-cache=FOLDER`. `ready` is called once the libraries are loaded, which a help needs not.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Pictures are drawn without a window; pygame would greet on stdout and look for a screen and a sound card.
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    debug = "--debug" in given
    cache = [word for word in given if word.partition("=")[0] == "--compile-cache"]
    given = [word for word in given if word != "--debug" and word not in cache]
    try:
        if given == ["--version"]:
            _say(importlib.metadata.version("journeyman"))
            return 0
        verb = _parsed(given)
        importlib.import_module("journeyman.sessions")
        ready()
        _keep_compiled(cache)
        return _run(verb)
    except JourneymanError as error:
        if debug:
            raise
        print(f"journeyman: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        said = str(stop) or "stopped before it was done; the same command begins again"
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


def _parsed(words: list[str]) -> Any:
    """The verb with its settings. Ends the process after a help, and for words that are none of its options."""
    if words and not words[0].startswith("-") and words[0] not in VERBS:
        near = difflib.get_close_matches(words[0], VERBS, n=1)
        known = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(VERBS)}."
        raise JourneymanError(f"There is no verb '{words[0]}'; {known}")
    description = "Learn policies from demonstrations, mend what cloning breaks, and improve by practice."
    options: dict[str, Any] = {"prog": "journeyman", "description": description, "registry": _whole_numbers()}
    if shutil.get_terminal_size().columns < _NARROWEST:
        os.environ["COLUMNS"] = str(_NARROWEST)
    try:
        return tyro.cli(Verb, args=words, **options)
    except SystemExit as end:
        if not end.code:  # it was a help
            _say(_EVERYWHERE)
        raise


def _whole_numbers() -> tyro.constructors.ConstructorRegistry:
    """Whole numbers may be written as 1e6 too."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def whole(kind: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[int] | None:
        if kind.type is not int:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="INT",
            instance_from_str=lambda words: _whole(words[0]),
            is_instance=lambda value: isinstance(value, int),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        with contextlib.suppress(ValueError):
            if (number := float(word)).is_integer():
                return int(number)
        raise ValueError(f"'{word}' is no whole number") from None


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

    from journeyman.diagnose._numbers import plain
    from journeyman.sessions import judge
    from journeyman.sessions._wording import bounded

    found = judge(verb.policy, verb.world, verb.options, episodes=verb.episodes, seed=verb.seed)
    scores = {"mean action": found.score(verb.score), "sampled": found.score(verb.score, sampled=True)}
    starts = found.mean_action.distinct_starts
    if verb.json:
        parts: dict[str, Any] = {
            k: {"mean": v.mean, "low": v.low, "high": v.high, "episodes": v.n} for k, v in scores.items()
        }
        share = found.success
        parts["success"] = share and {"share": share.mean, "low": share.low, "high": share.high, "episodes": share.n}
        about = {"world": verb.world or found.world, "score": verb.score, "seed": found.seed}
        whole = {**about, "distinct_starts": starts, "broken_steps": found.broken_steps, **parts}
        _say(json.dumps(plain(whole), allow_nan=False))
        return
    for name, one in scores.items():
        _say(f"{name}: {verb.score} {bounded(one)} over {counted(one.n)}, seed {found.seed}")
    if found.success is not None:
        _say(f"success: {bounded(found.success, '.0%')} of the episodes by the mean action")
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
