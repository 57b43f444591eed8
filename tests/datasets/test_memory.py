"""What is held while a file is looked through, by Python's own account of allocations; no process is measured."""

import importlib
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


def save_theirs(path: Path, steps: int, how: str) -> None:
    """Episodes of 500 steps as LeRobot's frames, one row group each, or as `imitation`'s trajectories, 10 a batch."""
    arrow, random = importlib.import_module("pyarrow"), np.random.default_rng(0)
    parquet = importlib.import_module("pyarrow.parquet")
    draw = lambda rows, columns: random.normal(size=(rows, columns)).astype(np.float32)  # noqa: E731
    vectors = lambda array: arrow.FixedSizeListArray.from_arrays(array.reshape(-1), array.shape[1])  # noqa: E731
    if how == "LeRobot":
        (path / "meta").mkdir(parents=True)
        (path / "data").mkdir()
        (path / "meta" / "info.json").write_text('{"features": {}}')
        columns = {"observation.state": vectors(draw(steps, 12)), "action": vectors(draw(steps, 4))}
        columns["episode_index"] = arrow.array(np.arange(steps) // 500)
        parquet.write_table(arrow.table(columns), path / "data" / "file.parquet", row_group_size=500)
        return
    path.mkdir()
    (path / "state.json").write_text('{"_data_files": [{"filename": "a.arrow"}]}')
    lists = lambda rows, columns: [draw(rows, columns).tolist() for _ in range(10)]  # noqa: E731
    nested = arrow.list_(arrow.list_(arrow.float32()))
    schema = arrow.schema({"obs": nested, "acts": nested, "terminal": arrow.bool_()})
    with arrow.OSFile(str(path / "a.arrow"), "wb") as sink, arrow.ipc.new_stream(sink, schema) as out:
        batch = arrow.record_batch([lists(501, 12), lists(500, 4), [True] * 10], schema)
        for _ in range(steps // 5000):
            out.write_batch(batch)


_POOLS: list[Any] = []
"""Held until the process ends: Arrow's threads give memory back after what they read was returned."""


def arrow_peak(work: Callable[[], object]) -> int:
    """What Arrow allocated at most, which Python's account does not see."""
    arrow = importlib.import_module("pyarrow")
    usual = arrow.default_memory_pool()
    counted = arrow.proxy_memory_pool(usual)
    _POOLS.append(counted)
    arrow.set_memory_pool(counted)
    try:
        work()
    finally:
        arrow.set_memory_pool(usual)
    return counted.max_memory()


@pytest.mark.parametrize(("how", "bytes_a_step"), [("LeRobot", 30), ("imitation", 4)])
def test_nor_does_it_with_their_folders(
    tmp_path: Path, how: str, bytes_a_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LeRobot's number of the episode is eight bytes a frame and its differences as many; the arrays have 64."""
    pytest.importorskip("pyarrow", reason="needs pyarrow to write Arrow and Parquet with")
    monkeypatch.setattr(_column, "PIECE", 2**16)
    held, theirs = [], []
    for steps in (10_000, 100_000):
        path = tmp_path / str(steps)
        save_theirs(path, steps, how)
        held.append(peak(lambda path=path: datasets.lint(path)))
        theirs.append(arrow_peak(lambda path=path: datasets.lint(path)))
    assert held[1] - held[0] < bytes_a_step * 90_000
    assert theirs[1] - theirs[0] < 2**20, "an episode is held, or what is mapped looked at where it lies"
    if how == "LeRobot":
        parquet = importlib.import_module("pyarrow.parquet")
        assert arrow_peak(lambda: parquet.read_table(path / "data" / "file.parquet")) > 64 * 90_000
