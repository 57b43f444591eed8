"""The linear algebra behind tabular worlds: values, visits and gradients of finite decision processes, in float64."""

from typing import NamedTuple

import numpy as np

from journeyman.parts import JourneymanError


class Tables(NamedTuple):
    """P(s′ | s, a) `(S, A, S)`, the reward of each transition `(S, A, S)`, P(s₀ = s) `(S,)`, and which states end it.

    What the rows of an ending state say is never read.
    """

    transition: np.ndarray
    reward: np.ndarray
    start: np.ndarray
    terminal: np.ndarray


class Continuing(NamedTuple):
    """Only what goes on: P without the moves into an end `(S, A, S)`, and the expected reward `(S, A)`."""

    move: np.ndarray
    reward: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, tables: Tables) -> "Continuing":
        """The value of an ending state is 0, whatever its rows say."""
        alive = ~tables.terminal
        move = tables.transition * alive[:, None, None]
        return cls(move * alive[None, None, :], (move * tables.reward).sum(-1), tables.start)


def under(problem: Continuing, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The chain `(S, S)` and the reward `(S,)` of a policy `(S, A)`."""
    return np.einsum("sa,sat->st", policy, problem.move), (policy * problem.reward).sum(-1)


def values(problem: Continuing, policy: np.ndarray, discount: float, horizon: int | None) -> np.ndarray:
    """V `(S,)` from V = r + γPV, or V_t `(H+1, S)` from the end where there is a horizon."""
    if horizon is None:
        chain, reward = under(problem, policy)
        _require_finite(chain, discount)
        return np.linalg.solve(np.eye(len(chain)) - discount * chain, reward)
    table = np.zeros((horizon + 1, len(problem.start)))
    for t in reversed(range(horizon)):
        chain, reward = under(problem, policy[t])
        table[t] = reward + discount * chain @ table[t + 1]
    return table


def action_values(problem: Continuing, value: np.ndarray, discount: float) -> np.ndarray:
    """Q(s, a) = r(s, a) + γ Σ P(s′ | s, a) V(s′), for V `(S,)` or a row of them `(H+1, S)`: the successors'."""
    later = value if value.ndim == 1 else value[1:]
    return problem.reward + discount * np.einsum("sat,...t->...sa", problem.move, later)


def visits(problem: Continuing, policy: np.ndarray, weight: float, horizon: int | None) -> np.ndarray:
    """Σ_t wᵗ P(s_t = s) `(S,)`, or wᵗ P(s_t = s) for each t `(H, S)`; who has ended is nowhere."""
    if horizon is None:
        chain = under(problem, policy)[0]
        _require_finite(chain, weight)
        return np.linalg.solve(np.eye(len(chain)) - weight * chain.T, problem.start)
    table = np.zeros((horizon, len(problem.start)))
    now = problem.start
    for t in range(horizon):
        table[t], now = weight**t * now, under(problem, policy[t])[0].T @ now
    return table


def _require_finite(chain: np.ndarray, discount: float) -> None:
    radius = float(discount * np.abs(np.linalg.eigvals(chain)).max(initial=0.0))
    if not radius < 1 - 1e-12:
        raise JourneymanError(
            f"The sum over an endless future is not finite: its factor a step is {radius:.6g} and must be below 1;"
            " lower the discount, give the world a horizon, or choose a policy that surely ends."
        )
