"""From a name to a world."""

import fnmatch
import importlib.util
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from journeyman.parts import JourneymanError, did_you_mean, mistaken, refuse
from journeyman.worlds._base import AbstractWorld
from journeyman.worlds._brax import BraxWorld, brax_ids
from journeyman.worlds._envpool import EnvPoolWorld, envpool_ids
from journeyman.worlds._error_chain import ErrorChain
from journeyman.worlds._geometric_chain import GeometricChain
from journeyman.worlds._gymnasium import GymnasiumWorld
from journeyman.worlds._gymnax import GymnaxWorld, gymnax_ids
from journeyman.worlds._handwriting import handwriting
from journeyman.worlds._harvest import Harvest
from journeyman.worlds._lasa import PACKAGE, lasa_shapes
from journeyman.worlds._linear_quadratic import LinearQuadratic
from journeyman.worlds._one_step_gaussian import OneStepGaussian
from journeyman.worlds._options import check_kinds
from journeyman.worlds._pendulum import Pendulum
from journeyman.worlds._playground import PlaygroundWorld, playground_ids
from journeyman.worlds._probes import PROBES
from journeyman.worlds._ridge import Ridge
from journeyman.worlds._scaled_features import ScaledFeatures
from journeyman.worlds._seeds import seed_problems
from journeyman.worlds._single import gymnasium_ids, registered
from journeyman.worlds._tabular import Tabular
from journeyman.worlds._tabular_worlds import Garnet, Gridworld, TwoState, cliff_walking
from journeyman.worlds._timed import timed

_PURE: dict[str, Callable[..., AbstractWorld]] = {
    "LinearQuadratic": LinearQuadratic,
    "GeometricChain": GeometricChain,
    "ErrorChain": ErrorChain,
    "Ridge": Ridge,
    "Harvest": Harvest,
    "OneStepGaussian": OneStepGaussian,
    "ScaledFeatures": ScaledFeatures,
    "Pendulum": Pendulum,
    "Tabular": Tabular,
    "Gridworld": Gridworld,
    "CliffWalking": cliff_walking,
    "TwoState": TwoState,
    "Garnet": Garnet,
    **{probe.__name__: probe for probe in PROBES},
}
_ADAPTORS: dict[str, Callable[..., AbstractWorld]] = {
    "envpool": EnvPoolWorld,
    "gymnasium": GymnasiumWorld.make,
    "gymnax": GymnaxWorld,
    "brax": BraxWorld,
    "playground": PlaygroundWorld,
    "lasa": handwriting,
}
# What is always named with its prefix: the module that must be there, and who knows the ids.
_PACKAGED: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "gymnax": ("gymnax", gymnax_ids),
    "brax": ("brax", brax_ids),
    "playground": ("mujoco_playground", playground_ids),
    "lasa": (PACKAGE, lasa_shapes),
}

OWN = (
    "register your environment with Gymnasium and name it 'gymnasium:MODULE:ID', or wrap a vector of them with"
    " journeyman.worlds.GymnasiumWorld.from_vector_env"
)
"""What to do with an environment of one's own."""


