"""The solvers: at the rate that theory gives, the same answer explicitly, and more damping where F is not positive."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from journeyman.geometry import AbstractMetric, EmpiricalFisher, Fisher
from journeyman.geometry._solve import LARGEST, Solution, solve
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError, describe, rebuild
from journeyman.policies import DensityPolicy, partition, policy
from journeyman.worlds import LinearQuadratic

PLANE = LinearQuadratic(np.eye(2), np.eye(2, 1), np.eye(2), 1.0)
pytestmark = pytest.mark.usefixtures("x64")


def solved(matrix: np.ndarray, gradient: np.ndarray, damping: float, iterations: int, method: str) -> Solution:
    whole = jnp.asarray(matrix)
    run = jax.jit(lambda g: solve(lambda v: whole @ v, g, jnp.asarray(damping), iterations, method))  # type: ignore[arg-type]
    return run(jnp.asarray(gradient))


def spectrum(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A matrix with these eigenvalues, a right side and the solution."""
    random = np.random.default_rng(0)
    q, _ = np.linalg.qr(random.normal(size=(len(values), len(values))))
    matrix, gradient = (q * values) @ q.T, random.normal(size=len(values))
    return matrix, gradient, np.linalg.solve(matrix, gradient)


def test_conjugate_gradients_fall_at_least_as_fast_as_the_condition_number_says() -> None:
    values = np.geomspace(1.0, 100.0, 60)
    matrix, gradient, exact = spectrum(values)
    steps = np.array([2, 5, 10, 20, 30])
    size = lambda v: np.sqrt(v @ matrix @ v)  # noqa: E731
    errors = np.array([size(solved(matrix, gradient, 0.0, int(n), "conjugate gradients").value - exact) for n in steps])
    root = np.sqrt(values[-1] / values[0])
    bound = 2 * ((root - 1) / (root + 1)) ** steps * size(exact)
    assert (errors < bound).all()
    assert (np.diff(errors) < 0).all()
    rate = np.polyfit(steps, np.log(errors), 1)[0]
    assert rate < np.log((root - 1) / (root + 1)), "per iteration"
    assert rate > -1.0, "the control: an error that vanishes at once was not conjugate gradients'"


def test_as_many_iterations_as_there_are_eigenvalues_are_enough_and_one_less_is_not() -> None:
    matrix, gradient, exact = spectrum(np.repeat([1.0, 7.0, 30.0], 5))
    done = [solved(matrix, gradient, 0.0, n, "conjugate gradients").value for n in (2, 3)]
    error = [float(np.linalg.norm(d - exact) / np.linalg.norm(exact)) for d in done]
    assert error[1] < 1e-10 < 1e-3 < error[0]


@pytest.mark.parametrize("method", ["conjugate gradients", "explicit"])
def test_a_saddle_raises_the_damping_until_the_step_climbs_and_is_given_up_where_it_cannot(method: str) -> None:
    g = np.ones(2)
    good = solved(np.diag([1.0, 0.3]), g, 1e-3, 5, method)
    assert float(good.damping) == pytest.approx(1e-3), "what is good at once is left"
    saddle = solved(np.diag([1.0, -0.3]), g, 1e-3, 5, method)
    # By hand: d = (1/(1+λ), 1/(λ−0.3)), and d₁² − 0.3 d₂² is negative for λ ≤ 1 and positive for λ = 10.
    assert float(saddle.damping) == pytest.approx(10.0)
    np.testing.assert_allclose(saddle.value, [1 / 11, 1 / 9.7], rtol=1e-6)
    assert float(saddle.value @ saddle.bent) > 0
    hill = solved(np.diag([-0.3, -0.3]), g, 1e-3, 5, method)
    assert float(hill.damping) == pytest.approx(100.0), "five times tenfold"
    assert float(hill.value @ hill.bent) < 0
    assert np.isfinite(hill.value).all()
    flat = solved(np.diag([1.0, 1.0]), 0 * g, 1e-3, 5, method)
    assert not flat.value.any()
    assert float(flat.damping) == pytest.approx(1e-3)
    assert np.isnan(solved(np.eye(2), np.array([1.0, np.nan]), 1e-3, 5, method).value).all(), "not hidden"
    lost = solved(np.diag([np.nan, 1.0]), g, 0.0, 5, method)
    assert not lost.value.any()
    assert float(lost.damping) == pytest.approx(10.0), "0, 1e-3, … , 10"


