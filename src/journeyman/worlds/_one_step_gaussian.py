"""One decision, a quadratic reward: the gradient and the variance of its estimators for every baseline."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from journeyman.parts import JourneymanError, did_you_mean
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._spaces import Box

_BASELINES = ("none", "mean return", "optimal")


class OneStepGaussian(AbstractPureWorld):
    """One action a, reward −(a − target)², then the end. There is nothing to see but a 1.

    Under a ~ N(mean, std²), with d = mean − target and s = (a − mean)/std² the score of the mean:

        J = −(d² + std²),   ∂J/∂mean = −2d,   ∂J/∂std = −2 std
        Var[s (r − b)] = (d⁴ + 18 d² std² + 15 std⁴ + 2b (d² + 3 std²) + b²) / std² − 4d²

    `target` is the best action. The action is not bounded.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"world", "rewards", "differentiable dynamics", "settable state"})

    target: float = 0.0
    num_envs: int = 64
    seed: int = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        """`OneStepGaussian`."""
        return "OneStepGaussian"

    @property
    def horizon(self) -> int:  # type: ignore[override]
        """One step; it ends by termination."""
        return 1

    @property
    def observation_space(self) -> Box:  # type: ignore[override]
        """One number, always 1."""
        return Box.unbounded(1)

    @property
    def action_space(self) -> Box:  # type: ignore[override]
        """a, unbounded."""
        return Box.unbounded(1)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        options = {"target": self.target}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    def reset(self, key: Array) -> Array:
        """The one state: a 1."""
        del key
        return jnp.ones(1, jnp.float32)

    def step(self, state: Array, action: Array, key: Array) -> tuple[Array, Outcome]:
        """The reward, and the end."""
        del key
        reward = -jnp.square(jnp.asarray(action, jnp.float32)[0] - jnp.float32(self.target))
        return state, Outcome(reward, jnp.ones((), bool), jnp.zeros((), bool))

    def observe(self, state: Array) -> Array:
        """A constant 1."""
        return state

    def state_of(self, observation: Array) -> Array:
        """The one state."""
        return jnp.asarray(observation, jnp.float32)

    def noiseless(self) -> "OneStepGaussian":
        """Itself: nothing moves by chance."""
        return self

    # -- what is known exactly ---------------------------------------------------------------------------

    def expected_return(self, mean: float, std: float) -> float:
        """E r = −(d² + std²)."""
        self._require_spread(std)
        return -((mean - self.target) ** 2 + std**2)

    def gradient(self, mean: float, std: float) -> tuple[float, float]:
        """∂/∂mean and ∂/∂std of `expected_return`."""
        self._require_spread(std)
        return -2 * (mean - self.target), -2 * std

    def baseline(self, mean: float, std: float, kind: str) -> float:
        """The number subtracted from the reward: "none" is 0, "mean return" is E r, "optimal" is E[s²r]/E[s²].

        The optimal one, −(d² + 3 std²), gives the least variance (Weaver and Tao 2001; Greensmith et al. 2004).
        """
        self._require_spread(std)
        if kind not in _BASELINES:
            raise JourneymanError(
                f"No baseline is called '{kind}'.{did_you_mean(kind, _BASELINES)} Choose one of"
                f" {', '.join(_BASELINES)}."
            )
        weight = {"none": None, "mean return": 1, "optimal": 3}[kind]
        return 0.0 if weight is None else -((mean - self.target) ** 2 + weight * std**2)

    def variance(self, mean: float, std: float, baseline: float | str = "none") -> float:
        """Variance of one episode's estimate s (r − b) of ∂J/∂mean, with b a number or one of `baseline`'s kinds."""
        b = self.baseline(mean, std, baseline) if isinstance(baseline, str) else baseline
        self._require_spread(std)
        d2, v = (mean - self.target) ** 2, std**2
        return (d2**2 + 18 * d2 * v + 15 * v**2 + 2 * b * (d2 + 3 * v) + b**2) / v - 4 * d2

    def _require_spread(self, std: float) -> None:
        if not std > 0:
            raise JourneymanError(f"The score of a Gaussian needs a positive deviation, not {std}; give std > 0.")
