"""Figures about variance, drawn."""

from typing import Any

import numpy as np

from journeyman.figures._model import Computed
from journeyman.figures._style import Style, band, name, whisker


def draw_samples(drawing: Any, style: Style, computed: Computed) -> None:
    """Densities of the estimates on the left, their error by N on the right."""
    a, (left, right) = computed.arrays, drawing.subplots(1, 2, width_ratios=(1.25, 1))
    middle = (a["edges"][1:] + a["edges"][:-1]) / 2
    top = a["density 100"].max()
    labels = {1: ("one trajectory", "clone"), 10: ("mean of 10", "spare-1"), 100: ("mean of 100", "corrected")}
    for n, (words, role) in labels.items():
        density = a[f"density {n}"]
        left.plot(middle, density, color=style.line[role], drawstyle="steps-mid", linewidth=1.8)
        left.fill_between(middle, 0, density, step="mid", color=style.line[role], alpha=0.16, linewidth=0)
        name(left, style, role, words, (12.0, {1: 0.27, 10: 0.42, 100: 0.85}[n] * top), shift=(0, 0))
    left.axvline(a["truth"], color=style.ink, linewidth=1.2, linestyle=(0, (4, 3)))
    truth = f"exact {a['truth']:.2f}".replace("-", "−")
    name(left, style, "expert", truth, (a["truth"], 1.08 * top), shift=(-6, 0), ha="right")
    left.set(xlabel="estimate of dJ/dk  (return per unit of gain)", ylabel="density", xlim=(-110, 90))
    left.set_ylim(0, 1.16 * top)
    left.set_title("What one batch says")
    n, error = a["sizes"], a["error"]
    right.plot(n, error[0, 0] / np.sqrt(n), color=style.rule, linewidth=1.4, zorder=1)
    name(right, style, "", "∝ 1/√N", (n[2], error[0, 0] / np.sqrt(n[2])), shift=(8, 6))
    for size, row in zip(n, error, strict=True):
        whisker(right, style, "corrected", size, tuple(row))
    right.set(xscale="log", yscale="log", xlabel="N  (trajectories)", ylabel="standard error of dJ/dk")
    right.set_title("What it costs to know better")
    plain_ticks(right.xaxis, [1, 10, 100])
    plain_ticks(right.yaxis, [5, 10, 20, 50])


def draw_causality(drawing: Any, style: Style, computed: Computed) -> None:
    """Mean and spread of each step's term."""
    a, (left, right) = computed.arrays, drawing.subplots(1, 2, width_ratios=(1, 1))
    roles = {"full return": "clone", "reward-to-go": "corrected"}
    for label, role in roles.items():
        for axes, kind in ((left, "mean"), (right, "deviation")):
            rows = a[f"{label} {kind}"]
            band(axes, style, role, a["steps"], rows[:, 1], rows[:, 2])
            axes.plot(a["steps"], rows[:, 0], color=style.line[role])
    last, at = a["steps"][-1], 9
    for label, role in roles.items():
        name(right, style, role, label, (at, a[f"{label} deviation"][at, 0]), shift=(4, 10))
    name(left, style, "clone", "full return", (10, a["full return mean"][10:14, 2].max()), shift=(0, 10))
    name(left, style, "corrected", "reward-to-go", (8, a["full return mean"][8:13, 1].min()), shift=(0, -12))
    for axes in (left, right):
        axes.set(xlabel="step t of the episode", xlim=(0, last))
        axes.set_xticks([0, 5, 10, 15, 19])
    left.set_title("Mean of step t's term in dJ/dk: the same")
    right.set_title("Its standard deviation: not")
    left.set_ylabel("mean  (return per unit of gain)")
    right.set_ylabel("standard deviation")
    right.set_ylim(0)


