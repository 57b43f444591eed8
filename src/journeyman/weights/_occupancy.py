"""Rewards from demonstrations: how much likelier than under the policy a step is where somebody showed it."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from journeyman.episodes import Episodes
from journeyman.parts import AbstractPart, JourneymanError, Number, holds
from journeyman.policies import MLP, Bernoulli, DensityPolicy, Encoder, Normalizer, SpectralMLP, renormalized
from journeyman.weights._baselines import Regress
from journeyman.weights._divergences import AbstractDivergence, JensenShannon
from journeyman.weights._weights import AbstractWeight, Advantage, Weighed
from journeyman.worlds import AbstractSpace

_LOOKED_AT = 4096
"""The most demonstrated steps on which the divergence is estimated for the log."""


class Discriminator(AbstractPart):
    """l(o, a) ≈ log p(o, a)/q(o, a), by telling demonstrated steps from the policy's own.

        l = argmax E_{(o, a) ~ p} [log σ(l)] + E_{(o, a) ~ q} [log(1 − σ(l))]

    An MLP under a `Bernoulli` head, so the logistic regression is the library's one weighted likelihood. Each fit makes
    `epochs` passes over the newest batch and as many demonstrated steps, drawn with replacement, with a fresh Adam.
    Inputs are standardised by running statistics that never change the function; actions are clipped to the box first,
    as the world does it. `limit` is how much l may change for each unit of its input (`SpectralMLP`): one that may be
    as steep as it likes tells any two sets of steps apart, and then its reward says nothing about the way from one to
    the other. `None` leaves it free, which the exact ratio may need.
    """

    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    epochs: int = eqx.field(static=True, default=1)
    batch_size: int = eqx.field(static=True, default=256)
    learning_rate: Number = 1e-3
    limit: Number | None = 1.0

    def __check_init__(self) -> None:
        if min(self.epochs, self.batch_size, *self.hidden) < 1 or not holds(self.learning_rate > 0):
            raise JourneymanError(
                f"A discriminator needs positive numbers, not hidden={self.hidden}, epochs={self.epochs},"
                f" batch_size={self.batch_size}, learning_rate={self.learning_rate}; its defaults are a beginning."
            )

    def init(self, policy: DensityPolicy, space: AbstractSpace, key: Array) -> DensityPolicy:
        """One that says log u = 0 everywhere, nearly."""
        read = policy.encoder
        # The action comes after all that is observed, so the columns of angles stay where they are.
        encoder = Encoder((*read.shapes, space.shape), (*read.classes, space.classes), read.angles)
        network = MLP.make([encoder.size, *self.hidden, 1], key, last=0.01)
        network = network if self.limit is None else SpectralMLP.of(network, self.limit)
        return DensityPolicy(encoder, Normalizer.fresh(encoder.size), network, Bernoulli(1))

    def fitted(
        self, model: DensityPolicy, shown: PyTree, own: PyTree, valid: Array, key: Array, regress: Regress
    ) -> DensityPolicy:
        """After the batch `own`, of which `valid` counts, beside as many of what was `shown`."""
        draw, shuffle = jax.random.split(key)
        count, there = valid.shape[0], jax.tree.leaves(shown)[0].shape[0]
        rows = jax.random.randint(draw, (count,), 0, there)
        both = jax.tree.map(lambda a, b: jnp.concatenate([a[rows], b.astype(a.dtype)]), shown, own)
        label = jnp.concatenate([jnp.ones(count), jnp.zeros(count)])[:, None]
        valid = jnp.concatenate([valid, valid])
        model = renormalized(model, model.normalizer.merge(model.encoder(both), valid))
        options = {"epochs": self.epochs, "batch_size": self.batch_size, "learning_rate": self.learning_rate}
        return regress(model, both, label, valid, shuffle, **options)


class Compared(eqx.Module):
    """What an `Occupancy` knows: the state of the weight inside, the discriminator, and what was shown."""

    inner: PyTree
    discriminator: DensityPolicy
    shown: PyTree
    space: AbstractSpace


class Occupancy(AbstractWeight):
    """`inner` on rewards that make the policy's steps those that were demonstrated, whatever the world pays.

        r(o, a) = u f'(u) − f(u) − f'(1) + living,   log u = l(o, a) cut at ± `bound`,   ∇D_f(p ‖ q) = −E_q [r ∇log q]

    p and q are the densities of state and action in the demonstrations and under the policy, f the `divergence`, l a
    `discriminator` that is fitted to every batch after the policy's step on it. `JensenShannon` recovers GAIL's reward
    −log(1 − D) with `living` = ½ log 2 (halved; Ho and Ermon 2016), `ReverseKL` AIRL's log D − log(1 − D) (Fu, Luo and
    Levine 2018, without its split into reward and shaping), `ForwardKL` minimises what FAIRL does (Ghasemipour, Zemel
    and Gu 2019). In a world of one-step episodes that begin in demonstrated states
    (`journeyman.worlds.Demonstrated`) the same compares actions alone: cloning under f, from samples.

    `living` is a constant, and does not matter where all episodes are equally long. Where they can end early it does: a
    positive reward at every step makes the policy stay alive, a negative one makes it seek the end. In the log
    `divergence` is D_f as the discriminator estimates it, in nats for the KLs and Jensen–Shannon, and `told_apart` the
    share of steps that it assigns rightly, demonstrations and policy weighed alike: ½ where it cannot tell them apart.

    Deviations: 1. A batch is weighed by the discriminator that has not been fitted to it. 2. FAIRL's own reward,
    −u log u, is −f(u), the value and not the weight of its gradient; here the gradient is that of the divergence.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"rewards"})
    citation: ClassVar[str] = """@inproceedings{ghasemipour2019divergence,
  title={A divergence minimization perspective on imitation learning methods},
  author={Ghasemipour, Seyed Kamyar Seyed and Zemel, Richard and Gu, Shixiang},
  booktitle={Conference on Robot Learning}, year={2019}}
@inproceedings{ho2016generative,
  title={Generative adversarial imitation learning}, author={Ho, Jonathan and Ermon, Stefano},
  booktitle={Advances in Neural Information Processing Systems}, year={2016}}"""

    divergence: AbstractDivergence = JensenShannon()
    living: Number = 0.0
    bound: Number = 5.0
    discriminator: Discriminator = Discriminator()
    inner: AbstractWeight = Advantage()

    def __check_init__(self) -> None:
        if not holds(self.bound > 0, self.bound <= 30):
            raise JourneymanError(
                f"log u is cut between 0 and 30 nats, not at {self.bound}: a discriminator that is sure says any"
                " number; 5 is usual."
            )

    @property
    def imitates(self) -> bool:
        """Always."""
        return True

    @property
    def least_steps(self) -> int:
        """As many as the inner weight needs."""
        return self.inner.least_steps

    @property
    def learns(self) -> bool:
        """Always: the discriminator does."""
        return True

    def begun(self, policy: DensityPolicy, shown: Episodes | None, space: AbstractSpace, key: Array) -> PyTree:
        """The inner weight's state, a discriminator that knows nothing, and the valid steps of what was shown."""
        if shown is None:
            raise JourneymanError(
                "Occupancy compares with demonstrations, and none were shown; pass `demonstrations` to `improve`."
            )
        keys = jax.random.split(key)
        model = self.discriminator.init(policy, space, keys[0])
        inner = self.inner.init(policy.encoder, keys[1])
        valid = np.flatnonzero(np.asarray(shown.valid))
        pairs = jax.tree.map(lambda leaf: leaf[valid], _pairs(shown, space))
        bounds = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, space)
        return Compared(inner, model, pairs, bounds)

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """Nothing can be said before something was shown."""
        raise JourneymanError(
            "Occupancy begins with demonstrations, which only `improve` hands it; use `begun`, or a weight of rewards."
        )

    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        """The inner weight of the learned rewards."""
        log_ratio = _log_ratio(state.discriminator, _pairs(episodes, state.space))
        valid = jnp.asarray(episodes.valid)
        reward = self.reward(log_ratio).reshape(valid.shape)
        paid = eqx.tree_at(lambda e: e.reward, episodes, jnp.where(valid, reward, 0.0))
        weighed = self.inner(state.inner, paid)
        found = self._told(state, log_ratio, valid.reshape(-1))
        return weighed._replace(metrics={**weighed.metrics, **found})

    def reward(self, log_ratio: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """u f'(u) − f(u) − f'(1) + living at log u."""
        cut = jnp.clip(log_ratio, -self.bound, self.bound)
        return self.divergence.gain(cut) + self.living

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """The inner weight's baseline on the rewards it was weighed with, and the discriminator on the batch."""
        keys = jax.random.split(key)
        inner = self.inner.fit(state.inner, episodes, target, keys[0], regress)
        own, valid = _pairs(episodes, state.space), jnp.asarray(episodes.valid).reshape(-1)
        model = self.discriminator.fitted(state.discriminator, state.shown, own, valid, keys[1], regress)
        return Compared(inner, model, state.shown, state.space)

    def _told(self, state: Compared, own: Array, valid: Array) -> dict[str, Array]:
        there = jax.tree.leaves(state.shown)[0].shape[0]
        some = np.linspace(0, there - 1, min(there, _LOOKED_AT)).round().astype(int)
        shown = _log_ratio(state.discriminator, jax.tree.map(lambda leaf: leaf[some], state.shown))
        share = valid.astype(own.dtype) / jnp.maximum(valid.sum(), 1).astype(own.dtype)
        own = jnp.where(valid, own, 0.0)  # padding may hold anything, and 0 · nan is nan
        own, shown = (jnp.clip(one, -self.bound, self.bound) for one in (own, shown))
        rightly = (shown > 0).astype(own.dtype).mean() + (share * (own < 0).astype(own.dtype)).sum()
        value = self.divergence.value(shown).mean() + (share * self.divergence.value(own)).sum()
        return {"divergence": value, "told_apart": rightly / 2}


def _pairs(episodes: Episodes, space: AbstractSpace) -> PyTree:
    """(observation, action) of every step, flat; the action as the world takes it."""
    axes = episodes.valid.ndim
    flat = lambda leaf: jnp.asarray(leaf).reshape(-1, *leaf.shape[axes:])  # noqa: E731
    return jax.tree.map(flat, episodes.now), space.clipped(flat(episodes.target))


def _log_ratio(model: DensityPolicy, pairs: PyTree) -> Array:
    """The log-odds of having been shown."""
    return model.parameters(pairs)[..., 0]
