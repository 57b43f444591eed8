"""Ways to find a state and an action that lead to a demonstrated state."""

import abc
from typing import ClassVar

import equinox as eqx
import numpy as np

from journeyman.corrections._dynamics import AbstractDynamics, Candidates, Transitions
from journeyman.parts import AbstractPart, JourneymanError

_CCIL = """@inproceedings{ke2024ccil,
  title={{CCIL}: Continuity-based data augmentation for corrective imitation learning},
  author={Ke, Liyiming and Zhang, Yunchu and Deshpande, Abhay and Srinivasa, Siddhartha and Gupta, Abhishek},
  booktitle={International Conference on Learning Representations}, year={2024}}"""

_HALVINGS = 5
_SOLVED = 1e-13  # deviations of the data


class AbstractLabelling(AbstractPart):
    """Demonstrated steps and a dynamics → candidates for labels, to be judged afterwards.

    Below, f(s, a) = step(s, a) − s, and (s_t, a_t, s_{t+1}) is a demonstrated step.
    """

    citation: ClassVar[str] = _CCIL

    @abc.abstractmethod
    def candidates(self, data: Transitions, dynamics: AbstractDynamics, random: np.random.Generator) -> Candidates:
        """One or more for each demonstrated step."""


class BackTrack(AbstractLabelling):
    """s̃ = s_t − f(s_t, a_t) with the action a_t: one step before s_t, if f were there what it is at s_t.

    The closed form of backward Euler (Ke et al. 2024; `backward_euler_fast` in their code). Executed, it
    misses s_t by f(s̃, a_t) − f(s_t, a_t): nothing where f does not depend on the state, little where it does so slowly.
    """

    def candidates(self, data: Transitions, dynamics: AbstractDynamics, random: np.random.Generator) -> Candidates:
        """One for each demonstrated step."""
        state = 2 * data.state - dynamics.step(data.state, data.action)
        return Candidates(dynamics.nearest_state(state), data.action, data.state, np.arange(len(state)))


class RootFinding(AbstractLabelling):
    """s̃ with s̃ + f(s̃, a_t) = s_t: the same as `BackTrack`, solved in place of read off.

    Newton's method from the closed form, each step halved up to five times until it gains, until nothing gains or
    `iterations` are done. Where f cannot be inverted the smallest step is taken that its derivative knows of. What is
    left unsolved is no secret: the residual is part of every label's bound.

    Source: the forward Euler labels of Ke et al.'s code. Deviations: 1. Damping. 2. No threshold of its own decides
    what is solved.
    """

    iterations: int = eqx.field(static=True, default=30)

    def __check_init__(self) -> None:
        if self.iterations < 1:
            raise JourneymanError(f"Root finding takes one or more iterations, not {self.iterations}; 30 are usual.")

    def candidates(self, data: Transitions, dynamics: AbstractDynamics, random: np.random.Generator) -> Candidates:
        """One for each demonstrated step."""
        return solved(BackTrack().candidates(data, dynamics, random), data, dynamics, self.iterations)


class DisturbedAction(AbstractLabelling):
    """ã = a_t + noise and s̃ = s_{t+1} − f(s_{t+1}, ã): from where would this other action have led to s_{t+1}?

    The noise is normal with `std` in deviations of the demonstrated actions, drawn `copies` times for each step. With
    `iterations` > 0 the equation s̃ + f(s̃, ã) = s_{t+1} is solved from there as in `RootFinding`.

    (Ke et al. 2024; `noisy_action` in their code.) Deviations: 1. There the noise is 1e-5 in the action's
    own unit, so ã is a_t; here it is a part of how far the demonstrator's actions vary. 2. The equation can be solved.
    """

    std: float = 0.1
    copies: int = eqx.field(static=True, default=1)
    iterations: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        if not self.std >= 0 or self.copies < 1 or self.iterations < 0:
            raise JourneymanError(
                f"Actions are disturbed by no negative deviation (not {self.std}), one or more times (not"
                f" {self.copies}) and solved in no negative number of iterations (not {self.iterations})."
            )

    def candidates(self, data: Transitions, dynamics: AbstractDynamics, random: np.random.Generator) -> Candidates:
        """`copies` for each demonstrated step."""
        anchor = np.repeat(np.arange(len(data.state)), self.copies)
        action, destination = data.action[anchor], data.following[anchor]
        action = action + self.std * data.scales.action * random.standard_normal(action.shape)
        state = dynamics.nearest_state(2 * destination - dynamics.step(destination, action))
        found = Candidates(state, action, destination, anchor)
        return solved(found, data, dynamics, self.iterations) if self.iterations else found


