"""What mends a clone of few demonstrations: more of them, DAgger, noise injection and its controls.

    python -m benchmarks.imitation --world Hopper-v5 --experts FOLDER --json

FOLDER holds the published experts (`hopper_expert.npz`, `halfcheetah_expert.npz`). Every method fits the same
network by the same number of gradient steps to what it gathers (DAgger goes on from round to round, and takes as many
in its last):

- `clone`: `demonstrations` whole episodes of the expert, of which `kept` steps each, evenly spread, are learned from.
- `undisturbed`, `dart`, `isotropic`, `random`: `plain` of the demonstrations as they are, and the others one by one,
  with no noise, the learned one, an isotropic one, and one of random directions with the isotropic one's trace. So
  `dart` has no more demonstrations than `clone`, and `undisturbed` tells what is left when the noise is taken away. The
  learned noise is still 0 in the first of its rounds, which measures it.
- `dagger`: the clone's demonstrations, and `labels` labels of the states that it visits itself, in rounds of 1,000.

Told for each seed: the mean-action return of `--episodes` episodes on start seeds apart from training's; of the
collections also what whoever acted earned, round by round, and the seconds of a round. Over seeds: means with bootstrap
intervals of 95 %, and the share of the gap between the clone and the expert that is closed.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np

from benchmarks._kept import Kept
from benchmarks._measure import machine, parser, tell
from benchmarks._published import published
from journeyman.algorithms import bc, dagger, dart
from journeyman.collect import (
    AbstractNoise,
    Demonstrate,
    Evenly,
    Isotropic,
    LearnedNoise,
    RandomCovariance,
    Undisturbed,
    play,
)
from journeyman.corrections import thin
from journeyman.diagnose import evaluate, interval
from journeyman.episodes import Episodes
from journeyman.experts import PolicyExpert
from journeyman.policies import DensityPolicy, policy
from journeyman.training import Learner, Plan, Trained, fit, improve
from journeyman.worlds import AbstractWorld, world

NOISES = ("undisturbed", "dart", "isotropic", "random")
METHODS = ("clone", *NOISES, "dagger")


@dataclasses.dataclass(frozen=True)
class Task:
    """How few demonstrations there are, and how long everybody learns from them."""

    world: str
    demonstrations: int
    kept: int
    horizon: int = 1000
    labels: int = 20_000
    gradient_steps: int = 4000
    isotropic_std: float = 0.1
    plain: int = 1

    def settings(self, method: str) -> dict[str, Any]:
        """What a method's result depends on."""
        found = dataclasses.asdict(self)
        if method not in NOISES:
            del found["plain"]
        return found


# Chosen on seeds 20 to 25: so few that the clone gets at most half of the return, and `plain` of 1 and 2.
TASKS = {
    "Hopper-v5": Task("Hopper-v5", demonstrations=10, kept=40),
    "HalfCheetah-v5": Task("HalfCheetah-v5", demonstrations=8, kept=20),
}
BATCH = 256


