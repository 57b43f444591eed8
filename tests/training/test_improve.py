"""`improve`: from a clone to a better policy without a collapse, each program compiled once, refusals at once."""

import dataclasses
import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, PyTree

from journeyman.algorithms import bc, dagger, dart, distill, gail, natural_gradient, reinforce, trpo
from journeyman.collect import Mean, play, rollout, start
from journeyman.collect import Sample as Draw
from journeyman.episodes import Episodes
from journeyman.experts import AbstractExpert, PolicyExpert
from journeyman.geometry import Euclidean, Fisher
from journeyman.objectives import WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, floored, is_fresh, policy
from journeyman.training import EVALUATION_SEED, KLRadius, Learner, Optax, Plan, fit, improve, sweep
from journeyman.training._iteration import _clipped_share
from journeyman.training._recorder import Recorder
from journeyman.training._tally import Tally
from journeyman.weights import (
    Advantage,
    ConstantBaseline,
    LeaveOneOutBaseline,
    NetworkBaseline,
    NoBaseline,
    RewardToGo,
    TimeVaryingBaseline,
    Unscaled,
    Weighed,
)
from journeyman.worlds import Box, GeometricChain, LinearQuadratic, timed

# x' = x + u + noise, clone u ≈ −.15 x where −.6 x is near the optimum: there is much to win and much to lose.
WORLD = LinearQuadratic(noise=0.1, start_std=1.0, horizon=20, num_envs=16)
TRACES: list[str] = []


class _TracedAdvantage(Advantage):
    """The same weight; every time it is traced it leaves a mark."""

    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        TRACES.append("weigh")
        return super().__call__(state, episodes)

    def fit(self, state: PyTree, *arguments: Any) -> PyTree:
        TRACES.append("refit")
        return super().fit(state, *arguments)


class _TracedLikelihood(WeightedLogLikelihood):
    """The same loss; every time it is traced it leaves a mark."""

    def measured_gradient(self, policy: Any, samples: Any) -> tuple[tuple[Array, dict[str, Array]], PyTree]:
        TRACES.append("learn")
        return super().measured_gradient(policy, samples)


LEARNER = Learner(
    _TracedAdvantage(0.99, 0.95, NetworkBaseline(hidden=(8,), epochs=5, batch_size=80, learning_rate=1e-2)),
    _TracedLikelihood(),
    Fisher(1e-3, 10),
    KLRadius(0.02),
)
PLAN = Plan(steps=12 * 320, batch=320, evaluation_episodes=20, evaluate_every=1, minimum_std=0.3)


def linear(gain: float, std: float = 0.05) -> DensityPolicy:
    """u ~ N(gain · x, std²), with statistics of its own."""
    one = policy(WORLD, jax.random.key(0), hidden=())
    return eqx.tree_at(
        lambda p: (p.network.weights[0], p.head.log_std, p.normalizer.count),
        one,
        (jnp.full((1, 1), gain), one.head.bounds.inverse(jnp.full(1, np.log(std))), jnp.asarray(100.0)),  # type: ignore[attr-defined]
    )


@functools.cache
def demonstrations() -> Episodes:
    return play(WORLD, Draw(linear(-0.15)), episodes=8, seed=1)


@functools.cache
def handed_over() -> tuple[DensityPolicy, Any, list[tuple[int, ...]]]:
    """A clone, what became of it, and how many traces there were at each row."""
    clone = fit(
        bc(1e-2, epochs=60, batch_size=40), policy(WORLD, jax.random.key(0), hidden=()), demonstrations()
    ).policy
    marks: list[tuple[int, ...]] = []
    names = ("weigh", "learn", "refit")
    TRACES.clear()
    listen = Recorder(listen=lambda row: marks.append(tuple(TRACES.count(name) for name in names)))
    return clone, improve(LEARNER, clone, WORLD, PLAN, record=listen), marks


def evaluated(one: DensityPolicy) -> float:
    returns = play(WORLD, Mean(one), episodes=20, seed=EVALUATION_SEED).episode_returns()
    return float(returns.astype(np.float64).mean())


# -- from a clone to a better policy --------------------------------------------------------------------


def test_before_step_0_the_clone_is_what_is_evaluated_floor_and_all() -> None:
    clone, improved, _ = handed_over()
    first = improved.rows[0]
    assert (first["step"], first["iteration"]) == (0, 0)
    assert first["evaluation_return"] == evaluated(clone) == evaluated(floored(clone, 0.3))
    assert float(clone.distribution(jnp.zeros((1, 1))).base_dist.scale.max()) < 0.3, "the floor had work to do"
    assert float(improved.policy.distribution(jnp.zeros((1, 1))).base_dist.scale.min()) >= 0.3, "and did it"


