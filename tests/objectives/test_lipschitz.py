"""The price on steepness: against singular values, on networks whose derivative is known, and where it is silent."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.objectives import JacobianPenalty, Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import (
    MLP,
    DensityPolicy,
    Encoder,
    FixedGaussian,
    Normalizer,
    Scale,
    SpectralMLP,
    spectral_norms,
)
from journeyman.worlds import Box

random = np.random.default_rng(0)


def model(network: MLP, outputs: int = 2) -> DensityPolicy:
    size = network.weights[0].shape[0]
    head = FixedGaussian(Scale(jnp.zeros(outputs), jnp.ones(outputs)))
    return DensityPolicy(Encoder.of(Box.unbounded(size)), Normalizer.fresh(size), network, head)


def samples(count: int, valid: np.ndarray | None = None) -> Samples:
    ones = jnp.ones(count, jnp.result_type(float))
    observation = jnp.asarray(random.normal(size=(count, 3)), ones.dtype)
    target = jnp.asarray(random.normal(size=(count, 2)), ones.dtype)
    counts = ones if valid is None else jnp.asarray(valid, ones.dtype)
    return Samples(observation, target, ones, counts, jnp.ones((), ones.dtype), jnp.nan * ones)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 16), (20, 4)])
def test_the_norm_is_the_largest_singular_value_from_above(x64: None, shape: tuple[int, int]) -> None:
    matrices = random.normal(size=(7, *shape)) * np.logspace(-8, 8, 7)[:, None, None]
    found, exact = spectral_norms(jnp.asarray(matrices)), np.linalg.norm(matrices, 2, axis=(1, 2))
    assert (np.asarray(found) >= exact * (1 - 1e-12)).all()
    assert (np.asarray(found) <= exact * min(shape) ** (2.0**-8) * (1 + 1e-12)).all()
    # equal singular values are the worst case, and there the bound is reached
    worst = float(spectral_norms(jnp.eye(16)))
    assert worst == pytest.approx(16 ** (2.0**-8), rel=1e-12)


def test_nothing_has_no_slope_that_is_not_a_number() -> None:
    assert float(spectral_norms(jnp.zeros((3, 3)))) < 1e-8
    assert jnp.isfinite(jax.grad(lambda m: spectral_norms(m))(jnp.zeros((3, 3)))).all()


def test_on_a_linear_network_the_price_is_known(x64: None) -> None:
    weight = random.normal(size=(3, 2))
    linear = model(MLP((jnp.asarray(weight),), (jnp.zeros(2),)))
    norm, data = np.linalg.norm(weight, 2), samples(40)
    bare = float(WeightedLogLikelihood()(linear, data))
    priced = lambda **options: float(JacobianPenalty(**options)(linear, data)) - bare  # noqa: E731
    assert priced(limit=0.5, weight=2.0) == pytest.approx(2 * (norm - 0.5), rel=0.02)
    assert priced(limit=2 * norm, weight=2.0) == 0
    assert priced(limit=0.5, weight=0.0) == 0
    assert priced(limit=0.5, weight=2.0, slack=0.1) == pytest.approx(0.2)
    steep = JacobianPenalty(0.5, 2.0)
    assert float(steep.measure(linear, data)[1]["steepness"]) == pytest.approx(norm, rel=0.02)
    # beyond its slack a sample pulls no more: what is left is the likelihood's gradient
    granted = JacobianPenalty(0.5, 2.0, slack=0.1).gradient(linear, data)[1].network.weights[0]
    plain = WeightedLogLikelihood().gradient(linear, data)[1].network.weights[0]
    np.testing.assert_allclose(granted, plain, atol=1e-12)
    assert np.abs(steep.gradient(linear, data)[1].network.weights[0] - plain).max() > 0.1


def test_it_looks_at_valid_samples_alone() -> None:
    net = model(MLP.make([3, 8, 2], jax.random.key(0), last=1.0))
    valid = np.arange(40) % 3 == 1
    data = samples(40, valid)
    spoiled = eqx.tree_at(lambda s: s.observation, data, jnp.where(valid[:, None], data.observation, 1e3))
    clean, other = (JacobianPenalty(0.1, 1.0)(net, one) for one in (data, spoiled))
    assert float(clean) == pytest.approx(float(other), rel=1e-6)


def test_what_is_refused() -> None:
    for wrong in ({"limit": -1.0}, {"weight": -1.0}, {"slack": 0.0}, {"samples": 0}):
        with pytest.raises(JourneymanError, match="A penalty on steepness"):
            JacobianPenalty(**wrong)


# -- a network that is held ------------------------------------------------------------------------------------


def test_a_held_network_is_nowhere_steeper_than_its_limit(x64: None) -> None:
    for limit in (0.3, 1.0, 4.0):
        free = jax.tree.map(lambda leaf: 5 * leaf, MLP.make([3, 16, 16, 2], jax.random.key(0), last=1.0))
        steep = SpectralMLP.of(free, limit)
        by = jax.vmap(jax.jacfwd(steep))(0.1 * jnp.asarray(random.normal(size=(200, 3))))
        most = np.linalg.norm(np.asarray(by), 2, axis=(1, 2)).max()
        assert 0.2 * limit < most <= limit


def test_a_flat_network_is_left_alone() -> None:
    flat = jax.tree.map(lambda leaf: 0.1 * leaf, MLP.make([3, 8, 2], jax.random.key(0)))
    x = jnp.asarray(random.normal(size=(5, 3)), jnp.float32)
    np.testing.assert_allclose(SpectralMLP.of(flat, 1.0)(x), flat(x), rtol=1e-6)


def test_other_statistics_keep_its_function() -> None:
    network = SpectralMLP.of(MLP.make([3, 8, 2], jax.random.key(0), last=1.0), 0.5)
    x = jnp.asarray(random.normal(size=(5, 3)), jnp.float32)
    ratio, shift = jnp.asarray([2.0, 0.5, 3.0]), jnp.asarray([1.0, 0.0, -1.0])
    twice = network.fed(ratio, shift).fed(ratio, shift)
    once = lambda x: ratio[None] * x + shift[None]  # noqa: E731
    np.testing.assert_allclose(twice(x), network(once(once(x))), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        network.read(ratio[:2], shift[:2])(x), ratio[None, :2] * network(x) + shift[None, :2], rtol=1e-5, atol=1e-6
    )


def test_what_a_held_network_refuses() -> None:
    with pytest.raises(JourneymanError, match="'gelu' is steeper than 1"):
        SpectralMLP.of(MLP.make([3, 8, 2], jax.random.key(0), activation="gelu"))
    with pytest.raises(JourneymanError, match="limited to a positive number, not 0"):
        SpectralMLP.of(MLP.make([3, 8, 2], jax.random.key(0)), 0)