class Trial:
    """One seed of a task."""

    def __init__(self, task: Task, folder: Path, seed: int) -> None:
        self.task, self.seed = task, seed
        self.world = world(task.world, num_envs=1, seed=seed, max_episode_steps=task.horizon)
        self.expert = PolicyExpert(published(folder, self.world))

    def demonstrations(self, count: int) -> Episodes:
        """Thinned ones; the starts of a seed are nobody else's."""
        shown = play(self.world, Demonstrate(self.expert), episodes=count, seed=10_000 + 100 * self.seed)
        return thin(shown, steps_per_episode=self.task.kept)

    def passes(self, samples: int) -> int:
        """How many make up the gradient steps."""
        return max(1, round(self.task.gradient_steps / -(-samples // BATCH)))

    def clone(self, shown: Episodes) -> DensityPolicy:
        """Behaviour cloning from a fresh policy."""
        epochs = self.passes(shown.num_steps)
        fresh = policy(self.world, jax.random.key(self.seed))
        every = {"log_every": epochs, "checkpoint_every": epochs}
        return fit(bc(epochs=epochs, batch_size=BATCH), fresh, shown, seed=self.seed, **every).policy

    def disturbed(self, noise: AbstractNoise) -> dict[str, Any]:
        """A few demonstrations plain, the others under noise, one a round, each round fitted afresh."""
        rounds, shown = self.task.demonstrations - self.task.plain, self.demonstrations(self.task.plain)
        options = {"query": Evenly(round(self.task.horizon / self.task.kept)), "refit": True, "batch_size": BATCH}
        learner = dart(
            self.expert, noise=noise, epochs=self.passes(self.task.demonstrations * self.task.kept), **options
        )
        # One more step than an episode has: the reset step.
        return self.improved(learner, shown, self.world, rounds, self.task.horizon + 1)

    def aggregated(self) -> dict[str, Any]:
        """DAgger from the clone, in rounds of about 1,000 labels."""
        envs, batch = 4, 1000
        wide, shown = (
            world(self.task.world, num_envs=envs, seed=self.seed),
            self.demonstrations(self.task.demonstrations),
        )
        learner = dagger(self.expert, epochs=self.passes(self.task.labels), batch_size=BATCH)
        return self.improved(learner, shown, wide, self.task.labels // batch, batch)

    def improved(
        self, learner: Learner, shown: Episodes, where: AbstractWorld, rounds: int, batch: int
    ) -> dict[str, Any]:
        """What the rounds make of the clone of `shown`."""
        plan = Plan(steps=rounds * batch, batch=batch, seed=self.seed)
        return self.told(improve(learner, self.clone(shown), where, plan, demonstrations=shown))

    def told(self, found: Trained) -> dict[str, Any]:
        """The policy's evaluation, and what the rounds say."""
        rows = found.rows
        clocks = [row["clock"]["collect_seconds"] + row["clock"]["learn_seconds"] for row in rows[1:]]
        return {
            "labels": rows[-1]["labels"],
            **collected(rows),
            "round_seconds": round(median(clocks), 2) if clocks else None,
            "policy": found.policy,
        }

    def noise(self, name: str) -> AbstractNoise:
        """The noise of a method, with this task's sizes and this trial's seed."""
        std, actions = self.task.isotropic_std, int(np.prod(self.world.action_space.shape))
        noises: dict[str, AbstractNoise] = {
            "dart": LearnedNoise(),
            "undisturbed": Undisturbed(),
            "isotropic": Isotropic(std),
            "random": RandomCovariance(std**2 * actions, self.seed),
        }
        return noises[name]

    def run(self, method: str) -> dict[str, Any]:
        """The method by its name."""
        task = self.task
        methods: dict[str, Callable[[], dict[str, Any]]] = {
            "clone": lambda: {"policy": self.clone(self.demonstrations(task.demonstrations))},
            "dagger": self.aggregated,
            **{name: lambda name=name: self.disturbed(self.noise(name)) for name in NOISES},
        }
        return methods[method]()


def collected(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What whoever acted earned in an episode of the rounds, and the size of the noise round by round."""
    earned, weight = (np.asarray([row.get(name, 0) for row in rows], float) for name in ("return", "finished"))
    return {
        "while_collecting": float((earned * weight).sum() / max(weight.sum(), 1)),
        "noise_trace": [round(row["noise_trace"], 4) for row in rows if "noise_trace" in row],
    }


def measure(
    task: Task, folder: Path, methods: Sequence[str], seeds: Sequence[int], episodes: int, kept: Kept
) -> dict[str, Any]:
    """Every method on every seed."""

    def of(method: str) -> dict[str, Any]:
        return {**task.settings(method), "episodes": episodes, "method": method}

    def one(method: str, seed: int) -> dict[str, Any]:
        trial = Trial(task, folder, seed)
        found = trial.run(method)
        score = evaluate(found.pop("policy"), trial.world, episodes=episodes, sampled=False).score().mean
        return {"evaluation": score, **found}

    def expert() -> dict[str, Any]:
        trial = Trial(task, folder, 0)
        score = evaluate(trial.expert.policy, trial.world, episodes=episodes, sampled=False).score()
        return {"evaluation": score.mean}

    best = kept.run(of("expert"), expert)["evaluation"]
    found: dict[str, Any] = {"expert": round(best, 1)}
    for method in methods:
        runs = [kept.run({**of(method), "seed": s}, lambda s=s, m=method: one(m, s)) for s in seeds]
        found[method] = _summed(runs, best, found.get("clone"))
    return found | {"seeds": list(seeds), **dataclasses.asdict(task), "episodes": episodes, "machine": machine()}


def _summed(runs: list[dict[str, Any]], best: float, clone: dict[str, Any] | None) -> dict[str, Any]:
    values = np.asarray([one["evaluation"] for one in runs])
    over = interval(values)
    found: dict[str, Any] = {"mean": over.mean, "low": over.low, "high": over.high, "each": values.round().tolist()}
    if clone is not None:
        found["gap_closed"] = round((over.mean - clone["mean"]) / (best - clone["mean"]), 3)
    if "while_collecting" in runs[0]:
        found["supervised_share"] = round(float(np.mean([one["while_collecting"] for one in runs])) / best, 3)
        found["labels"] = [one["labels"] for one in runs]
        found["round_seconds"] = median(one["round_seconds"] for one in runs)
        found["noise_trace"] = [one["noise_trace"] for one in runs][:1]
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--world", choices=sorted(TASKS), required=True)
    options.add_argument("--experts", type=Path, required=True, help="the folder of the published experts")
    options.add_argument("--method", choices=METHODS, action="append", help="which; all unless given")
    options.add_argument("--seeds", type=int, nargs="*", default=list(range(10)))
    options.add_argument("--plain", type=int, help="demonstrations before the noise begins, in place of the task's own")
    options.add_argument("--episodes", type=int, default=50, help="episodes of the evaluation")
    options.add_argument("--keep", type=Path, help="a file of finished runs, read and added to")
    given = options.parse_args(arguments)
    chosen, task = given.method or METHODS, TASKS[given.world]
    if given.plain is not None:
        task = dataclasses.replace(task, plain=given.plain)
    tell(measure(task, given.experts, chosen, given.seeds, given.episodes, Kept(given.keep)), given.json)


if __name__ == "__main__":
    main()
