"""What errors cost by horizon, against the chain's closed forms; where an exponent is told and where it must not be."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import bc, dagger
from journeyman.collect import Demonstrate, play
from journeyman.diagnose import _by_horizon as by_horizon
from journeyman.diagnose import _horizon_wording as wording
from journeyman.diagnose import compounding, cost_by_horizon
from journeyman.diagnose._horizon_power import LEAST_EPISODES, growth
from journeyman.diagnose._resampled import resampled_counts
from journeyman.experts import PolicyExpert, exact
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.training import Plan, fit, improve
from journeyman.verify import erring_policy, linear_policy
from journeyman.worlds import ErrorChain, GeometricChain, LinearQuadratic

NEVER, BACK = (ErrorChain(recovery=one, signs=500, horizon=100) for one in ("never", "back"))
MANY, ENOUGH = 2000, 400


def test_the_exponent_of_the_chain_is_two_without_a_way_back_and_one_with_one():
    found = cost_by_horizon(erring_policy(NEVER, 1), exact(NEVER), NEVER, episodes=MANY)
    assert found.error.low < 1 / 500 < found.error.high
    for h, cost in zip(found.horizon, found.cost, strict=True):
        truth = NEVER.expected_cost(1 / 500, horizon=int(h))
        assert abs(cost.mean - truth) < 5 * (cost.high - cost.low) / (2 * 1.96)
    assert found.scale == 1
    np.testing.assert_allclose(found.unrecoverable, found.error.mean * found.horizon**2 / 2)
    np.testing.assert_allclose(found.recoverable, found.error.mean * found.horizon)
    assert found.used.all()
    assert found.exponent.mean == pytest.approx(2, abs=0.2)
    assert found.exponent.low > 1.5
    assert "as where errors are not recovered (2)" in found.finding
    assert found.horizon.tolist() == [12, 17, 23, 30, 41, 55, 74, 100]

    knows = cost_by_horizon(erring_policy(BACK, 1, turns_back=True), exact(BACK), BACK, episodes=MANY)
    assert knows.exponent.mean == pytest.approx(1, abs=0.2)
    assert "as where errors are recovered (1)" in knows.finding
    never_shown = cost_by_horizon(erring_policy(BACK, 1), exact(BACK), BACK, episodes=MANY)
    assert never_shown.cost == found.cost  # who does not know the way back has none


def test_the_cost_by_step_is_the_probability_of_being_off_the_path():
    acts = erring_policy(NEVER, 25)
    found = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=ENOUGH, bins=100, horizons=[1, 10, 100])
    off = 1 - 0.95 ** np.arange(1, 101)
    assert found.step.tolist() == list(range(100))
    for cost, truth in zip(found.step_cost, off, strict=True):
        assert abs(cost.mean - truth) < 5 * np.sqrt(truth * (1 - truth) / ENOUGH + 1e-6)
    assert sum(cost.mean for cost in found.step_cost) == pytest.approx(found.cost[-1].mean)
    assert found.horizon.tolist() == [1, 10, 100]


STEPS = 100
HORIZONS = by_horizon._horizons(None, STEPS)


def chained(count, error, recovered, random):
    wrong = random.random((count, STEPS)) < error
    return wrong if recovered else np.maximum.accumulate(wrong, axis=1)


def noisy(count, power, deviation, random):
    """The cost of each step, of which the first h come to h^power steps of cost 1 a step on average at the end."""
    mean = np.diff(np.arange(STEPS + 1.0) ** power) / STEPS ** (power - 1)
    if deviation is None:  # never negative and skewed: some episodes and some steps cost much more than others
        return mean * random.exponential(size=(count, 1)) * random.exponential(size=(count, STEPS))
    return mean + deviation * random.normal(size=(count, STEPS))


def repeated(draw, count, times, scale=1e6):
    """The exponents that are told, of `times` measurements of `count` episodes."""
    counts = resampled_counts(count, 0).astype(float)
    costs = (np.cumsum(draw(), axis=1)[:, HORIZONS - 1] for _ in range(times))
    found = [by_horizon._fitted(HORIZONS, each, counts, scale, LEAST_EPISODES) for each in costs]
    return [one.exponent for one in found if one.exponent is not None]


def held(told, truth):
    return np.mean([one.low <= truth <= one.high for one in told])


def wrong(told, power):
    """How many of them name the other law."""
    other = "as where errors are recovered (1)" if power == 2 else "as where errors are not recovered (2)"
    return sum(wording._verdict(one).startswith(other) for one in told)


@pytest.mark.parametrize("recovered", [True, False])
def test_the_interval_of_the_exponent_holds_the_truth_as_often_as_it_says(recovered):
    """200 measurements of 300 episodes each; the truth is the power of the exact costs. 95 % less five errors: 87 %."""
    random = np.random.default_rng(0)
    chain = ErrorChain(recovery="itself" if recovered else "never")
    exact_cost = np.asarray([chain.expected_cost(0.002, horizon=int(h)) for h in HORIZONS])
    truth = growth(HORIZONS, np.tile(exact_cost, (10, 1)))
    slope = np.polyfit(np.log(HORIZONS), np.log(exact_cost), 1)[0]
    assert truth.high - truth.low < 1e-6
    assert truth.mean == pytest.approx(slope, abs=0.02)
    told = repeated(lambda: chained(300, 0.002, recovered, random), 300, 200, scale=1.0)
    assert len(told) == 200
    assert held(told, truth.mean) > 0.87
    assert np.mean([one.mean for one in told]) == pytest.approx(truth.mean, abs=5 * 0.16 / np.sqrt(200))
    assert held(told, 3 - round(slope)) < 0.02  # and it tells 1 from 2


@pytest.mark.parametrize("power", [1, 2])
def test_the_interval_holds_where_the_costs_are_lost_in_noise(power):
    """Where a horizon counted only if its own cost came out above 0, of exponents of 2 it held 68 %."""
    random = np.random.default_rng(power)
    told = repeated(lambda: noisy(20, power, 10.0, random), 20, 120)
    assert len(told) > 100
    assert held(told, power) > 0.95 - 4 * np.sqrt(0.05 * 0.95 / len(told))
    assert wrong(told, power) <= 3
    assert any(not one.known for one in told), "some are open, and are said to be"


@pytest.mark.slow
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize(
    ("count", "deviation"),
    [
        *((20, 5.0), (20, 10.0), (20, 15.0), (20, 30.0), (20, None)),
        *((100, 15.0), (100, 30.0), (100, None)),
        *((300, 15.0), (300, 30.0), (300, 60.0), (300, None)),
    ],
)
def test_the_interval_holds_at_every_noise(power, count, deviation):
    """300 measurements each: at least 93 % of those told hold the truth, at most 2.5 % of all name the other law."""
    random, times = np.random.default_rng(0), 300
    told = repeated(lambda: noisy(count, power, deviation, random), count, times)
    assert held(told, power) > 0.93 - 2 * np.sqrt(0.07 * 0.93 / len(told))
    assert wrong(told, power) <= 0.025 * times


def test_an_interval_that_is_open_is_told_as_open():
    random = np.random.default_rng(0)
    told = repeated(lambda: noisy(100, 2, 15.0, random), 100, 40)
    above = next(one for one in told if np.isinf(one.high) and np.isfinite(one.low))
    assert f"{above.low:.3g} and above" in wording._bounds(above)
    below = dataclasses.replace(above, low=-np.inf, high=1.25)
    assert "1.25 and below" in wording._bounds(below)
    assert wording.tells(above)
    assert wording.tells(below)
    assert not wording.tells(dataclasses.replace(below, high=np.inf))
    assert not wording.tells(None)


def test_a_saturated_cost_has_no_exponent():
    """At εH = 10 the cost grows like H where nothing is ever recovered: to tell 1 would be wrong."""
    acts = erring_policy(NEVER, 50)
    found = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=ENOUGH)
    raw = np.polyfit(np.log(found.horizon), np.log([one.mean for one in found.cost]), 1)[0]
    assert raw < 1.4  # what a fit to all of them would say
    assert found.exponent is None
    assert not found.used.any()
    assert "cannot be told: it is saturated; over 12 steps already" in found.finding
    some = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=ENOUGH, horizons=[1, 2, 3, 4, 50])
    assert some.used.tolist() == [True, False, False, False, False]
    assert "only the horizons [1] are not saturated" in some.finding


def test_a_clone_that_is_better_until_it_falls_is_told_as_both():
    """A clone of Hopper's expert gains until it falls and loses nearly all there is then: its cost was "negative"."""
    found = cost_by_horizon(erring_policy(NEVER, 50), exact(NEVER), NEVER, episodes=ENOUGH, horizons=[1, 2, 3, 4, 50])
    gains = dataclasses.replace(found.cost[0], mean=-9.2, low=-10.0, high=-8.4)
    both = dataclasses.replace(found, cost=(gains, *found.cost[1:]))
    said = wording.horizon_finding(both, by_horizon.SATURATED)
    assert "over 1 step and 400 episodes it is −9.2 (95 % interval −10 to −8.4), negative; over 2 it is " in said
    assert "and saturated, more than 0.125 of the most there can be" in said


