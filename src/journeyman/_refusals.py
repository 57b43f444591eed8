"""What is said in sentences: the error of the library, whole numbers and counts, and packages that are not there."""

import contextlib
import difflib
import gc
import importlib
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

LAST_SEED = 2**32 - 1
"""The largest seed: JAX draws from the last 32 bits, so that a larger one would repeat a smaller one's numbers."""
EVALUATION_SEED = 1_000_003
"""Start seeds of evaluations: fixed, and apart from any seed training derives."""


class JourneymanError(Exception):
    """A sentence for the user: what is wrong, why, and what to do about it.

    `problems` are the single sentences where there are several, so that they can be told together with others.
    """

    def __init__(self, sentence: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.problems = tuple(problems) or (sentence,)


def refuse(problems: Sequence[str]) -> None:
    """Raise one `JourneymanError` that lists every problem, or do nothing when there is none."""
    if len(problems) == 1:
        raise JourneymanError(problems[0])
    if problems:
        raise JourneymanError(
            f"{len(problems)} things are wrong:\n" + "\n".join(f"  {i}. {p}" for i, p in enumerate(problems, 1)),
            problems,
        )


def not_whole(name: str, value: Any, *, least: int = 0, most: int | None = None) -> list[str]:
    """Why `value` is no whole number from `least` to `most`, as `name` must be, in a sentence; NumPy's integers are.

    >>> not_whole("`episodes`", 20, least=1), not_whole("`episodes`", 2.5, least=1)
    ([], ['`episodes` must be a whole number of 1 or more, not 2.5; change it.'])
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is not None and least <= number and (most is None or number <= most):
        return []
    bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
    return [f"{name} must be a whole number {bounds}, not {value!r:.60}; change it."]


def beyond_the_last(seed: int, count: int) -> list[str]:
    """Why `count` seeds from `seed` on are too many, in a sentence: those beyond the largest repeat the first.

    >>> beyond_the_last(0, 3), len(beyond_the_last(LAST_SEED, 2))
    ([], 1)
    """
    last = seed + max(count, 1) - 1
    if not_whole("", seed, most=LAST_SEED) or last <= LAST_SEED:
        return []
    return [f"The last of {count} seeds from {seed} is {last}, and the largest is {LAST_SEED}; begin with a lower one."]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'X'?` for the nearest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def counted(number: int, noun: str = "episode") -> str:
    """How many of them there are.

    >>> counted(1), counted(1200, "demonstration")
    ('1 episode', '1,200 demonstrations')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Without garbage collection: nearly all that imports and tracing make stays, and is searched time and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def require(module: str, *, extra: str) -> Any:
    """Import an optional dependency, or say which extra installs it."""
    try:
        with uncollected():
            return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise JourneymanError(
            f"'{module}' is not installed and this needs it; install it with: pip install \"journeyman[{extra}]\""
        ) from error
