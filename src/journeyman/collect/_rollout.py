"""World × behaviour → `Episodes`: the one way in which anything is ever rolled out."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.collect._behaviour import AbstractBehaviour, Decision
from journeyman.episodes import Episodes, HostOrDevice
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractHostWorld, AbstractPureWorld, AbstractWorld, Box


class Carry(eqx.Module):
    """Where the environments stand between two rollouts. A host world keeps its own simulator; `simulator` is `()`."""

    simulator: PyTree
    observation: PyTree
    ended: HostOrDevice
    elapsed: HostOrDevice


def start(world: AbstractWorld) -> Carry:
    """The first states of all environments, a function of the world's seed alone."""
    flags, counts = np.zeros(world.num_envs, bool), np.zeros(world.num_envs, np.int32)
    if isinstance(world, AbstractHostWorld):
        return Carry((), world.reset(), flags, counts)
    keys = jax.random.split(jax.random.key(world.seed), world.num_envs)
    simulator = jax.vmap(world.reset)(keys)  # type: ignore[attr-defined]
    return Carry(simulator, jax.vmap(world.observe)(simulator), jnp.asarray(flags), jnp.asarray(counts))  # type: ignore[attr-defined]


def rollout(
    world: AbstractWorld, behaviour: AbstractBehaviour, carry: Carry, key: Array, num_steps: int
) -> tuple[Carry, Episodes]:
    """`num_steps` steps in every environment: `(carry, episodes)` with batch shape `(num_envs,)`.

    Step t draws its randomness from `fold_in(key, t)`, so the stream is a function of the carry, the key and the
    behaviour alone. Raises `JourneymanError` for fewer than one step.
    """
    if num_steps < 1:
        raise JourneymanError(f"A rollout needs at least one step, not {num_steps}; raise the number of steps.")
    if isinstance(world, AbstractPureWorld):
        return _pure(world, behaviour, carry, key, num_steps)
    assert isinstance(world, AbstractHostWorld)
    return _host(world, behaviour, carry, key, num_steps)


# -- pure worlds: one compiled scan ---------------------------------------------------------------------


@eqx.filter_jit
def _pure(
    world: AbstractPureWorld, behaviour: AbstractBehaviour, carry: Carry, key: Array, num_steps: int
) -> tuple[Carry, Episodes]:
    def advance(carry: Carry, t: Array) -> tuple[Carry, tuple]:
        decide, move, reset = jax.random.split(jax.random.fold_in(key, t), 3)
        decision = behaviour(carry.observation, decide)
        count = carry.ended.shape[0]
        action = _clipped(world, decision.action)
        moved, outcome = jax.vmap(world.step)(carry.simulator, action, jax.random.split(move, count))
        fresh = jax.vmap(world.reset)(jax.random.split(reset, count))
        simulator = jax.tree.map(functools.partial(_where, carry.ended), fresh, moved)
        valid = ~carry.ended
        terminated, truncated = outcome.terminated & valid, outcome.truncated & valid
        reward = jnp.where(valid, outcome.reward, 0.0)
        after = Carry(
            simulator,
            jax.vmap(world.observe)(simulator),
            terminated | truncated,
            jnp.where(carry.ended, 0, carry.elapsed + 1).astype(jnp.int32),
        )
        return after, (carry.observation, decision, reward, terminated, truncated, valid, carry.elapsed)

    last, steps = jax.lax.scan(advance, carry, jnp.arange(num_steps))
    observation, decision, reward, terminated, truncated, valid, elapsed = steps
    stack = lambda many, one: jnp.concatenate([many, one[None]])  # noqa: E731
    observation = jax.tree.map(stack, observation, last.observation)
    fields = (observation, *decision[:2], reward, decision.log_prob, terminated, truncated, valid, elapsed)
    fields = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), (*fields, decision.source))
    return last, Episodes(*fields)


def _where(mask: HostOrDevice, yes: Array, no: Array) -> Array:
    return jnp.where(mask.reshape(-1, *(1 for _ in yes.shape[1:])), yes, no)


def _clipped(world: AbstractWorld, action: HostOrDevice) -> Array:
    action, space = jnp.asarray(action), world.action_space
    if not isinstance(space, Box):
        return action
    low, high = (jnp.broadcast_to(jnp.asarray(b, action.dtype), action.shape) for b in (space.low, space.high))
    return jnp.clip(action, low, high)


# -- host worlds: a thin loop around one compiled decision ----------------------------------------------


