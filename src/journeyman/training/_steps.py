"""Direction → step: how far to go."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from journeyman.geometry import Direction
from journeyman.parts import AbstractPart, JourneymanError, Number, holds, not_whole


class Trial(NamedTuple):
    """What an update would do on the samples: the mean KL(old ‖ new) in nats, and by how much the loss falls."""

    kl: Float[Array, ""]
    gain: Float[Array, ""]


Try = Callable[[PyTree], Trial]
"""update → `Trial`; costs one forward pass over the samples each time."""


class AbstractStep(AbstractPart):
    """`init(trained) → state`; call: `(update, state, metrics)`, where the new leaves are trained + update."""

    @abc.abstractmethod
    def init(self, trained: PyTree) -> PyTree:
        """The state before the first step."""

    @abc.abstractmethod
    def __call__(
        self, direction: Direction, state: PyTree, trained: PyTree, trial: Try
    ) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """What to add to the trained leaves. A step that has tried its update gives `kl` and `gain` in its metrics."""


class Adam(AbstractStep):
    """Adam (Kingma and Ba 2015) by Optax, with decoupled weight decay and a bound on the gradient's norm.

    `epsilon` is added to the root of the second moment. The moments are kept as one vector: on a tree of leaves a step
    of a small network takes longer.
    """

    citation: ClassVar[str] = """@inproceedings{kingma2015adam,
  title={Adam: A method for stochastic optimization}, author={Kingma, Diederik P. and Ba, Jimmy},
  booktitle={International Conference on Learning Representations}, year={2015}}"""

    learning_rate: Number = 1e-3
    weight_decay: Number = 0.0
    clip_norm: Number | None = None
    epsilon: Number = 1e-8

    def __check_init__(self) -> None:
        if not holds(self.learning_rate > 0, self.weight_decay >= 0):
            raise JourneymanError(
                f"Adam needs a positive learning rate and no negative decay, not {self.learning_rate} and"
                f" {self.weight_decay}; 1e-3 and 0 are usual."
            )
        if not holds(self.epsilon > 0, self.clip_norm is None or self.clip_norm > 0):
            raise JourneymanError(
                f"Adam divides by at least epsilon and a gradient's norm is bounded by a positive number, so"
                f" epsilon = {self.epsilon} and clip_norm = {self.clip_norm} must be positive; 1e-8 and none are usual."
            )

    def _transformation(self) -> optax.GradientTransformation:
        parts = [] if self.clip_norm is None else [optax.clip_by_global_norm(self.clip_norm)]  # type: ignore[arg-type]
        parts.append(optax.scale_by_adam(eps=self.epsilon))  # type: ignore[arg-type]
        if not (isinstance(self.weight_decay, (int, float)) and self.weight_decay == 0):
            parts.append(optax.add_decayed_weights(self.weight_decay))  # type: ignore[arg-type]
        return optax.chain(*parts, optax.scale_by_learning_rate(self.learning_rate))  # type: ignore[arg-type]

    def init(self, trained: PyTree) -> PyTree:
        """The moments, zero."""
        return self._transformation().init(ravel_pytree(trained)[0])

    def __call__(
        self, direction: Direction, state: PyTree, trained: PyTree, trial: Try
    ) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """One step of Adam along the direction."""
        flat, unflatten = ravel_pytree(direction.value)
        update, state = self._transformation().update(flat, state, ravel_pytree(trained)[0])
        return unflatten(update), state, {}  # type: ignore[arg-type]


class Optax(AbstractStep):
    """Any Optax transformation. It has no form on disk: to resume such a run, pass the learner again."""

    transformation: Any = eqx.field(static=True)

    def init(self, trained: PyTree) -> PyTree:
        """The transformation's own state."""
        return self.transformation.init(trained)

    def __call__(
        self, direction: Direction, state: PyTree, trained: PyTree, trial: Try
    ) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """What the transformation makes of the direction."""
        update, state = self.transformation.update(direction.value, state, trained)
        return update, state, {}


