"""A tiny world, tiny recordings of it, and the command line with and without a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from journeyman import cli
from journeyman.worlds import world

PENDULUM = ("--world", "envpool:Pendulum-v1", "--options", "max_episode_steps=20")


class Shell:
    """`journeyman` as a process, as users have it; compiled programs are kept for the next one, in any module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PLATFORMS": "cpu",
        }

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "journeyman", *map(str, words)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str | Path) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    def signal_at(self, number: int, step: int, folder: str, *words: str | Path) -> tuple[int, str, str]:
        """Send the signal as soon as the checkpoint of `step` is complete."""
        process = self.start(*words)
        mark = self.folder / folder / "checkpoints" / f"{step:012d}" / "checkpoint.json"
        while not mark.exists() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(number)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    pytest.importorskip("envpool", reason="needs the extra 'envpool', which is not installed")
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")
    folder = tmp_path_factory.mktemp("shell")
    record(folder / "demos.npz")
    return Shell(folder)


def record(path: Path, seed: int = 0, episodes: int = 6) -> None:
    """Episodes of Pendulum-v1 under a rule of thumb, stored as somebody would who has only numpy."""
    simulator: Any = world("envpool:Pendulum-v1", num_envs=episodes, seed=seed, max_episode_steps=20)
    seen, done, paid = [simulator.reset()], [], []
    for _ in range(20):
        angle = np.arctan2(seen[-1][:, 1], seen[-1][:, 0])
        torque = np.clip(-4 * angle - seen[-1][:, 2], -2, 2)[:, None].astype(np.float32)
        after = simulator.step(torque)
        seen.append(after.observation)
        done.append(torque)
        paid.append(after.reward)
    simulator.close()
    flat = lambda rows: np.stack(rows, 1).reshape(episodes * 20, *np.asarray(rows[0]).shape[1:])  # noqa: E731
    np.savez(
        path,
        observation=flat(seen[:-1]),
        next_observation=flat(seen[1:]),
        action=flat(done),
        reward=flat(paid),
        episode_end=np.arange(1, episodes + 1) * 20,
    )


Journeyman = Callable[..., tuple[int, str, str]]


@pytest.fixture
def journeyman(capsys: pytest.CaptureFixture[str]) -> Journeyman:
    """The command line inside this process."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = cli.main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


def numbers(path: Path) -> list[dict[str, Any]]:
    """`metrics.jsonl` without what depends on the clock."""
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "clock"} for row in rows]


def policy_bytes(path: Path) -> dict[str, bytes]:
    """Both files of the artefact; the same policy of the same run has the same bytes."""
    return {name: (path / "policy" / name).read_bytes() for name in ("policy.json", "policy.safetensors")}
