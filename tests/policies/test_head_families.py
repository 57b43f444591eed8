"""What heads promise beyond being a density: special cases, bounds, floors, and finite numbers for anything."""

import functools
import math
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from journeyman.algorithms import bc
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.policies import (
    MLP,
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
    default_head,
)
from journeyman.training import fit
from journeyman.worlds import AbstractSpace, Box, Discrete, MultiBinary, MultiDiscrete

BOX = Box(np.asarray([-1, 0, 300], np.float32), np.asarray([3, 0.1, 301], np.float32))
ROWS = 2000
MAKERS: dict[str, Callable[[], AbstractHead]] = {
    "gaussian": lambda: Gaussian.make(BOX, state_dependent=True),
    "full": lambda: FullGaussian.make(BOX, state_dependent=True),
    "squashed": lambda: SquashedGaussian.make(BOX, state_dependent=True),
    "beta": lambda: Beta.make(BOX),
    "mixture": lambda: GaussianMixture.make(BOX, components=3),
    "categorical": lambda: Categorical(4),
    "multi-categorical": lambda: MultiCategorical((2, 4, 3)),
    "bernoulli": lambda: Bernoulli(3),
}


def wild(outputs: int, random: np.random.Generator) -> jax.Array:
    """Raw numbers of every size up to a million, and zeros."""
    size = 10 ** random.uniform(-3, 6, (ROWS, outputs)) * (random.random((ROWS, outputs)) < 0.9)
    return jnp.asarray(size * random.choice([-1, 1], (ROWS, outputs)), jnp.float32)


def actions(head: AbstractHead, random: np.random.Generator) -> jax.Array:
    """Members of a finite set; for real heads actions in the box, many on its bound and some outside."""
    space = head.space()
    if not isinstance(space, Box):
        return jnp.asarray(random.integers(0, space.counts, (ROWS, *space.shape)), jnp.int32)  # type: ignore[attr-defined]
    share = np.clip(random.uniform(-0.5, 1.5, (ROWS, 3)), 0, 1) + (random.random((ROWS, 1)) < 0.1) * 0.3
    share = share + (random.random((ROWS, 1)) < 0.1) * 5e5  # a million half widths
    return jnp.asarray(BOX.low + share * (BOX.high - BOX.low), jnp.float32)


@pytest.mark.parametrize("name", MAKERS)
def test_wild_outputs_and_actions_on_the_bound_give_numbers_and_gradients(name: str) -> None:
    head, random = MAKERS[name](), np.random.default_rng(0)
    first, second = wild(head.outputs(), random), wild(head.outputs(), random)
    action = actions(head, random)

    def three(first: jax.Array, second: jax.Array) -> tuple[jax.Array, ...]:
        here, there = head.parameters(first), head.parameters(second)
        return head.log_prob(here, action), head.entropy(here), head.kl(here, there)

    @jax.jit
    def everything(first: jax.Array, second: jax.Array) -> tuple:
        values, back = jax.vjp(three, first, second)
        ones, zeros = jnp.ones(ROWS), jnp.zeros(ROWS)
        slopes = [back(chosen) for chosen in ((ones, zeros, zeros), (zeros, ones, zeros), (zeros, zeros, ones))]
        drawn = head.distribution(head.parameters(first)).sample(jax.random.key(0))
        return values, slopes, head.mode(head.parameters(first)), drawn

    values, slopes, mode, drawn = everything(first, second)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((values, slopes, mode, drawn)))
    assert float(values[2].min()) > -1e-3
    if name in ("squashed", "beta"):
        room = 1e-6 * (np.abs(BOX.high) + 1)
        assert (np.asarray(drawn) >= BOX.low - room).all()
        assert (np.asarray(drawn) <= BOX.high + room).all()


# -- which head, and which not --------------------------------------------------------------------------


