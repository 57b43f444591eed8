"""Is an estimator's mean the gradient, and does a baseline leave it there?"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.diagnose._interval import skewed_interval
from journeyman.episodes import Episodes
from journeyman.objectives import AbstractObjective, Samples, WeightedLogLikelihood
from journeyman.parts import LAST_SEED, JourneymanError, beyond_the_last, form, not_whole, refuse
from journeyman.policies import DensityPolicy, partition
from journeyman.training import regress
from journeyman.verify._check import Check, Verification
from journeyman.verify._problems import ExactProblem, exact_problems
from journeyman.weights import AbstractBaseline, AbstractWeight, Advantage, RewardToGo, Unscaled

_LEAST = 100

Estimate = Callable[[DensityPolicy, Episodes], PyTree]
"""(policy, episodes) → an estimate of ∂J/∂θ, like the trained leaves of the policy; a function that JAX can trace."""


def gradient(
    estimator: AbstractWeight | Estimate,
    *,
    objective: AbstractObjective = WeightedLogLikelihood("episodes"),
    discount: float = 1.0,
    batch: int = 8,
    batches: int = 2048,
    significance: float = 1e-3,
    seed: int = 0,
) -> Verification:
    """Compare the mean of an estimator with the exact gradient of J = E Σ_t γᵗ r_t, on `exact_problems`.

    `estimator` is a weight, which becomes an estimate by minus the gradient of `objective`, or a function of a policy
    and a batch of episodes. It is called on `batches` batches of `batch` whole episodes. What a weight learns is
    fitted to the next batch before. A check passes where the truth lies in Hall's interval for a skewed mean (1992) at
    Student's quantile of 1 − α/2K, so that a right estimator fails one of the K checks with probability
    `significance` = α. This is asymptotic: `RewardToGo` fails at α = .001 in .001 of cases from 300 batches of one
    episode or 64 of 8 on, with 100 batches of one in .003. (|mean − truth| in standard errors would fail it in .026.)

    J weighs states by γᵗ; an estimator that does not is rightly found to differ when `discount` < 1. `objective` must
    count episodes for its divisor, and an estimator that scales its weights by the batch's own deviation is none of J.

    Raises `JourneymanError` for numbers that make no sense.
    """
    refuse(_problems(batch, batches, significance, seed))
    problems = exact_problems(discount)
    found = []
    for problem in problems:
        pairs = _pairs(problem, batch, batches, seed)
        if isinstance(estimator, AbstractWeight):
            estimate: Any = _Weighted(estimator, objective, "earlier")
        else:
            estimate = _Alone(estimator)
        values = _estimates(problem, pairs, estimate)
        level = 1 - significance / sum(len(p.truth) for p in problems)
        for (name, truth), column in zip(problem.truth.items(), values.T, strict=True):
            found.append(_compared(f"{problem.name}, by {name}", column, truth, level))
    subject = type(estimator).__name__ if isinstance(estimator, AbstractWeight) else "the estimator"
    return Verification(f"The mean of {subject}", tuple(found))


def baseline(
    baseline: AbstractBaseline,
    *,
    fitted_on: Literal["earlier", "same"] = "earlier",
    discount: float = 1.0,
    batch: int = 8,
    batches: int = 2048,
    significance: float = 1e-3,
    seed: int = 0,
) -> Verification:
    """Measure the bias of a baseline as a share of the exact gradient, on `exact_problems`.

    Each of `batches` batches of `batch` whole episodes is weighed by `Advantage` with the baseline and without it. The
    mean of the paired difference over the exact gradient is the bias: 0 is expected. With `fitted_on` = "earlier" the
    baseline has been fitted to another batch, as `improve` does it; with "same" to the batch that it is then
    subtracted from. The detail gives the interval of the bias and what the baseline does to the variance.

    Raises `JourneymanError` for numbers that make no sense.
    """
    refuse(_problems(batch, batches, significance, seed))
    problems = exact_problems(discount)
    objective = WeightedLogLikelihood("episodes")
    weight = Advantage(discount, 1.0, baseline, Unscaled(), discounted_states=True)
    found = []
    for problem in problems:
        pairs = _pairs(problem, batch, batches, seed)
        with_it = _estimates(problem, pairs, _Weighted(weight, objective, fitted_on))
        without = _estimates(problem, pairs, _Weighted(RewardToGo(discount, True), objective, fitted_on))
        level = 1 - significance / sum(len(p.truth) for p in problems)
        for place, (name, truth) in enumerate(problem.truth.items()):
            bias = (with_it[:, place] - without[:, place]) / truth
            check = _compared(f"{problem.name}, by {name}: bias over the gradient", bias, 0.0, level)
            share = with_it[:, place].var() / without[:, place].var()
            found.append(check._replace(detail=f"{check.detail}; the variance becomes {share:.2f} of that without"))
    subject = (
        f"The bias of {type(baseline).__name__}, fitted to {'the same' if fitted_on == 'same' else 'an earlier'} batch"
    )
    return Verification(subject, tuple(found))


class _Weighted(eqx.Module):
    """Minus the gradient of the objective under a weight, fitted to another batch or to the same."""

    weight: AbstractWeight
    objective: AbstractObjective
    fitted_on: str = eqx.field(static=True)

    def __call__(self, policy: DensityPolicy, own: Episodes, other: Episodes, key: Array) -> PyTree:
        state = self.weight.init(policy.encoder, key)
        if self.weight.learns:
            data = own if self.fitted_on == "same" else other
            state = self.weight.fit(state, data, self.weight(state, data).target, key, regress)
        samples = Samples.of(own, self.weight(state, own).weight)
        return jax.tree.map(jnp.negative, self.objective.gradient(policy, samples)[1])


class _Alone(eqx.Module):
    """Anybody's function of a policy and episodes."""

    function: Estimate = eqx.field(static=True)

    def __call__(self, policy: DensityPolicy, own: Episodes, other: Episodes, key: Array) -> PyTree:
        return self.function(policy, own)


