"""EnvPool: many simulators in C++ threads, stepped together."""

import ctypes
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.parts import JourneymanError, did_you_mean, require
from journeyman.worlds._base import AbstractHostWorld, AbstractTraced, HostStep, direct
from journeyman.worlds._from_gymnasium import (
    ActionBuffer,
    action_space_from_gymnasium,
    observation_reader,
    space_from_gymnasium,
)
from journeyman.worlds._options import check_options
from journeyman.worlds._packaged import length
from journeyman.worlds._seeds import environment_seeds
from journeyman.worlds._single import make_single, single_gives
from journeyman.worlds._success import Successes

# What the world itself decides; an option of this name would break a promise of the interface.
_OURS = frozenset("num_envs batch_size seed env_seed max_num_players base_path gym_reset_return_info".split())
_ENDLESS = 10**9
_NO_LIMIT = 2**31 - 1  # EnvPool's own, of tasks without a time limit
# EnvPool's own options that its sister in Gymnasium does not know.
_ENVPOOL_ONLY = frozenset("num_threads thread_affinity_offset frame_stack gymnasium_v5_render_camera".split())


class EnvPoolWorld(AbstractHostWorld):
    """The EnvPool task `id`, `num_envs` times; `options` are EnvPool's own (`max_episode_steps`, `num_threads` …).

    Each environment has a seed of its own, derived from `seed` (`environment_seeds`). The number of threads never
    changes the stream; 0 leaves it to EnvPool. A `max_episode_steps` of `None` is the task's own limit and −1 none at
    all, as with Gymnasium. An episode that terminates on the very step of the time limit is reported by EnvPool as
    truncated alone. Pictures and replays use Gymnasium's environment of the same id, where there is one.

    Raises `JourneymanError` for an unknown id or option, a number of steps or threads that cannot be, and for a space
    that has no counterpart here.
    """

    citation: ClassVar[str] = """@inproceedings{weng2022envpool,
  title = {{EnvPool}: A Highly Parallel Reinforcement Learning Environment Execution Engine},
  author = {Weng, Jiayi and Lin, Min and Huang, Shengyi and Liu, Bo and Makoviichuk, Denys and Makoviychuk, Viktor
    and Liu, Zichen and Song, Yufan and Luo, Ting and Jiang, Yukun and Xu, Zhongwen and Yan, Shuicheng},
  booktitle = {Advances in Neural Information Processing Systems (Datasets and Benchmarks)},
  year = {2022},
}"""

    id: str
    num_envs: int
    seed: int
    options: dict[str, Any]
    horizon: int | None
    observation_space: Any
    action_space: Any
    simulator: Any = eqx.field(repr=False)
    read: Callable[[Any], PyTree] = eqx.field(repr=False)
    clip: ActionBuffer = eqx.field(repr=False)
    ended: np.ndarray = eqx.field(repr=False)
    account: Successes = eqx.field(repr=False)
    program: "_Traced | None" = eqx.field(repr=False)

    def __init__(self, id: str, /, *, num_envs: int = 64, seed: int = 0, **options: Any):
        self.id, self.num_envs, self.seed, self.options = id, num_envs, seed, options
        seeds = environment_seeds(seed, num_envs)
        spec, self.simulator = _make(id, num_envs, seeds, options)
        limit = spec.config.max_episode_steps if "max_episode_steps" in spec.config._fields else None
        self.horizon = int(limit) if limit is not None and 0 < limit < _ENDLESS else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # EnvPool's bounds lose precision; it keeps the spaces from here on
            self.observation_space = space_from_gymnasium(self.simulator.observation_space, f"observation of '{id}'")
            self.action_space = action_space_from_gymnasium(self.simulator.action_space, f"action of '{id}'")
        # EnvPool never writes to it again.
        self.read = observation_reader(self.observation_space, f"'{id}'", copy=False)
        self.clip = ActionBuffer(self.action_space, num_envs, spec.action_array_spec["action"].dtype)
        self.ended = np.zeros(num_envs, bool)
        self.account = Successes(num_envs, f"'{id}'")
        self.program = _traced(self)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`envpool:` and the id."""
        return f"envpool:{self.id}"

    def provides(self) -> frozenset[str]:
        """A world and rewards; frames and a settable state where Gymnasium has the same environment."""
        return self.gives | single_gives(self.id)

    def reset(self) -> PyTree:
        """The first observations."""
        self.ended[...] = False
        self.account.clear()
        observation, _ = self.simulator.reset()
        return self.read(observation)

    @direct
    def step(self, action: np.ndarray, meanwhile: Callable[[], None] | None = None) -> HostStep:
        """One step of every environment."""
        self.simulator.send(self.clip(action))
        if meanwhile is not None:
            meanwhile()
        observation, reward, terminated, truncated, info = self.simulator.recv()
        if self.ended.any():  # DeepMind Control and Meta-World pay on the reset step
            reward = np.where(self.ended, reward.dtype.type(0), reward)
            terminated, truncated = terminated & ~self.ended, truncated & ~self.ended
        over = terminated | truncated
        self.account.count(self.account.said(info), self.ended, over)
        self.ended[...] = over
        return HostStep(self.read(observation), reward.astype(np.float32, copy=False), terminated, truncated)

    def restart(self, which: np.ndarray) -> PyTree:
        """Their first observations."""
        self.ended[which] = False
        self.account.forget(which)
        observation, _ = self.simulator.reset(np.flatnonzero(which).astype(np.int32))
        return self.read(observation)

    def traced(self) -> "_Traced | None":
        """EnvPool's own call for compiled programs, on the systems that have it."""
        return self.program

    def successes(self) -> list[list[bool]] | None:
        """By `info["success"]`, where the task has it."""
        return self.account.finished

    def close(self) -> None:
        """Stop the threads."""
        if self.program is not None:
            self.program.close()
        self.simulator.close()

    def remake(self, *, seed: int, num_envs: int | None = None) -> "EnvPoolWorld":
        """The same task afresh."""
        _return_freed()
        width = self.num_envs if num_envs is None else num_envs
        return EnvPoolWorld(self.id, num_envs=width, seed=seed, **self.options)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": dict(self.options)}

    def single(self, render_mode: str | None = None) -> Any:
        """Gymnasium's environment of this id, with the options that both know."""
        shared = {key: value for key, value in self.options.items() if key not in _ENVPOOL_ONLY}
        return make_single(self.id, shared, render_mode)


