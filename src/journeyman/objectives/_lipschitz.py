"""A likelihood that prefers functions which do not change fast."""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from journeyman.objectives._likelihood import AbstractObjective, Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError, Number, holds
from journeyman.policies import AbstractDensityPolicy, DensityPolicy, spectral_norms


class JacobianPenalty(AbstractObjective):
    """The loss of `objective` and a price on samples where the mean changes faster than `limit`.

        L + weight · E[min(max(‖J‖ − limit, 0), slack)],   J = ∂(network's mean)/∂(network's features)

    ‖J‖ is the spectral norm by `spectral_norms` (from above, within 2 %), in standardised features and outputs, so that
    `limit` has no unit. A network under it is about `limit`-Lipschitz where it was looked at, and only there. Above
    `limit` + `slack` a sample pays no more and pulls no more: it is granted to be steep, as a contact is. That is the
    slack variable s ∈ [0, 1] of Ke et al. in min_s s · excess + (1 − s) · slack, put at its minimum; infinite slack
    recovers the plain penalty. Of a batch the first `samples` valid ones are looked at: minibatches are shuffled, and
    derivatives of derivatives cost a dozen passes. Logged: `steepness`, the mean of ‖J‖, and `steep_share`, the share
    above `limit`.

    Source: Ke et al., CCIL (2024). Deviations: 1. J is that of the residual, without the identity of
    s + f. 2. Features and outputs are standardised: there the inputs' and outputs' units decide what is steep.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density", "continuous actions"})
    citation: ClassVar[str] = """@inproceedings{ke2024ccil,
  title={{CCIL}: Continuity-based data augmentation for corrective imitation learning},
  author={Ke, Liyiming and Zhang, Yunchu and Deshpande, Abhay and Srinivasa, Siddhartha and Gupta, Abhishek},
  booktitle={International Conference on Learning Representations}, year={2024}}"""

    limit: Number = 1.0
    weight: Number = 0.1
    slack: Number = float("inf")
    samples: int = eqx.field(static=True, default=16)
    objective: AbstractObjective = WeightedLogLikelihood()

    def __check_init__(self) -> None:
        if not holds(self.limit >= 0, self.weight >= 0, self.slack > 0) or self.samples < 1:
            raise JourneymanError(
                f"A penalty on steepness has no negative limit ({self.limit}) or weight ({self.weight}), a positive"
                f" slack ({self.slack}) and looks at one or more samples (not {self.samples}); 1, 0.1, infinity and 16"
                " are usual."
            )

    def fixed_at(self, policy: AbstractDensityPolicy, samples: Samples) -> "JacobianPenalty":
        """With `objective` as it is held at `policy`."""
        return dataclasses.replace(self, objective=self.objective.fixed_at(policy, samples))

    def measure(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss with its price; samples with `valid` 0 have no part in either."""
        if not isinstance(policy, DensityPolicy):
            raise JourneymanError(
                f"JacobianPenalty looks into the network of a DensityPolicy, and {type(policy).__name__} has none."
            )
        loss, measured = self.objective.measured(policy, samples)
        first = jnp.argsort(-samples.valid, stable=True)[: self.samples]
        some = samples.take(first)
        norms = steepness(policy, some)
        share = some.valid / jnp.maximum(some.valid.sum(), 1.0)
        excess = jnp.minimum(jnp.maximum(norms - self.limit, 0.0), self.slack)
        steep = jnp.where(norms > self.limit, share, 0.0)
        metrics = {"steepness": (share * norms).sum(), "steep_share": steep.sum()}
        return loss + self.weight * (share * excess).sum(), {**measured, **metrics}


def steepness(policy: DensityPolicy, samples: Samples) -> Float[Array, " samples"]:
    """‖∂(network)/∂(features)‖ at each sample."""
    features = policy.normalizer(policy.encoder(samples.observation))
    time = policy.encoder.time(samples.observation)
    if time is None:
        return spectral_norms(jax.vmap(jax.jacfwd(policy.network))(features))
    return spectral_norms(jax.vmap(jax.jacfwd(policy.network))(features, time))
