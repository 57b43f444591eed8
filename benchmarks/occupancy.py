"""Imitation by practice beside the `imitation` package's GAIL: seconds until the expert's return is nearly reached.

    python -m benchmarks.occupancy --experts FOLDER --seeds 0 1 2 --json

FOLDER holds two published demonstrations of Hopper (`hopper_demos.npz`, 2000 steps, 3717 each). Each side trains from a
fresh policy until its deterministic action earns `--share` of the demonstrations' return on ten episodes, which is
looked at about every 40,000 steps; compiling and looking count. Ours is `gail()` with its defaults on Hopper-v5, 32
environments and batches of 4096 steps; theirs has the hyper-parameters that its authors tuned for Hopper, 8
environments and batches of 4096, on Hopper-v4, for it knows no newer Gymnasium. `--minutes` ends a run of theirs.

`--recipe airl` or `fairl` shows another divergence, `--alone` leaves them out, `--keep FILE` goes on where it stands.
"""

import functools
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks._kept import Kept
from benchmarks._measure import machine, middle, parser, tell
from benchmarks._opponent import answering, environment
from benchmarks.cloning import REQUIREMENTS
from journeyman import algorithms
from journeyman.datasets import read
from journeyman.episodes import Episodes
from journeyman.policies import policy
from journeyman.training import Plan, Recorder, improve
from journeyman.worlds import world

WORKER = Path(__file__).with_name("_gail_worker.py")
BATCH, EVERY = 4096, 10


class _Reached(Exception):
    """There is no need to go on."""


def measure(
    data: Path, recipe: str, seeds: Sequence[int], steps: int, share: float, minutes: float, beside: bool, kept: Kept
) -> dict[str, Any]:
    """Every seed, ours and theirs one after the other."""
    shown = read(data, world=world("Hopper-v5", num_envs=1)).episodes
    target = share * float(np.asarray(shown.reward).sum() / np.asarray(shown.ended).sum())
    sizes = {"steps": steps, "target": round(target, 1)}
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    with ExitStack() as stack:
        ask = functools.cache(lambda: stack.enter_context(_asked(data, steps, target, minutes)))
        for seed in seeds:
            work = functools.partial(_ours, shown, recipe, steps, target, seed)
            found["ours"].append(kept.run({"side": recipe, **sizes, "seed": seed}, work))
            if beside:
                of = {"side": "imitation", **sizes, "minutes": minutes, "seed": seed}
                found["theirs"].append(kept.run(of, lambda seed=seed: ask()(str(seed))))
    told: dict[str, Any] = {"target": round(target, 1), "seeds": list(seeds), "recipe": recipe, "machine": machine()}
    for who, runs in found.items():
        if runs:
            told[who] = [{name: one[name] for name in ("seconds", "steps", "reached")} for one in runs]
            told[f"{who}_seconds"] = middle([one["seconds"] for one in runs])
            told[f"{who}_best"] = [max(each[1] for each in one["evaluations"]) for one in runs]
    return told


def _ours(shown: Episodes, recipe: str, steps: int, target: float, seed: int) -> dict[str, Any]:
    jax.clear_caches()  # theirs begins cold as well
    began, seen = time.perf_counter(), []

    def look(row: dict[str, Any]) -> None:
        if "evaluation_return" not in row:
            return
        score = float(row["evaluation_return"])
        seen.append([row["step"], round(score, 1), round(time.perf_counter() - began, 1)])
        if score >= target:
            raise _Reached

    made = world("Hopper-v5", num_envs=32, seed=seed)
    learner = {"gail": algorithms.gail, "airl": algorithms.airl, "fairl": algorithms.fairl}[recipe]()
    plan = Plan(steps=steps, batch=BATCH, seed=seed, evaluation_episodes=10, evaluate_every=EVERY)
    actor = policy(made, jax.random.key(seed))
    with suppress(_Reached):
        improve(learner, actor, made, plan, demonstrations=shown, record=Recorder(listen=look))
    last = seen[-1]
    return {"seconds": last[2], "steps": last[0], "reached": last[1] >= target, "evaluations": seen}


def _asked(data: Path, steps: int, target: float, minutes: float) -> Any:
    interpreter = environment("imitation-1.0.1", REQUIREMENTS)
    arguments = (str(data), "Hopper-v4", str(steps), str(target), "10", str(minutes))
    return answering(interpreter, WORKER, *arguments)


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("--experts", type=Path, required=True, help="the folder of the published demonstrations")
    options.add_argument("--recipe", choices=("gail", "airl", "fairl"), default="gail")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--steps", type=int, default=3_000_000, help="at most so many environment steps")
    options.add_argument("--share", type=float, default=0.9, help="of the demonstrations' return")
    options.add_argument("--minutes", type=float, default=30.0, help="at most so long a run of theirs")
    options.add_argument("--alone", action="store_true", help="without theirs")
    options.add_argument("--keep", type=Path, help="a file that keeps every run; what is there is not run again")
    given = options.parse_args()
    found = measure(
        given.experts / "hopper_demos.npz",
        given.recipe,
        given.seeds,
        given.steps,
        given.share,
        given.minutes,
        not given.alone,
        Kept(given.keep),
    )
    tell(found, given.json)


if __name__ == "__main__":
    main()
