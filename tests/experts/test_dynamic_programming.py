"""Dynamic programming: two algorithms, one answer, and it is the best of all policies."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import Demonstrate, play
from journeyman.experts import TabularExpert, backward_induction, policy_iteration, value_iteration
from journeyman.parts import JourneymanError
from journeyman.worlds import PROBES, Garnet, Gridworld, Tabular, TwoState, cliff_walking

WORLDS = {
    "a random world": (Garnet(number=3, states=30, actions=4), 0.9),
    "a slippery grid": (Gridworld(slip=0.2), 0.95),
    "the cliff, undiscounted": (cliff_walking(), 1.0),
}


@functools.cache
def solved(name):
    made, discount = WORLDS[name]
    return value_iteration(made, discount, tolerance=1e-10), policy_iteration(made, discount)


@pytest.mark.parametrize("name", WORLDS)
def test_value_iteration_policy_iteration_and_the_linear_solve_agree(name):
    made, discount = WORLDS[name]
    by_value, by_policy = solved(name)
    np.testing.assert_allclose(by_value.value, by_policy.value, atol=1e-9)
    greedy = np.eye(by_value.action_values.shape[1])[by_value.actions]
    np.testing.assert_allclose(made.values(greedy, discount), by_value.value, atol=1e-9)
    assert (np.diff(by_policy.history, axis=0) > -1e-9).all()  # no policy is worse than the one before, in any state
    assert len(by_policy.history) < len(by_value.history)
    assert by_policy.backups < by_value.backups


def test_the_error_of_value_iteration_shrinks_by_the_discount():
    """No step shrinks by less than γ, and the slowest rate is γ itself: every policy keeps the mass in the world."""
    made, discount = WORLDS["a random world"]
    errors = np.abs(solved("a random world")[0].history - solved("a random world")[1].value).max(-1)
    ratio = errors[1:60] / errors[:59]
    assert (ratio <= discount + 1e-9).all()
    assert ratio[-20:] == pytest.approx(discount, abs=1e-3)
    half = value_iteration(made, discount / 2)
    slower = np.abs(half.history - half.value).max(-1)
    assert (slower[1:20] / slower[:19] <= discount / 2 + 1e-9).all()


def test_the_tolerance_bounds_the_error_below_a_discount_of_1_and_not_at_1():
    # One action that pays 1 and ends with probability 1/100: V = 1/(1 − 0.99 γ), episodes last 100 steps on average.
    ends = Tabular([[[0.99, 0.01]], [[0.0, 1.0]]], [[1.0], [0.0]], terminal=(1,))
    for discount in (0.9, 0.999):
        assert 1 / (1 - 0.99 * discount) - value_iteration(ends, discount, tolerance=1e-3).value[0] < 1e-3
    assert 50e-3 < 100 - value_iteration(ends, 1.0, tolerance=1e-3).value[0] < 100e-3
    assert policy_iteration(ends, 1.0).value[0] == pytest.approx(100, rel=1e-9)


def test_no_policy_is_better():
    made, discount = Garnet(number=1, states=4, actions=2, branches=2), 0.9
    table = [made.values(np.eye(2)[list(choice)], discount) for choice in itertools.product(range(2), repeat=4)]
    np.testing.assert_allclose(policy_iteration(made, discount).value, np.max(table, axis=0), atol=1e-9)


def test_with_a_horizon_the_best_action_depends_on_the_time():
    made = TwoState(horizon=4)
    found = backward_induction(made, 0.9)
    np.testing.assert_allclose(found.value, made.values(np.eye(2)[found.actions], 0.9), rtol=1e-12)
    np.testing.assert_allclose(found.value[0], value_iteration(made, 0.9).history[3], rtol=1e-12)
    assert found.actions[:, 0].tolist() == [1, 1, 0, 0]  # crossing pays while there is time to stay there


def test_with_a_horizon_no_policy_without_a_clock_is_as_good():
    made = Garnet(number=1, states=4, actions=2, branches=2, horizon=4)
    choices = itertools.product(range(2), repeat=4)
    stationary = max(made.expected_return(np.eye(2)[list(choice)]) for choice in choices)
    assert made.tables().start @ backward_induction(made).value[0] > stationary + 0.1


def test_the_probes_know_their_answers():
    for probe, discount in itertools.product(PROBES, (0.9, 0.5)):
        made = probe()
        right, found = made.answer(discount), policy_iteration(made, discount)
        seen = ~np.isnan(right.value)
        np.testing.assert_allclose(found.value[seen], right.value[seen], atol=1e-12)
        known = right.action >= 0
        assert (found.actions[known] == right.action[known]).all()


def test_as_an_expert_it_walks_along_the_cliff():
    cliff = cliff_walking(horizon=100)
    episodes = play(cliff, Demonstrate(TabularExpert.of(cliff, 1.0)), episodes=3, seed=0)
    assert episodes.episode_returns().tolist() == [-13.0] * 3
    wrong = TabularExpert(-TabularExpert.of(cliff, 0.9).action_values)
    assert play(cliff, Demonstrate(wrong), episodes=1, seed=0).episode_returns()[0] < -1000
    assert wrong.label(np.zeros((2, 3), np.int32), jax.random.key(0)).shape == (2, 3)


def test_what_has_no_answer_is_refused():
    with pytest.raises(JourneymanError, match="has not settled after 50 sweeps at discount 1"):
        value_iteration(TwoState(), 1.0, most=50)
    with pytest.raises(JourneymanError, match="must be below 1"):
        policy_iteration(TwoState(), 1.0)
    with pytest.raises(JourneymanError, match="'TwoState' has no last step"):
        backward_induction(TwoState())
    with pytest.raises(JourneymanError, match=r"discount must lie in \(0, 1\], not 0"):
        value_iteration(TwoState(), 0.0)


def test_without_a_discount_of_equal_actions_one_leads_to_the_end():
    """Three states in a row and a goal behind: everywhere all actions promise the goal, and only one goes there."""
    moves = np.zeros((4, 2, 4))
    for state in range(3):
        moves[state, 0, max(state - 1, 0)] = moves[state, 1, state + 1] = 1
    moves[3, :, 3] = 1
    reward = np.zeros((4, 2, 4))
    reward[2, 1, 3] = 1
    row = Tabular(moves, reward, terminal=(3,))
    for solve in (value_iteration, policy_iteration):
        found = solve(row, 1.0)
        assert found.actions[:3].tolist() == [1, 1, 1], solve.__name__
        np.testing.assert_allclose(found.value[:3], 1)
    assert TabularExpert.of(row, 1.0).label(jnp.arange(3), jax.random.key(0)).tolist() == [1, 1, 1]