def world(name: str, *, num_envs: int = 64, seed: int = 0, **options: Any) -> AbstractWorld:
    """The world called `name`, `num_envs` times side by side; `seed` decides everything random in it.

    `envpool:ID` and `gymnasium:ID` choose the simulator; a bare id is EnvPool's where EnvPool has it, else
    Gymnasium's. `gymnax:ID`, `brax:ID` and `playground:ID` are JAX programs, always named with their package.
    `LinearQuadratic`, `Gridworld` and others are exact worlds of our own, and so are `lasa:SHAPE`, whose starts come
    from the LASA handwriting data (extra `lasa`). `gymnasium:package/ID` imports the package
    first, so that it can register. `timed:NAME` is the world NAME whose time limit belongs to the task (`timed`; its
    option `shown` says whether the step number is seen). `options` are the simulator's or the world's own.

    Raises `JourneymanError` for an unknown name (with the nearest known one), a missing package (with the line that
    installs it) and an option or a value that the world does not take.
    """
    refuse(mistaken("`name`", name, str, OWN))
    refuse(seed_problems(seed, num_envs))
    num_envs, seed = int(num_envs), int(seed)  # NumPy's have no form in JSON
    options = {key: value.item() if isinstance(value, np.generic) else value for key, value in options.items()}
    if name in _PURE:
        return _pure(name, num_envs, seed, options)
    prefix, _, id = name.partition(":")
    if id and prefix == "timed":
        shown = options.pop("shown", True)
        return timed(world(id, num_envs=num_envs, seed=seed, **options), shown=shown)
    if id and prefix in _ADAPTORS:
        return _ADAPTORS[prefix](id, num_envs=num_envs, seed=seed, **options)
    if _has("envpool") and name in envpool_ids():
        return EnvPoolWorld(name, num_envs=num_envs, seed=seed, **options)
    if _has("gymnasium") and (":" not in name or prefix.isidentifier()) and _registered(name):
        return GymnasiumWorld.make(name, num_envs=num_envs, seed=seed, **options)
    known = [known for known, _ in list_worlds()]
    if not (_has("envpool") or _has("gymnasium")):
        raise JourneymanError(
            f"'{name}' needs a simulator, and neither EnvPool nor Gymnasium is installed; install one with:"
            ' pip install "journeyman[envpool]"'
        )
    raise JourneymanError(
        f"There is no world '{name}'.{did_you_mean(name, known)} `journeyman worlds` lists the {len(known)} there are."
    )


def world_config(world: AbstractWorld) -> dict[str, Any]:
    """`name`, `num_envs`, `seed` and `options`: `world(**...)` of these builds it again, and JSON keeps them.

        c = world_config(w); same = world(c["name"], num_envs=c["num_envs"], seed=c["seed"], **c["options"])

    Raises `JourneymanError` for a world that was handed in and has no name.
    """
    config = world.config()
    if not config["name"]:
        raise JourneymanError(
            f"This {type(world).__name__} was handed in and has no name, so it cannot be written down and built again;"
            " register its environment with Gymnasium and use journeyman.world('gymnasium:...')."
        )
    return config


def list_worlds(pattern: str = "") -> list[tuple[str, str]]:
    """`(name, kind)` of every world whose name contains `pattern`, ignoring case; `*` and `?` match as in a shell.

    The kind is `exact`, `envpool`, `gymnasium`, `gymnax`, `brax`, `playground` or `lasa`; each name is what `world`
    takes. Only what is installed is listed; packages that register with Gymnasium when imported appear once they have
    been.
    """
    found = [(name, "exact") for name in _PURE]
    pooled = envpool_ids() if _has("envpool") else []
    found += [(id, "envpool") for id in pooled]
    taken = set(pooled)
    if _has("gymnasium"):
        found += [(f"gymnasium:{id}" if id in taken else id, "gymnasium") for id in gymnasium_ids()]
    for prefix, (module, ids) in _PACKAGED.items():
        found += [(f"{prefix}:{id}", prefix) for id in (ids() if _has(module) else [])]
    glob = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    return [(name, kind) for name, kind in found if fnmatch.fnmatch(name.lower(), glob.lower())]


def _pure(name: str, num_envs: int, seed: int, options: dict[str, Any]) -> AbstractWorld:
    build = _PURE[name]
    given = inspect.signature(build).parameters
    check_kinds(name, options, {key: one.annotation for key, one in given.items() if key not in ("num_envs", "seed")})
    missing = [key for key, one in given.items() if one.default is inspect.Parameter.empty and key not in options]
    refuse([f"'{name}' needs the option '{key}', which has no usual value; give it one." for key in missing])
    infinite = [key for key, value in options.items() if isinstance(value, float) and math.isinf(value)]
    refuse([f"The option '{key}' of '{name}' is {options[key]}, but it takes a finite number." for key in infinite])
    return build(num_envs=num_envs, seed=seed, **options)


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _registered(name: str) -> bool:
    """Whether Gymnasium knows the bare `name`; a missing package is worth its own sentence only after a '/'."""
    try:
        return registered(name) is not None
    except JourneymanError:
        if "/" in name:
            raise
        return False
