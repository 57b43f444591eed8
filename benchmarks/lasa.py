"""LASA handwriting, all thirty shapes: what corrective labels do for a clone beside noise and beside nothing.

    python -m benchmarks.lasa --json
    python -m benchmarks.lasa --seeds 0 1 2 --keep lasa.jsonl --json

Of the seven strokes of a shape five are learned from, 34 evenly spread steps of each so that all count alike (one of
the 150 has fewer), and two, the third and the sixth, are held out. Four clones are made
of the five: of the strokes as they are, with noise on what is seen, with corrective labels under the true kinematics,
and with corrective labels under a model fitted to the same strokes (`algorithms.ccil`). All four learn for the same
number of gradient steps, in batches of one size, from as many rows: short data are repeated.

Told for each: the time-warped distance (`diagnose.warped_distance`, a mean in millimetres) from the held-out strokes to
what the mean action draws from their own starts, and the share of `--episodes` disturbed starts from which it reaches
the goal within the world's time limit. Means are over shapes of the mean over seeds, with a bootstrap interval over
shapes. Differences are paired by shape; their p-value is the exact two-sided sign-flip test over shapes.

With `--keep` every run is a line of that file as soon as it is done, and what is there already is not run again.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks._kept import Kept
from benchmarks._measure import machine, parser, tell
from journeyman import datasets
from journeyman.algorithms import bc, ccil
from journeyman.collect import Mean, play
from journeyman.corrections import (
    AbstractLabelling,
    BackTrack,
    Corrected,
    Steered,
    TrueDynamics,
    corrective_labels,
    noisy,
    repeated,
    thin,
)
from journeyman.diagnose import evaluate, interval, sign_flip, warped_distance
from journeyman.episodes import Episodes
from journeyman.parts import JourneymanError
from journeyman.policies import DensityPolicy, policy
from journeyman.training import fit
from journeyman.worlds import Handwriting, lasa_shapes, world

HELD_OUT, STEPS = (2, 5), 34
ROWS, BATCH = 2048, 256
METHODS = ("clone", "noisy", "true", "learned")


@dataclasses.dataclass(frozen=True)
class Choice:
    """Chosen on GShape, Khamesh, Sshape and Worm with seeds 100 and 101, which judge nothing: the greatest share that
    reaches the goal, then the least distance.

    Of `noise` .01, .02, .05, .1; of `true` `Steered(.1)` and `(.2)` without effort, `DisturbedAction(.5)` and `(1)`; of
    `learned` these with `DisturbedAction(2)`, and `BackTrack`. The rest is what was tried first.
    """

    noise: float = 0.01
    true: AbstractLabelling = Steered(0.1, 0.0, 4)
    learned: AbstractLabelling = BackTrack()
    copies: int = 4
    gradient_steps: int = 2000
    model_epochs: int = 500
    hidden: tuple[int, ...] = (64, 64)

    def told(self) -> dict[str, str]:
        """As words, so that kept runs are known by it."""
        return {field.name: str(getattr(self, field.name)) for field in dataclasses.fields(self)}


class Trial:
    """One shape and one seed."""

    def __init__(self, shape: str, seed: int, choice: Choice = Choice()) -> None:
        self.seed, self.choice = seed, choice
        made = world(f"lasa:{shape}")
        assert isinstance(made, Handwriting)
        self.strokes = datasets.read(made.name).episodes
        shown = self.strokes.take([i for i in range(len(self.strokes.valid)) if i not in HELD_OUT])
        self.training = thin(shown, steps_per_episode=STEPS)
        self.world = dataclasses.replace(made, shape="any")  # one program for all shapes

    def run(self, method: str, episodes: int) -> dict[str, Any]:
        """A clone of what the method makes of the strokes, judged."""
        found, about = self.data(method)
        clone = self.clone(found)
        distances = [self.distance(clone, stroke) for stroke in self.strokes.take(HELD_OUT).unpack()]
        reached = evaluate(clone, self.world, episodes=episodes, sampled=False).score().mean
        return {"distance": float(np.mean(distances)), "reached": reached, **about}

    def data(self, method: str) -> tuple[Episodes, dict[str, Any]]:
        """What is cloned, and what is to be said of it."""
        true, choice = TrueDynamics(self.world), self.choice
        methods: dict[str, Callable[[], Any]] = {
            "clone": lambda: self.training,
            "noisy": lambda: noisy(self.training, choice.noise, choice.copies, self.seed),
            "true": lambda: corrective_labels(self.training, true, method=choice.true, truth=true, seed=self.seed),
            "learned": lambda: ccil(
                self.training, method=choice.learned, epochs=choice.model_epochs, truth=true, seed=self.seed
            ),
        }
        try:
            found = methods[method]()
        except JourneymanError as refused:  # no label can be trusted: what is left is the demonstrations
            return self.training, {"kept": 0, "refused": str(refused)}
        return (found.episodes, _said(found)) if isinstance(found, Corrected) else (found, {})

    def clone(self, data: Episodes) -> DensityPolicy:
        """Behaviour cloning from a fresh policy."""
        epochs = math.ceil(self.choice.gradient_steps * BATCH / ROWS)
        fresh = policy(self.world, jax.random.key(self.seed), hidden=self.choice.hidden)
        every = {"log_every": epochs, "checkpoint_every": epochs}
        return fit(
            bc(epochs=epochs, batch_size=BATCH), fresh, repeated(data, ROWS, self.seed), seed=self.seed, **every
        ).policy

    def distance(self, clone: DensityPolicy, stroke: Episodes) -> float:
        """From a held-out stroke to what the clone draws from its start."""
        start = np.asarray(stroke.observation[:1])
        there = dataclasses.replace(self.world, starts=start, spread=0.0)
        drawn = next(play(there, Mean(clone), episodes=1, seed=0).unpack())
        return warped_distance(np.asarray(drawn.observation), np.asarray(stroke.observation))


def _said(found: Corrected) -> dict[str, Any]:
    """How many labels there are, how far from the strokes, and how far from their goals they land."""
    report = found.report
    assert report.landing is not None
    nearest, landing = (float(np.median(column[report.kept])) for column in (report.nearest, report.landing))
    told = {"nearest": float(f"{nearest:.3g}"), "landing": float(f"{landing:.3g}")}
    return {"kept": report.count, "tried": report.tried, "beyond_bound": report.violations, **told}


# -- over shapes and seeds ---------------------------------------------------------------------------------


def measure(
    shapes: Sequence[str], seeds: Sequence[int], episodes: int, kept: Kept, choice: Choice = Choice()
) -> dict[str, Any]:
    """Every method on every shape and seed, and what they come to."""
    about = {"episodes": episodes, **choice.told()}
    runs: dict[str, list[list[dict[str, Any]]]] = {method: [[] for _ in shapes] for method in METHODS}
    for seed in seeds:
        for place, shape in enumerate(shapes):
            trial = Trial(shape, seed, choice)
            for method in METHODS:
                of = {"shape": shape, "seed": seed, "method": method, **about}
                runs[method][place].append(kept.run(of, lambda t=trial, m=method: t.run(m, episodes)))
    told: dict[str, Any] = {"shapes": len(shapes), "seeds": list(seeds), "episodes": episodes, "choice": choice.told()}
    told |= {method: _told(runs[method]) for method in METHODS}
    return told | {"against": _against(runs), "machine": machine()}


def _by_shape(runs: list[list[dict[str, Any]]], what: str) -> np.ndarray:
    """The mean over seeds, one number a shape."""
    return np.asarray([np.mean([one[what] for one in some]) for some in runs])


def _told(runs: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Means over shapes with their intervals, and of the labels what there is to say."""
    found: dict[str, Any] = {}
    for what in ("distance", "reached"):
        values = _by_shape(runs, what)
        over = interval(values)
        found[what] = {"mean": over.mean, "low": over.low, "high": over.high, "median": float(np.median(values))}
    found["always_reached"] = int(sum(all(one["reached"] == 1 for one in some) for some in runs))
    labelled = [one for some in runs for one in some if "kept" in one]
    if labelled:
        found["kept"] = sum(one["kept"] for one in labelled) / max(sum(one.get("tried", 0) for one in labelled), 1)
        found["refused"] = sum("refused" in one for one in labelled)
        found["beyond_bound"] = sum(one.get("beyond_bound", 0) for one in labelled)
    return found


def _against(runs: dict[str, list[list[dict[str, Any]]]]) -> dict[str, Any]:
    """Each pair of methods, the later one minus the earlier one, shape by shape."""
    found: dict[str, Any] = {}
    for last, method in enumerate(METHODS):
        for other in METHODS[:last]:
            for what in ("distance", "reached"):
                apart = _by_shape(runs[method], what) - _by_shape(runs[other], what)
                over = interval(apart)
                numbers = {"mean": over.mean, "low": over.low, "high": over.high, "p": sign_flip(apart)}
                better = apart < 0 if what == "distance" else apart > 0
                found.setdefault(f"{method} − {other}", {})[what] = {**numbers, "better": int(better.sum())}
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--shapes", nargs="*", default=lasa_shapes(), help="which; all thirty unless given")
    options.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    options.add_argument("--episodes", type=int, default=100, help="disturbed starts of each clone")
    options.add_argument("--keep", type=Path, help="a file of finished runs, read and added to")
    given = options.parse_args(arguments)
    tell(measure(given.shapes, given.seeds, given.episodes, Kept(given.keep)), given.json)


if __name__ == "__main__":
    main()
