"""Which data is good: `Episodes` → one weight a step."""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.episodes import Episodes
from journeyman.parts import AbstractPart, JourneymanError, Number, holds
from journeyman.policies import DensityPolicy, Encoder
from journeyman.weights._advantages import advantages, full_returns
from journeyman.weights._baselines import AbstractBaseline, NoBaseline, Regress
from journeyman.weights._regressions import NetworkBaseline
from journeyman.weights._scaling import RESOLUTION, AbstractScaling, Standardized, Unscaled, batch_deviation, batch_mean
from journeyman.worlds import AbstractSpace

_WILLIAMS = """@article{williams1992simple,
  title={Simple statistical gradient-following algorithms for connectionist reinforcement learning},
  author={Williams, Ronald J.}, journal={Machine Learning}, volume={8}, pages={229--256}, year={1992}}"""


class Weighed(NamedTuple):
    """The weights, what the baseline should regress on, and quantities to log."""

    weight: Float[Array, "*batch time"]
    target: Float[Array, "*batch time"]
    metrics: dict[str, Array]


class AbstractWeight(AbstractPart):
    """w(episodes): a number for every step, 0 on invalid ones. `init → state`, call, `fit(state, …) → state`."""

    @abc.abstractmethod
    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        """The weight of every step."""

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """The state before any data (`()` for a weight that learns nothing)."""
        return ()

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """Learn from the batch and the `target` it was weighed with, after the policy has stepped on it."""
        return state

    def begun(self, policy: DensityPolicy, shown: Episodes | None, space: AbstractSpace, key: Array) -> PyTree:
        """The state before any batch, in a world whose actions are of `space`; `shown` are demonstrations, if any."""
        del shown, space
        return self.init(policy.encoder, key)

    @property
    def learns(self) -> bool:
        """Whether `fit` does anything, so that a first batch must go to it before the policy may step."""
        return False

    @property
    def least_steps(self) -> int:
        """Of how many steps a batch must be, for any of them to have a weight other than 0."""
        return 1

    @property
    def imitates(self) -> bool:
        """Whether it compares with demonstrations, so that there must be some."""
        return False


class Uniform(AbstractWeight):
    """w = 1 on every valid step: cloning, forward KL to the demonstrations. No γ, so γᵗ does not weigh the states.

    It ranks nothing: of the policy's own actions nothing is learned by it, so it needs a "teacher".
    """

    needs: ClassVar[frozenset[str]] = frozenset({"teacher"})

    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        """One for each valid step."""
        weight = jnp.asarray(episodes.valid, jnp.result_type(float))
        return Weighed(weight, jnp.zeros_like(weight), {})


class Return(AbstractWeight):
    """w_t = scaled(Σ_k γ^k r_k of the whole episode − b_t): REINFORCE in its first form (Williams 1992).

    k counts from the episode's first step, so γᵗ weighs the states: this is the exact discounted gradient's weight.
    Only recorded rewards count; nothing is added beyond a cut. `baseline` (none) and `scaling` (none) are parts;
    `Centred()` recovers centred returns, `LeaveOneOutBaseline(by_step=False)` leaves the own return out of the mean.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"rewards"})
    citation: ClassVar[str] = _WILLIAMS

    discount: Number = 1.0
    baseline: AbstractBaseline = NoBaseline()
    scaling: AbstractScaling = Unscaled()

    def __check_init__(self) -> None:
        check_discount(self.discount)

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """The baseline's state."""
        return self.baseline.init(encoder, key)

    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        """The episode's return minus b, at each of its steps; the return is the regression's target."""
        returns = full_returns(episodes, discount=self.discount)
        value = _values(self.baseline, state, episodes, returns)[..., :-1]
        valid = jnp.asarray(episodes.valid, returns.dtype)
        advantage = jnp.where(valid > 0, returns - value, 0.0)
        weight = _scaled(self.scaling, advantage, valid, returns)
        return Weighed(weight, returns, _told(advantage, returns, value, valid))

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """Fit the baseline to the returns."""
        return self.baseline.fit(state, episodes, target, key, regress)

    @property
    def learns(self) -> bool:
        """As the baseline does."""
        return self.baseline.learns

    @property
    def least_steps(self) -> int:
        """As many as the scaling needs."""
        return self.scaling.least_steps


