"""Five probes: tiny worlds whose right values and actions are written down, each lost to one kind of mistake.

All have four states, the last of which is the end, and two actions: one compiled learner serves all five.
"""

import abc
from typing import NamedTuple

import numpy as np

from journeyman.worlds._markov import Tables
from journeyman.worlds._tabular import AbstractTabular, ends

_END, _STATES, _ACTIONS = 3, 4, 2


class Answer(NamedTuple):
    """What is right in each state `(4,)`: the value under the best policy, and the action (−1 where any will do).

    A value is nan where no episode ever is.
    """

    value: np.ndarray
    action: np.ndarray


class AbstractProbe(AbstractTabular):
    """A tiny world with a known `answer`. `journeyman.worlds.PROBES` holds the five."""

    @abc.abstractmethod
    def answer(self, discount: float) -> Answer:
        """The right value and action of every state."""


class ConstantReward(AbstractProbe):
    """One step, reward 1 whatever is seen or done: the value is 1. Lost when ends or the value's fit are wrong."""

    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    def tables(self) -> Tables:
        """State 0, then the end."""
        return _one_step(np.asarray([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), (1.0, 0.0, 0.0))

    def answer(self, discount: float) -> Answer:
        """1, and any action."""
        return _answer((1.0, np.nan, np.nan), (-1, -1, -1))


class ObservationReward(AbstractProbe):
    """One step, the reward is −1, 0 or 1 as seen, whatever is done. Lost when the value does not see it."""

    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    def tables(self) -> Tables:
        """State s pays s − 1."""
        return _one_step(np.asarray([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]]), (1 / 3, 1 / 3, 1 / 3))

    def answer(self, discount: float) -> Answer:
        """What is paid, and any action."""
        return _answer((-1.0, 0.0, 1.0), (-1, -1, -1))


class DelayedReward(AbstractProbe):
    """Take `now` and end (action 0), or wait (action 1) and be paid 1 at the third step.

    Waiting is worth γ², so it is right where γ² > `now`. Lost when a reward does not reach the action that earned it,
    or reaches it with another discount.
    """

    now: float = 0.5
    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    def tables(self) -> Tables:
        """0 → 1 → 2 → end, or at once to the end."""
        moves, reward = np.zeros((_STATES, _ACTIONS, _STATES)), np.zeros((_STATES, _ACTIONS, _STATES))
        moves[0, 0, _END] = moves[0, 1, 1] = 1.0
        moves[1, :, 2] = moves[2, :, _END] = moves[_END, :, _END] = 1.0
        reward[0, 0, _END], reward[2, :, _END] = self.now, 1.0
        return Tables(moves, reward, np.eye(_STATES)[0], ends(_STATES, _END))

    def answer(self, discount: float) -> Answer:
        """Wait where that is worth more."""
        value = (max(self.now, discount**2), discount, 1.0)
        return _answer(value, (int(discount**2 > self.now), -1, -1))


class ActionReward(AbstractProbe):
    """One step, action 1 pays 1 and action 0 costs 1. Lost when the gradient has the wrong sign or the wrong action."""

    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    def tables(self) -> Tables:
        """State 0, then the end."""
        return _one_step(np.asarray([[-1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), (1.0, 0.0, 0.0))

    def answer(self, discount: float) -> Answer:
        """Action 1 and its reward."""
        return _answer((1.0, np.nan, np.nan), (1, -1, -1))


class MatchingReward(AbstractProbe):
    """One step, the action that fits what is seen pays 1, the other costs 1: actions 0, 1, 0 in states 0, 1, 2.

    Lost when observation and action are not of the same step, or the policy does not see.
    """

    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    def tables(self) -> Tables:
        """Three states, then the end."""
        return _one_step(np.asarray([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]]), (1 / 3, 1 / 3, 1 / 3))

    def answer(self, discount: float) -> Answer:
        """The fitting action, worth 1."""
        return _answer((1.0, 1.0, 1.0), (0, 1, 0))


PROBES: tuple[type[AbstractProbe], ...] = (
    ConstantReward,
    ObservationReward,
    DelayedReward,
    ActionReward,
    MatchingReward,
)


def _one_step(reward: np.ndarray, start: tuple[float, ...]) -> Tables:
    moves = np.zeros((_STATES, _ACTIONS, _STATES))
    moves[:, :, _END] = 1.0
    paid = np.concatenate([reward, np.zeros((1, _ACTIONS))])[..., None]
    return Tables(moves, np.broadcast_to(paid, moves.shape), np.asarray([*start, 0.0]), ends(_STATES, _END))


def _answer(value: tuple[float, ...], action: tuple[int, ...]) -> Answer:
    return Answer(np.asarray([*value, np.nan]), np.asarray([*action, -1]))
