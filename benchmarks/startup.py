"""What a user waits for before anything runs: the import, the first help, and the first compiled step.

    python -m benchmarks.startup --json

import      `import journeyman` in a fresh process, seconds
help        `journeyman --help` in a fresh process, seconds
first_step  from the start of a fresh process to the end of the first natural-gradient step on Hopper-v5 (64×64 net, 64
            environments × 64 steps), with nothing compiled before, and where the time goes
"""

import json
import time
from statistics import median
from typing import Any

from benchmarks._measure import machine, parser, python, tell

HELP = """
import sys
from journeyman.cli import main

sys.argv = ["journeyman", "--help"]
main()
"""

FIRST_STEP = """
import json, sys, time

began = time.perf_counter()
spans = {}

def mark(name, result=None):
    global began
    if result is not None:
        jax.block_until_ready(jax.tree.leaves(result))
    now = time.perf_counter()
    spans[name], began = now - began, now
    return result

import jax, jax.numpy as jnp
import journeyman.algorithms, journeyman.collect, journeyman.policies, journeyman.training, journeyman.worlds
from journeyman.training._learner import initial, learn, refit, weigh
mark("import")
world = journeyman.worlds.world("Hopper-v5", num_envs=int(sys.argv[1]), seed=0)
mark("world")
policy = mark("policy", journeyman.policies.policy(world, jax.random.key(0)))
learner = journeyman.algorithms.natural_gradient()
state = mark("initial", initial(learner, policy, jax.random.key(1)))
carry, behaviour = journeyman.collect.start(world), journeyman.collect.Sample(policy)
_, episodes = mark("decide", journeyman.collect.rollout(world, behaviour, carry, jax.random.key(2), int(sys.argv[2])))
episodes = jax.tree.map(jnp.asarray, episodes)
weighed, samples = mark("weigh", weigh(learner, state, episodes))
mark("refit", refit(learner, state.weight, episodes, weighed.target, jax.random.key(3)))
mark("learn", learn(learner, state, samples, jax.random.key(4)))
print(json.dumps(spans))
"""


def measure(*, rounds: int, envs: int, steps: int) -> dict[str, Any]:
    """Medians over `rounds` fresh processes each."""
    imports = [float(python(_IMPORT)) for _ in range(rounds)]
    helps = [_timed(HELP)[0] for _ in range(rounds)]
    firsts = []
    for _ in range(max(1, rounds // 2)):
        taken, spans = _timed(FIRST_STEP, str(envs), str(steps))
        firsts.append((taken, json.loads(spans.splitlines()[-1])))
    taken, spans = sorted(firsts, key=lambda first: first[0])[len(firsts) // 2]
    parts = {name: round(value, 2) for name, value in spans.items()}
    return {
        "import": round(median(imports), 3),
        "help": round(median(helps), 3),
        "first_step": {"seconds": round(taken, 2), **parts},
        "rounds": rounds,
        "machine": machine(),
    }


_IMPORT = """
import time
began = time.perf_counter()
import journeyman
print(time.perf_counter() - began)
"""


def _timed(code: str, *arguments: str) -> tuple[float, str]:
    began = time.perf_counter()
    told = python(code, *arguments)
    return time.perf_counter() - began, told


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=5, help="fresh processes for each figure")
    options.add_argument("--envs", type=int, default=64, help="environments side by side")
    options.add_argument("--steps", type=int, default=64, help="steps of each environment")
    given = options.parse_args(arguments)
    tell(measure(rounds=given.rounds, envs=given.envs, steps=given.steps), given.json)


if __name__ == "__main__":
    main()
