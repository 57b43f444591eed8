"""Decisions for host worlds: NumPy plays the trace of a behaviour as the compiled program does."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.collect import AbstractBehaviour, Mean, Mixture, Sample
from journeyman.collect import _decide as decide
from journeyman.experts import PolicyExpert
from journeyman.policies import AbstractHead, Categorical, FixedGaussian, Gaussian, Scale, SquashedGaussian, policy
from journeyman.worlds import Box, Discrete, world

COUNT = 8
SQUARE = Box.symmetric(2.0, 2)
HEADS: dict[str, Callable[[], AbstractHead]] = {
    "gaussian": lambda: Gaussian.make(SQUARE),
    "gaussian by state": lambda: Gaussian.make(SQUARE, state_dependent=True),
    "squashed": lambda: SquashedGaussian.make(SQUARE),
    "categorical": lambda: Categorical(3),
}
MADE = world("LinearQuadratic", dynamics=((0.9, 0.0), (0.1, 0.8)), control=((1.0, 0.0), (0.0, 1.0)),
             state_cost=((1.0, 0.0), (0.0, 1.0)), action_cost=((1.0, 0.0), (0.0, 1.0)))  # fmt: skip
SEEN = np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32)


def both(behaviour: AbstractBehaviour) -> tuple[tuple, tuple, bool]:
    """Action and what is kept, by the actor and by the behaviour itself; and whether NumPy was the actor."""
    noise = jax.tree.map(np.asarray, decide.drawn(behaviour, jax.random.key(1), 3, COUNT))
    step = jax.tree.map(lambda leaf: leaf[2], noise)
    act, _, by_numpy = decide.decider(behaviour, SEEN, step)
    before = decide._traced.cache_info().currsize
    decide.decider(behaviour, SEEN, step)
    assert decide._traced.cache_info().currsize == before, "traced once"
    action, kept = jax.jit(lambda seen, noise: behaviour.act(seen, noise))(SEEN, step)
    return act(SEEN, jax.tree.leaves(step)), (action, jax.tree.leaves(kept)), by_numpy


@pytest.mark.parametrize("name", HEADS)
def test_numpy_decides_as_the_compiled_program(name: str) -> None:
    one = policy(MADE, jax.random.key(0), hidden=(16, 16), head=HEADS[name](), angles=(1,), activation="silu")
    for behaviour in (Sample(one), Mean(one), Mixture(one, PolicyExpert(one), jnp.asarray(0.5))):
        (action, kept), (wanted, wanted_kept), played = both(behaviour)
        assert played, "nothing in these decisions is unknown to NumPy"
        assert isinstance(action, np.ndarray)
        assert action.dtype == wanted.dtype
        np.testing.assert_allclose(action, wanted, rtol=1e-5, atol=1e-6)
        for got, want in zip(kept, wanted_kept, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_what_numpy_does_not_know_or_is_large_stays_compiled() -> None:
    plain = FixedGaussian(Scale(jnp.zeros(2), jnp.ones(2)))  # its noise is random bits, which NumPy cannot read
    bitwise = policy(MADE, jax.random.key(0), hidden=(8,), head=plain)
    wide = policy(MADE, jax.random.key(0), hidden=(2048, 2048))
    for behaviour in (Sample(bitwise), Sample(wide)):
        (action, _), (wanted, _), played = both(behaviour)
        assert not played
        np.testing.assert_allclose(action, wanted, rtol=1e-5, atol=1e-6)


def test_a_decision_reads_the_policy_it_was_made_with() -> None:
    first, second = (policy(MADE, jax.random.key(seed), hidden=(8,)) for seed in (0, 1))
    for one in (first, second, first):
        (action, _), (wanted, _), _ = both(Mean(one))
        np.testing.assert_allclose(action, wanted, rtol=1e-5, atol=1e-7)


def test_noise_of_a_step_does_not_depend_on_how_many_there_are() -> None:
    one = Sample(policy(MADE, jax.random.key(0), hidden=()))
    few, many = (np.asarray(decide.drawn(one, jax.random.key(3), steps, COUNT)) for steps in (2, 5))
    np.testing.assert_array_equal(few, many[:2])
    assert len(np.unique(many)) == many.size


def test_draws_have_the_distribution_of_the_head() -> None:
    """Each head's own noise and sample against NumPyro's sampler: mean and deviation at five standard errors."""
    for head in (HEADS["gaussian"](), HEADS["squashed"](), Categorical(3)):
        raw = jnp.asarray(np.random.default_rng(2).normal(size=head.outputs()), jnp.float32)
        parameters = head.parameters(jnp.broadcast_to(raw, (20_000, head.outputs())))
        ours = np.asarray(head.sample(parameters, head.noise(jax.random.key(0), 20_000)), float)
        theirs = np.asarray(head.distribution(parameters).sample(jax.random.key(1)), float)
        error = 5 * theirs.std(0) * np.sqrt(2 / 20_000)
        assert (np.abs(ours.mean(0) - theirs.mean(0)) < error).all()
        assert (np.abs(ours.std(0) - theirs.std(0)) < error).all()
        assert not (np.abs(1.1 * ours.std(0) - theirs.std(0)) < error).all()


def test_a_discrete_world_is_decided_by_numpy_too() -> None:
    pole = world("gymnasium:CartPole-v1", num_envs=2)
    assert isinstance(pole.action_space, Discrete)
    one = Sample(policy(pole, jax.random.key(0)))
    noise = jax.tree.map(lambda leaf: np.asarray(leaf)[0], decide.drawn(one, jax.random.key(0), 1, 2))
    act, _, by_numpy = decide.decider(one, np.zeros((2, 4), np.float32), noise)
    assert by_numpy
    assert act(np.zeros((2, 4), np.float32), jax.tree.leaves(noise))[0].dtype == np.int32
    pole.close()  # type: ignore[attr-defined]
