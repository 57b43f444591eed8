"""What the benchmarks share: a clock around work, the machine they ran on, subprocesses, and how results are told."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import jax

ROOT = Path(__file__).resolve().parents[1]


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """How long `work` took until its arrays were there, and what it gave."""
    began = time.perf_counter()
    result = jax.block_until_ready(work())
    return time.perf_counter() - began, result


def middle(values: Sequence[float], digits: int = 4) -> float:
    """The median, rounded to `digits` significant ones: more would be noise."""
    return float(f"{median(values):.{digits}g}")


def machine() -> dict[str, Any]:
    """What the numbers depend on; the load tells whether somebody else was at work."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": usable,
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def python(code: str, *arguments: str) -> str:
    """Run `code` in a fresh interpreter that finds the library, and return what it printed."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with `--json`, for a module whose docstring is `description`."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print one line of JSON and nothing else")
    return made


def tell(result: dict[str, Any], as_json: bool) -> None:
    """Print the result: one line, or indented for a reader."""
    print(json.dumps(result, indent=None if as_json else 2))
