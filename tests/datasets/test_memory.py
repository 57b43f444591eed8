"""What is held while a file is looked through, by Python's own account of allocations; no process is measured."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from journeyman import datasets
from journeyman.datasets import _column


def save(path: Path, steps: int, how: str) -> None:
    random, ends = np.random.default_rng(0), np.arange(500, steps + 1, 500)
    last = np.isin(np.arange(steps), ends - 1)
    arrays: dict[str, Any] = {
        "observation": random.normal(size=(steps + len(ends), 12)).astype(np.float32),
        "action": random.normal(size=(steps, 4)).astype(np.float32),
        "reward": random.normal(size=steps).astype(np.float32),
        "truncated": last,
        "episode_end": ends,
    }
    if how == "HDF5":
        h5py = pytest.importorskip("h5py", reason="needs h5py to write HDF5 with")
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    else:
        (np.savez if how == "npz" else np.savez_compressed)(path, **arrays)


def peak(work: Callable[[], object]) -> int:
    work()  # what is made once, such as compiled programs, is not the data's
    tracemalloc.start()
    work()
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held


@pytest.mark.parametrize("how", ["npz", "packed", "HDF5"])
def test_what_lint_holds_does_not_grow_with_the_file(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 4 bytes a step, for the flags; the arrays have 69. Reading, the control, holds more than all of them."""
    monkeypatch.setattr(_column, "PIECE", 2**16)
    held, read = [], []
    for steps in (20_000, 200_000):
        path = tmp_path / f"{steps}.npz"
        save(path, steps, how)
        held.append(peak(lambda path=path: datasets.lint(path)))
        read.append(peak(lambda path=path: datasets.read(path)))
    assert held[1] - held[0] < 4 * 180_000
    assert read[1] - read[0] > 69 * 180_000
