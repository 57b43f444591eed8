"""Five small trainings, for tests that need whole processes: `python resume_jobs.py FOLDER MODE SEED JOB…`.

MODE: `whole` records from beginning to end, `killed` dies by SIGKILL between two checkpoints, `resumed` goes on from
there, `bare` records nothing. Prints one line of JSON: the fingerprint of each job's policy.
"""

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import jax

from journeyman.algorithms import dagger, dart, distill, gail, reinforce
from journeyman.collect import Disagree, Sample, play
from journeyman.experts import PolicyExpert
from journeyman.parts import fingerprint
from journeyman.policies import policy
from journeyman.training import Plan, fit, improve
from journeyman.training._recorder import Recorder
from journeyman.weights import ConstantBaseline, NetworkBaseline, ReverseKL
from journeyman.worlds import LinearQuadratic, world

PURE = LinearQuadratic(0.9, horizon=7, start_std=1.0, num_envs=4)
HOST = importlib.util.find_spec("envpool") is not None
DIES_AFTER = 5  # epochs or iterations; checkpoints come every 2, so one row lies beyond the last of them


def run_fit(seed: int, record: Recorder) -> Any:
    # Not `bc`: a divergence draws actions at every step as well.
    expert = policy(PURE, jax.random.key(7), hidden=())
    data = play(PURE, Sample(expert), episodes=6, seed=0)
    learner = distill(expert, ReverseKL(), draws=2, epochs=8, batch_size=16)
    actor = policy(PURE, jax.random.key(0), hidden=(4,))
    return fit(learner, actor, data, held_out=data.take([0]), seed=seed, log_every=1, checkpoint_every=2, record=record)


def run_dart(seed: int, record: Recorder) -> Any:
    expert = policy(PURE, jax.random.key(1), hidden=())
    data = play(PURE, Sample(expert), episodes=6, seed=0)
    plan = Plan(steps=8 * 40, batch=40, seed=seed, checkpoint_every=2)
    actor = policy(PURE, jax.random.key(0), hidden=(4,))
    return improve(
        dart(PolicyExpert(expert), refit=True, epochs=1), actor, PURE, plan, demonstrations=data, record=record
    )


def run_asking(seed: int, record: Recorder) -> Any:
    # A committee, its steps and its budget are in the checkpoint; on simulators where there are any.
    world_ = world("envpool:Hopper-v5", num_envs=2) if HOST else PURE
    expert = policy(world_, jax.random.key(1), hidden=())
    data = play(world_, Sample(expert), episodes=2, seed=0)
    plan = Plan(steps=8 * 32, batch=32, seed=seed, checkpoint_every=2)
    query = Disagree(share=0.5, members=2, first=2)
    learner = dagger(PolicyExpert(expert), query=query, budget=100, epochs=1, batch_size=32)
    actor = policy(world_, jax.random.key(0), hidden=(4,))
    return improve(learner, actor, world_, plan, demonstrations=data, record=record)


def run_pure(seed: int, record: Recorder) -> Any:
    baseline = NetworkBaseline(hidden=(4,), epochs=1, batch_size=32)
    plan = Plan(steps=8 * 40, batch=40, seed=seed, checkpoint_every=2, evaluation_episodes=2, evaluate_every=3)
    actor = policy(PURE, jax.random.key(0), hidden=(4,))
    # The natural gradient, and a discriminator that has to go on where it was.
    shown = play(PURE, Sample(policy(PURE, jax.random.key(7), hidden=())), episodes=6, seed=0)
    return improve(gail(baseline=baseline), actor, PURE, plan, demonstrations=shown, record=record)


def run_host(seed: int, record: Recorder) -> Any:
    hopper = world("envpool:Hopper-v5", num_envs=2)
    plan = Plan(steps=8 * 32, batch=32, seed=seed, checkpoint_every=2)
    actor = policy(hopper, jax.random.key(0), hidden=(4,))
    return improve(reinforce(baseline=ConstantBaseline()), actor, hopper, plan, record=record)


JOBS = {
    "fit": run_fit,
    "dart": run_dart,
    "asking": run_asking,
    "pure": run_pure,
    "host": run_host,
}


def die(row: dict[str, Any]) -> None:
    if max(row.get("iteration", 0), row.get("epoch", 0)) == DIES_AFTER:
        os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, mode: str, seed: int, jobs: list[str]) -> None:
    found = {}
    for job in jobs:
        listen = die if mode == "killed" else None
        target = None if mode == "bare" else folder / job
        trained = JOBS[job](seed, Recorder(target, resume=mode == "resumed", listen=listen))
        found[job] = fingerprint(trained.policy)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
