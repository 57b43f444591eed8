"""The two-parameter problem from samples: the library's rollout, weight and objective, differentiated in (k, σ)."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.collect import Carry, Sample, rollout, start
from journeyman.episodes import Episodes
from journeyman.figures._scalar_control import DISCOUNT, START
from journeyman.objectives import Samples, WeightedLogLikelihood
from journeyman.policies import DensityPolicy
from journeyman.verify import linear_policy
from journeyman.weights import RewardToGo
from journeyman.worlds import LinearQuadratic

LONGEST = 50
"""Steps of an episode; γ⁵⁰ = .005."""
_WEIGHT = RewardToGo(DISCOUNT, discounted_states=True)
_OBJECTIVE = WeightedLogLikelihood("episodes")
_LEAST = 0.01  # the head keeps σ above e⁻⁵


class Told(NamedTuple):
    """Gradient and Fisher matrix of one batch, in (k, σ)."""

    gradient: Array
    metric: Array


def sampled_walks(seeds: int, *, steps: int, radius: float, episodes: int, natural: bool, seed: int = 0) -> np.ndarray:
    """`(seeds, steps + 1, 2)`: θ along steps of predicted KL `radius`, each from one batch."""
    world = LinearQuadratic(num_envs=episodes)
    keys = jax.random.split(jax.random.key(seed), seeds)
    length = jnp.asarray(radius, jnp.float32)
    walked = _walks(linear_policy(world, *START), world, start(world), keys, length, steps, natural)
    return np.asarray(walked, np.float64)


@eqx.filter_jit
def _walks(
    policy: DensityPolicy,
    world: LinearQuadratic,
    begin: Carry,
    keys: Array,
    radius: Array,
    steps: int,
    natural: bool,
) -> Array:
    def advance(theta: Array, key: Array) -> tuple[Array, Array]:
        found = estimate(policy, world, begin, theta, key)
        direction = jnp.linalg.solve(found.metric, found.gradient) if natural else found.gradient
        length = jnp.sqrt(2 * radius / (direction @ found.metric @ direction))
        theta = theta + length * direction
        theta = jnp.stack([theta[0], jnp.maximum(theta[1], _LEAST)])
        return theta, theta

    def one(key: Array) -> Array:
        theta = jnp.asarray(START, jnp.float32)
        path = jax.lax.scan(advance, theta, jax.random.split(key, steps))[1]
        return jnp.concatenate([theta[None], path])

    return jax.vmap(one)(keys)


def estimate(policy: DensityPolicy, world: LinearQuadratic, begin: Carry, theta: Array, key: Array) -> Told:
    """From `world.num_envs` episodes under (k, σ): ∇J by the discounted reward-to-go, F by the Hessian of the KL."""
    here = at(policy, theta)
    _, played = rollout(world, Sample(here), begin, key, LONGEST)
    samples = Samples.of(played, _WEIGHT((), played).weight)
    slope = jax.grad(lambda t: -_OBJECTIVE(at(policy, t), samples))(theta)
    share = _shares(played)
    before = jax.lax.stop_gradient(here.parameters(samples.observation))

    def divergence(t: Array) -> Array:
        return (share * policy.kl(before, at(policy, t).parameters(samples.observation))).sum()

    return Told(slope, jax.hessian(divergence)(theta))


def at(policy: DensityPolicy, theta: Array) -> DensityPolicy:
    """The policy with gain k and deviation σ."""
    raw = policy.head.bounds.inverse(jnp.log(theta[1:]))  # type: ignore[attr-defined]
    leaves = (theta[:1, None], raw)
    return eqx.tree_at(lambda p: (p.network.weights[0], p.head.log_std), policy, leaves)


def _shares(played: Episodes) -> Array:
    weight = jnp.asarray(DISCOUNT, jnp.float32) ** jnp.asarray(played.elapsed, jnp.float32)
    weight = jnp.where(jnp.asarray(played.valid), weight, 0.0).reshape(-1)
    return weight / weight.sum()
