"""`data lint` and `data convert` at the command line, and cloning from formats other than npz."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from journeyman import cli, datasets
from journeyman.algorithms import bc
from journeyman.datasets._open import Findings
from journeyman.datasets._values import fit_observation
from journeyman.episodes import Episodes, concatenate
from journeyman.policies import policy
from journeyman.training import fit
from journeyman.worlds import Box, Pendulum


def demos(steps: int = 12, seed: int = 0) -> Episodes:
    """Two episodes of the pendulum's shapes."""
    random = np.random.default_rng(seed)

    def one(time: int) -> Episodes:
        angle = np.cumsum(random.normal(0, 0.1, time + 1))
        seen = np.stack([np.cos(angle), np.sin(angle), random.normal(size=time + 1)], 1).astype(np.float32)
        return Episodes.episode(seen, random.uniform(-1, 1, (time, 1)).astype(np.float32), random.normal(size=time))

    return concatenate([one(steps), one(steps + 3)])


@pytest.mark.filterwarnings("error")
def test_the_largest_bounds_of_a_world_overflow_nothing() -> None:
    most = np.full(2, np.finfo(np.float32).max)
    findings = Findings()
    fit_observation(np.zeros((3, 2), np.float32), SimpleNamespace(observation_space=Box(-most, most)), findings)
    assert (findings.notes, findings.problems) == ([], [])


def test_lint_ends_with_0_or_1_and_prints_a_page_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = datasets.write(demos(), tmp_path / "demos.npz")
    assert cli.main(["data", "lint", str(path)]) == 0
    page = capsys.readouterr().out
    assert page == datasets.lint(path).page() + "\n"
    assert "wrong: nothing was found." in page
    twice = datasets.write(concatenate([demos(), demos()]), tmp_path / "twice.npz")
    assert cli.main(["data", "lint", str(twice), "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert [problem["check"] for problem in json.loads(line)["problems"]] == ["duplicated episode"]
    assert cli.main(["data", "lint", str(path), "--world", "Pendulum", "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["measured"]["off by one"]["steps"] > 0


def test_what_cannot_be_looked_at_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demos.npz").write_bytes(b"no zip")
    path = datasets.write(demos(), tmp_path / "good.npz")
    for words, said in (
        ((str(tmp_path / "demos.npz"),), "is not an npz file"),
        ((str(tmp_path / "demo.npz"),), "There is no file"),
        ((str(path), "--world", "Pendulumm"), "Pendulum"),
        ((str(path), "--options", "horizon=3"), "no world is given; add --world"),
    ):
        assert cli.main(["data", "lint", *words]) == 2
        out, err = capsys.readouterr()
        assert (out, said in err) == ("", True)


def test_convert_goes_through_every_format_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("h5py", reason="needs h5py to write HDF5 with")
    first = datasets.write(demos(), tmp_path / "a.npz")
    names = ["b.csv", "c-v0", "d.h5", "e.npz"]
    last = first
    for name in names:
        assert cli.main(["data", "convert", str(last), str(tmp_path / name)]) == 0
        assert "27 steps in 2 episodes" in capsys.readouterr().out
        last = tmp_path / name
    before, after = (list(datasets.read(path).episodes.unpack()) for path in (first, last))
    assert [one.fingerprint() for one in before] == [one.fingerprint() for one in after]
    assert cli.main(["data", "convert", str(first), str(last)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_clone_of_a_file_is_the_clone_of_the_same_data_in_another_format(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="needs h5py to write HDF5 with")
    found = []
    for name in ("a.npz", "a.h5", "a.csv", "a-v0"):
        data = datasets.read(datasets.write(demos(), tmp_path / name), world=Pendulum())
        clone = fit(bc(1e-2, epochs=2, batch_size=8), policy(Pendulum(), jax.random.key(0)), data.episodes).policy
        found.append(jax.tree.leaves(clone))
    for other in found[1:]:
        for left, right in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_fewer_transitions_than_a_batch_are_one_batch_of_their_own_size(tmp_path: Path) -> None:
    """A batch size beyond the data changes nothing: the loss is divided by the steps that there are."""
    few = demos(2)
    assert few.num_steps == 7
    fresh = policy(Pendulum(), jax.random.key(0))
    clones = [fit(bc(1e-2, epochs=3, batch_size=size), fresh, few).policy for size in (7, 256)]
    for left, right in zip(*map(jax.tree.leaves, clones), strict=True):
        np.testing.assert_allclose(left, right, rtol=2e-5, atol=1e-6)
