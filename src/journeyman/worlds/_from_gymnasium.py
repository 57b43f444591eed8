"""Gymnasium's spaces and arrays as ours: EnvPool speaks the same language, so both adaptors read it here."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.parts import JourneymanError
from journeyman.worlds._spaces import AbstractFinite, AbstractSpace, Box, Discrete, MultiBinary, MultiDiscrete, outside


def space_from_gymnasium(space: Any, what: str) -> Any:
    """A `gymnasium.Space` as one of our spaces or a (nested) dict of them; integer boxes become float32.

    Raises `JourneymanError` naming any other space; `what` says whose it is.
    """
    kind = type(space).__name__
    if kind == "Dict":
        return {key: space_from_gymnasium(inner, f"{what}['{key}']") for key, inner in space.spaces.items()}
    if kind == "Box":
        return Box(low=single_precision(space.low), high=single_precision(space.high))
    if kind == "Discrete" and int(space.start) == 0:
        return Discrete(int(space.n))
    if kind == "MultiDiscrete" and space.nvec.ndim == 1 and not space.start.any():
        return MultiDiscrete(tuple(int(n) for n in space.nvec))
    if kind == "MultiBinary" and len(space.shape) == 1:
        return MultiBinary(int(space.shape[0]))
    raise JourneymanError(
        f"The {what} is {space}, and only Box, Discrete from 0, flat MultiDiscrete from 0, flat MultiBinary and Dict of"
        " them are supported; wrap the environment so that it shows one of these"
        " (gymnasium.wrappers.FlattenObservation and its kin)."
    )


def action_space_from_gymnasium(space: Any, what: str) -> Any:
    """`space_from_gymnasium` of what can be acted on: a vector of real numbers, or a finite set.

    Raises `JourneymanError` naming any other space; `what` says whose it is.
    """
    ours = space_from_gymnasium(space, what)
    if not isinstance(ours, AbstractSpace):
        raise JourneymanError(
            f"The {what} is {space}, and only a Box or a finite set can be acted on; wrap the environment so that it"
            " takes one (gymnasium.wrappers.TransformAction)."
        )
    if isinstance(ours, Box) and (len(ours.shape) != 1 or not np.issubdtype(space.dtype, np.floating)):
        raise JourneymanError(
            f"The {what} is a box of shape {ours.shape} and type {space.dtype}, and an action here is one vector of"
            " real numbers; wrap the environment so that it takes one (gymnasium.wrappers.TransformAction reshapes and"
            " rounds)."
        )
    return ours


@np.errstate(over="ignore")
def single_precision(values: Any) -> np.ndarray:
    """`values` in float32; what is too large for it is infinite."""
    return np.asarray(values).astype(np.float32)


def observation_reader(space: Any, what: str, *, copy: bool, xp: Any = np) -> Callable[[Any], PyTree]:
    """A function from the observations of the simulator `what` to ours, each leaf in the type of its space.

    `copy` is for simulators that write into the arrays they have handed out; `xp` is `numpy`, or `jax.numpy` inside a
    compiled program. With NumPy the function raises `JourneymanError` for an integer outside of a finite set, which a
    network would read as no value at all.
    """
    if not isinstance(space, AbstractSpace):
        readers = {key: observation_reader(inner, f"{what}['{key}']", copy=copy, xp=xp) for key, inner in space.items()}
        return lambda tree: {key: read(tree[key]) for key, read in readers.items()}

    finite = space if xp is np and isinstance(space, AbstractFinite) else None
    whose, cure, dtype = f"Observations of {what}", "mend what it shows, or its observation_space", space.dtype

    @np.errstate(over="ignore")  # what is too large for float32 is infinite, and told as that
    def read(leaf: Any) -> Any:
        leaf = xp.asarray(leaf)
        if finite is not None:
            _refuse_outside(leaf, finite, whose, cure)
        return leaf.astype(dtype, copy=copy)

    return read


class ActionBuffer:
    """Turns actions into what a batch of simulators takes, in one array that is used again every step.

    A box action is clipped to its bounds, which are those of `theirs`, the simulator's own space, where it is known:
    it may be of a finer precision than `space`. An integer outside the finite set is refused, for simulators trust it.
    """

    def __init__(self, space: Any, num_envs: int, dtype: Any, theirs: Any = None):
        self._space = space
        self._array = np.zeros((num_envs, *space.shape), dtype)
        if isinstance(space, AbstractFinite):
            self._counts = space.counts
        if isinstance(space, Box):
            own = space if theirs is None else theirs
            self._low = np.broadcast_to(own.low, self._array.shape).astype(dtype)
            self._high = np.broadcast_to(own.high, self._array.shape).astype(dtype)

    def __call__(self, action: Any) -> np.ndarray:
        """`(num_envs, ...)` in the simulator's dtype. Raises `JourneymanError` for a wrong shape or integer."""
        action = np.asarray(action)
        if action.shape != self._array.shape:
            raise JourneymanError(self._wrong_shape(action))
        if isinstance(self._space, AbstractFinite):
            self.check(action)
            self._array[...] = action
            return self._array
        np.maximum(action, self._low, out=self._array)
        return np.minimum(self._array, self._high, out=self._array)

    def check(self, action: np.ndarray) -> None:
        """Raises `JourneymanError` for integers outside the finite set; actions may lead with more axes."""
        if isinstance(self._space, AbstractFinite):
            _refuse_outside(action, self._space, "Actions", "check the policy's number of actions")

    def traced(self, action: Array) -> Array:
        """The same inside a compiled program, which cannot refuse an integer: it is brought into the set."""
        if action.shape != self._array.shape:
            raise JourneymanError(self._wrong_shape(action))
        finite, dtype = isinstance(self._space, AbstractFinite), self._array.dtype
        low, high = (0, (self._counts - 1).astype(dtype)) if finite else (self._low, self._high)
        return jnp.clip(jax.lax.convert_element_type(action, dtype), low, high)

    def _wrong_shape(self, action: Any) -> str:
        return (
            f"The actions have shape {action.shape}, but the world takes {self._array.shape}: one for each"
            " environment; check the policy's action dimension."
        )


def _refuse_outside(values: np.ndarray, space: AbstractFinite, whose: str, cure: str) -> None:
    """Raises `JourneymanError` where `values` hold what is not in the set: what the first such entry reaches."""
    counts = space.counts
    if not outside(values, counts).any():
        return
    values = values.reshape(-1, *space.shape)
    first = np.argwhere(outside(values, counts))[0][1:]
    entry, count = values[(slice(None), *first)], counts[tuple(first)]
    which = f"{whose}, entry {int(first[0])}," if len(first) else whose
    raise JourneymanError(
        f"{which} reach from {entry.min()} to {entry.max()}, but the world has 0 … {count - 1}; {cure}."
    )
