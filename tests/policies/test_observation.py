"""What a network reads: encoded leaves, unrolled angles, statistics that match numpy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeyman.policies import Encoder, Normalizer
from journeyman.worlds import Box, Discrete

few = settings(deadline=None, max_examples=15)


@few
@given(
    sizes=st.lists(st.sampled_from([1, 3, 8]), min_size=1, max_size=4),
    offset=st.sampled_from([0.0, 1.0, -300.0]),
    seed=st.integers(0, 1000),
)
def test_merged_statistics_are_those_of_all_the_data(sizes: list[int], offset: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [(random.normal(offset, 2.0, (n, 3))).astype(np.float32) for n in sizes]
    masks = [random.random(n) < 0.7 for n in sizes]
    seen = Normalizer.fresh(3)
    for part, mask in zip(parts, masks, strict=True):
        seen = seen.merge(jnp.asarray(part), jnp.asarray(mask))
    data = np.concatenate([part[mask] for part, mask in zip(parts, masks, strict=True)]).astype(np.float64)
    assert float(seen.count) == len(data)
    if len(data):
        deviation = data.std(0)  # of a single sample 0, which later ones must not remember as 1
        np.testing.assert_allclose(seen.mean, data.mean(0), rtol=1e-5, atol=1e-4)
        # float32 keeps seven digits of the data, so of a deviation 150 times smaller about four
        np.testing.assert_allclose(seen.deviation, deviation, rtol=2e-3, atol=1e-3)


def test_what_is_invalid_is_not_seen_whatever_it_holds() -> None:
    features = jnp.asarray([[1.0], [np.nan], [3.0], [np.inf]])
    seen = Normalizer.fresh(1).merge(features, jnp.asarray([True, False, True, False]))
    assert (float(seen.mean[0]), float(seen.deviation[0]), float(seen.count)) == (2.0, 1.0, 2.0)


def test_a_column_that_never_moved_keeps_scale_one_and_a_large_offset_loses_nothing() -> None:
    features = np.stack([np.full(500, 1e4 / 3), 1e4 + np.random.default_rng(0).normal(size=500)], 1).astype(np.float32)
    seen = Normalizer.fresh(2).merge(jnp.asarray(features), jnp.ones(500, bool))
    for _ in range(3):
        seen = seen.merge(jnp.asarray(features), jnp.ones(500, bool))
    assert float(seen.scale[0]) == 1.0
    assert float(seen.deviation[1]) == pytest.approx(features[:, 1].astype(float).std(), rel=1e-3)
    out = seen(jnp.asarray(features))
    assert np.abs(np.asarray(out[:, 0])).max() < 0.02


def test_the_first_samples_lose_nothing_to_a_large_offset() -> None:
    features = (1e6 + np.random.default_rng(0).normal(size=(100_000, 1))).astype(np.float32)
    seen = Normalizer.fresh(1).merge(jnp.asarray(features), jnp.ones(100_000, bool))
    assert float(seen.mean[0]) == pytest.approx(features.astype(float).mean(), abs=0.032), "half of what it can hold"
    assert float(seen.deviation[0]) == pytest.approx(features.astype(float).std(), rel=1e-5)


def test_the_statistics_are_constants_to_a_gradient() -> None:
    seen = Normalizer(jnp.ones(2), jnp.full(2, 3.0), jnp.asarray(5.0))
    slope = jax.grad(lambda n: n(jnp.ones((4, 2))).sum())(seen)
    assert all(float(jnp.abs(leaf).sum()) == 0 for leaf in jax.tree.leaves(slope))


def test_leaves_are_joined_in_tree_order_and_classes_become_one_hot() -> None:
    encoder = Encoder.of({"b": Discrete(3), "a": Box.unbounded(2, 2)})
    observation = {"a": np.arange(8, dtype=np.float32).reshape(2, 2, 2), "b": np.array([2, 0], np.int32)}
    assert encoder.size == 7
    np.testing.assert_array_equal(encoder(observation), [[0, 1, 2, 3, 0, 0, 1], [4, 5, 6, 7, 1, 0, 0]])


def test_an_angle_becomes_a_place_on_the_circle() -> None:
    encoder = Encoder.of(Box.unbounded(3), angles=(2,))
    assert encoder.size == 4
    turn = np.array([0.3, 0.3 + 2 * np.pi, 0.3 - 2 * np.pi, 0.3 + np.pi], np.float32)
    observation = np.stack([np.ones(4), np.full(4, 5.0), turn], 1).astype(np.float32)
    out = np.asarray(encoder(observation))
    np.testing.assert_allclose(out[:3], np.tile([1, 5, np.cos(0.3), np.sin(0.3)], (3, 1)), atol=1e-5)
    assert np.abs(out[3] - out[0]).max() > 1, "half a turn is another place"


@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_any_leading_axes(lead: tuple[int, ...]) -> None:
    encoder = Encoder.of({"x": Box.unbounded(2), "c": Discrete(2)}, angles=(1,))
    observation = {"x": jnp.ones((*lead, 2)), "c": jnp.zeros(lead, jnp.int32)}
    assert encoder(observation).shape == (*lead, 5)
