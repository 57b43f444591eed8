"""The variance-optimal baseline: it needs each episode's score, so it lives where the policy is known."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from journeyman.objectives._likelihood import AbstractObjective, Samples, WeightedLogLikelihood
from journeyman.parts import JourneymanError
from journeyman.policies import AbstractDensityPolicy, partition


class VarianceOptimal(AbstractObjective):
    """The weighted likelihood whose weights are w − b, b the baseline with which the gradient varies least.

    With the scores s_t = ∇ log π(a_t | o_t), an episode's gradient G = Σ_t s_t w_t and S = Σ_t s_t,

        g = 1/N Σ_episodes (G − b S),     b = E[S · G] / E[S · S]      (`per_parameter`: b_i = E[S_i G_i] / E[S_i²])

    For w = the whole return R this is b = E[|S|² R] / E[|S|²] (Weaver and Tao 2001; Greensmith, Bartlett and Baxter
    2004; Peters and Schaal 2008, equation 16); for rewards-to-go it is the best single number for them.
    With `times` > 1 there is a b for each step number 0 … `times` − 1, the last one for all later steps,

        b_t = E[s_t · G] / E[s_t · s_t]

    which is the optimum of all of them together, because scores of different times are uncorrelated.

    The loss is that of w − b with b held (not differentiated), so that what a step promises and what it gains are of
    one function. Of the b_i it has the best single b, and to first order of the step what they have beside it: no loss
    has a gradient with a number of its own for each parameter.

    With `folds` ≥ 2 the b of each part of the episodes is estimated on the others: unbiased. With `folds` = 1
    it is estimated on the batch that it is subtracted from, which moves the expectation by O(1/N). Where there is
    nothing to estimate it from, b = 0.

    Args:
        likelihood: whose loss this is; it says what divides.
        per_parameter: one b for each trained number, or one for all.
        times: how many step numbers have a b of their own.
        folds: into how many parts episodes are dealt in turn.
        groups: how many sums over episodes are kept at once: of more episodes, every `groups`-th share one. That is
            still right in expectation, for E S = 0. Memory is 2 · `groups` trained numbers' worth, and with
            `per_parameter` 3 · `times` · `folds` more.
        chunk: how many steps' scores exist at a time.

    The weights must not be standardised for b to be read in units of the reward; subtracting a number from all of them,
    or dividing by one, changes nothing in g. Minibatches are refused.

    Deviation from GPOMDP with its baseline (as in MushroomRL and potion): there each reward's term has the b_t that is
    optimal for the term alone; here the sum's variance is what is made small.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"density"})
    needs_whole_episodes: ClassVar[bool] = True
    citation: ClassVar[str] = """@inproceedings{weaver2001optimal,
  title={The optimal reward baseline for gradient-based reinforcement learning}, author={Weaver, Lex and Tao, Nigel},
  booktitle={Conference on Uncertainty in Artificial Intelligence}, pages={538--545}, year={2001}}
@article{peters2008reinforcement,
  title={Reinforcement learning of motor skills with policy gradients}, author={Peters, Jan and Schaal, Stefan},
  journal={Neural Networks}, volume={21}, number={4}, pages={682--697}, year={2008}}"""

    likelihood: WeightedLogLikelihood = WeightedLogLikelihood()
    per_parameter: bool = eqx.field(static=True, default=True)
    times: int = eqx.field(static=True, default=1)
    folds: int = eqx.field(static=True, default=2)
    groups: int = eqx.field(static=True, default=64)
    chunk: int = eqx.field(static=True, default=256)

    def __check_init__(self) -> None:
        if min(self.times, self.folds, self.chunk) < 1 or self.groups < self.folds or self.groups % self.folds:
            raise JourneymanError(
                f"A variance-optimal baseline needs at least one time, fold and step at once, not {self.times},"
                f" {self.folds} and {self.chunk}, and a multiple of the folds as groups, not {self.groups}; 1, 2, 256"
                " and 64 are usual."
            )

    @property
    def unbiased_on_its_batch(self) -> bool:
        """Whether no episode has a part in its own b."""
        return self.folds > 1

    @property
    def because(self) -> str:
        """Why, in one sentence."""
        if self.folds > 1:
            return "The baseline of each fold is estimated on the others."
        return "Each episode has a part in the baseline that is subtracted from it: the expectation moves by O(1/N)."

    def measure(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The likelihood of w − b, with the b that belongs to `policy` and is not differentiated."""
        return self.fixed_at(policy, samples).measure(policy, samples)

    def fixed_at(self, policy: AbstractDensityPolicy, samples: Samples) -> "_Fixed":
        """With the b that belongs to `policy`, whatever other policy is then measured on the same samples."""
        if samples.episode is None or samples.elapsed is None:
            raise JourneymanError(
                "A variance-optimal baseline compares episodes, and these samples do not say which they belong to; make"
                " them with `Samples.of`."
            )
        trained, fixed = partition(policy)
        trained = jax.lax.stop_gradient(trained)
        marks = self._marks(samples)
        moments = self._moments(eqx.combine(trained, fixed), samples, marks)
        common = _ratio(moments.cross.sum(-1), moments.square.sum(-1))
        beside = (_ratio(moments.cross, moments.square) - common[..., None]) * moments.score
        return _Fixed(
            self.likelihood,
            common.reshape(-1)[marks.place],
            beside.sum((0, 1)) if self.per_parameter else jnp.zeros_like(beside[0, 0]),
            ravel_pytree(trained)[0],
        )

    def baseline(self, policy: AbstractDensityPolicy, samples: Samples) -> Float[Array, "folds times numbers"]:
        """b of each fold at each time; the last axis is the trained numbers' (raveled), or 1."""
        moments = self._moments(policy, samples, self._marks(samples))
        return _ratio(moments.cross, moments.square)

    # -- inside ------------------------------------------------------------------------------------------

    def _moments(self, policy: AbstractDensityPolicy, samples: Samples, marks: "_Marks") -> "_Moments":
        """Of each fold at each time: the moments that its b is made of, from the others, and the sum of its scores."""
        sums = self._sums(policy, samples, marks)
        if self.times > 1:
            moments = self._moments_by_time(policy, samples, marks, sums)
        else:
            by_fold = lambda x: x.reshape(-1, self.folds, 1, x.shape[-1]).sum(0)  # noqa: E731
            moments = _Moments(
                by_fold(self._inner(sums.score, sums.gradient)),
                by_fold(self._inner(sums.score, sums.score)),
                by_fold(sums.score),
            )
        cross, square = (self._from_the_others(moment) for moment in (moments.cross, moments.square))
        return _Moments(cross, square, moments.score)

    def _from_the_others(self, moment: Array) -> Array:
        whole = moment.sum(0, keepdims=True)
        return jnp.broadcast_to(whole, moment.shape) if self.folds == 1 else whole - moment

    def _inner(self, a: Array, b: Array) -> Array:
        return a * b if self.per_parameter else (a * b).sum(-1, keepdims=True)

    def _marks(self, samples: Samples) -> "_Marks":
        group = jnp.asarray(samples.episode) % self.groups
        time = jnp.clip(jnp.asarray(samples.elapsed), 0, self.times - 1)
        return _Marks(group, (group % self.folds) * self.times + time)

    def _sums(self, policy: AbstractDensityPolicy, samples: Samples, marks: "_Marks") -> "_Sums":
        """S and G of each group of episodes, `(groups, numbers)` each."""

        def add(total: _Sums, scores: Array, some: Samples, mark: _Marks) -> _Sums:
            weighed = scores * some.weight[:, None]
            pick = lambda x: jax.ops.segment_sum(x, mark.group, self.groups)  # noqa: E731
            return _Sums(total.score + pick(scores), total.gradient + pick(weighed))

        zero = jnp.zeros((self.groups, _size(policy)), samples.weight.dtype)
        return _over_chunks(policy, samples, marks, self.chunk, add, _Sums(zero, zero))

    def _moments_by_time(
        self, policy: AbstractDensityPolicy, samples: Samples, marks: "_Marks", sums: "_Sums"
    ) -> "_Moments":
        """Σ s_t · G, Σ s_t · s_t and Σ s_t of each fold at each time."""
        places = self.folds * self.times

        def add(total: _Moments, scores: Array, some: Samples, mark: _Marks) -> _Moments:
            pick = lambda x: jax.ops.segment_sum(x, mark.place, places)  # noqa: E731
            cross = self._inner(scores, sums.gradient[mark.group])
            new = _Moments(pick(cross), pick(self._inner(scores, scores)), pick(scores))
            return jax.tree.map(jnp.add, total, new)

        size = _size(policy)
        narrow = jnp.zeros((places, size if self.per_parameter else 1), samples.weight.dtype)
        start = _Moments(narrow, narrow, jnp.zeros((places, size), samples.weight.dtype))
        found = _over_chunks(policy, samples, marks, self.chunk, add, start)
        return jax.tree.map(lambda x: x.reshape(self.folds, self.times, -1), found)


class _Fixed(AbstractObjective):
    """The likelihood of w − b with numbers for b, one for each sample that they were estimated on.

    No loss has a gradient with a b of its own for each trained number θ_i. It is taken apart: the best single b enters
    as what it is, and what the b_i have beside it, summed over scores, as a term that is linear in θ − θ_start.
    """

    likelihood: WeightedLogLikelihood
    baseline: Float[Array, " samples"]
    beside: Float[Array, " numbers"]
    start: Float[Array, " numbers"]

    def measure(self, policy: AbstractDensityPolicy, samples: Samples) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The loss; the weights that divide are those without b."""
        divisor = self.likelihood.divisor(samples)
        less = dataclasses.replace(samples, weight=samples.weight - self.baseline)
        loss, measured = self.likelihood.measure(policy, less)
        away = ravel_pytree(partition(policy)[0])[0] - self.start
        return loss * (self.likelihood.divisor(less) / divisor) + (self.beside * away).sum() / divisor, measured


class _Marks(NamedTuple):
    """Which group each step belongs to, and which place of (fold, time)."""

    group: Array
    place: Array


class _Sums(NamedTuple):
    score: Array
    gradient: Array


class _Moments(NamedTuple):
    cross: Array
    square: Array
    score: Array


def _ratio(cross: Array, square: Array) -> Array:
    return jnp.where(square > 0, cross / jnp.where(square > 0, square, 1.0), 0.0)


def _size(policy: AbstractDensityPolicy) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(partition(policy)[0]))


def _over_chunks(
    policy: AbstractDensityPolicy, samples: Samples, marks: _Marks, chunk: int, add: Any, start: Any
) -> Any:
    """`add(total, scores, samples, marks)` over pieces of `chunk` steps, whose scores `(chunk, numbers)` are made anew
    each time; invalid steps have score 0."""
    trained, fixed = partition(policy)
    count = samples.valid.shape[0]
    chunk = min(chunk, count)

    def score(observation: PyTree, target: PyTree) -> Array:
        def log_prob(leaves: PyTree) -> Array:
            return eqx.combine(leaves, fixed).log_prob(observation, target)  # type: ignore[attr-defined]

        return ravel_pytree(jax.grad(log_prob)(trained))[0]

    def step(total: Any, number: Array) -> tuple[Any, None]:
        places = number * chunk + jnp.arange(chunk)
        inside = (places < count).astype(samples.valid.dtype)
        places = jnp.minimum(places, count - 1)
        some = samples.take(places)
        scores = jax.vmap(score)(some.observation, some.target) * (some.valid * inside)[:, None]
        return add(total, scores, some, jax.tree.map(lambda x: x[places], marks)), None

    return jax.lax.scan(step, start, jnp.arange(-(-count // chunk)))[0]
