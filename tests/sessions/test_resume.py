"""Killed, stopped and continued through the command line: nothing is lost and nothing differs."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from journeyman.parts import JourneymanError
from journeyman.sessions._refusals import resumable
from tests.sessions.conftest import PENDULUM, Journeyman, Shell, numbers, policy_bytes, record

FIT = ("fit", "--data", "demos.npz", *PENDULUM, "--epochs", "60", "--batch-size", "32", "--episodes", "2")
FIT = (*FIT, "--shape.hidden", "8")
IMPROVE = ("improve", *PENDULUM, "--steps", "7680", "--batch", "128", "--num-envs", "4", "--episodes", "2")
IMPROVE = (*IMPROVE, "--algorithm", "reinforce", "--shape.hidden", "8", "--checkpoint-every", "5")
IMPROVE = (*IMPROVE, "--evaluation-episodes", "2", "--evaluate-every", "20")
JOBS = {"fit": (FIT, 10), "improve": (IMPROVE, 10)}
NAMES = ["fit", pytest.param("improve", marks=pytest.mark.slow)]
SLOW_STOPS = [("improve", signal.SIGINT), ("fit", signal.SIGTERM)]
STOPS = [("fit", signal.SIGINT), *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW_STOPS)]


class Whole(dict[str, Path]):
    """Each job uninterrupted, run when first asked for."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def __missing__(self, name: str) -> Path:
        code, out, err = self.shell.run(*JOBS[name][0], "--out", f"{name} whole")
        assert code == 0, err
        assert out.endswith(f"{name} whole/report.html\n")
        self[name] = self.shell.folder / f"{name} whole"
        return self[name]


@pytest.fixture(scope="module")
def whole(shell: Shell) -> Whole:
    return Whole(shell)


@pytest.mark.parametrize("name", NAMES)
def test_killed_and_resumed_equals_uninterrupted(name: str, shell: Shell, whole: Whole) -> None:
    words, step = JOBS[name]
    folder = shell.folder / f"{name} killed"
    code, _, err = shell.signal_at(signal.SIGKILL, step, folder.name, *words, "--out", folder)
    assert code == -signal.SIGKILL, err
    assert not (folder / "policy").exists(), "it was killed too late to show anything"
    assert len(numbers(folder)) < len(numbers(whole[name]))
    code, _, err = shell.run("resume", folder.name)
    assert code == 0, err
    assert numbers(folder) == numbers(whole[name])
    assert policy_bytes(folder) == policy_bytes(whole[name])
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(("name", "number"), STOPS)
def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(name: str, number: int, shell: Shell, whole: Whole) -> None:
    """And so does what a scheduler sends before it kills."""
    words, step = JOBS[name]
    folder = shell.folder / f"{name} stopped by {number}"
    code, out, err = shell.signal_at(number, step, folder.name, *words, "--out", folder.name)
    assert code == 128 + number, err
    assert "Traceback" not in err
    assert f"everything is kept, go on with: journeyman resume '{folder.name}'" in err
    assert "report.html" not in out
    assert (folder / "policy" / "policy.json").exists()
    last = numbers(folder)[-1]
    done = last["epoch"] if name == "fit" else last["iteration"]
    assert (folder / "checkpoints" / f"{done:012d}" / "checkpoint.json").exists()
    assert last["step"] < numbers(whole[name])[-1]["step"]
    code, _, err = shell.run("resume", folder.name)
    assert code == 0, err
    assert numbers(folder)[-1]["step"] == numbers(whole[name])[-1]["step"]
    if name == "fit":  # no simulator is lost, so nothing differs
        assert policy_bytes(folder) == policy_bytes(whole[name])


def test_a_second_ctrl_c_names_the_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match="stopped at once; there is no checkpoint yet"), resumable(run):
        raise KeyboardInterrupt
    mark = run / "checkpoints" / "000000000001" / "checkpoint.json"
    mark.parent.mkdir(parents=True)
    for path in (mark, run / "config.json"):
        path.write_text("{}")
    said = f"stopped at once; from the last checkpoint it can go on with: journeyman resume {run}"
    with pytest.raises(KeyboardInterrupt, match=said), resumable(run):
        raise KeyboardInterrupt


