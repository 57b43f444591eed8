"""Planners: against the regulator where it is known, past a local optimum where it is not, and as teachers."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import bc, dagger
from journeyman.collect import Demonstrate, play
from journeyman.experts import CEM, ILQR, MPPI, AbstractExpert, LinearRegulator
from journeyman.parts import JourneymanError, describe, rebuild
from journeyman.policies import policy
from journeyman.training import Plan, fit, improve
from journeyman.worlds import GeometricChain, LinearQuadratic, Pendulum, timed

GAMMA = 0.9
LQ = LinearQuadratic(
    [[0.9, 0.2], [0.0, 0.8]],
    [[0.0], [1.0]],
    [[1.0, 0.1], [0.1, 0.5]],
    [[0.3]],
    noise=0.2,
    start=[1.0, -0.5],
    start_std=0.4,
    horizon=10,
    num_envs=8,
)
STATES = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
PENDULUM = Pendulum(horizon=128)
label = eqx.filter_jit(lambda expert, seen: expert.label(seen, jax.random.key(0)))


def regulator():
    return np.asarray(LinearRegulator.of(LQ, GAMMA).label(STATES, jax.random.key(0)))


# -- the regulator ---------------------------------------------------------------------------------------

# γ¹⁵ (largest closed-loop factor)³⁰ < 1e-4: what a longer look would change. Sampling is stopped by its own noise.
STILL = LQ.noiseless()
PLANNERS = {
    "ILQR": (ILQR(LQ, horizon=40, iterations=1, discount=GAMMA), 2e-5),
    "CEM": (CEM(STILL, horizon=15, samples=512, elites=50, iterations=20, discount=GAMMA), 0.05),
    "MPPI": (
        MPPI(STILL, horizon=15, samples=512, iterations=25, std=0.7, decay=0.8, temperature=0.02, discount=GAMMA),
        0.05,
    ),
}


@pytest.mark.parametrize("name", PLANNERS)
def test_a_planner_finds_the_regulator(name):
    planner, tolerance = PLANNERS[name]
    found, best = np.asarray(label(planner, STATES)), regulator()
    assert np.abs(best).max() > 1  # to do nothing would be far off
    assert np.abs(found - best).max() < tolerance


def test_one_iteration_is_the_whole_way_on_a_linear_quadratic_world_and_each_state_costs_what_riccati_says():
    planner = ILQR(LQ, horizon=60, iterations=3, discount=GAMMA)
    x = np.asarray([1.0, 1.0], np.float32)  # the regulator answers −1.17
    plan = eqx.filter_jit(lambda x: planner.plan(LQ.state_of(x), jax.random.key(0)))(jnp.asarray(x))
    p = LQ.cost_matrix(np.asarray(LinearRegulator.of(LQ, GAMMA).gain, float), GAMMA)
    returns = np.asarray(plan.returns)
    np.testing.assert_allclose(returns[1:], -x @ p @ x, rtol=1e-5)
    assert returns[0] < returns[1] - 0.1


def test_the_regulator_leaves_nothing_to_gain_and_a_horizon_or_noise_does_not_change_it():
    gain = np.asarray(LinearRegulator.of(LQ, GAMMA).gain)
    endless = LinearQuadratic(LQ.dynamics, LQ.control, LQ.state_cost, LQ.action_cost, start=LQ.start)
    np.testing.assert_allclose(gain, endless.optimal_gain(GAMMA), atol=1e-7)
    assert np.abs(endless.gradient(gain, 0.0, GAMMA)[0]).max() < 1e-5


# -- the pendulum ----------------------------------------------------------------------------------------

DRAFT = MPPI(PENDULUM, horizon=40, samples=32, iterations=2, std=2.0)
SWING_UP = ILQR(PENDULUM, horizon=40, iterations=4, first=DRAFT)


class _Random(AbstractExpert):
    """Any torque, with nothing in mind; `reach` 0 is none at all."""

    reach: float

    def label(self, observation, key):
        return jax.random.uniform(key, (*observation.shape[:-1], 1), jnp.float32, -self.reach, self.reach + 1e-6)


@functools.cache
def swung(expert=SWING_UP):
    return play(PENDULUM, Demonstrate(expert), episodes=8, seed=3)


def test_it_swings_the_pendulum_up_and_holds_it_and_neither_nothing_nor_chance_nor_ilqr_alone_does():
    returns, seen = swung().episode_returns(), swung().observation
    assert returns.mean() > -300
    assert (np.asarray(seen)[:, 110:, 0] > 0.95).all()  # upright from step 110 to the end, in every episode
    for other in (_Random(0.0), _Random(2.0), ILQR(PENDULUM, horizon=40, iterations=4)):
        assert swung(other).episode_returns().mean() < -500


def test_plans_stay_in_the_box_and_never_get_worse():
    hanging = PENDULUM.state_of(jnp.asarray([-1.0, 0.05, 0.0]))
    plan = eqx.filter_jit(SWING_UP.plan)(hanging, jax.random.key(1))
    assert float(jnp.abs(plan.actions).max()) <= 2.0
    assert float(jnp.abs(plan.actions).max()) > 1.99  # hanging, it takes all the torque there is
    assert (np.diff(np.asarray(plan.returns)) >= 0).all()
    assert plan.returns.shape == (5,)


SAMPLERS = {"CEM": functools.partial(CEM, samples=64, elites=16), "MPPI": functools.partial(MPPI, samples=64)}


def planned(name, edge, beyond):
    """A plan of five steps where actions larger than `edge` have the reward `beyond`."""

    class Cliff(LinearQuadratic):
        def step(self, state, action, key):
            state, outcome = super().step(state, action, key)
            return state, outcome._replace(reward=jnp.where((jnp.abs(action) > edge).any(), beyond, outcome.reward))

    world = Cliff(0.9, 1.0, start=1.0, horizon=40)
    return SAMPLERS[name](world, horizon=5).plan(world.state_of(jnp.asarray([1.0])), jax.random.key(0))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("beyond", [jnp.nan, jnp.inf])
def test_a_plan_whose_return_is_not_finite_does_not_count(name, beyond):
    # A normal number is beyond 1.5 with probability .13: half of the plans of five steps have no return.
    found = planned(name, 1.5, beyond)
    best = -0.5375  # five steps of Riccati: k = 0.9 p/(1 + p), p ← 1 + 0.81 p/(1 + p) from p = 0
    assert np.isfinite(np.asarray(found.returns)).all()
    assert float(found.returns[-1]) > float(found.returns[0])
    assert abs(float(found.actions[0, 0]) - best) < 0.1


@pytest.mark.parametrize("name", SAMPLERS)
def test_where_no_return_is_finite_the_plan_stays(name):
    np.testing.assert_array_equal(np.asarray(planned(name, -1.0, jnp.nan).actions), 0.0)


# -- teaching --------------------------------------------------------------------------------------------


@functools.cache
def taught():
    """A clone of ILQR's actions in the linear-quadratic world."""
    expert = ILQR(LQ, horizon=12, iterations=1, discount=GAMMA)
    demonstrations = play(LQ, Demonstrate(expert), episodes=20, seed=1)
    clone = policy(LQ, jax.random.key(1), hidden=())
    return expert, demonstrations, fit(bc(2e-2, epochs=100, batch_size=64), clone, demonstrations).policy


