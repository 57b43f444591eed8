"""Corrective labels against closed forms, their bounds against where they land, and the control that must fail."""

import functools
import itertools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array

from journeyman.corrections import (
    AbstractDynamics,
    AbstractPureDynamics,
    BackTrack,
    Candidates,
    DisturbedAction,
    Doubt,
    HandSetRadius,
    RootFinding,
    Scales,
    Steered,
    Transitions,
    TrueDynamics,
    TrustRegion,
    corrective_labels,
    thin,
)
from journeyman.corrections._pieces import pieces
from journeyman.episodes import SYNTHETIC, Episodes, concatenate
from journeyman.parts import JourneymanError
from journeyman.worlds import LinearQuadratic, Pendulum

A, B = np.asarray([[0.9, 0.2], [-0.1, 0.8]]), np.asarray([[0.3], [1.0]])


class _Told(AbstractPureDynamics):
    """A dynamics from a function; it owns to an `error`, and to the function's slopes from the data to the label."""

    function: Callable[[Array, Array], Array] = eqx.field(static=True)
    error: float = eqx.field(static=True, default=0.0)
    admits: bool = eqx.field(static=True, default=False)

    @property
    def sizes(self) -> tuple[int, int]:
        return 2, 1

    def move(self, state: Array, action: Array) -> Array:
        return self.function(state, action)

    def doubt(self, data: Transitions, labels: Candidates, scales: Scales) -> Doubt:
        error, slope = np.full(len(labels.state), self.error), np.zeros(len(labels.state))
        if self.admits:
            both = [data.state[labels.anchor], (data.state[labels.anchor] + labels.state) / 2, labels.state]
            by = [self.jacobians(state, labels.action)[0] - np.eye(2)[None] for state in both]
            scaled = np.stack(by) * scales.state[None, None, None, :] / scales.state[None, None, :, None]
            slope = 2 * np.linalg.norm(scaled, 2, axis=(2, 3)).max(0)
        return Doubt(error, slope, slope)


def linear(state: Array, action: Array) -> Array:
    return jnp.asarray(A, state.dtype) @ state + jnp.asarray(B, state.dtype) @ action


def stiff(state: Array, action: Array) -> Array:
    """Slow everywhere but around x₀ = 0, where x₁ turns over a hundredth of the data's width."""
    return jnp.stack([0.98 * state[0] + 0.1 * action[0], 0.2 * state[1] + jnp.tanh(100.0 * state[0])])


def demonstrated(dynamics: AbstractDynamics, steps: int = 40, seed: int = 0, spread: float = 1.0) -> Episodes:
    random = np.random.default_rng(seed)
    state, action = [random.normal(size=(1, 2))], random.normal(size=(steps, 1)) * spread
    for u in action:
        state.append(dynamics.step(state[-1], u[None]))
    return Episodes.episode(np.concatenate(state), action)


LINEAR = _Told(linear)


# -- exact -----------------------------------------------------------------------------------------------------


def test_on_a_linear_system_the_labels_are_the_closed_forms(x64: None) -> None:
    """BackTrack: s̃ = 2s − (As + Ba), which misses by (A − I)(s̃ − s). Roots: A⁻¹(s − Ba), disturbed: A⁻¹(s′ − Bã)."""
    data = demonstrated(LINEAR)
    s, a, after = np.asarray(data.now), data.action, np.asarray(data.next)
    make = functools.partial(corrective_labels, data, LINEAR, region=TrustRegion(1e9), truth=LINEAR)
    back = make(method=BackTrack())
    expected = 2 * s - (s @ A.T + a @ B.T)
    np.testing.assert_allclose(rows(back.labels), expected, atol=1e-12)
    missed = (expected - s) @ (A - np.eye(2)).T / s.std(0)
    np.testing.assert_allclose(back.report.residual, np.linalg.norm(missed, axis=1), atol=1e-12)
    root = make(method=RootFinding())
    np.testing.assert_allclose(rows(root.labels), np.linalg.solve(A, (s - a @ B.T).T).T, atol=1e-10)
    assert root.report.residual.max() < 1e-10
    turned = make(method=DisturbedAction(0.5, copies=2, iterations=5))
    action = np.asarray(turned.labels.action)[turned.labels.valid]
    np.testing.assert_allclose(
        rows(turned.labels), np.linalg.solve(A, (np.repeat(after, 2, 0) - action @ B.T).T).T, atol=1e-10
    )
    assert (action - np.repeat(a, 2, 0)).std() == pytest.approx(0.5 * a.std(), rel=0.2)


