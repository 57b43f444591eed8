"""Gradient → direction: in which space a step is steepest."""

import abc
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from journeyman.objectives import Samples
from journeyman.parts import AbstractPart, JourneymanError
from journeyman.policies import AbstractDensityPolicy, partition


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
        return Direction(gradient, _dot(gradient, gradient), jnp.full((), jnp.nan), {})


class Fisher(AbstractGeometry):
    """d solves (F + damping · I) d = g by conjugate gradients, F = E_o[Jᵀ I(o) J].

    J is the Jacobian of the distribution's parameters in θ and I(o) its Fisher matrix in those parameters (the Hessian
    of KL(π ‖ ·) at π), so F is the Hessian of the mean KL and positive semidefinite by construction. The step of
    steepest descent per nat does not depend on the parameterisation (Amari 1998; Kakade 2001).
    Of a batch with more than `subset` samples the conjugate gradients see an evenly spaced part of about that many
    (Schulman et al. 2015, appendix C, take a tenth; `None` takes all). The curvature dᵀFd, without the damping, is
    always that of all samples, so that a step's length in nats does not suffer. Also reported: the relative residual
    ‖(F + λ)d − g‖ / ‖g‖ of the system that was solved.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density"})
    gives: ClassVar[frozenset[str]] = frozenset({"metric"})
    citation: ClassVar[str] = """@inproceedings{kakade2001natural,
  title={A natural policy gradient}, author={Kakade, Sham M.},
  booktitle={Advances in Neural Information Processing Systems}, volume={14}, year={2001}}
@article{amari1998natural,
  title={Natural gradient works efficiently in learning}, author={Amari, Shun-ichi},
  journal={Neural Computation}, volume={10}, number={2}, pages={251--276}, year={1998}}"""

    damping: float = eqx.field(static=True, default=1e-3)
    iterations: int = eqx.field(static=True, default=10)
    subset: int | None = eqx.field(static=True, default=8192)

    def __check_init__(self) -> None:
        if self.damping < 0 or self.iterations < 1 or (self.subset is not None and self.subset < 1):
            raise JourneymanError(
                f"Fisher needs damping ≥ 0, at least one iteration, not {self.damping}, {self.iterations}, and a subset"
                f" of at least one sample, not {self.subset}; 1e-3, 10 and 8192 are usual."
            )

    def __call__(self, policy: AbstractDensityPolicy, samples: Samples, gradient: PyTree) -> Direction:
        """Solve by conjugate gradients from zero."""
        # On one flat vector: a tree of leaves would multiply every small operation of the solver, and what it takes
        # to compile them, by the number of leaves.
        flat, unflatten = ravel_pytree(gradient)
        some = self._thinned(samples)
        tree_product = fisher_vector_product(policy, some)

        def product(vector: Array) -> Array:
            return ravel_pytree(tree_product(unflatten(vector)))[0]

        # Lineax gives nan for a curvature below 100 · eps · size of its vector, an absolute threshold that the small
        # eigenvalues of a Fisher matrix pass. Both sides are scaled so that the smallest one, the damping, is 1.
        scale = 1 / self.damping if self.damping > 0 else 1e6

        def damped(vector: Array) -> Array:
            return scale * product(vector) + scale * self.damping * vector

        structure = jax.ShapeDtypeStruct(flat.shape, flat.dtype)
        operator = lineax.FunctionLinearOperator(damped, structure, lineax.positive_semidefinite_tag)
        # The number of iterations bounds the work; a tolerance would be a second, hidden step size. Only a residual
        # that the precision cannot resolve ends them: a matrix of low rank gets there in a few, and further ones
        # divide 0 by 0. The gradient has length 1 in the system, so that its squares neither overflow nor vanish.
        length = jnp.linalg.norm(flat)
        unit = flat / jnp.where(length > 0, length, 1.0)
        least = float(jnp.finfo(flat.dtype).eps) * scale
        solver = lineax.CG(rtol=0.0, atol=least, max_steps=self.iterations, stabilise_every=None)
        value = length * lineax.linear_solve(operator, scale * unit, solver, throw=False).value
        bent = product(value)
        residual = jnp.linalg.norm(bent + self.damping * value - flat)
        metrics = {"cg_residual": residual / jnp.maximum(jnp.linalg.norm(flat), 1e-30)}
        curvature = value @ bent if some is samples else _curvature(policy, samples, unflatten(value))
        return Direction(unflatten(value), flat @ value, curvature, metrics)

    def _thinned(self, samples: Samples) -> Samples:
        """Every k-th sample, k such that about `subset` are left."""
        count = samples.valid.shape[0]
        every = 1 if self.subset is None else -(-count // self.subset)
        return samples if every == 1 else samples.take(jnp.arange(0, count, every))


def fisher_vector_product(policy: AbstractDensityPolicy, samples: Samples):
    """v ↦ F v over the valid samples, where v and the result are like the trained leaves of `policy`.

    The network is linearised once; each product then costs one forward and one backward linear pass.
    """
    trained, _ = partition(policy)
    _, forward, metric = _linearized(policy, samples)
    backward = jax.linear_transpose(forward, trained)
    return lambda vector: backward(metric(forward(vector)))[0]


def _curvature(policy: AbstractDensityPolicy, samples: Samples, vector: PyTree) -> Array:
    """vᵀFv, without the backward pass of the product."""
    _, forward, metric = _linearized(policy, samples)
    moved = forward(vector)
    return _dot(moved, metric(moved))


def _linearized(policy: AbstractDensityPolicy, samples: Samples) -> tuple[PyTree, Callable, Callable]:
    """The distribution's parameters, their linear map from the trained leaves, and the mean KL's Hessian in them."""
    trained, fixed = partition(policy)
    share = samples.valid / jnp.maximum(samples.valid.sum(), 1.0)

    def outputs(leaves: PyTree) -> PyTree:
        return eqx.combine(leaves, fixed).parameters(samples.observation)  # type: ignore[attr-defined]

    here, forward = jax.linearize(outputs, trained)

    def slope(there: PyTree) -> PyTree:
        return jax.grad(lambda q: (share * policy.kl(jax.lax.stop_gradient(here), q)).sum())(there)

    _, metric = jax.linearize(slope, here)
    return here, forward, metric


def _dot(a: PyTree, b: PyTree) -> Array:
    return sum(jax.tree.leaves(jax.tree.map(lambda x, y: (x * y).sum(), a, b)), start=jnp.zeros(()))
