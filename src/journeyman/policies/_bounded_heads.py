"""Heads with all their mass inside a bounded box, and what they make of actions on its bound."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import digamma, gammaln, log_ndtr
from jaxtyping import Array, Float, PyTree

from journeyman.parts import JourneymanError
from journeyman.policies._gaussian_heads import Gaussian
from journeyman.policies._heads import AbstractHead, Scale
from journeyman.policies._observation import AbstractStatistics
from journeyman.worlds import Box


class Concentration(AbstractStatistics):
    """What p + q of a `Beta` stays below: `high` = 1/s² − 3, s its least deviation (half widths) at the centre."""

    high: Float[Array, ""]

    @classmethod
    def of_deviation(cls, minimum_std: float) -> "Concentration":
        """The largest concentration whose deviation, with the mode at the centre, is `minimum_std` half widths."""
        if not 0 < minimum_std < 3**-0.5:
            raise JourneymanError(
                f"A Beta's deviation on its box lies between 0 and that of the uniform, 0.577 half widths, so it cannot"
                f" be at least {minimum_std}; ask for less, or use a Gaussian."
            )
        return cls(jnp.asarray(minimum_std**-2 - 3, jnp.result_type(float)))


class SquashedGaussian(AbstractHead):
    """a = centre + half width · tanh(u), u ~ N(mean, σ²): all mass inside a bounded box.

    Rule for actions on the bound, where tanh⁻¹ is infinite and single precision keeps no digits: beyond 1 − 1e-4 half
    widths from the centre the density is even, and what lies there has the probability of the u that lead there,

        p(a) = P(|u| ≥ tanh⁻¹(1 − 1e-4), on this side) / (1e-4 half widths)

    so that the mass is 1 and the mean score 0 however much of it is at a bound (single precision told u by .03 at 1e-6:
    where σ is .03, draws there had a mean score of log σ of .9). An action that a recording clipped from outside counts
    as on the bound. KL and entropy are those without the rule: where much lies at a bound, KL is
    too large and the entropy too small.
    The entropy has no closed form: it is that of u plus E[log|da/du|] by Gauss–Hermite quadrature.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"density", "continuous actions"})
    approximates: ClassVar[frozenset[str]] = frozenset({"kl", "entropy"})

    inner: Gaussian
    box: Scale

    @classmethod
    def make(cls, space: Box, **options: float) -> "SquashedGaussian":
        """A head for a bounded box; options as in `Gaussian.make`."""
        box = _bounded(space, "SquashedGaussian")
        return cls(Gaussian.make(Box.unbounded(space.size), **options), box)  # type: ignore[arg-type]

    def space(self) -> Box:
        """The box."""
        return _box(self.box)

    def outputs(self) -> int:
        """As many as the Gaussian inside."""
        return self.inner.outputs()

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """`(mean, log_std)` of u."""
        return self.inner.parameters(raw)

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """The Gaussian pushed through tanh and onto the box."""
        mean, log_std = parameters
        location, scale = self.box.over(mean)
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
        location, scale = self.box.over(action)
        inside = _inside(action, location, scale, _EVEN)
        std = jnp.exp(log_std)
        density = dist.Normal(mean, std).log_prob(jnp.arctanh(inside)) - jnp.log((1 - inside) * (1 + inside))
        beyond = log_ndtr((jnp.sign(inside) * mean - math.atanh(1 - _EVEN)) / std) - math.log(_EVEN)
        return (jnp.where(jnp.abs(inside) < 1 - _EVEN, density, beyond) - jnp.log(scale)).sum(-1)

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
        location, scale = self.box.over(mean)
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
        _, scale = self.box.over(mean)
        stretched = jnp.log(scale) + (slope * jnp.broadcast_to(weights, slope.shape)).sum(-1)
        return self.inner.entropy(parameters) + stretched.sum(-1)

    def floored(self, minimum_std: float) -> "SquashedGaussian":
        """The same with σ of u at least `minimum_std`."""
        return SquashedGaussian(self.inner.floored(minimum_std), self.box)


