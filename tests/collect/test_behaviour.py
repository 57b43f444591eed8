"""Who acts and who labels."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import (
    AbstractBehaviour,
    AbstractShare,
    Aggregate,
    Constant,
    Demonstrate,
    Disturbed,
    Evenly,
    Everywhere,
    Exponential,
    FirstRound,
    Inject,
    Isotropic,
    LearnedNoise,
    Linear,
    Mean,
    Mixture,
    OnPolicy,
    RandomCovariance,
    Sample,
    Told,
    Undisturbed,
    play,
    rollout,
    square_root,
    start,
)
from journeyman.episodes import EXPERT, POLICY, Episodes
from journeyman.experts import AbstractExpert, PolicyExpert
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, policy
from journeyman.worlds import Box, LinearQuadratic

WORLD = LinearQuadratic()
SEEN = jnp.linspace(-2.0, 2.0, 4000)[:, None]


def constant(action: float) -> DensityPolicy:
    one = policy(WORLD, jax.random.key(0), hidden=())
    return eqx.tree_at(
        lambda p: (p.network.weights[0], p.network.biases[0]), one, (jnp.zeros((1, 1)), jnp.full(1, action))
    )


LEARNER, TEACHER = constant(-1.0), PolicyExpert(constant(1.0))


def decided(behaviour: AbstractBehaviour, seed: int) -> tuple[jax.Array, Told]:
    """One decision for every observation of `SEEN`, in its three parts."""

    @jax.jit
    def decide(key: jax.Array) -> tuple[jax.Array, Told]:
        action, kept = behaviour.act(SEEN, behaviour.draw(len(SEEN), key))
        return action, behaviour.tell(SEEN, action, kept)

    return decide(jax.random.key(seed))


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_expert_acts_with_its_share_and_always_labels(beta: float) -> None:
    action, said = decided(Mixture(LEARNER, TEACHER, jnp.asarray(beta)), 0)
    by_expert = np.asarray(said.source) == EXPERT
    np.testing.assert_array_equal(action[:, 0], np.where(by_expert, 1.0, -1.0))
    np.testing.assert_array_equal(said.target, np.ones((4000, 1)))
    # Binomial: exact at the ends, 4 standard deviations between.
    assert abs(by_expert.mean() - beta) <= 4 * math.sqrt(beta * (1 - beta) / 4000)
    assert not abs(by_expert.mean() - (beta + 0.1)) <= 4 * math.sqrt(beta * (1 - beta) / 4000)
    assert np.isnan(said.log_prob).all(), "the mixture's density is not that of either"


def test_a_sample_knows_its_own_probability_and_the_mean_does_not() -> None:
    action, said = decided(Sample(LEARNER), 1)
    np.testing.assert_array_equal(said.target, action)
    np.testing.assert_allclose(said.log_prob, LEARNER.log_prob(SEEN, action), rtol=1e-5)
    assert (np.asarray(said.source) == POLICY).all()
    middle, unsaid = decided(Mean(LEARNER), 1)
    np.testing.assert_array_equal(middle, LEARNER.mode(SEEN))
    assert np.isnan(unsaid.log_prob).all()


def test_the_disturbed_expert_does_what_it_did_not_intend_with_the_covariance_it_was_given() -> None:
    plane = LinearQuadratic(np.eye(2), np.eye(2), np.eye(2), np.eye(2))
    still = policy(plane, jax.random.key(0), hidden=())
    still = eqx.tree_at(lambda p: p.network.biases[0], still, jnp.asarray([1.0, -2.0]))
    still = eqx.tree_at(lambda p: p.network.weights[0], still, jnp.zeros((2, 2)))
    wanted = np.asarray([[0.5, 0.3], [0.3, 0.2]])
    behaviour = Disturbed(PolicyExpert(still), square_root(jnp.asarray(wanted)))
    seen = jnp.zeros((200_000, 2))
    action, kept = behaviour.act(seen, behaviour.draw(len(seen), jax.random.key(0)))
    said = behaviour.tell(seen, action, kept)
    np.testing.assert_array_equal(said.target, np.broadcast_to([1.0, -2.0], (200_000, 2)))
    assert (np.asarray(said.source) == EXPERT).all()
    assert np.isnan(said.log_prob).all()
    off = np.asarray(action - said.target)
    # Of a covariance entry the deviation is √((Σ_ij² + Σ_ii Σ_jj) / N): four of them.
    bound = 4 * np.sqrt((wanted**2 + np.outer(np.diag(wanted), np.diag(wanted))) / len(off))
    assert (np.abs(off.T @ off / len(off) - wanted) < bound).all()
    assert not (np.abs(off.T @ off / len(off) - np.diag(np.diag(wanted))) < bound).all(), "correlated it is"


def test_a_root_squares_to_its_covariance_singular_or_not() -> None:
    draw = np.random.default_rng(0).standard_normal((3, 2))
    for wanted in (draw @ draw.T, np.zeros((3, 3)), np.eye(3)):
        root = square_root(jnp.asarray(wanted))
        np.testing.assert_allclose(root @ root, wanted, atol=1e-5)
        np.testing.assert_allclose(root, root.T, atol=1e-6)


def shares(schedule: AbstractShare, rounds: int = 4) -> list[float]:
    collection = Aggregate(TEACHER, beta=schedule)
    return [float(collection.behaviour(LEARNER, (), jnp.asarray(i)).beta) for i in range(rounds)]  # type: ignore[attr-defined]


def test_beta_follows_its_schedule() -> None:
    assert shares(Constant()) == [0.0, 0.0, 0.0, 0.0]
    assert shares(Constant(0.25)) == [0.25] * 4
    assert shares(FirstRound()) == [1.0, 0.0, 0.0, 0.0]
    assert shares(Exponential(0.5)) == pytest.approx([1.0, 0.5, 0.25, 0.125])
    assert shares(Linear(2)) == [1.0, 0.5, 0.0, 0.0], "never below 0"
    assert shares(Linear(1)) == shares(FirstRound())
    assert isinstance(OnPolicy().behaviour(LEARNER, (), jnp.asarray(3)), Sample)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Constant(1.5), "β is a probability, not 1.5"),
        (lambda: Linear(0), "within a number of rounds, not 0"),
        (lambda: Exponential(1.0), "lies between 0 and 1, not at 1.0"),
        (lambda: Evenly(0), "not at every 0th"),
        (lambda: Isotropic(-0.1), "action units of 0 or more, not -0.1"),
        (lambda: Isotropic(float("inf")), "action units of 0 or more, not inf"),
        (lambda: RandomCovariance(float("inf")), "a number of 0 or more, not inf"),
        (lambda: RandomCovariance(float("nan")), "0 or more, not nan"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(JourneymanError, match=said):
        make()


# -- noise ----------------------------------------------------------------------------------------------


def test_the_learned_covariance_is_the_mean_square_of_the_valid_errors() -> None:
    error = np.random.default_rng(1).normal([0.5, -1.0], [1.0, 0.1], (50, 2))
    valid = np.arange(50) % 3 > 0
    found = LearnedNoise().estimated(jnp.eye(2), jnp.where(valid[:, None], error, jnp.nan), jnp.asarray(valid))
    some = error[valid]
    np.testing.assert_allclose(found, some.T @ some / len(some), rtol=1e-5)
    assert not np.allclose(found, np.cov(some.T, bias=True), rtol=0.1), "uncentred: a bias is noise too"
    none = LearnedNoise().estimated(jnp.eye(2), jnp.asarray(error), jnp.zeros(50, bool))
    np.testing.assert_array_equal(none, np.eye(2))
    np.testing.assert_array_equal(LearnedNoise().init(2), np.zeros((2, 2)))


def test_the_controls_do_not_learn() -> None:
    error, valid = jnp.ones((5, 3)), jnp.ones(5, bool)
    for noise in (Undisturbed(), Isotropic(0.3), RandomCovariance(0.5, seed=2)):
        start = noise.init(3)
        np.testing.assert_array_equal(noise.estimated(start, error, valid), start)
    np.testing.assert_allclose(Isotropic(0.3).init(3), 0.09 * np.eye(3), rtol=1e-6)
    np.testing.assert_array_equal(Undisturbed().init(3), np.zeros((3, 3)))
    random = np.asarray(RandomCovariance(0.5, seed=2).init(3))
    assert np.trace(random) == pytest.approx(0.5)
    assert np.linalg.eigvalsh(random).min() > 0
    assert not np.allclose(random, RandomCovariance(0.5, seed=3).init(3))
    assert np.abs(random - np.diag(np.diag(random))).max() > 0.01


def test_errors_are_those_of_what_the_world_does() -> None:
    """Intended 5 and own 3 are one action in a box of ±1."""
    space = Box.symmetric(1.0, 1)
    inject = Inject(TEACHER)
    episode = Episodes.episode(np.zeros((3, 1), np.float32), np.asarray([[5.0], [0.5]], np.float32))
    off, told = inject.updated(jnp.zeros((1, 1)), constant(3.0), episode, space)
    np.testing.assert_allclose(off, [[0.125]])  # (0² + 0.5²) / 2
    assert float(told["simulated_error"]) == pytest.approx(0.125)
    free, _ = inject.updated(jnp.zeros((1, 1)), constant(3.0), episode, LinearQuadratic().action_space)
    np.testing.assert_allclose(free, [[(2.0**2 + 2.5**2) / 2]])


def test_labels_are_asked_for_evenly_inside_each_episode() -> None:
    one, elapsed = LinearQuadratic(num_envs=1), jnp.asarray([[4, 5, 6, 7, 0, 1, 2, 3]])
    episodes = eqx.tree_at(
        lambda e: e.elapsed,
        rollout(one, Mean(LEARNER), start(one), jax.random.key(0), 8)[1],
        elapsed,
    )
    actor = policy(WORLD, jax.random.key(0))
    even, all_ = (np.asarray(query(episodes, actor, (), WORLD.action_space)) for query in (Evenly(3), Everywhere()))
    np.testing.assert_array_equal(even > -np.inf, [[0, 0, 1, 0, 1, 0, 0, 1]])
    np.testing.assert_array_equal(all_ > -np.inf, np.ones((1, 8)))


class _Odd(AbstractExpert):
    answer: Callable[..., Any] = eqx.field(static=True)

    def label(self, observation: Any, key: Any) -> Any:
        return self.answer(observation)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            lambda seen: seen[:, 0],
            r"^The behaviour does not fit '.*': its actions have shape \(\) where the world wants \(1,\)",
        ),
        (lambda seen: seen[:1], r"^The behaviour does not fit '.*': it gives \(1, 1\) for 3 steps where the world"),
    ],
)
def test_what_acts_with_another_shape_than_the_world_takes_is_told_so(answer: Callable[..., Any], says: str) -> None:
    world = LinearQuadratic(horizon=3, num_envs=2)
    with pytest.raises(JourneymanError, match=says):
        play(world, Demonstrate(_Odd(answer)), episodes=2, seed=0)
