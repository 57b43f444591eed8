"""The figure of what errors cost by horizon, on two axes of logarithms."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from journeyman.report._figures import Drawing, Key
from journeyman.report._model import Band, CompoundingFigure, CostFigure
from journeyman.report._numbers import format_number
from journeyman.report._traces import band_and_line, draw_line, new_axis, new_layout, thin

_ROLES = ("spare-2", "spare-4")


def cost_drawing(compounding: CompoundingFigure, colours: Mapping[str, str]) -> Drawing | None:
    """The cost over the first H steps against H, with the lines to compare with; `None` where no mean is above 0."""
    cost = compounding.cost
    if cost is None or not (np.asarray(cost.cost.middle) > 0).any():
        return None
    name, role = compounding.policy, colours[compounding.policy]
    shown = _above(cost)
    layout = new_layout("H: steps from the start of the episode", float(np.max(cost.horizon)))
    layout["xaxis"] |= {"type": "log", "tickvals": [int(h) for h in cost.horizon], "tickformat": ",~r"}
    span = _decades(cost, shown)
    # Over few decades the powers of ten alone would leave an axis with a single number.
    layout["yaxis"] = new_axis(type="log", dtick=1 if span[1] - span[0] > 2 else "D2", range=span)
    traces = band_and_line(f"cost of the {name}", cost.horizon, shown, role)
    traces[-1] |= {"mode": "lines+markers", "marker": {"color": f"var(--{role})", "size": 7}}
    keys = [Key(f"the {name}", role)]
    for (label, line), spare in zip(cost.lines.items(), _ROLES, strict=False):
        traces.append(draw_line(label, thin(cost.horizon), thin(line), spare, "y"))
        keys.append(Key(label, spare, traces[-1]["line"]["dash"]))
    header, rows = _table(cost)
    commands = [compounding.command] if compounding.command else []
    title = f"What the {name}'s errors cost by horizon"
    figure = {"data": traces, "layout": layout}
    return Drawing("cost-figure", title, keys, _caption(cost, name), commands, figure, header, rows, 380)


def _above(cost: CostFigure) -> Band:
    """What an axis of logarithms can show: a mean that is not above 0 is a gap, and such a bound the lower edge."""
    middle, low, high = (np.asarray(part, float) for part in (cost.cost.middle, cost.cost.low, cost.cost.high))
    there = middle > 0
    floor = _floor(middle[there])
    return Band(
        *(np.where(there, part, math.nan) for part in (middle, np.maximum(low, floor), np.maximum(high, floor)))
    )


def _floor(means: np.ndarray) -> float:
    return 10.0 ** (math.floor(math.log10(float(means.min()))) - 1)


def _decades(cost: CostFigure, shown: Band) -> list[float]:
    """From the decade below the lowest mean to a little above the highest bound; lines may leave it below."""
    values = np.concatenate([np.asarray(part, float) for part in (shown.middle, shown.high, *cost.lines.values())])
    top = float(values[np.isfinite(values)].max())
    low = np.asarray(shown.low, float)
    bottom = float(low[np.isfinite(low)].min()) if np.isfinite(low).any() else float(np.nanmin(shown.middle)) / 2
    return [math.log10(bottom) - 0.05, math.log10(top) + 0.1]


def _caption(cost: CostFigure, name: str) -> str:
    gone = int((np.asarray(cost.cost.middle) <= 0).sum())
    left = f" {gone} of {len(cost.horizon)} means are not above 0 and not drawn." if gone else ""
    return (
        f"How much less than the expert the {name} earns over the first H steps; both axes are of logarithms, so a"
        f" power of H is a straight line. {cost.caption} Band: {cost.interval}; one that reaches 0 goes on below the"
        f" figure.{left}"
    )


def _table(cost: CostFigure) -> tuple[list[str], list[list[str]]]:
    header = ["H", "cost over H steps (reward)", "band", *cost.lines, "in the fit"]
    rows = []
    for i, h in enumerate(cost.horizon):
        bounds = [format_number(float(part[i])) for part in (cost.cost.low, cost.cost.high) if len(part)]
        row: list[Any] = [str(int(h)), format_number(float(cost.cost.middle[i])), " to ".join(bounds) or "–"]
        row += [format_number(float(line[i])) for line in cost.lines.values()]
        rows.append([*row, "yes" if cost.used[i] else "no"])
    return header, rows
