"""Numbers as a reader wants them: significant digits, thousands apart, an honest dash for what is unknown."""

import math
import re
from collections.abc import Sequence

UNKNOWN = "–"
"""What stands in the place of a number that is not known."""


def format_number(value: float | None, digits: int = 3) -> str:
    """`value` with `digits` significant digits and thousands apart; whole digits are never rounded away.

    A whole number that is a count (up to a million) stays as it is.

    >>> [format_number(x) for x in (3512.4, 4, 0.94444, 12.345, -0.00012345, 500_000, 0, float("nan"))]
    ['3,512', '4', '0.944', '12.3', '−0.000123', '500,000', '0', '–']
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == round(value) and abs(value) < 1e6:
        return with_decimals(value, 0)
    return with_decimals(value, max(0, digits - 1 - _magnitude(value, digits)))


def with_decimals(value: float, decimals: int) -> str:
    """`value` with so many decimals, a true minus sign, and powers of ten only beyond what one can count."""
    if value != 0 and (abs(value) >= 1e9 or decimals > 6):
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}·10{_superscript(int(exponent))}".replace("-", "−")
    text = f"{value:,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def format_interval(mean: float, low: float, high: float) -> tuple[str, str]:
    """The mean, and its interval as text, to the decimals that the interval's width can bear (two digits).

    The interval is an empty string where a bound is not finite.

    >>> format_interval(3512.44, 3489.1, 3530.9)
    ('3,512', '3,489 to 3,531')
    >>> format_interval(0.94444, 0.9123, 0.9711)
    ('0.944', '0.912 to 0.971')
    """
    if not (math.isfinite(mean) and math.isfinite(low) and math.isfinite(high)):
        return format_number(mean), ""
    width = high - low
    if width <= 0:
        return format_number(mean), f"{format_number(low)} to {format_number(high)}"
    decimals = max(0, 1 - _magnitude(width, 2))
    return with_decimals(mean, decimals), f"{with_decimals(low, decimals)} to {with_decimals(high, decimals)}"


def format_share(value: float) -> str:
    """A share from 0 to 1 as a percentage; a dash where it is not known.

    >>> format_share(0.944), format_share(float("nan"))
    ('94 %', '–')
    """
    return f"{with_decimals(100 * value, 0)} %" if math.isfinite(value) else UNKNOWN


def signed(sentence: str) -> str:
    """A sentence whose negative numbers have a true minus sign, as those of the tables.

    >>> signed("From -3.2 to [-1, 2] on Hopper-v5, at 1e-3")
    'From −3.2 to [−1, 2] on Hopper-v5, at 1e-3'
    """
    return re.sub(r"(?<![^\s\[(])-(?=[\d.])", "−", sentence)


def axis(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers, about so many, that enclose [low, high]; zero is among them when it costs little room.

    >>> axis(880.0, 3540.0)
    [0.0, 1000.0, 2000.0, 3000.0, 4000.0]
    """
    if low > 0 and low < 0.6 * high:
        low = 0.0
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    rough = (high - low) / (about - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """The ticks of one axis, without zeros that say nothing.

    >>> tick_texts([0.0, 0.25, 0.5]), tick_texts([0.0, 1000.0])
    (['0', '0.25', '0.5'], ['0', '1,000'])
    """
    places = [format_number(tick, 6) for tick in ticks]
    return [text.rstrip("0").rstrip(".") if "." in text else text for text in places]


def _magnitude(value: float, digits: int) -> int:
    """The power of ten of the leading digit, after rounding: 999.96 to three digits begins with 1000."""
    return int(f"{abs(value):.{digits - 1}e}".split("e")[1])


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
