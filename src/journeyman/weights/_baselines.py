"""Baselines: what a return is compared with. None of them may look at the action they are subtracted for."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.episodes import Episodes
from journeyman.parts import AbstractPart, JourneymanError
from journeyman.policies import Encoder
from journeyman.weights._pieces import episode_numbers, episode_starts, observation_times

Regress = Callable[..., Any]
"""`regress(model, observation, target, valid, key, epochs=, batch_size=, learning_rate=) -> model`: the training
station's weighted likelihood, handed in so that this station need not know how anything is fitted."""


class AbstractBaseline(AbstractPart):
    """b at every observation, compared with returns. `init → state`, `value(state, …)`, `fit(state, …) → state`.

    `unbiased_on_its_batch` says whether b may be subtracted from the very batch it was fitted to without moving the
    expectation of the gradient, for whole episodes in streams of their own, and `because` says why, in one sentence.
    `improve` fits after the policy's step, so the b that it subtracts comes from earlier batches and moves nothing
    either way. `learns` is false where there is nothing to fit.
    """

    unbiased_on_its_batch: ClassVar[bool] = False
    because: ClassVar[str] = "Nothing is known of it, so it is taken to be biased."
    learns: ClassVar[bool] = True

    @abc.abstractmethod
    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """The state before any data."""

    @abc.abstractmethod
    def value(
        self, state: PyTree, episodes: Episodes, returns: Float[Array, "*batch time"]
    ) -> Float[Array, "*batch observations"]:
        """b at every observation of the batch, one more than steps: that of step t may look at everything but the
        actions from t on and what follows from them.

        `returns` are what b is compared with, as recorded in the batch; only a baseline that leaves a step's own
        episode out may read them. At the successor of an episode's last step b stands for what follows a cut.
        """

    @abc.abstractmethod
    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """The state after seeing returns `target` at the batch's steps. Called after the policy's step."""

    def regresses_on(self) -> Literal["bootstrapped", "monte carlo"]:
        """Which returns `fit` is given: b + A with the weight's own λ, or those of λ = 1, the discounted rewards that
        followed, with b only where an episode was cut."""
        return "bootstrapped"


class NoBaseline(AbstractBaseline):
    """b = 0."""

    unbiased_on_its_batch: ClassVar[bool] = True
    because: ClassVar[str] = "Nothing is subtracted."
    learns: ClassVar[bool] = False

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """Nothing."""
        return ()

    def value(self, state: PyTree, episodes: Episodes, returns: Array) -> Array:
        """Zero."""
        return jnp.zeros((*returns.shape[:-1], returns.shape[-1] + 1), returns.dtype)

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """Nothing to fit."""
        return state


class ConstantBaseline(AbstractBaseline):
    """b = the mean return over the steps of the batch before this one (Williams 1992, section 6).

    It is one number for all states, so it also stands for what follows a cut: with γ = 1 and a time limit it cancels.
    Where γ = 1 and nothing ever terminates there is no such mean: b grows by a mean return a batch, which cancels as
    well but for rounding; use `LeaveOneOutBaseline` there, or a `timed:` world, whose limit is an end.
    """

    because: ClassVar[str] = "The mean contains each step's own return: of N one-step episodes a share 1/N is lost."
    citation: ClassVar[str] = """@article{williams1992simple,
  title={Simple statistical gradient-following algorithms for connectionist reinforcement learning},
  author={Williams, Ronald J.}, journal={Machine Learning}, volume={8}, pages={229--256}, year={1992}}"""

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """Zero."""
        return jnp.zeros(())

    def value(self, state: PyTree, episodes: Episodes, returns: Array) -> Array:
        """The constant."""
        return jnp.broadcast_to(state, (*returns.shape[:-1], returns.shape[-1] + 1))

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """The mean over valid steps."""
        valid = jnp.asarray(episodes.valid, target.dtype)
        return (target * valid).sum() / jnp.maximum(valid.sum(), 1)


