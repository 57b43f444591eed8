"""Evaluation: exactly n episodes, unbiased whatever the width, and nothing is touched."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from journeyman.collect import Sample, rollout, start
from journeyman.diagnose import Evaluation, Played, evaluate, share_interval
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, fingerprint
from journeyman.policies import load, policy, save
from journeyman.report._from_diagnose import policy_row
from journeyman.worlds import GeometricChain, GymnasiumWorld, LinearQuadratic

STAY = 0.8


def staying(stay=STAY):
    """Stays in the chain with probability `stay`."""
    made = policy(GeometricChain(), jax.random.key(0), hidden=())
    logits = jnp.log(jnp.asarray([1 - stay, stay], jnp.float32))
    network = lambda p: (p.network.weights, p.network.biases)  # noqa: E731
    return eqx.tree_at(network, made, ((jnp.zeros_like(made.network.weights[0]),), (logits,)))


@pytest.mark.parametrize("num_envs", [3, 64])
def test_short_bad_episodes_are_not_favoured(num_envs):
    """E L = θ/(1−θ) = 4, with variance θ/(1−θ)² = 20: 600 episodes, four standard errors."""
    found = evaluate(staying(0.8), GeometricChain(horizon=400), episodes=600, num_envs=num_envs)
    assert found.sampled.returns.shape == (600,)
    assert abs(found.score(sampled=True).mean - 4.0) < 4 * np.sqrt(20 / 600)
    np.testing.assert_array_equal(found.sampled.lengths, found.sampled.returns + 1)


def test_the_first_n_to_end_would_be_favoured():
    """The must-fail control: in 600 environments, the first 600 episodes to end are short ones."""
    world = GeometricChain(num_envs=600)
    _, played = rollout(world, Sample(staying(0.8)), start(world), jax.random.key(0), 20)
    by_time = np.asarray(played.elapsed).T[np.asarray(played.ended).T]  # whose k-th step leaves has gathered k
    assert len(by_time) > 600
    assert by_time[:600].mean() < 4.0 - 8 * np.sqrt(20 / 600)


def test_it_is_the_same_whatever_the_width_of_the_world_given():
    one, other = (evaluate(staying(), GeometricChain(horizon=50, num_envs=n), episodes=5) for n in (2, 9))
    np.testing.assert_array_equal(one.sampled.returns, other.sampled.returns)


def test_the_mean_action_and_the_returns_are_exact():
    """A policy with gain −0.3 in the scalar world: the return is known in closed form."""
    world = LinearQuadratic(horizon=20, start=1.0)
    acts = policy(world, jax.random.key(0), hidden=())
    acts = eqx.tree_at(lambda p: p.network.weights[0], acts, jnp.full_like(acts.network.weights[0], -0.3))
    found = evaluate(acts, world, episodes=3, sampled=False)
    np.testing.assert_allclose(found.mean_action.returns, world.expected_return(-0.3), rtol=1e-6)
    np.testing.assert_allclose(found.mean_action.best_rewards, -(0.7**38) * 1.09, rtol=1e-5)
    assert found.mean_action.lengths.tolist() == [20] * 3
    known = found.score()
    assert (known.low, known.mean, known.high, known.n) == (known.mean, known.mean, known.mean, 3)
    assert found.score("best reward").mean == found.best("best reward")
    with pytest.raises(JourneymanError, match="sampled=True"):
        found.score(sampled=True)


def test_nothing_is_touched_and_the_disk_changes_nothing(tmp_path):
    world = LinearQuadratic(horizon=6, noise=0.3, start_std=0.5, num_envs=4)
    acts = policy(world, jax.random.key(3))
    before = fingerprint((acts, world.config()["options"]["start"]))
    found = evaluate(acts, world, episodes=7)
    assert fingerprint((acts, world.config()["options"]["start"])) == before
    assert (world.num_envs, world.seed) == (4, 0)
    save(acts, tmp_path / "policy")
    again = evaluate(load(tmp_path / "policy"), world, episodes=7)
    for one, other in ((found.mean_action, again.mean_action), (found.sampled, again.sampled)):
        np.testing.assert_array_equal(one.returns, other.returns)
    assert np.ptp(found.mean_action.returns) > 0
    assert (evaluate(acts, world, episodes=7, seed=5).mean_action.returns != found.mean_action.returns).any()
    assert (found.sampled.returns != found.mean_action.returns).all()


def test_demonstrations_score_by_their_best_reward():
    def demonstration(rewards):
        steps = len(rewards)
        return Episodes.episode(np.zeros((steps + 1, 1), np.float32), np.zeros((steps, 1), np.float32), rewards)

    played = Played.of(demonstration([0.5, -2.0, 0.25]))
    assert (played.scores().tolist(), played.scores("best reward").tolist()) == ([-1.25], [0.5])
    assert played.lengths.tolist() == [3]
    nothing = demonstration([1.0])
    nothing = eqx.tree_at(lambda e: (e.valid, e.truncated), nothing, (np.zeros(1, bool), np.zeros(1, bool)))
    with pytest.raises(JourneymanError, match="nothing to score"):
        Played.of(nothing)


def test_the_distinct_start_states_are_counted_and_a_world_with_one_start_shows_one():
    many = LinearQuadratic(horizon=2, start_std=1.0)
    acts = policy(many, jax.random.key(0), hidden=())
    found = evaluate(acts, many, episodes=9, num_envs=4)
    assert (found.mean_action.distinct_starts, found.sampled.distinct_starts) == (9, 9)
    one = evaluate(acts, LinearQuadratic(horizon=2, start_std=0.0), episodes=9, num_envs=4, sampled=False)
    assert one.mean_action.distinct_starts == 1


def test_a_policy_of_another_world_is_refused():
    acts = policy(LinearQuadratic(np.eye(2), np.eye(2), np.eye(2), np.eye(2), horizon=3), jax.random.key(0))
    with pytest.raises(JourneymanError, match="does not fit 'LinearQuadratic': it cannot read observations"):
        evaluate(acts, LinearQuadratic(np.eye(3), np.eye(3), np.eye(3), np.eye(3), horizon=3), episodes=1)
    with pytest.raises(JourneymanError, match=r"its actions have shape \(2,\) where the world wants \(1,\)"):
        evaluate(acts, LinearQuadratic(np.eye(2), [[1.0], [0.0]], np.eye(2), 1.0, horizon=3), episodes=1)


def test_a_row_of_the_report():
    returns = np.asarray([1.0, 2.0, 6.0])
    played = Played(returns, returns / 10, np.asarray([3, 3, 3]), distinct_starts=3)
    row = policy_row("clone", Evaluation("w", 3, 0, played), score="best reward", data="4 demonstrations")
    assert (row.name, row.score.mean, row.episodes, row.best, row.sampled) == (
        "clone",
        pytest.approx(0.3),
        3,
        0.6,
        None,
    )
    assert row.score.low < 0.3 < row.score.high
    assert policy_row("clone", Evaluation("w", 3, 0, played, played)).sampled.mean == 3.0


class _Lucky(gymnasium.Env):
    """Three steps; succeeds in its second episode and every other one after that."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    episode = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), 0.0, self.steps == 3, False, {"success": self.episode % 2 == 0}


def test_the_share_of_successes_is_the_simulator_s_word_with_an_interval() -> None:
    def build(count: int) -> SyncVectorEnv:
        return SyncVectorEnv([_Lucky] * count, autoreset_mode=AutoresetMode.NEXT_STEP)

    lucky = GymnasiumWorld.from_vector_env(build(1), rebuild=build)
    acting = policy(lucky, jax.random.key(0), hidden=())
    found = evaluate(acting, lucky, episodes=10, num_envs=2)
    # 5 episodes in each of 2 environments, of which numbers 2 and 4 succeed.
    assert found.success is not None
    assert (found.success.mean, found.success.n) == (0.4, 10)
    # Wilson 1927, p = .4, n = 10, z = 1.959964, worked by hand: (.4 + .19207 ± .35929) / 1.38415
    assert found.success.low == pytest.approx(0.16818, abs=1e-4)
    assert found.success.high == pytest.approx(0.68733, abs=1e-4)
    chain = GeometricChain(horizon=5)
    assert evaluate(staying(), chain, episodes=2).success is None
    assert share_interval([True] * 4).high == 1.0
    with pytest.raises(JourneymanError, match="no trials to take a share of"):
        share_interval([])
