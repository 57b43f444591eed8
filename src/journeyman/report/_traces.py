"""Traces and layouts as plain Plotly dictionaries, whose colours are names of style-sheet variables.

The page looks the variables up when it draws, so one figure serves the light and the dark page and print.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from journeyman.report._model import Band, Reference
from journeyman.report._numbers import format_number

ROLES = ("demonstrations", "clone", "corrected", "improved", "expert")
"""Names that have a colour and a mark of their own. The colours are in page.css."""

_SPARE = ("spare-1", "spare-2", "spare-3", "spare-4")
DASHES = {"demonstrations": "dot", "expert": "dash", "spare-2": "dashdot", "spare-4": "longdash"}
_MOST_POINTS = 800


def roles(names: Iterable[str]) -> dict[str, str]:
    """The colour role of every name: a known one keeps its own, others take the spare ones in turn."""
    found: dict[str, str] = {}
    for name in names:
        others = sum(role in _SPARE for role in found.values())
        found.setdefault(name, name if name in ROLES else _SPARE[others % len(_SPARE)])
    return found


def band_and_line(name: str, x: Any, band: Band, role: str, axis: str = "y") -> list[dict[str, Any]]:
    """The traces of one line and of the band around it, the band first so that it lies below."""
    traces = []
    if len(band.low) and len(band.high):
        xs, ys = _outline(np.asarray(x, float), np.asarray(band.low, float), np.asarray(band.high, float))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": xs,
                "y": ys,
                "yaxis": axis,
                "fill": "toself",
                "fillcolor": f"var(--{role}-soft)",
                "line": {"width": 0},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return [*traces, draw_line(name, thin(x), thin(band.middle), role, axis)]


def draw_line(name: str, x: Sequence[Any], y: Sequence[Any], role: str, axis: str) -> dict[str, Any]:
    """One line; a single point, which has no line, as a dot."""
    alone = sum(value is not None for value in y) == 1
    return {
        "type": "scatter",
        "mode": "markers" if alone else "lines",
        "name": html.escape(name),
        "x": x,
        "y": y,
        "yaxis": axis,
        "line": {"color": f"var(--{role})", "width": 2.25, "dash": DASHES.get(role, "solid")},
        "marker": {"color": f"var(--{role})", "size": 9},
        "hovertemplate": "%{y:,.4~g}",
        "showlegend": False,
    }


def _outline(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[list[Any], list[Any]]:
    """The band as closed outlines, one for each stretch without a gap, with None between them."""
    keep = slice(None, None, stride_of(len(x)))
    x, low, high = x[keep], low[keep], high[keep]
    good = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    xs: list[Any] = []
    ys: list[Any] = []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        across = np.concatenate([x[begin:end], x[begin:end][::-1]])
        around = np.concatenate([high[begin:end], low[begin:end][::-1]])
        xs += [*([None] if xs else []), *_plain(across)]
        ys += [*([None] if ys else []), *_plain(around)]
    return xs, ys


def stride_of(points: int) -> int:
    """Every how-manieth point is drawn, so that a page stays light."""
    return max(1, math.ceil(points / _MOST_POINTS))


def thin(values: Any) -> list[Any]:
    """The points that are drawn, as plain numbers."""
    array = np.asarray(values, float)
    return _plain(array[:: stride_of(len(array))])


def _plain(values: Iterable[float]) -> list[float | None]:
    """Numbers of six digits for JSON, None (a gap) for what is not finite."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


# -- layout -----------------------------------------------------------------------------------------------


def new_layout(x_title: str, most: float, anchor: str = "y") -> dict[str, Any]:
    """A layout with its x axis, on which values go up to `most`."""
    title = {"text": html.escape(x_title), "standoff": 12, "font": {"size": 13}}
    hover = {"bgcolor": "var(--card)", "bordercolor": "var(--rule)", "font": {"color": "var(--ink)"}}
    spikes = {"showspikes": True, "spikemode": "across", "spikethickness": 1}
    return {
        "xaxis": new_axis(most, title=title, anchor=anchor, showgrid=False, ticks="outside", **spikes),
        "margin": {"l": 54, "r": 14, "t": 10, "b": 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--ink-2)", "size": 13},
        "hovermode": "x unified",
        "hoverlabel": hover,
        "shapes": [],
        "annotations": [],
        "showlegend": False,
    }


def new_axis(most: float = 0.0, **more: Any) -> dict[str, Any]:
    """An axis in the page's colours, with `more` of Plotly's settings."""
    return {
        "gridcolor": "var(--grid)",
        "linecolor": "var(--rule)",
        "tickcolor": "var(--rule)",
        "spikecolor": "var(--rule)",
        "zeroline": False,
        "automargin": True,
        # 500k is easily read, 500m is not
        "tickformat": "~s" if most >= 10_000 else ",~r",
        **more,
    }


def reference_lines(
    lines: Sequence[Reference], colours: Mapping[str, str], height: float, axis: str = "y"
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Horizontal lines and their names; of two lines that nearly touch, the lower has its name below it."""
    shapes, names = [], []
    drawn = in_order(lines)
    for index, line in enumerate(drawn):
        role = colours.get(line.name, line.name if line.name in ROLES else "expert")
        dash = DASHES.get(role, "dash")
        stroke = {"color": f"var(--{role})", "width": 1.5, "dash": dash}
        ends = {"x0": 0, "x1": 1, "xref": "paper", "y0": line.value, "y1": line.value, "yref": axis}
        shapes.append({"type": "line", **ends, "line": stroke, "layer": "below"})
        above = drawn[index + 1].value - line.value if index + 1 < len(drawn) else math.inf
        crowded = above < 0.08 * height < math.inf
        names.append(
            {
                "text": f"{html.escape(line.name)} {format_number(line.value)}",
                "x": 1,
                "xref": "paper",
                "xanchor": "right",
                "y": line.value,
                "yref": axis,
                "yanchor": "top" if crowded else "bottom",
                "showarrow": False,
                "yshift": -2 if crowded else 2,
                "bgcolor": "var(--card)",
                "borderpad": 1,
                "font": {"color": f"var(--{role}-text)", "size": 12},
            }
        )
    return shapes, names


def in_order(lines: Iterable[Reference]) -> list[Reference]:
    """The lines that can be drawn, from the lowest up."""
    return sorted((line for line in lines if math.isfinite(line.value)), key=lambda line: line.value)


def panel_title(text: str, top: float) -> dict[str, Any]:
    """A title above a panel whose upper edge is at `top` of the figure's height."""
    font = {"size": 13, "color": "var(--ink)"}
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": top, "yref": "paper", "yanchor": "bottom"}
    return {"text": html.escape(text), **place, "align": "left", "showarrow": False, "font": font}


def largest(values: Any) -> float:
    """The largest magnitude among the finite values, 0 where there is none."""
    array = np.abs(np.asarray(values, float))
    return float(array[np.isfinite(array)].max(initial=0.0))
