"""Gradient → direction: in which space a step is steepest."""

import abc
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax
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
    Reported: the relative residual ‖(F + λ)d − g‖ / ‖g‖ and the curvature dᵀFd, without the damping.
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

    def __check_init__(self) -> None:
        if self.damping < 0 or self.iterations < 1:
            raise JourneymanError(
                f"Fisher needs damping ≥ 0 and at least one iteration, not {self.damping} and {self.iterations};"
                " 1e-3 and 10 are usual."
            )

    def __call__(self, policy: AbstractDensityPolicy, samples: Samples, gradient: PyTree) -> Direction:
        """Solve by conjugate gradients from zero."""
        product = fisher_vector_product(policy, samples)

        # Lineax gives nan for a curvature below 100 · eps · size of its vector, an absolute threshold that the small
        # eigenvalues of a Fisher matrix pass. Both sides are scaled so that the smallest one, the damping, is 1.
        scale = 1 / self.damping if self.damping > 0 else 1e6

        def damped(vector: PyTree) -> PyTree:
            return jax.tree.map(lambda f, v: scale * f + scale * self.damping * v, product(vector), vector)

        structure = jax.eval_shape(lambda: gradient)
        operator = lineax.FunctionLinearOperator(damped, structure, lineax.positive_semidefinite_tag)
        scaled = jax.tree.map(lambda leaf: scale * leaf, gradient)
        # The number of iterations bounds the work; stopping early would be a second, hidden step size.
        solver = lineax.CG(rtol=1e-10, atol=1e-30, max_steps=self.iterations, stabilise_every=None)
        value = lineax.linear_solve(operator, scaled, solver, throw=False).value
        bent = product(value)
        residual = jax.tree.map(lambda f, v, g: f + self.damping * v - g, bent, value, gradient)
        curvature = _dot(value, bent)
        norm = jnp.sqrt(_dot(gradient, gradient))
        metrics = {"cg_residual": jnp.sqrt(_dot(residual, residual)) / jnp.maximum(norm, 1e-30)}
        return Direction(value, _dot(gradient, value), curvature, metrics)


def fisher_vector_product(policy: AbstractDensityPolicy, samples: Samples):  # noqa: ANN201
    """v ↦ F v over the valid samples, where v and the result are like the trained leaves of `policy`.

    The network is linearised once; each product then costs one forward and one backward linear pass.
    """
    trained, fixed = partition(policy)
    share = samples.valid / jnp.maximum(samples.valid.sum(), 1.0)

    def outputs(leaves: PyTree) -> PyTree:
        return eqx.combine(leaves, fixed).parameters(samples.observation)  # type: ignore[attr-defined]

    here, forward = jax.linearize(outputs, trained)
    backward = jax.linear_transpose(forward, trained)

    def slope(there: PyTree) -> PyTree:
        return jax.grad(lambda q: (share * policy.kl(jax.lax.stop_gradient(here), q)).sum())(there)

    _, metric = jax.linearize(slope, here)
    return lambda vector: backward(metric(forward(vector)))[0]


def _dot(a: PyTree, b: PyTree) -> Array:
    return sum(jax.tree.leaves(jax.tree.map(lambda x, y: (x * y).sum(), a, b)), start=jnp.zeros(()))
