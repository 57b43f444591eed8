"""What an observation or an action may be: a box of reals, one of finitely many integers, or the step number."""

import abc

import numpy as np

from journeyman.parts import AbstractPart, JourneymanError


class AbstractSpace(AbstractPart):
    """The set an observation or action lives in."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one element."""


class Box(AbstractSpace):
    """Real arrays of one `shape` between `low` and `high` (arrays of that shape, infinite where unbounded)."""

    low: np.ndarray
    high: np.ndarray

    def __check_init__(self) -> None:
        if self.low.shape != self.high.shape:
            raise JourneymanError(f"A box needs bounds of one shape, not {self.low.shape} and {self.high.shape}.")

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

    @classmethod
    def unbounded(cls, *shape: int) -> "Box":
        """All of ℝ^shape."""
        return cls(low=np.full(shape, -np.inf, np.float32), high=np.full(shape, np.inf, np.float32))

    @classmethod
    def symmetric(cls, bound: float, *shape: int) -> "Box":
        """The cube [−bound, bound]^shape."""
        return cls(low=np.full(shape, -bound, np.float32), high=np.full(shape, bound, np.float32))


class Discrete(AbstractSpace):
    """The integers 0 … n−1."""

    n: int

    @property
    def shape(self) -> tuple[int, ...]:
        """A scalar."""
        return ()


class Time(AbstractSpace):
    """The number of steps taken in this episode: 0 … `horizon`, the last one seen only when the episode has ended."""

    horizon: int

    @property
    def shape(self) -> tuple[int, ...]:
        """A scalar."""
        return ()
