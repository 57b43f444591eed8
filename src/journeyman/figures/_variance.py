"""Why a policy gradient is noisy, and what helps: samples, causality, centring, baselines."""

import functools
import math
from typing import Any

import numpy as np

from journeyman.collect import Sample, play
from journeyman.diagnose import Interval
from journeyman.figures._estimates import deviation, mean, per_step, per_trajectory, step_weights, variance
from journeyman.figures._model import Computed, Effort, told
from journeyman.verify import ExactProblem, exact_problems, linear_policy
from journeyman.weights import (
    AbstractBaseline,
    AbstractWeight,
    Advantage,
    ConstantBaseline,
    LinearBaseline,
    Return,
    RewardToGo,
    TimeVaryingBaseline,
    Unscaled,
)
from journeyman.worlds import OneStepGaussian

LQ_VARIANCES = {"full return": 6244.2, "reward-to-go": 3042.8, "− time-dependent b": 701.2, "− V(s, t)": 443.3}
"""Of dJ/dk at k = −.3, σ = .3, exact: the moments of state, score and estimate close (the last two with the exact b
and V)."""


@functools.cache
def problems() -> tuple[ExactProblem, ExactProblem]:
    """The chain at θ = ½ and the scalar linear-quadratic world of 20 steps at (k, σ) = (−.3, .3)."""
    chain, control = exact_problems()
    return chain, control


def minus(baseline: AbstractBaseline) -> AbstractWeight:
    """The undiscounted reward-to-go minus a baseline."""
    return Advantage(1.0, 1.0, baseline, Unscaled())


# -- 1 ----------------------------------------------------------------------------------------------------


