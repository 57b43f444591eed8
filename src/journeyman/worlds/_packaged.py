"""What the adaptors of other packages' pure worlds share: true resets, and our own count of the steps."""

import abc
import contextlib
import dataclasses
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.parts import JourneymanError, did_you_mean, require
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._spaces import AbstractSpace, Box, Discrete


class Timed(NamedTuple):
    """The package's own state, and the number of steps taken since its reset."""

    simulator: PyTree
    time: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Packaged:
    """An environment, its options, what it shows and takes; compared by identity: a constant of compiled programs."""

    environment: Any
    options: dict[str, Any]
    observation_space: Any
    action_space: AbstractSpace


class AbstractPackagedWorld(AbstractPureWorld):
    """A pure world whose program is another package's environment, without the wrappers it is usually trained in.

    `reset` is the environment's own with a fresh key, at every episode: no first state is kept and used again.
    Termination is the environment's; truncation is `horizon` steps counted here, on steps that do not terminate.
    """

    id: eqx.AbstractVar[str]
    packaged: eqx.AbstractVar[Packaged]

    @abc.abstractmethod
    def begin(self, key: Array) -> PyTree:
        """The environment's start state."""

    @abc.abstractmethod
    def move(self, simulator: PyTree, action: Array, key: Array) -> tuple[PyTree, Any, Any]:
        """The environment's successor state, reward and termination, as arrays or numbers."""

    @abc.abstractmethod
    def see(self, simulator: PyTree) -> PyTree:
        """The environment's observation, as it comes."""

    @property
    def observation_space(self) -> Any:  # type: ignore[override]
        """What the environment shows: float32 boxes, int32 for finitely many."""
        return self.packaged.observation_space

    @property
    def action_space(self) -> AbstractSpace:  # type: ignore[override]
        """What the environment takes."""
        return self.packaged.action_space

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": dict(self.packaged.options)}

    def reset(self, key: Array) -> Timed:
        """The environment's reset with this key."""
        with undisturbed():
            return Timed(jax.tree.map(jnp.asarray, self.begin(key)), jnp.zeros((), jnp.int32))

    def step(self, state: Timed, action: Array, key: Array) -> tuple[Timed, Outcome]:
        """The environment's step; its time limit is left to the count."""
        with undisturbed():
            simulator, reward, ended = self.move(state.simulator, action, key)
            reward, ended = jnp.asarray(reward, jnp.float32), jnp.asarray(ended).astype(bool)
        time = state.time + 1
        cut = jnp.zeros((), bool) if self.horizon is None else ~ended & (time >= self.horizon)
        return Timed(jax.tree.map(jnp.asarray, simulator), time), Outcome(reward, ended, cut)

    def observe(self, state: Timed) -> PyTree:
        """The environment's observation as float32, or int32 where it is one of finitely many."""
        with undisturbed():
            seen = self.see(state.simulator)

        def read(space: AbstractSpace, leaf: Array) -> Array:
            return jnp.asarray(leaf, jnp.int32 if isinstance(space, Discrete) else jnp.float32)

        return jax.tree.map(read, self.observation_space, seen, is_leaf=lambda item: isinstance(item, AbstractSpace))


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """A package's code as its authors run it: with JAX's standard promotion, whatever the caller has set, and quiet."""
    with warnings.catch_warnings(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        warnings.simplefilter("ignore")
        yield


def imported(module: str, extra: str) -> Any:
    """A package or the sentence that installs it; what it prints meanwhile goes to standard error: MJX misses Warp."""
    with undisturbed(), contextlib.redirect_stdout(sys.stderr):
        return require(module, extra=extra)


def require_id(package: str, id: str, known: list[str]) -> None:
    """Refuse an id that the package does not have."""
    if id not in known:
        raise JourneymanError(
            f"{package} has no world '{id}'.{did_you_mean(id, known)} `journeyman worlds` lists what there is."
        )


def made(package: str, id: str, options: dict[str, Any], build: Callable[[], Any]) -> Any:
    """What `build` gives, without its notices; what it raises becomes one sentence."""
    try:
        with undisturbed():
            return build()
    except JourneymanError:
        raise
    except Exception as error:  # a package raises whatever a wrong option or a missing file makes it raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise JourneymanError(
            f"{package} cannot make '{id}' with options {options}: {first.rstrip('.')}. Mend the options or what it"
            " misses, or choose another world."
        ) from error


def length(id: str, name: str, value: Any) -> int:
    """A time limit of at least one step."""
    if value < 1:
        raise JourneymanError(f"The option '{name}' of '{id}' is {value}, and an episode needs at least one step.")
    return int(value)


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of `function` that have a default, with it."""
    found = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in found if one.default is not inspect.Parameter.empty}


def unbounded_like(seen: PyTree) -> Any:
    """A box without bounds, or a dict of them, of the shapes in `seen`."""
    return jax.tree.map(lambda leaf: Box(*(np.full(leaf.shape, b, np.float32) for b in (-np.inf, np.inf))), seen)
