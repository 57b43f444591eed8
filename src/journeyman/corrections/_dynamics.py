"""What a step does to the state: the next state, its derivatives, and how far to trust them."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from journeyman.parts import AbstractPart, JourneymanError, check
from journeyman.worlds import AbstractPureWorld, AbstractWorld, Box

States = Float[np.ndarray, "_samples _state"]
Actions = Float[np.ndarray, "_samples _action"]

_CHUNK = 512


class Scales(NamedTuple):
    """The deviation of each state column `(state,)` and action column `(action,)` over the data, 1 where it vanishes.

    Distances between states are measured in these: metres and radians a second have no common unit of their own.
    """

    state: np.ndarray
    action: np.ndarray


class Transitions(NamedTuple):
    """Demonstrated steps: in `state` the action `action` led to `following`; one row each, double precision.

    `elapsed` is the step's number inside its episode.
    """

    state: np.ndarray
    action: np.ndarray
    following: np.ndarray
    elapsed: np.ndarray

    def take(self, chosen: np.ndarray) -> "Transitions":
        """The rows `chosen`, an index or a mask."""
        return Transitions(*(column[chosen] for column in self))

    @property
    def scales(self) -> Scales:
        """The deviation of each column."""
        return Scales(_deviation(self.state), _deviation(self.action))


class Candidates(NamedTuple):
    """Labels before they are judged: `action` in `state` should lead to the demonstrated state `destination`.

    `anchor` is the row of the demonstrated step that each was made from.
    """

    state: np.ndarray
    action: np.ndarray
    destination: np.ndarray
    anchor: np.ndarray


class Doubt(NamedTuple):
    """What a dynamics may get wrong, one entry a label, in deviations of the data.

    `error` near the demonstrated step; `state_slope` and `action_slope`: by how much that grows with each deviation
    between the label and the demonstrated step, in the state and in the action.
    """

    error: np.ndarray
    state_slope: np.ndarray
    action_slope: np.ndarray


class AbstractDynamics(AbstractPart):
    """(state, action) ↦ next state, for many at once on the host. The state is the observation as one real vector.

    A world's own dynamics, a simulator's, or a model fitted to data: whoever makes labels does not ask which.
    """

    @property
    @abc.abstractmethod
    def sizes(self) -> tuple[int, int]:
        """How many numbers a state and an action hold."""

    @abc.abstractmethod
    def step(self, state: States, action: Actions) -> np.ndarray:
        """The next states `(samples, state)`."""

    @abc.abstractmethod
    def jacobians(self, state: States, action: Actions) -> tuple[np.ndarray, np.ndarray]:
        """∂next/∂state `(samples, state, state)` and ∂next/∂action `(samples, state, action)`."""

    def determined(self, observation: States) -> np.ndarray:
        """Whether each observation says what state the world is in, `(samples,)` bool."""
        return np.ones(len(observation), bool)

    def nearest_state(self, state: States) -> np.ndarray:
        """The states that the world can be in, nearest to the given vectors."""
        return state

    def doubt(self, data: Transitions, labels: Candidates, scales: Scales) -> Doubt:
        """How wrong `step` may be at the labels: here, what it gets wrong at the demonstrated steps themselves."""
        missed = self.step(data.state, data.action) - data.following
        error = np.linalg.norm(missed / scales.state, axis=1)[labels.anchor]
        return Doubt(error, np.zeros_like(error), np.zeros_like(error))


class AbstractPureDynamics(AbstractDynamics):
    """A dynamics that is a JAX program for one state; `vmap` makes many, and derivatives are exact."""

    @abc.abstractmethod
    def move(self, state: Float[Array, " _state"], action: Float[Array, " _action"]) -> Float[Array, " _state"]:
        """The next state."""

    def step(self, state: States, action: Actions) -> np.ndarray:
        """`move` of each."""
        return in_chunks(_moved, self, state, action)

    def jacobians(self, state: States, action: Actions) -> tuple[np.ndarray, np.ndarray]:
        """By forward differentiation of `move`."""
        return in_chunks(_derivatives, self, state, action)


class TrueDynamics(AbstractPureDynamics):
    """The dynamics of a pure world itself, without its noise; differentiated as the JAX program that it is.

    A state is what the world shows of it, so that a label is an observation a policy can be given. Vectors that are
    no observation (a cosine and a sine off the circle) are moved to one by `nearest_state`.

    Raises `JourneymanError` for a world that is no JAX program, whose observation does not determine its state, which
    has no derivatives, or whose observations and actions are not one real vector each.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"settable state", "differentiable dynamics"})

    world: AbstractPureWorld

    def __init__(self, world: AbstractWorld):
        if not isinstance(world, AbstractPureWorld):
            raise JourneymanError(
                f"'{world.called}' is a host simulator, which cannot be differentiated; use MujocoDynamics for the"
                " MuJoCo worlds whose observation is their state, or fit_dynamics."
            )
        spaces = {"observations": world.observation_space, "actions": world.action_space}
        for what, space in spaces.items():
            if not (isinstance(space, Box) and len(space.shape) == 1):
                raise JourneymanError(
                    f"Corrective labels move a state by real numbers, but the {what} of '{world.called}' are not one"
                    " real vector; choose a world where they are."
                )
        self.world = world

    def __check_init__(self) -> None:
        check(self)

    @property
    def sizes(self) -> tuple[int, int]:
        """Those of the world's observation and action."""
        return self.world.observation_space.shape[0], self.world.action_space.shape[0]

    def move(self, state: Float[Array, " _state"], action: Float[Array, " _action"]) -> Float[Array, " _state"]:
        """What the world shows after one noiseless step from the state that `state` shows."""
        still = self.world.noiseless()
        after, _ = still.step(still.state_of(state), action, jax.random.key(0))
        return jnp.asarray(still.observe(after), state.dtype)

    def nearest_state(self, state: States) -> np.ndarray:
        """What the world shows of the state that it reads from each vector."""
        return in_chunks(_shown, self.world, state)


@eqx.filter_jit
def _moved(dynamics: AbstractPureDynamics, state: Array, action: Array) -> Array:
    return jax.vmap(dynamics.move)(state, action)


@eqx.filter_jit
def _derivatives(dynamics: AbstractPureDynamics, state: Array, action: Array) -> tuple[Array, Array]:
    return jax.vmap(jax.jacfwd(dynamics.move, (0, 1)))(state, action)


@eqx.filter_jit
def _shown(world: AbstractPureWorld, state: Array) -> Array:
    return jax.vmap(lambda seen: jnp.asarray(world.observe(world.state_of(seen)), seen.dtype))(state)


def _deviation(columns: np.ndarray) -> np.ndarray:
    deviation, mean = columns.std(0, dtype=np.float64), columns.mean(0, dtype=np.float64)
    return np.where(deviation < 1e-6 * (1 + np.abs(mean)), 1.0, deviation)


def in_chunks(function: Callable[..., Any], part: Any, *columns: np.ndarray) -> Any:
    """`function(part, ...)` on pieces of one size, so that it is compiled once; host arrays in double precision."""
    count, dtype, pieces = len(columns[0]), jnp.result_type(float), []
    for start in range(0, max(count, 1), _CHUNK):
        some = [np.asarray(column[start : start + _CHUNK], dtype) for column in columns]
        fill = _CHUNK - len(some[0])
        some = [np.concatenate([column, np.zeros((fill, *column.shape[1:]), dtype)]) for column in some]
        pieces.append(jax.tree.map(lambda x, n=_CHUNK - fill: np.asarray(x, np.float64)[:n], function(part, *some)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *pieces)
