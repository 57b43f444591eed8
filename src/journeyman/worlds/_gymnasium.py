"""Gymnasium: anyone's environment, as a vector environment that says how it resets itself."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from journeyman.parts import JourneymanError, did_you_mean, not_whole, refuse, require
from journeyman.worlds._apart import begun_apart
from journeyman.worlds._base import AbstractHostWorld, HostStep, direct
from journeyman.worlds._from_gymnasium import (
    ActionBuffer,
    action_space_from_gymnasium,
    observation_reader,
    single_precision,
    space_from_gymnasium,
)
from journeyman.worlds._seeds import environment_seeds, seed_problems
from journeyman.worlds._single import cannot_make, cause, gymnasium_ids, make_single, registered
from journeyman.worlds._states import settable
from journeyman.worlds._success import Successes


class GymnasiumWorld(AbstractHostWorld):
    """A `gymnasium.vector.VectorEnv`: `GymnasiumWorld.make("Hopper-v5")`, or your own by `from_vector_env`.

    Environment i is reset with the i-th of `environment_seeds(seed, num_envs)`. How the vector environment resets
    itself is read from `metadata["autoreset_mode"]`: `NEXT_STEP` is used as it is, `DISABLED` through
    `reset(options={"reset_mask": ended})`; `SAME_STEP` and an undeclared mode are refused.
    """

    citation: ClassVar[str] = """@misc{towers2024gymnasium,
  title = {Gymnasium: A Standard Interface for Reinforcement Learning Environments},
  author = {Towers, Mark and Kwiatkowski, Ariel and Terry, Jordan and Balis, John U. and De Cola, Gianluca and
    Deleu, Tristan and Goul{\\~a}o, Manuel and Kallinteris, Andreas and Krimmel, Markus and KG, Arjun and others},
  year = {2024},
  eprint = {2407.17032},
  archivePrefix = {arXiv},
}"""

    id: str
    num_envs: int
    seed: int
    options: dict[str, Any]
    horizon: int | None
    observation_space: Any
    action_space: Any
    capabilities: frozenset[str]
    by_hand: bool  # whether this adaptor resets what has ended, because the simulator does not
    rebuild: Callable[[int], Any] | None = eqx.field(repr=False)
    simulator: Any = eqx.field(repr=False)
    read: Callable[[Any], PyTree] = eqx.field(repr=False)
    clip: ActionBuffer = eqx.field(repr=False)
    ended: np.ndarray = eqx.field(repr=False)
    account: Successes = eqx.field(repr=False)

    def __init__(
        self,
        simulator: Any,
        *,
        id: str = "",
        seed: int = 0,
        options: dict[str, Any] | None = None,
        horizon: int | None = None,
        capabilities: frozenset[str] = frozenset(),
        rebuild: Callable[[int], Any] | None = None,
    ):
        what = f"'{id}'" if id else type(simulator).__name__
        if not hasattr(simulator, "num_envs"):
            raise JourneymanError(
                f"{what} is one environment, and a world is made of a vector of them; pass"
                " gymnasium.vector.SyncVectorEnv([make] * n, autoreset_mode=AutoresetMode.NEXT_STEP), or register it"
                " and name it: journeyman.world('gymnasium:ID')."
            )
        self.by_hand = _resets_by_hand(simulator, what)
        self.id, self.num_envs, self.seed = id, int(simulator.num_envs), seed
        self.options, self.horizon = options or {}, horizon
        self.capabilities, self.rebuild, self.simulator = capabilities, rebuild, simulator
        self.observation_space = space_from_gymnasium(simulator.single_observation_space, f"observation of {what}")
        self.action_space = action_space_from_gymnasium(simulator.single_action_space, f"action of {what}")
        self.read = observation_reader(self.observation_space, what, copy=True)
        theirs = simulator.single_action_space
        self.clip = ActionBuffer(self.action_space, self.num_envs, theirs.dtype, theirs)
        self.ended = np.zeros(self.num_envs, bool)
        self.account = Successes(self.num_envs, what)

    @classmethod
    def make(cls, id: str, /, *, num_envs: int = 64, seed: int = 0, **options: Any) -> "GymnasiumWorld":
        """The registered environment `id`, `num_envs` times; what `journeyman.world("gymnasium:ID")` calls.

        `options` go to `gymnasium.make` (`max_episode_steps` …); `vectorization="async"` gives each environment a
        process of its own, which shares nothing with this one. Raises `JourneymanError` for an unknown id, a missing
        package or a refused option.
        """
        refuse(seed_problems(seed, num_envs))  # before anything is built
        if "render_mode" in options:
            raise JourneymanError(
                f"'{id}' got the option render_mode={options['render_mode']!r}, and a world draws nothing while it is"
                " acted in; leave it out, for journeyman.worlds.frames and the films of reports draw by themselves."
            )
        entry = registered(id)
        if entry is None:
            raise JourneymanError(
                f"Gymnasium has no world '{id}'.{did_you_mean(id, gymnasium_ids())} `journeyman worlds` lists what"
                " there is."
            )
        plain = {key: value for key, value in options.items() if key != "vectorization"}
        probe = make_single(id, plain)  # says in one sentence what a vector of them would say in a page
        capabilities = settable(probe)
        if "rgb_array" in (probe.metadata or {}).get("render_modes", []):
            capabilities |= {"frames"}
        probe.close()
        simulator = _make_vector(id, num_envs, options.get("vectorization", "sync"), plain)
        given = options.get("max_episode_steps")  # None is the registered limit, −1 none at all
        horizon = entry.max_episode_steps if given is None else given if given > 0 else None
        try:
            return cls(simulator, id=id, seed=seed, options=options, horizon=horizon, capabilities=capabilities)
        except JourneymanError:
            simulator.close()
            raise

    @classmethod
    def from_vector_env(
        cls,
        env: Any,
        *,
        seed: int = 0,
        horizon: int | None = None,
        rebuild: Callable[[int], Any] | None = None,
    ) -> "GymnasiumWorld":
        """Your own `gymnasium.vector.VectorEnv` as a world.

        `horizon` is its time limit in steps, read from `env.spec` if left out; `rebuild(num_envs)` makes another
        one like it, which evaluation and resuming need. Raises `JourneymanError` where the autoreset mode is
        undeclared or `SAME_STEP`, for a space that has no counterpart here, and for less than one step or environment.
        """
        refuse([] if horizon is None else not_whole("`horizon`", horizon, least=1))
        limit = getattr(getattr(env, "spec", None), "max_episode_steps", None)  # −1 is none at all
        known = horizon if horizon is not None else None if limit == -1 else limit
        return cls(env, seed=seed, horizon=known, rebuild=rebuild)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`gymnasium:` and the id; empty for a vector environment that was handed in."""
        return f"gymnasium:{self.id}" if self.id else ""

    def provides(self) -> frozenset[str]:
        """A world and rewards, and what was found when it was built."""
        return self.gives | self.capabilities

    def reset(self) -> PyTree:
        """The first observations."""
        self.ended[...] = False
        self.account.clear()
        with _called("reset", self):
            observation, _ = self.simulator.reset(seed=environment_seeds(self.seed, self.num_envs))
            return self.read(observation)

    @direct
    def step(self, action: np.ndarray, meanwhile: Callable[[], None] | None = None) -> HostStep:
        """One step of every environment."""
        if meanwhile is not None:
            meanwhile()
        action = self.clip(action).copy()  # an environment may keep its action: the last one, a penalty, a delay
        fresh = self.ended.copy()
        again = self.by_hand and fresh.any()
        if again:  # stepping an ended environment is undefined, so it is reset once to step, once more to begin
            self._renewed(fresh)
        with _called("step", self):
            observation, reward, terminated, truncated, info = self.simulator.step(action)
            seen = self._renewed(fresh) if again else self.read(observation)
            reward = single_precision(np.where(fresh, 0, reward))
            terminated = np.asarray(terminated, bool) & ~fresh
            truncated = np.asarray(truncated, bool) & ~fresh
        np.logical_or(terminated, truncated, out=self.ended)
        self.account.count(self.account.said(info), fresh, self.ended)
        return HostStep(seen, reward, terminated, truncated)

    @direct
    def _renewed(self, which: np.ndarray) -> PyTree:
        """What all show once those that `which` marks are reset."""
        with _called("reset", self):
            observation, _ = self.simulator.reset(options={"reset_mask": which.copy()})
            return self.read(observation)

    def restart(self, which: np.ndarray) -> PyTree | None:
        """Their first observations, where the simulator is known to heed `reset_mask`."""
        if not (self.id or self.by_hand):
            return None
        self.ended[which] = False
        self.account.forget(which)
        return jax.tree.map(lambda leaf: leaf[which], self._renewed(which))

    def successes(self) -> list[list[bool]] | None:
        """By `info["is_success"]` or `info["success"]`, where the environment has one."""
        return self.account.finished

    def close(self) -> None:
        """Close every environment."""
        self.simulator.close()

    def remake(self, *, seed: int, num_envs: int | None = None) -> "GymnasiumWorld":
        """The same world afresh. Raises `JourneymanError` for a handed-in one whose `rebuild` is missing or fails."""
        width = self.num_envs if num_envs is None else num_envs
        if self.id:
            return GymnasiumWorld.make(self.id, num_envs=width, seed=seed, **self.options)
        if self.rebuild is None:
            raise JourneymanError(
                f"This world wraps a {type(self.simulator).__name__} that was handed in, so it cannot be made afresh;"
                " give from_vector_env(env, rebuild=lambda num_envs: ...) to evaluate or resume with it."
            )
        env = _rebuilt(self.rebuild, width)
        return GymnasiumWorld.from_vector_env(env, seed=seed, horizon=self.horizon, rebuild=self.rebuild)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": dict(self.options)}

    def single(self, render_mode: str | None = None) -> Any:
        """One fresh environment of the same id and options."""
        if not self.id:
            return super().single(render_mode)
        plain = {key: value for key, value in self.options.items() if key != "vectorization"}
        return make_single(self.id, plain, render_mode)


