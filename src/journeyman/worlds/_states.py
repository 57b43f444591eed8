"""Putting a simulator into a recorded state, and playing recorded actions from there."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import PyTree

from journeyman.parts import JourneymanError
from journeyman.worlds._base import AbstractWorld
from journeyman.worlds._from_gymnasium import observation_reader
from journeyman.worlds._spaces import Box


class Replay(NamedTuple):
    """What a world answered to recorded actions: `observation` leads with T+1, the rest with T."""

    observation: PyTree
    reward: np.ndarray
    terminated: np.ndarray
    success: np.ndarray


def replay(world: AbstractWorld, start_state: np.ndarray, actions: np.ndarray) -> Replay:
    """Play `actions` `(T, ...)` from `start_state` in one fresh environment of `world`.

    This gives recordings without rewards their score. All T actions are played, past termination too. The form of
    the state is the simulator's: Push-T takes its observation `(agent x, agent y, block x, block y, angle)` in
    pixels and radians, at rest; MuJoCo takes `qpos` and `qvel` in one vector. `success` is `info["is_success"]`,
    or termination where the world does not say.

    Raises `JourneymanError` when the world has no settable state or the state or actions do not fit.
    """
    env = world.single()
    try:
        read = observation_reader(world.observation_space, copy=True)
        put = _setter(env) if "settable state" in world.provides() else None
        if put is None:
            raise JourneymanError(
                f"'{world.name}' cannot be put into a given state: nobody has said how for"
                f" {type(env.unwrapped).__name__}; record rewards with your data, or use a"
                " world that gives 'settable state'."
            )
        actions = np.asarray(actions)
        if actions.shape[1:] != world.action_space.shape:
            raise JourneymanError(
                f"The recorded actions have shape {actions.shape[1:]} a step, but '{world.name}' takes"
                f" {world.action_space.shape}; choose the world they were recorded in."
            )
        if isinstance(world.action_space, Box):
            actions = np.clip(actions.astype(float), world.action_space.low, world.action_space.high)
        return _play(env.unwrapped, put, np.asarray(start_state, float), actions, read)
    finally:
        env.close()


def _play(env: Any, put: Callable, state: np.ndarray, actions: np.ndarray, read: Callable) -> Replay:
    env.reset(seed=0)
    seen, rewards, ended, success = [read(put(env, state))], [], [], []
    for action in actions:
        observation, reward, terminated, _, info = env.step(action)
        seen.append(read(observation))
        rewards.append(reward)
        ended.append(terminated)
        success.append(info.get("is_success", terminated))
    stacked = {key: np.stack([one[key] for one in seen]) for key in seen[0]} if isinstance(seen[0], dict) else None
    observation = np.stack(seen) if stacked is None else stacked
    return Replay(observation, np.asarray(rewards, np.float32), np.asarray(ended, bool), np.asarray(success, bool))


def settable(env: Any) -> frozenset[str]:
    """`{"settable state"}` if `replay` knows how to set this environment's state, else nothing."""
    return frozenset() if _setter(env) is None else frozenset({"settable state"})


def _setter(env: Any) -> Callable[[Any, np.ndarray], Any] | None:
    classes = {cls.__name__ for cls in type(env.unwrapped).__mro__}
    return next((put for name, put in _SETTERS.items() if name in classes), None)


def _set_mujoco(env: Any, state: np.ndarray) -> Any:
    nq, nv = env.model.nq, env.model.nv
    if state.shape != (nq + nv,):
        raise JourneymanError(
            f"The state has shape {state.shape}, but {type(env).__name__} needs {nq} positions and {nv} velocities in"
            f" one vector of {nq + nv}; an observation alone often leaves some out."
        )
    env.set_state(state[:nq], state[nq:])
    return env._get_obs()


def _set_pusht(env: Any, state: np.ndarray) -> Any:
    """Angle before position: turning the block moves it, for it turns about its centre of mass.

    `reset(options={"reset_to_state": ...})` does it the other way round and so starts from another place. The
    physics are built anew, for a space that has been stepped remembers its contacts; one physics step without an
    action follows, as in the environment's own reset.
    """
    if state.shape != (5,):
        raise JourneymanError(
            f"The state has shape {state.shape}, but Push-T needs five numbers: agent x, agent y, block x, block y in"
            " pixels and the block's angle in radians."
        )
    env._setup()
    env.agent.position = [float(x) for x in state[:2]]
    env.block.angle = float(state[4])
    env.block.position = [float(x) for x in state[2:4]]
    env.space.step(env.dt)
    return env.get_obs()


# By the name of a class among the environment's bases.
_SETTERS: dict[str, Callable[[Any, np.ndarray], Any]] = {"MujocoEnv": _set_mujoco, "PushTEnv": _set_pusht}