def samples(effort: Effort) -> Computed:
    """Estimates of dJ/dk from one trajectory, and means of 10 and of 100; how their error falls with N."""
    problem, leaf = problems()[1], "the gain"
    truth, count = problem.truth[leaf], 100 * effort.some(300, 4)
    played = problem.played(count, effort.seed)
    single = per_trajectory(problem, leaf, played, step_weights(problem, RewardToGo(), played, played))
    sizes = np.asarray([1, 2, 5, 10, 20, 50, 100])
    means = {int(n): single[: count // n * n].reshape(-1, n).mean(1) for n in sizes}
    errors = [deviation(means[int(n)]) for n in sizes]
    edges = np.linspace(-180, 120, 121)
    density = {f"density {n}": np.histogram(means[n], edges)[0] / len(means[n]) / np.diff(edges) for n in (1, 10, 100)}
    wrong = {n: float((means[n] > 0).mean()) for n in (1, 10, 100)}
    slope = float(np.polyfit(np.log(sizes), np.log([e.mean for e in errors]), 1)[0])
    whole = mean(single)
    arrays = {
        "sizes": sizes,
        "edges": edges,
        "truth": truth,
        **density,
        "error": np.asarray([(e.mean, e.low, e.high) for e in errors]),
    }
    numbers = {
        "truth": truth,
        "mean": told(whole),
        "standard_error": {str(n): told(e) for n, e in zip(sizes.tolist(), errors, strict=True)},
        "wrong_sign": {str(n): share for n, share in wrong.items()},
        "slope": slope,
    }
    caption = (
        f"What one trajectory says about dJ/dk, and what is wanted. The exact derivative is {_signed(truth)}. A single"
        f" trajectory errs by {errors[0].mean:.0f} and has the wrong sign {_percent(wrong[1])} of the time, the mean of"
        f" ten {_percent(wrong[10])}, the mean of a hundred {_percent(wrong[100])}. Right: the error falls like"
        f" N to the power {_signed(slope)} (the line: −½), so a digit more costs a hundred times the trajectories."
        " Linear-quadratic world, reward-to-go without a baseline."
    )
    seeds = f"{count:,} trajectories from seed {effort.seed}; 95 % intervals over disjoint batches of N"
    return Computed(arrays, numbers, caption, seeds)


# -- 2 ----------------------------------------------------------------------------------------------------


def causality(effort: Effort) -> Computed:
    """The term of each step in the estimate of dJ/dk: with the full return and with what follows the step."""
    problem, leaf = problems()[1], "the gain"
    count = effort.some(4_000, 100)
    played = problem.played(count, effort.seed)
    weights = {"full return": Return(), "reward-to-go": RewardToGo()}
    arrays: dict[str, Any] = {"steps": np.arange(problem.longest)}
    numbers: dict[str, Any] = {"truth": problem.truth[leaf]}
    whole: dict[str, Interval] = {}
    for label, weight in weights.items():
        terms = per_step(problem, leaf, played, step_weights(problem, weight, played, played))
        spread = [deviation(column) for column in terms.T]
        middle = [mean(column) for column in terms.T]
        arrays[f"{label} deviation"] = np.asarray([(s.mean, s.low, s.high) for s in spread])
        arrays[f"{label} mean"] = np.asarray([(m.mean, m.low, m.high) for m in middle])
        whole[label] = variance(terms.sum(1))
        numbers[label] = {"variance": told(whole[label]), "mean": told(mean(terms.sum(1)))}
        numbers[label]["last_step"] = told(spread[-1])
    late = [numbers[label]["last_step"]["mean"] for label in weights]
    caption = (
        "An action cannot change what was before it. Left: the mean of each step's term in the estimate of dJ/dk is the"
        " same, whether the step is weighed with the return of the whole episode or with the rewards that follow it."
        f" Right: its spread is not. At the last step the full return spreads by {late[0]:.1f}, the reward-to-go by"
        f" {late[1]:.2f}. The variance of the whole estimate falls from {_number(whole['full return'])} to"
        f" {_number(whole['reward-to-go'])}. Linear-quadratic world of {problem.longest} steps."
    )
    seeds = f"{count:,} trajectories from seed {effort.seed}, the same for both; 95 % intervals over them"
    return Computed(arrays, numbers, caption, seeds)


# -- 3 ----------------------------------------------------------------------------------------------------

MEAN, STD = 1.0, 0.5  # d = 1, σ = .5: exact variances 21.75, 10.5 and 9.5


def centring(effort: Effort) -> Computed:
    """Which actions are pushed up and down with returns as they are and minus their mean; variance by baseline."""
    world = OneStepGaussian()  # type: ignore[call-arg]
    policy = linear_one_step(world)
    count = effort.some(20_000, 400)
    played = play(world, Sample(policy), episodes=count, seed=effort.seed, width=count)
    action = np.asarray(played.action, np.float64)[played.valid].ravel()
    reward = np.asarray(played.reward, np.float64)[played.valid].ravel()
    score = (action - MEAN) / STD**2
    kinds = {kind: world.baseline(MEAN, STD, kind) for kind in ("none", "mean return", "optimal")}
    measured = {kind: variance(score * (reward - b)) for kind, b in kinds.items()}
    line = np.linspace(-3.5, 1.0, 91)
    exact = {kind: world.variance(MEAN, STD, kind) for kind in kinds}
    pushed = float((reward - kinds["mean return"] > 0).mean())
    arrays = {
        "action": action[:220],
        "reward": reward[:220],
        "baseline": kinds["mean return"],
        "line": line,
        "exact": np.asarray([world.variance(MEAN, STD, float(b)) for b in line]),
        "place": np.asarray(list(kinds.values())),
        "measured": np.asarray([(v.mean, v.low, v.high) for v in measured.values()]),
    }
    numbers = {k: {"baseline": kinds[k], "variance": told(measured[k]), "exact": exact[k]} for k in kinds}
    caption = (
        "Left: one decision, reward −a², actions drawn from N(1, ½²). As they are, all returns are negative and every"
        f" action is pushed down, the good ones less. Minus their mean, {_percent(pushed)} of the actions are pushed up"
        " and the rest down. Right: the variance of the estimate of dJ/dμ by what is subtracted, exact (line) and"
        f" measured (dots): nothing {_number(measured['none'])}, the mean return {_number(measured['mean return'])},"
        f" the optimal number E[s²r]/E[s²] {_number(measured['optimal'])}; exact {exact['none']:g},"
        f" {exact['mean return']:g},"
        f" {exact['optimal']:g}."
    )
    seeds = f"{count:,} decisions from seed {effort.seed}; 95 % intervals over them"
    return Computed(arrays, {**numbers, "pushed_up": pushed}, caption, seeds)


def linear_one_step(world: OneStepGaussian) -> Any:
    """a ~ N(1, ½²): the observation is a constant 1, so the gain is the mean."""
    return linear_policy(world, MEAN, STD)


# -- 4 ----------------------------------------------------------------------------------------------------


_HELD = (
    "intervals that allow for skewness: in the chain they hold the truth 93 to 95 times in 100 of 20,000, 91 to 92 of"
    " 2,000"
)
"""By simulation; see `variance`."""


def baselines(effort: Effort) -> Computed:
    """Variance of one trajectory's estimate under each weight, on the two worlds where it is known."""
    chain, control = problems()
    count = effort.some(20_000, 400)
    weights = {
        "full return": Return(),
        "reward-to-go": RewardToGo(),
        "− time-dependent b": minus(TimeVaryingBaseline(control.longest)),
        "− V(s, t)": minus(LinearBaseline()),
    }
    on_chain = {"full return": Return(), "reward-to-go": RewardToGo(), "− V": minus(ConstantBaseline())}
    exact = {
        label: chain.world.variance(0.5, known)  # type: ignore[attr-defined]
        for label, known in zip(on_chain, ("full return", "reward-to-go", "reward-to-go minus value"), strict=True)
    }
    # dθ/d(logit) = θ(1−θ) = ¼
    first = _variances(chain, "the logit of staying", on_chain, count, effort.seed, 16.0)
    second = _variances(control, "the gain", weights, count, effort.seed, 1.0)
    arrays = {
        "chain": np.asarray([(v.mean, v.low, v.high) for v in first.values()]),
        "chain exact": np.asarray(list(exact.values())),
        "control": np.asarray([(v.mean, v.low, v.high) for v in second.values()]),
        "control known": np.asarray(list(LQ_VARIANCES.values())),
    }
    numbers = {
        "chain": {label: {"variance": told(v), "exact": exact[label]} for label, v in first.items()},
        "control": {label: {"variance": told(v), "known": LQ_VARIANCES[label]} for label, v in second.items()},
    }
    total = second["full return"].mean / second["− V(s, t)"].mean
    caption = (
        "Variance of the estimate from one trajectory, measured (dots, 95 % intervals) and known (diamonds)."
        f" Left: dJ/dθ in the geometric chain at θ = ½: {_listed(first)}; exact"
        f" {', '.join(f'{v:g}' for v in exact.values())}."
        f" Right: dJ/dk in the linear-quadratic world: {_listed(second)}. Causality and a learned value together save"
        " a factor of"
        f" {total:.0f} in trajectories, and no expectation moves. Baselines are fitted to other episodes."
    )
    seeds = f"{count:,} trajectories from seed {effort.seed}, as many from seed {effort.seed + 1} for the baselines"
    return Computed(arrays, numbers, caption, f"{seeds}; {_HELD}")


def _variances(
    problem: ExactProblem, leaf: str, weights: dict[str, AbstractWeight], count: int, seed: int, unit: float
) -> dict[str, Interval]:
    own, other = problem.played(count, seed), problem.played(count, seed + 1)
    root = math.sqrt(unit)
    return {
        label: variance(root * per_trajectory(problem, leaf, own, step_weights(problem, weight, own, other)))
        for label, weight in weights.items()
    }


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share > 0.005 else f"{100 * share:.2g} %"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _number(found: Interval) -> str:
    return f"{found.mean:.4g}" if found.mean < 1000 else f"{found.mean:,.0f}"


def _listed(found: dict[str, Interval]) -> str:
    return ", ".join(f"{label} {_number(one)}" for label, one in found.items())
