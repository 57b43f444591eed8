"""How far one path is from another, whatever the pace at which either is walked."""

import numpy as np
from jaxtyping import Float

from journeyman.parts import JourneymanError

Path = Float[np.ndarray, "_points _coordinates"]


def warped_distance(first: Path, second: Path) -> float:
    """The dynamic-time-warping distance of two paths: the mean distance of matched points, in their own unit.

        D = min over warpings  Σ_k w_k ‖first[i_k] − second[j_k]‖ / (n + m)

    A warping begins at both first points, ends at both last ones, and from match to match goes on by one point in
    either path or in both. w is 1 for a step in one path and 2 for a step in both and for the first match, so that all
    warpings weigh n + m in total, and D is a mean. It is 0 for a path and the same at another pace, and symmetric.

    Exact: every warping is considered, by dynamic programming in O(n m).

    Raises `JourneymanError` for paths without a point, of different dimension, or with points that are not finite.

    Source: Sakoe and Chiba, Dynamic programming algorithm optimization for spoken word recognition (1978): their
    symmetric form without a slope constraint (P = 0), equations 18 and 20.

    >>> warped_distance(np.array([[0.0], [1.0], [1.0], [2.0]]), np.array([[0.0], [1.0], [2.0], [2.0]]))
    0.0
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or not (len(first) and len(second)):
        raise JourneymanError(
            f"Paths of shape {first.shape} and {second.shape} cannot be matched; give (points, coordinates) with one"
            " point or more each, and as many coordinates in both."
        )
    wrong = int((~np.isfinite(first)).sum() + (~np.isfinite(second)).sum())
    if wrong:
        raise JourneymanError(
            f"{wrong} coordinates of the paths are not finite, so nothing is near them; mend the paths."
        )
    apart = np.linalg.norm(first[:, None] - second[None], axis=2)
    row = 2 * apart[0, 0] + np.cumsum(np.append(0.0, apart[0, 1:]))
    for cost in apart[1:]:
        both = np.append(np.inf, row[:-1] + 2 * cost[1:])
        # Along the row D_j = min(reached_j, D_{j−1} + cost_j), which is a running minimum of reached less what is paid.
        paid = np.cumsum(cost)
        row = np.minimum.accumulate(np.minimum(row + cost, both) - paid) + paid
    return float(row[-1] / (len(first) + len(second)))