def test_a_full_disk_is_one_sentence_that_says_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    full = OSError(28, "No space left on device", f"{run}/metrics.jsonl")
    said = f"'{run}/metrics.jsonl': No space left on device, so the run ended; make room, or mend .*; there is no check"
    with pytest.raises(JourneymanError, match=said), resumable(run):
        raise full
    mark = run / "checkpoints" / "000000000001" / "checkpoint.json"
    mark.parent.mkdir(parents=True)
    for path in (mark, run / "config.json"):
        path.write_text("{}")
    said = f"from the last checkpoint it can go on with: journeyman resume {run}$"
    with pytest.raises(JourneymanError, match=said), resumable(run):
        raise full
    with pytest.raises(BrokenPipeError), resumable(run):  # whoever read the terminal has read enough
        raise BrokenPipeError(32, "Broken pipe")


def test_in_a_pipe_there_is_nothing_but_sentences(shell: Shell, whole: Whole) -> None:
    code, out, err = shell.run("resume", whole["fit"].name)  # nothing is left to do but the page
    assert (code, err) == (0, "")
    said = ["clone", "held-out negative log-likelihood", "Whether modes are averaged cannot be told"]
    assert [line.split(":")[0] for line in out.splitlines()[-4:-1]] == said
    assert not {character for character in out if ord(character) < 32} - {"\n"}


def test_the_command_is_kept_as_it_was_typed(whole: Whole) -> None:
    config = json.loads((whole["fit"] / "config.json").read_text())
    assert config["command"].startswith("journeyman fit --data demos.npz --world envpool:Pendulum-v1 --options")


# -- refusals ---------------------------------------------------------------------------------------------


def test_resume_with_other_data_is_refused(shell: Shell, whole: Whole, tmp_path: Path, journeyman: Journeyman) -> None:
    run, data = tmp_path / "run", tmp_path / "demos.npz"
    shutil.copytree(whole["fit"], run)
    record(data, seed=1)
    config = json.loads((run / "config.json").read_text())
    assert config["config"]["context"]["settings"]["data"] == str(shell.folder / "demos.npz")
    config["config"]["context"]["settings"]["data"] = str(data)  # as if the file had changed where it lies
    (run / "config.json").write_text(json.dumps(config))
    before = (run / "metrics.jsonl").read_bytes()
    for verb in ("resume", "report"):
        code, _, err = journeyman(verb, run)
        assert code == 2
        assert "The file does not belong here: " in err
        assert "use the file that this was made from, or start anew" in err
    assert (run / "metrics.jsonl").read_bytes() == before


def test_resume_without_a_complete_checkpoint_is_refused(whole: Whole, tmp_path: Path, journeyman: Journeyman) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole["fit"], run)
    for checkpoint in (run / "checkpoints").iterdir():
        (checkpoint / "checkpoint.json").unlink()  # what is left when the process dies while writing
    code, _, err = journeyman("resume", run)
    assert code == 2
    assert f"'{run}/checkpoints' holds no complete checkpoint, so there is nothing to continue from" in err


def test_settings_of_another_version_are_refused(whole: Whole, tmp_path: Path, journeyman: Journeyman) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole["fit"], run)
    config = json.loads((run / "config.json").read_text())
    settings = config["config"]["context"]["settings"]
    del settings["epochs"]
    settings["epoch"] = 60
    (run / "config.json").write_text(json.dumps(config))
    code, _, err = journeyman("resume", run)
    assert code == 2
    assert "have an unknown field 'epoch'" in err
    assert "lack 'epochs'" in err


def test_a_damaged_checkpoint_is_named(whole: Whole, tmp_path: Path, journeyman: Journeyman) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole["fit"], run)
    newest = max((run / "checkpoints").iterdir())
    victim = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = np.frombuffer(victim.read_bytes(), np.uint8).copy()
    data[len(data) // 2] ^= 1
    victim.write_bytes(data.tobytes())
    code, _, err = journeyman("resume", run)
    assert code == 2
    assert newest.name in err
    assert "damaged" in err
