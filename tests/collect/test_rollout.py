"""One way of rolling out, for worlds that are programs and worlds that are simulators."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree

from journeyman.collect import Mean, Sample, rollout, start
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, policy
from journeyman.worlds import AbstractHostWorld, AbstractPureWorld, Box, HostStep, LinearQuadratic

WORLD = LinearQuadratic(0.9, horizon=4, start_std=1.0, num_envs=3)


def actor(world: AbstractPureWorld = WORLD) -> DensityPolicy:
    return policy(world, jax.random.key(0), hidden=())


class _OnHost(AbstractHostWorld):
    """x' = .9 x + u in numpy, truncated after four steps, with next-step autoreset to 1."""

    place: np.ndarray
    taken: np.ndarray
    num_envs: int = 3
    seed: int = 0

    name = "OnHost"
    horizon = 4
    observation_space = Box.unbounded(1)
    action_space = Box.unbounded(1)

    def remake(self, *, seed: int, num_envs: int | None = None) -> "_OnHost":
        return make_host()

    def reset(self) -> PyTree:
        self.place[:], self.taken[:] = 1, 0
        return self.place.copy()

    def step(self, action: np.ndarray, meanwhile: Callable[[], None] | None = None) -> HostStep:
        if meanwhile is not None:
            meanwhile()
        over = self.taken >= 4
        reward = np.where(over, 0, -(self.place[:, 0] ** 2 + action[:, 0] ** 2)).astype(np.float32)
        self.place[:] = np.where(over[:, None], 1, np.float32(0.9) * self.place + action)
        self.taken[:] = np.where(over, 0, self.taken + 1)
        return HostStep(self.place.copy(), reward, np.zeros(3, bool), (self.taken >= 4) & ~over)

    def close(self) -> None:
        pass


def make_host() -> _OnHost:
    return _OnHost(np.ones((3, 1), np.float32), np.zeros(3, np.int64))


def test_both_kinds_of_world_give_the_same_stream() -> None:
    pure = LinearQuadratic(0.9, horizon=4, num_envs=3)
    one = actor(pure)
    _, on_device = rollout(pure, Mean(one), start(pure), jax.random.key(0), 11)
    host = make_host()
    _, on_host = rollout(host, Mean(one), start(host), jax.random.key(0), 11)
    for name in Episodes.__dataclass_fields__:
        a, b = np.asarray(getattr(on_device, name)), np.asarray(getattr(on_host, name))
        assert (a.shape, a.dtype) == (b.shape, b.dtype), name
        keep = np.asarray(on_device.valid) if name != "observation" else ...
        np.testing.assert_allclose(a[keep], b[keep], rtol=1e-5, atol=1e-6, err_msg=name)


def test_an_end_is_followed_by_one_invalid_step_and_nothing_is_lost() -> None:
    _, episodes = rollout(WORLD, Sample(actor()), start(WORLD), jax.random.key(0), 11)
    pattern = [True] * 4 + [False] + [True] * 4 + [False] + [True]
    np.testing.assert_array_equal(episodes.valid, np.tile(pattern, (3, 1)))
    np.testing.assert_array_equal(episodes.elapsed[0], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0])
    np.testing.assert_array_equal(np.argwhere(np.asarray(episodes.truncated)[0])[:, 0], [3, 8])
    assert not np.asarray(episodes.terminated).any()
    # The successor of the last step is where it led, not where the next episode began.
    moved = 0.9 * np.asarray(episodes.now) + np.asarray(episodes.action)
    valid = np.asarray(episodes.valid)
    np.testing.assert_allclose(np.asarray(episodes.next)[valid], moved[valid], rtol=1e-5)
    starts = np.asarray(episodes.observation)[0, [0, 5, 10], 0]
    assert len(set(starts.tolist())) == 3, "every reset is a fresh one"


