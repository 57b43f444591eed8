"""Does memory grow with the data? Peak resident set size of lint and of reading, at N and at 10 N steps.

    python -m benchmarks.data --json

Every measurement is a process of its own. `lint` looks through the file piece by piece and holds next to nothing of it.
`read` makes `Episodes`, which a learner needs whole: its memory grows with the data, and is given beside it. `map` is
`read` of the library's own file written without compression, whose large arrays stay where they lie; pages of the file
that were looked at count as resident until something else needs the room, so what it holds of its own is told apart.

megabytes   peak resident set size of the process, `anonymous` without pages that belong to a file (Linux)
idle        a process that has only imported the library
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._measure import machine, parser, python, tell

MAKE = """
import sys
from pathlib import Path
import numpy as np

kind, path, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
random = np.random.default_rng(0)
ends = np.arange(1000, steps + 1, 1000)
last = np.isin(np.arange(steps), ends - 1)
seen = random.normal(size=(steps + len(ends), 11)).astype(np.float32)
action = random.uniform(-1, 1, (steps, 3)).astype(np.float32)
arrays = {"observation": seen, "action": action, "reward": random.normal(size=steps).astype(np.float32)}
arrays |= {"truncated": last, "episode_end": ends}
if kind == "npz":
    np.savez(path, **arrays)
elif kind == "npz, packed":
    np.savez_compressed(path, **arrays)
elif kind == "HDF5":
    import h5py
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip", compression_opts=1)
elif kind == "CSV":
    at = np.arange(steps) + np.repeat(np.arange(len(ends)), 1000)
    names = [f"observation_{i}" for i in range(11)] + [f"next_observation_{i}" for i in range(11)]
    names += [f"action_{i}" for i in range(3)] + ["reward", "truncated"]
    table = np.column_stack([seen[at], seen[at + 1], action, arrays["reward"], last])
    np.savetxt(path, table, "%.9g", ",", header=",".join(names), comments="")
else:
    from journeyman import datasets
    from journeyman.episodes import Episodes
    rows = steps // 1000
    grid = lambda leaf: leaf.reshape(rows, -1, *leaf.shape[1:])
    flag, time = grid(last), np.broadcast_to(np.arange(1000, dtype=np.int32), (rows, 1000)).copy()
    fields = {"observation": grid(seen), "action": grid(action), "target": grid(action)}
    fields |= {"reward": grid(arrays["reward"]), "log_prob": np.full((rows, 1000), np.nan, np.float32)}
    fields |= {"terminated": flag & False, "truncated": flag, "valid": np.ones((rows, 1000), bool), "elapsed": time}
    episodes = Episodes(**fields, source=np.ones((rows, 1000), np.int8))
    datasets.write(episodes, path, compress=False)
"""

MEASURE = """
import json, resource, sys
from journeyman import datasets

work = sys.argv[1]
found = None if work == "idle" else (datasets.lint if work == "lint" else datasets.read)(sys.argv[2])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
try:
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
    held = int(status["RssAnon"].split()[0]) / 1024
except (OSError, KeyError):
    held = None
steps = 0 if found is None else int(found.lengths.sum()) if work == "lint" else found.episodes.num_steps
print(json.dumps({"megabytes": peak, "anonymous": held, "steps": steps}))
"""

SUFFIXES = {"npz": ".npz", "npz, packed": ".npz", "HDF5": ".h5", "CSV": ".csv", "own": ".npz"}


def measure(kind: str, work: str, *, steps: int) -> dict[str, Any]:
    """`work` on a file of `steps` and of ten times as many."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for count in (steps, 10 * steps):
            path = Path(folder) / f"{count}{SUFFIXES[kind]}"
            python(MAKE, kind, str(path), str(count))
            size = path.stat().st_size / 2**20
            found.append(json.loads(python(MEASURE, work, str(path)).splitlines()[-1]) | {"file": round(size, 1)})
            path.unlink()
    return {
        "steps": [one["steps"] for one in found],
        "file": [one["file"] for one in found],
        "megabytes": [round(one["megabytes"], 1) for one in found],
        "anonymous": [None if one["anonymous"] is None else round(one["anonymous"], 1) for one in found],
        "ratio": round(found[1]["megabytes"] / found[0]["megabytes"], 3),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--steps", type=int, default=100_000, help="steps of the smaller file; CSV has a tenth of it")
    options.add_argument("--kinds", nargs="+", choices=list(SUFFIXES), default=list(SUFFIXES))
    given = options.parse_args(arguments)
    idle = json.loads(python(MEASURE, "idle", "").splitlines()[-1])["megabytes"]
    found: dict[str, Any] = {"idle": round(idle, 1)}
    for kind in given.kinds:
        steps = max(1000, given.steps // 10) if kind == "CSV" else given.steps
        for work in ("lint", "map" if kind == "own" else "read"):
            found[f"{work} {kind}"] = measure(kind, work, steps=steps)
    tell({**found, "machine": machine()}, given.json)


if __name__ == "__main__":
    main()
