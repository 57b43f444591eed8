"""How far a policy's actions are from the expert's, state by state."""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.diagnose._by_step import Steps, places
from journeyman.episodes import Episodes
from journeyman.policies import AbstractDensityPolicy
from journeyman.worlds import AbstractFinite, AbstractWorld, Box

_CHUNK = 4096


def _units(space: Box) -> tuple[np.ndarray, str]:
    """What 1 is in each dimension of an action, and in words: half of its width where it has both bounds."""
    width = np.asarray(space.high, np.float64) - np.asarray(space.low, np.float64)
    bounded = np.isfinite(width)
    unit = np.where(bounded & (width > 0), width / 2, 1.0)
    if bounded.all():
        return unit, "half widths of the action box"
    return unit, "half widths of the action box where it has both bounds, else action units" if bounded.any() else (
        "action units"
    )


def error_unit(world: AbstractWorld) -> str:
    """What the error is counted in."""
    if isinstance(world.action_space, AbstractFinite):
        return "share of decisions that differ"
    assert isinstance(world.action_space, Box)
    return _units(world.action_space)[1]


@eqx.filter_jit
def _modes(policy: AbstractDensityPolicy, observation: PyTree) -> Array:
    return policy.mode(observation)


def actions_of(episodes: Episodes, policy: AbstractDensityPolicy) -> np.ndarray:
    """The policy's actions where `episodes` went, `(*batch, time, ...)`, computed in parts of one size."""
    lead = episodes.valid.shape
    count = int(np.prod(lead))
    flat = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(count, *leaf.shape[len(lead) :]), episodes.now)
    parts = []
    for start in range(0, count, _CHUNK):
        rows = np.minimum(np.arange(start, start + min(_CHUNK, count)), count - 1)
        parts.append(np.asarray(_modes(policy, jax.tree.map(lambda leaf, rows=rows: leaf[rows], flat))))
    actions = np.concatenate(parts)[:count]
    return actions.reshape(*lead, *actions.shape[1:])


def constant_action(world: AbstractWorld, labelled: Episodes) -> tuple[np.ndarray, str]:
    """What to do always in place of the targets, and what it is: their mean, or of choices the commonest, all entries
    together."""
    target = np.asarray(labelled.target)[np.asarray(labelled.valid)]
    if isinstance(space := world.action_space, Box):
        return np.clip(target.astype(np.float64), space.low, space.high).mean(axis=0), "the mean"
    found, counts = np.unique(target, axis=0, return_counts=True)
    return np.asarray(found[np.argmax(counts)]), "the commonest"


def errors(action: np.ndarray, world: AbstractWorld, labelled: Episodes) -> Steps:
    """‖clipped action − clipped target‖ of each valid step."""
    valid, target = np.asarray(labelled.valid), np.asarray(labelled.target)
    action, target, space = action[valid], target[valid], world.action_space
    if isinstance(space, Box):
        done, wanted = (np.clip(each.astype(np.float64), space.low, space.high) for each in (action, target))
        off = (done - wanted) / _units(space)[0]
        error = np.sqrt((off.reshape(len(off), -1) ** 2).sum(axis=1))
    else:
        error = (action != target).reshape(len(target), -1).any(axis=1).astype(np.float64)
    episode, step, count = places(labelled)
    return Steps(episode, step, error, count)
