"""One seed for a world, a seed for each of its environments."""

from typing import Any

import numpy as np

from journeyman.parts import LAST_SEED, not_whole, refuse


def seed_problems(seed: Any, num_envs: Any) -> list[str]:
    """Why no world can have this seed or so many environments, in sentences."""
    return not_whole("`seed`", seed, most=LAST_SEED) + not_whole("`num_envs`", num_envs, least=1)


def environment_seeds(seed: int, num_envs: int) -> list[int]:
    """`num_envs` different seeds in [0, 2³¹) from `seed`, the same first ones for every `num_envs`.

    They come from `numpy.random.SeedSequence`, so worlds of seed s and s+1 share no environment; `seed + i`, the
    usual choice, makes them share all but one. Raises `JourneymanError` for a seed that is no whole number from 0 to
    2³² − 1, and no environments.
    """
    refuse(seed_problems(seed, num_envs))
    found, width = np.zeros(0, np.uint32), int(num_envs)
    while len(found) < num_envs:  # two equal draws are rare: then draw further
        words = np.random.SeedSequence(seed).generate_state(width) & np.uint32(0x7FFFFFFF)
        found = words[np.sort(np.unique(words, return_index=True)[1])]
        width += 8 + 2 * (width - len(found))
    return found[:num_envs].tolist()
