"""The variance-optimal baseline: against a loop over episodes and closed forms; what must not matter does not."""

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from journeyman.collect import Sample, rollout, start
from journeyman.episodes import Episodes, concatenate
from journeyman.geometry import Euclidean, Fisher
from journeyman.objectives import JacobianPenalty, Samples, VarianceOptimal, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, partition, policy
from journeyman.training import Adam, KLRadius, Learner, Plan, improve
from journeyman.weights import Return, RewardToGo
from journeyman.worlds import LinearQuadratic
from tests.objectives.test_baseline_bias import EPISODES, SIGMAS, chain, gaussian

WORLD = LinearQuadratic(noise=0.1, start_std=1.0, horizon=3, num_envs=3)


@functools.cache
def streams() -> tuple[DensityPolicy, Episodes]:
    """Three streams of nine steps: episodes of three steps, resets, and a piece at the end."""
    one = policy(WORLD, jax.random.key(0), hidden=(2,))
    _, episodes = rollout(WORLD, Sample(one), start(WORLD), jax.random.key(1), 9)
    return one, jax.tree.map(jnp.asarray, episodes)


@functools.cache
def scores() -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Of each episode: the scores of its steps `(steps, numbers)`, their weights, their step numbers."""
    one, episodes = streams()
    trained, fixed = partition(one)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0, 0))
    def score(leaves: Any, observation: Any, target: Any) -> Any:
        return ravel_pytree(jax.grad(lambda x: eqx.combine(x, fixed).log_prob(observation, target))(leaves))[0]

    parts = list(episodes.unpack())
    return (
        [np.asarray(score(trained, p.now, p.target), np.float64) for p in parts],
        [np.asarray(RewardToGo(0.9)((), p).weight, np.float64) for p in parts],
        [np.asarray(p.elapsed) for p in parts],
    )


def slowly(per_parameter: bool, times: int, folds: int) -> np.ndarray:
    """The gradient of −J, one episode and one parameter at a time."""
    found, weight, elapsed = scores()
    inner = (lambda a, b: a * b) if per_parameter else (lambda a, b: np.full_like(a, (a * b).sum()))
    total = np.zeros(found[0].shape[1])
    for i, s in enumerate(found):
        total += (s * weight[i][:, None]).sum(0)
        others = [j for j in range(len(found)) if folds == 1 or j % folds != i % folds]
        for time in range(times):
            cross = square = 0.0
            for j in others:
                steps = found[j][np.minimum(elapsed[j], times - 1) == time]
                cross += inner(steps.sum(0), (found[j] * weight[j][:, None]).sum(0))
                square += inner(steps.sum(0), steps.sum(0)) if times == 1 else sum(inner(x, x) for x in steps)
            own = s[np.minimum(elapsed[i], times - 1) == time].sum(0)
            total -= np.where(square > 0, cross / np.where(square > 0, square, 1), 0) * own
    return -total / len(found)


@eqx.filter_jit
def gradient(objective: VarianceOptimal, one: DensityPolicy, samples: Samples) -> jax.Array:
    return ravel_pytree(objective.gradient(one, samples)[1])[0]


def samples_of(episodes: Episodes) -> Samples:
    return Samples.of(episodes, RewardToGo(0.9)((), episodes).weight)


def samples_of_return(episodes: Episodes) -> Samples:
    return Samples.of(episodes, Return(1.0)((), episodes).weight)


@pytest.mark.parametrize("per_parameter", [True, False])
@pytest.mark.parametrize(("times", "folds"), [(1, 1), (1, 3), (3, 2)])
def test_the_gradient_against_a_loop(per_parameter: bool, times: int, folds: int) -> None:
    one, episodes = streams()
    objective = VarianceOptimal(EPISODES, per_parameter, times, folds, groups=12, chunk=5)
    expected = slowly(per_parameter, times, folds)
    np.testing.assert_allclose(
        gradient(objective, one, samples_of(episodes)), expected, rtol=2e-3, atol=2e-4 * np.abs(expected).max()
    )
    other = slowly(not per_parameter, times, folds)
    assert not np.allclose(expected, other, rtol=1e-2), "the control"


def test_padding_packing_pieces_and_what_stands_on_padding_change_nothing() -> None:
    one, episodes = streams()
    objective = VarianceOptimal(EPISODES, groups=12, chunk=7)
    apart = concatenate([jax.tree.map(np.asarray, part) for part in episodes.unpack()]).pad(5)
    dirty = eqx.tree_at(lambda e: e.target, apart, np.where(apart.valid[..., None], apart.target, np.nan))
    whole = gradient(objective, one, samples_of(episodes))
    for other in (apart, dirty):
        np.testing.assert_allclose(gradient(objective, one, samples_of(other)), whole, rtol=1e-4, atol=1e-5)
    shuffled = samples_of(episodes).take(jnp.asarray(np.random.default_rng(0).permutation(27)))
    np.testing.assert_allclose(gradient(objective, one, shuffled), whole, rtol=1e-4, atol=1e-5)


# -- closed forms -------------------------------------------------------------------------------------------


def test_the_optimal_baseline_of_one_gaussian_step() -> None:
    # a = 1 + z/2, r = −a². For the mean s ∝ z and b* = −(d² + 3σ²) = −1.75; for log σ, s ∝ z² − 1 and
    # b* = −(E[s²] + E[s² z²]/4)/E[s²] = −(2 + 10/4)/2 = −2.25.
    problem = gaussian()
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), problem.batches)
    samples = samples_of_return(flat)
    objective = VarianceOptimal(EPISODES, folds=1, groups=16_000, chunk=4000)
    found = np.asarray(eqx.filter_jit(objective.baseline)(problem.policy, samples))[0, 0]
    blank = jax.tree.map(jnp.zeros_like, partition(problem.policy)[0])
    z, mass = np.polynomial.hermite_e.hermegauss(20)
    mass = mass / mass.sum()
    for where, s, exact in (
        (lambda p: p.network.biases[0], z, -1.75),
        (lambda p: p.head.log_std, z**2 - 1, -2.25),
    ):
        place = ravel_pytree(eqx.tree_at(where, blank, jnp.ones(1)))[0] > 0
        error = math.sqrt((mass * s**4 * (-((1 + z / 2) ** 2) - exact) ** 2).sum() / 16_000) / (mass * s**2).sum()
        assert abs(float(found[place][0]) - exact) < SIGMAS * error
        assert abs(float(found[place][0]) + 1.25) > SIGMAS * error, "the control: the mean return"


def test_the_optimal_baseline_of_the_chain() -> None:
    # The return L has P(l) = 2^−(l+1), the summed score of the logit is S = (L − 1)/2, and b* = E[S² L]/E[S²] = 4.
    lengths = np.arange(200.0)
    probability, score = 0.5 ** (lengths + 1), (lengths - 1) / 2
    exact = (probability * score**2 * lengths).sum() / (probability * score**2).sum()
    assert exact == pytest.approx(4.0)
    # A trajectory's variance in dJ/dθ = 4 dJ/dlogit: without a baseline, with the mean return, with b*.
    left = [16 * ((probability * (score * (lengths - b)) ** 2).sum() - 1) for b in (0, 1, 4)]
    np.testing.assert_allclose(left, [192, 136, 64])
    problem = chain()
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), problem.batches)
    samples = samples_of_return(flat)
    residual = (probability * score**4 * (lengths - exact) ** 2).sum()
    error = math.sqrt(residual / 16_000) / (probability * score**2).sum()
    for per_parameter in (True, False):
        objective = VarianceOptimal(EPISODES, per_parameter, folds=1, groups=16_000, chunk=4000)
        found = np.asarray(eqx.filter_jit(objective.baseline)(problem.policy, samples))[0, 0]
        assert abs(found[-1] - exact) < SIGMAS * error
    assert exact - 1.0 > 2 * SIGMAS * error, "the control: the mean return is 1"


def test_it_varies_less() -> None:
    # One Gaussian step: 21.75 a trajectory without a baseline, 9.5 with b*. Cross-fitted on 72 of 80 episodes, b has
    # a variance of E[z⁴ (r − b*)²]/72 = 0.245, which adds E[s²] · 0.245 = 0.98.
    problem, each = gaussian(), 80
    grouped = jax.tree.map(lambda x: x.reshape(-1, each, *x.shape[2:]), problem.batches)

    @eqx.filter_jit
    def estimates(objective: Any, batches: Episodes) -> jax.Array:
        def last(batch: Episodes) -> jax.Array:
            return -objective.gradient(problem.policy, samples_of_return(batch))[1].network.biases[0][-1]

        return jax.vmap(last)(batches)

    plain, best = (
        np.asarray(estimates(objective, grouped), np.float64)
        for objective in (EPISODES, VarianceOptimal(EPISODES, folds=10, groups=80, chunk=80))
    )
    spread = SIGMAS * math.sqrt(2 / len(plain))  # of a variance, relatively
    assert abs(each * plain.var() / 21.75 - 1) < spread
    assert abs(each * best.var() / 10.48 - 1) < spread
    assert abs(each * best.var() / 21.75 - 1) > spread
    assert abs(best.mean() + 2) < SIGMAS * best.std() / math.sqrt(len(plain))


# -- loss and gradient --------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [VarianceOptimal(times=20), VarianceOptimal(per_parameter=False)])
def test_what_a_small_step_promises_is_what_it_gains(objective: VarianceOptimal) -> None:
    """The gradient had a baseline and the loss had none, so the gain was that of another function."""
    world = LinearQuadratic(0.9, horizon=20, start_std=0.5, num_envs=32)
    learner = Learner(RewardToGo(), objective, Fisher(), KLRadius(1e-6))
    row = improve(learner, policy(world, jax.random.key(0), hidden=()), world, Plan(steps=2 * 672, batch=672)).rows[-1]
    # 1e-6 nats move by √2e-6 deviations: what is left out is a thousandth.
    assert row["gain"] == pytest.approx(row["predicted_gain"], rel=0.01)


@pytest.mark.parametrize("times", [1, 3])
def test_a_single_baseline_is_in_the_loss_as_it_is_whatever_divides(times: int) -> None:
    one, episodes = streams()
    other = jax.tree.map(lambda x: 1.1 * x if eqx.is_inexact_array(x) else x, one)
    samples = samples_of(episodes)
    for likelihood in (EPISODES, WeightedLogLikelihood("weights")):
        objective = VarianceOptimal(likelihood, per_parameter=False, times=times, groups=12)
        b = objective.baseline(one, samples)[..., 0]
        fold, time = samples.episode % 12 % 2, jnp.minimum(samples.elapsed, times - 1)  # type: ignore[operator]
        less = (samples.weight - b[fold, time]) * samples.valid
        by_hand = -(less * other.log_prob(samples.observation, samples.target)).sum()
        held = objective.fixed_at(one, samples)
        assert float(held(other, samples)) == pytest.approx(float(by_hand / likelihood.divisor(samples)), rel=1e-4)


def test_it_keeps_its_baseline_inside_another_objective() -> None:
    one, episodes = streams()
    bare, samples = VarianceOptimal(EPISODES, groups=12), samples_of(episodes)
    priced = JacobianPenalty(weight=0.0, objective=bare)
    np.testing.assert_allclose(gradient(priced, one, samples), gradient(bare, one, samples), rtol=1e-4, atol=1e-5)  # type: ignore[arg-type]
    other = jax.tree.map(lambda x: 1.1 * x if eqx.is_inexact_array(x) else x, one)
    losses = [float(each.fixed_at(one, samples)(other, samples)) for each in (priced, bare)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] != pytest.approx(float(bare(other, samples)), rel=1e-3), "the control: b of the other policy"


# -- refusals and use -----------------------------------------------------------------------------------


def test_refusals() -> None:
    with pytest.raises(JourneymanError, match=r"a multiple of the folds as groups, not 5; 1, 2, 256 and 64 are usual"):
        VarianceOptimal(groups=5)
    with pytest.raises(JourneymanError, match="VarianceOptimal compares whole episodes, and minibatches would tear"):
        Learner(Return(), VarianceOptimal(), Euclidean(), Adam(), batch_size=32)
    one, episodes = streams()
    samples = eqx.tree_at(lambda s: s.episode, samples_of(episodes), None)
    with pytest.raises(JourneymanError, match="these samples do not say which they belong to"):
        VarianceOptimal().gradient(one, samples)


def test_it_practises() -> None:
    world = LinearQuadratic(noise=0.1, start_std=1.0, horizon=10, num_envs=32)
    learner = Learner(RewardToGo(), VarianceOptimal(times=10), Euclidean(), Adam(0.05))
    start_policy = policy(world, jax.random.key(0), hidden=())
    rows = improve(learner, start_policy, world, Plan(steps=15 * 352, batch=352)).rows
    assert rows[-1]["return"] > 0.7 * rows[1]["return"], "returns are negative: a third of the cost is gone"
    assert isinstance(learner.objective.likelihood, WeightedLogLikelihood)  # type: ignore[attr-defined]
