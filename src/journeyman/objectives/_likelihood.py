"""The one loss."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from journeyman.episodes import Episodes, HostOrDevice
from journeyman.parts import AbstractPart, JourneymanError, form, shaped
from journeyman.policies import AbstractDensityPolicy, partition
from journeyman.weights import episode_numbers, episode_starts


class Samples(eqx.Module):
    """Steps without their order: what a gradient is taken over.

    observation `(samples, …)`, target `(samples, …)`, weight `(samples,)`, valid `(samples,)` as 0 or 1,
    `steps_per_episode` `()`, which turns a number of steps into a number of episodes, and log_prob `(samples,)`, the
    behaviour's log π(action | observation) in nats, nan where unknown. `episode` and `elapsed` `(samples,)` say which
    episode each step belongs to, counted from 0, and its number inside it; `None` where that is not known. `key` is the
    data of a random key for an objective that draws actions, and `None` for any other.
    """

    observation: PyTree
    target: PyTree
    weight: Float[HostOrDevice, " samples"]
    valid: Float[HostOrDevice, " samples"]
    steps_per_episode: Float[HostOrDevice, ""]
    log_prob: Float[HostOrDevice, " samples"]
    episode: Int[HostOrDevice, " samples"] | None = None
    elapsed: Int[HostOrDevice, " samples"] | None = None
    key: Array | None = None

    @classmethod
    def of(cls, episodes: Episodes, weight: Array) -> "Samples":
        """All steps of `episodes`; invalid ones keep their place with weight and `valid` 0."""
        axes = episodes.valid.ndim
        flat = lambda leaf: jnp.asarray(leaf).reshape(-1, *leaf.shape[axes:])  # noqa: E731
        valid = flat(episodes.valid).astype(weight.dtype)
        count = jnp.maximum(episode_starts(episodes).sum(), 1).astype(weight.dtype)
        return cls(
            jax.tree.map(flat, episodes.now),
            jax.tree.map(flat, episodes.target),
            weight.reshape(-1),
            valid,
            jnp.maximum(valid.sum(), 1) / count,
            flat(episodes.log_prob).astype(weight.dtype),
            flat(episode_numbers(episodes)),
            flat(episodes.elapsed),
        ).cleared()

    def cleared(self) -> "Samples":
        """The same with zeros wherever `valid` is 0. Padding may hold anything, and 0 · nan in a gradient is nan."""

        def clear(leaf: Any) -> Array:
            inside = (self.valid > 0).reshape(-1, *(1 for _ in leaf.shape[1:]))
            return jnp.where(inside, leaf, jnp.zeros((), leaf.dtype))

        return self.map(clear)

    def take(self, indices: Array) -> "Samples":
        """The samples at `indices`."""
        return self.map(lambda leaf: leaf[indices])

    def map(self, change: Callable[[Any], Any]) -> "Samples":
        """The same with every array that has an entry a sample put through `change`."""
        return Samples(
            jax.tree.map(change, self.observation),
            jax.tree.map(change, self.target),
            change(self.weight),
            change(self.valid),
            self.steps_per_episode,
            change(self.log_prob),
            jax.tree.map(change, self.episode),
            jax.tree.map(change, self.elapsed),
            self.key,
        )

    def keyed(self, key: Array) -> "Samples":
        """The same with the data of `key`."""
        return dataclasses.replace(self, key=jax.random.key_data(key))


class AbstractObjective(AbstractPart):
    """(policy, samples) → a value to be made small, and its gradient in the trained leaves.

    `compares` says whether the value is that of a ratio to the behaviour: then `Samples.log_prob` must be known, and
    `approximate_kl` is logged, the mean of ρ − 1 − log ρ, which estimates KL(old ‖ new) and is never negative.
    `draws_actions` says whether it draws some, from `Samples.key`. `needs_whole_episodes`: whether all steps of an
    episode must come together, so that minibatches are refused.
    """

    compares: ClassVar[bool] = False
    draws_actions: ClassVar[bool] = False
    needs_whole_episodes: ClassVar[bool] = False

    @abc.abstractmethod
    def measure(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss, and what else is worth logging of it, as means over the valid samples."""

    def __call__(self, policy: AbstractDensityPolicy, samples: Samples) -> Float[Array, ""]:
        """The loss."""
        return self.measured(policy, samples)[0]

    def measured(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], dict[str, Array]]:
        """What `measure` gives. Raises `JourneymanError` for anything but one real number and numbers by name."""
        found = self.measure(policy, samples)
        if not (isinstance(found, (tuple, list)) and len(found) == 2 and isinstance(found[1], dict)):
            raise JourneymanError(
                f"`measure` of {type(self).__name__} gives {form(found)} where a loss and a dict are needed; return"
                " both, {} where there is nothing to log."
            )
        for name, one in found[1].items():
            if not isinstance(one, (int, float)) and getattr(one, "shape", None) != ():
                raise JourneymanError(
                    f"`measure` of {type(self).__name__} logs '{name}' as {form(one)} where one number is needed; take"
                    " the mean over valid samples."
                )
        shaped(self, "measure", found[0], (), "the loss is one number, so take the mean over valid samples")
        return found[0], found[1]

    def fixed_at(self, policy: AbstractDensityPolicy, samples: Samples) -> "AbstractObjective":
        """Itself, with what it estimates from these samples at `policy` (a baseline) held, so that the values of other
        policies on the same samples can be compared."""
        del policy, samples
        return self

    def gradient(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], PyTree]:
        """The loss and ∂loss/∂(trained leaves)."""
        (loss, _), gradient = self.measured_gradient(policy, samples)
        return loss, gradient

    def measured_gradient(
        self, policy: AbstractDensityPolicy, samples: Samples
    ) -> tuple[tuple[Float[Array, ""], dict[str, Array]], PyTree]:
        """What `measured` gives, and ∂loss/∂(trained leaves)."""
        trained, fixed = partition(policy)
        return jax.value_and_grad(lambda leaves: self.measured(eqx.combine(leaves, fixed), samples), has_aux=True)(
            trained
        )