class RewardToGo(AbstractWeight):
    """w_t = γ^{m t} Σ_{k≥t} γ^{k−t} r_k: what an action cannot have caused is left out.

    m = 1 with `discounted_states`: γᵗ weighs the states, the exact gradient of the discounted objective. m = 0 (the
    default, and usual in practice): γᵗ does not weigh them, states of all times count alike.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"rewards"})
    citation: ClassVar[str] = _WILLIAMS

    discount: Number = 1.0
    discounted_states: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        check_discount(self.discount)

    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        """The reward-to-go; what follows the end of the recording counts as 0."""
        weight = episodes.discounted_returns(self.discount)
        return Weighed(_discount_states(weight, episodes, self.discount, self.discounted_states), weight, {})


class Advantage(AbstractWeight):
    """w_t = γ^{m t} · scaled(A_t), with A from `advantages` and the baseline b.

    `lambda_` = 1 recovers the reward-to-go minus b (Monte Carlo), smaller values trade variance for the bias of b.
    `scaling` says what is done to the batch's advantages: `Standardized()`, `Centred()` or `Unscaled()`.
    `discounted_states` (m = 1) lets γᵗ weigh the states, as in `RewardToGo`, which is this weight without baseline and
    unscaled; by default (m = 0) it does not.
    Raises for a discount outside (0, 1] or λ outside [0, 1]; λ < 1 needs a value baseline.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"rewards"})
    citation: ClassVar[str] = """@inproceedings{schulman2016high,
  title={High-dimensional continuous control using generalized advantage estimation},
  author={Schulman, John and Moritz, Philipp and Levine, Sergey and Jordan, Michael and Abbeel, Pieter},
  booktitle={International Conference on Learning Representations}, year={2016}}"""

    discount: Number = 0.99
    lambda_: Number = 1.0
    baseline: AbstractBaseline = NetworkBaseline()
    scaling: AbstractScaling = Standardized()
    discounted_states: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        check_discount(self.discount)
        if not holds(self.lambda_ >= 0, self.lambda_ <= 1):
            raise JourneymanError(f"λ must lie in [0, 1], not {self.lambda_}: it weighs temporal differences.")

    def requires(self) -> frozenset[str]:
        """λ < 1 bootstraps from a value."""
        return self.needs | (frozenset({"value baseline"}) if not holds(self.lambda_ >= 1) else frozenset())

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """The baseline's state."""
        return self.baseline.init(encoder, key)

    def __call__(self, state: PyTree, episodes: Episodes) -> Weighed:
        """The weight of every step, and what the baseline regresses on: b + A, its λ that of the weight or 1."""
        returns = episodes.discounted_returns(self.discount)
        value = _values(self.baseline, state, episodes, returns)
        advantage = advantages(episodes, value, discount=self.discount, lambda_=self.lambda_)
        valid = jnp.asarray(episodes.valid, value.dtype)
        error = advantage
        # A λ that is swept is not known here; where it is 1 the two are the same.
        plain = isinstance(self.lambda_, (int, float)) and self.lambda_ == 1
        if not plain and self.baseline.regresses_on() == "monte carlo":
            error = advantages(episodes, value, discount=self.discount, lambda_=1.0)
        target = jnp.where(valid > 0, error + value[..., :-1], 0.0)
        weight = _scaled(self.scaling, advantage, valid, returns)
        weight = _discount_states(weight, episodes, self.discount, self.discounted_states)
        return Weighed(weight, target, _told(advantage, target, value[..., :-1], valid))

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """Fit the baseline to the target, computed with the baseline as it was while weighing."""
        return self.baseline.fit(state, episodes, target, key, regress)

    @property
    def learns(self) -> bool:
        """As the baseline does."""
        return self.baseline.learns

    @property
    def least_steps(self) -> int:
        """As many as the scaling needs."""
        return self.scaling.least_steps


def _values(baseline: AbstractBaseline, state: PyTree, episodes: Episodes, returns: Array) -> Array:
    """b at every observation; one of somebody's own may give something else."""
    value = baseline.value(state, episodes, returns)
    wanted = (*returns.shape[:-1], returns.shape[-1] + 1)
    if jnp.shape(value) != wanted:
        raise JourneymanError(
            f"The baseline {type(baseline).__name__} gives values of shape {jnp.shape(value)} where {wanted} is needed:"
            " one number for each observation, and a stream has one more of them than steps."
        )
    return value


def _scaled(scaling: AbstractScaling, advantage: Array, valid: Array, returns: Array) -> Array:
    """The scaled advantages; one number for all of them, from a scaling of somebody's own, would pass for them."""
    weight = scaling(advantage, valid, returns)
    if jnp.shape(weight) != advantage.shape:
        raise JourneymanError(
            f"The scaling {type(scaling).__name__} gives weights of shape {jnp.shape(weight)} where {advantage.shape}"
            " is needed: one number for each step."
        )
    return weight


def _told(advantage: Array, target: Array, value: Array, valid: Array) -> dict[str, Array]:
    """What is logged of the advantages before they are scaled, and of the baseline."""
    missed = jnp.square(jnp.where(valid > 0, target - value, 0.0)).sum() / jnp.maximum(valid.sum(), 1)
    spread = batch_deviation(target, valid)
    # Of targets that are equal up to rounding there is nothing to explain.
    alike = spread <= RESOLUTION * jnp.abs(jnp.where(valid > 0, target, 0.0)).max()
    return {
        "advantage_mean": batch_mean(advantage, valid),
        "advantage_deviation": batch_deviation(advantage, valid),
        "explained_variance": jnp.where(alike, jnp.nan, 1 - missed / jnp.square(jnp.where(alike, 1.0, spread))),
    }


def check_discount(discount: Any) -> None:
    if not holds(discount > 0, discount <= 1):
        raise JourneymanError(f"The discount must lie in (0, 1], not {discount}; 0.99 looks about 100 steps ahead.")


def _discount_states(weight: Array, episodes: Episodes, discount: Number, apply: bool) -> Array:
    if not apply:
        return weight
    return weight * jnp.power(jnp.asarray(discount, weight.dtype), jnp.asarray(episodes.elapsed, weight.dtype))
