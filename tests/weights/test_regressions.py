"""Baselines by least squares: against numpy in double precision, and what the two targets are."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, PyTree

from journeyman.episodes import Episodes, concatenate
from journeyman.parts import JourneymanError, describe, rebuild
from journeyman.policies import Encoder
from journeyman.training._learner import regress
from journeyman.weights import AbstractBaseline, Advantage, LinearBaseline, NetworkBaseline, Unscaled
from journeyman.worlds import Box
from tests.weights.test_advantages import TABLE, VALUE

ENCODER = Encoder.of(Box.unbounded(2))


def seen(rows: int = 4, time: int = 200, offset: float = 0.0) -> Episodes:
    """Streams in which two numbers are seen."""
    random = np.random.default_rng(0)
    observation = (offset + random.normal(size=(rows, time + 1, 2))).astype(np.float32)
    action = np.zeros((time, 1), np.float32)
    return concatenate([Episodes.episode(o, action, np.zeros(time), terminated=True) for o in observation])


def fit(
    baseline: AbstractBaseline, episodes: Episodes, target: np.ndarray, state: Any = None
) -> tuple[Any, np.ndarray]:
    state = baseline.init(ENCODER, jax.random.key(0)) if state is None else state
    target = jnp.asarray(target, jnp.float32)
    state = jax.jit(lambda s, e, g: baseline.fit(s, e, g, jax.random.key(0), regress))(state, episodes, target)
    return state, np.asarray(baseline.value(state, episodes, target), np.float64)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_what_is_quadratic_in_the_observation_and_cubic_in_time_is_found(offset: float) -> None:
    e = seen(offset=offset)
    o, t = np.asarray(e.now, np.float64) - offset, np.arange(200) / 100
    truth = 5000 + 300 * o[..., 0] - 200 * o[..., 1] ** 2 + (50 * t - 400 * t**2 + 100 * t**3)[None]
    _, value = fit(LinearBaseline(1e-8), e, truth)
    assert np.abs(value[:, :-1] - truth).max() < 1e-2 * truth.std()
    wrong = truth + 300 * o[..., 0] * o[..., 1]
    assert np.abs(fit(LinearBaseline(1e-8), e, wrong)[1][:, :-1] - wrong).max() > wrong.std(), "the control: a product"


def test_the_ridge_regression_against_numpy() -> None:
    e, ridge = seen(2, 30), 0.1
    target = np.random.default_rng(1).normal(size=(2, 30)) + np.asarray(e.now)[..., 0]
    state, value = fit(LinearBaseline(ridge), e, target)
    now = np.asarray(e.now, np.float64)
    standard = lambda x: (x - x.mean((0, 1))) / x.std((0, 1))  # noqa: E731
    o, t = standard(now), np.broadcast_to(np.arange(30)[None, :, None] / 100, (2, 30, 1))
    rows = standard(np.concatenate([o, o**2, t, t**2, t**3], -1)).reshape(60, 7)
    goal = standard(target[..., None]).reshape(60)
    coefficient = np.linalg.solve(rows.T @ rows + ridge * 60 * np.eye(7), rows.T @ goal)
    np.testing.assert_allclose(state.coefficient, coefficient, atol=2e-4)
    by_hand = target.mean() + target.std() * (rows @ coefficient)
    np.testing.assert_allclose(value[:, :-1].reshape(-1), np.clip(by_hand, target.min(), target.max()), atol=1e-3)


def test_outliers_and_times_never_seen_stay_within_the_returns_seen() -> None:
    e = seen(2, 50)
    target = np.asarray(e.now)[..., 0] + np.arange(50)[None] / 10
    state, _ = fit(LinearBaseline(), e, target)
    far = dataclasses.replace(e, observation=1e6 * e.observation, elapsed=e.elapsed + 5000)
    value = np.asarray(LinearBaseline().value(state, far, jnp.zeros((2, 50))))
    assert np.isfinite(value).all()
    assert target.min() - 1e-3 <= value.min() <= value.max() <= target.max() + 1e-3


def test_equal_returns_columns_that_never_move_and_empty_batches() -> None:
    still = dataclasses.replace(seen(1, 20), observation=np.ones((1, 21, 2), np.float32))
    state, value = fit(LinearBaseline(), still, np.full((1, 20), 0.1))
    np.testing.assert_allclose(value, 0.1, rtol=1e-6)
    none = np.zeros((1, 20), bool)
    empty = dataclasses.replace(still, valid=none, terminated=none, observation=np.full((1, 21, 2), np.nan, np.float32))
    after, _ = fit(LinearBaseline(), empty, np.full((1, 20), np.nan), state)
    assert jax.tree.all(jax.tree.map(np.array_equal, after, state))


def test_a_ridge_is_positive_and_a_target_one_of_two() -> None:
    with pytest.raises(JourneymanError, match=r"ridge of a linear baseline is positive, not 0.0.*1e-5 is usual"):
        LinearBaseline(0.0)
    with pytest.raises(JourneymanError, match="regresses on 'bootstrapped' or 'monte carlo' returns, not on 'td'"):
        rebuild(describe(NetworkBaseline())[0] | {"target": "td"}, {})


# -- the network ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [50.0, 0.02])
def test_a_learning_rate_is_that_of_standardised_targets(unit: float) -> None:
    e = seen(2, 60)
    baseline = NetworkBaseline(hidden=(8,), epochs=5, batch_size=20, learning_rate=1e-2)
    target = np.asarray(e.now)[..., 0] + np.random.default_rng(1).normal(size=(2, 60))
    one, other = (fit(baseline, e, scale * target)[1] for scale in (1.0, unit))
    # Not exactly: the network begins at the same small function, whatever the unit.
    assert one.std() > 0.1
    assert other.std() == pytest.approx(unit * one.std(), rel=0.2)


def test_targets_that_were_once_all_equal_leave_their_deviation_at_its_truth() -> None:
    e, baseline = seen(2, 60), NetworkBaseline(hidden=(4,), epochs=1, batch_size=60)
    first = np.zeros((2, 60))
    later = [1e-3 * np.random.default_rng(i).normal(size=(2, 60)) for i in range(2)]
    state, _ = fit(baseline, e, first)
    assert state.targets.deviation[0] == 0
    assert state.network.head.scale.scale[0] == 1, "nothing is divided by 0"
    for target in later:
        state, _ = fit(baseline, e, target, state)
    truth = np.std([first, *later])
    np.testing.assert_allclose(state.targets.deviation, truth, rtol=1e-4)
    np.testing.assert_allclose(state.network.head.scale.scale, truth, rtol=1e-4)


# -- the two targets --------------------------------------------------------------------------------------


class _Told(AbstractBaseline):
    """b is the state; it would regress on `on`."""

    on: str

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        return VALUE

    def value(self, state: PyTree, episodes: Episodes, returns: Array) -> Array:
        return state

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Any) -> PyTree:
        return state

    def regresses_on(self) -> Any:
        return self.on


def test_monte_carlo_and_bootstrapped_targets_by_hand() -> None:
    # γ = λ = ½, V as in `test_generalised_advantages_by_hand`. Monte Carlo, from the right:
    # terminated 4, 2 + 2, 1 + 2 · truncated 4 + V/2 = 6, 2 + 3, 1 + 2.5 · cut 1 + 7/2 = 4.5, 1 + 2.25, 1 + 1.625, …
    # all three: 1 (terminated), 2 + 1 (truncated), 8 + 1 and 4 + 4.5 (cut).
    six = [4.5]
    for _ in range(5):
        six.insert(0, 1 + six[0] / 2)
    monte_carlo = [[3, 4, 4, 0, 0, 0], [3.5, 5, 6, 0, 0, 0], six, [1, 0, 3, 0, 8.5, 9]]
    # Bootstrapped is V + A with the A of that test.
    cut = [-1.5]
    for delta in (-1, -0.5, 0, 0.5, 1):
        cut.insert(0, delta + cut[0] / 4)
    lambda_returns = [[2.4375, 3.75, 4, 0, 0, 0], [2.5625, 4.25, 6, 0, 0, 0]]
    lambda_returns += [[t + 1 + a for t, a in enumerate(cut)], [1, 0, 3, 0, 6.75, 9]]
    expected = {"monte carlo": monte_carlo, "bootstrapped": lambda_returns}
    found = {}
    for on, by_hand in expected.items():
        found[on] = Advantage(0.5, 0.5, _Told(on), Unscaled())(VALUE, TABLE)
        np.testing.assert_allclose(found[on].target, by_hand, rtol=1e-6)
        # With λ = 1 there is no difference.
        whole = Advantage(0.5, 1.0, _Told(on), Unscaled())(VALUE, TABLE)
        np.testing.assert_allclose(whole.target, monte_carlo, rtol=1e-6)
    np.testing.assert_array_equal(found["monte carlo"].weight, found["bootstrapped"].weight)
    assert NetworkBaseline().regresses_on() == "bootstrapped"
    assert NetworkBaseline(target="monte carlo").regresses_on() == LinearBaseline().regresses_on() == "monte carlo"


def test_a_linear_value_of_an_endless_reward_under_a_time_limit() -> None:
    # V = 1/(1−γ) = 5 where the limit truncates; told as an end, it falls towards 1 at the last step.
    for handled in (True, False):
        one = Episodes.episode(
            np.ones((11, 2), np.float32), np.zeros((10, 1), np.float32), np.ones(10), terminated=not handled
        )
        data, weight = concatenate([one]), Advantage(0.8, 0.9, LinearBaseline(), Unscaled())
        step = jax.jit(lambda s, e, w=weight: w.fit(s, e, w(s, e).target, jax.random.key(0), regress))
        state = weight.init(ENCODER, jax.random.key(0))
        for _ in range(40):
            state = step(state, data)
        value = np.asarray(weight.baseline.value(state, data, jnp.zeros((1, 10))))[0, :-1]
        assert (np.abs(value - 5).max() < 0.02) == handled
        if not handled:
            np.testing.assert_allclose(value, 5 * (1 - 0.8 ** np.arange(10, 0, -1)), atol=0.05)
