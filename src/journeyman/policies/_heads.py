"""Heads: from a network's raw numbers to a distribution over actions.

Every head works on leading batch axes. Actions that leave the box are clipped by the world; the log-probability
belongs to what was sampled (a head on a bounded box has no mass outside and needs no clipping).
"""

import abc
import contextlib
import math
from collections.abc import Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PyTree

from journeyman.parts import AbstractPart, JourneymanError, holds
from journeyman.policies._observation import AbstractStatistics
from journeyman.worlds import AbstractFinite, AbstractSpace, Box


class Scale(AbstractStatistics):
    """An affine map from network units to action units: location + scale · x, per dimension."""

    location: Float[Array, " actions"]
    scale: Float[Array, " actions"]

    @classmethod
    def of(cls, space: Box) -> "Scale":
        """Centre and half width of a bounded box; the identity where it is unbounded.

        Raises `JourneymanError` for a box without width, whose only action nothing can be learned of.
        """
        if not holds(space.low != space.high):
            raise JourneymanError(
                f"An action needs room between its bounds, and here both are {np.asarray(space.low).tolist()} in some"
                " entry; leave an action that cannot move out of the world's action space."
            )
        low, high = jnp.ravel(jnp.asarray(space.low)), jnp.ravel(jnp.asarray(space.high))
        known = jnp.isfinite(low) & jnp.isfinite(high)
        centre, half = jnp.where(known, (low + high) / 2, 0.0), jnp.where(known, (high - low) / 2, 1.0)
        return cls(centre.astype(jnp.result_type(float)), half.astype(jnp.result_type(float)))

    def over(self, like: Array) -> tuple[Array, Array]:
        """Location and scale for every element of a batch shaped like `like`; neither is trained."""
        frozen = jax.lax.stop_gradient((self.location, self.scale))
        return jnp.broadcast_to(frozen[0], like.shape), jnp.broadcast_to(frozen[1], like.shape)


class Bounds(AbstractStatistics):
    """A soft clamp: low + softplus(b − low) of b = high − softplus(high − x); its slope never vanishes inside.

    (Chua et al. 2018, appendix A.1, for the log-variance of a model.) All of it lies between `low` and `most` =
    low + softplus(high − low). There `high` is the bound itself, which is exceeded the more the nearer both are.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]

    @classmethod
    def of(cls, low: float, high: float) -> "Bounds":
        """The clamp between `low` and `high`, in the unit of what is clamped."""
        ceiling = low + math.log(-math.expm1(low - high)) + high - low
        return cls(jnp.asarray(low, jnp.result_type(float)), jnp.asarray(ceiling, jnp.result_type(float)))

    @property
    def most(self) -> Array:
        """What no number is clamped to more than."""
        return self.low + jax.nn.softplus(self.high - self.low)

    def raised(self, low: Array) -> "Bounds":
        """The clamp between another lower bound and the same upper one."""
        return Bounds(low, low + _inverse_softplus(self.most - low))

    def __call__(self, raw: Array) -> Array:
        """`raw` inside (low, most)."""
        below = self.high - jax.nn.softplus(self.high - raw)
        return self.low + jax.nn.softplus(below - self.low)

    def inverse(self, value: Array) -> Array:
        """The raw number that clamps to `value`, itself kept inside the bounds by .01, or a quarter of the gap."""
        margin = jnp.minimum(0.01, (self.most - self.low) / 4)
        value = jnp.clip(value, self.low + margin, self.most - margin)
        below = self.low + _inverse_softplus(value - self.low)
        return self.high - _inverse_softplus(self.high - below)


def _inverse_softplus(value: Array) -> Array:
    """log(eˣ − 1), for large x too."""
    return value + jnp.log(-jnp.expm1(-value))


class AbstractHead(AbstractPart):
    """A family of distributions over one action space.

    `approximates` names what has no closed form and is a bound instead: "kl" (from above), "entropy" (from below).
    """

    approximates: ClassVar[frozenset[str]] = frozenset()

    @abc.abstractmethod
    def outputs(self) -> int:
        """How many raw numbers the head reads."""

    @abc.abstractmethod
    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """The distribution's parameters, each with the batch axes."""

    @abc.abstractmethod
    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """The distribution over actions in the world's units."""

    @abc.abstractmethod
    def mode(self, parameters: PyTree) -> Array:
        """The likeliest action (for a squashed Gaussian: the squashed mean)."""

    def noise(self, key: Array, count: int) -> PyTree:
        """What `sample` needs for `count` draws, each leaf leading with `(count,)`; else random bits."""
        return jax.random.key_data(jax.random.split(key, count))

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        """One draw for each of `(count,)` parameters."""

        def one(parameters: PyTree, bits: Array) -> Array:
            return jnp.asarray(self.distribution(parameters).sample(jax.random.wrap_key_data(bits)))

        return jax.vmap(one)(parameters, noise)

    def log_prob(self, parameters: PyTree, action: Array) -> Array:
        """log p(action), nats."""
        return jnp.asarray(self.distribution(parameters).log_prob(action))

    def kl(self, first: PyTree, second: PyTree) -> Array:
        """KL(first ‖ second), nats, per batch element."""
        with self._asked("kl"):
            return dist.kl_divergence(self.distribution(first), self.distribution(second))

    def entropy(self, parameters: PyTree) -> Array:
        """The entropy, nats."""
        with self._asked("entropy"):
            return self.distribution(parameters).entropy()

    @contextlib.contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except NotImplementedError as error:
            raise JourneymanError(
                f"The distribution of a {type(self).__name__} has no {what} that NumPyro knows, and it is needed here;"
                f" write the head's `{what}`, or use a recipe without it."
            ) from error

    def space(self) -> AbstractSpace:
        """The actions it is over: all real arrays of the mode's shape, unless a head says otherwise."""
        action = jax.eval_shape(lambda: self.mode(self.parameters(jnp.zeros(self.outputs()))))
        return Box.unbounded(*action.shape)

    def problems(self, target: np.ndarray) -> list[str]:
        """Why `target` `(samples, ...)` of some data cannot be actions of this head, in sentences."""
        space = self.space()
        if target.shape[1:] != space.shape:
            return [
                f"The data's actions have shape {target.shape[1:]}, the policy's have {space.shape}; make the policy"
                " for the world the data comes from."
            ]
        return _choices(target, space) if isinstance(space, AbstractFinite) else []

    def floored(self, minimum_std: float) -> "AbstractHead":
        """The same mode with a deviation of at least `minimum_std` half widths; itself where it has no deviation."""
        del minimum_std
        return self


def _choices(target: np.ndarray, space: AbstractFinite) -> list[str]:
    counts = space.counts
    if target.dtype.kind not in "iu":
        return [
            f"The data's actions are {target.dtype}, the policy chooses one of {counts.tolist()}; convert them to"
            " integers, or make the policy for a world of real actions."
        ]
    outside = np.argwhere(space.outside(target))[:1]
    return [
        f"The data holds the action {target[tuple(place)]}{f' in entry {place[1]}' if len(place) > 1 else ''}, the"
        f" policy knows 0 to {counts[tuple(place[1:])] - 1}; make the policy for the world the data comes from."
        for place in outside
    ]