def draw_centring(drawing: Any, style: Style, computed: Computed) -> None:
    """Arrows of one batch, raw and centred; the parabola of the variance."""
    a, axes = computed.arrays, drawing.subplots(1, 3, width_ratios=(1, 1, 1.25))
    for panel, b, title in ((axes[0], 0.0, "Returns as they are"), (axes[1], a["baseline"], "Minus their mean")):
        push = a["reward"] - b
        for role, which in (("clone", push < 0), ("corrected", push >= 0)):
            panel.vlines(a["action"][which], 0, push[which], color=style.line[role], linewidth=0.8, alpha=0.45)
            panel.plot(a["action"][which], push[which], "o", color=style.line[role], markersize=3, alpha=0.9)
        panel.axhline(0, color=style.faint, linewidth=1)
        panel.set(xlabel="action a", ylim=(-5.2, 1.9), xlim=(-0.6, 2.6))
        panel.set_title(title)
    axes[0].set_ylabel("weight of ∇ log π(a)")
    axes[1].tick_params(labelleft=False)
    name(axes[0], style, "clone", "pushed down", (2.5, 0.4), shift=(0, 0), ha="right")
    name(axes[1], style, "corrected", "pushed up", (0.4, 1.6), shift=(0, 0), ha="left")
    name(axes[1], style, "clone", "pushed down", (2.5, 0.4), shift=(0, 0), ha="right")
    axes[2].plot(a["line"], a["exact"], color=style.rule, linewidth=1.6)
    for label, role, place, row, (shift, side) in zip(
        ("nothing", "mean return", "optimal"),
        ("clone", "spare-1", "corrected"),
        a["place"],
        a["measured"],
        (((-9, 4), "right"), ((6, 9), "left"), ((-6, 11), "right")),
        strict=True,
    ):
        whisker(axes[2], style, role, place, tuple(row))
        name(axes[2], style, role, f"{label} {row[0]:.3g}", (place, row[0]), shift=shift, ha=side)
    axes[2].set(xlabel="subtracted number b  (return)", ylabel="variance of the estimate", xlim=(-3.5, 1.0))
    axes[2].set_ylim(0, 34)
    axes[2].set_title("What is subtracted decides")


def draw_baselines(drawing: Any, style: Style, computed: Computed) -> None:
    """Dots with intervals over diamonds of what is known."""
    a, panels = computed.arrays, drawing.subplots(1, 2)
    named = [list(computed.numbers[part]) for part in ("chain", "control")]
    roles = ("clone", "spare-2", "spare-1", "corrected")
    keys = (("chain", "chain exact"), ("control", "control known"))
    for axes, names, (key, known) in zip(panels, named, keys, strict=True):
        chosen = roles if len(names) == 4 else (roles[0], roles[1], roles[3])
        for row, role in enumerate(chosen):
            y = len(names) - 1 - row
            axes.plot(a[known][row], y, "D", markersize=12, markerfacecolor="none", markeredgecolor=style.rule)
            whisker(axes, style, role, y, tuple(a[key][row]), upright=False)
            value = f"{a[key][row, 0]:,.0f}"
            name(axes, style, role, value, (a[key][row, 0], y), shift=(0, 14), ha="center")
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.tick_params(axis="y", length=0, labelcolor=style.ink)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_ylim(-0.5, len(names) - 0.35)
        axes.set_xlabel("variance from one trajectory")
    panels[0].set_xlim(0, max(215, 1.05 * a["chain"].max()))
    panels[1].set_xlim(0, max(7000, 1.05 * a["control"].max()))
    panels[1].xaxis.set_ticks([0, 2000, 4000, 6000], ["0", "2,000", "4,000", "6,000"])
    panels[0].set_title("Geometric chain, dJ/dθ")
    panels[1].set_title("Linear-quadratic world, dJ/dk")


def plain_ticks(axis: Any, places: list[float]) -> None:
    """Ticks of a logarithmic axis as plain numbers, and no others."""
    axis.set_ticks(places, [f"{place:g}" for place in places])
    axis.set_ticks([], minor=True)
