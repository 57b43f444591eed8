"""Exactly n whole episodes, each environment with its quota: what evaluation and demonstrations are made of."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.collect._behaviour import AbstractBehaviour
from journeyman.collect._rollout import Carry, Rolled, rolled, start
from journeyman.episodes import Episodes
from journeyman.parts import LAST_SEED, JourneymanError, mistaken, not_whole, refuse
from journeyman.worlds import AbstractHostWorld, AbstractPureWorld, AbstractWorld

_CHUNK = 64
"""Steps of one piece, fewer than `COMPILED`: these worlds are let go before a program would have earned its time."""


class PlayedOut(NamedTuple):
    """Whole episodes; whether each succeeded `(episodes,)`, row by row, `None` where the world does not say; and how
    many of their steps, and of the resets between them, were `broken` (`Carry.broken`)."""

    episodes: Episodes
    success: np.ndarray | None
    broken: int


def play(
    world: AbstractWorld,
    behaviour: AbstractBehaviour,
    *,
    episodes: int,
    seed: int,
    width: int = 64,
    longest: int = 100_000,
) -> Episodes:
    """Exactly `episodes` whole episodes in a world of its own, made afresh from `seed`; `world` is not touched.

    Environment i plays ⌈(episodes − i) / width⌉ episodes, whatever their length: to stop at the first n that end
    would favour short ones. Steps beyond a quota are invalid. Raises `JourneymanError` when an episode does not end
    within `longest` steps (a world without time limit), and for numbers that are not whole or too small.
    """
    return play_to_the_end(world, behaviour, episodes=episodes, seed=seed, width=width, longest=longest).episodes


def play_to_the_end(
    world: AbstractWorld,
    behaviour: AbstractBehaviour,
    *,
    episodes: int,
    seed: int,
    width: int = 64,
    longest: int = 100_000,
) -> PlayedOut:
    """`play`, and what else is known of the episodes."""
    refuse(mistaken("`world`", world, AbstractWorld) + mistaken("`behaviour`", behaviour, AbstractBehaviour))
    quota = _quota(episodes, width, seed)
    own = world.remake(seed=seed, num_envs=len(quota))
    try:
        parts, broken = _until_done(
            own, partial(rolled, own, behaviour), start(own), quota, jax.random.key(seed), longest
        )
        said = own.successes() if isinstance(own, AbstractHostWorld) else None
    finally:
        if isinstance(own, AbstractHostWorld):
            own.close()
    success = None if said is None else np.concatenate([one[:n] for one, n in zip(said, quota, strict=True)])
    counted = np.concatenate(broken, axis=1) & _wanted(parts, quota)
    return PlayedOut(_joined(parts, quota), success, int(counted.sum()))


def play_each(
    world: AbstractPureWorld,
    behaviours: AbstractBehaviour,
    *,
    members: int,
    episodes: int,
    seed: int,
    width: int = 64,
    longest: int = 100_000,
) -> list[Episodes]:
    """What `play` gives for each of several behaviours, at once: every array of `behaviours` leads with `members`."""
    quota = _quota(episodes, width, seed)
    own = world.remake(seed=seed, num_envs=len(quota))
    carry = _repeated(start(own), members)
    advance = partial(_advance_each, own.remake(seed=0), behaviours)
    parts, _ = _until_done(own, advance, carry, quota, jax.random.key(seed), longest)
    each = [[jax.tree.map(lambda leaf, i=i: leaf[i], part) for part in parts] for i in range(members)]
    return [_joined(one, quota) for one in each]


@eqx.filter_jit
def _repeated(carry: Carry, members: int) -> Carry:
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * members), carry)


@eqx.filter_jit
def _advance_each(
    world: AbstractPureWorld, behaviours: AbstractBehaviour, carry: Carry, key: Array, num_steps: int
) -> Rolled:
    def one(behaviour: AbstractBehaviour, carry: Carry) -> Rolled:
        return rolled(world, behaviour, carry, key, num_steps)

    return eqx.filter_vmap(one, in_axes=eqx.if_array(0))(behaviours, carry)


def _quota(episodes: int, width: int, seed: int) -> np.ndarray:
    """How many episodes each environment plays; refuses numbers that cannot be."""
    # a width is often made of the number of episodes, and then wrong with it
    found = not_whole("`episodes`", episodes, least=1) or not_whole("`width`", width, least=1)
    refuse(found + not_whole("`seed`", seed, most=LAST_SEED))
    width = min(width, episodes)
    return np.asarray([len(range(i, episodes, width)) for i in range(width)])


def _until_done(
    world: AbstractWorld, advance: Callable[..., Any], carry: Carry, quota: np.ndarray, key: Array, longest: int
) -> tuple[list[Episodes], list[np.ndarray]]:
    """Pieces of `_CHUNK` steps until every environment (of every member) has its quota, and which steps broke."""
    parts: list[Episodes] = []
    broken: list[np.ndarray] = []
    done = np.zeros(len(quota), int)
    while (done < quota).any():
        if len(parts) * _CHUNK >= longest * quota.max():
            raise JourneymanError(
                f"An episode of '{world.called}' did not end within {longest} steps; give the world a time limit."
            )
        carry, part, now = advance(carry, jax.random.fold_in(key, len(parts)), _CHUNK)
        parts.append(jax.tree.map(np.asarray, part))
        broken.append(np.asarray(now))
        done = done + np.asarray(part.ended).sum(axis=-1)
    return parts, broken


def _wanted(parts: list[Episodes], quota: np.ndarray) -> np.ndarray:
    """Which steps belong to an environment's quota, `(num_envs, time)`."""
    ended = np.concatenate([part.ended for part in parts], axis=1)
    return np.cumsum(ended, axis=1) - ended < quota[:, None]


def _joined(parts: list[Episodes], quota: np.ndarray) -> Episodes:
    """One after the other in time, what lies beyond a quota marked invalid, cut to the longest row."""
    wanted = _wanted(parts, quota)
    last = int(np.flatnonzero(wanted.any(axis=0))[-1]) + 1
    fields = {}
    for name in Episodes.__dataclass_fields__:
        tail = [getattr(part, name) for part in parts]
        if name == "observation":
            tail = [jax.tree.map(lambda leaf: leaf[:, :-1], o) for o in tail[:-1]] + tail[-1:]
        extra = int(name == "observation")
        fields[name] = jax.tree.map(lambda *leaves, e=extra: np.concatenate(leaves, axis=1)[:, : last + e], *tail)
    wanted = wanted[:, :last]
    fields |= {name: fields[name] & wanted for name in ("terminated", "truncated", "valid")}
    fields["reward"] = np.where(wanted, fields["reward"], 0).astype(np.float32)
    return Episodes(**fields)