def test_where_the_step_does_not_depend_on_the_state_the_closed_form_lands_exactly(x64: None) -> None:
    drift = _Told(lambda s, a: s + jnp.stack([a[0], 0.5 * a[0] ** 2]))
    report = corrective_labels(demonstrated(drift), drift, truth=drift).report
    assert report.landing is not None
    assert report.landing.max() < 1e-12
    assert report.count == report.tried == 40


def test_the_closed_form_misses_by_the_square_of_the_step(x64: None) -> None:
    """s̃ is one step away and f changes by another factor dt over it: halving dt quarters what is missed."""
    missed, sizes = [], np.asarray([0.1, 0.05, 0.025])
    for dt in sizes:
        swing = _Told(lambda s, a, dt=dt: s + dt * jnp.stack([s[1], -jnp.sin(s[0]) + a[0]]))
        one = np.asarray([[0.5, 0.2]]), np.asarray([[0.3]])
        data = Episodes.episode(np.concatenate([one[0], swing.step(*one)]), one[1])
        missed.append(corrective_labels(data, swing, region=TrustRegion(9.0)).report.residual[0])
    assert np.polyfit(np.log(sizes), np.log(missed), 1)[0] == pytest.approx(2, abs=0.05)


def test_steering_finds_the_least_squares_action(x64: None) -> None:
    """On a linear system ã − a = −(B̃ᵀB̃ + effort²)⁻¹ B̃ᵀ Ã(s̃ − s) in deviations, and only what comes nearer is kept."""
    data = demonstrated(LINEAR)
    found = corrective_labels(data, LINEAR, method=Steered(0.2, effort=0.3), region=TrustRegion(9.0), truth=LINEAR)
    report = found.report
    s, a = np.asarray(data.now)[report.anchor], data.action[report.anchor]
    by_s, by_a = np.asarray(data.now).std(0), data.action.std(0)
    slope, moved = B * by_a / by_s[:, None], (rows(found.labels) - s) @ A.T / by_s
    expected = a - by_a * (moved @ slope) / (np.square(slope).sum() + 0.3**2)
    np.testing.assert_allclose(np.asarray(found.labels.action)[found.labels.valid], expected, atol=1e-10)
    assert report.landing is not None
    assert (report.landing < report.distance).all()


def test_a_pendulum_s_labels_are_observations_and_land_within_their_bound() -> None:
    world = Pendulum()
    dynamics = TrueDynamics(world)
    random, seen = np.random.default_rng(0), [np.asarray([[-1.0, 0.0, 0.5]])]
    action = random.uniform(-2, 2, (80, 1))
    for u in action:
        seen.append(dynamics.step(seen[-1], u[None]))
    data = Episodes.episode(np.concatenate(seen).astype(np.float32), action.astype(np.float32))
    for method in (BackTrack(), RootFinding(), DisturbedAction(0.3, iterations=10), Steered(0.1)):
        found = corrective_labels(data, dynamics, method=method, truth=dynamics)
        np.testing.assert_allclose(np.hypot(*rows(found.labels)[:, :2].T), 1, atol=1e-5)
        assert found.report.violations == 0
        if isinstance(method, RootFinding):
            assert np.median(found.report.residual) < 1e-5


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.floats(0.0, 1.5))
def test_under_true_dynamics_every_label_lands_within_its_bound(seed: int, noise: float) -> None:
    world = TrueDynamics(LinearQuadratic(A, B, np.eye(2), [[1.0]]))
    found = corrective_labels(
        demonstrated(world, seed=seed), world, method=DisturbedAction(noise), region=TrustRegion(9.0), truth=world
    )
    assert found.report.violations == 0
    assert (found.bound[found.labels.valid] <= 9.0).all()


# -- the region --------------------------------------------------------------------------------------------------


def test_the_region_shrinks_as_the_model_errs_more() -> None:
    data = demonstrated(LINEAR)
    kept = []
    for error in (0.0, 0.1, 0.2, 0.3):
        told = _Told(linear, error=error, admits=True)
        kept.append(corrective_labels(data, told, region=TrustRegion(1.0)).report.kept)
    counts = [int(one.sum()) for one in kept]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] > 0
    assert all((more | ~less).all() for more, less in itertools.pairwise(kept))


