"""What a step is measured in: vanilla against natural, how far to go, and in which coordinates."""

from typing import Any

import numpy as np

from journeyman.diagnose import interval, step
from journeyman.figures import _scalar_control as control
from journeyman.figures._model import Computed, Effort, told
from journeyman.figures._sampled_control import sampled_walks
from journeyman.geometry import Fisher
from journeyman.training import EVALUATION_SEED
from journeyman.verify import linear_policy
from journeyman.weights import Advantage, LinearBaseline, Unscaled
from journeyman.worlds import LinearQuadratic

# -- 5 ----------------------------------------------------------------------------------------------------

RADIUS, STEPS, EPISODES = 0.01, 35, 64
FLOOR = -20.0


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
    ends = [numbers[label]["sampled"]["gap"]["mean"] for label in ("vanilla", "natural")]
    caption = (
        f"Two parameters, u ~ N(kx, σ²), from (−.2, .5), where ∇J = ({_minus(slope[0], 2)}, {_minus(slope[1], 2)})."
        f" Every step has a predicted KL of {RADIUS} nats; thick: exact gradients, thin: gradients of {EPISODES}"
        f" sampled episodes. σ shrinks along both: after {steps} exact steps it is {plain['std']:.2g} (vanilla) and"
        f" {other['std']:.2g} (natural). The difference is in the gain. The vanilla one is still at"
        f" {_minus(plain['gain'], 3)}, and a policy without noise hardly moves in as many nats; the natural one is at"
        f" {_minus(other['gain'], 3)} (best {_minus(control.BEST_GAIN, 3)}). The return is {plain['gap']:.2g} below the"
        f" best after the vanilla steps and {other['gap']:.2g} after the natural ones. With sampled gradients steps of"
        f" this fixed length do not settle: {ends[0]:.2g} and {ends[1]:.2g} below."
    )
    words = f"exact paths, and {seeds} sampled runs each from seed {effort.seed}; bands: 95 % intervals of their mean"
    return Computed(arrays, numbers, caption, words)


def _bands(runs: np.ndarray) -> np.ndarray:
    """`(time, 3)`: mean, low and high over runs `(runs, time)`."""
    return np.asarray([(i.mean, i.low, i.high) for i in (interval(column) for column in runs.T)])


# -- 6 ----------------------------------------------------------------------------------------------------

MULTIPLES = (0.5, 1, 2, 4, 8, 16, 32)
RADII = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
HORIZON, GAIN, STD = 20, -0.3, 0.3


def collapse(effort: Effort) -> Computed:
    """The return along one direction by the length of the step, and how far the policy then really is."""
    world = LinearQuadratic(horizon=HORIZON)
    weight = Advantage(1.0, 1.0, LinearBaseline(), Unscaled())
    count, seed = effort.some(256, 16), EVALUATION_SEED + effort.seed
    found = step(
        linear_policy(world, GAIN, STD),
        world,
        weight,
        geometry=Fisher(1e-4),
        kl=RADIUS,
        episodes=count,
        evaluation_episodes=count,
        radii=RADII,
        multiples=MULTIPLES,
        seed=seed,
    )
    best = _best(world)
    arrays: dict[str, Any] = {"multiples": np.asarray(MULTIPLES), "radii": np.asarray(RADII), "best": best}
    numbers: dict[str, Any] = {"best": best, "start": told(found.plain.returns[0])}
    for label, along in (("vanilla", found.plain), ("natural", found.natural)):
        arrays[f"{label} along"] = np.asarray([(r.mean, r.low, r.high) for r in along.returns])
        arrays[f"{label} realised"] = along.realised_kl
        returns = {f"{m:g}": told(r) if r.n else "overflow" for m, r in zip(MULTIPLES, along.returns[1:], strict=True)}
        realised = [float(kl) if np.isfinite(kl) else "overflow" for kl in along.realised_kl]
        numbers[label] = {"best": along.best, "collapse": along.collapse, "returns": returns, "realised_kl": realised}
    words = (
        f"{count} episodes for the gradient and as many for each return, from seed {seed:,}; bands: 95 %"
        " intervals over episodes"
    )
    return Computed(arrays, numbers, _collapse_caption(numbers, count), words)


def _collapse_caption(numbers: dict[str, Any], count: int) -> str:
    vanilla, natural = numbers["vanilla"], numbers["natural"]
    return (
        f"One gradient of {count} episodes at (k, σ) = ({_minus(GAIN, 1)}, {STD}) in a linear-quadratic world of"
        f" {HORIZON} steps. Left: the return by the length of the step, in multiples of the one with a predicted KL of"
        f" {RADIUS} nats. It is best at {vanilla['best']:g} along the vanilla and at {natural['best']:g} along the"
        f" natural gradient ({_minus(numbers['best'], 2)} is possible). Surely below the start, collapsed: from"
        f" {_fallen(vanilla)} on along the vanilla, from {_fallen(natural)} on along the natural one. A triangle at the"
        f" edge is a return below {_minus(FLOOR, 0)} or one that is no longer finite. Right: the KL that the step"
        f" really makes on the states of the batch. At a predicted 1 nat it is {_nats(vanilla)} for the vanilla and"
        f" {_nats(natural)} for the natural step: the quadratic model holds for small steps only."
    )


def _best(world: LinearQuadratic) -> float:
    """−P₀ x₀² of the Riccati recursion, from the gains."""
    (a,), (b,) = world.dynamics[0], world.control[0]
    x, total = world.start[0], 0.0
    for gain in world.optimal_gain()[:, 0, 0]:
        total -= x**2 + (gain * x) ** 2
        x = (a + b * gain) * x
    return float(total)


def _fallen(along: dict[str, Any]) -> str:
    return "no length" if along["collapse"] is None else f"{along['collapse']:g}"


def _nats(along: dict[str, Any]) -> str:
    last = along["realised_kl"][-1]
    return "no finite number" if last == "overflow" else f"{last:.2g}"


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
        " part at once, the natural ones stay together. Right: how far apart one step of radius r lands, √(KL/r), where"
        f" 0 is the same policy: {plain['apart_smallest']:.2f} for the vanilla step however small, and falling like"
        f" r^{other['slope']:.2f} for the natural one, which is covariant to first order."
    )
    return Computed(arrays, numbers, caption, "exact gradients and Fisher matrices; nothing is random")


def _minus(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")
