"""Finite decision processes: everything about them is a linear system."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.parts import JourneymanError, refuse
from journeyman.worlds import _markov
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._markov import Tables
from journeyman.worlds._options import numbers
from journeyman.worlds._spaces import Discrete

_MATCHES = 1e-9


class Place(NamedTuple):
    """The number of the state, and the number of steps taken."""

    place: Array
    time: Array


class AbstractTabular(AbstractPureWorld):
    """A finite Markov decision process. The observation is the number of the state.

    Subclasses say their `tables`; their fields are the options of `journeyman.world`. A policy of the exact functions
    is a table π(a | s) `(S, A)`; a world with a horizon H takes `(H, S, A)` as well, one table for each step. The
    exact functions work in double precision, whatever JAX is set to. `horizon` truncates; for the exact functions
    it ends the sum, as it does for the return that is counted.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards", "settable state"})

    @abc.abstractmethod
    def tables(self) -> Tables:
        """Transitions, rewards, start and ends, in float64."""

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the class."""
        return type(self).__name__

    @property
    def observation_space(self) -> Discrete:  # type: ignore[override]
        """The number of the state."""
        return Discrete(len(self.tables().start))

    @property
    def action_space(self) -> Discrete:  # type: ignore[override]
        """The number of the action."""
        return Discrete(self.tables().transition.shape[1])

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        fields = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        options = {name: getattr(self, name) for name in fields if name not in ("num_envs", "seed")}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    # -- acting ------------------------------------------------------------------------------------------

    def reset(self, key: Array) -> Place:
        """A state drawn from the start distribution."""
        start = jnp.asarray(self.tables().start, jnp.float32)
        return Place(jax.random.categorical(key, jnp.log(start)).astype(jnp.int32), jnp.zeros((), jnp.int32))

    def step(self, state: Place, action: Array, key: Array) -> tuple[Place, Outcome]:
        """Draw the next state; reaching an ending state terminates."""
        tables = self.tables()
        at = (state.place, jnp.asarray(action))
        moved = jax.random.categorical(key, jnp.log(jnp.asarray(tables.transition, jnp.float32)[at])).astype(jnp.int32)
        reward = jnp.asarray(tables.reward, jnp.float32)[(*at, moved)]
        ends, time = jnp.asarray(tables.terminal)[moved], state.time + 1
        cut = jnp.zeros((), bool) if self.horizon is None else ~ends & (time >= self.horizon)
        return Place(moved, time), Outcome(reward, ends, cut)

    def observe(self, state: Place) -> Array:
        """The number of the state."""
        return state.place

    def state_of(self, observation: Array) -> Place:
        """That state at time 0."""
        return Place(jnp.asarray(observation, jnp.int32), jnp.zeros((), jnp.int32))

    # -- what is known exactly ---------------------------------------------------------------------------

    def values(self, policy: Any, discount: float = 1.0) -> np.ndarray:
        """V(s) = E Σ γᵗ r_t from s: `(S,)`, or `(H+1, S)` with a horizon, the first step first and zeros at the end."""
        return _markov.values(self._problem(), self._policy(policy), discount, self.horizon)

    def action_values(self, policy: Any, discount: float = 1.0) -> np.ndarray:
        """Q(s, a) = r(s, a) + γ E V(s′): `(S, A)`, or `(H, S, A)` with a horizon."""
        return _markov.action_values(self._problem(), self.values(policy, discount), discount)

    def expected_return(self, policy: Any, discount: float = 1.0) -> float:
        """J = E V(s₀)."""
        value = self.values(policy, discount)
        return float(self.tables().start @ (value if self.horizon is None else value[0]))

    def visits(self, policy: Any, discount: float = 1.0) -> np.ndarray:
        """Σ_t γᵗ P(s_t = s) `(S,)`, or each γᵗ P(s_t = s) `(H, S)` with a horizon, before the episode ended.

        With γ = 1 and a horizon these are the state distributions of every step; they sum to what has not ended yet.
        """
        return _markov.visits(self._problem(), self._policy(policy), discount, self.horizon)

    def gradient(
        self,
        policy: Callable[[PyTree], Array],
        parameters: PyTree,
        discount: float = 1.0,
        *,
        discounted_states: bool = True,
    ) -> PyTree:
        """Σ_{t,s,a} wᵗ P(s_t = s) Q_t(s, a) ∇π(a | s), exactly, for any differentiable `policy(parameters)`.

        The policy gives a table `(S, A)` or `(H, S, A)` and is differentiated by JAX in double precision;
        `jax.nn.softmax` makes the parameters logits. With `discounted_states`, w = γ and this is the gradient of
        `expected_return`; without, w = 1: the states of all times weigh alike, as most implementations have it, and
        the result is in general the gradient of nothing.
        """
        with jax.enable_x64(True):
            theta = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), parameters)
            table, pull = jax.vjp(policy, theta)
            shaped = self._policy(np.asarray(table))
            weight = self.visits(shaped, discount if discounted_states else 1.0)
            slope = weight[..., None] * self.action_values(shaped, discount)
            slope = slope.sum(0) if slope.ndim > table.ndim else slope
            return jax.tree.map(np.asarray, pull(jnp.asarray(slope))[0])

    def _problem(self) -> _markov.Continuing:
        return _markov.Continuing.of(self.tables())

    def _policy(self, policy: Any) -> np.ndarray:
        table, shape = np.asarray(policy, np.float64), self.tables().reward.shape[:2]
        steps: tuple[Any, ...] = () if self.horizon is None else (self.horizon,)
        if table.shape not in (shape, (*steps, *shape)):
            more = f" or {(*steps, *shape)}" if steps else ""
            raise JourneymanError(
                f"The policy has shape {table.shape}, but a table for '{self.name}' has {shape}{more}; pass that."
            )
        worst = float(np.abs(table.sum(-1) - 1).max())
        if worst > _MATCHES * 1e3 or table.min() < 0:
            raise JourneymanError(
                f"The rows of a policy are probabilities, but one of these sums to {1 + worst:.6g} or holds the"
                f" negative {table.min():.3g}; pass softmax(logits), not logits."
            )
        return np.broadcast_to(table, (*steps, *shape))


Row = tuple[float, ...]


class Tabular(AbstractTabular):
    """Any finite world, by its tables.

    Args:
        transition: P(s′ | s, a), `(S, A, S)`; each row sums to 1.
        reward: of each transition `(S, A, S)`, or of each state and action `(S, A)`.
        start: P(s₀ = s), `(S,)`; all in state 0 where left out.
        terminal: the numbers of the states that end the episode when they are reached.
        horizon: steps until truncation; `None` for a world without a time limit.

    Raises `JourneymanError` for tables that do not fit together or are no probabilities.
    """

    # As leaves, each entry would be one: the tables are part of the program.
    transition: tuple[tuple[Row, ...], ...] = eqx.field(static=True)
    reward: tuple[tuple[Row | float, ...], ...] = eqx.field(static=True)
    start: Row = eqx.field(static=True)
    terminal: tuple[int, ...] = eqx.field(static=True)
    horizon: int | None
    num_envs: int
    seed: int

    def __init__(
        self,
        transition: Any,
        reward: Any,
        start: Any = None,
        *,
        terminal: Any = (),
        horizon: int | None = None,
        num_envs: int = 64,
        seed: int = 0,
    ):
        moves = numbers("transition", transition)
        self.transition, self.reward = _tuples(moves), _tuples(numbers("reward", reward))
        self.start = _tuples(np.eye(len(moves))[0] if start is None else numbers("start", start))
        self.terminal = _states(terminal)
        self.horizon, self.num_envs, self.seed = horizon, num_envs, seed

    def __check_init__(self) -> None:
        moves, reward, start = (np.asarray(t, float) for t in (self.transition, self.reward, self.start))
        if moves.ndim != 3 or moves.shape[0] != moves.shape[2]:
            raise JourneymanError(f"'transition' has shape {moves.shape}; give (states, actions, states).")
        found = []
        if reward.shape not in (moves.shape, moves.shape[:2]):
            found.append(f"'reward' has shape {reward.shape}; give {moves.shape[:2]} or {moves.shape}.")
        if start.shape != moves.shape[:1]:
            found.append(f"'start' has shape {start.shape} for {len(moves)} states; give one probability for each.")
        outside = [state for state in self.terminal if not 0 <= state < len(moves)]
        found += [f"'terminal' names state {state}, and there are 0 to {len(moves) - 1}." for state in outside]
        refuse(found)
        for name, table in (("transition", moves), ("start", start)):
            sums = table.sum(-1).ravel()
            worst = sums[np.abs(sums - 1).argmax()]
            if abs(worst - 1) > _MATCHES or table.min() < 0:
                raise JourneymanError(
                    f"'{name}' holds probabilities, but a row sums to {worst:.6g} and the smallest entry is"
                    f" {table.min():.3g}; every row must be 0 or more and sum to 1."
                )
        begins = [state for state in self.terminal if start[state] > 0]
        refuse([f"State {state} ends the episode and cannot be where it starts; change 'start'." for state in begins])

    def tables(self) -> Tables:
        """The tables that were given."""
        moves, reward = np.asarray(self.transition, float), np.asarray(self.reward, float)
        reward = np.broadcast_to(reward[..., None], moves.shape) if reward.ndim == 2 else reward
        return Tables(moves, reward, np.asarray(self.start, float), ends(len(moves), *self.terminal))


def ends(count: int, *states: int) -> np.ndarray:
    """A mask `(count,)` of the given states."""
    mask = np.zeros(count, bool)
    mask[list(states)] = True
    return mask


def _states(terminal: Any) -> tuple[int, ...]:
    found = numbers("terminal", terminal)
    if found.ndim != 1 or (found != np.round(found)).any():
        raise JourneymanError(f"'terminal' is {terminal!r:.60}, but it takes a list of the numbers of states.")
    return tuple(int(state) for state in found)


def _tuples(array: np.ndarray) -> Any:
    freeze = lambda item: tuple(map(freeze, item)) if isinstance(item, list) else item  # noqa: E731
    return freeze(array.tolist())
