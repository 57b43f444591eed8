"""Asking only where the learner is in doubt: what is asked for, how much of it, and that nothing else changes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import dagger
from journeyman.collect import (
    AbstractQuery,
    Disagree,
    Evenly,
    Everywhere,
    Uncertain,
    foremost,
    play,
    rollout,
    start,
)
from journeyman.collect import Mean as MeanAction
from journeyman.experts import AbstractExpert, PolicyExpert
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, Gaussian, policy
from journeyman.training import Plan, improve
from journeyman.training._committee import Committee, convened, taught
from journeyman.training._learner import LearnerState, weigh
from journeyman.training._memory import Memory
from journeyman.worlds import Box, Discrete, LinearQuadratic, MultiDiscrete

WORLD = LinearQuadratic(noise=0.1, start_std=1.0, horizon=20, num_envs=16)
PLAN = Plan(steps=3 * 96, batch=96, evaluation_episodes=0)


def wide(hidden: tuple[int, ...] = (8,), seed: int = 0) -> DensityPolicy:
    """A fresh policy whose spread is the network's to say."""
    head = Gaussian.make(WORLD.action_space, state_dependent=True)
    return policy(WORLD, jax.random.key(seed), hidden=hidden, head=head)


class _Teacher(AbstractExpert):
    """u = gain · x."""

    gain: float = -0.6

    def label(self, observation: Any, key: Any) -> Any:
        return self.gain * observation


@pytest.fixture(scope="module")
def taught_by() -> Any:
    return play(WORLD, MeanAction(wide(())), episodes=2, seed=0)


def run(query: AbstractQuery, demonstrations: Any, *, gain: float = -0.6, budget: int | None = None) -> Any:
    learner = dagger(_Teacher(gain), query=query, budget=budget, epochs=2, batch_size=64)
    return improve(learner, wide(), WORLD, PLAN, demonstrations=demonstrations)


def told(rows: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "clock"} for row in rows]


# -- identities -----------------------------------------------------------------------------------------


def test_a_share_of_one_is_everywhere_to_the_bit(taught_by: Any) -> None:
    everywhere = run(Everywhere(), taught_by)
    for query in (Uncertain(share=1.0), Disagree(share=1.0, members=2, first=2)):
        found = run(query, taught_by)
        assert eqx.tree_equal(found.policy, everywhere.policy)
        assert told(found.rows) == told(everywhere.rows)
    # Must fail: half of the states are another policy.
    assert not eqx.tree_equal(run(Uncertain(share=0.5), taught_by).policy, everywhere.policy)


def test_a_budget_of_nothing_labels_nothing(taught_by: Any) -> None:
    right, wrong = (run(Everywhere(), taught_by, gain=gain, budget=0) for gain in (-0.6, 50.0))
    assert [row["labels"] for row in right.rows] == [0, 0, 0]
    assert [row["asked_share"] for row in right.rows] == [0, 0, 0]
    assert eqx.tree_equal(right.policy, wrong.policy), "what nobody was asked changes nothing"


@pytest.mark.parametrize("query", [Everywhere(), Evenly(2), Uncertain(share=0.4), Disagree(0.4, members=2, first=2)])
def test_a_budget_is_spent_to_the_last_label_and_not_beyond(taught_by: Any, query: AbstractQuery) -> None:
    free, held = run(query, taught_by), run(query, taught_by, budget=50)
    labels = [row["labels"] for row in held.rows]
    assert labels[0] == min(free.rows[0]["labels"], 50)
    assert labels[-1] == 50 < free.rows[-1]["labels"]
    # The share that is told is the count in the data.
    for before, row in zip([0, *labels], held.rows, strict=False):
        assert row["asked_share"] == pytest.approx((row["labels"] - before) / row["visited"])
    assert eqx.tree_equal(run(query, taught_by, budget=50).policy, held.policy), "and the same again"


# -- which states ---------------------------------------------------------------------------------------


