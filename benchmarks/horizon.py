"""What a stationary policy loses where the horizon is finite, and from which discount on it loses nothing.

    python -m benchmarks.horizon --json

Exact curves on two worlds. Scalar linear-quadratic control with noise (`LinearQuadratic`): the time-dependent optimum
is the Riccati recursion, the best stationary gain a one-dimensional maximum. `Harvest`: both are closed forms. The loss
is (J* − J) / |J*| with J the best stationary policy's return, both discounted by γ.

Beside them what natural gradients reach in the control world without a discount, three seeds each: a network for each
step, one network that reads t/H, and one that does not know the time.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._measure import machine, parser, tell
from journeyman.algorithms import natural_gradient
from journeyman.collect import Mean, play
from journeyman.diagnose import interval
from journeyman.figures._horizon import return_of_gains
from journeyman.policies import DensityPolicy, policy
from journeyman.training import Plan, improve
from journeyman.weights import NetworkBaseline
from journeyman.worlds import Harvest, LinearQuadratic, Timed, timed

HORIZONS = (2, 3, 5, 10, 20, 50)
DISCOUNTS = tuple(np.round(np.linspace(0.05, 1.0, 20), 2).tolist())
MATTERS = 0.01
BATCH = 512
KINDS: dict[str, dict[str, Any]] = {
    "a network for each step": {"hidden": (), "per_step": True},
    "one network that reads t/H": {"hidden": (16,)},
    "no time": {"hidden": ()},
}
GOLDEN = (5**0.5 - 1) / 2


# -- exact ----------------------------------------------------------------------------------------------


def control(horizon: int, num_envs: int = 64) -> LinearQuadratic:
    """A = B = Q = R = 1 with noise of deviation 1, from x₀ ~ N(0, 1): every step matters alike but for the end."""
    return LinearQuadratic(noise=1.0, start=0.0, start_std=1.0, horizon=horizon, num_envs=num_envs)


def best(value: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> tuple[float, float]:
    """Where a function of one number is largest on [low, high], and its value: a fine grid, then golden section."""
    grid = np.linspace(low, high, 2001)
    place = int(np.argmax(value(grid)))
    low, high = grid[max(place - 1, 0)], grid[min(place + 1, 2000)]
    for _ in range(60):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        first, second = value(np.asarray([left, right]))
        low, high = (low, right) if first > second else (left, high)
    found = (low + high) / 2
    return float(found), float(value(np.asarray([found]))[0])


def best_stationary_gain(world: LinearQuadratic, discount: float = 1.0) -> tuple[float, float]:
    """The best K that is the same at every step of a scalar world, and its return."""
    steps = (world.horizon, 1)
    return best(lambda gains: return_of_gains(world, np.tile(gains, steps), discount), -1.5, 0.5)


def best_stationary_harvest(world: Harvest, discount: float = 1.0) -> tuple[float, float]:
    """The best probability that is the same at every step, and its return."""

    def value(p: np.ndarray) -> np.ndarray:
        assert world.horizon is not None
        waited = discount * world.growth * (1 - p)
        return p * sum(waited**t for t in range(world.horizon))

    return best(value, 0.0, 1.0)


def control_loss(horizon: int, discount: float) -> float:
    """(J* − J) / |J*| of the best stationary gain."""
    world = control(horizon)
    optimum = float(return_of_gains(world, world.optimal_gain(discount)[:, 0, 0], discount))
    return (optimum - best_stationary_gain(world, discount)[1]) / abs(optimum)


def harvest_loss(horizon: int, discount: float) -> float:
    """(J* − J) / J* of the best stationary probability."""
    world = Harvest(horizon=horizon)
    optimum = world.optimal_return(discount)
    return (optimum - best_stationary_harvest(world, discount)[1]) / optimum


def stops_mattering(loss: Callable[[float], float]) -> float | None:
    """The discount below which the loss stays under `MATTERS`; `None` where it does so without any discount."""
    if loss(1.0) < MATTERS:
        return None
    low, high = 1e-3, 1.0  # the last crossing from above, on a grid, then by halves
    below = [gamma for gamma in np.linspace(low, high, 100) if loss(float(gamma)) < MATTERS]
    low = float(max(below))
    high = min(low + 0.0102, 1.0)
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if loss(middle) < MATTERS else (low, middle)
    return math.floor(1e4 * low) / 1e4  # rounded up, some below it would lose more


def curves(loss: Callable[[int, float], float]) -> dict[str, Any]:
    """The loss by horizon and discount, and for each horizon the discount at which it stops mattering."""
    return {
        "loss": {str(h): [round(loss(h, gamma), 6) for gamma in DISCOUNTS] for h in HORIZONS},
        "stops_mattering_below": {str(h): stops_mattering(functools.partial(loss, h)) for h in HORIZONS},
    }


# -- learned --------------------------------------------------------------------------------------------


def learned(world: Timed, kind: str, *, steps: int, seed: int) -> DensityPolicy:
    """What natural gradients make of a fresh policy, without discount or bootstrapping."""
    fresh = policy(world, jax.random.key(seed), **KINDS[kind])
    baseline = NetworkBaseline(hidden=(32,), batch_size=512)
    learner = natural_gradient(0.01, discount=1.0, lambda_=1.0, baseline=baseline)
    return improve(learner, fresh, world, Plan(steps=steps, batch=BATCH * world.inner.horizon, seed=seed)).policy


def seen(kind: str, inner: LinearQuadratic) -> Timed:
    """The finite-horizon problem, the time shown or not."""
    made = timed(inner, shown=kind != "no time")
    assert isinstance(made, Timed)
    return made


def optimal(world: Timed) -> DensityPolicy:
    """The time-dependent optimum as a policy: the Riccati gains in a network for each step."""
    assert isinstance(world.inner, LinearQuadratic)
    gains = jnp.asarray(world.inner.optimal_gain(), jnp.float32)
    start = policy(world, jax.random.key(0), hidden=(), per_step=True)
    return eqx.tree_at(lambda p: p.network.networks.weights[0], start, jnp.swapaxes(gains, 1, 2))


def control_point(kind: str, horizon: int, seed: int, *, steps: int, episodes: int = 4096) -> float:
    """The loss of a learned policy's mean action; it and the optimum act under the same noise."""
    world = seen(kind, control(horizon, num_envs=BATCH // 2))
    reached = learned(world, kind, steps=steps, seed=seed)
    options = {"episodes": episodes, "seed": 7, "width": episodes}
    ideal = timed(world.inner)
    assert isinstance(ideal, Timed)
    theirs = play(ideal, Mean(optimal(ideal)), **options).episode_returns()
    difference = theirs - play(world, Mean(reached), **options).episode_returns()
    truth = return_of_gains(control(horizon), control(horizon).optimal_gain()[:, 0, 0])
    return float(difference.mean() / abs(truth))


def measure(*, seeds: int = 3, horizon: int = 5, updates: int = 150) -> dict[str, Any]:
    """The curves, and the losses of policies learned in the control world at one horizon without a discount."""
    steps = updates * BATCH * horizon
    points: dict[str, Any] = {}
    for kind in KINDS:
        losses = [control_point(kind, horizon, seed, steps=steps) for seed in range(seeds)]
        known = interval(losses)
        points[kind] = {
            "losses": [round(one, 5) for one in losses],
            "mean": round(known.mean, 5),
            "interval": [round(known.low, 5), round(known.high, 5)],
        }
    exact = round(control_loss(horizon, 1.0), 5)
    return {
        "discounts": DISCOUNTS,
        "control": curves(control_loss),
        "harvest": curves(harvest_loss) | {"growth": Harvest().growth},
        "learned": {
            "horizon": horizon,
            "updates": updates,
            "steps": steps,
            "best_stationary_loss": exact,
            "loss": points,
        },
        "machine": machine(),
    }


if __name__ == "__main__":
    options = parser(__doc__)
    tell(measure(), options.parse_args().json)
