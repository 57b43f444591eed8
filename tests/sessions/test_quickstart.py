"""The quickstart at a fraction of its length: everything is there, in the form that is promised."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from journeyman.sessions import QuickstartSettings, _quickstart, quickstart
from journeyman.training import Recorder
from tests.sessions.conftest import Journeyman

SHORT = {"demonstrations": 1, "kept_steps": 30, "labels": 200, "steps": 4097, "episodes": 2}
LONGER = {"labels": 2000, "steps": 16384, "episodes": 5}


@pytest.mark.parametrize("sizes", [SHORT, pytest.param(LONGER, marks=pytest.mark.slow)])
def test_every_act_leaves_its_mark(tmp_path: Path, sizes: dict[str, int]) -> None:
    for module, extra in (("envpool", "envpool"), ("jinja2", "report")):
        pytest.importorskip(module, reason=f"needs the extra '{extra}', which is not installed")
    said: list[str] = []
    settings = QuickstartSettings(out=tmp_path / "quick", **sizes)
    told = quickstart(settings, say=said.append, quiet=True)
    kept = json.loads((tmp_path / "quick" / "summary.json").read_text())
    assert kept == told
    assert set(kept) == {"demonstrations", "clone", "corrected", "improved", "expert", "seconds", "steps_per_second"}
    assert set(kept["demonstrations"]) == {"episodes", "mean"}
    assert kept["demonstrations"]["episodes"] == settings.demonstrations
    for name in ("clone", "corrected", "improved", "expert"):
        assert set(kept[name]) == {"mean", "low", "high", "episodes"}
        assert kept[name]["episodes"] == settings.episodes
        assert kept[name]["low"] <= kept[name]["mean"] <= kept[name]["high"]
    assert kept["clone"]["mean"] < 0.8 * kept["expert"]["mean"], "cloning must honestly fail"
    assert kept["seconds"] > 0
    assert math.isfinite(kept["steps_per_second"])
    folder = tmp_path / "quick"
    assert {entry.name for entry in folder.iterdir()} >= {
        *("clone", "corrected", "improved", "demonstrations.npz", "report.html", "summary.json")
    }
    given = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in sizes.items())
    assert f"<code>journeyman quickstart {given}</code>" in (folder / "report.html").read_text()
    assert any(line.startswith(f"demonstrations: {settings.demonstrations} episode") for line in said)


def test_a_seed_of_no_use_is_told_with_what_else_is_wrong(tmp_path: Path, journeyman: Journeyman) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, err = journeyman("quickstart", "--seed", -1, "--out", tmp_path / "file")
    assert code == 2
    assert "--seed must be a whole number from 0 to 4294967295, not -1; change it." in err
    assert "is a file, and a quickstart is a folder" in err
    _, _, err = journeyman("quickstart", "--seed", 2**32 - 1, "--out", tmp_path / "file")
    assert "The last of 10001 seeds from 4294967295 is 4294977295" in err


def test_numbers_of_no_use_are_told_at_once_and_nothing_is_made(tmp_path: Path, journeyman: Journeyman) -> None:
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")
    names = ("demonstrations", "kept-steps", "labels", "steps", "episodes")
    words = [word for name in names for word in (f"--{name}", 0 if name != "steps" else -1)]
    code, out, err = journeyman("quickstart", *words, "--out", tmp_path / "quick")
    assert (code, out) == (2, "")
    assert "5 things are wrong" in err
    assert [name for name in names if f"--{name} must be a positive number, not " not in err] == []
    code, _, err = journeyman("quickstart", "--labels", 3, "--out", tmp_path / "quick")
    assert code == 2
    assert "--labels 3 is less than one for each of the 4 environments" in err
    code, _, err = journeyman("quickstart", "--steps", 4096, "--out", tmp_path / "quick")
    assert code == 2
    assert "--steps 4096 is no more than the first batch of 4,096 steps, which only fits the baseline" in err
    assert not (tmp_path / "quick").exists()


def test_ctrl_c_says_how_this_quickstart_is_begun_again(
    tmp_path: Path, journeyman: Journeyman, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, extra in (("envpool", "envpool"), ("jinja2", "report")):
        pytest.importorskip(module, reason=f"needs the extra '{extra}', which is not installed")
    out = tmp_path / "a quick one"

    def stop(*parts: Any, record: Recorder, **options: Any) -> None:
        record.begin("fit", {}, seed=0, links={})
        record.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(_quickstart, "fit", stop)
    words = ("--demonstrations", 1, "--kept-steps", 30, "--seed", 3)
    for _ in range(2):  # the command that was named begins again
        code, _, err = journeyman("quickstart", "--out", out, *words)
        assert code == 130
        command = f"journeyman quickstart --out '{out}' --seed 3 --demonstrations 1 --kept-steps 30 --overwrite"
        assert err.endswith(f"; begin again with: {command}\n")
        words = (*words, "--overwrite")


def test_an_earlier_quickstart_is_kept(tmp_path: Path, journeyman: Journeyman) -> None:
    (tmp_path / "quick" / "clone").mkdir(parents=True)
    (tmp_path / "quick" / "clone" / "config.json").write_text("{}")
    code, out, err = journeyman("quickstart", "--out", tmp_path / "quick")
    assert (code, out) == (2, "")
    assert "holds an earlier quickstart; add --overwrite to replace it, or choose --out." in err
    (tmp_path / "file").write_text("mine")
    code, _, err = journeyman("quickstart", "--out", tmp_path / "file")
    assert code == 2
    assert (tmp_path / "file").read_text() == "mine"
