"""`verify.density` passes every head of the library, and names what is wrong with wrong ones."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, PyTree

from journeyman import verify
from journeyman.parts import JourneymanError
from journeyman.policies import (
    AbstractHead,
    Bernoulli,
    Beta,
    Categorical,
    FixedGaussian,
    FullGaussian,
    Gaussian,
    GaussianMixture,
    MultiCategorical,
    Scale,
    SquashedGaussian,
    policy,
)
from journeyman.worlds import Box, GeometricChain

BOX = Box(np.asarray([-1, -1], np.float32), np.asarray([3, 1], np.float32))
HEADS: dict[str, AbstractHead] = {
    "gaussian": Gaussian.make(BOX),
    "gaussian by state": Gaussian.make(BOX, state_dependent=True),
    "full": FullGaussian.make(BOX),
    "full by state": FullGaussian.make(Box.symmetric(1.0, 3), state_dependent=True),
    "fixed": FixedGaussian(Scale(jnp.ones(1), jnp.full(1, 0.7))),
    "squashed": SquashedGaussian.make(BOX),
    "beta": Beta.make(BOX),
    "mixture": GaussianMixture.make(BOX, components=3),
    "categorical": Categorical(3),
    "multi-categorical": MultiCategorical((2, 3, 4)),
    "bernoulli": Bernoulli(4),
}


def raw(head: AbstractHead, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=head.outputs()) * 0.6, jnp.float32)


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_the_density_it_claims_to_be(name: str) -> None:
    found = verify.density(HEADS[name], raw(HEADS[name]), samples=8000, directions=3)
    assert found.passed, f"\n{found}"
    names = {check.name for check in found.checks}
    assert names >= {"mass", "samples", "score", "gradient", "itself", "kl", "fisher", "entropy"}
    assert ("bound" in names) == (name in ("squashed", "beta"))


def test_a_policy_at_an_observation() -> None:
    one = policy(GeometricChain(), jax.random.key(0), hidden=(4,))
    found = verify.density(one, jnp.ones(1), samples=4000, directions=2)
    assert found.passed, f"\n{found}"
    assert found["mass"].value == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("head", "rare"), [(Categorical(2), -12.0), (Categorical(3), -9.0), (Bernoulli(3), -10.0)])
def test_a_choice_that_is_hardly_ever_drawn_fails_no_check(head: AbstractHead, rare: float) -> None:
    at = jnp.zeros(head.outputs()).at[-1].set(rare)
    for seed in range(3):
        found = verify.density(head, at, samples=2000, directions=2, seed=seed)
        assert found.passed, f"\n{found}"


# -- wrong heads ----------------------------------------------------------------------------------------


class _Clipping:
    """Draws that are clipped, as some store them, beside a log-probability of the unclipped ones."""

    def __init__(self, inner: Any, bound: float) -> None:
        self.inner, self.bound = inner, bound

    def sample(self, key: Array) -> Array:
        return jnp.clip(self.inner.sample(key), -self.bound, self.bound)


class _Wrong(AbstractHead):
    """`inner` with one flaw."""

    gives: ClassVar[frozenset[str]] = frozenset({"density"})

    inner: AbstractHead
    flaw: str = eqx.field(static=True)

    def outputs(self) -> int:
        return self.inner.outputs()

    def space(self) -> Any:
        return self.inner.space()

    def parameters(self, raw: Array) -> PyTree:
        return self.inner.parameters(raw)

    def mode(self, parameters: PyTree) -> Array:
        return self.inner.mode(parameters)

    def distribution(self, parameters: PyTree) -> Any:
        if self.flaw == "draws with the variance for a deviation":
            return self.inner.distribution((parameters[0], 2 * parameters[1]))
        if self.flaw == "clipped draws":
            return _Clipping(self.inner.distribution(parameters), 1.0)
        if self.flaw == "draws of the opposite bits":
            return self.inner.distribution(-parameters)
        return self.inner.distribution(parameters)

    def sample(self, parameters: PyTree, noise: PyTree) -> Array:
        if self.flaw == "draws of half the deviation":  # beside a distribution that is right
            return (super().sample(parameters, noise) + self.inner.mode(parameters)) / 2
        return super().sample(parameters, noise)

    def log_prob(self, parameters: PyTree, action: Array) -> Array:
        if self.flaw == "no slope of the squashing":
            centre, half = self.inner.box.over(action)  # type: ignore[attr-defined]
            return self.inner.inner.log_prob(parameters, jnp.arctanh((action - centre) / half))  # type: ignore[attr-defined]
        if self.flaw == "no normaliser":
            return jnp.take_along_axis(parameters, action[..., None], -1)[..., 0]
        if self.flaw == "a deviation without a gradient":
            return self.inner.log_prob((parameters[0], jax.lax.stop_gradient(parameters[1])), action)
        if self.flaw == "no rule for the bound":
            return self.inner.distribution(parameters).log_prob(action)
        return self.inner.log_prob(parameters, action)

    def kl(self, first: PyTree, second: PyTree) -> Array:
        if self.flaw == "half the KL":
            return self.inner.kl(first, second) / 2
        if self.flaw == "a metric without the deviation":
            return self.inner.kl((first[0], first[1]), (second[0], first[1]))
        return self.inner.kl(first, second)

    def entropy(self, parameters: PyTree) -> Array:
        if self.flaw == "the entropy before squashing":
            return self.inner.inner.entropy(parameters)  # type: ignore[attr-defined]
        if self.flaw == "an entropy off by a thousandth":
            return 1.001 * self.inner.entropy(parameters)
        return self.inner.entropy(parameters)


LINE = Box.symmetric(1.0, 1)
SQUASHED, NORMAL = SquashedGaussian.make(LINE), Gaussian.make(LINE, state_dependent=True)
PLANTED = [
    ("no slope of the squashing", SQUASHED, {"mass", "samples"}),
    ("no rule for the bound", SQUASHED, {"bound"}),
    ("the entropy before squashing", SQUASHED, {"entropy"}),
    ("draws with the variance for a deviation", NORMAL, {"samples", "entropy"}),
    ("draws of half the deviation", NORMAL, {"samples", "entropy"}),
    ("clipped draws", NORMAL, {"samples"}),
    ("a deviation without a gradient", NORMAL, {"gradient"}),
    ("a metric without the deviation", NORMAL, {"kl", "fisher"}),
    ("half the KL", Categorical(3), {"kl", "fisher"}),
    ("no normaliser", Categorical(3), {"mass", "score"}),
    ("draws of the opposite bits", Bernoulli(3), {"samples"}),
    ("an entropy off by a thousandth", Categorical(3), {"entropy"}),
]


@pytest.mark.parametrize(("flaw", "inner", "caught"), PLANTED, ids=[flaw for flaw, *_ in PLANTED])
def test_a_wrong_head_is_caught_and_the_check_says_where(flaw: str, inner: AbstractHead, caught: set[str]) -> None:
    at = jnp.asarray([2.0, 0.0, -1.0] if isinstance(inner, Categorical) else np.full(inner.outputs(), 0.4), jnp.float32)
    found = verify.density(_Wrong(inner, flaw), at, samples=20_000, directions=3)
    assert not found.passed
    assert caught <= set(found.failures), f"\n{found}"
    assert "FAIL" in str(found)


# -- results and refusals -------------------------------------------------------------------------------


def test_a_number_that_is_none_never_passes_and_bounds_have_one_side() -> None:
    of = verify.Check.of
    assert not of("x", float("nan"), 0.0, 1.0, "").passed
    assert not of("x", 0.0, float("nan"), 1.0, "", side="at least").passed
    assert of("x", 5.0, 0.0, 1.0, "", side="at least").passed
    assert not of("x", 5.0, 0.0, 1.0, "", side="at most").passed
    assert not of("x", 5.0, 0.0, 1.0, "").passed
    found = verify.Verification("something", (of("a", 0.0, 0.0, 0.0, ""), of("b", 2.0, 0.0, 1.0, "")))
    assert (found.passed, found.failures, found["b"].value) == (False, ("b",), 2.0)


def test_refusals() -> None:
    with pytest.raises(JourneymanError, match="has 131,072 elements and at most 65,536 are summed over"):
        verify.density(Bernoulli(17), jnp.zeros(17), samples=10)
    with pytest.raises(JourneymanError, match=r"does not say where its actions live.*pass space="):
        verify.density(_Spaceless(), jnp.zeros(1))
    with pytest.raises(JourneymanError, match="`seed` must be a whole number from 0 to 4294967295, not -1"):
        verify.density(Bernoulli(1), jnp.zeros(1), seed=-1)


class _Spaceless(AbstractHead):
    """A head whose space is of a kind that nobody can sum over."""

    def space(self) -> Any:
        return None

    def outputs(self) -> int:
        return 1

    def parameters(self, raw: Array) -> PyTree:
        return raw

    def distribution(self, parameters: PyTree) -> Any:
        raise NotImplementedError

    def mode(self, parameters: PyTree) -> Array:
        return parameters
