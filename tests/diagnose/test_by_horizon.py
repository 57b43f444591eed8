"""What errors cost by horizon, against the chain's closed forms; where an exponent is told and where it must not be."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import bc, dagger
from journeyman.collect import Demonstrate, play
from journeyman.diagnose import _by_horizon as by_horizon
from journeyman.diagnose import compounding, cost_by_horizon
from journeyman.diagnose._resampled import resampled_counts
from journeyman.experts import PolicyExpert, exact
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.training import Plan, fit, improve
from journeyman.verify import erring_policy, linear_policy
from journeyman.worlds import ErrorChain, GeometricChain, LinearQuadratic

NEVER, BACK = (ErrorChain(recovery=one, signs=500, horizon=100) for one in ("never", "back"))
MANY = 2000


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
    found = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=MANY, bins=100, horizons=[1, 10, 100])
    off = 1 - 0.95 ** np.arange(1, 101)
    assert found.step.tolist() == list(range(100))
    for cost, truth in zip(found.step_cost, off, strict=True):
        assert abs(cost.mean - truth) < 5 * np.sqrt(truth * (1 - truth) / MANY + 1e-6)
    assert sum(cost.mean for cost in found.step_cost) == pytest.approx(found.cost[-1].mean)
    assert found.horizon.tolist() == [1, 10, 100]


def simulated(count, error, recovered, random, steps=100):
    wrong = random.random((count, steps)) < error
    cost = wrong if recovered else np.maximum.accumulate(wrong, axis=1)
    return np.cumsum(cost, axis=1).astype(float)


@pytest.mark.parametrize("recovered", [True, False])
def test_the_interval_of_the_exponent_holds_the_truth_as_often_as_it_says(recovered):
    """200 measurements of 300 episodes each; the truth is the slope of the exact costs. 95 % less five errors: 87 %."""
    random, horizons = np.random.default_rng(0), by_horizon._horizons(None, 100)
    counts = resampled_counts(300, 0).astype(float)
    chain = ErrorChain(recovery="itself" if recovered else "never")
    truth = [chain.expected_cost(0.002, horizon=int(h)) for h in horizons]
    slope = np.polyfit(np.log(horizons), np.log(truth), 1)[0]
    found = []
    for _ in range(200):
        cost = simulated(300, 0.002, recovered, random)[:, horizons - 1]
        found.append(by_horizon._fitted(horizons, by_horizon._means(cost, counts), 1.0, 300).exponent)
    told = [one for one in found if one is not None]
    assert len(told) > 190
    assert 0.87 < np.mean([one.low < slope < one.high for one in told]) < 1
    assert np.mean([one.mean for one in told]) == pytest.approx(slope, abs=5 * 0.16 / np.sqrt(200))
    other = 3 - round(slope)
    assert np.mean([one.low < other < one.high for one in told]) < 0.02  # and it tells 1 from 2


def test_a_saturated_cost_has_no_exponent():
    """At εH = 10 the cost grows like H where nothing is ever recovered: to tell 1 would be wrong."""
    acts = erring_policy(NEVER, 50)
    found = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=MANY)
    raw = np.polyfit(np.log(found.horizon), np.log([one.mean for one in found.cost]), 1)[0]
    assert raw < 1.4  # what a fit to all of them would say
    assert found.exponent is None
    assert not found.used.any()
    assert "cannot be told: it is saturated; over 12 steps already" in found.finding
    some = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=MANY, horizons=[1, 2, 3, 4, 50])
    assert some.used.tolist() == [True, False, False, False, False]
    assert "only the horizons [1]" in some.finding


def test_horizons_beyond_the_regime_are_left_out_and_said():
    acts = erring_policy(NEVER, 5)
    found = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=MANY, horizons=[5, 8, 12, 18, 50, 100])
    assert found.used.tolist() == [True, True, True, True, False, False]
    assert found.exponent.low > 1.5
    assert "From H = 50 on it is left out: more than 0.125 of the most there can be." in found.finding


def test_no_error_one_episode_and_a_better_clone_have_no_exponent():
    right = cost_by_horizon(erring_policy(NEVER, 0), exact(NEVER), NEVER, episodes=MANY)
    assert (right.exponent, right.error.mean, right.scale) == (None, 0, 0)
    assert "not above 0 beyond its interval" in right.finding
    one = cost_by_horizon(erring_policy(NEVER, 5), exact(NEVER), NEVER, episodes=1)
    assert one.exponent is None
    assert "one episode says nothing" in one.finding
    worse = PolicyExpert(erring_policy(NEVER, 250))
    better = cost_by_horizon(erring_policy(NEVER, 0), worse, NEVER, episodes=MANY)
    assert better.exponent is None
    assert "negative" in better.finding
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
    first = cost_by_horizon(acts, exact(NEVER), NEVER, episodes=MANY)
    other = NEVER.remake(seed=5, num_envs=3)  # the world's own seed and width are not looked at
    assert cost_by_horizon(acts, exact(NEVER), other, episodes=MANY).numbers() == first.numbers()
    assert cost_by_horizon(acts, exact(NEVER), NEVER, episodes=MANY, seed=1).cost != first.cost


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
    with pytest.raises(JourneymanError, match="At least one episode"):
        cost_by_horizon(acts, expert, NEVER, episodes=0)
