"""What one policy step does: whether it depends on the coordinates, how far it goes, and where the return collapses."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from journeyman.collect import Sample, play, play_to_the_end
from journeyman.diagnose._covariance import disagreement
from journeyman.diagnose._evaluate import Played, require_fit
from journeyman.diagnose._interval import Interval, interval
from journeyman.diagnose._numbers import plain
from journeyman.diagnose._radius import Ray, ray, realised
from journeyman.diagnose._step_wording import covariance_finding, kl_finding, return_finding, step_table
from journeyman.diagnose._weigh import fitted, weighed
from journeyman.episodes import Episodes
from journeyman.geometry import AbstractGeometry, Euclidean, Fisher
from journeyman.objectives import Samples
from journeyman.parts import JourneymanError, refuse
from journeyman.policies import DensityPolicy
from journeyman.training import EVALUATION_SEED
from journeyman.weights import AbstractWeight, Advantage
from journeyman.worlds import AbstractWorld

COVARIANT = 0.1
"""A step that differs by less than this share of its length, told in other coordinates, is called covariant."""


@dataclasses.dataclass(frozen=True)
class Along:
    """One direction. Arrays have an entry for each radius or multiple of `StepQuality`.

    - `realised_kl`: mean KL(old ‖ new) on the states of the batch, `fresh_kl` on those of another batch.
    - `disagreement`: √(KL(π ‖ π′)/radius) of the step in two coordinate systems, at radii kl, kl/4 and kl/16.
    - `covariant`: the last of them is below 0.1. A covariant direction's falls like √radius, another's stays.
    - `returns`: of sampled episodes at each multiple; `change`: from those at 0, episode by episode from the same
      seeds. Both nan where the world's numbers overflowed.
    - `best`: the multiple with the highest mean return; `collapse`: the first multiple beyond it whose `change` lies
      wholly below 0, or where the numbers overflowed; `None` if there is none.
    """

    realised_kl: np.ndarray
    fresh_kl: np.ndarray
    disagreement: np.ndarray
    covariant: bool
    returns: tuple[Interval, ...]
    change: tuple[Interval, ...]
    best: float
    collapse: float | None


@dataclasses.dataclass(frozen=True)
class StepQuality:
    """The plain and the natural direction of one batch, side by side.

    `radii` are the predicted KLs at which the realised one is compared; `multiples` the lengths, in steps of predicted
    KL `kl` (m times the length is m² times the KL), at which the return is measured, 0 first. `finding` says it in
    words, `table` in rows.
    """

    world: str
    episodes: int
    evaluation_episodes: int
    seed: int
    kl: float
    radii: tuple[float, ...]
    multiples: tuple[float, ...]
    plain: Along
    natural: Along
    finding: str
    notes: tuple[str, ...]

    def table(self) -> str:
        """Realised KL by radius, and return by length, as text."""
        return step_table(self)

    def numbers(self) -> dict[str, Any]:
        """Everything as plain JSON; what is not finite becomes None."""
        return plain(self)


def step(
    policy: DensityPolicy,
    world: AbstractWorld,
    weight: AbstractWeight = Advantage(),
    *,
    geometry: AbstractGeometry = Fisher(),
    kl: float = 0.01,
    episodes: int = 64,
    radii: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    multiples: Sequence[float] = (0.5, 1, 2, 4, 8, 16, 32),
    evaluation_episodes: int = 64,
    rounds: int = 10,
    seed: int = EVALUATION_SEED,
) -> StepQuality:
    """Take the gradient of one batch of `episodes`, and follow it plainly and by `geometry`.

    Both directions are scaled to a radius r by the quadratic model, α = √(2r / dᵀFd) with F of all states of the batch,
    so that they are compared at equal predicted KL. A baseline inside `weight` is fitted before, in `rounds` rounds, to
    as many episodes from another seed. Nothing is trained: the policy and the world stay as they are.

    Whether the step is covariant is asked of the policy written in other coordinates, θ = sφ + ½ sin(sφ) with s = 4 and
    ¼ in turn from leaf to leaf. It is a property of what was computed: damping, and conjugate gradients that stop
    early, make a natural step depend on the coordinates, and this shows by how much.

    Raises `JourneymanError` for a policy that does not fit the world, numbers that make no sense, and a batch that
    gives no direction.
    """
    require_fit("policy", policy.mode, world)
    refuse(_problems(kl, radii, multiples, episodes, evaluation_episodes))
    batch, other = (play(world, Sample(policy), episodes=episodes, seed=s) for s in (seed, seed + 1))
    state = fitted(weight, policy, other, rounds, seed)
    own, fresh = (_samples(weight, state, part) for part in (batch, other))
    radii, lengths = tuple(float(r) for r in radii), (0.0, *(float(m) for m in multiples))
    played = functools.partial(_returns, world, evaluation_episodes, seed + 2)
    start = played(policy)
    found, notes = {}, []
    for name, one in (("plain", Euclidean()), ("natural", geometry)):
        path = eqx.filter_jit(ray)(policy, one, own)
        _require_direction(name, path, episodes)
        apart = disagreement(policy, path, one, own, jnp.asarray([kl, kl / 4, kl / 16]))
        on_own, on_fresh = (realised(policy, path, s, jnp.asarray(radii)) for s in (own, fresh))
        walked = [start, *(played(_moved(policy, path, kl * m * m)) for m in lengths[1:])]
        found[name] = _along(
            *(np.asarray(x, np.float64) for x in (on_own, on_fresh, apart)), lengths=lengths, walked=walked
        )
        notes += _overflown(name, lengths, walked)
    said = (covariance_finding(**found), kl_finding(radii, kl, **found), return_finding(lengths, kl, **found))
    counts = (episodes, evaluation_episodes, seed)
    return StepQuality(world.name, *counts, kl, radii, lengths, **found, finding=" ".join(said), notes=tuple(notes))


def _overflown(name: str, lengths: tuple[float, ...], walked: list[np.ndarray | None]) -> list[str]:
    pairs = zip(lengths, walked, strict=True)
    return [f"At {m:g} times the {name} step the world's numbers are no longer finite." for m, r in pairs if r is None]


def _require_direction(name: str, path: Ray, episodes: int) -> None:
    curvature = float(path.curvature)
    if not (math.isfinite(curvature) and curvature > 0):
        raise JourneymanError(
            f"The {name} direction has curvature {curvature:.3g}, so it leads nowhere: the weights of these"
            f" {episodes} episodes may all be equal; play more episodes or choose another weight."
        )


def _samples(weight: AbstractWeight, state: PyTree, episodes: Episodes) -> Samples:
    return Samples.of(jax.tree.map(jnp.asarray, episodes), weighed(weight, state, episodes))


@eqx.filter_jit
def _moved(policy: DensityPolicy, path: Ray, radius: Any) -> DensityPolicy:
    return path.at(policy, jnp.asarray(radius, float))


def _returns(world: AbstractWorld, episodes: int, seed: int, policy: DensityPolicy) -> np.ndarray | None:
    """Of sampled episodes; None where the policy drives the world's numbers out of range."""
    found, _, broken = play_to_the_end(world, Sample(policy), episodes=episodes, seed=seed, width=episodes)
    return None if broken else Played.of(found).returns