def test_a_hand_set_radius_keeps_what_breaks_the_bound_where_the_dynamics_is_stiff() -> None:
    """The control must fail: with the radius of the farthest trusted label it keeps stiff ones that land far off."""
    told, tolerance = _Told(stiff, admits=True), 0.3
    data = concatenate([demonstrated(told, 120, seed=seed) for seed in range(4)])
    trusted = corrective_labels(data, told, region=TrustRegion(tolerance), truth=told).report
    assert trusted.landing is not None
    assert trusted.count > 100
    assert trusted.violations == 0
    assert trusted.landing[trusted.kept].max() <= tolerance
    radius = float(trusted.distance[trusted.kept].max())
    control = corrective_labels(data, told, region=HandSetRadius(radius), truth=told).report
    assert control.landing is not None
    assert control.count > trusted.count
    assert (control.bound[control.kept] > tolerance).sum() > 5
    assert control.landing[control.kept].max() > 1.5 * tolerance


def test_units_decide_nothing() -> None:
    """The reference's radius is in raw units: with one column in millimetres another set is kept."""
    unit = np.asarray([1000.0, 1.0])
    other = _Told(lambda s, a: linear(s / jnp.asarray(unit, s.dtype), a) * jnp.asarray(unit, s.dtype), admits=True)
    data = demonstrated(LINEAR)
    again = Episodes.episode(np.asarray(data.observation) * unit, data.action)
    first, second = (
        corrective_labels(one, two, region=TrustRegion(1.0)).report
        for one, two in ((data, _Told(linear, admits=True)), (again, other))
    )
    np.testing.assert_allclose(second.bound, first.bound, rtol=1e-3, atol=1e-5)
    assert 0 < first.count < first.tried
    assert (first.kept == second.kept).all()
    raw = np.linalg.norm(rows(again) - (2 * rows(again) - np.asarray(again.next)), axis=1)  # ‖s̃ − s‖ of BackTrack
    bare = np.linalg.norm(np.asarray(data.next) - rows(data), axis=1)
    assert ((raw < np.median(bare)) != (bare < np.median(bare))).any()


def test_what_is_missed_by_the_model_s_own_word_is_part_of_the_bound() -> None:
    """The reference never looks at the residual of its closed form; here it alone can refuse a label."""
    told = _Told(stiff)  # admits neither error nor slope
    report = corrective_labels(concatenate([demonstrated(told, 120, seed=s) for s in range(4)]), told).report
    np.testing.assert_array_equal(report.bound, report.residual)
    assert (report.residual > report.median_step).any()
    assert not report.kept[report.residual > report.median_step].any()


def test_where_nothing_can_be_trusted_it_says_so_with_the_numbers() -> None:
    with pytest.raises(JourneymanError) as refused:
        corrective_labels(demonstrated(LINEAR), _Told(linear, error=7.0))
    for words in ("No label of 40 can be trusted", "the dynamics' error is 7,", "are allowed", "Fit a better model"):
        assert words in str(refused.value)
    with pytest.raises(JourneymanError, match=r"the nearest lies .* deviations away and 1e-09 are allowed"):
        corrective_labels(demonstrated(LINEAR), LINEAR, region=HandSetRadius(1e-9))


def test_what_is_not_finite_is_never_kept() -> None:
    broken = _Told(lambda s, a: jnp.where(s[0] > 0, jnp.nan, 1.0) * linear(s, a))
    data = demonstrated(LINEAR)
    for method in (BackTrack(), RootFinding(), Steered(0.01, effort=0.0)):
        report = corrective_labels(data, broken, method=method, region=TrustRegion(1e9)).report
        spoiled = np.asarray(data.now)[report.anchor, 0] > 0.05
        assert not report.kept[spoiled].any()
        assert report.count


# -- the data ------------------------------------------------------------------------------------------------------


def rows(episodes: Episodes) -> np.ndarray:
    return np.asarray(episodes.now)[np.asarray(episodes.valid)]


def test_labels_are_steps_of_their_own_with_their_bound_beside_them() -> None:
    data = concatenate([demonstrated(LINEAR, 30, seed=seed) for seed in range(3)])
    found = corrective_labels(data, LINEAR, region=TrustRegion(0.5))
    labels, report = found.labels, found.report
    assert labels.num_steps == report.count < report.tried == 90
    assert labels.valid.shape[1] <= 30
    assert (labels.source == SYNTHETIC).all()
    assert found.episodes.num_steps == 90 + report.count
    np.testing.assert_array_equal(found.bound[labels.valid], report.bound[report.kept])
    assert np.isnan(found.bound[~labels.valid]).all()
    destination = np.asarray(labels.next)[labels.valid]
    np.testing.assert_allclose(destination, rows(data)[report.anchor[report.kept]])
    np.testing.assert_array_equal(labels.target, labels.action)
    assert all(part.num_steps == 1 for part in labels.unpack())
    assert len(found.episodes.episode_returns()) == 3


