"""Networks from a feature vector to a head's raw numbers."""

import abc
import functools
import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from journeyman.parts import AbstractPart, JourneymanError, did_you_mean, matmul

_ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "gelu": jax.nn.gelu, "silu": jax.nn.silu}


class AbstractNetwork(AbstractPart):
    """A function from features, and the step number where it is known, to raw numbers."""

    @abc.abstractmethod
    def __call__(
        self, features: Float[Array, "*batch inputs"], time: Array | None = None
    ) -> Float[Array, "*batch outputs"]:
        """The raw outputs, for any leading axes; `time` `(*batch,)` is the step number inside the episode."""

    @abc.abstractmethod
    def redrawn(self, key: Array) -> "AbstractNetwork":
        """A network of the same form with fresh weights."""

    @abc.abstractmethod
    def fed(self, ratio: Float[Array, " inputs"], shift: Float[Array, " inputs"]) -> "AbstractNetwork":
        """The network that answers x as this one answers ratio · x + shift."""

    @abc.abstractmethod
    def read(self, ratio: Float[Array, " outputs"], shift: Float[Array, " outputs"]) -> "AbstractNetwork":
        """The network that answers ratio · y + shift where this one answers y."""


class MLP(AbstractNetwork):
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

        # By numpy: as JAX programs, a normal and a QR of each shape would take three seconds to compile. `jnp.asarray`
        # would be a program for each shape too.
        seed = jax.random.key_data(key)
        if isinstance(seed, Tracer):
            wanted = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)
            weights = jax.pure_callback(draw, wanted, seed, vmap_method="sequential")
        else:
            weights = jax.device_put(draw(seed))
        return cls(weights, jax.device_put(tuple(np.zeros(b, dtype) for b in sizes[1:])), activation)

    def __call__(
        self, features: Float[Array, "*batch inputs"], time: Array | None = None
    ) -> Float[Array, "*batch outputs"]:
        """The raw outputs; the time counts only as the feature it is."""
        if features.ndim == 1:  # a single sample is neither first nor last
            return _through(self.activation, self.weights, self.biases, features)
        rows = features.reshape(-1, features.shape[-1])
        found = _answered(self.activation, self.weights, self.biases, rows)
        return found.reshape(*features.shape[:-1], found.shape[-1])

    def redrawn(self, key: Array) -> "MLP":
        """Drawn as by `make`."""
        sizes = [weight.shape[0] for weight in self.weights] + [self.weights[-1].shape[1]]
        return MLP.make(sizes, key, activation=self.activation)

    def fed(self, ratio: Float[Array, " inputs"], shift: Float[Array, " inputs"]) -> "MLP":
        """W₁' = ratio W₁, b₁' = b₁ + shift W₁."""
        weight, *weights = self.weights
        bias, *biases = self.biases
        return MLP((weight * ratio[:, None], *weights), (bias + matmul(shift, weight), *biases), self.activation)

    def read(self, ratio: Float[Array, " outputs"], shift: Float[Array, " outputs"]) -> "MLP":
        """W' = W ratio, b' = b ratio + shift in the last layer."""
        (*weights, weight), (*biases, bias) = self.weights, self.biases
        return MLP((*weights, weight * ratio[None, :]), (*biases, bias * ratio + shift), self.activation)


