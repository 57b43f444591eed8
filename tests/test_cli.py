"""The command line: verbs, exit codes, silence, and what stays out of a pipe."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from journeyman import JourneymanError, __version__, cli
from journeyman.cli import _main, _verbs
from journeyman.sessions import ConvertSettings, FitSettings, ImproveSettings, LintSettings, QuickstartSettings
from journeyman.worlds import list_worlds

VERBS = "quickstart data dagger fit correct improve evaluate diagnose figures report resume worlds".split()


def journeyman(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "journeyman", *words]
    return subprocess.run(line, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def parse_error(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return out + err


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert [verb for verb in VERBS if verb not in said] == []


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_explains_each_option(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([verb, "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: journeyman {verb}")


def test_what_cannot_be_parsed_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--world" in parse_error(capsys, "improve", "--steps", "10")
    for wrong in ("many", "1.5"):
        assert f"'{wrong}' is no whole number" in parse_error(capsys, "improve", "--world", "W", "--steps", wrong)
    assert "--stepz" in parse_error(capsys, "improve", "--world", "W", "--steps", "1", "--stepz", "2")
    assert "trppo" in parse_error(capsys, "improve", "--world", "W", "--steps", "1", "--algorithm", "trppo")
    parse_error(capsys)


def test_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["worlds"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{name}  ({kind})" for name, kind in list_worlds()]
    assert cli.main(["worlds", "lInEaR"]) == 0
    assert capsys.readouterr().out == "LinearQuadratic  (exact)\n"
    assert cli.main(["worlds", "nothing like it"]) == 2
    assert capsys.readouterr().err == (
        "journeyman: No world's name contains 'nothing like it'; `journeyman worlds` lists all of them.\n"
    )


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JourneymanError, match="no such thing"):
        cli.main(["--debug", "worlds", "no such thing"])
    assert capsys.readouterr() == ("", "")


def test_the_process_itself(tmp_path: Path) -> None:
    refused = journeyman("resume", "nowhere", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "journeyman: 'nowhere' is not a run: it has no config.json; give the folder of a run.\n"
    debug = journeyman("resume", "nowhere", "--debug", cwd=tmp_path)
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr
    unknown = journeyman("--stepz", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "Traceback" not in unknown.stderr
    assert not {c for c in unknown.stdout + unknown.stderr if ord(c) < 32} - {"\n"}, "no colours in a pipe"


@pytest.mark.parametrize("words", ["worlds", "--version"])
def test_a_reader_that_has_read_enough_is_no_error(words: str) -> None:
    code = f"import sys; from journeyman import cli; sys.exit(cli.main(['{words}']))"
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, "-c", code]
    with os.fdopen(write, "w") as closed:
        ran = subprocess.run(line, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_failing_disk_is_a_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(verb: object) -> None:
        raise OSError(28, "No space left on device", "/runs/a/metrics.jsonl")

    monkeypatch.setattr(_main, "_run", full)
    assert cli.main(["worlds"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "journeyman: '/runs/a/metrics.jsonl': No space left on device; check the path, its permissions and the disk.\n"
    )


def test_ctrl_c_outside_a_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(verb: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_main, "_run", stop)
    assert cli.main(["worlds"]) == 130
    assert capsys.readouterr().err == "journeyman: stopped before it was done; the same command begins again\n"


_SIGNALLED = """
import signal, sys
from journeyman import __main__, cli
from journeyman.training._progress import Progress

def run(ready):
    ready()
    with Progress("practice", 2, quiet=True) as progress:
        signal.raise_signal(signal.{name})
        print("finishing" if progress.interrupted else "deaf", flush=True)
    try:
        signal.raise_signal(signal.{name})
    except KeyboardInterrupt:
        return 130
    return 0

cli.main = run
signal.signal(signal.SIGINT, signal.{ctrl_c})
sys.exit(__main__.main())
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_a_scheduler_or_a_closing_terminal_sends_is_heard_as_a_ctrl_c(name: str) -> None:
    """The iteration under way is finished first; in a process that is deaf to Ctrl-C a run hears it all the same."""
    for ctrl_c, code in (("default_int_handler", 128 + getattr(signal, name)), ("SIG_IGN", -getattr(signal, name))):
        script = _SIGNALLED.format(name=name, ctrl_c=ctrl_c)
        # Where the tests run under nohup, their processes would be deaf to a SIGHUP.
        heard = f"import signal; signal.signal(signal.{name}, signal.SIG_DFL)\n{script}"
        told = subprocess.run([sys.executable, "-c", heard], capture_output=True, text=True, check=False)
        assert (told.returncode, told.stdout) == (code, "finishing\n"), told.stderr
    ignored = f"import signal; signal.signal(signal.{name}, signal.SIG_IGN)\n{script}"
    told = subprocess.run([sys.executable, "-c", ignored], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "deaf\n"), told.stderr


