"""`journeyman correct`: labels, the clones beside them, and what is refused before anything is made."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tyro

from journeyman import cli
from journeyman.cli._verbs import Verb
from journeyman.collect import Sample, play
from journeyman.datasets import read, write
from journeyman.episodes import SYNTHETIC
from journeyman.policies import inspect, policy
from journeyman.sessions import CorrectSettings, _correct
from journeyman.training import read_record
from journeyman.worlds import LinearQuadratic
from tests.sessions.conftest import Journeyman

LINEAR = ("--world", "LinearQuadratic", "--options", "horizon=12", "start_std=1.0")
LABELS = "--members 2 --batch-size 64 --tolerance 2".split()
SMALL = (*LABELS, *"--gradient-steps 40 --episodes 3 --shape.hidden 4".split())


def record(path: Path, episodes: int = 6) -> Any:
    made = LinearQuadratic(horizon=12, start_std=1.0, num_envs=3)
    shown = play(made, Sample(policy(made, jax.random.key(0), hidden=())), episodes=episodes, seed=0)
    write(shown, path)
    return shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")
    made = tmp_path_factory.mktemp("correct")
    record(made / "demos.npz")
    words = ["correct", "--data", str(made / "demos.npz"), *LINEAR, *SMALL, "--out", str(made / "out")]
    assert cli.main(words) == 0
    return made / "out"


def test_the_labels_the_clones_and_the_page_lie_in_the_folder(folder: Path) -> None:
    shown, corrected, noisy = (
        read(path).episodes for path in (folder.parent / "demos.npz", folder / "corrected.npz", folder / "noisy.npz")
    )
    told = json.loads((folder / "summary.json").read_text())
    labels = told["labels"]
    synthetic = np.asarray(corrected.source)[np.asarray(corrected.valid)] == SYNTHETIC
    assert labels["kept"] == synthetic.sum() > 0
    assert labels["tried"] == shown.num_steps
    assert corrected.num_steps == shown.num_steps + labels["kept"]
    assert noisy.num_steps == 2 * shown.num_steps
    # One noiseless linear step is known: the world says how wrong the labels are.
    assert set(labels) >= {"landing", "beyond_bound", "nearest", "bound", "median_step"}
    assert labels["bound"][2] <= 2
    for name in ("clone", "noisy", "corrected"):
        named = folder.parent / "demos.npz" if name == "clone" else folder / f"{name}.npz"
        # So that DAgger can go on from each with the file it was cloned from.
        assert inspect(folder / name / "policy")["links"]["file"] == read(named).fingerprint
        assert told[name]["episodes"] == 3
    page = (folder / "report.html").read_text()
    assert f"{labels['kept']} of {labels['tried']} labels were kept" in page
    assert "Under the true dynamics" in page
    assert "noisy clone" in page
    command = f"correct --data {folder.parent / 'demos.npz'} {' '.join(LINEAR)} --out {folder}"
    written = re.search(r"<code>journeyman (correct .*?)</code>", page)
    assert written is not None
    assert tyro.cli(Verb, args=written[1].split()) == tyro.cli(Verb, args=[*command.split(), *SMALL])


def test_every_clone_takes_as_many_steps(folder: Path) -> None:
    taken = []
    for name, data in (("clone", "../demos"), ("noisy", "noisy"), ("corrected", "corrected")):
        batches = -(-read(folder / f"{data}.npz").episodes.num_steps // 64)
        taken.append(read_record(folder / name)["config"]["parts"]["map"]["learner"]["epochs"] * batches)
    assert all(abs(steps - 40) <= 3 for steps in taken), taken


def test_earlier_labels_are_kept(folder: Path, journeyman: Journeyman) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    code, _, err = journeyman("correct", "--data", folder.parent / "demos.npz", *LABELS, "--out", folder)
    assert code == 2
    assert "holds earlier labels; add --overwrite" in err
    words = ("--data", folder.parent / "demos.npz", *LABELS, "--out", folder, "--overwrite")
    code, _, err = journeyman("correct", *words)
    assert code == 2
    assert "holds clones of earlier labels, which nothing would replace without a world" in err
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_ctrl_c_says_how_these_labels_are_begun_again(
    tmp_path: Path, journeyman: Journeyman, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")
    record(tmp_path / "demos.npz", episodes=3)

    def stop(*parts: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_correct, "_judged", stop)
    asked = ["correct", "--data", str(tmp_path / "demos.npz"), *LINEAR, *SMALL[2:], "--dynamics", "true"]
    asked += ["--out", str(tmp_path / "out")]
    words = asked
    for _ in range(2):  # the command that was named begins again
        code, _, err = journeyman(*words)
        assert code == 130
        words = shlex.split(err.rpartition("begin again with: journeyman ")[2])
        assert tyro.cli(Verb, args=words) == tyro.cli(Verb, args=[*asked, "--overwrite"])


def test_without_a_world_there_are_labels_and_their_control_and_no_clones(
    tmp_path: Path, journeyman: Journeyman
) -> None:
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")
    record(tmp_path / "demos.npz", episodes=3)
    code, out, err = journeyman("correct", "--data", tmp_path / "demos.npz", *LABELS, "--out", tmp_path / "out")
    assert code == 0, err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("corrected.npz", "noisy.npz", "summary.json", "report.html")
    }
    assert "landing" not in json.loads((tmp_path / "out" / "summary.json").read_text())["labels"]
    assert "36 demonstrated steps are fewer than a batch of 64" in out
    assert "nobody knows" in (tmp_path / "out" / "report.html").read_text()


def test_under_true_dynamics_labels_land_where_they_should(tmp_path: Path, journeyman: Journeyman) -> None:
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")
    record(tmp_path / "demos.npz", episodes=3)
    words = ("correct", "--data", tmp_path / "demos.npz", *LINEAR, *SMALL[2:], "--dynamics", "true")
    code, _, err = journeyman(*words, "--method", "root-finding", "--out", tmp_path / "out")
    assert code == 0, err
    labels = json.loads((tmp_path / "out" / "summary.json").read_text())["labels"]
    assert (labels["kept"], labels["beyond_bound"]) == (36, 0)
    assert labels["landing"][2] < 1e-5


# -- refusals -------------------------------------------------------------------------------------------

Refused = Callable[..., str]


@pytest.fixture
def refused(journeyman: Journeyman, tmp_path: Path) -> Refused:
    record(tmp_path / "demos.npz", episodes=3)

    def run(*words: str) -> str:
        code, _, err = journeyman("correct", "--data", tmp_path / "demos.npz", *words, "--out", tmp_path / "out")
        assert code == 2, err
        assert not (tmp_path / "out").exists(), "nothing is made"
        return err

    return run


def test_where_no_label_can_be_trusted_it_says_by_how_much_and_makes_nothing(refused: Refused) -> None:
    said = refused("--members", "2", "--tolerance", "1e-9")
    assert "No label of 36 can be trusted: the smallest bound is" in said
    assert "1e-09 are allowed" in said


def test_an_observation_that_is_not_the_state(refused: Refused) -> None:
    pytest.importorskip("mujoco", reason="needs the extra 'gymnasium', which is not installed")
    said = refused("--world", "gymnasium:Ant-v5", "--dynamics", "true")
    assert "An observation of 'Ant-v5' is not the state" in said


def test_too_few_steps_for_the_members(refused: Refused) -> None:
    assert "There are 36 valid steps, and 40 members need 80 at least" in refused("--members", "40")


def test_settings_that_make_no_sense_are_told_at_once() -> None:
    data = Path("x")
    wrong = CorrectSettings(data, dynamics="true", radius=1.0, tolerance=-1.0, members=1, noise=-1.0, iterations=0)
    words = ["--dynamics true", "--radius and", "--tolerance must be", "--members must be", "--members is 1", "--noise"]
    words += ["--iterations must be", "--iterations is 0"]
    found = wrong.problems()
    assert len(found) == len(words)
    assert all(any(word in problem for problem in found) for word in words), found
    assert not CorrectSettings(data).problems()