def test_two_rollouts_go_on_where_the_first_stopped() -> None:
    one, carry = actor(), start(WORLD)
    carry, first = rollout(WORLD, Sample(one), carry, jax.random.key(0), 6)
    _, second = rollout(WORLD, Sample(one), carry, jax.random.key(1), 6)
    np.testing.assert_array_equal(first.observation[:, -1], second.observation[:, 0])
    np.testing.assert_array_equal(second.elapsed[0], [1, 2, 3, 4, 0, 1])
    # A stream is a function of carry, key and behaviour: its beginning does not depend on its length.
    _, longer = rollout(WORLD, Sample(one), start(WORLD), jax.random.key(0), 9)
    np.testing.assert_array_equal(longer.action[:, :6], first.action)
    _, other = rollout(WORLD, Sample(one), start(WORLD), jax.random.key(2), 6)
    assert not np.array_equal(other.action, first.action)


def test_environments_do_not_share_their_randomness() -> None:
    _, episodes = rollout(WORLD, Sample(actor()), start(WORLD), jax.random.key(0), 6)
    assert len(np.unique(np.asarray(episodes.observation)[:, 0])) == 3
    noise = np.asarray(episodes.action) - np.asarray(actor().mode(episodes.now))
    assert len(np.unique(noise.round(6))) == noise.size


def test_the_box_clips_what_is_done_and_not_what_was_said() -> None:
    class _Narrow(AbstractPureWorld):
        num_envs: int = 2
        seed: int = 0
        name = "Narrow"
        horizon = None
        observation_space = Box.unbounded(1)
        action_space = Box.symmetric(0.5, 1)

        def reset(self, key):
            return jnp.zeros(1)

        def step(self, state, action, key):
            from journeyman.worlds import Outcome

            return action, Outcome(jnp.zeros(()), jnp.zeros((), bool), jnp.zeros((), bool))

        def observe(self, state):
            return state

    world = _Narrow()
    one = actor(world)
    loud = DensityPolicy(
        one.encoder, one.normalizer, type(one.network)((jnp.zeros((1, 1)),), (jnp.full(1, 9.0),)), one.head
    )
    _, episodes = rollout(world, Sample(loud), start(world), jax.random.key(0), 5)
    assert (np.asarray(episodes.action) > 1).all()
    np.testing.assert_array_equal(episodes.next, np.full((2, 5, 1), 0.5))
    np.testing.assert_allclose(episodes.log_prob, loud.log_prob(episodes.now, episodes.action), rtol=1e-4)


def test_a_rollout_has_a_step() -> None:
    with pytest.raises(JourneymanError, match="at least one step, not 0"):
        rollout(WORLD, Sample(actor()), start(WORLD), jax.random.key(0), 0)


def test_a_simulator_that_breaks_ends_its_episode_and_counts_for_nothing_until_it_begins_again() -> None:
    class _Breaking(_OnHost):
        """The second environment shows nan after its second step of an episode, and once more after its third."""

        def step(self, action: np.ndarray, meanwhile: Callable[[], None] | None = None) -> HostStep:
            answer = super().step(action, meanwhile)
            seen = answer.observation.copy()
            seen[1] = np.where(np.isin(self.taken[1], (2, 3)), np.nan, seen[1])
            return answer._replace(observation=seen)

    made = _Breaking(np.ones((3, 1), np.float32), np.zeros(3, np.int64))
    one = actor(LinearQuadratic(0.9, horizon=4, num_envs=3))
    carry, first = rollout(made, Mean(one), start(made), jax.random.key(0), 3)  # ends while the episode is lost
    after, second = rollout(made, Mean(one), carry, jax.random.key(1), 8)
    flags = {
        n: np.concatenate([getattr(p, n)[1] for p in (first, second)]) for n in ("valid", "terminated", "truncated")
    }
    assert flags["valid"].astype(int).tolist() == [1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1]
    assert np.flatnonzero(flags["terminated"]).tolist() == [1, 6]
    assert not flags["truncated"].any(), "the simulator's own end came where nothing counted"
    assert after.broken.tolist() == [0, 2, 0], "what a lost episode goes on to show counts for nothing"
    assert np.isfinite(second.observation).all()
    assert second.elapsed[1, 2] == 0, "an episode that begins where the simulator began one"
    healthy = rollout(make_host(), Mean(one), start(make_host()), jax.random.key(0), 3)[1]
    np.testing.assert_array_equal(first.observation[[0, 2]], healthy.observation[[0, 2]])