def test_the_states_asked_for_are_the_most_uncertain() -> None:
    actor, own = wide((8,), seed=3), WORLD.remake(seed=1)
    episodes = rollout(own, MeanAction(actor), start(own), jax.random.key(0), 30)[1]
    valid, entropy = np.asarray(episodes.valid), np.asarray(actor.entropy(episodes.now))
    assert not valid.all()
    for share in (0.01, 0.1, 0.37):
        chosen = np.asarray(Uncertain(share)(episodes, actor, (), WORLD.action_space)) > -np.inf
        assert chosen.sum() == round(share * valid.sum())
        assert not (chosen & ~valid).any()
        assert entropy[chosen].min() >= entropy[valid & ~chosen].max()
    middle = float(np.median(entropy[valid]))
    chosen = np.asarray(Uncertain(1.0, above=middle)(episodes, actor, (), WORLD.action_space)) > -np.inf
    np.testing.assert_array_equal(chosen, valid & (entropy > middle))
    both = np.asarray(Uncertain(0.1, above=middle)(episodes, actor, (), WORLD.action_space)) > -np.inf
    assert both.sum() == round(0.1 * valid.sum())
    nowhere = Uncertain(0.1, above=1e6)(episodes, actor, (), WORLD.action_space)
    assert not (np.asarray(nowhere) > -np.inf).any()


def test_equals_are_taken_in_the_order_of_time() -> None:
    wanted = jnp.asarray([[1.0, 2.0, -jnp.inf, 1.0], [1.0, 1.0, 1.0, 3.0]])
    np.testing.assert_array_equal(foremost(wanted, 4), [[1, 1, 0, 0], [1, 0, 0, 1]])
    np.testing.assert_array_equal(foremost(wanted, 0), np.zeros((2, 4)))
    np.testing.assert_array_equal(foremost(wanted, 99), [[1, 1, 0, 1], [1, 1, 1, 1]])


def _committee(gains: list[float]) -> DensityPolicy:
    one = policy(WORLD, jax.random.key(0), hidden=())
    each = [eqx.tree_at(lambda p: p.network.weights[0], one, jnp.full((1, 1), gain)) for gain in gains]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def test_disagreement_is_the_deviation_of_the_actions() -> None:
    committee, observation = _committee([1.0, 2.0, 6.0]), jnp.asarray([[[0.0], [1.0], [-2.0]]])
    doubt = Disagree(members=3).doubt
    # The gains deviate from their mean 3 by −2, −1 and 3: √(14/3).
    wanted = np.sqrt(14 / 3) * np.asarray([[0.0, 1.0, 2.0]])
    found = doubt(observation, wide(), committee, WORLD.action_space)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    # In a box of half width 4 a quarter of that.
    np.testing.assert_allclose(doubt(observation, wide(), committee, Box.symmetric(4.0, 1)), wanted / 4, rtol=1e-6)


class _Votes(eqx.Module):
    """Says what it was told to choose."""

    choice: Any

    def mode(self, observation: Any) -> Any:
        return jnp.broadcast_to(self.choice, (*observation.shape[:-1], *self.choice.shape))


def test_of_choices_the_votes_are_counted() -> None:
    seen, doubt = jnp.zeros((2, 5, 1)), Disagree(members=4).doubt
    # One of four chooses otherwise: 1 − (9 + 1)/16.
    found = doubt(seen, wide(), _Votes(jnp.asarray([0, 0, 2, 0])), Discrete(3))
    np.testing.assert_allclose(found, np.full((2, 5), np.sqrt(6 / 16)), rtol=1e-6)
    assert not np.asarray(doubt(seen, wide(), _Votes(jnp.asarray([1, 1, 1, 1])), Discrete(3))).any()
    # Two choices at once: all agree on the first, and half on the second, 1 − (4 + 4)/16.
    pairs = _Votes(jnp.asarray([[1, 0], [1, 0], [1, 2], [1, 2]]))
    found = doubt(seen, wide(), pairs, MultiDiscrete((2, 3)))
    np.testing.assert_allclose(found, np.full((2, 5), np.sqrt(0.5)), rtol=1e-6)


# -- the committee --------------------------------------------------------------------------------------


