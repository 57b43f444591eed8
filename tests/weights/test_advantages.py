"""Returns and advantages: tables worked by hand, a slow loop, and values that are known in closed form."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeyman.episodes import Episodes, concatenate
from journeyman.weights import (
    Advantage,
    ConstantBaseline,
    NoBaseline,
    Return,
    RewardToGo,
    Unscaled,
    advantages,
    full_returns,
)

few = settings(deadline=None, max_examples=12)


def stream(reward: Any, terminated: Any, truncated: Any, valid: Any, elapsed: Any = None) -> Episodes:
    """Streams with nothing to see; `elapsed` is counted anew after every invalid step unless given."""
    reward, valid = np.asarray(reward, np.float32), np.asarray(valid, bool)
    if elapsed is None:
        elapsed = np.zeros(valid.shape, np.int32)
        for t in range(1, valid.shape[-1]):
            elapsed[..., t] = np.where(valid[..., t] & valid[..., t - 1], elapsed[..., t - 1] + 1, 0)
    return Episodes(
        observation=np.zeros((*valid.shape[:-1], valid.shape[-1] + 1, 1), np.float32),
        action=np.zeros((*valid.shape, 1), np.float32),
        target=np.zeros((*valid.shape, 1), np.float32),
        reward=reward,
        log_prob=np.zeros(valid.shape, np.float32),
        terminated=np.asarray(terminated, bool),
        truncated=np.asarray(truncated, bool),
        valid=valid,
        elapsed=np.asarray(elapsed, np.int32),
        source=np.zeros(valid.shape, np.int8),
    )


# One batch in which a stream terminates, one is truncated, one is cut by the end of the recording, and one does
# all three. γ = λ = ½; V(o_t) = t + 1 in the first three, 2 everywhere in the last.
TABLE = stream(
    reward=[[1, 2, 4, 0, 0, 0], [1, 2, 4, 0, 0, 0], [1, 1, 1, 1, 1, 1], [1, 0, 2, 0, 4, 8]],
    terminated=[[0, 0, 1, 0, 0, 0], [0] * 6, [0] * 6, [1, 0, 0, 0, 0, 0]],
    truncated=[[0] * 6, [0, 0, 1, 0, 0, 0], [0] * 6, [0, 0, 1, 0, 0, 0]],
    valid=[[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1] * 6, [1, 0, 1, 0, 1, 1]],
)
VALUE = jnp.asarray([[1, 2, 3, 4, 5, 6, 7]] * 3 + [[2] * 7], jnp.float32)


def test_generalised_advantages_by_hand() -> None:
    # δ = r + ½ (1 − terminated) V' − V, and A = δ + ¼ (1 − ended) A' below, from the right.
    # terminated: δ = 1+1−1, 2+1.5−2, 4+0−3 = 1, 1.5, 1 → A₂ = 1, A₁ = 1.5+.25, A₀ = 1+.4375
    # truncated:  δ₂ = 4+2−3 = 3         → A₂ = 3, A₁ = 1.5+.75, A₀ = 1+.5625
    # cut:        δ_t = 1+(t+2)/2−(t+1) = 1−t/2 = 1, .5, 0, −.5, −1, −1.5, and V(o₆) = 7 carries on
    # all:        δ = 1−2 = −1 (terminated) · 2+1−2 = 1 (truncated) · 4+1−2 = 3, 8+1−2 = 7 (cut) → 3+1.75, 7
    cut = [-1.5]
    for delta in (-1, -0.5, 0, 0.5, 1):
        cut.insert(0, delta + cut[0] / 4)
    by_hand = [[1.4375, 1.75, 1, 0, 0, 0], [1.5625, 2.25, 3, 0, 0, 0], cut, [-1, 0, 1, 0, 4.75, 7]]
    np.testing.assert_allclose(advantages(TABLE, VALUE, discount=0.5, lambda_=0.5), by_hand, rtol=1e-6)


def test_rewards_to_go_and_full_returns_by_hand() -> None:
    # γ = ½, what follows a cut counts as nothing: 1 + 2/2 + 4/4 = 3, 2 + 4/2 = 4, 4; 4 + 8/2 = 8, 8.
    six = [2 - 2.0**-k for k in (5, 4, 3, 2, 1, 0)]
    to_go = [[3, 4, 4, 0, 0, 0], [3, 4, 4, 0, 0, 0], six, [1, 0, 2, 0, 8, 8]]
    whole = [[3, 3, 3, 0, 0, 0], [3, 3, 3, 0, 0, 0], [six[0]] * 6, [1, 0, 2, 0, 8, 8]]
    np.testing.assert_allclose(RewardToGo(0.5)((), TABLE).weight, to_go, rtol=1e-6)
    np.testing.assert_allclose(Return(0.5)((), TABLE).weight, whole, rtol=1e-6)
    # γᵗ on the states: the step number inside the episode, not in the stream.
    states = [[3, 2, 1, 0, 0, 0], [3, 2, 1, 0, 0, 0], [six[t] / 2**t for t in range(6)], [1, 0, 2, 0, 8, 4]]
    np.testing.assert_allclose(RewardToGo(0.5, discounted_states=True)((), TABLE).weight, states, rtol=1e-6)


def test_a_piece_from_the_middle_is_weighed_by_its_place_in_the_episode() -> None:
    piece = stream([2, 4], [0, 1], [0, 0], [1, 1], elapsed=[3, 4])
    # γ³·2 + γ⁴·4 = .25 + .25
    np.testing.assert_allclose(full_returns(piece, discount=0.5), [0.5, 0.5])


# -- the slow oracle ------------------------------------------------------------------------------------


def slowly(e: Episodes, value: np.ndarray, discount: float, lambda_: float) -> np.ndarray:
    """Σ_l (γλ)^l δ_{t+l} up to the end, one step at a time."""
    result = np.zeros(e.valid.shape)
    for row, t in np.argwhere(e.valid):
        weight, k = 1.0, t
        while True:
            after = 0.0 if e.terminated[row, k] else value[row, k + 1]
            result[row, t] += weight * (e.reward[row, k] + discount * after - value[row, k])
            if e.ended[row, k] or k + 1 == e.valid.shape[1] or not e.valid[row, k + 1]:
                break
            k, weight = k + 1, weight * discount * lambda_
    return result


def random_streams(seed: int, time: int = 9, rows: int = 3) -> tuple[Episodes, np.ndarray]:
    random = np.random.default_rng(seed)
    valid, ends = np.ones((rows, time), bool), np.zeros((rows, time), bool)
    for row in range(rows):
        for t in range(time):
            if t and ends[row, t - 1]:
                valid[row, t] = False
            else:
                ends[row, t] = random.random() < 0.3
    kind = random.random((rows, time)) < 0.5
    reward = np.where(valid, random.normal(size=(rows, time)), 0)
    return stream(reward, ends & kind, ends & ~kind, valid), random.normal(size=(rows, time + 1)).astype(np.float32)


@functools.partial(jax.jit, static_argnums=(2, 3))
def estimated(e: Episodes, value: jax.Array, discount: float, lambda_: float) -> jax.Array:
    return advantages(e, jnp.asarray(value), discount=discount, lambda_=lambda_)


@few
@given(
    seed=st.integers(0, 10_000),
    discount=st.sampled_from([1.0, 0.9]),
    lambda_=st.sampled_from([0.7, 1.0]),
)
def test_the_scan_against_the_loop(seed: int, discount: float, lambda_: float) -> None:
    e, value = random_streams(seed)
    found = estimated(e, value, discount, lambda_)
    np.testing.assert_allclose(found, slowly(e, value, discount, lambda_), atol=2e-5)
    if lambda_ == 1.0:  # reward-to-go minus the baseline, where nothing is bootstrapped
        ended = dataclasses.replace(e, terminated=e.ended, truncated=np.zeros_like(e.ended))
        whole = np.asarray(ended.discounted_returns(discount)) - value[:, :-1]
        done = np.asarray(ended.ended)[:, ::-1].cumsum(1)[:, ::-1] > 0  # an end is still to come
        np.testing.assert_allclose(
            np.asarray(estimated(ended, value, discount, 1.0))[done & e.valid],
            whole[done & e.valid],
            atol=2e-5,
        )


PARTS = {
    "return": Return(0.9),
    "reward-to-go": RewardToGo(0.9),
    "reward-to-go, discounted states": RewardToGo(0.9, discounted_states=True),
    "advantage": Advantage(0.9, 1.0, ConstantBaseline(), scaling=Unscaled()),
    "standardised": Advantage(0.9, 1.0, ConstantBaseline(), discounted_states=True),
}


@functools.cache
def compiled(name: str):
    return jax.jit(lambda e: PARTS[name](jnp.asarray(0.3), e))


@pytest.mark.parametrize("name", PARTS)
@few
@given(seed=st.integers(0, 10_000), more=st.just(2))
def test_a_stream_and_its_episodes_weigh_the_same(name: str, seed: int, more: int) -> None:
    e, _ = random_streams(seed)
    apart = list(e.unpack())
    empty = dataclasses.replace(
        apart[0],
        **{name: np.zeros_like(getattr(apart[0], name)) for name in ("reward", "terminated", "truncated", "valid")},
    )
    # Always 15 rows, some of them all padding: one shape, one compilation.
    apart = concatenate([*apart, *[empty] * (15 - len(apart))]).pad(9 + more)
    one, two = compiled(name)(e), compiled(name)(apart)
    for a, b in ((one.weight, two.weight), (one.target, two.target)):
        np.testing.assert_allclose(np.asarray(a)[e.valid], np.asarray(b)[apart.valid], atol=1e-5)
        assert not np.asarray(b)[~apart.valid].any()


@pytest.mark.parametrize("name", PARTS)
def test_whatever_stands_on_invalid_steps_is_never_read(name: str) -> None:
    e, _ = random_streams(7)
    dirt = np.where(e.valid, 0, np.nan).astype(np.float32)
    far = np.where(e.valid, e.elapsed, -100_000).astype(np.int32)
    dirty = dataclasses.replace(e, reward=e.reward + dirt, elapsed=far, log_prob=e.log_prob + dirt)
    one, two = compiled(name)(e), compiled(name)(dirty)
    np.testing.assert_array_equal(np.asarray(one.weight)[e.valid], np.asarray(two.weight)[e.valid])
    np.testing.assert_array_equal(one.target, two.target)
    assert {k: float(v) for k, v in one.metrics.items()} == {k: float(v) for k, v in two.metrics.items()}


# -- standardising --------------------------------------------------------------------------------------


def test_standardised_advantages_have_mean_zero_and_deviation_one_over_valid_steps() -> None:
    e, _ = random_streams(3)
    weight = np.asarray(Advantage(0.9, baseline=NoBaseline())((), e).weight)
    assert weight[e.valid].mean() == pytest.approx(0.0, abs=1e-6)
    assert weight[e.valid].std() == pytest.approx(1.0, abs=1e-5)
    # It is the deviation that divides: ten times the reward changes nothing at all.
    larger = dataclasses.replace(e, reward=10 * e.reward)
    np.testing.assert_allclose(Advantage(0.9, baseline=NoBaseline())((), larger).weight, weight, atol=1e-5)


def test_equal_advantages_weigh_nothing() -> None:
    e = stream([[3, 0], [3, 0]], [[1, 0], [1, 0]], [[0, 0], [0, 0]], [[1, 0], [1, 0]])
    assert not np.asarray(Advantage(1.0, baseline=NoBaseline())((), e).weight).any()
