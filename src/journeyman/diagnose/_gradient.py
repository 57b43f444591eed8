"""How good a gradient estimator is for a policy in a world, what makes it bad, and how many trajectories it needs."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from journeyman.collect import Sample, play
from journeyman.diagnose._evaluate import require_fit
from journeyman.diagnose._gradient_wording import (
    bias_note,
    cause_finding,
    need_finding,
    table,
    unpaid_finding,
    unsplit_notes,
)
from journeyman.diagnose._interval import Interval
from journeyman.diagnose._numbers import plain
from journeyman.diagnose._resampled import Moments, known, luck
from journeyman.diagnose._trajectories import trajectories, unflattened, without_horizon
from journeyman.diagnose._weigh import fitted, weighed
from journeyman.episodes import Episodes
from journeyman.parts import did_you_mean, refuse
from journeyman.policies import DensityPolicy
from journeyman.training import EVALUATION_SEED
from journeyman.weights import (
    AbstractWeight,
    Advantage,
    ConstantBaseline,
    NetworkBaseline,
    NoBaseline,
    Return,
    RewardToGo,
    TimeVaryingBaseline,
    Unscaled,
)
from journeyman.worlds import AbstractWorld


@dataclasses.dataclass(frozen=True)
class EstimatorQuality:
    """One estimator of ∇J from single trajectories, gᵢ = Σ_t w_t ∇log π(a_t | o_t).

    - `gradient`, `variances`: mean and variance of gᵢ, parameter by parameter, like the policy's trained leaves.
    - `signal`: |E g|² without bias, |ḡ|² − tr Σ/N; where the truth is small it may be negative.
    - `variance`: tr Σ, the trace of the covariance of gᵢ.
    - `ratio`: |E g| / √(tr Σ), the signal-to-noise ratio of one trajectory; that of n is √n times it. 0 where `signal`
      is not positive.
    - `batch`: r² tr Σ / |E g|², how many trajectories the wanted ratio r takes; inf where nobody can tell.
    - `lucky`: the share of Σ|gᵢ − ḡ|² that the 5 % of trajectories with the largest terms carry (at least .05; one
      normal parameter has .28). `effective`: (Σaᵢ)²/(N Σaᵢ²) with aᵢ = |gᵢ − ḡ|², the effective share of the sample.
    - `bias`: |E g − E g(reference)| / |E g(reference)|; `along`: the same along the reference's gradient, with its
      sign (−1: nothing of it is left). `biased`: the interval of `bias`, from an unbiased estimate of its square, lies
      above 0. `None` for the reference itself, and where the reference's own gradient cannot be told from 0.
    """

    gradient: PyTree
    variances: PyTree
    signal: Interval
    variance: Interval
    ratio: Interval
    batch: Interval
    lucky: Interval
    effective: Interval
    bias: Interval | None
    along: Interval | None
    biased: bool | None


@dataclasses.dataclass(frozen=True)
class GradientQuality:
    """Estimators side by side on the same `episodes` trajectories, with 95 % bootstrap intervals over trajectories.

    The variance of `roles["full"]` is `coupling` + `scale` + `remaining`:

    - `coupling` of past and future = tr Σ(full return) − tr Σ(reward-to-go): actions are weighed with rewards that
      they cannot have caused.
    - `scale` of returns = tr Σ(reward-to-go) − tr Σ(centred): returns that are large whatever the action.
    - `remaining` = tr Σ(centred): the world's and the policy's own chance; `lucky` samples say how few carry it.

    The full return is a `Return` without baseline or scaling, the centred one an unscaled `Advantage` with λ = 1 and a
    baseline, and all three have one discount and one `discounted_states`.

    They are resampled together, so the intervals are those of paired differences; `None` where an estimator for a role
    is missing. `finding` and `notes` say it in words, `table` in rows.
    """

    world: str
    episodes: int
    seed: int
    steps: float
    wanted: float
    estimators: dict[str, EstimatorQuality]
    reference: str
    roles: dict[str, str]
    coupling: Interval | None
    scale: Interval | None
    remaining: Interval | None
    finding: str
    notes: tuple[str, ...]

    def table(self) -> str:
        """One row an estimator, as text."""
        return table(self)

    def numbers(self) -> dict[str, Any]:
        """Everything but the gradients themselves, as plain JSON; what is not finite becomes None."""
        return plain(self, without=("gradient", "variances"))


def standard_estimators(discount: float = 1.0, lambda_: float = 0.95) -> dict[str, AbstractWeight]:
    """The estimators that are compared when none are given, by name.

    Full return; reward-to-go; reward-to-go minus a constant, minus the mean of its step number, minus a network's V;
    generalised advantages with such a network. All weigh the states by γᵗ, so that all but the last have the exact
    gradient of E Σ γᵗ r_t for their mean.
    """

    def minus(baseline: Any, lambda_: float = 1.0) -> Advantage:
        return Advantage(discount, lambda_, baseline, Unscaled(), discounted_states=True)

    return {
        "full return": Return(discount),
        "reward-to-go": RewardToGo(discount, discounted_states=True),
        "minus a constant": minus(ConstantBaseline()),
        "minus one of time": minus(TimeVaryingBaseline()),
        "minus V": minus(NetworkBaseline()),
        f"GAE λ = {lambda_:g}": minus(NetworkBaseline(), lambda_),
    }


def gradient(
    policy: DensityPolicy,
    world: AbstractWorld,
    estimators: Mapping[str, AbstractWeight] | None = None,
    *,
    episodes: int = 512,
    ratio: float = 1.0,
    reference: str | None = None,
    states: Mapping[str, PyTree] | None = None,
    finite_horizon: bool = True,
    rounds: int = 10,
    seed: int = EVALUATION_SEED,
    chunk: int = 64,
) -> GradientQuality:
    """Play `episodes` whole episodes with sampled actions and judge each estimator on all of them.

    The world is made afresh from `seed`. What a weight learns (a baseline) is fitted before, in `rounds` rounds, to as
    many episodes from other seeds, unless `states` gives its state: no estimator has seen the trajectories that it is
    judged on. With `finite_horizon` a time limit ends the game and J is the return of the episode as it is played;
    without, a value baseline looks beyond it, as in training. `reference` (default: the first `RewardToGo`) is what
    biases are measured against. At most `chunk` gradients, and 401 sums of them, are held at once for each estimator.

    Batch statistics inside a weight (standardised advantages) are those of all `episodes` together.

    Raises `JourneymanError` for a policy that does not fit the world, fewer than two episodes, a ratio that is not
    positive, an unknown reference, and an estimator whose weights are not finite.
    """
    estimators = standard_estimators() if estimators is None else dict(estimators)
    require_fit("policy", policy.mode, world)
    named = _reference(estimators, reference)
    refuse(_problems(estimators, named, episodes, ratio, rounds, chunk))
    rows, other = (_played(policy, world, episodes, s, finite_horizon) for s in (seed, seed + 1))
    weights = []
    for name, weight in estimators.items():
        state = (states or {}).get(name)
        state = fitted(weight, policy, other, rounds, seed) if state is None else state
        weights.append(weighed(weight, state, rows))
    stacked = jnp.stack(weights)
    refuse(
        [
            f"The estimator '{name}' gives weights that are not finite; mend the weight or its baseline."
            for name, weight in zip(estimators, stacked, strict=True)
            if not bool(jnp.isfinite(weight).all())
        ]
    )
    place = list(estimators).index(named)
    moments = Moments.of(policy, rows, stacked, place, chunk=chunk, seed=seed)
    spread = luck(policy, rows, stacked, moments, chunk)
    judged = _judged(policy, list(estimators), moments, spread, place, ratio)
    return _concluded(world, rows, seed, ratio, judged, named, _roles(estimators, judged), moments)


def _judged(
    policy: DensityPolicy, names: list[str], moments: Moments, spread: Any, reference: int, wanted: float
) -> dict[str, EstimatorQuality]:
    n = moments.number
    signal, variance = moments.signal(), moments.variance()
    # Without variance everything is certain, unless there is no signal either.
    quality = np.divide(signal, variance, out=np.where(signal > 0, np.inf, 0.0), where=variance > 0)
    bias, along = moments.difference(reference)
    truth = signal[reference]
    comparable = known(truth, n).low > 0
    found = {}
    for i, name in enumerate(names):
        compared = comparable and i != reference
        square = known(bias[i] / truth, n) if compared else None
        found[name] = EstimatorQuality(
            gradient=unflattened(policy, moments.mean[i]),
            variances=unflattened(policy, (moments.by_parameter[i] - n * moments.mean[i] ** 2) / (n - 1)),
            signal=known(signal[i], n),
            variance=known(variance[i], n),
            ratio=_mapped(known(quality[i], n), lambda q: math.sqrt(max(q, 0.0))),
            batch=_batch(known(quality[i], n), wanted),
            lucky=spread.share[i],
            effective=spread.effective[i],
            bias=None if square is None else _mapped(square, lambda b: math.sqrt(max(b, 0.0))),
            along=known(along[i] / truth, n) if compared else None,
            biased=None if square is None else square.low > 0,
        )
    return found


def _concluded(
    world: AbstractWorld,
    rows: Episodes,
    seed: int,
    wanted: float,
    judged: dict[str, EstimatorQuality],
    reference: str,
    roles: dict[str, str],
    moments: Moments,
) -> GradientQuality:
    variance = dict(zip(judged, moments.variance(), strict=True))
    n = moments.number
    role = {name: variance[which] for name, which in roles.items()}
    has = lambda *names: all(name in role for name in names)  # noqa: E731
    coupling = known(role["full"] - role["to go"], n) if has("full", "to go") else None
    scale = known(role["to go"] - role["centred"], n) if has("to go", "centred") else None
    remaining = judged[roles["centred"]].variance if has("centred") else None
    paid = judged[reference].variance.mean > 0 or judged[reference].signal.mean > 0
    found = [need_finding(judged, wanted, n) if paid else unpaid_finding(reference, n)]
    if paid and coupling is not None and scale is not None and remaining is not None:
        whole, centred = judged[roles["full"]].variance, judged[roles["centred"]]
        found.append(cause_finding(whole, coupling, scale, centred, roles))
    notes = [bias_note(name, one, reference) for name, one in judged.items() if one.biased is not None]
    return GradientQuality(
        world=world.name,
        episodes=n,
        seed=seed,
        steps=rows.num_steps / n,
        wanted=wanted,
        estimators=judged,
        reference=reference,
        roles=roles,
        coupling=coupling,
        scale=scale,
        remaining=remaining,
        finding=" ".join(found),
        notes=(*notes, *unsplit_notes(roles)),
    )


def _played(policy: DensityPolicy, world: AbstractWorld, episodes: int, seed: int, finite: bool) -> Episodes:
    rows = trajectories(play(world, Sample(policy), episodes=episodes, seed=seed))
    return without_horizon(rows) if finite else rows


def _roles(estimators: Mapping[str, AbstractWeight], judged: Mapping[str, EstimatorQuality]) -> dict[str, str]:
    """Who stands for the full return, the reward-to-go, and the centred one: the Monte Carlo advantage with the least
    variance.

    A difference of variances means something between estimators of one gradient only, so all are of one discount that
    weighs the states alike: of the kinds that there are, the first with the most roles.
    """
    kinds: dict[tuple[float, bool], dict[str, list[str]]] = {}
    for name, one in estimators.items():
        found = _role(one)
        if found is not None:
            role, discounted_states = found
            discount = float(one.discount)  # type: ignore[attr-defined]
            kind = (discount, discounted_states or discount == 1)
            kinds.setdefault(kind, {}).setdefault(role, []).append(name)
    chosen = max(kinds.values(), key=len, default={})
    least = lambda names: min(names, key=lambda name: judged[name].variance.mean)  # noqa: E731
    return {role: least(names) if role == "centred" else names[0] for role, names in chosen.items()}


def _role(weight: AbstractWeight) -> tuple[str, bool] | None:
    """What a weight can stand for, and whether γᵗ weighs its states. What is scaled has a variance in another unit."""
    if isinstance(weight, Return) and isinstance(weight.baseline, NoBaseline) and isinstance(weight.scaling, Unscaled):
        return "full", True
    if isinstance(weight, RewardToGo):
        return "to go", weight.discounted_states
    if (
        isinstance(weight, Advantage)
        and bool(weight.lambda_ == 1)
        and not isinstance(weight.baseline, NoBaseline)
        and isinstance(weight.scaling, Unscaled)
    ):
        return "centred", weight.discounted_states
    return None


def _reference(estimators: Mapping[str, AbstractWeight], named: str | None) -> str:
    if named is not None:
        return named
    return next((n for n, one in estimators.items() if isinstance(one, RewardToGo)), next(iter(estimators), ""))


def _problems(
    estimators: Mapping[str, AbstractWeight], reference: str, episodes: int, ratio: float, rounds: int, chunk: int
) -> list[str]:
    found = []
    if not estimators:
        found.append("There is no estimator to judge; name at least one, or leave `estimators` out.")
    elif reference not in estimators:
        known_names = ", ".join(estimators)
        found.append(
            f"No estimator is called '{reference}'.{did_you_mean(reference, estimators)} The reference is one of"
            f" {known_names}."
        )
    if episodes < 2:
        found.append(f"A variance takes at least two episodes, not {episodes}; some hundred are usual.")
    if not (ratio > 0 and math.isfinite(ratio)):
        found.append(f"The wanted signal-to-noise ratio is a positive number, not {ratio}; 1 is usual.")
    if rounds < 1 or chunk < 1:
        found.append(
            f"Baselines are fitted in at least one round, and gradients taken one by one at least, not in {rounds}"
            f" and by {chunk}; 10 and 64 are usual."
        )
    return found


def _batch(quality: Interval, wanted: float) -> Interval:
    """n = wanted² / q, decreasing in q."""
    need = lambda q: wanted**2 / q if q > 0 else math.inf  # noqa: E731
    return Interval(need(quality.mean), need(quality.high), need(quality.low), quality.n)


def _mapped(found: Interval, rising: Any) -> Interval:
    return Interval(rising(found.mean), rising(found.low), rising(found.high), found.n)
