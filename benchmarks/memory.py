"""Does memory grow with the length of a training run? Peak resident set size at N and at 10 N steps.

    python -m benchmarks.memory --json

Each run is a process of its own: `improve` by natural gradients, recorded in a run folder with checkpoints.
"""

import json
from typing import Any

from benchmarks._measure import machine, parser, python, tell

RUN = """
import json, resource, sys, tempfile
import jax
import journeyman.algorithms as algorithms
from journeyman.policies import policy
from journeyman.training import Plan, Recorder, improve
from journeyman.worlds import world

name, envs, batch, steps = sys.argv[1], *map(int, sys.argv[2:])
made = world(name, num_envs=envs, seed=0)
plan = Plan(steps=steps, batch=batch, checkpoint_every=5)
with tempfile.TemporaryDirectory() as folder:
    trained = improve(
        algorithms.natural_gradient(), policy(made, jax.random.key(0)), made, plan, record=Recorder(folder + "/run")
    )
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"megabytes": round(peak, 1), "iterations": len(trained.rows)}))
"""


def measure(name: str, *, envs: int, batch: int, steps: int) -> dict[str, Any]:
    """Megabytes at `steps` and at ten times as many, and their ratio."""
    once, tenfold = (
        json.loads(python(RUN, name, str(envs), str(batch), str(count)).splitlines()[-1])
        for count in (steps, 10 * steps)
    )
    return {
        "once": once["megabytes"],
        "tenfold": tenfold["megabytes"],
        "ratio": round(tenfold["megabytes"] / once["megabytes"], 4),
        "iterations": [once["iterations"], tenfold["iterations"]],
        "steps": [steps, 10 * steps],
        "batch": batch,
        "machine": machine(),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--world", default="Hopper-v5", help="the world that is trained in")
    options.add_argument("--envs", type=int, default=64, help="environments side by side")
    options.add_argument("--batch", type=int, default=4096, help="steps in a batch, over all environments")
    options.add_argument("--steps", type=int, default=40_960, help="steps of the shorter run")
    given = options.parse_args(arguments)
    tell({given.world: measure(given.world, envs=given.envs, batch=given.batch, steps=given.steps)}, given.json)


if __name__ == "__main__":
    main()
