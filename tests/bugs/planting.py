"""How a bug is planted: one function of the library replaced, wherever its name stands, inside this process."""

import dataclasses
import importlib.util
import itertools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import pytest

ROOT = Path(__file__).resolve().parents[2]
_NUMBERS = itertools.count()


@dataclasses.dataclass(frozen=True)
class Bug:
    """What somebody got wrong, `plant`ed here, and the `test` (path::function, called with `arguments`) that must fail.

    `seen_in` is where the mistake was made, or "easy to make".
    """

    name: str
    seen_in: str
    plant: Callable[[pytest.MonkeyPatch], None]
    test: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def replace(patch: pytest.MonkeyPatch, original: Any, planted: Any) -> None:
    """Put `planted` in the place of a module's function, under every name that a station has for it."""
    found = [
        (module, name)
        for key, module in list(sys.modules.items())
        if key.split(".")[0] == "journeyman"
        for name, value in list(vars(module).items())
        if value is original
    ]
    assert found, f"{original} is nowhere to be replaced"
    for module, name in found:
        patch.setattr(module, name, planted)


def wrap(patch: pytest.MonkeyPatch, owner: type, method: str, change: Callable[..., Any]) -> None:
    """A method becomes `change(original)`."""
    patch.setattr(owner, method, change(getattr(owner, method)))


def run(test: str, arguments: Mapping[str, Any]) -> None:
    """A test from its file, loaded afresh so that nothing compiled or cached before can hide a bug."""
    path, name = test.split("::")
    number = next(_NUMBERS)
    spec = importlib.util.spec_from_file_location(f"planted_{number}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        function = getattr(module, name)
        with jax.enable_x64(_doubles(function)):
            function(**arguments)
    finally:
        del sys.modules[spec.name]


def _doubles(function: Any) -> bool:
    marks = getattr(function, "pytestmark", [])
    return any(mark.name == "usefixtures" and "x64" in mark.args for mark in marks)
