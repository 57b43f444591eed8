"""Fitted dynamics: what they learn, what they know of their own errors, and the recipe that makes labels with them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import LearnedDynamics, bc, ccil, fit_dynamics
from journeyman.algorithms._dynamics_model import _parts
from journeyman.collect import Sample, play
from journeyman.corrections import DisturbedAction, HandSetRadius, TrueDynamics, TrustRegion, corrective_labels, thin
from journeyman.episodes import SYNTHETIC, Episodes, concatenate
from journeyman.objectives import JacobianPenalty, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.training import fit
from journeyman.worlds import LinearQuadratic

A, B = np.asarray([[0.9, 0.2], [-0.1, 0.8]]), np.asarray([[0.3], [1.0]])
WORLD = LinearQuadratic(A, B, np.eye(2), [[1.0]], start_std=0.7, horizon=25, num_envs=8)
TRUE = TrueDynamics(WORLD)
QUICK = {"members": 2, "hidden": (16,), "epochs": 60, "batch_size": 64, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def data() -> Episodes:
    return play(WORLD, Sample(policy(WORLD, jax.random.key(0), hidden=(4,))), episodes=16, seed=0, width=8)


@pytest.fixture(scope="module")
def model(data: Episodes) -> LearnedDynamics:
    return fit_dynamics(data, **QUICK)


def pairs(episodes: Episodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    valid = np.asarray(episodes.valid)
    return tuple(np.asarray(x, np.float64)[valid] for x in (episodes.now, episodes.action, episodes.next))  # type: ignore


def test_it_predicts_steps_that_were_left_out_and_says_how_well(data: Episodes, model: LearnedDynamics) -> None:
    assert (model.explained > 0.98).all()
    fresh = play(WORLD, Sample(policy(WORLD, jax.random.key(0), hidden=(4,))), episodes=16, seed=99, width=8)
    state, action, following = pairs(fresh)
    missed = (model.step(state, action) - following) / pairs(data)[0].std(0)
    share = (np.linalg.norm(missed, axis=1) <= model.miss).mean()
    assert share > 0.85  # a 90 % quantile of single members, and the ensemble errs less
    # (root mean squares of members) near that of the ensemble on fresh data, and far below doing nothing
    assert (np.sqrt(np.square(missed * pairs(data)[0].std(0)).mean(0)) < 1.3 * model.held_out).all()


def test_its_derivatives_are_those_of_the_world(data: Episodes, model: LearnedDynamics) -> None:
    state, action, _ = pairs(data)
    by_state, by_action = model.jacobians(state, action)
    np.testing.assert_allclose(np.median(by_state, axis=0), A, atol=0.1)
    np.testing.assert_allclose(np.median(by_action, axis=0), B, atol=0.1)


def test_fewer_transitions_than_a_batch_are_learned_from(data: Episodes) -> None:
    """The reference drops the last short batch: here it would take no step at all and divide by zero."""
    few = thin(data, episodes=2, steps_per_episode=10)
    found = fit_dynamics(few, **{**QUICK, "epochs": 150, "batch_size": 512})
    assert (found.explained > 0.5).all()
    lazy = fit_dynamics(few, **{**QUICK, "epochs": 1, "batch_size": 512})
    assert (lazy.explained < 0.5).all()


def test_every_accepted_label_lands_within_its_bound(data: Episodes, model: LearnedDynamics) -> None:
    for method in (None, DisturbedAction(0.2, copies=2)):
        options = {} if method is None else {"method": method}
        report = corrective_labels(data, model, region=TrustRegion(0.6), truth=TRUE, **options).report
        assert report.count > 20
        assert report.violations == 0


def test_what_it_missed_is_told_in_the_deviations_of_the_data_that_labels_are_made_from(
    data: Episodes, model: LearnedDynamics
) -> None:
    """A model of broad data errs by as much, in the state's units, where labels are made from narrow data."""
    narrow = dataclasses.replace(data, observation=data.observation / 10)
    report = corrective_labels(narrow, model, region=HandSetRadius(1e9)).report
    assert report.error.min() >= 9.9 * model.miss
    assert corrective_labels(data, model, region=HandSetRadius(1e9)).report.error.min() >= 0.999 * model.miss


def test_the_doubt_grows_with_the_error_and_the_steepness(data: Episodes) -> None:
    worse = fit_dynamics(data, **{**QUICK, "epochs": 2})
    good = fit_dynamics(data, **QUICK)
    assert worse.miss > 2 * good.miss
    trusted = corrective_labels(data, good, region=TrustRegion(0.6)).report
    try:
        less = corrective_labels(data, worse, region=TrustRegion(0.6)).report.count
    except JourneymanError:
        less = 0
    assert less < trusted.count
    # the control does not ask: with either model it keeps the same number
    counts = [corrective_labels(data, one, region=HandSetRadius(0.5), truth=TRUE).report.count for one in (worse, good)]
    assert min(counts) > 0.5 * max(counts) > 0


