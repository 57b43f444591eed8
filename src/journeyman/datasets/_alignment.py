"""Whether actions stand in the row of the observation in which they were chosen, asked of the world itself."""

import dataclasses
import math
from typing import Any

import numpy as np

from journeyman.datasets._recording import Recording
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractWorld, successors

WINDOWS, WINDOW = 20, 10
"""So many windows of so many steps are asked about, spread over the episodes."""
LEAST = 20
"""With fewer steps than this that the world can be put into, nothing is said."""
SHIFTS = (-1, 0, 1)
CHANCE = 1e-3
"""How often chance may make one shift fit better than another."""
_ROW = {-1: "before", 1: "after"}


@dataclasses.dataclass(frozen=True)
class Alignment:
    """How well the recorded successor follows from the action of the row before, the same row, and the row after.

    `errors`   median distance between the world's successor and the recorded one for each shift, in root mean square
               over entries, each divided by the deviation of its change in one step; `None` where nobody can tell
    `wins`     in how many steps each shift comes nearer than shift 0, and of how many without ties
    `steps`    how many steps were asked about
    `verdict`  "aligned", "shifted" or "cannot tell"
    `shift`    0, or the shift that fits: 1 where each action stands one row late
    `reason`   why nobody can tell
    """

    errors: dict[int, float] | None
    wins: dict[int, tuple[int, int]]
    steps: int
    verdict: str
    shift: int = 0
    reason: str = ""


def alignment(recording: Recording, world: AbstractWorld) -> Alignment:
    """Compare s′ = f(o_t, a_{t+k}) with o_{t+1} for k = −1, 0, 1, by putting the world into the state that o_t shows.

    Assumption: an observation determines the state up to what the next one does not depend on. It is held against the
    world: steps where the world shows something else than o_t, by more than a tenth of a step's change, do not count.
    "Shifted" needs −1 or 1 to come nearer than 0 in so many steps that chance does so once in a thousand (sign test),
    and to have less than half its median error, since the steps of one window are not independent. "Aligned" needs 0 to
    come nearer than both by the sign test. Else nobody can tell: actions that hardly change or act late fit next to
    their row as well, and an error of more than half a step's change at every shift is another world, or an observation
    that hides too much.
    """
    windows = _windows(recording)
    if not windows:
        return Alignment(None, {}, 0, "cannot tell", reason="no episode has three steps with a successor")
    now, after = (np.concatenate([window[part] for window in windows]) for part in ("now", "after"))
    scale = (after - now).std(axis=0)
    scale = np.where(scale > 0, scale, np.where(scale.any(), scale[scale > 0].min(initial=1.0), 1.0))
    errors = {}
    try:
        for shift in SHIFTS:
            found = successors(world, now, np.concatenate([window[shift] for window in windows]))
            errors[shift] = _distance(found.observation, after, scale)
            shown = _distance(found.shown, now, scale)
    except (JourneymanError, ValueError, TypeError, IndexError) as error:
        return Alignment(None, {}, 0, "cannot tell", reason=str(error).rstrip("."))
    usable = np.asarray(shown < 0.1)
    steps = int(usable.sum())
    if steps < LEAST:
        reason = f"the observation shows the state of the world in {steps} of {len(usable)} steps only"
        return Alignment(None, {}, steps, "cannot tell", reason=reason)
    return judge({shift: error[usable] for shift, error in errors.items()})


def judge(errors: dict[int, np.ndarray]) -> Alignment:
    """The verdict on errors `(steps,)` under each shift; see `alignment`."""
    middle = {shift: float(np.median(error)) for shift, error in errors.items()}
    wins = {
        shift: (int((errors[shift] < errors[0]).sum()), int((errors[shift] != errors[0]).sum())) for shift in (-1, 1)
    }
    steps = len(errors[0])
    better = [s for s, (count, of) in wins.items() if _tail(count, of) < CHANCE and middle[s] < 0.5 * middle[0]]
    if better:
        return Alignment(middle, wins, steps, "shifted", min(better, key=lambda shift: middle[shift]))
    if middle[0] > 0.5:
        reason = (
            f"its successors are {middle[0]:.2g} times a step's change away from the recorded ones whichever action is"
            " taken, so it is another world (or version), or the observation hides too much"
        )
        return Alignment(middle, wins, steps, "cannot tell", reason=reason)
    as_well = [_ROW[s] for s, (count, of) in wins.items() if _tail(of - count, of) >= CHANCE]
    if as_well:
        reason = f"the action of the row {' and that of the row '.join(as_well)} it fits about as well as its own"
        return Alignment(middle, wins, steps, "cannot tell", reason=reason)
    return Alignment(middle, wins, steps, "aligned")


def _tail(count: int, of: int) -> float:
    """P(X ≥ count) for X ~ Binomial(of, ½)."""
    return sum(math.comb(of, k) for k in range(count, of + 1)) / 2**of


def _distance(one: np.ndarray, other: np.ndarray, scale: np.ndarray) -> np.ndarray:
    off = np.abs(one - other.reshape(one.shape))
    return np.sqrt(((np.minimum(off, 1e6) / scale) ** 2).mean(axis=1))


def _windows(recording: Recording) -> list[dict[Any, np.ndarray]]:
    """Observations before and after, and the action of each shift, of steps that have a neighbour on both sides."""
    leaves = recording.leaves("observation")
    if len(leaves) != 1:
        return []
    long = np.flatnonzero(recording.lengths >= 3)
    chosen = long[np.unique(np.linspace(0, len(long) - 1, min(WINDOWS, len(long))).astype(int))] if len(long) else []
    share = max(1, WINDOWS // max(len(chosen), 1))
    found = []
    for episode in chosen:
        start, stop = int(recording.ends.start[episode]), int(recording.ends.stop[episode])
        for first in _begins(start + 1, stop - 1, share):
            rows = np.arange(first, min(first + WINDOW, stop - 1))
            found.append(_window(recording, leaves[0][1], rows))
    return found


def _begins(low: int, high: int, count: int) -> list[int]:
    """Where `count` windows begin between the rows `low` and `high`, without overlap, in order."""
    count = max(1, min(count, (high - low) // WINDOW))
    return [low + (high - low - min(WINDOW, high - low)) * i // max(count - 1, 1) for i in range(count)]


def _window(recording: Recording, leaf: Any, rows: np.ndarray) -> dict[Any, np.ndarray]:
    action = recording.columns["action"]
    at = recording.ends.observation_row(rows)
    seen = np.asarray(leaf.rows(int(at[0]), int(at[-1]) + 2), float).reshape(len(rows) + 1, -1)
    chosen = np.asarray(action.rows(int(rows[0]) - 1, int(rows[-1]) + 2))
    count = len(rows)
    return {"now": seen[:-1], "after": seen[1:], -1: chosen[:count], 0: chosen[1 : count + 1], 1: chosen[2:]}
