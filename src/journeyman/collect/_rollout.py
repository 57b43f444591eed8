"""World × behaviour → `Episodes`: the one way in which anything is ever rolled out."""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.collect._behaviour import AbstractBehaviour
from journeyman.collect._decide import decider, drawn, told
from journeyman.collect._fits import faults, misfits
from journeyman.collect._form import Form, taken_apart
from journeyman.episodes import Episodes, HostOrDevice
from journeyman.parts import JourneymanError, mistaken, refuse
from journeyman.worlds import AbstractHostWorld, AbstractPureWorld, AbstractTraced, AbstractWorld, HostStep

COMPILED = 128
"""Steps from which a rollout of simulators that a compiled program can call is one; see `_host_compiled`."""


class Carry(eqx.Module):
    """Where the environments stand between two rollouts.

    A host world keeps its own simulator; `simulator` then marks the environments whose episode is lost (`_recovered`).
    `broken` counts, for each environment since its start, the steps that gave a reward or an observation that is not
    finite, but for those of a lost episode; see `mended`.
    """

    simulator: PyTree
    observation: PyTree
    ended: HostOrDevice
    elapsed: HostOrDevice
    broken: HostOrDevice


class Rolled(NamedTuple):
    """What `rollout` gives, and which steps were `broken` (`Carry.broken`), `(num_envs, time)`."""

    carry: Carry
    episodes: Episodes
    broken: HostOrDevice


def start(world: AbstractWorld) -> Carry:
    """The first states of all environments, a function of the world's seed alone.

    Raises `JourneymanError` when a first observation is not finite: there is no earlier one to fall back on.
    """
    flags, counts = np.zeros(world.num_envs, bool), np.zeros(world.num_envs, np.int32)
    if isinstance(world, AbstractHostWorld):
        carry = Carry(flags.copy(), world.reset(), flags, counts, counts.copy())
    else:
        assert isinstance(world, AbstractPureWorld)
        simulator, observation = _started(seedless(world), jax.random.key(world.seed))
        carry = Carry(simulator, observation, *jax.device_put((flags, counts, counts)))
    wrong = int((~np.asarray(finite(np, jax.tree.map(np.asarray, carry.observation), world.num_envs))).sum())
    if wrong:
        raise JourneymanError(
            f"{wrong} of {world.num_envs} environments of '{world.called}' begin with an observation that is not"
            " finite, so there is nothing to act on; mend the world's reset."
        )
    return carry


@eqx.filter_jit
def _started(world: AbstractPureWorld, key: Array) -> tuple[PyTree, PyTree]:
    simulator = jax.vmap(world.reset)(jax.random.split(key, world.num_envs))
    return simulator, jax.vmap(world.observe)(simulator)


def seedless(world: AbstractPureWorld) -> AbstractPureWorld:
    """The same dynamics for every seed, so that they are compiled once: randomness comes in by keys."""
    return world.remake(seed=0)


def rollout(
    world: AbstractWorld, behaviour: AbstractBehaviour, carry: Carry, key: Array, num_steps: int
) -> tuple[Carry, Episodes]:
    """`num_steps` steps in every environment: `(carry, episodes)` with batch shape `(num_envs,)`.

    Step t draws its randomness from `fold_in(key, t)`, so the stream is a function of the carry, the key and the
    behaviour alone. Raises `JourneymanError` for fewer than one step.
    """
    return rolled(world, behaviour, carry, key, num_steps)[:2]


def rolled(world: AbstractWorld, behaviour: AbstractBehaviour, carry: Carry, key: Array, num_steps: int) -> Rolled:
    """`rollout`, and which steps were broken."""
    refuse(mistaken("`world`", world, AbstractWorld) + mistaken("`behaviour`", behaviour, AbstractBehaviour))
    if num_steps < 1:
        raise JourneymanError(f"A rollout needs at least one step, not {num_steps}; raise the number of steps.")
    if isinstance(world, AbstractPureWorld):
        try:
            return _pure(seedless(world), behaviour, carry, key, num_steps)
        except (AttributeError, IndexError, TypeError, ValueError):  # JAX speaks of a loop; who is at fault?
            refuse(faults(world) or misfits("behaviour", functools.partial(_acted, behaviour), world))
            raise
    assert isinstance(world, AbstractHostWorld)
    traced = world.traced() if num_steps >= COMPILED and jax.default_backend() == "cpu" else None
    if traced is None:
        return _host(world, behaviour, carry, key, num_steps)
    return _host_compiled(traced, behaviour, carry, key, num_steps)