def test_a_model_that_explains_nothing_gives_no_label_and_the_numbers() -> None:
    """Successors drawn apart from states: there is nothing to learn, and it must not be trained on in silence."""
    random = np.random.default_rng(0)
    parts = [Episodes.episode(random.normal(size=(31, 2)), random.normal(size=(30, 1))) for _ in range(4)]
    data = concatenate(parts)
    with pytest.raises(JourneymanError, match=r"No label of 120 can be trusted: the smallest bound is .* error is"):
        ccil(data, objective=WeightedLogLikelihood(), members=2, epochs=50)


def test_a_penalty_makes_it_flatter_and_a_limit_holds_it(data: Episodes) -> None:
    state, action, _ = pairs(data)
    scale = state.std(0)

    def steepest(model: LearnedDynamics) -> float:
        by_state, _ = model.jacobians(state, action)
        scaled = (by_state - np.eye(2)) * scale[None, None, :] / scale[None, :, None]
        return float(np.linalg.norm(scaled, 2, axis=(1, 2)).mean())

    plain, flat = (
        fit_dynamics(data, **QUICK, objective=objective)
        for objective in (WeightedLogLikelihood(), JacobianPenalty(0.2, 3.0))
    )
    assert steepest(flat) < 0.7 * steepest(plain)
    assert flat.miss > plain.miss
    held = fit_dynamics(data, **QUICK, objective=WeightedLogLikelihood(), spectral_limit=0.1)
    assert steepest(held) < 0.7 * steepest(plain)


def test_a_column_that_never_moves_stays_where_it_is(data: Episodes) -> None:
    def still(leaf: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(leaf), np.full((*leaf.shape[:-1], 1), 7.0, np.float32)], -1)

    wide = concatenate([Episodes.episode(still(part.observation), part.action) for part in data.unpack()])
    found = fit_dynamics(wide, **QUICK)
    state, action, following = pairs(wide)
    assert np.abs(found.step(state, action)[:, 2] - 7).max() < 0.05
    report = corrective_labels(wide, found, region=TrustRegion(1.0)).report
    assert np.isfinite(report.bound).all()
    assert following.shape[1] == 3


def test_each_step_is_left_out_by_one_member() -> None:
    assert _parts([3, 2, 4, 1], 2).tolist() == [0] * 3 + [1] * 2 + [0] * 4 + [1]
    assert _parts([10], 4).tolist() == [0, 0, 1, 2, 3, 0, 0, 1, 2, 3]
    assert np.bincount(_parts([100], 2)).tolist() == [50, 50]
    assert (np.diff(_parts([100], 2)) != 0).sum() == 9  # ten runs
    assert all(np.bincount(_parts([count], 4), minlength=4).min() >= 1 for count in range(8, 60))


def test_the_seed_decides(data: Episodes) -> None:
    few = thin(data, episodes=4)
    first, again, other = (fit_dynamics(few, **{**QUICK, "epochs": 3}, seed=seed) for seed in (1, 1, 2))
    state, action, _ = pairs(few)
    np.testing.assert_array_equal(first.step(state, action), again.step(state, action))
    assert np.abs(first.step(state, action) - other.step(state, action)).max() > 1e-4


def test_the_recipe_gives_data_to_clone(data: Episodes) -> None:
    found = ccil(data, region=TrustRegion(0.8), members=2, epochs=100, truth=TRUE)
    assert found.report.count > 0
    assert found.episodes.num_steps == data.num_steps + found.report.count
    assert isinstance(found.dynamics, LearnedDynamics)
    assert (np.asarray(found.labels.source) == SYNTHETIC).all()
    fresh = policy(WORLD, jax.random.key(1), hidden=(4,))
    cloned = fit(bc(epochs=2), fresh, found.episodes, log_every=2, checkpoint_every=2)
    assert jnp.isfinite(cloned.rows[-1]["loss"])


def test_what_is_refused(data: Episodes) -> None:
    with pytest.raises(JourneymanError, match="There are 4 valid steps, and 4 members need 8 at least"):
        fit_dynamics(thin(data, episodes=2, steps_per_episode=2))
    with pytest.raises(JourneymanError, match="between 0 and 1, not at 2"):
        fit_dynamics(data, quantile=2)
    with pytest.raises(JourneymanError, match="at least one transition, not 0"):
        fit_dynamics(data, batch_size=0)
    with pytest.raises(JourneymanError, match="An ensemble has two or more members, not 1"):
        fit_dynamics(data, members=1)
    pictures = Episodes.episode({"a": np.zeros((9, 2)), "b": np.zeros((9, 2))}, np.zeros((8, 1)))
    with pytest.raises(JourneymanError, match="reads one real vector as observation"):
        fit_dynamics(pictures)
    with pytest.raises(JourneymanError, match=r"reads one real vector as action, not int"):
        fit_dynamics(Episodes.episode(np.zeros((41, 2)), np.zeros(40, int)))
