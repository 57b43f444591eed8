"""The run folder: never lost, never mixed up, cut back exactly to its checkpoint."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.parts import JourneymanError
from journeyman.training import Recorder, _metrics, _run, check_folder
from journeyman.training._events import Events
from journeyman.training._metrics import read_metrics
from journeyman.training._run import Run, check_links, read_record
from tests.training.full_disk import files_below

CONFIG = {"learner": {"part": "Learner", "rate": 0.1}, "hidden": [64, 64], "note": None}
ARRAYS = {"low": np.full(3, -np.inf, np.float32), "double": np.asarray(0.1)}


def create(folder: Path, **options: Any) -> Run:
    return Run.create(folder, CONFIG, ARRAYS, seed=7, links={"dataset": "a" * 16}, tensorboard=False, **options)


def test_what_was_asked_is_written_and_comes_back(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    with Run.open(tmp_path / "run") as run:
        assert (run.config, run.seed, run.links) == (CONFIG, 7, {"dataset": "a" * 16})
        assert {name: (a.dtype, a.tobytes()) for name, a in run.arrays.items()} == {
            name: (a.dtype, a.tobytes()) for name, a in ARRAYS.items()
        }
        assert run.record["versions"]["jax"] == run.record["versions"]["jaxlib"]
        assert run.record["versions"]["numpy"] == np.__version__
        assert run.changed_versions() == []
        run.record["versions"]["jax"] = "0.0.1"
        assert run.changed_versions()[0].startswith("jax 0.0.1 → ")
        assert run.record["tensorboard"] is False
    assert set(read_record(tmp_path / "run")) == {*_run._SCHEMA}


def test_the_commit_of_the_checkout_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git, package = tmp_path / ".git", tmp_path / "src" / "journeyman" / "training"
    package.mkdir(parents=True)
    monkeypatch.setattr(_run, "__file__", str(package / "_run.py"))
    assert _run._commit() is None
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert _run._commit() is None, "a repository without commits"
    (git / "packed-refs").write_text(f"# pack-refs\n{'1' * 40} refs/heads/main\n")
    assert _run._commit() == "1" * 40
    (git / "refs" / "heads" / "main").write_text("2" * 40 + "\n")
    assert _run._commit() == "2" * 40
    (git / "HEAD").write_text("3" * 40 + "\n")
    assert _run._commit() == "3" * 40


# -- nothing is lost --------------------------------------------------------------------------------------


def test_an_existing_run_is_kept_without_overwrite(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        run.log({"step": 1, "loss": 0.5})
        run.checkpoint(1, {"x": jnp.zeros(2)})
    with pytest.raises(JourneymanError, match=r"holds a run already.*journeyman resume.*overwrite"):
        create(tmp_path)
    assert len(read_metrics(tmp_path)) == 1
    (tmp_path / "notes.txt").write_text("mine")
    with create(tmp_path, overwrite=True) as run:
        assert (read_metrics(tmp_path), run.checkpoints.latest()) == ([], None)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_never_touched(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(JourneymanError, match=r"holds no run \('thesis.tex' lies there\)"):
        create(tmp_path, overwrite=overwrite)
    for foreign in ('{"format": "other"}', "[]", "no json"):
        (tmp_path / "config.json").write_text(foreign)
        with pytest.raises(JourneymanError, match=r"overwri"):
            create(tmp_path, overwrite=overwrite)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "thesis.tex"]
    with pytest.raises(JourneymanError, match="is a file"):
        create(tmp_path / "thesis.tex", overwrite=overwrite)


def test_a_link_in_an_overwritten_run_is_removed_and_not_followed(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("x")
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "elsewhere")
    create(tmp_path / "run", overwrite=True).close()
    assert (tmp_path / "elsewhere" / "kept").exists()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_what_a_run_begins_with_is_not_replaced_by_it(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    (tmp_path / "run" / "policy").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    (tmp_path / "alias").mkdir()
    (tmp_path / "alias" / "policy").symlink_to(tmp_path / "run" / "policy")
    for read in ("run", "run/policy", "link", "alias", "link/policy", "run/tensorboard/demos.npz"):
        said = f"^--policy reads '{tmp_path / read}', which the result would replace; choose another place"
        with pytest.raises(JourneymanError, match=said):
            check_folder(tmp_path / "link", True, {"--policy": tmp_path / read, "--data": tmp_path / "run/mine.npz"})
    (tmp_path / "run" / "policies").symlink_to(tmp_path / "elsewhere")  # a link goes alone
    for read in ("other", "run/mine.npz", "run/policies/5", "elsewhere"):
        check_folder(tmp_path / "run", True, {"--policy": tmp_path / read, "--expert": None})


@pytest.mark.usefixtures("unannotated")
def test_a_folder_that_is_no_path_is_refused() -> None:
    with pytest.raises(JourneymanError, match=r"`folder` is 3, and a path is needed"):
        Recorder(cast(Any, 3))


def test_a_folder_whose_name_is_no_text_is_refused_before_a_checkpoint_fails(tmp_path: Path) -> None:
    with pytest.raises(JourneymanError, match=r"has bytes that are no text .* choose another folder"):
        check_folder(tmp_path / os.fsdecode(b"r\xfcn") / "run")
    check_folder(tmp_path / "rün" / "γ run")


def test_what_died_before_it_began_is_no_obstacle(tmp_path: Path) -> None:
    create(tmp_path).close()
    (tmp_path / "config.json").unlink()
    (tmp_path / "metrics.jsonl").unlink()
    create(tmp_path).close()


# -- one writer -------------------------------------------------------------------------------------------


def test_two_processes_cannot_write_one_run(tmp_path: Path) -> None:
    code = "import sys; from journeyman.training._run import Run; Run.open(sys.argv[1]); print('opened')"
    run = create(tmp_path)
    for refused in (lambda: Run.open(tmp_path), lambda: create(tmp_path, overwrite=True)):
        with pytest.raises(JourneymanError, match=f"is being written by process {os.getpid()}; wait for it"):
            refused()
    other = [sys.executable, "-c", code, str(tmp_path)]
    ran = subprocess.run(other, capture_output=True, text=True, check=False)
    assert f"is being written by process {os.getpid()}" in ran.stderr
    run.close()
    ran = subprocess.run(other, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "opened", ran.stderr
    run.close()  # twice is no error


# -- reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.update(format_version=2), "format version 2 and this journeyman reads version 1"),
        (lambda r: r.update(format="other"), "is not a 'journeyman-run'"),
        (lambda r: r.pop("seed"), "lacks 'seed'"),
        (lambda r: r.update(sead=1), "unknown key 'sead'. Did you mean 'seed'?"),
        (lambda r: r.update(seed="7"), "'seed' must be an integer or null"),
        (lambda r: r["arrays"].pop("low"), "does not fit a header of"),
        (lambda r: r["arrays"]["low"].update(digest="0" * 16), "the array 'low' differs"),
    ],
)
def test_a_changed_record_is_refused(tmp_path: Path, change: Any, says: str) -> None:
    create(tmp_path).close()
    record = json.loads((tmp_path / "config.json").read_text())
    change(record)
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(JourneymanError) as caught:
        Run.open(tmp_path)
    assert says in str(caught.value)


def test_a_folder_without_a_run_or_a_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(JourneymanError, match=r"is not a run: it has no config\.json"):
        Run.open(tmp_path)
    with create(tmp_path) as run, pytest.raises(JourneymanError, match="no complete checkpoint"):
        run.restore({"x": 1})


def test_a_config_that_is_no_json_is_refused(tmp_path: Path) -> None:
    for bad in ({"x": jnp.ones(2)}, {"x": float("nan")}):
        with pytest.raises(JourneymanError, match="plain JSON"):
            Run.create(tmp_path / "run", bad)
    assert not (tmp_path / "run").exists()


def test_links_are_held_against_each_other() -> None:
    check_links({"dataset": "a" * 16}, {"dataset": "a" * 16, "policy": "b" * 16})
    with pytest.raises(JourneymanError, match=f"dataset does not belong here: {'a' * 16} is expected and {'b' * 16}"):
        check_links({"dataset": "a" * 16}, {"dataset": "b" * 16})
    with pytest.raises(JourneymanError, match="none was found"):
        check_links({"dataset": "a" * 16}, {})
    with pytest.raises(JourneymanError, match="2 things are wrong"):
        check_links({"dataset": "a", "policy": "b"}, {"dataset": "c"})


# -- metrics ----------------------------------------------------------------------------------------------


def test_metrics_are_exact(tmp_path: Path) -> None:
    row = {
        "step": np.int64(3),
        "loss": 0.1 + 0.2,
        "single": np.float32(0.1),
        "device": jnp.asarray(0.1, jnp.float32),
        "bad": float("nan"),
        "low": -np.inf,
        "kind": "improve",
        "done": np.bool_(True),
        "nothing": None,
        "quantiles": [0.5, (1, 2)],
        "evaluation": {"mean": np.float64(1e300)},
    }
    with create(tmp_path) as run:
        run.log(row, clock={"steps_per_second": 1e5})
        run.log({"iteration": 4, "clock": {"seconds": 2.0}})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert '"bad": "nan", "low": "-inf"' in text
    first, second = read_metrics(tmp_path)
    assert (first["loss"], first["single"], first["device"]) == (
        0.1 + 0.2,
        float(np.float32(0.1)),
        float(np.float32(0.1)),
    )
    assert np.isnan(first.pop("bad"))
    assert (first["low"], first["quantiles"], first["evaluation"]) == (-np.inf, [0.5, [1, 2]], {"mean": 1e300})
    assert (first["step"], first["done"], first["nothing"], first["kind"]) == (3, True, None, "improve")
    assert set(first["clock"]) == {"time", "steps_per_second"}
    assert set(second["clock"]) == {"time", "seconds"}
    assert read_metrics(tmp_path, clock=False)[1] == {"iteration": 4}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"loss": 1.0}, "needs an integer iteration or epoch or step"),
        ({"step": True}, "needs an integer"),
        ({"step": 1.0}, "needs an integer"),
        ({"step": 1, "loss": np.zeros(3)}, r"'loss' is an array of shape \(3,\)"),
        ({"step": 1, "part": {"x": object()}}, "'part/x' is a object"),
    ],
)
def test_rows_that_are_none_are_refused(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    with create(tmp_path) as run:
        with pytest.raises(JourneymanError, match=says):
            run.log(row)
        run.log({"step": 1})
    assert len(read_metrics(tmp_path)) == 1


def steps(folder: Path) -> list[int]:
    return [row["step"] for row in read_metrics(folder)]


def test_a_torn_last_line_is_dropped_before_anything_is_added(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        for step in (1, 2, 3):
            run.log({"step": step})
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert steps(tmp_path) == [1, 2]
    with Run.open(tmp_path) as run:
        run.log({"step": 4})
    assert steps(tmp_path) == [1, 2, 4]
    path.write_text(path.read_text().replace('"step": 2', '"step" 2'))
    with pytest.raises(JourneymanError, match="Line 2 of"):
        Run.open(tmp_path)


@pytest.mark.parametrize("name", ["step", "iteration", "epoch"])
def test_rewind_by_count(tmp_path: Path, name: str) -> None:
    with create(tmp_path) as run:
        for count in (0, 5, 5, 10, 15):
            run.log({name: count, "other": 1})
        before = (tmp_path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        run.rewind(5)
        assert (tmp_path / "metrics.jsonl").read_bytes() == b"".join(before[:3])
        run.log({name: 7})
    assert [row[name] for row in read_metrics(tmp_path)] == [0, 5, 5, 7]


def train(run: Run, state: dict[str, Any], until: int) -> None:
    """A run in miniature: a row before and a row after the checkpoint of every second step."""
    while int(state["step"]) < until:
        state = {"step": state["step"] + 1, "x": state["x"] * jnp.float32(0.9)}
        run.log({"step": int(state["step"]), "x": state["x"]})
        if int(state["step"]) % 2 == 0:
            run.checkpoint(int(state["step"]), state, meta={"half": int(state["step"]) // 2})
            run.log({"step": int(state["step"]), "evaluation": float(state["x"]) ** 2})


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Cut after the checkpoint of step 4, before its evaluation row, after it, and on the way to step 6."""
    first = {"step": np.asarray(0), "x": jnp.asarray(1.0, jnp.float32)}
    with create(tmp_path / "whole") as run:
        train(run, first, 8)
    expected = read_metrics(tmp_path / "whole", clock=False)
    with create(tmp_path / "cut") as run:
        train(run, first, 5)
    lines = (tmp_path / "cut" / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (6, 7, 8):
        folder = tmp_path / f"killed {kept}"
        shutil.copytree(tmp_path / "cut", folder)
        (folder / "metrics.jsonl").write_bytes(b"".join(lines[:kept])[: None if kept == 8 else -3] + b'{"ste')
        if kept == 6:
            (folder / "metrics.jsonl").write_bytes(b"".join(lines[:5]) + b'{"ste')
        with Run.open(folder) as run:
            step, state, meta = run.restore(first)
            assert (step, meta) == (4, {"half": 2})
            assert len(read_metrics(folder)) == 5
            train(run, state, 8)
        # the evaluation row of step 4 stood after the checkpoint: who logs there must log it again
        assert read_metrics(folder, clock=False) == expected[:5] + expected[6:]


def test_metrics_that_lost_rows_are_refused(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        run.log({"step": 1})
        run.log({"step": 2})
        run.checkpoint(2, {"x": 1})
    (tmp_path / "metrics.jsonl").write_text("")
    with Run.open(tmp_path) as run, pytest.raises(JourneymanError, match=r"has 0 rows where .* step 2 knows 2"):
        run.restore({"x": 1})


def test_going_back_further_drops_what_came_later(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        for step in (1, 2):
            run.log({"step": step})
            run.checkpoint(step, {"x": step})
        assert run.restore({"x": 0}, step=1) == (1, {"x": 1}, {})
        assert (run.checkpoints.steps(), steps(tmp_path)) == ([1], [1])


def test_a_policy_goes_where_the_checkpoint_holds_it_and_only_there(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        for step in (1, 2):
            run.log({"step": step})
            run.checkpoint(step, {"x": step})
        run.policy_folder.mkdir()
        (run.policy_folder / "policy.json").write_text("of step 2")
        with pytest.raises(
            JourneymanError, match=r"may be of a later moment than the checkpoint of step 1, from which"
        ):
            run.restore({"x": 0}, step=1)
        (run.policy_folder / "notes.txt").write_text("mine")
        with pytest.raises(JourneymanError, match=r"holds 'notes\.txt', which no policy wrote"):
            run.restore({"x": 0})
        assert (run.checkpoints.steps(), steps(tmp_path)) == ([1, 2], [1, 2])
        (run.policy_folder / "notes.txt").unlink()
        assert run.restore({"x": 0}) == (2, {"x": 2}, {})
        assert not [path for path in tmp_path.iterdir() if "policy" in path.name]


def test_a_full_disk_names_the_file_and_lets_the_run_go(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    with files_below(30), pytest.raises(OSError, match="File too large") as refused, run:
        run.log({"step": 1, "loss": 0.5})
    assert refused.value.filename == str(run.metrics.path)
    with Run.open(run.folder) as again:  # no longer held, and the torn line is gone
        again.log({"step": 1, "loss": 0.5})
    assert steps(run.folder) == [1]


def test_event_files_on_a_full_disk_are_an_error_and_nobody_waits(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="needs the extra 'tensorboard'")
    events, more = Events(tmp_path / "tensorboard", None), [("loss", 0.5)] * 10_000  # than a buffer holds
    with files_below(1000), pytest.raises(OSError, match="File too large") as refused:
        events.add(more, 1)
    assert refused.value.filename == str(tmp_path / "tensorboard")
    events.close()


def test_event_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX", reason="needs the extra 'tensorboard'")
    with Run.create(tmp_path / "with", {}) as run:
        assert run.record["tensorboard"] is True
        run.log({"iteration": 1, "loss": 0.5, "bad": float("nan"), "evaluation": {"mean": 3}})
        run.rewind(0)
        run.log({"iteration": 1, "loss": 0.25})
    data = b"".join(path.read_bytes() for path in (tmp_path / "with" / "tensorboard").iterdir())
    assert data.count(b"loss") == 2
    assert b"evaluation/mean" in data
    monkeypatch.setattr(_run, "has_tensorboard", lambda: False)
    with Run.create(tmp_path / "without", {}) as run:
        assert run.record["tensorboard"] is False
        run.log({"step": 1, "loss": 0.5})
    assert not (tmp_path / "without" / "tensorboard").exists()
    assert _metrics.has_tensorboard()
