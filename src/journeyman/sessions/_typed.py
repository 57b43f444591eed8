"""The command line that settings stand for, for a reader who wants the same numbers."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from journeyman._settings import flag
from journeyman.sessions._files import short


def typed(words: Sequence[str | Path], settings: Any, leave: Sequence[str]) -> str:
    """`journeyman`, these words, and whatever is set otherwise than by default, but for the fields to `leave` out."""
    default = {field.name: field.default for field in dataclasses.fields(settings)}
    given = {name: getattr(settings, name) for name in default if name not in leave}
    return shlex.join(["journeyman", *map(_text, words), *_options(given, default)])


def _options(given: Mapping[str, Any], default: Mapping[str, Any], part: str = "") -> Iterator[str]:
    """The options of what is given otherwise than by default; those of a part are named with it, as --shape.head."""
    for name, value in given.items():
        if value == default[name]:
            continue
        if dataclasses.is_dataclass(value):
            yield from _options(vars(value), vars(default[name]), f"{part}{name}.")
        elif isinstance(value, bool):
            yield flag(f"{part}{name}") if value else flag(f"{part}no_{name}")
        else:
            yield from (flag(f"{part}{name}"), *map(_text, value if isinstance(value, tuple) else (value,)))


def _text(value: Any) -> str:
    return short(value) if isinstance(value, Path) else str(value)