class PerStep(AbstractNetwork):
    """π_θ^t: a network of its own for each step of an episode, y = (f_t(x), c_t) with t the step number.

    Every leaf of `networks` leads with the steps `(steps, …)`. `constants` `(steps, k)` are outputs that depend on the
    step alone: a head's deviation, where it does not depend on the state. The feature `time_column` is left out, for
    at one step it never changes. An observation after the last step (nobody acts on it) gets the last network.

    The Fisher matrix is block-diagonal over steps. Each sample gathers the parameters of its step, so memory grows
    with samples × parameters of one step: for small networks.
    """

    networks: MLP
    constants: Float[Array, "_steps _constants"]
    time_column: int = eqx.field(static=True)

    @property
    def steps(self) -> int:
        """How many steps have parameters of their own."""
        return self.constants.shape[0]

    def __call__(
        self, features: Float[Array, "*batch inputs"], time: Array | None = None
    ) -> Float[Array, "*batch outputs"]:
        """The raw outputs of each sample's own network."""
        if time is None:
            raise JourneymanError(
                "A network for each step needs the step number, and the observation does not tell it; make the world"
                " with journeyman.worlds.timed or as 'timed:NAME'."
            )
        lead = features.shape[:-1]
        flat = self._without_time(features).reshape(-1, features.shape[-1] - 1)
        step = jnp.clip(time.reshape(-1), 0, self.steps - 1)
        mine, constants = jax.tree.map(lambda leaf: leaf[step], (self.networks, self.constants))
        outputs = jax.vmap(lambda network, x: network(x))(mine, flat)
        return jnp.concatenate([outputs, constants], axis=-1).reshape(*lead, -1)

    def redrawn(self, key: Array) -> "PerStep":
        """One fresh network, copied to every step; the constants stay."""
        fresh = jax.tree.map(lambda leaf: leaf[0], self.networks).redrawn(key)
        return PerStep(
            jax.tree.map(lambda leaf: jnp.repeat(leaf[None], self.steps, axis=0), fresh),
            self.constants,
            self.time_column,
        )

    def fed(self, ratio: Float[Array, " inputs"], shift: Float[Array, " inputs"]) -> "PerStep":
        """The same at every step."""
        ratio, shift = self._without_time(ratio), self._without_time(shift)
        networks = jax.vmap(lambda network: network.fed(ratio, shift))(self.networks)
        return PerStep(networks, self.constants, self.time_column)

    def read(self, ratio: Float[Array, " outputs"], shift: Float[Array, " outputs"]) -> "PerStep":
        """The same at every step."""
        count = ratio.shape[0] - self.constants.shape[1]
        networks = jax.vmap(lambda network: network.read(ratio[:count], shift[:count]))(self.networks)
        constants = self.constants * ratio[None, count:] + shift[None, count:]
        return PerStep(networks, constants, self.time_column)

    def _without_time(self, features: Array) -> Array:
        return jnp.delete(features, self.time_column, axis=-1, assume_unique_indices=True)


def _orthogonal(draw: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A uniformly distributed matrix with orthonormal columns, or rows where there are fewer of them."""
    tall = draw.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # QR leaves the signs open; with them fixed the distribution is uniform
    return q if rows >= columns else q.T


def _affine(x: Array, weight: Array, bias: Array) -> Array:
    y = matmul(x, weight)
    return y + jnp.broadcast_to(bias, y.shape)


def _through(activation: str, weights: tuple[Array, ...], biases: tuple[Array, ...], x: Array) -> Array:
    """h ← φ(h W + b), the last layer linear."""
    *hidden, last = zip(weights, biases, strict=True)
    for weight, bias in hidden:
        x = _ACTIVATIONS[activation](_affine(x, weight, bias))
    return _affine(x, *last)


def _samples_last(activation: str, weights: tuple[Array, ...], biases: tuple[Array, ...], rows: Array) -> Array:
    """`_through`, by hᵀ ← φ(Wᵀ hᵀ + b)."""
    x = jax.lax.optimization_barrier(rows.T)  # else XLA undoes it
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        x = jax.lax.dot_general(weight, x, (((0,), (0,)), ((), ())))
        x = x + jnp.broadcast_to(bias[:, None], x.shape)
        x = x if number == len(weights) else _ACTIVATIONS[activation](x)
    return x.T


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _answered(activation: str, weights: tuple[Array, ...], biases: tuple[Array, ...], rows: Array) -> Array:
    return _through(activation, weights, biases, rows)


def _differentiated(activation: str, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """The answer and its change, the samples last on a CPU.

    A weight's gradient sums over samples, hᵀ δ, and where these lead both factors XLA does not give the product to the
    fast library that it has for the others. With samples last a gradient of 512 samples through two layers of 64 takes
    four fifths of the time; the answer alone takes longer, so acting does without.
    """
    function = _samples_last if jax.default_backend() == "cpu" else _through
    leaves, form = jax.tree.flatten(primals)
    slopes = jax.tree.leaves(tangents, is_leaf=lambda leaf: isinstance(leaf, SymbolicZero))
    moving = [i for i, slope in enumerate(slopes) if not isinstance(slope, SymbolicZero)]

    def along(*moved: Array) -> Array:
        new = dict(zip(moving, moved, strict=True))
        return function(activation, *form.unflatten([new.get(i, leaf) for i, leaf in enumerate(leaves)]))

    return jax.jvp(along, tuple(leaves[i] for i in moving), tuple(slopes[i] for i in moving))


_answered.defjvp(_differentiated, symbolic_zeros=True)
