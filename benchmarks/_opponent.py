"""Other packages, each in an environment of its own: made in the user's cache folder, asked over a pipe."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def environment(name: str, requirements: Sequence[str], python: str = sys.executable) -> str:
    """The interpreter of the environment `name`, made when it is not there yet.

    It lies in the user's cache folder, or where `JOURNEYMAN_<PACKAGE>_ENVIRONMENT` says (the name up to its version).
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    package = name.split("-")[0]
    folder = Path(os.environ.get(f"JOURNEYMAN_{package.upper()}_ENVIRONMENT", cache / "journeyman" / name))
    interpreter, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        print(f"making an environment for {package} in {folder} ...", file=sys.stderr)
        subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True, stdout=sys.stderr)
        install = [str(interpreter), "-m", "pip", "install", "--quiet", *requirements]
        subprocess.run(install, check=True, stdout=sys.stderr)
        complete.touch()
    return str(interpreter)


def interpreter_of_at_least(major: int, minor: int) -> str | None:
    """This interpreter if it is new enough, else one on the path or of pyenv, else `None`."""
    if sys.version_info >= (major, minor):
        return sys.executable
    versions = [f"{major}.{newer}" for newer in range(minor, minor + 4)]
    on_path = [found for version in versions if (found := shutil.which(f"python{version}"))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = [str(found) for version in versions for found in sorted(pyenv.glob(f"{version}.*/bin/python"))]
    return next((one for one in [*kept, *on_path] if _runs(one)), None)


@contextmanager
def answering(interpreter: str, worker: Path, *arguments: str) -> Iterator[Callable[..., Any]]:
    """A function that lets the worker do its work once, told a line, and gives what it answers in JSON: its seconds."""
    # -P: a benchmark of the same name as what a worker imports would be found first.
    command = [interpreter, "-P", "-W", "ignore", str(worker), *arguments]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, env=clean, **pipes) as process:  # type: ignore[call-overload]

        def answer() -> str:
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"{worker.name} ended without an answer; its error is above.")
            return line

        def ask(line: str = "again") -> Any:
            process.stdin.write(f"{line}\n")
            return json.loads(answer())

        answer()
        yield ask
        process.stdin.close()


def _runs(interpreter: str) -> bool:
    return subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode == 0
