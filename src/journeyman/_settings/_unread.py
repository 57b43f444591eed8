"""Settings that a choice leaves unread: refused where given, forgotten where an older run folder holds them."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from journeyman._settings._numbers import flag

Settings = TypeVar("Settings")
Number = TypeVar("Number", int, float)


class Rule(NamedTuple):
    """The settings in `fields` are read where `read`; where not, `why` says by what alone, and what to do.

    A field of a part is named with it, as `asking.std`. A setting is given where it differs from its default, which is
    therefore `None` where only some choices read it.
    """

    fields: tuple[str, ...]
    read: bool
    why: str


def chosen(choice: str, now: str, values: Sequence[str], *fields: str) -> Rule:
    """These fields are read where the setting `choice`, which is `now`, is one of `values`."""
    one = len(values) == 1
    named = values[0] if one else f"{', '.join(values[:-1])} and {values[-1]}"
    why = f"only {flag(choice)} {named} {'reads' if one else 'read'} it, not {now}; leave it out, or choose"
    return Rule(fields, now in values, f"{why} {'that' if one else 'one of those'}")


def usually(given: Number | None, usual: Number) -> Number:
    """What is given, or else what is usual."""
    return usual if given is None else given


def unread(settings: Any, rules: Sequence[Rule]) -> list[str]:
    """The settings that were given and would be ignored, in sentences."""
    return [
        f"{flag(name)} is {_shown(_value(settings, name))}, and {rule.why}." for name, rule in _ignored(settings, rules)
    ]


def forgotten(settings: Settings, rules: Sequence[Rule]) -> Settings:
    """The same settings, what is ignored as if it had not been given.

    Run folders of earlier versions hold it: the defaults of then, and what was silently ignored.
    """
    for name, _ in _ignored(settings, rules):
        settings = _with(settings, name, _default(settings, name))
    return settings


def _ignored(settings: Any, rules: Sequence[Rule]) -> Iterator[tuple[str, Rule]]:
    """Each setting that is given in vain, with the first rule that says so."""
    seen = set()
    for rule in rules:
        for name in rule.fields:
            given = _value(settings, name) != _default(settings, name)
            if given and not rule.read and name not in seen:
                seen.add(name)
                yield name, rule


def _value(settings: Any, name: str) -> Any:
    part, _, field = name.rpartition(".")
    return getattr(getattr(settings, part) if part else settings, field)


def _default(settings: Any, name: str) -> Any:
    first, _, field = name.partition(".")
    whole = next(one.default for one in dataclasses.fields(settings) if one.name == first)
    return getattr(whole, field) if field else whole


def _with(settings: Settings, name: str, value: Any) -> Settings:
    first, _, field = name.partition(".")
    changed = dataclasses.replace(getattr(settings, first), **{field: value}) if field else value
    return dataclasses.replace(settings, **{first: changed})  # type: ignore[type-var]


def _shown(value: Any) -> str:
    if isinstance(value, Path):
        return f"'{value}'"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
