"""Compounding error against what is known exactly, and against worlds in which nothing compounds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import Mean, play
from journeyman.corrections import thin
from journeyman.diagnose import compounding
from journeyman.diagnose._by_step import Steps, bin_edges, places
from journeyman.diagnose._distance import States, distances
from journeyman.diagnose._error import error_unit, errors
from journeyman.diagnose._interval import interval_of
from journeyman.episodes import Episodes
from journeyman.experts import PolicyExpert
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.report import Report
from journeyman.report._from_diagnose import compounding_figure, compounding_findings
from journeyman.worlds import AbstractPureWorld, Box, GeometricChain, LinearQuadratic, Outcome

A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.0], [0.1]])
EXPERT, CLONE = np.array([[-2.0, -3.0]]), np.array([[0.5, -0.4]])  # stable; unstable
START, HORIZON = np.array([1.0, -0.5]), 30


def two_dimensional(**options):
    return LinearQuadratic(A, B, np.eye(2), 1.0, start=START, horizon=HORIZON, **options)


def linear(world, gain, offset=0.0):
    made = policy(world, jax.random.key(0), hidden=())
    weights = jnp.asarray(np.asarray(gain, np.float32).T)
    biases = jnp.full_like(made.network.biases[0], offset)
    return eqx.tree_at(lambda p: (p.network.weights, p.network.biases), made, ((weights,), (biases,)))


def test_the_error_by_step_is_the_known_one():
    """e_t = ‖(K − K*) (A + B K_acting)ᵗ x₀‖, from the clone's gain K and the expert's K*."""
    world = two_dimensional()
    expert = PolicyExpert(linear(world, EXPERT))
    found = compounding(linear(world, CLONE), expert, world, episodes=3)
    assert found.step.tolist() == list(range(HORIZON))

    def known(acting):
        power = np.linalg.matrix_power
        return [float(np.linalg.norm((CLONE - EXPERT) @ power(A + B @ acting, t) @ START)) for t in range(HORIZON)]

    on_expert, on_own = known(EXPERT), known(CLONE)
    np.testing.assert_allclose(found.expert_states.mean, on_expert, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(found.own_states.median, on_own, rtol=2e-4, atol=1e-5)
    assert found.error_on_own.mean == pytest.approx(np.mean(on_own), rel=1e-4)
    assert found.ratio.mean == pytest.approx(np.mean(on_own) / np.mean(on_expert), rel=1e-3)
    slope = lambda values: np.polyfit(np.arange(HORIZON), values, 1)[0]  # noqa: E731
    assert found.growth.mean == pytest.approx(slope(on_own), rel=1e-3)
    assert found.growth_on_expert.mean == pytest.approx(slope(on_expert), rel=1e-3)
    assert found.growth.mean > 0 > found.growth_on_expert.mean
    assert found.compounds
    assert found.finding.startswith("Errors compound: on the states that the policy reaches itself")
    assert f"{100 * found.growth.mean:.3g}" in found.finding
    assert found.error_unit == "action units"


def test_the_distance_by_step_is_the_known_one():
    """Without noise all demonstrations are one path; the nearest of its points by hand."""
    world = two_dimensional()
    expert, clone = linear(world, EXPERT), linear(world, CLONE)
    found = compounding(clone, PolicyExpert(expert), world, episodes=2)

    def path(gain):
        return np.asarray([np.linalg.matrix_power(A + B @ gain, t) @ START for t in range(HORIZON)])

    shown, own = path(EXPERT) / path(EXPERT).std(0), path(CLONE) / path(EXPERT).std(0)
    by_hand = [min(np.linalg.norm(x - y) for y in shown) for x in own]
    np.testing.assert_allclose(found.distance.mean, by_hand, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.distance_reference.mean, 0, atol=1e-4)
    assert found.distance_growth.mean > 0
    assert found.distance_within.mean == pytest.approx(0, abs=1e-4)


def test_who_copies_exactly_has_no_error_and_no_finding():
    world = two_dimensional(noise=0.1, start_std=0.3)
    acts = linear(world, EXPERT)
    found = compounding(acts, PolicyExpert(acts), world, episodes=4)
    assert found.error_on_own.mean == found.error_on_expert.mean == 0
    assert found.own_states.mean.tolist() == [0] * HORIZON
    assert (found.finding, found.compounds, found.ratio) == (None, False, None)
    assert compounding_findings(found) == []


def test_an_error_that_stays_the_same_does_not_compound():
    world = two_dimensional(noise=0.1, start_std=0.3)
    expert = linear(world, EXPERT)
    found = compounding(linear(world, EXPERT, offset=0.25), PolicyExpert(expert), world, episodes=4)
    np.testing.assert_allclose(found.own_states.mean, 0.25, rtol=1e-5)
    assert found.ratio.mean == pytest.approx(1, rel=1e-5)
    assert not found.compounds
    assert found.finding.startswith("No detectable growth")
    assert "over 4 episodes" in found.finding


def test_growth_on_everybodys_states_is_not_compounding():
    """The task itself grows harder: both walk the same way out, and the clone errs by a share of where it is."""
    world = LinearQuadratic(1.0, 1.0, 1.0, 1.0, start=1.0, start_std=0.2, horizon=30)
    expert = PolicyExpert(linear(world, [[0.03]]))
    found = compounding(linear(world, [[0.0299]]), expert, world, episodes=8)
    assert found.growth.low > 0
    assert not found.compounds
    assert "not detectably more than on the expert's states" in found.finding


def test_false_alarms_are_as_rare_as_the_interval_says():
    """Errors that wander but do not grow: an alarm is due in 2.5 % of cases; 400 cases, 5 % is three errors off."""
    random, alarms, cases, count, time = np.random.default_rng(0), 0, 400, 20, 40
    for case in range(cases):
        noise = random.normal(size=(count, time))
        error = np.empty_like(noise)
        error[:, 0] = noise[:, 0] / np.sqrt(1 - 0.8**2)  # begins in its stationary law
        for t in range(1, time):
            error[:, t] = 0.8 * error[:, t - 1] + noise[:, t]
        steps = Steps(np.repeat(np.arange(count), time), np.tile(np.arange(time), count), error.ravel(), count)
        alarms += interval_of(steps.slopes(), seed=case).low > 0
    assert 0 < alarms < 0.05 * cases


def test_who_survives_makes_no_slope():
    """Bad episodes end early: the mean over episodes falls with the step, inside each nothing changes."""
    lengths, level = np.asarray([10, 20, 30, 40]), np.asarray([4.0, 3.0, 2.0, 1.0])
    episode = np.repeat(np.arange(4), lengths)
    step = np.concatenate([np.arange(n) for n in lengths])
    steps = Steps(episode, step, level[episode], 4)
    edges = bin_edges(40, 4)
    assert steps.by_step(edges).mean.tolist() == [2.5, 2.0, 1.5, 1.0]
    assert steps.by_step(edges).count.tolist() == steps.counts(edges).tolist() == [4, 3, 2, 1]
    assert steps.slopes().estimate == pytest.approx(0, abs=1e-12)


def test_steps_find_their_episodes_as_unpack_does():
    world = two_dimensional()
    whole = play(world, Mean(linear(world, EXPERT)), episodes=5, seed=0, width=2)
    for episodes in (
        whole,
        thin(whole, steps_per_episode=4),
        thin(whole, steps_per_episode=4, window=True),
        whole.take(1),
    ):
        pieces = [np.asarray(one.elapsed)[np.asarray(one.valid)] for one in episodes.unpack()]
        episode, step, count = places(episodes)
        assert episode.tolist() == np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces]).tolist()
        assert step.tolist() == np.concatenate(pieces).tolist()
        assert count == len(pieces)


def test_bins_are_whole_steps():
    assert bin_edges(7, 50).tolist() == list(range(8))
    assert bin_edges(1000, 50).tolist() == list(range(0, 1001, 20))
    assert len(bin_edges(101, 50)) == 51


def test_the_nearest_neighbour_by_brute_force():
    random = np.random.default_rng(0)
    features = random.normal(size=(1500, 3)) * [1.0, 10.0, 0.0] + [1e4, 0.0, 5.0]
    episode = np.repeat(np.arange(3), 500)
    memory = States(features, episode, np.tile(np.arange(500), 3), 3)
    assert distances(memory, memory).value.max() == 0
    scale = np.where(features.std(0) < 1e-6, 1.0, features.std(0))
    scaled = features / scale
    to_others = distances(memory, memory, to_others=True)
    for row in (0, 700, 1499):
        by_hand = np.sqrt(((scaled[row] - scaled[episode != episode[row]]) ** 2).sum(1)).min()
        assert to_others.value[row] == pytest.approx(by_hand, rel=1e-9)
    many = States(np.tile(features, (20, 1)), np.repeat(np.arange(60), 500), np.tile(np.arange(500), 60), 60)
    assert len(distances(many, memory).value) == 20_000


def test_without_an_expert_the_error_on_own_states_is_left_out():
    world = two_dimensional(noise=0.05, start_std=0.1)
    shown = play(world, Mean(linear(world, EXPERT)), episodes=4, seed=1)
    found = compounding(linear(world, CLONE), None, world, demonstrations=shown, episodes=5)
    assert (found.own_states, found.error_on_own, found.growth, found.compounds) == (None, None, None, None)
    assert "no expert to label" in found.notes[0]
    gap = np.abs(np.asarray(shown.now) @ (CLONE - EXPERT).T)[np.asarray(shown.valid)]
    assert found.error_on_expert.mean == pytest.approx(gap.mean(), rel=1e-4)
    assert found.finding.startswith("The policy drifts away from the demonstrations")
    assert found.distance_within.mean > 0
    assert (found.episodes, found.expert_episodes) == (5, 4)
    own = compounding(linear(world, EXPERT), None, world, demonstrations=shown, episodes=5)
    assert own.finding.startswith("No detectable drift")
    alone = compounding(linear(world, CLONE), None, world, demonstrations=shown.take([0]), episodes=2)
    assert alone.distance_reference is None
    assert "With one demonstration" in alone.notes[1]
    figure = compounding_figure(alone)
    assert np.isnan(figure.own_states.middle).all()
    Report("t", compounding=figure, findings=compounding_findings(alone))


def test_the_figure_takes_everything():
    world = two_dimensional(noise=0.05, start_std=0.1)
    shown = play(world, Mean(linear(world, EXPERT)), episodes=3, seed=1)
    expert = PolicyExpert(linear(world, EXPERT))
    found = compounding(linear(world, CLONE), expert, world, demonstrations=shown, episodes=12, bins=5)
    figure = compounding_figure(found, command="again")
    assert len(figure.step) == 5
    assert list(figure.alive) == list(figure.expert_alive) == [12] * 5
    assert (figure.own_states.low <= figure.own_states.middle).all()
    findings = compounding_findings(found)
    assert [finding.severity for finding in findings] == ["warning"]
    Report("t", compounding=figure, findings=findings)


class Corridor(AbstractPureWorld):
    """Walk at the speed of the action, between 0 and 4, and fall when beyond 3; cut after 12 steps."""

    name: str = "Corridor"
    num_envs: int = 4
    seed: int = 0
    horizon: int | None = 12

    @property
    def observation_space(self):
        return Box.unbounded(1)

    @property
    def action_space(self):
        return Box(np.zeros(1, np.float32), np.full(1, 4.0, np.float32))

    def reset(self, key):
        return jnp.zeros(2)

    def step(self, state, action, key):
        state = state + jnp.stack([action[0], jnp.ones(())])
        fallen = state[0] > 3
        return state, Outcome(jnp.ones(()), fallen, ~fallen & (state[1] >= 12))

    def observe(self, state):
        return state[:1]


class HalfBounded(Corridor):
    """Of its two actions only the first has bounds."""

    @property
    def action_space(self):
        return Box(np.array([-10, -np.inf], np.float32), np.array([10, np.inf], np.float32))


def test_a_box_that_is_bounded_in_part_is_measured_and_told_in_both_units():
    still = Episodes.episode(np.zeros((2, 1), np.float32), np.zeros((1, 2), np.float32))
    made = [errors(np.array([off]), HalfBounded(), still).value for off in ([10.0, 0.0], [0.0, 10.0])]
    assert made == [1, 10]
    assert error_unit(HalfBounded()) == "half widths of the action box where it has both bounds, else action units"


def constant(world, action):
    return linear(world, np.zeros((1, 1)), offset=(action - 2.0) / 2.0)


def test_actions_are_clipped_and_counted_in_half_widths():
    """Wanted −9 is 0 and wanted 1 is 1: one of the box's half width of 2. The clone falls after 4 steps."""
    world = Corridor()
    found = compounding(constant(world, 1.0), PolicyExpert(constant(world, -9.0)), world, episodes=3)
    assert found.error_unit == "half widths of the action box"
    np.testing.assert_allclose(found.own_states.mean[:4], 0.5, rtol=1e-6)
    np.testing.assert_allclose(found.expert_states.mean, 0.5, rtol=1e-6)
    assert np.isnan(found.own_states.mean[4:]).all()
    assert found.alive.tolist() == [3] * 4 + [0] * 8
    assert found.expert_alive.tolist() == [3] * 12
    assert found.finding.startswith("No detectable growth")


