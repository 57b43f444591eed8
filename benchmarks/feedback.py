"""Does a demonstrator lead back to its own path? What corrective labels can be, and what they would have to be.

    python -m benchmarks.feedback --world HalfCheetah-v5 --experts FOLDER --json
    python -m benchmarks.feedback --world HalfCheetah-v5 --experts FOLDER --returns --json

FOLDER holds the published experts. States of two of the expert's episodes are moved by normal noise of `--std`
deviations of the data. From there the simulator goes on, once with the expert's own actions, once with those that it
took from where it was (*held*). Told for each number of steps: the median distance to where the expert itself was after
as many, and to the nearest state of its episodes (its *path*), and how often its own actions end nearer to where it was
than the held ones. Over seeds, means with 95 % bootstrap intervals.

`--returns`: the clones of `benchmarks.corrective`, with `--copies` of every demonstrated step moved by the largest of
`--std`, and three actions there: the demonstrated one, the one that leads back as nearly as it can (`Steered`), and the
expert's own. The last is no corrective label, for it asks the expert: it tells whether it is the states or the actions
that the others lack. Noise, copies and effort were chosen on seeds 20 to 25.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from scipy.spatial import KDTree

from benchmarks._kept import Kept
from benchmarks._measure import machine, parser, tell
from benchmarks.corrective import CASES, Case
from benchmarks.imitation import Trial
from journeyman.collect import Demonstrate, play
from journeyman.corrections import (
    AbstractDynamics,
    AbstractLabelling,
    Candidates,
    HandSetRadius,
    MujocoDynamics,
    Steered,
    Transitions,
    corrective_labels,
    noisy,
)
from journeyman.diagnose import evaluate, interval
from journeyman.episodes import Episodes
from journeyman.experts import AbstractExpert

EPISODES, STATES, STEPS = 2, 400, (1, 2, 5, 10, 20, 40)
ACTIONS = ("demonstrated", "steered", "expert")


def asked(expert: AbstractExpert, states: np.ndarray) -> np.ndarray:
    """What the expert does in many states, which are its observations."""
    return np.asarray(jax.vmap(lambda one: expert.label(one, jax.random.key(0)))(states.astype(np.float32)), np.float64)


# -- distances ---------------------------------------------------------------------------------------------


def distances(case: Case, folder: Path, seed: int, std: float, states: int = STATES) -> dict[str, dict[str, float]]:
    """By number of steps: how far from where the expert was the two are, and how far from its path."""
    trial, true = Trial(case.task, folder, seed), MujocoDynamics(case.task.world)
    shown = play(trial.world, Demonstrate(trial.expert), episodes=EPISODES, seed=10_000 + 100 * seed)
    path = np.asarray(shown.now)[np.asarray(shown.valid)].astype(np.float64)
    random, scale = np.random.default_rng(seed), path.std(axis=0)
    was = path[random.choice(np.flatnonzero(true.determined(path)), states)]
    own = held = was + std * scale * random.standard_normal(was.shape)
    tree, found = KDTree(path / scale), {}
    for step in range(1, STEPS[-1] + 1):
        action = asked(trial.expert, was)
        own, held, was = (true.step(own, asked(trial.expert, own)), true.step(held, action), true.step(was, action))
        if step in STEPS:
            apart = [_finite(np.linalg.norm((one - was) / scale, axis=1)) for one in (own, held)]
            beside = [_finite(tree.query(np.nan_to_num(one / scale, nan=1e6))[0]) for one in (own, held)]
            (expert, kept), (path_expert, path_kept) = (np.median(pair, axis=1).tolist() for pair in (apart, beside))
            told = {"expert": expert, "held": kept, "expert_to_path": path_expert, "held_to_path": path_kept}
            found[str(step)] = told | {"expert_is_nearer": float((apart[0] < apart[1]).mean())}
    return found


def _finite(distance: np.ndarray) -> np.ndarray:
    """Where the simulation ran away, as far as can be."""
    return np.where(np.isfinite(distance), distance, np.inf)


def feedback(
    case: Case, folder: Path, stds: Sequence[float], seeds: Sequence[int], states: int = STATES
) -> dict[str, Any]:
    """For each noise and number of steps, the means over seeds."""
    found: dict[str, Any] = {}
    for std in stds:
        runs = [distances(case, folder, seed, std, states) for seed in seeds]
        found[str(std)] = {
            step: {name: _told([run[step][name] for run in runs]) for name in runs[0][step]} for step in runs[0]
        }
    return found | {"world": case.task.world, "states": states, "seeds": list(seeds), "machine": machine()}


def _told(values: Sequence[float]) -> list[float]:
    over = interval(np.asarray(values))
    return [float(f"{value:.3g}") for value in (over.mean, over.low, over.high)]


# -- returns -----------------------------------------------------------------------------------------------


class Asked(AbstractLabelling):
    """The expert's own actions in states moved by `std` deviations."""

    expert: AbstractExpert
    std: float
    copies: int = eqx.field(static=True)

    def candidates(self, data: Transitions, dynamics: AbstractDynamics, random: np.random.Generator) -> Candidates:
        """`copies` for each demonstrated step."""
        anchor = np.repeat(np.arange(len(data.state)), self.copies)
        state = data.state[anchor]
        state = state + self.std * data.scales.state * random.standard_normal(state.shape)
        return Candidates(state, asked(self.expert, state), data.following[anchor], anchor)


