"""A mixture of Gaussians: several ways to act, where one mean would lie between them."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.nn import log_softmax, logsumexp
from jaxtyping import Array, Float, PyTree

from journeyman.parts import JourneymanError
from journeyman.policies._gaussian_heads import Gaussian
from journeyman.policies._heads import AbstractHead, Scale
from journeyman.worlds import Box


class GaussianMixture(AbstractHead):
    """Σ_k w_k N(μ_k, diag σ_k²), with w the softmax of logits and each component as in `Gaussian`.

    `components` is one Gaussian head over all components' actions in a row. Its locations start spread over the middle
    half of the box, for components that start equal stay equal. (Bishop 1994; as a policy, robomimic's.)

    What has no closed form, and what stands for it:

    1. `kl` is that of the pair (component, action), KL(w ‖ w') + Σ w_k KL(N_k ‖ N'_k). By the chain rule it is at least
       the KL of the actions and zero only with it, so a step held inside a radius of `kl` is inside the ball. The
       Fisher metric that follows from it is that of the complete data: it is at least the actions' own, and never less.
    2. `entropy` is a lower bound, Σ w_k (H_k − log Σ_j w_j exp(−D_kj)) with D the Bhattacharyya distance; it is exact
       where the components coincide and where they do not touch. `entropy_above` has the KL for D and is an upper
       bound (Kolchinsky and Tracey 2017, with α = ½ for the lower).
    3. `mode` starts at the component mean of highest density and climbs by ten mean-shift steps, none of which goes
       down (Carreira-Perpiñán 2000). It may end on a local maximum that is lower than one between other components.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"density", "continuous actions", "state-dependent spread"})
    approximates: ClassVar[frozenset[str]] = frozenset({"kl", "entropy"})
    citation: ClassVar[str] = """@techreport{bishop1994mixture, title={Mixture density networks},
  author={Bishop, Christopher M.}, institution={Aston University}, number={NCRG/94/004}, year={1994}}
@article{kolchinsky2017estimating, title={Estimating Mixture Entropy with Pairwise Distances},
  author={Kolchinsky, Artemy and Tracey, Brendan D.}, journal={Entropy}, volume={19}, number={7}, pages={361},
  year={2017}}"""

    components: Gaussian
    count: int = eqx.field(static=True)

    @classmethod
    def make(
        cls, space: Box, *, components: int = 4, state_dependent: bool = True, **options: float
    ) -> "GaussianMixture":
        """A head of `components` Gaussians for a box; options as in `Gaussian.make`."""
        if components < 1:
            raise JourneymanError(f"A mixture needs at least one component, not {components}; 2 to 10 are usual.")
        one, size = Scale.of(space), space.size * components
        part = Gaussian.make(Box.unbounded(size), state_dependent=state_dependent, **options)
        apart = jnp.asarray(_apart(components, space.size).ravel(), one.scale.dtype)
        half = jnp.tile(one.scale, components)
        return cls(
            dataclasses.replace(part, scale=Scale(jnp.tile(one.location, components) + half * apart, half)),
            components,
        )

    def outputs(self) -> int:
        """A logit for each component, and what the components read."""
        return self.count + self.components.outputs()

    def parameters(self, raw: Float[Array, "*batch outputs"]) -> PyTree:
        """`(logits, mean, log_std)`: `(*batch, components)`, the others with an axis of actions; network units."""
        mean, log_std = self.components.parameters(raw[..., self.count :])
        shape = (*mean.shape[:-1], self.count, -1)
        return raw[..., : self.count], mean.reshape(shape), log_std.reshape(shape)

    def distribution(self, parameters: PyTree) -> dist.Distribution:
        """The mixture in action units."""
        mean, std = self._placed(parameters)
        parts = dist.Independent(dist.Normal(mean, std), 1)
        return dist.MixtureSameFamily(dist.CategoricalLogits(logits=parameters[0]), parts)

    def log_prob(self, parameters: PyTree, action: Array) -> Array:
        """log Σ_k w_k N(action; μ_k, σ_k²), nats."""
        return logsumexp(self._weighed(parameters, action), axis=-1)

    def noise(self, key: Array, count: int) -> PyTree:
        """Gumbel variables `(count, components)` to choose by, and normals `(count, actions)`."""
        choose, draw = jax.random.split(key)
        actions = self.components.scale.scale.shape[0] // self.count
        return jax.random.gumbel(choose, (count, self.count)), jax.random.normal(draw, (count, actions))

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        """The chosen component's draw."""
        choose, draw = noise
        mean, std = self._placed(parameters)
        chosen = jax.nn.one_hot(jnp.argmax(parameters[0] + choose, -1), self.count, dtype=mean.dtype)[..., None]
        return (chosen * mean).sum(-2) + (chosen * std).sum(-2) * draw

    def mode(self, parameters: PyTree) -> Array:
        """The top of the hill that the likeliest component mean lies on, in action units."""
        mean, std = self._placed(parameters)
        heights = [self.log_prob(parameters, mean[..., k, :]) for k in range(self.count)]
        best = jnp.argmax(jnp.stack(heights, -1), -1)[..., None, None]
        start = jnp.take_along_axis(mean, jnp.broadcast_to(best, (*best.shape[:-1], mean.shape[-1])), axis=-2)[
            ..., 0, :
        ]

        def climb(_: Any, action: Array) -> Array:
            share = jax.nn.softmax(self._weighed(parameters, action))[..., None] / jnp.square(std)
            return (share * mean).sum(-2) / share.sum(-2)

        return jax.lax.fori_loop(0, 10, climb, start)

    def kl(self, first: PyTree, second: PyTree) -> Array:
        """KL of (component, action), nats: an upper bound of the actions' KL (deviation 1)."""
        (logits, mean, log_std), (others, means, log_stds) = first, second
        log_p, log_q = log_softmax(logits), log_softmax(others)
        return (jnp.exp(log_p) * (log_p - log_q + _gaussian_kl(mean, log_std, means, log_stds))).sum(-1)

    def entropy(self, parameters: PyTree) -> Array:
        """A lower bound, nats (deviation 2)."""
        return self._entropy(parameters, _bhattacharyya)

    def entropy_above(self, parameters: PyTree) -> Array:
        """An upper bound, nats (deviation 2)."""
        return self._entropy(parameters, _gaussian_kl)

    def floored(self, minimum_std: float) -> "GaussianMixture":
        """The same means and weights with every component's σ at least `minimum_std`."""
        return GaussianMixture(self.components.floored(minimum_std), self.count)

    def _placed(self, parameters: PyTree) -> tuple[Array, Array]:
        """Means and deviations in action units."""
        _, mean, log_std = parameters
        location, scale = self.components.scale.over(mean.reshape(*mean.shape[:-2], -1))
        return location.reshape(mean.shape) + scale.reshape(mean.shape) * mean, scale.reshape(mean.shape) * jnp.exp(
            log_std
        )

    def _weighed(self, parameters: PyTree, action: Array) -> Array:
        """log w_k + log N(action; μ_k, σ_k²)."""
        mean, std = self._placed(parameters)
        inner = dist.Normal(mean, std).log_prob(jnp.broadcast_to(action[..., None, :], mean.shape)).sum(-1)
        return log_softmax(parameters[0]) + inner

    def _entropy(self, parameters: PyTree, distance: Callable[..., Array]) -> Array:
        logits = parameters[0]
        # In action units: in network units every component has an origin of its own, and no two can be compared.
        mean, std = self._placed(parameters)
        log_std = jnp.log(std)
        shape = (*mean.shape[:-2], self.count, *mean.shape[-2:])
        here = [jnp.broadcast_to(leaf[..., :, None, :], shape) for leaf in (mean, log_std)]
        there = [jnp.broadcast_to(leaf[..., None, :, :], shape) for leaf in (mean, log_std)]
        log_w = log_softmax(logits)
        others = jnp.broadcast_to(log_w[..., None, :], shape[:-1]) - distance(*here, *there)
        own = dist.Normal(jnp.zeros_like(std), std).entropy().sum(-1)
        return (jnp.exp(log_w) * (own - logsumexp(others, axis=-1))).sum(-1)


def _gaussian_kl(mean: Array, log_std: Array, means: Array, log_stds: Array) -> Array:
    narrower = log_std - log_stds
    away = jnp.square((mean - means) * jnp.exp(-log_stds))
    return ((jnp.exp(2 * narrower) + away - 1) / 2 - narrower).sum(-1)


def _bhattacharyya(mean: Array, log_std: Array, means: Array, log_stds: Array) -> Array:
    square = jnp.exp(2 * log_std) + jnp.exp(2 * log_stds)
    return (jnp.square(mean - means) / square / 4 + (jnp.log(square / 2) - log_std - log_stds) / 2).sum(-1)


def _apart(count: int, size: int) -> np.ndarray:
    """`count` points spread evenly over the cube [−½, ½]^size, the first at its centre (Roberts' R-sequence)."""
    ratio = 2.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (size + 1))
    return (0.5 + np.arange(count)[:, None] * ratio ** -np.arange(1.0, size + 1)) % 1 - 0.5
