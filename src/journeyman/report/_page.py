"""The page: a report's data through one template, one style sheet and one script into one HTML file.

Nothing on the page is fetched. A content security policy forbids it and lists the only two scripts that may
run by their hashes, so that neither a forgotten link nor a run called `<script>` can do anything. Every
string is escaped.
"""

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from journeyman.parts import JourneymanError, require
from journeyman.policies._files import encoded, write_file
from journeyman.report._cost import cost_drawing
from journeyman.report._figures import Drawing, compounding_drawing, curve_drawings
from journeyman.report._film import data_url, sheet
from journeyman.report._model import Film, Interval, PolicyRow, Report
from journeyman.report._numbers import axis, format_interval, format_number, format_share, signed, tick_texts
from journeyman.report._traces import roles

_STRIP = 6  # still frames beside a film
_WORDS = {"good": "Good", "note": "Note", "warning": "Warning", "problem": "Problem"}


def write(report: Report, path: str | Path, overwrite: bool = False) -> Path:
    """Write `report` to `path` as one HTML file (about 2 MB, most of it Plotly) that opens without a network.

    The same report gives the same bytes. Returns the path. Raises `JourneymanError` when the file exists and
    `overwrite` is false, when its folder does not exist, or when the `report` extra is not installed.
    """
    path = Path(path)
    if path.is_dir():
        raise JourneymanError(f"'{path}' is a folder and a report is one file; name it '{path / 'report.html'}'.")
    if path.exists() and not overwrite:
        raise JourneymanError(
            f"'{path}' exists, and nothing is lost unasked; name another file, or allow it to be replaced (--overwrite,"
            " in Python overwrite=True)."
        )
    if not path.parent.is_dir():
        raise JourneymanError(f"'{path.parent}' is not a folder, so nothing can be written there; make it first.")
    text = render(report)
    write_file(path, encoded(text))
    return path


def render(report: Report) -> str:
    """The HTML of `report`. Raises `JourneymanError` when the `report` extra is not installed."""
    jinja2 = require("jinja2", extra="report")
    markup = require("markupsafe", extra="report").Markup
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["signed"] = signed
    environment.globals |= {"number": format_number, "share": _share}
    library, compressed = _plotly()
    colours = roles(_names(report))
    drawings = curve_drawings(report.curves, colours)
    compounding = _compounding(report, colours)
    figures = {d.anchor: d.figure for d in [*drawings, *compounding]}
    script = _packaged("page.js")
    return environment.from_string(_packaged("page.html")).render(
        report=report,
        colours=colours,
        table=_table(report, colours),
        commands=_commands(report.policies),
        drawings=drawings,
        compounding=compounding,
        films=[_film(film, colours) for film in report.films],
        words=_WORDS,
        style=markup(_packaged("page.css")),
        script=markup(script),
        hashes=[_hash(script), _hash(library)],
        library=compressed if figures else "",
        figures=markup(_json(figures)),
    )


def _compounding(report: Report, colours: Mapping[str, str]) -> list[Drawing]:
    if report.compounding is None:
        return []
    cost = cost_drawing(report.compounding, colours)
    return [compounding_drawing(report.compounding, colours), *([] if cost is None else [cost])]


def _names(report: Report) -> list[str]:
    names = [row.name for row in report.policies] + [curve.name for curve in report.curves]
    names += [film.name for film in report.films] + ["expert"]
    return names + ([report.compounding.policy] if report.compounding else [])


# -- the table of policies --------------------------------------------------------------------------------


def _table(report: Report, colours: Mapping[str, str]) -> dict[str, Any]:
    """Rows with texts, and with places from 0 to 100 on one axis that all rows share."""
    ends = [v for row in report.policies for s in (row.score, row.sampled) if s for v in (s.mean, s.low, s.high)]
    ends = [value for value in ends if math.isfinite(value)] or [0.0, 1.0]
    ticks = axis(min(ends), max(ends))

    def place(value: float) -> float | None:
        return round(100 * (value - ticks[0]) / (ticks[-1] - ticks[0]), 2) if math.isfinite(value) else None

    def drawn(interval: Interval | None) -> dict[str, Any] | None:
        if interval is None:
            return None
        mean, between = format_interval(interval.mean, interval.low, interval.high)
        places = {name: place(getattr(interval, name)) for name in ("mean", "low", "high")}
        return {"text": mean, "between": between, **places}

    return {
        "ticks": [{"text": text, "at": place(tick)} for text, tick in zip(tick_texts(ticks), ticks, strict=True)],
        "rows": [
            {"row": row, "role": colours[row.name], "score": drawn(row.score), "sampled": drawn(row.sampled)}
            for row in report.policies
        ],
        "has_sampled": any(row.sampled for row in report.policies),
        "has_success": any(row.success for row in report.policies),
        "has_best": any(row.best is not None for row in report.policies),
    }


def _share(interval: Interval | None) -> tuple[str, str]:
    """A share and its interval, both in percent."""
    if interval is None:
        return "", ""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return format_share(interval.mean), ""
    return format_share(interval.mean), f"{format_share(interval.low)[:-2]} to {format_share(interval.high)}"


def _commands(policies: Sequence[PolicyRow]) -> list[tuple[list[str], str]]:
    """Every command once, with the names of the policies whose numbers it makes."""
    found: dict[str, list[str]] = {}
    for row in policies:
        if row.command:
            found.setdefault(row.command, []).append(row.name)
    return [(names, command) for command, names in found.items()]


# -- films ------------------------------------------------------------------------------------------------


def _film(film: Film, colours: Mapping[str, str]) -> dict[str, Any]:
    about = {"film": film, "role": colours[film.name]}
    if not len(film.frames):
        return about
    png, count, (height, width) = sheet(film.frames)
    stills = min(_STRIP, count)
    chosen = [round(i * (count - 1) / max(1, stills - 1)) for i in range(stills)]
    return about | {
        "url": data_url(png),
        "count": count,
        "ratio": f"{width} / {height}",
        "places": [round(100 * i / max(1, count - 1), 4) for i in chosen],
        "times": [f"{film.seconds * i / max(1, count - 1):.1f} s" for i in chosen],
        "seconds": round(max(film.seconds, 0.1), 3),
    }


# -- what goes into the file ------------------------------------------------------------------------------


def _packaged(name: str) -> str:
    return resources.files("journeyman.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _plotly() -> tuple[str, str]:
    """Plotly's script, and the compressed form that the page unpacks: a file of 2 MB instead of 5."""
    library = require("plotly.offline", extra="report").get_plotlyjs()
    return library, base64.b64encode(gzip.compress(library.encode("utf-8"), 9, mtime=0)).decode()


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()


def _json(value: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element."""
    text = json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
