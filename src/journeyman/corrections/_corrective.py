"""Corrective labels: states beside the demonstrated ones, with actions that lead back to them."""

from typing import NamedTuple

import jax
import numpy as np

from journeyman.corrections._dynamics import AbstractDynamics, Candidates, Transitions
from journeyman.corrections._methods import AbstractLabelling, BackTrack, missing
from journeyman.corrections._pieces import pieces
from journeyman.corrections._regions import AbstractRegion, TrustRegion
from journeyman.corrections._report import LabelReport
from journeyman.episodes import Episodes, concatenate
from journeyman.parts import JourneymanError, refuse

_ROWS = 1024


class Corrected(NamedTuple):
    """What `corrective_labels` gives.

    `episodes` are the demonstrations and the labels, to be cloned together; `labels` the labels alone, one-step pieces
    whose source is SYNTHETIC; `bound` how far from its destination each of them may land, in deviations of the data, in
    the shape of `labels.valid` and nan where that is false; `report` says what became of all candidates; `dynamics` is
    what they were made with.
    """

    episodes: Episodes
    labels: Episodes
    bound: np.ndarray
    report: LabelReport
    dynamics: AbstractDynamics


def corrective_labels(
    episodes: Episodes,
    dynamics: AbstractDynamics,
    *,
    method: AbstractLabelling = BackTrack(),
    region: AbstractRegion = TrustRegion(),
    truth: AbstractDynamics | None = None,
    seed: int = 0,
) -> Corrected:
    """States near the demonstrated ones from which an action leads back to a demonstrated state.

        (s̃, ã) with ‖step(s̃, ã) − s*‖ ≤ bound,   s* a demonstrated state

    `dynamics` says where an action leads: a world's own (`TrueDynamics`, `MujocoDynamics`) or a fitted one. `method`
    finds candidates at every valid step of `episodes`, from what was done there (`action`, which is what moved the
    world); `region` keeps those that can be trusted. `truth` is a dynamics known to be right, which only judges: the
    report then tells how wrong the labels are. All random draws come from `seed`.

    Labels cannot be told from demonstrations by a likelihood with uniform weights: use `Corrected.bound` for other
    weights. The demonstrations are taken to be good; to a state where the demonstrator failed a label leads back too.

    Raises `JourneymanError` for observations or actions that are not one real vector, or not of the dynamics' size; for
    data of which no step can be used; and where no label can be trusted, with the numbers.

    Source: Ke et al., CCIL (2024), and the lecture's min ‖s* − f(s, a)‖ near the data. Deviations from the paper's
    code: 1. Distances are in deviations of the data. 2. What a label misses by the model's own word is part of its
    bound; there it is never looked at. 3. The local Lipschitz constant decides what is kept; there it is drawn as a
    histogram.
    """
    data, unknown = transitions(episodes, dynamics)
    found = method.candidates(data, dynamics, np.random.default_rng(seed))
    if not len(found.state):
        raise JourneymanError(
            f"{type(method).__name__} found no candidate at {len(data.state)} demonstrated steps: none comes nearer to"
            " the data; move states less, or choose another method."
        )
    report = judged(found, data, dynamics, region, truth, unknown)
    if not report.count:
        raise JourneymanError(
            f"No label of {report.tried} can be trusted: {region.why_none(report)}. Fit a better model, record more"
            " demonstrations, or clone without labels."
        )
    labels = _labels(found, data, report.kept, episodes)
    bound = np.full(labels.valid.shape, np.nan)
    bound[labels.valid] = report.bound[report.kept]
    return Corrected(concatenate([episodes, labels]), labels, bound, report, dynamics)


