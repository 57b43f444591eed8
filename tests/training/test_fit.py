"""`fit`: learns what is there, from the training data alone, and says what does not fit."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, PyTree

from journeyman.algorithms import bc, reinforce
from journeyman.episodes import Episodes, concatenate
from journeyman.geometry import Direction, Euclidean
from journeyman.objectives import WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, SquashedGaussian, policy
from journeyman.training import AbstractStep, Adam, Learner, fit
from journeyman.training._checkpoint import Checkpoints
from journeyman.training._metrics import read_metrics
from journeyman.training._recorder import Recorder
from journeyman.weights import LeaveOneOutBaseline, RewardToGo, Uniform
from journeyman.worlds import Box, GeometricChain, LinearQuadratic

WORLD = LinearQuadratic(np.eye(2), np.eye(2, 1), np.eye(2), 1.0)
TRACES: list[str] = []


class _Traced(WeightedLogLikelihood):
    """The same loss; every time its gradient is traced it leaves a mark."""

    def measured_gradient(self, policy: Any, samples: Any) -> tuple[tuple[Array, dict[str, Array]], PyTree]:
        TRACES.append("learn")
        return super().measured_gradient(policy, samples)


class _Bursts(AbstractStep):
    """The first `good` steps add 0.01, the next is infinite in the biases."""

    good: int = eqx.field(static=True)

    def init(self, trained: PyTree) -> PyTree:
        return jnp.zeros((), jnp.int32)

    def __call__(self, direction: Direction, state: PyTree, trained: PyTree, trial: Any) -> tuple[PyTree, PyTree, dict]:
        update = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.01), trained)
        burst = jnp.where(state >= self.good, jnp.inf, 0.01)
        return eqx.tree_at(lambda t: t.network.biases[0], update, jnp.full(1, burst)), state + 1, {}


def actor(**options: Any) -> DensityPolicy:
    return policy(WORLD, jax.random.key(0), **{"hidden": (), **options})


@functools.cache
def data(seed: int = 0, episodes: int = 10) -> Episodes:
    """u = (x₁ − 10) − 2 (x₂ − 10) + ½ + N(0, 0.2²), x around 10."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(episodes):
        seen = (10 + random.normal(size=(21, 2))).astype(np.float32)
        said = (seen[:-1] - 10) @ np.array([[1.0], [-2.0]]) + 0.5 + 0.2 * random.normal(size=(20, 1))
        found.append(Episodes.episode(seen, said.astype(np.float32)))
    return concatenate(found)


def test_cloning_finds_the_map_and_its_deviation() -> None:
    held_out = data(1, 4)
    found = fit(bc(3e-2, epochs=150, batch_size=50), actor(), data(), held_out=held_out, log_every=50)
    at = jnp.asarray([[10.0, 10.0], [11.0, 10.0], [10.0, 11.0]])
    np.testing.assert_allclose(found.policy.mode(at)[:, 0], [0.5, 1.5, -1.5], atol=0.1)
    deviation = float(found.policy.distribution(at).base_dist.scale[0, 0])
    assert deviation == pytest.approx(0.2, rel=0.15)
    assert [row["epoch"] for row in found.rows] == [50, 100, 150]
    own = -np.asarray(found.policy.log_prob(held_out.now, jnp.asarray(held_out.target)))[held_out.valid].mean()
    assert found.rows[-1]["held_out_nll"] == pytest.approx(own, rel=1e-4)
    entropy = 0.5 * np.log(2 * np.pi * np.e * 0.2**2)
    assert found.rows[-1]["held_out_nll"] == pytest.approx(entropy, abs=0.2)


def test_the_statistics_are_those_of_the_training_data_and_are_not_trained() -> None:
    padded = data().pad(25)
    padded = dataclasses.replace(
        padded, observation=np.where(np.arange(26)[None, :, None] > 21, np.nan, padded.observation)
    )
    found = fit(
        bc(epochs=2, batch_size=50), actor(), padded, held_out=data(1, 4), log_every=1, checkpoint_every=1
    ).policy
    seen = np.asarray(data().now).reshape(-1, 2)
    np.testing.assert_allclose(found.normalizer.mean, seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.normalizer.deviation, seen.std(0), rtol=1e-4)
    assert float(found.normalizer.count) == len(seen)
    again = fit(bc(epochs=2, batch_size=50), found, data(1, 4), log_every=1, checkpoint_every=1).policy
    assert eqx.tree_equal(again.normalizer, found.normalizer), "a policy that has seen its data keeps what it saw"


def test_nothing_is_traced_again_from_pass_to_pass() -> None:
    learner = Learner(Uniform(), _Traced(), Euclidean(), _Bursts(10**6), epochs=8, batch_size=64)
    marks = []
    TRACES.clear()
    listen = Recorder(listen=lambda row: marks.append(len(TRACES)))
    fit(learner, actor(), data(), log_every=2, checkpoint_every=2, record=listen)
    assert len(marks) == 4
    assert marks[0] == marks[-1] > 0


