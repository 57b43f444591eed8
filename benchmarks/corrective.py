"""Corrective labels: how fast they are made, and what a clone gains by them beside cloning and noisy cloning.

    python -m benchmarks.corrective --json
    python -m benchmarks.corrective --returns --world Hopper-v5 --experts FOLDER --keep corrective.jsonl --json

Speed: the recipe `ccil` with its defaults on `--transitions` steps of the packaged Hopper-v5 expert, from
demonstrations to labels, compilation included; told apart are the model and the labels, and a second time when all is
compiled.

`--returns`: FOLDER holds the published experts. For each seed a few of their episodes are thinned until cloning gets
at most half of the expert's return, and cloned: as they are, with noise on what is seen, with labels under the true
dynamics and under a fitted one. All clones are the same network and get the same number of gradient steps. Told are the
mean action's return over `--episodes` episodes, and how many labels were kept and how wrong they are; over seeds, means
with 95 % bootstrap intervals, and how far the labels under the true dynamics come above the better of the two controls.
How few demonstrations there are, the noise and the ways to make labels were chosen on seeds 20 and up.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import journeyman.algorithms as algorithms
from benchmarks._kept import Kept
from benchmarks._measure import machine, parser, tell
from benchmarks.imitation import Task, Trial
from journeyman.collect import Mean, play
from journeyman.corrections import (
    AbstractDynamics,
    AbstractLabelling,
    BackTrack,
    DisturbedAction,
    MujocoDynamics,
    Steered,
    corrective_labels,
    noisy,
    thin,
)
from journeyman.diagnose import evaluate, interval, paired
from journeyman.episodes import Episodes
from journeyman.experts import shipped
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractWorld, world

WORLD, COPIES = "Hopper-v5", 4


@dataclasses.dataclass(frozen=True)
class Case:
    """Few demonstrations, the noise of the control, and how labels are made under the true dynamics."""

    task: Task
    noise: float
    method: AbstractLabelling

    def settings(self, method: str) -> dict[str, Any]:
        """What of this a method depends on."""
        if method == "noisy":
            return {"noise": self.noise}
        return {"by": repr(self.method)} if method in ("true", "learned, as true") else {}


CASES = {
    "Hopper-v5": Case(Task("Hopper-v5", demonstrations=1, kept=100), 0.01, DisturbedAction(0.05, COPIES, 10)),
    "HalfCheetah-v5": Case(Task("HalfCheetah-v5", demonstrations=8, kept=20), 0.01, Steered(0.02, 3.0, COPIES)),
}


def demonstrations(made: AbstractWorld, episodes: int) -> Episodes:
    """Whole episodes of the packaged expert's mean action."""
    return play(made, Mean(shipped(WORLD)), episodes=episodes, seed=3)


# -- speed -------------------------------------------------------------------------------------------------


def speed(transitions: int, epochs: int | None) -> dict[str, Any]:
    """Seconds for the model and for the labels, the first time and the second."""
    made = world(WORLD, num_envs=8)
    data = demonstrations(made, max(math.ceil(transitions / 1000), 4))
    data = thin(data, steps_per_episode=math.ceil(transitions / len(list(data.unpack()))))
    rounds = [_timed(data, epochs) for _ in range(2)]
    first, again = ({**one, "total": round(one["model"] + one["labels"], 2)} for one in rounds)
    return {"transitions": data.num_steps, "first": first, "again": again, "machine": machine()}


def _timed(data: Episodes, epochs: int | None) -> dict[str, Any]:
    began = time.perf_counter()
    dynamics = algorithms.fit_dynamics(data, epochs=epochs)
    fitted = time.perf_counter()
    try:
        kept = corrective_labels(data, dynamics).report.count
    except JourneymanError:  # no label can be trusted; the time was taken all the same
        kept = 0
    done = time.perf_counter()
    return {"model": round(fitted - began, 2), "labels": round(done - fitted, 2), "kept": kept}


# -- returns -----------------------------------------------------------------------------------------------

METHODS = ("clone", "noisy", "true", "learned", "learned, as true")


