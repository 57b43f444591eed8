"""Do demonstrations act in two ways at the same place, and does a clone act between the two?"""

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np

from journeyman.diagnose._by_step import places as numbered
from journeyman.diagnose._dip import dip_p_value, null_dips
from journeyman.diagnose._interval import Interval, share_interval
from journeyman.diagnose._modes_wording import modes_finding, modes_table
from journeyman.diagnose._numbers import plain
from journeyman.diagnose._paired import holm
from journeyman.diagnose._places import (
    MOST_EPISODES,
    NEAREST,
    TOLD,
    Acted,
    Proposed,
    acted,
    level_with,
    propose,
    there,
)
from journeyman.diagnose._places import told_apart as told
from journeyman.diagnose._two_gaussians import two_gaussians
from journeyman.episodes import Episodes
from journeyman.parts import refuse
from journeyman.policies import DensityPolicy

PLACES = 3
"""At so many places the question is put; p-values are Holm's over them."""
_PROPOSING = 0.4
_SEPARATIONS = np.arange(3.0, 12.5, 0.5)
_POWER, _TRIALS = 0.8, 200


@dataclasses.dataclass(frozen=True)
class TwoWays:
    """One place where the question was put.

    Along `direction` (actions,), in action units, the mean action of the policy is 0 and what was done there is
    described by two Gaussians.

    - `step`: the median step number there; `episodes`: how many were asked; `p`: that the actions have one mode, by
      Holm over all places; `told_apart`: p that the observation does not tell which way is taken.
    - `centres`, `deviations`, `shares`: of the two Gaussians, the lower one first; `separation`: the distance of the
      centres in deviations (root mean square of the two).
    - `position`: where the policy's likeliest action lies, 0 at the lower centre and 1 at the upper (median).
    - `policy_density`, `demonstrated_density`: at that action, per action unit; `ratio`: the first over the second.
    - `valley`: the demonstrated density there over that at the lower of the two modes.
    - `covered`: the share of the demonstrations inside the policy's own middle half about its likeliest action, where
      half of them should be.
    - `two`: acted in two ways, p < level and the observation does not tell which. `averaged`: the policy acts between
      them, where the demonstrations have less than half of what they have at the lower mode.
    """

    step: float
    episodes: int
    direction: np.ndarray
    p: float
    told_apart: float
    centres: tuple[float, float]
    deviations: tuple[float, float]
    shares: tuple[float, float]
    separation: float
    position: float
    policy_density: float
    demonstrated_density: float
    ratio: float
    valley: float
    covered: Interval
    two: bool
    averaged: bool


@dataclasses.dataclass(frozen=True)
class ModeAveraging:
    """Whether a policy averages modes of its demonstrations.

    - `episodes`: how many there are; `valid`: how many of them count, those that succeed (all, where nobody says).
    - `places`: where the question was put, most certain first, over the valid episodes.
    - `modes`: ways of acting told over valid episodes at any place, 2 or 1; `raw_modes`: the same over all episodes.
      `None` where the question could not be put.
    - `averages`: whether the policy acts between the two ways somewhere; `None` likewise.
    - `smallest`: the least distance of two equally frequent modes, in deviations of each, that would be told at a place
      in four cases of five; inf where none would.
    - `finding`: it in words. `notes`: what to know beside it.
    """

    episodes: int
    valid: int
    level: float
    places: tuple[TwoWays, ...]
    modes: int | None
    raw_modes: int | None
    averages: bool | None
    smallest: float
    finding: str
    notes: tuple[str, ...]

    def table(self) -> str:
        """The places, as text."""
        return modes_table(self)

    def numbers(self) -> dict[str, Any]:
        """Everything as plain JSON; what is not finite becomes None."""
        return plain(self)


