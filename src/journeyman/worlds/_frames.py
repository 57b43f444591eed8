"""Pictures of an episode."""

import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from journeyman.parts import JourneymanError
from journeyman.worlds._base import AbstractWorld
from journeyman.worlds._from_gymnasium import observation_reader
from journeyman.worlds._spaces import Box


class Frames(NamedTuple):
    """Pictures of one episode, `(count, height, width, 3)` uint8, or none and the `reason` why.

    `episode_return` is the undiscounted return of the pictured episode, `steps` its length, and `seconds` how long that
    takes in the world's own time (nan where the environment does not say).
    """

    pictures: np.ndarray
    episode_return: float
    steps: int
    reason: str
    seconds: float = float("nan")


def frames(
    world: AbstractWorld,
    act: Callable[[Any], Any],
    *,
    seed: int = 0,
    count: int = 12,
    max_steps: int | None = None,
    size: int = 240,
) -> Frames:
    """Play one episode of `world` with `act(observation) -> action` and picture `count` evenly spaced moments.

    A fresh single environment is played (`world.single`), from `seed`; `world` itself is not touched. The first
    pass finds the episode's length, the second repeats its actions and pictures it: start and end are always among
    the pictures. Pictures are shrunk to at most `size` pixels by averaging. Never raises for a world without
    pictures: the reason comes back instead, so that a report can go on and say so.
    """
    none = np.zeros((0, size, size, 3), np.uint8)
    try:
        env = world.single()
    except JourneymanError as error:
        return Frames(none, float("nan"), 0, str(error))
    actions = _decide(world, env, act, seed, max_steps)
    try:
        _prepare_graphics(world)
        return _picture(world, actions, seed, count, size)
    except NotImplementedError:  # what gymnasium's environments have where they draw nothing
        return Frames(none, float("nan"), 0, f"'{world.name}' draws no pictures, so there is no film of it.")
    except Exception as error:  # graphics fail in every way a driver can; a report must not
        first = (str(error).splitlines() or [""])[0] or type(error).__name__
        return Frames(none, float("nan"), 0, f"'{world.called}' could not be pictured: {first}")


def _decide(world: AbstractWorld, env: Any, act: Callable, seed: int, max_steps: int | None) -> list[Any]:
    read = observation_reader(world.observation_space, copy=True)
    limit = max_steps or world.horizon or 1000
    try:
        observation, _ = env.reset(seed=seed)
        actions: list[Any] = []
        while len(actions) < limit:
            actions.append(_sent(world, env, act(read(observation))))
            observation, _, terminated, truncated, _ = env.step(actions[-1])
            if terminated or truncated:
                break
        return actions
    finally:
        env.close()


def _sent(world: AbstractWorld, env: Any, action: Any) -> Any:
    if isinstance(world.action_space, Box):
        return np.clip(np.asarray(action), world.action_space.low, world.action_space.high).astype(
            env.action_space.dtype
        )
    return np.asarray(action).astype(env.action_space.dtype)[()]


def _picture(world: AbstractWorld, actions: list, seed: int, count: int, size: int) -> Frames:
    env = world.single(render_mode="rgb_array")
    chosen = set(np.linspace(0, len(actions), min(count, len(actions) + 1)).round().astype(int).tolist())
    try:
        env.reset(seed=seed)
        _follow(env)
        pictures, total = [shrink(env.render(), size)], 0.0
        for t, action in enumerate(actions, 1):
            _, reward, *_ = env.step(action)
            total += float(reward)
            if t in chosen:
                pictures.append(shrink(env.render(), size))
        rate = env.metadata.get("render_fps") or float("nan")
        return Frames(np.stack(pictures), total, len(actions), "", len(actions) / rate)
    finally:
        env.close()


def _follow(env: Any) -> None:
    """Look through the model's own tracking camera where it has one: a robot that walks stays in the picture."""
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    if renderer is None:
        return
    mujoco = importlib.import_module("mujoco")
    camera = mujoco.mj_name2id(renderer.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
    if camera >= 0:
        renderer.camera_id = camera


def shrink(picture: np.ndarray, size: int) -> np.ndarray:
    """The picture with its longer side at most `size`, each new pixel the mean of a square of old ones."""
    factor = -(-max(picture.shape[:2]) // size)
    height, width = (side // factor for side in picture.shape[:2])
    squares = picture[: height * factor, : width * factor, :3].reshape(height, factor, width, factor, 3)
    return squares.mean(axis=(1, 3)).round().astype(np.uint8)


# -- graphics without a display --------------------------------------------------------------------------

_PROBE = """
import os, mujoco
model = mujoco.MjModel.from_xml_string("<mujoco/>")
renderer = mujoco.Renderer(model, 32, 32)
renderer.update_scene(mujoco.MjData(model))
renderer.render()
os._exit(0)
"""


def _prepare_graphics(world: AbstractWorld) -> None:
    """Choose how MuJoCo draws on a machine without a display; leave everything else alone."""
    if "frames" not in world.provides() or os.environ.get("MUJOCO_GL") or not sys.platform.startswith("linux"):
        return
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    env = world.single()
    mujoco = any(cls.__name__ == "MujocoEnv" for cls in type(env.unwrapped).__mro__)
    env.close()
    if mujoco:
        os.environ["MUJOCO_GL"] = _backend()


@functools.cache
def _backend() -> str:
    """`egl` or `osmesa`, whichever draws; tried in a process of its own, for a failing driver may end it."""
    for backend in ("egl", "osmesa"):
        env = {**os.environ, "MUJOCO_GL": backend}
        try:
            done = subprocess.run([sys.executable, "-c", _PROBE], env=env, capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return backend
    raise JourneymanError(
        "MuJoCo cannot draw here: there is no display, and neither EGL nor OSMesa works; install one of them"
        " (Debian: libegl1 or libosmesa6), or set MUJOCO_GL yourself."
    )
