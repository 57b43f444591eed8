"""Data of all rounds: what is asked for, what is forgotten, and how the expert is disturbed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import dagger, dart
from journeyman.collect import AbstractQuery, Evenly, Everywhere, Isotropic, Mean, play, rollout, start
from journeyman.experts import AbstractExpert, PolicyExpert
from journeyman.policies import DensityPolicy, SpectralMLP, policy
from journeyman.training import EVALUATION_SEED, Plan, improve
from journeyman.training._iteration import named_key
from journeyman.training._kept import renewed
from journeyman.training._learner import initial
from journeyman.worlds import AbstractWorld, LinearQuadratic, timed

WORLD = LinearQuadratic(noise=0.1, start_std=1.0, horizon=20, num_envs=16)


def linear(gain: float) -> DensityPolicy:
    """u ~ N(gain · x, .05²), with statistics of its own."""
    one = policy(WORLD, jax.random.key(0), hidden=())
    return eqx.tree_at(
        lambda p: (p.network.weights[0], p.head.log_std, p.normalizer.count),
        one,
        (jnp.full((1, 1), gain), one.head.bounds.inverse(jnp.full(1, np.log(0.05))), jnp.ones(())),
    )


def evaluated(policy: DensityPolicy) -> float:
    return float(play(WORLD, Mean(policy), episodes=20, seed=EVALUATION_SEED).episode_returns().mean())


def first_world(seed: int = 0) -> AbstractWorld:
    """The one of a run's first round."""
    return WORLD.remake(seed=int(jax.random.bits(named_key(jax.random.key(seed), "world", 0), dtype=jnp.uint32) >> 1))


class _Nobody(AbstractQuery):
    """Asks for no label."""

    def __call__(self, episodes: Any, policy: Any, committee: Any, space: Any) -> Any:
        return jnp.full(episodes.valid.shape, -jnp.inf)


class _Teacher(AbstractExpert):
    """u = gain · x."""

    gain: float

    def label(self, observation: Any, key: Any) -> Any:
        return self.gain * observation


def test_only_what_is_asked_for_is_learned_from() -> None:
    taught = play(WORLD, Mean(linear(-0.6)), episodes=1, seed=0)
    plan = Plan(steps=2 * 96, batch=96, evaluation_episodes=0, staggered=False)

    def learned(gain: float, query: AbstractQuery) -> Any:
        learner = dagger(_Teacher(gain), query=query, epochs=1)
        return improve(learner, linear(-0.3), WORLD, plan, demonstrations=taught)

    own = first_world()
    everything = rollout(own, Mean(linear(-0.3)), start(own), named_key(jax.random.key(0), "collect", 0), 6)[1]
    asked = np.asarray(everything.valid & (np.asarray(everything.elapsed) % 3 == 0)).sum()
    some = learned(-0.6, Evenly(3)).rows
    assert some[0]["labels"] == asked
    assert some[0]["asked_share"] == pytest.approx(asked / np.asarray(everything.valid).sum())
    assert some[1]["labels"] > asked
    # Nobody is asked: what the teacher would have said changes nothing, and where all is asked it does.
    right, wrong = (learned(gain, _Nobody()) for gain in (-0.6, 50.0))
    assert wrong.rows[-1]["labels"] == 0
    assert eqx.tree_equal(right.policy, wrong.policy)
    assert not eqx.tree_equal(learned(-0.6, Everywhere()).policy, learned(50.0, Everywhere()).policy)


def test_a_refit_forgets_the_last_weights_and_a_warm_start_does_not() -> None:
    expert = linear(-0.6)
    taught = play(WORLD, Mean(expert), episodes=1, seed=0)
    plan = Plan(steps=2 * 64, batch=64)
    idle = {"epochs": 1, "learning_rate": 1e-9}
    begun = policy(WORLD, jax.random.key(3), hidden=(8,))
    warm = improve(dagger(PolicyExpert(expert), **idle), begun, WORLD, plan, demonstrations=taught).policy
    anew = improve(dagger(PolicyExpert(expert), refit=True, **idle), begun, WORLD, plan, demonstrations=taught).policy
    np.testing.assert_allclose(warm.network.weights[1], begun.network.weights[1], atol=1e-6)
    assert np.abs(anew.network.weights[1] - begun.network.weights[1]).max() > 1e-3
    assert eqx.tree_equal(anew.normalizer, warm.normalizer), "the statistics are those of the demonstrations"
    # Its weights are a draw like any other: orthogonal columns of length √2.
    np.testing.assert_allclose(np.linalg.norm(anew.network.weights[0]), np.sqrt(2), rtol=1e-5)


