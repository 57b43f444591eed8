"""The geometric chain: stay for a reward of 1, or leave. Its gradient estimators' variances are known."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from journeyman.parts import JourneymanError, did_you_mean
from journeyman.worlds._base import AbstractPureWorld, Outcome
from journeyman.worlds._spaces import Box, Discrete

# Numerators of the variance over θ(1−θ)⁴, by estimator.
_NUMERATORS = {
    "full return": lambda θ: 1 + 8 * θ + 4 * θ**2,
    "reward-to-go": lambda θ: 1 + 3 * θ + θ**2,
    "reward-to-go minus value": lambda θ: 1 + θ,
}


class GeometricChain(AbstractPureWorld):
    """Action 1 stays and pays 1; action 0 leaves, pays 0 and terminates. There is nothing to see but a 1.

    A policy that stays with probability θ gathers L rewards with P(L = l) = θˡ(1−θ), so without a discount
    E L = θ/(1−θ) and its derivative is 1/(1−θ)². `horizon` truncates; the exact functions are for `None`.
    """

    horizon: int | None = None
    num_envs: int = 64
    seed: int = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        """`GeometricChain`."""
        return "GeometricChain"

    @property
    def observation_space(self) -> Box:  # type: ignore[override]
        """One number, always 1."""
        return Box.unbounded(1)

    @property
    def action_space(self) -> Discrete:  # type: ignore[override]
        """0 leaves, 1 stays."""
        return Discrete(2)

    def config(self) -> dict[str, Any]:
        """What `journeyman.world` takes."""
        options = {"horizon": self.horizon}
        return {"name": self.name, "num_envs": self.num_envs, "seed": self.seed, "options": options}

    def reset(self, key: Array) -> Array:
        """The number of steps taken, 0; nothing is random."""
        del key
        return jnp.zeros((), jnp.int32)

    def step(self, state: Array, action: Array, key: Array) -> tuple[Array, Outcome]:
        """Stay or leave."""
        del key
        stays = jnp.asarray(action) == 1
        cut = jnp.zeros((), bool) if self.horizon is None else stays & (state + 1 >= self.horizon)
        return state + 1, Outcome(stays.astype(jnp.float32), ~stays, cut)

    def observe(self, state: Array) -> Array:
        """A constant 1."""
        del state
        return jnp.ones(1, jnp.float32)

    # -- what is known exactly ---------------------------------------------------------------------------

    def expected_return(self, stay: float) -> float:
        """E L = θ/(1−θ)."""
        self._require_exact(stay)
        return stay / (1 - stay)

    def gradient(self, stay: float) -> float:
        """d E L / dθ = 1/(1−θ)²."""
        self._require_exact(stay)
        return 1 / (1 - stay) ** 2

    def variance(self, stay: float, estimator: str) -> float:
        """Variance over episodes of the score-function estimator of d E L / dθ.

        With s_t = d log π(a_t)/dθ: "full return" is (Σ s)(Σ r), numerator 1 + 8θ + 4θ²; "reward-to-go" is
        Σ_t s_t Σ_{k≥t} r_k, numerator 1 + 3θ + θ²; "reward-to-go minus value" subtracts V = θ/(1−θ) from each
        reward-to-go, numerator 1 + θ; all over θ(1−θ)⁴.
        """
        self._require_exact(stay)
        if estimator not in _NUMERATORS:
            raise JourneymanError(
                f"No variance is known for the estimator '{estimator}'.{did_you_mean(estimator, _NUMERATORS)} Choose"
                f" one of {', '.join(_NUMERATORS)}."
            )
        return _NUMERATORS[estimator](stay) / (stay * (1 - stay) ** 4)

    def _require_exact(self, stay: float) -> None:
        if self.horizon is not None or not 0 < stay < 1:
            raise JourneymanError(
                f"The closed form is for 0 < θ < 1 and no horizon, not for θ = {stay} and horizon {self.horizon}."
            )