def test_each_space_has_a_head_over_it() -> None:
    spaces: list[AbstractSpace] = [Discrete(3), MultiDiscrete((2, 5)), MultiBinary(4)]
    for space in spaces:
        assert default_head(space).space() == space
    assert isinstance(default_head(BOX), Gaussian)
    with pytest.raises(JourneymanError, match="No head is known for actions in a _Sphere; give one, or register it"):
        default_head(_Sphere())
    for make in (SquashedGaussian.make, Beta.make):
        with pytest.raises(JourneymanError, match=r"needs finite bounds with room between them, and this box reaches"):
            make(Box.unbounded(2))
        with pytest.raises(JourneymanError, match="needs finite bounds"):
            make(Box.symmetric(0.0, 1))
    with pytest.raises(JourneymanError, match="at least one component, not 0"):
        GaussianMixture.make(BOX, components=0)


class _Sphere(AbstractSpace):
    @property
    def shape(self) -> tuple[int, ...]:
        return (3,)


def test_targets_that_are_no_actions_of_a_head_are_told_with_their_place() -> None:
    head = MultiCategorical((2, 3))
    assert head.problems(np.asarray([[0, 2], [1, 0]])) == []
    assert "shape (3,), the policy's have (2,)" in head.problems(np.zeros((4, 3), int))[0]
    assert "actions are float64, the policy chooses one of [2, 3]" in head.problems(np.zeros((4, 2)))[0]
    assert "the action 2 in entry 0, the policy knows 0 to 1" in head.problems(np.asarray([[0, 2], [2, 0]]))[0]
    assert "the action -1 in entry 1, the policy knows 0 to 1" in Bernoulli(2).problems(np.asarray([[1, -1]]))[0]
    assert Gaussian.make(BOX).problems(np.full((2, 3), 1e9)) == []


# -- special cases --------------------------------------------------------------------------------------


def some(head: AbstractHead, count: int = 50, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=(count, head.outputs())))


@eqx.filter_jit
def told(head: AbstractHead, raw: jax.Array, other: jax.Array, action: jax.Array) -> tuple[jax.Array, ...]:
    """Log-probability, entropy, KL and mode."""
    here = head.parameters(raw)
    return head.log_prob(here, action), head.entropy(here), head.kl(here, head.parameters(other)), head.mode(here)


@pytest.mark.parametrize("name", MAKERS)
def test_a_head_and_its_numpyro_distribution_are_one_density(name: str) -> None:
    head = MAKERS[name]()

    @jax.jit
    def both(raw: jax.Array) -> tuple[jax.Array, ...]:
        parameters = head.parameters(raw)
        stated = head.distribution(parameters)
        ours = head.sample(parameters, head.noise(jax.random.key(0), 50))
        theirs = stated.sample(jax.random.key(1))
        densities = (partial(head.log_prob, parameters), stated.log_prob)
        return tuple(log_prob(action) for action in (ours, theirs) for log_prob in densities)

    one, same, two, alike = both(0.5 * some(head))
    np.testing.assert_allclose([one, two], [same, alike], rtol=2e-3, atol=2e-3)
    assert np.std(one) > 0.01


