"""`journeyman fit` from an npz to a page: what lies in the folder, and what is never overwritten."""

import json
import re
from pathlib import Path

import pytest

from journeyman.policies import inspect, load
from journeyman.sessions import judge
from tests.sessions.conftest import PENDULUM, Journeyman, numbers, record

FIT = ("--epochs", "8", "--batch-size", "32", "--episodes", "3", "--shape.hidden", "8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module, extra in (("envpool", "envpool"), ("jinja2", "report"), ("tensorboardX", "tensorboard")):
        pytest.importorskip(module, reason=f"needs the extra '{extra}', which is not installed")
    from journeyman import cli

    made = tmp_path_factory.mktemp("fit")
    record(made / "demos.npz")
    out = str(made / "down" / ".." / "run")
    words = ["fit", "--data", str(made / "down" / ".." / "demos.npz"), *PENDULUM, *FIT, "--out", out]
    (made / "down").mkdir()
    assert cli.main(words) == 0
    return made / "run"


def test_the_run_folder_holds_everything(folder: Path) -> None:
    there = {entry.name for entry in folder.iterdir()}
    assert there >= {"config.json", "metrics.jsonl", "tensorboard", "checkpoints", "policy", "report.html"}
    assert {entry.name for entry in (folder / "policy").iterdir()} == {"policy.json", "policy.safetensors"}
    assert any((folder / "tensorboard").iterdir())
    rows = numbers(folder)
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert all("held_out_nll" in row for row in rows)


def test_config_is_resolved_and_links_the_data(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    settings = config["config"]["context"]["settings"]
    assert settings["data"] == str(folder.parent / "demos.npz"), "paths are absolute and without '..'"
    assert settings["out"] == str(folder)
    assert settings["options"] == ["max_episode_steps=20"]
    assert set(config["links"]) == {"file", "dataset", "held_out", "policy"}
    assert inspect(folder / "policy")["links"] == config["links"]
    assert load(folder / "policy").encoder.shapes == ((3,),)


def test_an_earlier_run_is_kept(folder: Path, journeyman: Journeyman) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    words = ["fit", "--data", folder.parent / "demos.npz", *PENDULUM, *FIT, "--out", folder]
    code, _, err = journeyman(*words)
    assert code == 2
    assert "holds a run already and nothing is ever overwritten unasked" in err
    assert "(`journeyman resume`, in Python resume=True)" in err
    assert "(--overwrite, in Python overwrite=True)" in err
    code, _, err = journeyman("improve", *PENDULUM, "--steps", "512", "--batch", "256", "--out", folder)
    assert code == 2
    assert "holds a run already" in err
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_the_page_is_the_same_twice_and_evaluate_agrees_with_it(folder: Path, journeyman: Journeyman) -> None:
    code, out, _ = journeyman("report", folder)
    assert code == 0
    first = (folder / "report.html").read_bytes()
    assert journeyman("report", folder)[0] == 0
    assert (folder / "report.html").read_bytes() == first
    code, told, _ = journeyman("evaluate", folder, *PENDULUM, "--episodes", "3", "--json")
    assert code == 0
    found = json.loads(told)
    assert (found["world"], found["score"], found["distinct_starts"]) == ("envpool:Pendulum-v1", "return", 3)
    assert found["mean action"]["episodes"] == found["sampled"]["episodes"] == 3
    assert found["mean action"]["low"] <= found["mean action"]["mean"] <= found["mean action"]["high"]
    said = re.search(r"clone: (\S+) \[(\S+), (\S+)\] over 3 episodes", out)
    assert said is not None
    expected = tuple(f"{found['mean action'][name]:.4g}" for name in ("mean", "low", "high"))
    assert said.groups() == expected
    again = judge(folder, "envpool:Pendulum-v1", ["max_episode_steps=20"], episodes=3)
    assert again.score().mean == found["mean action"]["mean"]


def test_evaluate_in_words_and_by_best_reward(folder: Path, journeyman: Journeyman) -> None:
    code, out, err = journeyman("evaluate", folder / "policy", *PENDULUM, "--episodes", "2", "--score", "best reward")
    assert (code, err) == (0, "")
    first, second, third = out.splitlines()
    assert re.fullmatch(r"mean action: best reward \S+ \[\S+, \S+\] over 2 episodes, seed \d+", first)
    assert second.startswith("sampled: best reward ")
    assert third == "distinct start states: 2 of 2"


def test_evaluate_knows_the_world_of_a_run(folder: Path, journeyman: Journeyman) -> None:
    code, told, err = journeyman("evaluate", folder, "--episodes", "3", "--json")
    assert code == 0, err
    assert told == journeyman("evaluate", folder, *PENDULUM, "--episodes", "3", "--json")[1]
    code, other, _ = journeyman("evaluate", folder, "--episodes", "3", "--json", "--seed", "5")
    assert code == 0
    assert json.loads(other)["seed"] == 5
    assert json.loads(other)["mean action"] != json.loads(told)["mean action"]
    code, _, err = journeyman("evaluate", folder / "policy")
    assert code == 2
    assert "is no run of `fit` or `improve`, so it does not say in which world; add --world NAME" in err


def test_overwrite_begins_anew(folder: Path, journeyman: Journeyman, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    (copy / "notes.txt").write_text("mine")
    words = ["fit", "--data", folder.parent / "demos.npz", *PENDULUM, *FIT, "--out", copy, "--overwrite", "--seed", "1"]
    assert journeyman(*words)[0] == 0
    assert (copy / "notes.txt").read_text() == "mine"
    assert [row["epoch"] for row in numbers(copy)] == list(range(1, 9))
    assert numbers(copy) != numbers(folder)
