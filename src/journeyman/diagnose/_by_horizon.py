"""What errors cost by horizon, and with which power of the horizon the cost grows."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from journeyman.collect import AbstractBehaviour, Demonstrate, Mean, play
from journeyman.diagnose._by_step import bin_edges, centres, places
from journeyman.diagnose._error import actions_of, error_unit, errors
from journeyman.diagnose._evaluate import require_fit
from journeyman.diagnose._horizon_power import LEAST_EPISODES, LEAST_LEARNERS, growth
from journeyman.diagnose._horizon_wording import LEAST_POINTS, horizon_finding, horizon_table
from journeyman.diagnose._interval import Interval, interval_of
from journeyman.diagnose._numbers import plain
from journeyman.diagnose._resampled import known, resampled_counts
from journeyman.episodes import Episodes
from journeyman.experts import AbstractExpert
from journeyman.parts import JourneymanError, refuse
from journeyman.policies import AbstractDensityPolicy, DensityPolicy
from journeyman.training import EVALUATION_SEED, world_problems
from journeyman.worlds import AbstractFinite, AbstractPureWorld, AbstractWorld

POINTS = 8
SATURATED = 1 / 8
"""Of the highest cost there can be: beyond it the growth with the horizon is that of the ceiling, not of the errors."""


@dataclasses.dataclass(frozen=True)
class CostByHorizon:
    """The expert's return over the first h steps minus the policy's, and how it grows with h.

    - `horizon` (points,): the h, in steps; `cost`: the mean cost over the first h steps, in reward units, for each.
    - `step` (bins,): the middle of each bin of step numbers; `step_cost`: the mean cost of one step there.
    - `error`: ε, the policy's error on the expert's states, in `error_unit`.
    - `scale`: the range of the rewards of single steps that were seen (0 after an end): a step cannot cost more.
    - `unrecoverable`, `recoverable` (points,): scale · εh²/2 and scale · εh; `None` for real actions, where ε is a
      distance and not a probability.
    - `used` (points,) bool: the horizons whose cost is not saturated; the exponent rests on all of them. `exponent`:
      the power of h that the cost over them grows with. A bound is infinite where no power on that side is ruled out.
      `None` where there is none to tell; `finding` says why.
    - `short`, `long`: the same over the shorter and the longer half of those horizons; `None` for fewer than six, and
      where fewer than ten episodes cost anything.
    """

    world: str
    episodes: int
    seed: int
    horizon: np.ndarray
    cost: tuple[Interval, ...]
    step: np.ndarray
    step_cost: tuple[Interval, ...]
    error: Interval
    error_unit: str
    scale: float
    unrecoverable: np.ndarray | None
    recoverable: np.ndarray | None
    used: np.ndarray
    exponent: Interval | None
    short: Interval | None
    long: Interval | None
    finding: str

    def table(self) -> str:
        """Cost by horizon, as text."""
        return horizon_table(self)

    def numbers(self) -> dict[str, Any]:
        """Everything as plain JSON; what is not finite becomes None."""
        return plain(self)


def cost_by_horizon(
    policy: AbstractDensityPolicy,
    expert: AbstractExpert,
    world: AbstractWorld,
    *,
    horizons: Sequence[int] | None = None,
    episodes: int = 100,
    bins: int = 10,
    seed: int = EVALUATION_SEED,
) -> CostByHorizon:
    """How the cost of a policy's errors grows with the horizon: J_h = E Σ_{t<h} (r*_t − r_t) for several h.

        J_h = c hᵏ,   k = 2 where errors cannot be recovered, 1 where they can

    (Ross and Bagnell 2010, theorem 2.1; Ross, Gordon and Bagnell 2011, theorem 3.2.) Both play from the same start
    seeds, the policy by its mode; in pure worlds the two meet the same chance as well. J_h is of the first h steps of
    whole episodes, and a step after an end has the reward 0. Where an early end is a relief (rewards below 0) the cost
    may come out negative.

    Args:
        horizons: rising numbers of steps; left out, 8 from an eighth of the longest episode to all of it, with equal
            ratios. At very short ones k is below 2 though nothing is recovered: J = εh(h+1)/2 has the slope
            2 − 1/(h+1); and where an error takes some steps to cost anything k is above.
        episodes: of the policy and of the expert each. Where one in a hundred has an error, thousands are needed.
        bins: of step numbers, for the cost by step.

    k is that of the power of h with the same mean horizon, each weighed by its cost: Σ h J_h / Σ J_h = Σ hᵏ⁺¹ / Σ hᵏ,
    over the horizons where J_h is at most an eighth of the most it can be, `scale` · h. (For the chain that is never
    left εh ≤ ¼, where the slope has fallen by .08; far beyond it is 1 whatever the errors do.) The interval holds the
    powers that a test over the episodes does not reject, and is open where the costs are too noisy for a bound. k is
    `None`, with the reason in `finding`, for one episode, where the cost over the longest of these horizons is not
    above 0 beyond its interval, where fewer than ten episodes cost anything, where all of it is saturated, and where
    fewer than three horizons or less than a factor of two between them are left.

    Raises `JourneymanError` when something does not fit the world, for horizons that do not rise from 1 or more or go
    beyond the longest episode, for fewer than one episode or bin, and when an episode never ends.
    """
    found = [f"There are {bins} bins of step numbers; take at least one, such as 10."] if bins < 1 else []
    refuse(found + horizon_problems(horizons))
    require_fit("policy", policy.mode, world)
    require_fit("expert", expert.label, world, jax.random.key(0))
    refuse(world_problems(policy, world) if isinstance(policy, DensityPolicy) else [])

    def whole(behaviour: AbstractBehaviour) -> Episodes:
        return play(world, behaviour, episodes=episodes, seed=seed, width=side_by_side(world, episodes))

    own, shown = whole(Mean(policy)), whole(Demonstrate(expert))
    error = interval_of(errors(actions_of(shown, policy), world, shown).totals())
    return by_horizon(own, shown, error, world, horizons=horizons, bins=bins, seed=seed)


def horizon_problems(horizons: Sequence[int] | None) -> list[str]:
    """Why these are no horizons, in sentences."""
    if horizons is None or (len(horizons) and list(horizons) == sorted({int(h) for h in horizons if h >= 1})):
        return []
    return [f"Horizons are whole numbers of steps that rise, unlike {list(horizons)}; 25 50 100 for instance."]


def side_by_side(world: AbstractWorld, episodes: int) -> int:
    """How many environments to play in so that episode i of one policy and of another are a pair.

    A pure world's next start depends on when the last episode ended, so there each environment plays one.
    """
    return episodes if isinstance(world, AbstractPureWorld) else 64


def by_horizon(
    own: Episodes,
    shown: Episodes,
    error: Interval,
    world: AbstractWorld,
    *,
    horizons: Sequence[int] | None = None,
    bins: int,
    seed: int,
) -> CostByHorizon:
    """`cost_by_horizon` from episodes of the policy and of the expert, as many of each and in the same order."""
    ours, theirs = _rewards(own), _rewards(shown)
    longest = max(ours.shape[1], theirs.shape[1])
    ours, theirs = (np.pad(one, ((0, 0), (0, longest - one.shape[1]))) for one in (ours, theirs))
    chosen, scale = _horizons(horizons, longest), _range(ours, theirs)
    cost = theirs - ours
    counts = resampled_counts(len(cost), 0).astype(np.float64)
    fitted = _fitted(chosen, np.cumsum(cost, axis=1)[:, chosen - 1], counts, scale, LEAST_EPISODES)
    edges = bin_edges(longest, bins)
    by_step = np.add.reduceat(cost, edges[:-1], axis=1) / np.diff(edges)
    counted = isinstance(world.action_space, AbstractFinite)
    told = CostByHorizon(
        world=world.name,
        episodes=len(cost),
        seed=seed,
        horizon=chosen,
        cost=fitted.cost,
        step=centres(edges),
        step_cost=tuple(known(column, len(cost)) for column in _means(by_step, counts).T),
        error=error,
        error_unit=error_unit(world),
        scale=scale,
        unrecoverable=scale * error.mean * chosen**2 / 2 if counted else None,
        recoverable=scale * error.mean * chosen if counted else None,
        used=fitted.used,
        exponent=fitted.exponent,
        short=fitted.short,
        long=fitted.long,
        finding="",
    )
    return dataclasses.replace(told, finding=horizon_finding(told, SATURATED))


def exponent_over_learners(found: Sequence[CostByHorizon]) -> Interval | None:
    """The power of h that the mean cost of several learners grows with, `n` of them, such as clones of several seeds.

        E J_h = c hᵏ,   the mean over learners, each of which is one entry, however many episodes it played

    The theorems bound this mean. The mean of the learners' own exponents is another number: it gives one that errs
    once in a thousand episodes the weight of one that always falls, noise and all, and has to leave out who costs
    nothing or less. k is estimated as in `cost_by_horizon`, under the same conditions; `None` also for fewer than five
    learners. Where a few learners pay nearly all of the cost, the interval is wide or open, and where they also grow
    otherwise than the rest it may be too narrow.

    Raises `JourneymanError` for no learners, and for horizons that are not the same.
    """
    problems = [] if found else ["There are no learners to take the mean of; measure at least five."]
    every = sorted({tuple(int(h) for h in one.horizon) for one in found})
    if len(every) > 1:
        problems.append(
            f"The learners' costs are told at other horizons, {list(every[0])} and {list(every[1])}; give `horizons` to"
            " `cost_by_horizon`."
        )
    refuse(problems)
    each = np.asarray([[cost.mean for cost in one.cost] for one in found])
    counts = resampled_counts(len(each), 0).astype(np.float64)
    return _fitted(found[0].horizon, each, counts, max(one.scale for one in found), LEAST_LEARNERS).exponent


# -- measuring --------------------------------------------------------------------------------------------


def _rewards(episodes: Episodes) -> np.ndarray:
    """`(episodes, longest)`, 0 after an end."""
    episode, step, count = places(episodes)
    found = np.zeros((count, int(step.max()) + 1))
    found[episode, step] = np.asarray(episodes.reward)[np.asarray(episodes.valid)]
    return found


def _range(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(max(ours.max(), theirs.max()) - min(ours.min(), theirs.min()))


def _horizons(asked: Sequence[int] | None, longest: int) -> np.ndarray:
    if asked is None:
        return np.unique(np.geomspace(max(1, longest / 8), longest, POINTS).round().astype(int))
    if max(asked) > longest:
        raise JourneymanError(
            f"A horizon of {max(asked)} steps is beyond the longest episode, which has {longest}; ask for shorter ones,"
            " or give the world a longer time limit."
        )
    return np.asarray(asked, int)


def _means(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean over episodes `(1 + resamples, columns)`, of the data first."""
    return counts @ values / len(values)


# -- fitting ----------------------------------------------------------------------------------------------


class _Fitted(NamedTuple):
    cost: tuple[Interval, ...]
    used: np.ndarray
    exponent: Interval | None
    short: Interval | None
    long: Interval | None


def _fitted(horizon: np.ndarray, each: np.ndarray, counts: np.ndarray, scale: float, least: int) -> _Fitted:
    """Which horizons count, and the power over all of them and over each half; `each` (episodes, horizons)."""
    means = _means(each, counts)
    cost = tuple(known(column, len(each)) for column in means.T)
    used = means[0] <= SATURATED * scale * horizon
    chosen = np.flatnonzero(used)
    few = len(chosen) < LEAST_POINTS or horizon[chosen[-1]] < 2 * horizon[chosen[0]]
    if few or not cost[chosen[-1]].low > 0:
        return _Fitted(cost, used, None, None, None)
    halves = (chosen[: len(chosen) // 2], chosen[-(len(chosen) // 2) :]) if len(chosen) >= 6 else ()
    short, long = (growth(horizon[part], each[:, part], least) for part in halves) if halves else (None, None)
    return _Fitted(cost, used, growth(horizon[chosen], each[:, chosen], least), short, long)
