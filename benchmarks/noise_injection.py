"""The protocol of Laskey et al. (2017): noise injection beside DAgger and its controls, by demonstrations.

    python -m benchmarks.noise_injection --world Hopper-v5 --experts FOLDER --keep noise.jsonl --json

FOLDER holds the published experts. Episodes have 500 steps, 50 steps of each are learned from, the network is 64×64.
Everybody begins with the same 5 undisturbed demonstrations and adds one a round, fitted afresh after each by the same
number of gradient steps, up to 20: `dart` under the learned noise (its first round still has none, and measures it),
`isotropic` and `random` under noise that knows nothing of the learner, `undisturbed` under none, and `dagger` by
letting the clone drive for as many steps, the expert's labels on 50 of them.

Told for every trial, a seed of its own: the mean-action return of `--episodes` episodes after 5, 10, 15 and 20
demonstrations, and what whoever acted earned. Over trials: means with 95 % bootstrap intervals, as shares of the
expert's return, and the difference from DAgger at 20, taken trial by trial, with its exact sign-flip test.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._kept import Kept
from benchmarks._measure import machine, parser, tell
from benchmarks.imitation import BATCH, NOISES, Task, Trial, collected
from journeyman.algorithms import dagger, dart
from journeyman.collect import Evenly
from journeyman.diagnose import Interval, evaluate, interval, paired
from journeyman.training import Learner, Plan, improve

WORLDS = ("Hopper-v5", "HalfCheetah-v5")
EVERY = 5
METHODS = ("dagger", *NOISES)


def task(name: str) -> Task:
    """The protocol's sizes; 4000 gradient steps as in the other comparisons."""
    return Task(name, demonstrations=20, kept=50, horizon=500, plain=5)


def learner(trial: Trial, method: str) -> Learner:
    """The recipe of a method: all fit afresh to one step in ten of what was gathered."""
    sizes = trial.task
    epochs = trial.passes(sizes.demonstrations * sizes.kept)
    options = {"query": Evenly(sizes.horizon // sizes.kept), "refit": True, "epochs": epochs, "batch_size": BATCH}
    if method == "dagger":
        return dagger(trial.expert, **options)
    return dart(trial.expert, noise=trial.noise(method), **options)


def run(sizes: Task, folder: Path, method: str, seed: int, episodes: int) -> dict[str, Any]:
    """One trial of a method: returns by the number of demonstrations, and what was earned while they were collected."""
    trial = Trial(sizes, folder, seed)
    shown = trial.demonstrations(sizes.plain)
    batch = sizes.horizon + 1  # one more step than an episode has: the reset step
    rounds = sizes.demonstrations - sizes.plain
    plan = Plan(steps=rounds * batch, batch=batch, seed=seed, evaluation_episodes=episodes, evaluate_every=EVERY)
    rows = improve(learner(trial, method), trial.clone(shown), trial.world, plan, demonstrations=shown).rows
    returns = [row["evaluation_return"] for row in rows if "evaluation_return" in row]
    return {"returns": returns, **collected(rows)}


def measure(
    sizes: Task, folder: Path, methods: Sequence[str], seeds: Sequence[int], episodes: int, kept: Kept
) -> dict[str, Any]:
    """Every method on every seed, and the comparison with DAgger."""

    def expert() -> dict[str, Any]:
        trial = Trial(sizes, folder, 0)
        return {"return": evaluate(trial.expert.policy, trial.world, episodes=episodes, sampled=False).score().mean}

    of = {**dataclasses.asdict(sizes), "episodes": episodes}
    best = kept.run({**of, "method": "expert"}, expert)["return"]
    runs = {
        method: [
            kept.run({**of, "method": method, "seed": s}, lambda m=method, s=s: run(sizes, folder, m, s, episodes))
            for s in seeds
        ]
        for method in methods
    }
    found: dict[str, Any] = {"expert": round(best, 1)}
    for method, some in runs.items():
        returns = np.asarray([one["returns"] for one in some]) / best
        counts = range(sizes.plain, sizes.demonstrations + 1, EVERY)
        found[method] = {
            **{str(n): _rounded(interval(returns[:, i])) for i, n in enumerate(counts)},
            "supervised_share": round(float(np.mean([one["while_collecting"] for one in some])) / best, 3),
        }
    if {"dart", "dagger"} <= set(runs):
        last = {method: np.asarray([one["returns"][-1] for one in runs[method]]) / best for method in runs}
        told = paired(last["dart"] - last["dagger"])
        found["dart_less_dagger"] = _rounded(told.difference) | {"p": told.p, "smallest": round(told.smallest, 3)}
    return found | {"seeds": list(seeds), **of, "machine": machine()}


def _rounded(over: Interval) -> dict[str, float]:
    return {"mean": round(over.mean, 3), "low": round(over.low, 3), "high": round(over.high, 3)}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--world", choices=WORLDS, required=True)
    options.add_argument("--experts", type=Path, required=True, help="the folder of the published experts")
    options.add_argument("--method", choices=METHODS, action="append", help="which; all unless given")
    options.add_argument("--seeds", type=int, nargs="*", default=list(range(20)), help="the trials")
    options.add_argument("--episodes", type=int, default=20, help="episodes of each evaluation")
    options.add_argument("--keep", type=Path, help="a file of finished runs, read and added to")
    given = options.parse_args(arguments)
    chosen = given.method or METHODS
    tell(measure(task(given.world), given.experts, chosen, given.seeds, given.episodes, Kept(given.keep)), given.json)


if __name__ == "__main__":
    main()
