"""f-divergences from an expert whose density is known: which of its actions are worth making likelier.

D_f(p ‖ q) = E_{a~q} [f(u)], u = p(a) / q(a), f convex with f(1) = 0. Since ∇D_f = −E_q[(u f'(u) − f(u)) ∇log q], every
divergence is the weighted likelihood under a weight of its own, and forward KL, with weight u, is cloning.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from journeyman.objectives._likelihood import AbstractObjective, Samples, WeightedLogLikelihood
from journeyman.parts import AbstractPart, JourneymanError
from journeyman.policies import AbstractDensityPolicy

_MOST = 30.0
"""How large log u is taken to be at most where a weight grows with u: e³⁰ is still a number in single precision."""


class AbstractDivergence(AbstractPart):
    """An f, told by two functions of log u. Both are taken under m = ½p + ½q, where they are bounded for most f.

    `weight` is that of log q: f'(1) is subtracted from u f'(u) − f(u), which changes no expectation under q, and makes
    it 0 where p and q agree: at the optimum of a family that holds p the gradient has no variance.
    """

    @abc.abstractmethod
    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """f(u) / (1 + u)."""

    @abc.abstractmethod
    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u f'(u) − f(u) − f'(1)) / (1 + u)."""


class ForwardKL(AbstractDivergence):
    """KL(p ‖ q), f = u log u: behaviour cloning. Covers all that p does; a poor q averages modes."""

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """u log u / (1 + u)."""
        return jax.nn.sigmoid(log_ratio) * log_ratio

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u − 1) / (1 + u)."""
        return jnp.tanh(log_ratio / 2)


class ReverseKL(AbstractDivergence):
    """KL(q ‖ p), f = −log u: the policy gradient with reward log p and an entropy bonus. Seeks a mode."""

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """−log u / (1 + u)."""
        return -log_ratio * jax.nn.sigmoid(-log_ratio)

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """log u / (1 + u)."""
        return log_ratio * jax.nn.sigmoid(-log_ratio)


class JensenShannon(AbstractDivergence):
    """½ KL(p ‖ m) + ½ KL(q ‖ m): between the two, bounded by log 2. What a discriminator's loss tends to."""

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ (u log u / (1 + u) − log((1 + u) / 2))."""
        return 0.5 * (jax.nn.sigmoid(log_ratio) * log_ratio - _log_middle(log_ratio))

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ log((1 + u) / 2) / (1 + u)."""
        return 0.5 * _log_middle(log_ratio) * jax.nn.sigmoid(-log_ratio)