@pytest.mark.usefixtures("x64")
def test_a_full_gaussian_has_the_covariance_of_its_factor_and_is_diagonal_without_correlation() -> None:
    head = FullGaussian.make(BOX, state_dependent=True)
    raw, other = some(head), some(head, seed=1)
    action = jnp.asarray(np.random.default_rng(2).uniform(BOX.low, BOX.high, (50, 3)))
    mean, factor = head.parameters(raw)
    _, log_std = head.diagonal.parameters(raw[:, :6])
    covariance = factor @ factor.swapaxes(-1, -2)
    np.testing.assert_allclose(jnp.sqrt(jnp.diagonal(covariance, axis1=-2, axis2=-1)), jnp.exp(log_std), rtol=1e-12)
    assert float(jnp.abs(covariance[:, 0, 1]).max()) > 0.1
    theirs = dist.kl_divergence(head.distribution((mean, factor)), head.distribution(head.parameters(other)))
    np.testing.assert_allclose(told(head, raw, other, action)[2], theirs, rtol=1e-9)
    none = jnp.zeros((50, 3))
    bare, bare_other = jnp.concatenate([raw[:, :6], none], -1), jnp.concatenate([other[:, :6], none], -1)
    plain = told(head.diagonal, raw[:, :6], other[:, :6], action)
    for got, want in zip(told(head, bare, bare_other, action), plain, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_one_component_is_a_gaussian_and_several_choices_are_many_categoricals() -> None:
    one, plain = GaussianMixture.make(BOX, components=1), Gaussian.make(BOX, state_dependent=True)
    raw, other = some(one), some(one, seed=1)
    action = jnp.asarray(np.random.default_rng(2).uniform(BOX.low, BOX.high, (50, 3)))
    expected = told(plain, raw[:, 1:], other[:, 1:], action)
    for got, want in zip(told(one, raw, other, action), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    above = eqx.filter_jit(one.entropy_above)(one.parameters(raw))
    np.testing.assert_allclose(above, expected[1], rtol=1e-12)

    several, parts = MultiCategorical((2, 3)), (Categorical(2), Categorical(3))
    raw = some(several)
    chosen = jnp.asarray(np.random.default_rng(0).integers(0, [2, 3], (50, 2)))
    apart = [
        part.log_prob(r, chosen[:, i]) for i, (part, r) in enumerate(zip(parts, (raw[:, :2], raw[:, 2:]), strict=True))
    ]
    np.testing.assert_allclose(several.log_prob(several.parameters(raw), chosen), sum(apart), rtol=1e-12)
    bits, pairs = Bernoulli(2), MultiCategorical((2, 2))
    logits = some(bits)
    paired = pairs.parameters(jnp.stack([jnp.zeros_like(logits), logits], -1).reshape(50, 4))
    chosen = chosen % 2
    np.testing.assert_allclose(bits.log_prob(logits, chosen), pairs.log_prob(paired, chosen), rtol=1e-12)
    np.testing.assert_allclose(bits.entropy(logits), pairs.entropy(paired), rtol=1e-12)


# -- the mixture's bounds -------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
def test_the_pair_s_kl_bounds_the_actions_and_both_entropies_hold_the_true_one_between_them() -> None:
    head = GaussianMixture.make(Box.symmetric(1.0, 2), components=3)
    raw, other = some(head, 1)[0], some(head, 1, seed=1)[0]
    here, there = head.parameters(raw), head.parameters(other)
    many = lambda tree: jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (50_000, *leaf.shape)), tree)  # noqa: E731

    @jax.jit
    def drawn() -> tuple[jax.Array, jax.Array]:
        action = head.sample(many(here), head.noise(jax.random.key(0), 50_000))
        return head.log_prob(many(here), action), head.log_prob(many(there), action)

    log_prob, elsewhere = (np.asarray(x) for x in drawn())
    ratio = log_prob - elsewhere
    error = lambda x: 5 * x.std() / math.sqrt(len(x))  # noqa: E731
    assert float(head.kl(here, there)) > ratio.mean() + error(ratio), "a strict bound here, beyond the noise"
    assert float(head.entropy(here)) < -log_prob.mean() - error(log_prob)
    assert float(head.entropy_above(here)) > -log_prob.mean() + error(log_prob)
    # Both are exact where components coincide, and where they do not touch.
    (logits, mean, log_std) = here
    same = (logits, jnp.zeros_like(mean), jnp.zeros_like(log_std))
    location = jnp.tile(jnp.zeros(2), 3)
    alike = GaussianMixture(
        Gaussian(type(head.components.scale)(location, jnp.ones(6)), None, head.components.bounds), 3
    )
    gaussian = 2 * (1 + math.log(2 * math.pi)) / 2
    far = (logits, 1e3 * jnp.arange(3.0)[:, None] * jnp.ones((1, 2)), jnp.zeros_like(log_std))
    weight = jax.nn.softmax(logits)
    for bound in (eqx.filter_jit(alike.entropy), eqx.filter_jit(alike.entropy_above)):
        assert float(bound(same)) == pytest.approx(gaussian, abs=1e-12)
        assert float(bound(far)) == pytest.approx(gaussian - float((weight * jnp.log(weight)).sum()), abs=1e-12)


