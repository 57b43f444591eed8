"""Where episodes begin inside streams, which step belongs to which, and the time of every observation."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from journeyman.episodes import Episodes


def episode_starts(episodes: Episodes) -> Bool[Array, "*batch time"]:
    """Whether a step is the first recorded one of its episode.

    An episode that began before the stream, and one with invalid steps inside it (thinned data), counts as a piece of
    its own from each valid step that follows an invalid one; returns are cut in the same places.
    """
    valid = jnp.asarray(episodes.valid)
    before = jnp.concatenate([jnp.zeros_like(valid[..., :1]), valid[..., :-1]], axis=-1)
    return valid & ~before


def episode_numbers(episodes: Episodes) -> Int[Array, "*batch time"]:
    """Which episode (or piece, see `episode_starts`) each step belongs to, counted from 0 through all streams.

    An invalid step has the number of the episode before it.
    """
    starts = episode_starts(episodes)
    numbers = jnp.cumsum(starts.reshape(-1).astype(jnp.int32)) - 1
    return jnp.maximum(numbers, 0).reshape(starts.shape)


def observation_times(episodes: Episodes) -> Int[Array, "*batch observations"]:
    """The step number of every observation inside its episode, one more than steps.

    That of a valid step is `elapsed`; of the successor of an episode's last recorded step, one more than that step's;
    0 where no valid step comes before or after.
    """
    valid, elapsed = jnp.asarray(episodes.valid), jnp.asarray(episodes.elapsed)
    edge = [(0, 0)] * (valid.ndim - 1)
    now, known = jnp.pad(elapsed, [*edge, (0, 1)]), jnp.pad(valid, [*edge, (0, 1)])
    after, known_before = jnp.pad(elapsed + 1, [*edge, (1, 0)]), jnp.pad(valid, [*edge, (1, 0)])
    return jnp.where(known, now, jnp.where(known_before, after, 0))
