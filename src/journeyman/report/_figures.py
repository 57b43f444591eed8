"""The figures of a report: which curves share one, what is written on it, and its numbers as a table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from journeyman.report._model import Band, CompoundingFigure, Curve, Reference
from journeyman.report._numbers import format_number
from journeyman.report._traces import (
    DASHES,
    band_and_line,
    draw_line,
    in_order,
    largest,
    new_axis,
    new_layout,
    panel_title,
    reference_lines,
    stride_of,
    thin,
)


@dataclass(frozen=True)
class Key:
    """One entry of a figure's legend: a name, the role of its colour, and how its line is drawn."""

    name: str
    role: str
    dash: str = "solid"


@dataclass(frozen=True)
class Drawing:
    """A figure ready for the page: the Plotly dictionary with its title, legend, caption and table."""

    anchor: str
    title: str
    keys: Sequence[Key]
    caption: str
    commands: Sequence[str]
    figure: Mapping[str, Any]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    height: int


def curve_drawings(curves: Sequence[Curve], colours: Mapping[str, str]) -> list[Drawing]:
    """One drawing for every group of curves that share both axes."""
    groups: dict[tuple[str, ...], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.y_label, curve.y_unit, curve.x_label, curve.x_unit), []).append(curve)
    return [_learning(f"learning-{i}", group, colours) for i, group in enumerate(groups.values(), 1)]


