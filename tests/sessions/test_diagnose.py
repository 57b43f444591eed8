"""The diagnoses of the command line: a table, JSON, a folder, and every refusal at once."""

import functools
import json
from pathlib import Path

import pytest

from journeyman import cli, datasets
from journeyman.collect import Sample, play
from journeyman.policies import save
from journeyman.verify import erring_policy, linear_policy
from journeyman.worlds import ErrorChain, LinearQuadratic

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
    assert "estimator  " in page
    command = f"journeyman diagnose gradient --policy {artefact} {' '.join(WORLD)} --episodes 64"
    assert f"<code>{command}</code>" in page
    assert cli.main([*command.split()[1:], "--out", str(tmp_path / "new")]) == 2
    assert "holds a diagnosis already; add --overwrite to replace it" in capsys.readouterr().err
    again = json.loads(said(capsys, *command.split()[1:], "--json", "--out", tmp_path / "new", "--overwrite"))
    assert again == told


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
    wrong = ("--ratio must be a positive", "discount", "holds no policy", "holds something other than a diagnosis")
    for part in ("4 things are wrong", *wrong):
        assert part in error
    assert cli.main([str(w) for w in ("diagnose", "step", *where, "--kl", -1, "--damping", -1)]) == 2
    assert "damping ≥ 0" in capsys.readouterr().err
    wrong = ("diagnose", "step", "--policy", artefact, "--world", "GeometricChain")
    assert cli.main([str(w) for w in wrong]) == 2
    assert "make the policy for this world" in capsys.readouterr().err


def test_what_errors_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = ErrorChain(signs=100, horizon=30)
    save(erring_policy(chain, 1), tmp_path / "clone")
    save(erring_policy(chain, 0, turns_back=True), tmp_path / "expert")
    where = ("--policy", tmp_path / "clone", "--world", "ErrorChain", "--options", "signs=100", "horizon=30")
    ask = functools.partial(said, capsys, "diagnose", "compounding", *where, "--episodes", 300)
    table = ask("--expert", "shipped", "--horizons", 5, 10, 20, "--out", tmp_path / "new")
    assert [line.split()[0] for line in table.splitlines()[:4]] == ["H", "5", "10", "20"]
    assert "cost of a step" in table
    assert "The cost over the first H steps grows like H to the power" in table
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "Compounding error in ErrorChain" in page
    assert "clone on its own states" in page
    assert "errors cost by horizon" in page
    assert "εH²/2" in page
    assert str(tmp_path / "clone on") not in page
    told = json.loads(ask("--expert", tmp_path / "expert", "--horizons", 5, 10, 20, "--json"))
    assert told == json.loads((tmp_path / "new" / "diagnosis.json").read_text(encoding="utf-8"))
    assert told["by_horizon"]["horizon"] == [5, 10, 20]


def test_what_is_no_clone_or_no_expert(artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*words: object) -> str:
        assert cli.main(["diagnose", "compounding", *(str(word) for word in words)]) == 2
        return capsys.readouterr().err

    nothing = ("--policy", tmp_path, "--expert", tmp_path / "none", "--world", "ErrorChain", "--episodes", 0)
    found = refused(*nothing)
    for part in ("3 things are wrong", "--episodes must be a positive", "none' holds no policy"):
        assert part in found
    save(erring_policy(ErrorChain(signs=7), 1), tmp_path / "chain")
    assert "The expert does not fit." in refused("--policy", artefact, "--expert", tmp_path / "chain", *WORLD)
    assert "No expert for 'LinearQuadratic' comes with" in refused("--policy", artefact, "--expert", "shipped", *WORLD)
    late = ("--policy", artefact, "--expert", artefact, *WORLD, "--horizons", 4, 2)
    assert "Horizons are whole numbers of steps that rise, unlike [4, 2]" in refused(*late)


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `fit` on twelve episodes of a linear controller."""
    folder = tmp_path_factory.mktemp("cloned")
    world = LinearQuadratic(horizon=5, start_std=0.5)
    data = play(world, Sample(linear_policy(world, -0.3, 0.05)), episodes=12, seed=0)
    datasets.write(data, folder / "shown.npz")
    words = ["fit", "--data", folder / "shown.npz", "--out", folder / "run", "--epochs", 20, "--episodes", 4]
    words += ["--shape.hidden", 4, *WORLD]
    assert cli.main([str(word) for word in words]) == 0
    return folder / "run"


def test_why_a_clone_is_bad(cloned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Whether modes are averaged cannot be told" in (cloned / "report.html").read_text(encoding="utf-8")
    counts = ("--folds", 2, "--seeds", 2, "--episodes", 4)
    found = json.loads(said(capsys, "diagnose", "clone", cloned, *counts, "--json", "--out", tmp_path / "new"))
    assert found == json.loads((tmp_path / "new" / "diagnosis.json").read_text(encoding="utf-8"))
    names = [one["name"] for one in found["causes"]]
    assert names[:3] == ["too little data", "underfitting", "mode averaging"]
    assert found["episodes"] == 12
    assert any("there is no expert" in sentence for sentence in found["cannot_tell"])
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "The causes of a clone" in page
    assert "Cannot tell: compounding error: there is no expert to label the policy&#39;s own states.<" in page
    assert "Cannot tell: mode averaging: with 12 valid demonstrations" in page
    assert "cannot be told" not in page.split('id="table"')[0]
    assert "cause    " in page
    command = f"journeyman diagnose clone {cloned} --folds 2 --seeds 2 --episodes 4"
    assert page.count(f"<code>{command}</code>") > 1
    again = said(capsys, *command.split()[1:], "--json")
    assert json.loads(again) == found


def test_what_is_no_run_of_fit(
    cloned: Path, artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine", encoding="utf-8")
    words = ("diagnose", "clone", artefact, "--seeds", 0, "--out", tmp_path / "full", "--expert", tmp_path / "none")
    assert cli.main([str(word) for word in words]) == 2
    error = capsys.readouterr().err
    for part in ("--seeds must be a positive", "is not a run", "none' holds no policy", "holds something other than"):
        assert part in error
    assert cli.main(["diagnose", "clone", str(cloned), "--expert", "shipped"]) == 2
    assert "No expert for 'LinearQuadratic' comes with" in capsys.readouterr().err
