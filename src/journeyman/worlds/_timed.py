"""Worlds whose time limit is part of the task: the step number is seen, and after the last step nothing follows."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.parts import JourneymanError, mistaken, refuse, require
from journeyman.worlds._base import (
    AbstractHostWorld,
    AbstractPureWorld,
    AbstractTraced,
    AbstractWorld,
    HostStep,
    Outcome,
    direct,
)
from journeyman.worlds._spaces import AbstractSpace, Time

_CITATION = """@inproceedings{pardo2018time,
  title={Time Limits in Reinforcement Learning},
  author={Pardo, Fabio and Tavakoli, Arash and Levdik, Vitaly and Kormushev, Petar},
  booktitle={International Conference on Machine Learning}, pages={4045--4054}, year={2018}}"""


def timed(world: AbstractWorld, *, shown: bool = True) -> "Timed | TimedHost":
    """`world` as the finite-horizon problem: J = E Σ_{t<H} γᵗ r_t, its `horizon` H belonging to the task.

    Two things change. The end at step H becomes a termination (nothing follows, so nothing is bootstrapped there; an
    earlier truncation stays one). And the observation becomes `{"observation": the world's own, "time": t}`, t the
    number of steps taken in this episode, so that the policy and every baseline may depend on it. With
    `shown` = False only the first: the same objective for a policy that cannot know the time. Left as it is, a world
    truncates at H: the objective without end, cut for convenience (Pardo et al. 2018, sections 3 and 4).

    Raises `JourneymanError` for a world without a horizon, and for one that is timed already.
    """
    refuse(mistaken("`shown`", shown, bool, "pass True or False"))
    if isinstance(world, (Timed, TimedHost)):
        raise JourneymanError(f"'{world.called}' is timed already; leave out the second `timed`.")
    if isinstance(world, AbstractPureWorld):
        return Timed(world, shown)  # type: ignore[call-arg]
    assert isinstance(world, AbstractHostWorld)
    time, ended, inner = np.zeros(world.num_envs, np.int32), np.zeros(world.num_envs, bool), world.traced()
    horizon = _require_horizon(world)
    program = None if inner is None else _Traced(inner, time, ended, horizon, shown)
    return TimedHost(world, time, ended, shown, program)  # type: ignore[call-arg]


class _AbstractTimed(AbstractWorld):
    """What both kinds take from the world inside."""

    citation: ClassVar[str] = _CITATION

    inner: eqx.AbstractVar[Any]
    shown: eqx.AbstractVar[bool]

    name = property(  # type: ignore[assignment]
        lambda self: f"timed:{self.inner.name}" if self.inner.name else "", doc="`timed:` and the inner world's name."
    )
    num_envs = property(lambda self: self.inner.num_envs, doc="The inner world's.")  # type: ignore[assignment]
    seed = property(lambda self: self.inner.seed, doc="The inner world's.")  # type: ignore[assignment]
    horizon = property(lambda self: self.inner.horizon, doc="The inner world's.")  # type: ignore[assignment]
    action_space = property(lambda self: self.inner.action_space, doc="The inner world's.")  # type: ignore[assignment]
    observation_space = property(  # type: ignore[assignment]
        lambda self: _space(self.inner, self.shown), doc="The inner world's, and the time beside it where it is shown."
    )

    def provides(self) -> frozenset[str]:
        """What the inner world gives, but for a settable state: a recorded state does not say when it was."""
        return self.inner.provides() - {"settable state"}

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        config = self.inner.config()
        options = config["options"] if self.shown else {**config["options"], "shown": False}
        return {**config, "name": self.name, "options": options}

    def single(self, render_mode: str | None = None) -> Any:
        """The inner world's environment, with the time where it is shown."""
        return _single(self.inner, self.shown, render_mode)


class TimedState(NamedTuple):
    """The inner world's state and the number of steps taken."""

    inner: PyTree
    time: Array


class Timed(_AbstractTimed, AbstractPureWorld):
    """A pure world whose horizon belongs to the task; see `timed`."""

    inner: AbstractPureWorld
    shown: bool = True

    def __check_init__(self) -> None:
        _require_horizon(self.inner)

    def reset(self, key: Array) -> TimedState:
        """A start state at time 0."""
        return TimedState(self.inner.reset(key), jnp.zeros((), jnp.int32))

    def step(self, state: TimedState, action: Array, key: Array) -> tuple[TimedState, Outcome]:
        """One step; the last one terminates."""
        inner, outcome = self.inner.step(state.inner, action, key)
        time = state.time + 1
        assert self.inner.horizon is not None
        last = outcome.truncated & (time >= self.inner.horizon)
        after = Outcome(outcome.reward, outcome.terminated | last, outcome.truncated & ~last)
        return TimedState(inner, time), after

    def observe(self, state: TimedState) -> PyTree:
        """What the inner world shows, and the time."""
        seen = self.inner.observe(state.inner)
        return {"observation": seen, "time": state.time} if self.shown else seen

    def noiseless(self) -> "Timed":
        """The inner world's, timed."""
        return Timed(self.inner.noiseless(), self.shown)  # type: ignore[call-arg]

    def remake(self, *, seed: int, num_envs: int | None = None) -> "Timed":
        """The inner world remade."""
        return Timed(self.inner.remake(seed=seed, num_envs=num_envs), self.shown)  # type: ignore[call-arg]


