"""The verbs on the command line, made from the types of the sessions."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from journeyman.parts import JourneymanError
from journeyman.sessions import FitSettings, ImproveSettings, QuickstartSettings


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate a policy: exactly so many episodes, on start seeds apart from training's."""

    policy: Annotated[Path, tyro.conf.Positional]
    """A run folder or an artefact."""
    world: str
    """Where, for instance Hopper-v5."""
    episodes: int = 50
    score: Literal["return", "best reward"] = "return"
    """What an episode counts: the sum of its rewards or the highest one."""
    json: bool = False
    """Print JSON."""


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


Verb = (
    Annotated[QuickstartSettings, tyro.conf.subcommand("quickstart")]
    | Annotated[FitSettings, tyro.conf.subcommand("fit")]
    | Annotated[ImproveSettings, tyro.conf.subcommand("improve")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Worlds, tyro.conf.subcommand("worlds")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. 0: done; 2: a sentence on stderr says what is wrong; `--debug` adds the traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    description = "Learn policies from demonstrations, mend what cloning breaks, and improve by practice."
    verb: Any = tyro.cli(Verb, args=given, prog="journeyman", description=description)  # type: ignore[call-overload]
    try:
        _run(verb)
    except JourneymanError as error:
        if debug:
            raise
        print(f"journeyman: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("journeyman: stopped; a run goes on with `journeyman resume RUN`.", file=sys.stderr)
        return 130
    return 0


def _run(verb: Any) -> None:
    from journeyman import sessions

    if isinstance(verb, QuickstartSettings):
        sessions.quickstart(verb, say=_say)
    elif isinstance(verb, FitSettings):
        _say(str(sessions.clone(verb, say=_say)))
    elif isinstance(verb, ImproveSettings):
        _say(str(sessions.practise(verb, say=_say)))
    elif isinstance(verb, Report):
        _say(str(sessions.report(verb.run, say=_say)))
    elif isinstance(verb, Resume):
        _say(str(sessions.resume(verb.run, say=_say)))
    elif isinstance(verb, Worlds):
        _worlds(verb)
    else:
        _evaluate(verb)


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

    from journeyman.diagnose import evaluate
    from journeyman.sessions import load_policy
    from journeyman.worlds import world

    found = evaluate(load_policy(verb.policy), world(verb.world), episodes=verb.episodes)
    scores = {"mean action": found.score(verb.score), "sampled": found.score(verb.score, sampled=True)}
    if verb.json:
        numbers = {k: {"mean": v.mean, "low": v.low, "high": v.high, "episodes": v.n} for k, v in scores.items()}
        _say(json.dumps({"world": verb.world, "score": verb.score, "seed": found.seed, **numbers}))
        return
    for name, one in scores.items():
        _say(f"{name}: {verb.score} {one.mean:.4g} [{one.low:.4g}, {one.high:.4g}] over {one.n} episodes, seed {found.seed}")


if __name__ == "__main__":
    sys.exit(main())
