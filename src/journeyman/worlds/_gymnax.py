"""gymnax: classic control, bsuite, MinAtar and more as JAX programs."""

import dataclasses
import importlib.metadata
from typing import Any, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.parts import JourneymanError
from journeyman.worlds._deferred import deferred
from journeyman.worlds._options import check_options
from journeyman.worlds._packaged import (
    AbstractPackagedWorld,
    Packaged,
    imported,
    length,
    made,
    parameters,
    require_id,
)
from journeyman.worlds._spaces import Box, Discrete


class GymnaxWorld(AbstractPackagedWorld):
    """A gymnax environment by its id, such as `CartPole-v1`.

    `options` are the environment's parameters and its constructor's arguments. `max_steps_in_episode` is the time
    limit. An episode is what `reset_env` and `step_env` make; the reset inside gymnax's own `step` is not used.
    Where gymnax says that an environment's transitions can be differentiated, they are.

    Raises `JourneymanError` for an unknown id or option, and where gymnax is missing or older than 1.0, which did
    not tell its time limits from terminations.
    """

    citation: ClassVar[str] = """@software{lange2022gymnax,
  author = {Lange, Robert Tjarko},
  title = {{gymnax}: A {JAX}-based Reinforcement Learning Environment Library},
  url = {https://github.com/RobertTLange/gymnax},
  year = {2022},
}"""

    id: str
    num_envs: int
    seed: int
    horizon: int | None
    parameters: Any
    packaged: Packaged = eqx.field(static=True, repr=False)

    def __init__(self, id: str, /, *, num_envs: int = 64, seed: int = 0, **options: Any):
        self.id, self.num_envs, self.seed = id, num_envs, seed
        environment, self.parameters = _make(id, options)
        self.horizon = length(id, "max_steps_in_episode", self.parameters.max_steps_in_episode)
        what = f"of 'gymnax:{id}'"
        self.packaged = Packaged(
            environment,
            options,
            _space(environment.observation_space(self.parameters), f"observation {what}"),
            _space(environment.action_space(self.parameters), f"action {what}"),
        )

    @property
    def name(self) -> str:  # type: ignore[override]
        """`gymnax:` and the id."""
        return f"gymnax:{self.id}"

    def provides(self) -> frozenset[str]:
        """A world and rewards, and derivatives where gymnax supports them."""
        smooth = self.packaged.environment.transition_gradients_enabled
        return self.gives | ({"differentiable dynamics"} if smooth else frozenset())

    def begin(self, key: Array) -> PyTree:
        """State and observation, which gymnax may draw together."""
        observation, state = self.packaged.environment.reset_env(key, self.parameters)
        return state, observation

    def move(self, simulator: PyTree, action: Array, key: Array) -> tuple[PyTree, Any, Any]:
        """`step_env`, which ends an episode where the environment terminates and nowhere else."""
        step = self.packaged.environment.step_env
        observation, state, reward, terminated, _ = step(key, simulator[0], action, self.parameters)
        return (state, observation), reward, terminated

    def see(self, simulator: PyTree) -> Array:
        """What came with the state."""
        return simulator[1]


def gymnax_ids() -> list[str]:
    """Every id gymnax knows. Raises `JourneymanError` with the install line where gymnax is missing."""
    return list(_package().registered_envs)


def _package() -> Any:
    with deferred("matplotlib", "seaborn"):  # what it draws with takes a second
        return imported("gymnax", "gymnax")


def _refuse_old() -> None:
    version = importlib.metadata.version("gymnax")
    if int(version.split(".")[0]) < 1:
        raise JourneymanError(
            f"gymnax {version} is installed, which ends an episode at its time limit as if it had terminated; install a"
            ' newer one with: pip install "journeyman[gymnax]"'
        )


def _make(id: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """The environment and its parameters; an option goes to whichever of the two has it."""
    package = _package()
    _refuse_old()
    require_id("gymnax", id, gymnax_ids())
    environment, defaults = made("gymnax", id, options, lambda: package.make(id))
    own = parameters(type(environment).__init__)
    fields = {field.name: getattr(defaults, field.name) for field in dataclasses.fields(defaults)}
    check_options(id, options, {**own, **fields})
    to_make = {key: value for key, value in options.items() if key not in fields}

    def build() -> tuple[Any, Any]:
        environment, defaults = package.make(id, **to_make)
        if environment.supports_transition_gradients:
            environment = environment.with_transition_gradients()
        return environment, defaults.replace(**{key: value for key, value in options.items() if key in fields})

    return made("gymnax", id, options, build)


def _space(space: Any, what: str) -> Box | Discrete:
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete(int(space.n))
    if kind == "Box":
        with np.errstate(over="ignore"):
            low, high = (np.asarray(bound, np.float32) for bound in (space.low, space.high))
        return Box(*(np.array(np.broadcast_to(bound, space.shape)) for bound in (low, high)))
    raise JourneymanError(f"The {what} is a {kind}, and only Box and Discrete are supported; choose another world.")
