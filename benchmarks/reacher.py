"""The imitation homework: Reacher-v4 from five demonstrations, cloning and DAgger by their success.

    python -m benchmarks.reacher --seeds 0 1 2 3 4 5 6 7 8 9 --json

The expert is made first: `natural_gradient` for 1.5M steps with a discount of .95, about a minute. Five of its episodes
(250 steps, mean action) are cloned by a 256×256 Gaussian in 3,000 gradient steps of Adam with a decay of 1, chosen of
twelve settings on seeds 20 to 24 and another expert; DAgger goes on from the clone, 15 rounds of 1,000 labels, each of
20 passes. The demonstrations, the start states of DAgger and the clone's weights are those of the seed, the expert is
the same for all.

Told for each seed: the share of `--episodes` episodes of the mean action whose fingertip is within 0.1 of the target
after the last step, and the mean return, on start states apart from training's; over seeds, means with bootstrap
intervals of 95 %.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks._kept import Kept
from benchmarks._measure import machine, parser, tell
from journeyman.algorithms import bc, dagger, natural_gradient
from journeyman.collect import Mean, play
from journeyman.diagnose import interval
from journeyman.experts import PolicyExpert
from journeyman.policies import DensityPolicy, policy
from journeyman.training import EVALUATION_SEED, Plan, fit, improve
from journeyman.weights import NetworkBaseline
from journeyman.worlds import world

NAME, BATCH = "Reacher-v4", 64
NEAR = 0.1


def expert(steps: int) -> DensityPolicy:
    """The demonstrator, from seed 100."""
    made = world(NAME, num_envs=64, seed=100)
    plan = Plan(steps=steps, batch=6400, seed=100)
    learner = natural_gradient(discount=0.95, baseline=NetworkBaseline())
    return improve(learner, policy(made, jax.random.key(100)), made, plan).policy


def judged(one: DensityPolicy, episodes: int) -> dict[str, Any]:
    """Success and return of the mean action."""
    seen = play(world(NAME, num_envs=1), Mean(one), episodes=episodes, seed=EVALUATION_SEED)
    ends = np.asarray(seen.ended)
    away = np.linalg.norm(np.asarray(seen.next)[ends][:, -3:], axis=-1)  # fingertip less target, the last three numbers
    return {"success": float((away < NEAR).mean()), "return": float(np.asarray(seen.reward).sum() / ends.sum())}


def trial(demonstrator: DensityPolicy, method: str, seed: int, episodes: int, rounds: int) -> dict[str, Any]:
    """One seed of a method."""
    made = world(NAME, num_envs=8, seed=seed)
    shown = play(made, Mean(demonstrator), episodes=5, seed=1000 + seed)
    passes = -(-3000 // -(-shown.num_steps // BATCH))
    options = {"log_every": passes, "checkpoint_every": passes}
    clone = fit(
        bc(epochs=passes, batch_size=BATCH, weight_decay=1.0),
        policy(made, jax.random.key(seed), hidden=(256, 256)),
        shown,
        seed=seed,
        **options,
    ).policy
    if method == "clone":
        return {**judged(clone, episodes), "labels": 0}
    learner = dagger(PolicyExpert(demonstrator), epochs=20, batch_size=BATCH)
    plan = Plan(steps=rounds * 1000, batch=1000, seed=seed)
    found = improve(learner, clone, made, plan, demonstrations=shown)
    return {**judged(found.policy, episodes), "labels": int(found.rows[-1]["labels"])}


def measure(seeds: Sequence[int], episodes: int, steps: int, rounds: int, kept: Kept) -> dict[str, Any]:
    """The expert, and both methods on every seed."""
    made = functools.cache(lambda: expert(steps))
    sizes = {"world": NAME, "steps": steps, "episodes": episodes, "rounds": rounds}
    found: dict[str, Any] = {"expert": kept.run({**sizes, "method": "expert"}, lambda: judged(made(), episodes))}
    for method in ("clone", "dagger"):
        runs = [
            kept.run(
                {**sizes, "method": method, "seed": seed},
                lambda seed=seed, method=method: trial(made(), method, seed, episodes, rounds),
            )
            for seed in seeds
        ]
        found[method] = {"labels": runs[0]["labels"]}
        for name in ("success", "return"):
            over = interval([one[name] for one in runs])
            each = [round(one[name], 3) for one in runs]
            found[method][name] = {"mean": over.mean, "low": over.low, "high": over.high, "each": each}
    return found | {"seeds": list(seeds), **sizes, "machine": machine()}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, nargs="*", default=list(range(10)))
    options.add_argument("--episodes", type=int, default=100, help="episodes of each evaluation")
    options.add_argument("--steps", type=int, default=1_500_000, help="that make the expert")
    options.add_argument("--rounds", type=int, default=15, help="of DAgger, 1,000 labels each")
    options.add_argument("--keep", type=Path, help="a file of finished runs, read and added to")
    given = options.parse_args(arguments)
    tell(measure(given.seeds, given.episodes, given.steps, given.rounds, Kept(given.keep)), given.json)


if __name__ == "__main__":
    main()
