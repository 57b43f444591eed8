"""Gradient → direction: in which space a step is steepest."""

import abc
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.objectives import Samples
from journeyman.parts import AbstractPart
from journeyman.policies import AbstractDensityPolicy


class Direction(NamedTuple):
    """Where to go: `value` like the trained leaves, `slope` = gᵀd, `curvature` = dᵀFd (nan without a metric)."""

    value: PyTree
    slope: Float[Array, ""]
    curvature: Float[Array, ""]
    metrics: dict[str, Array]


class AbstractGeometry(AbstractPart):
    """What a small change of the policy is measured in."""

    @abc.abstractmethod
    def __call__(self, policy: AbstractDensityPolicy, samples: Samples, gradient: PyTree) -> Direction:
        """The direction of steepest ascent of the loss; a step goes against it."""


class Euclidean(AbstractGeometry):
    """d = g: a change is measured by its parameters' length, so the step depends on the parameterisation."""

    def __call__(self, policy: AbstractDensityPolicy, samples: Samples, gradient: PyTree) -> Direction:
        """The gradient itself."""
        return Direction(gradient, dot(gradient, gradient), jnp.full((), jnp.nan), {})


def dot(a: PyTree, b: PyTree) -> Array:
    """aᵀb over all leaves."""
    return sum(jax.tree.leaves(jax.tree.map(lambda x, y: (x * y).sum(), a, b)), start=jnp.zeros(()))
