"""Is a head, or a policy at one observation, the density it claims to be."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.parts import JourneymanError
from journeyman.policies import AbstractDensityPolicy, AbstractHead
from journeyman.verify._check import Check, Verification
from journeyman.verify._expectation import Claim, claimed, finite_agreement, real_agreement
from journeyman.verify._subject import Subject, of_head, of_policy
from journeyman.worlds import AbstractFinite, AbstractSpace, Box


class Draws(NamedTuple):
    """What a sample of actions says, and what the subject says of itself; the score along each of a few directions."""

    action: Array  # (samples, ...)
    log_prob: Array  # (samples,)
    log_ratio: Array  # (samples,) against the same subject elsewhere
    score: Array  # (directions, samples)
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
    - `samples`: over a finite set the counts fit the probabilities (χ²); else means of smooth steps along each axis,
      and of log p itself, are those under exp(log p). `value` is the largest deviation in standard errors.
    - `score`: E[∂ log p] = 0 along random directions in θ, again in standard errors.
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
    space = _space(subject, space)
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        one = of_head(subject, at) if isinstance(subject, AbstractHead) else of_policy(subject, at)
        towards = rng.normal(size=(directions, one.theta.size))
        towards = jnp.asarray(towards / np.linalg.norm(towards, axis=1, keepdims=True))
        draws = jax.tree.map(np.asarray, _drawn(one, towards, jax.random.key(seed), samples))
        claim = claimed(one, space, draws.action, rng)
        checks = [_mass(claim, standard_errors), _samples(claim, space, draws, standard_errors)]
        checks += [*_derivatives(draws, standard_errors), *_divergences(one, draws, standard_errors)]
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


def _drawn(one: Subject, towards: Array, key: Array, samples: int) -> Draws:
    few = 8

    def run(theta: Array, towards: Array, key: Array) -> Draws:
        action = one.sample(theta, key, samples)
        along = lambda v, a: jax.jvp(lambda t: one.log_prob(t, a), (theta,), (v,))[1]  # noqa: E731
        score = jax.vmap(lambda v: along(v, action))(towards)
        # Where the divergence is about a tenth of a nat: far enough to see, near enough for a mean to settle.
        length = jnp.minimum(1.0, jnp.sqrt(0.2 / jnp.maximum(jnp.square(score[0]).mean(), 1e-12)))
        there = theta + length * towards[0]
        first = jnp.concatenate([action[: few // 2], one.sample(there, key, few)[few // 2 :]])

        def difference(v: Array) -> Array:
            # Richardson: the errors of two step lengths cancel to the fourth order.
            slopes = [
                (one.log_prob(theta + h * v, first) - one.log_prob(theta - h * v, first)) / (2 * h) for h in _STEPS
            ]
            return (4 * slopes[1] - slopes[0]) / 3

        bend = lambda v: jax.grad(jax.grad(lambda t: one.kl(theta, theta + t * v)))(jnp.zeros(()))  # noqa: E731
        log_prob = one.log_prob(theta, action)
        return Draws(
            action,
            log_prob,
            log_prob - one.log_prob(there, action),
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


def _derivatives(draws: Draws, errors: float) -> list[Check]:
    count = draws.score.shape[1]
    spread = np.maximum(draws.score.std(axis=1) / np.sqrt(count), 1e-12)
    score = np.abs(draws.score.mean(axis=1) / spread).max()
    largest = np.maximum(np.abs(draws.slope).max(), 1e-3)
    gradient = np.abs(draws.slope - draws.difference).max() / largest
    return [
        Check.of("score", score, 0.0, errors, "largest mean of the score, in standard errors"),
        Check.of("gradient", gradient, 0.0, 1e-6, f"largest difference over the largest slope, {largest:.3g}"),
    ]


def _divergences(one: Subject, draws: Draws, errors: float) -> list[Check]:
    count = len(draws.log_prob)
    standard = lambda x: errors * x.std(axis=-1) / np.sqrt(count) + 1e-9  # noqa: E731
    above = "at least" if "kl" in one.approximates else "equal"
    below = "at most" if "entropy" in one.approximates else "equal"
    square = np.square(draws.score)
    off = (draws.curvature - square.mean(axis=1)) / standard(square)
    worst = int(np.argmin(off) if above == "at least" else np.argmax(np.abs(np.nan_to_num(off, nan=np.inf))))
    metric = (draws.curvature[worst], square[worst].mean(), standard(square[worst]))
    return [
        Check.of("itself", draws.self_kl, 0.0, 1e-10, "KL(θ ‖ θ)"),
        Check.of("kl", draws.kl, draws.log_ratio.mean(), standard(draws.log_ratio), "mean log-ratio", side=above),
        Check.of("fisher", *metric, "mean squared score along the worst direction", side=above),
        Check.of("entropy", draws.entropy, -draws.log_prob.mean(), standard(draws.log_prob), "−E[log p]", side=below),
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
