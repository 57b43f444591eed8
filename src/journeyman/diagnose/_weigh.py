"""A weight made ready: its baseline fitted to episodes that it is not judged on."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from journeyman.episodes import Episodes
from journeyman.policies import DensityPolicy
from journeyman.training import regress
from journeyman.weights import AbstractWeight


def fitted(weight: AbstractWeight, policy: DensityPolicy, episodes: Episodes, rounds: int, seed: int) -> PyTree:
    """The weight's state after `rounds` fits to `episodes`, as that many iterations with a resting policy leave it."""
    key = jax.random.key(seed)
    state = weight.init(policy.encoder, key)
    on_device = jax.tree.map(jnp.asarray, episodes)
    for i in range(rounds if weight.learns else 0):
        state = _refitted(weight, state, on_device, jax.random.fold_in(key, i))
    return state


def weighed(weight: AbstractWeight, state: PyTree, episodes: Episodes) -> Array:
    """The weight of every step, `(*batch, time)`."""
    return _weighed(weight, state, jax.tree.map(jnp.asarray, episodes))


@eqx.filter_jit
def _refitted(weight: AbstractWeight, state: PyTree, episodes: Episodes, key: Array) -> PyTree:
    return weight.fit(state, episodes, weight(state, episodes).target, key, regress)


@eqx.filter_jit
def _weighed(weight: AbstractWeight, state: PyTree, episodes: Episodes) -> Array:
    return weight(state, episodes).weight
