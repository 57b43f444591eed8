"""One iteration as a program, and many of them as one: what `improve` and `sweep` run."""

import functools
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.collect import Carry, beginning, restarted, rollout
from journeyman.episodes import Episodes
from journeyman.objectives import Samples
from journeyman.training._learner import Learner, LearnerState, learn, refit, settle, weigh
from journeyman.training._tally import Tally, starts
from journeyman.worlds import AbstractPureWorld, AbstractSpace, AbstractWorld, Box

Row = dict[str, dict[str, Array]]
"""Numbers of one iteration: "counted" over its episodes, "weighed" of its batch, "learned" where a step was taken."""

ROOM = 64
"""The most iterations between two looks from the host: what their rows take is set aside once."""


class Running(eqx.Module):
    """What changes from iteration to iteration; in a sweep, every array leads with an axis of members.

    `carry` is `()` for a host world, which keeps its own simulators.
    """

    learner: LearnerState
    carry: PyTree
    tally: Tally
    episodes: Array


def named_key(seed: int | Array, name: str, index: int | Array) -> Array:
    """A random key for one purpose and one iteration: a new purpose never changes the others' numbers.

    `seed` is a number, or the key made from it.
    """
    root = seed if isinstance(seed, jax.Array) else jax.random.key(seed)
    return jax.random.fold_in(jax.random.fold_in(root, zlib.crc32(name.encode())), index)


def iterate(
    learner: Learner,
    world: AbstractPureWorld,
    running: Running,
    root: Array,
    index: Array,
    warm: Array,
    num_steps: int,
    staggered: bool,
) -> tuple[Running, Row]:
    """Iteration `index` on a pure world: collect, `digest`, and with `staggered` let some environments `begin_anew`."""
    behaviour = learner.collect.behaviour(running.learner.policy, running.learner.collect, index)
    carry, episodes = rollout(world, behaviour, running.carry, named_key(root, "collect", index), num_steps)
    broken = carry.broken.sum() - running.carry.broken.sum()
    moved = Running(running.learner, carry, running.tally, running.episodes)
    running, row = digest(learner, world.action_space, moved, episodes, broken, root, index, warm)
    if staggered:
        key = named_key(root, "begin", index)
        carry, tally = begin_anew(world, running.carry, running.tally, key, num_steps, index + 1)
        running = Running(running.learner, carry, tally, running.episodes)
    return running, row


def begin_anew(
    world: AbstractWorld, carry: Carry, tally: Tally, key: Array, num_steps: int, rollouts: int | Array
) -> tuple[Carry, Tally]:
    """What stands between two batches, some environments put out of step with the others; see `beginning`."""
    which = beginning(world, num_steps, rollouts)
    if which is None:
        return carry, tally
    carry, which = restarted(world, carry, which, key)
    return carry, tally.without(which)


def digest(
    learner: Learner,
    space: AbstractSpace,
    running: Running,
    episodes: Episodes,
    broken: Array,
    root: Array,
    index: Array,
    warm: Array,
    *,
    beside: Callable[[Callable[[], PyTree]], Callable[[], PyTree]] = lambda work: work,
) -> tuple[Running, Row]:
    """What follows collecting, for both kinds of world: weigh, refit, step, count.

    `beside` begins a piece of work and gives what waits for its result; by default nothing begins before it is waited
    for.

    Iteration 0 takes no step when `warm`. The step is computed all the same and not taken, once in a run: a branch
    would be one more program, and under a `vmap` both of its sides.
    """
    weighed, samples = weigh(learner, running.learner, episodes)

    def baseline() -> PyTree:
        key = named_key(root, "refit", index)
        return refit(learner, running.learner.weight, episodes, weighed.target, key)

    # Neither the step nor the new baseline needs the other, and each keeps about one core busy.
    fitted = beside(baseline) if learner.weight.learns else baseline
    stepped, learned = stepped_once(learner, running.learner, samples, root, index, warm)
    after = Running(settle(stepped, fitted(), episodes), running.carry, running.tally, running.episodes)
    running, counted = count(after, space, episodes, broken)
    return running, {"counted": counted, "weighed": weighed.metrics, "learned": learned}


@functools.cache
def _helper() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="journeyman")


def concurrently(work: Callable[[], PyTree]) -> Callable[[], PyTree]:
    """Begin `work` in a thread of its own: what one thread asks of JAX on a CPU runs one after the other."""
    x64 = bool(jax.config.read("jax_enable_x64"))  # a context in which we are called ends at the thread

    def there() -> PyTree:
        with jax.enable_x64(x64):
            return jax.block_until_ready(work())

    return _helper().submit(there).result


@eqx.filter_jit
def stepped_once(
    learner: Learner, state: LearnerState, samples: Samples, root: Array, index: Array, warm: Array
) -> tuple[LearnerState, dict[str, Array]]:
    """`learn`, its step taken unless this is iteration 0 of a run that warms up."""
    stepped, learned = learn(learner, state, samples, named_key(root, "learn", index))
    taken = (index > 0) | ~warm
    after = jax.tree.map(lambda new, old: jnp.where(taken, new, old) if eqx.is_array(new) else new, stepped, state)
    learned["bad_leaf"] = jnp.where(taken, learned["bad_leaf"], -1)
    return after, learned


