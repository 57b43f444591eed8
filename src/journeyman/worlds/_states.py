"""Putting a simulator into a recorded state, and playing recorded actions from there."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from journeyman.parts import JourneymanError
from journeyman.worlds._base import AbstractPureWorld, AbstractWorld
from journeyman.worlds._from_gymnasium import ActionBuffer, observation_reader
from journeyman.worlds._success import Successes


class Replay(NamedTuple):
    """What a world answered to recorded actions: `observation` leads with T+1, the rest with T.

    `judged` says that the world itself tells success; otherwise `success` is its termination.
    """

    observation: PyTree
    reward: np.ndarray
    terminated: np.ndarray
    success: np.ndarray
    judged: bool = False


class Successors(NamedTuple):
    """What a world answered to one action from each of many states.

    `shown`       what it shows in the state that it was put in, `(steps, entries)`: how far it can be trusted
    `observation` what it shows after the action, `(steps, entries)`
    `terminated`  whether it ended there, `(steps,)`
    """

    shown: np.ndarray
    observation: np.ndarray
    terminated: np.ndarray


def replay(world: AbstractWorld, start_state: np.ndarray, actions: np.ndarray) -> Replay:
    """Play `actions` `(T, ...)` from `start_state` in one fresh environment of `world`.

    This gives recordings without rewards their score. All T actions are played, past termination too. The form of
    the state is the simulator's: Push-T takes its observation `(agent x, agent y, block x, block y, angle)` in
    pixels and radians, at rest; MuJoCo takes `qpos` and `qvel` in one vector. `success` is what the
    simulator says of it (`info["is_success"]`), or termination where it does not say.

    Raises `JourneymanError` when the world has no settable state or the state or actions do not fit.
    """
    env = world.single()
    try:
        read = observation_reader(world.observation_space, f"'{world.called}'", copy=True)
        put = _putting(world, env, "record rewards with your data, or ")
        actions = np.asarray(actions)
        if actions.shape[1:] != world.action_space.shape:
            raise JourneymanError(
                f"The recorded actions have shape {actions.shape[1:]} a step, but '{world.called}' takes"
                f" {world.action_space.shape}; choose the world they were recorded in."
            )
        sent = _sent(world, env, actions)
        account = Successes(1, f"'{world.called}'")
        return _play(env.unwrapped, put, np.asarray(start_state, float), sent, read, account)
    finally:
        env.close()


def successors(world: AbstractWorld, observation: np.ndarray, action: np.ndarray) -> Successors:
    """One action `(steps, ...)` from the state that each observation `(steps, entries)` shows.

    MuJoCo's observation is taken for the last entries of `qpos` and then `qvel`; up to two leading positions that it
    leaves out (how far a walker has come) are set to 0, on which its physics does not depend. Push-T is put at rest. A
    pure world is asked without its noise where it can be. Whether that was right, `shown` tells.

    Raises `JourneymanError` when the world has no settable state or its observation is not built like that.
    """
    if isinstance(world, AbstractPureWorld):
        return _pure_successors(world, observation, action)
    env = world.single()
    try:
        put = _putting(world, env)
        sent = _sent(world, env, action)
        env.reset(seed=0)
        bare, found = env.unwrapped, []
        for seen, chosen in zip(np.asarray(observation, float), sent, strict=True):
            shown = np.array(put(bare, _padded(bare, seen)), float).ravel()
            after, _, terminated, *_ = bare.step(chosen)
            found.append((shown, np.array(after, float).ravel(), bool(terminated)))
        shown, after, ended = (np.asarray(part) for part in zip(*found, strict=True))
        return Successors(shown, after, ended)
    finally:
        env.close()


def _pure_successors(world: AbstractPureWorld, observation: np.ndarray, action: np.ndarray) -> Successors:
    calm = world.noiseless() if "differentiable dynamics" in world.provides() else world

    def one(seen: Any, chosen: Any, key: Any) -> tuple[PyTree, PyTree, Any]:
        state = calm.state_of(seen)
        after, outcome = calm.step(state, chosen, key)
        return calm.observe(state), calm.observe(after), outcome.terminated

    keys = jax.random.split(jax.random.key(0), len(observation))
    shown, after, terminated = jax.vmap(one)(jnp.asarray(observation), jnp.asarray(action), keys)
    flat = [np.asarray(part, float).reshape(len(observation), -1) for part in (shown, after)]
    return Successors(flat[0], flat[1], np.asarray(terminated))


def _sent(world: AbstractWorld, env: Any, actions: np.ndarray) -> np.ndarray:
    """What `env` takes of `actions` `(steps, ...)`."""
    return ActionBuffer(world.action_space, len(actions), env.action_space.dtype, env.action_space)(actions)


def _padded(env: Any, seen: np.ndarray) -> np.ndarray:
    """`seen` with the leading positions that MuJoCo's observations leave out, as 0."""
    model = getattr(env, "model", None)
    left_out = 0 if model is None else model.nq + model.nv - len(seen)
    return np.concatenate([np.zeros(left_out), seen]) if 0 < left_out <= 2 else seen


def _putting(world: AbstractWorld, env: Any, instead: str = "") -> Callable[[Any, np.ndarray], Any]:
    put = _setter(env) if "settable state" in world.provides() else None
    if put is None:
        raise JourneymanError(
            f"'{world.called}' cannot be put into a given state: nobody has said how for"
            f" {type(env.unwrapped).__name__}; {instead}use a world that gives 'settable state',"
            " as MuJoCo's and Push-T's do."
        )
    return put


def _play(
    env: Any, put: Callable, state: np.ndarray, actions: np.ndarray, read: Callable, account: Successes
) -> Replay:
    env.reset(seed=0)
    seen, rewards, ended, told = [read(put(env, state))], [], [], []
    for action in actions:
        observation, reward, terminated, _, info = env.step(action)
        seen.append(read(observation))
        rewards.append(reward)
        ended.append(terminated)
        told.append(account.believed(account.said(info), np.zeros(1, bool)))
    # Some speak of success alone: where nothing is said beside that, there was none.
    judged = not account.doubted and any(flag is not None for flag in told)
    success = [flag is not None and flag.item() for flag in told] if judged else ended
    stacked = {key: np.stack([one[key] for one in seen]) for key in seen[0]} if isinstance(seen[0], dict) else None
    observation = np.stack(seen) if stacked is None else stacked
    return Replay(
        observation, np.asarray(rewards, np.float32), np.asarray(ended, bool), np.asarray(success, bool), judged
    )


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
