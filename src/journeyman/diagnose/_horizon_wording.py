"""What the cost by horizon says, in a sentence and as a table.

Takes `CostByHorizon`, which is made of this sentence and so cannot be imported here.
"""

from typing import Any

from journeyman.diagnose._interval import Interval

LEAST_POINTS = 3
"""Horizons that an exponent needs."""


def horizon_finding(found: Any, saturated: float) -> str:
    """With which power of the horizon the cost grows, or why that cannot be told."""
    error = f"ε is {_bounds(found.error)} on the expert's states, in {found.error_unit}"
    if found.exponent is None:
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


def _verdict(exponent: Interval) -> str:
    if not exponent.known:
        return "from one episode nothing is known of its spread"
    if exponent.low > 1.5:
        return "as where errors are not recovered (2), and not as where they are (1)"
    if exponent.high < 1.5:
        return "as where errors are recovered (1), and not as where they are not (2)"
    return "too uncertain to tell 1 (errors are recovered) from 2 (they are not)"


def _bend(found: Any) -> str:
    """The line is no line where the slopes of its halves have intervals apart."""
    short, long = found.short, found.long
    if short is None or long is None or not (short.known and long.known):
        return ""
    if long.low <= short.high and short.low <= long.high:
        return ""
    return (
        f" The exponent is no constant: {_bounds(short)} over the shorter half of these horizons and {_bounds(long)}"
        " over the longer half."
    )


def _reason(found: Any, saturated: float) -> str:
    """Why there is no exponent."""
    if found.episodes < 2:
        return "one episode says nothing of the spread; play more"
    last, high = found.cost[-1], max(one.high for one in found.cost)
    if not any(one.low > 0 for one in found.cost):
        kind = "negative" if high < 0 else "not above 0 beyond its interval"
        return f"over {found.horizon[-1]} steps and {found.episodes:,} episodes it is {_bounds(last)}, {kind}"
    positive = [(h, one) for h, one in zip(found.horizon, found.cost, strict=True) if one.low > 0]
    if all(one.mean > saturated * found.scale * h for h, one in positive):
        h, one = positive[0]
        return (
            f"it is saturated; over {h} steps already it is {one.mean:.3g}, more than {saturated:.3g} of the most there"
            f" can be ({found.scale * h:.3g}), and there it grows like H whatever the errors do; ask for shorter ones"
        )
    kept = found.horizon[found.used].tolist()
    return (
        f"only the horizons {kept} have a cost above 0 beyond its interval and are not saturated; ask for more horizons"
        " or episodes"
    )


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
    known = f"95 % interval {value.low:.3g} to {value.high:.3g}" if value.known else "no interval"
    return f"{value.mean:.3g} ({known})".replace("-", "−")
