"""What is said of a bad clone, in a sentence and as a table.

Takes `CloneDiagnosis`, which is made of this sentence and so cannot be imported here.
"""

from typing import Any

from journeyman.diagnose._interval import Interval


def clone_finding(found: Any, constant: str) -> str:
    """The causes that were found, by name; or that none was, and how large the error is."""
    error = (
        f"the error on held-out demonstrations is {_bounds(found.error)} in {found.error_unit}, {_share(found)} of that"
        f" of doing always {constant}"
    )
    named = [one.name for one in found.causes if one.verdict == "found"]
    if not named:
        open_ = sum(one.verdict == "cannot tell" for one in found.causes)
        rest = f", and {open_} could not be asked about" if open_ else ""
        return f"No cause was found among {len(found.causes) - open_} that were compared{rest}; {error}."
    causes = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"Found: {causes} ({found.episodes} episodes, {found.seeds} training seeds); {error}."


def clone_table(found: Any) -> str:
    """One line a cause, the error by the amount of data, a sentence a cause, and what cannot be told."""
    head = f"{'cause':<20}{'difference':>11}  {'95 % interval':<20}{'p':>7}{'smallest':>10}  verdict"
    lines = [head]
    for one in found.causes:
        known = one.difference
        size = "" if known is None else _number(known.mean)
        bounds = "" if known is None else f"{_number(known.low)} to {_number(known.high)}"
        p = "" if one.p is None else f"{one.p:.2g}"
        smallest = "" if one.smallest is None else _number(one.smallest)
        lines.append(f"{one.name:<20}{size:>11}  {bounds:<20}{p:>7}{smallest:>10}  {one.verdict}")
    lines.append("")
    told = ", ".join(f"{name} {_bounds(one)}" for name, one in found.curve.items())
    lines.append(f"held-out error by training episodes: {told}")
    lines.append(f"error on the training episodes: {_bounds(found.training_error)}")
    shown = "" if found.demonstrated is None else f", demonstrations {_bounds(found.demonstrated)}"
    lines += [f"return: policy {_bounds(found.score)}{shown}", ""]
    lines += [one.sentence for one in found.causes if one.verdict != "cannot tell"]
    lines += ["", "Cannot tell:", *(f"- {sentence}" for sentence in found.cannot_tell)]
    return "\n".join(lines)


def _share(found: Any) -> str:
    return f"{found.error.mean / found.spread:.0%}" if found.spread > 0 else "an unknown share"


def _bounds(value: Interval) -> str:
    if not value.known:
        return _number(value.mean)
    return f"{_number(value.mean)} [{_number(value.low)}, {_number(value.high)}]"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
