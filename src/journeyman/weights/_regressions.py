"""Baselines that are functions of the observation, fitted by least squares."""

from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError, Number, holds, matmul, not_whole, refuse
from journeyman.policies import MLP, DensityPolicy, Encoder, FixedGaussian, Normalizer, Scale, renormalized, rescaled
from journeyman.weights._baselines import AbstractBaseline, Regress
from journeyman.weights._pieces import observation_times


class LinearFit(eqx.Module):
    """What a `LinearBaseline` knows: b = location + scale · (features − mean)/deviation · coefficient, inside the
    range of the returns it was fitted to."""

    encoder: Encoder
    normalizer: Normalizer
    mean: Float[Array, " features"]
    deviation: Float[Array, " features"]
    coefficient: Float[Array, " features"]
    location: Float[Array, ""]
    scale: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]


class LinearBaseline(AbstractBaseline):
    """b = c · [o, o², t/100, (t/100)², (t/100)³, 1], by ridge regression on the batch before this one.

        c = argmin_c Σ_i (c · φ_i − G_i)² + ridge · n ‖c‖²,   φ and G standardised, the constant not penalised

    o is the observation, standardised by running statistics and clipped to ±10 deviations; t is the step number inside
    the episode. G is the discounted reward-to-go (Monte Carlo), followed by b only where an episode was cut. The
    minimum is found by a QR decomposition of the data, never of its squares, so single precision suffices. b is clipped
    to the range of the returns it was fitted to: a cubic in time is worth little outside of its data.

    Source: Duan et al. 2016, section 4 (features [o, o², t/100, (t/100)², (t/100)³, 1]). Deviations: 1. The observation
    is standardised before it is clipped; there it is clipped raw. (mjrl: clipped to ±10 and divided by 10, powers of
    t/1000 up to the fourth.) 2. `ridge` is relative to the number of steps n and to standardised columns, so it has no
    unit and no retry with larger values is needed. 3. b is clipped to the range of the returns.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"value baseline"})
    because: ClassVar[str] = (
        "Least squares bends towards each return that it was fitted to: a share features/n is lost."
    )
    citation: ClassVar[str] = """@inproceedings{duan2016benchmarking,
  title={Benchmarking deep reinforcement learning for continuous control},
  author={Duan, Yan and Chen, Xi and Houthooft, Rein and Schulman, John and Abbeel, Pieter},
  booktitle={International Conference on Machine Learning}, pages={1329--1338}, year={2016}}"""

    ridge: Number = 1e-5

    def __check_init__(self) -> None:
        if not holds(self.ridge > 0):
            raise JourneymanError(
                f"The ridge of a linear baseline is positive, not {self.ridge}: without one a column that never moves"
                " has no coefficient; 1e-5 is usual."
            )

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """A function that says 0."""
        size = 2 * encoder.size + 3
        zero, one = jnp.zeros(()), jnp.ones(())
        zeros, ones = jnp.zeros(size), jnp.ones(size)
        return LinearFit(encoder, Normalizer.fresh(encoder.size), zeros, ones, zeros, zero, one, zero, zero)

    def value(self, state: PyTree, episodes: Episodes, returns: Array) -> Array:
        """c · φ at every observation."""
        features = _features(state.encoder, state.normalizer, episodes)
        mean, deviation = (jnp.broadcast_to(x, features.shape) for x in (state.mean, state.deviation))
        fitted = state.location + state.scale * matmul((features - mean) / deviation, state.coefficient)
        return jnp.clip(fitted, state.low, state.high)

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """The ridge regression; a batch without a valid step changes nothing."""
        valid = jnp.asarray(episodes.valid, target.dtype).reshape(-1)
        seen = state.encoder(episodes.now)
        normalizer = state.normalizer.merge(seen.reshape(-1, seen.shape[-1]), valid)
        features = _features(state.encoder, normalizer, episodes)[..., :-1, :]
        features, target = features.reshape(-1, features.shape[-1]), target.reshape(-1)
        columns = Normalizer.fresh(features.shape[-1]).merge(features, valid)
        scale = Normalizer.fresh(1).merge(target[:, None], valid)
        # Whatever padding holds, its rows are zeros.
        rows = jnp.where(valid[:, None] > 0, columns(features), 0.0)
        goal = jnp.where(valid[:, None] > 0, scale(target[:, None]), 0.0)
        count = valid.sum()
        coefficient = _ridge(rows, goal, jnp.asarray(self.ridge * jnp.maximum(count, 1)))
        new = LinearFit(
            state.encoder,
            normalizer,
            columns.mean,
            columns.scale,
            coefficient,
            scale.mean[0],
            scale.scale[0],
            jnp.where(valid > 0, target, jnp.inf).min(),
            jnp.where(valid > 0, target, -jnp.inf).max(),
        )
        return jax.tree.map(lambda after, before: jnp.where(count > 0, after, before), new, state)

    def regresses_on(self) -> Literal["bootstrapped", "monte carlo"]:
        """Monte Carlo."""
        return "monte carlo"


def _features(encoder: Encoder, normalizer: Normalizer, episodes: Episodes) -> Array:
    """[o, o², t/100, (t/100)², (t/100)³] at every observation."""
    seen = jnp.clip(normalizer(encoder(episodes.observation)), -10.0, 10.0)
    time = (observation_times(episodes).astype(seen.dtype) / 100)[..., None]
    return jnp.concatenate([seen, jnp.square(seen), time, time**2, time**3], axis=-1)


def _ridge(rows: Array, goal: Array, penalty: Array) -> Array:
    """argmin_c ‖rows c − goal‖² + penalty ‖c‖², from R of the QR decomposition of [[rows, goal], [√penalty I, 0]]."""
    size = rows.shape[1]
    below = jnp.concatenate([jnp.sqrt(penalty) * jnp.eye(size, dtype=rows.dtype), jnp.zeros((size, 1), rows.dtype)], 1)
    upper = jnp.linalg.qr(jnp.concatenate([jnp.concatenate([rows, goal], 1), below]), mode="r")
    return jax.scipy.linalg.solve_triangular(upper[:size, :size], upper[:size, size])


class NetworkFit(eqx.Module):
    """What a `NetworkBaseline` knows: V, and the statistics of the targets, which its head's scale is made from."""

    network: DensityPolicy
    targets: Normalizer