class KLRadius(AbstractStep):
    """θ ← θ − α d with α = √(2 kl / dᵀFd): the quadratic model's mean KL(old ‖ new) is exactly `kl` nats.

    The factor ½ of the expansion KL ≈ ½ Δᵀ F Δ is inside: `kl` is the KL itself, not twice it (deviation from mjrl,
    whose `normalized_step_size` is 2 KL and whose step divides by gᵀd). A zero gradient, and a direction that is not
    finite, has no positive curvature or does not climb, give no step and the reason (`refusal`). Logged: the predicted
    gain α gᵀd and the predicted KL.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"metric"})
    citation: ClassVar[str] = """@inproceedings{rajeswaran2017towards,
  title={Towards generalization and simplicity in continuous control},
  author={Rajeswaran, Aravind and Lowrey, Kendall and Todorov, Emanuel and Kakade, Sham},
  booktitle={Advances in Neural Information Processing Systems}, volume={30}, year={2017}}"""

    kl: Number = 0.01

    def __check_init__(self) -> None:
        _check_radius(self.kl)

    def init(self, trained: PyTree) -> PyTree:
        """Nothing."""
        return ()

    def __call__(
        self, direction: Direction, state: PyTree, trained: PyTree, trial: Try
    ) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """Go to the edge of the ball."""
        length, refused = _to_the_edge(direction, self.kl)
        return _against(direction, length), state, {**_predicted(direction, length), "refused": refused}


class LineSearch(AbstractStep):
    """The step of `KLRadius`, shortened by `shrink` until it keeps its promises: TRPO's backtracking.

        θ ← θ − shrinkʲ α d, the first j < tries with mean KL(old ‖ new) ≤ kl and a loss that falls

    Both are measured on all samples that are given, each try with one forward pass (Schulman et al. 2015, appendix C).
    Where no try is accepted there is no step, and the reason (`refusal`). Logged: `tries` that were made, the KL and
    the gain of the accepted step, and what was predicted for its length.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"metric"})
    citation: ClassVar[str] = """@inproceedings{schulman2015trust,
  title={Trust region policy optimization},
  author={Schulman, John and Levine, Sergey and Moritz, Philipp and Jordan, Michael and Abbeel, Pieter},
  booktitle={International Conference on Machine Learning}, pages={1889--1897}, year={2015}}"""

    kl: Number = 0.01
    shrink: Number = 0.8
    tries: int = eqx.field(static=True, default=10)

    def __check_init__(self) -> None:
        _check_radius(self.kl)
        if not holds(self.shrink > 0, self.shrink < 1) or not_whole("", self.tries, least=1):
            raise JourneymanError(
                f"A line search shortens its step by a factor between 0 and 1 and tries at least once, not by"
                f" {self.shrink} and {self.tries} times; 0.8 and 10 are usual."
            )

    def init(self, trained: PyTree) -> PyTree:
        """Nothing."""
        return ()

    def __call__(
        self, direction: Direction, state: PyTree, trained: PyTree, trial: Try
    ) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """Go to the edge, and back until the step holds."""
        edge, refused = _to_the_edge(direction, self.kl)

        def wanted(carry: tuple) -> Array:
            count, accepted, _, _ = carry
            return (count < self.tries) & ~accepted & (refused == 0)

        def attempt(carry: tuple) -> tuple:
            count, _, _, _ = carry
            length = edge * jnp.power(jnp.asarray(self.shrink, edge.dtype), count.astype(edge.dtype))
            found = trial(_against(direction, length))
            return count + 1, (found.kl <= self.kl) & (found.gain > 0), length, found

        zero = jnp.zeros_like(edge)
        start = (jnp.zeros((), jnp.int32), jnp.zeros((), bool), zero, Trial(zero, zero))
        count, accepted, length, found = jax.lax.while_loop(wanted, attempt, start)
        length = jnp.where(accepted, length, 0.0)
        metrics = {
            "kl": jnp.where(accepted, found.kl, 0.0),
            "gain": jnp.where(accepted, found.gain, 0.0),
            "tries": count,
            "refused": jnp.where((refused == 0) & ~accepted, _NOTHING_HOLDS, refused),
        }
        return _against(direction, length), state, {**_predicted(direction, length), **metrics}


_NO_CURVATURE, _NOT_FINITE, _NO_GRADIENT, _NO_CLIMB, _NOTHING_HOLDS = 1, 2, 3, 4, 5


def refusal(metrics: dict[str, float]) -> str | None:
    """Why a step was refused, in words, from its code `refused` and the numbers beside it; `None` if it was taken."""
    at = f" at damping {metrics['damping']:.3g}" if "damping" in metrics else ""
    return {
        0: None,
        _NO_CURVATURE: f"curvature {metrics.get('curvature', float('nan')):.3g}{at}",
        _NOT_FINITE: f"the direction is not finite{at}",
        _NO_GRADIENT: "the gradient is zero",
        _NO_CLIMB: f"the direction does not climb{at}",
        _NOTHING_HOLDS: f"no length among {metrics.get('tries', 0):.0f} stays inside the radius and gains",
    }[int(metrics.get("refused", 0))]


def _to_the_edge(direction: Direction, kl: Number) -> tuple[Array, Array]:
    """The length α with ½ α² dᵀFd = kl, 0 where there is none; and the code of why."""
    curvature, slope = direction.curvature, direction.slope
    finite = jnp.isfinite(curvature) & jnp.isfinite(slope)
    still = jnp.stack([(leaf == 0).all() for leaf in jax.tree.leaves(direction.value)]).all()
    tiny = jnp.finfo(curvature.dtype).tiny
    refused = jnp.where(
        ~finite,
        _NOT_FINITE,
        jnp.where(still, _NO_GRADIENT, jnp.where(curvature <= tiny, _NO_CURVATURE, jnp.where(slope > 0, 0, _NO_CLIMB))),
    ).astype(jnp.int32)
    usable = refused == 0
    return jnp.where(usable, jnp.sqrt(2 * kl / jnp.where(usable, curvature, 1.0)), 0.0), refused


def _against(direction: Direction, length: Array) -> PyTree:
    return jax.tree.map(lambda d: -length * d, direction.value)


def _predicted(direction: Direction, length: Array) -> dict[str, Array]:
    """By the linear model of the loss and the quadratic model of the KL; 0 without a step, whatever the direction."""
    moves = length > 0
    return {
        "predicted_gain": jnp.where(moves, length * direction.slope, 0.0),
        "predicted_kl": jnp.where(moves, 0.5 * jnp.square(length) * direction.curvature, 0.0),
        "curvature": direction.curvature,
    }


def _check_radius(kl: Number) -> None:
    if not holds(kl > 0, kl < jnp.inf):
        raise JourneymanError(f"The radius of a step is a positive number of nats, not {kl}; 0.01 is usual.")
