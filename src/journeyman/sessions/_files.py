"""Settings as JSON and back, and what a path given by a user stands for."""

import dataclasses
import os
import shlex
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from journeyman.parts import JourneymanError, refuse
from journeyman.policies import DensityPolicy, load

Settings = TypeVar("Settings")


def to_json(settings: Any) -> dict[str, Any]:
    """Plain JSON; paths become absolute, so that a run can be continued from anywhere."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, Path):
            return os.path.abspath(value)  # without '..', and without following links
        return list(value) if isinstance(value, tuple) else value

    return plain(settings)


def from_json(cls: type[Settings], values: Mapping[str, Any]) -> Settings:
    """The inverse of `to_json`. A missing or unknown field is an error, never a default."""
    hints = typing.get_type_hints(cls)
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    refuse(
        [
            f"The settings of this run have an unknown field '{name}'; use the journeyman that wrote them."
            for name in values
            if name not in names
        ]
        + [
            f"The settings of this run lack '{name}'; use the journeyman that wrote them."
            for name in sorted(names)
            if name not in values
        ]
    )

    def typed(name: str, value: Any) -> Any:
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            return from_json(hint, value)  # type: ignore[arg-type]
        if hint is Path or (Path in typing.get_args(hint) and value is not None):
            return Path(value)
        return tuple(value) if isinstance(value, list) else value

    return cls(**{name: typed(name, value) for name, value in values.items()})


def load_policy(path: Path) -> DensityPolicy:
    """The policy of a run folder or an artefact."""
    found = load(path)
    if not isinstance(found, DensityPolicy):
        raise JourneymanError(f"'{path}' holds a {type(found).__name__}, not a policy with a density; name another.")
    return found


def short(path: Path) -> str:
    """The shortest name of a path."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def relative(path: Path) -> str:
    """The same, quoted, for commands that a reader may type."""
    return shlex.quote(short(path))
