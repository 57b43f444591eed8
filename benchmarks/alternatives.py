"""Gradient ascent, dynamic programming and model-based optimisation on the same three tasks: what each costs.

    python -m benchmarks.alternatives --json

tasks        a slippery gridworld and the linear-quadratic world (their best returns are exact), and the pendulum (its
             optimum is not known: the best that any method here reached from each start stands for it)
gap          best return minus the method's, from start states that all share, with a 95 % interval over seeds
evaluations  what the method asked of the world. Gradient ascent: simulator steps until then. Dynamic programming:
             backups, each the sum over the successors of one state and action. A planner: model steps for one episode,
             as it plans at every step anew (`per_decision` for one); a derivative counts one step for each number
seconds      wall time of everything, compilation and evaluation included
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from benchmarks._measure import machine, parser, tell
from journeyman.algorithms import natural_gradient, reinforce
from journeyman.collect import AbstractBehaviour, Demonstrate, Mean, rollout, start
from journeyman.diagnose import interval
from journeyman.experts import (
    CEM,
    ILQR,
    MPPI,
    AbstractExpert,
    AbstractPlanner,
    LinearRegulator,
    policy_iteration,
    value_iteration,
)
from journeyman.policies import policy
from journeyman.training import EVALUATION_SEED, Learner, Plan, Recorder
from journeyman.training._loop import Loop
from journeyman.weights import NetworkBaseline
from journeyman.worlds import AbstractPureWorld, Gridworld, LinearQuadratic, Pendulum

GRADIENT, PROGRAMMING, OPTIMISATION = "gradient ascent", "dynamic programming", "model-based optimisation"
NEEDS = {
    GRADIENT: "samples: actions, rewards, and log π",
    PROGRAMMING: "the model: every state, action and successor with its probability",
    OPTIMISATION: "a model that can be put into any state",
}
Point = tuple[int, np.ndarray]  # evaluations, and one return for each seed

GRID, GRID_DISCOUNT = Gridworld(slip=0.1, horizon=40), 0.95
LQ_DISCOUNT = 0.9
LQ = LinearQuadratic(
    [[0.9, 0.2], [0.0, 0.8]],
    [[0.0], [1.0]],
    [[1.0, 0.1], [0.1, 0.5]],
    [[0.3]],
    start=[1.0, -0.5],
    start_std=0.4,
    horizon=20,
)
PENDULUM, PENDULUM_DISCOUNT = Pendulum(), 0.99


class Told:
    """The curves of one task, each point a gap to the best return with its interval."""

    def __init__(self, best: Any) -> None:
        self.best, self.curves = best, {}

    def add(self, name: str, kind: str, points: Sequence[Point], began: float, **more: Any) -> None:
        """A method's returns at each of its points, one for each seed."""
        seconds = round(time.perf_counter() - began, 2)
        self.curves[name] = {"kind": kind, "needs": NEEDS[kind], "points": points, "seconds": seconds, **more}

    def result(self) -> dict[str, Any]:
        """The gaps, now that the best is known."""
        found = {}
        for name, curve in self.curves.items():
            gaps = [interval(np.asarray(self.best - returns, float)) for _, returns in curve["points"]]
            numbers = {key: [round(float(getattr(gap, key)), 6) for gap in gaps] for key in ("mean", "low", "high")}
            evaluations = [count for count, _ in curve["points"]]
            rest = {key: value for key, value in curve.items() if key != "points"}
            found[name] = {**rest, "evaluations": evaluations, "gap": numbers, "seeds": gaps[-1].n}
        return {"best": round(float(np.mean(self.best)), 6), "curves": found}


# -- what all share: evaluation, and gradient ascent --------------------------------------------------------


def returns(world: AbstractPureWorld, behaviour: AbstractBehaviour, discount: float, episodes: int) -> np.ndarray:
    """The discounted return from each of the shared start states."""
    own = world.remake(seed=EVALUATION_SEED, num_envs=episodes)
    assert own.horizon is not None
    _, played = rollout(own, behaviour, start(own), jax.random.key(EVALUATION_SEED), own.horizon)
    weight = discount ** np.asarray(played.elapsed, float)
    return (weight * np.asarray(played.reward, float)).sum(1)


