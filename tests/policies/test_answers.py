"""What a head and a network of somebody's own answer: of another shape it is one sentence, not broadcast."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest

from journeyman.parts import JourneymanError
from journeyman.policies import AbstractHead, AbstractNetwork, DensityPolicy, Encoder, Normalizer
from journeyman.verify import density
from journeyman.worlds import Box

SEEN, DONE = jnp.zeros((4, 2)), jnp.zeros((4, 1))
pytestmark = pytest.mark.usefixtures("unannotated")


class OddHead(AbstractHead):
    """N(m, 1), one of its answers made another one; its log-probability is right."""

    of: str = eqx.field(static=True, default="")
    made: Callable[..., Any] = eqx.field(static=True, default=lambda x: x)

    def outputs(self) -> int:
        return 1

    def _odd(self, of: str, answer: Any) -> Any:
        return self.made(answer) if of == self.of else answer

    def parameters(self, raw: Any) -> Any:
        return self._odd("parameters", raw)

    def distribution(self, parameters: Any) -> Any:
        return dist.Independent(dist.Normal(parameters, jnp.ones_like(parameters)), 1)

    def mode(self, parameters: Any) -> Any:
        return parameters

    def log_prob(self, parameters: Any, action: Any) -> Any:
        return self._odd("log_prob", super().log_prob(parameters, action))

    def kl(self, first: Any, second: Any) -> Any:
        return self._odd("kl", (jnp.square(first - second) / 2).sum(-1))

    def entropy(self, parameters: Any) -> Any:
        return self._odd("entropy", super().entropy(parameters))


class OddNetwork(AbstractNetwork):
    made: Callable[..., Any] = eqx.field(static=True)

    def __call__(self, features: Any, time: Any = None) -> Any:
        return self.made(features[..., :1])

    def redrawn(self, key: Any) -> AbstractNetwork:
        return self

    def fed(self, ratio: Any, shift: Any) -> AbstractNetwork:
        return self

    def read(self, ratio: Any, shift: Any) -> AbstractNetwork:
        return self


def _policy(head: AbstractHead | None = None, network: Any = lambda x: x) -> DensityPolicy:
    encoder = Encoder.of(Box.unbounded(2))
    return DensityPolicy(encoder, Normalizer.fresh(2), OddNetwork(network), head or OddHead())


def _answers(one: DensityPolicy) -> list[Any]:
    here = one.parameters(SEEN)
    return [one.log_prob(SEEN, DONE), one.entropy(SEEN), one.kl(here, here)]


@pytest.mark.parametrize(
    ("of", "made", "says"),
    [
        (
            "log_prob",
            lambda x: x[..., None],
            r"`log_prob` of OddHead gives float32\[4, 1\] where float32\[4\] is.*Independent",
        ),
        ("log_prob", lambda x: x.mean(), r"`log_prob` of OddHead gives float32\[\] where"),
        ("entropy", lambda x: x[..., None], r"`entropy` of OddHead gives float32\[4, 1\] where"),
        ("entropy", lambda x: 1.0, r"`entropy` of OddHead gives 1\.0 where"),
        ("kl", lambda x: x[..., None], r"`kl` of OddHead gives float32\[4, 1\] where float32\[4\] is"),
        ("kl", lambda x: x.mean(), r"`kl` of OddHead gives float32\[\] where"),
        ("kl", lambda x: None, r"`kl` of OddHead gives nothing where"),
        (
            "parameters",
            lambda x: (x, x[0]),
            r"`parameters` of OddHead gives .*float32\[1\]\) for a batch of shape \[4\]",
        ),
    ],
)
def test_a_heads_answer_is_held_against_the_batch(of: str, made: Callable[..., Any], says: str) -> None:
    with pytest.raises(JourneymanError, match=says):
        _answers(_policy(OddHead(of, made)))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda x: x[..., 0], r"of OddNetwork gives float32\[4\] where float32\[4, 1\] is needed"),
        (lambda x: jnp.concatenate([x, x], -1), r"gives float32\[4, 2\] where"),
        (lambda x: x[:1], r"gives float32\[1, 1\] where"),
        (lambda x: x.astype(jnp.int32), r"gives int32\[4, 1\] where float32"),
        (lambda x: None, r"gives nothing where"),
    ],
)
def test_a_networks_answer_is_held_against_the_batch(made: Callable[..., Any], says: str) -> None:
    with pytest.raises(JourneymanError, match=says):
        _policy(network=made).parameters(SEEN)


def test_right_answers_pass_under_any_axes_and_transformations() -> None:
    one = _policy()
    assert [answer.shape for answer in _answers(one)] == [(4,)] * 3
    assert one.log_prob(SEEN.reshape(2, 2, 2), DONE.reshape(2, 2, 1)).shape == (2, 2)
    assert one.log_prob(SEEN[0], DONE[0]).shape == one.entropy(SEEN[0]).shape == ()
    with jax.numpy_rank_promotion("allow"):
        assert one.log_prob(SEEN[0], DONE).shape == (4,)  # several actions at one observation
    assert jax.vmap(one.log_prob)(SEEN, DONE).shape == (4,)


@pytest.mark.parametrize("of", ["log_prob", "entropy", "kl"])
def test_the_checks_of_a_density_say_so_too(of: str) -> None:
    with pytest.raises(JourneymanError, match=rf"`{of}` of OddHead gives float\d\d\[.*1\] where"):
        density(OddHead(of, lambda x: x[..., None]), jnp.zeros(1), samples=100)
