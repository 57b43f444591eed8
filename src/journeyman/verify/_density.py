"""Is a head, or a policy at one observation, the density it claims to be."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.parts import LAST_SEED, JourneymanError, not_whole, refuse
from journeyman.policies import AbstractDensityPolicy, AbstractHead
from journeyman.verify._check import Check, Verification
from journeyman.verify._expectation import Claim, claimed, elements, finite_agreement, real_agreement
from journeyman.verify._subject import Subject, of_head, of_policy
from journeyman.worlds import AbstractFinite, AbstractSpace, Box


class Draws(NamedTuple):
    """What actions say, and what the subject says of itself; the score along each of a few directions.

    `points` are the actions that expectations are taken over: all of a finite set, else those that were drawn.
    """

    action: Array  # (samples, ...)
    weight: Array  # (points,): the expectation of f is Σ weight · f
    log_prob: Array  # (points,)
    log_ratio: Array  # (points,) against the same subject elsewhere
    score: Array  # (directions, points)
    slope: Array  # (directions, few): the gradient of the log-probability of the first few actions
    difference: Array  # (directions, few): the same by central differences
    kl: Array
    self_kl: Array
    curvature: Array  # (directions,)
    entropy: Array


def density(
    subject: AbstractHead | AbstractDensityPolicy,
    at: PyTree,
    *,
    space: AbstractSpace | None = None,
    samples: int = 20_000,
    directions: int = 4,
    standard_errors: float = 5.0,
    seed: int = 0,
) -> Verification:
    """Hold log-probability, samples, gradient, KL, entropy and Fisher metric against each other, in double precision.

    - `mass`: ∫ exp(log p) over `space` is 1. A finite set is summed; up to two real actions are integrated by the
      trapezoidal rule, in log-odds where the box is bounded; more by importance sampling from a Student t.
    - `samples`: over a finite set the counts fit the probabilities (χ², and Poisson for what is rare); else means of
      smooth steps along each axis, and of log p itself, are those under exp(log p). `value` is the largest deviation in
      standard errors.
    - `score`: E[∂ log p] = 0 along random directions in θ, again in standard errors. This expectation and those below
      are sums over a finite set, where a "standard error" is 2e-7 of the sum's terms; else means over the samples.
    - `gradient`: ∂ log p against central differences; `value` is the largest difference, relative to the largest slope.
    - `itself`, `kl`: KL(θ ‖ θ) = 0; KL(θ ‖ θ') is the mean log-ratio, about a tenth of a nat away (a KL of the other
      order agrees there to second order, and shows only with many samples).
    - `fisher`: the second derivative of KL(θ ‖ θ + t v) at 0 is E[(∂_v log p)²], for the worst direction.
    - `entropy`: H = −E[log p].
    - `bound`: on a bounded box, how many corners and midpoints of faces have a log-probability or a gradient that is
      not finite.

    Where a head `approximates` its KL (from above) or entropy (from below), only that side is checked.

    Args:
        subject: a head, or a policy with a density.
        at: for a head its raw numbers `(outputs,)`, for a policy one observation without batch axes.
        space: where actions live; a head and a `DensityPolicy` know it themselves.
        samples: how many actions are drawn. Each check by sampling may be off by `standard_errors`; at 5 a right one
            fails once in a million.
        directions: how many random directions in θ (a head's raw numbers and trained leaves; a policy's).

    Raises `JourneymanError` for a space that is not known or has more than 65,536 elements.
    """
    refuse(not_whole("`seed`", seed, most=LAST_SEED))
    space = _space(subject, space)
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        one = of_head(subject, at) if isinstance(subject, AbstractHead) else of_policy(subject, at)
        towards = rng.normal(size=(directions, one.theta.size))
        towards = jnp.asarray(towards / np.linalg.norm(towards, axis=1, keepdims=True))
        points = jnp.asarray(elements(space)) if isinstance(space, AbstractFinite) else None
        draws = jax.tree.map(np.asarray, _drawn(one, towards, jax.random.key(seed), samples, points))
        claim = claimed(one, space, draws.action, rng)
        checks = [_mass(claim, standard_errors), _samples(claim, space, draws, standard_errors)]
        checks += [*_derivatives(claim, draws, standard_errors), *_divergences(claim, one, draws, standard_errors)]
        checks += _bound(one, space)
    return Verification(f"{type(subject).__name__} at {samples:,} samples", tuple(checks))


def _space(subject: Any, space: AbstractSpace | None) -> AbstractSpace:
    head = subject if isinstance(subject, AbstractHead) else getattr(subject, "head", None)
    if space is None and isinstance(head, AbstractHead):
        space = head.space()
    if not isinstance(space, (Box, AbstractFinite)):
        raise JourneymanError(
            f"A {type(subject).__name__} does not say where its actions live, so nothing can be summed over them; pass"
            " space=, a Box or a finite set."
        )
    return space


def _drawn(one: Subject, towards: Array, key: Array, samples: int, points: Array | None) -> Draws:
    few = 8

    def run(theta: Array, towards: Array, key: Array) -> Draws:
        action = one.sample(theta, key, samples)
        over = action if points is None else points
        log_prob = one.log_prob(theta, over)
        weight = jnp.full(samples, 1 / samples) if points is None else jnp.exp(log_prob)
        along = lambda v, a: jax.jvp(lambda t: one.log_prob(t, a), (theta,), (v,))[1]  # noqa: E731
        score = jax.vmap(lambda v: along(v, over))(towards)
        # Where the divergence is about a tenth of a nat: far enough to see, near enough for a mean to settle.
        square = jnp.where(weight > 0, weight * jnp.square(score[0]), 0.0).sum()
        length = jnp.minimum(1.0, jnp.sqrt(0.2 / jnp.maximum(square, 1e-12)))
        there = theta + length * towards[0]
        first = jnp.concatenate([action[: few // 2], one.sample(there, key, few)[few // 2 :]])

        def difference(v: Array) -> Array:
            # Richardson: the errors of two step lengths cancel to the fourth order.
            slopes = [
                (one.log_prob(theta + h * v, first) - one.log_prob(theta - h * v, first)) / (2 * h) for h in _STEPS
            ]
            return (4 * slopes[1] - slopes[0]) / 3

        bend = lambda v: jax.grad(jax.grad(lambda t: one.kl(theta, theta + t * v)))(jnp.zeros(()))  # noqa: E731
        return Draws(
            action,
            weight,
            log_prob,
            log_prob - one.log_prob(there, over),
            score,
            jax.vmap(lambda v: along(v, first))(towards),
            jax.vmap(difference)(towards),
            one.kl(theta, there),
            one.kl(theta, theta),
            jax.vmap(bend)(towards),
            one.entropy(theta),
        )

    return jax.jit(run)(one.theta, towards, key)


_STEPS = (2e-3, 1e-3)


# -- the checks -------------------------------------------------------------------------------------------


def _mean(claim: Claim, draws: Draws, values: np.ndarray) -> tuple[Any, Any]:
    """E[values] over the last axis, and its standard error.

    What has a probability of a few times 1/samples may be missing from a sample, whose own deviation then says that
    nothing is uncertain; so over a finite set nothing is left to a sample, and what is let pass is rounding.
    """
    terms = np.where(draws.weight > 0, draws.weight * values, 0.0)
    if claim.chart is None:
        return terms.sum(axis=-1), _ROUNDING * np.abs(terms).sum(axis=-1)
    return terms.sum(axis=-1), values.std(axis=-1) / np.sqrt(values.shape[-1])


_ROUNDING = 2e-7


def _mass(claim: Claim, errors: float) -> Check:
    room = max(1e-4, errors * claim.error)
    return Check.of("mass", claim.mass, 1.0, room, claim.how)


def _samples(claim: Claim, space: AbstractSpace, draws: Draws, errors: float) -> Check:
    if isinstance(space, AbstractFinite):
        return Check.of(
            "samples", finite_agreement(claim, np.asarray(draws.action)), 0.0, errors, "χ² of the counts, as a normal"
        )
    found = real_agreement(claim, np.asarray(draws.action), np.asarray(draws.log_prob))
    return Check.of("samples", found, 0.0, errors, "largest deviation of a mean, in standard errors")


def _derivatives(claim: Claim, draws: Draws, errors: float) -> list[Check]:
    mean, error = _mean(claim, draws, np.asarray(draws.score))
    score = np.abs(mean / np.maximum(error, 1e-12)).max()
    largest = np.maximum(np.abs(draws.slope).max(), 1e-3)
    gradient = np.abs(draws.slope - draws.difference).max() / largest
    return [
        Check.of("score", score, 0.0, errors, "largest mean of the score, in standard errors"),
        Check.of("gradient", gradient, 0.0, 1e-6, f"largest difference over the largest slope, {largest:.3g}"),
    ]


def _divergences(claim: Claim, one: Subject, draws: Draws, errors: float) -> list[Check]:
    def expected(values: np.ndarray) -> tuple[Any, Any]:
        mean, error = _mean(claim, draws, values)
        return mean, errors * error + 1e-9

    above = "at least" if "kl" in one.approximates else "equal"
    below = "at most" if "entropy" in one.approximates else "equal"
    square, room = expected(np.square(np.asarray(draws.score)))
    off = (draws.curvature - square) / room
    worst = int(np.argmin(off) if above == "at least" else np.argmax(np.abs(np.nan_to_num(off, nan=np.inf))))
    metric = (draws.curvature[worst], square[worst], room[worst])
    return [
        Check.of("itself", draws.self_kl, 0.0, 1e-10, "KL(θ ‖ θ)"),
        Check.of("kl", draws.kl, *expected(np.asarray(draws.log_ratio)), "mean log-ratio", side=above),
        Check.of("fisher", *metric, "mean squared score along the worst direction", side=above),
        Check.of("entropy", draws.entropy, *expected(-np.asarray(draws.log_prob)), "−E[log p]", side=below),
    ]


def _bound(one: Subject, space: AbstractSpace) -> list[Check]:
    if not isinstance(space, Box) or not space.bounded:
        return []
    low, high = (np.asarray(side, np.float64).ravel() for side in (space.low, space.high))
    middle, eye = (low + high) / 2, np.eye(len(low), dtype=bool)
    faces = [np.where(eye, side[None], middle[None]) for side in (low, high)]
    points = jnp.asarray(np.concatenate([low[None], high[None], *faces]).reshape(-1, *space.shape))
    value = jax.jit(one.log_prob)(one.theta, points)
    slope = jax.jit(jax.jacrev(one.log_prob))(one.theta, points)
    wrong = ~np.isfinite(value) | ~np.isfinite(slope).all(axis=1)
    return [Check.of("bound", wrong.sum(), 0.0, 0.0, f"of {len(points)} actions on the bound are not finite")]
