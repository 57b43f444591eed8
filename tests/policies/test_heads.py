"""Every head is a density: it integrates to 1, its gradient is its slope, its entropy and KL are expectations."""

import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.special import log_ndtr

from journeyman.parts import JourneymanError, describe, rebuild
from journeyman.policies import (
    MLP,
    AbstractHead,
    Bernoulli,
    Bounds,
    Categorical,
    DensityPolicy,
    Encoder,
    FixedGaussian,
    FullGaussian,
    Gaussian,
    GaussianMixture,
    MultiCategorical,
    Normalizer,
    Scale,
    SquashedGaussian,
    partition,
)
from journeyman.worlds import Box

LOW, HIGH = -1.0, 3.0
SIGMAS = 4.0  # a Monte Carlo mean may be this many standard errors off: one false alarm in 16 000


class _Wrapped(AbstractHead):
    """A head of one's own over a distribution whose KL and entropy NumPyro does not know."""

    def outputs(self) -> int:
        return 1

    def parameters(self, raw: Any) -> Any:
        return raw

    def distribution(self, parameters: Any) -> Any:
        return dist.VonMises(parameters[..., 0], 2.0)

    def mode(self, parameters: Any) -> Any:
        return parameters[..., 0]


def test_a_head_without_a_kl_or_an_entropy_says_so() -> None:
    head, raw = _Wrapped(), jnp.zeros((2, 1))
    with pytest.raises(JourneymanError, match=r"a _Wrapped has no kl that NumPyro knows.* write the head's `kl`"):
        head.kl(raw, raw)
    with pytest.raises(JourneymanError, match=r"a _Wrapped has no entropy that NumPyro knows"):
        head.entropy(raw)


def box(size: int) -> Box:
    return Box(np.full(size, LOW, np.float32), np.full(size, HIGH, np.float32))


MAKERS: dict[str, Callable[[int], AbstractHead]] = {
    "gaussian": lambda size: Gaussian.make(box(size), std=0.3),
    "gaussian by state": lambda size: Gaussian.make(box(size), state_dependent=True),
    "squashed": lambda size: SquashedGaussian.make(box(size), std=0.4),
    "squashed by state": lambda size: SquashedGaussian.make(box(size), state_dependent=True),
    "fixed": lambda size: FixedGaussian(Scale(jnp.ones(size), jnp.full(size, 0.7))),
    "categorical": lambda size: Categorical(size + 2),
}
every_head = pytest.mark.parametrize("name", [name for name in MAKERS if name != "squashed by state"])
continuous = pytest.mark.parametrize("name", ["gaussian", "gaussian by state", "squashed", "fixed"])


def raw_for(head: AbstractHead, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=head.outputs()) * 0.4)


def drawn(head: AbstractHead, raw: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """`count` actions and their log-probabilities."""

    @jax.jit
    def draw(raw: jax.Array) -> tuple[jax.Array, jax.Array]:
        parameters = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), head.parameters(raw))
        actions = head.distribution(parameters).sample(jax.random.key(3))
        return actions, head.log_prob(parameters, actions)

    return draw(raw)


def close(values: jax.Array, truth: jax.Array) -> bool:
    """Whether the mean of independent `values` is within `SIGMAS` standard errors of `truth`."""
    found = np.asarray(values)
    return abs(found.mean() - float(truth)) < SIGMAS * found.std() / math.sqrt(len(found)) + 1e-12


# -- densities ------------------------------------------------------------------------------------------


def mass(log_density: Callable[[jax.Array], jax.Array], low: float, high: float, size: int) -> float:
    """∫ exp(log density) over a cube, by the midpoint rule with 400 cells an axis."""
    edges = np.linspace(low, high, 401)
    axes = np.meshgrid(*[(edges[1:] + edges[:-1]) / 2] * size, indexing="ij")
    points = jnp.asarray(np.stack([axis.ravel() for axis in axes], -1))
    return float(jax.jit(lambda where: jnp.exp(log_density(where)).sum())(points)) * (edges[1] - edges[0]) ** size


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("size", [1, 2])
@continuous
def test_probabilities_integrate_to_one(name: str, size: int) -> None:
    head = MAKERS[name](size)
    raw = raw_for(head)
    low, high = (LOW, HIGH) if "squashed" in name else (-14.0, 16.0)

    def log_density(points: jax.Array) -> jax.Array:
        many = jnp.broadcast_to(raw, (len(points), *raw.shape))
        return head.log_prob(head.parameters(many), points)

    assert mass(log_density, low, high, size) == pytest.approx(1.0, abs=2e-4)  # the midpoint rule's own error
    # The control: half of the space does not hold everything.
    assert mass(log_density, low, (low + high) / 2, size) < 0.9


