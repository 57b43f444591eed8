"""A model of what a step does, fitted to demonstrations: an ensemble of residual networks that know what they miss."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from journeyman.corrections import AbstractPureDynamics, Candidates, Doubt, Scales, Transitions, in_chunks
from journeyman.episodes import EXPERT, Episodes
from journeyman.geometry import Euclidean
from journeyman.objectives import AbstractObjective, JacobianPenalty
from journeyman.parts import LAST_SEED, beyond_the_last, not_whole, refuse
from journeyman.policies import (
    MLP,
    DensityPolicy,
    Encoder,
    FixedGaussian,
    Normalizer,
    Scale,
    SpectralMLP,
    spectral_norms,
)
from journeyman.training import Adam, Learner, fit
from journeyman.weights import Uniform
from journeyman.worlds import Box

_STEPS = 2500
_POINTS = (0.0, 0.5, 1.0)
_RUNS = 5


class LearnedDynamics(AbstractPureDynamics):
    """s′ = s + f(s, a), f the mean over networks that have each seen another part of the data.

    `members` is one network whose arrays lead with the ensemble. Every demonstrated step was left out by exactly one of
    them: `missed` `(steps, state)` is what that one got wrong, in the state's units, `held_out` `(state,)` its root
    mean square, and `miss` the `quantile` of its length in deviations `(state,)` of the data. `explained` `(state,)` is
    the share of the residual's variance that is predicted on steps left out: 1 is all, 0 or less is no better than the
    mean.

    What it may get wrong at a label (`doubt`): near the demonstrated step the largest of that quantile, of what it gets
    wrong at that very step and of how far the members disagree at the label, all in deviations of the data that labels
    are made from, which need not be what it was fitted to; and away from it 2 L for each deviation, with L
    the largest spectral norm of ∂f/∂s, and of ∂f/∂a, over the members and over three points from the demonstrated step
    to the label, in deviations of the data: both the truth and the model may change by L.
    """

    citation: ClassVar[str] = """@inproceedings{ke2024ccil,
  title={{CCIL}: Continuity-based data augmentation for corrective imitation learning},
  author={Ke, Liyiming and Zhang, Yunchu and Deshpande, Abhay and Srinivasa, Siddhartha and Gupta, Abhishek},
  booktitle={International Conference on Learning Representations}, year={2024}}"""

    members: DensityPolicy
    state_size: int = eqx.field(static=True)
    action_size: int = eqx.field(static=True)
    missed: np.ndarray
    deviations: np.ndarray
    quantile: float = eqx.field(static=True)
    explained: np.ndarray

    @property
    def held_out(self) -> np.ndarray:
        """See the class."""
        return np.sqrt(np.square(self.missed).mean(0))

    @property
    def miss(self) -> float:
        """See the class."""
        return self._missed_in(self.deviations)

    def _missed_in(self, deviations: np.ndarray) -> float:
        return float(np.quantile(np.linalg.norm(self.missed / deviations, axis=1), self.quantile))

    @property
    def sizes(self) -> tuple[int, int]:
        """Those of the data it was fitted to."""
        return self.state_size, self.action_size

    def residuals(
        self, state: Float[Array, " _state"], action: Float[Array, " _action"]
    ) -> Float[Array, "_members _state"]:
        """Each member's f."""
        both = jnp.concatenate([state, action])
        return eqx.filter_vmap(lambda member: member.mode(both))(self.members)

    def move(self, state: Float[Array, " _state"], action: Float[Array, " _action"]) -> Float[Array, " _state"]:
        """s + the mean of f over the members."""
        return state + self.residuals(state, action).mean(0)

    def doubt(self, data: Transitions, labels: Candidates, scales: Scales) -> Doubt:
        """See the class."""
        here, there = data.take(labels.anchor), (labels.state, labels.action)
        missed = self.step(data.state, data.action) - data.following
        own = np.linalg.norm(missed / scales.state, axis=1)[labels.anchor]
        spread = in_chunks(_spread, (self, scales), *there)
        slopes = [
            in_chunks(_slopes, (self, scales), *(a + share * (b - a) for a, b in zip(here[:2], there, strict=True)))
            for share in _POINTS
        ]
        steepest = np.max(np.asarray(slopes), axis=0)
        error = np.maximum(np.maximum(own, spread), self._missed_in(scales.state))
        return Doubt(error, 2 * steepest[0], 2 * steepest[1])


