"""From what a world shows to what a network reads: one vector, its angles unrolled, its scales removed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from journeyman.parts import AbstractPart
from journeyman.worlds import AbstractSpace, Discrete, Time


class AbstractStatistics(AbstractPart):
    """Numbers that belong to a policy but are measured, never trained: `partition` keeps them apart."""


class Encoder(AbstractPart):
    """Any observation as one float vector: leaves in tree order, raveled and joined.

    `shapes` are the leaves' shapes; `classes` is n for a leaf that is an integer below n (it becomes one-hot), 0 for
    reals, and −H for the step number t of a world whose horizon is H (it becomes the one feature t/H). `angles` are
    columns of the joined vector, in radians, that wrap: each becomes its cosine, and its sine is appended, so that 0
    and 2π are one place.
    """

    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    classes: tuple[int, ...] = eqx.field(static=True)
    angles: tuple[int, ...] = eqx.field(static=True, default=())

    @classmethod
    def of(cls, space: Any, angles: tuple[int, ...] = ()) -> "Encoder":
        """The encoder of a (nested) observation space."""
        leaves = jax.tree.leaves(space, is_leaf=lambda item: isinstance(item, AbstractSpace))
        classes = tuple(_classes(leaf) for leaf in leaves)
        return cls(tuple(tuple(leaf.shape) for leaf in leaves), classes, tuple(angles))

    @property
    def size(self) -> int:
        """How many features come out."""
        return sum(self._widths) + len(self.angles)

    @property
    def horizon(self) -> int | None:
        """How many steps there are to know apart; `None` where the observation does not tell the time."""
        return max((-n for n in self.classes if n < 0), default=None)

    @property
    def time_column(self) -> int | None:
        """Which feature the time is; `None` where the observation does not tell it."""
        return None if self.horizon is None else sum(self._widths[: self._time_leaf])

    def time(self, observation: PyTree) -> Array | None:
        """The step number inside the episode, `(*batch,)` integers; `None` where the observation does not tell it."""
        return None if self.horizon is None else jnp.asarray(jax.tree.leaves(observation)[self._time_leaf])

    @property
    def _time_leaf(self) -> int:
        return next(place for place, n in enumerate(self.classes) if n < 0)

    @property
    def _widths(self) -> list[int]:
        return [max(n, 0) or int(np.prod(s)) for s, n in zip(self.shapes, self.classes, strict=True)]

    def __call__(self, observation: PyTree) -> Float[Array, "*batch features"]:
        """`(*batch, features)` float32 from leaves of shape `(*batch, *shape)`."""
        columns = []
        for leaf, shape, classes in zip(jax.tree.leaves(observation), self.shapes, self.classes, strict=True):
            leaf = jnp.asarray(leaf)
            if classes < 0:
                columns.append(leaf[..., None].astype(jnp.result_type(float)) / -classes)
            elif classes:
                columns.append(jax.nn.one_hot(leaf, classes, dtype=jnp.result_type(float)))
            else:
                lead = leaf.shape[: leaf.ndim - len(shape)]
                columns.append(leaf.reshape(*lead, int(np.prod(shape))).astype(jnp.result_type(float)))
        joined = columns[0] if len(columns) == 1 else jnp.concatenate(columns, axis=-1)
        if not self.angles:
            return joined
        chosen = np.asarray(self.angles)
        turning = joined[..., chosen]
        return jnp.concatenate([joined.at[..., chosen].set(jnp.cos(turning)), jnp.sin(turning)], axis=-1)


def _classes(leaf: AbstractSpace) -> int:
    if isinstance(leaf, Time):
        return -leaf.horizon
    return leaf.n if isinstance(leaf, Discrete) else 0


class Normalizer(AbstractStatistics):
    """x ↦ (x − mean) / deviation per feature, with the number of observations behind the statistics.

    The statistics are leaves of the policy: saved, loaded and frozen with it. A column that never moved
    (deviation below 1e-6, relative to a large mean) is divided by 1.
    """

    mean: Float[Array, " features"]
    deviation: Float[Array, " features"]
    count: Float[Array, ""]

    @classmethod
    def fresh(cls, size: int) -> "Normalizer":
        """The identity, with nothing seen."""
        return cls(jnp.zeros(size), jnp.ones(size), jnp.zeros(()))

    def __call__(self, features: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        """The same features with mean 0 and deviation 1 over the data seen."""
        mean, scale = jax.lax.stop_gradient((self.mean, self.scale))
        return (features - jnp.broadcast_to(mean, features.shape)) / jnp.broadcast_to(scale, features.shape)

    @property
    def scale(self) -> Float[Array, " features"]:
        """What features are divided by: the deviation, or 1 where it vanishes (to the rounding of the mean)."""
        least = 1e-6 * (1 + 4 * jnp.abs(self.mean))
        return jnp.where(self.deviation < least, jnp.ones_like(self.deviation), self.deviation)

    def merge(self, features: Float[Array, "samples features"], valid: Array) -> "Normalizer":
        """The statistics of everything seen so far and these samples (Chan, Golub and LeVeque 1979)."""
        mask = valid.astype(features.dtype)[:, None]
        n = mask.sum()
        total = self.count + n
        # Sums are taken about the old mean: float32 loses nothing to a large offset.
        centred = jnp.where(mask > 0, features - self.mean[None, :], 0.0)
        shift = centred.sum(0) / jnp.maximum(n, 1)
        spread = (jnp.square(centred - shift[None, :] * mask)).sum(0)
        mean = self.mean + shift * n / jnp.maximum(total, 1)
        square = (
            jnp.square(self.deviation) * self.count
            + spread
            + jnp.square(shift) * self.count * n / jnp.maximum(total, 1)
        )
        # Before anything is seen the deviation stays as it is; a vanishing one is kept as the truth (see `scale`).
        deviation = jnp.where(total > 0, jnp.sqrt(square / jnp.maximum(total, 1)), self.deviation)
        return Normalizer(mean, deviation, total)
