"""One Gymnasium environment, fresh: what pictures and replays are made of, whichever world they belong to."""

import importlib
import importlib.util
import warnings
from typing import Any

from journeyman.parts import JourneymanError, did_you_mean, require

# Packages that register environments when they are imported, and the extra that installs them.
_EXTRAS = {"gym_pusht": "pusht"}


def registered(id: str) -> Any | None:
    """Gymnasium's entry for `id`, or None; what stands before '/' or ':' is imported, so that it registers.

    A module before ':' must be there even where Gymnasium has the id itself: `gymnx:CartPole-v1` is a slip of the pen.
    Raises `JourneymanError` with the install line if that module is missing.
    """
    gymnasium = require("gymnasium", extra="gymnasium")
    module, plain = id.split(":", 1) if ":" in id else (id.split("/", 1)[0] if "/" in id else "", id)
    if module.isidentifier() and (":" in id or plain not in gymnasium.registry):
        _register(module, id)
    return gymnasium.registry.get(plain)


def gymnasium_ids() -> list[str]:
    """Every id that Gymnasium knows at the moment. Raises `JourneymanError` where it is not installed."""
    registry = require("gymnasium", extra="gymnasium").registry
    return [id for id in registry if not id.startswith("GymV")]  # shims for other libraries


def make_single(id: str, options: dict[str, Any], render_mode: str | None = None) -> Any:
    """`gymnasium.make(id)`, without the checker and quiet; options as Gymnasium names them.

    Raises `JourneymanError` for an unknown id, a missing simulator or an option that the environment refuses.
    """
    gymnasium = require("gymnasium", extra="gymnasium")
    if registered(id) is None:
        raise JourneymanError(
            f"Gymnasium has no environment '{id}'.{did_you_mean(id, gymnasium_ids())} `journeyman worlds` lists what"
            " there is."
        )
    plain = id.split(":", 1)[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user named the version
        try:
            return gymnasium.make(plain, render_mode=render_mode, disable_env_checker=True, **options)
        except (TypeError, ValueError, ImportError, gymnasium.error.Error) as error:
            raise JourneymanError(cannot_make(id, options, error)) from error


def cannot_make(id: str, options: dict[str, Any], error: Exception) -> str:
    """The sentence for an environment that exists but cannot be built."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"Gymnasium cannot make '{id}' with options {options}: {first.rstrip('.')}. Mend the options, or install what"
        ' it misses with: pip install "journeyman[gymnasium]"'
    )


def single_gives(id: str) -> frozenset[str]:
    """What Gymnasium's environment of this id adds to another simulator's, told without building it."""
    if importlib.util.find_spec("gymnasium") is None:
        return frozenset()
    entry = require("gymnasium", extra="gymnasium").registry.get(id)
    if entry is None:
        return frozenset()
    if "mujoco" not in str(entry.entry_point):
        return frozenset({"frames"})
    have = all(importlib.util.find_spec(name) is not None for name in ("mujoco", "imageio"))
    return frozenset({"frames", "settable state"}) if have else frozenset()


def _register(module: str, id: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] != module:
            raise
        extra = _EXTRAS.get(module)
        line = f'"journeyman[{extra}]"' if extra else module.replace("_", "-")
        raise JourneymanError(
            f"'{id}' is registered by the module '{module}', which is not installed; install it with:"
            f" pip install {line}"
        ) from error
