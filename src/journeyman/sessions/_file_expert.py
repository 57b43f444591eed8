"""An expert that is a file: the states that a learner visits go out, and labels come back."""

from functools import partial

import numpy as np

from journeyman._settings import ExportSettings, ImportSettings, positive
from journeyman.collect import Mean, play
from journeyman.datasets import ask_for_labels, labelled, read, write
from journeyman.episodes import concatenate
from journeyman.parts import counted, refuse
from journeyman.sessions._files import load_policy, relative
from journeyman.sessions._refusals import attempt, make_world
from journeyman.training import world_problems
from journeyman.training._folder import lost
from journeyman.worlds import AbstractHostWorld


def export_states(settings: ExportSettings) -> list[str]:
    """Play and write; returns what to tell. Raises `JourneymanError` with every reason at once."""
    found = positive(episodes=settings.episodes) + lost({"POLICY": settings.policy}, [settings.out])
    make = partial(make_world, settings.world, settings.options, num_envs=1, seed=settings.seed)
    made, policy = attempt(found, make), attempt(found, lambda: load_policy(settings.policy))
    if made is not None and policy is not None:
        found += world_problems(policy, made)
    refuse(found)
    assert made is not None  # else something was found
    assert policy is not None
    try:
        visited = play(made, Mean(policy), episodes=settings.episodes, seed=settings.seed)
    finally:
        if isinstance(made, AbstractHostWorld):
            made.close()
    asked = ask_for_labels(visited, settings.out, overwrite=settings.overwrite)
    return [
        f"{visited.num_steps:,} states of {counted(settings.episodes)}: {asked.path}",
        asked.how,
        f"Then: journeyman dagger import {relative(asked.path)} LABELS --out aggregated.npz",
    ]


def import_labels(settings: ImportSettings) -> list[str]:
    """Read, join and write; returns what to tell. Raises `JourneymanError` as `datasets.labelled` does."""
    refuse(lost({"VISITED": settings.visited, "LABELS": settings.labels}, [settings.out]))
    visited = read(settings.visited).episodes
    found = labelled(visited, settings.labels, partial=settings.partial)
    before = [] if settings.data is None else [read(settings.data).episodes]
    joined = concatenate([*before, found.episodes])
    path = write(joined, settings.out, overwrite=settings.overwrite)
    share = found.labels / max(found.steps, 1)
    changed = np.asarray(found.episodes.target != found.episodes.action)
    changed = changed.reshape(*found.episodes.valid.shape, -1).any(-1) & np.asarray(found.episodes.valid)
    return [
        *(f"note: {note}" for note in found.notes),
        f"{found.labels:,} of {found.steps:,} visited states have a label ({share:.0%}); in {int(changed.sum()):,} of"
        " them it is not what the learner did.",
        f"{joined.num_steps:,} steps to clone from: {path}",
    ]
