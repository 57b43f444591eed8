"""Handwriting: a pen that goes where its velocity says, started where people started, until it rests at the goal."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from journeyman.parts import Number, refuse
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._lasa import GOAL, REST, lasa_strokes
from journeyman.worlds._options import check_kinds
from journeyman.worlds._spaces import Box

PAPER = 75.0
"""Half the width of the paper, in millimetres; strokes stay within 50."""


class Pen(NamedTuple):
    """Where the pen is, `(2,)` millimetres from the goal, and the number of steps taken."""

    position: Array
    time: Array


class Handwriting(AbstractPureWorld):
    """Draw a shape of the LASA handwriting data: from one of seven starts to the goal at the origin, by velocities.

        x′ = clip(x + dt · a, ±75 mm),   x₀ = a demonstrated start, drawn uniformly, + spread · N(0, I)
        terminated when |x′| ≤ 2 mm and |a| ≤ 5 mm/s, and the reward of that step is 1; all others are 0

    x is seen, in millimetres; the action a is the velocity in millimetres a second, as the data has it and not scaled,
    in a box of twice the greatest demonstrated component. So the position is the world's whole state. dt is 20 of the
    data's own mean time steps for the shape, .05 to .16 s. Nothing moves by chance. The return is whether the pen came
    to rest at the goal within `horizon` steps; how faithful the way was is told by
    `journeyman.diagnose.warped_distance`.

    `lasa:Sshape` is the name of one; `journeyman.datasets.read("lasa:Sshape")` are its seven demonstrations, which obey
    these equations and end where this world ends them. The people who drew them knew more than the position (at a
    crossing, which branch they were on), but strokes of one shape seldom pass one place in opposite directions.

    Raises `JourneymanError` for starts that are not points of the paper, a time step or velocity not above 0, and
    a negative spread.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards", "differentiable dynamics", "settable state"})
    citation: ClassVar[str] = """@article{khansari2011learning,
  title={Learning stable nonlinear dynamical systems with {G}aussian mixture models},
  author={Khansari-Zadeh, S. Mohammad and Billard, Aude},
  journal={IEEE Transactions on Robotics}, volume={27}, number={5}, pages={943--957}, year={2011}}"""

    shape: str
    starts: Float[np.ndarray, "_starts 2"]
    tick: Number
    action_space: Box  # type: ignore[assignment]
    spread: float = 3.0
    horizon: int | None = 150
    num_envs: int = 64
    seed: int = 0

    def __check_init__(self) -> None:
        found = []
        if self.starts.ndim != 2 or not len(self.starts) or not (np.abs(self.starts) <= PAPER).all():
            found.append(
                f"The starts have shape {self.starts.shape}; give one or more points of the paper, (starts, 2), within"
                f" {PAPER:g} mm of the goal."
            )
        high = np.asarray(self.action_space.high)
        if not (high.shape == (2,) and (high > 0).all() and np.all(np.asarray(self.tick) > 0)):
            found.append(
                f"A time step of {self.tick} s and greatest velocities of {high} mm/s move no pen; give a time and two"
                " velocities above 0."
            )
        if not self.spread >= 0:
            found.append(f"'spread' is {self.spread} mm, but starts are disturbed by 0 or more; 3 is usual.")
        refuse(found)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`lasa:` and the shape."""
        return f"lasa:{self.shape}"

    @property
    def observation_space(self) -> Box:  # type: ignore[override]
        """The paper."""
        return Box.symmetric(PAPER, 2)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        options = {"spread": self.spread, "horizon": self.horizon}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    def reset(self, key: Array) -> Pen:
        """At a start, somewhat disturbed."""
        which, aside = jax.random.split(key)
        starts = jnp.asarray(self.starts, jnp.float32)
        start = starts[jax.random.randint(which, (), 0, len(starts))]
        moved = start + jnp.float32(self.spread) * jax.random.normal(aside, (2,), jnp.float32)
        return Pen(jnp.clip(moved, -PAPER, PAPER), jnp.zeros((), jnp.int32))

    def step(self, state: Pen, action: Array, key: Array) -> tuple[Pen, Outcome]:
        """One time step."""
        del key
        velocity = self.action_space.clipped(jnp.asarray(action, jnp.float32))
        moved = jnp.clip(state.position + jnp.asarray(self.tick, jnp.float32) * velocity, -PAPER, PAPER)
        arrived = (jnp.square(moved).sum() <= GOAL**2) & (jnp.square(velocity).sum() <= REST**2)
        time = state.time + 1
        cut = jnp.zeros((), bool) if self.horizon is None else ~arrived & (time >= self.horizon)
        return Pen(moved, time), Outcome(arrived.astype(jnp.float32), arrived, cut)

    def observe(self, state: Pen) -> Array:
        """The position."""
        return state.position

    def state_of(self, observation: Array) -> Pen:
        """The pen there at time 0, or at the nearest point of the paper."""
        seen = jnp.clip(jnp.asarray(observation, jnp.float32), -PAPER, PAPER)
        return Pen(seen, jnp.zeros((), jnp.int32))

    def noiseless(self) -> "Handwriting":
        """Itself: nothing moves by chance."""
        return self


def handwriting(shape: str, /, *, num_envs: int = 64, seed: int = 0, **options: Any) -> Handwriting:
    """The world of one shape of the LASA data; `options` are `spread` and `horizon`.

    Raises `JourneymanError` for an unknown shape or option, and where the data are not installed.
    """
    usual: dict[str, Any] = {"spread": 3.0, "horizon": 150}
    check_kinds(f"lasa:{shape}", options, {"spread": float, "horizon": int | None})
    strokes, given = lasa_strokes(shape), {**usual, **options}
    return Handwriting(  # type: ignore[call-arg]
        shape=shape,
        starts=np.stack([path[0] for path in strokes.paths]).astype(np.float32),
        tick=np.asarray(strokes.tick, np.float32),  # an array, so that one program serves all shapes
        action_space=Box.symmetric(2 * strokes.speed, 2),
        spread=given["spread"],
        horizon=given["horizon"],
        num_envs=num_envs,
        seed=seed,
    )
