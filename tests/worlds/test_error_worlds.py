"""The worlds in which errors are studied: the chain against its closed forms, the ridge against its equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import Demonstrate, Mean, play
from journeyman.experts import ChainExpert, RidgeExpert, TabularExpert, exact
from journeyman.parts import JourneymanError, describe, rebuild
from journeyman.policies import policy
from journeyman.verify import erring_policy
from journeyman.worlds import ErrorChain, GeometricChain, Ridge, Tabular, world

SIGNIFICANCE = 4.5  # standard errors: a right program fails once in 150 000 runs


# -- the chain -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("horizon", "error", "cloning", "quadratic", "recoverable"),
    [
        (100, 0.001, 4.887, 5, 0.1),
        (100, 0.01, 37.237, 50, 1),
        (1000, 0.001, 368.328, 500, 1),
        (1000, 0.01, 901.004, 5000, 10),
    ],
)
def test_the_published_table(horizon, error, cloning, quadratic, recoverable):
    never, back, itself = (ErrorChain(recovery=r, horizon=horizon) for r in ("never", "back", "itself"))
    closed = horizon - (1 - error) * (1 - (1 - error) ** horizon) / error
    assert never.expected_cost(error) == pytest.approx(closed, rel=1e-9)
    assert never.expected_cost(error) == pytest.approx(cloning, abs=5e-4)
    assert error * horizon**2 / 2 == pytest.approx(quadratic)
    assert never.expected_cost(error) <= error * horizon * (horizon + 1) / 2
    assert back.expected_cost(error) == itself.expected_cost(error) == pytest.approx(recoverable)
    assert back.expected_cost(error, 1.0) == pytest.approx(never.expected_cost(error))  # who never turns back


def test_the_exponent_is_two_and_one_for_few_errors_and_one_when_saturated():
    def slope(made, error, h):
        return np.log2(made.expected_cost(error, horizon=2 * h) / made.expected_cost(error, horizon=h))

    never, itself = ErrorChain(), ErrorChain(recovery="itself")
    assert slope(never, 1e-9, 1000) == pytest.approx(2, abs=1e-3)
    assert slope(itself, 1e-9, 1000) == pytest.approx(1)
    assert slope(never, 0.1, 1000) == pytest.approx(1, abs=0.02)  # far beyond εH = 1 the power says nothing


@pytest.mark.parametrize("recovery", ["never", "back", "itself"])
def test_the_cost_is_that_of_the_same_chain_written_as_tables(recovery):
    """State 3 is off the path; the policy errs at one sign of three, and η of the time off the path."""
    made = ErrorChain(recovery=recovery, signs=3, ways=2, number=4, horizon=7)
    right, on = made.right(), np.array([1, 1, 1, 0]) / 3
    off, move, reward = np.eye(4)[3], np.zeros((4, 3, 4)), np.zeros((4, 3))
    for state, action in np.ndindex(4, 3):
        good = action == right[state] and (state < 3 or recovery == "back")
        move[state, action] = on if good or recovery == "itself" else off
        reward[state, action] = 0 if good else -1
    tables = Tabular(move, reward, on, horizon=7)
    table = 0.8 * np.eye(3)[right] + 0.1 * (1 - np.eye(3)[right])
    table[3] = [0.15, 0.15, 0.7]  # ε = .2 at every sign, η = .3
    assert -tables.expected_return(table) == pytest.approx(made.expected_cost(0.2, 0.3), rel=1e-12)
    assert (made.expected_cost(0.0, 1.0), made.expected_cost(0.2, horizon=0)) == (0, 0)
    best = TabularExpert.of(tables, 0.9).label(np.arange(3), jax.random.key(0))
    assert best.tolist() == right[:3].tolist()


@pytest.mark.parametrize(
    ("recovery", "turns_back"), [("never", False), ("back", False), ("back", True), ("itself", False)]
)
def test_playing_the_chain_costs_what_the_closed_form_says(recovery, turns_back):
    made = ErrorChain(recovery=recovery, signs=50, horizon=40)
    errs = erring_policy(made, 1, turns_back=turns_back)
    actions = np.asarray(errs.mode(jnp.arange(51)))
    error, off = made.errors(actions)
    assert error == 1 / 50
    assert off == {"never": 1.0, "back": 0.0 if turns_back else 1.0, "itself": 1 / 50}[recovery]
    cost = -play(made, Mean(errs), episodes=4000, seed=3, width=4000).episode_returns()
    truth = made.expected_cost(error, off)
    assert abs(cost.mean() - truth) < SIGNIFICANCE * cost.std() / np.sqrt(4000)
    assert not abs(cost.mean() - made.expected_cost(2 * error, off)) < SIGNIFICANCE * cost.std() / np.sqrt(4000)


def test_the_expert_of_the_chain_never_errs_and_knows_the_way_back():
    made = ErrorChain(recovery="back", signs=20, ways=4, horizon=30)
    expert = exact(made)
    assert isinstance(expert, ChainExpert)
    assert (play(made, Demonstrate(expert), episodes=50, seed=0).reward == 0).all()
    label = np.asarray(expert.label(jnp.arange(21), jax.random.key(0)))
    assert (label == made.right()).all()
    assert made.errors(label) == (0, 0)
    assert label[-1] == 4
    assert label[:-1].max() < 4
    assert set(label[:-1]) == {0, 1, 2, 3}


def test_signs_are_drawn_anew_and_their_meaning_is_not_the_seed_s():
    made = ErrorChain(signs=5, horizon=50, seed=1)
    seen = np.asarray(play(made, Demonstrate(exact(made)), episodes=200, seed=0).now)
    share = np.bincount(seen.ravel(), minlength=5) / seen.size
    assert np.abs(share - 0.2).max() < SIGNIFICANCE * np.sqrt(0.2 * 0.8 / seen.size)
    again = (seen[:, 1:] == seen[:, :-1]).mean()
    assert abs(again - 0.2) < SIGNIFICANCE * np.sqrt(0.2 * 0.8 / seen.size)
    assert (made.remake(seed=9).right() == made.right()).all()
    assert (ErrorChain(number=1).right() != ErrorChain().right()).any()


def test_what_is_no_chain_is_refused():
    with pytest.raises(JourneymanError, match=r"'recovery' is 'neva'\. Did you mean 'never'"):
        ErrorChain(recovery="neva")
    with pytest.raises(JourneymanError, match="leaves nothing to choose"):
        ErrorChain(ways=1)
    with pytest.raises(JourneymanError, match="'horizon' is 0"):
        ErrorChain(horizon=0)
    with pytest.raises(JourneymanError, match=r"ε = 2, η = 2 and 100 steps"):
        ErrorChain().expected_cost(2)
    with pytest.raises(JourneymanError, match="None steps"):
        ErrorChain(horizon=None).expected_cost(0.1)
    with pytest.raises(JourneymanError, match=r"shape \(3,\).*give \(1001,\)"):
        ErrorChain().errors([0, 1, 0])
    with pytest.raises(JourneymanError, match="not 7 of them"):
        erring_policy(ErrorChain(signs=5), 7)
    with pytest.raises(JourneymanError, match="No expert of 'GeometricChain' is known exactly"):
        exact(GeometricChain())


# -- the ridge -------------------------------------------------------------------------------------------


def test_the_ridge_steps_by_its_equations():
    made, random = Ridge(gusts=0.0), np.random.default_rng(0)
    y, angle, fallen = 0.2, 1.0, False
    state = made.state_of(jnp.asarray([y, np.cos(angle), np.sin(angle)]))
    for push in random.uniform(-1.5, 1.5, 30):
        state, outcome = made.step(state, jnp.asarray([push]), jax.random.key(0))
        if not fallen:
            winding = 0.2 * (np.sin(2 * angle) + np.sin(5 * angle + 1)) / 2
            y = y * (1.1 + 4 * y**2) + winding + np.clip(push, -1, 1)
        angle, fallen = angle + 2 * np.pi / 50, fallen or abs(y) > 1
        np.testing.assert_allclose(made.observe(state), [y, np.cos(angle), np.sin(angle)], rtol=1e-4, atol=1e-5)
        cost = 1.0 if fallen else max(0.0, abs(y) - 0.1) / 0.9
        assert float(outcome.reward) == pytest.approx(-cost, rel=1e-4, abs=1e-6)
        assert not outcome.terminated
    assert fallen
    assert made.noiseless() == made
    assert bool(made.state_of(made.observe(state)).fallen)


def test_a_fall_is_for_ever_and_the_horizon_cuts():
    made = Ridge(horizon=60)
    idle = policy(made, jax.random.key(0), hidden=())
    played = play(made, Mean(idle), episodes=64, seed=0)
    assert (np.asarray(played.reward)[:, -1] == -1).all()  # without a push everybody falls
    ended = np.maximum.accumulate(np.asarray(played.reward) == -1, axis=1)
    assert (np.asarray(played.reward)[ended] == -1).all()
    assert (np.asarray(played.truncated).sum(1) == 1).all()
    assert not np.asarray(played.terminated).any()


def test_the_expert_holds_the_path_with_the_known_deviation():
    """y′ = .7 y + gusts w is an autoregression: its variance is gusts² / (1 − .7²)."""
    made = Ridge(horizon=200)
    expert = exact(made)
    assert isinstance(expert, RidgeExpert)
    played = play(made, Demonstrate(expert), episodes=200, seed=0, width=200)
    y = np.asarray(played.observation)[:, 100:, 0]
    assert y.var() == pytest.approx(made.gusts**2 / (1 - 0.7**2), rel=0.05)
    assert np.abs(y).max() < 0.4
    along = (y[:, 1:] * y[:, :-1]).mean() / y.var()
    assert along == pytest.approx(0.7, abs=0.02)
    assert np.abs(np.asarray(played.action)).max() <= 1


def test_what_is_no_ridge_is_refused():
    with pytest.raises(JourneymanError, match=r"'growth' is 1\.0"):
        Ridge(growth=1.0)
    with pytest.raises(JourneymanError, match=r"'bends' is 2\.0 and 'push' 1\.0"):
        Ridge(bends=2.0)
    with pytest.raises(JourneymanError, match="'gusts' is -1"):
        Ridge(gusts=-1.0)
    with pytest.raises(JourneymanError, match=r"'path' is 1\.0"):
        Ridge(path=1.0)


@pytest.mark.parametrize("made", [ErrorChain("back", 7, 3, 2, 9, num_envs=3, seed=8), Ridge(horizon=4, num_envs=3)])
def test_both_survive_their_description_and_their_name(made):
    tree, arrays = describe(made)
    assert rebuild(tree, arrays) == made
    assert not arrays
    config = made.config()
    again = world(config["name"], num_envs=config["num_envs"], seed=config["seed"], **config["options"])
    assert again == made