class NetworkBaseline(AbstractBaseline):
    """b = V(observation), an MLP fitted by least squares after each policy step.

    `target` is what V regresses on: "bootstrapped" on V + A with the weight's λ, V as it was while weighing (TD(λ));
    "monte carlo" on the discounted reward-to-go, followed by V only where an episode was cut. With λ = 1
    they are the same.

    V is a `DensityPolicy` with a `FixedGaussian` head: the regression is the library's one weighted likelihood. Inputs
    and targets are standardised by running statistics that never change the function (PopArt), so `learning_rate` is
    that of targets with deviation 1: where returns deviate by 50, a step of 1e-3 moves V about as 0.05 would without.

    Deviations from Stable-Baselines3 and CleanRL: 1. Targets are standardised. 2. Each fit has an Adam of its
    own, whose moments begin at 0; there they outlive the batch.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"value baseline"})
    because: ClassVar[str] = "A regression bends towards each return that it was fitted to."

    hidden: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    epochs: int = eqx.field(static=True, default=2)
    batch_size: int = eqx.field(static=True, default=128)
    learning_rate: Number = 2e-3
    target: Literal["bootstrapped", "monte carlo"] = eqx.field(static=True, default="bootstrapped")

    def __check_init__(self) -> None:
        found = []
        for name, numbers in (("hidden", self.hidden), ("epochs", [self.epochs]), ("batch_size", [self.batch_size])):
            for number in numbers:
                found += not_whole(f"`{name}` of a network baseline", number, least=1)
        if not holds(self.learning_rate > 0):
            found.append(f"A network baseline's learning rate is positive, not {self.learning_rate}; 2e-3 is usual.")
        if self.target not in ("bootstrapped", "monte carlo"):
            found.append(
                f"A network baseline regresses on 'bootstrapped' or 'monte carlo' returns, not on '{self.target}';"
                " choose one."
            )
        refuse(found)

    def init(self, encoder: Encoder, key: Array) -> PyTree:
        """A network that says 0 everywhere, nearly."""
        head = FixedGaussian(Scale(jnp.zeros(1), jnp.ones(1)))
        network = MLP.make([encoder.size, *self.hidden, 1], key, last=0.01)
        return NetworkFit(DensityPolicy(encoder, Normalizer.fresh(encoder.size), network, head), Normalizer.fresh(1))

    def value(self, state: PyTree, episodes: Episodes, returns: Array) -> Array:
        """V(observation)."""
        return state.network.mode(episodes.observation)[..., 0]

    def fit(self, state: PyTree, episodes: Episodes, target: Array, key: Array, regress: Regress) -> PyTree:
        """Standardise anew without changing V, then `epochs` passes of regression."""
        valid = jnp.asarray(episodes.valid).reshape(-1)
        network, targets = state.network, state.targets.merge(target.reshape(-1, 1), valid)
        features = network.encoder(episodes.now)
        features = features.reshape(-1, features.shape[-1])
        network = renormalized(network, network.normalizer.merge(features, valid))
        network = rescaled(network, Scale(targets.mean, targets.scale))
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[episodes.valid.ndim :]), episodes.now)
        options = {"epochs": self.epochs, "batch_size": self.batch_size, "learning_rate": self.learning_rate}
        return NetworkFit(regress(network, flat, target.reshape(-1, 1), valid, key, **options), targets)

    def regresses_on(self) -> Literal["bootstrapped", "monte carlo"]:
        """`target`."""
        return self.target
