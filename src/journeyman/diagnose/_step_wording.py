"""What the numbers of a step's diagnosis say, in sentences and as a table.

Takes `Along` and `StepQuality`, which are made of these sentences and so cannot be imported here.
"""

from collections.abc import Sequence
from typing import Any

from journeyman.diagnose._interval import Interval


def covariance_finding(plain: Any, natural: Any) -> str:
    """Whether the steps depend on the coordinates."""
    verdict = "is covariant" if natural.covariant else "is not covariant (damping, or too few iterations of its solver)"
    return (
        f"The natural step {verdict}: in other coordinates it differs by {_share(natural.disagreement[-1])} of its"
        f" length, the plain step by {_share(plain.disagreement[-1])}."
    )


def kl_finding(radii: Sequence[float], kl: float, plain: Any, natural: Any) -> str:
    """How far the realised KL strays from the predicted one, at the radius nearest to the step's."""
    place = min(range(len(radii)), key=lambda i: abs(radii[i] - kl))
    said = [
        f"{one.realised_kl[place]:.3g} by the {name} step ({one.fresh_kl[place]:.3g} on fresh states)"
        for name, one in (("plain", plain), ("natural", natural))
    ]
    return f"Of {radii[place]:g} nats predicted, {' and '.join(said)} are realised."


def return_finding(multiples: Sequence[float], kl: float, plain: Any, natural: Any) -> str:
    """Where the return is best along each direction, and where it collapses."""
    start = natural.returns[0]
    said = []
    for name, one in (("plain", plain), ("natural", natural)):
        place = list(multiples).index(one.best)
        rise = f"best at {one.best:g} times the step ({_bounds(one.change[place])} above the start)"
        best = rise if one.best else "best where it began"
        fall = "no collapse was seen" if one.collapse is None else f"it has collapsed at {one.collapse:g} times"
        said.append(f"along the {name} direction it is {best} and {fall}")
    return f"The return is {_bounds(start)} before any step; in steps of {kl:g} nats, {'; '.join(said)}."


def step_table(found: Any) -> str:
    """Two tables, one below the other."""
    kl = [("predicted KL", "plain", "natural", "plain, fresh states", "natural, fresh states")]
    columns = (found.plain.realised_kl, found.natural.realised_kl, found.plain.fresh_kl, found.natural.fresh_kl)
    kl += [(f"{r:g}", *(f"{c[i]:.4g}" for c in columns)) for i, r in enumerate(found.radii)]
    returns = [("times the step", "return, plain", "return, natural")]
    pairs = zip(found.multiples, found.plain.returns, found.natural.returns, strict=True)
    returns += [(f"{m:g}", _cell(a), _cell(b)) for m, a, b in pairs]
    return f"{_columns(kl)}\n\n{_columns(returns)}"


def _columns(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)


def _cell(value: Interval) -> str:
    return f"{value.mean:.4g} [{value.low:.4g}, {value.high:.4g}]" if value.n else "not finite"


def _bounds(value: Interval) -> str:
    return f"{value.mean:.4g} (95 % interval {value.low:.4g} to {value.high:.4g})".replace("-", "−")


def _share(part: float) -> str:
    return f"{100 * float(part):.2g} %"