class WeightedLogLikelihood(AbstractObjective):
    """L(θ) = −(1/Z) Σ_i w_i log π_θ(target_i | observation_i), in nats.

    `normalizer` says what Z counts: "steps" (valid steps; the usual mean), "episodes" (the expectation over
    trajectories, as in the policy gradient theorem; an unfinished piece counts as one) or "weights" (Σ |w|).
    w = 1 recovers maximum-likelihood cloning; returns, rewards-to-go and advantages recover REINFORCE and its
    descendants, whose gradient is that of the expected return at the policy that collected the data.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density"})

    normalizer: Literal["steps", "episodes", "weights"] = eqx.field(static=True, default="steps")

    def __check_init__(self) -> None:
        if self.normalizer not in ("steps", "episodes", "weights"):
            raise JourneymanError(
                f"A likelihood is divided by 'steps', 'episodes' or 'weights', not by '{self.normalizer}'; choose one."
            )

    def measure(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss; samples with `valid` 0 have no part in it."""
        log_prob = policy.log_prob(samples.observation, samples.target)
        return -jnp.where(samples.valid > 0, samples.weight * log_prob, 0.0).sum() / self.divisor(samples), {}

    def divisor(self, samples: Samples) -> Float[Array, ""]:
        """Z."""
        steps = jnp.maximum(samples.valid.sum(), 1.0)
        if self.normalizer == "episodes":
            return steps / samples.steps_per_episode
        if self.normalizer == "steps":
            return steps
        # A last short minibatch is filled up with samples that are marked invalid but keep their weight.
        return jnp.maximum(jnp.where(samples.valid > 0, jnp.abs(samples.weight), 0.0).sum(), 1e-12)
