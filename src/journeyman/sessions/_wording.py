"""Measured numbers in a sentence."""

import math

from journeyman import diagnose, report


def bounded(score: diagnose.Interval | report.Interval, spec: str = ".4g") -> str:
    """The mean and between brackets its bounds, each formatted as `spec` says; the mean alone where no bound is known.

    >>> bounded(diagnose.interval([1.0, 1.0])), bounded(diagnose.interval([1.0]))
    ('1 [1, 1]', '1')
    """
    if not (math.isfinite(score.low) and math.isfinite(score.high)):
        return f"{score.mean:{spec}}"
    return f"{score.mean:{spec}} [{score.low:{spec}}, {score.high:{spec}}]"