def transitions(episodes: Episodes, dynamics: AbstractDynamics) -> tuple[Transitions, int]:
    """The valid steps that can be used, and how many cannot: a state before or after that is not `determined`."""
    _check(episodes, dynamics.sizes)
    valid = np.asarray(episodes.valid)
    double = lambda leaf: np.asarray(leaf)[valid].astype(np.float64)  # noqa: E731
    data = Transitions(
        double(episodes.now), double(episodes.action), double(episodes.next), np.asarray(episodes.elapsed)[valid]
    )
    usable = dynamics.determined(data.state) & dynamics.determined(data.following)
    if not usable.any():
        raise JourneymanError(
            f"None of {len(usable)} demonstrated steps shows its whole state to {type(dynamics).__name__}; fit a model"
            " with fit_dynamics, which takes the observation as it is."
        )
    return data.take(usable), int((~usable).sum())


def judged(
    found: Candidates,
    data: Transitions,
    dynamics: AbstractDynamics,
    region: AbstractRegion,
    truth: AbstractDynamics | None,
    unknown: int,
) -> LabelReport:
    """Every candidate's bound and place, and whether it is kept."""
    scales = data.scales
    away = np.linalg.norm((found.state - data.state[found.anchor]) / scales.state, axis=1)
    turned = np.linalg.norm((found.action - data.action[found.anchor]) / scales.action, axis=1)
    doubt = dynamics.doubt(data, found, scales)
    growth = doubt.state_slope * away + doubt.action_slope * turned
    residual = np.linalg.norm(missing(found, dynamics, scales.state), axis=1)
    landing = None if truth is None else _finite(np.linalg.norm(missing(found, truth, scales.state), axis=1))
    report = LabelReport(
        bound=_finite(residual + doubt.error + growth),
        residual=residual,
        error=doubt.error,
        growth=growth,
        distance=_finite(away),
        nearest=_nearest(found.state / scales.state, data.state / scales.state),
        landing=landing,
        kept=np.zeros(len(away), bool),
        anchor=found.anchor,
        unknown=unknown,
        median_step=float(np.median(np.linalg.norm((data.following - data.state) / scales.state, axis=1))),
    )
    return report.keep(region.kept(report))


def _finite(column: np.ndarray) -> np.ndarray:
    """Infinity for what is not a number: a solver that ran away is never trusted."""
    return np.where(np.isfinite(column), column, np.inf)


def _nearest(points: np.ndarray, data: np.ndarray) -> np.ndarray:
    """The distance from each point to the nearest row of `data`."""
    square, found = np.square(data).sum(1), []
    for start in range(0, len(points), _ROWS):
        some = points[start : start + _ROWS]
        # The expanded square finds the place fast; the distance is then taken anew, for it loses small ones.
        place = np.argmin(square[None] - 2 * some @ data.T, axis=1)
        found.append(np.linalg.norm(some - data[place], axis=1))
    return np.concatenate(found)


def _labels(found: Candidates, data: Transitions, kept: np.ndarray, like: Episodes) -> Episodes:
    """The kept candidates as one-step pieces in the data's own types."""
    chosen = Candidates(*(column[kept] for column in found))
    observation, action = np.asarray(like.observation), np.asarray(like.action)
    return pieces(
        chosen.state.astype(observation.dtype),
        chosen.action.astype(action.dtype),
        chosen.destination.astype(observation.dtype),
        data.elapsed[chosen.anchor],
        time=like.valid.shape[-1],
    )


def _check(episodes: Episodes, sizes: tuple[int, int]) -> None:
    found, axes = [], episodes.valid.ndim
    for name, size in zip(("observation", "action"), sizes, strict=True):
        leaves = jax.tree.leaves(getattr(episodes, name))
        shapes = [tuple(leaf.shape[axes:]) for leaf in leaves]
        if shapes != [(size,)] or leaves[0].dtype.kind != "f":
            shown = ", ".join(f"{leaf.dtype} {shape}" for leaf, shape in zip(leaves, shapes, strict=True))
            found.append(
                f"The dynamics takes {size} real numbers as {'state' if name == 'observation' else 'action'}, and the"
                f" data's {name} is {shown}; use the dynamics of the world the data comes from."
            )
    if not episodes.num_steps:
        found.append("The episodes hold no valid step, so no label can be made from them; pass at least one.")
    refuse(found)
