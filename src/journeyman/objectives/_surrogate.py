"""Surrogates of the expected return near the policy that collected the data: ratios instead of log-probabilities.

Both have the gradient of the weighted log-likelihood with weight ρ · A (0 where the ratio is clipped): at ρ = 1, the
policy gradient itself. Beyond e³⁰ a ratio goes on as its tangent in log ρ, e³⁰ (1 + log ρ − 30), whose slope is a
number in single precision.
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from journeyman.episodes import HostOrDevice
from journeyman.objectives._likelihood import AbstractObjective, Samples
from journeyman.parts import JourneymanError, Number, holds
from journeyman.policies import AbstractDensityPolicy

_MOST = 30.0
"""Up to which log ρ its exponential is taken: the square of e³⁰, as in the norm of a gradient, is a number still."""


class Surrogate(AbstractObjective):
    """L(θ) = −(1/Z) Σ_i ρ_i A_i, with ρ_i = π_θ(a_i | o_i) / π_old(a_i | o_i) and Z the valid steps.

    By importance sampling this is minus the advantage of π_θ on the states of π_old (Kakade and Langford 2002; Schulman
    et al. 2015, equation 14). Its gradient at π_old is that of `WeightedLogLikelihood`; how far it really falls is what
    a line search asks.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density"})
    compares: ClassVar[bool] = True

    def measure(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss, and `approximate_kl`."""
        log_ratio = _log_ratio(policy, samples)
        ratio = _ratio(log_ratio)
        return -_mean(ratio * samples.weight, samples), {"approximate_kl": _mean(ratio - 1 - log_ratio, samples)}


class ClippedSurrogate(AbstractObjective):
    """L(θ) = −(1/Z) Σ_i min(ρ_i A_i, clip(ρ_i, 1 − ε, 1 + ε) A_i) − `entropy` · (1/Z) Σ_i H(π_θ(· | o_i)).

    Schulman et al. 2017, equation 7: nothing is gained by taking a ratio further than ε = `clip` in the direction that
    its advantage asks for, so those samples have no gradient. `standardize` centres the weights of the samples that are
    given (a minibatch) and divides them by their deviation (n − 1, plus 1e-8), as Stable-Baselines3 does; a single
    valid sample is left as it is. Logged: `clip_share`, the share of ratios outside 1 ± ε, and `approximate_kl`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density"})
    citation: ClassVar[str] = """@article{schulman2017proximal,
  title={Proximal policy optimization algorithms},
  author={Schulman, John and Wolski, Filip and Dhariwal, Prafulla and Radford, Alec and Klimov, Oleg},
  journal={arXiv preprint arXiv:1707.06347}, year={2017}}"""
    compares: ClassVar[bool] = True

    clip: Number = 0.2
    entropy: Number = 0.0
    standardize: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        if not holds(self.clip > 0, self.entropy >= 0):
            raise JourneymanError(
                f"A clipped ratio needs room on both sides and an entropy bonus of 0 or more, not clip = {self.clip}"
                f" and entropy = {self.entropy}; 0.2 and 0 are usual."
            )

    def measure(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss, `clip_share` and `approximate_kl`."""
        log_ratio = _log_ratio(policy, samples)
        ratio = _ratio(log_ratio)
        advantage = _standardized(samples) if self.standardize else samples.weight
        inside = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        loss = -_mean(jnp.minimum(ratio * advantage, inside * advantage), samples)
        if not (isinstance(self.entropy, (int, float)) and self.entropy == 0):
            loss = loss - self.entropy * _mean(policy.entropy(samples.observation), samples)
        outside = (jnp.abs(ratio - 1) > self.clip).astype(ratio.dtype)
        metrics = {
            "clip_share": _mean(outside, samples),
            "approximate_kl": _mean(ratio - 1 - log_ratio, samples),
        }
        return loss, metrics


def _log_ratio(policy: AbstractDensityPolicy, samples: Samples) -> Array:
    """log ρ; 0 on samples that do not count, whose cleared actions may be ones that nobody would take."""
    log_ratio = policy.log_prob(samples.observation, samples.target) - samples.log_prob
    return jnp.where(samples.valid > 0, log_ratio, 0.0)


def _ratio(log_ratio: Array) -> Array:
    """ρ; where its exponential would overflow, a clipped sample's gradient would be 0 · ∞ and not 0."""
    return jnp.exp(jnp.minimum(log_ratio, _MOST)) * (1 + jnp.maximum(log_ratio - _MOST, 0.0))


def _mean(value: HostOrDevice, samples: Samples) -> Array:
    return jnp.where(samples.valid > 0, value, 0.0).sum() / jnp.maximum(samples.valid.sum(), 1.0)


def _standardized(samples: Samples) -> Array:
    count = samples.valid.sum()
    centred = samples.weight - _mean(samples.weight, samples)
    square = jnp.where(samples.valid > 0, jnp.square(centred), 0.0).sum() / jnp.maximum(count - 1, 1.0)
    return jnp.where(count > 1, centred / (jnp.sqrt(square) + 1e-8), samples.weight)