class Beta(AbstractHead):
    """a = low + width · x, x ~ Beta(1 + p, 1 + q) with p, q > 0: all mass inside a bounded box, and one mode.

    The network's numbers become (p, q) = (softplus, softplus) / (1 + (sum of both) / κ_max). The mode p/(p + q) is
    theirs alone, and the concentration p + q stays below κ_max = 1/s² − 3. With a mode m half widths from the centre
    the deviation is about √((1 − m²)/(3 + p + q)) half widths, so `minimum_std` = s is what it never falls below at
    the centre. Near a bound it falls below that: no distribution on a box is wide and has its mode there.

    Rule for actions on the bound, where the density is 0: an action is read as at most 1 − 1e-6 half widths from the
    centre, so one that a recording clipped from outside counts as on the bound.
    (Chou, Maturana and Scherer 2017.)

    1. They take α = 1 + softplus without an upper bound. The bound keeps log Γ accurate in single precision, where a
       log-probability or KL is off by up to 8·10⁻⁴ nats with `minimum_std` = 0.05, and by up to 4·10⁻² with 0.01.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"density", "continuous actions", "state-dependent spread"})
    citation: ClassVar[str] = """@inproceedings{chou2017beta,
  title={Improving Stochastic Policy Gradients in Continuous Control with Deep Reinforcement Learning using the Beta
    Distribution}, author={Chou, Po-Wei and Maturana, Daniel and Scherer, Sebastian},
  booktitle={International Conference on Machine Learning}, pages={834--843}, year={2017}}"""

    box: Scale
    concentration: Concentration

    @classmethod
    def make(cls, space: Box, *, minimum_std: float = 0.05) -> "Beta":
        """A head for a bounded box."""
        return cls(_bounded(space, "Beta"), Concentration.of_deviation(minimum_std))

    def space(self) -> Box:
        """The box."""
        return _box(self.box)

    def outputs(self) -> int:
        """Two for each action."""
        return 2 * self.box.scale.shape[0]

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """`(p, q)`: the two shapes, less 1."""
        p, q = jnp.split(jax.nn.softplus(raw), 2, axis=-1)
        shrunk = 1 / (1 + (p + q) / jax.lax.stop_gradient(self.concentration.high))
        return p * shrunk, q * shrunk

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """Independent Betas, moved onto the box."""
        p, q = parameters
        location, scale = self.box.over(p)
        onto = dist.transforms.AffineTransform(location - scale, 2 * scale, domain=dist.constraints.unit_interval)
        return dist.Independent(dist.TransformedDistribution(dist.Beta(1 + p, 1 + q), onto), 1)

    def log_prob(self, parameters: PyTree, action: Array) -> Array:
        """log p(action), nats, with the rule for actions on the bound."""
        p, q = parameters
        location, scale = self.box.over(action)
        inside = _inside(action, location, scale, _EDGE)
        below, above = jnp.log((1 + inside) / 2), jnp.log((1 - inside) / 2)
        return (p * below + q * above - _log_beta(1 + p, 1 + q) - jnp.log(2 * scale)).sum(-1)

    def mode(self, parameters: PyTree) -> Array:
        """The likeliest action; the centre where all are equally likely."""
        p, q = parameters
        location, scale = self.box.over(p)
        least = jnp.finfo(p.dtype).tiny
        return location + scale * (p - q) / (p + q + least)

    def kl(self, first: PyTree, second: PyTree) -> Array:
        """log B(second) − log B(first) + Σ (difference of the shapes) · E[log of what they weigh], nats."""
        (p, q), (r, s) = first, second
        total = digamma(2 + p + q)
        weighed = (p - r) * (digamma(1 + p) - total) + (q - s) * (digamma(1 + q) - total)
        return (weighed + _log_beta(1 + r, 1 + s) - _log_beta(1 + p, 1 + q)).sum(-1)

    def entropy(self, parameters: PyTree) -> Array:
        """log B − p (ψ(1 + p) − ψ(2 + p + q)) − q (…) + log width, nats."""
        p, q = parameters
        _, scale = self.box.over(p)
        total = digamma(2 + p + q)
        weighed = p * (digamma(1 + p) - total) + q * (digamma(1 + q) - total)
        return (_log_beta(1 + p, 1 + q) - weighed + jnp.log(2 * scale)).sum(-1)

    def floored(self, minimum_std: float) -> "Beta":
        """The same mode with a deviation of at least `minimum_std` half widths at the centre of the box."""
        least = Concentration.of_deviation(minimum_std)
        return Beta(self.box, Concentration(jnp.minimum(self.concentration.high, least.high)))


_EDGE, _EVEN = 1e-6, 1e-4  # of a Beta and of a squashed Gaussian


def _log_beta(a: Array, b: Array) -> Array:
    """log B(a, b)."""
    # Not JAX's betaln: it orders its arguments first, and where they are equal its second derivatives are wrong.
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def _inside(action: Array, location: Array, scale: Array, edge: float) -> Array:
    """Half widths from the centre, at most 1 − `edge`, from where on an action counts as on the bound."""
    # In half widths, not in action units: far from zero float32 cannot tell 1 − 1e-6 half widths from the bound.
    return jnp.clip((action - location) / scale, -1 + edge, 1 - edge)


def _bounded(space: Box, head: str) -> Scale:
    if not space.bounded or not (space.high > space.low).all():
        raise JourneymanError(
            f"A {head} needs finite bounds with room between them, and this box reaches from {space.low.tolist()} to"
            f" {space.high.tolist()}; use a Gaussian."
        )
    return Scale.of(space)


def _box(scale: Scale) -> Box:
    location, half = np.asarray(scale.location), np.asarray(scale.scale)
    return Box(low=location - half, high=location + half)


def _hermite() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    dtype = jnp.result_type(float)
    return jnp.asarray(nodes, dtype), jnp.asarray(weights / weights.sum(), dtype)
