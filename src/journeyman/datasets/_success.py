"""Which demonstrations solve the task, by the world's own rule."""

import jax
import numpy as np

from journeyman.corrections import lacks_steps
from journeyman.datasets._read import Dataset
from journeyman.datasets._world_checks import judged
from journeyman.episodes import Episodes
from journeyman.worlds import AbstractPureWorld, AbstractWorld


def demonstration_success(data: Dataset | Episodes, world: AbstractWorld) -> np.ndarray | None:
    """Whether each demonstration succeeds `(episodes,)`, told by the simulator while its actions are replayed.

    One whose replay does not follow its recording does not count as a success: nobody has said that it is one. `None`
    where nothing can be known: the world says nothing of success or cannot be put into a recorded state, steps are
    missing, or more than half of the replays do not follow their recordings.
    """
    episodes = list((data.episodes if isinstance(data, Dataset) else data).unpack())
    actions = data.actions if isinstance(data, Dataset) else [episode.action for episode in episodes]
    if isinstance(world, AbstractPureWorld) or "settable state" not in world.provides():
        return None
    if len(actions) != len(episodes) or any(map(lacks_steps, episodes)):
        return None
    found = []
    for episode, done in zip(episodes, actions, strict=True):
        leaves = jax.tree.leaves(episode.observation)
        if len(leaves) != 1:
            return None
        told = judged(world, leaves[0], done)
        if told is None:
            return None
        found.append(told)
    followed, succeeded = np.asarray(found).T
    return succeeded if followed.mean() >= 0.5 else None
