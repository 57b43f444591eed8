"""Imitation by practice: it lands where the divergence says, needs no reward, and runs wherever `improve` does."""

import dataclasses
import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import airl, bc, fairl, gail, match_occupancy, natural_gradient
from journeyman.collect import Mean, Sample, play
from journeyman.diagnose import evaluate
from journeyman.episodes import Episodes
from journeyman.geometry import Euclidean
from journeyman.objectives import WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, Gaussian, policy
from journeyman.training import Adam, Learner, Plan, fit, improve, sweep
from journeyman.weights import (
    AbstractDivergence,
    Advantage,
    ConstantBaseline,
    Discriminator,
    ForwardKL,
    JensenShannon,
    NetworkBaseline,
    Occupancy,
    ReverseKL,
    Unscaled,
)
from journeyman.worlds import Box, Demonstrated, LinearQuadratic, TwoState

SLOW = pytest.mark.slow
SMALL = NetworkBaseline(hidden=(8,), epochs=1, batch_size=64)
QUICK = Discriminator((32,), 4, 64, learning_rate=1e-2, limit=None)


# -- actions alone, from samples ------------------------------------------------------------------------


def two_humps(count: int = 6000, mean: float = 2.0, std: float = 0.5) -> Episodes:
    """Samples of ½N(−m, s²) + ½N(m, s²), beside a constant."""
    draw = np.random.default_rng(0)
    action = draw.choice([-mean, mean], count) + std * draw.standard_normal(count)
    return Episodes.episode(np.ones((count + 1, 1), np.float32), action[:, None].astype(np.float32))


def landed(divergence: AbstractDivergence, mean: float, std: float) -> tuple[float, float]:
    """Mean and deviation of a Gaussian that starts at the given ones and only sees samples."""
    shown = two_humps()
    world = Demonstrated.of(shown, Box.unbounded(1), num_envs=512)
    actor = policy(world, jax.random.key(0), hidden=())
    assert isinstance(actor.head, Gaussian)
    leaves = lambda p: (p.network.weights[0], p.network.biases[0], p.head.log_std)  # noqa: E731
    raw = actor.head.bounds.inverse(jnp.full(1, np.log(std))) + 0.5
    actor = eqx.tree_at(leaves, actor, (jnp.zeros((1, 1)), jnp.full(1, mean), raw))
    inner = Advantage(discount=1.0, baseline=ConstantBaseline(), scaling=Unscaled())
    weight = Occupancy(divergence, bound=4.0, discriminator=QUICK, inner=inner)
    learner = Learner(weight, WeightedLogLikelihood(), Euclidean(), Adam(1e-2))
    found = improve(learner, actor, world, Plan(steps=512 * 500, batch=512, seed=0), demonstrations=shown).policy
    spread = found.distribution(jnp.ones((1, 1)))
    return float(spread.mean[0, 0]), float(np.sqrt(spread.variance[0, 0]))


def test_forward_kl_from_samples_averages_the_modes() -> None:
    mean, std = landed(ForwardKL(), 0.5, 1.5)
    assert abs(mean) < 0.4
    assert std == pytest.approx(2.06, abs=0.25)


@pytest.mark.slow
def test_reverse_kl_from_samples_seeks_one() -> None:
    mean, std = landed(ReverseKL(), 1.5, 0.8)
    assert mean == pytest.approx(2.0, abs=0.2)
    assert std == pytest.approx(0.5, abs=0.15)


# -- occupancies ----------------------------------------------------------------------------------------

WORLD = LinearQuadratic(0.9, horizon=20, start_std=1.0, num_envs=32)
PLAN = Plan(steps=60 * 640, batch=640, seed=2)


def regulator(gain: float) -> DensityPolicy:
    """u ~ N(gain · x, .1²)."""
    one = policy(WORLD, jax.random.key(0), hidden=())
    assert isinstance(one.head, Gaussian)
    raw = one.head.bounds.inverse(jnp.full(1, np.log(0.1))) + 0.5
    leaves = lambda p: (p.network.weights[0], p.network.biases[0], p.head.log_std)  # noqa: E731
    return eqx.tree_at(leaves, one, (jnp.full((1, 1), gain), jnp.zeros(1), raw))


@functools.cache
def shown(gain: float = -0.7) -> Episodes:
    """Somebody steers, and nobody says what it is worth."""
    data = play(WORLD, Sample(regulator(gain)), episodes=40, seed=0)
    return dataclasses.replace(data, reward=np.zeros_like(data.reward))


@pytest.mark.parametrize(
    ("recipe", "gain"),
    [(gail, -0.7), pytest.param(gail, 0.2, marks=SLOW), pytest.param(airl, -0.7, marks=SLOW), (fairl, -0.7)],
)
def test_practice_finds_the_demonstrators_gain_whatever_it_pays(recipe: Callable[..., Learner], gain: float) -> None:
    learner = recipe(discriminator=QUICK, baseline=SMALL, discount=0.9, kl=5e-3)
    plan = dataclasses.replace(PLAN, steps=120 * 640)
    found = improve(learner, policy(WORLD, jax.random.key(5), hidden=()), WORLD, plan, demonstrations=shown(gain))
    answers = found.policy.mode(jnp.asarray([[-1.0], [1.0]]))[:, 0]
    assert float(answers[1] - answers[0]) / 2 == pytest.approx(gain, abs=0.15)
    told = [float(row["told_apart"]) for row in found.rows]
    assert max(told[:20]) > 0.65
    assert np.mean(told[-20:]) == pytest.approx(0.5, abs=0.05)


def furthest(one: DensityPolicy, other: DensityPolicy) -> float:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


