"""f-divergences: their values by quadrature, their gradients by finite differences, and where a Gaussian lands."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import bc, distill
from journeyman.episodes import Episodes
from journeyman.objectives import Divergence, Samples
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, Gaussian, GaussianMixture, partition, policy
from journeyman.training import fit
from journeyman.weights import (
    AbstractDivergence,
    Alpha,
    ChiSquared,
    ForwardKL,
    JensenShannon,
    ReverseKL,
    TotalVariation,
)
from journeyman.worlds import Box, GeometricChain, LinearQuadratic

WORLD = LinearQuadratic(horizon=4)
F: dict[str, tuple[AbstractDivergence, Any]] = {
    "forward": (ForwardKL(), lambda u: u * np.log(u)),
    "reverse": (ReverseKL(), lambda u: -np.log(u)),
    "jensen-shannon": (JensenShannon(), lambda u: 0.5 * (u * np.log(u) - (1 + u) * np.log((1 + u) / 2))),
    "total variation": (TotalVariation(), lambda u: 0.5 * np.abs(u - 1)),
    "chi squared": (ChiSquared(), lambda u: (u - 1) ** 2),
    "alpha 2": (Alpha(2.0), lambda u: (u**2 - 2 * u + 1) / 2),
    "alpha half": (Alpha(0.5), lambda u: -4 * (u**0.5 - 0.5 * u - 0.5)),
    "alpha -1": (Alpha(-1.0), lambda u: (1 / u + u - 2) / 2),
}
every_f = pytest.mark.parametrize("name", F)


def gaussian(mean: float, std: float) -> DensityPolicy:
    """N(mean, std²), whatever is seen."""
    one = policy(WORLD, jax.random.key(0), hidden=())
    head = one.head
    assert isinstance(head, Gaussian)
    raw = head.bounds.inverse(jnp.full(1, np.log(std)))
    leaves = (jnp.zeros((1, 1)), jnp.full(1, mean), raw)
    return eqx.tree_at(lambda p: (p.network.weights[0], p.network.biases[0], p.head.log_std), one, leaves)


def two_modes(middle: float, std: float) -> DensityPolicy:
    """½ N(−m, s²) + ½ N(m, s²), whatever is seen."""
    head = GaussianMixture.make(Box.unbounded(1), components=2, state_dependent=False)
    parts = head.components
    raw, places = parts.bounds.inverse(jnp.full(2, np.log(std))), jnp.asarray([-middle, middle], jnp.float32)
    parts = eqx.tree_at(lambda c: (c.scale.location, c.scale.scale, c.log_std), parts, (places, jnp.ones(2), raw))
    head = eqx.tree_at(lambda h: h.components, head, parts)
    one = policy(WORLD, jax.random.key(0), hidden=(), head=head)
    return eqx.tree_at(lambda p: p.network.weights[0], one, jnp.zeros_like(one.network.weights[0]))


def _normal(x: np.ndarray, mean: float, std: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


GRID = np.linspace(-12.0, 12.0, 24001)


def density(one: DensityPolicy) -> np.ndarray:
    seen = jnp.zeros((len(GRID), 1))
    return np.exp(np.asarray(one.log_prob(seen, jnp.asarray(GRID[:, None], jnp.float32)), np.float64))


def integrated(f: Any, p: np.ndarray, q: np.ndarray) -> float:
    """∫ q f(p / q)."""
    q = np.maximum(q, 1e-300)
    return float(np.trapezoid(q * f(np.maximum(p / q, 1e-300)), GRID))


def samples(count: int, seed: int = 0) -> Samples:
    ones = jnp.ones(count)
    seen = jnp.zeros((count, 1))
    return Samples(seen, seen, ones, ones, jnp.ones(()), ones).keyed(jax.random.key(seed))


def test_the_mixture_is_the_one_that_was_meant() -> None:
    wanted = 0.5 * (_normal(GRID, -2.0, 0.5) + _normal(GRID, 2.0, 0.5))
    np.testing.assert_allclose(density(two_modes(2.0, 0.5)), wanted, atol=1e-5)


# -- the functions of log u -------------------------------------------------------------------------------


@every_f
def test_both_functions_are_those_of_f(name: str) -> None:
    divergence, f = F[name]
    log_u = np.asarray([-8.0, -3.0, -0.7, -0.01, 0.02, 0.5, 2.0, 6.0])
    u, step = np.exp(log_u), 1e-6
    slope = (f(u * (1 + step)) - f(u * (1 - step))) / (2 * u * step)
    at_one = (f(1 + 1e-4) - f(1 - 1e-4)) / 2e-4
    with jax.enable_x64(True):
        value, weight = (np.asarray(one(jnp.asarray(log_u))) for one in (divergence.value, divergence.weight))
    np.testing.assert_allclose(value, f(u) / (1 + u), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weight, (u * slope - f(u) - at_one) / (1 + u), rtol=1e-5, atol=1e-8)


@every_f
def test_nothing_overflows(name: str) -> None:
    divergence, _ = F[name]
    log_u = jnp.asarray([-1e4, -200.0, 0.0, 200.0, 1e4])
    for one in (divergence.value, divergence.weight, divergence.gain):
        assert np.isfinite(one(log_u)).all()
        assert float(one(log_u)[2]) == 0, "equal densities"


@pytest.mark.parametrize("alpha", [-10.0, -3.0, 3.0, 10.0])
def test_a_power_of_any_alpha_is_a_number_where_it_is_cut(alpha: float) -> None:
    divergence, log_u = Alpha(alpha), jnp.asarray([-1e4, -40.0, -30.0, 0.0, 5.0, 30.0, 40.0, 1e4])
    for one in (divergence.value, divergence.weight, divergence.gain):
        assert np.isfinite(one(log_u)).all()
    # What `Occupancy` cuts its log ratios at is not cut again.
    np.testing.assert_allclose(divergence.gain(log_u)[4], np.expm1(5 * alpha) / alpha, rtol=1e-5)


# -- the objective ----------------------------------------------------------------------------------------


@every_f
def test_the_loss_is_the_divergence_and_its_gradient_the_divergence_s(name: str) -> None:
    divergence, f = F[name]
    expert, learner = gaussian(0.3, 0.7), gaussian(-0.2, 0.7)  # equal deviations: no u has heavy tails
    objective = Divergence(expert, divergence, draws=2)
    trained, fixed = partition(learner)

    @jax.jit
    def one(key: jax.Array) -> tuple[jax.Array, Any]:
        keyed = samples(1).keyed(key)
        return jax.value_and_grad(lambda leaves: objective(eqx.combine(leaves, fixed), keyed))(trained)

    count = 40_000
    losses, gradients = jax.vmap(one)(jax.random.split(jax.random.key(1), count))
    wanted = integrated(f, density(expert), density(learner))
    spread = float(np.std(losses)) / np.sqrt(count)
    assert abs(float(np.mean(losses)) - wanted) < 4 * spread

    def moved(bias: float, log_std: float) -> float:
        return integrated(f, density(expert), density(gaussian(-0.2 + bias, 0.7 * np.exp(log_std))))

    step = 1e-3
    by_bias = (moved(step, 0) - moved(-step, 0)) / (2 * step)
    found = np.asarray(gradients.network.biases[0])[:, 0]
    assert abs(found.mean() - by_bias) < 4 * found.std() / np.sqrt(count)
    by_std = (moved(0, step) - moved(0, -step)) / (2 * step)
    raw = learner.head.log_std  # type: ignore[attr-defined]
    slope = float(jax.grad(lambda r: learner.head.bounds(r)[0])(raw)[0])  # type: ignore[attr-defined]
    found = np.asarray(gradients.head.log_std)[:, 0] / slope
    assert abs(found.mean() - by_std) < 4 * found.std() / np.sqrt(count)
    assert abs(by_bias) > 10 * gradients.network.biases[0].std() / np.sqrt(count), "the control: it is not 0"


@every_f
def test_where_the_two_agree_the_gradient_is_0_draw_by_draw(name: str) -> None:
    expert = gaussian(0.3, 0.6)
    loss, gradient = Divergence(expert, F[name][0]).gradient(expert, samples(50))
    assert float(loss) == pytest.approx(0, abs=1e-6)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_allclose(leaf, 0, atol=1e-5)


def test_invalid_samples_do_not_count() -> None:
    objective = Divergence(gaussian(0.0, 1.0), ReverseKL())
    some, learner = samples(6), gaussian(0.5, 0.5)
    half = eqx.tree_at(lambda s: s.valid, some, jnp.asarray([1.0, 1, 1, 0, 0, 0]))
    spoilt = eqx.tree_at(lambda s: s.observation, half, half.observation.at[3:].set(7.0))
    far = eqx.tree_at(lambda p: p.network.weights[0], learner, jnp.ones((1, 1)))
    assert float(objective(far, half)) == pytest.approx(float(objective(far, spoilt)), rel=1e-6)


def test_a_choice_among_few_has_divergences_too() -> None:
    world = GeometricChain()
    one, other = (policy(world, jax.random.key(i), hidden=()) for i in (0, 1))
    one = eqx.tree_at(lambda p: p.network.biases[0], one, jnp.asarray([1.0, -1.0]))
    seen = jnp.ones((1, 1))
    p, q = (np.exp(np.asarray(each.log_prob(jnp.ones((2, 1)), jnp.arange(2)))) for each in (one, other))
    many = Samples(seen, jnp.zeros(1, int), jnp.ones(1), jnp.ones(1), jnp.ones(()), jnp.ones(1))
    objective = Divergence(one, TotalVariation(), draws=4000)
    found = float(objective(other, many.keyed(jax.random.key(0))))
    assert found == pytest.approx(0.5 * np.abs(p - q).sum(), abs=0.02)


def test_an_odd_number_of_draws_is_refused() -> None:
    with pytest.raises(JourneymanError, match="so 3 will not do; use 16"):
        Divergence(gaussian(0.0, 1.0), draws=3)
    for alpha in (0.0, 1.0):
        with pytest.raises(JourneymanError, match="has no such form; use ReverseKL for 0, ForwardKL for 1"):
            Alpha(alpha)
    with pytest.raises(JourneymanError, match=r"α must lie in \[-10, 10\], not at 20.0: u\^α is soon no number"):
        Alpha(20.0)


# -- where a Gaussian lands -------------------------------------------------------------------------------


@functools.cache
def landed(name: str, middle: float, start: tuple[float, float], draws: int = 256) -> tuple[float, float]:
    """Mean and deviation of the Gaussian that is fitted to ½ N(−m, .5²) + ½ N(m, .5²)."""
    shown = Episodes.episode(np.zeros((5, 1), np.float32), np.zeros((4, 1), np.float32))
    learner = distill(two_modes(middle, 0.5), F[name][0], draws=draws, learning_rate=1e-2, epochs=800, batch_size=4)
    found = fit(learner, gaussian(*start), shown, log_every=800, checkpoint_every=800).policy
    spread = found.distribution(jnp.zeros((1, 1)))
    return float(spread.mean[0, 0]), float(np.sqrt(spread.variance[0, 0]))


@pytest.mark.parametrize(
    ("name", "middle", "start", "mean", "std"),
    [
        ("forward", 1.0, (0.4, 0.7), 0.0, 1.118),
        ("forward", 2.0, (0.4, 0.7), 0.0, 2.0616),
        ("reverse", 1.0, (0.4, 0.7), 0.0, 1.0),
        ("reverse", 2.0, (0.4, 0.7), 2.0, 0.5),
        ("reverse", 2.0, (-0.4, 0.7), -2.0, 0.5),
        ("jensen-shannon", 1.0, (0.4, 0.7), 0.0, 1.1),
        ("jensen-shannon", 2.0, (0.4, 1.5), 0.0, 2.05),
    ],
)
def test_a_gaussian_lands_where_the_divergence_wants_it(
    name: str, middle: float, start: tuple[float, float], mean: float, std: float
) -> None:
    """The table of optima by grid search (steps of 0.05 to 0.1)."""
    found = landed(name, middle, start)
    assert found[0] == pytest.approx(mean, abs=0.1)
    assert found[1] == pytest.approx(std, abs=0.06)


def test_forward_kl_by_density_is_cloning_by_samples() -> None:
    expert = two_modes(1.0, 0.5)
    seen = jnp.zeros((4000, 1))
    action = np.asarray(expert.draw(seen, expert.noise(jax.random.key(0), 4000)))
    shown = Episodes.episode(np.zeros((4001, 1), np.float32), action)
    cloned = fit(bc(1e-2, epochs=60), gaussian(0.4, 0.7), shown, log_every=60, checkpoint_every=60).policy
    spread = cloned.distribution(seen[:1])
    assert float(spread.mean[0, 0]) == pytest.approx(action.mean(), abs=0.05)
    known = landed("forward", 1.0, (0.4, 0.7))
    assert known == pytest.approx((0.0, 1.118), abs=0.06)
    assert float(np.sqrt(spread.variance[0, 0])) == pytest.approx(known[1], abs=0.06)


def test_held_out_data_is_judged_by_its_likelihood() -> None:
    draw = np.random.default_rng(0)
    seen, action = np.zeros((9, 1), np.float32), draw.normal(size=(8, 1)).astype(np.float32)
    shown = Episodes.episode(seen, action)
    learner = distill(gaussian(0.3, 0.6), ReverseKL(), epochs=2, batch_size=4)
    found = fit(learner, gaussian(0.0, 1.0), shown, held_out=shown, log_every=2, checkpoint_every=2)
    likelihood = -float(np.mean(found.policy.log_prob(jnp.asarray(seen[:-1]), jnp.asarray(action))))
    assert found.rows[-1]["held_out_nll"] == pytest.approx(likelihood, rel=1e-5)
    assert found.rows[-1]["loss"] != pytest.approx(likelihood, rel=0.1), "the loss is the divergence"