@pytest.mark.parametrize("library", ["tyro", "jax"])
def test_ctrl_c_while_the_libraries_are_imported(library: str, tmp_path: Path) -> None:
    (tmp_path / f"{library}.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt as stop:\n"
        "    raise ImportError from stop  # as extensions in C do"
    )
    found = os.environ.get("PYTHONPATH", "")
    # Where the tests run in the background, their processes would be deaf to Ctrl-C.
    heard = (
        "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        " sys.argv[1:] = ['worlds']; runpy.run_module('journeyman', run_name='__main__', alter_sys=True)"
    )
    stopped = subprocess.run(
        [sys.executable, "-c", heard],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(tmp_path), found)))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert stopped.returncode == 130
    assert stopped.stderr == "journeyman: stopped before anything began\n"
    assert 'journeyman = "journeyman.__main__:main"' in (Path(__file__).parents[1] / "pyproject.toml").read_text()


def test_a_terminal_without_greek_letters_gets_their_escapes() -> None:
    """An output in ASCII, in Latin-1, or on Windows into a file."""
    told = subprocess.run(
        [sys.executable, "-m", "journeyman", "improve", "-h"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert "\\u03b3; the natural gradient" in told.stdout


def test_a_help_in_a_very_narrow_terminal_comes_to_an_end() -> None:
    """Below six columns Tyro looked for a place to break a line for ever."""
    command = [sys.executable, "-m", "journeyman", "fit", "-h"]
    told = subprocess.run(command, env={**os.environ, "COLUMNS": "5"}, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0
    assert "╭─ options ────────╮" in told.stdout


def test_the_version_and_what_every_verb_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"
    for words in (["--help"], ["fit", "-h"], ["diagnose", "clone", "--help"]):
        with pytest.raises(SystemExit):
            cli.main(words)
        said = capsys.readouterr().out
        assert "--debug" in said
        assert "--compile-cache=FOLDER" in said


def test_the_quickstart_s_page_names_every_verb() -> None:
    page = (Path(__file__).parents[1] / "docs" / "quickstart.md").read_text()
    assert ", ".join(f"`{verb}`" for verb in cli.VERBS) in page.replace("\n", " ")


def test_a_misspelt_verb_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["improv", "--world", "W", "--steps", "9"]) == 2
    assert capsys.readouterr().err == "journeyman: There is no verb 'improv'; did you mean 'improve'?\n"
    assert cli.main(["zzz"]) == 2
    assert f"There is no verb 'zzz'; choose one of {', '.join(cli.VERBS)}." in capsys.readouterr().err


def test_numbers_and_names_of_options_as_they_are_written() -> None:
    words = ["improve", "--world", "W", "--steps", "1e5", "--lambda", "0.9", "--seeds", "3"]
    found = _main._parsed(words)
    assert (found.steps, found.lambda_, found.seeds) == (100_000, 0.9, 3)
    assert dataclasses.asdict(found) == dataclasses.asdict(ImproveSettings("W", 100_000, lambda_=0.9, seeds=3))
    for verb in ("gradient", "step"):
        found = _main._parsed(["diagnose", verb, "--policy", "P", "--world", "W", "--lambda", "0.5"]).of
        assert found.lambda_ == 0.5


def test_what_the_command_line_spells_otherwise_has_the_same_default() -> None:
    for ours in (_verbs.Improve, _verbs.DiagnoseGradient, _verbs.DiagnoseStep, _verbs.DiagnoseClone):
        theirs = {field.name: field.default for field in dataclasses.fields(ours.__bases__[0])}
        assert {field.name: field.default for field in dataclasses.fields(ours)} == theirs, ours
        assert ours.__doc__ == ours.__bases__[0].__doc__


def test_every_setting_is_explained() -> None:
    """What the help shows for an option is the string below its field; a few numbers speak for themselves."""
    import inspect

    plain = set("seed batch_size learning_rate discount lambda_ num_envs overwrite score algorithm".split())
    plain |= set("json world episodes shape".split())
    verbs = (
        ConvertSettings,
        LintSettings,
        _verbs.Evaluate,
        _verbs.Report,
        _verbs.Resume,
        _verbs.Worlds,
        FitSettings,
        ImproveSettings,
        QuickstartSettings,
    )
    for cls in verbs:
        source = inspect.getsource(cls).splitlines()
        for field in dataclasses.fields(cls):
            at = next(i for i, line in enumerate(source) if line.startswith(f"    {field.name}:"))
            explained = source[at + 1].strip().startswith('"""')
            assert explained or field.name in plain, f"{cls.__name__}.{field.name}"


def test_the_compile_cache_is_asked_for_by_a_flag_or_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr("journeyman.training.compile_cache", asked.append)
    monkeypatch.delenv("JOURNEYMAN_COMPILE_CACHE", raising=False)
    assert cli.main(["worlds", "Geometric"]) == 0
    assert asked == [], "nothing is kept unasked"
    assert cli.main(["worlds", "Geometric", "--compile-cache"]) == 0
    assert cli.main(["worlds", "--compile-cache=here", "Geometric"]) == 0
    monkeypatch.setenv("JOURNEYMAN_COMPILE_CACHE", "there")
    assert cli.main(["worlds", "Geometric"]) == 0
    assert asked == [None, "here", "there"]
