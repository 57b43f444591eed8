"""What can be wrong before anything is made, gathered so that it is told at once."""

import contextlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from journeyman._settings import flag, seeded
from journeyman.parts import JourneymanError, refuse
from journeyman.sessions._files import relative
from journeyman.training import Interrupted, begun
from journeyman.worlds import AbstractWorld, LinearQuadratic, world

Made = TypeVar("Made")


def attempt(found: list[str], make: Callable[[], Made]) -> Made | None:
    """What `make` gives; where it refuses, its problems join those `found`, each told once, and nothing is given."""
    try:
        return make()
    except JourneymanError as error:
        found += [problem for problem in error.problems if problem not in found]
        return None


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """`("horizon=20", "noise=0.1")` → `{"horizon": 20, "noise": 0.1}`; a value that is no JSON is a string.

    Raises `JourneymanError` for a word without '=', a name given twice, and the names that have a setting of their own.
    """
    found, options = [], {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            found.append(f"The world option '{word}' is not of the form NAME=VALUE; write for instance horizon=100.")
        elif name in ("num_envs", "seed"):
            found.append(f"'{name}' is no option of a world but a setting of its own; use {flag(name)}.")
        elif name in options:
            found.append(f"The world option '{name}' is given twice; keep one.")
        else:
            options[name] = _value(value)
    refuse(found)
    return options


def _value(text: str) -> Any:
    text = {"True": "true", "False": "false", "None": "null"}.get(text, text)
    try:
        return json.loads(text)
    except ValueError:
        return text


def make_world(name: str, words: Sequence[str], *, num_envs: int, seed: int) -> AbstractWorld:
    """`world(name, **options)`, the options as they are written on the command line."""
    found = seeded(seed)
    options = attempt(found, lambda: parse_options(words))
    refuse(found)
    assert options is not None  # else something was found
    try:
        made = world(name, num_envs=num_envs, seed=seed, **options)
    except (TypeError, ValueError) as error:  # a value of a kind that the world did not expect
        raise JourneymanError(
            f"'{name}' cannot be made with the options {options}: {str(error).splitlines()[0]}; mend their values."
        ) from error
    if isinstance(made, LinearQuadratic) and made.horizon is None:
        raise JourneymanError(
            f"'{name}' has no end, so no episode of it could ever be evaluated; add --options horizon=100."
        )
    return made


def can_report() -> None:
    """Refuse work that would end without its page."""
    for module in ("jinja2", "plotly"):
        if importlib.util.find_spec(module) is None:
            raise JourneymanError(
                f"'{module}' is not installed and the report at the end needs it; install it with:"
                ' pip install "journeyman[report]"'
            )


@contextlib.contextmanager
def stoppable(advice: str, at_once: Callable[[], str] | None = None) -> Iterator[None]:
    """Where Ctrl-C ends a run inside, the sentence also says how to go on; `at_once` after a second one, which waited
    for nothing."""
    try:
        yield
    except Interrupted as stop:
        raise KeyboardInterrupt(f"{stop}; {advice}") from stop
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"stopped at once; {advice if at_once is None else at_once()}") from stop


@contextlib.contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """The same for a run of the command line; and where the disk ends it, as when it is full."""
    go_on = f"go on with: journeyman resume {relative(folder)}"

    def at_once() -> str:
        if begun(folder):
            return f"from the last checkpoint it can {go_on}"
        return "there is no checkpoint yet, begin again with the same command and --overwrite"

    try:
        with stoppable(f"everything is kept, {go_on}", at_once):
            yield
    except OSError as error:
        if error.filename is None:  # not a file's, such as that of a reader who has read enough
            raise
        raise JourneymanError(
            f"'{error.filename}': {error.strerror}, so the run ended; make room, or mend what keeps the disk from being"
            f" written; {at_once()}"
        ) from error
