"""Rewards from demonstrations: the papers' formulas, the ratio where it is known, and what must not count."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.algorithms import airl, gail
from journeyman.collect import Sample, play
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, Number
from journeyman.policies import DensityPolicy, policy
from journeyman.training._learner import regress
from journeyman.weights import (
    Advantage,
    Compared,
    Discriminator,
    NoBaseline,
    Occupancy,
    ReverseKL,
    RewardToGo,
    Unscaled,
)
from journeyman.worlds import Box, Discrete, LinearQuadratic

WORLD = LinearQuadratic(horizon=6, start_std=1.0, num_envs=4)
ACTOR = policy(WORLD, jax.random.key(0), hidden=(4,))
SHOWN = play(WORLD, Sample(policy(WORLD, jax.random.key(1), hidden=())), episodes=5, seed=0)
OWN = play(WORLD, Sample(ACTOR), episodes=4, seed=1)
FREE = Discriminator(limit=None)
PLAIN = Advantage(discount=1.0, baseline=NoBaseline(), scaling=Unscaled())
KEY = jax.random.key(3)


def sure(weight: Occupancy, low: float = 4.0) -> Compared:
    """A state whose discriminator has an opinion: its last layer is `low` times as large."""
    state = weight.begun(ACTOR, SHOWN, WORLD.action_space, KEY)
    last = lambda s: s.discriminator.network.weights[-1]  # noqa: E731
    return eqx.tree_at(last, state, 100 * low * last(state))


def log_odds(state: Compared, episodes: Episodes) -> np.ndarray:
    """l at every step."""
    pairs = (jnp.asarray(episodes.now), state.space.clipped(jnp.asarray(episodes.target)))
    return np.asarray(state.discriminator.parameters(pairs)[..., 0])


class TestReward:
    @pytest.mark.parametrize("log_ratio", [-3.0, -0.5, 0.0, 2.0])
    def test_it_is_that_of_gail_and_of_airl(self, log_ratio: float) -> None:
        share = 1 / (1 + math.exp(-log_ratio))  # D: how probably the step was demonstrated
        own, theirs = gail().weight, airl().weight
        assert isinstance(own, Occupancy)
        assert isinstance(theirs, Occupancy)
        assert float(own.reward(jnp.asarray(log_ratio))) == pytest.approx(-0.5 * math.log(1 - share), abs=1e-6)
        expected = math.log(share) - math.log(1 - share)
        assert float(theirs.reward(jnp.asarray(log_ratio))) == pytest.approx(expected, abs=1e-6)

    def test_beyond_the_bound_nothing_grows(self) -> None:
        weight = Occupancy(ReverseKL(), bound=2.0)
        assert [float(weight.reward(jnp.asarray(x))) for x in (-9.0, 1.5, 9.0)] == [-2.0, 1.5, 2.0]

    def test_the_weight_is_the_inner_one_of_the_learned_rewards(self) -> None:
        weight = Occupancy(ReverseKL(), living=0.25, discriminator=FREE, inner=PLAIN)
        state = sure(weight)
        odds = log_odds(state, OWN)
        assert np.ptp(odds) > 0.5  # an opinion
        reward = np.where(np.asarray(OWN.valid), np.clip(odds, -5, 5) + 0.25, 0)
        expected = RewardToGo()((), dataclasses.replace(OWN, reward=reward.astype(np.float32))).weight
        assert np.asarray(weight(state, OWN).weight) == pytest.approx(np.asarray(expected), abs=1e-4)


class TestWhatDoesNotCount:
    def test_what_the_world_pays(self) -> None:
        weight = Occupancy(discriminator=FREE, inner=PLAIN)
        state = sure(weight)
        paid = dataclasses.replace(OWN, reward=np.where(OWN.valid, 7.0, 0.0).astype(np.float32))
        assert (weight(state, OWN).weight == weight(state, paid).weight).all()
        assert not np.allclose(PLAIN((), OWN).weight, PLAIN((), paid).weight)  # the control: without it, it does

    def test_how_far_an_action_lies_outside_of_the_box(self) -> None:
        weight = Occupancy(discriminator=FREE, inner=PLAIN)
        state = sure(weight)
        box = eqx.tree_at(lambda s: s.space, state, jax.tree.map(jnp.asarray, Box.symmetric(0.5, 1)))
        far = dataclasses.replace(OWN, target=np.clip(OWN.target, -0.5, 0.5), action=np.clip(OWN.action, -0.5, 0.5))
        assert np.abs(np.asarray(OWN.target)).max() > 0.5
        assert (weight(box, OWN).weight == weight(box, far).weight).all()
        assert not np.allclose(weight(state, OWN).weight, weight(state, far).weight)

    def test_what_stands_on_invalid_steps(self) -> None:
        weight, valid = Occupancy(discriminator=FREE, inner=PLAIN), np.asarray(OWN.valid)
        cut = valid & (np.arange(valid.shape[-1]) < 3)
        short = dataclasses.replace(
            OWN, valid=cut, truncated=OWN.truncated & cut, terminated=OWN.terminated & cut, reward=OWN.reward * cut
        )
        wild = dataclasses.replace(short, target=np.where(cut[..., None], OWN.target, np.nan).astype(np.float32))
        state = sure(weight)
        weighed, other = weight(state, short), weight(state, wild)
        assert (weighed.weight == other.weight).all()
        assert {name: float(v) for name, v in weighed.metrics.items()} == {
            n: float(v) for n, v in other.metrics.items()
        }
        first, second = (
            weight.fit(state, jax.tree.map(jnp.asarray, one), jnp.zeros(cut.shape), KEY, regress)
            for one in (short, wild)
        )
        assert eqx.tree_equal(first.discriminator, second.discriminator)
        whole = weight.fit(state, jax.tree.map(jnp.asarray, OWN), jnp.zeros(cut.shape), KEY, regress)
        assert not eqx.tree_equal(first.discriminator, whole.discriminator)


def steps(values: np.ndarray) -> Episodes:
    """Actions seen beside a constant."""
    return Episodes.episode(np.ones((len(values) + 1, 1), np.float32), values[:, None].astype(np.float32))


class TestDiscriminator:
    def test_it_finds_the_log_ratio_of_two_gaussians(self) -> None:
        """N(0, 1) demonstrated against N(1, 1): log u = ½ − a."""
        draw = np.random.default_rng(0)
        shown, own = (steps(mean + draw.standard_normal(4000)) for mean in (0.0, 1.0))
        weight = Occupancy(discriminator=Discriminator((16,), epochs=15, learning_rate=1e-2, limit=None), inner=PLAIN)
        state = weight.begun(ACTOR, shown, Box.unbounded(1), KEY)
        before = weight(state, own).metrics
        state = weight.fit(state, jax.tree.map(jnp.asarray, own), jnp.zeros(4000), KEY, regress)
        at = jnp.asarray([[-1.0], [0.0], [0.5], [1.0], [2.0]])
        found = state.discriminator.parameters((jnp.ones((5, 1)), at))[:, 0]
        assert np.asarray(found) == pytest.approx([1.5, 0.5, 0.0, -0.5, -1.5], abs=0.3)
        after = weight(state, own).metrics
        # Jensen–Shannon between them by quadrature, and the best classifier's accuracy Φ(½).
        grid = np.linspace(-9, 10, 20001)
        p, q = (np.exp(-0.5 * (grid - mean) ** 2) / math.sqrt(2 * math.pi) for mean in (0, 1))
        middle = (p + q) / 2
        divergence = 0.5 * np.trapezoid(p * np.log(p / middle) + q * np.log(q / middle), grid)
        assert abs(float(before["divergence"])) < 0.02
        assert float(after["divergence"]) == pytest.approx(divergence, abs=0.02)
        assert float(after["told_apart"]) == pytest.approx(0.6915, abs=0.02)

    def test_new_statistics_of_its_inputs_do_not_change_what_it_says(self) -> None:
        weight = Occupancy(discriminator=Discriminator(learning_rate=1e-12, limit=None), inner=PLAIN)
        state = sure(weight)
        fitted = weight.fit(state, jax.tree.map(jnp.asarray, OWN), jnp.zeros(OWN.valid.shape), KEY, regress)
        once = weight.fit(
            fitted, jax.tree.map(lambda x: jnp.asarray(x), SHOWN), jnp.zeros(SHOWN.valid.shape), KEY, regress
        )
        assert not np.allclose(fitted.discriminator.normalizer.mean, once.discriminator.normalizer.mean)
        assert log_odds(once, OWN) == pytest.approx(log_odds(fitted, OWN), abs=1e-4)

    @pytest.mark.parametrize("limit", [0.5, 2.0])
    def test_it_is_no_steeper_than_it_may_be(self, limit: Number) -> None:
        draw = np.random.default_rng(0)
        shown, own = steps(draw.standard_normal(500) - 4), steps(draw.standard_normal(500) + 4)
        weight = Occupancy(discriminator=Discriminator((16,), 20, learning_rate=1e-2, limit=limit), inner=PLAIN)
        state = weight.begun(ACTOR, shown, Box.unbounded(1), KEY)
        state = weight.fit(state, jax.tree.map(jnp.asarray, own), jnp.zeros(500), KEY, regress)
        scale = float(state.discriminator.normalizer.scale[1])
        at = jnp.linspace(-8.0, 8.0, 200)[:, None]
        said = np.asarray(state.discriminator.parameters((jnp.ones((200, 1)), at))[:, 0])
        slope = np.abs(np.diff(said) / np.diff(np.asarray(at)[:, 0])).max() * scale
        assert 0.5 * limit < slope <= limit * 1.001

    def test_finite_actions_are_read_one_hot(self) -> None:
        model = Discriminator().init(ACTOR, Discrete(3), KEY)
        assert isinstance(model, DensityPolicy)
        assert model.encoder.size == ACTOR.encoder.size + 3


class TestRefusals:
    def test_without_demonstrations(self) -> None:
        with pytest.raises(JourneymanError, match="none were shown"):
            Occupancy().begun(ACTOR, None, WORLD.action_space, KEY)
        with pytest.raises(JourneymanError, match="begins with demonstrations"):
            Occupancy().init(ACTOR.encoder, KEY)

    @pytest.mark.parametrize("bound", [0.0, 31.0])
    def test_a_bound_that_bounds_nothing(self, bound: float) -> None:
        with pytest.raises(JourneymanError, match="cut between 0 and 30 nats"):
            Occupancy(bound=bound)

    def test_a_discriminator_of_nothing(self) -> None:
        with pytest.raises(JourneymanError, match="needs positive numbers"):
            Discriminator(epochs=0)
