"""Brax: rigid bodies on the accelerator, by four kinds of physics."""

import inspect
from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from journeyman.worlds._options import check_options
from journeyman.worlds._packaged import (
    AbstractPackagedWorld,
    Packaged,
    imported,
    length,
    made,
    parameters,
    require_id,
    unbounded_like,
    undisturbed,
)
from journeyman.worlds._spaces import Box


class BraxWorld(AbstractPackagedWorld):
    """A Brax environment by its id, such as `ant`, as `brax.envs.get_environment` makes it.

    `options` are the environment's own (`backend`, `n_frames` ...), and `episode_length`, the time limit: 1000
    steps unless said otherwise. The wrappers of Brax's training are not used, so no episode starts from a kept state.
    Actions are in [−1, 1]. `done` is termination; `info["time_out"]`, a hint for Brax's own PPO, is not read.

    Raises `JourneymanError` for an unknown id or option, and with the install line where Brax is missing.
    """

    citation: ClassVar[str] = """@inproceedings{freeman2021brax,
  title = {Brax: A Differentiable Physics Engine for Large Scale Rigid Body Simulation},
  author = {Freeman, C. Daniel and Frey, Erik and Raichuk, Anton and Girgin, Sertan and Mordatch, Igor and Bachem,
    Olivier},
  booktitle = {NeurIPS Datasets and Benchmarks},
  year = {2021},
}"""

    id: str
    num_envs: int
    seed: int
    horizon: int | None
    packaged: Packaged = eqx.field(static=True, repr=False)

    def __init__(self, id: str, /, *, num_envs: int = 64, seed: int = 0, **options: Any):
        self.id, self.num_envs, self.seed = id, num_envs, seed
        environment = _make(id, options)
        self.horizon = length(id, "episode_length", options.get("episode_length", 1000))
        self.packaged = packaged_like_brax(environment, options)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`brax:` and the id."""
        return f"brax:{self.id}"

    def begin(self, key: Array) -> PyTree:
        """Brax's state, which holds the observation."""
        return begun(self.packaged.environment, key)

    def move(self, simulator: PyTree, action: Array, key: Array) -> tuple[PyTree, Any, Any]:
        """Brax's step; what is random in it comes from the state."""
        del key
        state = self.packaged.environment.step(simulator, action)
        return state, state.reward, state.done

    def see(self, simulator: PyTree) -> PyTree:
        """The observation in the state."""
        return simulator.obs


def begun(environment: Any, key: Array) -> PyTree:
    """The start state of an environment of Brax's kind, which is written for raw keys."""
    return environment.reset(jax.random.key_data(key))


def packaged_like_brax(environment: Any, options: dict[str, Any], observed: str | None = None) -> Packaged:
    """An environment of Brax's kind with its spaces; `observed` picks one entry of a dict."""
    with undisturbed():
        seen = jax.eval_shape(lambda: begun(environment, jax.random.key(0))).obs
    seen = dict(seen) if isinstance(seen, dict) else seen
    shown = seen if observed is None else seen[observed]
    return Packaged(environment, options, unbounded_like(shown), Box.symmetric(1.0, int(environment.action_size)))


def brax_ids() -> list[str]:
    """Every id Brax knows. Raises `JourneymanError` with the install line where Brax is missing."""
    return list(_package()._envs)  # Brax has no public list


def _package() -> Any:
    return imported("brax.envs", "brax")


def _make(id: str, options: dict[str, Any]) -> Any:
    package = _package()
    require_id("Brax", id, brax_ids())
    cls = package._envs[id]
    known = {"episode_length": 1000, **parameters(cls.__init__)}
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in inspect.signature(cls.__init__).parameters.values()):
        known = {**parameters(package.PipelineEnv.__init__), **known}
    check_options(id, options, known)
    own = {key: value for key, value in options.items() if key != "episode_length"}
    return made("Brax", id, options, lambda: package.get_environment(id, **own))