def test_a_refit_begins_its_step_anew_under_the_head_and_the_statistics_of_the_run() -> None:
    begun = policy(WORLD, jax.random.key(3), hidden=(8,))
    learner = dagger(PolicyExpert(linear(-0.6)), refit=True)
    state = initial(learner, begun, jax.random.key(0))
    raised = jax.tree.map(lambda leaf: leaf + 1, (eqx.filter(state.step, eqx.is_array), begun.head.log_std))  # type: ignore[attr-defined]
    learned = eqx.tree_at(lambda s: (s.step, s.policy.head.log_std), state, raised)  # type: ignore[attr-defined]
    anew = renewed(learner, begun, learned, jax.random.key(1))
    assert eqx.tree_equal(anew.step, state.step)
    assert eqx.tree_equal((anew.policy.head, anew.policy.normalizer), (begun.head, begun.normalizer))


@pytest.mark.parametrize("form", ["mlp", "spectral", "per step"])
def test_a_network_is_redrawn_in_its_own_form(form: str) -> None:
    world = timed(WORLD) if form == "per step" else WORLD
    network = policy(world, jax.random.key(0), hidden=(8,), per_step=form == "per step").network
    network = SpectralMLP.of(network, 2.0) if form == "spectral" else network  # type: ignore[arg-type]
    once, again, other = (network.redrawn(jax.random.key(i)) for i in (1, 1, 2))
    assert type(once) is type(network)
    assert jax.tree.map(jnp.shape, once) == jax.tree.map(jnp.shape, network)
    assert eqx.tree_equal(once, again)
    assert not eqx.tree_equal(once, other)
    seen, step = jnp.ones((3, 2 if form == "per step" else 1)), jnp.arange(3)
    assert np.abs(np.asarray(once(seen, step)) - np.asarray(network(seen, step))).max() > 1e-4


# -- noise injection ------------------------------------------------------------------------------------


def test_the_noise_is_the_error_of_the_clone_that_had_not_seen_the_round() -> None:
    expert, clone = linear(-0.6), linear(-0.4)
    taught = play(WORLD, Mean(expert), episodes=1, seed=0)
    plan = Plan(steps=3 * 336, batch=336, evaluation_episodes=0, staggered=False)
    found = improve(dart(PolicyExpert(expert), learning_rate=1e-2), clone, WORLD, plan, demonstrations=taught).rows
    # Before it has learned from round 0 the clone errs by d = −0.2 x, and then by much less.
    own = first_world()
    seen = rollout(own, Mean(expert), start(own), named_key(jax.random.key(0), "collect", 0), 21)[1]
    states = np.asarray(seen.now)[np.asarray(seen.valid)]
    assert found[0]["noise_trace"] == 0
    assert found[0]["simulated_error"] == pytest.approx(float(np.mean((0.2 * states) ** 2)), rel=1e-4)
    assert found[1]["noise_trace"] == pytest.approx(found[0]["simulated_error"], rel=1e-4)
    assert found[2]["noise_trace"] == pytest.approx(found[1]["simulated_error"], rel=1e-4)
    assert found[1]["simulated_error"] < 0.5 * found[0]["simulated_error"]


def test_a_disturbed_expert_teaches_what_it_intended() -> None:
    expert = linear(-0.6)
    taught = play(WORLD, Mean(expert), episodes=1, seed=0)
    plan = Plan(steps=8 * 64, batch=64, evaluation_episodes=20)
    learner = dart(PolicyExpert(expert), noise=Isotropic(0.5), learning_rate=3e-2, epochs=30, batch_size=64)
    found = improve(learner, policy(WORLD, jax.random.key(0), hidden=()), WORLD, plan, demonstrations=taught)
    assert found.rows[-1]["evaluation_return"] == pytest.approx(evaluated(expert), rel=0.05)
    costs = [row["return"] for row in found.rows if "return" in row]
    assert costs
    assert max(costs) < 2 * evaluated(expert), "what the disturbance costs the expert is in the log"
    std = float(np.exp(found.policy.head.bounds(found.policy.head.log_std))[0])
    assert std < 0.1, "had it learned the disturbed actions, it would have their deviation of 0.5"
