"""A direction as a path through policies, measured in nats."""

from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.geometry import AbstractGeometry, fisher_vector_product
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.policies import AbstractDensityPolicy, partition

Policy = TypeVar("Policy", bound=AbstractDensityPolicy)


class Ray(NamedTuple):
    """θ − α d for α ≥ 0, with dᵀFd over all samples, so that a step may be asked for by its predicted KL."""

    direction: PyTree
    curvature: Float[Array, ""]

    def length(self, radius: Float[Array, ""]) -> Float[Array, ""]:
        """α = √(2 radius / dᵀFd); 0 where the curvature is not positive."""
        usable = self.curvature > 0
        return jnp.where(usable, jnp.sqrt(2 * radius / jnp.where(usable, self.curvature, 1.0)), 0.0)

    def at(self, policy: Policy, radius: Float[Array, ""]) -> Policy:
        """The policy at the predicted mean KL of `radius` nats."""
        trained, fixed = partition(policy)
        length = self.length(radius)
        return eqx.combine(jax.tree.map(lambda leaf, d: leaf - length * d, trained, self.direction), fixed)


def ray(policy: AbstractDensityPolicy, geometry: AbstractGeometry, samples: Samples) -> Ray:
    """Where `geometry` goes from `policy` on weighted samples."""
    gradient = WeightedLogLikelihood().gradient(policy, samples)[1]
    direction = geometry(policy, samples, gradient).value
    bent = fisher_vector_product(policy, samples)(direction)
    products = jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), direction, bent))
    return Ray(direction, sum(products, start=jnp.zeros(())))


def mean_divergence(
    policy: AbstractDensityPolicy, first: AbstractDensityPolicy, second: AbstractDensityPolicy, samples: Samples
) -> Float[Array, ""]:
    """The mean of KL(first ‖ second) over the valid samples' states, nats."""
    share = samples.valid / jnp.maximum(samples.valid.sum(), 1.0)
    apart = policy.kl(first.parameters(samples.observation), second.parameters(samples.observation))
    return jnp.where(samples.valid > 0, share * apart, 0.0).sum()


@eqx.filter_jit
def realised(
    policy: AbstractDensityPolicy, path: Ray, samples: Samples, radii: Float[Array, " radii"]
) -> Float[Array, " radii"]:
    """The mean KL(old ‖ new) that steps of these predicted KL turn out to have."""
    return jax.lax.map(lambda radius: mean_divergence(policy, policy, path.at(policy, radius), samples), radii)
