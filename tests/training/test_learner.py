"""`descend`: every valid sample once a pass, padding never, and nothing is kept that is not finite."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array, PyTree

from journeyman.collect import Aggregate
from journeyman.experts import PolicyExpert
from journeyman.geometry import Direction, Euclidean, Fisher
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, partition, policy
from journeyman.training import AbstractStep, Adam, KLRadius, Learner, LineSearch
from journeyman.training._learner import descend
from journeyman.weights import (
    Advantage,
    ConstantBaseline,
    LeaveOneOutBaseline,
    LinearBaseline,
    NetworkBaseline,
    NoBaseline,
    TimeVaryingBaseline,
    Uniform,
)
from journeyman.worlds import LinearQuadratic

ROOM = 11
WORLD = LinearQuadratic(np.eye(ROOM), np.eye(ROOM, 1), np.eye(ROOM), 1.0)


class _Visits(AbstractStep):
    """Goes nowhere and counts, for each sample, the gradients it was part of; and the batches."""

    def init(self, trained: PyTree) -> PyTree:
        return jnp.zeros(ROOM), jnp.zeros(())

    def __call__(self, direction: Direction, state: PyTree, trained: PyTree, trial: Any) -> tuple[PyTree, PyTree, dict]:
        visited = jnp.abs(direction.value.network.weights[0][:, 0]) != 0
        nothing = jax.tree.map(jnp.zeros_like, trained)
        return nothing, (state[0] + jnp.where(visited, 1.0, 0.0), state[1] + 1), {}


class _Bursts(AbstractStep):
    """Makes one leaf infinite."""

    leaf: int = eqx.field(static=True)

    def init(self, trained: PyTree) -> PyTree:
        return jnp.zeros(())

    def __call__(self, direction: Direction, state: PyTree, trained: PyTree, trial: Any) -> tuple[PyTree, PyTree, dict]:
        leaves, structure = jax.tree.flatten(trained)
        update = [jnp.full_like(leaf, jnp.inf if i == self.leaf else 1.0) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, update), state + 1, {}


def actor() -> DensityPolicy:
    return policy(WORLD, jax.random.key(0), hidden=())


def one_hot(valid: Any) -> Samples:
    """Sample i shows only feature i, so that the gradient of row i of the weights is that sample's alone."""
    valid = jnp.asarray(valid, jnp.float32)
    seen = jnp.where(valid[:, None] > 0, jnp.eye(ROOM), jnp.nan)
    target = jnp.where(valid[:, None] > 0, jnp.ones((ROOM, 1)), jnp.nan)
    return Samples(seen, target, jnp.ones(ROOM), valid, jnp.ones(()), jnp.zeros(ROOM)).cleared()


def learner(step: AbstractStep, **options: Any) -> Learner:
    return Learner(Uniform(), WeightedLogLikelihood(), Euclidean(), step, **options)


@eqx.filter_jit
def descended(some: Learner, samples: Samples, key: Array, first: Any = 0):
    one = actor()
    return descend(some, one, some.step.init(partition(one)[0]), samples, key, first)


