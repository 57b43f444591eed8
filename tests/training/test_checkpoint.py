"""Checkpoints are exact, complete or absent, and never fill in what they lack."""

import copy
import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from journeyman.parts import JourneymanError, fingerprint
from journeyman.training import _checkpoint
from journeyman.training._checkpoint import Checkpoints
from tests.training.full_disk import files_below


class Moments(NamedTuple):
    count: Any
    mean: Any


def state(seed: int = 0) -> dict[str, Any]:
    """One leaf of every kind that a run may hold."""
    random = np.random.default_rng(seed)
    return {
        "weights": [jnp.asarray(random.normal(size=(4, 3)), jnp.float32), jnp.ones((2,), jnp.bfloat16)],
        "moments": Moments(jnp.asarray(seed, jnp.int32), jnp.asarray([np.nan, -np.inf, -0.0], jnp.float32)),
        "raw key": jax.random.key_data(jax.random.key(seed)),
        "typed key": jax.random.key(seed),
        "many keys": jax.random.split(jax.random.key(seed), 3),
        "other key": jax.random.key(seed, impl="rbg"),
        "flags": jnp.asarray([True, False]),
        "flag": np.bool_(True),
        "wide": np.asarray([2**62 + 1, -(2**62)]),
        "wide scalar": np.int64(2**62 + seed),
        "double": np.float64(0.1),
        "empty": jnp.zeros((0, 3), jnp.bfloat16),
        "turned": np.asfortranarray(random.normal(size=(3, 4))),
        "steps": 2**70 + seed,
        "rate": 0.1 + 0.2,
        "nothing finite": float("-inf"),
        "not a number": float("nan"),
        "done": False,
        "phase": "improve",
        "none": None,
        "a.b/c['d']": (np.uint64(2**64 - 1), ()),
    }


def described(tree: Any) -> list[tuple[str, Any]]:
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        kind = type(leaf).__name__
        if isinstance(leaf, jax.Array):
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                kind, leaf = f"{kind} {leaf.dtype}", jax.random.key_data(leaf)
            kind += f" {leaf.dtype} weak={leaf.weak_type} {leaf.shape}"
        value = fingerprint(leaf) if not isinstance(leaf, (int, float, str)) else repr(leaf)
        found.append((jax.tree_util.keystr(path), kind, value))
    return found


def test_every_kind_of_leaf_comes_back_bit_for_bit(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(10, state(3), meta={"episodes": 4, "phase": {"name": "improve"}})
    restored, meta = checkpoints.restore(state(0))
    assert described(restored) == described(state(3)) != described(state(0))
    assert jax.tree.structure(restored) == jax.tree.structure(state(3))
    assert meta == {"episodes": 4, "phase": {"name": "improve"}} == checkpoints.meta()
    np.testing.assert_array_equal(jax.random.bits(restored["other key"]), jax.random.bits(state(3)["other key"]))


def test_weak_types_stay_weak(tmp_path: Path) -> None:
    """A strong type in place of a weak one would compile the training step once more after resuming."""
    tree = {"weak": jnp.asarray(0.1), "strong": jnp.asarray(0.1, jnp.float32)}
    Checkpoints(tmp_path).save(0, tree)
    restored, _ = Checkpoints(tmp_path).restore(tree)
    assert described(restored) == described(tree)


def test_a_bare_array_and_an_empty_tree(tmp_path: Path) -> None:
    for step, tree in enumerate((jnp.arange(3), (), {"only": "text"})):
        Checkpoints(tmp_path).save(step, tree)
        assert described(Checkpoints(tmp_path).restore(tree)[0]) == described(tree)


def test_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    for step in (0, 5, 10, 15):
        checkpoints.save(step, {"x": jnp.asarray(step)})
    assert (checkpoints.steps(), checkpoints.latest()) == ([10, 15], 15)
    assert int(checkpoints.restore({"x": jnp.asarray(0)}, 10)[0]["x"]) == 10
    checkpoints.save(15, {"x": jnp.asarray(-15)})
    assert int(checkpoints.restore({"x": jnp.asarray(0)})[0]["x"]) == -15
    checkpoints.drop_after(10)
    assert checkpoints.steps() == [10]
    assert [p.name for p in tmp_path.iterdir()] == ["000000000010"], "nothing hidden is left behind"


def test_no_complete_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(JourneymanError, match=r"no complete checkpoint.*start the run again"):
            Checkpoints(folder).restore({})
    (tmp_path / "000000000003").mkdir()  # a folder with a step's name that nothing was written to
    (tmp_path / "notes").mkdir()
    with pytest.raises(JourneymanError, match="no complete checkpoint"):
        Checkpoints(tmp_path).restore({})
    Checkpoints(tmp_path).save(4, {"x": 1})
    with pytest.raises(JourneymanError, match=r"no checkpoint of step 7.*\[4\]"):
        Checkpoints(tmp_path).restore({"x": 1}, 7)


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(JourneymanError, match=r"\['f'\]' is a builtin_function_or_method"):
        checkpoints.save(0, {"f": print})
    with pytest.raises(JourneymanError, match=r"is a ndarray"):
        checkpoints.save(0, {"f": np.asarray([print])})
    with pytest.raises(JourneymanError, match="plain JSON"):
        checkpoints.save(0, {}, meta={"x": jnp.ones(2)})
    with pytest.raises(JourneymanError, match="counts from 0"):
        checkpoints.save(-1, {})
    with pytest.raises(JourneymanError, match="keep=1 or more"):
        Checkpoints(tmp_path, keep=0)
    assert checkpoints.latest() is None


LEAVES = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state())]


