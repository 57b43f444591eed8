"""A simulator's own options: known by name, of the type of their default."""

from collections.abc import Mapping
from typing import Any

from journeyman.parts import did_you_mean, refuse


def check_options(id: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse options that `id` does not have, and values of another type than the default in `known`."""
    found = [
        f"'{id}' has no option '{key}'.{did_you_mean(key, known)} It knows {', '.join(sorted(known))}."
        for key in options
        if key not in known
    ]
    for key, value in options.items():
        wanted = type(known.get(key))
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if wanted in (int, float, str, bool) and not fits:
            found.append(f"The option '{key}' of '{id}' is {value!r}, but it takes a {wanted.__name__}.")
    refuse(found)
