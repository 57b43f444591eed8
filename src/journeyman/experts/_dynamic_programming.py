"""Dynamic programming: the best table of a finite world, from the model alone and without a single sample."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.experts._base import AbstractExpert
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractTabular

_TIE = 1e-9


class Solution(NamedTuple):
    """What dynamic programming found, in float64.

    `value` `(S,)` and `action_values` `(S, A)` of the best policy, its `actions` `(S,)`; `history` `(iterations, S)`
    are the values after each iteration, and `backups` counts sums over successors: one for each state and action whose
    Q was worked out. With a horizon H, `value` is `(H+1, S)`, the others `(H, S, A)` and `(H, S)`.
    """

    value: np.ndarray
    action_values: np.ndarray
    actions: np.ndarray
    history: np.ndarray
    backups: int


def value_iteration(
    world: AbstractTabular, discount: float, *, tolerance: float = 1e-10, most: int = 100_000
) -> Solution:
    """V ← max_a [r(s, a) + γ Σ P(s′ | s, a) V(s′)], from V = 0, until V settles.

    For γ < 1 the result is within `tolerance` of the fixed point: the map is a contraction by γ in the maximum norm
    (Puterman 1994, section 6.3), so the remaining error is at most γ/(1−γ) times the last change, which is what is
    compared with `tolerance`. At γ = 1, for worlds that surely end, the last change itself is compared and nothing
    bounds the error: where episodes last N steps on average it is about N times as large. `policy_iteration` is exact
    there. A time limit is no part of the problem: it truncates.

    Raises `JourneymanError` when it has not settled after `most` iterations.
    """
    reward, move = _model(world, discount)
    value, history, change = np.zeros(len(reward)), [], 0.0
    factor = discount / (1 - discount) if discount < 1 else 1.0
    while len(history) < most:
        action_values = reward + discount * move @ value
        change, value = float(np.abs(action_values.max(-1) - value).max()), action_values.max(-1)
        history.append(value)
        if factor * change <= tolerance:
            actions = _best(action_values, move, discount)
            return Solution(value, action_values, actions, np.stack(history), len(history) * reward.size)
    raise JourneymanError(
        f"Value iteration has not settled after {most} sweeps at discount {discount}: the values still move by"
        f" {change:.3g}; lower the discount, or raise 'most' where every policy surely ends."
    )


def policy_iteration(world: AbstractTabular, discount: float, *, most: int = 1_000) -> Solution:
    """Solve for the value of a policy, act greedily on it, again, until nothing changes (Howard 1960).

    It begins with the uniform policy and gives an exact answer after finitely many iterations, each a linear system of
    S equations. An action is kept unless another is better by more than rounding. A time limit is no part of it.

    Raises `JourneymanError` where a policy's value is not finite, and when `most` iterations do not settle it.
    """
    reward, move = _model(world, discount)
    world, states = _endless(world), np.arange(len(reward))
    policy, actions, history = np.full(reward.shape, 1 / reward.shape[1]), None, []
    for _ in range(most):
        value = world.values(policy, discount)
        history.append(value)
        action_values = reward + discount * move @ value
        best = _best(action_values, move, discount)
        if actions is not None:
            reached = action_values.max(-1)
            kept = action_values[states, actions] >= reached - _TIE * (1 + np.abs(reached))
            if kept.all():
                return Solution(value, action_values, actions, np.stack(history), len(history) * reward.size)
            best = np.where(kept, actions, best)
        actions, policy = best, np.eye(reward.shape[1])[best]
    raise JourneymanError(f"Policy iteration has not settled after {most} policies; raise 'most'.")


def backward_induction(world: AbstractTabular, discount: float = 1.0) -> Solution:
    """The best table for every step of a world with a horizon, from the last step back (Bellman 1957).

    Here the horizon is the end of the problem, and the best action depends on the time.
    """
    if world.horizon is None:
        raise JourneymanError(
            f"'{world.called}' has no last step to begin with; give it a horizon or use value_iteration."
        )
    reward, move = _model(world, discount)
    table, found = np.zeros((world.horizon + 1, len(reward))), np.zeros((world.horizon, *reward.shape))
    for t in reversed(range(world.horizon)):
        found[t] = reward + discount * move @ table[t + 1]
        table[t] = found[t].max(-1)
    return Solution(table, found, found.argmax(-1), table[-2::-1], found.size)


class TabularExpert(AbstractExpert):
    """Acts greedily on a table of action values `(S, A)`, such as `value_iteration(world, 0.99).action_values`."""

    action_values: Array

    @classmethod
    def of(cls, world: AbstractTabular, discount: float) -> "TabularExpert":
        """The best policy of a finite world; of equals the action of the solution is above by a last digit."""
        found = policy_iteration(world, discount)
        values = found.action_values.astype(jnp.result_type(float))
        best, chosen = values.max(-1, keepdims=True), np.arange(values.shape[1]) == found.actions[:, None]
        return cls(jnp.asarray(np.where(chosen, best, np.minimum(values, np.nextafter(best, -np.inf)))))

    def label(self, observation: PyTree, key: Array) -> Array:
        """The action of the greatest value in each state."""
        del key
        return jnp.argmax(self.action_values[jnp.asarray(observation)], axis=-1).astype(jnp.int32)


def _model(world: AbstractTabular, discount: float) -> tuple[np.ndarray, np.ndarray]:
    """Expected rewards `(S, A)` and the moves `(S, A, S)` that do not end."""
    if not 0 < discount <= 1:
        raise JourneymanError(f"The discount must lie in (0, 1], not {discount}.")
    tables = world.tables()
    going = tables.transition * ~tables.terminal[:, None, None]
    return (going * tables.reward).sum(-1), going * ~tables.terminal


def _best(action_values: np.ndarray, move: np.ndarray, discount: float) -> np.ndarray:
    """The actions of the greatest value; without a discount, of equals one that can lead on to an end.

    There a walk in a circle promises as much as the way out, and earns nothing.
    """
    if discount < 1:
        return action_values.argmax(-1)
    greatest = action_values.max(-1, keepdims=True)
    equal = action_values >= greatest - _TIE * (1 + np.abs(greatest))
    actions, leads = action_values.argmax(-1), move.sum(-1) < 1 - _TIE
    done = np.zeros(len(actions), bool)
    while (new := (equal & leads).any(-1) & ~done).any():
        actions = np.where(new, (equal & leads).argmax(-1), actions)
        done |= new
        leads |= (move * done).sum(-1) > 0
    return actions


def _endless(world: AbstractTabular) -> AbstractTabular:
    return eqx.tree_at(lambda w: w.horizon, world, None, is_leaf=lambda leaf: leaf is None)