def _acted(behaviour: AbstractBehaviour, observation: PyTree) -> Any:
    """What the behaviour does in each of these observations."""
    count = jax.tree.leaves(observation)[0].shape[0]
    return behaviour.act(observation, behaviour.draw(count, jax.random.key(0)))[0]


# -- pure worlds: one compiled scan ---------------------------------------------------------------------


@eqx.filter_jit
def _pure(world: AbstractPureWorld, behaviour: AbstractBehaviour, carry: Carry, key: Array, num_steps: int) -> Rolled:
    keys = jax.vmap(lambda t: jax.random.split(jax.random.fold_in(key, t), 3))(jnp.arange(num_steps))
    # What is random in the decisions is drawn for all steps at once: many small draws cost more than a large one.
    noise = jax.vmap(lambda one: behaviour.draw(carry.ended.shape[0], one))(keys[:, 0])
    own = jax.vmap(jax.vmap(lambda one: jax.random.split(one, carry.ended.shape[0])))(keys[:, 1:])

    def advance(carry: Carry, now: tuple[Array, PyTree]) -> tuple[Carry, tuple]:
        (move, reset), noise = now
        action, kept = behaviour.act(carry.observation, noise)
        sent = world.action_space.clipped(action)
        moved, outcome = jax.vmap(world.step)(carry.simulator, sent, move)
        simulator = _renewed(world, carry.ended, moved, reset)
        seen = jax.vmap(world.observe)(simulator)
        if not jnp.issubdtype(outcome.reward.dtype, jnp.floating):  # points counted in whole numbers
            outcome = outcome._replace(reward=outcome.reward.astype(jnp.result_type(float)))
        found = mended(jnp, carry.ended, carry.observation, seen, *outcome)
        ended = found.terminated | found.truncated | found.broken
        return _onward(carry, simulator, found, ended, found.broken), _row(carry, action, kept, found, found.broken)

    last, taken = jax.lax.scan(advance, carry, (own, noise))
    return Rolled(last, *_gathered(behaviour, taken, last.observation))


def _onward(carry: Carry, simulator: PyTree, found: Any, ended: Any, broken: Any) -> Carry:
    """Where the environments stand after a step that `found` this."""
    elapsed = jnp.where(carry.ended, 0, carry.elapsed + 1).astype(jnp.int32)
    return Carry(simulator, found.observation, ended, elapsed, carry.broken + broken.astype(jnp.int32))


def _row(carry: Carry, action: Array, kept: PyTree, found: Any, broken: HostOrDevice) -> tuple:
    """What a scan records of a step."""
    step = (found.reward, found.terminated, found.truncated, ~carry.ended, carry.elapsed)
    return carry.observation, action, kept, step, broken


@eqx.filter_jit
def _gathered(behaviour: AbstractBehaviour, taken: tuple, last: PyTree) -> tuple[Episodes, Array]:
    """What a scan recorded, time first, and what the behaviour tells of it, as streams; and which steps broke."""
    seen, action, kept, (reward, *rest), broken = taken
    said = behaviour.tell(seen, action, kept)
    observation = jax.tree.map(lambda many, one: jnp.concatenate([many, one[None]]), seen, last)
    fields = (observation, action, said.target, reward, said.log_prob, *rest, said.source)
    return Episodes(*jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), fields)), broken.T


def _renewed(world: AbstractPureWorld, ended: Any, moved: PyTree, keys: Array) -> PyTree:
    """`moved`, with a fresh state wherever an episode has ended.

    A loop that runs once if anybody needs it: most steps pay for no reset. Under a `vmap` over seeds a condition would
    become a choice between two results, both computed; a loop runs as long as any seed needs it.
    """

    def renew(state: tuple[Array, PyTree]) -> tuple[Array, PyTree]:
        needed, simulator = state
        fresh = jax.vmap(world.reset)(keys)
        return jnp.zeros_like(needed), jax.tree.map(functools.partial(chosen, jnp, needed), fresh, simulator)

    return jax.lax.while_loop(lambda state: state[0].any(), renew, (ended, moved))[1]


# -- what is not finite ---------------------------------------------------------------------------------