def _pairs(problem: ExactProblem, batch: int, batches: int, seed: int) -> tuple[Episodes, Episodes]:
    """Batches of episodes, and for each another one."""
    both = (problem.played(batch * batches, seed + i) for i in (0, 1))
    first, second = (jax.tree.map(lambda x: x.reshape(batches, batch, *x.shape[1:]), part) for part in both)
    return first, second


def _estimates(problem: ExactProblem, pairs: tuple[Episodes, Episodes], estimate: Any) -> np.ndarray:
    """`(batches, leaves)`."""
    keys = jax.random.split(jax.random.key(0), pairs[0].valid.shape[0])
    leaves = tuple(problem.leaf.values())
    return np.asarray(_compiled(leaves)(problem.policy, *pairs, keys, estimate), np.float64)


@functools.cache
def _compiled(leaves: tuple[Callable[[Any], Array], ...]) -> Any:
    @eqx.filter_jit
    def run(policy: DensityPolicy, own: Episodes, other: Episodes, keys: Array, estimate: Any) -> Array:
        def one(own: Episodes, other: Episodes, key: Array) -> Array:
            found = estimate(policy, own, other, key)
            return jnp.stack([_picked(leaf, found, policy) for leaf in leaves])

        return jax.vmap(one)(own, other, keys)

    return run


def _picked(leaf: Callable[[Any], Array], found: PyTree, policy: DensityPolicy) -> Array:
    """One number of an estimate. Raises `JourneymanError` where the estimate is not like the policy."""
    try:
        number = leaf(found)
    except (AttributeError, IndexError, KeyError, TypeError):
        number = None
    if number is None or jnp.shape(number) != () or not jnp.issubdtype(jnp.result_type(number), jnp.floating):
        raise JourneymanError(
            f"The estimator gives {form(found)} where a gradient like {form(partition(policy)[0])}, the trained leaves"
            " of the policy, is needed; return what eqx.filter_grad gives for the policy."
        )
    return number


def _compared(name: str, values: np.ndarray, truth: float, level: float) -> Check:
    held, told = skewed_interval(values, level), skewed_interval(values)
    error = float(values.std(ddof=1) / math.sqrt(len(values)))
    reach = held.high - held.mean if truth > held.mean else held.mean - held.low
    away = abs(held.mean - truth) / error if error > 0 else math.nan
    interval = f"95 % interval {told.low:.4g} to {told.high:.4g}"
    detail = f"{away:.1f} standard errors apart over {len(values)} batches, {interval}"
    return Check.of(name, held.mean, truth, max(reach, 1e-5 * abs(truth)), detail)  # 1e-5: single precision


def _problems(batch: int, batches: int, significance: float, seed: int) -> list[str]:
    found = not_whole("`seed`", seed, most=LAST_SEED) + beyond_the_last(seed, 2)
    if batch < 1 or batches < _LEAST:
        found.append(
            f"A mean is judged by at least {_LEAST} batches of at least one episode, not {batches} of {batch}: of fewer"
            " the significance does not hold; 2048 of 8 are usual."
        )
    if not 0 < significance < 1:
        found.append(f"The significance is a probability, not {significance}; 0.001 is usual.")
    return found
