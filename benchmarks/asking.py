"""Where to ask: the labels that DAgger needs on the ridge, asked for evenly or where the learner is in doubt.

    python -m benchmarks.asking --seeds 0 1 2 3 4 --json

The world is `Ridge` in little wind, so that the expert keeps to the crest and its clone falls; the expert is exact. For
each seed a demonstration of 400 steps is cloned by a network of 32 × 32 whose deviation depends on the state. DAgger
goes on for `--rounds` rounds of 1,024 steps, one sixteenth of which may be asked for, so that everybody but
`everything` has as many labels to spend. Each round makes 50 passes in minibatches of 64, so whoever has more labels
also takes more steps:

- `first`: every step, until the labels are spent, which is in the first round.
- `evenly`: every sixteenth step of an episode.
- `uncertain`: the sixteenth of each round where the policy's own distribution is widest.
- `disagree`: the sixteenth where four policies fitted to the same data disagree most.
- `everything`: every step of every round, sixteen times the labels.

Told are the labels spent, the mean action's cost (minus the return) over `--episodes` episodes on start seeds that
training never uses, before and after every round, and the labels after which it first was below 1, which is one of the
400 steps off the ridge, `null` where it never was. Over seeds: means with bootstrap intervals of 95 %.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from benchmarks._measure import machine, parser, tell
from journeyman.algorithms import bc, dagger
from journeyman.collect import AbstractQuery, Demonstrate, Disagree, Evenly, Everywhere, Uncertain, play
from journeyman.diagnose import interval
from journeyman.experts import RidgeExpert
from journeyman.policies import Gaussian, policy
from journeyman.training import EVALUATION_SEED, Plan, fit, improve
from journeyman.worlds import Ridge

WORLD = Ridge(gusts=0.005)  # type: ignore[call-arg]
BATCH, PART = 1024, 16
HELD = 1.0
"""A cost below it is less than one step of an episode off the ridge."""
QUERIES: dict[str, AbstractQuery] = {
    "first": Everywhere(),
    "evenly": Evenly(PART),
    "uncertain": Uncertain(1 / PART),
    "disagree": Disagree(1 / PART),
    "everything": Everywhere(),
}


def run(seed: int, name: str, rounds: int, episodes: int, epochs: int) -> dict[str, Any]:
    """One seed of one way of asking."""
    expert = RidgeExpert(WORLD)
    shown = play(WORLD, Demonstrate(expert), episodes=1, seed=seed)
    head = Gaussian.make(WORLD.action_space, state_dependent=True)
    fresh = policy(WORLD, jax.random.key(seed), hidden=(32, 32), head=head)
    clone = fit(
        bc(epochs=epochs, batch_size=64), fresh, shown, seed=seed, log_every=epochs, checkpoint_every=epochs
    ).policy
    budget = None if name == "everything" else rounds * BATCH // PART
    plan = Plan(steps=rounds * BATCH, batch=BATCH, seed=seed, evaluation_episodes=episodes, evaluate_every=1)
    learner = dagger(expert, query=QUERIES[name], budget=budget, epochs=50, batch_size=64)
    found = improve(learner, clone, WORLD, plan, demonstrations=shown)
    return {
        "labels": [row.get("labels", 0) for row in found.rows],
        "cost": [round(0.0 - row["evaluation_return"], 3) for row in found.rows],
    }


def ways(seeds: Sequence[int], rounds: int, episodes: int, epochs: int) -> dict[str, Any]:
    """Every way of asking, seed by seed and together."""
    shown = play(WORLD, Demonstrate(RidgeExpert(WORLD)), episodes=episodes, seed=EVALUATION_SEED)
    best = 0.0 - float(np.mean(shown.episode_returns()))
    found: dict[str, Any] = {"expert": round(best, 3)}
    for name in QUERIES:
        runs = [run(seed, name, rounds, episodes, epochs) for seed in seeds]
        needed = [
            next((n for n, cost in zip(one["labels"], one["cost"], strict=True) if cost < HELD), None) for one in runs
        ]
        ends = interval(np.asarray([one["cost"][-1] for one in runs]))
        means = {"mean": round(ends.mean, 3), "low": round(ends.low, 3), "high": round(ends.high, 3)}
        found[name] = {"cost": means, "labels": [one["labels"][-1] for one in runs], "needed": needed, "runs": runs}
    return found | {"seeds": list(seeds), "machine": machine()}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    options.add_argument("--rounds", type=int, default=16)
    options.add_argument("--episodes", type=int, default=64, help="episodes of each evaluation")
    options.add_argument("--epochs", type=int, default=200, help="passes of the clone over its demonstrations")
    given = options.parse_args(arguments)
    tell(ways(given.seeds, given.rounds, given.episodes, given.epochs), given.json)


if __name__ == "__main__":
    main()