def test_a_clone_of_a_planner_has_the_regulator_s_gain():
    _, demonstrations, clone = taught()
    assert (np.asarray(demonstrations.source)[np.asarray(demonstrations.valid)] == 1).all()
    assert np.abs(np.asarray(clone.mode(STATES)) - regulator()).max() < 0.03


def test_a_planner_labels_for_dagger_inside_the_compiled_rollout():
    expert, demonstrations, _ = taught()
    learner = dagger(expert, learning_rate=2e-2, epochs=50, batch_size=64)
    fresh = policy(LQ, jax.random.key(2), hidden=())
    before = np.abs(np.asarray(fresh.mode(STATES)) - regulator()).max()
    done = improve(learner, fresh, LQ, Plan(steps=3 * 176, batch=176), demonstrations=demonstrations)
    assert np.abs(np.asarray(done.policy.mode(STATES)) - regulator()).max() < 0.02 < before


# -- refusals --------------------------------------------------------------------------------------------


def test_a_planner_survives_its_description():
    tree, arrays = describe(SWING_UP)
    assert eqx.tree_equal(rebuild(tree, arrays), SWING_UP)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: MPPI(GeometricChain()), "MPPI plans real actions, and 'GeometricChain' takes one of finitely many"),
        (lambda: CEM(PENDULUM, elites=1), "CEM keeps 2 or more but not all of its samples, not 1 of 256"),
        (lambda: MPPI(PENDULUM, temperature=0.0), r"temperature \(0.0\) are positive"),
        (lambda: ILQR(PENDULUM, iterations=0), "ILQR needs one or more iterations, not 0"),
        (lambda: ILQR(PENDULUM, horizon=9, first=DRAFT), "ILQR looks 9 steps ahead and its first planner 40"),
        (lambda: ILQR(PENDULUM, discount=1.5), r"discount in \(0, 1\], not 30 steps at 1.5"),
        (lambda: GeometricChain().noiseless(), "'GeometricChain' does not say what it is without its noise"),
        (
            lambda: GeometricChain().state_of(jnp.ones(1)),
            "does not say which state the world is in",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused(build, said):
    with pytest.raises(JourneymanError, match=said):
        build()


def test_a_world_that_hides_what_the_one_inside_it_shows_is_refused():
    with pytest.raises(JourneymanError, match=r"CEM needs 'settable state' .* none of Timed, Pendulum can give it"):
        CEM(timed(Pendulum(horizon=5)))


def test_a_world_whose_observation_hides_its_state_is_refused():
    from journeyman.worlds import AbstractPureWorld, Box, Outcome

    class Curtain(AbstractPureWorld):
        gives = frozenset({"world", "rewards"})
        name: str = "Curtain"
        num_envs: int = 1
        seed: int = 0
        horizon: int | None = None
        observation_space: Box = Box.unbounded(1)
        action_space: Box = Box.unbounded(1)

        def reset(self, key):
            return jnp.zeros(2)

        def step(self, state, action, key):
            return state, Outcome(jnp.zeros(()), jnp.zeros((), bool), jnp.zeros((), bool))

        def observe(self, state):
            return state[:1]

    with pytest.raises(JourneymanError, match=r"CEM needs 'settable state'"):
        CEM(Curtain())
    with pytest.raises(JourneymanError, match=r"(?s)ILQR needs 'differentiable dynamics'.*ILQR needs 'settable state'"):
        ILQR(Curtain())
