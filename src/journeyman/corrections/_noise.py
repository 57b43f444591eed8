"""Noise on the observations: the cheap way to say that nearby states want the same action."""

from typing import Any

import jax
import numpy as np

from journeyman.corrections._pieces import pieces
from journeyman.episodes import Episodes, concatenate
from journeyman.parts import refuse


def noisy(episodes: Episodes, scale: float = 0.05, copies: int = 1, seed: int = 0) -> Episodes:
    """The demonstrations, and `copies` of every step with normal noise on what is seen and the same target.

        (o + scale · σ · ε, target),   ε ~ N(0, I),   σ the deviation of each column over the valid steps

    The control for corrective labels: it knows no dynamics, and says that a small displacement changes nothing. Copies
    are one-step pieces whose source is SYNTHETIC and whose successor is the demonstrated one. Columns of whole numbers
    are left as they are. The same `seed` gives the same noise; with `scale` = 0 copies repeat the data.

    Raises `JourneymanError` for a negative or infinite scale, fewer than one copy, and data without a valid step.

    Source: noisy behaviour cloning, the control of Ke et al. (2024). Deviation: theirs is uniform in [0, 1e-4] of the
    observation's own unit on half of the data.
    """
    found = []
    if not (scale >= 0 and np.isfinite(scale)):
        found.append(f"The noise has a deviation of {scale} times the data's; choose one of at least 0, such as 0.05.")
    if copies < 1:
        found.append(f"There is nothing to add with {copies} copies; make at least 1.")
    if not episodes.num_steps:
        found.append("The episodes hold no valid step to copy; pass at least one.")
    refuse(found)
    random, valid = np.random.default_rng(seed), np.asarray(episodes.valid)
    chosen = np.tile(np.arange(int(valid.sum())), copies)

    def rows(leaf: Any) -> np.ndarray:
        return np.asarray(leaf)[valid][chosen]

    def disturbed(leaf: Any) -> np.ndarray:
        shown = rows(leaf)
        if shown.dtype.kind != "f":
            return shown
        deviation = np.asarray(leaf)[valid].std(0, dtype=np.float64)  # in single precision a still column moves
        return (shown + scale * deviation * random.standard_normal(shown.shape)).astype(shown.dtype)

    copy = pieces(
        jax.tree.map(disturbed, episodes.now),
        jax.tree.map(rows, episodes.action),
        jax.tree.map(rows, episodes.next),
        rows(episodes.elapsed),
        time=valid.shape[-1],
        target=jax.tree.map(rows, episodes.target),
    )
    return concatenate([episodes, copy])
