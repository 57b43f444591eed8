"""f-divergences between two densities, and what makes each smaller: a weight for every action.

D_f(p ‖ q) = E_{a~q} [f(u)], u = p(a) / q(a), f convex with f(1) = 0. Since ∇D_f = −E_q[(u f'(u) − f(u)) ∇log q], every
divergence is the weighted likelihood under a weight of its own, and forward KL, with weight u, is cloning.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from journeyman.parts import AbstractPart, JourneymanError

_MOST = 30.0
"""How large log u is taken to be at most where a weight grows with u: e³⁰ is still a number in single precision."""


class AbstractDivergence(AbstractPart):
    """An f, told by functions of log u.

    `gain` is the weight of log q under q itself: what an action is worth. f'(1) is subtracted from u f'(u) − f(u),
    which changes no expectation under q, and makes it 0 where p and q agree: at the optimum of a family that holds p
    the gradient has no variance. `value` and `weight` = `gain` / (1 + u) are taken under m = ½p + ½q, where they are
    bounded for most f.
    """

    @abc.abstractmethod
    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """f(u) / (1 + u)."""

    @abc.abstractmethod
    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u f'(u) − f(u) − f'(1)) / (1 + u)."""

    @abc.abstractmethod
    def gain(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """u f'(u) − f(u) − f'(1)."""


class ForwardKL(AbstractDivergence):
    """KL(p ‖ q), f = u log u: behaviour cloning. Covers all that p does; a poor q averages modes."""

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """u log u / (1 + u)."""
        return jax.nn.sigmoid(log_ratio) * log_ratio

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u − 1) / (1 + u)."""
        return jnp.tanh(log_ratio / 2)

    def gain(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """u − 1, log u cut at 30."""
        return jnp.expm1(jnp.minimum(log_ratio, _MOST))


class ReverseKL(AbstractDivergence):
    """KL(q ‖ p), f = −log u: the policy gradient with reward log p and an entropy bonus. Seeks a mode."""

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """−log u / (1 + u)."""
        return -log_ratio * jax.nn.sigmoid(-log_ratio)

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """log u / (1 + u)."""
        return log_ratio * jax.nn.sigmoid(-log_ratio)

    def gain(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """log u."""
        return log_ratio


class JensenShannon(AbstractDivergence):
    """½ KL(p ‖ m) + ½ KL(q ‖ m): between the two, bounded by log 2. What a discriminator's loss tends to."""

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ (u log u / (1 + u) − log((1 + u) / 2))."""
        return 0.5 * (jax.nn.sigmoid(log_ratio) * log_ratio - _log_middle(log_ratio))

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ log((1 + u) / 2) / (1 + u)."""
        return 0.5 * _log_middle(log_ratio) * jax.nn.sigmoid(-log_ratio)

    def gain(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ log((1 + u) / 2)."""
        return 0.5 * _log_middle(log_ratio)


class TotalVariation(AbstractDivergence):
    """½ ∫ |p − q|, f = ½ |u − 1|: the largest difference of a probability. Its weight knows only the sign."""

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ |u − 1| / (1 + u)."""
        return 0.5 * jnp.abs(jnp.tanh(log_ratio / 2))

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ sign(u − 1) / (1 + u)."""
        return 0.5 * jnp.sign(log_ratio) * jax.nn.sigmoid(-log_ratio)

    def gain(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ sign(u − 1)."""
        return 0.5 * jnp.sign(log_ratio)


class ChiSquared(AbstractDivergence):
    """Pearson's ∫ (p − q)² / q, f = (u − 1)²: infinite where p has heavier tails than q.

    log u is cut at 30, so what is not finite gives a large number and not nan.
    """

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u − 1)² / (1 + u)."""
        return jnp.expm1(jnp.minimum(log_ratio, _MOST)) * jnp.tanh(log_ratio / 2)

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u² − 1) / (1 + u) = u − 1."""
        return jnp.expm1(jnp.minimum(log_ratio, _MOST))

    def gain(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """u² − 1."""
        return jnp.expm1(2 * jnp.minimum(log_ratio, _MOST))


class Alpha(AbstractDivergence):
    """Amari's α-divergence, f = (u^α − α u + α − 1) / (α (α − 1)), from reverse KL (α → 0) to forward KL (α → 1).

    α = 2 is half of `ChiSquared`, α = ½ four times the squared Hellinger distance ½ ∫ (√p − √q)². α itself is neither
    0 nor 1 and lies within ±10; log u is cut at ±30, and at ±60/|α| where that is less, so that u^α is a number.
    """

    alpha: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.alpha in (0, 1):
            raise JourneymanError(
                f"α = {self.alpha} has no such form; use ReverseKL for 0, ForwardKL for 1, 0.5 for what lies between."
            )
        if not abs(self.alpha) <= 10:
            raise JourneymanError(
                f"α must lie in [-10, 10], not at {self.alpha}: u^α is soon no number beyond; 0.5 is usual."
            )

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u^α − α u + α − 1) / (α (α − 1)) / (1 + u)."""
        power = self._power(log_ratio)
        rest = (self.alpha - 1) * jax.nn.sigmoid(-log_ratio) - self.alpha * jax.nn.sigmoid(log_ratio)
        return (power + rest) / (self.alpha * (self.alpha - 1))

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u^α − 1) / α / (1 + u)."""
        return (self._power(log_ratio) - jax.nn.sigmoid(-log_ratio)) / self.alpha

    def gain(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u^α − 1) / α."""
        return jnp.expm1(self.alpha * self._cut(log_ratio)) / self.alpha

    def _power(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """u^α / (1 + u)."""
        cut = self._cut(log_ratio)
        return jnp.exp(self.alpha * cut - jax.nn.softplus(cut))

    def _cut(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """log u where u^α, as the u² of `ChiSquared`, is at most e⁶⁰."""
        most = min(_MOST, 2 * _MOST / abs(self.alpha))
        return jnp.clip(log_ratio, -most, most)


def _log_middle(log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """log((1 + u) / 2)."""
    return jax.nn.softplus(log_ratio) - jnp.log(2.0)