def test_the_first_batch_goes_to_the_baseline_and_moves_nothing() -> None:
    _clone, improved, _ = handed_over()
    warm, then = improved.rows[1], improved.rows[2]
    assert "kl" not in warm
    assert "loss" not in warm
    assert then["kl"] > 0
    # The batch is counted into the statistics and the function is kept, to rounding.
    assert warm["evaluation_return"] == pytest.approx(improved.rows[0]["evaluation_return"], rel=1e-4)
    assert then["explained_variance"] > warm["explained_variance"] + 0.2, "the baseline knows the clone's own returns"


def test_the_baseline_that_is_subtracted_has_never_seen_its_batch() -> None:
    """A mean leaves a mean of 0 of the batch that it was fitted to, and the difference of two batches of another."""
    learner = reinforce(1e-3, discount=1.0, baseline=ConstantBaseline())
    plan = Plan(steps=5 * 336, batch=336, staggered=False)  # 21 × 16: whole episodes
    rows = improve(learner, linear(-0.15), timed(WORLD, shown=False), plan).rows
    means = [abs(row["advantage_mean"]) / row["advantage_deviation"] for row in rows]
    assert min(means) > 1e-3


def test_the_first_steps_do_not_collapse_and_the_clone_gets_better() -> None:
    _, improved, _ = handed_over()
    returns = np.asarray([row["evaluation_return"] for row in improved.rows])
    assert returns[:6].min() > returns[0] - 0.1 * abs(returns[0])
    assert returns[-1] > 0.8 * returns[0], "returns are negative: a fifth of the cost is gone"
    assert improved.rows[-1]["step"] == PLAN.steps


def test_each_program_is_traced_once() -> None:
    _, _, marks = handed_over()
    # Row 2 is the first with a policy step; nothing is traced from then on.
    assert marks[2] == marks[-1]
    assert marks[-1][0] == 1
    assert marks[-1][2] == 1
    assert marks[-1][1] == 1


def test_a_fresh_policy_takes_its_statistics_from_its_first_batch() -> None:
    fresh = policy(WORLD, jax.random.key(0), hidden=())
    found = improve(LEARNER, fresh, WORLD, dataclasses.replace(PLAN, steps=640, evaluation_episodes=0))
    assert is_fresh(fresh)
    assert not is_fresh(found.policy)
    assert float(found.policy.normalizer.count) == pytest.approx(2 * 320, abs=32), "without the reset steps"
    assert "kl" not in found.rows[0]
    assert "kl" in found.rows[1]


# -- dagger ---------------------------------------------------------------------------------------------


def test_aggregation_keeps_everything_and_ends_at_the_expert() -> None:
    expert = linear(-0.6)
    taught = play(WORLD, Mean(expert), episodes=1, seed=0)
    plan = Plan(steps=8 * 64, batch=64, evaluation_episodes=20)
    learner = dagger(PolicyExpert(expert), learning_rate=3e-2, epochs=30, batch_size=64)
    fresh = policy(WORLD, jax.random.key(0), hidden=())
    found = improve(learner, fresh, WORLD, plan, demonstrations=taught)
    assert found.rows[-1]["evaluation_return"] == pytest.approx(evaluated(expert), rel=0.05)
    assert found.rows[0]["evaluation_return"] < 1.5 * evaluated(expert), "the control: it was far from it"
    # Its statistics are those of the demonstrations, as in `fit`.
    assert not is_fresh(found.policy)
    assert float(found.policy.normalizer.count) == taught.num_steps


# -- counting -------------------------------------------------------------------------------------------


def test_returns_are_counted_across_the_borders_of_batches() -> None:
    world = LinearQuadratic(horizon=5, start_std=1.0, num_envs=3)
    whole = rollout(world, Draw(linear(-0.3)), start(world), jax.random.key(0), 24)[1]
    tally, returns, lengths = Tally.fresh(3), [], []
    for begin, end in ((0, 4), (4, 5), (5, 6), (6, 17), (17, 24)):
        tally, found = tally.count(whole.cut(begin, end))
        ended = np.asarray(found.ended)
        returns += np.asarray(found.returns)[ended].tolist()
        lengths += np.asarray(found.lengths)[ended].tolist()
    np.testing.assert_allclose(sorted(returns), np.sort(whole.episode_returns()), rtol=1e-5)
    assert lengths == [5] * 12


# -- refusals -------------------------------------------------------------------------------------------


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(JourneymanError) as found:
        improve(*arguments, **options)
    return str(found.value)


def test_a_step_is_clipped_where_any_action_lies_beyond_either_bound_and_padding_is_none() -> None:
    action = np.asarray([[0.0, 1.0], [0.0, 1.1], [-1.1, 0.0], [2.0, -2.0], [9.0, 9.0]], np.float32)
    episodes = Episodes.episode(np.zeros((6, 1), np.float32), action)
    episodes = eqx.tree_at(lambda e: e.valid, episodes, np.arange(5).reshape(episodes.valid.shape) < 4)
    assert float(_clipped_share(Box.symmetric(1.0, 2), episodes)) == pytest.approx(3 / 4)