class Moved(NamedTuple):
    """How far the demonstrated states are moved, how often, and what it costs to steer back."""

    std: float
    copies: int
    effort: float


def returns(case: Case, folder: Path, moved: Moved, seeds: Sequence[int], episodes: int, kept: Kept) -> dict[str, Any]:
    """The clones' returns with each kind of action, and their means over seeds."""
    sizes = {"world": case.task.world, "std": moved.std, "copies": moved.copies, "episodes": episodes}
    sizes |= {"demonstrations": case.task.demonstrations, "kept": case.task.kept, "steps": case.task.gradient_steps}
    found: dict[str, Any] = {}
    for action in ACTIONS:
        of = sizes | {"action": action} | ({"effort": moved.effort} if action == "steered" else {})
        runs = [
            kept.run(of | {"seed": seed}, lambda a=action, s=seed: _cloned(case, folder, moved, a, s, episodes))
            for seed in seeds
        ]
        each = [run["evaluation"] for run in runs]
        found[action] = {"mean": _told(each), "each": [round(value) for value in each]}
    return found | sizes | {"effort": moved.effort, "seeds": list(seeds), "machine": machine()}


def _cloned(case: Case, folder: Path, moved: Moved, action: str, seed: int, episodes: int) -> dict[str, Any]:
    trial, true = Trial(case.task, folder, seed), MujocoDynamics(case.task.world)
    shown, (std, copies, effort) = trial.demonstrations(case.task.demonstrations), moved

    def labelled(method: AbstractLabelling) -> Episodes:
        return corrective_labels(shown, true, method=method, region=HandSetRadius(1e6), seed=seed).episodes

    ways: dict[str, Callable[[], Episodes]] = {
        "demonstrated": lambda: noisy(shown, std, copies, seed),
        "steered": lambda: labelled(Steered(std, effort, copies)),
        "expert": lambda: labelled(Asked(trial.expert, std, copies)),
    }
    clone = trial.clone(ways[action]())
    return {"evaluation": evaluate(clone, trial.world, episodes=episodes, sampled=False).score().mean}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--world", choices=sorted(CASES), required=True)
    options.add_argument("--experts", type=Path, required=True, help="the folder of the published experts")
    options.add_argument("--returns", action="store_true", help="clone and evaluate in place of distances")
    options.add_argument("--std", type=float, nargs="+", default=[0.02, 0.1, 0.3], help="how far states are moved")
    options.add_argument("--copies", type=int, default=16, help="of every demonstrated step, for --returns")
    options.add_argument("--effort", type=float, default=0.3, help="the price of another action, for --returns")
    options.add_argument("--seeds", type=int, nargs="*", default=list(range(10)))
    options.add_argument("--episodes", type=int, default=50, help="episodes of each evaluation")
    options.add_argument("--keep", type=Path, help="a file of finished runs of --returns, read and added to")
    given = options.parse_args(arguments)
    case, kept = CASES[given.world], Kept(given.keep)
    if not given.returns:
        tell(feedback(case, given.experts, given.std, given.seeds), given.json)
        return
    moved = Moved(max(given.std), given.copies, given.effort)
    tell(returns(case, given.experts, moved, given.seeds, given.episodes, kept), given.json)


if __name__ == "__main__":
    main()
