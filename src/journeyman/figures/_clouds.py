"""Where data lies: corrective labels beside demonstrations, and what an expert visits when it is disturbed."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.algorithms import bc, fit_dynamics
from journeyman.collect import AbstractBehaviour, Demonstrate, Disturbed, Inject, Mean, play, square_root
from journeyman.corrections import BackTrack, TrueDynamics, TrustRegion
from journeyman.corrections._corrective import judged, transitions
from journeyman.experts import AbstractExpert, RidgeExpert
from journeyman.figures._model import Computed, Effort
from journeyman.policies import DensityPolicy, policy
from journeyman.training import fit
from journeyman.worlds import Pendulum, Ridge

PENDULUM = Pendulum(horizon=50)  # type: ignore[call-arg]
SWINGS = 10
"""Demonstrations of the pendulum, of 50 steps: most of it on the way, where a step is a step."""

DRAWN = 60
"""Of how many demonstrated steps the trust region is drawn."""

RIDGE, SHOWN, PLAYED = Ridge(gusts=0.005), 1, 32  # type: ignore[call-arg]
"""The ridge in little wind, so that an expert keeps to the crest; demonstrations cloned; episodes of each cloud."""


class Swing(AbstractExpert):
    """Swing a `Pendulum` up by pumping energy into it, and hold it there.

        u = clip(½ (15 − E) θ̇, ±2),  E = θ̇²/2 + 15 cos θ;   within .35 radians of upright  u = clip(−10 θ − 2 θ̇, ±2)

    E is 15 where it stands upright at rest, and dE/dt = 3 u θ̇.
    """

    def label(self, observation: PyTree, key: Array) -> Array:
        """The torque."""
        del key
        seen = jnp.asarray(observation)
        angle, velocity = jnp.arctan2(seen[..., 1], seen[..., 0]), seen[..., 2]
        lacking = 15 - jnp.square(velocity) / 2 - 15 * seen[..., 0]
        hold, pump = -10 * angle - 2 * velocity, lacking * velocity / 2
        return jnp.clip(jnp.where(jnp.abs(angle) < 0.35, hold, pump), -2, 2)[..., None]


class Judged(NamedTuple):
    """Demonstrated states and candidates as (angle, velocity), and what is known of each candidate.

    `reach` holds the half axes, in radians and radians a second, of what is trusted around the step it was made from.
    """

    shown: np.ndarray
    label: np.ndarray
    anchor: np.ndarray
    kept: np.ndarray
    bound: np.ndarray
    landing: np.ndarray
    reach: np.ndarray
    tolerance: float


def judged_labels(seed: int, episodes: int = SWINGS, epochs: int | None = None) -> Judged:
    """Labels by the closed form under a fitted model, judged by the pendulum itself."""
    shown = play(PENDULUM, Demonstrate(Swing()), episodes=episodes, seed=seed)
    dynamics, region = fit_dynamics(shown, seed=seed, epochs=epochs), TrustRegion()
    data, unknown = transitions(shown, dynamics)
    found = BackTrack().candidates(data, dynamics, np.random.default_rng(seed))
    report = judged(found, data, dynamics, region, TrueDynamics(PENDULUM), unknown)
    assert report.landing is not None
    steepness = report.growth / np.maximum(report.distance, 1e-12)
    room = np.maximum(region.allowed(report) - report.residual - report.error, 0)
    radius = room / np.maximum(steepness, 1e-12)
    cosine, sine, speed = data.scales.state
    turn = np.sqrt(np.square(data.state[:, 1] / cosine) + np.square(data.state[:, 0] / sine))
    return Judged(
        shown=_plane(data.state),
        label=_plane(found.state),
        anchor=found.anchor,
        kept=report.kept,
        bound=report.bound,
        landing=report.landing,
        reach=np.stack([radius / turn[found.anchor], radius * speed], axis=1),
        tolerance=region.allowed(report),
    )


def _plane(state: np.ndarray) -> np.ndarray:
    """(cos θ, sin θ, θ̇) as (θ, θ̇)."""
    return np.stack([np.arctan2(state[:, 1], state[:, 0]), state[:, 2]], axis=1)


def labels(effort: Effort) -> Computed:
    """Demonstrations, kept and rejected labels, the trust region; and what each lands by, against its bound."""
    found = judged_labels(effort.seed, effort.some(SWINGS), None if effort.scale >= 1 else effort.some(500, 5))
    kept, beyond = found.kept, found.landing > found.bound * (1 + 1e-5) + 1e-9
    quantiles = lambda column: [float(v) for v in np.quantile(column, [0.5, 0.9])] if len(column) else None  # noqa: E731
    numbers = {
        "tried": len(kept),
        "kept": int(kept.sum()),
        "beyond bound": int((kept & beyond).sum()),
        "tolerance": found.tolerance,
        "landing of kept": quantiles(found.landing[kept]),
        "bound of kept": quantiles(found.bound[kept]),
        "landing of rejected": quantiles(found.landing[~kept]),
        "rejected that land within": int((~kept & (found.landing <= found.tolerance)).sum()),
    }
    arrays = {name: column for name, column in found._asdict().items() if name != "tolerance"}
    return Computed(arrays, numbers, _labels_caption(numbers), _labels_words(effort))


def _labels_caption(n: dict[str, Any]) -> str:
    rejected = n["tried"] - n["kept"]
    told = (
        "Corrective labels for a pendulum that is swung up and held, by the closed form under a model fitted to the"
        f" demonstrations. Left: demonstrated states, the {n['kept']:,} labels that were kept and the {rejected:,} that"
        " were not; around some demonstrated states the region in which a label is believed, a radius in deviations of"
        " the data that comes from the model's held-out error and its local steepness. Right: how far each label truly"
        " lands from its destination, against the bound it carries; below the diagonal the bound holds, and left of the"
        f" line, at {n['tolerance']:.2g} deviations, a median demonstrated step, labels are kept."
    )
    if not n["kept"]:
        return told + " Here no label could be trusted."
    half, most = n["landing of kept"]
    told += (
        f" Half of those kept land within {half:.2g} deviations and nine tenths within {most:.2g};"
        f" {n['beyond bound']:,} land beyond their bound."
    )
    if not rejected:
        return told
    return told + f" Of those rejected {n['rejected that land within']:,} would have landed within the tolerance."


def _labels_words(effort: Effort) -> str:
    return (
        f"{effort.some(SWINGS)} demonstrations of {PENDULUM.horizon} steps from seed {effort.seed}, four networks"
        " fitted to them; the region is drawn around every so many of them"
    )


# -- noise injection ------------------------------------------------------------------------------------

CLOUDS = ("expert", "disturbed expert", "clone")


class Clouds(NamedTuple):
    """(angle, deviation) of the states that each visits before it falls, and how many episodes fall, by name.

    `robust` is how many fall of a clone of the disturbed expert; `std` is the noise's deviation, in units of the
    action.
    """

    states: dict[str, np.ndarray]
    fallen: dict[str, int]
    robust: int
    std: float


def clouds(seed: int, episodes: int = PLAYED, epochs: int = 200) -> Clouds:
    """What an expert, the expert under DART's noise and a clone visit.

    The noise is DART's after its first round: the second moment of the clone's error on an expert's new states.
    """
    expert = RidgeExpert(RIDGE)
    plain = Demonstrate(expert)
    clone = _cloned(plain, seed, epochs)
    inject, new = Inject(expert), play(RIDGE, plain, episodes=1, seed=seed + 1000)
    covariance, _ = inject.updated(inject.init(clone), clone, new, RIDGE.action_space)
    disturbed = Disturbed(expert, square_root(covariance))
    robust = _cloned(disturbed, seed, epochs)
    acts = zip(CLOUDS, (plain, disturbed, Mean(clone)), strict=True)
    found = {name: _visited(one, episodes, seed + 2000) for name, one in acts}
    states, fallen = ({name: each[i] for name, each in found.items()} for i in (0, 1))
    std = float(jnp.sqrt(jnp.trace(covariance)))
    return Clouds(states, fallen, _visited(Mean(robust), episodes, seed + 2000)[1], std)  # type: ignore[arg-type]


def _cloned(behaviour: AbstractBehaviour, seed: int, epochs: int) -> DensityPolicy:
    """A small network, cloned from what was intended."""
    shown = play(RIDGE, behaviour, episodes=SHOWN, seed=seed)
    fresh = policy(RIDGE, jax.random.key(seed), hidden=(32, 32))
    return fit(bc(1e-3, epochs=epochs), fresh, shown, seed=seed, log_every=epochs, checkpoint_every=epochs).policy


def _visited(behaviour: AbstractBehaviour, episodes: int, seed: int) -> tuple[np.ndarray, int]:
    """(angle, deviation) `(states, 2)` until it falls, and how many episodes fall."""
    played = play(RIDGE, behaviour, episodes=episodes, seed=seed)
    seen, valid = np.asarray(played.now), np.asarray(played.valid)
    there = valid & (np.abs(seen[..., 0]) <= 1)
    angle = np.mod(np.arctan2(seen[..., 2], seen[..., 1]), 2 * np.pi)
    fallen = int((valid & ~there).any(axis=1).sum())
    return np.stack([angle[there], seen[..., 0][there]], axis=1), fallen


def noise(effort: Effort) -> Computed:
    """The clouds of states, and how far from the crest they reach."""
    episodes = effort.some(PLAYED)
    found = clouds(effort.seed, episodes, effort.some(200, 10))
    far = {name: np.abs(states[:, 1]) for name, states in found.states.items()}
    reach = {name: float(np.quantile(column, 0.99)) for name, column in far.items()}
    numbers: dict[str, Any] = {
        "noise": found.std,
        "episodes": episodes,
        "fallen": {**found.fallen, "clone of the disturbed expert": found.robust},
        "deviation": {name: float(states[:, 1].std()) for name, states in found.states.items()},
        "reach": reach,
        "clone beyond": {name: float((far["clone"] > reach[name]).mean()) for name in CLOUDS[:2]},
    }
    words = (
        f"each clone of {SHOWN} demonstration of {RIDGE.horizon} steps from seed {effort.seed}; {episodes} episodes for"
        " each cloud, from start states of their own"
    )
    return Computed({name: found.states[name] for name in CLOUDS}, numbers, _noise_caption(numbers), words)


def _noise_caption(n: dict[str, Any]) -> str:
    reach, beyond, fallen, all_ = n["reach"], n["clone beyond"], n["fallen"], n["episodes"]
    return (
        "States on the winding ridge, as the place along it and the deviation from its crest (linear within ±.01, then"
        f" logarithmic). The expert alone stays within {reach['expert']:.2g} (99 % of its states); disturbed by the"
        f" noise that DART learns from the clone's errors, of deviation {n['noise']:.2g} in the action, within"
        f" {reach['disturbed expert']:.2g}, and falls in {fallen['disturbed expert']} of {all_} episodes. The clone on"
        f" its own falls in {fallen['clone']} of {all_}; before it does, {100 * beyond['expert']:.0f} % of its states"
        f" lie beyond what the expert shows and {100 * beyond['disturbed expert']:.0f} % beyond what the disturbed"
        " expert shows. Cloned from as many steps of the disturbed expert, it falls in"
        f" {fallen['clone of the disturbed expert']} of {all_}. Right: the share of states farther from the crest than"
        " y."
    )
