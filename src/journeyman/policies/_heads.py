"""Heads: from a network's raw numbers to a distribution over actions.

Every head works on leading batch axes. Actions that leave the box are clipped by the world; the log-probability
belongs to what was sampled (`SquashedGaussian` has no mass outside and needs no clipping).
"""

import abc
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, PyTree

from journeyman.parts import AbstractPart
from journeyman.policies._observation import AbstractStatistics
from journeyman.worlds import AbstractSpace, Box, Discrete


class Scale(AbstractStatistics):
    """An affine map from network units to action units: location + scale · x, per dimension."""

    location: Float[Array, " actions"]
    scale: Float[Array, " actions"]

    @classmethod
    def of(cls, space: Box) -> "Scale":
        """Centre and half width of a bounded box; the identity where it is unbounded."""
        low, high = jnp.ravel(jnp.asarray(space.low)), jnp.ravel(jnp.asarray(space.high))
        known = jnp.isfinite(low) & jnp.isfinite(high)
        centre, half = jnp.where(known, (low + high) / 2, 0.0), jnp.where(known, (high - low) / 2, 1.0)
        return cls(centre.astype(jnp.result_type(float)), half.astype(jnp.result_type(float)))


class Bounds(AbstractStatistics):
    """A soft clamp: low + softplus(x − low), and the same from above; its slope never vanishes inside.

    (Chua et al. 2018, appendix A.1, for the log-variance of a model.)
    """

    low: Float[Array, ""]
    high: Float[Array, ""]

    @classmethod
    def of(cls, low: float, high: float) -> "Bounds":
        """Bounds in the unit of what is clamped."""
        return cls(jnp.asarray(low, jnp.result_type(float)), jnp.asarray(high, jnp.result_type(float)))

    def __call__(self, raw: Array) -> Array:
        """`raw` inside (low, high)."""
        below = self.high - jax.nn.softplus(self.high - raw)
        return self.low + jax.nn.softplus(below - self.low)

    def inverse(self, value: Array) -> Array:
        """The raw number that clamps to `value`, itself kept a hundredth inside the bounds."""
        value = jnp.clip(value, self.low + 0.01, self.high - 0.01)
        below = self.low + jnp.log(jnp.expm1(value - self.low))
        below = jnp.minimum(below, self.high - 0.01)
        return self.high - jnp.log(jnp.expm1(self.high - below))


class AbstractHead(AbstractPart):
    """A family of distributions over one action space."""

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
        return dist.kl_divergence(self.distribution(first), self.distribution(second))

    def entropy(self, parameters: PyTree) -> Array:
        """The entropy, nats."""
        return self.distribution(parameters).entropy()