@pytest.mark.usefixtures("x64")
def test_the_mode_of_a_mixture_is_the_top_of_a_hill_and_not_between_them() -> None:
    head = GaussianMixture.make(Box.symmetric(1.0, 1), components=3)
    raw = some(head, 40)
    parameters = head.parameters(raw)
    mode = eqx.filter_jit(head.mode)(parameters)
    grid = jnp.linspace(-8, 8, 4001)
    log_prob = jax.jit(jax.vmap(lambda x: head.log_prob(parameters, jnp.broadcast_to(x, mode.shape))))
    short = log_prob(grid).max(0) - log_prob(mode[None])[0]
    assert np.quantile(short, 0.9) < 1e-3
    assert float(short.max()) < 0.1
    share = np.asarray(jax.nn.softmax(parameters[0]))
    mean = np.asarray(head.components.scale.location) + np.asarray(parameters[1])[..., 0]  # half widths are 1
    balance = (share * mean).sum(-1, keepdims=True)
    assert float(jnp.abs(mode - balance).max()) > 0.1


def test_a_mixture_learns_two_ways_to_act_where_a_gaussian_learns_their_mean() -> None:
    random = np.random.default_rng(0)
    side = random.choice([-0.6, 0.6], (64, 16, 1))
    action = (side + 0.05 * random.normal(size=side.shape)).astype(np.float32)
    flags = np.zeros((64, 16), bool)
    data = Episodes(
        random.normal(size=(64, 17, 1)).astype(np.float32),
        action,
        action,
        np.zeros((64, 16), np.float32),
        np.full((64, 16), np.nan, np.float32),
        flags,
        flags,
        ~flags,
        np.tile(np.arange(16, dtype=np.int32), (64, 1)),
        np.zeros((64, 16), np.int8),
    )
    space, loss, mode = Box.symmetric(1.0, 1), {}, {}
    for name, head in (("one", Gaussian.make(space)), ("two", GaussianMixture.make(space, components=2))):
        network = MLP.make([1, head.outputs()], jax.random.key(0))
        one = DensityPolicy(Encoder(((1,),), (0,)), Normalizer.fresh(1), network, head)
        trained = fit(bc(2e-2, epochs=30, batch_size=128), one, data, log_every=30, checkpoint_every=30)
        loss[name] = trained.rows[-1]["loss"]
        mode[name] = float(trained.policy.mode(jnp.zeros(1))[0])
    truth = 0.5 + 0.5 * math.log(2 * math.pi) + math.log(0.05) + math.log(2)  # the data's own entropy
    assert loss["two"] == pytest.approx(truth, abs=0.15)
    assert loss["one"] > truth + 1.0
    assert abs(abs(mode["two"]) - 0.6) < 0.05
    assert abs(mode["one"]) < 0.2, "between the two, where nobody acted"


# -- the Beta's shape and everybody's floor -------------------------------------------------------------


