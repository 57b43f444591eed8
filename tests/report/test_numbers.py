"""Numbers as text: significant digits, intervals, shares, and axes."""

import itertools
import math

import pytest

from journeyman.report import format_interval, format_number, format_share
from journeyman.report._numbers import axis, tick_texts

nan = float("nan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3512.4, "3,512"),  # whole digits are never rounded away, though only three were asked for
        (999.96, "1,000"),  # rounding moves the leading digit
        (12.345, "12.3"),
        (0.94444, "0.944"),
        (-0.5, "−0.500"),
        (0.000123456, "0.000123"),
        (1.23e-9, "1.23·10⁻⁹"),
        (4.56e12, "4.56·10¹²"),
        (4, "4"),
        (491_520, "491,520"),
        (-0.0, "0"),
        (nan, "–"),
        (None, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_format_number(value: float | None, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("mean", "low", "high", "texts"),
    [
        (3512.44, 3489.1, 3530.9, ("3,512", "3,489 to 3,531")),
        (0.94444, 0.9123, 0.9711, ("0.944", "0.912 to 0.971")),  # width 0.0588: two digits of it are 3 decimals
        (-1.0, -2.5, 0.25, ("−1.0", "−2.5 to 0.2")),
        (1.0, 1.0, 1.0, ("1", "1 to 1")),  # every episode alike
        (3512.44, nan, nan, ("3,512", "")),
        (nan, 1.0, 2.0, ("–", "")),
    ],
)
def test_format_interval(mean: float, low: float, high: float, texts: tuple[str, str]) -> None:
    assert format_interval(mean, low, high) == texts


def test_format_share() -> None:
    assert [format_share(x) for x in (0.0, 0.944, 1.0, nan)] == ["0 %", "94 %", "100 %", "–"]


@pytest.mark.parametrize(
    ("low", "high", "first", "last"),
    [
        (880.0, 3540.0, 0.0, 4000.0),
        (0.3, 0.95, 0.0, 1.0),
        (-350.0, -20.0, -400.0, 0.0),
        (3400.0, 3500.0, 3400.0, 3500.0),
    ],
)
def test_axis_encloses_in_round_steps(low: float, high: float, first: float, last: float) -> None:
    ticks = axis(low, high)
    assert (ticks[0], ticks[-1]) == (first, last)
    steps = {round(b - a, 9) for a, b in itertools.pairwise(ticks)}
    assert len(steps) == 1
    assert 3 <= len(ticks) <= 8


def test_axis_of_a_single_value_has_room() -> None:
    ticks = axis(7.0, 7.0)
    assert ticks[0] < 7.0 < ticks[-1]
    assert axis(0.0, 0.0)[0] < 0.0 < axis(0.0, 0.0)[-1]


def test_tick_texts_agree_on_decimals() -> None:
    assert tick_texts([0.0, 0.25, 0.5, 0.75, 1.0]) == ["0", "0.25", "0.5", "0.75", "1"]
