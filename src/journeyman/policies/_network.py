"""Networks from a feature vector to a head's raw numbers."""

import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from journeyman.parts import AbstractPart, JourneymanError, did_you_mean

_ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "gelu": jax.nn.gelu, "silu": jax.nn.silu}


class MLP(AbstractPart):
    """A multilayer perceptron: h ← φ(h W + b), the last layer linear.

    Hidden weights are orthogonal with gain √2, the last layer's orthogonal with gain `last` (Andrychowicz et al. 2021,
    section 3.2: a small last layer starts the policy near its location whatever the observation).
    """

    weights: tuple[Float[Array, "_inputs _outputs"], ...]
    biases: tuple[Float[Array, " _outputs"], ...]
    activation: str = eqx.field(static=True, default="tanh")

    def __check_init__(self) -> None:
        if self.activation not in _ACTIVATIONS:
            raise JourneymanError(
                f"No activation is called '{self.activation}'.{did_you_mean(self.activation, _ACTIVATIONS)}"
                f" Choose one of {', '.join(_ACTIVATIONS)}."
            )

    @classmethod
    def make(cls, sizes: Sequence[int], key: Array, *, last: float = 0.01, activation: str = "tanh") -> "MLP":
        """Layers of the given `sizes`, inputs first; `sizes` of two numbers is a linear map."""
        if len(sizes) < 2 or min(sizes) < 1:
            raise JourneymanError(
                f"A network needs at least two positive sizes, not {tuple(sizes)}; give inputs first."
            )
        shapes = list(itertools.pairwise(sizes))
        gains = [2**0.5] * (len(shapes) - 1) + [last]
        dtype = jnp.result_type(float)

        def draw(seed: Array | np.ndarray) -> tuple[np.ndarray, ...]:
            source = np.random.default_rng(np.asarray(seed))
            drawn = (gain * _orthogonal(source, *shape) for gain, shape in zip(gains, shapes, strict=True))
            return tuple(weight.astype(dtype) for weight in drawn)

        # By numpy: as JAX programs, a normal and a QR of each shape would take three seconds to compile.
        seed = jax.random.key_data(key)
        if isinstance(seed, Tracer):
            wanted = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)
            weights = jax.pure_callback(draw, wanted, seed, vmap_method="sequential")
        else:
            weights = tuple(jnp.asarray(weight) for weight in draw(seed))
        return cls(weights, tuple(jnp.zeros(b) for b in sizes[1:]), activation)

    def __call__(self, features: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """The raw outputs, for any leading axes."""
        *hidden, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            features = _ACTIVATIONS[self.activation](_affine(features, weight, bias))
        return _affine(features, *last)


def _orthogonal(draw: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A uniformly distributed matrix with orthonormal columns, or rows where there are fewer of them."""
    tall = draw.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # QR leaves the signs open; with them fixed the distribution is uniform
    return q if rows >= columns else q.T


def _affine(x: Array, weight: Array, bias: Array) -> Array:
    y = x @ weight
    return y + jnp.broadcast_to(bias, y.shape)
