"""What can be acted in. Two kinds: pure (a JAX program) and host (a simulator stepped in batches)."""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.parts import AbstractPart, JourneymanError, describe, fingerprint, not_whole, refuse
from journeyman.worlds._seeds import seed_problems
from journeyman.worlds._spaces import AbstractSpace


class _Direct:
    """Binds to the instance and no more; Equinox makes each binding a pytree, which costs 40 µs a step."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.function if instance is None else functools.partial(self.function, instance)


def direct(method: Callable[..., Any]) -> Any:
    """Mark a host world's `step` as a plain method: a bound simulator has no use as a pytree."""
    return _Direct(method)


class Outcome(NamedTuple):
    """What one step gave, apart from the new observation."""

    reward: Array
    terminated: Array
    truncated: Array


class HostStep(NamedTuple):
    """What a batch of simulators answered; every leaf leads with `(num_envs,)`."""

    observation: PyTree
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class AbstractTraced(abc.ABC):
    """A host world's `step` as part of a compiled program: what costs Python some time at every step is gone.

    It lives as long as the simulators do, whose place in memory is written into every program that calls them.
    """

    def __init__(self) -> None:
        self._programs: dict[Callable[..., Any], Callable[..., Any]] = {}

    def compiled(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """`function(self, ...)` under `jax.jit` with `options`, the same one for every call."""
        if function not in self._programs:
            self._programs[function] = jax.jit(functools.partial(function, self), **options)
        return self._programs[function]

    def close(self) -> None:
        """Forget the programs, and with them the last hold on the simulators."""
        self._programs.clear()

    @abc.abstractmethod
    def state(self) -> PyTree:
        """What the world remembers from step to step beside its simulators; handed from one step to the next."""

    @abc.abstractmethod
    def step(self, state: PyTree, action: Array) -> tuple[PyTree, HostStep, PyTree]:
        """`AbstractHostWorld.step` with traced arrays: `(state, answer, said)`."""

    @abc.abstractmethod
    def finish(self, state: PyTree, action: np.ndarray, said: PyTree) -> None:
        """Take back the last state, all actions and all that was `said`, time first: the world goes on from there.

        Raises `JourneymanError` for actions that `AbstractHostWorld.step` would have refused.
        """


class AbstractWorld(AbstractPart):
    """Something to act in. `num_envs` copies run side by side; `seed` decides everything random in them.

    `name` is what `journeyman.world(name)` takes to build it again (empty where that is impossible);
    `horizon` is the time limit in steps, `None` where there is none. Actions are clipped to the action box by
    the world; the log-probability always belongs to the unclipped action. It gives "world" and "rewards"; a subclass
    that gives more says all of it.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards"})

    name: eqx.AbstractVar[str]
    num_envs: eqx.AbstractVar[int]
    seed: eqx.AbstractVar[int]
    horizon: eqx.AbstractVar[int | None]
    observation_space: eqx.AbstractVar[Any]
    action_space: eqx.AbstractVar[AbstractSpace]

    def __check_init__(self) -> None:
        limited = self.horizon is not None and not_whole("'horizon'", self.horizon, least=1)
        what = f"'horizon' is {self.horizon!r:.60}; give at least one step, in whole ones, or None for no time limit."
        refuse([what] * bool(limited) + seed_problems(self.seed, self.num_envs))

    @property
    def called(self) -> str:
        """What a sentence calls it: `name`, or its class where it has none."""
        return self.name or type(self).__name__

    @abc.abstractmethod
    def remake(self, *, seed: int, num_envs: int | None = None) -> "AbstractWorld":
        """The same world afresh, from another seed: a function of its arguments alone."""

    def config(self) -> dict[str, Any]:
        """`name`, `num_envs`, `seed` and `options`, as `journeyman.world` takes them and JSON keeps them.

        The options of a world that it cannot make are its class and its fields, so that no run goes on in another.
        """
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        told = {name: _told(getattr(self, name)) for name in names if name not in ("name", "num_envs", "seed")}
        options = {"class": type(self).__name__, **{name: one for name, one in told.items() if one is not None}}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    def single(self, render_mode: str | None = None) -> Any:
        """One fresh `gymnasium.Env` with this world's physics, for pictures and replays.

        Raises `JourneymanError` where there is none.
        """
        del render_mode
        raise JourneymanError(
            f"'{self.called}' has no Gymnasium environment of its own, so it can neither be"
            " pictured nor put into a recorded state; use a world that gives 'frames' or 'settable state'."
        )


class AbstractPureWorld(AbstractWorld):
    """A world that is a JAX program for one environment; `vmap` makes many."""

    @abc.abstractmethod
    def reset(self, key: Array) -> PyTree:
        """A fresh start state: every call with a fresh key is a true reset."""

    @abc.abstractmethod
    def step(self, state: PyTree, action: Array, key: Array) -> tuple[PyTree, Outcome]:
        """The successor state and what the step gave."""

    @abc.abstractmethod
    def observe(self, state: PyTree) -> PyTree:
        """What the policy sees of `state`."""

    def state_of(self, observation: PyTree) -> PyTree:
        """The state that one `observation` determines, its clock at 0: where a planner starts from.

        Worlds whose observation holds everything but the clock override this and give "settable state". Raises
        `JourneymanError` in all others.
        """
        del observation
        raise JourneymanError(
            f"An observation of '{self.called}' does not say which state the world is in, so"
            " nobody can plan from it; choose a world that gives 'settable state', or write its `state_of`."
        )

    def noiseless(self) -> "AbstractPureWorld":
        """The same world with every random move at its mean: what a planner that differentiates plans in.

        Worlds that give "differentiable dynamics" override this. Raises `JourneymanError` in all others.
        """
        raise JourneymanError(
            f"'{self.called}' does not say what it is without its noise, so it cannot be planned"
            " in by derivatives; choose a world that gives 'differentiable dynamics', or write its `noiseless`."
        )

    def remake(self, *, seed: int, num_envs: int | None = None) -> "AbstractPureWorld":
        """The same dynamics with another seed and width."""
        width = self.num_envs if num_envs is None else num_envs
        refuse(seed_problems(seed, width))
        return eqx.tree_at(lambda w: (w.seed, w.num_envs), self, (seed, width))


class AbstractHostWorld(AbstractWorld):
    """A batch of simulators on the host, with next-step autoreset.

    After a step that ends an episode in one environment, the next `step` ignores that environment's action,
    gives reward 0 and no flags, and answers with the first observation of the next episode.
    """

    @abc.abstractmethod
    def reset(self) -> PyTree:
        """The first observations, `(num_envs, ...)` float32 (integers stay integers). Call it once."""

    @abc.abstractmethod
    def step(self, action: np.ndarray, meanwhile: Callable[[], None] | None = None) -> HostStep:
        """Act in every environment at once; `action` is clipped to the box here.

        `meanwhile` is called once, before this returns: while the simulators run, where they have threads of their own.
        """

    def restart(self, which: np.ndarray) -> PyTree | None:
        """Begin a new episode in the environments that `which` `(num_envs,)` marks; the one under way is dropped.

        Answers their first observations, `(which.sum(), ...)`; `None`, and nothing is done, where environments cannot
        begin one by one.
        """
        del which
        return None

    def traced(self) -> AbstractTraced | None:
        """`step` for use inside a compiled program, the same object at every call; `None` where Python has to step."""
        return None

    def successes(self) -> list[list[bool]] | None:
        """Whether each episode that has ended since `reset` succeeded, environment by environment, the oldest first.

        An episode succeeded when its simulator said so at one of its steps; `None` where it never says.
        """
        return None

    @abc.abstractmethod
    def close(self) -> None:
        """Let the simulators go."""


def _told(value: Any) -> Any:
    """A world's field as JSON, arrays by their fingerprint; `None` for what has no form on disk, as a simulator."""
    try:
        tree, arrays = describe(value)
    except JourneymanError:
        return None
    return fingerprint(value) if arrays else tree


def zeros_like_space(space: Any, *lead: int) -> PyTree:
    """An observation or action of zeros with leading axes `lead`, for shapes and first compilations."""

    def one(item: AbstractSpace) -> np.ndarray:
        return np.zeros((*lead, *item.shape), item.dtype)

    return jax.tree.map(one, space, is_leaf=lambda item: isinstance(item, AbstractSpace))