class TimedHost(_AbstractTimed, AbstractHostWorld):
    """A host world whose horizon belongs to the task; see `timed`."""

    inner: AbstractHostWorld
    time: np.ndarray
    ended: np.ndarray
    shown: bool = True
    program: "_Traced | None" = None

    def reset(self) -> PyTree:
        """The first observations, at time 0."""
        self.time[...], self.ended[...] = 0, False
        return self._seen(self.inner.reset())

    @direct
    def step(self, action: np.ndarray, meanwhile: Callable[[], None] | None = None) -> HostStep:
        """One step of every environment; the last one of an episode terminates."""
        answer = self.inner.step(action, meanwhile)
        self.time[...] = np.where(self.ended, 0, self.time + 1)
        last = answer.truncated & (self.time >= self.horizon)
        terminated, truncated = answer.terminated | last, answer.truncated & ~last
        np.logical_or(terminated, truncated, out=self.ended)
        return answer._replace(observation=self._seen(answer.observation), terminated=terminated, truncated=truncated)

    def restart(self, which: np.ndarray) -> PyTree | None:
        """The inner world's, at time 0."""
        observation = self.inner.restart(which)
        if observation is None:
            return None
        self.time[which], self.ended[which] = 0, False
        return {"observation": observation, "time": self.time[which]} if self.shown else observation

    def _seen(self, observation: PyTree) -> PyTree:
        return {"observation": observation, "time": self.time.copy()} if self.shown else observation

    def traced(self) -> "_Traced | None":
        """The inner world's, timed."""
        return self.program

    def successes(self) -> list[list[bool]] | None:
        """The inner world's."""
        return self.inner.successes()

    def close(self) -> None:
        """Let the simulators go."""
        if self.program is not None:
            self.program.close()
        self.inner.close()

    def remake(self, *, seed: int, num_envs: int | None = None) -> "TimedHost":
        """The inner world remade."""
        made = timed(self.inner.remake(seed=seed, num_envs=num_envs), shown=self.shown)
        assert isinstance(made, TimedHost)
        return made


class _Traced(AbstractTraced):
    """`TimedHost.step` in a compiled program."""

    def __init__(self, inner: AbstractTraced, time: np.ndarray, ended: np.ndarray, horizon: int, shown: bool) -> None:
        super().__init__()
        self._inner, self._time, self._ended, self._horizon, self._shown = inner, time, ended, horizon, shown

    def state(self) -> PyTree:
        """The inner world's, and the clocks."""
        return self._inner.state(), self._time, self._ended

    def step(self, state: PyTree, action: Array) -> tuple[PyTree, HostStep, PyTree]:
        """One step of every environment; the last one of an episode terminates."""
        inner, time, ended = state
        inner, answer, said = self._inner.step(inner, action)
        time = jnp.where(ended, 0, time + 1).astype(time.dtype)
        last = answer.truncated & (time >= self._horizon)
        terminated, truncated = answer.terminated | last, answer.truncated & ~last
        seen = {"observation": answer.observation, "time": time} if self._shown else answer.observation
        return (inner, time, terminated | truncated), HostStep(seen, answer.reward, terminated, truncated), said

    def finish(self, state: PyTree, action: np.ndarray, said: PyTree) -> None:
        """The inner world's, and the clocks."""
        inner, self._time[...], self._ended[...] = state
        self._inner.finish(inner, action, said)


def _require_horizon(inner: AbstractWorld) -> int:
    if inner.horizon is None:
        raise JourneymanError(
            f"'{inner.name or type(inner).__name__}' has no horizon, so there is no last step that a policy could"
            " prepare for; give it one (horizon=100, max_episode_steps=1000), or leave out `timed`."
        )
    return inner.horizon


def _space(inner: AbstractWorld, shown: bool) -> AbstractSpace | dict[str, Any]:
    assert inner.horizon is not None
    return {"observation": inner.observation_space, "time": Time(inner.horizon)} if shown else inner.observation_space


def _single(inner: AbstractWorld, shown: bool, render_mode: str | None) -> Any:
    env = inner.single(render_mode)
    if not shown:
        return env
    gymnasium = require("gymnasium", extra="gymnasium")

    class WithTime(gymnasium.Wrapper):
        """Counts the steps, and shows them as the world does."""

        steps = 0

        def reset(self, **given: Any) -> tuple[Any, dict]:
            observation, info = self.env.reset(**given)
            self.steps = 0
            return {"observation": observation, "time": 0}, info

        def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
            observation, *rest = self.env.step(action)
            self.steps += 1
            return ({"observation": observation, "time": self.steps}, *rest)

    return WithTime(env)