@pytest.mark.slow
def test_the_worlds_reward_does_not_count() -> None:
    plan = dataclasses.replace(PLAN, steps=4 * 640)
    learner = gail(baseline=SMALL)
    actor = policy(WORLD, jax.random.key(5), hidden=())
    dear = LinearQuadratic(0.9, horizon=20, start_std=1.0, num_envs=32, action_cost=9.0)
    one, other = (improve(learner, actor, world, plan, demonstrations=shown()).policy for world in (WORLD, dear))
    assert furthest(one, other) < 1e-4  # two programs: up to rounding
    plain = natural_gradient(baseline=SMALL)
    first, second = (improve(plain, actor, world, plan).policy for world in (WORLD, dear))
    assert furthest(first, second) > 1e-2  # the control: where it counts, it is seen


def test_finite_actions() -> None:
    """Somebody always moves to the other state; staying pays more."""
    world = TwoState(horizon=10, num_envs=16)
    mover = policy(world, jax.random.key(0), hidden=())
    leaves = lambda p: (p.network.weights[0], p.network.biases[0])  # noqa: E731
    mover = eqx.tree_at(leaves, mover, (jnp.zeros((2, 2)), jnp.asarray([-9.0, 9.0])))
    data = play(world, Sample(mover), episodes=20, seed=0)
    learner = gail(discriminator=QUICK, baseline=SMALL, kl=2e-3)
    actor = policy(world, jax.random.key(1), hidden=())
    found = improve(learner, actor, world, Plan(steps=60 * 320, batch=320, seed=0), demonstrations=data).policy
    seen = play(world, Sample(found), episodes=50, seed=1)
    assert np.asarray(seen.action)[np.asarray(seen.valid)].mean() > 0.9


@pytest.mark.slow
def test_members_of_a_sweep_are_single_runs() -> None:
    learner, plan = gail(baseline=SMALL, kl=1e-3), dataclasses.replace(PLAN, steps=4 * 640)
    actors = [policy(WORLD, jax.random.key(i), hidden=()) for i in range(2)]
    found = sweep(learner, actors, WORLD, plan, demonstrations=shown())
    alone = improve(learner, actors[1], WORLD, dataclasses.replace(plan, seed=plan.seed + 1), demonstrations=shown())
    for one, other in zip(jax.tree.leaves(found.policies[1]), jax.tree.leaves(alone.policy), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


@pytest.mark.slow
def test_a_clone_may_be_where_it_begins() -> None:
    clone = fit(bc(1e-2, epochs=20), policy(WORLD, jax.random.key(5), hidden=()), shown()).policy
    before = evaluate(clone, WORLD, episodes=20)
    plan = dataclasses.replace(PLAN, steps=10 * 640, minimum_std=0.1)
    learner = gail(discriminator=Discriminator((32,)), baseline=SMALL, kl=1e-3)
    moved = improve(learner, clone, WORLD, plan, demonstrations=shown()).policy
    assert not np.allclose(moved.mode(jnp.ones((1, 1))), clone.mode(jnp.ones((1, 1))), atol=1e-3)
    after = evaluate(moved, WORLD, episodes=20)
    assert after.score("return").mean == pytest.approx(before.score("return").mean, abs=0.3)


# -- refusals -------------------------------------------------------------------------------------------


class TestRefusals:
    actor = policy(WORLD, jax.random.key(5), hidden=())

    def test_no_demonstrations(self) -> None:
        for run in (
            lambda: improve(gail(), self.actor, WORLD, PLAN),
            lambda: sweep(gail(), [self.actor], WORLD, PLAN),
        ):
            with pytest.raises(JourneymanError, match="Occupancy compares with demonstrations, and there are none"):
                run()

    def test_demonstrations_that_nobody_reads(self) -> None:
        with pytest.raises(JourneymanError, match="has no place for demonstrations"):
            sweep(natural_gradient(), [self.actor], WORLD, PLAN, demonstrations=shown())

    def test_demonstrations_of_another_world(self) -> None:
        other = Episodes.episode(np.zeros((5, 3), np.float32), np.zeros((4, 1), np.float32))
        with pytest.raises(JourneymanError, match="observations have shapes"):
            improve(gail(), self.actor, WORLD, PLAN, demonstrations=other)

    def test_demonstrations_without_a_step(self) -> None:
        nothing = dataclasses.replace(
            shown(),
            valid=np.zeros_like(shown().valid),
            truncated=np.zeros_like(shown().valid),
            terminated=np.zeros_like(shown().valid),
        )
        with pytest.raises(JourneymanError, match="hold no valid step"):
            improve(gail(), self.actor, WORLD, PLAN, demonstrations=nothing)
        with pytest.raises(JourneymanError, match="no state was shown"):
            Demonstrated.of(nothing, Box.unbounded(1))

    def test_fit_has_nowhere_to_act(self) -> None:
        with pytest.raises(JourneymanError, match=r"nowhere to act; use `improve`"):
            fit(match_occupancy(JensenShannon()), self.actor, shown())


def test_demonstrated_states_come_up_alike() -> None:
    data = play(WORLD, Mean(regulator(-0.7)), episodes=3, seed=0)
    world = Demonstrated.of(data, WORLD.action_space)
    states = jax.vmap(world.reset)(jax.random.split(jax.random.key(0), 6000))
    count = np.bincount(np.asarray(states), minlength=60)
    assert len(count) == data.num_steps == 60
    assert 60 < count.min() <= count.max() < 145  # 100 each, four deviations
    seen = np.asarray(jax.vmap(world.observe)(jnp.arange(60)))
    assert (seen == np.asarray(data.now)[np.asarray(data.valid)]).all()
    outcome = world.step(states[0], jnp.zeros(1), jax.random.key(0))[1]
    assert (float(outcome.reward), bool(outcome.terminated), bool(outcome.truncated)) == (0.0, True, False)