@contextlib.contextmanager
def _called(verb: str, world: GymnasiumWorld) -> Iterator[None]:
    """Whatever an environment of the user's own may raise in `verb`, as one sentence."""
    try:
        yield
    except JourneymanError:
        raise
    except Exception as error:
        raise JourneymanError(
            f"The {verb} of '{world.id or type(world.simulator).__name__}' failed ({cause(error)}); mend the"
            " environment: reset(seed=..., options=...) gives (observation, info), step(action) gives (observation,"
            " reward, terminated, truncated, info), and gymnasium.utils.env_checker.check_env tells more."
        ) from error


def _rebuilt(rebuild: Callable[[int], Any], num_envs: int) -> Any:
    """What the user's own function gives, where it gives a vector of `num_envs` environments."""
    asked = f"`rebuild` was asked for {num_envs} environment{'' if num_envs == 1 else 's'}"
    write = "write rebuild=lambda num_envs: SyncVectorEnv([make] * num_envs, autoreset_mode=...)"
    try:
        env = rebuild(num_envs)
    except Exception as error:  # whatever a function of the user's own may raise
        raise JourneymanError(f"{asked} and failed ({cause(error)}); mend it, or {write}.") from error
    made = getattr(env, "num_envs", num_envs)  # what has none is refused where every vector is
    if made != num_envs:
        env.close()
        raise JourneymanError(f"{asked} and made {made}; {write}.")
    return env


