"""What the cost by horizon says, in a sentence and as a table.

Takes `CostByHorizon`, which is made of this sentence and so cannot be imported here.
"""

import math
from typing import Any

import numpy as np

from journeyman.diagnose._horizon_power import LEAST_EPISODES
from journeyman.diagnose._interval import Interval
from journeyman.parts import counted

LEAST_POINTS = 3
"""Horizons that an exponent needs."""


def horizon_finding(found: Any, saturated: float) -> str:
    """With which power of the horizon the cost grows, or why that cannot be told."""
    error = f"ε is {_bounds(found.error)} on the expert's states, in {found.error_unit}"
    if not tells(found.exponent):
        return f"How the cost grows with the horizon cannot be told: {_reason(found, saturated)}; {error}."
    first, last = found.horizon[found.used][[0, -1]]
    said = (
        f"The cost over the first H steps grows like H to the power {_bounds(found.exponent)} from H = {first} to"
        f" {last}, over {found.episodes:,} episodes: {_verdict(found.exponent)}; {error}."
    )
    left = found.horizon[(found.horizon > last) & ~found.used]
    if len(left):
        said += f" From H = {left[0]} on it is left out: more than {saturated:.3g} of the most there can be."
    return said + _bend(found)


def tells(exponent: Interval | None) -> bool:
    """Whether there is an exponent, and an interval that is not open on both sides."""
    return exponent is not None and (math.isfinite(exponent.low) or math.isfinite(exponent.high))


def _verdict(exponent: Interval) -> str:
    if exponent.low > 1.5:
        return "as where errors are not recovered (2), and not as where they are (1)"
    if exponent.high < 1.5:
        return "as where errors are recovered (1), and not as where they are not (2)"
    return "too uncertain to tell 1 (errors are recovered) from 2 (they are not)"


def _bend(found: Any) -> str:
    """The line is no line where the powers of its halves have intervals apart."""
    short, long = found.short, found.long
    if short is None or long is None or (long.low <= short.high and short.low <= long.high):
        return ""
    return (
        f" The exponent is no constant: {_bounds(short)} over the shorter half of these horizons and {_bounds(long)}"
        " over the longer half."
    )


def _reason(found: Any, saturated: float) -> str:
    """Why there is no exponent, or none with a bound."""
    if found.episodes < 2:
        return "one episode says nothing of the spread; play more"
    if not found.used.any():
        h, one = found.horizon[0], found.cost[0]
        return (
            f"it is saturated; over {counted(int(h), 'step')} already it is {one.mean:.3g}, more than"
            f" {saturated:.3g} of the most there can be ({found.scale * h:.3g}), and there it grows like H"
            " whatever the errors do; ask for shorter ones"
        )
    kept, last = found.horizon[found.used], found.cost[np.flatnonzero(found.used)[-1]]
    over = f"over {counted(int(kept[-1]), 'step')} and {counted(found.episodes)} it is {_bounds(last)}"
    if not last.low > 0:
        longer = np.flatnonzero(found.horizon > kept[-1])[:1]
        beyond = "".join(
            f"; over {found.horizon[i]} it is {found.cost[i].mean:.3g} and saturated, more than {saturated:.3g} of the"
            " most there can be, and grows like H whatever the errors do"
            for i in longer
        )
        return f"{over}, {'negative' if last.high < 0 else 'not above 0 beyond its interval'}{beyond}"
    if found.exponent is not None:
        return f"{over}, and no power of H can be told from another by it; play more episodes"
    if len(kept) < LEAST_POINTS or kept[-1] < 2 * kept[0]:
        return f"only the horizons {kept.tolist()} are not saturated; ask for more horizons"
    return f"fewer than {LEAST_EPISODES} of {found.episodes:,} episodes cost anything; play more"


def horizon_table(found: Any) -> str:
    """A row for each horizon."""
    rows: list[tuple[str, ...]] = [("H", "cost over H steps", "εH²/2", "εH", "in the fit")]
    for i, (h, cost) in enumerate(zip(found.horizon, found.cost, strict=True)):
        lines = [f"{line[i]:.4g}" if line is not None else "–" for line in (found.unrecoverable, found.recoverable)]
        rows.append((str(h), _cell(cost), *lines, "yes" if found.used[i] else "no"))
    return _columns(rows)


def compounding_table(found: Any) -> str:
    """A row for each horizon, and below it one for each bin of step numbers."""
    cost = found.by_horizon
    head = ["step", "error on the expert's states", "error on its own"]
    rows: list[tuple[str, ...]] = [(*head, "cost of a step") if cost is not None else tuple(head)]
    for i, step in enumerate(found.step):
        errors = [_cell(_at(one, i)) if one is not None else "–" for one in (found.expert_states, found.own_states)]
        rows.append((f"{step:g}", *errors, *([] if cost is None else [_cell(cost.step_cost[i])])))
    return _columns(rows) if cost is None else f"{horizon_table(cost)}\n\n{_columns(rows)}"


def _at(values: Any, place: int) -> Interval:
    mean, low, high = (float(line[place]) for line in (values.mean, values.low, values.high))
    return Interval(mean, low, high, int(values.count[place]))


def _columns(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)


def _cell(value: Interval) -> str:
    return f"{value.mean:.4g} [{value.low:.4g}, {value.high:.4g}]" if value.known else f"{value.mean:.4g}"


def _bounds(value: Interval) -> str:
    if value.known:
        known = f"95 % interval {value.low:.3g} to {value.high:.3g}"
    elif math.isfinite(value.low):
        known = f"95 % interval {value.low:.3g} and above"
    elif math.isfinite(value.high):
        known = f"95 % interval {value.high:.3g} and below"
    else:
        known = "no interval"
    return f"{value.mean:.3g} ({known})".replace("-", "−")
