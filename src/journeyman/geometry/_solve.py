"""(F + damping · I) d = g: by conjugate gradients or explicitly, with more damping where F is not positive."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import lineax
from jaxtyping import Array, Float

from journeyman.parts import JourneymanError, matmul

Method = Literal["conjugate gradients", "explicit"]
Product = Callable[[Array], Array]

LARGEST = 4096
"""Parameters of a policy whose matrix is built: 64 MiB in single precision, and as many products."""
RAISES = 5
"""How often the damping grows tenfold before a solution is given up."""
FIRST_RAISE = 1e-3
"""What the damping is raised to from 0."""


class Solution(NamedTuple):
    """d, F d on the samples that were solved on, and the damping in the end."""

    value: Float[Array, " parameters"]
    bent: Float[Array, " parameters"]
    damping: Float[Array, ""]


def solve(
    product: Product, gradient: Float[Array, " parameters"], damping: Array, iterations: int, method: Method
) -> Solution:
    """d with (F + λI) d = g, where λ is `damping`, or ten times as much until d is finite, dᵀFd > 0 and gᵀd > 0.

    After `RAISES` raises the last solution is given, zeros where it is not finite. A gradient of zeros gives zeros, one
    that is not finite gives nan: it is no matter of the solver. One solution costs what it would without the loop.
    """
    answer = _explicit(product, gradient) if method == "explicit" else _conjugate(product, gradient, iterations)
    size = jnp.linalg.norm(gradient)

    def wanted(carry: tuple) -> Array:
        count, good, _ = carry
        return (count <= RAISES) & ~good & (size > 0)

    def attempt(carry: tuple) -> tuple:
        count, _, last = carry
        raised = jnp.where(last.damping > 0, 10 * last.damping, FIRST_RAISE)
        damping = jnp.where(count > 0, raised, last.damping)
        value = answer(damping)
        bent = product(value)
        finite = jnp.isfinite(value).all() & jnp.isfinite(bent).all()
        good = finite & (matmul(value, bent) > 0) & (matmul(value, gradient) > 0)
        zero = jnp.zeros_like(value)
        return count + 1, good, Solution(jnp.where(finite, value, zero), jnp.where(finite, bent, zero), damping)

    start = jnp.where(jnp.isfinite(size), jnp.zeros_like(gradient), jnp.nan)
    first = Solution(start, start, jnp.asarray(damping, gradient.dtype))
    _, _, solution = jax.lax.while_loop(wanted, attempt, (jnp.zeros((), jnp.int32), jnp.zeros((), bool), first))
    return solution


def _conjugate(product: Product, gradient: Array, iterations: int) -> Callable[[Array], Array]:
    # The number of iterations bounds the work; a tolerance would be a second, hidden step size. Only a residual that
    # the precision cannot resolve ends them: a matrix of low rank gets there in a few, and further ones divide 0 by 0.
    # The gradient has length 1 in the system, so that its squares neither overflow nor vanish.
    least = float(jnp.finfo(gradient.dtype).eps) ** 2
    solver = lineax.CG(rtol=0.0, atol=least, max_steps=iterations, stabilise_every=None)
    length = jnp.linalg.norm(gradient)
    unit = gradient / jnp.where(length > 0, length, 1.0)
    structure = jax.ShapeDtypeStruct(gradient.shape, gradient.dtype)

    def answer(damping: Array) -> Array:
        # Lineax gives nan for a curvature below 100 · eps · size of its vector, an absolute threshold that the small
        # eigenvalues of a Fisher matrix pass. Both sides are scaled so that the smallest one, the damping, is 1.
        scale = jnp.where(damping > 0, 1 / jnp.where(damping > 0, damping, 1.0), 1e6)
        operator = lineax.FunctionLinearOperator(
            lambda vector: scale * product(vector) + scale * damping * vector,
            structure,
            lineax.positive_semidefinite_tag,
        )
        return length * scale * lineax.linear_solve(operator, unit, solver, throw=False).value

    return answer


def _explicit(product: Product, gradient: Array) -> Callable[[Array], Array]:
    size = gradient.shape[0]
    if size > LARGEST:
        raise JourneymanError(
            f"An explicit solve builds the {size} × {size} matrix of a policy with {size} parameters, and more than"
            f" {LARGEST} are too many; use method='conjugate gradients'."
        )
    identity = jnp.eye(size, dtype=gradient.dtype)
    matrix = jax.lax.map(product, identity, batch_size=16)
    matrix = (matrix + matrix.T) / 2  # rounding alone makes them differ

    def answer(damping: Array) -> Array:
        operator = lineax.MatrixLinearOperator(matrix + damping * identity, lineax.positive_semidefinite_tag)
        return lineax.linear_solve(operator, gradient, lineax.Cholesky(), throw=False).value

    return answer
