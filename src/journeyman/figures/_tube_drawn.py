"""Trajectories beside the demonstrator's tube, drawn."""

from typing import Any

import numpy as np

from journeyman.figures._model import Computed
from journeyman.figures._style import Style, name
from journeyman.figures._tube import LEARNERS, SHAPES
from journeyman.figures._variance_drawn import plain_ticks

_SMOOTH = 20
"""Steps of hopping that make one point."""


def draw_trajectories(drawing: Any, style: Style, computed: Computed) -> None:
    """Two shapes in the plane, and the distance from the tube's middle by step."""
    a = computed.arrays
    panels = drawing.subplots(1, 3)
    for axes, shape in zip(panels[:2], SHAPES, strict=True):
        _paper(axes, style, a, shape)
    _hops(panels[2], style, a)


def _paper(axes: Any, style: Style, a: Any, shape: str) -> None:
    x, y, away, wide = (a[f"{shape} {part}"] for part in ("x", "y", "away", "wide"))
    axes.contourf(x, y, away, levels=[0, wide], colors=[style.line["demonstrations"]], alpha=0.22, zorder=1)
    for learner in LEARNERS:
        for path in a[f"{shape} {learner}"]:
            axes.plot(*path.T, color=style.line[learner], linewidth=1.1, alpha=0.75, zorder=2 + LEARNERS.index(learner))
            axes.plot(*path[0], "o", color=style.faint, markersize=2.6, zorder=5)
            axes.plot(*path[-1], "o", color=style.line[learner], markersize=3.4, zorder=4)
    turn = np.linspace(0, 2 * np.pi, 60)
    axes.plot(2 * np.cos(turn), 2 * np.sin(turn), color=style.ink, linewidth=1.1, zorder=6)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), box_aspect=1, xlabel="mm", title=shape)
    axes.grid(False)


def _hops(axes: Any, style: Style, a: Any) -> None:
    axes.axhspan(0, 1, color=style.line["demonstrations"], alpha=0.22, linewidth=0, zorder=1)
    most = 1.0
    for learner in LEARNERS:
        for path in a[f"hops {learner}"]:
            steps, height = smoothed(path)
            most = max(most, float(height.max()))
            axes.plot(
                steps, height, color=style.line[learner], linewidth=1.0, alpha=0.75, zorder=2 + LEARNERS.index(learner)
            )
            if len(path) <= 1000:
                axes.plot(steps[-1], height[-1], "o", color=style.line[learner], markersize=3.4, zorder=4)
    axes.set(xlabel="step", ylabel="distance  (widths of the tube)", title="Hopper-v5", xlim=(0, 1000))
    axes.set(yscale="log", ylim=(0.1, 6 * most), box_aspect=1)
    plain_ticks(axes.yaxis, [0.1, 0.3, 1, 3, 10])
    plain_ticks(axes.xaxis, [0, 250, 500, 750, 1000])
    for place, (learner, words) in enumerate(
        (("clone", "clone"), ("corrected", "corrected"), ("demonstrations", "tube"))
    ):
        name(
            axes, style, learner, words, (0.98, 0.96 - 0.07 * place), shift=(0, 0), xycoords="axes fraction", ha="right"
        )


def smoothed(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over successive `_SMOOTH` steps, at their middles; the last ones may be fewer."""
    starts = np.arange(0, len(path), _SMOOTH)
    sums = np.add.reduceat(path, starts)
    counts = np.diff(np.append(starts, len(path)))
    return starts + (counts - 1) / 2, sums / counts
