"""Planning as an expert: from the state that an observation determines, look ahead in the world itself."""

import abc
import functools
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from journeyman.experts._base import AbstractExpert
from journeyman.parts import JourneymanError, check
from journeyman.worlds import AbstractPureWorld, AbstractSpace, Box


class Planned(NamedTuple):
    """`actions` `(horizon, ...)`, and the plan's return before and after each iteration `(iterations + 1,)`."""

    actions: Array
    returns: Float[Array, " _iterations"]


class AbstractPlanner(AbstractExpert):
    """Labels an observation with the first action of a plan made from there (model-predictive control).

    Each label is planned afresh: a planner keeps nothing from one step to the next, so it can answer any observation,
    in any order, inside a compiled rollout. A plan looks `horizon` steps ahead and maximises Σ γᵗ r_t over them, with
    actions inside the world's box; what follows a termination counts 0, and the world's own time limit is ignored.

    Raises `JourneymanError` for a world that is no JAX program, whose actions are not real, or whose observation does
    not determine its state.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"settable state"})

    world: eqx.AbstractVar[AbstractPureWorld]
    horizon: eqx.AbstractVar[int]
    discount: eqx.AbstractVar[float]

    @abc.abstractmethod
    def plan(self, state: PyTree, key: Array) -> Planned:
        """The best actions found from one `state` of the world."""

    def __check_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(self.world, AbstractPureWorld):
            raise JourneymanError(
                f"{name} plans inside the world, and '{self.world.name}' is a host simulator that cannot be copied; use"
                " a pure world."
            )
        if not isinstance(self.world.action_space, Box):
            raise JourneymanError(
                f"{name} plans real actions, and '{self.world.name}' takes one of finitely many; use"
                " value_iteration for a finite world."
            )
        if self.horizon < 1 or not 0 < self.discount <= 1:
            raise JourneymanError(
                f"{name} looks at least one step ahead at a discount in (0, 1], not {self.horizon} steps at"
                f" {self.discount}."
            )
        check(self)

    def label(self, observation: PyTree, key: Array) -> Array:
        """The first action of a plan from each leading batch element."""
        space = jax.tree.leaves(self.world.observation_space, is_leaf=lambda s: isinstance(s, AbstractSpace))[0]
        first = jax.tree.leaves(observation)[0]
        lead = first.shape[: first.ndim - len(space.shape)]
        flat = jax.tree.map(lambda leaf: jnp.asarray(leaf).reshape(-1, *leaf.shape[len(lead) :]), observation)
        keys = jax.random.split(key, int(np.prod(lead)))
        actions = jax.vmap(lambda seen, k: self.plan(self.world.state_of(seen), k).actions[0])(flat, keys)
        return actions.reshape(*lead, *actions.shape[1:])


def bounds(world: AbstractPureWorld) -> tuple[Array, Array]:
    """The lowest and the highest action."""
    space = world.action_space
    return jnp.asarray(space.low, jnp.float32), jnp.asarray(space.high, jnp.float32)  # type: ignore[attr-defined]


def middle(world: AbstractPureWorld) -> Array:
    """The centre of the action box, 0 where it is unbounded: the plan before any planning."""
    low, high = bounds(world)
    return jnp.where(jnp.isfinite(low) & jnp.isfinite(high), (low + high) / 2, 0.0)


def score(world: AbstractPureWorld, discount: float, state: PyTree, actions: Array, key: Array) -> Array:
    """Σ γᵗ r_t of `actions` played from `state`, up to a termination."""

    def forward(carry: tuple, step: tuple) -> tuple:
        state, alive = carry
        action, key = step
        state, outcome = world.step(state, action, key)
        return (state, alive & ~outcome.terminated), jnp.where(alive, outcome.reward, 0.0)

    keys = jax.random.split(key, len(actions))
    _, rewards = jax.lax.scan(forward, (state, jnp.ones((), bool)), (actions, keys))
    weight = jnp.power(jnp.float32(discount), jnp.arange(len(actions), dtype=jnp.float32))
    return (weight * rewards).sum()


def scores(world: AbstractPureWorld, discount: float, state: PyTree, actions: Array, key: Array) -> Array:
    """The `score` of each of many plans `(count, horizon, ...)`, each with its own noise."""
    keys = jax.random.split(key, len(actions))
    return jax.vmap(functools.partial(score, world, discount, state))(actions, keys)
