"""The compile cache: off until asked for, bounded, and good for another process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from journeyman.parts import JourneymanError
from journeyman.training import compile_cache

SOURCES = Path(__file__).parents[2] / "src"
PROGRAM = """
import sys, jax, jax.numpy as jnp
import journeyman as jm
assert jax.config.jax_compilation_cache_dir is None, "importing turns nothing on"
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name) if name.endswith("cache_hits") else None)
jax.jit(lambda x: x - 1)(jnp.ones(3))  # JAX decides at the first compilation whether it caches
if len(sys.argv) > 1:
    jm.compile_cache(sys.argv[1], megabytes=float(sys.argv[2]))
for k in range(1, 4):
    jax.jit(lambda x, k=k: jnp.sin(x * k) @ x)(jnp.ones((8, 8)))
print(len(hits))
"""


def hits(*arguments: str) -> int:
    environment = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    environment |= {"PYTHONPATH": str(SOURCES), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_another_process_finds_what_one_compiled_and_only_where_it_was_asked(tmp_path: Path) -> None:
    asked = (str(tmp_path / "a"), "10")
    assert hits(*asked) == 0
    assert hits(*asked) >= 3
    assert hits() == 0, "the control: without asking nothing is found"
    assert len(list((tmp_path / "a").iterdir())) == 1, "one folder for one kind of processor"


def test_the_cache_keeps_its_bound(tmp_path: Path) -> None:
    hits(str(tmp_path / "wide"), "10")
    whole = size(tmp_path / "wide")
    bound = 0.6 * whole / 2**20
    hits(str(tmp_path / "narrow"), str(bound))
    assert 0 < size(tmp_path / "narrow") <= bound * 2**20 < whole


def test_a_bound_is_positive(tmp_path: Path) -> None:
    with pytest.raises(JourneymanError, match="positive number of megabytes, not 0"):
        compile_cache(tmp_path, megabytes=0)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JourneymanError, match="cannot be made"):
        compile_cache(tmp_path / "file")
