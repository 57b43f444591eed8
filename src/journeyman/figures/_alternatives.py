"""Gradient ascent, dynamic programming and model-based optimisation on the same tasks."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from journeyman.algorithms import natural_gradient, reinforce
from journeyman.collect import AbstractBehaviour, Demonstrate, play
from journeyman.diagnose import interval
from journeyman.experts import ILQR, MPPI, LinearRegulator, TabularExpert, backward_induction, value_iteration
from journeyman.figures._model import Computed, Effort
from journeyman.policies import policy
from journeyman.training import EVALUATION_SEED, Learner, Plan, sweep
from journeyman.weights import NetworkBaseline
from journeyman.worlds import AbstractPureWorld, Gridworld, LinearQuadratic

GRID = Gridworld(slip=0.1, horizon=40)
LQ = LinearQuadratic(
    [[0.9, 0.2], [0.0, 0.8]],
    [[0.0], [1.0]],
    [[1.0, 0.1], [0.1, 0.5]],
    [[0.3]],
    start=[1.0, -0.5],
    start_std=0.4,
    horizon=20,
)
ASCENT, PROGRAMMING, MODEL = "gradient ascent", "dynamic programming", "model-based optimisation"
EVALUATED = 64


def alternatives(effort: Effort) -> Computed:
    """The gap to the best return by evaluations of world or model, on a table and on a linear-quadratic world."""
    tasks = {"gridworld": gridworld(effort), "linear-quadratic": linear_quadratic(effort)}
    numbers: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    for task, curves in tasks.items():
        numbers[task] = {}
        for label, (kind, evaluations, gaps) in curves.items():
            found = [interval(row) for row in gaps]
            rows = np.asarray([(i.mean, i.low, i.high) for i in found])
            arrays[f"{task} · {label}"] = (kind, np.asarray(evaluations, float), rows)
            numbers[task][label] = {
                "kind": kind,
                "evaluations": int(evaluations[-1]),
                "gap": dict(zip(("mean", "low", "high"), rows[-1].tolist(), strict=True)),
                "seeds": found[-1].n,
            }
    grid, lq = numbers["gridworld"], numbers["linear-quadratic"]
    caption = (
        "What each way needs for its return. Left: a gridworld with slips; gradient ascent is left with a gap of"
        f" {_short(grid, 'REINFORCE')} (REINFORCE) and {_short(grid, 'natural gradient')} (natural gradient) after"
        f" {grid['REINFORCE']['evaluations']:,} steps of the world, value iteration with none after"
        f" {grid['value iteration']['evaluations']:,} backups. Right: linear-quadratic control with two states;"
        f" {lq['Riccati recursion']['evaluations']} steps of Riccati's recursion leave"
        f" {_short(lq, 'Riccati recursion')}, iLQR {_short(lq, 'iLQR')} after {lq['iLQR']['evaluations']:,} model steps,"
        f" MPPI {_short(lq, 'MPPI')} after {lq['MPPI']['evaluations']:,}, REINFORCE {_short(lq, 'REINFORCE')} after"
        f" {lq['REINFORCE']['evaluations']:,} steps of the world. A planner's evaluations are those of one episode, at"
        " every step anew; a learner asks for nothing after it has learned."
    )
    words = (
        f"{effort.seeds} seeds of each learner from {effort.seed}; every gap is paired: the same {EVALUATED} episodes"
        f" (seed {EVALUATION_SEED}), the likeliest action, against the best policy's; bands: 95 % over seeds"
    )
    return Computed(arrays, numbers, caption, words)


Curve = tuple[str, list[int], np.ndarray]  # kind, evaluations, gaps (points, seeds)


def gridworld(effort: Effort) -> dict[str, Curve]:
    """By the undiscounted return of at most forty steps."""
    tables = backward_induction(GRID)
    best = _returns(GRID, Demonstrate(TabularExpert(jnp.asarray(tables.action_values[0], jnp.float32))))
    found = {}
    for label, learner in recipes(0.1, 0.01, ()).items():
        found[label] = (ASCENT, *_ascent(learner, GRID, best.mean(), effort.some(40, 4), 40, (), effort))
    solved = value_iteration(eqx.tree_at(lambda w: w.horizon, GRID, None, is_leaf=lambda x: x is None), 1.0)
    states, actions = solved.action_values.shape
    points, gaps = [], []
    tabled = GRID.tables()
    going = tabled.transition * ~tabled.terminal[:, None, None]
    reward, move = (going * tabled.reward).sum(-1), going * ~tabled.terminal
    for sweeps, value in enumerate(solved.history[:24], 1):
        expert = TabularExpert(jnp.asarray(reward + move @ value, jnp.float32))
        points.append(sweeps * states * actions)
        gaps.append([best.mean() - _returns(GRID, Demonstrate(expert)).mean()])
    found["value iteration"] = (PROGRAMMING, points, np.asarray(gaps))
    return found


def linear_quadratic(effort: Effort) -> dict[str, Curve]:
    """By the undiscounted return of twenty steps from random starts; nothing else is random."""
    best = _returns(LQ, _Gains.of(LQ)).mean()
    found = {}
    for label, learner in recipes(0.03, 0.01, (32,)).items():
        found[label] = (ASCENT, *_ascent(learner, LQ, best, effort.some(40, 4), 20, (), effort))
    points, gaps = [1, 2, 3, 4, 6, 8, 12, 16], []
    for sweeps in points:
        short = eqx.tree_at(lambda w: w.horizon, LQ, sweeps + 1)
        gain = LinearRegulator(jnp.asarray(short.optimal_gain()[0], jnp.float32))
        gaps.append([best - _returns(LQ, Demonstrate(gain)).mean()])
    found["Riccati recursion"] = (PROGRAMMING, points, np.asarray(gaps))
    planners: dict[str, list[Any]] = {
        "iLQR": [ILQR(LQ, horizon=15, iterations=1)],
        "MPPI": [MPPI(LQ, horizon=15, samples=64, iterations=n, std=0.7, temperature=0.02) for n in (2, 5, 10)],
    }
    for label, some in planners.items():
        points = [_model_steps(one) * 20 for one in some]
        gaps = [[best - _returns(LQ, Demonstrate(one)).mean()] for one in some]
        found[label] = (MODEL, points, np.asarray(gaps))
    return found


def recipes(rate: float, kl: float, hidden: tuple[int, ...]) -> dict[str, Learner]:
    """The two recipes with one baseline, undiscounted."""
    baseline = NetworkBaseline(hidden=hidden, epochs=5, batch_size=1024, learning_rate=1e-2)
    shared: dict[str, Any] = {"discount": 1.0, "baseline": baseline}
    return {
        "REINFORCE": reinforce(rate, **shared),
        "natural gradient": natural_gradient(kl, lambda_=1.0, **shared),
    }


class _Gains:
    """The best gains, the first of which is that of a long horizon."""

    @staticmethod
    def of(world: LinearQuadratic) -> AbstractBehaviour:
        return Demonstrate(LinearRegulator(jnp.asarray(world.optimal_gain()[0], jnp.float32)))


def _returns(world: AbstractPureWorld, behaviour: AbstractBehaviour) -> np.ndarray:
    return np.asarray(play(world, behaviour, episodes=EVALUATED, seed=EVALUATION_SEED).episode_returns(), float)


def _ascent(
    learner: Learner,
    world: AbstractPureWorld,
    best: float,
    iterations: int,
    steps: int,
    hidden: tuple[int, ...],
    effort: Effort,
) -> tuple[list[int], np.ndarray]:
    """Evaluations and gaps `(points, seeds)` along a sweep over seeds."""
    fresh: Callable[[int], Any] = lambda i: policy(world, jax.random.key(effort.seed + i), hidden=hidden)  # noqa: E731
    batch = steps * world.num_envs
    plan = Plan(
        steps=batch * iterations,
        batch=batch,
        seed=effort.seed,
        evaluation_episodes=EVALUATED,
        evaluate_every=max(1, iterations // 8),
    )
    rows = sweep(learner, [fresh(i) for i in range(effort.seeds)], world, plan).rows
    looked = [row for row in rows if "evaluation_return" in row]
    return [row["step"] for row in looked], best - np.asarray([row["evaluation_return"] for row in looked], float)


def _model_steps(planner: Any) -> int:
    """Steps of the model for one label; a derivative counts one for each of three numbers."""
    if isinstance(planner, ILQR):
        return planner.horizon * (1 + planner.iterations * (8 + 3))
    return planner.horizon * (1 + planner.samples * planner.iterations)


def _short(numbers: dict[str, Any], label: str) -> str:
    gap = numbers[label]["gap"]["mean"]
    return "no gap" if abs(gap) < 5e-5 else f"{gap:.2g}"
