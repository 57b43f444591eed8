"""Exactly n whole episodes, each environment with its quota: what evaluation and demonstrations are made of."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from journeyman.collect._behaviour import AbstractBehaviour
from journeyman.collect._rollout import rollout, start
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractHostWorld, AbstractWorld

_CHUNK = 128


class PlayedOut(NamedTuple):
    """Whole episodes, and whether each succeeded `(episodes,)`, row by row; `None` where the world does not say."""

    episodes: Episodes
    success: np.ndarray | None


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
    within `longest` steps (a world without time limit).
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
    """`play`, and what the world says about each episode's success."""
    if episodes < 1:
        raise JourneymanError(f"At least one episode has to be played, not {episodes}; ask for one or more.")
    width = min(width, episodes)
    quota = np.asarray([len(range(i, episodes, width)) for i in range(width)])
    own = world.remake(seed=seed, num_envs=width)
    try:
        parts = _until_done(own, behaviour, quota, jax.random.key(seed), longest)
        said = own.successes() if isinstance(own, AbstractHostWorld) else None
    finally:
        if isinstance(own, AbstractHostWorld):
            own.close()
    success = None if said is None else np.concatenate([one[:n] for one, n in zip(said, quota, strict=True)])
    return PlayedOut(_joined(parts, quota), success)


def _until_done(
    world: AbstractWorld, behaviour: AbstractBehaviour, quota: np.ndarray, key: Array, longest: int
) -> list[Episodes]:
    carry, parts, done = start(world), [], np.zeros(len(quota), int)
    while (done < quota).any():
        if len(parts) * _CHUNK >= longest * quota.max():
            raise JourneymanError(
                f"An episode of '{world.name}' did not end within {longest} steps; give the world a time limit."
            )
        carry, part = rollout(world, behaviour, carry, jax.random.fold_in(key, len(parts)), _CHUNK)
        parts.append(jax.tree.map(np.asarray, part))
        done = done + np.asarray(part.ended).sum(axis=1)
    return parts


def _joined(parts: list[Episodes], quota: np.ndarray) -> Episodes:
    """One after the other in time, what lies beyond a quota marked invalid, cut to the longest row."""
    ended = np.concatenate([part.ended for part in parts], axis=1)
    before = np.cumsum(ended, axis=1) - ended
    wanted = before < quota[:, None]
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
