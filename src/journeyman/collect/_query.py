"""Which of the visited states are labels: asking costs somebody's time."""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from journeyman.episodes import Episodes
from journeyman.parts import AbstractPart, JourneymanError
from journeyman.policies import DensityPolicy, Scale
from journeyman.worlds import AbstractFinite, AbstractSpace, Box

Wanted = Float[Array, "*batch time"]


class Seats(NamedTuple):
    """How many `members` a committee has, and how often they pass over the demonstrations before round 0 (`first`)."""

    members: int
    first: int


class AbstractQuery(AbstractPart):
    """Says of each step of a round how much its label is wanted: what is asked for is learned from, and nothing else.

    A query may want a `committee`: policies beside the learner's, fitted to the same data. Most want none.
    """

    def seats(self) -> Seats:
        """The committee that it wants; here none."""
        return Seats(0, 0)

    @abc.abstractmethod
    def __call__(self, episodes: Episodes, policy: DensityPolicy, committee: PyTree, space: AbstractSpace) -> Wanted:
        """Greater where the label is wanted more, −inf where it is not asked for.

        What it says of invalid steps does not count. `policy` has not yet learned from `episodes`, nor has the
        `committee`, whose arrays lead with the members (`()` where there is none); `space` holds the world's actions.
        """


class Everywhere(AbstractQuery):
    """Every step."""

    def __call__(self, episodes: Episodes, policy: DensityPolicy, committee: PyTree, space: AbstractSpace) -> Wanted:
        """All alike."""
        return jnp.zeros(episodes.valid.shape)


class Evenly(AbstractQuery):
    """Every `every`th step of an episode, its first among them: neighbouring states are nearly the same."""

    every: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.every < 1:
            raise JourneymanError(f"Labels are asked for at every 1st or later step, not at every {self.every}th.")

    def __call__(self, episodes: Episodes, policy: DensityPolicy, committee: PyTree, space: AbstractSpace) -> Wanted:
        """Where `elapsed` is a multiple."""
        return jnp.where(jnp.asarray(episodes.elapsed) % self.every == 0, 0.0, -jnp.inf)


class AbstractDoubt(AbstractQuery):
    """Asks where the learner is in doubt: at the most doubtful `share` of a round's states, where doubt is `above`.

    The share is of the round's valid steps, to the nearest whole number; among equals the earlier steps come first.
    `above` = `None` sets no threshold; `share` = 1 leaves the threshold alone to decide, and without one recovers
    `Everywhere`.
    """

    share: eqx.AbstractVar[float]
    above: eqx.AbstractVar[float | None]

    def __check_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise JourneymanError(
                f"{type(self).__name__} asks at a share of the states in (0, 1], not at {self.share}; 0.1 is usual."
            )

    @abc.abstractmethod
    def doubt(self, observation: PyTree, policy: DensityPolicy, committee: PyTree, space: AbstractSpace) -> Wanted:
        """How doubtful each state is."""

    def __call__(self, episodes: Episodes, policy: DensityPolicy, committee: PyTree, space: AbstractSpace) -> Wanted:
        """The doubt, where it is among the greatest."""
        valid = jnp.asarray(episodes.valid)
        doubt = self.doubt(jax.tree.map(jnp.asarray, episodes.now), policy, committee, space)
        least = -jnp.inf if self.above is None else self.above
        doubt = jnp.where(valid & (doubt > least), doubt, -jnp.inf)
        some = jnp.round(self.share * valid.sum().astype(doubt.dtype)).astype(jnp.int32)
        return jnp.where(foremost(doubt, some), doubt, -jnp.inf)


class Uncertain(AbstractDoubt):
    """Asks where the policy's own distribution over actions is widest: doubt is its entropy, in nats.

        H(π(· | o)) = −E [log π(a | o)]

    A policy whose spread is the same everywhere has no such states, and is refused. What it does not know it has not
    seen, a policy may be sure of all the same: `Disagree` asks several. (Uncertainty sampling, Lewis and Gale 1994.)
    """

    needs: ClassVar[frozenset[str]] = frozenset({"state-dependent spread"})
    citation: ClassVar[str] = """@inproceedings{lewis1994sequential,
  title={A sequential algorithm for training text classifiers}, author={Lewis, David D. and Gale, William A.},
  booktitle={ACM SIGIR Conference on Research and Development in Information Retrieval}, pages={3--12}, year={1994}}"""

    share: float = eqx.field(static=True, default=0.1)
    above: float | None = eqx.field(static=True, default=None)

    def doubt(self, observation: PyTree, policy: DensityPolicy, committee: PyTree, space: AbstractSpace) -> Wanted:
        """The entropy; where the head knows only a bound, the bound."""
        return policy.entropy(observation)


