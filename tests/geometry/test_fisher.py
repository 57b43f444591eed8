"""The Fisher metric: against the explicit matrix and the score's covariance, and what a natural step does not see."""

import functools
import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jaxtyping import Array, PyTree

from journeyman.algorithms import bc
from journeyman.geometry import Euclidean, Fisher, fisher_vector_product
from journeyman.geometry._metric import _thinned
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError, describe, rebuild
from journeyman.policies import (
    MLP,
    AbstractDensityPolicy,
    AbstractHead,
    Bernoulli,
    Beta,
    Categorical,
    DensityPolicy,
    Encoder,
    FullGaussian,
    Gaussian,
    GaussianMixture,
    MultiCategorical,
    Normalizer,
    SquashedGaussian,
    partition,
)
from journeyman.training import LineSearch
from journeyman.worlds import AbstractFinite, Box

SQUARE = Box.symmetric(2.0, 2)
HEADS: dict[str, Callable[[], AbstractHead]] = {
    "gaussian": lambda: Gaussian.make(SQUARE),
    "gaussian by state": lambda: Gaussian.make(SQUARE, state_dependent=True),
    "squashed": lambda: SquashedGaussian.make(SQUARE),
    "full": lambda: FullGaussian.make(SQUARE),
    "full by state": lambda: FullGaussian.make(SQUARE, state_dependent=True),
    "beta": lambda: Beta.make(SQUARE),
    "mixture": lambda: GaussianMixture.make(SQUARE, components=2),
    "categorical": lambda: Categorical(3),
    "multi-categorical": lambda: MultiCategorical((2, 3)),
    "bernoulli": lambda: Bernoulli(2),
}
every_head = pytest.mark.parametrize("name", HEADS)
COUNT = 6


@functools.cache
def built(name: str) -> tuple[DensityPolicy, Samples]:
    """A small policy away from its start, and six samples of which the last is padding."""
    head, random = HEADS[name](), np.random.default_rng(0)
    sizes = (2, 3, head.outputs())
    network = MLP(
        tuple(jnp.asarray(random.normal(size=pair) * 0.5) for pair in itertools.pairwise(sizes)),
        tuple(jnp.asarray(random.normal(size=n) * 0.5) for n in sizes[1:]),
    )
    policy = DensityPolicy(Encoder(((2,),), (0,)), Normalizer.fresh(2), network, head)
    space = head.space()
    choices = isinstance(space, AbstractFinite)
    target = random.integers(0, space.counts, (COUNT, *space.shape)) if choices else random.normal(size=(COUNT, 2))
    valid = np.ones(COUNT)
    valid[-1] = 0
    weight = random.normal(size=COUNT) * valid
    samples = Samples(random.normal(size=(COUNT, 2)), target, weight, valid, np.ones(()), np.zeros(COUNT))
    return policy, jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float) if x.dtype == float else None), samples)


@functools.cache
def explicit(name: str) -> tuple[np.ndarray, Callable, Array]:
    """The Hessian of the mean KL(θ ‖ ·) at θ as a matrix, with the flat parameters and how to unflatten them."""
    policy, samples = built(name)
    trained, fixed = partition(policy)
    flat, unflatten = jax.flatten_util.ravel_pytree(trained)
    share = samples.valid / samples.valid.sum()
    here = policy.parameters(samples.observation)

    def divergence(theta: Array) -> Array:
        there = eqx.combine(unflatten(theta), fixed).parameters(samples.observation)
        return (share * policy.kl(here, there)).sum()

    return np.asarray(jax.jit(jax.hessian(divergence))(flat)), unflatten, flat


