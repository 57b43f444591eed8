"""The diagnoses of the command line: a table, JSON, a folder, and every refusal at once."""

import functools
import json
from pathlib import Path

import pytest

from journeyman import cli
from journeyman.policies import save
from journeyman.verify import linear_policy
from journeyman.worlds import LinearQuadratic

WORLD = ("--world", "LinearQuadratic", "--options", "horizon=5", "start_std=0.5")


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy") / "one"
    save(linear_policy(LinearQuadratic(horizon=5), -0.3, 0.3), folder)
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert cli.main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_the_gradient(artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = functools.partial(said, capsys, "diagnose", "gradient", "--policy", artefact, *WORLD, "--episodes", 64)
    table = ask()
    assert table.splitlines()[0].startswith("estimator")
    assert [line.split("  ")[0] for line in table.splitlines()[1:4]] == [
        "full return",
        "reward-to-go",
        "minus a constant",
    ]
    assert "A signal-to-noise ratio of 1 takes so many trajectories a batch" in table
    told = json.loads(ask("--json", "--out", tmp_path / "new"))
    assert told["estimators"]["reward-to-go"]["variance"]["n"] == 64
    assert told == json.loads((tmp_path / "new" / "diagnosis.json").read_text(encoding="utf-8"))
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "The gradient in LinearQuadratic" in page
    assert "comes from coupling of past and future" in page


def test_the_step(artefact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = ("--episodes", 16, "--evaluation-episodes", 16)
    table = said(capsys, "diagnose", "step", "--policy", artefact, *WORLD, *counts)
    assert "predicted KL" in table
    assert "times the step" in table
    assert "The natural step is" in table


def test_everything_that_is_wrong_is_told_at_once(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine", encoding="utf-8")
    where = ("--policy", tmp_path, *WORLD, "--out", tmp_path / "full")
    assert cli.main([str(w) for w in ("diagnose", "gradient", *where, "--ratio", 0, "--discount", 2)]) == 2
    error = capsys.readouterr().err
    for part in ("4 things are wrong", "--ratio must be a positive", "discount", "holds no policy", "exists already"):
        assert part in error
    assert cli.main([str(w) for w in ("diagnose", "step", *where, "--kl", -1, "--damping", -1)]) == 2
    assert "damping ≥ 0" in capsys.readouterr().err
    wrong = ("diagnose", "step", "--policy", artefact, "--world", "GeometricChain")
    assert cli.main([str(w) for w in wrong]) == 2
    assert "make the policy for this world" in capsys.readouterr().err
