"""The linear regulator: the one problem of control with real actions whose best policy is a matrix."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.experts._base import AbstractExpert
from journeyman.parts import matmul
from journeyman.worlds import LinearQuadratic


class LinearRegulator(AbstractExpert):
    """u = K x for a gain K `(m, n)`, and x what is seen."""

    gain: Float[Array, "actions states"]

    @classmethod
    def of(cls, world: LinearQuadratic, discount: float) -> "LinearRegulator":
        """The best policy of the world without a time limit, by the Riccati recursion (`LinearQuadratic.optimal_gain`).

        Noise does not change it. A time limit is no part of the problem: the clock cannot be seen.
        """
        endless = eqx.tree_at(lambda w: w.horizon, world, None, is_leaf=lambda leaf: leaf is None)
        return cls(jnp.asarray(endless.optimal_gain(discount), jnp.result_type(float)))

    def label(self, observation: PyTree, key: Array) -> Array:
        """K x."""
        del key
        return matmul(jnp.asarray(observation), self.gain.T)
