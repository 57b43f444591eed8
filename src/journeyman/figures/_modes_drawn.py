"""Where one Gaussian lands between two modes, drawn."""

from typing import Any

import numpy as np

from journeyman.figures._model import Computed
from journeyman.figures._modes import KINDS, MIDDLES, normal, shown
from journeyman.figures._style import Style

_X = np.linspace(-5.0, 5.0, 501)


def draw_modes(drawing: Any, style: Style, computed: Computed) -> None:
    """A row for each distance of the modes, a column for each divergence; grey the data, in colour the fit."""
    rows = drawing.subplots(len(MIDDLES), len(KINDS), sharex=True, sharey="row")
    for middle, row in zip(MIDDLES, rows, strict=True):
        for kind, axes in zip(KINDS, row, strict=True):
            _panel(axes, style, middle, computed.arrays[f"{kind}, m = {middle:g}"])
        row[0].set_ylabel(f"density,  m = {middle:g}")
    for kind, axes in zip(KINDS, rows[0], strict=True):
        axes.set_title(kind, fontsize=9.5)
    for axes in rows[-1]:
        axes.set_xlabel("action")


def _panel(axes: Any, style: Style, middle: float, fitted: np.ndarray) -> None:
    mean, std, _ = (float(one) for one in fitted)
    data, density = shown(middle, _X), normal(mean, std, _X)
    averages = abs(mean) < 0.5 * middle
    role = "clone" if averages else "corrected"
    axes.fill_between(_X, data, color=style.faint, alpha=0.28, linewidth=0, zorder=1)
    axes.plot(_X, density, color=style.line[role], zorder=3)
    axes.plot([mean, mean], [0, density.max()], color=style.line[role], linewidth=1.1, linestyle=(0, (2, 2)), zorder=2)
    words = f"{mean:.2f} ± {std:.2f}".replace("-0.00", "0.00").replace("-", "−")
    axes.text(0.5, 0.97, words, transform=axes.transAxes, ha="center", va="top", color=style.text[role], fontsize=9)
    axes.set_xticks([-middle, 0, middle], [f"−{middle:g}", "0", f"{middle:g}"])
    axes.set_xlim(-4.6, 4.6)
    axes.set_ylim(0, 1.0 if middle > 1 else 0.52)