class TimeVaryingBaseline(AbstractBaseline):
    """b_t = the mean return at step number t of the episodes of the batch before this one.

    Optimal among functions of time alone up to the covariance with the squared score (Greensmith, Bartlett and Baxter
    2004). `horizon` numbers are kept, and one more that all later steps share. A step number nobody has reached yet has
    b = 0, so under a fixed time limit of `horizon` or less nothing is expected beyond it; one that the last batch did
    not reach keeps its number. `LeaveOneOutBaseline` is the same inside one batch.
    """

    because: ClassVar[str] = "The mean at a step number contains the step's own return."
    citation: ClassVar[str] = """@article{greensmith2004variance,
  title={Variance reduction techniques for gradient estimates in reinforcement learning},
  author={Greensmith, Evan and Bartlett, Peter L. and Baxter, Jonathan},
  journal={Journal of Machine Learning Research}, volume={5}, pages={1471--1530}, year={2004}}"""

    horizon: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        if self.horizon < 1:
            raise JourneymanError(
                f"A time-varying baseline keeps at least one number, not {self.horizon}; use the world's time limit."
            )

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """Zeros."""
        return jnp.zeros(self.horizon + 1)

    def value(self, state: PyTree, episodes: Episodes, returns: Array) -> Array:
        """The number of each observation's time."""
        return state[jnp.clip(observation_times(episodes), 0, self.horizon)]

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """The means, where there is anything to take the mean of."""
        valid = jnp.asarray(episodes.valid, target.dtype).reshape(-1)
        time = jnp.clip(jnp.asarray(episodes.elapsed), 0, self.horizon).reshape(-1)
        count = jax.ops.segment_sum(valid, time, self.horizon + 1)
        total = jax.ops.segment_sum(jnp.where(valid > 0, target.reshape(-1), 0.0), time, self.horizon + 1)
        return jnp.where(count > 0, total / jnp.maximum(count, 1), state)


class LeaveOneOutBaseline(AbstractBaseline):
    """b = the mean return of the *other* episodes of the same batch (Kool, van Hoof and Welling 2019).

        b_t^i = 1/(n−1) Σ_{j≠i} G_t^j

    `by_step`: G is the return at the same step number, n the episodes that reach it; otherwise the return of the whole
    episode, one number for all its steps. Nothing is fitted, and no batch goes by before the first step. What was
    recorded is compared with what was recorded, so nothing is added beyond a cut. Where there is no other episode,
    as in a batch of one, b = 0.

    Episodes that follow one another in a stream share the steps of a batch: the longer this one, the less is left of
    the next, which is no longer independent of it. With a single environment the expected gradient of the geometric
    chain moves by 11 % (whole returns: 17 %) where a batch holds 4 steps and by 4.2 % (5.3 %) where it holds 8.
    """

    unbiased_on_its_batch: ClassVar[bool] = True
    because: ClassVar[str] = "The other episodes are independent of this one, if each has a stream of its own."
    learns: ClassVar[bool] = False
    citation: ClassVar[str] = """@inproceedings{kool2019buy,
  title={Buy 4 {REINFORCE} samples, get a baseline for free!},
  author={Kool, Wouter and van Hoof, Herke and Welling, Max},
  booktitle={ICLR Workshop on Deep Reinforcement Learning Meets Structured Prediction}, year={2019}}"""

    by_step: bool = eqx.field(static=True, default=True)

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """Nothing."""
        return ()

    def value(self, state: PyTree, episodes: Episodes, returns: Array) -> Array:
        """The mean of the others at each valid step, 0 elsewhere."""
        valid = jnp.asarray(episodes.valid)
        if self.by_step:
            group, own, counted = _ranks(jnp.asarray(episodes.elapsed).reshape(-1)), returns, valid
            others = jnp.where(valid, returns, 0.0)
        else:
            number, counted = episode_numbers(episodes), episode_starts(episodes)
            first = jnp.where(counted, returns, 0.0).reshape(-1)
            own = jax.ops.segment_sum(first, number.reshape(-1), valid.size)[number]
            group, others = jnp.zeros(valid.size, jnp.int32), first
        count = jax.ops.segment_sum(counted.reshape(-1).astype(returns.dtype), group, valid.size)[group]
        total = jax.ops.segment_sum(others.reshape(-1), group, valid.size)[group]
        count, total = count.reshape(valid.shape) - 1, total.reshape(valid.shape)
        mean = jnp.where(valid & (count > 0), (total - jnp.where(valid, own, 0.0)) / jnp.maximum(count, 1), 0.0)
        return jnp.concatenate([mean, jnp.zeros_like(mean[..., :1])], axis=-1)

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """Nothing to fit."""
        return state


def _ranks(numbers: Array) -> Array:
    """The rank of each number among the distinct ones: groups of equal numbers, whatever their range."""
    order = jnp.argsort(numbers)
    ordered = numbers[order]
    steps = jnp.concatenate([jnp.zeros(1, bool), ordered[1:] != ordered[:-1]])
    return jnp.zeros(numbers.shape, jnp.int32).at[order].set(jnp.cumsum(steps.astype(jnp.int32)))