def _learning(anchor: str, curves: Sequence[Curve], colours: Mapping[str, str]) -> Drawing:
    first = curves[0]
    traces, keys, stride = [], [], 1
    for curve in curves:
        role = colours[curve.name]
        stride = max(stride, stride_of(len(curve.x)))
        traces += band_and_line(curve.name, curve.x, curve.y, role)
        keys.append(Key(curve.name, role, DASHES.get(role, "solid")))
    lines = {line.name: line for curve in curves for line in curve.references}
    values = [v for c in curves for s in (c.y.middle, c.y.low, c.y.high) for v in np.asarray(s, float).ravel()]
    finite = [v for v in [*values, *(line.value for line in lines.values())] if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = 0.06 * (high - low or abs(high) or 1.0)
    bottom = 0.0 if 0 <= low < 0.5 * high else low - room
    top = max(high + 1.6 * room, bottom + room)
    layout = new_layout(_label(first.x_label, first.x_unit), max(largest(curve.x) for curve in curves))
    layout["yaxis"] = new_axis(max(abs(bottom), abs(top)), range=[bottom, top], nticks=6)
    layout["shapes"], layout["annotations"] = reference_lines(list(lines.values()), colours, top - bottom)
    for line, name in zip(in_order(lines.values()), layout["annotations"], strict=True):
        if _crowds(curves, line.value):
            name |= {"x": 0, "xanchor": "left"}
    title = f"{_sentence(_label(first.y_label, first.y_unit))} by {first.x_label}"
    caption = [c.caption for c in curves if c.caption] or [
        f"{_sentence(first.y_label)} while training goes on, by {first.x_label}."
    ]
    bands = [c.interval for c in curves if c.interval and len(c.y.low)]
    caption += [f"Bands: {' · '.join(dict.fromkeys(bands))}."] if bands else []
    caption += [f"Every {_ordinal(stride)} point is drawn."] if stride > 1 else []
    header, rows = _curve_table(curves)
    commands = list(dict.fromkeys(c.command for c in curves if c.command))
    figure = {"data": traces, "layout": layout}
    return Drawing(anchor, title, keys, " ".join(dict.fromkeys(caption)), commands, figure, header, rows, 360)


def compounding_drawing(compounding: CompoundingFigure, colours: Mapping[str, str]) -> Drawing:
    """Error, distance and episodes alive, one above the other on the same steps."""
    c, own, expert = compounding, colours[compounding.policy], colours["expert"]
    near, far = "on the expert's states", "on its own states"
    panels = _panels(c.distance is not None)
    layout = new_layout("step number inside the episode (steps)", largest(c.step), anchor=f"y{len(panels)}")
    traces = band_and_line(near, c.step, c.expert_states, expert)
    traces += band_and_line(far, c.step, c.own_states, own)
    for name, line in c.references.items():
        traces += band_and_line(name, c.step, Band(line), "spare-4")
    layout["yaxis"] = new_axis(domain=panels[0], rangemode="tozero", nticks=5)
    titles = [_label("Action error", c.error_unit)]
    if c.distance is not None:
        traces += band_and_line("distance", c.step, c.distance, own, axis="y2")
        layout["yaxis2"] = new_axis(domain=panels[1], rangemode="tozero", nticks=4)
        titles.append(_label("Distance from the demonstrations", c.distance_unit))
    if c.distance is not None and c.distance_within is not None:
        yardstick = [Reference("between demonstrations", c.distance_within)]
        yard_role = {"between demonstrations": "demonstrations"}
        layout["shapes"], lines = reference_lines(yardstick, yard_role, math.inf, axis="y2")
        layout["annotations"] += lines
    last = f"y{len(panels)}"
    traces += _alive(c, own, expert, last)
    layout[f"yaxis{len(panels)}"] = new_axis(domain=panels[-1], rangemode="tozero", nticks=3)
    titles.append("Episodes still running")
    layout["annotations"] += [panel_title(t, p[1]) for t, p in zip(titles, panels, strict=True)]
    layout["margin"]["t"] = 40
    keys = [Key(f"the {c.policy} {far}", own), Key(f"the {c.policy} {near}", expert, "dash")]
    keys += [Key(name, "spare-4", DASHES["spare-4"]) for name in c.references]
    header, rows = _compounding_table(c)
    figure = {"data": traces, "layout": layout}
    commands = [c.command] if c.command else []
    height = 560 if c.distance is not None else 420
    title = f"How the {c.policy}'s error grows inside an episode"
    return Drawing("compounding-figure", title, keys, _compounding_caption(c), commands, figure, header, rows, height)


def _panels(distance: bool) -> list[list[float]]:
    return [[0.6, 1.0], [0.23, 0.49], [0.0, 0.12]] if distance else [[0.36, 1.0], [0.0, 0.2]]


def _compounding_caption(c: CompoundingFigure) -> str:
    if c.caption:
        return c.caption
    expert = f" (dashed: the {c.expert_episodes} of the expert)" if len(c.expert_alive) else ""
    return (
        f"Dashed: how far the {c.policy}'s action is from the expert's on states that the expert visits;"
        f" solid: on states that the {c.policy} reaches itself. Where the solid line leaves the dashed one,"
        f" its errors carry it to states that it was not shown. Lines are medians, bands {c.interval};"
        f" the strip at the bottom counts how many of the {c.episodes} episodes are still running{expert}:"
        f" a line rests on no more than these."
    )


def _alive(c: CompoundingFigure, own: str, expert: str, axis: str) -> list[dict[str, Any]]:
    step, alive = thin(c.step), thin(c.alive)
    area = draw_line("episodes running", step, alive, own, axis)
    area |= {"fill": "tozeroy", "fillcolor": f"var(--{own}-soft)"}
    area["line"] |= {"shape": "hv", "width": 1.5, "dash": "solid"}
    if not len(c.expert_alive):
        return [area]
    other = draw_line("the expert's episodes running", step, thin(c.expert_alive), expert, axis)
    other["line"] |= {"shape": "hv", "width": 1.5}
    return [area, other]


def _crowds(curves: Sequence[Curve], value: float) -> bool:
    """Whether the curves come nearer to `value` at their right third than at their left one."""
    left, right = [math.inf], [math.inf]
    for curve in curves:
        away = np.abs(np.asarray(curve.y.middle, float) - value)
        third = -(-len(away) // 3)
        left += away[:third][np.isfinite(away[:third])].tolist()
        right += away[-third:][np.isfinite(away[-third:])].tolist() if third else []
    return min(right) < min(left)


# -- the same numbers as a table --------------------------------------------------------------------------


def _curve_table(curves: Sequence[Curve]) -> tuple[list[str], list[list[str]]]:
    first = curves[0]
    header = ["curve", _label(first.x_label, first.x_unit), _label(first.y_label, first.y_unit), "band"]
    rows = []
    for curve in curves:
        for i in _rows(len(curve.x), 10):
            rows.append([curve.name, format_number(float(curve.x[i]), 6), *_cells(curve.y, i)])
    return header, rows


def _compounding_table(c: CompoundingFigure) -> tuple[list[str], list[list[str]]]:
    error = _label("action error", c.error_unit)
    header = ["step", f"{error}, expert's states", "band", f"{error}, own states", "band", "episodes running"]
    if c.distance is not None:
        header += [_label("distance from the demonstrations", c.distance_unit), "band"]
    rows = []
    for i in _rows(len(c.step), 16):
        row = [format_number(float(c.step[i]), 6), *_cells(c.expert_states, i), *_cells(c.own_states, i)]
        row.append(format_number(float(c.alive[i])) if len(c.alive) else "–")
        rows.append(row + (_cells(c.distance, i) if c.distance is not None else []))
    return header, rows


def _cells(band: Band, i: int) -> list[str]:
    bounds = [format_number(float(part[i])) for part in (band.low, band.high) if len(part)]
    return [format_number(float(band.middle[i])), " to ".join(bounds) or "–"]


def _rows(points: int, most: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, points - 1, min(points, most))})


def _label(label: str, unit: str) -> str:
    return f"{label} ({unit})" if unit else label


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
