"""Where data lies, drawn."""

from typing import Any

import numpy as np

from journeyman.figures._clouds import CLOUDS, DRAWN
from journeyman.figures._model import Computed
from journeyman.figures._style import Style, name
from journeyman.parts import require

_DASHES = (0, (4, 3))
_ROLES: dict[str, str] = dict(zip(CLOUDS, ("expert", "corrected", "clone"), strict=True))
_MOST = 4000


def draw_labels(drawing: Any, style: Style, computed: Computed) -> None:
    """The plane of angle and velocity, and landing against bound."""
    a, (left, right) = computed.arrays, drawing.subplots(1, 2, width_ratios=(1.35, 1))
    kept = np.asarray(a["kept"], bool)
    _regions(left, style, a)
    left.plot(*a["shown"].T, ".", color=style.ink, markersize=2.2, alpha=0.75, zorder=3)
    for which, role, mark in ((~kept, "clone", "x"), (kept, "corrected", "o")):
        size = 3.4 if mark == "o" else 3.8
        left.plot(*a["label"][which].T, mark, color=style.line[role], markersize=size, alpha=0.75, zorder=2.5)
    left.set(xlabel="angle from upright  (rad)", ylabel="velocity  (rad/s)", xlim=(-np.pi, np.pi))
    left.set_xticks([-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], ["−π", "−π/2", "0", "π/2", "π"])
    left.set_title("Demonstrated, kept and rejected")
    _landing(right, style, computed, kept)
    key = {"demonstrated": ("", 0.02), "kept": ("corrected", 0.34), "rejected": ("clone", 0.5)}
    for words, (role, x) in key.items():
        colour = style.text[role] if role else style.ink
        left.text(x, 1.0, words, color=colour, transform=left.transAxes, va="bottom", fontsize=9)
    left.title.set_position((0, 1.1))
    left.set_title("Demonstrated, kept and rejected", pad=20)
    right.set_title("Where they land", pad=20)


def _regions(axes: Any, style: Style, a: Any) -> None:
    """Ellipses around evenly many demonstrated states."""
    ellipse = require("matplotlib.patches", extra="figures").Ellipse
    count = len(a["anchor"])
    for place in np.linspace(0, count - 1, min(DRAWN, count)).astype(int):
        width, height = (2 * float(v) for v in a["reach"][place])
        if width <= 0:
            continue
        at = a["shown"][a["anchor"][place]]
        axes.add_patch(
            ellipse(at, width, height, facecolor=style.line["corrected"], edgecolor="none", alpha=0.12, zorder=1)
        )


def _landing(axes: Any, style: Style, computed: Computed, kept: np.ndarray) -> None:
    bound, landing = computed.arrays["bound"], np.maximum(computed.arrays["landing"], 1e-6)
    finite = np.isfinite(bound)
    for which, role, mark in ((~kept & finite, "clone", "x"), (kept, "corrected", "o")):
        axes.plot(
            bound[which], landing[which], mark, color=style.line[role], markersize=3, alpha=0.6, zorder=2, mew=0.8
        )
    tolerance = computed.numbers["tolerance"]
    across = np.append(bound[finite], tolerance)  # the line is there where no bound comes near it, too
    both = np.concatenate([across, landing[finite]])
    ends = np.asarray([both.min() * 0.7, both.max() * 1.4])
    axes.plot(ends, ends, color=style.faint, linewidth=1.2, linestyle=_DASHES, zorder=1)
    axes.axvline(tolerance, color=style.faint, linewidth=1.2, zorder=1)
    axes.set(xlabel="bound  (deviations of the data)", ylabel="lands this far off  (deviations)")
    axes.set(xscale="log", yscale="log", xlim=(across.min() * 0.8, across.max() * 1.25))
    name(axes, style, "", "tolerance", (tolerance, float(landing.min())), shift=(5, 4), size=9)


def draw_noise(drawing: Any, style: Style, computed: Computed) -> None:
    """The clouds over each other, and the share of states beyond a deviation."""
    left, right = drawing.subplots(1, 2, width_ratios=(1.35, 1))
    for one, size in (("clone", 2.4), ("disturbed expert", 2.0), ("expert", 1.6)):
        states = computed.arrays[one]
        some = states[np.linspace(0, len(states) - 1, min(_MOST, len(states))).astype(int)]
        left.plot(*some.T, ".", color=style.line[_ROLES[one]], markersize=size, alpha=0.55, zorder=2)
    left.set(xlabel="place along the ridge  (rad)", ylabel="deviation from the crest")
    left.set_yscale("symlog", linthresh=0.01, linscale=0.5)
    left.set(ylim=(-1.3, 1.3))
    left.set_yticks([-1, -0.1, -0.01, 0, 0.01, 0.1, 1], ["−1", "−.1", "−.01", "0", ".01", ".1", "1"])
    left.minorticks_off()
    left.set_xticks([0, np.pi / 2, np.pi, 3 * np.pi / 2, 2 * np.pi], ["0", "π/2", "π", "3π/2", "2π"])
    for edge in (-1, 1):
        left.axhline(edge, color=style.faint, linewidth=1.2, linestyle=_DASHES, zorder=1)
    left.set_title("States visited")
    heights = {"expert": 0.004, "disturbed expert": 0.03, "clone": 0.15}
    for one, role in _ROLES.items():
        far = np.sort(np.abs(computed.arrays[one][:, 1]))
        share = 1 - np.arange(len(far)) / len(far)
        right.plot(far, share, color=style.line[role], zorder=2)
        place = min(int(np.searchsorted(-share, -heights[one])), len(far) - 1)
        shift = (-42, 0) if one == "expert" else (6, 0)
        name(right, style, role, one, (float(far[place]), float(share[place])), shift=shift)
    right.set(xlabel="deviation y", ylabel="share of states beyond y", xscale="log", yscale="log")
    right.set(xlim=(0.004, 1.3), ylim=(1e-3, 1.2))
    right.set_title("How far from the crest")
