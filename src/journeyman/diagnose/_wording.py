"""What the numbers of a diagnosis say, in one sentence that claims no more than they show."""

import math

from journeyman.diagnose._interval import Interval

LEAST = 1e-6
"""Errors and slopes up to here are rounding."""


def error_finding(
    on_expert: Interval,
    on_own: Interval,
    ratio: Interval | None,
    growth: Interval | None,
    excess: Interval | None,
    unit: str,
) -> tuple[str, bool]:
    """The sentence about the error, and whether it compounds: it grows, and more than on the expert's states."""
    means = f"its mean is {_number(on_own)} there and {_number(on_expert)} on the expert's states, in {unit}"
    if ratio is not None:
        means += f" (a ratio of {_bounds(ratio)})"
    if growth is None:
        return f"No detectable growth: no episode is longer than one step ({on_own.n} episodes); {means}.", False
    slope = f"by {_per_hundred(growth)} per 100 steps over {growth.n} episodes"
    if not _positive(growth):
        return (
            f"No detectable growth of the error inside the episode: on the policy's own states it changes {slope};"
            f" {means}.",
            False,
        )
    if excess is not None and not _positive(excess):
        return (
            f"The error on the policy's own states grows {slope}, but not detectably more than on the expert's states"
            f" (difference {_per_hundred(excess)}), so it need not be compounding; {means}.",
            False,
        )
    return f"Errors compound: on the states that the policy reaches itself its error grows {slope}; {means}.", True


def drift_finding(
    on_expert: Interval,
    growth: Interval | None,
    excess: Interval | None,
    distance: Interval,
    within: Interval | None,
    unit: str,
) -> str:
    """The sentence where nobody can label: the error on demonstrated states, and whether the policy drifts away."""
    usual = f", where {_bounds(within)} is usual between demonstrations" if within is not None else ""
    error = f"its error on the demonstrated states is {_bounds(on_expert)} in {unit} over {on_expert.n} demonstrations"
    where = f"its states lie {_bounds(distance)} deviations from the nearest demonstrated one{usual}"
    if growth is None:
        return f"No detectable drift: no episode is longer than one step ({distance.n} episodes); {where}; {error}."
    slope = f"by {_per_hundred(growth)} deviations per 100 steps over {growth.n} episodes"
    if _positive(growth) and (excess is None or _positive(excess)):
        return f"The policy drifts away from the demonstrations {slope}: {where}; {error}."
    return (
        f"No detectable drift away from the demonstrations: the distance changes {slope}"
        f"{'' if excess is None else f' ({_per_hundred(excess)} more than between demonstrations)'}; {where}; {error}."
    )


def _positive(slope: Interval) -> bool:
    return math.isfinite(slope.low) and slope.low * 100 > LEAST


def _per_hundred(slope: Interval) -> str:
    return _bounds(Interval(100 * slope.mean, 100 * slope.low, 100 * slope.high, slope.n))


def _bounds(value: Interval) -> str:
    known = f"95 % interval {value.low:.3g} to {value.high:.3g}".replace("inf", "∞")
    if math.isnan(value.low):
        known = "one episode, so no interval" if value.n == 1 else "no interval"
    return f"{value.mean:.3g} ({known})".replace("-", "−")


def _number(value: Interval) -> str:
    return f"{value.mean:.3g}"
