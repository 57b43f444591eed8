"""How the expert's actions are disturbed while it demonstrates: the learned covariance, and the controls beside it."""

import abc
import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from journeyman.parts import AbstractPart, JourneymanError, matmul

Covariance = Float[Array, "actions actions"]


class AbstractNoise(AbstractPart):
    """A covariance Σ of N(0, Σ), in units of the action squared, and how it follows the learner's errors."""

    @abc.abstractmethod
    def init(self, size: int) -> Covariance:
        """Σ of round 0."""

    def estimated(self, covariance: Covariance, error: Float[Array, "steps actions"], valid: Array) -> Covariance:
        """Σ after a round in which the learner's `error` (intended minus its own action) was seen; here the same."""
        return covariance


class Undisturbed(AbstractNoise):
    """Σ = 0: the control in which the expert only demonstrates more."""

    def init(self, size: int) -> Covariance:
        """Zeros."""
        return jnp.zeros((size, size))


class Isotropic(AbstractNoise):
    """Σ = `std`² I: the control in which the noise knows nothing of the learner."""

    std: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not 0 <= self.std < math.inf:
            raise JourneymanError(
                f"A standard deviation is a number of action units of 0 or more, not {self.std}; 0.1 is usual."
            )

    def init(self, size: int) -> Covariance:
        """The same in all directions."""
        return self.std**2 * jnp.eye(size)


class RandomCovariance(AbstractNoise):
    """Σ = trace · A Aᵀ / tr(A Aᵀ), A standard normal: the control with the right size and random directions."""

    trace: float = eqx.field(static=True)
    seed: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        if not 0 <= self.trace < math.inf:
            raise JourneymanError(
                f"The trace of a covariance is a number of 0 or more, not {self.trace}; 0.1 is usual."
            )

    def init(self, size: int) -> Covariance:
        """One draw of directions."""
        draw = np.random.default_rng(self.seed).standard_normal((size, size))
        product = draw @ draw.T
        return jnp.asarray(self.trace * product / np.trace(product), jnp.result_type(float))


class LearnedNoise(AbstractNoise):
    """Σ = (1/N) Σ_t d_t d_tᵀ, d = intended action − learner's action: the noise that the learner will make (DART).

    The maximum likelihood of N(intended, Σ) for the learner's actions on the states of the disturbed expert (Laskey et
    al. 2017, equation 4): uncentred, so that a bias counts as noise too, and the full matrix. Σ is 0 in round 0.
    """

    citation: ClassVar[str] = """@inproceedings{laskey2017dart,
  title={{DART}: Noise injection for robust imitation learning},
  author={Laskey, Michael and Lee, Jonathan and Fox, Roy and Dragan, Anca and Goldberg, Ken},
  booktitle={Conference on Robot Learning}, pages={143--156}, year={2017}}"""

    def init(self, size: int) -> Covariance:
        """Zeros: nothing is known of the learner."""
        return jnp.zeros((size, size))

    def estimated(self, covariance: Covariance, error: Float[Array, "steps actions"], valid: Array) -> Covariance:
        """The newest round's mean square; where no step was valid, what it was."""
        weight = valid.astype(error.dtype)
        error = jnp.where(valid[:, None], error, 0.0)
        count = weight.sum()
        found = matmul(error.T, error) / jnp.maximum(count, 1.0)
        return jnp.where(count > 0, found, covariance)


def square_root(covariance: Covariance) -> Covariance:
    """The symmetric S with S S = Σ, for any Σ ≥ 0, singular ones too."""
    values, vectors = jnp.linalg.eigh(covariance)
    return matmul(vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :], vectors.T)
