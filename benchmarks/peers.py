"""Returns and time beside Stable-Baselines3 (PPO), SBX (PPO) and sb3-contrib (TRPO), the same tasks and steps.

    python -m benchmarks.peers --task ppo/Hopper-v5 --peer sb3 --seeds 0 1 2 3 4 --json
    python -m benchmarks.peers --task natural-gradient/Hopper-v5 --peer sb3-contrib --json
    python -m benchmarks.peers --task ppo/Hopper-v5 --peer sb3 --side theirs --seeds 0 1 --keep peers.jsonl

For every seed ours is trained, then theirs, each with its own defaults (theirs in `--envs` environments, 2048 steps an
iteration over all of them) and each from a cold start, compilation included in the time. Told: the mean-action return
of 50 episodes for each seed, the difference of the means with its bootstrap interval and the exact two-sided
permutation test of it, and the ratios of wall times, each taken within a seed, of the seeds that had both sides in one
call.

Hours of it can be done in parts: with `--keep` every run is a line of that file as soon as it is done, what is there
already is not run again, and two calls can share it. Ours is kept by the parts and numbers of its recipe, not by its
name alone, so that what a recipe once was is not taken for what it is. `--side` runs one side alone.

`+VecNormalize` behind a peer's name lets it standardise observations, as ours do.

The three live in one environment of their own, made in the user's cache folder when it is first asked for.
"""

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks._kept import Kept
from benchmarks._measure import machine, middle, parser, tell
from benchmarks._opponent import answering, environment
from benchmarks.results import TASKS, Task, run
from journeyman.parts import describe

WORKER = Path(__file__).parent / "_sb3_worker.py"
REQUIREMENTS = [
    "torch==2.13.0",
    "stable-baselines3==2.9.*",
    "sb3-contrib==2.9.*",
    "sbx-rl==0.28.*",
    "gymnasium[mujoco]",
]
PEERS = tuple(f"{peer}{wrapper}" for peer in ("sb3", "sbx", "sb3-contrib") for wrapper in ("", "+VecNormalize"))


def measure(
    name: str, task: Task, peer: str, envs: int, seeds: Sequence[int], episodes: int, sides: Sequence[str], kept: Kept
) -> dict[str, Any]:
    """The asked sides on every seed, one after the other."""
    sizes = {"steps": task.steps, "episodes": episodes}
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with ExitStack() as stack:
        ask = functools.cache(lambda: stack.enter_context(_asked(peer, envs, task, episodes)))
        for seed in seeds:
            if "ours" in sides:
                work = functools.partial(_ours, task, seed, episodes)
                of = {"task": name, "recipe": _recipe(task), "side": "ours", **sizes, "seed": seed}
                runs["ours"].append(kept.run(of, work))
            if "theirs" in sides:
                of = {"task": task.world, "side": peer, "envs": envs, **sizes, "seed": seed}
                runs["theirs"].append(kept.run(of, lambda seed=seed: ask()(str(seed))))
    found: dict[str, Any] = {
        f"{who}_steps_per_second": middle([task.steps / one["seconds"] for one in some]) for who, some in runs.items()
    }
    returns = {who: np.asarray([one["evaluation"] for one in some]) for who, some in runs.items()}
    found |= {who: [round(float(one), 1) for one in values] for who, values in returns.items()}
    if len(sides) == 2:
        pairs = zip(runs["ours"], runs["theirs"], strict=True)
        ratios = [theirs["seconds"] / ours["seconds"] for ours, theirs in pairs if ours["call"] == theirs["call"]]
        if ratios:
            found |= {"times_faster": middle(ratios), "times_faster_each": [round(r, 2) for r in ratios]}
        found |= compare(returns["ours"], returns["theirs"])
    return found | {"steps": task.steps, "their_envs": envs, "seeds": list(seeds), "machine": machine()}


def _recipe(task: Task) -> str:
    """Sixteen hexadecimal digits of the learner's parts and their numbers."""
    return hashlib.sha256(json.dumps(describe(task.learner)[0]).encode()).hexdigest()[:16]


def _ours(task: Task, seed: int, episodes: int) -> dict[str, Any]:
    jax.clear_caches()  # theirs begins cold as well
    found = run(task, seed, episodes)
    return {"seconds": found["seconds"], "evaluation": found["evaluation"]}


def _asked(peer: str, envs: int, task: Task, episodes: int) -> Any:
    interpreter = environment("sb3-2.9", REQUIREMENTS)
    return answering(interpreter, WORKER, peer, task.world, str(envs), str(task.steps), str(episodes))


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
    options.add_argument("--side", choices=("both", "ours", "theirs"), default="both")
    options.add_argument("--keep", type=Path, help="a file of finished runs, read and added to")
    given = options.parse_args(arguments)
    sides, kept = ("ours", "theirs") if given.side == "both" else (given.side,), Kept(given.keep)
    found = {}
    for name in given.task:
        task = TASKS[name].with_steps(given.steps)
        numbers = (given.envs, given.seeds, given.episodes, sides, kept)
        found[name] = {given.peer: measure(name, task, given.peer, *numbers)}
    tell(found, given.json)


if __name__ == "__main__":
    main()
