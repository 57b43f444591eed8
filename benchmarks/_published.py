"""The published experts as policies: numpy weights of two tanh layers (Berkeley CS285, MIT)."""

import math
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from journeyman.policies import MLP, DensityPolicy, Gaussian, Normalizer, policy
from journeyman.worlds import AbstractWorld, Box

EXPERTS = {"Hopper-v5": "hopper", "HalfCheetah-v5": "halfcheetah"}


def published(folder: Path, world: AbstractWorld) -> DensityPolicy:
    """The expert of `world` in `folder`; its mean action is not clipped, and no deviation was published."""
    name = EXPERTS[world.name.rpartition(":")[2]]
    with np.load(folder / f"{name}_expert.npz") as file:
        arrays = {name: jnp.asarray(file[name]) for name in file.files}
    layers = ("hidden0", "hidden1", "out")
    network = MLP(tuple(arrays[f"{name}_w"] for name in layers), tuple(arrays[f"{name}_b"] for name in layers))
    statistics = Normalizer(arrays["obs_mean"], arrays["obs_std"], jnp.ones(()))
    assert isinstance(world.action_space, Box)
    head = Gaussian.make(Box.unbounded(world.action_space.size), std=math.exp(-4))  # type: ignore[arg-type]
    fresh = policy(world, jax.random.key(0), hidden=(64, 64), head=head)
    return eqx.tree_at(lambda p: (p.normalizer, p.network), fresh, (statistics, network))
