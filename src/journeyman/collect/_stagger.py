"""Environments out of step with each other, so that every batch sees all parts of an episode."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.collect._rollout import Carry, chosen, finite, seedless
from journeyman.episodes import HostOrDevice
from journeyman.worlds import AbstractHostWorld, AbstractPureWorld, AbstractWorld


def beginning(world: AbstractWorld, num_steps: int, rollouts: int | Array) -> HostOrDevice | None:
    """Which environments begin anew after so many `rollouts` of `num_steps` steps since all of them began together.

        environment i:  after rollout ⌊i K / num_envs⌋ (never where that is 0),  K = ⌈horizon / num_steps⌉

    Episodes that run into the time limit would otherwise all stand at the same step for ever, and a batch shorter than
    an episode would see one part of it at a time. `None` where nothing is to be spread: no horizon, or whole episodes
    in a rollout.
    """
    parts = 1 if world.horizon is None else -(-world.horizon // num_steps)
    if parts < 2:
        return None
    turn = np.arange(world.num_envs) * parts // world.num_envs
    return (turn > 0) & (turn == rollouts)


def restarted(world: AbstractWorld, carry: Carry, which: HostOrDevice, key: Array) -> tuple[Carry, HostOrDevice]:
    """`carry` with a new episode begun in the environments that `which` marks, and which of them did begin one.

    Call it between two rollouts: a batch ends there in any case, so nothing of it is lost. Where the new observation
    is not finite that is counted as broken, and the next step begins another episode. Simulators that cannot begin one
    by one go on as they were.
    """
    if isinstance(world, AbstractPureWorld):
        return _pure(seedless(world), carry, jnp.asarray(which), key), which
    assert isinstance(world, AbstractHostWorld)
    which = np.asarray(which)
    seen = world.restart(which) if which.any() else None
    if seen is None:
        return carry, np.zeros_like(which)

    def placed(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        after = np.array(old)
        after[which] = new
        return after

    observation = jax.tree.map(placed, jax.tree.map(np.asarray, carry.observation), seen)
    failed = which & ~finite(np, observation, len(which))
    return _begun(np, carry, np.where(which, failed, carry.simulator), observation, which, failed), which


@eqx.filter_jit
def _pure(world: AbstractPureWorld, carry: Carry, which: Array, key: Array) -> Carry:
    """A loop that runs once if any environment begins: an iteration in which none does pays for no reset."""

    def begin(state: tuple[Array, Carry]) -> tuple[Array, Carry]:
        which, carry = state
        fresh = jax.vmap(world.reset)(jax.random.split(key, which.shape[0]))
        simulator = jax.tree.map(functools.partial(chosen, jnp, which), fresh, carry.simulator)
        observation = jax.vmap(world.observe)(simulator)
        failed = which & ~finite(jnp, observation, len(which))
        return jnp.zeros_like(which), _begun(jnp, carry, simulator, observation, which, failed)

    return jax.lax.while_loop(lambda state: state[0].any(), begin, (which, carry))[1]


def _begun(xp: Any, carry: Carry, simulator: PyTree, seen: PyTree, which: Any, failed: Any) -> Carry:
    """An environment that `failed` to begin counts as ended."""
    observation = jax.tree.map(functools.partial(chosen, xp, which & ~failed), seen, carry.observation)
    ended, elapsed = xp.where(which, failed, carry.ended), xp.where(which, 0, carry.elapsed)
    return Carry(simulator, observation, ended, elapsed.astype(np.int32), carry.broken + failed.astype(np.int32))