class Steered(AbstractLabelling):
    """s̃ = s_t + noise, and the action that leads back from there as nearly as one action can.

        ã = argmin_a ‖(step(s̃, a) − s_{t+1}) / σ_s‖² + effort² ‖(a − a_t) / σ_a‖²

    The lecture's problem with its constraints as prices: close in the state by `std` (deviations σ_s of the data),
    close in the action by `effort`. Gauss–Newton from a_t, `iterations` times. One action seldom mends a whole state,
    so the next state is not s_{t+1}; only those are candidates which the dynamics brings nearer:
    ‖step(s̃, ã) − s_{t+1}‖ < ‖s̃ − s_t‖, in deviations.
    """

    std: float = 0.1
    effort: float = 0.1
    copies: int = eqx.field(static=True, default=1)
    iterations: int = eqx.field(static=True, default=5)

    def __check_init__(self) -> None:
        if not (self.std > 0 and self.effort >= 0) or self.copies < 1 or self.iterations < 1:
            raise JourneymanError(
                f"States are moved by a positive deviation (not {self.std}), one or more times (not {self.copies}), and"
                f" steered in one or more iterations (not {self.iterations}) at no negative effort (not {self.effort})."
            )

    def candidates(self, data: Transitions, dynamics: AbstractDynamics, random: np.random.Generator) -> Candidates:
        """Up to `copies` for each demonstrated step."""
        anchor, scales = np.repeat(np.arange(len(data.state)), self.copies), data.scales
        state = data.state[anchor]
        state = dynamics.nearest_state(state + self.std * scales.state * random.standard_normal(state.shape))
        start, goal, action = data.action[anchor], data.following[anchor], data.action[anchor]
        effort = self.effort**2 * np.eye(action.shape[1])[None]
        for _ in range(self.iterations):
            _, slope = dynamics.jacobians(state, action)
            slope = slope * scales.action[None, None, :] / scales.state[None, :, None]
            missed = missing(Candidates(state, action, goal, anchor), dynamics, scales.state)
            away = (action - start) / scales.action
            pull = np.einsum("nij,ni->nj", slope, missed) + self.effort**2 * away
            curvature = np.einsum("nij,nik->njk", slope, slope) + effort
            inverse = np.linalg.pinv(np.nan_to_num(curvature), hermitian=True)
            action = action - scales.action * np.einsum("nij,nj->ni", inverse, pull)
        found = Candidates(state, action, goal, anchor)
        left = np.linalg.norm(missing(found, dynamics, scales.state), axis=1)
        nearer = left < np.linalg.norm((state - data.state[anchor]) / scales.state, axis=1)
        return Candidates(*(column[nearer] for column in found))


def solved(found: Candidates, data: Transitions, dynamics: AbstractDynamics, iterations: int) -> Candidates:
    """The same actions in states from which the dynamics leads to the destinations, as nearly as Newton gets."""
    scale, state = data.scales.state, found.state.copy()
    missed = missing(found, dynamics, scale)
    distance = np.linalg.norm(missed, axis=1)
    going = distance > _SOLVED
    for _ in range(iterations):
        active = np.flatnonzero(going)
        if not len(active):
            break
        slope, _ = dynamics.jacobians(state[active], found.action[active])
        slope = slope * scale[None, None, :] / scale[None, :, None]
        inverse = np.linalg.pinv(np.nan_to_num(slope), rcond=1e-6)
        step = -np.einsum("nij,nj->ni", inverse, missed[active]) * scale
        for halving in range(_HALVINGS + 1):
            if not len(active):
                break
            tried = dynamics.nearest_state(state[active] + 0.5**halving * step)
            left = missing(Candidates(tried, *(column[active] for column in found[1:])), dynamics, scale)
            gained = np.linalg.norm(left, axis=1) < distance[active]
            won = active[gained]
            state[won], missed[won] = tried[gained], left[gained]
            distance[won] = np.linalg.norm(left[gained], axis=1)
            active, step = active[~gained], step[~gained]
        going[active] = False  # no length gained
        going &= distance > _SOLVED
    return found._replace(state=state)


def missing(found: Candidates, dynamics: AbstractDynamics, scale: np.ndarray) -> np.ndarray:
    """step(s̃, ã) − destination, in deviations of the data, `(labels, state)`."""
    return (dynamics.step(found.state, found.action) - found.destination) / scale