@pytest.mark.usefixtures("x64")
@every_head
def test_products_are_those_of_the_explicit_matrix_and_of_the_expected_score(name: str) -> None:
    policy, samples = built(name)
    matrix, unflatten, flat = explicit(name)
    product = fisher_vector_product(policy, samples)
    columns = jax.jit(jax.vmap(lambda v: jax.flatten_util.ravel_pytree(product(unflatten(v)))[0]))(jnp.eye(len(flat)))
    np.testing.assert_allclose(columns.T, matrix, atol=1e-9)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-9, "positive semidefinite"
    # F is the covariance of the score, E[∇log π ∇log πᵀ]: 3000 actions at each valid observation, 5 standard errors
    # for each of a few hundred entries.
    outer, error = scores(policy, samples, unflatten, flat, 3000)
    if "kl" in policy.head.approximates:
        # The KL of (component, action) is at least that of the action, and so is its metric.
        room = 5 * np.linalg.norm(error)
        assert np.linalg.eigvalsh(matrix - outer)[0] > -room
        assert np.linalg.eigvalsh(0.2 * matrix - outer)[0] < -room
        return
    assert (np.abs(outer - matrix) < 5 * error + 1e-9).all()
    assert not (np.abs(outer - 1.5 * matrix) < 5 * error + 1e-9).all()


def scores(
    policy: DensityPolicy, samples: Samples, unflatten: Callable, flat: Array, count: int
) -> tuple[np.ndarray, np.ndarray]:
    fixed = partition(policy)[1]

    def score(theta: Array, observation: Array, action: Array) -> Array:
        return eqx.combine(unflatten(theta), fixed).log_prob(observation, action)

    @jax.jit
    def draw(key: Array) -> Array:
        observation = jnp.repeat(samples.observation[:-1], count, axis=0)
        action = policy.distribution(observation).sample(key)
        one = jax.vmap(jax.grad(score), in_axes=(None, 0, 0))(flat, observation, action)
        return one.reshape(COUNT - 1, count, -1)

    found = np.asarray(draw(jax.random.key(0)))
    outer = np.einsum("ocp,ocq->pq", found, found) / found[..., 0].size
    square = np.einsum("ocp,ocq->pq", found**2, found**2) / found[..., 0].size
    return outer, np.sqrt(np.maximum(square - outer**2, 0) / found[..., 0].size)


@pytest.mark.usefixtures("x64")
@every_head
def test_the_divergence_of_a_policy_from_itself_is_zero_and_flat(name: str) -> None:
    policy, samples = built(name)
    here = policy.parameters(samples.observation)
    value, slope = jax.jit(jax.value_and_grad(lambda there: policy.kl(here, there).sum()))(here)
    assert float(value) == pytest.approx(0.0, abs=1e-14)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slope)) < 1e-12


@pytest.mark.usefixtures("x64")
@every_head
def test_conjugate_gradients_solve_the_damped_system_and_report_it(name: str) -> None:
    policy, samples = built(name)
    matrix, _, flat = explicit(name)
    gradient = jax.jit(lambda s: WeightedLogLikelihood().gradient(policy, s)[1])(samples)
    g = np.asarray(jax.flatten_util.ravel_pytree(gradient)[0])
    found = jax.jit(lambda: Fisher(0.1, 60)(policy, samples, gradient))()
    d = np.asarray(jax.flatten_util.ravel_pytree(found.value)[0])
    np.testing.assert_allclose(d, np.linalg.solve(matrix + 0.1 * np.eye(len(flat)), g), rtol=1e-6, atol=1e-8)
    assert float(found.metrics["cg_residual"]) < 1e-7
    assert float(found.slope) == pytest.approx(g @ d)
    assert float(found.curvature) == pytest.approx(d @ matrix @ d), "without the damping"
    early = jax.jit(lambda: Fisher(0.1, 2)(policy, samples, gradient))()
    assert float(early.metrics["cg_residual"]) > 1e-4, "two iterations are honestly too few"


@pytest.mark.usefixtures("x64")
def test_the_euclidean_direction_is_the_gradient_and_knows_no_curvature() -> None:
    policy, samples = built("categorical")
    gradient = partition(policy)[0]
    found = Euclidean()(policy, samples, gradient)
    assert found.value is gradient
    assert np.isnan(found.curvature)


