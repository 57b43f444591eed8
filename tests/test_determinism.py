"""One seed, one stream: in another process, and whatever is logged, evaluated or recorded on the way."""

import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

from journeyman.algorithms import bc, reinforce
from journeyman.collect import Sample, play
from journeyman.episodes import Episodes
from journeyman.parts import fingerprint
from journeyman.policies import policy
from journeyman.training import Plan, fit, improve
from journeyman.training._recorder import Recorder
from journeyman.weights import NetworkBaseline
from journeyman.worlds import LinearQuadratic
from tests.conftest import QUICKLY

SCRIPT = Path(__file__).parent / "training" / "resume_jobs.py"
WORLD = LinearQuadratic(0.9, horizon=5, start_std=1.0, num_envs=4)
LEARNER = reinforce(baseline=NetworkBaseline(hidden=(4,), epochs=1, batch_size=20))
PLAN = Plan(steps=200, batch=40, checkpoint_every=2)


def hashes(folder: Path, jobs: list[str]) -> dict[str, str]:
    own = {"PYTHONPATH": str(SCRIPT.parents[2] / "src"), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICKLY}
    environment = {**os.environ, **own}
    command = [sys.executable, str(SCRIPT), str(folder), "bare", "0", *jobs]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow  # training/test_resume.py compares processes, too: whole ones, and those that were killed and resumed
def test_two_processes_with_one_seed_agree_to_the_bit(tmp_path: Path) -> None:
    jobs = ["fit", *(["host"] if importlib.util.find_spec("envpool") else [])]
    assert hashes(tmp_path, jobs) == hashes(tmp_path, jobs)


@functools.cache
def improved(**changes: Any) -> str:
    actor = policy(WORLD, jax.random.key(0), hidden=(4,))
    return fingerprint(improve(LEARNER, actor, WORLD, dataclasses.replace(PLAN, **changes)).policy)


@pytest.mark.parametrize(
    "changes",
    [{"evaluation_episodes": 3, "evaluate_every": 1}, {"checkpoint_every": 1}, {"evaluation_episodes": 1}],
)
def test_looking_never_changes_what_is_learned(changes: dict[str, int]) -> None:
    assert improved(**changes) == improved()


def test_a_seed_changes_what_is_learned() -> None:
    assert improved(seed=1) != improved()


def test_recording_never_changes_what_is_learned(tmp_path: Path) -> None:
    heard: list[dict] = []
    actor = policy(WORLD, jax.random.key(0), hidden=(4,))
    recorded = improve(LEARNER, actor, WORLD, PLAN, record=Recorder(tmp_path / "run", listen=heard.append))
    assert fingerprint(recorded.policy) == improved()
    assert [row["iteration"] for row in heard] == [1, 2, 3, 4, 5]


@functools.cache
def demonstrations() -> Episodes:
    return play(WORLD, Sample(policy(WORLD, jax.random.key(3), hidden=())), episodes=5, seed=0)


def fitted(**changes: Any) -> str:
    actor = policy(WORLD, jax.random.key(0), hidden=(4,))
    options = {"log_every": 3, "checkpoint_every": 3, **changes}
    return fingerprint(fit(bc(epochs=6, batch_size=8), actor, demonstrations(), **options).policy)


def test_how_often_a_row_is_logged_never_changes_what_is_learned(tmp_path: Path) -> None:
    plain = fitted()
    assert fitted(log_every=1) == plain
    assert fitted(log_every=6, checkpoint_every=6) == plain
    assert fitted(log_every=4, checkpoint_every=4) == plain
    assert fitted(held_out=demonstrations().take([0])) == plain
    assert fitted(record=Recorder(tmp_path / "run")) == plain
    assert fitted(seed=1) != plain
