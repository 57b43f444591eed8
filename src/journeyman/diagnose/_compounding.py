"""Do a clone's errors carry it to states that it was not shown, and do they grow there?"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from journeyman.collect import Mean, Mixture, play
from journeyman.diagnose._by_horizon import CostByHorizon, by_horizon, horizon_problems, side_by_side
from journeyman.diagnose._by_step import ByStep, Steps, bin_edges, centres, places
from journeyman.diagnose._distance import States, distances
from journeyman.diagnose._error import actions_of, error_unit, errors
from journeyman.diagnose._evaluate import require_fit
from journeyman.diagnose._horizon_wording import compounding_table, tells
from journeyman.diagnose._interval import Interval, compare, interval_of
from journeyman.diagnose._numbers import plain
from journeyman.diagnose._wording import LEAST, drift_finding, error_finding
from journeyman.episodes import Episodes
from journeyman.experts import AbstractExpert
from journeyman.parts import JourneymanError, refuse
from journeyman.policies import AbstractDensityPolicy, DensityPolicy, Encoder
from journeyman.training import EVALUATION_SEED
from journeyman.worlds import AbstractWorld


@dataclasses.dataclass(frozen=True)
class Compounding:
    """How a policy's error grows by step number inside the episode, with intervals over episodes.

    - `step` (points,): the middle of each bin of step numbers; all `ByStep` share it.
    - `expert_states`, `own_states`: ‖a_policy − a_expert‖ on the states that the expert visits and on those that the
      policy visits itself, in `error_unit`; the latter `None` without an expert to label them.
    - `distance`: of the policy's states from the nearest demonstrated one, in deviations of the demonstrations;
      `distance_reference`: the same for fresh episodes of the expert, or, without an expert, for each demonstration
      held against the others; `None` for one demonstration alone.
    - `alive`, `expert_alive` (points,): how many of `episodes` and `expert_episodes` have such a step.
    - `error_on_expert`, `error_on_own`: means over steps; `ratio`: the second over the first.
    - `growth`, `growth_on_expert`: slope of the error inside an episode, per step, both over the steps that the policy
      reaches; `distance_mean`, `distance_growth`, `distance_within`: the same for the distance, `distance_within` being
      the mean of `distance_reference`.
    - `compounds`: whether the error on own states grows, and more than on the expert's, beyond what chance explains;
      `None` without an expert.
    - `by_horizon`: what the errors cost, by step number and by horizon, and the exponent; `None` without an expert.
    - `finding`: it in words with the numbers, `None` where there is no error at all. `notes`: what was left out, and
      what else to know.
    """

    world: str
    step: np.ndarray
    expert_states: ByStep
    own_states: ByStep | None
    distance: ByStep
    distance_reference: ByStep | None
    alive: np.ndarray
    expert_alive: np.ndarray
    episodes: int
    expert_episodes: int
    error_on_expert: Interval
    error_on_own: Interval | None
    ratio: Interval | None
    growth: Interval | None
    growth_on_expert: Interval | None
    distance_mean: Interval
    distance_growth: Interval | None
    distance_within: Interval | None
    compounds: bool | None
    by_horizon: CostByHorizon | None
    finding: str | None
    notes: tuple[str, ...]
    error_unit: str
    distance_unit: str = "deviations of the demonstrations"

    def table(self) -> str:
        """Cost by horizon, and error and cost by step number, as text."""
        return compounding_table(self)

    def numbers(self) -> dict[str, Any]:
        """Everything as plain JSON; what is not finite becomes None."""
        return plain(self)


def compounding(
    policy: AbstractDensityPolicy,
    expert: AbstractExpert | None,
    world: AbstractWorld,
    *,
    demonstrations: Episodes | None = None,
    episodes: int = 20,
    bins: int = 50,
    horizons: Sequence[int] | None = None,
    seed: int = EVALUATION_SEED,
) -> Compounding:
    """Hold the policy against the expert by step number: where the expert goes, and where the policy goes itself.

    A clone that errs with probability ε on the expert's states may pay εH² over H steps, because its errors carry it
    away from them (Ross and Bagnell 2010, theorem 2.1). Here it shows as an error on own states that grows with the
    step number while the one on the expert's states does not, and as a growing distance from the demonstrations. What
    that costs, and with which power of the horizon, is `by_horizon`, from the same episodes (`cost_by_horizon`).

    Args:
        policy: acts with its mode.
        expert: labels the policy's states and plays `episodes` of its own; `None` where nobody can.
        demonstrations: what the policy learnt from, for the distance; without it the expert plays some.
            Without an expert the error on the expert's states is that against their targets: pass held-out ones, since
            on what it was trained on a clone looks better than it is.
        episodes: how many whole ones, of the policy and of the expert each, from the same `seed`.
        bins: at most so many bins of step numbers.
        horizons: of `by_horizon`.

    The error is Euclidean, between actions clipped to the box, in half widths of the box (in a dimension without both
    bounds in its own unit); for integer actions it is 1 where they differ. Everything is resampled by episode. World,
    policy and expert are not touched.

    Raises `JourneymanError` when there is neither an expert nor demonstrations, when something does not fit the world,
    for fewer than one episode or bin, and when an episode never ends.
    """
    _refuse_what_does_not_fit(policy, expert, world, demonstrations, bins)
    refuse(horizon_problems(horizons))
    own, shown, known = played(policy, expert, world, demonstrations, episodes, seed)
    notes = () if expert is not None else (_NO_EXPERT,)
    encoder = policy.encoder if isinstance(policy, DensityPolicy) else Encoder.of(world.observation_space)
    memory = _states(encoder, known)
    if expert is not None:
        reference = distances(_states(encoder, shown), memory)
    elif memory.episodes > 1:
        reference = distances(memory, memory, to_others=True)
    else:
        reference, notes = None, (*notes, _NO_OTHER)
    measured = Measured(
        on_expert=errors(actions_of(shown, policy), world, shown),
        on_own=None if expert is None else errors(np.asarray(own.action), world, own),
        distance=distances(_states(encoder, own), memory),
        reference=reference,
    )
    found = _summed_up(measured, own, shown, bins, world, notes)
    if expert is None:
        return found
    cost = by_horizon(own, shown, found.error_on_expert, world, horizons=horizons, bins=bins, seed=seed)
    if found.finding is None:
        return dataclasses.replace(found, by_horizon=cost)
    if not tells(cost.exponent):  # why there is none is no finding about the policy
        return dataclasses.replace(found, by_horizon=cost, notes=(*found.notes, cost.finding))
    return dataclasses.replace(found, by_horizon=cost, finding=f"{found.finding} {cost.finding}")


class Measured(NamedTuple):
    """The raw measurements, one value a step."""

    on_expert: Steps
    on_own: Steps | None
    distance: Steps
    reference: Steps | None


_NO_EXPERT = (
    "There is no expert to label the policy's own states, so its error there is left out; the error on the expert's"
    " states is that against the demonstrations."
)
_NO_OTHER = "With one demonstration there is no other to hold it against, so what distance is usual is not known."


# -- measuring --------------------------------------------------------------------------------------------


def _refuse_what_does_not_fit(
    policy: AbstractDensityPolicy,
    expert: AbstractExpert | None,
    world: AbstractWorld,
    demonstrations: Episodes | None,
    bins: int,
) -> None:
    found = []
    if expert is None and demonstrations is None:
        found.append(
            "There is neither an expert nor a demonstration to hold the policy against; pass one of the two (or both)."
        )
    if bins < 1:
        found.append(f"There are {bins} bins of step numbers; take at least one, such as 50.")
    if demonstrations is not None and not demonstrations.num_steps:
        found.append("The demonstrations have no valid step; record at least one episode.")
    refuse(found)
    require_fit("policy", policy.mode, world)
    if expert is not None:
        require_fit("expert", expert.label, world, jax.random.key(0))
    if demonstrations is not None:
        _require_like_the_world(demonstrations, world)


def _require_like_the_world(demonstrations: Episodes, world: AbstractWorld) -> None:
    axes = demonstrations.valid.ndim
    seen = [leaf.shape[axes:] for leaf in jax.tree.leaves(demonstrations.observation)]
    is_space = lambda item: hasattr(item, "shape")  # noqa: E731
    want = [space.shape for space in jax.tree.leaves(world.observation_space, is_leaf=is_space)]
    done, able = np.shape(demonstrations.target)[axes:], world.action_space.shape
    if seen != want or done != able:
        raise JourneymanError(
            f"The demonstrations do not fit '{world.name}': observations {seen} and actions {done} where the world has"
            f" {want} and {able}; take the world that they were recorded in."
        )


def played(
    policy: AbstractDensityPolicy,
    expert: AbstractExpert | None,
    world: AbstractWorld,
    demonstrations: Episodes | None,
    episodes: int,
    seed: int,
) -> tuple[Episodes, Episodes, Episodes]:
    """The policy's own episodes (with the expert's labels), the expert's (or the demonstrations), and what the policy's
    states are held against."""
    if expert is None:
        assert demonstrations is not None
        return play(world, Mean(policy), episodes=episodes, seed=seed), demonstrations, demonstrations

    def mixed(beta: float, seed: int) -> Episodes:
        behaviour = Mixture(policy, expert, jnp.asarray(beta))
        return play(world, behaviour, episodes=episodes, seed=seed, width=side_by_side(world, episodes))

    own, shown = mixed(0.0, seed), mixed(1.0, seed)  # the policy acts and the expert labels; the expert acts
    # Another seed: a state is always near to one from the same start.
    return own, shown, mixed(1.0, seed + 1) if demonstrations is None else demonstrations


def _states(encoder: Encoder, episodes: Episodes) -> States:
    valid = np.asarray(episodes.valid)
    features = np.asarray(encoder(jax.tree.map(lambda leaf: np.asarray(leaf)[valid], episodes.now)))
    return States(features, *places(episodes))


# -- summing up -------------------------------------------------------------------------------------------


def _summed_up(
    measured: Measured, own: Episodes, shown: Episodes, bins: int, world: AbstractWorld, notes: tuple[str, ...]
) -> Compounding:
    on_expert, on_own, distance, reference = measured
    own_at, shown_at = (Steps(e, s, np.ones(len(e)), n) for e, s, n in (places(own), places(shown)))
    edges = bin_edges(max(own_at.longest, shown_at.longest), bins)
    unit = error_unit(world)
    known, compounds, finding = _judged(measured, unit)
    return Compounding(
        world=world.name,
        step=centres(edges),
        expert_states=on_expert.by_step(edges),
        own_states=None if on_own is None else on_own.by_step(edges),
        distance=distance.by_step(edges),
        distance_reference=None if reference is None else reference.by_step(edges),
        alive=own_at.counts(edges),
        expert_alive=shown_at.counts(edges),
        episodes=own_at.episodes,
        expert_episodes=shown_at.episodes,
        **known,
        growth_on_expert=_growth(on_expert.before(own_at.longest), None)[0],
        compounds=compounds,
        by_horizon=None,
        finding=finding,
        notes=notes,
        error_unit=unit,
    )


def _judged(measured: Measured, unit: str) -> tuple[dict[str, Any], bool | None, str | None]:
    """The summary numbers by their names in `Compounding`, whether errors compound, and the sentence."""
    on_expert, on_own, distance, reference = measured
    growth, excess = _growth(on_own, on_expert)
    drift, drift_excess = _growth(distance, reference)
    at_expert, away = interval_of(on_expert.totals()), interval_of(distance.totals())
    at_own = None if on_own is None else interval_of(on_own.totals())
    within = None if reference is None or not len(reference.value) else interval_of(reference.totals())
    ratio = None
    if on_own is not None and at_expert.mean > LEAST:
        ratio = compare(on_own.totals(), on_expert.totals(), "ratio")
    known = {"error_on_expert": at_expert, "error_on_own": at_own, "ratio": ratio, "growth": growth}
    known |= {"distance_mean": away, "distance_growth": drift, "distance_within": within}
    if on_own is None or at_own is None:
        return known, None, drift_finding(at_expert, drift, drift_excess, away, within, unit)
    if max(on_expert.value.max(), on_own.value.max()) <= LEAST:
        return known, False, None
    finding, compounds = error_finding(at_expert, at_own, ratio, growth, excess, unit)
    return known, compounds, finding


def _growth(steps: Steps | None, yardstick: Steps | None) -> tuple[Interval | None, Interval | None]:
    """The slope of `steps`, and by how much it exceeds that of the yardstick over the same step numbers."""
    slopes = None if steps is None else steps.slopes().used()
    if steps is None or slopes is None or not len(slopes.numerator):
        return None, None
    if yardstick is None:
        return interval_of(slopes), None
    other = yardstick.before(steps.longest).slopes().used()
    return interval_of(slopes), compare(slopes, other, "difference") if len(other.numerator) else None
