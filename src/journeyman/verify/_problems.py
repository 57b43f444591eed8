"""Worlds whose policy gradient is known exactly, each with the policy at which it is known."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.collect import Sample, rollout, start
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, policy
from journeyman.worlds import AbstractPureWorld, AbstractWorld, ErrorChain, GeometricChain, LinearQuadratic

_LONGEST = 40
"""Steps of the geometric chain: at θ = ½ one episode in 10¹² would be longer."""


class ExactProblem(NamedTuple):
    """`truth[name]` = ∂J/∂`leaf[name]`(policy), J = E Σ_t γᵗ r_t over one episode of at most `longest` steps."""

    name: str
    world: AbstractPureWorld
    policy: DensityPolicy
    longest: int
    leaf: dict[str, Callable[[DensityPolicy], Array]]
    truth: dict[str, float]

    def played(self, episodes: int, seed: int) -> Episodes:
        """One episode a row, from its start to its end; the horizon ends the game (terminated, not truncated)."""
        world = self.world.remake(seed=seed, num_envs=episodes)
        _, found = rollout(world, Sample(self.policy), start(world), jax.random.key(seed), self.longest)
        ended = jnp.asarray(found.ended, jnp.int32)
        over = jnp.cumsum(ended, axis=1) - ended > 0
        keep = ~over & found.valid
        ends = found.ended & keep
        return eqx.tree_at(
            lambda e: (e.valid, e.terminated, e.truncated, e.reward),
            found,
            (keep, ends, jnp.zeros_like(ends), jnp.where(keep, found.reward, 0.0)),
        )


def chain_policy(stay: float) -> DensityPolicy:
    """The policy of `GeometricChain` that stays with probability `stay`: logits (0, log θ/(1−θ)) as a bias."""
    if not 0 < stay < 1:
        raise JourneymanError(f"The probability to stay lies between 0 and 1, not at {stay}; 0.5 is usual.")
    one = policy(GeometricChain(), jax.random.key(0), hidden=())  # type: ignore[call-arg]
    return eqx.tree_at(
        lambda p: (p.network.weights[0], p.network.biases[0]),
        one,
        (jnp.zeros((1, 2)), jnp.asarray([0.0, math.log(stay / (1 - stay))])),
    )


def erring_policy(world: ErrorChain, wrong: int, *, turns_back: bool = False) -> DensityPolicy:
    """The policy of an `ErrorChain` whose mode is wrong at the first `wrong` signs, so that ε = wrong / signs exactly.

    The signs are drawn independently, so its errors are independent too. Off the path it turns back where asked to,
    and else takes a way, as a clone does that has never seen anybody turn back.
    """
    if not 0 <= wrong <= world.signs:
        raise JourneymanError(f"The chain has {world.signs} signs, so not {wrong} of them can be taken wrongly.")
    actions = world.right().copy()
    actions[:wrong] = (actions[:wrong] + 1) % world.ways
    actions[-1] = world.ways if turns_back else 0
    one = policy(world, jax.random.key(0), hidden=())
    return eqx.tree_at(lambda p: p.network.weights[0], one, 20.0 * jax.nn.one_hot(actions, world.ways + 1))


def linear_policy(world: AbstractWorld, gain: float, std: float, mean: float = 0.0) -> DensityPolicy:
    """u ~ N(gain · x + mean, std²) for a world of one state and one action."""
    one = policy(world, jax.random.key(0), hidden=())
    weight = jax.tree.leaves(one.network)[0]
    if weight.shape != (1, 1):
        raise JourneymanError(f"A gain that is one number is for one state and one action, not for {weight.shape}.")
    raw = one.head.bounds.inverse(jnp.full(1, math.log(std)))  # type: ignore[attr-defined]
    return eqx.tree_at(
        lambda p: (p.network.weights[0], p.network.biases[0], p.head.log_std),
        one,
        (jnp.full((1, 1), gain), jnp.full(1, mean), raw),
    )


def exact_problems(discount: float = 1.0) -> tuple[ExactProblem, ...]:
    """The geometric chain at θ = ½ and the scalar linear-quadratic world at k = −.3, σ = .3, H = 20.

    With a discount J weighs the states by γᵗ: dJ/dθ = 1/(1−γθ)² in the chain, differentiated recursion in the other.
    """
    if not 0 < discount <= 1:
        raise JourneymanError(f"The discount must lie in (0, 1], not {discount}.")
    stay, gain, std = 0.5, -0.3, 0.3
    by_stay = 1 / (1 - discount * stay) ** 2
    world = LinearQuadratic(horizon=20)
    one = linear_policy(world, gain, std)
    by_gain, by_std = world.gradient(gain, std, discount)
    return (
        ExactProblem(
            "geometric chain",
            GeometricChain(),  # type: ignore[call-arg]
            chain_policy(stay),
            _LONGEST,
            {"the logit of staying": lambda p: p.network.biases[0][-1]},
            {"the logit of staying": by_stay * stay * (1 - stay)},
        ),
        ExactProblem(
            "scalar linear-quadratic",
            world,
            one,
            20,
            {"the gain": lambda p: p.network.weights[0][0, 0], "the log-deviation": lambda p: p.head.log_std[0]},
            {"the gain": float(by_gain[0, 0]), "the log-deviation": float(by_std[0]) * _slope(one)},
        ),
    )


def _slope(one: DensityPolicy) -> float:
    """dσ / d(the leaf that σ is made from)."""

    def deviation(raw: Array) -> Array:
        moved = eqx.tree_at(lambda p: p.head.log_std, one, raw)
        return moved.distribution(jnp.zeros((1, 1))).variance.sum() ** 0.5

    return float(np.asarray(jax.grad(deviation)(one.head.log_std))[0])  # type: ignore[attr-defined]