class _Traced(AbstractTraced):
    """`EnvPoolWorld.step` in a compiled program. EnvPool's arrays keep their 64 bits there, whatever JAX's setting."""

    def __init__(self, world: EnvPoolWorld, calls: tuple[Any, ...]) -> None:
        super().__init__()
        self._token, *_, self._call = calls
        self._read = observation_reader(world.observation_space, f"'{world.id}'", copy=False, xp=jnp)
        self._clip, self._ended, self._account = world.clip, world.ended, world.account

    def state(self) -> PyTree:
        """EnvPool's token, which keeps its calls in their order, and the environments that only reset next."""
        return self._token, self._ended

    def step(self, state: PyTree, action: Array) -> tuple[PyTree, HostStep, PyTree]:
        """One step of every environment."""
        token, resets = state
        with jax.enable_x64(True):
            token, (seen, reward, terminated, truncated, info) = self._call(token, self._clip.traced(action))
            seen, reward = self._read(seen), reward.astype(np.float32)
        reward = jnp.where(resets, jnp.zeros_like(reward), reward)
        terminated, truncated = terminated & ~resets, truncated & ~resets
        ended, answer = terminated | truncated, HostStep(seen, reward, terminated, truncated)  # type: ignore[arg-type]
        return (token, ended), answer, (self._account.said(info), resets, ended)

    def finish(self, state: PyTree, action: np.ndarray, said: PyTree) -> None:
        """The last flags, and which episodes succeeded."""
        self._ended[...] = state[1]
        self._clip.check(action)
        success, *flags = said
        if success is not None:
            for step in zip(*map(np.asarray, (success, *flags)), strict=True):
                self._account.count(*step)


def _traced(world: EnvPoolWorld) -> _Traced | None:
    """EnvPool's call for compiled programs, which only its builds for Linux have."""
    if sys.platform != "linux":
        return None
    with jax.enable_x64(True):  # or its arrays would be declared with half of their bits
        return _Traced(world, world.simulator.xla())


def envpool_ids() -> list[str]:
    """Every id EnvPool knows. Raises `JourneymanError` with the install line where EnvPool is missing."""
    return list(require("envpool", extra="envpool").list_all_envs())


def _return_freed() -> None:
    """Give freed memory back to the system.

    The C library keeps what simulators leave behind in pieces that the next ones do not fit into, so a run that makes
    its world afresh at every checkpoint would grow with their number. Only glibc can, and only glibc needs to.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _checked(id: str, options: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The options as EnvPool takes them, which plays one step under a limit below 1 and dies of threads below 0."""
    steps = options.get("max_episode_steps")
    given = {key: value for key, value in options.items() if (key, value) != ("max_episode_steps", None)}
    check_options(id, given, {key: value for key, value in config.items() if key not in _OURS})
    if given.get("num_threads", 0) < 0:
        raise JourneymanError(
            f"The option 'num_threads' of '{id}' is {given['num_threads']}, and somebody has to do the work; give 1 or"
            " more, or 0 to leave it to EnvPool."
        )
    if steps is not None:
        given["max_episode_steps"] = _NO_LIMIT if steps == -1 else length(id, "max_episode_steps", steps)
    return given


def _make(id: str, num_envs: int, seeds: list[int], options: dict[str, Any]) -> tuple[Any, Any]:
    envpool = require("envpool", extra="envpool")
    known = envpool_ids()
    if id not in known:
        raise JourneymanError(
            f"EnvPool has no world '{id}'.{did_you_mean(id, known)} `journeyman worlds` lists what there is."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            spec = envpool.make_spec(id)
            threads = {"num_threads": min(num_envs, os.cpu_count() or 1)}
            made = {**threads, **_checked(id, options, spec.config._asdict())}
            simulator = envpool.make_gymnasium(id, num_envs=num_envs, env_seed=seeds, **made)
        except JourneymanError:
            raise
        except Exception as error:  # EnvPool raises whatever its C++ or a missing system library raises
            raise JourneymanError(
                f"EnvPool cannot make '{id}' with options {options}: {str(error).splitlines()[0]} Mend the options"
                " or what it misses, or choose another world."
            ) from error
    keys = set(simulator.spec.action_array_spec) - {"env_id", "players.env_id"}
    if keys != {"action"}:
        raise JourneymanError(
            f"'{id}' takes the actions {sorted(keys)}, and only worlds with a single 'action' are supported."
        )
    return simulator.spec, simulator
