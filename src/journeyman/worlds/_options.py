"""A world's own options: known by name, of the kind that they are said to have or that their default has."""

import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from journeyman.parts import JourneymanError, did_you_mean, refuse

_KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a string"}


def check_options(id: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse options that `id` does not have, and values of another kind than the default in `known`."""
    check_kinds(id, options, {key: type(value) for key, value in known.items()})


def check_kinds(id: str, options: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Refuse options that `id` does not have, and values that are not what their annotation in `kinds` says.

    Looked at are `bool`, `int`, `float` and `str`, and these or `None`; no option is nan.
    """
    found = [
        f"'{id}' has no option '{key}'.{did_you_mean(key, kinds)} It knows {', '.join(sorted(kinds))}."
        for key in options
        if key not in kinds
    ]
    for key, value in options.items():
        kind: Any = kinds.get(key)
        asked: list[Any] = [one for one in typing.get_args(kind) or (kind,) if one in _KINDS or one is types.NoneType]
        if any(one in _KINDS for one in asked) and not any(_is(value, one) for one in asked):
            words = " or ".join(_KINDS.get(one, "None") for one in asked)
            found.append(f"The option '{key}' of '{id}' is {value!r}, but it takes {words}.")
    refuse(found)


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # which Python counts among the whole numbers
        return kind is bool
    return isinstance(value, (int, float)) and value == value if kind is float else isinstance(value, kind)


def numbers(name: str, values: Any) -> np.ndarray:
    """The option `name` in double precision. Raises `JourneymanError` for what is no array of finite numbers."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of several lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise JourneymanError(
            f"'{name}' is {values!r:.60}, but it takes a number or a list of them, rows of one length and finite."
        )
    return array.astype(np.float64)


def number(name: str, value: Any) -> float:
    """The option `name` as one number. Raises `JourneymanError` for anything else."""
    found = numbers(name, value)
    if found.ndim:
        raise JourneymanError(f"'{name}' is {value!r:.60}, but it takes one number; choose one.")
    return float(found)
