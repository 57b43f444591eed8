"""The causes of a bad clone: what is compared for each, and what a comparison shows of it."""

import dataclasses
from typing import Literal

from journeyman.diagnose._interval import Interval
from journeyman.diagnose._modes import UNTOLD, ModeAveraging
from journeyman.diagnose._paired import Paired

Verdict = Literal["found", "small", "borderline", "the other way round", "no detectable difference", "cannot tell"]

COMPARED = {
    "too little data": "half of the training episodes against all",
    "underfitting": "as it is against three times the passes and twice the width",
    "mode averaging": "demonstrations inside the policy's middle half, where half should be",
    "compounding error": "on its own states against on the expert's",
    "memory": "the observation against the step before it too",
    "bad demonstrations": "without as many at random against without the worst quarter",
}
"""What is compared for each cause, in the order in which they are told."""

_MEANS = {
    "too little data": "More demonstrations help.",
    "underfitting": "Train longer, or a wider network.",
    "compounding error": "Labels on its own states help (DAgger).",
    "memory": "The step before tells what the observation does not: memory, a hidden state, demonstrators who differ.",
    "bad demonstrations": "The worst are better left out.",
}

REASONS = {
    "compounding error": "there is no expert to label the policy's own states",
    "memory": "the network is no MLP, so that it cannot be shown the step before as well",
    "bad demonstrations": "neither returns nor successes that differ are known",
}


@dataclasses.dataclass(frozen=True)
class Cause:
    """One cause, what was compared for it, and what that shows.

    - `difference`: by how much the error would be smaller without the cause, in `CloneDiagnosis.error_unit`, with its
      interval (of mode averaging: the share of the demonstrations inside the policy's middle half, at the place that is
      most certain); `None` where nothing could be compared.
    - `p`: of the exact test, Holm's over the causes that were compared (of mode averaging: over its places).
    - `smallest`: the least difference that would have been told in four cases of five (of mode averaging: the distance
      of two modes in deviations).
    - `verdict`: "found"; "small" (detected, but too little to matter); "borderline" (test and interval disagree); "the
      other way round" (the error is detectably smaller as it is); "no detectable difference"; "cannot tell".
    - `sentence`: it in words.
    """

    name: str
    compared: str
    difference: Interval | None
    p: float | None
    smallest: float | None
    verdict: Verdict
    sentence: str


def compared(name: str, found: Paired, p: float, needed: float, level: float) -> Cause:
    """The cause by its comparison; a difference below `needed` is too small to matter."""
    known = found.difference
    by = f"{_number(known.mean)} (95 % interval {_number(known.low)} to {_number(known.high)}, p = {p:.2g})"
    verdict, said = _verdict(found, p, needed, level)
    tail = {
        "found": f" {_MEANS[name]}",
        "small": f" Less than {_number(needed)} would not matter.",
        "borderline": " Test and interval disagree: more episodes or seeds are needed.",
    }.get(verdict, f" {_number(found.smallest)} would have been seen.")
    sentence = f"{name}: {said}; {COMPARED[name]}, the error differs by {by}.{tail}"
    return Cause(name, COMPARED[name], known, p, found.smallest, verdict, sentence)


def _verdict(found: Paired, p: float, needed: float, level: float) -> tuple[Verdict, str]:
    known = found.difference
    below = known.known and known.high < 0
    if p < level and found.detected:
        return ("found", "found") if known.mean >= needed else ("small", "detected, but small")
    if p < level and below:
        return "the other way round", "not the cause, the error is smaller as it is"
    if p < level or found.detected:
        return "borderline", "borderline"
    return "no detectable difference", "no detectable difference"


def not_growing(cause: Cause) -> Cause:
    """Errors on own states that are larger but do not grow inside an episode are no compounding."""
    if cause.verdict != "found":
        return cause
    sentence = f"{cause.sentence} It does not grow detectably inside an episode, so that it need not be compounding."
    return dataclasses.replace(cause, verdict="borderline", sentence=sentence)


def unknown(name: str, why: str | None = None) -> Cause:
    """What could not be asked; its verdict says that, its sentence why."""
    sentence = f"{name}: {REASONS[name] if why is None else why}."
    return Cause(name, COMPARED[name], None, None, None, "cannot tell", sentence)


def of_modes(found: ModeAveraging) -> Cause:
    """What the test of modes says, as a cause."""
    name = "mode averaging"
    sentence = f"{name}: {found.finding.removeprefix(UNTOLD)}"
    if found.averages is None:
        return Cause(name, COMPARED[name], None, None, None, "cannot tell", sentence)
    averaged = [one for one in found.places if one.averaged]
    place = next(iter(averaged or found.places), None)
    return Cause(
        name,
        COMPARED[name],
        None if place is None else place.covered,
        None if place is None else place.p,
        found.smallest,
        "found" if averaged else "no detectable difference",
        sentence,
    )


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