class TotalVariation(AbstractDivergence):
    """½ ∫ |p − q|, f = ½ |u − 1|: the largest difference of a probability. Its weight knows only the sign."""

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ |u − 1| / (1 + u)."""
        return 0.5 * jnp.abs(jnp.tanh(log_ratio / 2))

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """½ sign(u − 1) / (1 + u)."""
        return 0.5 * jnp.sign(log_ratio) * jax.nn.sigmoid(-log_ratio)


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


class Alpha(AbstractDivergence):
    """Amari's α-divergence, f = (u^α − α u + α − 1) / (α (α − 1)), from reverse KL (α → 0) to forward KL (α → 1).

    α = 2 is half of `ChiSquared`, α = ½ four times the squared Hellinger distance ½ ∫ (√p − √q)². α itself is neither
    0 nor 1; log u is cut at 30.
    """

    alpha: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.alpha in (0, 1) or not abs(self.alpha) < 1e3:
            raise JourneymanError(
                f"α = {self.alpha} has no such form; use ReverseKL for 0, ForwardKL for 1, 0.5 for what lies between."
            )

    def value(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u^α − α u + α − 1) / (α (α − 1)) / (1 + u)."""
        power = self._power(log_ratio)
        rest = (self.alpha - 1) * jax.nn.sigmoid(-log_ratio) - self.alpha * jax.nn.sigmoid(log_ratio)
        return (power + rest) / (self.alpha * (self.alpha - 1))

    def weight(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """(u^α − 1) / α / (1 + u)."""
        return (self._power(log_ratio) - jax.nn.sigmoid(-log_ratio)) / self.alpha

    def _power(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """u^α / (1 + u)."""
        cut = jnp.clip(log_ratio, -_MOST, _MOST)
        return jnp.exp(self.alpha * cut - jax.nn.softplus(cut))


class Divergence(AbstractObjective):
    """E_o [D_f(π*(· | o) ‖ π_θ(· | o))], with fresh actions of both policies at every gradient step.

        loss = (1/Z) Σ_i w_i (1/K) Σ_k 2 f(u_ik) / (1 + u_ik),   u = π*(a | o) / π_θ(a | o),   a_ik ~ ½π* + ½π_θ

    Half of the K = `draws` actions at each observation are the expert's, half the policy's. The gradient is that of the
    weighted likelihood of these actions, with the divergence's weights. Loss and gradient are unbiased estimates of the
    divergence and its gradient. What was demonstrated does not count: the expert's density says all. Logged is the
    loss, in nats for the KLs and Jensen–Shannon.

    Ke et al. 2020, on actions given the expert's states. Deviation: they estimate from samples by a variational bound;
    here both densities are known.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density"})
    draws_actions: ClassVar[bool] = True
    citation: ClassVar[str] = """@inproceedings{ke2020imitation,
  title={Imitation learning as f-divergence minimization},
  author={Ke, Liyiming and Choudhury, Sanjiban and Barnes, Matt and Sun, Wen and Lee, Gilwoo and Srinivasa, Siddhartha},
  booktitle={Workshop on the Algorithmic Foundations of Robotics}, year={2020}}"""

    expert: AbstractDensityPolicy
    divergence: AbstractDivergence = ForwardKL()
    draws: int = eqx.field(static=True, default=16)

    def __check_init__(self) -> None:
        if self.draws < 2 or self.draws % 2:
            raise JourneymanError(
                f"Half of the draws are the expert's and half the policy's, so {self.draws} will not do; use 16."
            )

    def measure(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The divergence."""
        drawn, log_ratio = self._drawn(policy, samples)
        weight = drawn.weight
        likelihood = WeightedLogLikelihood("steps")
        worth = 2 * weight * self.divergence.weight(log_ratio)
        loss = likelihood(policy, eqx.tree_at(lambda s: s.weight, drawn, worth))
        steps = jnp.maximum(drawn.valid.sum(), 1.0)
        value = jnp.where(drawn.valid > 0, 2 * weight * self.divergence.value(log_ratio), 0.0).sum() / steps
        return loss + jax.lax.stop_gradient(value - loss), {}

    def _drawn(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Samples, Float[Array, " draws"]]:
        """The samples, each as often as there are draws, with an action drawn for each, and log u there."""
        assert samples.key is not None  # the learner keys what an objective that draws is given
        key, half = jax.random.wrap_key_data(samples.key), self.draws // 2
        many = samples.map(lambda leaf: _repeated(leaf, half))
        count = many.valid.shape[0]
        keys = jax.random.split(key)
        actions = [
            one.draw(many.observation, one.noise(each, count))
            for one, each in zip((self.expert, policy), keys, strict=True)
        ]
        both = samples.map(lambda leaf: _repeated(leaf, self.draws))
        both = jax.lax.stop_gradient(eqx.tree_at(lambda s: s.target, both, jnp.concatenate(actions)))
        log_p, log_q = (one.log_prob(both.observation, both.target) for one in (self.expert, policy))
        log_ratio = log_p - log_q
        return both, jax.lax.stop_gradient(jnp.where(both.valid > 0, log_ratio, 0.0))


def _repeated(leaf: Array, times: int) -> Array:
    """All rows, then all of them again, `times` over."""
    return jnp.tile(leaf, (times, *(1 for _ in leaf.shape[1:])))


def _log_middle(log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """log((1 + u) / 2)."""
    return jax.nn.softplus(log_ratio) - jnp.log(2.0)