def test_padding_and_thinning_leave_each_label_what_it_is() -> None:
    data = concatenate([demonstrated(LINEAR, 30)])
    scales = np.asarray(data.now).reshape(-1, 2).std(0)
    padded = corrective_labels(data.pad(50), LINEAR, region=TrustRegion(9.0))
    whole = corrective_labels(data, LINEAR, region=TrustRegion(9.0))
    np.testing.assert_array_equal(rows(padded.labels), rows(whole.labels))
    some = corrective_labels(thin(data, steps_per_episode=10), LINEAR, region=TrustRegion(9.0))
    assert {tuple(row) for row in rows(some.labels)} <= {tuple(row) for row in rows(whole.labels)}
    assert scales.min() > 0


def test_the_seed_decides() -> None:
    data, method = demonstrated(LINEAR), DisturbedAction(0.3)
    first, again, other = (
        rows(corrective_labels(data, LINEAR, method=method, region=TrustRegion(9.0), seed=s).labels) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.integers(1, 12))
def test_pieces_keep_order_and_successors_for_any_width(count: int, time: int) -> None:
    now = np.arange(count, dtype=np.float32)[:, None]
    made = pieces(now, now * 2, now + 0.5, np.zeros(count, int), time=time)
    assert made.valid.shape[1] <= max(time, 1)
    np.testing.assert_array_equal(rows(made), now)
    np.testing.assert_array_equal(np.asarray(made.next)[made.valid], now + 0.5)
    np.testing.assert_array_equal(np.asarray(made.action)[made.valid], now * 2)
    assert len(list(made.unpack())) == count
    assert not len(made.episode_returns())


def test_what_is_refused() -> None:
    data = demonstrated(LINEAR)
    wide = Episodes.episode(np.ones((3, 5)), np.ones((2, 1)))
    with pytest.raises(JourneymanError, match=r"takes 2 real numbers as state, and .* observation is float64 \(5"):
        corrective_labels(wide, LINEAR)
    chosen = Episodes.episode(np.ones((3, 2)), np.ones((2,), np.int32))
    with pytest.raises(JourneymanError, match="takes 1 real numbers as action, and the data's action is int32"):
        corrective_labels(chosen, LINEAR)
    nothing = jax.tree.map(lambda leaf: leaf[:0], concatenate([data]))
    with pytest.raises(JourneymanError, match="no valid step"):
        corrective_labels(nothing, LINEAR)
    for part in (
        lambda: TrustRegion(0.0),
        lambda: HandSetRadius(-1.0),
        lambda: RootFinding(0),
        lambda: DisturbedAction(-0.1),
        lambda: Steered(0.0),
    ):
        with pytest.raises(JourneymanError, match="not"):
            part()


def test_states_that_cannot_be_known_are_skipped_and_counted() -> None:
    class _Half(_Told):
        def determined(self, observation: np.ndarray) -> np.ndarray:
            return observation[:, 0] > 0

    data = demonstrated(LINEAR)
    seen = np.asarray(data.observation)[:, 0] > 0
    found = corrective_labels(data, _Half(linear), region=TrustRegion(9.0))
    assert found.report.tried == int((seen[:-1] & seen[1:]).sum())
    assert found.report.unknown == 40 - found.report.tried
    assert f"{found.report.unknown} demonstrated steps could not be used" in str(found.report)

    class _Blind(_Told):
        def determined(self, observation: np.ndarray) -> np.ndarray:
            return np.zeros(len(observation), bool)

    with pytest.raises(JourneymanError, match="None of 40 demonstrated steps shows its whole state"):
        corrective_labels(data, _Blind(linear))


def test_the_report_says_it_in_words() -> None:
    text = str(corrective_labels(demonstrated(LINEAR), LINEAR, region=TrustRegion(0.5), truth=LINEAR).report)
    assert "labels were kept." in text
    assert "deviations from the nearest demonstrated state" in text
    assert "0 of them beyond their bound" in text
