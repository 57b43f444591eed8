"""A rollout whose simulators are called by a compiled program is the one that Python steps."""

import gc
import weakref

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import journeyman.collect._rollout as rolling
from journeyman.collect import Sample, rollout, start
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.worlds import AbstractHostWorld, AbstractTraced, HostStep, world

pytest.importorskip("envpool")


def streams(monkeypatch, name, ways, *, wrap=lambda made: made, steps=39, **options):
    """Carry, streams and successes of two rollouts, each the way that `ways` says: "compiled" or "stepped"."""
    made = wrap(world(name, num_envs=4, seed=3, **options))
    behaviour = Sample(policy(made, jax.random.key(0), hidden=(8,)))
    carry, found = start(made), []
    for index, way in enumerate(ways):
        monkeypatch.setattr(rolling, "COMPILED", 1 if way == "compiled" else 10**9)
        carry, episodes = rollout(made, behaviour, carry, jax.random.key(index), steps)
        found.append(jax.tree.map(np.asarray, episodes))
    told = made.successes()
    made.close()
    return carry, found, told


def assert_alike(one, other, tolerance=1e-5):
    assert one[2] == other[2]
    for a, b in zip(jax.tree.leaves(one[:2]), jax.tree.leaves(other[:2]), strict=True):
        assert (type(a), a.dtype, a.shape) == (type(b), b.dtype, b.shape)
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


# Simulators that do not double a rounding error every few steps. Where the limit is 9, all episodes end with the first
# rollout, so that the second begins with a step that only resets.
@pytest.mark.parametrize("ways", [("compiled", "compiled"), ("stepped", "compiled"), ("compiled", "stepped")])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Hopper-v5", {"max_episode_steps": 15}),
        ("CartPole-v1", {}),
        ("timed:CartPole-v1", {"max_episode_steps": 11}),
        ("CartpoleBalance-v1", {"max_episode_steps": 9}),  # pays on its reset steps
        ("FetchReach-v4", {"max_episode_steps": 9}),  # a dictionary, and it says of each episode whether it succeeded
    ],
)
def test_a_compiled_program_and_python_step_alike_and_take_over_from_each_other(monkeypatch, name, options, ways):
    stepped = streams(monkeypatch, name, ("stepped", "stepped"), **options)
    mixed = streams(monkeypatch, name, ways, **options)
    assert any(one.ended.any() for one in stepped[1])
    assert not all(one.valid.all() for one in stepped[1])
    assert (stepped[2] is not None) == (name == "FetchReach-v4")
    assert_alike(stepped, mixed)


def test_sixty_four_bits_change_no_simulator(monkeypatch):
    plain = streams(monkeypatch, "Hopper-v5", ("compiled",))
    with jax.enable_x64(True):
        wide = streams(monkeypatch, "Hopper-v5", ("compiled",))
    assert wide[1][0].observation.dtype == np.float32
    np.testing.assert_allclose(plain[1][0].observation[:, 0], wide[1][0].observation[:, 0])


def test_the_same_seed_gives_the_same_stream_bit_for_bit(monkeypatch):
    one, other = (streams(monkeypatch, "HalfCheetah-v5", ("compiled",)) for _ in range(2))
    assert_alike(one, other, 0)


def test_long_rollouts_are_compiled_and_short_ones_are_not():
    made = world("CartPole-v1", num_envs=2)
    behaviour, carry = Sample(policy(made, jax.random.key(0), hidden=(4,))), start(made)
    carry, _ = rollout(made, behaviour, carry, jax.random.key(0), rolling.COMPILED - 1)
    assert not made.traced()._programs
    rollout(made, behaviour, carry, jax.random.key(1), rolling.COMPILED)
    assert len(made.traced()._programs) == 1
    made.close()


def test_one_program_serves_every_policy_of_a_kind_and_goes_with_its_simulators():
    made = world("CartPole-v1", num_envs=2)
    carry = start(made)
    for seed in range(3):
        behaviour = Sample(policy(made, jax.random.key(seed), hidden=(4,)))
        carry, _ = rollout(made, behaviour, carry, jax.random.key(0), rolling.COMPILED)
    (program,) = made.traced()._programs.values()
    assert program._cache_size() == 1
    gone = weakref.ref(made.simulator)
    made.close()
    del made, program
    gc.collect()
    assert gone() is None


def test_what_python_refuses_is_refused(monkeypatch):
    monkeypatch.setattr(rolling, "COMPILED", 1)

    class Shifted(Sample):
        by: int = 5

        def act(self, observation, noise):
            action, kept = super().act(observation, noise)
            return action + self.by, kept

    pole = world("CartPole-v1", num_envs=2)
    wrong = Shifted(policy(pole, jax.random.key(0), hidden=()))
    with pytest.raises(JourneymanError, match="0 … 1"):
        rollout(pole, wrong, start(pole), jax.random.key(0), 3)
    hopper = world("Hopper-v5", num_envs=2)
    wide = Sample(policy(world("HalfCheetah-v5", num_envs=2), jax.random.key(0), hidden=()))
    seen = eqx.tree_at(lambda carry: carry.observation, start(hopper), np.zeros((2, 17), np.float32))
    with pytest.raises(JourneymanError, match=r"shape \(2, 6\).*takes \(2, 3\)"):
        rollout(hopper, wide, seen, jax.random.key(0), 3)
    pole.close(), hopper.close()


class Poisoned(AbstractHostWorld):
    """A simulator whose second environment shows infinity where its pole has moved so far to the right."""

    inner: AbstractHostWorld
    traced_: "Poison"
    name = property(lambda self: "Poisoned")
    num_envs = property(lambda self: self.inner.num_envs)
    seed = property(lambda self: self.inner.seed)
    horizon = property(lambda self: self.inner.horizon)
    observation_space = property(lambda self: self.inner.observation_space)
    action_space = property(lambda self: self.inner.action_space)

    def reset(self):
        return self.inner.reset()

    def step(self, action, meanwhile=None):
        return poisoned(np, self.inner.step(action, meanwhile))

    def traced(self):
        return self.traced_

    def close(self):
        self.inner.close()

    def remake(self, *, seed, num_envs=None):
        raise NotImplementedError


class Poison(AbstractTraced):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.state, self.finish = inner, inner.state, inner.finish

    def state(self):
        raise NotImplementedError

    def finish(self, state, action, said):
        raise NotImplementedError

    def step(self, state, action):
        state, answer, said = self.inner.step(state, action)
        return state, poisoned(jnp, answer), said


def poisoned(xp, answer):
    second = (xp.arange(4) == 1)[:, None]
    seen = xp.where(second & (xp.abs(answer.observation[:, :1]) > 0.03), xp.inf, answer.observation)
    return HostStep(seen.astype(np.float32), *answer[1:])


def test_what_is_not_finite_is_mended_alike(monkeypatch):
    wrap = lambda made: Poisoned(made, Poison(made.traced()))  # noqa: E731
    one = streams(monkeypatch, "CartPole-v1", ("stepped", "stepped"), wrap=wrap)
    other = streams(monkeypatch, "CartPole-v1", ("compiled", "compiled"), wrap=wrap)
    assert one[0].broken[1] > 0
    assert not one[0].broken[[0, 2, 3]].any()
    assert_alike(one, other)
