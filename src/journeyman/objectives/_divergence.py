"""f-divergences from an expert whose density is known: which of its actions are worth making likelier."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from journeyman.objectives._likelihood import AbstractObjective, Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import AbstractDensityPolicy
from journeyman.weights import AbstractDivergence, ForwardKL


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
    gives: ClassVar[frozenset[str]] = frozenset({"teacher"})
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