def _along(
    kl: np.ndarray, fresh: np.ndarray, apart: np.ndarray, *, lengths: tuple[float, ...], walked: list[np.ndarray | None]
) -> Along:
    start = walked[0]
    if start is None:
        raise JourneymanError(
            "The policy drives the world's numbers out of range before any step; mend the policy first."
        )
    lost = Interval(math.nan, math.nan, math.nan, 0)
    returns = tuple(lost if one is None else interval(one) for one in walked)
    change = tuple(lost if one is None else interval(one - start) for one in walked)
    means = [-math.inf if math.isnan(one.mean) else one.mean for one in returns]
    best = int(np.argmax(means))
    fallen = [m for m, one in zip(lengths[best + 1 :], change[best + 1 :], strict=True) if not one.n or one.high < 0]
    return Along(
        realised_kl=kl,
        fresh_kl=fresh,
        disagreement=apart,
        covariant=bool(apart[-1] < COVARIANT),
        returns=returns,
        change=change,
        best=lengths[best],
        collapse=fallen[0] if fallen else None,
    )


def _problems(
    kl: float, radii: Sequence[float], multiples: Sequence[float], episodes: int, evaluation_episodes: int
) -> list[str]:
    found = []
    if not all(r > 0 and math.isfinite(r) for r in (kl, *radii)):
        found.append(f"Radii are positive numbers of nats, not {kl} and {list(radii)}; 0.01 is usual.")
    if not multiples or list(multiples) != sorted(multiples) or not multiples[0] > 0:
        found.append(
            f"Multiples of the step are positive and rise, unlike {list(multiples)}; 0.5, 1, 2, 4 for instance."
        )
    if min(episodes, evaluation_episodes) < 2:
        found.append(
            f"A batch and an evaluation need at least two episodes each, not {episodes} and {evaluation_episodes}; 64"
            " are usual."
        )
    return found
