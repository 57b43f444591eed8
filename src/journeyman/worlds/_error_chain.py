"""The error chain: one right way at every step, and a cost for every step off the path. What errors cost is known."""

import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from journeyman.parts import JourneymanError, did_you_mean, refuse
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._spaces import Discrete

_RECOVERIES = ("never", "back", "itself")


class Junction(NamedTuple):
    """The sign that is seen (`signs` when off the path), and the number of steps taken."""

    sign: Array
    time: Array


class ErrorChain(AbstractPureWorld):
    """At every step on the path one of `signs` signs is seen, and one of `ways` ways is right; off the path costs 1.

    The signs are drawn uniformly and independently; which way each means is drawn from `number` and not from `seed`.
    Actions 0 … ways−1 take a way, action `ways` turns back. Off the path there is one thing to see, `signs`, and the
    reward of a step is −1 where it leads there or leaves one there, else 0. How one comes back is `recovery`:

    - "never": not at all.
    - "back": by turning back, at once and without a cost. On the path turning back is wrong, so that demonstrations
      never show it and a clone cannot know it; the expert does, and says so when it is asked there (DAgger).
    - "itself": the next step is on the path, whatever one did.

    A policy that errs with probability ε on the path and η off it is there after step t with probability
    P_t = ε(1−P_{t−1}) + ηP_{t−1}, so over H steps, with λ = η − ε,

        J = Σ_{t≤H} P_t = ε Σ_{k<H} (H−k) λᵏ = ε/(1−λ) · [H − λ(1−λᴴ)/(1−λ)]

    Never back is η = 1: J = H − (1−ε)(1−(1−ε)ᴴ)/ε, which is εH²/2 to first order for εH ≪ 1. By itself is η = ε:
    J = εH (Ross and Bagnell 2010; Ross, Gordon and Bagnell 2011).

    Raises `JourneymanError` for counts below 1 (ways: 2), and for a recovery that is none of the three.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards", "settable state"})

    recovery: str = "never"
    signs: int = 1000
    ways: int = 2
    number: int = 0
    horizon: int | None = 100
    num_envs: int = 64
    seed: int = 0

    def __check_init__(self) -> None:
        found = []
        if self.recovery not in _RECOVERIES:
            found.append(
                f"'recovery' is '{self.recovery}'.{did_you_mean(self.recovery, _RECOVERIES)} One comes back"
                f" {', '.join(_RECOVERIES)}; choose one of these."
            )
        if self.signs < 1 or self.ways < 2:
            found.append(f"A chain of {self.signs} signs and {self.ways} ways leaves nothing to choose; give 1 and 2.")
        if self.number < 0:
            found.append(f"'number' is {self.number}, but random chains are numbered from 0; change it.")
        refuse(found)

    @property
    def name(self) -> str:  # type: ignore[override]
        """`ErrorChain`."""
        return "ErrorChain"

    @property
    def observation_space(self) -> Discrete:  # type: ignore[override]
        """The sign; `signs` off the path."""
        return Discrete(self.signs + 1)

    @property
    def action_space(self) -> Discrete:  # type: ignore[override]
        """A way, or `ways` to turn back."""
        return Discrete(self.ways + 1)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        shown = "recovery signs ways number horizon".split()
        options = {key: getattr(self, key) for key in shown}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    def right(self) -> np.ndarray:
        """The right action for each observation, `(signs + 1,)`: the expert. Off the path it turns back."""
        return _right(self.number, self.signs, self.ways)

    def reset(self, key: Array) -> Junction:
        """A sign, on the path."""
        return Junction(self._drawn(key), jnp.zeros((), jnp.int32))

    def step(self, state: Junction, action: Array, key: Array) -> tuple[Junction, Outcome]:
        """Take a way, or turn back."""
        right = jnp.asarray(action, jnp.int32) == jnp.asarray(self.right())[state.sign]
        on_path = state.sign < self.signs
        stays = right & (on_path | (self.recovery == "back"))
        seen = self._drawn(key)
        sign = seen if self.recovery == "itself" else jnp.where(stays, seen, jnp.int32(self.signs))
        time = state.time + 1
        cut = jnp.zeros((), bool) if self.horizon is None else time >= self.horizon
        return Junction(sign, time), Outcome(jnp.where(stays, 0.0, -1.0).astype(jnp.float32), jnp.zeros((), bool), cut)

    def observe(self, state: Junction) -> Array:
        """The sign."""
        return state.sign

    def state_of(self, observation: Array) -> Junction:
        """That sign at time 0."""
        return Junction(jnp.asarray(observation, jnp.int32), jnp.zeros((), jnp.int32))

    def _drawn(self, key: Array) -> Array:
        return jax.random.randint(key, (), 0, self.signs, jnp.int32)

    # -- what is known exactly ---------------------------------------------------------------------------

    def errors(self, actions: Any) -> tuple[float, float]:
        """ε and η of who does `actions` `(signs + 1,)`: the share of signs taken wrongly, and 1 or 0 off the path.

        Raises `JourneymanError` for another number of actions.
        """
        wrong = np.asarray(actions) != self.right() if np.shape(actions) == (self.signs + 1,) else None
        if wrong is None:
            raise JourneymanError(
                f"The actions have shape {np.shape(actions)}, but there are {self.signs} signs and the place off the"
                f" path; give ({self.signs + 1},)."
            )
        off = {"never": 1.0, "back": float(wrong[-1]), "itself": float(wrong[:-1].mean())}
        return float(wrong[:-1].mean()), off[self.recovery]

    def expected_cost(self, error: float, off_error: float | None = None, *, horizon: int | None = None) -> float:
        """J over `horizon` steps (the world's own where left out) of a policy that errs with probability `error`.

        `off_error` is η, the probability of erring off the path, `error` where left out; it counts where one can turn
        back. Raises `JourneymanError` for what is no probability, and without a horizon.
        """
        steps = self.horizon if horizon is None else horizon
        beside = error if off_error is None else off_error
        if not (0 <= error <= 1 and 0 <= beside <= 1) or steps is None or steps < 0:
            raise JourneymanError(
                f"The cost is known for probabilities and a number of steps, not for ε = {error}, η = {beside} and"
                f" {steps} steps; give 0 to 1, and a horizon."
            )
        apart = {"never": 1.0, "back": beside, "itself": error}[self.recovery] - error
        taken = np.arange(steps)
        return float(error * ((steps - taken) * np.power(apart, taken)).sum())  # the same sum without cancellation


@functools.cache
def _right(number: int, signs: int, ways: int) -> np.ndarray:
    found = np.append(np.random.default_rng(number).integers(ways, size=signs), ways).astype(np.int32)
    found.flags.writeable = False
    return found
