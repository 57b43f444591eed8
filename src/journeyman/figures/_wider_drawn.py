"""Figures that set policy gradients beside something else, drawn."""

from typing import Any

import numpy as np

from journeyman.figures._model import Computed
from journeyman.figures._style import Style, apart, band, name
from journeyman.figures._variance_drawn import plain_ticks

ALGORITHMS = {"REINFORCE": "clone", "natural gradient": "corrected", "TRPO": "spare-1", "PPO": "improved"}


def draw_horizon(drawing: Any, style: Style, computed: Computed) -> None:
    """Gains by step; the loss by discount."""
    a, (left, right) = computed.arrays, drawing.subplots(1, 2)
    for discount, role in ((1.0, "corrected"), (0.5, "improved")):
        gains = a[f"gains {discount:g}"]
        steps = np.arange(len(gains))
        left.plot(steps, gains, color=style.line[role], marker="o", markersize=4)
        left.axhline(a[f"single {discount:g}"], color=style.line[role], linewidth=1.4, linestyle=(0, (4, 3)))
        name(left, style, role, f"γ = {discount:g}", (0, gains[0]), shift=(4, -9), ha="left")
        name(
            left,
            style,
            role,
            "the same at every step",
            (5, a[f"single {discount:g}"]),
            shift=(4, 8),
            ha="left",
            size=8.5,
        )
    left.set(xlabel="step t of the episode", ylabel="gain k_t", ylim=(-0.72, 0.04))
    left.set_xticks([0, 5, 10, 15, 19])
    left.set_title("Best gain by step, H = 20")
    ramp = ("spare-2", "clone", "spare-1", "corrected", "expert")
    for count, role in zip(a["horizons"], ramp, strict=True):
        losses = 100 * a[f"loss {count}"]
        right.plot(a["discounts"], losses, color=style.line[role])
    ends = np.asarray([100 * a[f"loss {count}"][-1] for count in a["horizons"]])
    span = 1.12 * max(float((100 * a[f"loss {count}"]).max()) for count in a["horizons"])
    for count, role, y in zip(a["horizons"], ramp, apart(ends, 0.062 * span), strict=True):
        name(right, style, role, f"H = {count}", (1.0, float(y)), shift=(6, 0))
    right.axhline(1, color=style.faint, linewidth=1, linestyle=(0, (4, 3)))
    name(right, style, "", "1 %", (0.0, 1.0), shift=(3, 7), ha="left", size=8.5)
    right.set(xlabel="discount γ", ylabel="loss of the return  (%)", xlim=(0, 1), ylim=(0, span))
    right.set_title("What a stationary policy loses")


_KIND = {
    "REINFORCE": "clone",
    "natural gradient": "corrected",
    "value iteration": "improved",
    "policy iteration": "spare-2",
    "value iteration on a grid": "improved",
    "Riccati recursion": "improved",
    "iLQR": "spare-1",
    "CEM": "spare-3",
    "MPPI": "demonstrations",
    "iLQR from MPPI": "expert",
}


def draw_alternatives(drawing: Any, style: Style, computed: Computed) -> None:
    """A panel a task: gap by evaluations, both logarithmic; no gap lies on the floor."""
    panels = np.atleast_1d(drawing.subplots(1, len(computed.arrays)))
    for axes, (task, curves) in zip(panels, computed.arrays.items(), strict=True):
        above = [gap for _, rows in curves.values() for gap in rows[:, 0] if gap > 1e-4]
        floor = 10.0 ** np.floor(np.log10(min(above)))
        for label, (evaluations, rows) in curves.items():
            role = _KIND.get(label, "spare-4")
            _gap(axes, style, role, evaluations, rows, floor)
            axes.plot([], [], color=style.line[role], marker="o", markersize=4, label=label)
        axes.set(xscale="log", yscale="log", xlabel="evaluations")
        axes.set_ylim(bottom=floor * 0.7)
        axes.set_title(task[0].upper() + task[1:])
        top = axes.get_ylim()[1]
        ticks = [tick for tick in floor * 10.0 ** np.arange(9) if tick <= top]
        plain_ticks(axes.yaxis, ticks)
        axes.yaxis.set_ticks(ticks, ["none", *(f"{tick:g}" for tick in ticks[1:])])
        axes.xaxis.set_ticks([], minor=True)
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 1}
        axes.legend(**place, frameon=False, fontsize=8.5, labelcolor=style.ink, handlelength=1.6)
    panels[0].set_ylabel("return below the best")


def _gap(axes: Any, style: Style, role: str, x: np.ndarray, rows: np.ndarray, floor: float) -> None:
    keep = x > 0
    x, rows = x[keep], np.maximum(rows[keep], floor)
    if np.isfinite(rows[:, 1:]).all() and np.ptp(rows[:, 1:], axis=1).any():
        band(axes, style, role, x, rows[:, 1], rows[:, 2])
    axes.plot(x, rows[:, 0], color=style.line[role], marker="o", markersize=4, clip_on=False)


def draw_comparison(drawing: Any, style: Style, computed: Computed) -> None:
    """Learning curves with the intervals of their mean over seeds."""
    a, axes = computed.arrays, drawing.subplots()
    ends, names = [], []
    for label, role in ALGORITHMS.items():
        rows, steps = a[label], a[f"{label} steps"]
        known = np.isfinite(rows[:, 1:]).all()
        if known:
            band(axes, style, role, steps, rows[:, 1], rows[:, 2])
        axes.plot(steps, rows[:, 0], color=style.line[role])
        ends.append(rows[-1, 0])
        names.append((label, role, steps[-1]))
    low, high = axes.get_ylim()
    for (label, role, x), y in zip(names, apart(ends, 0.06 * (high - low)), strict=True):
        name(axes, style, role, label, (float(x), float(y)), shift=(8, 0))
    axes.set(xlabel="environment steps", ylabel="return of an episode", xlim=(0, None))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(f"{computed.numbers['world']}, {computed.numbers['seeds']} seeds each")
    axes.margins(x=0)
