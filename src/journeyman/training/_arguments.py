"""Arguments of a verb that are of another kind than they have to be, told at once."""

import typing
from typing import Any

from journeyman.parts import mistaken, refuse


def refuse_mistaken(**arguments: tuple[Any, Any]) -> None:
    """Refuse each argument `name=(value, kind)` whose value is no `kind`, which may be `X | None`."""
    found = []
    for name, (value, kind) in arguments.items():
        if not isinstance(value, kind):
            found += mistaken(f"`{name}`", value, next(iter(typing.get_args(kind)), kind))
    refuse(found)
