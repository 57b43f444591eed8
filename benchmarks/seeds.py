"""What a seed costs when many are one program: time per seed, and what the compiler takes before.

    python -m benchmarks.seeds --json

per_seed     milliseconds of an iteration divided by the seeds, fastest of the pieces timed
relative     the same, over that of one seed: at most 1 is the aim
steps        environment steps a second, over all seeds
first        seconds of the first iteration: tracing, compiling and one run
cold, warm   seconds of a whole process, imports included, that trains 3 seeds for 40,960 steps each and evaluates them,
             without and with the compile cache that a process before it filled (`--processes`)

The world is CartPole, written in a few lines of JAX; 64 environments, 64 steps each; the learner takes four passes in
minibatches over policy and baseline, as PPO does.
"""

import json
import tempfile
import time
from typing import Any

import jax

from benchmarks._cartpole import CartPole
from benchmarks._measure import machine, middle, parser, python, tell
from journeyman.geometry import Euclidean
from journeyman.objectives import WeightedLogLikelihood
from journeyman.policies import policy
from journeyman.training import Adam, Learner, Plan, Recorder
from journeyman.training._loop import Loop
from journeyman.weights import Advantage, NetworkBaseline

PROCESS = """
import sys, time
began = time.perf_counter()
import jax
import journeyman as jm
if sys.argv[1]:
    jm.compile_cache(sys.argv[1])
from benchmarks.seeds import learner
from benchmarks._cartpole import CartPole
world = CartPole()
policies = [jm.policy(world, jax.random.key(seed)) for seed in range(3)]
plan = jm.Plan(steps=40_960, batch=2048, evaluation_episodes=20)
found = jm.sweep(learner(512), policies, world, plan)
print(time.perf_counter() - began, *found.rows[-1]["evaluation_return"])
"""


def learner(batch_size: int) -> Learner:
    """Four passes in minibatches over the policy and over its baseline."""
    baseline = NetworkBaseline(epochs=4, batch_size=batch_size)
    weight, likelihood = Advantage(0.99, 0.95, baseline), WeightedLogLikelihood()
    return Learner(weight, likelihood, Euclidean(), Adam(1e-3), epochs=4, batch_size=batch_size)


def measure(seeds: list[int], *, envs: int, steps: int, seconds: float) -> dict[str, Any]:
    """The figures of each number of seeds."""
    found: dict[str, Any] = {}
    for count in seeds:
        found[str(count)] = _timed(count, envs, steps, seconds)
    first = found[str(seeds[0])]["per_seed"] * seeds[0]
    for one in found.values():
        one["relative"] = middle([one["per_seed"] / first])
    return found


def _timed(count: int, envs: int, steps: int, seconds: float) -> dict[str, float]:
    world, batch = CartPole(num_envs=envs), envs * steps
    plan = Plan(steps=10**9, batch=batch, checkpoint_every=10**9)
    policies = [policy(world, jax.random.key(seed)) for seed in range(count)]
    loop = Loop(learner(max(batch // 4, 1)), world, plan, Recorder(), members=count)
    state = loop.begin(policies)
    began = time.perf_counter()
    state = loop.advance(state)
    first, end = time.perf_counter() - began, time.perf_counter() + seconds
    state = loop.advance(state)
    timed = len(loop.rows)
    while time.perf_counter() < end or len(loop.rows) == timed:
        state = loop.advance(state)
    best = min(row["clock"]["seconds"] for row in loop.rows[timed:])
    figures = {"per_seed": 1000 * best / count, "steps": batch * count / best, "first": first}
    return {name: middle([value]) for name, value in figures.items()}


def processes() -> dict[str, float]:
    """Seconds of a cold process, and of one that finds what it needs compiled."""
    with tempfile.TemporaryDirectory() as folder:
        cold, _filling, warm = (float(python(PROCESS, where).split()[0]) for where in ("", folder, folder))
    return {"cold": middle([cold], 3), "warm": middle([warm], 3)}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--seeds", default="1,4,16,64", help="how many at once, separated by commas")
    options.add_argument("--envs", type=int, default=64, help="environments of each seed")
    options.add_argument("--steps", type=int, default=64, help="steps of each environment in a batch")
    options.add_argument("--seconds", type=float, default=5.0, help="how long each number of seeds is timed")
    options.add_argument("--processes", action="store_true", help="also time whole processes")
    given = options.parse_args(arguments)
    counts = [int(word) for word in given.seeds.split(",")]
    found: dict[str, Any] = {"seeds": measure(counts, envs=given.envs, steps=given.steps, seconds=given.seconds)}
    found |= processes() if given.processes else {}
    tell(json.loads(json.dumps(found)) | {"machine": machine()}, given.json)


if __name__ == "__main__":
    main()
