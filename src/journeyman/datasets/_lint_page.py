"""What `lint` found, as one page of plain text."""

import textwrap
from typing import Any

import numpy as np

WIDTH = 100


def page(found: Any) -> str:
    """The numbers, then what is wrong, then what is worth knowing."""
    lines = [f"{found.path.name} ({found.format}){f', held against {found.world}' if found.world else ''}", ""]
    lines += _episodes(found)
    if found.surveys:
        lines += ["", *_columns(found.surveys)]
    lines += ["", *_sentences("wrong", found.problems)]
    if found.notes:
        lines += ["", *_sentences("worth knowing", found.notes)]
    return "\n".join(lines)


def _episodes(found: Any) -> list[str]:
    lengths = found.lengths
    if not len(lengths):
        return ["  episodes   unknown: see below"]
    several = f"{lengths.min():,} to {lengths.max():,} steps, median {np.median(lengths):,.0f}"
    lines = [
        f"  episodes   {len(lengths):,}, {lengths.sum():,} steps in all; {several}",
        f"  ends       {found.terminated:,} terminated by the world, {len(lengths) - found.terminated:,} cut",
    ]
    if found.returns is None:
        lines.append("  returns    unknown")
    else:
        low, mean, high = found.returns.min(), found.returns.mean(), found.returns.max()
        lines.append(f"  returns    {mean:.4g} on average, {low:.4g} to {high:.4g}")
    rows = found.measured.get("off by one", {})
    if rows.get("verdict") == "aligned":
        lines.append(f"  rows       actions lead to the next observation, asked of the world in {rows['steps']} steps")
    return lines


def _columns(surveys: Any) -> list[str]:
    """One line an array: the range over all its entries, and the deviations of its columns."""
    head = ("array", "in the file", "a row", "dtype", "lowest", "highest", "deviations")
    rows: list[tuple[str, ...]] = [head]
    for one in surveys:
        shape = "×".join(map(str, one.shape)) or "1"
        low, high = _least(one.low), _greatest(one.high)
        spread = f"{_least(one.deviation)} to {_greatest(one.deviation)}"
        rows.append(
            (one.name, one.key, shape, str(one.dtype), low, high, spread if one.shape else _least(one.deviation))
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _least(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{known.min():.4g}" if len(known) else "–"


def _greatest(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"{known.max():.4g}" if len(known) else "–"


def _sentences(title: str, sentences: list[str]) -> list[str]:
    if not sentences:
        return [f"{title}: nothing was found."]
    lines = [f"{title} ({len(sentences)}):"]
    for number, sentence in enumerate(sentences, 1):
        lines += textwrap.wrap(sentence, WIDTH, initial_indent=f"  {number}. ", subsequent_indent="     ")
    return lines