class Gaussian(AbstractHead):
    """N(location + scale · mean, (scale · σ)²), independent per dimension.

    `log_std` holds log σ before the soft clamp where σ does not depend on the state; it is `None` where the
    network gives it. `minimum_std` and `maximum_std` are in network units (1 is half the action box).
    """

    gives: ClassVar[frozenset[str]] = frozenset({"density", "continuous actions"})

    scale: Scale
    log_std: Float[Array, " actions"] | None
    bounds: Bounds

    @classmethod
    def make(
        cls,
        space: Box,
        *,
        std: float = math.exp(-0.5),
        state_dependent: bool = False,
        minimum_std: float = math.exp(-5),
        maximum_std: float = math.exp(2),
    ) -> "Gaussian":
        """A head for a box, with standard deviation `std` (in half box widths) to begin with."""
        bounds = Bounds.of(math.log(minimum_std), math.log(maximum_std))
        raw = bounds.inverse(jnp.full(space.size, math.log(std)))
        return cls(Scale.of(space), None if state_dependent else raw, bounds)

    def outputs(self) -> int:
        """Means, and raw log-deviations where they depend on the state."""
        return self.scale.scale.shape[0] * (1 if self.log_std is not None else 2)

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """`(mean, log_std)` in network units."""
        if self.log_std is not None:
            return raw, jnp.broadcast_to(self.bounds(self.log_std), raw.shape)
        mean, log_std = jnp.split(raw, 2, axis=-1)
        # Zero raw output starts at σ = e^{-1/2}, like the state-independent head.
        return mean, self.bounds(log_std - 0.5)

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """Independent normals in action units."""
        mean, log_std = parameters
        location, scale = (jnp.broadcast_to(x, mean.shape) for x in _frozen(self.scale))
        return dist.Independent(dist.Normal(location + scale * mean, scale * jnp.exp(log_std)), 1)

    def noise(self, key: Array, count: int) -> PyTree:
        """Standard normals `(count, actions)`."""
        return jax.random.normal(key, (count, self.scale.scale.shape[0]))

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        """location + scale · (mean + σ · noise)."""
        mean, log_std = parameters
        return self.mode((mean + jnp.exp(log_std) * noise, log_std))

    def mode(self, parameters: PyTree) -> Array:
        """The mean, in action units."""
        mean, _ = parameters
        location, scale = (jnp.broadcast_to(x, mean.shape) for x in _frozen(self.scale))
        return location + scale * mean

    def floored(self, minimum_std: float) -> "Gaussian":
        """The same mean with σ at least `minimum_std` (network units), and room to move above it."""
        low = jnp.maximum(self.bounds.low, math.log(minimum_std))
        bounds = Bounds(low, self.bounds.high)
        if self.log_std is None:
            return Gaussian(self.scale, None, bounds)
        return Gaussian(self.scale, bounds.inverse(jnp.maximum(self.bounds(self.log_std), low)), bounds)


class SquashedGaussian(AbstractHead):
    """a = centre + half width · tanh(u), u ~ N(mean, σ²): all mass inside a bounded box.

    Rule for actions on the bound, where tanh⁻¹ is infinite: an action is read as at most 1 − 1e-6 half widths
    from the centre. The entropy has no closed form: it is that of u plus E[log|da/du|] by Gauss–Hermite quadrature.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"density", "continuous actions"})

    inner: Gaussian
    box: Scale

    @classmethod
    def make(cls, space: Box, **options: float) -> "SquashedGaussian":
        """A head for a bounded box; options as in `Gaussian.make`."""
        return cls(Gaussian.make(Box.unbounded(space.size), **options), Scale.of(space))  # type: ignore[arg-type]

    def outputs(self) -> int:
        """As many as the Gaussian inside."""
        return self.inner.outputs()

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """`(mean, log_std)` of u."""
        return self.inner.parameters(raw)

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """The Gaussian pushed through tanh and onto the box."""
        mean, log_std = parameters
        location, scale = (jnp.broadcast_to(x, mean.shape) for x in _frozen(self.box))
        # tanh(u) = 2 sigmoid(2u) − 1, and NumPyro's sigmoid transform has the stable log-determinant.
        squash = [
            dist.transforms.AffineTransform(jnp.zeros_like(mean), jnp.full_like(mean, 2.0)),
            dist.transforms.SigmoidTransform(),
            dist.transforms.AffineTransform(location - scale, 2 * scale),
        ]
        return dist.Independent(dist.TransformedDistribution(dist.Normal(mean, jnp.exp(log_std)), squash), 1)

    def log_prob(self, parameters: PyTree, action: Array) -> Array:
        """log p(action), nats, with the rule for actions on the bound."""
        mean, log_std = parameters
        location, scale = (jnp.broadcast_to(x, action.shape) for x in _frozen(self.box))
        # In half widths, not in action units: far from zero float32 cannot tell 1 − 1e-6 half widths from the bound.
        inside = jnp.clip((action - location) / scale, -1 + 1e-6, 1 - 1e-6)
        density = dist.Normal(mean, jnp.exp(log_std)).log_prob(jnp.arctanh(inside))
        return (density - jnp.log(scale) - jnp.log((1 - inside) * (1 + inside))).sum(-1)

    def noise(self, key: Array, count: int) -> PyTree:
        """That of the Gaussian inside."""
        return self.inner.noise(key, count)

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        """The squashed draw of u."""
        mean, log_std = parameters
        return self.mode((mean + jnp.exp(log_std) * noise, log_std))

    def mode(self, parameters: PyTree) -> Array:
        """The squashed mean."""
        mean, _ = parameters
        location, scale = (jnp.broadcast_to(x, mean.shape) for x in _frozen(self.box))
        return location + scale * jnp.tanh(mean)

    def kl(self, first: PyTree, second: PyTree) -> Array:
        """The KL of the Gaussians inside: a bijection changes nothing."""
        return self.inner.kl(first, second)

    def entropy(self, parameters: PyTree) -> Array:
        """H(u) + E[log |da/du|], 32-point Gauss–Hermite."""
        mean, log_std = parameters
        nodes, weights = _hermite()
        u = mean[..., None] + jnp.exp(log_std)[..., None] * jnp.broadcast_to(nodes, (*mean.shape, nodes.shape[0]))
        slope = 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))
        scale = jnp.broadcast_to(_frozen(self.box)[1], mean.shape)
        stretched = jnp.log(scale) + (slope * jnp.broadcast_to(weights, slope.shape)).sum(-1)
        return self.inner.entropy(parameters) + stretched.sum(-1)

    def floored(self, minimum_std: float) -> "SquashedGaussian":
        """The same with σ of u at least `minimum_std`."""
        return SquashedGaussian(self.inner.floored(minimum_std), self.box)


class FixedGaussian(AbstractHead):
    """N(location + scale · mean, scale²): the likelihood whose maximum is least squares.

    With it a value function is fitted by the same weighted log-likelihood as a policy.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"density", "continuous actions"})

    scale: Scale

    def outputs(self) -> int:
        """One mean per dimension."""
        return self.scale.scale.shape[0]

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """The mean in network units."""
        return raw

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """Independent normals of known deviation."""
        location, scale = (jnp.broadcast_to(x, parameters.shape) for x in _frozen(self.scale))
        return dist.Independent(dist.Normal(location + scale * parameters, scale), 1)

    def mode(self, parameters: PyTree) -> Array:
        """The mean in the target's units."""
        location, scale = (jnp.broadcast_to(x, parameters.shape) for x in _frozen(self.scale))
        return location + scale * parameters


