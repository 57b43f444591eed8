"""Figures about steps, drawn."""

from typing import Any

import numpy as np

from journeyman.figures import _scalar_control as control
from journeyman.figures._geometry import FLOOR, RADIUS
from journeyman.figures._model import Computed
from journeyman.figures._style import Style, band, name
from journeyman.figures._variance_drawn import plain_ticks

_WAYS = (("vanilla", "clone"), ("natural", "corrected"))


def draw_vanilla_and_natural(drawing: Any, style: Style, computed: Computed) -> None:
    """Paths over the contours of J; σ and the gap by the number of steps."""
    a = computed.arrays
    grid = drawing.add_gridspec(2, 2, width_ratios=(1.3, 1))
    plane, above, below = (drawing.add_subplot(g) for g in (grid[:, 0], grid[0, 1], grid[1, 1]))
    contours(plane, style, a)
    for label, role in _WAYS:
        for run in a[f"{label} runs"]:
            plane.plot(run[:, 0], run[:, 1], color=style.line[role], linewidth=0.7, alpha=0.35, zorder=2.5)
        path = a[label]
        plane.plot(path[:, 0], path[:, 1], color=style.line[role], linewidth=2.4, zorder=3)
        plane.plot(path[::5, 0], path[::5, 1], "o", color=style.line[role], markersize=4.5, zorder=3)
    name(plane, style, "clone", "vanilla", tuple(a["vanilla"][10]), shift=(9, 0))
    name(plane, style, "corrected", "natural", tuple(a["natural"][10]), shift=(-2, 13), ha="right")
    mark_best(plane, style)
    plane.plot(*control.START, "o", color=style.ink, markersize=6, zorder=5)
    name(plane, style, "expert", "start", control.START, shift=(0, 11), ha="center")
    plane.set_title("Expected return J(k, σ) and two ways up")
    for label, role in _WAYS:
        for axes, rows, line in (
            (above, a[f"{label} σ band"], a[label][:, 1]),
            (below, a[f"{label} gap band"], a[f"{label} gap"]),
        ):
            band(axes, style, role, a["steps"], rows[:, 1], rows[:, 2])
            axes.plot(a["steps"], line, color=style.line[role])
            axes.set_xlim(0, a["steps"][-1])
    above.set_yscale("log")
    plain_ticks(above.yaxis, [0.01, 0.1, 0.5])
    above.set_title("Standard deviation σ of the action")
    above.tick_params(labelbottom=False)
    below.set_yscale("log")
    plain_ticks(below.yaxis, [0.01, 0.1, 1, 10])
    below.set_title("Return below the best, J* − J")
    below.set_xlabel("steps of .01 nats")


def contours(axes: Any, style: Style, a: Any) -> None:
    """Level lines of J on the (k, σ) plane, labelled by J."""
    levels = np.asarray([0.05, 0.2, 0.5, 1, 2, 4, 8, 16])
    drawn = axes.contour(a["gains"], a["stds"], a["gap"], levels=levels, colors=style.rule, linewidths=0.9, zorder=1)
    words = {level: f"{control.BEST_RETURN - level:.1f}".replace("-", "−") for level in levels}
    axes.clabel(drawn, levels=levels[2:], fmt=words, fontsize=7.5, colors=style.faint)
    axes.set(xlabel="gain k  (action per unit of state)", ylabel="standard deviation σ  (unit of action)")
    axes.set(xlim=(a["gains"][0], a["gains"][-1]), ylim=(0, a["stds"][-1]))
    axes.grid(visible=False)


def mark_best(axes: Any, style: Style) -> None:
    """k* on the axis of no noise."""
    axes.plot(control.BEST_GAIN, 0, "*", color=style.ink, markersize=13, zorder=5, clip_on=False)
    name(axes, style, "expert", "best", (control.BEST_GAIN, 0), shift=(-10, 9), ha="right")


