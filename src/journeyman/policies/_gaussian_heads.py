"""Gaussians: diagonal, with a full covariance, and of known deviation."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, PyTree

from journeyman.parts import JourneymanError, holds
from journeyman.policies._heads import AbstractHead, Bounds, Scale
from journeyman.worlds import Box


class Gaussian(AbstractHead):
    """N(location + scale · mean, (scale · σ)²), independent per dimension.

    `log_std` holds log σ before the soft clamp where σ does not depend on the state; it is `None` where the
    network gives it, less `shift`. `minimum_std` and `maximum_std` are in network units (1 is half the action box).
    """

    gives: ClassVar[frozenset[str]] = frozenset({"density", "continuous actions"})
    added: ClassVar[Mapping[str, Any]] = {"shift": -0.5}

    scale: Scale
    log_std: Float[Array, " actions"] | None
    bounds: Bounds
    shift: float = eqx.field(static=True, default=-0.5)

    def provides(self) -> frozenset[str]:
        """A state-dependent spread too, where the network gives σ."""
        return self.gives if self.log_std is not None else self.gives | {"state-dependent spread"}

    @classmethod
    def make(
        cls,
        space: Box,
        *,
        std: float | None = None,
        state_dependent: bool = False,
        minimum_std: float = math.exp(-5),
        maximum_std: float = math.exp(2),
    ) -> "Gaussian":
        """A head for a box, with standard deviation `std` (in half box widths) to begin with.

        Where the network gives it, it begins there as far as the network says 0. Without `std` it begins at e^{−1/2} =
        0.607, or at 0.567 where the network gives it (−½ before the soft clamp). Raises `JourneymanError` unless
        0 < `minimum_std` < `std` < `maximum_std` < ∞.
        """
        begin = math.exp(-0.5) if std is None else std
        if not 0 < minimum_std < begin < maximum_std < math.inf:
            raise JourneymanError(
                f"A deviation begins between its bounds, 0 < minimum_std < std < maximum_std, not at {begin:g} between"
                f" {minimum_std:g} and {maximum_std:g} half box widths; 0.0067, 0.61 and 7.4 are usual."
            )
        limits = math.log(minimum_std), math.log(maximum_std)
        bounds = Bounds.of(*limits)
        if not state_dependent:
            return cls(Scale.of(space), bounds.inverse(jnp.full(space.size, math.log(begin))), bounds)
        if std is None:
            return cls(Scale.of(space), None, bounds)
        with jax.ensure_compile_time_eval():  # a number that is static, inside a compiled program too
            shift = float(Bounds.of(*limits).inverse(jnp.asarray(math.log(begin))))
        return cls(Scale.of(space), None, bounds, shift)

    def outputs(self) -> int:
        """Means, and raw log-deviations where they depend on the state."""
        return self.scale.scale.shape[0] * (1 if self.log_std is not None else 2)

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """`(mean, log_std)` in network units."""
        if self.log_std is not None:
            return raw, jnp.broadcast_to(self.bounds(self.log_std), raw.shape)
        mean, log_std = jnp.split(raw, 2, axis=-1)
        return mean, self.bounds(log_std + self.shift)

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """Independent normals in action units."""
        mean, log_std = parameters
        location, scale = self.scale.over(mean)
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
        location, scale = self.scale.over(mean)
        return location + scale * mean

    def floored(self, minimum_std: float) -> "Gaussian":
        """The same mean with σ at least `minimum_std` (network units), and room to move above it.

        Raises `JourneymanError` unless it lies between 0 and the head's `maximum_std`.
        """
        high = self.bounds.most
        if not (minimum_std > 0 and holds(math.log(minimum_std) < high)):
            raise JourneymanError(
                "A floor under the deviation lies between 0 and the head's maximum of"
                f" {np.exp(np.min(high)):.3g} half box widths, not at {minimum_std:g}; 0.1 is usual."
            )
        low = jnp.maximum(self.bounds.low, math.log(minimum_std))
        bounds = self.bounds.raised(low)
        raw = None if self.log_std is None else bounds.inverse(jnp.maximum(self.bounds(self.log_std), low))
        return Gaussian(self.scale, raw, bounds, self.shift)


class FullGaussian(AbstractHead):
    """N(location + scale · mean, (scale · L)(scale · L)ᵀ): a Gaussian whose actions may be correlated.

    L = diag(σ) C is lower triangular. σ are the deviations of the single actions, clamped as in `Gaussian`; the rows of
    C have length 1 and are proportional to (u_i1, …, u_i,i−1, 1), so C Cᵀ is a correlation matrix. |u| stays below 5:
    the part of an action's variance that those before it do not explain is at least 1/(1 + Σ_j u_ij²), and neither
    sampling nor the solve of the log-probability can overflow. u = 0 recovers `Gaussian`.

    `correlation` holds u before its clamp where it does not depend on the state; it is `None` where the network
    gives it, and σ with it.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"density", "continuous actions"})

    diagonal: Gaussian
    correlation: Float[Array, " pairs"] | None

    @classmethod
    def make(cls, space: Box, *, state_dependent: bool = False, **options: float) -> "FullGaussian":
        """A head for a box, uncorrelated to begin with; options as in `Gaussian.make`."""
        diagonal = Gaussian.make(space, state_dependent=state_dependent, **options)
        pairs = space.size * (space.size - 1) // 2
        return cls(diagonal, None if state_dependent else jnp.zeros(pairs))

    def outputs(self) -> int:
        """Those of the diagonal, and one for each pair of actions where they depend on the state."""
        size = self.diagonal.scale.scale.shape[0]
        return self.diagonal.outputs() + (size * (size - 1) // 2 if self.correlation is None else 0)

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """`(mean, L)` in network units."""
        count = self.diagonal.outputs()
        mean, log_std = self.diagonal.parameters(raw[..., :count])
        pairs = raw[..., count:] if self.correlation is None else self.correlation
        pairs = pairs / jnp.sqrt(1 + jnp.square(pairs / _STEEPEST))
        size = mean.shape[-1]
        rows, columns = np.tril_indices(size, -1)
        eye = jnp.broadcast_to(jnp.eye(size, dtype=mean.dtype), (*mean.shape, size))
        factor = eye.at[..., rows, columns].set(jnp.broadcast_to(pairs, (*mean.shape[:-1], len(rows))))
        length = jnp.sqrt(jnp.square(factor).sum(-1, keepdims=True))
        return mean, jnp.exp(log_std)[..., None] * factor / length

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """A multivariate normal in action units."""
        mean, factor = parameters
        location, scale = self.diagonal.scale.over(mean)
        return dist.MultivariateNormal(location + scale * mean, scale_tril=scale[..., None] * factor)

    def log_prob(self, parameters: PyTree, action: Array) -> Array:
        """−½‖L⁻¹(a − μ)‖² − Σ log L_ii − ½ n log 2π, nats."""
        mean, factor = parameters
        location, scale = self.diagonal.scale.over(mean)
        away = _solved(factor, ((action - location) / scale - mean)[..., None])
        half = jnp.square(away).sum((-2, -1)) / 2
        return -half - (_log_diagonal(factor) + jnp.log(scale)).sum(-1) - mean.shape[-1] * math.log(2 * math.pi) / 2

    def noise(self, key: Array, count: int) -> PyTree:
        """Standard normals `(count, actions)`."""
        return self.diagonal.noise(key, count)

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        """location + scale · (mean + L · noise)."""
        mean, factor = parameters
        return self.mode((mean + (factor * noise[..., None, :]).sum(-1), factor))

    def mode(self, parameters: PyTree) -> Array:
        """The mean, in action units."""
        mean, _ = parameters
        location, scale = self.diagonal.scale.over(mean)
        return location + scale * mean

    def kl(self, first: PyTree, second: PyTree) -> Array:
        """½(‖M⁻¹L‖² + ‖M⁻¹(μ − ν)‖² − n) + Σ log(M_ii / L_ii) for N(μ, LLᵀ) from N(ν, MMᵀ)."""
        (mean, factor), (other, reference) = first, second
        both = _solved(reference, jnp.concatenate([factor, (mean - other)[..., None]], -1))
        stretched = (jnp.square(both).sum((-2, -1)) - mean.shape[-1]) / 2
        return stretched + (_log_diagonal(reference) - _log_diagonal(factor)).sum(-1)

    def entropy(self, parameters: PyTree) -> Array:
        """½ n (1 + log 2π) + Σ log L_ii, nats."""
        mean, factor = parameters
        _, scale = self.diagonal.scale.over(mean)
        return (_log_diagonal(factor) + jnp.log(scale) + (1 + math.log(2 * math.pi)) / 2).sum(-1)

    def floored(self, minimum_std: float) -> "FullGaussian":
        """The same mean and correlations with every σ at least `minimum_std`."""
        return FullGaussian(self.diagonal.floored(minimum_std), self.correlation)


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
        location, scale = self.scale.over(parameters)
        return dist.Independent(dist.Normal(location + scale * parameters, scale), 1)

    def mode(self, parameters: PyTree) -> Array:
        """The mean in the target's units."""
        location, scale = self.scale.over(parameters)
        return location + scale * parameters


_STEEPEST = 5.0


def _log_diagonal(factor: Array) -> Array:
    return jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1))


def _solved(factor: Array, right: Array) -> Array:
    """factor⁻¹ right by forward substitution, row by row; actions are few, and all of a batch go at once."""
    rows: list[Array] = []
    for i in range(factor.shape[-1]):
        row = right[..., i, :]
        if rows:
            row = row - (factor[..., i, :i, None] * jnp.stack(rows, -2)).sum(-2)
        rows.append(row / factor[..., i, i, None])
    return jnp.stack(rows, -2)
