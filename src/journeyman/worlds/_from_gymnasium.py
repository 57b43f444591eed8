"""Gymnasium's spaces and arrays as ours: EnvPool speaks the same language, so both adaptors read it here."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import PyTree

from journeyman.parts import JourneymanError
from journeyman.worlds._spaces import AbstractSpace, Box, Discrete, Time


def space_from_gymnasium(space: Any, what: str) -> Any:
    """A `gymnasium.Space` as a `Box`, a `Discrete` or a (nested) dict of them; integer boxes become float32.

    Raises `JourneymanError` naming any other space; `what` says whose it is.
    """
    kind = type(space).__name__
    if kind == "Dict":
        return {key: space_from_gymnasium(inner, f"{what}['{key}']") for key, inner in space.spaces.items()}
    if kind == "Box":
        return Box(low=_bound(space.low), high=_bound(space.high))
    if kind == "Discrete" and int(space.start) == 0:
        return Discrete(int(space.n))
    raise JourneymanError(
        f"The {what} is {space}, and only Box, Discrete from 0 and Dict of them are supported; wrap the environment"
        " so that it shows one of these (gymnasium.wrappers.FlattenObservation and its kin)."
    )


def _bound(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32)


def observation_reader(space: Any, *, copy: bool) -> Callable[[Any], PyTree]:
    """A function from the simulator's observations to ours: float32, or int32 where `space` is `Discrete` or `Time`.

    `copy` is for simulators that write into the arrays they have handed out.
    """
    if isinstance(space, AbstractSpace):
        dtype = np.int32 if isinstance(space, (Discrete, Time)) else np.float32
        return lambda leaf: np.asarray(leaf).astype(dtype, copy=copy)
    readers = {key: observation_reader(inner, copy=copy) for key, inner in space.items()}
    return lambda tree: {key: read(tree[key]) for key, read in readers.items()}


class ActionBuffer:
    """Turns actions into what a batch of simulators takes, in one array that is used again every step.

    A box action is clipped to its bounds; an integer outside the finite set is refused, for simulators trust it.
    """

    def __init__(self, space: Any, num_envs: int, dtype: Any):
        if not isinstance(space, AbstractSpace):
            raise JourneymanError(f"The action space is {space}, and only a Box or a Discrete can be acted on.")
        self._space = space
        self._array = np.zeros((num_envs, *space.shape), dtype)
        if isinstance(space, Box):
            self._low = np.broadcast_to(space.low, self._array.shape).astype(dtype)
            self._high = np.broadcast_to(space.high, self._array.shape).astype(dtype)

    def __call__(self, action: Any) -> np.ndarray:
        """`(num_envs, ...)` in the simulator's dtype. Raises `JourneymanError` for a wrong shape or integer."""
        action = np.asarray(action)
        if action.shape != self._array.shape:
            raise JourneymanError(
                f"The actions have shape {action.shape}, but the world takes {self._array.shape}: one for each"
                " environment; check the policy's action dimension."
            )
        if isinstance(self._space, Discrete):
            if action.size and (action.min() < 0 or action.max() >= self._space.n):
                raise JourneymanError(
                    f"Actions reach from {action.min()} to {action.max()}, but the world has 0 … {self._space.n - 1};"
                    " check the policy's number of actions."
                )
            self._array[...] = action
            return self._array
        np.maximum(action, self._low, out=self._array)
        return np.minimum(self._array, self._high, out=self._array)