def test_integer_actions_differ_or_not():
    world = GeometricChain(horizon=4)
    stay, leave = (eqx.tree_at(lambda p: p.network.biases[0], policy(world, jax.random.key(0), hidden=()), b)
                   for b in (jnp.asarray([-9.0, 9.0]), jnp.asarray([9.0, -9.0])))  # fmt: skip
    found = compounding(leave, PolicyExpert(stay), world, episodes=2)
    assert (found.error_on_own.mean, found.error_on_expert.mean) == (1, 1)
    assert found.alive.tolist() == [2, 0, 0, 0]
    assert "no episode is longer than one step" in found.finding
    assert found.error_unit == "share of decisions that differ"


def test_what_cannot_be_diagnosed_is_refused():
    world = two_dimensional()
    acts = linear(world, EXPERT)
    with pytest.raises(JourneymanError, match=r"(?s)neither an expert nor a demonstration.*0 bins"):
        compounding(acts, None, world, bins=0)
    chain = GeometricChain(horizon=4)
    shown = play(chain, Mean(policy(chain, jax.random.key(0), hidden=())), episodes=1, seed=0)
    with pytest.raises(JourneymanError, match="demonstrations do not fit 'LinearQuadratic'"):
        compounding(acts, None, world, demonstrations=shown)
    with pytest.raises(JourneymanError, match="The expert does not fit"):
        compounding(acts, PolicyExpert(policy(chain, jax.random.key(0), hidden=())), world)
