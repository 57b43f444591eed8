"""Direction → step: how far to go."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from journeyman.geometry import Direction
from journeyman.parts import AbstractPart, JourneymanError, Number, holds


class AbstractStep(AbstractPart):
    """`init(trained) → state`; call: `(update, state, metrics)`, where the new leaves are trained + update."""

    @abc.abstractmethod
    def init(self, trained: PyTree) -> PyTree:
        """The state before the first step."""

    @abc.abstractmethod
    def __call__(self, direction: Direction, state: PyTree, trained: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """What to add to the trained leaves."""


class Adam(AbstractStep):
    """Adam (Kingma and Ba 2015) by Optax, with decoupled weight decay and a bound on the gradient's norm."""

    citation: ClassVar[str] = """@inproceedings{kingma2015adam,
  title={Adam: A method for stochastic optimization}, author={Kingma, Diederik P. and Ba, Jimmy},
  booktitle={International Conference on Learning Representations}, year={2015}}"""

    learning_rate: Number = 1e-3
    weight_decay: Number = 0.0
    clip_norm: Number | None = None

    def __check_init__(self) -> None:
        if not holds(self.learning_rate > 0, self.weight_decay >= 0):
            raise JourneymanError(
                f"Adam needs a positive learning rate and no negative decay, not {self.learning_rate} and"
                f" {self.weight_decay}; 1e-3 and 0 are usual."
            )

    def _transformation(self) -> optax.GradientTransformation:
        first = [] if self.clip_norm is None else [optax.clip_by_global_norm(self.clip_norm)]
        return optax.chain(*first, optax.adamw(self.learning_rate, weight_decay=self.weight_decay))

    def init(self, trained: PyTree) -> PyTree:
        """The moments, zero."""
        return self._transformation().init(trained)

    def __call__(self, direction: Direction, state: PyTree, trained: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """One step of Adam along the direction."""
        update, state = self._transformation().update(direction.value, state, trained)
        return update, state, {}


class Optax(AbstractStep):
    """Any Optax transformation. It has no form on disk: to resume such a run, pass the learner again."""

    transformation: Any = eqx.field(static=True)

    def init(self, trained: PyTree) -> PyTree:
        """The transformation's own state."""
        return self.transformation.init(trained)

    def __call__(self, direction: Direction, state: PyTree, trained: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """What the transformation makes of the direction."""
        update, state = self.transformation.update(direction.value, state, trained)
        return update, state, {}


class KLRadius(AbstractStep):
    """θ ← θ − α d with α = √(2 kl / dᵀFd): the quadratic model's mean KL(old ‖ new) is exactly `kl` nats.

    The factor ½ of the expansion KL ≈ ½ Δᵀ F Δ is inside: `kl` is the KL itself, not twice it (deviation from mjrl,
    whose `normalized_step_size` is 2 KL and whose step divides by gᵀd). A zero gradient, or a curvature that is not
    positive, gives no step. Reported: the predicted gain α gᵀd and the predicted KL.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"metric"})
    citation: ClassVar[str] = """@inproceedings{rajeswaran2017towards,
  title={Towards generalization and simplicity in continuous control},
  author={Rajeswaran, Aravind and Lowrey, Kendall and Todorov, Emanuel and Kakade, Sham},
  booktitle={Advances in Neural Information Processing Systems}, volume={30}, year={2017}}"""

    kl: Number = 0.01

    def __check_init__(self) -> None:
        if not holds(self.kl > 0):
            raise JourneymanError(f"The radius of a step is a positive number of nats, not {self.kl}; 0.01 is usual.")

    def init(self, trained: PyTree) -> PyTree:
        """Nothing."""
        return ()

    def __call__(self, direction: Direction, state: PyTree, trained: PyTree) -> tuple[PyTree, PyTree, dict[str, Array]]:
        """Go to the edge of the ball."""
        usable = direction.curvature > 1e-20
        length = jnp.where(usable, jnp.sqrt(2 * self.kl / jnp.where(usable, direction.curvature, 1.0)), 0.0)
        update = jax.tree.map(lambda d: -length * d, direction.value)
        metrics = {
            "predicted_gain": length * direction.slope,
            "predicted_kl": 0.5 * jnp.square(length) * direction.curvature,
            "curvature": direction.curvature,
        }
        return update, state, metrics