@pytest.mark.usefixtures("x64")
def test_a_squashed_density_without_its_slope_is_no_density() -> None:
    head = SquashedGaussian.make(box(1), std=0.4)
    mean, log_std = head.parameters(raw_for(head))

    def forgetful(points: jax.Array) -> jax.Array:
        u = jnp.arctanh((points - 1.0) / 2.0)
        return head.inner.distribution((jnp.broadcast_to(mean, u.shape), jnp.broadcast_to(log_std, u.shape))).log_prob(
            u
        )

    assert abs(mass(forgetful, LOW, HIGH, 1) - 1) > 0.2


@pytest.mark.usefixtures("x64")
def test_class_probabilities_sum_to_one() -> None:
    head = Categorical(5)
    raw = raw_for(head)
    every = jnp.broadcast_to(raw, (5, 5))
    probability = jnp.exp(head.log_prob(head.parameters(every), jnp.arange(5)))
    np.testing.assert_allclose(probability, np.exp(raw) / np.exp(raw).sum(), rtol=1e-12)
    assert float(probability.sum()) == pytest.approx(1.0, abs=1e-12)


# -- gradients ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@every_head
def test_the_gradient_is_the_slope_and_differences_approach_it_as_h_squared(name: str) -> None:
    head = MAKERS[name](2)
    network = MLP.make([3, 5, head.outputs()], jax.random.key(0), last=1.0)
    policy = DensityPolicy(Encoder(((3,),), (0,)), Normalizer.fresh(3), network, head)
    random = np.random.default_rng(1)
    observation = jnp.asarray(random.normal(size=(7, 3)))
    actions = random.integers(0, 4, 7) if name == "categorical" else random.uniform(LOW + 0.5, HIGH - 0.5, (7, 2))
    trained, fixed = partition(policy)

    def total(leaves: DensityPolicy) -> jax.Array:
        return eqx.combine(leaves, fixed).log_prob(observation, jnp.asarray(actions)).sum()

    towards = jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), trained)
    moved = jax.jit(lambda h: total(jax.tree.map(lambda a, b: a + h * b, trained, towards)))
    slope = sum(
        jax.tree.leaves(jax.tree.map(lambda a, b: float((a * b).sum()), jax.jit(jax.grad(total))(trained), towards))
    )
    steps = np.array([1e-2, 5e-3, 2.5e-3])
    errors = np.abs([float(moved(h) - moved(-h)) / (2 * h) - slope for h in steps])
    rate = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert rate == pytest.approx(2.0, abs=0.1)
    assert errors[-1] < 0.02 * abs(slope)


@pytest.mark.parametrize(("centre", "half"), [(1.0, 2.0), (300.0, 0.25)])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_an_action_on_the_bound_of_a_squashed_gaussian_has_the_probability_of_all_that_leads_there(
    centre: float, half: float, side: float
) -> None:
    # Around 300 float32 cannot tell the bound from a millionth of a half width inside it; the density still must.
    space = Box(np.full(1, centre - half, np.float32), np.full(1, centre + half, np.float32))
    head = SquashedGaussian.make(space)

    @jax.jit
    def at(raw: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.value_and_grad(lambda raw: head.log_prob(head.parameters(raw), action))(raw)

    value, slope = at(jnp.zeros(1), jnp.full(1, centre + side * half))
    u, std = float(np.arctanh(1 - 1e-4)), float(np.exp(head.parameters(jnp.zeros(1))[1][0]))
    beyond = log_ndtr(-u / std)
    assert float(value) == pytest.approx(beyond - np.log(1e-4 * half), rel=1e-4)
    density = -0.5 * (u / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))
    assert float(slope[0]) == pytest.approx(side * np.exp(density - beyond), rel=1e-3)
    # What lies far outside is on the bound too: recordings clip, and then they are compared.
    assert float(at(jnp.zeros(1), jnp.full(1, centre + 3 * side * half))[0]) == float(value)


SATURATED = pytest.mark.parametrize(("mean", "std"), [(4.0, 0.6), (5.0, 0.6), (5.7, 0.6), (10.0, 0.6), (0.0, 6.0)])


