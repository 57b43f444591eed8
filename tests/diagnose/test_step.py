"""What one step does: covariant or not, as long as predicted or not, and where the return collapses."""

import functools
import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import Sample, play
from journeyman.diagnose import StepQuality, step
from journeyman.diagnose._covariance import _Retold, disagreement
from journeyman.diagnose._radius import ray
from journeyman.diagnose._step import _along
from journeyman.geometry import Fisher
from journeyman.objectives import Samples
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.verify import linear_policy
from journeyman.weights import Advantage, RewardToGo, TimeVaryingBaseline, Unscaled
from journeyman.worlds import GeometricChain, LinearQuadratic

WORLD = LinearQuadratic(horizon=20)
WEIGHT = Advantage(1.0, 1.0, TimeVaryingBaseline(20), Unscaled())


@functools.cache
def scalar(kl: float = 0.01, multiples: tuple[float, ...] = (0.5, 1, 8, 32)) -> StepQuality:
    return step(linear_policy(WORLD, -0.3, 0.3), WORLD, WEIGHT, kl=kl, multiples=multiples, episodes=128)


def test_the_natural_step_is_covariant_and_the_plain_one_is_not() -> None:
    found = scalar()
    assert found.natural.covariant
    assert not found.plain.covariant
    # In other coordinates the natural step is the same to first order: what is left per length falls like √radius.
    radii = found.kl * np.array([1, 1 / 4, 1 / 16])
    slope = lambda one: np.polyfit(np.log(radii), np.log(one.disagreement), 1)[0]  # noqa: E731
    assert slope(found.natural) == pytest.approx(0.5, abs=0.15)
    assert slope(found.plain) == pytest.approx(0.0, abs=0.1)
    assert "The natural step is covariant" in found.finding


def test_damping_costs_the_covariance_and_is_found_out() -> None:
    one = linear_policy(WORLD, -0.3, 0.3)
    episodes = jax.tree.map(jnp.asarray, play(WORLD, Sample(one), episodes=64, seed=0))
    samples = Samples.of(episodes, RewardToGo(1.0)((), episodes).weight)

    def at_the_smallest(geometry: Fisher) -> float:
        path = eqx.filter_jit(ray)(one, geometry, samples)
        return float(disagreement(one, path, geometry, samples, jnp.asarray([1e-3]))[0])

    exact, damped = (at_the_smallest(g) for g in (Fisher(1e-6, 5), Fisher(10.0, 5)))
    assert exact < 0.01
    assert damped > 10 * exact


def test_the_other_coordinates_tell_the_same_policy() -> None:
    one = policy(WORLD, jax.random.key(0), hidden=(5,))
    told = _Retold.of(one)
    seen = jnp.linspace(-2.0, 2.0, 7)[:, None]
    np.testing.assert_allclose(told.policy().mode(seen), one.mode(seen), atol=1e-5)
    own, other = jax.tree.leaves(eqx.filter(one.network, eqx.is_array)), jax.tree.leaves(told.told.network)
    assert not np.allclose(own[0], other[0], atol=1e-2)


def test_the_realised_divergence_is_the_predicted_one_for_small_steps_and_strays_for_large_ones() -> None:
    found = scalar()
    for one in (found.plain, found.natural):
        relative = one.realised_kl / np.asarray(found.radii)
        np.testing.assert_allclose(relative[:2], 1.0, atol=0.05)
        assert relative[-1] > 1.2
        np.testing.assert_allclose(one.fresh_kl, one.realised_kl, rtol=0.2)


def test_the_return_rises_and_then_collapses() -> None:
    found = scalar()
    assert found.multiples == (0.0, 0.5, 1.0, 8.0, 32.0)
    for one in (found.plain, found.natural):
        assert one.best == 8
        assert one.collapse == 32
        assert one.change[2].low > 0, "a step of the wanted length helps, beyond its interval"
        assert one.change[0].mean == 0
    gain = [one.returns[3].mean for one in (found.plain, found.natural)]
    assert gain[1] > gain[0], "at equal predicted KL the natural direction goes further"


def test_the_collapse_is_the_first_fall_beyond_the_best() -> None:
    noise, none = np.random.default_rng(0).normal(0, 0.1, 50), np.zeros(3)

    def along(*means: float | None) -> Any:
        walked = [None if mean is None else noise + mean for mean in means]
        return _along(none, none, none, lengths=(0.0, 1.0, 2.0, 4.0, 8.0), walked=walked)

    assert (along(0, -1, 2, -1, -5).best, along(0, -1, 2, -1, -5).collapse) == (2, 4)  # at 1 it falls before the best
    assert along(0, 1, 2, 1, None).collapse == 8
    assert along(0, 1, 2, 1, 0.5).collapse is None


def test_a_world_that_overflows_is_a_collapse_and_is_said() -> None:
    found = scalar(1.0, (1, 1000))
    assert found.natural.collapse is not None
    assert any("At 1000 times the" in note and "no longer finite" in note for note in found.notes)
    told = json.loads(json.dumps(found.numbers()))
    assert told["plain"]["returns"][-1]["mean"] is None


def test_a_table_and_plain_json() -> None:
    found = scalar()
    assert len(found.table().splitlines()) == 1 + len(found.radii) + 2 + len(found.multiples)
    told = json.loads(json.dumps(found.numbers()))
    assert len(told["natural"]["realised_kl"]) == len(found.radii)
    assert told["natural"]["covariant"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl": 0.0}, "Radii are positive numbers of nats, not 0.0"),
        ({"multiples": (2, 1)}, r"Multiples of the step are positive and rise, unlike \[2, 1\]"),
        ({"episodes": 1}, "need at least two episodes each, not 1 and 64"),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(JourneymanError, match=message):
        step(linear_policy(WORLD, -0.3, 0.3), WORLD, WEIGHT, **options)


def test_a_policy_of_another_world() -> None:
    with pytest.raises(JourneymanError, match="does not fit 'GeometricChain'"):
        step(linear_policy(WORLD, -0.3, 0.3), GeometricChain(), WEIGHT)
