"""Who acts and who labels."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import AbstractBehaviour, Aggregate, Mean, Mixture, OnPolicy, Sample, Told
from journeyman.episodes import EXPERT, POLICY
from journeyman.experts import PolicyExpert
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, policy
from journeyman.worlds import LinearQuadratic

WORLD = LinearQuadratic()
SEEN = jnp.linspace(-2.0, 2.0, 4000)[:, None]


def constant(action: float) -> DensityPolicy:
    one = policy(WORLD, jax.random.key(0), hidden=())
    return eqx.tree_at(
        lambda p: (p.network.weights[0], p.network.biases[0]), one, (jnp.zeros((1, 1)), jnp.full(1, action))
    )


LEARNER, TEACHER = constant(-1.0), PolicyExpert(constant(1.0))


def decided(behaviour: AbstractBehaviour, seed: int) -> tuple[jax.Array, Told]:
    """One decision for every observation of `SEEN`, in its three parts."""

    @jax.jit
    def decide(key: jax.Array) -> tuple[jax.Array, Told]:
        action, kept = behaviour.act(SEEN, behaviour.draw(len(SEEN), key))
        return action, behaviour.tell(SEEN, action, kept)

    return decide(jax.random.key(seed))


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_expert_acts_with_its_share_and_always_labels(beta: float) -> None:
    action, said = decided(Mixture(LEARNER, TEACHER, jnp.asarray(beta)), 0)
    by_expert = np.asarray(said.source) == EXPERT
    np.testing.assert_array_equal(action[:, 0], np.where(by_expert, 1.0, -1.0))
    np.testing.assert_array_equal(said.target, np.ones((4000, 1)))
    # Binomial: exact at the ends, 4 standard deviations between.
    assert abs(by_expert.mean() - beta) <= 4 * math.sqrt(beta * (1 - beta) / 4000)
    assert not abs(by_expert.mean() - (beta + 0.1)) <= 4 * math.sqrt(beta * (1 - beta) / 4000)
    assert np.isnan(said.log_prob).all(), "the mixture's density is not that of either"


def test_a_sample_knows_its_own_probability_and_the_mean_does_not() -> None:
    action, said = decided(Sample(LEARNER), 1)
    np.testing.assert_array_equal(said.target, action)
    np.testing.assert_allclose(said.log_prob, LEARNER.log_prob(SEEN, action), rtol=1e-5)
    assert (np.asarray(said.source) == POLICY).all()
    middle, unsaid = decided(Mean(LEARNER), 1)
    np.testing.assert_array_equal(middle, LEARNER.mode(SEEN))
    assert np.isnan(unsaid.log_prob).all()


def test_beta_falls_with_the_rounds() -> None:
    def shares(collection: Aggregate) -> list[float]:
        return [float(collection.behaviour(LEARNER, jnp.asarray(i)).beta) for i in range(3)]  # type: ignore[attr-defined]

    assert shares(Aggregate(TEACHER, beta=0.8, decay=0.5)) == pytest.approx([0.8, 0.4, 0.2])
    assert shares(Aggregate(TEACHER, beta=1.0)) == [1.0, 0.0, 0.0], "the indicator of Ross et al."
    assert shares(Aggregate(TEACHER)) == [0.0, 0.0, 0.0]
    assert isinstance(OnPolicy().behaviour(LEARNER, jnp.asarray(3)), Sample)


def test_shares_are_probabilities() -> None:
    with pytest.raises(JourneymanError, match=r"probabilities, not 1.5 and 0.0"):
        Aggregate(TEACHER, beta=1.5)