# -- metrics --------------------------------------------------------------------------------------------


@functools.cache
def actor() -> DensityPolicy:
    one = policy(PLANE, jax.random.key(0), hidden=(3,))
    return jax.tree.map(lambda x: x * 3 if x.ndim == 2 else x, one)  # away from the small last layer


@functools.cache
def drawn(count: int, seed: int = 0) -> Samples:
    keys = jax.random.split(jax.random.key(seed), 3)
    observation = jax.random.normal(keys[0], (count, 2))
    action = actor().distribution(observation).sample(keys[1])
    ones = jnp.ones(count)
    return Samples(observation, action, jax.random.normal(keys[2], (count,)), ones, jnp.ones(()), jnp.zeros(count))


@pytest.mark.parametrize("kind", [Fisher, EmpiricalFisher])
def test_the_explicit_solution_is_that_of_converged_conjugate_gradients(kind: Callable[..., AbstractMetric]) -> None:
    some = drawn(60)
    gradient = jax.jit(lambda s: WeightedLogLikelihood().gradient(actor(), s)[1])(some)

    def direction(metric: AbstractMetric):
        return jax.jit(lambda s, g: metric(actor(), s, g))(some, gradient)

    explicit, early, late = (
        direction(kind(1e-2, n, method=m))
        for n, m in ((1, "explicit"), (2, "conjugate gradients"), (60, "conjugate gradients"))
    )
    a, b, c = (np.asarray(ravel_pytree(found.value)[0]) for found in (explicit, early, late))
    np.testing.assert_allclose(a, c, rtol=1e-6, atol=1e-9)
    assert not np.allclose(a, b, rtol=1e-2), "two iterations are honestly too few"
    assert float(explicit.metrics["cg_residual"]) < 1e-10
    assert float(explicit.curvature) == pytest.approx(float(late.curvature), rel=1e-6)


def test_the_empirical_matrix_approaches_the_fisher_matrix_as_one_over_the_root_of_the_samples() -> None:
    flat, unflatten = ravel_pytree(partition(actor())[0])
    columns = jnp.eye(len(flat))

    def matrix(metric: AbstractMetric, some: Samples) -> jax.Array:
        forward, inner = metric.factor(actor(), some)
        moved = lambda v: forward(unflatten(v))  # noqa: E731
        left = jax.vmap(lambda v: ravel_pytree(moved(v))[0])(columns)
        return left @ jax.vmap(lambda v: ravel_pytree(inner(moved(v)))[0])(columns).T

    @jax.jit
    def difference(some: Samples) -> jax.Array:
        exact, empirical = (matrix(metric, some) for metric in (Fisher(), EmpiricalFisher()))
        return jnp.linalg.norm(exact - empirical) / jnp.linalg.norm(exact)

    counts = np.array([100, 1600, 25600])
    errors = [np.mean([float(difference(drawn(int(n), seed))) for seed in range(3)]) for n in counts]
    assert np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(-0.5, abs=0.12)
    assert errors[-1] < 0.05


# -- refusals -------------------------------------------------------------------------------------------


def test_a_matrix_that_is_too_large_and_a_method_that_is_unknown() -> None:
    wide = np.ones(LARGEST + 1)
    with pytest.raises(JourneymanError, match=rf"builds the {len(wide)} × {len(wide)} matrix .* use method='conjugate"):
        jax.eval_shape(lambda g: solve(lambda v: v, g, jnp.asarray(0.1), 1, "explicit"), jnp.asarray(wide))
    told, _ = describe(EmpiricalFisher())  # built from its description, as annotations refuse other words here
    with pytest.raises(JourneymanError, match=r"EmpiricalFisher solves by 'conjugate gradients' or .* by 'lu'; choo"):
        rebuild({**told, "method": "lu"}, {})
    for damping in (-1.0, float("nan"), float("inf")):  # without end every direction is 0, and no step is ever taken
        with pytest.raises(JourneymanError, match="EmpiricalFisher needs a finite damping ≥ 0"):
            EmpiricalFisher(damping)
