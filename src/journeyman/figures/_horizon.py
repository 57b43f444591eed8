"""What a stationary policy loses where the horizon is finite."""

import math
from typing import Any

import numpy as np

from journeyman.figures._model import Computed, Effort
from journeyman.worlds import LinearQuadratic

HORIZONS = (2, 5, 10, 20, 50)
MATTERS = 0.01
_GAINS = np.linspace(-1.2, 0.2, 2801)


def horizon(effort: Effort) -> Computed:
    """The best gains of each step against the best single gain; the loss by discount and horizon, at any effort."""
    del effort  # it is exact
    discounts = np.linspace(0.02, 1.0, 50)
    arrays: dict[str, Any] = {"discounts": discounts, "horizons": np.asarray(HORIZONS)}
    numbers: dict[str, Any] = {"loss_undiscounted": {}, "stops_mattering_below": {}}
    for count in HORIZONS:
        losses = np.asarray([loss(control(count), float(discount)) for discount in discounts])
        arrays[f"loss {count}"] = losses
        numbers["loss_undiscounted"][str(count)] = float(losses[-1])
        if (losses >= MATTERS).any():
            at = int(np.argmax(losses >= MATTERS))
            crossed = np.interp(MATTERS, losses[at - 1 : at + 1], discounts[at - 1 : at + 1])
            numbers["stops_mattering_below"][str(count)] = math.floor(100 * crossed) / 100  # rounded, some lose more
    shown = control(20)
    for discount in (1.0, 0.5):
        arrays[f"gains {discount:g}"] = shown.optimal_gain(discount)[:, 0, 0]
        arrays[f"single {discount:g}"] = best_stationary(shown, discount)[0]
    numbers["gains"] = {"best_single": float(arrays["single 1"]), "first": float(arrays["gains 1"][0])}
    at = numbers["stops_mattering_below"]
    caption = (
        "Where the end is near, the best action depends on the time. Left: the best gain of each step of a 20-step"
        " linear-quadratic world and the best gain that is the same at every step. Right: what the best stationary"
        f" policy loses against the time-dependent one, exactly. Undiscounted it is {_percent(numbers, 2)} at H = 2 and"
        f" {_percent(numbers, 50)} at H = 50. The loss stays below 1 % for every discount below"
        f" {', '.join(f'{at[str(h)]:.2f} (H = {h})' for h in HORIZONS if str(h) in at)}: there the end is too far off"
        " in discounted time to matter, or hardly anything after the first step counts."
    )
    return Computed(
        arrays, numbers, caption, "exact: Riccati recursion and the return of every single gain on a fine grid"
    )


def control(steps: int) -> LinearQuadratic:
    """A = B = Q = R = 1 with noise of deviation 1 and x₀ ~ N(0, 1): every step matters alike but for the end."""
    return LinearQuadratic(noise=1.0, start=0.0, start_std=1.0, horizon=steps)


def return_of_gains(world: LinearQuadratic, gains: np.ndarray, discount: float = 1.0) -> np.ndarray:
    """J of u = K_t x in a scalar world, `(...)` from gains `(horizon, ...)`: S′ = (A + BK)² S + noise²."""
    (a,), (b,), (q,), (r,) = (m[0] for m in (world.dynamics, world.control, world.state_cost, world.action_cost))
    moment = np.full(gains.shape[1:], world.start[0] ** 2 + world.start_std**2)
    total = np.zeros(gains.shape[1:])
    for t, gain in enumerate(gains):
        total -= discount**t * (q + r * gain**2) * moment
        moment = (a + b * gain) ** 2 * moment + world.noise**2
    return total


def best_stationary(world: LinearQuadratic, discount: float) -> tuple[float, float]:
    """The best gain that is the same at every step, and its return: a fine grid, then a parabola through its top."""
    assert world.horizon is not None
    values = return_of_gains(world, np.tile(_GAINS, (world.horizon, 1)), discount)
    top = int(np.clip(np.argmax(values), 1, len(values) - 2))
    before, here, after = values[top - 1 : top + 2]
    shift = (before - after) / (2 * (before - 2 * here + after))
    gain = _GAINS[top] + shift * (_GAINS[1] - _GAINS[0])
    return float(gain), float(return_of_gains(world, np.full((world.horizon,), gain), discount))


def loss(world: LinearQuadratic, discount: float) -> float:
    """(J* − J)/|J*| of the best stationary gain."""
    optimum = float(return_of_gains(world, world.optimal_gain(discount)[:, 0, 0], discount))
    return (optimum - best_stationary(world, discount)[1]) / abs(optimum)


def _percent(numbers: dict[str, Any], steps: int) -> str:
    return f"{100 * numbers['loss_undiscounted'][str(steps)]:.1f} %"
