"""Baselines: what a return is compared with. None of them may look at the action they are subtracted for."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.episodes import Episodes
from journeyman.parts import AbstractPart, Number
from journeyman.policies import MLP, DensityPolicy, Encoder, FixedGaussian, Normalizer, Scale, renormalized, rescaled

Regress = Callable[..., Any]
"""`regress(model, observation, target, valid, key, epochs=, batch_size=, learning_rate=) -> model`: the training
station's weighted likelihood, handed in so that this station need not know how anything is fitted."""


class AbstractBaseline(AbstractPart):
    """b(observation), fitted to returns. `init → state`, `value(state, …)`, `fit(state, …) → state`."""

    @abc.abstractmethod
    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """The state before any data."""

    @abc.abstractmethod
    def value(self, state: PyTree, observation: PyTree, like: Array) -> Float[Array, "*batch"]:
        """b at each observation; `like` has the leading axes of the result."""

    @abc.abstractmethod
    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """The state after seeing returns `target` at the batch's steps. Called after the policy's step, so that the
        baseline is independent of the batch it is subtracted from: unbiased by construction."""


class NoBaseline(AbstractBaseline):
    """b = 0."""

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """Nothing."""
        return ()

    def value(self, state: PyTree, observation: PyTree, like: Array) -> Float[Array, "*batch"]:
        """Zero."""
        return jnp.zeros(like.shape, jnp.result_type(float))

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """Nothing to fit."""
        return state


class ConstantBaseline(AbstractBaseline):
    """b = the mean reward-to-go of the batch before this one (Williams 1992, section 6)."""

    citation: ClassVar[str] = """@article{williams1992simple,
  title={Simple statistical gradient-following algorithms for connectionist reinforcement learning},
  author={Williams, Ronald J.}, journal={Machine Learning}, volume={8}, pages={229--256}, year={1992}}"""

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """Zero."""
        return jnp.zeros(())

    def value(self, state: PyTree, observation: PyTree, like: Array) -> Float[Array, "*batch"]:
        """The constant."""
        return jnp.broadcast_to(state, like.shape)

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """The mean over valid steps."""
        valid = jnp.asarray(episodes.valid, target.dtype)
        return (target * valid).sum() / jnp.maximum(valid.sum(), 1)


class NetworkBaseline(AbstractBaseline):
    """b = V(observation), an MLP fitted by least squares after each policy step.

    V is a `DensityPolicy` with a `FixedGaussian` head: the regression is the library's one weighted likelihood. Inputs
    and targets are standardised by running statistics that never change the function (PopArt).
    """

    gives: ClassVar[frozenset[str]] = frozenset({"value baseline"})

    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    epochs: int = eqx.field(static=True, default=2)
    batch_size: int = eqx.field(static=True, default=128)
    learning_rate: Number = 2e-3

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """A network that says 0 everywhere, nearly."""
        head = FixedGaussian(Scale(jnp.zeros(1), jnp.ones(1)))
        network = MLP.make([encoder.size, *self.hidden, 1], key, last=0.01)
        return DensityPolicy(encoder, Normalizer.fresh(encoder.size), network, head)

    def value(self, state: PyTree, observation: PyTree, like: Array) -> Float[Array, "*batch"]:
        """V(observation)."""
        return state.mode(observation)[..., 0]

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """Standardise anew without changing V, then `epochs` passes of regression."""
        valid = jnp.asarray(episodes.valid).reshape(-1)
        features = state.encoder(episodes.now)
        features = features.reshape(-1, features.shape[-1])
        seen = Normalizer(state.head.scale.location, state.head.scale.scale, state.normalizer.count)
        scale = seen.merge(target.reshape(-1, 1), valid)
        state = renormalized(state, state.normalizer.merge(features, valid))
        state = rescaled(state, Scale(scale.mean, scale.scale))
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[episodes.valid.ndim :]), episodes.now)
        options = {"epochs": self.epochs, "batch_size": self.batch_size, "learning_rate": self.learning_rate}
        return regress(state, flat, target.reshape(-1, 1), valid, key, **options)