def without(tree: Any, name: str) -> Any:
    """`tree` with one leaf taken out (None has no leaf)."""
    paths, treedef = jax.tree_util.tree_flatten_with_path(tree)
    return jax.tree.unflatten(treedef, [None if jax.tree_util.keystr(p) == name else leaf for p, leaf in paths])


def test_every_single_missing_or_unknown_field_is_an_error(tmp_path: Path) -> None:
    """One mutation a field, from both sides; and all of them together are listed at once."""
    whole = Checkpoints(tmp_path / "whole")
    whole.save(1, state())
    for number, name in enumerate(LEAVES):
        with pytest.raises(JourneymanError) as unknown:
            whole.restore(without(state(), name))
        assert f"has '{name}', which this run does not know" in str(unknown.value)
        part = Checkpoints(tmp_path / str(number))
        part.save(1, without(state(), name))
        with pytest.raises(JourneymanError) as missing:
            part.restore(state())
        assert f"lacks '{name}', which this run has" in str(missing.value)
    with pytest.raises(JourneymanError, match="2 things are wrong"):
        whole.restore(without(without(state(), LEAVES[0]), LEAVES[5]))


@pytest.mark.parametrize(
    ("saved", "wanted"),
    [
        (jnp.zeros(3), jnp.zeros(4)),
        (jnp.zeros(3), jnp.zeros((3, 1))),
        (jnp.zeros(3), jnp.zeros(3, jnp.int32)),
        (jnp.zeros(3, jnp.uint32), jnp.zeros(3, jnp.int32)),
        (np.zeros(3), np.zeros(3, np.float32)),
        (1, 1.0),
        (True, 1),
        (1.0, jnp.asarray(1.0)),
        (jax.random.key(0), jax.random.key(0, impl="rbg")),
        (jax.random.key(0), jax.random.key_data(jax.random.key(0))),
    ],
)
def test_another_shape_type_or_kind_is_an_error(tmp_path: Path, saved: Any, wanted: Any) -> None:
    Checkpoints(tmp_path).save(1, {"x": saved})
    with pytest.raises(JourneymanError, match=r"\['x'\]' as .* where this run has "):
        Checkpoints(tmp_path).restore({"x": wanted})


def test_a_field_dropped_from_the_files_is_an_error(tmp_path: Path) -> None:
    """Not only the description: each entry of the description, and each part of an entry, is needed."""
    Checkpoints(tmp_path).save(1, state())
    path = tmp_path / "000000000001" / "checkpoint.json"
    document = json.loads(path.read_text())
    cuts = [(key,) for key in document] + [("leaves", name) for name in document["leaves"]]
    cuts += [("leaves", name, key) for name in list(document["leaves"])[:4] for key in document["leaves"][name]]
    for cut in cuts:
        changed = copy.deepcopy(document)
        inner = changed
        for key in cut[:-1]:
            inner = inner[key]
        del inner[cut[-1]]
        path.write_text(json.dumps(changed))
        with pytest.raises(JourneymanError):
            Checkpoints(tmp_path).restore(state())
    path.write_text(json.dumps(document))
    Checkpoints(tmp_path).restore(state())