def _taught(epochs: int, capacity: int, demonstrations: Any) -> Any:
    learner = dagger(_Teacher(), query=Disagree(members=3), epochs=epochs, batch_size=16, learning_rate=1e-2)
    actor = eqx.tree_at(lambda p: p.normalizer.count, wide(), jnp.ones(()))
    state = LearnerState(actor, (), (), ())
    samples = weigh(learner, state, jax.tree.map(jnp.asarray, demonstrations))[1]
    memory = Memory.of(samples, capacity).add(samples)
    before = convened(learner, actor, jax.random.key(0))
    after, bad = taught(learner, before, memory.on_device(), jax.random.key(1), jax.random.key(2))
    assert int(bad) == -1
    return before, after


@pytest.mark.slow
def test_a_committee_agrees_where_it_has_seen_data_and_not_beyond() -> None:
    demonstrations = play(WORLD, MeanAction(_linear(-0.6)), episodes=4, seed=0)
    before, after = _taught(200, 200, demonstrations)
    seen = jnp.asarray(demonstrations.now)[np.asarray(demonstrations.valid)]
    doubt = lambda committee, at: np.asarray(  # noqa: E731
        Disagree(members=3).doubt(at, wide(), committee.policies, WORLD.action_space)
    )
    beyond = jnp.asarray([[-6.0], [6.0]])
    assert doubt(after, seen).mean() < 0.02
    assert doubt(after, beyond).mean() > max(0.08, 8 * doubt(after, seen).mean())
    # Must fail: who has learned nothing agrees beyond the data too, in a small answer.
    assert doubt(before, beyond).mean() < 0.02


def _linear(gain: float) -> DensityPolicy:
    return eqx.tree_at(lambda p: p.network.weights[0], wide(()), jnp.asarray([[gain, 0.0]]))


def test_room_for_later_data_changes_nothing_that_is_drawn_for_the_first() -> None:
    demonstrations = play(WORLD, MeanAction(_linear(-0.6)), episodes=2, seed=0)
    learner = dagger(_Teacher(), query=Disagree(members=2), epochs=1, batch_size=16)
    actor = eqx.tree_at(lambda p: p.normalizer.count, wide(), jnp.ones(()))
    samples = weigh(learner, LearnerState(actor, (), (), ()), jax.tree.map(jnp.asarray, demonstrations))[1]
    memory = Memory.of(samples, 200).add(samples)
    committee, keys = convened(learner, actor, jax.random.key(0)), (jax.random.key(1), jax.random.key(2))
    once, again = (taught(learner, committee, memory.on_device(), *keys)[0] for _ in range(2))
    assert eqx.tree_equal(once, again)
    other = taught(learner, committee, memory.on_device(), jax.random.key(3), keys[1])[0]
    assert not eqx.tree_equal(once, other), "another resample is another committee"
    assert isinstance(once, Committee)


def test_a_refit_draws_the_committee_anew_too(taught_by: Any) -> None:
    learner = dagger(_Teacher(), query=Disagree(0.3, members=2, first=2), refit=True, epochs=2, batch_size=64)
    found, again = (improve(learner, wide(), WORLD, PLAN, demonstrations=taught_by) for _ in range(2))
    assert told(found.rows) == told(again.rows)
    assert not eqx.tree_equal(found.policy, run(Disagree(0.3, members=2, first=2), taught_by).policy)


# -- refusals -------------------------------------------------------------------------------------------


def test_a_policy_as_sure_everywhere_is_refused_even_where_its_expert_is_not(taught_by: Any) -> None:
    plain = policy(WORLD, jax.random.key(0), hidden=(8,))
    for expert in (_Teacher(), PolicyExpert(wide())):
        with pytest.raises(JourneymanError, match="Uncertain needs 'state-dependent spread'"):
            improve(dagger(expert, query=Uncertain()), plain, WORLD, PLAN, demonstrations=taught_by)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Uncertain(0.0), r"a share of the states in \(0, 1\], not at 0.0"),
        (lambda: Disagree(1.5), r"a share of the states in \(0, 1\], not at 1.5"),
        (lambda: Disagree(members=1), "2 or more members, .* not 1 with 100 passes"),
        (lambda: Disagree(first=0), "not 4 with 0 passes"),
        (lambda: dagger(_Teacher(), budget=-1), "number of labels, not -1"),
    ],
)
def test_what_cannot_be_asked_is_refused(make: Any, match: str) -> None:
    with pytest.raises(JourneymanError, match=match):
        make()