def ascend(
    learner: Learner,
    world: AbstractPureWorld,
    value: Callable[[Any], Any],
    *,
    seeds: int,
    iterations: int,
    steps: int,
    hidden: tuple[int, ...] = (),
) -> list[Point]:
    """The value of the policy before the first iteration, after about every eighth of them and after the last, for each
    seed.

    All seeds are one program.
    """
    batch, every = steps * world.num_envs, max(1, iterations // 8)
    plan = Plan(steps=iterations * batch, batch=batch, checkpoint_every=every)
    loop = Loop(learner, world, plan, Recorder(), members=seeds)
    state = loop.begin([policy(world, jax.random.key(seed), hidden=hidden) for seed in range(seeds)])
    found: list[Point] = []
    while True:
        if int(state.iteration) % every == 0 or int(state.iteration) == iterations:
            each = loop.apart(state.running.learner.policy)
            found.append((loop.steps(state), np.asarray([value(one) for one in each])))
        if int(state.iteration) == iterations:
            return found
        state = loop.advance(state)


def recipes(discount: float, learning_rate: float, kl: float, hidden: tuple[int, ...] = ()) -> dict[str, Learner]:
    """The two recipes with one baseline, a network of the `hidden` layers."""
    baseline = NetworkBaseline(hidden=hidden, epochs=5, batch_size=1024, learning_rate=1e-2)
    return {
        "REINFORCE": reinforce(learning_rate, discount=discount, baseline=baseline),
        "natural gradient": natural_gradient(kl, discount=discount, baseline=baseline),
    }


# -- the gridworld ------------------------------------------------------------------------------------------


def gridworld(seeds: int, iterations: int) -> dict[str, Any]:
    """Exact returns of every policy on the way."""
    endless = Gridworld(GRID.layout, GRID.slip)
    begin = endless.tables().start
    best = policy_iteration(endless, GRID_DISCOUNT)
    told = Told(float(begin @ best.value))
    places = jnp.arange(len(begin))

    def value(one: Any) -> float:
        table = np.asarray(jax.nn.softmax(one.parameters(places)), float)
        return endless.expected_return(table / table.sum(-1, keepdims=True), GRID_DISCOUNT)

    for name, learner in recipes(GRID_DISCOUNT, 0.1, 0.01).items():
        began = time.perf_counter()
        told.add(name, GRADIENT, ascend(learner, GRID, value, seeds=seeds, iterations=iterations, steps=40), began)
    for name, solve in {"value iteration": value_iteration, "policy iteration": policy_iteration}.items():
        began = time.perf_counter()
        found = solve(endless, GRID_DISCOUNT)
        each = found.backups // len(found.history)
        points = []
        for sweep, table in enumerate(found.history[:40], 1):
            greedy = np.eye(4)[_greedy(endless, table)]
            points.append((each * sweep, np.full(seeds, endless.expected_return(greedy, GRID_DISCOUNT))))
        told.add(name, PROGRAMMING, points, began)
    return told.result()


def _greedy(world: Gridworld, value: np.ndarray) -> np.ndarray:
    tables = world.tables()
    going = np.where(tables.terminal, 0.0, value)
    return ((tables.transition * tables.reward).sum(-1) + GRID_DISCOUNT * tables.transition @ going).argmax(-1)


# -- the linear-quadratic world -----------------------------------------------------------------------------


def linear_quadratic(seeds: int, iterations: int, episodes: int) -> dict[str, Any]:
    """Every method's actions from the same start states; the regulator is the best."""
    score = lambda behaviour: returns(LQ, behaviour, LQ_DISCOUNT, episodes)  # noqa: E731
    told = Told(np.full(seeds, score(Demonstrate(LinearRegulator.of(LQ, LQ_DISCOUNT))).mean()))
    value = lambda one: score(Mean(one)).mean()  # noqa: E731
    for name, learner in recipes(LQ_DISCOUNT, 0.03, 0.01, hidden=(32,)).items():
        began = time.perf_counter()
        told.add(name, GRADIENT, ascend(learner, LQ, value, seeds=seeds, iterations=iterations, steps=20), began)
    began, points = time.perf_counter(), []
    for sweeps in (1, 2, 3, 4, 6, 8, 12, 16):
        short = eqx.tree_at(lambda world: world.horizon, LQ, sweeps + 1)
        gain = LinearRegulator(jnp.asarray(short.optimal_gain(LQ_DISCOUNT)[0], jnp.float32))
        points.append((sweeps, np.full(seeds, score(Demonstrate(gain)).mean())))
    told.add("Riccati recursion", PROGRAMMING, points, began, needs="A, B, Q and R: the model as matrices")
    look: dict[str, Any] = {"horizon": 15, "discount": LQ_DISCOUNT}
    planners = {
        "iLQR": [ILQR(LQ, iterations=1, **look)],
        "CEM": [CEM(LQ, samples=128, elites=16, iterations=count, **look) for count in (2, 5, 12)],
        "MPPI": [MPPI(LQ, samples=128, iterations=count, std=0.7, temperature=0.02, **look) for count in (2, 5, 12)],
    }
    plan_ahead(told, planners, score, seeds, LQ, numbers=3)
    return told.result()


def plan_ahead(
    told: Told,
    planners: dict[str, list[AbstractPlanner]],
    score: Callable[[AbstractBehaviour], np.ndarray],
    seeds: int,
    world: Any,
    numbers: int,
    paired: bool = False,
) -> None:
    """The return of each planner as it plans more; a seed is a share of the start states."""
    for name, some in planners.items():
        began, points, each = time.perf_counter(), [], []
        for planner in some:
            each.append(model_steps(planner, numbers))
            found = score(Demonstrate(planner))
            points.append((each[-1] * world.horizon, found if paired else np.full(seeds, found.mean())))
        told.add(name, OPTIMISATION, points, began, per_decision=each)


def model_steps(planner: AbstractPlanner, numbers: int) -> int:
    """Steps of the model for one label; `numbers` is how many states and actions have, together."""
    if isinstance(planner, ILQR):
        before = 0 if planner.first is None else model_steps(planner.first, numbers)
        return before + planner.horizon * (1 + planner.iterations * (8 + numbers))
    assert isinstance(planner, (CEM, MPPI))
    return planner.horizon * (1 + planner.samples * planner.iterations)


# -- the pendulum -------------------------------------------------------------------------------------------


class GridExpert(AbstractExpert):
    """One step of look-ahead on a table of values over angle and velocity, interpolated between its points."""

    value: Array
    torques: Array

    def label(self, observation: Array, key: Array) -> Array:
        """The torque of the greatest reward and value to come."""
        return jax.vmap(self._one)(observation)

    def _one(self, seen: Array) -> Array:
        state = PENDULUM.state_of(seen)
        moved, outcome = jax.vmap(lambda u: PENDULUM.step(state, u[None], jax.random.key(0)))(self.torques)
        corner, share = corners(moved.angle, moved.velocity, self.value.shape[0])
        later = (share * self.value.ravel()[corner]).sum(-1)
        return self.torques[jnp.argmax(outcome.reward + PENDULUM_DISCOUNT * later)][None]


def corners(angle: Array, velocity: Array, count: int) -> tuple[Array, Array]:
    """The four points of a `count` × `count` grid around a state, flat, and their shares; the angle wraps."""
    x = jnp.mod((angle + jnp.pi) / (2 * jnp.pi), 1.0) * count
    y = jnp.clip((velocity + 8) / 16, 0, 1) * (count - 1)
    i, j = jnp.floor(x).astype(jnp.int32), jnp.minimum(jnp.floor(y).astype(jnp.int32), count - 2)
    a, b = x - i, y - j
    places = [((i + di) % count) * count + j + dj for di in (0, 1) for dj in (0, 1)]
    shares = [(a if di else 1 - a) * (b if dj else 1 - b) for di in (0, 1) for dj in (0, 1)]
    return jnp.stack(places, -1), jnp.stack(shares, -1)


@eqx.filter_jit
def grid_iteration(value: Array, torques: Array, sweeps: int) -> Array:
    """`sweeps` of value iteration on the grid, from `value`."""
    count = value.shape[0]
    angle = jnp.arange(count) * 2 * jnp.pi / count - jnp.pi
    velocity = jnp.linspace(-8, 8, count)

    def at(angle: Array, velocity: Array, torque: Array) -> Any:
        state = PENDULUM.state_of(jnp.stack([jnp.cos(angle), jnp.sin(angle), velocity]))
        moved, outcome = PENDULUM.step(state, torque[None], jax.random.key(0))
        return *corners(moved.angle, moved.velocity, count), outcome.reward

    over = jax.vmap(jax.vmap(jax.vmap(at, (None, None, 0)), (None, 0, None)), (0, None, None))
    corner, share, reward = over(angle, velocity, torques)

    def sweep(value: Array, _: None) -> tuple[Array, None]:
        later = (share * value.ravel()[corner]).sum(-1)
        return (reward + PENDULUM_DISCOUNT * later).max(-1), None

    return jax.lax.scan(sweep, value, None, length=sweeps)[0]


def pendulum(seeds: int, iterations: int, episodes: int, grid: int) -> dict[str, Any]:
    """Undiscounted returns from the same start states; the best that any method reached from each."""
    score = lambda behaviour: returns(PENDULUM, behaviour, 1.0, episodes)  # noqa: E731
    told = Told(0.0)
    learner = recipes(PENDULUM_DISCOUNT, 3e-3, 0.05, hidden=(32, 32))["natural gradient"]
    began = time.perf_counter()
    points = ascend(
        learner,
        PENDULUM,
        lambda one: score(Mean(one)),
        seeds=seeds,
        iterations=iterations,
        steps=200,
        hidden=(32, 32),
    )
    told.add("natural gradient", GRADIENT, points, began)
    began, points, done = time.perf_counter(), [], 0
    value, torques = jnp.zeros((grid, grid)), jnp.linspace(-2, 2, 9)
    for sweeps in (20, 20, 40, 80, 160):
        value, done = grid_iteration(value, torques, sweeps), done + sweeps
        points.append((done * grid * grid * len(torques), score(Demonstrate(GridExpert(value, torques)))))
    told.add("value iteration on a grid", PROGRAMMING, points, began, grid=[grid, grid, len(torques)])
    draft = {"horizon": 40, "samples": 32, "std": 2.0}
    planners = {
        "iLQR": [ILQR(PENDULUM, horizon=40, iterations=10)],
        "MPPI": [MPPI(PENDULUM, iterations=count, **draft) for count in (1, 2, 8)],
        "iLQR from MPPI": [
            ILQR(PENDULUM, horizon=40, iterations=count, first=MPPI(PENDULUM, iterations=2, **draft))
            for count in (1, 4)
        ],
    }
    plan_ahead(told, planners, score, seeds, PENDULUM, numbers=3, paired=True)
    best = np.max([np.max(np.atleast_2d(r), 0) for c in told.curves.values() for _, r in c["points"]], axis=0)
    for curve in told.curves.values():
        curve["points"] = [(count, _by_seed(r - best, seeds)) for count, r in curve["points"]]
    return told.result() | {"best": round(float(best.mean()), 3)}


def _by_seed(gaps: np.ndarray, seeds: int) -> np.ndarray:
    """One number a seed: of learners their own mean, of the others the mean of a share of the starts."""
    return gaps.mean(-1) if gaps.ndim == 2 else np.asarray([part.mean() for part in np.array_split(gaps, seeds)])


def measure(*, seeds: int, scale: float) -> dict[str, Any]:
    """The three tasks; `scale` shortens everything."""
    some = lambda count: max(2, round(scale * count))  # noqa: E731
    tasks = {
        "gridworld": gridworld(seeds, some(40)),
        "linear-quadratic": linear_quadratic(seeds, some(30), some(16)),
        "pendulum": pendulum(min(seeds, 3), some(30), max(seeds, some(24)), some(61)),
    }
    return {"tasks": tasks, "machine": machine()}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=5, help="seeds of each learner; at most 3 on the pendulum")
    options.add_argument("--scale", type=float, default=1.0, help="a fraction of the work")
    given = options.parse_args(arguments)
    tell(measure(seeds=given.seeds, scale=given.scale), given.json)


if __name__ == "__main__":
    main()