@eqx.filter_jit
def _spread(known: tuple[LearnedDynamics, Scales], state: Array, action: Array) -> Array:
    """The greatest distance of a member from the mean, in deviations."""
    model, scales = known
    found = jax.vmap(model.residuals)(state, action) / jnp.asarray(scales.state, state.dtype)[None, None, :]
    return jnp.linalg.norm(found - found.mean(1, keepdims=True), axis=-1).max(1)


@eqx.filter_jit
def _slopes(known: tuple[LearnedDynamics, Scales], state: Array, action: Array) -> tuple[Array, Array]:
    """The largest ‖∂f/∂s‖ and ‖∂f/∂a‖ over the members, in deviations."""
    model, scales = known
    by = [jnp.asarray(scale, state.dtype) for scale in scales]
    both = jax.vmap(jax.jacfwd(model.residuals, (0, 1)))(state, action)

    def steepest(slope: Array, of: Array) -> Array:
        return spectral_norms(slope * of[None, None, None, :] / by[0][None, None, :, None]).max(1)

    return steepest(both[0], by[0]), steepest(both[1], by[1])


def fit_dynamics(
    episodes: Episodes,
    *,
    members: int = 4,
    hidden: Sequence[int] = (64, 64),
    objective: AbstractObjective = JacobianPenalty(),
    spectral_limit: float | None = None,
    epochs: int | None = None,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-5,
    quantile: float = 0.9,
    seed: int = 0,
) -> LearnedDynamics:
    """Fit s′ = s + f(s, a) to the valid steps of `episodes`: `members` networks by `fit`, each without its own part.

        f_k = argmax_f E_{D without part k} [log N(s′ − s | f(s, a), σ²)],   k = 1 … members

    The likelihood's deviation is fixed at that of the residuals, so this is least squares in their own scale; inputs
    are standardised. Parts are whole episodes where there are enough, else five runs of steps each. So every step is
    held out once, from the member that says what it is worth. `objective` prices steepness (`WeightedLogLikelihood()`
    does not), `spectral_limit` forbids it (`SpectralMLP`), both in standardised inputs and outputs. `epochs` = `None`
    makes about 2500 steps whatever the data. With fewer transitions than `batch_size` the batch is all of them.

    Raises `JourneymanError` for observations or actions that are not one real vector, and for fewer than two steps a
    member.

    Composition: `Uniform` × `objective` × `Euclidean` × `Adam`.

    Source: Ke et al., CCIL (2024). Deviations from their code: 1. Deviations, not mean absolute
    ones, scale inputs and outputs; a column that never moves is divided by 1, not masked. 2. An ensemble of 64 × 64
    tanh networks in place of one of 512 × 512 ReLU. 3. No batch is dropped, so data smaller than a batch is learned
    from. 4. Where members see different numbers of steps, some repeat a few: one program serves all.
    """
    refuse(
        [f"The quantile of what is missed lies between 0 and 1, not at {quantile}; 0.9 is usual."]
        * (not 0 < quantile < 1)
        + [f"A batch holds at least one transition, not {batch_size}; 256 is usual."] * (batch_size < 1)
        + not_whole("`seed`", seed, most=LAST_SEED)
        + beyond_the_last(seed, members)
    )
    inputs, residual, owner = _regression(episodes, members)
    size, width = residual.shape[1], inputs.shape[1]
    steps = math.ceil(len(inputs) * (members - 1) / members / batch_size)
    learner = Learner(
        weight=Uniform(),
        objective=objective,
        geometry=Euclidean(),
        step=Adam(learning_rate, weight_decay=weight_decay),
        epochs=math.ceil(_STEPS / steps) if epochs is None else epochs,
        batch_size=batch_size,
    )
    fitted, missed = [], np.zeros(residual.shape)
    for member, key in enumerate(jax.random.split(jax.random.key(seed), members)):
        out = owner == member
        fresh = _fresh(residual[~out], [width, *hidden, size], spectral_limit, key)
        policy = _fitted(learner, fresh, inputs, residual, owner, member, seed=seed)
        missed[out] = np.asarray(policy.mode(jnp.asarray(inputs[out])), np.float64) - residual[out]
        fitted.append(policy)
    return _ensemble(fitted, missed, inputs, residual, quantile)


