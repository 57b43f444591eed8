"""The command line that settings stand for, for a reader who wants the same numbers."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from journeyman.sessions._files import short
from journeyman.sessions._refusals import flag


def typed(words: Sequence[str | Path], settings: Any, leave: Sequence[str]) -> str:
    """`journeyman`, these words, and whatever is set otherwise than by default, but for the fields to `leave` out."""
    line = ["journeyman", *map(_text, words)]
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name not in leave and value != field.default:
            line += [flag(field.name), *map(_text, value if isinstance(value, tuple) else (value,))]
    return shlex.join(line)


def _text(value: Any) -> str:
    return short(value) if isinstance(value, Path) else str(value)