@SATURATED
@pytest.mark.usefixtures("x64")
def test_a_squashed_gaussian_has_all_its_mass_however_much_is_at_a_bound(mean: float, std: float) -> None:
    head, at = SquashedGaussian.make(Box.symmetric(2.0, 1)), (jnp.full(1, mean), jnp.full(1, np.log(std)))
    density = jax.jit(jax.vmap(lambda action: jnp.exp(head.log_prob(at, action))))
    edge = float(np.arctanh(1 - 1e-4))
    nodes, weights = np.polynomial.legendre.leggauss(2001)
    u = edge * nodes
    inner = np.asarray(density(jnp.asarray(2 * np.tanh(u))[:, None])) * 2 / np.cosh(u) ** 2
    ends = np.asarray(density(jnp.asarray([[-2.0], [2.0]]))) * 1e-4 * 2
    assert (edge * weights @ inner) + ends.sum() == pytest.approx(1.0, abs=1e-6)


@SATURATED
@pytest.mark.usefixtures("x64")
def test_the_mean_score_of_a_squashed_gaussian_s_own_draws_is_0_at_a_bound_as_well(mean: float, std: float) -> None:
    """Read as that of the edge, the u of draws beyond it gave −4.6 and +20 at mean 10."""
    head, count = SquashedGaussian.make(Box.symmetric(2.0, 1)), 100_000
    half = np.random.default_rng(0).standard_normal((count, 1))
    noise = jnp.asarray(np.concatenate([half, -half]))
    at = (jnp.full(1, mean), jnp.full(1, np.log(std)))

    @jax.jit
    def score(noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        spread = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, noise.shape), at)
        found = jax.vmap(jax.grad(head.log_prob), (None, 0))(at, head.sample(spread, noise))
        return found[0] * std, found[1]

    for part in map(np.asarray, score(noise)):
        assert abs(part.mean()) < 5 * part.std() / np.sqrt(2 * count) + 1e-6


@pytest.mark.parametrize("std", [0.6, 0.1, 0.03, 0.0067])
def test_the_mean_score_is_0_of_actions_that_single_precision_has_rounded(std: float) -> None:
    """With an even density from 1 − 1e-6 on, 0.05 to 1.8 deviations (mean) and 0.01 to 10 (log-deviation)."""
    head, count = SquashedGaussian.make(Box.symmetric(1.0, 1), minimum_std=1e-3), 50_000
    half = np.random.default_rng(0).standard_normal((count, 1)).astype(np.float32)
    noise = jnp.asarray(np.concatenate([half, -half]))
    draw = jax.jit(lambda mean: head.sample((jnp.full(noise.shape, mean), jnp.full(noise.shape, jnp.log(std))), noise))

    @jax.jit
    def score(mean: jax.Array, actions: jax.Array) -> jax.Array:
        at = (jnp.full(1, mean), jnp.full(1, jnp.log(std)))
        found = jax.vmap(jax.grad(head.log_prob), (None, 0))(at, actions)
        return jnp.stack([found[0].mean() * std, found[1].mean()])

    for mean in np.linspace(3, 7.5, 19, dtype=np.float32):
        assert np.abs(score(mean, draw(mean))).max() < 0.025  # five standard errors are .022 and .011


# -- expectations ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@every_head
def test_the_entropy_is_the_mean_of_minus_log_probability(name: str) -> None:
    head = MAKERS[name](2)
    raw = raw_for(head)
    _, log_prob = drawn(head, raw, 20_000)
    entropy = head.entropy(head.parameters(raw))
    assert close(-log_prob, entropy)
    assert not close(-log_prob, entropy + 0.1)


@pytest.mark.usefixtures("x64")
@every_head
def test_the_kl_is_the_mean_log_ratio_and_zero_only_against_itself(name: str) -> None:
    head = MAKERS[name](2)
    raw, other = raw_for(head), raw_for(head, seed=1)
    first, second = head.parameters(raw), head.parameters(other)
    actions, log_prob = drawn(head, raw, 20_000)
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (20_000, *leaf.shape)), second)
    ratio = log_prob - head.log_prob(many, actions)
    kl = head.kl(first, second)
    assert close(ratio, kl)
    assert float(kl) > 0.01
    assert float(head.kl(first, first)) == pytest.approx(0.0, abs=1e-15)
    assert not close(ratio, 1.3 * kl)
    if "by state" in name:  # of equal deviations the KL is symmetric
        assert not close(ratio, head.kl(second, first)), "the order of the two matters"


