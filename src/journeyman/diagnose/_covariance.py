"""Does a step depend on how the policy is written down? The same step, taken in other coordinates."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.diagnose._radius import Ray, mean_divergence, ray
from journeyman.geometry import AbstractGeometry
from journeyman.objectives import Samples
from journeyman.policies import AbstractDensityPolicy, DensityPolicy, partition

_STRETCH = 4.0
_BEND = 0.5
_INVERSIONS = 40  # each halves the error


class _Retold(AbstractDensityPolicy):
    """The policy in coordinates φ with θ = s φ + ½ sin(s φ), and s = 4, ¼, 4, … from leaf to leaf."""

    told: PyTree
    fixed: DensityPolicy

    @classmethod
    def of(cls, policy: DensityPolicy) -> "_Retold":
        trained, fixed = partition(policy)

        def invert(theta: Array, stretch: float) -> Array:
            halve = lambda _, u: theta - _BEND * jnp.sin(u)  # noqa: E731
            return jax.lax.fori_loop(0, _INVERSIONS, halve, theta) / stretch

        return cls(_each(invert, trained), fixed)

    def policy(self) -> DensityPolicy:
        """The same policy in its own coordinates."""

        def bend(phi: Array, stretch: float) -> Array:
            return stretch * phi + _BEND * jnp.sin(stretch * phi)

        return eqx.combine(_each(bend, self.told), self.fixed)

    def parameters(self, observation: PyTree) -> PyTree:
        return self.policy().parameters(observation)

    def distribution(self, observation: PyTree) -> Any:
        return self.policy().distribution(observation)

    def log_prob(self, observation: PyTree, action: Array) -> Array:
        return self.policy().log_prob(observation, action)

    def mode(self, observation: PyTree) -> Array:
        return self.policy().mode(observation)

    def entropy(self, observation: PyTree) -> Array:
        return self.policy().entropy(observation)

    def kl(self, first: PyTree, second: PyTree) -> Array:
        return self.fixed.kl(first, second)

    def act(self, observation: PyTree, state: PyTree, key: Array) -> tuple[Array, PyTree]:
        return self.policy().act(observation, state, key)


@eqx.filter_jit
def disagreement(
    policy: DensityPolicy, own: Ray, geometry: AbstractGeometry, samples: Samples, radii: Float[Array, " radii"]
) -> Float[Array, " radii"]:
    """√(KL(π ‖ π′) / radius): π after a step in the policy's own coordinates, π′ after one in the others.

    Both go to the same radius by their own curvature. 0: the same policy; 1: as far apart as either is from where it
    began.
    """
    retold = _Retold.of(policy)
    other = ray(retold, geometry, samples)

    def apart(radius: Array) -> Array:
        first, second = own.at(policy, radius), other.at(retold, radius).policy()
        divergence = mean_divergence(policy, first, second, samples)
        return jnp.sqrt(jnp.maximum(divergence, 0.0) / radius)

    return jax.lax.map(apart, radii)


def _each(function: Any, trained: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(trained)
    stretched = [function(leaf, _STRETCH ** (1 - 2 * (i % 2))) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, stretched)