class Mended(NamedTuple):
    """One step of all environments with nothing in it that is not finite; `broken` says where there was."""

    observation: PyTree
    reward: HostOrDevice
    terminated: HostOrDevice
    truncated: HostOrDevice
    broken: HostOrDevice


def mended(
    xp: Any, resets: Any, before: PyTree, observation: PyTree, reward: Any, terminated: Any, truncated: Any
) -> Mended:
    """What a step is recorded as, for both kinds of world; `xp` is `numpy` or `jax.numpy`.

    Where the reward or the new observation is not finite the episode terminates there, with reward 0 and the last
    observation that was finite, and the environment is reset by the next step. `resets` marks the steps that only
    reset: they have no reward and no flags, and one that gives an observation that is not finite is followed by
    another.
    """
    acted = ~resets
    reward = xp.where(acted, reward, xp.zeros_like(reward))
    broken = ~(xp.isfinite(reward) & finite(xp, observation, len(resets)))
    return Mended(
        jax.tree.map(functools.partial(chosen, xp, broken), before, observation),
        xp.where(broken, xp.zeros_like(reward), reward),
        acted & (terminated | broken),
        acted & truncated & ~broken,
        broken,
    )


def finite(xp: Any, observation: PyTree, count: int) -> Any:
    """Which environments show nothing but finite numbers, `(count,)`."""
    found = xp.ones(count, bool)
    for leaf in jax.tree.leaves(observation):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            found = found & xp.isfinite(leaf).reshape(count, -1).all(axis=1)
    return found


def chosen(xp: Any, mask: Any, yes: Any, no: Any) -> Any:
    """`yes` where `mask`, along the leading axis; random keys are chosen like numbers."""
    return xp.where(mask.reshape(-1, *(1 for _ in yes.shape[1:])), yes, no)


# -- host worlds that a compiled program can call -------------------------------------------------------


def _host_compiled(
    traced: AbstractTraced, behaviour: AbstractBehaviour, carry: Carry, key: Array, num_steps: int
) -> Rolled:
    """The same as `_host`, decisions and simulators in one program.

    Its compilation takes a quarter of a second whenever the simulators are made afresh, which `_host` does not need.
    """
    leaves, form = taken_apart(behaviour)
    noise = drawn(behaviour, key, num_steps, len(carry.ended))
    advance = traced.compiled(_advanced, static_argnums=0)
    state, after, taken, said = advance(form, leaves, traced.state(), carry, noise)
    # The simulators run until the last step is there; whoever looks at them must not come earlier.
    state, after, said, action = jax.tree.map(np.asarray, (state, after, said, taken[1]))
    traced.finish(state, action, said)
    return Rolled(after, *_gathered(behaviour, taken, after.observation))


def _advanced(
    traced: AbstractTraced, form: Form, leaves: list[Array], state: PyTree, carry: Carry, noise: PyTree
) -> tuple[PyTree, Carry, tuple, PyTree]:
    behaviour = form.behaviour(leaves)

    def advance(now: tuple[PyTree, Carry], noise: PyTree) -> tuple[tuple[PyTree, Carry], tuple]:
        state, carry = now
        action, kept = behaviour.act(carry.observation, noise)
        state, answer, said = traced.step(state, action)
        answer, ended, lost, broken = _recovered(jnp, answer, carry.observation, carry.ended, carry.simulator)
        return (state, _onward(carry, lost, answer, ended, broken)), (_row(carry, action, kept, answer, broken), said)

    (state, after), (taken, said) = jax.lax.scan(advance, (state, carry), noise)
    return state, after, taken, said


# -- host worlds: a thin loop around one decision -------------------------------------------------------