def test_horizons_beyond_the_regime_are_left_out_and_said():
    acts = erring_policy(NEVER, 5)
    found = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=ENOUGH, horizons=[5, 8, 12, 18, 50, 100])
    assert found.used.tolist() == [True, True, True, True, False, False]
    assert found.exponent.low > 1.5
    assert "From H = 50 on it is left out: more than 0.125 of the most there can be." in found.finding


def test_no_error_one_episode_and_a_better_clone_have_no_exponent():
    right = cost_by_horizon(erring_policy(NEVER, 0), exact(NEVER), NEVER, episodes=ENOUGH)
    assert (right.exponent, right.error.mean, right.scale) == (None, 0, 0)
    assert "not above 0 beyond its interval" in right.finding
    one = cost_by_horizon(erring_policy(NEVER, 5), exact(NEVER), NEVER, episodes=1)
    assert one.exponent is None
    assert "one episode says nothing" in one.finding
    worse = PolicyExpert(erring_policy(NEVER, 250))
    better = cost_by_horizon(erring_policy(NEVER, 0), worse, NEVER, episodes=ENOUGH)
    assert better.exponent is None
    assert "negative" in better.finding
    rare = cost_by_horizon(erring_policy(NEVER, 1), exact(NEVER), NEVER, episodes=30)
    assert rare.exponent is None
    assert rare.cost[-1].low > 0
    assert "fewer than 10 of 30 episodes cost anything" in rare.finding
    json.dumps(one.numbers(), allow_nan=False)


