"""From what a world shows to what a network reads: one vector, its angles unrolled, its scales removed."""

from typing import Any, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from journeyman.parts import AbstractPart
from journeyman.worlds import AbstractSpace


class AbstractStatistics(AbstractPart):
    """Numbers that belong to a policy but are measured, never trained: `partition` keeps them apart."""


class Encoder(AbstractPart):
    """Any observation as one float vector: leaves in tree order, raveled and joined.

    `shapes` are the leaves' shapes; `classes` is n for a leaf that is an integer below n (it becomes one-hot), a tuple
    of such numbers for a vector of integers (each becomes one-hot), 0 for reals and bits, and −H for the step number t
    of a world whose horizon is H (it becomes the one feature t/H). `angles` are columns of the joined vector, in
    radians, that wrap: each becomes its cosine, and its sine is appended, so that 0 and 2π are one place.
    """

    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    classes: tuple[int | tuple[int, ...], ...] = eqx.field(static=True)
    angles: tuple[int, ...] = eqx.field(static=True, default=())

    @classmethod
    def of(cls, space: Any, angles: tuple[int, ...] = ()) -> "Encoder":
        """The encoder of a (nested) observation space."""
        leaves = jax.tree.leaves(space, is_leaf=lambda item: isinstance(item, AbstractSpace))
        classes = tuple(leaf.classes for leaf in leaves)
        return cls(tuple(tuple(leaf.shape) for leaf in leaves), classes, tuple(angles))

    @property
    def size(self) -> int:
        """How many features come out."""
        return sum(self._widths) + len(self.angles)

    @property
    def horizon(self) -> int | None:
        """How many steps there are to know apart; `None` where the observation does not tell the time."""
        return max((-n for n in self.classes if _is_time(n)), default=None)

    @property
    def time_column(self) -> int | None:
        """Which feature the time is; `None` where the observation does not tell it."""
        return None if self.horizon is None else sum(self._widths[: self._time_leaf])

    @property
    def timeless(self) -> list[tuple[tuple[int, ...], int | tuple[int, ...]]]:
        """Shape and classes of each leaf but the time."""
        return [(s, n) for s, n in zip(self.shapes, self.classes, strict=True) if not _is_time(n)]

    def reads_as(self, other: "Encoder") -> bool:
        """Whether both read the same leaves, angles and the horizon's length left aside."""
        kinds = [[-1 if _is_time(n) else n for n in one.classes] for one in (self, other)]
        return self.shapes == other.shapes and kinds[0] == kinds[1]

    def time(self, observation: PyTree) -> Array | None:
        """The step number inside the episode, `(*batch,)` integers; `None` where the observation does not tell it."""
        return None if self.horizon is None else jnp.asarray(jax.tree.leaves(observation)[self._time_leaf])

    @property
    def _time_leaf(self) -> int:
        return next(place for place, n in enumerate(self.classes) if _is_time(n))

    @property
    def _widths(self) -> list[int]:
        pairs = zip(self.shapes, self.classes, strict=True)
        return [1 if _is_time(n) else int(np.sum(n)) or int(np.prod(s)) for s, n in pairs]

    def __call__(self, observation: PyTree) -> Float[Array, "*batch features"]:
        """`(*batch, features)` float32 from leaves of shape `(*batch, *shape)`."""
        columns = []
        for leaf, shape, classes in zip(jax.tree.leaves(observation), self.shapes, self.classes, strict=True):
            leaf = jnp.asarray(leaf)
            if isinstance(classes, tuple):
                columns += [_one_hot(leaf[..., i], n) for i, n in enumerate(classes)]
            elif classes < 0:
                columns.append(leaf[..., None].astype(jnp.result_type(float)) / -classes)
            elif classes:
                columns.append(_one_hot(leaf, classes))
            else:
                lead = leaf.shape[: leaf.ndim - len(shape)]
                columns.append(leaf.reshape(*lead, int(np.prod(shape))).astype(jnp.result_type(float)))
        joined = columns[0] if len(columns) == 1 else jnp.concatenate(columns, axis=-1)
        if not self.angles:
            return joined
        turns = np.isin(np.arange(joined.shape[-1]), self.angles)
        cosines = jnp.where(jnp.broadcast_to(turns, joined.shape), jnp.cos(joined), joined)
        return jnp.concatenate([cosines, *(jnp.sin(joined[..., angle : angle + 1]) for angle in self.angles)], axis=-1)


def _one_hot(leaf: Array, classes: int) -> Array:
    return jax.nn.one_hot(leaf, classes, dtype=jnp.result_type(float))


def _is_time(classes: int | tuple[int, ...]) -> TypeGuard[int]:
    return not isinstance(classes, tuple) and classes < 0


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
        # Sums are taken about the old mean, the first ones about their own: float32 loses nothing to a large offset.
        own = jnp.where(mask > 0, features, 0.0).sum(0) / jnp.maximum(n, 1)
        about = jnp.where(self.count > 0, self.mean, own)
        centred = jnp.where(mask > 0, features - about[None, :], 0.0)
        shift = centred.sum(0) / jnp.maximum(n, 1)
        spread = (jnp.square(centred - shift[None, :] * mask)).sum(0)
        mean = about + shift * n / jnp.maximum(total, 1)
        square = (
            jnp.square(self.deviation) * self.count
            + spread
            + jnp.square(shift) * self.count * n / jnp.maximum(total, 1)
        )
        # Before anything is seen the deviation stays as it is; a vanishing one is kept as the truth (see `scale`).
        deviation = jnp.where(total > 0, jnp.sqrt(square / jnp.maximum(total, 1)), self.deviation)
        return Normalizer(mean, deviation, total)