def _host(world: AbstractHostWorld, behaviour: AbstractBehaviour, carry: Carry, key: Array, num_steps: int) -> Rolled:
    noise = jax.tree.map(np.asarray, drawn(behaviour, key, num_steps, world.num_envs))
    act, kept_structure, _ = decider(behaviour, carry.observation, jax.tree.map(lambda leaf: leaf[0], noise))
    steps = jax.tree.leaves(noise)
    observation, ended, elapsed = carry.observation, carry.ended, carry.elapsed
    lost, broken = carry.simulator, carry.broken
    record: _Record | None = None
    for t in range(num_steps):
        action, kept = act(observation, [leaf[t] for leaf in steps])
        record = record or _Record(num_steps, observation, action, kept)
        # Only the action is waited for; the rest is written down while the simulators run.
        write = functools.partial(record.decided, t, observation, action, kept, ended, elapsed)
        answer = world.step(np.asarray(action), write)
        elapsed = np.where(ended, 0, elapsed + 1).astype(np.int32)
        if _whole(answer) and not lost.any():
            observation, ended = answer.observation, answer.terminated | answer.truncated
        else:
            answer, ended, lost, found = _recovered(np, answer, observation, ended, lost)
            observation, broken = answer.observation, broken + found.astype(np.int32)
            record.broken[t] = found
        record.answered(t, answer.reward, answer.terminated, answer.truncated)
    assert record is not None
    last = Carry(lost, observation, ended, elapsed, broken)
    return Rolled(last, record.episodes(behaviour, observation, kept_structure), record.broken.T)


def _whole(answer: HostStep) -> bool:
    """Whether every number is finite; a sum is not when one of its terms is not, and costs less than to ask each."""
    total = answer.reward.sum()
    for leaf in jax.tree.leaves(answer.observation):
        total = total + leaf.sum()
    return bool(np.isfinite(total))


def _recovered(xp: Any, answer: HostStep, before: PyTree, resets: Any, lost: Any) -> tuple[HostStep, Any, Any, Any]:
    """`mended` for simulators, which cannot be told that an episode has ended: `(answer, ended, lost, broken)`.

    An environment that was broken is lost until its simulator ends the episode itself; its steps do not count.
    """
    over = answer.terminated | answer.truncated
    found = mended(xp, resets, before, *answer)
    broken, lost = found.broken & ~lost, (lost | found.broken) & ~over
    answer = HostStep(found.observation, *map(xp.asarray, (found.reward, found.terminated, found.truncated)))
    return answer, found.terminated | found.truncated | lost | over, lost, broken


class _Record:
    """Arrays for one rollout, time first (each step writes one contiguous block)."""

    def __init__(self, time: int, observation: PyTree, action: Any, kept: list[Any]) -> None:
        count = len(action)
        room = lambda leaf, more=0: np.empty((time + more, *leaf.shape), leaf.dtype)  # noqa: E731
        self.observation = jax.tree.map(lambda leaf: room(leaf, 1), observation)
        self.action, self.kept = room(action), [room(leaf) for leaf in kept]
        self.reward = np.empty((time, count), np.float32)
        self.elapsed = np.empty((time, count), np.int32)
        self.terminated, self.truncated, self.valid = (np.empty((time, count), bool) for _ in range(3))
        self.broken = np.zeros((time, count), bool)

    def decided(self, t: int, observation: PyTree, action: Any, kept: list[Any], ended: Any, elapsed: Any) -> None:
        """What was seen and chosen at step t."""
        if isinstance(observation, np.ndarray):
            self.observation[t] = observation
        else:
            jax.tree.map(lambda room, leaf: room.__setitem__(t, leaf), self.observation, observation)
        self.action[t] = action
        for room, leaf in zip(self.kept, kept, strict=True):
            room[t] = leaf
        np.logical_not(ended, out=self.valid[t])
        self.elapsed[t] = elapsed

    def answered(self, t: int, reward: Any, terminated: Any, truncated: Any) -> None:
        """What the world answered to step t."""
        self.reward[t], self.terminated[t], self.truncated[t] = reward, terminated, truncated

    def episodes(self, behaviour: AbstractBehaviour, observation: PyTree, structure: Any) -> Episodes:
        """Everything recorded, streams first, and what the behaviour tells of it."""
        jax.tree.map(lambda room, leaf: room.__setitem__(-1, leaf), self.observation, observation)
        now = jax.tree.map(lambda leaf: leaf[:-1], self.observation)
        said = told(behaviour, now, jnp.asarray(self.action), jax.tree.unflatten(structure, self.kept))
        target, log_prob, source = jax.tree.map(np.asarray, said)
        names = "observation action reward terminated truncated valid elapsed".split()
        fields = {name: getattr(self, name) for name in names}
        fields |= {"target": self.action if target is None else target, "log_prob": log_prob, "source": source}
        return Episodes(**jax.tree.map(lambda leaf: np.swapaxes(leaf, 0, 1), fields))
