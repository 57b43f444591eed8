"""`import journeyman` is quick, and what it promises is there."""

import importlib
import subprocess
import sys

import pytest

import journeyman

LIGHT = """
import contextlib, os, sys
import journeyman
heavy = "jax numpy equinox optax numpyro lineax envpool gymnasium plotly jinja2 orbax tensorboardX".split()
print([name for name in [*heavy, "rich", "tyro"] if name in sys.modules])
from journeyman import cli
with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
    for words in ("--version", "-h", "improve -h", "diagnose clone -h", "improve --stepz 1", "improv"):
        with contextlib.suppress(SystemExit):
            cli.main(words.split())
print([name for name in heavy if name in sys.modules])
journeyman.JourneymanError
print("jax" in sys.modules, "numpyro" in sys.modules)
"""


def test_the_import_alone_loads_no_library_and_a_help_none_that_computes() -> None:
    ran = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["[]", "[]", "True False"]


@pytest.mark.parametrize("name", journeyman.__all__)
def test_every_public_name_resolves(name: str) -> None:
    found = getattr(journeyman, name)
    if name in journeyman._NAMESPACES:
        assert found is importlib.import_module(f"journeyman.{name}")
    else:
        assert found is getattr(importlib.import_module(f"journeyman.{journeyman._VERBS[name]}"), name)


def test_an_unknown_name_is_an_attribute_error_and_dir_tells_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="'journeyman' has no attribute 'improove'"):
        journeyman.improove  # noqa: B018
    assert set(journeyman.__all__) <= set(dir(journeyman))
    assert len(set(journeyman.__all__)) == len(journeyman.__all__)


def test_the_version_is_that_of_the_installed_package() -> None:
    assert journeyman.__version__ == importlib.metadata.version("journeyman")