class Disagree(AbstractDoubt):
    """Asks where policies fitted to the same data from other beginnings would act differently.

        doubt = √( (1/K) Σ_k ‖v_k − v̄‖² ),   v_k the action of member k, v̄ their mean

    v is the likeliest action in half widths of the box (in its own unit where it has no bounds); of a choice among
    finitely many, one number for each value, 1 for the chosen. K is `members`. Each has weights drawn by itself and
    sees each label as often as a bootstrap would, a Poisson(1) number of times, and is fitted as the learner is:
    `first` passes over the demonstrations before round 0, then in every round as many over all data as the learner
    makes.

    (Menda, Driggs-Campbell and Kochenderfer 2019.) Deviations: 1. There doubt also decides who acts, so that nothing
    breaks; here β does. 2. Doubt is the deviation of the whole action, there the variance. 3. The states of a round are
    compared with each other; a threshold is `above`. SafeDAgger (Zhang and Cho 2017) learns where the learner leaves
    the expert from labels given beforehand; here none are needed for it.
    """

    citation: ClassVar[str] = """@inproceedings{menda2019ensembledagger,
  title={{EnsembleDAgger}: A {Bayesian} approach to safe imitation learning},
  author={Menda, Kunal and Driggs-Campbell, Katherine and Kochenderfer, Mykel J.},
  booktitle={IEEE/RSJ International Conference on Intelligent Robots and Systems}, year={2019}}"""

    share: float = eqx.field(static=True, default=0.1)
    above: float | None = eqx.field(static=True, default=None)
    members: int = eqx.field(static=True, default=4)
    first: int = eqx.field(static=True, default=100)

    def __check_init__(self) -> None:
        if self.members < 2 or self.first < 1:
            raise JourneymanError(
                f"A committee has 2 or more members, who pass over the demonstrations at least once, not {self.members}"
                f" with {self.first} passes; 4 and 100 are usual."
            )

    def seats(self) -> Seats:
        """`members`, after `first` passes."""
        return Seats(self.members, self.first)

    def doubt(self, observation: PyTree, policy: DensityPolicy, committee: PyTree, space: AbstractSpace) -> Wanted:
        """The deviation of the members' actions from their mean."""
        vote = lambda member: _vector(member.mode(observation), space)  # noqa: E731
        votes = eqx.filter_vmap(vote, in_axes=(eqx.if_array(0),))(committee)
        return jnp.sqrt(jnp.square(votes - votes.mean(0, keepdims=True)).sum(-1).mean(0))


def _vector(action: Array, space: AbstractSpace) -> Array:
    """Actions `(*batch, *space.shape)` as `(*batch, numbers)` that can be subtracted from each other."""
    batch = action.shape[: action.ndim - len(space.shape)]
    if isinstance(space, AbstractFinite):
        chosen = jax.nn.one_hot(action, int(space.counts.max()))
        return chosen.reshape(*batch, -1)
    assert isinstance(space, Box)
    flat = action.reshape(*batch, -1)
    return flat / jnp.broadcast_to(Scale.of(space).scale.astype(flat.dtype), flat.shape)


def foremost(wanted: Wanted, count: Any) -> Bool[Array, "*batch time"]:
    """The `count` greatest of `wanted` that are above −inf, or all where there are fewer; among equals the earlier."""
    by_time = jnp.moveaxis(wanted, -1, 0)
    flat = by_time.reshape(-1)
    order = jnp.argsort(-flat, stable=True)
    place = jnp.zeros(len(flat), jnp.int32).at[order].set(jnp.arange(len(flat), dtype=jnp.int32))
    chosen = (place < count) & (flat > -jnp.inf)
    return jnp.moveaxis(chosen.reshape(by_time.shape), 0, -1)
