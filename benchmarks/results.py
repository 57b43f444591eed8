"""What the recipes reach on the field's tasks, seed by seed.

    python -m benchmarks.results --task natural-gradient/Hopper-v5 --seeds 0 1 2 3 4 --json

Each run starts from a fresh policy with the recipe's defaults and the numbers of its task below. Told for each seed:
the mean-action return of 50 episodes on start seeds apart from training's, the training return of the last 50 episodes
or so, wall time with compilation in the first seed's, and the curve of training returns. Over seeds: means with a
bootstrap interval of 95 %.
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import journeyman.algorithms as algorithms
from benchmarks._measure import machine, parser, tell
from journeyman.diagnose import evaluate, interval
from journeyman.policies import policy
from journeyman.training import Learner, Plan, improve
from journeyman.weights import LinearBaseline, NetworkBaseline
from journeyman.worlds import world


@dataclasses.dataclass(frozen=True)
class Task:
    """A recipe in a world, for so many steps in batches of `num_envs` × `length`."""

    world: str
    learner: Learner
    steps: int = 1_000_000
    num_envs: int = 32
    length: int = 128
    hidden: tuple[int, ...] = (64, 64)
    options: tuple[tuple[str, Any], ...] = ()

    def with_steps(self, steps: int | None) -> "Task":
        """The same for `steps`, if any are given."""
        return self if steps is None else dataclasses.replace(self, steps=steps)


_MUJOCO = ("Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Swimmer-v5")
TASKS: dict[str, Task] = {
    "reinforce/InvertedPendulum-v5": Task(
        "InvertedPendulum-v5",
        algorithms.reinforce(4e-3),
        steps=70 * 64 * 201,
        num_envs=64,
        length=201,
        options=(("max_episode_steps", 200),),
    ),
    **{f"natural-gradient/{name}": Task(name, algorithms.natural_gradient()) for name in _MUJOCO},
    # The control: one discount for all worlds, and all of a run.
    **{f"fixed-discount/{name}": Task(name, algorithms.natural_gradient(discount=0.995)) for name in _MUJOCO},
    **{f"ppo/{name}": Task(name, algorithms.ppo(), num_envs=64, length=32) for name in _MUJOCO[:2]},
    **{f"trpo/{name}": Task(name, algorithms.trpo()) for name in _MUJOCO},
    # The number of sb3-contrib, whose targets are not standardised.
    "hasty-trpo/Hopper-v5": Task("Hopper-v5", algorithms.trpo(baseline=NetworkBaseline(epochs=10, learning_rate=1e-3))),
    "reinforce/Hopper-v5": Task("Hopper-v5", algorithms.reinforce(3e-3, discount=0.995, lambda_=0.95)),
    "linear-natural-gradient/Swimmer-v5": Task(
        "Swimmer-v5",
        algorithms.natural_gradient(0.02, discount=0.999, lambda_=1.0, baseline=LinearBaseline()),
        num_envs=16,
        length=1001,
        hidden=(),
    ),
    # As it was measured, before the defaults had ten passes and a discount that follows the life of episodes.
    "natural-gradient/Humanoid-v5": Task(
        "Humanoid-v5",
        algorithms.natural_gradient(discount=0.995, baseline=NetworkBaseline()),
        steps=10_000_000,
        num_envs=64,
        length=256,
    ),
}


def run(task: Task, seed: int, episodes: int = 50) -> dict[str, Any]:
    """One seed of a task."""
    made = world(task.world, num_envs=task.num_envs, seed=seed, **dict(task.options))
    batch = task.num_envs * task.length
    plan = Plan(steps=task.steps, batch=batch, seed=seed)
    fresh = policy(made, jax.random.key(seed), hidden=task.hidden)
    began = time.perf_counter()
    trained = improve(task.learner, fresh, made, plan)
    taken = time.perf_counter() - began
    score = evaluate(trained.policy, made, episodes=episodes, sampled=False).score().mean
    rows = [row for row in trained.rows if "return" in row]
    total, count = 0.0, 0
    for row in reversed(rows):
        if count < 50:
            total, count = total + row["return"] * row["finished"], count + row["finished"]
    return {
        "seed": seed,
        "evaluation": score,
        "training": total / max(count, 1),
        "seconds": round(taken, 1),
        "steps_per_second": round(task.steps / taken),
        "curve": [[row["step"], round(row["return"], 2)] for row in rows],
    }


def measure(task: Task, seeds: Sequence[int], episodes: int = 50) -> dict[str, Any]:
    """All seeds, and their means with intervals."""
    runs = [run(task, seed, episodes) for seed in seeds]
    found: dict[str, Any] = {}
    for name in ("evaluation", "training"):
        values = np.asarray([one[name] for one in runs])
        told = interval(values)
        found[name] = {"mean": told.mean, "low": told.low, "high": told.high, "seeds": len(values)}
    found["seconds"] = [one["seconds"] for one in runs]
    return found | {"runs": runs, "steps": task.steps, "machine": machine()}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--task", action="append", choices=sorted(TASKS), help="which; all but Humanoid unless given")
    options.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    options.add_argument("--steps", type=int, help="environment steps in place of the task's own")
    options.add_argument("--episodes", type=int, default=50, help="episodes of the final evaluation")
    given = options.parse_args(arguments)
    chosen = given.task or [name for name in TASKS if "Humanoid" not in name]
    found = {}
    for name in chosen:
        found[name] = measure(TASKS[name].with_steps(given.steps), given.seeds, given.episodes)
    tell(found, given.json)


if __name__ == "__main__":
    main()