@settings(deadline=None, max_examples=12)
@given(
    valid=st.lists(st.booleans(), min_size=ROOM, max_size=ROOM),
    size=st.sampled_from([4, 50]),
    seed=st.integers(0, 100),
)
def test_a_pass_visits_every_valid_sample_once_and_padding_never(valid: list[bool], size: int, seed: int) -> None:
    done = descended(learner(_Visits(), epochs=3, batch_size=size), one_hot(valid), jax.random.key(seed))
    visits, batches = done.step
    np.testing.assert_array_equal(visits, 3 * np.asarray(valid))
    assert float(batches) == 3 * -(-sum(valid) // min(size, ROOM))
    assert np.isfinite(done.metrics["loss"])


def test_a_batch_of_everything_is_one_step_a_pass() -> None:
    visits, batches = descended(learner(_Visits(), epochs=3), one_hot([1] * 9 + [0] * 2), jax.random.key(0)).step
    np.testing.assert_array_equal(visits, [3] * 9 + [0] * 2)
    assert float(batches) == 3


def test_each_pass_has_an_order_of_its_own_numbered_from_the_beginning() -> None:
    samples = one_hot(np.ones(ROOM))
    adam = learner(Adam(0.1), epochs=1, batch_size=1)
    key = jax.random.key(0)
    first, second = (descended(adam, samples, key, jnp.asarray(i)).policy for i in (0, 1))
    assert not eqx.tree_equal(first, second)
    assert eqx.tree_equal(first, descended(adam, samples, key, jnp.asarray(0)).policy)


def test_the_passes_of_two_calls_are_those_of_one() -> None:
    samples, key, one = one_hot(np.ones(ROOM)), jax.random.key(0), actor()

    @eqx.filter_jit
    def run(some: Learner, one: DensityPolicy, state: PyTree, first: Array):
        return descend(some, one, state, samples, key, first)

    half, whole = (learner(Adam(0.1), epochs=n, batch_size=4) for n in (2, 4))
    state = half.step.init(partition(one)[0])
    middle = run(half, one, state, jnp.asarray(0))
    end = run(half, middle.policy, middle.step, jnp.asarray(2))
    assert eqx.tree_equal(end.policy, run(whole, one, state, jnp.asarray(0)).policy)


def test_the_loss_of_a_pass_is_the_mean_over_samples_and_not_over_batches() -> None:
    samples = one_hot([1] * 7 + [0] * 4)  # batches of 3, 3 and 1
    loss = float(WeightedLogLikelihood()(actor(), samples))
    found = descended(learner(_Visits(), batch_size=3), samples, jax.random.key(0))
    assert float(found.metrics["loss"]) == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("leaf", [0, 2])
def test_an_update_that_is_not_finite_is_not_taken_and_the_first_bad_leaf_is_counted(
    leaf: int, batch_size: int | None
) -> None:
    done = descended(learner(_Bursts(leaf), batch_size=batch_size), one_hot(np.ones(ROOM)), jax.random.key(0))
    assert int(done.metrics["bad_leaf"]) == leaf
    assert eqx.tree_equal(done.policy, actor())
    assert float(done.step) == 0, "the step's own state is that of before, too"
    good = descended(learner(_Bursts(-1), batch_size=batch_size), one_hot(np.ones(ROOM)), jax.random.key(0))
    assert int(good.metrics["bad_leaf"]) == -1
    assert not eqx.tree_equal(good.policy, actor())


# -- refusals -------------------------------------------------------------------------------------------


def build(**changes: Any) -> str:
    parts = {"weight": Uniform(), "objective": WeightedLogLikelihood(), "geometry": Euclidean(), "step": Adam()}
    with pytest.raises(JourneymanError) as refused:
        Learner(**{**parts, **changes})
    return str(refused.value)


def test_a_radius_in_nats_needs_a_metric() -> None:
    message = build(step=KLRadius(0.1))
    assert "KLRadius needs 'metric'" in message
    assert "Euclidean" in message
    assert "choose a part that gives 'metric'" in message


def test_bootstrapping_needs_a_value() -> None:
    for baseline in (NoBaseline(), ConstantBaseline(), TimeVaryingBaseline(), LeaveOneOutBaseline()):
        message = build(weight=Advantage(lambda_=0.9, baseline=baseline))
        assert "Advantage needs 'value baseline' (a state value V(observation) is fitted along the way)" in message
        Learner(Advantage(lambda_=1.0, baseline=baseline), WeightedLogLikelihood(), Euclidean(), Adam())
    for baseline in (LinearBaseline(), NetworkBaseline()):
        Learner(Advantage(lambda_=0.9, baseline=baseline), WeightedLogLikelihood(), Euclidean(), Adam())


def test_every_reason_is_told_at_once() -> None:
    message = build(weight=Advantage(lambda_=0.9, baseline=NoBaseline()), step=KLRadius(0.1))
    assert message.startswith("2 things are wrong")
    assert "'metric'" in message
    assert "'value baseline'" in message


def test_aggregated_data_is_not_wired_to_a_fitted_baseline() -> None:
    message = build(weight=Advantage(), collect=Aggregate(PolicyExpert(actor())))
    assert "Aggregate with Advantage and a fitted baseline is not wired yet" in message


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"batch_size": 0}])
def test_passes_and_batches_are_positive(changes: dict[str, int]) -> None:
    assert "passes over its data at least once in batches of at least one" in build(**changes)


def test_a_fisher_radius_is_fine() -> None:
    assert Learner(Uniform(), WeightedLogLikelihood(), Fisher(), KLRadius()).epochs == 1


@pytest.mark.parametrize("step", [KLRadius(), LineSearch()])
def test_a_length_in_nats_is_not_for_minibatches(step: AbstractStep) -> None:
    """Their reports (`kl`, `predicted_kl`, `refused`, …) were dropped without a word."""
    message = build(geometry=Fisher(), step=step, batch_size=32)
    name = type(step).__name__
    assert message.startswith(
        f"{name} sets in nats how far one step takes the policy, and minibatches of 32 would each"
    )
    assert f"use batch_size=None with {name}" in message


def test_what_several_passes_report_is_all_of_the_last() -> None:
    """The KL and the gain were those of all passes together, beside what was predicted for the last: 25 times less."""
    normal = jax.random.normal(jax.random.key(1), (64, 2))
    samples = Samples(normal[:, :1], normal[:, 1:], *jnp.ones((2, 64)), jnp.ones(()), jnp.zeros(64))
    one = policy(LinearQuadratic(), jax.random.key(0), hidden=())
    natural = Learner(Uniform(), WeightedLogLikelihood(), Fisher(), KLRadius(1e-5), epochs=5)
    found = eqx.filter_jit(descend)(natural, one, (), samples, jax.random.key(0)).metrics
    assert float(found["kl"]) == pytest.approx(float(found["predicted_kl"]), rel=0.05)
    assert float(found["gain"]) == pytest.approx(float(found["predicted_gain"]), rel=0.05)