def mode_averaging(
    policy: DensityPolicy,
    demonstrations: Episodes,
    *,
    success: np.ndarray | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> ModeAveraging:
    """Ask whether the demonstrations act in two ways at the same place, and where the policy acts there.

    A policy with one mode that is fitted by likelihood to two covers both and is likeliest between them, where nobody
    acts: the forward KL averages modes. The sentence claims it where all of this holds:

    1. *Two ways.* At a place, what was done less the policy's mean action is not from any distribution with one mode:
       Hartigan's dip test, against the uniform distribution, so that skew, heavy tails, a spread that changes and
       an elongated Gaussian are no second mode. Each episode gives one step, the nearest: steps of an episode are
       alike. Two fifths of the episodes propose at most three places and a direction each; the others answer, and the
       p-values are Holm's. So `level` bounds the chance of any false alarm, whatever was searched.
    2. *At the same observation.* The observation does not tell which way is taken (`told_apart`).
    3. *Between.* The policy's likeliest action lies between the two, where the demonstrations have less than half the
       density of the lower mode.

    Args:
        policy: the clone.
        demonstrations: what it was to copy; held-out ones too.
        success: (episodes,) bool, in the order of `unpack`, which of them succeeded. Modes are counted over these: two
            ways of which one fails are no two ways to do the task. Without it all count.
        level: of the test.

    The level holds where episodes are independent, where projections of what has one mode have one, and where the
    demonstrator's mean less the policy's is nearly linear in the observation inside a place.

    Raises `JourneymanError` for demonstrations without a valid step, a `success` of another length, and a level
    outside (0, 1). Where actions are choices, and where there are too few episodes, there is no answer and the finding
    says why.
    """
    count = _checked(demonstrations, success, level)
    valid = np.ones(count, bool) if success is None else np.asarray(success, bool)
    if np.asarray(demonstrations.target).dtype.kind != "f":
        return _nothing(count, int(valid.sum()), level, np.inf, _CHOICES)
    answering = _asked_of(min(int(valid.sum()), MOST_EPISODES))
    smallest = _smallest_seen(answering, level / PLACES) if answering > 1 else np.inf
    if not np.isfinite(smallest):
        return _nothing(count, int(valid.sum()), level, smallest, _too_few(int(valid.sum())))
    found = _searched(acted(policy, demonstrations, valid), level, seed)
    raw = found if valid.all() else _searched(acted(policy, demonstrations, np.ones(count, bool)), level, seed)
    result = ModeAveraging(
        episodes=count,
        valid=int(valid.sum()),
        level=level,
        places=found,
        modes=1 + any(one.two for one in found),
        raw_modes=1 + any(one.two for one in raw),
        averages=any(one.averaged for one in found),
        smallest=smallest,
        finding="",
        notes=(_ALL_COUNT,) if success is None else (),
    )
    return dataclasses.replace(result, finding=modes_finding(result))


UNTOLD = "Whether modes are averaged cannot be told: "
_CHOICES = "The actions are choices, and a policy of choices has a probability for each: it averages no modes."
_ALL_COUNT = "Nobody says which demonstrations succeed, so modes are counted over all of them."


def _too_few(valid: int) -> str:
    return (
        f"{UNTOLD}with {valid} valid demonstration{'' if valid == 1 else 's'}, of which each counts once at a place,"
        " not even two modes 12 deviations apart would be seen; record more."
    )


def _checked(demonstrations: Episodes, success: np.ndarray | None, level: float) -> int:
    """How many episodes there are."""
    count, problems = numbered(demonstrations)[2], []
    if not count:
        problems.append("The demonstrations have no valid step; record at least one episode.")
    if success is not None and np.shape(success) != (count,):
        problems.append(
            f"`success` has shape {np.shape(success)} where there are {count} episodes; give one entry an episode."
        )
    if not 0 < level < 1:
        problems.append(f"The level of the test is a probability such as 0.05, not {level}.")
    refuse(problems)
    return count


def _nothing(count: int, valid: int, level: float, smallest: float, why: str) -> ModeAveraging:
    return ModeAveraging(count, valid, level, (), None, None, None, float(smallest), why, ())


# -- two ways ------------------------------------------------------------------------------------------------


class _Halves(NamedTuple):
    """Who proposes and who answers."""

    proposing: np.ndarray
    answering: np.ndarray


def _halves(count: int, seed: int) -> _Halves:
    order = np.random.default_rng(seed).permutation(count)
    cut = round(_PROPOSING * count)
    return _Halves(np.sort(order[:cut]), np.sort(order[cut:]))


def _asked_of(count: int) -> int:
    """How many episodes answer at one place."""
    return round(NEAREST * (count - round(_PROPOSING * count)))


class Asked(NamedTuple):
    """One place and the answer: `p` by Holm, from so many `episodes`."""

    proposed: Proposed
    p: float
    episodes: int


def asked(found: Acted, seed: int) -> list[Asked]:
    """The question put at each place that one part of the episodes proposes, to the other part."""
    halves = _halves(int(found.episode.max()) + 1, seed)
    proposed = propose(found, halves.proposing, PLACES)
    there_too = [found.at(there(found, halves.answering, one.centre)) for one in proposed]
    bare = [dip_p_value(level_with(rows)[0] @ one.direction) for rows, one in zip(there_too, proposed, strict=True)]
    adjusted = holm(bare, PLACES)
    return [Asked(one, p, len(rows.episode)) for one, p, rows in zip(proposed, adjusted, there_too, strict=True)]


def _searched(found: Acted, level: float, seed: int) -> tuple[TwoWays, ...]:
    everybody = np.arange(int(found.episode.max()) + 1)
    ways = [
        _described(found.at(there(found, everybody, one.proposed.centre)), one, level) for one in asked(found, seed)
    ]
    return tuple(sorted(ways, key=lambda one: one.p))


@functools.cache
def _smallest_seen(asked: int, level: float) -> float:
    """The least separation that the dip of `asked` numbers tells at this level in four cases of five; inf for none."""
    null = null_dips(asked)
    if 1 / (1 + len(null)) > level:
        return np.inf
    random = np.random.default_rng(asked)
    side = np.where(random.random((_TRIALS, asked)) < 0.5, -0.5, 0.5)
    noise = random.standard_normal((_TRIALS, asked))

    def power(separation: float) -> float:
        return float(np.mean([dip_p_value(one) < level for one in separation * side + noise]))

    low, high = 0, len(_SEPARATIONS) - 1
    if power(_SEPARATIONS[high]) < _POWER:
        return np.inf
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(_SEPARATIONS[middle]) >= _POWER else (middle + 1, high)
    return float(_SEPARATIONS[high])


# -- between them --------------------------------------------------------------------------------------------


def _described(rows: Acted, answer: Asked, level: float) -> TwoWays:
    """The place over all episodes that come by, in action units along the proposed direction."""
    proposed, p = answer.proposed, answer.p
    away, likeliest = (one @ proposed.direction for one in level_with(rows))
    apart = told(rows.features, away)
    two = p < level and apart > TOLD
    fit = two_gaussians(away)
    at = float(np.median(likeliest))
    lower, upper = fit.centres
    position = (at - lower) / (upper - lower) if upper > lower else 0.5
    demonstrated = float(fit.density(at))
    valley = demonstrated / min(float(fit.density(one)) for one in fit.centres)
    unit = _unit(rows.scale, proposed.direction)
    own = _density_of(rows, proposed.direction, likeliest_of=rows.likeliest @ proposed.direction)
    return TwoWays(
        step=float(np.median(rows.step)),
        episodes=answer.episodes,
        direction=_in_units(rows.scale, proposed.direction),
        p=p,
        told_apart=apart,
        centres=(lower * unit, upper * unit),
        deviations=(fit.deviations[0] * unit, fit.deviations[1] * unit),
        shares=fit.shares,
        separation=(upper - lower) / float(np.sqrt(np.mean(np.square(fit.deviations)))),
        position=position,
        policy_density=own / unit,
        demonstrated_density=demonstrated / unit,
        ratio=own / max(demonstrated, 1e-300),
        valley=valley,
        covered=_covered(rows, proposed.direction),
        two=two,
        averaged=two and 0 < position < 1 and valley < 0.5,
    )


def _in_units(scale: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """The unit vector, in action units, along which w · (action / scale) grows fastest."""
    turned = direction / scale
    return turned / np.linalg.norm(turned)


def _unit(scale: np.ndarray, direction: np.ndarray) -> float:
    """How much an action moves along that vector while w · (action / scale) grows by 1."""
    return float(1 / np.linalg.norm(direction / scale))


def _covered(rows: Acted, direction: np.ndarray) -> Interval:
    """Wilson's interval: each episode is there once."""
    likeliest = rows.likeliest @ direction
    half = np.median(np.abs(rows.draws @ direction - likeliest[:, None]), axis=1)
    return share_interval(np.abs(rows.away @ direction - likeliest) <= half)


def _density_of(rows: Acted, direction: np.ndarray, likeliest_of: np.ndarray) -> float:
    """The policy's density at its likeliest action along the direction, from draws at all states of the place.

    A kernel estimate with Silverman's width (1986, equation 3.31); what it smooths away is about a per cent of a
    Gaussian.
    """
    off = ((rows.draws @ direction) - likeliest_of[:, None]).ravel()
    quarter, three_quarters = np.quantile(off, [0.25, 0.75])
    width = 0.9 * min(off.std(), (three_quarters - quarter) / 1.34) * len(off) ** -0.2
    if not width > 0:
        return float("inf")
    return float(np.exp(-0.5 * (off / width) ** 2).mean() / (width * np.sqrt(2 * np.pi)))
