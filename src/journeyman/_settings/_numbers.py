"""What can be wrong with a number that a user sets."""

import math

from journeyman._refusals import LAST_SEED, not_whole


def positive(**numbers: float | None) -> list[str]:
    """Which of these settings that are given are not above zero (or not numbers at all), in sentences."""
    return [
        f"{flag(name)} must be a positive number, not {value}; change it."
        for name, value in numbers.items()
        if value is not None and not (value > 0 and math.isfinite(value))
    ]


def not_negative(advice: str, /, **numbers: float | None) -> list[str]:
    """Which of these settings that are given are below zero (or not finite), in sentences that end in `advice`."""
    return [
        f"{flag(name)} must be 0 or more, and finite, not {value}; {advice}."
        for name, value in numbers.items()
        if value is not None and not (value >= 0 and math.isfinite(value))
    ]


def seeded(seed: int) -> list[str]:
    """Why no random numbers can be drawn from this seed, in a sentence: the largest has 32 bits."""
    return not_whole("--seed", seed, most=LAST_SEED)


def flag(name: str) -> str:
    """The option of the command line that sets the field `name`."""
    return "--" + name.removesuffix("_").replace("_", "-")