@every_head
def test_the_mode_is_likelier_than_its_surroundings(name: str) -> None:
    head = MAKERS[name](2)
    parameters = head.parameters(raw_for(head).astype(jnp.float32))
    mode = head.mode(parameters)
    best = float(head.log_prob(parameters, mode))
    if name == "categorical":
        assert all(float(head.log_prob(parameters, jnp.asarray(c))) <= best for c in range(4))
    elif "squashed" in name:  # the squashed mean, by its documentation
        np.testing.assert_allclose(mode, 1 + 2 * np.tanh(parameters[0]), rtol=1e-6)
    else:
        for shift in (0.05, -0.05):
            assert float(head.log_prob(parameters, mode + shift)) < best


# -- the deviation's bounds -----------------------------------------------------------------------------


def test_the_soft_clamp_keeps_inside_and_its_inverse_undoes_it() -> None:
    bounds = Bounds.of(-5.0, 2.0)
    raw = jnp.linspace(-40.0, 40.0, 81)
    assert float(bounds(raw).min()) >= -5.0
    assert float(bounds(raw).max()) == pytest.approx(2.0, abs=1e-6)
    inner = jnp.linspace(-4.9, 1.9, 30)
    np.testing.assert_allclose(bounds(bounds.inverse(inner)), inner, atol=1e-5)
    assert np.isfinite(bounds.inverse(jnp.asarray([-1e6, 1e6]))).all()
    slope = jax.vmap(jax.grad(lambda x: bounds(x)))(jnp.asarray([-5.0, 0.0, 2.0]))
    assert (np.asarray(slope) > 0.4).all(), "no dead zone inside"


@pytest.mark.parametrize(("minimum", "maximum"), [(0.2, 0.3), (0.24, 0.26), (1e-4, 5.0)])
def test_a_deviation_never_exceeds_its_maximum_and_begins_where_it_is_asked_to(minimum: float, maximum: float) -> None:
    head = Gaussian.make(box(1), std=0.25, state_dependent=True, minimum_std=minimum, maximum_std=maximum)
    begin, most = (float(jnp.exp(head.parameters(jnp.asarray([0.0, x]))[1][0])) for x in (0.0, 1e6))
    assert begin == pytest.approx(0.25, rel=1e-4)
    assert most == pytest.approx(maximum, rel=1e-5)
    lifted = head.floored(0.9 * maximum)
    assert float(jnp.exp(lifted.bounds(jnp.asarray(1e6)))) == pytest.approx(maximum, rel=1e-5)


def test_a_clamp_that_was_stored_before_it_kept_to_its_upper_bound_is_what_it_was() -> None:
    bounds, raw = Bounds(jnp.asarray(-5.0), jnp.asarray(2.0)), jnp.linspace(-10.0, 10.0, 41)
    was = -5 + np.logaddexp(0, 2 - np.logaddexp(0, 2 - np.asarray(raw, float)) + 5)
    np.testing.assert_allclose(bounds(raw), was, atol=1e-6)
    inside = raw[10:29]
    np.testing.assert_allclose(bounds.inverse(bounds(inside)), inside, atol=1e-3)


@pytest.mark.parametrize("name", ["gaussian", "gaussian by state", "squashed", "squashed by state"])
@pytest.mark.parametrize("minimum", [0.01, 0.5])
def test_a_floor_lifts_the_deviation_and_leaves_the_mean(name: str, minimum: float) -> None:
    head = MAKERS[name](2)
    raw = jnp.asarray(np.random.default_rng(0).normal(size=(50, head.outputs())) * 5, jnp.float32)
    lifted = head.floored(minimum)  # type: ignore[attr-defined]
    (mean, log_std), (mean_after, log_std_after) = head.parameters(raw), lifted.parameters(raw)
    np.testing.assert_array_equal(mean, mean_after)
    assert float(jnp.exp(log_std_after).min()) >= minimum * (1 - 1e-5)
    if minimum == 0.01:  # far below: nothing changes by more than the soft clamp's tail
        high = np.asarray(log_std) > math.log(0.1)
        np.testing.assert_allclose(np.asarray(log_std_after)[high], np.asarray(log_std)[high], atol=0.12)


# -- where it begins ------------------------------------------------------------------------------------


def deviations(head: AbstractHead) -> np.ndarray:
    """σ where the network says 0."""
    parameters = head.parameters(jnp.zeros(head.outputs()))
    full = isinstance(head, FullGaussian)
    return np.asarray(jnp.diagonal(parameters[1]) if full else jnp.exp(parameters[-1])).ravel()


