"""Advantage scaling: what is done to a batch's advantages before they weigh anything."""

import abc
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from journeyman.parts import AbstractPart

RESOLUTION = 1e-6
"""Advantages that differ by less than this share of the returns they come from are equal: what is left of them is the
rounding of single precision (1.2e-7 an operation)."""


class AbstractScaling(AbstractPart):
    """One number a step → one number a step, by what the whole batch looks like.

    `unbiased` says whether the estimate of the gradient keeps its expectation, and `because` why, in one sentence. Of
    fewer than `least_steps` steps nothing is left.
    """

    unbiased: ClassVar[bool]
    because: ClassVar[str]
    least_steps: ClassVar[int] = 1

    @abc.abstractmethod
    def __call__(
        self, advantage: Float[Array, "*batch time"], valid: Float[Array, "*batch time"], returns: Array
    ) -> Float[Array, "*batch time"]:
        """The weights; 0 where `valid` is 0. `returns`, like `advantage`, say how large the numbers are that the
        advantages are differences of. What is not finite stays so, for training to refuse."""


class Unscaled(AbstractScaling):
    """w = A, in the reward's own unit."""

    unbiased: ClassVar[bool] = True
    because: ClassVar[str] = "Nothing is changed."

    def __call__(self, advantage: Array, valid: Array, returns: Array) -> Array:
        """The same."""
        return jnp.where(valid > 0, advantage, 0.0)


class Centred(AbstractScaling):
    """w = A − mean(A), the mean over the valid steps of the batch.

    The batch's mean contains each step's own return. Where every one of N episodes has one step, the expectation of
    the gradient shrinks by the factor 1 − 1/N.
    """

    unbiased: ClassVar[bool] = False
    least_steps: ClassVar[int] = 2
    because: ClassVar[str] = "The mean that is subtracted from a step contains the step's own return."

    def __call__(self, advantage: Array, valid: Array, returns: Array) -> Array:
        """Minus the mean."""
        return _centred(advantage, valid)


class Standardized(AbstractScaling):
    """w = (A − mean(A)) / deviation(A), over the valid steps of the batch: mean 0, deviation 1.

    The step then does not depend on the reward's unit. It is the standard deviation, √(1/n Σ (A − mean)²), that
    divides, not the variance. A single step, or advantages that are equal up to rounding (a deviation within 1e-6 of
    the largest return), have nothing to say: their weights are 0, not 0/0, and rounding is not blown up to size 1.
    """

    unbiased: ClassVar[bool] = False
    least_steps: ClassVar[int] = 2
    because: ClassVar[str] = (
        "Mean and deviation contain each step's own return, and the length of the gradient is lost."
    )

    def __call__(self, advantage: Array, valid: Array, returns: Array) -> Array:
        """Minus the mean, by the deviation."""
        deviation = batch_deviation(advantage, valid)
        size = jnp.maximum(jnp.abs(advantage * valid).max(), jnp.abs(returns * valid).max())
        # Written so that a deviation of nan is not taken for a small one.
        silent = (valid <= 0) | (deviation <= RESOLUTION * size)
        return jnp.where(silent, 0.0, _centred(advantage, valid) / jnp.where(silent, 1.0, deviation))


def batch_mean(numbers: Float[Array, "*batch time"], valid: Float[Array, "*batch time"]) -> Float[Array, ""]:
    """The mean over valid steps, 0 where there are none."""
    mean = _summed(numbers, valid)
    return mean + _summed(numbers - mean, valid)


def _summed(numbers: Array, valid: Array) -> Array:
    return jnp.where(valid > 0, numbers, 0.0).sum() / jnp.maximum(valid.sum(), 1)


def _centred(numbers: Array, valid: Array) -> Array:
    """Numbers minus their mean, 0 on invalid steps.

    Single precision sums and holds the mean of numbers of about 10⁶ to a tenth: what it leaves is subtracted as well.
    """
    rest = numbers - _summed(numbers, valid)
    return jnp.where(valid > 0, rest - _summed(rest, valid), 0.0)


def batch_deviation(numbers: Float[Array, "*batch time"], valid: Float[Array, "*batch time"]) -> Float[Array, ""]:
    """The standard deviation over valid steps."""
    centred = _centred(numbers, valid)
    # Squares of numbers above 1.8e19 overflow in single precision: they are taken in units of the largest.
    largest = jnp.abs(centred).max()
    unit = jnp.where(largest > 0, largest, 1.0)
    return unit * jnp.sqrt(jnp.square(centred / unit).sum() / jnp.maximum(valid.sum(), 1))
