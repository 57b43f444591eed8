"""What a seed costs when many are one program: time per seed, and what the compiler takes before.

    python -m benchmarks.seeds --json

per_seed     milliseconds of an iteration divided by the seeds, fastest of the pieces timed
relative     the same, over that of the first number of `--seeds`, which is one seed: at most 1 is the aim
steps        environment steps a second, over all seeds
first        seconds of the first iteration: tracing, compiling and one run
cold, warm   seconds of a whole process, imports included, that trains 3 seeds for 40,960 steps each (64 environments ×
             32 steps, 4 epochs of 4 minibatches) and evaluates them after each half, without and with the compile
             cache that a process before it filled (`--processes`); in gymnax's CartPole and in ours
ajax_cold    the same by Ajax, its compile cache off, in gymnax's CartPole (`--processes ajax`); `rejax_cold` by Rejax

The world of the first four is CartPole, written in a few lines of JAX; 64 environments, 64 steps each; the learner is
PPO with four epochs of four minibatches.
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from benchmarks._cartpole import CartPole
from benchmarks._measure import machine, middle, parser, python, tell
from benchmarks._opponent import environment, interpreter_of_at_least
from benchmarks.pure_worlds import PYTHON, REQUIREMENTS, VERSIONS
from journeyman.algorithms import ppo
from journeyman.policies import policy
from journeyman.training import Plan, Recorder
from journeyman.training._loop import Loop

PROCESS = """
import sys, time
began = time.perf_counter()
import jax
import journeyman as jm
if sys.argv[1]:
    jm.compile_cache(sys.argv[1])
from journeyman.algorithms import ppo
if sys.argv[2] == "ours":
    from benchmarks._cartpole import CartPole
    world = CartPole()
else:
    world = jm.world(sys.argv[2], num_envs=64)
policies = [jm.policy(world, jax.random.key(seed)) for seed in range(3)]
plan = jm.Plan(steps=40_960, batch=2048, evaluation_episodes=20)
found = jm.sweep(ppo(epochs=4, batch_size=512), policies, world, plan)
print(time.perf_counter() - began, *found.rows[-1]["evaluation_return"])
"""
WORLDS = {"gymnax": "gymnax:CartPole-v1", "ours": "ours"}


def measure(seeds: list[int], *, envs: int, steps: int, seconds: float) -> dict[str, Any]:
    """The figures of each number of seeds."""
    found: dict[str, Any] = {}
    for count in seeds:
        found[str(count)] = _timed(count, envs, steps, seconds)
    first = found[str(seeds[0])]["per_seed"]
    for one in found.values():
        one["relative"] = middle([one["per_seed"] / first])
    return found


def _timed(count: int, envs: int, steps: int, seconds: float) -> dict[str, float]:
    world, batch = CartPole(num_envs=envs), envs * steps
    plan = Plan(steps=10**9, batch=batch, checkpoint_every=10**9)
    policies = [policy(world, jax.random.key(seed)) for seed in range(count)]
    loop = Loop(ppo(epochs=4, batch_size=max(batch // 4, 1)), world, plan, Recorder(), members=count)
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


def processes(others: list[str], rounds: int) -> dict[str, Any]:
    """Seconds of a cold process, and of one that finds what it needs compiled; medians over rounds."""
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, made in WORLDS.items():
            with tempfile.TemporaryDirectory() as folder:
                cold, _filling, warm = (
                    float(python(PROCESS, where, made).split()[0]) for where in ("", folder, folder)
                )
            times.setdefault(f"{name}_cold", []).append(cold)
            times.setdefault(f"{name}_warm", []).append(warm)
        for other in others:
            times.setdefault(f"{other}_cold", []).append(_process_of(other))
    found: dict[str, Any] = {name: middle(some, 3) for name, some in times.items()}
    for other in others:
        pairs = zip(times["gymnax_cold"], times[f"{other}_cold"], strict=True)
        found[f"gymnax_cold_to_{other}"] = middle([ours / theirs for ours, theirs in pairs], 3)
    return found


def _process_of(other: str) -> float:
    interpreter = interpreter_of_at_least(*PYTHON[other])
    if interpreter is None:
        needed = ".".join(map(str, PYTHON[other]))
        raise SystemExit(f"'{other}' needs Python {needed} or newer, and none was found; leave it out.")
    command = [environment(f"{other}-{VERSIONS[other]}", REQUIREMENTS[other], interpreter), "-W", "ignore"]
    command += [str(Path(__file__).parent / f"_{other}_process.py"), *"3 40960 64 32 4 4".split()]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"AJAX_NO_COMPILE_CACHE": "1"}
    return float(subprocess.run(command, env=clean, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--seeds", default="1,4,16,64", help="how many at once, separated by commas")
    options.add_argument("--envs", type=int, default=64, help="environments of each seed")
    options.add_argument("--steps", type=int, default=64, help="steps of each environment in a batch")
    options.add_argument("--seconds", type=float, default=5.0, help="how long each number of seeds is timed")
    options.add_argument(
        "--processes", nargs="*", choices=["ajax", "rejax"], help="also time whole processes, ours and others'"
    )
    options.add_argument("--rounds", type=int, default=3, help="of processes")
    given = options.parse_args(arguments)
    counts = [int(word) for word in given.seeds.split(",")]
    found: dict[str, Any] = {"seeds": measure(counts, envs=given.envs, steps=given.steps, seconds=given.seconds)}
    if given.processes is not None:
        found["processes"] = processes(given.processes, given.rounds)
    tell(json.loads(json.dumps(found)) | {"machine": machine()}, given.json)


if __name__ == "__main__":
    main()