@pytest.mark.usefixtures("x64")
def test_padding_never_bends_the_metric() -> None:
    policy, samples = built("gaussian")
    dirty = eqx.tree_at(lambda s: s.observation, samples, samples.observation.at[-1].set(jnp.nan)).cleared()
    trained, _ = partition(policy)
    clean = fisher_vector_product(policy, samples)(trained)
    for a, b in zip(
        jax.tree.leaves(clean), jax.tree.leaves(fisher_vector_product(policy, dirty)(trained)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize(("horizon", "streams", "steps"), [(5, 1024, 6), (5, 1024, 24), (5, 2048, 6), (1, 4096, 3)])
def test_the_part_of_a_large_batch_that_the_solver_sees_has_all_step_numbers(
    horizon: int, streams: int, steps: int
) -> None:
    """Streams of episodes of one length with a reset after each: every k-th sample would be the same few numbers."""
    elapsed = np.broadcast_to(np.arange(steps) % (horizon + 1), (streams, steps)).reshape(-1)
    valid = jnp.asarray(elapsed < horizon, jnp.float32)
    shown = jnp.asarray(elapsed[:, None], jnp.float32)
    samples = Samples(shown, shown, valid, valid, jnp.ones(()), valid)
    some = _thinned(samples, 4096)
    assert 3000 < len(some.valid) <= 4096
    shares = [
        np.bincount(elapsed, np.asarray(valid), horizon)[:horizon] / len(elapsed),
        np.bincount(np.asarray(some.observation)[:, 0].astype(int), np.asarray(some.valid), horizon)[:horizon]
        / len(some.valid),
    ]
    np.testing.assert_allclose(*shares, atol=0.05)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), some, _thinned(samples, 4096))), "the same each time"
    assert _thinned(samples, len(elapsed)) is samples
    assert _thinned(samples, None) is samples


@pytest.mark.usefixtures("x64")
def test_the_direction_is_that_of_some_samples_and_its_curvature_that_of_all() -> None:
    policy, samples = built("gaussian by state")
    _, gradient = WeightedLogLikelihood().gradient(policy, samples)
    flat = jax.flatten_util.ravel_pytree
    found = Fisher(1e-2, subset=3, method="explicit")(policy, samples, gradient)
    some, every = (fisher_vector_product(policy, seen)(found.value) for seen in (_thinned(samples, 3), samples))
    np.testing.assert_allclose(flat(some)[0] + 1e-2 * flat(found.value)[0], flat(gradient)[0], rtol=1e-6, atol=1e-9)
    assert found.metrics["cg_residual"] < 1e-6
    value = flat(found.value)[0]
    assert found.curvature == pytest.approx(float(value @ flat(every)[0]))
    assert abs(found.curvature - value @ flat(some)[0]) > 0.1 * found.curvature


def test_numbers_that_make_no_sense() -> None:
    with pytest.raises(JourneymanError, match=r"damping ≥ 0, at least one whole iteration, not -1.0, 0"):
        Fisher(damping=-1.0, iterations=0)
    with pytest.raises(JourneymanError, match=r"at least one whole iteration, not .* and a subset .* not 0"):
        Fisher(subset=0)
    # Built from descriptions, as annotations refuse fractions here and nowhere else.
    fractions = ((Fisher(), "iterations", 2.5), (Fisher(), "subset", 2.5), (bc(), "epochs", 1.5))
    for part, name, value in (*fractions, (bc(), "batch_size", 2.5), (LineSearch(), "tries", True)):
        with pytest.raises(JourneymanError, match=rf"^`{name}` of {type(part).__name__} is {value}, and a whole num"):
            rebuild({**describe(part)[0], name: value}, {})


# -- what a natural step does not see -------------------------------------------------------------------


