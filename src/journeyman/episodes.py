"""The one data type: streams of steps in which episodes follow one another.

    observation  (*batch, time+1, ...)   observation[t+1] is the true successor of step t, also at an end
    action       (*batch, time, ...)     what was sampled and sent to the world
    target       (*batch, time, ...)     what the learner should make likelier
    reward       (*batch, time)          0 where unknown
    log_prob     (*batch, time)          behaviour's log π(action | observation) in nats, nan where unknown
    terminated   (*batch, time) bool     the world ended: the value of what follows is 0
    truncated    (*batch, time) bool     cut by a time limit: the value of what follows is V(observation[t+1])
    valid        (*batch, time) bool     false on padding and on the reset step that follows an end
    elapsed      (*batch, time) int      step number inside its episode
    source       (*batch, time) int8     who acted: POLICY, EXPERT, HUMAN, or nobody (SYNTHETIC)

A row of the batch is a stream; a padded episode, ragged demonstrations and an autoresetting batch are all of this type.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from journeyman.parts import JourneymanError, Number, fingerprint, refuse

HostOrDevice = Array | np.ndarray
"""An array in JAX's hands or in numpy's; data is kept on the host until a program takes it in."""

POLICY, EXPERT, HUMAN, SYNTHETIC = 0, 1, 2, 3

_PER_STEP = ("reward", "log_prob", "terminated", "truncated", "valid", "elapsed", "source")
_DTYPES = dict.fromkeys(("terminated", "truncated", "valid"), ("bool", np.bool_)) | {"reward": ("float", np.floating)}


class Episodes(eqx.Module):
    """Streams of steps; the fields and their shapes stand at the head of this module.

    After an end (`terminated | truncated`) comes one step with `valid = False` that leads from the last
    observation of the old episode to the first of the new one. So `observation[t+1]` is always the successor of
    step t and no final observation is lost. A stream may begin and stop in the middle of an episode.

    Raises `JourneymanError` on construction, with the numbers, when shapes disagree, a flag is no boolean or a reward
    no float, an end stands on an invalid step, a valid step follows an end without a reset step, `elapsed` does not
    count, or a valid observation, action or reward is not finite. Inside `jax.jit` only shapes can be checked.
    """

    observation: PyTree
    action: PyTree
    target: PyTree
    reward: HostOrDevice
    log_prob: HostOrDevice
    terminated: HostOrDevice
    truncated: HostOrDevice
    valid: HostOrDevice
    elapsed: HostOrDevice
    source: HostOrDevice

    def __check_init__(self) -> None:
        shape = self.valid.shape
        if not shape:
            raise JourneymanError("Episodes need a time axis, but `valid` is a scalar; pass arrays of shape (time,).")
        found = [
            f"'{name}' has shape {getattr(self, name).shape} where `valid` has {shape}; give one entry a step."
            for name in _PER_STEP
            if getattr(self, name).shape != shape
        ]
        for name, extra in (("observation", 1), ("action", 0), ("target", 0)):
            want = (*shape[:-1], shape[-1] + extra)
            found += [
                f"'{name}{jax.tree_util.keystr(path)}' has shape {leaf.shape} where {want} must lead: there"
                f" {'is one more observation than actions' if extra else 'is one entry a step'}."
                for path, leaf in jax.tree_util.tree_leaves_with_path(getattr(self, name))
                if leaf.shape[: len(want)] != want
            ]
        found += [
            f"'{name}' has dtype {getattr(self, name).dtype}, not {word}; convert it with `.astype({word})`."
            for name, (word, kind) in _DTYPES.items()
            if not jnp.issubdtype(getattr(self, name).dtype, kind)
        ]
        refuse(found)
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(self)):
            refuse(_value_problems(self))

    # -- shape ---------------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading axes, before time."""
        return self.valid.shape[:-1]

    @property
    def num_steps(self) -> int:
        """How many valid steps there are (reads the values: not inside `jax.jit`)."""
        return int(np.asarray(self.valid).sum())

    @property
    def ended(self) -> HostOrDevice:
        """`terminated | truncated`: an episode ends with this step."""
        return self.terminated | self.truncated

    @property
    def now(self) -> PyTree:
        """The observation in which each step's action was chosen, `(*batch, time, ...)`."""
        axis = len(self.batch_shape)
        return jax.tree.map(lambda leaf: leaf[(slice(None),) * axis + (slice(None, -1),)], self.observation)

    @property
    def next(self) -> PyTree:
        """The true successor of each step, `(*batch, time, ...)`."""
        axis = len(self.batch_shape)
        return jax.tree.map(lambda leaf: leaf[(slice(None),) * axis + (slice(1, None),)], self.observation)

    # -- building ------------------------------------------------------------------------------------

    @classmethod
    def episode(
        cls,
        observation: PyTree,
        action: PyTree,
        reward: Any = None,
        *,
        terminated: bool = False,
        truncated: bool | None = None,
        target: PyTree = None,
        log_prob: Any = None,
        source: int = EXPERT,
    ) -> "Episodes":
        """One whole episode from T+1 observations and T actions, as a stream with no batch axis.

        `truncated` defaults to `not terminated`: a recording that simply stops was cut, it did not end.
        """
        time = jax.tree.leaves(action)[0].shape[0]
        if time == 0:
            raise JourneymanError("An episode needs at least one step, but `action` is empty; leave it out.")
        last = np.arange(time) == time - 1
        return cls(
            observation=observation,
            action=action,
            target=action if target is None else target,
            reward=np.zeros(time, np.float32) if reward is None else np.asarray(reward, np.float32),
            log_prob=np.full(time, np.nan, np.float32) if log_prob is None else np.asarray(log_prob, np.float32),
            terminated=last & terminated,
            truncated=last & (not terminated if truncated is None else truncated),
            valid=np.ones(time, bool),
            elapsed=np.arange(time, dtype=np.int32),
            source=np.full(time, source, np.int8),
        )

    def pad(self, time: int) -> "Episodes":
        """The same streams made `time` steps long with invalid steps; padding never changes a loss."""
        more = time - self.valid.shape[-1]
        if more < 0:
            raise JourneymanError(f"Cannot pad to {time} steps: the streams are {self.valid.shape[-1]} long already.")
        axis = len(self.batch_shape)

        def extend(leaf: Any) -> np.ndarray:
            leaf = np.asarray(leaf)
            width = [(0, 0)] * leaf.ndim
            width[axis] = (0, more)
            return np.pad(leaf, width, mode="edge")

        padded = jax.tree.map(extend, self)
        invalid = np.broadcast_to(np.arange(time) >= time - more, padded.valid.shape)
        cleared = {
            "reward": np.where(invalid, 0, padded.reward).astype(padded.reward.dtype),
            "terminated": padded.terminated & ~invalid,
            "truncated": padded.truncated & ~invalid,
            "valid": padded.valid & ~invalid,
        }
        return Episodes(**{**{f: getattr(padded, f) for f in self.__dataclass_fields__}, **cleared})

    def take(self, indices: Any) -> "Episodes":
        """The streams at `indices` of the first batch axis."""
        if not self.batch_shape:
            raise JourneymanError("A single stream has no batch axis to take from; put it into `concatenate([...])`.")
        if isinstance(indices, (int, list, tuple, range, np.integer, np.ndarray)):
            count = self.batch_shape[0]
            indices = np.asarray(indices) if np.size(indices) else np.zeros(0, int)
            wrong = indices[(indices < -count) | (indices >= count)] if indices.dtype.kind in "iu" else []
            if len(wrong):
                raise JourneymanError(
                    f"There is no stream {wrong[0]}: there are {count}, numbered 0 to {count - 1}; take one of those."
                )
        return jax.tree.map(lambda leaf: leaf[indices], self)

    def cut(self, start: int, stop: int) -> "Episodes":
        """Steps `start … stop−1` of every stream, with the observation that follows the last of them."""
        time = (slice(None),) * len(self.batch_shape)

        def part(name: str) -> PyTree:
            more = 1 if name == "observation" else 0
            return jax.tree.map(lambda leaf: leaf[(*time, slice(start, stop + more))], getattr(self, name))

        if not 0 <= start < stop <= self.valid.shape[-1]:
            raise JourneymanError(
                f"Cannot cut steps {start} to {stop} out of streams of {self.valid.shape[-1]}; choose 0 ≤ start < stop"
                f" ≤ {self.valid.shape[-1]}."
            )
        return Episodes(**{name: part(name) for name in self.__dataclass_fields__})

    # -- reading -------------------------------------------------------------------------------------

    def unpack(self) -> Iterator["Episodes"]:
        """Each episode as a stream of its own without batch axis, in order; unfinished ones included."""
        rows = _rows(self)
        for row in range(len(rows.valid)):
            stream = jax.tree.map(lambda leaf, row=row: leaf[row], rows)
            for start, stop in _segments(stream):
                yield stream.cut(start, stop)

    def discounted_returns(self, discount: Number = 1.0) -> Array:
        """Σ_{k≥t} γ^{k−t} r_k inside each episode: the reward-to-go, shape `(*batch, time)`, 0 on invalid steps.

        What follows a truncation or the end of a stream is not known here and counts as 0; the bootstrapped
        form is `journeyman.weights.advantages`.
        """
        return _discounted_returns(self.reward, self.ended, self.valid, discount)

    def episode_returns(self, discount: float = 1.0) -> np.ndarray:
        """The return of every finished episode that began inside the data, in order (host).

        `discounted_returns` at their first steps, added up in double precision. Nothing is compiled: evaluations have
        another shape each time.
        """
        rows, found = _rows(self), []
        for row in range(len(rows.reward)):
            stream = jax.tree.map(lambda leaf, row=row: leaf[row], rows)
            for i, j in _segments(stream):
                if stream.elapsed[i] == 0 and stream.ended[j - 1]:
                    found.append(_discounted(stream.reward[i:j].tolist(), stream.valid[i:j].tolist(), discount))
        return np.asarray(found, rows.reward.dtype)

    def distinct_starts(self) -> int:
        """How many different first observations the episodes that begin inside the data have (host).

        A world that resets truly shows about as many as there are episodes; one that keeps its first state and uses it
        again shows 1. States that look alike count once.
        """
        first = np.asarray(self.valid) & (np.asarray(self.elapsed) == 0)
        starts = [np.ascontiguousarray(np.asarray(leaf)[first] + 0) for leaf in jax.tree.leaves(self.now)]  # −0 is 0
        return len({tuple(leaf[i].tobytes() for leaf in starts) for i in range(int(first.sum()))})

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name this data; labels, checkpoints and reports carry them."""
        return fingerprint(self)


def concatenate(episodes: Sequence[Episodes]) -> Episodes:
    """All streams below one another along one batch axis, padded to the longest.

    Raises `JourneymanError` for an empty list and when observations or actions disagree in structure or shape.
    """
    if not episodes:
        raise JourneymanError("There is nothing to concatenate: the list is empty; pass at least one `Episodes`.")
    longest = max(part.valid.shape[-1] for part in episodes)
    rows = []
    for part in episodes:
        rows.append(_rows(part.pad(longest)))
    shapes = [jax.tree.map(lambda leaf: leaf.shape[1:], row) for row in rows]
    for index, shape in enumerate(shapes):
        if jax.tree.structure(rows[index]) != jax.tree.structure(rows[0]) or shape != shapes[0]:
            raise JourneymanError(
                f"Streams 0 and {index} do not fit together: {_shapes(rows[0])} against {_shapes(rows[index])};"
                " concatenate data of one world only."
            )
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *rows)


def _shapes(part: Episodes) -> str:
    observation = jax.tree.map(lambda leaf: leaf.shape[2:], part.observation)
    return f"observation {observation}, action {jax.tree.map(lambda leaf: leaf.shape[2:], part.action)}"


@jax.jit
def _discounted_returns(reward: Array, ended: Array, valid: Array, discount: Any) -> Array:
    """See `Episodes.discounted_returns`; compiled once a shape."""

    def backward(later: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        reward, ended, valid = now
        total = jnp.where(valid, reward + jnp.where(ended, 0, discount * later), 0)
        return total, total

    steps = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), (reward, ended, valid))
    _, total = jax.lax.scan(backward, jnp.zeros(reward.shape[:-1], reward.dtype), steps, reverse=True)
    return jnp.moveaxis(total, 0, -1)


def _discounted(rewards: list[float], valid: list[bool], discount: float) -> float:
    total = 0.0
    for reward, counts in zip(reversed(rewards), reversed(valid), strict=True):
        total = reward + discount * total if counts else 0.0
    return total


def _rows(episodes: Episodes) -> Episodes:
    """The same data on the host with exactly one batch axis."""
    axes = len(episodes.batch_shape)
    count = math.prod(episodes.batch_shape)
    return jax.tree.map(lambda leaf: np.asarray(leaf).reshape(count, *leaf.shape[axes:]), episodes)


def _segments(stream: Episodes) -> list[tuple[int, int]]:
    """Start and stop of each episode of one host stream.

    Two successive valid steps belong together when no end lies between and `elapsed` counts on by as much as
    the index does: so an episode with invalid steps inside (thinned data) stays one episode.
    """
    steps = np.flatnonzero(stream.valid)
    if not len(steps):
        return []
    elapsed = np.asarray(stream.elapsed, np.int64)[steps]
    breaks = np.asarray(stream.ended)[steps[:-1]] | (np.diff(elapsed) != np.diff(steps))
    first, last = np.concatenate([[True], breaks]), np.concatenate([breaks, [True]])
    return list(zip(steps[first].tolist(), (steps[last] + 1).tolist(), strict=True))


def _value_problems(e: Episodes) -> list[str]:
    """The invariants that only the values can show; each message carries the first place and the count."""
    valid, ended, elapsed = np.asarray(e.valid), np.asarray(e.ended), np.asarray(e.elapsed)
    found = []

    def report(bad: np.ndarray, what: str, do: str) -> None:
        if bad.any():
            at: list[int] = np.argwhere(bad)[0].tolist()
            where = f"stream {tuple(at[:-1])}, step {at[-1]}" if len(at) > 1 else f"step {at[0]}"
            found.append(f"{what} at {where} ({int(bad.sum())} in all); {do}.")

    report(ended & ~valid, "An episode ends on an invalid step", "set its flags to False or mark the step valid")
    follows = valid[..., :-1] & valid[..., 1:]
    report(
        ended[..., :-1] & valid[..., 1:],
        "A valid step follows an end without the reset step between them",
        "insert one step with `valid = False` after every end",
    )
    miscount = follows & ~ended[..., :-1] & (elapsed[..., 1:] != elapsed[..., :-1] + 1)
    report(miscount, "`elapsed` does not go up by one", "count the steps of each episode from 0")
    report(valid & (elapsed < 0), "`elapsed` is negative", "count the steps of each episode from 0")
    report(valid & ~np.isfinite(np.asarray(e.reward)), "The reward is not finite", "use 0 where it is unknown")
    for name, tree in (("observation", e.now), ("successor", e.next), ("action", e.action), ("target", e.target)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            leaf = np.asarray(leaf)
            if leaf.dtype.kind == "f":
                finite = np.isfinite(leaf).all(axis=tuple(range(valid.ndim, leaf.ndim)))
                label = f"The {name}{jax.tree_util.keystr(path)} is not finite"
                report(valid & ~finite, label, "leave that episode out or repair the recording")
    return found
