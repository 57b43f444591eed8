"""What the numbers of a gradient diagnosis say, in sentences and as a table.

Takes `EstimatorQuality` and `GradientQuality`, which are made of these sentences and so cannot be imported here.
"""

import math
from typing import Any

from journeyman.diagnose._interval import Interval


def need_finding(judged: dict[str, Any], wanted: float, episodes: int) -> str:
    """Who needs how many trajectories."""
    blind = [name for name, one in judged.items() if not math.isfinite(one.batch.mean)]
    seen = {name: one for name, one in judged.items() if name not in blind}
    if not seen:
        return (
            f"Cannot tell: on {episodes} trajectories no estimator's gradient stands out from its noise, so the batch"
            f" for a signal-to-noise ratio of {wanted:g} is unknown; play more episodes."
        )
    order = sorted(seen, key=lambda name: seen[name].batch.mean)
    said = [f"{name} {_count(seen[name].batch)}" for name in order]
    text = f"A signal-to-noise ratio of {wanted:g} takes so many trajectories a batch: {'; '.join(said)}."
    if blind:
        text += f" Of {' and '.join(blind)} nobody can tell: the gradient does not stand out from its noise."
    return text


def unpaid_finding(reference: str, episodes: int) -> str:
    """Every weight of an estimator without a baseline is 0."""
    return (
        f"There is no gradient: on {episodes} trajectories every weight of '{reference}' is 0, so nothing was paid, and"
        " no batch is large enough; start from a policy that meets a reward, or reward the way to it."
    )


def cause_finding(whole: Interval, coupling: Interval, scale: Interval, centred: Any, roles: dict[str, str]) -> str:
    """Where the variance of the full return comes from."""
    share = lambda part: f"{100 * part.mean / whole.mean:.0f} %"  # noqa: E731
    parts = (
        f"{share(coupling)} comes from coupling of past and future{_unclear(coupling)},"
        f" {share(scale)} from the scale of returns{_unclear(scale)}"
        f" and {share(centred.variance)} remains with '{roles['centred']}'"
    )
    lucky = (
        f"of that, the luckiest 5 % of the trajectories carry {100 * centred.lucky.mean:.0f} %, and the sample is worth"
        f" {100 * centred.effective.mean:.0f} % of its size"
    )
    return f"Of the variance {whole.mean:.4g} of '{roles['full']}', {parts}; {lucky}."


def unsplit_notes(roles: dict[str, str]) -> list[str]:
    """Which roles nobody has, so that the variance cannot be split."""
    missing = [text for role, text in _ROLES.items() if role not in roles]
    if not missing:
        return []
    return [
        "The variance is not split into all of its causes: of one discount and one `discounted_states` there is no"
        f" {' and no '.join(missing)}."
    ]


_ROLES = {
    "full": "Return without baseline and scaling",
    "to go": "RewardToGo",
    "centred": "unscaled Advantage with λ = 1 and a baseline",
}


def bias_note(name: str, one: Any, reference: str) -> str:
    """Whether an estimator's mean differs from the reference's: in any direction, or along its gradient alone.

    Along one direction there is less noise than in all of them, so a bias may show there only.
    """
    assert one.bias is not None
    assert one.along is not None
    size = f"{100 * one.bias.mean:.0f} % of the gradient ({_percent(one.bias)})"
    along = f"{_signed(one.along.mean)} % along it ({_percent(one.along)})"
    if one.biased:
        return f"'{name}' is biased against '{reference}': its mean is off by {size}, {along}."
    if _leans(one):
        return (
            f"'{name}' is biased along the gradient of '{reference}': {along}; in all directions together the bias,"
            f" {size}, is not told from 0."
        )
    return f"'{name}' has no detectable bias against '{reference}': {size}, {along}."


def _leans(one: Any) -> bool:
    """Whether the bias along the reference's gradient is told from 0."""
    return one.along.low > 0 or one.along.high < 0


def table(found: Any) -> str:
    """One row an estimator."""
    head = ("estimator", "|g|²", "tr Σ", "95 %", "ratio", f"batch for {found.wanted:g}", "95 %", "lucky", "bias")
    rows = [head, *(_row(name, one) for name, one in found.estimators.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def _row(name: str, one: Any) -> tuple[str, ...]:
    bias = "" if one.along is None else f"{_signed(one.along.mean)} %{' *' if one.biased or _leans(one) else ''}"
    return (
        name,
        f"{one.signal.mean:.4g}",
        f"{one.variance.mean:.4g}",
        f"{one.variance.low:.4g} to {one.variance.high:.4g}",
        f"{one.ratio.mean:.3g}",
        _whole(one.batch.mean),
        f"{_whole(one.batch.low)} to {_whole(one.batch.high)}",
        f"{100 * one.lucky.mean:.0f} %",
        bias,
    )


def _whole(number: float) -> str:
    return f"{math.ceil(number):,}" if math.isfinite(number) else "?"


def _count(batch: Interval) -> str:
    upper = f"{_whole(batch.high)}" if math.isfinite(batch.high) else "any number"
    return f"{_whole(batch.mean)} (95 % interval {_whole(batch.low)} to {upper})"


def _unclear(part: Interval) -> str:
    return "" if part.low > 0 or part.high < 0 else " (not told from 0)"


def _percent(part: Interval) -> str:
    return f"95 % interval {_signed(part.low)} % to {_signed(part.high)} %"


def _signed(share: float) -> str:
    return f"{100 * share:.0f}".replace("-", "−")
