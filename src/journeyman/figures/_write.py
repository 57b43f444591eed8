"""Figures → a folder: SVG and PNG in light and dark, captions, numbers, and one page that opens offline."""

import base64
import html
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.figures._model import Computed, Effort, Figure
from journeyman.figures._style import WIDTH, Shade, style
from journeyman.parts import JourneymanError, require
from journeyman.policies._files import encoded, write_file

RECORD = "figures.json"
SHADES: tuple[Shade, ...] = ("light", "dark")
_DPI = 130


def check_target(folder: Path, overwrite: bool = False) -> None:
    """Refuse a folder in which no figures may be written: a file, foreign content, figures without `overwrite`."""
    if folder.exists() and not folder.is_dir():
        raise JourneymanError(f"'{folder}' is a file, and figures are a folder; choose another name.")
    nearest = next(above for above in (folder.absolute(), *folder.absolute().parents) if above.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise JourneymanError(f"'{folder}' cannot be made, because '{nearest}' is not writable; choose another folder.")
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if names and RECORD not in names:
        raise JourneymanError(
            f"'{folder}' is not empty and holds no figures ('{min(names)}' lies there), so it is not touched; choose"
            " another folder."
        )
    if names and not overwrite:
        raise JourneymanError(
            f"'{folder}' holds figures already and nothing is ever overwritten unasked; choose another folder or add"
            " --overwrite."
        )


def write(
    figures: Sequence[Figure],
    folder: str | Path,
    *,
    command: str,
    title: str = "Figures",
    effort: Effort = Effort(),
    overwrite: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Path:
    """Compute and draw `figures` into `folder`; returns its index.html.

    For each figure `NAME.svg`, `NAME.png`, `NAME-dark.svg`, `NAME-dark.png`; for all `figures.json` (caption, command,
    seeds, seconds, numbers), `captions.md` and a self-contained `index.html`. `command` is told as how they were made,
    `title` stands above the page.

    Raises `JourneymanError` without matplotlib, and for a folder that holds anything, unless these are figures and
    `overwrite` is given.
    """
    folder = Path(folder)
    require("matplotlib", extra="figures")
    check_target(folder, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    records: dict[str, Any] = {}
    pictures: dict[str, dict[Shade, bytes]] = {}
    for figure in figures:
        began = time.perf_counter()
        computed = figure.compute(effort)
        files = {(shade, kind): drawn(figure, computed, shade, kind) for shade in SHADES for kind in ("svg", "png")}
        pictures[figure.name] = {shade: files[shade, "svg"] for shade in SHADES}
        seconds = round(time.perf_counter() - began, 1)
        records[figure.name] = {
            "title": figure.title,
            "caption": computed.caption,
            "seeds": computed.seeds,
            "command": command,
            "seconds": seconds,
            "numbers": computed.numbers,
        }
        _save(figure.name, files, records, folder)
        say(f"{figure.name}: {figure.title} ({seconds:.1f} s)")
    write_file(folder / "captions.md", encoded(captions(records)))
    page = folder / "index.html"
    write_file(page, encoded(_page(title, records, pictures, command)))
    return page


def drawn(figure: Figure, computed: Computed, shade: Shade, kind: str) -> bytes:
    """A figure as the bytes of an "svg" or a "png"; the same data give the same bytes."""
    look = style(shade)
    matplotlib_figure = require("matplotlib.figure", extra="figures").Figure
    with look.settings():
        drawing = matplotlib_figure(figsize=(WIDTH, figure.height))
        figure.draw(drawing, look, computed)
        room, metadata = io.BytesIO(), {"Date": None} if kind == "svg" else {"Software": None}
        drawing.savefig(room, format=kind, dpi=_DPI, metadata=metadata)
    return room.getvalue()


def _save(name: str, files: dict[tuple[str, str], bytes], records: dict[str, Any], folder: Path) -> None:
    """The record first: what an interrupted run leaves is known as figures."""
    told = json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    write_file(folder / RECORD, encoded(told + "\n"))
    for (shade, kind), picture in files.items():
        write_file(folder / f"{name}{'-dark' if shade == 'dark' else ''}.{kind}", picture)


def captions(records: dict[str, Any]) -> str:
    """All captions as Markdown, with the pictures beside them."""
    parts = ["# Figures\n"]
    for name, one in records.items():
        parts.append(f"## {one['title']}\n\n![{one['title']}]({name}.svg)\n\n{one['caption']}\n")
        parts.append(f"*{one['seeds']}. `{one['command']}`, {one['seconds']} s.*\n")
    return "\n".join(parts)


def _page(title: str, records: dict[str, Any], pictures: dict[str, dict[Shade, bytes]], command: str) -> str:
    light, dark = style("light"), style("dark")
    figures = []
    for name, one in records.items():
        day, night = (_inline(pictures[name][shade]) for shade in SHADES)
        head, caption, seeds = (html.escape(one[key]) for key in ("title", "caption", "seeds"))
        figures.append(
            f'<figure id="{name}"><h2>{head}</h2><picture><source srcset="{night}"'
            f' media="(prefers-color-scheme: dark)"><img src="{day}" alt="{head}"></picture>'
            f"<figcaption><p>{caption}</p><p><small>{seeds}.</small></p></figcaption></figure>"
        )
    sheet = (
        f":root{{color-scheme:light dark;--p:{light.paper};--i:{light.ink};--f:{light.faint};--r:{light.rule}}}"
        f"@media(prefers-color-scheme:dark){{:root{{--p:{dark.paper};--i:{dark.ink};--f:{dark.faint};--r:{dark.rule}}}}}"
        "body{margin:0 auto;max-width:60rem;padding:2rem 1.2rem;background:var(--p);color:var(--i);"
        "font:16px/1.55 -apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}"
        "figure{margin:3rem 0;border-top:1px solid var(--r)}img{width:100%;height:auto}h2{font-size:1.2rem}"
        "figcaption{color:var(--f);max-width:46em}code{font-size:.9em}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport"'
        f' content="width=device-width"><title>Figures</title><style>{sheet}</style></head><body>'
        f"<h1>{html.escape(title)}</h1><p><code>{html.escape(command)}</code></p>{''.join(figures)}"
        "</body></html>\n"
    )


def _inline(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, (np.floating, np.integer, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")