def test_nothing_to_do_and_too_small_a_batch_are_told_at_once() -> None:
    plan = Plan(steps=0, batch=8, evaluate_every=0, minimum_std=0.0)
    message = refused(LEARNER, linear(0.0), WORLD, plan)
    assert message.startswith("4 things are wrong")
    assert "`steps` must be a whole number of 1 or more, not 0" in message
    assert "A batch of 8 steps is less than one for each of 16 environments" in message
    assert "`evaluate_every` must be a whole number of 1 or more, not 0" in message
    assert "A floor under the standard deviation is positive, not 0.0" in message


def test_a_floor_above_the_head_s_maximum_is_refused_before_a_folder_is_made(tmp_path: Any) -> None:
    """It was taken, and the step that was not a number was laid to the learning rate."""
    plan, record = Plan(steps=64, batch=64, minimum_std=8.0), Recorder(tmp_path / "run")
    said = "A floor under the deviation lies between 0 and the head's maximum of 7.39 half box widths, not at 8"
    assert refused(LEARNER, linear(0.0), WORLD, plan, record=record).startswith(said)
    assert not (tmp_path / "run").exists()
    with pytest.raises(JourneymanError, match=said):
        sweep(LEARNER, [linear(0.0)], WORLD, plan)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("steps", value) for value in (math.nan, math.inf, "100", 1.5, True)),
        ("batch", 64.0),
        ("seed", 1.5),
        ("evaluation_episodes", 2.5),
        ("evaluate_every", 2.5),
        ("checkpoint_every", 1.5),
        ("staggered", "no"),
    ],
)
def test_a_plan_of_what_is_no_number_is_refused_in_a_sentence(name: str, value: Any) -> None:
    """Of nan steps came the policy as it was and no row; 2.5 evaluations were a traceback; "no" was yes."""
    plan = Plan(steps=64, batch=64)
    object.__setattr__(plan, name, value)  # types are checked in tests only
    assert refused(LEARNER, linear(0.0), WORLD, plan).startswith(f"`{name}` ")


def test_the_last_seed_of_a_sweep_is_a_seed() -> None:
    """Its keys were those of seed 0."""
    plan = Plan(steps=64, batch=64, seed=2**32 - 2)
    with pytest.raises(JourneymanError, match="The last of 3 seeds from 4294967294 is 4294967296, and the largest"):
        sweep(LEARNER, [linear(0.0)] * 3, WORLD, plan)


@pytest.mark.parametrize("recipe", [reinforce, natural_gradient, trpo, gail])
def test_a_batch_of_one_is_refused_where_the_batch_s_mean_is_subtracted(recipe: Any) -> None:
    """It ran for ever with loss 0, or refused every step for a gradient of zero."""
    single, plan = LinearQuadratic(noise=0.1, start_std=1.0, horizon=20, num_envs=1), Plan(steps=4, batch=1)
    shown = play(single, Draw(linear(0.0)), episodes=1, seed=0) if recipe is gail else None
    message = refused(recipe(), linear(0.0), single, plan, demonstrations=shown)
    assert "A batch of 1 step is too small:" in message
    assert "subtracts the batch's mean, which leaves nothing of fewer than 2" in message
    with pytest.raises(JourneymanError, match="A batch of 1 step is too small"):
        sweep(reinforce(), [linear(0.0)], single, plan)


def test_a_batch_of_one_is_learned_from_where_nothing_is_subtracted() -> None:
    single = LinearQuadratic(noise=0.1, start_std=1.0, horizon=20, num_envs=1)
    raw = reinforce(1e-2, scaling=Unscaled(), baseline=NoBaseline())
    done = improve(raw, linear(0.0), single, Plan(steps=3, batch=1))
    assert not eqx.tree_equal(done.policy.network, linear(0.0).network)


def test_a_policy_for_another_world() -> None:
    chooser = policy(GeometricChain(), jax.random.key(0), hidden=())
    message = refused(LEARNER, chooser, WORLD, PLAN)
    assert "'LinearQuadratic' takes real actions of shape (1,), a Categorical gives shape ()" in message
    message = refused(LEARNER, linear(0.0), GeometricChain(num_envs=2), PLAN)
    assert "'GeometricChain' takes one of finitely many actions of shape (), a Gaussian gives shape (1,)" in message
    plane = LinearQuadratic(np.eye(2), np.eye(2, 1), np.eye(2), 1.0)
    assert "shows observations of shapes ((2,),), the policy reads ((1,),)" in refused(
        LEARNER, linear(0.0), plane, PLAN
    )