def _host(
    world: AbstractHostWorld, behaviour: AbstractBehaviour, carry: Carry, key: Array, num_steps: int
) -> tuple[Carry, Episodes]:
    decide = _decider(behaviour)
    observation, ended, elapsed = carry.observation, carry.ended, carry.elapsed
    record: _Record | None = None
    key_data = jax.random.key_data(key)
    for t in range(num_steps):
        decision = decide(observation, key_data, np.uint32(t))
        if record is None:
            record = _Record(num_steps, observation, decision)
        # Only the action is waited for; the rest is read and written down while the simulators run.
        write = functools.partial(record.decided, t, observation, decision, ended, elapsed)
        observation, reward, terminated, truncated = world.step(np.asarray(decision.action), write)
        record.answered(t, reward, terminated, truncated)
        elapsed = np.where(ended, 0, elapsed + 1).astype(np.int32)
        ended = terminated | truncated
    assert record is not None
    return Carry((), observation, ended, elapsed), record.episodes(observation)


class _Record:
    """Arrays for one rollout, time first (each step writes one contiguous block)."""

    def __init__(self, time: int, observation: PyTree, decision: Decision) -> None:
        count = len(decision.log_prob)
        room = lambda leaf, more=0: np.empty((time + more, *leaf.shape), leaf.dtype)  # noqa: E731
        self.observation = jax.tree.map(lambda leaf: room(leaf, 1), observation)
        self.action = room(decision.action)
        # A behaviour that learns from its own action says so by giving the same array twice.
        self.target = self.action if decision.target is decision.action else room(decision.target)
        self.log_prob, self.source = room(decision.log_prob), room(decision.source)
        self.reward = np.empty((time, count), np.float32)
        self.elapsed = np.empty((time, count), np.int32)
        self.terminated, self.truncated, self.valid = (np.empty((time, count), bool) for _ in range(3))

    def decided(self, t: int, observation: PyTree, decision: Decision, ended: Any, elapsed: Any) -> None:
        """What was seen and chosen at step t."""
        if isinstance(observation, np.ndarray):
            self.observation[t] = observation
        else:
            jax.tree.map(lambda room, leaf: room.__setitem__(t, leaf), self.observation, observation)
        self.action[t], self.log_prob[t], self.source[t] = decision.action, decision.log_prob, decision.source
        if self.target is not self.action:
            self.target[t] = decision.target
        np.logical_not(ended, out=self.valid[t])
        self.elapsed[t] = elapsed

    def answered(self, t: int, reward: Any, terminated: Any, truncated: Any) -> None:
        """What the world answered to step t."""
        self.reward[t], self.terminated[t], self.truncated[t] = reward, terminated, truncated

    def episodes(self, observation: PyTree) -> Episodes:
        """Everything recorded, streams first."""
        jax.tree.map(lambda room, leaf: room.__setitem__(-1, leaf), self.observation, observation)
        fields = {name: getattr(self, name) for name in Episodes.__dataclass_fields__}
        return Episodes(**jax.tree.map(lambda leaf: np.swapaxes(leaf, 0, 1), fields))


def _decider(behaviour: AbstractBehaviour) -> Callable[[PyTree, Any, np.uint32], Decision]:
    """`behaviour` as a call on numpy arrays, compiled once for all behaviours of the same structure."""
    arrays, static = eqx.partition(behaviour, lambda leaf: isinstance(leaf, (jax.Array, np.ndarray)))
    leaves, structure = jax.tree.flatten(arrays)
    static_leaves, static_structure = jax.tree.flatten(static)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    compiled = _compiled(structure, tuple(static_leaves), static_structure)

    def decide(observation: PyTree, key_data: Any, t: np.uint32) -> Decision:
        action, target, log_prob, source = compiled(leaves, observation, key_data, t)
        return Decision(action, action if target is None else target, log_prob, source)

    return decide


@functools.lru_cache(maxsize=64)
def _compiled(structure: Any, static_leaves: tuple, static_structure: Any) -> Callable:
    static = jax.tree.unflatten(static_structure, static_leaves)

    @jax.jit
    def decide(leaves: list[Array], observation: PyTree, key_data: Array, t: Array) -> tuple:
        behaviour = eqx.combine(jax.tree.unflatten(structure, leaves), static)
        key = jax.random.fold_in(jax.random.wrap_key_data(key_data), t)
        decision = behaviour(observation, key)
        same = decision.target is decision.action
        return decision.action, None if same else decision.target, decision.log_prob, decision.source

    return decide