def test_real_actions_have_a_distance_and_no_lines():
    """A scalar world whose cost by horizon is known without any sampling: every episode is alike."""
    line = LinearQuadratic(horizon=64, noise=0.0)
    found = cost_by_horizon(
        linear_policy(line, -0.3, 0.1), PolicyExpert(linear_policy(line, -0.6, 0.1)), line, episodes=3
    )
    for h, cost in zip(found.horizon, found.cost, strict=True):
        made = LinearQuadratic(horizon=int(h))
        assert cost.mean == pytest.approx(made.expected_return(-0.6) - made.expected_return(-0.3), rel=1e-4)
    assert (found.unrecoverable, found.recoverable) == (None, None)
    assert "εH²/2" in found.table()
    assert "–" in found.table()
    assert found.error_unit == "action units"


def test_an_episode_that_ends_early_is_paid_for_to_the_end():
    """Leaving the chain ends it: the expert goes on to be paid 1 a step, the clone is not."""
    chain = GeometricChain(horizon=8)
    stay, leave = (erring(chain, bias) for bias in ((-9.0, 9.0), (9.0, -9.0)))
    found = cost_by_horizon(leave, PolicyExpert(stay), chain, episodes=2, horizons=[1, 4, 8])
    assert [one.mean for one in found.cost] == [1, 4, 8]
    assert found.scale == 1
    assert found.exponent is None  # at its ceiling from the first step


def erring(world, bias):
    import equinox as eqx

    made = policy(world, jax.random.key(0), hidden=())
    return eqx.tree_at(lambda p: p.network.biases[0], made, jnp.asarray(bias))


