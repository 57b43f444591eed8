"""One Gymnasium environment, fresh: what pictures and replays are made of, whichever world they belong to."""

import importlib
import importlib.util
import warnings
from typing import Any

from journeyman.parts import JourneymanError, did_you_mean, require

# Modules that register environments when they are imported, and how each is installed; any other may be the user's own.
_INSTALLED_BY = {
    "ale_py": "ale-py",
    "gym_aloha": "gym-aloha",
    "gym_pusht": '"journeyman[pusht]"',
    "gymnasium_robotics": "gymnasium-robotics",
    "highway_env": "highway-env",
    "minigrid": "minigrid",
}
_MODULE_OF = {"ALE": "ale_py"}
"""Which module registers a namespace that is not called like it."""


def registered(id: str) -> Any | None:
    """Gymnasium's entry for `id`, or None; what stands before '/' or ':' is imported, so that it registers.

    A module before ':' must be there even where Gymnasium has the id itself: `gymnx:CartPole-v1` is a slip of the pen.
    Raises `JourneymanError` with the install line if that module is missing.
    """
    gymnasium = require("gymnasium", extra="gymnasium")
    module, plain = id.split(":", 1) if ":" in id else (id.split("/", 1)[0] if "/" in id else "", id)
    module = _MODULE_OF.get(module, module)
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
    drawn = {} if render_mode is None else {"render_mode": render_mode}  # an environment need not know the word
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user named the version
        try:
            return gymnasium.make(plain, disable_env_checker=True, **drawn, **options)
        except Exception as error:  # whatever an environment of the user's own may raise
            raise JourneymanError(cannot_make(id, options, error)) from error


def cannot_make(id: str, options: dict[str, Any], error: Exception) -> str:
    """The sentence for an environment that exists but cannot be built."""
    return (
        f"Gymnasium cannot make '{id}' with options {options}: {_first_line(error)}. Mend the options, or install what"
        ' it misses with: pip install "journeyman[gymnasium]"'
    )


def cause(error: Exception) -> str:
    """The kind of `error`, and the first line of what it says where it says anything."""
    said = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *(line.rstrip(".") for line in said[:1])])


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
    except Exception as error:  # whatever a module of the user's own may raise
        missing = isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == module
        if not missing:
            raise JourneymanError(
                f"The module '{module}', which registers '{id}', cannot be imported ({cause(error)}); mend it, or"
                " install what it misses."
            ) from error
        if module in _INSTALLED_BY:
            raise JourneymanError(
                f"'{id}' is registered by the module '{module}', which is not installed; install it with:"
                f" pip install {_INSTALLED_BY[module]}"
            ) from error
        raise JourneymanError(
            f"'{id}' is registered by the module '{module}', and Python finds none of that name; start with `python -m"
            " journeyman` (or with PYTHONPATH=.) in the folder of a module of your own, or install the package that has"
            " it."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
