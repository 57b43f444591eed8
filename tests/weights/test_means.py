"""Means as baselines: of the other episodes of the batch, and of each step number; tables worked by hand."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.episodes import Episodes, concatenate
from journeyman.parts import JourneymanError
from journeyman.policies import Encoder
from journeyman.training._learner import regress
from journeyman.weights import (
    AbstractBaseline,
    Advantage,
    LeaveOneOutBaseline,
    NoBaseline,
    Return,
    TimeVaryingBaseline,
    Unscaled,
)
from journeyman.worlds import Box
from tests.weights.test_advantages import TABLE, random_streams

ENCODER = Encoder.of(Box.unbounded(1))
# The rewards-to-go of TABLE with γ = ½, and its six episodes' returns: 3, 3, 1.96875, 1, 2, 8.
TO_GO = [[3, 4, 4, 0, 0, 0], [3, 4, 4, 0, 0, 0], [1.96875, 1.9375, 1.875, 1.75, 1.5, 1], [1, 0, 2, 0, 8, 8]]
WHOLE = np.asarray([3, 3, 1.96875, 1, 2, 8])


def leave_one_out(by_step: bool, episodes: Episodes = TABLE) -> np.ndarray:
    weight = Advantage(0.5, 1.0, LeaveOneOutBaseline(by_step), Unscaled())
    return np.asarray(eqx.filter_jit(weight)((), episodes).weight)


@eqx.filter_jit
def _value(baseline: LeaveOneOutBaseline, episodes: Episodes) -> jax.Array:
    return baseline.value((), episodes, episodes.discounted_returns(0.9))


def test_leave_one_out_by_step_by_hand() -> None:
    # Step 0: 18.96875 among six. Step 1: 4 + 4 + 1.9375 + 8 = 17.9375 among four. Step 2: 9.875 among three.
    # Steps 3, 4 and 5 are reached by one episode alone, so nothing is subtracted.
    found = leave_one_out(True)
    for (row, t), total, others in [((0, 0), 18.96875, 5), ((0, 1), 17.9375, 3), ((3, 5), 17.9375, 3)]:
        own = TO_GO[row][t]
        assert found[row, t] == pytest.approx(own - (total - own) / others)
    assert found[3, 4] == pytest.approx(8 - (18.96875 - 8) / 5)
    assert found[2].tolist() == pytest.approx(
        [1.96875 - 17 / 5, 1.9375 - 16 / 3, 1.875 - 8 / 2, 1.75, 1.5, 1], abs=1e-6
    )


def test_leave_one_out_by_episode_by_hand() -> None:
    others = (WHOLE.sum() - WHOLE) / 5
    baseline = np.asarray([[others[0]] * 6, [others[1]] * 6, [others[2]] * 6, others[[3, 3, 4, 4, 5, 5]]])
    expected = np.where(TABLE.valid, np.asarray(TO_GO) - baseline, 0)
    np.testing.assert_allclose(leave_one_out(False), expected, rtol=1e-5)
    returns = Return(0.5, LeaveOneOutBaseline(by_step=False))
    whole = np.asarray([[3] * 6, [3] * 6, [1.96875] * 6, [1, 1, 2, 2, 8, 8]])
    np.testing.assert_allclose(returns((), TABLE).weight, np.where(TABLE.valid, whole - baseline, 0), rtol=1e-5)


@pytest.mark.parametrize("by_step", [True, False])
def test_no_episode_has_a_part_in_its_own_baseline(by_step: bool) -> None:
    e, _ = random_streams(11)
    baseline = LeaveOneOutBaseline(by_step)
    value = lambda e: np.asarray(_value(baseline, e))[:, :-1]  # noqa: E731
    before = value(e)
    row, t = np.argwhere(e.valid)[4]
    reward = e.reward.copy()
    reward[row, t] += 100
    moved = np.abs(value(dataclasses.replace(e, reward=reward)) - before) > 1e-3
    own = moved & (np.cumsum(~e.valid, axis=1) == np.cumsum(~e.valid, axis=1)[row, t]) & (np.arange(3) == row)[:, None]
    assert not own.any(), "its own steps, alone in their stretch of the stream, compare with the same as before"
    assert moved.any(), "the control: others do see it"


@pytest.mark.parametrize("by_step", [True, False])
def test_a_batch_of_one_is_compared_with_nothing(by_step: bool) -> None:
    one = concatenate([TABLE.take(2)])
    np.testing.assert_array_equal(leave_one_out(by_step, one), np.asarray(one.discounted_returns(0.5)))


@pytest.mark.parametrize("by_step", [True, False])
def test_a_stream_and_its_episodes_compare_the_same(by_step: bool) -> None:
    e, _ = random_streams(3)
    apart = concatenate(list(e.unpack()))
    one, two = leave_one_out(by_step, e)[e.valid], leave_one_out(by_step, apart)[apart.valid]
    np.testing.assert_allclose(one, two, atol=1e-5)


def fitted(baseline: TimeVaryingBaseline, state: jax.Array, episodes: Episodes, target: np.ndarray) -> np.ndarray:
    return np.asarray(baseline.fit(state, episodes, jnp.asarray(target), jax.random.key(0), regress))


def test_time_varying_by_hand() -> None:
    baseline = TimeVaryingBaseline(4)
    target = np.asarray(TO_GO, np.float32)
    state = fitted(baseline, baseline.init(ENCODER, jax.random.key(0)), TABLE, target)
    # Steps 4 and 5 share the number beyond the four: (1.5 + 1)/2.
    np.testing.assert_allclose(state, [18.96875 / 6, 17.9375 / 4, 9.875 / 3, 1.75, 1.25], rtol=1e-6)
    value = np.asarray(baseline.value(jnp.asarray(state), TABLE, jnp.zeros(TABLE.valid.shape)))
    np.testing.assert_allclose(value[2], state[[0, 1, 2, 3, 4, 4, 4]])
    np.testing.assert_allclose(value[3], state[[0, 1, 0, 1, 0, 1, 2]])
    # A batch of first steps alone says nothing about later ones.
    short = TABLE.take([3]).cut(0, 1)
    np.testing.assert_allclose(fitted(baseline, jnp.asarray(state), short, target[3:, :1]), [1, *state[1:]])


@pytest.mark.parametrize("horizon", [3, 4, 1000])
def test_nothing_is_expected_beyond_a_time_limit_that_nobody_passed(horizon: int) -> None:
    """The limit itself is a horizon, and a number that stood for the step after it would feed on itself."""
    limited = dataclasses.replace(TABLE.take([1]).cut(0, 3), truncated=np.asarray([[False, False, True]]))
    weight = Advantage(0.5, 1.0, TimeVaryingBaseline(horizon), Unscaled())
    state = weight.init(ENCODER, jax.random.key(0))
    for _ in range(3):
        state = weight.fit(state, limited, weight(state, limited).target, jax.random.key(0), regress)
    np.testing.assert_allclose(state[:4], [3, 4, 4, 0])


def stream(leaving: tuple[bool, ...], slots: int) -> Episodes | None:
    """One environment of the geometric chain in a batch of `slots`: a stay earns 1, after leaving comes a reset."""
    columns = {
        "valid": np.zeros(slots, bool),
        "terminated": np.zeros(slots, bool),
        "elapsed": np.zeros(slots, np.int32),
    }
    done, at = list(leaving), 0
    for slot in range(slots):
        if slot and columns["terminated"][slot - 1]:
            at = 0
            continue
        if not done:
            return None
        columns["valid"][slot], columns["elapsed"][slot], at = True, at, at + 1
        columns["terminated"][slot] = done.pop(0)
    stayed = (columns["valid"] & ~columns["terminated"]).astype(np.float32)
    found = Episodes(
        observation=np.zeros((1, slots + 1, 1), np.float32),
        action=stayed[None, :, None],
        target=stayed[None, :, None],
        reward=stayed[None],
        log_prob=np.zeros((1, slots), np.float32),
        truncated=np.zeros((1, slots), bool),
        source=np.zeros((1, slots), np.int8),
        **{name: column[None] for name, column in columns.items()},
    )
    return None if done else found


def expected_gradient(baseline: AbstractBaseline, slots: int) -> float:
    """∂J/∂logit at probability ½ as such a batch estimates it, exactly: over all that can happen in one."""
    runs = [run for n in range(1, slots + 1) for run in itertools.product((False, True), repeat=n)]
    found = [(0.5 ** len(run), one) for run in runs if (one := stream(run, slots)) is not None]
    chances = np.asarray([chance for chance, _ in found])
    assert chances.sum() == pytest.approx(1)
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(one for _, one in found))
    weight = Advantage(1.0, 1.0, baseline, Unscaled())
    weights = np.asarray(jax.jit(jax.vmap(lambda one: weight((), one).weight))(batch), float)
    scores = np.where(batch.valid, np.where(batch.terminated, -0.5, 0.5), 0.0)
    return float(chances @ (scores * weights).sum((1, 2)))


@pytest.mark.parametrize(("by_step", "slots", "shift"), [(True, 4, 0.11), (False, 4, 0.17), (True, 8, 0.042)])
def test_leaving_one_out_of_a_single_stream_is_biased_by_what_the_page_says(
    by_step: bool, slots: int, shift: float
) -> None:
    plain = expected_gradient(NoBaseline(), slots)
    assert expected_gradient(LeaveOneOutBaseline(by_step), slots) / plain - 1 == pytest.approx(shift, abs=0.005)


def test_at_least_one_number_is_kept() -> None:
    with pytest.raises(JourneymanError, match="keeps at least one number, not 0; use the world's time limit"):
        TimeVaryingBaseline(0)
