"""MuJoCo Playground: the DeepMind Control suite, locomotion and manipulation in MJX."""

from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, PyTree

from journeyman.worlds._brax import begun, packaged_like_brax
from journeyman.worlds._options import check_options
from journeyman.worlds._packaged import AbstractPackagedWorld, Packaged, imported, length, made, require_id

_SUITES = ("dm_control_suite", "locomotion", "manipulation")


class PlaygroundWorld(AbstractPackagedWorld):
    """A MuJoCo Playground environment by its id, such as `CartpoleBalance`, as `registry.load` makes it.

    `options` override its configuration, inner entries by their path (`reward_config.scales.energy`);
    `episode_length` is the time limit. `impl` is `jax` unless said otherwise, which is a JAX program on every device;
    `warp` is Playground's own default and needs an NVIDIA GPU to be fast. An environment that shows a dictionary
    keeps in `state` what a policy may see, and that is what is shown; `privileged=True` shows all of it. Actions are
    in [−1, 1]. Locomotion and manipulation fetch their models from GitHub when first made.

    Raises `JourneymanError` for an unknown id or option, and with the install line where Playground is missing.
    """

    citation: ClassVar[str] = """@article{zakka2025mujocoplayground,
  title = {{MuJoCo} {P}layground},
  author = {Zakka, Kevin and Tabanpour, Baruch and Liao, Qiayuan and Haiderbhai, Mustafa and Holt, Samuel and Luo, Jing
    Yuan and Allshire, Arthur and Frey, Erik and Sreenath, Koushil and Kahrs, Lueder A. and Sferrazza, Carmelo and
    Tassa, Yuval and Abbeel, Pieter},
  year = {2025},
  eprint = {2502.08844},
  archivePrefix = {arXiv},
}"""

    id: str
    num_envs: int
    seed: int
    horizon: int | None
    observed: str | None
    packaged: Packaged = eqx.field(static=True, repr=False)

    def __init__(self, id: str, /, *, num_envs: int = 64, seed: int = 0, **options: Any):
        self.id, self.num_envs, self.seed = id, num_envs, seed
        environment, limit = _make(id, options)
        self.horizon = length(id, "episode_length", limit)
        whole = packaged_like_brax(environment, options)
        picks = isinstance(whole.observation_space, dict) and "state" in whole.observation_space
        self.observed = "state" if picks and not options.get("privileged", False) else None
        self.packaged = packaged_like_brax(environment, options, self.observed)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`playground:` and the id."""
        return f"playground:{self.id}"

    def begin(self, key: Array) -> PyTree:
        """Playground's state, which holds the observation."""
        return begun(self.packaged.environment, key)

    def move(self, simulator: PyTree, action: Array, key: Array) -> tuple[PyTree, Any, Any]:
        """Playground's step; what is random in it comes from the state."""
        del key
        state = self.packaged.environment.step(simulator, action)
        return state, state.reward, state.done

    def see(self, simulator: PyTree) -> PyTree:
        """The observation in the state, or its `state` entry."""
        return simulator.obs if self.observed is None else simulator.obs[self.observed]


def playground_ids() -> list[str]:
    """Every id Playground knows. Raises `JourneymanError` with the install line where it is missing."""
    package = _package()
    return [id for suite in _SUITES for id in getattr(package, suite).ALL_ENVS]


def _package() -> Any:
    return imported("mujoco_playground", "playground")


def _make(id: str, options: dict[str, Any]) -> tuple[Any, int]:
    """The environment and its time limit."""
    registry = _package().registry
    require_id("Playground", id, playground_ids())
    config = made("Playground", id, options, lambda: registry.get_default_config(id))
    known = _flat(config.to_dict())
    check_options(id, options, {"privileged": False, **known})
    overrides: dict[str, Any] = {"impl": "jax"} if "impl" in known else {}
    overrides |= {key: value for key, value in options.items() if key != "privileged"}
    environment = made("Playground", id, options, lambda: registry.load(id, config, overrides))
    return environment, overrides.get("episode_length", known["episode_length"])


def _flat(config: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found
