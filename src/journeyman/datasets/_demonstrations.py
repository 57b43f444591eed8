"""The demonstrations of a file that holds more than these."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from journeyman.corrections import demonstrated
from journeyman.corrections._packing import packed
from journeyman.datasets._read import Dataset
from journeyman.parts import counted


def demonstrations(data: Dataset) -> tuple[Dataset, str]:
    """`data` with its demonstrations alone, and a sentence about what else is in it, empty where nothing is.

    A file may hold corrective labels, noisy copies and what a learner played beside the demonstrations
    (`corrections.demonstrated`). Scores, successes and modes of demonstrations are told of these alone. The
    fingerprint stays that of the file.
    """
    chosen = demonstrated(data.episodes)
    if chosen.all():
        return data, ""

    def those(values: Iterable[Any]) -> list[Any]:
        return [value for value, one in zip(values, chosen, strict=True) if one]

    # Where an episode of one step without its successor was left out, numbers and episodes do not go together.
    whole = len(data.actions) == len(chosen)
    kept = those(data.episodes.unpack())
    shown = dataclasses.replace(
        data,
        episodes=packed(kept),
        actions=tuple(those(data.actions) if whole else [piece.action for piece in kept]),
        returns=np.asarray(those(data.returns)) if whole and data.returns is not None else None,
        best=np.asarray(those(data.best)) if whole and data.best is not None else None,
    )
    others = data.episodes.num_steps - shown.episodes.num_steps
    return shown, (
        f"{counted(len(kept), 'demonstration')} of {counted(shown.episodes.num_steps, 'step')}, and beside them"
        f" {counted(others, 'step')} that no demonstrator made (labels, copies, or what a policy played); these"
        " are learned from and count in no score."
    )
