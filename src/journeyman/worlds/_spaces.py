"""What an observation or an action may be: a box of reals, integers from a finite set, or the step number."""

import abc
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.parts import AbstractPart, JourneymanError


class AbstractSpace(AbstractPart):
    """The set an observation or action lives in."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one element."""

    @property
    def dtype(self) -> Any:
        """In what type its elements are kept."""
        return np.float32

    @property
    def classes(self) -> int | tuple[int, ...]:
        """How a network reads an element: an integer (or each of several) one-hot, by how many values it takes; plain
        numbers (0) as they are; the step number (−H) as t/H."""
        return 0

    def clipped(self, values: Any) -> Any:
        """What a world makes of actions `(*batch, *shape)`: of a box's its nearest element, any other's as they are."""
        return values


class Box(AbstractSpace):
    """Real arrays of one `shape` between `low` and `high` (arrays of that shape, infinite where unbounded).

    The two may be one number: an entry of an observation that never moves. An action needs room between them.
    """

    low: np.ndarray
    high: np.ndarray

    def __check_init__(self) -> None:
        if self.low.shape != self.high.shape:
            raise JourneymanError(f"A box needs bounds of one shape, not {self.low.shape} and {self.high.shape}.")
        wrong = np.argwhere(~(np.asarray(self.low) <= np.asarray(self.high)))[:1]
        for place in map(tuple, wrong.tolist()):
            raise JourneymanError(
                f"A box lies between its bounds, not from {self.low[place]} up to {self.high[place]} (entry {place});"
                " the lower one comes first, and one that is not known is infinite."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one element."""
        return self.low.shape

    @property
    def size(self) -> int:
        """How many numbers one element holds."""
        return int(np.prod(self.low.shape))

    @property
    def bounded(self) -> bool:
        """Whether every bound is finite."""
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    def clipped(self, values: Any) -> Array:
        """The nearest point inside the bounds."""
        values = jnp.asarray(values)
        low, high = (jnp.broadcast_to(jnp.asarray(b, values.dtype), values.shape) for b in (self.low, self.high))
        return jnp.clip(values, low, high)

    @classmethod
    def unbounded(cls, *shape: int) -> "Box":
        """All of ℝ^shape."""
        return cls(low=np.full(shape, -np.inf, np.float32), high=np.full(shape, np.inf, np.float32))

    @classmethod
    def symmetric(cls, bound: float, *shape: int) -> "Box":
        """The cube [−bound, bound]^shape."""
        return cls(low=np.full(shape, -bound, np.float32), high=np.full(shape, bound, np.float32))


class AbstractFinite(AbstractSpace):
    """Finitely many integers: entry i is one of 0 … counts[i] − 1, whatever the others are."""

    @property
    @abc.abstractmethod
    def counts(self) -> np.ndarray:
        """How many values each entry takes, an integer array of `shape`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one element."""
        return self.counts.shape

    @property
    def dtype(self) -> Any:
        """int32."""
        return np.int32

    def outside(self, values: np.ndarray) -> np.ndarray:
        """Where `values` `(*batch, *shape)` hold what is not in the set: fractions count as outside too."""
        return outside(values, self.counts)


def outside(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`AbstractFinite.outside` for every step of a host: a method that Equinox binds costs as much as a decision."""
    wrong = (values < 0) | (values >= counts)
    return np.asarray(wrong if values.dtype.kind in "biu" else wrong | (values != np.round(values)))


class Discrete(AbstractFinite):
    """The integers 0 … n−1."""

    n: int

    @property
    def counts(self) -> np.ndarray:
        """n, as an array without axes."""
        return np.asarray(self.n)

    @property
    def classes(self) -> int:
        """n."""
        return self.n


class MultiDiscrete(AbstractFinite):
    """Several choices at once: entry i is one of 0 … sizes[i] − 1."""

    sizes: tuple[int, ...]

    def __check_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise JourneymanError(
                f"Several choices need at least one, each among one or more values, not {self.sizes}; give a size each."
            )

    @property
    def counts(self) -> np.ndarray:
        """The sizes."""
        return np.asarray(self.sizes)

    @property
    def classes(self) -> tuple[int, ...]:
        """The sizes."""
        return self.sizes


class MultiBinary(AbstractFinite):
    """n bits, each 0 or 1. A network reads them as numbers."""

    n: int

    def __check_init__(self) -> None:
        if self.n < 1:
            raise JourneymanError(f"A vector of bits needs at least one, not {self.n}; give their number.")

    @property
    def counts(self) -> np.ndarray:
        """2 for each bit."""
        return np.full(self.n, 2)


class Time(AbstractSpace):
    """The number of steps taken in this episode: 0 … `horizon`, the last one seen only when the episode has ended."""

    horizon: int

    def __check_init__(self) -> None:
        if self.horizon < 1:
            raise JourneymanError(f"A horizon is one step or more, not {self.horizon}; give the number of steps.")

    @property
    def shape(self) -> tuple[int, ...]:
        """A scalar."""
        return ()

    @property
    def dtype(self) -> Any:
        """int32."""
        return np.int32

    @property
    def classes(self) -> int:
        """−`horizon`: one number, read as a share of it."""
        return -self.horizon
