"""Finite worlds: values, visits and gradients against series, differences, samples and published numbers."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import Sample, rollout, start
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError, describe, rebuild
from journeyman.policies import policy
from journeyman.weights import RewardToGo
from journeyman.worlds import Garnet, Gridworld, Tabular, TwoState, cliff_walking, list_worlds, world, world_config

GARNET = Garnet(states=5, actions=2, branches=2, horizon=6)
LOGITS = np.random.default_rng(1).normal(size=(5, 2))


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def test_values_are_the_series_of_discounted_rewards():
    endless = Garnet(states=5, actions=2, branches=2)
    table, gamma = softmax(LOGITS), 0.8
    tables = endless.tables()
    chain = np.einsum("sa,sat->st", table, tables.transition)
    reward = (table * (tables.transition * tables.reward).sum(-1)).sum(-1)
    total, now = np.zeros(5), np.eye(5)
    for t in range(200):
        total, now = total + gamma**t * now @ reward, now @ chain
    np.testing.assert_allclose(endless.values(table, gamma), total, rtol=1e-12)
    q = endless.action_values(table, gamma)
    np.testing.assert_allclose((table * q).sum(-1), total, rtol=1e-12)
    # J is both the start's value and the reward that the visits gather.
    visits = endless.visits(table, gamma)
    assert endless.expected_return(table, gamma) == pytest.approx(visits @ reward, rel=1e-12)
    assert visits.sum() == pytest.approx(1 / (1 - gamma), rel=1e-12)


def test_a_horizon_adds_up_steps_and_a_long_one_tends_to_none():
    table = softmax(LOGITS)
    per_step = GARNET.visits(table)
    np.testing.assert_allclose(per_step.sum(-1), 1.0, rtol=1e-12)
    rewards = np.einsum("sa,sat,sat->s", table, GARNET.tables().transition, GARNET.tables().reward)
    assert GARNET.expected_return(table) == pytest.approx(float((per_step @ rewards).sum()), rel=1e-12)
    long = Garnet(states=5, actions=2, branches=2, horizon=300)
    endless = Garnet(states=5, actions=2, branches=2)
    assert long.expected_return(table, 0.8) == pytest.approx(endless.expected_return(table, 0.8), rel=1e-12)


@pytest.mark.parametrize("horizon", [None, 6])
def test_the_gradient_is_the_derivative_of_the_return(horizon):
    made, gamma, step = Garnet(states=5, actions=2, branches=2, horizon=horizon), 0.8, 1e-6
    found = made.gradient(jax.nn.softmax, LOGITS, gamma)
    bump = np.zeros_like(LOGITS)
    bump[2, 1] = step
    up, down = (made.expected_return(softmax(LOGITS + sign * bump), gamma) for sign in (1, -1))
    assert found[2, 1] == pytest.approx((up - down) / (2 * step), rel=1e-7)
    # Any parameters: one number that turns all logits.
    turned = made.gradient(lambda scale: jax.nn.softmax(scale * jnp.asarray(LOGITS)), 1.0, gamma)
    assert turned == pytest.approx((found * LOGITS).sum(), rel=1e-9)
    if horizon is not None:  # without γᵗ it is another vector, and the derivative of nothing
        assert np.abs(made.gradient(jax.nn.softmax, LOGITS, gamma, discounted_states=False) - found).max() > 0.05


def test_a_policy_for_each_step_has_a_gradient_for_each_step():
    logits = np.random.default_rng(2).normal(size=(6, 5, 2))
    by_step = GARNET.gradient(jax.nn.softmax, logits, 0.9)
    assert by_step.shape == logits.shape
    shared = GARNET.gradient(jax.nn.softmax, LOGITS, 0.9)
    each = GARNET.gradient(jax.nn.softmax, np.broadcast_to(LOGITS, logits.shape), 0.9)
    np.testing.assert_allclose(each.sum(0), shared, rtol=1e-12)


@pytest.mark.parametrize("discounted", [True, False])
def test_the_library_s_estimator_has_the_exact_gradient_of_its_convention(discounted):
    """32 groups of 625 episodes; 5 standard errors. The other convention's gradient is refused."""
    gamma, groups, rows = 0.7, 32, 20_000
    made = GARNET.remake(seed=3, num_envs=rows)
    one = policy(made, jax.random.key(0), hidden=())
    one = eqx.tree_at(lambda p: p.network.weights[0], one, jnp.asarray(LOGITS, jnp.float32))
    _, episodes = rollout(made, Sample(one), start(made), jax.random.key(4), 6)
    split = jax.tree.map(lambda leaf: leaf.reshape(groups, rows // groups, *leaf.shape[1:]), episodes)
    weight, objective = RewardToGo(gamma, discounted_states=discounted), WeightedLogLikelihood("episodes")

    @eqx.filter_jit
    def estimate(group):
        return -objective.gradient(one, Samples.of(group, weight((), group).weight))[1].network.weights[0]

    found = np.asarray(jax.vmap(estimate)(split), np.float64)
    error = found.std(0) / np.sqrt(groups)
    off = {
        convention: np.abs(
            (found.mean(0) - GARNET.gradient(jax.nn.softmax, LOGITS, gamma, discounted_states=convention)) / error
        ).max()
        for convention in (True, False)
    }
    assert off[discounted] < 5
    assert off[not discounted] > 10


def test_the_cliff_of_the_book():
    cliff = cliff_walking()
    right, down, up = 1, 2, 0
    edge, safe = np.zeros((48, 4)), np.zeros((48, 4))
    edge[:, right] = 1
    edge[36], edge[11::12] = np.eye(4)[up], np.eye(4)[down]  # S, and above G
    safe[:, up] = 1
    safe[:12, up], safe[:12, right] = 0, 1
    safe[11::12] = np.eye(4)[down]
    assert cliff.expected_return(edge) == -13
    assert cliff.expected_return(safe) == -17
    slippery = cliff_walking(slip=0.2)
    assert slippery.expected_return(edge) < slippery.expected_return(safe) < -17  # the safe way is better when it slips
    falls = np.zeros((48, 4))
    falls[:, right] = 1
    assert cliff.values(falls, 0.5)[36] == pytest.approx(-100 / 0.5)  # off the cliff, back to S, for ever


def test_probabilities_of_a_slippery_grid_sum_to_one_and_walls_hold():
    made = Gridworld(slip=0.3)
    tables = made.tables()
    np.testing.assert_allclose(tables.transition.sum(-1), 1.0, rtol=1e-12)
    assert tables.transition[4, 1, 4] == pytest.approx(0.7)  # right of the second row's first cell is the wall
    assert tables.transition[4, 1, 0] == tables.transition[4, 1, 8] == pytest.approx(0.15)


def test_the_two_states_of_kakade():
    made = TwoState()
    stay = np.asarray([[1.0, 0.0], [1.0, 0.0]])
    assert made.expected_return(stay, 0.5) == pytest.approx(0.8 * 2 + 0.2 * 4)
    cross = np.asarray([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(made.values(cross, 0.9), [0.9 * 20, 20])
    # The plateau: the gradient of leaving state 1 alone dwindles as its visits do.
    logits = np.asarray([[3.0, -3.0], [0.0, 0.0]])
    slope = made.gradient(jax.nn.softmax, logits, 0.9)
    assert abs(slope[0]).max() < 0.1 * abs(made.gradient(jax.nn.softmax, np.zeros((2, 2)), 0.9)[0]).max()


def test_rolling_a_world_visits_its_states_and_ends_where_it_ends():
    made = world("Gridworld", slip=0.2, horizon=8, num_envs=20_000)
    one = policy(made, jax.random.key(0), hidden=())
    one = eqx.tree_at(lambda p: p.network.weights[0], one, jnp.zeros_like(one.network.weights[0]))
    _, episodes = rollout(made, Sample(one), start(made), jax.random.key(1), 8)
    first = np.cumsum(np.asarray(episodes.ended), 1) - np.asarray(episodes.ended) == 0
    states = np.asarray(episodes.observation)[:, :-1]
    exact = made.visits(np.full((12, 4), 0.25))
    for t in range(8):
        share = np.bincount(states[first[:, t], t], minlength=12) / 20_000
        error = np.sqrt(exact[t] * (1 - exact[t]) / 20_000)
        assert (np.abs(share - exact[t]) <= 5 * error + 1e-12).all()
    goal = np.asarray(episodes.observation)[:, 1:] == 11
    assert (np.asarray(episodes.terminated)[first] == goal[first]).all()
    assert np.asarray(episodes.truncated)[:, 7][first[:, 7] & ~goal[:, 7]].all()


def test_a_world_by_its_tables():
    chain = Tabular([[[0.5, 0.5]], [[0.0, 1.0]]], [[1.0], [9.0]], terminal=[1])
    assert chain.expected_return([[1.0], [1.0]]) == pytest.approx(2.0)  # 1 + ½ + ¼ + …; what ends is worth nothing
    assert hash(chain) == hash(chain.remake(seed=0))
    config = json.loads(json.dumps(world_config(chain)))
    assert world(config["name"], **config["options"]) == chain


@pytest.mark.parametrize("name", [name for name, kind in list_worlds() if kind == "exact" and name != "Tabular"])
def test_every_world_of_our_own_is_a_name_a_config_and_a_description(name):
    made = world(name, num_envs=3, seed=5)
    config = json.loads(json.dumps(world_config(made)))
    again = world(config["name"], num_envs=3, seed=5, **config["options"])
    assert again == made
    tree, arrays = describe(made)
    assert not arrays
    assert rebuild(json.loads(json.dumps(tree)), arrays) == made
    assert "world" in made.gives


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Tabular([[1.0]], [[1.0]]), r"'transition' has shape \(1, 1\); give \(states, actions, states\)"),
        (lambda: Tabular([[[0.5, 0.4]]] * 2, [[1.0]] * 2), "'transition' holds probabilities, but a row sums to 0.9"),
        (lambda: Tabular([[[1.0, 0.0]]] * 2, [[1.0]]), r"'reward' has shape \(1, 1\); give \(2, 1\) or \(2, 1, 2\)"),
        (
            lambda: Tabular([[[1.0, 0.0]]] * 2, [[1.0]] * 2, terminal=[0]),
            "State 0 ends the episode and cannot",
        ),
        (
            lambda: Tabular([[[1.0, 0.0]]] * 2, [[1.0]] * 2, terminal=[2]),
            "'terminal' names state 2",
        ),
        (lambda: Gridworld(("S.", "...")), r"(?s)needs 'G'.*lengths \[2, 3\]"),
        (lambda: Gridworld(("S?G",)), r"holds '\?'"),
        (lambda: Gridworld(slip=1.5), "'slip' is a probability, not 1.5"),
        (lambda: Garnet(states=2, branches=3), "2 states and 3 actions cannot lead to 3 states"),
        (lambda: TwoState(first=2.0), "'first' is the probability of starting in state 0, not 2.0"),
        (lambda: TwoState().values(np.full((2, 2), 0.5)), "its factor a step is 1 and must be below 1"),
        (
            lambda: TwoState().values(np.full((3, 2), 0.5), 0.9),
            r"shape \(3, 2\), but a table for 'TwoState'",
        ),
        (lambda: TwoState().values(np.zeros((2, 2)), 0.9), r"pass softmax\(logits\), not logits"),
    ],
)
def test_what_does_not_fit_is_refused(build, said):
    with pytest.raises(JourneymanError, match=said):
        build()