def _ensemble(
    fitted: list[DensityPolicy], missed: np.ndarray, inputs: np.ndarray, residual: np.ndarray, quantile: float
) -> LearnedDynamics:
    """The members as one, with what each got wrong where it was left out."""
    size = residual.shape[1]
    scale = Transitions(inputs[:, :size], inputs[:, size:], inputs[:, :size], np.zeros(len(inputs))).scales.state
    variance = np.maximum(residual.var(0), np.finfo(np.float32).tiny)
    return LearnedDynamics(
        members=jax.tree.map(lambda *leaves: jnp.stack(leaves), *fitted),
        state_size=size,
        action_size=inputs.shape[1] - size,
        missed=missed,
        deviations=np.asarray(scale),
        quantile=quantile,
        explained=1 - np.square(missed).mean(0) / variance,
    )


def _fitted(
    learner: Learner,
    fresh: DensityPolicy,
    inputs: np.ndarray,
    residual: np.ndarray,
    owner: np.ndarray,
    member: int,
    *,
    seed: int,
) -> DensityPolicy:
    """One member, fitted to what it does not leave out; a few steps twice, for one size for all is one program."""
    seen = np.resize(np.flatnonzero(owner != member), len(inputs) - int(np.bincount(owner).min()))
    data = _single_steps(inputs[seen], residual[seen])
    every = learner.epochs
    return fit(learner, fresh, data, seed=seed + member, log_every=every, checkpoint_every=every).policy


def _fresh(residual: np.ndarray, sizes: list[int], limit: float | None, key: Array) -> DensityPolicy:
    """A network that says nearly the mean residual everywhere."""
    seen = Normalizer.fresh(residual.shape[1]).merge(jnp.asarray(residual), jnp.ones(len(residual), bool))
    network = MLP.make(sizes, key)
    encoder = Encoder.of(Box.unbounded(sizes[0]))
    held = network if limit is None else SpectralMLP.of(network, limit)
    return DensityPolicy(encoder, Normalizer.fresh(sizes[0]), held, FixedGaussian(Scale(seen.mean, seen.scale)))


def _regression(episodes: Episodes, members: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(s, a), s′ − s and the member that leaves each out, for every valid step, episode after episode."""
    axes, found = episodes.valid.ndim, []
    for name in ("observation", "action"):
        leaves = jax.tree.leaves(getattr(episodes, name))
        if len(leaves) != 1 or leaves[0].ndim != axes + 1 or leaves[0].dtype.kind != "f":
            shapes = ", ".join(f"{leaf.dtype} {leaf.shape[axes:]}" for leaf in leaves)
            found.append(f"A model of the dynamics reads one real vector as {name}, not {shapes}; give it one.")
    if members < 2:
        found.append(f"An ensemble has two or more members, not {members}: each is judged on what it has not seen.")
    if episodes.num_steps < 2 * members:
        found.append(
            f"There are {episodes.num_steps} valid steps, and {members} members need {2 * members} at least, so that"
            " each learns from some and is judged on others; record more, or fit fewer members."
        )
    refuse(found)
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    lengths = []
    for episode in episodes.unpack():
        valid = np.asarray(episode.valid)
        now, after = (np.asarray(leaf)[valid].astype(np.float32) for leaf in (episode.now, episode.next))
        rows.append((np.concatenate([now, np.asarray(episode.action)[valid].astype(np.float32)], 1), after - now))
        lengths.append(len(now))
    inputs, residual = (np.concatenate(column) for column in zip(*rows, strict=True))
    return inputs, residual, _parts(lengths, members)


def _parts(lengths: list[int], members: int) -> np.ndarray:
    """Which member leaves each step out: whole episodes in turn where all get one, else equal runs of steps in turn.

    Up to five runs a member, from all over the data: a member that had never seen how an episode begins would be judged
    on what no member of the ensemble is asked.
    """
    if len(lengths) >= members:
        return np.repeat(np.arange(len(lengths)) % members, lengths)
    count = sum(lengths)
    runs = members * min(_RUNS, count // members)
    return np.arange(count) * runs // count % members


def _single_steps(inputs: np.ndarray, residual: np.ndarray) -> Episodes:
    """Each (s, a) as an observation of its own, with the residual as what to say of it."""
    shape = (len(inputs), 1)
    flags: dict[str, Any] = {name: np.zeros(shape, bool) for name in ("terminated", "truncated")}
    return Episodes(
        observation=np.repeat(inputs[:, None], 2, axis=1),
        action=residual[:, None],
        target=residual[:, None],
        reward=np.zeros(shape, np.float32),
        log_prob=np.full(shape, np.nan, np.float32),
        valid=np.ones(shape, bool),
        elapsed=np.zeros(shape, np.int32),
        source=np.full(shape, EXPERT, np.int8),
        **flags,
    )