FAMILIES = {"gaussian": Gaussian, "squashed": SquashedGaussian, "full": FullGaussian, "mixture": GaussianMixture}


@pytest.mark.parametrize("state_dependent", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_it_begins_with_the_deviation_that_was_asked_for(name: str, state_dependent: bool) -> None:
    """Where the network gives σ, `std` was accepted and ignored."""
    make = functools.partial(FAMILIES[name].make, box(2), state_dependent=state_dependent)  # type: ignore[arg-type]
    for std in (0.05, 0.6, 4.0):
        np.testing.assert_allclose(deviations(make(std=std)), std, rtol=1e-5)
    np.testing.assert_allclose(deviations(make(std=0.51, minimum_std=0.5, maximum_std=0.52)), 0.51, rtol=1e-5)
    np.testing.assert_allclose(deviations(make()), 0.567219 if state_dependent else math.exp(-0.5), rtol=1e-5)
    lifted = make(std=0.05).floored(0.02)
    assert (deviations(lifted) < 0.08).all(), "a floor below it keeps where it begins"
    assert (deviations(lifted) > 0.05 * (1 - 1e-5)).all()


def test_it_begins_there_inside_a_compiled_program_too() -> None:
    made = jax.jit(lambda raw: Gaussian.make(box(1), std=0.1, state_dependent=True).parameters(raw)[1])
    np.testing.assert_allclose(jnp.exp(made(jnp.zeros(2))), 0.1, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"std": -1.0},
        {"std": 0.0},
        {"std": math.nan},
        {"std": 20.0},
        {"std": 1e-4},
        {"minimum_std": 0.0},
        {"minimum_std": 2.0, "maximum_std": 1.0},
        {"minimum_std": 0.7},
        {"maximum_std": math.inf},
    ],
)
def test_a_deviation_begins_between_its_bounds(options: dict[str, float]) -> None:
    for family in FAMILIES.values():
        with pytest.raises(JourneymanError, match="0 < minimum_std < std < maximum_std, not at ") as refused:
            family.make(box(2), **options)  # type: ignore[arg-type]
        assert all(f"{value:g}" in str(refused.value) for value in options.values())


@pytest.mark.parametrize("minimum", [-1.0, 0.0, math.nan, 7.4, 100.0])
def test_a_floor_lies_between_0_and_the_maximum(minimum: float) -> None:
    for family in FAMILIES.values():
        with pytest.raises(JourneymanError, match=rf"head's maximum of 7.39 half box widths, not at {minimum:g}; 0.1"):
            family.make(box(2)).floored(minimum)
    assert (deviations(Gaussian.make(box(2)).floored(7.38)) < 7.5).all(), "just below it is not nan"


@pytest.mark.parametrize("bounds", [(1.0, -1.0), (math.nan, 1.0)])
def test_a_box_lies_between_its_bounds(bounds: tuple[float, float]) -> None:
    with pytest.raises(JourneymanError, match=r"A box lies between its bounds, not from .* \(entry \(1,\)\)"):
        Box(*(np.asarray([side, other], np.float32) for side, other in zip((0.0, 0.0), bounds, strict=True)))


def test_an_observation_may_stand_still_and_an_action_may_not() -> None:
    still = Box(np.asarray([0.0, -1.0], np.float32), np.asarray([0.0, 1.0], np.float32))
    for family in FAMILIES.values():
        with pytest.raises(JourneymanError, match=r"needs (finite bounds with )?room between"):
            family.make(still)


@pytest.mark.parametrize(
    "make",
    [lambda: Categorical(0), lambda: Bernoulli(0), lambda: MultiCategorical(()), lambda: MultiCategorical((2, 0))],
)
def test_nothing_to_choose_is_refused(make: Callable[[], AbstractHead]) -> None:
    with pytest.raises(JourneymanError, match="chooses, and there is nothing to choose among"):
        make()


def test_a_head_written_before_it_knew_where_to_begin_is_the_function_that_it_was() -> None:
    head = Gaussian.make(box(2), state_dependent=True)
    tree, arrays = describe(head)
    assert set(tree) == {"part", "scale", "log_std", "bounds"}, "as it was written then"
    raw = jnp.linspace(-3.0, 3.0, 4)
    now = rebuild(tree, arrays).parameters(raw)[1]
    np.testing.assert_array_equal(now, head.bounds(raw[2:] - 0.5))
    narrow = Gaussian.make(box(2), state_dependent=True, std=0.1)
    again = rebuild(*describe(narrow))
    assert again.shift == narrow.shift != head.shift
