"""What a step is measured in: vanilla against natural, how far to go, and in which coordinates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from journeyman.algorithms import natural_gradient, reinforce
from journeyman.diagnose import Interval, interval, step
from journeyman.figures import _scalar_control as control
from journeyman.figures._model import Computed, Effort, told
from journeyman.figures._sampled_control import sampled_walks
from journeyman.geometry import Fisher
from journeyman.training import Learner, Plan, sweep
from journeyman.verify import linear_policy
from journeyman.weights import Advantage, LinearBaseline, Unscaled
from journeyman.worlds import LinearQuadratic

# -- 5 ----------------------------------------------------------------------------------------------------

RADIUS, STEPS, EPISODES = 0.01, 35, 64


def vanilla_and_natural(effort: Effort) -> Computed:
    """Steps of equal KL from (−.2, .5) along the exact and the sampled gradient, plain and natural."""
    steps, seeds = effort.some(STEPS, 20), effort.some(10, 3)
    gains, stds = np.linspace(-0.95, -0.1, 171), np.linspace(0.0, 0.6, 121)
    arrays: dict[str, Any] = {"gains": gains, "stds": stds, "steps": np.arange(steps + 1)}
    arrays["gap"] = control.BEST_RETURN - control.value(gains[None, :], stds[:, None])
    begin = np.asarray(control.START)
    numbers: dict[str, Any] = {
        "start": {"return": float(control.value(*begin)), "gradient": control.gradient(begin).tolist()},
        "best": {"gain": control.BEST_GAIN, "return": control.BEST_RETURN},
        "kl": RADIUS,
        "steps": steps,
    }
    for label, natural in (("vanilla", False), ("natural", True)):
        path = control.walk(steps, RADIUS, natural=natural)
        runs = sampled_walks(seeds, steps=steps, radius=RADIUS, episodes=EPISODES, natural=natural, seed=effort.seed)
        gap = control.BEST_RETURN - control.value(runs[..., 0], runs[..., 1])
        arrays |= {label: path, f"{label} runs": runs}
        arrays[f"{label} gap"] = control.BEST_RETURN - control.value(path[:, 0], path[:, 1])
        arrays[f"{label} σ band"] = _bands(runs[..., 1])
        arrays[f"{label} gap band"] = _bands(gap)
        exact = {"gain": float(path[-1, 0]), "std": float(path[-1, 1]), "gap": float(arrays[f"{label} gap"][-1])}
        numbers[label] = {
            "exact": exact,
            "sampled": {"std": told(interval(runs[:, -1, 1])), "gap": told(interval(gap[:, -1]))},
        }
    plain, other = numbers["vanilla"]["exact"], numbers["natural"]["exact"]
    slope = numbers["start"]["gradient"]
    caption = (
        f"Two parameters, u ~ N(kx, σ²), from (−.2, .5), where ∇J = ({_minus(slope[0], 2)}, {_minus(slope[1], 2)})."
        f" Every step has a predicted KL of {RADIUS} nats; thick: exact gradients, thin: gradients of {EPISODES}"
        f" sampled episodes. The vanilla gradient spends its steps on σ: after {steps} of them σ ="
        f" {plain['std']:.3g} and the gain has stopped at {_minus(plain['gain'], 3)}, since a policy without noise can move"
        f" no further in as many nats. The natural gradient is at k = {_minus(other['gain'], 3)} (best"
        f" {_minus(control.BEST_GAIN, 3)}) with σ = {other['std']:.2g}; its return is {other['gap']:.2g} from the best,"
        f" the vanilla one's {plain['gap']:.2g}."
    )
    words = f"exact paths, and {seeds} sampled runs each from seed {effort.seed}; bands: 95 % intervals of their mean"
    return Computed(arrays, numbers, caption, words)


def _bands(runs: np.ndarray) -> np.ndarray:
    """`(time, 3)`: mean, low and high over runs `(runs, time)`."""
    return np.asarray([(i.mean, i.low, i.high) for i in (interval(column) for column in runs.T)])


# -- 6 ----------------------------------------------------------------------------------------------------

MULTIPLES = (0.5, 1, 2, 4, 8, 16, 32)
RADII = (0.003, 0.01, 0.03, 0.1, 0.3)
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
HORIZON, GAIN, STD = 20, -0.3, 0.3


def collapse(effort: Effort) -> Computed:
    """The return along one direction, and the return after thirty updates, by the length of a step."""
    world = LinearQuadratic(horizon=HORIZON)
    weight = Advantage(1.0, 1.0, LinearBaseline(), Unscaled())
    count = effort.some(256, 16)
    policy = linear_policy(world, GAIN, STD)
    found = step(
        policy,
        world,
        weight,
        geometry=Fisher(1e-4),
        kl=0.01,
        episodes=count,
        evaluation_episodes=count,
        multiples=MULTIPLES,
        seed=1_000_003 + effort.seed,
    )
    best = _best(world)
    arrays: dict[str, Any] = {"multiples": np.asarray((0.0, *MULTIPLES)), "best": best}
    numbers: dict[str, Any] = {"best": best, "along": {}, "trained": {}}
    for label, along in (("vanilla", found.plain), ("natural", found.natural)):
        arrays[f"{label} along"] = np.asarray([(r.mean, r.low, r.high) for r in along.returns])
        numbers["along"][label] = {"best_multiple": along.best, "collapse": along.collapse}
    iterations = effort.some(30, 4)
    recipes = {"natural": (RADII, _natural), "vanilla": (RATES, _vanilla)}
    for label, (sizes, make) in recipes.items():
        trained = _trained([make(size) for size in sizes], world, iterations, effort)
        arrays[f"{label} sizes"] = np.asarray(sizes)
        arrays[f"{label} trained"] = np.asarray([(i.mean, i.low, i.high) for i in trained])
        numbers["trained"][label] = {f"{s:g}": told(i) for s, i in zip(sizes, trained, strict=True)}
    fallen = numbers["along"]
    good = {label: max(numbers["trained"][label].items(), key=lambda pair: pair[1]["mean"]) for label in recipes}
    caption = (
        "Left: the return along one direction by the length of the step, in multiples of the one with a predicted KL of"
        f" .01 nats. The first length at which the return is surely below the start: {_fallen(fallen['vanilla'])} along"
        f" the vanilla, {_fallen(fallen['natural'])} along the natural gradient. Middle and right: the return after"
        f" {iterations} updates by the length of each. The best of these: {good['natural'][0]} nats"
        f" ({_minus(good['natural'][1]['mean'], 2)}) and an Adam learning rate of {good['vanilla'][0]}"
        f" ({_minus(good['vanilla'][1]['mean'], 2)}); the best possible is {_minus(best, 2)}. Linear-quadratic world of 20 steps; returns below −60 are drawn at the edge."
    )
    words = (
        f"left: {count} episodes for the gradient and for each return, seed {1_000_003 + effort.seed};"
        f" others: {effort.seeds} seeds from {effort.seed}, 64 episodes an update; 95 % bootstrap intervals"
    )
    return Computed(arrays, numbers, caption, words)


def _best(world: LinearQuadratic) -> float:
    """−P₀ x₀² of the Riccati recursion, from the gains."""
    (a,), (b,) = world.dynamics[0], world.control[0]
    x, total = world.start[0], 0.0
    for gain in world.optimal_gain()[:, 0, 0]:
        total -= x**2 + (gain * x) ** 2
        x = (a + b * gain) * x
    return float(total)


def _natural(size: float) -> Learner:
    return natural_gradient(size, discount=1.0, lambda_=1.0, baseline=LinearBaseline(), damping=1e-4)


def _vanilla(size: float) -> Learner:
    return reinforce(size, discount=1.0, baseline=LinearBaseline())


def _trained(learners: Sequence[Learner], world: LinearQuadratic, iterations: int, effort: Effort) -> list[Interval]:
    """The mean return of the last three batches, one interval over seeds for each learner."""
    each = [one for one in learners for _ in range(effort.seeds)]
    begin = [linear_policy(world, GAIN, STD)] * len(each)
    batch = HORIZON * world.num_envs
    plan = Plan(steps=batch * iterations, batch=batch, seed=effort.seed)
    rows = sweep(each, begin, world, plan).rows
    last = np.asarray([row["return"] for row in list(rows)[-3:] if "return" in row], float).mean(0)
    return [interval(part) for part in last.reshape(len(learners), effort.seeds)]


def _fallen(along: dict[str, Any]) -> str:
    return "none" if along["collapse"] is None else f"{along['collapse']:g}"


# -- 7 ----------------------------------------------------------------------------------------------------


def coordinates(effort: Effort) -> Computed:
    """The same steps taken in θ = (k, σ) and in φ = (k², 1/σ)."""
    steps = effort.some(50, 10)
    radii = np.geomspace(1e-6, 1e-2, 25)
    begin = np.asarray(control.START)
    gains, stds = np.linspace(-0.7, -0.15, 111), np.linspace(0.0, 0.6, 121)
    arrays: dict[str, Any] = {"gains": gains, "stds": stds, "radii": radii}
    arrays["gap"] = control.BEST_RETURN - control.value(gains[None, :], stds[:, None])
    numbers: dict[str, Any] = {"kl": RADIUS, "steps": steps}
    for label, natural in (("vanilla", False), ("natural", True)):
        for where, retold in (("θ", False), ("φ", True)):
            arrays[f"{label} {where}"] = control.walk(steps, RADIUS, natural=natural, retold=retold)
        apart = []
        for radius in radii:
            here, there = (control.step(begin, radius, natural=natural, retold=r) for r in (False, True))
            apart.append(np.sqrt(max(control.divergence(here, there), 0.0) / radius))
        arrays[f"{label} apart"] = np.asarray(apart)
        slope = float(np.polyfit(np.log(radii), np.log(np.maximum(apart, 1e-12)), 1)[0])
        numbers[label] = {"apart_smallest": apart[0], "apart_largest": apart[-1], "slope": slope}
    plain, other = numbers["vanilla"], numbers["natural"]
    caption = (
        "One policy, written as θ = (k, σ) and as φ = (k², 1/σ). Left and middle:"
        f" {steps} steps of {RADIUS} nats along the exact gradient taken in the one and in the other. The vanilla paths"
        " part at once, the natural ones stay together. Right: how far apart one step of radius r lands, √(KL/r), where 0"
        f" is the same policy: {plain['apart_smallest']:.2f} for the vanilla step however small, and falling like"
        f" r^{other['slope']:.2f} for the natural one, which is covariant to first order."
    )
    return Computed(arrays, numbers, caption, "exact gradients and Fisher matrices; nothing is random")


def _minus(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")
