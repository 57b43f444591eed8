"""Named finite worlds: a grid to walk on, the two states of Kakade, and random ones."""

import itertools
from typing import Any

import equinox as eqx
import numpy as np

from journeyman.parts import JourneymanError, refuse
from journeyman.worlds._markov import Tables
from journeyman.worlds._tabular import AbstractTabular, ends

_MOVES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
CLIFF = ("............", "............", "............", "SCCCCCCCCCCG")


def _rows(layout: Any) -> tuple[str, ...]:
    if not (isinstance(layout, (list, tuple)) and all(isinstance(row, str) for row in layout)):
        raise JourneymanError(f"'layout' is {layout!r:.60}, but a map is a list of strings, one for each row.")
    return tuple(layout)


class Gridworld(AbstractTabular):
    """A walk on a map from S to G; every step costs 1 and reaching G ends it.

    `layout` has one string a row: `S` start (several: each as likely), `G` goal, `.` free, `#` wall, `C` cliff. A step
    onto a cliff costs 100 and puts the walker back to a start (Sutton and Barto 2018, example 6.6). Actions are up,
    right, down, left; against a wall or an edge nothing moves. With probability `slip` the move goes to one
    of the two sides instead, each as likely.

    States are the cells in reading order, walls among them. Raises `JourneymanError` for a map that is no rectangle,
    has no start or no goal or holds another sign, and for a slip that is no probability.
    """

    layout: tuple[str, ...] = eqx.field(default=("S...", ".#.C", "...G"), converter=_rows)
    slip: float = 0.0
    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    def __check_init__(self) -> None:
        signs = "".join(self.layout)
        found = [f"The map needs '{sign}' ({what}); put one in." for sign, what in _NEEDED if sign not in signs]
        if len({len(row) for row in self.layout}) > 1:
            found.append(
                f"The rows of the map have lengths {[len(row) for row in self.layout]}; give rows of one length."
            )
        strange = sorted(set(signs) - set("SGC#."))
        if strange:
            found.append(f"The map holds '{strange[0]}', and the signs are S, G, C, # and '.'; use those.")
        if not 0 <= self.slip <= 1:
            found.append(f"'slip' is a probability, not {self.slip}; use 0 to 1.")
        refuse(found)

    def tables(self) -> Tables:
        """Read from the map."""
        signs = np.asarray([list(row) for row in self.layout])
        columns, flat = signs.shape[1], signs.ravel()
        start = (flat == "S") / (flat == "S").sum()
        cells = range(flat.size)
        reached = np.asarray([[self._to(*divmod(cell, columns), move) for move in _MOVES.values()] for cell in cells])
        moves, paid = np.zeros((flat.size, 4, flat.size)), np.zeros((flat.size, 4, flat.size))
        for action, (turn, share) in itertools.product(range(4), enumerate(self._shares())):
            to = reached[:, (action + turn) % 4]
            fell = (flat[to] == "C")[:, None]
            landing = share * np.where(fell, start, np.eye(flat.size)[to])
            moves[:, action] += landing
            paid[:, action] += landing * np.where(fell, -100.0, -1.0)
        return Tables(moves, paid / np.where(moves > 0, moves, 1.0), start, flat == "G")

    def _shares(self) -> tuple[float, ...]:
        """The probabilities of going where one means to, to its right, back, and to its left."""
        return 1 - self.slip, self.slip / 2, 0.0, self.slip / 2

    def _to(self, row: int, column: int, move: tuple[int, int]) -> int:
        rows, columns = len(self.layout), len(self.layout[0])
        to_row, to_column = row + move[0], column + move[1]
        inside = 0 <= to_row < rows and 0 <= to_column < columns
        free = inside and self.layout[to_row][to_column] != "#"
        return to_row * columns + to_column if free else row * columns + column


_NEEDED = (("S", "a start"), ("G", "a goal"))


def cliff_walking(slip: float = 0.0, *, horizon: int | None = None, num_envs: int = 64, seed: int = 0) -> Gridworld:
    """The cliff of Sutton and Barto 2018, example 6.6: four rows of twelve, start and goal at the ends of the cliff."""
    return Gridworld(CLIFF, slip, horizon, num_envs, seed)  # type: ignore[call-arg]


class TwoState(AbstractTabular):
    """Two states, each with an action that stays and one that moves to the other (Kakade 2001, section 4).

    Staying in state 0 pays 1, staying in state 1 pays 2, moving pays nothing: action 0 stays, action 1 moves. Episodes
    start in state 0 with probability `first`. Where it is .8 the plain gradient first learns to stay in state 0, and
    then moves hardly at all: a plateau that the natural gradient does not have.
    """

    first: float = 0.8
    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    def __check_init__(self) -> None:
        if not 0 <= self.first <= 1:
            raise JourneymanError(f"'first' is the probability of starting in state 0, not {self.first}; use 0 to 1.")

    def tables(self) -> Tables:
        """Two loops and two ways across."""
        moves, reward = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
        for state in range(2):
            moves[state, 0, state] = moves[state, 1, 1 - state] = 1.0
            reward[state, 0, state] = 1.0 + state
        return Tables(moves, reward, np.asarray([self.first, 1 - self.first]), ends(2))


class Garnet(AbstractTabular):
    """A random world: each state and action leads to `branches` states and pays a number of its own (Archibald 1995).

    The successors are drawn without replacement, their probabilities are the gaps between uniform cuts of [0, 1], the
    expected rewards are N(0, 1). `number` says which one: it is not `seed`, which decides what happens in it. Every
    state is as likely a start; nothing ends it.
    """

    number: int = 0
    states: int = 10
    actions: int = 3
    branches: int = 3
    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    def __check_init__(self) -> None:
        if min(self.states, self.actions) < 1 or not 1 <= self.branches <= self.states:
            raise JourneymanError(
                f"A random world of {self.states} states and {self.actions} actions cannot lead to {self.branches}"
                " states each; use one or more of each and at most as many branches as states."
            )
        if self.number < 0:
            raise JourneymanError(f"'number' is {self.number}, but random worlds are numbered from 0; change it.")

    def tables(self) -> Tables:
        """Drawn from `number` alone."""
        random = np.random.default_rng(self.number)
        moves = np.zeros((self.states, self.actions, self.states))
        for state, action in np.ndindex(self.states, self.actions):
            to = random.choice(self.states, self.branches, replace=False)
            cuts = np.sort(random.uniform(size=self.branches - 1))
            moves[state, action, to] = np.diff(cuts, prepend=0.0, append=1.0)
        reward = random.standard_normal((self.states, self.actions, 1))
        start = np.full(self.states, 1 / self.states)
        return Tables(moves, np.broadcast_to(reward, moves.shape), start, ends(self.states))