def draw_collapse(drawing: Any, style: Style, computed: Computed) -> None:
    """The return along one direction, and the KL that was made of the one that was meant."""
    a, (along, made) = computed.arrays, drawing.subplots(1, 2, width_ratios=(1.25, 1))
    x, start = a["multiples"], a["natural along"][0, 0]
    for label, role in _WAYS:
        curve(along, style, role, x, a[f"{label} along"][1:])
        made.plot(a["radii"], a[f"{label} realised"], color=style.line[role], marker="o", markersize=4.5)
    along.set_xscale("log", base=2)
    plain_ticks(along.xaxis, x.tolist())
    along.set(xlabel=f"length of the step, × that of {RADIUS:g} nats", ylabel="return of an episode", ylim=(FLOOR, 3))
    along.set_title("Return along one direction")
    for height, words, dash, lift in ((start, "start", (4, 3), -9), (a["best"], "best possible", (1, 2), 8)):
        along.axhline(height, color=style.faint, linewidth=1, linestyle=(0, dash))
        name(along, style, "", words, (x[0], height), shift=(0, lift), ha="left", size=8.5)
    for label, role, shift, side in (("vanilla", "clone", (-8, -4), "right"), ("natural", "corrected", (8, 4), "left")):
        name(along, style, role, label, _falling(x, a[f"{label} along"][1:, 0]), shift=shift, ha=side)
    made.plot(a["radii"], a["radii"], color=style.rule, linewidth=1.4, zorder=1)
    made.set(xscale="log", yscale="log", xlabel="predicted KL  (nats)", ylabel="realised KL  (nats)")
    made.set_title("What a step really moves")
    plain_ticks(made.xaxis, a["radii"].tolist())
    plain_ticks(made.yaxis, a["radii"].tolist())
    order = sorted(_WAYS, key=lambda way: a[f"{way[0]} realised"][-1])
    for (label, role), shift, side in zip(order, ((12, -14), (-10, 10)), ("left", "right"), strict=True):
        name(made, style, role, label, (a["radii"][-2], a[f"{label} realised"][-2]), shift=shift, ha=side)


def _falling(x: Any, means: Any) -> tuple[float, float]:
    """A place on a curve half-way down, or its end."""
    means = np.nan_to_num(means, nan=FLOOR, neginf=FLOOR).clip(FLOOR)
    middle = 0.65 * FLOOR
    below = np.flatnonzero(means < middle)
    if not len(below) or below[0] == 0:
        return float(x[-1]), float(means[-1])
    at = below[0]
    share = (means[at - 1] - middle) / (means[at - 1] - means[at])
    return float(x[at - 1] * (x[at] / x[at - 1]) ** share), middle


def curve(axes: Any, style: Style, role: str, x: Any, rows: Any) -> None:
    """Means with their intervals; what lies below the axis is drawn at its edge as a triangle."""
    rows = np.nan_to_num(rows, nan=10 * FLOOR, neginf=10 * FLOOR)
    inside = rows[:, 0] >= FLOOR
    shown = np.maximum(rows, FLOOR)
    band(axes, style, role, x, shown[:, 1], shown[:, 2])
    axes.plot(x, shown[:, 0], color=style.line[role])
    axes.plot(x[inside], shown[inside, 0], "o", color=style.line[role], markersize=4.5)
    axes.plot(x[~inside], shown[~inside, 0], "v", color=style.line[role], markersize=8, clip_on=False, zorder=5)


def draw_coordinates(drawing: Any, style: Style, computed: Computed) -> None:
    """Paths in two coordinates, and how far apart one step lands."""
    a, panels = computed.arrays, drawing.subplots(1, 3, width_ratios=(1, 1, 1))
    for axes, (label, role), title in zip(panels, _WAYS, ("Vanilla gradient", "Natural gradient"), strict=False):
        contours(axes, style, a)
        axes.plot(*a[f"{label} θ"].T, color=style.line[role], linewidth=2.2, zorder=3)
        axes.plot(*a[f"{label} φ"].T, color=style.line["spare-1"], linewidth=2.2, linestyle=(0, (3, 2)), zorder=4)
        axes.plot(*control.START, "o", color=style.ink, markersize=5, zorder=5)
        mark_best(axes, style)
        axes.set_title(title)
    middle = 3
    name(panels[0], style, "clone", "in (k, σ)", tuple(a["vanilla θ"][middle]), shift=(7, 2))
    name(panels[0], style, "spare-1", "in (k², 1/σ)", tuple(a["vanilla φ"][middle]), shift=(-6, 8), ha="right")
    name(panels[1], style, "corrected", "in (k, σ)", tuple(a["natural θ"][middle]), shift=(8, -12))
    name(panels[1], style, "spare-1", "in (k², 1/σ)", tuple(a["natural φ"][middle]), shift=(-6, 10), ha="right")
    panels[1].set_ylabel("")
    last = panels[2]
    for label, role in _WAYS:
        last.plot(a["radii"], a[f"{label} apart"], color=style.line[role])
        at, shift = len(a["radii"]) // 2, (0, -11) if label == "vanilla" else (-4, 9)
        name(last, style, role, label, (a["radii"][at], a[f"{label} apart"][at]), shift=shift, ha="right")
    last.set(
        xscale="log", yscale="log", xlabel="predicted KL r of the step  (nats)", ylabel="√(KL between the two / r)"
    )
    last.set_title("How far apart one step lands")
    plain_ticks(last.yaxis, [0.001, 0.01, 0.1, 1])
