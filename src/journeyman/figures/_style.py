"""How the figures look: the report's colours, light and dark, and the few marks that all of them share."""

import contextlib
import functools
import importlib.resources
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from journeyman.parts import require

Shade = Literal["light", "dark"]
WIDTH = 8.6
"""Inches: at a page's width the text is as large as the text around it."""

ROLES = ("demonstrations", "clone", "corrected", "improved", "expert", "spare-1", "spare-2", "spare-3", "spare-4")


class Style(NamedTuple):
    """The colours of one shade: those of the report's style sheet (Okabe and Ito's, told apart by the colour-blind)."""

    shade: Shade
    paper: str
    ink: str
    faint: str
    rule: str
    grid: str
    line: dict[str, str]
    text: dict[str, str]

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        """matplotlib's settings while a figure of this shade is drawn and saved."""
        with require("matplotlib", extra="figures").rc_context(self._settings()):
            yield

    def _settings(self) -> dict[str, Any]:
        inks = "text.color axes.labelcolor xtick.labelcolor ytick.labelcolor".split()
        rules = "axes.edgecolor xtick.color ytick.color".split()
        return {
            **dict.fromkeys(inks, self.faint),
            **dict.fromkeys(rules, self.rule),
            "figure.facecolor": self.paper,
            "axes.facecolor": self.paper,
            "savefig.facecolor": self.paper,
            "axes.titlecolor": self.ink,
            "axes.titlelocation": "left",
            "axes.titlesize": 10.5,
            "axes.titlepad": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "grid.color": self.grid,
            "grid.linewidth": 0.8,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 9.5,
            "axes.labelsize": 9.5,
            "lines.linewidth": 2.0,
            "lines.solid_capstyle": "round",
            "svg.hashsalt": "journeyman",
            "svg.fonttype": "path",
            "axes.unicode_minus": True,
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.wspace": 0.06,
        }


@functools.cache
def style(shade: Shade) -> Style:
    """The style of a shade, its colours read from the report's style sheet."""
    sheet = importlib.resources.files("journeyman.report").joinpath("page.css").read_text(encoding="utf-8")
    head = ":root {" if shade == "light" else ':root[data-shade="dark"] {'
    block = sheet.split(head, 1)[1].split("}", 1)[0]
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    lines = {role: colour[role] for role in ROLES}
    texts = {role: colour[f"{role}-text"] for role in ROLES}
    paper, ink, faint, rule, grid = (colour[name] for name in ("card", "ink", "ink-2", "rule", "grid"))
    return Style(shade, paper, ink, faint, rule, grid, lines, texts)


def band(axes: Any, style: Style, role: str, x: Any, low: Any, high: Any) -> None:
    """An interval around a line."""
    axes.fill_between(x, low, high, color=style.line[role], alpha=0.2, linewidth=0, zorder=1.5)


def whisker(axes: Any, style: Style, role: str, x: float, y: tuple[float, float, float], upright: bool = True) -> None:
    """A measured number (mean, low, high) as a dot with its interval."""
    mean, low, high = y
    ends = ([x, x], [low, high]) if upright else ([low, high], [x, x])
    place = (x, mean) if upright else (mean, x)
    axes.plot(*ends, color=style.line[role], linewidth=2.4, solid_capstyle="round", zorder=3)
    axes.plot(*place, "o", color=style.line[role], markersize=6.5, zorder=4)


def name(axes: Any, style: Style, role: str, words: str, at: tuple[float, float], **more: Any) -> None:
    """The name of a line, beside it and in its colour; `shift` moves it by points."""
    shift = more.pop("shift", (6, 0))
    axes.annotate(
        words,
        at,
        xytext=shift,
        textcoords="offset points",
        color=style.text.get(role, style.faint),
        fontsize=more.pop("size", 9.5),
        va=more.pop("va", "center"),
        annotation_clip=False,
        zorder=6,
        **more,
    )


def apart(places: Any, least: float) -> np.ndarray:
    """The places moved as little as needed so that neighbours are `least` apart, in the given order of size."""
    places = np.asarray(places, float)
    order = np.argsort(places)
    moved = places[order].copy()
    for _ in range(200):
        gaps = np.diff(moved)
        short = np.maximum(least - gaps, 0) / 2
        if not short.any():
            break
        moved[:-1] -= short
        moved[1:] += short
    found = np.empty_like(moved)
    found[order] = moved
    return found
