"""Planning by trying: the cross-entropy method and model-predictive path integrals. They need no derivatives."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from journeyman.experts._planner import AbstractPlanner, Planned, bounds, middle, score, scores
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractPureWorld


class CEM(AbstractPlanner):
    """The cross-entropy method: draw plans, keep the best, fit a Gaussian to them, draw again.

        uⁱ ~ N(μ, diag σ²),   μ, σ ← mean and deviation of the `elites` plans with the greatest returns

    (Rubinstein 1999; de Boer et al. 2005.) The first μ is the middle of the action box, the first σ is `std` in the
    action's units. One plan costs `samples` · `horizon` model steps an iteration. The label is the first action of μ.

    Deviations: 1. μ itself is among the plans, so a good one is never lost. 2. Plans are clipped to the action box
    before they are played and before the fit. 3. A plan whose return is not finite is never an elite; σ stays where
    fewer than two returns are finite, and μ where none is.
    """

    citation: ClassVar[str] = """@article{deboer2005tutorial,
  title={A tutorial on the cross-entropy method},
  author={de Boer, Pieter-Tjerk and Kroese, Dirk P. and Mannor, Shie and Rubinstein, Reuven Y.},
  journal={Annals of Operations Research}, volume={134}, pages={19--67}, year={2005}}"""

    world: AbstractPureWorld
    horizon: int = eqx.field(static=True, default=30)
    samples: int = eqx.field(static=True, default=256)
    elites: int = eqx.field(static=True, default=32)
    iterations: int = eqx.field(static=True, default=8)
    std: float = 1.0
    discount: float = 1.0

    def __check_init__(self) -> None:
        if not 2 <= self.elites < self.samples or self.iterations < 1 or not self.std > 0:
            raise JourneymanError(
                f"CEM keeps 2 or more but not all of its samples, not {self.elites} of {self.samples}, for one or more"
                f" iterations (not {self.iterations}) from a positive deviation (not {self.std})."
            )

    def plan(self, state: PyTree, key: Array) -> Planned:
        """μ after `iterations` rounds."""

        def improve(carry: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], Array]:
            mean, deviation = carry
            plans, returns = _tried(self, state, mean, deviation, key)
            ranked, places = jax.lax.top_k(_ranked(returns), self.elites)
            best, counts = plans[places], jnp.isfinite(ranked).reshape(-1, *[1] * mean.ndim)
            fitted = best.mean(0, where=counts), best.std(0, where=counts)
            found = counts.sum()
            return (jnp.where(found > 0, fitted[0], mean), jnp.where(found > 1, fitted[1], deviation)), returns[0]

        return _refined(self, state, key, improve)


class MPPI(AbstractPlanner):
    """Model-predictive path integral control: the mean of all plans, each weighed by the exponential of its return.

        uⁱ ~ N(μ, σ²),   μ ← Σ wᵢ uⁱ,   wᵢ ∝ exp(Rᵢ / `temperature`)

    (Williams et al. 2017.) `std` is σ in the action's units, times `decay` after each iteration; `temperature` is in
    units of the return, and less is greedier. One plan costs `samples` · `horizon` model steps an iteration.

    Deviations: 1. Several iterations on one state, with a shrinking σ, in place of one that continues the plan of the
    last state. 2. No cost of control beside the world's own. 3. Plans are clipped to the box before they are averaged.
    """

    citation: ClassVar[str] = """@inproceedings{williams2017information,
  title={Information theoretic {MPC} for model-based reinforcement learning},
  author={Williams, Grady and Wagener, Nolan and Goldfain, Brian and Drews, Paul and Rehg, James M. and Boots, Byron
    and Theodorou, Evangelos A.},
  booktitle={International Conference on Robotics and Automation}, pages={1714--1721}, year={2017}}"""

    world: AbstractPureWorld
    horizon: int = eqx.field(static=True, default=30)
    samples: int = eqx.field(static=True, default=256)
    iterations: int = eqx.field(static=True, default=8)
    std: float = 1.0
    decay: float = 0.8
    temperature: float = 1.0
    discount: float = 1.0

    def __check_init__(self) -> None:
        if self.samples < 2 or self.iterations < 1 or not (self.std > 0 and self.temperature > 0 and self.decay > 0):
            raise JourneymanError(
                f"MPPI weighs two or more samples (not {self.samples}) in one or more iterations (not"
                f" {self.iterations}); deviation ({self.std}), decay ({self.decay}) and temperature"
                f" ({self.temperature}) are positive."
            )

    def plan(self, state: PyTree, key: Array) -> Planned:
        """μ after `iterations` rounds."""

        def improve(carry: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], Array]:
            mean, deviation = carry
            plans, returns = _tried(self, state, mean, deviation, key)
            ranked = _ranked(returns)
            weight = jax.nn.softmax(ranked / jnp.float32(self.temperature))
            better = jnp.tensordot(weight, plans, 1, precision=jax.lax.Precision.HIGHEST)
            better = jnp.where(jnp.isfinite(ranked).any(), better, mean)
            return (better, deviation * jnp.float32(self.decay)), returns[0]

        return _refined(self, state, key, improve)


def _tried(planner: "CEM | MPPI", state: PyTree, mean: Array, deviation: Array, key: Array) -> tuple[Array, Array]:
    """Plans around the mean, itself the first, and their returns."""
    draw, play = jax.random.split(key)
    low, high = (jnp.broadcast_to(bound, mean.shape)[None] for bound in bounds(planner.world))
    noise = jax.random.normal(draw, (planner.samples, *mean.shape), jnp.float32).at[0].set(0.0)
    plans = jnp.clip(mean[None] + noise * deviation[None], low, high)
    return plans, scores(planner.world, planner.discount, state, plans, play)


def _ranked(returns: Array) -> Array:
    """What plans are chosen by: −∞ for a return that is not finite, which sorting would put first."""
    return jnp.where(jnp.isfinite(returns), returns, -jnp.inf)


def _refined(planner: "CEM | MPPI", state: PyTree, key: Array, improve: Callable) -> Planned:
    start = middle(planner.world)
    mean = jnp.broadcast_to(start, (planner.horizon, *start.shape))
    keys = jax.random.split(key, planner.iterations + 1)
    first = (mean, jnp.full(mean.shape, planner.std, jnp.float32))
    (mean, _), returns = jax.lax.scan(improve, first, keys[1:])
    last = score(planner.world, planner.discount, state, mean, keys[0])
    return Planned(mean, jnp.append(returns, last))