class Categorical(AbstractHead):
    """One of `classes` actions, with probabilities softmax(raw)."""

    gives: ClassVar[frozenset[str]] = frozenset({"density", "discrete actions"})

    classes: int = eqx.field(static=True)

    def outputs(self) -> int:
        """One logit a class."""
        return self.classes

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """The logits."""
        return raw

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """Over 0 … classes − 1."""
        return dist.CategoricalLogits(logits=parameters)

    def noise(self, key: Array, count: int) -> PyTree:
        """Standard Gumbel variables `(count, classes)`."""
        return jax.random.gumbel(key, (count, self.classes))

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        """argmax of logits + noise (the Gumbel-max draw)."""
        return jnp.argmax(parameters + noise, axis=-1).astype(jnp.int32)

    def kl(self, first: PyTree, second: PyTree) -> Array:
        """Σ p (log p − log q); NumPyro has no rule for this pair."""
        log_p, log_q = jax.nn.log_softmax(first), jax.nn.log_softmax(second)
        return (jnp.exp(log_p) * (log_p - log_q)).sum(-1)

    def mode(self, parameters: PyTree) -> Array:
        """The likeliest class."""
        return jnp.argmax(parameters, axis=-1).astype(jnp.int32)


def default_head(space: AbstractSpace) -> AbstractHead:
    """A categorical for a finite set, a Gaussian of state-independent deviation for a box."""
    return Categorical(space.n) if isinstance(space, Discrete) else Gaussian.make(space)  # type: ignore[arg-type]


def _frozen(scale: Scale) -> tuple[Array, Array]:
    return jax.lax.stop_gradient((scale.location, scale.scale))


def _hermite() -> tuple[Array, Array]:
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    dtype = jnp.result_type(float)
    return jnp.asarray(nodes, dtype), jnp.asarray(weights / weights.sum(), dtype)
