"""Whether paired differences are more than chance: the exact sign-flip test."""

import numpy as np

_HALF = 16


def sign_flip(differences: np.ndarray) -> float:
    """The two-sided p-value of the mean of `differences` `(n,)`, were each as likely to have the other sign.

    Exact for up to 32 differences: all 2ⁿ signs are counted, as sums of one half of the differences and sums of the
    other. Ties count as extreme, with a slack for rounding, so that the p-value is never too small.
    """
    differences = np.asarray(differences, float)
    if len(differences) > 2 * _HALF:
        raise ValueError(f"{len(differences)} differences have too many signs to count; give at most {2 * _HALF}")
    halves = [_sums(half) for half in (differences[: len(differences) // 2], differences[len(differences) // 2 :])]
    size = np.abs(differences).sum()
    least = abs(differences.sum()) - 1e-9 * size
    other = np.sort(halves[1])
    above = len(other) - np.searchsorted(other, least - halves[0], side="left")
    below = np.searchsorted(other, -least - halves[0], side="right")
    return float(min((above + below).sum() / 2.0 ** len(differences), 1.0))


def _sums(some: np.ndarray) -> np.ndarray:
    """The sums of all signs."""
    found = np.zeros(1)
    for one in some:
        found = np.concatenate([found + one, found - one])
    return found