def _make_vector(id: str, num_envs: int, mode: str, options: dict[str, Any]) -> Any:
    gymnasium = require("gymnasium", extra="gymnasium")
    if mode not in ("sync", "async"):
        raise JourneymanError(f"'vectorization' is '{mode}', but it can be 'sync' or 'async' only; choose one of them.")
    plain, own = id.split(":", 1)[-1], {"disable_env_checker": True, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if mode == "sync":
                return gymnasium.make_vec(plain, num_envs=num_envs, vectorization_mode=mode, **own)
            with begun_apart(gymnasium.registry[plain].entry_point) as method:
                vector = {"context": method}
                return gymnasium.make_vec(
                    plain, num_envs=num_envs, vectorization_mode=mode, vector_kwargs=vector, **own
                )
        except Exception as error:  # whatever an environment of the user's own may raise
            raise JourneymanError(cannot_make(id, options, error)) from error


def _resets_by_hand(simulator: Any, what: str) -> bool:
    """Whether `simulator` leaves resets to the caller; refuses what cannot be turned into our streams."""
    mode = (getattr(simulator, "metadata", None) or {}).get("autoreset_mode")
    label = str(getattr(mode, "name", mode)).upper()
    if label in ("NEXT_STEP", "DISABLED"):
        return label == "DISABLED"
    if label in ("SAME_STEP",):
        raise JourneymanError(
            f"{what} resets in the same step (SAME_STEP), so the last observation of an episode and the first of the"
            " next collide in one place; make it with autoreset_mode=AutoresetMode.NEXT_STEP."
        )
    raise JourneymanError(
        f'{what} does not declare how it resets: metadata["autoreset_mode"] is {mode!r}, and guessing would corrupt'
        " every episode's end; set it to AutoresetMode.NEXT_STEP or AutoresetMode.DISABLED, whichever is true."
    )
