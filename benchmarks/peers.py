"""Returns and time beside Stable-Baselines3 (PPO), SBX (PPO) and sb3-contrib (TRPO), the same tasks and steps.

    python -m benchmarks.peers --task ppo/Hopper-v5 --peer sb3 --seeds 0 1 2 3 4 --json
    python -m benchmarks.peers --task natural-gradient/Hopper-v5 --peer sb3-contrib --json

For every seed ours is trained, then theirs, each with its own defaults (theirs in `--envs` environments) and each
from a cold start, compilation included in the time. Told: the mean-action return of 50 episodes for each seed, the
difference of the means with its bootstrap interval and the exact two-sided permutation test of it, and the ratios of
wall times, each taken within a seed.

The three live in one environment of their own, made in the user's cache folder when it is first asked for.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks._measure import machine, middle, parser, tell
from benchmarks._opponent import answering, environment
from benchmarks.results import TASKS, Task, run

WORKER = Path(__file__).parent / "_sb3_worker.py"
REQUIREMENTS = [
    "torch==2.13.0",
    "stable-baselines3==2.9.*",
    "sb3-contrib==2.9.*",
    "sbx-rl==0.28.*",
    "gymnasium[mujoco]",
]
PEERS = ("sb3", "sbx", "sb3-contrib")


def measure(task: Task, peer: str, envs: int, seeds: Sequence[int], episodes: int) -> dict[str, Any]:
    """Both sides on every seed, one after the other."""
    interpreter = environment("sb3-2.9", REQUIREMENTS)
    ours, theirs = [], []
    with answering(interpreter, WORKER, peer, task.world, str(envs), str(task.steps), str(episodes)) as ask:
        for seed in seeds:
            jax.clear_caches()  # theirs begins cold as well
            found = run(task, seed, episodes)
            ours.append({"seconds": found["seconds"], "evaluation": found["evaluation"]})
            theirs.append(ask(str(seed)))
    sides = {"ours": ours, "theirs": theirs}
    found = {
        f"{who}_steps_per_second": middle([task.steps / r["seconds"] for r in runs]) for who, runs in sides.items()
    }
    ratios = [their["seconds"] / our["seconds"] for our, their in zip(ours, theirs, strict=True)]
    found |= {"times_faster": middle(ratios), "times_faster_each": [round(r, 2) for r in ratios]}
    returns = {who: np.asarray([one["evaluation"] for one in runs]) for who, runs in sides.items()}
    found |= {who: [round(float(one), 1) for one in values] for who, values in returns.items()}
    found |= compare(returns["ours"], returns["theirs"])
    return found | {"steps": task.steps, "their_envs": envs, "seeds": list(seeds), "machine": machine()}


def compare(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """The difference of the means, its bootstrap interval (percentile, 10,000 draws) and the permutation test.

    `p` is the share of all ways to split the returns among the two sides that differ at least as much.
    """
    difference = float(ours.mean() - theirs.mean())
    random = np.random.default_rng(0)
    draws = [random.choice(side, (10_000, len(side))).mean(axis=1) for side in (ours, theirs)]
    low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975])
    both, count = np.concatenate([ours, theirs]), len(ours)
    splits = np.asarray(list(itertools.combinations(range(len(both)), count)))
    mine = both[splits].mean(axis=1)
    others = (both.sum() - count * mine) / (len(both) - count)
    slack = 1e-9 * max(1.0, math.fabs(difference))
    p = float((np.abs(mine - others) >= abs(difference) - slack).mean())
    return {"difference": {"mean": difference, "low": float(low), "high": float(high)}, "p": p}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    shared = sorted(name for name, task in TASKS.items() if not task.options)
    options.add_argument("--task", action="append", choices=shared, required=True, help="ours; their world too")
    options.add_argument("--peer", choices=PEERS, required=True)
    options.add_argument("--envs", type=int, default=1, help="their environments; ours are the task's")
    options.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    options.add_argument("--steps", type=int, help="environment steps in place of the task's own")
    options.add_argument("--episodes", type=int, default=50, help="episodes of the final evaluation")
    given = options.parse_args(arguments)
    found = {}
    for name in given.task:
        task = TASKS[name].with_steps(given.steps)
        found[name] = {given.peer: measure(task, given.peer, given.envs, given.seeds, given.episodes)}
    tell(found, given.json)


if __name__ == "__main__":
    main()