def test_aggregation_without_demonstrations() -> None:
    learner = dagger(PolicyExpert(linear(-0.6)))
    assert "Aggregate adds to demonstrations, and there are none" in refused(learner, linear(0.0), WORLD, PLAN)


class _Teacher(AbstractExpert):
    """An expert that answers in a way that can be chosen."""

    answer: Any = eqx.field(static=True)

    def label(self, observation: Any, key: Any) -> Any:
        return self.answer(observation)


def _asked(recipe: Any, answer: Any) -> str:
    taught = play(WORLD, Mean(linear(-0.6)), episodes=1, seed=0)
    with pytest.raises(JourneymanError) as refusal:
        improve(recipe(_Teacher(answer)), linear(0.0), WORLD, PLAN, demonstrations=taught)
    return str(refusal.value)


@pytest.mark.usefixtures("unannotated")
@pytest.mark.parametrize("recipe", [dagger, dart])
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            lambda o: jnp.zeros((len(o), 2)),
            "does not fit 'LinearQuadratic': its actions have shape (2,) where the world",
        ),
        (
            lambda o: jnp.zeros(len(o)),
            "does not fit 'LinearQuadratic': its actions have shape () where the world wants (1",
        ),
        (lambda o: jnp.zeros((1, 1)), "it gives (1, 1) for 3 steps where the world wants (1,)"),
        (lambda o: o.reshape(-1, 2), "it cannot read observations of shape (1,)"),
        (lambda o: None, "it answers with a NoneType where an array of actions is needed"),
        (lambda o: np.asarray(o), "The expert cannot be compiled, because it asks for the numbers of an observation"),
        (lambda o: -o if float(o[0, 0]) > 0 else o, "write it in jax.numpy and jax.lax, or call what cannot be so by"),
    ],
)
def test_an_expert_that_does_not_fit_is_found_before_anything_runs(recipe: Any, answer: Any, says: str) -> None:
    assert says in _asked(recipe, answer)


def test_labels_that_are_not_finite_are_the_experts() -> None:
    message = _asked(dagger, lambda o: jnp.where(o > 0, jnp.nan, -o))
    assert "labels that _Teacher gave in round 0 are not finite" in message
    assert "mend the expert's `label`" in message


def test_the_policys_own_actions_are_not_cloned() -> None:
    message = refused(bc(), linear(0.0), WORLD, PLAN)
    assert "Uniform needs 'teacher' (what becomes likelier was chosen by someone else than the policy" in message
    expert = linear(-0.6)
    improve(distill(expert), linear(0.0), WORLD, PLAN)  # the expert's density says what is good


def test_demonstrations_that_nothing_would_read() -> None:
    taught = play(WORLD, Mean(linear(-0.6)), episodes=1, seed=0)
    with pytest.raises(JourneymanError, match="OnPolicy uses each batch once and has no place for demonstrations"):
        improve(LEARNER, linear(0.0), WORLD, PLAN, demonstrations=taught)


def test_a_world_without_rewards() -> None:
    class _Silent(GeometricChain):
        gives = frozenset({"world"})

    chooser = policy(GeometricChain(), jax.random.key(0), hidden=())
    message = refused(natural_gradient(), chooser, _Silent(num_envs=2), PLAN)
    assert "Advantage needs 'rewards' (the reward of every step is known)" in message


def test_a_burst_stops_with_the_leaf_named() -> None:
    learner = Learner(RewardToGo(), WeightedLogLikelihood(), Euclidean(), Optax(optax.scale(float("inf"))))
    message = refused(learner, linear(-0.15), WORLD, dataclasses.replace(PLAN, evaluation_episodes=0))
    assert "The update at 1 made 'policy.network.weights[0]' not finite" in message


@pytest.mark.parametrize("baseline", [TimeVaryingBaseline(20), LeaveOneOutBaseline()])
def test_infinite_advantages_stop_the_run_before_anything_is_learned(baseline: Any) -> None:
    # Each reward is finite, and twenty of them are more than single precision holds.
    huge = LinearQuadratic(state_cost=1e38, start=0.8, horizon=20, num_envs=16)
    learner, plan = reinforce(0.01, discount=1.0, baseline=baseline), Plan(steps=672, batch=336)
    rows: list[dict[str, Any]] = []
    said = r"The weights of \d+ steps in iteration 1 are not finite, so nothing was learned from that data"
    with pytest.raises(JourneymanError, match=said):
        improve(learner, linear(0.0), huge, plan, record=Recorder(listen=rows.append))
    assert len(rows) == 1
    assert "bad_weights" not in rows[0]
    usual = LinearQuadratic(state_cost=1.0, start=0.8, horizon=20, num_envs=16)
    assert len(improve(learner, linear(0.0), usual, plan).rows) == 2