def test_damage_is_found(tmp_path: Path) -> None:
    """A flipped byte, a shortened or a missing file: always a sentence."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state())
    found = 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in files:
        whole = path.read_bytes()
        middle = len(whole) // 2
        for damaged in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :], None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            with pytest.raises(JourneymanError):
                checkpoints.restore(state())
            found += 1
            path.write_bytes(whole)
    assert found >= 12
    checkpoints.restore(state())


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"format": "journeyman-checkpoint", "format_version": 1}'])
def test_a_damaged_description_is_told_as_damaged_arrays_are(tmp_path: Path, text: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, {"x": step})
    path = tmp_path / "000000000002" / "checkpoint.json"
    path.write_text(text)
    with pytest.raises(JourneymanError, match=r"'.*000000000002.*'.*damaged.*remove that checkpoint's folder"):
        checkpoints.restore({"x": 0})
    shutil.rmtree(path.parent)
    assert checkpoints.restore({"x": 0})[0] == {"x": 1}


def test_another_format_version_is_a_sentence(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, {"x": 1})
    path = tmp_path / "000000000001" / "checkpoint.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 7'))
    with pytest.raises(JourneymanError, match="format version 7 and this journeyman reads version 1"):
        Checkpoints(tmp_path).restore({"x": 1})


@pytest.mark.parametrize("size", [0, 1000, 10_000])
def test_a_full_disk_is_an_error_that_names_the_checkpoint_and_loses_none(
    tmp_path: Path, size: int, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    """At the first byte, and among the arrays, of which many are under way."""
    checkpoints, drawn = Checkpoints(tmp_path), np.random.default_rng(0).normal(size=(30, 50, 50))
    saved = {f"array {number}": array for number, array in enumerate(drawn)}
    checkpoints.save(1, saved)
    with files_below(size), pytest.raises(OSError, match="File too large") as refused:
        checkpoints.save(2, saved)
    assert refused.value.filename == str(tmp_path / "000000000002")
    assert checkpoints.steps() == [1]
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    checkpoints.save(2, saved)  # and sweeps away what was still being written when the save was given up
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000001", "000000000002"]


def test_ctrl_c_waits_for_orbax_whose_threads_would_complain_of_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints, orbax, done = Checkpoints(tmp_path), _checkpoint._orbax(), []

    def pressed(work: Callable[..., Any], *arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        found = work(*arguments)
        done.append(work)
        return found

    checkpoints.save(1, state())
    there = SimpleNamespace(save=partial(pressed, orbax.save), restore=partial(pressed, orbax.restore))
    monkeypatch.setattr(_checkpoint, "_orbax", lambda: there)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background are deaf to it
    try:
        for work in (partial(checkpoints.save, 2), checkpoints.restore):
            with pytest.raises(KeyboardInterrupt):
                work(state())
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == [orbax.save, orbax.restore]
    assert [path.name for path in tmp_path.iterdir()] == ["000000000001"]
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_pythons_complaints_about_tasks_are_heard_but_for_those_of_orbax(caplog: pytest.LogCaptureFixture) -> None:
    """Whether a save that failed leaves such a task is a race; here are its words."""
    _checkpoint._orbax()
    for told in ("future: <Task coro=<f() at site-packages/orbax/checkpoint/x.py:1>>", "future: <Task coro=<mine()>>"):
        logging.getLogger("asyncio").error(f"Task exception was never retrieved\n{told}")
    assert [record.getMessage().split("=")[-1] for record in caplog.records] == ["<mine()>>"]


def test_saving_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogger("absl").level
    Checkpoints(tmp_path).save(1, state())
    Checkpoints(tmp_path).restore(state())
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.getLogger("absl").level == before


WRITER = """
import sys
import jax.numpy as jnp
from journeyman.training._checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
step = 0 if checkpoints.latest() is None else checkpoints.latest()
print("ready", flush=True)
while True:
    step += 1
    checkpoints.save(step, {f"leaf {i}": jnp.full((50, 50), step) for i in range(6)}, meta={"step": step})
    print(step, flush=True)
"""


@pytest.mark.parametrize("tries", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_a_process_killed_while_saving_leaves_a_whole_checkpoint(tmp_path: Path, tries: int) -> None:
    """SIGKILL at random moments of repeated saves; what was reported as saved is there, and is consistent."""
    random = np.random.default_rng(0)
    template = {f"leaf {i}": jnp.zeros((50, 50), jnp.int32) for i in range(6)}
    for _ in range(tries):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        with process:
            assert process.stdout is not None
            for _ in range(int(random.integers(2, 5))):  # the first line says "ready"
                assert process.stdout.readline()
            time.sleep(float(random.uniform(0, 0.1)))
            process.send_signal(signal.SIGKILL)
            reported = [int(line) for line in process.stdout.read().split() if line.isdigit()]
        checkpoints = Checkpoints(tmp_path)
        restored, meta = checkpoints.restore(template)
        step = checkpoints.latest()
        assert step is not None
        assert step >= max(reported, default=1)
        assert meta == {"step": step}
        assert all((np.asarray(leaf) == step).all() for leaf in restored.values())
        assert len(checkpoints.steps()) <= 3
    checkpoints.save(step + 1, template)
    assert len(list(tmp_path.iterdir())) == 2, "what the killed processes left is swept away"