def test_a_burst_keeps_the_last_finite_state_and_names_the_first_bad_leaf(tmp_path: Path) -> None:
    learner = Learner(Uniform(), WeightedLogLikelihood(), Euclidean(), _Bursts(4), epochs=10)
    with pytest.raises(JourneymanError, match=r"'policy.network.biases\[0\]' not finite .* lower the learning rate"):
        fit(learner, actor(), data(), log_every=2, checkpoint_every=2, record=Recorder(tmp_path / "run"))
    assert [row["epoch"] for row in read_metrics(tmp_path / "run")] == [2, 4, 6]
    kept = Checkpoints(tmp_path / "run" / "checkpoints")
    entry = {name: leaf for name, leaf in kept._document(kept.existing(None))["leaves"].items() if "biases" in name}
    assert entry
    # Four good steps of .01 and nothing after.
    done = fit(Learner(Uniform(), WeightedLogLikelihood(), Euclidean(), _Bursts(4), epochs=4), actor(), data())
    assert float(done.policy.network.biases[0][0]) == pytest.approx(0.04)
    # The run is let go: it can be continued, and the same thing happens again.
    with pytest.raises(JourneymanError, match="not finite"):
        fit(learner, actor(), data(), log_every=2, checkpoint_every=2, record=Recorder(tmp_path / "run", resume=True))


# -- refusals -------------------------------------------------------------------------------------------


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(JourneymanError) as found:
        fit(*arguments, **options)
    return str(found.value)


def test_a_policy_for_another_world() -> None:
    other = policy(LinearQuadratic(), jax.random.key(0), hidden=())
    message = refused(bc(), other, data())
    assert "The data's observations have shapes ((2,),), the policy reads ((1,),)" in message
    wide = policy(LinearQuadratic(np.eye(2), np.eye(2), np.eye(2), np.eye(2)), jax.random.key(0), hidden=())
    assert "The data's actions have shape (1,), the policy's have (2,)" in refused(bc(), wide, data())


def test_actions_of_the_wrong_kind() -> None:
    chooser = policy(GeometricChain(), jax.random.key(0), hidden=())
    real = Episodes.episode(np.ones((3, 1), np.float32), np.zeros(2, np.float32))
    assert "actions are float32, the policy chooses one of 2; convert them to integers" in refused(bc(), chooser, real)
    wild = Episodes.episode(np.ones((3, 1), np.float32), np.array([1, 5], np.int32))
    assert "The data holds the action 5, the policy knows 0 to 1" in refused(bc(), chooser, wild)


def test_rewards_that_are_not_there() -> None:
    learner = Learner(RewardToGo(), WeightedLogLikelihood(), Euclidean(), _Bursts(1))
    assert "RewardToGo needs 'rewards' (the reward of every step is known)" in refused(learner, actor(), data())


def test_everything_that_is_wrong_is_told_at_once() -> None:
    nothing = dataclasses.replace(data(), valid=np.zeros((10, 20), bool), truncated=np.zeros((10, 20), bool))
    message = refused(
        bc(),
        policy(LinearQuadratic(), jax.random.key(0), hidden=()),
        nothing,
        log_every=3,
        checkpoint_every=10,
        held_out=data(),
    )
    assert message.startswith("4 things are wrong")
    assert "checkpoint_every = 10 must be a positive multiple of log_every = 3" in message
    assert "hold no valid step" in message
    assert "Held out: The data's observations" in message


def test_a_squashed_policy_takes_actions_on_the_bound() -> None:
    boxed = data()
    said = np.clip(300 + boxed.action, 300, 301)
    clipped = dataclasses.replace(boxed, action=said, target=said)
    head = SquashedGaussian.make(Box(np.full(1, 300, np.float32), np.full(1, 301, np.float32)))
    found = fit(bc(epochs=20, batch_size=50), actor(head=head), clipped)
    assert np.isfinite(found.rows[-1]["loss"])


# -- weights that learn, and weights that burst ---------------------------------------------------------


def test_a_baseline_that_learns_from_earlier_batches_is_refused() -> None:
    rewarded = dataclasses.replace(data(), reward=np.asarray(data().valid, np.float32) * np.asarray(data().now)[..., 0])
    with pytest.raises(
        JourneymanError, match="NetworkBaseline is fitted to earlier batches, and `fit` weighs its data"
    ):
        fit(reinforce(), actor(), rewarded)
    fair = reinforce(1e-2, discount=0.9, baseline=LeaveOneOutBaseline())
    moved = fit(fair, actor(), rewarded).policy
    assert not np.array_equal(moved.network.biases[0], actor().network.biases[0]), "one that needs none is not"


def test_data_whose_weights_overflow_is_refused() -> None:
    rewarded = dataclasses.replace(data(), reward=np.asarray(data().valid, np.float32) * np.float32(3e38))
    with pytest.raises(JourneymanError, match=r"The weights of \d+ steps of the data are not finite, so nothing was"):
        fit(Learner(RewardToGo(), WeightedLogLikelihood(), Euclidean(), Adam()), actor(), rewarded)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_is_one_that_there_is(seed: int) -> None:
    with pytest.raises(JourneymanError, match=f"`seed` must be a whole number from 0 to 4294967295, not {seed}"):
        fit(bc(), policy(LinearQuadratic(), jax.random.key(0)), data(), seed=seed)