class Labelled:
    """One seed of a task, whose demonstrations may be corrected."""

    def __init__(self, case: Case, folder: Path, seed: int) -> None:
        self.case, self.seed = case, seed
        self.trial = Trial(case.task, folder, seed)
        self.shown = self.trial.demonstrations(case.task.demonstrations)

    def run(self, method: str, episodes: int) -> dict[str, Any]:
        """The return of a clone, and what is to be said of the labels it was made with."""
        true = MujocoDynamics(self.case.task.world)
        ways: dict[str, Callable[[], tuple[Episodes, dict[str, Any]]]] = {
            "clone": lambda: (self.shown, {}),
            "noisy": lambda: (noisy(self.shown, self.case.noise, COPIES, self.seed), {}),
            "true": lambda: self._corrected(true, self.case.method, true),
            "learned": lambda: self._corrected(self._fitted(), BackTrack(), true),
            "learned, as true": lambda: self._corrected(self._fitted(), self.case.method, true),
        }
        given, about = ways[method]()
        clone = self.trial.clone(given)
        score = evaluate(clone, self.trial.world, episodes=episodes, sampled=False).score().mean
        return {"evaluation": score, "samples": given.num_steps, **about}

    def _fitted(self) -> AbstractDynamics:
        return algorithms.fit_dynamics(self.shown, seed=self.seed)

    def _corrected(
        self, dynamics: AbstractDynamics, method: AbstractLabelling, truth: AbstractDynamics
    ) -> tuple[Episodes, dict[str, Any]]:
        """The data with its labels; the bare data where none can be trusted."""
        try:
            corrected = corrective_labels(self.shown, dynamics, method=method, truth=truth, seed=self.seed)
        except JourneymanError as refused:
            return self.shown, {"labels": 0, "refused": str(refused)}
        report = corrected.report
        assert report.landing is not None
        landing = np.quantile(report.landing[report.kept], [0.5, 0.9])
        about = {"labels": report.count, "tried": report.tried, "beyond_bound": report.violations}
        return corrected.episodes, about | {"landing": [float(f"{value:.3g}") for value in landing]}


def returns(
    case: Case, folder: Path, methods: Sequence[str], seeds: Sequence[int], episodes: int, kept: Kept
) -> dict[str, Any]:
    """Each way of cloning, seed by seed, and the mean over seeds with its interval."""
    task = case.task
    sizes = {
        "world": task.world,
        "demonstrations": task.demonstrations,
        "kept": task.kept,
        "gradient_steps": task.gradient_steps,
        "episodes": episodes,
    }
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in methods}
    for seed in seeds:
        made = functools.cache(lambda seed=seed: Labelled(case, folder, seed))
        for method in methods:
            of = {**sizes, "method": method, **case.settings(method), "seed": seed}
            runs[method].append(kept.run(of, lambda m=method, made=made: made().run(m, episodes)))
    found: dict[str, Any] = {}
    for method, some in runs.items():
        values = _evaluations(some)
        told = interval(values)
        about = [{name: one[name] for name in ("labels", "tried", "beyond_bound") if name in one} for one in some]
        found[method] = {"mean": told.mean, "low": told.low, "high": told.high, "each": values.round().tolist()}
        found[method] |= {"labels": about} if any(about) else {}
    if {"clone", "noisy", "true"} <= set(runs):
        best = max(found["clone"]["mean"], found["noisy"]["mean"])
        found["true_over_the_better"] = round(found["true"]["mean"] / best, 3)
        for control in ("clone", "noisy"):
            gained = paired(np.subtract(*(_evaluations(runs[name]) for name in ("true", control))))
            known = gained.difference
            found[f"true_less_{control}"] = {"mean": known.mean, "low": known.low, "high": known.high, "p": gained.p}
    return found | {"seeds": list(seeds), **sizes, "machine": machine()}


def _evaluations(runs: Sequence[dict[str, Any]]) -> np.ndarray:
    return np.asarray([one["evaluation"] for one in runs])


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--transitions", type=int, default=10_000, help="demonstrated steps to make labels from")
    options.add_argument("--epochs", type=int, help="passes of each member in place of some 2500 gradient steps")
    options.add_argument("--returns", action="store_true", help="clone and evaluate in place of the speed")
    options.add_argument("--world", choices=sorted(CASES), default="Hopper-v5")
    options.add_argument("--experts", type=Path, help="the folder of the published experts, for --returns")
    options.add_argument("--method", choices=METHODS, action="append", help="which; all unless given")
    options.add_argument("--demonstrations", type=int, help="episodes in place of the case's own")
    options.add_argument("--std", type=float, help="how far the way to make labels moves an action or a state")
    options.add_argument("--seeds", type=int, nargs="*", default=list(range(10)))
    options.add_argument("--episodes", type=int, default=50, help="episodes of each evaluation")
    options.add_argument("--keep", type=Path, help="a file of finished runs, read and added to")
    given = options.parse_args(arguments)
    if not given.returns:
        tell(speed(given.transitions, given.epochs), given.json)
        return
    if given.experts is None:
        options.error("--returns needs --experts, the folder of the published experts")
    chosen, kept, case = given.method or METHODS, Kept(given.keep), CASES[given.world]
    if given.demonstrations is not None:
        case = dataclasses.replace(case, task=dataclasses.replace(case.task, demonstrations=given.demonstrations))
    if given.std is not None:
        case = dataclasses.replace(case, method=dataclasses.replace(case.method, std=given.std))
    tell(returns(case, given.experts, chosen, given.seeds, given.episodes, kept), given.json)


if __name__ == "__main__":
    main()
