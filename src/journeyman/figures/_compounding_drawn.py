"""What errors cost by horizon, drawn."""

from typing import Any

import numpy as np

from journeyman.figures._compounding import CHAIN_RUNS, KNOWN, RIDGE_RUNS
from journeyman.figures._model import Computed
from journeyman.figures._style import Style, name, whisker
from journeyman.figures._variance_drawn import plain_ticks

_DASHES = (0, (4, 3))
_CHAIN_ROLES = dict(zip(CHAIN_RUNS, ("clone", "spare-1", "corrected"), strict=True))


def draw_compounding(drawing: Any, style: Style, computed: Computed) -> None:
    """Known errors, learned ones on the chain, learned ones on the ridge; all axes logarithmic."""
    a, (left, middle, right) = computed.arrays, drawing.subplots(1, 3)
    h = a["horizon"]
    _lines(left, style, h, KNOWN)
    for label, role in (("never back", "clone"), ("back by itself", "spare-1")):
        _curve(left, style, role, h, a[f"known {label}"])
        left.plot(h, a[f"exact {label}"], "x", color=style.ink, markersize=5, markeredgewidth=1.1, zorder=5)
    name(left, style, "clone", "never back", _at(h, a["known never back"], 3), shift=(8, -10))
    name(left, style, "spare-1", "back by itself", _at(h, a["known back by itself"], 2), shift=(0, -16))
    left.set_ylabel("cost over the first H steps")
    left.set_title("Errors put in, ε = .001")
    _lines(middle, style, h, 1.0)
    for label, role in _CHAIN_ROLES.items():
        _curve(middle, style, role, h, a[label])
    labels = list(_CHAIN_ROLES)
    name(middle, style, "clone", "clone", _at(h, a[labels[0]], 3), shift=(8, -10))
    name(middle, style, "spare-1", "clone, back by itself", _at(h, a[labels[1]], 1), shift=(-20, 44))
    name(middle, style, "corrected", "DAgger", _at(h, a[labels[2]], 3), shift=(4, -16))
    middle.set_ylabel("cost / ε")
    middle.set_title("Errors learned")
    _ridge(right, style, a)
    for axes in (left, middle):
        axes.set(xlabel="horizon H  (steps)", xscale="log", yscale="log")
        plain_ticks(axes.xaxis, [16, 32, 64, 128])


def _at(h: np.ndarray, rows: np.ndarray, place: int) -> tuple[float, float]:
    return float(h[place]), float(rows[place, 0])


def _lines(axes: Any, style: Style, h: np.ndarray, error: float) -> None:
    """εH²/2 and εH."""
    for line, words, shift in ((error * h**2 / 2, "εH²/2", (-34, 2)), (error * h, "εH", (-14, 8))):
        axes.plot(h, line, color=style.faint, linewidth=1.2, linestyle=_DASHES, zorder=1)
        name(axes, style, "", words, (float(h[-1]), float(line[-1])), shift=shift, size=9)


def _curve(axes: Any, style: Style, role: str, h: np.ndarray, rows: np.ndarray, floor: float = 0.0) -> None:
    """Dots with their intervals, joined; a mean that is not above 0 is not there, and such a bound is the floor."""
    above = rows[:, 0] > 0
    axes.plot(h[above], rows[above, 0], color=style.line[role], linewidth=1.4, zorder=2)
    for x, row in zip(h[above], rows[above], strict=True):
        mean, low, high = (float(v) for v in row)
        known = np.isfinite(low)
        whisker(axes, style, role, float(x), (mean, max(low, floor) if known else mean, high if known else mean))


def _ridge(axes: Any, style: Style, a: Any) -> None:
    h, every = a["ridge horizon"], [a[f"ridge, {one}"] for one in RIDGE_RUNS]
    means = np.concatenate([rows[:, 0] for rows in every])
    floor = 10.0 ** np.floor(np.log10(means[means > 0].min())) if (means > 0).any() else 1e-3
    runs = zip(RIDGE_RUNS, every, ("clone", "corrected"), ((2, "∝ H²"), (1, "∝ H")), strict=True)
    for one, rows, role, (power, words) in runs:
        _curve(axes, style, role, h, rows, floor)
        last = float(rows[-1, 0])
        if last <= 0:
            continue
        line = 1.9 * last * (h / h[-1]) ** power
        axes.plot(h, line, color=style.faint, linewidth=1.2, linestyle=_DASHES, zorder=1)
        name(axes, style, "", words, (float(h[0]), float(line[0])), shift=(0, 18))
        ends = rows[4, 1:] if np.isfinite(rows[4, 1]) else rows[4, [0, 0]]
        at, shift = (ends[0], (6, -4)) if one == "clone" else (ends[1], (-30, 14))
        name(axes, style, role, one, (float(h[4]), max(float(at), floor)), shift=shift)
    axes.set(xlabel="horizon H  (steps)", ylabel="cost over the first H steps", xscale="log", yscale="log")
    axes.set_ylim(bottom=floor)
    axes.set_title("The ridge, real actions")
    plain_ticks(axes.xaxis, [50, 100, 200, 400])
