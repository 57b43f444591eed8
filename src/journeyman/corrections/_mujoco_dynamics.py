"""MuJoCo's own dynamics, where an observation is the state but for what nothing depends on."""

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from journeyman.corrections._dynamics import AbstractDynamics, Actions, States
from journeyman.parts import JourneymanError, did_you_mean, require
from journeyman.worlds import AbstractHostWorld, AbstractWorld, world

_STEP = 1e-6
_BATCH = 65_536


class _Shown(NamedTuple):
    """How many leading positions the observation leaves out, and where it clips velocities."""

    hidden: int
    clip: float


# The observation is (positions without the hidden ones, velocities). The hidden ones are where the root is along the
# ground: no force depends on them.
_FAMILIES = {
    "HalfCheetah": _Shown(1, math.inf),
    "Hopper": _Shown(1, 10.0),
    "InvertedPendulum": _Shown(0, math.inf),
    "Swimmer": _Shown(2, math.inf),
    "Walker2d": _Shown(1, 10.0),
}
_KNOWN = {f"{family}-{version}": shown for family, shown in _FAMILIES.items() for version in ("v4", "v5")}


class MujocoDynamics(AbstractDynamics):
    """One step of a Gymnasium MuJoCo world from any state, on the host in double precision, on all cores.

    The state is the observation: all positions but those of the root along the ground (nothing depends on them; they
    are put to 0), and all velocities. It is known for HalfCheetah, Hopper, InvertedPendulum, Swimmer and Walker2d,
    v4 and v5. Hopper and Walker2d show velocities clipped to ±10: an observation with one at its clip does not say
    how fast the joint was, so it is not `determined`, and no label is made from it. The next state is not clipped.

    Steps go through `mujoco.rollout` with the environment's own frame skip; actions are clipped to the controls'
    range, as the simulator does. Derivatives are central differences with a step of 1e-6. From a state in which the
    simulation is unstable the next one is not a number, so no label is made from it; MuJoCo itself would begin anew
    from its initial state, and warn on the terminal and in a file.

    Raises `JourneymanError` for every other world, and for one whose options change what is observed.
    """

    id: str = eqx.field(static=True)

    def __init__(self, id: str | AbstractWorld):
        if isinstance(id, AbstractWorld):
            changed = {name for name in id.config()["options"] if name != "max_episode_steps"}
            if changed:
                raise JourneymanError(
                    f"'{id.name}' was made with {', '.join(sorted(changed))}, which can change what is observed or how"
                    " it moves; use the world without options."
                )
            id = id.name
        id = id.rpartition(":")[2]
        if id not in _KNOWN:
            raise JourneymanError(
                f"An observation of '{id}' is not the state, or nobody has said how to read the state from it, so its"
                f" true dynamics cannot be started there.{did_you_mean(id, _KNOWN)} It is known for"
                f" {', '.join(sorted(_FAMILIES))} (v4, v5); for others fit a model with fit_dynamics."
            )
        self.id = id

    @property
    def sizes(self) -> tuple[int, int]:
        """Positions but the hidden ones and velocities; controls."""
        model, _ = _simulator(self.id)
        return model.nq - self._shown.hidden + model.nv, model.nu

    @property
    def _shown(self) -> _Shown:
        return _KNOWN[self.id]

    def determined(self, observation: States) -> np.ndarray:
        """Whether no velocity stands at its clip."""
        model, _ = _simulator(self.id)
        return np.all(np.abs(observation[:, -model.nv :]) < self._shown.clip * (1 - 1e-6), axis=1)

    def step(self, state: States, action: Actions) -> np.ndarray:
        """The environment's frame skip of simulator steps."""
        pieces = range(0, max(len(state), 1), _BATCH)
        return np.concatenate([self._rolled(state[i : i + _BATCH], action[i : i + _BATCH]) for i in pieces])

    def jacobians(self, state: States, action: Actions) -> tuple[np.ndarray, np.ndarray]:
        """(next(x + h) − next(x − h)) / 2h for each number of the state and the action."""
        (count, size), both = state.shape, np.concatenate([state, action], axis=1)
        shifts = _STEP * np.concatenate([np.eye(both.shape[1]), -np.eye(both.shape[1])])
        moved = (both[:, None] + shifts[None]).reshape(-1, both.shape[1])
        after = self.step(moved[:, :size], moved[:, size:]).reshape(count, 2, both.shape[1], size)
        slope = ((after[:, 0] - after[:, 1]) / (2 * _STEP)).swapaxes(1, 2)
        return slope[:, :, :size], slope[:, :, size:]

    def _rolled(self, state: np.ndarray, action: np.ndarray) -> np.ndarray:
        rollout = require("mujoco.rollout", extra="gymnasium")
        mujoco = require("mujoco", extra="gymnasium")
        model, skip = _simulator(self.id)
        hidden, threads = self._shown.hidden, os.cpu_count() or 1
        if not len(state):
            return state
        full = np.zeros((len(state), 1 + model.nq + model.nv))  # the time comes first
        full[:, 1 + hidden :] = state
        controls = np.repeat(np.asarray(action, np.float64)[:, None], skip, axis=1)
        with _silent(mujoco), rollout.Rollout(nthread=threads) as pool:
            after, _ = pool.rollout(model, [mujoco.MjData(model) for _ in range(threads)], full, controls)
        restarted = after[:, -1, 0] < (skip - 0.5) * model.opt.timestep
        return np.where(restarted[:, None], np.nan, after[:, -1, 1 + hidden :])


@contextlib.contextmanager
def _silent(mujoco: Any) -> Iterator[None]:
    """No warnings on the terminal and in MUJOCO_LOG.TXT: candidates for labels may well be impossible states."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


@functools.lru_cache(maxsize=8)
def _simulator(id: str) -> tuple[Any, int]:
    """The model and how many of its steps one step of the environment takes."""
    made = world(f"gymnasium:{id}", num_envs=1)
    env = made.single()
    try:
        return env.unwrapped.model, int(env.unwrapped.frame_skip)
    finally:
        env.close()
        if isinstance(made, AbstractHostWorld):
            made.close()