class _Pair(AbstractDensityPolicy):
    """N(θ₁ x₁ + θ₂ x₂, 1), told by φ where `squared`: φ₁ = θ₁², φ₂ = 1/θ₂. `scales` multiply the features."""

    told: Array
    squared: bool = eqx.field(static=True)
    scales: tuple[float, float] = eqx.field(static=True, default=(1.0, 1.0))

    def theta(self) -> Array:
        """θ, whatever this is told by."""
        return jnp.stack([jnp.sqrt(self.told[0]), 1 / self.told[1]]) if self.squared else self.told

    def parameters(self, observation: PyTree) -> Array:
        return (observation * jnp.broadcast_to(jnp.asarray(self.scales), observation.shape)) @ self.theta()

    def distribution(self, observation: PyTree) -> dist.Distribution:
        mean = self.parameters(observation)
        return dist.Normal(mean, jnp.ones_like(mean))

    def log_prob(self, observation: PyTree, action: Array) -> Array:
        return self.distribution(observation).log_prob(action)

    def mode(self, observation: PyTree) -> Array:
        return self.parameters(observation)

    def entropy(self, observation: PyTree) -> Array:
        return self.distribution(observation).entropy()

    def kl(self, first: PyTree, second: PyTree) -> Array:
        return jnp.square(first - second) / 2

    def act(self, observation: PyTree, state: PyTree, key: Array) -> tuple[Array, PyTree]:
        return self.distribution(observation).sample(key), state


def moved(policy: _Pair, geometry: Euclidean | Fisher, step: float) -> np.ndarray:
    """θ · scales after one step of length `step` against the gradient of a fixed likelihood."""
    random = np.random.default_rng(0)
    observation = jnp.asarray(random.normal(size=(40, 2)))
    ones = jnp.ones(40)
    samples = Samples(observation, jnp.asarray(random.normal(size=40)), ones, ones, jnp.ones(()), jnp.zeros(40))
    gradient = WeightedLogLikelihood().gradient(policy, samples)[1]
    direction = geometry(policy, samples, gradient).value
    after = eqx.tree_at(lambda p: p.told, policy, policy.told - step * direction.told)
    return np.asarray(after.theta() * jnp.asarray(policy.scales))


THETA = np.array([0.8, 1.7])
STEPS = np.array([1e-2, 5e-3, 2.5e-3])


def disagreements(geometry: Euclidean | Fisher) -> np.ndarray:
    """‖Δθ told by θ − Δθ told by φ‖ / step for each of `STEPS`."""
    plain, told = _Pair(jnp.asarray(THETA), False), _Pair(jnp.asarray([THETA[0] ** 2, 1 / THETA[1]]), True)
    return np.asarray([np.linalg.norm(moved(plain, geometry, s) - moved(told, geometry, s)) / s for s in STEPS])


@pytest.mark.usefixtures("x64")
def test_a_natural_step_is_the_same_told_by_theta_or_by_phi_and_a_plain_step_is_not() -> None:
    natural, plain = disagreements(Fisher(0.0, 5)), disagreements(Euclidean())
    # Equal to first order: what is left per unit of step falls with the step.
    assert np.polyfit(np.log(STEPS), np.log(natural), 1)[0] == pytest.approx(1.0, abs=0.1)
    # The plain step disagrees to first order: what is left per unit of step stays.
    assert np.polyfit(np.log(STEPS), np.log(plain), 1)[0] == pytest.approx(0.0, abs=0.05)
    assert natural[-1] < 0.05 * plain[-1]


@pytest.mark.usefixtures("x64")
def test_the_scale_of_a_feature_changes_the_plain_step_alone() -> None:
    scales = (0.1, 30.0)  # Kakade 2001: features rescaled, the policy the same
    plain, scaled = _Pair(jnp.asarray(THETA), False), _Pair(jnp.asarray(THETA / scales), False, scales)
    for geometry, same in ((Fisher(0.0, 5), True), (Euclidean(), False)):
        first, second = moved(plain, geometry, 0.01), moved(scaled, geometry, 0.01)
        assert np.allclose(first, second, rtol=1e-7) == same