@eqx.filter_jit
def count(
    running: Running, space: AbstractSpace, episodes: Episodes, broken: Array
) -> tuple[Running, dict[str, Array]]:
    """The episodes that ended and those that began, the actions that the box clipped, and the steps that broke."""
    tally, finished = running.tally.count(episodes)
    found = finished.summary()
    total = running.episodes + found["finished"]
    found = {"episodes": total, **found, "broken_steps": broken, **starts(episodes)}
    if isinstance(space, Box):
        found["clipped_share"] = _clipped_share(space, episodes)
    return Running(running.learner, running.carry, tally, total), found


def _clipped_share(space: Box, episodes: Episodes) -> Array:
    action, valid = jnp.asarray(episodes.action), jnp.asarray(episodes.valid)
    low, high = (jnp.broadcast_to(jnp.asarray(b, action.dtype), action.shape) for b in (space.low, space.high))
    outside = ((action < low) | (action > high)).any(axis=tuple(range(valid.ndim, action.ndim)))
    share = valid.astype(jnp.result_type(float))
    return (share * outside.astype(share.dtype)).sum() / jnp.maximum(share.sum(), 1)


@eqx.filter_jit
def several(
    learner: Learner,
    world: AbstractPureWorld,
    running: Running,
    root: Array,
    first: Array,
    until: Array,
    warm: Array,
    *,
    num_steps: int,
    group: int | None,
    staggered: bool,
) -> tuple[Running, Row, Array]:
    """Iterations `first … until − 1`, at most `ROOM`, as one program: `(running, rows, until)`.

    Both ends are traced, so a run needs one program whatever its length, and how it is cut into pieces changes no
    number. Rows lead with `(ROOM,)`. The loop ends early, with `until` the iteration after, where weights or an
    update were not finite. With a `group` there are members along the leading axis of `running`, of `root` and of every
    array among the learner's numbers, that many of them side by side; the counters stay single, so that what depends
    on them is decided once for all members.
    """
    moving, still = eqx.partition(strict(running), eqx.is_array)
    numbers, rest = eqx.partition(learner, eqx.is_array)

    def one(before: tuple[PyTree, PyTree, Array], index: Array) -> tuple[PyTree, Row]:
        numbers, moving, root = before
        state = eqx.combine(numbers, rest), world, eqx.combine(moving, still), root
        after, row = iterate(*state, index, warm, num_steps, staggered)
        return strict(eqx.filter(after, eqx.is_array)), row

    def each(before: tuple[PyTree, PyTree, Array], index: Array) -> tuple[PyTree, Row]:
        return jax.lax.map(lambda one_before: one(one_before, index), before, batch_size=group)

    # A program of its own, so that it is traced once: for the shapes of its rows, and in the loop.
    turned = jax.jit(one if group is None else each)

    def body(state: tuple[Array, PyTree, Row, Array]) -> tuple[Array, PyTree, Row, Array]:
        index, moving, rows, _ = state
        moving, row = turned((numbers, moving, root), index)
        rows = jax.tree.map(lambda room, new: room.at[index - first].set(new), rows, row)
        bad = (row["learned"]["bad_leaf"] >= 0) | (row["weighed"]["bad_weights"] > 0)
        return index + 1, moving, rows, bad.any()

    shapes = jax.eval_shape(turned, (numbers, moving, root), first)[1]
    rows = jax.tree.map(lambda leaf: jnp.zeros((ROOM, *leaf.shape), leaf.dtype), shapes)
    going = lambda state: (state[0] < until) & ~state[3]  # noqa: E731
    index, moving, rows, _ = jax.lax.while_loop(going, body, (first, moving, rows, jnp.zeros((), bool)))
    return eqx.combine(moving, still), rows, index


def together(members: int) -> int:
    """How many members of a sweep a CPU computes at once, the others waiting for them inside the program.

    The arrays of more outgrow its caches. From 4 to 8, so that no rest is left, which would be a second program.
    """
    return next((some for some in range(4, 9) if members % some == 0), min(members, 4))


def strict(tree: PyTree) -> PyTree:
    """The same arrays, none of them of a weak type: a loop needs the types that it gives back."""

    def one(leaf: Any) -> Any:
        # What is strict already is left alone: on the host each shape would be a program to compile.
        weak = isinstance(leaf, jax.Array) and leaf.weak_type
        return jax.lax.convert_element_type(leaf, leaf.dtype) if weak else leaf

    return jax.tree.map(one, tree)


def stack(members: list[PyTree]) -> PyTree:
    """Trees of one structure as one, their arrays below one another; what is no array must be the same in all."""

    def one(*leaves: Any) -> Any:
        if not eqx.is_array(leaves[0]):
            return leaves[0]
        # By NumPy: each shape would be a program to compile. Keys are no numbers.
        return jnp.stack(leaves) if _is_key(leaves[0]) else jax.device_put(np.stack(leaves))

    return jax.tree.map(one, *members)


def member(tree: PyTree, index: int) -> PyTree:
    """One tree of a stack."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and not _is_key(leaf):
            return jax.device_put(np.asarray(leaf)[index])
        return leaf[index] if isinstance(leaf, (jax.Array, np.ndarray)) else leaf

    return jax.tree.map(one, tree)


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