def test_the_numbers_are_those_of_the_arguments_alone():
    acts = erring_policy(NEVER, 3)
    first = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=ENOUGH)
    other = NEVER.remake(seed=5, num_envs=3)  # the world's own seed and width are not looked at
    assert cost_by_horizon(acts, exact(NEVER), other, episodes=ENOUGH).numbers() == first.numbers()
    assert cost_by_horizon(acts, exact(NEVER), NEVER, episodes=ENOUGH, seed=1).cost != first.cost


def test_compounding_tells_the_cost_from_its_own_episodes():
    acts = erring_policy(NEVER, 30)
    found = compounding(acts, exact(NEVER), NEVER, episodes=200, bins=5)
    alone = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=200, bins=5)
    assert found.by_horizon.cost == alone.cost
    assert found.by_horizon.error == alone.error == found.error_on_expert
    assert alone.exponent is None
    assert found.notes[-1] == alone.finding, "why there is none is said aside"
    assert alone.finding not in found.finding
    assert len(found.table().splitlines()) == 1 + len(alone.horizon) + 1 + 1 + 5
    json.dumps(found.numbers(), allow_nan=False)
    shown = play(NEVER, Demonstrate(exact(NEVER)), episodes=3, seed=0)
    nobody = compounding(acts, None, NEVER, demonstrations=shown, episodes=200)
    assert nobody.by_horizon is None
    assert "cost of a step" not in nobody.table()


@pytest.mark.slow
def test_a_clone_never_comes_back_and_dagger_does():
    """Real learners: the clone has never seen anybody turn back; a few labels off the path are enough."""
    expert = exact(BACK)
    shown = play(BACK, Demonstrate(expert), episodes=15, seed=0)
    learner = bc(0.05, epochs=50)
    clone = fit(learner, policy(BACK, jax.random.key(0), hidden=()), shown, log_every=50, checkpoint_every=50).policy
    mending = dagger(expert, learning_rate=0.05, epochs=40)
    mended = improve(mending, clone, BACK, Plan(steps=512, batch=512), demonstrations=shown).policy
    (error, off), (less, back) = (BACK.errors(np.asarray(p.mode(jnp.arange(501)))) for p in (clone, mended))
    assert 0 < less < error < 0.05
    assert (off, back) == (1, 0)
    found = [cost_by_horizon(p, expert, BACK, episodes=MANY) for p in (clone, mended)]
    for one, (on, beside) in zip(found, ((error, off), (less, back)), strict=True):
        assert abs(one.error.mean - on) < 5 * np.sqrt(on / (MANY * 100))
        truth = BACK.expected_cost(on, beside)
        assert abs(one.cost[-1].mean - truth) < 5 * (one.cost[-1].high - one.cost[-1].low) / 3.92
    assert found[1].cost[-1].high < found[0].cost[-1].low / 3


def test_what_cannot_be_asked_is_refused():
    acts, expert = erring_policy(NEVER, 1), exact(NEVER)
    with pytest.raises(JourneymanError, match="rise, unlike"):
        cost_by_horizon(acts, expert, NEVER, horizons=[5, 5])
    with pytest.raises(JourneymanError, match=r"(?s)0 bins.*unlike \[0, 4\]"):
        cost_by_horizon(acts, expert, NEVER, horizons=[0, 4], bins=0)
    with pytest.raises(JourneymanError, match="unlike"):
        compounding(acts, expert, NEVER, horizons=[])
    with pytest.raises(JourneymanError, match="horizon of 101 steps is beyond the longest episode, which has 100"):
        cost_by_horizon(acts, expert, NEVER, horizons=[2, 101])
    plane = policy(LinearQuadratic(np.eye(2), np.eye(2), np.eye(2), np.eye(2)), jax.random.key(0))
    with pytest.raises(JourneymanError, match="The expert does not fit"):
        cost_by_horizon(acts, PolicyExpert(plane), NEVER)
    with pytest.raises(JourneymanError, match="The policy does not fit 'ErrorChain'"):
        cost_by_horizon(linear_policy(LinearQuadratic(), -0.3, 0.1), expert, NEVER)
    with pytest.raises(JourneymanError, match=r"^`episodes` must be a whole number of 1 or more, not 0"):
        cost_by_horizon(acts, expert, NEVER, episodes=0)
