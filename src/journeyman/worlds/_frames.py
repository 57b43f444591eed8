"""Pictures of an episode."""

import contextlib
import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from journeyman.parts import JourneymanError
from journeyman.worlds._base import AbstractWorld
from journeyman.worlds._from_gymnasium import ActionBuffer, observation_reader
from journeyman.worlds._single import cause


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
    pictures or one that fails: the reason comes back instead, so that a report can go on and say so. What `act` raises
    is raised, and so is a `JourneymanError` for an action that the world does not take.
    """
    try:
        actions = _decide(world, act, seed, max_steps)
        with _failing(world):
            _prepare_graphics(world)
            return _picture(world, actions, seed, count, size)
    except _Unpictured as error:
        return Frames(np.zeros((0, size, size, 3), np.uint8), float("nan"), 0, str(error))


class _Unpictured(Exception):
    """Says why there are no pictures."""


@contextlib.contextmanager
def _failing(world: AbstractWorld) -> Iterator[None]:
    """Environments and graphics fail in every way that they or a driver can; a report must not."""
    try:
        yield
    except JourneymanError as error:
        raise _Unpictured(str(error)) from error
    except Exception as error:
        raise _Unpictured(f"'{world.called}' could not be pictured: {cause(error)}.") from error


def _decide(world: AbstractWorld, act: Callable, seed: int, max_steps: int | None) -> list[Any]:
    """The actions of one episode, as an environment takes them."""
    limit = max_steps or world.horizon or 1000
    actions: list[Any] = []
    with contextlib.ExitStack() as opened:
        with _failing(world):
            read = observation_reader(world.observation_space, f"'{world.called}'", copy=True)
            env = world.single()
            opened.callback(_close, world, env)
            send = ActionBuffer(world.action_space, 1, env.action_space.dtype, env.action_space)
            seen = read(env.reset(seed=seed)[0])
        while len(actions) < limit:
            actions.append(send(np.asarray(act(seen))[None])[0].copy())
            with _failing(world):
                observation, _, terminated, truncated, _ = env.step(actions[-1])
                seen = read(observation)
            if terminated or truncated:
                break
    return actions


def _close(world: AbstractWorld, env: Any) -> None:
    with _failing(world):
        env.close()


def _picture(world: AbstractWorld, actions: list, seed: int, count: int, size: int) -> Frames:
    env = world.single(render_mode="rgb_array")
    chosen = set(np.linspace(0, len(actions), min(count, len(actions) + 1)).round().astype(int).tolist())
    try:
        env.reset(seed=seed)
        _follow(env)
        pictures, total = [_drawn(world, env, size)], 0.0
        for t, action in enumerate(actions, 1):
            _, reward, *_ = env.step(action)
            total += float(reward)
            if t in chosen:
                pictures.append(_drawn(world, env, size))
        rate = env.metadata.get("render_fps") or float("nan")
        return Frames(np.stack(pictures), total, len(actions), "", len(actions) / rate)
    finally:
        env.close()


def _drawn(world: AbstractWorld, env: Any, size: int) -> np.ndarray:
    """What `env` looks like now. Raises `JourneymanError` where it draws nothing, or no picture in colours."""
    try:
        picture = env.render()
    except NotImplementedError:  # what gymnasium's environments have where they draw nothing
        picture = None
    if picture is None:
        raise JourneymanError(f"'{world.called}' draws no pictures, so there is no film of it.")
    if np.ndim(picture) != 3 or np.shape(picture)[2] < 3:
        raise JourneymanError(
            f"`render` of '{world.called}' gives the shape {np.shape(picture)}, and a film is made of pictures (height,"
            " width, 3); repeat a grey one three times."
        )
    return shrink(np.asarray(picture), size)


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
