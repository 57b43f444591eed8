"""How far ahead it pays to look: half a life of an episode."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, Number
from journeyman.policies import DensityPolicy, Encoder
from journeyman.weights._baselines import Regress
from journeyman.weights._pieces import episode_starts
from journeyman.weights._weights import AbstractWeight, Advantage, Weighed, check_discount
from journeyman.worlds import AbstractSpace


class Lives(eqx.Module):
    """What a `LifetimeDiscount` has seen: steps, episodes that ended, and those that went on after the last batch."""

    inner: PyTree
    steps: Float[Array, ""]
    ended: Float[Array, ""]
    running: Float[Array, ""]


class LifetimeDiscount(AbstractWeight):
    """`inner`, whose discount looks ahead as far as half a life of the episodes so far.

        γ = n / (n + 2 m), between `least` and that of `inner`;   n steps and m episodes in all batches before this one

    n / m is the mean life of an episode, of which a step has on average half before it, and γ / (1 − γ) steps is how
    far γ looks. Every stream's running episode is one of the m. Ends by a time limit count as others do: the return
    is measured as far as the limit. `least` keeps episodes of few steps from being discounted within.

    γ is fixed before the batch is seen, so the batch is weighed as `inner` with that number weighs it; it differs from
    batch to batch, and is logged as `discount`. `inner` is a weight with a `discount`: `Return`, `RewardToGo` or
    `Advantage`.
    Raises `JourneymanError` for one without, or a `least` outside (0, 1].
    """

    inner: AbstractWeight = Advantage(discount=0.999)
    least: Number = 0.995

    def __check_init__(self) -> None:
        if not hasattr(self.inner, "discount"):
            raise JourneymanError(
                f"A lifetime bounds the `discount` of the weight inside it, and {type(self.inner).__name__} has none;"
                " use Return, RewardToGo or Advantage."
            )
        check_discount(self.least)

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """The inner weight's state, and no lives."""
        return _fresh(self.inner.init(encoder, key))

    def begun(self, policy: DensityPolicy, shown: Episodes | None, space: AbstractSpace, key: Array) -> PyTree:
        """As `init`."""
        return _fresh(self.inner.begun(policy, shown, space, key))

    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        """The inner weight under γ, and γ."""
        discount = self.discounted(state)
        weighed = eqx.tree_at(lambda inner: inner.discount, self.inner, discount)(state.inner, episodes)
        return weighed._replace(metrics={**weighed.metrics, "discount": discount})

    def discounted(self, state: PyTree) -> Float[Array, ""]:
        """γ after these lives; before any, that of the inner weight."""
        lives = state.ended + state.running
        half = jnp.where(lives > 0, state.steps / jnp.maximum(state.steps + 2 * lives, 1), 1.0)
        return jnp.minimum(self.inner.discount, jnp.maximum(self.least, half))  # type: ignore[attr-defined]

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """Fit the inner weight, and count the batch's lives."""
        inner = self.inner.fit(state.inner, episodes, target, key, regress)
        number = lambda flags: jnp.asarray(flags, state.steps.dtype).sum()  # noqa: E731
        steps, ended = number(episodes.valid), number(episodes.ended & episodes.valid)
        running = number(episode_starts(episodes)) - ended
        return Lives(inner, state.steps + steps, state.ended + ended, running)

    @property
    def learns(self) -> bool:
        """Always: lives are counted before the policy steps."""
        return True

    @property
    def least_steps(self) -> int:
        """As many as the inner weight needs."""
        return self.inner.least_steps

    @property
    def imitates(self) -> bool:
        """As the inner weight does."""
        return self.inner.imitates


def _fresh(inner: PyTree) -> Lives:
    return Lives(inner, *jnp.zeros((3,)))