def test_a_beta_peaks_at_its_mode_and_single_precision_holds_what_the_page_says() -> None:
    space, random = Box.symmetric(1.0, 1), np.random.default_rng(0)
    rows = np.float32(random.normal(size=(5000, 2)) * 3e4), np.float32(random.normal(size=(5000, 2)))

    @eqx.filter_jit
    def both(head: Beta, raw: jax.Array, away: jax.Array) -> tuple[jax.Array, jax.Array]:
        here = head.parameters(raw)
        return head.kl(here, head.parameters(raw + away)), head.log_prob(here, head.mode(here))

    def wrong(minimum_std: float) -> np.ndarray:
        """The largest error of a KL and of a log-probability."""
        narrow = both(Beta.make(space, minimum_std=minimum_std), *(jnp.asarray(x, jnp.float32) for x in rows))
        with jax.enable_x64(True):
            wide = both(Beta.make(space, minimum_std=minimum_std), *(jnp.asarray(x, jnp.float64) for x in rows))
            return np.asarray([np.abs(np.float64(a) - np.float64(b)).max() for a, b in zip(narrow, wide, strict=True)])

    assert (wrong(0.05) < 8e-4).all()
    assert (wrong(0.01) < 4e-2).all()
    assert (wrong(0.01) > 8e-4).all(), "why the concentration has a bound"
    head, raw = Beta.make(space), jnp.asarray(random.normal(size=(200, 2)) * 300, jnp.float32)
    parameters = head.parameters(raw[:20])
    best = head.log_prob(parameters, head.mode(parameters))
    for shift in (-0.05, 0.05):
        assert (np.asarray(head.log_prob(parameters, head.mode(parameters) + shift)) <= best + 1e-6).all()
    assert float(head.mode(head.parameters(jnp.full(2, -1e6)))[0]) == 0.0


@pytest.mark.usefixtures("x64")
def test_the_metric_of_a_beta_is_right_where_its_shapes_are_equal() -> None:
    head = Beta.make(Box.symmetric(1.0, 1))
    shapes = jnp.asarray([0.7, 0.7])

    def divergence(there: jax.Array) -> jax.Array:
        return head.kl((shapes[:1], shapes[1:]), (there[:1], there[1:]))

    whole, own = (float(jax.scipy.special.polygamma(1, x)) for x in (3.4, 1.7))
    expected = [[own - whole, -whole], [-whole, own - whole]]
    np.testing.assert_allclose(jax.hessian(divergence)(shapes), expected, rtol=1e-9)


@functools.cache
def floors() -> dict[str, tuple[AbstractHead, AbstractHead, Callable]]:
    """A head, the same under a floor of 0.3, and how to read its least deviation in half widths."""
    space = Box.symmetric(1.0, 2)
    made: dict[str, tuple[AbstractHead, Callable]] = {
        "full": (
            FullGaussian.make(space, state_dependent=True),
            lambda p: jnp.sqrt(jnp.square(p[1]).sum(-1)),
        ),
        "full, fixed": (FullGaussian.make(space, std=0.05), lambda p: jnp.sqrt(jnp.square(p[1]).sum(-1))),
        "mixture": (GaussianMixture.make(space), lambda p: jnp.exp(p[2])),
        "beta": (Beta.make(space), lambda p: 1 / jnp.sqrt(3 + p[0] + p[1])),
    }
    return {name: (head, head.floored(0.3), read) for name, (head, read) in made.items()}


@pytest.mark.parametrize("name", ["full", "full, fixed", "mixture", "beta"])
def test_a_floor_lifts_the_deviation_of_the_newer_heads(name: str) -> None:
    before, after, least = floors()[name]
    raw = jnp.asarray(np.random.default_rng(0).normal(size=(300, before.outputs())) * 60, jnp.float32)
    # A Beta is this narrow only from far out: its concentration grows linearly with the raw numbers.
    assert float(least(before.parameters(raw)).min()) < 0.1
    assert float(least(after.parameters(raw)).min()) >= 0.3 * (1 - 1e-5)
    if name != "mixture":  # which component is likeliest may depend on how wide they are
        np.testing.assert_allclose(after.mode(after.parameters(raw)), before.mode(before.parameters(raw)), atol=2e-6)


def test_a_floor_above_the_uniform_s_deviation_is_refused_and_a_finite_set_has_none() -> None:
    with pytest.raises(
        JourneymanError, match=r"lies between 0 and that of the uniform, 0.577 half widths, so it cannot be at"
    ):
        Beta.make(Box.symmetric(1.0, 1)).floored(0.6)
    for head in (Categorical(3), MultiCategorical((2, 3)), Bernoulli(2)):
        assert head.floored(0.3) is head
