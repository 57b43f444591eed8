"""What a report says, as plain data: anybody can fill these in, and nothing here draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from journeyman.parts import refuse

SEVERITIES: tuple[str, ...] = ("good", "note", "warning", "problem")
"""How much a finding matters, from reassurance to something that must be mended before one goes on."""


@dataclass(frozen=True)
class Interval:
    """A measured number and how well it is known: the mean and a 95 % bootstrap interval around it.

    Bounds that are not known are nan, and the page then shows the mean alone. Without a mean it shows a dash.
    """

    mean: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class Band:
    """A line with a band: `middle`, `low`, `high`, each of shape (points,). nan leaves a gap.

    The bounds are optional: empty sequences draw the line alone.
    """

    middle: Sequence[float] | np.ndarray
    low: Sequence[float] | np.ndarray = ()
    high: Sequence[float] | np.ndarray = ()


@dataclass(frozen=True)
class PolicyRow:
    """One policy of the table, with everything needed to believe its number.

    - `name`: "demonstrations", "clone", "corrected", "improved" and "expert" have colours of their own, and
      keep them in every figure; any other name gets the next free colour.
    - `score`: what the policy reached with its mean action, over `episodes` whole episodes.
    - `sampled`: the same with sampled actions; `success`: share of episodes that succeeded, from 0 to 1.
    - `best`: the single best episode. All three are None where they were not measured.
    - `data`: what it learnt from, in words with numbers ("4 demonstrations, 2,000 labels").
    - `command`: the command line that makes this number again.
    """

    name: str
    score: Interval
    episodes: int
    sampled: Interval | None = None
    success: Interval | None = None
    best: float | None = None
    data: str = ""
    command: str = ""


@dataclass(frozen=True)
class Reference:
    """A horizontal line to compare with, named on the figure (the expert's return, the clone's return)."""

    name: str
    value: float


@dataclass(frozen=True)
class Curve:
    """One learning curve: `y` against `x`, with a band and with horizontal lines to compare with.

    Curves that agree on `x_label`, `x_unit`, `y_label` and `y_unit` share one figure. `interval` says in
    words what the band is ("95 % bootstrap interval over 64 episodes"); `caption` says what the figure shows.
    """

    name: str
    x: Sequence[float] | np.ndarray
    y: Band
    x_label: str
    y_label: str
    x_unit: str = ""
    y_unit: str = ""
    references: Sequence[Reference] = ()
    interval: str = ""
    caption: str = ""
    command: str = ""


@dataclass(frozen=True)
class CostFigure:
    """What a policy's errors cost over the first H steps of an episode, in units of reward.

    - `horizon`: (points,) the H; `cost`: the mean with its `interval`; `used`: (points,) whether the exponent rests on
      it.
    - `lines`: named lines of shape (points,) to compare with: the bounds εH²/2 and εH, or powers of H.
    """

    horizon: Sequence[float] | np.ndarray
    cost: Band
    used: Sequence[bool] | np.ndarray
    lines: Mapping[str, Sequence[float] | np.ndarray] = field(default_factory=dict)
    interval: str = "95 % interval over episodes"
    caption: str = ""


@dataclass(frozen=True)
class CompoundingFigure:
    """How a policy's error grows by step number inside the episode: on the expert's states and on its own.

    - `step`: (points,) step numbers. `expert_states`, `own_states`: the policy's action error on the states
      the expert visits and on those it visits itself, in `error_unit`.
    - `distance`: how far its own states lie from the demonstrations, in `distance_unit`;
      `distance_within`: the same for a demonstration held against the others, as the yardstick.
    - `alive`: (points,) how many of `episodes` are still running at that step; `expert_alive`: the same for
      the `expert_episodes` of the expert.
    - `references`: named lines of shape (points,), such as ε·t where errors add up.
    - `cost`: what the errors cost by horizon, in a figure of its own.
    """

    policy: str
    step: Sequence[float] | np.ndarray
    expert_states: Band
    own_states: Band
    alive: Sequence[float] | np.ndarray
    episodes: int
    distance: Band | None = None
    distance_within: float | None = None
    expert_alive: Sequence[float] | np.ndarray = ()
    expert_episodes: int = 0
    references: Mapping[str, Sequence[float] | np.ndarray] = field(default_factory=dict)
    error_unit: str = ""
    distance_unit: str = ""
    cost: CostFigure | None = None
    interval: str = "the middle half of the episodes"
    caption: str = ""
    command: str = ""


@dataclass(frozen=True)
class Film:
    """A short film of one episode: `frames` are uint8 pictures of shape (height, width, 3), all alike.

    `seconds` is how long the episode really took, so that the film plays at that speed. Where the world
    cannot be drawn, `frames` is empty and `missing` is the sentence that says why.
    """

    name: str
    frames: Sequence[np.ndarray] | np.ndarray = ()
    seconds: float = 4.0
    caption: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Finding:
    """One sentence of diagnosis with its numbers and the command that makes them again.

    `severity` is one of `SEVERITIES`. A number given as a string is printed as it stands.
    """

    severity: str
    sentence: str
    numbers: Mapping[str, float | str] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class Report:
    """Everything on the page. Give `write` one of these.

    - `summary`: sentences; the first is set large, so let it be the result.
    - `facts`: seed, world, command, versions, machine ... in the order in which they are printed. The entry
      "command" gets a copy button.
    - `table`: lines of text in columns, shown as they stand.
    - `score_label`, `score_unit`: what `PolicyRow.score` is ("return", "" or "score", "share of the target").
    - `citations`: BibTeX entries of what ran.

    Raises `JourneymanError` on construction, all reasons at once, when lengths disagree, two policies have
    one name, a severity is unknown, or frames are not uint8 pictures of one shape.
    """

    title: str
    summary: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    policies: Sequence[PolicyRow] = ()
    curves: Sequence[Curve] = ()
    compounding: CompoundingFigure | None = None
    films: Sequence[Film] = ()
    findings: Sequence[Finding] = ()
    table: str = ""
    citations: Sequence[str] = ()
    score_label: str = "return"
    score_unit: str = ""

    def __post_init__(self) -> None:
        names = [row.name for row in self.policies]
        found = [
            f"Two policies of the report are called '{name}'; give each a name of its own."
            for name in dict.fromkeys(n for n in names if names.count(n) > 1)
        ]
        found += [
            f"The finding '{finding.sentence}' has severity '{finding.severity}';"
            f" choose one of {', '.join(SEVERITIES)}."
            for finding in self.findings
            if finding.severity not in SEVERITIES
        ]
        for curve in self.curves:
            found += _lengths(f"The curve '{curve.name}'", len(curve.x), {"y": curve.y})
        if self.compounding is not None:
            found += _compounding_lengths(self.compounding)
        for film in self.films:
            found += _film_problems(film)
        refuse(found)


def _lengths(what: str, points: int, series: Mapping[str, "Band | Sequence[float] | np.ndarray"]) -> list[str]:
    found = []
    for name, values in series.items():
        if isinstance(values, Band):
            parts = {f"{name}.middle": values.middle, f"{name}.low": values.low, f"{name}.high": values.high}
        else:
            parts = {name: values}
        found += [
            f"{what} has {points} points, but '{part}' has {len(numbers)}; give one number a point."
            for part, numbers in parts.items()
            if len(numbers) != points and not (len(numbers) == 0 and not part.endswith("middle"))
        ]
    return found


def _compounding_lengths(figure: CompoundingFigure) -> list[str]:
    series = {"expert_states": figure.expert_states, "own_states": figure.own_states, **figure.references}
    series |= {"alive": figure.alive, "expert_alive": figure.expert_alive}
    if figure.distance is not None:
        series["distance"] = figure.distance
    found = _lengths("The compounding figure", len(figure.step), series)
    if (cost := figure.cost) is not None:
        found += _lengths("The figure of the cost", len(cost.horizon), {"cost": cost.cost, **cost.lines})
    return found


def _film_problems(film: Film) -> list[str]:
    if not len(film.frames):
        return [] if film.missing else [f"The film '{film.name}' has no frames; say why in `missing`."]
    first = np.asarray(film.frames[0])
    if first.dtype != np.uint8 or first.ndim != 3 or first.shape[-1] != 3:
        return [
            f"The film '{film.name}' has frames of shape {first.shape} and dtype {first.dtype};"
            " give uint8 pictures of shape (height, width, 3)."
        ]
    shapes = {np.shape(frame) for frame in film.frames}
    if len(shapes) > 1:
        return [f"The film '{film.name}' has frames of shapes {sorted(shapes)}; give pictures of one shape."]
    return []
